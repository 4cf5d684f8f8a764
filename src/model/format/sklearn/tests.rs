use std::fs;
use std::path::{Path, PathBuf};

use super::{read_bytes, skops};
use crate::error::Kind;
use crate::model::format::{Choice, Reading, detect};
use crate::model::tree::{Selected, Tree};

/// An object of a class with attributes that are written as a pickle of protocol 0.
fn object(class: &str, attributes: &str) -> String {
    let (module, name) = class.rsplit_once('.').unwrap();
    format!("ccopy_reg\n_reconstructor\n(c{module}\n{name}\nc__builtin__\nobject\nNtR(d{attributes}b")
}

const TREE: &str = "S'n_outputs_'\nI1\nsS'n_features_in_'\nI3\nsS'_sklearn_version'\nS'1.4.0'\ns";
const SCALER: &str = "S'mean_'\nNsS'n_features_in_'\nI3\nsS'_sklearn_version'\nS'1.4.0'\ns";

fn tree() -> String {
    object("sklearn.tree._classes.DecisionTreeRegressor", TREE)
}

fn read(pickle: &str) -> Reading {
    read_bytes(format!("{pickle}.").as_bytes()).unwrap()
}

fn codes(reading: &Reading) -> Vec<&'static str> {
    reading.findings.iter().map(|f| f.code).collect()
}

fn models() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/models/sklearn");
    let mut found: Vec<_> = fs::read_dir(root)
        .unwrap()
        .flat_map(|case| fs::read_dir(case.unwrap().path()).unwrap())
        .map(|file| file.unwrap().path())
        .filter(|file| !file.ends_with("truth.json"))
        .collect();
    found.sort();
    found
}

#[test]
fn the_state_gives_the_contract() {
    let reading = read(&tree());
    let signature = &reading.contract.as_ref().unwrap().signatures[0];
    assert_eq!(signature.name, "predict");
    assert_eq!(signature.inputs[0].shape, Some(vec![None, Some(3)]));
    assert_eq!(signature.inputs[0].dtype, None);
    assert_eq!(signature.outputs[0].shape, Some(vec![None]));
    assert_eq!(reading.framework_version.as_deref(), Some("1.4.0"));
}

#[test]
fn one_predictor_in_a_dict_is_the_model() {
    let scaler = object("sklearn.preprocessing._data.StandardScaler", SCALER);
    let reading = read(&format!("(dS'scaler'\n{scaler}sS'parts'\n(l{}as", tree()));
    assert_eq!(reading.facts["path_in_object"], "parts[0]");
    assert_eq!(reading.contract.unwrap().signatures[0].name, "predict");
}

#[test]
fn several_predictors_are_ambiguous() {
    let pickle = format!("(dS'a'\n{}sS'b'\n{}s.", tree(), tree());
    let error = read_bytes(pickle.as_bytes()).unwrap_err();
    assert_eq!(error.kind(), Kind::Model);
    assert!(error.message().contains("`a`") && error.message().contains("`b`"), "{}", error.message());
}

#[test]
fn several_encoders_are_no_model() {
    let scaler = object("sklearn.preprocessing._data.StandardScaler", SCALER);
    let reading = read(&format!("(dS'a'\n{scaler}sS'b'\n{scaler}s"));
    assert_eq!(reading.contract, None);
    assert_eq!(reading.facts["sklearn.objects"]["a"], "sklearn.preprocessing._data.StandardScaler");
}

#[test]
fn a_class_of_ones_own_has_no_contract() {
    let step = object("__main__.Model", TREE);
    let pipeline = object("sklearn.pipeline.Pipeline", &format!("S'steps'\n(l(S'own'\n{step}tas"));
    let reading = read(&pipeline);
    assert_eq!(reading.contract, None);
    assert_eq!(reading.facts["steps"][0][1], "__main__.Model");
    // The rules of a class do not hold for one that merely has its name.
    assert_eq!(read(&object("other.DecisionTreeRegressor", TREE)).contract, None);
}

#[test]
fn what_was_not_fitted_cannot_predict() {
    let reading = read(&object("sklearn.tree._classes.DecisionTreeRegressor", "S'max_depth'\nI3\ns"));
    assert_eq!(codes(&reading), ["not-fitted"]);
    assert_eq!(reading.contract, None);
    assert_eq!(reading.facts["params"]["max_depth"], 3);
}

#[test]
fn a_pipeline_may_hold_itself() {
    let head = "ccopy_reg\n_reconstructor\n(csklearn.pipeline\nPipeline\nc__builtin__\nobject\nNtRp1\n";
    let reading = read(&format!("{head}(dS'steps'\n(l(S'self'\ng1\ntasb"));
    assert_eq!(reading.contract, None);
    // A long chain of pipelines in pipelines.
    let mut nested = tree();
    for _ in 0..2000 {
        nested = object("sklearn.pipeline.Pipeline", &format!("S'steps'\n(l(S'a'\n{nested}tas"));
    }
    read(&nested);
}

#[test]
fn numbers_that_do_not_fit_are_unknown() {
    for n in ["-1", "99999999999999999999999", "1e3"] {
        let state = format!("S'n_outputs_'\nI1\nsS'n_features_in_'\nL{n}L\ns");
        let Ok(reading) = read_bytes(
            format!("{}.", object("sklearn.tree._classes.DecisionTreeRegressor", &state)).as_bytes(),
        ) else {
            continue;
        };
        let signature = &reading.contract.unwrap().signatures[0];
        assert_eq!(signature.inputs[0].shape, Some(vec![None, None]));
    }
}

#[test]
fn what_loading_runs_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let find = |pickle: &str| {
        fs::write(dir.path().join("model.pkl"), format!("{pickle}.")).unwrap();
        let all = Selected { source: dir.path().to_owned(), dest: Vec::new() };
        let tree = Tree::scan(&[all], &|_, _| false, false).unwrap();
        detect(&tree, &Choice::default()).unwrap().unwrap()
    };
    assert!(find(&tree()).findings.is_empty());
    let own = object("__main__.Model", "");
    let pipeline = object("sklearn.pipeline.Pipeline", &format!("S'steps'\n(l(S'own'\n{own}tas"));
    let codes: Vec<_> = find(&pipeline).findings.iter().map(|f| f.code).collect();
    assert_eq!(codes, ["unverified-code"]);
    let bad = object("sklearn.pipeline.Pipeline", "S'steps'\ncos\nsystem\n(S'true'\ntRs");
    let codes: Vec<_> = find(&bad).findings.iter().map(|f| f.code).collect();
    assert_eq!(codes, ["code-execution"]);
}

#[test]
fn broken_files_are_errors_and_never_worse() {
    let mut read = 0;
    for path in models() {
        let bytes = fs::read(&path).unwrap();
        let is_skops = path.extension().is_some_and(|e| e == "skops");
        let ask = |bytes: &[u8]| {
            if is_skops { skops::read(&bytes).map(|_| ()) } else { read_bytes(bytes).map(|_| ()) }
        };
        assert!(ask(&bytes).is_ok(), "{}", path.display());
        let step = (bytes.len() / 60).max(1);
        for end in (0..bytes.len()).step_by(step) {
            let _ = ask(&bytes[..end]);
        }
        let mut flipped = bytes.clone();
        for at in (0..bytes.len()).step_by(step) {
            flipped[at] ^= 1 << (at % 8);
            let _ = ask(&flipped);
            flipped[at] = bytes[at];
        }
        read += 1;
    }
    assert!(read > 10);
}

#[test]
fn names_that_are_one_long_text_are_not_copied() {
    let text = "x".repeat(60_000);
    let names = format!("S'feature_names_in_'\n(lp0\nS'{text}'\np1\na{}s", "g1\na".repeat(2000));
    let found = read_file(&object("sklearn.tree._classes.DecisionTreeRegressor", &format!("{TREE}{names}")));
    assert_eq!(found.contract, None);
    assert!(found.warnings[0].contains("MiB of texts"), "{:?}", found.warnings);
}

#[test]
fn objects_with_one_large_state_are_not_looked_through_each_time() {
    let state = format!("(d{TREE}{}p0\n0", "I1\nI2\ns".repeat(30_000));
    let one = "ccopy_reg\n_reconstructor\n(csklearn.tree._classes\nDecisionTreeRegressor\nc__builtin__\nobject\nNtRg0\nba";
    let found = read_file(&format!("{state}(l{}", one.repeat(2000)));
    assert_eq!((found.contract, found.facts.get("sklearn.objects")), (None, None));
    assert!(found.warnings[0].contains("share more than is looked at"), "{:?}", found.warnings);
}

fn read_file(pickle: &str) -> crate::model::format::Detection {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.pkl");
    fs::write(&path, format!("{pickle}.")).unwrap();
    let all = Selected { source: path, dest: b"model.pkl".to_vec() };
    let tree = Tree::scan(&[all], &|_, _| false, false).unwrap();
    detect(&tree, &Choice { framework: Some("sklearn"), path: None }).unwrap().unwrap()
}
