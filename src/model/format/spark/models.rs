//! What classifiers, regressors, clusterings and recommenders read and write.
//!
//! A label, a weight or a censor is read in training only, so that it is no input. Parameters that
//! name a result and are empty mean that there is none.

use serde_json::Value;

use crate::error::Result;
use crate::model::contract::DType;
use crate::model::format::spark::Stage;
use crate::model::format::spark::columns::{Columns, Kind};
use crate::model::format::{join, json};

/// What is known of the sizes of a model.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sizes {
    /// How wide the vector is that goes in.
    pub features: Option<u64>,
    /// How many classes or clusters there are.
    pub classes: Option<u64>,
}

/// Whether the class is known; then its columns are read and written.
pub(super) fn apply(s: &Stage<'_>, c: &mut Columns) -> Result<Option<Sizes>> {
    let m = &s.meta;
    let Some(sizes) = sizes(s)? else { return Ok(None) };
    let name = m.short();
    match name {
        "ALSModel" => {
            for param in ["userCol", "itemCol"] {
                if let Some(input) = m.text(param) {
                    let id = c.read(input);
                    c.is(id, Kind::Scalar, None);
                }
            }
            scalar(s, c, "predictionCol", DType::Float32);
            return Ok(Some(sizes));
        }
        "FPGrowthModel" => {
            let item = item_type(s)?;
            if let Some(input) = m.text("itemsCol") {
                let id = c.read(input);
                c.is(id, Kind::List, item);
            }
            if let Some(output) = m.text("predictionCol") {
                c.write(output, Kind::List, item);
            }
            return Ok(Some(sizes));
        }
        _ => {}
    }
    if let Some(input) = m.text("featuresCol") {
        let id = c.read(input);
        // A number, or a vector of which one is taken.
        if name == "IsotonicRegressionModel" {
            if m.is_sparks() && c.dtype(id).is_none() {
                c.is(id, Kind::Unknown, Some(DType::Float64));
            }
        } else {
            c.is_vector(id, sizes.features);
        }
    }
    match name {
        "KMeansModel" | "BisectingKMeansModel" => scalar(s, c, "predictionCol", DType::Int32),
        "GaussianMixtureModel" => {
            vector(s, c, "probabilityCol", sizes.classes);
            scalar(s, c, "predictionCol", DType::Int32);
        }
        "LocalLDAModel" | "DistributedLDAModel" => vector(s, c, "topicDistributionCol", sizes.classes),
        "AFTSurvivalRegressionModel" => {
            scalar(s, c, "predictionCol", DType::Float64);
            vector(s, c, "quantilesCol", m.length("quantileProbabilities"));
        }
        "GeneralizedLinearRegressionModel" => {
            if let Some(input) = m.text("offsetCol") {
                let id = c.read(input);
                c.is(id, Kind::Scalar, None);
            }
            scalar(s, c, "predictionCol", DType::Float64);
            scalar(s, c, "linkPredictionCol", DType::Float64);
        }
        _ => {
            if m.class.contains(".classification.") {
                // Python's OneVsRest of 2.4 knows the parameter and gives no such column.
                if name != "OneVsRestModel" || m.since(3, 0) {
                    vector(s, c, "rawPredictionCol", sizes.classes);
                }
                vector(s, c, "probabilityCol", sizes.classes);
            }
            scalar(s, c, "predictionCol", DType::Float64);
            scalar(s, c, "varianceCol", DType::Float64);
            if name.starts_with("DecisionTree") {
                scalar(s, c, "leafCol", DType::Float64);
            } else {
                vector(s, c, "leafCol", m.extra("numTrees"));
            }
        }
    }
    Ok(Some(sizes))
}

fn scalar(s: &Stage<'_>, c: &mut Columns, param: &str, dtype: DType) {
    if let Some(output) = s.meta.text(param) {
        c.write(output, Kind::Scalar, Some(dtype));
    }
}

fn vector(s: &Stage<'_>, c: &mut Columns, param: &str, width: Option<u64>) {
    if let Some(output) = s.meta.text(param) {
        c.write_vector(output, width);
    }
}

/// The sizes that a model's files tell; `None` where the class is not known.
fn sizes(s: &Stage<'_>) -> Result<Option<Sizes>> {
    let (m, data) = (&s.meta, &s.data);
    let of = |features, classes| Ok(Some(Sizes { features, classes }));
    match m.short() {
        "LogisticRegressionModel" => {
            let features = match data.count("numFeatures")? {
                Some(n) => Some(n),
                None => data.vector("coefficients")?,
            };
            of(features, data.count("numClasses")?)
        }
        "LinearSVCModel" => of(data.vector("coefficients")?, Some(2)),
        "DecisionTreeClassificationModel" | "RandomForestClassificationModel" => {
            of(m.extra("numFeatures"), m.extra("numClasses"))
        }
        "GBTClassificationModel" => of(m.extra("numFeatures"), Some(2)),
        "DecisionTreeRegressionModel" | "RandomForestRegressionModel" | "GBTRegressionModel" => {
            of(m.extra("numFeatures"), None)
        }
        "NaiveBayesModel" => of(data.count("theta.numCols")?, data.count("theta.numRows")?),
        "MultilayerPerceptronClassificationModel" => {
            let layers: Vec<i64> = match m.param("layers").and_then(Value::as_array) {
                Some(list) => list.iter().filter_map(Value::as_i64).collect(),
                None => data.ask(|t| t.ints("layers", 1024))?.unwrap_or_default(),
            };
            let size = |n: Option<&i64>| n.and_then(|n| u64::try_from(*n).ok());
            of(size(layers.first()), size(layers.last()))
        }
        "FMClassificationModel" => of(data.count("factors.numRows")?, Some(2)),
        "FMRegressionModel" => of(data.count("factors.numRows")?, None),
        "LinearRegressionModel" | "GeneralizedLinearRegressionModel" | "AFTSurvivalRegressionModel" => {
            of(data.vector("coefficients")?, None)
        }
        "IsotonicRegressionModel" | "ALSModel" | "FPGrowthModel" => of(None, None),
        "KMeansModel" => of(data.vector("clusterCenter")?, m.count("k")),
        "BisectingKMeansModel" => {
            of(data.beside(join(&s.folder, b"data/data")).vector("center")?, m.count("k"))
        }
        "GaussianMixtureModel" => {
            let k = data.length("weights")?;
            of(data.vector("mus")?, k.or(m.count("k")))
        }
        "LocalLDAModel" => of(data.count("vocabSize")?, m.count("k")),
        // The model of mllib inside says how many words there are.
        "DistributedLDAModel" => {
            let old = s.beside(&join(&s.folder, b"oldModel"))?;
            of(old.and_then(|old| old.meta.extra("vocabSize")), m.count("k"))
        }
        "OneVsRestModel" => {
            let one = s.beside(&join(&s.folder, b"model_0"))?;
            let features = match &one {
                // Another one inside would be as wide; such a chain has no end that is worth it.
                Some(one) if one.meta.short() != "OneVsRestModel" => sizes(one)?.and_then(|z| z.features),
                _ => None,
            };
            of(features, m.extra("numClasses"))
        }
        _ => Ok(None),
    }
}

/// The type of the items of a basket, from Spark's schema of the saved table.
fn item_type(s: &Stage<'_>) -> Result<Option<DType>> {
    let schema = s.data.ask(|t| Ok(t.key("org.apache.spark.sql.parquet.row.metadata").map(str::to_owned)))?;
    let schema: Option<Value> = schema.and_then(|text| json::parse(text.as_bytes()).ok());
    let items = schema.as_ref().and_then(|v| {
        let fields = v.get("fields")?.as_array()?;
        fields.iter().find(|f| f.get("name").and_then(Value::as_str) == Some("items"))
    });
    let kind = items.and_then(|f| f.get("type")?.get("elementType")?.as_str());
    Ok(kind.and_then(|kind| {
        Some(match kind {
            "string" => DType::String,
            "double" => DType::Float64,
            "float" => DType::Float32,
            "long" => DType::Int64,
            "integer" => DType::Int32,
            "short" => DType::Int16,
            "byte" => DType::Int8,
            "boolean" => DType::Bool,
            _ => return None,
        })
    }))
}
