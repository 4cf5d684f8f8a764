//! Tests of the format as a whole; those of the parts are beside them.

use std::path::{Path, PathBuf};

use super::*;
use crate::model::format::{Choice, detect};
use crate::model::tree::Selected;

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/models/pytorch")
}

fn look(path: &Path, name: &str) -> Option<crate::model::format::Detection> {
    let all = Selected { source: path.to_owned(), dest: name.as_bytes().to_vec() };
    let tree = Tree::scan(&[all], &|_, _| false, false).unwrap();
    detect(&tree, &Choice::default()).unwrap()
}

fn bytes(bytes: &[u8], name: &str) -> Option<crate::model::format::Detection> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    look(&path, name)
}

#[test]
fn what_is_not_read_is_named() {
    for (content, framework) in
        [(&b"\x1c\0\0\0ET12\0\0\0\0"[..], "executorch"), (b"\x1c\0\0\0PTMF\0\0\0\0", "torchscript")]
    {
        let found = bytes(content, "model.bin").unwrap();
        assert_eq!((found.format, found.framework.as_str()), ("pytorch", framework));
        assert_eq!(found.findings[0].code, "unread-serialization");
        assert_eq!(found.contract, None);
    }
    let mut tar = vec![0; 1024];
    tar[..8].copy_from_slice(b"sys_info");
    tar[257..262].copy_from_slice(b"ustar");
    assert_eq!(bytes(&tar, "old.pt").unwrap().findings[0].code, "unread-serialization");
}

#[test]
fn the_name_of_a_file_decides_nothing() {
    let model = models().join("pt215_whole_mlp/model.pt");
    let found = look(&model, "something.pkl").unwrap();
    assert_eq!(found.format, "pytorch");
    assert_eq!(found.contract.unwrap().signatures[0].inputs[0].shape, Some(vec![None, Some(4)]));
}

#[test]
fn a_file_that_was_cut_off_is_recognised_and_broken() {
    let whole = std::fs::read(models().join("pt215_sd_types/model.pt")).unwrap();
    let found = bytes(&whole[..whole.len() / 2], "model.pt").unwrap();
    assert_eq!(found.format, "pytorch");
    assert!(found.failure.unwrap().contains("cut off"));
}

#[test]
fn other_formats_may_ask_for_the_table_alone() {
    for case in ["pt215_sd_types", "pt222_sd_legacy", "pt215_sd_legacy4", "pt140_sd_types"] {
        let bytes = std::fs::read(models().join(case).join("model.pt")).unwrap();
        assert!(tensors_of(&bytes).unwrap().len() >= 8, "{case}");
    }
    assert!(tensors_of(&b"nothing".to_vec()).is_err());
}

#[test]
fn code_in_a_checkpoint_is_found() {
    let mut file = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.".to_vec();
    file.extend(b"\x80\x02cos\nsystem\nX\x04\0\0\0true\x85R.");
    let found = bytes(&file, "model.pth").unwrap();
    assert_eq!(found.facts["serialization"], "legacy");
    assert!(found.findings.iter().any(|f| f.code == "code-execution"), "{:?}", found.findings);
}

/// Prefixes and flipped bytes of every container: an answer or an error, and never a panic.
#[test]
fn damage_does_no_harm() {
    for case in
        ["pt215_sd_special", "pt215_whole_mlp", "pt140_whole_mlp", "pt215_ts_many", "pt215_pt2_pytree"]
    {
        let folder = models().join(case);
        let file =
            [folder.join("model.pt"), folder.join("model.pt2")].into_iter().find(|f| f.is_file()).unwrap();
        let good = std::fs::read(file).unwrap();
        for at in (0..good.len()).step_by(good.len().div_ceil(150)) {
            let mut flipped = good.clone();
            flipped[at] = !flipped[at];
            for content in [&good[..at], &flipped] {
                let _ = bytes(content, "m.bin");
                let _ = tensors_of(&content.to_vec());
            }
        }
    }
}

/// A pickle whose modules contain one another a thousand deep, and one that contains itself.
#[test]
fn deep_and_cyclic_modules_end() {
    // Written with opcodes of protocol 0 to 2: a class, NEWOBJ, a state with the three dicts.
    let open = b"ctorch.nn.modules.container\nSequential\n)\x81}(X\x0b\0\0\0_parameters}X\x08\0\0\0_modules}X\x01\0\0\x000";
    let close = b"sub";
    let mut deep = b"\x80\x02".to_vec();
    for _ in 0..2000 {
        deep.extend(open);
    }
    deep.push(b'N');
    for _ in 0..2000 {
        deep.extend(close);
    }
    deep.push(b'.');
    let read = pickle::read(&deep, 0, &Limits::default()).unwrap();
    let root = read.pickle.root().unwrap();
    assert!(modules::is_module(&read.pickle, root));
    assert!(modules::walk(&read.pickle, root).cut);
    assert_eq!(sequence::layers(&read.pickle, root).map(|l| l.len()), Some(0));

    let cyclic = [
        &b"\x80\x02ctorch.nn.modules.container\nSequential\n)\x81q\0}(X\x0b\0\0\0_parameters}X\x08\0\0\0_modules}"[..],
        b"X\x01\0\0\x000h\0sub.",
    ]
    .concat();
    let read = pickle::read(&cyclic, 0, &Limits::default()).unwrap();
    let root = read.pickle.root().unwrap();
    assert!(modules::walk(&read.pickle, root).cut);
    assert_eq!(sequence::layers(&read.pickle, root), None);
}
