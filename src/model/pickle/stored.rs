//! A pickle in a file: plain, by joblib, or compressed, and what it keeps outside of its opcodes.
//!
//! [`open`] is the way in for formats. What the reading left in the file, a long text or the
//! elements of an array, is read again by [`Stored::text`] and [`Stored::array`].

use std::cell::Cell;

use crate::error::{Error, Kind, Result};
use crate::model::format::{Reading, Severity};
use crate::model::pb::Source;
use crate::model::pickle::inflate::{Codec, Inflated};
use crate::model::pickle::machine::run;
use crate::model::pickle::node::{Form, Node, Pickle, Text};
use crate::model::pickle::numpy::{Array, ArrayData};
use crate::model::pickle::text;
use crate::model::pickle::told::{Limits, Read, Use};
use crate::model::pickle::verdict::{Allow, may_be_danger};

/// A pickle that was read, and its source.
pub struct Stored<'s> {
    /// What was read.
    pub read: Read,
    /// What it is compressed with: `zlib`, `gzip`, `bzip2`, `xz`, `lzma`, `lz4`.
    pub compression: Option<&'static str>,
    /// How many bytes follow after the end of the pickle; `None` where that is not known, as in a
    /// compressed one (there, at least one does where it is `Some(1)`).
    pub trailing: Option<u64>,
    /// Whether what follows begins with another pickle, and what that would have a loader look up;
    /// `None` where nothing follows, or no pickle.
    pub second: Option<Vec<Use>>,
    /// The limits within which it was read.
    pub(super) limits: Limits,
    bytes: Bytes<'s>,
}

/// Where the pickle lies.
enum Bytes<'s> {
    Plain(&'s dyn Source),
    Packed(Box<Inflated<'s>>),
}

impl Bytes<'_> {
    fn source(&self) -> &dyn Source {
        match self {
            Self::Plain(source) => *source,
            Self::Packed(inflated) => &**inflated,
        }
    }

    fn compression(&self) -> Option<&'static str> {
        match self {
            Self::Plain(_) => None,
            Self::Packed(inflated) => Some(inflated.codec().name()),
        }
    }

    /// Whether a limit, and not the end, is where the bytes end.
    fn cut(&self) -> Option<&Cell<bool>> {
        match self {
            Self::Plain(_) => None,
            Self::Packed(inflated) => Some(&inflated.cut),
        }
    }
}

/// The most that is read of a pickle after the first.
const SECOND: Limits = Limits { steps: 1 << 18, nodes: 1 << 16, bytes: 1 << 20, memory: 4 << 20 };
/// The most that is read to see what a pickle may be.
const GLANCE: Limits = Limits { steps: 1 << 18, nodes: 1 << 17, bytes: 1 << 20, memory: 8 << 20 };

/// Reads the pickle that a source holds from its beginning; compressed or not, joblib's or not.
///
/// A pickle inside a larger file, such as an entry of an archive, is a `zip::Section` of it.
///
/// ```text
/// let content = tree.open(&candidate.file)?;
/// let stored = pickle::open(&content, &Limits { bytes: budget, ..Limits::default() })?;
/// let tree = stored.pickle();
/// let Some(root) = tree.root() else { /* `stored.read.stopped` names the limit */ };
/// ```
pub fn open<'s>(source: &'s dyn Source, limits: &Limits) -> Result<Stored<'s>> {
    match as_far_as_it_goes(source, limits)? {
        (stored, None) => Ok(stored),
        (_, Some(failure)) => Err(failure),
    }
}

/// As [`open`], with what was read before a failure too: a loader runs what comes before it.
fn as_far_as_it_goes<'s>(source: &'s dyn Source, limits: &Limits) -> Result<(Stored<'s>, Option<Error>)> {
    let bytes = match codec(source)? {
        Some(codec) => Bytes::Packed(Box::new(Inflated::new(source, codec))),
        None => Bytes::Plain(source),
    };
    let (read, failure) = run(bytes.source(), 0, limits, bytes.cut());
    let mut trailing = None;
    let mut second = None;
    if read.stopped.is_none() && failure.is_none() {
        trailing = match &bytes {
            Bytes::Plain(source) => Some(source.size().saturating_sub(read.end)),
            Bytes::Packed(inflated) => Some(inflated.read_at(read.end, &mut [0]).unwrap_or(0) as u64),
        };
        if trailing != Some(0) {
            let (next, failure) = run(bytes.source(), read.end, &SECOND, bytes.cut());
            // One opcode may be chance.
            second = (failure.is_none() && next.steps > 1).then_some(next.uses);
        }
    }
    Ok((Stored { read, compression: bytes.compression(), trailing, second, limits: *limits, bytes }, failure))
}

/// Adds what could run any code among what a source would have a loader do, if it is a pickle,
/// whole or broken. For files that nothing is known of: what merely is not known is not told.
pub fn dangers(source: &dyn Source, limits: &Limits, place: &str, reading: &mut Reading) {
    let mut head = [0; 512];
    let Ok(got) = source.read_at(0, &mut head) else { return };
    if !looks_like(&head[..got]) {
        return;
    }
    let Ok((stored, _)) = as_far_as_it_goes(source, limits) else { return };
    let mut all = Reading::default();
    stored.verdict(&Allow::DATA, place, &mut all);
    for finding in all.findings.into_iter().filter(|f| f.severity == Severity::Error) {
        reading.find(finding.severity, finding.code, finding.place, finding.message);
    }
}

fn codec(source: &dyn Source) -> Result<Option<Codec>> {
    let mut head = [0; 8];
    let got = source.read_at(0, &mut head)?;
    Ok(Codec::of(&head[..got]))
}

/// What the beginning of a file tells about the pickle in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peek {
    /// What it is compressed with, as [`Stored::compression`].
    pub compression: Option<&'static str>,
    /// The protocol.
    pub protocol: u8,
    /// The class of the object that the pickle is, or the function that makes it; `None` where it
    /// is a plain value, or not known yet.
    pub root: Option<(String, String)>,
    /// Whether the pickle is a plain dict, list or tuple, as far as is known.
    pub plain: Option<&'static str>,
    /// The names that it looks up, as far as it was read.
    pub uses: Vec<Use>,
    /// Whether it was read to its end.
    pub complete: bool,
    /// Why it cannot be read further, where it is broken.
    pub broken: Option<String>,
}

impl Peek {
    /// Whether a name is looked up in a package or one below it: `sklearn` has `sklearn.svm`.
    pub fn has(&self, package: &str) -> bool {
        self.uses.iter().any(|u| is_in(&u.module, package))
    }

    /// Whether one of the names that it looks up runs code, wherever it may be used.
    pub fn is_dangerous(&self) -> bool {
        self.uses.iter().any(may_be_danger)
    }

    /// Whether the root's class or function is in a package or one below it.
    pub fn root_in(&self, package: &str) -> bool {
        self.root.as_ref().is_some_and(|(module, _)| is_in(module, package))
    }
}

fn is_in(module: &str, package: &str) -> bool {
    module.strip_prefix(package).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Looks at the beginning of what may be a pickle: at most a MiB of it is read. `None` where it is
/// none. [`crate::model::format::File::pickle`] asks once for all formats.
pub fn peek(source: &dyn Source, head: &[u8]) -> Result<Option<Peek>> {
    if !looks_like(head) {
        return Ok(None);
    }
    let bytes = match Codec::of(head) {
        Some(codec) => Bytes::Packed(Box::new(Inflated::beginning(source, codec))),
        None => Bytes::Plain(source),
    };
    if let Bytes::Packed(inflated) = &bytes {
        let mut inner = [0; 512];
        // What is no such stream after all is no pickle.
        let Ok(got) = inflated.read_at(0, &mut inner) else { return Ok(None) };
        if !is_plain(&inner[..got]) {
            return Ok(None);
        }
    }
    let (read, failure) = run(bytes.source(), 0, &GLANCE, bytes.cut());
    if let Some(e) = &failure {
        if e.kind() != Kind::Model {
            return Err(Error::new(e.kind(), e.to_string()));
        }
        // Without a mark at its beginning, it is a pickle only if it says something like one.
        if read.protocol < 2 && read.uses.is_empty() {
            return Ok(None);
        }
    }
    let tree = &read.pickle;
    let lowest = tree.root().or(read.unfinished);
    let root = lowest.and_then(|id| tree.class(id).or_else(|| tree.global(id)));
    let plain = lowest.and_then(|id| match tree.node(id) {
        Node::Dict(_) => Some("dict"),
        Node::List(_) => Some("list"),
        Node::Tuple(_) => Some("tuple"),
        _ => None,
    });
    Ok(Some(Peek {
        compression: bytes.compression(),
        protocol: read.protocol,
        root: root.map(|(module, name)| (module.to_owned(), name.to_owned())),
        plain,
        complete: tree.root().is_some(),
        uses: read.uses,
        broken: failure.map(|e| e.to_string()),
    }))
}

impl Stored<'_> {
    /// The tree.
    pub fn pickle(&self) -> &Pickle {
        &self.read.pickle
    }

    /// The content of a string (as UTF-8) or of bytes of up to `most` bytes, wherever it lies.
    ///
    /// Fails where it is longer, or cannot be read.
    pub fn text(&self, of: &Text, most: u64) -> Result<Vec<u8>> {
        let (offset, length, form) = match of {
            Text::Here(bytes) => return Ok(bytes.clone()),
            Text::There { offset, length, form } => (*offset, *length, *form),
        };
        let bytes = self.fetch(offset, length, most)?;
        let decoded = match form {
            Form::Raw => return Ok(bytes),
            Form::Latin1 => text::latin1(&bytes),
            Form::Quoted => text::quoted(&bytes),
            Form::RawUnicode => text::raw_unicode(&bytes),
            Form::RawLatin1 => text::raw_unicode(&bytes).and_then(|b| text::latin1(&b)),
        };
        decoded.ok_or_else(|| {
            Error::new(Kind::Model, format!("broken pickle at byte {offset}: a string is not written as one"))
        })
    }

    /// The bytes of an array's elements, up to `most`; `None` where they are objects or not known.
    pub fn array(&self, array: &Array, most: u64) -> Result<Option<Vec<u8>>> {
        match &array.data {
            ArrayData::Bytes(text) => self.text(text, most).map(Some),
            ArrayData::Stream { offset, length } => self.fetch(*offset, *length, most).map(Some),
            ArrayData::Objects(_) | ArrayData::Unknown => Ok(None),
        }
    }

    fn fetch(&self, offset: u64, length: u64, most: u64) -> Result<Vec<u8>> {
        let too_long = || {
            Error::new(
                Kind::Model,
                format!("{length} bytes at byte {offset} of a pickle are more than {most}"),
            )
        };
        let mut left = usize::try_from(length).ok().filter(|_| length <= most).ok_or_else(too_long)?;
        let mut out = Vec::new();
        let mut chunk = vec![0; left.min(64 << 10)];
        while left > 0 {
            let want = left.min(chunk.len());
            let got = self.bytes.source().read_at(offset + out.len() as u64, &mut chunk[..want])?;
            if got == 0 {
                return Err(Error::new(
                    Kind::Model,
                    format!("a pickle ends inside of {length} bytes at {offset}"),
                ));
            }
            out.extend_from_slice(&chunk[..got]);
            left -= got;
        }
        Ok(out)
    }
}

/// Whether bytes may be the beginning of a pickle, plain or compressed: a cheap question before
/// [`open`], which alone knows.
pub fn looks_like(head: &[u8]) -> bool {
    is_plain(head) || Codec::of(head).is_some()
}

/// Whether bytes may be the beginning of a pickle that is not compressed.
fn is_plain(head: &[u8]) -> bool {
    let word = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.');
    let name = |line: &[u8]| {
        line.first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_') && line.iter().all(word)
    };
    match head {
        [0x80, 0..=5, ..] => true,
        // A name to look up: two lines.
        [b'c', rest @ ..] | [b'(', b'i' | b'c', rest @ ..] => {
            let mut lines = rest.split(|b| *b == b'\n');
            lines.next().is_some_and(name) && lines.next().is_some_and(name)
        }
        [b'(', b'd' | b'l' | b't', b'p' | b'q' | b'r' | b'.' | b'I' | b'S' | b'V' | b'(', ..] => true,
        [b'(', b'(' | b']' | b'}' | b'K' | b'U' | b'X' | b'S' | b'V' | b'I' | b'F', ..] => true,
        [b']' | b'}', b'q' | b'r' | b'.' | b'(', ..] => true,
        _ => false,
    }
}
