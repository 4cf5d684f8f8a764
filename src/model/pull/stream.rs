//! A source read from front to back through a buffer.

use crate::error::{Error, Kind, Result};
use crate::model::pb::Source;

/// What is read at once.
const BUFFER: u64 = 128 << 10;

/// A source being read forwards, of which only so much may be read.
pub struct Stream<'s> {
    source: &'s dyn Source,
    end: u64,
    at: u64,
    buffer: Vec<u8>,
    place: usize,
    left: u64,
    stopped: bool,
}

impl<'s> Stream<'s> {
    /// Begins at an offset; at most `limit` bytes are read, what is jumped over does not count.
    pub fn new(source: &'s dyn Source, at: u64, limit: u64) -> Self {
        let end = source.size();
        Self { source, end, at, buffer: Vec::new(), place: 0, left: limit, stopped: false }
    }

    /// The offset of the next byte.
    pub fn at(&self) -> u64 {
        self.at + self.place as u64
    }

    /// How many bytes follow.
    pub fn rest(&self) -> u64 {
        self.end.saturating_sub(self.at())
    }

    /// Whether the limit was met.
    pub fn stopped(&self) -> bool {
        self.stopped
    }

    /// The bytes at hand, at least one except at the end.
    pub fn chunk(&mut self) -> Result<&[u8]> {
        if self.place >= self.buffer.len() {
            self.at = self.at();
            self.place = 0;
            let want = BUFFER.min(self.end.saturating_sub(self.at));
            if want > self.left {
                self.stopped = true;
                self.buffer.clear();
                return Err(Error::new(Kind::Model, "more bytes than may be read of one model"));
            }
            self.left -= want;
            self.buffer.resize(usize::try_from(want).unwrap_or(0), 0);
            let got = self.source.read_at(self.at, &mut self.buffer)?;
            self.buffer.truncate(got);
        }
        Ok(&self.buffer[self.place..])
    }

    /// Passes over `n` bytes of the chunk at hand.
    pub fn consume(&mut self, n: usize) {
        self.place = self.buffer.len().min(self.place + n);
    }

    /// The next byte, which stays the next; `None` at the end.
    pub fn peek(&mut self) -> Result<Option<u8>> {
        Ok(self.chunk()?.first().copied())
    }

    /// The next byte; `None` at the end.
    pub fn byte(&mut self) -> Result<Option<u8>> {
        let byte = self.peek()?;
        self.place += usize::from(byte.is_some());
        Ok(byte)
    }

    /// Exactly `N` bytes.
    pub fn fixed<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut out = [0; N];
        for slot in &mut out {
            *slot = self.byte()?.ok_or_else(|| super::fault(self.at(), "the file ends inside a number"))?;
        }
        Ok(out)
    }

    /// Exactly `n` bytes, which the caller has bounded.
    pub fn bytes(&mut self, n: usize) -> Result<Vec<u8>> {
        if n as u64 > self.rest() {
            return Err(super::fault(
                self.at(),
                format_args!("{n} bytes are claimed, {} are left", self.rest()),
            ));
        }
        let mut out = Vec::with_capacity(n);
        while out.len() < n {
            let chunk = self.chunk()?;
            let part = chunk.len().min(n - out.len());
            if part == 0 {
                return Err(super::fault(self.at(), "the file is shorter than it was"));
            }
            out.extend_from_slice(&chunk[..part]);
            self.consume(part);
        }
        Ok(out)
    }

    /// Jumps over `n` bytes, which need not be read.
    pub fn jump(&mut self, n: u64) -> Result<()> {
        if n > self.rest() {
            return Err(super::fault(
                self.at(),
                format_args!("{n} bytes are claimed, {} are left", self.rest()),
            ));
        }
        let inside = (self.buffer.len() - self.place) as u64;
        if n <= inside {
            self.place += usize::try_from(n).unwrap_or(0);
        } else {
            self.at = self.at() + n;
            self.buffer.clear();
            self.place = 0;
        }
        Ok(())
    }
}
