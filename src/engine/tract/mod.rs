//! tract, with the shapes of a request symbolic where it can, and fixed where it must.
//!
//! [`Symbolic`] holds one plan for all shapes, [`Fixed`] a few plans, one for each set of shapes that
//! was asked for lately. tract computes a request in the thread that asks; it starts none.
//!
//! Invariant: an output has the dtype that its port says, or the run fails.

mod convert;
mod fixed;

use std::path::Path;
use std::sync::Arc;

use tract_onnx::data_resolver::FopenDataResolver;
use tract_onnx::model::ParseResult;
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::{
    InferenceFact, InferenceModel, InferenceModelExt, IntoRunnable, TValue, TVec, TypedRunnableModel,
};
use tract_onnx::tract_hir::infer::{DimFact, Factoid, ShapeFactoid};
use tract_onnx::tract_hir::internal::{SymbolValues, TDim, ToDim};
use tract_onnx::{Onnx, onnx};

use super::guard::line;
use super::{Backend, Failure, Tensor};
use crate::model::contract::{DType, Shape};

pub(super) use fixed::Fixed;

/// The library's name.
pub(super) const NAME: &str = "tract";

/// A graph that is ready to run.
type Plan = Arc<TypedRunnableModel>;

/// What tract found out about an output.
pub(super) struct Output {
    /// `None` where tract has a type that no tensor of a request can have.
    pub dtype: Option<DType>,
    pub shape: Shape,
}

/// tract's reader of ONNX models, with all operators that are known here.
pub(super) fn framework() -> Onnx {
    let mut framework = onnx().with_ignore_output_shapes(true).with_ignore_value_info(true);
    // Files are read, not mapped: one that shrinks meanwhile is an error then, not a signal.
    super::ml::register(&mut framework.op_register);
    framework.provider = Arc::new(FopenDataResolver);
    framework
}

/// Parses a model whose weights in other files were checked to lie in `folder`.
pub(super) fn parse(framework: &Onnx, proto: &ModelProto, folder: &Path) -> Result<InferenceModel, String> {
    let ParseResult { model, unresolved_inputs, .. } =
        framework.parse(proto, folder.to_str()).map_err(told)?;
    if unresolved_inputs.is_empty() {
        return Ok(model);
    }
    Err(line(&format!("nothing gives the values {}", unresolved_inputs.join(", "))))
}

/// An error of tract's with its causes, as one line.
fn told(e: impl Into<tract_onnx::prelude::TractError>) -> String {
    line(&format!("{:#}", e.into()))
}

/// Makes a graph ready to run.
fn plan(model: InferenceModel) -> Result<Plan, String> {
    let typed = model.into_typed().map_err(told)?;
    let plain = typed.into_decluttered().map_err(told)?;
    let plan = plain.into_optimized().and_then(IntoRunnable::into_runnable).map_err(told)?;
    alive(&plan)?;
    Ok(plan)
}

/// Refuses a plan with symbols that tract itself forgot: it would panic, or take any size for right.
fn alive(plan: &Plan) -> Result<(), String> {
    for node in plan.model().nodes() {
        let dims = node.outputs.iter().flat_map(|o| o.fact.shape.iter());
        if dims.flat_map(|d| d.symbols()).any(|s| s.scope().is_none()) {
            return Err(line(&format!("tract loses the size of what `{}` gives", node.name)));
        }
    }
    Ok(())
}

/// What tract found out about the outputs of a plan.
fn outputs(plan: &Plan) -> Result<Vec<Output>, String> {
    let model = plan.model();
    let outlets = model.output_outlets().map_err(told)?;
    let facts = outlets.iter().map(|o| {
        let fact = model.outlet_fact(*o).map_err(told)?;
        let shape = fact.shape.iter().map(|d| d.to_i64().ok().and_then(|n| u64::try_from(n).ok()));
        Ok(Output { dtype: convert::dtype(fact.datum_type), shape: shape.collect() })
    });
    facts.collect()
}

/// Runs a plan; the dtypes are those of the outputs' ports.
fn run(plan: &Plan, inputs: &[Tensor], dtypes: &[DType]) -> Result<Vec<Tensor>, Failure> {
    let values = || inputs.iter().map(convert::enter).collect::<Result<TVec<TValue>, Failure>>();
    let results = plan.run(values()?).map_err(|e| {
        // Whose fault it was shows when the inputs alone are looked at again.
        let state = plan.spawn().ok().zip(values().ok());
        match state.map(|(mut state, values)| state.set_inputs(values)) {
            Some(Err(e)) => Failure::Input(told(e)),
            _ => Failure::Engine(told(e)),
        }
    })?;
    if results.len() != dtypes.len() {
        let (got, want) = (results.len(), dtypes.len());
        return Err(Failure::Engine(format!("{want} outputs were expected, {got} were computed")));
    }
    let sizes = sizes(plan, inputs);
    results
        .into_iter()
        .zip(dtypes)
        .map(|(value, dtype)| convert::leave(&value, *dtype, &sizes).map_err(Failure::Engine))
        .collect()
}

/// The sizes that a plan's symbols have for these inputs; an output may be made of nothing else.
fn sizes(plan: &Plan, inputs: &[Tensor]) -> SymbolValues {
    let mut sizes = SymbolValues::default();
    let outlets = plan.model().input_outlets().unwrap_or_default();
    for (outlet, tensor) in outlets.iter().zip(inputs) {
        let Ok(fact) = plan.model().outlet_fact(*outlet) else { continue };
        for (dim, size) in fact.shape.iter().zip(tensor.shape()) {
            if let (TDim::Sym(symbol), Ok(size)) = (dim, i64::try_from(*size)) {
                sizes.set(symbol, size);
            }
        }
    }
    sizes
}

/// One plan for all shapes.
pub(super) struct Symbolic {
    plan: Plan,
    dtypes: Vec<DType>,
}

/// Which unnamed dimensions are thought to be the same.
#[derive(Clone, Copy, PartialEq)]
enum Unnamed {
    /// None.
    Apart,
    /// The first ones: the batch.
    Batch,
}

impl Symbolic {
    /// Makes a plan that does for all shapes of a parsed model's inputs.
    ///
    /// # Errors
    ///
    /// tract's reason, in one line, why it needs to know a shape.
    pub(super) fn new(model: &InferenceModel) -> Result<(Self, Vec<Output>), String> {
        let apart = symbolic(model, Unnamed::Apart).and_then(plan);
        // What does for one batch alone needs the batches to be the same.
        let plan = apart.or_else(|why| symbolic(model, Unnamed::Batch).and_then(plan).map_err(|_| why))?;
        let outputs = outputs(&plan)?;
        Ok((Self { plan, dtypes: Vec::new() }, outputs))
    }

    /// Sets the dtypes that the outputs must have.
    pub(super) fn giving(self, dtypes: Vec<DType>) -> Self {
        Self { dtypes, ..self }
    }
}

/// The model with a symbol for each dimension of an input that has no size and no name.
fn symbolic(model: &InferenceModel, unnamed: Unnamed) -> Result<InferenceModel, String> {
    let mut model = model.clone();
    let batch = model.symbols.new_with_prefix("batch");
    for at in 0..model.inputs.len() {
        let fact = model.input_fact(at).map_err(told)?.clone();
        if fact.shape.is_open() {
            return Err("the rank of an input is not known".into());
        }
        let dims = fact.shape.dims().enumerate().map(|(axis, dim)| {
            if dim.is_concrete() {
                return *Box::new(dim.clone());
            }
            let symbol = match unnamed {
                Unnamed::Batch if axis == 0 => batch.clone(),
                _ => model.symbols.new_with_prefix("dim"),
            };
            DimFact::from(symbol.to_dim())
        });
        let shape = ShapeFactoid::closed(dims.collect());
        let fact: InferenceFact = fact.with_shape(shape);
        model.set_input_fact(at, fact).map_err(told)?;
    }
    Ok(model)
}

impl Backend for Symbolic {
    fn name(&self) -> &'static str {
        NAME
    }

    fn run(&self, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, Failure> {
        run(&self.plan, &inputs, &self.dtypes)
    }
}
