//! The schema of a signature: JSON inside the text of `MLmodel`.
//!
//! A list of columns (`ColSpec`) or of tensors (`TensorSpec`), as `mlflow/types/schema.py` writes
//! them; versions before 2.0 had no `required`, some had `optional`. A column is one value per row,
//! so its shape is one dimension that is not fixed. Nothing is derived here.

use serde_json::{Map, Value};

use crate::error::{Error, Kind, Result, show_bytes};
use crate::model::contract::{DType, Encoding, Known, Provenance, Tensor};
use crate::model::format::{MAX_ENTRIES, MAX_RANK, MAX_TEXT, json};

/// How deep lists, maps and records may be in each other.
const MAX_DEPTH: usize = 32;
/// The longest description of a type that is kept.
const MAX_NATIVE: usize = 1000;

/// Reads one side of a signature.
pub(super) fn read(text: &str, side: &str) -> Result<Vec<Tensor>> {
    let wrong = |why: &str| Error::new(Kind::Model, format!("the signature's {side}s {why}"));
    let list = json::parse(text.as_bytes()).map_err(|e| wrong(&format!("cannot be read: {e}")))?;
    let Value::Array(list) = list else { return Err(wrong("are no list")) };
    if list.len() > MAX_ENTRIES {
        return Err(wrong(&format!("are more than {MAX_ENTRIES}")));
    }
    let mut out: Vec<Tensor> = Vec::with_capacity(list.len());
    let mut names = std::collections::BTreeSet::new();
    for (at, entry) in list.iter().enumerate() {
        let Value::Object(entry) = entry else { return Err(wrong("hold something that is no map")) };
        let stored = entry.get("name").and_then(Value::as_str).filter(|n| n.len() <= MAX_TEXT);
        let mut tensor = one(entry, side)?;
        match stored {
            Some(name) => name.clone_into(&mut tensor.name),
            None => {
                tensor.known.name = Known::Unknown;
                tensor.name = if list.len() == 1 { side.to_owned() } else { format!("{side}_{at}") };
            }
        }
        if !names.insert(tensor.name.clone()) {
            let shown = show_bytes(tensor.name.as_bytes());
            return Err(wrong(&format!("have the name `{shown}` twice")));
        }
        out.push(tensor);
    }
    Ok(out)
}

fn one(entry: &Map<String, Value>, side: &str) -> Result<Tensor> {
    let unknown = Provenance { name: Known::Stored, dtype: Known::Unknown, shape: Known::Unknown };
    let mut tensor = Tensor::new("", None, None, Known::Unknown);
    tensor.known = unknown;
    tensor.optional = entry.get("required") == Some(&Value::Bool(false))
        || entry.get("optional") == Some(&Value::Bool(true));
    if entry.get("type").and_then(Value::as_str) == Some("tensor") {
        let spec = entry.get("tensor-spec").and_then(Value::as_object).ok_or_else(|| {
            Error::new(Kind::Model, format!("a tensor of the signature's {side}s has no `tensor-spec`"))
        })?;
        if let Some(name) = spec.get("dtype").and_then(Value::as_str) {
            tensor.dtype = numpy(name);
            if tensor.dtype.is_none() {
                tensor.native_type = Some(name.chars().take(MAX_NATIVE).collect());
            }
        }
        if let Some(dims) = spec.get("shape").and_then(Value::as_array).filter(|d| d.len() <= MAX_RANK) {
            tensor.shape = Some(dims.iter().map(Value::as_u64).collect());
            tensor.known.shape = Known::Stored;
        }
    } else {
        column(&mut tensor, entry, 0);
    }
    if tensor.dtype.is_some() {
        tensor.known.dtype = Known::Stored;
    }
    Ok(tensor)
}

/// What the type of a column says, which `entry` holds.
fn column(tensor: &mut Tensor, entry: &Map<String, Value>, depth: usize) {
    let rows = Some(vec![None]);
    let name = entry.get("type").and_then(Value::as_str).unwrap_or_default();
    tensor.native_type = native(entry, 0).filter(|n| n.len() <= MAX_NATIVE);
    match name {
        "array" | "sparkml_vector" | "map" => {
            tensor.encoding = if name == "map" { Encoding::Map } else { Encoding::Ragged };
            tensor.dtype = innermost(entry);
        }
        "object" => {
            tensor.encoding = Encoding::Composite;
            tensor.shape = rows;
            if let Some(properties) = entry.get("properties").and_then(Value::as_object)
                && depth < MAX_DEPTH
            {
                for (key, value) in properties.iter().take(MAX_ENTRIES) {
                    let Value::Object(value) = value else { continue };
                    let mut field = Tensor::new(key, None, None, Known::Unknown);
                    field.known.name = Known::Stored;
                    field.optional = value.get("required") == Some(&Value::Bool(false));
                    column(&mut field, value, depth + 1);
                    if field.dtype.is_some() {
                        field.known.dtype = Known::Stored;
                    }
                    tensor.fields.push(field);
                }
            }
        }
        scalar => {
            tensor.dtype = self::scalar(scalar);
            tensor.shape = rows;
            // The word says no more than the element type does.
            if tensor.dtype.is_some() && scalar != "binary" {
                tensor.native_type = None;
            }
        }
    }
    if tensor.shape.is_some() {
        tensor.known.shape = Known::Stored;
    }
}

/// The element type of the values in lists and maps.
fn innermost(mut entry: &Map<String, Value>) -> Option<DType> {
    for _ in 0..MAX_DEPTH {
        let inner = match entry.get("type").and_then(Value::as_str)? {
            "array" => entry.get("items")?,
            "map" => entry.get("values")?,
            "sparkml_vector" => return Some(DType::Float64),
            other => return scalar(other),
        };
        match inner {
            Value::String(name) => return scalar(name),
            Value::Object(map) => entry = map,
            _ => return None,
        }
    }
    None
}

/// A type in MLflow's words: `array(double)`.
fn native(entry: &Map<String, Value>, depth: usize) -> Option<String> {
    if depth > MAX_DEPTH {
        return None;
    }
    let inner = |key: &str| match entry.get(key)? {
        Value::String(name) => Some(name.clone()),
        Value::Object(map) => native(map, depth + 1),
        _ => None,
    };
    match entry.get("type").and_then(Value::as_str)? {
        "array" => Some(format!("array({})", inner("items")?)),
        "map" => Some(format!("map(string, {})", inner("values")?)),
        other => Some(other.to_owned()),
    }
}

/// `DataType` of mlflow/types/schema.py; a moment has no element type here.
fn scalar(name: &str) -> Option<DType> {
    match name {
        "boolean" => Some(DType::Bool),
        "integer" => Some(DType::Int32),
        "long" => Some(DType::Int64),
        "float" => Some(DType::Float32),
        "double" => Some(DType::Float64),
        "string" | "binary" => Some(DType::String),
        _ => None,
    }
}

/// Names of numpy's types, as `dtype.name` gives them.
fn numpy(name: &str) -> Option<DType> {
    match name {
        "str" | "bytes" => Some(DType::String),
        _ if name.starts_with("str") || name.starts_with("bytes") => Some(DType::String),
        "bool" | "float16" | "float32" | "float64" | "int8" | "int16" | "int32" | "int64" | "uint8"
        | "uint16" | "uint32" | "uint64" | "complex64" | "complex128" | "object" => name.parse().ok(),
        _ => None,
    }
}
