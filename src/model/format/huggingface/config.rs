//! `config.json` and its neighbours: JSON of a bounded size, and the names under which transformers'
//! many configurations keep the same few numbers.
//!
//! It knows no classes of models; those are in `tasks.rs`.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::error::Result;
use crate::model::format::json;
use crate::model::tree::{EntryKind, Tree};

/// The longest configuration that is read; one with tens of thousands of labels has a megabyte.
const MAX_JSON: u64 = 4 << 20;
/// The most labels that are told.
const MAX_LABELS: usize = 50_000;

/// A configuration, empty where there is none.
#[derive(Clone, Debug, Default)]
pub(super) struct Config(Value);

impl Config {
    /// Reads a file of the tree; `None` where it is not there, too long, or no JSON object.
    pub(super) fn read(tree: &Tree, path: &[u8]) -> Result<Option<Self>> {
        let Some(entry) = tree.get(path) else { return Ok(None) };
        match &entry.kind {
            EntryKind::File { stamp, .. } if stamp.size <= MAX_JSON => {}
            _ => return Ok(None),
        }
        Ok(Self::parse(&tree.open(path)?.read_all(MAX_JSON)?))
    }

    /// Reads an object.
    pub(super) fn parse(json: &[u8]) -> Option<Self> {
        json::parse(json).ok().filter(Value::is_object).map(Self)
    }

    /// A value.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|v| !v.is_null())
    }

    /// A text.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Value::as_str)
    }

    /// A size under the first of several names that is there.
    pub(super) fn size(&self, keys: &[&str]) -> Option<u64> {
        keys.iter().find_map(|k| self.get(k)).and_then(Value::as_u64)
    }

    /// A configuration inside; an empty one where there is none.
    pub(super) fn inner(&self, key: &str) -> Self {
        self.get(key).filter(|v| v.is_object()).cloned().map_or_else(Self::default, Self)
    }

    /// Whether a key is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// All entries.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.0.as_object().into_iter().flatten()
    }

    /// The class that the weights are of.
    pub(super) fn architecture(&self) -> Option<&str> {
        self.get("architectures")?.as_array()?.first()?.as_str()
    }

    /// How many classes there are: transformers keeps the number only where there are no labels, and
    /// neither where there are two (configuration_utils.py, `num_labels`).
    pub(super) fn num_labels(&self) -> Option<u64> {
        match self.get("id2label") {
            Some(labels) => labels.as_object().map(|l| l.len() as u64),
            None => match self.get("num_labels") {
                Some(n) => n.as_u64(),
                None => Some(2),
            },
        }
    }

    /// The labels in order, unless they are those that transformers makes up.
    pub(super) fn labels(&self) -> Option<Vec<String>> {
        let labels = self.get("id2label")?.as_object().filter(|l| l.len() <= MAX_LABELS)?;
        let numbered: BTreeMap<usize, &str> =
            labels.iter().map(|(k, v)| Some((k.parse().ok()?, v.as_str()?))).collect::<Option<_>>()?;
        let in_order = numbered.keys().copied().eq(0..numbered.len());
        let made_up = numbered.iter().all(|(i, l)| *l == format!("LABEL_{i}"));
        (in_order && !made_up).then(|| numbered.into_values().map(str::to_owned).collect())
    }

    /// The width of what passes between layers.
    pub(super) fn hidden(&self) -> Option<u64> {
        self.size(&["hidden_size", "d_model", "n_embd", "dim", "emb_dim", "hidden_dim"])
    }

    /// Height and width of images; one number stands for both.
    pub(super) fn image_size(&self) -> Option<[u64; 2]> {
        match self.get("image_size")? {
            Value::Array(both) => match both.as_slice() {
                [h, w] => Some([h.as_u64()?, w.as_u64()?]),
                _ => None,
            },
            one => one.as_u64().map(|n| [n, n]),
        }
    }
}
