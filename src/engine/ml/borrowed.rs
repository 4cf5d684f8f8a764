//! tract's own operators, where ours stands before one: to refuse what tract would answer wrongly,
//! or to do what it cannot and leave the rest to it.
//!
//! They are kept in tract's table under a name that no operator of ONNX has. Invariant: an attribute
//! that tract does not read and that changes the answer never reaches it.

use tract_onnx::model::OnnxOpRegister;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::attributes::Attributes;
use super::kernel::Built;
use super::kernel::Kernel;
use super::kernel::Operator;
use super::linear::one;

/// The operators that are kept.
const NAMES: &[&str] = &["BatchNormalization", "Cast", "GRU", "LSTM", "RNN", "SpaceToDepth"];

fn kept(name: &str) -> String {
    format!("{name} (tract)")
}

/// Keeps tract's operators, before ours take their names.
pub(super) fn keep(ops: &mut OnnxOpRegister) {
    for name in NAMES {
        if let Some(builder) = ops.0.get(*name).copied() {
            // Were ours there already, it would be kept as tract's and call itself.
            ops.0.entry(kept(name)).or_insert(builder);
        }
    }
}

/// tract's own operator for a node.
///
/// # Errors
///
/// tract's.
pub(super) fn original(ctx: &ParsingContext, node: &NodeProto) -> TractResult<Box<dyn Expansion>> {
    let attributes = Attributes::new(node);
    let builder = ctx.framework.op_register.0.get(&kept(&node.op_type));
    let (op, closures) = builder.ok_or_else(|| attributes.unfit("tract has no such operator"))?(ctx, node)?;
    ensure!(closures.is_empty(), "{} closes over names", super::attributes::place(node));
    let op = op.as_op().downcast_ref::<Box<dyn Expansion>>();
    op.cloned().ok_or_else(|| attributes.unfit("tract's operator is of another kind than it was"))
}

fn built(op: Box<dyn Expansion>) -> Built {
    Ok((Box::new(op), Vec::new()))
}

pub(super) fn batch_normalization(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let attributes = Attributes::new(node);
    if attributes.flag("training_mode", false)? {
        return Err(attributes.wrong("training_mode", "expected 0, inference; found 1, training"));
    }
    built(original(ctx, node)?)
}

pub(super) fn space_to_depth(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let attributes = Attributes::new(node);
    match attributes.string("mode")? {
        None | Some("DCR") => built(original(ctx, node)?),
        Some(_) => Err(attributes.wrong("mode", "expected DCR, the only one that is supported")),
    }
}

/// `LSTM`, `GRU` and `RNN`: tract's run forwards and both ways, with the usual activations.
pub(super) fn recurrent(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let attributes = Attributes::new(node);
    let usual: &[&str] = match node.op_type.as_str() {
        "LSTM" => &["sigmoid", "tanh", "tanh"],
        "GRU" => &["sigmoid", "tanh"],
        _ => &["tanh"],
    };
    let activations = attributes.strings("activations")?.unwrap_or_default();
    if let Some((found, _)) =
        activations.iter().zip(usual.iter().cycle()).find(|(found, usual)| !found.eq_ignore_ascii_case(usual))
    {
        let (found, usual) = (crate::error::show_bytes(found.as_bytes()), usual.join(", "));
        return Err(attributes.wrong("activations", format_args!("expected {usual}, found `{found}`")));
    }
    if attributes.has("clip") {
        return Err(attributes.wrong("clip", "expected none, as clipped cells are not supported"));
    }
    if attributes.flag("input_forget", false)? {
        return Err(attributes.wrong("input_forget", "expected 0, as coupled gates are not supported"));
    }
    let op = original(ctx, node)?;
    match attributes.string("direction")? {
        None | Some("forward" | "bidirectional") => built(op),
        Some("reverse") => {
            if node.input.get(4).is_some_and(|name| !name.is_empty()) {
                return Err(attributes.unfit("expected no `sequence_lens` with the direction reverse"));
            }
            let axis = usize::from(attributes.flag("layout", false)?);
            let whole = node.output.first().is_some_and(|name| !name.is_empty());
            built(Box::new(Reverse { op, axis, whole }))
        }
        Some(other) => {
            let found = crate::error::show_bytes(other.as_bytes());
            Err(attributes.wrong(
                "direction",
                format_args!("expected forward, reverse or bidirectional, found `{found}`"),
            ))
        }
    }
}

/// A recurrent operator that runs from the end to the beginning.
#[derive(Clone, Debug)]
struct Reverse {
    op: Box<dyn Expansion>,
    /// Where time lies, in the input and in the first output.
    axis: usize,
    /// Whether the output of all times is there.
    whole: bool,
}

impl Expansion for Reverse {
    fn name(&self) -> StaticName {
        self.op.name()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Expansion::nboutputs(&*self.op)
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        self.op.rules(s, inputs, outputs)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let flip = Operator::new(Flip { axis: self.axis });
        let mut inputs: TVec<OutletId> = inputs.into();
        let sequence = inputs.first_mut().context("expected an input, found none")?;
        *sequence = model.wire_node(format!("{prefix}.reversed"), flip.clone(), &[*sequence])?[0];
        let mut outputs = self.op.wire(prefix, model, &inputs)?;
        if let (Some(all), true) = (outputs.first_mut(), self.whole) {
            *all = model.wire_node(format!("{prefix}.in-order"), flip, &[*all])?[0];
        }
        Ok(outputs)
    }
}

/// Turns an axis around.
#[derive(Debug)]
struct Flip {
    axis: usize,
}

impl Kernel for Flip {
    fn name(&self) -> &'static str {
        "Flip"
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let input = one(inputs)?;
        ensure!(self.axis < input.rank(), "expected an axis {}, found the rank {}", self.axis, input.rank());
        Ok(tvec!(input.datum_type.fact(input.shape.clone())))
    }

    fn run(&self, inputs: &[&Tensor]) -> TractResult<TVec<Tensor>> {
        fn flip<T: Datum>(input: &Tensor, axis: usize) -> TractResult<Tensor> {
            let mut view = input.to_plain_array_view::<T>()?;
            ensure!(axis < view.ndim(), "expected an axis {axis}, found the rank {}", view.ndim());
            view.invert_axis(tract_ndarray::Axis(axis));
            Ok(view.as_standard_layout().into_owned().into_tensor())
        }
        let input = one(inputs)?;
        Ok(tvec!(dispatch_datum!(flip(input.datum_type())(input, self.axis))?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ml::testing::Node;
    use crate::engine::ml::testing::close;
    use crate::engine::ml::testing::node;

    /// One unit without weights on its own state but 1: `h = tanh(x + h)`.
    fn rnn(direction: &str) -> Node {
        node("RNN", 2).int("hidden_size", 1).string("direction", direction)
    }

    fn inputs() -> [Tensor; 3] {
        let x = tensor1(&[1f32, 0.0, -0.5]).into_shape(&[3, 1, 1]).unwrap();
        let one = tensor1(&[1f32]).into_shape(&[1, 1, 1]).unwrap();
        [x, one.clone(), one]
    }

    #[test]
    fn recurrence_runs_backwards() {
        let last = (-0.5f32).tanh();
        let middle = last.tanh();
        let first = (1.0 + middle).tanh();
        let y = rnn("reverse").run_fixed(inputs()).unwrap();
        assert_eq!((y[0].shape(), y[1].shape()), (&[3, 1, 1, 1][..], &[1, 1, 1][..]));
        close(&y[0], &[first, middle, last]);
        close(&y[1], &[first]);
        let y = rnn("forward").run_fixed(inputs()).unwrap();
        close(&y[1], &[(1f32.tanh().tanh() - 0.5).tanh()]);
        let mut end = rnn("reverse");
        end.0.output[0].clear();
        close(&end.run_fixed(inputs()).unwrap()[0], &[first]);
    }

    #[test]
    fn what_tract_would_not_see_is_refused() {
        let said = |node: Node, expected: &str| {
            let said = node.refused(inputs());
            assert!(said.contains(expected), "{said}");
        };
        said(rnn("sideways"), "`direction`: expected forward, reverse or bidirectional, found `sideways`");
        said(rnn("forward").strings("activations", &["Relu"]), "`activations`: expected tanh, found `Relu`");
        assert!(rnn("forward").strings("activations", &["Tanh"]).run_fixed(inputs()).is_ok());
        said(rnn("forward").float("clip", 1.0), "`clip`: expected none");
        let x = || [Tensor::zero::<f32>(&[1, 1, 2, 2]).unwrap()];
        let crd = node("SpaceToDepth", 1).int("blocksize", 2).string("mode", "CRD");
        assert!(crd.refused(x()).contains("`mode`: expected DCR"));
        assert_eq!(crd.string("mode", "DCR").run(x()).unwrap()[0].shape(), [1, 4, 1, 1]);
        let training = node("BatchNormalization", 1).int("training_mode", 1).refused(x());
        assert!(training.contains("`training_mode`: expected 0, inference; found 1"), "{training}");
    }

    #[test]
    fn tract_is_kept_once() {
        let mut onnx = tract_onnx::onnx();
        super::super::register(&mut onnx.op_register);
        let before = onnx.op_register.0.len();
        super::super::register(&mut onnx.op_register);
        assert_eq!(onnx.op_register.0.len(), before);
        assert!(onnx.op_register.0[&kept("LSTM")] as usize != onnx.op_register.0["LSTM"] as usize);
    }
}
