//! A referrer: a small document beside an image, which points to it and is no part of it.
//!
//! Facts and findings about a model get better with floe, and who published an image, when and from
//! where says nothing of what it is: neither may move a digest. So they are manifests of their own with
//! the image as their `subject` (image-spec 1.1, manifest.md, "subject").
//!
//! Invariant: the bytes are a pure function of content, annotations and subject, so that the same facts
//! are attached once.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::blob::Blob;
use crate::blob::Bytes;
use crate::oci::document::Document;
use crate::oci::{Descriptor, json as canon, media_type};

/// What the facts about a model are, as artifact and as blob.
pub const FACTS: &str = "application/vnd.floe.facts.v1+json";
/// What a publish record is, as artifact and as blob.
pub const RECORD: &str = "application/vnd.floe.record.v1+json";
/// The media type of a configuration that says nothing (image-spec, manifest.md).
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// A manifest that refers to an image, and the blobs that it names.
#[derive(Clone)]
pub struct Referrer {
    /// The manifest.
    pub manifest: Document,
    /// The configuration and the content.
    pub blobs: Vec<Arc<dyn Blob>>,
    /// What it is about.
    pub subject: Descriptor,
}

impl Referrer {
    /// One document about an image or an index.
    pub fn new(artifact_type: &str, content: Vec<u8>, subject: &Descriptor) -> Self {
        let content: Arc<dyn Blob> = Arc::new(Bytes::new(artifact_type, content));
        Self::of(artifact_type, vec![content], &BTreeMap::new(), subject)
    }

    /// Some blobs about an image or an index, in an artifact with these annotations.
    pub fn of(
        artifact_type: &str,
        content: Vec<Arc<dyn Blob>>,
        annotations: &BTreeMap<String, String>,
        subject: &Descriptor,
    ) -> Self {
        let mut blobs: Vec<Arc<dyn Blob>> = vec![Arc::new(Bytes::new(EMPTY, b"{}".to_vec()))];
        blobs.extend(content);
        let subject = Descriptor::new(subject.media_type.as_str(), subject.digest, subject.size);
        let layers: Vec<Value> = blobs[1..].iter().map(|b| b.descriptor().to_value()).collect();
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type::MANIFEST,
            "artifactType": artifact_type,
            "config": blobs[0].descriptor().to_value(),
            // An artifact without content names the empty blob (image-spec, manifest.md, "Guidelines
            // for Artifact Usage").
            "layers": if layers.is_empty() { vec![blobs[0].descriptor().to_value()] } else { layers },
            "subject": subject.to_value(),
        });
        if !annotations.is_empty() {
            manifest["annotations"] = json!(annotations);
        }
        let manifest = Document::new(media_type::MANIFEST, canon::canonical(&manifest));
        Self { manifest, blobs, subject }
    }
}

impl fmt::Debug for Referrer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Referrer({} of {})", self.manifest.descriptor.digest, self.subject.digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_facts_are_the_same_referrer() {
        let image = Descriptor::of(media_type::MANIFEST, b"image");
        let one = Referrer::new(FACTS, b"{\"floe\":1}".to_vec(), &image);
        assert_eq!(one.manifest, Referrer::new(FACTS, b"{\"floe\":1}".to_vec(), &image).manifest);
        let text = String::from_utf8(one.manifest.bytes).unwrap();
        assert!(text.contains(&format!("\"subject\":{{\"digest\":\"{}\"", image.digest)), "{text}");
        assert_ne!(
            Referrer::new(FACTS, b"{}".to_vec(), &image).manifest.descriptor.digest,
            one.manifest.descriptor.digest
        );
    }

    #[test]
    fn an_artifact_without_content_names_the_empty_blob() {
        let image = Descriptor::of(media_type::MANIFEST, b"image");
        let note = BTreeMap::from([("approved".to_owned(), "yes".to_owned())]);
        let referrer = Referrer::of("x/y", Vec::new(), &note, &image);
        let value: Value = serde_json::from_slice(&referrer.manifest.bytes).unwrap();
        assert_eq!(value["layers"][0], value["config"]);
        assert_eq!(value["annotations"]["approved"], "yes");
        assert_eq!(referrer.blobs.len(), 1);
    }
}
