//! A safetensors file: its header.
#![no_main]

mod shared;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| shared::infer(Some("safetensors"), &[("model.safetensors", data)]));
