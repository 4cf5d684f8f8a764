//! The lists of packages beside a model: the first byte says as which of them the rest is read.
#![no_main]

mod shared;

use libfuzzer_sys::fuzz_target;

const MODEL: &[u8] = include_bytes!("../../testdata/models/onnx/on_dev_scaler/model.onnx");
const LISTS: [&str; 4] = ["requirements.txt", "pyproject.toml", "conda.yaml", "python_env.yaml"];

fuzz_target!(|data: &[u8]| {
    let Some((which, text)) = data.split_first() else { return };
    let which = usize::from(*which) % LISTS.len();
    // The others are empty, which counts as not there.
    let mut files = LISTS.map(|name| (name, &[][..]));
    files[which].1 = text;
    shared::infer(Some("onnx"), &[&[("model.onnx", MODEL)], &files[..]].concat());
});
