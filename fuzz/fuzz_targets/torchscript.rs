//! The code of a TorchScript archive.
#![no_main]

mod shared;

use libfuzzer_sys::fuzz_target;

const ARCHIVE: &[u8] = include_bytes!("../../testdata/models/pytorch/pt215_ts_script/model.pt");

fuzz_target!(|data: &[u8]| {
    shared::infer(Some("pytorch"), &[("model.pt", &shared::archive(ARCHIVE, "/code/__torch__.py", data))]);
});
