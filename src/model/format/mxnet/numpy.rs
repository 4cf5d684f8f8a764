//! Rules of shapes for operators of MXNet's numpy interface, which are called `_np_…`, `_npi_…` and
//! `_npx_…` where they are not those of the old one.
//!
//! Here scalars are scalars: what folds all dimensions gives none (src/operator/numpy). Types are those
//! of numpy, so that whole numbers and truth values become others on the way.

use crate::model::contract::{DType, Shape};
use crate::model::format::MAX_RANK;
use crate::model::format::mxnet::rules::{self, Kind};
use crate::model::format::mxnet::shapes::{Result, Step, axis, product, solve};

/// Two arrays, of which dimensions of one are stretched.
const BROADCAST: &[&str] = &[
    "add",
    "arctan2",
    "copysign",
    "equal",
    "greater",
    "greater_equal",
    "hypot",
    "less",
    "less_equal",
    "maximum",
    "minimum",
    "mod",
    "multiply",
    "not_equal",
    "power",
    "subtract",
    "true_divide",
];
/// Each element for itself, besides those of the old interface with the same name.
const EACH: &[&str] =
    &["absolute", "around", "copy", "isfinite", "isinf", "isnan", "nan_to_num", "cast", "full_like"];
/// Those whose results are true or false.
const TRUTHS: &[&str] = &[
    "all",
    "any",
    "equal",
    "equal_scalar",
    "greater",
    "greater_equal",
    "greater_equal_scalar",
    "greater_scalar",
    "isfinite",
    "isinf",
    "isnan",
    "less",
    "less_equal",
    "less_equal_scalar",
    "less_scalar",
    "logical_not",
    "not_equal",
    "not_equal_scalar",
];
/// Those that fold dimensions.
const FOLDS: &[&str] = &["all", "any", "argmax", "argmin", "max", "mean", "min", "prod", "std", "sum", "var"];
/// Those that move or join dimensions, with a rule here.
const ARRAYS: &[&str] = &[
    "broadcast_to",
    "concatenate",
    "dot",
    "expand_dims",
    "matmul",
    "ones",
    "reshape",
    "squeeze",
    "stack",
    "swapaxes",
    "transpose",
    "where",
    "zeros",
];

/// The name behind the prefix.
pub(super) fn name(op: &str) -> Option<&str> {
    ["_np_", "_npi_", "_npx_"].iter().find_map(|p| op.strip_prefix(p))
}

/// What an operator with such a prefix does.
pub(super) fn kind(name: &str) -> Kind {
    if BROADCAST.contains(&name) {
        Kind::Broadcast
    } else if EACH.contains(&name) || name.ends_with("_scalar") || rules::is_elementwise(name) {
        Kind::Same
    } else if FOLDS.contains(&name) || ARRAYS.contains(&name) {
        Kind::Array
    } else {
        Kind::Unknown
    }
}

/// The type of the results, which those of what goes in do not change.
pub(super) fn fixed(name: &str) -> Option<DType> {
    match name {
        _ if TRUTHS.contains(&name) => Some(DType::Bool),
        "argmax" | "argmin" => Some(DType::Int64),
        _ => None,
    }
}

/// Applies the rule of what moves, joins or folds dimensions.
pub(super) fn apply(step: &mut Step<'_>, name: &str) -> Result<()> {
    match name {
        "reshape" => reshape(step),
        "concatenate" => concatenate(step),
        "dot" | "matmul" => matmul(step, name),
        "squeeze" => squeeze(step),
        // All three are stretched to each other; only where they are alike nothing is.
        "where" => match (step.input(0), step.input(1), step.input(2)) {
            (Some(a), Some(b), Some(c)) if a == b && b == c => step.set_output(0, a),
            _ => Ok(()),
        },
        "zeros" | "ones" => match step.node.ints("shape") {
            Some(dims) => step.set_output(0, dims.into_iter().map(|d| u64::try_from(d).ok()).collect()),
            None => Ok(()),
        },
        "broadcast_to" => match step.node.ints("shape") {
            // A dimension of -2 is that of the data.
            Some(dims) if dims.iter().all(|d| *d >= 0) => {
                step.set_output(0, dims.into_iter().map(|d| u64::try_from(d).ok()).collect())
            }
            _ => Ok(()),
        },
        _ => fold(step),
    }
}

fn fold(step: &mut Step<'_>) -> Result<()> {
    let Some(keep) = step.node.flag("keepdims", false) else { return Ok(()) };
    if step.node.text("axis").is_none() && !keep {
        return step.set_output(0, Vec::new());
    }
    let Some(data) = step.input(0) else { return Ok(()) };
    let axes = match step.node.text("axis") {
        None => Some((0..data.len()).collect()),
        Some(_) => step
            .node
            .ints("axis")
            .and_then(|l| l.iter().map(|a| axis(*a, data.len())).collect::<Option<Vec<usize>>>()),
    };
    let Some(axes) = axes else { return Ok(()) };
    let out = data.iter().enumerate().filter_map(|(d, n)| match (axes.contains(&d), keep) {
        (false, _) => Some(*n),
        (true, true) => Some(Some(1)),
        (true, false) => None,
    });
    let out = out.collect();
    step.set_output(0, out)
}

/// The codes of `npx.reshape`: -1 is what is left, -2 copies a dimension, -3 leaves out one of 1, -4
/// copies all that remain, -5 merges two, -6 splits one into the two that follow.
fn reshape(step: &mut Step<'_>) -> Result<()> {
    let Some(spec) = step.node.ints("newshape") else { return Ok(()) };
    if step.node.flag("reverse", false) != Some(false) || spec.contains(&-6) {
        return Ok(());
    }
    let codes = step.node.op == "_npx_reshape";
    let mut out: Shape = Vec::new();
    let data = step.input(0);
    let mut at = 0;
    for code in spec {
        let from = |at: usize| data.as_ref().and_then(|d| d.get(at).copied());
        match code {
            -1 => out.push(None),
            -2 if codes => match from(at) {
                Some(d) => out.push(d),
                // What comes behind is where it is, whatever this one is.
                None if data.is_none() => out.push(None),
                None => return Ok(()),
            },
            -3 if codes => {}
            -4 if codes => {
                let Some(rest) = data.as_ref().and_then(|d| d.get(at..)) else { return Ok(()) };
                out.extend(rest);
                at = at.max(data.as_ref().map_or(0, Vec::len));
                continue;
            }
            -5 if codes => {
                let Some(two) = data.as_ref().and_then(|d| d.get(at..at + 2)) else { return Ok(()) };
                out.push(product(two));
                at += 1;
            }
            n => match u64::try_from(n) {
                Ok(n) => out.push(Some(n)),
                Err(_) => return Ok(()),
            },
        }
        at += 1;
        if out.len() > MAX_RANK {
            return Ok(());
        }
    }
    if let Some(total) = data.as_deref().and_then(product).filter(|t| *t > 0) {
        solve(&mut out, total)?;
    }
    step.set_output(0, out)
}

fn concatenate(step: &mut Step<'_>) -> Result<()> {
    if step.node.has("axis") && step.node.text("axis").is_none() {
        return Ok(());
    }
    let parts: Option<Vec<Shape>> = (0..step.inputs()).map(|i| step.input(i)).collect();
    let Some((first, rest)) = parts.as_deref().and_then(<[_]>::split_first) else { return Ok(()) };
    let Some(at) = axis(step.node.int("axis").unwrap_or(0), first.len()) else { return Ok(()) };
    let mut out = first.clone();
    for part in rest {
        if part.len() != out.len() {
            return Ok(());
        }
        for (d, (o, p)) in out.iter_mut().zip(part).enumerate() {
            *o = if d == at { o.and_then(|o| o.checked_add((*p)?)) } else { o.or(*p) };
        }
    }
    step.set_output(0, out)
}

fn matmul(step: &mut Step<'_>, name: &str) -> Result<()> {
    let (Some(a), Some(b)) = (step.input(0), step.input(1)) else { return Ok(()) };
    let (Some((inner, rows)), [first, columns @ ..]) = (a.split_last(), b.as_slice()) else { return Ok(()) };
    // More dimensions of the second are batches for one of the two, and more columns for the other.
    if b.len() > 2 || name == "matmul" && a.len() < 2 {
        return Ok(());
    }
    let inner = inner.or(*first);
    let (mut left, mut right) = (a.clone(), b.clone());
    if let Some(last) = left.last_mut() {
        *last = inner;
    }
    right[0] = inner;
    let out = rows.iter().chain(columns).copied().collect();
    step.set_input(0, left)?;
    step.set_input(1, right)?;
    step.set_output(0, out)
}

fn squeeze(step: &mut Step<'_>) -> Result<()> {
    let Some(data) = step.input(0) else { return Ok(()) };
    let dropped: Option<Vec<usize>> = match step.node.text("axis") {
        Some(_) => step.node.ints("axis").and_then(|l| l.iter().map(|a| axis(*a, data.len())).collect()),
        None if product(&data).is_some() => Some((0..data.len()).filter(|d| data[*d] == Some(1)).collect()),
        None => None,
    };
    let Some(dropped) = dropped else { return Ok(()) };
    let out = data.iter().enumerate().filter(|(d, _)| !dropped.contains(d)).map(|(_, n)| *n).collect();
    step.set_output(0, out)
}
