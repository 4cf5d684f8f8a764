//! Every format against every model of `testdata/models` whose truth is known.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use floe::model::contract::Tensor;
use floe::model::format::{Choice, FORMATS, detect};
use floe::model::tree::{Selected, Tree};
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

/// The tree of a file or a folder.
fn tree(path: &Path) -> Tree {
    let dest = if path.is_dir() { Vec::new() } else { path.file_name().unwrap().as_encoded_bytes().to_vec() };
    Tree::scan(&[Selected { source: path.to_owned(), dest }], &|_, _| false, false).unwrap()
}

/// Every case: the folder with its `truth.json`.
fn cases() -> Vec<(PathBuf, Value)> {
    let mut found = Vec::new();
    let list = |dir: &Path| -> Vec<PathBuf> {
        let mut all: Vec<_> =
            fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()).collect();
        all.sort();
        all
    };
    for format in list(&root().join("models")) {
        for case in list(&format) {
            let truth = fs::read(case.join("truth.json")).unwrap();
            found.push((case, serde_json::from_slice(&truth).unwrap()));
        }
    }
    found
}

/// The model of a case lies where the last component of the truth's `path` says.
fn model(case: &Path, truth: &Value) -> PathBuf {
    case.join(truth["path"].as_str().unwrap().rsplit('/').next().unwrap())
}

/// The dtype in the truth's words, which tell references from their targets.
fn dtype(t: &Tensor) -> Option<String> {
    let native = t.native_type.clone().filter(|n| n.ends_with("_ref"));
    native.or(t.dtype.map(|d| d.name().to_owned()))
}

fn same(case: &str, truth: &Value, got: &[Tensor]) {
    let truth = truth.as_array().unwrap();
    // Inputs with a default of their own are more than the truth lists.
    let got: Vec<&Tensor> =
        got.iter().filter(|t| !t.optional || truth.iter().any(|w| w["name"] == t.name.as_str())).collect();
    assert_eq!(got.len(), truth.len(), "{case}: {got:?}");
    for want in truth {
        let name = want["name"].as_str().unwrap();
        let t = got.iter().find(|t| t.name == name).unwrap_or_else(|| panic!("{case}: no `{name}`"));
        assert_eq!(dtype(t).as_deref(), want["dtype"].as_str(), "{case}: dtype of `{name}`");
        assert_eq!(serde_json::to_value(&t.shape).unwrap(), want["shape"], "{case}: shape of `{name}`");
        let optional = want["optional"].as_bool().unwrap_or(t.optional);
        assert_eq!(t.optional, optional, "{case}: `{name}`");
    }
}

#[test]
fn every_determinable_fact_of_every_model_is_right() {
    let mut seen = Vec::new();
    for (case, truth) in cases() {
        let id = truth["id"].as_str().unwrap();
        let found = detect(&tree(&model(&case, &truth)), &Choice::default()).unwrap().unwrap();
        assert_eq!(found.failure, None, "{id}");
        assert_eq!(found.format, truth["format"], "{id}");
        assert!(FORMATS.iter().any(|f| f.name() == found.format));
        let signatures = found.contract.map(|c| c.signatures).unwrap_or_default();
        let wanted = truth["signatures"].as_array().unwrap();
        assert_eq!(signatures.len(), wanted.len(), "{id}");
        for (i, want) in wanted.iter().enumerate() {
            let s = match want["name"].as_str() {
                Some(name) => signatures.iter().find(|s| s.name == name).unwrap(),
                None => &signatures[i],
            };
            same(id, &want["inputs"], &s.inputs);
            same(id, &want["outputs"], &s.outputs);
        }
        for (key, value) in truth["facts"].as_object().into_iter().flatten() {
            assert_eq!(found.facts.get(key), Some(value), "{id}: {key}");
        }
        let codes: Vec<&str> = found.findings.iter().map(|f| f.code).collect();
        let none = Vec::new();
        for code in truth["findings"].as_array().unwrap_or(&none) {
            assert!(codes.contains(&code.as_str().unwrap()), "{id}: {code} is not among {codes:?}");
        }
        seen.push(found.format);
    }
    for format in FORMATS {
        assert!(
            seen.contains(&format.name()),
            "no model of the format `{}` is in testdata/models",
            format.name()
        );
    }
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
    for (case, truth) in cases() {
        let model = model(&case, &truth);
        let file = [model.join("model.onnx"), model.join("saved_model.pb"), model];
        let file = file.iter().find(|f| f.is_file()).unwrap();
        let good = fs::read(file).unwrap();
        let target = dir.path().join(file.file_name().unwrap());
        let step = good.len().div_ceil(200);
        for at in (0..good.len()).step_by(step) {
            let mut flipped = good.clone();
            flipped[at] = !flipped[at];
            for bytes in [&good[..at], &flipped] {
                fs::write(&target, bytes).unwrap();
                let found = detect(&tree(&target), &Choice::default()).unwrap();
                if let Some(found) = found {
                    assert!(found.contract.is_none() || found.failure.is_none());
                    serde_json::to_string(&found).unwrap();
                }
                tried += 1;
            }
        }
    }
    assert!(tried > 1000);
}
