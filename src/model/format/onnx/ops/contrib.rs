//! Operators that ONNX Runtime adds (`com.microsoft`; onnxruntime/docs/ContribOperators.md).
//!
//! Its optimizers put them in the place of several standard ones, and its quantizers for numbers of
//! eight bits. Only those whose rule needs nothing but what is told here.

use crate::error::Result;
use crate::model::contract::DType;
use crate::model::format::onnx::infer::{Node, Val};
use crate::model::format::onnx::ops::neural::{number, size};
use crate::model::format::onnx::ops::{
    arrays, attention, axis, broadcast, conv, gemm, matrices, neural, pair, reduce, same_as_first, val,
    windows,
};
use crate::model::format::onnx::types::Dim;

/// The types of a node's outputs, as many as can be told.
pub(super) fn apply(node: &Node<'_, '_>) -> Result<Vec<Option<Val>>> {
    let elem = |at: usize| node.tensor(at).and_then(|t| t.0);
    Ok(vec![match node.op.as_str() {
        "Gelu"
        | "FastGelu"
        | "BiasGelu"
        | "QuickGelu"
        | "BiasAdd"
        | "BiasSoftmax"
        | "BiasDropout"
        | "LayerNormalization"
        | "SimplifiedLayerNormalization"
        | "QLinearLeakyRelu"
        | "QLinearSigmoid"
        | "QLinearSoftmax"
        | "Inverse"
        | "Trilu"
        | "RotaryEmbedding"
        | "GroupNorm"
        | "QMoE"
        | "MoE"
        | "LongformerAttention"
        | "DecoderAttention" => same_as_first(node),
        "SkipLayerNormalization" | "SkipSimplifiedLayerNormalization" => return Ok(skipped(node)),
        "EmbedLayerNormalization" => return Ok(attention::embedded(node, 2, 2)),
        "QEmbedLayerNormalization" => {
            // The scales say of which type the embedding was.
            let mut all = attention::embedded(node, 2, 8);
            all.truncate(2);
            return Ok(all);
        }
        "Attention" => return attention::projected(node, 0, 4),
        "QAttention" => return attention::projected(node, 3, 8),
        "MultiHeadAttention" => return attention::multi_head(node),
        "GroupQueryAttention" => return attention::grouped(node),
        "FusedMatMul" | "TransposeMatMul" => fused_matrices(node)?,
        "FusedConv" => conv(node)?,
        "FusedGemm" => gemm(node)?,
        "DynamicQuantizeMatMul" => matrices(node, 0, 1, elem(0)),
        "MatMulIntegerToFloat" => matrices(node, 0, 1, elem(2)),
        "MatMulInteger16" => matrices(node, 0, 1, Some(DType::Int32)),
        "MatMulNBits" | "MatMulBnb4" => few_bits(node)?,
        "QLinearAdd" | "QLinearMul" => pair(node, 0, 3, elem(0)),
        "QLinearWhere" => picked(node),
        "QLinearConcat" => joined(node)?,
        "QGemm" => quantized_gemm(node)?,
        "QLinearConv" => {
            if node.int("channels_last")?.unwrap_or(0) != 0 {
                node.tensor(7).map(|(elem, _)| val(elem, None))
            } else {
                windows::convolution(node, 0, 3, elem(7))?
            }
        }
        "QLinearReduceMean" => {
            let axes = node.ints("axes")?;
            reduce(node, None, axes)?
        }
        "QLinearGlobalAveragePool" => average(node)?,
        "QLinearAveragePool" | "NhwcMaxPool" => {
            let last = node.op == "NhwcMaxPool" || node.int("channels_last")?.unwrap_or(0) != 0;
            if last { pool_of_channels_last(node)? } else { windows::pool(node)? }
        }
        "DynamicQuantizeLSTM" => return neural::recurrence_of(node, node.int("hidden_size")?),
        "QuantizeLinear" | "DequantizeLinear" => {
            return Ok(arrays::apply(node)?.unwrap_or_default());
        }
        "ReduceSumInteger" => {
            let axes = node.ints("axes")?;
            reduce(node, Some(DType::Int32), axes)?
        }
        "MulInteger" => pair(node, 0, 2, Some(DType::Int32)),
        "NGramRepeatBlock" => node.input(1).map(|v| Val::new(v.ty.clone())),
        "MurmurHash3" => {
            let signed = node.int("positive")?.unwrap_or(1) == 0;
            let elem = if signed { DType::Int32 } else { DType::UInt32 };
            node.tensor(0).map(|(_, s)| val(Some(elem), s.cloned()))
        }
        "IsAllFinite" => Some(val(Some(DType::Bool), Some(Vec::new()))),
        "CDist" => {
            let rows = |at: usize| node.tensor(at).and_then(|t| t.1).and_then(|s| s.first()).cloned();
            let shape = vec![rows(0).unwrap_or(Dim::Unknown), rows(1).unwrap_or(Dim::Unknown)];
            Some(val(elem(0), Some(shape)))
        }
        _ => None,
    }])
}

/// A sum that is normalized: the result, two statistics, and the sum.
fn skipped(node: &Node<'_, '_>) -> Vec<Option<Val>> {
    let whole = same_as_first(node);
    let statistics = node.tensor(0).map(|(_, shape)| {
        let shape =
            shape.map(|s| s[..s.len().saturating_sub(1)].iter().cloned().chain([Dim::Size(1)]).collect());
        val(Some(DType::Float32), shape)
    });
    vec![whole.clone(), statistics.clone(), statistics, whole]
}

/// A product of matrices of which some may be transposed first.
fn fused_matrices(node: &Node<'_, '_>) -> Result<Option<Val>> {
    let elem = node.tensor(0).and_then(|t| t.0);
    for attr in ["transBatchA", "transBatchB"] {
        if node.int(attr)?.unwrap_or(0) != 0 {
            return Ok(Some(val(elem, None)));
        }
    }
    let mut sides = Vec::new();
    for (at, attr) in [(0, "transA"), (1, "transB")] {
        let Some((_, Some(shape))) = node.tensor(at) else { return Ok(Some(val(elem, None))) };
        let mut shape = shape.clone();
        // A vector is not transposed.
        if node.int(attr)?.unwrap_or(0) != 0 && shape.len() > 1 {
            let n = shape.len();
            shape.swap(n - 2, n - 1);
        }
        sides.push(shape);
    }
    Ok(Some(val(elem, super::product_of_matrices(&sides[0], &sides[1]))))
}

/// Weights of fewer than eight bits, packed; how many columns they stand for is an attribute.
fn few_bits(node: &Node<'_, '_>) -> Result<Option<Val>> {
    let Some((elem, shape)) = node.tensor(0) else { return Ok(None) };
    let columns = node.int("N")?.and_then(|n| u64::try_from(n).ok());
    // `MatMulBnb4` has the weights the other way round on demand.
    let plain = node.op == "MatMulNBits" || node.int("transB")?.unwrap_or(1) != 0;
    let shape = shape.filter(|s| plain && !s.is_empty()).map(|s| {
        let mut out = s.clone();
        let last = out.len() - 1;
        out[last] = size(columns);
        out
    });
    Ok(Some(val(elem, shape)))
}

/// The condition and two quantized tensors, each with a scale and a zero point.
fn picked(node: &Node<'_, '_>) -> Option<Val> {
    let elem = node.tensor(1)?.0;
    let (c, a, b) = (node.tensor(0)?.1, node.tensor(1)?.1, node.tensor(4)?.1);
    let shape = c.zip(a).zip(b).and_then(|((c, a), b)| broadcast(&broadcast(c, a)?, b));
    Some(val(elem, shape))
}

/// Tensors put together, each with a scale and a zero point, after those of the result.
fn joined(node: &Node<'_, '_>) -> Result<Option<Val>> {
    let elem = node.tensor(1).and_then(|t| t.0);
    let mut out: Option<Vec<Dim>> = None;
    let Some(along) = node.int("axis")? else { return Ok(Some(val(elem, None))) };
    for at in (2..node.inputs.len()).step_by(3) {
        let Some((_, Some(shape))) = node.tensor(at) else { return Ok(Some(val(elem, None))) };
        out = match out {
            None => Some(shape.clone()),
            Some(mut all) => {
                let Some(along) = axis(along, all.len()).filter(|_| all.len() == shape.len()) else {
                    return Ok(Some(val(elem, None)));
                };
                let sum = number(&all[along]).zip(number(&shape[along])).and_then(|(a, b)| a.checked_add(b));
                all[along] = size(sum);
                Some(all)
            }
        };
    }
    Ok(Some(val(elem, out)))
}

/// A quantized `Gemm`: real where no scale of the result is given.
fn quantized_gemm(node: &Node<'_, '_>) -> Result<Option<Val>> {
    let elem = match node.input(8) {
        Some(_) => node.tensor(8).and_then(|t| t.0),
        None => Some(DType::Float32),
    };
    let (Some((_, Some(a))), Some((_, Some(b)))) = (node.tensor(0), node.tensor(3)) else {
        return Ok(Some(val(elem, None)));
    };
    let (ta, tb) = (node.int("transA")?.unwrap_or(0) != 0, node.int("transB")?.unwrap_or(0) != 0);
    if a.len() != 2 || b.len() != 2 {
        return Ok(Some(val(elem, None)));
    }
    Ok(Some(val(elem, Some(vec![a[usize::from(ta)].clone(), b[usize::from(!tb)].clone()]))))
}

/// An average over all places, with the channels second or last.
fn average(node: &Node<'_, '_>) -> Result<Option<Val>> {
    let Some((elem, shape)) = node.tensor(0) else { return Ok(None) };
    let last = node.int("channels_last")?.unwrap_or(0) != 0;
    let shape = shape.filter(|s| s.len() > 2).map(|s| {
        let channels = if last { s.len() - 1 } else { 1 };
        let kept = |at: usize| at == 0 || at == channels;
        s.iter().enumerate().map(|(at, d)| if kept(at) { d.clone() } else { Dim::Size(1) }).collect()
    });
    Ok(Some(val(elem, shape)))
}

/// A pool whose channels come last.
fn pool_of_channels_last(node: &Node<'_, '_>) -> Result<Option<Val>> {
    let Some((elem, shape)) = node.tensor(0) else { return Ok(None) };
    let Some(shape) = shape.filter(|s| s.len() > 2) else { return Ok(Some(val(elem, None))) };
    let (Some(first), Some(channels)) = (shape.first(), shape.last()) else { return Ok(None) };
    let turned: Vec<Dim> = [first, channels].into_iter().chain(&shape[1..shape.len() - 1]).cloned().collect();
    let mut places = Vec::new();
    windows::spatial(node, node.ints("kernel_shape")?, &turned, &mut places)?;
    let out = [vec![first.clone()], places, vec![channels.clone()]].concat();
    Ok(Some(val(elem, Some(out))))
}
