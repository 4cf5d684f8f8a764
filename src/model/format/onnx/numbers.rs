//! Numbers that shapes are computed from: sizes and places, and the factors of a resize.
//!
//! A number is one entry of a small weight or of what nodes compute from such. It is as exact as the
//! engine's: a real number of 32 bits is rounded after each step as IEEE 754 says. What is not the
//! same in every engine (a quotient of negative whole numbers, an overflow) is not told.

use std::cmp::Ordering;

use crate::error::Result;
use crate::model::contract::DType;
use crate::model::pb::{Field, Value};

/// The most numbers of one value.
pub(super) const MAX_VALUES: usize = 64;

/// An entry of a tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    /// Of a tensor of whole numbers; of bool it is 0 or 1.
    Whole(i64),
    /// Of a tensor of real numbers of 32 or 64 bits.
    Real(f64),
}

impl Number {
    pub(super) fn whole(self) -> Option<i64> {
        if let Self::Whole(n) = self { Some(n) } else { None }
    }

    pub(super) fn real(self) -> Option<f64> {
        if let Self::Real(n) = self { Some(n) } else { None }
    }

    /// Real numbers as a tensor of this type holds them.
    fn rounded(n: f64, elem: DType) -> Option<Self> {
        match elem {
            DType::Float32 => Some(Self::Real(f64::from(n as f32))),
            DType::Float64 => Some(Self::Real(n)),
            _ => None,
        }
    }

    /// What a cast to another type gives.
    pub(super) fn cast(self, to: DType) -> Option<Self> {
        match (self, to) {
            (Self::Whole(n), DType::Int64) => Some(Self::Whole(n)),
            (Self::Whole(n), DType::Int32) => i32::try_from(n).ok().map(|n| Self::Whole(n.into())),
            (Self::Whole(n), DType::Bool) => Some(Self::Whole((n != 0).into())),
            // Above, the way over 64 bits would round twice.
            (Self::Whole(n), _) if n.unsigned_abs() < 1 << 53 => Self::rounded(n as f64, to),
            (Self::Real(n), DType::Float32 | DType::Float64) => Self::rounded(n, to),
            (Self::Real(n), DType::Int64 | DType::Int32) if n.abs() < f64::from(1 << 30) => {
                Some(Self::Whole(n.trunc() as i64))
            }
            _ => None,
        }
    }

    /// What an operator makes of one number.
    pub(super) fn one(op: &str, n: Self, elem: DType) -> Option<Self> {
        match (op, n) {
            ("Neg", Self::Whole(n)) => n.checked_neg().map(Self::Whole),
            ("Abs", Self::Whole(n)) => n.checked_abs().map(Self::Whole),
            ("Not", Self::Whole(n)) => Some(Self::Whole((n == 0).into())),
            ("Neg", Self::Real(n)) => Self::rounded(-n, elem),
            ("Abs", Self::Real(n)) => Self::rounded(n.abs(), elem),
            ("Floor", Self::Real(n)) => Self::rounded(n.floor(), elem),
            ("Ceil", Self::Real(n)) => Self::rounded(n.ceil(), elem),
            ("Round", Self::Real(n)) => Self::rounded(n.round_ties_even(), elem),
            ("Reciprocal", Self::Real(n)) => Self::two("Div", Self::Real(1.0), Self::Real(n), elem),
            _ => None,
        }
    }

    /// What an operator makes of two numbers of one type.
    pub(super) fn two(op: &str, a: Self, b: Self, elem: DType) -> Option<Self> {
        match (a, b) {
            (Self::Whole(a), Self::Whole(b)) => Self::wholes(op, a, b, elem),
            (Self::Real(a), Self::Real(b)) => {
                // For these four, an operation of 64 bits that is rounded to 32 is the one of 32.
                let n = match op {
                    "Add" => a + b,
                    "Sub" => a - b,
                    "Mul" => a * b,
                    "Div" => a / b,
                    "Min" if a <= b || b <= a => a.min(b),
                    "Max" if a <= b || b <= a => a.max(b),
                    _ => return Self::compared(op, a.partial_cmp(&b)?),
                };
                Self::rounded(n, elem).filter(|n| n.real().is_some_and(f64::is_finite))
            }
            _ => None,
        }
    }

    fn wholes(op: &str, a: i64, b: i64, elem: DType) -> Option<Self> {
        let n = match op {
            "Add" => a.checked_add(b)?,
            "Sub" => a.checked_sub(b)?,
            "Mul" => a.checked_mul(b)?,
            // Both signs round towards zero somewhere and down elsewhere.
            "Div" if a >= 0 && b > 0 => a / b,
            "Mod" if a >= 0 && b > 0 => a % b,
            "Min" => a.min(b),
            "Max" => a.max(b),
            "And" => i64::from(a != 0 && b != 0),
            "Or" => i64::from(a != 0 || b != 0),
            _ => return Self::compared(op, a.cmp(&b)),
        };
        (elem != DType::Int32 || i32::try_from(n).is_ok()).then_some(Self::Whole(n))
    }

    fn compared(op: &str, order: Ordering) -> Option<Self> {
        let yes = match op {
            "Equal" => order.is_eq(),
            "Less" => order.is_lt(),
            "LessOrEqual" => order.is_le(),
            "Greater" => order.is_gt(),
            "GreaterOrEqual" => order.is_ge(),
            _ => return None,
        };
        Some(Self::Whole(yes.into()))
    }
}

/// Adds the real number or the packed ones of a field to a list of at most `cap`; false where there are more.
pub(super) fn append_reals(field: &Field<'_>, list: &mut Vec<f64>, cap: usize, wide: bool) -> Result<bool> {
    match field.value {
        Value::Fixed32(n) => list.push(f32::from_bits(n).into()),
        Value::Fixed64(n) => list.push(f64::from_bits(n)),
        _ => {
            let span = field.span()?;
            let each = if wide { 8 } else { 4 };
            if span.size() > (cap * each) as u64 {
                return Ok(false);
            }
            list.extend(reals(&span.bytes(cap * each)?, wide));
        }
    }
    Ok(list.len() <= cap)
}

/// Little-endian real numbers of 32 or 64 bits.
pub(super) fn reals(bytes: &[u8], wide: bool) -> Vec<f64> {
    if wide {
        bytes.as_chunks::<8>().0.iter().map(|c| f64::from_le_bytes(*c)).collect()
    } else {
        bytes.as_chunks::<4>().0.iter().map(|c| f32::from_le_bytes(*c).into()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_those_of_the_type() {
        let third = Number::two("Div", Number::Real(1.0), Number::Real(3.0), DType::Float32);
        assert_eq!(third, Some(Number::Real(f64::from(1.0f32 / 3.0))));
        let double = Number::two("Div", Number::Real(1.0), Number::Real(3.0), DType::Float64);
        assert_eq!(double, Some(Number::Real(1.0 / 3.0)));
        let two = |op, a, b| Number::two(op, Number::Whole(a), Number::Whole(b), DType::Int64);
        assert_eq!(two("Add", 2, 3), Some(Number::Whole(5)));
        assert_eq!(two("Equal", 2, 2), Some(Number::Whole(1)));
        assert_eq!(two("Div", 7, 2), Some(Number::Whole(3)));
        // Engines differ, and so nothing is told.
        for (op, a, b) in [("Div", -7, 2), ("Mod", -7, 2), ("Div", 7, 0), ("Add", i64::MAX, 1), ("Pow", 2, 2)]
        {
            assert_eq!(two(op, a, b), None, "{op} {a} {b}");
        }
        assert_eq!(
            Number::two("Add", Number::Whole(i64::from(i32::MAX)), Number::Whole(1), DType::Int32),
            None
        );
        assert_eq!(Number::two("Div", Number::Real(1.0), Number::Real(0.0), DType::Float32), None);
        assert_eq!(Number::two("Add", Number::Whole(1), Number::Real(0.0), DType::Float32), None);
    }

    #[test]
    fn casts_round_as_engines_do() {
        assert_eq!(Number::Real(2.9).cast(DType::Int64), Some(Number::Whole(2)));
        assert_eq!(Number::Real(-2.9).cast(DType::Int64), Some(Number::Whole(-2)));
        assert_eq!(Number::Whole(5).cast(DType::Bool), Some(Number::Whole(1)));
        assert_eq!(Number::Whole((1 << 24) + 1).cast(DType::Float32), Some(Number::Real(f64::from(1 << 24))));
        for (n, to) in [
            (Number::Real(1e30), DType::Int64),
            (Number::Real(f64::NAN), DType::Int64),
            (Number::Whole(1 << 40), DType::Int32),
            (Number::Whole(1), DType::Float16),
            (Number::Whole(i64::MAX), DType::Float64),
        ] {
            assert_eq!(n.cast(to), None, "{n:?}");
        }
    }

    #[test]
    fn one_number_is_rounded_to_whole() {
        let one = |op, n| Number::one(op, Number::Real(n), DType::Float32).and_then(Number::real);
        assert_eq!(
            [one("Floor", 1.5), one("Ceil", 1.5), one("Round", 2.5)],
            [Some(1.0), Some(2.0), Some(2.0)]
        );
        assert_eq!(
            [one("Reciprocal", 0.5), one("Reciprocal", 0.0), one("Sqrt", 4.0)],
            [Some(2.0), None, None]
        );
    }
}
