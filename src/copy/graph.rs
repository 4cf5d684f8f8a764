//! All that an image is made of: the documents and blobs that its manifest or index leads to.
//!
//! Invariant: a document comes after all documents that it names, so that who stores them in this
//! order never names what is not there.

use std::collections::BTreeSet;

use crate::error::{Error, Kind, Result};
use crate::oci::document::Document;
use crate::oci::{Descriptor, Digest, Index, Manifest, annotation, media_type};
use crate::store::Source;

/// The most documents that one image may lead to.
const MAX_DOCUMENTS: usize = 10_000;
/// How deep indexes may lie in each other.
const MAX_DEPTH: usize = 8;

/// What an image is made of.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    /// Manifests and indexes, each after those that it names.
    pub(super) documents: Vec<Document>,
    /// Layers and configurations in the order in which an archive holds them: layers of the base, layers of
    /// the model, configurations.
    pub(super) blobs: Vec<Descriptor>,
    /// Layers that may not be passed on, and lie at an address of their own.
    pub(super) foreign: usize,
    seen: BTreeSet<Digest>,
}

impl Content {
    /// What a descriptor of a source leads to.
    pub(super) fn of(source: &dyn Source, top: &Descriptor) -> Result<Self> {
        let mut content = Self::default();
        content.add(source, top)?;
        Ok(content)
    }

    /// Adds what another descriptor leads to.
    pub(super) fn add(&mut self, source: &dyn Source, top: &Descriptor) -> Result<()> {
        let mut groups = [Vec::new(), Vec::new(), Vec::new()];
        self.walk(source, top, 0, &mut groups)?;
        self.blobs.extend(groups.into_iter().flatten());
        Ok(())
    }

    /// The document with this digest.
    pub(super) fn document(&self, digest: &Digest) -> Option<&Document> {
        self.documents.iter().find(|d| d.descriptor.digest == *digest)
    }

    fn walk(
        &mut self,
        source: &dyn Source,
        descriptor: &Descriptor,
        depth: usize,
        groups: &mut [Vec<Descriptor>; 3],
    ) -> Result<()> {
        if !self.seen.insert(descriptor.digest) {
            return Ok(());
        }
        if depth > MAX_DEPTH || self.documents.len() >= MAX_DOCUMENTS {
            return Err(Error::new(
                Kind::Integrity,
                format!("{} leads to more than {MAX_DOCUMENTS} documents, or to itself", descriptor.digest),
            ));
        }
        let mut document = source.document(descriptor)?;
        let kind = descriptor.media_type.as_str();
        let value: serde_json::Value = serde_json::from_slice(&document.bytes).unwrap_or_default();
        // What the document says of itself counts: a registry is told the same type again.
        let own = crate::oci::document::kind_of(&value, Some(kind))?;
        if media_type::is_index(&own) {
            for entry in Index::parse(document.bytes.clone(), Some(kind))?.entries {
                self.walk(source, &entry.descriptor, depth + 1, groups)?;
            }
        } else {
            let manifest = Manifest::parse(document.bytes.clone(), Some(kind))?;
            for layer in &manifest.layers {
                if media_type::is_foreign_layer(&layer.media_type) {
                    self.foreign += 1;
                } else if self.seen.insert(layer.digest) {
                    let ours = layer.annotations.contains_key(annotation::LAYER_ROLE);
                    groups[usize::from(ours)].push(layer.clone());
                }
            }
            if self.seen.insert(manifest.config.digest) {
                groups[2].push(manifest.config);
            }
        }
        document.descriptor.media_type = own;
        document.descriptor.annotations.clear();
        self.documents.push(document);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::{Blob, Bytes};
    use crate::event::Quiet;
    use crate::oci::json;
    use crate::store::Sink;
    use crate::store::memory::Memory;
    use serde_json::{Value, json};

    fn manifest(store: &Memory, layers: &[(&str, &str)]) -> Document {
        let config = Bytes::new(media_type::CONFIG, format!("{layers:?}").into_bytes());
        store.put(&config, &Quiet).unwrap();
        let layers: Vec<Value> = layers
            .iter()
            .map(|(kind, text)| {
                let layer = Bytes::new(kind, text.as_bytes().to_vec());
                store.put(&layer, &Quiet).unwrap();
                layer.descriptor().to_value()
            })
            .collect();
        let value = json!({"schemaVersion": 2, "config": config.descriptor().to_value(), "layers": layers});
        put(store, media_type::MANIFEST, &value)
    }

    fn put(store: &Memory, kind: &str, value: &Value) -> Document {
        let document = Document::new(kind, json::canonical(value));
        store.put_document(&document).unwrap();
        document
    }

    fn index(store: &Memory, entries: &[&Document]) -> Document {
        let entries: Vec<Value> = entries.iter().map(|d| d.descriptor.to_value()).collect();
        put(store, media_type::INDEX, &json!({"schemaVersion": 2, "manifests": entries}))
    }

    #[test]
    fn children_come_first_and_everything_once() {
        let store = Memory::new();
        let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
        let one = manifest(&store, &[(media_type::LAYER, "base"), (foreign, "f")]);
        let two = manifest(&store, &[(media_type::LAYER, "base"), (media_type::LAYER, "two")]);
        let inner = index(&store, &[&two]);
        let top = index(&store, &[&one, &inner, &two]);
        let content = Content::of(&store, &top.descriptor).unwrap();
        let order: Vec<Digest> = content.documents.iter().map(|d| d.descriptor.digest).collect();
        assert_eq!(order, [&one, &two, &inner, &top].map(|d| d.descriptor.digest));
        assert_eq!(content.blobs.len(), 4, "two layers, two configurations");
        assert_eq!(content.foreign, 1);
        assert!(content.document(&one.descriptor.digest).is_some());
    }

    #[test]
    fn what_is_not_there_or_too_deep_is_told() {
        let store = Memory::new();
        let lost = Document::new(media_type::MANIFEST, b"lost".to_vec());
        let top = index(&store, &[&lost]);
        let e = Content::of(&store, &top.descriptor).unwrap_err();
        assert!(e.to_string().contains(&lost.descriptor.digest.to_string()), "{e}");
        let mut deep = manifest(&store, &[]);
        for _ in 0..=MAX_DEPTH {
            deep = index(&store, &[&deep]);
        }
        assert_eq!(Content::of(&store, &deep.descriptor).unwrap_err().kind(), Kind::Integrity);
    }
}
