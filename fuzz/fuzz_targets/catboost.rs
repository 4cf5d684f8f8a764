//! A model of CatBoost: its flatbuffer and its JSON.
#![no_main]

mod shared;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| shared::infer(Some("catboost"), &[("model.cbm", data)]));
