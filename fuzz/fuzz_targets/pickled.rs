//! A pickle of any framework: what scikit-learn, Theano and the boosters are told from its objects.
#![no_main]

mod shared;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| shared::infer(None, &[("model.pkl", data)]));
