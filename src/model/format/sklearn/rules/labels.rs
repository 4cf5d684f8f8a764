//! The labels of a classifier: `classes_`, or where its kind keeps them instead.

use crate::model::format::sklearn::answer::{Answer, Dim, Out, Type};
use crate::model::format::sklearn::rules::{FLOAT, INT64};
use crate::model::format::sklearn::state::Part;

/// What a classifier tells apart.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::model::format::sklearn) enum Labels {
    /// One target: the type of its labels and how many there are.
    One(Type, Option<u64>),
    /// Several targets, each with labels.
    Many(Vec<(Type, Option<u64>)>),
    /// Several labels that are there or not: how many.
    Indicator(Option<u64>),
    /// Not known.
    Unknown,
}

impl Labels {
    /// The labels of a classifier's own attributes.
    pub(super) fn of(part: Part<'_>) -> Self {
        // LabelBinarizer's `y_type_` alone tells labels from classes.
        let binarizer = part.attr("label_binarizer_").or_else(|| part.attr("_label_binarizer"));
        if let Some(binarizer) = binarizer {
            let classes = binarizer.attr("classes_").map(of_array);
            return match (binarizer.text("y_type_"), classes) {
                (Some("multilabel-indicator"), Some((_, n))) => Self::Indicator(n),
                (Some("binary" | "multiclass"), Some((dtype, n))) => Self::One(dtype, n),
                _ => Self::Unknown,
            };
        }
        part.attr("classes_").map_or(Self::Unknown, Self::from)
    }

    /// What `predict` gives.
    pub(super) fn predicted(&self) -> Answer {
        match self {
            Self::One(dtype, _) => Out::column(*dtype).into(),
            Self::Many(all) => {
                let dtype = all.first().map_or(Type::Unknown, |(d, _)| *d);
                Out::wide(dtype, all.len() as u64).into()
            }
            Self::Indicator(n) => Out::wide(INT64, *n).into(),
            Self::Unknown => Out::vague(Type::Unknown).into(),
        }
    }

    /// What `predict_proba` gives, in this type.
    pub(super) fn shares_as(&self, dtype: Type) -> Answer {
        match self {
            Self::One(_, n) | Self::Indicator(n) => Out::wide(dtype, *n).into(),
            Self::Many(all) => Answer::Many(all.iter().map(|(_, n)| Out::wide(dtype, *n)).collect()),
            Self::Unknown => Out::vague(dtype).into(),
        }
    }

    /// What `predict_proba` gives, in float64.
    pub(super) fn shares(&self) -> Answer {
        self.shares_as(FLOAT)
    }

    /// What `decision_function` gives: one number per row for two classes, else one per class.
    pub(super) fn scores_as(&self, dtype: Type) -> Answer {
        match self {
            Self::One(_, Some(2)) => Out::column(dtype).into(),
            Self::One(_, Some(n)) => Out::wide(dtype, *n).into(),
            Self::Indicator(n) => Out::wide(dtype, *n).into(),
            Self::One(_, None) | Self::Many(_) | Self::Unknown => Out::vague(dtype).into(),
        }
    }

    /// How many classes there are, of one target.
    pub(super) fn count(&self) -> Option<u64> {
        match self {
            Self::One(_, n) => *n,
            _ => None,
        }
    }
}

impl From<Part<'_>> for Labels {
    /// From a `classes_`: an array, or a list of arrays for several targets.
    fn from(classes: Part<'_>) -> Self {
        match classes.as_array() {
            Some(array) if array.shape.len() == 1 => {
                let (dtype, n) = of_array(classes);
                Self::One(dtype, n)
            }
            Some(_) => Self::Unknown,
            None => match classes.elements() {
                Some(all) if !all.is_empty() && all.iter().all(|a| a.as_array().is_some()) => {
                    Self::Many(all.into_iter().map(of_array).collect())
                }
                _ => Self::Unknown,
            },
        }
    }
}

fn of_array(part: Part<'_>) -> (Type, Option<u64>) {
    (part.as_dtype().into(), part.as_dims().and_then(|d| d.first().copied()))
}

/// The answer of a classifier with several outputs stacked beside each other.
pub(super) fn stacked(outs: &[Out]) -> Answer {
    let dtype = match outs {
        [first, rest @ ..] if rest.iter().all(|o| o.dtype == first.dtype) => first.dtype,
        _ => Type::Unknown,
    };
    Out::new(dtype, &[Dim::Is(outs.len() as u64)]).into()
}
