//! Pickled boosters and wrappers for scikit-learn (`XGBClassifier` and its like).
//!
//! The state of a `Booster` has the whole model as `handle`, in whichever form that version of
//! XGBoost writes. Wrappers have it as `_Booster`, and before version 1.6 the labels of the classes.

use crate::error::Result;
use crate::model::contract::{Contract, DType, Signature};
use crate::model::format::Reading;
use crate::model::format::pickled::{self, Inner};
use crate::model::format::rows;
use crate::model::pickle::{Id, Stored};

use super::contract;
use super::model::Model;

/// Reads the object at a node, which may be inside of another library's.
pub(in crate::model::format) fn read(stored: &Stored<'_>, root: Id, reading: &mut Reading) -> Result<()> {
    let tree = stored.pickle();
    let class = pickled::class(tree, root, "xgboost").unwrap_or("?").to_owned();
    reading.fact("estimator", class.as_str());
    let booster = if class == "Booster" {
        Some(root)
    } else {
        // Before 0.7 the attribute had another name.
        ["_Booster", "booster_", "_booster"]
            .iter()
            .find_map(|n| tree.attr(root, n))
            .filter(|b| !tree.is_none(*b))
    };
    let Some(booster) = booster else { return Err(pickled::without_model(&format!("`{class}`"))) };
    let bytes = match pickled::inner(stored, booster, &["handle"], reading)? {
        Inner::Here(bytes) => bytes,
        Inner::TooLong => return Ok(()),
        Inner::Absent => return Err(pickled::without_model("a `Booster`")),
    };
    let mut model = super::read_booster(&bytes, reading)?;
    // Before version 1.4 Python kept the names to itself.
    let texts = |name: &str| -> Option<Vec<String>> {
        let all = tree.elements(tree.attr(booster, name)?)?;
        all.iter().map(|v| tree.copy_str(*v)).collect()
    };
    if model.feature_names.is_empty() {
        model.feature_names = texts("feature_names").unwrap_or_default();
        model.feature_types = texts("feature_types").unwrap_or_default();
        reading.fact("xgboost.featureTypes", model.feature_types.clone());
    }
    reading.contract = Some(match class.as_str() {
        "XGBClassifier" | "XGBRFClassifier" => classifier(stored, root, &model, reading),
        _ => contract::booster(&model),
    });
    Ok(())
}

fn classifier(stored: &Stored<'_>, root: Id, model: &Model, reading: &mut Reading) -> Contract {
    let tree = stored.pickle();
    // `LabelEncoder.classes_`, up to version 1.5.
    let encoder =
        ["_le", "_XGBClassifier__le"].iter().find_map(|n| tree.attr(root, n)).filter(|e| !tree.is_none(*e));
    let classes = encoder
        .and_then(|e| tree.attr(e, "classes_"))
        .or_else(|| tree.attr(root, "classes_"))
        .map(|c| pickled::labels(tree, c));
    let count = tree.attr(root, "n_classes_").and_then(|n| tree.int(n)).and_then(|n| u64::try_from(n).ok());
    let multilabel = model.targets.is_some_and(|n| n > 1);
    let dtype = match (&classes, encoder) {
        (Some((dtype, _)), Some(_)) => *dtype,
        // Without an encoder the answers are 0, 1, …: what `argmax` gives, whatever the classes were.
        (_, None) if !multilabel => Some(DType::Int64),
        _ => None,
    };
    match classes {
        Some((_, Some(labels))) => reading.fact("classes", labels),
        _ if !multilabel => {
            reading.fact("classes", count.filter(|n| *n <= 10_000).map(|n| (0..n).collect::<Vec<u64>>()));
        }
        _ => {}
    }
    let outputs = contract::outputs(model);
    let (one, proba) = match (model.objective.as_deref(), outputs) {
        // The wrapper takes one class id for a probability there: what comes out differs by version.
        (Some("multi:softmax") | None, _) | (_, None) => (None, None),
        (Some(_), Some(n)) if multilabel => (Some(rows::per_row(Some(n))), Some(n)),
        (Some(_), Some(n)) => (Some(rows::per_row(None)), Some(n.max(2))),
    };
    let matrix = contract::matrix(model);
    let dtype = dtype.filter(|_| one.is_some());
    let mut signatures: Vec<Signature> =
        vec![rows::method("predict", &matrix, rows::output("predict", dtype, one))];
    if let Some(n) = proba {
        let output = rows::output("predict_proba", Some(DType::Float32), Some(rows::per_row(Some(n))));
        signatures.push(rows::method("predict_proba", &matrix, output));
    }
    Contract { signatures }
}
