//! Tabular learners: the columns that `predict` takes, and the tensors that the model does.
//!
//! The data loader's `TabularPandas` has the names of categorical, continuous and target columns and
//! the processors with what they learned (fastai/tabular/core.py). A collaborative learner is the same
//! with two categorical columns.
//!
//! Invariant: a column `<name>_na` that `FillMissing` adds is an input of the model, and none of the
//! caller's.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::model::contract::{DType, Known, Profile, Signature, Tensor};
use crate::model::format::Reading;
use crate::model::format::fastai::learner::{categories, derived, list, names};
use crate::model::format::pytorch::modules::{self, own_tensor};
use crate::model::pickle::{Id, Pickle};

/// The most columns that become inputs.
const MAX_COLUMNS: usize = 10_000;

/// What the processors learned.
#[derive(Default)]
struct Processors {
    /// The categories of each column.
    classes: Vec<(String, Vec<Value>)>,
    /// Continuous columns for which there is one that says whether the value was missing.
    filled: Vec<String>,
    /// The categories of the target.
    vocabulary: Option<Vec<Value>>,
}

/// The signatures of a tabular learner; facts go to the reading.
pub(super) fn read(pickle: &Pickle, data: Id, model: Option<Id>, reading: &mut Reading) -> Vec<Signature> {
    let of = |name: &str| pickle.attr(data, name).and_then(|n| names(pickle, n));
    let (Some(all), Some(continuous)) = (of("cat_names"), of("cont_names")) else {
        reading.warnings.push("the names of the columns are not stored as names".to_owned());
        return Vec::new();
    };
    if all.len() + continuous.len() > MAX_COLUMNS {
        reading.warnings.push(format!("the data has more than {MAX_COLUMNS} columns"));
        return Vec::new();
    }
    let targets = of("y_names").unwrap_or_default();
    let processors = processors(pickle, data, &targets);
    let filled: BTreeSet<&str> = processors.filled.iter().map(String::as_str).collect();
    let added = |name: &String| name.strip_suffix("_na").is_some_and(|c| filled.contains(c));
    let own: Vec<&String> = all.iter().filter(|n| !added(n)).collect();
    reading.fact("fastai.categorical", own.iter().map(|n| n.as_str()).collect::<Vec<_>>());
    reading.fact("fastai.continuous", continuous.clone());
    reading.fact("fastai.targets", targets);
    reading.fact("fastai.filled", processors.filled.clone());
    let classes: Map<String, Value> = processors
        .classes
        .iter()
        .filter(|(name, _)| !added(name))
        .map(|(name, c)| (name.clone(), Value::from(c.clone())))
        .collect();
    reading.fact("fastai.categories", classes);
    let classifies = processors.vocabulary.is_some();
    reading.fact("classes", processors.vocabulary.clone());
    reading.fact("task", if classifies { "classification" } else { "regression" });

    let collaborative = model.and_then(|m| modules::class(pickle, m)).filter(|c| c.0 == "fastai.collab");
    let output = model.and_then(|m| width(pickle, m, collaborative));
    let shape = output.map(|n| match (n, collaborative) {
        (None, _) => vec![None],
        (Some(n), _) => vec![None, Some(n)],
    });
    // Weights are float32 unless somebody converts the model.
    let dtype = model.and_then(|m| float(pickle, m));
    let mut inputs: Vec<Tensor> = own
        .iter()
        .map(|name| {
            let classes = processors.classes.iter().find(|(n, _)| n == *name).map(|(_, c)| c.as_slice());
            let dtype = classes.and_then(kind);
            let mut t = derived(name, Known::Stored, dtype, Some(vec![None]));
            t.profile = Some(Profile::Categorical);
            t
        })
        .collect();
    inputs.extend(continuous.iter().map(|name| {
        let mut t = derived(name, Known::Stored, Some(DType::Float64), Some(vec![None]));
        t.profile = Some(Profile::Continuous);
        t
    }));
    let name = if classifies { "probs" } else { "predictions" };
    let predict = Signature {
        name: "predict".to_owned(),
        known: Known::Derived,
        inputs,
        outputs: vec![derived(name, Known::Convention, dtype, shape.clone())],
    };
    let mut forward = Signature {
        name: "model.forward".to_owned(),
        known: Known::Derived,
        inputs: Vec::new(),
        outputs: vec![derived("output", Known::Convention, dtype, shape)],
    };
    let width = |n: usize| Some(vec![None, Some(n as u64)]);
    match collaborative {
        Some((_, "EmbeddingDotBias")) => {
            forward.inputs.push(derived("x", Known::Derived, Some(DType::Int64), width(all.len())));
        }
        // `TabularModel.forward(x_cat, x_cont)`, and `EmbeddingNN`, which is one.
        _ => {
            forward.inputs.push(derived("x_cat", Known::Derived, Some(DType::Int64), width(all.len())));
            let cont = match continuous.len() {
                0 if collaborative.is_some() => derived("x_cont", Known::Derived, None, None),
                n => derived("x_cont", Known::Derived, dtype, width(n)),
            };
            forward.inputs.push(cont);
        }
    }
    let known = model.and_then(|m| modules::class(pickle, m)).is_some_and(|(module, name)| {
        matches!(
            (module, name),
            ("fastai.tabular.model", "TabularModel") | ("fastai.collab", "EmbeddingDotBias" | "EmbeddingNN")
        )
    });
    if known { vec![predict, forward] } else { vec![predict] }
}

/// What the processors of the data learned.
fn processors(pickle: &Pickle, data: Id, targets: &[String]) -> Processors {
    let mut found = Processors::default();
    let pipeline = pickle.attr(data, "procs").and_then(|p| pickle.attr(p, "fs"));
    for id in pipeline.and_then(|l| list(pickle, l)).unwrap_or(&[]) {
        match modules::class(pickle, *id) {
            Some(("fastai.tabular.core", "Categorify")) => {
                let classes = pickle.attr(*id, "classes").and_then(|c| pickle.pairs(c)).unwrap_or(&[]);
                for (name, values) in classes.iter().take(MAX_COLUMNS) {
                    let (Some(name), Some(values)) = (pickle.str(*name), categories(pickle, *values)) else {
                        continue;
                    };
                    if pickle.look(targets.len()).is_none() {
                        return Processors::default();
                    }
                    if targets.iter().any(|t| t == name) {
                        found.vocabulary = Some(values);
                    } else {
                        found.classes.push((name.to_owned(), values));
                    }
                }
            }
            Some(("fastai.tabular.core", "FillMissing")) => {
                let adds = pickle.attr(*id, "add_col").and_then(|a| pickle.bool(a)) == Some(true);
                let filled = pickle.attr(*id, "na_dict").and_then(|n| pickle.pairs(n)).unwrap_or(&[]);
                let filled = filled.iter().filter(|_| adds).filter_map(|(name, _)| pickle.str(*name));
                let filled = filled.take(MAX_COLUMNS).filter(|name| pickle.copy(name.len()).is_some());
                found.filled.extend(filled.map(str::to_owned));
            }
            Some(("fastai.data.transforms", "Categorize")) => {
                let vocabulary = pickle.attr(*id, "vocab").and_then(|v| categories(pickle, v));
                found.vocabulary = found.vocabulary.or(vocabulary);
            }
            _ => {}
        }
    }
    found
}

/// The type of a column by its categories; `#na#` stands for a value that is missing.
fn kind(classes: &[Value]) -> Option<DType> {
    let mut values = classes.iter().filter(|v| v.as_str() != Some("#na#")).peekable();
    values.peek()?;
    let all = |test: fn(&Value) -> bool| classes.iter().filter(|v| v.as_str() != Some("#na#")).all(test);
    if all(Value::is_string) {
        Some(DType::String)
    } else if all(Value::is_i64) {
        Some(DType::Int64)
    } else if all(Value::is_boolean) {
        Some(DType::Bool)
    } else if all(Value::is_f64) {
        Some(DType::Float64)
    } else {
        None
    }
}

/// The second dimension of the output, `Some(None)` where there is none; `None` where it is unknown.
fn width(pickle: &Pickle, model: Id, collaborative: Option<(&str, &str)>) -> Option<Option<u64>> {
    // The dot product of two embeddings is one number for each row.
    if collaborative.is_some_and(|(_, name)| name == "EmbeddingDotBias") {
        return Some(None);
    }
    // The last linear layer, wherever it lies; what follows it does not change the shape.
    let layers = modules::children(pickle, model).into_iter().find(|(name, _)| name == "layers")?.1;
    let mut todo = vec![layers];
    let mut last = None;
    let mut seen = 0;
    while let Some(id) = todo.pop() {
        seen += 1;
        if seen > MAX_COLUMNS {
            return None;
        }
        if modules::class(pickle, id) == Some(("torch.nn.modules.linear", "Linear")) {
            last = pickle
                .attr(id, "out_features")
                .and_then(|n| pickle.int(n))
                .and_then(|n| u64::try_from(n).ok());
        }
        todo.extend(modules::children(pickle, id).into_iter().rev().map(|(_, child)| child));
    }
    last.map(Some)
}

/// The type of the model's weights: of the first that is found.
fn float(pickle: &Pickle, model: Id) -> Option<DType> {
    let mut todo = vec![model];
    let mut seen = 0;
    while let Some(id) = todo.pop() {
        seen += 1;
        if seen > MAX_COLUMNS {
            return None;
        }
        if let Some(info) = own_tensor(pickle, id, "weight") {
            return info.dtype.and_then(|d| d.parse().ok());
        }
        todo.extend(modules::children(pickle, id).into_iter().rev().map(|(_, child)| child));
    }
    None
}
