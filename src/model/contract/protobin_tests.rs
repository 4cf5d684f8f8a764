//! The golden vectors of `contract.protobin`: bytes that protoc wrote from Hydrosphere's own
//! `.proto` files, and files that are committed in its repositories.

use super::*;
use crate::model::contract::Provenance;

/// What a tensor keeps on its way through the file: the rest of [`Tensor`] has no place in it.
fn kept(t: &Tensor) -> Tensor {
    let mut plain = Tensor::new(t.name.clone(), t.dtype, t.shape.clone(), Known::Stored);
    plain.fields = t.fields.iter().map(kept).collect();
    plain.profile = t.profile;
    plain.known = Provenance {
        name: Known::Stored,
        dtype: if t.dtype.is_some() { Known::Stored } else { Known::Unknown },
        shape: if t.shape.is_some() { Known::Stored } else { Known::Unknown },
    };
    plain
}

fn hex(s: &str) -> Vec<u8> {
    (0..s.len()).step_by(2).map(|i| u8::from_str_radix(&s[i..i + 2], 16).unwrap()).collect()
}

fn tensor(name: &str, dtype: DType, shape: Option<&[i64]>) -> Tensor {
    let shape = shape.map(|s| s.iter().map(|d| u64::try_from(*d).ok()).collect());
    Tensor::new(name, Some(dtype), shape, Known::Stored)
}

fn signature(name: &str, inputs: Vec<Tensor>, outputs: Vec<Tensor>) -> Signature {
    Signature { name: name.to_owned(), known: Known::Stored, inputs, outputs }
}

fn a() -> Signature {
    let mut x = tensor("x", DType::Float64, Some(&[-1, 2]));
    x.profile = Some(Profile::Numerical);
    let mut y = tensor("y", DType::Int64, Some(&[]));
    y.profile = Some(Profile::Categorical);
    signature("predict", vec![x], vec![y, tensor("z", DType::String, None)])
}

fn b() -> Signature {
    let mut m = Tensor::new("m", None, Some(vec![Some(3)]), Known::Stored);
    m.fields = vec![tensor("k", DType::Float32, Some(&[])), tensor("l", DType::Bool, None)];
    signature("infer", vec![m], vec![tensor("y", DType::Float16, Some(&[1, -1]))])
}

fn add() -> (Vec<Tensor>, Vec<Tensor>) {
    let int = |n| tensor(n, DType::Int8, None);
    (vec![int("a"), int("b")], vec![int("sum")])
}

/// Writes to exactly these bytes, and reads back to the same signature and name.
fn golden(s: &Signature, generation: Generation, model: &str, bytes: &str) {
    let expected = hex(bytes);
    assert_eq!(write(s, generation, model).unwrap(), expected, "{}", s.name);
    let back = read(&expected).unwrap();
    assert_eq!(back.generation, generation, "{}", s.name);
    assert_eq!(back.model_name.as_deref(), (generation == Generation::Two).then_some(model));
    let plain = Signature {
        name: s.name.clone(),
        known: Known::Stored,
        inputs: s.inputs.iter().map(kept).collect(),
        outputs: s.outputs.iter().map(kept).collect(),
    };
    assert_eq!(back.signatures, [plain]);
}

#[test]
fn vector_a() {
    golden(
        &a(),
        Generation::Three,
        "",
        "0a077072656469637412160a0178120d0a0bffffffffffffffffff0102200228021a090a01791200200928011a050a017a2007",
    );
    golden(
        &a(),
        Generation::Two,
        "model",
        "0a056d6f64656c12370a0770726564696374121a0a01781211120b08ffffffffffffffffff0112020802200250021a090a01791200\
         200950011a050a017a2007"
            .replace(' ', "")
            .as_str(),
    );
}

#[test]
fn vector_a_of_0_2_is_read() {
    let bytes = hex(
        "0a056d6f64656c12330a077072656469637412180a01781211120b08ffffffffffffffffff011202080220021a070a017912002009\
         1a050a017a2007",
    );
    let back = read(&bytes).unwrap();
    assert_eq!(back.model_name.as_deref(), Some("model"));
    assert_eq!(back.signatures[0].inputs[0].shape, Some(vec![None, Some(2)]));
    assert_eq!(back.signatures[0].inputs[0].profile, None);
}

#[test]
fn vector_b_with_fields() {
    golden(
        &b(),
        Generation::Three,
        "",
        "0a05696e666572121a0a016d12030a01031a100a070a016b120020010a050a016c200a1a140a0179120d0a0b01ffffffffffffffff\
         ff012013",
    );
    golden(
        &b(),
        Generation::Two,
        "model",
        "0a056d6f64656c123e0a05696e666572121b0a016d1204120208031a100a070a016b120020010a050a016c200a1a180a0179121112\
         020801120b08ffffffffffffffffff012013",
    );
}

#[test]
fn inferred_signatures_of_the_fixtures() {
    let tf = signature(
        "serving_default",
        vec![tensor("images", DType::Float32, Some(&[-1, 784]))],
        vec![
            tensor("labels", DType::Int64, Some(&[-1])),
            tensor("labels2", DType::Int64, Some(&[-1])),
            tensor("random", DType::Float32, Some(&[2, 3])),
        ],
    );
    golden(
        &tf,
        Generation::Three,
        "",
        "0a0f73657276696e675f64656661756c74121a0a06696d61676573120e0a0cffffffffffffffffff01900620011a180a066c616265\
         6c73120c0a0affffffffffffffffff0120091a190a076c6162656c7332120c0a0affffffffffffffffff0120091a100a0672616e64\
         6f6d12040a0202032001",
    );
    let dense = |n| tensor(n, DType::Float32, Some(&[-1, 10]));
    let keras = signature(
        "Predict",
        vec![tensor("input_7", DType::Float32, Some(&[-1, 784]))],
        vec![dense("dense_20"), dense("dense_21")],
    );
    golden(
        &keras,
        Generation::Three,
        "",
        "0a0750726564696374121b0a07696e7075745f37120e0a0cffffffffffffffffff01900620011a1b0a0864656e73655f3230120d0a\
         0bffffffffffffffffff010a20011a1b0a0864656e73655f3231120d0a0bffffffffffffffffff010a2001",
    );
    let spark = signature(
        "default_spark",
        vec![tensor("text", DType::String, Some(&[-1]))],
        vec![tensor("result", DType::Float64, Some(&[3]))],
    );
    golden(
        &spark,
        Generation::Three,
        "",
        "0a0d64656661756c745f737061726b12160a0474657874120c0a0affffffffffffffffff0120071a0f0a06726573756c7412030a01\
         032002",
    );
    let onnx = signature(
        "Predict",
        vec![tensor("Input73", DType::Float32, Some(&[1, 1, 28, 28]))],
        vec![tensor("Plus422_Output_0", DType::Float32, Some(&[1, 10]))],
    );
    golden(
        &onnx,
        Generation::Three,
        "",
        "0a075072656469637412130a07496e707574373312060a0401011c1c20011a1a0a10506c75733432325f4f75747075745f3012040a\
         02010a2001",
    );
}

#[test]
fn files_committed_by_others() {
    let (inputs, outputs) = add();
    golden(
        &signature("add", inputs.clone(), outputs.clone()),
        Generation::Three,
        "",
        "0a0361646412050a0161200612050a016220061a070a0373756d2006",
    );
    let crash = signature("crash_add", inputs, outputs);
    golden(
        &crash,
        Generation::Three,
        "",
        "0a0963726173685f61646412050a0161200612050a016220061a070a0373756d2006",
    );
    golden(
        &crash,
        Generation::Two,
        "crashing_calculator",
        "0a136372617368696e675f63616c63756c61746f7212220a0963726173685f61646412050a0161200612050a016220061a070a0373\
         756d2006",
    );
    let word2vec = signature(
        "default_spark",
        vec![tensor("text", DType::String, Some(&[-1]))],
        vec![tensor("result", DType::Float64, Some(&[3]))],
    );
    golden(
        &word2vec,
        Generation::Two,
        "word2vec",
        "0a08776f726432766563123a0a0d64656661756c745f737061726b12170a0474657874120d120b08ffffffffffffffffff0120071a\
         100a06726573756c741204120208032002",
    );
    let binarizer = signature(
        "default_spark",
        vec![tensor("feature", DType::Float64, Some(&[]))],
        vec![tensor("binarized_feature", DType::Float64, Some(&[]))],
    );
    golden(
        &binarizer,
        Generation::Two,
        "binarizer",
        "0a0962696e6172697a657212370a0d64656661756c745f737061726b120d0a0766656174757265120020021a170a1162696e617269\
         7a65645f6665617475726512002002",
    );
}

#[test]
fn a_dtype_that_the_generation_lacks_names_tensor_and_dtype() {
    for (dtype, two) in [
        (DType::BFloat16, true),
        (DType::Resource, true),
        (DType::Variant, true),
        (DType::Float8E5M2, false),
        (DType::Float8E5M2FNUZ, false),
        (DType::Int4, false),
        (DType::Object, false),
    ] {
        let s = signature("s", vec![tensor("in", dtype, None)], vec![]);
        let e = write(&s, Generation::Three, "m").unwrap_err();
        assert_eq!(e.kind(), Kind::Model);
        assert!(e.message().contains("`in`") && e.message().contains(dtype.name()), "{e}");
        assert_eq!(write(&s, Generation::Two, "m").is_ok(), two, "{dtype}");
    }
    let mut nested = b();
    nested.inputs[0].fields[0].dtype = None;
    assert!(write(&nested, Generation::Three, "").unwrap_err().message().contains("`m.k` has no dtype"));
}

#[test]
fn an_unknown_rank_of_generation_2_is_no_shape() {
    let mut shape = Writer::new();
    shape.varint(3, 1);
    let mut field = Writer::new();
    field.bytes(1, b"x");
    field.message(2, shape);
    field.varint(4, 1);
    let mut s = Writer::new();
    s.bytes(1, b"s");
    s.message(2, field);
    let mut contract = Writer::new();
    contract.bytes(1, b"m");
    contract.message(2, s);
    let t = read(&contract.finish()).unwrap().signatures.remove(0).inputs.remove(0);
    assert_eq!(t.shape, None);
    assert_eq!(t.known.shape, Known::Unknown);
}

/// The form of 0.0.5: field 2 of a field is a dict, and a tensor's type is in a message of its own.
#[test]
fn older_shapes_are_rejected() {
    let mut info = Writer::new();
    info.varint(1, 6);
    let mut field = Writer::new();
    field.bytes(1, b"a");
    field.message(3, info);
    let mut s = Writer::new();
    s.bytes(1, b"add");
    s.message(2, field);
    let mut contract = Writer::new();
    contract.bytes(1, b"model");
    contract.message(2, s);
    let e = read(&contract.finish()).unwrap_err();
    assert!(e.message().contains("neither generation"), "{e}");
    // Name, dtype, shape as 1, 2, 3.
    let mut field = Writer::new();
    field.bytes(1, b"a");
    field.varint(2, 6);
    let mut s = Writer::new();
    s.bytes(1, b"add");
    s.message(2, field);
    assert!(read(&s.finish()).is_err());
}

#[test]
fn hostile_bytes_are_errors() {
    assert!(read(b"").is_err());
    let mut deep = Writer::new();
    deep.bytes(1, b"leaf");
    deep.varint(4, 1);
    for _ in 0..100 {
        let mut data = Writer::new();
        data.message(1, deep);
        deep = Writer::new();
        deep.bytes(1, b"n");
        deep.message(3, data);
    }
    let mut s = Writer::new();
    s.bytes(1, b"s");
    s.message(2, deep);
    assert!(read(&s.finish()).is_err());
    for generation in [Generation::Two, Generation::Three] {
        let good = write(&a(), generation, "model").unwrap();
        for cut in 0..good.len() {
            let _ = read(&good[..cut]);
        }
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                if let Ok(d) = read(&bad) {
                    assert!(!d.signatures.is_empty());
                }
            }
        }
    }
}
