//! How much of a model is told.
//!
//! What is read of a file is bounded, and still names may be long and inputs many: a file of a
//! megabyte can list a hundred thousand inputs, of which each takes kilobytes where it is written as
//! a document. No model that people use comes near these limits. They are not those of reading,
//! which each format keeps for itself.
//!
//! Invariants: what is left out is left out whole and named in a warning, nothing is cut short; a
//! contract that is told can be written and read back.

use serde_json::Value;

use crate::model::contract::{Contract, Tensor, json};
use crate::model::format::Reading;

/// What the contract may take in bytes, as a document.
const MAX_CONTRACT: usize = 64 << 20;
/// What the facts may take in bytes.
const MAX_FACTS: usize = 24 << 20;
/// What the list of weights may take in bytes.
const MAX_WEIGHTS: usize = 72 << 20;
/// What a map of a document takes at least.
const MAP: usize = 640;
/// How often a name is held: in the contract, in a document, in its text, in `contract.json`.
const COPIES: usize = 4;
/// What a text takes beside its bytes.
const TEXT: usize = 32;

/// Leaves out what is more than is told.
pub(super) fn apply(reading: &mut Reading) {
    if let Some(contract) = &mut reading.contract {
        if weight(contract) > MAX_CONTRACT && tensors(contract).any(|t| !t.columns.is_empty()) {
            tensors(contract).for_each(|t| t.columns.clear());
            reading.warnings.push("there are more columns than are told".to_owned());
        }
        if weight(contract) > MAX_CONTRACT {
            reading.contract = None;
            reading.warnings.push(format!(
                "the contract is unknown: it has more inputs and outputs, or longer names, than are told (the limit of {} MiB)",
                MAX_CONTRACT >> 20
            ));
        }
    }
    // Formats tell what stands in the files; an image with such a contract could not be read back.
    if let Some(Err(what)) = reading.contract.as_ref().map(json::check) {
        reading.contract = None;
        reading.warnings.push(format!("the contract is unknown, since what the files tell has {what}"));
    }
    let mut facts: Vec<(usize, String)> =
        reading.facts.iter().map(|(key, value)| (TEXT + key.len() + of_value(value), key.clone())).collect();
    facts.sort_unstable();
    let mut total: usize = facts.iter().map(|(n, _)| n).sum();
    let mut left_out = 0;
    while total > MAX_FACTS
        && let Some((n, key)) = facts.pop()
    {
        total -= n;
        left_out += 1;
        reading.facts.remove(&key);
    }
    if left_out > 0 {
        reading.warnings.push(format!(
            "the {left_out} longest facts are not told (the limit of {} MiB)",
            MAX_FACTS >> 20
        ));
    }
    let mut total = 0;
    let fits = |w: &&crate::model::format::Weight| {
        total += MAP + w.name.len() + w.shape.as_ref().map_or(0, Vec::len) * size_of::<Value>();
        total <= MAX_WEIGHTS
    };
    let told = reading.tensors.iter().take_while(fits).count();
    if told < reading.tensors.len() {
        reading.tensors.truncate(told);
        reading.warnings.push(format!("only the first {told} tensors are listed"));
    }
}

fn tensors(contract: &mut Contract) -> impl Iterator<Item = &mut Tensor> {
    contract.signatures.iter_mut().flat_map(|s| s.inputs.iter_mut().chain(&mut s.outputs))
}

fn weight(contract: &Contract) -> usize {
    let side = |all: &[Tensor]| all.iter().map(of_tensor).sum::<usize>();
    contract.signatures.iter().map(|s| 2 * MAP + s.name.len() + side(&s.inputs) + side(&s.outputs)).sum()
}

/// Fields nest as deep as the format that read them allows.
fn of_tensor(t: &Tensor) -> usize {
    let names: usize = t.dim_names.iter().flatten().map(|n| COPIES * n.len() + TEXT).sum();
    let columns: usize = t.columns.iter().map(|c| COPIES * c.name.len() + MAP).sum();
    let fields: usize = t.fields.iter().map(of_tensor).sum();
    let dims = t.shape.as_ref().map_or(0, Vec::len) * size_of::<Value>();
    // A map for the tensor and one for how it is known.
    let own = t.name.len() + t.native_type.as_ref().map_or(0, String::len);
    2 * MAP + COPIES * own + names + dims + columns + fields
}

/// A value comes from JSON or is made of such: its depth is bounded.
fn of_value(value: &Value) -> usize {
    size_of::<Value>()
        + match value {
            Value::String(s) => s.len(),
            Value::Array(all) => all.iter().map(of_value).sum(),
            Value::Object(map) => MAP + map.iter().map(|(k, v)| k.len() + TEXT + of_value(v)).sum::<usize>(),
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::contract::{Column, Known, Signature};
    use crate::model::format::Weight;

    fn tensor(name: String) -> Tensor {
        Tensor::new(name, None, None, Known::Stored)
    }

    fn reading(inputs: Vec<Tensor>) -> Reading {
        let signature =
            Signature { name: "predict".to_owned(), known: Known::Stored, inputs, outputs: Vec::new() };
        Reading { contract: Some(Contract { signatures: vec![signature] }), ..Reading::default() }
    }

    #[test]
    fn what_models_have_is_told() {
        let mut some = reading((0..1000).map(|i| tensor(format!("x{i}"))).collect());
        some.fact("text", "x".repeat(1 << 20));
        let weight = Weight { name: "w".to_owned(), dtype: None, shape: Some(vec![Some(1); 4]) };
        some.tensors = vec![weight; 90_000];
        let before = some.clone();
        apply(&mut some);
        assert_eq!(some, before);
    }

    #[test]
    fn a_contract_that_cannot_be_is_not_told() {
        let mut twice = reading(vec![tensor("x".to_owned()), tensor("x".to_owned())]);
        apply(&mut twice);
        assert_eq!(twice.contract, None);
        assert!(twice.warnings[0].contains("the input `x` twice"));
        let mut large = reading(vec![Tensor { shape: Some(vec![Some(u64::MAX)]), ..tensor("x".to_owned()) }]);
        apply(&mut large);
        assert!(large.contract.is_none() && large.warnings[0].contains("impossible shape"));
    }

    #[test]
    fn what_is_too_much_is_left_out_and_named() {
        let mut many = reading((0..100_000).map(|i| tensor(format!("x{i}"))).collect());
        apply(&mut many);
        assert_eq!((many.contract, many.warnings.len()), (None, 1));
        let mut long = reading(vec![tensor("x".repeat(MAX_CONTRACT))]);
        apply(&mut long);
        assert_eq!(long.contract, None);
        let mut wide = reading(vec![tensor("x".to_owned())]);
        let column = Column { name: "c".to_owned(), dtype: None, optional: false };
        if let Some(contract) = &mut wide.contract {
            tensors(contract).for_each(|t| t.columns = vec![column.clone(); 200_000]);
        }
        apply(&mut wide);
        assert!(wide.contract.unwrap().signatures[0].inputs[0].columns.is_empty());
        let mut facts = Reading::default();
        facts.fact("short", 1);
        facts.fact("long", "x".repeat(MAX_FACTS));
        apply(&mut facts);
        assert_eq!(facts.facts.keys().collect::<Vec<_>>(), ["short"]);
        let weight = Weight { name: "w".repeat(10_000), dtype: None, shape: None };
        let mut weights = Reading { tensors: vec![weight; 10_000], ..Reading::default() };
        apply(&mut weights);
        assert!(weights.tensors.len() < 10_000 && weights.warnings.len() == 1);
    }
}
