//! What training left in a stage's folder: a few rows of parquet, of which sizes are asked for.
//!
//! Most stages save one row in `data/`; Spark may split it over several part files, of which all but
//! one are empty. A question that the files do not answer is answered with `None`, and why is noted.

use std::cell::{Cell, RefCell};

use crate::error::{Kind, Result, show_bytes};
use crate::model::format::spark::local::{self, Local};
use crate::model::format::spark::metadata::parts;
use crate::model::parquet::{Fault, Table};
use crate::model::tree::{Content, EntryKind, Tree};

/// The most part files of one stage that are opened.
const MAX_PARTS: usize = 256;

/// What a table answers; `None` where it has no such column.
type Answer<T> = std::result::Result<Option<T>, Fault>;

/// A file and its path.
enum Part {
    Table(Vec<u8>, Content),
    Local(Local),
}

/// What answers questions: a table, or what a plain file says instead.
pub(super) enum Rows<'t> {
    Table(Table<'t>),
    Local(&'t Local),
}

impl Rows<'_> {
    /// As [`Table::ints`].
    pub(super) fn ints(&self, path: &str, cap: usize) -> Answer<Vec<i64>> {
        match self {
            Self::Table(t) => t.ints(path, cap),
            Self::Local(l) => Ok(l.ints(path)),
        }
    }

    /// As [`Table::texts`].
    pub(super) fn texts(&self, path: &str, cap: usize) -> Answer<Vec<String>> {
        match self {
            Self::Table(t) => t.texts(path, cap),
            Self::Local(l) => Ok(l.texts(path)),
        }
    }

    /// As [`Table::length`].
    pub(super) fn length(&self, path: &str) -> Answer<u64> {
        match self {
            Self::Table(t) => t.length(path),
            Self::Local(l) => Ok(l.length(path)),
        }
    }

    /// As [`Table::lists`].
    pub(super) fn lists(&self, path: &str, cap: usize) -> Answer<Vec<u64>> {
        match self {
            Self::Table(t) => t.lists(path, cap),
            Self::Local(l) => Ok(l.lists(path)),
        }
    }

    /// As [`Table::key`].
    pub(super) fn key(&self, key: &str) -> Option<&str> {
        match self {
            Self::Table(t) => t.key(key),
            Self::Local(_) => None,
        }
    }
}

/// Why sizes stay unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    /// The file or folder.
    pub place: String,
    /// What is wrong with it.
    pub what: String,
    /// Whether Spark could not load it either.
    pub broken: bool,
}

/// The data of one stage.
pub(super) struct Data<'t> {
    tree: &'t Tree,
    budget: &'t Cell<u64>,
    notes: &'t RefCell<Vec<Note>>,
    folder: Vec<u8>,
    /// The class of the stage, without its package.
    class: String,
    /// The first part file that has rows, once it was looked for.
    file: RefCell<Option<Option<Part>>>,
}

impl<'t> Data<'t> {
    /// The data in a folder.
    pub(super) fn new(
        tree: &'t Tree,
        folder: Vec<u8>,
        class: &str,
        budget: &'t Cell<u64>,
        notes: &'t RefCell<Vec<Note>>,
    ) -> Self {
        Self { tree, budget, notes, folder, class: class.to_owned(), file: RefCell::new(None) }
    }

    /// The data in another folder.
    pub(super) fn beside(&self, folder: Vec<u8>) -> Self {
        Self::new(self.tree, folder, &self.class, self.budget, self.notes)
    }

    fn note(&self, place: &[u8], what: impl Into<String>, broken: bool) {
        let note = Note { place: show_bytes(place), what: what.into(), broken };
        let mut notes = self.notes.borrow_mut();
        if notes.len() < 100 && !notes.contains(&note) {
            notes.push(note);
        }
    }

    /// The first part file that has rows.
    fn open(&self) -> Result<()> {
        if self.file.borrow().is_some() {
            return Ok(());
        }
        let mut found = None;
        let files = parts(self.tree, &self.folder);
        if files.is_empty() {
            match self.tree.get(&self.folder) {
                Some(e) if matches!(e.kind, EntryKind::File { .. }) => found = self.local()?,
                _ => self.note(&self.folder, "the data of the stage are not here", true),
            }
        }
        for path in files.into_iter().take(MAX_PARTS) {
            let content = self.tree.open(&path)?;
            match Table::open(&content, self.budget) {
                Ok(table) if table.rows() == 0 => {}
                Ok(_) => {
                    found = Some(Part::Table(path, content));
                    break;
                }
                Err(fault) => self.fault(&path, fault)?,
            }
        }
        *self.file.borrow_mut() = Some(found);
        Ok(())
    }

    /// One plain file instead of a folder.
    fn local(&self) -> Result<Option<Part>> {
        let Some(layout) = local::layout(&self.class) else {
            self.note(&self.folder, "sizes are not read from data of this layout", false);
            return Ok(None);
        };
        match Local::read(&self.tree.open(&self.folder)?, layout, self.budget) {
            Ok(local) => Ok(Some(Part::Local(local))),
            Err(e) => {
                self.fault(&self.folder, Fault::File(e))?;
                Ok(None)
            }
        }
    }

    fn fault(&self, path: &[u8], fault: Fault) -> Result<()> {
        match fault {
            Fault::Broken(what) => self.note(path, what, true),
            Fault::Limit(what) => self.note(path, what, false),
            Fault::File(e) if e.kind() == Kind::Model => self.note(path, e.to_string(), true),
            Fault::File(e) => return Err(e),
        }
        Ok(())
    }

    /// Asks the first file that has rows.
    pub(super) fn ask<T>(&self, question: impl FnOnce(&Rows<'_>) -> Answer<T>) -> Result<Option<T>> {
        self.open()?;
        let file = self.file.borrow();
        let (path, content) = match file.as_ref().and_then(Option::as_ref) {
            None => return Ok(None),
            Some(Part::Local(local)) => return Ok(question(&Rows::Local(local)).unwrap_or(None)),
            Some(Part::Table(path, content)) => (path, content),
        };
        match Table::open(content, self.budget).and_then(|table| question(&Rows::Table(table))) {
            Ok(answer) => Ok(answer),
            Err(fault) => {
                self.fault(path, fault)?;
                Ok(None)
            }
        }
    }

    /// One count.
    pub(super) fn count(&self, path: &str) -> Result<Option<u64>> {
        self.ask(|t| Ok(t.ints(path, 1)?.and_then(|l| u64::try_from(*l.first()?).ok())))
    }

    /// How long a list is.
    pub(super) fn length(&self, path: &str) -> Result<Option<u64>> {
        self.ask(|t| t.length(path))
    }

    /// How wide a vector is, the first where there are several: sparse ones say it, of dense ones
    /// the numbers are counted (org.apache.spark.ml.linalg.VectorUDT).
    pub(super) fn vector(&self, name: &str) -> Result<Option<u64>> {
        self.ask(|t| {
            let (kind, size) = (format!("{name}.type"), format!("{name}.size"));
            let first = |path: &str| Ok::<_, Fault>(t.ints(path, 1 << 16)?.and_then(|l| l.first().copied()));
            match first(&kind)? {
                Some(0) => Ok(first(&size)?.and_then(|n| u64::try_from(n).ok())),
                Some(_) => t.length(&format!("{name}.values")),
                None => Ok(None),
            }
        })
    }
}
