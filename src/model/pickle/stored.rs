//! A pickle in a file: plain, by joblib, or compressed, and what it keeps outside of its opcodes.
//!
//! [`open`] is the way in for formats. What the reading left in the file, a long text or the
//! elements of an array, is read again by [`Stored::text`] and [`Stored::array`].

use crate::error::{Error, Kind, Result};
use crate::model::pb::Source;
use crate::model::pickle::machine::{Limits, Read, read};
use crate::model::pickle::node::{Form, Pickle, Text};
use crate::model::pickle::numpy::{Array, ArrayData};
use crate::model::pickle::text;

/// A pickle that was read, and its source.
pub struct Stored<'s> {
    /// What was read.
    pub read: Read,
    /// What it is compressed with: `zlib`, `gzip`, `bzip2`, `xz`, `lzma`, `lz4`.
    pub compression: Option<&'static str>,
    source: Box<dyn Source + 's>,
}

/// Reads the pickle that a source holds from its beginning; compressed or not, joblib's or not.
///
/// ```ignore
/// let content = tree.open(&candidate.file)?;
/// let stored = pickle::open(&content, &Limits { bytes: budget, ..Limits::default() })?;
/// let tree = stored.pickle();
/// let Some(root) = tree.root() else { /* stored.read.stopped names the limit */ };
/// ```
pub fn open<'s>(source: &'s dyn Source, limits: &Limits) -> Result<Stored<'s>> {
    let read = read(source, 0, limits)?;
    Ok(Stored { read, compression: None, source: Box::new(Part { source, offset: 0, size: source.size() }) })
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
        let bytes = self.bytes(offset, length, most)?;
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
            ArrayData::Stream { offset, length } => self.bytes(*offset, *length, most).map(Some),
            ArrayData::Objects(_) | ArrayData::Unknown => Ok(None),
        }
    }

    fn bytes(&self, offset: u64, length: u64, most: u64) -> Result<Vec<u8>> {
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
            let got = self.source.read_at(offset + out.len() as u64, &mut chunk[..want])?;
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

/// A range of a source as a source: an entry of an archive, a pickle inside another.
pub struct Part<'s> {
    /// The whole.
    pub source: &'s dyn Source,
    /// Where the range begins.
    pub offset: u64,
    /// How long it is.
    pub size: u64,
}

impl Source for Part<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let left = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let n = left.min(buf.len());
        match self.offset.checked_add(offset) {
            Some(at) if n > 0 => self.source.read_at(at, &mut buf[..n]),
            _ => Ok(0),
        }
    }
}

/// Whether bytes may be the beginning of a pickle, plain or compressed: a cheap question before
/// [`open`], which alone knows.
pub fn looks_like(head: &[u8]) -> bool {
    is_plain(head) || compression(head).is_some()
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

/// What joblib may have compressed a file with (joblib/compressor.py).
pub(super) fn compression(head: &[u8]) -> Option<&'static str> {
    let zlib = |a: u8, b: u8| a == 0x78 && matches!(b, 0x01 | 0x5e | 0x9c | 0xda);
    match head {
        [a, b, ..] if zlib(*a, *b) => Some("zlib"),
        [0x1f, 0x8b, ..] => Some("gzip"),
        [b'B', b'Z', b'h', ..] => Some("bzip2"),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some("xz"),
        [0x5d, 0, ..] => Some("lzma"),
        [0x04, 0x22, 0x4d, 0x18, ..] => Some("lz4"),
        _ => None,
    }
}
