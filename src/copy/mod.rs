//! Copies: an image goes from one store to another and keeps every digest.
//!
//! Nothing is recompressed and nothing is written anew: documents are copied as bytes. What is there is
//! skipped, what lies elsewhere on the same registry is linked, the rest streams through and is verified
//! on its way. The order is blobs, manifests (children first), what is attached, names, so that a copy
//! that fails leaves nothing named. It is not a build: it takes no number, except for one platform that
//! is taken out of an index.

mod attached;
mod delta;
mod destination;
mod graph;
pub mod inventory;
mod source;
mod transfer;

use std::collections::BTreeMap;

use serde::Serialize;

use self::attached::Attached;
use self::delta::LeftOut;
use self::destination::{Destination, Place, Wanted};
use self::graph::Content;
use self::inventory::Inventory;
use self::source::{Item, Opened};
use crate::error::{Error, Kind, Result, counted};
use crate::event::{Event, Observe, checkpoint, warn};
use crate::oci::document::Document;
use crate::oci::{Descriptor, Digest, Manifest, Platform};
use crate::store::archive::{Marks, Named};
use crate::store::location::Location;
use crate::store::open::Stores;
use crate::store::{Claim, Expected, ExpectedBlob, ExpectedManifest, Presence, referrers};

pub use self::transfer::Moved;

/// What is to be copied, and how.
#[derive(Clone, Debug)]
pub struct Request {
    /// References, in the grammar of [`crate::store::location::Location`].
    pub sources: Vec<String>,
    /// Where they go; a text that ends in `/` gets each model's name appended, and `/` alone is the local
    /// store.
    pub destination: String,
    /// The one platform that is taken out of an index; otherwise an index is copied whole.
    pub platform: Option<Platform>,
    /// Whether what is attached comes along: referrers, signatures, attestations.
    pub all: bool,
    /// Whether every image of a collection comes along, with its aliases.
    pub all_tags: bool,
    /// Names that move to the image at the destination.
    pub aliases: Vec<String>,
    /// What the other site has: its blobs are left out of an archive.
    pub since: Option<Inventory>,
    /// Size in bytes of the parts into which an archive is cut.
    pub part: Option<u64>,
    /// How many blobs are on their way at once.
    pub jobs: usize,
    /// Whether nothing is written, and the answer is what would be.
    pub dry_run: bool,
}

/// An image that was copied, or would be.
#[derive(Clone, Debug, Serialize)]
pub struct Copied {
    /// Where it lay.
    pub source: String,
    /// Where it lies now, as floe and skopeo read it.
    #[serde(rename = "ref")]
    pub reference: String,
    /// Its names there.
    pub tags: Vec<String>,
    /// Digest of its manifest or index.
    pub digest: Digest,
    /// Media type of that document.
    pub media_type: String,
    /// Whether it was there before, under all of these names.
    pub existed: bool,
    /// What became of its blobs.
    pub blobs: Moved,
    /// How many artifacts came along.
    pub attached: usize,
    /// Blobs that were left out because the other site has them.
    #[serde(skip_serializing_if = "is_zero")]
    pub left_out: usize,
    /// Bytes of those.
    #[serde(skip_serializing_if = "is_zero_bytes")]
    pub left_out_bytes: u64,
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

fn is_zero_bytes(n: &u64) -> bool {
    *n == 0
}

/// What a copy needs of its surroundings.
pub struct Surroundings<'a> {
    /// Opens stores.
    pub stores: &'a Stores,
    /// Is told what happens.
    pub see: &'a dyn Observe,
}

/// Copies images.
///
/// # Errors
///
/// Whatever stands in the way. Images that were copied before an error stay copied; of an archive that
/// is read none is named unless all of it is whole.
pub fn copy(request: &Request, around: &Surroundings<'_>) -> Result<Vec<Copied>> {
    let see = around.see;
    stage(see, "find the images")?;
    let found = find(request, around)?;
    let items: Vec<&Item> = found.iter().flat_map(|(_, items)| items).collect();

    stage(see, "open the destination")?;
    let mut places: BTreeMap<String, (Location, Vec<&Item>)> = BTreeMap::new();
    for item in &items {
        let location = destination::locate(request, item)?;
        places.entry(location.to_string()).or_insert_with(|| (location, Vec::new())).1.push(item);
    }
    let mut destinations = BTreeMap::new();
    for (text, (location, items)) in places {
        destination::check(request, &location, &items)?;
        destinations.insert(text, Destination::open(location, request, &items, around.stores)?);
    }

    let mut copied = Vec::new();
    let mut left_out = LeftOut::default();
    for (from, items) in &found {
        // What came in one file is named together or not at all.
        let batch = if from.archive().is_some() { items.len().max(1) } else { 1 };
        for items in items.chunks(batch) {
            let mut stored = Vec::new();
            for item in items {
                let text = destination::locate(request, item)?.to_string();
                let to = destinations.get(&text).expect("each item's destination was opened");
                stored.push(store(from, item, to, &mut left_out, request, around)?);
            }
            for stored in stored {
                let done = name(&stored, request, around)?;
                if stored.to.repository().is_some() && !request.dry_run {
                    see.on(published(&done));
                }
                copied.push(done);
            }
        }
    }
    for to in destinations.values() {
        if finish(to, &left_out, request)? {
            let place = to.location.to_string();
            copied.iter().filter(|c| c.reference.starts_with(&place)).for_each(|c| see.on(published(c)));
        }
    }
    Ok(copied)
}

fn published(copied: &Copied) -> Event {
    Event::Published {
        reference: copied.reference.clone(),
        digest: copied.digest.to_string(),
        version: copied.tags.first().cloned().unwrap_or_default(),
        existed: copied.existed,
    }
}

/// All sources, opened, with the images that they name.
fn find(request: &Request, around: &Surroundings<'_>) -> Result<Vec<(Opened, Vec<Item>)>> {
    // With a name in the destination nobody asks what the image was called.
    let text = &request.destination;
    let named = !text.ends_with('/') && Location::destination(text, "")?.tag().is_some();
    let mut found = Vec::new();
    for text in &request.sources {
        checkpoint(around.see)?;
        found.push(source::find(text, request, !named, around.stores, around.see)?);
    }
    if found.is_empty() {
        return Err(Error::new(Kind::Usage, "there is nothing to copy").hint("name a source"));
    }
    Ok(found)
}

/// An image whose content is at its destination, without a name yet.
struct Stored<'a> {
    item: &'a Item,
    to: &'a Destination,
    top: Document,
    names: Vec<Wanted>,
    attached: Attached,
    existed: bool,
    moved: Moved,
    left_out: (usize, u64),
}

/// Brings everything of an image to its destination but its names.
fn store<'a>(
    from: &Opened,
    item: &'a Item,
    to: &'a Destination,
    left_out: &mut LeftOut,
    request: &Request,
    around: &Surroundings<'_>,
) -> Result<Stored<'a>> {
    let see = around.see;
    stage(see, &format!("copy {}", item.text))?;
    let names = if to.repository().is_some() { to.names(item, request)? } else { Vec::new() };
    let existed = to.settled(&item.top.digest, &names)?;
    let source = from.source();
    let context = |e: Error| e.context(format!("`{}`", item.text));
    let mut content = Content::of(source, &item.top).map_err(context)?;
    if content.foreign > 0 {
        warn(
            see,
            format!(
                "`{}` has {} that may not be passed on, and {} not copied",
                item.text,
                counted(content.foreign, "layer", "layers"),
                if content.foreign == 1 { "is" } else { "are" }
            ),
            Some("whoever runs the image fetches that from the address in it"),
        );
    }
    let attached = if request.all { attached::find(from, &content, see)? } else { Attached::default() };
    let top = content.documents.last().expect("an image has a document").clone();
    let mut blobs = std::mem::take(&mut content.blobs);
    blobs.extend(attached.content.blobs.iter().cloned());
    let mut stored =
        Stored { item, to, top, names, attached, existed, moved: Moved::default(), left_out: (0, 0) };
    if let Some(known) = &request.since {
        let before = left_out.total();
        left_out.take(&mut blobs, known);
        let after = left_out.total();
        stored.left_out = (after.0 - before.0, after.1 - before.1);
    }
    if request.dry_run {
        stored.moved = rehearse(to, &blobs, existed)?;
        return Ok(stored);
    }
    let Some(sink) = to.sink() else { return Err(Error::new(Kind::Bug, "a destination takes nothing")) };
    let archive = from.archive();
    if let Some(archive) = archive {
        let registry = if let Place::Registry(r) = &to.place { Some(r.registry()) } else { None };
        stored.moved = delta::counted_on(archive, sink, registry, &mut blobs, see).map_err(context)?;
    } else if existed && !request.all {
        stored.moved.present = blobs.len();
        return Ok(stored);
    }
    sink.preflight(&expected(item, &content, &blobs), see)?;
    let moved =
        transfer::blobs(source, sink, &blobs, request.jobs, archive.is_some(), see).map_err(context)?;
    stored.moved.present += moved.present;
    stored.moved.mounted += moved.mounted;
    (stored.moved.written, stored.moved.bytes) = (moved.written, moved.bytes);
    for document in content.documents.iter().chain(&stored.attached.content.documents) {
        checkpoint(see)?;
        sink.put_document(document)?;
    }
    Ok(stored)
}

/// What is going to be stored, for a store to say whether it takes that.
fn expected(item: &Item, content: &Content, blobs: &[Descriptor]) -> Expected {
    let manifest = |document: &Document| {
        let manifest = Manifest::parse(document.bytes.clone(), Some(&document.descriptor.media_type)).ok();
        ExpectedManifest {
            title: format!("`{}`", item.text),
            size: document.bytes.len() as u64,
            layers: manifest.as_ref().filter(|m| m.is_image()).map_or(0, |m| m.layers.len()),
            config: manifest.map_or(0, |m| m.config.size),
        }
    };
    Expected {
        blobs: blobs.iter().map(|d| ExpectedBlob::of(d, "layer")).collect(),
        manifests: content.documents.iter().map(manifest).collect(),
    }
}

/// What would be moved.
fn rehearse(to: &Destination, blobs: &[Descriptor], existed: bool) -> Result<Moved> {
    let mut moved = Moved::default();
    for d in blobs {
        let there = match to.sink() {
            _ if existed => true,
            Some(sink) => sink.presence(d)? == Presence::Present,
            None => false,
        };
        let outcome = if there { crate::store::Outcome::Present } else { crate::store::Outcome::Written };
        moved.count(outcome, d.size);
    }
    Ok(moved)
}

/// Gives an image that is stored its names, and lists what is attached to it.
fn name(stored: &Stored<'_>, request: &Request, around: &Surroundings<'_>) -> Result<Copied> {
    let Stored { item, to, top, .. } = stored;
    let digest = top.descriptor.digest;
    let mut tags = Vec::new();
    if request.dry_run {
        tags.extend(stored.names.iter().filter_map(|n| match n {
            Wanted::Version(n) | Wanted::Name(n) => Some(n.clone()),
            Wanted::Next => None,
        }));
    } else if let Some(repository) = to.repository() {
        for (subject, referring) in &stored.attached.referring {
            let manifest = stored.attached.content.document(&referring.descriptor.digest);
            let manifest = manifest.expect("what is attached was found with its manifest");
            repository.refer(manifest, subject)?;
        }
        for (tag, document) in &stored.attached.tagged {
            if let Claim::Taken(other) = repository.claim(tag, document)? {
                let text = format!("`{tag}` at `{}` points to {other} and was left as it is", to.location);
                warn(around.see, text, Some("to replace what is there, remove that tag and copy again"));
            }
        }
        let mut document = top.clone();
        document.descriptor.annotations = item.top.annotations.clone();
        for wanted in &stored.names {
            tags.push(match wanted {
                Wanted::Version(name) | Wanted::Name(name) if stored.existed => name.clone(),
                wanted => to.give(&document, wanted)?,
            });
        }
    } else {
        tags.extend(to.note(top, item)?);
        note_attached(to, &stored.attached)?;
    }
    Ok(Copied {
        source: item.text.clone(),
        reference: to.shown(tags.first().map(String::as_str), &digest, around.stores),
        tags,
        digest,
        media_type: top.descriptor.media_type.clone(),
        existed: stored.existed,
        blobs: stored.moved,
        attached: stored.attached.len(),
        left_out: stored.left_out.0,
        left_out_bytes: stored.left_out.1,
    })
}

/// What is attached gets entries of its own in an archive: an archive has no other names.
fn note_attached(to: &Destination, attached: &Attached) -> Result<()> {
    let Place::Archive(archive, noted) = &to.place else { return Ok(()) };
    let mut noted = noted.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let entry = |entry: String, document: &Document| Named {
        document: document.clone(),
        entry,
        version: None,
        image: None,
    };
    for (subject, all) in attached.by_subject() {
        let list = referrers::index(&all);
        crate::store::Sink::put_document(&**archive, &list)?;
        noted.push(entry(referrers::tag(&subject), &list));
    }
    for (tag, document) in &attached.tagged {
        noted.push(entry(tag.clone(), document));
    }
    Ok(())
}

/// An archive comes into being; whether the destination is one.
fn finish(to: &Destination, left_out: &LeftOut, request: &Request) -> Result<bool> {
    let Place::Archive(archive, noted) = &to.place else { return Ok(false) };
    let noted = noted.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut marks = Marks { part: request.part, absent: left_out.digests(), ..Marks::default() };
    if request.since.is_some() {
        marks.annotations.extend([left_out.note(&**archive)?]);
    }
    archive.commit_all(&noted, &marks)?;
    Ok(true)
}

/// A name that is somebody else's.
fn conflict(name: &str, location: &Location, other: &Digest) -> Error {
    Error::new(
        Kind::Conflict,
        format!(
            "`{name}` at `{location}` points to {other}, which is another image; nothing was overwritten"
        ),
    )
    .hint("choose another name, or remove that one first if it is not needed")
}

fn stage(see: &dyn Observe, name: &str) -> Result<()> {
    checkpoint(see)?;
    see.on(Event::Stage { name: name.to_owned() });
    Ok(())
}
