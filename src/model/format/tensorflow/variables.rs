//! What must lie beside a SavedModel for it to be served: its variables and assets.
//!
//! The contract does not need them, so that what is missing is a finding and no failure.

use crate::error::show_bytes;
use crate::model::format::tensorflow::saved_model::Loaded;
use crate::model::format::{Reading, Severity, file_name, join};
use crate::model::tree::{EntryKind, Tree};

/// The beginning of the names of the shards, before `-00000-of-00001`.
const SHARD: &[u8] = b"variables.data-";

/// Looks for the variables and assets of the model in `folder`.
pub(super) fn check(tree: &Tree, folder: &[u8], loaded: &Loaded, reading: &mut Reading) {
    let is_file = |path: &[u8]| tree.get(path).is_some_and(|e| matches!(e.kind, EntryKind::File { .. }));
    if loaded.restores {
        let index = join(folder, b"variables/variables.index");
        if is_file(&index) {
            reading.required.push(index);
            shards(tree, &join(folder, b"variables"), reading);
        } else {
            missing(reading, &index);
        }
    }
    for name in &loaded.assets {
        let path = join(&join(folder, b"assets"), name.as_bytes());
        if is_file(&path) {
            reading.required.push(path);
        } else {
            reading.find(
                Severity::Warning,
                "missing-asset",
                "",
                format!("the model reads `{}` when it is loaded, which is not there", show_bytes(&path)),
            );
        }
    }
}

fn missing(reading: &mut Reading, path: &[u8]) {
    let message = format!("the model restores its variables from `{}`, which is not there", show_bytes(path));
    reading.warnings.push(message.clone());
    reading.find(Severity::Warning, "missing-variables", "", message);
}

/// Every shard, of as many as the names of those that are there tell.
fn shards(tree: &Tree, folder: &[u8], reading: &mut Reading) {
    let mut there = Vec::new();
    let mut of = None;
    for (path, _) in tree.files() {
        let Some(name) = path.strip_prefix(folder).and_then(|r| r.strip_prefix(b"/")) else { continue };
        if name.starts_with(SHARD) && file_name(path) == name {
            there.push(path.to_vec());
            of = of.max(count(name));
        }
    }
    let Some(of) = of else {
        missing(reading, &join(folder, b"variables.data-00000-of-00001"));
        return;
    };
    // The count comes from a file name: only the first that is missing is told.
    for i in 0..of {
        let path = join(folder, format!("variables.data-{i:05}-of-{of:05}").as_bytes());
        if !there.contains(&path) {
            missing(reading, &path);
            break;
        }
    }
    reading.required.extend(there);
}

/// The second number of `variables.data-00000-of-00002`.
fn count(name: &[u8]) -> Option<u32> {
    let name = std::str::from_utf8(name).ok()?;
    name.rsplit_once("-of-")?.1.parse().ok()
}
