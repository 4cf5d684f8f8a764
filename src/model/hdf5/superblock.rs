//! The superblock: where addresses count from, how wide they are, and where the root group is.
//!
//! It may lie behind a user block, at 512, 1024, 2048 … bytes (HDF5 File Format Specification 3.0,
//! II.A). The library takes its place for the base of all addresses, whatever it says itself.

use crate::error::Result;
use crate::model::hdf5::bytes::{Fields, Reader, Widths, broken};
use crate::model::pb::Source;

/// What every superblock begins with.
pub const SIGNATURE: &[u8; 8] = b"\x89HDF\r\n\x1a\n";
/// Where the last place is at which a superblock is looked for.
const LAST_PLACE: u64 = 1 << 30;

/// Where the superblock begins; `None` where the source is no HDF5 file.
pub fn find(source: &dyn Source) -> Result<Option<u64>> {
    let mut at = 0;
    while at <= LAST_PLACE && at < source.size() {
        let mut head = [0; 8];
        if source.read_at(at, &mut head)? == 8 && head == *SIGNATURE {
            return Ok(Some(at));
        }
        at = if at == 0 { 512 } else { at * 2 };
    }
    Ok(None)
}

/// Reads it, settles the reader, and tells the address of the root group's object header.
pub(super) fn read(reader: &mut Reader<'_>, at: u64) -> Result<u64> {
    reader.settle(at, reader.widths);
    let head = reader.bytes(8, 8)?;
    let version = head[0];
    let (widths, rest) = match version {
        0 | 1 => (Widths { address: head[5], length: head[6] }, if version == 0 { 24 } else { 28 }),
        2 | 3 => (Widths { address: head[1], length: head[2] }, 12),
        _ => return Err(broken(format!("superblock of version {version}, known are 0 to 3"))),
    };
    for (what, width) in [("addresses", widths.address), ("lengths", widths.length)] {
        if !matches!(width, 2 | 4 | 8) {
            return Err(broken(format!("{what} of {width} bytes")));
        }
    }
    reader.settle(at, widths);
    let width = usize::from(widths.address);
    let count = if version < 2 { 6 } else { 4 };
    let body = reader.bytes(rest, count * width)?;
    let mut fields: Fields<'_> = reader.fields(&body);
    // Base, free space or extension, end of file; before version 2 also the driver and, of the root
    // group's entry, the name.
    fields.skip((count - 1) * width)?;
    fields.address()?.ok_or_else(|| broken("no root group"))
}
