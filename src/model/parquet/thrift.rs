//! Thrift's compact protocol, as far as parquet's structures use it.
//!
//! It is a reader over bytes in memory, and knows no structure: those who read one ask for the
//! fields by number (thrift/doc/specs/thrift-compact-protocol.md).
//!
//! Invariants: a length never reaches beyond the bytes, what is skipped nests at most [`MAX_DEPTH`]
//! deep, and nothing is allocated for a count that the bytes merely claim.

use crate::model::parquet::Fault;

/// How deep structures may nest; parquet's own nest eight deep.
const MAX_DEPTH: u8 = 24;
/// The longest varint in bytes.
const MAX_VARINT: usize = 10;

/// The type of a field or of a list's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    True,
    False,
    Byte,
    Int,
    Double,
    Binary,
    List,
    Map,
    Struct,
}

impl Wire {
    fn new(bits: u8) -> Result<Self, Fault> {
        Ok(match bits {
            1 => Self::True,
            2 => Self::False,
            3 => Self::Byte,
            4..=6 => Self::Int,
            7 => Self::Double,
            8 => Self::Binary,
            9 | 10 => Self::List,
            11 => Self::Map,
            12 => Self::Struct,
            other => return Err(Fault::broken(format!("{other} is no type of thrift"))),
        })
    }
}

/// Bytes being read.
pub(super) struct Thrift<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Thrift<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes were read.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    fn short(&self) -> Fault {
        Fault::broken(format!("the structure ends inside a value, at byte {}", self.at))
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        let byte = *self.bytes.get(self.at).ok_or_else(|| self.short())?;
        self.at += 1;
        Ok(byte)
    }

    fn take(&mut self, n: usize) -> Result<&'b [u8], Fault> {
        let end = self.at.checked_add(n).filter(|e| *e <= self.bytes.len()).ok_or_else(|| self.short())?;
        let piece = &self.bytes[self.at..end];
        self.at = end;
        Ok(piece)
    }

    fn varint(&mut self) -> Result<u64, Fault> {
        let mut value = 0u64;
        for i in 0..MAX_VARINT {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f).checked_shl(7 * i as u32).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Fault::broken("a number has more than 64 bits"))
    }

    /// The next field of a structure: its number and type; `None` at the structure's end. `last` is
    /// the number of the one before, 0 at first.
    pub(super) fn field(&mut self, last: &mut i16) -> Result<Option<(i16, Wire)>, Fault> {
        let head = self.byte()?;
        if head == 0 {
            return Ok(None);
        }
        let wire = Wire::new(head & 15)?;
        *last = match head >> 4 {
            0 => i16::try_from(self.int()?).map_err(|_| Fault::broken("a field's number is too large"))?,
            delta => last
                .checked_add(i16::from(delta))
                .ok_or_else(|| Fault::broken("a field's number is too large"))?,
        };
        Ok(Some((*last, wire)))
    }

    /// An integer of any width.
    pub(super) fn int(&mut self) -> Result<i64, Fault> {
        let n = self.varint()?;
        Ok((n >> 1).cast_signed() ^ -(n & 1).cast_signed())
    }

    /// A text; what is not UTF-8 in it is replaced.
    pub(super) fn text(&mut self, cap: usize) -> Result<String, Fault> {
        let bytes = self.binary()?;
        if bytes.len() > cap {
            return Err(Fault::Limit(format!("a text has {} bytes, at most {cap} are read", bytes.len())));
        }
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }

    fn binary(&mut self) -> Result<&'b [u8], Fault> {
        let n = usize::try_from(self.varint()?).map_err(|_| self.short())?;
        self.take(n)
    }

    /// The head of a list: how many elements of which type. Each has at least one byte.
    pub(super) fn list(&mut self) -> Result<(usize, Wire), Fault> {
        let head = self.byte()?;
        let count = match head >> 4 {
            15 => self.varint()?,
            n => u64::from(n),
        };
        let count = usize::try_from(count).ok().filter(|n| *n <= self.bytes.len() - self.at);
        let count = count.ok_or_else(|| Fault::broken("a list claims more elements than there are bytes"))?;
        Ok((count, Wire::new(head & 15)?))
    }

    /// Passes over a value.
    pub(super) fn skip(&mut self, wire: Wire) -> Result<(), Fault> {
        self.skip_at(wire, 0)
    }

    /// As [`Thrift::skip`] for a list's element: a bool has a byte of its own there.
    pub(super) fn skip_element(&mut self, wire: Wire) -> Result<(), Fault> {
        self.element(wire, 0)
    }

    fn element(&mut self, wire: Wire, depth: u8) -> Result<(), Fault> {
        match wire {
            Wire::True | Wire::False => self.byte().map(drop),
            wire => self.skip_at(wire, depth),
        }
    }

    fn skip_at(&mut self, wire: Wire, depth: u8) -> Result<(), Fault> {
        if depth >= MAX_DEPTH {
            return Err(Fault::broken(format!("structures are nested more than {MAX_DEPTH} deep")));
        }
        match wire {
            Wire::True | Wire::False => {}
            Wire::Byte => drop(self.byte()?),
            Wire::Int => drop(self.varint()?),
            Wire::Double => drop(self.take(8)?),
            Wire::Binary => drop(self.binary()?),
            Wire::List => {
                let (count, wire) = self.list()?;
                for _ in 0..count {
                    self.element(wire, depth + 1)?;
                }
            }
            Wire::Map => {
                let count = self.varint()?;
                if count > 0 {
                    let kinds = self.byte()?;
                    let (key, value) = (Wire::new(kinds >> 4)?, Wire::new(kinds & 15)?);
                    // A pair has at least two bytes, so that this ends with the bytes.
                    for _ in 0..count {
                        self.element(key, depth + 1)?;
                        self.element(value, depth + 1)?;
                    }
                }
            }
            Wire::Struct => {
                let mut last = 0;
                while let Some((_, wire)) = self.field(&mut last)? {
                    self.skip_at(wire, depth + 1)?;
                }
            }
        }
        Ok(())
    }
}
