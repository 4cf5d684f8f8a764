//! Class labels: what a classifier answers with, integers or strings.
//!
//! They are not class numbers, which are places in the list of labels.
//! Invariant: there is at least one label.

use std::cmp::Ordering;

use tract_onnx::tract_hir::internal::*;

use super::attributes::Attributes;
use super::rows::tensor;

/// The labels of the classes, in class order.
#[derive(Clone, Debug)]
pub(super) enum Labels {
    Ints(Vec<i64>),
    Strings(Vec<String>),
}

impl Labels {
    /// Reads the only one of two attributes that is there.
    ///
    /// # Errors
    ///
    /// When there is none, or both.
    pub(super) fn read(attributes: &Attributes, ints: &str, strings: &str) -> TractResult<Self> {
        let name = attributes.one_of(&[ints, strings])?;
        if name == ints {
            return Ok(Self::Ints(attributes.must(ints, attributes.ints(ints)?)?.to_vec()));
        }
        Ok(Self::Strings(attributes.must(strings, attributes.strings(strings)?)?))
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Ints(all) => all.len(),
            Self::Strings(all) => all.len(),
        }
    }

    pub(super) fn dtype(&self) -> DatumType {
        match self {
            Self::Ints(_) => i64::datum_type(),
            Self::Strings(_) => String::datum_type(),
        }
    }

    /// The labels of a batch, from the classes that won.
    ///
    /// # Errors
    ///
    /// When there is no such class, which would be our mistake.
    pub(super) fn of(&self, winners: &[usize]) -> TractResult<Tensor> {
        fn pick<T: Clone>(all: &[T], winners: &[usize]) -> TractResult<Vec<T>> {
            let label = |at: &usize| all.get(*at).cloned().with_context(|| format!("no class {at}"));
            winners.iter().map(label).collect()
        }
        match self {
            Self::Ints(all) => tensor(&[winners.len()], pick(all, winners)?),
            Self::Strings(all) => tensor(&[winners.len()], pick(all, winners)?),
        }
    }
}

/// The place of the largest score, the first of equals; what is not a number never wins.
pub(super) fn winner<T: PartialOrd + Copy>(scores: &[T]) -> usize {
    let mut best = 0;
    for (at, score) in scores.iter().enumerate() {
        match score.partial_cmp(&scores[best]) {
            Some(Ordering::Greater) => best = at,
            // One that is not a number gives way to any that is.
            None if score.partial_cmp(score).is_some() => best = at,
            _ => {}
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_the_largest_wins() {
        assert_eq!(winner(&[1.0, 3.0, 3.0, 2.0]), 1);
        assert_eq!(winner(&[f32::NAN, -1.0, f32::NAN, 0.0]), 3);
        assert_eq!(winner(&[f32::NAN; 2]), 0);
        assert_eq!(winner(&[-1.0, f32::NAN]), 0);
    }
}
