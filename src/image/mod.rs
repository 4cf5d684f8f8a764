//! An image: configuration and manifest over the base's layers and ours; an index over platforms.
//!
//! This is data in, data out: no store is asked, no file is read. Invariant: the bytes are a pure
//! function of plan, base and layers; what the base says and we do not know is kept.

pub mod assemble;
pub mod embedded;
pub mod id;
pub mod referrer;

use crate::blob::Packed;
use crate::oci::annotation;
use crate::oci::document::Document;
use crate::oci::{Config, Descriptor, DiffId, Digest, Manifest, Platform};

pub use assemble::{assemble, index};
pub use id::ModelId;
pub use referrer::Referrer;

/// What a model is laid on: one platform of a base image, or nothing.
#[derive(Clone, Debug)]
pub struct Base {
    /// Its layers, lowest first, with OCI media types.
    pub layers: Vec<Descriptor>,
    /// Its configuration.
    pub config: Config,
    /// Digest of its manifest; `None` of `scratch` and of file systems.
    pub digest: Option<Digest>,
}

impl Base {
    /// The empty base.
    pub fn scratch(platform: &Platform) -> Self {
        let mut value = serde_json::json!({
            "architecture": platform.architecture,
            "os": platform.os,
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": []},
        });
        if let Some(variant) = &platform.variant {
            value["variant"] = serde_json::json!(variant);
        }
        let config = Config { value, diff_ids: Vec::new(), platform: platform.clone() };
        Self { layers: Vec::new(), config, digest: None }
    }

    /// The base that a manifest and its configuration describe.
    pub fn new(manifest: &Manifest, config: Config) -> Self {
        let layers = manifest
            .layers
            .iter()
            .map(|l| Descriptor {
                media_type: crate::oci::media_type::to_oci(&l.media_type).to_owned(),
                // A base may be an image of ours; its roles are not this model's.
                annotations: l
                    .annotations
                    .iter()
                    .filter(|(key, _)| !key.starts_with(annotation::PREFIX))
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect(),
                ..*l
            })
            .collect();
        Self { layers, config, digest: Some(manifest.descriptor.digest) }
    }
}

/// A layer of ours, packed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// The stored bytes and the tar inside.
    pub packed: Packed,
    /// What it is for.
    pub role: String,
    /// What it is, for people.
    pub title: String,
}

/// An image for one platform.
#[derive(Clone, Debug)]
pub struct Image {
    /// The manifest.
    pub manifest: Document,
    /// The configuration blob.
    pub config: crate::blob::Bytes,
    /// What it runs on.
    pub platform: Platform,
    /// What the model is, apart from the base.
    pub model_id: ModelId,
    /// The layers of the base, then ours.
    pub layers: Vec<Descriptor>,
    /// Their diff ids.
    pub diff_ids: Vec<DiffId>,
}
