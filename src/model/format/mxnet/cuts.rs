//! Rules of shapes for operators that cut one array into parts, or join several.
//!
//! Each follows its operator's `InferShape` in MXNet (src/operator/tensor/matrix_op-inl.h,
//! src/operator/slice_channel-inl.h, src/operator/nn/concat.cc).

use crate::model::contract::Shape;
use crate::model::format::mxnet::shapes::{Clash, Result, Step, axis};

/// The rule of `Concat`.
pub(super) fn concat(step: &mut Step<'_>) -> Result<()> {
    let n = step.inputs();
    let rank = (0..n).find_map(|i| step.input(i)).or_else(|| step.output(0)).map(|s| s.len());
    let Some(rank) = rank else { return Ok(()) };
    let Some(at) = axis(step.node.int("dim").unwrap_or(1), rank) else { return Ok(()) };
    let mut common: Shape = step.output(0).filter(|o| o.len() == rank).unwrap_or_else(|| vec![None; rank]);
    let total = common[at];
    let mut sum = Some(0u64);
    let mut open = Vec::new();
    for i in 0..n {
        let Some(one) = step.input(i) else {
            sum = None;
            open.push((i, 0));
            continue;
        };
        if one.len() != rank {
            return Err(Clash);
        }
        for (d, (c, o)) in common.iter_mut().zip(&one).enumerate() {
            if d != at {
                *c = c.or(*o);
            }
        }
        match one[at] {
            Some(n) => sum = sum.and_then(|s| s.checked_add(n)),
            None => {
                sum = None;
                open.push((i, 1));
            }
        }
    }
    common[at] = None;
    for i in 0..n {
        step.set_input(i, common.clone())?;
    }
    if let ([(i, _)], Some(total)) = (open.as_slice(), total) {
        let others = (0..n).filter(|o| o != i).try_fold(0u64, |s, o| s.checked_add(step.input(o)?[at]?));
        if let Some(rest) = others.and_then(|o| total.checked_sub(o)) {
            let mut one = common.clone();
            one[at] = Some(rest);
            step.set_input(*i, one)?;
        }
    }
    common[at] = sum;
    step.set_output(0, common)
}

/// The rule of `stack`.
pub(super) fn stack(step: &mut Step<'_>) -> Result<()> {
    let n = step.inputs();
    for i in 1..n {
        if let Some(one) = step.input(i) {
            step.set_input(0, one)?;
        }
    }
    let Some(first) = step.input(0) else { return Ok(()) };
    for i in 1..n {
        step.set_input(i, first.clone())?;
    }
    let Some(at) = axis(step.node.int("axis").unwrap_or(0), first.len() + 1) else { return Ok(()) };
    let mut out = first;
    out.insert(at, Some(n as u64));
    step.set_output(0, out)
}

/// The rule of `SliceChannel`.
pub(super) fn slice_channel(step: &mut Step<'_>) -> Result<()> {
    let Some(n) = step.node.size("num_outputs").filter(|n| *n > 0) else { return Ok(()) };
    let Some(squeeze) = step.node.flag("squeeze_axis", false) else { return Ok(()) };
    let position = step.node.int("axis").unwrap_or(1);
    let used = step.used();
    let known = used.iter().find_map(|k| step.output(*k));
    let rank = step.input(0).map(|d| d.len()).or_else(|| known.map(|o| o.len() + usize::from(squeeze)));
    let Some(at) = rank.and_then(|r| axis(position, r)) else { return Ok(()) };
    for k in &used {
        let Some(mut part) = step.output(*k) else { continue };
        if squeeze {
            part.insert(at.min(part.len()), Some(n));
        } else if let Some(d) = part.get_mut(at) {
            *d = d.and_then(|d| d.checked_mul(n));
        }
        step.set_input(0, part)?;
    }
    let Some(mut part) = step.input(0) else { return Ok(()) };
    if squeeze {
        part.remove(at);
    } else {
        part[at] = match part[at] {
            Some(d) if !d.is_multiple_of(n) => return Err(Clash),
            d => d.map(|d| d / n),
        };
    }
    for k in used {
        step.set_output(k, part.clone())?;
    }
    Ok(())
}

/// The rule of `_split_v2`.
pub(super) fn split(step: &mut Step<'_>) -> Result<()> {
    let Some(data) = step.input(0) else { return Ok(()) };
    let Some(at) = axis(step.node.int("axis").unwrap_or(1), data.len()) else { return Ok(()) };
    let Some(squeeze) = step.node.flag("squeeze_axis", false) else { return Ok(()) };
    let (sections, indices) =
        (step.node.size("sections").unwrap_or(0), step.node.ints("indices").unwrap_or_default());
    for k in step.used() {
        let mut part = data.clone();
        part[at] = if sections > 0 {
            data[at].filter(|d| d.is_multiple_of(sections)).map(|d| d / sections)
        } else {
            let edge = |k: usize| indices.get(k).copied().and_then(|n| u64::try_from(n).ok());
            match (edge(k), edge(k + 1)) {
                (Some(from), Some(to)) => to.checked_sub(from).filter(|_| data[at].is_some_and(|d| d >= to)),
                (Some(from), None) if k + 1 == indices.len() => data[at].and_then(|d| d.checked_sub(from)),
                _ => None,
            }
        };
        if squeeze {
            part.remove(at);
        }
        step.set_output(k, part)?;
    }
    Ok(())
}

/// What `begin:end:stride` leaves of a dimension, counted as Python does.
fn cut(size: Option<u64>, begin: Option<i64>, end: Option<i64>, stride: i64) -> Option<u64> {
    let whole = begin.is_none_or(|b| b == 0) && end.is_none();
    if stride == 1 && whole {
        return size;
    }
    let size = i64::try_from(size?).ok()?;
    let place = |n: i64| (if n < 0 { n.checked_add(size).unwrap_or(0) } else { n }).clamp(0, size);
    match stride {
        1.. => {
            let (from, to) = (begin.map_or(0, place), end.map_or(size, place));
            u64::try_from(to.checked_sub(from)?).ok().map(|n| n.div_ceil(stride.unsigned_abs()))
        }
        // Backwards, with both ends open, all of it is there.
        i64::MIN..=-1 if begin.is_none() && end.is_none() => {
            Some(size.unsigned_abs().div_ceil(stride.unsigned_abs()))
        }
        _ => None,
    }
}

/// The rule of `slice`.
pub(super) fn slice(step: &mut Step<'_>) -> Result<()> {
    let (Some(begin), Some(end)) = (step.node.options("begin"), step.node.options("end")) else {
        return Ok(());
    };
    let strides = step.node.options("step").unwrap_or_default();
    let cuts = |d: usize| {
        let stride = strides.get(d).copied().flatten().unwrap_or(1);
        (begin.get(d).copied().flatten(), end.get(d).copied().flatten(), stride)
    };
    let untouched = |d: usize| matches!(cuts(d), (None | Some(0), None, 1));
    if let Some(out) = step.output(0) {
        let back = out.iter().enumerate().map(|(d, n)| n.filter(|_| untouched(d))).collect();
        step.set_input(0, back)?;
    }
    let Some(data) = step.input(0) else { return Ok(()) };
    let out = data.iter().enumerate().map(|(d, n)| {
        let (begin, end, stride) = cuts(d);
        cut(*n, begin, end, stride)
    });
    let out = out.collect();
    step.set_output(0, out)
}

/// The rule of `slice_axis`.
pub(super) fn slice_axis(step: &mut Step<'_>) -> Result<()> {
    let rank = step.input(0).or_else(|| step.output(0)).map(|s| s.len());
    let Some(at) = rank.and_then(|r| axis(step.node.int("axis")?, r)) else { return Ok(()) };
    if let Some(mut out) = step.output(0) {
        if let Some(d) = out.get_mut(at) {
            *d = None;
        }
        step.set_input(0, out)?;
    }
    let Some(mut data) = step.input(0) else { return Ok(()) };
    data[at] = cut(data[at], step.node.int("begin"), step.node.int("end"), 1);
    step.set_output(0, data)
}

/// The rule of `slice_like`.
pub(super) fn slice_like(step: &mut Step<'_>) -> Result<()> {
    let (Some(mut data), Some(like)) = (step.input(0), step.input(1)) else { return Ok(()) };
    let axes = step.node.ints("axes").unwrap_or_default();
    let axes = if axes.is_empty() { (0..like.len() as i64).collect() } else { axes };
    for a in axes {
        let (Some(here), Some(there)) = (axis(a, data.len()), axis(a, like.len())) else { return Ok(()) };
        data[here] = like[there];
    }
    step.set_output(0, data)
}
