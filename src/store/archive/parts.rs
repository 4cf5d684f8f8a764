//! An archive that was cut into parts: `FILE.000`, `FILE.001` and so on, and `FILE.sha256`.
//!
//! The parts are cuts of one stream: `cat FILE.[0-9]*` is the archive, and `sha256sum -c FILE.sha256`
//! checks them without floe. Here they are read as the one file that they are, nothing is joined on
//! disk. A part is not an archive of its own.
//!
//! Invariant: `FILE.sha256` is written last, so that a set that has it was once whole.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::blob::{CHUNK, Hashing};
use crate::error::{At, Error, Kind, Result, show, show_bytes};
use crate::fs;
use crate::oci::Digest;

/// The most parts of one archive, so that their names sort as their numbers do.
const MAX_PARTS: u64 = 1000;
/// The largest `FILE.sha256`: a line for each part, with a name that a file system can hold.
const MAX_LIST: u64 = MAX_PARTS * 512;

/// Part N of an archive.
fn part(target: &Path, number: u64) -> PathBuf {
    with_ending(target, &format!(".{number:03}"))
}

/// The list of an archive's parts with their digests.
fn list(target: &Path) -> PathBuf {
    with_ending(target, ".sha256")
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// An archive's bytes, in one file or in several.
#[derive(Debug)]
pub(crate) struct Volume {
    /// Each with the offset of its first byte.
    files: Vec<(u64, File)>,
    size: u64,
    /// The path that the parts have in common; `None` for a single file.
    parts: Option<PathBuf>,
}

impl Volume {
    /// Opens a file, or the parts of one: where there is no file of the name, or where the first part
    /// is named.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let first = path.as_os_str().as_encoded_bytes().strip_suffix(b".000").map(fs::path_from_bytes);
        match first {
            Some(target) if list(&target).exists() || part(&target, 1).exists() => Self::of_parts(target),
            _ if !path.exists() && (part(path, 0).exists() || list(path).exists()) => {
                Self::of_parts(path.to_owned())
            }
            _ => {
                let file = fs::open_regular(path)?;
                let size = file.metadata().at("stat", path)?.len();
                Ok(Self { files: vec![(0, file)], size, parts: None })
            }
        }
    }

    fn of_parts(target: PathBuf) -> Result<Self> {
        let lost = |missing: &Path| {
            Error::new(Kind::Integrity, format!("the part `{}` of an archive is missing", show(missing)))
                .hint("copy that part again; all of them lie in one folder")
        };
        let listed = read_list(&target)?;
        let mut files = Vec::new();
        let mut size = 0;
        for number in 0..=MAX_PARTS {
            let path = part(&target, number);
            let wanted = listed.as_ref().is_none_or(|l| number < l.len() as u64);
            if !wanted || !path.exists() {
                let more = match &listed {
                    Some(_) => wanted,
                    // Without the list, a later part shows that this one is missing.
                    None => number == 0 || part(&target, number + 1).exists(),
                };
                if more {
                    return Err(lost(&path));
                }
                break;
            }
            let file = fs::open_regular(&path)?;
            let bytes = file.metadata().at("stat", &path)?.len();
            files.push((size, file));
            size += bytes;
        }
        Ok(Self { files, size, parts: Some(target) })
    }

    /// Number of bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// As [`FileExt::read_at`], never across the end of a part.
    pub(crate) fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let index = self.files.partition_point(|(start, _)| *start <= at).saturating_sub(1);
        // An empty part ends where it begins; what lies there is in a later one.
        for (start, file) in self.files.iter().skip(index) {
            let n = file.read_at(buf, at.saturating_sub(*start))?;
            if n > 0 || buf.is_empty() {
                return Ok(n);
            }
        }
        Ok(0)
    }

    /// As [`FileExt::read_exact_at`].
    pub(crate) fn read_exact_at(&self, mut buf: &mut [u8], mut at: u64) -> io::Result<()> {
        while !buf.is_empty() {
            match self.read_at(buf, at) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => {
                    at += n as u64;
                    buf = &mut buf[n..];
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Hashes the parts, where their digests are known, so that a damaged one is named. A single file
    /// passes: what is wrong with it shows in its content.
    pub(crate) fn check_parts(&self) -> Result<()> {
        let Some(target) = &self.parts else { return Ok(()) };
        let Some(listed) = read_list(target)? else { return Ok(()) };
        for (number, wanted) in listed.iter().enumerate() {
            let path = part(target, number as u64);
            let found = hash(&path)?;
            if found != *wanted {
                let path = show(&path);
                return Err(Error::new(
                    Kind::Integrity,
                    format!("the part `{path}` is damaged: expected {wanted}, found {found}"),
                )
                .hint("copy that part again"));
            }
        }
        Ok(())
    }
}

fn hash(path: &Path) -> Result<Digest> {
    let mut reader = Hashing::new(fs::open_regular(path)?);
    let mut buffer = vec![0; CHUNK];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(reader.finish().0),
            Err(e) if e.kind() != io::ErrorKind::Interrupted => return Err(e).at("read", path),
            _ => {}
        }
    }
}

/// The digests in `FILE.sha256`, in the order of the parts; `None` where there is no such file.
fn read_list(target: &Path) -> Result<Option<Vec<Digest>>> {
    let path = list(target);
    if !path.exists() {
        return Ok(None);
    }
    let bytes = fs::read_capped(&path, MAX_LIST).map_err(|e| e.with_kind(Kind::Integrity))?;
    let damaged = |line: usize| {
        Error::new(Kind::Integrity, format!("`{}` is damaged in line {line}", show(&path)))
            .hint("copy that file again, or remove it: the parts are read without it too")
    };
    let mut digests = Vec::new();
    for (number, line) in bytes.split(|b| *b == b'\n').filter(|l| !l.is_empty()).enumerate() {
        let line = std::str::from_utf8(line).map_err(|_| damaged(number + 1))?;
        // As sha256sum writes it: text has two spaces, binary one and a star.
        let (hex, name) = line.split_at_checked(64).ok_or_else(|| damaged(number + 1))?;
        let ending = format!(".{number:03}");
        if !(name.starts_with("  ") || name.starts_with(" *")) || !name.ends_with(&ending) {
            return Err(damaged(number + 1));
        }
        digests.push(format!("sha256:{hex}").parse().map_err(|_| damaged(number + 1))?);
    }
    if digests.is_empty() { Err(damaged(1)) } else { Ok(Some(digests)) }
}

/// Cuts a file that is whole into parts of `size` bytes, the last perhaps smaller, named after
/// `target`. The file becomes the first part; beside it, room for one part more is needed.
pub(crate) fn cut(whole: tempfile::NamedTempFile, target: &Path, size: u64, sync: bool) -> Result<()> {
    let total = whole.as_file().metadata().at("stat", target)?.len();
    let count = total.div_ceil(size).max(1);
    if count > MAX_PARTS {
        return Err(Error::new(
            Kind::Usage,
            format!("`{}` has {total} bytes and would be cut into {count} parts", show(target)),
        )
        .hint(format!("choose a larger size: at most {MAX_PARTS} parts are made")));
    }
    let old = read_list(target).ok().flatten().map_or(0, |l| l.len() as u64);
    let mut parts = Vec::new();
    for number in (1..count).rev() {
        let start = number * size;
        let mut temp = fs::temp_beside(target)?;
        let mut from = Hashing::new(Tail { file: whole.as_file(), at: start });
        io::copy(&mut from, temp.as_file_mut()).at("write a part of", target)?;
        parts.push((number, from.finish().0, temp));
        whole.as_file().set_len(start).at("cut", target)?;
    }
    let mut first = Hashing::new(Tail { file: whole.as_file(), at: 0 });
    io::copy(&mut first, &mut io::sink()).at("read", target)?;
    let first = first.finish().0;
    parts.push((0, first, whole));
    parts.reverse();

    let mut lines = String::new();
    // A list of earlier parts must not stand beside new ones.
    for path in [list(target), target.to_owned()] {
        if path.is_file() {
            std::fs::remove_file(&path).at("remove", &path)?;
        }
    }
    for (number, digest, temp) in parts {
        let path = part(target, number);
        if sync {
            temp.as_file().sync_all().at("sync", &path)?;
        }
        temp.persist(&path).map_err(|e| e.error).at("rename into place", &path)?;
        let name = path.file_name().map(|n| show_bytes(n.as_encoded_bytes())).unwrap_or_default();
        lines.extend([format!("{}  {name}\n", digest.hex())]);
    }
    for number in count..old.max(count) {
        let path = part(target, number);
        if path.is_file() {
            std::fs::remove_file(&path).at("remove an old part", &path)?;
        }
    }
    fs::write_atomic(&list(target), lines.as_bytes(), sync)
}

/// Reads a file from an offset on, without moving its position.
struct Tail<'a> {
    file: &'a File,
    at: u64,
}

impl Read for Tail<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read_at(buf, self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn whole(dir: &Path, bytes: &[u8]) -> tempfile::NamedTempFile {
        let mut temp = tempfile::NamedTempFile::new_in(dir).unwrap();
        temp.write_all(bytes).unwrap();
        temp
    }

    fn read(volume: &Volume) -> Vec<u8> {
        let mut out = vec![0; usize::try_from(volume.size()).unwrap()];
        volume.read_exact_at(&mut out, 0).unwrap();
        out
    }

    #[test]
    fn parts_are_read_as_the_file_that_they_were() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("x.tar");
        let bytes: Vec<u8> = (0..=255).cycle().take(1000).collect();
        for (size, count) in [(300, 4), (1000, 1), (999, 2), (1, 1000), (5000, 1)] {
            cut(whole(dir.path(), &bytes), &target, size, false).unwrap();
            for path in [target.clone(), part(&target, 0)] {
                let volume = Volume::open(&path).unwrap();
                assert_eq!(volume.files.len(), count, "{size}");
                assert_eq!(read(&volume), bytes, "{size}");
                volume.check_parts().unwrap();
            }
            // What an earlier cut left over is gone, and `cat` gives the file.
            let mut names: Vec<_> =
                std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
            names.sort();
            assert_eq!(names.len(), count + 1, "{names:?}");
            let joined: Vec<u8> =
                names[..count].iter().flat_map(|n| std::fs::read(dir.path().join(n)).unwrap()).collect();
            assert_eq!(joined, bytes);
        }
        assert!(cut(whole(dir.path(), &[0; 1001]), &target, 1, false).is_err());
    }

    #[test]
    fn a_lost_or_damaged_part_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("x.tar");
        cut(whole(dir.path(), &[7; 1000]), &target, 300, false).unwrap();
        let second = part(&target, 1);
        std::fs::write(&second, [8; 300]).unwrap();
        let e = Volume::open(&target).unwrap().check_parts().unwrap_err();
        assert!(e.to_string().contains("x.tar.001` is damaged") && e.kind() == Kind::Integrity, "{e}");
        std::fs::remove_file(&second).unwrap();
        let e = Volume::open(&target).unwrap_err();
        assert!(e.to_string().contains("x.tar.001` of an archive is missing"), "{e}");
        std::fs::remove_file(list(&target)).unwrap();
        assert!(Volume::open(&target).unwrap_err().to_string().contains("x.tar.001"));
        // The last is missed by the list alone.
        std::fs::write(&second, [7; 300]).unwrap();
        std::fs::remove_file(part(&target, 3)).unwrap();
        assert_eq!(Volume::open(&target).unwrap().size(), 900);
    }

    #[test]
    fn a_list_that_is_none_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("x.tar");
        cut(whole(dir.path(), b"12"), &target, 1, false).unwrap();
        let zeros = "0".repeat(64);
        for bad in
            ["", "x", "é", &zeros, &format!("{zeros}  x.tar.001"), &format!("{}  x.tar.000", "g".repeat(64))]
        {
            std::fs::write(list(&target), bad).unwrap();
            let e = Volume::open(&target).unwrap_err();
            assert_eq!(e.kind(), Kind::Integrity, "{bad}");
        }
    }
}
