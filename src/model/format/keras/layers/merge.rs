//! Layers that take several tensors: merging, dot products and attention.

use crate::model::contract::{DType, Shape};
use crate::model::format::keras::config::{Layer, list, shape as shape_of};
use crate::model::format::keras::layers::{Ctx, is_float, one};
use crate::model::format::keras::spec::{Args, Spec, axis, plus};

pub(super) fn apply(ctx: &Ctx, layer: &Layer<'_>, args: &Args<'_>) -> Option<Vec<Spec>> {
    Some(match layer.class {
        "Add" | "Subtract" | "Multiply" | "Average" | "Maximum" | "Minimum" => {
            let inputs = args.inputs();
            let mut dtype = merged(ctx, layer, &inputs);
            // Whole numbers are divided, by Keras 2 into what TensorFlow likes.
            if layer.class == "Average" && ctx.keras < 3 {
                dtype = dtype.filter(|d| is_float(*d));
            }
            one(broadcast(ctx, &shapes(&inputs)), dtype)
        }
        "Concatenate" => {
            let inputs = args.inputs();
            let axis = layer.int("axis").unwrap_or(-1);
            one(concatenate(&shapes(&inputs), axis), merged(ctx, layer, &inputs))
        }
        "Dot" => {
            let inputs = args.inputs();
            one(dot(&shapes(&inputs), &layer.ints("axes")?), merged(ctx, layer, &inputs))
        }
        "Merge" => merge(ctx, layer, &args.inputs()),
        "Attention" | "AdditiveAttention" => attention(ctx, layer, args),
        "MultiHeadAttention" => {
            let query = args.tensor(0, "query").unwrap_or_default().shape;
            let out = match (layer.get("output_shape"), &query) {
                (None, _) => query.clone(),
                (Some(told), Some(query)) => {
                    let told = shape_of(told).or_else(|| layer.size("output_shape").map(|n| vec![Some(n)]));
                    told.filter(|_| !query.is_empty()).map(|told| [&query[..query.len() - 1], &told].concat())
                }
                (Some(_), None) => None,
            };
            let value = args.tensor(1, "value").unwrap_or_default().shape;
            let key = args.tensor(2, "key").map_or_else(|| value.clone(), |k| k.shape);
            with_scores(ctx, layer, args, out, query.as_ref(), key.as_ref(), layer.size("num_heads"))
        }
        "GroupedQueryAttention" | "GroupQueryAttention" => {
            let query = args.tensor(0, "query").unwrap_or_default().shape;
            let value = args.tensor(1, "value").unwrap_or_default().shape;
            let key = args.tensor(2, "key").map_or_else(|| value.clone(), |k| k.shape);
            with_scores(
                ctx,
                layer,
                args,
                query.clone(),
                query.as_ref(),
                key.as_ref(),
                layer.size("num_query_heads"),
            )
        }
        _ => return None,
    })
}

fn shapes(inputs: &[Spec]) -> Vec<Option<Shape>> {
    inputs.iter().map(|x| x.shape.clone()).collect()
}

/// The dtype of several tensors together; only Keras 3 has one for tensors that differ.
fn merged(ctx: &Ctx, layer: &Layer<'_>, inputs: &[Spec]) -> Option<DType> {
    if ctx.keras >= 3 {
        return ctx.compute(layer);
    }
    let first = ctx.cast(layer, inputs.first()?.dtype);
    inputs.iter().all(|x| ctx.cast(layer, x.dtype) == first).then_some(first)?
}

/// The shape of what is computed number by number.
pub(super) fn broadcast(ctx: &Ctx, shapes: &[Option<Shape>]) -> Option<Shape> {
    // TensorFlow concludes that what is not fixed is what the other one is, or one.
    let concludes = ctx.keras < 3 && ctx.autocast;
    let mut all = shapes.iter();
    let mut out = all.next()?.clone()?;
    for shape in all {
        out = pair(&out, shape.as_ref()?, concludes)?;
    }
    Some(out)
}

/// Two shapes. Keras merges tensors of different ranks by putting ones behind the batch, which is
/// the same as numpy's rule where the batch of both is alike.
fn pair(a: &Shape, b: &Shape, concludes: bool) -> Option<Shape> {
    let (long, short) = if a.len() >= b.len() { (a, b) } else { (b, a) };
    let mut out = long.clone();
    if short.is_empty() {
        return Some(out);
    }
    let offset = long.len() - short.len();
    for (i, d) in short.iter().enumerate() {
        let at = if i == 0 { 0 } else { i + offset };
        out[at] = match (out[at], *d) {
            (Some(1), d) | (d, Some(1)) => d,
            (Some(x), Some(y)) if x != y => return None,
            (Some(x), Some(_)) => Some(x),
            (None, d) | (d, None) if concludes => d,
            // One that is not fixed may be one.
            (None, _) | (_, None) => None,
        };
    }
    Some(out)
}

pub(super) fn concatenate(shapes: &[Option<Shape>], number: i64) -> Option<Shape> {
    let mut all = shapes.iter();
    let mut out = all.next()?.clone()?;
    let at = axis(number, out.len())?;
    for shape in all {
        let shape = shape.as_ref().filter(|s| s.len() == out.len())?;
        for (i, d) in shape.iter().enumerate() {
            if i == at {
                out[i] = plus(out[i], *d);
            } else if out[i] != *d {
                // What one of them leaves open the others fix, but versions differ in saying so.
                out[i] = None;
            }
        }
    }
    Some(out)
}

fn dot(shapes: &[Option<Shape>], axes: &[i64]) -> Option<Shape> {
    let [Some(a), Some(b)] = shapes else { return None };
    let (x, y) = match axes {
        [both] => (*both, *both),
        [x, y] => (*x, *y),
        _ => return None,
    };
    let (mut a, mut b) = (a.clone(), b.clone());
    a.remove(axis(x, a.len()).filter(|at| *at > 0)?);
    b.remove(axis(y, b.len()).filter(|at| *at > 0)?);
    b.remove(0);
    a.extend(b);
    if a.len() == 1 {
        a.push(Some(1));
    }
    Some(a)
}

/// The layer of Keras 1 that did all of them.
fn merge(ctx: &Ctx, layer: &Layer<'_>, inputs: &[Spec]) -> Vec<Spec> {
    let shapes = shapes(inputs);
    let code = layer.text("mode_type").is_some_and(|t| t != "raw");
    let shape = match layer.text("mode").filter(|_| !code) {
        Some("sum" | "mul" | "ave" | "max") => broadcast(ctx, &shapes),
        Some("concat") => layer.int("concat_axis").and_then(|axis| concatenate(&shapes, axis)),
        Some("dot" | "cos") => {
            let axes = layer.get("dot_axes");
            // Lists of lists are from before 1.0.
            let flat = axes.and_then(list).is_none_or(|l| l.iter().all(|i| !i.is_array()));
            let axes = layer.ints("dot_axes").filter(|_| flat);
            axes.and_then(|axes| dot(&shapes, &axes)).filter(|_| layer.text("mode") == Some("dot"))
        }
        _ => None,
    };
    one(shape, merged(ctx, layer, inputs))
}

/// Query, value and perhaps key in one list; with the scores where the call asks for them.
fn attention(ctx: &Ctx, layer: &Layer<'_>, args: &Args<'_>) -> Vec<Spec> {
    let inputs = args.inputs();
    let get = |at: usize| inputs.get(at).and_then(|x| x.shape.clone()).filter(|s| !s.is_empty());
    let (query, value) = (get(0), get(1));
    let key = if inputs.len() > 2 { get(2) } else { value.clone() };
    let shape =
        query.as_ref().zip(value.as_ref()).map(|(q, v)| [&q[..q.len() - 1], &v[v.len() - 1..]].concat());
    let dtype = result(ctx, layer, inputs.first());
    let mut out = one(shape, dtype);
    if args.flag("return_attention_scores") == Some(true) {
        let scores = query.zip(key).filter(|(_, k)| k.len() > 1);
        let scores = scores.map(|(q, k)| [&q[..q.len() - 1], &[k[k.len() - 2]]].concat());
        out.push(Spec::new(scores, dtype));
    }
    out
}

fn result(ctx: &Ctx, layer: &Layer<'_>, x: Option<&Spec>) -> Option<DType> {
    let dtype = ctx.cast(layer, x.and_then(|x| x.dtype));
    if ctx.keras >= 3 { ctx.compute(layer) } else { dtype.filter(|d| is_float(*d)) }
}

fn with_scores(
    ctx: &Ctx,
    layer: &Layer<'_>,
    args: &Args<'_>,
    out: Option<Shape>,
    query: Option<&Shape>,
    key: Option<&Shape>,
    heads: Option<u64>,
) -> Vec<Spec> {
    let dtype = ctx.compute(layer);
    let mut all = one(out, dtype);
    if args.flag("return_attention_scores") == Some(true) {
        let plain = query.zip(key).filter(|(q, k)| q.len() == 3 && k.len() == 3);
        let own_axes = layer.get("attention_axes").is_some_and(|a| *a != serde_json::json!([1]));
        let scores = plain.filter(|_| !own_axes).map(|(q, k)| {
            // Keras 3 says that there are as many keys as queries, whatever there are.
            let keys = if q[1] == k[1] { k[1] } else { None };
            vec![q[0], heads, q[1], keys]
        });
        all.push(Spec::new(scores, dtype));
    }
    all
}
