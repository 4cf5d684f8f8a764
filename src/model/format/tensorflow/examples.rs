//! The features of `tf.Example` records behind an input that is one text.
//!
//! A model that parses its own records (`ParseExample` and its like, tensorflow/core/ops/
//! parsing_ops.cc) takes serialized `tf.Example`s; which features these must have stands in the
//! graph, in attributes and in constants of keys. They are facts and no part of the contract: what is
//! sent is the text. Field numbers: tensorflow/core/framework/{graph,function,node_def,attr_value,
//! tensor}.proto.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::error::Result;
use crate::model::contract::{DType, Shape};
use crate::model::format::tensorflow::saved_model::entry;
use crate::model::format::tensorflow::signature;
use crate::model::format::{MAX_NAME, MAX_TEXT, Reading};
use crate::model::pb::Message;

/// The most nodes that are looked at, functions' included.
const MAX_NODES: usize = 200_000;
/// The most features that are told.
const MAX_FEATURES: usize = 5_000;
/// The longest list of one attribute.
const MAX_LIST: usize = 10_000;

/// What a node that parses records says.
#[derive(Default)]
struct Parser {
    op: String,
    inputs: Vec<String>,
    numbers: BTreeMap<String, i64>,
    types: BTreeMap<String, Vec<i64>>,
    texts: BTreeMap<String, Vec<String>>,
    shapes: Vec<Option<Shape>>,
}

/// Adds the fact `tensorflow.exampleFeatures`, where the graph parses records.
pub(super) fn read(graph: Message<'_>, reading: &mut Reading) -> Result<()> {
    let mut left = MAX_NODES;
    let mut features = Vec::new();
    // The graph itself and the functions of its library, each with nodes of its own.
    let mut graphs = vec![(graph, 1)];
    let mut message = graph;
    while let Some(field) = message.next_field()? {
        if field.number == 2 {
            let mut library = field.message()?;
            while let Some(function) = library.next_field()? {
                if function.number == 1 && graphs.len() < MAX_NODES {
                    graphs.push((function.message()?, 3));
                }
            }
        }
    }
    for (graph, number) in graphs {
        in_nodes(graph, number, &mut left, &mut features, reading)?;
    }
    let mut seen = BTreeSet::new();
    features.retain(|f: &Value| seen.insert(f.to_string()));
    reading.fact("tensorflow.exampleFeatures", features);
    Ok(())
}

fn in_nodes(
    graph: Message<'_>,
    number: u32,
    left: &mut usize,
    features: &mut Vec<Value>,
    reading: &mut Reading,
) -> Result<()> {
    let mut parsers = Vec::new();
    let mut message = graph;
    while let Some(field) = message.next_field()? {
        if field.number == number && *left > 0 {
            *left -= 1;
            parsers.extend(parser(field.message()?, reading)?);
        }
    }
    if parsers.is_empty() {
        return Ok(());
    }
    let wanted: BTreeSet<&str> =
        parsers.iter().flat_map(|p: &Parser| p.inputs.iter()).map(|i| source(i)).collect();
    let mut constants: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut message = graph;
    while let Some(field) = message.next_field()? {
        if field.number == number && constants.len() < MAX_LIST {
            constants.extend(constant(field.message()?, &wanted)?);
        }
    }
    for parser in &parsers {
        if features.len() >= MAX_FEATURES {
            break;
        }
        let room = MAX_FEATURES.saturating_sub(features.len());
        features.extend(told(parser, &constants).into_iter().take(room));
    }
    Ok(())
}

/// The node of an input: `name`, `name:1`, `name:output:0`.
fn source(input: &str) -> &str {
    input.split(':').next().unwrap_or(input)
}

fn parser(mut node: Message<'_>, reading: &mut Reading) -> Result<Option<Parser>> {
    let mut found = Parser::default();
    let mut attrs = Vec::new();
    while let Some(field) = node.next_field()? {
        match field.number {
            2 => {
                let op = field.text(MAX_TEXT)?;
                if !matches!(op.as_str(), "ParseExample" | "ParseExampleV2" | "ParseSingleExample") {
                    return Ok(None);
                }
                found.op = op;
            }
            3 if found.inputs.len() < MAX_LIST => found.inputs.push(field.text(MAX_TEXT)?),
            5 if attrs.len() < 64 => attrs.push(field.message()?),
            _ => {}
        }
    }
    for attr in attrs {
        let (key, Some(mut value)) = entry(attr)? else { continue };
        while let Some(field) = value.next_field()? {
            match field.number {
                3 => drop(found.numbers.insert(key.clone(), field.int()?)),
                1 => list(&key, field.message()?, &mut found, reading)?,
                _ => {}
            }
        }
    }
    Ok(Some(found).filter(|p| !p.op.is_empty()))
}

/// A list of texts, types or shapes.
fn list(key: &str, mut message: Message<'_>, to: &mut Parser, reading: &mut Reading) -> Result<()> {
    let (mut types, mut texts) = (Vec::new(), Vec::new());
    while let Some(field) = message.next_field()? {
        match field.number {
            2 if texts.len() < MAX_LIST => texts.push(field.text(MAX_TEXT)?),
            6 => field.append_ints(&mut types, MAX_LIST)?,
            7 if key == "dense_shapes" && to.shapes.len() < MAX_LIST => {
                to.shapes.push(signature::shape(field.message()?, &mut Vec::new(), key, reading)?);
            }
            _ => {}
        }
    }
    to.types.insert(key.to_owned(), types);
    to.texts.insert(key.to_owned(), texts);
    Ok(())
}

/// The texts of a constant that somebody wants.
fn constant(mut node: Message<'_>, wanted: &BTreeSet<&str>) -> Result<Option<(String, Vec<String>)>> {
    let (mut name, mut op, mut attrs) = (String::new(), String::new(), Vec::new());
    while let Some(field) = node.next_field()? {
        match field.number {
            1 => {
                name = field.text(MAX_TEXT)?;
                if !wanted.contains(name.as_str()) {
                    return Ok(None);
                }
            }
            2 => op = field.text(MAX_TEXT)?,
            5 if attrs.len() < 64 => attrs.push(field.message()?),
            _ => {}
        }
    }
    if op != "Const" {
        return Ok(None);
    }
    let mut texts = Vec::new();
    for attr in attrs {
        let (key, Some(mut value)) = entry(attr)? else { continue };
        while let Some(field) = value.next_field()? {
            if field.number != 8 || key != "value" {
                continue;
            }
            let mut tensor = field.message()?;
            while let Some(field) = tensor.next_field()? {
                if field.number == 8 && texts.len() < MAX_LIST {
                    texts.push(field.text(MAX_TEXT)?);
                }
            }
        }
    }
    Ok(Some((name, texts)))
}

/// The features that a node parses; none where their keys are not all known.
fn told<'p>(parser: &'p Parser, constants: &'p BTreeMap<String, Vec<String>>) -> Vec<Value> {
    let types = |key: &str| parser.types.get(key).cloned().unwrap_or_default();
    let (dense_types, sparse_types) = (types("Tdense"), types("sparse_types"));
    let ragged_types = types("ragged_value_types");
    let count = |key: &str, list: &[i64]| {
        parser.numbers.get(key).and_then(|n| usize::try_from(*n).ok()).unwrap_or(list.len())
    };
    // A list of keys is one constant, or one constant for each.
    let constant = |at: usize| parser.inputs.get(at).and_then(|i| constants.get(source(i)));
    let list = |keys: &'p Vec<String>| -> Vec<&'p str> { keys.iter().map(String::as_str).collect() };
    let whole = |at: usize| constant(at).map(list);
    let each = |from: usize, n: usize| -> Option<Vec<&'p str>> {
        let one = |at: usize| match constant(at)?.as_slice() {
            [key] => Some(key.as_str()),
            _ => None,
        };
        (from..from.checked_add(n)?).map(one).collect()
    };
    let (sparse, dense, ragged) = match parser.op.as_str() {
        "ParseExampleV2" => (whole(2), whole(3), whole(4)),
        "ParseExample" => {
            let n = count("Nsparse", &sparse_types);
            (each(2, n), each(2usize.saturating_add(n), count("Ndense", &dense_types)), None)
        }
        _ => (parser.texts.get("sparse_keys").map(list), parser.texts.get("dense_keys").map(list), None),
    };
    let dtype =
        |number: &i64| i32::try_from(*number).ok().filter(|n| *n > 0).and_then(DType::from_tensorflow);
    let mut out = Vec::new();
    for (kind, keys, types) in
        [("dense", dense, &dense_types), ("sparse", sparse, &sparse_types), ("ragged", ragged, &ragged_types)]
    {
        let Some(keys) = keys.filter(|keys| keys.len() == types.len()) else { continue };
        for (at, (key, number)) in keys.into_iter().zip(types).enumerate() {
            if key.len() > MAX_NAME {
                continue;
            }
            let mut feature = json!({ "name": key, "kind": kind, "dtype": dtype(number) });
            if kind == "dense"
                && parser.shapes.len() == types.len()
                && let Some(shape) = &parser.shapes[at]
            {
                feature["shape"] = json!(shape);
            }
            out.push(feature);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::pb::{Input, Writer};

    fn text(number: u32, text: &str) -> Writer {
        let mut w = Writer::default();
        w.bytes(number, text.as_bytes());
        w
    }

    fn message(parts: &[(u32, &[u8])]) -> Vec<u8> {
        let mut w = Writer::default();
        for (number, bytes) in parts {
            w.bytes(*number, bytes);
        }
        w.finish()
    }

    fn attr(key: &str, value: &[u8]) -> Vec<u8> {
        message(&[(1, key.as_bytes()), (2, value)])
    }

    fn keys(name: &str, keys: &[&str]) -> Vec<u8> {
        let tensor: Vec<(u32, &[u8])> = keys.iter().map(|k| (8, k.as_bytes())).collect();
        let value = message(&[(8, &message(&tensor))]);
        message(&[(1, name.as_bytes()), (2, b"Const"), (5, &attr("value", &value))])
    }

    /// A graph with a function that parses two dense features, a sparse and a ragged one.
    fn graph() -> Vec<u8> {
        let shape = |n: u8| message(&[(2, &[8, n][..])]);
        let types = |all: &[u8]| message(&[(1, &message(&[(6, all)]))]);
        let node = message(&[
            (1, b"parse"),
            (2, b"ParseExampleV2"),
            (3, b"records"),
            (3, b"names"),
            (3, b"s:output:0"),
            (3, b"d:output:0"),
            (3, b"r:output:0"),
            (5, &attr("Tdense", &types(&[1, 9]))),
            (5, &attr("sparse_types", &types(&[7]))),
            (5, &attr("ragged_value_types", &types(&[1]))),
            (5, &attr("dense_shapes", &message(&[(1, &message(&[(7, &shape(3)), (7, &[])]))]))),
        ]);
        let function = message(&[
            (3, &keys("d", &["x", "n"])),
            (3, &keys("s", &["words"])),
            (3, &keys("r", &["rag"])),
            (3, &node),
        ]);
        message(&[(1, &text(1, "other").finish()), (2, &message(&[(1, &function)]))])
    }

    #[test]
    fn features_are_told() {
        let bytes = graph();
        let mut reading = Reading::default();
        read(Input::new(&bytes, 1 << 20).message(), &mut reading).unwrap();
        assert_eq!(
            reading.facts["tensorflow.exampleFeatures"],
            json!([
                { "name": "x", "kind": "dense", "dtype": "float32", "shape": [3] },
                { "name": "n", "kind": "dense", "dtype": "int64", "shape": [] },
                { "name": "words", "kind": "sparse", "dtype": "string" },
                { "name": "rag", "kind": "ragged", "dtype": "float32" },
            ])
        );
    }

    #[test]
    fn no_prefix_does_harm() {
        let bytes = graph();
        for at in 0..bytes.len() {
            let _ = read(Input::new(&&bytes[..at], 1 << 20).message(), &mut Reading::default());
            let mut flipped = bytes.clone();
            flipped[at] = !flipped[at];
            let _ = read(Input::new(&flipped, 1 << 20).message(), &mut Reading::default());
        }
    }
}
