//! Layers that slide over space: convolutions, pooling, padding, cropping and repeating.

use crate::model::contract::Shape;
use crate::model::format::keras::config::{Layer, list, size};
use crate::model::format::keras::layers::{Ctx, one};
use crate::model::format::keras::spec::{Spec, plus, times};

/// The axes of a tensor of space: which one holds the channels, and from where on space begins.
#[derive(Clone, Copy)]
pub(super) struct Axes {
    channels: usize,
    space: usize,
    /// How many dimensions of space there are.
    n: usize,
}

impl Axes {
    /// By `data_format`, or `dim_ordering` as Keras 1 calls it; `None` where it is left to the user's
    /// own settings.
    pub(super) fn of(layer: &Layer<'_>, n: usize, before: usize) -> Option<Self> {
        match layer.text("data_format").or_else(|| layer.text("dim_ordering")) {
            Some("channels_first" | "th") => Some(Self { channels: before, space: before + 1, n }),
            Some("channels_last" | "tf") | None => Some(Self { channels: before + n, space: before, n }),
            Some(_) => None,
        }
    }
}

/// How many dimensions of space a class has, by its name.
fn dimensions(class: &str) -> Option<usize> {
    let digit = class.find("1D").or_else(|| class.find("2D")).or_else(|| class.find("3D"))?;
    usize::from(class.as_bytes()[digit] - b'0').into()
}

pub(super) fn apply(ctx: &Ctx, layer: &Layer<'_>, x: &Spec) -> Option<Vec<Spec>> {
    let class = layer.class;
    let n = match class {
        "AtrousConvolution1D" => 1,
        "Deconvolution2D" | "AtrousConvolution2D" => 2,
        other => dimensions(other)?,
    };
    let computes = ctx.compute(layer);
    let through = ctx.through(layer, x.dtype);
    let shape = x.shape.as_ref().filter(|s| s.len() == n + 2);
    let stem = ["1D", "2D", "3D"].iter().fold(class.to_owned(), |stem, d| stem.replace(d, ""));
    let (shape, dtype) = match stem.as_str() {
        "Conv"
        | "Convolution"
        | "AtrousConvolution"
        | "SeparableConv"
        | "SeparableConvolution"
        | "LocallyConnected" => {
            // Convolutions have any number of batch dimensions in front.
            let shape = x.shape.as_ref().and_then(|s| conv(layer, s, n, filters(layer)?));
            (shape, computes)
        }
        "DepthwiseConv" => (shape.and_then(|s| depthwise(layer, s, n)), computes),
        "ConvTranspose" | "Deconvolution" => (shape.and_then(|s| transpose(layer, s, n)), computes),
        "MaxPooling" | "AveragePooling" => (shape.and_then(|s| pool(layer, s, n)), through),
        "GlobalMaxPooling" | "GlobalAveragePooling" => (shape.and_then(|s| global(layer, s, n)), through),
        "AdaptiveMaxPooling" | "AdaptiveAveragePooling" => {
            let sizes = layer.sizes("output_size", n)?;
            (shape.and_then(|s| each(layer, s, n, |i, _| Some(Some(sizes[i])))), through)
        }
        "ZeroPadding" => (shape.and_then(|s| resize(layer, s, n, "padding", plus)), through),
        "Cropping" => {
            (shape.and_then(|s| resize(layer, s, n, "cropping", |d, cut| d?.checked_sub(cut?))), through)
        }
        "UpSampling" => {
            let by = layer.sizes("size", n).or_else(|| layer.sizes("length", n));
            let mut shape =
                shape.and_then(|s| by.and_then(|by| each(layer, s, n, |i, d| Some(times(d, by[i])))));
            // Keras 2 resizes images as a whole: one side that is not fixed frees the other.
            if let Some(s) = shape.as_mut().filter(|_| n == 2 && ctx.keras == 2) {
                let space = Axes::of(layer, n, 1)?.space;
                if s[space..space + 2].contains(&None) {
                    s[space..space + 2].fill(None);
                }
            }
            let whole = x.dtype.is_some_and(|d| !crate::model::format::keras::layers::is_float(d));
            // Interpolation makes floats of whole numbers, in ways that differ by version.
            let plain = layer.text("interpolation").is_none_or(|i| i == "nearest");
            (shape, through.filter(|_| ctx.keras >= 3 || plain || !whole))
        }
        _ => return None,
    };
    Some(one(shape, dtype))
}

/// Applies a rule to each dimension of space. `None` from it means that the layer cannot be called so.
fn each(
    layer: &Layer<'_>,
    shape: &Shape,
    n: usize,
    mut f: impl FnMut(usize, Option<u64>) -> Option<Option<u64>>,
) -> Option<Shape> {
    let axes = Axes::of(layer, n, 1)?;
    let mut out = shape.clone();
    for i in 0..axes.n {
        let d = out.get_mut(axes.space + i)?;
        *d = f(i, *d)?;
    }
    Some(out)
}

fn filters(layer: &Layer<'_>) -> Option<u64> {
    layer.size("filters").or_else(|| layer.size("nb_filter"))
}

/// The size of a kernel, in Keras 1 by a key for each dimension.
fn kernel(layer: &Layer<'_>, n: usize) -> Option<Vec<u64>> {
    layer.sizes("kernel_size", n).or_else(|| {
        let keys: &[&str] = match n {
            1 => &["filter_length"],
            2 => &["nb_row", "nb_col"],
            _ => &["kernel_dim1", "kernel_dim2", "kernel_dim3"],
        };
        keys.iter().map(|k| layer.size(k)).collect()
    })
}

/// How far it moves at a time.
fn strides(layer: &Layer<'_>, n: usize) -> Option<Vec<u64>> {
    ["strides", "subsample", "subsample_length"]
        .iter()
        .find_map(|k| layer.sizes(k, n))
        .or_else(|| layer.get("strides").is_none().then(|| vec![1; n]))
        .filter(|s| s.iter().all(|s| *s > 0))
}

/// How far the points of the kernel are from each other.
fn dilation(layer: &Layer<'_>, n: usize) -> Vec<u64> {
    ["dilation_rate", "atrous_rate"].iter().find_map(|k| layer.sizes(k, n)).unwrap_or_else(|| vec![1; n])
}

fn padding<'a>(layer: &Layer<'a>) -> Option<&'a str> {
    layer.text("padding").or_else(|| layer.text("border_mode"))
}

/// The length of what a window sees (keras `conv_output_length`).
pub(super) fn slid(
    length: Option<u64>,
    window: u64,
    padding: &str,
    stride: u64,
    dilation: u64,
) -> Option<Option<u64>> {
    let Some(length) = length else { return Some(None) };
    let window = window.checked_sub(1)?.checked_mul(dilation)?.checked_add(1)?;
    let places = match padding {
        "same" | "causal" => length,
        "valid" => (length + 1).checked_sub(window)?,
        "full" => length.checked_add(window)?.checked_sub(1)?,
        _ => return None,
    };
    Some(Some(places.div_ceil(stride))).filter(|p| *p != Some(0))
}

/// A convolution; `channels` is how many it gives.
pub(super) fn conv(layer: &Layer<'_>, shape: &Shape, n: usize, channels: u64) -> Option<Shape> {
    let before = shape.len().checked_sub(n + 1).filter(|b| *b > 0)?;
    let axes = Axes::of(layer, n, before)?;
    let (kernel, strides, dilation) = (kernel(layer, n)?, strides(layer, n)?, dilation(layer, n));
    let padding = padding(layer)?;
    let mut out = shape.clone();
    for i in 0..n {
        let d = out.get_mut(axes.space + i)?;
        *d = slid(*d, kernel[i], padding, strides[i], dilation[i])?;
    }
    out[axes.channels] = Some(channels);
    Some(out)
}

fn depthwise(layer: &Layer<'_>, shape: &Shape, n: usize) -> Option<Shape> {
    let axes = Axes::of(layer, n, 1)?;
    let mut out = conv(layer, shape, n, 0)?;
    out[axes.channels] = times(shape[axes.channels], layer.size("depth_multiplier")?);
    Some(out)
}

fn transpose(layer: &Layer<'_>, shape: &Shape, n: usize) -> Option<Shape> {
    // Keras 1 was told the result.
    if layer.class == "Deconvolution2D" {
        let told = crate::model::format::keras::config::shape(layer.get("output_shape")?)?;
        return (told.len() == n + 2).then(|| [&shape[..1], &told[1..]].concat());
    }
    let axes = Axes::of(layer, n, 1)?;
    let (kernel, strides, dilation) = (kernel(layer, n)?, strides(layer, n)?, dilation(layer, n));
    let padding = padding(layer)?;
    let extra = layer.get("output_padding").map(|_| layer.sizes("output_padding", n));
    let mut out = shape.clone();
    for i in 0..n {
        let d = &mut out[axes.space + i];
        let Some(length) = *d else { continue };
        let kernel = kernel[i].checked_sub(1)?.checked_mul(dilation[i])?.checked_add(1)?;
        let stride = strides[i];
        *d = Some(match (&extra, padding) {
            (None, "valid") => length.checked_mul(stride)?.checked_add(kernel.saturating_sub(stride))?,
            (None, "same") => length.checked_mul(stride)?,
            (Some(extra), padding) => {
                let pad = match padding {
                    "same" => kernel / 2,
                    "valid" => 0,
                    _ => return None,
                };
                let all = length.checked_sub(1)?.checked_mul(stride)?.checked_add(kernel)?;
                all.checked_sub(pad.checked_mul(2)?)?.checked_add(extra.as_ref()?[i])?
            }
            _ => return None,
        });
    }
    out[axes.channels] = Some(filters(layer)?);
    Some(out)
}

fn pool(layer: &Layer<'_>, shape: &Shape, n: usize) -> Option<Shape> {
    let window = layer.sizes("pool_size", n).or_else(|| layer.sizes("pool_length", n))?;
    let given = layer.sizes("strides", n).or_else(|| layer.sizes("stride", n));
    let strides = given.or_else(|| layer.get("strides").is_none().then(|| window.clone()))?;
    let padding = padding(layer)?;
    if strides.contains(&0) {
        return None;
    }
    each(layer, shape, n, |i, d| slid(d, window[i], padding, strides[i], 1))
}

fn global(layer: &Layer<'_>, shape: &Shape, n: usize) -> Option<Shape> {
    let axes = Axes::of(layer, n, 1)?;
    if layer.flag("keepdims") {
        return each(layer, shape, n, |_, _| Some(Some(1)));
    }
    Some(vec![shape[0], shape[axes.channels]])
}

/// Padding and cropping: for each dimension how much at its beginning and its end.
fn resize(
    layer: &Layer<'_>,
    shape: &Shape,
    n: usize,
    key: &str,
    f: impl Fn(Option<u64>, Option<u64>) -> Option<u64>,
) -> Option<Shape> {
    let value = layer.get(key)?;
    let amounts: Vec<Option<u64>> = match list(value) {
        None => vec![size(value).and_then(|v| v.checked_mul(2)); n],
        // A pair for the one dimension that there is.
        Some(items) if n == 1 && items.len() == 2 => vec![plus(size(&items[0]), size(&items[1]))],
        Some(items) if n == 2 && items.len() == 4 => {
            items.chunks(2).map(|pair| plus(size(&pair[0]), size(&pair[1]))).collect()
        }
        Some(items) if items.len() == n => items
            .iter()
            .map(|item| match list(item) {
                Some(pair) if pair.len() == 2 => plus(size(&pair[0]), size(&pair[1])),
                Some(one) if one.len() == 1 => size(&one[0]).and_then(|v| v.checked_mul(2)),
                Some(_) => None,
                None => size(item).and_then(|v| v.checked_mul(2)),
            })
            .collect(),
        Some(_) => return None,
    };
    each(layer, shape, n, |i, d| match d {
        None => Some(None),
        Some(_) => f(d, amounts[i]).filter(|d| *d > 0).map(Some),
    })
}
