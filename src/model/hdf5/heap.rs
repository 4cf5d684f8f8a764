//! Heaps: where HDF5 keeps what has no fixed size. Local heaps hold the names of old groups, global
//! heaps the texts of attributes, fractal heaps links and attributes in dense storage.
//!
//! Invariant: an object is only ever a range of the heap that holds it, and how deep a fractal heap
//! nests is bounded by the size of its address space.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::error::Result;
use crate::model::hdf5::btree;
use crate::model::hdf5::bytes::{Reader, broken, log2};

/// The most blocks of a fractal heap that are gone down through to one object.
const MAX_DEPTH: usize = 32;
/// The longest name in bytes.
const MAX_NAME: usize = 4096;

/// The data of a local heap.
pub(super) fn local(reader: &Reader<'_>, address: u64) -> Result<Vec<u8>> {
    let length = usize::from(reader.widths.length);
    let head = reader.bytes(address, 8 + 2 * length + usize::from(reader.widths.address))?;
    let mut f = reader.fields(&head);
    f.signature(b"HEAP")?;
    f.skip(4)?;
    let size = usize::try_from(f.length()?).map_err(|_| broken("a length out of range"))?;
    f.skip(length)?;
    let data = f.address()?.ok_or_else(|| broken("a heap without data"))?;
    reader.bytes(data, size)
}

/// The text at an offset of a local heap, of at most [`MAX_NAME`] bytes.
pub(super) fn local_text(heap: &[u8], offset: u64) -> Result<String> {
    let rest = usize::try_from(offset).ok().and_then(|o| heap.get(o..));
    let rest = rest.ok_or_else(|| broken("a name outside of its heap"))?;
    let end = rest.iter().take(MAX_NAME + 1).position(|b| *b == 0);
    let end =
        end.ok_or_else(|| broken(format!("a name without an end, or of more than {MAX_NAME} bytes")))?;
    Ok(String::from_utf8_lossy(&rest[..end]).into_owned())
}

/// The global heaps, of which the last one that was read is kept.
#[derive(Default)]
pub(super) struct Global {
    last: RefCell<Option<(u64, Rc<Collection>)>>,
}

/// The objects of one heap.
struct Collection {
    bytes: Vec<u8>,
    /// Where each object begins and ends, by its number.
    objects: BTreeMap<u32, (usize, usize)>,
}

impl Global {
    /// The first bytes of an object of the collection at an address, at most `length` of them.
    pub(super) fn object(
        &self,
        reader: &Reader<'_>,
        collection: u64,
        index: u32,
        length: usize,
    ) -> Result<Vec<u8>> {
        let heap = self.collection(reader, collection)?;
        let place = heap.objects.get(&index);
        let (from, to) = *place.ok_or_else(|| broken(format!("a global heap without the object {index}")))?;
        let object = &heap.bytes[from..to];
        Ok(object.get(..length).unwrap_or(object).to_vec())
    }

    fn collection(&self, reader: &Reader<'_>, address: u64) -> Result<Rc<Collection>> {
        if let Some((at, heap)) = &*self.last.borrow()
            && *at == address
        {
            return Ok(Rc::clone(heap));
        }
        let head = reader.bytes(address, 8 + usize::from(reader.widths.length))?;
        let mut f = reader.fields(&head);
        f.signature(b"GCOL")?;
        f.skip(4)?;
        let size = usize::try_from(f.length()?).map_err(|_| broken("a length out of range"))?;
        let bytes = reader.bytes(address, size)?;
        let heap = Rc::new(Collection { objects: objects(reader, &bytes), bytes });
        *self.last.borrow_mut() = Some((address, Rc::clone(&heap)));
        Ok(heap)
    }
}

/// The objects of a collection, as far as they lie inside of it.
fn objects(reader: &Reader<'_>, bytes: &[u8]) -> BTreeMap<u32, (usize, usize)> {
    let mut found = BTreeMap::new();
    let length = usize::from(reader.widths.length);
    let mut at = 8 + length;
    while let Some(rest) = bytes.get(at..) {
        let mut f = reader.fields(rest);
        let (Ok(index), Ok(()), Ok(size)) = (f.u16(), f.skip(6), f.length()) else { break };
        let from = at + 8 + length;
        let to = usize::try_from(size).ok().and_then(|size| from.checked_add(size));
        let Some(to) = to.filter(|to| *to <= bytes.len()) else { break };
        // Object 0 is the space that is free, up to the end.
        if index == 0 {
            break;
        }
        // The first of a number counts.
        found.entry(u32::from(index)).or_insert((from, to));
        let Some(next) = to.checked_next_multiple_of(8) else { break };
        at = next;
    }
    found
}

/// Addresses and lengths of objects that are too big for a block, by their numbers.
type Huge = BTreeMap<u64, (u64, u64)>;

/// A fractal heap.
pub(super) struct Fractal<'r, 's> {
    reader: &'r Reader<'s>,
    filtered: bool,
    id_length: usize,
    huge_tree: Option<u64>,
    width: u64,
    start: u64,
    max_direct: u64,
    offset_bytes: usize,
    length_bytes: usize,
    root: Option<u64>,
    root_rows: u16,
    /// The objects that are too big for a block, once one was asked for.
    huge: RefCell<Option<Rc<Huge>>>,
}

impl<'r, 's> Fractal<'r, 's> {
    pub(super) fn open(reader: &'r Reader<'s>, address: u64) -> Result<Self> {
        let (a, l) = (usize::from(reader.widths.address), usize::from(reader.widths.length));
        let head = reader.bytes(address, 22 + 12 * l + 3 * a)?;
        let mut f = reader.fields(&head);
        f.signature(b"FRHP")?;
        f.skip(1)?;
        let id_length = usize::from(f.u16()?);
        let filtered = f.u16()? != 0;
        f.skip(1)?;
        let max_managed = u64::from(f.u32()?);
        f.skip(l)?;
        let huge_tree = f.address()?;
        f.skip(l + a + 8 * l)?;
        let width = u64::from(f.u16()?);
        let start = f.length()?;
        let max_direct = f.length()?;
        let bits = u32::from(f.u16()?);
        f.skip(2)?;
        let root = f.address()?;
        let root_rows = f.u16()?;
        if width == 0 || !start.is_power_of_two() || !max_direct.is_power_of_two() || bits > 64 {
            return Err(broken("a fractal heap of impossible sizes"));
        }
        // As `H5HF__hdr_finish_init_phase1` of the library computes it.
        let length_bytes = log2(max_direct).div_ceil(8).min(log2(max_managed) / 8 + 1);
        Ok(Self {
            reader,
            filtered,
            id_length,
            huge_tree,
            width,
            start,
            max_direct,
            offset_bytes: usize::try_from(bits.div_ceil(8)).unwrap_or(8),
            length_bytes: usize::try_from(length_bytes).unwrap_or(8),
            root,
            root_rows,
            huge: RefCell::new(None),
        })
    }

    /// The object that an identifier of the heap names.
    pub(super) fn object(&self, id: &[u8]) -> Result<Vec<u8>> {
        let mut f = self.reader.fields(id);
        let first = f.u8()?;
        match first >> 4 & 3 {
            0 => {
                let offset = f.uint(self.offset_bytes)?;
                let length = usize::try_from(f.uint(self.length_bytes)?);
                self.managed(offset, length.map_err(|_| broken("a length out of range"))?)
            }
            1 => self.huge(&mut f),
            2 => {
                let mut length = usize::from(first & 0x0f);
                if self.id_length > 18 {
                    length = length << 8 | usize::from(f.u8()?);
                }
                f.take(length + 1).map(<[u8]>::to_vec)
            }
            _ => Err(broken("an object of a heap of an unknown kind")),
        }
    }

    fn huge(&self, f: &mut crate::model::hdf5::bytes::Fields<'_>) -> Result<Vec<u8>> {
        let (a, l) = (usize::from(self.reader.widths.address), usize::from(self.reader.widths.length));
        if self.filtered {
            return Err(broken("a heap with filters, which is not read"));
        }
        let (at, length) = if self.id_length > a + l {
            (f.address()?, f.length()?)
        } else {
            let number = f.uint(f.rest().len().min(l))?;
            let found = self.huge_objects()?.get(&number).copied();
            let found = found.ok_or_else(|| broken(format!("a heap without the object {number}")))?;
            (Some(found.0), found.1)
        };
        let at = at.ok_or_else(|| broken("an object of a heap without an address"))?;
        self.reader.bytes(at, usize::try_from(length).map_err(|_| broken("a length out of range"))?)
    }

    fn huge_objects(&self) -> Result<Rc<Huge>> {
        if let Some(known) = &*self.huge.borrow() {
            return Ok(Rc::clone(known));
        }
        let tree = self.huge_tree.ok_or_else(|| broken("a heap without its big objects"))?;
        let mut found = BTreeMap::new();
        for record in btree::records(self.reader, tree, &[1])? {
            let mut f = self.reader.fields(&record);
            if let Some(at) = f.address()? {
                let (length, number) = (f.length()?, f.length()?);
                found.entry(number).or_insert((at, length));
            }
        }
        let found = Rc::new(found);
        *self.huge.borrow_mut() = Some(Rc::clone(&found));
        Ok(found)
    }

    /// How big the blocks of a row are: the first two rows alike, then each double.
    fn row_size(&self, row: u64) -> Option<u64> {
        let shift = u32::try_from(row.saturating_sub(1)).ok()?;
        self.start.checked_mul(1u64.checked_shl(shift)?)
    }

    fn managed(&self, mut offset: u64, length: usize) -> Result<Vec<u8>> {
        let outside = || broken("an object outside of its heap");
        if self.filtered {
            return Err(broken("a heap with filters, which is not read"));
        }
        let mut block = self.root.ok_or_else(outside)?;
        let mut rows = u64::from(self.root_rows);
        let mut size = self.start;
        let direct_rows = u64::from(log2(self.max_direct) - log2(self.start).min(log2(self.max_direct))) + 2;
        let width = usize::from(self.reader.widths.address);
        let frame = (5 + width + self.offset_bytes) as u64;
        for _ in 0..MAX_DEPTH {
            if rows == 0 {
                // A direct block: its frame is part of the address space.
                if offset.checked_add(length as u64).is_none_or(|end| end > size) {
                    return Err(outside());
                }
                let mut f = [0; 4];
                f.copy_from_slice(&self.reader.bytes(block, 4)?);
                self.reader.fields(&f).signature(b"FHDB")?;
                return self.reader.bytes(block.checked_add(offset).ok_or_else(outside)?, length);
            }
            self.reader.fields(&self.reader.bytes(block, 4)?).signature(b"FHIB")?;
            let mut row = 0;
            let mut row_size = self.start;
            while row < rows {
                row_size = self.row_size(row).ok_or_else(outside)?;
                let whole = row_size.checked_mul(self.width).ok_or_else(outside)?;
                if offset < whole {
                    break;
                }
                offset -= whole;
                row += 1;
            }
            if row == rows {
                return Err(outside());
            }
            let column = offset / row_size;
            offset %= row_size;
            let entry = row * self.width + column;
            let at = block
                .checked_add(frame)
                .and_then(|b| b.checked_add(entry.checked_mul(width as u64)?))
                .ok_or_else(outside)?;
            let bytes = self.reader.bytes(at, width)?;
            block = self.reader.fields(&bytes).address()?.ok_or_else(outside)?;
            size = row_size;
            rows = if row < direct_rows {
                0
            } else {
                let most = self.start.checked_mul(self.width).ok_or_else(outside)?;
                u64::from(log2(row_size).checked_sub(log2(most)).ok_or_else(outside)?) + 1
            };
        }
        Err(broken("a heap that is nested too deep"))
    }
}
