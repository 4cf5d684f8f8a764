//! The containers before the zip archive: a row of pickles (torch 0.1.10 to 1.5), and a tar (before).
//!
//! A legacy file is five pickles, one behind the other, and then the storages: a magic number, the
//! version of the protocol, what the writing machine was like, the object, and the keys of its
//! storages (torch/serialization.py, `_legacy_save`). Only the object is read.
//!
//! Invariant: the first three pickles are small and have one form each; a file that has not is none
//! of these.

use std::collections::BTreeMap;

use crate::error::{Error, Kind, Result};
use crate::model::format::Reading;
use crate::model::format::pytorch::tensors;
use crate::model::pb::Source;
use crate::model::pickle::{self, Allow, Id, Limits, Node, Note, Pickle, Read, read};

/// The magic number `0x1950a86a20f9469cfc6c` in a pickle: `LONG1`, ten bytes, `STOP`.
const NUMBER: &[u8] = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";
/// What each of the pickles before the object may take, in bytes.
const SMALL: u64 = 64 << 10;

/// Whether a file begins as a legacy file does.
pub(crate) fn begins(head: &[u8]) -> bool {
    // Protocol 4 puts a frame between the protocol and the number.
    head.first() == Some(&0x80) && head[..head.len().min(32)].windows(NUMBER.len()).any(|w| w == NUMBER)
}

/// Whether a file begins as the tar of the oldest versions does, whose members are these.
pub(crate) fn is_tar(head: &[u8]) -> bool {
    let name = head.split(|b| *b == 0).next().unwrap_or(&[]);
    let ustar = head.get(257..262) == Some(b"ustar");
    let checksum = head.get(148..154).is_some_and(|c| c.iter().all(|b| matches!(b, b'0'..=b'7' | b' ' | 0)));
    (ustar || checksum)
        && head.len() > 512
        && [&b"sys_info"[..], b"pickle", b"storages", b"tensors", b"./sys_info"].contains(&name)
}

/// Where the object's pickle begins.
pub(super) fn objects(source: &dyn Source) -> Option<u64> {
    skip(source).ok()
}

/// Skips the pickles before the object.
fn skip(source: &dyn Source) -> Result<u64> {
    before(source).map(|(_, at)| at)
}

/// The pickles before the object, and where that begins.
fn before(source: &dyn Source) -> Result<(Vec<Read>, u64)> {
    let limits = Limits { steps: 10_000, nodes: 10_000, bytes: SMALL, ..Limits::default() };
    let (mut all, mut at) = (Vec::new(), 0);
    for what in ["magic number", "protocol version", "description of the machine"] {
        let read = read(source, at, &limits).map_err(|e| e.context(format!("cannot read the {what}")))?;
        if read.stopped.is_some() {
            return Err(Error::new(Kind::Model, format!("the {what} of the legacy file has no end")));
        }
        at = read.end;
        all.push(read);
    }
    Ok((all, at))
}

/// Adds findings about the pickles around the object, which ends at `end`: a loader unpickles them as
/// it does the object, and in a clean file they look nothing up.
pub(crate) fn verdict_around(source: &dyn Source, end: u64, place: &str, reading: &mut Reading) {
    let mut around = before(source).map(|(all, _)| all).unwrap_or_default();
    let limits = Limits { steps: 1 << 20, nodes: 1 << 18, bytes: 8 << 20, ..Limits::default() };
    around.extend(read(source, end, &limits));
    for read in &around {
        pickle::verdict(read, &Allow::DATA, place, reading);
    }
}

/// How many bytes a file lacks of its storages, which lie behind its pickles: each is its length and
/// its elements (`_write_file` in torch/csrc/generic/serialization.cpp). `None` where none are lacking,
/// or the type of one is not known.
pub(super) fn missing(source: &dyn Source, object: &Read) -> Option<u64> {
    let keys = read(source, object.end, &Limits { bytes: 8 << 20, ..Limits::default() }).ok()?;
    let pickle = &object.pickle;
    let mut storages = BTreeMap::new();
    for (_, node) in pickle.nodes() {
        let Node::Persistent(parts) = node else { continue };
        let Some([kind, class, key, _, count, ..]) = pickle.elements(*parts) else { continue };
        if pickle.str(*kind) == Some("storage") {
            let (_, class) = pickle.global(*class)?;
            let count = u64::try_from(pickle.int(*count)?).ok()?;
            storages.insert(pickle.str(*key)?, count.checked_mul(tensors::storage_item(class)?)?);
        }
    }
    let all = storages.values().try_fold(0u64, |sum, n| sum.checked_add(n.checked_add(8)?))?;
    keys.end.checked_add(all)?.checked_sub(source.size()).filter(|n| *n > 0)
}

/// Reads the object of a legacy file.
pub(crate) fn object(source: &dyn Source, limits: &Limits) -> Result<Read> {
    let at = skip(source)?;
    let mut read = read(source, at, limits)?;
    let pickle = &read.pickle;
    // The class of a module is a persistent id with the class's name in it, which is judged as a name.
    read.notes.retain(|note| match note {
        Note::ComputedCall(class) => module_class(pickle, *class).is_none(),
        _ => true,
    });
    Ok(read)
}

/// The class that a persistent id `('module', class, file, source)` stands for.
pub(super) fn module_class(pickle: &Pickle, id: Id) -> Option<(&str, &str)> {
    let Node::Persistent(parts) = pickle.node(id) else { return None };
    let parts = pickle.elements(*parts)?;
    if pickle.str(*parts.first()?)? != "module" {
        return None;
    }
    pickle.global(*parts.get(1)?)
}
