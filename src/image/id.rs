//! The model id: what a model is, apart from base, platform and compression.

use std::fmt;

use serde::Serialize;
use serde_json::json;

use crate::oci::{DiffId, Digest, json};
use crate::plan::LAYOUT;

/// The SHA-256 over the canonical JSON of `[layout version, model name, [diff ids of our layers]]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ModelId(Digest);

impl ModelId {
    /// The id of a model with these layers, lowest first.
    pub fn new(model: &str, diff_ids: &[DiffId]) -> Self {
        let ids: Vec<String> = diff_ids.iter().map(DiffId::to_string).collect();
        Self(Digest::of(&json::canonical(&json!([LAYOUT, model, ids]))))
    }

    /// The first 16 hex digits: the label `MODEL_VERSION`.
    pub fn short(&self) -> String {
        self.0.short()
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_what_the_documentation_says() {
        let d = DiffId(Digest::of(b"x"));
        let text = format!("[1,\"m\",[\"{d}\"]]");
        assert_eq!(ModelId::new("m", &[d]).to_string(), Digest::of(text.as_bytes()).to_string());
    }
}
