//! Binary tensors: the values of tensors as bytes behind the JSON of a request or answer.
//!
//! It is the protocol's extension `binary_tensor_data`: little-endian, row-major, no padding; a
//! boolean is a byte, 0 or 1; a string is its length in four bytes and its bytes (KServe, "Binary
//! Tensor Data Extension").
//!
//! Invariant: numbers and strings of a request are slices of its body and are not copied.

use bytes::{BufMut, Bytes};

use super::request::Memory;
use crate::engine::tensor::{elements, width};
use crate::engine::{Data, Tensor};
use crate::error::show_bytes;
use crate::model::DType;
use crate::serve::datatype;
use crate::serve::model::Refused;

/// Bytes of a string's length.
const LENGTH: usize = 4;

/// A tensor of a dtype and shape from its bytes.
///
/// # Errors
///
/// [`Refused::Invalid`] where the bytes are no such tensor, and what [`Memory::keep`] says.
pub(super) fn read(
    bytes: Bytes,
    dtype: DType,
    shape: &[usize],
    memory: &mut Memory<'_>,
) -> Result<Tensor, Refused> {
    let invalid = Refused::Invalid;
    let Some(count) = elements(shape) else {
        return Err(invalid(format!("the shape {shape:?} has more elements than can be counted")));
    };
    if dtype == DType::String {
        return strings(&bytes, count, shape, memory);
    }
    let wanted = width(dtype).and_then(|w| w.checked_mul(count));
    if wanted != Some(bytes.len()) {
        let word = datatype::word(dtype).unwrap_or(dtype.name());
        let wanted = wanted.map_or("more bytes than can be counted".to_owned(), |w| format!("{w} bytes"));
        return Err(invalid(format!(
            "expected {wanted} of binary data ({word}, shape {shape:?}), found {}",
            bytes.len()
        )));
    }
    if dtype == DType::Bool
        && let Some(odd) = bytes.iter().find(|b| **b > 1)
    {
        return Err(invalid(format!("expected 0 or 1 for a BOOL, found the byte {odd}")));
    }
    Tensor::fixed(dtype, shape.to_vec(), bytes).map_err(|e| invalid(e.to_string()))
}

fn strings(bytes: &Bytes, count: usize, shape: &[usize], memory: &mut Memory<'_>) -> Result<Tensor, Refused> {
    let short = |found: usize| {
        Refused::Invalid(format!(
            "expected {count} strings (shape {shape:?}), the binary data ends in number {found}"
        ))
    };
    if count > bytes.len() / LENGTH {
        return Err(short(bytes.len() / LENGTH + 1));
    }
    // The list of slices is larger than the shortest strings are.
    memory.keep(count.saturating_mul(size_of::<Bytes>()))?;
    let mut all = Vec::with_capacity(count);
    let mut at = 0;
    for n in 1..=count {
        let begin = at + LENGTH;
        let length = bytes.get(at..begin).and_then(|l| l.try_into().ok()).map(u32::from_le_bytes);
        let end = length.and_then(|l| usize::try_from(l).ok()).and_then(|l| begin.checked_add(l));
        let end = end.filter(|e| *e <= bytes.len()).ok_or_else(|| short(n))?;
        all.push(bytes.slice(begin..end));
        at = end;
    }
    if at != bytes.len() {
        let more = bytes.len() - at;
        return Err(Refused::Invalid(format!(
            "expected {count} strings (shape {shape:?}), {more} bytes of binary data follow them"
        )));
    }
    Tensor::strings(shape.to_vec(), all).map_err(|e| Refused::Invalid(e.to_string()))
}

/// The bytes of a tensor.
///
/// # Errors
///
/// When a string is longer than the protocol can say.
pub(super) fn write(name: &str, data: Data) -> Result<Bytes, String> {
    let all = match data {
        Data::Fixed(bytes) => return Ok(bytes),
        Data::Strings(all) => all,
    };
    let size = all.iter().map(|s| s.len().saturating_add(LENGTH)).fold(0, usize::saturating_add);
    let mut out = Vec::with_capacity(size);
    for one in all {
        let length = u32::try_from(one.len()).map_err(|_| {
            format!("the output `{}` holds a string of {} bytes", show_bytes(name.as_bytes()), one.len())
        })?;
        out.put_u32_le(length);
        out.put_slice(&one);
    }
    Ok(out.into())
}
