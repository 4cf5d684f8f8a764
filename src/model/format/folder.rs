//! One folder of the tree, as formats see it: the files directly in it and the folders below.
//!
//! The beginning of each file is read once, for all formats together. It is not the tree: a model
//! that was found is read from [`Tree`] by its path.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::error::Result;
use crate::model::format::{file_name, join};
use crate::model::pickle::{self, Peek};
use crate::model::tree::{Content, Entry, EntryKind, Tree, folder_of};

/// How deep below the place where the search starts a model may lie, in folders.
pub(super) const MAX_LEVEL: usize = 2;
/// How much of a file is read to recognise it.
const HEAD: usize = 4096;
/// How many files of one level are looked at; data sets may have a million.
pub(super) const MAX_FILES: usize = 20_000;

/// One folder of the tree.
pub struct Folder<'t> {
    tree: &'t Tree,
    path: Vec<u8>,
    files: Vec<File<'t>>,
    folders: BTreeSet<Vec<u8>>,
}

/// One file in it.
pub struct File<'t> {
    path: Cow<'t, [u8]>,
    entry: &'t Entry,
    head: OnceCell<Vec<u8>>,
    pickle: OnceCell<Option<Peek>>,
}

impl<'t> Folder<'t> {
    /// The path of the folder in the tree; empty for the top.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// The files directly in it, sorted by name.
    pub fn files(&self) -> &[File<'t>] {
        &self.files
    }

    /// The file of this name directly in it.
    pub fn file(&self, name: &[u8]) -> Option<&File<'t>> {
        self.files.iter().find(|f| f.name() == name)
    }

    /// The names of the folders directly in it that hold files at any depth.
    pub fn folders(&self) -> impl Iterator<Item = &[u8]> {
        self.folders.iter().map(Vec::as_slice)
    }

    /// The files directly in a folder in it, in order, but those that are links.
    pub fn inside(&self, folder: &[u8]) -> Vec<File<'t>> {
        let prefix = join(&join(&self.path, folder), b"");
        let entries = self.tree.entries();
        let start = entries.partition_point(|e| e.path < prefix);
        entries[start..]
            .iter()
            .take_while(|e| e.path.starts_with(&prefix))
            .filter(|e| matches!(e.kind, EntryKind::File { .. }) && !e.path[prefix.len()..].contains(&b'/'))
            .take(MAX_FILES)
            .map(|entry| File {
                path: Cow::Borrowed(&entry.path),
                entry,
                head: OnceCell::new(),
                pickle: OnceCell::new(),
            })
            .collect()
    }

    /// A file further down, by its path relative to this folder.
    pub fn below(&self, relative: &[u8]) -> Option<File<'t>> {
        let path = join(&self.path, relative);
        let entry = self.tree.get(&path).filter(|e| matches!(e.kind, EntryKind::File { .. }))?;
        // The file is known under the path that was asked for, which may go through a link.
        Some(File { path: Cow::Owned(path), entry, head: OnceCell::new(), pickle: OnceCell::new() })
    }
}

impl File<'_> {
    /// Its path in the tree.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// The last component of its path.
    pub fn name(&self) -> &[u8] {
        file_name(&self.path)
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        match &self.entry.kind {
            EntryKind::File { stamp, .. } => stamp.size,
            _ => 0,
        }
    }

    /// Its first bytes.
    pub fn head(&self) -> Result<&[u8]> {
        if let Some(head) = self.head.get() {
            return Ok(head);
        }
        let head = self.open()?.head(HEAD)?;
        Ok(self.head.get_or_init(|| head))
    }

    /// What its beginning tells about the pickle that it is; `None` where it is none. At most a MiB
    /// is read, once for all formats.
    pub fn pickle(&self) -> Result<Option<&Peek>> {
        if self.pickle.get().is_none() {
            let peek = pickle::peek(&self.open()?, self.head()?)?;
            let _ = self.pickle.set(peek);
        }
        Ok(self.pickle.get().and_then(Option::as_ref))
    }

    /// Opens it.
    pub fn open(&self) -> Result<Content> {
        Content::open(self.entry)
    }
}

/// The folders from `base` on, by level: the base itself, those in it, those in these.
///
/// With `only`, nothing but the file of that name in the base is seen. No more than [`MAX_FILES`]
/// files of a level are in the answer; whether there were more comes second.
pub(super) fn levels<'t>(tree: &'t Tree, base: &[u8], only: Option<&[u8]>) -> (Vec<Vec<Folder<'t>>>, bool) {
    let mut seen = [0; MAX_LEVEL + 1];
    let mut all: BTreeMap<(usize, Vec<u8>), Folder<'t>> = BTreeMap::new();
    let new = |path: &[u8]| Folder { tree, path: path.to_vec(), files: Vec::new(), folders: BTreeSet::new() };
    for (path, entry) in tree.files() {
        let relative = if base.is_empty() {
            path
        } else {
            match path.strip_prefix(base).and_then(|r| r.strip_prefix(b"/")) {
                Some(relative) => relative,
                None => continue,
            }
        };
        if only.is_some_and(|name| name != relative) {
            continue;
        }
        let parts: Vec<&[u8]> = relative.split(|b| *b == b'/').collect();
        let mut folder = base.to_vec();
        for (level, part) in parts.iter().enumerate().take(MAX_LEVEL + 1) {
            let here = all.entry((level, folder.clone())).or_insert_with(|| new(&folder));
            if level + 1 == parts.len() {
                seen[level] += 1;
                if seen[level] <= MAX_FILES {
                    here.files.push(File {
                        path: Cow::Borrowed(path),
                        entry,
                        head: OnceCell::new(),
                        pickle: OnceCell::new(),
                    });
                }
            } else {
                here.folders.insert(part.to_vec());
            }
            folder = join(&folder, part);
        }
    }
    let mut levels: Vec<Vec<Folder<'t>>> = (0..=MAX_LEVEL).map(|_| Vec::new()).collect();
    for ((level, _), folder) in all {
        levels[level].push(folder);
    }
    (levels, seen.iter().any(|n| *n > MAX_FILES))
}

/// Whether a path of the tree is a folder with files in it.
pub(super) fn is_folder(tree: &Tree, path: &[u8]) -> bool {
    path.is_empty() || tree.files().any(|(p, _)| p.strip_prefix(path).is_some_and(|r| r.starts_with(b"/")))
}

/// The folder and the name of a file of the tree; `None` where there is no such file.
pub(super) fn as_file<'p>(tree: &Tree, path: &'p [u8]) -> Option<(&'p [u8], &'p [u8])> {
    let entry = tree.get(path)?;
    matches!(entry.kind, EntryKind::File { .. }).then(|| (folder_of(path), file_name(path)))
}
