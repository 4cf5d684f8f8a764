//! Which rule an operator follows.
//!
//! Names are those that MXNet writes into graphs, which are not always the ones of its Python
//! interface; those of older versions are here too. Layers of networks are in `layers.rs`, what only
//! moves and folds dimensions in `arrays.rs`.

use crate::model::format::mxnet::shapes::{Result, Step};
use crate::model::format::mxnet::{arrays, cuts, images, layers, numpy};

/// What an operator does with shapes and types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Each element for itself: the first output is as the first input.
    Same,
    /// All inputs and the output are alike.
    Alike,
    /// Two inputs, of which dimensions of one are stretched.
    Broadcast,
    /// A layer of a network.
    Layer,
    /// Dimensions are moved, folded or cut.
    Array,
    /// Not known.
    Unknown,
}

/// The kind of an operator.
pub(super) fn kind(op: &str) -> Kind {
    if let Some(name) = numpy::name(op) {
        numpy::kind(name)
    } else if SAME.contains(&op) || op.ends_with("_scalar") || op.ends_with("Scalar") {
        Kind::Same
    } else if ALIKE.contains(&op) {
        Kind::Alike
    } else if layers::NAMES.contains(&op) || images::NAMES.contains(&op) {
        Kind::Layer
    } else if arrays::NAMES.contains(&op) {
        Kind::Array
    } else if op.starts_with("broadcast_") {
        Kind::Broadcast
    } else {
        Kind::Unknown
    }
}

/// Whether an operator of the old interface works on each element for itself.
pub(super) fn is_elementwise(op: &str) -> bool {
    SAME.contains(&op)
}

/// Applies the rule of an operator.
pub(super) fn apply(step: &mut Step<'_>) -> Result<()> {
    match kind(&step.node.op) {
        Kind::Same => step.same(0, 0),
        Kind::Alike => alike(step),
        Kind::Broadcast => broadcast(step),
        Kind::Layer if images::NAMES.contains(&step.node.op.as_str()) => images::apply(step),
        Kind::Layer => layers::apply(step),
        Kind::Array => match numpy::name(&step.node.op) {
            Some("transpose") => arrays::transpose(step),
            Some("swapaxes") => arrays::swap(step),
            Some("expand_dims") => arrays::expand(step),
            Some("stack") => cuts::stack(step),
            Some(name) => numpy::apply(step, name),
            None => arrays::apply(step),
        },
        Kind::Unknown => Ok(()),
    }
}

fn alike(step: &mut Step<'_>) -> Result<()> {
    // Once into the output, once back out of it.
    for _ in 0..2 {
        for i in 0..step.inputs() {
            step.same(i, 0)?;
        }
    }
    Ok(())
}

fn broadcast(step: &mut Step<'_>) -> Result<()> {
    let (Some(a), Some(b)) = (step.input(0), step.input(1)) else { return Ok(()) };
    let rank = a.len().max(b.len());
    let at = |s: &[Option<u64>], i: usize| (i + s.len()).checked_sub(rank).map_or(Some(1), |i| s[i]);
    let dims = (0..rank).map(|i| match (at(&a, i), at(&b, i)) {
        (Some(1), d) | (d, Some(1)) => d,
        (Some(d), _) | (_, Some(d)) => Some(d),
        (None, None) => None,
    });
    let dims = dims.collect();
    step.set_output(0, dims)
}

const ALIKE: &[&str] = &[
    "ElementWiseSum",
    "_Div",
    "_Maximum",
    "_Minimum",
    "_Minus",
    "_Mul",
    "_Plus",
    "_Power",
    "_equal",
    "_grad_add",
    "_greater",
    "_greater_equal",
    "_hypot",
    "_lesser",
    "_lesser_equal",
    "_logical_and",
    "_logical_or",
    "_logical_xor",
    "_maximum",
    "_minimum",
    "_mod",
    "_not_equal",
    "_power",
    "add_n",
    "elemwise_add",
    "elemwise_div",
    "elemwise_mul",
    "elemwise_sub",
];

const SAME: &[&str] = &[
    "Activation",
    "BlockGrad",
    "Cast",
    "Dropout",
    "IdentityAttachKLSparseReg",
    "L2Normalization",
    "LRN",
    "LinearRegressionOutput",
    "LogisticRegressionOutput",
    "MAERegressionOutput",
    "MakeLoss",
    "SVMOutput",
    "SequenceMask",
    "SequenceReverse",
    "Softmax",
    "SoftmaxActivation",
    "SoftmaxOutput",
    "_contrib_box_nms",
    "_contrib_div_sqrt_dim",
    "_contrib_gradientmultiplier",
    "_contrib_index_copy",
    "_contrib_quadratic",
    "_contrib_round_ste",
    "_contrib_sign_ste",
    "_copy",
    "_shuffle",
    "abs",
    "amp_cast",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctanh",
    "cast_storage",
    "cbrt",
    "ceil",
    "clip",
    "cos",
    "cosh",
    "degrees",
    "digamma",
    "erf",
    "erfinv",
    "exp",
    "expm1",
    "fix",
    "floor",
    "gamma",
    "gammaln",
    "hard_sigmoid",
    "log",
    "log10",
    "log1p",
    "log2",
    "log_sigmoid",
    "log_softmax",
    "logical_not",
    "make_loss",
    "mish",
    "negative",
    "ones_like",
    "radians",
    "rcbrt",
    "reciprocal",
    "relu",
    "reverse",
    "rint",
    "round",
    "rsqrt",
    "sigmoid",
    "sign",
    "sin",
    "sinh",
    "smooth_l1",
    "softmax",
    "softmin",
    "softsign",
    "sqrt",
    "square",
    "tan",
    "tanh",
    "trunc",
    "zeros_like",
];
