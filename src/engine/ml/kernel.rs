//! A kernel: what one of our operators computes, and the one adapter that makes it an operator of
//! tract.
//!
//! It is not an operator of tract itself: those have many faces (inference, typing, evaluation,
//! optimisation), of which a kernel needs three: how many outputs, their types and shapes, their
//! values. Invariant: shapes follow from the input shapes alone, symbols included, except for the
//! dimensions that [`Kernel::symbols`] lists, which depend on values.

use std::sync::Arc;

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

/// What a builder of tract's operator table gives.
pub(super) type Built = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

/// What an operator computes.
pub(super) trait Kernel: std::fmt::Debug + Send + Sync + 'static {
    /// The operator's name in ONNX.
    fn name(&self) -> &'static str;

    /// How many outputs [`Self::run`] gives.
    fn outputs(&self) -> usize {
        1
    }

    /// Types and shapes of the outputs.
    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>>;

    /// Dimensions of the outputs that only a run can tell.
    fn symbols(&self) -> &[Symbol] {
        &[]
    }

    /// The values of the outputs; their shapes are those of [`Self::facts`].
    fn run(&self, inputs: &[&Tensor]) -> TractResult<TVec<Tensor>>;
}

/// Makes a kernel the operator of a node.
///
/// # Errors
///
/// When the node names more outputs than the kernel has, or none.
pub(super) fn operator(node: &NodeProto, kernel: impl Kernel) -> Built {
    let kept: TVec<usize> =
        node.output.iter().enumerate().filter(|(_, name)| !name.is_empty()).map(|(at, _)| at).collect();
    let (most, last) = (kernel.outputs(), kept.last().copied());
    ensure!(
        last.is_some_and(|last| last < most),
        "{}: expected 1 to {most} outputs, found {}",
        super::attributes::place(node),
        last.map_or(0, |last| last + 1)
    );
    Ok((expand(Operator { kernel: Arc::new(kernel), kept }), Vec::new()))
}

/// A symbol for a dimension that only a run can tell.
pub(super) fn symbol(ctx: &ParsingContext) -> Symbol {
    // All graphs of a model share the template's table.
    ctx.template.symbols.new_with_prefix("floe")
}

/// A kernel as tract sees it.
#[derive(Clone)]
pub(super) struct Operator {
    kernel: Arc<dyn Kernel>,
    /// Which of the kernel's outputs the node names; the others are computed and dropped.
    kept: TVec<usize>,
}

impl Operator {
    /// A kernel all of whose outputs are wanted.
    pub(super) fn new(kernel: impl Kernel) -> Self {
        let kept = (0..kernel.outputs()).collect();
        Self { kernel: Arc::new(kernel), kept }
    }

    fn pick<T>(&self, all: TVec<T>) -> TVec<T> {
        all.into_iter().enumerate().filter(|(at, _)| self.kept.contains(at)).map(|(_, one)| one).collect()
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let all = self.kernel.facts(inputs).with_context(|| format!("{}: its inputs", self.kernel.name()))?;
        Ok(self.pick(all))
    }
}

impl std::fmt::Debug for Operator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The attributes of a forest would fill a screen for every error that shows the node.
        f.write_str(self.kernel.name())
    }
}

impl PartialEq for Operator {
    fn eq(&self, other: &Self) -> bool {
        // Kernels hold floating-point numbers; the same kernel is all that must be found equal.
        Arc::ptr_eq(&self.kernel, &other.kernel) && self.kept == other.kept
    }
}

impl Eq for Operator {}

impl Op for Operator {
    fn name(&self) -> StaticName {
        self.kernel.name().into()
    }

    fn mints_runtime_symbols(&self) -> bool {
        !self.kernel.symbols().is_empty()
    }

    op_as_typed_op!();
}

impl EvalOp for Operator {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        // Constants that tract folds into the graph may carry sizes where integers are meant.
        let plain = inputs
            .iter()
            .map(|v| if is_size(v.datum_type()) { v.cast_to::<i64>() } else { Ok(Cow::Borrowed(&**v)) })
            .collect::<TractResult<TVec<_>>>()?;
        let views: TVec<&Tensor> = plain.iter().map(|v| &**v).collect();
        let all = self.kernel.run(&views).with_context(|| format!("{}: its run", self.kernel.name()))?;
        Ok(self.pick(all).into_iter().map(Tensor::into_tvalue).collect())
    }
}

impl TypedOp for Operator {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        self.facts(inputs)
    }

    as_op!();
}

impl Expansion for Operator {
    fn name(&self) -> StaticName {
        self.kernel.name().into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.kept.len())
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_output_arity(outputs, self.kept.len())?;
        s.given_all(inputs.iter().map(|i| &i.datum_type), move |s, types| {
            s.given_all(inputs.iter().map(|i| &i.shape), move |s, shapes| {
                let facts: TVec<TypedFact> = types
                    .iter()
                    .zip(&shapes)
                    .map(|(dtype, shape)| integer(*dtype).fact(shape.as_slice()))
                    .collect();
                let views: TVec<&TypedFact> = facts.iter().collect();
                for (fact, output) in self.facts(&views)?.into_iter().zip(outputs) {
                    s.equals(&output.datum_type, fact.datum_type)?;
                    s.equals(&output.rank, fact.rank() as i64)?;
                    for (axis, dim) in fact.shape.iter().enumerate() {
                        let open = dim.symbols().iter().any(|d| self.kernel.symbols().contains(d));
                        if !open {
                            s.equals(&output.shape[axis], dim.clone())?;
                        }
                    }
                }
                Ok(())
            })
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let mut plain: TVec<OutletId> = inputs.into();
        for (at, input) in plain.iter_mut().enumerate() {
            if is_size(model.outlet_fact(*input)?.datum_type) {
                let cast = tract_core::ops::cast::cast(i64::datum_type());
                *input = model.wire_node(format!("{prefix}.integers-{at}"), cast, &[*input])?[0];
            }
        }
        model.wire_node(prefix, self.clone(), &plain)
    }
}

/// Whether it is tract's type for shapes, which stands for the integers of ONNX.
fn is_size(dtype: DatumType) -> bool {
    dtype == TDim::datum_type()
}

fn integer(dtype: DatumType) -> DatumType {
    if is_size(dtype) { i64::datum_type() } else { dtype }
}
