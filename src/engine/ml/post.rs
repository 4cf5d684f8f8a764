//! The post transform: what ai.onnx.ml models do to their raw scores at the end.
//!
//! It is not an activation of a layer: it may turn the one score of a two-class model into two.
//! Source: the operators' documentation in ONNX; where it is silent (a single score, zeros, the
//! approximation of the probit), what ONNX Runtime 1.32 answers.

use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::tract_num_traits::Float;

use super::attributes::Attributes;

/// A post transform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Post {
    None,
    Softmax,
    Logistic,
    SoftmaxZero,
    Probit,
}

/// How the one score of a two-class model becomes two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Other {
    /// It is a probability: the other class has what is left of 1.
    Rest,
    /// It is a margin: the other class has the opposite.
    Opposite,
}

impl Post {
    /// Reads the attribute `post_transform`, a word.
    ///
    /// # Errors
    ///
    /// When there is no such transform.
    pub(super) fn read(attributes: &Attributes) -> TractResult<Self> {
        Ok(match attributes.string("post_transform")? {
            None | Some("NONE" | "") => Self::None,
            Some("SOFTMAX") => Self::Softmax,
            Some("LOGISTIC") => Self::Logistic,
            Some("SOFTMAX_ZERO") => Self::SoftmaxZero,
            Some("PROBIT") => Self::Probit,
            Some(other) => {
                let found = crate::error::show_bytes(other.as_bytes());
                return Err(attributes.wrong(
                    "post_transform",
                    format_args!("expected NONE, SOFTMAX, LOGISTIC, SOFTMAX_ZERO or PROBIT, found `{found}`"),
                ));
            }
        })
    }

    /// Reads the attribute `post_transform`, a number as `TreeEnsemble` has it.
    ///
    /// # Errors
    ///
    /// When there is no such transform.
    pub(super) fn read_number(attributes: &Attributes) -> TractResult<Self> {
        Ok(match attributes.int("post_transform")?.unwrap_or(0) {
            0 => Self::None,
            1 => Self::Softmax,
            2 => Self::Logistic,
            3 => Self::SoftmaxZero,
            4 => Self::Probit,
            other => {
                return Err(
                    attributes.wrong("post_transform", format_args!("expected 0 to 4, found {other}"))
                );
            }
        })
    }

    /// Transforms the scores of one row. A single score is only changed by the probit.
    pub(super) fn apply<T: Float>(self, scores: &mut [T]) {
        match self {
            Self::Probit => scores.iter_mut().for_each(|s| *s = probit(*s)),
            _ if scores.len() < 2 => {}
            Self::None => {}
            Self::Logistic => scores.iter_mut().for_each(|s| *s = logistic(*s)),
            Self::Softmax => softmax(scores, |s, most| (s - most).exp()),
            Self::SoftmaxZero => softmax(scores, |s, most| {
                let tiny = T::from(1e-7).unwrap_or_else(T::epsilon);
                if s.abs() > tiny { (s - most).exp() } else { s * (-most).exp() }
            }),
        }
    }

    /// The scores of both classes from the one score of a two-class model.
    pub(super) fn pair<T: Float>(self, score: T, other: Other) -> [T; 2] {
        let complement = match other {
            Other::Rest => T::one() - score,
            Other::Opposite => -score,
        };
        match self {
            Self::Logistic => [logistic(-score), logistic(score)],
            Self::Probit => [probit(complement), probit(score)],
            Self::None | Self::Softmax | Self::SoftmaxZero => [complement, score],
        }
    }
}

/// Divides the weights of the scores by their sum.
fn softmax<T: Float>(scores: &mut [T], weight: impl Fn(T, T) -> T) {
    let most = scores.iter().copied().fold(T::neg_infinity(), T::max);
    let mut sum = T::zero();
    for score in scores.iter_mut() {
        *score = weight(*score, most);
        sum = sum + *score;
    }
    for score in scores.iter_mut() {
        *score = *score / sum;
    }
}

pub(super) fn logistic<T: Float>(x: T) -> T {
    let one = T::one();
    let v = one / (one + (-x.abs()).exp());
    if x < T::zero() { one - v } else { v }
}

/// The quantile of the normal distribution, by Winitzki's approximation of the inverse error
/// function with its constant 0.147, which is good to three digits.
fn probit<T: Float>(p: T) -> T {
    let number = |x: f64| T::from(x).unwrap_or_else(T::nan);
    let x = number(2.0) * p - T::one();
    let log = ((T::one() - x) * (T::one() + x)).ln();
    let half = number(2.0 / (std::f64::consts::PI * 0.147)) + number(0.5) * log;
    let root = (half * half - number(1.0 / 0.147) * log).sqrt() - half;
    let inverse = if x < T::zero() { -root.sqrt() } else { root.sqrt() };
    number(std::f64::consts::SQRT_2) * inverse
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(post: Post, scores: &[f32]) -> Vec<f32> {
        let mut scores = scores.to_vec();
        post.apply(&mut scores);
        scores
    }

    fn close(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        for (f, e) in found.iter().zip(expected) {
            assert!((f - e).abs() < 1e-4, "{found:?}, expected {expected:?}");
        }
    }

    #[test]
    fn transforms_of_a_row() {
        // exp(0), exp(ln 3) weigh 1 and 3.
        close(&applied(Post::Softmax, &[0.0, 3f32.ln()]), &[0.25, 0.75]);
        close(&applied(Post::Softmax, &[1000.0, 0.0]), &[1.0, 0.0]);
        // A zero stays a zero and does not weigh.
        close(&applied(Post::SoftmaxZero, &[0.0, 1.0, 1.0]), &[0.0, 0.5, 0.5]);
        close(&applied(Post::Logistic, &[0.0, 3f32.ln()]), &[0.5, 0.75]);
        // Quantiles of the normal distribution from a table.
        let found = applied(Post::Probit, &[0.5, 0.9, 0.1]);
        assert!((found[1] - 1.2816).abs() < 3e-3 && (found[1] + found[2]).abs() < 1e-5, "{found:?}");
        assert_eq!(found[0], 0.0);
        assert_eq!(applied(Post::Logistic, &[7.0]), [7.0]);
        assert!(applied(Post::Softmax, &[]).is_empty());
    }

    #[test]
    fn one_score_becomes_two() {
        close(&Post::None.pair(0.75, Other::Rest), &[0.25, 0.75]);
        close(&Post::None.pair(0.75, Other::Opposite), &[-0.75, 0.75]);
        close(&Post::Logistic.pair(3f32.ln(), Other::Rest), &[0.25, 0.75]);
    }
}
