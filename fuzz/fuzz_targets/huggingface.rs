//! The configuration of a model of transformers.
#![no_main]

mod shared;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| shared::infer(Some("huggingface"), &[("config.json", data)]));
