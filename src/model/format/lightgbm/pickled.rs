//! Pickled boosters and wrappers for scikit-learn (`LGBMClassifier` and its like).
//!
//! The state of a `Booster` has the whole model as text; that of a wrapper has a booster and the
//! labels of the classes.

use crate::error::Result;
use crate::model::contract::{Contract, DType};
use crate::model::format::Reading;
use crate::model::format::pickled::{self, Inner};
use crate::model::format::rows;
use crate::model::pickle::{Id, Stored};

use super::text::{self, Header};

/// Reads the object at a node, which may be inside of another library's.
pub(in crate::model::format) fn read(stored: &Stored<'_>, root: Id, reading: &mut Reading) -> Result<()> {
    let tree = stored.pickle();
    let class = pickled::class(tree, root, "lightgbm").unwrap_or("?").to_owned();
    reading.fact("estimator", class.as_str());
    let booster = if class == "Booster" {
        Some(root)
    } else {
        tree.attr(root, "_Booster").filter(|b| !tree.is_none(*b))
    };
    let Some(booster) = booster else { return Err(pickled::without_model(&format!("`{class}`"))) };
    let bytes = match pickled::inner(stored, booster, &["handle", "_handle", "model_str"], reading)? {
        Inner::Here(bytes) => bytes,
        Inner::TooLong => return Ok(()),
        Inner::Absent => return Err(pickled::without_model("a `Booster`")),
    };
    let header = text::read(&bytes, pickled::MAX_INNER)?;
    super::facts(&header, reading);
    reading.contract = Some(if class == "LGBMClassifier" {
        classifier(stored, root, &header, reading)
    } else {
        super::contract(&header)
    });
    Ok(())
}

fn classifier(stored: &Stored<'_>, root: Id, header: &Header, reading: &mut Reading) -> Contract {
    let tree = stored.pickle();
    let matrix = super::matrix(header);
    let encoded = tree.attr(root, "_le").and_then(|e| tree.attr(e, "classes_"));
    let classes = encoded.or_else(|| tree.attr(root, "_classes"));
    let (mut dtype, labels) = classes.map_or((None, None), |c| pickled::labels(tree, c));
    reading.fact("classes", labels);
    let raw = rows::per_row(Some(header.classes).filter(|n| *n > 1));
    let (one, proba) = if header.objective.is_some() {
        (rows::per_row(None), rows::per_row(Some(header.classes.max(2))))
    } else {
        // With an objective of the user's own both methods give what the trees sum up to.
        dtype = Some(DType::Float64);
        (raw.clone(), raw)
    };
    Contract {
        signatures: vec![
            rows::method("predict", &matrix, rows::output("predict", dtype, Some(one))),
            rows::method(
                "predict_proba",
                &matrix,
                rows::output("predict_proba", Some(DType::Float64), Some(proba)),
            ),
        ],
    }
}
