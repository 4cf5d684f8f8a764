//! What tract is trusted with: what it registers, by domain, less what it gets wrong.
//!
//! tract looks operators up by their name alone, so that a `Relu` of anybody's own domain would run
//! as the standard's; here the domain counts. The rest was measured with tract 0.23.9 and the
//! backend tests of onnx 1.23: tract leaves out attributes that it does not know.

use tract_onnx::pb::NodeProto;

use super::{Facts, Refused, attribute, elem, float, has_input, int, ints, text};
use crate::engine::ml;
use crate::engine::operators::Operator;

/// The operators of `ai.onnx.ml` (onnx/defs/traditionalml); no other domain has these names.
const LEARNED: &[&str] = &[
    "ArrayFeatureExtractor",
    "Binarizer",
    "CastMap",
    "CategoryMapper",
    "DictVectorizer",
    "FeatureVectorizer",
    "Imputer",
    "LabelEncoder",
    "LinearClassifier",
    "LinearRegressor",
    "Normalizer",
    "OneHotEncoder",
    "SVMClassifier",
    "SVMRegressor",
    "Scaler",
    "TreeEnsemble",
    "TreeEnsembleClassifier",
    "TreeEnsembleRegressor",
    "ZipMap",
];

/// Whether tract has an operator at all, where `registered` tells what it has by name.
pub(in crate::engine) fn has(operator: &Operator, registered: &dyn Fn(&str) -> bool) -> bool {
    let learned = LEARNED.contains(&operator.name.as_str());
    let ours = match operator.domain.as_str() {
        "ai.onnx" => !learned,
        "ai.onnx.ml" => learned,
        domain => ml::OPERATORS.contains(&(domain, operator.name.as_str())),
    };
    ours && registered(&operator.name)
}

/// The operators of a model that tract does not have or gets wrong.
pub(in crate::engine) fn refused(facts: &Facts<'_>, registered: &dyn Fn(&str) -> bool) -> Refused {
    let mut refused = Refused::new();
    for node in facts.nodes() {
        let operator = facts.operator(node);
        if !has(&operator, registered) {
            refused.insert(operator, "tract has no such operator".into());
        } else if let Some(why) = wrong(facts, node, operator.opset) {
            refused.insert(operator, format!("tract computes it wrongly {why}"));
        }
    }
    refused
}

/// When tract gets a node wrong.
fn wrong(facts: &Facts<'_>, node: &NodeProto, opset: i64) -> Option<&'static str> {
    let unsigned = [elem::UINT8, elem::UINT16, elem::UINT32, elem::UINT64];
    let (found, why) = match node.op_type.as_str() {
        // Signed integers came with opset 28.
        "BitShift" => (
            opset >= 28 && facts.input(node, 0).dtype.is_none_or(|d| !unsigned.contains(&d)),
            "for signed integers",
        ),
        "Celu" | "Swish" => (float(node, "alpha").is_some_and(|a| a != 1.0), "with an alpha"),
        "Dropout" => (int(node, "is_test") == Some(0) || facts.trains(node, 2), "in training"),
        "GRU" | "LSTM" | "RNN" => (
            text(node, "direction") == b"reverse"
                || !has_default_activations(node)
                || float(node, "clip").is_some_and(|c| c != 0.0)
                || int(node, "input_forget").is_some_and(|f| f != 0),
            "in reverse, and with activations, clip or input_forget",
        ),
        "GlobalLpPool" => (true, "always"),
        "GridSample" => (
            matches!(text(node, "mode"), b"bicubic" | b"cubic") && text(node, "padding_mode") == b"border",
            "in mode cubic with a border",
        ),
        "Mod" => (is_float_mod(facts, node), "for a zero below zero"),
        "Pad" => (
            facts.constant(node, 1).is_some_and(|pads| pads.iter().any(|p| *p < 0))
                || ints(node, "pads").iter().any(|p| *p < 0),
            "with less than nothing",
        ),
        // The largest of nothing but negative infinities is the lowest finite number there.
        "ReduceMax" | "ReduceMin" => (infinite(facts), "where infinities are compared"),
        "Resize" => (
            text(node, "coordinate_transformation_mode") == b"align_corners" && !has_input(node, 3),
            "with corners aligned by scales",
        ),
        "SpaceToDepth" => (text(node, "mode") == b"CRD", "in mode CRD"),
        _ => (false, ""),
    };
    found.then_some(why)
}

/// Whether a recurrent node has the activations that the standard gives it.
fn has_default_activations(node: &NodeProto) -> bool {
    let default: &[&[u8]] = match node.op_type.as_str() {
        "GRU" => &[b"Sigmoid", b"Tanh"],
        "LSTM" => &[b"Sigmoid", b"Tanh", b"Tanh"],
        _ => &[b"Tanh"],
    };
    let given = attribute(node, "activations").map_or(&[][..], |a| &a.strings);
    given.iter().zip(default.iter().cycle()).all(|(g, d)| g == d)
}

/// Whether a node is a modulo of fractions by Python's rule, which keeps the sign of the divisor.
pub(super) fn is_float_mod(facts: &Facts<'_>, node: &NodeProto) -> bool {
    let floats = [elem::FLOAT, elem::FLOAT16, elem::DOUBLE];
    int(node, "fmod").unwrap_or(0) == 0 && facts.input(node, 0).dtype.is_some_and(|d| floats.contains(&d))
}

/// Whether a constant of the model is infinite, as those of masks are.
fn infinite(facts: &Facts<'_>) -> bool {
    let is_infinite = |bytes: &[u8; 4]| f32::from_le_bytes(*bytes).is_infinite();
    facts.weights().iter().filter(|(_, w)| w.data_type == elem::FLOAT).any(|(_, w)| {
        w.float_data.iter().any(|f| f.is_infinite()) || w.raw_data.as_chunks::<4>().0.iter().any(is_infinite)
    })
}
