//! Formats: how one framework's files are recognised, and what they tell about the model.
//!
//! A [`Format`] looks at folders and says where a model of its kind lies ([`Candidate`]), reads the
//! contract from it ([`Reading`]) and tells which file plays which [`Role`]. [`detect`] asks all of
//! [`FORMATS`] and settles on one model. Nothing here runs, imports or unpickles anything, and no
//! weights are read.
//!
//! Adding a format: a module here, one line in [`FORMATS`], and models with a `truth.json` in
//! `testdata/models`, which the test of all formats then finds by itself.
//!
//! Invariants: content decides, a file's name never alone; each name, dtype and shape says how it is
//! known; a file that is broken gives an error or a finding, never a guess.

mod bounds;
pub mod catboost;
mod cursor;
mod detection;
pub mod document;
pub mod fastai;
mod folder;
pub mod function;
pub mod gguf;
pub mod h2o;
pub mod huggingface;
mod impostor;
mod json;
pub mod keras;
pub mod lightgbm;
pub mod mlflow;
pub mod mxnet;
pub mod onnx;
mod packages;
mod pickled;
pub mod pytorch;
mod role;
mod rows;
pub mod safetensors;
mod shards;
pub mod sklearn;
pub mod spark;
pub mod tensorflow;
pub mod tflite;
pub mod theano;
mod together;
pub mod xgboost;
mod yaml;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::error::{Result, show_bytes};
use crate::model::contract::{Contract, Shape};
use crate::model::tree::Tree;

pub use detection::{Choice, Detection, candidates, detect};
pub use folder::{File, Folder};
pub use role::Role;

/// Every format that floe knows.
pub const FORMATS: &[&dyn Format] = &[
    &tensorflow::TensorFlow,
    &tflite::TfLite,
    &keras::Keras,
    &onnx::Onnx,
    &spark::Spark,
    &mxnet::Mxnet,
    &sklearn::Sklearn,
    &pytorch::PyTorch,
    &safetensors::SafeTensors,
    &fastai::Fastai,
    &theano::Theano,
    &xgboost::XgBoost,
    &lightgbm::LightGbm,
    &catboost::CatBoost,
    &h2o::H2o,
    &gguf::Gguf,
    &huggingface::HuggingFace,
    &mlflow::Mlflow,
    &function::PythonFunction,
];

/// How many bytes of one model are read for inference at most; weights are skipped, not read.
pub const BUDGET: u64 = 64 << 20;
/// The most facts that are kept of one model.
pub const MAX_FACTS: usize = 10_000;
/// The longest key of a fact in bytes; some have the names of a signature and of a tensor in them.
const MAX_KEY: usize = 4096;
/// The longest name, key or text in bytes that is read from a model.
pub const MAX_TEXT: usize = 1 << 20;
/// The longest name in bytes of what is told many times over: signatures and dimensions.
pub const MAX_NAME: usize = 256;
/// The most dimensions of one tensor.
pub const MAX_RANK: usize = 64;
/// The most entries of one map and the most tensors of one contract.
pub const MAX_ENTRIES: usize = 100_000;

/// One framework's files.
pub trait Format: Sync {
    /// Its name, as `--framework` takes it.
    fn name(&self) -> &'static str;

    /// What people call the framework that writes it, where a reading does not know better.
    fn framework(&self) -> &'static str {
        self.name()
    }

    /// Whether it counts only where no other format finds a model, or several so that nobody could
    /// tell which is meant; it then is asked about the folder where the search starts.
    fn last_resort(&self) -> bool {
        false
    }

    /// The models of this format that lie directly in a folder, or are the folder.
    fn detect(&self, folder: &Folder<'_>) -> Result<Vec<Candidate>>;

    /// What lies directly in a folder and may be a model of this format, but is more often a part of
    /// another or no model: it counts only where nothing else was found anywhere.
    fn detect_alone(&self, folder: &Folder<'_>) -> Result<Vec<Candidate>> {
        let _ = folder;
        Ok(Vec::new())
    }

    /// Reads a model that was found, of which at most `budget` bytes may be read.
    ///
    /// Fails where the files are broken; what is merely odd is a finding.
    fn read(&self, tree: &Tree, candidate: &Candidate, budget: u64) -> Result<Reading>;

    /// Whether a file of this name should hold a model of this format, so that one which does not
    /// (a pointer, a saved error page) can be told for what it is.
    fn expects(&self, name: &[u8]) -> bool {
        let _ = name;
        false
    }

    /// What a file of the tree is for, where this format knows better than its extension tells.
    fn role(&self, path: &[u8]) -> Option<Role> {
        let _ = path;
        None
    }
}

/// A model that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The name of its format.
    pub format: &'static str,
    /// Which of the format's shapes it has, for [`Format::read`].
    pub variant: &'static str,
    /// The model's root inside the tree: a folder, empty for the top, or a file.
    pub location: Vec<u8>,
    /// The file that was recognised.
    pub file: Vec<u8>,
    /// What it was recognised by.
    pub evidence: String,
    /// What the user should know about the choice of this place.
    pub warnings: Vec<String>,
    /// Files and folders of the tree that are parts of this model: another candidate that lies in
    /// one of them is no model of its own.
    pub claims: Vec<Vec<u8>>,
}

impl Candidate {
    /// A model that is one file, and what it was recognised by: `what` goes on after the file's name.
    pub fn in_file(
        format: &'static str,
        variant: &'static str,
        file: &File<'_>,
        what: impl std::fmt::Display,
    ) -> Self {
        Self {
            format,
            variant,
            location: file.path().to_vec(),
            file: file.path().to_vec(),
            evidence: format!("`{}` {what}", show_bytes(file.path())),
            warnings: Vec::new(),
            claims: Vec::new(),
        }
    }
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// May keep the model from being served.
    Warning,
    /// Will keep the model from being served, or is a danger.
    Error,
}

/// Something about a model that its author should look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// A stable name of its kind, in kebab case.
    pub code: &'static str,
    /// Where in the model: a file of the tree, an entry or object in it, a layer's name.
    #[serde(rename = "where")]
    pub place: String,
    /// What was found, and why it matters.
    #[serde(rename = "what")]
    pub message: String,
}

/// One tensor of weights, as the file's own table lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Weight {
    /// Its name; empty where the file gives it none, which documents show as `null`.
    #[serde(serialize_with = "name_or_null")]
    pub name: String,
    /// Element type: numpy's name, or the format's own where numpy has none (`q4_k`).
    pub dtype: Option<String>,
    /// Its shape, slowest dimension first; `None` where the rank is unknown.
    pub shape: Option<Shape>,
}

fn name_or_null<S: serde::Serializer>(name: &str, s: S) -> std::result::Result<S::Ok, S::Error> {
    (!name.is_empty()).then_some(name).serialize(s)
}

/// What a model's files tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// What wrote the model, where that is more exact than the format: `torchscript`.
    pub framework: Option<String>,
    /// The version of it, as the files record it.
    pub framework_version: Option<String>,
    /// The contract; `None` where the files hold none.
    pub contract: Option<Contract>,
    /// The weights, where the file has a table of them; empty where it has none.
    pub tensors: Vec<Weight>,
    /// What else is known: versions, operators, names inside the graph.
    pub facts: BTreeMap<String, Value>,
    /// What the author should look at.
    pub findings: Vec<Finding>,
    /// What the user should know about the reading.
    pub warnings: Vec<String>,
    /// Paths of the tree without which the model does not work, besides the one that was read.
    pub required: Vec<Vec<u8>>,
}

impl Reading {
    /// Adds a fact, unless it is blank, its key is longer than any, or there are too many.
    pub fn fact(&mut self, key: impl Into<String>, value: impl Into<Value>) {
        let (key, value) = (key.into(), value.into());
        let blank = match &value {
            Value::Null => true,
            Value::String(s) => s.is_empty(),
            Value::Array(a) => a.is_empty(),
            Value::Object(o) => o.is_empty(),
            Value::Bool(_) | Value::Number(_) => false,
        };
        if !blank && key.len() <= MAX_KEY && self.facts.len() < MAX_FACTS {
            self.facts.insert(key, value);
        }
    }

    /// Adds a finding at a place in the model: a file, an entry in it, a layer.
    pub fn find(
        &mut self,
        severity: Severity,
        code: &'static str,
        place: impl Into<String>,
        message: impl Into<String>,
    ) {
        let finding = Finding { severity, code, place: place.into(), message: message.into() };
        if self.findings.len() < MAX_FACTS && !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    /// Lists the weights and adds the facts that follow from the list: `parameters`, how many
    /// numbers there are in all, and `weight_dtypes`, how many tensors there are of each type.
    pub fn list_weights(&mut self, weights: Vec<Weight>) {
        let mut dtypes: BTreeMap<&str, u64> = BTreeMap::new();
        let mut parameters = Some(0u64);
        for w in &weights {
            *dtypes.entry(w.dtype.as_deref().unwrap_or("unknown")).or_default() += 1;
            let count = w
                .shape
                .as_ref()
                .and_then(|s| s.iter().try_fold(1u64, |product, dim| product.checked_mul((*dim)?)));
            parameters = parameters.and_then(|sum| sum.checked_add(count?));
        }
        let dtypes: serde_json::Map<String, Value> =
            dtypes.into_iter().map(|(name, n)| (name.to_owned(), n.into())).collect();
        if let Some(parameters) = parameters.filter(|_| !weights.is_empty()) {
            self.fact("parameters", parameters);
        }
        self.fact("weight_dtypes", dtypes);
        self.tensors = weights;
    }
}

/// Whether a name has one of these endings, whatever the case of its letters.
pub fn ends_in(name: &[u8], endings: &[&str]) -> bool {
    let name = name.to_ascii_lowercase();
    endings.iter().any(|e| name.ends_with(e.as_bytes()))
}

/// A path of the tree from a folder and what lies in it.
pub fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() { name.to_vec() } else { [folder, b"/", name].concat() }
}

/// The last component of a path of the tree.
pub fn file_name(path: &[u8]) -> &[u8] {
    path.rsplit(|b| *b == b'/').next().unwrap_or(path)
}
