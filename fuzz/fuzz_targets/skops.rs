//! The tree of objects of a skops archive.
#![no_main]

mod shared;

use libfuzzer_sys::fuzz_target;

const ARCHIVE: &[u8] = include_bytes!("../../testdata/models/sklearn/sk_skops_lasso/model.skops");

fuzz_target!(|data: &[u8]| {
    shared::infer(Some("sklearn"), &[("model.skops", &shared::archive(ARCHIVE, "schema.json", data))]);
});
