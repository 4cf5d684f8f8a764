//! MXNet: a graph as JSON (`*-symbol.json`) and its weights (`*-NNNN.params`).
//!
//! The graph records the names of what goes in and out. Shapes and types follow from the weights, as
//! far as they do: the size of an image for a network that folds it away is not in the files. A file
//! of weights alone has no contract.

mod arrays;
mod contract;
mod cuts;
mod dtypes;
mod images;
mod layers;
mod numpy;
mod params;
mod rules;
mod shapes;
mod symbol;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::error::{Result, show_bytes};
use crate::model::format::{
    Candidate, File, Folder, Format, Reading, Role, Severity, Weight, file_name, join,
};
use crate::model::tree::{EntryKind, Tree, folder_of};
use crate::model::zip;

use params::Array;
use shapes::Shape;
use symbol::Symbol;

/// How the name of a graph ends, unless somebody renamed it.
const SYMBOL: &[u8] = b"-symbol.json";
/// How the name of weights ends.
const PARAMS: &[u8] = b".params";
/// The longest file of shapes or labels that is read beside a model.
const MAX_SIDECAR: u64 = 4 << 20;

/// The format of MXNet.
#[derive(Clone, Copy, Debug)]
pub struct Mxnet;

impl Format for Mxnet {
    fn name(&self) -> &'static str {
        "mxnet"
    }

    fn detect(&self, folder: &Folder<'_>) -> Result<Vec<Candidate>> {
        let (mut graphs, mut lists, mut archives) = (Vec::new(), Vec::new(), Vec::new());
        for file in folder.files() {
            if is_graph(file)? {
                graphs.push(file);
            } else if file.name().ends_with(PARAMS) && zip::begins(file.head()?) {
                archives.push(file.path().to_vec());
            } else if file.head()?.starts_with(&params::LIST.to_le_bytes()) && file.size() >= 24 {
                lists.push(file.path().to_vec());
            }
        }
        // Beside a graph the arrays of numpy that MXNet 2 writes are its weights; alone they are anybody's.
        if !graphs.is_empty() {
            lists.extend(archives);
            lists.sort();
        }
        let mut found = Vec::new();
        for graph in &graphs {
            let stem = graph.name().strip_suffix(SYMBOL).unwrap_or(graph.name());
            let mut own: Vec<Vec<u8>> = lists.iter().filter(|p| stem_of(p) == stem).cloned().collect();
            if own.is_empty() && graphs.len() == 1 && lists.len() == 1 {
                own.clone_from(&lists);
            }
            found.push(candidate("graph", graph.path(), own));
        }
        let claimed: Vec<&Vec<u8>> = found.iter().flat_map(|c| &c.claims).collect();
        let mut alone: BTreeMap<&[u8], Vec<Vec<u8>>> = BTreeMap::new();
        for list in lists.iter().filter(|l| !claimed.contains(l)) {
            alone.entry(stem_of(list)).or_default().push(list.clone());
        }
        let alone: Vec<Candidate> = alone
            .into_values()
            .filter_map(|lists| Some(candidate("params", &lists.last()?.clone(), lists)))
            .collect();
        // Claimed lists are candidates too, which their graphs then take in.
        let parts: Vec<Candidate> =
            found.iter().flat_map(|c| &c.claims).map(|l| candidate("params", l, Vec::new())).collect();
        found.extend(alone);
        found.extend(parts);
        Ok(found)
    }

    fn read(&self, tree: &Tree, candidate: &Candidate, budget: u64) -> Result<Reading> {
        let mut reading = Reading::default();
        // Of several epochs the last one counts, as sorted names have it.
        let own = (candidate.variant == "params").then_some(&candidate.file);
        let list = candidate.claims.last().or(own);
        let arrays = match list {
            Some(list) => {
                let content = tree.open(list)?;
                let (arrays, more) = params::read(&content, budget)
                    .map_err(|e| e.context(format!("reading `{}`", show_bytes(list))))?;
                content.check_unchanged()?;
                if more {
                    reading.warnings.push(format!("only the first {} arrays are listed", arrays.len()));
                }
                if let Some(epoch) = epoch(list) {
                    reading.fact("mxnet.epoch", epoch);
                }
                if *list != candidate.file {
                    reading.required.push(list.clone());
                }
                Some(arrays)
            }
            None => None,
        };
        if candidate.variant == "graph" {
            let content = tree.open(&candidate.file)?;
            let json = content.read_all(symbol::MAX_JSON.min(budget))?;
            content.check_unchanged()?;
            let symbol = symbol::parse(&json)?;
            describe(&symbol, &mut reading);
            let given = sidecars(tree, folder_of(&candidate.file), &mut reading);
            graph(&symbol, arrays.as_deref(), &given, &mut reading);
            classes(tree, folder_of(&candidate.file), &mut reading);
        }
        reading.list_weights(arrays.unwrap_or_default().into_iter().map(weight).collect());
        Ok(reading)
    }

    fn expects(&self, name: &[u8]) -> bool {
        name.ends_with(SYMBOL) || epoch(name).is_some()
    }

    fn role(&self, path: &[u8]) -> Option<Role> {
        if path.ends_with(SYMBOL) {
            return Some(Role::Graph);
        }
        path.ends_with(PARAMS).then_some(Role::Weights)
    }
}

fn candidate(variant: &'static str, file: &[u8], lists: Vec<Vec<u8>>) -> Candidate {
    let mut warnings = Vec::new();
    if let [.., last] = lists.as_slice()
        && lists.len() > 1
    {
        warnings.push(format!(
            "there are weights of {} epochs, of which `{}` counts",
            lists.len(),
            show_bytes(last)
        ));
    }
    let what = if variant == "graph" { "holds a graph of MXNet" } else { "is a list of MXNet's arrays" };
    let whole = variant == "graph" && !lists.is_empty();
    Candidate {
        format: "mxnet",
        variant,
        location: if whole { folder_of(file).to_vec() } else { file.to_vec() },
        file: file.to_vec(),
        evidence: format!("`{}` {what}", show_bytes(file)),
        warnings,
        claims: lists,
    }
}

/// The name of a list of weights without its epoch.
fn stem_of(path: &[u8]) -> &[u8] {
    let name = file_name(path);
    let name = name.strip_suffix(PARAMS).unwrap_or(name);
    match name.iter().rposition(|b| *b == b'-') {
        Some(at) if name[at + 1..].iter().all(u8::is_ascii_digit) && at + 1 < name.len() => &name[..at],
        _ => name,
    }
}

/// The epoch in a name: `PREFIX-0003.params`.
fn epoch(path: &[u8]) -> Option<u64> {
    let name = file_name(path).strip_suffix(PARAMS)?;
    let digits = &name[name.iter().rposition(|b| *b == b'-')? + 1..];
    let digits =
        std::str::from_utf8(digits).ok().filter(|d| d.len() >= 4 && d.bytes().all(|b| b.is_ascii_digit()))?;
    digits.parse().ok()
}

/// Whether a file is a graph of MXNet; TVM's graphs have the same form and other operators.
fn is_graph(file: &File<'_>) -> Result<bool> {
    let head = file.head()?;
    let Some(inner) = head.trim_ascii_start().strip_prefix(b"{") else { return Ok(false) };
    let has = |key: &[u8]| head.windows(key.len()).any(|w| w == key);
    let nodes = inner.trim_ascii_start().starts_with(b"\"nodes\"");
    Ok(nodes && has(b"\"op\"") && has(b"\"name\"") && !has(b"tvm_op") && !has(b"\"tvm"))
}

fn weight(array: Array) -> Weight {
    Weight {
        name: array.name,
        dtype: array.dtype.map(str::to_owned),
        shape: array.shape.map(|s| s.into_iter().map(Some).collect()),
    }
}

/// What a graph tells besides its contract.
fn describe(symbol: &Symbol, reading: &mut Reading) {
    reading.framework_version.clone_from(&symbol.version);
    let mut operators: BTreeMap<&str, u64> = BTreeMap::new();
    for node in symbol.nodes.iter().filter(|n| !n.is_variable()) {
        *operators.entry(&node.op).or_default() += 1;
    }
    let operators: serde_json::Map<String, Value> =
        operators.into_iter().take(1000).map(|(op, n)| (op.to_owned(), n.into())).collect();
    reading.fact("mxnet.operators", operators);
    for node in symbol.nodes.iter().filter(|n| n.op == "Custom").take(100) {
        let kind = show_bytes(node.text("op_type").unwrap_or("?").as_bytes());
        reading.find(
            Severity::Warning,
            "custom-operators",
            show_bytes(node.name.as_bytes()),
            format!(
                "the graph uses the operator `{kind}`, which is Python code that the serving image must bring"
            ),
        );
    }
}

fn graph(symbol: &Symbol, arrays: Option<&[Array]>, given: &BTreeMap<String, Shape>, reading: &mut Reading) {
    let mut weights: Option<BTreeMap<&str, &Array>> =
        arrays.map(|a| a.iter().map(|a| (a.name.as_str(), a)).collect());
    let variables = || symbol.nodes.iter().filter(|n| n.is_variable());
    if let Some(w) = &weights
        && !variables().any(|n| w.contains_key(n.name.as_str()))
    {
        reading
            .warnings
            .push("the weights have none of the names in the graph; they were not used".to_owned());
        weights = None;
    }
    let made = contract::make(symbol, weights.as_ref(), given);
    if made.clash {
        reading.warnings.push(
            "the shapes or types of the weights do not fit the graph as floe reads it; they are not told"
                .to_owned(),
        );
    }
    if symbol.heads.len() > contract::MAX_OUTPUTS {
        reading.warnings.push(format!("only the first {} outputs are told", contract::MAX_OUTPUTS));
    }
    reading.fact("mxnet.labels", made.labels);
    reading.contract = Some(made.contract);
}

/// Shapes of inputs that serving systems keep beside a model: `model-shapes.json` of SageMaker,
/// `signature.json` of the Multi Model Server. How many rows there are at a time is the caller's.
fn sidecars(tree: &Tree, folder: &[u8], reading: &mut Reading) -> BTreeMap<String, Shape> {
    let mut given = BTreeMap::new();
    for (file, list, name, shape) in [
        ("model-shapes.json", None, "name", "shape"),
        ("signature.json", Some("inputs"), "data_name", "data_shape"),
    ] {
        let Some(json) = small_file(tree, &join(folder, file.as_bytes())) else { continue };
        let Ok(json) = crate::model::format::json::parse(&json) else {
            reading.warnings.push(format!("`{file}` is no JSON and was not used"));
            continue;
        };
        let entries = list.map_or(Some(&json), |key| json.get(key)).and_then(Value::as_array);
        for entry in entries.into_iter().flatten().take(1000) {
            let name = entry.get(name).and_then(Value::as_str);
            let dims = entry.get(shape).and_then(Value::as_array).filter(|d| (1..=64).contains(&d.len()));
            if let (Some(name), Some(dims)) = (name, dims) {
                let mut dims: Vec<Option<u64>> = dims.iter().map(|d| d.as_u64().filter(|d| *d > 0)).collect();
                dims[0] = None;
                given.entry(name.to_owned()).or_insert(Some(dims));
            }
        }
    }
    given
}

/// The labels of the Multi Model Server, where there are as many as the model gives numbers.
fn classes(tree: &Tree, folder: &[u8], reading: &mut Reading) {
    let Some(text) = small_file(tree, &join(folder, b"synset.txt")) else { return };
    let Ok(text) = String::from_utf8(text) else { return };
    let labels: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    let outputs = reading.contract.iter().flat_map(|c| &c.signatures).flat_map(|s| &s.outputs);
    let widths: Vec<Option<u64>> = outputs.map(|o| o.shape.as_ref().and_then(|s| *s.last()?)).collect();
    if widths == [Some(labels.len() as u64)] {
        reading.fact("classes", labels);
    }
}

fn small_file(tree: &Tree, path: &[u8]) -> Option<Vec<u8>> {
    tree.get(path).filter(|e| matches!(e.kind, EntryKind::File { .. }))?;
    tree.open(path).ok()?.read_all(MAX_SIDECAR).ok()
}

#[cfg(test)]
mod tests;
