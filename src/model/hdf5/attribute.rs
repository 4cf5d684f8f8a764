//! Attributes: named values on an object. Those of one object lie in its header, or all of them in
//! a heap of their own when there are many.
//!
//! A value is only read when it is asked for. Invariant: the texts of all values of a file together
//! are never longer than [`MAX_TEXTS`], however often the file refers to one of them.

use std::cell::Cell;

use crate::error::Result;
use crate::model::contract::Shape;
use crate::model::hdf5::bytes::{Reader, broken};
use crate::model::hdf5::datatype::{self, Class, Datatype};
use crate::model::hdf5::header::{self, Message};
use crate::model::hdf5::heap::{Fractal, Global};
use crate::model::hdf5::{Value, btree};

/// The most bytes of text in the values of one file, and of one attribute with its description.
const MAX_TEXTS: usize = 32 << 20;
/// The most elements of one value that are read.
const MAX_ELEMENTS: usize = 200_000;
/// The most elements of all values of one file.
const MAX_ALL_ELEMENTS: usize = 2_000_000;

/// What was read of the values of one file.
#[derive(Default)]
pub(super) struct Spent {
    texts: Cell<usize>,
    elements: Cell<usize>,
}

impl Spent {
    fn text(&self, text: String) -> Result<String> {
        self.texts.set(self.texts.get() + text.len());
        if self.texts.get() > MAX_TEXTS {
            return Err(broken(format!("more than {MAX_TEXTS} bytes of text in attributes")));
        }
        Ok(text)
    }

    fn elements(&self, count: usize) -> Result<()> {
        self.elements.set(self.elements.get() + count);
        if self.elements.get() > MAX_ALL_ELEMENTS {
            return Err(broken(format!("more than {MAX_ALL_ELEMENTS} values in attributes")));
        }
        Ok(())
    }
}

/// One attribute, its value not yet read.
pub struct Attribute {
    /// Its name.
    pub name: String,
    datatype: Datatype,
    shape: Option<Shape>,
    data: Vec<u8>,
}

/// All attributes of an object.
pub(super) fn all(reader: &Reader<'_>, messages: &[Message]) -> Result<Vec<Attribute>> {
    let mut found = Vec::new();
    for message in messages {
        match message.kind {
            // One that is shared lies in a heap of the whole file; nobody writes such models.
            header::ATTRIBUTE if !message.shared => found.extend(parse(reader, &message.data)?),
            header::ATTRIBUTE_INFO => dense(reader, &message.data, &mut found)?,
            _ => {}
        }
    }
    Ok(found)
}

fn dense(reader: &Reader<'_>, info: &[u8], found: &mut Vec<Attribute>) -> Result<()> {
    let mut f = reader.fields(info);
    f.skip(1)?;
    if f.u8()? & 1 != 0 {
        f.skip(2)?;
    }
    let (Some(heap), Some(names)) = (f.address()?, f.address()?) else { return Ok(()) };
    let heap = Fractal::open(reader, heap)?;
    for record in btree::records(reader, names, &[8])? {
        let mut f = reader.fields(&record);
        let id = f.take(8)?;
        let flags = f.u8()?;
        if flags & 2 == 0 {
            let message = heap.object(id)?;
            if message.len() > MAX_TEXTS {
                return Err(broken(format!(
                    "an attribute of {} bytes, at most {MAX_TEXTS} are read",
                    message.len()
                )));
            }
            found.extend(parse(reader, &message)?);
        }
    }
    Ok(())
}

/// Reads an attribute message; `None` where its datatype lies where it is not looked for.
fn parse(reader: &Reader<'_>, bytes: &[u8]) -> Result<Option<Attribute>> {
    let mut f = reader.fields(bytes);
    let version = f.u8()?;
    let flags = f.u8()?;
    let sizes = [f.u16()?, f.u16()?, f.u16()?].map(usize::from);
    let padded = match version {
        1 => true,
        2 => false,
        3 => {
            f.skip(1)?;
            false
        }
        _ => return Err(broken(format!("attribute of version {version}, known are 1 to 3"))),
    };
    let mut part = |size: usize| {
        let bytes = f.take(size)?;
        if padded {
            f.skip(size.next_multiple_of(8) - size)?;
        }
        Ok::<_, crate::error::Error>(bytes)
    };
    let name = part(sizes[0])?;
    let datatype = part(sizes[1])?;
    let dataspace = part(sizes[2])?;
    let name = name.split(|b| *b == 0).next().unwrap_or(name);
    let name = String::from_utf8_lossy(name).into_owned();
    let datatype = if version > 1 && flags & 1 != 0 {
        match committed(reader, datatype)? {
            Some(datatype) => datatype,
            None => return Ok(None),
        }
    } else {
        Datatype::read(reader, datatype)?
    };
    if version > 1 && flags & 2 != 0 {
        return Ok(None);
    }
    let shape = datatype::dataspace(reader, dataspace)?;
    Ok(Some(Attribute { name, datatype, shape, data: f.rest().to_vec() }))
}

/// The datatype that lies in an object of its own.
pub(super) fn committed(reader: &Reader<'_>, reference: &[u8]) -> Result<Option<Datatype>> {
    let mut f = reader.fields(reference);
    let version = f.u8()?;
    let kind = f.u8()?;
    match version {
        1 => f.skip(6)?,
        2 => {}
        3 if kind == 2 => {}
        _ => return Ok(None),
    }
    let Some(address) = f.address()? else { return Ok(None) };
    let messages = header::read(reader, address)?;
    let found = messages.iter().find(|m| m.kind == header::DATATYPE && !m.shared);
    found.map(|m| Datatype::read(reader, &m.data)).transpose()
}

impl Attribute {
    /// Reads the value.
    pub(super) fn value(&self, reader: &Reader<'_>, global: &Global, spent: &Spent) -> Result<Value> {
        let Some(shape) = &self.shape else { return Ok(Value::Other) };
        let size = self.datatype.size;
        let fits = datatype::count(shape).filter(|n| {
            *n <= MAX_ELEMENTS && n.checked_mul(size).is_some_and(|all| all <= self.data.len()) && size > 0
        });
        let Some(count) = fits else {
            return Err(broken(format!(
                "attribute `{}` has {} bytes, too few for its shape",
                crate::error::show_bytes(self.name.as_bytes()),
                self.data.len()
            )));
        };
        spent.elements(count)?;
        let elements = self.data.chunks_exact(size).take(count);
        let mut out = match self.datatype.class {
            Class::Text => Value::Texts(elements.map(|e| spent.text(fixed(e))).collect::<Result<_>>()?),
            Class::VarText => {
                let text = |e| spent.text(variable(reader, global, e)?);
                Value::Texts(elements.map(text).collect::<Result<_>>()?)
            }
            Class::Int { signed, big } if size <= 8 => {
                Value::Ints(elements.map(|e| int(e, signed, big)).collect())
            }
            Class::Bool => Value::Ints(elements.map(|e| i64::from(e[0])).collect()),
            _ => Value::Other,
        };
        if shape.is_empty() {
            out = match out {
                Value::Texts(mut t) => t.pop().map_or(Value::Other, Value::Text),
                Value::Ints(mut v) => v.pop().map_or(Value::Other, Value::Int),
                other => other,
            };
        }
        Ok(out)
    }
}

fn fixed(bytes: &[u8]) -> String {
    let bytes = bytes.split(|b| *b == 0).next().unwrap_or(bytes);
    String::from_utf8_lossy(bytes).into_owned()
}

/// Text in a global heap: its length, the address of the collection and the number in it.
fn variable(reader: &Reader<'_>, global: &Global, bytes: &[u8]) -> Result<String> {
    let mut f = reader.fields(bytes);
    let length = f.u32()?;
    let Some(collection) = f.address()? else { return Ok(String::new()) };
    let index = f.u32()?;
    // An empty text has no place in the heap.
    if collection == 0 || length == 0 {
        return Ok(String::new());
    }
    let length = usize::try_from(length).unwrap_or(usize::MAX).min(MAX_TEXTS + 1);
    Ok(fixed(&global.object(reader, collection, index, length)?))
}

fn int(bytes: &[u8], signed: bool, big: bool) -> i64 {
    let fold = |v: u64, b: &u8| v << 8 | u64::from(*b);
    let value = if big { bytes.iter().fold(0, fold) } else { bytes.iter().rev().fold(0, fold) };
    let shift = 64 - 8 * u32::try_from(bytes.len()).unwrap_or(8);
    let wide = (value << shift).cast_signed();
    if signed { wide >> shift } else { (wide.cast_unsigned() >> shift).cast_signed() }
}
