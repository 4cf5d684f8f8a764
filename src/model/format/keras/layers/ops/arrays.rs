//! Operations that lay numbers out anew, take some of them, or put several tensors together.

use serde_json::Value;

use crate::model::contract::{DType, Shape};
use crate::model::format::MAX_RANK;
use crate::model::format::keras::config::{Layer, int, ints, list, size};
use crate::model::format::keras::layers::ops::elementwise::broadcast;
use crate::model::format::keras::layers::ops::operand::{
    Kind, Operand, bits, extent, floated, is_wide, join, settle, together,
};
use crate::model::format::keras::layers::{Ctx, merge, one, slice};
use crate::model::format::keras::spec::{Arg, Args, Spec, axis, plus, times};

/// The most parts that something is split into.
const MAX_PARTS: u64 = 1000;

/// The rule of an operation of this kind; `None` where it is another, or where it does not hold.
pub(super) fn apply(ctx: &Ctx, layer: &Layer<'_>, args: &Args<'_>) -> Option<Vec<Spec>> {
    let x = args.first();
    let shape = x.shape.clone();
    let same = |shape: Option<Shape>| Some(one(shape, x.dtype));
    match layer.class {
        "Reshape" => {
            let target = layer.get("newshape")?;
            let open = list(target).is_some_and(|all| all.contains(&Value::Null));
            if open {
                // What is not fixed in the target is not fixed in the end.
                return same(crate::model::format::keras::config::shape(target));
            }
            same(shape.and_then(|s| reshaped(&s, &ints(target)?)))
        }
        "Transpose" => same(shape.and_then(|s| transposed(s, layer.ints("axes")))),
        "ExpandDims" => same(shape.and_then(|s| expanded(s, &layer.ints("axis")?))),
        "Squeeze" => same(shape.and_then(|s| squeezed(s, layer.ints("axis")))),
        "Ravel" => same(shape.map(|s| vec![all(&s)])),
        "Swapaxes" => same(shape.and_then(|s| swapped(s, layer.int("axis1")?, layer.int("axis2")?))),
        "Moveaxis" => {
            same(shape.and_then(|s| moved(&s, &layer.ints("source")?, &layer.ints("destination")?)))
        }
        "Rot90" => {
            let [a, b] = layer.ints("axes")?[..] else { return None };
            // Until it was seen that two turns change nothing, versions differ.
            same(shape.filter(|_| layer.int("k").is_some_and(|k| k % 2 != 0)).and_then(|s| swapped(s, a, b)))
        }
        "Tile" => same(shape.and_then(|s| tiled(&s, &layer.ints("repeats")?))),
        "Repeat" => same(shape.and_then(|s| repeated(layer, s))),
        "BroadcastTo" => same(layer.get("shape").and_then(crate::model::format::keras::config::shape)),
        "Pad" => same(shape.and_then(|s| padded(s, layer.get("pad_width")?))),
        "GetItem" => same(shape.and_then(|s| slice::sliced(&s, args.value(1, "key")?))),
        "Take" => {
            let indices = match args.args.get(1).or_else(|| args.kwargs.get("indices"))? {
                Arg::Const(value) if value.is_array() => extent(value),
                _ => Operand::at(args, 1, &["indices"]).and_then(|o| o.shape),
            };
            same(shape.zip(indices).and_then(|(s, i)| taken(&s, &i, layer.get("axis"))))
        }
        "TakeAlongAxis" => {
            let indices = Operand::at(args, 1, &["indices"]).and_then(|o| o.shape);
            same(shape.zip(indices).and_then(|(s, i)| {
                let at = axis(layer.int("axis")?, s.len()).filter(|_| s.len() == i.len())?;
                let (mut a, mut b) = (s, i.clone());
                (a[at], b[at]) = (Some(1), Some(1));
                let mut out = broadcast(Some(&a), Some(&b))?;
                out[at] = i[at];
                Some(out)
            }))
        }
        "Diff" => same(shape.and_then(|mut s| {
            let at = axis(layer.int("axis")?, s.len())?;
            let n = layer.size("n")?;
            s[at] = s[at].map(|d| d.saturating_sub(n));
            Some(s)
        })),
        "Diag" | "Diagonal" | "Diagflat" | "Trace" => {
            let dtype = x.dtype.filter(|d| {
                layer.class != "Trace" || matches!(d, DType::Int32 | DType::Int64) || super::is_float(*d)
            });
            Some(one(shape.and_then(|s| diagonal(layer, &s)), dtype))
        }
        "Split" => {
            let sections = layer.get("indices_or_sections")?;
            split(
                &x,
                sections,
                layer.int("axis").or_else(|| layer.config.get("axis").is_none().then_some(0))?,
            )
        }
        "ArraySplit" => {
            let shape = shape?;
            let at = axis(layer.int("axis")?, shape.len())?;
            let n = layer.size("indices_or_sections").filter(|n| (1..=MAX_PARTS).contains(n))?;
            let part = |i: u64| {
                let mut shape = shape.clone();
                // The first parts are longer by one where they cannot be alike.
                shape[at] = shape[at].map(|d| d / n + u64::from(i < d % n));
                Spec::new(Some(shape), x.dtype)
            };
            Some((0..n).map(part).collect())
        }
        "Vsplit" => split(&x, layer.get("indices_or_sections")?, 0),
        "Hsplit" => split(&x, layer.get("indices_or_sections")?, i64::from(x.rank()? != 1)),
        "Dsplit" => split(&x, layer.get("indices_or_sections")?, 2),
        "Unstack" => {
            let mut rest = shape?;
            let length = rest.remove(axis(layer.int("axis")?, rest.len())?);
            let n = layer.size("num").or(length).filter(|n| *n <= MAX_PARTS)?;
            Some(vec![Spec::new(Some(rest), x.dtype); usize::try_from(n).ok()?])
        }
        "TopK" => {
            let mut shape = shape?;
            *shape.last_mut()? = Some(layer.size("k")?);
            Some(vec![Spec::new(Some(shape.clone()), x.dtype), Spec::new(Some(shape), Some(DType::Int32))])
        }
        "OneHot" => {
            let classes = layer.size("num_classes")?;
            let shape = shape.and_then(|mut s| {
                let at = match layer.int("axis")? {
                    -1 => s.len(),
                    at => usize::try_from(at).ok().filter(|at| *at < s.len())?,
                };
                s.insert(at, Some(classes));
                Some(s)
            });
            let dtype = match layer.get("dtype") {
                Some(told) => told.as_str()?.parse().ok(),
                None => ctx.floatx,
            };
            Some(one(shape, dtype))
        }
        "Slice" => {
            // The shape is the operation's own only in later versions.
            let sizes = layer.get("shape").or_else(|| args.value(2, "shape")).and_then(ints);
            let sizes = sizes.filter(|s| Some(s.len()) == x.rank())?;
            let starts = args.value(1, "start_indices").and_then(ints);
            let out = sizes.iter().zip(shape?).enumerate().map(|(i, (n, d))| match u64::try_from(*n) {
                Ok(n) => Some(n),
                Err(_) => d?.checked_sub(starts.as_ref().and_then(|s| u64::try_from(*s.get(i)?).ok())?),
            });
            same(Some(out.collect()))
        }
        "Scatter" => {
            let values = Operand::at(args, 1, &["values"])?;
            let shape = layer.get("shape").or_else(|| args.value(2, "shape"));
            let shape = shape.and_then(crate::model::format::keras::config::shape);
            Some(one(shape, together([&values], ctx.floatx)))
        }
        "Bincount" => {
            let mut shape = shape?;
            *shape.last_mut()? = None;
            Some(one(Some(shape), Some(DType::Int32).filter(|_| layer.get("weights").is_none())))
        }
        "Concatenate" | "Stack" | "Hstack" | "Vstack" | "Dstack" | "Append" => joined(ctx, layer, args),
        "Meshgrid" | "Einsum" | "Matmul" | "Dot" | "Tensordot" | "Outer" | "Inner" | "Vdot" | "Cross"
        | "Kron" => super::products::apply(ctx, layer, args),
        "Linspace" | "Logspace" | "Geomspace" => {
            let (a, b) = (Operand::at(args, 0, &["start"])?, Operand::at(args, 1, &["stop"])?);
            let mut shape = broadcast(a.shape.as_ref(), b.shape.as_ref())?;
            let at = axis(layer.int("axis")?, shape.len() + 1)?;
            shape.insert(at, Some(layer.size("num")?));
            // Of the dtypes only that of the first one counts.
            let float = a.kind.and_then(|k| settle(join(k, Kind::WeakFloat)?, ctx.floatx));
            let float = float.filter(|d| !is_wide(*d));
            let plain = layer.get("dtype").is_none() && !layer.flag("retstep");
            Some(one(Some(shape), float.filter(|_| plain)))
        }
        "View" => {
            let to: DType = layer.text("dtype")?.parse().ok()?;
            let (old, new) = (u64::from(bits(x.dtype?)?), u64::from(bits(to)?));
            let shape = shape.and_then(|mut s| {
                if old != new {
                    let last = s.last_mut()?;
                    *last = times(*last, old).map(|n| n / new);
                }
                Some(s)
            });
            Some(one(shape, Some(to)))
        }
        "Nonzero" => {
            // Before Keras 3.4 it is told to be one tensor.
            let rank = x.rank().filter(|_| ctx.minor >= 4)?;
            Some(vec![Spec::new(Some(vec![None]), Some(DType::Int32)); rank])
        }
        "UnravelIndex" => {
            let rank = list(layer.get("shape")?)?.len();
            (rank <= MAX_RANK).then(|| vec![Spec::new(x.shape.clone(), x.dtype); rank])
        }
        "SearchSorted" => {
            let sorted = Operand::at(args, 0, &["sorted_sequence"])?;
            let [length] = sorted.shape.as_deref()? else { return None };
            let values = Operand::at(args, 1, &["values"])?;
            let narrow = length.is_some_and(|n| i32::try_from(n).is_ok());
            Some(one(values.shape, Some(DType::Int32).filter(|_| narrow)))
        }
        "Trapezoid" => {
            let shape = shape.and_then(|mut s| {
                s.remove(axis(layer.int("axis")?, s.len())?);
                Some(s)
            });
            let float = x.dtype.and_then(|d| floated(d, ctx.floatx));
            Some(one(shape, float))
        }
        "Vander" => same(shape.filter(|s| s.len() == 1).map(|s| vec![s[0], layer.size("N").or(s[0])])),
        "Unique" => unique(layer, &x),
        "Histogram" => {
            let bins = layer.size("bins")?;
            // What is counted is told to be of the dtype of what is counted.
            let edges = Spec::new(Some(vec![plus(Some(bins), Some(1))]), x.dtype);
            Some(vec![Spec::new(Some(vec![Some(bins)]), x.dtype), edges])
        }
        "Select" => {
            // A list of choices; all are of one shape.
            let choices = args.args.get(1).or_else(|| args.kwargs.get("choicelist"))?;
            let first = choices.tensors().into_iter().next()?;
            Some(one(first.shape, first.dtype))
        }
        "Rearrange" => same(rearranged(&shape?, args)),
        _ => None,
    }
}

/// Each number once, and where it stood and how often, as far as that was asked for.
fn unique(layer: &Layer<'_>, x: &Spec) -> Option<Vec<Spec>> {
    let size = layer.size("size");
    let along = match layer.get("axis") {
        None => None,
        Some(number) => Some(axis(int(number)?, x.rank()?)?),
    };
    let places = |shape: Option<Shape>| Spec::new(shape, Some(DType::Int32));
    let values = match along {
        None => Some(vec![size]),
        Some(at) => x.shape.clone().map(|mut s| {
            s[at] = size;
            s
        }),
    };
    let mut out = vec![Spec::new(values, x.dtype)];
    if layer.flag("return_index") {
        out.push(places(Some(vec![size])));
    }
    if layer.flag("return_inverse") {
        out.push(places(match along {
            None => x.shape.clone(),
            Some(at) => x.shape.as_ref().map(|s| vec![s[at]]),
        }));
    }
    if layer.flag("return_counts") {
        out.push(places(Some(vec![size])));
    }
    Some(out)
}

/// All numbers of a shape.
pub(super) fn all(shape: &[Option<u64>]) -> Option<u64> {
    shape.iter().try_fold(1, |n, d| times(*d, n))
}

pub(in super::super) fn reshaped(shape: &Shape, target: &[i64]) -> Option<Shape> {
    let total = all(shape);
    let fixed: Vec<u64> = target.iter().filter_map(|d| u64::try_from(*d).ok()).collect();
    let known = fixed.iter().try_fold(1u64, |n, d| n.checked_mul(*d)).filter(|n| *n > 0)?;
    if target.len() - fixed.len() > 1 {
        return None;
    }
    let rest = total.filter(|t| t % known == 0).map(|t| t / known);
    Some(target.iter().map(|d| u64::try_from(*d).ok().or(rest)).collect())
}

pub(in super::super) fn transposed(shape: Shape, axes: Option<Vec<i64>>) -> Option<Shape> {
    match axes {
        None => Some(shape.into_iter().rev().collect()),
        Some(axes) if axes.len() == shape.len() => {
            axes.iter().map(|a| axis(*a, shape.len()).map(|at| shape[at])).collect()
        }
        Some(_) => None,
    }
}

pub(in super::super) fn expanded(shape: Shape, axes: &[i64]) -> Option<Shape> {
    let rank = shape.len() + axes.len();
    let new: Vec<usize> = axes.iter().map(|a| axis(*a, rank)).collect::<Option<_>>()?;
    let mut rest = shape.into_iter();
    let out: Shape = (0..rank)
        .map(|i| if new.contains(&i) { Some(Some(1)) } else { rest.next() })
        .collect::<Option<_>>()?;
    rest.next().is_none().then_some(out)
}

pub(in super::super) fn squeezed(shape: Shape, axes: Option<Vec<i64>>) -> Option<Shape> {
    let Some(axes) = axes else {
        // A dimension that is not fixed may be one.
        return Some(shape.into_iter().filter(|d| *d != Some(1)).collect());
    };
    let gone: Vec<usize> = axes.iter().map(|a| axis(*a, shape.len())).collect::<Option<_>>()?;
    if gone.iter().any(|at| shape[*at].is_some_and(|d| d != 1)) {
        return None;
    }
    Some(shape.iter().enumerate().filter(|(i, _)| !gone.contains(i)).map(|(_, d)| *d).collect())
}

fn swapped(mut shape: Shape, a: i64, b: i64) -> Option<Shape> {
    let (a, b) = (axis(a, shape.len())?, axis(b, shape.len())?);
    shape.swap(a, b);
    Some(shape)
}

fn moved(shape: &Shape, from: &[i64], to: &[i64]) -> Option<Shape> {
    let places = |all: &[i64]| all.iter().map(|a| axis(*a, shape.len())).collect::<Option<Vec<_>>>();
    let (from, to) = (places(from)?, places(to)?);
    if from.len() != to.len() {
        return None;
    }
    let mut rest = (0..shape.len()).filter(|i| !from.contains(i));
    (0..shape.len())
        .map(|i| match to.iter().position(|t| *t == i) {
            Some(at) => from.get(at).map(|at| shape[*at]),
            None => rest.next().map(|at| shape[at]),
        })
        .collect()
}

pub(in super::super) fn tiled(shape: &Shape, repeats: &[i64]) -> Option<Shape> {
    let rank = shape.len().max(repeats.len());
    if rank > MAX_RANK {
        return None;
    }
    (0..rank)
        .map(|i| {
            let d = (i + shape.len()).checked_sub(rank).map_or(Some(1), |at| shape[at]);
            let n = (i + repeats.len()).checked_sub(rank).map_or(1, |at| repeats[at]);
            Some(times(d, u64::try_from(n).ok()?))
        })
        .collect()
}

fn repeated(layer: &Layer<'_>, mut shape: Shape) -> Option<Shape> {
    let counts = layer.ints("repeats")?;
    let sum = counts.iter().try_fold(0i64, |n, c| n.checked_add(*c)).and_then(|n| u64::try_from(n).ok())?;
    let longer = |d: Option<u64>| match counts[..] {
        [_] => times(d, sum),
        _ => d.map(|_| sum),
    };
    let Some(number) = layer.get("axis") else { return Some(vec![longer(all(&shape))]) };
    let at = axis(int(number)?, shape.len())?;
    shape[at] = longer(shape[at]);
    Some(shape)
}

/// A number, a pair, a list of one pair, or a pair for each axis.
pub(in super::super) fn padded(mut shape: Shape, widths: &Value) -> Option<Shape> {
    let pair = |v: &Value| {
        let [before, after] = ints(v)?[..] else { return None };
        u64::try_from(before.checked_add(after)?).ok()
    };
    let amounts: Vec<u64> = match list(widths) {
        None => vec![size(widths)?.checked_mul(2)?; shape.len()],
        Some(items) if items.iter().all(Value::is_number) => vec![pair(widths)?; shape.len()],
        Some(items) if items.len() == 1 => vec![pair(&items[0])?; shape.len()],
        Some(items) => items.iter().map(pair).collect::<Option<_>>()?,
    };
    if amounts.len() != shape.len() {
        return None;
    }
    for (d, more) in shape.iter_mut().zip(amounts) {
        *d = plus(*d, Some(more));
    }
    Some(shape)
}

pub(in super::super) fn taken(shape: &Shape, indices: &Shape, number: Option<&Value>) -> Option<Shape> {
    let Some(number) = number else { return Some(indices.clone()) };
    let at = axis(int(number)?, shape.len())?;
    Some([&shape[..at], indices, &shape[at + 1..]].concat()).filter(|s| s.len() <= MAX_RANK)
}

fn diagonal(layer: &Layer<'_>, shape: &Shape) -> Option<Shape> {
    let offset = layer.int("k").or_else(|| layer.int("offset"))?;
    let longer = |d: Option<u64>| plus(d, Some(offset.unsigned_abs()));
    let between = |rows: Option<u64>, columns: Option<u64>| {
        let (rows, columns) = (i64::try_from(rows?).ok()?, i64::try_from(columns?).ok()?);
        let left = if offset > 0 { columns.checked_sub(offset)? } else { rows.checked_add(offset)? };
        u64::try_from(left.min(rows.min(columns)).max(0)).ok()
    };
    match (layer.class, &shape[..]) {
        ("Diagflat", _) => Some(vec![longer(all(shape)); 2]),
        ("Diag", [n]) => Some(vec![longer(*n); 2]),
        ("Diag", [m, n]) => Some(vec![between(*m, *n)]),
        ("Diag", _) => None,
        _ => {
            let (a, b) = (axis(layer.int("axis1")?, shape.len())?, axis(layer.int("axis2")?, shape.len())?);
            let rest = shape.iter().enumerate().filter(|(i, _)| *i != a && *i != b).map(|(_, d)| *d);
            let mut out: Shape = rest.collect();
            if a == b {
                return None;
            }
            if layer.class == "Diagonal" {
                out.push(between(shape[a], shape[b]));
            }
            Some(out)
        }
    }
}

/// Parts of equal length, or the parts between given places.
pub(in super::super) fn split(x: &Spec, sections: &Value, number: i64) -> Option<Vec<Spec>> {
    let shape = x.shape.as_ref()?;
    let at = axis(number, shape.len())?;
    let part = |d: Option<u64>| {
        let mut shape = shape.clone();
        shape[at] = d;
        Spec::new(Some(shape), x.dtype)
    };
    if let Some(n) = size(sections) {
        let n = Some(n).filter(|n| (1..=MAX_PARTS).contains(n))?;
        let each = match shape[at] {
            None => None,
            Some(d) => Some((d % n == 0).then_some(d / n)?),
        };
        return Some(vec![part(each); usize::try_from(n).ok()?]);
    }
    let mut places: Vec<Option<u64>> =
        ints(sections)?.into_iter().map(|p| u64::try_from(p).ok().map(Some)).collect::<Option<_>>()?;
    if places.len() as u64 >= MAX_PARTS {
        return None;
    }
    places.insert(0, Some(0));
    places.push(shape[at]);
    let lengths = places.windows(2).map(|w| match (w[0], w[1]) {
        (Some(a), Some(b)) => b.checked_sub(a).map(Some),
        _ => Some(None),
    });
    lengths.map(|d| d.map(part)).collect()
}

/// Several tensors, along an axis that there is or along a new one.
fn joined(ctx: &Ctx, layer: &Layer<'_>, args: &Args<'_>) -> Option<Vec<Spec>> {
    let inputs = args.args.iter().flat_map(Arg::tensors).collect::<Vec<_>>();
    // A constant in the list is not among the tensors.
    let listed = match args.args.first() {
        Some(Arg::List(items)) => items.len(),
        _ => args.args.len(),
    };
    if listed != inputs.len() {
        return None;
    }
    let operands: Vec<Operand> = inputs.iter().cloned().map(Operand::of).collect();
    let dtype = together(&operands, ctx.floatx);
    let shapes: Vec<Option<Shape>> = inputs.into_iter().map(|i| i.shape).collect();
    let shape = match layer.class {
        "Concatenate" => merge::concatenate(&shapes, layer.int("axis")?),
        "Hstack" => merge::concatenate(&shapes, 1),
        "Vstack" => merge::concatenate(&shapes, 0),
        "Dstack" => merge::concatenate(&shapes, 2),
        "Append" => match layer.get("axis") {
            Some(number) => merge::concatenate(&shapes, int(number)?),
            None => {
                let counts = shapes.iter().map(|s| all(s.as_ref()?));
                Some(vec![counts.fold(Some(0), plus)])
            }
        },
        _ => {
            let mut shape = shapes.first()?.clone().filter(|_| shapes.iter().all(|s| *s == shapes[0]))?;
            let at = axis(layer.int("axis")?, shape.len() + 1)?;
            shape.insert(at, Some(shapes.len() as u64));
            Some(shape)
        }
    };
    Some(one(shape, dtype))
}

/// `b t f -> b (t f)`, with the lengths of parts that were told by name.
fn rearranged(shape: &Shape, args: &Args<'_>) -> Option<Shape> {
    let pattern = args.value(1, "pattern")?.as_str()?;
    let (from, to) = pattern.split_once("->")?;
    let (from, to) = (groups(from)?, groups(to)?);
    if from.len() != shape.len() {
        return None;
    }
    let mut known: Vec<(&str, Option<u64>)> = Vec::new();
    for (group, d) in from.iter().zip(shape) {
        let told = |name: &str| args.value(usize::MAX, name).and_then(size);
        let product = group.iter().filter_map(|n| told(n)).try_fold(1u64, u64::checked_mul)?;
        let open = group.iter().filter(|n| told(n).is_none()).count();
        let rest = d.filter(|_| open <= 1 && product > 0).map(|d| d / product);
        known.extend(group.iter().map(|n| (*n, told(n).or(rest))));
    }
    let length = |name: &str| known.iter().find(|(n, _)| *n == name).map(|(_, d)| *d);
    to.iter()
        .map(|group| group.iter().try_fold(Some(1), |n, name| Some(n.and_then(|n| times(length(name)?, n)))))
        .collect()
}

/// Names, and names in brackets together.
fn groups(text: &str) -> Option<Vec<Vec<&str>>> {
    let mut out = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        if out.len() >= MAX_RANK {
            return None;
        }
        if let Some(inner) = rest.strip_prefix('(') {
            let (inner, after) = inner.split_once(')')?;
            out.push(inner.split_whitespace().collect());
            rest = after.trim_start();
        } else {
            let end = rest.find(|c: char| c.is_whitespace() || c == '(').unwrap_or(rest.len());
            out.push(vec![&rest[..end]]);
            rest = rest[end..].trim_start();
        }
    }
    Some(out)
}
