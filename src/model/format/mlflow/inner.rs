//! The model that an MLflow model wraps: the file of its flavour, read by that file's own format.
//!
//! The search is the one for every model, begun at the path that the flavour names. What the
//! signature of `MLmodel` says wins over what is found; where the two cannot both be true, a warning
//! says so.

use serde_json::Value;

use crate::error::{Result, show_bytes};
use crate::model::contract::{Contract, Known, Signature};
use crate::model::format::{Choice, Detection, Reading, detect, join};
use crate::model::tree::{Tree, join_lexically};

/// Keys of flavours that name the file or folder of the model itself (mlflow/*/__init__.py).
const PATHS: &[&str] = &[
    "model_path",
    "pickled_model",
    "data",
    "model_data",
    "saved_model_dir",
    "model_file",
    "model_binary",
    "statsmodels_model",
    "model",
];

/// Paths that flavours name, `python_function` first; each relative to the model's folder.
pub(super) fn paths(flavors: &serde_json::Map<String, Value>) -> Vec<&str> {
    let mut out = Vec::new();
    let pyfunc = flavors.iter().filter(|(name, _)| *name == "python_function");
    for (_, flavor) in pyfunc.chain(flavors.iter().filter(|(name, _)| *name != "python_function")) {
        for key in PATHS {
            if let Some(path) = flavor.get(*key).and_then(Value::as_str)
                && !out.contains(&path)
            {
                out.push(path);
            }
        }
    }
    out
}

/// The wrapped model, at the first path where one is found.
fn find(tree: &Tree, folder: &[u8], paths: &[&str], reading: &mut Reading) -> Result<Option<Detection>> {
    for path in paths.iter().take(20) {
        let Some(inside) = join_lexically(b"", path.as_bytes()).filter(|p| !p.is_empty()) else { continue };
        let at = join(folder, &inside);
        let below = |p: &[u8]| p.strip_prefix(&at[..]).is_some_and(|r| r.starts_with(b"/"));
        let mut nested = tree.files().filter(|(p, _)| below(p) && super::is_mlmodel(p));
        if nested.next().is_some() {
            // Models in models have no end of their own.
            reading
                .warnings
                .push(format!("`{}` holds an MLflow model again and is not read", show_bytes(&at)));
            continue;
        }
        match detect(tree, &Choice { framework: None, path: Some(&at) }) {
            Ok(Some(found)) => return Ok(Some(found)),
            Ok(None) => {}
            Err(e) if e.kind() == crate::error::Kind::Model => {
                if tree.get(&at).is_some() || tree.files().any(|(p, _)| below(p)) {
                    reading.warnings.push(format!("the flavour's `{}`: {e}", show_bytes(&at)));
                }
            }
            Err(e) => return Err(e),
        }
    }
    Ok(None)
}

/// Adds what the wrapped model tells to what `MLmodel` said.
pub(super) fn add(tree: &Tree, folder: &[u8], paths: &[&str], reading: &mut Reading) -> Result<()> {
    let Some(found) = find(tree, folder, paths, reading)? else { return Ok(()) };
    reading.fact("mlflow.inner_format", found.format);
    let place = show_bytes(&found.file);
    if let Some(failure) = &found.failure {
        reading.warnings.push(format!("the flavour's own model: {failure}"));
    }
    for (key, value) in found.facts {
        // What has to be installed is what MLflow's own files say.
        if key != "packages" && !reading.facts.contains_key(&key) {
            reading.fact(key, value);
        }
    }
    for finding in found.findings {
        if !reading.findings.contains(&finding) {
            reading.findings.push(finding);
        }
    }
    reading.warnings.extend(found.warnings);
    if found.file != folder && !reading.required.contains(&found.file) {
        reading.required.push(found.file);
    }
    for path in found.required {
        if !reading.required.contains(&path) {
            reading.required.push(path);
        }
    }
    if reading.tensors.is_empty() {
        reading.tensors = found.tensors;
    }
    let Some(mut own) = found.contract else { return Ok(()) };
    let class = reading.facts.get("mlflow.model_class").and_then(Value::as_str);
    if class.is_some_and(|c| c.ends_with("Classifier")) && matches!(found.format, "xgboost" | "lightgbm") {
        labels(&mut own);
    }
    match &reading.contract {
        None => {
            reading.fact("mlflow.signature", "flavor");
            reading.warnings.push(format!(
                "`MLmodel` holds no signature; inputs and outputs are those of `{place}` ({})",
                found.format
            ));
            reading.contract = Some(own);
        }
        Some(contract) => settle(contract, &own, &place, &mut reading.warnings),
    }
    Ok(())
}

/// The file is a booster's, which gives margins or probabilities; MLflow loads it into a classifier, whose
/// `predict` gives labels. Which ones they are, and of what type, is not in the file.
fn labels(contract: &mut Contract) {
    for output in contract.signatures.iter_mut().flat_map(|s| &mut s.outputs) {
        output.dtype = None;
        output.shape = None;
        output.dim_names.clear();
        output.columns.clear();
        output.known.dtype = Known::Unknown;
        output.known.shape = Known::Unknown;
    }
}

/// Compares the numbers of columns. A stored signature stands as it is, also where it leaves a side out.
fn settle(contract: &Contract, own: &Contract, place: &str, warnings: &mut Vec<String>) {
    let (Some(signature), Some(own)) = (contract.signatures.first(), own.default_signature()) else {
        return;
    };
    if let (Some(told), Some(inner)) = (columns(signature), columns(own))
        && told != inner
    {
        warnings.push(format!(
            "the signature in `MLmodel` has {told} columns, the model in `{place}` takes {inner}; the signature counts"
        ));
    }
}

/// How many columns go in: the last dimension of the one table, or as many as there are columns.
fn columns(signature: &Signature) -> Option<u64> {
    match signature.inputs.as_slice() {
        [] => None,
        [one] => match one.shape.as_deref() {
            Some([_, Some(n)]) => Some(*n),
            Some([None]) => Some(1),
            _ => None,
        },
        several if several.iter().all(|t| t.shape.as_deref() == Some(&[None])) => Some(several.len() as u64),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::contract::{DType, Provenance, Tensor};

    #[test]
    fn a_classifier_gives_labels_of_which_nothing_is_known() {
        let output = Tensor::new("prediction", Some(DType::Float32), Some(vec![None]), Known::Derived);
        let mut contract = Contract {
            signatures: vec![Signature {
                name: "predict".into(),
                known: Known::Convention,
                inputs: vec![output.clone()],
                outputs: vec![output.clone()],
            }],
        };
        labels(&mut contract);
        let signature = &contract.signatures[0];
        assert_eq!(signature.inputs, std::slice::from_ref(&output));
        let told = &signature.outputs[0];
        assert_eq!((told.dtype, &told.shape, told.name.as_str()), (None, &None, "prediction"));
        assert_eq!(told.known, Provenance { name: output.known.name, ..Provenance::all(Known::Unknown) });
    }
}
