//! The pages of one column: levels, values, dictionaries.
//!
//! Only the values of the first row are decoded, page by page, and of them only integers and text.
//! Levels say where lists begin and which of their items are there (Dremel's encoding; see
//! apache/parquet-format, Encodings.md).

use std::cell::Cell;
use std::io::Read;

use crate::model::parquet::delta::{Deltas, Texts};
use crate::model::parquet::footer::{Chunk, Leaf, Physical};
use crate::model::parquet::thrift::{Thrift, Wire};
use crate::model::parquet::{Fault, MAX_PAGE, blocks, snappy};
use crate::model::pb::Source;

/// The longest header of a page, statistics included.
const MAX_HEADER: usize = 1 << 16;
/// The widest window of zstd that is allowed, as a power of two.
const ZSTD_WINDOW: u32 = 24;
const PLAIN: i64 = 0;
const PLAIN_DICTIONARY: i64 = 2;
const RLE: i64 = 3;
const DELTA_BINARY_PACKED: i64 = 5;
const DELTA_LENGTH_BYTE_ARRAY: i64 = 6;
const DELTA_BYTE_ARRAY: i64 = 7;
const RLE_DICTIONARY: i64 = 8;

/// A value of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Int(i64),
    Text(Vec<u8>),
    /// A value of a type that is not decoded.
    Other,
}

/// How many entries are paid for at once.
const ENTRIES: u64 = 1 << 12;
/// The most values of a dictionary.
const MAX_DICTIONARY: u64 = 1 << 20;

/// The file, and what may still be read and unpacked of it.
#[derive(Clone, Copy)]
pub(super) struct File<'f> {
    pub source: &'f dyn Source,
    pub budget: &'f Cell<u64>,
}

impl File<'_> {
    /// Reads up to `n` bytes, fewer only at the end of the file.
    pub(super) fn read(self, at: u64, n: usize) -> Result<Vec<u8>, Fault> {
        let n = (n as u64).min(self.source.size().saturating_sub(at));
        self.spend(n)?;
        // No more than the file has: real bytes back the memory.
        let mut bytes = vec![0; n as usize];
        let got = self.source.read_at(at, &mut bytes)?;
        bytes.truncate(got);
        Ok(bytes)
    }

    fn spend(self, n: u64) -> Result<(), Fault> {
        let left = self.budget.get().checked_sub(n);
        let left = left.ok_or_else(|| Fault::Limit("more data than may be read for one model".to_owned()))?;
        self.budget.set(left);
        Ok(())
    }
}

/// The header of a page.
#[derive(Default)]
struct Header {
    kind: i64,
    unpacked: usize,
    packed: usize,
    values: u64,
    encoding: i64,
    level_encodings: [i64; 2],
    /// How many bytes the levels of a page of version 2 have: repetition, definition.
    levels: [usize; 2],
    stored: bool,
}

/// Calls `visit` with each entry of a column: its repetition and definition level and, where there
/// is one and `decode` asks for it, its value; until it says that this is enough.
pub(super) fn entries(
    leaf: &Leaf,
    chunk: &Chunk,
    file: File<'_>,
    decode: bool,
    visit: &mut dyn FnMut(u16, u16, Option<Item>) -> Result<bool, Fault>,
) -> Result<(), Fault> {
    if chunk.elsewhere {
        return Err(Fault::Limit("the column lies in another file".to_owned()));
    }
    let end = chunk.start.checked_add(chunk.size).ok_or_else(|| Fault::broken("a column ends nowhere"))?;
    let (mut at, mut seen) = (chunk.start, 0u64);
    let mut dictionary: Vec<Item> = Vec::new();
    while seen < chunk.values && at < end {
        let room = usize::try_from(end - at).unwrap_or(usize::MAX);
        let head = file.read(at, room.min(MAX_HEADER))?;
        let mut t = Thrift::new(&head);
        let header = Header::read(&mut t)?;
        at += t.at() as u64;
        if header.packed as u64 > end.saturating_sub(at) {
            return Err(Fault::broken("a page reaches beyond its column"));
        }
        if header.packed.max(header.unpacked) > MAX_PAGE {
            return Err(Fault::Limit(format!("a page has more than {MAX_PAGE} bytes")));
        }
        let page = file.read(at, header.packed)?;
        if page.len() < header.packed {
            return Err(Fault::broken("the file ends inside a page"));
        }
        at += header.packed as u64;
        file.spend(header.unpacked as u64)?;
        match header.kind {
            2 => {
                if decode && header.values > MAX_DICTIONARY {
                    return Err(Fault::Limit(format!("a dictionary has more than {MAX_DICTIONARY} values")));
                }
                if decode {
                    let body = unpack(chunk.codec, &page, header.unpacked)?;
                    dictionary = Plain::new(&body, leaf.physical).all(header.values)?;
                }
            }
            0 | 3 => {
                seen = seen.saturating_add(header.values);
                if !data_page(leaf, chunk, file, &header, &page, decode.then_some(&dictionary), visit)? {
                    return Ok(());
                }
            }
            _ => {}
        }
    }
    if seen < chunk.values { Err(Fault::broken("a column has fewer values than it claims")) } else { Ok(()) }
}

/// Visits the entries of one page; whether there should be more.
fn data_page(
    leaf: &Leaf,
    chunk: &Chunk,
    file: File<'_>,
    header: &Header,
    page: &[u8],
    dictionary: Option<&Vec<Item>>,
    visit: &mut dyn FnMut(u16, u16, Option<Item>) -> Result<bool, Fault>,
) -> Result<bool, Fault> {
    let widths = [width(leaf.max_rep), width(leaf.max_def)];
    let body;
    let (levels, values): ([&[u8]; 2], &[u8]) = if header.kind == 3 {
        let [rep, def] = header.levels;
        let split = rep.checked_add(def).filter(|n| *n <= page.len());
        let split = split.ok_or_else(|| Fault::broken("the levels of a page reach beyond it"))?;
        let rest = &page[split..];
        body = if header.stored || dictionary.is_none() {
            rest.to_vec()
        } else {
            unpack(chunk.codec, rest, header.unpacked.saturating_sub(split))?
        };
        ([&page[..rep], &page[rep..split]], &body)
    } else {
        body = unpack(chunk.codec, page, header.unpacked)?;
        let mut rest = body.as_slice();
        let mut levels: [&[u8]; 2] = [&[], &[]];
        for (i, width) in widths.iter().enumerate().filter(|(_, w)| **w > 0) {
            // The order in the header is definition, repetition; in the page the other way round.
            if header.level_encodings[1 - i] != RLE {
                return Err(Fault::Limit("levels are packed in a way that is not read".to_owned()));
            }
            let (n, after) = rest
                .split_first_chunk::<4>()
                .ok_or_else(|| Fault::broken("a page ends inside its levels"))?;
            let n = u32::from_le_bytes(*n) as usize;
            if n > after.len() {
                return Err(Fault::broken(format!(
                    "levels of {width} bits claim more bytes than the page has"
                )));
            }
            (levels[i], rest) = after.split_at(n);
        }
        (levels, rest)
    };
    let mut rep = Runs::new(levels[0], widths[0]);
    let mut def = Runs::new(levels[1], widths[1]);
    let mut source = match (dictionary, header.encoding) {
        (None, _) => Values::None,
        // What is not decoded anyway may lie there in any way.
        (Some(_), _) if !leaf.physical.is_decoded() => Values::Others,
        (Some(_), PLAIN) => Values::Plain(Plain::new(values, leaf.physical)),
        (Some(_), RLE) if leaf.physical == Physical::Boolean => {
            Values::Bools(Runs::new(values.get(4..).unwrap_or(&[]), 1))
        }
        (Some(dictionary), PLAIN_DICTIONARY | RLE_DICTIONARY) => match values.split_first() {
            Some((width, rest)) if *width <= 32 => Values::Indices(Runs::new(rest, *width), dictionary),
            Some(_) => return Err(Fault::broken("an index has more than 32 bits")),
            None => Values::Indices(Runs::new(&[], 0), dictionary),
        },
        (Some(_), DELTA_BINARY_PACKED) if matches!(leaf.physical, Physical::Int32 | Physical::Int64) => {
            Values::Deltas(Deltas::new(values)?, leaf.physical)
        }
        (Some(_), DELTA_LENGTH_BYTE_ARRAY | DELTA_BYTE_ARRAY) if leaf.physical == Physical::Bytes => {
            // A page of nothing but missing values may have no bytes.
            match values {
                [] => Values::Plain(Plain::new(values, leaf.physical)),
                _ => Values::Texts(Texts::new(values, header.encoding == DELTA_BYTE_ARRAY)?),
            }
        }
        (Some(_), other) => {
            return Err(Fault::Limit(format!("values are encoded in a way that is not read ({other})")));
        }
    };
    for i in 0..header.values {
        // A run of a few bytes can stand for millions of entries, each of which takes its time.
        if i % ENTRIES == 0 {
            file.spend(ENTRIES / 2)?;
        }
        let level =
            |runs: &mut Runs<'_>| runs.next_level().ok_or_else(|| Fault::broken("a page has too few levels"));
        let (r, d) = (level(&mut rep)?, level(&mut def)?);
        let value = if d == leaf.max_def { source.next_item()? } else { None };
        if !visit(r, d, value)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// How many bits a level takes.
fn width(max: u16) -> u8 {
    (u16::BITS - max.leading_zeros()) as u8
}

fn unpack(codec: i64, page: &[u8], claimed: usize) -> Result<Vec<u8>, Fault> {
    let stream = |reader: &mut dyn Read| {
        let mut out = Vec::new();
        reader
            .take(claimed as u64)
            .read_to_end(&mut out)
            .map_err(|e| Fault::broken(format!("a page cannot be unpacked: {e}")))?;
        Ok(out)
    };
    match codec {
        0 => Ok(page.to_vec()),
        1 => snappy::unpack(page, claimed),
        2 => stream(&mut flate2::read::MultiGzDecoder::new(page)),
        6 => {
            let broken = |e| Fault::broken(format!("a page cannot be unpacked: {e}"));
            let mut decoder = zstd::stream::read::Decoder::with_buffer(page).map_err(broken)?;
            decoder.window_log_max(ZSTD_WINDOW).map_err(broken)?;
            stream(&mut decoder)
        }
        3 => Err(Fault::Limit("pages are compressed with LZO, which is not read".to_owned())),
        4 => Err(Fault::Limit("pages are compressed with Brotli, which is not read".to_owned())),
        // The older of the two is Hadoop's stream of blocks, except where others than Hadoop wrote it.
        5 => blocks::unpack(blocks::Codec::Lz4, page, claimed).or_else(|_| blocks::lz4(page, claimed)),
        7 => blocks::lz4(page, claimed),
        other => Err(Fault::broken(format!("{other} is no compression"))),
    }
}

impl Header {
    fn read(t: &mut Thrift<'_>) -> Result<Self, Fault> {
        let size = |n: i64| usize::try_from(n).map_err(|_| Fault::broken("a page has a negative size"));
        let mut h = Self::default();
        let mut last = 0;
        while let Some((field, wire)) = t.field(&mut last)? {
            match (field, wire) {
                (1, Wire::Int) => h.kind = t.int()?,
                (2, Wire::Int) => h.unpacked = size(t.int()?)?,
                (3, Wire::Int) => h.packed = size(t.int()?)?,
                (5 | 7 | 8, Wire::Struct) => {
                    let mut last = 0;
                    while let Some((inner, wire)) = t.field(&mut last)? {
                        match (field, inner, wire) {
                            (_, 1, Wire::Int) => h.values = size(t.int()?)? as u64,
                            (5 | 7, 2, Wire::Int) | (8, 4, Wire::Int) => h.encoding = t.int()?,
                            (5, 3 | 4, Wire::Int) => h.level_encodings[inner as usize - 3] = t.int()?,
                            (8, 5, Wire::Int) => h.levels[1] = size(t.int()?)?,
                            (8, 6, Wire::Int) => h.levels[0] = size(t.int()?)?,
                            (8, 7, Wire::False) => h.stored = true,
                            (_, _, wire) => t.skip(wire)?,
                        }
                    }
                }
                (_, wire) => t.skip(wire)?,
            }
        }
        Ok(h)
    }
}

/// Where the values of a page come from.
enum Values<'p> {
    None,
    Others,
    Deltas(Deltas<'p>, Physical),
    Texts(Texts<'p>),
    Plain(Plain<'p>),
    Bools(Runs<'p>),
    Indices(Runs<'p>, &'p [Item]),
}

impl Values<'_> {
    fn next_item(&mut self) -> Result<Option<Item>, Fault> {
        let short = || Fault::broken("a page has too few values");
        Ok(match self {
            Self::None => None,
            Self::Others => Some(Item::Other),
            Self::Deltas(deltas, physical) => {
                let n = deltas.next_int()?.ok_or_else(short)?;
                // Differences of four-byte numbers wrap around at four bytes.
                Some(Item::Int(if *physical == Physical::Int32 { i64::from(n as i32) } else { n }))
            }
            Self::Texts(texts) => Some(Item::Text(texts.next_text()?.ok_or_else(short)?)),
            Self::Plain(plain) => Some(plain.next_item()?),
            Self::Bools(runs) => Some(Item::Int(i64::from(runs.next_level().ok_or_else(short)?))),
            Self::Indices(runs, dictionary) => {
                let index = runs.next_index().ok_or_else(short)?;
                let item = dictionary.get(index as usize);
                Some(item.ok_or_else(|| Fault::broken("a value is not in the dictionary"))?.clone())
            }
        })
    }
}

/// Values one after the other.
struct Plain<'p> {
    rest: &'p [u8],
    physical: Physical,
    bit: u8,
}

impl<'p> Plain<'p> {
    fn new(rest: &'p [u8], physical: Physical) -> Self {
        Self { rest, physical, bit: 0 }
    }

    fn all(mut self, n: u64) -> Result<Vec<Item>, Fault> {
        let mut items = Vec::new();
        if self.physical.is_decoded() {
            for _ in 0..n {
                items.push(self.next_item()?);
            }
        } else {
            // Each would have at least four bytes, so that a claim is soon found out.
            if n > self.rest.len() as u64 {
                return Err(Fault::broken("a dictionary has too few values"));
            }
            items.resize(n as usize, Item::Other);
        }
        Ok(items)
    }

    fn next_item(&mut self) -> Result<Item, Fault> {
        let short = || Fault::broken("a page has too few values");
        Ok(match self.physical {
            Physical::Boolean => {
                let byte = *self.rest.first().ok_or_else(short)?;
                let value = byte >> self.bit & 1;
                self.bit += 1;
                if self.bit == 8 {
                    self.bit = 0;
                    self.rest = &self.rest[1..];
                }
                Item::Int(i64::from(value))
            }
            Physical::Int32 => {
                let (bytes, rest) = self.rest.split_first_chunk().ok_or_else(short)?;
                self.rest = rest;
                Item::Int(i64::from(i32::from_le_bytes(*bytes)))
            }
            Physical::Int64 => {
                let (bytes, rest) = self.rest.split_first_chunk().ok_or_else(short)?;
                self.rest = rest;
                Item::Int(i64::from_le_bytes(*bytes))
            }
            Physical::Bytes => {
                let (n, rest) = self.rest.split_first_chunk().ok_or_else(short)?;
                let n = u32::from_le_bytes(*n) as usize;
                if n > rest.len() {
                    return Err(short());
                }
                let (bytes, rest) = rest.split_at(n);
                self.rest = rest;
                Item::Text(bytes.to_vec())
            }
            Physical::Int96 | Physical::Float | Physical::Double | Physical::Fixed => Item::Other,
        })
    }
}

/// Small numbers in runs: one number many times, or eight at a time with few bits each.
struct Runs<'p> {
    bytes: &'p [u8],
    width: u8,
    run: Run<'p>,
}

enum Run<'p> {
    Same(u32, u64),
    /// The packed bytes, and which number is next.
    Packed(&'p [u8], u64),
}

impl<'p> Runs<'p> {
    fn new(bytes: &'p [u8], width: u8) -> Self {
        // Numbers of no bits are all zero, however many there are.
        let run = Run::Same(0, if width == 0 { u64::MAX } else { 0 });
        Self { bytes, width, run }
    }

    fn next_level(&mut self) -> Option<u16> {
        self.next_index().and_then(|n| u16::try_from(n).ok())
    }

    fn next_index(&mut self) -> Option<u32> {
        loop {
            match &mut self.run {
                Run::Same(value, left) if *left > 0 => {
                    *left -= 1;
                    return Some(*value);
                }
                Run::Packed(bytes, next) => {
                    let bit = *next * u64::from(self.width);
                    if bit + u64::from(self.width) <= bytes.len() as u64 * 8 {
                        *next += 1;
                        let (at, shift) = ((bit / 8) as usize, bit % 8);
                        let window = bytes[at..].iter().take(5).enumerate();
                        let window = window.fold(0u64, |sum, (i, b)| sum | u64::from(*b) << (8 * i));
                        return Some((window >> shift & ((1u64 << self.width) - 1)) as u32);
                    }
                    self.run = Run::Same(0, 0);
                }
                Run::Same(..) => self.run = self.begin()?,
            }
        }
    }

    fn begin(&mut self) -> Option<Run<'p>> {
        let mut head = 0u64;
        for i in 0.. {
            let (byte, rest) = self.bytes.split_first().filter(|_| i < 5)?;
            self.bytes = rest;
            head |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                break;
            }
        }
        let count = head >> 1;
        if head & 1 == 1 {
            let n = usize::try_from(count.checked_mul(u64::from(self.width))?).ok()?;
            // The last run may be cut off after the last number that counts.
            let (packed, rest) = self.bytes.split_at(n.min(self.bytes.len()));
            self.bytes = rest;
            (!packed.is_empty()).then_some(Run::Packed(packed, 0))
        } else {
            let (value, rest) = self.bytes.split_at_checked(usize::from(self.width.div_ceil(8)))?;
            self.bytes = rest;
            let value = value.iter().rev().fold(0u64, |sum, b| sum << 8 | u64::from(*b));
            Some(Run::Same(value as u32, count))
        }
    }
}
