//! Element types of everything in a graph, from those of the weights.
//!
//! Most operators take and give one type; the exceptions are here. It is not a set of casts that a
//! caller could rely on: MXNet refuses a type that differs from the one inferred.

use crate::model::contract::DType;
use crate::model::format::mxnet::numpy;
use crate::model::format::mxnet::params::DTYPES;
use crate::model::format::mxnet::rules::{Kind, kind};
use crate::model::format::mxnet::shapes::Values;
use crate::model::format::mxnet::symbol::{Node, Symbol};

/// How often the graph is walked at most.
const MAX_WALKS: usize = 8;

/// Types that arithmetic with others of the same leaves alone.
const FRACTIONS: &[DType] = &[DType::Float16, DType::Float32, DType::Float64];

/// The type with MXNet's number or name.
pub(super) fn of(text: &str) -> Option<DType> {
    let name = match text.parse::<usize>() {
        Ok(number) => DTYPES.get(number)?.0,
        Err(_) => text,
    };
    name.parse().ok()
}

/// Which inputs and outputs of an operator have one type, and what its outputs have in any case.
struct Rule {
    inputs: std::ops::Range<usize>,
    outputs: bool,
    /// Whether one type goes out only where all that go in have it and it is one of fractions, as in numpy.
    numpy: bool,
    fixed: Option<DType>,
}

fn rule(node: &Node) -> Option<Rule> {
    let all = |n: usize| Some(Rule { inputs: 0..n, outputs: true, numpy: false, fixed: None });
    let written = |default| node.text("dtype").map_or(Some(default), of);
    let float = Some(DType::Float32);
    if let Some(name) = numpy::name(&node.op) {
        let fixed = match name {
            "cast" | "zeros" | "ones" | "full_like" => node.text("dtype").and_then(of),
            _ => numpy::fixed(name),
        };
        let carried = fixed.is_none() && kind(&node.op) != Kind::Unknown && name != "cast";
        let inputs = if carried { node.inputs.len() } else { 0 };
        let from = if name == "where" { 1 } else { 0 };
        return Some(Rule { inputs: from..inputs.max(from), outputs: false, numpy: true, fixed });
    }
    match node.op.as_str() {
        "Cast" | "amp_cast" => {
            Some(Rule { inputs: 0..0, outputs: false, numpy: false, fixed: node.text("dtype").and_then(of) })
        }
        // Scale and shift stay float32 where the data is float16.
        "BatchNorm"
        | "BatchNorm_v1"
        | "CuDNNBatchNorm"
        | "_contrib_SyncBatchNorm"
        | "InstanceNorm"
        | "GroupNorm" => all(1),
        // The other inputs are labels, lengths, indices, which have types of their own.
        "SoftmaxOutput"
        | "Softmax"
        | "SVMOutput"
        | "LinearRegressionOutput"
        | "LogisticRegressionOutput"
        | "MAERegressionOutput"
        | "softmax"
        | "log_softmax"
        | "softmin"
        | "pick"
        | "take"
        | "SequenceMask"
        | "SequenceLast"
        | "SequenceReverse"
        | "CTCLoss"
        | "broadcast_like"
        | "reshape_like"
        | "slice_like" => all(1),
        "where" => Some(Rule { inputs: 1..3, outputs: true, numpy: false, fixed: None }),
        "gather_nd" | "_contrib_arange_like" => all(1),
        "ROIPooling" | "_contrib_ROIAlign" => all(2),
        "_image_to_tensor" => Some(Rule { inputs: 0..0, outputs: false, numpy: false, fixed: float }),
        "Embedding" | "_contrib_SparseEmbedding" => {
            Some(Rule { inputs: 1..2, outputs: true, numpy: false, fixed: None })
        }
        "one_hot" | "argsort" => {
            Some(Rule { inputs: 0..0, outputs: false, numpy: false, fixed: written(DType::Float32) })
        }
        "argmax" | "argmin" | "argmax_channel" => {
            Some(Rule { inputs: 0..0, outputs: false, numpy: false, fixed: float })
        }
        "topk" => match node.text("ret_typ") {
            Some("value" | "mask") => all(1),
            None | Some("indices") => {
                Some(Rule { inputs: 0..0, outputs: false, numpy: false, fixed: written(DType::Float32) })
            }
            Some(_) => None,
        },
        "shape_array" | "size_array" => {
            Some(Rule { inputs: 0..0, outputs: false, numpy: false, fixed: Some(DType::Int64) })
        }
        "_zeros" | "_ones" | "_full" | "_random_uniform" | "_random_normal" => {
            Some(Rule { inputs: 0..0, outputs: false, numpy: false, fixed: written(DType::Float32) })
        }
        "norm" if node.text("out_dtype").is_some() => None,
        op => match kind(op) {
            Kind::Unknown => None,
            Kind::Same if node.inputs.len() > 1 => all(1),
            _ => all(node.inputs.len()),
        },
    }
}

/// Walks the graph both ways until nothing changes; `None` where two types meet that should be one.
pub(super) fn settle(symbol: &Symbol, types: &mut Values<Option<DType>>) -> Option<()> {
    for _ in 0..MAX_WALKS {
        let mut changed = false;
        for i in (0..symbol.nodes.len()).chain((0..symbol.nodes.len()).rev()) {
            let node = &symbol.nodes[i];
            if node.op == "topk" && node.text("ret_typ") == Some("both") {
                // Values have the type of the data, indices one of their own.
                let data = node.inputs.first().and_then(|e| *types.get(*e));
                for (k, one) in [(0, data), (1, node.text("dtype").map_or(Some(DType::Float32), of))] {
                    if let Some(one) = one.filter(|_| types.outputs(i).contains(&k)) {
                        changed |= meet(types.get_mut((i, k)), one)?;
                    }
                }
                continue;
            }
            let Some(rule) = (if node.is_variable() { None } else { rule(node) }) else { continue };
            let outputs: Vec<usize> = types.outputs(i).to_vec();
            if let Some(fixed) = rule.fixed {
                for k in &outputs {
                    changed |= meet(types.get_mut((i, *k)), fixed)?;
                }
            }
            let inputs =
                node.inputs.get(rule.inputs.start..rule.inputs.end.min(node.inputs.len())).unwrap_or(&[]);
            if rule.numpy {
                let mut given = inputs.iter().map(|e| *types.get(*e));
                let first = given.next().flatten().filter(|d| FRACTIONS.contains(d));
                if let Some(first) = first.filter(|f| given.all(|d| d == Some(*f))) {
                    for k in &outputs {
                        changed |= meet(types.get_mut((i, *k)), first)?;
                    }
                }
                continue;
            }
            let mut one = inputs.iter().find_map(|e| *types.get(*e));
            if rule.outputs {
                one = one.or_else(|| outputs.iter().find_map(|k| *types.get((i, *k))));
            }
            let Some(one) = one else { continue };
            for entry in inputs {
                changed |= meet(types.get_mut(*entry), one)?;
            }
            if rule.outputs {
                for k in outputs {
                    changed |= meet(types.get_mut((i, k)), one)?;
                }
            }
        }
        if !changed {
            break;
        }
    }
    Some(())
}

fn meet(into: &mut Option<DType>, from: DType) -> Option<bool> {
    match into {
        None => {
            *into = Some(from);
            Some(true)
        }
        Some(known) => (*known == from).then_some(false),
    }
}
