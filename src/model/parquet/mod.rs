//! The first row of a small parquet file, as the sizes and names inside a model's data need it.
//!
//! It is not a general reader: no dates, no decimals, no second row, no encryption, and of numbers
//! only integers. How long a list is often follows from the footer alone; then no page is read. Spark
//! is the one who writes these files; a column is named by its path without the groups that parquet
//! puts around a list's items, so that `coefficients.values` is what Spark calls so.
//!
//! Invariants: no more bytes are read or unpacked than the budget allows, a page has at most
//! [`MAX_PAGE`], and whatever the file claims, nothing is allocated that real bytes do not back.

pub(crate) mod blocks;
mod delta;
mod footer;
mod page;
mod snappy;
mod thrift;

use std::cell::Cell;
use std::fmt;

use crate::error::Error;
use crate::model::pb::Source;

use footer::{Chunk, Footer, Leaf};
use page::{File, Item};

/// The largest footer in bytes.
pub const MAX_FOOTER: u64 = 16 << 20;
/// The largest page in bytes, packed and unpacked.
pub const MAX_PAGE: usize = 16 << 20;
/// The most entries of a column that are looked at.
const MAX_ENTRIES: u64 = 1 << 22;
/// The most bytes of text that are kept of a column.
const MAX_TEXT: usize = 4 << 20;
const MAGIC: &[u8; 4] = b"PAR1";
/// What a file with an encrypted footer ends with.
const ENCRYPTED: &[u8; 4] = b"PARE";

/// Why a file did not answer.
#[derive(Debug)]
pub enum Fault {
    /// The bytes are no parquet file, or a broken one.
    Broken(String),
    /// The file may be good, but more or other than is read here.
    Limit(String),
    /// The file system failed.
    File(Error),
}

impl Fault {
    fn broken(what: impl Into<String>) -> Self {
        Self::Broken(what.into())
    }
}

impl From<Error> for Fault {
    fn from(e: Error) -> Self {
        Self::File(e)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(what) => write!(f, "broken parquet: {what}"),
            Self::Limit(what) => f.write_str(what),
            Self::File(e) => e.fmt(f),
        }
    }
}

/// An open file.
pub struct Table<'s> {
    file: File<'s>,
    footer: Footer,
}

impl<'s> Table<'s> {
    /// Reads the footer. All that is read counts against the budget.
    pub fn open(source: &'s dyn Source, budget: &'s Cell<u64>) -> Result<Self, Fault> {
        let file = File { source, budget };
        let size = source.size();
        if size < 12 {
            return Err(Fault::broken(format!("a file of {size} bytes")));
        }
        let tail = file.read(size - 8, 8)?;
        match tail.get(4..) {
            Some(end) if end == MAGIC => {}
            Some(end) if end == ENCRYPTED => return Err(Fault::Limit("the file is encrypted".to_owned())),
            _ => return Err(Fault::broken("the file does not end with `PAR1`")),
        }
        let length = tail.first_chunk().map_or(0, |n| u64::from(u32::from_le_bytes(*n)));
        if length > MAX_FOOTER {
            return Err(Fault::Limit(format!(
                "the footer has {length} bytes, at most {MAX_FOOTER} are read"
            )));
        }
        let start = (size - 8).checked_sub(length).filter(|s| *s >= 4);
        let start = start.ok_or_else(|| Fault::broken("the footer is longer than the file"))?;
        let bytes = file.read(start, length as usize)?;
        Ok(Self { file, footer: Footer::read(&bytes)? })
    }

    /// How many rows there are.
    pub fn rows(&self) -> u64 {
        self.footer.rows
    }

    /// The value of a key beside the columns.
    pub fn key(&self, key: &str) -> Option<&str> {
        self.footer.keys.get(key).map(String::as_str)
    }

    fn column(&self, path: &str) -> Option<(&Leaf, &Chunk, u64)> {
        let (rows, chunks) = self.footer.group.as_ref()?;
        let at = self.footer.leaves.iter().position(|l| l.path == path)?;
        Some((&self.footer.leaves[at], chunks.get(at)?, *rows))
    }

    /// The integers of a column in the first row, which may be one or a list; those of all lists
    /// where they are nested. `None` where there is no such column or the value is missing.
    pub fn ints(&self, path: &str, cap: usize) -> Result<Option<Vec<i64>>, Fault> {
        let mut ints = Vec::new();
        let there = self.first_row(path, cap, &mut |item| {
            if let Item::Int(n) = item {
                ints.push(n);
            }
        })?;
        Ok(there.then_some(ints))
    }

    /// The texts of a column in the first row, as [`Table::ints`]; what is not UTF-8 is replaced.
    pub fn texts(&self, path: &str, cap: usize) -> Result<Option<Vec<String>>, Fault> {
        let mut texts = Vec::new();
        let there = self.first_row(path, cap, &mut |item| {
            if let Item::Text(bytes) = item {
                texts.push(String::from_utf8_lossy(&bytes).into_owned());
            }
        })?;
        Ok(there.then_some(texts))
    }

    fn first_row(&self, path: &str, cap: usize, keep: &mut dyn FnMut(Item)) -> Result<bool, Fault> {
        let Some((leaf, chunk, _)) = self.column(path) else { return Ok(false) };
        let (mut entries, mut text, mut there) = (0usize, 0usize, false);
        page::entries(leaf, chunk, self.file, true, &mut |rep, def, item| {
            if rep == 0 && entries > 0 {
                return Ok(false);
            }
            entries += 1;
            if entries > cap {
                return Err(Fault::Limit(format!("a list has more than {cap} items")));
            }
            // A list without items is there; one that is missing is not. Spark's are never missing.
            there |= def == leaf.max_def || leaf.max_rep > 0 && def + 1 >= leaf.item_def;
            if let Some(Item::Text(bytes)) = &item {
                text += bytes.len();
                if text > MAX_TEXT {
                    return Err(Fault::Limit(format!("the texts of a list have more than {MAX_TEXT} bytes")));
                }
            }
            if let Some(item) = item {
                keep(item);
            }
            Ok(true)
        })?;
        Ok(there)
    }

    /// How many items the first list of a column in the first row has: of the innermost list where
    /// they are nested. `None` where there is no such column, or no list in it.
    pub fn length(&self, path: &str) -> Result<Option<u64>, Fault> {
        let Some((leaf, chunk, rows)) = self.column(path) else { return Ok(None) };
        if leaf.max_rep == 0 {
            return Ok(None);
        }
        // The one row's list is all there is; one entry may as well stand for an empty list.
        if rows == 1 && leaf.max_rep == 1 && chunk.values > 1 {
            return Ok(Some(chunk.values));
        }
        let (mut entries, mut items, mut there) = (0u64, 0u64, false);
        page::entries(leaf, chunk, self.file, false, &mut |rep, def, _| {
            if rep < leaf.max_rep && entries > 0 {
                return Ok(false);
            }
            entries += 1;
            if entries > MAX_ENTRIES {
                return Err(Fault::Limit(format!("a list has more than {MAX_ENTRIES} items")));
            }
            there |= def + 1 >= leaf.item_def;
            items += u64::from(def >= leaf.item_def);
            Ok(true)
        })?;
        Ok(there.then_some(items))
    }

    /// How many lists there are inside the list of a column in the first row.
    pub fn lists(&self, path: &str, cap: usize) -> Result<Option<Vec<u64>>, Fault> {
        let Some((leaf, chunk, _)) = self.column(path).filter(|(l, _, _)| l.max_rep == 2) else {
            return Ok(None);
        };
        let (mut entries, mut lists) = (0u64, Vec::new());
        page::entries(leaf, chunk, self.file, false, &mut |rep, def, _| {
            if rep == 0 && entries > 0 {
                return Ok(false);
            }
            entries += 1;
            if entries > MAX_ENTRIES || lists.len() > cap {
                return Err(Fault::Limit("a list of lists is too long".to_owned()));
            }
            // An empty outer list has one entry, whose level is below that of an inner list.
            if rep < 2 && (rep > 0 || def + 1 >= leaf.item_def) {
                lists.push(0);
            }
            if let Some(last) = lists.last_mut() {
                *last += u64::from(def >= leaf.item_def);
            }
            Ok(true)
        })?;
        Ok(Some(lists))
    }
}

#[cfg(test)]
mod tests;
