//! CatBoost: a model as `.cbm` (a flatbuffer), as JSON, or pickled.
//!
//! The file records every feature with its place and kind, how many numbers come out, the loss and the
//! labels of the classes; what `predict` gives follows from the loss (`contract.rs`). Whether the
//! author used `CatBoostClassifier` is not recorded: a loss for classes counts as one.

mod cbm;
mod contract;
mod json;

use std::collections::BTreeMap;

use crate::error::{Error, Kind as ErrorKind, Result};
use crate::model::format::pickled::{self, Inner};
use crate::model::format::{Candidate, Folder, Format, Reading, Role, ends_in};
use crate::model::pickle::{Id, Stored};
use crate::model::tree::Tree;

/// The format of CatBoost.
#[derive(Clone, Copy, Debug)]
pub struct CatBoost;

/// The most bytes of the names of all features.
const MAX_NAMES: usize = 16 << 20;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Float,
    Categorical,
    Text,
    Embedding,
}

/// What is known about a model.
#[derive(Debug, Default)]
struct Model {
    /// Each feature by its place in a row.
    features: BTreeMap<u64, (Kind, Option<String>)>,
    /// How many bytes their names have.
    names: usize,
    /// How many numbers come out per row before they are made into a class.
    dimension: Option<u64>,
    trees: Option<u64>,
    /// The parameters of the training, as JSON.
    params: serde_json::Value,
    /// The labels of the classes, as JSON.
    class_params: serde_json::Value,
    /// Whether `predict` gives numbers even where the loss is one for classes.
    raw: bool,
    /// What wrote the file, in many lines.
    version_info: Option<String>,
}

impl Model {
    /// Adds a feature at a place in a row.
    fn feature(&mut self, place: u64, kind: Kind, name: Option<String>) -> Result<()> {
        self.names += name.as_ref().map_or(0, String::len);
        if self.names > MAX_NAMES {
            let message = format!("the names of the features have more than {MAX_NAMES} bytes");
            return Err(Error::new(ErrorKind::Model, message));
        }
        if self.features.insert(place, (kind, name)).is_some() {
            return Err(Error::new(ErrorKind::Model, format!("two features at place {place} of a row")));
        }
        Ok(())
    }
}

impl Format for CatBoost {
    fn name(&self) -> &'static str {
        "catboost"
    }

    fn detect(&self, folder: &Folder<'_>) -> Result<Vec<Candidate>> {
        let mut found = pickled::candidates(folder, "catboost", "catboost", "CatBoost")?;
        for file in folder.files() {
            let head = file.head()?;
            let (variant, what) = if head.starts_with(cbm::MAGIC) {
                ("cbm", "a model of CatBoost (`CBM1`)")
            } else if json::looks_like(head) {
                ("json", "a model of CatBoost as JSON")
            } else {
                continue;
            };
            found.push(Candidate::in_file("catboost", variant, file, format_args!("holds {what}")));
        }
        Ok(found)
    }

    fn read(&self, tree: &Tree, candidate: &Candidate, budget: u64) -> Result<Reading> {
        let content = tree.open(&candidate.file)?;
        if candidate.variant == pickled::VARIANT {
            return pickled::read(&content, &candidate.file, budget, read_pickled);
        }
        let mut reading = Reading::default();
        reading.fact("serialization", candidate.variant);
        let model = if candidate.variant == "json" {
            json::read(&content, &mut reading)?
        } else {
            cbm::read(&content, budget)?
        };
        finish(&model, &mut reading);
        Ok(reading)
    }

    fn expects(&self, name: &[u8]) -> bool {
        ends_in(name, &[".cbm"])
    }

    fn role(&self, path: &[u8]) -> Option<Role> {
        ends_in(path, &[".cbm"]).then_some(Role::Weights)
    }
}

/// Reads the object at a node, which may be inside of another library's: its state has the whole
/// model as `.cbm`.
pub(in crate::model::format) fn read_pickled(
    stored: &Stored<'_>,
    root: Id,
    reading: &mut Reading,
) -> Result<()> {
    let class = pickled::class(stored.pickle(), root, "catboost").unwrap_or("?").to_owned();
    reading.fact("estimator", class.as_str());
    let bytes = match pickled::inner(stored, root, &["__model"], reading)? {
        Inner::Here(bytes) => bytes,
        Inner::TooLong => return Ok(()),
        Inner::Absent => return Err(pickled::without_model(&format!("`{class}`"))),
    };
    let mut model = cbm::read(&bytes, pickled::MAX_INNER)?;
    // Only a classifier makes classes of the numbers.
    model.raw = matches!(class.as_str(), "CatBoost" | "CatBoostRegressor" | "CatBoostRanker");
    finish(&model, reading);
    Ok(())
}

/// The contract and the facts of a model.
fn finish(model: &Model, reading: &mut Reading) {
    contract::facts(model, reading);
    reading.contract = Some(contract::contract(model));
}
