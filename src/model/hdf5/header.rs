//! Object headers: the list of messages that an object consists of, versions 1 and 2.
//!
//! The list may go on in other places of the file. Only messages that somebody here reads are kept.
//!
//! Invariant: no piece of a header is read twice, and their number and the number of messages are
//! limited, so that pieces that lead into each other end.

use std::collections::BTreeSet;

use crate::error::Result;
use crate::model::hdf5::bytes::{Fields, Reader, broken};

pub(super) const DATASPACE: u16 = 0x01;
pub(super) const LINK_INFO: u16 = 0x02;
pub(super) const DATATYPE: u16 = 0x03;
pub(super) const LINK: u16 = 0x06;
pub(super) const EXTERNAL_FILES: u16 = 0x07;
pub(super) const LAYOUT: u16 = 0x08;
pub(super) const ATTRIBUTE: u16 = 0x0c;
const CONTINUATION: u16 = 0x10;
pub(super) const SYMBOL_TABLE: u16 = 0x11;
pub(super) const ATTRIBUTE_INFO: u16 = 0x15;

const KEPT: &[u16] =
    &[DATASPACE, LINK_INFO, DATATYPE, LINK, EXTERNAL_FILES, LAYOUT, ATTRIBUTE, SYMBOL_TABLE, ATTRIBUTE_INFO];

/// The most messages of one object.
const MAX_MESSAGES: usize = 65_536;
/// The most pieces of one header.
const MAX_PIECES: usize = 4096;

/// One message.
pub(super) struct Message {
    pub(super) kind: u16,
    /// Whether the content is a reference to it in another place.
    pub(super) shared: bool,
    pub(super) data: Vec<u8>,
}

struct Walk<'r, 's> {
    reader: &'r Reader<'s>,
    messages: Vec<Message>,
    seen: usize,
    pieces: Vec<(u64, u64)>,
}

/// Reads the header at an address.
pub(super) fn read(reader: &Reader<'_>, address: u64) -> Result<Vec<Message>> {
    let head = reader.bytes(address, 6)?;
    let mut walk = Walk { reader, messages: Vec::new(), seen: 0, pieces: Vec::new() };
    if head.starts_with(b"OHDR") {
        second(&mut walk, address, head[4], head[5])?;
    } else if head[0] == 1 {
        first(&mut walk, address)?;
    } else {
        return Err(broken(format!("no object header at {address}")));
    }
    Ok(walk.messages)
}

/// Version 1: a count of messages, and pieces without a frame.
fn first(walk: &mut Walk<'_, '_>, address: u64) -> Result<()> {
    let prefix = walk.reader.bytes(address, 16)?;
    let mut fields = walk.reader.fields(&prefix);
    fields.skip(2)?;
    let count = usize::from(fields.u16()?);
    fields.skip(4)?;
    let size = u64::from(fields.u32()?);
    let start = address.checked_add(16).ok_or_else(|| broken("an address out of range"))?;
    walk.pieces.push((start, size));
    each_piece(walk, |walk, bytes| {
        let mut fields = walk.reader.fields(bytes);
        while walk.seen < count && fields.rest().len() >= 8 {
            let kind = fields.u16()?;
            let size = usize::from(fields.u16()?);
            let flags = fields.u8()?;
            fields.skip(3)?;
            let data = fields.take(size)?;
            walk.message(kind, flags, data)?;
        }
        Ok(())
    })
}

/// Version 2: framed pieces, each with a checksum at its end.
fn second(walk: &mut Walk<'_, '_>, address: u64, version: u8, flags: u8) -> Result<()> {
    if version != 2 {
        return Err(broken(format!("object header of version {version}, known are 1 and 2")));
    }
    let times = if flags & 0x20 != 0 { 16 } else { 0 };
    let phases = if flags & 0x10 != 0 { 4 } else { 0 };
    let width = 1usize << (flags & 3);
    let fixed = 6 + times + phases;
    let prefix = walk.reader.bytes(address, fixed + width)?;
    let mut fields = walk.reader.fields(&prefix);
    fields.skip(fixed)?;
    let size = fields.uint(width)?;
    let start =
        address.checked_add((fixed + width) as u64).ok_or_else(|| broken("an address out of range"))?;
    walk.pieces.push((start, size));
    let ordered = flags & 4 != 0;
    let mut framed = false;
    each_piece(walk, |walk, bytes| {
        let mut fields = walk.reader.fields(bytes);
        let mut end = 0;
        // The first piece comes here without its frame.
        if framed {
            fields.signature(b"OCHK")?;
            end = 4;
        }
        framed = true;
        let header = if ordered { 6 } else { 4 };
        while fields.rest().len() >= header + end {
            let kind = u16::from(fields.u8()?);
            let size = usize::from(fields.u16()?);
            let flags = fields.u8()?;
            if ordered {
                fields.skip(2)?;
            }
            // What is left may be a gap too small for a message.
            if fields.rest().len() < size + end {
                return Err(broken("a message reaches beyond its object header"));
            }
            let data = fields.take(size)?;
            walk.message(kind, flags, data)?;
        }
        Ok(())
    })
}

/// Gives each piece to `read`, which may add pieces.
fn each_piece(
    walk: &mut Walk<'_, '_>,
    mut read: impl FnMut(&mut Walk<'_, '_>, &[u8]) -> Result<()>,
) -> Result<()> {
    let mut done = BTreeSet::new();
    let mut next = 0;
    while let Some(&(at, size)) = walk.pieces.get(next) {
        next += 1;
        if next > MAX_PIECES {
            return Err(broken(format!("an object header of more than {MAX_PIECES} pieces")));
        }
        if !done.insert(at) {
            return Err(broken("an object header that leads into itself"));
        }
        let size = usize::try_from(size).map_err(|_| broken("a length out of range"))?;
        let bytes = walk.reader.bytes(at, size)?;
        read(walk, &bytes)?;
    }
    Ok(())
}

impl Walk<'_, '_> {
    fn message(&mut self, kind: u16, flags: u8, data: &[u8]) -> Result<()> {
        self.seen += 1;
        if self.seen > MAX_MESSAGES {
            return Err(broken(format!("an object of more than {MAX_MESSAGES} messages")));
        }
        if kind == CONTINUATION {
            let mut fields: Fields<'_> = self.reader.fields(data);
            if let Some(at) = fields.address()? {
                let size = fields.length()?;
                self.pieces.push((at, size));
            }
        } else if KEPT.contains(&kind) {
            self.messages.push(Message { kind, shared: flags & 2 != 0, data: data.to_vec() });
        }
        Ok(())
    }
}
