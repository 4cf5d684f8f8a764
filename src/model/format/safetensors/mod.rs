//! safetensors: a table of tensors and their bytes, in one file or several.
//!
//! A file of weights alone has no contract: what goes in and out is not in it. Where a `config.json`
//! of transformers lies beside it, the folder is a model of [`super::huggingface`].

mod header;

use crate::error::Result;
use crate::model::format::{Candidate, File, Folder, Format, Reading, ends_in, shards};
use crate::model::tree::Tree;

pub(crate) use header::read as read_header;

/// How the names of the files end.
const EXTENSION: &str = ".safetensors";

/// The format of safetensors.
#[derive(Clone, Copy, Debug)]
pub struct SafeTensors;

impl Format for SafeTensors {
    fn name(&self) -> &'static str {
        "safetensors"
    }

    fn detect(&self, folder: &Folder<'_>) -> Result<Vec<Candidate>> {
        let groups = shards::groups(folder, EXTENSION.as_bytes());
        let mut found = Vec::new();
        for file in folder.files() {
            if !looks_like(file)? {
                continue;
            }
            let mut candidate =
                Candidate::in_file("safetensors", "file", file, "begins with a header of safetensors");
            shards::gather(&groups, &mut candidate);
            found.push(candidate);
        }
        Ok(found)
    }

    fn read(&self, tree: &Tree, candidate: &Candidate, budget: u64) -> Result<Reading> {
        let mut reading = Reading::default();
        let parts = shards::paths(candidate);
        shards::find_missing(&parts, &mut reading);
        let mut left = budget;
        let mut tensors = Vec::new();
        for path in &parts {
            let content = tree.open(path)?;
            let header = read_header(&content, left)?;
            content.check_unchanged()?;
            left = left.saturating_sub(header.spent);
            tensors.extend(header.tensors);
            reading.warnings.extend(header.warnings);
            for (key, value) in header.metadata {
                let key = if key == "format" {
                    "safetensors.format"
                } else {
                    &format!("safetensors.metadata.{key}")
                };
                reading.fact(key, value);
            }
            if path != &candidate.file {
                reading.required.push(path.clone());
            }
        }
        reading.list_weights(tensors);
        Ok(reading)
    }

    fn expects(&self, name: &[u8]) -> bool {
        ends_in(name, &[EXTENSION])
    }
}

/// Whether a file begins as one with a header; one that was cut off still is, by its name.
fn looks_like(file: &File<'_>) -> Result<bool> {
    if file.size() < 10 {
        return Ok(false);
    }
    let head = file.head()?;
    let Some((length, json)) = head.split_first_chunk::<8>() else { return Ok(false) };
    let length = u64::from_le_bytes(*length);
    let (inner, named) = (json.trim_ascii_start(), ends_in(file.name(), &[EXTENSION]));
    let object =
        json.starts_with(b"{") && matches!(inner[1..].trim_ascii_start().first(), Some(b'"' | b'}') | None);
    let fits = (2..=header::MAX_HEADER).contains(&length) && length <= file.size() - 8;
    let has = |key: &[u8]| json.windows(key.len()).any(|w| w == key);
    Ok(object
        && (named || fits && (has(b"\"dtype\"") || has(b"\"__metadata__\"") || length == file.size() - 8)))
}

#[cfg(test)]
mod tests;
