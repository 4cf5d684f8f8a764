//! Operations that work number by number, along axes, or only tell something of each number.
//!
//! Dtypes are those that `compute_output_spec` of the operation names (keras/src/ops/numpy.py, nn.py,
//! math.py); where versions of Keras differ nothing is told.

use crate::model::contract::{DType, Shape};
use crate::model::format::keras::config::{Layer, ints};
use crate::model::format::keras::layers::ops::operand::{
    Kind, Operand, counted, floated, is_wide, join, settle, tensors_together, together,
};
use crate::model::format::keras::layers::{Ctx, is_float, one};
use crate::model::format::keras::spec::{Arg, Args, Spec, axis, times};

/// The rule of an operation with one tensor.
pub(super) fn unary(ctx: &Ctx, layer: &Layer<'_>, args: &Args<'_>) -> Option<Vec<Spec>> {
    let x = args.first();
    let float = x.dtype.and_then(|d| floated(d, ctx.floatx));
    // What only has floats, or is one already.
    let wide = if x.dtype.is_some_and(is_float) { x.dtype } else { float };
    Some(match layer.class {
        "Copy" | "Flip" | "Fliplr" | "Flipud" | "StopGradient" | "Conjugate" | "Real" | "Imag"
        | "Absolute" | "Abs" | "Round" | "BitwiseInvert" | "BitwiseNot" | "Trunc" | "Negative" | "Sign"
        | "NanToNum" | "Sigmoid" | "Silu" | "Swish" | "Rsqrt" | "Erf" => one(x.shape, x.dtype),
        // Whole numbers stay whole; truth values are told to stay and do not.
        "Relu"
        | "Roll"
        | "Tril"
        | "Triu"
        | "HardTanh"
        | "Threshold"
        | "Cholesky"
        | "CholeskyInverse"
        | "Inv"
        | "GaussianBlur"
        | "ElasticTransform"
        | "RGBToHSV"
        | "HSVToRGB"
        | "LayerNorm"
        | "BatchNorm"
        | "AffineTransform"
        | "PerspectiveTransform"
        | "ScatterUpdate"
        | "SliceUpdate"
        | "DotProductAttention" => one(x.shape, x.dtype.filter(|d| *d != DType::Bool)),
        "Square" | "Clip" => {
            let counts = x.dtype.map(|d| if d == DType::Bool { DType::Int32 } else { d });
            one(x.shape, counts)
        }
        // Of whole numbers these are told to stay whole, and are computed as floats.
        "Relu6" | "LeakyRelu" | "Elu" | "Selu" | "Celu" | "SparseSigmoid" | "Softplus" | "Softsign"
        | "SparsePlus" | "LogSigmoid" | "HardSigmoid" | "HardSilu" | "HardSwish" | "TanhShrink"
        | "SoftShrink" | "HardShrink" | "Squareplus" | "Gelu" | "Softmax" | "LogSoftmax" | "Sparsemax"
        | "Erfinv" => one(x.shape, x.dtype.filter(|d| is_float(*d))),
        "Log" | "Log10" | "Log1p" | "Log2" | "Sqrt" | "Sin" | "Sinh" | "Cos" | "Cosh" | "Tan" | "Tanh"
        | "Arccos" | "Arccosh" | "Arcsin" | "Arcsinh" | "Arctan" | "Arctanh" | "Angle" | "Sinc" | "Erfc"
        | "Ceil" | "Floor" => one(x.shape, float),
        // These ask for the dtype themselves, so that wide floats stay.
        "Exp" | "Exp2" | "Expm1" | "Fabs" => one(x.shape, wide),
        "Cbrt" | "Deg2rad" | "Rad2deg" | "I0" => {
            let dtype = if x.dtype == Some(DType::Int64) { Some(DType::Float64) } else { wide };
            one(x.shape, dtype)
        }
        "Corrcoef" => one(x.shape, float.filter(|_| x.dtype != Some(DType::Int64))),
        "Isfinite" | "Isinf" | "Isnan" | "Isneginf" | "Isposinf" | "Isreal" | "LogicalNot" | "Signbit"
        | "IsIn" => one(x.shape, Some(DType::Bool)),
        // These forget the dtype, but what they compute remembers floats.
        "Reciprocal" | "Normalize" => one(x.shape, float.filter(|f| Some(*f) == ctx.floatx)),
        // From Keras 3.11 on it is told to remember the dtype.
        "RMSNorm" => one(x.shape, x.dtype.filter(|d| ctx.minor >= 11 || Some(*d) == ctx.floatx)),
        "OnesLike" | "ZerosLike" | "EmptyLike" | "FullLike" | "Array" | "ConvertToTensor" => {
            // Until Keras 3.9 the dtype was an argument of the call.
            let called = match args.value(usize::MAX, "dtype").filter(|v| !v.is_null()) {
                Some(value) => Some(value.as_str()?.parse().ok()?),
                None => None,
            };
            one(x.shape, named_dtype(layer)?.or(called).or(x.dtype))
        }
        "Cast" | "SaturateCast" => one(x.shape, named_dtype(layer)?),
        "Cumsum" | "Cumprod" | "Nancumsum" | "Nancumprod" => {
            let counts = x.dtype.map(|d| if d == DType::Bool { DType::Int32 } else { d });
            let dtype = named_dtype(layer)?.or(counts);
            one(along(layer, x.shape)?, dtype)
        }
        "Sort" => one(along(layer, x.shape)?, x.dtype),
        "Argsort" | "Argpartition" => one(along(layer, x.shape)?, Some(DType::Int32)),
        "Digitize" => one(x.shape, Some(DType::Int32)),
        "InTopK" => one(x.shape, Some(DType::Bool)),
        "Size" => one(Some(Vec::new()), Some(DType::Int32)),
        "AllClose" => one(Some(Vec::new()), Some(DType::Bool)),
        _ => return reduction(ctx, layer, args, float, wide),
    })
}

/// What goes over axes, or over all of them.
fn reduction(
    ctx: &Ctx,
    layer: &Layer<'_>,
    args: &Args<'_>,
    float: Option<DType>,
    wide: Option<DType>,
) -> Option<Vec<Spec>> {
    let x = &args.first();
    let known = x.dtype;
    let dtype = match layer.class {
        "Max" | "Min" | "Amax" | "Amin" => known,
        "Ptp" => known.filter(|d| *d != DType::Bool),
        "Nanprod" => known.and_then(counted),
        // JAX makes these half as wide.
        "Sum" | "Nansum" => known.and_then(counted).filter(|d| !is_wide(*d)),
        "Nanmax" | "Nanmin" => known.filter(|d| !is_wide(*d)),
        "Prod" => match named_dtype(layer)? {
            Some(told) => Some(told),
            None => known.and_then(counted),
        },
        "Var" | "Median" | "Nanmean" | "Nanmedian" | "Nanstd" | "Nanvar" => float,
        // The mean of whole numbers is not of the dtype that floats have, but of this one.
        "Mean" => wide.filter(|d| known.is_some_and(is_float) || *d == DType::Float32),
        "Std" | "Norm" => wide,
        "Average" => {
            let weights = match args.args.get(1).or_else(|| args.kwargs.get("weights")) {
                None | Some(Arg::Const(serde_json::Value::Null)) => None,
                Some(_) => Some(Operand::at(args, 1, &["weights"])?),
            };
            let all = [Some(Operand::of(x.clone())), weights];
            let kind = all.iter().flatten().try_fold(Kind::WeakFloat, |k, o| join(k, o.kind?));
            kind.and_then(|k| settle(k, ctx.floatx)).filter(|d| !is_wide(*d))
        }
        "Logsumexp" => float.filter(|f| Some(*f) == ctx.floatx),
        "All" | "Any" => Some(DType::Bool),
        "Argmax" | "Argmin" | "Nanargmax" | "Nanargmin" | "CountNonzero" => Some(DType::Int32),
        _ => return None,
    };
    // Before Keras 3.15 it is told of places that all axes stay as they were.
    let places = matches!(layer.class, "Argmax" | "Argmin") && layer.flag("keepdims");
    Some(one(reduced_by(layer, x).filter(|_| !places || ctx.minor >= 15), dtype))
}

/// The dtype that the operation was told; the outer `None` is one that cannot be read.
#[expect(clippy::option_option, reason = "not told, and told but not understood, are different")]
fn named_dtype(layer: &Layer<'_>) -> Option<Option<DType>> {
    match layer.get("dtype") {
        None => Some(None),
        Some(value) => value.as_str()?.parse().ok().map(Some),
    }
}

/// The shape of what goes along one axis; without one all numbers are put in a row.
#[expect(clippy::option_option, reason = "the rule may fail, and the shape may be unknown")]
fn along(layer: &Layer<'_>, shape: Option<Shape>) -> Option<Option<Shape>> {
    if layer.config.get("axis").is_some_and(serde_json::Value::is_null) {
        let all = shape.map(|s| vec![s.iter().try_fold(1, |n, d| times(*d, n))]);
        return Some(all);
    }
    layer.int("axis")?;
    Some(shape)
}

fn reduced_by(layer: &Layer<'_>, x: &Spec) -> Option<Shape> {
    let axes = match layer.get("axis").or_else(|| layer.get("axes")) {
        None => None,
        Some(value) => Some(ints(value)?),
    };
    reduced(x.shape.clone()?, axes, layer.flag("keepdims"))
}

/// A shape without some of its axes, or without all.
pub(in super::super) fn reduced(mut shape: Shape, axes: Option<Vec<i64>>, keep: bool) -> Option<Shape> {
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

/// Mean and variance.
pub(super) fn moments(layer: &Layer<'_>, x: &Spec) -> Vec<Spec> {
    let one = Spec::new(reduced_by(layer, x), x.dtype.filter(|d| is_float(*d)));
    vec![one.clone(), one]
}

/// Values at fractions of the way from the least to the greatest.
pub(super) fn quantile(ctx: &Ctx, layer: &Layer<'_>, args: &Args<'_>) -> Option<Vec<Spec>> {
    let x = args.first();
    // Several fractions are a first axis; before Keras 3.15 it is told that those of a list are not.
    let listed = args.value(1, "q").is_some_and(serde_json::Value::is_array);
    let q = Operand::or_list(args, 1, &["q"])?.shape.filter(|_| !listed || ctx.minor >= 15);
    let rest = reduced_by(layer, &x);
    let shape = match q.as_deref() {
        Some([]) => rest,
        Some([n]) => rest.map(|rest| [&[*n][..], &rest].concat()),
        _ => None,
    };
    let dtype = x.dtype.filter(|d| *d != DType::Int64).and_then(|d| floated(d, ctx.floatx));
    Some(one(shape, dtype))
}

/// The rule of an operation with two tensors, or a tensor and a number.
pub(super) fn binary(ctx: &Ctx, layer: &Layer<'_>, args: &Args<'_>) -> Option<Vec<Spec>> {
    let a = Operand::or_list(args, 0, &["x1", "x"]);
    let b = Operand::or_list(args, 1, &["x2", "y"]);
    let (a, b) = (a.unwrap_or_default(), b.unwrap_or_default());
    let same = together([&a, &b], ctx.floatx);
    let dtype = match layer.class {
        "Add" | "Subtract" | "Multiply" | "Maximum" | "Minimum" | "Fmax" | "Fmin" | "BitwiseAnd"
        | "BitwiseOr" | "BitwiseXor" => same,
        "Gcd" | "Lcm" => tensors_together(&a, &b, false, ctx.floatx),
        "Ldexp" | "Nextafter" => tensors_together(&a, &b, true, ctx.floatx),
        "Mod" | "Fmod" => same.map(|d| if d == DType::Bool { DType::Int32 } else { d }),
        "Power" | "FloorDivide" => same.filter(|d| *d != DType::Bool),
        "Divide" | "TrueDivide" | "DivideNoNan" | "Logaddexp" | "Logaddexp2" => {
            let kind = a.kind.zip(b.kind).and_then(|(a, b)| join(join(a, b)?, Kind::WeakFloat));
            let dtype = kind.and_then(|k| settle(k, ctx.floatx)).filter(|d| !is_wide(*d));
            // Some make tensors of floats first.
            let strict =
                layer.class.starts_with("Logaddexp") && [a.kind, b.kind].contains(&Some(Kind::WeakFloat));
            dtype.filter(|d| !strict || Some(*d) == ctx.floatx)
        }
        "Arctan2" => {
            // Numbers of Python, and lists of them, are told to be of the dtype that floats have, and
            // are computed as what they are.
            let counted_as = |o: &Operand, other: Option<Kind>| {
                let kind = match o.kind {
                    Some(Kind::Fixed(_)) => o.kind,
                    _ => other.filter(|_| o.shape.is_some()),
                };
                Operand { shape: None, kind }
            };
            let of = |other: Option<Kind>| {
                tensors_together(&counted_as(&a, other), &counted_as(&b, other), true, ctx.floatx)
            };
            of(ctx.floatx.map(Kind::Fixed)).filter(|told| of(Some(Kind::WeakInt)) == Some(*told))
        }
        "Heaviside" | "Hypot" => match same {
            Some(d) if is_float(d) => Some(d),
            Some(DType::Bool) | None => None,
            Some(_) => ctx.floatx,
        },
        "Greater" | "GreaterEqual" | "Less" | "LessEqual" | "Equal" | "NotEqual" | "LogicalAnd"
        | "LogicalOr" | "LogicalXor" | "Isclose" => Some(DType::Bool),
        "BitwiseLeftShift" | "LeftShift" | "BitwiseRightShift" | "RightShift" => {
            let dtype =
                if b.kind == Some(Kind::WeakInt) { a.kind.and_then(|k| settle(k, None)) } else { same };
            dtype.filter(|d| *d != DType::Bool)
        }
        _ => return None,
    };
    let shape = broadcast(a.shape.as_ref(), b.shape.as_ref());
    // Of these the first tensor's shape is told, which holds where the second one adds nothing to it.
    let first = layer.class.starts_with("Bitwise") || layer.class.ends_with("Shift");
    let shape = if first { a.shape.filter(|a| shape.is_some_and(|s| covers(a, &s))) } else { shape };
    Some(one(shape, dtype))
}

/// Whether one shape says the same as the other, or less.
fn covers(open: &Shape, shape: &Shape) -> bool {
    open.len() == shape.len() && open.iter().zip(shape).all(|(a, b)| a.is_none() || a == b)
}

/// One of two, by a third.
pub(super) fn chosen(ctx: &Ctx, args: &Args<'_>) -> Option<Vec<Spec>> {
    let condition = Operand::at(args, 0, &["condition"])?;
    let (a, b) = (Operand::at(args, 1, &["x1"])?, Operand::at(args, 2, &["x2"])?);
    let shape = broadcast(condition.shape.as_ref(), a.shape.as_ref());
    let shape = shape.and_then(|s| broadcast(Some(&s), b.shape.as_ref()));
    Some(one(shape, together([&a, &b], ctx.floatx)))
}

/// Two shapes together, as numpy has it: what is not fixed is what the other one is
/// (keras/src/ops/operation_utils.py `broadcast_shapes`).
pub(in super::super) fn broadcast(a: Option<&Shape>, b: Option<&Shape>) -> Option<Shape> {
    let (a, b) = (a?, b?);
    let rank = a.len().max(b.len());
    let at = |s: &Shape, i: usize| (i + s.len()).checked_sub(rank).map_or(Some(1), |at| s[at]);
    (0..rank)
        .map(|i| match (at(a, i), at(b, i)) {
            (Some(1), d) | (d, Some(1)) => Some(d),
            (None, d) | (d, None) => Some(d),
            (Some(m), Some(n)) => (m == n).then_some(Some(m)),
        })
        .collect()
}
