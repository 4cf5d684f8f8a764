//! Groups: the names in them and where these lead.
//!
//! Old groups keep their links in a tree and a local heap, new ones as messages in their header or,
//! when there are many, in a fractal heap. Links to other files and to paths are told, never
//! followed.

use crate::error::Result;
use crate::model::hdf5::bytes::{Reader, broken};
use crate::model::hdf5::header::{self, Message};
use crate::model::hdf5::heap::{self, Fractal};
use crate::model::hdf5::{Link, Target, btree};

/// The most links of one group.
const MAX_LINKS: usize = 100_000;
/// The most bytes of their names together: entries of old groups may have one name in common.
const MAX_NAMES: usize = 16 << 20;

/// The links of a group, sorted by name; none where the object is no group.
pub(super) fn links(reader: &Reader<'_>, messages: &[Message]) -> Result<Vec<Link>> {
    let mut found = Vec::new();
    for message in messages.iter().filter(|m| !m.shared) {
        match message.kind {
            header::LINK => found.extend(parse(reader, &message.data)?),
            header::LINK_INFO => dense(reader, &message.data, &mut found)?,
            header::SYMBOL_TABLE => symbols(reader, &message.data, &mut found)?,
            _ => {}
        }
        if found.len() > MAX_LINKS {
            return Err(broken(format!("a group of more than {MAX_LINKS} links")));
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn dense(reader: &Reader<'_>, info: &[u8], found: &mut Vec<Link>) -> Result<()> {
    let mut f = reader.fields(info);
    f.skip(1)?;
    if f.u8()? & 1 != 0 {
        f.skip(8)?;
    }
    let (Some(heap), Some(names)) = (f.address()?, f.address()?) else { return Ok(()) };
    let heap = Fractal::open(reader, heap)?;
    for record in btree::records(reader, names, &[5])? {
        let id = record.get(4..).ok_or_else(|| broken("a link's record without an identifier"))?;
        found.extend(parse(reader, &heap.object(id)?)?);
    }
    Ok(())
}

/// Reads a link message.
fn parse(reader: &Reader<'_>, bytes: &[u8]) -> Result<Option<Link>> {
    let mut f = reader.fields(bytes);
    let version = f.u8()?;
    if version != 1 {
        return Err(broken(format!("link of version {version}, known is 1")));
    }
    let flags = f.u8()?;
    let kind = if flags & 8 != 0 { f.u8()? } else { 0 };
    if flags & 4 != 0 {
        f.skip(8)?;
    }
    if flags & 16 != 0 {
        f.skip(1)?;
    }
    let length = usize::try_from(f.uint(1 << (flags & 3))?).map_err(|_| broken("a length out of range"))?;
    let name = String::from_utf8_lossy(f.take(length)?).into_owned();
    let target = match kind {
        0 => match f.address()? {
            Some(address) => Target::Hard(address),
            None => return Ok(None),
        },
        1 => {
            let length = usize::from(f.u16()?);
            Target::Soft(String::from_utf8_lossy(f.take(length)?).into_owned())
        }
        64 => {
            let length = usize::from(f.u16()?);
            let value = f.take(length)?;
            let mut parts = value.get(1..).unwrap_or(&[]).split(|b| *b == 0);
            Target::External(String::from_utf8_lossy(parts.next().unwrap_or(&[])).into_owned())
        }
        _ => return Ok(None),
    };
    Ok(Some(Link { name, target }))
}

fn symbols(reader: &Reader<'_>, table: &[u8], found: &mut Vec<Link>) -> Result<()> {
    let mut f = reader.fields(table);
    let (Some(tree), Some(names)) = (f.address()?, f.address()?) else { return Ok(()) };
    let names = heap::local(reader, names)?;
    let width = usize::from(reader.widths.address);
    let mut length = 0;
    for at in btree::symbol_nodes(reader, tree)? {
        let head = reader.bytes(at, 8)?;
        let mut f = reader.fields(&head);
        f.signature(b"SNOD")?;
        f.skip(2)?;
        let count = usize::from(f.u16()?);
        let body = reader.bytes(at.saturating_add(8), count * (2 * width + 24))?;
        let mut f = reader.fields(&body);
        for _ in 0..count {
            let name = heap::local_text(&names, f.uint(width)?)?;
            length += name.len();
            let address = f.address()?;
            let kind = f.u32()?;
            f.skip(4)?;
            let scratch = f.take(16)?;
            let target = match (kind, address) {
                (2, _) => {
                    let offset = u64::from(reader.fields(scratch).u32()?);
                    let path = heap::local_text(&names, offset)?;
                    length += path.len();
                    Target::Soft(path)
                }
                (_, Some(address)) => Target::Hard(address),
                (_, None) => continue,
            };
            if length > MAX_NAMES {
                return Err(broken(format!("a group with more than {MAX_NAMES} bytes of names")));
            }
            found.push(Link { name, target });
        }
        if found.len() > MAX_LINKS {
            return Err(broken(format!("a group of more than {MAX_LINKS} links")));
        }
    }
    Ok(())
}
