//! The list of what refers to an image, for stores that keep none by themselves.
//!
//! It is an index under the tag `sha256-<hex of the subject>` (distribution-spec 1.1, "Referrers Tag
//! Schema"). Invariant: entries of others are kept as they are; an entry is there once.

use serde_json::{Value, json};

use super::{Document, Repository};
use crate::error::{Error, Kind, Result};
use crate::oci::document::MAX_MANIFEST;
use crate::oci::{Descriptor, json as canon, media_type};

/// Adds a manifest to the list of its subject.
pub(super) fn list<R: Repository + ?Sized>(
    repository: &R,
    manifest: &Document,
    subject: &Descriptor,
    artifact_type: &str,
) -> Result<()> {
    let tag = subject.digest.to_string().replace(':', "-");
    let mut index = match repository.resolve(&tag)? {
        None => json!({"schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": []}),
        Some(there) => {
            canon::parse(&repository.document(&there)?.bytes, MAX_MANIFEST, "the list of referrers")?
        }
    };
    let Some(entries) = index.get_mut("manifests").and_then(Value::as_array_mut) else {
        return Err(Error::new(Kind::Conflict, format!("the tag `{tag}` is not a list of referrers"))
            .hint("it belongs to the referrers of an image; remove what else is tagged so"));
    };
    let digest = json!(manifest.descriptor.digest.to_string());
    if entries.iter().any(|e| e["digest"] == digest) {
        return Ok(());
    }
    let mut entry = manifest.descriptor.to_value();
    entry["artifactType"] = json!(artifact_type);
    entries.push(entry);
    let list = Document::new(media_type::INDEX, canon::canonical(&index));
    repository.put_document(&list)?;
    repository.point(&tag, &list)
}
