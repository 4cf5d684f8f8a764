//! Spark ML: a folder of JSON lines and small parquet files, one folder for each stage of a pipeline.
//!
//! The format is a saved `PipelineModel`, a single fitted stage or what a tuning found best. It is
//! not a pickled or MLeap'd pipeline, and not a model of the old `mllib`. Spark stores which columns
//! each stage reads and writes, and no types: the contract is what `transform` asks of a data frame
//! and adds to it, with types and sizes where a stage fixes them. `pyspark.ml.connect` has a layout of
//! its own (`connect.rs`).
//!
//! Nothing of what the folder names is looked for outside of it: a stage's identity becomes part of
//! a path only if it is one plain name.

mod columns;
mod connect;
mod data;
mod features;
mod local;
mod metadata;
mod models;
mod pipeline;
mod sql;

use std::cell::{Cell, RefCell};

use serde_json::Value;

use crate::error::{Result, show_bytes};
use crate::model::contract::{Contract, Known, Signature};
use crate::model::format::{
    Candidate, Folder, Format, MAX_ENTRIES, Reading, Role, Severity, file_name, join,
};
use crate::model::tree::{Tree, folder_of};

use columns::Columns;
use data::{Data, Note};
use metadata::Metadata;
use pipeline::Walk;

/// Folders that belong to a saved stage.
const PARTS: &[&[u8]] = &[
    b"metadata",
    b"data",
    b"stages",
    b"bestModel",
    b"subModels",
    b"estimator",
    b"evaluator",
    b"treesMetadata",
    b"userFactors",
    b"itemFactors",
    b"pipelineModel",
    b"oldModel",
    b"classifier",
];
/// What a column is called that a stage writes.
const SIGNATURE: &str = "transform";

/// The format of Spark ML.
#[derive(Clone, Copy, Debug)]
pub struct Spark;

impl Format for Spark {
    fn name(&self) -> &'static str {
        "spark"
    }

    fn framework(&self) -> &'static str {
        "spark-ml"
    }

    fn detect(&self, folder: &Folder<'_>) -> Result<Vec<Candidate>> {
        if let Some(found) = connect::detect(folder)? {
            return Ok(vec![found]);
        }
        if let Some(file) = folder.file(b"metadata").filter(|f| f.size() > 0)
            && looks_like(file.head()?)
        {
            return Ok(vec![candidate(folder, file.path())]);
        }
        if !folder.folders().any(|f| f == b"metadata") {
            return Ok(Vec::new());
        }
        let parts = folder.inside(b"metadata").into_iter().filter(|f| f.name().starts_with(b"part-"));
        // With folders of stages beside it, a file that tells nothing is a broken one.
        let pipeline = folder.folders().any(|f| f == b"stages" || f == b"bestModel");
        for file in parts {
            let head = metadata::unpack(file.path(), file.head()?.to_vec(), 4096, false);
            // Of blocks that are longer than what is seen here only the name tells.
            let packed =
                [&b".snappy"[..], b".lz4", b".bz2", b".lzo"].iter().any(|e| file.name().ends_with(e));
            let known =
                head.is_ok_and(|head| looks_like(&head)) || packed && file.name().starts_with(b"part-00000");
            if known || pipeline {
                return Ok(vec![candidate(folder, file.path())]);
            }
        }
        Ok(Vec::new())
    }

    fn read(&self, tree: &Tree, candidate: &Candidate, budget: u64) -> Result<Reading> {
        if candidate.variant == connect::VARIANT {
            return connect::read(tree, candidate, budget);
        }
        let budget = Cell::new(budget);
        let notes = RefCell::new(Vec::new());
        let mut reading = Reading::default();
        let root = Metadata::open(tree, &candidate.location, &budget)?;
        root_facts(&root, &mut reading);
        let mut walk = Walk::new(tree, &budget, &notes, &mut reading);
        walk.stage(&candidate.location, 0)?;
        let fitted = walk.fitted;
        let columns = walk.finish();
        if fitted {
            reading.contract = Some(contract(&columns, &mut reading));
        }
        for Note { place, what, broken } in notes.into_inner() {
            if broken {
                reading.find(Severity::Error, "broken-data", place, what);
            } else {
                reading.warnings.push(format!("{place}: {what}"));
            }
        }
        Ok(reading)
    }

    fn expects(&self, _name: &[u8]) -> bool {
        false
    }

    fn role(&self, path: &[u8]) -> Option<Role> {
        let name = file_name(path);
        match file_name(folder_of(path)) {
            b"metadata" => Some(Role::Config),
            _ if name == connect::FILE => Some(Role::Config),
            _ if name.starts_with(b"part-") && name.ends_with(b".parquet") => Some(Role::Weights),
            _ => None,
        }
    }
}

/// Whether a line begins as Spark's metadata do. They may be longer than what is seen of them.
fn looks_like(head: &[u8]) -> bool {
    let has = |key: &[u8]| head.windows(key.len()).any(|w| w == key);
    head.trim_ascii_start().starts_with(b"{")
        && has(b"\"class\"")
        && (has(b"\"sparkVersion\"") || has(b"\"uid\"") && has(b"\"paramMap\""))
}

fn candidate(folder: &Folder<'_>, file: &[u8]) -> Candidate {
    let claims = folder
        .folders()
        .filter(|f| PARTS.contains(f) || f.starts_with(b"model_"))
        .map(|f| join(folder.path(), f))
        .collect();
    Candidate {
        format: "spark",
        variant: "folder",
        location: folder.path().to_vec(),
        file: file.to_vec(),
        evidence: format!("`{}` holds the metadata of a Spark ML stage", show_bytes(file)),
        warnings: Vec::new(),
        claims,
    }
}

/// The facts that Hydrosphere's manager kept of the root, under its names.
fn root_facts(root: &Metadata, reading: &mut Reading) {
    reading.framework_version.clone_from(&root.version);
    reading.fact("sparkml.class", root.class.clone());
    reading.fact("sparkml.uid", root.uid.clone());
    if let Some(version) = &root.version {
        reading.fact("sparkml.sparkVersion", version.clone());
    }
    for key in ["timestamp", "numFeatures", "numClasses", "numTrees"] {
        if let Some(value) = root.rest.get(key).filter(|v| v.is_number()) {
            reading.fact(format!("sparkml.{key}"), value.clone());
        }
    }
    if let Some(language) = root.text("language") {
        reading.fact("sparkml.language", language);
    }
}

/// The one signature: what `transform` needs and adds.
fn contract(columns: &Columns, reading: &mut Reading) -> Contract {
    let (mut inputs, mut outputs, optional) = columns.result();
    if inputs.len().max(outputs.len()) > MAX_ENTRIES {
        reading.warnings.push(format!("only the first {MAX_ENTRIES} columns are told"));
        inputs.truncate(MAX_ENTRIES);
        outputs.truncate(MAX_ENTRIES);
    }
    reading.fact("sparkml.optionalInputs", optional.into_iter().map(Value::from).collect::<Vec<_>>());
    for name in &columns.contradictions {
        reading.find(
            Severity::Warning,
            "contradictory-sizes",
            "",
            format!("stages disagree about the size of the column `{}`", show_bytes(name.as_bytes())),
        );
    }
    for name in &columns.lost {
        reading.find(
            Severity::Warning,
            "missing-column",
            "",
            format!(
                "a stage reads the column `{}`, which a selection before it has dropped",
                show_bytes(name.as_bytes())
            ),
        );
    }
    Contract {
        signatures: vec![Signature { name: SIGNATURE.to_owned(), known: Known::Derived, inputs, outputs }],
    }
}

/// One stage: what it says about itself, and its data.
struct Stage<'t> {
    tree: &'t Tree,
    budget: &'t Cell<u64>,
    notes: &'t RefCell<Vec<Note>>,
    folder: Vec<u8>,
    meta: Metadata,
    data: Data<'t>,
}

impl<'t> Stage<'t> {
    fn open(
        tree: &'t Tree,
        folder: &[u8],
        budget: &'t Cell<u64>,
        notes: &'t RefCell<Vec<Note>>,
    ) -> Result<Self> {
        let meta = Metadata::open(tree, folder, budget)?;
        let data = Data::new(tree, join(folder, b"data"), meta.short(), budget, notes);
        Ok(Self { tree, budget, notes, folder: folder.to_vec(), meta, data })
    }

    /// A stage in another folder; `None` where none can be read there.
    fn beside(&self, folder: &[u8]) -> Result<Option<Self>> {
        match Self::open(self.tree, folder, self.budget, self.notes) {
            Ok(stage) => Ok(Some(stage)),
            Err(e) if e.kind() == crate::error::Kind::Model => {
                let what = e.to_string();
                self.notes.borrow_mut().push(Note { place: show_bytes(folder), what, broken: true });
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    /// Tells what is not known because of this stage.
    fn tell(&self, what: &str) {
        let place = show_bytes(self.meta.uid.as_bytes());
        self.notes.borrow_mut().push(Note { place, what: what.to_owned(), broken: false });
    }
}

#[cfg(test)]
mod tests;
