//! Rules of shapes for operators that sample images at places, and for those that attend to places of
//! a sequence.
//!
//! Each follows its operator's `InferShape` in MXNet (src/operator/crop-inl.h, correlation-inl.h,
//! bilinear_sampler-inl.h, grid_generator-inl.h, spatial_transformer-inl.h, nn/im2col.h,
//! contrib/deformable_convolution-inl.h, contrib/transformer.cc, image/).

use crate::model::contract::Shape;
use crate::model::format::mxnet::shapes::{Result, Step, product};

/// The operators with a rule here.
pub(super) const NAMES: &[&str] = &[
    "BilinearSampler",
    "Correlation",
    "Crop",
    "GridGenerator",
    "SpatialTransformer",
    "_contrib_interleaved_matmul_encdec_qk",
    "_contrib_interleaved_matmul_encdec_valatt",
    "_contrib_interleaved_matmul_selfatt_qk",
    "_contrib_interleaved_matmul_selfatt_valatt",
    "_image_normalize",
    "_image_resize",
    "_image_to_tensor",
    "col2im",
    "im2col",
];

/// Applies the rule of an operator.
pub(super) fn apply(step: &mut Step<'_>) -> Result<()> {
    match step.node.op.as_str() {
        "BilinearSampler" => {
            let grid = four(step.input(1));
            step.set_input(1, vec![None, Some(2), None, None])?;
            sampled(step, [grid[2], grid[3]])
        }
        "SpatialTransformer" => {
            step.set_input(1, vec![None, Some(6)])?;
            let target = target(step);
            sampled(step, target)
        }
        "GridGenerator" => grid(step),
        "Crop" => crop(step),
        "Correlation" => correlation(step),
        "im2col" => columns(step),
        "col2im" => image(step),
        "_image_normalize" => step.same(0, 0),
        "_image_resize" => resize(step),
        "_image_to_tensor" => {
            let moved = |s: Shape| match s.as_slice() {
                [h, w, c] => Some(vec![*c, *h, *w]),
                [n, h, w, c] => Some(vec![*n, *c, *h, *w]),
                _ => None,
            };
            match step.input(0).and_then(moved) {
                Some(out) => step.set_output(0, out),
                None => Ok(()),
            }
        }
        _ => attention(step),
    }
}

/// The four dimensions of an image; all unknown where it is none.
fn four(shape: Option<Shape>) -> [Option<u64>; 4] {
    shape.and_then(|s| <[_; 4]>::try_from(s).ok()).unwrap_or([None; 4])
}

fn sampled(step: &mut Step<'_>, [h, w]: [Option<u64>; 2]) -> Result<()> {
    let out = four(step.output(0));
    step.set_input(0, vec![out[0], out[1], None, None])?;
    let data = four(step.input(0));
    step.set_output(0, vec![data[0], data[1], h, w])
}

fn target(step: &Step<'_>) -> [Option<u64>; 2] {
    let size = |n: i64| u64::try_from(n).ok().filter(|n| *n > 0);
    match step.node.ints("target_shape").as_deref() {
        Some([h, w]) => [size(*h), size(*w)],
        _ => [None; 2],
    }
}

fn grid(step: &mut Step<'_>) -> Result<()> {
    match step.node.text("transform_type") {
        Some("affine") => {
            let [h, w] = target(step);
            step.set_input(0, vec![None, Some(6)])?;
            let rows = step.input(0).and_then(|d| d.first().copied().flatten());
            step.set_output(0, vec![rows, Some(2), h, w])
        }
        Some("warp") => {
            step.set_input(0, vec![None, Some(2), None, None])?;
            step.same(0, 0)
        }
        _ => Ok(()),
    }
}

fn crop(step: &mut Step<'_>) -> Result<()> {
    let sizes = if step.inputs() == 2 {
        let like = four(step.input(1));
        [like[2], like[3]]
    } else {
        match step.node.ints("h_w").as_deref() {
            Some([h, w]) if *h > 0 && *w > 0 => [u64::try_from(*h).ok(), u64::try_from(*w).ok()],
            _ => [None; 2],
        }
    };
    sampled(step, sizes)
}

fn correlation(step: &mut Step<'_>) -> Result<()> {
    let of = |key: &str, default: u64| match step.node.text(key) {
        None => Some(default),
        Some(_) => step.node.size(key).filter(|n| *n < 1 << 20),
    };
    let (Some(kernel), Some(reach), Some(first), Some(second), Some(pad)) = (
        of("kernel_size", 1),
        of("max_displacement", 1),
        of("stride1", 1).filter(|s| *s > 0),
        of("stride2", 1).filter(|s| *s > 0),
        of("pad_size", 0),
    ) else {
        return Ok(());
    };
    let border = reach + kernel.saturating_sub(1) / 2;
    let data = four(step.input(0));
    let side = |n: Option<u64>| {
        let room = n?.checked_add(2 * pad)?.checked_sub(2 * border)?;
        Some(room.div_ceil(first))
    };
    let wide = 2 * (reach / second) + 1;
    step.set_output(0, vec![data[0], Some(wide * wide), side(data[2]), side(data[3])])
}

/// How often a window fits along each dimension of an image, and how many numbers are in it.
fn windows(step: &Step<'_>, size: &[Option<u64>]) -> Option<(Option<u64>, u64)> {
    let list = |key: &str, default: u64| -> Option<Vec<u64>> {
        match step.node.ints(key).filter(|l| !l.is_empty()) {
            None => Some(vec![default; size.len()]),
            Some(l) if l.len() == size.len() => {
                l.into_iter().map(|n| u64::try_from(n).ok().filter(|n| *n < 1 << 20)).collect()
            }
            Some(_) => None,
        }
    };
    let (kernel, stride) = (list("kernel", 0)?, list("stride", 1)?);
    let (pad, dilate) = (list("pad", 0)?, list("dilate", 1)?);
    let inside = kernel.iter().try_fold(1u64, |n, k| n.checked_mul(*k)).filter(|n| *n > 0)?;
    let fits = (0..size.len()).map(|i| {
        let room = size[i]?.checked_add(2 * pad[i])?.checked_sub(dilate[i] * (kernel[i] - 1) + 1)?;
        Some(room.checked_div(stride[i])? + 1)
    });
    let fits: Vec<Option<u64>> = fits.collect();
    Some((product(&fits), inside))
}

fn columns(step: &mut Step<'_>) -> Result<()> {
    let Some(data) = step.input(0).filter(|d| d.len() >= 3) else { return Ok(()) };
    let Some((fits, inside)) = windows(step, &data[2..]) else { return Ok(()) };
    step.set_output(0, vec![data[0], data[1].and_then(|c| c.checked_mul(inside)), fits])
}

fn image(step: &mut Step<'_>) -> Result<()> {
    let Some(size) = step.node.ints("output_size") else { return Ok(()) };
    let size: Vec<Option<u64>> = size.into_iter().map(|n| u64::try_from(n).ok().filter(|n| *n > 0)).collect();
    let Some((_, inside)) = windows(step, &size) else { return Ok(()) };
    let Some([n, c, _]) = step.input(0).and_then(|d| <[_; 3]>::try_from(d).ok()) else { return Ok(()) };
    let mut out = vec![n, c.filter(|c| c.is_multiple_of(inside)).map(|c| c / inside)];
    out.extend(size);
    step.set_output(0, out)
}

/// An image whose channels come last gets a size of width and height.
fn resize(step: &mut Step<'_>) -> Result<()> {
    let size = |n: i64| u64::try_from(n).ok().filter(|n| *n > 0);
    let [h, w] = match step.node.ints("size").as_deref() {
        Some([n]) if step.node.flag("keep_ratio", false) == Some(false) => [size(*n); 2],
        Some([w, h]) => [size(*h), size(*w)],
        _ => [None; 2],
    };
    let out = match step.input(0).as_deref() {
        Some([_, _, c]) => vec![h, w, *c],
        Some([n, _, _, c]) => vec![*n, h, w, *c],
        _ => return Ok(()),
    };
    step.set_output(0, out)
}

/// Sequences are (length, batch, width); each head of each of the batch attends for itself.
fn attention(step: &mut Step<'_>) -> Result<()> {
    let Some(heads) = step.node.size("heads").filter(|h| *h > 0) else { return Ok(()) };
    let three = |s: Option<Shape>| s.and_then(|s| <[_; 3]>::try_from(s).ok()).unwrap_or([None; 3]);
    let (a, b) = (three(step.input(0)), three(step.input(1)));
    let each = a[1].and_then(|n| n.checked_mul(heads));
    let part = |n: u64| a[2].filter(|w| w.is_multiple_of(n)).map(|w| w / n);
    let out = match step.node.op.as_str() {
        "_contrib_interleaved_matmul_selfatt_qk" => vec![each, a[0], a[0]],
        "_contrib_interleaved_matmul_encdec_qk" => vec![each, a[0], b[0]],
        // What is attended to carries query, key and value, or the last two of them.
        "_contrib_interleaved_matmul_selfatt_valatt" => vec![a[0], a[1], part(3)],
        "_contrib_interleaved_matmul_encdec_valatt" => vec![b[1], a[1], part(2)],
        _ => return Ok(()),
    };
    step.set_output(0, out)
}
