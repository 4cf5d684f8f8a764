//! Operations of Keras 3 that stand in a graph without being layers: `x + y`, `ops.reshape(x, …)`.
//!
//! Their arguments are those of the call; of what the constructor was given only what is needed
//! here is looked at. Operations that are not named here tell nothing.

use crate::model::contract::{DType, Shape};
use crate::model::format::keras::config::{Layer, ints};
use crate::model::format::keras::layers::{Ctx, is_float, merge, one};
use crate::model::format::keras::spec::{Args, Spec, axis, times};

pub(super) fn apply(ctx: &Ctx, layer: &Layer<'_>, args: &Args<'_>) -> Option<Vec<Spec>> {
    let x = args.first();
    Some(match layer.class {
        // Number by number, whole numbers stay whole.
        "Relu" | "Relu6" | "LeakyRelu" | "Elu" | "Selu" | "Celu" | "Negative" | "Absolute" | "Abs" | "Square"
        | "Clip" | "Copy" | "Sign" | "StopGradient" | "Flip" | "Roll" | "Cumsum" | "Sort" => {
            one(x.shape.filter(|_| layer.class != "Roll" && layer.class != "Sort"), x.dtype.filter(|d| is_float(*d)))
        }
        // These make floats of whole numbers, of a width that depends on the settings.
        "Sigmoid" | "Tanh" | "Exp" | "Log" | "Log1p" | "Expm1" | "Sqrt" | "Rsqrt" | "Sin" | "Cos" | "Gelu" | "Silu"
        | "Softplus" | "Softsign" | "Softmax" | "LogSoftmax" | "HardSigmoid" | "HardSilu" | "LogSigmoid" | "Erf"
        | "Reciprocal" | "Mish" | "Swish" => one(x.shape, x.dtype.filter(|d| is_float(*d))),
        "Add" | "Subtract" | "Multiply" | "Maximum" | "Minimum" | "TrueDivide" | "Divide" | "Power" => binary(ctx, args, None),
        "Greater" | "GreaterEqual" | "Less" | "LessEqual" | "Equal" | "NotEqual" | "LogicalAnd" | "LogicalOr" => {
            binary(ctx, args, Some(DType::Bool))
        }
        "Reshape" => one(reshape(layer, &x), x.dtype),
        "Transpose" => one(transpose(layer, &x), x.dtype),
        "ExpandDims" => one(expand(layer, &x), x.dtype),
        "Concatenate" => {
            let inputs = args.inputs();
            let same = inputs.iter().all(|i| i.dtype == x.dtype);
            let shapes: Vec<_> = inputs.into_iter().map(|i| i.shape).collect();
            one(merge::concatenate(&shapes, layer.int("axis")?), x.dtype.filter(|_| same))
        }
        "Mean" | "Max" | "Min" | "Sum" | "Prod" => one(reduce(layer, &x), x.dtype.filter(|d| is_float(*d))),
        "Argmax" | "Argmin" => one(reduce(layer, &x), Some(DType::Int32).filter(|_| layer.int("axis").is_some())),
        "Cast" => one(x.shape, layer.text("dtype").and_then(|d| d.parse().ok())),
        _ => return None,
    })
}

/// Two tensors, or a tensor and a number; a number is of the tensor's type where that is a float.
fn binary(ctx: &Ctx, args: &Args<'_>, dtype: Option<DType>) -> Vec<Spec> {
    let (a, b) = (args.tensor(0, "x1"), args.tensor(1, "x2"));
    let number = |at, name| args.value(at, name).is_some_and(serde_json::Value::is_number);
    let (shape, same) = match (a, b) {
        (Some(a), Some(b)) => {
            let same = if a.dtype == b.dtype { a.dtype } else { None };
            // Unlike in layers the batch may be missing from one of them.
            let alike = a.rank() == b.rank();
            (merge::broadcast(ctx, &[a.shape, b.shape]).filter(|_| alike), same)
        }
        (Some(a), None) if number(1, "x2") => (a.shape, a.dtype),
        (None, Some(b)) if number(0, "x1") => (b.shape, b.dtype),
        _ => (None, None),
    };
    one(shape, dtype.or_else(|| same.filter(|d| is_float(*d))))
}

fn reshape(layer: &Layer<'_>, x: &Spec) -> Option<Shape> {
    let target = layer.ints("newshape")?;
    let total = x.shape.as_ref()?.iter().try_fold(1, |n, d| times(*d, n));
    let fixed: Vec<u64> = target.iter().filter_map(|d| u64::try_from(*d).ok()).collect();
    let known = fixed.iter().try_fold(1u64, |n, d| n.checked_mul(*d)).filter(|n| *n > 0)?;
    if target.len() - fixed.len() > 1 {
        return None;
    }
    let rest = total.filter(|t| t % known == 0).map(|t| t / known);
    Some(target.iter().map(|d| u64::try_from(*d).ok().or(rest)).collect())
}

fn transpose(layer: &Layer<'_>, x: &Spec) -> Option<Shape> {
    let shape = x.shape.as_ref()?;
    match layer.ints("axes") {
        None => Some(shape.iter().rev().copied().collect()),
        Some(axes) if axes.len() == shape.len() => {
            axes.iter().map(|a| axis(*a, shape.len()).map(|at| shape[at])).collect()
        }
        Some(_) => None,
    }
}

fn expand(layer: &Layer<'_>, x: &Spec) -> Option<Shape> {
    let mut shape = x.shape.clone()?;
    let at = axis(layer.int("axis")?, shape.len() + 1)?;
    shape.insert(at, Some(1));
    Some(shape)
}

fn reduce(layer: &Layer<'_>, x: &Spec) -> Option<Shape> {
    let mut shape = x.shape.clone()?;
    let axes: Vec<usize> = match layer.get("axis") {
        None => (0..shape.len()).collect(),
        Some(value) => ints(value)?.into_iter().map(|a| axis(a, shape.len())).collect::<Option<_>>()?,
    };
    if layer.flag("keepdims") {
        axes.iter().for_each(|at| shape[*at] = Some(1));
        return Some(shape);
    }
    Some(shape.iter().enumerate().filter(|(i, _)| !axes.contains(i)).map(|(_, d)| *d).collect())
}
