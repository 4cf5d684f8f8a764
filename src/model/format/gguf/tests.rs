//! Files of GGUF, whole and broken, made by hand.

use super::file::{Read, read};
use crate::model::format::BUDGET;

/// Writes a file of one version and byte order.
struct Writer {
    bytes: Vec<u8>,
    version: u32,
    big: bool,
}

impl Writer {
    fn new(version: u32, big: bool, tensors: u64, pairs: u64) -> Self {
        let mut w = Self { bytes: b"GGUF".to_vec(), version, big };
        w.u32(version);
        w.count(tensors);
        w.count(pairs);
        w
    }

    fn u32(&mut self, n: u32) {
        self.bytes.extend(if self.big { n.to_be_bytes() } else { n.to_le_bytes() });
    }

    fn u64(&mut self, n: u64) {
        self.bytes.extend(if self.big { n.to_be_bytes() } else { n.to_le_bytes() });
    }

    fn count(&mut self, n: u64) {
        if self.version == 1 { self.u32(u32::try_from(n).unwrap()) } else { self.u64(n) }
    }

    fn text(&mut self, text: &str) {
        self.count(text.len() as u64);
        self.bytes.extend(text.as_bytes());
    }

    fn pair(&mut self, key: &str, text: &str) {
        self.text(key);
        self.u32(8);
        self.text(text);
    }

    fn number(&mut self, key: &str, n: u32) {
        self.text(key);
        self.u32(4);
        self.u32(n);
    }

    fn tensor(&mut self, name: &str, dims: &[u64], kind: u32, offset: u64) {
        self.text(name);
        self.u32(u32::try_from(dims.len()).unwrap());
        for d in dims {
            self.count(*d);
        }
        self.u32(kind);
        self.u64(offset);
    }

    fn finish(mut self, data: usize) -> Vec<u8> {
        self.bytes.resize(self.bytes.len().next_multiple_of(32) + data, 0);
        self.bytes
    }
}

fn example(version: u32, big: bool) -> Vec<u8> {
    let mut w = Writer::new(version, big, 2, 4);
    w.pair("general.architecture", "llama");
    w.number("llama.context_length", 64);
    w.text("tokenizer.ggml.tokens");
    w.u32(9);
    w.u32(8);
    w.count(2);
    w.text("a");
    w.text("bc");
    w.number("general.file_type", 15);
    w.tensor("x", &[256, 3], 12, 0);
    w.tensor("y", &[5], 0, 448);
    w.finish(448 + 20)
}

fn fails(w: Writer, data: usize) -> String {
    read(&w.finish(data), BUDGET).unwrap_err().to_string()
}

#[test]
fn all_versions_and_orders() {
    for version in 1..=3 {
        for big in [false, true] {
            let r: Read = read(&example(version, big), BUDGET).unwrap();
            assert_eq!(r.facts["gguf.general.architecture"], "llama", "{version} {big}");
            assert_eq!(r.facts["gguf.llama.context_length"], 64);
            assert_eq!(r.facts["gguf.tokenizer.ggml.tokens.length"], 2);
            assert_eq!(r.facts["gguf.quantization"], "Q4_K_M");
            assert_eq!(r.tensors[0].shape, Some(vec![Some(3), Some(256)]));
            assert_eq!(r.tensors[0].dtype.as_deref(), Some("q4_k"));
            assert_eq!(r.tensors[1].shape, Some(vec![Some(5)]));
        }
    }
}

#[test]
fn what_is_broken_is_refused() {
    assert!(fails(Writer::new(4, false, 0, 0), 0).contains("version 4"));
    assert!(fails(Writer::new(3, false, u64::MAX, 0), 0).contains("too small"));
    assert!(fails(Writer::new(3, false, 0, u64::MAX), 0).contains("too small"));
    let tensors = |list: &[(&str, &[u64], u32, u64)], data: usize| {
        let mut w = Writer::new(3, false, list.len() as u64, 0);
        for (name, dims, kind, offset) in list {
            w.tensor(name, dims, *kind, *offset);
        }
        fails(w, data)
    };
    assert!(tensors(&[("a", &[4], 0, 0), ("b", &[4], 0, 0)], 16).contains("share"));
    assert!(tensors(&[("a", &[4], 0, 0), ("a", &[4], 0, 32)], 64).contains("twice"));
    assert!(tensors(&[("a", &[4], 0, 0)], 15).contains("cut off"));
    assert!(tensors(&[("a", &[4], 0, 16)], 64).contains("aligned"));
    assert!(tensors(&[("a", &[31], 2, 0)], 64).contains("cannot have"));
    assert!(tensors(&[("a", &[u64::MAX, 2], 0, 0)], 64).contains("cannot have"));
    assert!(tensors(&[("a", &[1, 1, 1, 1, 1], 0, 0)], 64).contains("5 dimensions"));
    let mut w = Writer::new(3, false, 0, 1);
    w.number("general.alignment", 0);
    assert!(fails(w, 0).contains("power of two"));
    let mut w = Writer::new(3, false, 0, 1);
    w.text("deep");
    w.u32(9);
    for _ in 0..10 {
        w.u32(9);
        w.u64(1);
    }
    assert!(fails(w, 100).contains("nested"));
    let mut w = Writer::new(3, false, 0, 1);
    w.text("long");
    w.u32(9);
    w.u32(10);
    w.u64(u64::MAX / 4);
    assert!(fails(w, 100).contains("too small"));
}

#[test]
fn an_unknown_type_is_told() {
    let mut w = Writer::new(3, false, 1, 0);
    w.tensor("a", &[4], 999, 0);
    let r = read(&w.finish(0), BUDGET).unwrap();
    assert_eq!(r.tensors[0].dtype, None);
    assert!(r.warnings[0].contains("999"));
}

#[test]
fn at_the_budget_what_was_read_is_told() {
    let r = read(&example(3, false), 600).unwrap();
    assert!(r.facts.contains_key("gguf.version") || !r.warnings.is_empty());
    let mut w = Writer::new(3, false, 0, 1);
    w.text("x");
    w.u32(9);
    w.u32(8);
    w.u64(100_000);
    let r = read(&w.finish(900_000), 10_000).unwrap();
    assert!(r.warnings[0].contains("10000 bytes"));
    assert_eq!(r.facts["gguf.version"], 3);
}

#[test]
fn every_cut_and_flip_ends_well() {
    for version in [1, 3] {
        let whole = example(version, false);
        for n in 0..whole.len() {
            assert!(read(&whole[..n].to_vec(), BUDGET).is_err());
        }
        for n in 0..400.min(whole.len()) {
            for bit in 0..8 {
                let mut flipped = whole.clone();
                flipped[n] ^= 1 << bit;
                let _ = read(&flipped, BUDGET);
            }
        }
    }
}

#[test]
fn names_are_bounded_one_by_one_and_together() {
    let file = |count: u64, length: usize| {
        let mut w = Writer::new(3, false, 0, count);
        for i in 0..count {
            w.pair(&format!("{i:05}{}", "k".repeat(length - 5)), "v");
        }
        read(&w.bytes, BUDGET).map(|r| r.facts.len())
    };
    assert!(file(3, 60_000).unwrap() >= 3);
    assert!(file(1, 70_000).unwrap_err().message().contains("at most 65535"));
    assert!(file(300, 60_000).unwrap_err().message().contains("bytes together"));
}
