//! The configuration of a Keras model: JSON that Python wrote, and what its objects have in common.
//!
//! Python writes `NaN` and `Infinity`, which JSON does not have; they are read as null, since no
//! name, dtype or shape is ever one. A [`Layer`] is one `{class_name, config}` of any version. It is
//! not a rule of what a layer does; those are in [`layers`](super::layers).

use serde_json::Value;

use crate::error::{Error, Kind, Result};
use crate::model::contract::{DType, Shape};
use crate::model::format::{MAX_RANK, MAX_TEXT, json};

/// The longest configuration in bytes that is read.
pub(super) const MAX_JSON: u64 = 16 << 20;

/// Parses a configuration.
pub(super) fn parse(bytes: &[u8]) -> Result<Value> {
    let mut text = bytes.to_vec();
    if bytes.len() as u64 > MAX_JSON {
        return Err(Error::new(
            Kind::Model,
            format!("the configuration has {} bytes, at most {MAX_JSON} are read", bytes.len()),
        ));
    }
    tame(&mut text);
    json::parse(&text).map_err(|e| e.context("reading the configuration"))
}

/// Puts null for what only Python writes.
fn tame(text: &mut [u8]) {
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'"' => {
                at += 1;
                while at < text.len() && text[at] != b'"' {
                    at += if text[at] == b'\\' { 2 } else { 1 };
                }
            }
            b'N' | b'I' | b'-' => {
                for word in [&b"NaN"[..], b"Infinity", b"-Infinity"] {
                    if text[at..].starts_with(word) {
                        text[at..at + word.len()].fill(b' ');
                        // Three bytes hold no `null`, but they hold a number.
                        text[at] = b'0';
                        if word.len() > 3 {
                            text[at..at + 4].copy_from_slice(b"null");
                        }
                        at += word.len() - 1;
                        break;
                    }
                }
            }
            _ => {}
        }
        at += 1;
    }
}

/// One layer, or a model inside a model.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layer<'a> {
    /// Its class; empty where that is not one of Keras' own.
    pub(super) class: &'a str,
    /// Its name, unique in the model.
    pub(super) name: &'a str,
    /// What its constructor was given.
    pub(super) config: &'a Value,
    /// All that the file says about it.
    pub(super) raw: &'a Value,
}

impl<'a> Layer<'a> {
    /// Reads `{class_name, config}`.
    pub(super) fn of(raw: &'a Value) -> Option<Self> {
        let class = raw.get("class_name")?.as_str()?;
        let config = raw.get("config")?;
        let name = raw.get("name").or_else(|| config.get("name")).and_then(Value::as_str).unwrap_or("");
        if name.len() > MAX_TEXT {
            return None;
        }
        let class = if is_known(raw) { class } else { "" };
        Some(Self { class, name, config, raw })
    }

    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.config.get(key).filter(|v| !v.is_null())
    }

    pub(super) fn text(&self, key: &str) -> Option<&'a str> {
        self.get(key)?.as_str()
    }

    pub(super) fn flag(&self, key: &str) -> bool {
        self.get(key).and_then(Value::as_bool).unwrap_or(false)
    }

    pub(super) fn size(&self, key: &str) -> Option<u64> {
        size(self.get(key)?)
    }

    pub(super) fn int(&self, key: &str) -> Option<i64> {
        int(self.get(key)?)
    }

    /// Whole numbers; one alone counts as a list of one.
    pub(super) fn ints(&self, key: &str) -> Option<Vec<i64>> {
        ints(self.get(key)?)
    }

    /// `n` sizes, one for each spatial dimension; one alone counts for all.
    pub(super) fn sizes(&self, key: &str, n: usize) -> Option<Vec<u64>> {
        let value = self.get(key)?;
        if let Some(one) = size(value) {
            return Some(vec![one; n]);
        }
        let all: Vec<u64> = list(value)?.iter().map(size).collect::<Option<_>>()?;
        match all.len() {
            1 => Some(vec![all[0]; n]),
            len if len == n => Some(all),
            _ => None,
        }
    }

    /// A layer inside this one.
    pub(super) fn inner(&self, key: &str) -> Option<Self> {
        Self::of(self.get(key)?)
    }

    /// The shape that it was built for, as Keras 3 and late versions of 2 record it.
    pub(super) fn built_for(&self) -> Option<Shape> {
        shape(self.raw.get("build_config")?.get("input_shape")?)
    }
}

/// Whether a layer's class is one of Keras' own. Before Keras 3 nothing says so but the name.
fn is_known(raw: &Value) -> bool {
    match raw.get("module") {
        None => true,
        Some(Value::String(module)) => is_keras(module),
        Some(_) => false,
    }
}

/// Whether a module is one of Keras itself.
pub(super) fn is_keras(module: &str) -> bool {
    let roots = ["keras", "tf_keras", "keras_core", "tensorflow.keras", "tensorflow.python.keras"];
    roots.iter().any(|r| module.strip_prefix(r).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
}

/// A list, or the items of what Keras 3 writes for a tuple.
pub(super) fn list(value: &Value) -> Option<&Vec<Value>> {
    match value {
        Value::Array(items) => Some(items),
        // Lists that are tracked by Keras 2: `{"class_name": "__tuple__", "items": […]}` and alike.
        Value::Object(o)
            if matches!(o.get("class_name").and_then(Value::as_str), Some("__tuple__" | "TensorShape")) =>
        {
            o.get("items")?.as_array()
        }
        _ => None,
    }
}

pub(super) fn int(value: &Value) -> Option<i64> {
    if let Some(n) = value.as_i64() {
        return Some(n);
    }
    // Python's floats that are whole numbers, where a layer was given one.
    let f = value.as_f64()?;
    #[expect(clippy::cast_possible_truncation, reason = "whole and within the range of exact floats")]
    (f.fract() == 0.0 && f.abs() < 9e15).then_some(f as i64)
}

pub(super) fn size(value: &Value) -> Option<u64> {
    int(value).and_then(|n| u64::try_from(n).ok())
}

pub(super) fn ints(value: &Value) -> Option<Vec<i64>> {
    match list(value) {
        Some(items) => items.iter().map(int).collect(),
        None => int(value).map(|n| vec![n]),
    }
}

/// A shape with the batch; null and negative numbers are dimensions that are not fixed.
pub(super) fn shape(value: &Value) -> Option<Shape> {
    let items = list(value)?;
    if items.len() > MAX_RANK {
        return None;
    }
    items
        .iter()
        .map(|item| match item {
            Value::Null => Some(None),
            other => int(other).map(|n| u64::try_from(n).ok()),
        })
        .collect()
}

/// A dtype's name; Keras' `float` and `int` have no fixed size.
pub(super) fn dtype(name: &str) -> Option<DType> {
    name.parse().ok()
}

/// The dtypes of a layer: of its numbers inside, by its policy. `None` where it has none.
///
/// A policy is a name, or an object with one: `mixed_float16` computes in float16, and
/// `int8_from_float32` in what stands behind `from` (keras/src/dtype_policies/dtype_policy.py).
pub(super) fn policy(value: &Value) -> Option<Policy> {
    let name = match value {
        Value::String(name) => name.as_str(),
        Value::Object(o) => {
            let config = o.get("config")?;
            if o.get("class_name").and_then(Value::as_str) == Some("DTypePolicyMap") {
                return policy(config.get("default_policy")?);
            }
            match config.get("source_name").or_else(|| config.get("name"))? {
                Value::String(name) => name.as_str(),
                other => return policy(other),
            }
        }
        _ => return None,
    };
    let name = name.rsplit_once("_from_").map_or(name, |(_, from)| from);
    match name {
        "mixed_float16" => Some(Policy { compute: DType::Float16, variable: DType::Float32 }),
        "mixed_bfloat16" => Some(Policy { compute: DType::BFloat16, variable: DType::Float32 }),
        other => dtype(other).map(|d| Policy { compute: d, variable: d }),
    }
}

/// In which dtype a layer computes, and in which it keeps its weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Policy {
    pub(super) compute: DType,
    pub(super) variable: DType,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_python_writes_is_read() {
        let v = parse(br#"{"a": NaN, "b": [-Infinity, Infinity], "c": "NaN \" Infinity", "d": -1}"#).unwrap();
        assert_eq!(v["c"], "NaN \" Infinity");
        assert_eq!(v["d"], -1);
        assert!(v["b"][0].is_null() && v["b"][1].is_null());
    }

    #[test]
    fn deep_and_wide_configurations_end() {
        assert!(parse("[".repeat(100_000).as_bytes()).is_err());
        assert!(parse(format!("[{}1]", "1,".repeat(1_500_000)).as_bytes()).is_err());
        assert!(parse(b"\"\\").is_err());
    }

    #[test]
    fn policies_tell_what_is_computed() {
        let compute = |json: &str| policy(&serde_json::from_str(json).unwrap()).map(|p| p.compute);
        assert_eq!(compute("\"mixed_float16\""), Some(DType::Float16));
        assert_eq!(
            compute(r#"{"class_name":"DTypePolicy","config":{"name":"float64"}}"#),
            Some(DType::Float64)
        );
        assert_eq!(
            compute(r#"{"class_name":"Policy","config":{"name":"int8_from_mixed_bfloat16"}}"#),
            Some(DType::BFloat16)
        );
        assert_eq!(compute("3"), None);
    }
}
