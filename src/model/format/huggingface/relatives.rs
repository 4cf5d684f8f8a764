//! Folders of libraries around transformers: adapters, models of sentences, pipelines of images.
//!
//! An adapter and a pipeline have no contract of their own: the one depends on a model elsewhere, the
//! other on a program that calls its parts in a loop.

use serde_json::Value;

use crate::error::{Result, show_bytes};
use crate::model::contract::{Known, Tensor};
use crate::model::format::huggingface::config::Config;
use crate::model::format::huggingface::weights;
use crate::model::format::safetensors::read_header;
use crate::model::format::{Candidate, MAX_ENTRIES, Reading, Severity, Weight, join, json};
use crate::model::tree::Tree;

/// The longest list of modules that is read.
const MAX_MODULES: u64 = 64 << 10;

/// An adapter: weights to add to those of another model.
pub(super) fn peft(
    tree: &Tree,
    candidate: &Candidate,
    config: &Config,
    budget: u64,
    reading: &mut Reading,
) -> Result<()> {
    reading.framework = Some("peft".to_owned());
    reading.framework_version = config.text("peft_version").map(str::to_owned);
    for key in ["peft_type", "task_type", "base_model_name_or_path"] {
        reading.fact(format!("huggingface.{key}"), config.text(key).unwrap_or_default());
    }
    for key in ["r", "lora_alpha"] {
        reading.fact(format!("huggingface.{key}"), config.get(key).cloned().unwrap_or_default());
    }
    let base = config.text("base_model_name_or_path").unwrap_or_default();
    let here = tree.get(&join(&candidate.location, b"config.json")).is_some();
    if !here && !base.is_empty() {
        let base = show_bytes(base.as_bytes());
        reading.find(
            Severity::Warning,
            "base-model-elsewhere",
            "",
            format!("the adapter works on the model `{base}`, which is not among the files"),
        );
    }
    let tensors = weights::read(tree, &candidate.location, budget, reading)?;
    reading.list_weights(tensors);
    Ok(())
}

/// A model of sentences: what transformers gives, folded into one row of numbers per text.
pub(super) fn sentences(tree: &Tree, folder: &[u8], reading: &mut Reading) -> Result<()> {
    reading.framework = Some("sentence-transformers".to_owned());
    reading.fact("task", "sentence-similarity");
    let path = join(folder, b"modules.json");
    let modules = match tree.get(&path) {
        Some(_) => tree.open(&path)?.read_all(MAX_MODULES)?,
        None => return Ok(()),
    };
    let modules = json::parse(&modules).ok().and_then(|m| m.as_array().cloned()).unwrap_or_default();
    let field = |m: &Value, key: &str| m.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let kinds: Vec<String> = modules
        .iter()
        .take(100)
        .map(|m| field(m, "type").rsplit('.').next().unwrap_or_default().to_owned())
        .collect();
    let mut width = None;
    for (module, kind) in modules.iter().zip(&kinds) {
        let inner = field(module, "path");
        // A path is the name of a folder, written by the library.
        if inner.contains(['/', '\\']) || inner.starts_with('.') {
            continue;
        }
        let config =
            Config::read(tree, &join(&join(folder, inner.as_bytes()), b"config.json"))?.unwrap_or_default();
        match kind.as_str() {
            "Pooling" => width = pooled(&config),
            "Dense" => width = config.size(&["out_features"]),
            "Transformer" | "Normalize" | "Dropout" => {}
            _ => width = None,
        }
    }
    let folded = kinds.iter().any(|k| k == "Pooling");
    reading.fact("huggingface.modules", kinds);
    // The row of numbers takes the place of what transformers alone would give.
    match reading.contract.as_mut().and_then(|c| c.signatures.first_mut()) {
        Some(s) if folded => {
            let dtype = s.outputs.first().and_then(|o| o.dtype);
            s.outputs =
                vec![Tensor::new("sentence_embedding", dtype, Some(vec![None, width]), Known::Derived)];
        }
        _ => reading.contract = None,
    }
    Ok(())
}

/// The width of the rows that a layer of pooling gives: one width for each way that is switched on.
fn pooled(config: &Config) -> Option<u64> {
    let width = config.size(&["word_embedding_dimension", "embedding_dimension"])?;
    let modes =
        config.entries().filter(|(k, v)| k.starts_with("pooling_mode_") && v.as_bool() == Some(true)).count();
    match (config.text("pooling_mode"), modes) {
        (Some(_), 0) => Some(width),
        (None, 0) => None,
        (_, n) => width.checked_mul(n as u64),
    }
}

/// A pipeline: folders of models and what they are.
pub(super) fn diffusers(
    tree: &Tree,
    candidate: &Candidate,
    config: &Config,
    budget: u64,
    reading: &mut Reading,
) -> Result<()> {
    reading.framework = Some("diffusers".to_owned());
    reading.framework_version = config.text("_diffusers_version").map(str::to_owned);
    reading.fact("huggingface.pipeline", config.text("_class_name").unwrap_or_default());
    let mut components = serde_json::Map::new();
    let mut tensors: Vec<Weight> = Vec::new();
    let mut left = budget;
    for (name, value) in config.entries().filter(|(k, _)| !k.starts_with('_')).take(100) {
        let Some([library, class]) = value.as_array().map(Vec::as_slice) else { continue };
        let (Some(library), Some(class)) = (library.as_str(), class.as_str()) else { continue };
        components.insert(name.clone(), format!("{library}.{class}").into());
        let folder = join(&candidate.location, name.as_bytes());
        let mut files = tree.files().map(|(p, _)| p).filter(|p| inside(p, &folder)).peekable();
        if files.peek().is_none() {
            let shown = show_bytes(name.as_bytes());
            let message = format!("`{shown}`, a part of the pipeline, is not among the files of the model");
            reading.find(Severity::Error, "missing-component", shown, message);
            continue;
        }
        for file in files.filter(|p| p.ends_with(b".safetensors")).take(100) {
            let content = tree.open(file)?;
            let header = read_header(&content, left)?;
            left = left.saturating_sub(header.spent);
            reading.required.push(file.to_vec());
            for mut weight in header.tensors {
                if tensors.len() < MAX_ENTRIES {
                    weight.name = format!("{name}.{}", weight.name);
                    tensors.push(weight);
                }
            }
        }
    }
    reading.fact("huggingface.components", components);
    reading.list_weights(tensors);
    Ok(())
}

fn inside(path: &[u8], folder: &[u8]) -> bool {
    path.strip_prefix(folder).is_some_and(|r| r.starts_with(b"/"))
}
