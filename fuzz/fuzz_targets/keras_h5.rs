//! A Keras model in HDF5: the file, and the configuration in it.
#![no_main]

mod shared;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| shared::infer(Some("keras"), &[("model.h5", data)]));
