//! Element by element: activations and tests that tract computes for float32 alone, which exports
//! of scikit-learn in float64 need; and `Swish`, whose `alpha` tract does not read.
//!
//! For every other type they are tract's. Invariant: the output has the input's shape.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::attributes::Attributes;
use super::kernel::Built;
use super::kernel::Kernel;
use super::kernel::Operator;
use super::linear::one;
use super::post::logistic;
use super::rows::tensor;
use super::scale::numbers;

/// What is computed of an element; the parameter is an attribute.
#[derive(Clone, Copy, Debug)]
enum Function {
    Number(fn(f64, f64) -> f64),
    Test(fn(f64, f64) -> bool),
}

#[derive(Clone, Debug)]
struct Elementwise {
    name: &'static str,
    function: Function,
    parameter: f64,
    /// tract's operator, for all types but float64; none where ours is for all.
    tract: Option<Box<dyn TypedOp>>,
}

impl Elementwise {
    fn ours(&self, dtype: DatumType) -> bool {
        dtype == f64::datum_type() || self.tract.is_none()
    }
}

fn built(name: &'static str, function: Function, parameter: f64, tract: Option<Box<dyn TypedOp>>) -> Built {
    Ok((expand(Elementwise { name, function, parameter, tract }), Vec::new()))
}

pub(super) fn sigmoid(_: &ParsingContext, _: &NodeProto) -> Built {
    let tract = Box::new(tract_core::ops::nn::sigmoid());
    built("Sigmoid", Function::Number(|x, _| logistic(x)), 0.0, Some(tract))
}

pub(super) fn hard_swish(_: &ParsingContext, _: &NodeProto) -> Built {
    let tract = Box::new(tract_core::ops::nn::hard_swish());
    let function = Function::Number(|x, _| x * (x / 6.0 + 0.5).clamp(0.0, 1.0));
    built("HardSwish", function, 0.0, Some(tract))
}

pub(super) fn leaky_relu(_: &ParsingContext, node: &NodeProto) -> Built {
    let alpha = Attributes::new(node).float("alpha")?.unwrap_or(0.01);
    let tract = Box::new(tract_core::ops::nn::leaky_relu(alpha));
    let function = Function::Number(|x, alpha| if x < 0.0 { alpha * x } else { x });
    built("LeakyRelu", function, f64::from(alpha), Some(tract))
}

pub(super) fn round(_: &ParsingContext, _: &NodeProto) -> Built {
    let tract = Box::new(tract_core::ops::math::round_half_to_even());
    built("Round", Function::Number(|x, _| x.round_ties_even()), 0.0, Some(tract))
}

pub(super) fn swish(_: &ParsingContext, node: &NodeProto) -> Built {
    let alpha = Attributes::new(node).float("alpha")?.unwrap_or(1.0);
    let tract = (alpha == 1.0).then(|| Box::new(tract_core::ops::nn::silu::silu()) as Box<dyn TypedOp>);
    let function = Function::Number(|x, alpha| x * logistic(alpha * x));
    built("Swish", function, f64::from(alpha), tract)
}

pub(super) fn is_nan(_: &ParsingContext, _: &NodeProto) -> Built {
    let tract = Box::new(tract_core::ops::math::is_nan());
    built("IsNaN", Function::Test(|x, _| x.is_nan()), 0.0, Some(tract))
}

pub(super) fn is_inf(_: &ParsingContext, node: &NodeProto) -> Built {
    let attributes = Attributes::new(node);
    let positive = attributes.flag("detect_positive", true)?;
    let negative = attributes.flag("detect_negative", true)?;
    let tract = Box::new(tract_core::ops::math::is_inf(positive, negative));
    let function: fn(f64, f64) -> bool = match (positive, negative) {
        (true, true) => |x, _| x.is_infinite(),
        (true, false) => |x, _| x == f64::INFINITY,
        (false, true) => |x, _| x == f64::NEG_INFINITY,
        (false, false) => |_, _| false,
    };
    built("IsInf", Function::Test(function), 0.0, Some(tract))
}

impl Kernel for Elementwise {
    fn name(&self) -> &'static str {
        self.name
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let input = one(inputs)?;
        ensure!(input.datum_type.is_float(), "expected floats, found {:?}", input.datum_type);
        let dtype = match self.function {
            Function::Number(_) => input.datum_type,
            Function::Test(_) => bool::datum_type(),
        };
        Ok(tvec!(dtype.fact(input.shape.clone())))
    }

    fn run(&self, inputs: &[&Tensor]) -> TractResult<TVec<Tensor>> {
        let input = one(inputs)?;
        let values = numbers::<f64>(input)?;
        Ok(tvec!(match self.function {
            Function::Number(f) => {
                let all = values.iter().map(|x| f(*x, self.parameter)).collect();
                tensor(input.shape(), all)?.cast_to_dt(input.datum_type())?.into_owned()
            }
            Function::Test(f) => {
                tensor(input.shape(), values.iter().map(|x| f(*x, self.parameter)).collect())?
            }
        }))
    }
}

impl Expansion for Elementwise {
    fn name(&self) -> StaticName {
        self.name.into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        match self.function {
            Function::Number(_) => s.equals(&inputs[0].datum_type, &outputs[0].datum_type)?,
            Function::Test(_) => s.equals(&outputs[0].datum_type, bool::datum_type())?,
        }
        s.equals(&inputs[0].shape, &outputs[0].shape)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let dtype = model.outlet_fact(one(inputs)?)?.datum_type;
        match &self.tract {
            Some(tract) if !self.ours(dtype) => model.wire_node(prefix, tract.clone(), inputs),
            _ => Operator::new(self.clone()).wire(prefix, model, inputs),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ml::testing::close;
    use crate::engine::ml::testing::node;

    fn doubles(op: &str, x: &[f64]) -> Vec<f64> {
        let y = node(op, 1).run([tensor1(x)]).unwrap();
        y[0].try_as_plain_ram().unwrap().as_slice::<f64>().unwrap().to_vec()
    }

    #[test]
    fn doubles_are_computed_as_doubles() {
        let third = doubles("Sigmoid", &[-(2f64.ln()), 0.0]);
        assert!((third[0] - 1.0 / 3.0).abs() < 1e-15 && third[1] == 0.5, "{third:?}");
        assert_eq!(doubles("Round", &[0.5, 1.5, -2.5, 2.7]), [0.0, 2.0, -2.0, 3.0]);
        assert_eq!(doubles("HardSwish", &[-4.0, 0.0, 4.0]), [0.0, 0.0, 4.0]);
        assert_eq!(doubles("LeakyRelu", &[-1.0, 2.0])[1], 2.0);
        let y = node("LeakyRelu", 1).float("alpha", 0.5).run([tensor1(&[-1f64, 2.0])]).unwrap();
        assert_eq!(y[0], tensor1(&[-0.5f64, 2.0]));
        let y = node("IsNaN", 1).run([tensor1(&[f64::NAN, 1.0])]).unwrap();
        assert_eq!(y[0], tensor1(&[true, false]));
        let y =
            node("IsInf", 1).int("detect_negative", 0).run([tensor1(&[f64::NEG_INFINITY, f64::INFINITY])]);
        assert_eq!(y.unwrap()[0], tensor1(&[false, true]));
    }

    #[test]
    fn singles_are_tracts() {
        let y = node("Sigmoid", 1).run([tensor1(&[0f32, -(2f32.ln())])]).unwrap();
        close(&y[0], &[0.5, 1.0 / 3.0]);
        assert_eq!(node("IsNaN", 1).run([tensor1(&[f32::NAN])]).unwrap()[0], tensor1(&[true]));
        let y = node("Swish", 1).float("alpha", 0.5).run([tensor1(&[2f32 * 3f32.ln()])]).unwrap();
        close(&y[0], &[1.5 * 3f32.ln()]);
    }
}
