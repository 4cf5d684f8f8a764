//! Models that nobody wrote for floe, made by the frameworks' own packages when the tests run: every
//! estimator of scikit-learn, and every model of ONNX's backend tests.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::score::{self, Count};

/// The Python that `.ci/run packages` installs, with the versions of `benches/requirements.txt`.
fn python() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"), PathBuf::from);
    let python = cache.join("floe-ci/python/bin/python");
    assert!(python.exists(), "the frameworks are needed for this test: `.ci/run packages` installs them");
    python
}

/// Has a script write models with their truths, and scores them.
fn sweep(script: &str, format: &str, more: &[(&str, &str)]) -> Count {
    let dir = tempfile::tempdir().unwrap();
    let script = super::root().join("models/make").join(script);
    let out = Command::new(python()).arg(script).arg(dir.path()).envs(more.iter().copied()).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    folder(dir.path(), format)
}

fn folder(dir: &Path, format: &str) -> Count {
    let mut all = score::folder(dir);
    all.remove(format).unwrap()
}

fn check(count: &Count, models: usize, inputs: f64, outputs: f64) {
    let shown = format!(
        "{} models; inputs {:?}, outputs {:?}, beyond the files {}",
        count.models, count.inputs, count.outputs, count.bonus
    );
    assert!(count.wrong.is_empty(), "{shown}: {:#?}", count.wrong);
    let few = count.models < models;
    let low = count.inputs.percent() < inputs || count.outputs.percent() < outputs;
    assert!(!few && !low, "{shown}: {:#?}", count.missing);
}

#[test]
fn every_estimator_of_scikit_learn_is_read_right() {
    let count = sweep("sklearn_all.py", "sklearn", &[("SKLEARN_ALL", "quick")]);
    check(&count, 500, 98.0, 98.0);
}

#[test]
fn every_model_of_the_backend_tests_of_onnx_is_read_right() {
    // What shape inference knows of the models whose types were taken away is nearly all known here.
    let count = sweep("onnx_backend.py", "onnx", &[]);
    check(&count, 3500, 100.0, 98.0);
    // What is declared is told to the last fact.
    let declared: Vec<&String> = count.missing.iter().filter(|m| !m.contains("-bare: ")).collect();
    assert!(declared.is_empty(), "{declared:#?}");
}
