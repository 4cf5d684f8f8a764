//! One operator at a time: what it says of its outputs, given its inputs, attributes and weights.
//!
//! Wanted shapes are those that the documents of onnx and onnxruntime give for the operator.

use crate::model::format::onnx::read_from;
use crate::model::format::{BUDGET, Reading};
use crate::model::pb::Writer;
use crate::model::tree::Tree;

const FLOAT: i64 = 1;
const UINT8: i64 = 2;
const INT64: i64 = 7;

/// An attribute.
enum Attr<'a> {
    Int(i64),
    Ints(&'a [i64]),
    Text(&'a str),
    Reals(&'a [f32]),
    Graph(Writer),
}

/// An input of a model: element type and shape, of which -1 is open.
struct In<'a>(&'a str, i64, &'a [i64]);

fn message(fields: impl FnOnce(&mut Writer)) -> Writer {
    let mut w = Writer::new();
    fields(&mut w);
    w
}

fn value(In(name, elem, shape): &In<'_>) -> Writer {
    let dims = message(|w| shape.iter().for_each(|d| w.message(1, message(|w| w.int(1, *d)))));
    let tensor = message(|w| {
        w.int(1, *elem);
        w.message(2, dims);
    });
    message(|w| {
        w.bytes(1, name.as_bytes());
        w.message(2, message(|w| w.message(1, tensor)));
    })
}

fn node(op: &str, domain: &str, inputs: &[&str], outputs: &[&str], attrs: Vec<(&str, Attr<'_>)>) -> Writer {
    message(|w| {
        inputs.iter().for_each(|i| w.bytes(1, i.as_bytes()));
        outputs.iter().for_each(|o| w.bytes(2, o.as_bytes()));
        w.bytes(4, op.as_bytes());
        w.bytes(7, domain.as_bytes());
        for (name, attr) in attrs {
            let attr = message(|w| {
                w.bytes(1, name.as_bytes());
                match attr {
                    Attr::Int(n) => w.int(3, n),
                    Attr::Ints(list) => w.packed(8, list),
                    Attr::Text(text) => w.bytes(4, text.as_bytes()),
                    Attr::Reals(list) => w.bytes(7, &little(list)),
                    Attr::Graph(graph) => w.message(6, graph),
                }
            });
            w.message(5, attr);
        }
    })
}

fn little(list: &[f32]) -> Vec<u8> {
    list.iter().flat_map(|n| n.to_le_bytes()).collect()
}

fn reals(name: &str, list: &[f32]) -> Writer {
    message(|w| {
        w.packed(1, &[i64::try_from(list.len()).unwrap()]);
        w.int(2, FLOAT);
        w.bytes(8, name.as_bytes());
        w.bytes(9, &little(list));
    })
}

fn wholes(name: &str, list: &[i64]) -> Writer {
    message(|w| {
        w.packed(1, &[i64::try_from(list.len()).unwrap()]);
        w.int(2, INT64);
        w.packed(7, list);
        w.bytes(8, name.as_bytes());
    })
}

/// What follows of the outputs of a graph, one line each.
fn told(
    opset: i64,
    inputs: &[In<'_>],
    weights: Vec<Writer>,
    nodes: Vec<Writer>,
    outputs: &[&str],
) -> Vec<String> {
    let graph = message(|w| {
        nodes.into_iter().for_each(|n| w.message(1, n));
        weights.into_iter().for_each(|t| w.message(5, t));
        inputs.iter().for_each(|i| w.message(11, value(i)));
        outputs.iter().for_each(|o| w.message(12, message(|w| w.bytes(1, o.as_bytes()))));
    });
    let bytes = message(|w| {
        w.int(1, 8);
        w.message(7, graph);
        w.message(8, message(|w| w.int(2, opset)));
    })
    .finish();
    let mut reading = Reading::default();
    read_from(&&*bytes, &Tree::default(), b"model.onnx", BUDGET, &mut reading).unwrap();
    let outputs = &reading.contract.as_ref().unwrap().signatures[0].outputs;
    let line = |t: &crate::model::contract::Tensor| {
        let dtype = t.dtype.map_or("?", crate::model::contract::DType::name);
        format!("{dtype} {}", serde_json::to_string(&t.shape).unwrap())
    };
    outputs.iter().map(line).collect()
}

/// The first output of one operator.
fn one(
    opset: i64,
    op: (&str, &str),
    inputs: &[In<'_>],
    weights: Vec<Writer>,
    names: &[&str],
    attrs: Vec<(&str, Attr<'_>)>,
) -> String {
    told(opset, inputs, weights, vec![node(op.1, op.0, names, &["y"], attrs)], &["y"]).remove(0)
}

#[test]
fn a_resize_is_as_large_as_its_factors_say() {
    let x = || [In("x", FLOAT, &[-1, 3, 8, 10])];
    let resize =
        |opset, names: &[&str], weights, attrs| one(opset, ("", "Resize"), &x(), weights, names, attrs);
    let factors = || vec![reals("f", &[1.0, 1.0, 2.0, 1.7])];
    assert_eq!(resize(13, &["x", "", "f"], factors(), vec![]), "float32 [null,3,16,17]");
    assert_eq!(resize(10, &["x", "f"], factors(), vec![]), "float32 [null,3,16,17]");
    let cut = vec![("coordinate_transformation_mode", Attr::Text("tf_crop_and_resize"))];
    assert_eq!(resize(13, &["x", "", "f"], factors(), cut), "float32 [null,null,null,null]");
    let two = vec![("axes", Attr::Ints(&[2, 3]))];
    assert_eq!(resize(18, &["x", "", "f"], vec![reals("f", &[0.5, 3.0])], two), "float32 [null,3,4,30]");
    let sizes =
        |policy| vec![("axes", Attr::Ints(&[2, 3])), ("keep_aspect_ratio_policy", Attr::Text(policy))];
    let to = || vec![wholes("s", &[4, 10])];
    assert_eq!(resize(18, &["x", "", "", "s"], to(), sizes("stretch")), "float32 [null,3,4,10]");
    assert_eq!(resize(18, &["x", "", "", "s"], to(), sizes("not_larger")), "float32 [null,3,4,5]");
    assert_eq!(resize(18, &["x", "", "", "s"], to(), sizes("not_smaller")), "float32 [null,3,8,10]");
    // Of a factor that is no number, or too large, nothing follows.
    for bad in [f32::NAN, -1.0, f32::INFINITY, 1e30] {
        assert_eq!(
            resize(13, &["x", "", "f"], vec![reals("f", &[1.0, 1.0, bad, 1.0])], vec![]),
            "float32 [null,3,null,10]"
        );
    }
    let up =
        |opset, names: &[&str], weights, attrs| one(opset, ("", "Upsample"), &x(), weights, names, attrs);
    assert_eq!(up(9, &["x", "f"], factors(), vec![]), "float32 [null,3,16,17]");
    assert_eq!(
        up(7, &["x"], vec![], vec![("scales", Attr::Reals(&[1.0, 1.0, 3.0, 2.0]))]),
        "float32 [null,3,24,20]"
    );
}

#[test]
fn factors_may_be_computed() {
    // The size of one input over that of another, as old exporters write it.
    let inputs = [In("x", FLOAT, &[1, 3, 8, 10]), In("z", FLOAT, &[-1, 3, 4, 5])];
    let cast = |from, to| node("Cast", "", &[from], &[to], vec![("to", Attr::Int(FLOAT))]);
    let shape = |of, to| node("Shape", "", &[of], &[to], vec![]);
    let nodes = vec![
        shape("x", "sx"),
        node("Slice", "", &["sx", "two", "end"], &["cx"], vec![]),
        cast("cx", "fx"),
        shape("z", "sz"),
        node("Slice", "", &["sz", "two", "end"], &["cz"], vec![]),
        cast("cz", "fz"),
        node("Div", "", &["fx", "fz"], &["q"], vec![]),
        node("Floor", "", &["q"], &["w"], vec![]),
        node("Concat", "", &["ones", "w"], &["f"], vec![("axis", Attr::Int(0))]),
        node("Resize", "", &["z", "", "f"], &["y"], vec![]),
    ];
    let weights = vec![wholes("two", &[2]), wholes("end", &[4]), reals("ones", &[1.0, 1.0])];
    assert_eq!(told(13, &inputs, weights, nodes, &["y"]), ["float32 [null,3,8,10]"]);
}

#[test]
fn shapes_may_be_picked_by_conditions() {
    // How PyTorch writes `expand(-1, 4)`: where the target is -1, the size is 1.
    let nodes = vec![
        node("Shape", "", &["t"], &["n"], vec![]),
        node("ConstantOfShape", "", &["n"], &["o"], vec![]),
        node("Cast", "", &["o"], &["zeros"], vec![("to", Attr::Int(INT64))]),
        node("Add", "", &["zeros", "one"], &["ones"], vec![]),
        node("Neg", "", &["ones"], &["minus"], vec![]),
        node("Equal", "", &["t", "minus"], &["c"], vec![]),
        node("Where", "", &["c", "ones", "t"], &["s"], vec![]),
        node("Expand", "", &["x", "s"], &["y"], vec![]),
    ];
    let weights = vec![wholes("t", &[-1, 4]), wholes("one", &[1])];
    assert_eq!(told(13, &[In("x", FLOAT, &[3, 1])], weights, nodes, &["y"]), ["float32 [3,4]"]);
}

#[test]
fn what_a_reshape_copies_is_on_both_sides() {
    let reshape = |from: &[i64], to: &[i64]| {
        one(13, ("", "Reshape"), &[In("x", FLOAT, from)], vec![wholes("s", to)], &["x", "s"], vec![])
    };
    assert_eq!(reshape(&[-1, 2, 4], &[0, -1]), "float32 [null,8]");
    assert_eq!(reshape(&[-1, -1, 4, 6], &[0, 0, -1, 2]), "float32 [null,null,12,2]");
    assert_eq!(reshape(&[-1, 2, 4], &[-1, 8]), "float32 [null,8]");
    assert_eq!(reshape(&[2, 3, 4], &[-1, 5]), "float32 [null,5]");
    assert_eq!(reshape(&[0, 4], &[-1, 2]), "float32 [null,2]");
}

#[test]
fn attention_of_onnx_runtime() {
    let ms = |op: &'static str| ("com.microsoft", op);
    let x = In("x", FLOAT, &[-1, 7, 8]);
    let w = In("w", FLOAT, &[8, 24]);
    let heads = || vec![("num_heads", Attr::Int(2))];
    assert_eq!(one(13, ms("Attention"), &[x, w], vec![], &["x", "w"], heads()), "float32 [null,7,8]");
    let sizes = vec![("num_heads", Attr::Int(2)), ("qkv_hidden_sizes", Attr::Ints(&[8, 8, 12]))];
    let inputs = || [In("x", FLOAT, &[-1, 7, 8]), In("w", FLOAT, &[8, 28])];
    assert_eq!(one(13, ms("Attention"), &inputs(), vec![], &["x", "w"], sizes), "float32 [null,7,12]");
    assert_eq!(one(13, ms("Attention"), &inputs(), vec![], &["x", "w"], heads()), "float32 [null,7,null]");
    let three = [In("q", FLOAT, &[2, 7, 8]), In("k", FLOAT, &[2, 9, 8]), In("v", FLOAT, &[2, 9, 10])];
    assert_eq!(
        one(13, ms("MultiHeadAttention"), &three, vec![], &["q", "k", "v"], heads()),
        "float32 [2,7,10]"
    );
    let packed = [In("q", FLOAT, &[2, 7, 2, 3, 5])];
    assert_eq!(one(13, ms("MultiHeadAttention"), &packed, vec![], &["q"], heads()), "float32 [2,7,10]");
    let grouped = || vec![("num_heads", Attr::Int(4)), ("kv_num_heads", Attr::Int(2))];
    let packed = [In("q", FLOAT, &[2, 7, 64])];
    assert_eq!(one(13, ms("GroupQueryAttention"), &packed, vec![], &["q"], grouped()), "float32 [2,7,32]");
    let names = ["a", "w", "b", "s"];
    let quantized =
        [In("a", UINT8, &[2, 7, 8]), In("w", UINT8, &[8, 24]), In("b", FLOAT, &[24]), In("s", FLOAT, &[])];
    assert_eq!(one(13, ms("QAttention"), &quantized, vec![], &names, heads()), "float32 [2,7,8]");
}

#[test]
fn quantized_operators_of_onnx_runtime() {
    let ms = |op: &'static str| ("com.microsoft", op);
    let x = || In("x", UINT8, &[-1, 6, 8, 9]);
    let s = || In("s", FLOAT, &[]);
    let z = || In("z", UINT8, &[]);
    let last = || vec![("channels_last", Attr::Int(1))];
    let names = ["x", "s", "z", "s", "z"];
    let average = |attrs| one(13, ms("QLinearGlobalAveragePool"), &[x(), s(), z()], vec![], &names, attrs);
    assert_eq!(average(vec![]), "uint8 [null,6,1,1]");
    assert_eq!(average(last()), "uint8 [null,1,1,9]");
    let image = In("x", FLOAT, &[-1, 3]);
    let to = |names: &[&str]| {
        one(13, ms("QuantizeLinear"), &[In("x", FLOAT, &[-1, 3]), s(), z()], vec![], names, vec![])
    };
    assert_eq!(to(&["x", "s", "z"]), "uint8 [null,3]");
    let back = one(
        13,
        ms("DequantizeLinear"),
        &[In("q", UINT8, &[4]), s(), z(), image],
        vec![],
        &["q", "s", "z"],
        vec![],
    );
    assert_eq!(back, "float32 [4]");
    let pool = |attrs: Vec<(&'static str, Attr<'static>)>| {
        let mut all = vec![("kernel_shape", Attr::Ints(&[2, 2])), ("strides", Attr::Ints(&[2, 2]))];
        all.extend(attrs);
        one(13, ms("QLinearAveragePool"), &[x(), s(), z()], vec![], &names, all)
    };
    assert_eq!(pool(vec![]), "uint8 [null,6,4,4]");
    assert_eq!(pool(last()), "uint8 [null,3,4,9]");
    let matrices = || [In("a", FLOAT, &[5, 2, 3]), In("b", FLOAT, &[5, 4, 3])];
    let turned = vec![("transB", Attr::Int(1))];
    assert_eq!(one(13, ms("FusedMatMul"), &matrices(), vec![], &["a", "b"], turned), "float32 [5,2,4]");
    let stacks = vec![("transBatchB", Attr::Int(1))];
    assert_eq!(one(13, ms("FusedMatMul"), &matrices(), vec![], &["a", "b"], stacks), "float32 null");
    let bits = vec![("N", Attr::Int(11))];
    assert_eq!(one(13, ms("MatMulNBits"), &matrices(), vec![], &["a", "b"], bits), "float32 [5,2,11]");
    let parts = ["s", "z", "x", "s", "z", "x", "s", "z"];
    let joined = one(13, ms("QLinearConcat"), &[x(), s(), z()], vec![], &parts, vec![("axis", Attr::Int(1))]);
    assert_eq!(joined, "uint8 [null,12,8,9]");
}

#[test]
fn operators_of_the_newest_sets() {
    let three = || [In("q", FLOAT, &[2, 4, 32]), In("k", FLOAT, &[2, 4, 16]), In("v", FLOAT, &[2, 4, 24])];
    let heads = vec![("q_num_heads", Attr::Int(4)), ("kv_num_heads", Attr::Int(2))];
    let nodes = vec![node("LinearAttention", "", &["q", "k", "v"], &["y", "s"], heads)];
    assert_eq!(told(27, &three(), vec![], nodes, &["y", "s"]), ["float32 [2,4,48]", "float32 [2,2,8,12]"]);
    let inputs = [In("x", FLOAT, &[2, 4, -1]), In("w", FLOAT, &[4, 1, 5])];
    let nodes = vec![node("CausalConvWithState", "", &["x", "w"], &["y", "s"], vec![])];
    assert_eq!(told(27, &inputs, vec![], nodes, &["y", "s"]), ["float32 [2,4,null]", "float32 [2,4,4]"]);
    let four =
        [In("q", FLOAT, &[2, 4, 8, 16]), In("k", FLOAT, &[2, 2, 9, 16]), In("v", FLOAT, &[2, 2, 9, 6])];
    let op = ("ai.onnx.preview", "FlexAttention");
    assert_eq!(one(1, op, &four, vec![], &["q", "k", "v"], vec![]), "float32 [2,4,8,6]");
}

#[test]
fn the_first_scan_goes_through_each_row_apart() {
    let body = message(|w| {
        w.message(1, node("Add", "", &["a", "b"], &["c"], vec![]));
        w.message(1, node("Identity", "", &["c"], &["d"], vec![]));
        for name in ["a", "b"] {
            w.message(11, message(|w| w.bytes(1, name.as_bytes())));
        }
        for name in ["c", "d"] {
            w.message(12, message(|w| w.bytes(1, name.as_bytes())));
        }
    });
    let attrs = vec![("num_scan_inputs", Attr::Int(1)), ("body", Attr::Graph(body))];
    let inputs = [In("i", FLOAT, &[6, 2]), In("x", FLOAT, &[6, 3, 2])];
    let nodes = vec![node("Scan", "", &["", "i", "x"], &["y", "z"], attrs)];
    assert_eq!(told(8, &inputs, vec![], nodes, &["y", "z"]), ["float32 [6,2]", "float32 [6,3,2]"]);
}

#[test]
fn half_a_spectrum_is_that_of_an_even_length() {
    let dft = |attrs| one(19, ("", "DFT"), &[In("x", FLOAT, &[1, 6, 10, 2])], vec![], &["x"], attrs);
    let back = vec![("inverse", Attr::Int(1)), ("onesided", Attr::Int(1)), ("axis", Attr::Int(1))];
    assert_eq!(dft(back), "float32 [1,10,10,1]");
}

#[test]
fn encoders_of_classical_learning() {
    let ml = |op: &'static str| ("ai.onnx.ml", op);
    let x = || [In("x", INT64, &[-1, 1])];
    let hot = vec![("cats_int64s", Attr::Ints(&[1, 2, 5]))];
    assert_eq!(one(15, ml("OneHotEncoder"), &x(), vec![], &["x"], hot), "float32 [null,1,3]");
    let sizes = vec![("inputdimensions", Attr::Ints(&[1, 1]))];
    assert_eq!(one(15, ml("FeatureVectorizer"), &x(), vec![], &["x", "x"], sizes), "float32 [null,2]");
    assert_eq!(one(15, ml("CategoryMapper"), &x(), vec![], &["x"], vec![]), "string [null,1]");
}
