//! For the tests of the operators: a model of one node, and its outputs.

use tract_onnx::pb;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::tract_hir::internal::*;

/// A node under test.
#[derive(Clone)]
pub(super) struct Node(pub(super) pb::NodeProto);

pub(super) fn node(op: &str, outputs: usize) -> Node {
    Node(pb::NodeProto {
        name: "n".into(),
        op_type: op.into(),
        output: (0..outputs).map(|at| format!("y{at}")).collect(),
        ..Default::default()
    })
}

impl Node {
    fn with(mut self, name: &str, kind: AttributeType, set: impl FnOnce(&mut pb::AttributeProto)) -> Self {
        self.0.attribute.retain(|a| a.name != name);
        let mut attribute =
            pb::AttributeProto { name: name.into(), r#type: kind as i32, ..Default::default() };
        set(&mut attribute);
        self.0.attribute.push(attribute);
        self
    }

    pub(super) fn ints(self, name: &str, values: &[i64]) -> Self {
        self.with(name, AttributeType::Ints, |a| a.ints = values.to_vec())
    }

    pub(super) fn floats(self, name: &str, values: &[f32]) -> Self {
        self.with(name, AttributeType::Floats, |a| a.floats = values.to_vec())
    }

    pub(super) fn strings(self, name: &str, values: &[&str]) -> Self {
        self.with(name, AttributeType::Strings, |a| {
            a.strings = values.iter().map(|s| s.as_bytes().to_vec()).collect();
        })
    }

    pub(super) fn int(self, name: &str, value: i64) -> Self {
        self.with(name, AttributeType::Int, |a| a.i = value)
    }

    pub(super) fn float(self, name: &str, value: f32) -> Self {
        self.with(name, AttributeType::Float, |a| a.f = value)
    }

    pub(super) fn string(self, name: &str, value: &str) -> Self {
        self.with(name, AttributeType::String, |a| a.s = value.as_bytes().to_vec())
    }

    pub(super) fn tensor(self, name: &str, value: pb::TensorProto) -> Self {
        self.with(name, AttributeType::Tensor, |a| a.t = Some(value))
    }

    pub(super) fn without(mut self, name: &str) -> Self {
        self.0.attribute.retain(|a| a.name != name);
        self
    }

    /// Runs the node on the inputs, twice: with their shapes known when the plan is made, and with
    /// the first dimension of the first input left open. Both must agree.
    pub(super) fn run(&self, inputs: impl AsRef<[Tensor]>) -> TractResult<Vec<Tensor>> {
        let inputs = inputs.as_ref();
        let fixed = self.run_fixed(inputs)?;
        if inputs.first().is_some_and(|t| t.rank() > 0) {
            let open = self.run_as(inputs, true)?;
            for (a, b) in fixed.iter().zip(&open) {
                // What is not a number does not equal itself.
                ensure!(a == b || format!("{a:?}") == format!("{b:?}"), "{a:?} with open shapes is {b:?}");
            }
        }
        Ok(fixed)
    }

    /// As [`Self::run`], with known shapes alone.
    pub(super) fn run_fixed(&self, inputs: impl AsRef<[Tensor]>) -> TractResult<Vec<Tensor>> {
        self.run_as(inputs.as_ref(), false)
    }

    fn run_as(&self, inputs: &[Tensor], open: bool) -> TractResult<Vec<Tensor>> {
        let mut node = self.0.clone();
        node.input = (0..inputs.len()).map(|at| format!("x{at}")).collect();
        let outputs = node.output.iter().filter(|o| !o.is_empty());
        let graph = pb::GraphProto {
            name: "g".into(),
            input: node.input.iter().map(|name| source(name)).collect(),
            output: outputs.map(|name| source(name)).collect(),
            node: vec![node],
            ..Default::default()
        };
        let opset = |domain: &str, version| pb::OperatorSetIdProto { domain: domain.into(), version };
        let model = pb::ModelProto {
            graph: Some(graph),
            opset_import: vec![opset("", 18), opset("ai.onnx.ml", 3)],
            ..Default::default()
        };
        let mut onnx = tract_onnx::onnx();
        super::register(&mut onnx.op_register);
        let mut model = onnx.parse(&model, None)?.model;
        for (at, input) in inputs.iter().enumerate() {
            let mut shape: TVec<TDim> = input.shape().iter().map(|d| d.to_dim()).collect();
            if open && at == 0 {
                shape[0] = model.symbols.sym("N").to_dim();
            }
            model.set_input_fact(at, InferenceFact::dt_shape(input.datum_type(), shape))?;
        }
        for at in 0..model.outputs.len() {
            model.set_output_fact(at, InferenceFact::default())?;
        }
        let plan = model.into_typed()?.into_optimized()?.into_runnable()?;
        let outputs = plan.run(inputs.iter().map(|t| t.clone().into_tvalue()).collect())?;
        Ok(outputs.into_iter().map(TValue::into_tensor).collect())
    }

    /// The error of a node that must not load or run, in one line.
    pub(super) fn refused(&self, inputs: impl AsRef<[Tensor]>) -> String {
        format!("{:#}", self.run(inputs).unwrap_err())
    }
}

fn source(name: &str) -> pb::ValueInfoProto {
    let tensor = pb::type_proto::Tensor { elem_type: 1, shape: None };
    let value = Some(pb::type_proto::Value::TensorType(tensor));
    pb::ValueInfoProto {
        name: name.into(),
        r#type: Some(pb::TypeProto { value, ..Default::default() }),
        ..Default::default()
    }
}

pub(super) fn strings(values: &[&str]) -> Tensor {
    let all: Vec<String> = values.iter().map(|s| (*s).to_owned()).collect();
    tensor1(&all)
}

pub(super) fn floats(tensor: &Tensor) -> Vec<f32> {
    tensor.try_as_plain_ram().unwrap().as_slice::<f32>().unwrap().to_vec()
}

pub(super) fn integers(tensor: &Tensor) -> Vec<i64> {
    tensor.try_as_plain_ram().unwrap().as_slice::<i64>().unwrap().to_vec()
}

pub(super) fn words(tensor: &Tensor) -> Vec<String> {
    tensor.try_as_plain_ram().unwrap().as_slice::<String>().unwrap().to_vec()
}

/// As close as two ways to add the same numbers are.
pub(super) fn close(found: &Tensor, expected: &[f32]) {
    let found = floats(found);
    assert_eq!(found.len(), expected.len(), "{found:?}, expected {expected:?}");
    for (f, e) in found.iter().zip(expected) {
        let same = f == e || (f.is_nan() && e.is_nan()) || (f - e).abs() <= 1e-5 + 1e-4 * e.abs();
        assert!(same, "{found:?}, expected {expected:?}");
    }
}
