//! What the server says of itself and of its model.

use serde_json::{Value, json};

use crate::engine::Port;
use crate::model::contract::Tensor;
use crate::serve::datatype;
use crate::serve::model::Model;

/// The version of the server.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The paths, for people who look with a browser.
pub(super) fn index(name: &str) -> String {
    let name = crate::error::show_bytes(name.as_bytes());
    format!(
        "floe {VERSION} serves the model `{name}` over the Open Inference Protocol, version 2.

GET  /v2                                  about this server
GET  /v2/health/live                      whether it runs
GET  /v2/health/ready                     whether it takes requests
GET  /v2/models/NAME[/versions/V]         about the model: inputs, outputs, model id
GET  /v2/models/NAME[/versions/V]/ready   whether the model takes requests
POST /v2/models/NAME[/versions/V]/infer   compute outputs from inputs
GET  /metrics                             numbers for Prometheus
"
    )
}

/// About the server.
pub(super) fn server() -> Value {
    json!({"name": "floe", "version": VERSION, "extensions": ["binary_tensor_data"]})
}

/// About the model.
pub(super) fn model(model: &Model) -> Value {
    let engine = model.engine();
    let side = |ports: &[Port], said: &[Tensor]| -> Vec<Value> {
        ports.iter().map(|p| tensor(p, said.iter().find(|t| t.name == p.name))).collect()
    };
    let mut about = json!({
        "name": model.name(),
        "versions": [model.version()],
        "platform": format!("onnx_{}", engine.backend()),
        "inputs": side(engine.inputs(), &model.signature().inputs),
        "outputs": side(engine.outputs(), &model.signature().outputs),
    });
    if let Some(id) = model.model_id() {
        about["parameters"] = json!({"model_id": id});
    }
    about
}

/// What the contract says, and where that leaves something open the graph.
fn tensor(port: &Port, said: Option<&Tensor>) -> Value {
    let dtype = said.and_then(|t| t.dtype).unwrap_or(port.dtype);
    let shape = said.and_then(|t| t.shape.as_ref()).or(port.shape.as_ref());
    let shape = shape.map_or(vec![-1], |s| {
        s.iter().map(|d| d.and_then(|d| i64::try_from(d).ok()).unwrap_or(-1)).collect()
    });
    json!({
        "name": port.name,
        "datatype": datatype::word(dtype).unwrap_or(dtype.name()),
        "shape": shape,
    })
}
