//! Descriptors: a digest, a size and a media type, which together name a blob.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Digest;
use crate::error::{Error, Kind, Result};

/// What names a blob (image-spec, `descriptor.md`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Media type of the blob.
    pub media_type: String,
    /// Digest of its bytes.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Annotations, sorted by key.
    pub annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// A descriptor without annotations.
    pub fn new(media_type: impl Into<String>, digest: Digest, size: u64) -> Self {
        Self { media_type: media_type.into(), digest, size, annotations: BTreeMap::new() }
    }

    /// The descriptor of bytes in memory.
    pub fn of(media_type: impl Into<String>, bytes: &[u8]) -> Self {
        Self::new(media_type, Digest::of(bytes), bytes.len() as u64)
    }

    /// Reads a descriptor from a document; unknown keys are left to whoever keeps the document.
    pub fn from_value(value: &Value, what: &str) -> Result<Self> {
        let wrong = |why: &str| Error::new(Kind::Integrity, format!("{what} is not a descriptor: {why}"));
        let media_type = value["mediaType"].as_str().ok_or_else(|| wrong("there is no `mediaType`"))?;
        let digest = value["digest"].as_str().ok_or_else(|| wrong("there is no `digest`"))?;
        let digest = digest.parse::<Digest>().map_err(|e| e.context(what))?;
        // The specification has a signed 64-bit number here.
        let size = value["size"].as_i64().and_then(|n| u64::try_from(n).ok());
        let size = size.ok_or_else(|| wrong("`size` is not a number of bytes"))?;
        let mut annotations = BTreeMap::new();
        if let Some(map) = value["annotations"].as_object() {
            for (key, value) in map {
                let text = value.as_str().ok_or_else(|| wrong("an annotation is not a string"))?;
                annotations.insert(key.clone(), text.to_owned());
            }
        }
        Ok(Self { media_type: media_type.to_owned(), digest, size, annotations })
    }

    /// The descriptor as a type of `oci-spec`, for building new documents.
    pub fn to_spec(&self) -> oci_spec::image::Descriptor {
        let digest = oci_spec::image::Sha256Digest::from(self.digest);
        let mut d = oci_spec::image::Descriptor::new(self.media_type.as_str().into(), self.size, digest);
        if !self.annotations.is_empty() {
            d.set_annotations(Some(self.annotations.clone().into_iter().collect()));
        }
        d
    }

    /// The descriptor as JSON.
    pub fn to_value(&self) -> Value {
        let mut v = serde_json::json!({
            "mediaType": self.media_type, "digest": self.digest.to_string(), "size": self.size,
        });
        if !self.annotations.is_empty() {
            v["annotations"] = serde_json::json!(self.annotations);
        }
        v
    }
}

impl From<Digest> for oci_spec::image::Sha256Digest {
    fn from(d: Digest) -> Self {
        d.hex().parse().expect("64 hex digits are a SHA-256 digest")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_through_json_and_oci_spec() {
        let mut d = Descriptor::of("text/plain", b"x");
        d.annotations.insert("a".into(), "b".into());
        assert_eq!(Descriptor::from_value(&d.to_value(), "x").unwrap(), d);
        let spec = serde_json::to_value(d.to_spec()).unwrap();
        assert_eq!(Descriptor::from_value(&spec, "x").unwrap(), d);
    }

    #[test]
    fn lies_are_refused() {
        let good = Descriptor::of("text/plain", b"x").to_value();
        for (key, bad) in [
            ("size", serde_json::json!(-1)),
            ("size", serde_json::json!("1")),
            ("digest", serde_json::json!("sha256:12")),
            ("mediaType", Value::Null),
            ("annotations", serde_json::json!({"a": 1})),
        ] {
            let mut v = good.clone();
            v[key] = bad;
            assert!(Descriptor::from_value(&v, "x").is_err(), "{v}");
        }
    }
}
