//! Deltas: archives without the blobs that the other site has, and reading archives back.
//!
//! A delta is an OCI archive whose `index.json` is annotated with the digest of a document that names
//! the blobs it counts on. Manifests and indexes are always in it. Reading any archive back goes by
//! what is there and not by that document: a blob that is not in the archive has to be at the
//! destination, or in a repository from which the registry can link it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use serde::{Deserialize, Serialize};

use crate::blob::{Blob, Bytes, Origin};
use crate::error::{Error, Kind, Result, counted};
use crate::event::{Observe, Quiet, checkpoint};
use crate::oci::document::MAX_MANIFEST;
use crate::oci::{Descriptor, Digest, json};
use crate::store::oci_archive::OciArchive;
use crate::store::{Outcome, Presence, Sink, read_small};

use super::inventory::Inventory;
use super::transfer::Moved;

/// The media type of the document, and what `index.json` is annotated with.
const MEDIA_TYPE: &str = "application/vnd.floe.delta.v1+json";
/// The key of that annotation: the value is the document's digest.
const KEY: &str = "dev.floe.delta";
/// How many blobs an error names.
const NAMED: usize = 5;

/// What a delta counts on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Counted {
    /// Version of the document.
    floe: u32,
    #[serde(rename = "type")]
    kind: String,
    needs: Vec<Need>,
}

/// A blob that the other site has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Need {
    digest: Digest,
    size: u64,
    media_type: String,
    /// The repository of its registry that has it.
    #[serde(rename = "in", skip_serializing_if = "Option::is_none")]
    repository: Option<String>,
}

/// Blobs that are left out of an archive.
#[derive(Debug, Default)]
pub(super) struct LeftOut {
    needs: BTreeMap<Digest, Need>,
}

impl LeftOut {
    /// Takes those out of `blobs` that the other site has.
    pub(super) fn take(&mut self, blobs: &mut Vec<Descriptor>, known: &Inventory) {
        blobs.retain(|d| match known.blob(&d.digest) {
            Some(repository) => {
                let need = Need {
                    digest: d.digest,
                    size: d.size,
                    media_type: d.media_type.clone(),
                    repository: repository.map(str::to_owned),
                };
                self.needs.insert(d.digest, need);
                false
            }
            None => true,
        });
    }

    /// The digests.
    pub(super) fn digests(&self) -> BTreeSet<Digest> {
        self.needs.keys().copied().collect()
    }

    /// Number of blobs, and their bytes.
    pub(super) fn total(&self) -> (usize, u64) {
        (self.needs.len(), self.needs.values().fold(0, |sum, n| sum.saturating_add(n.size)))
    }

    /// Stores the document that says so; the annotation that leads to it.
    pub(super) fn note(&self, to: &dyn Sink) -> Result<(String, String)> {
        let needs = self.needs.values().cloned().collect();
        let document = Counted { floe: 1, kind: "delta".to_owned(), needs };
        let blob = Bytes::new(MEDIA_TYPE, json::to_canonical(&document)?);
        let Descriptor { digest, size, .. } = *blob.descriptor();
        if size > MAX_MANIFEST as u64 {
            return Err(Error::new(
                Kind::Usage,
                format!("the archive would count on {} blobs, which are too many", self.needs.len()),
            )
            .hint("copy fewer images at once"));
        }
        to.put(&blob, &Quiet)?;
        Ok((KEY.to_owned(), digest.to_string()))
    }
}

/// Where the blobs lie that an archive counts on, as the archive says.
fn hints(archive: &OciArchive) -> Result<BTreeMap<Digest, Option<String>>> {
    let Some(digest) = archive.annotation(KEY) else { return Ok(BTreeMap::new()) };
    let digest: Digest = digest.parse()?;
    let wrong = |e: serde_json::Error| {
        Error::new(Kind::Integrity, "the list of what the archive counts on cannot be read").because(e)
    };
    // Its size is known to the archive alone; reading is capped and verified by the digest.
    let size = archive.size_of(&digest)?.unwrap_or(0);
    let bytes = read_small(archive, &Descriptor::new(MEDIA_TYPE, digest, size), MAX_MANIFEST)?;
    let counted: Counted = serde_json::from_slice(&bytes).map_err(wrong)?;
    let named = |r: &String| crate::oci::reference::is_repository(r);
    Ok(counted.needs.into_iter().map(|n| (n.digest, n.repository.filter(named))).collect())
}

/// A blob that an archive does not hold: it can be found or linked at its destination, not read.
struct Needed<'a> {
    descriptor: &'a Descriptor,
    origin: Option<Origin>,
}

impl Blob for Needed<'_> {
    fn descriptor(&self) -> &Descriptor {
        self.descriptor
    }

    fn open(&self) -> Result<Box<dyn Read + Send + '_>> {
        Err(Error::new(Kind::Integrity, format!("{} is not in the archive", self.descriptor.digest)))
    }

    fn origin(&self) -> Option<Origin> {
        self.origin.clone()
    }
}

/// Takes those out of `blobs` that an archive does not hold, after it was seen to that the destination
/// has them. `registry` is the destination's host.
///
/// # Errors
///
/// [`Kind::Integrity`] names the blobs that the destination has not; nothing was written by then.
pub(super) fn counted_on(
    archive: &OciArchive,
    to: &dyn Sink,
    registry: Option<&str>,
    blobs: &mut Vec<Descriptor>,
    see: &dyn Observe,
) -> Result<Moved> {
    let mut absent = Vec::new();
    for d in std::mem::take(blobs) {
        if archive.has(&d.digest)? { blobs.push(d) } else { absent.push(d) }
    }
    let mut moved = Moved::default();
    if absent.is_empty() {
        return Ok(moved);
    }
    let hints = hints(archive)?;
    let mut lost = Vec::new();
    for descriptor in &absent {
        checkpoint(see)?;
        let repository = hints.get(&descriptor.digest).cloned().flatten();
        let origin = registry
            .zip(repository)
            .map(|(registry, repository)| Origin { registry: registry.to_owned(), repository });
        let there = match to.presence(descriptor)? {
            Presence::Present => Ok(Outcome::Present),
            // Nothing would come of it but a place that was begun.
            Presence::Absent if origin.is_none() => Ok(Outcome::Written),
            _ => to.put(&Needed { descriptor, origin }, see),
        };
        match there {
            Ok(Outcome::Written) => lost.push(descriptor.digest.to_string()),
            Ok(outcome) => moved.count(outcome, descriptor.size),
            Err(e) if e.kind() == Kind::Integrity => lost.push(descriptor.digest.to_string()),
            Err(e) => return Err(e),
        }
    }
    if lost.is_empty() {
        return Ok(moved);
    }
    let more = if lost.len() > NAMED { format!(" and {} more", lost.len() - NAMED) } else { String::new() };
    let text = format!(
        "the archive counts on {} that the destination does not have: {}{more}",
        counted(lost.len(), "blob", "blobs"),
        lost[..lost.len().min(NAMED)].join(", ")
    );
    Err(Error::new(Kind::Integrity, text).hint(
        "copy to the place that `--since` was told of, or make the archive anew with its `floe inventory`",
    ))
}
