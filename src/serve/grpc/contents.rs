//! The typed form of a tensor's elements: `InferTensorContents`.
//!
//! Each element type has one field of the message; types of 8 and 16 bits share that of 32. What a
//! caller sends is read off the wire straight into the bytes that the engine takes, so that a number
//! never takes more memory than its element type asks for.
//!
//! Invariant: elements that do not fit their type are refused, never cut.

use bytes::{BufMut, Bytes, BytesMut};

use super::messages::InferTensorContents;
use super::wire::{Fields, Value, varint};
use crate::engine::tensor::width;
use crate::engine::{Data, Tensor};
use crate::model::contract::DType;
use crate::serve::datatype;

/// The fields of the message, by their numbers less one.
const FIELDS: [&str; 8] = [
    "bool_contents",
    "int_contents",
    "int64_contents",
    "uint_contents",
    "uint64_contents",
    "fp32_contents",
    "fp64_contents",
    "bytes_contents",
];

/// Number of the field for an element type; `None` where it has only the raw form.
pub(super) fn field(dtype: DType) -> Option<u64> {
    Some(match dtype {
        DType::Bool => 1,
        DType::Int8 | DType::Int16 | DType::Int32 => 2,
        DType::Int64 => 3,
        DType::UInt8 | DType::UInt16 | DType::UInt32 => 4,
        DType::UInt64 => 5,
        DType::Float32 => 6,
        DType::Float64 => 7,
        DType::String => 8,
        _ => return None,
    })
}

/// The name of a field; `None` for one that the message does not have.
fn field_name(number: u64) -> Option<&'static str> {
    usize::try_from(number).ok().and_then(|n| n.checked_sub(1)).and_then(|n| FIELDS.get(n)).copied()
}

/// Checks that so many elements can be in so many bytes of the wire; the memory that they take.
///
/// # Errors
///
/// When they cannot, or the type has no typed form.
pub(super) fn cost(dtype: DType, elements: usize, contents: &[u8]) -> Result<usize, String> {
    let found = contents.len();
    if field(dtype).is_none() {
        let word = datatype::word(dtype).unwrap_or_default();
        return Err(format!("expected {word} in raw input contents, which is its only form, found contents"));
    }
    let (least, each) = match dtype {
        // A string has its key and its length before it.
        DType::String => (2, size_of::<Bytes>()),
        DType::Float32 => (4, 4),
        DType::Float64 => (8, 8),
        _ => (1, width(dtype).unwrap_or(1)),
    };
    if elements.saturating_mul(least) > found {
        return Err(format!(
            "expected {elements} elements, found contents of {found} bytes, which hold fewer"
        ));
    }
    let cost = elements.saturating_mul(each);
    // Floating point that lies in one piece is taken as it is.
    let whole =
        matches!(Fields::of(contents).next(), Ok(Some((6 | 7, Value::Bytes(all)))) if all.len() == cost);
    Ok(if whole { 0 } else { cost })
}

/// Reads the elements out of an `InferTensorContents`.
///
/// # Errors
///
/// When they are in the wrong field, of the wrong number, or do not fit their type.
pub(super) fn read(dtype: DType, elements: usize, contents: &Bytes) -> Result<Data, String> {
    let wanted = field(dtype).unwrap_or_default();
    let mut strings = Vec::new();
    let mut numbers = BytesMut::new();
    let mut count = 0usize;
    let mut fields = Fields::of(contents);
    while let Some((number, value)) = fields.next()? {
        let Some(name) = field_name(number) else { continue };
        if number != wanted {
            return Err(misplaced(dtype, wanted, name));
        }
        match (dtype, value) {
            (DType::String, Value::Bytes(string)) => {
                if count == 0 {
                    strings.reserve_exact(elements);
                }
                more(&mut count, 1, elements)?;
                strings.push(contents.slice_ref(string));
            }
            (DType::Float32, Value::Bytes(packed)) | (DType::Float64, Value::Bytes(packed)) => {
                let width = width(dtype).unwrap_or(1);
                if packed.len() % width != 0 {
                    return Err(format!(
                        "`{name}` has {} bytes, which is no multiple of {width}",
                        packed.len()
                    ));
                }
                let n = packed.len() / width;
                more(&mut count, n, elements)?;
                if n == elements {
                    // All of them, as the engine takes them: nothing to copy. Only an empty field may
                    // still come, or one too many.
                    while let Some((number, value)) = fields.next()? {
                        let extra = field_name(number).is_some() && value != Value::Bytes(&[]);
                        if extra {
                            return Err(format!("expected {elements} elements, found more"));
                        }
                    }
                    return Ok(Data::Fixed(contents.slice_ref(packed)));
                }
                numbers.extend_from_slice(packed);
            }
            (DType::Float32, Value::Fixed32(one)) | (DType::Float64, Value::Fixed64(one)) => {
                more(&mut count, 1, elements)?;
                numbers.extend_from_slice(one);
            }
            (DType::String | DType::Float32 | DType::Float64, _) => return Err(misread(name)),
            (_, Value::Varint(one)) => {
                more(&mut count, 1, elements)?;
                put(&mut numbers, dtype, one, count - 1)?;
            }
            (_, Value::Bytes(mut packed)) => {
                if count == 0 {
                    numbers.reserve(elements.saturating_mul(width(dtype).unwrap_or(1)));
                }
                while !packed.is_empty() {
                    let one = varint(&mut packed)?;
                    more(&mut count, 1, elements)?;
                    put(&mut numbers, dtype, one, count - 1)?;
                }
            }
            _ => return Err(misread(name)),
        }
    }
    if count != elements {
        return Err(format!("expected {elements} elements, found {count}"));
    }
    Ok(if dtype == DType::String { Data::Strings(strings) } else { Data::Fixed(numbers.freeze()) })
}

fn misplaced(dtype: DType, wanted: u64, found: &str) -> String {
    let word = datatype::word(dtype).unwrap_or_default();
    let wanted = field_name(wanted).unwrap_or("raw_input_contents");
    format!("expected {word} in `{wanted}`, found `{found}`")
}

fn misread(name: &str) -> String {
    format!("`{name}` is not written as the protocol says")
}

fn more(count: &mut usize, n: usize, elements: usize) -> Result<(), String> {
    *count = count.saturating_add(n);
    if *count > elements {
        return Err(format!("expected {elements} elements, found more"));
    }
    Ok(())
}

/// Appends one number, which fields of 32 bits carry in their lower half: `int32` is written with
/// its sign extended to 64 bits.
fn put(out: &mut BytesMut, dtype: DType, value: u64, at: usize) -> Result<(), String> {
    let low = u32::try_from(value & u64::from(u32::MAX)).unwrap_or_default();
    let signed = low.cast_signed();
    let misfit = |found: String| {
        let word = datatype::word(dtype).unwrap_or_default();
        format!("element {at}: {found} does not fit {word}")
    };
    match dtype {
        DType::Bool => out.put_u8(u8::from(value != 0)),
        DType::Int8 => out.put_i8(i8::try_from(signed).map_err(|_| misfit(signed.to_string()))?),
        DType::Int16 => out.put_i16_le(i16::try_from(signed).map_err(|_| misfit(signed.to_string()))?),
        DType::Int32 => out.put_i32_le(signed),
        DType::UInt8 => out.put_u8(u8::try_from(low).map_err(|_| misfit(low.to_string()))?),
        DType::UInt16 => out.put_u16_le(u16::try_from(low).map_err(|_| misfit(low.to_string()))?),
        DType::UInt32 => out.put_u32_le(low),
        _ => out.put_u64_le(value),
    }
    Ok(())
}

/// The elements of a tensor that has a typed form.
pub(super) fn write(tensor: &Tensor) -> InferTensorContents {
    let mut contents = InferTensorContents::default();
    let bytes = match tensor.data() {
        Data::Fixed(bytes) => bytes,
        Data::Strings(strings) => {
            contents.bytes_contents.clone_from(strings);
            return contents;
        }
    };
    match tensor.dtype() {
        DType::Bool => contents.bool_contents = bytes.iter().map(|b| *b != 0).collect(),
        DType::Int8 => {
            contents.int_contents = numbers(bytes, |b: [u8; 1]| i32::from(i8::from_le_bytes(b)));
        }
        DType::Int16 => contents.int_contents = numbers(bytes, |b| i32::from(i16::from_le_bytes(b))),
        DType::Int32 => contents.int_contents = numbers(bytes, i32::from_le_bytes),
        DType::Int64 => contents.int64_contents = numbers(bytes, i64::from_le_bytes),
        DType::UInt8 => contents.uint_contents = bytes.iter().map(|b| u32::from(*b)).collect(),
        DType::UInt16 => contents.uint_contents = numbers(bytes, |b| u32::from(u16::from_le_bytes(b))),
        DType::UInt32 => contents.uint_contents = numbers(bytes, u32::from_le_bytes),
        DType::UInt64 => contents.uint64_contents = numbers(bytes, u64::from_le_bytes),
        DType::Float32 => contents.fp32_contents = numbers(bytes, f32::from_le_bytes),
        DType::Float64 => contents.fp64_contents = numbers(bytes, f64::from_le_bytes),
        _ => (),
    }
    contents
}

fn numbers<const N: usize, T>(bytes: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks().0.iter().map(|chunk| read(*chunk)).collect()
}
