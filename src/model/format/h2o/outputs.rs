//! What a MOJO takes beside its columns, and what it gives, by the category of the model.
//!
//! The names are those of the frame that `predict` gives in H2O (hex/Model.java `makeScoringNames`,
//! and the same of each algorithm).

use std::collections::BTreeSet;

use crate::error::Result;
use crate::model::contract::{DType, Known, Tensor};
use crate::model::format::{MAX_ENTRIES, Reading};

use super::ini::Ini;
use super::{Files, levels};

/// The longest list of names of columns beside `model.ini`.
const MAX_LIST: u64 = 1 << 20;

/// The type of a column without levels.
pub(super) fn input(ini: &Ini) -> DType {
    if ini.info("category") == Some("WordEmbedding") { DType::String } else { DType::Float64 }
}

/// The columns that a caller of a GAM gives, where `model.ini` has those that are made of them.
pub(super) fn gam(ini: &Ini, files: &Files<'_>) -> Result<Option<(Vec<String>, BTreeSet<String>)>> {
    if ini.info("algo") != Some("gam") {
        return Ok(None);
    }
    let list = |name: &str| -> Result<Vec<String>> {
        let bytes = files(name, MAX_LIST)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        Ok(text.lines().filter(|l| !l.is_empty()).take(MAX_ENTRIES).map(str::to_owned).collect())
    };
    Ok(Some((list("gam_columns")?, list("gamColNamesCenter")?.into_iter().collect())))
}

/// How many of the columns have a part in the prediction of a Cox model: those of the times come last
/// and have none.
pub(super) fn needed(ini: &Ini) -> usize {
    if ini.info("algo") != Some("coxph") {
        return usize::MAX;
    }
    // A stratified model has the strata as a column of its own making, behind those that it is given.
    if let Some(strata) = ini.columns.iter().position(|c| c == "__strata") {
        return strata;
    }
    let sum = ["cats", "num_numerical_columns", "strata_count"]
        .iter()
        .try_fold(0u64, |sum, key| sum.checked_add(ini.number(key)?));
    sum.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX)
}

fn column(name: impl Into<String>, dtype: DType) -> Tensor {
    Tensor::new(name, Some(dtype), Some(vec![None]), Known::Derived)
}

fn numbers<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Vec<Tensor> {
    names.into_iter().map(|n| column(n, DType::Float64)).collect()
}

/// `prefix1` to `prefixN`.
fn numbered(prefix: &str, count: Option<u64>) -> Option<Vec<Tensor>> {
    let count = count.filter(|n| *n <= MAX_ENTRIES as u64)?;
    Some(numbers((1..=count).map(|i| format!("{prefix}{i}"))))
}

/// The outputs; none where the category is not known, which is a warning.
pub(super) fn outputs(
    ini: &Ini,
    classes: Option<&[String]>,
    files: &Files<'_>,
    reading: &mut Reading,
) -> Result<Vec<Tensor>> {
    let found = match ini.info("category") {
        Some("Binomial" | "Multinomial" | "Ordinal") => {
            // A label that is an integer would be no name of a column.
            let label = |c: &String| if c.parse::<i32>().is_ok() { format!("p{c}") } else { c.clone() };
            classes.map(|classes| {
                let mut all = vec![column("predict", DType::String)];
                all.extend(numbers(classes.iter().map(label)));
                if ini.info("calib_method").is_some_and(|m| m != "null")
                    || ini.info("calib_glm_beta").is_some()
                {
                    all.extend(numbers(classes.iter().map(|c| format!("cal_{}", label(c)))));
                }
                all
            })
        }
        Some("Regression" | "HGLMRegression") => Some(numbers(["predict"])),
        Some("Clustering") => Some(vec![column("predict", DType::Int64)]),
        Some("CoxPH") => Some(numbers(["lp"])),
        Some("BinomialUplift") => {
            Some(numbers(["uplift_predict", "p_y1_with_treatment", "p_y1_without_treatment"]))
        }
        Some("AnomalyDetection") => match ini.info("algo") {
            Some("isolationforest") if ini.info("output_anomaly_flag") == Some("true") => {
                let mut all = vec![column("predict", DType::String)];
                all.extend(numbers(["score", "mean_length"]));
                Some(all)
            }
            Some("isolationforest") => Some(numbers(["predict", "mean_length"])),
            Some("isoforextended" | "extendedisolationforest") => {
                Some(numbers(["anomaly_score", "mean_length"]))
            }
            _ => None,
        },
        Some("WordEmbedding") => numbered("C", ini.number("vec_size")),
        Some("DimReduction") if ini.info("algo") == Some("pca") => numbered("PC", ini.number("k")),
        // Its `predict` gives the columns as the model sees them.
        Some("DimReduction") if ini.info("algo") == Some("glrm") => {
            let names = ini.columns.iter().enumerate().take(ini.features);
            let dtype = |at| if ini.domains.contains_key(&at) { DType::String } else { DType::Float64 };
            Some(names.map(|(at, name)| column(format!("reconstr_{name}"), dtype(at))).collect())
        }
        Some("TargetEncoder") => {
            let path = "feature_engineering/target_encoding/input_output_columns_map.ini";
            files(path, MAX_LIST)?.map(|bytes| encoded(&String::from_utf8_lossy(&bytes)))
        }
        Some("AutoEncoder") => reconstructed(ini, files, reading)?,
        _ => None,
    };
    match found {
        Some(mut found) => {
            unique(&mut found, reading);
            Ok(found)
        }
        None => {
            reading.warnings.push(format!(
                "what a model of H2O of the category `{}` gives is not known",
                ini.info("category").unwrap_or("?").escape_default()
            ));
            Ok(Vec::new())
        }
    }
}

/// The names under each `[to]`: what the encoder adds to the columns that it was given.
fn encoded(text: &str) -> Vec<Tensor> {
    let mut to = false;
    let mut names = Vec::new();
    for line in text.lines().map(str::trim).filter(|l| !l.is_empty()).take(MAX_ENTRIES) {
        match line {
            "[from]" => to = false,
            "[to]" => to = true,
            name if to => names.push(name),
            _ => {}
        }
    }
    numbers(names)
}

/// One column per number and one per level; the encoding is as wide as `cat_offsets` says.
fn reconstructed(ini: &Ini, files: &Files<'_>, reading: &mut Reading) -> Result<Option<Vec<Tensor>>> {
    let offsets: Option<Vec<u64>> =
        ini.list("cat_offsets").and_then(|l| l.into_iter().map(|n| n.parse().ok()).collect());
    let offsets = offsets.unwrap_or_default();
    let mut left = MAX_LIST;
    let mut names = Vec::new();
    let mut category = 0;
    for (at, name) in ini.columns.iter().enumerate().take(ini.features) {
        let Some(domain) = ini.domains.get(&at) else {
            names.push(format!("reconstr_{name}"));
            continue;
        };
        let Some(levels) = levels(files, domain, ini, &mut left, reading)? else { return Ok(None) };
        let width = offsets.get(category + 1).and_then(|end| end.checked_sub(offsets[category]));
        category += 1;
        let count = levels.len() as u64;
        names.extend(levels.into_iter().map(|level| format!("reconstr_{name}.{level}")));
        match width {
            Some(n) if n == count + 1 => names.push(format!("reconstr_{name}.missing(NA)")),
            Some(n) if n == count => {}
            _ => return Ok(None),
        }
        if names.len() > MAX_ENTRIES {
            return Ok(None);
        }
    }
    Ok(Some(numbers(names)))
}

/// Names are unique within one side; what H2O would make of two of one name is not known.
pub(super) fn unique(tensors: &mut [Tensor], reading: &mut Reading) {
    let mut seen = BTreeSet::new();
    for (place, tensor) in tensors.iter_mut().enumerate() {
        if !seen.insert(tensor.name.clone()) {
            reading.warnings.push(format!("two columns are named `{}`", tensor.name.escape_debug()));
            tensor.name = format!("{}#{place}", tensor.name);
            tensor.known.name = Known::Unknown;
            seen.insert(tensor.name.clone());
        }
    }
}
