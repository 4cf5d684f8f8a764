//! Models made by hand, through the whole engine: every dtype, every way to load, every way to lie.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::error::{Error, Kind};
use crate::model::pb::Writer;

/// A `ModelProto` in the making.
#[derive(Default)]
struct Made {
    nodes: Vec<Writer>,
    inputs: Vec<Writer>,
    outputs: Vec<Writer>,
    weights: Vec<Writer>,
    opset: u64,
}

fn message(fields: impl FnOnce(&mut Writer)) -> Writer {
    let mut w = Writer::new();
    fields(&mut w);
    w
}

/// A `ValueInfoProto`; a dimension is a size, a name, or unknown when that is empty.
fn value(name: &str, elem: u64, dims: Option<&[&str]>) -> Writer {
    let dim = |text: &str| {
        message(|w| match text.parse() {
            Ok(size) => w.int(1, size),
            Err(_) if text.is_empty() => {}
            Err(_) => w.bytes(2, text.as_bytes()),
        })
    };
    let tensor = message(|w| {
        w.varint(1, elem);
        if let Some(dims) = dims {
            w.message(2, message(|w| dims.iter().for_each(|d| w.message(1, dim(d)))));
        }
    });
    message(|w| {
        w.bytes(1, name.as_bytes());
        w.message(2, message(|w| w.message(1, tensor)));
    })
}

fn node(domain: &str, op: &str, inputs: &[&str], outputs: &[&str], attributes: Vec<Writer>) -> Writer {
    message(|w| {
        inputs.iter().for_each(|i| w.bytes(1, i.as_bytes()));
        outputs.iter().for_each(|o| w.bytes(2, o.as_bytes()));
        w.bytes(4, op.as_bytes());
        attributes.into_iter().for_each(|a| w.message(5, a));
        w.bytes(7, domain.as_bytes());
    })
}

fn int(name: &str, value: i64) -> Writer {
    message(|w| {
        w.bytes(1, name.as_bytes());
        w.int(3, value);
        w.varint(20, 2);
    })
}

fn weight(name: &str, elem: u64, dims: &[i64], raw: &[u8]) -> Writer {
    message(|w| {
        dims.iter().for_each(|d| w.int(1, *d));
        w.varint(2, elem);
        w.bytes(8, name.as_bytes());
        w.bytes(9, raw);
    })
}

fn elsewhere(name: &str, dims: &[i64], location: &str) -> Writer {
    message(|w| {
        dims.iter().for_each(|d| w.int(1, *d));
        w.varint(2, 1);
        w.bytes(8, name.as_bytes());
        let entry = message(|w| {
            w.bytes(1, b"location");
            w.bytes(2, location.as_bytes());
        });
        w.message(13, entry);
        w.varint(14, 1);
    })
}

impl Made {
    fn new() -> Self {
        Self { opset: 17, ..Self::default() }
    }

    fn opset(mut self, version: u64) -> Self {
        self.opset = version;
        self
    }

    fn input(mut self, name: &str, elem: u64, dims: &[&str]) -> Self {
        self.inputs.push(value(name, elem, Some(dims)));
        self
    }

    fn output(mut self, name: &str, elem: u64, dims: &[&str]) -> Self {
        self.outputs.push(value(name, elem, Some(dims)));
        self
    }

    fn node(mut self, op: &str, inputs: &[&str], outputs: &[&str]) -> Self {
        self.nodes.push(node("", op, inputs, outputs, Vec::new()));
        self
    }

    fn with(mut self, node: Writer) -> Self {
        self.nodes.push(node);
        self
    }

    fn weight(mut self, weight: Writer) -> Self {
        self.weights.push(weight);
        self
    }

    fn bytes(self) -> Vec<u8> {
        let graph = message(|w| {
            self.nodes.into_iter().for_each(|n| w.message(1, n));
            w.bytes(2, b"g");
            self.weights.into_iter().for_each(|n| w.message(5, n));
            self.inputs.into_iter().for_each(|n| w.message(11, n));
            self.outputs.into_iter().for_each(|n| w.message(12, n));
        });
        message(|w| {
            w.varint(1, 8);
            w.message(7, graph);
            w.message(8, message(|w| w.varint(2, self.opset)));
            let acme = message(|w| {
                w.bytes(1, b"com.acme");
                w.varint(2, 1);
            });
            w.message(8, acme);
        })
        .finish()
    }

    fn load(self) -> crate::Result<Engine> {
        load_bytes(&self.bytes())
    }
}

fn in_folder<R>(bytes: &[u8], then: impl FnOnce(&Path) -> R) -> R {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.onnx");
    fs::write(&file, bytes).unwrap();
    then(&file)
}

fn load_bytes(bytes: &[u8]) -> crate::Result<Engine> {
    in_folder(bytes, |file| load(file, 1))
}

fn floats(shape: &[usize], values: &[f32]) -> Tensor {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    Tensor::fixed(DType::Float32, shape.to_vec(), bytes).unwrap()
}

fn ints(shape: &[usize], values: &[i64]) -> Tensor {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    Tensor::fixed(DType::Int64, shape.to_vec(), bytes).unwrap()
}

fn refused(result: crate::Result<Engine>) -> Error {
    let e = result.unwrap_err();
    assert_eq!(e.kind(), Kind::Model, "{e}");
    assert!(!e.to_string().contains('\n') && !e.to_string().contains("backtrace"), "{e}");
    e
}

/// ONNX's number, dtype, and some bytes of two elements that a careless conversion would change.
const TYPES: &[(u64, DType, &[u8])] = &[
    (1, DType::Float32, &[1, 0, 0xa0, 0x7f, 0, 0, 0x80, 0xff]),
    (2, DType::UInt8, &[0xff, 1]),
    (3, DType::Int8, &[0x80, 1]),
    (4, DType::UInt16, &[0xff, 0xff, 1, 0]),
    (5, DType::Int16, &[0, 0x80, 1, 0]),
    (6, DType::Int32, &[0, 0, 0, 0x80, 1, 0, 0, 0]),
    (7, DType::Int64, &[0, 0, 0, 0, 0, 0, 0, 0x80, 1, 0, 0, 0, 0, 0, 0, 0]),
    (9, DType::Bool, &[0, 1]),
    (10, DType::Float16, &[1, 0x7d, 0, 0xfc]),
    (11, DType::Float64, &[1, 0, 0, 0, 0, 0, 0xf4, 0x7f, 0, 0, 0, 0, 0, 0, 0xf0, 0xff]),
    (12, DType::UInt32, &[0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0]),
    (13, DType::UInt64, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0, 0, 0, 0]),
];

#[test]
fn every_dtype_passes_unchanged() {
    for (elem, dtype, bytes) in TYPES {
        let made = Made::new().input("x", *elem, &["N"]).output("y", *elem, &["N"]);
        let engine = made.node("Identity", &["x"], &["y"]).load().unwrap();
        assert_eq!(engine.inputs(), [Port { name: "x".into(), dtype: *dtype, shape: Some(vec![None]) }]);
        let given = Tensor::fixed(*dtype, vec![2], bytes.to_vec()).unwrap();
        assert_eq!(engine.run(vec![given.clone()]), Ok(vec![given]), "{dtype}");
        let none = Tensor::fixed(*dtype, vec![0], Vec::new()).unwrap();
        assert_eq!(engine.run(vec![none.clone()]), Ok(vec![none]), "{dtype}, empty");
    }
}

#[test]
fn strings_pass_and_must_be_utf8() {
    let made = Made::new().input("x", 8, &["N"]).output("y", 8, &["N"]);
    let engine = made.node("Identity", &["x"], &["y"]).load().unwrap();
    let given = Tensor::strings(vec![2], vec![Bytes::from_static("grün".as_bytes()), Bytes::new()]).unwrap();
    assert_eq!(engine.run(vec![given.clone()]), Ok(vec![given]));
    let bad = Tensor::strings(vec![1], vec![Bytes::from_static(b"\xff")]).unwrap();
    assert!(matches!(engine.run(vec![bad]), Err(Failure::Input(why)) if why.contains("UTF-8")));
}

#[test]
fn a_byte_that_is_no_bool_becomes_one() {
    let made = Made::new().input("x", 9, &["N"]).output("y", 9, &["N"]);
    let engine = made.node("Not", &["x"], &["y"]).load().unwrap();
    let given = Tensor::fixed(DType::Bool, vec![3], vec![0, 1, 7]).unwrap();
    let want = Tensor::fixed(DType::Bool, vec![3], vec![1, 0, 0]).unwrap();
    assert_eq!(engine.run(vec![given]), Ok(vec![want]));
}

#[test]
fn casts_between_numbers_have_the_port_s_dtype() {
    for (elem, dtype, bytes) in TYPES {
        let cast = node("", "Cast", &["x"], &["y"], vec![int("to", i64::try_from(*elem).unwrap())]);
        let made = Made::new().input("x", 1, &["N"]).output("y", *elem, &["N"]);
        let engine = made.with(cast).load().unwrap();
        let out = engine.run(vec![floats(&[2], &[0.0, 1.0])]).unwrap();
        assert_eq!((out[0].dtype(), out[0].shape()), (*dtype, &[2usize][..]));
        let Data::Fixed(data) = out[0].data() else { panic!("{dtype} is no string") };
        assert_eq!(data.len(), bytes.len());
        assert!(data[..bytes.len() / 2].iter().all(|b| *b == 0), "{dtype}");
        assert!(data[bytes.len() / 2..].iter().any(|b| *b != 0), "{dtype}");
    }
}

/// `y = x · [[1, 2], [3, 4]]`.
fn product(batch: &str) -> Made {
    let raw: Vec<u8> = [1f32, 2.0, 3.0, 4.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    let made = Made::new().input("x", 1, &[batch, "2"]).output("y", 1, &[batch, "2"]);
    made.weight(weight("w", 1, &[2, 2], &raw)).node("MatMul", &["x", "w"], &["y"])
}

#[test]
fn a_batch_may_have_any_size_whether_it_has_a_name_or_not() {
    for batch in ["N", ""] {
        let engine = product(batch).load().unwrap();
        assert_eq!(engine.backend(), "tract");
        assert_eq!(engine.outputs()[0].shape, Some(vec![None, Some(2)]));
        for rows in [1usize, 3, 0, 64] {
            let out = engine.run(vec![floats(&[rows, 2], &[1.0, 1.0].repeat(rows))]).unwrap();
            assert_eq!(out, [floats(&[rows, 2], &[4.0, 6.0].repeat(rows))]);
        }
        let wrong = engine.run(vec![floats(&[1, 3], &[0.0; 3])]);
        assert!(matches!(wrong, Err(Failure::Input(_))), "{wrong:?}");
        let few = engine.run(Vec::new());
        assert_eq!(few, Err(Failure::Input("the model takes 1 inputs, 0 were given".into())));
    }
}

#[test]
fn batches_that_must_be_the_same_are_taken_to_be() {
    let made = Made::new().input("a", 1, &["", "1"]).input("b", 1, &["", "1"]).output("y", 1, &["", "2"]);
    let concat = node("", "Concat", &["a", "b"], &["y"], vec![int("axis", 1)]);
    let engine = made.with(concat).load().unwrap();
    let out = engine.run(vec![floats(&[2, 1], &[1.0, 2.0]), floats(&[2, 1], &[3.0, 4.0])]).unwrap();
    assert_eq!(out, [floats(&[2, 2], &[1.0, 3.0, 2.0, 4.0])]);
    let wrong = engine.run(vec![floats(&[2, 1], &[1.0, 2.0]), floats(&[1, 1], &[3.0])]);
    assert!(wrong.is_err(), "{wrong:?}");
}

#[test]
fn sizes_that_are_all_a_model_gives_are_told() {
    let made = Made::new().input("x", 1, &["", "", "3"]).output("s", 7, &["3"]).output("n", 7, &[]);
    let engine = made.node("Shape", &["x"], &["s"]).node("Size", &["x"], &["n"]).load().unwrap();
    assert_eq!(engine.backend(), "tract");
    let out = engine.run(vec![floats(&[2, 4, 3], &[0.0; 24])]);
    assert_eq!(out, Ok(vec![ints(&[3], &[2, 4, 3]), ints(&[], &[24])]));
}

/// A graph that tract can only follow with known shapes, of a type that rten does not hold.
fn without_rank() -> Made {
    let mut made = Made::new().node("Add", &["x", "x"], &["y"]).node("Shape", &["y"], &["s"]);
    made.inputs.push(value("x", 11, None));
    made.outputs.push(value("y", 11, None));
    made.outputs.push(value("s", 7, None));
    made
}

#[test]
fn a_graph_that_needs_its_shapes_gets_a_plan_for_each() {
    let engine = without_rank().load().unwrap();
    assert_eq!(engine.backend(), "tract");
    assert_eq!(engine.inputs()[0].shape, None);
    for rank in 1..9usize {
        let count = 1usize << rank;
        let given: Vec<u8> = std::iter::repeat_n(1.5f64.to_le_bytes(), count).flatten().collect();
        let want: Vec<u8> = std::iter::repeat_n(3f64.to_le_bytes(), count).flatten().collect();
        let given = Tensor::fixed(DType::Float64, vec![2; rank], given).unwrap();
        let want = Tensor::fixed(DType::Float64, vec![2; rank], want).unwrap();
        let out = engine.run(vec![given]).unwrap();
        assert_eq!(out, [want, ints(&[rank], &[2].repeat(rank))]);
    }
}

#[test]
fn requests_of_one_new_shape_at_once_all_get_their_answer() {
    let engine = without_rank().load().unwrap();
    let given = Tensor::fixed(DType::Float64, vec![3], vec![0; 24]).unwrap();
    std::thread::scope(|scope| {
        let run = || scope.spawn(|| engine.run(vec![given.clone()]).unwrap());
        let all: Vec<_> = (0..8).map(|_| run()).collect();
        for thread in all {
            assert_eq!(thread.join().unwrap(), [given.clone(), ints(&[1], &[3])]);
        }
    });
}

/// tract wants the axis to be a constant; rten does not.
fn sums(elem: u64) -> Made {
    let made = Made::new().input("x", elem, &["N"]).input("axis", 7, &[]).output("y", elem, &["N"]);
    made.node("CumSum", &["x", "axis"], &["y"])
}

#[test]
fn rten_runs_what_tract_does_not_with_the_dtypes_of_the_ports() {
    let engine = sums(7).load().unwrap();
    assert_eq!(engine.backend(), "rten");
    let out = engine.run(vec![ints(&[3], &[1, 2, 3]), ints(&[], &[0])]).unwrap();
    assert_eq!(out, [ints(&[3], &[1, 3, 6])]);
    let wide = engine.run(vec![ints(&[1], &[1 << 31]), ints(&[], &[0])]);
    let Err(Failure::Input(why)) = wide else { panic!("{wide:?}") };
    assert!(why.starts_with("the input `x` has a number outside the range of int32"), "{why}");
}

#[test]
fn rten_gets_no_types_that_it_would_narrow() {
    let e = refused(sums(11).load());
    assert!(e.to_string().contains("CumSum") && e.to_string().contains("rten"), "{e}");
}

#[test]
fn rten_keeps_the_bits_of_what_it_holds() {
    for (elem, dtype, bytes) in TYPES.iter().filter(|(_, d, _)| rten::holds(*d)) {
        let made = Made::new().input("x", *elem, &["N"]).output("y", *elem, &["N"]);
        let made = made.node("Identity", &["x"], &["y"]).bytes();
        let engine = in_folder(&made, |file| load_with(file, 2, Some("rten"))).unwrap();
        assert_eq!(engine.backend(), "rten");
        let bytes = if *dtype == DType::Int64 { &[255; 16] } else { *bytes };
        let given = Tensor::fixed(*dtype, vec![2], bytes.to_vec()).unwrap();
        assert_eq!(engine.run(vec![given.clone()]), Ok(vec![given]), "{dtype}");
    }
}

#[test]
fn an_engine_is_asked_for_by_its_name() {
    let bytes = product("N").bytes();
    for name in ["tract", "rten"] {
        assert_eq!(in_folder(&bytes, |f| load_with(f, 1, Some(name))).unwrap().backend(), name);
    }
    let e = in_folder(&bytes, |f| load_with(f, 1, Some("ort"))).unwrap_err();
    assert_eq!((e.kind(), e.message()), (Kind::Usage, "there is no engine `ort`, only tract and rten"));
}

#[test]
fn operators_that_nobody_has_are_named_in_order() {
    let made = Made::new().input("x", 1, &["2"]).output("y", 1, &["2"]).node("Optional", &["x"], &["a"]);
    let made = made.with(node("com.acme", "Frobnicate", &["a"], &["b"], Vec::new()));
    // tract knows operators by their name alone, and would run this as the standard's.
    let made = made.with(node("com.acme", "Relu", &["b"], &["y"], Vec::new()));
    let e = refused(made.load());
    let want = "no engine has the operators ai.onnx.Optional (opset 17), com.acme.Frobnicate (opset 1), \
                com.acme.Relu (opset 1)";
    assert!(e.message().ends_with(want), "{e}");
    assert!(e.hint_text().unwrap().contains("ONNX Runtime"));
}

#[test]
fn not_more_operators_are_named_than_can_be_read() {
    let mut made = Made::new().input("x", 1, &["2"]).output("y", 1, &["2"]).node("Relu", &["x"], &["y"]);
    for n in 0..14 {
        let (op, out) = (format!("Op{n:02}"), format!("v{n}"));
        made = made.with(node("com.acme", &op, &["x"], &[out.as_str()], Vec::new()));
    }
    let e = refused(made.load());
    assert!(e.message().ends_with("com.acme.Op09 (opset 1) and 4 more"), "{e}");
}

#[test]
fn an_operator_that_an_engine_gets_wrong_counts_as_missing() {
    let reverse = message(|w| {
        w.bytes(1, b"direction");
        w.bytes(4, b"reverse");
        w.varint(20, 3);
    });
    let gru = |attributes| {
        let made = Made::new().input("x", 1, &["1", "1", "1"]).output("y", 1, &["1", "1", "1", "1"]);
        let made = made.weight(weight("w", 1, &[1, 3, 1], &[0; 12]));
        made.with(node("", "GRU", &["x", "w", "w"], &["y"], attributes)).load()
    };
    let e = refused(gru(vec![int("hidden_size", 1), reverse]));
    assert!(e.message().ends_with("no engine has the operators ai.onnx.GRU (opset 17)"), "{e}");
    assert_eq!(gru(vec![int("hidden_size", 1)]).unwrap().backend(), "tract");
}

#[test]
fn the_operators_of_a_file_are_told() {
    let made = Made::new().input("x", 1, &["2"]).output("y", 1, &["2"]).node("Relu", &["x"], &["a"]);
    let made = made.with(node("com.acme", "Relu", &["a"], &["y"], Vec::new()));
    let found = in_folder(&made.bytes(), operators).unwrap();
    let names: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["ai.onnx.Relu (opset 17)", "com.acme.Relu (opset 1)"]);
}

#[test]
fn an_operator_inside_a_branch_counts() {
    let branch = |name: &str| {
        let graph = message(|w| {
            w.message(1, node("com.acme", "Inside", &["x"], &["o"], Vec::new()));
            w.message(12, value("o", 1, Some(&["2"])));
        });
        message(|w| {
            w.bytes(1, name.as_bytes());
            w.message(6, graph);
            w.varint(20, 5);
        })
    };
    let made = Made::new().input("x", 1, &["2"]).input("c", 9, &[]).output("y", 1, &["2"]);
    let branches = vec![branch("then_branch"), branch("else_branch")];
    let e = refused(made.with(node("", "If", &["c"], &["y"], branches)).load());
    assert!(e.message().ends_with("the operators com.acme.Inside (opset 1)"), "{e}");
}

#[test]
fn a_check_runs_the_model_once() {
    let checked = in_folder(&product("N").bytes(), check).unwrap();
    assert_eq!(checked, Checked { backend: "tract", warnings: Vec::new() });
    let checked = in_folder(&sums(7).bytes(), check).unwrap();
    assert_eq!(checked, Checked { backend: "rten", warnings: Vec::new() });
}

#[test]
fn made_up_values_that_a_model_does_not_like_are_a_warning() {
    // The axis 0 does not exist in a scalar.
    let made = Made::new().input("x", 7, &[]).input("axis", 7, &[]).output("y", 7, &[]);
    let checked = in_folder(&made.node("CumSum", &["x", "axis"], &["y"]).bytes(), check).unwrap();
    assert_eq!(checked.warnings.len(), 1);
    assert!(checked.warnings[0].contains("made-up values"), "{}", checked.warnings[0]);
}

#[test]
fn what_is_said_to_be_of_another_type_is_not_loaded() {
    let made = Made::new().input("x", 1, &["2"]).output("y", 7, &["2"]).node("Relu", &["x"], &["y"]);
    let e = refused(made.load());
    assert!(e.to_string().contains("the output `y` is float32, the model says int64"), "{e}");
}

#[test]
fn values_that_are_no_tensors_are_refused_by_name() {
    let tensor = message(|w| w.message(1, message(|w| w.varint(1, 1))));
    let sequence = message(|w| w.message(4, message(|w| w.message(1, tensor))));
    let mut made = Made::new().input("x", 1, &["2"]).node("SequenceConstruct", &["x"], &["y"]);
    made.outputs.push(message(|w| {
        w.bytes(1, b"y");
        w.message(2, sequence);
    }));
    let e = refused(made.load());
    assert!(
        e.message().ends_with("the output `y` is seq(tensor(float)), and an engine gives tensors only"),
        "{e}"
    );
}

#[test]
fn weights_are_no_inputs_whether_they_may_be_given_or_not() {
    for name in ["made_overridable", "made_weights_are_inputs"] {
        let folder =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/models/onnx").join(name).join("model");
        let file = fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).find(|p| p.is_file()).unwrap();
        let engine = load(&file, 1).unwrap();
        assert_eq!(engine.inputs().len(), 1, "{name}: {engine:?}");
        assert_eq!(check(&file).unwrap().warnings, Vec::<String>::new(), "{name}");
    }
}

/// `y = x · w`, with `w` in another file.
fn with_file(location: &str) -> Vec<u8> {
    let made = Made::new().input("x", 1, &["N", "2"]).output("y", 1, &["N", "2"]);
    made.weight(elsewhere("w", &[2, 2], location)).node("MatMul", &["x", "w"], &["y"]).bytes()
}

#[test]
fn weights_in_a_file_beside_the_model_are_read() {
    let raw: Vec<u8> = [1f32, 2.0, 3.0, 4.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    in_folder(&with_file("w.bin"), |file| {
        let beside = file.with_file_name("w.bin");
        fs::write(&beside, &raw).unwrap();
        let engine = load(file, 1).unwrap();
        let out = engine.run(vec![floats(&[1, 2], &[1.0, 1.0])]);
        assert_eq!(out, Ok(vec![floats(&[1, 2], &[4.0, 6.0])]));
        fs::write(&beside, &raw[1..]).unwrap();
        let e = refused(load(file, 1));
        assert!(
            e.message().ends_with("a weight lies in `w.bin` up to byte 16, the file has 15 bytes"),
            "{e}"
        );
        fs::remove_file(&beside).unwrap();
        let e = refused(load(file, 1));
        assert!(e.message().ends_with("a weight lies in `w.bin`, which is not beside the model"), "{e}");
    });
}

#[test]
fn weights_outside_the_model_are_refused_before_they_are_opened() {
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret");
    fs::write(&secret, [0; 16]).unwrap();
    let absolute = secret.to_str().unwrap();
    for location in
        [absolute, "../secret", "a/../../secret", "", ".", "c:secret", "..\\secret", "link", "dir/secret"]
    {
        in_folder(&with_file(location), |file| {
            std::os::unix::fs::symlink(&secret, file.with_file_name("link")).unwrap();
            std::os::unix::fs::symlink(outside.path(), file.with_file_name("dir")).unwrap();
            let e = refused(load(file, 1));
            assert!(e.message().contains("not a path inside the model"), "{location}: {e}");
        });
    }
}

#[test]
fn tensors_that_claim_more_than_they_hold_are_refused_before_they_are_made() {
    let huge = |w: Writer| {
        let made = Made::new().input("x", 1, &["2"]).output("y", 1, &["2"]);
        refused(made.weight(w).node("Add", &["x", "w"], &["y"]).load())
    };
    let e = huge(weight("w", 1, &[1 << 40], &[0; 4]));
    assert!(e.message().contains("the weight `w` has the shape [1099511627776] and 4 bytes"), "{e}");
    let e = huge(weight("w", 1, &[1 << 40, 1 << 40], &[0; 4]));
    assert!(e.message().contains("cannot have the shape"), "{e}");
    huge(weight("w", 1, &[-1], &[]));
    huge(weight("w", 8, &[1 << 40], &[]));
    let shape: Vec<u8> = (1i64 << 40).to_le_bytes().to_vec();
    let made = Made::new().output("y", 1, &[""]).weight(weight("s", 7, &[1], &shape));
    let e = refused(made.node("ConstantOfShape", &["s"], &["y"]).load());
    assert!(e.message().contains("would make a tensor of 1099511627776 elements"), "{e}");
}

#[test]
fn depth_is_bounded_in_graphs_and_in_the_names_of_dimensions() {
    let mut graph = message(|w| w.bytes(2, b"innermost"));
    for _ in 0..200 {
        let inner = message(|w| {
            w.bytes(1, b"body");
            w.message(6, graph);
        });
        graph = message(|w| w.message(1, node("", "If", &[], &[], vec![inner])));
    }
    let bytes = message(|w| {
        w.varint(1, 8);
        w.message(7, graph);
    });
    assert!(refused(load_bytes(&bytes.finish())).to_string().contains("nested"));
    for name in ["(".repeat(200), "-".repeat(200)] {
        let e = refused(Made::new().input("x", 1, &[name.as_str()]).load());
        assert!(e.message().contains("a name of 200 levels"), "{e}");
    }
}

#[test]
fn a_model_that_is_cut_off_anywhere_is_an_error_or_a_smaller_model() {
    let bytes = product("N").bytes();
    let loaded = (0..bytes.len()).filter(|n| load_bytes(&bytes[..*n]).is_ok()).count();
    assert!(loaded < 4, "{loaded} of {} beginnings were models", bytes.len());
}

#[test]
fn what_the_graph_does_not_hold_together_is_no_panic() {
    let made = || Made::new().input("x", 1, &["2"]).output("y", 1, &["2"]);
    refused(made().load());
    refused(made().node("Relu", &["nothing"], &["y"]).load());
    refused(made().node("Conv", &["x"], &["y"]).load());
    refused(made().node("", &["x"], &["y"]).load());
    // rten finds this out when it runs.
    for broken in [made().node("Relu", &[], &["y"]), made().opset(1 << 40).node("Add", &["x"], &["y"])] {
        let checked = in_folder(&broken.bytes(), check);
        assert!(checked.is_err() || checked.is_ok_and(|c| c.warnings.len() == 1));
    }
    refused(load_bytes(b""));
    refused(load_bytes(b"\0"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn random_damage_never_panics(at in any::<prop::sample::Index>(), to in any::<u8>(), which in 0..3usize) {
        let mut bytes = match which {
            0 => product("").bytes(),
            1 => sums(7).bytes(),
            _ => without_rank().bytes(),
        };
        let at = at.index(bytes.len());
        bytes[at] = to;
        if let Ok(engine) = load_bytes(&bytes) {
            // Whatever it is now, asking it is safe.
            let _asked = engine.run(vec![floats(&[1, 2], &[1.0, 1.0])]);
        }
    }
}
