//! The weights of a folder: one file, or several and an index that names them.
//!
//! Tables of safetensors and of PyTorch's state dicts are read, and what loading the latter would run
//! is told. Weights in HDF5 or msgpack are named here and read by no one but their framework.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::error::{Result, show_bytes};
use crate::model::format::pytorch;
use crate::model::format::safetensors::read_header;
use crate::model::format::{MAX_ENTRIES, Reading, Severity, Weight, join, shards};
use crate::model::tree::{EntryKind, Tree};

/// The longest index that is read.
const MAX_INDEX: u64 = 16 << 20;
/// The most files that an index may name.
const MAX_FILES: usize = 10_000;

/// Where weights may be, best first, and what has written them.
const KINDS: &[(&str, &str, &str)] = &[
    ("model.safetensors", "model.safetensors.index.json", "safetensors"),
    ("pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch"),
    ("tf_model.h5", "tf_model.h5.index.json", "tensorflow"),
    ("flax_model.msgpack", "flax_model.msgpack.index.json", "flax"),
    ("adapter_model.safetensors", "adapter_model.safetensors.index.json", "safetensors"),
    ("adapter_model.bin", "adapter_model.bin.index.json", "pytorch"),
];

/// Whether a name is one of weights or of their index.
pub(super) fn is_weights(name: &[u8]) -> bool {
    KINDS.iter().any(|(file, index, _)| name == file.as_bytes() || name == index.as_bytes())
}

/// Reads the table of weights of a folder, where there is one, and names what is missing.
pub(super) fn read(tree: &Tree, folder: &[u8], budget: u64, reading: &mut Reading) -> Result<Vec<Weight>> {
    let path = |name: &str| join(folder, name.as_bytes());
    let there = |path: &[u8]| tree.get(path).is_some_and(|e| matches!(e.kind, EntryKind::File { .. }));
    let found = KINDS.iter().find(|(file, index, _)| there(&path(file)) || there(&path(index)));
    let Some((file, index, kind)) = found else { return Ok(Vec::new()) };
    reading.fact("serialization", *kind);
    let files = if there(&path(file)) {
        vec![path(file)]
    } else {
        let content = tree.open(&path(index))?;
        let json = content.read_all(MAX_INDEX.min(budget))?;
        match serde_json::from_slice::<Index>(&json) {
            Ok(index) => index.weight_map.0.iter().filter_map(|name| inside(folder, name, reading)).collect(),
            Err(e) => {
                reading.find(
                    Severity::Error,
                    "bad-index",
                    show_bytes(&path(index)),
                    format!("`{index}` does not say where the weights are: {e}"),
                );
                Vec::new()
            }
        }
    };
    let mut left = budget;
    let mut tensors = Vec::new();
    for file in files {
        if !there(&file) {
            let shown = show_bytes(&file);
            let message = format!("`{shown}`, a part of the weights, is not among the files of the model");
            reading.find(Severity::Error, "missing-weights", shown, message);
            continue;
        }
        reading.required.push(file.clone());
        if !matches!(*kind, "safetensors" | "pytorch") {
            continue;
        }
        let content = tree.open(&file)?;
        if *kind == "pytorch" {
            let (mut saved, shown) = (Reading::default(), show_bytes(&file));
            pytorch::read_saved(&content, &shown, left, &mut saved)
                .map_err(|e| e.context(format!("reading `{shown}`")))?;
            for f in saved.findings {
                reading.find(f.severity, f.code, f.place, f.message);
            }
            reading.warnings.extend(saved.warnings);
            tensors.extend(saved.tensors);
        } else {
            let header = read_header(&content, left)
                .map_err(|e| e.context(format!("reading `{}`", show_bytes(&file))))?;
            content.check_unchanged()?;
            left = left.saturating_sub(header.spent);
            reading.warnings.extend(header.warnings);
            tensors.extend(header.tensors);
        }
        if tensors.len() > MAX_ENTRIES {
            tensors.truncate(MAX_ENTRIES);
            reading.warnings.push(format!("only the first {MAX_ENTRIES} tensors are listed"));
            break;
        }
    }
    Ok(tensors)
}

/// The path of a file that an index names; one that lies elsewhere is no part of the model.
fn inside(folder: &[u8], name: &str, reading: &mut Reading) -> Option<Vec<u8>> {
    let plain = !name.is_empty() && name != ".." && !name.contains(['/', '\\', '\0']);
    if !plain {
        let shown = show_bytes(name.as_bytes());
        let message =
            format!("weights are said to lie in `{shown}`, which is not a file of the model's folder");
        reading.find(Severity::Error, "weights-outside", "", message);
        return None;
    }
    Some(join(folder, name.as_bytes()))
}

/// Files of weights that a folder has besides its index, for what claims them.
pub(super) fn is_part(name: &[u8]) -> bool {
    shards::part(name).is_some() || is_weights(name)
}

#[derive(Deserialize)]
struct Index {
    weight_map: Files,
}

/// The files that a map of weights names, each once.
struct Files(BTreeSet<String>);

impl<'de> Deserialize<'de> for Files {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Files;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object that gives each weight a file")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Files, A::Error> {
                let mut files = BTreeSet::new();
                while map.next_key::<IgnoredAny>()?.is_some() {
                    let file = map.next_value::<String>()?;
                    if !files.contains(&file) {
                        if files.len() == MAX_FILES {
                            return Err(A::Error::custom(format!("more than {MAX_FILES} files")));
                        }
                        files.insert(file);
                    }
                }
                Ok(Files(files))
            }
        }
        d.deserialize_map(Names)
    }
}
