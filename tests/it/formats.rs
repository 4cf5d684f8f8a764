//! Every format against every model of `testdata/models` whose truth is known.

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
            assert_eq!(found.facts.get(key).map(String::as_str), value.as_str(), "{id}: {key}");
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
