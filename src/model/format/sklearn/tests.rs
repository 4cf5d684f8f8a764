use std::fs;
use std::path::{Path, PathBuf};

use super::{read_bytes, skops};
use crate::error::Kind;
use crate::model::contract::{DType, Shape};
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
        .map(|file| if file.is_dir() { file.join("model.pkl") } else { file })
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

/// An array of float64, as numpy pickles it.
fn floats(values: &[f64]) -> String {
    let bytes: String = values.iter().flat_map(|v| v.to_le_bytes()).map(|b| format!("\\x{b:02x}")).collect();
    format!(
        "cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I{}\ntcnumpy\ndtype\n(S'f8'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nS'{bytes}'\ntb",
        values.len()
    )
}

/// What a method gives: type and shape.
fn gives(reading: &Reading, method: &str) -> Option<(Option<DType>, Option<Shape>)> {
    let all = &reading.contract.as_ref()?.signatures;
    let found = all.iter().find(|s| s.name == method)?;
    Some((found.outputs[0].dtype, found.outputs[0].shape.clone()))
}

#[test]
fn the_columns_that_count_are_left() {
    let left = |weights: &[f64], class: &str, more: &str| {
        let model =
            object(&format!("sklearn.linear_model._x.{class}"), &format!("S'coef_'\n{}s", floats(weights)));
        let state = format!(
            "S'estimator_'\n{model}sS'n_features_in_'\nI{}\nsS'_sklearn_version'\nS'1.4.0'\ns{more}",
            weights.len()
        );
        let reading = read(&object("sklearn.feature_selection._from_model.SelectFromModel", &state));
        gives(&reading, "transform").unwrap().1.unwrap()[1]
    };
    assert_eq!(left(&[0.1, -2.0, 3.0], "Ridge", ""), Some(2));
    assert_eq!(left(&[0.0, -2.0, 3.0, 0.0], "Lasso", ""), Some(2));
    assert_eq!(left(&[0.1, -2.0, 3.0], "Ridge", "S'threshold'\nS'1.5*mean'\ns"), Some(1));
    assert_eq!(left(&[0.1, -2.0, 3.0], "Ridge", "S'threshold'\nS'median'\ns"), Some(2));
    assert_eq!(left(&[0.1, -2.0, 3.0], "Ridge", "S'threshold'\nF-inf\nsS'max_features'\nI1\ns"), Some(1));
    assert_eq!(left(&[0.1, -2.0, 3.0], "Ridge", "S'threshold'\nF2.5\ns"), Some(1));
    // Where rounding would decide, or the limit depends on more, nothing is known.
    assert_eq!(left(&[1.0, 1.0, 1.0], "Ridge", ""), None);
    assert_eq!(left(&[0.1, -2.0, 3.0], "ElasticNet", ""), None);
    assert_eq!(left(&[0.1, f64::NAN, 3.0], "Ridge", ""), None);
    assert_eq!(left(&[0.1, -2.0, 3.0], "Ridge", "S'threshold'\nS'most'\ns"), None);
    assert_eq!(left(&[0.1, -2.0, 3.0], "Ridge", "S'importance_getter'\nS'coef_'\ns"), None);
}

#[test]
fn answers_are_those_of_the_release() {
    let of = |class: &str, version: &str, state: &str| {
        let version =
            if version.is_empty() { String::new() } else { format!("S'_sklearn_version'\nS'{version}'\ns") };
        read(&object(class, &format!("{state}{version}")))
    };
    let float = Some(DType::Float64);
    for (version, predicted, decided) in [
        ("", float, vec![None, Some(1)]),
        ("0.19.2", Some(DType::Int64), vec![None, Some(1)]),
        ("0.20.4", Some(DType::Int64), vec![None]),
    ] {
        let found = of("sklearn.svm.classes.OneClassSVM", version, "S'fit_status_'\nI0\ns");
        assert_eq!(gives(&found, "predict"), Some((predicted, Some(vec![None]))), "{version}");
        assert_eq!(gives(&found, "decision_function"), Some((float, Some(decided))), "{version}");
        assert_eq!(gives(&found, "score_samples").is_some(), version == "0.20.4");
    }
    for (version, has) in [("", true), ("0.18.2", true), ("0.19.2", false), ("1.4.0", false)] {
        let found =
            of("sklearn.linear_model.ridge.Ridge", version, &format!("S'coef_'\n{}s", floats(&[1.0, 2.0])));
        assert_eq!(gives(&found, "decision_function").is_some(), has, "{version}");
    }
    // A module of a later release says that it is not 0.17 which wrote no version.
    let found = of("sklearn.linear_model._ridge.Ridge", "", &format!("S'coef_'\n{}s", floats(&[1.0, 2.0])));
    assert_eq!(gives(&found, "decision_function"), None);
}

/// The model of an example whose arrays lie beside it, in a folder of its own.
fn in_several_files() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let example =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/models/sklearn/sk017_gaussiannb_words/model");
    for file in fs::read_dir(example).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), dir.path().join(file.file_name())).unwrap();
    }
    dir
}

#[test]
fn arrays_beside_a_model_are_parts_of_it() {
    let dir = in_several_files();
    let tree =
        || Tree::scan(&[Selected { source: dir.path().to_owned(), dest: Vec::new() }], &|_, _| false, false);
    let found = detect(&tree().unwrap(), &Choice::default()).unwrap().unwrap();
    assert_eq!((found.file.as_slice(), found.required.len()), (b"model.pkl".as_slice(), 5));
    assert!(found.findings.is_empty() && found.warnings.is_empty(), "{:?}", found.warnings);
    assert_eq!(found.contract.unwrap().signatures[0].inputs[0].shape, Some(vec![None, Some(5)]));
    for name in ["model.pkl_01.npy", "model.pkl_04.npy"] {
        fs::remove_file(dir.path().join(name)).unwrap();
    }
    let found = detect(&tree().unwrap(), &Choice::default()).unwrap().unwrap();
    assert_eq!(found.warnings.len(), 1);
    assert!(
        found.warnings[0].contains("2 of the files") && found.warnings[0].contains("`model.pkl_0"),
        "{}",
        found.warnings[0]
    );
    let codes: Vec<_> = found.findings.iter().map(|f| f.code).collect();
    assert_eq!(codes, ["side-file", "side-file"]);
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
