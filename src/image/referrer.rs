//! A referrer: a small document beside an image, which points to it and is no part of it.
//!
//! Facts and findings about a model get better with floe, and must not move a digest. So they are a
//! manifest of their own with the image as its `subject` (image-spec 1.1, manifest.md, "subject").
//!
//! Invariant: the bytes are a pure function of the content and the subject, so that the same facts
//! are attached once.

use serde_json::json;

use crate::blob::Blob;
use crate::blob::Bytes;
use crate::oci::document::Document;
use crate::oci::{Descriptor, json as canon, media_type};

/// What the facts about a model are, as artifact and as blob.
pub const FACTS: &str = "application/vnd.floe.facts.v1+json";
/// The media type of a configuration that says nothing (image-spec, manifest.md).
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// A manifest that refers to an image, and the blobs that it names.
#[derive(Clone, Debug)]
pub struct Referrer {
    /// The manifest.
    pub manifest: Document,
    /// The configuration and the content.
    pub blobs: Vec<Bytes>,
    /// What it is about.
    pub subject: Descriptor,
    /// What it is.
    pub artifact_type: &'static str,
}

impl Referrer {
    /// One document about an image or an index.
    pub fn new(artifact_type: &'static str, content: Vec<u8>, subject: &Descriptor) -> Self {
        let blobs = vec![Bytes::new(EMPTY, b"{}".to_vec()), Bytes::new(artifact_type, content)];
        let subject = Descriptor::new(subject.media_type.as_str(), subject.digest, subject.size);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type::MANIFEST,
            "artifactType": artifact_type,
            "config": blobs[0].descriptor().to_value(),
            "layers": [blobs[1].descriptor().to_value()],
            "subject": subject.to_value(),
        });
        let manifest = Document::new(media_type::MANIFEST, canon::canonical(&manifest));
        Self { manifest, blobs, subject, artifact_type }
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
}
