//! What is attached to an image.

use serde::Serialize;
use serde_json::Value;

use crate::error::Result;
use crate::oci::Digest;
use crate::oci::annotation::CREATED;
use crate::store::{Referring, Source};

/// How many artifacts are looked into for the size of their content.
const LOOKED_INTO: usize = 200;

/// An artifact that refers to an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attached {
    /// What it refers to: the index, or the manifest of a platform.
    pub subject: Digest,
    /// What it is, by its own word.
    pub artifact_type: Option<String>,
    /// Digest of its manifest.
    pub digest: Digest,
    /// Bytes of its content; `None` where its manifest cannot be read.
    pub size: Option<u64>,
    /// When it was made, by its own word.
    pub created: Option<String>,
}

/// What refers to these documents, in the order of the source.
pub fn attached(source: &dyn Source, subjects: &[Digest]) -> Result<Vec<Attached>> {
    let mut all: Vec<Attached> = Vec::new();
    for subject in subjects {
        for Referring { artifact_type, descriptor } in source.referrers(subject)? {
            if all.iter().any(|a| a.digest == descriptor.digest && a.subject == *subject) {
                continue;
            }
            let size = if all.len() < LOOKED_INTO { size(source, &descriptor) } else { None };
            all.push(Attached {
                subject: *subject,
                artifact_type,
                digest: descriptor.digest,
                size,
                created: descriptor.annotations.get(CREATED).cloned(),
            });
        }
    }
    Ok(all)
}

fn size(source: &dyn Source, manifest: &crate::oci::Descriptor) -> Option<u64> {
    let document = source.document(manifest).ok()?;
    let value: Value = serde_json::from_slice(&document.bytes).ok()?;
    let sizes = value["layers"].as_array()?.iter().map(|l| l["size"].as_u64().unwrap_or(0));
    Some(sizes.fold(0, u64::saturating_add))
}
