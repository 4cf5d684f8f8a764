//! What a published image is made of.
//!
//! Everything is read from the image itself: manifest, configuration, annotations. What an image
//! that floe did not make lacks is left out, not guessed.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::error::{Error, Kind, Result, counted};
use crate::image::assemble::{LABEL_NAME, LABEL_VERSION};
use crate::model::Contract;
use crate::model::contract::json;
use crate::oci::document::{MAX_CONFIG, MAX_MANIFEST};
use crate::oci::{Config, Descriptor, Digest, Index, Manifest, Platform, annotation, media_type};
use crate::store::{Source, read_small};
use crate::versions::{self, Collection, Selector};

pub use attached::{Attached, attached};
pub use find::{Found, Model, models, which};

mod attached;
mod find;

/// An image, taken apart.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// Digest of what the reference points to.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// The tag that it was found by.
    pub tag: Option<String>,
    /// Name of the model.
    pub model: Option<String>,
    /// Full model id.
    pub model_id: Option<String>,
    /// Version of the rules that made its bytes.
    pub layout: Option<String>,
    /// Name of the format.
    pub format: Option<String>,
    /// The platform that is shown.
    pub platform: String,
    /// All platforms.
    pub platforms: Vec<String>,
    /// Digest of the manifest that is shown.
    pub manifest: Digest,
    /// Digest of the configuration, which Docker calls the image id.
    pub config: Digest,
    /// When the image was made.
    pub created: Option<String>,
    /// Where the base came from.
    pub base: Base,
    /// The layers, lowest first.
    pub layers: Vec<Layer>,
    /// Stored size of all layers in bytes.
    pub size: u64,
    /// What the model takes and gives.
    pub contract: Option<Contract>,
    /// The command that the image runs.
    pub command: Vec<String>,
    /// Labels of the configuration.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the manifest.
    pub annotations: BTreeMap<String, String>,
    /// The collection that it is in, where there is one.
    pub versions: Option<Collection>,
}

/// Where the base of an image came from.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Base {
    /// Its registry reference.
    pub name: Option<String>,
    /// Digest of its manifest.
    pub digest: Option<String>,
    /// Number of its layers.
    pub layers: usize,
}

/// A layer of an image.
#[derive(Clone, Debug, Serialize)]
pub struct Layer {
    /// What it is for; `base` below the model's own.
    pub role: String,
    /// Digest of the stored bytes.
    pub digest: Digest,
    /// Digest of the tar inside.
    pub diff_id: Digest,
    /// Stored size in bytes.
    pub size: u64,
    /// Media type of the stored bytes.
    pub media_type: String,
}

/// Takes apart what a descriptor of a source points to.
pub fn inspect(
    source: &dyn Source,
    found: &Descriptor,
    tag: Option<String>,
    wanted: Option<&Platform>,
    versions: Option<Collection>,
) -> Result<Inspection> {
    let top = source.document(found)?;
    let (manifest, platforms) = if media_type::is_index(&top.descriptor.media_type) {
        let index = Index::parse(top.bytes, None)?;
        let platforms: Vec<&Platform> = index
            .entries
            .iter()
            .filter(|e| !e.is_attestation())
            .filter_map(|e| e.platform.as_ref())
            .collect();
        let host = Platform::host();
        let fits =
            |w: &Platform| index.entries.iter().find(|e| e.platform.as_ref().is_some_and(|p| p.satisfies(w)));
        let entry = match wanted {
            Some(wanted) => fits(wanted).ok_or_else(|| no_platform(wanted, &platforms))?,
            None => fits(&host)
                .or(index.entries.iter().find(|e| !e.is_attestation()))
                .ok_or_else(|| Error::new(Kind::Model, "the index names no image"))?,
        };
        let document = source.document(&entry.descriptor)?;
        let platforms = platforms.into_iter().map(Platform::to_string).collect();
        (Manifest::parse(document.bytes, None)?, platforms)
    } else {
        (Manifest::parse(top.bytes, None)?, Vec::new())
    };
    if !manifest.is_image() {
        return Err(Error::new(
            Kind::Model,
            format!("it is no image but an artifact of the type `{}`", manifest.config.media_type),
        ));
    }
    let config = Config::parse(&read_small(source, &manifest.config, MAX_CONFIG)?)?;
    if let Some(wanted) = wanted
        && !config.platform.satisfies(wanted)
    {
        return Err(no_platform(wanted, &[&config.platform]));
    }
    describe(found, tag, &manifest, &config, platforms, versions)
}

fn no_platform(wanted: &Platform, there: &[&Platform]) -> Error {
    let names: Vec<String> = there.iter().map(|p| p.to_string()).collect();
    Error::new(Kind::Model, format!("there is no image for {wanted}"))
        .hint(format!("it has {}", names.join(", ")))
}

fn describe(
    found: &Descriptor,
    tag: Option<String>,
    manifest: &Manifest,
    config: &Config,
    platforms: Vec<String>,
    versions: Option<Collection>,
) -> Result<Inspection> {
    if config.diff_ids.len() != manifest.layers.len() {
        return Err(Error::new(
            Kind::Integrity,
            format!(
                "the image has {}, but names {}",
                counted(manifest.layers.len(), "layer", "layers"),
                counted(config.diff_ids.len(), "diff id", "diff ids")
            ),
        ));
    }
    let strings = |value: &Value| -> BTreeMap<String, String> {
        let pairs = value.as_object().into_iter().flatten();
        pairs.filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect()
    };
    let list = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
    };
    let layers: Vec<Layer> = manifest
        .layers
        .iter()
        .zip(&config.diff_ids)
        .map(|(l, diff_id)| Layer {
            role: l.annotations.get(annotation::LAYER_ROLE).map_or("base", String::as_str).to_owned(),
            digest: l.digest,
            diff_id: diff_id.0,
            size: l.size,
            media_type: l.media_type.clone(),
        })
        .collect();
    let annotations = strings(&manifest.value["annotations"]);
    let labels = strings(&config.value["config"]["Labels"]);
    let contract = match annotations.get(annotation::CONTRACT) {
        Some(text) if text.len() <= MAX_MANIFEST => Some(json::read(text.as_bytes())?),
        _ => None,
    };
    let mut command = list(&config.value["config"]["Entrypoint"]);
    command.extend(list(&config.value["config"]["Cmd"]));
    let of = |key: &str| annotations.get(key).cloned();
    Ok(Inspection {
        digest: found.digest,
        media_type: found.media_type.clone(),
        tag,
        model: of(annotation::MODEL).or_else(|| labels.get(LABEL_NAME).cloned()),
        model_id: of(annotation::MODEL_ID).or_else(|| labels.get(LABEL_VERSION).cloned()),
        layout: of(annotation::LAYOUT),
        format: of(annotation::FORMAT),
        platform: config.platform.to_string(),
        platforms: if platforms.is_empty() { vec![config.platform.to_string()] } else { platforms },
        manifest: manifest.descriptor.digest,
        config: manifest.config.digest,
        created: config.value["created"].as_str().map(str::to_owned),
        base: Base {
            name: of(annotation::BASE_NAME),
            digest: of(annotation::BASE_DIGEST),
            layers: layers.iter().filter(|l| l.role == "base").count(),
        },
        size: layers.iter().fold(0, |sum, l| sum.saturating_add(l.size)),
        layers,
        contract,
        command,
        labels,
        annotations,
        versions,
    })
}

/// Finds what a short reference means in a collection.
pub fn select(
    repository: &dyn crate::store::Repository,
    what: &str,
    text: Option<&str>,
) -> Result<(Descriptor, Option<String>)> {
    versions::select(repository, what, &Selector::parse(text)?)
}
