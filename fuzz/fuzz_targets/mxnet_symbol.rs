//! A graph of MXNet as JSON: its operators and their shapes.
#![no_main]

mod shared;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| shared::infer(Some("mxnet"), &[("model-symbol.json", data)]));
