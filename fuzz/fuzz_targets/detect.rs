//! A model file of any format: it is recognised and read, as `floe infer` does.
#![no_main]

use std::cell::RefCell;
use std::path::PathBuf;

use floe::model::format::{Choice, document};
use libfuzzer_sys::fuzz_target;

thread_local! {
    static DIR: RefCell<Option<(tempfile::TempDir, PathBuf)>> = const { RefCell::new(None) };
}

fuzz_target!(|data: &[u8]| {
    DIR.with_borrow_mut(|dir| {
        let (_keep, file) = dir.get_or_insert_with(|| {
            let dir = tempfile::tempdir().expect("a temporary folder can be made");
            let file = dir.path().join("model");
            (dir, file)
        });
        std::fs::write(&*file, data).expect("a temporary file can be written");
        if let Ok(found) = floe::infer::infer(file, &Choice::default(), false) {
            let _document = document::found(&found);
            let _starter = floe::model::definition::starter("model", &found);
        }
    });
});
