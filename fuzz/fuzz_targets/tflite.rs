//! A model of TensorFlow Lite: the reader of flatbuffers.
#![no_main]

mod shared;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| shared::infer(Some("tflite"), &[("model.tflite", data)]));
