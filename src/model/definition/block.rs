//! The `model:` block of Hydrosphere 0.0.x, with `local_deploy:` beside it.
//!
//! It has no kind and no typed contract: `contract` is the path of a protobuf file, read by
//! [`super::prototxt`] or, in binary, by the contract's own reader. It is not what is written today;
//! every use of it warns.
//!
//! Invariant: the image of `local_deploy` is the only hint at a runtime that such a file has, and is
//! taken as one with a warning.

use super::keys::{BLOCK, LOCAL_DEPLOY};
use super::node::{Key, Node};
use super::reader::Reader;
use super::source::Placed;
use super::{Definition, Generation, model};
use crate::error::Result;

/// Reads a document whose keys are `model` and perhaps `local_deploy`.
pub(super) fn read(r: &mut Reader<'_>, file: &str, entries: &[(Key, Node)]) -> Result<Definition> {
    let mut d = Definition::empty(file);
    d.generation = Generation::V0_0;
    for (key, value) in entries {
        match key.text.as_str() {
            "model" => {
                r.warn(
                    &key.span,
                    "a `model` block is the oldest form of a definition",
                    "write `kind: Model` with `name`, `runtime`, `payload` and `contract`",
                );
                model_block(r, &mut d, key, value)?;
            }
            "local_deploy" => d.runtime = local_deploy(r, key, value)?,
            _ => return Err(r.unknown(key, "a definition with a `model` block", ["model", "local_deploy"])),
        }
    }
    Ok(d)
}

fn model_block(r: &mut Reader<'_>, d: &mut Definition, at: &Key, node: &Node) -> Result<()> {
    let mut named = false;
    for (key, value) in r.entries("model", node)? {
        match key.text.as_str() {
            "name" => {
                d.name = r.text("name", value)?;
                d.place = r.source.place(value.span.start);
                named = true;
            }
            "type" => {
                d.model_type = r.optional_text("type", value)?;
                r.warn(
                    &key.span,
                    "`type` does not choose the image to build on",
                    "name an image with `runtime` or `base`",
                );
            }
            "contract" => d.contract_file = r.optional_placed("contract", value)?,
            "payload" => d.payload = Some(model::payload(r, value)?),
            "description" => d.description = r.optional_text("description", value)?,
            _ => return Err(r.unknown(key, "a `model` block", BLOCK.iter().copied())),
        }
    }
    if named {
        Ok(())
    } else {
        Err(r.error(&at.span, "the model has no `name`").hint("write `name: …`, in lower case"))
    }
}

fn local_deploy(r: &mut Reader<'_>, at: &Key, node: &Node) -> Result<Option<Placed<String>>> {
    let mut image = None;
    for (key, value) in r.entries("local_deploy", node)? {
        match key.text.as_str() {
            "runtime" => image = runtime(r, value)?,
            other if LOCAL_DEPLOY.contains(&other) => {}
            _ => return Err(r.unknown(key, "`local_deploy`", LOCAL_DEPLOY.iter().copied())),
        }
    }
    let (what, hint) = match &image {
        Some(_) => {
            ("of `local_deploy` only the image of `runtime` is used, to build on", "write it as `runtime`")
        }
        None => ("`local_deploy` has no effect on a build", "remove it, and name an image with `runtime`"),
    };
    r.warn(&at.span, what, hint);
    Ok(image)
}

fn runtime(r: &Reader<'_>, node: &Node) -> Result<Option<Placed<String>>> {
    let (mut repository, mut tag) = (None, None);
    for (key, value) in r.entries("runtime", node)? {
        match key.text.as_str() {
            "repository" => repository = r.optional_text("repository", value)?,
            "tag" => tag = r.optional_text("tag", value)?,
            _ => return Err(r.unknown(key, "`runtime`", ["repository", "tag"])),
        }
    }
    Ok(repository.map(|name| {
        let tag = tag.unwrap_or_else(|| "latest".to_owned());
        r.source.placed(format!("{name}:{tag}"), node.span.start)
    }))
}
