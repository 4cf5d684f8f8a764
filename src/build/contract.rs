//! The declared contract against the inferred one, and the files that carry the result.

use std::path::Path;

use super::Options;
use super::prepare::Chosen;
use super::source::Source;
use crate::error::{Error, Kind, Result, counted, show, show_bytes};
use crate::event::{Event, Observe, warn};
use crate::model::contract::compare;
use crate::model::contract::{json, protobin};
use crate::model::definition::{Definition, prototxt};
use crate::model::format::{Detection, function};
use crate::model::tree::join_lexically;
use crate::model::{Contract, Tree};
use crate::plan::ImagePath;
use crate::runtimes::{self, ContractGeneration};

/// The largest contract file that is read.
const MAX_CONTRACT: u64 = 4 << 20;

/// What the author declares: in the definition, in the file that it names, or in a contract file
/// beside the model, as Hydrosphere's fallback found it.
pub(super) fn declared(definition: &Definition, tree: &Tree, root: &Path) -> Result<Option<Contract>> {
    if let Some(contract) = &definition.contract {
        return Ok(Some(contract.clone()));
    }
    if let Some(file) = &definition.contract_file {
        let outside = || {
            let message =
                format!("the contract file `{}` lies outside the model", show_bytes(file.value.as_bytes()));
            definition.error(file.place, message).hint("copy it into the model's folder")
        };
        let inside = join_lexically(b"", file.value.as_bytes()).ok_or_else(outside)?;
        let path = root.join(crate::fs::path_from_bytes(&inside));
        let unreadable = |e: Error| {
            let e = e.with_kind(Kind::Model);
            definition.error(file.place, format!("the contract file: {e}"))
        };
        // A link could lead anywhere, and what is wrong with a file is shown with its lines.
        crate::fs::check_inside(&path, root).map_err(unreadable)?;
        let bytes = crate::fs::read_capped(&path, MAX_CONTRACT).map_err(unreadable)?;
        return parse(&bytes, file.value.ends_with(".prototxt"), &show(&path)).map(Some);
    }
    for (name, text) in [("contract.prototxt", true), ("contract.protobin", false)] {
        if let Some(entry) = tree.get(name.as_bytes()) {
            let bytes = crate::model::tree::Content::open(entry)?.read_all(MAX_CONTRACT)?;
            return parse(&bytes, text, &show(&entry.source)).map(Some);
        }
    }
    Ok(None)
}

fn parse(bytes: &[u8], text: bool, shown: &str) -> Result<Contract> {
    if text {
        let text = std::str::from_utf8(bytes)
            .map_err(|e| Error::new(Kind::Model, format!("`{shown}` is not UTF-8")).because(e))?;
        return prototxt::parse(text, shown);
    }
    let read = protobin::read(bytes).map_err(|e| e.context(format!("`{shown}` is not a contract")))?;
    Ok(Contract { signatures: read.signatures })
}

/// A declared contract wins; what it says against a stored fact is an error.
///
/// Not so where a function of the author's stands between the caller and the model
/// (`src/func_main.py`): then the contract is the function's, and the model's says nothing about it.
pub(super) fn settle(
    declared: Option<Contract>,
    detection: Option<&Detection>,
    tree: &Tree,
    options: &Options,
    see: &dyn Observe,
) -> Result<Option<Contract>> {
    let inferred = detection.and_then(|d| d.contract.as_ref());
    let (Some(declared), Some(inferred)) = (&declared, inferred) else {
        return Ok(declared.or_else(|| inferred.cloned()));
    };
    if function::lies_in(tree) {
        return Ok(Some(declared.clone()));
    }
    let compared = compare(declared, inferred);
    for name in &compared.unmatched {
        see.on(Event::Note {
            message: format!(
                "the model has no signature like the declared `{name}`; it is taken as declared"
            ),
        });
    }
    let Some(first) = compared.contradictions.first() else { return Ok(Some(compared.contract)) };
    let message =
        format!("{}: the definition says {}, the model {}", first.what, first.declared, first.stored);
    if options.trust_definition {
        warn(see, message, Some("the definition is trusted"));
        return Ok(Some(compared.contract));
    }
    let more = compared.contradictions.len() - 1;
    let more = if more > 0 {
        format!(" (and {})", counted(more, "more contradiction", "more contradictions"))
    } else {
        String::new()
    };
    Err(Error::new(Kind::Model, format!("{message}{more}"))
        .hint("correct the definition, remove its contract, or keep it with `--trust-definition`"))
}

/// `contract.json` and `contract.protobin`, where there is a contract.
pub(super) fn files(
    contract: Option<&Contract>,
    definition: &Definition,
    source: &Source,
    chosen: &Chosen,
    see: &dyn Observe,
) -> Result<Vec<(ImagePath, Vec<u8>)>> {
    let Some(contract) = contract else { return Ok(Vec::new()) };
    let mut files = vec![(ImagePath::new("model/contract.json")?, json::write(contract)?)];
    let Some(signature) = contract.default_signature() else { return Ok(files) };
    let generation = chosen.runtime.contract.unwrap_or(ContractGeneration::Three);
    // What the old builder wrote: a constant for a declared contract, the folder's name for an
    // inferred one.
    let name =
        if source.declared && definition.contract.is_some() { "model" } else { definition.name.as_str() };
    let generation = match generation {
        ContractGeneration::Two => protobin::Generation::Two,
        ContractGeneration::Three => protobin::Generation::Three,
    };
    match protobin::write(signature, generation, name) {
        Ok(bytes) => files.push((ImagePath::new("model/contract.protobin")?, bytes)),
        Err(e) if chosen.runtime.needs_contract || runtimes::is_hydrosphere(&chosen.runtime.base) => {
            return Err(e);
        }
        Err(e) => warn(
            see,
            format!("contract.protobin is left out: {e}"),
            Some("contract.json holds the whole contract"),
        ),
    }
    files.sort();
    Ok(files)
}
