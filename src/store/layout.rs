//! An OCI image layout in a folder (image-spec, `image-layout.md`), and the local store, which is
//! one layout whose names are `NAME:TAG`.
//!
//! Invariants, also when a process is killed at any point: a blob has its name only if its content
//! was hashed to that name; `index.json` is always whole; two processes that add names lose none.
//! Without [`Options::sync`] a loss of power may undo what was written last.
//! What floe did not write stays: foreign files, foreign entries, unknown keys.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tempfile::NamedTempFile;

pub use super::disk::Options;
use super::entries::{Entries, Entry, MAX_INDEX, describe, entry, is_version};
use super::piece::Piece;
use super::{Claim, Document, Outcome, Presence, Repository, Sink, Source, disk, missing, read_document};
use crate::blob;
use crate::blob::{Blob, Packed, Recipe, Verify};
use crate::error::{At, Error, Kind, Result, show};
use crate::event::Observe;
use crate::fs;
use crate::oci::document::MAX_MANIFEST;
use crate::oci::{Descriptor, Digest, document, json};

/// The file that makes a folder a layout.
pub(crate) const MARK: &str = "oci-layout";
/// Its content.
pub(crate) const MARK_CONTENT: &[u8] = b"{\"imageLayoutVersion\":\"1.0.0\"}";
/// The file with the names.
pub(crate) const INDEX: &str = "index.json";
/// How the names of floe's lock files begin.
const LOCK_PREFIX: &str = ".floe-lock";

/// An OCI layout in a folder.
#[derive(Debug)]
pub struct Layout {
    dir: PathBuf,
    prefix: String,
    options: Options,
    /// Whether this handle has made sure that the folders are there.
    ready: Mutex<bool>,
}

/// What a folder is.
enum State {
    Layout,
    Empty,
}

impl Layout {
    /// Opens a layout that is there. `prefix` stands before every name: `NAME:` makes a handle for
    /// one collection of the local store, which sees no other names.
    ///
    /// # Errors
    ///
    /// [`Kind::Io`] when there is no layout.
    pub fn open(dir: impl Into<PathBuf>, prefix: Option<String>, options: Options) -> Result<Self> {
        let layout = Self::create(dir, prefix, options)
            .map_err(|e| e.hint("check the path; a layout is a folder with a file `oci-layout` in it"))?;
        match state(&layout.dir)? {
            State::Layout => Ok(layout),
            State::Empty => {
                Err(Error::new(Kind::Io, format!("there is no OCI layout in `{}`", show(&layout.dir)))
                    .hint("check the path; a layout is a folder with a file `oci-layout` in it"))
            }
        }
    }

    /// Opens a layout to be written to. A folder that is missing or empty becomes a layout with the
    /// first write; until then it reads as a layout without names.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`] when the folder has something else in it.
    pub fn create(dir: impl Into<PathBuf>, prefix: Option<String>, options: Options) -> Result<Self> {
        let dir = dir.into();
        state(&dir)?;
        Ok(Self { dir, prefix: prefix.unwrap_or_default(), options, ready: Mutex::new(false) })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The entries of the layout, those of other prefixes too.
    pub fn entries(&self) -> Result<Vec<Entry>> {
        Ok(self.index()?.all())
    }

    fn what(&self) -> String {
        format!("the layout `{}`", show(&self.dir))
    }

    fn blobs(&self) -> PathBuf {
        self.dir.join("blobs/sha256")
    }

    fn path_of(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }

    /// Makes the folder a layout, once per handle. The order matters: with `oci-layout` in place a
    /// killed run leaves a layout that the next one completes, not a folder that it would refuse.
    fn prepare(&self) -> Result<()> {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if *ready {
            return Ok(());
        }
        fs::create_dirs(&self.dir)?;
        if matches!(state(&self.dir)?, State::Empty) {
            fs::write_atomic(&self.dir.join(MARK), MARK_CONTENT, self.options.sync)?;
        }
        fs::create_dirs(&self.blobs())?;
        let index = self.dir.join(INDEX);
        if !index.try_exists().at("look for", &index)? {
            let _lock = self.lock_index()?;
            if !index.try_exists().at("look for", &index)? {
                fs::write_atomic(&index, &Entries::new().bytes(), self.options.sync)?;
            }
        }
        if self.options.sync {
            disk::sync_folder(&self.dir.join("blobs"))?;
            disk::sync_folder(&self.dir)?;
            disk::sync_folder(fs::parent(&self.dir))?;
        }
        disk::sweep(&self.dir);
        disk::sweep(&self.blobs());
        *ready = true;
        Ok(())
    }

    fn lock_index(&self) -> Result<fs::Lock> {
        fs::Lock::exclusive(&self.dir.join(format!("{LOCK_PREFIX}-index")))
    }

    fn index(&self) -> Result<Entries> {
        let path = self.dir.join(INDEX);
        match path.try_exists() {
            // Not written to yet, or killed before its first name.
            Ok(false) => Ok(Entries::new()),
            _ => {
                let bytes = fs::read_capped(&path, MAX_INDEX).map_err(|e| match e.kind() {
                    Kind::Model => e.with_kind(Kind::Integrity),
                    _ => e,
                })?;
                Entries::parse(&bytes, &format!("`{}`", show(&path)))
            }
        }
    }

    /// Reads, changes and replaces `index.json` while no other floe does.
    fn edit<T>(&self, change: impl FnOnce(&mut Entries) -> Result<T>) -> Result<T> {
        self.prepare()?;
        let _lock = self.lock_index()?;
        let mut index = self.index()?;
        let before = index.bytes();
        let out = change(&mut index)?;
        let after = index.bytes();
        if before != after {
            fs::write_atomic(&self.dir.join(INDEX), &after, self.options.sync)?;
            if self.options.sync {
                disk::sync_folder(&self.dir)?;
            }
        }
        Ok(out)
    }

    /// The entry of a document that is stored here.
    fn entry_for(&self, full: &str, name: &str, document: &Document) -> Result<serde_json::Value> {
        super::checked_name(full)?;
        if self.presence(&document.descriptor)? != Presence::Present {
            return Err(missing(&document.descriptor, &self.what()));
        }
        let version = is_version(name).then_some(name);
        Ok(entry(document, full, version, None, |config| {
            let mut bytes = Vec::new();
            self.blob(config)?.open()?.read_to_end(&mut bytes).doing("read the configuration")?;
            Ok(bytes)
        }))
    }

    fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Gives a temporary file the name of its content.
    fn keep(&self, temp: NamedTempFile, digest: &Digest) -> Result<()> {
        let path = self.path_of(digest);
        if self.options.sync {
            temp.as_file().sync_all().at("sync", &path)?;
        }
        temp.persist(&path).map_err(|e| e.error).at("rename into place", &path)?;
        if self.options.sync {
            disk::sync_folder(&self.blobs())?;
        }
        Ok(())
    }
}

/// Looks what a folder is; `Err` for what is neither a layout nor empty.
fn state(dir: &Path) -> Result<State> {
    let items = match std::fs::read_dir(dir) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(State::Empty),
        Err(e) if e.kind() == std::io::ErrorKind::NotADirectory => {
            return Err(Error::new(
                Kind::Usage,
                format!("`{}` is not a folder, as an OCI layout is", show(dir)),
            )
            .hint("for a tar file write `oci-archive:FILE` or `docker-archive:FILE`"));
        }
        items => items.at("list the folder", dir)?,
    };
    let mark = dir.join(MARK);
    if mark.try_exists().at("look for", &mark)? {
        let bytes = fs::read_capped(&mark, 4096)?;
        let value = json::parse(&bytes, 4096, &format!("`{}`", show(&mark)))?;
        let version = value["imageLayoutVersion"].as_str().unwrap_or("");
        if !version.starts_with("1.") {
            let found = crate::error::show_bytes(version.as_bytes());
            return Err(Error::new(
                Kind::Integrity,
                format!("`{}`: expected layout version 1.0.0, found `{found}`", show(&mark)),
            ));
        }
        return Ok(State::Layout);
    }
    for item in items {
        let name = item.at("list the folder", dir)?.file_name();
        let bytes = name.as_encoded_bytes();
        // Another floe may be making this layout right now; `lost+found` is in every new volume.
        if !bytes.starts_with(b".floe-") && bytes != b"lost+found" {
            // It may have become one since the look above; `oci-layout` comes before all else.
            if mark.try_exists().at("look for", &mark)? {
                return Ok(State::Layout);
            }
            return Err(Error::new(
                Kind::Usage,
                format!(
                    "`{}` is no OCI layout, and it is not empty: it has `{}`",
                    show(dir),
                    show(Path::new(&name))
                ),
            )
            .hint("name a new or empty folder, or the folder of a layout"));
        }
    }
    Ok(State::Empty)
}

/// A blob in its file.
struct Stored {
    descriptor: Descriptor,
    path: PathBuf,
}

impl Blob for Stored {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn open(&self) -> Result<Box<dyn Read + Send + '_>> {
        let file: File = fs::open_regular(&self.path)?;
        Ok(Box::new(Verify::new(file, &self.descriptor, format!("`{}`", show(&self.path)))))
    }
}

impl Source for Layout {
    /// Names are those of the prefix; a digest is looked for in the whole layout.
    fn resolve(&self, name: &str) -> Result<Option<Descriptor>> {
        let index = self.index()?;
        if let Ok(digest) = name.parse::<Digest>() {
            let path = self.path_of(&digest);
            if !path.try_exists().at("look for", &path)? {
                return Ok(None);
            }
            if let Some(found) = index.find_digest(&digest) {
                return Ok(Some(found));
            }
            // A manifest inside an index has no entry of its own.
            let bytes =
                fs::read_capped(&path, MAX_MANIFEST as u64).map_err(|e| e.with_kind(Kind::Integrity))?;
            let found = describe(&bytes, &format!("`{}`", show(&path)))?;
            let wanted = Descriptor { digest, ..found.clone() };
            document::check(&bytes, &wanted, &format!("`{}`", show(&path)))?;
            return Ok(Some(found));
        }
        let found = match name.strip_prefix('@') {
            Some(place) if self.prefix.is_empty() => index.at(place)?,
            _ => index.find(&self.full(name))?,
        };
        Ok(found.map(|e| e.descriptor))
    }

    fn only(&self) -> Result<Option<Descriptor>> {
        if !self.prefix.is_empty() {
            return Ok(None);
        }
        self.index()?.only(&self.what()).map(Some)
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Document> {
        read_document(self, descriptor)
    }

    fn blob<'a>(&'a self, descriptor: &Descriptor) -> Result<Box<dyn Blob + 'a>> {
        let path = self.path_of(&descriptor.digest);
        if !path.try_exists().at("look for", &path)? {
            return Err(missing(descriptor, &self.what()));
        }
        Ok(Box::new(Stored { descriptor: descriptor.clone(), path }))
    }
}

impl Sink for Layout {
    /// A blob counts as present if a file has its name and its size. It is not hashed again: names
    /// are given only to hashed content, a write that was cut short shows in the size, and hashing
    /// would read the whole base for every build. A rotten disk shows whenever the blob is read.
    fn presence(&self, descriptor: &Descriptor) -> Result<Presence> {
        let path = self.path_of(&descriptor.digest);
        match path.metadata() {
            Ok(m) if m.is_file() && m.len() == descriptor.size => Ok(Presence::Present),
            Ok(_) => Ok(Presence::Absent),
            Err(e)
                if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) =>
            {
                Ok(Presence::Absent)
            }
            Err(e) => Err(e).at("stat", &path),
        }
    }

    fn put(&self, blob: &dyn Blob, see: &dyn Observe) -> Result<Outcome> {
        let wanted = blob.descriptor();
        let mut piece = Piece::blob(see, wanted);
        if self.presence(wanted)? == Presence::Present {
            piece.end(Outcome::Present.words());
            return Ok(Outcome::Present);
        }
        self.prepare()?;
        let folder = self.blobs();
        disk::room(&folder, wanted.size)?;
        let mut temp = fs::temp_in(&folder)?;
        let mut reader = Verify::new(blob.open()?, wanted, format!("blob {}", wanted.digest));
        blob::copy(&mut reader, temp.as_file_mut(), |n| piece.moved(n)).at("copy a blob into", &folder)?;
        self.keep(temp, &wanted.digest)?;
        piece.end(Outcome::Written.words());
        Ok(Outcome::Written)
    }

    /// The digest is the one that the pass computed over these very bytes; they are not hashed twice.
    fn ingest(&self, recipe: &dyn Recipe, see: &dyn Observe) -> Result<Packed> {
        let title = recipe.title();
        let mut piece = Piece::begin(see, title.as_str(), recipe.size());
        self.prepare()?;
        let folder = self.blobs();
        disk::room(&folder, recipe.size().unwrap_or(0))?;
        let mut temp = fs::temp_in(&folder)?;
        let mut pass = recipe.open()?;
        let bytes = blob::copy(&mut pass, temp.as_file_mut(), |n| piece.moved(n))
            .at("write a layer into", &folder)?;
        let packed = pass.finish()?;
        super::same_size(&packed, bytes, &title)?;
        let outcome = match self.presence(&packed.descriptor)? {
            Presence::Present => Outcome::Present,
            _ => {
                self.keep(temp, &packed.descriptor.digest)?;
                Outcome::Written
            }
        };
        piece.end(outcome.words());
        Ok(packed)
    }

    fn put_document(&self, document: &Document) -> Result<()> {
        document::check(&document.bytes, &document.descriptor, "the document")?;
        if self.presence(&document.descriptor)? == Presence::Present {
            return Ok(());
        }
        self.prepare()?;
        let folder = self.blobs();
        let mut temp = fs::temp_in(&folder)?;
        temp.write_all(&document.bytes).at("write a document into", &folder)?;
        self.keep(temp, &document.descriptor.digest)
    }
}

impl Repository for Layout {
    fn names(&self) -> Result<Vec<String>> {
        let index = self.index()?;
        let mut names: Vec<String> = index
            .names()
            .into_iter()
            .filter_map(|n| n.strip_prefix(self.prefix.as_str()))
            .map(str::to_owned)
            .collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    fn claim(&self, name: &str, document: &Document) -> Result<Claim> {
        let full = self.full(name);
        let digest = document.descriptor.digest;
        self.edit(|index| {
            if let Some(there) = index.find(&full)? {
                let found = there.descriptor.digest;
                return Ok(if found == digest { Claim::Same } else { Claim::Taken(found) });
            }
            index.set(&full, self.entry_for(&full, name, document)?);
            Ok(Claim::Created)
        })
    }

    fn point(&self, name: &str, document: &Document) -> Result<()> {
        let full = self.full(name);
        self.edit(|index| {
            index.set(&full, self.entry_for(&full, name, document)?);
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> Result<()> {
        let full = self.full(name);
        if !self.index()?.names().contains(&full.as_str()) {
            return Ok(());
        }
        self.edit(|index| {
            index.remove(&full);
            Ok(())
        })
    }

    /// One lock per collection, and never the one of the index, which every write of a name takes.
    fn exclusive(&self) -> Result<Option<fs::Lock>> {
        self.prepare()?;
        let collection = Digest::of(self.prefix.as_bytes()).short();
        let path = self.dir.join(format!("{LOCK_PREFIX}-publish-{collection}"));
        fs::Lock::exclusive(&path).map(Some)
    }
}
