//! A `ModelProto` and its graph, as far as contract, facts and packing need them.
//!
//! Nodes and weights are kept as ranges of the file; their content is read by those who ask.
//! Field numbers: onnx/onnx.proto. The keys of facts about the model are those of Hydrosphere
//! Serving.

use std::collections::BTreeMap;

use crate::error::{Error, Kind, Result};
use crate::model::format::onnx::numbers::{MAX_VALUES, Number, append_reals, reals};
use crate::model::format::onnx::types::{self, ValueInfo};
use crate::model::format::{MAX_ENTRIES, MAX_RANK, MAX_TEXT, Reading};
use crate::model::pb::Message;

/// The most nodes and the most weights of a model.
const MAX_NODES: usize = 1_000_000;
/// The most bytes of the names of a graph's values, which are kept more than once.
const MAX_NAMES: usize = 16 << 20;

/// A model.
pub(super) struct Model<'i> {
    pub ir_version: i64,
    /// Versions of operator sets by domain; the standard one is `ai.onnx`.
    pub opsets: BTreeMap<String, i64>,
    pub graph: Graph<'i>,
    pub functions: Vec<Message<'i>>,
    /// Graphs for training, which may hold weights too.
    pub training: Vec<Message<'i>>,
}

/// A graph.
#[derive(Default)]
pub(super) struct Graph<'i> {
    pub nodes: Vec<Message<'i>>,
    /// By name; sparse ones have no content here.
    pub initializers: BTreeMap<String, Option<Message<'i>>>,
    /// Weights whose content may lie in other files, sparse ones too.
    pub weights: Vec<Message<'i>>,
    pub inputs: Vec<ValueInfo>,
    pub outputs: Vec<ValueInfo>,
    pub values: Vec<ValueInfo>,
}

/// The name of a domain; the standard one may be written in two ways.
pub(crate) fn domain(name: &str) -> &str {
    if name.is_empty() { "ai.onnx" } else { name }
}

impl<'i> Model<'i> {
    /// Reads a model and its facts.
    pub(super) fn read(mut message: Message<'i>, reading: &mut Reading) -> Result<Self> {
        let mut ir_version = 0;
        let mut opsets = BTreeMap::new();
        let mut graph = None;
        let mut functions = Vec::new();
        let mut training = Vec::new();
        while let Some(field) = message.next_field()? {
            match field.number {
                1 => ir_version = field.int()?,
                2 => reading.fact("onnx.producerName", field.text(MAX_TEXT)?),
                3 => reading.fact("onnx.producerVersion", field.text(MAX_TEXT)?),
                4 => reading.fact("onnx.domain", field.text(MAX_TEXT)?),
                5 => reading.fact("onnx.modelVersion", field.int()?.to_string()),
                6 => reading.fact("onnx.docString", field.text(MAX_TEXT)?),
                7 => graph = Some(read_graph(field.message()?, reading)?),
                8 if opsets.len() < MAX_ENTRIES => {
                    let (name, version) = opset(field.message()?, MAX_TEXT)?;
                    opsets.insert(domain(&name).to_owned(), version);
                }
                14 => {
                    let (key, value) = text_entry(field.message()?, MAX_TEXT)?;
                    reading.fact(format!("onnx.metadata.{key}"), value);
                }
                20 if training.len() < MAX_ENTRIES => training.push(field.message()?),
                25 if functions.len() < MAX_ENTRIES => functions.push(field.message()?),
                _ => {}
            }
        }
        let Some(graph) = graph else { return Err(Error::new(Kind::Model, "the ONNX model has no graph")) };
        reading.fact("onnx.irVersion", ir_version.to_string());
        for (name, version) in &opsets {
            reading.fact(format!("onnx.opset.{name}"), version.to_string());
        }
        if !functions.is_empty() {
            reading.fact("onnx.functions", functions.len().to_string());
        }
        if !training.is_empty() {
            reading.fact("onnx.trainingGraphs", training.len().to_string());
        }
        reading.fact("onnx.nodes", graph.nodes.len().to_string());
        Ok(Self { ir_version, opsets, graph, functions, training })
    }
}

/// An `OperatorSetIdProto`: the domain as it is written, of at most `longest` bytes, and the version.
pub(crate) fn opset(mut message: Message<'_>, longest: usize) -> Result<(String, i64)> {
    let (mut name, mut version) = (String::new(), 0);
    while let Some(field) = message.next_field()? {
        match field.number {
            1 => name = field.text(longest)?,
            2 => version = field.int()?,
            _ => {}
        }
    }
    Ok((name, version))
}

/// A `StringStringEntryProto`, its texts of at most `longest` bytes each.
pub(crate) fn text_entry(mut message: Message<'_>, longest: usize) -> Result<(String, String)> {
    let (mut key, mut value) = (String::new(), String::new());
    while let Some(field) = message.next_field()? {
        match field.number {
            1 => key = field.text(longest)?,
            2 => value = field.text(longest)?,
            _ => {}
        }
    }
    Ok((key, value))
}

pub(super) fn read_graph<'i>(mut message: Message<'i>, reading: &mut Reading) -> Result<Graph<'i>> {
    let mut graph = Graph::default();
    let mut names = 0;
    let full = |n: usize, what: &str| {
        (n >= MAX_NODES)
            .then(|| Error::new(Kind::Model, format!("the graph has more than {MAX_NODES} {what}")))
    };
    while let Some(field) = message.next_field()? {
        match field.number {
            1 => {
                full(graph.nodes.len(), "nodes").map_or(Ok(()), Err)?;
                graph.nodes.push(field.message()?);
            }
            2 => reading.fact("onnx.graphName", field.text(MAX_TEXT)?),
            5 => {
                full(graph.weights.len(), "weights").map_or(Ok(()), Err)?;
                let weight = field.message()?;
                graph.initializers.insert(weight_name(weight)?, Some(weight));
                graph.weights.push(weight);
            }
            15 => {
                full(graph.weights.len(), "weights").map_or(Ok(()), Err)?;
                for weight in sparse_parts(field.message()?)? {
                    // The values carry the name of the whole.
                    graph.initializers.entry(weight_name(weight)?).or_insert(None);
                    graph.weights.push(weight);
                }
            }
            11..=13 => {
                let list = match field.number {
                    11 => &mut graph.inputs,
                    12 => &mut graph.outputs,
                    _ => &mut graph.values,
                };
                if field.number != 13 && list.len() >= MAX_ENTRIES {
                    return Err(Error::new(
                        Kind::Model,
                        format!("the graph has more than {MAX_ENTRIES} inputs or outputs"),
                    ));
                }
                if list.len() < MAX_ENTRIES {
                    let value = types::value_info(field.message()?)?;
                    names += value.name.len();
                    if names > MAX_NAMES {
                        return Err(Error::new(
                            Kind::Model,
                            format!("the names of the graph's values have more than {MAX_NAMES} bytes"),
                        ));
                    }
                    list.push(value);
                }
            }
            _ => {}
        }
    }
    unique(&graph.inputs, "input")?;
    unique(&graph.outputs, "output")?;
    Ok(graph)
}

/// Names are unique within one side; a graph where they are not cannot be called.
fn unique(values: &[ValueInfo], side: &str) -> Result<()> {
    let mut names: Vec<&str> = values.iter().map(|v| v.name.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|w| w[0] == w[1]) {
        None => Ok(()),
        Some(twice) => {
            let name = crate::error::show_bytes(twice[0].as_bytes());
            Err(Error::new(Kind::Model, format!("the graph has the {side} `{name}` twice")))
        }
    }
}

/// The values and the indices of a `SparseTensorProto`.
pub(super) fn sparse_parts(mut message: Message<'_>) -> Result<Vec<Message<'_>>> {
    let mut parts = Vec::new();
    while let Some(field) = message.next_field()? {
        if matches!(field.number, 1 | 2) && parts.len() < 2 {
            parts.push(field.message()?);
        }
    }
    Ok(parts)
}

/// The name of a `TensorProto`; its content is skipped.
fn weight_name(mut message: Message<'_>) -> Result<String> {
    while let Some(field) = message.next_field()? {
        if field.number == 8 {
            return field.text(MAX_TEXT);
        }
    }
    Ok(String::new())
}

/// What a `TensorProto` is, and its values where they are few numbers.
pub(super) struct Weight {
    pub dtype: i64,
    pub dims: Vec<i64>,
    pub values: Option<Vec<Number>>,
}

/// Reads type and shape of a `TensorProto`, and its values where they are few numbers.
pub(super) fn weight(mut message: Message<'_>) -> Result<Weight> {
    let mut w = Weight { dtype: 0, dims: Vec::new(), values: None };
    let (mut whole, mut real) = (Vec::new(), Vec::new());
    let mut raw = None;
    let mut elsewhere = false;
    while let Some(field) = message.next_field()? {
        match field.number {
            1 => field.append_ints(&mut w.dims, MAX_RANK)?,
            2 => w.dtype = field.int()?,
            // float_data and double_data.
            4 | 10 if !append_reals(&field, &mut real, MAX_VALUES, field.number == 10)? => return Ok(w),
            // int32_data and int64_data.
            5 | 7 if field.append_ints(&mut whole, MAX_VALUES).is_err() => return Ok(w),
            9 => raw = Some(field.span()?),
            14 => elsewhere = field.int()? != 0,
            _ => {}
        }
    }
    let count = w.dims.iter().try_fold(1i64, |n, d| n.checked_mul(*d).filter(|n| *n >= 0));
    let Some(count) = count.and_then(|n| usize::try_from(n).ok()).filter(|n| *n <= MAX_VALUES && !elsewhere)
    else {
        return Ok(w);
    };
    if let Some(raw) = raw.filter(|r| (1..=MAX_VALUES as u64 * 8).contains(&r.size())) {
        let bytes = raw.bytes(MAX_VALUES * 8)?;
        match w.dtype {
            1 | 11 => real = reals(&bytes, w.dtype == 11),
            6 => whole = bytes.as_chunks::<4>().0.iter().map(|c| i32::from_le_bytes(*c).into()).collect(),
            7 => whole = bytes.as_chunks::<8>().0.iter().map(|c| i64::from_le_bytes(*c)).collect(),
            9 => whole = bytes.iter().map(|b| i64::from(*b != 0)).collect(),
            _ => return Ok(w),
        }
    }
    let values: Vec<Number> = match w.dtype {
        6 | 7 | 9 => whole.into_iter().map(Number::Whole).collect(),
        1 | 11 => real.into_iter().map(Number::Real).collect(),
        _ => return Ok(w),
    };
    if values.len() == count {
        w.values = Some(values);
    }
    Ok(w)
}
