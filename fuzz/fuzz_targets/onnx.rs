//! An ONNX model: the reader of protobuf, operators and their shapes.
#![no_main]

mod shared;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| shared::infer(Some("onnx"), &[("model.onnx", data)]));
