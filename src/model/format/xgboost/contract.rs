//! What a booster takes and gives, by its objective.
//!
//! `Booster.predict` gives one number per row and output, without the last dimension where there is
//! but one output; `multi:softmax` picks one of them (xgboost: src/c_api/c_api_utils.h,
//! `CalcPredictShape`, and src/objective/multiclass_obj.cu).

use serde_json::Value;

use crate::model::contract::{Contract, DType, Signature};
use crate::model::format::rows::{self, Matrix};
use crate::model::format::{Reading, json};

use super::model::Model;

/// The matrix that it takes: missing values are NaN, so everything is a float.
pub(super) fn matrix(model: &Model) -> Matrix {
    let width = model.features.filter(|n| *n > 0);
    let names = &model.feature_names;
    let columns = if width.is_some_and(|n| n == names.len() as u64) { names.clone() } else { Vec::new() };
    Matrix { dtype: Some(DType::Float32), width, columns: rows::columns(columns) }
}

/// How many numbers it gives per row before the objective picks one.
pub(super) fn outputs(model: &Model) -> Option<u64> {
    model.classes?.max(1).checked_mul(model.targets?.max(1))
}

/// The contract of `Booster.predict`.
pub(super) fn booster(model: &Model) -> Contract {
    Contract { signatures: vec![predict(model)] }
}

fn predict(model: &Model) -> Signature {
    let shape = match (model.objective.as_deref(), outputs(model)) {
        (None, _) | (_, None) => None,
        (Some("multi:softmax"), Some(_)) => Some(rows::per_row(None)),
        (Some(_), Some(n)) => Some(rows::per_row(Some(n).filter(|n| *n > 1))),
    };
    rows::method("predict", &matrix(model), rows::output("prediction", Some(DType::Float32), shape))
}

/// Adds what the file tells besides.
pub(super) fn facts(model: &Model, reading: &mut Reading) {
    reading.framework_version.clone_from(&model.version);
    if let Some(objective) = &model.objective {
        reading.fact("objective", objective.as_str());
        let task = match objective.split(':').next() {
            Some("binary" | "multi") => Some("classification"),
            Some("reg" | "count") => Some("regression"),
            Some("rank") => Some("ranking"),
            Some("survival") => Some("survival"),
            _ => None,
        };
        reading.fact("task", task);
    }
    reading.fact("xgboost.booster", model.booster.as_deref());
    reading.fact("xgboost.trees", model.trees);
    reading.fact("xgboost.baseScore", model.base_score.as_deref());
    reading.fact("xgboost.numClass", model.classes.filter(|n| *n > 0));
    reading.fact("xgboost.numTarget", model.targets.filter(|n| *n > 1));
    reading.fact("xgboost.featureTypes", model.feature_types.clone());
    reading
        .fact("xgboost.bestIteration", model.attribute("best_iteration").and_then(|n| n.parse::<u64>().ok()));
    let wrapper: Option<Value> =
        model.attribute("scikit_learn").and_then(|text| json::parse(text.as_bytes()).ok());
    if let Some(wrapper) = wrapper {
        let kind = ["type", "_estimator_type"].iter().find_map(|k| wrapper[*k].as_str());
        reading.fact("estimator", kind);
        let classes = [&wrapper["_le"]["classes_"], &wrapper["classes_"]];
        if let Some(classes) = classes.into_iter().find(|c| c.is_array()) {
            reading.fact("classes", classes.clone());
        }
    }
}
