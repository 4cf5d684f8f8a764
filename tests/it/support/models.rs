//! Models for the tests, made on the spot: names that no repository holds, sizes that none should.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// From this size on a file is a layer of its own.
pub(crate) const OWN_LAYER: u64 = 32 << 20;

/// Bytes that no compressor makes smaller, the same for the same seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut out = Vec::with_capacity(length + 8);
    while out.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(length);
    out
}

/// A file of `testdata/models`.
pub(crate) fn example(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/models").join(path)
}

/// A path of any bytes below a folder.
pub(crate) fn below(folder: &Path, name: &[u8]) -> PathBuf {
    folder.join(OsStr::from_bytes(name))
}

/// Writes a file and the folders above it.
pub(crate) fn write(path: &Path, content: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Sets the mode of a file.
pub(crate) fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A component of the length that file systems allow at most, and a path far over 255 bytes.
pub(crate) fn long_name() -> String {
    format!("deep/{}/{}/{}.txt", "d".repeat(90), "e".repeat(120), "f".repeat(251))
}

/// A small model with everything that a tar can get wrong, and an ONNX model so that there is a
/// contract. All of it is smaller than 1 MiB: one layer, and that of the contract.
pub(crate) fn small(folder: &Path) {
    let at = |name: &str| folder.join(name);
    fs::create_dir_all(folder).unwrap();
    fs::copy(example("onnx/on_dev_scaler/model.onnx"), at("model.onnx")).unwrap();
    mode(&at("model.onnx"), 0o600);
    write(&at("code/run.sh"), b"#!/bin/sh\nexec python run.py\n");
    mode(&at("code/run.sh"), 0o755);
    write(&at("code/run.py"), "print('grüß dich')\n".repeat(200).as_bytes());
    mode(&at("code/run.py"), 0o664);
    write(&at("code/none.txt"), b"");
    write(&at(&long_name()), b"long");
    write(&at(&format!("{}.txt", "n".repeat(96))), b"exactly one hundred bytes with its folder or over");
    write(&at("модель/größe.json"), b"{\"a\": 1}");
    write(&below(folder, b"latin/caf\xe9.txt"), b"not UTF-8");
    fs::create_dir_all(at("empty/deeper")).unwrap();
    symlink("model.onnx", at("latest.onnx")).unwrap();
    symlink("../модель/größe.json", at("code/size.json")).unwrap();
    symlink("code", at("program")).unwrap();
    symlink(long_name(), at("far")).unwrap();
}

/// The same with two files of 1 MiB and over, which share a layer.
pub(crate) fn grouped(folder: &Path) {
    small(folder);
    write(&folder.join("medium-a.bin"), &noise(1, (1 << 20) + 17));
    write(&folder.join("medium-b.bin"), &noise(2, 1 << 20));
}

/// The same with a file for every rule of the split: one of 33 MiB, all of it a hole, is a layer of
/// its own.
pub(crate) fn layered(folder: &Path) {
    grouped(folder);
    let big = fs::File::create(folder.join("big.bin")).unwrap();
    big.set_len(OWN_LAYER + (1 << 20) + 5).unwrap();
}

/// What matters of an entry once it is unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Dir,
    File { executable: bool, content: u64, length: u64 },
    Link(Vec<u8>),
}

/// All entries below a folder by their path.
pub(crate) fn listing(folder: &Path) -> BTreeMap<Vec<u8>, Found> {
    let mut all = BTreeMap::new();
    visit(folder, b"", &mut all);
    all
}

fn visit(folder: &Path, prefix: &[u8], all: &mut BTreeMap<Vec<u8>, Found>) {
    for item in fs::read_dir(folder).unwrap() {
        let path = item.unwrap().path();
        let name = [prefix, path.file_name().unwrap().as_bytes()].concat();
        let meta = path.symlink_metadata().unwrap();
        let found = if meta.is_dir() {
            visit(&path, &[&name[..], b"/"].concat(), all);
            Found::Dir
        } else if meta.is_symlink() {
            Found::Link(fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec())
        } else {
            assert!(meta.is_file(), "{}", path.display());
            let executable = meta.permissions().mode() & 0o100 != 0;
            Found::File { executable, content: checksum(&path), length: meta.len() }
        };
        all.insert(name, found);
    }
}

/// The first eight bytes of a file's digest: enough to tell files apart.
fn checksum(path: &Path) -> u64 {
    let digest = floe::oci::Digest::of(&fs::read(path).unwrap());
    u64::from_str_radix(&digest.hex()[..16], 16).unwrap()
}
