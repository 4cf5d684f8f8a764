//! Tests of fastai.

use std::path::{Path, PathBuf};

use super::*;
use crate::model::format::{Choice, detect};
use crate::model::tree::Selected;

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/models/fastai")
}

fn bytes(bytes: &[u8]) -> Option<crate::model::format::Detection> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("export.pkl");
    std::fs::write(&path, bytes).unwrap();
    let all = Selected { source: path, dest: b"export.pkl".to_vec() };
    let tree = Tree::scan(&[all], &|_, _| false, false).unwrap();
    detect(&tree, &Choice::default()).unwrap()
}

#[test]
fn the_first_name_of_a_pickle_is_that_of_its_root() {
    for (head, name) in [
        (&b"\x80\x02cfastai.learner\nLearner\nq\0"[..], Some(&b"fastai.learner"[..])),
        (
            b"\x80\x04\x95\x20\0\0\0\0\0\0\0\x8c\x0efastai.learner\x94\x8c\x07Learner\x94",
            Some(b"fastai.learner"),
        ),
        (b"\x80\x02}q\0", None),
        (b"\x80\x04\x95\x20", None),
        (b"\x80\x04\x8c\xff", None),
        (b"", None),
    ] {
        assert_eq!(first_name(head), name, "{head:?}");
    }
}

#[test]
fn what_is_harmless_in_one_form_is_not_in_another() {
    let judged = |pickle: &[u8]| {
        let mut read = pickle::read(&pickle, 0, &Limits::default()).unwrap();
        forgive(&mut read);
        let mut reading = Reading::default();
        pickle::verdict(&read, &Allow::FASTAI, "x", &mut reading);
        reading.findings.iter().map(|f| f.code).collect::<Vec<_>>()
    };
    let empty: [&str; 0] = [];
    assert_eq!(judged(b"\x80\x02c__builtin__\nprint\n."), empty);
    assert_eq!(judged(b"\x80\x02c__builtin__\nreduce\nc_operator\nor_\n]\x86R."), empty);
    assert_eq!(
        judged(b"\x80\x02c__builtin__\nreduce\ncos\nsystem\n]\x86R."),
        ["code-execution", "code-execution"]
    );
    assert_eq!(
        judged(b"\x80\x02c__builtin__\ngetattr\ncfastai.data.core\nFilteredBase\nX\x03\0\0\0new\x86R."),
        empty
    );
    assert!(!judged(b"\x80\x02c__builtin__\ngetattr\ncos\nenviron\nX\x03\0\0\0new\x86R.").is_empty());
    assert!(
        !judged(b"\x80\x02ccloudpickle.cloudpickle\n_builtin_type\nX\x08\0\0\0CodeType\x85R).").is_empty()
    );
}

/// Prefixes and flipped bytes: an answer or an error, and never a panic.
#[test]
fn damage_does_no_harm() {
    for case in ["fa_classes", "fa_vision"] {
        let good = std::fs::read(models().join(case).join("export.pkl")).unwrap();
        for at in (0..good.len()).step_by(good.len().div_ceil(100)) {
            let mut flipped = good.clone();
            flipped[at] = !flipped[at];
            for content in [&good[..at], &flipped] {
                let _ = bytes(content);
            }
        }
    }
}
