//! The header of a numpy array.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _header = floe::model::npy::read(&data);
});
