//! Keras: what its layers take and give, from Keras 1 to 3.
//!
//! A model is a `.keras` file (a zip with `config.json`, `metadata.json` and `model.weights.h5`), the
//! same as a folder, an HDF5 file whose attribute `model_config` holds the configuration, or that
//! configuration alone as JSON with weights beside it. Weights alone have no contract. SavedModels
//! that Keras wrote are TensorFlow's.
//!
//! Inputs stand in the configuration. Outputs follow from it: by the rules of `layers`, and what
//! they do not know is left open. The signature has no name in the file; `predict` is floe's.

mod config;
mod findings;
mod graph;
mod layers;
mod spec;
mod weights;

use std::borrow::Cow;

use serde_json::Value;

use crate::error::{Error, Kind, Result, show_bytes};
use crate::model::contract::{Contract, DType, Known, Provenance, Signature, Tensor};
use crate::model::format::{
    Candidate, File, Folder, Format, Reading, Role, Severity, ends_in, file_name, join,
};
use crate::model::hdf5;
use crate::model::pb::Source;
use crate::model::tree::{Tree, folder_of};
use crate::model::zip::{self, Archive};

use config::Layer;
use layers::Ctx;

/// How much of a file is read to recognise it.
const SNIFF: u64 = 4 << 20;
/// The biggest file of weights that is inflated to list what it holds.
const MAX_INFLATED: u64 = 32 << 20;
/// The most entries of a zip for it to be looked at as a `.keras` file.
const MAX_NAMED: usize = 20;

/// The format of Keras.
#[derive(Clone, Copy, Debug)]
pub struct Keras;

impl Format for Keras {
    fn name(&self) -> &'static str {
        "keras"
    }

    fn detect(&self, folder: &Folder<'_>) -> Result<Vec<Candidate>> {
        let mut found = Vec::new();
        let unzipped = unzipped(folder)?;
        found.extend(unzipped);
        let whole = !found.is_empty();
        for file in folder.files() {
            if whole && file.name() == b"config.json" {
                continue;
            }
            let Some((variant, what)) = recognise(file)? else { continue };
            found.push(Candidate::in_file("keras", variant, file, format_args!("holds {what}")));
        }
        claim(&mut found);
        Ok(found)
    }

    fn read(&self, tree: &Tree, candidate: &Candidate, budget: u64) -> Result<Reading> {
        let mut reading = Reading::default();
        reading.fact("serialization", candidate.variant);
        match candidate.variant {
            "zip" => read_zip(&tree.open(&candidate.file)?, budget, &mut reading)?,
            "folder" => read_folder(tree, candidate, budget, &mut reading)?,
            "json" => read_json(tree, candidate, budget, &mut reading)?,
            "weights" => {
                let content = tree.open(&candidate.file)?;
                let file = hdf5::File::open(&content, budget)?;
                let top = weights::top(&file)?;
                reading.framework_version = top.version;
                reading.fact("keras.backend", top.backend);
                weights::list(&file, "", &mut reading)?;
            }
            _ => read_h5(&tree.open(&candidate.file)?, budget, &mut reading)?,
        }
        Ok(reading)
    }

    fn expects(&self, name: &[u8]) -> bool {
        // Data sets are HDF5 too, so that its extension alone says nothing.
        ends_in(name, &[".keras", ".weights.h5"])
            || [&b"model.h5"[..], b"model.hdf5"].iter().any(|n| name.eq_ignore_ascii_case(n))
    }

    fn role(&self, path: &[u8]) -> Option<Role> {
        ends_in(path, &[".keras", ".h5", ".hdf5"]).then_some(Role::Weights)
    }
}

/// A `.keras` file that was unpacked.
fn unzipped(folder: &Folder<'_>) -> Result<Option<Candidate>> {
    let (Some(config), Some(metadata)) = (folder.file(b"config.json"), folder.file(b"metadata.json")) else {
        return Ok(None);
    };
    let has = |head: &[u8], key: &[u8]| head.windows(key.len()).any(|w| w == key);
    if !has(metadata.head()?, b"\"keras_version\"") || !has(config.head()?, b"\"class_name\"") {
        return Ok(None);
    }
    let mut claims = vec![config.path().to_vec(), metadata.path().to_vec()];
    claims.extend([&b"model.weights.h5"[..], b"assets"].map(|n| join(folder.path(), n)));
    Ok(Some(Candidate {
        format: "keras",
        variant: "folder",
        location: folder.path().to_vec(),
        file: config.path().to_vec(),
        evidence: format!(
            "`{}` and `{}` are those of an unpacked `.keras` file",
            show_bytes(config.path()),
            show_bytes(metadata.path())
        ),
        warnings: Vec::new(),
        claims,
    }))
}

fn recognise(file: &File<'_>) -> Result<Option<(&'static str, &'static str)>> {
    let head = file.head()?;
    if zip::begins(head) {
        let content = file.open()?;
        let Ok(archive) = Archive::open(&content) else { return Ok(None) };
        let all =
            ["config.json", "metadata.json"].iter().all(|n| archive.entries().iter().any(|e| e.name == *n));
        if !all {
            return Ok(None);
        }
        // Others have a configuration and a description in a zip too; `keras_version` is Keras'.
        let own = archive
            .find("metadata.json")
            .and_then(|e| archive.read(e, 1 << 16).ok())
            .is_none_or(|bytes| bytes.windows(13).any(|w| w == b"keras_version"));
        return Ok(own.then_some(("zip", "a Keras model (`config.json` and `metadata.json` in a zip)")));
    }
    let at =
        [0, 512, 1024, 2048].iter().any(|at| head.get(*at..).is_some_and(|h| h.starts_with(hdf5::SIGNATURE)));
    if at {
        let content = file.open()?;
        let kind = hdf5::File::open(&content, SNIFF).and_then(|f| weights::kind(&f));
        return Ok(match kind {
            Ok(Some("h5")) => Some(("h5", "a Keras model (HDF5 with the attribute `model_config`)")),
            Ok(Some(_)) => Some(("weights", "the weights of a Keras model")),
            Ok(None) => None,
            // Broken HDF5 with a name of Keras is a broken model, to be told as such.
            Err(_) if Keras.expects(file.name()) => Some(("h5", "HDF5, which is broken")),
            Err(_) => None,
        });
    }
    let text = head.trim_ascii_start();
    if text.starts_with(b"{")
        && text.windows(12).any(|w| w == b"\"class_name\"")
        && file.size() <= config::MAX_JSON
    {
        let bytes = file.open()?.read_all(config::MAX_JSON)?;
        let Ok(value) = config::parse(&bytes) else { return Ok(None) };
        let found = Layer::of(&value).is_some_and(|l| graph::is_model(&l));
        return Ok(found.then_some(("json", "the configuration of a Keras model")));
    }
    Ok(None)
}

/// Weights beside a model belong to it, and a configuration beside the whole model of its name too.
fn claim(found: &mut [Candidate]) {
    let stem = |path: &[u8]| {
        let name = file_name(path);
        name.iter().position(|b| *b == b'.').map_or(name, |dot| &name[..dot]).to_vec()
    };
    let weights: Vec<Vec<u8>> =
        found.iter().filter(|c| c.variant == "weights").map(|c| c.file.clone()).collect();
    let jsons: Vec<Vec<u8>> = found.iter().filter(|c| c.variant == "json").map(|c| c.file.clone()).collect();
    for c in found.iter_mut().filter(|c| c.variant != "weights") {
        c.claims.extend(weights.iter().cloned());
        if matches!(c.variant, "h5" | "zip") {
            c.claims.extend(jsons.iter().filter(|j| stem(j) == stem(&c.file)).cloned());
        }
    }
}

fn read_zip(content: &dyn Source, budget: u64, reading: &mut Reading) -> Result<()> {
    let archive = Archive::open(content)?;
    for entry in archive.entries().iter().filter(|e| e.escapes()).take(MAX_NAMED) {
        reading.find(
            Severity::Error,
            "zip-slip",
            show_bytes(entry.name.as_bytes()),
            "an entry of the archive whose name leads out of the folder that it is unpacked to",
        );
    }
    for name in archive.duplicates().iter().take(MAX_NAMED) {
        reading.find(
            Severity::Error,
            "duplicate-entry",
            show_bytes(name.as_bytes()),
            "the archive holds this name twice; loaders differ in which of the two they take",
        );
    }
    let part = |name: &str| {
        let entry = archive.find(name).ok_or_else(|| {
            Error::new(
                Kind::Model,
                format!("the archive has no single `{name}`, which every Keras model has"),
            )
        })?;
        archive.read(entry, config::MAX_JSON)
    };
    let metadata = config::parse(&part("metadata.json")?)?;
    reading.framework_version = version(&metadata);
    let value = config::parse(&part("config.json")?)?;
    let mut listed = false;
    match archive.find("model.weights.h5") {
        Some(entry) => match archive.stored(entry)? {
            Some(section) => listed = list(&section, budget, "model.weights.h5", reading),
            None if entry.size <= MAX_INFLATED => {
                let bytes = archive.read(entry, MAX_INFLATED)?;
                listed = list(&bytes, budget, "model.weights.h5", reading);
            }
            None => {}
        },
        None => no_weights(reading),
    }
    if !listed {
        reading.fact("keras.weights", "not listed");
    }
    understand(&value, reading);
    Ok(())
}

fn no_weights(reading: &mut Reading) {
    reading.find(
        Severity::Warning,
        "missing-weights",
        "",
        "there is no `model.weights.h5` beside the configuration; the model cannot be loaded as it is",
    );
}

/// Lists weights, whose failing does not make the configuration unknown.
fn list(source: &dyn Source, budget: u64, place: &str, reading: &mut Reading) -> bool {
    let listed = hdf5::File::open(source, budget).and_then(|file| weights::list(&file, place, reading));
    if let Err(e) = &listed {
        reading.find(Severity::Error, "broken-weights", place, format!("the weights cannot be read: {e}"));
    }
    listed.is_ok()
}

fn read_folder(tree: &Tree, candidate: &Candidate, budget: u64, reading: &mut Reading) -> Result<()> {
    let at = |name: &[u8]| join(folder_of(&candidate.file), name);
    let metadata = config::parse(&tree.open(&at(b"metadata.json"))?.read_all(config::MAX_JSON)?)?;
    reading.framework_version = version(&metadata);
    let value = config::parse(&tree.open(&candidate.file)?.read_all(config::MAX_JSON)?)?;
    let path = at(b"model.weights.h5");
    if tree.get(&path).is_some() {
        list(&tree.open(&path)?, budget, &show_bytes(&path), reading);
        reading.required.push(path);
    } else {
        no_weights(reading);
    }
    understand(&value, reading);
    Ok(())
}

fn read_json(tree: &Tree, candidate: &Candidate, budget: u64, reading: &mut Reading) -> Result<()> {
    let value = config::parse(&tree.open(&candidate.file)?.read_all(config::MAX_JSON)?)?;
    reading.framework_version = version(&value);
    reading.fact("keras.backend", value.get("backend").cloned().unwrap_or_default());
    match candidate.claims.as_slice() {
        [one] => {
            list(&tree.open(one)?, budget, &show_bytes(one), reading);
            reading.required.push(one.clone());
        }
        [] => reading.warnings.push(
            "the configuration has no file of weights beside it; without one the model gives random numbers"
                .to_owned(),
        ),
        several => {
            reading.warnings.push(format!(
                "{} files of weights lie beside the configuration; which one belongs to it is not recorded",
                several.len()
            ));
            reading.required.extend(several.iter().cloned());
        }
    }
    understand(&value, reading);
    Ok(())
}

fn read_h5(content: &dyn Source, budget: u64, reading: &mut Reading) -> Result<()> {
    let file = hdf5::File::open(content, budget)?;
    let top = weights::top(&file)?;
    let text = top.model.ok_or_else(|| {
        Error::new(Kind::Model, "its attribute `model_config` is not the text that a Keras model has there")
    })?;
    reading.framework_version = top.version;
    reading.fact("keras.backend", top.backend);
    let mut value = config::parse(text.as_bytes())?;
    if let Err(e) = weights::list(&file, "", reading) {
        reading.find(Severity::Error, "broken-weights", "", format!("the weights cannot be read: {e}"));
    }
    // What it was trained with stands beside the model and not in it.
    if let Some(training) = top.training.and_then(|t| config::parse(t.as_bytes()).ok())
        && let Some(o) = value.as_object_mut()
    {
        training_facts(&training, reading);
        o.remove("compile_config");
    }
    understand(&value, reading);
    Ok(())
}

fn version(value: &Value) -> Option<String> {
    value.get("keras_version").and_then(Value::as_str).map(str::to_owned)
}

/// Everything that follows from a configuration.
fn understand(value: &Value, reading: &mut Reading) {
    findings::look(value, reading);
    let Some(layer) = Layer::of(value) else {
        reading.warnings.push("the configuration is not that of a model".to_owned());
        return;
    };
    let class = value.get("class_name").and_then(Value::as_str).unwrap_or_default();
    reading.fact("keras.class", class);
    if let Some(training) = value.get("compile_config") {
        training_facts(training, reading);
    }
    let ctx = context(value, reading);
    let count = layer
        .config
        .get("layers")
        .and_then(config::list)
        .or_else(|| config::list(layer.config))
        .map(Vec::len);
    if let Some(count) = count {
        reading.fact("keras.layers", count);
    }
    match graph::model(&ctx, &layer) {
        Some(model) => reading.contract = Some(contract(&model)),
        None => {
            reading.contract = built(&layer, value);
            reading.warnings.push(match class {
                "Sequential" => "the model was saved before it was built, so that it records no inputs; declare the contract".to_owned(),
                class => format!(
                    "`{}` is a class of the author's own, whose outputs only its code knows; declare the contract",
                    show_bytes(class.as_bytes())
                ),
            });
        }
    }
    if ctx.exhausted() {
        reading.warnings.push(
            "the model has more layers in layers than are followed; its outputs are unknown".to_owned(),
        );
    }
}

/// A model of which only the shape is recorded that it was once called with.
fn built(layer: &Layer<'_>, value: &Value) -> Option<Contract> {
    let shape = layer.built_for().map(graph::free_batch)?;
    let mut tensor = Tensor::new("input", None, Some(shape), Known::Unknown);
    tensor.known.shape = Known::Derived;
    // A model that was called with several tensors has another record.
    value.get("build_config")?.get("input_shape")?;
    let signature = Signature {
        name: "predict".to_owned(),
        known: Known::Convention,
        inputs: vec![tensor],
        outputs: Vec::new(),
    };
    Some(Contract { signatures: vec![signature] })
}

/// What holds for all layers: the version of Keras, and the dtype of those that name none.
fn context(value: &Value, reading: &Reading) -> Ctx {
    let version = reading.framework_version.as_deref();
    let number = |at: usize| {
        let part = version?.split(['.', '-', '+']).nth(at)?;
        part.parse::<u32>().ok()
    };
    // Without a version Keras 3 is told by the modules that it names.
    let keras = match number(0) {
        Some(n) if n >= 3 => 3,
        Some(2) => 2,
        Some(_) => 1,
        None => {
            if value.get("module").is_some() {
                3
            } else {
                2
            }
        }
    };
    let autocast = keras >= 3
        || keras == 2 && (number(1) >= Some(4) || version == Some("2.3.0-tf") || version.is_none());
    // Where neither weights nor inputs tell it, it is what Keras begins with.
    let of_weights = || {
        let mut all = reading.tensors.iter().map(|w| w.dtype.as_deref());
        let first: Option<DType> = all.next()??.parse().ok();
        let first = first.filter(|d| layers::is_float(*d))?;
        all.all(|d| d == Some(first.name())).then_some(first)
    };
    let floatx = if keras >= 3 {
        graph::default_float(value)
    } else {
        of_weights().or_else(|| graph::float_of_inputs(value)).or(Some(DType::Float32))
    };
    let images_cast = keras >= 3 || keras == 2 && number(1) >= Some(9);
    let early =
        keras < 2 || keras == 2 && number(1) < Some(2) && version.is_some_and(|v| !v.ends_with("-tf"));
    let minor = number(1).unwrap_or_else(|| if keras >= 3 { graph::least_minor(value) } else { 0 });
    Ctx::new(keras, autocast, images_cast, early, floatx, minor)
}

/// The one signature of a model.
fn contract(model: &graph::Model) -> Contract {
    let tensor = |port: &graph::Port| {
        let how = if port.derived { Known::Derived } else { Known::Stored };
        let mut tensor = Tensor::new(port.name.clone(), port.spec.dtype, port.spec.shape.clone(), how);
        tensor.known = Provenance {
            name: if port.named { Known::Stored } else { Known::Convention },
            dtype: if port.spec.dtype.is_some() { how } else { Known::Unknown },
            shape: if port.spec.shape.is_some() { how } else { Known::Unknown },
        };
        tensor.encoding = port.spec.encoding.clone();
        tensor.optional = port.optional;
        tensor
    };
    let signature = Signature {
        name: "predict".to_owned(),
        known: Known::Convention,
        inputs: model.inputs.iter().map(tensor).collect(),
        outputs: model.outputs.iter().map(tensor).collect(),
    };
    Contract { signatures: vec![signature] }
}

/// What it was trained with.
fn training_facts(value: &Value, reading: &mut Reading) {
    let name = |v: &Value| -> Option<Cow<'static, str>> {
        let text =
            v.as_str().or_else(|| v.get("class_name")?.as_str()).or_else(|| v.get("config")?.as_str())?;
        // A function is named by its configuration.
        let text = if text == "function" { v.get("config")?.as_str()? } else { text };
        (text.len() < 256).then(|| Cow::Owned(text.to_owned()))
    };
    let optimizer = value.get("optimizer").or_else(|| value.get("optimizer_config"));
    if let Some(optimizer) = optimizer.and_then(name) {
        reading.fact("keras.optimizer", optimizer.into_owned());
    }
    if let Some(loss) = value.get("loss") {
        let loss = match loss {
            Value::Array(all) if !all.is_empty() && name(loss).is_none() => {
                Value::from(all.iter().take(100).filter_map(name).map(Cow::into_owned).collect::<Vec<_>>())
            }
            Value::Object(o) if name(loss).is_none() => o
                .iter()
                .take(100)
                .filter_map(|(k, v)| Some((k.clone(), Value::from(name(v)?.into_owned()))))
                .collect::<serde_json::Map<_, _>>()
                .into(),
            one => name(one).map(|n| Value::from(n.into_owned())).unwrap_or_default(),
        };
        reading.fact("keras.loss", loss);
    }
}

#[cfg(test)]
mod tests;
