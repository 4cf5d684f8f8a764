//! Numpy's arrays and scalars in pickles: type and shape, and where the elements lie.

use crate::model::contract::DType;
use crate::model::pickle::node::{Id, Pickle, Text};

/// The type of an array's elements (numpy.dtype).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElementType {
    /// Numpy's letter and size, without the byte order: `f8`, `i4`, `b1`, `U12`, `O8`, `V16`.
    pub code: String,
    /// Whether the bytes are big endian.
    pub big_endian: bool,
    /// Names of fields, of a structured type in a header of numpy; a pickle's are not kept, since
    /// each array would have a copy.
    pub fields: Vec<String>,
}

/// The longest code or name of a type; that of texts has their length.
const MAX_CODE: usize = 24;

impl ElementType {
    /// Reads numpy's short form, perhaps with a byte order (`<f8`), or a type's name (`float64`).
    pub fn parse(spec: &str) -> Option<Self> {
        let code = spec.trim_start_matches(['<', '>', '=', '|', '!']);
        if code.len() > MAX_CODE {
            return None;
        }
        let mut letters = code.chars();
        let is_code = letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '?')
            && letters.all(|c| c.is_ascii_digit());
        let code = if code == "?" {
            "b1"
        } else if is_code {
            code
        } else {
            let named = DType::ALL.iter().find(|d| d.name() == code)?;
            ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1", "c8", "c16", "O8"]
                .into_iter()
                .find(|c| {
                    Self { code: (*c).to_owned(), big_endian: false, fields: Vec::new() }.dtype()
                        == Some(*named)
                })?
        };
        Some(Self { code: code.to_owned(), big_endian: spec.starts_with('>'), fields: Vec::new() })
    }

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

impl ElementType {
    /// Whether the elements are Python objects, or hold some.
    pub fn has_objects(&self) -> bool {
        self.code.starts_with('O')
    }
}

impl Pickle {
    /// The type that a `numpy.dtype` object is (numpy/_core/src/multiarray/descriptor.c,
    /// `arraydescr_reduce`).
    pub fn element_type(&self, id: Id) -> Option<ElementType> {
        if !matches!(self.class(id)?, ("numpy" | "numpy.core.multiarray" | "numpy._core.multiarray", "dtype"))
        {
            return None;
        }
        let object = self.object(id)?;
        let spec = self.str(*self.elements(object.args?)?.first()?)?;
        let mut element = ElementType::parse(spec)?;
        // `(version, byte order, subarray, names, fields, size, alignment, flags)`
        if let Some(state) = object.state.and_then(|s| self.elements(s)) {
            if let Some(order) = state.get(1).and_then(|o| self.str(*o)) {
                element.big_endian |= order == ">";
            }
            let flags = state.get(7).and_then(|f| self.int(*f)).unwrap_or(0);
            // NPY_ITEM_REFCOUNT of a structured type: some field is an object.
            if element.code.starts_with('V') && flags & 1 != 0 {
                element.code.replace_range(..1, "O");
            }
        }
        Some(element)
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

    /// How many bytes its elements take; `None` for objects.
    pub fn byte_length(&self) -> Option<u64> {
        self.len()?.checked_mul(self.element.size()?)
    }

    /// The array, without its data where that does not have the length which type and shape ask for.
    pub(super) fn checked(mut self) -> Self {
        let right = match &self.data {
            ArrayData::Bytes(Text::Here(bytes)) => {
                self.byte_length().is_none_or(|length| bytes.len() as u64 == length)
            }
            ArrayData::Objects(values) => self.len() == Some(values.len() as u64),
            _ => true,
        };
        if !right {
            self.data = ArrayData::Unknown;
        }
        self
    }

    /// Bytes of memory that it takes, about.
    pub(super) fn weight(&self) -> usize {
        size_of::<Self>()
            + self.shape.len() * 8
            + match &self.data {
                ArrayData::Bytes(Text::Here(bytes)) => bytes.len(),
                ArrayData::Objects(values) => values.len() * 4,
                _ => 0,
            }
    }

    /// The objects of an array of objects.
    pub fn objects(&self) -> Option<&[Id]> {
        match &self.data {
            ArrayData::Objects(values) => Some(values),
            _ => None,
        }
    }

    /// The texts of an array of texts: of fixed length, or objects that are all strings.
    pub fn labels(&self, tree: &Pickle) -> Option<Vec<String>> {
        match self.objects() {
            Some(values) => values.iter().map(|id| tree.copy_str(*id)).collect(),
            None => {
                let ArrayData::Bytes(text) = &self.data else { return None };
                tree.copy(usize::try_from(text.len()).ok()?)?;
                self.texts()
            }
        }
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
        if !matches!(self.element.size(), Some(1 | 2 | 4 | 8)) {
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
                    let n = other.len().min(8);
                    wide[..n].copy_from_slice(&other[..n]);
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
