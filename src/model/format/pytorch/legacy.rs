//! The containers before the zip archive: a row of pickles (torch 0.1.10 to 1.5), and a tar (before).
//!
//! A legacy file is five pickles, one behind the other, and then the storages: a magic number, the
//! version of the protocol, what the writing machine was like, the object, and the keys of its
//! storages (torch/serialization.py, `_legacy_save`). Only the object is read.
//!
//! Invariant: the first three pickles are small and have one form each; a file that has not is none
//! of these.

use crate::error::{Error, Kind, Result};
use crate::model::pb::Source;
use crate::model::pickle::{Id, Limits, Node, Note, Pickle, Read, read};

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
    let limits = Limits { steps: 10_000, nodes: 10_000, bytes: SMALL, ..Limits::default() };
    let mut at = 0;
    for what in ["magic number", "protocol version", "description of the machine"] {
        let read = read(source, at, &limits).map_err(|e| e.context(format!("cannot read the {what}")))?;
        if read.stopped.is_some() {
            return Err(Error::new(Kind::Model, format!("the {what} of the legacy file has no end")));
        }
        at = read.end;
    }
    Ok(at)
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
