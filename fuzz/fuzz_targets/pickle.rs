//! A pickle, plain or compressed as joblib does: read, judged, and asked for all that it holds.
#![no_main]

use floe::model::format::Reading;
use floe::model::pickle::{Allow, Limits, Node, open, peek};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _peek = peek(&data, &data[..data.len().min(4096)]);
    let Ok(stored) = open(&data, &Limits::default()) else { return };
    let mut reading = Reading::default();
    stored.verdict(&Allow::SKLEARN, "model.pkl", &mut reading);
    let pickle = stored.pickle();
    for (id, node) in pickle.nodes() {
        let _class =
            (pickle.class(id), pickle.int(id), pickle.str(id), pickle.float(id), pickle.attr(id, "x"));
        if let Node::Array(array) = node {
            let _values = (array.ints(), array.floats(), array.texts(), array.labels(pickle));
        }
    }
});
