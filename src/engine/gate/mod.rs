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

use std::collections::BTreeMap;

use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, type_proto};

use super::operators::{Operator, domain};

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
    pub(in super::super) const UINT32: i32 = 12;
    pub(in super::super) const UINT64: i32 = 13;
}

/// What an engine is not trusted with, and why.
pub(super) type Refused = BTreeMap<Operator, String>;

/// What is known of a value without computing anything.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known {
    pub dtype: Option<i32>,
    pub rank: Option<usize>,
}

/// A model, and what its graphs say about their values.
pub(super) struct Facts<'m> {
    opsets: BTreeMap<&'m str, i64>,
    /// By name; an inner graph's values have names of their own.
    values: BTreeMap<&'m str, Known>,
    /// Every element type that is written anywhere.
    pub dtypes: std::collections::BTreeSet<i32>,
    nodes: Vec<&'m NodeProto>,
    weights: Vec<&'m TensorProto>,
}

impl<'m> Facts<'m> {
    pub(super) fn new(model: &'m ModelProto) -> Self {
        let opsets =
            model.opset_import.iter().map(|o| (domain(&o.domain), o.version)).collect::<BTreeMap<_, _>>();
        let (values, dtypes) = Default::default();
        let mut facts = Self { opsets, values, dtypes, nodes: Vec::new(), weights: Vec::new() };
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
        for weight in &graph.initializer {
            self.weight(&weight.name, weight);
        }
        for node in &graph.node {
            self.nodes.push(node);
            for attribute in &node.attribute {
                if let Some(tensor) = &attribute.t {
                    let name = node.output.first().filter(|_| node.op_type == "Constant");
                    self.weight(name.map_or("", |n| n.as_str()), tensor);
                }
                for inner in attribute.g.iter().chain(&attribute.graphs) {
                    self.graph(inner);
                }
            }
            if let Some(to) = int(node, "to").and_then(|to| i32::try_from(to).ok())
                && node.op_type == "Cast"
            {
                self.dtypes.insert(to);
                if let Some(output) = node.output.first() {
                    self.learn(output, Known { dtype: Some(to), rank: None });
                }
            }
        }
    }

    fn weight(&mut self, name: &'m str, tensor: &'m TensorProto) {
        self.weights.push(tensor);
        self.learn(name, Known { dtype: Some(tensor.data_type), rank: Some(tensor.dims.len()) });
    }

    fn learn(&mut self, name: &'m str, known: Known) {
        self.dtypes.extend(known.dtype);
        let old = self.values.entry(name).or_default();
        old.dtype = old.dtype.or(known.dtype);
        old.rank = old.rank.or(known.rank);
    }

    /// All nodes, those of inner graphs included.
    pub(super) fn nodes(&self) -> &[&'m NodeProto] {
        &self.nodes
    }

    /// What is known of a node's input.
    fn input(&self, node: &NodeProto, at: usize) -> Known {
        let name = node.input.get(at).filter(|n| !n.is_empty());
        name.and_then(|n| self.values.get(n.as_str())).copied().unwrap_or_default()
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

fn float(node: &NodeProto, name: &str) -> Option<f32> {
    attribute(node, name).map(|a| a.f)
}

fn text<'n>(node: &'n NodeProto, name: &str) -> &'n [u8] {
    attribute(node, name).map_or(b"", |a| a.s.as_slice())
}
