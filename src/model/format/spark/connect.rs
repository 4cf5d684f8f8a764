//! Models of `pyspark.ml.connect` (Spark 3.5 to 4): one `metadata.json` for all stages, and a file of
//! scikit-learn or PyTorch for what each has learned.
//!
//! They share nothing with the folders of the other side but the words for columns and parameters
//! (pyspark/ml/connect: `io_utils.py`, `feature.py`, `classification.py`, `tuning.py`). Columns hold
//! arrays, of numbers of any type where they go in and of doubles where they come out.
//!
//! Loading one unpickles its files, so that what those would run is told too. A file's name counts only
//! if it is one plain name.

use std::cell::Cell;

use serde_json::{Map, Value};

use crate::error::{Error, Kind, Result, show_bytes};
use crate::model::contract::DType;
use crate::model::format::spark::columns::{Columns, Kind as Holds, Rule};
use crate::model::format::spark::metadata::Metadata;
use crate::model::format::spark::{contract, root_facts};
use crate::model::format::{
    Candidate, Folder, Format, Reading, Severity, ends_in, join, json, pytorch, sklearn,
};
use crate::model::tree::{EntryKind, Tree};

/// The name of the one file.
pub(super) const FILE: &[u8] = b"metadata.json";
/// The variant of such a candidate.
pub(super) const VARIANT: &str = "connect";
/// How deep pipelines may nest.
const MAX_DEPTH: usize = 16;
/// The most stages of one model.
const MAX_STAGES: usize = 1000;
/// The longest description in bytes.
const MAX_JSON: u64 = 32 << 20;

/// The model of such a folder.
pub(super) fn detect(folder: &Folder<'_>) -> Result<Option<Candidate>> {
    let Some(file) = folder.file(FILE).filter(|f| f.size() > 0) else { return Ok(None) };
    let head = file.head()?;
    let has = |key: &[u8]| head.windows(key.len()).any(|w| w == key);
    if !(has(b"\"spark_connect\"") && has(b"\"class\"")) {
        return Ok(None);
    }
    let parts = folder.files().iter().filter(|f| ends_in(f.name(), &[".sklearn.pkl", ".torch"]));
    Ok(Some(Candidate {
        format: "spark",
        variant: VARIANT,
        location: folder.path().to_vec(),
        file: file.path().to_vec(),
        evidence: format!("`{}` holds the metadata of a Spark Connect ML model", show_bytes(file.path())),
        warnings: Vec::new(),
        claims: parts.map(|f| f.path().to_vec()).collect(),
    }))
}

/// Reads such a model.
pub(super) fn read(tree: &Tree, candidate: &Candidate, budget: u64) -> Result<Reading> {
    let content = tree.open(&candidate.file)?;
    let bytes = content.read_all(MAX_JSON.min(budget))?;
    let Ok(Value::Object(root)) = json::parse(&bytes) else {
        return Err(Error::new(
            Kind::Model,
            format!(
                "broken metadata of a Spark model: `{}` is not a JSON object",
                show_bytes(&candidate.file)
            ),
        ));
    };
    let mut reading = Reading::default();
    root_facts(&Metadata::new(root.clone())?, &mut reading);
    reading.fact("sparkml.type", "spark_connect");
    let mut walk = Walk {
        tree,
        folder: &candidate.location,
        left: Cell::new(budget.saturating_sub(bytes.len() as u64)),
        columns: Columns::default(),
        classes: Vec::new(),
        seen: 0,
        fitted: true,
    };
    walk.stage(root, 0, &mut reading)?;
    reading.fact("sparkml.stages", std::mem::take(&mut walk.classes));
    walk.columns.settle();
    if walk.fitted {
        reading.contract = Some(contract(&walk.columns, &mut reading));
    }
    Ok(reading)
}

struct Walk<'t> {
    tree: &'t Tree,
    folder: &'t [u8],
    /// How many bytes may still be read.
    left: Cell<u64>,
    columns: Columns,
    classes: Vec<Value>,
    seen: usize,
    fitted: bool,
}

impl Walk<'_> {
    fn stage(&mut self, mut stage: Map<String, Value>, depth: usize, reading: &mut Reading) -> Result<()> {
        self.seen += 1;
        if depth > MAX_DEPTH || self.seen > MAX_STAGES {
            if self.seen <= MAX_STAGES + 1 {
                reading.warnings.push(format!(
                    "more than {MAX_STAGES} stages, or nested more than {MAX_DEPTH} deep: the rest is unknown"
                ));
            }
            self.columns.lose_track();
            return Ok(());
        }
        let (stages, best) = (stage.remove("stages"), stage.remove("best_model"));
        let m = Metadata::new(stage)?;
        let place = show_bytes(m.uid.as_bytes());
        let ours = m.class.starts_with("pyspark.ml.connect.");
        match m.short() {
            "PipelineModel" if ours => {
                let Some(Value::Array(stages)) = stages else {
                    reading.find(
                        Severity::Error,
                        "missing-stage",
                        place,
                        "the pipeline does not list its stages",
                    );
                    self.columns.lose_track();
                    return Ok(());
                };
                return stages.into_iter().try_for_each(|inner| self.inner(inner, depth, reading));
            }
            "CrossValidatorModel" if ours => {
                return self.inner(best.unwrap_or_default(), depth, reading);
            }
            _ => {}
        }
        self.classes.push(m.short().into());
        let width = self.learned(&m, reading)?;
        match m.short() {
            "StandardScalerModel" | "MaxAbsScalerModel" if ours => {
                if let (Some(input), Some(output)) = (m.text("inputCol"), m.text("outputCol")) {
                    let from = self.array(input, width);
                    let to = self.columns.write_array(output, width);
                    self.columns.rule(Rule::Same(to, from));
                }
            }
            "ArrayAssembler" if ours => self.assembled(&m),
            "LogisticRegressionModel" if ours => {
                let features =
                    m.rest.get("extra").and_then(|e| e.get("num_features")).and_then(Value::as_u64);
                let classes = m.rest.get("extra").and_then(|e| e.get("num_classes")).and_then(Value::as_u64);
                if let Some(input) = m.text("featuresCol") {
                    self.array(input, features);
                }
                if let Some(output) = m.text("predictionCol") {
                    self.columns.write(output, Holds::Scalar, Some(DType::Int64));
                }
                if let Some(output) = m.text("probabilityCol") {
                    self.columns.write_array(output, classes);
                }
                reading.fact("estimator", m.short());
                reading.fact("task", "classification");
                for (key, n) in [("numFeatures", features), ("numClasses", classes)] {
                    reading.fact(format!("sparkml.{key}"), n);
                }
            }
            _ if ours && !m.short().ends_with("Model") => {
                self.fitted = false;
                reading.find(
                    Severity::Error,
                    "not-fitted",
                    place,
                    format!(
                        "`{}` has not learned anything yet and cannot be served: save what its `fit` returns",
                        show_bytes(m.class.as_bytes())
                    ),
                );
            }
            _ => self.unknown(&m, ours, reading),
        }
        Ok(())
    }

    fn inner(&mut self, inner: Value, depth: usize, reading: &mut Reading) -> Result<()> {
        if let Value::Object(inner) = inner {
            return self.stage(inner, depth + 1, reading);
        }
        reading.find(Severity::Error, "missing-stage", "", "a stage that should be inside is not there");
        self.columns.lose_track();
        Ok(())
    }

    /// A column of arrays that a stage reads.
    fn array(&mut self, name: &str, width: Option<u64>) -> super::columns::Id {
        let id = self.columns.read(name);
        self.columns.is_array(id, width);
        id
    }

    /// Columns beside each other; one of size 1 is a number or an array of one.
    fn assembled(&mut self, m: &Metadata) {
        let inputs = m.texts("inputCols").unwrap_or_default();
        let sizes: Option<Vec<u64>> = m
            .param("featureSizes")
            .and_then(Value::as_array)
            .map(|l| l.iter().filter_map(Value::as_u64).collect());
        let sizes = sizes.filter(|s| s.len() == inputs.len());
        for (at, input) in inputs.iter().enumerate() {
            let size = sizes.as_ref().map(|s| s[at]);
            if size.is_some_and(|n| n != 1) {
                self.array(input, size);
            } else {
                self.columns.read(input);
            }
        }
        let whole = sizes.and_then(|s| s.iter().try_fold(0u64, |a, b| a.checked_add(*b)));
        if let Some(output) = m.text("outputCol") {
            self.columns.write_array(output, whole);
        }
    }

    /// Looks into the file of what a stage has learned: how wide its vectors are, and what it would run.
    fn learned(&self, m: &Metadata, reading: &mut Reading) -> Result<Option<u64>> {
        let Some(name) = m.text_of("core_model_path") else { return Ok(None) };
        let path = join(self.folder, name.as_bytes());
        let place = show_bytes(&path);
        if name.contains(['/', '\0']) || matches!(name, "" | "." | "..") {
            reading.find(
                Severity::Error,
                "unsafe-path",
                show_bytes(m.uid.as_bytes()),
                format!(
                    "the file `{}` of the stage would lie in another folder",
                    show_bytes(name.as_bytes())
                ),
            );
            return Ok(None);
        }
        if !self.tree.get(&path).is_some_and(|e| matches!(e.kind, EntryKind::File { .. })) {
            let what = format!("`{place}` is not there, and the model cannot be loaded without it");
            reading.find(Severity::Error, "missing-file", place, what);
            return Ok(None);
        }
        reading.required.push(path.clone());
        let mut inner = Reading::default();
        let read = if name.ends_with(".torch") {
            let content = self.tree.open(&path)?;
            pytorch::read_saved(&content, &place, self.left.get(), &mut inner)
        } else {
            let file = Candidate {
                format: "sklearn",
                variant: "pickle",
                location: path.clone(),
                file: path.clone(),
                evidence: String::new(),
                warnings: Vec::new(),
                claims: Vec::new(),
            };
            sklearn::Sklearn.read(self.tree, &file, self.left.get()).map(|found| inner = found)
        };
        if let Err(e) = read {
            reading.find(Severity::Error, "broken-data", place, e.to_string());
        }
        reading.findings.append(&mut inner.findings);
        let contract = inner.contract;
        let input = contract.as_ref().and_then(|c| c.signatures.first()).and_then(|s| s.inputs.first());
        Ok(input.and_then(|i| i.shape.as_ref()).and_then(|s| s.get(1).copied().flatten()))
    }

    /// A class that is not known: columns by the names that parameters usually have.
    fn unknown(&mut self, m: &Metadata, ours: bool, reading: &mut Reading) {
        let class = show_bytes(m.class.as_bytes());
        if ours {
            let what = format!("the stage `{class}` is not known; types after it are not either");
            reading.warnings.push(what);
        } else {
            reading.find(
                Severity::Warning,
                "unknown-stage",
                show_bytes(m.uid.as_bytes()),
                format!("`{class}` is not a part of Spark: its code runs when the model is loaded, and must be there"),
            );
        }
        for input in m.columns("inputCol", "inputCols").into_iter().chain(m.text("featuresCol")) {
            self.columns.read(input);
        }
        let outputs = ["probabilityCol", "predictionCol"].iter().filter_map(|p| m.text(p));
        for output in m.columns("outputCol", "outputCols").into_iter().chain(outputs) {
            self.columns.write(output, Holds::Unknown, None);
        }
    }
}
