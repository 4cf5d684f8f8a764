//! What each layer makes of its inputs: shapes and dtypes, by the rules of Keras 1, 2 and 3.
//!
//! A rule that is not certain tells nothing. Rules are checked against the framework for every layer
//! class (`testdata/models/make/keras_all.py`). Nothing here knows of graphs; a model that is a layer
//! of another one is given back to [`graph`](super::graph).
//!
//! Invariant: a rule never invents a dimension. What it cannot tell is `None`, a shape too.

mod conv;
mod functions;
mod lookup;
mod merge;
mod ops;
mod recurrent;
mod reshape;
mod slice;

use std::cell::Cell;

use crate::model::contract::{DType, Encoding, Shape};
use crate::model::format::keras::config::{self, Layer, Policy};
use crate::model::format::keras::graph;
use crate::model::format::keras::spec::{Args, Spec};

/// How many calls of layers are followed in one model; models in models may multiply them.
const MAX_STEPS: usize = 200_000;
/// How deep layers may lie in layers.
const MAX_NESTED: usize = 24;

/// What holds for the whole file.
pub(super) struct Ctx {
    /// Keras 1, 2 or 3.
    pub(super) keras: u8,
    /// Whether it is Keras as TensorFlow 2 has it, or later: layers cast the floats that they are
    /// given, and shapes are those that TensorFlow computes.
    pub(super) autocast: bool,
    /// Whether layers that prepare images always compute in their own dtype (from Keras 2.9 on).
    pub(super) images_cast: bool,
    /// Whether it is before Keras 2.2, where chains were another kind of model.
    pub(super) early: bool,
    /// The dtype of layers that name none.
    pub(super) floatx: Option<DType>,
    /// The second number of the version of Keras, or the least that it can be.
    pub(super) minor: u32,
    steps: Cell<usize>,
    depth: Cell<usize>,
}

impl Ctx {
    pub(super) fn new(
        keras: u8,
        autocast: bool,
        images_cast: bool,
        early: bool,
        floatx: Option<DType>,
        minor: u32,
    ) -> Self {
        let (steps, depth) = (Cell::new(0), Cell::new(0));
        Self { keras, autocast, images_cast, early, floatx, minor, steps, depth }
    }

    /// Whether a limit was reached, after which nothing more is known.
    pub(super) fn exhausted(&self) -> bool {
        self.steps.get() >= MAX_STEPS
    }

    /// Counts layers that are gone through for one call of a model.
    pub(super) fn pay(&self, layers: usize) {
        self.steps.set(self.steps.get().saturating_add(layers));
    }

    fn policy(&self, layer: &Layer<'_>) -> Option<Policy> {
        match layer.get("dtype") {
            Some(value) => config::policy(value),
            None => self.floatx.map(|d| Policy { compute: d, variable: d }),
        }
    }

    /// In what a layer computes.
    fn compute(&self, layer: &Layer<'_>) -> Option<DType> {
        self.policy(layer).map(|p| p.compute)
    }

    /// The dtype that a tensor has when a layer has taken it.
    fn cast(&self, layer: &Layer<'_>, dtype: Option<DType>) -> Option<DType> {
        if self.autocast && dtype.is_some_and(is_float) { self.compute(layer) } else { dtype }
    }

    /// The dtype of a layer that does the same for all numbers: Keras 3 says that they are what the
    /// layer computes in, before it they stay what they are.
    fn through(&self, layer: &Layer<'_>, dtype: Option<DType>) -> Option<DType> {
        if self.keras >= 3 { self.compute(layer) } else { self.cast(layer, dtype) }
    }
}

pub(super) fn is_float(d: DType) -> bool {
    matches!(d, DType::Float16 | DType::BFloat16 | DType::Float32 | DType::Float64)
}

fn one(shape: Option<Shape>, dtype: Option<DType>) -> Vec<Spec> {
    vec![Spec::new(shape, dtype)]
}

/// What a layer gives for a call, one after the other; empty where nothing is known of it.
pub(super) fn apply(ctx: &Ctx, layer: &Layer<'_>, args: &Args<'_>) -> Vec<Spec> {
    let (steps, depth) = (ctx.steps.get(), ctx.depth.get());
    if steps >= MAX_STEPS || depth >= MAX_NESTED {
        return Vec::new();
    }
    ctx.steps.set(steps + 1);
    ctx.depth.set(depth + 1);
    let out = if graph::is_model(layer) {
        graph::call(ctx, layer, args)
    } else {
        rule(ctx, layer, args).unwrap_or_default()
    };
    ctx.depth.set(depth);
    out
}

/// The rule of a class; `None` where there is none, or where it does not hold.
fn rule(ctx: &Ctx, layer: &Layer<'_>, args: &Args<'_>) -> Option<Vec<Spec>> {
    let x = args.first();
    // Rows of different lengths and coordinates go through few layers unchanged.
    if x.encoding != Encoding::Dense {
        return ragged(ctx, layer, &x);
    }
    if is_operation(ctx, layer) {
        return ops::apply(ctx, layer, args);
    }
    Some(match layer.class {
        "InputLayer" => vec![x],
        "Activation"
        | "ReLU"
        | "LeakyReLU"
        | "ELU"
        | "PReLU"
        | "Softmax"
        | "ThresholdedReLU"
        | "Dropout"
        | "AlphaDropout"
        | "GaussianDropout"
        | "GaussianNoise"
        | "ActivityRegularization"
        | "Masking"
        | "SpatialDropout1D"
        | "SpatialDropout2D"
        | "SpatialDropout3D"
        | "SReLU"
        | "ParametricSoftplus" => one(x.shape, ctx.through(layer, x.dtype)),
        "Swish"
        | "Highway"
        | "BatchNormalization"
        | "SyncBatchNormalization"
        | "BatchNormalizationV1"
        | "LayerNormalization"
        | "RMSNormalization"
        | "GroupNormalization"
        | "UnitNormalization" => {
            let x_dtype = ctx.cast(layer, x.dtype);
            // On whole numbers Keras 2 fails or computes on in ways of its own.
            let dtype = if ctx.keras >= 3 || x_dtype.is_some_and(is_float) {
                ctx.through(layer, x_dtype)
            } else {
                None
            };
            one(x.shape, dtype)
        }
        "TFOpLambda" | "SlicingOpLambda" => return functions::apply(layer, args),
        "Identity" => one(x.shape, ctx.cast(layer, x.dtype)),
        "Dense" | "TimeDistributedDense" | "MaxoutDense" => {
            let units = layer.size("units").or_else(|| layer.size("output_dim"));
            let shape = x.shape.filter(|s| !s.is_empty()).map(|mut s| {
                *s.last_mut().expect("it is not empty") = units;
                s
            });
            one(shape, ctx.compute(layer))
        }
        "Embedding" | "ReversibleEmbedding" => reshape::embedding(ctx, layer, args, &x),
        "Lambda" => reshape::lambda(ctx, layer, &x),
        "SpectralNormalization" | "WeightNormalization" => {
            let inner = layer.inner("layer")?;
            let mut out = apply(ctx, &inner, args);
            if ctx.keras >= 3 {
                out.iter_mut().for_each(|o| o.dtype = ctx.compute(layer));
            }
            out
        }
        _ => {
            return reshape::apply(ctx, layer, &x)
                .or_else(|| conv::apply(ctx, layer, &x))
                .or_else(|| merge::apply(ctx, layer, args))
                .or_else(|| recurrent::apply(ctx, layer, args))
                .or_else(|| lookup::apply(ctx, layer, args))
                .or_else(|| {
                    // Without modules a class of the author's own may have any name; it is a layer.
                    let operation = ctx.keras >= 3 && layer.config.get("trainable").is_none();
                    if operation { ops::apply(ctx, layer, args) } else { None }
                });
        }
    })
}

/// Whether it is an operation that has no weights and no settings of a layer; they share names.
fn is_operation(ctx: &Ctx, layer: &Layer<'_>) -> bool {
    match layer.raw.get("module").and_then(|m| m.as_str()) {
        Some(module) => module.starts_with("keras.src.ops") || module.starts_with("keras.ops"),
        // HDF5 files of Keras 3 name no modules, and of these names there are layers too.
        None => {
            ctx.keras >= 3
                && layer.config.get("trainable").is_none()
                && matches!(
                    layer.class,
                    "Add"
                        | "Subtract"
                        | "Multiply"
                        | "Maximum"
                        | "Minimum"
                        | "Average"
                        | "Concatenate"
                        | "Dot"
                        | "Softmax"
                        | "Reshape"
                        | "Identity"
                )
        }
    }
}

/// What the few layers do that take other encodings.
fn ragged(ctx: &Ctx, layer: &Layer<'_>, x: &Spec) -> Option<Vec<Spec>> {
    match layer.class {
        "InputLayer" => Some(vec![x.clone()]),
        // The one thing that is done with coordinates everywhere: they become dense.
        "Dense" if x.encoding == Encoding::Sparse && x.rank() == Some(2) => {
            let shape = x.shape.as_ref().map(|s| vec![s[0], layer.size("units")]);
            Some(one(shape, ctx.compute(layer)))
        }
        // Rows of different lengths go through as they are, or become one row of numbers each.
        "Embedding" if x.encoding == Encoding::Ragged => {
            let shape = x.shape.as_ref().map(|s| [&s[..], &[layer.size("output_dim")]].concat());
            Some(vec![Spec { shape, dtype: ctx.compute(layer), encoding: Encoding::Ragged }])
        }
        "LSTM" | "GRU" | "SimpleRNN" if x.encoding == Encoding::Ragged && !layer.flag("return_sequences") => {
            let dense = Spec { encoding: Encoding::Dense, ..x.clone() };
            recurrent::apply(ctx, layer, &Args::one(dense))
        }
        "GlobalAveragePooling1D" if x.encoding == Encoding::Ragged => {
            let dense = Spec { encoding: Encoding::Dense, ..x.clone() };
            conv::apply(ctx, layer, &dense)
        }
        _ => None,
    }
}
