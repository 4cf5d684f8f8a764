//! What an author or a registry writes: a `serving.yaml`, a contract as text, as JSON and as protobuf.
#![no_main]

use floe::model::contract::{json, protobin};
use floe::model::definition::{self, prototxt};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(contract) = json::read(data) {
        let bytes = json::write(&contract).expect("a contract that was read can be written");
        assert_eq!(json::read(&bytes).expect("what was written can be read"), contract);
    }
    let _decoded = protobin::read(data);
    if let Ok(text) = std::str::from_utf8(data) {
        let _loaded = definition::load(text, "serving.yaml");
        let _contract = prototxt::parse(text, "contract.prototxt");
    }
});
