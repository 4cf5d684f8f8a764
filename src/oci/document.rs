//! Documents that come from outside: manifests, indexes and image configurations.
//!
//! Each keeps the bytes or the JSON value it was read from, so that what floe does not know is not
//! lost. Invariant: a [`Manifest`] or [`Index`] that exists has a digest over exactly its bytes and
//! well-formed descriptors.

use serde_json::Value;

use super::{Descriptor, DiffId, Digest, Platform, json, media_type};
use crate::error::{Error, Kind, Result};

/// The largest manifest or index that is accepted (distribution-spec, "Pushing Manifests": 4 MiB).
pub const MAX_MANIFEST: usize = 4 << 20;
/// The largest image configuration that is accepted.
pub const MAX_CONFIG: usize = 8 << 20;

/// A manifest or an index: bytes that other documents and names point to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Media type, digest and size.
    pub descriptor: Descriptor,
    /// The bytes, exactly as they are hashed.
    pub bytes: Vec<u8>,
}

impl Document {
    /// A document of these bytes.
    pub fn new(media_type: &str, bytes: Vec<u8>) -> Self {
        Self { descriptor: Descriptor::of(media_type, &bytes), bytes }
    }
}

/// An image manifest, OCI or Docker schema 2.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The bytes that its digest covers.
    pub bytes: Vec<u8>,
    /// Media type, digest and size of the manifest itself.
    pub descriptor: Descriptor,
    /// The image configuration, or the config blob of an artifact.
    pub config: Descriptor,
    /// The layers, lowest first.
    pub layers: Vec<Descriptor>,
    /// The document.
    pub value: Value,
}

impl Manifest {
    /// Parses a manifest. `declared` is the media type that came with it, where one did.
    pub fn parse(bytes: Vec<u8>, declared: Option<&str>) -> Result<Self> {
        let value = json::parse(&bytes, MAX_MANIFEST, "the manifest")?;
        let media_type = kind_of(&value, declared)?;
        if !media_type::is_manifest(&media_type) {
            return Err(not_an_image(&media_type));
        }
        let config = Descriptor::from_value(&value["config"], "the manifest's `config`")?;
        let layers = value["layers"]
            .as_array()
            .ok_or_else(|| Error::new(Kind::Integrity, "the manifest has no list `layers`"))?
            .iter()
            .enumerate()
            .map(|(i, l)| Descriptor::from_value(l, &format!("the manifest's layer {i}")))
            .collect::<Result<Vec<_>>>()?;
        let descriptor = Descriptor::of(media_type, &bytes);
        Ok(Self { bytes, descriptor, config, layers, value })
    }

    /// Whether the config is an image configuration, so that the layers make a file system.
    pub fn is_image(&self) -> bool {
        media_type::to_oci(&self.config.media_type) == media_type::CONFIG
    }

    /// An annotation of the manifest.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.value["annotations"][key].as_str()
    }
}

/// One manifest listed in an index.
#[derive(Clone, Debug)]
pub struct IndexEntry {
    /// What it points to.
    pub descriptor: Descriptor,
    /// For which platform, where it says so.
    pub platform: Option<Platform>,
}

impl IndexEntry {
    /// Whether it is an attestation that BuildKit puts beside images: no image for any platform.
    pub fn is_attestation(&self) -> bool {
        self.descriptor
            .annotations
            .get("vnd.docker.reference.type")
            .is_some_and(|t| t == "attestation-manifest")
    }
}

/// An image index or Docker manifest list.
#[derive(Clone, Debug)]
pub struct Index {
    /// The bytes that its digest covers.
    pub bytes: Vec<u8>,
    /// Media type, digest and size of the index itself.
    pub descriptor: Descriptor,
    /// The manifests, in the order of the document.
    pub entries: Vec<IndexEntry>,
    /// The document.
    pub value: Value,
}

impl Index {
    /// Parses an index. `declared` is the media type that came with it, where one did.
    pub fn parse(bytes: Vec<u8>, declared: Option<&str>) -> Result<Self> {
        let value = json::parse(&bytes, MAX_MANIFEST, "the index")?;
        let media_type = kind_of(&value, declared)?;
        if !media_type::is_index(&media_type) {
            return Err(not_an_image(&media_type));
        }
        let entries = value["manifests"]
            .as_array()
            .ok_or_else(|| Error::new(Kind::Integrity, "the index has no list `manifests`"))?
            .iter()
            .enumerate()
            .map(|(i, e)| {
                Ok(IndexEntry {
                    descriptor: Descriptor::from_value(e, &format!("the index's manifest {i}"))?,
                    platform: platform_of(&e["platform"]),
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let descriptor = Descriptor::of(media_type, &bytes);
        Ok(Self { bytes, descriptor, entries, value })
    }

    /// An annotation of the index.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.value["annotations"][key].as_str()
    }
}

/// An image configuration, as JSON so that keys unknown to floe survive.
#[derive(Clone, Debug)]
pub struct Config {
    /// The document.
    pub value: Value,
    /// The diff ids of the layers, lowest first.
    pub diff_ids: Vec<DiffId>,
    /// What the image runs on.
    pub platform: Platform,
}

impl Config {
    /// Parses a configuration.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let value = json::parse(bytes, MAX_CONFIG, "the image configuration")?;
        let wrong = |why: &str| Error::new(Kind::Integrity, format!("the image configuration {why}"));
        let diff_ids = value["rootfs"]["diff_ids"]
            .as_array()
            .ok_or_else(|| wrong("has no list `rootfs.diff_ids`"))?
            .iter()
            .map(|d| d.as_str().ok_or_else(|| wrong("has a diff id that is no string"))?.parse().map(DiffId))
            .collect::<Result<Vec<_>>>()?;
        // Both keys are required, but old Docker archives lack them; Docker reads that as its own host.
        let os = value["os"].as_str().filter(|s| !s.is_empty()).unwrap_or("linux");
        let arch = value["architecture"].as_str().filter(|s| !s.is_empty()).unwrap_or("amd64");
        let platform = Platform::new(os, arch, value["variant"].as_str());
        Ok(Self { value, diff_ids, platform })
    }
}

/// What a document is: what it says of itself, else what it was declared to be, else what it looks like.
pub fn kind_of(value: &Value, declared: Option<&str>) -> Result<String> {
    if value["schemaVersion"].as_u64() == Some(1) {
        return Err(schema_1());
    }
    let own = value["mediaType"].as_str();
    let declared = declared.map(|d| d.split(';').next().unwrap_or(d).trim());
    if let (Some(own), Some(declared)) = (own, declared)
        && media_type::ACCEPT.contains(&declared)
        && media_type::is_index(own) != media_type::is_index(declared)
    {
        return Err(Error::new(
            Kind::Integrity,
            format!("the document says that it is `{own}`, but it was delivered as `{declared}`"),
        ));
    }
    if let Some(kind) = own.or(declared.filter(|d| media_type::ACCEPT.contains(d))) {
        if media_type::is_schema_1(kind) {
            return Err(schema_1());
        }
        return Ok(kind.to_owned());
    }
    match () {
        () if value["manifests"].is_array() && value["layers"].is_null() => Ok(media_type::INDEX.to_owned()),
        () if value["layers"].is_array() && value["manifests"].is_null() => {
            Ok(media_type::MANIFEST.to_owned())
        }
        () => Err(not_an_image(declared.unwrap_or("no media type"))),
    }
}

fn platform_of(value: &Value) -> Option<Platform> {
    let (os, arch) = (value["os"].as_str()?, value["architecture"].as_str()?);
    if os == "unknown" || arch == "unknown" {
        return None;
    }
    Some(Platform::new(os, arch, value["variant"].as_str()))
}

fn schema_1() -> Error {
    Error::new(Kind::Model, "expected an OCI or Docker schema 2 image, found a schema 1 manifest")
        .hint("schema 1 images were retired in 2017; pull and push the image with a current Docker or skopeo to convert it")
}

fn not_an_image(found: &str) -> Error {
    Error::new(Kind::Integrity, format!("expected an image manifest or index, found `{found}`"))
}

/// The digest of a document must be the one it was asked for by.
pub fn check(bytes: &[u8], wanted: &Descriptor, what: &str) -> Result<()> {
    let found = Digest::of(bytes);
    if found != wanted.digest || bytes.len() as u64 != wanted.size {
        return Err(Error::new(
            Kind::Integrity,
            format!(
                "{what}: expected {} with {} bytes, found {found} with {} bytes",
                wanted.digest,
                wanted.size,
                bytes.len()
            ),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn manifest() -> Value {
        let d = Descriptor::of(media_type::CONFIG, b"{}").to_value();
        json!({"schemaVersion": 2, "mediaType": media_type::MANIFEST, "config": d, "layers": []})
    }

    #[test]
    fn a_manifest_without_a_media_type_is_recognised_by_its_shape() {
        let mut v = manifest();
        v.as_object_mut().unwrap().remove("mediaType");
        let m = Manifest::parse(json::canonical(&v), None).unwrap();
        assert_eq!(m.descriptor.media_type, media_type::MANIFEST);
        assert!(m.is_image());
    }

    #[test]
    fn schema_1_is_refused_with_a_hint() {
        for v in [json!({"schemaVersion": 1, "fsLayers": []}), json!({"schemaVersion": 1})] {
            let e = Manifest::parse(json::canonical(&v), None).unwrap_err();
            assert!(e.to_string().contains("schema 1"), "{e}");
            assert!(e.hint_text().is_some());
        }
    }

    #[test]
    fn a_manifest_delivered_as_an_index_is_refused() {
        let bytes = json::canonical(&manifest());
        assert!(Manifest::parse(bytes, Some(media_type::INDEX)).is_err());
    }

    #[test]
    fn hostile_documents_are_errors() {
        for bad in
            ["", "[]", "null", "{\"layers\":[{}],\"config\":{}}", "{\"layers\":1}", "{\"manifests\":[1]}"]
        {
            assert!(Manifest::parse(bad.as_bytes().to_vec(), None).is_err(), "{bad}");
            assert!(Index::parse(bad.as_bytes().to_vec(), None).is_err(), "{bad}");
            assert!(Config::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
