//! `Gemm`, for every type of number: tract's own multiplies a float32 with whatever it finds.
//!
//! The product is tract's. Invariant: `alpha` and `beta` have the type of the matrices.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::attributes::Attributes;
use super::kernel::Built;

#[derive(Clone, Debug)]
struct Gemm {
    alpha: f32,
    beta: f32,
    /// Whether the first and the second matrix are to be transposed.
    transposed: [bool; 2],
}

pub(super) fn gemm(_: &ParsingContext, node: &NodeProto) -> Built {
    let attributes = Attributes::new(node);
    let alpha = attributes.float("alpha")?.unwrap_or(1.0);
    let beta = attributes.float("beta")?.unwrap_or(1.0);
    let transposed = [attributes.flag("transA", false)?, attributes.flag("transB", false)?];
    Ok((expand(Gemm { alpha, beta, transposed }), Vec::new()))
}

/// A constant with as many axes as what it meets.
fn factor(name: String, value: f32, model: &mut TypedModel, like: OutletId) -> TractResult<OutletId> {
    let fact = model.outlet_fact(like)?;
    let (dtype, rank) = (fact.datum_type, fact.rank());
    let value = tensor0(value).cast_to_dt(dtype)?.into_owned().broadcast_into_rank(rank)?;
    model.add_const(name, value)
}

impl Expansion for Gemm {
    fn name(&self) -> StaticName {
        "Gemm".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        ensure!(matches!(inputs.len(), 2 | 3), "expected 2 or 3 inputs, found {}", inputs.len());
        check_output_arity(outputs, 1)?;
        for input in inputs {
            s.equals(&input.datum_type, &outputs[0].datum_type)?;
        }
        for matrix in [&inputs[0], &inputs[1], &outputs[0]] {
            s.equals(&matrix.rank, 2)?;
        }
        let [a, b] = self.transposed.map(usize::from);
        s.equals(&inputs[0].shape[a], &outputs[0].shape[0])?;
        s.equals(&inputs[0].shape[1 - a], &inputs[1].shape[b])?;
        s.equals(&inputs[1].shape[1 - b], &outputs[0].shape[1])
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        use tract_core::ops::einsum::EinSum;
        use tract_core::ops::math::add;
        use tract_core::ops::math::mul;
        let [a, b, added @ ..] = inputs else { bail!("expected 2 or 3 inputs, found {}", inputs.len()) };
        let axes = AxesMapping::for_numpy_matmul(2, self.transposed[0], self.transposed[1], false)?;
        let dtype = model.outlet_fact(*a)?.datum_type;
        let mut sum = model.wire_node(format!("{prefix}.product"), EinSum::new(axes, dtype), &[*a, *b])?[0];
        if self.alpha != 1.0 {
            let alpha = factor(format!("{prefix}.alpha"), self.alpha, model, sum)?;
            sum = model.wire_node(format!("{prefix}.scaled"), mul(), &[alpha, sum])?[0];
        }
        let Some(added) = added.first().filter(|_| self.beta != 0.0) else { return Ok(tvec!(sum)) };
        let mut added = *added;
        for missing in model.outlet_fact(added)?.rank()..2 {
            added = model.wire_node(format!("{prefix}.axis-{missing}"), AxisOp::Add(0), &[added])?[0];
        }
        if self.beta != 1.0 {
            let beta = factor(format!("{prefix}.beta"), self.beta, model, added)?;
            added = model.wire_node(format!("{prefix}.added"), mul(), &[beta, added])?[0];
        }
        model.wire_node(prefix, add(), &[sum, added])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ml::testing::node;

    #[test]
    fn scales_and_adds_in_the_matrices_type() {
        let a = || tensor2(&[[1f64, 2.0], [3.0, 4.0]]);
        let node = node("Gemm", 1).float("alpha", 2.0).float("beta", 0.5);
        let y = node.run([a(), tensor2(&[[1f64], [0.0]]), tensor1(&[10f64])]).unwrap();
        assert_eq!(y[0], tensor2(&[[7f64], [11.0]]));
        let turned = node.clone().int("transA", 1).int("transB", 1);
        let y = turned.run_fixed([a(), tensor2(&[[1f64, 1.0]]), tensor0(2f64)]).unwrap();
        assert_eq!(y[0], tensor2(&[[9f64], [13.0]]));
        let y = node.run([tensor2(&[[f16::from_f32(1.5)]]), tensor2(&[[f16::from_f32(2.0)]])]).unwrap();
        assert_eq!(y[0], tensor2(&[[f16::from_f32(6.0)]]));
        assert!(node.refused([a(), tensor2(&[[1f64, 2.0]])]).contains("Gemm"));
    }
}
