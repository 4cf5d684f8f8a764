//! Files of tensors, whole and broken, made by hand.

use super::header::Header;
use super::*;
use crate::model::format::{BUDGET, MAX_ENTRIES, Weight};
use crate::model::pb::Source;

fn file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

fn read(header: &str, data: usize) -> Result<Header> {
    read_header(&file(header, data), BUDGET)
}

fn error(header: &str, data: usize) -> String {
    read(header, data).unwrap_err().to_string()
}

#[test]
fn a_header_is_read() {
    let h = read(
        r#"{"__metadata__":{"format":"pt"},"b":{"dtype":"BF16","shape":[],"data_offsets":[8,10]},
            "a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},"none":{"dtype":"I64","shape":[0,3],"data_offsets":[10,10]}}   "#,
        10,
    )
    .unwrap();
    assert_eq!(h.metadata["format"], "pt");
    assert_eq!(
        h.tensors[1],
        Weight { name: "a".into(), dtype: Some("float32".into()), shape: Some(vec![Some(1), Some(2)]) }
    );
    assert_eq!((h.tensors[0].dtype.as_deref(), h.tensors.len()), (Some("bfloat16"), 3));
    assert!(h.warnings.is_empty());
    assert_eq!(read("{}", 0).unwrap().tensors, []);
}

#[test]
fn a_type_from_the_future_is_told() {
    let h = read(r#"{"a":{"dtype":"F2","shape":[8],"data_offsets":[0,2]}}"#, 2).unwrap();
    assert_eq!(h.tensors[0].dtype, None);
    assert!(h.warnings[0].contains("`F2`"));
}

#[test]
fn tensors_fill_the_file_exactly() {
    let two = |a: &str, b: &str| {
        format!(
            r#"{{"a":{{"dtype":"U8","shape":[2],"data_offsets":[{a}]}},"b":{{"dtype":"U8","shape":[2],"data_offsets":[{b}]}}}}"#
        )
    };
    assert!(read(&two("2,4", "0,2"), 4).is_ok());
    assert!(error(&two("0,2", "1,3"), 3).contains("share the bytes from 1"));
    assert!(error(&two("0,2", "3,5"), 5).contains("bytes 2 to 3"));
    assert!(error(&two("1,3", "3,5"), 5).contains("bytes 0 to 1"));
    assert!(error(&two("0,2", "2,4"), 3).contains("was cut off"));
    assert!(error(&two("0,2", "2,4"), 5).contains("1 bytes after"));
    assert!(error(&two("2,0", "2,4"), 4).contains("ends before"));
    assert!(error(&two("0,3", "3,5"), 5).contains("do not agree"));
    assert!(error(&two("0,18446744073709551615", "0,2"), 2).contains("do not agree"));
}

#[test]
fn what_is_broken_is_refused() {
    for (header, what) in [
        (r#"{"a":{"dtype":"U8","shape":[18446744073709551615,9],"data_offsets":[0,0]}}"#, "do not agree"),
        (r#"{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}}"#, "do not agree"),
        (r#"{"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,0]}}"#, "JSON"),
        (r#"{"a":{"dtype":"U8","shape":[0]}}"#, "data_offsets"),
        (r#"{"a":{"dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#, "duplicate"),
        (
            r#"{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#,
            "twice",
        ),
        (r#"{"__metadata__":{"a":1}}"#, "JSON"),
        (r#"{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}} x"#, "trailing"),
        (r#"["a"]"#, "an object"),
        (r#"{"a"#, "JSON"),
    ] {
        assert!(error(header, 0).contains(what), "{header}: {}", error(header, 0));
    }
    let dims = vec!["1"; 65].join(",");
    let deep = "[".repeat(100_000);
    assert!(
        error(&format!(r#"{{"a":{{"dtype":"U8","shape":[{dims}],"data_offsets":[0,1]}}}}"#), 1)
            .contains("64")
    );
    assert!(error(&format!(r#"{{"a":{{"x":{deep}"#), 0).contains("JSON"));
    let long = "x".repeat(5 << 20);
    assert!(error(&format!(r#"{{"{long}":1}}"#), 0).contains("text"));
}

/// A header of a claimed length and nothing behind it that has to be in memory.
struct Hollow {
    head: Vec<u8>,
    size: u64,
}

impl Source for Hollow {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let n = buf.len().min(usize::try_from(self.size.saturating_sub(offset)).unwrap());
        for (i, b) in buf[..n].iter_mut().enumerate() {
            *b = self.head.get(usize::try_from(offset).unwrap() + i).copied().unwrap_or(b' ');
        }
        Ok(n)
    }
}

#[test]
fn absurd_lengths_take_no_memory() {
    let hollow = |length: u64, size| {
        let mut head = length.to_le_bytes().to_vec();
        head.extend(b"{}");
        Hollow { head, size }
    };
    assert!(read_header(&hollow(u64::MAX, 100), BUDGET).is_err());
    assert!(read_header(&hollow(100_000_001, 1 << 40), BUDGET).is_err());
    assert!(read_header(&hollow(50, 57), BUDGET).is_err());
    let over = read_header(&hollow(90_000_000, 90_000_008), BUDGET).unwrap();
    assert!(over.warnings[0].contains("was not read"));
}

#[test]
fn of_too_many_tensors_the_first_are_listed() {
    let entry = |i: usize| format!(r#""{i}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#);
    let all: Vec<String> = (0..MAX_ENTRIES + 2).map(entry).collect();
    let h = read(&format!("{{{}}}", all.join(",")), 0).unwrap();
    assert_eq!((h.tensors.len(), h.warnings.len()), (MAX_ENTRIES, 1));
}

#[test]
fn every_cut_and_flip_ends_well() {
    let whole =
        file(r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}}"#, 8);
    for n in 0..whole.len() {
        assert!(read_header(&whole[..n].to_vec(), BUDGET).is_err());
        for bit in 0..8 {
            let mut flipped = whole.clone();
            flipped[n] ^= 1 << bit;
            let _ = read_header(&flipped, BUDGET);
        }
    }
}
