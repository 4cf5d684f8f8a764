//! What an ONNX model needs besides its file: weights in other files, and operators of others.
//!
//! A weight may name a file in which it lies. Such a name comes from whoever made the model, and has
//! led outside of it before (CVE-2022-25882, CVE-2024-27318, CVE-2024-5187): it must be a relative
//! path without `..` to a regular file of the tree, and is never opened here.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Result, show_bytes};
use crate::model::format::onnx::graph::{Model, domain, sparse_parts, text_entry};
use crate::model::format::{MAX_ENTRIES, MAX_TEXT, Reading, Severity, join};
use crate::model::pb::Message;
use crate::model::tree::{EntryKind, Tree, folder_of};

/// Domains whose operators every implementation has (onnx/defs).
const STANDARD: &[&str] =
    &["ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview.training", "ai.onnx.preview"];
/// How many domains are named.
const MAX_DOMAINS: usize = 100;
/// How many operators of a domain are named.
const MAX_NAMED: usize = 10;

/// What was met on the way through all graphs.
#[derive(Default)]
struct Met {
    /// Named files, each with the furthest byte that is used of it.
    files: BTreeMap<String, u64>,
    /// Operators by domain, of domains that are not the standard's.
    operators: BTreeMap<String, BTreeSet<String>>,
    /// Domains and names of functions that the model itself defines.
    functions: BTreeSet<(String, String)>,
}

/// Looks through all graphs, inner ones and functions included.
pub(super) fn check(tree: &Tree, file: &[u8], model: &Model<'_>, reading: &mut Reading) -> Result<()> {
    let mut met = Met::default();
    let walked = walk(model, &mut met);
    let folder = folder_of(file);
    for (location, end) in &met.files {
        external_file(tree, folder, location, *end, reading);
    }
    custom_operators(model, &met, reading);
    walked
}

fn walk(model: &Model<'_>, met: &mut Met) -> Result<()> {
    for weight in &model.graph.weights {
        met.weight(*weight)?;
    }
    for function in &model.functions {
        met.function(*function)?;
    }
    for node in &model.graph.nodes {
        met.node(*node)?;
    }
    for training in &model.training {
        let mut message = *training;
        while let Some(field) = message.next_field()? {
            // The graphs for initialization and for a step.
            if matches!(field.number, 1 | 2) {
                met.graph(field.message()?)?;
            }
        }
    }
    Ok(())
}

impl Met {
    /// The recursion of graphs in nodes is bounded by the depth of messages.
    fn graph(&mut self, mut message: Message<'_>) -> Result<()> {
        while let Some(field) = message.next_field()? {
            match field.number {
                1 => self.node(field.message()?)?,
                5 => self.weight(field.message()?)?,
                15 => self.sparse(field.message()?)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn function(&mut self, mut message: Message<'_>) -> Result<()> {
        let (mut name, mut space) = (String::new(), String::new());
        while let Some(field) = message.next_field()? {
            match field.number {
                1 => name = field.text(MAX_TEXT)?,
                7 => self.node(field.message()?)?,
                10 => space = field.text(MAX_TEXT)?,
                _ => {}
            }
        }
        self.functions.insert((domain(&space).to_owned(), name));
        Ok(())
    }

    fn node(&mut self, mut message: Message<'_>) -> Result<()> {
        let (mut op, mut space) = (String::new(), String::new());
        while let Some(field) = message.next_field()? {
            match field.number {
                4 => op = field.text(MAX_TEXT)?,
                5 => self.attribute(field.message()?)?,
                7 => space = field.text(MAX_TEXT)?,
                _ => {}
            }
        }
        let space = domain(&space);
        if !STANDARD.contains(&space) && self.operators.len() < MAX_ENTRIES {
            let known = self.operators.entry(space.to_owned()).or_default();
            if known.len() < MAX_ENTRIES {
                known.insert(op);
            }
        }
        Ok(())
    }

    fn attribute(&mut self, mut message: Message<'_>) -> Result<()> {
        while let Some(field) = message.next_field()? {
            match field.number {
                // Numbers and texts, of which there may be millions: an attribute holds one kind.
                2..=4 | 7..=9 => return Ok(()),
                5 | 10 => self.weight(field.message()?)?,
                6 | 11 => self.graph(field.message()?)?,
                22 | 23 => self.sparse(field.message()?)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn sparse(&mut self, message: Message<'_>) -> Result<()> {
        for part in sparse_parts(message)? {
            self.weight(part)?;
        }
        Ok(())
    }

    fn weight(&mut self, mut message: Message<'_>) -> Result<()> {
        let mut elsewhere = false;
        let mut entries = BTreeMap::new();
        while let Some(field) = message.next_field()? {
            match field.number {
                13 if entries.len() < 64 => {
                    let (key, value) = text_entry(field.message()?, MAX_TEXT)?;
                    entries.insert(key, value);
                }
                14 => elsewhere = field.int()? == 1,
                _ => {}
            }
        }
        if elsewhere && self.files.len() < MAX_ENTRIES {
            let number = |key: &str| entries.get(key).and_then(|v| v.trim().parse::<u64>().ok()).unwrap_or(0);
            let end = number("offset").saturating_add(number("length"));
            let location = entries.get("location").cloned().unwrap_or_default();
            let furthest = self.files.entry(location).or_default();
            *furthest = end.max(*furthest);
        }
        Ok(())
    }
}

fn external_file(tree: &Tree, folder: &[u8], location: &str, end: u64, reading: &mut Reading) {
    let shown = show_bytes(location.as_bytes());
    let Some(path) = inside(folder, location) else {
        let message = format!("a weight is said to lie in `{shown}`, which is not a path inside the model");
        reading.find(Severity::Error, "external-data-outside", "", message);
        return;
    };
    let entry = tree.get(&path);
    let Some((entry, EntryKind::File { stamp, .. })) = entry.map(|e| (e, &e.kind)) else {
        let message =
            format!("a weight lies in `{}`, which is not among the files of the model", show_bytes(&path));
        reading.find(Severity::Error, "external-data-missing", "", message);
        return;
    };
    if stamp.size < end {
        let message = format!(
            "a weight lies in `{}` up to byte {end}, the file has {} bytes",
            show_bytes(&path),
            stamp.size
        );
        reading.find(Severity::Error, "external-data-short", "", message);
    }
    if entry.path != path {
        reading.required.push(entry.path.clone());
    }
    reading.required.push(path);
}

/// The path in the tree that a location means, where it stays inside the folder of the model.
pub(crate) fn inside(folder: &[u8], location: &str) -> Option<Vec<u8>> {
    // Backslashes and drive letters are paths elsewhere.
    if location.is_empty() || location.starts_with('/') || location.contains(['\\', '\0']) {
        return None;
    }
    if location.as_bytes().get(1) == Some(&b':') {
        return None;
    }
    let mut path = folder.to_vec();
    for part in location.split('/') {
        match part {
            "" | "." => {}
            ".." => return None,
            name => path = join(&path, name.as_bytes()),
        }
    }
    (path != folder).then_some(path)
}

fn custom_operators(model: &Model<'_>, met: &Met, reading: &mut Reading) {
    let custom: Vec<&str> =
        model.opsets.keys().map(String::as_str).filter(|d| !STANDARD.contains(d)).collect();
    reading.fact("onnx.customDomains", custom.join(","));
    let domains: Vec<&str> = model.opsets.keys().take(MAX_DOMAINS).map(String::as_str).collect();
    reading.fact("onnx.domains", domains);
    for (space, operators) in &met.operators {
        let outside: Vec<&str> = operators
            .iter()
            .filter(|op| !met.functions.contains(&(space.clone(), (*op).clone())))
            .map(String::as_str)
            .collect();
        if outside.is_empty() {
            continue;
        }
        let more = if outside.len() > MAX_NAMED { ", …" } else { "" };
        let named = outside[..outside.len().min(MAX_NAMED)].join(", ");
        let named = show_bytes(named.as_bytes());
        let space = show_bytes(space.as_bytes());
        reading.fact(format!("onnx.customOperators.{space}"), format!("{named}{more}"));
        // ONNX Runtime brings its own; they are facts alone.
        if !space.starts_with("com.microsoft") {
            reading.find(
                Severity::Warning,
                "custom-operators",
                "",
                format!(
                    "the graph uses operators of `{space}`, which the serving image must bring: {named}{more}"
                ),
            );
        }
    }
}
