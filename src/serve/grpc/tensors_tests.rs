use bytes::Bytes;
use proptest::prelude::*;
use prost::Message;

use super::super::messages::{InferInputTensor, InferTensorContents};
use super::*;

const TYPES: [DType; 14] = [
    DType::Bool,
    DType::UInt8,
    DType::UInt16,
    DType::UInt32,
    DType::UInt64,
    DType::Int8,
    DType::Int16,
    DType::Int32,
    DType::Int64,
    DType::Float16,
    DType::BFloat16,
    DType::Float32,
    DType::Float64,
    DType::String,
];

/// Fields of typed contents: alone and packed, of several types, empty, unknown.
const PIECES: &[&[u8]] = &[
    b"\x10\x05",
    b"\x12\x03\x05\xac\x02",
    b"\x12\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\x12\0",
    b"\x18\x07",
    b"\x1a\x02\x08\x09",
    b"\x35\0\0\xc0\x3f",
    b"\x32\x08\0\0\xc0\x3f\0\0\0\x40",
    b"\x42\x02ab",
    b"\x42\0",
    b"\x78\x01",
];

/// A tensor of any type and shape with any values.
fn any_tensor() -> impl Strategy<Value = Tensor> {
    let shape = prop::collection::vec(0usize..4, 0..4);
    (0..TYPES.len(), shape, any::<u64>()).prop_flat_map(|(at, shape, _)| {
        let dtype = TYPES[at];
        let n = elements(&shape).unwrap();
        match width(dtype) {
            None => prop::collection::vec(prop::collection::vec(any::<u8>(), 0..5), n)
                .prop_map(move |strings| {
                    Tensor::strings(shape.clone(), strings.into_iter().map(Bytes::from).collect()).unwrap()
                })
                .boxed(),
            Some(width) => prop::collection::vec(any::<u8>(), n * width)
                .prop_map(move |mut bytes| {
                    if dtype == DType::Bool {
                        bytes.iter_mut().for_each(|b| *b &= 1);
                    }
                    Tensor::fixed(dtype, shape.clone(), bytes).unwrap()
                })
                .boxed(),
        }
    })
}

/// An answer's tensors, sent back as a request's.
fn back(tensors: Vec<(String, Tensor)>, raw: bool) -> Result<Vec<(String, Tensor)>, String> {
    let (outputs, beside) = outputs(tensors, raw).unwrap();
    let inputs = outputs
        .into_iter()
        .map(|o| InferInputTensor {
            name: o.name,
            datatype: o.datatype,
            shape: o.shape,
            contents: o.contents.map(|c| c.encode_to_vec().into()),
            ..Default::default()
        })
        .collect();
    look(inputs, beside)?.tensors()
}

proptest! {
    #[test]
    fn c46_tensors_survive_both_forms(tensors in prop::collection::vec(any_tensor(), 1..4), raw: bool) {
        let named: Vec<_> = tensors.into_iter().enumerate().map(|(i, t)| (format!("x{i}"), t)).collect();
        prop_assert_eq!(back(named.clone(), raw).unwrap(), named);
    }

    #[test]
    fn any_bytes_are_a_tensor_or_an_error(
        at in 0..TYPES.len(),
        shape in prop::collection::vec(prop_oneof![-1i64..4, any::<i64>()], 0..4),
        bytes in prop::collection::vec(any::<u8>(), 0..40),
        raw: bool,
    ) {
        let bytes = Bytes::from(bytes);
        let datatype = datatype::word(TYPES[at]).unwrap().to_owned();
        let contents = (!raw).then(|| bytes.clone());
        let input = InferInputTensor { name: "x".into(), datatype, shape, contents, ..Default::default() };
        let beside = if raw { vec![bytes.clone()] } else { Vec::new() };
        if let Ok(given) = look(vec![input], beside) {
            prop_assert!(given.cost <= bytes.len() * 16, "{} bytes take {}", bytes.len(), given.cost);
            if let Ok(tensors) = given.tensors() {
                prop_assert_eq!(tensors.len(), 1);
            }
        }
    }

    #[test]
    fn typed_contents_are_read_as_prost_reads_them(
        pieces in prop::collection::vec(prop::sample::select(PIECES), 0..6),
    ) {
        let bytes = Bytes::from(pieces.concat());
        let message = InferTensorContents::decode(bytes.clone()).unwrap();
        let tensors = [
            (DType::Int32, message.int_contents.len()),
            (DType::Int64, message.int64_contents.len()),
            (DType::Float32, message.fp32_contents.len()),
            (DType::String, message.bytes_contents.len()),
        ];
        for (dtype, n) in tensors {
            let Ok(data) = contents::read(dtype, n, &bytes) else { continue };
            let tensor = match data {
                Data::Fixed(bytes) => Tensor::fixed(dtype, vec![n], bytes).unwrap(),
                Data::Strings(strings) => Tensor::strings(vec![n], strings).unwrap(),
            };
            let again = contents::write(&tensor);
            prop_assert_eq!(again.int_contents, if dtype == DType::Int32 { message.int_contents.clone() } else { vec![] });
            prop_assert_eq!(again.int64_contents, if dtype == DType::Int64 { message.int64_contents.clone() } else { vec![] });
            prop_assert_eq!(again.fp32_contents.len(), if dtype == DType::Float32 { n } else { 0 });
            prop_assert_eq!(again.bytes_contents, if dtype == DType::String { message.bytes_contents.clone() } else { vec![] });
        }
    }
}

fn input(datatype: &str, shape: &[i64], contents: Option<InferTensorContents>) -> InferInputTensor {
    InferInputTensor {
        name: "x".into(),
        datatype: datatype.into(),
        shape: shape.to_vec(),
        contents: contents.map(|c| c.encode_to_vec().into()),
        ..Default::default()
    }
}

fn typed(datatype: &str, n: i64, contents: InferTensorContents) -> Result<Tensor, String> {
    let mut all = look(vec![input(datatype, &[n], Some(contents))], Vec::new())?.tensors()?;
    Ok(all.remove(0).1)
}

fn raw(datatype: &str, n: i64, bytes: &'static [u8]) -> Result<Tensor, String> {
    let mut all = look(vec![input(datatype, &[n], None)], vec![Bytes::from_static(bytes)])?.tensors()?;
    Ok(all.remove(0).1)
}

#[test]
fn c46_typed_contents_of_the_wrong_kind_are_refused() {
    let ints = |v: &[i32]| InferTensorContents { int_contents: v.to_vec(), ..Default::default() };
    let uints = |v: &[u32]| InferTensorContents { uint_contents: v.to_vec(), ..Default::default() };
    let fp32 = |v: &[f32]| InferTensorContents { fp32_contents: v.to_vec(), ..Default::default() };
    for (datatype, n, contents, why) in [
        ("INT64", 1, ints(&[1]), "expected INT64 in `int64_contents`, found `int_contents`"),
        ("FP64", 1, fp32(&[1.0, 2.0]), "expected FP64 in `fp64_contents`, found `fp32_contents`"),
        (
            "FP16",
            1,
            fp32(&[1.0]),
            "expected FP16 in raw input contents, which is its only form, found contents",
        ),
        (
            "BF16",
            1,
            fp32(&[1.0]),
            "expected BF16 in raw input contents, which is its only form, found contents",
        ),
        ("INT8", 1, ints(&[128]), "element 0: 128 does not fit INT8"),
        ("INT8", 2, ints(&[-128, -129]), "element 1: -129 does not fit INT8"),
        ("INT16", 1, ints(&[-40000]), "element 0: -40000 does not fit INT16"),
        ("UINT8", 1, uints(&[256]), "element 0: 256 does not fit UINT8"),
        ("UINT16", 1, uints(&[65536]), "element 0: 65536 does not fit UINT16"),
        ("INT32", 3, ints(&[1, 2]), "expected 3 elements, found 2"),
        ("INT32", 1, ints(&[1, 2]), "expected 1 elements, found more"),
        ("FP32", 1, fp32(&[1.0, 2.0]), "expected 1 elements, found more"),
        ("FP32", 2, fp32(&[1.0]), "expected 2 elements, found contents of 6 bytes, which hold fewer"),
        ("BYTES", 3, ints(&[1, 2, 3, 4]), "expected BYTES in `bytes_contents`, found `int_contents`"),
        (
            "BYTES",
            1,
            InferTensorContents { bytes_contents: vec![Bytes::new(); 2], ..Default::default() },
            "expected 1 elements, found more",
        ),
    ] {
        assert_eq!(typed(datatype, n, contents).unwrap_err(), format!("the input `x`: {why}"));
    }
}

#[test]
fn c46_raw_contents_of_the_wrong_length_are_refused() {
    for (datatype, n, bytes, why) in [
        ("FP32", 1, &b"123"[..], "expected 4 bytes of raw contents (1 elements of 4), found 3"),
        ("FP16", 2, b"123", "expected 4 bytes of raw contents (2 elements of 2), found 3"),
        ("BOOL", 2, b"\x01\x02", "element 1: expected a boolean, 0 or 1, found 2"),
        ("BYTES", 1, b"\x02\0\0\0a", "string 0: expected 2 bytes, found 1"),
        ("BYTES", 1, b"\xff\xff\xff\xffa", "string 0: expected 4294967295 bytes, found 1"),
        (
            "BYTES",
            2,
            b"\x01\0\0\0a",
            "expected 2 strings, found 5 bytes, which is less than their lengths take",
        ),
        ("BYTES", 2, b"\x04\0\0\0abcd", "expected 2 strings, found 1"),
        ("BYTES", 1, b"\x01\0\0\0ab", "expected 1 strings, found 1 more bytes behind them"),
        ("BYTES", 2, b"\x01\0\0\0abcd", "the length of string 1 is cut off"),
        ("BYTES", 0, b"\0\0\0\0", "expected 0 strings, found 4 more bytes behind them"),
    ] {
        assert_eq!(raw(datatype, n, bytes).unwrap_err(), format!("the input `x`: {why}"));
    }
    let strings = raw("BYTES", 2, b"\x02\0\0\0ab\0\0\0\0").unwrap();
    assert_eq!(strings.data(), &Data::Strings(vec![Bytes::from_static(b"ab"), Bytes::new()]));
}

#[test]
fn numbers_share_the_memory_of_the_message() {
    let bytes = Bytes::from(vec![7u8; 64]);
    let given = look(vec![input("FP32", &[16], None)], vec![bytes.clone()]).unwrap();
    assert_eq!(given.cost, 0);
    let Data::Fixed(kept) = given.tensors().unwrap().remove(0).1.into_data() else { panic!("numbers") };
    assert_eq!(kept.as_ptr(), bytes.as_ptr());
    let contents = InferTensorContents { fp32_contents: vec![1.5; 16], ..Default::default() };
    let given = look(vec![input("FP32", &[16], Some(contents))], Vec::new()).unwrap();
    assert_eq!(given.cost, 0);
    let contents = InferTensorContents { int64_contents: vec![1; 16], ..Default::default() };
    assert_eq!(look(vec![input("INT64", &[16], Some(contents))], Vec::new()).unwrap().cost, 128);
}

#[test]
fn numbers_that_are_not_packed_are_read_too() {
    // `fp32_contents` twice as single values, then a field that nobody knows.
    let contents = Bytes::from_static(b"\x35\0\0\xc0\x3f\x35\0\0\0\x40\x78\x01");
    let data = contents::read(DType::Float32, 2, &contents).unwrap();
    assert_eq!(
        data,
        Data::Fixed([1.5f32, 2.0].iter().flat_map(|f| f.to_le_bytes()).collect::<Vec<_>>().into())
    );
    // The same in two packed pieces, and once all together with one too many behind.
    let contents = Bytes::from_static(b"\x32\x04\0\0\xc0\x3f\x32\x04\0\0\0\x40");
    assert_eq!(contents::read(DType::Float32, 2, &contents).unwrap(), data);
    assert_eq!(contents::read(DType::Float32, 1, &contents).unwrap_err(), "expected 1 elements, found more");
    let contents = Bytes::from_static(b"\x32\x05\0\0\xc0\x3f\0");
    assert!(contents::read(DType::Float32, 1, &contents).unwrap_err().contains("no multiple of 4"));
    let contents = Bytes::from_static(b"\x30\x01\x30\x01");
    assert!(contents::read(DType::Float32, 1, &contents).unwrap_err().contains("not written as"));
}

#[test]
fn c46_types_without_a_typed_form_make_the_whole_answer_raw() {
    let half = Tensor::fixed(DType::Float16, vec![1], vec![0, 60]).unwrap();
    let long = Tensor::fixed(DType::Int64, vec![1], vec![1, 0, 0, 0, 0, 0, 0, 0]).unwrap();
    let both = vec![("a".to_owned(), long), ("b".to_owned(), half)];
    let (described, beside) = outputs(both, false).unwrap();
    assert!(described.iter().all(|o| o.contents.is_none()));
    assert_eq!(beside.iter().map(Bytes::len).collect::<Vec<_>>(), [8, 2]);
}
