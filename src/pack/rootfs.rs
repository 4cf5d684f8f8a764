//! A file system as a base: a folder or a tar, as `docker import` takes it.
//!
//! This is not a model layer. A tar keeps its bytes. A folder keeps mode, owner, hard links,
//! devices and file capabilities, since programs depend on them; its times are clamped, so that two
//! checkouts of the same files give the same digest.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::blob::codec::Codec;
use crate::blob::{Blob, Hashing, Packed, Pass, Recipe, Verify};
use crate::error::{At, Error, Kind, Result, show};
use crate::fs::{Stamp, path_from_bytes};
use crate::model::tree::changed;
use crate::oci::{Descriptor, DiffId, Digest};
use crate::tar;

use super::early;

/// The only extended attribute that is kept: what a program may do without being root.
const CAPABILITY: &str = "security.capability";
/// The largest name or extended header of a tar that is read: 1 MiB.
const MAX_META: u64 = 1 << 20;
/// The most entries of a folder.
const MAX_ENTRIES: usize = 4_000_000;

struct Entry {
    kind: tar::Kind,
    stamp: tar::Stamp,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// For regular files: where the content lies and in which state it was.
    content: Option<(PathBuf, Stamp)>,
}

/// A folder that becomes one layer.
pub struct Folder {
    root: PathBuf,
    entries: BTreeMap<Vec<u8>, Entry>,
}

impl Folder {
    /// Takes a snapshot of everything in a folder. Times after `newest` (seconds since 1970) become
    /// that.
    pub fn scan(root: &Path, newest: u64) -> Result<Self> {
        let mut folder = Self { root: root.to_owned(), entries: BTreeMap::new() };
        folder.walk(root, &mut Vec::new(), newest)?;
        folder.join_hard_links();
        Ok(folder)
    }

    fn walk(&mut self, dir: &Path, path: &mut Vec<u8>, newest: u64) -> Result<()> {
        let mut names = Vec::new();
        for item in std::fs::read_dir(dir).at("list", dir)? {
            names.push(item.at("list", dir)?.file_name().into_vec());
        }
        for name in names {
            let source = dir.join(path_from_bytes(&name));
            let meta = std::fs::symlink_metadata(&source).at("stat", &source)?;
            let kind = meta.file_type();
            if kind.is_socket() {
                // A socket is nothing without its process; no archiver keeps it.
                continue;
            }
            if name.starts_with(b".wh.") {
                return Err(Error::new(
                    Kind::Model,
                    format!(
                        "`{}` has a name that begins with `.wh.`, which means deletion in an image",
                        show(&source)
                    ),
                ));
            }
            if self.entries.len() >= MAX_ENTRIES {
                return Err(Error::new(
                    Kind::Model,
                    format!("`{}` has more than {MAX_ENTRIES} files", show(&self.root)),
                ));
            }
            let depth = path.len();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(&name);
            let mut content = None;
            let what = match () {
                () if kind.is_dir() => tar::Kind::Dir,
                () if kind.is_symlink() => {
                    let target = std::fs::read_link(&source).at("read the link", &source)?;
                    tar::Kind::Link { target: target.as_os_str().as_bytes().to_vec() }
                }
                () if kind.is_fifo() => tar::Kind::Fifo,
                () if kind.is_file() => {
                    content = Some((source.clone(), Stamp::of(&meta)));
                    tar::Kind::File { size: meta.len() }
                }
                () => tar::Kind::Device {
                    block: kind.is_block_device(),
                    major: rustix::fs::major(meta.rdev()),
                    minor: rustix::fs::minor(meta.rdev()),
                },
            };
            let mtime = u64::try_from(meta.mtime()).unwrap_or(0).min(newest);
            let stamp = tar::Stamp {
                mode: meta.mode() & 0o7777,
                uid: meta.uid().into(),
                gid: meta.gid().into(),
                mtime,
            };
            let xattrs = if content.is_some() { capability(&source)? } else { Vec::new() };
            self.entries.insert(path.clone(), Entry { kind: what, stamp, xattrs, content });
            if kind.is_dir() {
                self.walk(&source, path, newest)?;
            }
            path.truncate(depth);
        }
        Ok(())
    }

    /// Of several names of one file the first, in order, keeps the content.
    fn join_hard_links(&mut self) {
        let mut first: BTreeMap<(u64, u64), Vec<u8>> = BTreeMap::new();
        for (path, entry) in &mut self.entries {
            let Some((_, stamp)) = &entry.content else { continue };
            match first.get(&(stamp.dev, stamp.ino)) {
                None => {
                    first.insert((stamp.dev, stamp.ino), path.clone());
                }
                Some(target) => {
                    entry.kind = tar::Kind::HardLink { target: target.clone() };
                    entry.content = None;
                    entry.xattrs.clear();
                }
            }
        }
    }
}

fn capability(source: &Path) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut value = [0; 256];
    match rustix::fs::lgetxattr(source, CAPABILITY, &mut value) {
        Ok(n) => Ok(vec![(CAPABILITY.as_bytes().to_vec(), value[..n].to_vec())]),
        Err(rustix::io::Errno::NODATA | rustix::io::Errno::OPNOTSUPP) => Ok(Vec::new()),
        Err(e) => Err(io::Error::from(e)).at("read the capabilities of", source),
    }
}

impl Recipe for Folder {
    fn title(&self) -> String {
        format!("file system {}", show(&self.root))
    }

    fn size(&self) -> Option<u64> {
        None
    }

    fn work(&self) -> u64 {
        self.entries.values().map(|e| if let tar::Kind::File { size } = e.kind { size } else { 0 }).sum()
    }

    fn open(&self) -> Result<Box<dyn Pass + '_>> {
        Ok(Box::new(FolderPass(Hashing::new(FolderStream {
            entries: self.entries.iter(),
            state: State::Next,
        }))))
    }
}

struct FolderPass<'a>(Hashing<FolderStream<'a>>);

impl Read for FolderPass<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Pass for FolderPass<'_> {
    fn finish(self: Box<Self>) -> Result<Packed> {
        let (digest, size, stream) = self.0.finish();
        if !matches!(stream.state, State::Ended) {
            return Err(early());
        }
        Ok(Packed {
            descriptor: Descriptor::new(Codec::None.media_type(), digest, size),
            diff_id: DiffId(digest),
        })
    }
}

struct FolderStream<'a> {
    entries: std::collections::btree_map::Iter<'a, Vec<u8>, Entry>,
    state: State<'a>,
}

enum State<'a> {
    Next,
    Bytes(Vec<u8>, usize, Option<(&'a Path, &'a Stamp)>),
    Content(File, u64, &'a Path, &'a Stamp),
    Last(usize),
    Ended,
}

impl FolderStream<'_> {
    fn step(&mut self, buf: &mut [u8]) -> Result<Option<usize>> {
        match &mut self.state {
            State::Next => {
                self.state = match self.entries.next() {
                    None => State::Last(0),
                    Some((path, e)) => {
                        let content = e.content.as_ref().map(|(p, s)| (p.as_path(), s));
                        State::Bytes(tar::header(path, &e.kind, e.stamp, &e.xattrs), 0, content)
                    }
                };
            }
            State::Bytes(bytes, at, content) => {
                if *at < bytes.len() {
                    let n = buf.len().min(bytes.len() - *at);
                    buf[..n].copy_from_slice(&bytes[*at..*at + n]);
                    *at += n;
                    return Ok(Some(n));
                }
                self.state = match content {
                    None => State::Next,
                    Some((path, stamp)) => {
                        let file = crate::fs::open_regular(path)?;
                        if Stamp::of(&file.metadata().at("stat", *path)?) != **stamp {
                            return Err(changed(path));
                        }
                        State::Content(file, stamp.size, path, stamp)
                    }
                };
            }
            State::Content(file, left, path, stamp) => {
                if *left > 0 {
                    let room = usize::try_from(*left).unwrap_or(usize::MAX).min(buf.len());
                    let n = file.read(&mut buf[..room]).at("read", *path)?;
                    if n == 0 {
                        return Err(changed(path));
                    }
                    *left -= n as u64;
                    return Ok(Some(n));
                }
                if Stamp::of(&file.metadata().at("stat", *path)?) != **stamp {
                    return Err(changed(path));
                }
                self.state = State::Bytes(vec![0; tar::padding(stamp.size)], 0, None);
            }
            State::Last(at) => {
                if *at < tar::END.len() {
                    let n = buf.len().min(tar::END.len() - *at);
                    buf[..n].fill(0);
                    *at += n;
                    return Ok(Some(n));
                }
                self.state = State::Ended;
            }
            State::Ended => return Ok(Some(0)),
        }
        Ok(None)
    }
}

impl Read for FolderStream<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            if let Some(n) = self.step(buf).map_err(Error::into_io)? {
                return Ok(n);
            }
        }
    }
}

/// A tar that is a layer as it is.
pub struct Tar {
    path: PathBuf,
    descriptor: Descriptor,
    diff_id: DiffId,
}

impl Tar {
    /// Reads a tar once to learn its digests. It may be compressed with gzip or zstd.
    pub fn open(path: &Path) -> Result<Self> {
        let mut head = [0; 512];
        let n = crate::fs::open_regular(path)?.read(&mut head).at("read", path)?;
        let codec = Codec::sniff(&head[..n]);
        if codec == Codec::None
            && (n < 512 || (&head[257..262] != b"ustar" && head[..512].iter().any(|b| *b != 0)))
        {
            return Err(Error::new(Kind::Model, format!("`{}` is not a tar archive", show(path))).hint(
                "give a folder, or a tar of a file system that is plain or compressed with gzip or zstd",
            ));
        }
        let mut stored = Hashing::new(crate::fs::open_regular(path)?);
        let diff_id = {
            let mut inside = Hashing::new(codec.decode(&mut stored)?);
            check_entries(&mut inside, path)?;
            io::copy(&mut inside, &mut io::sink()).at("decompress", path)?;
            let (digest, _, _) = inside.finish();
            DiffId(digest)
        };
        // What follows the compressed content belongs to the blob as well.
        io::copy(&mut stored, &mut io::sink()).at("read", path)?;
        let (digest, size, _): (Digest, u64, _) = stored.finish();
        Ok(Self {
            path: path.to_owned(),
            descriptor: Descriptor::new(codec.media_type(), digest, size),
            diff_id,
        })
    }

    /// The diff id of the tar inside.
    pub fn diff_id(&self) -> DiffId {
        self.diff_id
    }
}

/// Walks the headers: a truncated archive, or a path that leaves the root, is an error here and not
/// when somebody unpacks the image.
fn check_entries(from: &mut dyn Read, path: &Path) -> Result<()> {
    let broken = |e: io::Error| {
        let what = format!("`{}` is not a whole tar archive", show(path));
        e.downcast::<Error>().unwrap_or_else(|e| Error::new(Kind::Integrity, what).because(e))
    };
    let stays = |name: &[u8], what: &str| {
        if !name.split(|b| *b == b'/').any(|part| part == b"..") {
            return Ok(());
        }
        let name = crate::error::show_bytes(name);
        Err(Error::new(
            Kind::Model,
            format!("`{}` holds the {what} `{name}`, which leaves the root", show(path)),
        )
        .hint("make the archive again from inside the folder: `tar -C FOLDER -cf FILE .`"))
    };
    let mut archive = ::tar::Archive::new(from);
    // Raw, since the reader would take names of any length into memory.
    for entry in archive.entries().map_err(broken)?.raw(true) {
        let mut entry = entry.map_err(broken)?;
        let kind = entry.header().entry_type();
        let meta = kind.is_gnu_longname()
            || kind.is_gnu_longlink()
            || kind.is_pax_local_extensions()
            || kind.is_pax_global_extensions();
        if !meta {
            stays(&entry.path_bytes(), "path")?;
            if kind.is_hard_link()
                && let Some(target) = entry.link_name_bytes()
            {
                stays(&target, "link to")?;
            }
            continue;
        }
        if entry.size() > MAX_META {
            return Err(Error::new(
                Kind::Integrity,
                format!(
                    "`{}` has a name or header of {} bytes, at most {MAX_META} are read",
                    show(path),
                    entry.size()
                ),
            ));
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(broken)?;
        if kind.is_gnu_longlink() {
            continue;
        }
        if kind.is_gnu_longname() {
            stays(bytes.split(|b| *b == 0).next().unwrap_or_default(), "path")?;
            continue;
        }
        for record in ::tar::PaxExtensions::new(&bytes) {
            let record = record.map_err(broken)?;
            if matches!(record.key_bytes(), b"path") {
                stays(record.value_bytes(), "path")?;
            }
        }
    }
    Ok(())
}

impl Blob for Tar {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn open(&self) -> Result<Box<dyn Read + Send + '_>> {
        let file = crate::fs::open_regular(&self.path)?;
        Ok(Box::new(Verify::new(
            file,
            &self.descriptor,
            format!("`{}` changed since it was hashed", show(&self.path)),
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Quiet;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn pack(dir: &Path) -> Vec<u8> {
        let mut out = Vec::new();
        let folder = Folder::scan(dir, 1).unwrap();
        let mut pass = folder.open().unwrap();
        pass.read_to_end(&mut out).unwrap();
        assert_eq!(pass.finish().unwrap().descriptor.digest, Digest::of(&out));
        out
    }

    #[test]
    fn a_folder_keeps_modes_and_hard_links_and_loses_times() {
        let d = tempfile::tempdir().unwrap();
        std::fs::create_dir(d.path().join("bin")).unwrap();
        let tool = d.path().join("bin/tool");
        std::fs::write(&tool, "#!").unwrap();
        std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o4755)).unwrap();
        std::fs::hard_link(&tool, d.path().join("bin/twin")).unwrap();
        symlink("/bin/tool", d.path().join("sh")).unwrap();
        let bytes = pack(d.path());
        let mut archive = ::tar::Archive::new(&bytes[..]);
        let seen: Vec<(String, u8, u32, u64)> = archive
            .entries()
            .unwrap()
            .map(|e| {
                let e = e.unwrap();
                let h = e.header();
                let name = String::from_utf8_lossy(&e.path_bytes()).into_owned();
                (name, h.entry_type().as_byte(), h.mode().unwrap(), h.mtime().unwrap())
            })
            .collect();
        assert_eq!(seen[1], ("bin/tool".into(), b'0', 0o4755, 1));
        assert_eq!(seen[2], ("bin/twin".into(), b'1', 0o4755, 1));
        assert_eq!(seen[3].1, b'2');
        let again = pack(d.path());
        assert!(bytes == again);
    }

    #[test]
    fn a_tar_keeps_its_bytes() {
        let d = tempfile::tempdir().unwrap();
        std::fs::create_dir(d.path().join("root")).unwrap();
        std::fs::write(d.path().join("root/x"), "x").unwrap();
        let bytes = pack(&d.path().join("root"));
        let plain = d.path().join("plain.tar");
        std::fs::write(&plain, &bytes).unwrap();
        let zipped = d.path().join("x.tar.gz");
        let mut gz = Vec::new();
        Codec::Gzip
            .encode(&bytes[..], 1, &crate::blob::codec::Pool::new(1))
            .unwrap()
            .read_to_end(&mut gz)
            .unwrap();
        std::fs::write(&zipped, &gz).unwrap();
        let (plain, zipped) = (Tar::open(&plain).unwrap(), Tar::open(&zipped).unwrap());
        assert_eq!(plain.diff_id(), DiffId(Digest::of(&bytes)));
        assert_eq!(zipped.diff_id(), plain.diff_id());
        assert_eq!(zipped.descriptor().digest, Digest::of(&gz));
        assert_eq!(
            crate::pack::hash(&Folder::scan(&d.path().join("root"), 1).unwrap(), &Quiet).unwrap().diff_id,
            plain.diff_id()
        );
    }

    #[test]
    fn what_is_no_whole_tar_is_refused() {
        let d = tempfile::tempdir().unwrap();
        let path = d.path().join("x.tar");
        std::fs::write(&path, "not a tar").unwrap();
        assert!(Tar::open(&path).is_err());
        let mut bytes = tar::header(
            b"a",
            &tar::Kind::File { size: 5000 },
            tar::Stamp { mode: 0o644, uid: 0, gid: 0, mtime: 1 },
            &[],
        );
        bytes.extend([1; 100]);
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(Tar::open(&path).err().unwrap().kind(), Kind::Integrity);
    }

    #[test]
    fn a_name_that_would_fill_the_memory_is_refused() {
        let d = tempfile::tempdir().unwrap();
        let path = d.path().join("x.tar");
        let mut header = ::tar::Header::new_gnu();
        header.set_entry_type(::tar::EntryType::GNULongName);
        header.set_size(1 << 30);
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend([b'x'; 4096]);
        std::fs::write(&path, &bytes).unwrap();
        let e = Tar::open(&path).err().unwrap();
        assert!(e.to_string().contains("at most 1048576 are read"), "{e}");
    }

    #[test]
    fn links_that_leave_the_root_are_refused() {
        let d = tempfile::tempdir().unwrap();
        let path = d.path().join("x.tar");
        let stamp = tar::Stamp { mode: 0o644, uid: 0, gid: 0, mtime: 1 };
        let mut bytes = tar::header(b"h", &tar::Kind::HardLink { target: b"../../x".to_vec() }, stamp, &[]);
        bytes.extend(tar::END);
        std::fs::write(&path, &bytes).unwrap();
        assert!(Tar::open(&path).err().unwrap().to_string().contains("leaves the root"));
    }
}
