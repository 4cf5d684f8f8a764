//! Flatbuffers without a schema: tables, vectors and texts by their slots.
//!
//! Reading is lazy: only the pieces of the file that are asked for are read, so that the weights of
//! a model are never touched. It knows no table's meaning; those who read a format know its slots.
//! A slot is the byte offset in the vtable, as `flatc` writes it (the first field is 4).
//!
//! Invariants: no more than the budget is ever read or copied, every offset, vtable and length is checked
//! against the buffer before it is used, and nothing is allocated for a length that the file merely
//! claims. Tables refer to each other only as deep as the caller asks: there is no recursion here.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use crate::error::{Error, Kind, Result};
use crate::model::pb::Source;

/// What is read at once: tables are small and lie apart, between weights.
const PAGE: usize = 1024;
/// How many pages are kept at once.
const MAX_PAGES: usize = 8192;
/// How many tables of one buffer are read at most.
const MAX_TABLES: u32 = 1_000_000;

/// A buffer being read.
pub struct Flat<'s> {
    source: &'s dyn Source,
    base: u64,
    size: u64,
    pages: RefCell<BTreeMap<u64, Vec<u8>>>,
    left: Cell<u64>,
    tables: Cell<u32>,
}

/// One table.
#[derive(Clone, Copy)]
pub struct Table<'f> {
    flat: &'f Flat<'f>,
    at: u64,
    size: u16,
    vtable: u64,
    vsize: u16,
}

/// One vector, whose elements are all in the buffer.
#[derive(Clone, Copy)]
pub struct Vector<'f> {
    flat: &'f Flat<'f>,
    at: u64,
    length: u64,
}

fn fault(at: u64, what: impl std::fmt::Display) -> Error {
    Error::new(Kind::Model, format!("broken flatbuffer at byte {at}: {what}"))
}

impl<'s> Flat<'s> {
    /// The buffer of `size` bytes that begins at an offset of a source, of which at most `budget`
    /// bytes may be read.
    pub fn new(source: &'s dyn Source, base: u64, size: u64, budget: u64) -> Self {
        let size = size.min(source.size().saturating_sub(base));
        Self {
            source,
            base,
            size,
            pages: RefCell::default(),
            left: Cell::new(budget),
            tables: Cell::new(MAX_TABLES),
        }
    }

    fn page(&self, number: u64) -> Result<()> {
        let mut pages = self.pages.borrow_mut();
        if pages.contains_key(&number) {
            return Ok(());
        }
        if pages.len() >= MAX_PAGES {
            pages.clear();
        }
        self.pay(PAGE)?;
        let start = number * PAGE as u64;
        let want = (self.size - start).min(PAGE as u64);
        let mut page = vec![0; usize::try_from(want).unwrap_or(PAGE)];
        let got = self.source.read_at(self.base + start, &mut page)?;
        page.truncate(got);
        pages.insert(number, page);
        Ok(())
    }

    /// Takes bytes from what may still be read.
    fn pay(&self, bytes: usize) -> Result<()> {
        let left = self.left.get().checked_sub(bytes as u64);
        self.left.set(
            left.ok_or_else(|| Error::new(Kind::Model, "more metadata than may be read for one model"))?,
        );
        Ok(())
    }

    /// Copies bytes that have to be in the buffer. They are paid for each time, since any number of
    /// tables may refer to them.
    fn copy(&self, at: u64, out: &mut [u8]) -> Result<()> {
        let end = at.checked_add(out.len() as u64).filter(|e| *e <= self.size);
        if end.is_none() {
            return Err(fault(at, format_args!("{} bytes reach beyond the end at {}", out.len(), self.size)));
        }
        self.pay(out.len())?;
        let mut done = 0;
        while done < out.len() {
            let here = at + done as u64;
            let number = here / PAGE as u64;
            self.page(number)?;
            let pages = self.pages.borrow();
            let page = pages.get(&number).map_or(&[][..], Vec::as_slice);
            let from = usize::try_from(here % PAGE as u64).unwrap_or(PAGE);
            let Some(part) = page.get(from..).filter(|p| !p.is_empty()) else {
                return Err(fault(here, "the file is shorter than it was"));
            };
            let n = part.len().min(out.len() - done);
            out[done..done + n].copy_from_slice(&part[..n]);
            done += n;
        }
        Ok(())
    }

    fn fixed<const N: usize>(&self, at: u64) -> Result<[u8; N]> {
        let mut out = [0; N];
        self.copy(at, &mut out)?;
        Ok(out)
    }

    fn u32(&self, at: u64) -> Result<u32> {
        self.fixed(at).map(u32::from_le_bytes)
    }

    /// Where the offset that is stored at a place leads to.
    fn follow(&self, at: u64) -> Result<u64> {
        let offset = self.u32(at)?;
        at.checked_add(u64::from(offset))
            .filter(|to| offset != 0 && *to < self.size)
            .ok_or_else(|| fault(at, format_args!("an offset of {offset} leads out of the buffer")))
    }

    fn table_at(&self, at: u64) -> Result<Table<'_>> {
        let left = self.tables.get().checked_sub(1);
        self.tables.set(left.ok_or_else(|| fault(at, format_args!("more than {MAX_TABLES} tables")))?);
        let back = i32::from_le_bytes(self.fixed(at)?);
        let vtable = i64::try_from(at).ok().and_then(|a| a.checked_sub(i64::from(back)));
        let vtable = vtable.and_then(|v| u64::try_from(v).ok());
        let vtable = vtable.ok_or_else(|| fault(at, "a table's vtable lies before the buffer"))?;
        let vsize = u16::from_le_bytes(self.fixed(vtable)?);
        let size = u16::from_le_bytes(self.fixed(vtable.saturating_add(2))?);
        let fits = |at: u64, size: u16| at.checked_add(u64::from(size)).is_some_and(|end| end <= self.size);
        if vsize < 4 || vsize % 2 != 0 || size < 4 || !fits(vtable, vsize) || !fits(at, size) {
            return Err(fault(at, "a table does not fit its buffer"));
        }
        Ok(Table { flat: self, at, size, vtable, vsize })
    }

    /// The root table.
    pub fn root(&self) -> Result<Table<'_>> {
        self.table_at(self.follow(0)?)
    }

    fn vector_at(&self, at: u64, width: u64) -> Result<Vector<'_>> {
        let length = u64::from(self.u32(at)?);
        let room = self.size.saturating_sub(at).saturating_sub(4);
        if length.checked_mul(width).is_none_or(|n| n > room) {
            return Err(fault(at, format_args!("a vector claims {length} elements, {room} bytes are left")));
        }
        Ok(Vector { flat: self, at: at + 4, length })
    }

    fn text_at(&self, at: u64, cap: usize) -> Result<String> {
        let bytes = self.vector_at(at, 1)?;
        let Some(size) = usize::try_from(bytes.length).ok().filter(|n| *n <= cap) else {
            return Err(fault(at, format_args!("a text has {} bytes, at most {cap} are read", bytes.length)));
        };
        let mut text = vec![0; size];
        self.copy(bytes.at, &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

impl<'f> Table<'f> {
    /// Where the field of a slot lies; `None` where the table leaves it out.
    fn field(&self, slot: u16, width: u16) -> Result<Option<u64>> {
        if slot.checked_add(2).is_none_or(|end| end > self.vsize) {
            return Ok(None);
        }
        let offset = u16::from_le_bytes(self.flat.fixed(self.vtable + u64::from(slot))?);
        if offset == 0 {
            return Ok(None);
        }
        if offset.checked_add(width).is_none_or(|end| end > self.size) {
            return Err(fault(self.at, format_args!("a field lies outside of its table, at {offset}")));
        }
        Ok(Some(self.at + u64::from(offset)))
    }

    fn scalar<const N: usize>(&self, slot: u16) -> Result<Option<[u8; N]>> {
        match self.field(slot, N as u16)? {
            Some(at) => self.flat.fixed(at).map(Some),
            None => Ok(None),
        }
    }

    /// A byte, or the default.
    pub fn u8(&self, slot: u16, default: u8) -> Result<u8> {
        Ok(self.scalar(slot)?.map_or(default, u8::from_le_bytes))
    }

    /// An integer, or the default.
    pub fn i32(&self, slot: u16, default: i32) -> Result<i32> {
        Ok(self.scalar(slot)?.map_or(default, i32::from_le_bytes))
    }

    /// An unsigned integer, or the default.
    pub fn u32(&self, slot: u16, default: u32) -> Result<u32> {
        Ok(self.scalar(slot)?.map_or(default, u32::from_le_bytes))
    }

    /// A table that this one refers to.
    pub fn table(&self, slot: u16) -> Result<Option<Self>> {
        match self.field(slot, 4)? {
            Some(at) => self.flat.table_at(self.flat.follow(at)?).map(Some),
            None => Ok(None),
        }
    }

    /// A text of at most `cap` bytes.
    pub fn text(&self, slot: u16, cap: usize) -> Result<Option<String>> {
        match self.field(slot, 4)? {
            Some(at) => self.flat.text_at(self.flat.follow(at)?, cap).map(Some),
            None => Ok(None),
        }
    }

    /// A vector whose elements have `width` bytes each; those of texts and tables have 4.
    pub fn vector(&self, slot: u16, width: u8) -> Result<Option<Vector<'f>>> {
        match self.field(slot, 4)? {
            Some(at) => self.flat.vector_at(self.flat.follow(at)?, u64::from(width)).map(Some),
            None => Ok(None),
        }
    }

    /// A vector of at most `cap` integers of four bytes.
    pub fn ints(&self, slot: u16, cap: usize) -> Result<Option<Vec<i32>>> {
        let Some(vector) = self.vector(slot, 4)? else { return Ok(None) };
        if vector.length > cap as u64 {
            return Err(fault(vector.at, format_args!("a vector has more than {cap} numbers")));
        }
        (0..vector.length)
            .map(|i| self.flat.fixed(vector.at + 4 * i).map(i32::from_le_bytes))
            .collect::<Result<_>>()
            .map(Some)
    }
}

impl<'f> Vector<'f> {
    /// How many elements it has.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Where its first element lies in the source; for a vector of bytes that is a buffer itself.
    pub fn start(&self) -> u64 {
        self.flat.base.saturating_add(self.at)
    }

    fn place(&self, index: u64) -> Result<u64> {
        let place = index.checked_mul(4).and_then(|o| self.at.checked_add(o));
        place.filter(|_| index < self.length).ok_or_else(|| fault(self.at, "an index beyond a vector's end"))
    }

    /// The integer at an index of a vector of integers of eight bytes.
    pub fn i64(&self, index: u64) -> Result<i64> {
        let place = index.checked_mul(8).and_then(|o| self.at.checked_add(o)).filter(|_| index < self.length);
        let place = place.ok_or_else(|| fault(self.at, "an index beyond a vector's end"))?;
        self.flat.fixed(place).map(i64::from_le_bytes)
    }

    /// The table at an index.
    pub fn table(&self, index: u64) -> Result<Table<'f>> {
        self.flat.table_at(self.flat.follow(self.place(index)?)?)
    }

    /// The text at an index, of at most `cap` bytes.
    pub fn text(&self, index: u64, cap: usize) -> Result<String> {
        self.flat.text_at(self.flat.follow(self.place(index)?)?, cap)
    }

    /// Its tables, at most `cap`.
    pub fn tables(&self, cap: usize) -> impl Iterator<Item = Result<Table<'f>>> + use<'f> {
        let this = *self;
        (0..self.length.min(cap as u64)).map(move |i| this.table(i))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{ 4: i32 = 7, 6: "abc", 8: [1, 2] }`
    fn example() -> Vec<u8> {
        let mut b = Vec::new();
        b.extend(16u32.to_le_bytes()); // root
        b.extend([10, 0, 16, 0, 4, 0, 8, 0, 12, 0, 0, 0]); // vtable at 4
        b.extend(12i32.to_le_bytes()); // table at 16
        b.extend(7i32.to_le_bytes());
        b.extend(8u32.to_le_bytes()); // text at 24 + 8
        b.extend(12u32.to_le_bytes()); // vector at 28 + 12
        b.extend(3u32.to_le_bytes());
        b.extend(b"abc\0");
        b.extend([2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0]);
        b
    }

    fn read(bytes: &[u8]) -> Result<(i32, Option<String>, Option<Vec<i32>>)> {
        let flat = Flat::new(&bytes, 0, bytes.len() as u64, 1 << 20);
        let root = flat.root()?;
        assert_eq!(root.u32(10, 5)?, 5);
        Ok((root.i32(4, 0)?, root.text(6, 100)?, root.ints(8, 100)?))
    }

    #[test]
    fn fields_are_read_by_their_slots() {
        let (number, text, ints) = read(&example()).unwrap();
        assert_eq!((number, text.as_deref(), ints), (7, Some("abc"), Some(vec![1, 2])));
    }

    #[test]
    fn damage_is_an_error_and_never_a_panic() {
        let good = example();
        for end in 0..good.len() {
            assert!(read(&good[..end]).is_err(), "{end}");
        }
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                if (8..14).contains(&at) {
                    continue;
                } // A moved field may reveal others: any answer is fine.
                drop(read(&bad));
            }
        }
    }

    #[test]
    fn the_budget_is_kept() {
        let bytes = example();
        let flat = Flat::new(&bytes, 0, bytes.len() as u64, 100);
        assert!(flat.root().err().unwrap().message().contains("may be read"));
    }

    #[test]
    fn a_text_that_many_refer_to_is_paid_for_each_time() {
        let bytes = example();
        let flat = Flat::new(&bytes, 0, bytes.len() as u64, 4096);
        let root = flat.root().unwrap();
        let times = (0..10_000).take_while(|_| root.text(6, 100).is_ok()).count();
        assert!((50..1000).contains(&times), "{times}");
    }
}
