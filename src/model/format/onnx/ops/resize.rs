//! `Resize` and its forerunner `Upsample`: sizes by factors or as given.
//!
//! A factor is a real number of 32 bits; a size is the product, rounded down, as
//! onnx/defs/tensor/utils.cc and ONNX Runtime (core/providers/cpu/tensor/upsamplebase.h) compute it.

use crate::error::Result;
use crate::model::format::onnx::infer::{Node, Val};
use crate::model::format::onnx::ops::{axis, val};
use crate::model::format::onnx::types::Dim;

/// The rank, and the sizes where they or the factors are known.
pub(super) fn resize(node: &Node<'_, '_>) -> Result<Option<Val>> {
    let Some((elem, shape)) = node.tensor(0) else { return Ok(None) };
    let Some(shape) = shape else { return Ok(Some(val(elem, None))) };
    let mut out = vec![Dim::Unknown; shape.len()];
    let axes = match node.ints("axes")? {
        Some(axes) => axes.iter().map(|a| axis(*a, shape.len())).collect::<Option<Vec<_>>>(),
        None => Some((0..shape.len()).collect()),
    };
    if let Some(axes) = axes {
        for (at, d) in out.iter_mut().enumerate() {
            if !axes.contains(&at) {
                *d = shape[at].clone();
            }
        }
        let old: Vec<&Dim> = axes.iter().map(|at| &shape[*at]).collect();
        for (at, size) in axes.iter().zip(sizes(node, &old)?) {
            out[*at] = size;
        }
    }
    Ok(Some(val(elem, Some(out))))
}

/// The new sizes, of which none is told where they follow from something else than these.
fn sizes(node: &Node<'_, '_>, old: &[&Dim]) -> Result<Vec<Dim>> {
    let upsample = node.op == "Upsample";
    // Versions: Resize has had a region, factors and sizes since 11, Upsample factors as an input since 9.
    let (factors, given) = match (upsample, node.opset) {
        (true, _) => (Some(1).filter(|_| node.inputs.len() > 1), None),
        (false, 1..11) => (Some(1), None),
        _ => (Some(2), Some(3)),
    };
    if let Some(sizes) = given.filter(|at| node.input(*at).is_some()) {
        let Some(sizes) = node.input_dims(sizes).filter(|s| s.len() == old.len()) else {
            return Ok(Vec::new());
        };
        let policy = node.text("keep_aspect_ratio_policy")?;
        return Ok(match policy.as_deref() {
            None | Some("stretch") => sizes,
            Some("not_larger") => in_proportion(&sizes, old, f64::min),
            Some("not_smaller") => in_proportion(&sizes, old, f64::max),
            Some(_) => Vec::new(),
        });
    }
    // A region is cut out first.
    if node.text("coordinate_transformation_mode")?.as_deref() == Some("tf_crop_and_resize") {
        return Ok(Vec::new());
    }
    let factors = match (factors, upsample) {
        (Some(at), _) => node.input_reals(at),
        (None, _) => match node.reals("scales")? {
            Some(all) => Some(all.into_iter().map(Some).collect()),
            // The first version had a factor for each side of an image.
            None => match (node.reals("height_scale")?.as_deref(), node.reals("width_scale")?.as_deref()) {
                (Some([h]), Some([w])) => Some(vec![Some(1.0), Some(1.0), Some(*h), Some(*w)]),
                _ => None,
            },
        },
    };
    let Some(factors) = factors.filter(|f| f.len() == old.len()) else { return Ok(Vec::new()) };
    Ok(old.iter().zip(factors).map(|(old, factor)| factor.map_or(Dim::Unknown, |f| scaled(old, f))).collect())
}

fn scaled(old: &Dim, factor: f64) -> Dim {
    match old {
        _ if factor == 1.0 => old.clone(),
        // So much a real number of 32 bits holds.
        Dim::Size(n) if *n < 1 << 24 && factor > 0.0 => {
            let new = (*n as f32 * factor as f32).floor();
            if new < (1 << 24) as f32 { Dim::Size(new as u64) } else { Dim::Unknown }
        }
        _ => Dim::Unknown,
    }
}

/// Sizes by one factor for all, the smallest or the largest that sizes ask for; halves are rounded
/// differently, and are left open.
fn in_proportion(sizes: &[Dim], old: &[&Dim], pick: impl Fn(f64, f64) -> f64) -> Vec<Dim> {
    let mut factor: Option<f64> = None;
    for pair in sizes.iter().zip(old) {
        let (Dim::Size(new), Dim::Size(old @ 1..)) = pair else { return Vec::new() };
        let one = *new as f64 / *old as f64;
        factor = Some(factor.map_or(one, |f| pick(f, one)));
    }
    let Some(factor) = factor else { return Vec::new() };
    let size = |d: &&Dim| {
        let Dim::Size(n) = d else { return Dim::Unknown };
        let new = *n as f64 * factor;
        let half = (new.fract() - 0.5).abs() < 1e-3;
        if half || new >= f64::from(1 << 24) { Dim::Unknown } else { Dim::Size(new.round() as u64) }
    };
    old.iter().map(size).collect()
}
