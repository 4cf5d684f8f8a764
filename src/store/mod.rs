//! Where images live: registry, OCI layout, archive, memory.
//!
//! Three traits say what a medium can do: a [`Source`] is read, a [`Sink`] is written, a
//! [`Repository`] has names that can be listed and claimed, so that a collection of versions can
//! live there. How a thing is stored is the medium's business; the order in which things are
//! stored is [`publish`]'s alone.
//!
//! Invariants: a manifest is never written before all that it names; what is read is verified
//! while it is read; a failed or killed write leaves nothing that is named.

pub mod location;
pub mod memory;
pub mod registry;

use crate::blob::{Blob, Packed, Recipe};
use crate::error::Result;
use crate::event::Observe;
use crate::oci::{Descriptor, Digest};

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

    /// The bytes of a manifest or index, verified, at most [`crate::oci::document::MAX_MANIFEST`].
    fn document(&self, descriptor: &Descriptor) -> Result<Document>;

    /// A blob, verified while it is read.
    fn blob<'a>(&'a self, descriptor: &Descriptor) -> Result<Box<dyn Blob + 'a>>;
}

/// Can be written.
pub trait Sink: Send + Sync {
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

    /// Removes a name; what it pointed to stays. A name that is not there is no error.
    fn remove(&self, name: &str) -> Result<()>;

    /// Keeps other publishers of this collection out until the guard is dropped, where the store
    /// can do that; `None` where it cannot.
    fn exclusive(&self) -> Result<Option<crate::fs::Lock>> {
        Ok(None)
    }
}
