//! scikit-learn: estimators in pickles, in joblib's files and in skops archives.
//!
//! All three hold the state that fitting left. The contract follows from it by scikit-learn's own
//! rules (`rules/`): what an estimator takes and which of its methods give what. Arrays that joblib
//! before 0.10 wrote into files beside the pickle are parts of the model. Nothing is unpickled; what
//! loading would run is told as findings. A pickle whose root is XGBoost's,
//! LightGBM's or CatBoost's is a model of that format, and a pipeline that holds one is of this.

mod answer;
mod facts;
mod root;
mod rules;
mod skops;
mod state;

use std::cell::Cell;

use crate::error::{Error, Kind, Result, show_bytes};
use crate::model::contract::Contract;
use crate::model::format::{Candidate, File, Folder, Format, Reading, Role, Severity, ends_in, join};
use crate::model::format::{catboost, lightgbm, xgboost};
use crate::model::pb::Source;
use crate::model::pickle::{self, Allow, Array, Id, Limits, Peek, Read, Stored};
use crate::model::tree::{EntryKind, Tree, folder_of};
use crate::model::zip::{self, Archive};

use rules::Rules;
use state::State;

/// The format of scikit-learn.
#[derive(Clone, Copy, Debug)]
pub struct Sklearn;

/// Packages whose pickles are models of another format, even where scikit-learn's parts are inside.
const OTHERS: &[&str] = &[
    "xgboost",
    "lightgbm",
    "catboost",
    "torch",
    "fastai",
    "theano",
    "aesara",
    "pytensor",
    "lasagne",
    "keras",
    "tensorflow",
    "tf_keras",
    "mlflow",
    "mxnet",
    "spacy",
    "pandas",
    "numpy",
];

impl Format for Sklearn {
    fn name(&self) -> &'static str {
        "sklearn"
    }

    fn framework(&self) -> &'static str {
        "scikit-learn"
    }

    fn detect(&self, folder: &Folder<'_>) -> Result<Vec<Candidate>> {
        let mut found = Vec::new();
        for file in folder.files() {
            let Some((variant, what)) = recognise(file)? else { continue };
            let mut candidate = Candidate::in_file("sklearn", variant, file, format_args!("holds {what}"));
            let beside = folder.files().iter().filter(|f| pickle::is_side_file(file.name(), f.name()));
            candidate.claims.extend(beside.map(|f| f.path().to_vec()));
            found.push(candidate);
        }
        Ok(found)
    }

    fn read(&self, tree: &Tree, candidate: &Candidate, budget: u64) -> Result<Reading> {
        let mut reading = Reading::default();
        let content = tree.open(&candidate.file)?;
        let place = show_bytes(&candidate.file);
        if candidate.variant == "skops" {
            let found = skops::read(&content)?;
            reading.fact("serialization", "skops");
            reading.fact("sklearn.skops_version", found.version.clone());
            reading.fact("sklearn.skops_protocol", found.protocol);
            pickle::verdict(&found.read, &Allow::SKLEARN, &place, &mut reading);
            found
                .read
                .pickle
                .ask(&mut reading, |reading| objects(&found.read, &|_, _| None, &|_| None, reading))?;
            return Ok(reading);
        }
        let mut stored = pickle::open(&content, &Limits { bytes: budget, ..Limits::default() })?;
        beside(tree, candidate, &mut stored, &mut reading)?;
        let by_joblib = stored.compression.is_some()
            || stored
                .read
                .uses
                .iter()
                .any(|u| u.module.contains("joblib") && u.name.contains("ArrayWrapper"));
        reading.fact("serialization", if by_joblib { "joblib" } else { "pickle" });
        reading.fact("compression", stored.compression);
        reading.fact("pickle_protocol", stored.read.protocol);
        stored.verdict(&Allow::SKLEARN, &place, &mut reading);
        stored.pickle().ask(&mut reading, |reading| whole(&stored, reading))?;
        Ok(reading)
    }

    fn expects(&self, name: &[u8]) -> bool {
        ends_in(name, &[".skops", ".joblib"])
    }

    fn role(&self, path: &[u8]) -> Option<Role> {
        ends_in(path, &[".pkl", ".pickle", ".joblib", ".skops", ".sav", ".z", ".gz"]).then_some(Role::Weights)
    }
}

/// Puts in the arrays that joblib before 0.10 wrote into files beside the pickle.
fn beside(tree: &Tree, candidate: &Candidate, stored: &mut Stored<'_>, reading: &mut Reading) -> Result<()> {
    let folder = folder_of(&candidate.file);
    let open = |name: &str| -> Result<Option<Box<dyn Source>>> {
        let path = join(folder, name.as_bytes());
        let is_file = tree.get(&path).is_some_and(|e| matches!(e.kind, EntryKind::File { .. }));
        if is_file { Ok(Some(Box::new(tree.open(&path)?))) } else { Ok(None) }
    };
    let told = stored.beside(&open)?;
    reading.required = told.read.iter().map(|name| join(folder, name.as_bytes())).collect();
    if let Some((name, reason)) = told.missing.first() {
        reading.warnings.push(format!(
            "{} of the files that joblib wrote beside the model cannot be read, and what follows from \
             them is unknown: `{}`: {reason}",
            told.missing.len(),
            show_bytes(name.as_bytes())
        ));
    }
    Ok(())
}

/// What a file holds, where it is scikit-learn's.
fn recognise(file: &File<'_>) -> Result<Option<(&'static str, String)>> {
    let head = file.head()?;
    if zip::begins(head) {
        let content = file.open()?;
        let is_skops = Archive::open(&content).is_ok_and(|archive| {
            let schema = archive.find(skops::SCHEMA).and_then(|e| archive.head(e, 512).ok());
            schema.is_some_and(|s| s.windows(12).any(|w| w == b"\"__loader__\""))
                && archive.entries().iter().all(|e| {
                    e.name == skops::SCHEMA
                        || [".npy", ".npz", ".bin"].iter().any(|x| e.name.ends_with(x))
                        || !e.name.contains('/')
                })
        });
        return Ok(
            is_skops.then(|| ("skops", "a skops archive (`schema.json` with objects of Python)".to_owned()))
        );
    }
    let Some(peek) = file.pickle()? else { return Ok(None) };
    Ok(of_peek(peek).map(|what| ("pickle", what)))
}

/// What a pickle is, where it is scikit-learn's.
fn of_peek(peek: &Peek) -> Option<String> {
    let package = |module: &str| module.split('.').next().unwrap_or_default().to_owned();
    let packed = peek.compression.map(|c| format!(" compressed with {c}")).unwrap_or_default();
    match &peek.root {
        Some((module, name)) if state::is_ours(module) => Some(format!(
            "a pickle{packed} of `{}.{}`",
            show_bytes(module.as_bytes()),
            show_bytes(name.as_bytes())
        )),
        Some((module, name)) if peek.has("sklearn") && !OTHERS.contains(&package(module).as_str()) => {
            Some(format!(
                "a pickle{packed} of `{}.{}` with parts of scikit-learn",
                show_bytes(module.as_bytes()),
                show_bytes(name.as_bytes())
            ))
        }
        None if peek.has("sklearn") => {
            let what = peek.plain.unwrap_or("value");
            Some(format!("a pickle{packed} of a {what} with objects of scikit-learn"))
        }
        _ => None,
    }
}

/// The most models of other libraries that are read in one of scikit-learn.
const MAX_BOOSTERS: usize = 64;

/// Reads the model of a pickle, and the parts of it that other formats know.
fn whole(stored: &Stored<'_>, reading: &mut Reading) -> Result<()> {
    let fetch = |array: &Array, most: u64| stored.array(array, most).ok().flatten();
    let left = Cell::new(MAX_BOOSTERS);
    let booster = |id: Id| {
        left.set(left.get().checked_sub(1)?);
        let mut inner = Reading::default();
        // What is broken in there is unknown here, and no failure of the whole.
        match stored.pickle().class(id)?.0.split('.').next()? {
            "xgboost" => xgboost::pickled::read(stored, id, &mut inner).ok()?,
            "lightgbm" => lightgbm::pickled::read(stored, id, &mut inner).ok()?,
            "catboost" => catboost::read_pickled(stored, id, &mut inner).ok()?,
            _ => return None,
        }
        inner.contract
    };
    objects(&stored.read, &fetch, &booster, reading)
}

/// Reads the model among the objects of a file.
fn objects(
    read: &Read,
    fetch: &dyn Fn(&Array, u64) -> Option<Vec<u8>>,
    booster: &dyn Fn(Id) -> Option<Contract>,
    reading: &mut Reading,
) -> Result<()> {
    let state = State::new(&read.pickle, fetch, booster);
    facts::packages(read, None, reading);
    let Some(top) = read.pickle.root().map(|id| state.part(id)) else {
        let limit = read.stopped.as_deref().unwrap_or("the limit");
        if let Some(id) = read.unfinished {
            facts::estimator(state.part(id), reading);
        }
        reading
            .warnings
            .push(format!("the model was not read to its end ({limit}); its contract is not known"));
        return Ok(());
    };
    if let Some(limit) = &read.stopped {
        reading.warnings.push(format!("the model was not read to its end ({limit})"));
    }
    let rules = Rules::default();
    let found = root::find(&rules, top)?;
    if !found.path.is_empty() {
        reading.fact("path_in_object", found.path.as_str());
    }
    let Some(model) = found.model else {
        facts::objects(&found.all, reading);
        return Ok(());
    };
    let version = facts::version(&found.all);
    facts::packages(read, version.as_deref(), reading);
    reading.framework_version = version;
    facts::of(&rules, model, reading);
    let known = rules.model(model);
    if known.methods.is_empty() {
        return Ok(());
    }
    if !rules::is_ready(model) {
        reading.find(
            Severity::Error,
            "not-fitted",
            found.path,
            format!(
                "`{}` was saved before it was fitted: it cannot predict",
                show_bytes(model.name().as_bytes())
            ),
        );
        return Ok(());
    }
    reading.contract = Some(known.contract());
    Ok(())
}

/// Reads the estimators of a pickle that another format found inside of its own files.
#[cfg_attr(not(test), expect(dead_code, reason = "for formats that wrap scikit-learn's files"))]
pub(crate) fn read_bytes(bytes: &[u8]) -> Result<Reading> {
    let mut reading = Reading::default();
    let stored = pickle::open(&bytes, &Limits::default())?;
    if stored.read.pickle.root().is_none() {
        return Err(Error::new(Kind::Model, "a pickle without an end"));
    }
    whole(&stored, &mut reading)?;
    Ok(reading)
}

#[cfg(test)]
mod tests;
