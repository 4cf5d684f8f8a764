//! The document of a detection: what `floe infer --json` prints, field by field.
//!
//! It is not `contract.json` (`crate::model::contract::json`), whose bytes are a part of an image and
//! never change; this one tells more with each version of floe. Fields are only ever added.

use serde_json::{Map, Value, json};

use crate::error::{Error, Kind, show_bytes};
use crate::model::contract::{Encoding, Known, Signature, Tensor};
use crate::model::format::{Candidate, Detection};

/// The version of the document.
pub const VERSION: u32 = 1;

/// One signature.
pub fn signature(s: &Signature) -> Value {
    json!({
        "name": name(&s.name, s.known),
        "how": s.known,
        "inputs": s.inputs.iter().map(tensor).collect::<Vec<_>>(),
        "outputs": s.outputs.iter().map(tensor).collect::<Vec<_>>(),
    })
}

/// One input or output.
pub fn tensor(t: &Tensor) -> Value {
    let mut out = Map::new();
    out.insert("name".to_owned(), name(&t.name, t.known.name));
    // TensorFlow's references are types of their own in its signatures (types.proto, `DT_FLOAT_REF`).
    let reference = t.native_type.as_ref().filter(|n| n.ends_with("_ref"));
    out.insert("dtype".to_owned(), reference.map_or_else(|| json!(t.dtype), |r| json!(r)));
    out.insert("shape".to_owned(), json!(t.shape));
    out.insert("how".to_owned(), json!(t.known));
    if !t.dim_names.is_empty() {
        out.insert("dim_names".to_owned(), json!(t.dim_names));
    }
    if t.encoding != Encoding::Dense {
        out.insert("encoding".to_owned(), json!(t.encoding));
    }
    if let Some(native) = &t.native_type {
        out.insert("native_type".to_owned(), json!(native));
    }
    if t.optional {
        out.insert("optional".to_owned(), json!(true));
    }
    if !t.columns.is_empty() {
        out.insert("columns".to_owned(), json!(t.columns));
    }
    if !t.fields.is_empty() {
        out.insert("fields".to_owned(), t.fields.iter().map(tensor).collect());
    }
    if let Some(profile) = t.profile {
        out.insert("profile".to_owned(), json!(profile));
    }
    Value::Object(out)
}

/// A whole document: what was found, or as much as is known of a model that could not be read.
pub fn found(detection: &Detection) -> Value {
    let mut out = json!({ "floe": VERSION });
    if let (Some(all), Ok(Value::Object(fields))) = (out.as_object_mut(), serde_json::to_value(detection)) {
        all.extend(fields);
    }
    if let (Some(all), Some(failure)) = (out.as_object_mut(), &detection.failure) {
        let kind = Kind::Model.name();
        all.insert("error".to_owned(), json!({ "kind": kind, "message": failure, "hint": UNREADABLE }));
    }
    out
}

/// What to do about a model that cannot be read.
pub const UNREADABLE: &str = "repair the model, or declare its contract in a serving.yaml";

/// What failed, as a document; with the models among which to choose, where that is what failed.
pub fn error(e: &Error, candidates: &[Candidate]) -> Value {
    let mut out = json!({
        "floe": VERSION,
        "format": null,
        "error": { "kind": e.kind().name(), "message": e.to_string(), "hint": e.hint_text() },
    });
    if let Some(all) = out.as_object_mut().filter(|_| !candidates.is_empty()) {
        let list = candidates.iter().map(|c| {
            json!({
                "format": c.format,
                "location": show_bytes(&c.location),
                "file": show_bytes(&c.file),
                "evidence": c.evidence,
            })
        });
        all.insert("candidates".to_owned(), list.collect());
    }
    out
}

/// A name that nobody knows is no name.
fn name(name: &str, known: Known) -> Value {
    if known == Known::Unknown { Value::Null } else { json!(name) }
}
