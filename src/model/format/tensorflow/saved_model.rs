//! A SavedModel: one or more meta graphs, each with tags, a graph and signatures.
//!
//! Field numbers are those of tensorflow/core/protobuf/{saved_model,meta_graph}.proto. The contract
//! is that of the meta graph tagged `serve`; others are facts. The keys of the facts about meta
//! graphs are those of Hydrosphere Serving.

use std::collections::BTreeMap;

use crate::error::{Error, Kind, Result, show_bytes};
use crate::model::contract::{Contract, DType, Signature};
use crate::model::format::tensorflow::{examples, signature};
use crate::model::format::{MAX_ENTRIES, MAX_TEXT, Reading, Severity};
use crate::model::pb::{Message, Value};

/// The tag of what is meant to be served.
const SERVE: &str = "serve";
/// The most meta graphs of one model.
const MAX_GRAPHS: usize = 100;
/// Signatures that are calls of the loader's own (tensorflow/cc/saved_model/constants.h).
const INTERNAL: &[&str] = &["__saved_model_init_op", "__saved_model_train_op"];

/// What serving needs besides the graph.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    /// Whether it restores variables from a checkpoint.
    pub restores: bool,
    /// Names of the files in `assets`.
    pub assets: Vec<String>,
}

/// Whether this begins as a SavedModel does; to be asked of a lenient input, since one that was cut
/// off is a broken SavedModel and not something else.
pub(super) fn looks_like(mut message: Message<'_>) -> bool {
    let mut version = false;
    let mut graphs = 0;
    while let Ok(Some(field)) = message.next_field() {
        match (field.number, field.value) {
            // The schema version is 1 since 2016.
            (1, Value::Varint(1)) => version = true,
            (2, Value::Bytes(graph)) if plausible_meta_graph(graph) => graphs += 1,
            _ => return false,
        }
    }
    version && graphs > 0
}

/// The fields of a meta graph are messages; the first tells enough.
fn plausible_meta_graph(mut graph: Message<'_>) -> bool {
    match graph.next_field() {
        Ok(Some(field)) => matches!((field.number, field.value), (1..=7, Value::Bytes(_))),
        Ok(None) => true,
        Err(_) => false,
    }
}

struct MetaGraph<'i> {
    size: u64,
    tags: Vec<String>,
    version: String,
    tensorflow: String,
    git: String,
    stripped: bool,
    collections: usize,
    restores: bool,
    assets: Vec<String>,
    signatures: BTreeMap<String, Message<'i>>,
    /// Its `GraphDef`.
    graph: Option<Message<'i>>,
}

/// Reads a SavedModel; `sizes` tells whether the sizes on the wire are those of the file.
pub(super) fn read(mut message: Message<'_>, reading: &mut Reading, sizes: bool) -> Result<Loaded> {
    let mut graphs = Vec::new();
    while let Some(field) = message.next_field()? {
        match field.number {
            1 => reading.fact("tensorflow.schemaVersion", field.varint()?.to_string()),
            2 if graphs.len() >= MAX_GRAPHS => {
                return Err(Error::new(
                    Kind::Model,
                    format!("the SavedModel has more than {MAX_GRAPHS} meta graphs"),
                ));
            }
            2 => graphs.push(meta_graph(field.message()?)?),
            _ => {}
        }
    }
    facts(&graphs, reading, sizes);
    let Some(served) = choose(&graphs, reading) else {
        return Err(Error::new(Kind::Model, "the SavedModel has no meta graph"));
    };
    reading.fact("tensorflow.servedTags", served.tags.join(","));
    let mut signatures = Vec::new();
    let mut tensors = 0;
    for (name, message) in &served.signatures {
        if INTERNAL.contains(&name.as_str()) {
            continue;
        }
        let signature = signature::read(name, *message, reading)?;
        tensors += signature.inputs.len() + signature.outputs.len();
        if tensors > MAX_ENTRIES {
            return Err(Error::new(
                Kind::Model,
                format!("the signatures have more than {MAX_ENTRIES} tensors"),
            ));
        }
        signatures.push(signature);
    }
    let takes_text = |s: &Signature| s.inputs.iter().any(|t| t.dtype == Some(DType::String));
    if let Some(graph) = served.graph.filter(|_| signatures.iter().any(takes_text)) {
        // The contract stands; what comes now may run out of budget in a graph of a size never met.
        if let Err(e) = examples::read(graph, reading) {
            reading.warnings.push(format!("the graph was not searched for features of records: {e}"));
        }
    }
    if signatures.is_empty() {
        reading.find(
            Severity::Warning,
            "no-signatures",
            "",
            "the SavedModel has no signatures, so that it says nothing about its inputs and outputs",
        );
    } else {
        default_first(&mut signatures);
        reading.contract = Some(Contract { signatures });
    }
    Ok(Loaded { restores: served.restores, assets: served.assets.clone() })
}

fn default_first(signatures: &mut [Signature]) {
    let rank = |name: &str| match name {
        "serving_default" => 0,
        "predict" => 1,
        _ => 2,
    };
    // The sort is stable: the rest stays sorted by name.
    signatures.sort_by_key(|s| rank(&s.name));
}

fn meta_graph(mut message: Message<'_>) -> Result<MetaGraph<'_>> {
    let mut graph = MetaGraph {
        size: message.size(),
        tags: Vec::new(),
        version: String::new(),
        tensorflow: String::new(),
        git: String::new(),
        stripped: false,
        collections: 0,
        restores: false,
        assets: Vec::new(),
        signatures: BTreeMap::new(),
        graph: None,
    };
    while let Some(field) = message.next_field()? {
        match field.number {
            1 => meta_info(field.message()?, &mut graph)?,
            2 => graph.graph = Some(field.message()?),
            // A saver is there where variables are.
            3 => graph.restores |= field.span()?.size() > 0,
            4 => graph.collections += 1,
            5 => {
                let (name, signature) = entry(field.message()?)?;
                if graph.signatures.len() >= MAX_ENTRIES {
                    return Err(Error::new(
                        Kind::Model,
                        format!("a meta graph has more than {MAX_ENTRIES} signatures"),
                    ));
                }
                if let Some(signature) = signature {
                    graph.signatures.insert(name, signature);
                }
            }
            6 => graph.assets.extend(asset(field.message()?)?),
            _ => {}
        }
        if graph.assets.len() > MAX_ENTRIES {
            return Err(Error::new(Kind::Model, format!("a meta graph has more than {MAX_ENTRIES} assets")));
        }
    }
    Ok(graph)
}

fn meta_info<'i>(mut message: Message<'i>, graph: &mut MetaGraph<'i>) -> Result<()> {
    while let Some(field) = message.next_field()? {
        match field.number {
            1 => graph.version = field.text(MAX_TEXT)?,
            4 if graph.tags.len() < MAX_GRAPHS => graph.tags.push(field.text(MAX_TEXT)?),
            5 => graph.tensorflow = field.text(MAX_TEXT)?,
            6 => graph.git = field.text(MAX_TEXT)?,
            7 => graph.stripped = field.varint()? != 0,
            _ => {}
        }
    }
    Ok(())
}

/// The name of the file of an asset.
fn asset(mut message: Message<'_>) -> Result<Option<String>> {
    let mut name = None;
    while let Some(field) = message.next_field()? {
        if field.number == 2 {
            name = Some(field.text(MAX_TEXT)?);
        }
    }
    Ok(name)
}

/// An entry of a map from text to messages. A value that is left out is an empty message; since an
/// empty one tells nothing, it is `None`.
pub(super) fn entry(mut message: Message<'_>) -> Result<(String, Option<Message<'_>>)> {
    let mut key = String::new();
    let mut value = None;
    while let Some(field) = message.next_field()? {
        match field.number {
            1 => key = field.text(MAX_TEXT)?,
            2 => value = Some(field.message()?),
            _ => {}
        }
    }
    Ok((key, value))
}

fn facts(graphs: &[MetaGraph<'_>], reading: &mut Reading, sizes: bool) {
    reading.fact("tensorflow.metaGraphsCount", graphs.len().to_string());
    for (i, g) in graphs.iter().enumerate() {
        let mut fact =
            |key: &str, value: String| reading.fact(format!("tensorflow.metaGraph[{i}].{key}"), value);
        fact("collectionsCount", g.collections.to_string());
        fact("assetFilesCount", g.assets.len().to_string());
        if sizes {
            fact("serializedSize", g.size.to_string());
        }
        fact("signatureCount", g.signatures.len().to_string());
        fact("metaGraphVersion", g.version.clone());
        fact("strippedDefaultAttrs", g.stripped.to_string());
        fact("tagsCount", g.tags.len().to_string());
        fact("tensorflowGitVersion", g.git.clone());
        fact("tensorflowVersion", g.tensorflow.clone());
        // Beyond Hydrosphere's keys: what tells meta graphs apart.
        fact("tags", g.tags.join(","));
        let names: Vec<&str> =
            g.signatures.keys().map(String::as_str).filter(|n| !INTERNAL.contains(n)).collect();
        fact("signatures", names.join(","));
    }
}

/// The meta graph that a server loads: tagged `serve` alone, else with more tags, else the only one.
fn choose<'g, 'i>(graphs: &'g [MetaGraph<'i>], reading: &mut Reading) -> Option<&'g MetaGraph<'i>> {
    let alone = graphs.iter().find(|g| g.tags == [SERVE]);
    let served = alone.or_else(|| graphs.iter().find(|g| g.tags.iter().any(|t| t == SERVE)));
    let chosen = served.or(graphs.first())?;
    if served.is_none() {
        let tags: Vec<String> =
            graphs.iter().map(|g| format!("`{}`", show_bytes(g.tags.join(",").as_bytes()))).collect();
        reading.warnings.push(format!(
            "no meta graph is tagged `serve`, the first is described; the tags are {}",
            tags.join(" and ")
        ));
    } else if graphs.len() > 1 {
        let others = graphs.len() - 1;
        reading.warnings.push(format!(
            "the meta graph tagged `{}` is described; {others} more with other tags",
            show_bytes(chosen.tags.join(",").as_bytes())
        ));
    }
    Some(chosen)
}
