//! Where images live: registry, OCI layout, archive, memory.
//!
//! Three traits say what a medium can do: a [`Source`] is read, a [`Sink`] is written, a
//! [`Repository`] has names that can be listed and claimed, so that a collection of versions can
//! live there. How a thing is stored is the medium's business; the order in which things are
//! stored is the build's alone.
//!
//! Invariants: a manifest is never written before all that it names; what is read is verified
//! while it is read; a failed or killed write leaves nothing that is named.

pub mod archive;
mod disk;
pub mod docker_archive;
mod entries;
mod expected;
pub mod layout;
pub mod location;
pub mod memory;
pub mod oci_archive;
pub mod open;
mod piece;
pub mod referrers;
pub mod registry;

pub use disk::Options;
pub use entries::Entry;
pub use expected::{Expected, ExpectedBlob, ExpectedManifest, MAX_LAYERS};
pub use referrers::Referring;

use std::io::Read;

use crate::blob::{Blob, Packed, Recipe};
use crate::error::{At, Error, Kind, Result, show_bytes};
use crate::event::Observe;
use crate::oci::document::MAX_MANIFEST;
use crate::oci::{Descriptor, Digest};

pub use crate::oci::document::Document;

/// Whether a store holds a blob. Three answers, because "not asked" is not "no".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is not there.
    Absent,
    /// It is there.
    Present,
    /// The store cannot tell.
    Unknown,
}

/// How a blob came to be in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was there already; nothing was read.
    Present,
    /// The registry linked it from another of its repositories; nothing was read.
    Mounted,
    /// Its bytes were written.
    Written,
}

impl Outcome {
    /// One or two words for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Present => "already there",
            Self::Mounted => "mounted",
            Self::Written => "written",
        }
    }
}

/// Can be read: base images come from here, and published ones are read back.
pub trait Source: Send + Sync {
    /// What a name (a tag, or a digest in text form) points to; `None` where there is no such name.
    fn resolve(&self, name: &str) -> Result<Option<Descriptor>>;

    /// What is meant when no name is given, where the medium can tell: the one image of a layout or
    /// an archive. `None` for media that have no such thing; several images are an error that lists
    /// their names.
    fn only(&self) -> Result<Option<Descriptor>> {
        Ok(None)
    }

    /// The bytes of a manifest or index, verified, at most [`crate::oci::document::MAX_MANIFEST`].
    fn document(&self, descriptor: &Descriptor) -> Result<Document>;

    /// A blob, verified while it is read.
    fn blob<'a>(&'a self, descriptor: &Descriptor) -> Result<Box<dyn Blob + 'a>>;

    /// What refers to a document: artifacts that have it as their subject.
    fn referrers(&self, subject: &Digest) -> Result<Vec<Referring>> {
        referrers::listed(self, subject)
    }
}

/// Can be written.
pub trait Sink: Send + Sync {
    /// Refuses, before anything is read, what the store is known not to take, or whoever may not write.
    fn preflight(&self, expected: &Expected, see: &dyn Observe) -> Result<()> {
        expected.check(see)
    }

    /// Whether the blob is there.
    fn presence(&self, descriptor: &Descriptor) -> Result<Presence>;

    /// Stores content whose digest is known: presence, then mount, then upload, verified while it
    /// is sent. Idempotent: `Ok` means "the store holds this content", not "this call wrote it".
    fn put(&self, blob: &dyn Blob, see: &dyn Observe) -> Result<Outcome>;

    /// Stores content whose digest is not known, in one pass: stream, hash, commit.
    fn ingest(&self, recipe: &dyn Recipe, see: &dyn Observe) -> Result<Packed>;

    /// Stores a manifest or index by its digest. Everything that it names is there already.
    fn put_document(&self, document: &Document) -> Result<()>;

    /// Whether the order in which blobs arrive shows in the result, as it does in an archive.
    fn ordered(&self) -> bool {
        false
    }

    /// Ends the writing. A medium that is one file comes into being here, under `name`.
    fn commit(&self, _document: &Document, _name: &str) -> Result<()> {
        Ok(())
    }
}

/// What came of an attempt to claim a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The name now points to the document.
    Created,
    /// It pointed there already.
    Same,
    /// It points to something else, and still does.
    Taken(Digest),
}

/// Has names that can be listed, claimed and moved: collections of versions live here.
pub trait Repository: Source + Sink {
    /// All names, in no particular order.
    fn names(&self) -> Result<Vec<String>>;

    /// Makes `name` point to a stored document unless the name exists.
    ///
    /// On disk this is atomic. A registry has no such operation; there it is look, write, look
    /// again, and the answer is what the last look saw.
    fn claim(&self, name: &str, document: &Document) -> Result<Claim>;

    /// Makes `name` point to a stored document, whatever it pointed to before.
    fn point(&self, name: &str, document: &Document) -> Result<()>;

    /// Stores a manifest that has `subject` in its field of that name, so that [`Source::referrers`] of
    /// the subject has it from then on, however many others do the same at once.
    ///
    /// Where the store keeps no such list by itself, it is an index under the tag that the
    /// distribution specification names ("Referrers Tag Schema").
    fn refer(&self, manifest: &Document, subject: &Descriptor) -> Result<()> {
        self.put_document(manifest)?;
        match self.exclusive()? {
            Some(_alone) => referrers::add(self, manifest, &subject.digest),
            None => referrers::add_among_others(self, manifest, &subject.digest, &|name, document| {
                self.point(name, document)
            }),
        }
    }

    /// Removes a name; what it pointed to stays. A name that is not there is no error.
    fn remove(&self, name: &str) -> Result<()>;

    /// Keeps other publishers of this collection out until the guard is dropped, where the store
    /// can do that; `None` where it cannot.
    fn exclusive(&self) -> Result<Option<crate::fs::Lock>> {
        Ok(None)
    }
}

/// Refuses what is promised to be too large, before a byte of it is asked for.
pub(crate) fn check_size(descriptor: &Descriptor, cap: usize) -> Result<()> {
    let Descriptor { digest, size, .. } = descriptor;
    if *size <= cap as u64 {
        return Ok(());
    }
    Err(Error::new(
        Kind::Integrity,
        format!("the document {digest} has {size} bytes, at most {cap} are accepted"),
    ))
}

/// Reads a blob that should be small, whole and verified; more than `cap` bytes is an error.
pub fn read_small(from: &dyn Source, descriptor: &Descriptor, cap: usize) -> Result<Vec<u8>> {
    let digest = descriptor.digest;
    check_size(descriptor, cap)?;
    let mut bytes = Vec::new();
    let blob = from.blob(descriptor)?;
    blob.open()?.read_to_end(&mut bytes).doing(format!("read the document {digest}"))?;
    Ok(bytes)
}

/// Reads a document as the blob that it is.
pub(crate) fn read_document(from: &dyn Source, descriptor: &Descriptor) -> Result<Document> {
    let bytes = read_small(from, descriptor, MAX_MANIFEST)?;
    let clean = Descriptor::new(descriptor.media_type.as_str(), descriptor.digest, descriptor.size);
    Ok(Document { descriptor: clean, bytes })
}

/// A store does not hold what one of its documents names.
pub(crate) fn missing(descriptor: &Descriptor, place: &str) -> Error {
    Error::new(Kind::Integrity, format!("{} is not in {place}", descriptor.digest))
        .hint("the store is incomplete; publish or copy the image again")
}

/// The size that a pass tells must be that of the bytes it gave.
pub(crate) fn same_size(packed: &Packed, bytes: u64, title: &str) -> Result<()> {
    let told = packed.descriptor.size;
    if told == bytes {
        return Ok(());
    }
    let title = show_bytes(title.as_bytes());
    Err(Error::new(Kind::Bug, format!("packing `{title}` gave {bytes} bytes, but tells of {told}")))
}

/// Refuses what the image specification does not allow as the name of an entry.
pub(crate) fn checked_name(name: &str) -> Result<&str> {
    if location::is_entry_name(name) {
        return Ok(name);
    }
    Err(Error::new(Kind::Usage, format!("`{}` cannot be a name in a store", show_bytes(name.as_bytes())))
        .hint("a name begins and ends with a letter or a digit"))
}
