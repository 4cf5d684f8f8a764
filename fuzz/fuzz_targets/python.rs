//! The source of a Python module: its definitions.
#![no_main]

use floe::model::python;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = python::decode(data) {
        let _module = python::parse(&text);
    }
});
