//! GGUF: settings, a tokenizer and quantized weights in one file, or split over several.
//!
//! The file has no signature: what goes in and out is the business of the program that runs it
//! (llama.cpp), so that there is no contract. Its settings and its table of tensors are told.

mod file;
mod types;

use crate::error::Result;
use crate::model::format::{Candidate, Folder, Format, Reading, Severity, ends_in, shards};
use crate::model::tree::Tree;

/// How the names of the files end.
const EXTENSION: &str = ".gguf";

/// The format of GGUF.
#[derive(Clone, Copy, Debug)]
pub struct Gguf;

impl Format for Gguf {
    fn name(&self) -> &'static str {
        "gguf"
    }

    fn detect(&self, folder: &Folder<'_>) -> Result<Vec<Candidate>> {
        let groups = shards::groups(folder, EXTENSION.as_bytes());
        let mut found = Vec::new();
        let mut projectors = Vec::new();
        for file in folder.files() {
            if !file.head()?.starts_with(b"GGUF") {
                continue;
            }
            // What turns images into tokens for the model beside it, as llama.cpp names it.
            if file.name().starts_with(b"mmproj") {
                projectors.push(file.path().to_vec());
            }
            let mut candidate = Candidate::in_file("gguf", "file", file, "begins with `GGUF`");
            shards::gather(&groups, &mut candidate);
            found.push(candidate);
        }
        for candidate in found.iter_mut().filter(|c| !projectors.contains(&c.file)) {
            candidate.claims.extend(projectors.iter().cloned());
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
            let read = file::read(&content, left)?;
            content.check_unchanged()?;
            left = left.saturating_sub(read.spent);
            tensors.extend(read.tensors);
            reading.warnings.extend(read.warnings);
            if path == &candidate.file {
                if candidate.variant != shards::PARTS && read.parts > 1 {
                    let message = format!(
                        "the file is one of {} parts of a model, and the others have no names by which they are found",
                        read.parts
                    );
                    reading.find(Severity::Error, "missing-weights", "", message);
                }
                reading.facts.extend(read.facts);
            } else {
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

#[cfg(test)]
mod tests;
