//! Products of tensors: matrices, Einstein's sums, and what numpy has beside them.

use std::collections::BTreeMap;

use crate::model::contract::{DType, Shape};
use crate::model::format::MAX_RANK;
use crate::model::format::keras::config::{Layer, ints, list};
use crate::model::format::keras::layers::ops::arrays::all;
use crate::model::format::keras::layers::ops::elementwise::broadcast;
use crate::model::format::keras::layers::ops::operand::{Operand, tensors_together, together};
use crate::model::format::keras::layers::{Ctx, one};
use crate::model::format::keras::spec::{Args, Spec, axis, times};

/// From Keras 3.1 on products of the smallest whole numbers are counted in larger ones.
const COUNTED: u32 = 1;
/// The most tensors of one sum.
const MAX_OPERANDS: usize = 64;

pub(super) fn apply(ctx: &Ctx, layer: &Layer<'_>, args: &Args<'_>) -> Option<Vec<Spec>> {
    if matches!(layer.class, "Einsum" | "Meshgrid") {
        let count = args.args.len().min(MAX_OPERANDS + 1);
        let all: Vec<Operand> = (0..count).map(|at| Operand::at(args, at, &[])).collect::<Option<_>>()?;
        return if layer.class == "Einsum" { einstein(ctx, layer, &all) } else { meshgrid(layer, &all) };
    }
    let (a, b) = (Operand::at(args, 0, &["x1"])?, Operand::at(args, 1, &["x2"])?);
    let same = together([&a, &b], ctx.floatx);
    let eight = |o: &Operand| o.kind == Some(super::operand::Kind::Fixed(DType::Int8));
    let shapes = a.shape.as_ref().zip(b.shape.as_ref());
    let shape = match layer.class {
        // Before Keras 3.15 vectors and outer shapes are told in other ways than they are computed.
        "Matmul" => shapes.and_then(|(a, b)| matmul(a, b)),
        "Inner" => shapes.and_then(|(a, b)| inner(a, b)),
        "Dot" => shapes.and_then(|(a, b)| dot(a, b)),
        "Tensordot" => shapes.and_then(|(a, b)| tensordot(layer, a, b)),
        "Outer" => shapes.map(|(a, b)| vec![all(a), all(b)]),
        "Vdot" => Some(Vec::new()),
        "Cross" => shapes.and_then(|(a, b)| cross(layer, a, b)),
        "Kron" => {
            // Shapes of different ranks are told to be of the lesser one, and are computed to be of the greater.
            let plain = shapes.filter(|(a, b)| a.len() == b.len());
            plain.map(|(a, b)| a.iter().zip(b).map(|(a, b)| times(*a, (*b)?)).collect())
        }
        _ => return None,
    };
    let dtype = match layer.class {
        "Kron" => tensors_together(&a, &b, false, ctx.floatx),
        // Products of small whole numbers are counted in larger ones.
        "Matmul" if eight(&a) && eight(&b) => Some(DType::Int32).filter(|_| ctx.minor >= COUNTED),
        _ => same,
    };
    Some(one(shape.filter(|s: &Shape| s.len() <= MAX_RANK), dtype))
}

/// Matrices, stacks of them, and vectors at either side.
pub(in super::super) fn matmul(a: &Shape, b: &Shape) -> Option<Shape> {
    let (m, n) = (a.len(), b.len());
    if m == 0 || n == 0 {
        return None;
    }
    let mut out =
        broadcast(Some(&a[..m.saturating_sub(2)].to_vec()), Some(&b[..n.saturating_sub(2)].to_vec()))?;
    if m > 1 {
        out.push(a[m - 2]);
    }
    if n > 1 {
        out.push(b[n - 1]);
    }
    Some(out)
}

fn inner(a: &Shape, b: &Shape) -> Option<Shape> {
    match (a.split_last(), b.split_last()) {
        (Some((m, left)), Some((n, right))) => {
            let fits = m.is_none() || n.is_none() || m == n;
            fits.then(|| [left, right].concat())
        }
        // A number alone is a factor.
        (None, _) => Some(b.clone()),
        (_, None) => Some(a.clone()),
    }
}

fn dot(a: &Shape, b: &Shape) -> Option<Shape> {
    if a.is_empty() || b.is_empty() {
        return broadcast(Some(a), Some(b));
    }
    let rest = match b[..] {
        [_] => Vec::new(),
        _ => [&b[..b.len() - 2], &b[b.len() - 1..]].concat(),
    };
    Some([&a[..a.len() - 1], &rest].concat())
}

fn tensordot(layer: &Layer<'_>, a: &Shape, b: &Shape) -> Option<Shape> {
    let axes = layer.get("axes")?;
    let Some(pair) = list(axes) else {
        let n = layer.size("axes").and_then(|n| usize::try_from(n).ok())?;
        // Python cuts what is too short to nothing.
        return Some([&a[..a.len().saturating_sub(n)], b.get(n..).unwrap_or_default()].concat());
    };
    let [x, y] = pair.as_slice() else { return None };
    let without = |shape: &Shape, axes: &serde_json::Value| {
        let gone: Vec<usize> =
            ints(axes)?.into_iter().map(|at| axis(at, shape.len())).collect::<Option<_>>()?;
        Some(shape.iter().enumerate().filter(|(i, _)| !gone.contains(i)).map(|(_, d)| *d).collect::<Shape>())
    };
    Some([without(a, x)?, without(b, y)?].concat())
}

fn cross(layer: &Layer<'_>, a: &Shape, b: &Shape) -> Option<Shape> {
    if layer.get("axis").is_some() {
        return None;
    }
    let (mut a, mut b) = (a.clone(), b.clone());
    let x = a.remove(axis(layer.int("axisa")?, a.len())?);
    let y = b.remove(axis(layer.int("axisb")?, b.len())?);
    let out = broadcast(Some(&a), Some(&b))?;
    match (x?, y?) {
        (2, 2) => Some(out),
        (2 | 3, 2 | 3) => {
            let mut out = out;
            let at = axis(layer.int("axisc")?, out.len() + 1)?;
            out.insert(at, Some(3));
            Some(out)
        }
        _ => None,
    }
}

fn meshgrid(layer: &Layer<'_>, inputs: &[Operand]) -> Option<Vec<Spec>> {
    let mut shape: Shape = inputs.iter().map(|o| Some(all(o.shape.as_ref()?))).collect::<Option<_>>()?;
    if shape.len() < 2 || layer.text("indexing") != Some("xy") {
        return None;
    }
    shape.swap(0, 1);
    // All are told to be of the last one's dtype, or of their own: only alike ones are certain.
    let first = inputs[0].kind;
    let dtype = together(inputs, None).filter(|_| inputs.iter().all(|o| o.kind == first));
    Some(vec![Spec::new(Some(shape), dtype); inputs.len()])
}

fn einstein(ctx: &Ctx, layer: &Layer<'_>, inputs: &[Operand]) -> Option<Vec<Spec>> {
    let all_eight = inputs.iter().all(|o| o.kind == Some(super::operand::Kind::Fixed(DType::Int8)));
    let dtype = if all_eight {
        Some(DType::Int32).filter(|_| ctx.minor >= COUNTED)
    } else {
        together(inputs, ctx.floatx)
    };
    let shapes: Option<Vec<&Shape>> = inputs.iter().map(|o| o.shape.as_ref()).collect();
    let shape = shapes.and_then(|shapes| summed(layer.text("subscripts")?, &shapes));
    Some(one(shape, dtype))
}

/// The shape of an Einstein's sum.
pub(in super::super) fn summed(subscripts: &str, shapes: &[&Shape]) -> Option<Shape> {
    let plain: String = subscripts.chars().filter(|c| !c.is_whitespace()).collect();
    let (left, right) = match plain.split_once("->") {
        Some((left, right)) => (left, Some(right)),
        None => (plain.as_str(), None),
    };
    let terms: Vec<&str> = left.split(',').collect();
    if terms.len() != shapes.len() {
        return None;
    }
    let mut sizes: BTreeMap<char, (Option<u64>, usize)> = BTreeMap::new();
    let mut elided: Option<Shape> = None;
    for (term, shape) in terms.iter().zip(shapes) {
        let (before, after) = term.split_once("...").unwrap_or((term, ""));
        let (m, n) = (before.chars().count(), after.chars().count());
        let middle = shape.len().checked_sub(m + n)?;
        if term.contains("...") {
            let own = shape[m..m + middle].to_vec();
            elided = Some(match elided {
                None => own,
                Some(other) => broadcast(Some(&other), Some(&own))?,
            });
        } else if middle > 0 {
            return None;
        }
        let dims = shape[..m].iter().chain(&shape[m + middle..]);
        let mut own = Vec::new();
        for (letter, d) in before.chars().chain(after.chars()).zip(dims) {
            if !letter.is_ascii_alphabetic() {
                return None;
            }
            // A diagonal is told by what its first axis is, known or not.
            if own.contains(&letter) {
                sizes.entry(letter).and_modify(|entry| entry.1 += 1);
                continue;
            }
            own.push(letter);
            let entry = sizes.entry(letter).or_insert((Some(1), 0));
            entry.1 += 1;
            entry.0 = match (entry.0, *d) {
                (Some(1), d) | (d, Some(1) | None) => d,
                (None, d) => d,
                (Some(a), Some(b)) => (a == b).then_some(Some(a))?,
            };
        }
    }
    let output = match right {
        Some(right) => right.to_owned(),
        // Letters that stand once, in the order of the alphabet.
        None => {
            let once = sizes.iter().filter(|(_, (_, n))| *n == 1).map(|(c, _)| *c).collect::<String>();
            format!("{}{once}", if elided.is_some() { "..." } else { "" })
        }
    };
    let (before, after) = output.split_once("...").unwrap_or((&output, ""));
    let of = |letters: &str| letters.chars().map(|c| sizes.get(&c).map(|s| s.0)).collect::<Option<Shape>>();
    let middle = if output.contains("...") { elided? } else { Vec::new() };
    Some([of(before)?, middle, of(after)?].concat()).filter(|s| s.len() <= MAX_RANK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_that_are_kept_make_the_shape() {
        let s = |dims: &[u64]| dims.iter().map(|d| (*d > 0).then_some(*d)).collect::<Shape>();
        let (a, b) = (s(&[0, 5, 4]), s(&[0, 4, 7]));
        assert_eq!(summed("bij,bjk->bik", &[&a, &b]), Some(s(&[0, 5, 7])));
        assert_eq!(summed("bij, bjk", &[&a, &b]), Some(s(&[5, 7])));
        assert_eq!(summed("...ij->...ji", &[&a]), Some(s(&[0, 4, 5])));
        assert_eq!(summed("bij->", &[&a]), Some(vec![]));
        assert_eq!(summed("bij,bjk->bxk", &[&a, &b]), None);
        assert_eq!(summed("bi,bjk->bk", &[&a, &b]), None);
        assert_eq!(summed("bij,bik->bj", &[&a, &b]), None);
        assert_eq!(summed("bii->bi", &[&s(&[0, 0, 0])]), Some(s(&[0, 0])));
        assert_eq!(summed("bii", &[&s(&[0, 5, 5])]), Some(s(&[0])));
        assert_eq!(matmul(&s(&[5]), &b), Some(s(&[0, 7])));
        assert_eq!(matmul(&a, &s(&[4])), Some(s(&[0, 5])));
    }
}
