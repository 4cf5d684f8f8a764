//! A processing function: Python source, and the contract of what it defines.
#![no_main]

mod shared;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| shared::infer(Some("function"), &[("src/func_main.py", data)]));
