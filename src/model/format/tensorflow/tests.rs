//! SavedModels and frozen graphs made by hand.

use std::path::Path;

use super::*;
use crate::model::contract::{DType, Encoding, Known, Signature, Tensor};
use crate::model::format::{BUDGET, Choice, Detection, detect};
use crate::model::pb::Writer;
use crate::model::tree::Selected;

fn message(fields: impl FnOnce(&mut Writer)) -> Writer {
    let mut w = Writer::new();
    fields(&mut w);
    w
}

fn entry(key: &str, value: Writer) -> Writer {
    message(|w| {
        w.bytes(1, key.as_bytes());
        w.message(2, value);
    })
}

fn shape(dims: &[i64]) -> Writer {
    message(|w| {
        for d in dims {
            w.message(2, message(|w| w.int(1, *d)));
        }
    })
}

fn unknown_rank() -> Writer {
    message(|w| w.varint(3, 1))
}

fn info(name: &str, dtype: u64, shape: Option<Writer>) -> Writer {
    message(|w| {
        w.bytes(1, name.as_bytes());
        w.varint(2, dtype);
        if let Some(s) = shape {
            w.message(3, s);
        }
    })
}

fn meta_graph(tags: &[&str], signatures: Vec<Writer>) -> Writer {
    message(|w| {
        w.message(
            1,
            message(|w| {
                for t in tags {
                    w.bytes(4, t.as_bytes());
                }
                w.bytes(5, b"2.0");
            }),
        );
        w.bytes(2, &[0xff; 1000]);
        for s in signatures {
            w.message(5, s);
        }
    })
}

fn saved(graphs: Vec<Writer>) -> Vec<u8> {
    message(|w| {
        w.varint(1, 1);
        for g in graphs {
            w.message(2, g);
        }
    })
    .finish()
}

fn read(bytes: &[u8]) -> Result<Reading> {
    let mut reading = Reading::default();
    saved_model::read(Input::new(&bytes, BUDGET).message(), &mut reading, true)?;
    Ok(reading)
}

fn signatures(r: &Reading) -> &[Signature] {
    r.contract.as_ref().map_or(&[], |c| &c.signatures)
}

/// One signature with these inputs.
fn inputs(all: Vec<(&str, Writer)>) -> Vec<Tensor> {
    let s = message(|w| {
        for (name, t) in all {
            w.message(1, entry(name, t));
        }
    });
    let r = read(&saved(vec![meta_graph(&["serve"], vec![entry("s", s)])])).unwrap();
    signatures(&r)[0].inputs.clone()
}

#[test]
fn unknown_rank_scalar_and_absent_are_three_things() {
    let t = inputs(vec![
        ("a", info("a:0", 1, Some(unknown_rank()))),
        ("b", info("b:0", 1, Some(shape(&[])))),
        ("c", info("c:0", 1, None)),
        ("d", info("d:0", 0, None)),
        ("e", info("e:0", 101, Some(shape(&[-1, 0, -7])))),
        ("f", info("f:0", 77, Some(shape(&[])))),
    ]);
    let shapes: Vec<_> = t.iter().map(|t| (t.shape.clone(), t.known.shape)).collect();
    assert_eq!(shapes[0], (None, Known::Unknown));
    assert_eq!(shapes[1], (Some(vec![]), Known::Stored));
    assert_eq!(shapes[2], (Some(vec![]), Known::Derived));
    assert_eq!((&shapes[3], t[3].dtype, t[3].known.dtype), (&(None, Known::Unknown), None, Known::Unknown));
    assert_eq!(shapes[4].0, Some(vec![None, Some(0), None]));
    assert_eq!((t[4].dtype, t[4].native_type.as_deref()), (Some(DType::Float32), Some("float32_ref")));
    assert_eq!((t[5].dtype, t[5].known.dtype), (None, Known::Unknown));
}

#[test]
fn sparse_and_ragged_tensors() {
    let sparse = message(|w| {
        w.varint(2, 7);
        w.message(3, shape(&[-1, 9]));
        w.message(4, message(|w| w.bytes(1, b"values:0")));
    });
    let ragged = message(|w| {
        w.message(
            5,
            message(|w| {
                let state = message(|w| {
                    let values = message(|w| {
                        w.message(1, message(|w| w.message(31, shape(&[4, -1]))));
                        w.message(1, message(|w| w.varint(32, 3)));
                        w.message(1, message(|w| w.varint(32, 9)));
                    });
                    w.message(52, values);
                });
                w.message(
                    1,
                    message(|w| {
                        w.varint(1, 3);
                        w.message(2, state);
                        w.bytes(3, b"RaggedTensorSpec");
                    }),
                );
                w.message(2, info("flat:0", 3, None));
            }),
        );
    });
    let t = inputs(vec![("r", ragged), ("s", sparse)]);
    assert_eq!(
        (t[0].encoding.clone(), t[0].dtype, t[0].shape.clone()),
        (Encoding::Ragged, Some(DType::Int32), Some(vec![Some(4), None]))
    );
    assert_eq!(t[0].native_type.as_deref(), Some("RaggedTensorSpec"));
    assert_eq!(
        (t[1].encoding.clone(), t[1].dtype, t[1].shape.clone()),
        (Encoding::Sparse, Some(DType::String), Some(vec![None, Some(9)]))
    );
}

#[test]
fn the_meta_graph_tagged_serve_is_the_one() {
    let s = |input: &str| message(|w| w.message(1, entry(input, info("x", 1, None))));
    let r = read(&saved(vec![
        meta_graph(&["train"], vec![entry("train", s("a"))]),
        meta_graph(&["serve", "tpu"], vec![entry("tpu", s("b"))]),
        meta_graph(
            &["serve"],
            vec![
                entry("z", s("c")),
                entry("serving_default", s("d")),
                entry("__saved_model_init_op", s("e")),
            ],
        ),
    ]))
    .unwrap();
    let names: Vec<&str> = signatures(&r).iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["serving_default", "z"]);
    assert_eq!(r.facts["tensorflow.metaGraph[0].signatures"], "train");
    assert_eq!(r.facts["tensorflow.metaGraph[1].tags"], "serve,tpu");
    assert_eq!(r.facts["tensorflow.metaGraphsCount"], "3");
    let r = read(&saved(vec![meta_graph(&["train"], vec![])])).unwrap();
    assert_eq!(r.contract, None);
    assert!(r.warnings[0].contains("no meta graph is tagged `serve`"));
    assert_eq!(r.findings[0].code, "no-signatures");
}

#[test]
fn an_input_with_a_default_is_optional() {
    let s = message(|w| {
        w.message(1, entry("x", info("x:0", 1, None)));
        w.message(1, entry("y", info("y:0", 1, None)));
        w.bytes(3, b"tensorflow/serving/predict");
        w.message(4, entry("y", message(|w| w.varint(1, 1))));
    });
    let r = read(&saved(vec![meta_graph(&["serve"], vec![entry("s", s)])])).unwrap();
    let optional: Vec<bool> = signatures(&r)[0].inputs.iter().map(|t| t.optional).collect();
    assert_eq!(optional, [false, true]);
    assert_eq!(r.facts["tensorflow.signature[s].method"], "tensorflow/serving/predict");
    assert_eq!(r.facts["tensorflow.signature[s].inputs[x].tensor"], "x:0");
}

fn simple(input: &str) -> Vec<u8> {
    let s = message(|w| {
        w.message(1, entry(input, info("x:0", 1, Some(shape(&[-1, 2])))));
        w.message(2, entry("y", info("y:0", 9, Some(shape(&[-1])))));
    });
    saved(vec![meta_graph(&["serve"], vec![entry("serving_default", s)])])
}

fn found(dir: &Path, choice: &Choice<'_>) -> Result<Option<Detection>> {
    let all = Selected { source: dir.to_owned(), dest: Vec::new() };
    detect(&Tree::scan(&[all], &|_, _| false, false).unwrap(), choice)
}

fn put(dir: &Path, path: &str, bytes: &[u8]) {
    let path = dir.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn the_highest_version_is_served() {
    let d = tempfile::tempdir().unwrap();
    put(d.path(), "m/9/saved_model.pb", &simple("old"));
    put(d.path(), "m/010/saved_model.pb", &simple("new"));
    put(d.path(), "m/11/notes.txt", b"not yet");
    let f = found(d.path(), &Choice::default()).unwrap().unwrap();
    assert_eq!(f.location, b"m/010");
    assert_eq!(f.contract.unwrap().signatures[0].inputs[0].name, "new");
    assert_eq!(f.facts["tensorflow.servedVersion"], "010");
    assert!(f.warnings.iter().any(|w| w.contains("version 010")), "{:?}", f.warnings);
    let f = found(d.path(), &Choice { framework: None, path: Some(b"./m/9/") }).unwrap().unwrap();
    assert_eq!(f.contract.unwrap().signatures[0].inputs[0].name, "old");
}

#[test]
fn several_models_are_ambiguous_until_one_is_chosen() {
    let d = tempfile::tempdir().unwrap();
    put(d.path(), "a/saved_model.pb", &simple("a"));
    put(d.path(), "b/saved_model.pb", &simple("b"));
    let e = found(d.path(), &Choice::default()).unwrap_err();
    assert!(
        e.message().contains("ambiguous") && e.message().contains("`a`") && e.message().contains("`b`"),
        "{e}"
    );
    assert!(e.hint_text().unwrap().contains("--model PATH"));
    for path in [&b"b"[..], b"b/saved_model.pb"] {
        let f = found(d.path(), &Choice { framework: None, path: Some(path) }).unwrap().unwrap();
        assert_eq!(f.contract.unwrap().signatures[0].inputs[0].name, "b");
    }
    assert!(found(d.path(), &Choice { framework: None, path: Some(b"../x") }).is_err());
    assert!(found(d.path(), &Choice { framework: None, path: Some(b"c") }).is_err());
    assert!(
        found(d.path(), &Choice { framework: Some("nothing"), path: None })
            .unwrap_err()
            .hint_text()
            .unwrap()
            .contains("onnx")
    );
    assert!(found(d.path(), &Choice { framework: Some("onnx"), path: None }).is_err());
    // What lies at the top is the model, whatever lies below.
    put(d.path(), "saved_model.pb", &simple("top"));
    let f = found(d.path(), &Choice::default()).unwrap().unwrap();
    assert_eq!(f.contract.unwrap().signatures[0].inputs[0].name, "top");
}

#[test]
fn c51_what_is_no_model_is_told_for_what_it_is() {
    let lfs: &[u8] = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n";
    for (name, bytes, code) in [
        ("saved_model.pb", lfs, "lfs-pointer"),
        ("model.onnx", lfs, "lfs-pointer"),
        ("model.onnx", b"  <!DOCTYPE html><html>", "web-page"),
        ("saved_model.pb", b"", "empty-file"),
        ("model.onnx", b"PK\x03\x04....", "not-a-model"),
        ("model.onnx.dvc", b"outs:\n- md5: 0\n", "dvc-pointer"),
    ] {
        let d = tempfile::tempdir().unwrap();
        put(d.path(), name, bytes);
        let f = found(d.path(), &Choice::default()).unwrap().unwrap();
        assert_eq!(f.findings[0].code, code, "{name}");
        assert_eq!(f.failure.as_deref(), Some(f.findings[0].message.as_str()));
        assert_eq!(f.contract, None);
    }
    let d = tempfile::tempdir().unwrap();
    put(d.path(), "saved_model.pb", &simple("x"));
    put(d.path(), "variables/variables.data-00000-of-00001", lfs);
    let f = found(d.path(), &Choice::default()).unwrap().unwrap();
    assert!(f.findings.iter().any(|f| f.code == "lfs-pointer"));
    assert!(f.contract.is_some());
}

#[test]
fn missing_variables_are_a_warning() {
    let d = tempfile::tempdir().unwrap();
    let with_saver = saved(vec![message(|w| {
        w.message(1, message(|w| w.bytes(4, b"serve")));
        w.message(3, message(|w| w.bytes(1, b"save/Const:0")));
        w.message(6, message(|w| w.bytes(2, b"vocab.txt")));
    })]);
    put(d.path(), "saved_model.pb", &with_saver);
    let codes = |f: &Detection| f.findings.iter().map(|f| f.code).collect::<Vec<_>>();
    let f = found(d.path(), &Choice::default()).unwrap().unwrap();
    assert!(codes(&f).contains(&"missing-variables") && codes(&f).contains(&"missing-asset"));
    put(d.path(), "assets/vocab.txt", b"a");
    put(d.path(), "variables/variables.index", b"i");
    put(d.path(), "variables/variables.data-00000-of-00002", b"d");
    let f = found(d.path(), &Choice::default()).unwrap().unwrap();
    assert!(codes(&f).contains(&"missing-variables"));
    put(d.path(), "variables/variables.data-00001-of-00002", b"d");
    let f = found(d.path(), &Choice::default()).unwrap().unwrap();
    assert!(!codes(&f).contains(&"missing-variables") && !codes(&f).contains(&"missing-asset"));
    assert_eq!(f.required.len(), 4);
    assert_eq!(f.role(b"variables/variables.index"), Role::Weights);
    assert_eq!(f.role(b"serve.py"), Role::Code);
}

#[test]
fn a_frozen_graph_has_its_placeholders_and_what_nobody_consumes() {
    let node = |name: &str, op: &str, inputs: &[&str], attrs: Vec<(&str, Writer)>| {
        message(|w| {
            w.bytes(1, name.as_bytes());
            w.bytes(2, op.as_bytes());
            for i in inputs {
                w.bytes(3, i.as_bytes());
            }
            for (key, value) in attrs {
                w.message(5, entry(key, value));
            }
        })
    };
    let ty = |n: u64| message(|w| w.varint(6, n));
    let dims = message(|w| w.message(7, shape(&[-1, 4])));
    let bytes = message(|w| {
        w.message(1, node("in/x", "Placeholder", &[], vec![("dtype", ty(1)), ("shape", dims)]));
        w.message(1, node("w", "Const", &[], vec![("value", message(|w| w.bytes(8, &[0; 4096])))]));
        w.message(1, node("mul", "MatMul", &["in/x", "w:0"], vec![("T", ty(1))]));
        w.message(1, node("best", "ArgMax", &["mul", "^w"], vec![("T", ty(1))]));
        w.message(1, node("noop", "NoOp", &[], vec![]));
        w.message(4, message(|w| w.varint(1, 27)));
    })
    .finish();
    let d = tempfile::tempdir().unwrap();
    put(d.path(), "graph.bin", &bytes);
    let f = found(d.path(), &Choice::default()).unwrap().unwrap();
    assert_eq!(f.location, b"graph.bin");
    let c = f.contract.unwrap();
    let s = &c.signatures[0];
    assert_eq!((s.inputs[0].name.as_str(), s.inputs[0].dtype), ("in/x", Some(DType::Float32)));
    assert_eq!(
        (s.inputs[0].shape.clone(), s.inputs[0].known.shape),
        (Some(vec![None, Some(4)]), Known::Stored)
    );
    let outputs: Vec<_> = s.outputs.iter().map(|t| (t.name.as_str(), t.dtype, t.known.name)).collect();
    assert_eq!(outputs, [("best", Some(DType::Int64), Known::Derived)]);
    assert_eq!(s.known, Known::Convention);
}

#[test]
fn no_prefix_and_no_flipped_bit_does_harm() {
    let good = simple("x");
    for cut in 0..good.len() {
        assert!(cut < 3 || read(&good[..cut]).is_err(), "{cut}");
        let _ = saved_model::looks_like(Input::lenient(&&good[..cut], SNIFF).message());
    }
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            let _ = read(&bad);
            let _ = graph_def::looks_like(Input::lenient(&bad, SNIFF).message());
            let mut reading = Reading::default();
            let _ = graph_def::read(Input::new(&bad, BUDGET).message(), &mut reading);
        }
    }
}

#[test]
fn too_many_and_too_deep_are_errors() {
    let many = message(|w| {
        for i in 0..=100_000 {
            w.message(1, entry(&i.to_string(), Writer::new()));
        }
    });
    let e = read(&saved(vec![meta_graph(&["serve"], vec![entry("s", many)])])).unwrap_err();
    assert!(e.message().contains("100000"), "{e}");
    let mut value = message(|w| w.varint(32, 1));
    for _ in 0..500 {
        value = message(|w| w.message(52, message(|w| w.message(1, value))));
    }
    let spec = message(|w| w.message(5, message(|w| w.message(1, message(|w| w.message(2, value))))));
    let t = inputs(vec![("x", spec)]);
    assert_eq!(t[0].dtype, None);
    let wide = inputs_error(info("x:0", 1, Some(shape(&[1; 65]))));
    assert!(wide.contains("more than 64 dimensions"), "{wide}");
}

fn inputs_error(t: Writer) -> String {
    let s = message(|w| w.message(1, entry("x", t)));
    read(&saved(vec![meta_graph(&["serve"], vec![entry("s", s)])])).unwrap_err().to_string()
}
