//! LightGBM: a booster as text, alone or pickled.
//!
//! The header records the features, the classes and the objective; `predict` gives as many doubles
//! per row as the header has classes (lightgbm: src/boosting/gbdt_model_text.cpp, gbdt.h
//! `NumPredictOneRow`). The type of the input is nobody's: float32 and float64 are both taken, and
//! floe says float64, what the trees compare with.

pub(super) mod pickled;
mod text;

use crate::error::Result;
use crate::model::contract::{Contract, DType};
use crate::model::format::pickled as pickles;
use crate::model::format::rows::{self, Matrix};
use crate::model::format::{Candidate, Folder, Format, Reading};
use crate::model::tree::Tree;

use text::Header;

/// The format of LightGBM.
#[derive(Clone, Copy, Debug)]
pub struct LightGbm;

impl Format for LightGbm {
    fn name(&self) -> &'static str {
        "lightgbm"
    }

    fn detect(&self, folder: &Folder<'_>) -> Result<Vec<Candidate>> {
        let mut found = pickles::candidates(folder, "lightgbm", "lightgbm", "LightGBM")?;
        for file in folder.files() {
            if !text::looks_like(file.head()?) {
                continue;
            }
            found.push(Candidate::in_file(
                "lightgbm",
                "text",
                file,
                "holds a model of LightGBM (`tree`, `max_feature_idx`)",
            ));
        }
        Ok(found)
    }

    fn read(&self, tree: &Tree, candidate: &Candidate, budget: u64) -> Result<Reading> {
        let content = tree.open(&candidate.file)?;
        if candidate.variant == pickles::VARIANT {
            return pickles::read(&content, &candidate.file, budget, pickled::read);
        }
        let mut reading = Reading::default();
        reading.fact("serialization", "text");
        let header = text::read(&content, budget)?;
        facts(&header, &mut reading);
        reading.contract = Some(contract(&header));
        Ok(reading)
    }
}

/// What `Booster.predict` takes and gives.
fn contract(header: &Header) -> Contract {
    let outputs = Some(header.classes).filter(|n| *n > 1);
    let output = rows::output("prediction", Some(DType::Float64), Some(rows::per_row(outputs)));
    Contract { signatures: vec![rows::method("predict", &matrix(header), output)] }
}

/// The matrix that it takes.
fn matrix(header: &Header) -> Matrix {
    Matrix {
        dtype: Some(DType::Float64),
        width: Some(header.features),
        columns: rows::columns(header.names.clone()),
    }
}

fn facts(header: &Header, reading: &mut Reading) {
    reading.fact("lightgbm.formatVersion", header.version.as_deref());
    let objective = header.objective.as_deref();
    reading.fact("objective", objective.and_then(|o| o.split(' ').next()));
    reading.fact("lightgbm.objective", objective);
    let task = match objective.and_then(|o| o.split(' ').next()) {
        Some("binary" | "multiclass" | "multiclassova") => Some("classification"),
        Some("lambdarank" | "rank_xendcg") => Some("ranking"),
        Some("cross_entropy" | "cross_entropy_lambda") | None => None,
        Some(_) => Some("regression"),
    };
    reading.fact("task", task);
    reading.fact("lightgbm.boosting", header.boosting.as_deref());
    reading.fact("lightgbm.trees", header.trees);
    reading.fact("lightgbm.numClass", header.classes);
    reading.fact("lightgbm.categoricalFeatures", header.categorical.clone());
    reading.fact("lightgbm.pandasCategorical", header.pandas_categorical.clone().filter(|v| v.is_array()));
}
