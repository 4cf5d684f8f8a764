//! A frozen graph: a `GraphDef` in a file, with its variables turned into constants.
//!
//! It has no contract. Its placeholders are inputs, since nothing else feeds it; its outputs are
//! the nodes that nothing consumes, which follows from the graph as a rule and is marked `derived`.
//! Field numbers: tensorflow/core/framework/{graph,node_def,attr_value}.proto. Constants are skipped.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Kind, Result};
use crate::model::contract::{Contract, DType, Known, Provenance, Shape, Signature, Tensor};
use crate::model::format::tensorflow::saved_model::entry;
use crate::model::format::tensorflow::signature;
use crate::model::format::{MAX_TEXT, Reading, Severity};
use crate::model::pb::{Message, Value};

/// How many nodes have to look like nodes for a file to be recognised.
const SAMPLE: usize = 16;
/// The most nodes of a graph.
const MAX_NODES: usize = 1_000_000;
/// The most outputs that a node without consumers is described with.
const MAX_OUTPUTS: usize = 1000;

/// What nobody consumes without being a result.
const NO_RESULT: &[&str] = &["NoOp", "Assert", "Print", "PrintV2", "Const", "Placeholder", "SaveV2"];

/// Whether this begins as a graph does: with nodes that have a name and an operator.
pub(super) fn looks_like(mut message: Message<'_>) -> bool {
    let mut nodes = 0;
    while nodes < SAMPLE {
        let Ok(Some(field)) = message.next_field() else { break };
        match (field.number, field.value) {
            (1, Value::Bytes(node)) if plausible_node(node) => nodes += 1,
            // Library, version, versions, debug information.
            (2 | 4 | 5, Value::Bytes(_)) | (3, Value::Varint(_)) => {}
            _ => return false,
        }
    }
    nodes > 0
}

/// Names and operators of nodes have an alphabet of their own (tensorflow/core/framework/
/// node_def_util.cc), which tells them from other maps of text.
fn plausible_node(mut node: Message<'_>) -> bool {
    let (mut name, mut op) = (false, false);
    while let Ok(Some(field)) = node.next_field() {
        match (field.number, field.value) {
            (1, Value::Bytes(_)) => {
                name = field.text(4096).is_ok_and(|n| {
                    n.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '.' || c == '_')
                        && n.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.\\/>-:".contains(&b))
                });
            }
            (2, Value::Bytes(_)) => {
                op = field.text(256).is_ok_and(|o| {
                    o.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                        && o.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.>".contains(&b))
                });
            }
            (3..=7, Value::Bytes(_)) => {}
            _ => return false,
        }
    }
    name && op
}

struct Node<'i> {
    name: String,
    op: String,
    attrs: Vec<Message<'i>>,
}

/// Reads a graph.
pub(super) fn read(mut message: Message<'_>, reading: &mut Reading) -> Result<()> {
    let mut consumed = BTreeSet::new();
    let mut nodes = Vec::new();
    while let Some(field) = message.next_field()? {
        match field.number {
            1 if nodes.len() >= MAX_NODES => {
                return Err(Error::new(Kind::Model, format!("the graph has more than {MAX_NODES} nodes")));
            }
            1 => nodes.push(node(field.message()?, &mut consumed)?),
            4 => versions(field.message()?, reading)?,
            _ => {}
        }
    }
    reading.fact("tensorflow.nodes", nodes.len().to_string());
    let mut inputs = Vec::new();
    let mut outputs = Vec::new();
    for node in &nodes {
        if node.op == "Placeholder" || node.op == "PlaceholderWithDefault" {
            inputs.push(placeholder(node, reading)?);
        } else if !consumed.contains(&node.name)
            && !NO_RESULT.contains(&node.op.as_str())
            && outputs.len() < MAX_OUTPUTS
        {
            outputs.push(output(node, reading)?);
        }
    }
    if inputs.is_empty() && outputs.is_empty() {
        reading.find(
            Severity::Warning,
            "no-signatures",
            "",
            "the graph has neither placeholders nor results",
        );
        return Ok(());
    }
    reading
        .warnings
        .push("a frozen graph has no signatures: its outputs are the nodes that nothing consumes".to_owned());
    let signature = Signature { name: "predict".to_owned(), known: Known::Convention, inputs, outputs };
    reading.contract = Some(Contract { signatures: vec![signature] });
    Ok(())
}

fn versions(mut message: Message<'_>, reading: &mut Reading) -> Result<()> {
    while let Some(field) = message.next_field()? {
        if field.number == 1 {
            reading.fact("tensorflow.producer", field.varint()?.to_string());
        }
    }
    Ok(())
}

fn node<'i>(mut message: Message<'i>, consumed: &mut BTreeSet<String>) -> Result<Node<'i>> {
    let mut node = Node { name: String::new(), op: String::new(), attrs: Vec::new() };
    while let Some(field) = message.next_field()? {
        match field.number {
            1 => node.name = field.text(MAX_TEXT)?,
            2 => node.op = field.text(MAX_TEXT)?,
            3 => {
                let input = field.text(MAX_TEXT)?;
                // `^name` is a control input, `name:1` the second output.
                let name = input.strip_prefix('^').unwrap_or(&input);
                consumed.insert(name.split(':').next().unwrap_or(name).to_owned());
            }
            5 => node.attrs.push(field.message()?),
            _ => {}
        }
    }
    Ok(node)
}

/// The attributes of a node that say something about types and shapes; tensors are skipped.
#[derive(Default)]
struct Attrs {
    types: BTreeMap<String, i64>,
    shape: Option<(Option<Shape>, Vec<Option<String>>)>,
    output_shapes: Option<Option<Shape>>,
}

fn attrs(node: &Node<'_>, reading: &mut Reading) -> Result<Attrs> {
    let mut all = Attrs::default();
    for message in &node.attrs {
        let (key, Some(mut value)) = entry(*message)? else { continue };
        while let Some(field) = value.next_field()? {
            match (field.number, key.as_str()) {
                (6, _) => drop(all.types.insert(key.clone(), field.int()?)),
                (7, "shape") => {
                    let mut names = Vec::new();
                    let shape = signature::shape(field.message()?, &mut names, &node.name, reading)?;
                    all.shape = Some((shape, names));
                }
                (1, "_output_shapes") => {
                    all.output_shapes = first_shape(field.message()?, &node.name, reading)?;
                }
                _ => {}
            }
        }
    }
    Ok(all)
}

fn first_shape(mut list: Message<'_>, place: &str, reading: &mut Reading) -> Result<Option<Option<Shape>>> {
    while let Some(field) = list.next_field()? {
        if field.number == 7 {
            return signature::shape(field.message()?, &mut Vec::new(), place, reading).map(Some);
        }
    }
    Ok(None)
}

fn placeholder(node: &Node<'_>, reading: &mut Reading) -> Result<Tensor> {
    let attrs = attrs(node, reading)?;
    let mut t =
        Tensor::new(&node.name, attrs.types.get("dtype").copied().and_then(known_dtype), None, Known::Stored);
    if let Some((shape, names)) = attrs.shape {
        t.shape = shape;
        t.dim_names = names;
    }
    t.optional = node.op == "PlaceholderWithDefault";
    mark_unknown(&mut t);
    Ok(t)
}

fn output(node: &Node<'_>, reading: &mut Reading) -> Result<Tensor> {
    let attrs = attrs(node, reading)?;
    let mut t = Tensor::new(&node.name, output_dtype(&node.op, &attrs.types), None, Known::Derived);
    t.shape = attrs.output_shapes.flatten();
    t.known = Provenance { name: Known::Derived, dtype: Known::Derived, shape: Known::Derived };
    mark_unknown(&mut t);
    Ok(t)
}

fn mark_unknown(t: &mut Tensor) {
    if t.dtype.is_none() {
        t.known.dtype = Known::Unknown;
    }
    if t.shape.is_none() {
        t.known.shape = Known::Unknown;
    }
}

fn known_dtype(number: i64) -> Option<DType> {
    i32::try_from(number).ok().filter(|n| *n > 0).and_then(DType::from_tensorflow)
}

/// The dtype of a node's result, by the attribute that its operator names it with.
fn output_dtype(op: &str, types: &BTreeMap<String, i64>) -> Option<DType> {
    let attr = |name: &str| types.get(name).copied().and_then(known_dtype);
    match op {
        "Equal" | "NotEqual" | "Greater" | "GreaterEqual" | "Less" | "LessEqual" | "LogicalAnd"
        | "LogicalOr" | "LogicalNot" | "IsNan" | "IsInf" | "IsFinite" | "All" | "Any" => Some(DType::Bool),
        "Cast" => attr("DstT"),
        "ArgMax" | "ArgMin" => attr("output_type").or(Some(DType::Int64)),
        "Shape" | "Size" | "Rank" => attr("out_type").or(Some(DType::Int32)),
        "StringJoin" | "AsString" => Some(DType::String),
        _ => attr("T").or_else(|| attr("dtype")).or_else(|| attr("Tparams")),
    }
}
