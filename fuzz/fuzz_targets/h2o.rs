//! The `model.ini` of an unpacked MOJO of H2O.
#![no_main]

mod shared;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    shared::infer(Some("h2o"), &[("model.ini", data), ("domains/d000.txt", b"a\nb\nc\n")]);
});
