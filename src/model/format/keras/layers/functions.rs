//! Functions of TensorFlow in a graph of Keras 2: `tf.concat([x, y], 1)`, `x[:, 0]`, `x + 1.0`.
//!
//! Such a layer (`TFOpLambda`) names the function. Its first tensor is the call's, all else is given
//! by name; where the first argument is a number, the tensor is among those. TensorFlow promotes
//! nothing: both sides of an operator are of one dtype.

use serde_json::Value;

use crate::model::contract::{DType, Shape};
use crate::model::format::keras::config::{self, Layer, int, ints, size};
use crate::model::format::keras::layers::ops::elementwise::{broadcast, reduced};
use crate::model::format::keras::layers::ops::{arrays, products};
use crate::model::format::keras::layers::{is_float, merge, one, slice};
use crate::model::format::keras::spec::{Arg, Args, Spec, axis, times};

/// What stands in the place of a layer where the first argument is a number.
const CONSTANT: &str = "_CONSTANT_VALUE";

pub(super) fn apply(layer: &Layer<'_>, args: &Args<'_>) -> Option<Vec<Spec>> {
    let (x, named) = unpacked(args)?;
    let function = layer.text("function")?;
    let name = function.strip_prefix("compat.v1.").unwrap_or(function);
    let value = |key: &str| match named.get(key)? {
        Arg::Const(value) if !value.is_null() => Some(*value),
        _ => None,
    };
    let tensor = |key: &str| match named.get(key)? {
        Arg::Tensor(spec) => Some(spec.clone()),
        _ => None,
    };
    let shape = x.shape.clone();
    let float = x.dtype.filter(|d| is_float(*d));
    let same = |shape: Option<Shape>| Some(one(shape, x.dtype));
    let told = |key: &str, or: DType| match named.get(key) {
        None | Some(Arg::Const(Value::Null)) => Some(or),
        Some(Arg::Const(v)) => v.as_str().and_then(config::dtype),
        Some(_) => None,
    };
    match name {
        "__operators__.add"
        | "math.add"
        | "math.subtract"
        | "math.multiply"
        | "math.maximum"
        | "math.minimum"
        | "math.pow"
        | "pow"
        | "math.floordiv"
        | "floor_div"
        | "math.floormod"
        | "math.mod"
        | "add"
        | "subtract"
        | "multiply"
        | "maximum"
        | "minimum"
        | "math.squared_difference"
        | "math.divide_no_nan" => operator(
            &x,
            named.get("y")?,
            x.dtype.filter(|d| is_float(*d) || matches!(d, DType::Int32 | DType::Int64)),
        ),
        "math.truediv" | "math.divide" | "math.xlogy" | "math.atan2" | "divide" | "truediv" => {
            operator(&x, named.get("y")?, float)
        }
        "math.greater" | "math.greater_equal" | "math.less" | "math.less_equal" | "math.equal"
        | "math.not_equal" | "__operators__.eq" | "__operators__.ne" | "math.logical_and"
        | "math.logical_or" => {
            operator(&x, named.get("y").or_else(|| named.get("other"))?, Some(DType::Bool))
        }
        "nn.relu" | "nn.relu6" | "nn.elu" | "nn.selu" | "nn.leaky_relu" | "nn.softmax" | "nn.log_softmax"
        | "nn.sigmoid" | "nn.tanh" | "nn.gelu" | "nn.silu" | "nn.softplus" | "nn.softsign"
        | "math.sigmoid" | "math.tanh" | "math.exp" | "math.expm1" | "math.log" | "math.abs"
        | "math.square" | "math.sqrt" | "math.rsqrt" | "math.negative" | "math.sin" | "math.cos"
        | "math.tan" | "math.log1p" | "math.softplus" | "math.l2_normalize" | "math.erf"
        | "math.reciprocal" | "math.sign" | "math.floor" | "math.ceil" | "math.round" | "round"
        | "sigmoid" | "tanh" | "exp" | "sqrt" | "square" | "abs" | "nn.l2_normalize" | "math.cumsum" => {
            one_of(shape, float)
        }
        "identity" | "stop_gradient" | "clip_by_value" | "reverse" | "roll" | "sort" => same(shape),
        "math.logical_not" | "math.is_nan" | "math.is_finite" | "math.is_inf" => {
            one_of(shape, Some(DType::Bool))
        }
        "zeros_like" | "ones_like" => one_of(shape, x.dtype.and_then(|d| told("dtype", d))),
        "cast" => one_of(shape, told("dtype", DType::Float32).filter(|_| named.contains_key("dtype"))),
        "where" => {
            let other = |arg: Option<&Arg<'_>>| match arg? {
                Arg::Tensor(spec) => Some(spec.clone()),
                Arg::Const(v) if v.is_number() => Some(Spec::new(Some(Vec::new()), None)),
                _ => None,
            };
            let (a, b) = (other(named.get("x"))?, other(named.get("y"))?);
            let out = broadcast(shape.as_ref(), a.shape.as_ref());
            let out = out.and_then(|s| broadcast(Some(&s), b.shape.as_ref()));
            let dtype = match (a.dtype, b.dtype) {
                (Some(a), Some(b)) => (a == b).then_some(a),
                (a, b) => a.or(b),
            };
            one_of(out, dtype.filter(|d| is_float(*d)))
        }
        "__operators__.getitem" => same(shape.and_then(|s| slice::sliced(&s, value("slice_spec")?))),
        "reshape" => same(shape.and_then(|s| arrays::reshaped(&s, &value("shape").and_then(ints)?))),
        "transpose" => {
            let axes = named.get("perm").is_none_or(|a| matches!(a, Arg::Const(Value::Null)));
            let perm = value("perm").and_then(ints);
            same(shape.filter(|_| axes || perm.is_some()).and_then(|s| arrays::transposed(s, perm)))
        }
        "expand_dims" => same(shape.and_then(|s| arrays::expanded(s, &[value("axis").and_then(int)?]))),
        "squeeze" => {
            let axes = value("axis").or_else(|| value("squeeze_dims")).and_then(ints);
            // Without axes what is not fixed may go too.
            same(
                shape
                    .filter(|s| axes.is_some() || !s.contains(&None))
                    .and_then(|s| arrays::squeezed(s, axes)),
            )
        }
        "tile" => {
            let times = value("multiples").and_then(ints);
            same(
                shape.zip(times).filter(|(s, t)| s.len() == t.len()).and_then(|(s, t)| arrays::tiled(&s, &t)),
            )
        }
        "pad" => same(shape.and_then(|s| {
            let widths = value("paddings").filter(|v| v.as_array().is_some_and(|l| l.len() == s.len()))?;
            arrays::padded(s, widths)
        })),
        "concat" => {
            let inputs = every(args)?;
            let alike = inputs.iter().all(|i| i.dtype == x.dtype);
            let shapes: Vec<_> = inputs.into_iter().map(|i| i.shape).collect();
            one_of(merge::concatenate(&shapes, value("axis").and_then(int)?), x.dtype.filter(|_| alike))
        }
        "stack" => {
            let inputs = every(args)?;
            let mut shape = shape.filter(|_| inputs.iter().all(|i| *i == x))?;
            let at = axis(value("axis").map_or(Some(0), int)?, shape.len() + 1)?;
            shape.insert(at, Some(inputs.len() as u64));
            same(Some(shape))
        }
        "split" => {
            let number = value("axis").map_or(Some(0), int)?;
            match value("num_or_size_splits")? {
                n if n.is_number() => arrays::split(&x, n, number),
                lengths => {
                    let shape = shape?;
                    let at = axis(number, shape.len())?;
                    let part = |n: i64| {
                        let mut shape = shape.clone();
                        shape[at] = u64::try_from(n).ok();
                        Spec::new(Some(shape), x.dtype)
                    };
                    Some(ints(lengths)?.into_iter().map(part).collect())
                }
            }
        }
        "unstack" => {
            let mut rest = shape?;
            let at = axis(value("axis").map_or(Some(0), int)?, rest.len())?;
            let n = rest.remove(at).filter(|n| *n <= 1000)?;
            Some(vec![Spec::new(Some(rest), x.dtype); usize::try_from(n).ok()?])
        }
        "gather" => {
            let indices = match named.get("indices")? {
                Arg::Tensor(spec) => spec.shape.clone(),
                Arg::Const(v) => super::ops::extent(v),
                _ => None,
            };
            let plain = value("batch_dims").is_none_or(|v| int(v) == Some(0));
            let zero = Value::from(0);
            let number = value("axis").unwrap_or(&zero);
            same(shape.zip(indices).filter(|_| plain).and_then(|(s, i)| arrays::taken(&s, &i, Some(number))))
        }
        "linalg.matmul" | "matmul" => {
            let other = tensor("b")?;
            let flag = |key: &str| value(key).and_then(Value::as_bool).unwrap_or(false);
            let turned = |s: Option<Shape>, turn: bool| {
                s.filter(|s| s.len() >= 2).map(|mut s| {
                    let n = s.len();
                    if turn {
                        s.swap(n - 1, n - 2);
                    }
                    s
                })
            };
            let odd = flag("adjoint_a") || flag("adjoint_b");
            let (a, b) = (turned(shape, flag("transpose_a")), turned(other.shape, flag("transpose_b")));
            let out = a.zip(b).filter(|_| !odd).and_then(|(a, b)| products::matmul(&a, &b));
            one_of(out, float.filter(|_| other.dtype == x.dtype))
        }
        "math.argmax" | "math.argmin" | "argmax" | "argmin" => {
            let at = value("axis").or_else(|| value("dimension")).map_or(Some(0), int)?;
            one_of(shape.and_then(|s| reduced(s, Some(vec![at]), false)), told("output_type", DType::Int64))
        }
        "math.reduce_mean"
        | "math.reduce_sum"
        | "math.reduce_max"
        | "math.reduce_min"
        | "math.reduce_prod"
        | "math.reduce_logsumexp"
        | "math.reduce_std"
        | "math.reduce_variance"
        | "math.reduce_any"
        | "math.reduce_all"
        | "norm"
        | "linalg.norm"
        | "reduce_mean"
        | "reduce_sum"
        | "reduce_max"
        | "reduce_min" => {
            let axes = match named.get("axis") {
                None | Some(Arg::Const(Value::Null)) => None,
                Some(Arg::Const(v)) => Some(ints(v)?),
                Some(_) => return None,
            };
            let keep = value("keepdims").and_then(Value::as_bool).unwrap_or(false);
            let logical = matches!(name, "math.reduce_any" | "math.reduce_all");
            one_of(
                shape.and_then(|s| reduced(s, axes, keep)),
                if logical { Some(DType::Bool) } else { float },
            )
        }
        "one_hot" => {
            let depth = value("depth").and_then(size)?;
            let plain = value("axis").is_none_or(|a| int(a) == Some(-1));
            let out = shape.filter(|_| plain).map(|s| [&s[..], &[Some(depth)]].concat());
            one_of(out, told("dtype", DType::Float32))
        }
        "math.top_k" | "nn.top_k" => {
            let mut shape = shape?;
            *shape.last_mut()? = value("k").map_or(Some(1), size);
            Some(vec![Spec::new(Some(shape.clone()), x.dtype), Spec::new(Some(shape), Some(DType::Int32))])
        }
        "shape" => one_of(Some(vec![Some(shape?.len() as u64)]), told("out_type", DType::Int32)),
        "image.resize" => {
            let [height, width] = value("size").and_then(ints)?[..] else { return None };
            let plain = !value("preserve_aspect_ratio").and_then(Value::as_bool).unwrap_or(false);
            let shape = shape.filter(|s| plain && matches!(s.len(), 3 | 4)).map(|mut s| {
                let at = s.len() - 3;
                (s[at], s[at + 1]) = (u64::try_from(height).ok(), u64::try_from(width).ok());
                s
            });
            let nearest = value("method").is_some_and(|m| m.as_str() == Some("nearest"));
            one_of(shape, if nearest { x.dtype } else { x.dtype.filter(|d| *d == DType::Float32) })
        }
        "nn.depth_to_space" | "nn.space_to_depth" => {
            let [batch, height, width, channels] = shape?[..] else { return None };
            let n = value("block_size").and_then(size).filter(|n| *n > 0)?;
            let square = n.checked_mul(n)?;
            let plain = value("data_format").is_none_or(|f| f.as_str() == Some("NHWC"));
            let out = if name == "nn.depth_to_space" {
                vec![batch, times(height, n), times(width, n), channels.map(|c| c / square)]
            } else {
                vec![batch, height.map(|d| d / n), width.map(|d| d / n), times(channels, square)]
            };
            same(Some(out).filter(|_| plain))
        }
        _ => None,
    }
}

type Named<'a> = std::collections::BTreeMap<String, Arg<'a>>;

fn one_of(shape: Option<Shape>, dtype: Option<DType>) -> Option<Vec<Spec>> {
    Some(one(shape, dtype))
}

/// The first argument, and those given by name; a number in the first place is a scalar of which
/// only its rank is known.
fn unpacked<'a, 'v>(args: &'a Args<'v>) -> Option<(Spec, &'a Named<'v>)> {
    if let Some(Arg::List(items)) = args.args.first()
        && let [Arg::Const(Value::String(mark)), _, Arg::Const(number), Arg::Dict(named)] = items.as_slice()
        && mark == CONSTANT
    {
        // The dtype of a number is that of the tensor beside it.
        let dtype = named.get("y").and_then(|y| if let Arg::Tensor(spec) = y { spec.dtype } else { None });
        let scalar = number.is_number().then(|| Spec::new(Some(Vec::new()), dtype))?;
        return Some((scalar, named));
    }
    Some((args.first(), &args.kwargs))
}

/// Two sides, of which the second may be a number.
fn operator(x: &Spec, y: &Arg<'_>, dtype: Option<DType>) -> Option<Vec<Spec>> {
    match y {
        Arg::Const(v) if v.is_number() || v.is_boolean() => one_of(x.shape.clone(), dtype),
        Arg::Tensor(y) => {
            let logical = dtype == Some(DType::Bool);
            one_of(
                broadcast(x.shape.as_ref(), y.shape.as_ref()),
                dtype.filter(|_| logical || x.dtype == y.dtype),
            )
        }
        _ => None,
    }
}

/// The tensors of a list, where every item is one.
fn every(args: &Args<'_>) -> Option<Vec<Spec>> {
    match args.args.first()? {
        Arg::Tensor(one) => Some(vec![one.clone()]),
        Arg::List(items) => {
            items.iter().map(|i| if let Arg::Tensor(spec) = i { Some(spec.clone()) } else { None }).collect()
        }
        _ => None,
    }
}
