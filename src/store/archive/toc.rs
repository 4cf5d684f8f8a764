//! The table of contents of a tar file that came from outside.
//!
//! One pass over the headers notes where each file lies; content is then read in place, nothing is
//! unpacked. Invariants: no name in the table is absolute, climbs out with `..`, or stands for two
//! different files; every file lies wholly inside the tar; names and headers are bounded.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::header::{BLOCK, checksum, padding};
use super::parts::Volume;
use crate::error::{At, Error, Kind, Result, show, show_bytes};

/// The most entries that an archive may have.
const MAX_ENTRIES: usize = 1 << 16;
/// The longest extended header.
const MAX_META: u64 = 1 << 20;
/// The longest name or link target; longer ones no file system could hold.
const MAX_NAME: usize = 4096;
/// The longest chain of links that is followed; Docker's are one link long.
const MAX_LINKS: usize = 8;

/// What lies under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Item {
    /// A regular file.
    File(Range),
    /// A symbolic or hard link, its target as a name in the archive.
    Link(String),
    /// A folder.
    Folder,
    /// Something that no image has: a device, a pipe, a sparse file.
    Other,
}

/// Where the content of a file lies in the tar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    /// Offset of the first byte.
    pub(crate) at: u64,
    /// Number of bytes.
    pub(crate) size: u64,
}

/// The table of contents of a tar file, and the file.
#[derive(Debug)]
pub(crate) struct Toc {
    file: Volume,
    path: PathBuf,
    items: BTreeMap<String, Item>,
}

/// What extended headers say about the entry that follows them.
#[derive(Default)]
struct Next {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    sparse: bool,
}

impl Toc {
    /// Reads all headers of a tar file, which may be cut into parts.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = Volume::open(path)?;
        let total = file.size();
        let mut toc = Self { file, path: path.to_owned(), items: BTreeMap::new() };
        toc.not_compressed(total)?;
        toc.walk(total)?;
        Ok(toc)
    }

    /// The file, for people.
    pub(crate) fn what(&self) -> String {
        format!("the archive `{}`", show(&self.path))
    }

    /// Hashes the parts of an archive that was cut, see [`Volume::check_parts`].
    pub(crate) fn check_parts(&self) -> Result<()> {
        self.file.check_parts()
    }

    fn wrong(&self, why: impl std::fmt::Display) -> Error {
        Error::new(Kind::Integrity, format!("{}: {why}", self.what()))
    }

    fn cut(&self, at: u64) -> Error {
        self.wrong(format!("it is cut short, something is missing at byte {at}"))
            .hint("copy or download the file again")
    }

    fn not_compressed(&self, total: u64) -> Result<()> {
        let mut magic = [0; 6];
        let n = usize::try_from(total).unwrap_or(6).min(6);
        self.file.read_exact_at(&mut magic[..n], 0).at("read", &self.path)?;
        let (name, tool) = match magic {
            [0x1f, 0x8b, ..] => ("gzip", "gzip -dk"),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => ("zstd", "zstd -dk"),
            [b'B', b'Z', b'h', ..] => ("bzip2", "bzip2 -dk"),
            [0xfd, b'7', b'z', b'X', b'Z', 0] => ("xz", "xz -dk"),
            _ => return Ok(()),
        };
        Err(self.wrong(format!("it is compressed with {name}, expected a plain tar file")).hint(format!(
            "unpack it first, as with `{tool} FILE`; its layers may be compressed, the archive itself not"
        )))
    }

    fn walk(&mut self, total: u64) -> Result<()> {
        let mut at = 0;
        let mut next = Next::default();
        let mut count = 0;
        loop {
            let mut h = [0; 512];
            if total < at + BLOCK {
                return Err(if total == 0 { self.wrong("it is empty") } else { self.cut(total) });
            }
            self.file.read_exact_at(&mut h, at).at("read", &self.path)?;
            if h.iter().all(|b| *b == 0) {
                return if count == 0 { Err(self.wrong("there is nothing in it")) } else { Ok(()) };
            }
            count += 1;
            if count > MAX_ENTRIES {
                return Err(self.wrong(format!("it has more than {MAX_ENTRIES} entries")));
            }
            if !sum_is_right(&h) {
                let why = if at == 0 {
                    "it is no tar file".to_owned()
                } else {
                    format!("the header at byte {at} is damaged")
                };
                return Err(self.wrong(why));
            }
            let flag = h[156];
            let data = at + BLOCK;
            let own = number(&h[124..136])
                .ok_or_else(|| self.wrong(format!("the size at byte {at} is no number")))?;
            let has_data = !matches!(flag, b'1'..=b'6');
            let meta = matches!(flag, b'x' | b'g' | b'L' | b'K');
            let size = match next.size {
                Some(size) if has_data && !meta => size,
                _ if has_data => own,
                _ => 0,
            };
            let end = data
                .checked_add(size)
                .and_then(|e| e.checked_add(padding(size)))
                .filter(|e| *e <= total)
                .ok_or_else(|| self.cut(total))?;
            if meta {
                self.extend(&mut next, flag, Range { at: data, size })?;
            } else {
                let said = std::mem::take(&mut next);
                self.note(&h, said, Range { at: data, size })?;
            }
            at = end;
        }
    }

    /// Reads an extended header: PAX records, or a long name of GNU tar.
    fn extend(&self, next: &mut Next, flag: u8, range: Range) -> Result<()> {
        if range.size > MAX_META {
            return Err(self
                .wrong(format!("the extended header at byte {} is larger than {MAX_META} bytes", range.at)));
        }
        let bytes = self.bytes(range)?;
        let ends_at_nul = |b: &[u8]| b.split(|c| *c == 0).next().unwrap_or_default().to_vec();
        match flag {
            b'L' => next.path = Some(ends_at_nul(&bytes)),
            b'K' => next.link = Some(ends_at_nul(&bytes)),
            _ => {
                let damaged = || self.wrong(format!("the extended header at byte {} is damaged", range.at));
                for (key, value) in pax(&bytes).ok_or_else(damaged)? {
                    let sparse = key.starts_with(b"GNU.sparse.");
                    let about_content = sparse || matches!(key, b"path" | b"linkpath" | b"size");
                    if flag == b'g' {
                        // Such a record would hold for all entries at once; nobody writes it in earnest.
                        if about_content {
                            return Err(self.wrong("a global header gives one name or size to all entries"));
                        }
                        continue;
                    }
                    match key {
                        b"path" => next.path = Some(value.to_vec()),
                        b"linkpath" => next.link = Some(value.to_vec()),
                        b"size" => {
                            let text = std::str::from_utf8(value).ok().filter(|t| !t.starts_with('+'));
                            next.size = Some(text.and_then(|t| t.parse().ok()).ok_or_else(damaged)?);
                        }
                        _ => next.sparse |= sparse,
                    }
                }
            }
        }
        Ok(())
    }

    /// Puts an entry into the table.
    fn note(&mut self, h: &[u8; 512], said: Next, range: Range) -> Result<()> {
        let raw = said.path.unwrap_or_else(|| own_name(h));
        let name = self.clean(&raw, &[])?;
        let item = match h[156] {
            _ if said.sparse => Item::Other,
            0 | b'0' if raw.ends_with(b"/") => Item::Folder,
            0 | b'0' | b'7' => Item::File(range),
            b'5' => Item::Folder,
            b'1' | b'2' => {
                let target = said.link.unwrap_or_else(|| until_nul(&h[157..257]).to_vec());
                // A symbolic link starts from its folder, a hard link from the top of the archive.
                let parent = match (h[156], name.rsplit_once('/')) {
                    (b'2', Some((parent, _))) => parent.as_bytes().to_vec(),
                    _ => Vec::new(),
                };
                Item::Link(self.clean(&target, &parent)?)
            }
            _ => Item::Other,
        };
        if name.is_empty() {
            return if item == Item::Folder { Ok(()) } else { Err(self.wrong("an entry has no name")) };
        }
        match self.items.get(&name) {
            None => {}
            Some(Item::Folder) if item == Item::Folder => return Ok(()),
            // Blobs are verified against their name, so it does not matter which one is read.
            Some(Item::File(_)) if name.starts_with("blobs/sha256/") && matches!(item, Item::File(_)) => {
                return Ok(());
            }
            Some(_) => {
                return Err(
                    self.wrong(format!("two entries have the name `{}`", show_bytes(name.as_bytes())))
                );
            }
        }
        self.items.insert(name, item);
        Ok(())
    }

    /// A name without `.` and empty parts, relative to a folder of the archive.
    fn clean(&self, raw: &[u8], folder: &[u8]) -> Result<String> {
        let bad = |why: &str| self.wrong(format!("the name `{}` {why}", show_bytes(raw)));
        if raw.starts_with(b"/") {
            return Err(bad("is absolute"));
        }
        if raw.len() > MAX_NAME || raw.contains(&0) {
            return Err(self.wrong(format!("a name has a NUL in it, or more than {MAX_NAME} bytes")));
        }
        let mut parts: Vec<&[u8]> = folder.split(|b| *b == b'/').filter(|p| !p.is_empty()).collect();
        let climbs = !folder.is_empty();
        for part in raw.split(|b| *b == b'/') {
            match part {
                b"" | b"." => {}
                // A link may climb inside the archive, as `../ID/layer.tar` of an old `docker save`.
                b".." if climbs && parts.pop().is_some() => {}
                b".." => return Err(bad("leaves the archive")),
                part => parts.push(part),
            }
        }
        String::from_utf8(parts.join(&b'/')).map_err(|_| bad("is not UTF-8"))
    }

    /// Where a file lies, links followed; `None` where there is no such file.
    pub(crate) fn find(&self, name: &str) -> Result<Option<Range>> {
        let mut name = name;
        for _ in 0..=MAX_LINKS {
            match self.items.get(name) {
                None => return Ok(None),
                Some(Item::File(range)) => return Ok(Some(*range)),
                Some(Item::Link(target)) => name = target,
                Some(Item::Folder | Item::Other) => {
                    return Err(self.wrong(format!("`{}` is no regular file", show_bytes(name.as_bytes()))));
                }
            }
        }
        Err(self
            .wrong(format!("`{}` is a chain of more than {MAX_LINKS} links", show_bytes(name.as_bytes()))))
    }

    /// Where a file lies that must be there.
    pub(crate) fn must_find(&self, name: &str) -> Result<Range> {
        self.find(name)?.ok_or_else(|| {
            self.wrong(format!(
                "there is no `{}` in it, which its own list names",
                show_bytes(name.as_bytes())
            ))
        })
    }

    /// A small file, at most `cap` bytes.
    pub(crate) fn small(&self, name: &str, cap: u64) -> Result<Option<Vec<u8>>> {
        let Some(range) = self.find(name)? else { return Ok(None) };
        if range.size > cap {
            let Range { size, .. } = range;
            let name = show_bytes(name.as_bytes());
            return Err(self.wrong(format!("`{name}` has {size} bytes, at most {cap} are accepted")));
        }
        self.bytes(range).map(Some)
    }

    fn bytes(&self, range: Range) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        self.section(range).read_to_end(&mut out).at("read", &self.path)?;
        if out.len() as u64 != range.size {
            return Err(self.cut(range.at));
        }
        Ok(out)
    }

    /// Reads the content of a file; several sections can be read at the same time.
    pub(crate) fn section(&self, range: Range) -> Section<'_> {
        Section { file: &self.file, at: range.at, left: range.size }
    }
}

/// A part of a file, read in place.
pub(crate) struct Section<'a> {
    file: &'a Volume,
    at: u64,
    left: u64,
}

impl Read for Section<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        let n = self.file.read_at(&mut buf[..room], self.at)?;
        self.at += n as u64;
        self.left -= n as u64;
        Ok(n)
    }
}

fn sum_is_right(h: &[u8; 512]) -> bool {
    let signed: i64 = h
        .iter()
        .enumerate()
        .map(|(i, b)| if (148..156).contains(&i) { 32 } else { i64::from(b.cast_signed()) })
        .sum();
    // Some very old programs added signed bytes.
    number(&h[148..156]).is_some_and(|n| n == checksum(h) || i64::try_from(n) == Ok(signed))
}

/// A number in octal digits, or in base 256 where the first bit is set.
fn number(field: &[u8]) -> Option<u64> {
    let (first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        let mut n = u64::from(first & 0x7f);
        for b in rest {
            n = n.checked_mul(256)?.checked_add(u64::from(*b))?;
        }
        return Some(n);
    }
    let text = std::str::from_utf8(until_nul(field)).ok()?.trim_matches(' ');
    if text.is_empty() {
        return Some(0);
    }
    if text.starts_with('+') { None } else { u64::from_str_radix(text, 8).ok() }
}

fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|b| *b == 0).next().unwrap_or_default()
}

/// The name in a header; only POSIX headers have a prefix, in GNU's other things stand there.
fn own_name(h: &[u8; 512]) -> Vec<u8> {
    let name = until_nul(&h[..100]);
    let prefix = until_nul(&h[345..500]);
    if &h[257..263] == b"ustar\0" && !prefix.is_empty() {
        return [prefix, b"/", name].concat();
    }
    name.to_vec()
}

/// The records of a PAX header: `LENGTH KEY=VALUE\n` each; `None` where they are damaged.
fn pax(mut bytes: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let space = bytes.iter().take(20).position(|b| *b == b' ')?;
        let digits =
            std::str::from_utf8(&bytes[..space]).ok().filter(|d| d.bytes().all(|b| b.is_ascii_digit()))?;
        let length: usize = digits.parse().ok()?;
        let record = bytes.get(space + 1..length)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|b| *b == b'=')?;
        out.push((&record[..equals], &record[equals + 1..]));
        bytes = bytes.get(length..)?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::archive::header::{Kind as What, header};

    /// A tar with given entries: header changed by a function, then content.
    #[derive(Default)]
    struct Tar(Vec<u8>);

    impl Tar {
        fn add(mut self, name: &str, flag: u8, link: &str, content: &[u8]) -> Self {
            let mut h = header(name, content.len() as u64, What::File);
            h[156] = flag;
            h[157..157 + link.len()].copy_from_slice(link.as_bytes());
            self.raw(h, content);
            self
        }

        fn raw(&mut self, mut h: [u8; 512], content: &[u8]) {
            let sum = format!("{:06o}\0 ", checksum(&h));
            h[148..156].copy_from_slice(sum.as_bytes());
            self.0.extend(h);
            self.0.extend(content);
            self.0.resize(self.0.len().next_multiple_of(512), 0);
        }

        fn file(self, name: &str, content: &[u8]) -> Self {
            self.add(name, b'0', "", content)
        }

        fn open(mut self) -> Result<Toc> {
            self.0.extend([0; 1024]);
            open(&self.0)
        }
    }

    fn open(bytes: &[u8]) -> Result<Toc> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.tar");
        std::fs::write(&path, bytes).unwrap();
        Toc::open(&path)
    }

    fn refused(tar: Tar, why: &str) {
        let e = tar.open().unwrap_err();
        assert!(e.to_string().contains(why), "{e}");
        assert_eq!(e.kind(), Kind::Integrity);
    }

    #[test]
    fn files_are_found_by_their_clean_names() {
        let toc = Tar::default()
            .add("blobs/", b'5', "", b"")
            .file("./a//b", b"hello")
            .file("c", b"")
            .add("old/", 0, "", b"")
            .open()
            .unwrap();
        assert_eq!(toc.small("a/b", 5).unwrap().unwrap(), b"hello");
        assert_eq!(toc.small("c", 0).unwrap().unwrap(), b"");
        assert!(toc.small("d", 0).unwrap().is_none());
        assert!(toc.small("a/b", 4).unwrap_err().to_string().contains("at most 4"));
        assert!(toc.find("blobs").is_err() && toc.find("old").is_err());
        assert!(toc.must_find("d").unwrap_err().to_string().contains("`d`"));
    }

    #[test]
    fn links_stay_inside_and_end() {
        let toc = Tar::default()
            .file("one/layer.tar", b"x")
            .add("two/layer.tar", b'2', "../one/layer.tar", b"")
            .add("three", b'1', "two/layer.tar", b"")
            .add("gone", b'2', "nowhere", b"")
            .add("round", b'2', "round", b"")
            .open()
            .unwrap();
        assert_eq!(toc.small("three", 1).unwrap().unwrap(), b"x");
        assert!(toc.find("gone").unwrap().is_none());
        assert!(toc.find("round").unwrap_err().to_string().contains("links"));
        refused(Tar::default().add("a/b", b'2', "../../etc/passwd", b""), "leaves the archive");
        refused(Tar::default().add("a/b", b'2', "/etc/passwd", b""), "absolute");
        refused(Tar::default().add("a/b", b'1', "../x", b""), "leaves the archive");
    }

    #[test]
    fn hostile_names_are_refused() {
        for name in ["/etc/passwd", "//x"] {
            refused(Tar::default().file(name, b""), "absolute");
        }
        for name in ["..", "../x", "a/../../x", "a/.."] {
            refused(Tar::default().file(name, b""), "leaves the archive");
        }
        refused(Tar::default().file(".", b""), "no name");
        refused(Tar::default().file("a", b"1").file("./a", b"2"), "two entries");
        refused(Tar::default().file("a", b"1").add("a", b'2', "b", b""), "two entries");
        let mut bad = Tar::default();
        let mut h = header("x", 0, What::File);
        h[0] = 0xff;
        bad.raw(h, b"");
        refused(bad, "not UTF-8");
        // The same blob twice is harmless: whichever is read is verified.
        assert!(Tar::default().file("blobs/sha256/a", b"1").file("blobs/sha256/a", b"1").open().is_ok());
    }

    #[test]
    fn hostile_headers_are_refused() {
        let sized = |field: &[u8]| {
            let mut tar = Tar::default();
            let mut h = header("x", 0, What::File);
            h[124..124 + field.len()].copy_from_slice(field);
            tar.raw(h, b"");
            tar
        };
        refused(sized(b"99999999999\0"), "no number");
        refused(sized(b"77777777777\0"), "cut short");
        refused(sized(&[0xff; 12]), "no number");
        refused(sized(&[0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), "cut short");
        let mut damaged = Tar::default().file("a", b"").file("b", b"");
        damaged.0[512] ^= 1;
        refused(damaged, "byte 512 is damaged");
        refused(Tar::default(), "nothing in it");
        assert!(open(b"").unwrap_err().to_string().contains("empty"));
        assert!(open(&[7; 2048]).unwrap_err().to_string().contains("no tar file"));
        for (flag, content) in [
            (b'x', &b"99 path=x\n"[..]),
            (b'x', b"0 path=x\n"),
            (b'x', b"11 size=-5\n"),
            (b'x', b"11 size=+5\n"),
            (b'x', b"x"),
            (b'x', b"10 path=x"),
            (b'g', b"10 path=x\n"),
            (b'x', b"18446744073709551616 path=x\n"),
        ] {
            let tar = Tar::default().add("pax", flag, "", content).file("a", b"");
            assert!(tar.open().is_err(), "{}", show_bytes(content));
        }
    }

    #[test]
    fn long_names_and_sizes_come_from_extended_headers() {
        let long = format!("{}/x", "d".repeat(200));
        let record = format!("{} path={long}\n", long.len() + 10);
        let toc = Tar::default()
            .add("pax", b'x', "", record.as_bytes())
            .file("short", b"1")
            .add("././@LongLink", b'L', "", format!("{long}2\0").as_bytes())
            .file("short", b"2")
            .add("pax_global_header", b'g', "", b"16 comment=abcd\n")
            .file("short", b"3")
            .open()
            .unwrap();
        assert_eq!(toc.small(&long, 9).unwrap().unwrap(), b"1");
        assert_eq!(toc.small(&format!("{long}2"), 9).unwrap().unwrap(), b"2");
        assert_eq!(toc.small("short", 9).unwrap().unwrap(), b"3");
        let sparse =
            Tar::default().add("pax", b'x', "", b"22 GNU.sparse.major=1\n").file("s", b"1").open().unwrap();
        assert!(sparse.find("s").is_err());
        refused(Tar::default().add("p", b'x', "", b"13 path=/abs\n").file("a", b""), "absolute");
        let long = vec![b'x'; MAX_NAME + 1];
        refused(Tar::default().add("L", b'L', "", &long).file("a", b""), "more than 4096");
        let huge = vec![b'x'; 1 + usize::try_from(MAX_META).unwrap()];
        refused(Tar::default().add("L", b'L', "", &huge).file("a", b""), "larger than");
    }

    #[test]
    fn a_tar_cut_anywhere_is_refused() {
        let mut whole = Tar::default().file("a", &[1; 700]).file("b", b"2").0;
        let end = whole.len();
        whole.extend([0; 1024]);
        for at in 0..whole.len() {
            let cut = open(&whole[..at]);
            assert_eq!(cut.is_ok(), at >= end + 512, "at {at}");
        }
    }

    #[test]
    fn compressed_archives_get_a_hint() {
        for (magic, tool) in [
            (&b"\x1f\x8b\x08\0\0\0\0"[..], "gzip"),
            (b"\x28\xb5\x2f\xfd\0\0\0", "zstd"),
            (b"BZh91AY", "bzip2"),
            (b"\xfd7zXZ\0\0", "xz"),
        ] {
            assert!(open(magic).unwrap_err().hint_text().unwrap().contains(tool));
        }
    }
}
