//! Rules of shapes for layers of networks: what has weights, slides windows or remembers.
//!
//! Each follows its operator's `InferShape` in MXNet (src/operator/nn, src/operator/rnn.cc).

use crate::model::contract::Shape;
use crate::model::format::mxnet::shapes::{Clash, Result, Step, axis, product, solve};
use crate::model::format::mxnet::symbol::Node;

/// The operators with a rule here.
pub(super) const NAMES: &[&str] = &[
    "BatchNorm",
    "BatchNorm_v1",
    "CTCLoss",
    "Convolution",
    "Convolution_v1",
    "CuDNNBatchNorm",
    "Deconvolution",
    "Embedding",
    "FullyConnected",
    "GroupNorm",
    "InstanceNorm",
    "LayerNorm",
    "LeakyReLU",
    "Pooling",
    "Pooling_v1",
    "RNN",
    "ROIPooling",
    "UpSampling",
    "_contrib_AdaptiveAvgPooling2D",
    "_contrib_BilinearResize2D",
    "_contrib_DeformableConvolution",
    "_contrib_MultiBoxDetection",
    "_contrib_MultiBoxPrior",
    "_contrib_ROIAlign",
    "_contrib_SparseEmbedding",
    "_contrib_SyncBatchNorm",
    "_rnn_param_concat",
];

/// Applies the rule of a layer.
pub(super) fn apply(step: &mut Step<'_>) -> Result<()> {
    match step.node.op.as_str() {
        "FullyConnected" => fully_connected(step),
        "Convolution" | "Convolution_v1" => convolution(step, 1),
        // Between data and weight are the places to look at.
        "_contrib_DeformableConvolution" => convolution(step, 2),
        "Deconvolution" => deconvolution(step),
        "Pooling" | "Pooling_v1" => pooling(step),
        "BatchNorm" | "BatchNorm_v1" | "CuDNNBatchNorm" | "_contrib_SyncBatchNorm" => {
            normalization(step, 1, 5)
        }
        "InstanceNorm" => normalization(step, 1, 3),
        "LayerNorm" => normalization(step, -1, 3),
        "GroupNorm" => step.same(0, 0),
        "LeakyReLU" => leaky(step),
        "Embedding" | "_contrib_SparseEmbedding" => embedding(step),
        "RNN" => recurrent(step),
        "_rnn_param_concat" => flat_weights(step),
        "UpSampling" => upsampling(step),
        "_contrib_AdaptiveAvgPooling2D" => {
            let size = match step.node.ints("output_size").as_deref() {
                None | Some([]) => [Some(1), Some(1)],
                Some([n]) => [dim(*n), dim(*n)],
                Some([h, w]) => [dim(*h), dim(*w)],
                Some(_) => return Ok(()),
            };
            resized(step, size)
        }
        "_contrib_BilinearResize2D" => {
            let plain = matches!(step.node.text("mode"), None | Some("size"));
            match (step.node.size("height"), step.node.size("width")) {
                (Some(h), Some(w)) if plain && step.inputs() == 1 => resized(step, [Some(h), Some(w)]),
                _ => resized(step, [None, None]),
            }
        }
        "ROIPooling" | "_contrib_ROIAlign" => regions(step),
        "_contrib_MultiBoxPrior" => priors(step),
        "_contrib_MultiBoxDetection" => boxes(step),
        "CTCLoss" => match step.input(0).as_deref() {
            Some([_, n, _]) => step.set_output(0, vec![*n]),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

/// A dimension that is written down; 0 and -1 are unknown ones.
fn dim(n: i64) -> Option<u64> {
    u64::try_from(n).ok().filter(|n| *n > 0)
}

fn fully_connected(step: &mut Step<'_>) -> Result<()> {
    let hidden = step.node.size("num_hidden").filter(|n| *n > 0);
    step.set_input(1, vec![hidden, None])?;
    step.set_input(2, vec![hidden])?;
    let Some([hidden, width]) = step.input(1).as_deref().and_then(|w| <[_; 2]>::try_from(w).ok()) else {
        return Ok(());
    };
    match step.node.flag("flatten", true) {
        Some(true) => {
            step.set_output(0, vec![None, hidden])?;
            let rows = step.output(0).and_then(|o| o[0]);
            let Some(mut data) = step.input(0).filter(|d| d.len() >= 2) else { return Ok(()) };
            if let Some(width) = width {
                solve(&mut data[1..], width)?;
            }
            step.set_output(0, vec![data[0], hidden])?;
            step.set_input(1, vec![hidden, product(&data[1..])])?;
            data[0] = data[0].or(rows);
            step.set_input(0, data)
        }
        Some(false) => {
            if let Some(mut data) = step.input(0).filter(|d| !d.is_empty()) {
                let last = data.len() - 1;
                step.set_input(1, vec![hidden, data[last]])?;
                data[last] = width;
                step.set_input(0, data.clone())?;
                data[last] = hidden;
                step.set_output(0, data)?;
            }
            if let Some(mut out) = step.output(0).filter(|o| !o.is_empty()) {
                let last = out.len() - 1;
                out[last] = width;
                step.set_input(0, out)?;
            }
            Ok(())
        }
        None => Ok(()),
    }
}

/// How a window slides along each dimension of space.
struct Window {
    kernel: Vec<u64>,
    stride: Vec<u64>,
    pad: Vec<u64>,
    dilate: Vec<u64>,
    /// Where the channels are.
    channel: usize,
}

impl Window {
    fn of(node: &Node) -> Option<Self> {
        let list = |key: &str| -> Option<Vec<u64>> {
            node.ints(key)?.into_iter().map(|n| u64::try_from(n).ok().filter(|n| *n < 1 << 32)).collect()
        };
        let kernel = list("kernel")?;
        if kernel.is_empty() || kernel.contains(&0) {
            return None;
        }
        let or = |key: &str, default: u64| -> Option<Vec<u64>> {
            let all = match node.text(key) {
                None => Vec::new(),
                Some(_) => list(key)?,
            };
            let all = if all.is_empty() { vec![default; kernel.len()] } else { all };
            (all.len() == kernel.len()).then_some(all)
        };
        let (stride, pad, dilate) = (or("stride", 1)?, or("pad", 0)?, or("dilate", 1)?);
        if stride.contains(&0) || dilate.contains(&0) {
            return None;
        }
        let channel = channel(node, kernel.len() + 2)?;
        Some(Self { kernel, stride, pad, dilate, channel })
    }

    fn rank(&self) -> usize {
        self.kernel.len() + 2
    }

    /// Which dimension of the data the `i`th of space is.
    fn space(&self, i: usize) -> usize {
        if self.channel == 1 { i + 2 } else { i + 1 }
    }

    /// How far a window reaches.
    fn reach(&self, i: usize) -> u64 {
        self.dilate[i] * (self.kernel[i] - 1) + 1
    }
}

/// Where the channels of a layout are; `None` for one that is not known.
fn channel(node: &Node, rank: usize) -> Option<usize> {
    match node.text("layout") {
        None | Some("NCHW" | "NCW" | "NCDHW") => Some(1),
        Some("NHWC" | "NWC" | "NDHWC") => Some(rank - 1),
        Some(_) => None,
    }
}

/// The weights are the input of that number, the biases the next.
fn convolution(step: &mut Step<'_>, weights: usize) -> Result<()> {
    let Some(w) = Window::of(step.node) else { return Ok(()) };
    let (filters, groups) = (step.node.size("num_filter"), step.node.size("num_group").unwrap_or(1));
    if groups == 0 {
        return Ok(());
    }
    let kernel = || w.kernel.iter().copied().map(Some);
    let last = w.channel != 1;
    let mut weight: Shape = vec![filters];
    if last {
        weight.extend(kernel());
        weight.push(None);
    } else {
        weight.push(None);
        weight.extend(kernel());
    }
    step.set_input(weights, weight)?;
    step.set_input(weights + 1, vec![filters])?;
    let in_group = step.input(weights).and_then(|s| s[w.channel]);

    let mut data: Shape = vec![None; w.rank()];
    data[w.channel] = in_group.and_then(|n| n.checked_mul(groups));
    step.set_input(0, data)?;
    let mut out: Shape = vec![None; w.rank()];
    out[w.channel] = filters;
    step.set_output(0, out)?;

    let (Some(data), Some(out)) = (step.input(0), step.output(0).or_else(|| Some(vec![None; w.rank()])))
    else {
        return Ok(());
    };
    if let Some(channels) = data[w.channel].filter(|c| c.is_multiple_of(groups)) {
        let mut weight: Shape = vec![None; w.rank()];
        weight[w.channel] = Some(channels / groups);
        step.set_input(weights, weight)?;
    }
    let (mut forward, mut backward): (Shape, Shape) = (vec![None; w.rank()], vec![None; w.rank()]);
    (forward[0], backward[0]) = (data[0], out[0]);
    for i in 0..w.kernel.len() {
        let (at, padding) = (w.space(i), 2 * w.pad[i]);
        if let Some(n) = data[at] {
            let room = n.checked_add(padding).and_then(|n| n.checked_sub(w.reach(i))).ok_or(Clash)?;
            forward[at] = Some(room / w.stride[i] + 1);
        } else if w.stride[i] == 1 {
            backward[at] =
                out[at].and_then(|n| n.checked_add(w.reach(i) - 1)?.checked_sub(padding)).filter(|n| *n > 0);
        }
    }
    step.set_output(0, forward)?;
    step.set_input(0, backward)
}

fn deconvolution(step: &mut Step<'_>) -> Result<()> {
    let Some(w) = Window::of(step.node).filter(|w| w.channel == 1) else { return Ok(()) };
    let (filters, groups) = (step.node.size("num_filter"), step.node.size("num_group").unwrap_or(1));
    if groups == 0 {
        return Ok(());
    }
    let mut weight: Shape = vec![None, filters.filter(|f| f.is_multiple_of(groups)).map(|f| f / groups)];
    weight.extend(w.kernel.iter().copied().map(Some));
    step.set_input(1, weight)?;
    step.set_input(2, vec![filters])?;
    let mut data: Shape = vec![None; w.rank()];
    data[1] = step.input(1).and_then(|s| s.first().copied().flatten());
    data[0] = step.output(0).and_then(|o| o.first().copied().flatten());
    step.set_input(0, data)?;
    let Some(data) = step.input(0) else { return Ok(()) };
    let target =
        step.node.ints("target_shape").filter(|t| t.len() == w.kernel.len() && t.iter().all(|n| *n > 0));
    let adjust = step.node.ints("adj").filter(|a| !a.is_empty()).unwrap_or_else(|| vec![0; w.kernel.len()]);
    if adjust.len() != w.kernel.len() {
        return Ok(());
    }
    let mut out: Shape = vec![data[0], filters];
    for i in 0..w.kernel.len() {
        let grown = data[i + 2].and_then(|n| {
            let n = w.stride[i].checked_mul(n.checked_sub(1)?)?.checked_add(w.reach(i))?;
            n.checked_add(u64::try_from(adjust[i]).ok()?)?.checked_sub(2 * w.pad[i])
        });
        out.push(target.as_ref().map_or(grown, |t| dim(t[i])));
    }
    step.set_output(0, out)
}

fn pooling(step: &mut Step<'_>) -> Result<()> {
    let Some(global) = step.node.flag("global_pool", false) else { return Ok(()) };
    if global {
        let Some(rank) = step.input(0).or_else(|| step.output(0)).map(|s| s.len()).filter(|r| *r >= 3) else {
            return Ok(());
        };
        let Some(channel) = channel(step.node, rank) else { return Ok(()) };
        let keep = |s: &Shape| {
            (0..rank).map(|i| if i == 0 || i == channel { s[i] } else { None }).collect::<Shape>()
        };
        if let Some(out) = step.output(0).filter(|o| o.len() == rank) {
            step.set_input(0, keep(&out))?;
        }
        let Some(mut out) = step.input(0).map(|d| keep(&d)) else { return Ok(()) };
        for (i, d) in out.iter_mut().enumerate() {
            if i != 0 && i != channel {
                *d = Some(1);
            }
        }
        return step.set_output(0, out);
    }
    let Some(w) = Window::of(step.node) else { return Ok(()) };
    let rank = w.rank();
    let keep =
        |s: &Shape| (0..rank).map(|i| if i == 0 || i == w.channel { s[i] } else { None }).collect::<Shape>();
    step.set_input(0, vec![None; rank])?;
    step.set_output(0, vec![None; rank])?;
    if let Some(out) = step.output(0) {
        step.set_input(0, keep(&out))?;
    }
    let Some(data) = step.input(0) else { return Ok(()) };
    let mut out = keep(&data);
    let convention = step.node.text("pooling_convention").unwrap_or("valid");
    for i in 0..w.kernel.len() {
        let at = w.space(i);
        let Some(n) = data[at] else { continue };
        let padded = n.checked_add(2 * w.pad[i]).ok_or(Clash)?;
        let room = padded.checked_sub(w.kernel[i]);
        out[at] = match (convention, room) {
            ("valid", Some(room)) => Some(room / w.stride[i] + 1),
            // The first version left out windows that begin in the padding.
            ("full", Some(room)) if step.node.op == "Pooling" => Some(room.div_ceil(w.stride[i]) + 1),
            ("same", _) if rank == 3 => Some(padded.div_ceil(w.stride[i])),
            ("valid" | "full", None) => return Err(Clash),
            _ => None,
        };
    }
    step.set_output(0, out)
}

/// The first output is as the data, and each weight has one number per channel.
fn normalization(step: &mut Step<'_>, default: i64, weights: usize) -> Result<()> {
    step.same(0, 0)?;
    let at = if step.node.op == "InstanceNorm" { 1 } else { step.node.int("axis").unwrap_or(default) };
    let size = (1..weights).find_map(|i| step.input(i).filter(|s| s.len() == 1).and_then(|s| s[0]));
    let Some(mut data) = step.input(0) else { return Ok(()) };
    let Some(at) = axis(at, data.len()) else { return Ok(()) };
    let channels = data[at].or(size);
    data[at] = channels;
    step.set_input(0, data)?;
    for i in 1..weights {
        step.set_input(i, vec![channels])?;
    }
    if default == 1 {
        for k in 1..3 {
            step.set_output(k, vec![channels])?;
        }
    }
    step.same(0, 0)
}

fn leaky(step: &mut Step<'_>) -> Result<()> {
    step.same(0, 0)?;
    if step.node.text("act_type") != Some("prelu") {
        return Ok(());
    }
    // One slope for all channels is a weight of one number.
    let slopes = step.input(1).filter(|s| s.len() == 1).and_then(|s| s[0]).filter(|n| *n > 1);
    if let (Some(slopes), Some(mut data)) = (slopes, step.input(0).filter(|d| d.len() >= 2)) {
        data[1] = Some(slopes);
        step.set_input(0, data)?;
    }
    step.same(0, 0)
}

fn embedding(step: &mut Step<'_>) -> Result<()> {
    let width = step.node.size("output_dim");
    step.set_input(1, vec![None, width])?;
    if let Some(mut data) = step.input(0) {
        data.push(width);
        step.set_output(0, data)?;
    }
    if let Some(mut out) = step.output(0) {
        out.pop();
        step.set_input(0, out)?;
    }
    Ok(())
}

/// Data (time, batch, width), all weights in one row, the states (layers, batch, state).
fn recurrent(step: &mut Step<'_>) -> Result<()> {
    let node = step.node;
    let (Some(state), Some(layers)) = (node.size("state_size"), node.size("num_layers")) else {
        return Ok(());
    };
    let Some(both) = node.flag("bidirectional", false) else { return Ok(()) };
    let gates = match node.text("mode") {
        Some("rnn_relu" | "rnn_tanh") => 1,
        Some("lstm") => 4,
        Some("gru") => 3,
        _ => return Ok(()),
    };
    let sides = if both { 2 } else { 1 };
    let projected = node.size("projection_size").unwrap_or(state);
    let (Some(width_out), Some(rows)) = (projected.checked_mul(sides), layers.checked_mul(sides)) else {
        return Ok(());
    };
    step.set_input(0, vec![None, None, None])?;
    step.set_output(0, vec![None, None, Some(width_out)])?;
    let data = step.input(0).unwrap_or_else(|| vec![None; 3]);
    let out = step.output(0).unwrap_or_else(|| vec![None; 3]);
    let (time, batch) = (data[0].or(out[0]), data[1].or(out[1]));
    let batch = batch.or_else(|| step.input(2).filter(|s| s.len() == 3).and_then(|s| s[1]));
    let mut width = data[2];
    if width.is_none() && node.text("projection_size").is_none() {
        width = step
            .input(1)
            .and_then(|w| input_width(product(&w)?, state.checked_mul(gates)?, state, layers, sides));
    }
    step.set_input(0, vec![time, batch, width])?;
    step.set_output(0, vec![time, batch, Some(width_out)])?;
    let states = |n| vec![Some(rows), batch, Some(n)];
    step.set_input(2, states(projected))?;
    step.set_output(1, states(projected))?;
    if gates == 4 {
        step.set_input(3, states(state))?;
        step.set_output(2, states(state))?;
    }
    Ok(())
}

/// The width of the data from how many weights there are in all: each layer and side has gates times
/// (input + state + two biases), and all but the first layer take what the one before gives.
fn input_width(total: u64, gated: u64, state: u64, layers: u64, sides: u64) -> Option<u64> {
    if gated == 0 {
        return None;
    }
    let later = gated.checked_mul(state.checked_mul(sides)?.checked_add(state)?.checked_add(2)?)?;
    let first = (total / sides).checked_sub(later.checked_mul(layers.checked_sub(1)?)?)?;
    let width = (first / gated).checked_sub(state.checked_add(2)?)?;
    (total.is_multiple_of(sides) && first.is_multiple_of(gated) && width > 0).then_some(width)
}

/// Weights of a recurrent layer, put behind each other.
fn flat_weights(step: &mut Step<'_>) -> Result<()> {
    let sizes: Option<Vec<Option<u64>>> =
        (0..step.inputs()).map(|i| step.input(i).filter(|s| s.len() == 1).map(|s| s[0])).collect();
    let total = sizes.and_then(|s| s.into_iter().try_fold(0u64, |sum, n| sum.checked_add(n?)));
    step.set_output(0, vec![total])
}

fn upsampling(step: &mut Step<'_>) -> Result<()> {
    let Some(scale) = step.node.size("scale").filter(|s| *s > 0) else { return Ok(()) };
    if step.inputs() != 1 && step.node.text("sample_type") != Some("bilinear") {
        return Ok(());
    }
    let Some([n, c, h, w]) = step.input(0).and_then(|d| <[_; 4]>::try_from(d).ok()) else { return Ok(()) };
    let grown = |d: Option<u64>| d.and_then(|d| d.checked_mul(scale));
    step.set_output(0, vec![n, c, grown(h), grown(w)])
}

fn resized(step: &mut Step<'_>, [h, w]: [Option<u64>; 2]) -> Result<()> {
    if let Some([n, c, ..]) = step.output(0).as_deref() {
        step.set_input(0, vec![*n, *c, None, None])?;
    }
    let Some([n, c, _, _]) = step.input(0).and_then(|d| <[_; 4]>::try_from(d).ok()) else { return Ok(()) };
    step.set_output(0, vec![n, c, h, w])
}

fn regions(step: &mut Step<'_>) -> Result<()> {
    let Some([h, w]) = step.node.ints("pooled_size").and_then(|s| <[_; 2]>::try_from(s).ok()) else {
        return Ok(());
    };
    let count = step.input(1).and_then(|r| r.first().copied().flatten());
    let channels = match step.input(0).as_deref() {
        Some([_, c, _, _]) if step.node.text("position_sensitive").is_none() => *c,
        _ => None,
    };
    step.set_output(0, vec![count, channels, dim(h), dim(w)])
}

fn priors(step: &mut Step<'_>) -> Result<()> {
    let count = |key: &str| {
        step.node
            .text(key)
            .map_or(1, |t| t.split(',').filter(|p| p.chars().any(|c| c.is_ascii_digit())).count() as u64)
    };
    let each = (count("sizes") + count("ratios")).saturating_sub(1);
    let anchors = match step.input(0).as_deref() {
        Some([_, _, Some(h), Some(w)]) => h.checked_mul(*w).and_then(|n| n.checked_mul(each)),
        _ => None,
    };
    step.set_output(0, vec![Some(1), anchors, Some(4)])
}

fn boxes(step: &mut Step<'_>) -> Result<()> {
    let batch = step.input(0).filter(|s| s.len() == 3).and_then(|s| s[0]);
    let anchors = |i: usize, at: usize| step.input(i).filter(|s| s.len() == 3).and_then(|s| s[at]);
    step.set_output(0, vec![batch, anchors(0, 2).or(anchors(2, 1)), Some(6)])
}
