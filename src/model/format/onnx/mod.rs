//! ONNX: one protobuf file, perhaps with its weights in files beside it.
//!
//! The graph records its inputs and, nearly always, its outputs; what it leaves out of an output
//! follows from its operators (`infer.rs`). The file has no signature: its name `predict` is floe's.
//! The other serializations of the same model (ONNX Runtime's `.ort`, JSON, text) are named and not
//! read.

mod control;
pub(crate) mod external;
pub(crate) mod graph;
mod infer;
mod numbers;
mod ops;
pub(crate) mod types;

use crate::error::{Result, show_bytes};
use crate::model::contract::{Contract, Known, Signature, Tensor};
use crate::model::format::{Candidate, File, Folder, Format, Reading, Role, Severity, ends_in};
use crate::model::pb::{Input, Message, Source, Value};
use crate::model::tree::Tree;

use graph::Model;

/// How many bytes of a file are read at most to recognise it.
const SNIFF: u64 = 64 << 10;
/// From here on a weight need not be an input (onnx/docs/IR.md), and one that is may be left out.
const IR_OVERRIDES: i64 = 4;

/// The format of ONNX.
#[derive(Clone, Copy, Debug)]
pub struct Onnx;

impl Format for Onnx {
    fn name(&self) -> &'static str {
        "onnx"
    }

    fn detect(&self, folder: &Folder<'_>) -> Result<Vec<Candidate>> {
        let mut found = Vec::new();
        for file in folder.files() {
            let Some((variant, what)) = recognise(file)? else { continue };
            found.push(Candidate::in_file("onnx", variant, file, format_args!("holds {what}")));
        }
        Ok(found)
    }

    fn read(&self, tree: &Tree, candidate: &Candidate, budget: u64) -> Result<Reading> {
        let mut reading = Reading::default();
        reading.fact("onnx.serialization", candidate.variant);
        if candidate.variant != "protobuf" {
            reading.find(
                Severity::Warning,
                "unread-serialization",
                "",
                format!(
                    "`{}` is an ONNX model in a form that floe does not read ({}); declare its contract, or pack the `.onnx`",
                    show_bytes(&candidate.file),
                    candidate.variant
                ),
            );
            return Ok(reading);
        }
        let content = tree.open(&candidate.file)?;
        read_from(&content, tree, &candidate.file, budget, &mut reading)?;
        Ok(reading)
    }

    fn expects(&self, name: &[u8]) -> bool {
        ends_in(name, &[".onnx", ".ort"])
    }

    fn role(&self, path: &[u8]) -> Option<Role> {
        ends_in(path, &[".onnx", ".onnx.data", ".onnx_data", ".ort"]).then_some(Role::Weights)
    }
}

/// Reads a model, and looks for the files that it names, relative to `file`.
fn read_from(
    source: &dyn Source,
    tree: &Tree,
    file: &[u8],
    budget: u64,
    reading: &mut Reading,
) -> Result<()> {
    let input = Input::new(source, budget);
    let model = Model::read(input.message(), reading)?;
    reading.contract = Some(contract(&model, reading)?);
    // The contract stands; what comes now may run out of budget in a graph of a size never met.
    if let Err(e) = external::check(tree, file, &model, reading) {
        reading.warnings.push(format!("the graph was not looked through to its end: {e}"));
    }
    Ok(())
}

/// The serialization of a file that holds an ONNX model, and what to call it.
fn recognise(file: &File<'_>) -> Result<Option<(&'static str, &'static str)>> {
    let head = file.head()?;
    if head.get(4..8) == Some(b"ORTM") {
        return Ok(Some(("ort", "a model of ONNX Runtime (`ORTM` at byte 4)")));
    }
    let text = head.trim_ascii_start();
    let begins = |key: &[u8]| text.strip_prefix(key).is_some_and(|r| r.trim_ascii_start().starts_with(b":"));
    if begins(b"ir_version") {
        return Ok(Some(("text", "an ONNX model as protobuf text")));
    }
    if text.strip_prefix(b"<").is_some_and(|r| r.trim_ascii_start().starts_with(b"ir_version")) {
        return Ok(Some(("onnxtxt", "an ONNX model as text")));
    }
    let has = |key: &[u8]| head.windows(key.len()).any(|w| w == key);
    if text.starts_with(b"{") && (has(b"\"irVersion\"") || has(b"\"ir_version\"")) && has(b"\"graph\"") {
        return Ok(Some(("json", "an ONNX model as JSON")));
    }
    // The tags that can begin a `ModelProto`; spares opening every other file again.
    if !matches!(head.first(), Some(0x08 | 0x12 | 0x1a | 0x22 | 0x28 | 0x32 | 0x3a | 0x42 | 0x72)) {
        return Ok(None);
    }
    let content = file.open()?;
    let found = looks_like(Input::lenient(&content, SNIFF).message());
    Ok(found.then_some(("protobuf", "an ONNX model (`ir_version` and a graph)")))
}

/// Whether the fields are those of a `ModelProto`; one that was cut off is a broken ONNX model.
fn looks_like(mut message: Message<'_>) -> bool {
    let (mut version, mut graph) = (false, false);
    while let Ok(Some(field)) = message.next_field() {
        match (field.number, field.value) {
            (1, Value::Varint(1..=255)) => version = true,
            (7, Value::Bytes(inner)) => {
                if !plausible_graph(inner) {
                    return false;
                }
                graph = true;
            }
            (5, Value::Varint(_)) | (2 | 3 | 4 | 6 | 8 | 14 | 20 | 25 | 26, Value::Bytes(_)) => {}
            _ => return false,
        }
    }
    version && graph
}

/// Every field of a `GraphProto` is a message or a text.
fn plausible_graph(mut graph: Message<'_>) -> bool {
    match graph.next_field() {
        Ok(Some(f)) => matches!((f.number, f.value), (1 | 2 | 5 | 10..=16, Value::Bytes(_))),
        Ok(None) => true,
        Err(_) => false,
    }
}

/// The one signature of a graph.
fn contract(model: &Model<'_>, reading: &mut Reading) -> Result<Contract> {
    let mut inputs = Vec::new();
    let mut overridable = Vec::new();
    for value in &model.graph.inputs {
        let is_weight = model.graph.initializers.contains_key(&value.name);
        if is_weight && model.ir_version < IR_OVERRIDES {
            continue;
        }
        let mut tensor = types::tensor(value, Known::Stored, reading);
        tensor.optional |= is_weight;
        if is_weight { overridable.push(tensor) } else { inputs.push(tensor) }
    }
    // Those that a caller has to give come first.
    inputs.append(&mut overridable);
    let mut outputs: Vec<Tensor> =
        model.graph.outputs.iter().map(|v| types::tensor(v, Known::Stored, reading)).collect();
    if outputs.iter().any(infer::wants) {
        match infer::outputs(model, &mut outputs) {
            Ok(()) => {}
            Err(e) => reading.warnings.push(format!("outputs without a type were not inferred: {e}")),
        }
    }
    let name = "predict".to_owned();
    Ok(Contract { signatures: vec![Signature { name, known: Known::Convention, inputs, outputs }] })
}

#[cfg(test)]
mod tests;
