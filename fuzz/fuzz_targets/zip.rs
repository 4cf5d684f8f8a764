//! A zip archive: every entry is read.
#![no_main]

use floe::model::zip::Archive;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(archive) = Archive::open(&data) {
        for entry in archive.entries().iter().take(100) {
            let _read = archive.read(entry, 1 << 20);
            let _stored = archive.stored(entry);
        }
    }
});
