//! What operations are called with, tensors and numbers alike, and the dtype that they have together.
//!
//! Keras 3 promotes as JAX does: numbers of Python are weak, so that they take the width of the tensor
//! beside them (keras/src/backend/common/dtypes.py). Nothing here knows of shapes but of constants.
//!
//! Invariant: a constant whose lists are uneven has no shape.

use serde_json::Value;

use crate::model::contract::{DType, Shape};
use crate::model::format::MAX_RANK;
use crate::model::format::keras::config;
use crate::model::format::keras::layers::is_float;
use crate::model::format::keras::spec::{Arg, Args, Spec};

/// A dtype, or what Python's numbers have in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Fixed(DType),
    /// A whole number of Python.
    WeakInt,
    /// A float of Python.
    WeakFloat,
}

/// One argument that counts as an array.
#[derive(Clone, Debug, Default)]
pub(super) struct Operand {
    pub(super) shape: Option<Shape>,
    pub(super) kind: Option<Kind>,
}

impl Operand {
    pub(super) fn of(spec: Spec) -> Self {
        Self { shape: spec.shape, kind: spec.dtype.map(Kind::Fixed) }
    }

    fn constant(value: &Value) -> Option<Self> {
        let scalar = |kind| Some(Self { shape: Some(Vec::new()), kind: Some(kind) });
        match value {
            Value::Bool(_) => scalar(Kind::Fixed(DType::Bool)),
            Value::Number(n) if n.is_f64() => scalar(Kind::WeakFloat),
            Value::Number(_) => scalar(Kind::WeakInt),
            Value::Object(o) => {
                let class = o.get("class_name")?.as_str()?;
                let config = o.get("config").filter(|_| matches!(class, "__numpy__" | "__tensor__"))?;
                let dtype = config.get("dtype").and_then(Value::as_str).and_then(config::dtype);
                Some(Self { shape: extent(config.get("value")?), kind: dtype.map(Kind::Fixed) })
            }
            _ => None,
        }
    }

    /// The same where a list of Python counts by its lengths; its numbers have no dtype.
    pub(super) fn or_list(args: &Args<'_>, place: usize, names: &[&str]) -> Option<Self> {
        let arg = args.args.get(place).or_else(|| names.iter().find_map(|n| args.kwargs.get(*n)))?;
        match arg {
            Arg::Const(value) if value.is_array() => Some(Self { shape: extent(value), kind: None }),
            _ => Self::at(args, place, names),
        }
    }

    /// The argument at a place, or by one of its names; a list of Python is none.
    pub(super) fn at(args: &Args<'_>, place: usize, names: &[&str]) -> Option<Self> {
        let arg = args.args.get(place).or_else(|| names.iter().find_map(|n| args.kwargs.get(*n)))?;
        match arg {
            Arg::Tensor(spec) => Some(Self::of(spec.clone())),
            Arg::Const(value) => Self::constant(value),
            Arg::List(_) | Arg::Dict(_) => None,
        }
    }
}

/// How long nested lists are; `None` where they are uneven or too deep.
pub(in super::super) fn extent(value: &Value) -> Option<Shape> {
    let mut shape = Shape::new();
    let mut level = vec![value];
    while let Some(Value::Array(first)) = level.first() {
        if shape.len() >= MAX_RANK {
            return None;
        }
        let mut next = Vec::new();
        for item in level {
            let items = item.as_array().filter(|items| items.len() == first.len())?;
            next.extend(items);
        }
        shape.push(Some(first.len() as u64));
        level = next;
    }
    level.iter().all(|v| !v.is_array()).then_some(shape)
}

/// Sign and width in bits of whole numbers.
fn whole(d: DType) -> Option<(bool, u8)> {
    Some(match d {
        DType::UInt8 => (false, 8),
        DType::UInt16 => (false, 16),
        DType::UInt32 => (false, 32),
        DType::UInt64 => (false, 64),
        DType::Int8 => (true, 8),
        DType::Int16 => (true, 16),
        DType::Int32 => (true, 32),
        DType::Int64 => (true, 64),
        _ => return None,
    })
}

fn signed(width: u8) -> Option<DType> {
    Some(match width {
        8 => DType::Int8,
        16 => DType::Int16,
        32 => DType::Int32,
        64 => DType::Int64,
        _ => return None,
    })
}

/// How many bits a number has; `None` where that is not a whole number of bytes of its own.
pub(super) fn bits(d: DType) -> Option<u8> {
    match d {
        DType::Bool => Some(8),
        d if is_float(d) => Some(width(d)),
        d => whole(d).map(|(_, width)| width),
    }
}

fn width(d: DType) -> u8 {
    match d {
        DType::Float64 => 64,
        DType::Float32 => 32,
        _ => 16,
    }
}

/// What both become together.
pub(super) fn join(a: Kind, b: Kind) -> Option<Kind> {
    use Kind::{Fixed, WeakFloat, WeakInt};
    let plain = |d: DType| d == DType::Bool || is_float(d) || whole(d).is_some();
    Some(match (a, b) {
        (WeakInt, WeakInt) => WeakInt,
        (WeakFloat, WeakFloat) => WeakFloat,
        (Fixed(a), Fixed(b)) if a == b => Fixed(a),
        (Fixed(DType::Bool), other) | (other, Fixed(DType::Bool)) => other,
        (WeakInt, other) | (other, WeakInt) => other,
        (WeakFloat, Fixed(d)) | (Fixed(d), WeakFloat) => {
            if is_float(d) {
                Fixed(d)
            } else {
                plain(d).then_some(WeakFloat)?
            }
        }
        (Fixed(a), Fixed(b)) => match (whole(a), whole(b)) {
            (Some((s, m)), Some((t, n))) if s == t => Fixed(if m >= n { a } else { b }),
            (Some((s, m)), Some((_, n))) => {
                let (with, without) = if s { (m, n) } else { (n, m) };
                let wide = if with > without { with } else { without.checked_mul(2)? };
                signed(wide).map_or(WeakFloat, Fixed)
            }
            (Some(_), None) if is_float(b) => Fixed(b),
            (None, Some(_)) if is_float(a) => Fixed(a),
            (None, None) if is_float(a) && is_float(b) => match (width(a), width(b)) {
                (16, 16) => Fixed(DType::Float32),
                (m, n) => Fixed(if m >= n { a } else { b }),
            },
            _ => return None,
        },
    })
    .filter(|k| !matches!(k, Fixed(d) if !plain(*d)))
}

/// The dtype that a tensor has in the end; `floatx` is that of floats that nothing else tells of.
pub(super) fn settle(kind: Kind, floatx: Option<DType>) -> Option<DType> {
    match kind {
        Kind::Fixed(d) => Some(d),
        Kind::WeakInt => Some(DType::Int32),
        Kind::WeakFloat => floatx,
    }
}

/// Whether a number has the width that JAX makes half as wide where dtypes meet; the file does not
/// tell what it will be run with.
pub(super) fn is_wide(d: DType) -> bool {
    matches!(d, DType::Int64 | DType::UInt64 | DType::Float64)
}

/// The dtype of several operands together.
pub(super) fn together<'o>(
    operands: impl IntoIterator<Item = &'o Operand>,
    floatx: Option<DType>,
) -> Option<DType> {
    let mut all = operands.into_iter().map(|o| o.kind);
    let first = all.next()??;
    settle(all.try_fold(first, |a, b| join(a, b?))?, floatx).filter(|d| !is_wide(*d))
}

/// The dtypes that an operand may have where functions make tensors of numbers first: whole numbers of
/// Python become 32 or 64 bits wide, which no file tells (keras/src/backend/common/dtypes.py,
/// `PYTHON_DTYPES_MAP`).
fn hardened(kind: Kind) -> [Kind; 2] {
    match kind {
        Kind::WeakInt => [Kind::Fixed(DType::Int32), Kind::Fixed(DType::Int64)],
        Kind::WeakFloat => [Kind::Fixed(DType::Float32); 2],
        fixed => [fixed; 2],
    }
}

/// The dtype of two operands of which tensors are made first, in a function that is `float` or not.
pub(super) fn tensors_together(
    a: &Operand,
    b: &Operand,
    float: bool,
    floatx: Option<DType>,
) -> Option<DType> {
    let (left, right) = (hardened(a.kind?), hardened(b.kind?));
    let of = |a: Kind, b: Kind| {
        let both = join(a, b)?;
        settle(if float { join(both, Kind::WeakFloat)? } else { both }, floatx)
    };
    // Some backends take the numbers as they are all the same.
    let all = [of(left[0], right[0]), of(left[1], right[1]), of(a.kind?, b.kind?)];
    all[0].filter(|d| all.iter().all(|o| *o == Some(*d)) && !is_wide(*d))
}

/// The float that a number becomes in functions that only have floats.
pub(super) fn floated(d: DType, floatx: Option<DType>) -> Option<DType> {
    if is_float(d) {
        Some(d).filter(|d| !is_wide(*d))
    } else if d == DType::Bool || whole(d).is_some() {
        floatx
    } else {
        None
    }
}

/// What sums and products of small whole numbers are counted in.
pub(super) fn counted(d: DType) -> Option<DType> {
    match d {
        DType::Bool | DType::Int8 | DType::Int16 => Some(DType::Int32),
        // PyTorch has no such wide numbers, and no file tells that it is not PyTorch.
        DType::UInt8 | DType::UInt16 | DType::UInt32 => None,
        other => Some(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_python_take_the_width_of_the_tensor() {
        let both = |a, b| join(a, b).and_then(|k| settle(k, Some(DType::Float32)));
        let fixed = Kind::Fixed;
        assert_eq!(both(fixed(DType::Float16), Kind::WeakFloat), Some(DType::Float16));
        assert_eq!(both(Kind::WeakFloat, fixed(DType::Int64)), Some(DType::Float32));
        assert_eq!(both(fixed(DType::UInt8), Kind::WeakInt), Some(DType::UInt8));
        assert_eq!(both(fixed(DType::Bool), Kind::WeakInt), Some(DType::Int32));
        assert_eq!(both(fixed(DType::UInt8), fixed(DType::Int8)), Some(DType::Int16));
        assert_eq!(both(fixed(DType::UInt32), fixed(DType::Int32)), Some(DType::Int64));
        assert_eq!(both(fixed(DType::UInt64), fixed(DType::Int8)), Some(DType::Float32));
        assert_eq!(both(fixed(DType::BFloat16), fixed(DType::Float16)), Some(DType::Float32));
        assert_eq!(both(fixed(DType::Int64), fixed(DType::Float16)), Some(DType::Float16));
        assert_eq!(both(fixed(DType::String), Kind::WeakInt), None);
        assert_eq!(both(fixed(DType::String), fixed(DType::Bool)), None);
    }

    #[test]
    fn constants_have_the_shape_of_their_lists() {
        let of = |text: &str| extent(&serde_json::from_str(text).unwrap());
        assert_eq!(of("[[1, 2, 3], [4, 5, 6]]"), Some(vec![Some(2), Some(3)]));
        assert_eq!(of("[[1, 2], [3]]"), None);
        assert_eq!(of("[1, [2]]"), None);
        assert_eq!(of("[]"), Some(vec![Some(0)]));
        assert_eq!(of(&format!("{}{}", "[".repeat(100), "]".repeat(100))), None);
    }
}
