//! What rten is trusted with: operators for which it agrees with the backend tests, and types that it
//! holds exactly.
//!
//! rten keeps int64 and bool as int32 and float64 as float32, and reads most attributes as the newest
//! operator sets mean them. An operator is in [`TRUSTED`] only when no backend test (onnx 1.23) that
//! rten 0.27.0 loads and runs disagrees, from the first operator set whose meaning it has;
//! [`wrong`] holds the attributes and inputs for which that is not so.

use tract_onnx::pb::{NodeProto, TensorProto};

use super::{Facts, Refused, elem, has_input, int, ints, text};

/// Operators of `ai.onnx`, each with the first version of the operator set from which it is trusted.
const TRUSTED: &[(&str, i64)] = &[
    ("Abs", 6),
    ("Acos", 7),
    ("Acosh", 9),
    ("Add", 7),
    ("And", 7),
    ("Asin", 7),
    ("Asinh", 9),
    ("Atan", 7),
    ("Atanh", 9),
    ("Attention", 23),
    ("AveragePool", 7),
    ("BatchNormalization", 9),
    ("Cast", 9),
    ("CastLike", 15),
    ("Ceil", 6),
    ("Clip", 6),
    ("Concat", 6),
    ("ConcatFromSequence", 11),
    ("Constant", 6),
    ("ConstantOfShape", 9),
    ("Conv", 6),
    ("ConvTranspose", 6),
    ("Cos", 7),
    ("Cosh", 9),
    ("CumSum", 11),
    ("DFT", 17),
    ("DepthToSpace", 11),
    ("DequantizeLinear", 10),
    ("Div", 7),
    ("Dropout", 7),
    ("Einsum", 12),
    ("Elu", 6),
    ("Equal", 7),
    ("Erf", 9),
    ("Exp", 6),
    ("Expand", 8),
    ("EyeLike", 9),
    ("Flatten", 9),
    ("Floor", 6),
    ("Gather", 6),
    ("GatherElements", 11),
    ("GatherND", 12),
    ("Gelu", 20),
    ("Gemm", 7),
    ("GlobalAveragePool", 6),
    ("GlobalMaxPool", 6),
    ("Greater", 7),
    ("GreaterOrEqual", 12),
    ("GridSample", 16),
    ("HardSigmoid", 6),
    ("HardSwish", 14),
    ("Identity", 6),
    ("If", 7),
    ("InstanceNormalization", 6),
    ("IsInf", 10),
    ("IsNaN", 9),
    ("LSTM", 7),
    ("LeakyRelu", 6),
    ("Less", 7),
    ("LessOrEqual", 12),
    ("Log", 6),
    ("LogSoftmax", 6),
    ("Loop", 11),
    ("LpNormalization", 6),
    ("MatMul", 6),
    ("Max", 8),
    ("MaxPool", 8),
    ("Mean", 8),
    ("Min", 8),
    ("Mod", 10),
    ("Mul", 7),
    ("Neg", 6),
    ("NonZero", 9),
    ("Not", 1),
    ("Or", 7),
    ("PRelu", 9),
    ("Pad", 11),
    ("Pow", 7),
    ("QuantizeLinear", 10),
    ("RMSNormalization", 23),
    ("Range", 11),
    ("Reciprocal", 6),
    ("ReduceL1", 6),
    ("ReduceL2", 6),
    ("ReduceLogSum", 6),
    ("ReduceLogSumExp", 6),
    ("ReduceMax", 6),
    ("ReduceMean", 6),
    ("ReduceMin", 6),
    ("ReduceProd", 6),
    ("ReduceSum", 6),
    ("ReduceSumSquare", 6),
    ("Relu", 6),
    ("Reshape", 5),
    ("Resize", 11),
    ("ReverseSequence", 10),
    ("RotaryEmbedding", 23),
    ("Round", 11),
    ("STFT", 17),
    ("Scatter", 9),
    ("ScatterElements", 11),
    ("ScatterND", 11),
    ("SequenceEmpty", 11),
    ("SequenceLength", 11),
    ("Shape", 1),
    ("Sigmoid", 6),
    ("Sin", 7),
    ("Sinh", 9),
    ("Size", 1),
    ("Slice", 6),
    ("Softmax", 6),
    ("Softplus", 6),
    ("Softsign", 6),
    ("Split", 6),
    ("SplitToSequence", 11),
    ("Sqrt", 6),
    ("Squeeze", 6),
    ("Sub", 7),
    ("Sum", 8),
    ("Swish", 24),
    ("Tan", 7),
    ("Tanh", 6),
    ("Tile", 6),
    ("TopK", 11),
    ("Transpose", 6),
    ("Trilu", 14),
    ("Unsqueeze", 6),
    ("Upsample", 7),
    ("Where", 9),
    ("Xor", 7),
];

/// Element types that values inside may have: those that rten holds exactly, and float16, which it
/// widens.
const HELD: &[i32] =
    &[elem::FLOAT, elem::UINT8, elem::INT8, elem::INT32, elem::INT64, elem::BOOL, elem::FLOAT16];

/// Whether rten is trusted with an operator, attributes aside.
pub(in crate::engine) fn trusts(domain: &str, name: &str, opset: i64) -> bool {
    let found = TRUSTED.binary_search_by_key(&name, |(n, _)| n);
    domain == "ai.onnx" && found.is_ok_and(|at| TRUSTED.get(at).is_some_and(|(_, from)| opset >= *from))
}

/// The operators of a model that rten is not trusted with.
pub(in crate::engine) fn refused(facts: &Facts<'_>) -> Refused {
    let mut refused = Refused::new();
    for node in facts.nodes() {
        let operator = facts.operator(node);
        if !trusts(&operator.domain, &operator.name, operator.opset) {
            refused.insert(operator, "rten is not known to compute it rightly".into());
        } else if let Some(why) = wrong(facts, node, operator.opset) {
            refused.insert(operator, format!("rten computes it wrongly {why}"));
        }
    }
    refused
}

/// Why rten cannot hold a model's values exactly.
pub(in crate::engine) fn unheld(facts: &Facts<'_>) -> Option<String> {
    if let Some(dtype) = facts.dtypes.iter().find(|d| **d != 0 && !HELD.contains(d)) {
        return Some(format!("rten has no values of ONNX's element type {dtype}"));
    }
    // Beyond the range of int32 only where nothing but an end is meant.
    let slices = |name: &str| !name.is_empty() && facts.only_read_by(name, &["Slice"]);
    let wide = facts.weights().iter().find(|(name, weight)| is_wide(weight) && !slices(name))?;
    let name = crate::error::show_bytes(wide.0.as_bytes());
    Some(format!("rten cannot hold the int64 values of the weight `{name}`"))
}

/// Whether a tensor has an int64 outside the range of int32.
fn is_wide(tensor: &TensorProto) -> bool {
    let wide = |n: i64| i32::try_from(n).is_err();
    tensor.data_type == elem::INT64
        && (tensor.int64_data.iter().copied().any(wide)
            || tensor.raw_data.as_chunks::<8>().0.iter().any(|c| wide(i64::from_le_bytes(*c)))
            // What lies elsewhere is not looked at, and is not worth the risk.
            || !tensor.external_data.is_empty())
}

/// When rten gets a node of a trusted operator wrong.
fn wrong(facts: &Facts<'_>, node: &NodeProto, opset: i64) -> Option<&'static str> {
    let input = |at: usize| facts.input(node, at);
    let has_output = |at: usize| node.output.get(at).is_some_and(|o| !o.is_empty());
    let lower = text(node, "auto_pad") == b"SAME_LOWER";
    let (found, why) = match node.op_type.as_str() {
        "Attention" => (
            has_output(3) || has_input(node, 3) && has_input(node, 6),
            "with qk_matmul_output, or with a mask beside nonpad_kv_seqlen",
        ),
        "AveragePool" | "MaxPool" => (
            lower || ints(node, "strides").is_empty() || has_output(1),
            "with SAME_LOWER, without strides, and with indices",
        ),
        "Conv" | "ConvTranspose" => {
            (lower || ints(node, "kernel_shape").is_empty(), "with SAME_LOWER, and without kernel_shape")
        }
        "Cast" => (int(node, "to") == Some(elem::BOOL.into()) && !stays_true(facts, node), "to bool"),
        "CastLike" => {
            (input(1).dtype.is_none_or(|d| d == elem::BOOL), "to bool, or to a type that is not written down")
        }
        "Dropout" => (facts.trains(node, 2), "in training"),
        "LSTM" => (has_input(node, 4), "with sequence_lens"),
        "MatMul" => ((0..2).any(|at| input(at).rank == Some(1)), "with an input of one dimension"),
        "Mod" => (super::tract::is_float_mod(facts, node), "for fractions by the sign of the divisor"),
        "Pad" => (has_input(node, 3), "with axes"),
        "QuantizeLinear" => (input(1).rank != Some(0), "with more than one scale"),
        "ReduceL1" | "ReduceL2" | "ReduceLogSum" | "ReduceLogSumExp" | "ReduceMean" => {
            (input(0).dtype.is_some_and(|d| d != elem::FLOAT), "for whole numbers")
        }
        "ReduceMax" | "ReduceMin" => (input(0).dtype == Some(elem::BOOL), "for bool"),
        "Resize" => (
            text(node, "mode") == b"cubic"
                || !has_input(node, 3)
                    && (text(node, "coordinate_transformation_mode") == b"align_corners"
                        || text(node, "nearest_mode") == b"round_prefer_ceil"),
            "in mode cubic, and by scales with corners aligned or round_prefer_ceil",
        ),
        "Softmax" | "LogSoftmax" => {
            (opset < 13 && int(node, "axis") != Some(-1), "before opset 13, but along the last axis")
        }
        "Upsample" => (!matches!(text(node, "mode"), b"" | b"nearest"), "in other modes than nearest"),
        _ => (false, ""),
    };
    found.then_some(why)
}

/// Whether a cast to bool, which rten leaves out for whole numbers, is one of a bool, or of a whole
/// number that only decides a branch.
fn stays_true(facts: &Facts<'_>, node: &NodeProto) -> bool {
    let whole = [elem::INT32, elem::INT64, elem::INT8, elem::UINT8];
    match facts.input(node, 0).dtype {
        Some(elem::BOOL) => true,
        Some(dtype) if whole.contains(&dtype) => {
            node.output.first().is_some_and(|name| facts.only_read_by(name, &["If"]))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_for_the_search() {
        assert!(TRUSTED.windows(2).all(|w| w[0].0 < w[1].0));
        assert!(trusts("ai.onnx", "Abs", 6) && trusts("ai.onnx", "Xor", 20));
        assert!(!trusts("ai.onnx", "Softmax", 5) && !trusts("com.microsoft", "Gelu", 20));
        assert!(!trusts("ai.onnx", "ArgMax", 20) && !trusts("ai.onnx", "ArgMin", 20));
    }
}
