//! MLflow: a folder with `MLmodel`, which wraps the model of another framework.
//!
//! `MLmodel` is YAML that says how to load what lies beside it (its *flavours*) and often holds a
//! signature (mlflow/models/model.py). It is no weights: those are in the flavour's own file, which
//! its own format reads (`inner.rs`). A stored signature wins over what that file tells. The name
//! `predict` of the one signature is that of MLflow's own method.
//!
//! Invariant: nothing is loaded. What MLflow would run on loading is a finding.

mod inner;
mod schema;

#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

use crate::error::{Error, Kind, Result, show_bytes};
use crate::model::contract::{Contract, Known, Signature};
use crate::model::format::{
    Candidate, Folder, Format, MAX_TEXT, Reading, Role, Severity, file_name, join, json, yaml,
};
use crate::model::tree::{Tree, join_lexically};

/// The name of the file.
const FILE: &[u8] = b"MLmodel";
/// The largest example of an input that is looked at, in bytes.
const MAX_EXAMPLE: u64 = 4 << 20;
/// The most facts about flavours and the most names in one.
const MAX_TOLD: usize = 1_000;

/// The format of MLflow models.
#[derive(Clone, Copy, Debug)]
pub struct Mlflow;

impl Format for Mlflow {
    fn name(&self) -> &'static str {
        "mlflow"
    }

    fn detect(&self, folder: &Folder<'_>) -> Result<Vec<Candidate>> {
        let Some(file) = folder.file(FILE) else { return Ok(Vec::new()) };
        let head = file.head()?;
        let key = |line: &[u8]| {
            let line = line.trim_ascii_start().trim_ascii_end();
            [&b"flavors"[..], b"\"flavors\"", b"'flavors'", b"{\"flavors\"", b"{flavors"]
                .iter()
                .any(|k| line.strip_prefix(*k).is_some_and(|r| r.trim_ascii_start().starts_with(b":")))
        };
        if !head.split(|b| *b == b'\n').any(key) {
            return Ok(Vec::new());
        }
        Ok(vec![Candidate {
            format: "mlflow",
            variant: "folder",
            location: folder.path().to_vec(),
            file: file.path().to_vec(),
            evidence: format!("`{}` lists flavours", show_bytes(file.path())),
            warnings: Vec::new(),
            // All that lies beside it and below belongs to it.
            claims: vec![folder.path().to_vec()],
        }])
    }

    fn read(&self, tree: &Tree, candidate: &Candidate, budget: u64) -> Result<Reading> {
        let mut reading = Reading::default();
        let bytes = tree.open(&candidate.file)?.read_all(budget.min(yaml::MAX_BYTES))?;
        if let Some(tag) = yaml::python_tag(&bytes) {
            reading.find(
                Severity::Error,
                "yaml-tag",
                "",
                format!(
                    "`{}` has a loader of YAML that is not a safe one make or call something",
                    show_bytes(tag.as_bytes())
                ),
            );
        }
        let value = yaml::parse(&bytes)?;
        let Value::Object(model) = value else {
            return Err(Error::new(Kind::Model, "`MLmodel` is no map"));
        };
        let none = Map::new();
        let flavors = match model.get("flavors") {
            Some(Value::Object(flavors)) => flavors,
            Some(Value::Null) | None => &none,
            Some(_) => return Err(Error::new(Kind::Model, "`flavors` of `MLmodel` is no map")),
        };
        facts(&model, flavors, &mut reading);
        reading.contract = signature(&model, &mut reading)?;
        loader(tree, &candidate.location, flavors, &mut reading);
        let paths = inner::paths(flavors);
        outside(flavors, &mut reading);
        inner::add(tree, &candidate.location, &paths, &mut reading)?;
        example(tree, &candidate.location, &model, &mut reading);
        Ok(reading)
    }

    fn expects(&self, name: &[u8]) -> bool {
        name == FILE
    }

    fn role(&self, path: &[u8]) -> Option<Role> {
        match file_name(path) {
            FILE => Some(Role::Config),
            b"input_example.json" | b"serving_input_example.json" => Some(Role::Data),
            _ => None,
        }
    }
}

/// Whether a path is that of a file of this name.
fn is_mlmodel(path: &[u8]) -> bool {
    file_name(path) == FILE
}

fn text<'v>(map: &'v Map<String, Value>, key: &str) -> Option<&'v str> {
    map.get(key).and_then(Value::as_str).filter(|s| s.len() <= MAX_TEXT)
}

fn facts(model: &Map<String, Value>, flavors: &Map<String, Value>, reading: &mut Reading) {
    reading.framework_version = text(model, "mlflow_version").map(str::to_owned);
    for key in ["run_id", "model_uuid", "model_id", "artifact_path", "utc_time_created", "databricks_runtime"]
    {
        if let Some(value) = text(model, key) {
            reading.fact(format!("mlflow.{key}"), value);
        }
    }
    if let Some(size) = model.get("model_size_bytes").and_then(Value::as_u64) {
        reading.fact("mlflow.model_size_bytes", size);
    }
    let names: Vec<&str> = flavors.keys().take(MAX_TOLD).map(String::as_str).collect();
    reading.fact("mlflow.flavors", names);
    let mut versions = Map::new();
    for (name, flavor) in flavors.iter().take(MAX_TOLD) {
        let Value::Object(flavor) = flavor else { continue };
        if name == "python_function" {
            for (key, fact) in [
                ("loader_module", "mlflow.loader_module"),
                ("python_version", "python"),
                ("predict_fn", "mlflow.predict_fn"),
            ] {
                if let Some(value) = text(flavor, key) {
                    reading.fact(fact, value);
                }
            }
            continue;
        }
        // Each flavour has a key of its own for it: `sklearn_version`, `xgb_version`, `pytorch_version`.
        let version = flavor.iter().find(|(key, value)| {
            key.ends_with("_version")
                && key.as_str() != "python_version"
                && (value.is_string() || value.is_number())
        });
        if let Some((_, version)) = version {
            let shown = version.as_str().map_or_else(|| version.to_string(), str::to_owned);
            versions.insert(name.clone(), shown.into());
        }
        for (key, fact) in [
            ("serialization_format", "serialization"),
            ("task", "task"),
            ("model_class", "mlflow.model_class"),
        ] {
            if let Some(value) = text(flavor, key) {
                reading.fact(fact, value);
            }
        }
    }
    reading.fact("mlflow.flavor_versions", versions);
    if let Some(Value::Object(metadata)) = model.get("metadata") {
        for (key, value) in metadata.iter().take(MAX_TOLD) {
            if value.is_string() || value.is_number() || value.is_boolean() {
                reading.fact(format!("mlflow.metadata.{key}"), value.clone());
            }
        }
    }
}

/// The stored signature.
fn signature(model: &Map<String, Value>, reading: &mut Reading) -> Result<Option<Contract>> {
    let Some(Value::Object(stored)) = model.get("signature") else { return Ok(None) };
    // Parameters of a call beside its data, each with a default.
    if let Some(params) = text(stored, "params") {
        match json::parse(params.as_bytes()) {
            Ok(Value::Array(list)) => {
                reading.fact("mlflow.params", list.into_iter().take(MAX_TOLD).collect::<Vec<_>>());
            }
            Ok(_) => {}
            Err(e) => reading.warnings.push(format!("the signature's parameters are not JSON: {e}")),
        }
    }
    let side = |key: &str, name: &str| text(stored, key).map(|json| schema::read(json, name)).transpose();
    let (inputs, outputs) = (side("inputs", "input")?, side("outputs", "output")?);
    if inputs.is_none() && outputs.is_none() {
        return Ok(None);
    }
    reading.fact("mlflow.signature", "stored");
    Ok(Some(Contract {
        signatures: vec![Signature {
            name: "predict".to_owned(),
            known: Known::Convention,
            inputs: inputs.unwrap_or_default(),
            outputs: outputs.unwrap_or_default(),
        }],
    }))
}

/// What `mlflow.pyfunc.load_model` runs besides the flavour's own loader.
fn loader(tree: &Tree, folder: &[u8], flavors: &Map<String, Value>, reading: &mut Reading) {
    let Some(Value::Object(pyfunc)) = flavors.get("python_function") else { return };
    let place = |name: &str| show_bytes(&join(folder, name.as_bytes()));
    if let Some(module) = text(pyfunc, "loader_module")
        && module != "mlflow"
        && !module.starts_with("mlflow.")
    {
        reading.find(
            Severity::Warning,
            "custom-loader",
            place("MLmodel"),
            format!(
                "`loader_module` is `{}`, which is no part of MLflow: loading the model imports and runs it",
                show_bytes(module.as_bytes())
            ),
        );
    }
    if let Some(path) = text(pyfunc, "python_model") {
        reading.find(
            Severity::Warning,
            "pickled-code",
            place(path),
            "the model is a Python object of a class of its author's: loading it runs what the pickle says",
        );
    }
    if let Some(path) = text(pyfunc, "model_code_path") {
        reading.find(
            Severity::Warning,
            "code-on-load",
            place(path),
            "the model is a Python script, which loading it runs",
        );
    }
    if let Some(path) = text(pyfunc, "code")
        && let Some(inside) = join_lexically(b"", path.as_bytes())
    {
        let top = join(folder, &inside);
        let python = tree.files().any(|(p, _)| {
            p.strip_prefix(&top[..]).is_some_and(|r| r.starts_with(b"/")) && p.ends_with(b".py")
        });
        if python {
            reading.find(
                Severity::Info,
                "bundled-code",
                place(path),
                "the folder has Python code of the model's own, which loading it may import before what is installed",
            );
        }
    }
}

/// Paths of flavours lead to files of the model.
fn outside(flavors: &Map<String, Value>, reading: &mut Reading) {
    for (name, flavor) in flavors.iter().take(MAX_TOLD) {
        let Value::Object(flavor) = flavor else { continue };
        for key in
            ["model_path", "data", "code", "python_model", "pickled_model", "model_data", "saved_model_dir"]
        {
            let Some(path) = text(flavor, key) else { continue };
            if path.starts_with('/') || join_lexically(b"", path.as_bytes()).is_none() {
                reading.find(
                    Severity::Error,
                    "outside-path",
                    "",
                    format!(
                        "`{key}` of the flavour `{}` leads out of the model: `{}`",
                        show_bytes(name.as_bytes()),
                        show_bytes(path.as_bytes())
                    ),
                );
            }
        }
    }
}

/// The columns of the stored example of an input.
fn example(tree: &Tree, folder: &[u8], model: &Map<String, Value>, reading: &mut Reading) {
    let Some(Value::Object(info)) = model.get("saved_input_example_info") else { return };
    let Some(path) = text(info, "artifact_path") else { return };
    let Some(path) = join_lexically(b"", path.as_bytes()) else { return };
    let Ok(content) = tree.open(&join(folder, &path)) else { return };
    let Ok(bytes) = content.read_all(MAX_EXAMPLE) else { return };
    let Ok(value) = json::parse(&bytes) else { return };
    let value = value.get("dataframe_split").unwrap_or(&value);
    let Some(columns) = value.get("columns").and_then(Value::as_array) else { return };
    let names: Vec<&str> = columns.iter().filter_map(Value::as_str).take(MAX_TOLD).collect();
    if names.len() == columns.len() {
        reading.fact("mlflow.example_columns", names);
    }
}
