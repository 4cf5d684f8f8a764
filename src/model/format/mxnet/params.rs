//! `.params`: a list of arrays and their names, of which only the headers are read.
//!
//! The layout is that of MXNet's `NDArray::Save` and `NDArray::Load` (src/ndarray/ndarray.cc): four
//! versions of one array, dense and sparse. MXNet 2 writes an archive of numpy's arrays under the same
//! name. It is not a pickle and runs nothing.
//!
//! Invariant: values are stepped over, and a count is believed only as far as bytes follow.

use crate::error::{Error, Kind, Result, show_bytes};
use crate::model::contract::DType;
use crate::model::format::cursor::Cursor;
use crate::model::format::{MAX_ENTRIES, MAX_RANK, MAX_TEXT};
use crate::model::npy;
use crate::model::pb::Source;
use crate::model::zip;

/// The number with which every list begins (`kMXAPINDArrayListMagic`).
pub(super) const LIST: u64 = 0x112;
/// Arrays with eight-byte dimensions.
const V1: u32 = 0xF993_FAC8;
/// Arrays with a storage type.
const V2: u32 = 0xF993_FAC9;
/// Arrays whose shape follows numpy, so that a scalar is one.
const V3: u32 = 0xF993_FACA;

/// Element types by number (3rdparty/mshadow/mshadow/base.h): numpy's name and size in bytes.
pub(super) const DTYPES: &[(&str, u64)] = &[
    ("float32", 4),
    ("float64", 8),
    ("float16", 2),
    ("uint8", 1),
    ("int32", 4),
    ("int8", 1),
    ("int64", 8),
    ("bool", 1),
    ("int16", 2),
    ("uint16", 2),
    ("uint32", 4),
    ("uint64", 8),
    ("bfloat16", 2),
];

/// What a list says of one array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Array {
    /// Its name without `arg:` or `aux:`; empty where the list has no names.
    pub name: String,
    /// Numpy's name of its element type.
    pub dtype: Option<&'static str>,
    /// Its shape; `None` where the array was never filled.
    pub shape: Option<Vec<u64>>,
}

/// Reads a list; whether there are more arrays than are told comes second.
pub(super) fn read(source: &dyn Source, budget: u64) -> Result<(Vec<Array>, bool)> {
    let mut head = [0; 4];
    let got = source.read_at(0, &mut head)?;
    if zip::begins(&head[..got]) {
        return archive(source);
    }
    let mut c = Cursor::new(source, budget);
    if c.u64()? != LIST {
        return Err(broken("the file does not begin as a list of MXNet's arrays"));
    }
    c.skip(8)?;
    let count = c.u64()?;
    // An array has at least a magic and a rank.
    if count > c.rest() / 4 {
        return Err(broken(format!("the file is said to hold {count} arrays, for which it is too small")));
    }
    let mut arrays = Vec::new();
    for i in 0..count {
        if i == MAX_ENTRIES as u64 {
            return Ok((arrays, true));
        }
        let (dtype, shape) = array(&mut c).map_err(|e| e.context(format!("array {i} of {count}")))?;
        arrays.push(Array { name: String::new(), dtype, shape });
    }
    let names = c.u64()?;
    if names != 0 && names != count {
        return Err(broken(format!("the file has {count} arrays and {names} names")));
    }
    if names != 0 {
        for a in &mut arrays {
            let length = c.u64()?;
            if length > MAX_TEXT as u64 {
                return Err(broken(format!("a name is said to have {length} bytes")));
            }
            let name = c.text(length)?;
            a.name = bare(&name).to_owned();
        }
    }
    Ok((arrays, false))
}

/// The arrays of numpy that MXNet 2 writes instead of a list (`npx.savez`).
fn archive(source: &dyn Source) -> Result<(Vec<Array>, bool)> {
    let mut all = npy::archive(&zip::Archive::open(source)?)?;
    let more = all.len() > MAX_ENTRIES;
    all.truncate(MAX_ENTRIES);
    let array = |(name, header): (String, npy::Header)| Array {
        name: bare(&name).to_owned(),
        dtype: header.element.dtype().map(DType::name),
        shape: Some(header.shape),
    };
    Ok((all.into_iter().map(array).collect(), more))
}

/// A name without what it is for.
fn bare(name: &str) -> &str {
    name.strip_prefix("arg:").or_else(|| name.strip_prefix("aux:")).unwrap_or(name)
}

fn broken(message: impl Into<String>) -> Error {
    Error::new(Kind::Model, message)
}

type Header = (Option<&'static str>, Option<Vec<u64>>);

fn array(c: &mut Cursor<'_>) -> Result<Header> {
    let magic = c.u32()?;
    let (mut aux, mut storage) = (0, None);
    if matches!(magic, V2 | V3) {
        // Dense, rows of which most are zero, compressed rows.
        aux = match c.i32()? {
            0 => 0,
            1 => 1,
            2 => 2,
            other => return Err(broken(format!("the array has the storage type {other}, known are 0 to 2"))),
        };
        if aux > 0 {
            storage = shape(c, magic)?;
        }
    }
    let dims = if matches!(magic, V1 | V2 | V3) { shape(c, magic)? } else { old_shape(c, magic)? };
    let Some(dims) = dims.filter(|d| magic == V3 || !d.is_empty()) else { return Ok((None, None)) };
    c.skip(8)?;
    let (dtype, size) = dtype(c)?;
    let mut bytes = product(storage.as_ref().unwrap_or(&dims), size)?;
    let mut indices = Vec::new();
    for _ in 0..aux {
        indices.push((dtype_size(c)?, shape(c, magic)?.unwrap_or_default()));
    }
    for (size, dims) in indices {
        bytes = bytes.checked_add(product(&dims, size)?).ok_or_else(|| broken("the array is too large"))?;
    }
    c.skip(bytes)?;
    Ok((Some(dtype), Some(dims)))
}

fn dtype(c: &mut Cursor<'_>) -> Result<(&'static str, u64)> {
    let number = c.i32()?;
    let known = usize::try_from(number).ok().and_then(|n| DTYPES.get(n)).copied();
    known.ok_or_else(|| {
        broken(format!("the array has the element type {number}, known are 0 to {}", DTYPES.len() - 1))
    })
}

fn dtype_size(c: &mut Cursor<'_>) -> Result<u64> {
    Ok(dtype(c)?.1)
}

/// A shape with eight-byte dimensions; `None` where it is not known.
fn shape(c: &mut Cursor<'_>, magic: u32) -> Result<Option<Vec<u64>>> {
    let rank = c.i32()?;
    if magic == V3 && rank == -1 {
        return Ok(None);
    }
    let rank = checked_rank(rank.into())?;
    let mut dims = Vec::new();
    let mut known = true;
    for _ in 0..rank {
        let dim = c.i64()?;
        known &= dim >= 0 || magic != V3;
        let dim = if dim == -1 && magic == V3 { Ok(0) } else { u64::try_from(dim) };
        dims.push(dim.map_err(|_| broken("the array has a negative dimension"))?);
    }
    Ok(known.then_some(dims))
}

/// A shape with four-byte dimensions, whose rank stands where later versions have a magic.
fn old_shape(c: &mut Cursor<'_>, rank: u32) -> Result<Option<Vec<u64>>> {
    (0..checked_rank(rank.into())?).map(|_| c.u32().map(u64::from)).collect::<Result<_>>().map(Some)
}

fn checked_rank(rank: i64) -> Result<usize> {
    usize::try_from(rank).ok().filter(|r| *r <= MAX_RANK).ok_or_else(|| {
        broken(format!("the array is said to have {rank} dimensions, at most {MAX_RANK} are read"))
    })
}

fn product(dims: &[u64], size: u64) -> Result<u64> {
    dims.iter().try_fold(size, |n, d| n.checked_mul(*d)).ok_or_else(|| {
        broken(format!(
            "the array has the shape {}, which is too large",
            show_bytes(format!("{dims:?}").as_bytes())
        ))
    })
}
