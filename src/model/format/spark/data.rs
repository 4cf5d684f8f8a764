//! What training left in a stage's folder: a few rows of parquet, of which sizes are asked for.
//!
//! Most stages save one row in `data/`; Spark may split it over several part files, of which all but
//! one are empty. A question that the files do not answer is answered with `None`, and why is noted.

use std::cell::{Cell, RefCell};

use crate::error::{Kind, Result, show_bytes};
use crate::model::format::spark::metadata::parts;
use crate::model::parquet::{Fault, Table};
use crate::model::tree::{Content, EntryKind, Tree};

/// The most part files of one stage that are opened.
const MAX_PARTS: usize = 256;

/// What a table answers; `None` where it has no such column.
type Answer<T> = std::result::Result<Option<T>, Fault>;

/// A file and its path.
type Part = (Vec<u8>, Content);

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
    /// The first part file that has rows, once it was looked for.
    file: RefCell<Option<Option<Part>>>,
}

impl<'t> Data<'t> {
    /// The data in a folder.
    pub(super) fn new(
        tree: &'t Tree,
        folder: Vec<u8>,
        budget: &'t Cell<u64>,
        notes: &'t RefCell<Vec<Note>>,
    ) -> Self {
        Self { tree, budget, notes, folder, file: RefCell::new(None) }
    }

    /// The data in another folder.
    pub(super) fn beside(&self, folder: Vec<u8>) -> Self {
        Self::new(self.tree, folder, self.budget, self.notes)
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
                // Spark 4.1 saves for a client without a cluster in files of its own.
                Some(e) if matches!(e.kind, EntryKind::File { .. }) => {
                    self.note(&self.folder, "sizes are not read from data of this layout", false);
                }
                _ => self.note(&self.folder, "the data of the stage are not here", true),
            }
        }
        for path in files.into_iter().take(MAX_PARTS) {
            let content = self.tree.open(&path)?;
            match Table::open(&content, self.budget) {
                Ok(table) if table.rows() == 0 => {}
                Ok(_) => {
                    found = Some((path, content));
                    break;
                }
                Err(fault) => self.fault(&path, fault)?,
            }
        }
        *self.file.borrow_mut() = Some(found);
        Ok(())
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
    pub(super) fn ask<T>(&self, question: impl FnOnce(&Table<'_>) -> Answer<T>) -> Result<Option<T>> {
        self.open()?;
        let file = self.file.borrow();
        let Some((path, content)) = file.as_ref().and_then(Option::as_ref) else { return Ok(None) };
        match Table::open(content, self.budget).and_then(|table| question(&table)) {
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
