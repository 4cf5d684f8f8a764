//! A tar file as `docker save` writes it: `docker-archive:FILE[:REF]`.
//!
//! Such a file lists images in `manifest.json`, with names of files in it, not digests. Where it is
//! an OCI layout too (as of Docker 25 and of floe), the image keeps the manifest that is there.
//! Where it is not, there is no manifest to keep: the image gets one that follows from the content
//! alone. Its configuration and layers are the very bytes of the file, their digests found by
//! hashing each layer once, their media types by looking at the first bytes.
//!
//! What is written is a dual archive, see [`archive`].

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::archive::toc::{Range, Toc};
use super::archive::{Archive, Flavor, MANIFEST_JSON, Naming};
use super::entries::{Entries, is_version, several};
use super::layout::INDEX;
use super::oci_archive::{Inside, by_digest, entries_of, path_of};
use super::{Document, Options, Source, missing, read_document};
use crate::blob::{Blob, Bytes, CHUNK, Hashing};
use crate::error::{At, Error, Kind, Result, counted, show_bytes};
use crate::oci::document::{MAX_CONFIG, MAX_MANIFEST};
use crate::oci::{Config, Descriptor, Digest, Index, Manifest, Reference, json as canon, media_type};

#[cfg(doc)]
use super::archive;

/// How many documents of an archive are looked at to find the manifest of an image.
const MAX_DOCUMENTS: usize = 4096;
/// The most layers that an image may have; Docker's own limit is 127.
const MAX_LAYERS: usize = 4096;

/// Begins an archive that will hold an image of `model`; `reference` is what follows the file in
/// the location.
pub fn create(
    file: impl Into<PathBuf>,
    reference: Option<&str>,
    model: &str,
    options: Options,
) -> Result<Archive> {
    Archive::create(file, Flavor::Docker, Naming::docker(reference, model)?, options)
}

/// A Docker archive, to be read.
#[derive(Debug)]
pub struct DockerArchive {
    toc: Toc,
    images: Vec<Image>,
    entries: Option<Entries>,
    known: Mutex<Known>,
}

/// An image as `manifest.json` lists it.
#[derive(Debug)]
struct Image {
    config: String,
    layers: Vec<String>,
    tags: Vec<String>,
}

/// What was found out about the content so far.
#[derive(Debug, Default)]
struct Known {
    /// The manifest of each image that was asked for.
    manifests: BTreeMap<usize, Descriptor>,
    /// Manifests that floe made.
    made: BTreeMap<Digest, Document>,
    /// Layers, by their name in the file.
    layers: BTreeMap<String, Descriptor>,
    /// Where blobs lie that have other names than their digest.
    places: BTreeMap<Digest, Range>,
}

impl DockerArchive {
    /// Opens an archive and reads its table of contents; layers are not looked at yet.
    ///
    /// # Errors
    ///
    /// [`Kind::Integrity`] for what is no tar file, is compressed, cut short, hostile, or holds no
    /// `manifest.json`.
    pub fn open(file: impl AsRef<Path>) -> Result<Self> {
        let toc = Toc::open(file.as_ref())?;
        let Some(bytes) = toc.small(MANIFEST_JSON, MAX_MANIFEST as u64)? else {
            let e = Error::new(Kind::Integrity, format!("there is no `{MANIFEST_JSON}` in {}", toc.what()));
            return Err(if toc.find(INDEX)?.is_some() {
                e.hint("it is an OCI archive: write `oci-archive:FILE`")
            } else if toc.find("repositories")?.is_some() {
                e.hint("it was saved by a Docker older than 1.10; load and save it with a current one")
            } else {
                e.hint("it is no archive of an image; for a root file system write `rootfs:FILE`")
            });
        };
        let images = images(&bytes, &toc.what())?;
        let entries = entries_of(&toc)?;
        Ok(Self { toc, images, entries, known: Mutex::default() })
    }

    /// The names of each image, in the order of the file; an image may have none.
    pub fn names(&self) -> Vec<Vec<String>> {
        self.images.iter().map(|i| i.tags.clone()).collect()
    }

    /// Whether floe made the manifest with this digest, because the archive has none.
    pub fn has_made(&self, digest: &Digest) -> bool {
        self.known().made.contains_key(digest)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place of the image with a name: the name with its tag, else `:latest`, else the only one of
    /// that repository; a version tag alone is enough too.
    fn place(&self, name: &str) -> Result<Option<usize>> {
        if let Some(place) = name.strip_prefix('@') {
            return Ok(place.parse().ok().filter(|p| *p < self.images.len()));
        }
        let tagged = |i: &Image, wanted: &dyn Fn(&Reference) -> bool| {
            i.tags.iter().filter_map(|t| t.parse::<Reference>().ok()).any(|t| wanted(&t))
        };
        let all = |wanted: &dyn Fn(&Reference) -> bool| -> Vec<usize> {
            self.images.iter().enumerate().filter(|(_, i)| tagged(i, wanted)).map(|(n, _)| n).collect()
        };
        if let Ok(asked) = name.parse::<Reference>() {
            let tag = asked.tag.as_deref().unwrap_or("latest");
            let exact = all(&|t| t.name() == asked.name() && t.tag.as_deref().unwrap_or("latest") == tag);
            if let Some(first) = exact.first() {
                return Ok(Some(*first));
            }
            if asked.tag.is_none()
                && let [one] = all(&|t| t.name() == asked.name())[..]
            {
                return Ok(Some(one));
            }
        }
        if is_version(name) {
            return Ok(all(&|t| t.tag.as_deref() == Some(name)).first().copied());
        }
        Ok(None)
    }

    /// The manifest of an image, found or made once.
    fn manifest(&self, place: usize) -> Result<Descriptor> {
        // Held throughout, so that no layer is hashed by two threads.
        let mut known = self.known();
        if let Some(found) = known.manifests.get(&place) {
            return Ok(found.clone());
        }
        let image = self.images.get(place).ok_or_else(|| {
            Error::new(Kind::Bug, format!("there is no image {place} in {}", self.toc.what()))
        })?;
        let found = match self.own_manifest(image)? {
            Some(found) => found,
            None => self.make_manifest(image, &mut known)?,
        };
        known.manifests.insert(place, found.clone());
        Ok(found)
    }

    /// The manifest that the archive has for an image, where it is an OCI layout too.
    fn own_manifest(&self, image: &Image) -> Result<Option<Descriptor>> {
        let Some(entries) = &self.entries else { return Ok(None) };
        let mut queue: Vec<Descriptor> = entries.all().into_iter().map(|e| e.descriptor).collect();
        queue.reverse();
        let mut looked = 0;
        while let Some(next) = queue.pop() {
            looked += 1;
            if looked > MAX_DOCUMENTS {
                return Ok(None);
            }
            // An index may list platforms that were not saved.
            let Some(bytes) = self.toc.small(&path_of(&next.digest), MAX_MANIFEST as u64)? else { continue };
            if Digest::of(&bytes) != next.digest {
                continue;
            }
            if let Ok(index) = Index::parse(bytes.clone(), Some(&next.media_type)) {
                queue.extend(index.entries.into_iter().rev().map(|e| e.descriptor));
                continue;
            }
            let Ok(manifest) = Manifest::parse(bytes, Some(&next.media_type)) else { continue };
            let same_layers =
                manifest.layers.iter().map(|l| path_of(&l.digest)).eq(image.layers.iter().cloned());
            let same_config =
                [path_of(&manifest.config.digest), format!("{}.json", manifest.config.digest.hex())];
            if same_layers && same_config.contains(&image.config) {
                return Ok(Some(manifest.descriptor));
            }
        }
        Ok(None)
    }

    /// Makes the manifest of an image that has none.
    fn make_manifest(&self, image: &Image, known: &mut Known) -> Result<Descriptor> {
        let wrong = |why: String| Error::new(Kind::Integrity, format!("{}: {why}", self.toc.what()));
        let range = self.toc.must_find(&image.config)?;
        let bytes = self
            .toc
            .small(&image.config, MAX_CONFIG as u64)?
            .ok_or_else(|| wrong(format!("there is no `{}`", show_bytes(image.config.as_bytes()))))?;
        let config = Config::parse(&bytes).map_err(|e| e.context(self.toc.what()))?;
        if config.diff_ids.len() != image.layers.len() {
            return Err(wrong(format!(
                "the configuration tells of {}, `{MANIFEST_JSON}` of {}",
                counted(config.diff_ids.len(), "layer", "layers"),
                image.layers.len()
            )));
        }
        let mut layers = Vec::new();
        for (name, diff_id) in image.layers.iter().zip(&config.diff_ids) {
            let layer = match known.layers.get(name) {
                Some(layer) => layer.clone(),
                None => self.hash_layer(name, known)?,
            };
            if layer.media_type == media_type::LAYER && layer.digest != diff_id.0 {
                let name = show_bytes(name.as_bytes());
                return Err(wrong(format!(
                    "layer `{name}`: expected diff id {diff_id}, found {}",
                    layer.digest
                ))
                .hint("the archive was damaged; save it again"));
            }
            layers.push(layer.to_value());
        }
        let config = Descriptor::of(media_type::CONFIG, &bytes);
        known.places.insert(config.digest, range);
        let manifest = json!({
            "schemaVersion": 2, "mediaType": media_type::MANIFEST, "config": config.to_value(), "layers": layers,
        });
        let document = Document::new(media_type::MANIFEST, canon::canonical(&manifest));
        let descriptor = document.descriptor.clone();
        known.made.insert(descriptor.digest, document);
        Ok(descriptor)
    }

    /// Finds out digest, size and media type of a layer.
    fn hash_layer(&self, name: &str, known: &mut Known) -> Result<Descriptor> {
        let range = self.toc.must_find(name)?;
        let mut magic = Vec::new();
        let what = format!("read `{}` in {}", show_bytes(name.as_bytes()), self.toc.what());
        self.toc.section(range).take(6).read_to_end(&mut magic).doing(&what)?;
        let kind = match magic[..] {
            [0x1f, 0x8b, ..] => media_type::LAYER_GZIP,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => media_type::LAYER_ZSTD,
            [b'B', b'Z', b'h', ..] | [0xfd, b'7', b'z', b'X', b'Z', ..] => {
                return Err(Error::new(
                    Kind::Integrity,
                    format!("cannot {what}: its compression has no media type"),
                )
                .hint("load the archive into Docker or podman and save it again"));
            }
            _ => media_type::LAYER,
        };
        let mut reader = Hashing::new(self.toc.section(range));
        let mut buffer = vec![0; CHUNK];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => break,
                Err(e) if e.kind() != io::ErrorKind::Interrupted => return Err(e).doing(&what),
                _ => {}
            }
        }
        let (digest, size, _) = reader.finish();
        if size != range.size {
            return Err(Error::new(Kind::Integrity, format!("cannot {what}: it was cut short meanwhile")));
        }
        let layer = Descriptor::new(kind, digest, size);
        known.places.insert(digest, range);
        known.layers.insert(name.to_owned(), layer.clone());
        Ok(layer)
    }

    /// Finds the manifests of all images.
    fn all(&self) -> Result<Vec<Descriptor>> {
        (0..self.images.len()).map(|i| self.manifest(i)).collect()
    }

    fn look(&self, digest: &Digest) -> Result<Option<Place>> {
        let known = self.known();
        if let Some(made) = known.made.get(digest) {
            return Ok(Some(Place::Made(made.clone())));
        }
        match known.places.get(digest) {
            Some(range) => Ok(Some(Place::There(*range))),
            None => Ok(self.toc.find(&path_of(digest))?.map(Place::There)),
        }
    }
}

/// Where a blob of the archive is.
enum Place {
    Made(Document),
    There(Range),
}

/// Reads `manifest.json`.
fn images(bytes: &[u8], what: &str) -> Result<Vec<Image>> {
    let value = canon::parse(bytes, MAX_MANIFEST, &format!("`{MANIFEST_JSON}` in {what}"))?;
    let wrong = |why: &str| Error::new(Kind::Integrity, format!("`{MANIFEST_JSON}` in {what} {why}"));
    let list = value.as_array().ok_or_else(|| wrong("is no list"))?;
    if list.is_empty() {
        return Err(wrong("lists no image"));
    }
    let clean = |name: &str| name.strip_prefix("./").unwrap_or(name).to_owned();
    let texts = |v: &Value, key: &str| -> Result<Vec<String>> {
        // Go programs write an empty list as `null`.
        match v {
            Value::Null => Ok(Vec::new()),
            Value::Array(list) => list
                .iter()
                .map(|t| {
                    t.as_str()
                        .map(clean)
                        .ok_or_else(|| wrong(&format!("has a `{key}` that is no list of strings")))
                })
                .collect(),
            _ => Err(wrong(&format!("has a `{key}` that is no list"))),
        }
    };
    let mut images = Vec::new();
    for item in list {
        let config =
            item["Config"].as_str().map(clean).ok_or_else(|| wrong("has an image without `Config`"))?;
        let (layers, tags) = (texts(&item["Layers"], "Layers")?, texts(&item["RepoTags"], "RepoTags")?);
        if layers.len() > MAX_LAYERS {
            return Err(wrong(&format!("has an image of more than {MAX_LAYERS} layers")));
        }
        images.push(Image { config, layers, tags });
    }
    Ok(images)
}

impl Source for DockerArchive {
    /// Without a manifest in the archive this reads the layers of the image once, to hash them.
    fn resolve(&self, name: &str) -> Result<Option<Descriptor>> {
        if let Ok(digest) = name.parse::<Digest>() {
            let mut found = self.all()?.into_iter().find(|d| d.digest == digest);
            if found.is_none() {
                found = by_digest(&self.toc, digest)?;
            }
            return Ok(found);
        }
        self.place(name)?.map(|p| self.manifest(p)).transpose()
    }

    fn only(&self) -> Result<Option<Descriptor>> {
        if self.images.len() > 1 {
            let names: Vec<&str> = self.images.iter().flat_map(|i| &i.tags).map(String::as_str).collect();
            return Err(several(&self.toc.what(), self.images.len(), &names));
        }
        self.manifest(0).map(Some)
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Document> {
        read_document(self, descriptor)
    }

    fn blob<'a>(&'a self, descriptor: &Descriptor) -> Result<Box<dyn Blob + 'a>> {
        let mut place = self.look(&descriptor.digest)?;
        if place.is_none() {
            // A digest that an earlier handle gave: the images were not looked at yet.
            self.all()?;
            place = self.look(&descriptor.digest)?;
        }
        match place {
            Some(Place::There(range)) => {
                Ok(Box::new(Inside { toc: &self.toc, range, descriptor: descriptor.clone() }))
            }
            Some(Place::Made(document)) => Ok(Box::new(Bytes::new(&descriptor.media_type, document.bytes))),
            None => Err(missing(descriptor, &self.toc.what())),
        }
    }
}
