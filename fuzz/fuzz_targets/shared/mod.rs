//! Models laid out in a folder, and read as `floe infer` reads them.
//!
//! Invariant: what floe holds in memory never exceeds [`MOST`]; a claim to more is a crash, which the fuzzer
//! reports. libFuzzer's own limits see only what was touched for a second or more.
#![allow(dead_code, reason = "each target uses a part of it")]

use std::alloc::System;
use std::cell::RefCell;
use std::path::Path;

use cap::Cap;
use flate2::Crc;
use floe::model::format::{Choice, document};
use floe::model::zip::Archive;
use floe::model::{Contract, Signature, contract, definition};
use tempfile::TempDir;

/// The most bytes that are held at a time: what floe promises, and what the target itself needs.
const MOST: usize = 160 << 20;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, MOST);

thread_local! {
    static DIR: RefCell<Option<TempDir>> = const { RefCell::new(None) };
}

/// Reads a model of these files, and writes all that is written of one.
pub fn infer(framework: Option<&str>, files: &[(&str, &[u8])]) {
    DIR.with_borrow_mut(|dir| {
        let dir = dir.get_or_insert_with(|| tempfile::tempdir().expect("a temporary folder can be made"));
        for (name, content) in files {
            write(&dir.path().join(name), content);
        }
        look(framework, dir.path());
    });
}

fn write(path: &Path, content: &[u8]) {
    if std::fs::write(path, content).is_err() {
        let folder = path.parent().expect("a file lies in a folder");
        std::fs::create_dir_all(folder).expect("a temporary folder can be made");
        std::fs::write(path, content).expect("a temporary file can be written");
    }
}

fn look(framework: Option<&str>, path: &Path) {
    let Ok(found) = floe::infer::infer(path, &Choice { framework, path: None }, false) else { return };
    let document = serde_json::to_string(&document::found(&found)).expect("a document can be written");
    drop(document);
    if let Some(contract) = &found.contract {
        let bytes = contract::json::write(contract).expect("a contract can be written");
        let read = contract::json::read(&bytes).expect("a contract that was written can be read");
        assert_eq!(&read, contract, "a contract is the same after it was written and read");
    }
    let starter = definition::starter("model", &found);
    // Names that no definition may have are refused; any other stands for itself, and nothing else is said.
    if let Ok(loaded) = definition::load(&starter, "serving.yaml") {
        let [only] = loaded.definitions.as_slice() else { panic!("not one definition:\n{starter}") };
        let names = |contract: Option<&Contract>| -> Vec<Vec<String>> {
            let all = contract.map(|c| c.signatures.as_slice()).unwrap_or_default();
            let of = |s: &Signature| s.inputs.iter().chain(&s.outputs).map(|t| t.name.clone()).collect();
            all.iter().map(of).collect()
        };
        assert_eq!(names(only.contract.as_ref()), names(found.contract.as_ref()), "names of a starter:\n{starter}");
        let plain = only.payload.is_none() && only.base.is_none() && only.runtime.is_none() && only.env.is_empty();
        assert!(plain && only.install_command.is_none(), "a starter says more:\n{starter}");
    }
}

/// An archive like `like`, with `content` in the place of each entry that ends in `name`, and no compression.
pub fn archive(like: &'static [u8], name: &str, content: &[u8]) -> Vec<u8> {
    let like = Archive::open(&like).expect("the example is an archive");
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for entry in like.entries() {
        let own = if entry.name.ends_with(name) { None } else { like.read(entry, 1 << 20).ok() };
        let bytes = own.as_deref().unwrap_or(content);
        let mut crc = Crc::new();
        crc.update(bytes);
        let size = (bytes.len() as u32).to_le_bytes();
        let fixed = [
            &[20, 0, 0, 0, 0, 0, 0, 0, 0, 0][..],
            &crc.sum().to_le_bytes(),
            &size,
            &size,
            &(entry.name.len() as u16).to_le_bytes(),
            &[0, 0],
        ]
        .concat();
        let offset = (out.len() as u32).to_le_bytes();
        for part in [&b"PK\x03\x04"[..], &fixed, entry.name.as_bytes(), bytes] {
            out.extend_from_slice(part);
        }
        for part in [&b"PK\x01\x02\x14\0"[..], &fixed, &[0; 10], &offset, entry.name.as_bytes()] {
            directory.extend_from_slice(part);
        }
    }
    let count = (like.entries().len() as u16).to_le_bytes();
    let end = [
        &b"PK\x05\x06\0\0\0\0"[..],
        &count,
        &count,
        &(directory.len() as u32).to_le_bytes(),
        &(out.len() as u32).to_le_bytes(),
        &[0, 0],
    ]
    .concat();
    out.extend(directory);
    out.extend(end);
    out
}
