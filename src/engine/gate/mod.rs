//! The gate: which operators each engine is trusted with.
//!
//! An engine that loads a model may still compute something else than the standard says, and a wrong
//! answer is worse than a refusal. What is refused here was found with the ONNX backend tests and by
//! comparison with ONNX Runtime. It is not the engines' own list of operators: that they tell.
//!
//! Invariant: a model passes an engine's gate only with all of its nodes, those of inner graphs
//! included.

pub(super) mod rten;
pub(super) mod tract;

use std::collections::{BTreeMap, BTreeSet};

use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, type_proto};

use super::operators::Operator;
use crate::model::format::onnx::graph::domain;
use crate::model::format::onnx::types::ValueInfo;

/// ONNX's numbers of element types (onnx/onnx.proto, `TensorProto.DataType`).
pub(super) mod elem {
    pub(in super::super) const FLOAT: i32 = 1;
    pub(in super::super) const UINT8: i32 = 2;
    pub(in super::super) const INT8: i32 = 3;
    pub(in super::super) const UINT16: i32 = 4;
    pub(in super::super) const INT32: i32 = 6;
    pub(in super::super) const INT64: i32 = 7;
    pub(in super::super) const BOOL: i32 = 9;
    pub(in super::super) const FLOAT16: i32 = 10;
    pub(in super::super) const DOUBLE: i32 = 11;
    pub(in super::super) const UINT32: i32 = 12;
    pub(in super::super) const UINT64: i32 = 13;
}

/// What an engine is not trusted with, and why.
pub(super) type Refused = BTreeMap<Operator, String>;

/// What is known of a value without computing anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    pub dtype: Option<i32>,
    pub rank: Option<usize>,
}

/// What was learned of a name; branches may use one name for two values.
#[derive(Default)]
struct Learned {
    known: Known,
    contradicted: bool,
}

/// A model, and what its graphs say about their values.
pub(super) struct Facts<'m> {
    opsets: BTreeMap<&'m str, i64>,
    values: BTreeMap<&'m str, Learned>,
    /// Every element type that is met anywhere.
    pub dtypes: BTreeSet<i32>,
    nodes: Vec<&'m NodeProto>,
    weights: Vec<(&'m str, &'m TensorProto)>,
    constants: BTreeMap<&'m str, &'m TensorProto>,
    /// Operators that read a value.
    readers: BTreeMap<&'m str, BTreeSet<&'m str>>,
    /// Values that leave an inner graph.
    leaving: BTreeSet<&'m str>,
    /// Values that something gives.
    given: BTreeSet<&'m str>,
}

impl<'m> Facts<'m> {
    pub(super) fn new(model: &'m ModelProto) -> Self {
        let opsets = model.opset_import.iter().map(|o| (domain(&o.domain), o.version)).collect();
        let mut facts = Self {
            opsets,
            values: BTreeMap::new(),
            dtypes: BTreeSet::new(),
            nodes: Vec::new(),
            weights: Vec::new(),
            constants: BTreeMap::new(),
            readers: BTreeMap::new(),
            leaving: BTreeSet::new(),
            given: BTreeSet::new(),
        };
        if let Some(graph) = &model.graph {
            facts.graph(graph);
        }
        facts
    }

    /// The depth of inner graphs is bounded: the file was surveyed.
    fn graph(&mut self, graph: &'m GraphProto) {
        for value in graph.input.iter().chain(&graph.output).chain(&graph.value_info) {
            let ty = value.r#type.as_ref().and_then(|t| t.value.as_ref());
            if let Some(type_proto::Value::TensorType(t)) = ty {
                let known = Known { dtype: Some(t.elem_type), rank: t.shape.as_ref().map(|s| s.dim.len()) };
                self.learn(&value.name, known);
            }
        }
        self.given.extend(graph.input.iter().map(|v| v.name.as_str()));
        let sparse = graph.sparse_initializer.iter().filter_map(|s| s.values.as_ref());
        self.given.extend(graph.initializer.iter().chain(sparse).map(|w| w.name.as_str()));
        for weight in &graph.initializer {
            self.weight(&weight.name, weight);
        }
        for node in &graph.node {
            self.nodes.push(node);
            self.given.extend(node.output.iter().map(String::as_str));
            for input in &node.input {
                self.readers.entry(input).or_default().insert(&node.op_type);
            }
            for attribute in &node.attribute {
                for tensor in attribute.t.iter().chain(&attribute.tensors) {
                    let made = node.output.first().filter(|_| node.op_type == "Constant");
                    self.weight(made.map_or("", String::as_str), tensor);
                }
                for inner in attribute.g.iter().chain(&attribute.graphs) {
                    self.leaving.extend(inner.output.iter().map(|o| o.name.as_str()));
                    self.graph(inner);
                }
            }
            let dtype = self.result(node);
            for output in node.output.iter().filter(|_| dtype.is_some()) {
                self.learn(output, Known { dtype, rank: None });
            }
        }
    }

    /// The element type of a node's outputs, where that is plain.
    fn result(&self, node: &NodeProto) -> Option<i32> {
        match node.op_type.as_str() {
            "Cast" => int(node, "to").and_then(|to| i32::try_from(to).ok()),
            "CastLike" => self.input(node, 1).dtype,
            "ConstantOfShape" => {
                Some(attribute(node, "value").and_then(|a| a.t.as_ref()).map_or(elem::FLOAT, |t| t.data_type))
            }
            "Shape" | "Size" | "NonZero" | "ArgMax" | "ArgMin" => Some(elem::INT64),
            "Equal" | "Less" | "LessOrEqual" | "Greater" | "GreaterOrEqual" | "Not" | "And" | "Or"
            | "Xor" | "IsNaN" | "IsInf" => Some(elem::BOOL),
            "Where" => self.input(node, 1).dtype,
            "Identity" | "Squeeze" | "Unsqueeze" | "Gather" | "Reshape" | "Slice" | "Concat"
            | "Transpose" | "Flatten" | "Expand" | "Tile" | "Split" | "Add" | "Sub" | "Mul" | "Div"
            | "Neg" | "Softmax" | "ReduceMax" | "ReduceMin" | "ReduceSum" | "ReduceMean" | "Relu"
            | "Sqrt" | "Exp" | "MatMul" => self.input(node, 0).dtype,
            _ => None,
        }
    }

    fn weight(&mut self, name: &'m str, tensor: &'m TensorProto) {
        self.weights.push((name, tensor));
        self.constants.insert(name, tensor);
        self.learn(name, Known { dtype: Some(tensor.data_type), rank: Some(tensor.dims.len()) });
    }

    fn learn(&mut self, name: &'m str, known: Known) {
        self.dtypes.extend(known.dtype);
        let old = self.values.entry(name).or_default();
        let differ = |a: Option<i64>, b: Option<i64>| a.is_some() && b.is_some() && a != b;
        let rank = |k: Known| k.rank.and_then(|r| i64::try_from(r).ok());
        old.contradicted |= differ(old.known.dtype.map(i64::from), known.dtype.map(i64::from))
            || differ(rank(old.known), rank(known));
        old.known.dtype = old.known.dtype.or(known.dtype);
        old.known.rank = old.known.rank.or(known.rank);
    }

    /// All nodes, those of inner graphs included.
    pub(super) fn nodes(&self) -> &[&'m NodeProto] {
        &self.nodes
    }

    /// All constant tensors, with their names where they have one.
    fn weights(&self) -> &[(&'m str, &'m TensorProto)] {
        &self.weights
    }

    /// What is known of a node's input.
    fn input(&self, node: &NodeProto, at: usize) -> Known {
        let name = node.input.get(at).filter(|n| !n.is_empty());
        let learned = name.and_then(|n| self.values.get(n.as_str())).filter(|l| !l.contradicted);
        learned.map(|l| l.known).unwrap_or_default()
    }

    /// Whether a value is read by nodes of these operators only, and does not leave an inner graph.
    fn only_read_by(&self, name: &str, operators: &[&str]) -> bool {
        let mut readers = self.readers.get(name).into_iter().flatten();
        !self.leaving.contains(name) && readers.all(|reader| operators.contains(reader))
    }

    /// The values of a node's input that is a constant of int64.
    fn constant(&self, node: &NodeProto, at: usize) -> Option<Vec<i64>> {
        let name = node.input.get(at).filter(|n| !n.is_empty())?;
        let tensor = self.constants.get(name.as_str()).filter(|t| t.data_type == elem::INT64)?;
        let raw = tensor.raw_data.as_chunks::<8>().0.iter().map(|c| i64::from_le_bytes(*c));
        Some(tensor.int64_data.iter().copied().chain(raw).collect())
    }

    /// Whether a node trains: it says so, and not with a constant that denies it.
    fn trains(&self, node: &NodeProto, at: usize) -> bool {
        let Some(name) = node.input.get(at).filter(|n| !n.is_empty()) else { return false };
        let denied = |t: &TensorProto| {
            t.data_type == elem::BOOL
                && t.raw_data.iter().all(|b| *b == 0)
                && t.int32_data.iter().all(|i| *i == 0)
        };
        !self.constants.get(name.as_str()).is_some_and(|t| denied(t))
    }

    /// The first node that would make a tensor of a constant shape with more than `limit` elements, and
    /// how many they are; an engine computes it when it loads the model.
    pub(super) fn larger_than(&self, limit: i64) -> Option<(Operator, i64)> {
        self.nodes.iter().find_map(|node| {
            let at = match node.op_type.as_str() {
                "ConstantOfShape" => 0,
                "Expand" | "Tile" => 1,
                _ => return None,
            };
            let count = self.constant(node, at)?.into_iter().fold(1i64, i64::saturating_mul);
            (count > limit).then(|| (self.operator(node), count))
        })
    }

    /// A value that is read, or leaves the model, though nothing gives it.
    pub(super) fn missing(&self, outputs: &'m [ValueInfo]) -> Option<&'m str> {
        let read = self.readers.keys().copied().filter(|n| !n.is_empty());
        let left = self.leaving.iter().copied().chain(outputs.iter().map(|v| v.name.as_str()));
        read.chain(left).find(|name| !self.given.contains(name))
    }

    /// The operator of a node.
    pub(super) fn operator(&self, node: &NodeProto) -> Operator {
        let space = domain(&node.domain);
        let opset = self.opsets.get(space).copied().unwrap_or(0);
        Operator { domain: space.to_owned(), name: node.op_type.clone(), opset }
    }
}

/// Whether a node has an input, which may have been left out.
fn has_input(node: &NodeProto, at: usize) -> bool {
    node.input.get(at).is_some_and(|n| !n.is_empty())
}

fn attribute<'n>(node: &'n NodeProto, name: &str) -> Option<&'n AttributeProto> {
    node.attribute.iter().find(|a| a.name == name)
}

fn int(node: &NodeProto, name: &str) -> Option<i64> {
    attribute(node, name).map(|a| a.i)
}

fn ints<'n>(node: &'n NodeProto, name: &str) -> &'n [i64] {
    attribute(node, name).map_or(&[], |a| a.ints.as_slice())
}

fn float(node: &NodeProto, name: &str) -> Option<f32> {
    attribute(node, name).map(|a| a.f)
}

fn text<'n>(node: &'n NodeProto, name: &str) -> &'n [u8] {
    attribute(node, name).map_or(b"", |a| a.s.as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A model of one node, with constants of int64 by name.
    fn model(opset: i64, op: &str, inputs: &[&str], constants: &[(&str, &[i64])]) -> ModelProto {
        let node = NodeProto {
            op_type: op.into(),
            input: inputs.iter().map(|i| (*i).into()).collect(),
            output: vec!["y".into()],
            ..NodeProto::default()
        };
        let weight = |(name, values): &(&str, &[i64])| TensorProto {
            name: (*name).into(),
            data_type: elem::INT64,
            dims: vec![i64::try_from(values.len()).unwrap()],
            int64_data: values.to_vec(),
            ..TensorProto::default()
        };
        let initializer = constants.iter().map(weight).collect();
        let graph = GraphProto { node: vec![node], initializer, ..GraphProto::default() };
        let import = tract_onnx::pb::OperatorSetIdProto { version: opset, ..Default::default() };
        ModelProto { graph: Some(graph), opset_import: vec![import], ..ModelProto::default() }
    }

    fn with(mut model: ModelProto, attributes: &[AttributeProto]) -> ModelProto {
        model.graph.as_mut().unwrap().node[0].attribute = attributes.to_vec();
        model
    }

    fn of(name: &str) -> AttributeProto {
        AttributeProto { name: name.into(), ..AttributeProto::default() }
    }

    fn text(name: &str, s: &str) -> AttributeProto {
        AttributeProto { s: s.as_bytes().to_vec(), ..of(name) }
    }

    fn tract(model: &ModelProto) -> bool {
        tract::refused(&Facts::new(model), &|_| true).is_empty()
    }

    fn rten(model: &ModelProto) -> bool {
        let facts = Facts::new(model);
        rten::refused(&facts).is_empty() && rten::unheld(&facts).is_none()
    }

    #[test]
    fn tract_is_not_trusted_with_attributes_that_it_leaves_out() {
        let alpha = |f| [AttributeProto { f, ..of("alpha") }];
        for op in ["Celu", "Swish"] {
            assert!(tract(&model(24, op, &["x"], &[])));
            assert!(tract(&with(model(24, op, &["x"], &[]), &alpha(1.0))));
            assert!(!tract(&with(model(24, op, &["x"], &[]), &alpha(0.5))), "{op}");
        }
        let rnn = |a| tract(&with(model(14, "LSTM", &["x", "w", "r"], &[]), &[a]));
        assert!(rnn(text("direction", "bidirectional")) && !rnn(text("direction", "reverse")));
        assert!(!rnn(AttributeProto { f: 1.0, ..of("clip") }));
        let activations = |names: &[&str]| AttributeProto {
            strings: names.iter().map(|n| n.as_bytes().to_vec()).collect(),
            ..of("activations")
        };
        assert!(rnn(activations(&["Sigmoid", "Tanh", "Tanh", "Sigmoid", "Tanh", "Tanh"])));
        assert!(!rnn(activations(&["Sigmoid", "Tanh", "Relu"])));
        assert!(tract(&model(13, "Pad", &["x", "p"], &[("p", &[0, 1])])));
        assert!(!tract(&model(13, "Pad", &["x", "p"], &[("p", &[0, -1])])));
        assert!(tract(&model(11, "BitShift", &["x", "s"], &[])));
        assert!(!tract(&model(28, "BitShift", &["x", "s"], &[])));
    }

    #[test]
    fn rten_is_trusted_from_the_operator_set_whose_meaning_it_has() {
        assert!(rten(&model(13, "Softmax", &["x"], &[])));
        assert!(!rten(&model(12, "Softmax", &["x"], &[])));
        let last = [AttributeProto { i: -1, ..of("axis") }];
        assert!(rten(&with(model(12, "Softmax", &["x"], &[]), &last)));
        assert!(!rten(&model(13, "Sign", &["x"], &[])));
        assert!(!rten(&with(model(13, "Resize", &["x", "", "", "s"], &[]), &[text("mode", "cubic")])));
        assert!(rten(&with(model(13, "Resize", &["x", "", "", "s"], &[]), &[text("mode", "linear")])));
        assert!(!rten(&model(13, "MatMul", &["x", "w"], &[("w", &[1])])));
    }

    #[test]
    fn rten_gets_wide_numbers_only_as_the_ends_of_slices() {
        let ends = &[("e", &[i64::MAX][..])];
        assert!(rten(&model(13, "Slice", &["x", "s", "e"], ends)));
        assert!(!rten(&model(13, "Add", &["x", "e"], ends)));
    }

    #[test]
    fn a_cast_to_bool_is_rten_s_where_it_changes_nothing() {
        let to = |dtype: i32| [AttributeProto { i: dtype.into(), ..of("to") }];
        assert!(rten(&with(model(13, "Cast", &["x"], &[]), &to(elem::FLOAT))));
        assert!(!rten(&with(model(13, "Cast", &["x"], &[]), &to(elem::BOOL))));
        assert!(!rten(&with(model(13, "Cast", &["x"], &[]), &to(elem::DOUBLE))));
        let mut double = with(model(13, "Cast", &["b"], &[]), &to(elem::BOOL));
        let equal = NodeProto {
            op_type: "Equal".into(),
            input: vec!["x".into(), "x".into()],
            output: vec!["b".into()],
            ..NodeProto::default()
        };
        double.graph.as_mut().unwrap().node.insert(0, equal);
        assert!(rten(&double));
    }
}
