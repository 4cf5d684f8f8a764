//! An `MLmodel`: YAML, and the signature in it.
#![no_main]

mod shared;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| shared::infer(Some("mlflow"), &[("MLmodel", data)]));
