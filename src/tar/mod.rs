//! Tar headers, every byte of them ours.
//!
//! ustar with PAX records where ustar has no room (POSIX.1-2017, `pax`, "ustar Interchange
//! Format"). This module makes headers; it reads no file and no archive. Invariant: the blocks are
//! a function of the path, the [`Kind`] and the [`Stamp`] alone, so that a layer has the same bytes wherever
//! it is made. Changing a byte here needs a new layout version.

/// The size of everything in a tar.
pub const BLOCK: usize = 512;
/// What ends an archive: two blocks of zeros, and no padding to a record.
pub const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];
/// The first size that the eleven octal digits of ustar cannot hold.
const OCTAL_LIMIT: u64 = 1 << 33;
/// The first uid or gid that seven octal digits cannot hold.
const ID_LIMIT: u64 = 1 << 21;
/// The name that every PAX header carries; readers that know PAX never show it.
const PAX_NAME: &[u8] = b"././@PaxHeader";

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Dir,
    /// A regular file of so many bytes.
    File {
        /// Bytes of content, which follow the header and are padded to a block.
        size: u64,
    },
    /// A symbolic link.
    Link {
        /// As it stands in the link.
        target: Vec<u8>,
    },
    /// A hard link to an earlier entry; only bases have them.
    HardLink {
        /// Path of the earlier entry.
        target: Vec<u8>,
    },
    /// A character or block device; only bases have them.
    Device {
        /// Whether it is a block device.
        block: bool,
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A FIFO; only bases have them.
    Fifo,
}

/// Who owns an entry, and what may be done with it, and when it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Permission bits.
    pub mode: u32,
    /// User number.
    pub uid: u64,
    /// Group number.
    pub gid: u64,
    /// Modification time in seconds since 1970.
    pub mtime: u64,
}

/// The header blocks of an entry: a PAX header first where one is needed.
///
/// `path` is relative, without a trailing slash. `xattrs` are written as `SCHILY.xattr.` records.
pub fn header(path: &[u8], kind: &Kind, stamp: Stamp, xattrs: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut name = path.to_vec();
    if *kind == Kind::Dir {
        name.push(b'/');
    }
    let target: &[u8] = match kind {
        Kind::Link { target } | Kind::HardLink { target } => target,
        _ => &[],
    };
    let size = if let Kind::File { size } = kind { *size } else { 0 };

    let mut records = Vec::new();
    if !is_utf8(&name) || !is_utf8(target) {
        record(&mut records, b"hdrcharset", b"BINARY");
    }
    if !fits(&name) {
        record(&mut records, b"path", &name);
    }
    if !fits(target) {
        record(&mut records, b"linkpath", target);
    }
    if size >= OCTAL_LIMIT {
        record(&mut records, b"size", size.to_string().as_bytes());
    }
    if stamp.uid >= ID_LIMIT {
        record(&mut records, b"uid", stamp.uid.to_string().as_bytes());
    }
    if stamp.gid >= ID_LIMIT {
        record(&mut records, b"gid", stamp.gid.to_string().as_bytes());
    }
    for (key, value) in xattrs {
        record(&mut records, &[b"SCHILY.xattr.", &key[..]].concat(), value);
    }

    let mut out = Vec::with_capacity(BLOCK);
    if !records.is_empty() {
        let kind = Kind::File { size: records.len() as u64 };
        let mode = Stamp { mode: 0o644, uid: 0, gid: 0, mtime: stamp.mtime };
        out.extend_from_slice(&block(PAX_NAME, &kind, b"", mode, b'x'));
        out.extend_from_slice(&records);
        out.resize(out.len().next_multiple_of(BLOCK), 0);
    }
    let flag = match kind {
        Kind::File { .. } => b'0',
        Kind::HardLink { .. } => b'1',
        Kind::Link { .. } => b'2',
        Kind::Device { block: false, .. } => b'3',
        Kind::Device { block: true, .. } => b'4',
        Kind::Dir => b'5',
        Kind::Fifo => b'6',
    };
    out.extend_from_slice(&block(&name, kind, target, stamp, flag));
    out
}

/// Number of zero bytes after a content of `size` bytes.
pub fn padding(size: u64) -> usize {
    usize::try_from(size.next_multiple_of(BLOCK as u64) - size).unwrap_or(0)
}

fn is_utf8(name: &[u8]) -> bool {
    std::str::from_utf8(name).is_ok()
}

/// Whether a name can stand in a ustar header as it is. The prefix field is not used: readers
/// disagree on where to split.
fn fits(name: &[u8]) -> bool {
    name.len() <= 100 && name.is_ascii()
}

/// Appends `LENGTH KEY=VALUE\n`, where the length counts itself.
fn record(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    out.extend_from_slice(length.to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

fn block(name: &[u8], kind: &Kind, target: &[u8], stamp: Stamp, flag: u8) -> [u8; BLOCK] {
    let mut b = [0; BLOCK];
    text(&mut b[0..100], name);
    octal(&mut b[100..108], u64::from(stamp.mode));
    octal(&mut b[108..116], if stamp.uid < ID_LIMIT { stamp.uid } else { 0 });
    octal(&mut b[116..124], if stamp.gid < ID_LIMIT { stamp.gid } else { 0 });
    let size = if let Kind::File { size } = kind { *size } else { 0 };
    octal(&mut b[124..136], if size < OCTAL_LIMIT { size } else { 0 });
    octal(&mut b[136..148], stamp.mtime);
    b[156] = flag;
    text(&mut b[157..257], target);
    b[257..265].copy_from_slice(b"ustar\x0000");
    if let Kind::Device { major, minor, .. } = kind {
        octal(&mut b[329..337], u64::from(*major));
        octal(&mut b[337..345], u64::from(*minor));
    } else {
        octal(&mut b[329..337], 0);
        octal(&mut b[337..345], 0);
    }
    // The checksum counts itself as eight spaces.
    b[148..156].fill(b' ');
    let sum: u64 = b.iter().map(|x| u64::from(*x)).sum();
    octal(&mut b[148..155], sum);
    b[155] = b' ';
    b
}

/// A name, cut and with other bytes than ASCII replaced: the PAX record has it whole.
fn text(field: &mut [u8], value: &[u8]) {
    for (to, from) in field.iter_mut().zip(value) {
        *to = if from.is_ascii() { *from } else { b'_' };
    }
}

/// Octal digits, as many as the field holds, and a NUL.
fn octal(field: &mut [u8], mut value: u64) {
    let digits = field.len() - 1;
    for at in (0..digits).rev() {
        field[at] = b'0' + (value & 7) as u8;
        value >>= 3;
    }
    field[digits] = 0;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    const STAMP: Stamp = Stamp { mode: 0o644, uid: 0, gid: 0, mtime: 1 };

    fn archive(entries: &[(&[u8], Kind, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (path, kind, content) in entries {
            out.extend(header(path, kind, STAMP, &[]));
            out.extend_from_slice(content);
            out.resize(out.len().next_multiple_of(BLOCK), 0);
        }
        out.extend(END);
        out
    }

    #[test]
    fn another_reader_sees_what_was_written() {
        let long = [b'x'; 300];
        let bytes = archive(&[
            (b"model", Kind::Dir, b""),
            (b"model/a", Kind::File { size: 3 }, b"abc"),
            (&long, Kind::File { size: 1 }, b"y"),
            ("größe".as_bytes(), Kind::File { size: 0 }, b""),
            (b"\xff\xfe", Kind::File { size: 2 }, b"zz"),
            (b"link", Kind::Link { target: long.to_vec() }, b""),
        ]);
        let mut archive = tar::Archive::new(&bytes[..]);
        let mut seen = Vec::new();
        for e in archive.entries().unwrap() {
            let mut e = e.unwrap();
            let mut content = String::new();
            e.read_to_string(&mut content).unwrap();
            assert_eq!((e.header().mtime().unwrap(), e.header().uid().unwrap()), (1, 0));
            seen.push((e.path_bytes().into_owned(), e.link_name_bytes().map(|l| l.into_owned()), content));
        }
        let want = |p: &[u8], l: Option<&[u8]>, c: &str| (p.to_vec(), l.map(<[u8]>::to_vec), c.to_owned());
        assert_eq!(
            seen,
            [
                want(b"model/", None, ""),
                want(b"model/a", None, "abc"),
                want(&long, None, "y"),
                want("größe".as_bytes(), None, ""),
                want(b"\xff\xfe", None, "zz"),
                want(b"link", Some(&long), ""),
            ]
        );
    }

    #[test]
    fn a_size_of_eight_gibibytes_goes_into_a_record() {
        let small = header(b"x", &Kind::File { size: OCTAL_LIMIT - 1 }, STAMP, &[]);
        assert_eq!(small.len(), BLOCK);
        assert_eq!(&small[124..136], b"77777777777\0");
        let large = header(b"x", &Kind::File { size: OCTAL_LIMIT }, STAMP, &[]);
        assert_eq!(large.len(), 3 * BLOCK);
        assert!(large[BLOCK..].starts_with(b"19 size=8589934592\n"));
        let mut archive = tar::Archive::new(&large[..]);
        let entry = archive.entries().unwrap().next().unwrap().unwrap();
        assert_eq!(entry.size(), OCTAL_LIMIT);
    }

    #[test]
    fn a_record_counts_its_own_length() {
        // Lengths around the places where one more digit makes the number itself longer.
        for n in [0, 1, 80, 86, 87, 88, 89, 90, 980, 986, 987, 988, 989, 990, 991] {
            let mut out = Vec::new();
            record(&mut out, b"path", &vec![b'x'; n]);
            let digits = out.iter().position(|b| *b == b' ').unwrap();
            let length: usize = std::str::from_utf8(&out[..digits]).unwrap().parse().unwrap();
            assert_eq!(length, out.len());
        }
    }

    #[test]
    fn the_bytes_are_pinned() {
        let bytes = header(b"model/files/a", &Kind::File { size: 5 }, STAMP, &[]);
        assert_eq!(crate::oci::Digest::of(&bytes).short(), "b2fbb7946df7fb31");
    }
}
