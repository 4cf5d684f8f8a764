//! What a tensor in a model file claims to be, against what it has.
//!
//! An engine allocates what a shape says before it looks for the values. Here the shape is compared
//! with the values that are there, or with the piece of another file that is to hold them
//! ([`super::external`] compares that with the file). No value is read.
//!
//! Invariant: a tensor that passes has its values, or says where they are.

use std::collections::BTreeMap;

use super::operators::MAX_TEXT;
use crate::error::{Error, Kind, Result, show_bytes};
use crate::model::format::onnx::graph::text_entry;
use crate::model::pb::{Message, Value};

/// The most dimensions of a tensor.
const MAX_RANK: usize = 64;

/// A piece of a file beside the model in which a weight lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// The file, as the model names it.
    pub location: String,
    /// Where it begins.
    pub offset: u64,
    /// How many bytes it says it has.
    pub length: Option<u64>,
    /// How many bytes the weight has; 0 where its type is not known.
    pub size: u64,
}

/// Checks a `TensorProto`; returns its name, and where it lies if that is not in the message.
///
/// # Errors
///
/// [`Kind::Model`] where shape and values do not fit.
pub(super) fn check(mut message: Message<'_>) -> Result<(String, Option<Piece>)> {
    let (mut name, mut dims, mut dtype) = (String::new(), Vec::new(), 0);
    let (mut raw, mut typed, mut elsewhere) = (None, 0u64, false);
    let mut entries = BTreeMap::new();
    while let Some(field) = message.next_field()? {
        match field.number {
            1 => field.append_ints(&mut dims, MAX_RANK)?,
            2 => dtype = field.int()?,
            8 => name = field.text(MAX_TEXT)?,
            9 => raw = Some(field.span()?.size()),
            // The typed lists; an element has at least one byte in each of them.
            4..=7 | 10 | 11 => {
                typed = typed.saturating_add(match field.value {
                    Value::Bytes(span) => span.size().max(1),
                    _ => 8,
                });
            }
            13 if entries.len() < 64 => {
                let (key, value) = text_entry(field.message()?, MAX_TEXT)?;
                entries.insert(key, value);
            }
            14 => elsewhere = field.int()? == 1,
            _ => {}
        }
    }
    let shown = show_bytes(name.as_bytes());
    let elements = dims
        .iter()
        .try_fold(1u64, |n, d| u64::try_from(*d).ok().and_then(|d| n.checked_mul(d)))
        .filter(|n| *n <= isize::MAX as u64 / 128)
        .ok_or_else(|| {
            let text = format!("the weight `{shown}` cannot have the shape {dims:?}");
            Error::new(Kind::Model, text)
        })?;
    let size = width(dtype).map(|bits| elements * bits / 8);
    if elsewhere && raw.is_none_or(|n| n == 0) {
        let number = |key: &str| -> Result<Option<u64>> {
            let parsed = entries.get(key).map(|text| text.parse::<u64>()).transpose();
            parsed.map_err(|_| {
                Error::new(Kind::Model, format!("the {key} of the weight `{shown}` is not a number"))
            })
        };
        let piece = Piece {
            location: entries.get("location").cloned().unwrap_or_default(),
            offset: number("offset")?.unwrap_or(0),
            length: number("length")?,
            size: size.unwrap_or(0),
        };
        return Ok((name, Some(piece)));
    }
    let wrong = match (raw.filter(|n| *n > 0), size) {
        (Some(raw), Some(size)) if width(dtype).is_some_and(|bits| bits >= 8) => raw != size,
        // Elements of less than a byte, of which two or four share one.
        (Some(raw), _) => raw.saturating_mul(4) < elements,
        (None, _) => typed.saturating_mul(4) < elements,
    };
    if wrong {
        let found = raw.unwrap_or(0).max(typed);
        return Err(Error::new(
            Kind::Model,
            format!("the weight `{shown}` has the shape {dims:?} and {found} bytes, which do not fit"),
        ));
    }
    Ok((name, None))
}

/// Bits of an element in raw form, by ONNX's number of its type (onnx/onnx.proto); strings have none.
fn width(dtype: i64) -> Option<u64> {
    Some(match dtype {
        1 | 6 | 12 => 32,
        2 | 3 | 9 | 17..=20 | 24 => 8,
        4 | 5 | 10 | 16 => 16,
        7 | 11 | 13 | 14 => 64,
        15 => 128,
        21..=23 => 4,
        25 | 26 => 2,
        _ => return None,
    })
}
