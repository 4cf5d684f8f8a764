//! Operations on signals, images and matrices: convolutions, pooling, transforms, decompositions.

use crate::model::contract::{DType, Shape};
use crate::model::format::keras::config::{Layer, int};
use crate::model::format::keras::layers::conv::slid;
use crate::model::format::keras::layers::ops::operand::{Operand, together};
use crate::model::format::keras::layers::{Ctx, is_float, one};
use crate::model::format::keras::spec::{Arg, Args, Spec, axis, plus, times};

pub(super) fn apply(ctx: &Ctx, layer: &Layer<'_>, args: &Args<'_>) -> Option<Vec<Spec>> {
    let x = args.first();
    let shape = x.shape.clone();
    let same = |shape: Option<Shape>| Some(one(shape, x.dtype));
    let several = |shapes: Option<Vec<Shape>>, n: usize| match shapes {
        Some(shapes) => Some(shapes.into_iter().map(|s| Spec::new(Some(s), x.dtype)).collect()),
        None => Some(vec![Spec::new(None, x.dtype); n]),
    };
    match layer.class {
        "MaxPool" | "AveragePool" => same(shape.and_then(|s| pool(layer, &s))),
        "Conv" | "DepthwiseConv" | "SeparableConv" => {
            let kernel = args_shape(args, 1);
            let points = args_shape(args, 2);
            same(shape.zip(kernel).and_then(|(s, k)| conv(layer, &s, &k, points.as_ref())))
        }
        "ConvTranspose" => {
            let kernel = args_shape(args, 1);
            same(shape.zip(kernel).and_then(|(s, k)| transposed(layer, &s, &k)))
        }
        // Before Keras 3.12 it is told that the axis is not halved.
        "Glu" => same(shape.and_then(|mut s| {
            let at = axis(layer.int("axis")?, s.len())?;
            s[at] = s[at].map(|d| d / 2);
            Some(s)
        })),
        "AdaptiveMaxPool" | "AdaptiveAveragePool" => same(shape.and_then(|mut s| {
            let n = s.len().checked_sub(2)?;
            let sizes = layer.sizes("output_size", n)?;
            let at = if channels_first(layer) { 2 } else { 1 };
            for (i, size) in sizes.into_iter().enumerate() {
                s[at + i] = Some(size);
            }
            Some(s)
        })),
        "CTCDecode" => {
            let [batch, length, _] = shape?[..] else { return None };
            let paths = match layer.text("strategy")? {
                "greedy" => 1,
                _ => layer.size("top_paths")?,
            };
            let float = x.dtype.filter(|d| is_float(*d) && *d == DType::Float32);
            Some(vec![
                Spec::new(Some(vec![Some(paths), batch, length]), Some(DType::Int32)),
                Spec::new(Some(vec![batch, Some(paths)]), float),
            ])
        }
        "MultiHot" => {
            let classes = layer.size("num_classes").or_else(|| layer.size("num_tokens"));
            let shape = shape.and_then(|mut s| {
                let at = match layer.int("axis")? {
                    -1 => s.len(),
                    at => usize::try_from(at).ok().filter(|at| *at < s.len())?,
                };
                s.insert(at, classes);
                // The numbers themselves go, which stand behind the batch.
                s.remove(usize::from(s.len() > 2));
                Some(s)
            });
            // It is told to be of the dtype of its indices.
            Some(one(shape, None))
        }
        "PSNR" => Some(one(Some(Vec::new()), ctx.floatx.filter(|f| x.dtype == Some(*f)))),
        // These make complex numbers; not all is told to be so.
        "Polar" => Some(one(shape, None)),
        "ViewAsComplex" => {
            let shape = shape.and_then(|s| Some(s.split_last()?.1.to_vec()));
            Some(one(shape, Some(DType::Complex64).filter(|_| x.dtype == Some(DType::Float32))))
        }
        "Correlate" => {
            let (a, b) = (Operand::at(args, 0, &["x1"])?, Operand::at(args, 1, &["x2"])?);
            let length = match (a.shape.as_deref()?, b.shape.as_deref()?) {
                ([m], [n]) => m.zip(*n),
                _ => return None,
            };
            let length = length.and_then(|(m, n)| match layer.text("mode")? {
                "valid" => Some(m.max(n) - m.min(n) + 1),
                "same" => Some(m.max(n)),
                "full" => m.checked_add(n)?.checked_sub(1),
                _ => None,
            });
            let dtype = together([&a, &b], ctx.floatx).map(|d| if is_float(d) { d } else { DType::Float32 });
            Some(one(Some(vec![length]), dtype))
        }
        "Slogdet" => {
            let batch = shape.and_then(|s| Some(s[..s.len().checked_sub(2)?].to_vec()));
            Some(vec![Spec::new(batch, x.dtype); 2])
        }
        "ScaleAndTranslate" => {
            let to = args.value(1, "output_shape").and_then(crate::model::format::keras::config::shape);
            same(to.filter(|s| x.rank() == Some(s.len())))
        }
        "BinaryCrossentropy" | "CategoricalCrossentropy" | "SparseCategoricalCrossentropy" => {
            let output = match args.args.get(1).or_else(|| args.kwargs.get("output"))? {
                Arg::Tensor(spec) => spec.clone(),
                _ => return None,
            };
            let shape = output.shape.and_then(|mut s| {
                if layer.class != "BinaryCrossentropy" {
                    s.pop()?;
                }
                Some(s)
            });
            let last = layer.get("axis").is_none_or(|a| int(a) == Some(-1));
            Some(one(shape.filter(|_| last), output.dtype))
        }
        "DepthToSpace" | "SpaceToDepth" => same(shape.and_then(|s| blocks(layer, &s))),
        "Unfold" | "Fold" => same(shape.and_then(|s| folded(layer, &s))),
        "SegmentSum" | "SegmentMax" | "SegmentReduction" => {
            same(shape.filter(|s| !s.is_empty()).map(|mut s| {
                s[0] = layer.size("num_segments");
                s
            }))
        }
        "ExtractSequences" => same(shape.and_then(|mut s| {
            let n = s.pop()?;
            let (length, stride) = (layer.size("sequence_length")?, layer.size("sequence_stride")?);
            s.push(frames(n, length, stride)?);
            s.push(Some(length));
            Some(s)
        })),
        "FFT" | "FFT2" | "IFFT2" | "RFFT" | "STFT" => {
            let out = shape.and_then(|s| spectrum(layer, s));
            Some(vec![Spec::new(out, x.dtype); 2])
        }
        "IRFFT" | "ISTFT" => same(shape.and_then(|s| sound(layer, s))),
        "CDist" => {
            let (a, b) = (Operand::at(args, 0, &["x"])?, Operand::at(args, 1, &["y"])?);
            let shape =
                a.shape.as_ref().zip(b.shape.as_ref()).filter(|(a, b)| a.len() > 1 && b.len() == a.len());
            let shape = shape.filter(|(a, b)| a[..a.len() - 2] == b[..b.len() - 2]);
            let shape = shape.map(|(a, b)| [&a[..a.len() - 1], &b[b.len() - 2..b.len() - 1]].concat());
            Some(one(shape, together([&a, &b], ctx.floatx).filter(|d| is_float(*d))))
        }
        "Det" | "Logdet" => same(shape.and_then(|s| Some(s[..s.len().checked_sub(2)?].to_vec()))),
        "MatrixRank" => {
            let shape = shape.and_then(|s| Some(s[..s.len().checked_sub(2)?].to_vec()));
            Some(one(shape, Some(DType::Int32)))
        }
        "Pinv" => same(shape.and_then(|mut s| {
            let n = s.len();
            s.swap(n.checked_sub(2)?, n - 1);
            Some(s)
        })),
        "Solve" | "SolveTriangular" => match args.args.get(1).or_else(|| args.kwargs.get("b"))? {
            Arg::Tensor(b) => Some(one(b.shape.clone(), b.dtype)),
            _ => None,
        },
        "Eig" | "Eigh" => {
            several(shape.and_then(|s| Some(vec![s[..s.len().checked_sub(1)?].to_vec(), s])), 2)
        }
        "LuFactor" | "Qr" | "SVD" => decomposed(layer, &x),
        "RGBToGrayscale" => same(shape.filter(|s| matches!(s.len(), 3 | 4)).map(|mut s| {
            let at = s.len() - if channels_first(layer) { 3 } else { 1 };
            s[at] = Some(1);
            s
        })),
        "Resize" => {
            let to = layer.ints("size").filter(|s| s.len() == 2)?;
            same(shape.and_then(|s| sides(layer, s, |i, _| u64::try_from(to[i]).ok())))
        }
        "PadImages" => same(shape.and_then(|s| {
            let names = [
                ("target_height", "top_padding", "bottom_padding"),
                ("target_width", "left_padding", "right_padding"),
            ];
            sides(layer, s, |i, d| {
                let (target, before, after) = names[i];
                layer
                    .size(target)
                    .or_else(|| d?.checked_add(layer.size(before)?)?.checked_add(layer.size(after)?))
            })
        })),
        "CropImages" => same(shape.and_then(|s| {
            let names = [
                ("target_height", "top_cropping", "bottom_cropping"),
                ("target_width", "left_cropping", "right_cropping"),
            ];
            sides(layer, s, |i, d| {
                let (target, before, after) = names[i];
                layer
                    .size(target)
                    .or_else(|| d?.checked_sub(layer.size(before)?)?.checked_sub(layer.size(after)?))
            })
        })),
        "ExtractPatches" => same(shape.and_then(|s| patches(layer, &s))),
        "SobelEdges" => same(shape.filter(|s| s.len() == 4).map(|mut s| {
            s.push(Some(2));
            s
        })),
        "SSIM" => same(shape.and_then(|s| match s.len() {
            3 => Some(Vec::new()),
            4 => Some(vec![s[0]]),
            _ => None,
        })),
        "MapCoordinates" => {
            let places = args_shape(args, 1);
            same(places.and_then(|p| Some(p.split_first()?.1.to_vec())))
        }
        _ => None,
    }
}

fn args_shape(args: &Args<'_>, at: usize) -> Option<Shape> {
    Operand::at(args, at, &[]).and_then(|o| o.shape)
}

/// Where no order is told, it is the one that Keras begins with.
fn channels_first(layer: &Layer<'_>) -> bool {
    layer.text("data_format") == Some("channels_first")
}

/// Both sides of an image or of many.
fn sides(
    layer: &Layer<'_>,
    mut shape: Shape,
    f: impl Fn(usize, Option<u64>) -> Option<u64>,
) -> Option<Shape> {
    let at = shape.len().checked_sub(if channels_first(layer) { 2 } else { 3 })?;
    if !matches!(shape.len(), 3 | 4) {
        return None;
    }
    for i in 0..2 {
        shape[at + i] = f(i, shape[at + i]);
    }
    Some(shape)
}

fn pool(layer: &Layer<'_>, shape: &Shape) -> Option<Shape> {
    let n = shape.len().checked_sub(2)?;
    let window = layer.sizes("pool_size", n)?;
    let strides = match layer.get("strides") {
        None => window.clone(),
        Some(_) => layer.sizes("strides", n)?,
    };
    slide(layer, shape, &window, &strides, &vec![1; n])
}

/// Moves a window over the dimensions of space.
fn slide(
    layer: &Layer<'_>,
    shape: &Shape,
    window: &[u64],
    strides: &[u64],
    dilation: &[u64],
) -> Option<Shape> {
    let n = shape.len().checked_sub(2).filter(|n| *n == window.len())?;
    if strides.contains(&0) {
        return None;
    }
    let at = if channels_first(layer) { 2 } else { 1 };
    let padding = layer.text("padding")?;
    let mut out = shape.clone();
    for i in 0..n {
        out[at + i] = slid(out[at + i], window[i], padding, strides[i], dilation[i])?;
    }
    Some(out)
}

/// The kernel is an argument: its space, then how many channels go in, then how many come out.
fn conv(layer: &Layer<'_>, shape: &Shape, kernel: &Shape, points: Option<&Shape>) -> Option<Shape> {
    let n = shape.len().checked_sub(2).filter(|n| kernel.len() == n + 2)?;
    let window: Vec<u64> = kernel[..n].iter().copied().collect::<Option<_>>()?;
    let dilation = layer.sizes("dilation_rate", n)?;
    let mut out = slide(layer, shape, &window, &layer.sizes("strides", n)?, &dilation)?;
    let at = if channels_first(layer) { 1 } else { n + 1 };
    out[at] = match layer.class {
        "Conv" => kernel[n + 1],
        "DepthwiseConv" => times(kernel[n], kernel[n + 1]?),
        _ => *points?.last()?,
    };
    Some(out)
}

/// Here what goes out of the kernel stands before what goes in.
fn transposed(layer: &Layer<'_>, shape: &Shape, kernel: &Shape) -> Option<Shape> {
    let n = shape.len().checked_sub(2).filter(|n| kernel.len() == n + 2)?;
    let (strides, dilation) = (layer.sizes("strides", n)?, layer.sizes("dilation_rate", n)?);
    if layer.get("output_padding").is_some() || dilation.iter().any(|d| *d != 1) {
        return None;
    }
    let (channels, at) = if channels_first(layer) { (1, 2) } else { (n + 1, 1) };
    let mut out = shape.clone();
    for i in 0..n {
        let more = match layer.text("padding")? {
            "same" => 0,
            "valid" => kernel[i]?.saturating_sub(strides[i]),
            _ => return None,
        };
        out[at + i] = plus(times(out[at + i], strides[i]), Some(more));
    }
    out[channels] = kernel[n];
    Some(out)
}

fn patches(layer: &Layer<'_>, shape: &Shape) -> Option<Shape> {
    let image = shape.len() == 3;
    if !image && shape.len() != 4 {
        return None;
    }
    let many = if image { [&[Some(1)], &shape[..]].concat() } else { shape.clone() };
    let window = layer.sizes("size", 2)?;
    // Three sizes are those of a volume.
    let strides = match layer.get("strides") {
        None => window.clone(),
        Some(_) => layer.sizes("strides", 2)?,
    };
    let mut out = slide(layer, &many, &window, &strides, &layer.sizes("dilation_rate", 2)?)?;
    let at = if channels_first(layer) { 1 } else { 3 };
    out[at] = times(many[at], window[0].checked_mul(window[1])?);
    if image {
        out.remove(0);
    }
    Some(out)
}

fn blocks(layer: &Layer<'_>, shape: &Shape) -> Option<Shape> {
    let block = layer.size("block_size").filter(|b| *b > 0)?;
    let square = block.checked_mul(block)?;
    let mut out = shape.clone();
    if out.len() != 4 {
        return None;
    }
    let (channels, at) = if channels_first(layer) { (1, 2) } else { (3, 1) };
    let wider = layer.class == "DepthToSpace";
    for i in 0..2 {
        out[at + i] = if wider { times(out[at + i], block) } else { out[at + i].map(|d| d / block) };
    }
    out[channels] = if wider { out[channels].map(|c| c / square) } else { times(out[channels], square) };
    Some(out)
}

fn folded(layer: &Layer<'_>, shape: &Shape) -> Option<Shape> {
    let pair = |key: &str| layer.sizes(key, 2);
    let kernel = pair("kernel_size")?;
    let points = kernel[0].checked_mul(kernel[1]).filter(|p| *p > 0)?;
    if layer.class == "Fold" {
        let [batch, channels, _] = shape[..] else { return None };
        let to = pair("output_size")?;
        return Some(vec![batch, channels.map(|c| c / points), Some(to[0]), Some(to[1])]);
    }
    let [batch, channels, height, width] = shape[..] else { return None };
    let (dilation, padding, stride) = (pair("dilation")?, pair("padding")?, pair("stride")?);
    let places = |length: Option<u64>, i: usize| {
        let window = kernel[i].checked_sub(1)?.checked_mul(dilation[i])?.checked_add(1)?;
        let all = length?.checked_add(padding[i].checked_mul(2)?)?.checked_sub(window)?;
        Some(all.checked_div(stride[i])? + 1)
    };
    Some(vec![batch, times(channels, points), times(places(height, 0), places(width, 1)?)])
}

/// How many windows there are in a row.
#[expect(clippy::option_option, reason = "the rule may fail, and the length may be unknown")]
fn frames(n: Option<u64>, length: u64, stride: u64) -> Option<Option<u64>> {
    let Some(n) = n else { return Some(None) };
    Some(Some(n.checked_sub(length)?.checked_div(stride)? + 1))
}

fn spectrum(layer: &Layer<'_>, mut shape: Shape) -> Option<Shape> {
    let last = *shape.last()?;
    let length = layer.size("fft_length");
    match layer.class {
        "RFFT" => *shape.last_mut()? = length.or(last).map(|n| n / 2 + 1),
        "STFT" => {
            let (stride, length) = (layer.size("sequence_stride")?, length?);
            let center = layer.get("center")?.as_bool()?;
            let padded = if center { (length / 2).checked_mul(2)? } else { 0 };
            *shape.last_mut()? = frames(last.and_then(|n| n.checked_add(padded)), length, stride)?;
            shape.push(Some(length / 2 + 1));
        }
        _ => {}
    }
    Some(shape)
}

fn sound(layer: &Layer<'_>, mut shape: Shape) -> Option<Shape> {
    let last = shape.pop()?;
    if layer.class == "IRFFT" {
        let n = layer.size("fft_length").or_else(|| last?.checked_sub(1)?.checked_mul(2));
        shape.push(n);
        return Some(shape);
    }
    let windows = shape.pop()?;
    let length = layer.size("fft_length")?;
    let whole = || {
        let all =
            windows?.checked_sub(1)?.checked_mul(layer.size("sequence_stride")?)?.checked_add(length)?;
        if layer.get("center")?.as_bool()? {
            all.checked_sub((length / 2).checked_mul(2)?)
        } else {
            Some(all)
        }
    };
    shape.push(layer.size("length").or_else(whole));
    Some(shape)
}

fn decomposed(layer: &Layer<'_>, x: &Spec) -> Option<Vec<Spec>> {
    let shape = x.shape.as_ref()?;
    let at = shape.len().checked_sub(2)?;
    let (batch, m, n) = (&shape[..at], shape[at], shape[at + 1]);
    let least = m.zip(n).map(|(m, n)| m.min(n));
    let of = |rest: &[Option<u64>]| Spec::new(Some([batch, rest].concat()), x.dtype);
    let flag = |key: &str| layer.get(key)?.as_bool();
    Some(match layer.class {
        "LuFactor" => vec![of(&[m, n]), of(&[least])],
        "Qr" => match layer.text("mode")? {
            "reduced" => vec![of(&[m, least]), of(&[least, n])],
            _ => vec![of(&[m, m]), of(&[m, n])],
        },
        _ => match (flag("compute_uv")?, flag("full_matrices")?) {
            (false, _) => vec![of(&[least])],
            (true, true) => vec![of(&[m, m]), of(&[least]), of(&[n, n])],
            (true, false) => vec![of(&[m, least]), of(&[least]), of(&[least, n])],
        },
    })
}
