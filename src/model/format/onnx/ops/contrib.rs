//! Operators that ONNX Runtime adds (`com.microsoft`; onnxruntime/docs/ContribOperators.md).
//!
//! Its optimizers put them in the place of several standard ones, and its quantizers for numbers of
//! eight bits. Only those whose rule needs nothing but what is told here.

use crate::error::Result;
use crate::model::format::onnx::infer::{Node, Val};
use crate::model::format::onnx::ops::{conv, gemm, matrices, neural, pair, same_as_first};

/// The type of a node's first output.
pub(super) fn apply(node: &Node<'_, '_>) -> Result<Vec<Option<Val>>> {
    let elem = |at: usize| node.tensor(at).and_then(|t| t.0);
    Ok(vec![match node.op.as_str() {
        "Gelu"
        | "FastGelu"
        | "BiasGelu"
        | "QuickGelu"
        | "BiasSoftmax"
        | "BiasDropout"
        | "LayerNormalization"
        | "SimplifiedLayerNormalization"
        | "SkipLayerNormalization"
        | "SkipSimplifiedLayerNormalization"
        | "QLinearLeakyRelu"
        | "QLinearSigmoid"
        | "QLinearSoftmax"
        | "Inverse"
        | "Trilu"
        | "RotaryEmbedding"
        | "GroupNorm" => same_as_first(node),
        "FusedMatMul" | "TransposeMatMul" => {
            let mut plain = true;
            for attr in ["transA", "transB", "transBatchA", "transBatchB"] {
                plain &= node.int(attr)?.unwrap_or(0) == 0;
            }
            matrices(node, 0, 1, elem(0)).filter(|_| plain)
        }
        "FusedConv" => conv(node)?,
        "FusedGemm" => gemm(node)?,
        "DynamicQuantizeMatMul" => matrices(node, 0, 1, elem(0)),
        "MatMulIntegerToFloat" => matrices(node, 0, 1, elem(2)),
        "QLinearAdd" | "QLinearMul" => pair(node, 0, 3, elem(0)),
        "QuantizeLinear" | "DequantizeLinear" => {
            return Ok(neural::apply(node)?.unwrap_or_default());
        }
        _ => None,
    }])
}
