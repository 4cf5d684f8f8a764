//! A list of arrays of MXNet, beside a graph that names some of them.
#![no_main]

mod shared;

use libfuzzer_sys::fuzz_target;

const SYMBOL: &[u8] = include_bytes!("../../testdata/models/mxnet/mx_dev_gluon/model/net-symbol.json");

fuzz_target!(|data: &[u8]| {
    shared::infer(Some("mxnet"), &[("net-symbol.json", SYMBOL), ("net-0000.params", data)]);
});
