//! Archives: one image in one tar file that is an OCI layout and a Docker archive at once.
//!
//! Beside `index.json` stands a `manifest.json` whose layers are the same blobs, so that
//! `docker load`, `podman load`, `ctr images import` and skopeo each find what they look for. The
//! bytes follow from the image, its name and the order in which its blobs arrive, from nothing else.
//!
//! Invariant: the file has its name only when it is whole; until [`Sink::commit`] it is a temporary
//! file beside the target, and dropping the archive removes it.

mod header;
pub(crate) mod parts;
pub(crate) mod toc;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::json;
use tempfile::NamedTempFile;

use super::entries::{Entries, entry, is_version};
use super::layout::{INDEX, MARK, MARK_CONTENT};
use super::piece::Piece;
use super::{Document, Options, Outcome, Presence, Sink, disk, missing};
use crate::blob;
use crate::blob::{Blob, Packed, Recipe, Verify};
use crate::error::{At, Error, Kind, Result, show, show_bytes};
use crate::event::Observe;
use crate::fs;
use crate::oci::document::MAX_CONFIG;
use crate::oci::reference::is_tag;
use crate::oci::{Descriptor, Digest, Index, Manifest, Reference, document, json as canon, media_type};
use header::{BLOCK, header, padding};

/// Docker's list of images.
pub(crate) const MANIFEST_JSON: &str = "manifest.json";

/// Which of the two the user asked for. The bytes are the same; a Docker archive of several
/// platforms, which Docker could not read, is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavor {
    /// `docker-archive:`.
    Docker,
    /// `oci-archive:`.
    Oci,
}

/// Under which names the image in an archive is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naming {
    /// Name of the entry in `index.json`; the version where there is none.
    pub entry: Option<String>,
    /// What Docker, podman and containerd show: the repository, and perhaps the tag. Where the tag
    /// is missing it is the version.
    pub image: Reference,
}

impl Naming {
    /// The names of an `oci-archive:FILE[:NAME]` of a model. A plain tag names the model's image; a
    /// NAME with a repository in it is shown as it stands.
    pub fn oci(name: Option<&str>, model: &str) -> Result<Self> {
        let model = repository(model)?;
        let Some(name) = name else { return Ok(Self { entry: None, image: model }) };
        super::checked_name(name)?;
        let image = match name.parse::<Reference>() {
            _ if is_tag(name) => model.with_tag(name),
            Ok(whole) if whole.digest.is_none() => whole,
            _ => model,
        };
        Ok(Self { entry: Some(name.to_owned()), image })
    }

    /// The names of a `docker-archive:FILE[:REF]` of a model. The entry of `index.json` is the tag
    /// of REF, so that `docker-archive:F:MODEL:TAG` and `oci-archive:F:TAG` are the same bytes.
    pub fn docker(reference: Option<&str>, model: &str) -> Result<Self> {
        let image = match reference {
            Some(text) => text.parse::<Reference>()?,
            None => repository(model)?,
        };
        if image.digest.is_some() {
            return Err(Error::new(
                Kind::Usage,
                format!("`{image}` has a digest, which a docker-archive cannot keep"),
            ));
        }
        Ok(Self { entry: image.tag.clone(), image })
    }
}

fn repository(model: &str) -> Result<Reference> {
    let r: Reference = model.parse()?;
    if r.tag.is_some() || r.digest.is_some() {
        let model = show_bytes(model.as_bytes());
        return Err(Error::new(
            Kind::Usage,
            format!("the model's name `{model}` has a tag or a digest in it"),
        ));
    }
    Ok(r)
}

/// An image of an archive, and the names that it has there.
#[derive(Clone, Debug)]
pub struct Named {
    /// Its manifest or index. What the descriptor is annotated with, its entry will be too.
    pub document: Document,
    /// The name of its entry in `index.json`.
    pub entry: String,
    /// The version tag.
    pub version: Option<String>,
    /// What Docker, podman and containerd show; `None` for what is no image.
    pub image: Option<Reference>,
}

/// What is said of an archive as a whole.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    /// Annotations of its `index.json`.
    pub annotations: BTreeMap<String, String>,
    /// Blobs that it does not hold although its images name them.
    pub absent: BTreeSet<Digest>,
    /// Size of the parts into which it is cut.
    pub part: Option<u64>,
}

/// An archive that is being written.
#[derive(Debug)]
pub struct Archive {
    target: PathBuf,
    flavor: Flavor,
    naming: Naming,
    options: Options,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// `None` once the file has its name.
    temp: Option<NamedTempFile>,
    /// Where the next entry begins. What lies behind it is the rest of a failed attempt.
    end: u64,
    /// What the archive holds, and where.
    blobs: BTreeMap<Digest, toc::Range>,
    /// The documents among it.
    documents: BTreeMap<Digest, Document>,
}

impl Archive {
    /// Begins an archive: a temporary file beside `file`, whose folder is made where it is missing.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`] when something other than a file has the name.
    pub fn create(
        file: impl Into<PathBuf>,
        flavor: Flavor,
        naming: Naming,
        options: Options,
    ) -> Result<Self> {
        let target = file.into();
        if let Ok(there) = target.metadata()
            && !there.is_file()
        {
            return Err(Error::new(
                Kind::Usage,
                format!("`{}` is no file that an archive could replace", show(&target)),
            )
            .hint("name a file; it is written beside and renamed, so a pipe or device cannot take it"));
        }
        let folder = fs::parent(&target).to_owned();
        fs::create_dirs(&folder)?;
        disk::sweep(&folder);
        let temp = Some(fs::temp_beside(&target)?);
        let state = State { temp, end: 0, blobs: BTreeMap::new(), documents: BTreeMap::new() };
        let archive = Self { target, flavor, naming, options, state: Mutex::new(state) };
        {
            let mut state = archive.state();
            archive.small(&mut state, MARK, MARK_CONTENT)?;
            for folder in ["blobs/", "blobs/sha256/"] {
                let end = state.end;
                archive.write(&state, end, &header(folder, 0, header::Kind::Folder))?;
                state.end += BLOCK;
            }
        }
        Ok(archive)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn folder(&self) -> &Path {
        fs::parent(&self.target)
    }

    fn what(&self) -> String {
        format!("the archive `{}`", show(&self.target))
    }

    fn file<'a>(&self, state: &'a State) -> Result<&'a File> {
        let ended = || Error::new(Kind::Bug, format!("{} is written to after its end", self.what()));
        state.temp.as_ref().map(NamedTempFile::as_file).ok_or_else(ended)
    }

    fn write(&self, state: &State, at: u64, bytes: &[u8]) -> Result<()> {
        self.file(state)?.write_all_at(bytes, at).at("write", &self.target)
    }

    /// Appends a file whose content is in memory.
    fn small(&self, state: &mut State, name: &str, bytes: &[u8]) -> Result<toc::Range> {
        let range = toc::Range { at: state.end + BLOCK, size: bytes.len() as u64 };
        self.write(state, range.at, bytes)?;
        self.close(state, name, range)?;
        Ok(range)
    }

    /// Writes the header in front of content that is there, and what fills its last block.
    fn close(&self, state: &mut State, name: &str, range: toc::Range) -> Result<()> {
        self.write(state, range.at - BLOCK, &header(name, range.size, header::Kind::File))?;
        let end = range.at + range.size;
        let fill = padding(range.size);
        self.write(state, end, &[0; 512][..usize::try_from(fill).unwrap_or(0)])?;
        state.end = end + fill;
        Ok(())
    }

    /// Appends what a reader gives, without a header yet.
    fn pour(&self, state: &State, from: &mut dyn io::Read, piece: &mut Piece<'_>) -> Result<toc::Range> {
        let at = state.end + BLOCK;
        let mut to = Tail { file: self.file(state)?, at };
        let size = blob::copy(from, &mut to, |n| piece.moved(n)).at("write", &self.target)?;
        Ok(toc::Range { at, size })
    }

    fn name_blob(&self, state: &mut State, digest: &Digest, range: toc::Range) -> Result<()> {
        self.close(state, &format!("blobs/sha256/{}", digest.hex()), range)?;
        state.blobs.insert(*digest, range);
        Ok(())
    }

    fn store_document(&self, state: &mut State, document: &Document) -> Result<()> {
        document::check(&document.bytes, &document.descriptor, "the document")?;
        let digest = document.descriptor.digest;
        if !state.blobs.contains_key(&digest) {
            let name = format!("blobs/sha256/{}", digest.hex());
            let range = self.small(state, &name, &document.bytes)?;
            state.blobs.insert(digest, range);
        }
        state.documents.insert(digest, document.clone());
        Ok(())
    }

    /// A blob that was written, into memory.
    fn read_back(&self, state: &State, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let range = state.blobs.get(&descriptor.digest).ok_or_else(|| missing(descriptor, &self.what()))?;
        let size = usize::try_from(range.size).ok().filter(|s| *s <= MAX_CONFIG).ok_or_else(|| {
            Error::new(Kind::Integrity, format!("{} is too large for a configuration", descriptor.digest))
        })?;
        let mut bytes = vec![0; size];
        self.file(state)?.read_exact_at(&mut bytes, range.at).at("read", &self.target)?;
        Ok(bytes)
    }

    /// Everything that a document names must be there. Layers that may lie elsewhere may be missing, and
    /// what is known to be absent; the answer is whether nothing is.
    fn complete(&self, state: &State, document: &Document, absent: &BTreeSet<Digest>) -> Result<bool> {
        let kind = document.descriptor.media_type.as_str();
        let needed = |d: &Descriptor| match state.blobs.contains_key(&d.digest) {
            true => Ok(true),
            false if absent.contains(&d.digest) => Ok(false),
            false if media_type::is_foreign_layer(&d.media_type) => Ok(false),
            false => Err(missing(d, &self.what())),
        };
        if media_type::is_index(kind) {
            let mut whole = true;
            for entry in Index::parse(document.bytes.clone(), Some(kind))?.entries {
                needed(&entry.descriptor)?;
                if let Some(inner) = state.documents.get(&entry.descriptor.digest) {
                    whole &= self.complete(state, inner, absent)?;
                }
            }
            return Ok(whole);
        }
        let manifest = Manifest::parse(document.bytes.clone(), Some(kind))?;
        let mut whole = true;
        for part in std::iter::once(&manifest.config).chain(&manifest.layers) {
            whole &= needed(part)?;
        }
        Ok(whole)
    }

    /// Docker's entry for an image, where it is one image and its layers are all here.
    fn docker_entry(&self, named: &Named, whole: bool) -> Result<Option<serde_json::Value>> {
        let kind = named.document.descriptor.media_type.as_str();
        let refuse = |why: &str| {
            let e = Error::new(Kind::Usage, format!("{} cannot be written: {why}", self.what()));
            Err(e.hint("write `oci-archive:` instead of `docker-archive:`, or choose one platform"))
        };
        let path = |d: &Descriptor| format!("blobs/sha256/{}", d.digest.hex());
        let why = if media_type::is_index(kind) {
            "a Docker archive holds one platform, and the image has several"
        } else {
            let manifest = Manifest::parse(named.document.bytes.clone(), Some(kind))?;
            if manifest.is_image() && whole {
                let layers: Vec<String> = manifest.layers.iter().map(path).collect();
                let tags: Vec<String> = named.image.iter().map(Reference::to_string).collect();
                return Ok(Some(
                    json!({"Config": path(&manifest.config), "Layers": layers, "RepoTags": tags}),
                ));
            }
            if whole { "it is no image but an artifact" } else { "some of its layers lie elsewhere" }
        };
        if self.flavor == Flavor::Docker { refuse(why) } else { Ok(None) }
    }

    /// Writes the lists of names, and gives the file its name. An archive of several images is found by
    /// their names alone.
    ///
    /// # Errors
    ///
    /// As [`Sink::commit`].
    pub fn commit_all(&self, images: &[Named], marks: &Marks) -> Result<()> {
        let mut state = self.state();
        self.file(&state)?;
        let mut index = Entries::new();
        let mut docker = Some(Vec::new());
        let mut at: BTreeMap<Digest, usize> = BTreeMap::new();
        for (key, value) in &marks.annotations {
            index.annotate(key, value);
        }
        for named in images {
            super::checked_name(&named.entry)?;
            self.store_document(&mut state, &named.document)?;
            let whole = self.complete(&state, &named.document, &marks.absent)?;
            let shown = named.image.as_ref().map(Reference::to_string);
            let version = named.version.as_deref();
            let value = entry(&named.document, &named.entry, version, shown.as_deref(), |d| {
                self.read_back(&state, d)
            });
            index.set(&named.entry, value);
            let Some(list) = named.image.as_ref().and(docker.as_mut()) else { continue };
            match self.docker_entry(named, whole)? {
                // Docker would not know which of them is meant by what it cannot read.
                None => docker = None,
                Some(entry) => match at.get(&named.document.descriptor.digest) {
                    Some(place) => {
                        let list: &mut serde_json::Value = &mut list[*place];
                        if let Some(tags) = list["RepoTags"].as_array_mut() {
                            tags.extend(entry["RepoTags"].as_array().into_iter().flatten().cloned());
                        }
                    }
                    None => {
                        at.insert(named.document.descriptor.digest, list.len());
                        list.push(entry);
                    }
                },
            }
        }
        self.small(&mut state, INDEX, &index.bytes())?;
        if let Some(list) = docker.filter(|l| !l.is_empty()) {
            self.small(&mut state, MANIFEST_JSON, &canon::canonical(&json!(list)))?;
        }
        let end = state.end;
        self.write(&state, end, &[0; 1024])?;
        let file = self.file(&state)?;
        file.set_len(end + 1024).at("write", &self.target)?;
        if self.options.sync {
            file.sync_all().at("sync", &self.target)?;
        }
        if let Some(temp) = state.temp.take() {
            match marks.part {
                Some(size) => parts::cut(temp, &self.target, size, self.options.sync)?,
                None => {
                    temp.persist(&self.target).map_err(|e| e.error).at("rename into place", &self.target)?;
                }
            }
        }
        if self.options.sync {
            disk::sync_folder(self.folder())?;
        }
        Ok(())
    }

    /// The names that an image gets whose version or tag is `name`.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`] for a name that no tag can be, where nothing else was given.
    pub fn named(&self, document: &Document, name: &str) -> Result<Named> {
        let image = match &self.naming.image.tag {
            Some(_) => self.naming.image.clone(),
            None if is_tag(name) => self.naming.image.with_tag(name),
            None => {
                return Err(Error::new(Kind::Usage, format!("`{}` is no tag", show_bytes(name.as_bytes()))));
            }
        };
        Ok(Named {
            document: document.clone(),
            entry: self.naming.entry.clone().unwrap_or_else(|| name.to_owned()),
            version: is_version(name).then(|| name.to_owned()),
            image: Some(image),
        })
    }
}

/// Writes to a file from an offset on.
struct Tail<'a> {
    file: &'a File,
    at: u64,
}

impl io::Write for Tail<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.file.write_at(buf, self.at)?;
        self.at += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Archive {
    fn presence(&self, descriptor: &Descriptor) -> Result<Presence> {
        let there = self.state().blobs.get(&descriptor.digest).is_some_and(|r| r.size == descriptor.size);
        Ok(if there { Presence::Present } else { Presence::Absent })
    }

    fn put(&self, blob: &dyn Blob, see: &dyn Observe) -> Result<Outcome> {
        let wanted = blob.descriptor();
        let mut piece = Piece::blob(see, wanted);
        let mut state = self.state();
        if state.blobs.contains_key(&wanted.digest) {
            piece.end(Outcome::Present.words());
            return Ok(Outcome::Present);
        }
        disk::room(self.folder(), wanted.size)?;
        let mut reader = Verify::new(blob.open()?, wanted, format!("blob {}", wanted.digest));
        let range = self.pour(&state, &mut reader, &mut piece)?;
        self.name_blob(&mut state, &wanted.digest, range)?;
        piece.end(Outcome::Written.words());
        Ok(Outcome::Written)
    }

    /// The digest is the one that the pass computed over these very bytes; they are not hashed twice.
    fn ingest(&self, recipe: &dyn Recipe, see: &dyn Observe) -> Result<Packed> {
        let title = recipe.title();
        let mut piece = Piece::begin(see, title.as_str(), recipe.size());
        let mut state = self.state();
        disk::room(self.folder(), recipe.size().unwrap_or(0))?;
        let mut pass = recipe.open()?;
        let range = self.pour(&state, &mut pass, &mut piece)?;
        let packed = pass.finish()?;
        super::same_size(&packed, range.size, &title)?;
        let outcome = if state.blobs.contains_key(&packed.descriptor.digest) {
            // Without a header the second copy is nothing; what comes next overwrites it.
            Outcome::Present
        } else {
            self.name_blob(&mut state, &packed.descriptor.digest, range)?;
            Outcome::Written
        };
        piece.end(outcome.words());
        Ok(packed)
    }

    fn put_document(&self, document: &Document) -> Result<()> {
        self.store_document(&mut self.state(), document)
    }

    fn ordered(&self) -> bool {
        true
    }

    /// Writes the lists of names, and gives the file its name.
    ///
    /// # Errors
    ///
    /// [`Kind::Integrity`] when the document names what was not stored; [`Kind::Usage`] when Docker
    /// could not read what a `docker-archive:` was asked for.
    fn commit(&self, document: &Document, name: &str) -> Result<()> {
        super::checked_name(name)?;
        self.commit_all(&[self.named(document, name)?], &Marks::default())
    }
}
