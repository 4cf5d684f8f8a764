//! The document of a detection: what `floe infer --json` prints, field by field.
//!
//! It is not `contract.json` (`crate::model::contract::json`), whose bytes are a part of an image and
//! never change; this one tells more with each version of floe. Fields are only ever added.

use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::model::contract::{Encoding, Known, Signature, Tensor};

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
    out.insert("dtype".to_owned(), json!(t.dtype));
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

/// What failed, as a document.
pub fn error(e: &Error) -> Value {
    json!({
        "floe": VERSION,
        "error": { "kind": e.kind().name(), "message": e.message(), "hint": e.hint_text() },
    })
}

/// A name that nobody knows is no name.
fn name(name: &str, known: Known) -> Value {
    if known == Known::Unknown { Value::Null } else { json!(name) }
}
