//! Tensors as they lie in messages, and as the engine takes and gives them.
//!
//! There are two forms: raw, all inputs or outputs as little-endian bytes beside the list of
//! tensors, and typed, each tensor's elements in a repeated field ([`super::contents`]). What a model
//! wants is not known here; that is the contract's check.
//!
//! Invariants: raw numbers are never copied; nothing is allocated for elements that the message does
//! not hold; what a tensor takes beyond the message is known ([`Given::cost`]) before it is taken.

use bytes::{BufMut, Bytes, BytesMut};

use super::bounds::DIMS;
use super::contents;
use super::messages::{InferInputTensor, InferOutputTensor};
use crate::engine::tensor::{elements, width};
use crate::engine::{Data, Tensor};
use crate::error::show_bytes;
use crate::model::contract::DType;
use crate::serve::datatype;

/// Inputs of a request whose descriptions are right, and whose elements are not read yet.
#[derive(Debug)]
pub(super) struct Given {
    inputs: Vec<Input>,
    /// Bytes of memory that reading the elements takes, beside the message.
    pub(super) cost: usize,
}

#[derive(Debug)]
struct Input {
    name: String,
    dtype: DType,
    shape: Vec<usize>,
    elements: usize,
    bytes: Bytes,
    raw: bool,
}

/// Whether an answer should be raw: when the request was, or had no form at all.
pub(super) fn wants_raw(inputs: &[InferInputTensor], raw: &[Bytes]) -> bool {
    !raw.is_empty() || inputs.iter().all(|i| i.contents.is_none())
}

/// Looks at the descriptions of the inputs.
///
/// # Errors
///
/// One sentence for the caller: which input, what was expected, what was found.
pub(super) fn look(inputs: Vec<InferInputTensor>, raw: Vec<Bytes>) -> Result<Given, String> {
    let all = inputs.len();
    if !raw.is_empty() {
        if let Some(mixed) = inputs.iter().find(|i| i.contents.is_some()) {
            return Err(format!(
                "the input {} has contents, though the request has raw input contents; expected one form for all inputs",
                shown(&mixed.name)
            ));
        }
        if raw.len() != all {
            return Err(format!(
                "expected raw input contents for each of {all} inputs, found {} of them",
                raw.len()
            ));
        }
    }
    let is_raw = !raw.is_empty();
    let mut raw = raw.into_iter();
    let mut given = Given { inputs: Vec::with_capacity(all), cost: 0 };
    for input in inputs {
        let (bytes, found) = match raw.next() {
            Some(bytes) => (bytes, true),
            None => {
                let found = input.contents.is_some();
                (input.contents.unwrap_or_default(), found)
            }
        };
        let described = describe(&input.name, &input.datatype, &input.shape);
        let (dtype, shape, elements) = described.map_err(|e| at(&input.name, e))?;
        if !found && elements > 0 {
            return Err(at(&input.name, format!("expected {elements} elements, found no contents")));
        }
        let cost = if is_raw {
            raw_cost(dtype, elements, bytes.len())
        } else {
            contents::cost(dtype, elements, &bytes)
        };
        let cost = cost.map_err(|e| at(&input.name, e))?;
        given.cost = given.cost.saturating_add(cost);
        given.inputs.push(Input { name: input.name, dtype, shape, elements, bytes, raw: is_raw });
    }
    Ok(given)
}

impl Given {
    /// Reads the elements.
    ///
    /// # Errors
    ///
    /// As [`look`].
    pub(super) fn tensors(self) -> Result<Vec<(String, Tensor)>, String> {
        let mut all = Vec::with_capacity(self.inputs.len());
        for Input { name, dtype, shape, elements, bytes, raw } in self.inputs {
            let data = match (raw, dtype) {
                (true, DType::String) => raw_strings(&bytes, elements).map(Data::Strings),
                (true, DType::Bool) => raw_booleans(&bytes).map(|()| Data::Fixed(bytes)),
                (true, _) => Ok(Data::Fixed(bytes)),
                (false, _) => contents::read(dtype, elements, &bytes),
            };
            let tensor = match data.map_err(|e| at(&name, e))? {
                Data::Fixed(bytes) => Tensor::fixed(dtype, shape, bytes),
                Data::Strings(strings) => Tensor::strings(shape, strings),
            };
            let tensor = tensor.map_err(|e| at(&name, e.message().to_owned()))?;
            all.push((name, tensor));
        }
        Ok(all)
    }
}

fn shown(name: &str) -> String {
    format!("`{}`", show_bytes(name.as_bytes()))
}

fn at(name: &str, what: impl std::fmt::Display) -> String {
    format!("the input {}: {what}", shown(name))
}

fn describe(name: &str, datatype: &str, shape: &[i64]) -> Result<(DType, Vec<usize>, usize), String> {
    if name.is_empty() {
        return Err("expected a name, found none".into());
    }
    let Some(dtype) = datatype::parse(datatype) else {
        return Err(format!("expected a datatype of the protocol such as FP32, found {}", shown(datatype)));
    };
    if shape.len() > DIMS {
        return Err(format!("expected at most {DIMS} dimensions, found {}", shape.len()));
    }
    let mut dims = Vec::with_capacity(shape.len());
    for dim in shape {
        match usize::try_from(*dim) {
            Ok(dim) => dims.push(dim),
            Err(_) => return Err(format!("expected dimensions of 0 or more, found {shape:?}")),
        }
    }
    // The bytes are counted too, so that no later product of the same numbers overflows.
    match elements(&dims).filter(|n| n.checked_mul(size_of::<Bytes>()).is_some()) {
        Some(n) => Ok((dtype, dims, n)),
        None => Err(format!("the shape {shape:?} has more elements than any memory")),
    }
}

/// Checks the length of raw elements; what they take beside the message.
fn raw_cost(dtype: DType, elements: usize, found: usize) -> Result<usize, String> {
    let Some(width) = width(dtype) else {
        // Each string has its length of four bytes before it.
        let least = elements.checked_mul(4);
        return match least.filter(|least| *least <= found) {
            Some(_) => Ok(elements.saturating_mul(size_of::<Bytes>())),
            None => Err(format!(
                "expected {elements} strings, found {found} bytes, which is less than their lengths take"
            )),
        };
    };
    let expected = elements.saturating_mul(width);
    if expected != found {
        return Err(format!(
            "expected {expected} bytes of raw contents ({elements} elements of {width}), found {found}"
        ));
    }
    Ok(0)
}

/// Strings as `BYTES` are written: the length as four little-endian bytes, then the bytes.
fn raw_strings(bytes: &Bytes, elements: usize) -> Result<Vec<Bytes>, String> {
    let mut strings = Vec::with_capacity(elements);
    let mut rest = bytes.clone();
    while !rest.is_empty() {
        if strings.len() == elements {
            return Err(format!("expected {elements} strings, found {} more bytes behind them", rest.len()));
        }
        let at = strings.len();
        let Some((length, _)) = rest.split_first_chunk::<4>() else {
            return Err(format!("the length of string {at} is cut off"));
        };
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let _length = rest.split_to(4);
        if length > rest.len() {
            return Err(format!("string {at}: expected {length} bytes, found {}", rest.len()));
        }
        strings.push(rest.split_to(length));
    }
    if strings.len() != elements {
        return Err(format!("expected {elements} strings, found {}", strings.len()));
    }
    Ok(strings)
}

/// A boolean is a byte, 0 or 1.
fn raw_booleans(bytes: &[u8]) -> Result<(), String> {
    match bytes.iter().enumerate().find(|(_, b)| **b > 1) {
        Some((at, found)) => Err(format!("element {at}: expected a boolean, 0 or 1, found {found}")),
        None => Ok(()),
    }
}

/// Outputs as an answer carries them, with the raw elements beside them where it is raw.
///
/// The answer is raw where that is asked for, and where an element type has no typed form.
///
/// # Errors
///
/// When the protocol cannot carry an output.
pub(super) fn outputs(
    given: Vec<(String, Tensor)>,
    raw: bool,
) -> Result<(Vec<InferOutputTensor>, Vec<Bytes>), String> {
    let raw = raw || given.iter().any(|(_, t)| contents::field(t.dtype()).is_none());
    let mut all = Vec::with_capacity(given.len());
    let mut beside = Vec::new();
    for (name, tensor) in given {
        let dtype = tensor.dtype();
        let failed = |what: &str| format!("the output {}: {what}", shown(&name));
        let Some(word) = datatype::word(dtype) else {
            return Err(failed(&format!("the protocol has no word for {dtype}")));
        };
        let shape = tensor.shape().iter().map(|d| i64::try_from(*d)).collect::<Result<Vec<_>, _>>();
        let Ok(shape) = shape else { return Err(failed("a dimension has more than 63 bits")) };
        let contents = if raw {
            match tensor.into_data() {
                Data::Fixed(bytes) => beside.push(bytes),
                Data::Strings(strings) => match join(&strings) {
                    Some(bytes) => beside.push(bytes),
                    None => return Err(failed("a string has more than 4 GiB")),
                },
            }
            None
        } else {
            Some(contents::write(&tensor))
        };
        let datatype = word.to_owned();
        all.push(InferOutputTensor { name, datatype, shape, contents, ..Default::default() });
    }
    Ok((all, beside))
}

/// The raw form of strings; `None` where one is too long for it.
fn join(strings: &[Bytes]) -> Option<Bytes> {
    let size = strings.iter().fold(0usize, |n, s| n.saturating_add(s.len()).saturating_add(4));
    let mut out = BytesMut::with_capacity(size);
    for s in strings {
        out.put_u32_le(u32::try_from(s.len()).ok()?);
        out.put_slice(s);
    }
    Some(out.freeze())
}

#[cfg(test)]
#[path = "tensors_tests.rs"]
mod tests;
