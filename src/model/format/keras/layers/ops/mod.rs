//! Operations of Keras 3 that stand in a graph without being layers: `x + y`, `ops.reshape(x, …)`.
//!
//! Their arguments are those of the call; what the constructor was given is the configuration. The
//! rules are those of `compute_output_spec` (keras/src/ops), checked by ending a model in each
//! (`testdata/models/make/keras_ops.py`). Operations that are not named here tell nothing.

pub(super) mod arrays;
pub(super) mod elementwise;
mod operand;
pub(super) mod products;
mod signals;

pub(super) use operand::extent;

use crate::model::format::keras::config::Layer;
use crate::model::format::keras::layers::{Ctx, is_float};
use crate::model::format::keras::spec::{Args, Spec};

pub(super) fn apply(ctx: &Ctx, layer: &Layer<'_>, args: &Args<'_>) -> Option<Vec<Spec>> {
    match layer.class {
        "Where" => elementwise::chosen(ctx, args),
        "Moments" => Some(elementwise::moments(layer, &args.first())),
        "Quantile" | "Percentile" | "Nanquantile" | "Nanpercentile" => {
            elementwise::quantile(ctx, layer, args)
        }
        _ => elementwise::binary(ctx, layer, args)
            .or_else(|| arrays::apply(ctx, layer, args))
            .or_else(|| signals::apply(ctx, layer, args))
            .or_else(|| elementwise::unary(ctx, layer, args)),
    }
}
