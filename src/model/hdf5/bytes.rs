//! Bytes of an HDF5 file: at an address, and as fields one after the other.
//!
//! Addresses are relative to the superblock, and addresses and lengths are as wide as it says. It is
//! not a cache of the file: one small piece is kept, because what HDF5 calls an object are many
//! small pieces close to each other.
//!
//! Invariants: no more than the budget is ever read or given out, so that records which many others
//! refer to cost as often as they are asked for; and nothing is allocated for a length that reaches
//! beyond the file.

use std::cell::{Cell, RefCell};

use crate::error::{Error, Kind, Result};
use crate::model::pb::Source;

/// How much is read at once for small pieces.
const WINDOW: u64 = 4096;

/// A file that is being read, with what may still be read of it.
pub(super) struct Reader<'s> {
    source: &'s dyn Source,
    base: u64,
    pub(super) widths: Widths,
    left: Cell<u64>,
    window: RefCell<(u64, Vec<u8>)>,
}

/// How many bytes addresses and lengths have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Widths {
    pub(super) address: u8,
    pub(super) length: u8,
}

impl<'s> Reader<'s> {
    pub(super) fn new(source: &'s dyn Source, budget: u64) -> Self {
        let widths = Widths { address: 8, length: 8 };
        Self { source, base: 0, widths, left: Cell::new(budget), window: RefCell::new((0, Vec::new())) }
    }

    /// Sets where addresses count from, and how wide they are.
    pub(super) fn settle(&mut self, base: u64, widths: Widths) {
        self.base = base;
        self.widths = widths;
    }

    pub(super) fn left(&self) -> u64 {
        self.left.get()
    }

    /// The bytes at an address, all of them.
    pub(super) fn bytes(&self, address: u64, len: usize) -> Result<Vec<u8>> {
        let at = self.base.checked_add(address);
        let inside =
            at.and_then(|at| at.checked_add(len as u64)).is_some_and(|end| end <= self.source.size());
        let Some(at) = at.filter(|_| inside) else {
            return Err(broken(format!(
                "{len} bytes at {address} reach beyond the end of the file ({} bytes)",
                self.source.size()
            )));
        };
        let mut window = self.window.borrow_mut();
        let (start, held) = &mut *window;
        let offset = |start: u64, held: &[u8]| {
            at.checked_sub(start)
                .and_then(|o| usize::try_from(o).ok())
                .filter(|o| o.checked_add(len).is_some_and(|end| end <= held.len()))
        };
        // What is at hand is paid for too: many objects may refer to the same bytes.
        if let Some(o) = offset(*start, held) {
            self.pay(len as u64)?;
            return Ok(held[o..o + len].to_vec());
        }
        let want = (len as u64).max(WINDOW.min(self.source.size() - at));
        self.pay(want)?;
        let mut bytes = vec![0; usize::try_from(want).unwrap_or(len)];
        let got = self.source.read_at(at, &mut bytes)?;
        if got < len {
            return Err(broken(format!("the file ends at byte {}", at + got as u64)));
        }
        bytes.truncate(got);
        if want > WINDOW {
            return Ok(bytes);
        }
        let out = bytes[..len].to_vec();
        *start = at;
        *held = bytes;
        Ok(out)
    }

    /// Takes bytes from what may still be read.
    fn pay(&self, bytes: u64) -> Result<()> {
        let left = self.left.get().checked_sub(bytes);
        self.left.set(
            left.ok_or_else(|| Error::new(Kind::Model, "more metadata than may be read for one model"))?,
        );
        Ok(())
    }

    /// Fields over some bytes of this file.
    pub(super) fn fields<'b>(&self, bytes: &'b [u8]) -> Fields<'b> {
        Fields { bytes, at: 0, widths: self.widths }
    }
}

/// Little-endian fields, one after the other.
#[derive(Clone, Copy)]
pub(super) struct Fields<'b> {
    bytes: &'b [u8],
    at: usize,
    widths: Widths,
}

impl<'b> Fields<'b> {
    pub(super) fn take(&mut self, n: usize) -> Result<&'b [u8]> {
        let end = self.at.checked_add(n).filter(|end| *end <= self.bytes.len());
        let Some(end) = end else {
            return Err(broken(format!("a record ends after {} of {n} bytes", self.bytes.len() - self.at)));
        };
        let out = &self.bytes[self.at..end];
        self.at = end;
        Ok(out)
    }

    pub(super) fn skip(&mut self, n: usize) -> Result<()> {
        self.take(n).map(|_| ())
    }

    pub(super) fn rest(&self) -> &'b [u8] {
        &self.bytes[self.at..]
    }

    /// An unsigned number of `n` bytes, at most 8.
    pub(super) fn uint(&mut self, n: usize) -> Result<u64> {
        Ok(self.take(n)?.iter().rev().fold(0, |v, b| v << 8 | u64::from(*b)))
    }

    pub(super) fn u8(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn u16(&mut self) -> Result<u16> {
        let b = self.take(2)?;
        Ok(u16::from_le_bytes([b[0], b[1]]))
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        let b = self.take(4)?;
        Ok(u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
    }

    /// An address; `None` where it is the undefined one, all bits set.
    pub(super) fn address(&mut self) -> Result<Option<u64>> {
        let bytes = self.take(usize::from(self.widths.address))?;
        let undefined = bytes.iter().all(|b| *b == 0xff);
        let value = bytes.iter().rev().fold(0, |v, b| v << 8 | u64::from(*b));
        Ok((!undefined).then_some(value))
    }

    pub(super) fn length(&mut self) -> Result<u64> {
        self.uint(usize::from(self.widths.length))
    }

    /// Makes sure that a record begins with its four letters.
    pub(super) fn signature(&mut self, expected: &[u8; 4]) -> Result<()> {
        let found = self.take(4)?;
        if found == expected {
            return Ok(());
        }
        Err(broken(format!(
            "`{}` was expected where `{}` stands",
            crate::error::show_bytes(expected),
            crate::error::show_bytes(found)
        )))
    }
}

/// A file that is not what the format says.
pub(super) fn broken(what: impl std::fmt::Display) -> Error {
    Error::new(Kind::Model, format!("broken HDF5: {what}"))
}

/// The biggest power of two in a number, as its exponent; 0 for 0.
pub(super) fn log2(n: u64) -> u32 {
    n.checked_ilog2().unwrap_or(0)
}
