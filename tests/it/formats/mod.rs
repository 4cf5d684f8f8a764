//! Every format against every model of `testdata/models` whose truth is known.

#![allow(clippy::unwrap_used)]

mod malformed;
mod score;
mod sweeps;

use std::fs;
use std::path::{Path, PathBuf};

use floe::model::format::{Choice, FORMATS, detect};
use score::tree;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

/// The smallest share of knowable facts in per cent: of inputs, of outputs. What is not listed has to
/// be right to the last fact.
const BARS: &[(&str, f64, f64)] = &[
    ("keras", 100.0, 98.0),
    ("spark", 98.0, 98.0),
    ("sklearn", 98.0, 98.0),
    ("mxnet", 95.0, 95.0),
    ("theano", 95.0, 95.0),
    ("pytorch", 95.0, 95.0),
    ("fastai", 95.0, 95.0),
    ("huggingface", 95.0, 95.0),
];

#[test]
fn what_the_files_hold_is_told_and_nothing_is_wrong() {
    let all = score::folder(&root().join("models"));
    for (format, count) in &all {
        assert!(count.wrong.is_empty(), "{format}: {:#?}", count.wrong);
        let (_, inputs, outputs) =
            BARS.iter().copied().find(|(f, ..)| f == format).unwrap_or(("", 100.0, 100.0));
        let low = count.inputs.percent() < inputs || count.outputs.percent() < outputs;
        assert!(!low && count.weights.percent() == 100.0, "{format}: {:#?}", count.missing);
    }
    for format in FORMATS {
        assert!(all.contains_key(format.name()), "no model of `{}` is in testdata/models", format.name());
    }
}

/// The README's table is made from what the suite counts: `FLOE_WRITE_TABLE=1 cargo test --release
/// formats::` writes it anew.
#[test]
fn the_table_in_the_readme_is_what_the_suite_counts() {
    const BEGIN: &str = "<!-- formats: begin -->\n";
    const END: &str = "<!-- formats: end -->";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(&path).unwrap();
    let begin = readme.find(BEGIN).unwrap() + BEGIN.len();
    let end = readme.find(END).unwrap();
    let table = score::table(&score::folder(&root().join("models")));
    if std::env::var_os("FLOE_WRITE_TABLE").is_some() {
        fs::write(&path, format!("{}{table}{}", &readme[..begin], &readme[end..])).unwrap();
        return;
    }
    assert_eq!(&readme[begin..end], table, "write it anew with FLOE_WRITE_TABLE=1");
}

/// A broken model is recognised, told apart from none, and has no contract.
#[test]
fn hostile_models_fail_and_say_why() {
    let mut files: Vec<PathBuf> = Vec::new();
    let mut folders = vec![root().join("hostile")];
    while let Some(folder) = folders.pop() {
        for item in fs::read_dir(folder).unwrap() {
            let path = item.unwrap().path();
            match path.extension().and_then(|e| e.to_str()) {
                None if path.is_dir() => folders.push(path),
                Some("onnx" | "pb" | "pbtxt") => files.push(path),
                _ => {}
            }
        }
    }
    assert!(files.len() >= 7, "{files:?}");
    for file in files {
        let found = detect(&tree(&file), &Choice::default()).unwrap().unwrap();
        assert_eq!(found.contract, None, "{}", file.display());
        let why = found.failure.unwrap();
        assert!(why.contains(file.file_name().unwrap().to_str().unwrap()), "{why}");
    }
}

/// Prefixes and flipped bytes of real models: an answer or an error, and never a panic.
#[test]
fn damaged_models_do_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let mut tried = 0;
    for (model, _) in score::cases(&root().join("models")) {
        // In a folder every file is damaged in turn, the others stay.
        let mut files = Vec::new();
        list(&model, &mut files);
        let spread = files.len().min(4);
        let target = dir.path().join(tried.to_string());
        if model.is_dir() {
            copy(&model, &target);
        }
        for file in files {
            let good = fs::read(&file).unwrap();
            if good.is_empty() {
                continue;
            }
            let place = match file.strip_prefix(&model) {
                Ok(inside) if model.is_dir() => target.join(inside),
                _ => {
                    fs::create_dir_all(&target).unwrap();
                    target.join(file.file_name().unwrap())
                }
            };
            let step = good.len().div_ceil(60 / spread);
            for at in (0..good.len()).step_by(step) {
                let mut flipped = good.clone();
                flipped[at] = !flipped[at];
                for bytes in [&good[..at], &flipped] {
                    fs::write(&place, bytes).unwrap();
                    // Damage can also make two models of one, which is an error.
                    if let Ok(Some(found)) = detect(&tree(&target), &Choice::default()) {
                        assert!(found.contract.is_none() || found.failure.is_none());
                        serde_json::to_string(&found).unwrap();
                    }
                    tried += 1;
                }
            }
            fs::write(&place, good).unwrap();
        }
    }
    assert!(tried > 1000);
}

fn list(path: &Path, into: &mut Vec<PathBuf>) {
    if path.is_file() {
        into.push(path.to_owned());
        return;
    }
    for item in fs::read_dir(path).unwrap() {
        list(&item.unwrap().path(), into);
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for item in fs::read_dir(from).unwrap() {
        let item = item.unwrap();
        let target = to.join(item.file_name());
        if item.path().is_dir() {
            copy(&item.path(), &target);
        } else {
            fs::copy(item.path(), target).unwrap();
        }
    }
}
