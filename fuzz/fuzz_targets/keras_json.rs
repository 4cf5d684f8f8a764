//! The configuration of a Keras model, of any version: layers and their shapes.
#![no_main]

mod shared;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| shared::infer(Some("keras"), &[("model.json", data)]));
