//! The messages of the Open Inference Protocol over gRPC, version 2, package `inference`.
//!
//! They are the wire's words and nothing more: what they mean is decided in `service`, and
//! how tensors lie in them in `tensors`. Names and field numbers are those of the
//! protocol's `grpc_predict_v2.proto` (KServe) and `grpc_service.proto` (Triton), which agree.
//!
//! Invariants: raw tensors are [`Bytes`] that share the memory of the message they came in; the
//! typed contents of a request stay as they lie on the wire, so that reading a message never takes
//! much more memory than the message itself.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::{Message, Oneof};

/// Asks whether the server runs.
#[derive(Clone, PartialEq, Message)]
pub struct ServerLiveRequest {}

/// Tells whether the server runs.
#[derive(Clone, PartialEq, Message)]
pub struct ServerLiveResponse {
    /// True, or there would be no answer.
    #[prost(bool, tag = "1")]
    pub live: bool,
}

/// Asks whether the server takes requests.
#[derive(Clone, PartialEq, Message)]
pub struct ServerReadyRequest {}

/// Tells whether the server takes requests.
#[derive(Clone, PartialEq, Message)]
pub struct ServerReadyResponse {
    /// Whether it does.
    #[prost(bool, tag = "1")]
    pub ready: bool,
}

/// Asks whether a model takes requests.
#[derive(Clone, PartialEq, Message)]
pub struct ModelReadyRequest {
    /// The model.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its version; empty where any will do.
    #[prost(string, tag = "2")]
    pub version: String,
}

/// Tells whether a model takes requests.
#[derive(Clone, PartialEq, Message)]
pub struct ModelReadyResponse {
    /// Whether it does.
    #[prost(bool, tag = "1")]
    pub ready: bool,
}

/// Asks what the server is.
#[derive(Clone, PartialEq, Message)]
pub struct ServerMetadataRequest {}

/// Tells what the server is.
#[derive(Clone, PartialEq, Message)]
pub struct ServerMetadataResponse {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its version.
    #[prost(string, tag = "2")]
    pub version: String,
    /// Extensions of the protocol that it speaks.
    #[prost(string, repeated, tag = "3")]
    pub extensions: Vec<String>,
}

/// Asks what a model is.
#[derive(Clone, PartialEq, Message)]
pub struct ModelMetadataRequest {
    /// The model.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its version; empty where any will do.
    #[prost(string, tag = "2")]
    pub version: String,
}

/// Tells what a model is.
#[derive(Clone, PartialEq, Message)]
pub struct ModelMetadataResponse {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// All versions that are here.
    #[prost(string, repeated, tag = "2")]
    pub versions: Vec<String>,
    /// What runs it, in the form `format_engine`.
    #[prost(string, tag = "3")]
    pub platform: String,
    /// What it takes.
    #[prost(message, repeated, tag = "4")]
    pub inputs: Vec<TensorMetadata>,
    /// What it gives.
    #[prost(message, repeated, tag = "5")]
    pub outputs: Vec<TensorMetadata>,
}

/// An input or output of a model; nested in `ModelMetadataResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct TensorMetadata {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The protocol's word for its element type.
    #[prost(string, tag = "2")]
    pub datatype: String,
    /// Its shape; -1 is any size.
    #[prost(int64, repeated, tag = "3")]
    pub shape: Vec<i64>,
}

/// A value of an extension.
#[derive(Clone, PartialEq, Message)]
pub struct InferParameter {
    /// The value.
    #[prost(oneof = "Choice", tags = "1, 2, 3, 4, 5")]
    pub parameter_choice: Option<Choice>,
}

/// What an [`InferParameter`] may hold.
#[derive(Clone, PartialEq, Oneof)]
pub enum Choice {
    /// `bool_param`.
    #[prost(bool, tag = "1")]
    Bool(bool),
    /// `int64_param`.
    #[prost(int64, tag = "2")]
    Int64(i64),
    /// `string_param`.
    #[prost(string, tag = "3")]
    String(String),
    /// `double_param`.
    #[prost(double, tag = "4")]
    Double(f64),
    /// `uint64_param`.
    #[prost(uint64, tag = "5")]
    Uint64(u64),
}

/// The elements of a tensor, in the one field that its element type asks for.
#[derive(Clone, PartialEq, Message)]
pub struct InferTensorContents {
    /// `BOOL`.
    #[prost(bool, repeated, tag = "1")]
    pub bool_contents: Vec<bool>,
    /// `INT8`, `INT16`, `INT32`.
    #[prost(int32, repeated, tag = "2")]
    pub int_contents: Vec<i32>,
    /// `INT64`.
    #[prost(int64, repeated, tag = "3")]
    pub int64_contents: Vec<i64>,
    /// `UINT8`, `UINT16`, `UINT32`.
    #[prost(uint32, repeated, tag = "4")]
    pub uint_contents: Vec<u32>,
    /// `UINT64`.
    #[prost(uint64, repeated, tag = "5")]
    pub uint64_contents: Vec<u64>,
    /// `FP32`.
    #[prost(float, repeated, tag = "6")]
    pub fp32_contents: Vec<f32>,
    /// `FP64`.
    #[prost(double, repeated, tag = "7")]
    pub fp64_contents: Vec<f64>,
    /// `BYTES`.
    #[prost(bytes = "bytes", repeated, tag = "8")]
    pub bytes_contents: Vec<Bytes>,
}

/// Asks for outputs.
#[derive(Clone, PartialEq, Message)]
pub struct ModelInferRequest {
    /// The model.
    #[prost(string, tag = "1")]
    pub model_name: String,
    /// Its version; empty where any will do.
    #[prost(string, tag = "2")]
    pub model_version: String,
    /// What the caller calls this request.
    #[prost(string, tag = "3")]
    pub id: String,
    /// Values of extensions.
    #[prost(btree_map = "string, message", tag = "4")]
    pub parameters: BTreeMap<String, InferParameter>,
    /// The inputs.
    #[prost(message, repeated, tag = "5")]
    pub inputs: Vec<InferInputTensor>,
    /// The outputs that are wanted; none means all.
    #[prost(message, repeated, tag = "6")]
    pub outputs: Vec<InferRequestedOutputTensor>,
    /// The elements of all inputs, in their order; instead of their contents.
    #[prost(bytes = "bytes", repeated, tag = "7")]
    pub raw_input_contents: Vec<Bytes>,
}

/// An input; nested in `ModelInferRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct InferInputTensor {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The protocol's word for its element type.
    #[prost(string, tag = "2")]
    pub datatype: String,
    /// Its shape.
    #[prost(int64, repeated, tag = "3")]
    pub shape: Vec<i64>,
    /// Values of extensions.
    #[prost(btree_map = "string, message", tag = "4")]
    pub parameters: BTreeMap<String, InferParameter>,
    /// An [`InferTensorContents`] as it lies on the wire: a message and its bytes look the same
    /// there.
    #[prost(bytes = "bytes", optional, tag = "5")]
    pub contents: Option<Bytes>,
}

/// An output that is wanted; nested in `ModelInferRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct InferRequestedOutputTensor {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Values of extensions.
    #[prost(btree_map = "string, message", tag = "2")]
    pub parameters: BTreeMap<String, InferParameter>,
}

/// The outputs.
#[derive(Clone, PartialEq, Message)]
pub struct ModelInferResponse {
    /// The model.
    #[prost(string, tag = "1")]
    pub model_name: String,
    /// Its version.
    #[prost(string, tag = "2")]
    pub model_version: String,
    /// What the caller called the request.
    #[prost(string, tag = "3")]
    pub id: String,
    /// Values of extensions.
    #[prost(btree_map = "string, message", tag = "4")]
    pub parameters: BTreeMap<String, InferParameter>,
    /// The outputs.
    #[prost(message, repeated, tag = "5")]
    pub outputs: Vec<InferOutputTensor>,
    /// The elements of all outputs, in their order; instead of their contents.
    #[prost(bytes = "bytes", repeated, tag = "6")]
    pub raw_output_contents: Vec<Bytes>,
}

/// An output; nested in `ModelInferResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct InferOutputTensor {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The protocol's word for its element type.
    #[prost(string, tag = "2")]
    pub datatype: String,
    /// Its shape.
    #[prost(int64, repeated, tag = "3")]
    pub shape: Vec<i64>,
    /// Values of extensions.
    #[prost(btree_map = "string, message", tag = "4")]
    pub parameters: BTreeMap<String, InferParameter>,
    /// Its elements, where the answer is not raw.
    #[prost(message, optional, tag = "5")]
    pub contents: Option<InferTensorContents>,
}

#[cfg(test)]
#[path = "messages_tests.rs"]
mod tests;
