//! What is known of a tensor inside a model, and what a layer is called with.
//!
//! A [`Spec`] of which nothing is known is a legal one: rules pass on what they know of it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::model::contract::{DType, Encoding, Shape};

/// The most elements that a dimension may have for rules to compute with it.
const MAX_DIM: u64 = 1 << 48;

/// One tensor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Spec {
    /// With the batch; `None` where the rank is unknown.
    pub(super) shape: Option<Shape>,
    pub(super) dtype: Option<DType>,
    pub(super) encoding: Encoding,
}

impl Spec {
    pub(super) fn new(shape: Option<Shape>, dtype: Option<DType>) -> Self {
        Self { shape, dtype, encoding: Encoding::Dense }
    }

    pub(super) fn rank(&self) -> Option<usize> {
        self.shape.as_ref().map(Vec::len)
    }
}

/// What a layer is called with.
#[derive(Clone, Debug)]
pub(super) enum Arg<'a> {
    Tensor(Spec),
    List(Vec<Self>),
    Dict(BTreeMap<String, Self>),
    Const(&'a Value),
}

impl Arg<'_> {
    /// The tensors in it, in order.
    pub(super) fn tensors(&self) -> Vec<Spec> {
        match self {
            Self::Tensor(spec) => vec![spec.clone()],
            Self::List(items) => items.iter().flat_map(Self::tensors).collect(),
            Self::Dict(items) => items.values().flat_map(Self::tensors).collect(),
            Self::Const(_) => Vec::new(),
        }
    }
}

/// All arguments of one call.
#[derive(Clone, Debug, Default)]
pub(super) struct Args<'a> {
    pub(super) args: Vec<Arg<'a>>,
    pub(super) kwargs: BTreeMap<String, Arg<'a>>,
}

impl Args<'_> {
    /// A call with one tensor.
    pub(super) fn one(spec: Spec) -> Self {
        Self { args: vec![Arg::Tensor(spec)], kwargs: BTreeMap::new() }
    }

    /// The tensors of the first argument, which is what a layer works on.
    pub(super) fn inputs(&self) -> Vec<Spec> {
        match self.args.first() {
            Some(first) => first.tensors(),
            None => self.kwargs.values().next().map(Arg::tensors).unwrap_or_default(),
        }
    }

    /// The first tensor.
    pub(super) fn first(&self) -> Spec {
        self.inputs().into_iter().next().unwrap_or_default()
    }

    /// A tensor by place or by name.
    pub(super) fn tensor(&self, at: usize, name: &str) -> Option<Spec> {
        let arg = self.args.get(at).or_else(|| self.kwargs.get(name))?;
        arg.tensors().into_iter().next()
    }

    /// A truth value that the call was given by name.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        match self.kwargs.get(name) {
            Some(Arg::Const(value)) => value.as_bool(),
            _ => None,
        }
    }

    /// A value that the call was given by place or by name.
    pub(super) fn value(&self, at: usize, name: &str) -> Option<&Value> {
        match self.args.get(at).or_else(|| self.kwargs.get(name))? {
            Arg::Const(value) => Some(value),
            _ => None,
        }
    }
}

/// A dimension times a number.
pub(super) fn times(dim: Option<u64>, n: u64) -> Option<u64> {
    dim?.checked_mul(n).filter(|d| *d <= MAX_DIM)
}

/// Two dimensions one after the other.
pub(super) fn plus(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    a?.checked_add(b?).filter(|d| *d <= MAX_DIM)
}

/// The axis with this number from the front, or from the back where it is negative.
pub(super) fn axis(number: i64, rank: usize) -> Option<usize> {
    let rank = i64::try_from(rank).ok()?;
    let at = if number < 0 { number.checked_add(rank)? } else { number };
    usize::try_from(at).ok().filter(|_| at < rank)
}
