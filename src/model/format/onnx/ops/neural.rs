//! Operators of neural networks that are more than one array operation: recurrences, attention,
//! losses, quantized and deformed convolutions, training steps.

use crate::error::Result;
use crate::model::contract::DType;
use crate::model::format::onnx::infer::{Node, Val};
use crate::model::format::onnx::ops::{attention, windows};
use crate::model::format::onnx::ops::{axis, matrices, same_as_first, val};
use crate::model::format::onnx::types::{Dim, Type};

/// The types of a node's outputs; `None` where the operator is none of these.
pub(super) fn apply(node: &Node<'_, '_>) -> Result<Option<Vec<Option<Val>>>> {
    Ok(Some(match node.op.as_str() {
        "RNN" | "GRU" | "LSTM" => recurrence(node)?,
        "Attention" => attention::standard(node)?,
        "LinearAttention" => attention::linear(node)?,
        "CausalConvWithState" => vec![same_as_first(node), causal_state(node)],
        "LayerNormalization" => layer_normalization(node)?,
        "BatchNormalization" => {
            let like = |at: usize| node.input(at).map(|v| Val::new(v.ty.clone()));
            vec![same_as_first(node), like(3), like(4)]
        }
        "Dropout" => {
            let mask = if node.opset >= 10 { Some(DType::Bool) } else { node.tensor(0).and_then(|t| t.0) };
            vec![same_as_first(node), node.tensor(0).map(|(_, s)| val(mask, s.cloned()))]
        }
        "SoftmaxCrossEntropyLoss" | "NegativeLogLikelihoodLoss" => {
            let whole = node.text("reduction")?.is_none_or(|r| r != "none");
            let loss = node.tensor(0).map(|(elem, _)| {
                let shape = if whole { Some(Vec::new()) } else { node.tensor(1).and_then(|t| t.1.cloned()) };
                val(elem, shape)
            });
            vec![loss, same_as_first(node)]
        }
        "DynamicQuantizeLinear" => {
            let byte = |shape| Some(val(Some(DType::UInt8), shape));
            let scale = Some(val(Some(DType::Float32), Some(Vec::new())));
            vec![byte(node.tensor(0).and_then(|t| t.1.cloned())), scale, byte(Some(Vec::new()))]
        }
        "MatMulInteger" => vec![matrices(node, 0, 1, Some(DType::Int32))],
        "QLinearMatMul" => vec![matrices(node, 0, 3, node.tensor(7).and_then(|t| t.0))],
        "ConvInteger" => vec![windows::convolution(node, 0, 1, Some(DType::Int32))?],
        "QLinearConv" => vec![windows::convolution(node, 0, 3, node.tensor(7).and_then(|t| t.0))?],
        "DeformConv" => {
            vec![windows::convolution(node, 0, 1, node.tensor(0).and_then(|t| t.0))?]
        }
        "ConvTranspose" => vec![transposed(node)?],
        "MaxUnpool" => vec![unpooled(node)?],
        "RMSNormalization"
        | "SimplifiedLayerNormalization"
        | "RotaryEmbedding"
        | "Shrink"
        | "Swish"
        | "SwiGLU"
        | "CumProd"
        | "TensorScatter" => {
            vec![same_as_first(node)]
        }
        _ => return Ok(None),
    }))
}

/// One step of training: the parameters and what is kept beside them, without the gradients.
pub(super) fn training(node: &Node<'_, '_>) -> Vec<Option<Val>> {
    let groups = match node.op.as_str() {
        "Adagrad" | "Momentum" => 3,
        "Adam" => 4,
        _ => return Vec::new(),
    };
    let n = node.inputs.len().saturating_sub(2) / groups;
    let source = |i: usize| if i < n { 2 + i } else { 2 + n + i };
    (0..node.outputs).map(|i| node.input(source(i)).map(|v| Val::new(v.ty.clone()))).collect()
}

/// `Y`, `Y_h` and `Y_c`.
fn recurrence(node: &Node<'_, '_>) -> Result<Vec<Option<Val>>> {
    let hidden = match node.int("hidden_size")? {
        Some(n) => Some(n),
        // The recurrent weights are [directions, gates * hidden, hidden].
        None => node
            .tensor(2)
            .and_then(|t| t.1)
            .filter(|r| r.len() == 3)
            .and_then(|r| number(&r[2]).and_then(|n| i64::try_from(n).ok())),
    };
    recurrence_of(node, hidden)
}

/// The same, where it is known how many numbers are kept.
pub(super) fn recurrence_of(node: &Node<'_, '_>, hidden: Option<i64>) -> Result<Vec<Option<Val>>> {
    let hidden = size(hidden.and_then(|n| u64::try_from(n).ok()));
    let Some((elem, x)) = node.tensor(0) else { return Ok(Vec::new()) };
    let directions = match node.text("direction")?.as_deref() {
        None | Some("forward" | "reverse") => Dim::Size(1),
        Some("bidirectional") => Dim::Size(2),
        Some(_) => Dim::Unknown,
    };
    let by_rows = node.int("layout")?.unwrap_or(0) != 0;
    let (steps, rows) = match x.map(Vec::as_slice) {
        Some([a, b, _]) if by_rows => (b.clone(), a.clone()),
        Some([a, b, _]) => (a.clone(), b.clone()),
        _ => (Dim::Unknown, Dim::Unknown),
    };
    let (all, last) = if by_rows {
        (vec![rows.clone(), steps, directions.clone(), hidden.clone()], vec![rows, directions, hidden])
    } else {
        (vec![steps, directions.clone(), rows.clone(), hidden.clone()], vec![directions, rows, hidden])
    };
    let last = Some(val(elem, Some(last)));
    Ok(vec![Some(val(elem, Some(all))), last.clone(), last])
}

/// What a causal convolution keeps of its input: the last places, one less than the kernel is long.
fn causal_state(node: &Node<'_, '_>) -> Option<Val> {
    let (elem, x) = node.tensor(0)?;
    let x = x.filter(|x| x.len() == 3)?;
    let kernel = node.tensor(1)?.1.filter(|w| w.len() == 3)?;
    let kept = number(&kernel[2]).and_then(|k| k.checked_sub(1));
    Some(val(elem, Some(vec![x[0].clone(), x[1].clone(), size(kept)])))
}

pub(super) fn number(d: &Dim) -> Option<u64> {
    if let Dim::Size(n) = d { Some(*n) } else { None }
}

pub(super) fn size(n: Option<u64>) -> Dim {
    n.map_or(Dim::Unknown, Dim::Size)
}

/// The normalized tensor, and mean and deviation over the last axes.
fn layer_normalization(node: &Node<'_, '_>) -> Result<Vec<Option<Val>>> {
    let statistics = match node.tensor(0) {
        Some((_, Some(shape))) => axis(node.int("axis")?.unwrap_or(-1), shape.len()).map(|at| {
            let mut out = shape.clone();
            out[at..].fill(Dim::Size(1));
            out
        }),
        _ => None,
    };
    let elem = match node.int("stash_type")? {
        None | Some(1) => Some(DType::Float32),
        Some(n) => crate::model::format::onnx::types::dtype(n),
    };
    let statistics = Some(val(elem, statistics));
    Ok(vec![same_as_first(node), statistics.clone(), statistics])
}

/// The inverse of a convolution's arithmetic (onnx/docs/Operators.md, `ConvTranspose`).
fn transposed(node: &Node<'_, '_>) -> Result<Option<Val>> {
    let (Some((elem, Some(x))), Some((_, w))) = (node.tensor(0), node.tensor(1)) else { return Ok(None) };
    let Some(w) = w.filter(|w| w.len() == x.len() && x.len() > 2) else { return Ok(Some(val(elem, None))) };
    let n = x.len() - 2;
    let group = node.int("group")?.unwrap_or(1);
    let channels = number(&w[1]).zip(u64::try_from(group).ok()).and_then(|(c, g)| c.checked_mul(g));
    let list = |name: &str, len: usize, default: i64| -> Result<Option<Vec<i64>>> {
        Ok(node.ints(name)?.map_or(Some(vec![default; len]), |l| (l.len() == len).then_some(l)))
    };
    let kernel = match node.ints("kernel_shape")? {
        Some(kernel) => Some(kernel).filter(|k| k.len() == n),
        None => w[2..].iter().map(|d| number(d).and_then(|n| i64::try_from(n).ok())).collect(),
    };
    let auto = node.text("auto_pad")?.filter(|a| a != "NOTSET");
    let given = node.ints("output_shape")?;
    let all = (
        list("strides", n, 1)?,
        list("dilations", n, 1)?,
        list("pads", 2 * n, 0)?,
        list("output_padding", n, 0)?,
    );
    let mut out = vec![x[0].clone(), size(channels)];
    for at in 0..n {
        let one = || -> Option<u64> {
            if let Some(given) = &given {
                // The last dimensions, of which there may be two more.
                let skip = given.len().checked_sub(n)?;
                return u64::try_from(*given.get(skip + at)?).ok();
            }
            let (strides, dilations, pads, more) =
                (all.0.as_ref()?, all.1.as_ref()?, all.2.as_ref()?, all.3.as_ref()?);
            let length = i64::try_from(number(&x[2 + at])?).ok()?;
            let stride = strides[at];
            if matches!(auto.as_deref(), Some("SAME_UPPER" | "SAME_LOWER")) {
                return u64::try_from(length.checked_mul(stride)?).ok();
            }
            let span = kernel.as_ref()?[at].checked_sub(1)?.checked_mul(dilations[at])?.checked_add(1)?;
            let whole =
                stride.checked_mul(length.checked_sub(1)?)?.checked_add(span)?.checked_add(more[at])?;
            let cut = if auto.is_none() { pads[at].checked_add(pads[at + n])? } else { 0 };
            u64::try_from(whole.checked_sub(cut)?).ok()
        };
        out.push(size(one()));
    }
    Ok(Some(val(elem, Some(out))))
}

/// What `MaxUnpool` gives is as large as its third input says, else as what a pool of these windows
/// was made of, if nothing was left over at its end.
fn unpooled(node: &Node<'_, '_>) -> Result<Option<Val>> {
    let Some((elem, Some(shape))) = node.tensor(0) else { return Ok(None) };
    let open = Ok(Some(val(elem, Some(vec![Dim::Unknown; shape.len()]))));
    if node.inputs.len() > 2 {
        return match node.input_dims(2).filter(|d| d.len() == shape.len()) {
            Some(given) => Ok(Some(val(elem, Some(given)))),
            None => open,
        };
    }
    let Some(n) = shape.len().checked_sub(2) else { return Ok(None) };
    let (kernel, strides, pads) = (node.ints("kernel_shape")?, node.ints("strides")?, node.ints("pads")?);
    let Some(kernel) = kernel.filter(|k| k.len() == n) else { return open };
    let strides = strides.unwrap_or_else(|| vec![1; n]);
    let pads = pads.unwrap_or_else(|| vec![0; 2 * n]);
    if strides.len() != n || pads.len() != 2 * n {
        return open;
    }
    let mut out = shape[..2].to_vec();
    for at in 0..n {
        let one = || -> Option<u64> {
            let length = i64::try_from(number(&shape[2 + at])?).ok()?;
            let whole = length.checked_sub(1)?.checked_mul(strides[at])?.checked_add(kernel[at])?;
            u64::try_from(whole.checked_sub(pads[at])?.checked_sub(pads[at + n])?).ok()
        };
        out.push(size(one()));
    }
    Ok(Some(val(elem, Some(out))))
}

/// The pool and, of `MaxPool`, the places of its values.
pub(super) fn pool_with_places(node: &Node<'_, '_>) -> Result<Vec<Option<Val>>> {
    let pooled = windows::pool(node)?;
    let places = pooled.as_ref().and_then(|v| match &v.ty {
        Type::Tensor { shape, .. } => Some(val(Some(DType::Int64), shape.clone())),
        _ => None,
    });
    Ok(vec![pooled, places])
}

/// Regions of interest: one for each, with the channels of the image.
pub(super) fn regions(node: &Node<'_, '_>) -> Result<Option<Val>> {
    let (Some((elem, x)), Some((_, rois))) = (node.tensor(0), node.tensor(1)) else { return Ok(None) };
    let first = |s: Option<&Vec<Dim>>, at: usize| s.and_then(|s| s.get(at)).cloned().unwrap_or(Dim::Unknown);
    let side = |name: &str| -> Result<Dim> { Ok(size(u64::try_from(node.int(name)?.unwrap_or(1)).ok())) };
    Ok(Some(val(
        elem,
        Some(vec![first(rois, 0), first(x, 1), side("output_height")?, side("output_width")?]),
    )))
}

/// A grid picks its own places from each image.
pub(super) fn sampled(node: &Node<'_, '_>) -> Result<Option<Val>> {
    let (Some((elem, x)), Some((_, grid))) = (node.tensor(0), node.tensor(1)) else { return Ok(None) };
    let (Some(x), Some(grid)) = (x, grid) else { return Ok(Some(val(elem, None))) };
    if x.len() < 3 || grid.len() != x.len() {
        return Ok(None);
    }
    let mut out = x[..2].to_vec();
    out.extend_from_slice(&grid[1..grid.len() - 1]);
    Ok(Some(val(elem, Some(out))))
}

/// The images that columns are put back into.
pub(super) fn from_columns(node: &Node<'_, '_>) -> Result<Option<Val>> {
    let Some((elem, x)) = node.tensor(0) else { return Ok(None) };
    let count = |at: usize| match node.tensor(at).and_then(|t| t.1).map(Vec::as_slice) {
        Some([Dim::Size(n)]) => usize::try_from(*n).ok().filter(|n| *n <= 8),
        _ => None,
    };
    let image = node.input_dims(1);
    let Some(n) = image.as_ref().map(Vec::len).or_else(|| count(1)) else { return Ok(Some(val(elem, None))) };
    let x = x.filter(|x| x.len() == 3);
    let block = node.input_ints(2).and_then(|b| b.iter().try_fold(1i64, |a, b| a.checked_mul(*b)));
    let block = block.and_then(|b| u64::try_from(b).ok()).filter(|b| *b > 0);
    let channels = x.and_then(|x| number(&x[1])).zip(block).filter(|(c, b)| c % b == 0).map(|(c, b)| c / b);
    let mut out = vec![x.map_or(Dim::Unknown, |x| x[0].clone()), size(channels)];
    out.extend(image.unwrap_or_else(|| vec![Dim::Unknown; n]));
    Ok(Some(val(elem, Some(out))))
}
