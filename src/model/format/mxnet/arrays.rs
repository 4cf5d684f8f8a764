//! Rules of shapes for operators that move, fold, cut and join dimensions.
//!
//! Each follows its operator's `InferShape` in MXNet (src/operator/tensor/matrix_op-inl.h and its
//! neighbours). In MXNet's graphs there are no scalars: what folds all dimensions gives `(1,)`.

use crate::model::contract::Shape;
use crate::model::format::MAX_RANK;
use crate::model::format::mxnet::cuts;
use crate::model::format::mxnet::shapes::{Result, Step, axis, product, solve};

/// The operators with a rule here.
pub(super) const NAMES: &[&str] = &[
    "Concat",
    "Flatten",
    "Pad",
    "Reshape",
    "SequenceLast",
    "SliceChannel",
    "SwapAxis",
    "_contrib_arange_like",
    "_contrib_box_iou",
    "_full",
    "_linalg_gemm2",
    "_ones",
    "_random_normal",
    "_random_uniform",
    "_split_v2",
    "_zeros",
    "argmax",
    "argmax_channel",
    "argmin",
    "argsort",
    "batch_dot",
    "broadcast_axis",
    "broadcast_like",
    "broadcast_to",
    "depth_to_space",
    "diag",
    "dot",
    "expand_dims",
    "gather_nd",
    "khatri_rao",
    "max",
    "mean",
    "min",
    "moments",
    "nanprod",
    "nansum",
    "norm",
    "one_hot",
    "pick",
    "prod",
    "repeat",
    "reshape_like",
    "shape_array",
    "size_array",
    "slice",
    "slice_axis",
    "slice_like",
    "softmax_cross_entropy",
    "sort",
    "space_to_depth",
    "squeeze",
    "stack",
    "sum",
    "take",
    "tile",
    "topk",
    "transpose",
    "where",
];

/// Applies the rule of an operator.
pub(super) fn apply(step: &mut Step<'_>) -> Result<()> {
    match step.node.op.as_str() {
        "Flatten" => flatten(step),
        "Reshape" => reshape(step),
        "Concat" => cuts::concat(step),
        "stack" => cuts::stack(step),
        "SliceChannel" => cuts::slice_channel(step),
        "_split_v2" => cuts::split(step),
        "slice" => cuts::slice(step),
        "slice_axis" => cuts::slice_axis(step),
        "slice_like" => cuts::slice_like(step),
        "transpose" => transpose(step),
        "SwapAxis" => swap(step),
        "expand_dims" => expand(step),
        "squeeze" => squeeze(step),
        "sum" | "mean" | "max" | "min" | "prod" | "nansum" | "nanprod" | "norm" => reduce(step),
        "argmax" | "argmin" => pick_along(step, None),
        "pick" => pick_along(step, Some(-1)),
        "argmax_channel" => match step.input(0).as_deref() {
            Some([first, _]) => step.set_output(0, vec![*first]),
            _ => Ok(()),
        },
        "dot" => dot(step),
        "batch_dot" | "_linalg_gemm2" => batch_dot(step),
        "tile" => tile(step),
        "repeat" => repeat(step),
        "Pad" => pad(step),
        "take" => take(step),
        "gather_nd" => gather(step),
        "diag" => diagonal(step),
        "khatri_rao" => {
            let parts: Option<Vec<Shape>> = (0..step.inputs()).map(|i| step.input(i)).collect();
            let two = parts.filter(|p| p.iter().all(|s| s.len() == 2));
            let Some(two) = two else { return Ok(()) };
            let rows: Vec<Option<u64>> = two.iter().map(|s| s[0]).collect();
            step.set_output(0, vec![product(&rows), two.iter().find_map(|s| s[1])])
        }
        "moments" => moments(step),
        "_contrib_box_iou" => match (step.input(0), step.input(1)) {
            (Some(mut a), Some(b)) if !a.is_empty() && !b.is_empty() => {
                a.pop();
                a.extend(&b[..b.len() - 1]);
                step.set_output(0, a)
            }
            _ => Ok(()),
        },
        "_contrib_arange_like" => match (step.input(0), step.node.int("axis")) {
            (Some(data), Some(a)) => match axis(a, data.len()) {
                Some(at) => step.set_output(0, vec![data[at]]),
                None => Ok(()),
            },
            (Some(data), None) if step.node.text("axis").is_none() => step.set_output(0, data),
            _ => Ok(()),
        },
        "one_hot" => one_hot(step),
        "topk" => topk(step),
        "sort" | "argsort" => match step.node.text("axis") {
            // Without an axis all is one row.
            None if step.node.has("axis") => Ok(()),
            _ => step.same(0, 0),
        },
        "_zeros" | "_ones" | "_full" | "_random_uniform" | "_random_normal" => filled(step),
        "broadcast_to" => broadcast_to(step),
        "broadcast_axis" => broadcast_axis(step),
        "broadcast_like" | "reshape_like" => like(step),
        "where" => {
            step.same(1, 0)?;
            step.same(2, 0)?;
            step.same(1, 0)
        }
        "SequenceLast" => {
            match step.input(0).filter(|d| d.len() >= 2 && step.node.int("axis").unwrap_or(0) == 0) {
                Some(data) => step.set_output(0, data[1..].to_vec()),
                None => Ok(()),
            }
        }
        "shape_array" => match step.input(0) {
            Some(data) => step.set_output(0, vec![Some(data.len() as u64)]),
            None => step.set_output(0, vec![None]),
        },
        "size_array" | "softmax_cross_entropy" => step.set_output(0, vec![Some(1)]),
        "depth_to_space" => blocks(step, true),
        "space_to_depth" => blocks(step, false),
        _ => Ok(()),
    }
}

fn flatten(step: &mut Step<'_>) -> Result<()> {
    step.set_output(0, vec![None, None])?;
    let (Some(mut data), Some(out)) = (step.input(0).filter(|d| !d.is_empty()), step.output(0)) else {
        return Ok(());
    };
    data[0] = data[0].or(out[0]);
    if let Some(width) = out[1] {
        solve(&mut data[1..], width)?;
    }
    let flat = vec![data[0], product(&data[1..])];
    step.set_input(0, data)?;
    step.set_output(0, flat)
}

fn reshape(step: &mut Step<'_>) -> Result<()> {
    let Some(mut spec) = step.node.ints("shape").filter(|s| !s.is_empty()) else { return Ok(()) };
    let Some(reverse) = step.node.flag("reverse", false) else { return Ok(()) };
    let Some(mut data) = step.input(0) else {
        // Without codes that copy, the rank is what is written.
        if spec.iter().all(|d| *d > 0 || *d == -1) {
            let dims = spec.iter().map(|d| u64::try_from(*d).ok()).collect();
            return step.set_output(0, dims);
        }
        return Ok(());
    };
    if reverse {
        if spec.contains(&-4) || spec.contains(&-2) {
            return Ok(());
        }
        spec.reverse();
        data.reverse();
    }
    let Some(folded) = fold(&data, &spec) else { return Ok(()) };
    let mut out = folded;
    // All of it in, all of it out.
    match (product(&data), product(&out)) {
        (Some(total), _) => solve(&mut out, total)?,
        (None, Some(total)) if !out.is_empty() => solve(&mut data, total)?,
        (None, _) => {}
    }
    if reverse {
        out.reverse();
        data.reverse();
    }
    step.set_input(0, data)?;
    step.set_output(0, out)
}

/// What MXNet's codes make of dimensions: 0 copies one, -1 is what is left, -2 copies all that remain,
/// -3 multiplies two, -4 splits one into the two that follow.
fn fold(data: &[Option<u64>], spec: &[i64]) -> Option<Shape> {
    let mut out: Shape = Vec::new();
    let mut at = 0;
    let mut rest = None;
    // What is not merely carried over, in and out.
    let (mut taken, mut made) = (Some(1u64), Some(1u64));
    let times = |a: Option<u64>, b: Option<u64>| a?.checked_mul(b?);
    let mut codes = spec.iter();
    while let Some(code) = codes.next() {
        match *code {
            0 => {
                out.push(*data.get(at)?);
                at += 1;
            }
            -1 => {
                if rest.replace(out.len()).is_some() {
                    return None;
                }
                out.push(None);
                taken = times(taken, data.get(at).copied().unwrap_or(Some(1)));
                at += 1;
            }
            -2 => {
                out.extend(data.get(at..)?);
                at = data.len();
            }
            -3 => {
                out.push(product(data.get(at..at + 2)?));
                at += 2;
            }
            -4 => {
                let whole = *data.get(at)?;
                at += 1;
                let mut parts =
                    [codes.next()?, codes.next()?].map(|n| u64::try_from(*n).ok().filter(|n| *n > 0));
                if let Some(whole) = whole {
                    solve(&mut parts, whole).ok()?;
                }
                out.extend(parts);
            }
            n => {
                let n = u64::try_from(n).ok()?;
                out.push(Some(n));
                made = times(made, Some(n));
                taken = times(taken, data.get(at).copied().unwrap_or(Some(1)));
                at += 1;
            }
        }
        if out.len() > MAX_RANK {
            return None;
        }
    }
    if let Some(rest) = rest {
        for d in data.get(at..).unwrap_or(&[]) {
            taken = times(taken, *d);
        }
        if let (Some(taken), Some(made)) = (taken, made.filter(|m| *m > 0)) {
            out[rest] = taken.is_multiple_of(made).then_some(taken / made);
        }
    }
    Some(out)
}

/// The rule of `transpose`.
pub(super) fn transpose(step: &mut Step<'_>) -> Result<()> {
    let axes = step.node.ints("axes").unwrap_or_default();
    let order = |rank: usize| -> Option<Vec<usize>> {
        if axes.is_empty() {
            return Some((0..rank).rev().collect());
        }
        let order: Vec<usize> = axes.iter().map(|a| axis(*a, rank)).collect::<Option<_>>()?;
        let mut sorted = order.clone();
        sorted.sort_unstable();
        (sorted.into_iter().eq(0..rank)).then_some(order)
    };
    if let Some(data) = step.input(0) {
        let Some(order) = order(data.len()) else { return Ok(()) };
        step.set_output(0, order.into_iter().map(|a| data[a]).collect())?;
    }
    if let Some(out) = step.output(0) {
        let Some(order) = order(out.len()) else { return Ok(()) };
        let mut data = vec![None; out.len()];
        for (d, a) in out.iter().zip(order) {
            data[a] = *d;
        }
        step.set_input(0, data)?;
    }
    Ok(())
}

/// The rule of `SwapAxis`.
pub(super) fn swap(step: &mut Step<'_>) -> Result<()> {
    let (a, b) = (step.node.int("dim1").unwrap_or(0), step.node.int("dim2").unwrap_or(0));
    let swapped = |mut s: Shape| {
        let (a, b) = (axis(a, s.len())?, axis(b, s.len())?);
        s.swap(a, b);
        Some(s)
    };
    if let Some(out) = step.input(0).and_then(swapped) {
        step.set_output(0, out)?;
    }
    match step.output(0).and_then(swapped) {
        Some(data) => step.set_input(0, data),
        None => Ok(()),
    }
}

/// The rule of `expand_dims`.
pub(super) fn expand(step: &mut Step<'_>) -> Result<()> {
    let Some(position) = step.node.int("axis") else { return Ok(()) };
    if let Some(mut data) = step.input(0)
        && let Some(at) = axis(position, data.len() + 1)
    {
        data.insert(at, Some(1));
        step.set_output(0, data)?;
    }
    if let Some(mut out) = step.output(0)
        && let Some(at) = axis(position, out.len())
    {
        out.remove(at);
        step.set_input(0, out)?;
    }
    Ok(())
}

fn squeeze(step: &mut Step<'_>) -> Result<()> {
    let Some(data) = step.input(0) else { return Ok(()) };
    let dropped: Option<Vec<usize>> = match step.node.ints("axis") {
        Some(axes) => axes.iter().map(|a| axis(*a, data.len())).collect(),
        None if product(&data).is_some() => Some((0..data.len()).filter(|d| data[*d] == Some(1)).collect()),
        None => None,
    };
    let Some(dropped) = dropped else { return Ok(()) };
    let mut out: Shape =
        data.iter().enumerate().filter(|(d, _)| !dropped.contains(d)).map(|(_, n)| *n).collect();
    if out.is_empty() {
        out.push(Some(1));
    }
    step.set_output(0, out)
}

fn reduce(step: &mut Step<'_>) -> Result<()> {
    let Some(keep) = step.node.flag("keepdims", false) else { return Ok(()) };
    let Some(exclude) = step.node.flag("exclude", false) else { return Ok(()) };
    let axes = step.node.ints("axis").unwrap_or_default();
    if axes.is_empty() && !keep {
        return step.set_output(0, vec![Some(1)]);
    }
    let Some(data) = step.input(0) else { return Ok(()) };
    let Some(axes) = axes.iter().map(|a| axis(*a, data.len())).collect::<Option<Vec<_>>>() else {
        return Ok(());
    };
    let folded = |d: &usize| axes.is_empty() || axes.contains(d) != exclude;
    let mut out: Shape = Vec::new();
    for (d, n) in data.iter().enumerate() {
        match (folded(&d), keep) {
            (false, _) => out.push(*n),
            (true, true) => out.push(Some(1)),
            (true, false) => {}
        }
    }
    if out.is_empty() {
        out.push(Some(1));
    }
    step.set_output(0, out)
}

/// One element along an axis: which, or the one that an index names.
fn pick_along(step: &mut Step<'_>, default: Option<i64>) -> Result<()> {
    let Some(keep) = step.node.flag("keepdims", false) else { return Ok(()) };
    let position = if step.node.has("axis") { step.node.int("axis") } else { default };
    if position.is_none() && !keep && default.is_none() {
        return step.set_output(0, vec![Some(1)]);
    }
    let (Some(mut data), Some(position)) = (step.input(0), position) else { return Ok(()) };
    let Some(at) = axis(position, data.len()) else { return Ok(()) };
    if keep {
        data[at] = Some(1);
    } else {
        data.remove(at);
    }
    if data.is_empty() {
        data.push(Some(1));
    }
    step.set_output(0, data)
}

fn dot(step: &mut Step<'_>) -> Result<()> {
    let (Some(ta), Some(tb)) = (step.node.flag("transpose_a", false), step.node.flag("transpose_b", false))
    else {
        return Ok(());
    };
    let (Some(mut a), Some(mut b)) = (step.input(0), step.input(1)) else { return Ok(()) };
    if ta || tb {
        if a.len() != 2 || b.len() != 2 {
            return Ok(());
        }
        if ta {
            a.reverse();
        }
        if tb {
            b.reverse();
        }
    }
    let (Some(inner_a), Some(inner_b)) = (a.pop(), b.first().copied()) else { return Ok(()) };
    let inner = inner_a.or(inner_b);
    let mut out = a.clone();
    out.extend(&b[1..]);
    if out.is_empty() {
        out.push(Some(1));
    }
    step.set_output(0, out)?;
    a.push(inner);
    b[0] = inner;
    if ta {
        a.reverse();
    }
    if tb {
        b.reverse();
    }
    step.set_input(0, a)?;
    step.set_input(1, b)
}

fn batch_dot(step: &mut Step<'_>) -> Result<()> {
    let (Some(ta), Some(tb)) = (step.node.flag("transpose_a", false), step.node.flag("transpose_b", false))
    else {
        return Ok(());
    };
    if step.node.has("axis") && step.node.int("axis") != Some(-2) {
        return Ok(());
    }
    let rank = step.input(0).or_else(|| step.input(1)).or_else(|| step.output(0)).map(|s| s.len());
    let Some(rank) = rank.filter(|r| *r >= 2) else { return Ok(()) };
    for i in 0..2 {
        step.set_input(i, vec![None; rank])?;
    }
    step.set_output(0, vec![None; rank])?;
    let part = |s: Option<Shape>| s.unwrap_or_else(|| vec![None; rank]);
    let (a, b, out) = (part(step.input(0)), part(step.input(1)), part(step.output(0)));
    let (m, n) = (rank - 2, rank - 1);
    let (am, ak) = if ta { (n, m) } else { (m, n) };
    let (bk, bn) = if tb { (n, m) } else { (m, n) };
    let batch: Shape = (0..m).map(|d| a[d].or(b[d]).or(out[d])).collect();
    let (rows, columns, inner) = (a[am].or(out[m]), b[bn].or(out[n]), a[ak].or(b[bk]));
    let made = |first: usize, x: Option<u64>, y: Option<u64>| {
        let mut s = batch.clone();
        s.extend(if first == m { [x, y] } else { [y, x] });
        s
    };
    step.set_input(0, made(am, rows, inner))?;
    step.set_input(1, made(bk, inner, columns))?;
    step.set_output(0, made(m, rows, columns))
}

fn tile(step: &mut Step<'_>) -> Result<()> {
    let (Some(data), Some(reps)) = (step.input(0), step.node.ints("reps")) else { return Ok(()) };
    let rank = data.len().max(reps.len());
    let out = (0..rank).map(|d| {
        let n = (d + data.len()).checked_sub(rank).map_or(Some(1), |d| data[d]);
        let times = (d + reps.len()).checked_sub(rank).map_or(Some(1), |d| u64::try_from(reps[d]).ok());
        n?.checked_mul(times?)
    });
    let out = out.collect();
    step.set_output(0, out)
}

fn repeat(step: &mut Step<'_>) -> Result<()> {
    let (Some(mut data), Some(times)) = (step.input(0), step.node.size("repeats")) else { return Ok(()) };
    match step.node.int("axis") {
        Some(a) => {
            let Some(at) = axis(a, data.len()) else { return Ok(()) };
            data[at] = data[at].and_then(|n| n.checked_mul(times));
            step.set_output(0, data)
        }
        None => step.set_output(0, vec![product(&data).and_then(|n| n.checked_mul(times))]),
    }
}

fn pad(step: &mut Step<'_>) -> Result<()> {
    let Some(widths) = step.node.ints("pad_width").filter(|w| w.len().is_multiple_of(2)) else {
        return Ok(());
    };
    let widths: Option<Vec<u64>> = widths.into_iter().map(|n| u64::try_from(n).ok()).collect();
    let Some(widths) = widths else { return Ok(()) };
    let sums: Option<Vec<u64>> = widths.chunks(2).map(|p| p[0].checked_add(p[1])).collect();
    let Some(sums) = sums else { return Ok(()) };
    step.set_input(0, vec![None; sums.len()])?;
    step.set_output(0, vec![None; sums.len()])?;
    if let Some(data) = step.input(0) {
        step.set_output(0, data.iter().zip(&sums).map(|(d, s)| d.and_then(|d| d.checked_add(*s))).collect())?;
    }
    match step.output(0) {
        Some(out) => {
            step.set_input(0, out.iter().zip(&sums).map(|(d, s)| d.and_then(|d| d.checked_sub(*s))).collect())
        }
        None => Ok(()),
    }
}

fn take(step: &mut Step<'_>) -> Result<()> {
    let (Some(data), Some(index)) = (step.input(0), step.input(1)) else { return Ok(()) };
    let Some(at) = axis(step.node.int("axis").unwrap_or(0), data.len()) else { return Ok(()) };
    let mut out = data[..at].to_vec();
    out.extend(index);
    out.extend(&data[at + 1..]);
    if out.len() > MAX_RANK { Ok(()) } else { step.set_output(0, out) }
}

/// The first dimension of the indices counts along which dimensions of the data they go.
fn gather(step: &mut Step<'_>) -> Result<()> {
    let (Some(data), Some(index)) = (step.input(0), step.input(1)) else { return Ok(()) };
    let Some(deep) = index.first().copied().flatten().and_then(|n| usize::try_from(n).ok()) else {
        return Ok(());
    };
    let Some(rest) = data.get(deep..) else { return Ok(()) };
    let mut out = index[1..].to_vec();
    out.extend(rest);
    if out.is_empty() || out.len() > MAX_RANK { Ok(()) } else { step.set_output(0, out) }
}

fn diagonal(step: &mut Step<'_>) -> Result<()> {
    let Some(data) = step.input(0) else { return Ok(()) };
    let k = step.node.int("k").unwrap_or(0);
    if let [n] = data.as_slice() {
        let side = n.and_then(|n| n.checked_add(k.unsigned_abs()));
        return step.set_output(0, vec![side, side]);
    }
    let at = |key: &str, default: i64| axis(step.node.int(key).unwrap_or(default), data.len());
    let (Some(a), Some(b)) = (at("axis1", 0), at("axis2", 1)) else { return Ok(()) };
    let length = data[a].zip(data[b]).and_then(|(rows, columns)| {
        let (rows, columns) = (i64::try_from(rows).ok()?, i64::try_from(columns).ok()?);
        let left = if k < 0 { (rows.checked_add(k)?, columns) } else { (rows, columns.checked_sub(k)?) };
        u64::try_from(left.0.min(left.1)).ok()
    });
    let mut out: Shape = (0..data.len()).filter(|d| *d != a && *d != b).map(|d| data[d]).collect();
    out.push(length);
    step.set_output(0, out)
}

fn moments(step: &mut Step<'_>) -> Result<()> {
    let (Some(data), Some(keep)) = (step.input(0), step.node.flag("keepdims", false)) else { return Ok(()) };
    let Some(axes) = step.node.ints("axes").filter(|a| !a.is_empty()) else { return Ok(()) };
    let Some(axes) = axes.iter().map(|a| axis(*a, data.len())).collect::<Option<Vec<_>>>() else {
        return Ok(());
    };
    let mut out: Shape = Vec::new();
    for (d, n) in data.iter().enumerate() {
        match axes.contains(&d) {
            false => out.push(*n),
            true if keep => out.push(Some(1)),
            true => {}
        }
    }
    if out.is_empty() {
        out.push(Some(1));
    }
    for k in step.used() {
        step.set_output(k, out.clone())?;
    }
    Ok(())
}

fn one_hot(step: &mut Step<'_>) -> Result<()> {
    let (Some(mut out), Some(depth)) = (step.input(0), step.node.size("depth")) else { return Ok(()) };
    out.push(Some(depth));
    step.set_output(0, out)
}

fn topk(step: &mut Step<'_>) -> Result<()> {
    let (Some(mut data), Some(k)) = (step.input(0), step.node.int("k").or(Some(1))) else { return Ok(()) };
    if step.node.has("axis") && step.node.int("axis").is_none() {
        return Ok(());
    }
    let Some(at) = axis(step.node.int("axis").unwrap_or(-1), data.len()) else { return Ok(()) };
    if step.node.text("ret_typ") != Some("mask") && k > 0 {
        data[at] = u64::try_from(k).ok();
    }
    for k in step.used() {
        step.set_output(k, data.clone())?;
    }
    Ok(())
}

fn filled(step: &mut Step<'_>) -> Result<()> {
    let Some(shape) = step.node.ints("shape").filter(|s| !s.is_empty()) else { return Ok(()) };
    // A dimension of 0 is one that follows from the rest of the graph.
    let shape = shape.into_iter().map(|n| u64::try_from(n).ok().filter(|n| *n > 0)).collect();
    step.set_output(0, shape)
}

fn broadcast_to(step: &mut Step<'_>) -> Result<()> {
    let Some(target) = step.node.ints("shape").filter(|s| !s.is_empty()) else { return Ok(()) };
    let data = step.input(0).filter(|d| d.len() == target.len());
    let out = target.iter().enumerate().map(|(d, n)| match n {
        0 => data.as_ref().and_then(|s| s[d]),
        n => u64::try_from(*n).ok(),
    });
    let out = out.collect();
    step.set_output(0, out)
}

fn broadcast_axis(step: &mut Step<'_>) -> Result<()> {
    let (Some(mut data), Some(axes), Some(sizes)) =
        (step.input(0), step.node.ints("axis"), step.node.ints("size"))
    else {
        return Ok(());
    };
    for (a, n) in axes.iter().zip(&sizes) {
        let Some(at) = axis(*a, data.len()) else { return Ok(()) };
        data[at] = u64::try_from(*n).ok();
    }
    step.set_output(0, data)
}

fn like(step: &mut Step<'_>) -> Result<()> {
    let partial = ["lhs_axes", "rhs_axes", "lhs_begin", "lhs_end", "rhs_begin", "rhs_end"];
    if partial.iter().any(|k| step.node.text(k).is_some()) {
        return Ok(());
    }
    match step.input(1) {
        Some(other) => step.set_output(0, other),
        None => Ok(()),
    }
}

fn blocks(step: &mut Step<'_>, to_space: bool) -> Result<()> {
    let Some(n) = step.node.size("block_size").filter(|n| (1..1 << 16).contains(n)) else { return Ok(()) };
    let Some([b, c, h, w]) = step.input(0).and_then(|d| <[_; 4]>::try_from(d).ok()) else { return Ok(()) };
    let more = |d: Option<u64>, by: u64| d.and_then(|d| d.checked_mul(by));
    let less = |d: Option<u64>, by: u64| d.filter(|d| d.is_multiple_of(by)).map(|d| d / by);
    let out = if to_space {
        vec![b, less(c, n * n), more(h, n), more(w, n)]
    } else {
        vec![b, more(c, n * n), less(h, n), less(w, n)]
    };
    step.set_output(0, out)
}
