//! The full check of an OCI layout, written without floe's own reader: every document parses, every
//! thing that is named is there, and has the digest and the size that it is named by.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use floe::oci::Digest;
use serde_json::Value;

/// What a layout holds, after the check.
#[derive(Debug, Default)]
pub(crate) struct Walked {
    /// Name and digest of the entries of `index.json`.
    pub(crate) names: Vec<(String, String)>,
    /// Manifests, indexes and configurations, with their media types.
    pub(crate) documents: Vec<(String, Value)>,
    /// Digests of all that is named.
    pub(crate) named: BTreeSet<String>,
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A JSON file.
pub(crate) fn json(path: &Path) -> Value {
    serde_json::from_slice(&read(path)).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Where a layout has a blob.
pub(crate) fn blob(layout: &Path, digest: &str) -> PathBuf {
    layout.join("blobs/sha256").join(digest.strip_prefix("sha256:").unwrap())
}

/// Checks a layout, whole.
pub(crate) fn layout(folder: &Path) -> Walked {
    assert_eq!(json(&folder.join("oci-layout"))["imageLayoutVersion"], "1.0.0");
    let index = json(&folder.join("index.json"));
    assert_eq!(index["schemaVersion"], 2);
    let mut found = Walked::default();
    for entry in index["manifests"].as_array().unwrap() {
        let name = &entry["annotations"]["org.opencontainers.image.ref.name"];
        let digest = entry["digest"].as_str().unwrap().to_owned();
        found.names.push((name.as_str().unwrap_or_default().to_owned(), digest));
        descend(folder, entry, &mut found);
    }
    found
}

/// Blobs that nothing names have the content that their own name says too.
pub(crate) fn unnamed_are_whole(folder: &Path, named: &Walked) {
    for item in fs::read_dir(folder.join("blobs/sha256")).unwrap() {
        let path = item.unwrap().path();
        let digest = format!("sha256:{}", path.file_name().unwrap().to_str().unwrap());
        if !digest.contains(floe::fs::TEMP_PREFIX) && !named.named.contains(&digest) {
            assert_eq!(Digest::of(&read(&path)).to_string(), digest);
        }
    }
}

fn descend(folder: &Path, descriptor: &Value, found: &mut Walked) {
    let digest = descriptor["digest"].as_str().unwrap().to_owned();
    let bytes = read(&blob(folder, &digest));
    assert_eq!(descriptor["size"].as_u64(), Some(bytes.len() as u64), "{digest}");
    if found.named.contains(&digest) {
        return;
    }
    assert_eq!(Digest::of(&bytes).to_string(), digest);
    found.named.insert(digest);
    let kind = descriptor["mediaType"].as_str().unwrap().to_owned();
    if !kind.ends_with("+json") {
        return;
    }
    let value: Value = serde_json::from_slice(&bytes).unwrap();
    for key in ["manifests", "layers"] {
        for entry in value[key].as_array().map(Vec::as_slice).unwrap_or_default() {
            descend(folder, entry, found);
        }
    }
    if value["config"]["digest"].is_string() {
        descend(folder, &value["config"], found);
    }
    found.documents.push((kind, value));
}

/// Files that floe was still writing to, anywhere below a folder.
pub(crate) fn temporary(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let Ok(items) = fs::read_dir(folder) else { return all };
    for item in items {
        let path = item.unwrap().path();
        if path.symlink_metadata().is_ok_and(|m| m.is_dir()) {
            all.extend(temporary(&path));
        } else if path.file_name().unwrap().to_string_lossy().starts_with(floe::fs::TEMP_PREFIX) {
            all.push(path);
        }
    }
    all
}
