//! JSON and UBJSON that are read token by token: all of it is skipped over.
#![no_main]

use floe::model::pull::{Json, Pull, Stream, Ubj};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let limit = data.len() as u64;
    let _json = Json::new(Stream::new(&data, 0, limit)).skip();
    let _ubj = Ubj::new(Stream::new(&data, 0, limit)).skip();
});
