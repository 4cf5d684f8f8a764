//! A model of LightGBM as text.
#![no_main]

mod shared;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| shared::infer(Some("lightgbm"), &[("model.txt", data)]));
