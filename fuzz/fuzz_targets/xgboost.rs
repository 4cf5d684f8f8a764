//! A model of XGBoost: JSON, UBJSON and its old binary form.
#![no_main]

mod shared;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| shared::infer(Some("xgboost"), &[("model.bin", data)]));
