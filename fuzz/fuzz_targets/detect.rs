//! A model file of any format, by its content alone: it is recognised and read, as `floe infer` does. The
//! targets of single formats go deeper; here are also the pairs that no target has of its own: pickles of
//! torch before its archives, `.keras`, `.npz`, MOJOs and whatever else the examples hold.
#![no_main]

mod shared;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| shared::infer(None, &[("model", data)]));
