//! Whether a request keeps the contract, and the inputs in the order in which the engine takes them.
//!
//! It is not the engine's own check: here the words are the contract's, and the answer says what was
//! expected and what was found.

use crate::engine::{Port, Tensor};
use crate::error::show_bytes;
use crate::model::contract::Signature;

/// Sorts inputs into the order of the engine's ports, after checking each against the contract.
///
/// # Errors
///
/// One sentence for the caller: which input, what was expected, what was found.
pub fn inputs(
    signature: &Signature,
    ports: &[Port],
    given: Vec<(String, Tensor)>,
) -> Result<Vec<Tensor>, String> {
    let known = || names(ports.iter().map(|p| p.name.as_str()));
    let mut slots: Vec<Option<Tensor>> = ports.iter().map(|_| None).collect();
    for (name, tensor) in given {
        let Some(at) = ports.iter().position(|p| p.name == name) else {
            return Err(format!("there is no input {}; the model takes {}", show(&name), known()));
        };
        if slots[at].is_some() {
            return Err(format!("the input {} is given twice", show(&name)));
        }
        fits(signature, &ports[at], &tensor)?;
        slots[at] = Some(tensor);
    }
    let missing: Vec<&str> =
        ports.iter().zip(&slots).filter(|(_, s)| s.is_none()).map(|(p, _)| p.name.as_str()).collect();
    if !missing.is_empty() {
        return Err(format!(
            "the input {} is missing; the model takes {}",
            names(missing.into_iter()),
            known()
        ));
    }
    Ok(slots.into_iter().flatten().collect())
}

/// One tensor against the contract, and where that leaves something open against the graph.
fn fits(signature: &Signature, port: &Port, tensor: &Tensor) -> Result<(), String> {
    let said = signature.inputs.iter().find(|t| t.name == port.name);
    let dtype = said.and_then(|t| t.dtype).unwrap_or(port.dtype);
    if tensor.dtype() != dtype {
        return Err(format!("the input {}: expected {dtype}, found {}", show(&port.name), tensor.dtype()));
    }
    for shape in [said.and_then(|t| t.shape.as_ref()), port.shape.as_ref()].into_iter().flatten() {
        let same = shape.len() == tensor.shape().len()
            && shape.iter().zip(tensor.shape()).all(|(want, got)| want.is_none_or(|w| w == *got as u64));
        if !same {
            return Err(format!(
                "the input {}: expected the shape {}, found {:?}",
                show(&port.name),
                show_shape(shape),
                tensor.shape()
            ));
        }
    }
    Ok(())
}

fn show(name: &str) -> String {
    format!("`{}`", show_bytes(name.as_bytes()))
}

fn names<'a>(all: impl Iterator<Item = &'a str>) -> String {
    let all: Vec<String> = all.map(show).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

/// A shape as the protocol writes it: -1 is any size.
fn show_shape(shape: &[Option<u64>]) -> String {
    let dims: Vec<String> = shape.iter().map(|d| d.map_or("-1".to_owned(), |d| d.to_string())).collect();
    format!("[{}]", dims.join(", "))
}
