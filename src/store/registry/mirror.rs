//! Reading from the mirrors of a registry, and from itself where they do not help.
//!
//! The first place that has the name is read from; a blob that it lacks is asked for at the next.
//! What is read is verified by its digest wherever it came from. Writing knows no mirrors.

use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Client, Registry};
use crate::blob::{Blob, Origin};
use crate::error::Result;
use crate::oci::{Descriptor, Reference};
use crate::store::{Document, Source};

/// A repository that is read from several places.
#[derive(Debug)]
pub struct Mirrored {
    /// In the order in which they are asked; the registry itself is the last.
    places: Vec<Registry>,
    /// Where the name was found.
    found: AtomicUsize,
}

impl Mirrored {
    /// The repository of a reference, for reading. Asks nothing yet.
    pub fn open(client: &Client, reference: &Reference) -> Self {
        let route = client.settings().registries.route(reference);
        let mut places: Vec<Registry> = match route.blocked {
            Some(_) => Vec::new(),
            None => route.mirrors.iter().map(|m| Registry::at(client, m)).collect(),
        };
        places.push(Registry::open(client, reference));
        Self { places, found: AtomicUsize::new(0) }
    }

    /// The places from the one where the name was found.
    fn since_found(&self) -> &[Registry] {
        let at = self.found.load(Ordering::Relaxed).min(self.places.len() - 1);
        &self.places[at..]
    }
}

/// Asks one place after the other, until one has an answer; the last one's word counts.
fn first<'a, T>(
    places: &'a [Registry],
    what: &str,
    mut ask: impl FnMut(&'a Registry) -> Result<Option<T>>,
) -> Result<Option<(usize, T)>> {
    let last = places.len() - 1;
    for (n, place) in places.iter().enumerate() {
        let why = match ask(place) {
            Ok(Some(value)) => return Ok(Some((n, value))),
            Ok(None) if n == last => return Ok(None),
            Err(e) if n == last => return Err(e),
            Ok(None) => format!("{what} is not there"),
            Err(e) => e.to_string(),
        };
        let see = &place.client.settings().see;
        see.detail(format!("the mirror `{}` does not help: {why}", place.place()));
    }
    Ok(None)
}

impl Source for Mirrored {
    fn resolve(&self, name: &str) -> Result<Option<Descriptor>> {
        let found = first(&self.places, name, |place| place.resolve(name))?;
        Ok(found.map(|(n, descriptor)| {
            self.found.store(n, Ordering::Relaxed);
            if n + 1 < self.places.len() {
                let see = &self.places[n].client.settings().see;
                see.detail(format!("`{name}` is read from the mirror `{}`", self.places[n].place()));
            }
            descriptor
        }))
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Document> {
        let what = descriptor.digest.to_string();
        let found = first(self.since_found(), &what, |place| place.document(descriptor).map(Some))?;
        found.map(|(_, document)| document).ok_or_else(|| super::super::missing(descriptor, "any mirror"))
    }

    fn blob<'a>(&'a self, descriptor: &Descriptor) -> Result<Box<dyn Blob + 'a>> {
        let places = self.since_found();
        let blobs: Result<Vec<_>> = places.iter().map(|place| place.blob(descriptor)).collect();
        Ok(Box::new(MirroredBlob { places, blobs: blobs? }))
    }
}

/// A blob in several places.
struct MirroredBlob<'a> {
    places: &'a [Registry],
    blobs: Vec<Box<dyn Blob + 'a>>,
}

impl Blob for MirroredBlob<'_> {
    fn descriptor(&self) -> &Descriptor {
        self.blobs[0].descriptor()
    }

    fn open(&self) -> Result<Box<dyn Read + Send + '_>> {
        self.open_at(0)
    }

    fn open_at(&self, offset: u64) -> Result<Box<dyn Read + Send + '_>> {
        let last = self.blobs.len() - 1;
        for (place, blob) in self.places.iter().zip(&self.blobs).take(last) {
            match blob.open_at(offset) {
                Ok(reader) => return Ok(reader),
                Err(e) => {
                    let see = &place.client.settings().see;
                    see.detail(format!("the mirror `{}` does not help: {e}", place.place()));
                }
            }
        }
        self.blobs[last].open_at(offset)
    }

    fn origin(&self) -> Option<Origin> {
        self.blobs[0].origin()
    }
}
