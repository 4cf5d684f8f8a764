//! The export as JSON: `features_info`, `model_info`, the trees, `scale_and_bias`
//! (catboost/libs/model/model_export/json_model_helpers.cpp).

use serde_json::{Map, Value as Kept, json};

use crate::error::{Error, Kind as ErrorKind, Result};
use crate::model::format::{MAX_ENTRIES, Reading};
use crate::model::pb::Source;
use crate::model::pull::{Json, Pull, Stream, Value};

use super::{Kind, Model};

/// How many bytes of a document are passed over at most.
const LIMIT: u64 = 512 << 20;
/// How deep and how long the settings inside may be that are kept.
const MAX_KEPT: usize = 100_000;

/// Whether a file begins as such a document does.
pub(super) fn looks_like(head: &[u8]) -> bool {
    let has = |key: &[u8]| head.windows(key.len()).any(|w| w == key);
    // Keys are sorted: tables of categories may come before everything else.
    head.trim_ascii_start().starts_with(b"{")
        && (has(b"\"features_info\"")
            && (has(b"\"float_features\"") || has(b"\"categorical_features\"") || has(b"\"text_features\""))
            || has(b"\"ctr_data\"") && has(b"\"hash_map\""))
}

/// Reads a model.
pub(super) fn read(source: &dyn Source, reading: &mut Reading) -> Result<Model> {
    let mut model = Model::default();
    let mut p = Json::new(Stream::new(source, 0, LIMIT));
    match document(&mut model, &mut p) {
        Err(_) if p.stopped() => {
            reading.warnings.push(format!(
                "of a model of CatBoost as JSON at most {} MiB are read, and what comes later is unknown",
                LIMIT >> 20
            ));
            Ok(model)
        }
        other => other.map(|()| model),
    }
}

fn document(model: &mut Model, p: &mut dyn Pull) -> Result<()> {
    if !p.object()? {
        return Err(Error::new(ErrorKind::Model, "the document is no object"));
    }
    while let Some(key) = p.key()? {
        match key.as_str() {
            "features_info" => {
                if !p.object()? {
                    continue;
                }
                while let Some(key) = p.key()? {
                    match key.as_str() {
                        "float_features" => features(model, p, Kind::Float)?,
                        "categorical_features" => features(model, p, Kind::Categorical)?,
                        "text_features" => features(model, p, Kind::Text)?,
                        "embedding_features" => features(model, p, Kind::Embedding)?,
                        _ => p.skip()?,
                    }
                }
            }
            "model_info" => {
                if !p.object()? {
                    continue;
                }
                while let Some(key) = p.key()? {
                    match key.as_str() {
                        "params" => model.params = kept(p)?,
                        "class_params" | "multiclass_params" => model.class_params = kept(p)?,
                        "catboost_version_info" => model.version_info = p.scalar()?,
                        _ => p.skip()?,
                    }
                }
            }
            "oblivious_trees" | "trees" => {
                let mut trees = 0;
                if p.list()? {
                    while p.more()? {
                        p.skip()?;
                        trees += 1;
                    }
                }
                model.trees = Some(trees);
            }
            "scale_and_bias" => bias(model, p)?,
            _ => p.skip()?,
        }
    }
    Ok(())
}

/// `[scale, [bias, …]]` with one bias per number that comes out; `[scale, bias]` in old versions.
fn bias(model: &mut Model, p: &mut dyn Pull) -> Result<()> {
    if !p.list()? {
        return Ok(());
    }
    let mut at = 0;
    while p.more()? {
        if at == 1 {
            match p.value()? {
                Value::List => {
                    let mut n = 0;
                    while p.more()? {
                        p.skip()?;
                        n += 1;
                    }
                    model.dimension = Some(n).filter(|n| *n > 0);
                }
                Value::Object => {
                    while p.key()?.is_some() {
                        p.skip()?;
                    }
                }
                _ => {}
            }
        } else {
            p.skip()?;
        }
        at += 1;
    }
    Ok(())
}

fn features(model: &mut Model, p: &mut dyn Pull, kind: Kind) -> Result<()> {
    if !p.list()? {
        return Ok(());
    }
    while p.more()? {
        let (mut place, mut name) = (None, None);
        if p.object()? {
            while let Some(key) = p.key()? {
                match key.as_str() {
                    "flat_feature_index" => place = p.scalar()?.and_then(|n| n.parse::<u64>().ok()),
                    "feature_id" | "feature_name" => name = p.scalar()?.filter(|n| !n.is_empty()),
                    _ => p.skip()?,
                }
            }
        }
        let Some(place) = place else {
            return Err(Error::new(ErrorKind::Model, "a feature without a place in a row"));
        };
        if model.features.len() >= MAX_ENTRIES {
            return Err(Error::new(ErrorKind::Model, format!("more than {MAX_ENTRIES} features")));
        }
        model.feature(place, kind, name)?;
    }
    Ok(())
}

/// A value as it is: settings, which are small. Lists and objects are built without recursion.
fn kept(p: &mut dyn Pull) -> Result<Kept> {
    enum Open {
        List(Vec<Kept>),
        Object(Map<String, Kept>, String),
    }
    let mut open: Vec<Open> = Vec::new();
    let mut left = MAX_KEPT;
    loop {
        // What comes next: a value, or the end of the innermost container.
        let more = match open.last_mut() {
            None => true,
            Some(Open::List(_)) => p.more()?,
            Some(Open::Object(_, key)) => match p.key()? {
                Some(next) => {
                    *key = next;
                    true
                }
                None => false,
            },
        };
        let done = if more {
            left = left
                .checked_sub(1)
                .ok_or_else(|| Error::new(ErrorKind::Model, format!("more than {MAX_KEPT} settings")))?;
            match p.value()? {
                Value::Object => {
                    open.push(Open::Object(Map::new(), String::new()));
                    continue;
                }
                Value::List => {
                    open.push(Open::List(Vec::new()));
                    continue;
                }
                Value::Text(t) => Kept::String(t),
                Value::Number(n) if n.fract() == 0.0 && n.abs() < 9e15 => json!(n as i64),
                Value::Number(n) => json!(n),
                Value::Bool(b) => json!(b),
                Value::Null | Value::Long => Kept::Null,
            }
        } else {
            match open.pop() {
                Some(Open::List(v)) => Kept::Array(v),
                Some(Open::Object(v, _)) => Kept::Object(v),
                None => Kept::Null,
            }
        };
        match open.last_mut() {
            None => return Ok(done),
            Some(Open::List(v)) => v.push(done),
            Some(Open::Object(v, key)) => drop(v.insert(std::mem::take(key), done)),
        }
    }
}
