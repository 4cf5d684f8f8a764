//! What the elements of a dataset or an attribute are, and how many there are of them.
//!
//! Only what weights and the attributes of models are made of is told apart: numbers, texts and
//! truth values. Records and references are `Other`.

use crate::error::Result;
use crate::model::contract::Shape;
use crate::model::hdf5::bytes::{Reader, broken};

/// The most dimensions that HDF5 allows.
const MAX_RANK: usize = 32;

/// A kind of elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Int {
        signed: bool,
        big: bool,
    },
    Float {
        exponent: u8,
        mantissa: u8,
        big: bool,
    },
    /// Text of a fixed size.
    Text,
    /// A reference to text in a global heap.
    VarText,
    /// A truth value, as h5py writes it: an enumeration of one byte.
    Bool,
    /// Bytes without a meaning.
    Opaque,
    Other,
}

/// The kind of elements and the size of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Datatype {
    pub(super) class: Class,
    pub(super) size: usize,
}

impl Datatype {
    /// Reads a datatype message.
    pub(super) fn read(reader: &Reader<'_>, bytes: &[u8]) -> Result<Self> {
        let mut f = reader.fields(bytes);
        let class = f.u8()? & 0x0f;
        let bits = f.uint(3)?;
        let size = usize::try_from(f.u32()?).map_err(|_| broken("a length out of range"))?;
        let class = match class {
            0 => Class::Int { signed: bits & 8 != 0, big: bits & 1 != 0 },
            1 => {
                f.skip(5)?;
                let exponent = f.u8()?;
                f.skip(1)?;
                Class::Float { exponent, mantissa: f.u8()?, big: bits & 1 != 0 }
            }
            3 => Class::Text,
            5 => Class::Opaque,
            8 if size == 1 => Class::Bool,
            9 if bits & 0x0f == 1 => Class::VarText,
            _ => Class::Other,
        };
        Ok(Self { class, size })
    }

    /// The name of the element type as numpy has it; `None` for what numpy has no name for.
    pub(super) fn name(self) -> Option<&'static str> {
        Some(match (self.class, self.size) {
            (Class::Int { signed: true, .. }, 1) => "int8",
            (Class::Int { signed: true, .. }, 2) => "int16",
            (Class::Int { signed: true, .. }, 4) => "int32",
            (Class::Int { signed: true, .. }, 8) => "int64",
            (Class::Int { signed: false, .. }, 1) => "uint8",
            (Class::Int { signed: false, .. }, 2) => "uint16",
            (Class::Int { signed: false, .. }, 4) => "uint32",
            (Class::Int { signed: false, .. }, 8) => "uint64",
            (Class::Float { exponent: 5, mantissa: 10, .. }, 2) => "float16",
            (Class::Float { exponent: 8, mantissa: 7, .. }, 2) => "bfloat16",
            (Class::Float { exponent: 8, mantissa: 23, .. }, 4) => "float32",
            (Class::Float { exponent: 11, mantissa: 52, .. }, 8) => "float64",
            (Class::Text | Class::VarText, _) => "string",
            (Class::Bool, _) => "bool",
            _ => return None,
        })
    }
}

/// Reads a dataspace message; `None` where it holds nothing at all.
pub(super) fn dataspace(reader: &Reader<'_>, bytes: &[u8]) -> Result<Option<Shape>> {
    let mut f = reader.fields(bytes);
    let version = f.u8()?;
    let rank = usize::from(f.u8()?);
    f.skip(1)?;
    let kind = f.u8()?;
    match version {
        1 => f.skip(4)?,
        2 if kind == 2 => return Ok(None),
        2 => {}
        _ => return Err(broken(format!("dataspace of version {version}, known are 1 and 2"))),
    }
    if rank > MAX_RANK {
        return Err(broken(format!("{rank} dimensions, at most {MAX_RANK} are allowed")));
    }
    (0..rank).map(|_| f.length().map(Some)).collect::<Result<_>>().map(Some)
}

/// How many elements a shape has.
pub(super) fn count(shape: &Shape) -> Option<usize> {
    let n = shape.iter().try_fold(1u64, |n, d| n.checked_mul((*d)?))?;
    usize::try_from(n).ok()
}
