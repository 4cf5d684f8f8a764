//! The operators of classical machine learning, domain `ai.onnx.ml` (onnx/docs/Operators-ml.md).

use crate::error::Result;
use crate::model::contract::DType;
use crate::model::format::onnx::infer::{Node, Val};
use crate::model::format::onnx::ops::{same_as_first, shapes::product, val};
use crate::model::format::onnx::types::{Dim, Type};

/// The types of a node's outputs, as many as can be told.
pub(super) fn apply(node: &Node<'_, '_>) -> Result<Vec<Option<Val>>> {
    let rows = match node.tensor(0) {
        Some((_, Some(s))) if s.len() == 2 => s[0].clone(),
        Some((_, Some(s))) if s.len() == 1 => Dim::Size(1),
        _ => Dim::Unknown,
    };
    let ranked = matches!(node.tensor(0), Some((_, Some(s))) if matches!(s.len(), 1 | 2));
    let rows_of = |elem| val(Some(elem), ranked.then(|| vec![rows.clone()]));
    Ok(match node.op.as_str() {
        "Scaler" | "Normalizer" => vec![node.tensor(0).map(|(_, s)| val(Some(DType::Float32), s.cloned()))],
        "Imputer" | "Binarizer" => vec![same_as_first(node)],
        "TreeEnsembleClassifier" | "LinearClassifier" | "SVMClassifier" => {
            let texts = ["classlabels_strings", "string_labels"];
            let mut named = 0;
            for attr in texts {
                named += node.count(attr)?;
            }
            let mut numbered = 0;
            for attr in ["classlabels_int64s", "classlabels_ints"] {
                numbered += node.count(attr)?;
            }
            let label = if named > 0 { DType::String } else { DType::Int64 };
            let classes = if named > 0 { named } else { numbered };
            // Without probabilities, an SVM gives one score per pair of classes.
            let pairs = node.op == "SVMClassifier" && !node.has_attr("prob_a");
            let columns = if pairs { Dim::Unknown } else { Dim::Size(classes) };
            let scores = (ranked && classes > 1).then(|| vec![rows.clone(), columns]);
            vec![Some(rows_of(label)), Some(val(Some(DType::Float32), scores))]
        }
        "TreeEnsembleRegressor" | "LinearRegressor" | "SVMRegressor" => {
            let attr = if node.op == "LinearRegressor" { "targets" } else { "n_targets" };
            let targets = match node.int(attr)? {
                Some(n) => u64::try_from(n).ok(),
                None => (node.op != "TreeEnsembleRegressor").then_some(1),
            };
            let last = targets.map_or(Dim::Unknown, Dim::Size);
            vec![Some(val(Some(DType::Float32), ranked.then(|| vec![rows.clone(), last])))]
        }
        "ZipMap" => {
            let key = if node.count("classlabels_strings")? > 0 { DType::String } else { DType::Int64 };
            let row = Type::Map(Some(key), Box::new(Type::tensor(Some(DType::Float32), None)));
            vec![Some(Val::new(Type::Sequence(Box::new(row))))]
        }
        "LabelEncoder" => {
            let elem = [
                ("values_strings", DType::String),
                ("values_int64s", DType::Int64),
                ("values_floats", DType::Float32),
            ]
            .into_iter()
            .find(|(attr, _)| node.has_attr(attr))
            .map(|(_, d)| d);
            let elem = match node.weight("values_tensor")? {
                Some(Val { ty: Type::Tensor { elem, .. }, .. }) => elem,
                _ => elem,
            };
            vec![node.tensor(0).map(|(_, s)| val(elem, s.cloned()))]
        }
        "ArrayFeatureExtractor" => {
            // All numbers of the second input are places, however they are laid out
            // (onnxruntime/core/providers/cpu/ml/array_feature_extractor.cc).
            let picked = node.tensor(1).and_then(|t| t.1).map_or(Dim::Unknown, |y| product(y));
            vec![node.tensor(0).map(|(e, s)| {
                let rows = s.map(|s| {
                    if s.len() == 1 { vec![Dim::Size(1)] } else { s[..s.len().saturating_sub(1)].to_vec() }
                });
                val(e, rows.map(|rows| [rows, vec![picked]].concat()))
            })]
        }
        "OneHotEncoder" => {
            let n = node.count("cats_int64s")? + node.count("cats_strings")?;
            let shape = node.tensor(0).and_then(|t| t.1).map(|s| [&s[..], &[Dim::Size(n)]].concat());
            vec![Some(val(Some(DType::Float32), shape))]
        }
        "FeatureVectorizer" => {
            let sizes = node.ints("inputdimensions")?.unwrap_or_default();
            let sum = sizes.iter().try_fold(0u64, |a, b| a.checked_add(u64::try_from(*b).ok()?));
            let last = sum.filter(|_| sizes.len() == node.inputs.len()).map_or(Dim::Unknown, Dim::Size);
            vec![Some(val(Some(DType::Float32), ranked.then(|| vec![rows.clone(), last])))]
        }
        "CategoryMapper" => {
            let elem = match node.tensor(0).and_then(|t| t.0) {
                Some(DType::String) => Some(DType::Int64),
                Some(DType::Int64) => Some(DType::String),
                _ => None,
            };
            vec![node.tensor(0).map(|(_, s)| val(elem, s.cloned()))]
        }
        "CastMap" => {
            let elem = match node.text("cast_to")?.as_deref() {
                None | Some("TO_FLOAT") => Some(DType::Float32),
                Some("TO_INT64") => Some(DType::Int64),
                Some("TO_STRING") => Some(DType::String),
                Some(_) => None,
            };
            vec![Some(val(elem, None))]
        }
        "DictVectorizer" => match node.input(0).map(|v| &v.ty) {
            Some(Type::Map(_, value)) => match &**value {
                Type::Tensor { elem, .. } => vec![Some(val(*elem, None))],
                _ => vec![None],
            },
            _ => vec![None],
        },
        "TreeEnsemble" => {
            let targets = node.int("n_targets")?.and_then(|n| u64::try_from(n).ok());
            let last = targets.map_or(Dim::Unknown, Dim::Size);
            let elem = node.tensor(0).and_then(|t| t.0);
            vec![Some(val(elem, ranked.then(|| vec![rows.clone(), last])))]
        }
        _ => vec![None],
    })
}
