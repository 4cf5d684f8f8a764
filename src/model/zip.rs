//! Zip archives: their table of contents, and single entries read into memory.
//!
//! An [`Archive`] knows what the central directory lists (PKWARE APPNOTE 6.3.10, §4.3.12); it never
//! unpacks to disk, and an entry is inflated only when somebody asks for it. Model files are zips of
//! many kinds (Keras, skops, PyTorch, MOJO, npz), and which kind is for the formats to know.
//!
//! Invariants: the directory and each entry are read up to a cap that the caller or this module
//! names; an entry's local header must agree with the directory, its bytes with their checksum; a
//! name that occurs twice cannot be read, since loaders differ in which of the two they take.

use std::cell::Cell;

use flate2::{Crc, Decompress, FlushDecompress, Status};

use crate::error::{Error, Kind, Result, show_bytes};
use crate::model::pb::Source;

/// The longest central directory that is read, in bytes.
const MAX_DIRECTORY: u64 = 16 << 20;
/// The most entries of one archive.
const MAX_ENTRIES: usize = 100_000;
/// How many inflated bytes of one archive are given out in all.
const MAX_INFLATED: u64 = 256 << 20;
/// The end record without its comment.
const END: usize = 22;
/// The end record and the longest comment.
const TAIL: u64 = END as u64 + 0xffff;

/// An archive's table of contents.
pub struct Archive<'s> {
    source: &'s dyn Source,
    entries: Vec<Entry>,
    /// Places of entries, by name.
    by_name: Vec<usize>,
    duplicates: Vec<String>,
    inflated: Cell<u64>,
    start: u64,
}

/// One entry, as the central directory describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name; bytes that are not UTF-8 are escaped.
    pub name: String,
    /// Its size in bytes, when it is unpacked.
    pub size: u64,
    /// How many bytes it takes in the archive.
    pub packed: u64,
    raw: Vec<u8>,
    method: u16,
    flags: u16,
    crc: u32,
    header: u64,
}

impl Entry {
    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        self.name.ends_with('/')
    }

    /// Whether an unpacker would write it outside of its folder, or where nobody expects it.
    pub fn escapes(&self) -> bool {
        let raw = &self.raw;
        raw.starts_with(b"/")
            || raw.contains(&b'\\')
            || raw.contains(&0)
            || raw.get(1) == Some(&b':')
            || raw.split(|b| *b == b'/').any(|part| part == b"..")
    }
}

/// A range of a source, as a source of its own.
pub struct Section<'s> {
    source: &'s dyn Source,
    offset: u64,
    size: u64,
}

impl<'s> Section<'s> {
    /// The bytes from `offset` on, at most `size` of them and never beyond the end of the source.
    pub fn new(source: &'s dyn Source, offset: u64, size: u64) -> Self {
        let size = size.min(source.size().saturating_sub(offset));
        Self { source, offset, size }
    }

    /// Where it begins in the source that it is a part of.
    pub fn offset(&self) -> u64 {
        self.offset
    }
}

impl Source for Section<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let left = self.size.saturating_sub(offset);
        let n = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        if n == 0 {
            return Ok(0);
        }
        self.source.read_at(self.offset + offset, &mut buf[..n])
    }
}

/// Whether a file begins as a zip archive does.
pub fn begins(head: &[u8]) -> bool {
    head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06")
}

impl<'s> Archive<'s> {
    /// Reads the central directory.
    ///
    /// # Errors
    ///
    /// When there is none, it is cut off or damaged, or lists more than this module reads.
    pub fn open(source: &'s dyn Source) -> Result<Self> {
        let end = End::find(source)?;
        if end.size > MAX_DIRECTORY || end.count > MAX_ENTRIES as u64 {
            return Err(broken(format!(
                "its directory has {} entries in {} bytes, at most {MAX_ENTRIES} in {MAX_DIRECTORY} are read",
                end.count, end.size
            )));
        }
        let bytes = exactly(source, end.offset, end.size, "the central directory")?;
        let mut archive = Self {
            source,
            entries: Vec::new(),
            by_name: Vec::new(),
            duplicates: Vec::new(),
            inflated: Cell::new(0),
            start: end.start,
        };
        let mut rest = bytes.as_slice();
        while rest.starts_with(b"PK\x01\x02") {
            let (entry, after) = directory_entry(rest)?;
            rest = after;
            if archive.entries.len() == MAX_ENTRIES {
                return Err(broken(format!("its directory has more than {MAX_ENTRIES} entries")));
            }
            archive.entries.push(entry);
        }
        if archive.entries.len() as u64 != end.count {
            return Err(broken(format!(
                "its directory has {} entries, its end record says {}",
                archive.entries.len(),
                end.count
            )));
        }
        let name = |place: usize| archive.entries[place].name.as_str();
        let mut by_name: Vec<usize> = (0..archive.entries.len()).collect();
        by_name.sort_by_key(|place| name(*place));
        let twice = by_name.windows(2).filter(|two| name(two[0]) == name(two[1]));
        let mut duplicates: Vec<String> = twice.map(|two| name(two[0]).to_owned()).collect();
        duplicates.dedup();
        Ok(Self { by_name, duplicates, ..archive })
    }

    /// The entries in the order of the directory.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The names that occur more than once, sorted.
    pub fn duplicates(&self) -> &[String] {
        &self.duplicates
    }

    /// The entry of this name.
    pub fn find(&self, name: &str) -> Option<&Entry> {
        let place = self.by_name.binary_search_by_key(&name, |place| &self.entries[*place].name).ok()?;
        self.entries.get(self.by_name[place])
    }

    /// Reads a whole entry of at most `cap` bytes and verifies its checksum.
    pub fn read(&self, entry: &Entry, cap: u64) -> Result<Vec<u8>> {
        if entry.size > cap {
            return Err(at(entry, format!("has {} bytes, at most {cap} are read", entry.size)));
        }
        let got = self.unpack(entry, entry.size)?;
        if got.len() as u64 != entry.size {
            return Err(at(entry, format!("unpacks to {} bytes instead of {}", got.len(), entry.size)));
        }
        let mut crc = Crc::new();
        crc.update(&got);
        if crc.sum() != entry.crc {
            return Err(at(entry, "is damaged: its checksum is wrong".to_owned()));
        }
        Ok(got)
    }

    /// The first `n` bytes of an entry, fewer where it is shorter; nothing verifies them.
    pub fn head(&self, entry: &Entry, n: u64) -> Result<Vec<u8>> {
        self.unpack(entry, entry.size.min(n))
    }

    /// An entry that is not compressed, in its place; `None` where it is.
    pub fn stored(&self, entry: &Entry) -> Result<Option<Section<'s>>> {
        if entry.method != 0 {
            return Ok(None);
        }
        if entry.packed != entry.size {
            return Err(at(entry, format!("is stored in {} bytes instead of {}", entry.packed, entry.size)));
        }
        let offset = self.data(entry)?;
        Ok(Some(Section::new(self.source, offset, entry.size)))
    }

    /// Up to `n` bytes from the beginning of an entry.
    fn unpack(&self, entry: &Entry, n: u64) -> Result<Vec<u8>> {
        let total = self.inflated.get().saturating_add(n);
        if total > MAX_INFLATED {
            return Err(at(
                entry,
                format!("is not read: of one archive {MAX_INFLATED} bytes are unpacked at most"),
            ));
        }
        self.inflated.set(total);
        let offset = self.data(entry)?;
        match entry.method {
            0 => exactly(self.source, offset, n.min(entry.packed), &format!("`{}`", entry.name)),
            8 => inflate(&Section::new(self.source, offset, entry.packed), entry, n),
            other => Err(at(entry, format!("is compressed with method {other}; 0 and 8 are read"))),
        }
    }

    /// Where an entry's bytes begin, once its local header is known to mean the same entry.
    fn data(&self, entry: &Entry) -> Result<u64> {
        if self.duplicates.binary_search(&entry.name).is_ok() {
            return Err(at(entry, "is in the archive twice".to_owned()));
        }
        if entry.flags & 1 != 0 {
            return Err(at(entry, "is encrypted".to_owned()));
        }
        let header = self
            .start
            .checked_add(entry.header)
            .ok_or_else(|| at(entry, "lies beyond the end".to_owned()))?;
        let fixed = exactly(self.source, header, 30, "a local header")?;
        if !fixed.starts_with(b"PK\x03\x04") {
            return Err(at(entry, format!("has no local header at byte {header}")));
        }
        let (name, extra) = (u64::from(u16_at(&fixed, 26)), u64::from(u16_at(&fixed, 28)));
        if exactly(self.source, header + 30, name, "a local header")? != entry.raw {
            return Err(at(entry, "has another name in its local header".to_owned()));
        }
        let data = header + 30 + name + extra;
        if data.checked_add(entry.packed).is_none_or(|end| end > self.source.size()) {
            return Err(at(entry, "reaches beyond the end of the file".to_owned()));
        }
        Ok(data)
    }
}

/// The end of the central directory, with the 64-bit one where there is one.
struct End {
    count: u64,
    size: u64,
    offset: u64,
    /// How many bytes lie before the archive, as before a self-extracting one.
    start: u64,
}

impl End {
    fn find(source: &dyn Source) -> Result<Self> {
        let size = source.size();
        let from = size.saturating_sub(TAIL);
        let tail = exactly(source, from, size - from, "the end")?;
        let found = tail.windows(END).enumerate().rev().find(|(i, w)| {
            w.starts_with(b"PK\x05\x06") && i + END + usize::from(u16_at(w, 20)) <= tail.len()
        });
        let Some((place, record)) = found else {
            return Err(broken("it has no end record; it may have been cut off"));
        };
        let place = from + place as u64;
        let mut end = Self {
            count: u64::from(u16_at(record, 10)),
            size: u64::from(u32_at(record, 12)),
            offset: u64::from(u32_at(record, 16)),
            start: 0,
        };
        let (disk, first) = (u16_at(record, 4), u16_at(record, 6));
        let mut directory_end = place;
        // PyTorch writes the 64-bit record into every archive; where there is one, it counts, as it
        // does for Python's zipfile and for miniz.
        let wants_64 = end.count == 0xffff || end.size == 0xffff_ffff || end.offset == 0xffff_ffff;
        let locator = match place.checked_sub(20) {
            Some(at) => exactly(source, at, 20, "the 64-bit locator")?,
            None => Vec::new(),
        };
        if locator.starts_with(b"PK\x06\x07") {
            let at = u64_at(&locator, 8);
            let record = exactly(source, at, 56, "the 64-bit end record")?;
            if !record.starts_with(b"PK\x06\x06") {
                return Err(broken(format!("it has no 64-bit end record at byte {at}")));
            }
            end = Self {
                count: u64_at(&record, 32),
                size: u64_at(&record, 40),
                offset: u64_at(&record, 48),
                start: 0,
            };
            directory_end = at;
        } else if wants_64 && end.count != 0xffff {
            return Err(broken("its directory has 64-bit places, but no 64-bit end record"));
        } else if disk != 0 || first != 0 {
            return Err(broken("it is one of several parts"));
        }
        let end_offset = end.offset.checked_add(end.size).filter(|e| *e <= directory_end);
        let Some(end_offset) = end_offset else {
            return Err(broken("its directory reaches beyond its end record"));
        };
        end.start = directory_end - end_offset;
        end.offset += end.start;
        Ok(end)
    }
}

/// One record of the central directory, and what follows it.
fn directory_entry(bytes: &[u8]) -> Result<(Entry, &[u8])> {
    let short = || broken("its directory is cut off");
    let fixed = bytes.get(..46).ok_or_else(short)?;
    let (name, extra, comment) =
        (usize::from(u16_at(fixed, 28)), usize::from(u16_at(fixed, 30)), usize::from(u16_at(fixed, 32)));
    let raw = bytes.get(46..46 + name).ok_or_else(short)?;
    let extras = bytes.get(46 + name..46 + name + extra).ok_or_else(short)?;
    let rest = bytes.get(46 + name + extra + comment..).ok_or_else(short)?;
    let mut entry = Entry {
        name: match std::str::from_utf8(raw) {
            Ok(name) => name.to_owned(),
            Err(_) => show_bytes(raw),
        },
        size: u64::from(u32_at(fixed, 24)),
        packed: u64::from(u32_at(fixed, 20)),
        raw: raw.to_vec(),
        method: u16_at(fixed, 10),
        flags: u16_at(fixed, 8),
        crc: u32_at(fixed, 16),
        header: u64::from(u32_at(fixed, 42)),
    };
    long_sizes(&mut entry, extras)?;
    Ok((entry, rest))
}

/// Takes over what does not fit 32 bits from the extra field 1 (§4.5.3).
fn long_sizes(entry: &mut Entry, mut extras: &[u8]) -> Result<()> {
    while let Some((head, rest)) = extras.split_at_checked(4) {
        let (id, size) = (u16_at(head, 0), usize::from(u16_at(head, 2)));
        let Some((mut body, after)) = rest.split_at_checked(size) else { return Ok(()) };
        extras = after;
        if id != 1 {
            continue;
        }
        for value in [&mut entry.size, &mut entry.packed, &mut entry.header] {
            if *value != 0xffff_ffff {
                continue;
            }
            let Some((eight, after)) = body.split_at_checked(8) else {
                return Err(broken(format!("the 64-bit sizes of `{}` are cut off", entry.name)));
            };
            *value = u64_at(eight, 0);
            body = after;
        }
    }
    Ok(())
}

/// Inflates the beginning of an entry.
fn inflate(packed: &Section<'_>, entry: &Entry, n: u64) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut machine = Decompress::new(false);
    let mut input = vec![0; 32 << 10];
    let mut chunk = vec![0; 64 << 10];
    let (mut offset, mut have, mut used) = (0, 0, 0);
    while (out.len() as u64) < n {
        if used == have {
            have = packed.read_at(offset, &mut input)?;
            offset += have as u64;
            used = 0;
        }
        let (before_in, before_out) = (machine.total_in(), machine.total_out());
        let status = machine
            .decompress(&input[used..have], &mut chunk, FlushDecompress::None)
            .map_err(|e| at(entry, format!("cannot be inflated: {e}")))?;
        used += (machine.total_in() - before_in) as usize;
        let made = (machine.total_out() - before_out) as usize;
        let wanted = usize::try_from(n - out.len() as u64).unwrap_or(usize::MAX);
        if made > wanted && n == entry.size {
            return Err(at(entry, format!("unpacks to more than its {} bytes", entry.size)));
        }
        out.extend_from_slice(&chunk[..made.min(wanted)]);
        if status == Status::StreamEnd || (made == 0 && have == 0) {
            break;
        }
    }
    Ok(out)
}

fn exactly(source: &dyn Source, offset: u64, size: u64, what: &str) -> Result<Vec<u8>> {
    if offset.checked_add(size).is_none_or(|end| end > source.size()) {
        return Err(broken(format!("{what} at byte {offset} reaches beyond the end of the file")));
    }
    let size = usize::try_from(size).map_err(|_| broken(format!("{what} is too long")))?;
    let mut bytes = vec![0; size];
    let got = source.read_at(offset, &mut bytes)?;
    if got == size { Ok(bytes) } else { Err(broken(format!("{what} at byte {offset} is cut off"))) }
}

fn broken(what: impl std::fmt::Display) -> Error {
    Error::new(Kind::Model, format!("the zip archive cannot be read: {what}"))
}

fn at(entry: &Entry, what: impl std::fmt::Display) -> Error {
    Error::new(Kind::Model, format!("`{}` in the zip archive {what}", show_bytes(entry.name.as_bytes())))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes an archive: name, method, content.
    fn zip(entries: &[(&[u8], u16, &[u8])]) -> Vec<u8> {
        use std::io::Write;
        let (mut out, mut directory) = (Vec::new(), Vec::new());
        for (name, method, content) in entries {
            let packed = if *method == 8 {
                let mut e = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
                e.write_all(content).unwrap();
                e.finish().unwrap()
            } else {
                content.to_vec()
            };
            let mut crc = Crc::new();
            crc.update(content);
            let mut common = Vec::new();
            for v in [20u16, 0, *method, 0, 0] {
                common.extend(v.to_le_bytes());
            }
            for v in [crc.sum(), packed.len() as u32, content.len() as u32] {
                common.extend(v.to_le_bytes());
            }
            common.extend((name.len() as u16).to_le_bytes());
            common.extend([0, 0]);
            directory.extend(b"PK\x01\x02\x14\0");
            directory.extend(&common);
            directory.extend([0; 10]);
            directory.extend((out.len() as u32).to_le_bytes());
            directory.extend(*name);
            out.extend(b"PK\x03\x04");
            out.extend(&common);
            out.extend(*name);
            out.extend(&packed);
        }
        let offset = out.len() as u32;
        out.extend(&directory);
        out.extend(b"PK\x05\x06\0\0\0\0");
        for _ in 0..2 {
            out.extend((entries.len() as u16).to_le_bytes());
        }
        out.extend((directory.len() as u32).to_le_bytes());
        out.extend(offset.to_le_bytes());
        out.extend([0, 0]);
        out
    }

    fn message<T>(r: Result<T>) -> String {
        r.err().map(|e| e.message().to_owned()).unwrap_or_default()
    }

    #[test]
    fn entries_are_found_and_verified() {
        let long = b"abc".repeat(100_000);
        let bytes = zip(&[(b"a.txt", 0, b"hello"), (b"d/b", 8, &long), (b"empty", 0, b"")]);
        let source: &[u8] = &bytes;
        let archive = Archive::open(&source).unwrap();
        let names: Vec<&str> = archive.entries().iter().map(|e| e.name.as_str()).collect();
        assert_eq!(names, ["a.txt", "d/b", "empty"]);
        let (a, b) = (archive.find("a.txt").unwrap(), archive.find("d/b").unwrap());
        assert_eq!(archive.read(a, 100).unwrap(), b"hello");
        assert_eq!(archive.read(b, 1 << 20).unwrap(), long);
        assert_eq!(archive.head(b, 4).unwrap(), b"abca");
        assert!(archive.stored(b).unwrap().is_none());
        let section = archive.stored(a).unwrap().unwrap();
        let mut buf = [0; 9];
        assert_eq!(section.read_at(1, &mut buf).unwrap(), 4);
        assert_eq!(&buf[..4], b"ello");
        assert!(archive.read(archive.find("empty").unwrap(), 0).unwrap().is_empty());
        assert!(message(archive.read(b, 10)).contains("at most 10 are read"));
    }

    #[test]
    fn what_lies_before_the_archive_is_skipped() {
        let mut bytes = b"#!/bin/sh\n".to_vec();
        bytes.extend(zip(&[(b"a", 8, b"hello")]));
        let source: &[u8] = &bytes;
        let archive = Archive::open(&source).unwrap();
        assert_eq!(archive.read(archive.find("a").unwrap(), 5).unwrap(), b"hello");
    }

    #[test]
    fn names_that_occur_twice_are_not_read() {
        let bytes = zip(&[(b"a", 0, b"1"), (b"a", 0, b"2")]);
        let source: &[u8] = &bytes;
        let archive = Archive::open(&source).unwrap();
        assert_eq!(archive.duplicates(), ["a"]);
        assert!(message(archive.read(archive.find("a").unwrap(), 9)).contains("twice"));
    }

    #[test]
    fn names_that_escape_are_told() {
        for name in [&b"../a"[..], b"/a", b"a/../../b", b"..\\a", b"C:/a", b"a\0b"] {
            let bytes = zip(&[(name, 0, b"")]);
            let source: &[u8] = &bytes;
            assert!(Archive::open(&source).unwrap().entries()[0].escapes(), "{name:?}");
        }
        let bytes = zip(&[(b"a..b/c.d", 0, b"")]);
        let source: &[u8] = &bytes;
        assert!(!Archive::open(&source).unwrap().entries()[0].escapes());
    }

    #[test]
    fn lies_about_sizes_are_errors() {
        let content = vec![0u8; 100_000];
        let good = zip(&[(b"a", 8, &content)]);
        // The directory says that it unpacks to ten bytes.
        let mut small = good.clone();
        let at = small.windows(4).position(|w| w == b"PK\x01\x02").unwrap() + 24;
        small[at..at + 4].copy_from_slice(&10u32.to_le_bytes());
        let source: &[u8] = &small;
        let archive = Archive::open(&source).unwrap();
        assert!(message(archive.read(&archive.entries()[0], 1 << 20)).contains("more than its 10"));
        // And that it unpacks to more than it does.
        small[at..at + 4].copy_from_slice(&200_000u32.to_le_bytes());
        let source: &[u8] = &small;
        let archive = Archive::open(&source).unwrap();
        assert!(message(archive.read(&archive.entries()[0], 1 << 20)).contains("instead of 200000"));
    }

    #[test]
    fn damage_is_an_error_and_never_a_panic() {
        let content = b"some content, some content".repeat(10);
        let good = zip(&[(b"one", 0, b"hello"), (b"two/three", 8, &content)]);
        for at in 0..good.len() {
            let mut flipped = good.clone();
            flipped[at] = !flipped[at];
            for bytes in [&good[..at], &flipped] {
                let Ok(archive) = Archive::open(&bytes) else { continue };
                for entry in archive.entries() {
                    if let Ok(got) = archive.read(entry, 1 << 20) {
                        assert!(got == b"hello" || got == content || got.is_empty(), "{at}");
                    }
                }
            }
            assert!(Archive::open(&&good[..at]).is_err(), "{at}");
        }
    }
}
