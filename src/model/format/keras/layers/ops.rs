//! Operations of Keras 3 that stand in a graph without being layers: `x + y`, `ops.reshape(x, …)`.
//!
//! Their arguments are those of the call; of what the constructor was given only what is needed
//! here is looked at. Operations that are not named here tell nothing.

use crate::model::contract::{DType, Shape};
use crate::model::format::keras::config::{Layer, int, ints, list};
use crate::model::format::keras::layers::{Ctx, is_float, merge, one, slice};
use crate::model::format::keras::spec::{Args, Spec, axis, plus, times};

pub(super) fn apply(ctx: &Ctx, layer: &Layer<'_>, args: &Args<'_>) -> Option<Vec<Spec>> {
    let x = args.first();
    Some(match layer.class {
        // Number by number, whole numbers stay whole.
        "Relu" | "Relu6" | "LeakyRelu" | "Elu" | "Selu" | "Celu" | "Negative" | "Absolute" | "Abs"
        | "Square" | "Clip" | "Copy" | "Sign" | "StopGradient" | "Flip" => {
            one(x.shape, x.dtype.filter(|d| is_float(*d) || matches!(d, DType::Int32 | DType::Int64)))
        }
        "Sum" | "Max" | "Min" | "Prod" => {
            let whole = matches!(x.dtype, Some(DType::Int32 | DType::Int64));
            one(reduce(layer, &x), x.dtype.filter(|d| whole || is_float(*d)))
        }
        // These make floats of whole numbers, of a width that depends on the settings.
        "Sigmoid" | "Tanh" | "Exp" | "Log" | "Log1p" | "Expm1" | "Sqrt" | "Rsqrt" | "Sin" | "Cos"
        | "Gelu" | "Silu" | "Softplus" | "Softsign" | "Softmax" | "LogSoftmax" | "HardSigmoid"
        | "HardSilu" | "LogSigmoid" | "Erf" | "Reciprocal" | "Mish" | "Swish" => {
            one(x.shape, x.dtype.filter(|d| is_float(*d)))
        }
        "Add" | "Subtract" | "Multiply" | "Maximum" | "Minimum" | "TrueDivide" | "Divide" | "Power"
        | "Mod" | "FloorDivide" => {
            let divides = matches!(layer.class, "TrueDivide" | "Divide" | "Power");
            let mut out = binary(ctx, args, None);
            out.iter_mut().for_each(|o| o.dtype = o.dtype.filter(|d| is_float(*d) || !divides));
            out
        }
        "Greater" | "GreaterEqual" | "Less" | "LessEqual" | "Equal" | "NotEqual" | "LogicalAnd"
        | "LogicalOr" => binary(ctx, args, Some(DType::Bool)),
        "Reshape" => one(reshape(layer, &x), x.dtype),
        "Transpose" => one(transpose(layer, &x), x.dtype),
        "ExpandDims" => one(expand(layer, &x), x.dtype),
        "Concatenate" => {
            let inputs = args.inputs();
            let same = inputs.iter().all(|i| i.dtype == x.dtype);
            let shapes: Vec<_> = inputs.into_iter().map(|i| i.shape).collect();
            one(merge::concatenate(&shapes, layer.int("axis")?), x.dtype.filter(|_| same))
        }
        "Mean" | "Norm" => one(reduce(layer, &x), x.dtype.filter(|d| is_float(*d))),
        "Argmax" | "Argmin" => {
            one(reduce(layer, &x), Some(DType::Int32).filter(|_| layer.int("axis").is_some()))
        }
        "GetItem" => one(x.shape.and_then(|s| slice::sliced(&s, args.value(1, "key")?)), x.dtype),
        "Matmul" => {
            let other = args.tensor(1, "x2")?;
            let same = x.dtype.filter(|d| is_float(*d) && other.dtype == x.dtype);
            one(matmul(&x.shape?, &other.shape?), same)
        }
        "OneHot" => {
            let classes = layer.size("num_classes")?;
            let shape = x
                .shape
                .filter(|_| layer.int("axis") == Some(-1))
                .map(|s| [&s[..], &[Some(classes)]].concat());
            one(shape, layer.text("dtype").and_then(|d| d.parse().ok()))
        }
        "Squeeze" => {
            let mut shape = x.shape?;
            let at = axis(layer.int("axis")?, shape.len())?;
            (shape.remove(at) == Some(1)).then(|| one(Some(shape), x.dtype))?
        }
        "Stack" => {
            let inputs = args.inputs();
            let same = inputs.iter().all(|i| *i == x);
            let mut shape = x.shape.filter(|_| same)?;
            let at = axis(layer.int("axis")?, shape.len() + 1)?;
            shape.insert(at, Some(inputs.len() as u64));
            one(Some(shape), x.dtype)
        }
        "TopK" => {
            let mut shape = x.shape?;
            *shape.last_mut()? = Some(layer.size("k")?);
            vec![Spec::new(Some(shape.clone()), x.dtype), Spec::new(Some(shape), Some(DType::Int32))]
        }
        "Pad" => one(pad(layer, &x), x.dtype),
        "Cast" => one(x.shape, layer.text("dtype").and_then(|d| d.parse().ok())),
        _ => return None,
    })
}

/// A function of TensorFlow in a graph of Keras 2: its first tensor is the call's, all else is given
/// by name.
pub(super) fn tensorflow(ctx: &Ctx, layer: &Layer<'_>, args: &Args<'_>) -> Option<Vec<Spec>> {
    let x = args.first();
    let float = x.dtype.filter(|d| is_float(*d));
    let value = |name: &str| args.value(usize::MAX, name);
    Some(match layer.text("function")? {
        "__operators__.add" | "math.add" | "math.subtract" | "math.multiply" | "math.truediv"
        | "math.divide" | "math.maximum" | "math.minimum" | "math.pow" => {
            let number = value("y").is_some_and(serde_json::Value::is_number);
            match args.kwargs.get("y") {
                Some(_) if number => one(x.shape, float),
                Some(y) => {
                    let y = y.tensors().into_iter().next()?;
                    let alike = x.rank() == y.rank();
                    let dtype = float.filter(|_| x.dtype == y.dtype);
                    one(merge::broadcast(ctx, &[x.shape, y.shape]).filter(|_| alike), dtype)
                }
                None => return None,
            }
        }
        "nn.relu" | "nn.relu6" | "nn.elu" | "nn.selu" | "nn.leaky_relu" | "nn.softmax" | "nn.log_softmax"
        | "nn.sigmoid" | "nn.tanh" | "nn.gelu" | "nn.silu" | "nn.softplus" | "math.sigmoid" | "math.tanh"
        | "math.exp" | "math.log" | "math.abs" | "math.square" | "math.sqrt" | "math.rsqrt"
        | "math.negative" | "math.sin" | "math.cos" | "math.log1p" | "math.softplus"
        | "math.l2_normalize" | "clip_by_value" | "stop_gradient" | "identity" => one(x.shape, float),
        "__operators__.getitem" => {
            one(x.shape.and_then(|s| slice::sliced(&s, value("slice_spec")?)), x.dtype)
        }
        "expand_dims" => {
            let mut shape = x.shape?;
            let at = axis(value("axis").and_then(int)?, shape.len() + 1)?;
            shape.insert(at, Some(1));
            one(Some(shape), x.dtype)
        }
        "concat" => {
            let inputs = args.inputs();
            let same = inputs.iter().all(|i| i.dtype == x.dtype);
            let shapes: Vec<_> = inputs.into_iter().map(|i| i.shape).collect();
            one(merge::concatenate(&shapes, value("axis").and_then(int)?), x.dtype.filter(|_| same))
        }
        "math.reduce_mean" | "math.reduce_sum" | "math.reduce_max" | "math.reduce_min" => {
            let axes = match value("axis") {
                None | Some(serde_json::Value::Null) => None,
                Some(v) => Some(ints(v)?),
            };
            let keep = value("keepdims").and_then(serde_json::Value::as_bool).unwrap_or(false);
            one(x.shape.and_then(|s| reduced(s, axes, keep)), float)
        }
        _ => return None,
    })
}

/// Two tensors, or a tensor and a number; a number is of the tensor's type where that is a float.
fn binary(ctx: &Ctx, args: &Args<'_>, dtype: Option<DType>) -> Vec<Spec> {
    let (a, b) = (args.tensor(0, "x1"), args.tensor(1, "x2"));
    // A whole number does not change whole numbers.
    let kept = |at, name, d: Option<DType>| {
        let whole = args.value(at, name).is_some_and(serde_json::Value::is_i64);
        d.filter(|d| is_float(*d) || whole && matches!(d, DType::Int32 | DType::Int64))
    };
    let number = |at, name| args.value(at, name).is_some_and(serde_json::Value::is_number);
    let (shape, same) = match (a, b) {
        (Some(a), Some(b)) => {
            let same = if a.dtype == b.dtype {
                a.dtype.filter(|d| is_float(*d) || *d == DType::Int32)
            } else {
                None
            };
            // Unlike in layers the batch may be missing from one of them.
            let alike = a.rank() == b.rank();
            (merge::broadcast(ctx, &[a.shape, b.shape]).filter(|_| alike), same)
        }
        (Some(a), None) if number(1, "x2") => (a.shape, kept(1, "x2", a.dtype)),
        (None, Some(b)) if number(0, "x1") => (b.shape, kept(0, "x1", b.dtype)),
        _ => (None, None),
    };
    one(shape, dtype.or(same))
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
    let axes = match layer.get("axis") {
        None => None,
        Some(value) => Some(ints(value)?),
    };
    reduced(x.shape.clone()?, axes, layer.flag("keepdims"))
}

/// A shape without some of its axes, or without all.
fn reduced(mut shape: Shape, axes: Option<Vec<i64>>, keep: bool) -> Option<Shape> {
    let axes: Vec<usize> = match axes {
        None => (0..shape.len()).collect(),
        Some(axes) => axes.into_iter().map(|a| axis(a, shape.len())).collect::<Option<_>>()?,
    };
    if keep {
        axes.iter().for_each(|at| shape[*at] = Some(1));
        return Some(shape);
    }
    Some(shape.iter().enumerate().filter(|(i, _)| !axes.contains(i)).map(|(_, d)| *d).collect())
}

fn matmul(a: &Shape, b: &Shape) -> Option<Shape> {
    if a.len() != b.len() || a.len() < 2 {
        return None;
    }
    let n = a.len() - 2;
    // Batches that differ are broadcast, which is not needed to tell those that do not.
    (a[..n] == b[..n]).then(|| [&a[..=n], &b[n + 1..]].concat())
}

fn pad(layer: &Layer<'_>, x: &Spec) -> Option<Shape> {
    let widths = layer.get("pad_width").and_then(list)?;
    let mut shape = x.shape.clone().filter(|s| s.len() == widths.len())?;
    for (d, width) in shape.iter_mut().zip(widths) {
        let [before, after] = ints(width)?[..] else { return None };
        let sum = u64::try_from(before.checked_add(after)?).ok()?;
        *d = plus(*d, Some(sum));
    }
    Some(shape)
}
