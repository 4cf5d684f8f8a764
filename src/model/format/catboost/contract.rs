//! What a model of CatBoost takes and gives, by its loss.
//!
//! `CatBoostClassifier.predict` gives labels: one per row for two classes, a column of them for more,
//! one per label where a row may have several. Others give the numbers that come out (catboost:
//! python-package/catboost/core.py, `_BaseCatBoost._predict`).

use serde_json::Value;

use crate::model::contract::{Column, Contract, DType};
use crate::model::format::rows::{self, Matrix};
use crate::model::format::{MAX_ENTRIES, Reading};

use super::{Kind, Model};

/// What the numbers that come out mean.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Task {
    Binary,
    Multi,
    Labels,
    Numbers,
}

fn loss(model: &Model) -> Option<&str> {
    model.params["loss_function"]["type"].as_str()
}

/// By the names of catboost/private/libs/options/enums.h; an objective of the user's own (`PythonUserDefinedPerObject`)
/// says nothing.
fn task(model: &Model) -> Option<Task> {
    Some(match loss(model)? {
        "Logloss" | "CrossEntropy" => Task::Binary,
        "MultiClass" | "MultiClassOneVsAll" => Task::Multi,
        "MultiLogloss" | "MultiCrossEntropy" => Task::Labels,
        name if name.starts_with("PythonUserDefined") || name.starts_with("UserPer") => return None,
        _ => Task::Numbers,
    })
}

/// The contract.
pub(super) fn contract(model: &Model) -> Contract {
    let matrix = matrix(model);
    let dimension = model.dimension;
    let labels = match model.class_params["class_label_type"].as_str() {
        Some("Integer") => Some(DType::Int64),
        Some("Float") => Some(DType::Float64),
        Some("String") => Some(DType::String),
        Some("Boolean") => Some(DType::Bool),
        _ => None,
    };
    let column = |n| Some(rows::per_row(Some(n)));
    let (dtype, shape, proba) =
        match (task(model).map(|t| if model.raw { Task::Numbers } else { t }), dimension) {
            (Some(Task::Binary), Some(1)) => (labels, Some(rows::per_row(None)), Some(2)),
            (Some(Task::Multi), Some(n)) => (labels, column(1), Some(n)),
            // Which labels a row has, as zeros and ones.
            (Some(Task::Labels), Some(n)) => (Some(DType::Int64), column(n), Some(n)),
            (Some(Task::Numbers), Some(n)) => {
                (Some(DType::Float64), Some(rows::per_row(Some(n).filter(|n| *n > 1))), None)
            }
            (Some(Task::Numbers), None) => (Some(DType::Float64), None, None),
            _ => (None, None, None),
        };
    let mut signatures = vec![rows::method("predict", &matrix, rows::output("predict", dtype, shape))];
    if let Some(n) = proba {
        let output = rows::output("predict_proba", Some(DType::Float64), column(n));
        signatures.push(rows::method("predict_proba", &matrix, output));
    }
    Contract { signatures }
}

/// The matrix that it takes; where not all columns are numbers, one of objects.
fn matrix(model: &Model) -> Matrix {
    let width = model.features.keys().next_back().map(|n| n + 1);
    let numbers = model.features.values().all(|(kind, _)| *kind == Kind::Float);
    let columns = |width: u64| (0..width).map(|place| column(model, place)).collect();
    Matrix {
        dtype: width.map(|_| if numbers { DType::Float32 } else { DType::Object }),
        width,
        columns: width.filter(|n| *n <= MAX_ENTRIES as u64).map(columns).unwrap_or_default(),
    }
}

/// Without a name of its own, a column is known by its place.
fn column(model: &Model, place: u64) -> Column {
    let feature = model.features.get(&place);
    let name = feature.and_then(|(_, name)| name.clone()).unwrap_or_else(|| place.to_string());
    let dtype = match feature.map(|(kind, _)| *kind) {
        Some(Kind::Float) => Some(DType::Float32),
        Some(Kind::Categorical | Kind::Text) => Some(DType::String),
        Some(Kind::Embedding) | None => None,
    };
    Column { name, dtype, optional: false }
}

/// The labels of the classes in the order of the probabilities.
fn classes(model: &Model) -> Option<Value> {
    let stored = &model.class_params["class_names"];
    let places = &model.class_params["class_to_label"];
    [stored, places].into_iter().find(|v| v.as_array().is_some_and(|a| !a.is_empty())).cloned()
}

/// Adds what the file tells besides.
pub(super) fn facts(model: &Model, reading: &mut Reading) {
    reading.framework_version = model.version_info.as_deref().and_then(version);
    reading.fact("objective", loss(model));
    reading.fact(
        "task",
        task(model).filter(|t| *t != Task::Numbers).map(|t| match t {
            Task::Labels => "multilabel-classification",
            _ => "classification",
        }),
    );
    if task(model).is_some_and(|t| t != Task::Numbers) {
        reading.fact("classes", classes(model));
    }
    reading.fact("catboost.trees", model.trees);
    reading.fact("catboost.approxDimension", model.dimension);
    for (key, kind) in [
        ("catboost.categoricalFeatures", Kind::Categorical),
        ("catboost.textFeatures", Kind::Text),
        ("catboost.embeddingFeatures", Kind::Embedding),
    ] {
        let places: Vec<u64> =
            model.features.iter().filter(|(_, (k, _))| *k == kind).map(|(place, _)| *place).collect();
        reading.fact(key, places);
    }
}

/// The version in `Branch: tags/v1.2.10` or `Summary: CatBoost release 1.2.10. …`.
fn version(info: &str) -> Option<String> {
    let after = |key: &str| info.split_once(key).map(|(_, rest)| rest);
    let rest = after("tags/v").or_else(|| after("CatBoost release ")).or_else(|| after("release v"))?;
    let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
    let version = rest[..end].trim_end_matches('.');
    (version.contains('.') && version.len() <= 32).then(|| version.to_owned())
}
