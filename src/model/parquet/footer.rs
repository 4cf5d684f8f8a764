//! A parquet file's footer: the schema, the places of the columns, and the keys and values.
//!
//! Names follow apache/parquet-format, parquet.thrift. What a value of a column means (text, dates,
//! decimals) is not kept.

use std::collections::BTreeMap;

use crate::model::parquet::Fault;
use crate::model::parquet::thrift::{Thrift, Wire};

/// The longest name in bytes.
const MAX_NAME: usize = 4096;
/// The most bytes of the paths of all columns; they may have a long beginning in common.
const MAX_PATHS: usize = 16 << 20;
/// The longest value of a key; Spark's schema of a table is one.
const MAX_VALUE: usize = 4 << 20;
/// How deep groups may nest.
const MAX_NESTING: usize = 32;
/// The most elements of a schema.
const MAX_ELEMENTS: usize = 100_000;

/// How values of a column lie in its pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Physical {
    /// One bit.
    Boolean,
    /// Four bytes.
    Int32,
    /// Eight bytes.
    Int64,
    /// Twelve bytes, an old kind of timestamp.
    Int96,
    /// Four bytes.
    Float,
    /// Eight bytes.
    Double,
    /// A length and bytes.
    Bytes,
    /// Bytes of one length.
    Fixed,
}

impl Physical {
    /// Whether values of this type are told; of the others only how many there are.
    pub(super) fn is_decoded(self) -> bool {
        matches!(self, Self::Boolean | Self::Int32 | Self::Int64 | Self::Bytes)
    }
}

/// A column of values, at the bottom of the schema.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    /// Names from the top, without those of the groups that only make a list.
    pub path: String,
    pub physical: Physical,
    /// The definition level of a value that is there.
    pub max_def: u16,
    pub max_rep: u16,
    /// From this definition level on there is an item in the innermost list.
    pub item_def: u16,
}

/// Where the values of a column are, in one group of rows.
#[derive(Clone, Debug, Default)]
pub(super) struct Chunk {
    pub codec: i64,
    pub values: u64,
    pub size: u64,
    pub start: u64,
    pub elsewhere: bool,
}

/// What is kept of a footer.
#[derive(Debug, Default)]
pub(super) struct Footer {
    pub leaves: Vec<Leaf>,
    pub rows: u64,
    /// The first group that has rows: how many, and the chunks of the leaves in their order.
    pub group: Option<(u64, Vec<Chunk>)>,
    pub keys: BTreeMap<String, String>,
}

impl Footer {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Fault> {
        let mut t = Thrift::new(bytes);
        let mut footer = Self::default();
        let mut last = 0;
        while let Some((field, wire)) = t.field(&mut last)? {
            match (field, wire) {
                (2, Wire::List) => footer.schema(&mut t)?,
                (3, Wire::Int) => footer.rows = count(&mut t)?,
                (4, Wire::List) => {
                    let (groups, wire) = structs(&mut t)?;
                    for _ in 0..groups {
                        match footer.group {
                            None => footer.group = row_group(&mut t)?,
                            Some(_) => t.skip_element(wire)?,
                        }
                    }
                }
                (5, Wire::List) => {
                    for _ in 0..structs(&mut t)?.0 {
                        let (key, value) = key_value(&mut t)?;
                        footer.keys.insert(key, value);
                    }
                }
                (_, wire) => t.skip(wire)?,
            }
        }
        if let Some((_, chunks)) = &footer.group
            && chunks.len() != footer.leaves.len()
        {
            return Err(Fault::broken(format!(
                "a group of rows has {} columns, the schema {}",
                chunks.len(),
                footer.leaves.len()
            )));
        }
        Ok(footer)
    }

    /// The tree of the schema lies flat, each group before its children.
    fn schema(&mut self, t: &mut Thrift<'_>) -> Result<(), Fault> {
        /// A group that is open: how many children are to come, and what they inherit.
        struct Group {
            left: usize,
            path: String,
            def: u16,
            rep: u16,
            item_def: u16,
            repeated: bool,
        }
        let (elements, _) = structs(t)?;
        if elements > MAX_ELEMENTS {
            return Err(Fault::Limit(format!(
                "the schema has {elements} parts, at most {MAX_ELEMENTS} are read"
            )));
        }
        let mut open: Vec<Group> = Vec::new();
        let mut length = self.leaves.iter().map(|l| l.path.len()).sum::<usize>();
        for i in 0..elements {
            let e = element(t)?;
            if i == 0 {
                open.push(Group {
                    left: e.children,
                    path: String::new(),
                    def: 0,
                    rep: 0,
                    item_def: 0,
                    repeated: false,
                });
                continue;
            }
            while open.last().is_some_and(|g| g.left == 0) {
                open.pop();
            }
            let nesting = open.len();
            let Some(parent) = open.last_mut() else {
                return Err(Fault::broken("the schema has more parts than its groups have children"));
            };
            parent.left -= 1;
            let repeated = e.repetition == 2;
            let def = parent.def + u16::from(e.repetition != 0);
            let rep = parent.rep + u16::from(repeated);
            let item_def = if repeated { def } else { parent.item_def };
            // The groups `list` and `element` around a list's items are a matter of spelling.
            let silent = nesting > 1
                && (repeated && ["list", "bag", "array", "key_value", "map"].contains(&e.name.as_str())
                    || parent.repeated
                        && ["element", "array", "array_element", "item"].contains(&e.name.as_str()));
            let path = match (silent, parent.path.as_str()) {
                (true, above) => above.to_owned(),
                (false, "") => e.name.clone(),
                (false, above) => format!("{above}.{}", e.name),
            };
            if path.len() > MAX_NAME {
                return Err(Fault::Limit(format!("a column's path has more than {MAX_NAME} bytes")));
            }
            length += path.len();
            if length > MAX_PATHS {
                return Err(Fault::Limit(format!(
                    "the paths of the columns have more than {MAX_PATHS} bytes"
                )));
            }
            match e.physical {
                Some(physical) if e.children == 0 => {
                    self.leaves.push(Leaf { path, physical, max_def: def, max_rep: rep, item_def });
                }
                _ if nesting > MAX_NESTING => {
                    return Err(Fault::Limit(format!("groups are nested more than {MAX_NESTING} deep")));
                }
                _ => open.push(Group { left: e.children, path, def, rep, item_def, repeated }),
            }
        }
        Ok(())
    }
}

/// One part of the schema as it is written.
#[derive(Default)]
struct Element {
    name: String,
    physical: Option<Physical>,
    repetition: i64,
    children: usize,
}

/// The head of a list of structures.
fn structs(t: &mut Thrift<'_>) -> Result<(usize, Wire), Fault> {
    let (count, wire) = t.list()?;
    if count > 0 && wire != Wire::Struct {
        return Err(Fault::broken("a list holds no structures"));
    }
    Ok((count, wire))
}

fn count(t: &mut Thrift<'_>) -> Result<u64, Fault> {
    u64::try_from(t.int()?).map_err(|_| Fault::broken("a count is negative"))
}

fn element(t: &mut Thrift<'_>) -> Result<Element, Fault> {
    let mut e = Element::default();
    let mut last = 0;
    while let Some((field, wire)) = t.field(&mut last)? {
        match (field, wire) {
            (1, Wire::Int) => e.physical = Some(physical(t.int()?)?),
            (3, Wire::Int) => e.repetition = t.int()?,
            (4, Wire::Binary) => e.name = t.text(MAX_NAME)?,
            (5, Wire::Int) => e.children = usize::try_from(t.int()?).unwrap_or(0),
            (_, wire) => t.skip(wire)?,
        }
    }
    Ok(e)
}

fn physical(number: i64) -> Result<Physical, Fault> {
    Ok(match number {
        0 => Physical::Boolean,
        1 => Physical::Int32,
        2 => Physical::Int64,
        3 => Physical::Int96,
        4 => Physical::Float,
        5 => Physical::Double,
        6 => Physical::Bytes,
        7 => Physical::Fixed,
        other => return Err(Fault::broken(format!("{other} is no type of a column"))),
    })
}

/// A group of rows; `None` where it has no rows.
fn row_group(t: &mut Thrift<'_>) -> Result<Option<(u64, Vec<Chunk>)>, Fault> {
    let (mut rows, mut chunks) = (0, Vec::new());
    let mut last = 0;
    while let Some((field, wire)) = t.field(&mut last)? {
        match (field, wire) {
            (1, Wire::List) => {
                for _ in 0..structs(t)?.0 {
                    if chunks.len() >= MAX_ELEMENTS {
                        return Err(Fault::Limit(format!("more than {MAX_ELEMENTS} columns")));
                    }
                    chunks.push(chunk(t)?);
                }
            }
            (3, Wire::Int) => rows = count(t)?,
            (_, wire) => t.skip(wire)?,
        }
    }
    Ok((rows > 0).then_some((rows, chunks)))
}

fn chunk(t: &mut Thrift<'_>) -> Result<Chunk, Fault> {
    let mut c = Chunk::default();
    let mut last = 0;
    while let Some((field, wire)) = t.field(&mut last)? {
        match (field, wire) {
            (1, Wire::Binary) => {
                t.skip(wire)?;
                c.elsewhere = true;
            }
            (3, Wire::Struct) => {
                let (mut data, mut dictionary) = (0, None);
                let mut last = 0;
                while let Some((field, wire)) = t.field(&mut last)? {
                    match (field, wire) {
                        (4, Wire::Int) => c.codec = t.int()?,
                        (5, Wire::Int) => c.values = count(t)?,
                        (7, Wire::Int) => c.size = count(t)?,
                        (9, Wire::Int) => data = count(t)?,
                        (11, Wire::Int) => dictionary = Some(count(t)?).filter(|n| *n > 0),
                        (_, wire) => t.skip(wire)?,
                    }
                }
                c.start = dictionary.map_or(data, |d| d.min(data));
            }
            (_, wire) => t.skip(wire)?,
        }
    }
    Ok(c)
}

fn key_value(t: &mut Thrift<'_>) -> Result<(String, String), Fault> {
    let (mut key, mut value) = (String::new(), String::new());
    let mut last = 0;
    while let Some((field, wire)) = t.field(&mut last)? {
        match (field, wire) {
            (1, Wire::Binary) => key = t.text(MAX_NAME)?,
            (2, Wire::Binary) => value = t.text(MAX_VALUE)?,
            (_, wire) => t.skip(wire)?,
        }
    }
    Ok((key, value))
}
