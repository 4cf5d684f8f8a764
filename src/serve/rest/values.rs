//! Values: the `data` of a tensor, from JSON and back.
//!
//! Numbers go straight between text and a tensor's bytes. Integers never pass through a float;
//! a float is read as the nearest of its own width and written with the fewest digits that are read
//! back as the same. `data` is flat, or nested as the shape says, in row-major order.
//!
//! Invariant: what JSON cannot say (`NaN`, infinities, strings that are not UTF-8, the half-width
//! floats for which the protocol has no JSON) is refused in both directions, never replaced.

use bytes::Bytes;
use serde_json::ser::{CompactFormatter, Formatter};

use super::json::{Read, Reader, beginning};
use super::request::Memory;
use crate::engine::tensor::{elements, width};
use crate::engine::{Data, Tensor};
use crate::error::show_bytes;
use crate::model::DType;
use crate::serve::datatype;
use crate::serve::model::Refused;

/// What a string costs beside its bytes.
const STRING: usize = size_of::<Bytes>() + size_of::<usize>();

/// The advice for what JSON cannot say.
const BINARY: &str = "JSON cannot carry it; ask for binary data (`binary_data` or `binary_data_output`)";

/// Reads the values of a tensor of a dtype and shape; memory for them is taken from `memory`.
///
/// # Errors
///
/// [`Refused::Invalid`] where the text is no such values, and what [`Memory::room`] says.
pub(super) fn read(
    r: &mut Reader<'_>,
    dtype: DType,
    shape: &[usize],
    memory: &mut Memory<'_>,
) -> Result<Tensor, Refused> {
    let invalid = Refused::Invalid;
    if matches!(dtype, DType::Float16 | DType::BFloat16) {
        let word = datatype::word(dtype).unwrap_or_default();
        return Err(invalid(format!("{word} has no JSON in the protocol; send it as binary data")));
    }
    let Some(count) = elements(shape) else {
        return Err(invalid(format!("the shape {shape:?} has more elements than can be counted")));
    };
    // Each element but the first takes two bytes of text at least.
    let possible = r.left() / 2 + 1;
    if count > possible {
        return Err(invalid(format!("the shape {shape:?} asks for {count} elements, `data` has fewer")));
    }
    let value = Values { shape, count };
    if dtype == DType::String {
        memory.keep(count.saturating_mul(STRING).saturating_add(r.left()))?;
        let mut ends = Vec::with_capacity(count);
        let mut text = String::new();
        value
            .read(r, &mut |r| {
                r.string_into(&mut text)?;
                ends.push(text.len());
                Ok(())
            })
            .map_err(invalid)?;
        let all = Bytes::from(text);
        let mut begin = 0;
        let each = ends.into_iter().map(|end| all.slice(std::mem::replace(&mut begin, end)..end)).collect();
        return Tensor::strings(shape.to_vec(), each).map_err(|e| invalid(e.to_string()));
    }
    let Some(size) = width(dtype).and_then(|w| w.checked_mul(count)) else {
        return Err(invalid(format!("{dtype} cannot be read from JSON")));
    };
    let room = memory.room(size)?;
    let mut out = Vec::with_capacity(size);
    numbers(dtype, &value, r, &mut out).map_err(invalid)?;
    Tensor::fixed(dtype, shape.to_vec(), room.hold(out)).map_err(|e| invalid(e.to_string()))
}

fn numbers(dtype: DType, value: &Values<'_>, r: &mut Reader<'_>, out: &mut Vec<u8>) -> Read<()> {
    macro_rules! integer {
        ($t:ty) => {
            value.read(r, &mut |r| {
                let text = r.number()?;
                let number: $t = text.parse().map_err(|_| out_of_range(text, dtype))?;
                out.extend_from_slice(&number.to_le_bytes());
                Ok(())
            })
        };
    }
    macro_rules! float {
        ($t:ty) => {
            value.read(r, &mut |r| {
                let text = match r.peek() {
                    Some(b'N' | b'I' | b'n') => {
                        return Err(r.wrong("a finite number (send others as binary data)"));
                    }
                    _ => r.number()?,
                };
                let number: $t = text.parse().map_err(|_| out_of_range(text, dtype))?;
                if number.is_infinite() {
                    return Err(out_of_range(text, dtype));
                }
                out.extend_from_slice(&number.to_le_bytes());
                Ok(())
            })
        };
    }
    match dtype {
        DType::Bool => value.read(r, &mut |r| {
            out.push(u8::from(r.boolean()?));
            Ok(())
        }),
        DType::Int8 => integer!(i8),
        DType::Int16 => integer!(i16),
        DType::Int32 => integer!(i32),
        DType::Int64 => integer!(i64),
        DType::UInt8 => integer!(u8),
        DType::UInt16 => integer!(u16),
        DType::UInt32 => integer!(u32),
        DType::UInt64 => integer!(u64),
        DType::Float32 => float!(f32),
        DType::Float64 => float!(f64),
        other => Err(format!("{other} cannot be read from JSON")),
    }
}

fn out_of_range(text: &str, dtype: DType) -> String {
    let word = datatype::word(dtype).unwrap_or_default();
    let kind =
        if text.contains(['.', 'e', 'E']) && !word.starts_with("FP") { "an integer" } else { "a number" };
    format!("expected {kind} of {word}, found {}", beginning(text))
}

/// How values lie in `data`.
struct Values<'a> {
    shape: &'a [usize],
    count: usize,
}

impl Values<'_> {
    /// Reads all values, each with `one`.
    fn read(&self, r: &mut Reader<'_>, one: &mut impl FnMut(&mut Reader<'_>) -> Read<()>) -> Read<()> {
        if self.shape.is_empty() && r.peek() != Some(b'[') {
            return one(r);
        }
        r.punctuation(b'[', "`[`")?;
        // A flat row of no values may be a nested one as well: both are `[]`.
        let nested = self.shape.len() > 1 && r.peek() == Some(b'[');
        match self.shape.split_first() {
            Some((first, rest)) if nested => nest(r, *first, rest, one),
            _ => row(r, self.count, one),
        }
    }
}

/// Reads an array of `count` values whose `[` was read.
fn row(r: &mut Reader<'_>, count: usize, one: &mut impl FnMut(&mut Reader<'_>) -> Read<()>) -> Read<()> {
    let mut found = 0;
    while r.item(found == 0)? {
        if found == count {
            return Err(format!("expected {count} elements, found more"));
        }
        one(r)?;
        found += 1;
    }
    if found < count { Err(format!("expected {count} elements, found {found}")) } else { Ok(()) }
}

/// Reads an array of `first` arrays of the shape `rest`, whose `[` was read.
fn nest(
    r: &mut Reader<'_>,
    first: usize,
    rest: &[usize],
    one: &mut dyn FnMut(&mut Reader<'_>) -> Read<()>,
) -> Read<()> {
    match rest.split_first() {
        None => row(r, first, &mut |r| one(r)),
        Some((next, rest)) => row(r, first, &mut |r| {
            r.punctuation(b'[', "`[`")?;
            nest(r, *next, rest, one)
        }),
    }
}

/// Whether JSON can carry a dtype at all.
pub(super) fn has_json(dtype: DType) -> bool {
    !matches!(dtype, DType::Float16 | DType::BFloat16)
}

/// Says that a dtype has no JSON.
pub(super) fn no_json(name: &str, dtype: DType) -> String {
    let word = datatype::word(dtype).unwrap_or(dtype.name());
    format!("the output `{}` is {word}: {BINARY}", show_bytes(name.as_bytes()))
}

/// Writes the values of a tensor as a flat array.
///
/// # Errors
///
/// What JSON cannot say, and what to do about it.
pub(super) fn write(name: &str, tensor: &Tensor, out: &mut Vec<u8>) -> Result<(), String> {
    let shown = || show_bytes(name.as_bytes());
    out.push(b'[');
    match tensor.data() {
        Data::Strings(all) => {
            for (i, one) in all.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                let text = std::str::from_utf8(one).map_err(|_| {
                    format!("the output `{}` holds a string that is not UTF-8: {BINARY}", shown())
                })?;
                serde_json::to_writer(&mut *out, text).expect("a vector takes what is written");
            }
        }
        Data::Fixed(bytes) => {
            macro_rules! each {
                ($t:ty, $write:ident) => {
                    for (i, one) in bytes.as_chunks::<{ size_of::<$t>() }>().0.iter().enumerate() {
                        if i > 0 {
                            out.push(b',');
                        }
                        let number = <$t>::from_le_bytes(*one);
                        CompactFormatter.$write(&mut *out, number).expect("a vector takes what is written");
                    }
                };
            }
            macro_rules! finite {
                ($t:ty) => {
                    if bytes.as_chunks().0.iter().any(|one| !<$t>::from_le_bytes(*one).is_finite()) {
                        return Err(format!(
                            "the output `{}` holds a number that is not finite: {BINARY}",
                            shown()
                        ));
                    }
                };
            }
            match tensor.dtype() {
                DType::Bool => {
                    for (i, one) in bytes.iter().enumerate() {
                        if i > 0 {
                            out.push(b',');
                        }
                        out.extend_from_slice(if *one == 0 { b"false" } else { b"true" });
                    }
                }
                DType::Int8 => each!(i8, write_i8),
                DType::Int16 => each!(i16, write_i16),
                DType::Int32 => each!(i32, write_i32),
                DType::Int64 => each!(i64, write_i64),
                DType::UInt8 => each!(u8, write_u8),
                DType::UInt16 => each!(u16, write_u16),
                DType::UInt32 => each!(u32, write_u32),
                DType::UInt64 => each!(u64, write_u64),
                DType::Float32 => {
                    finite!(f32);
                    each!(f32, write_f32);
                }
                DType::Float64 => {
                    finite!(f64);
                    each!(f64, write_f64);
                }
                other => return Err(no_json(name, other)),
            }
        }
    }
    out.push(b']');
    Ok(())
}
