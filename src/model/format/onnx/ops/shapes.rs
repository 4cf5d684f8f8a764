//! Operators that rearrange a tensor or compute with shapes.
//!
//! Exporters compute the target of a reshape from the shape of an input, number by number; that is
//! why small whole numbers are carried along ([`Val::values`]).

use crate::error::Result;
use crate::model::contract::DType;
use crate::model::format::MAX_RANK;
use crate::model::format::onnx::infer::{Node, Val};
use crate::model::format::onnx::numbers::{MAX_VALUES, Number};
use crate::model::format::onnx::ops::{axis, broadcast, val};
use crate::model::format::onnx::types::{Dim, Type};

/// The product of dimensions, where all are known, 1 of none; a single one keeps its name.
pub(super) fn product(dims: &[Dim]) -> Dim {
    if let [one] = dims {
        return one.clone();
    }
    let mut n = 1u64;
    for d in dims {
        match d {
            Dim::Size(m) => match n.checked_mul(*m) {
                Some(p) => n = p,
                None => return Dim::Unknown,
            },
            _ => return Dim::Unknown,
        }
    }
    Dim::Size(n)
}

pub(super) fn flatten(node: &Node<'_, '_>) -> Result<Option<Val>> {
    let Some((elem, shape)) = node.tensor(0) else { return Ok(None) };
    let Some(shape) = shape else { return Ok(Some(val(elem, None))) };
    let at = node.int("axis")?.unwrap_or(1);
    // The axis may be the rank itself.
    let at = if usize::try_from(at) == Ok(shape.len()) { Some(shape.len()) } else { axis(at, shape.len()) };
    Ok(at.map(|at| val(elem, Some(vec![product(&shape[..at]), product(&shape[at..])]))))
}

/// Sizes that are given as numbers; a negative one is none.
pub(super) fn dims(values: &[Option<i64>]) -> Vec<Dim> {
    values.iter().map(|v| v.and_then(|n| u64::try_from(n).ok()).map_or(Dim::Unknown, Dim::Size)).collect()
}

pub(super) fn reshape(node: &Node<'_, '_>) -> Result<Option<Val>> {
    let Some((elem, from)) = node.tensor(0) else { return Ok(None) };
    // Before opset 5 the shape is an attribute.
    let target = match node.ints("shape")? {
        Some(list) => Some(list.into_iter().map(Some).collect::<Vec<_>>()),
        None => node
            .input(1)
            .and_then(|v| v.values.as_ref())
            .map(|v| v.iter().map(|n| n.and_then(Number::whole)).collect()),
    };
    let Some(target) = target else {
        let rank = node.tensor(1).and_then(|(_, s)| match s.map(Vec::as_slice) {
            Some([Dim::Size(n)]) => usize::try_from(*n).ok().filter(|n| *n <= MAX_VALUES),
            _ => None,
        });
        return Ok(Some(val(elem, rank.map(|n| vec![Dim::Unknown; n]))));
    };
    let zero_copies = node.int("allowzero")?.unwrap_or(0) == 0;
    let mut out = dims(&target);
    for (i, t) in target.iter().enumerate() {
        if *t == Some(0) && zero_copies {
            out[i] = from.and_then(|f| f.get(i)).cloned().unwrap_or(Dim::Unknown);
        }
    }
    if let (Some(open), Some(from)) = (target.iter().position(|t| *t == Some(-1)), from) {
        // What is copied is on both sides, known or not.
        let copied = |i: usize| zero_copies && target.get(i) == Some(&Some(0));
        let left = |dims: &[Dim]| {
            let kept = dims.iter().enumerate().filter(|(i, _)| !copied(*i));
            product(&kept.map(|(_, d)| d.clone()).collect::<Vec<_>>())
        };
        let total = left(from);
        let others: Vec<Dim> =
            out.iter().enumerate().map(|(i, d)| if i == open { Dim::Size(1) } else { d.clone() }).collect();
        match (total, left(&others)) {
            (Dim::Size(total @ 1..), Dim::Size(rest @ 1..)) if total % rest == 0 => {
                out[open] = Dim::Size(total / rest);
            }
            (name @ Dim::Named(_), Dim::Size(1)) => out[open] = name,
            _ => {}
        }
    }
    let values = node.input(0).and_then(|v| v.values.clone());
    Ok(Some(Val { ty: Type::tensor(elem, Some(out)), values }))
}

pub(super) fn concat(node: &Node<'_, '_>) -> Result<Option<Val>> {
    let Some((elem, first)) = node.tensor(0) else { return Ok(None) };
    let Some(first) = first else { return Ok(Some(val(elem, None))) };
    let Some(along) = axis(node.int("axis")?.unwrap_or(1), first.len()) else { return Ok(None) };
    let mut out = first.clone();
    let mut values = Some(Vec::new());
    let mut sum = Some(0u64);
    for at in 0..node.inputs.len() {
        let Some((_, Some(shape))) = node.tensor(at) else { return Ok(Some(val(elem, None))) };
        if shape.len() != out.len() {
            return Ok(None);
        }
        for (i, d) in shape.iter().enumerate() {
            if i != along && matches!((&out[i], d), (Dim::Unknown | Dim::Named(_), Dim::Size(_))) {
                out[i] = d.clone();
            }
        }
        sum = match (&shape[along], sum) {
            (Dim::Size(n), Some(m)) => m.checked_add(*n),
            _ => None,
        };
        values = match (values, node.input(at).and_then(|v| v.values.as_ref())) {
            (Some(mut all), Some(more)) if all.len() + more.len() <= MAX_VALUES => {
                all.extend(more);
                Some(all)
            }
            _ => None,
        };
    }
    out[along] = sum.map_or(Dim::Unknown, Dim::Size);
    let values = values.filter(|_| out.len() == 1);
    Ok(Some(Val { ty: Type::tensor(elem, Some(out)), values }))
}

pub(super) fn transpose(node: &Node<'_, '_>) -> Result<Option<Val>> {
    let Some((elem, shape)) = node.tensor(0) else { return Ok(None) };
    let Some(shape) = shape else { return Ok(Some(val(elem, None))) };
    let order = node.ints("perm")?.unwrap_or_else(|| (0..shape.len() as i64).rev().collect());
    if order.len() != shape.len() {
        return Ok(None);
    }
    let out: Option<Vec<Dim>> =
        order.iter().map(|at| axis(*at, shape.len()).map(|at| shape[at].clone())).collect();
    // A list stays as it is.
    let values = node.input(0).and_then(|v| v.values.clone()).filter(|_| shape.len() <= 1);
    Ok(out.map(|out| Val { values, ..val(elem, Some(out)) }))
}

/// The axes of an operator that has them as an attribute at first and as an input later.
pub(super) fn axes(node: &Node<'_, '_>) -> Result<Option<Vec<i64>>> {
    Ok(match node.ints("axes")? {
        Some(axes) => Some(axes),
        None => node.input_ints(1),
    })
}

pub(super) fn squeeze(node: &Node<'_, '_>) -> Result<Option<Val>> {
    let Some((elem, shape)) = node.tensor(0) else { return Ok(None) };
    let Some(shape) = shape else { return Ok(Some(val(elem, None))) };
    let values = node.input(0).and_then(|v| v.values.clone());
    let given = axes(node)?;
    let drop: Vec<usize> = match given {
        Some(list) => match list.iter().map(|a| axis(*a, shape.len())).collect() {
            Some(list) => list,
            None => return Ok(None),
        },
        None if node.inputs.len() > 1 => return Ok(Some(val(elem, None))),
        // All of size 1, which is only known where all sizes are.
        None if shape.iter().all(|d| matches!(d, Dim::Size(_))) => {
            shape.iter().enumerate().filter(|(_, d)| **d == Dim::Size(1)).map(|(i, _)| i).collect()
        }
        None => return Ok(Some(val(elem, None))),
    };
    let out = shape.iter().enumerate().filter(|(i, _)| !drop.contains(i)).map(|(_, d)| d.clone()).collect();
    Ok(Some(Val { ty: Type::tensor(elem, Some(out)), values }))
}

pub(super) fn unsqueeze(node: &Node<'_, '_>) -> Result<Option<Val>> {
    let Some((elem, shape)) = node.tensor(0) else { return Ok(None) };
    let Some(shape) = shape else { return Ok(Some(val(elem, None))) };
    let Some(axes) = axes(node)? else { return Ok(Some(val(elem, None))) };
    let rank = shape.len() + axes.len();
    if rank > MAX_RANK {
        return Ok(None);
    }
    let Some(new) = axes.iter().map(|a| axis(*a, rank)).collect::<Option<Vec<usize>>>() else {
        return Ok(None);
    };
    let mut old = shape.iter();
    let out = (0..rank)
        .map(|i| if new.contains(&i) { Dim::Size(1) } else { old.next().cloned().unwrap_or(Dim::Unknown) })
        .collect();
    let values = node.input(0).and_then(|v| v.values.clone());
    Ok(Some(Val { ty: Type::tensor(elem, Some(out)), values }))
}

pub(super) fn gather(node: &Node<'_, '_>) -> Result<Option<Val>> {
    let (Some((elem, data)), Some((_, indices))) = (node.tensor(0), node.tensor(1)) else { return Ok(None) };
    let (Some(data), Some(indices)) = (data, indices) else { return Ok(Some(val(elem, None))) };
    let Some(at) = axis(node.int("axis")?.unwrap_or(0), data.len()) else { return Ok(None) };
    let out = [&data[..at], indices, &data[at + 1..]].concat();
    let values = match (node.input(0).and_then(|v| v.values.as_ref()), node.input_ints(1)) {
        (Some(values), Some(wanted)) if data.len() == 1 => {
            Some(wanted.iter().map(|w| axis(*w, values.len()).and_then(|i| values[i])).collect())
        }
        _ => None,
    };
    Ok(Some(Val { ty: Type::tensor(elem, Some(out)), values }))
}

pub(super) fn shape_of(node: &Node<'_, '_>) -> Result<Option<Val>> {
    let Some((_, Some(shape))) = node.tensor(0) else {
        return Ok(Some(val(Some(DType::Int64), Some(vec![Dim::Unknown]))));
    };
    let bound = |at: i64| {
        let rank = shape.len() as i64;
        let at = if at < 0 { at.saturating_add(rank) } else { at };
        usize::try_from(at.clamp(0, rank)).unwrap_or(0)
    };
    let start = bound(node.int("start")?.unwrap_or(0));
    let end = bound(node.int("end")?.unwrap_or(i64::MAX)).max(start);
    let part = &shape[start..end];
    let values = part
        .iter()
        .map(|d| if let Dim::Size(n) = d { i64::try_from(*n).ok().map(Number::Whole) } else { None });
    Ok(Some(Val {
        ty: Type::tensor(Some(DType::Int64), Some(vec![Dim::Size(part.len() as u64)])),
        values: (part.len() <= MAX_VALUES).then(|| values.collect()),
    }))
}

pub(super) fn expand(node: &Node<'_, '_>) -> Option<Val> {
    let (elem, shape) = node.tensor(0)?;
    let target = node.input_dims(1);
    let out = match (shape, target) {
        (Some(a), Some(b)) => broadcast(a, &b),
        _ => None,
    };
    Some(val(elem, out))
}

/// The parts are as long as given, or as equal as they can be.
pub(super) fn split(node: &Node<'_, '_>) -> Result<Vec<Option<Val>>> {
    let Some((elem, shape)) = node.tensor(0) else { return Ok(Vec::new()) };
    let Some(shape) = shape else { return Ok(vec![Some(val(elem, None)); node.outputs]) };
    let Some(along) = axis(node.int("axis")?.unwrap_or(0), shape.len()) else { return Ok(Vec::new()) };
    let given = match node.ints("split")? {
        Some(list) => Some(list),
        None => node.input_ints(1),
    };
    let computed = given.is_none() && node.input(1).is_some();
    let whole = node.input(0).and_then(|v| v.values.clone()).filter(|_| shape.len() == 1);
    let mut from = Some(0usize);
    let mut out = Vec::new();
    for i in 0..node.outputs {
        let size = match (&given, &shape[along]) {
            (Some(list), _) => list.get(i).and_then(|n| u64::try_from(*n).ok()),
            (None, Dim::Size(n)) if !computed && node.outputs > 0 => {
                let chunk = n.div_ceil(node.outputs as u64);
                Some(n.saturating_sub(chunk.saturating_mul(i as u64)).min(chunk))
            }
            _ => None,
        };
        let mut part = shape.clone();
        part[along] = size.map_or(Dim::Unknown, Dim::Size);
        let end = from.zip(size.and_then(|n| usize::try_from(n).ok())).and_then(|(a, b)| a.checked_add(b));
        let values = whole.as_ref().and_then(|v| v.get(from?..end?)).map(<[_]>::to_vec);
        from = end;
        out.push(Some(Val { values, ..val(elem, Some(part)) }));
    }
    Ok(out)
}

/// The values of `TopK`; the indices have their shape.
pub(super) fn top_k(node: &Node<'_, '_>) -> Result<Option<Val>> {
    let Some((elem, shape)) = node.tensor(0) else { return Ok(None) };
    let Some(shape) = shape else { return Ok(Some(val(elem, None))) };
    let Some(along) = axis(node.int("axis")?.unwrap_or(-1), shape.len()) else { return Ok(None) };
    let k = match node.int("k")? {
        Some(k) => Some(k),
        None => node.input_ints(1).and_then(|k| k.first().copied()),
    };
    let mut out = shape.clone();
    out[along] = k.and_then(|k| u64::try_from(k).ok()).map_or(Dim::Unknown, Dim::Size);
    Ok(Some(val(elem, Some(out))))
}

/// What a slice leaves: the rank, and the sizes where all numbers are known.
pub(super) fn slice(node: &Node<'_, '_>) -> Result<Option<Val>> {
    let Some((elem, shape)) = node.tensor(0) else { return Ok(None) };
    let Some(shape) = shape else { return Ok(Some(val(elem, None))) };
    let unknown = Ok(Some(val(elem, Some(vec![Dim::Unknown; shape.len()]))));
    // Attributes before opset 10, inputs since.
    let list = |name: &str, at: usize| -> Result<Option<Vec<i64>>> {
        Ok(match node.ints(name)? {
            Some(list) => Some(list),
            None => node.input_ints(at),
        })
    };
    let (Some(starts), Some(ends)) = (list("starts", 1)?, list("ends", 2)?) else { return unknown };
    let axes = match list("axes", 3)? {
        Some(axes) => axes,
        None if node.input(3).is_some() => return unknown,
        None => (0..starts.len() as i64).collect(),
    };
    let steps = match node.input_ints(4) {
        Some(steps) => steps,
        None if node.input(4).is_some() => return unknown,
        None => vec![1; starts.len()],
    };
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
        return Ok(None);
    }
    let mut out = shape.clone();
    let mut values = node.input(0).and_then(|v| v.values.clone());
    for (((start, end), at), step) in starts.iter().zip(&ends).zip(&axes).zip(&steps) {
        let Some(at) = axis(*at, shape.len()) else { return Ok(None) };
        let Dim::Size(n) = shape[at] else {
            out[at] = Dim::Unknown;
            values = None;
            continue;
        };
        let Ok(n) = i64::try_from(n) else { return unknown };
        let from_end = |i: i64| if i < 0 { i.saturating_add(n) } else { i };
        let (low, high) = if *step > 0 { (0, n) } else { (-1, n - 1) };
        // An end far below zero means "to the first one" where the steps go down.
        let start = from_end(*start).clamp(low.max(0).min(high), high);
        let end = from_end(*end).clamp(low, high);
        let Some(count) = (match step {
            0 => None,
            s if *s > 0 => Some((end - start).max(0).unsigned_abs().div_ceil(s.unsigned_abs())),
            s => Some((start - end).max(0).unsigned_abs().div_ceil(s.unsigned_abs())),
        }) else {
            return Ok(None);
        };
        out[at] = Dim::Size(count);
        let part = values.take().filter(|_| *step == 1 && shape.len() == 1);
        values = part.and_then(|v| {
            let (start, end) = (usize::try_from(start).ok()?, usize::try_from(end.max(start)).ok()?);
            v.get(start..end).map(<[_]>::to_vec)
        });
    }
    Ok(Some(Val { ty: Type::tensor(elem, Some(out)), values }))
}

/// What padding adds to each dimension, where it is known.
pub(super) fn pad(node: &Node<'_, '_>) -> Result<Option<Val>> {
    let Some((elem, shape)) = node.tensor(0) else { return Ok(None) };
    let Some(shape) = shape else { return Ok(Some(val(elem, None))) };
    let pads = match node.ints("pads")? {
        Some(pads) => Some(pads),
        None if node.input(3).is_none() => node.input_ints(1),
        None => None,
    };
    let rank = shape.len();
    let Some(pads) = pads.filter(|p| p.len() == 2 * rank) else {
        return Ok(Some(val(elem, Some(vec![Dim::Unknown; rank]))));
    };
    let size = |i: usize| {
        let Dim::Size(n) = &shape[i] else { return None };
        let sum = i64::try_from(*n).ok()?.checked_add(pads[i])?.checked_add(pads[i + rank])?;
        u64::try_from(sum).ok()
    };
    let out = (0..rank)
        .map(|i| {
            if pads[i] == 0 && pads[i + rank] == 0 {
                shape[i].clone()
            } else {
                size(i).map_or(Dim::Unknown, Dim::Size)
            }
        })
        .collect();
    Ok(Some(val(elem, Some(out))))
}

/// A tensor of one number, of a shape that is given as numbers.
pub(super) fn filled(node: &Node<'_, '_>) -> Result<Option<Val>> {
    let (elem, number) = match node.weight("value")? {
        Some(Val { ty: Type::Tensor { elem, .. }, values }) => {
            (elem, values.and_then(|v| v.first().copied()).flatten())
        }
        _ => (Some(DType::Float32), Some(Number::Real(0.0))),
    };
    let rank = || super::arrays::length(node.tensor(0).and_then(|t| t.1)).map(|n| vec![Dim::Unknown; n]);
    let shape = node.input_dims(0).or_else(rank);
    let values = match shape.as_deref().filter(|s| s.len() <= 1).map(product) {
        Some(Dim::Size(n)) if n <= MAX_VALUES as u64 => Some(vec![number; n as usize]),
        _ => None,
    };
    Ok(Some(Val { values, ..val(elem, shape) }))
}

/// What is left of a short list that is reduced as a whole.
pub(super) fn reduced(node: &Node<'_, '_>, axes: Option<&[i64]>) -> Option<Vec<Option<Number>>> {
    let (elem, shape) = node.tensor(0)?;
    let whole = matches!(axes, None | Some([0 | -1])) && shape?.len() == 1;
    let op = match node.op.as_str() {
        "ReduceProd" => "Mul",
        "ReduceSum" => "Add",
        "ReduceMin" => "Min",
        "ReduceMax" => "Max",
        _ => return None,
    };
    // The order in which real numbers are summed is the engine's choice.
    let list = node.input_ints(0).filter(|l| whole && !l.is_empty())?;
    let mut list = list.into_iter().map(Number::Whole);
    let first = list.next()?;
    Some(vec![list.try_fold(first, |a, b| Number::two(op, a, b, elem?))])
}
