//! Layers that change how numbers are laid out, and those that put one axis in place of another.

use crate::model::contract::Shape;
use crate::model::format::keras::config::{self, Layer, list};
use crate::model::format::keras::layers::{Ctx, one};
use crate::model::format::keras::spec::{Args, Spec, times};

pub(super) fn apply(ctx: &Ctx, layer: &Layer<'_>, x: &Spec) -> Option<Vec<Spec>> {
    // These pass on what they are given in every version.
    let dtype = ctx.cast(layer, x.dtype);
    let shape = match layer.class {
        "Flatten" => x.shape.as_ref().and_then(flatten),
        "Reshape" => reshape(layer, x),
        "Permute" => permute(layer, x),
        "RepeatVector" => {
            return Some(one(
                x.shape.as_ref().filter(|s| s.len() == 2).map(|s| vec![s[0], layer.size("n"), s[1]]),
                ctx.through(layer, x.dtype),
            ));
        }
        "EinsumDense" | "MultiHeadDense" => {
            return Some(one(einsum_dense(ctx, layer, x), ctx.compute(layer)));
        }
        _ => return None,
    };
    Some(one(shape, dtype))
}

fn flatten(shape: &Shape) -> Option<Shape> {
    let (batch, rest) = shape.split_first()?;
    let all = rest.iter().try_fold(1, |n, d| times(*d, n));
    Some(vec![*batch, all])
}

fn reshape(layer: &Layer<'_>, x: &Spec) -> Option<Shape> {
    let target = layer.ints("target_shape")?;
    let input = x.shape.as_ref()?;
    let total = input.iter().skip(1).try_fold(1, |n, d| times(*d, n));
    let fixed: Vec<u64> = target.iter().filter_map(|d| u64::try_from(*d).ok()).collect();
    let known = fixed.iter().try_fold(1u64, |n, d| n.checked_mul(*d))?;
    let free = target.len() - fixed.len();
    let rest = total.filter(|_| free == 1 && known > 0).map(|t| (t / known, t % known));
    if free > 1 || rest.is_some_and(|(_, left)| left != 0) {
        return None;
    }
    let mut out = vec![*input.first()?];
    out.extend(target.iter().map(|d| u64::try_from(*d).ok().or_else(|| rest.map(|(n, _)| n))));
    Some(out)
}

fn permute(layer: &Layer<'_>, x: &Spec) -> Option<Shape> {
    let input = x.shape.as_ref()?;
    let dims = layer.ints("dims")?;
    if dims.len() + 1 != input.len() {
        return None;
    }
    let at = |d: &i64| usize::try_from(*d).ok().filter(|d| *d > 0).and_then(|d| input.get(d)).copied();
    let rest: Option<Vec<_>> = dims.iter().map(at).collect();
    Some([&input[..1], &rest?].concat())
}

/// `abc,cd->abd`: an axis of the result is the input's where both have its letter, else it is in
/// `output_shape`, which leaves out the batch and what `...` stands for.
fn einsum_dense(ctx: &Ctx, layer: &Layer<'_>, x: &Spec) -> Option<Shape> {
    let input = x.shape.as_ref()?;
    let equation: String = layer.text("equation")?.chars().filter(|c| !c.is_whitespace()).collect();
    let (left, output) = equation.split_once("->")?;
    let (from, _) = left.split_once(',')?;
    let given = layer.get("output_shape")?;
    let given: Vec<Option<u64>> = match list(given) {
        Some(items) => items.iter().map(config::size).collect(),
        None => vec![config::size(given)],
    };
    let plain = |s: &str| s.replace("...", "");
    let (from_letters, to_letters) = (plain(from), plain(output));
    let elided = input.len().checked_sub(from_letters.chars().count())?;
    let (ahead, behind) = (output.starts_with("..."), output.ends_with("..."));
    if elided > 0 && !ahead && !behind || ahead != from.starts_with("...") {
        return None;
    }
    let skipped = if ahead { elided } else { 0 };
    let mut full: Shape = Vec::new();
    if ahead {
        full.extend(&input[..elided]);
    }
    for letter in to_letters.chars() {
        // The place of a letter in `output_shape`, which begins behind the batch.
        let told = full.len().checked_sub(skipped.max(1)).and_then(|at| given.get(at)).copied().flatten();
        let same = from_letters.chars().position(|c| c == letter).and_then(|at| input[skipped + at]);
        full.push(if same.is_some() && ctx.keras < 3 {
            same
        } else {
            told.or(same.filter(|_| full.is_empty()))
        });
    }
    if behind {
        full.extend(&input[input.len() - elided..]);
    }
    Some(full)
}

pub(super) fn embedding(ctx: &Ctx, layer: &Layer<'_>, args: &Args<'_>, x: &Spec) -> Vec<Spec> {
    let mut shape = x.shape.clone();
    if args.flag("reverse") == Some(true) {
        if let Some(last) = shape.as_mut().and_then(|s| s.last_mut()) {
            *last = layer.size("input_dim");
        }
    } else if let Some(shape) = &mut shape {
        shape.push(layer.size("output_dim"));
    }
    one(shape, ctx.compute(layer))
}

/// Code, of which only what its author said about the result is known.
pub(super) fn lambda(ctx: &Ctx, layer: &Layer<'_>, x: &Spec) -> Vec<Spec> {
    // A shape that is itself code is an object or a name; Keras 2 says which by a type beside it.
    let raw = layer.text("output_shape_type").is_none_or(|t| t == "raw");
    let told = layer.get("output_shape").filter(|_| raw).and_then(config::shape);
    let shape = told.map(|rest| {
        let batch = x.shape.as_ref().and_then(|s| s.first()).copied().flatten();
        [&[batch][..], &rest].concat()
    });
    let dtype = if ctx.keras >= 3 { ctx.compute(layer) } else { None };
    one(shape, dtype)
}
