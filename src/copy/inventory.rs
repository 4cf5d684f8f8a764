//! Inventories: what a site has, as a document that can be carried to another.
//!
//! It names images with the references under which they are found, and all manifests and blobs behind
//! them with their sizes. It holds no time and no machine's name: the same content gives the same
//! bytes. An inventory is a claim; who relies on it (`copy --since`) has it checked where the archive
//! is read back.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::attached;
use super::graph::Content;
use super::source::Opened;
use crate::error::{Error, Kind, Result, show_bytes};
use crate::event::{Observe, checkpoint, warn};
use crate::oci::{Descriptor, Digest, media_type};
use crate::store::layout::Layout;
use crate::store::location::Location;
use crate::store::open::Stores;
use crate::store::{Presence, Repository, Sink};
use crate::versions::{self, Name, Selector};

/// The largest inventory that is read.
pub const MAX_INVENTORY: u64 = 256 << 20;
/// The kind of the document.
const KIND: &str = "inventory";

/// What a site has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// Version of the document.
    floe: u32,
    #[serde(rename = "type")]
    kind: String,
    images: Vec<Listed>,
    manifests: Vec<Held>,
    blobs: Vec<Held>,
    referrers: Vec<Attached>,
}

/// A name and what it points to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Listed {
    /// As floe reads it.
    #[serde(rename = "ref")]
    reference: String,
    digest: Digest,
    media_type: String,
    size: u64,
}

/// Content.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Held {
    digest: Digest,
    media_type: String,
    size: u64,
    /// A repository of its registry that has it.
    #[serde(rename = "in", default, skip_serializing_if = "Option::is_none")]
    repository: Option<String>,
}

/// An artifact.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Attached {
    subject: Digest,
    digest: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    artifact_type: Option<String>,
    size: u64,
}

impl Default for Inventory {
    fn default() -> Self {
        Self {
            floe: 1,
            kind: KIND.to_owned(),
            images: Vec::new(),
            manifests: Vec::new(),
            blobs: Vec::new(),
            referrers: Vec::new(),
        }
    }
}

impl Inventory {
    /// Reads an inventory that was written; `what` names it in errors.
    ///
    /// # Errors
    ///
    /// [`Kind::Integrity`] for what is none.
    pub fn parse(bytes: &[u8], what: &str) -> Result<Self> {
        let wrong = |why: &str| {
            Error::new(Kind::Integrity, format!("{what} is no inventory: {why}"))
                .hint("`floe inventory` writes one, on the machine that has the images")
        };
        let mut all: Self =
            serde_json::from_slice(bytes).map_err(|e| wrong("it cannot be read").because(e))?;
        if all.kind != KIND || all.floe != 1 {
            return Err(wrong("it is another kind of document, or of a later floe"));
        }
        all.sort();
        Ok(all)
    }

    /// Everything in stores that references name; nothing named means the whole local store.
    pub fn of(references: &[String], stores: &Stores, see: &dyn Observe) -> Result<Self> {
        let mut found = Found::default();
        if references.is_empty() {
            // A collection at a time, as each has its own list of what is attached.
            for name in collections(stores)? {
                let opened = Opened::Layout(stores.collection(&name)?);
                found.add_all(&opened, &Location::Store { name, tag: None, digest: None }, see)?;
            }
        }
        for text in references {
            let location = Location::reference(text)?;
            let opened = Opened::open(&location, stores)?;
            match (one(&opened, &location, text)?, &opened) {
                (Some((name, top)), _) => found.add(&opened, &location, name.as_deref(), &top, see)?,
                (None, Opened::Docker(archive)) => {
                    for place in 0..archive.names().len() {
                        let place = format!("@{place}");
                        if let Some(top) = opened.source().resolve(&place)? {
                            found.add(&opened, &location, Some(&place), &top, see)?;
                        }
                    }
                }
                (None, _) => found.add_all(&opened, &location, see)?,
            }
        }
        Ok(found.finish())
    }

    /// Adds what another one has.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.images.extend(other.images);
        self.manifests.extend(other.manifests);
        self.blobs.extend(other.blobs);
        self.referrers.extend(other.referrers);
        self.sort();
        self
    }

    /// How many images, and the bytes of all blobs.
    pub fn total(&self) -> (usize, u64) {
        (self.images.len(), self.blobs.iter().fold(0, |sum, b| sum.saturating_add(b.size)))
    }

    /// Whether a blob is there; and the repository that has it, where that is known.
    pub(super) fn blob(&self, digest: &Digest) -> Option<Option<&str>> {
        let at = self.blobs.binary_search_by_key(digest, |b| b.digest).ok()?;
        Some(self.blobs[at].repository.as_deref())
    }

    fn sort(&mut self) {
        self.images.sort();
        self.images.dedup();
        for list in [&mut self.manifests, &mut self.blobs] {
            list.sort();
            list.dedup_by_key(|h| h.digest);
        }
        self.referrers.sort();
        self.referrers.dedup();
    }
}

/// The collections of the local store.
fn collections(stores: &Stores) -> Result<BTreeSet<String>> {
    let layout = Layout::create(stores.local()?, None, stores.options)?;
    let names = layout.names()?;
    Ok(names.iter().filter_map(|n| n.rsplit_once(':')).map(|(model, _)| model.to_owned()).collect())
}

/// The one image that a reference names; `None` where it names a whole place.
fn one(opened: &Opened, location: &Location, text: &str) -> Result<Option<(Option<String>, Descriptor)>> {
    let named = match location {
        Location::Registry(r) => r.digest.map(|d| d.to_string()).or_else(|| r.tag.clone()),
        Location::Store { tag, digest, .. } => digest.map(|d| d.to_string()).or_else(|| tag.clone()),
        other => other.tag().map(str::to_owned),
    };
    let Some(named) = named else { return Ok(None) };
    let Some(repository) = opened.repository() else {
        let found = opened.source().resolve(&named)?;
        let missing = || Error::new(Kind::Usage, format!("there is no such image in `{location}`"));
        return Ok(Some((Some(named), found.ok_or_else(missing)?)));
    };
    match versions::select(repository, text, &Selector::parse(Some(&named))?) {
        Ok((top, name)) => Ok(Some((name, top))),
        Err(e) => match repository.resolve(&named)? {
            Some(top) => Ok(Some((Some(named), top))),
            None => Err(e),
        },
    }
}

/// What was found so far.
#[derive(Default)]
struct Found {
    inventory: Inventory,
    manifests: BTreeMap<Digest, Held>,
    blobs: BTreeMap<Digest, Held>,
}

impl Found {
    /// All names of a place.
    fn add_all(&mut self, opened: &Opened, location: &Location, see: &dyn Observe) -> Result<()> {
        for name in opened.names()? {
            let tag = name.rsplit_once(':').map_or(name.as_str(), |(_, tag)| tag);
            if matches!(Name::parse(tag), Name::Referrers(_) | Name::Tombstone { .. }) {
                continue;
            }
            let Some(top) = opened.source().resolve(&name)? else { continue };
            self.add(opened, location, Some(&name), &top, see)?;
        }
        Ok(())
    }

    fn add(
        &mut self,
        opened: &Opened,
        location: &Location,
        name: Option<&str>,
        top: &Descriptor,
        see: &dyn Observe,
    ) -> Result<()> {
        checkpoint(see)?;
        let reference = match (location.clone(), name) {
            (Location::Registry(r), Some(tag)) => format!("docker://{}", r.with_tag(tag)),
            (Location::Registry(r), None) => format!("docker://{}", r.with_digest(top.digest)),
            (Location::Store { name: model, .. }, Some(tag)) => format!("{model}:{tag}"),
            (Location::Store { name: model, .. }, None) => format!("{model}@{}", top.digest),
            // Where the folder or the file lies on this machine says nothing elsewhere.
            (_, Some(name)) => show_bytes(name.as_bytes()),
            (_, None) => top.digest.to_string(),
        };
        let known = self.manifests.contains_key(&top.digest);
        if !known {
            match Content::of(opened.source(), top) {
                Ok(content) => {
                    self.hold(&content, opened, location)?;
                    let attached = attached::find(opened, &content, see)?;
                    self.hold(&attached.content, opened, location)?;
                    for (subject, r) in &attached.referring {
                        self.inventory.referrers.push(Attached {
                            subject: subject.digest,
                            digest: r.descriptor.digest,
                            artifact_type: r.artifact_type.clone(),
                            size: r.descriptor.size,
                        });
                    }
                }
                Err(e) if e.kind() == Kind::Integrity => {
                    warn(see, format!("`{reference}` is left out: {e}"), e.hint_text());
                    return Ok(());
                }
                Err(e) => return Err(e),
            }
        }
        self.inventory.images.push(Listed {
            reference,
            digest: top.digest,
            media_type: top.media_type.clone(),
            size: top.size,
        });
        Ok(())
    }

    /// Notes down documents and blobs that are really there.
    fn hold(&mut self, content: &Content, opened: &Opened, location: &Location) -> Result<()> {
        let repository = match location {
            Location::Registry(r) => Some(r.repository.clone()),
            _ => None,
        };
        let held = |d: &Descriptor| Held {
            digest: d.digest,
            media_type: media_type_of(d),
            size: d.size,
            repository: repository.clone(),
        };
        for d in &content.documents {
            self.manifests.entry(d.descriptor.digest).or_insert_with(|| held(&d.descriptor));
        }
        for d in &content.blobs {
            // A delta names blobs that it does not hold; in a folder one may have been removed.
            let there = match opened {
                Opened::Archive(archive) => archive.has(&d.digest)?,
                Opened::Layout(layout) => layout.presence(d)? == Presence::Present,
                // A registry takes no manifest without its blobs.
                Opened::Registry(_) | Opened::Docker(_) => true,
            };
            if there {
                self.blobs.entry(d.digest).or_insert_with(|| held(d));
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Inventory {
        self.inventory.manifests = self.manifests.into_values().collect();
        self.inventory.blobs = self.blobs.into_values().collect();
        self.inventory.sort();
        self.inventory
    }
}

/// The OCI name of a media type: the same blob may be called either way by two manifests.
fn media_type_of(d: &Descriptor) -> String {
    media_type::to_oci(&d.media_type).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(text: &str, size: u64) -> Held {
        Held { digest: Digest::of(text.as_bytes()), media_type: "x".to_owned(), size, repository: None }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut one =
            Inventory { blobs: vec![held("b", 2), held("a", 1), held("a", 1)], ..Inventory::default() };
        one.sort();
        let bytes = crate::oci::json::to_canonical(&one).unwrap();
        let read = Inventory::parse(&bytes, "x").unwrap();
        assert_eq!(read, one);
        assert_eq!(read.total(), (0, 3));
        assert_eq!(read.blob(&Digest::of(b"a")), Some(None));
        assert_eq!(read.blob(&Digest::of(b"c")), None);
        let both = read.and(Inventory { blobs: vec![held("c", 5)], ..Inventory::default() });
        assert!(both.blob(&Digest::of(b"c")).is_some() && both.blob(&Digest::of(b"b")).is_some());
    }

    #[test]
    fn what_is_no_inventory_is_refused() {
        for bad in [
            "",
            "{}",
            "[]",
            "{\"floe\":1,\"type\":\"delta\",\"images\":[],\"manifests\":[],\"blobs\":[],\"referrers\":[]}",
            "{\"floe\":2,\"type\":\"inventory\",\"images\":[],\"manifests\":[],\"blobs\":[],\"referrers\":[]}",
            "{\"floe\":1,\"type\":\"inventory\",\"images\":[],\"manifests\":[],\"blobs\":[{\"digest\":\"x\"}],\"referrers\":[]}",
        ] {
            assert_eq!(Inventory::parse(bad.as_bytes(), "x").unwrap_err().kind(), Kind::Integrity, "{bad}");
        }
    }
}
