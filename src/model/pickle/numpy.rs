//! Numpy's arrays and scalars in pickles: type and shape, and where the elements lie.

use crate::model::contract::DType;
use crate::model::pickle::node::{Id, Text};

/// The type of an array's elements (numpy.dtype).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElementType {
    /// Numpy's letter and size, without the byte order: `f8`, `i4`, `b1`, `U12`, `O8`, `V16`.
    pub code: String,
    /// Whether the bytes are big endian.
    pub big_endian: bool,
    /// Names of fields, of a structured type.
    pub fields: Vec<String>,
}

impl ElementType {
    /// The dtype, where numpy's type has one: texts and objects are [`DType::String`] and
    /// [`DType::Object`].
    pub fn dtype(&self) -> Option<DType> {
        Some(match self.code.as_str() {
            "f2" => DType::Float16,
            "f4" => DType::Float32,
            "f8" => DType::Float64,
            "i1" => DType::Int8,
            "i2" => DType::Int16,
            "i4" => DType::Int32,
            "i8" => DType::Int64,
            "u1" => DType::UInt8,
            "u2" => DType::UInt16,
            "u4" => DType::UInt32,
            "u8" => DType::UInt64,
            "b1" => DType::Bool,
            "c8" => DType::Complex64,
            "c16" => DType::Complex128,
            code if code.starts_with(['U', 'S', 'a', 'T']) => DType::String,
            code if code.starts_with('O') => DType::Object,
            _ => return None,
        })
    }

    /// Size of one element in bytes; `None` for objects.
    pub fn size(&self) -> Option<u64> {
        let (letter, size) = self.code.split_at_checked(1)?;
        let size: u64 = size.parse().ok()?;
        match letter {
            "O" => None,
            "U" => size.checked_mul(4),
            _ => Some(size),
        }
    }
}

/// Where an array's elements are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArrayData {
    /// In the pickle, as bytes.
    Bytes(Text),
    /// In the pickle, as values: arrays of objects.
    Objects(Vec<Id>),
    /// In the stream after the pickle's opcode (joblib), at an offset.
    Stream {
        /// Offset in the (decompressed) stream, in bytes.
        offset: u64,
        /// Length in bytes.
        length: u64,
    },
    /// Not known.
    Unknown,
}

/// An array, or a scalar (whose shape is empty).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Array {
    /// Type of the elements.
    pub element: ElementType,
    /// Shape.
    pub shape: Vec<u64>,
    /// Whether the elements lie column by column.
    pub fortran: bool,
    /// The elements.
    pub data: ArrayData,
}

/// How many elements of an array are read at most.
const MAX_ELEMENTS: usize = 64 << 10;

impl Array {
    /// Whether it holds truth values.
    pub fn is_bool(&self) -> bool {
        self.element.code == "b1"
    }

    /// The integer of a scalar of an integer type.
    pub fn scalar_int(&self) -> Option<i64> {
        if self.shape.is_empty() { self.ints()?.first().copied() } else { None }
    }

    /// The number of a scalar of a numeric type.
    pub fn scalar_float(&self) -> Option<f64> {
        if self.shape.is_empty() { self.floats()?.first().copied() } else { None }
    }

    /// How many elements it has; `None` where the product does not fit.
    pub fn len(&self) -> Option<u64> {
        self.shape.iter().try_fold(1u64, |n, d| n.checked_mul(*d))
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// The elements as they lie in memory, where they are at hand and not too many.
    fn chunks(&self) -> Option<impl Iterator<Item = &[u8]>> {
        let size = usize::try_from(self.element.size()?).ok().filter(|n| *n > 0)?;
        let count = usize::try_from(self.len()?).ok().filter(|n| *n <= MAX_ELEMENTS)?;
        let ArrayData::Bytes(Text::Here(bytes)) = &self.data else { return None };
        let all = bytes.get(..size.checked_mul(count)?)?;
        Some(all.chunks_exact(size))
    }

    /// The elements of an array of integers or truth values, in the order in which they lie.
    pub fn ints(&self) -> Option<Vec<i64>> {
        let signed = self.element.code.starts_with('i');
        if !signed && !self.element.code.starts_with(['u', 'b']) {
            return None;
        }
        let read = |chunk: &[u8]| {
            let mut wide = [0; 8];
            let n = chunk.len().min(8);
            if self.element.big_endian {
                wide[8 - n..].copy_from_slice(&chunk[..n]);
                wide.reverse();
            } else {
                wide[..n].copy_from_slice(&chunk[..n]);
            }
            let unsigned = u64::from_le_bytes(wide);
            if signed {
                let shift = 64 - 8 * n as u32;
                Some(((unsigned << shift) as i64) >> shift)
            } else {
                i64::try_from(unsigned).ok()
            }
        };
        self.chunks()?.map(read).collect()
    }

    /// The elements of an array of numbers, in the order in which they lie.
    pub fn floats(&self) -> Option<Vec<f64>> {
        let read = |chunk: &[u8]| {
            let mut bytes = chunk.to_vec();
            if self.element.big_endian {
                bytes.reverse();
            }
            match bytes.as_slice() {
                [a, b, c, d] => f64::from(f32::from_le_bytes([*a, *b, *c, *d])),
                other => {
                    let mut wide = [0; 8];
                    wide.copy_from_slice(other);
                    f64::from_le_bytes(wide)
                }
            }
        };
        match self.element.code.as_str() {
            "f4" | "f8" => Some(self.chunks()?.map(read).collect()),
            _ => Some(self.ints()?.into_iter().map(|n| n as f64).collect()),
        }
    }

    /// The elements of an array of texts of fixed length (`U`, `S`).
    pub fn texts(&self) -> Option<Vec<String>> {
        let wide = self.element.code.starts_with('U');
        if !wide && !self.element.code.starts_with(['S', 'a']) {
            return None;
        }
        let read = |chunk: &[u8]| {
            if !wide {
                let end = chunk.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
                return String::from_utf8_lossy(&chunk[..end]).into_owned();
            }
            let code = |c: &[u8]| {
                let four = [c[0], c[1], c[2], c[3]];
                if self.element.big_endian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }
            };
            let mut text: String = chunk
                .chunks_exact(4)
                .map(|c| char::from_u32(code(c)).unwrap_or(char::REPLACEMENT_CHARACTER))
                .collect();
            text.truncate(text.trim_end_matches('\0').len());
            text
        };
        Some(self.chunks()?.map(read).collect())
    }
}
