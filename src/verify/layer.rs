//! One layer, read to its end: the stored bytes, the tar inside, and the paths in it.
//!
//! Stored bytes are verified by the store that gives them ([`Blob::open`]); here the tar is hashed once
//! more and walked. Whatever a hostile layer holds, memory stays bounded: paths are counted, contracts are capped,
//! contents are passed over.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use super::Problem;
use crate::blob::codec::Codec;
use crate::blob::{Blob, CHUNK, Hashing};
use crate::error::{At, Error, Result, counted, show_bytes};
use crate::event::{Event, Observe, checkpoint, next_id};
use crate::model::contract::{json, protobin};
use crate::oci::{Descriptor, DiffId, media_type};

/// Where floe puts the contract of a model, in both of its encodings.
const CONTRACT_JSON: &[u8] = b"model/contract.json";
const CONTRACT_PROTOBIN: &[u8] = b"model/contract.protobin";
/// How many entries of one layer are compared with each other.
const MAX_ENTRIES: usize = 2_000_000;
/// How many wrong paths of one layer are told.
const MAX_PATHS: usize = 20;

/// What was in a blob.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Stored bytes.
    pub(super) bytes: u64,
    pub(super) problems: Vec<Problem>,
    /// The contract, where the blob is a layer that has one.
    pub(super) contract: Contract,
}

/// The files of a contract that were in a layer.
#[derive(Clone, Debug, Default)]
pub(super) struct Contract {
    pub(super) json: Option<Vec<u8>>,
    pub(super) protobin: Option<Vec<u8>>,
}

impl Contract {
    /// Takes over what a later layer has.
    pub(super) fn under(&mut self, later: &Self) {
        self.json = later.json.clone().or(self.json.take());
        self.protobin = later.protobin.clone().or(self.protobin.take());
    }
}

impl Seen {
    pub(super) fn broken(problem: Problem) -> Self {
        Self { problems: vec![problem], ..Self::default() }
    }
}

/// Reads a layer. `diff_ids` is what images say of the tar inside, `own` whether it is a layer of a model.
pub(super) fn read(
    blob: &dyn Blob,
    diff_ids: &BTreeSet<DiffId>,
    own: bool,
    see: &dyn Observe,
) -> Result<Seen> {
    let digest = blob.descriptor().digest;
    let mut stored = Counted::new(blob.open()?, blob.descriptor(), see);
    let mut seen = Seen::default();
    let inside = inside(&mut stored, blob.descriptor(), own, &mut seen);
    // What is left is read too: only the end tells whether the stored bytes were the right ones, and
    // bytes that are not say more than what could not be made of them.
    stored.drain()?;
    seen.bytes = stored.end();
    match inside {
        Ok(found) => {
            for wanted in diff_ids.iter().filter(|d| **d != found) {
                seen.problems.push(Problem::new(
                    &digest,
                    "diff-id",
                    format!("expected a tar with the diff id {wanted}, found {found}"),
                ));
            }
        }
        Err(e) if e.kind() == crate::Kind::Interrupted => return Err(e),
        Err(e) => seen.problems.push(Problem::new(&digest, "document", e.to_string())),
    }
    Ok(seen)
}

/// Walks the tar in the stored bytes, and gives its diff id.
fn inside(stored: &mut Counted<'_>, d: &Descriptor, own: bool, seen: &mut Seen) -> Result<DiffId> {
    let codec = codec(&d.media_type);
    let mut tar = Hashing::new(codec.decode(stored)?);
    let mut paths = Paths { own, all: BTreeSet::new(), told: 0, left: 0 };
    {
        let mut archive = tar::Archive::new(&mut tar);
        for entry in archive.entries().doing("read the tar of the layer")? {
            let mut entry = entry.doing("read the tar of the layer")?;
            let path = clean(&entry.path_bytes());
            let found = paths.check(&path, &entry);
            seen.problems.extend(found.into_iter().map(|(code, why)| Problem::new(&d.digest, code, why)));
            let slot = match &path[..] {
                CONTRACT_JSON if own => Some((&mut seen.contract.json, json::MAX_SIZE)),
                CONTRACT_PROTOBIN if own => Some((&mut seen.contract.protobin, protobin::MAX_SIZE)),
                _ => None,
            };
            if let Some((slot, cap)) = slot {
                let mut content = Vec::new();
                (&mut entry).take(cap as u64 + 1).read_to_end(&mut content).doing("read the contract")?;
                *slot = Some(content);
            }
        }
    }
    if paths.left > 0 {
        let message = format!("{} wrong", counted(paths.left, "more path is", "more paths are"));
        seen.problems.push(Problem::new(&d.digest, "path", message));
    }
    // The end of a tar may be padded, and the diff id covers that too.
    io::copy(&mut tar, &mut io::sink()).doing("read the end of the layer")?;
    let (found, _, _) = tar.finish();
    Ok(DiffId(found))
}

/// How a layer is stored, by its media type.
fn codec(kind: &str) -> Codec {
    match media_type::to_oci(kind).rsplit_once('+') {
        Some((_, "gzip")) => Codec::Gzip,
        Some((_, "zstd")) => Codec::Zstd,
        _ => Codec::None,
    }
}

/// A path in one form: without `./` before it and `/` behind it.
fn clean(path: &[u8]) -> Vec<u8> {
    let mut path = path;
    while let Some(rest) = path.strip_prefix(b"./") {
        path = rest;
    }
    let end = path.iter().rposition(|b| *b != b'/').map_or(0, |at| at + 1);
    path[..end].to_vec()
}

/// The paths of one layer so far.
struct Paths {
    own: bool,
    all: BTreeSet<Vec<u8>>,
    told: usize,
    left: usize,
}

impl Paths {
    /// What is wrong with an entry.
    fn check<R: Read>(&mut self, path: &[u8], entry: &tar::Entry<'_, R>) -> Option<(&'static str, String)> {
        let shown = show_bytes(path);
        let kind = entry.header().entry_type();
        let wrong = if escapes(path) {
            Some(format!("`{shown}` leads out of the image"))
        } else if kind.is_hard_link() && entry.link_name_bytes().is_some_and(|to| escapes(&clean(&to))) {
            Some(format!("`{shown}` is a hard link that leads out of the image"))
        } else if self.own && !(kind.is_file() || kind.is_dir() || kind.is_symlink()) {
            Some(format!("`{shown}` is neither a file nor a folder nor a link, which a model has none of"))
        } else if self.all.len() < MAX_ENTRIES
            && !self.all.insert(path.to_vec())
            && !(path.is_empty() || path == b".")
        {
            // A folder that is there twice is usual in layers of other makers, and does no harm.
            (self.own || !kind.is_dir()).then(|| format!("`{shown}` is there twice"))
        } else {
            None
        }?;
        self.told += 1;
        if self.told > MAX_PATHS {
            self.left += 1;
            return None;
        }
        Some(("path", wrong))
    }
}

/// Whether a path is absolute or climbs.
fn escapes(path: &[u8]) -> bool {
    path.starts_with(b"/") || path.split(|b| *b == b'/').any(|part| part == b"..") || path.contains(&0)
}

/// The stored bytes of a blob as they pass, told to an observer.
pub(super) struct Counted<'a> {
    inner: Box<dyn Read + Send + 'a>,
    see: &'a dyn Observe,
    id: u64,
    bytes: u64,
}

impl<'a> Counted<'a> {
    pub(super) fn new(inner: Box<dyn Read + Send + 'a>, d: &Descriptor, see: &'a dyn Observe) -> Self {
        let id = next_id();
        let what = if media_type::is_layer(&d.media_type) { "layer" } else { "blob" };
        see.on(Event::Begin { id, title: format!("{what} {}", d.digest.short()), total: Some(d.size) });
        Self { inner, see, id, bytes: 0 }
    }

    /// Reads what is left.
    pub(super) fn drain(&mut self) -> Result<()> {
        let mut buffer = vec![0; CHUNK];
        loop {
            match self.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e).doing("read the blob"),
            }
        }
    }

    /// How many bytes there were.
    pub(super) fn end(self) -> u64 {
        self.bytes
    }
}

impl Read for Counted<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        checkpoint(self.see).map_err(Error::into_io)?;
        let n = self.inner.read(buf)?;
        self.bytes += n as u64;
        self.see.on(Event::Progress { id: self.id, bytes: i64::try_from(n).unwrap_or(i64::MAX) });
        Ok(n)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.see.on(Event::End { id: self.id, outcome: "read".to_owned() });
    }
}

/// The contract that a blob had, by the blob's digest.
pub(super) type Contracts = BTreeMap<crate::oci::Digest, Contract>;
