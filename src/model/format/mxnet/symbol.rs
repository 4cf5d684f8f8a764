//! `*-symbol.json`: the graph, as every version of MXNet writes it.
//!
//! Attributes of operators were `param` before 0.9, `attr` up to 0.12 and are `attrs` since; inputs
//! had two numbers before 0.9 and have three since (nnvm `src/pass/saveload_json.cc`, MXNet
//! `src/nnvm/legacy_json_util.cc`). TVM writes graphs of the same form, which are none of MXNet's.
//!
//! Invariants: inputs point to earlier nodes only, so that a graph has no cycles; attributes that no
//! rule asks for are not kept.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::error::{Error, Kind, Result};
use crate::model::format::{MAX_ENTRIES, MAX_NAME, MAX_RANK};

/// The longest graph that is read; the largest that people publish have a few megabytes.
pub(super) const MAX_JSON: u64 = 16 << 20;
/// The longest value of an attribute that is kept.
const MAX_ATTRIBUTE: usize = 4096;

/// A graph.
#[derive(Debug, Default)]
pub(super) struct Symbol {
    /// Nodes in an order in which each comes after those that it takes from.
    pub nodes: Vec<Node>,
    /// What goes out: a node and which of its outputs.
    pub heads: Vec<Entry>,
    /// The version of MXNet that wrote it.
    pub version: Option<String>,
}

/// One output of a node.
pub(super) type Entry = (usize, usize);

/// An operator or, with the operator `null`, a variable.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// The operator.
    pub op: String,
    /// Its name.
    pub name: String,
    /// What it takes.
    pub inputs: Vec<Entry>,
    attributes: Vec<(&'static str, Box<str>)>,
}

impl Node {
    /// Whether it is an argument of the graph: an input or a weight.
    pub(super) fn is_variable(&self) -> bool {
        self.op == "null"
    }

    /// An attribute as text.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.attributes.iter().find(|(k, _)| *k == key).map(|(_, v)| v.trim()).filter(|v| *v != "None")
    }

    /// Whether an attribute is there, be it `None`.
    pub(super) fn has(&self, key: &str) -> bool {
        self.attributes.iter().any(|(k, _)| *k == key)
    }

    /// An attribute as a number.
    pub(super) fn int(&self, key: &str) -> Option<i64> {
        self.text(key).and_then(int)
    }

    /// An attribute that is a size.
    pub(super) fn size(&self, key: &str) -> Option<u64> {
        self.int(key).and_then(|n| u64::try_from(n).ok())
    }

    /// An attribute as yes or no, with what counts where it is missing.
    pub(super) fn flag(&self, key: &str, default: bool) -> Option<bool> {
        match self.text(key) {
            None => Some(default),
            Some("True" | "true" | "1") => Some(true),
            Some("False" | "false" | "0") => Some(false),
            Some(_) => None,
        }
    }

    /// An attribute as a list of numbers; one number is a list too.
    pub(super) fn ints(&self, key: &str) -> Option<Vec<i64>> {
        self.text(key).and_then(ints)
    }

    /// An attribute as a list of numbers of which some may be `None`.
    pub(super) fn options(&self, key: &str) -> Option<Vec<Option<i64>>> {
        let inner = brackets(self.text(key)?)?;
        let parts: Vec<&str> = inner.split(',').map(str::trim).filter(|p| !p.is_empty()).collect();
        if parts.len() > MAX_RANK {
            return None;
        }
        parts.into_iter().map(|p| if p == "None" { Some(None) } else { int(p).map(Some) }).collect()
    }
}

/// Python 2 writes long numbers with an `L`.
fn int(text: &str) -> Option<i64> {
    text.strip_suffix('L').unwrap_or(text).parse().ok()
}

fn brackets(text: &str) -> Option<&str> {
    let inner = |open, close| text.strip_prefix(open).and_then(|t| t.strip_suffix(close));
    inner('(', ')').or_else(|| inner('[', ']'))
}

fn ints(text: &str) -> Option<Vec<i64>> {
    let Some(inner) = brackets(text) else { return int(text).map(|n| vec![n]) };
    let mut all = Vec::new();
    for part in inner.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        if all.len() == MAX_RANK {
            return None;
        }
        all.push(int(part)?);
    }
    Some(all)
}

/// Reads a graph.
pub(super) fn parse(json: &[u8]) -> Result<Symbol> {
    let file: File = serde_json::from_slice(json)
        .map_err(|e| Error::new(Kind::Model, "the graph is not the JSON that it should be").because(e))?;
    let heads = file.heads.0.into_iter().map(|e| (e.0, e.1)).collect();
    let nodes = file.nodes.0.into_iter().map(RawNode::finish).collect();
    let version = file.attrs.and_then(|a| a.mxnet_version).and_then(|v| v.1.0);
    // major * 10000 + minor * 100 + patch (include/mxnet/base.h).
    let version = version.map(|v| format!("{}.{}.{}", v / 10_000, v / 100 % 100, v % 100));
    let symbol = Symbol { nodes, heads, version };
    for (i, node) in symbol.nodes.iter().enumerate() {
        if let Some((from, _)) = node.inputs.iter().find(|(from, _)| *from >= i) {
            let message = format!("node {i} takes from node {from}, which does not come before it");
            return Err(Error::new(Kind::Model, message));
        }
    }
    if let Some((head, _)) = symbol.heads.iter().find(|(h, _)| *h >= symbol.nodes.len()) {
        let message = format!("node {head} goes out, but there are {} nodes", symbol.nodes.len());
        return Err(Error::new(Kind::Model, message));
    }
    Ok(symbol)
}

#[derive(Deserialize)]
struct File {
    nodes: Capped<RawNode>,
    heads: Capped<RawEntry>,
    #[serde(default)]
    attrs: Option<GraphAttributes>,
}

#[derive(Deserialize)]
struct GraphAttributes {
    mxnet_version: Option<(IgnoredAny, Number)>,
}

/// A number, if it is one; of anything else nothing is kept.
struct Number(Option<u64>);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            fn visit_u64<E>(self, n: u64) -> std::result::Result<Number, E> {
                Ok(Number(Some(n)))
            }

            fn visit_i64<E>(self, _: i64) -> std::result::Result<Number, E> {
                Ok(Number(None))
            }

            fn visit_f64<E>(self, _: f64) -> std::result::Result<Number, E> {
                Ok(Number(None))
            }

            fn visit_bool<E>(self, _: bool) -> std::result::Result<Number, E> {
                Ok(Number(None))
            }

            fn visit_str<E>(self, _: &str) -> std::result::Result<Number, E> {
                Ok(Number(None))
            }

            fn visit_unit<E>(self) -> std::result::Result<Number, E> {
                Ok(Number(None))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Number, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Number(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Number, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Number(None))
            }
        }
        d.deserialize_any(Any)
    }
}

#[derive(Deserialize)]
struct RawNode {
    op: String,
    name: String,
    #[serde(default)]
    inputs: Capped<RawEntry>,
    #[serde(default)]
    attrs: Attributes,
    #[serde(default)]
    attr: Attributes,
    #[serde(default)]
    param: Attributes,
}

impl RawNode {
    fn finish(self) -> Node {
        let mut attributes = self.attrs.0;
        for (key, value) in self.attr.0.into_iter().chain(self.param.0) {
            if !attributes.iter().any(|(k, _)| *k == key) {
                attributes.push((key, value));
            }
        }
        let mut name = self.name;
        if name.len() > MAX_NAME {
            let end = (0..=MAX_NAME).rev().find(|n| name.is_char_boundary(*n)).unwrap_or(0);
            name.truncate(end);
        }
        let inputs = self.inputs.0.into_iter().map(|e| (e.0, e.1)).collect();
        Node { op: self.op, name, inputs, attributes }
    }
}

/// A list of a length that graphs have.
struct Capped<T>(Vec<T>);

impl<T> Default for Capped<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Capped<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        struct List<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
            type Value = Capped<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of at most {MAX_ENTRIES} entries")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Capped<T>, A::Error> {
                let mut all = Vec::new();
                while let Some(one) = seq.next_element()? {
                    if all.len() == MAX_ENTRIES {
                        return Err(A::Error::invalid_length(MAX_ENTRIES + 1, &self));
                    }
                    all.push(one);
                }
                Ok(Capped(all))
            }
        }
        d.deserialize_seq(List(PhantomData))
    }
}

/// A node and which of its outputs; a third number, a version, means nothing to readers.
struct RawEntry(usize, usize);

impl<'de> Deserialize<'de> for RawEntry {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        struct Numbers;
        impl<'de> Visitor<'de> for Numbers {
            type Value = RawEntry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("two or three numbers")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<RawEntry, A::Error> {
                let (Some(node), Some(output)) = (seq.next_element()?, seq.next_element()?) else {
                    return Err(A::Error::invalid_length(1, &self));
                };
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(RawEntry(node, output))
            }
        }
        d.deserialize_seq(Numbers)
    }
}

/// The attributes that some rule asks for.
#[derive(Default)]
struct Attributes(Vec<(&'static str, Box<str>)>);

impl<'de> Deserialize<'de> for Attributes {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = Attributes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Attributes, A::Error> {
                let mut all: Vec<(&'static str, Box<str>)> = Vec::new();
                while let Some(key) = map.next_key::<String>()? {
                    let Some(key) = KEYS.iter().find(|k| **k == key) else {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    };
                    let value = map.next_value::<String>()?;
                    if value.len() <= MAX_ATTRIBUTE && !all.iter().any(|(k, _)| k == key) {
                        all.push((key, value.into_boxed_str()));
                    }
                }
                Ok(Attributes(all))
            }
        }
        d.deserialize_map(Texts)
    }
}

/// Attributes that rules of shapes, types and names ask for.
const KEYS: &[&str] = &[
    "__dtype__",
    "__shape__",
    "act_type",
    "adj",
    "axes",
    "axis",
    "axis1",
    "axis2",
    "begin",
    "bidirectional",
    "block_size",
    "depth",
    "dilate",
    "dim",
    "dim1",
    "dim2",
    "dtype",
    "end",
    "exclude",
    "flatten",
    "global_pool",
    "h_w",
    "heads",
    "height",
    "hybrid",
    "indices",
    "is_ascend",
    "k",
    "keep_ratio",
    "keepdims",
    "kernel",
    "kernel_size",
    "layout",
    "lhs_axes",
    "lhs_begin",
    "lhs_end",
    "max_displacement",
    "mode",
    "multi_input_mode",
    "multi_output",
    "newshape",
    "no_bias",
    "num_args",
    "num_filter",
    "num_group",
    "num_hidden",
    "num_layers",
    "num_outputs",
    "op_type",
    "output_dim",
    "output_mean_var",
    "output_size",
    "pad",
    "pad_size",
    "pad_width",
    "pool_type",
    "pooled_size",
    "pooling_convention",
    "position_sensitive",
    "preserve_shape",
    "projection_size",
    "ratios",
    "repeats",
    "reps",
    "ret_typ",
    "reverse",
    "rhs_axes",
    "rhs_begin",
    "rhs_end",
    "sample_type",
    "scale",
    "sections",
    "shape",
    "size",
    "sizes",
    "squeeze_axis",
    "state_outputs",
    "state_size",
    "step",
    "stride",
    "stride1",
    "stride2",
    "target_shape",
    "transform_type",
    "transpose_a",
    "transpose_b",
    "use_sequence_length",
    "width",
];
