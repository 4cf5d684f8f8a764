//! What else an estimator tells: its class, steps, parameters, labels, and what it needs.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::error::show_bytes;
use crate::model::format::Reading;
use crate::model::format::sklearn::rules::Rules;
use crate::model::format::sklearn::state::Part;
use crate::model::pickle::{Node, Read};

/// The most labels and parameters that are told.
const MAX_TOLD: usize = 1000;
/// How deep pipelines are looked through for labels.
const MAX_DEPTH: usize = 8;

/// The distributions that modules come from, where these are known.
const PACKAGES: &[(&str, &str)] = &[
    ("sklearn", "scikit-learn"),
    ("imblearn", "imbalanced-learn"),
    ("numpy", "numpy"),
    ("scipy", "scipy"),
    ("pandas", "pandas"),
    ("joblib", "joblib"),
    ("xgboost", "xgboost"),
    ("lightgbm", "lightgbm"),
    ("catboost", "catboost"),
    ("category_encoders", "category-encoders"),
    ("sklearn_pandas", "sklearn-pandas"),
    ("mlxtend", "mlxtend"),
    ("cloudpickle", "cloudpickle"),
    ("dill", "dill"),
    ("polars", "polars"),
];

/// The version of scikit-learn that the estimators were saved by, where all agree.
pub(super) fn version(all: &[(String, Part<'_>)]) -> Option<String> {
    let versions: BTreeSet<&str> = all.iter().filter_map(|(_, p)| find_version(*p, 0)).collect();
    match versions.len() {
        1 => versions.into_iter().next().map(str::to_owned),
        _ => None,
    }
}

/// Some hold it only in what they wrap.
fn find_version(part: Part<'_>, depth: usize) -> Option<&str> {
    if let Some(version) = part.text("_sklearn_version") {
        return Some(version);
    }
    if depth >= MAX_DEPTH {
        return None;
    }
    let steps = part.list("steps").into_iter().filter_map(|s| s.elements()?.get(1).copied());
    let inner = ["best_estimator_", "estimator", "estimator_"].iter().filter_map(|a| part.attr(a));
    steps.chain(inner).take(16).find_map(|p| find_version(p, depth + 1))
}

/// Packages without which the file cannot be loaded.
pub(super) fn packages(read: &Read, version: Option<&str>, reading: &mut Reading) {
    let mut names = BTreeSet::new();
    for one in &read.uses {
        let root = one.module.split('.').next().unwrap_or_default();
        names.extend(PACKAGES.iter().filter(|(module, _)| *module == root).map(|(_, package)| *package));
    }
    let list: Vec<String> = names
        .into_iter()
        .map(|name| match version {
            Some(version) if name == "scikit-learn" => format!("{name}=={version}"),
            _ => name.to_owned(),
        })
        .collect();
    reading.fact("packages", list);
}

fn qualified(part: Part<'_>) -> Option<String> {
    let (module, name) = part.class()?;
    Some(format!("{}.{}", show_bytes(module.as_bytes()), show_bytes(name.as_bytes())))
}

/// The class of an estimator.
pub(super) fn estimator(part: Part<'_>, reading: &mut Reading) {
    reading.fact("estimator", qualified(part));
}

/// The classes of several objects, by their place.
pub(super) fn objects(all: &[(String, Part<'_>)], reading: &mut Reading) {
    let names: BTreeMap<String, String> =
        all.iter().take(MAX_TOLD).filter_map(|(path, p)| Some((path.clone(), qualified(*p)?))).collect();
    reading.fact("sklearn.objects", json!(names));
    reading.framework_version = version(all);
}

/// Everything about the model itself.
pub(super) fn of(rules: &Rules, part: Part<'_>, reading: &mut Reading) {
    estimator(part, reading);
    let steps: Vec<Value> = part
        .list("steps")
        .into_iter()
        .filter_map(|s| {
            let parts = s.elements()?;
            let class = parts.get(1).and_then(|p| qualified(*p).or_else(|| p.as_text().map(str::to_owned)));
            Some(json!([parts.first()?.as_text()?, class]))
        })
        .take(MAX_TOLD)
        .collect();
    reading.fact("steps", steps);
    reading.fact("classes", labels(part, 0));
    reading.fact("params", params(part));
    if !part.is_ours() {
        return;
    }
    // What a search or a pipeline ends in.
    let mut last = part;
    for _ in 0..MAX_DEPTH {
        let step = last.list("steps").last().and_then(|s| s.elements()?.get(1).copied());
        match step.or_else(|| last.attr("best_estimator_")) {
            Some(inner) => last = inner,
            None => break,
        }
    }
    if last.id != part.id {
        reading.fact("sklearn.final_estimator", qualified(last));
    }
    let _ = rules;
}

/// The labels, where they are few: `classes_` of the model or of what it ends in.
fn labels(part: Part<'_>, depth: usize) -> Option<Vec<Value>> {
    if depth >= MAX_DEPTH {
        return None;
    }
    let own = part.attr("classes_").or_else(|| {
        ["label_binarizer_", "_label_binarizer", "le_", "_le"]
            .iter()
            .find_map(|a| part.attr(a)?.attr("classes_"))
    });
    if let Some(classes) = own {
        return values(classes);
    }
    let step = part.list("steps").last().and_then(|s| s.elements()?.get(1).copied());
    let inner = ["best_estimator_", "estimator_", "estimator"].iter().find_map(|a| part.attr(a));
    labels(step.or(inner)?, depth + 1)
}

/// Values of an array of labels as JSON.
fn values(part: Part<'_>) -> Option<Vec<Value>> {
    let array = part.values()?;
    if array.shape.len() != 1 || array.len()? > MAX_TOLD as u64 {
        return None;
    }
    if let Some(texts) = part.texts() {
        return Some(texts.into_iter().map(Value::from).collect());
    }
    if array.is_bool() {
        return Some(array.ints()?.into_iter().map(|n| Value::from(n != 0)).collect());
    }
    if let Some(objects) = part.elements() {
        return objects.into_iter().map(scalar).collect();
    }
    match array.ints() {
        Some(all) => Some(all.into_iter().map(Value::from).collect()),
        None => Some(array.floats()?.into_iter().map(Value::from).collect()),
    }
}

/// A plain value as JSON.
fn scalar(part: Part<'_>) -> Option<Value> {
    Some(match part.node() {
        Node::None => Value::Null,
        Node::Bool(b) => Value::from(*b),
        Node::Int(n) => Value::from(*n),
        Node::Float(x) => serde_json::Number::from_f64(*x).map_or(Value::from(x.to_string()), Value::from),
        Node::Str(_) | Node::Bytes(_) => Value::from(part.as_text().filter(|t| t.len() <= 1000)?),
        _ => return None,
    })
}

/// The parameters of an estimator that are plain values: attributes that fitting does not leave.
fn params(part: Part<'_>) -> Map<String, Value> {
    let own = part.attributes().into_iter().filter(|n| !n.starts_with('_') && !n.ends_with('_'));
    own.take(MAX_TOLD)
        .filter_map(|name| {
            let value = if part.has_value(name) { scalar(part.attr(name)?)? } else { Value::Null };
            Some((name.to_owned(), value))
        })
        .collect()
}
