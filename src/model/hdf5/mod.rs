//! HDF5: the container of Keras models and of many files of weights.
//!
//! It reads what describes the data: groups, links, attributes, and the type and shape of datasets
//! (HDF5 File Format Specification 3.0, superblocks 0 to 3). It is not a reader of data: no element
//! of a dataset is ever read, and links to other files or to paths are told but not followed.
//!
//! Invariants: at most the budget is read; nothing is allocated for a size that reaches beyond the
//! file; a file whose parts lead into each other ends; objects, depth and names are limited.

mod attribute;
mod btree;
mod bytes;
mod datatype;
mod group;
mod header;
mod heap;
mod superblock;

use std::collections::BTreeSet;

use crate::error::Result;
use crate::model::contract::Shape;
use crate::model::pb::Source;

use bytes::{Reader, broken};
use datatype::Datatype;
use header::Message;
use heap::Global;

pub use attribute::Attribute;
pub use superblock::{SIGNATURE, find};

/// The most objects of one file that are gone through.
pub const MAX_OBJECTS: usize = 100_000;
/// How deep groups may lie in each other.
pub const MAX_DEPTH: usize = 32;
/// The longest path of an object in bytes.
const MAX_PATH: usize = 4096;
/// The most bytes of the paths of one file together.
const MAX_PATHS: usize = 32 << 20;

/// A file that is open for reading.
pub struct File<'s> {
    reader: Reader<'s>,
    global: Global,
    spent: attribute::Spent,
    root: u64,
}

/// A group, a dataset or a type.
pub struct Object {
    messages: Vec<Message>,
}

/// A name in a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The name.
    pub name: String,
    /// Where it leads.
    pub target: Target,
}

/// Where a link leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// To the object at an address of the file.
    Hard(u64),
    /// To a path in the file.
    Soft(String),
    /// Into another file, of this name.
    External(String),
}

/// What is known of a dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// Element type with numpy's name; `None` where numpy has none.
    pub dtype: Option<&'static str>,
    /// Its shape; `None` where it holds nothing.
    pub shape: Option<Shape>,
    /// Whether its data lies in other files.
    pub outside: bool,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// One text.
    Text(String),
    /// Texts; an array of more dimensions is told as a flat one.
    Texts(Vec<String>),
    /// One whole number.
    Int(i64),
    /// Whole numbers.
    Ints(Vec<i64>),
    /// Something that is not read.
    Other,
}

/// What is met on the way through a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Met {
    /// A dataset.
    Dataset(Dataset),
    /// A link into another file.
    External(String),
}

impl<'s> File<'s> {
    /// Opens a file, of which at most `budget` bytes may be read.
    pub fn open(source: &'s dyn Source, budget: u64) -> Result<Self> {
        let at = find(source)?.ok_or_else(|| broken("it does not begin as one"))?;
        let mut reader = Reader::new(source, budget);
        let root = superblock::read(&mut reader, at)?;
        Ok(Self { reader, global: Global::default(), spent: attribute::Spent::default(), root })
    }

    /// How many bytes may still be read.
    pub fn left(&self) -> u64 {
        self.reader.left()
    }

    /// The group at the top.
    pub fn root(&self) -> Result<Object> {
        self.object(self.root)
    }

    /// The object at an address.
    pub fn object(&self, address: u64) -> Result<Object> {
        Ok(Object { messages: header::read(&self.reader, address)? })
    }

    /// The attributes of an object.
    pub fn attributes(&self, object: &Object) -> Result<Vec<Attribute>> {
        attribute::all(&self.reader, &object.messages)
    }

    /// The value of an attribute.
    pub fn value(&self, attribute: &Attribute) -> Result<Value> {
        attribute.value(&self.reader, &self.global, &self.spent)
    }

    /// The links of an object, sorted by name; none where it is no group.
    pub fn links(&self, object: &Object) -> Result<Vec<Link>> {
        group::links(&self.reader, &object.messages)
    }

    /// The object of this name in a group; `None` where there is none in this file.
    pub fn child(&self, group: &Object, name: &str) -> Result<Option<Object>> {
        match self.links(group)?.into_iter().find(|l| l.name == name).map(|l| l.target) {
            Some(Target::Hard(address)) => self.object(address).map(Some),
            _ => Ok(None),
        }
    }

    /// The object as a dataset; `None` where it is none.
    pub fn dataset(&self, object: &Object) -> Result<Option<Dataset>> {
        let of = |kind| object.messages.iter().find(|m| m.kind == kind);
        let (Some(space), Some(ty)) = (of(header::DATASPACE), of(header::DATATYPE)) else { return Ok(None) };
        let datatype = if ty.shared {
            attribute::committed(&self.reader, &ty.data)?
        } else {
            Some(Datatype::read(&self.reader, &ty.data)?)
        };
        let shape = if space.shared { None } else { datatype::dataspace(&self.reader, &space.data)? };
        // A layout of class 3 takes its data from other datasets, of any file.
        let virtual_layout = of(header::LAYOUT)
            .is_some_and(|m| m.data.first().is_some_and(|v| *v >= 3) && m.data.get(1) == Some(&3));
        Ok(Some(Dataset {
            dtype: datatype.and_then(Datatype::name),
            shape,
            outside: of(header::EXTERNAL_FILES).is_some() || virtual_layout,
        }))
    }

    /// Goes through all that lies below a group and gives each dataset and each link into another
    /// file with its path. An object with several names is met once. `enter` says which groups are
    /// gone into.
    ///
    /// Tells why it stopped where a limit was reached or a part could not be read.
    pub fn walk(
        &self,
        group: &Object,
        enter: &dyn Fn(&str) -> bool,
        mut meet: impl FnMut(&str, &Object, Met),
    ) -> Option<String> {
        let mut seen = BTreeSet::from([self.root]);
        let mut todo: Vec<(String, u64, usize)> = Vec::new();
        let mut length = 0;
        let mut stopped = None;
        let mut open =
            |prefix: &str, object: &Object, depth: usize, todo: &mut Vec<_>, stopped: &mut Option<String>| {
                let links = match self.links(object) {
                    Ok(links) => links,
                    Err(e) => {
                        *stopped = Some(e.to_string());
                        return Vec::new();
                    }
                };
                let mut outside = Vec::new();
                for link in links.into_iter().rev() {
                    let path = if prefix.is_empty() { link.name } else { format!("{prefix}/{}", link.name) };
                    length += path.len();
                    if path.len() > MAX_PATH || depth >= MAX_DEPTH || length > MAX_PATHS {
                        *stopped = Some(format!(
                            "groups are nested more than {MAX_DEPTH} deep, or names are too long"
                        ));
                        break;
                    }
                    match link.target {
                        Target::Hard(address) => todo.push((path, address, depth + 1)),
                        Target::External(file) => outside.push((path, file)),
                        Target::Soft(_) => {}
                    }
                }
                outside
            };
        let outside = open("", group, 0, &mut todo, &mut stopped);
        for (path, file) in outside {
            meet(&path, group, Met::External(file));
        }
        while let Some((path, address, depth)) = todo.pop() {
            if !seen.insert(address) {
                continue;
            }
            if seen.len() > MAX_OBJECTS {
                return Some(format!("more than {MAX_OBJECTS} objects"));
            }
            let object = match self.object(address) {
                Ok(object) => object,
                Err(e) => return Some(e.to_string()),
            };
            match self.dataset(&object) {
                Ok(Some(dataset)) => meet(&path, &object, Met::Dataset(dataset)),
                Ok(None) if enter(&path) => {
                    let outside = open(&path, &object, depth, &mut todo, &mut stopped);
                    for (path, file) in outside {
                        meet(&path, &object, Met::External(file));
                    }
                }
                Ok(None) => {}
                Err(e) => return Some(e.to_string()),
            }
        }
        stopped
    }
}

#[cfg(test)]
mod tests;
