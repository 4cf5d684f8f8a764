//! Layers that prepare data: words, numbers and categories into indices, images, sound.

use crate::model::contract::{DType, Shape};
use crate::model::format::keras::config::{Layer, list};
use crate::model::format::keras::layers::{Ctx, is_float, one};
use crate::model::format::keras::spec::{Args, Spec};

pub(super) fn apply(ctx: &Ctx, layer: &Layer<'_>, args: &Args<'_>) -> Option<Vec<Spec>> {
    let x = args.first();
    let computes = ctx.compute(layer);
    let through = ctx.through(layer, x.dtype);
    Some(match layer.class {
        "Rescaling" | "Normalization" => one(x.shape, computes),
        "StringLookup" | "IntegerLookup" => index(ctx, layer, &x),
        "TextVectorization" => text(ctx, layer, &x),
        "CategoryEncoding" => one(encoded(layer, x.shape, layer.size("num_tokens")), computes),
        "Discretization" => discretization(ctx, layer, &x),
        "Hashing" => {
            let shape = if mode(layer) == "int" { x.shape } else { hashed(ctx, layer, x.shape) };
            one(shape, integral(ctx, layer))
        }
        "HashedCrossing" => {
            let shapes: Vec<_> = args.inputs().into_iter().map(|x| x.shape).collect();
            let same = shapes.iter().all(|s| *s == shapes[0]);
            let shape = shapes.into_iter().next().flatten().filter(|_| same);
            let shape =
                if mode(layer) == "int" { shape } else { encoded(layer, shape, layer.size("num_bins")) };
            let dtype = if ctx.keras >= 3 { computes } else { integral(ctx, layer) };
            one(shape, dtype)
        }
        "Resizing" | "CenterCrop" | "RandomCrop" => {
            let size = [layer.size("height"), layer.size("width")];
            let cropped = layer.flag("crop_to_aspect_ratio") && ctx.keras < 3;
            let shape = x.shape.filter(|_| !cropped).and_then(|s| sized(layer, s, size));
            one(shape, image(ctx, layer, x.dtype))
        }
        "RandomHeight" | "RandomWidth" => {
            let from_end = if layer.class == "RandomHeight" { 3 } else { 2 };
            let shape = x.shape.filter(|s| s.len() >= 3).map(|mut s| {
                let at = s.len() - from_end;
                s[at] = None;
                s
            });
            one(shape, image(ctx, layer, x.dtype))
        }
        "RandomFlip" | "RandomRotation" | "RandomZoom" | "RandomTranslation" | "RandomContrast"
        | "RandomBrightness" => one(x.shape, image(ctx, layer, x.dtype)),
        "RandomGrayscale" | "Equalization" => one(x.shape, ctx.cast(layer, x.dtype)),
        "RandomHue"
        | "RandomSaturation"
        | "RandomSharpness"
        | "RandomShear"
        | "RandomPosterization"
        | "RandomInvert"
        | "RandomGaussianBlur"
        | "RandomErasing"
        | "RandomColorJitter"
        | "RandomColorDegeneration"
        | "RandomPerspective"
        | "RandomElasticTransform"
        | "Solarization"
        | "AutoContrast"
        | "AugMix"
        | "CutMix"
        | "MixUp"
        | "RandAugment"
        | "MaxNumBoundingBoxes" => one(x.shape, through),
        "MelSpectrogram" => one(mel(layer, x.shape), computes),
        "STFTSpectrogram" => one(stft(layer, x.shape), computes),
        "Pipeline" => {
            let mut spec = x;
            for inner in list(layer.get("layers")?)? {
                let inner = Layer::of(inner)?;
                spec = super::apply(ctx, &inner, &Args::one(spec)).into_iter().next()?;
            }
            let dtype = if ctx.keras >= 3 { computes } else { spec.dtype };
            one(spec.shape, dtype)
        }
        _ => return None,
    })
}

fn mode<'a>(layer: &Layer<'a>) -> &'a str {
    layer.text("output_mode").unwrap_or("int")
}

/// The dtype of indices: the layer's own, where that is one of whole numbers.
fn integral(ctx: &Ctx, layer: &Layer<'_>) -> Option<DType> {
    ctx.policy(layer).map(|p| p.variable)
}

/// What augmentations of images give; Keras 2 computes in the layer's dtype, with exceptions for
/// whole numbers that differ by version.
fn image(ctx: &Ctx, layer: &Layer<'_>, dtype: Option<DType>) -> Option<DType> {
    if ctx.images_cast || dtype.is_some_and(is_float) { ctx.compute(layer) } else { None }
}

/// How many words a table has with those that stand for others.
fn depth(layer: &Layer<'_>) -> Option<u64> {
    if layer.flag("pad_to_max_tokens") {
        return layer.size("max_tokens");
    }
    let words = match layer.get("vocabulary").map(list) {
        Some(Some(words)) => words.len() as u64,
        _ => return None,
    };
    // In the other modes there is no place for the mask.
    words.checked_add(layer.size("num_oov_indices").unwrap_or(1))
}

fn index(ctx: &Ctx, layer: &Layer<'_>, x: &Spec) -> Vec<Spec> {
    if layer.flag("invert") {
        let dtype = if layer.class == "StringLookup" { Some(DType::String) } else { Some(DType::Int64) };
        // Keras 3 says that words are numbers, until they are there.
        return one(x.shape.clone(), dtype.filter(|_| ctx.keras < 3));
    }
    if mode(layer) == "int" {
        return one(x.shape.clone(), Some(DType::Int64));
    }
    let depth = depth(layer).filter(|_| mask_is_plain(layer));
    let shape = if ctx.keras < 3 {
        encoded(layer, x.shape.clone(), depth)
    } else {
        match mode(layer) {
            "one_hot" => encoded(layer, x.shape.clone(), depth),
            _ => last(x.shape.clone(), depth),
        }
    };
    one(shape, floats(ctx, layer))
}

/// A mask that is a word of the table too is counted once, which nobody else needs to know.
fn mask_is_plain(layer: &Layer<'_>) -> bool {
    let mask = layer.get("mask_token");
    let words = layer.get("vocabulary").and_then(list);
    mask.is_none_or(|mask| words.is_none_or(|words| words.first() != Some(mask)))
}

/// What counts and flags are: the default dtype of floats, which no file records unless another layer
/// has it; hardly anybody changes it.
fn floats(ctx: &Ctx, layer: &Layer<'_>) -> Option<DType> {
    if ctx.keras >= 3 {
        return ctx.floatx;
    }
    ctx.compute(layer).filter(|d| is_float(*d)).or(ctx.floatx).or(Some(DType::Float32))
}

fn text(ctx: &Ctx, layer: &Layer<'_>, x: &Spec) -> Vec<Spec> {
    let split = layer.get("split").is_some();
    if mode(layer) == "int" {
        let batch = x.shape.as_ref().and_then(|s| s.first()).copied().flatten();
        let length = layer.size("output_sequence_length");
        let known = x.shape.as_ref().is_some_and(|s| s.len() == 1 || s.len() == 2 && s[1] == Some(1));
        let shape = if split && known || ctx.keras >= 3 { Some(vec![batch, length]) } else { None };
        return one(shape.filter(|_| !layer.flag("ragged")), Some(DType::Int64));
    }
    // What Keras 3 says of texts with an axis of their own differs by version, and from what it does.
    let most = if ctx.keras >= 3 { 1 } else { 2 };
    let batch = x.shape.as_ref().filter(|s| s.len() <= most && !s.is_empty()).map(|s| s[0]);
    let size = if layer.flag("pad_to_max_tokens") {
        layer.size("max_tokens")
    } else {
        layer.get("vocabulary").and_then(list).and_then(|w| (w.len() as u64).checked_add(1))
    };
    one(batch.filter(|_| split).map(|b| vec![b, size]), floats(ctx, layer))
}

fn last(shape: Option<Shape>, depth: Option<u64>) -> Option<Shape> {
    let mut shape = shape?;
    *shape.last_mut()? = depth;
    Some(shape)
}

/// One place for each category: instead of the last axis, or behind it where `one_hot` has more than
/// one value.
fn encoded(layer: &Layer<'_>, shape: Option<Shape>, depth: Option<u64>) -> Option<Shape> {
    let shape = shape?;
    if mode(layer) == "one_hot" && (shape.len() == 1 || shape.last() != Some(&Some(1))) {
        if shape.last() == Some(&None) && shape.len() > 1 {
            return None;
        }
        return Some([&shape[..], &[depth]].concat());
    }
    last(Some(shape), depth)
}

fn hashed(ctx: &Ctx, layer: &Layer<'_>, shape: Option<Shape>) -> Option<Shape> {
    if ctx.keras >= 3 {
        last(shape, layer.size("num_bins"))
    } else {
        encoded(layer, shape, layer.size("num_bins"))
    }
}

fn discretization(ctx: &Ctx, layer: &Layer<'_>, x: &Spec) -> Vec<Spec> {
    let bins = layer
        .get("bin_boundaries")
        .and_then(list)
        .map(|b| b.len() as u64 + 1)
        .or_else(|| layer.size("num_bins"));
    let dtype = match (mode(layer), ctx.keras) {
        ("int", 3..) => Some(DType::Int32),
        ("int", _) => Some(DType::Int64),
        (_, 3..) => ctx.compute(layer),
        _ => floats(ctx, layer),
    };
    let shape = match (mode(layer), &x.shape) {
        ("int", shape) => shape.clone(),
        ("one_hot", shape) => encoded(layer, shape.clone(), bins),
        // Keras 3 leaves out the second axis here, not the last.
        (_, Some(s)) if ctx.keras >= 3 && s.len() >= 2 => Some([&s[..1], &s[2..], &[bins]].concat()),
        (_, shape) if ctx.keras < 3 => last(shape.clone(), bins),
        _ => None,
    };
    one(shape, dtype)
}

/// An image of another height and width.
fn sized(layer: &Layer<'_>, mut shape: Shape, size: [Option<u64>; 2]) -> Option<Shape> {
    let first = layer.text("data_format") == Some("channels_first");
    let at = shape.len().checked_sub(if first { 2 } else { 3 })?;
    if !matches!(shape.len(), 3 | 4) || size.contains(&None) {
        return None;
    }
    shape[at..at + 2].copy_from_slice(&size);
    Some(shape)
}

fn mel(layer: &Layer<'_>, shape: Option<Shape>) -> Option<Shape> {
    let shape = shape?;
    let step = layer.size("sequence_stride").filter(|s| *s > 0)?;
    let (length, batch) = shape.split_last().filter(|(_, b)| b.len() <= 1)?;
    let frames = length.and_then(|n| n.checked_add(step)?.checked_add(1)).map(|n| n / step);
    Some([batch, &[layer.size("num_mel_bins"), frames]].concat())
}

fn stft(layer: &Layer<'_>, shape: Option<Shape>) -> Option<Shape> {
    let shape = shape.filter(|s| s.len() == 3)?;
    let first = layer.text("data_format") == Some("channels_first");
    let (length, channels) = if first { (shape[2], shape[1]) } else { (shape[1], shape[2]) };
    let frame = layer.size("frame_length")?;
    let step = layer.size("frame_step").or_else(|| layer.get("frame_step").is_none().then_some(frame / 2))?;
    let step = Some(step).filter(|s| *s > 0)?;
    let mut bins = layer.size("fft_length").unwrap_or(frame) / 2 + 1;
    if layer.text("mode") == Some("stft") {
        bins = bins.checked_mul(2)?;
    }
    let time = match (length, layer.text("padding")) {
        (None, _) => None,
        (Some(n), Some("same")) => Some(n.div_ceil(step)),
        (Some(n), Some("valid")) => Some((n + 1).checked_sub(frame)?.div_ceil(step)),
        _ => return None,
    };
    let all = channels.and_then(|c| c.checked_mul(bins));
    Some(match (layer.flag("expand_dims"), first) {
        (true, false) => vec![shape[0], time, Some(bins), channels],
        (true, true) => vec![shape[0], channels, time, Some(bins)],
        (false, false) => vec![shape[0], time, all],
        (false, true) => vec![shape[0], all, time],
    })
}
