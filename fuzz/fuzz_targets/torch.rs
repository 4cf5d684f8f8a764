//! The `data.pkl` of an archive of `torch.save`: state dicts, modules, Learners of fastai.
#![no_main]

mod shared;

use libfuzzer_sys::fuzz_target;

const ARCHIVE: &[u8] = include_bytes!("../../testdata/models/pytorch/pt215_sd_types/model.pt");

fuzz_target!(|data: &[u8]| {
    shared::infer(None, &[("model.pt", &shared::archive(ARCHIVE, "/data.pkl", data))]);
});
