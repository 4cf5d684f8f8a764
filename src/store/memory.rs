//! A store in memory: for tests, and for dry runs that go through all the motions.
//!
//! It holds whole blobs, so it is not for models of real size. Like every store it verifies what
//! comes in and what goes out.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::entries::describe;
use super::piece::Piece;
use super::{Claim, Document, Outcome, Presence, Repository, Sink, Source, missing, read_document};
use crate::blob;
use crate::blob::{Blob, Packed, Recipe, Verify};
use crate::error::{At, Result};
use crate::event::Observe;
use crate::oci::{Descriptor, Digest, document};

/// A store in memory.
#[derive(Debug, Default)]
pub struct Memory {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    blobs: BTreeMap<Digest, Arc<[u8]>>,
    names: BTreeMap<String, Descriptor>,
}

impl Memory {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stored(state: &State, descriptor: &Descriptor) -> bool {
        state.blobs.get(&descriptor.digest).is_some_and(|b| b.len() as u64 == descriptor.size)
    }

    fn must_hold(state: &State, document: &Document) -> Result<()> {
        if Self::stored(state, &document.descriptor) {
            Ok(())
        } else {
            Err(missing(&document.descriptor, "memory"))
        }
    }
}

/// Content of the store.
struct Held {
    descriptor: Descriptor,
    bytes: Arc<[u8]>,
}

impl Blob for Held {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn open(&self) -> Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(Verify::new(&*self.bytes, &self.descriptor, "blob in memory")))
    }
}

impl Source for Memory {
    fn resolve(&self, name: &str) -> Result<Option<Descriptor>> {
        let state = self.state();
        match name.parse::<Digest>() {
            Ok(digest) => {
                state.blobs.get(&digest).map(|b| describe(b, &format!("the document {digest}"))).transpose()
            }
            Err(_) => Ok(state.names.get(name).cloned()),
        }
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Document> {
        read_document(self, descriptor)
    }

    fn blob<'a>(&'a self, descriptor: &Descriptor) -> Result<Box<dyn Blob + 'a>> {
        let bytes = self.state().blobs.get(&descriptor.digest).cloned();
        let bytes = bytes.ok_or_else(|| missing(descriptor, "memory"))?;
        Ok(Box::new(Held { descriptor: descriptor.clone(), bytes }))
    }
}

impl Sink for Memory {
    fn presence(&self, descriptor: &Descriptor) -> Result<Presence> {
        Ok(if Self::stored(&self.state(), descriptor) { Presence::Present } else { Presence::Absent })
    }

    fn put(&self, blob: &dyn Blob, see: &dyn Observe) -> Result<Outcome> {
        let wanted = blob.descriptor();
        let mut piece = Piece::blob(see, wanted);
        if self.presence(wanted)? == Presence::Present {
            piece.end(Outcome::Present.words());
            return Ok(Outcome::Present);
        }
        let mut bytes = Vec::new();
        let mut reader = Verify::new(blob.open()?, wanted, format!("blob {}", wanted.digest));
        blob::copy(&mut reader, &mut bytes, |n| piece.moved(n)).doing(format!("read {}", wanted.digest))?;
        self.state().blobs.insert(wanted.digest, bytes.into());
        piece.end(Outcome::Written.words());
        Ok(Outcome::Written)
    }

    fn ingest(&self, recipe: &dyn Recipe, see: &dyn Observe) -> Result<Packed> {
        let mut piece = Piece::begin(see, recipe.title(), recipe.size());
        let mut bytes = Vec::new();
        let mut pass = recipe.open()?;
        blob::copy(&mut pass, &mut bytes, |n| piece.moved(n)).doing(format!("make {}", recipe.title()))?;
        let packed = pass.finish()?;
        super::same_size(&packed, bytes.len() as u64, &recipe.title())?;
        self.state().blobs.insert(packed.descriptor.digest, bytes.into());
        piece.end(Outcome::Written.words());
        Ok(packed)
    }

    fn put_document(&self, document: &Document) -> Result<()> {
        document::check(&document.bytes, &document.descriptor, "the document")?;
        self.state().blobs.insert(document.descriptor.digest, document.bytes.clone().into());
        Ok(())
    }
}

impl Repository for Memory {
    fn names(&self) -> Result<Vec<String>> {
        Ok(self.state().names.keys().cloned().collect())
    }

    fn claim(&self, name: &str, document: &Document) -> Result<Claim> {
        let mut state = self.state();
        if let Some(there) = state.names.get(name) {
            let same = there.digest == document.descriptor.digest;
            return Ok(if same { Claim::Same } else { Claim::Taken(there.digest) });
        }
        Self::must_hold(&state, document)?;
        state.names.insert(super::checked_name(name)?.to_owned(), document.descriptor.clone());
        Ok(Claim::Created)
    }

    fn point(&self, name: &str, document: &Document) -> Result<()> {
        let mut state = self.state();
        Self::must_hold(&state, document)?;
        state.names.insert(super::checked_name(name)?.to_owned(), document.descriptor.clone());
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.state().names.remove(name);
        Ok(())
    }
}
