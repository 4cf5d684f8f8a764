//! An OCI layout in a tar file: `oci-archive:FILE[:NAME]`.
//!
//! It is read in place and never unpacked. What is written is a dual archive, see [`archive`].

use std::io::Read;
use std::path::{Path, PathBuf};

use super::archive::toc::{Range, Toc};
use super::archive::{Archive, Flavor, MANIFEST_JSON, Naming};
use super::entries::{Entries, Entry, describe};
use super::layout::INDEX;
use super::{Document, Options, Source, missing, read_document};
use crate::blob::{Blob, Verify};
use crate::error::{Error, Kind, Result};
use crate::oci::document::MAX_MANIFEST;
use crate::oci::{Descriptor, Digest, document};

#[cfg(doc)]
use super::archive;

/// Begins an archive that will hold an image of `model`; `name` is what follows the file in the
/// location.
pub fn create(
    file: impl Into<PathBuf>,
    name: Option<&str>,
    model: &str,
    options: Options,
) -> Result<Archive> {
    Archive::create(file, Flavor::Oci, Naming::oci(name, model)?, options)
}

/// An OCI layout in a tar file, to be read.
#[derive(Debug)]
pub struct OciArchive {
    toc: Toc,
    entries: Entries,
}

impl OciArchive {
    /// Opens an archive and reads its table of contents.
    ///
    /// # Errors
    ///
    /// [`Kind::Integrity`] for what is no tar file, is compressed, cut short, hostile, or holds no
    /// `index.json`.
    pub fn open(file: impl AsRef<Path>) -> Result<Self> {
        let toc = Toc::open(file.as_ref())?;
        let Some(entries) = entries_of(&toc)? else {
            let e = Error::new(Kind::Integrity, format!("there is no `{INDEX}` in {}", toc.what()));
            return Err(match toc.find(MANIFEST_JSON)? {
                Some(_) => e.hint("it is a Docker archive: write `docker-archive:FILE`"),
                None => e.hint("it is no archive of an image; for a root file system write `rootfs:FILE`"),
            });
        };
        Ok(Self { toc, entries })
    }

    /// The entries of the archive.
    pub fn entries(&self) -> Vec<Entry> {
        self.entries.all()
    }

    /// An annotation of its `index.json`.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.entries.annotation(key)
    }

    /// Whether a blob is in it; what it is, its digest and reading it decide.
    ///
    /// # Errors
    ///
    /// [`Kind::Integrity`] where something other than a file has its name.
    pub fn has(&self, digest: &Digest) -> Result<bool> {
        Ok(self.toc.find(&path_of(digest))?.is_some())
    }

    /// The size of a blob that is in it.
    ///
    /// # Errors
    ///
    /// As [`OciArchive::has`].
    pub fn size_of(&self, digest: &Digest) -> Result<Option<u64>> {
        Ok(self.toc.find(&path_of(digest))?.map(|r| r.size))
    }

    /// Hashes the parts of an archive that was cut, so that a damaged one is named. One that is a
    /// single file passes.
    ///
    /// # Errors
    ///
    /// [`Kind::Integrity`] names the part.
    pub fn check_parts(&self) -> Result<()> {
        self.toc.check_parts()
    }
}

/// The `index.json` of a tar, where there is one.
pub(crate) fn entries_of(toc: &Toc) -> Result<Option<Entries>> {
    match toc.small(INDEX, MAX_MANIFEST as u64)? {
        Some(bytes) => Entries::parse(&bytes, &format!("`{INDEX}` in {}", toc.what())).map(Some),
        None => Ok(None),
    }
}

/// The name of a blob in an archive.
pub(crate) fn path_of(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// A blob in its place in a tar.
pub(crate) struct Inside<'a> {
    pub(crate) toc: &'a Toc,
    pub(crate) range: Range,
    pub(crate) descriptor: Descriptor,
}

impl Blob for Inside<'_> {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn open(&self) -> Result<Box<dyn Read + Send + '_>> {
        let what = format!("blob {} in {}", self.descriptor.digest, self.toc.what());
        Ok(Box::new(Verify::new(self.toc.section(self.range), &self.descriptor, what)))
    }
}

/// The document that a digest names in a tar, of which only the digest is known.
pub(crate) fn by_digest(toc: &Toc, digest: Digest) -> Result<Option<Descriptor>> {
    let name = path_of(&digest);
    let Some(bytes) = toc.small(&name, MAX_MANIFEST as u64)? else { return Ok(None) };
    let what = format!("`{name}` in {}", toc.what());
    let found = describe(&bytes, &what)?;
    document::check(&bytes, &Descriptor { digest, ..found.clone() }, &what)?;
    Ok(Some(found))
}

impl Source for OciArchive {
    /// A name is that of an entry, the version of one, or the name that containerd shows, in this
    /// order: of several images that Docker saved, all entries can be called `latest`.
    fn resolve(&self, name: &str) -> Result<Option<Descriptor>> {
        if let Ok(digest) = name.parse::<Digest>() {
            return match self.entries.find_digest(&digest) {
                Some(found) => Ok(Some(found)),
                None => by_digest(&self.toc, digest),
            };
        }
        if let Some(place) = name.strip_prefix('@') {
            return Ok(self.entries.at(place)?.map(|e| e.descriptor));
        }
        if let Some(found) = self.entries.find(name)? {
            return Ok(Some(found.descriptor));
        }
        let all = self.entries.all();
        let by =
            |pick: fn(&Entry) -> Option<&String>| all.iter().find(|e| pick(e).is_some_and(|n| n == name));
        let found = by(|e| e.version.as_ref()).or_else(|| by(|e| e.image.as_ref()));
        Ok(found.map(|e| e.descriptor.clone()))
    }

    fn only(&self) -> Result<Option<Descriptor>> {
        self.entries.only(&self.toc.what()).map(Some)
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Document> {
        read_document(self, descriptor)
    }

    fn blob<'a>(&'a self, descriptor: &Descriptor) -> Result<Box<dyn Blob + 'a>> {
        let range = self.toc.find(&path_of(&descriptor.digest))?;
        let range = range.ok_or_else(|| missing(descriptor, &self.toc.what()))?;
        Ok(Box::new(Inside { toc: &self.toc, range, descriptor: descriptor.clone() }))
    }
}
