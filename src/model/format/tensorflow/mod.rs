//! TensorFlow: SavedModels, binary and as text, version folders of TensorFlow Serving, frozen graphs.
//!
//! A SavedModel records its whole contract; a frozen graph records its inputs only. Graphs are
//! skipped by their length. Checkpoints without a graph are no models and are not recognised.

mod examples;
mod graph_def;
mod saved_model;
mod signature;
mod text;
mod variables;

use crate::error::{Error, Kind, Result, show_bytes};
use crate::model::format::{Candidate, File, Folder, Format, Reading, Role, file_name, join};
use crate::model::pb::Input;
use crate::model::tree::{Content, Tree, folder_of};

/// The binary form in its folder (tensorflow/cc/saved_model/constants.h).
const BINARY: &[u8] = b"saved_model.pb";
/// The text form.
const TEXT: &[u8] = b"saved_model.pbtxt";
/// How many bytes of a file are read at most to recognise it.
const SNIFF: u64 = 256 << 10;
/// The longest name of a version folder.
const MAX_VERSION: usize = 40;

/// The format of TensorFlow.
#[derive(Clone, Copy, Debug)]
pub struct TensorFlow;

impl Format for TensorFlow {
    fn name(&self) -> &'static str {
        "tensorflow"
    }

    fn detect(&self, folder: &Folder<'_>) -> Result<Vec<Candidate>> {
        let mut found = Vec::new();
        let own = saved_model_in(folder.file(BINARY), folder.file(TEXT))?;
        if let Some(mut candidate) = own {
            if candidate.variant == "saved-model" && folder.file(TEXT).is_some() {
                candidate
                    .warnings
                    .push("`saved_model.pbtxt` is not read, since `saved_model.pb` is beside it".to_owned());
            }
            found.push(candidate);
        } else {
            found.extend(newest_version(folder)?);
        }
        for file in folder.files() {
            if file.name() == BINARY || file.name() == TEXT {
                continue;
            }
            found.extend(loose_file(file)?);
        }
        Ok(found)
    }

    fn read(&self, tree: &Tree, candidate: &Candidate, budget: u64) -> Result<Reading> {
        let content = tree.open(&candidate.file)?;
        let mut reading = Reading::default();
        reading.fact("tensorflow.kind", candidate.variant);
        match candidate.variant {
            "frozen-graph" => graph_def::read(Input::new(&content, budget).message(), &mut reading)?,
            "saved-model-text" => {
                let binary = text::to_binary(&content, budget)?;
                let loaded = saved_model::read(
                    Input::new(&binary, binary.len() as u64 * 4).message(),
                    &mut reading,
                    false,
                )?;
                variables::check(tree, &candidate.location, &loaded, &mut reading);
            }
            _ => {
                let loaded = saved_model::read(Input::new(&content, budget).message(), &mut reading, true)?;
                variables::check(tree, folder_of(&candidate.file), &loaded, &mut reading);
            }
        }
        if file_name(&candidate.location).iter().all(u8::is_ascii_digit)
            && candidate.location != candidate.file
        {
            reading.fact("tensorflow.servedVersion", show_bytes(file_name(&candidate.location)));
        }
        Ok(reading)
    }

    fn expects(&self, name: &[u8]) -> bool {
        name == BINARY || name == TEXT || name == b"saved_model.cpb"
    }

    fn role(&self, path: &[u8]) -> Option<Role> {
        let name = file_name(path);
        let parent = file_name(folder_of(path));
        if parent == b"variables" && name.starts_with(b"variables.") {
            return Some(Role::Weights);
        }
        let mut folders = folder_of(path).split(|b| *b == b'/');
        if folders.any(|f| f == b"assets" || f == b"assets.extra") {
            return Some(Role::Assets);
        }
        match name {
            b"saved_model.pb" | b"saved_model.pbtxt" | b"saved_model.cpb" => Some(Role::Graph),
            b"fingerprint.pb" | b"keras_metadata.pb" => Some(Role::Config),
            _ => None,
        }
    }
}

/// The SavedModel that a folder is, given the two files that may make it one.
fn saved_model_in(binary: Option<&File<'_>>, text: Option<&File<'_>>) -> Result<Option<Candidate>> {
    if let Some(file) = binary
        && saved_model::looks_like(Input::lenient(&file.open()?, SNIFF).message())
    {
        return Ok(Some(candidate(
            file,
            folder_of(file.path()),
            "saved-model",
            format!("`{}` holds a SavedModel", show_bytes(file.path())),
        )));
    }
    if let Some(file) = text
        && text::looks_like(file.head()?)
    {
        return Ok(Some(candidate(
            file,
            folder_of(file.path()),
            "saved-model-text",
            format!("`{}` holds a SavedModel as text", show_bytes(file.path())),
        )));
    }
    Ok(None)
}

fn candidate(file: &File<'_>, location: &[u8], variant: &'static str, evidence: String) -> Candidate {
    Candidate {
        format: "tensorflow",
        variant,
        location: location.to_vec(),
        file: file.path().to_vec(),
        evidence,
        warnings: Vec::new(),
        claims: Vec::new(),
    }
}

/// The SavedModel in the folder with the highest number, which TensorFlow Serving would serve.
fn newest_version(folder: &Folder<'_>) -> Result<Option<Candidate>> {
    let mut versions: Vec<&[u8]> = folder
        .folders()
        .filter(|n| n.len() <= MAX_VERSION && n.iter().all(u8::is_ascii_digit))
        .filter(|n| [BINARY, TEXT].iter().any(|f| folder.below(&join(n, f)).is_some()))
        .collect();
    // As numbers of any length: without leading zeros the longer one is the higher one.
    let number = |n: &[u8]| {
        let start = n.iter().position(|b| *b != b'0').unwrap_or(n.len());
        (n.len() - start, n[start..].to_vec())
    };
    versions.sort_by_key(|n| number(n));
    let mut passed_over: Vec<String> = Vec::new();
    while let Some(version) = versions.pop() {
        let file = |name: &[u8]| folder.below(&join(version, name));
        let Some(mut found) = saved_model_in(file(BINARY).as_ref(), file(TEXT).as_ref())? else {
            passed_over.push(show_bytes(version));
            continue;
        };
        if !passed_over.is_empty() {
            found.warnings.push(format!(
                "higher versions hold no SavedModel and are passed over: {}",
                passed_over.join(", ")
            ));
        }
        if !versions.is_empty() {
            let others: Vec<String> = versions.iter().rev().take(20).map(|v| show_bytes(v)).collect();
            found.evidence.push_str(", the highest of several versions");
            found.warnings.push(format!(
                "version {} is described, the highest; {} is packed too",
                show_bytes(version),
                others.join(", ")
            ));
        }
        return Ok(Some(found));
    }
    Ok(None)
}

/// A frozen graph, or a SavedModel under a name of its own.
fn loose_file(file: &File<'_>) -> Result<Option<Candidate>> {
    let head = file.head()?;
    match head.first() {
        Some(0x08) => {
            let content = file.open()?;
            if !saved_model::looks_like(Input::lenient(&content, SNIFF).message()) {
                return Ok(None);
            }
            let mut found = candidate(
                file,
                file.path(),
                "saved-model",
                format!("`{}` holds a SavedModel", show_bytes(file.path())),
            );
            found.warnings.push(format!(
                "TensorFlow loads a SavedModel only from a file named `saved_model.pb`, this one is `{}`",
                show_bytes(file.path())
            ));
            Ok(Some(found))
        }
        Some(0x0a) => {
            let content = file.open()?;
            Ok(graph_def::looks_like(Input::lenient(&content, SNIFF).message()).then(|| {
                candidate(
                    file,
                    file.path(),
                    "frozen-graph",
                    format!("`{}` holds a frozen graph", show_bytes(file.path())),
                )
            }))
        }
        _ if text::looks_like(head) => Ok(Some(candidate(
            file,
            file.path(),
            "saved-model-text",
            format!("`{}` holds a SavedModel as text", show_bytes(file.path())),
        ))),
        _ => Ok(None),
    }
}

/// Reads a text file whole, within the budget and [`text::MAX_SIZE`].
fn whole(content: &Content, budget: u64) -> Result<Vec<u8>> {
    let cap = budget.min(text::MAX_SIZE);
    if content.size() > cap {
        return Err(Error::new(
            Kind::Model,
            format!("the text has {} bytes, at most {cap} are read", content.size()),
        ));
    }
    content.read_all(cap)
}

#[cfg(test)]
mod tests;
