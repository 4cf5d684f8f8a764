//! What each class of scikit-learn takes and gives, by the attributes that fitting leaves.
//!
//! The rules follow scikit-learn's own source, 0.17 to 1.9; classes are matched by their name
//! alone, as modules moved (`sklearn.svm.classes`, `sklearn.svm._classes`). A class that is not
//! scikit-learn's has no rules, whatever its attributes are called.
//!
//! Invariants: each object is described once, an object that holds itself is unknown to itself, and
//! objects nest at most [`MAX_DEPTH`] deep.

mod boosters;
mod classifiers;
mod clusters;
mod columns;
mod given;
mod importances;
mod labels;
mod meta;
mod regressors;
mod selection;
mod transformers;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::model::contract::DType;
use crate::model::format::sklearn::answer::{Given, Method, Model, Type};
use crate::model::format::sklearn::state::Part;
use crate::model::pickle::Id;

pub(super) use labels::Labels;

/// How deep estimators may hold each other.
const MAX_DEPTH: usize = 32;

/// The rules, and what they found so far.
#[derive(Default)]
pub(super) struct Rules {
    known: RefCell<BTreeMap<Id, Rc<Model>>>,
    depth: Cell<usize>,
}

impl Rules {
    /// What is known of an estimator.
    pub(super) fn model(&self, part: Part<'_>) -> Rc<Model> {
        if let Some(known) = self.known.borrow().get(&part.id) {
            return Rc::clone(known);
        }
        let unknown = Rc::new(Model::of(Given::Unknown));
        if self.depth.get() >= MAX_DEPTH {
            return unknown;
        }
        self.known.borrow_mut().insert(part.id, unknown);
        self.depth.set(self.depth.get() + 1);
        let mut model = self.describe(part);
        if part.pickle().copy(model.weight()).is_none() {
            model = Model::of(Given::Unknown);
        }
        let model = Rc::new(model);
        self.depth.set(self.depth.get() - 1);
        self.known.borrow_mut().insert(part.id, Rc::clone(&model));
        model
    }

    fn describe(&self, part: Part<'_>) -> Model {
        if !part.is_ours() {
            return boosters::model(part).unwrap_or_else(|| Model::of(Given::Unknown));
        }
        let (given, names) = given::of(self, part);
        let mut model = columns::model(self, part)
            .or_else(|| meta::model(self, part))
            .or_else(|| classifiers::model(self, part))
            .or_else(|| regressors::model(part))
            .or_else(|| clusters::model(part))
            .or_else(|| transformers::model(self, part))
            .unwrap_or_else(|| Model::of(Given::Unknown));
        if model.given == Given::Unknown {
            model.given = given;
        }
        if model.names.is_empty() {
            model.names = names;
        }
        if model.cells.is_empty() {
            model.cells = given::cells(self, part, &model);
        }
        // `set_output(transform="pandas")`.
        let frame = part
            .attr("_sklearn_output_config")
            .and_then(|c| c.pairs().into_iter().find(|(k, _)| k.as_text() == Some("transform")))
            .and_then(|(_, v)| v.as_text().map(str::to_owned));
        if matches!(frame.as_deref(), Some("pandas" | "polars"))
            && model.out_names.is_empty()
            && transformers::keeps_names(part.name())
        {
            model.out_names.clone_from(&model.names);
        }
        model
    }

    /// Whether an estimator has a method.
    pub(super) fn has(&self, part: Part<'_>, method: Method) -> bool {
        self.model(part).answer(method).is_some()
    }
}

/// float32 or float64, as a parameter is: estimators that keep float32 compute in it.
pub(super) fn precision(part: Part<'_>, attr: &str) -> Type {
    match part.dtype(attr) {
        Some(DType::Float32) => Type::Is(DType::Float32),
        Some(DType::Float64) => FLOAT,
        _ => Type::Unknown,
    }
}

/// The type of a sum of products with `coef_` and of `intercept_`.
pub(super) fn linear(part: Part<'_>) -> Type {
    let weights = precision(part, "coef_");
    let Some(constant) = part.attr("intercept_") else { return weights };
    match (constant.as_array(), constant.as_dtype()) {
        // A plain number of Python takes the type of what it is added to.
        (None, _) => weights,
        (Some(_), Some(DType::Float64)) if weights == FLOAT => FLOAT,
        (Some(array), Some(DType::Float64)) if !array.shape.is_empty() && weights != Type::Unknown => FLOAT,
        (Some(_), Some(DType::Float32)) => weights,
        _ => Type::Unknown,
    }
}

/// The type of an array in a list, where it is one of these.
pub(super) fn layer(part: Part<'_>, attr: &str) -> Type {
    match part.list(attr).first().and_then(|a| a.as_dtype()) {
        Some(dtype @ (DType::Float32 | DType::Float64)) => Type::Is(dtype),
        _ => Type::Unknown,
    }
}

/// float64.
pub(super) const FLOAT: Type = Type::Is(DType::Float64);
/// int32, as `labels_` of the clusterers.
pub(super) const INT32: Type = Type::Is(DType::Int32);
/// int64.
pub(super) const INT64: Type = Type::Is(DType::Int64);

/// Whether an estimator was saved before a release.
fn before(part: Part<'_>, release: (u32, u32)) -> bool {
    part.release().is_some_and(|own| own < release)
}

/// Whether an estimator was saved by a release or a later one.
fn since(part: Part<'_>, release: (u32, u32)) -> bool {
    part.release().is_some_and(|own| own >= release)
}

/// Whether fitting left a trace: an attribute that ends in an underscore, or the training data.
fn is_fitted(part: Part<'_>) -> bool {
    part.attributes()
        .iter()
        .any(|n| (n.ends_with('_') && !n.starts_with('_')) || matches!(*n, "_fit_X" | "_idf_diag"))
}

/// Whether a model that predicts was fitted. Transformers may have nothing to learn.
pub(super) fn is_ready(part: Part<'_>) -> bool {
    let mut part = part;
    for _ in 0..MAX_DEPTH {
        if !part.is_ours() || part.name() == "FrozenEstimator" {
            return true;
        }
        let step = part.list("steps").last().and_then(|s| s.elements()?.get(1).copied());
        match step {
            Some(last) => part = last,
            None => break,
        }
    }
    let transforms = transformers::is_plain(part);
    transforms || part.name().is_empty() || is_fitted(part)
}
