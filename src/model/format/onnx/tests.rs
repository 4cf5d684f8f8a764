//! ONNX models made by hand: what a writer of models would not write, and what it would write big.

use std::cell::Cell;
use std::fs::File;
use std::os::unix::fs::FileExt;

use super::*;
use crate::model::contract::{DType, Encoding};
use crate::model::format::{BUDGET, Choice, detect};
use crate::model::pb::Writer;
use crate::model::tree::{Content, Selected};

fn message(fields: impl FnOnce(&mut Writer)) -> Writer {
    let mut w = Writer::new();
    fields(&mut w);
    w
}

fn dims(list: &[i64]) -> Writer {
    message(|w| {
        for d in list {
            w.message(1, message(|w| w.int(1, *d)));
        }
    })
}

fn tensor_type(elem: u64, shape: Option<Writer>) -> Writer {
    message(|w| {
        w.message(
            1,
            message(|w| {
                w.varint(1, elem);
                if let Some(s) = shape {
                    w.message(2, s);
                }
            }),
        );
    })
}

fn value(name: &str, ty: Writer) -> Writer {
    message(|w| {
        w.bytes(1, name.as_bytes());
        w.message(2, ty);
    })
}

fn node(op: &str, input: &str, output: &str) -> Writer {
    message(|w| {
        w.bytes(1, input.as_bytes());
        w.bytes(2, output.as_bytes());
        w.bytes(4, op.as_bytes());
    })
}

fn model(graph: Writer) -> Vec<u8> {
    message(|w| {
        w.varint(1, 8);
        w.bytes(2, b"by hand");
        w.message(7, graph);
        w.message(8, message(|w| w.varint(2, 17)));
    })
    .finish()
}

fn read(bytes: &[u8]) -> Result<Reading> {
    let mut reading = Reading::default();
    read_from(&bytes, &Tree::default(), b"model.onnx", BUDGET, &mut reading)?;
    Ok(reading)
}

fn signature(r: &Reading) -> &Signature {
    &r.contract.as_ref().unwrap().signatures[0]
}

fn small() -> Vec<u8> {
    model(message(|w| {
        w.message(1, node("Relu", "x", "y"));
        w.bytes(2, b"g");
        w.message(11, value("x", tensor_type(1, Some(dims(&[2, 3])))));
        w.message(12, message(|w| w.bytes(1, b"y")));
    }))
}

#[test]
fn an_output_without_a_type_follows_from_the_graph() {
    let r = read(&small()).unwrap();
    let y = &signature(&r).outputs[0];
    assert_eq!((y.dtype, y.shape.clone()), (Some(DType::Float32), Some(vec![Some(2), Some(3)])));
    assert_eq!((y.known.name, y.known.dtype, y.known.shape), (Known::Stored, Known::Derived, Known::Derived));
    assert_eq!((signature(&r).name.as_str(), signature(&r).known), ("predict", Known::Convention));
}

/// A graph of one node with inputs `x` (`[N, 1]`) and `c` (`[3]`) and an output without a type.
fn one_node(op: &str, domain: &str, inputs: &[&str]) -> Reading {
    let untyped = message(|w| w.bytes(1, b"y"));
    read(&model(message(|w| {
        w.message(
            1,
            message(|w| {
                inputs.iter().for_each(|i| w.bytes(1, i.as_bytes()));
                w.bytes(2, b"y");
                w.bytes(4, op.as_bytes());
                w.bytes(7, domain.as_bytes());
            }),
        );
        w.message(11, value("x", tensor_type(7, Some(dims(&[-1, 1])))));
        w.message(11, value("c", tensor_type(7, Some(dims(&[3])))));
        w.message(12, untyped);
    })))
    .unwrap()
}

#[test]
fn picked_places_are_as_many_as_there_are_numbers() {
    // With `[N, 1]` as places it is one row of N, not of one.
    let r = one_node("ArrayFeatureExtractor", "ai.onnx.ml", &["c", "x"]);
    assert_eq!(signature(&r).outputs[0].shape, Some(vec![Some(1), None]));
    let r = one_node("ArrayFeatureExtractor", "ai.onnx.ml", &["x", "c"]);
    assert_eq!(signature(&r).outputs[0].shape, Some(vec![None, Some(3)]));
}

#[test]
fn operators_of_onnx_runtime_are_known() {
    let r = one_node("BiasGelu", "com.microsoft", &["x", "c"]);
    assert_eq!(signature(&r).outputs[0].shape, Some(vec![None, Some(1)]));
    let r = one_node("NoSuch", "com.microsoft", &["x", "c"]);
    assert_eq!((signature(&r).outputs[0].dtype, signature(&r).outputs[0].shape.clone()), (None, None));
}

#[test]
fn negative_sizes_are_told_and_taken_as_unknown() {
    let r = read(&model(message(|w| {
        w.message(11, value("x", tensor_type(1, Some(dims(&[-1, 0, i64::MIN])))));
    })))
    .unwrap();
    assert_eq!(signature(&r).inputs[0].shape, Some(vec![None, Some(0), None]));
    assert_eq!(r.findings.iter().filter(|f| f.code == "bad-dimension").count(), 2);
}

#[test]
fn composed_types_have_their_words() {
    let seq = |inner: Writer| message(|w| w.message(4, message(|w| w.message(1, inner))));
    let map = |key: u64, inner: Writer| {
        message(|w| {
            w.message(
                5,
                message(|w| {
                    w.varint(1, key);
                    w.message(2, inner);
                }),
            );
        })
    };
    let optional = |inner: Writer| message(|w| w.message(9, message(|w| w.message(1, inner))));
    let r = read(&model(message(|w| {
        w.message(11, value("o", optional(tensor_type(10, Some(dims(&[3]))))));
        w.message(11, value("m", map(8, tensor_type(11, None))));
        w.message(12, value("p", seq(map(7, tensor_type(1, None)))));
        w.message(12, value("q", message(|w| w.message(7, message(|w| w.bytes(1, b"d"))))));
        w.message(12, value("e", tensor_type(99, None)));
    })))
    .unwrap();
    let s = signature(&r);
    let told = |t: &Tensor| {
        (t.native_type.clone().unwrap_or_default(), t.encoding.clone(), t.dtype, t.shape.clone())
    };
    let f16 = Some(DType::Float16);
    assert_eq!(
        told(&s.inputs[0]),
        ("optional(tensor(float16))".into(), Encoding::Optional, f16, Some(vec![Some(3)]))
    );
    assert_eq!(
        told(&s.inputs[1]),
        ("map(string,tensor(double))".into(), Encoding::Map, Some(DType::Float64), None)
    );
    let words = "seq(map(int64,tensor(float)))".to_owned();
    assert_eq!(told(&s.outputs[0]), (words, Encoding::Sequence, Some(DType::Float32), None));
    assert_eq!(s.outputs[1].encoding, Encoding::Composite);
    assert_eq!((s.outputs[2].dtype, s.outputs[2].known.dtype), (None, Known::Unknown));
}

#[test]
fn no_prefix_and_no_flipped_bit_does_harm() {
    let good = small();
    for cut in 0..good.len() {
        let _ = read(&good[..cut]);
        let _ = looks_like(Input::lenient(&&good[..cut], SNIFF).message());
    }
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            if let Ok(r) = read(&bad) {
                for t in r
                    .contract
                    .iter()
                    .flat_map(|c| &c.signatures)
                    .flat_map(|s| s.inputs.iter().chain(&s.outputs))
                {
                    assert!(
                        t.dim_names.is_empty() || t.shape.as_ref().map(Vec::len) == Some(t.dim_names.len())
                    );
                }
            }
        }
    }
}

#[test]
fn what_was_cut_off_is_a_broken_model_and_no_other_thing() {
    let good = small();
    let d = tempfile::tempdir().unwrap();
    for (name, bytes) in [("half.onnx", &good[..good.len() / 2]), ("half.bin", &good[..good.len() / 2])] {
        let path = d.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let tree = Tree::scan(&[Selected { source: path.clone(), dest: name.into() }], &|_, _| false, false)
            .unwrap();
        let found = detect(&tree, &Choice::default()).unwrap().unwrap();
        assert_eq!((found.format, found.contract), ("onnx", None));
        assert!(found.failure.unwrap().contains("cannot read"));
    }
}

#[test]
fn types_and_graphs_may_not_nest_without_end() {
    let mut ty = tensor_type(1, None);
    for _ in 0..1000 {
        ty = message(|w| w.message(4, message(|w| w.message(1, ty))));
    }
    let e = read(&model(message(|w| w.message(11, value("x", ty))))).unwrap_err();
    assert!(e.message().contains("nested more than"), "{e}");
    let mut graph = message(|w| w.message(1, node("Relu", "x", "y")));
    for _ in 0..1000 {
        let inner = graph;
        graph = message(|w| {
            w.message(
                1,
                message(|w| {
                    w.bytes(4, b"If");
                    w.message(5, message(|w| w.message(6, inner)));
                }),
            );
        });
    }
    // The contract is there all the same: it is at the top.
    let r = read(&model(graph)).unwrap();
    assert!(r.warnings[0].contains("nested more than"), "{:?}", r.warnings);
}

#[test]
fn a_hundred_thousand_entries_are_read_and_no_more_than_the_cap() {
    let bytes = message(|w| {
        w.varint(1, 8);
        w.message(7, message(|w| w.message(11, value("x", tensor_type(1, None)))));
        for i in 0..100_000 {
            w.message(
                14,
                message(|w| {
                    w.bytes(1, format!("k{i}").as_bytes());
                    w.bytes(2, b"v");
                }),
            );
        }
    })
    .finish();
    assert!(read(&bytes).unwrap().facts.len() <= crate::model::format::MAX_FACTS);
    let twice = model(message(|w| {
        w.message(11, value("x", tensor_type(1, None)));
        w.message(11, value("x", tensor_type(1, None)));
    }));
    assert!(read(&twice).unwrap_err().message().contains("input `x` twice"));
}

/// A source that counts what is read of it.
struct Counting {
    content: Content,
    read: Cell<u64>,
}

impl Source for Counting {
    fn size(&self) -> u64 {
        self.content.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        self.read.set(self.read.get() + buf.len() as u64);
        self.content.read_at(offset, buf)
    }
}

/// Eight weights of 300 MiB in a sparse file: the graph is at both ends and between them.
#[test]
fn weights_of_gigabytes_are_skipped() {
    const WEIGHT: u64 = 300 << 20;
    let head = |i: usize| {
        let mut w = Writer::new();
        w.int(1, (WEIGHT / 4).cast_signed());
        w.varint(2, 1);
        w.bytes(8, format!("w{i}").as_bytes());
        w.finish()
    };
    let length = |mut n: u64| {
        let mut out = Vec::new();
        while n >= 0x80 {
            out.push((n & 0x7f) as u8 | 0x80);
            n >>= 7;
        }
        out.push((n & 0x7f) as u8);
        out
    };
    // The pieces of the graph and how many zero bytes follow each.
    let mut pieces: Vec<(Vec<u8>, u64)> = vec![(
        message(|w| {
            w.message(1, node("Relu", "x", "y"));
            w.bytes(2, b"big");
        })
        .finish(),
        0,
    )];
    for i in 0..8 {
        let raw = [vec![0x4a], length(WEIGHT)].concat();
        let inner = [head(i), raw].concat();
        let outer = [vec![0x2a], length(inner.len() as u64 + WEIGHT)].concat();
        pieces.push(([outer, inner].concat(), WEIGHT));
    }
    pieces.push((message(|w| w.message(11, value("x", tensor_type(1, Some(dims(&[7])))))).finish(), 0));
    pieces.push((message(|w| w.message(12, message(|w| w.bytes(1, b"y")))).finish(), 0));
    let size: u64 = pieces.iter().map(|(b, zeros)| b.len() as u64 + zeros).sum();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("big.onnx");
    let file = File::create(&path).unwrap();
    let start = [vec![0x08, 8, 0x3a], length(size)].concat();
    file.write_all_at(&start, 0).unwrap();
    let mut at = start.len() as u64;
    for (bytes, zeros) in pieces {
        file.write_all_at(&bytes, at).unwrap();
        at += bytes.len() as u64 + zeros;
    }
    file.set_len(at).unwrap();
    assert!(at > 2 << 30);
    let tree =
        Tree::scan(&[Selected { source: path, dest: b"big.onnx".to_vec() }], &|_, _| false, false).unwrap();
    let source = Counting { content: tree.open(b"big.onnx").unwrap(), read: Cell::new(0) };
    let mut reading = Reading::default();
    read_from(&source, &tree, b"big.onnx", BUDGET, &mut reading).unwrap();
    assert_eq!(signature(&reading).outputs[0].shape, Some(vec![Some(7)]));
    assert_eq!(reading.facts["onnx.nodes"], "1");
    assert!(source.read.get() < 64 << 10, "{} bytes were read", source.read.get());
    let found = detect(&tree, &Choice::default()).unwrap().unwrap();
    assert_eq!(found.failure, None);
    assert_eq!(found.contract, reading.contract);
}
