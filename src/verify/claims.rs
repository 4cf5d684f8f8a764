//! What an image says of itself, compared with what it is.
//!
//! These are floe's own claims (the tag, the model id, the contract) and those of the image
//! specification that another reader could trip over. An image of another maker has none of the
//! former, which is a note and no problem.

use serde_json::Value;

use super::layer::{self, Contracts};
use super::{Image, Problem, Report};
use crate::error::counted;
use crate::image::ModelId;
use crate::image::assemble::{LABEL_NAME, LABEL_VERSION};
use crate::model::Contract;
use crate::model::contract::protobin::{self, Generation};
use crate::model::contract::{Signature, json};
use crate::oci::{Config, Digest, Manifest, annotation};
use crate::plan::LAYOUT;
use crate::versions::Name;

/// A version tag carries the first digits of the digest that it points to.
pub(super) fn tag(tag: &str, digest: &Digest) -> Option<Problem> {
    let Name::Version { digits, .. } = Name::parse(tag) else { return None };
    (digits != digest.short())
        .then(|| Problem::new(&tag, "tag", format!("expected the digits of {digest}, found `{digits}`")))
}

/// One entry of the history for each layer, where there is a history (image-spec, config.md).
pub(super) fn history(of: &Digest, config: &Config) -> Option<Problem> {
    let entries = config.value["history"].as_array().filter(|h| !h.is_empty())?;
    let told = entries.iter().filter(|h| h["empty_layer"] != Value::Bool(true)).count();
    let layers = config.diff_ids.len();
    (told > layers).then(|| {
        let told = counted(told, "layer", "layers");
        Problem::new(of, "history", format!("the history tells of {told}, the image has {layers}"))
    })
}

/// The claims of an image that floe made.
pub(super) fn image(manifest: &Manifest, config: &Config, contracts: &Contracts, report: &mut Report) {
    let of = manifest.descriptor.digest;
    let (Some(model), Some(layout)) =
        (manifest.annotation(annotation::MODEL), manifest.annotation(annotation::LAYOUT))
    else {
        report.notes.push(format!("{of} makes no claims about a model"));
        return;
    };
    let labels = &config.value["config"]["Labels"];
    let mut wrong = |code, what: &str, expected: &str, found: Option<&str>| {
        if found != Some(expected) {
            let found = found
                .map_or("nothing".to_owned(), |f| format!("`{}`", crate::error::show_bytes(f.as_bytes())));
            report.problems.push(Problem::new(
                &of,
                code,
                format!("{what}: expected `{expected}`, found {found}"),
            ));
        }
    };
    wrong("model-id", "the label with the model's name", model, labels[LABEL_NAME].as_str());
    if layout == LAYOUT.to_string() && manifest.layers.len() == config.diff_ids.len() {
        let own: Vec<_> = manifest
            .layers
            .iter()
            .zip(&config.diff_ids)
            .filter(|(layer, _)| Image::is_own(layer))
            .map(|(_, diff_id)| *diff_id)
            .collect();
        let id = ModelId::new(model, &own);
        wrong("model-id", "the model id", &id.to_string(), manifest.annotation(annotation::MODEL_ID));
        wrong("model-id", "the label with the model's version", &id.short(), labels[LABEL_VERSION].as_str());
    } else {
        report.notes.push(format!(
            "{of} was made by the rules of layout {}, this floe knows those of {LAYOUT}; its model id was not compared",
            crate::error::show_bytes(layout.as_bytes())
        ));
    }
    let mut found = layer::Contract::default();
    manifest.layers.iter().filter_map(|l| contracts.get(&l.digest)).for_each(|c| found.under(c));
    report.problems.extend(contract(manifest, found.json.as_deref()));
    let other = found.protobin.as_deref().and_then(|bytes| encodings(found.json.as_deref(), bytes));
    report.problems.extend(other.map(|message| Problem::new(&of, "contract", message)));
}

/// What is wrong with `contract.protobin`, beside a `contract.json` that has every signature.
///
/// The file is for the runtime, which reads nothing else: where it says something else than what callers are
/// shown, one of the two is not of this model.
fn encodings(shown: Option<&[u8]>, bytes: &[u8]) -> Option<String> {
    let Some(shown) = shown else {
        return Some("the image has a `contract.protobin`, and no `contract.json` beside it".to_owned());
    };
    // What cannot be read is told of as such.
    let contract: Contract = json::read(shown).ok()?;
    let read = match protobin::read(bytes) {
        Ok(read) => read,
        Err(e) => return Some(format!("`contract.protobin` cannot be read: {e}")),
    };
    let name = read.model_name.as_deref().unwrap_or_default();
    let same = |signature: &Signature| {
        [Generation::Two, Generation::Three].into_iter().any(|generation| {
            let wanted = protobin::write(signature, generation, name);
            wanted.is_ok_and(|w| {
                w == bytes || protobin::read(&w).is_ok_and(|w| w.signatures == read.signatures)
            })
        })
    };
    let wanted = contract.default_signature();
    if wanted.is_some_and(same) {
        return None;
    }
    let quoted = |s: &Signature| format!("`{}`", crate::error::show_bytes(s.name.as_bytes()));
    Some(format!(
        "`contract.protobin` has another contract than `contract.json`: expected the signature {}, found {}",
        wanted.map_or("of no name".to_owned(), quoted),
        match &read.signatures[..] {
            [one] if wanted.is_some_and(|w| w.name == one.name) =>
                "one of that name with other tensors".to_owned(),
            several => several.iter().map(quoted).collect::<Vec<_>>().join(", "),
        }
    ))
}

/// The contract in the image is the one that its annotations name and carry.
fn contract(manifest: &Manifest, found: Option<&[u8]>) -> Vec<Problem> {
    let of = manifest.descriptor.digest;
    let (digest, inline) =
        (manifest.annotation(annotation::CONTRACT_DIGEST), manifest.annotation(annotation::CONTRACT));
    let mut problems = Vec::new();
    let mut wrong = |message: String| problems.push(Problem::new(&of, "contract", message));
    match (found, digest) {
        (None, None) => {}
        (None, Some(digest)) => {
            wrong(format!(
                "the annotation names the contract {}, the image has none",
                crate::error::show_bytes(digest.as_bytes())
            ));
        }
        (Some(bytes), told) => {
            let real = Digest::of(bytes).to_string();
            if told != Some(real.as_str()) {
                let told = told.map_or("none".to_owned(), |t| crate::error::show_bytes(t.as_bytes()));
                wrong(format!(
                    "the contract in the image has the digest {real}, the annotation names {told}"
                ));
            }
            if let Err(e) = json::read(bytes) {
                wrong(format!("the contract in the image cannot be read: {e}"));
            }
        }
    }
    if let Some(text) = inline
        && found != Some(text.as_bytes())
    {
        wrong("the contract in the annotation is another one than in the image".to_owned());
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::contract::{DType, Known, Tensor};

    fn signature(name: &str, dtype: DType) -> Signature {
        let tensor = |name: &str| Tensor::new(name, Some(dtype), Some(vec![None, Some(4)]), Known::Stored);
        Signature {
            name: name.to_owned(),
            known: Known::Stored,
            inputs: vec![tensor("x")],
            outputs: vec![tensor("y")],
        }
    }

    #[test]
    fn both_encodings_of_a_contract_have_to_say_the_same() {
        let all = Contract {
            signatures: vec![signature("other", DType::Bool), signature("predict", DType::Float32)],
        };
        let shown = json::write(&all).unwrap();
        for generation in [Generation::Two, Generation::Three] {
            let write = |s: &Signature| protobin::write(s, generation, "churn").unwrap();
            assert_eq!(encodings(Some(&shown), &write(&all.signatures[1])), None, "{generation:?}");
            for (wrong, told) in [
                (&all.signatures[0], "found `other`"),
                (&signature("predict", DType::Int64), "of that name with other tensors"),
            ] {
                let told_of = encodings(Some(&shown), &write(wrong)).unwrap();
                assert!(told_of.contains(told), "{generation:?}: {told_of}");
            }
            assert!(encodings(None, &write(&all.signatures[1])).unwrap().contains("no `contract.json`"));
        }
        assert!(encodings(Some(&shown), b"\x0fnonsense").unwrap().contains("cannot be read"));
        assert!(encodings(Some(&shown), b"").unwrap().contains("cannot be read"));
    }

    #[test]
    fn a_version_tag_is_held_against_the_digest() {
        let digest = Digest::of(b"x");
        assert_eq!(tag(&Name::version(3, &digest).to_string(), &digest), None);
        assert_eq!(tag("prod", &digest), None);
        let other = Name::version(3, &Digest::of(b"y")).to_string();
        assert_eq!(tag(&other, &digest).map(|p| p.code), Some("tag"));
    }
}
