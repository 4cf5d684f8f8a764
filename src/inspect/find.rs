//! Which models there are, and which version a digest or a model id belongs to.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::error::{Error, Kind, Result, show_bytes};
use crate::oci::document::MAX_CONFIG;
use crate::oci::{Config, Descriptor, Digest, Index, Manifest, annotation, media_type};
use crate::store::layout::Layout;
use crate::store::open::Stores;
use crate::store::{Repository, read_small};
use crate::versions::{self, Collection, list};

/// The fewest hex digits that something is looked up by.
const SHORTEST: usize = 4;

/// A model of the local store.
#[derive(Clone, Debug, Serialize)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// Its versions and aliases.
    #[serde(flatten)]
    pub collection: Collection,
}

/// All models of the local store, by name.
pub fn models(stores: &Stores) -> Result<Vec<Model>> {
    let layout = Layout::create(stores.local()?, None, stores.options)?;
    let mut tags: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in layout.names()? {
        // Entries of others may lie in the same layout; theirs have no colon.
        if let Some((model, tag)) = name.rsplit_once(':') {
            tags.entry(model.to_owned()).or_default().push(tag.to_owned());
        }
    }
    Ok(tags.into_iter().map(|(name, tags)| Model { name, collection: list::from_tags(&tags) }).collect())
}

/// A version that something was found in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Name of the collection.
    pub name: String,
    /// The version tag.
    pub tag: String,
    /// What it points to.
    pub digest: Digest,
    /// Its model id.
    pub model_id: Option<String>,
    /// What the digest is there: `image`, `manifest`, `config`, `layer`, `diff id`, `model id`.
    pub role: &'static str,
}

/// The versions of a collection that a digest or model id, or the beginning of one, belongs to.
pub fn which(repository: &dyn Repository, name: &str, what: &str) -> Result<Vec<Found>> {
    let hex = what.strip_prefix("sha256:").unwrap_or(what);
    let plain = hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if !plain || hex.len() < SHORTEST || hex.len() > 64 {
        return Err(Error::new(
            Kind::Usage,
            format!("`{}` is no digest and no model id", show_bytes(what.as_bytes())),
        )
        .hint(format!("give {SHORTEST} to 64 lower-case hex digits")));
    }
    let mut found = Vec::new();
    for row in &versions::collection(repository)?.versions {
        let Some(top) = repository.resolve(&row.tag)? else { continue };
        let mut roles: BTreeSet<(&'static str, String)> = BTreeSet::new();
        let mut id = None;
        roles.insert(("image", top.digest.hex()));
        for manifest in manifests(repository, &top)? {
            let config = Config::parse(&read_small(repository, &manifest.config, MAX_CONFIG)?)?;
            roles.insert(("manifest", manifest.descriptor.digest.hex()));
            roles.insert(("config", manifest.config.digest.hex()));
            roles.extend(manifest.layers.iter().map(|l| ("layer", l.digest.hex())));
            roles.extend(config.diff_ids.iter().map(|d| ("diff id", d.0.hex())));
            if let Some(full) = manifest.annotation(annotation::MODEL_ID) {
                roles.insert(("model id", full.trim_start_matches("sha256:").to_owned()));
                id = Some(full.to_owned());
            }
        }
        // One row a version, by the first of these that fits.
        let order = ["image", "manifest", "model id", "config", "layer", "diff id"];
        let role = order.into_iter().find(|o| roles.iter().any(|(r, d)| r == o && d.starts_with(hex)));
        if let Some(role) = role {
            found.push(Found {
                name: name.to_owned(),
                tag: row.tag.clone(),
                digest: top.digest,
                model_id: id,
                role,
            });
        }
    }
    Ok(found)
}

fn manifests(repository: &dyn Repository, top: &Descriptor) -> Result<Vec<Manifest>> {
    let document = repository.document(top)?;
    if !media_type::is_index(&document.descriptor.media_type) {
        return Ok(vec![Manifest::parse(document.bytes, None)?]);
    }
    let index = Index::parse(document.bytes, None)?;
    index
        .entries
        .iter()
        .filter(|e| !e.is_attestation())
        .map(|e| Manifest::parse(repository.document(&e.descriptor)?.bytes, None))
        .collect()
}
