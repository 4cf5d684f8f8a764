//! What goes into and comes out of a chain of PyTorch's own layers, as `nn.Sequential` is one.
//!
//! Each layer that is known turns a shape into a shape by the rule in its documentation, with the
//! settings that its pickled state holds. It is not a tracer: a class from outside of `torch.nn`
//! computes what its code says, and there the chain of knowledge ends.
//!
//! Invariants: the batch is an unknown dimension; where a rule is not certain the result is unknown;
//! arithmetic is checked.

use crate::model::contract::{DType, Shape};
use crate::model::format::pytorch::modules::{children, class, own_tensor};
use crate::model::pickle::{Id, Node, Pickle};

/// The most layers of a chain.
const MAX_LAYERS: usize = 10_000;

/// What is known of a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Value {
    /// The type of its elements.
    pub dtype: Option<DType>,
    /// Its shape.
    pub shape: Option<Shape>,
}

/// Input and output of a chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chain {
    /// What the first layer needs.
    pub input: Value,
    /// What the last one gives.
    pub output: Value,
}

/// The layers of a module, in the order in which they are called; `None` where it is no chain.
pub(crate) fn layers(pickle: &Pickle, root: Id) -> Option<Vec<Id>> {
    let mut found = Vec::new();
    let mut todo = vec![root];
    let mut seen = 0;
    while let Some(id) = todo.pop() {
        seen += 1;
        if seen > MAX_LAYERS || todo.len() > MAX_LAYERS {
            return None;
        }
        if is_sequential(pickle, id) {
            todo.extend(children(pickle, id).into_iter().rev().map(|(_, child)| child));
        } else {
            found.push(id);
        }
    }
    Some(found)
}

/// Whether a module calls its children one after the other and does nothing else.
pub(crate) fn is_sequential(pickle: &Pickle, id: Id) -> bool {
    matches!(
        class(pickle, id),
        Some(("torch.nn.modules.container", "Sequential") | ("fastai.layers", "LinBnDrop"))
    )
}

/// Follows a value through layers; `None` where not even the first that tells is known.
pub(crate) fn chain(pickle: &Pickle, layers: &[Id]) -> Option<Chain> {
    for (i, id) in layers.iter().enumerate() {
        let value = match first(pickle, *id) {
            Need::Nothing => continue,
            Need::Unknown => return None,
            Need::Value(value) => value,
        };
        let mut input = value.clone();
        // Layers before the one that tells pass the type on, and only some of them the shape.
        if layers[..i].iter().any(|id| !elementwise(class_of(pickle, *id))) {
            input.shape = None;
        }
        let output = layers[i..].iter().fold(value, |value, id| apply(pickle, *id, &value));
        return Some(Chain { input, output });
    }
    None
}

/// What a layer tells of its input.
enum Need {
    /// Anything will do.
    Nothing,
    /// This.
    Value(Value),
    /// It is not known.
    Unknown,
}

/// The class of a layer of `torch.nn`, empty for any other.
fn class_of(pickle: &Pickle, id: Id) -> &str {
    match class(pickle, id) {
        Some((module, name)) if module.starts_with("torch.nn.modules.") => name,
        _ => "",
    }
}

fn first(pickle: &Pickle, id: Id) -> Need {
    let class = class_of(pickle, id);
    let dtype = own_tensor(pickle, id, "weight").and_then(|w| w.dtype).and_then(|d| d.parse().ok());
    let attr =
        |name: &str| pickle.attr(id, name).and_then(|a| pickle.int(a)).and_then(|n| u64::try_from(n).ok());
    let some = |shape: Option<Shape>| Need::Value(Value { dtype, shape });
    let images = |rank: usize, channels: Option<u64>| {
        let mut shape = vec![None, channels];
        shape.extend(vec![None; rank]);
        some(Some(shape))
    };
    match class {
        "Linear" => some(attr("in_features").map(|n| vec![None, Some(n)])),
        "Conv1d" | "ConvTranspose1d" => images(1, attr("in_channels")),
        "Conv2d" | "ConvTranspose2d" => images(2, attr("in_channels")),
        "Conv3d" | "ConvTranspose3d" => images(3, attr("in_channels")),
        "BatchNorm2d" => images(2, attr("num_features")),
        "BatchNorm3d" => images(3, attr("num_features")),
        // Two or three dimensions are both right.
        "BatchNorm1d" => some(None),
        // int32 is right too, and any shape.
        "Embedding" => Need::Value(Value { dtype: Some(DType::Int64), shape: None }),
        "Flatten" | "LayerNorm" => Need::Nothing,
        class if elementwise(class) => Need::Nothing,
        _ => Need::Unknown,
    }
}

/// Layers that give what they get, element by element.
fn elementwise(class: &str) -> bool {
    matches!(
        class,
        "Identity"
            | "ReLU"
            | "ReLU6"
            | "LeakyReLU"
            | "PReLU"
            | "RReLU"
            | "ELU"
            | "SELU"
            | "CELU"
            | "GELU"
            | "SiLU"
            | "Mish"
            | "Sigmoid"
            | "Tanh"
            | "Softplus"
            | "Softsign"
            | "Softmax"
            | "LogSoftmax"
            | "Softmin"
            | "Softshrink"
            | "Hardshrink"
            | "Tanhshrink"
            | "Threshold"
            | "LogSigmoid"
            | "Hardtanh"
            | "Hardswish"
            | "Hardsigmoid"
            | "Dropout"
            | "Dropout1d"
            | "Dropout2d"
            | "Dropout3d"
            | "AlphaDropout"
            | "FeatureAlphaDropout"
    )
}

/// What a layer makes of a value.
fn apply(pickle: &Pickle, id: Id, value: &Value) -> Value {
    let class = class_of(pickle, id);
    let attr =
        |name: &str| pickle.attr(id, name).and_then(|a| pickle.int(a)).and_then(|n| u64::try_from(n).ok());
    let same = value.clone();
    let unknown = Value { dtype: same.dtype, shape: None };
    match class {
        c if elementwise(c) => same,
        "BatchNorm1d" | "BatchNorm2d" | "BatchNorm3d" | "LayerNorm" | "GroupNorm" | "InstanceNorm1d"
        | "InstanceNorm2d" => same,
        "Linear" => {
            let Some(mut shape) = value.shape.clone() else { return unknown };
            if let Some(last) = shape.last_mut() {
                *last = attr("out_features");
            }
            Value { shape: Some(shape), ..same }
        }
        "Embedding" => {
            let dtype = own_tensor(pickle, id, "weight").and_then(|w| w.dtype).and_then(|d| d.parse().ok());
            let shape = value.shape.clone().map(|mut s| {
                s.push(attr("embedding_dim"));
                s
            });
            Value { dtype, shape }
        }
        "Conv1d" | "Conv2d" | "Conv3d" => windows(pickle, id, value, attr("out_channels"), true),
        "MaxPool1d" | "MaxPool2d" | "MaxPool3d" | "AvgPool1d" | "AvgPool2d" | "AvgPool3d" => {
            let channels = value.shape.as_ref().and_then(|s| s.get(1).copied().flatten());
            windows(pickle, id, value, channels, false)
        }
        "AdaptiveAvgPool1d" | "AdaptiveMaxPool1d" => adaptive(pickle, id, value, 1),
        "AdaptiveAvgPool2d" | "AdaptiveMaxPool2d" => adaptive(pickle, id, value, 2),
        "Flatten" => flatten(pickle, id, value),
        _ => Value::default(),
    }
}

/// Convolution and pooling: floor((n + 2p - d(k-1) - 1)/s + 1) in each dimension of space.
fn windows(pickle: &Pickle, id: Id, value: &Value, channels: Option<u64>, known_channels: bool) -> Value {
    let unknown = Value { dtype: value.dtype, shape: None };
    let Some(shape) = value.shape.as_ref().filter(|s| s.len() > 2) else { return unknown };
    if known_channels && channels.is_none() {
        return unknown;
    }
    let flag = |name: &str| pickle.attr(id, name).and_then(|a| pickle.bool(a));
    let mut out = vec![shape[0], channels];
    for (i, size) in shape[2..].iter().enumerate() {
        let setting = |name: &str, default: Option<u64>| match pickle.attr(id, name) {
            Some(a) if pickle.is_none(a) => default,
            Some(a) => match pickle.node(a) {
                Node::Tuple(_) | Node::List(_) => pickle
                    .elements(a)
                    .and_then(|e| pickle.int(*e.get(i)?))
                    .and_then(|n| u64::try_from(n).ok()),
                _ => pickle.int(a).and_then(|n| u64::try_from(n).ok()),
            },
            None => default,
        };
        let kernel = setting("kernel_size", None);
        let stride = setting("stride", if known_channels { Some(1) } else { kernel });
        let (padding, dilation) = (setting("padding", Some(0)), setting("dilation", Some(1)));
        let length = |n: u64| {
            let (k, s, p, d) = (kernel?, stride?, padding?, dilation?);
            let span = d.checked_mul(k.checked_sub(1)?)?.checked_add(1)?;
            let room = n.checked_add(p.checked_mul(2)?)?.checked_sub(span)?;
            room.checked_div(s)?.checked_add(1)
        };
        let exact = flag("ceil_mode") != Some(true);
        out.push(size.filter(|_| exact).and_then(length));
    }
    Value { dtype: value.dtype, shape: Some(out) }
}

/// The last `rank` dimensions become what the layer says.
fn adaptive(pickle: &Pickle, id: Id, value: &Value, rank: usize) -> Value {
    let mut out = value.clone();
    let Some(shape) = out.shape.as_mut().filter(|s| s.len() == rank + 2) else {
        return Value { dtype: value.dtype, shape: None };
    };
    let Some(size) = pickle.attr(id, "output_size") else { return Value { dtype: value.dtype, shape: None } };
    for i in 0..rank {
        let one = match pickle.elements(size) {
            Some(list) => list.get(i).copied(),
            None => Some(size),
        };
        // `None` keeps the dimension.
        match one {
            Some(one) if pickle.is_none(one) => {}
            Some(one) => shape[i + 2] = pickle.int(one).and_then(|n| u64::try_from(n).ok()),
            None => shape[i + 2] = None,
        }
    }
    out
}

fn flatten(pickle: &Pickle, id: Id, value: &Value) -> Value {
    let unknown = Value { dtype: value.dtype, shape: None };
    let Some(shape) = &value.shape else { return unknown };
    let place = |name: &str, default: i64| {
        let at = pickle.attr(id, name).and_then(|a| pickle.int(a)).unwrap_or(default);
        let rank = i64::try_from(shape.len()).ok()?;
        usize::try_from(if at < 0 { at.checked_add(rank)? } else { at }).ok().filter(|n| *n < shape.len())
    };
    let (Some(from), Some(to)) = (place("start_dim", 1), place("end_dim", -1)) else { return unknown };
    if from > to {
        return unknown;
    }
    let product = shape[from..=to].iter().try_fold(1u64, |n, d| n.checked_mul((*d)?));
    let mut out = shape[..from].to_vec();
    out.push(product);
    out.extend_from_slice(&shape[to + 1..]);
    Value { dtype: value.dtype, shape: Some(out) }
}
