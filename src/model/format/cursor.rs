//! Numbers and texts of a binary file, read from its beginning on.
//!
//! A [`Cursor`] is not a parser of any format: it knows how to read little and big endian numbers, how
//! to step over bytes without reading them, and when to stop.
//!
//! Invariants: no more than the budget is ever read, nothing is read beyond the end, and no memory is
//! taken for a length that the file merely claims.

use std::io;

use crate::error::{Error, Kind, Result};
use crate::model::pb::Source;

/// What is read first after a jump; the next header is often all that is wanted there.
const FIRST_READ: usize = 512;
/// What is read at once when the reading goes on without jumps.
const LONGEST_READ: usize = 64 * 1024;

/// A place in a source, with what may still be read of it.
pub(crate) struct Cursor<'s> {
    source: &'s dyn Source,
    at: u64,
    end: u64,
    window: Vec<u8>,
    window_at: u64,
    next_read: usize,
    left: u64,
    ran_out: bool,
    big_endian: bool,
}

macro_rules! numbers {
    ($($name:ident $type:ty, $doc:literal;)*) => {
        $(#[doc = $doc]
        pub(crate) fn $name(&mut self) -> Result<$type> {
            let bytes = self.array()?;
            Ok(if self.big_endian { <$type>::from_be_bytes(bytes) } else { <$type>::from_le_bytes(bytes) })
        })*
    };
}

impl<'s> Cursor<'s> {
    /// Begins at byte 0 of a source, of which at most `budget` bytes may be read.
    pub(crate) fn new(source: &'s dyn Source, budget: u64) -> Self {
        Self {
            source,
            at: 0,
            end: source.size(),
            window: Vec::new(),
            window_at: 0,
            next_read: FIRST_READ,
            left: budget,
            ran_out: false,
            big_endian: false,
        }
    }

    /// Reads numbers from here on with the highest byte first.
    pub(crate) fn set_big_endian(&mut self) {
        self.big_endian = true;
    }

    /// The offset of the next byte.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// How many bytes follow.
    pub(crate) fn rest(&self) -> u64 {
        self.end - self.at
    }

    /// How many bytes may still be read.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    /// Whether a reading failed because the budget was at its end.
    pub(crate) fn ran_out(&self) -> bool {
        self.ran_out
    }

    /// Ends the source `n` bytes from here.
    pub(crate) fn limit(&mut self, n: u64) -> Result<()> {
        self.need(n)?;
        self.end = self.at + n;
        Ok(())
    }

    /// Steps over bytes without reading them.
    pub(crate) fn skip(&mut self, n: u64) -> Result<()> {
        self.need(n)?;
        self.at += n;
        Ok(())
    }

    /// The next `n` bytes.
    pub(crate) fn bytes(&mut self, n: u64) -> Result<Vec<u8>> {
        self.need(n)?;
        if n > self.left.saturating_add(self.window.len() as u64) {
            self.ran_out = true;
            return Err(over_budget());
        }
        // `need` has made sure that the source has them.
        let mut bytes = vec![0; usize::try_from(n).map_err(|_| over_budget())?];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// The next `n` bytes as text.
    pub(crate) fn text(&mut self, n: u64) -> Result<String> {
        let at = self.at;
        String::from_utf8(self.bytes(n)?)
            .map_err(|_| Error::new(Kind::Model, format!("the text at byte {at} is not UTF-8")))
    }

    numbers! {
        u8 u8, "The next byte.";
        u16 u16, "The next two bytes as a number.";
        u32 u32, "The next four bytes as a number.";
        u64 u64, "The next eight bytes as a number.";
        i8 i8, "The next byte as a signed number.";
        i16 i16, "The next two bytes as a signed number.";
        i32 i32, "The next four bytes as a signed number.";
        i64 i64, "The next eight bytes as a signed number.";
        f32 f32, "The next four bytes as a real number.";
        f64 f64, "The next eight bytes as a real number.";
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.need(N as u64)?;
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn need(&self, n: u64) -> Result<()> {
        if n <= self.rest() {
            return Ok(());
        }
        let (at, rest) = (self.at, self.rest());
        Err(Error::new(Kind::Model, format!("at byte {at} there should be {n} bytes, only {rest} follow")))
    }

    /// Fills a buffer, of which [`Cursor::need`] has made sure that it can be filled.
    fn fill(&mut self, out: &mut [u8]) -> Result<()> {
        let mut done = 0;
        while done < out.len() {
            let piece = self.piece()?;
            let n = piece.len().min(out.len() - done);
            out[done..done + n].copy_from_slice(&piece[..n]);
            self.at += n as u64;
            done += n;
        }
        Ok(())
    }

    /// What is in memory from here on; never empty before the end.
    fn piece(&mut self) -> Result<&[u8]> {
        let inside = |w: &Self| {
            let offset = usize::try_from(w.at.checked_sub(w.window_at)?).ok()?;
            (offset < w.window.len()).then_some(offset)
        };
        if inside(self).is_none() {
            // A short step over a text is still reading on.
            let jump = self.at.checked_sub(self.window_at + self.window.len() as u64);
            let sequential = jump.is_some_and(|j| j < self.next_read as u64);
            self.next_read = if sequential { (self.next_read * 2).min(LONGEST_READ) } else { FIRST_READ };
            let want = (self.next_read as u64).min(self.source.size().saturating_sub(self.at));
            let Some(left) = self.left.checked_sub(want) else {
                self.ran_out = true;
                return Err(over_budget());
            };
            self.left = left;
            self.window.resize(usize::try_from(want).unwrap_or(0), 0);
            let got = self.source.read_at(self.at, &mut self.window)?;
            self.window.truncate(got);
            self.window_at = self.at;
        }
        match inside(self) {
            Some(offset) => Ok(&self.window[offset..]),
            None => Err(Error::new(Kind::Model, format!("the file ends at byte {}", self.at))),
        }
    }
}

impl io::Read for Cursor<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = usize::try_from(self.rest()).unwrap_or(usize::MAX).min(out.len());
        if n == 0 {
            return Ok(0);
        }
        let piece = self.piece().map_err(Error::into_io)?;
        let n = n.min(piece.len());
        out[..n].copy_from_slice(&piece[..n]);
        self.at += n as u64;
        Ok(n)
    }
}

fn over_budget() -> Error {
    Error::new(Kind::Model, "more metadata than may be read for one model")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_both_orders_and_texts() {
        let bytes: &[u8] = &[1, 0, 2, 0, 0, 0, b'a', b'b', 0, 3, 0xff];
        let mut c = Cursor::new(&bytes, 100);
        assert_eq!((c.u16().unwrap(), c.u32().unwrap()), (1, 2));
        assert_eq!(c.text(2).unwrap(), "ab");
        c.set_big_endian();
        assert_eq!(c.u16().unwrap(), 3);
        assert!(c.text(1).unwrap_err().message().contains("byte 10"));
    }

    #[test]
    fn lengths_are_checked_before_memory_is_taken() {
        let bytes: &[u8] = &[0; 16];
        let mut c = Cursor::new(&bytes, 100);
        assert!(c.bytes(u64::MAX).is_err());
        assert!(c.skip(17).is_err());
        c.skip(15).unwrap();
        assert!(c.u16().unwrap_err().message().contains("only 1 follow"));
        assert_eq!(c.rest(), 1);
    }

    #[test]
    fn the_budget_bounds_what_is_read() {
        let bytes = vec![7; 1 << 20];
        let mut c = Cursor::new(&bytes, 4096);
        assert!(c.bytes(1 << 20).is_err());
        c.skip(1 << 19).unwrap();
        assert_eq!(c.u8().unwrap(), 7);
        assert!(io::copy(&mut c, &mut io::sink()).is_err());
    }
}
