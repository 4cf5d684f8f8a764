//! What the stages of `org.apache.spark.ml.feature` read and write.
//!
//! The rules are those of each class's `transformSchema` and `transform`; names of columns in saved
//! data are those of its `saveImpl`.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::error::Result;
use crate::model::contract::DType;
use crate::model::format::spark::Stage;
use crate::model::format::spark::columns::{Columns, Id, Kind, Rule};
use crate::model::format::spark::sql::{self, Item};

/// What HashingTF and FeatureHasher make by default.
const HASHED: u64 = 1 << 18;
/// The most labels of an indexer that are looked at.
const MAX_LABELS: usize = 10_000;
/// The most columns of one encoder.
const MAX_COLUMNS: usize = 100_000;

/// Whether the class is known; then its columns are read and written.
pub(super) fn apply(s: &Stage<'_>, c: &mut Columns) -> Result<bool> {
    let m = &s.meta;
    let data = &s.data;
    match m.short() {
        "Tokenizer" | "RegexTokenizer" => {
            for (input, output) in pairs(s) {
                let id = c.read(input);
                c.is(id, Kind::Scalar, Some(DType::String));
                c.write(output, Kind::List, Some(DType::String));
            }
        }
        "StopWordsRemover" | "NGram" => {
            for (input, output) in pairs(s) {
                words(c, input);
                c.write(output, Kind::List, Some(DType::String));
            }
        }
        "HashingTF" => {
            for (input, output) in pairs(s) {
                let id = c.read(input);
                c.is(id, Kind::List, None);
                c.write_vector(output, Some(m.count("numFeatures").unwrap_or(HASHED)));
            }
        }
        "CountVectorizerModel" => {
            let width = data.length("vocabulary")?;
            for (input, output) in pairs(s) {
                words(c, input);
                c.write_vector(output, width);
            }
        }
        "Word2VecModel" => {
            for (input, output) in pairs(s) {
                words(c, input);
                c.write_vector(output, m.count("vectorSize"));
            }
        }
        "FeatureHasher" => {
            for input in m.columns("inputCol", "inputCols") {
                let id = c.read(input);
                c.is(id, Kind::Scalar, None);
            }
            if let Some(output) = m.text("outputCol") {
                c.write_vector(output, Some(m.count("numFeatures").unwrap_or(HASHED)));
            }
        }
        "IDFModel" => same(s, c, data.vector("idf")?),
        "StandardScalerModel" => same(s, c, data.vector("std")?),
        "MinMaxScalerModel" => same(s, c, data.vector("originalMin")?),
        "MaxAbsScalerModel" => same(s, c, data.vector("maxAbs")?),
        "RobustScalerModel" => same(s, c, data.vector("range")?),
        "ElementwiseProduct" => same(s, c, m.vector("scalingVec")),
        "Normalizer" | "DCT" => same(s, c, None),
        "VectorIndexerModel" => {
            let width = data.count("numFeatures")?;
            for (input, output) in pairs(s) {
                let from = c.read(input);
                c.is_vector(from, width);
                let to = c.write_vector(output, width);
                c.categories(to, None);
            }
        }
        "VectorSizeHint" => {
            if let Some(input) = m.text("inputCol") {
                let id = c.read(input);
                c.is_vector(id, m.count("size"));
            }
        }
        "PCAModel" => {
            let (width, k) = (data.count("pc.numRows")?, data.count("pc.numCols")?);
            for (input, output) in pairs(s) {
                let id = c.read(input);
                c.is_vector(id, width);
                c.write_vector(output, k.or(m.count("k")));
            }
        }
        "PolynomialExpansion" => {
            for (input, output) in pairs(s) {
                let from = c.read(input);
                c.is_vector(from, None);
                let to = c.write_vector(output, None);
                c.rule(Rule::Polynomial(to, from, m.count("degree").unwrap_or(2)));
            }
        }
        "VectorSlicer" => {
            for (input, output) in pairs(s) {
                let id = c.read(input);
                c.is_vector(id, None);
                let (indices, names) = (m.length("indices"), m.length("names"));
                let width = (indices.is_some() || names.is_some())
                    .then(|| indices.unwrap_or(0).saturating_add(names.unwrap_or(0)));
                c.write_vector(output, width);
            }
        }
        "ChiSqSelectorModel" | "UnivariateFeatureSelectorModel" | "VarianceThresholdSelectorModel" => {
            if let (Some(input), Some(output)) = (m.text("featuresCol"), m.text("outputCol")) {
                let id = c.read(input);
                c.is_vector(id, None);
                c.write_vector(output, data.length("selectedFeatures")?);
            }
        }
        "BucketedRandomProjectionLSHModel" => {
            let width = match data.count("randUnitVectors.numCols")? {
                Some(n) => Some(n),
                // Before 3.0 the vectors lie one by one.
                None => data.vector("randUnitVectors")?,
            };
            hashes(s, c, width);
        }
        "MinHashLSHModel" => hashes(s, c, None),
        "VectorAssembler" => {
            let parts: Vec<Id> = m.columns("inputCol", "inputCols").into_iter().map(|n| c.read(n)).collect();
            for part in parts.iter().filter(|_| c.assembles_numbers).copied().collect::<Vec<_>>() {
                if c.width(part).is_none() {
                    c.is(part, Kind::Scalar, None);
                }
            }
            if let Some(output) = m.text("outputCol") {
                let to = c.write_vector(output, None);
                c.rule(Rule::Sum(to, parts));
            }
        }
        "Interaction" => {
            let parts: Vec<Id> = m.columns("inputCol", "inputCols").into_iter().map(|n| c.read(n)).collect();
            // A category is as wide here as it has values.
            let (categories, numbers): (Vec<Id>, Vec<Id>) = parts.into_iter().partition(|p| c.nominal(*p));
            let times = categories.iter().try_fold(1u64, |n, p| n.checked_mul(c.categories_of(*p)?));
            if let Some(output) = m.text("outputCol") {
                let to = c.write_vector(output, None);
                if let Some(times) = times {
                    c.rule(Rule::Product(to, numbers, times));
                }
            }
        }
        "Bucketizer" | "QuantileDiscretizer" => {
            for (input, output) in pairs(s) {
                let id = c.read(input);
                c.is(id, Kind::Scalar, None);
                let to = c.write(output, Kind::Scalar, Some(DType::Float64));
                c.categories(to, None);
            }
        }
        "Binarizer" => {
            for (input, output) in pairs(s) {
                let from = c.read(input);
                let to = c.write(output, Kind::Unknown, Some(DType::Float64));
                c.rule(Rule::Same(to, from));
            }
        }
        "ImputerModel" => {
            for (input, output) in pairs(s) {
                let id = c.read(input);
                c.is(id, Kind::Scalar, None);
                let dtype = c.dtype(id);
                c.write(output, Kind::Scalar, dtype);
            }
        }
        "TargetEncoderModel" => {
            for (input, output) in pairs(s) {
                let id = c.read(input);
                c.is(id, Kind::Scalar, None);
                c.write(output, Kind::Scalar, Some(DType::Float64));
            }
        }
        "StringIndexerModel" => indexer(s, c)?,
        "IndexToString" => {
            for (input, output) in pairs(s) {
                let id = c.read(input);
                c.is(id, Kind::Scalar, None);
                c.write(output, Kind::Scalar, Some(DType::String));
            }
        }
        "OneHotEncoder" => {
            for (input, output) in pairs(s) {
                let id = c.read(input);
                c.is(id, Kind::Scalar, None);
                let dropped = u64::from(m.flag("dropLast").unwrap_or(true));
                let width = c.categories_of(id).and_then(|n| n.checked_sub(dropped));
                c.write_vector(output, width);
            }
        }
        "OneHotEncoderModel" => {
            let sizes = data.ask(|t| t.ints("categorySizes", MAX_COLUMNS))?.unwrap_or_default();
            let (drop, keep) = (m.flag("dropLast").unwrap_or(true), m.text("handleInvalid") == Some("keep"));
            for (i, (input, output)) in pairs(s).into_iter().enumerate() {
                let id = c.read(input);
                c.is(id, Kind::Scalar, None);
                // What is dropped last is the place of invalid values, where there is one.
                let width = sizes.get(i).and_then(|n| {
                    u64::try_from(*n).ok()?.checked_add(u64::from(keep))?.checked_sub(u64::from(drop))
                });
                c.write_vector(output, width);
            }
        }
        "SQLTransformer" => select(s, c),
        // Inside of RFormulaModel: gives the vector's parts other names, and drops its own columns.
        "VectorAttributeRewriter" => {}
        "ColumnPruner" => {
            for name in data.ask(|t| t.texts("columnsToPrune", MAX_COLUMNS))?.unwrap_or_default() {
                c.drop_name(&name);
            }
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// Each input with its output.
fn pairs<'s>(s: &'s Stage<'_>) -> Vec<(&'s str, &'s str)> {
    let m = &s.meta;
    match m.texts("inputCols").filter(|l| !l.is_empty()) {
        Some(inputs) => inputs.into_iter().zip(m.texts("outputCols").unwrap_or_default()).collect(),
        None => m.text("inputCol").into_iter().zip(m.text("outputCol")).collect(),
    }
}

fn words(c: &mut Columns, input: &str) {
    let id = c.read(input);
    c.is(id, Kind::List, Some(DType::String));
}

/// A vector in, a vector out that is as wide.
fn same(s: &Stage<'_>, c: &mut Columns, width: Option<u64>) {
    for (input, output) in pairs(s) {
        let from = c.read(input);
        c.is_vector(from, width);
        let to = c.write_vector(output, width);
        c.rule(Rule::Same(to, from));
    }
}

/// A list of vectors of one number each, as many as there are tables.
fn hashes(s: &Stage<'_>, c: &mut Columns, width: Option<u64>) {
    for (input, output) in pairs(s) {
        let id = c.read(input);
        c.is_vector(id, width);
        let to = c.write(output, Kind::Vectors, Some(DType::Float64));
        c.is(to, Kind::Vectors, None);
        c.outer(to, s.meta.count("numHashTables"));
        c.one_wide(to);
    }
}

/// A text to its index. Where the column is not there, the stage does nothing.
fn indexer(s: &Stage<'_>, c: &mut Columns) -> Result<()> {
    let labels = match s.data.ask(|t| t.lists("labelsArray", MAX_COLUMNS))? {
        Some(counts) => {
            let few = counts.iter().sum::<u64>() <= MAX_LABELS as u64;
            let texts = if few { s.data.ask(|t| t.texts("labelsArray", MAX_LABELS + 1))? } else { None };
            let mut texts = texts.unwrap_or_default().into_iter();
            counts.iter().map(|n| (*n, texts.by_ref().take(*n as usize).collect::<Vec<_>>())).collect()
        }
        None => match s.data.length("labels")? {
            Some(n) if n <= MAX_LABELS as u64 => {
                vec![(n, s.data.ask(|t| t.texts("labels", MAX_LABELS + 1))?.unwrap_or_default())]
            }
            Some(n) => vec![(n, Vec::new())],
            None => Vec::new(),
        },
    };
    let kept = u64::from(s.meta.text("handleInvalid") == Some("keep"));
    for (i, (input, output)) in pairs(s).into_iter().enumerate() {
        let from = c.read_if_there(input);
        // A number becomes text like `1.0`; what does not look like one was text.
        let text = labels.get(i).is_some_and(|(_, l)| l.iter().any(|l| l.parse::<f64>().is_err()));
        c.is(from, Kind::Scalar, text.then_some(DType::String));
        let to = c.write(output, Kind::Scalar, Some(DType::Float64));
        c.categories(to, labels.get(i).map(|(n, _)| n.saturating_add(kept)));
        c.needs(to, from);
    }
    Ok(())
}

fn select(s: &Stage<'_>, c: &mut Columns) {
    let understood = s.meta.text("statement").and_then(sql::parse);
    let Some(all) = understood else {
        s.tell("columns after its statement are not known");
        c.lose_track();
        return;
    };
    for select in all {
        one_select(s, c, select);
    }
}

/// The columns of one selection.
fn one_select(s: &Stage<'_>, c: &mut Columns, select: sql::Select) {
    // In a statement the case of letters does not matter, where only one column is meant.
    let mut known: BTreeMap<String, Option<String>> = BTreeMap::new();
    for name in c.names() {
        let alike = known.entry(name.to_lowercase()).or_insert_with(|| Some(name.clone()));
        *alike = alike.take().filter(|n| n == name);
    }
    let read = |c: &mut Columns, name: &str| {
        let alike = known.get(&name.to_lowercase()).and_then(Option::as_deref);
        c.read(alike.filter(|_| !c.has(name)).unwrap_or(name))
    };
    for name in &select.conditions {
        read(c, name);
    }
    let all = select.items.contains(&Item::All);
    // From 3.4 on what follows in the list may mean what was computed, where no column has its name.
    let mut earlier: BTreeMap<String, usize> = BTreeMap::new();
    let lateral = s.meta.since(3, 4);
    let mut from_columns: Vec<Option<Id>> = Vec::with_capacity(select.items.len());
    let mut from_earlier: Vec<Option<usize>> = Vec::with_capacity(select.items.len());
    for (i, item) in select.items.iter().enumerate() {
        let reads: &[String] = match item {
            Item::All => &[],
            Item::Column { from, .. } => std::slice::from_ref(from),
            Item::Computed { reads, .. } => reads,
        };
        let (mut column, mut before) = (None, None);
        for name in reads {
            before = earlier.get(&name.to_lowercase()).copied().filter(|_| lateral && !c.has(name));
            if before.is_none() {
                column = Some(read(c, name));
            }
        }
        from_columns.push(column);
        from_earlier.push(before);
        if let Some(name) = item.name() {
            earlier.entry(name.to_lowercase()).or_insert(i);
        }
    }
    // All is read before anything is written, whose names may be those of columns that were read.
    let mut made: Vec<Option<Id>> = Vec::with_capacity(select.items.len());
    let mut kept: Vec<(String, Id)> = Vec::new();
    for (i, item) in select.items.into_iter().enumerate() {
        let id = match item {
            Item::All => None,
            Item::Column { name, .. } => {
                let from = from_columns[i].or_else(|| from_earlier[i].and_then(|e| made[e]));
                from.map(|from| (name.clone(), c.alias(&name, from)))
            }
            Item::Computed { name: Some(name), dtype, .. } => {
                let kind = if dtype.is_some() { Kind::Scalar } else { Kind::Unknown };
                Some((name.clone(), c.write(&name, kind, dtype)))
            }
            Item::Computed { name: None, .. } => {
                s.tell(
                    "a column of its statement has a name that Spark makes up, and is not in the contract",
                );
                None
            }
        };
        made.push(id.as_ref().map(|(_, id)| *id));
        kept.extend(id);
    }
    if !all {
        c.select(kept);
    }
}

/// The labels that an IndexToString names itself.
pub(super) fn labels(s: &Stage<'_>) -> Option<Vec<Value>> {
    let labels = s.meta.param("labels")?.as_array().filter(|l| !l.is_empty() && l.len() <= MAX_LABELS)?;
    Some(labels.clone())
}
