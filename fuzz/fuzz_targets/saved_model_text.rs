//! A SavedModel of TensorFlow as text.
#![no_main]

mod shared;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| shared::infer(Some("tensorflow"), &[("saved_model.pbtxt", data)]));
