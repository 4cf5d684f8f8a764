//! The tree: the sorted snapshot of what will be packed.
//!
//! An entry has a path in the image (relative to the model's folder there) and a source on disk.
//! The tree is not the model directory: what is ignored or not selected is not in it. Only here are
//! a model's files opened, and only as regular files.
//!
//! Invariants: paths are relative, without `.`, `..` or empty components, sorted bytewise and
//! unique; a link's target is another entry, unless it was followed, and then there is no link.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::{At, Error, Kind, Result, show, show_bytes};
use crate::fs::{Stamp, path_from_bytes};

/// The most entries that a tree may have.
pub const MAX_ENTRIES: usize = 1_000_000;
/// The deepest that folders may be nested.
pub const MAX_DEPTH: usize = 64;

/// One file, folder or link of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Path in the image, relative to the model's folder; raw bytes, `/` between components.
    pub path: Vec<u8>,
    /// Where it lies on disk.
    pub source: PathBuf,
    /// What it is.
    pub kind: EntryKind,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A folder.
    Dir,
    /// A regular file.
    File {
        /// Its state when the snapshot was taken.
        stamp: Stamp,
        /// Whether anybody may execute it.
        executable: bool,
    },
    /// A symbolic link to another entry, with the target as it will stand in the image.
    Link {
        /// Relative to the folder of the link.
        target: Vec<u8>,
    },
}

/// A file or folder on disk and the path that it gets in the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selected {
    /// On disk.
    pub source: PathBuf,
    /// In the image, relative to the model's folder; empty for the content of a folder itself.
    pub dest: Vec<u8>,
}

/// Decides what is left out; `true` for "leave out". Given the path on disk and whether it is a folder.
pub type Ignore<'a> = dyn Fn(&Path, bool) -> bool + 'a;

/// The snapshot.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    entries: Vec<Entry>,
    /// Paths on disk that the ignore rules left out, sorted.
    pub ignored: Vec<PathBuf>,
}

/// A link that was met, before all entries are known.
struct Pending {
    path: Vec<u8>,
    source: PathBuf,
}

struct Scan<'a> {
    entries: BTreeMap<Vec<u8>, Entry>,
    links: Vec<Pending>,
    ignored: BTreeSet<PathBuf>,
    ignore: &'a Ignore<'a>,
    follow: bool,
}

impl Tree {
    /// Takes the snapshot of what was selected.
    ///
    /// Links between entries are kept. Others are an error that says so, unless `follow`: then
    /// what they point to is packed in their place.
    pub fn scan(selected: &[Selected], ignore: &Ignore<'_>, follow: bool) -> Result<Self> {
        let mut scan =
            Scan { entries: BTreeMap::new(), links: Vec::new(), ignored: BTreeSet::new(), ignore, follow };
        for s in selected {
            scan.visit(&s.source, &s.dest, &mut Vec::new(), true)?;
        }
        scan.settle_links()?;
        let tree = Self {
            entries: scan.entries.into_values().collect(),
            ignored: scan.ignored.into_iter().collect(),
        };
        tree.check_parents()?;
        Ok(tree)
    }

    /// All entries, sorted by path.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry with this path, links followed.
    pub fn get(&self, path: &[u8]) -> Option<&Entry> {
        let mut path = path.to_vec();
        // Chains of links are short; a loop ends here.
        for _ in 0..16 {
            let at = self.entries.binary_search_by(|e| e.path.as_slice().cmp(&path)).ok()?;
            let entry = &self.entries[at];
            match &entry.kind {
                EntryKind::Link { target } => path = join_lexically(folder_of(&path), target)?,
                _ => return Some(entry),
            }
        }
        None
    }

    /// Every path at which a regular file can be read, through links too, with its entry, in order.
    pub fn files(&self) -> impl Iterator<Item = (&[u8], &Entry)> {
        self.entries.iter().filter_map(|e| match e.kind {
            EntryKind::Dir => None,
            EntryKind::File { .. } => Some((e.path.as_slice(), e)),
            EntryKind::Link { .. } => {
                let target = self.get(&e.path)?;
                matches!(target.kind, EntryKind::File { .. }).then_some((e.path.as_slice(), target))
            }
        })
    }

    /// Total size of all files in bytes.
    pub fn size(&self) -> u64 {
        self.entries
            .iter()
            .map(|e| if let EntryKind::File { stamp, .. } = &e.kind { stamp.size } else { 0 })
            .sum()
    }

    /// Opens a file of the tree for reading pieces of it.
    pub fn open(&self, path: &[u8]) -> Result<Content> {
        let entry = self.get(path).ok_or_else(|| {
            Error::new(Kind::Model, format!("there is no file `{}` in the model", show_bytes(path)))
        })?;
        Content::open(entry)
    }

    fn check_parents(&self) -> Result<()> {
        for e in &self.entries {
            let mut folder = folder_of(&e.path);
            while !folder.is_empty() {
                if let Ok(at) = self.entries.binary_search_by(|x| x.path.as_slice().cmp(folder))
                    && !matches!(self.entries[at].kind, EntryKind::Dir)
                {
                    return Err(clash(folder, &self.entries[at].source, &e.source));
                }
                folder = folder_of(folder);
            }
        }
        Ok(())
    }
}

impl Scan<'_> {
    fn visit(&mut self, source: &Path, dest: &[u8], above: &mut Vec<(u64, u64)>, top: bool) -> Result<()> {
        let meta = std::fs::symlink_metadata(source).at("stat", source)?;
        let kind = meta.file_type();
        if kind.is_symlink() {
            // A link to a folder is judged as a folder: `data/` must match it too.
            let is_dir = std::fs::metadata(source).is_ok_and(|m| m.is_dir());
            if !top && (self.ignore)(source, is_dir) {
                self.ignored.insert(source.to_owned());
                return Ok(());
            }
            if top && dest.is_empty() {
                let real = std::fs::canonicalize(source).at("resolve", source)?;
                return self.visit(&real, dest, above, top);
            }
            self.links.push(Pending { path: dest.to_vec(), source: source.to_owned() });
            return Ok(());
        }
        if !top && (self.ignore)(source, kind.is_dir()) {
            self.ignored.insert(source.to_owned());
            return Ok(());
        }
        if kind.is_dir() {
            return self.visit_dir(source, dest, &meta, above);
        }
        if !kind.is_file() {
            let what = match () {
                () if kind.is_socket() => "a socket",
                () if kind.is_fifo() => "a FIFO",
                () if kind.is_block_device() => "a block device",
                () if kind.is_char_device() => "a character device",
                () => "of an unknown kind",
            };
            return Err(Error::new(
                Kind::Model,
                format!("`{}` is {what}, which cannot be packed", show(source)),
            )
            .hint("remove it from the model directory, or name it in `.floeignore`"));
        }
        let executable = meta.permissions().mode() & 0o111 != 0;
        self.add(dest, source, EntryKind::File { stamp: Stamp::of(&meta), executable })
    }

    fn visit_dir(
        &mut self,
        source: &Path,
        dest: &[u8],
        meta: &std::fs::Metadata,
        above: &mut Vec<(u64, u64)>,
    ) -> Result<()> {
        let stamp = Stamp::of(meta);
        let here = (stamp.dev, stamp.ino);
        if above.contains(&here) {
            return Err(Error::new(
                Kind::Model,
                format!("`{}` is a folder inside itself, by way of a link", show(source)),
            )
            .hint("remove the link, or name it in `.floeignore`"));
        }
        if above.len() >= MAX_DEPTH {
            return Err(Error::new(
                Kind::Model,
                format!("`{}` is nested more than {MAX_DEPTH} folders deep", show(source)),
            ));
        }
        if !dest.is_empty() {
            self.add(dest, source, EntryKind::Dir)?;
        }
        let mut names = Vec::new();
        for item in std::fs::read_dir(source).at("list", source)? {
            names.push(item.at("list", source)?.file_name().into_vec());
        }
        names.sort();
        above.push(here);
        for name in names {
            let mut path = dest.to_vec();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(&name);
            self.visit(&source.join(path_from_bytes(&name)), &path, above, false)?;
        }
        above.pop();
        Ok(())
    }

    fn add(&mut self, path: &[u8], source: &Path, kind: EntryKind) -> Result<()> {
        check_path(path, source)?;
        if self.entries.len() >= MAX_ENTRIES {
            return Err(Error::new(Kind::Model, format!("the model has more than {MAX_ENTRIES} files and folders"))
                .hint("pack the files into an archive of the framework's own, or name what is not needed in `.floeignore`"));
        }
        let entry = Entry { path: path.to_vec(), source: source.to_owned(), kind };
        match self.entries.get(path) {
            None => {
                self.entries.insert(path.to_vec(), entry);
                Ok(())
            }
            // Two selections may share folders, and may name the same file twice.
            Some(old) if old.kind == EntryKind::Dir && entry.kind == EntryKind::Dir => Ok(()),
            Some(old) if old.source == entry.source => Ok(()),
            Some(old) => Err(clash(path, &old.source, source)),
        }
    }

    /// Decides what becomes of the links, now that all entries are known.
    fn settle_links(&mut self) -> Result<()> {
        // A link followed into a folder may bring further links.
        let mut done = BTreeSet::new();
        let mut budget = MAX_ENTRIES;
        while let Some(link) = self.links.pop() {
            budget -= 1;
            if budget == 0 {
                return Err(Error::new(
                    Kind::Model,
                    "the links of the model lead into each other without an end",
                ));
            }
            if !done.insert((link.path.clone(), link.source.clone())) {
                continue;
            }
            self.settle(&link)?;
        }
        Ok(())
    }

    fn settle(&mut self, link: &Pending) -> Result<()> {
        let text = std::fs::read_link(&link.source).at("read the link", &link.source)?;
        let text = text.as_os_str().as_bytes().to_vec();
        let real = match std::fs::canonicalize(&link.source) {
            Ok(real) => real,
            Err(e) => {
                return Err(Error::new(
                    Kind::Model,
                    format!(
                        "the link `{}` points to `{}`, which cannot be reached",
                        show(&link.source),
                        show_bytes(&text)
                    ),
                )
                .hint("restore the target, remove the link, or name it in `.floeignore`")
                .because(e));
            }
        };
        // As written, when that leads to the same place inside the image.
        if let Some(target) = join_lexically(folder_of(&link.path), &text)
            && (self.is_entry_of(&target, &real) || self.links_to(&target, &real))
        {
            return self.add(&link.path, &link.source, EntryKind::Link { target: text });
        }
        // Elsewhere in the tree under another path: an absolute link, or a renamed folder.
        let other = self
            .entries
            .values()
            .find(|e| !matches!(e.kind, EntryKind::Link { .. }) && same_file(&e.source, &real))
            .map(|e| e.path.clone());
        if let Some(path) = other {
            let target = relative(folder_of(&link.path), &path);
            return self.add(&link.path, &link.source, EntryKind::Link { target });
        }
        if !self.follow {
            let mut hint =
                "pack what it points to with `--follow-links`, or name it in `.floeignore`".to_owned();
            if real.components().any(|c| c.as_os_str() == "blobs") {
                hint.push_str("; a Hugging Face cache consists of such links");
            }
            return Err(Error::new(
                Kind::Model,
                format!("the link `{}` points out of the model, to `{}`", show(&link.source), show(&real)),
            )
            .hint(hint));
        }
        // A harmless name may lead to what is kept out by default.
        if (self.ignore)(&real, real.is_dir()) {
            self.ignored.insert(link.source.clone());
            return Ok(());
        }
        self.visit(&real, &link.path, &mut Vec::new(), true)
    }

    fn is_entry_of(&self, path: &[u8], real: &Path) -> bool {
        self.entries.get(path).is_some_and(|e| same_file(&e.source, real))
    }

    /// Whether `path` is itself a link of the tree that leads to `real`.
    fn links_to(&self, path: &[u8], real: &Path) -> bool {
        self.links.iter().any(|l| l.path == path && same_file(&l.source, real))
    }
}

fn same_file(a: &Path, b: &Path) -> bool {
    std::fs::canonicalize(a).is_ok_and(|a| a == b)
}

fn clash(path: &[u8], one: &Path, two: &Path) -> Error {
    Error::new(
        Kind::Model,
        format!("`{}` and `{}` would both become `{}` in the image", show(one), show(two), show_bytes(path)),
    )
    .hint("rename one of them, or change the payload so that they keep different paths")
}

fn check_path(path: &[u8], source: &Path) -> Result<()> {
    for part in path.split(|b| *b == b'/') {
        if part.is_empty() || part == b"." || part == b".." {
            return Err(Error::new(
                Kind::Model,
                format!("`{}` would get the path `{}` in the image", show(source), show_bytes(path)),
            )
            .hint("payload paths may not leave the model's folder"));
        }
        if part.starts_with(b".wh.") {
            return Err(Error::new(
                Kind::Model,
                format!(
                    "`{}` has a name that begins with `.wh.`, which means deletion in an image",
                    show(source)
                ),
            )
            .hint("rename it, or name it in `.floeignore`"));
        }
    }
    Ok(())
}

/// The folder of a path in the image; empty for the top.
pub fn folder_of(path: &[u8]) -> &[u8] {
    path.iter().rposition(|b| *b == b'/').map_or(&[], |at| &path[..at])
}

/// `folder` and `target` as one path without `.` and `..`; `None` where it leaves the top.
pub fn join_lexically(folder: &[u8], target: &[u8]) -> Option<Vec<u8>> {
    if target.starts_with(b"/") {
        return None;
    }
    let mut parts: Vec<&[u8]> = folder.split(|b| *b == b'/').filter(|p| !p.is_empty()).collect();
    for part in target.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop()?;
            }
            other => parts.push(other),
        }
    }
    Some(parts.join(&b'/'))
}

/// How to get from `folder` to `path`.
fn relative(folder: &[u8], path: &[u8]) -> Vec<u8> {
    let from: Vec<&[u8]> = folder.split(|b| *b == b'/').filter(|p| !p.is_empty()).collect();
    let to: Vec<&[u8]> = path.split(|b| *b == b'/').collect();
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count().min(to.len() - 1);
    let mut parts: Vec<&[u8]> = vec![b".."; from.len() - common];
    parts.extend(&to[common..]);
    parts.join(&b'/')
}

/// A regular file of the tree, opened for reading pieces of it.
#[derive(Debug)]
pub struct Content {
    file: File,
    size: u64,
    stamp: Stamp,
    source: PathBuf,
}

impl Content {
    /// Opens the file of an entry and makes sure that it is still the one of the snapshot.
    pub fn open(entry: &Entry) -> Result<Self> {
        let EntryKind::File { stamp, .. } = &entry.kind else {
            return Err(Error::new(Kind::Model, format!("`{}` is not a regular file", show(&entry.source))));
        };
        let (file, metadata) = crate::fs::open_with_metadata(&entry.source)?;
        if Stamp::of(&metadata) != *stamp {
            return Err(changed(&entry.source));
        }
        Ok(Self { file, size: stamp.size, stamp: *stamp, source: entry.source.clone() })
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Where it lies on disk.
    pub fn source(&self) -> &Path {
        &self.source
    }

    /// Reads up to `buf.len()` bytes at an offset; fewer only at the end of the file.
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        // No file is so long, and the system refuses to be asked.
        if i64::try_from(offset).is_err() {
            return Ok(0);
        }
        let mut done = 0;
        while done < buf.len() {
            match self.file.read_at(&mut buf[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e).at("read", &self.source),
            }
        }
        Ok(done)
    }

    /// Makes sure, after reading, that nobody wrote to the file meanwhile.
    pub fn check_unchanged(&self) -> Result<()> {
        let now = Stamp::of(&self.file.metadata().at("stat", &self.source)?);
        if now == self.stamp { Ok(()) } else { Err(changed(&self.source)) }
    }

    /// The first `n` bytes, fewer where the file is shorter.
    pub fn head(&self, n: usize) -> Result<Vec<u8>> {
        let n = usize::try_from(self.size).unwrap_or(usize::MAX).min(n);
        let mut buf = vec![0; n];
        let got = self.read_at(0, &mut buf)?;
        buf.truncate(got);
        Ok(buf)
    }

    /// The whole file, where it has at most `cap` bytes.
    pub fn read_all(&self, cap: u64) -> Result<Vec<u8>> {
        if self.size > cap {
            return Err(Error::new(
                Kind::Model,
                format!("`{}` has {} bytes, at most {cap} are read", show(&self.source), self.size),
            ));
        }
        self.head(usize::try_from(cap).unwrap_or(usize::MAX))
    }
}

/// The error for a file that is not what the snapshot says.
pub fn changed(source: &Path) -> Error {
    Error::new(Kind::Io, format!("`{}` changed while it was being packed", show(source)))
        .hint("build again when nothing writes to the model directory")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn all(dir: &Path) -> Vec<Selected> {
        vec![Selected { source: dir.to_owned(), dest: Vec::new() }]
    }

    fn scan(dir: &Path, follow: bool) -> Result<Tree> {
        Tree::scan(&all(dir), &|_, _| false, follow)
    }

    fn paths(t: &Tree) -> Vec<String> {
        t.entries().iter().map(|e| String::from_utf8_lossy(&e.path).into_owned()).collect()
    }

    #[test]
    fn entries_are_sorted_bytewise_by_their_path_in_the_image() {
        let d = tempfile::tempdir().unwrap();
        std::fs::create_dir(d.path().join("a")).unwrap();
        for name in ["a/x", "a.b", "B", "empty"] {
            std::fs::write(d.path().join(name), name).unwrap();
        }
        assert_eq!(paths(&scan(d.path(), false).unwrap()), ["B", "a", "a.b", "a/x", "empty"]);
    }

    #[test]
    fn links_inside_are_kept_as_written() {
        let d = tempfile::tempdir().unwrap();
        std::fs::create_dir(d.path().join("sub")).unwrap();
        std::fs::write(d.path().join("x"), "x").unwrap();
        symlink("../x", d.path().join("sub/up")).unwrap();
        symlink("sub", d.path().join("dir")).unwrap();
        symlink("sub/up", d.path().join("chain")).unwrap();
        symlink(d.path().join("x"), d.path().join("sub/absolute")).unwrap();
        let t = scan(d.path(), false).unwrap();
        let target = |p: &str| match &t.entries().iter().find(|e| e.path == p.as_bytes()).unwrap().kind {
            EntryKind::Link { target } => String::from_utf8(target.clone()).unwrap(),
            other => panic!("{other:?}"),
        };
        assert_eq!(target("sub/up"), "../x");
        assert_eq!(target("dir"), "sub");
        assert_eq!(target("chain"), "sub/up");
        assert_eq!(target("sub/absolute"), "../x");
        assert_eq!(t.open(b"chain").unwrap().head(9).unwrap(), b"x");
    }

    #[test]
    fn c50_links_out_are_refused_unless_followed() {
        let d = tempfile::tempdir().unwrap();
        for f in ["blobs", "snapshots", "snapshots/main"] {
            std::fs::create_dir(d.path().join(f)).unwrap();
        }
        std::fs::write(d.path().join("blobs/abc"), "weights").unwrap();
        let snapshot = d.path().join("snapshots/main");
        symlink("../../blobs/abc", snapshot.join("model.safetensors")).unwrap();
        let e = scan(&snapshot, false).unwrap_err();
        assert!(e.hint_text().unwrap().contains("--follow-links"));
        assert!(e.hint_text().unwrap().contains("Hugging Face"));
        let t = scan(&snapshot, true).unwrap();
        assert_eq!(t.open(b"model.safetensors").unwrap().size(), 7);
        assert!(matches!(t.entries()[0].kind, EntryKind::File { .. }));
    }

    #[test]
    fn a_loop_of_followed_links_ends() {
        let d = tempfile::tempdir().unwrap();
        let out = tempfile::tempdir().unwrap();
        symlink(d.path(), out.path().join("back")).unwrap();
        symlink(out.path(), d.path().join("out")).unwrap();
        let t = scan(d.path(), true);
        assert!(t.is_err() || t.unwrap().entries().len() < 10);
    }

    #[test]
    fn what_cannot_be_packed_is_named() {
        let d = tempfile::tempdir().unwrap();
        let fifo = d.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert!(scan(d.path(), false).unwrap_err().to_string().contains("pipe` is a FIFO"));
        std::fs::remove_file(&fifo).unwrap();
        symlink("nowhere", d.path().join("dangling")).unwrap();
        assert!(scan(d.path(), false).unwrap_err().to_string().contains("cannot be reached"));
        std::fs::remove_file(d.path().join("dangling")).unwrap();
        std::fs::write(d.path().join(".wh.x"), "").unwrap();
        assert!(scan(d.path(), false).unwrap_err().to_string().contains(".wh."));
    }

    #[test]
    fn two_sources_for_one_path_are_an_error() {
        let d = tempfile::tempdir().unwrap();
        std::fs::write(d.path().join("a"), "a").unwrap();
        std::fs::write(d.path().join("b"), "b").unwrap();
        let s = |n: &str| Selected { source: d.path().join(n), dest: b"x".to_vec() };
        let e = Tree::scan(&[s("a"), s("b")], &|_, _| false, false).unwrap_err();
        assert!(e.to_string().contains("would both become `x`"));
    }

    #[test]
    fn a_changed_file_is_told() {
        let d = tempfile::tempdir().unwrap();
        std::fs::write(d.path().join("a"), "a").unwrap();
        let t = scan(d.path(), false).unwrap();
        std::fs::write(d.path().join("a"), "ab").unwrap();
        assert!(t.open(b"a").unwrap_err().to_string().contains("changed"));
    }

    #[test]
    fn relative_paths() {
        assert_eq!(relative(b"a/b", b"a/c"), b"../c");
        assert_eq!(relative(b"", b"a/c"), b"a/c");
        assert_eq!(relative(b"a", b"a"), b"../a");
        assert_eq!(join_lexically(b"a", b"../../x"), None);
    }
}
