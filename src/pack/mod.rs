//! Plan and tree become bytes: the single pass.
//!
//! A [`Layer`] is a recipe: every opening reads the files again, writes their headers, compresses
//! and hashes on the way, and keeps nothing. It is not a file on disk; nothing is staged.
//!
//! Invariants: the bytes follow from plan and content alone; a file that is not the one of the
//! snapshot, before or after it was read, ends the pass with an error that names it.

pub mod choose;
pub mod rootfs;
mod stream;

use std::io::{self, Read};

use crate::blob::codec::{Codec, Encoder};
use crate::blob::{Blob, Hashing, Packed, Pass, Recipe, Verify};
use crate::error::{At, Error, Kind, Result};
use crate::event::Observe;
use crate::model::Tree;
use crate::oci::{Descriptor, DiffId};
use crate::plan::{LayerPlan, Owner};

use stream::TarStream;

/// A layer that is made whenever it is opened.
pub struct Layer<'a> {
    plan: &'a LayerPlan,
    tree: &'a Tree,
    owner: Owner,
    codec: Codec,
    threads: usize,
}

impl<'a> Layer<'a> {
    /// The recipe for a layer of the plan. Samples its content where the plan leaves the codec open.
    pub fn new(plan: &'a LayerPlan, tree: &'a Tree, owner: Owner, threads: usize) -> Result<Self> {
        let codec = match plan.compression.fixed() {
            Some(codec) => codec,
            None => choose::codec(plan, tree)?,
        };
        Ok(Self { plan, tree, owner, codec, threads })
    }

    /// How the layer is stored.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// What the layer is for.
    pub fn role(&self) -> &str {
        &self.plan.role
    }
}

impl Recipe for Layer<'_> {
    fn title(&self) -> String {
        self.plan.title()
    }

    fn size(&self) -> Option<u64> {
        (self.codec == Codec::None).then(|| stream::tar_size(self.plan, self.owner))
    }

    fn work(&self) -> u64 {
        self.plan.size()
    }

    fn open(&self) -> Result<Box<dyn Pass + '_>> {
        let tar = TarStream::new(self.plan, self.tree, self.owner);
        Ok(match self.codec {
            // One hash: the stored bytes are the tar.
            Codec::None => Box::new(Plain(Hashing::new(tar))),
            codec => Box::new(Compressed {
                codec,
                stored: Hashing::new(codec.encode(Hashing::new(tar), self.threads)?),
            }),
        })
    }
}

struct Plain<'a>(Hashing<TarStream<'a>>);

impl Read for Plain<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Pass for Plain<'_> {
    fn finish(self: Box<Self>) -> Result<Packed> {
        let (digest, size, tar) = self.0.finish();
        tar.check_ended()?;
        let descriptor = Descriptor::new(Codec::None.media_type(), digest, size);
        Ok(Packed { descriptor, diff_id: DiffId(digest) })
    }
}

struct Compressed<'a> {
    codec: Codec,
    stored: Hashing<Encoder<Hashing<TarStream<'a>>>>,
}

impl Read for Compressed<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.stored.read(buf)
    }
}

impl Pass for Compressed<'_> {
    fn finish(self: Box<Self>) -> Result<Packed> {
        let (digest, size, encoder) = self.stored.finish();
        let (diff_id, _, tar) = encoder.into_inner().finish();
        tar.check_ended()?;
        let descriptor = Descriptor::new(self.codec.media_type(), digest, size);
        Ok(Packed { descriptor, diff_id: DiffId(diff_id) })
    }
}

/// Reads a recipe once to learn its digests, and keeps no byte.
pub fn hash(recipe: &dyn Recipe, see: &dyn Observe) -> Result<Packed> {
    let mut pass = recipe.open()?;
    let what = format!("read {}", recipe.title());
    crate::blob::copy(&mut pass, &mut io::sink(), |_| crate::event::checkpoint(see).map_err(Error::into_io))
        .doing(what)?;
    pass.finish()
}

/// A recipe whose digest is known: the same bytes, verified while they are made.
pub struct Known<'a> {
    recipe: &'a dyn Recipe,
    packed: Packed,
}

impl<'a> Known<'a> {
    /// A recipe and what an earlier pass found out about it.
    pub fn new(recipe: &'a dyn Recipe, packed: Packed) -> Self {
        Self { recipe, packed }
    }
}

impl Blob for Known<'_> {
    fn descriptor(&self) -> &Descriptor {
        &self.packed.descriptor
    }

    fn open(&self) -> Result<Box<dyn Read + Send + '_>> {
        let what = format!("{} changed since it was hashed", self.recipe.title());
        Ok(Box::new(Verify::new(self.recipe.open()?, &self.packed.descriptor, what)))
    }
}

/// The error of a pass that was finished too early.
fn early() -> Error {
    Error::new(Kind::Bug, "a layer was finished before its last byte was read")
}
