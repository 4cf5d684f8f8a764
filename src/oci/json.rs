//! Canonical JSON: the one way in which floe writes a document.
//!
//! Object keys in bytewise order, no white space, no escapes beyond those that JSON demands.
//! Invariant: equal values give equal bytes, on every machine and for every release, whatever
//! features other crates enable in `serde_json`.

use serde::Serialize;
use serde_json::Value;

use crate::error::{Error, Kind, Result};

/// The canonical bytes of a value.
pub fn canonical(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    write(value, &mut out);
    out
}

/// The canonical bytes of anything that can be serialized.
pub fn to_canonical(value: &impl Serialize) -> Result<Vec<u8>> {
    let value = serde_json::to_value(value)
        .map_err(|e| Error::new(Kind::Bug, "a document cannot be written as JSON").because(e))?;
    Ok(canonical(&value))
}

fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Array(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write(item, out);
            }
            out.push(b']');
        }
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            out.push(b'{');
            for (i, key) in keys.into_iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                scalar(&Value::String(key.clone()), out);
                out.push(b':');
                write(&map[key], out);
            }
            out.push(b'}');
        }
        other => scalar(other, out),
    }
}

fn scalar(value: &Value, out: &mut Vec<u8>) {
    out.extend_from_slice(value.to_string().as_bytes());
}

/// Parses a document from outside: at most `cap` bytes and no deeper than `serde_json` allows.
pub fn parse(bytes: &[u8], cap: usize, what: &str) -> Result<Value> {
    if bytes.len() > cap {
        return Err(Error::new(
            Kind::Integrity,
            format!("{what} has {} bytes, at most {cap} are accepted", bytes.len()),
        ));
    }
    serde_json::from_slice(bytes)
        .map_err(|e| Error::new(Kind::Integrity, format!("{what} is not valid JSON")).because(e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_are_sorted_at_every_depth() {
        let v = json!({"b": [{"z": 1, "a": null}], "a": {"é": "x\n\"", "E": 1.5}});
        assert_eq!(
            String::from_utf8(canonical(&v)).unwrap(),
            "{\"a\":{\"E\":1.5,\"é\":\"x\\n\\\"\"},\"b\":[{\"a\":null,\"z\":1}]}"
        );
    }

    #[test]
    fn a_document_from_outside_is_bounded() {
        assert!(parse(b"{}", 1, "the index").is_err());
        let deep = "[".repeat(100_000);
        assert!(parse(deep.as_bytes(), 1 << 20, "the index").is_err());
    }
}
