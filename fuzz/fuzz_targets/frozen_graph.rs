//! A frozen graph of TensorFlow.
#![no_main]

mod shared;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| shared::infer(Some("tensorflow"), &[("frozen.pb", data)]));
