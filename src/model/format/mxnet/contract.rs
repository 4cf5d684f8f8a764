//! What goes in and out of a graph.
//!
//! An input is a variable that has no weight of its name; a variable that only a loss compares with
//! (a label) is one of training and not of serving. Outputs are what the graph names as heads, called
//! as `Symbol.list_outputs` of MXNet calls them (nnvm `Symbol::ListOutputNames`).

use std::collections::BTreeMap;

use crate::model::contract::{Contract, DType, Known, Provenance, Signature, Tensor};
use crate::model::format::mxnet::dtypes;
use crate::model::format::mxnet::params::Array;
use crate::model::format::mxnet::rules::{Kind, kind};
use crate::model::format::mxnet::shapes::{Shape, Values, settle};
use crate::model::format::mxnet::symbol::{Node, Symbol};

/// The most outputs that are told.
pub(super) const MAX_OUTPUTS: usize = 10_000;

/// The contract of a graph and what else its making told.
#[derive(Debug, Default)]
pub(super) struct Made {
    /// The contract.
    pub contract: Contract,
    /// Variables that only losses compare with.
    pub labels: Vec<String>,
    /// Whether weights and graph contradict each other.
    pub clash: bool,
}

/// Makes the contract from the graph, the weights by name (`None` where there are none), and shapes
/// of inputs that a file beside them gives.
pub(super) fn make(
    symbol: &Symbol,
    weights: Option<&BTreeMap<&str, &Array>>,
    given: &BTreeMap<String, Shape>,
) -> Made {
    let variables = variables(symbol, weights);
    let is_input = |i: usize| variables[i] == Some(Role::Input);
    let mut shapes: Values<Shape> = Values::new(symbol);
    let mut types: Values<Option<DType>> = Values::new(symbol);
    for (i, node) in symbol.nodes.iter().enumerate().filter(|(_, n)| n.is_variable()) {
        let weight = weights.and_then(|w| w.get(node.name.as_str()));
        *shapes.get_mut((i, 0)) = match weight {
            Some(w) => w.shape.as_ref().map(|s| s.iter().copied().map(Some).collect()),
            None => given.get(&node.name).cloned().unwrap_or_else(|| written_shape(node)),
        };
        *types.get_mut((i, 0)) = match weight {
            Some(w) => w.dtype.and_then(|d| d.parse().ok()),
            None => node.text("__dtype__").and_then(dtypes::of),
        };
    }
    let stored: Vec<bool> = (0..symbol.nodes.len()).map(|i| shapes.get((i, 0)).is_some()).collect();
    let start = shapes.clone();
    let mut clash = settle(symbol, &mut shapes).is_err();
    if clash {
        shapes = start;
    }
    let certain = shapes.clone();
    if !clash {
        assume_rows(symbol, &is_input, &mut shapes);
    }
    let before = types.clone();
    if dtypes::settle(symbol, &mut types).is_none() {
        types = before;
        clash = true;
    }
    let tensor = |name: String, known: Known, entry: (usize, usize), stored: bool| {
        let (dtype, shape) = (*types.get(entry), shapes.get(entry).clone());
        let mut t = Tensor::new(name, dtype, shape, Known::Derived);
        let shape = match &t.shape {
            None => Known::Unknown,
            Some(_) if stored => Known::Stored,
            Some(_) if certain.get(entry) != shapes.get(entry) => Known::Convention,
            Some(_) => Known::Derived,
        };
        let dtype = if t.dtype.is_none() { Known::Unknown } else { Known::Derived };
        t.known = Provenance { name: known, dtype, shape };
        t
    };
    let inputs = (0..symbol.nodes.len()).filter(|i| is_input(*i));
    // Without weights, which of the variables are weights follows from where they are used.
    let known = if weights.is_some() { Known::Stored } else { Known::Derived };
    let mut inputs: Vec<Tensor> =
        inputs.map(|i| tensor(symbol.nodes[i].name.clone(), known, (i, 0), stored[i])).collect();
    let mut outputs: Vec<Tensor> = Vec::new();
    let widest = widest_outputs(symbol);
    for entry in symbol.heads.iter().take(MAX_OUTPUTS) {
        let (name, known) = output_name(&symbol.nodes[entry.0], entry.1, widest[entry.0]);
        outputs.push(tensor(name, known, *entry, false));
    }
    for side in [&mut inputs, &mut outputs] {
        let mut seen = std::collections::BTreeSet::new();
        side.retain(|t| seen.insert(t.name.clone()));
    }
    let labels = symbol.nodes.iter().enumerate().filter(|(i, _)| variables[*i] == Some(Role::Label));
    let labels = labels.map(|(_, n)| n.name.clone()).collect();
    let signature = Signature { name: "forward".to_owned(), known: Known::Convention, inputs, outputs };
    Made { contract: Contract { signatures: vec![signature] }, labels, clash }
}

/// What a variable is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Input,
    Label,
    Weight,
}

/// The role of each node that is a variable.
fn variables(symbol: &Symbol, weights: Option<&BTreeMap<&str, &Array>>) -> Vec<Option<Role>> {
    let n = symbol.nodes.len();
    // Whether all that a node gives is compared with by losses, or is a weight of a layer.
    let (mut used, mut only_label, mut only_weight) = (vec![false; n], vec![true; n], vec![true; n]);
    for (head, _) in &symbol.heads {
        (only_label[*head], only_weight[*head]) = (false, false);
    }
    for (i, node) in symbol.nodes.iter().enumerate().rev() {
        for (slot, (from, _)) in node.inputs.iter().enumerate() {
            used[*from] = true;
            only_label[*from] &= is_label_slot(&node.op, slot) || (used[i] && only_label[i]);
            only_weight[*from] &= is_weight_slot(&node.op, slot) || (used[i] && only_weight[i]);
        }
    }
    let has_loss = symbol.nodes.iter().any(|n| matches!(n.op.as_str(), "MakeLoss" | "make_loss"));
    let role = |(i, node): (usize, &Node)| {
        if !node.is_variable() {
            return None;
        }
        Some(match weights {
            Some(w) if w.contains_key(node.name.as_str()) => Role::Weight,
            _ if used[i] && only_label[i] => Role::Label,
            _ if has_loss && node.name.ends_with("_label") => Role::Label,
            None if used[i] && only_weight[i] => Role::Weight,
            _ => Role::Input,
        })
    };
    symbol.nodes.iter().enumerate().map(role).collect()
}

fn is_label_slot(op: &str, slot: usize) -> bool {
    const LOSSES: &[&str] = &[
        "CTCLoss",
        "LinearRegressionOutput",
        "LogisticRegressionOutput",
        "MAERegressionOutput",
        "SVMOutput",
        "Softmax",
        "SoftmaxOutput",
        "_contrib_CTCLoss",
        "softmax_cross_entropy",
    ];
    slot == 1 && LOSSES.contains(&op)
}

fn is_weight_slot(op: &str, slot: usize) -> bool {
    match op {
        "FullyConnected"
        | "Convolution"
        | "Convolution_v1"
        | "Deconvolution"
        | "Embedding"
        | "_contrib_SparseEmbedding"
        | "BatchNorm"
        | "BatchNorm_v1"
        | "CuDNNBatchNorm"
        | "_contrib_SyncBatchNorm"
        | "LayerNorm"
        | "InstanceNorm"
        | "GroupNorm"
        | "LeakyReLU" => slot >= 1,
        "RNN" => slot == 1,
        "_contrib_DeformableConvolution" => slot >= 2,
        "IdentityAttachKLSparseReg" => slot == 1,
        "_rnn_param_concat" => true,
        _ => false,
    }
}

/// The shape that a variable was made with; 0 and -1 are dimensions that were to be inferred.
fn written_shape(node: &Node) -> Shape {
    let dims = node.ints("__shape__").filter(|s| !s.is_empty())?;
    Some(dims.into_iter().map(|d| u64::try_from(d).ok().filter(|d| *d > 0)).collect())
}

/// A layer that flattens its data takes rows of numbers, unless something else is known of them.
fn assume_rows(symbol: &Symbol, is_input: &dyn Fn(usize) -> bool, shapes: &mut Values<Shape>) {
    let mut plain = vec![false; symbol.nodes.len()];
    let mut assumed = shapes.clone();
    let mut any = false;
    for (i, node) in symbol.nodes.iter().enumerate() {
        let Some(data) = node.inputs.first() else {
            plain[i] = is_input(i);
            continue;
        };
        let each = matches!(kind(&node.op), Kind::Same | Kind::Alike | Kind::Broadcast)
            || matches!(node.op.as_str(), "BatchNorm" | "LeakyReLU");
        plain[i] = each && plain[data.0];
        if node.op == "FullyConnected" && node.flag("flatten", true) == Some(true) && plain[data.0] {
            let width =
                node.inputs.get(1).and_then(|w| shapes.get(*w).as_ref()).and_then(|w| w.get(1).copied());
            let slot = assumed.get_mut(*data);
            if let (None, Some(Some(width))) = (&slot, width) {
                *slot = Some(vec![None, Some(width)]);
                any = true;
            }
        }
    }
    if any && settle(symbol, &mut assumed).is_ok() {
        *shapes = assumed;
    }
}

/// The highest output that is used of each node.
fn widest_outputs(symbol: &Symbol) -> Vec<usize> {
    let mut widest = vec![0; symbol.nodes.len()];
    for (node, output) in symbol.nodes.iter().flat_map(|n| &n.inputs).chain(&symbol.heads) {
        widest[*node] = widest[*node].max(*output);
    }
    widest
}

/// The name of an output of a node.
fn output_name(node: &Node, output: usize, widest: usize) -> (String, Known) {
    if node.is_variable() {
        return (node.name.clone(), Known::Stored);
    }
    let named: &[&str] = match node.op.as_str() {
        "BatchNorm" | "BatchNorm_v1" | "CuDNNBatchNorm" | "_contrib_SyncBatchNorm" | "InstanceNorm" => {
            &["output", "mean", "var"]
        }
        "make_loss" => &["loss"],
        "LayerNorm" | "GroupNorm" => &["output", "mean", "std"],
        "LeakyReLU" | "Dropout" => &["output", "mask"],
        "RNN" => &["output", "state_output", "statecell_output"],
        "_contrib_MultiBoxTarget" => &["loc_target", "loc_mask", "cls_target"],
        "_contrib_Proposal" | "_contrib_MultiProposal" => &["output", "score"],
        "L2Normalization" => &["output", "norm"],
        "_npi_concatenate" | "_npi_dstack" | "_npi_hstack" | "_npi_matmul" => &["out"],
        "_npi_std" => &["std", "mean"],
        "_npi_var" => &["var", "mean"],
        "_contrib_calibrate_entropy" => &["threshold", "divergence"],
        "_contrib_hawkesll" => &["output", "out_state"],
        "_contrib_quantize_asym" => &["output", "scale", "shift"],
        op if op.starts_with("_contrib_quantized_") => &["output", "min_output", "max_output"],
        _ => &[],
    };
    let several = match node.op.as_str() {
        "SliceChannel"
        | "_split_v2"
        | "sort"
        | "CTCLoss"
        | "_contrib_CTCLoss"
        | "_contrib_box_nms"
        | "moments"
        | "amp_multicast"
        | "_contrib_quantize"
        | "_contrib_quantize_v2"
        | "_contrib_requantize"
        | "_contrib_box_encode"
        | "_contrib_bipartite_matching"
        | "_histogram"
        | "_linalg_det"
        | "_linalg_gelqf"
        | "_linalg_syevd"
        | "_linalg_slogdet"
        | "_npi_average"
        | "_npi_eig"
        | "_npi_eigh"
        | "_npi_exponential"
        | "_npi_histogram"
        | "_npi_hsplit"
        | "_npi_norm"
        | "_npi_pareto"
        | "_npi_rayleigh"
        | "_npi_slogdet"
        | "_npi_split"
        | "_npi_svd"
        | "_npi_weibull" => true,
        "topk" => matches!(node.text("ret_typ"), Some("both" | "value")),
        _ => widest > 0,
    };
    let suffix = match named.get(output) {
        Some(name) => (*name).to_owned(),
        None if several => format!("output{output}"),
        None => "output".to_owned(),
    };
    // Such an operator is Python code, which names its outputs itself.
    let known = if node.op == "Custom" { Known::Unknown } else { Known::Stored };
    if node.name.is_empty() { (suffix, known) } else { (format!("{}_{suffix}", node.name), known) }
}
