//! The document `kind: Model`, of Hydrosphere 3.x, 2.x and 0.1.x, with floe's own keys.
//!
//! The three differ in what they require and in the shape of the contract, not in the keys, so one
//! reader takes all of them. The older `model:` block is [`super::block`]'s.
//!
//! Invariant: the generation that is told is that of the file's shape. It decides nothing in a
//! build: which protobuf a runtime reads follows from the runtime.

use super::contract::{self, Style};
use super::keys::{self, Use};
use super::node::{Key, Node};
use super::reader::Reader;
use super::{Definition, Generation};
use crate::error::Result;

/// Labels that floe writes itself.
const OWN_LABELS: &[&str] = &["MODEL_NAME", "MODEL_VERSION"];

/// Reads a document of kind `Model`.
pub(super) fn read(
    r: &mut Reader<'_>,
    file: &str,
    document: &Node,
    entries: &[(Key, Node)],
) -> Result<Definition> {
    let mut d = Definition::empty(file);
    let mut seen: Vec<(&'static str, &str)> = Vec::new();
    let mut style = None;
    let mut named = false;
    let mut host = false;
    for (key, value) in entries {
        let Some(known) = keys::model_key(&key.text) else {
            return Err(r.unknown(
                key,
                "a model",
                keys::MODEL.iter().filter(|k| live(k.does)).map(|k| k.name),
            ));
        };
        if let Some((_, other)) = seen.iter().find(|(name, _)| *name == known.name) {
            return Err(r
                .error(&key.span, format_args!("`{}` and `{other}` are the same key", key.text))
                .hint("remove one of the two"));
        }
        seen.push((known.name, &key.text));
        match known.does {
            Use::Kept => {}
            Use::Told(what, hint) | Use::Unread(what, hint) => {
                r.warn(&key.span, format_args!("`{}` {what}", key.text), hint);
            }
        }
        match known.name {
            "name" => {
                d.name = r.text("name", value)?;
                d.place = r.source.place(value.span.start);
                named = true;
            }
            "description" => d.description = r.optional_text("description", value)?,
            "runtime" => d.runtime = r.optional_placed("runtime", value)?,
            "base" => d.base = r.optional_placed("base", value)?,
            "payload" => d.payload = Some(payload(r, value)?),
            "contract" | "signature" if value.is_null() => {}
            "contract" | "signature" => {
                if d.contract.is_some() {
                    return Err(r
                        .error(&key.span, "both `contract` and `signature` are given")
                        .hint("remove one of the two"));
                }
                let (contract, s) = contract::read(r, known.name, value)?;
                d.contract = Some(contract);
                style = Some(s);
            }
            "install-command" => d.install_command = r.optional_placed(known.name, value)?,
            "training-data" => d.training_data = r.optional_text(known.name, value)?,
            "model-type" => d.model_type = r.optional_text(known.name, value)?,
            "metadata" => d.metadata = r.texts("metadata", value)?,
            "labels" => d.labels = labels(r, value)?,
            "annotations" => d.annotations = r.texts("annotations", value)?,
            "env" => d.env = env(r, value)?,
            "user" => d.user = r.optional_text("user", value)?,
            "workdir" => d.workdir = workdir(r, value)?,
            "source" => d.source = r.optional_text("source", value)?,
            "revision" => d.revision = r.optional_text("revision", value)?,
            "licenses" => d.licenses = r.optional_text("licenses", value)?,
            "host-selector" => host = true,
            _ => {}
        }
    }
    if !named {
        return Err(r
            .error(&document.span, "the model has no `name`")
            .hint("write `name: …`, in lower case"));
    }
    d.generation = generation(&d, style, host);
    Ok(d)
}

/// Whether a key is worth naming to who mistyped another.
fn live(does: Use) -> bool {
    matches!(does, Use::Kept)
}

fn generation(d: &Definition, style: Option<Style>, host: bool) -> Generation {
    match style {
        Some(s) if s.map => Generation::V0_1,
        None if d.model_type.is_some() && d.runtime.is_none() => Generation::V0_1,
        Some(s) if !s.loose && !host && d.runtime.is_some() && d.payload.is_some() => Generation::V3,
        _ => Generation::V2,
    }
}

pub(super) fn payload(r: &Reader<'_>, node: &Node) -> Result<Vec<super::Placed<String>>> {
    let list = r.list("payload", node)?;
    if list.is_empty() {
        return Err(r
            .error(&node.span, "`payload` lists nothing")
            .hint("leave it out to pack the whole folder"));
    }
    Ok(list)
}

fn labels(r: &Reader<'_>, node: &Node) -> Result<std::collections::BTreeMap<String, String>> {
    for (key, _) in r.entries("labels", node)? {
        if OWN_LABELS.contains(&key.text.as_str()) {
            return Err(r
                .error(&key.span, format_args!("the label `{}` is written by floe", key.text))
                .hint("remove it; `--name` sets the name of the model"));
        }
    }
    r.texts("labels", node)
}

fn env(r: &Reader<'_>, node: &Node) -> Result<std::collections::BTreeMap<String, String>> {
    for (key, _) in r.entries("env", node)? {
        if key.text.contains('=') {
            return Err(r
                .error(
                    &key.span,
                    format_args!("`{}` is not the name of a variable", super::reader::shown(&key.text)),
                )
                .hint("write `NAME: value`"));
        }
    }
    r.texts("env", node)
}

fn workdir(r: &Reader<'_>, node: &Node) -> Result<Option<String>> {
    let Some(path) = r.optional_text("workdir", node)? else { return Ok(None) };
    if !path.starts_with('/') {
        return Err(r
            .error(
                &node.span,
                format_args!("`workdir` is an absolute path, found `{}`", super::reader::shown(&path)),
            )
            .hint("the model's files are in `/model/files`"));
    }
    Ok(Some(path))
}
