//! TFLite Model Metadata: what an author says of inputs and outputs, in a flatbuffer of its own
//! (identifier `M001`) inside the model, with files of labels in a zip archive behind it.
//!
//! It describes the tensors of the first graph in the order of its inputs and outputs, and nothing
//! checks that it is true of them: everything here is a fact, none of it the contract. Slots are those
//! of tensorflow/lite/experimental/support/metadata/metadata_schema.fbs.

use serde_json::{Map, Value, json};

use crate::error::Result;
use crate::model::flat::{Flat, Table};
use crate::model::format::{MAX_NAME, MAX_TEXT, Reading};
use crate::model::pb::Source;
use crate::model::zip::Archive;

/// The identifier, at byte 4 of the buffer.
const IDENTIFIER: &[u8] = b"M001";
/// How many tensors of one side are described.
const MAX_TENSORS: usize = 1000;
/// How many files of one tensor are told.
const MAX_FILES: usize = 100;
/// The longest file of labels in bytes, and how many labels of it are told.
const MAX_LABELS: (u64, usize) = (4 << 20, 1000);

/// Reads the metadata at a place of the file.
pub(super) fn read(
    source: &dyn Source,
    (base, size): (u64, u64),
    budget: u64,
    archive: Option<&Archive<'_>>,
    reading: &mut Reading,
) -> Result<()> {
    let mut head = [0; 8];
    if size < 8 || source.read_at(base, &mut head)? < 8 || &head[4..] != IDENTIFIER {
        reading.warnings.push("the model's metadata is not of a form that is known (`M001`)".to_owned());
        return Ok(());
    }
    let flat = Flat::new(source, base, size, budget);
    let root = flat.root()?;
    for (slot, key) in [(4, "name"), (6, "description"), (8, "version"), (12, "author"), (14, "license")] {
        reading.fact(format!("tflite.model.{key}"), root.text(slot, MAX_TEXT)?);
    }
    let Some(graphs) = root.vector(10, 4)? else { return Ok(()) };
    if let Some(graph) = graphs.tables(1).next() {
        let graph = graph?;
        for (slot, side) in [(8, "inputs"), (10, "outputs")] {
            let Some(all) = graph.vector(slot, 4)? else { continue };
            let tensors: Vec<Value> =
                all.tables(MAX_TENSORS).map(|t| tensor(t?, archive)).collect::<Result<_>>()?;
            reading.fact(format!("tflite.{side}"), tensors);
        }
    }
    Ok(())
}

fn tensor(table: Table<'_>, archive: Option<&Archive<'_>>) -> Result<Value> {
    let mut out = Map::new();
    for (slot, key) in [(4, "name"), (6, "description")] {
        if let Some(text) = table.text(slot, MAX_TEXT)?.filter(|t| !t.is_empty()) {
            out.insert(key.to_owned(), text.into());
        }
    }
    if let Some(files) = table.vector(16, 4)? {
        let mut told = Vec::new();
        for file in files.tables(MAX_FILES) {
            let file = file?;
            let Some(name) = file.text(4, MAX_NAME)? else { continue };
            let kind = kind(file.u8(8, 0)?);
            let locale = file.text(10, MAX_NAME)?.filter(|l| !l.is_empty());
            if let Some(labels) = archive.filter(|_| kind.ends_with("labels")).and_then(|a| labels(a, &name))
            {
                // One list for each language; the one without is for all.
                let key = locale.as_ref().map_or("labels".to_owned(), |l| format!("labels.{l}"));
                out.entry(key).or_insert(labels);
            }
            told.push(json!({ "name": name, "type": kind }));
        }
        if !told.is_empty() {
            out.insert("files".to_owned(), told.into());
        }
    }
    Ok(out.into())
}

/// `AssociatedFileType` of the schema.
fn kind(number: u8) -> &'static str {
    match number {
        1 => "descriptions",
        2 => "axis labels",
        3 => "value labels",
        4 => "score calibration",
        5 => "vocabulary",
        6 => "index",
        _ => "unknown",
    }
}

/// The lines of a file of labels, in the order of the numbers that they stand for.
fn labels(archive: &Archive<'_>, name: &str) -> Option<Value> {
    let bytes = archive.read(archive.find(name)?, MAX_LABELS.0).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() > MAX_LABELS.1 {
        return Some(json!({ "count": lines.len() }));
    }
    Some(lines.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(bytes: &[u8]) -> (Reading, Result<()>) {
        let mut reading = Reading::default();
        let result = read(&bytes, (0, bytes.len() as u64), 1 << 20, None, &mut reading);
        (reading, result)
    }

    /// `{ 4: "abc" }` under the identifier.
    fn example() -> Vec<u8> {
        let mut b = Vec::new();
        b.extend(16u32.to_le_bytes());
        b.extend(IDENTIFIER);
        b.extend([0, 0, 6, 0, 8, 0, 4, 0]); // vtable at 10
        b.extend(6i32.to_le_bytes()); // table at 16
        b.extend(4u32.to_le_bytes()); // text at 20 + 4
        b.extend(3u32.to_le_bytes());
        b.extend(b"abc\0");
        b
    }

    #[test]
    fn what_the_author_says_is_a_fact() {
        let (reading, result) = facts(&example());
        result.unwrap();
        assert_eq!(reading.facts["tflite.model.name"], "abc");
    }

    #[test]
    fn other_and_broken_metadata_tell_nothing() {
        let good = example();
        let mut other = good.clone();
        other[7] = b'2';
        let (reading, result) = facts(&other);
        result.unwrap();
        assert!(reading.facts.is_empty() && reading.warnings.len() == 1);
        // The last byte ends the text for readers in C; its length stands before it.
        for end in 0..good.len() - 1 {
            let (reading, result) = facts(&good[..end]);
            assert!(reading.facts.is_empty() && (result.is_err() || reading.warnings.len() == 1), "{end}");
        }
    }
}
