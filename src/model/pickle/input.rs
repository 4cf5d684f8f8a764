//! The bytes that the machine reads, forward only, with a bound on how many.
//!
//! It is not a buffer of the file: what is skipped is never read, so that weights cost a seek.
//!
//! Invariant: nothing is allocated for a length that the file merely claims; a piece of the window
//! at a time is read.

use crate::error::{Error, Kind, Result};
use crate::model::pb::Source;

/// What is read first after a jump: what follows skipped weights is small.
const FIRST_READ: usize = 4 << 10;
/// What is read at once when the reading goes on without jumps.
const LONGEST_READ: usize = 64 << 10;

/// Why the machine does not go on.
pub(super) enum Halt {
    /// The bytes are no pickle, or could not be read.
    Broken(Error),
    /// A limit was reached.
    Limit(String),
}

impl From<Error> for Halt {
    fn from(e: Error) -> Self {
        Self::Broken(e)
    }
}

pub(super) type Step<T> = std::result::Result<T, Halt>;

/// An error about the byte at an offset.
pub(super) fn broken(at: u64, what: impl std::fmt::Display) -> Halt {
    Halt::Broken(Error::new(Kind::Model, format!("broken pickle at byte {at}: {what}")))
}

/// A source being read from its beginning to its end.
pub(super) struct Input<'s> {
    source: &'s dyn Source,
    window: Vec<u8>,
    /// Offset of the window's first byte in the source.
    start: u64,
    /// The next byte in the window.
    next: usize,
    read_ahead: usize,
    left: u64,
}

impl<'s> Input<'s> {
    pub(super) fn new(source: &'s dyn Source, offset: u64, bytes: u64) -> Self {
        Self { source, window: Vec::new(), start: offset, next: 0, read_ahead: FIRST_READ, left: bytes }
    }

    /// Where the next byte lies in the source.
    pub(super) fn at(&self) -> u64 {
        self.start + self.next as u64
    }

    /// Loads the window that begins at the next byte; whether there is any.
    fn load(&mut self) -> Step<bool> {
        let at = self.at();
        if self.left == 0 {
            return Err(Halt::Limit("the limit of bytes that are read of one model".to_owned()));
        }
        let want = self.read_ahead.min(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.window.resize(want, 0);
        let got = self.source.read_at(at, &mut self.window)?;
        self.window.truncate(got);
        self.left -= got as u64;
        self.start = at;
        self.next = 0;
        self.read_ahead = (self.read_ahead * 2).min(LONGEST_READ);
        Ok(got > 0)
    }

    fn truncated(&self) -> Halt {
        broken(self.at(), "it ends before its end mark")
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Step<u8> {
        if self.next >= self.window.len() && !self.load()? {
            return Err(self.truncated());
        }
        let byte = self.window[self.next];
        self.next += 1;
        Ok(byte)
    }

    /// The next `N` bytes.
    pub(super) fn array<const N: usize>(&mut self) -> Step<[u8; N]> {
        let mut out = [0; N];
        if let Some(bytes) = self.window.get(self.next..self.next + N) {
            out.copy_from_slice(bytes);
            self.next += N;
        } else {
            for slot in &mut out {
                *slot = self.byte()?;
            }
        }
        Ok(out)
    }

    /// The next `n` bytes, of which the caller knows that they are not too many.
    pub(super) fn bytes(&mut self, n: usize) -> Step<Vec<u8>> {
        let mut out = Vec::new();
        while out.len() < n {
            if self.next >= self.window.len() && !self.load()? {
                return Err(self.truncated());
            }
            let have = &self.window[self.next..];
            let have = &have[..have.len().min(n - out.len())];
            out.extend_from_slice(have);
            self.next += have.len();
        }
        Ok(out)
    }

    /// Leaves bytes out. That they are there is seen at the next read: no pickle ends with them.
    pub(super) fn skip(&mut self, n: u64) -> Step<()> {
        let inside = usize::try_from(n).ok().filter(|n| *n <= self.window.len() - self.next);
        if let Some(n) = inside {
            self.next += n;
            return Ok(());
        }
        let Some(to) = self.at().checked_add(n) else { return Err(self.truncated()) };
        self.window.clear();
        self.start = to;
        self.next = 0;
        self.read_ahead = FIRST_READ;
        Ok(())
    }

    /// The next line without its end, or where it lies if it has more than `most` bytes.
    pub(super) fn line(&mut self, most: usize) -> Step<std::result::Result<Vec<u8>, (u64, u64)>> {
        let from = self.at();
        let mut out = Vec::new();
        let mut length = 0u64;
        loop {
            if self.next >= self.window.len() && !self.load()? {
                return Err(self.truncated());
            }
            let have = &self.window[self.next..];
            let end = have.iter().position(|b| *b == b'\n');
            let piece = &have[..end.unwrap_or(have.len())];
            length += piece.len() as u64;
            if out.len() + piece.len() <= most && out.len() as u64 + piece.len() as u64 == length {
                out.extend_from_slice(piece);
            }
            self.next += piece.len();
            if end.is_some() {
                self.next += 1;
                return Ok(if length > most as u64 { Err((from, length)) } else { Ok(out) });
            }
        }
    }

    /// Whether the source has a byte at an offset.
    pub(super) fn has(&self, at: u64) -> Result<bool> {
        Ok(self.source.read_at(at, &mut [0])? == 1)
    }
}
