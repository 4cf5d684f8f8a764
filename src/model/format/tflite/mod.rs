//! TensorFlow Lite: one flatbuffer with identifier `TFL3`, perhaps with a zip archive behind it.
//!
//! Everything is recorded: signatures with the names that callers use, or, without them, the names of
//! the graph's own tensors (tensorflow/compiler/mlir/lite/schema/schema.fbs). Only tables are read,
//! never the buffers with the weights.

mod metadata;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::error::{Error, Kind, Result, show_bytes};
use crate::model::contract::{Contract, DType, Known, Shape, Signature, Tensor};
use crate::model::flat::{Flat, Table};
use crate::model::format::{
    Candidate, Folder, Format, MAX_ENTRIES, MAX_NAME, MAX_RANK, MAX_TEXT, Reading, Role, ends_in,
};
use crate::model::pb::Source;
use crate::model::tree::Tree;
use crate::model::zip::Archive;

/// The identifier, at byte 4.
const IDENTIFIER: &[u8] = b"TFL3";
/// The name of the metadata that the model's authors wrote.
const AUTHORS: &str = "TFLITE_METADATA";
/// The most signatures and graphs that are read.
const MAX_GRAPHS: usize = 1000;
/// How many bytes of tables are read at most.
const BUDGET: u64 = 32 << 20;

/// The format of TensorFlow Lite.
#[derive(Clone, Copy, Debug)]
pub struct TfLite;

impl Format for TfLite {
    fn name(&self) -> &'static str {
        "tflite"
    }

    fn detect(&self, folder: &Folder<'_>) -> Result<Vec<Candidate>> {
        let mut found = Vec::new();
        for file in folder.files() {
            if file.head()?.get(4..8) != Some(IDENTIFIER) {
                continue;
            }
            found.push(Candidate::in_file(
                "tflite",
                "flatbuffer",
                file,
                "holds a model of TensorFlow Lite (`TFL3` at byte 4)",
            ));
        }
        Ok(found)
    }

    fn read(&self, tree: &Tree, candidate: &Candidate, budget: u64) -> Result<Reading> {
        let mut reading = Reading::default();
        let content = tree.open(&candidate.file)?;
        reading.contract = Some(read(&content, budget.min(BUDGET), &mut reading)?);
        Ok(reading)
    }

    fn expects(&self, name: &[u8]) -> bool {
        ends_in(name, &[".tflite"])
    }

    fn role(&self, path: &[u8]) -> Option<Role> {
        ends_in(path, &[".tflite"]).then_some(Role::Weights)
    }
}

fn broken(what: impl std::fmt::Display) -> Error {
    Error::new(Kind::Model, format!("broken model of TensorFlow Lite: {what}"))
}

fn read(source: &dyn Source, budget: u64, reading: &mut Reading) -> Result<Contract> {
    let flat = Flat::new(source, 0, source.size(), budget);
    let model = flat.root()?;
    let graphs: Vec<Table<'_>> = match model.vector(8, 4)? {
        Some(all) => all.tables(MAX_GRAPHS).collect::<Result<_>>()?,
        None => Vec::new(),
    };
    if graphs.is_empty() {
        return Err(broken("it has no graph"));
    }
    let mut quantized = Map::new();
    let mut signatures = Vec::new();
    if let Some(all) = model.vector(18, 4)? {
        let mut names = BTreeSet::new();
        for signature in all.tables(MAX_GRAPHS) {
            let signature = signature?;
            let graph = signature.u32(12, 0)? as usize;
            let graph = graphs.get(graph).ok_or_else(|| broken(format_args!("there is no graph {graph}")))?;
            let name = signature.text(8, MAX_NAME)?.unwrap_or_default();
            if !names.insert(name.clone()) {
                return Err(broken(format_args!("two signatures `{}`", show_bytes(name.as_bytes()))));
            }
            signatures.push(Signature {
                name,
                known: Known::Stored,
                inputs: mapped(*graph, signature, 4, &mut quantized)?,
                outputs: mapped(*graph, signature, 6, &mut quantized)?,
            });
        }
    }
    if signatures.is_empty() {
        signatures.push(Signature {
            name: "predict".to_owned(),
            known: Known::Convention,
            inputs: listed(graphs[0], 6, "input", &mut quantized)?,
            outputs: listed(graphs[0], 8, "output", &mut quantized)?,
        });
    }
    // What follows tells nothing about the contract: damage there is no reason to know less.
    if let Err(e) = facts(source, model, &graphs, reading) {
        reading.warnings.push(format!("not all facts of the model could be read: {e}"));
    }
    reading.fact("tflite.quantization", quantized);
    Ok(Contract { signatures })
}

/// The tensors of one side of a signature, by the names that it gives them.
fn mapped(
    graph: Table<'_>,
    signature: Table<'_>,
    slot: u16,
    quantized: &mut Map<String, Value>,
) -> Result<Vec<Tensor>> {
    let Some(all) = signature.vector(slot, 4)? else { return Ok(Vec::new()) };
    let mut tensors = Vec::new();
    let mut names = BTreeSet::new();
    for entry in all.tables(MAX_ENTRIES) {
        let entry = entry?;
        let name = entry.text(4, MAX_TEXT)?.unwrap_or_default();
        if !names.insert(name.clone()) {
            return Err(broken(format_args!("two tensors `{}` of a signature", show_bytes(name.as_bytes()))));
        }
        tensors.push(tensor(graph, entry.u32(6, 0)?.into(), Some(name), quantized)?);
    }
    Ok(tensors)
}

/// The tensors of one side of a graph, by their own names, which need not be unique.
fn listed(
    graph: Table<'_>,
    slot: u16,
    side: &str,
    quantized: &mut Map<String, Value>,
) -> Result<Vec<Tensor>> {
    let mut tensors: Vec<Tensor> = Vec::new();
    let mut names = BTreeSet::new();
    for (place, index) in graph.ints(slot, MAX_ENTRIES)?.unwrap_or_default().into_iter().enumerate() {
        // -1 stands for an optional tensor that is not there.
        let Ok(index) = u64::try_from(index) else { continue };
        let mut t = tensor(graph, index, None, quantized)?;
        if t.name.is_empty() || !names.insert(t.name.clone()) {
            t.name = format!("{side}_{place}");
            t.known.name = Known::Convention;
            names.insert(t.name.clone());
        }
        tensors.push(t);
    }
    Ok(tensors)
}

fn tensor(
    graph: Table<'_>,
    index: u64,
    name: Option<String>,
    quantized: &mut Map<String, Value>,
) -> Result<Tensor> {
    let all = graph.vector(4, 4)?.filter(|v| index < v.length());
    let table = all.ok_or_else(|| broken(format_args!("there is no tensor {index}")))?.table(index)?;
    let name = match name {
        Some(name) => name,
        None => table.text(10, MAX_TEXT)?.unwrap_or_default(),
    };
    let number = table.u8(6, 0)?;
    let dtype = dtype(number);
    let shape = shape(table)?;
    let mut tensor = Tensor::new(name, dtype, shape, Known::Stored);
    if tensor.dtype.is_none() {
        tensor.known.dtype = Known::Unknown;
        tensor.native_type = Some(format!("tflite type {number}"));
    }
    if tensor.shape.is_none() {
        tensor.known.shape = Known::Unknown;
    }
    if let Some(q) = table.table(12)? {
        // One scale for the whole tensor, as inputs and outputs have it; the numbers are `i8`s and
        // such, and stand for `scale * (n - zero_point)`.
        let scale = q.ints(8, 1).ok().flatten().unwrap_or_default();
        if let [bits] = scale.as_slice() {
            let zero = q.vector(10, 8)?.filter(|v| v.length() == 1).map_or(Ok(0), |v| v.i64(0))?;
            let scale = f32::from_bits(bits.cast_unsigned());
            if scale > 0.0 && quantized.len() < MAX_ENTRIES {
                quantized.insert(tensor.name.clone(), json!({ "scale": scale, "zero_point": zero }));
            }
        }
    }
    Ok(tensor)
}

/// `shape_signature` has -1 where a dimension is free; `shape` has 1 there.
fn shape(table: Table<'_>) -> Result<Option<Shape>> {
    let fixed = table.ints(4, MAX_RANK)?.unwrap_or_default();
    let free = table.ints(18, MAX_RANK)?.unwrap_or_default();
    let dims = if free.is_empty() { fixed } else { free };
    // A scalar says that it has a rank; files of before that field leave it open.
    if dims.is_empty() && table.u8(20, 0)? == 0 {
        return Ok(None);
    }
    Ok(Some(dims.into_iter().map(|d| u64::try_from(d).ok()).collect()))
}

/// `TensorType` of the schema.
fn dtype(number: u8) -> Option<DType> {
    Some(match number {
        0 => DType::Float32,
        1 => DType::Float16,
        2 => DType::Int32,
        3 => DType::UInt8,
        4 => DType::Int64,
        5 => DType::String,
        6 => DType::Bool,
        7 => DType::Int16,
        8 => DType::Complex64,
        9 => DType::Int8,
        10 => DType::Float64,
        11 => DType::Complex128,
        12 => DType::UInt64,
        13 => DType::Resource,
        14 => DType::Variant,
        15 => DType::UInt32,
        16 => DType::UInt16,
        17 => DType::Int4,
        18 => DType::BFloat16,
        19 => DType::Int2,
        20 => DType::UInt4,
        21 => DType::Float8E4M3FN,
        22 => DType::Float8E5M2,
        _ => return None,
    })
}

fn facts(source: &dyn Source, model: Table<'_>, graphs: &[Table<'_>], reading: &mut Reading) -> Result<()> {
    reading.fact("tflite.version", model.u32(4, 0)?);
    reading.fact("tflite.description", model.text(10, MAX_TEXT)?);
    if graphs.len() > 1 {
        reading.fact("tflite.graphs", graphs.len());
    }
    let mut custom = BTreeSet::new();
    if let Some(codes) = model.vector(6, 4)? {
        for code in codes.tables(MAX_ENTRIES) {
            custom.extend(code?.text(6, MAX_NAME)?.filter(|n| !n.is_empty()));
        }
    }
    reading.fact("tflite.customOperators", custom.into_iter().collect::<Vec<_>>());
    let Some(entries) = model.vector(16, 4)? else { return Ok(()) };
    let mut names = Vec::new();
    for entry in entries.tables(100) {
        let entry = entry?;
        let name = entry.text(4, MAX_NAME)?.unwrap_or_default();
        let buffer = match model.vector(12, 4)? {
            Some(all) if name == "min_runtime_version" || name == AUTHORS => {
                Some(all.table(entry.u32(6, 0)?.into())?)
            }
            _ => None,
        };
        if let Some(buffer) = buffer.filter(|_| name == AUTHORS) {
            // Labels and the like lie in a zip archive behind the flatbuffer.
            let archive = Archive::open(source).ok();
            if let Some(archive) = &archive {
                let files: Vec<&str> = archive.entries().iter().take(100).map(|e| e.name.as_str()).collect();
                reading.fact("tflite.associatedFiles", files);
            }
            if let Some(bytes) = buffer.vector(4, 1)?
                && let Err(e) =
                    metadata::read(source, (bytes.start(), bytes.length()), BUDGET, archive.as_ref(), reading)
            {
                reading.warnings.push(format!("not all of the model's metadata could be read: {e}"));
            }
        } else if let Some(buffer) = buffer
            // A text that is filled up with zeros.
            && let Some(text) = buffer.text(4, 64)?
        {
            reading.fact("tflite.minRuntimeVersion", text.trim_end_matches('\0'));
        }
        names.push(name);
    }
    reading.fact("tflite.metadata", names);
    Ok(())
}
