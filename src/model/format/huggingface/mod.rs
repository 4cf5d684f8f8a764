//! Hugging Face: a folder with a `config.json` of transformers and weights, and its relatives:
//! adapters of PEFT, models of sentence-transformers, pipelines of diffusers.
//!
//! The folder does not say what goes in and out; the class that `config.json` names does, by what is
//! known of transformers (`tasks.rs`). What the folder's own code would do is not known here.

mod check;
mod config;
mod families;
mod relatives;
mod tasks;
mod vision;
mod weights;

use serde_json::Value;

use crate::error::{Error, Kind, Result, show_bytes};
use crate::model::format::{Candidate, Folder, Format, Reading, Role, Severity, join};
use crate::model::tree::Tree;

use config::Config;

/// The largest `config.json` that is looked at to recognise it.
const MAX_CONFIG: u64 = 4 << 20;
/// Files of a tokenizer.
const TOKENIZERS: &[&str] = &[
    "added_tokens.json",
    "bpe.codes",
    "chat_template.jinja",
    "merges.txt",
    "sentencepiece.bpe.model",
    "special_tokens_map.json",
    "spiece.model",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
];
/// Files in a model's folder that other formats might take for models, by how their names end.
const PARTS: &[&[u8]] = &[
    b".bin",
    b".ckpt",
    b".gguf",
    b".h5",
    b".index.json",
    b".model",
    b".msgpack",
    b".onnx",
    b".ort",
    b".ot",
    b".pkl",
    b".pt",
    b".pth",
    b".safetensors",
    b".tflite",
];

/// The format of folders in the manner of Hugging Face.
#[derive(Clone, Copy, Debug)]
pub struct HuggingFace;

impl Format for HuggingFace {
    fn name(&self) -> &'static str {
        "huggingface"
    }

    fn framework(&self) -> &'static str {
        "transformers"
    }

    fn detect(&self, folder: &Folder<'_>) -> Result<Vec<Candidate>> {
        let Some((variant, file, what)) = recognise(folder)? else { return Ok(Vec::new()) };
        let files = folder.files().iter();
        let part = |name: &[u8]| PARTS.iter().any(|e| name.ends_with(e)) || weights::is_part(name);
        let mut claims: Vec<Vec<u8>> = files.filter(|f| part(f.name())).map(|f| f.path().to_vec()).collect();
        claims.extend(TOKENIZERS.iter().map(|t| join(folder.path(), t.as_bytes())));
        Ok(vec![Candidate {
            format: "huggingface",
            variant,
            location: folder.path().to_vec(),
            file: join(folder.path(), file.as_bytes()),
            evidence: format!("`{}` is {what}", show_bytes(&join(folder.path(), file.as_bytes()))),
            warnings: Vec::new(),
            claims,
        }])
    }

    fn read(&self, tree: &Tree, candidate: &Candidate, budget: u64) -> Result<Reading> {
        let mut reading = Reading::default();
        let config = Config::read(tree, &candidate.file)?
            .ok_or_else(|| Error::new(Kind::Model, "it is too long or no JSON object"))?;
        match candidate.variant {
            "diffusers" => relatives::diffusers(tree, candidate, &config, budget, &mut reading)?,
            "peft" => relatives::peft(tree, candidate, &config, budget, &mut reading)?,
            "sentence-transformers" => {
                transformers(tree, candidate, &config, budget, &mut reading)?;
                relatives::sentences(tree, &candidate.location, &mut reading)?;
            }
            _ => transformers(tree, candidate, &config, budget, &mut reading)?,
        }
        Ok(reading)
    }

    fn expects(&self, _: &[u8]) -> bool {
        false
    }

    fn role(&self, path: &[u8]) -> Option<Role> {
        path.ends_with(b"_model.bin").then_some(Role::Weights)
    }
}

/// What a folder is, the file that says so, and in words.
fn recognise(folder: &Folder<'_>) -> Result<Option<(&'static str, &'static str, &'static str)>> {
    if let Some(file) = folder.file(b"model_index.json")
        && has(file.head()?, b"\"_class_name\"")
        && folder.folders().next().is_some()
    {
        return Ok(Some(("diffusers", "model_index.json", "a pipeline of diffusers")));
    }
    let weighty = folder.files().iter().any(|f| weights::is_part(f.name()));
    if let Some(file) = folder.file(b"adapter_config.json")
        && has(file.head()?, b"\"peft_type\"")
        && weighty
    {
        return Ok(Some(("peft", "adapter_config.json", "an adapter of PEFT")));
    }
    let Some(file) = folder.file(b"config.json").filter(|f| f.size() <= MAX_CONFIG && weighty) else {
        return Ok(None);
    };
    if !file.head()?.trim_ascii_start().starts_with(b"{") {
        return Ok(None);
    }
    // The keys are sorted, and labels without end may come before the type.
    let text = file.open()?.read_all(MAX_CONFIG)?;
    if !has(&text, b"\"model_type\"") && !has(&text, b"\"architectures\"") {
        return Ok(None);
    }
    let sentences = folder
        .file(b"modules.json")
        .is_some_and(|f| f.head().is_ok_and(|h| has(h, b"sentence_transformers")));
    let variant = if sentences { "sentence-transformers" } else { "transformers" };
    Ok(Some((variant, "config.json", "a configuration of transformers")))
}

fn has(text: &[u8], key: &[u8]) -> bool {
    text.windows(key.len()).any(|w| w == key)
}

fn transformers(
    tree: &Tree,
    candidate: &Candidate,
    config: &Config,
    budget: u64,
    reading: &mut Reading,
) -> Result<()> {
    let folder = candidate.location.as_slice();
    let tensors = weights::read(tree, folder, budget, reading)?;
    reading.framework_version = config.text("transformers_version").map(str::to_owned);
    reading.fact("huggingface.architectures", config.get("architectures").cloned().unwrap_or_default());
    for key in ["model_type", "problem_type", "_name_or_path"] {
        reading.fact(
            format!("huggingface.{}", key.trim_start_matches('_')),
            config.text(key).unwrap_or_default(),
        );
    }
    let dtype = config.text("dtype").or_else(|| config.text("torch_dtype")).unwrap_or_default();
    reading.fact("huggingface.dtype", dtype);
    let method = config.inner("quantization_config");
    reading.fact("huggingface.quantization", method.text("quant_method").unwrap_or_default());
    reading.fact("classes", config.labels().unwrap_or_default());
    tokenizer(tree, folder, reading);
    if let Some(generation) = Config::read(tree, &join(folder, b"generation_config.json"))? {
        let plain =
            generation.entries().filter(|(_, v)| !v.is_object() && !v.is_array() && !v.is_null()).take(100);
        let plain: serde_json::Map<String, Value> = plain.map(|(k, v)| (k.clone(), v.clone())).collect();
        reading.fact("huggingface.generation", plain);
    }
    remote_code(config, reading);
    let task = tasks::task(config, &tensors);
    reading.fact("task", task.name.unwrap_or_default());
    reading.warnings.extend(task.warnings);
    if let Some(signature) = task.signature {
        reading.contract = Some(crate::model::contract::Contract { signatures: vec![signature] });
    }
    reading.list_weights(tensors);
    Ok(())
}

/// The files of a tokenizer that are there.
fn tokenizer(tree: &Tree, folder: &[u8], reading: &mut Reading) {
    let there: Vec<&str> =
        TOKENIZERS.iter().copied().filter(|t| tree.get(&join(folder, t.as_bytes())).is_some()).collect();
    reading.fact("huggingface.tokenizer", there);
}

/// A model that wants to be loaded by code of its own.
fn remote_code(config: &Config, reading: &mut Reading) {
    let map = config.inner("auto_map");
    let classes: Vec<&str> = map.entries().filter_map(|(_, v)| v.as_str()).take(10).collect();
    if classes.is_empty() {
        return;
    }
    let shown = show_bytes(classes.join(", ").as_bytes());
    reading.find(
        Severity::Warning,
        "remote-code",
        "",
        format!(
            "the model is loaded by code of its own, which runs where `trust_remote_code` is set, and nowhere else: {shown}"
        ),
    );
}

#[cfg(test)]
mod tests;
