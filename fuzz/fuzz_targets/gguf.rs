//! A GGUF file: its keys and its table of tensors.
#![no_main]

mod shared;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| shared::infer(Some("gguf"), &[("model.gguf", data)]));
