//! The program of an archive of `torch.export`.
#![no_main]

mod shared;

use libfuzzer_sys::fuzz_target;

const ARCHIVE: &[u8] = include_bytes!("../../testdata/models/pytorch/pt2_dev/model.pt2");

fuzz_target!(|data: &[u8]| {
    shared::infer(Some("pytorch"), &[("model.pt2", &shared::archive(ARCHIVE, "/models/model.json", data))]);
});
