//! `Flatten`, of a shape that has more than one open dimension.
//!
//! It is tract's wherever tract's can be, which takes part in its optimisations; tract refuses a
//! second symbol, and texts cut into tokens have two. Invariant: the elements stay in their order.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::array;

use super::attributes::Attributes;
use super::kernel::Built;
use super::kernel::Kernel;
use super::kernel::Operator;
use super::linear::one;

#[derive(Clone, Debug)]
struct Flatten {
    axis: i64,
}

pub(super) fn flatten(_: &ParsingContext, node: &NodeProto) -> Built {
    let axis = Attributes::new(node).int("axis")?.unwrap_or(1);
    Ok((expand(Flatten { axis }), Vec::new()))
}

impl Flatten {
    /// The dimensions before the axis, and those from it on.
    fn split<'s, D>(&self, shape: &'s [D]) -> TractResult<(&'s [D], &'s [D])> {
        let rank = shape.len();
        let axis = if self.axis < 0 { self.axis.saturating_add(rank as i64) } else { self.axis };
        usize::try_from(axis)
            .ok()
            .and_then(|axis| shape.split_at_checked(axis))
            .with_context(|| format!("expected an axis from -{rank} to {rank}, found {}", self.axis))
    }
}

impl Kernel for Flatten {
    fn name(&self) -> &'static str {
        "Flatten"
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let input = one(inputs)?;
        let (outer, inner) = self.split(&input.shape)?;
        let product = |dims: &[TDim]| dims.iter().cloned().product::<TDim>();
        Ok(tvec!(input.datum_type.fact([product(outer), product(inner)])))
    }

    fn run(&self, inputs: &[&Tensor]) -> TractResult<TVec<Tensor>> {
        let input = one(inputs)?;
        let (outer, inner) = self.split(input.shape())?;
        let shape = [outer.iter().product(), inner.iter().product()];
        Ok(tvec!(input.clone().into_shape(&shape)?))
    }
}

impl Expansion for Flatten {
    fn name(&self) -> StaticName {
        "Flatten".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        s.equals(&outputs[0].datum_type, &inputs[0].datum_type)?;
        s.equals(&outputs[0].rank, 2)?;
        s.given(&inputs[0].shape, move |s, shape| {
            let (outer, inner) = self.split(&shape)?;
            s.equals(&outputs[0].shape[0], outer.iter().cloned().product::<TDim>())?;
            s.equals(&outputs[0].shape[1], inner.iter().cloned().product::<TDim>())
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let shape =
            model.outlet_fact(*inputs.first().context("expected an input, found none")?)?.shape.clone();
        self.split(&shape)?;
        if shape.iter().filter(|d| d.to_i64().is_err()).count() > 1 {
            Operator::new(self.clone()).wire(prefix, model, inputs)
        } else {
            array::Flatten::new(self.axis).wire(prefix, model, inputs)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ml::testing::node;

    #[test]
    fn axes_fall_into_two() {
        let x = tensor1(&(0..24).collect::<Vec<i64>>()).into_shape(&[2, 3, 4]).unwrap();
        for (axis, shape) in [(0, [1, 24]), (1, [2, 12]), (-1, [6, 4]), (3, [24, 1])] {
            let y = node("Flatten", 1).int("axis", axis).run([x.clone()]).unwrap();
            assert_eq!(y[0], x.clone().into_shape(&shape).unwrap());
        }
        for axis in [4, -4, i64::MIN] {
            let said = node("Flatten", 1).int("axis", axis).refused([x.clone()]);
            assert!(said.contains("expected an axis from -3 to 3"), "{said}");
        }
    }

    #[test]
    fn two_open_dimensions_may_be_multiplied() {
        let symbols = SymbolScope::default();
        let (n, m) = (symbols.sym("N").to_dim(), symbols.sym("M").to_dim());
        let input = f32::fact([n.clone(), m.clone(), 2.to_dim()]);
        let found = Kernel::facts(&Flatten { axis: 1 }, &[&input]).unwrap();
        assert_eq!(&*found[0].shape, &[n, m * 2]);
        let x = Tensor::zero::<f32>(&[3, 5, 2]).unwrap();
        assert_eq!(Kernel::run(&Flatten { axis: 1 }, &[&x]).unwrap()[0].shape(), [3, 10]);
    }
}
