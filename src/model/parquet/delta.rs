//! Values as differences from the ones before, which parquet's second writer version prefers.
//!
//! Integers are `DELTA_BINARY_PACKED`, texts `DELTA_LENGTH_BYTE_ARRAY` and `DELTA_BYTE_ARRAY`, whose
//! lengths are such integers (apache/parquet-format, Encodings.md). Dictionaries are not; those are in
//! `page.rs`.
//!
//! Invariants: nothing is allocated for a count that is merely claimed, and a number is unpacked only
//! when it is asked for, except lengths of texts, of which there are at most [`MAX_LENGTHS`].

use crate::model::parquet::Fault;

/// The most lengths of texts that are unpacked of one page.
const MAX_LENGTHS: u64 = 1 << 20;
/// The most numbers of one block; writers make blocks of 128.
const MAX_BLOCK: u64 = 1 << 16;

fn ends() -> Fault {
    Fault::broken("a page ends inside its differences")
}

/// Integers, each a difference from the one before.
pub(super) struct Deltas<'p> {
    rest: &'p [u8],
    /// How many numbers a miniblock has.
    mini: u64,
    /// How many miniblocks a block has.
    minis: usize,
    /// How many numbers are to come.
    left: u64,
    last: i64,
    /// Whether the first number, which lies in the head, was given out.
    begun: bool,
    least: i64,
    /// The widths of the block's miniblocks that are to come.
    widths: &'p [u8],
    /// The miniblock that is being read, its width and the next number in it.
    packed: &'p [u8],
    width: u8,
    next: u64,
}

impl<'p> Deltas<'p> {
    pub(super) fn new(bytes: &'p [u8]) -> Result<Self, Fault> {
        let mut rest = bytes;
        let block = varint(&mut rest)?;
        let minis = varint(&mut rest)?;
        let left = varint(&mut rest)?;
        let last = zigzag(varint(&mut rest)?);
        let mini = block.checked_div(minis).filter(|m| m * minis == block && m.is_multiple_of(8) && *m > 0);
        let mini = mini.filter(|_| block <= MAX_BLOCK);
        let mini = mini.ok_or_else(|| Fault::broken("differences are in blocks of no possible size"))?;
        let empty: &[u8] = &[];
        Ok(Self {
            rest,
            mini,
            minis: minis as usize,
            left,
            last,
            begun: false,
            least: 0,
            widths: empty,
            packed: empty,
            width: 0,
            next: mini,
        })
    }

    /// The next number; `None` after the last.
    pub(super) fn next_int(&mut self) -> Result<Option<i64>, Fault> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        if !std::mem::replace(&mut self.begun, true) {
            return Ok(Some(self.last));
        }
        if self.next == self.mini {
            self.miniblock()?;
        }
        let bit = self.next * u64::from(self.width);
        self.next += 1;
        let (at, shift) = ((bit / 8) as usize, bit % 8);
        let window = self.packed.get(at..).unwrap_or(&[]).iter().take(9).enumerate();
        let window = window.fold(0u128, |sum, (i, b)| sum | u128::from(*b) << (8 * i));
        let more = (window >> shift & ((1u128 << self.width) - 1)) as u64;
        self.last = self.last.wrapping_add(self.least).wrapping_add(more.cast_signed());
        Ok(Some(self.last))
    }

    fn miniblock(&mut self) -> Result<(), Fault> {
        if self.widths.is_empty() {
            self.least = zigzag(varint(&mut self.rest)?);
            (self.widths, self.rest) = self.rest.split_at_checked(self.minis).ok_or_else(ends)?;
        }
        let (width, widths) = self.widths.split_first().ok_or_else(ends)?;
        if *width > 64 {
            return Err(Fault::broken("a difference has more than 64 bits"));
        }
        let bytes = (self.mini / 8 * u64::from(*width)) as usize;
        (self.packed, self.rest) = self.rest.split_at_checked(bytes).ok_or_else(ends)?;
        (self.width, self.widths, self.next) = (*width, widths, 0);
        Ok(())
    }

    /// All numbers as lengths, and the bytes behind them.
    fn lengths(mut self) -> Result<(Vec<usize>, &'p [u8]), Fault> {
        if self.left > MAX_LENGTHS {
            return Err(Fault::Limit(format!("a page has more than {MAX_LENGTHS} texts")));
        }
        let mut all = Vec::new();
        while let Some(n) = self.next_int()? {
            all.push(usize::try_from(n).map_err(|_| Fault::broken("a text has a negative length"))?);
        }
        Ok((all, self.rest))
    }
}

/// Texts, each beginning as the one before.
pub(super) struct Texts<'p> {
    /// How many bytes each has in common with the one before; none where that is not told.
    prefixes: std::vec::IntoIter<usize>,
    lengths: std::vec::IntoIter<usize>,
    rest: &'p [u8],
    last: Vec<u8>,
    shared: bool,
}

impl<'p> Texts<'p> {
    /// Lengths, then the bytes of all texts; with `shared`, before them how much each has in common
    /// with the one before.
    pub(super) fn new(bytes: &'p [u8], shared: bool) -> Result<Self, Fault> {
        let (prefixes, bytes) = if shared { Deltas::new(bytes)?.lengths()? } else { (Vec::new(), bytes) };
        let (lengths, rest) = Deltas::new(bytes)?.lengths()?;
        if shared && prefixes.len() != lengths.len() {
            return Err(Fault::broken("a page has more beginnings than texts, or fewer"));
        }
        let (prefixes, lengths) = (prefixes.into_iter(), lengths.into_iter());
        Ok(Self { prefixes, lengths, rest, last: Vec::new(), shared })
    }

    /// The next text; `None` after the last.
    pub(super) fn next_text(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        let Some(length) = self.lengths.next() else { return Ok(None) };
        let prefix = if self.shared { self.prefixes.next().unwrap_or(0) } else { 0 };
        if prefix > self.last.len() {
            return Err(Fault::broken("a text has more in common with the one before than that has"));
        }
        let (own, rest) = self.rest.split_at_checked(length).ok_or_else(ends)?;
        self.rest = rest;
        self.last.truncate(prefix);
        self.last.extend_from_slice(own);
        Ok(Some(self.last.clone()))
    }
}

fn varint(bytes: &mut &[u8]) -> Result<u64, Fault> {
    let mut value = 0u64;
    for i in 0..10 {
        let (byte, rest) = bytes.split_first().ok_or_else(ends)?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(7 * i).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Fault::broken("a number has more than 64 bits"))
}

fn zigzag(n: u64) -> i64 {
    (n >> 1).cast_signed() ^ -(n & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ints(bytes: &[u8]) -> Result<Vec<i64>, Fault> {
        let mut deltas = Deltas::new(bytes)?;
        let mut all = Vec::new();
        while let Some(n) = deltas.next_int()? {
            all.push(n);
            assert!(all.len() < 10_000);
        }
        Ok(all)
    }

    /// Blocks of 128 in four parts, as many numbers, and the first.
    fn head(count: u8, first: u8) -> Vec<u8> {
        vec![0x80, 0x01, 4, count, first]
    }

    #[test]
    fn numbers_are_added_up() {
        // The examples of Encodings.md: 1 to 5; and 7, 5, 3, 1, 2, 3, 4, 5.
        let five = [head(5, 2), vec![2, 0, 0, 0, 0]].concat();
        assert_eq!(ints(&five).unwrap(), [1, 2, 3, 4, 5]);
        let down = [head(8, 14), vec![3, 2, 0, 0, 0, 0xc0, 0x3f, 0, 0, 0, 0, 0, 0]].concat();
        assert_eq!(ints(&down).unwrap(), [7, 5, 3, 1, 2, 3, 4, 5]);
        assert_eq!(ints(&head(1, 3)).unwrap(), [-2]);
        assert_eq!(ints(&head(0, 0)).unwrap(), Vec::<i64>::new());
    }

    #[test]
    fn texts_share_their_beginnings() {
        // Numbers of three bits each, from the right, over a least difference of -2.
        let pack = |first: u8, over: [u16; 3]| {
            let bits = over[0] | over[1] << 3 | over[2] << 6;
            [head(4, first * 2), vec![3, 3, 0, 0, 0], bits.to_le_bytes().to_vec(), vec![0; 10]].concat()
        };
        // "axis", "axle", "babble", "babyhood" have 0, 2, 0, 3 in common, and 4, 2, 6, 5 of their own.
        let (prefixes, lengths) = (pack(0, [4, 0, 5]), pack(4, [0, 6, 1]));
        let page = [prefixes, lengths.clone(), b"axislebabbleyhood".to_vec()].concat();
        let all = |bytes: &[u8], shared| {
            let mut texts = Texts::new(bytes, shared).unwrap();
            let mut all = Vec::new();
            while let Some(t) = texts.next_text().unwrap() {
                all.push(String::from_utf8(t).unwrap());
            }
            all
        };
        assert_eq!(all(&page, true), ["axis", "axle", "babble", "babyhood"]);
        let page = [lengths, b"axislebabbleyhood".to_vec()].concat();
        assert_eq!(all(&page, false), ["axis", "le", "babble", "yhood"]);
        // The first has nothing before it.
        let early = [pack(1, [2; 3]), pack(1, [2; 3]), b"abcd".to_vec()].concat();
        assert!(Texts::new(&early, true).unwrap().next_text().is_err());
    }

    #[test]
    fn lies_are_refused() {
        for bad in [
            &b""[..],
            b"\x80\x01",
            // No parts; parts that are no whole blocks; a block that is too large; 65 bits.
            b"\x80\x01\x00\x05\x02",
            b"\x80\x01\x03\x05\x02",
            b"\x80\x80\x80\x80\x01\x04\x05\x02",
            b"\x80\x01\x04\x05\x02\x02\x41\x00\x00\x00",
            b"\x80\x01\x04\x05\x02\x02\x08\x00\x00\x00\x01",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert!(ints(bad).is_err(), "{bad:?}");
        }
        // Two thousand million lengths in a few bytes.
        let many = [&b"\x80\x01\x04\xff\xff\xff\xff\x07\x02"[..], &[0; 5]].concat();
        assert!(matches!(Texts::new(&many, false), Err(Fault::Limit(_))));
    }
}
