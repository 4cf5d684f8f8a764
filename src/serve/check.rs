//! Whether a request keeps the contract, and the inputs in the order in which the engine takes them.
//!
//! It is not the engine's own check: here the words are the contract's, and the answer says what was
//! expected and what was found.

use super::datatype;
use crate::engine::{Port, Tensor};
use crate::error::show_bytes;
use crate::model::contract::{DType, Signature};

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
        let word = |d: DType| datatype::word(d).unwrap_or(d.name());
        return Err(format!(
            "the input {}: expected {}, found {}",
            show(&port.name),
            word(dtype),
            word(tensor.dtype())
        ));
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
pub(super) fn show_shape(shape: &[Option<u64>]) -> String {
    let dims: Vec<String> = shape.iter().map(|d| d.map_or("-1".to_owned(), |d| d.to_string())).collect();
    format!("[{}]", dims.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::contract::{Known, Tensor as Said};

    fn port(name: &str, shape: Option<Vec<Option<u64>>>) -> Port {
        Port { name: name.into(), dtype: DType::Float32, shape }
    }

    fn tensor(shape: &[usize]) -> Tensor {
        let n: usize = shape.iter().product();
        Tensor::fixed(DType::Float32, shape.to_vec(), vec![0; 4 * n]).unwrap()
    }

    fn signature(shape: Option<Vec<Option<u64>>>) -> Signature {
        let said = Said::new("a", Some(DType::Float32), shape, Known::Declared);
        Signature { name: "predict".into(), known: Known::Declared, inputs: vec![said], outputs: vec![] }
    }

    fn check(given: Vec<(&str, Tensor)>) -> Result<Vec<Tensor>, String> {
        let ports = [port("a", Some(vec![None, None])), port("b", None)];
        let given = given.into_iter().map(|(n, t)| (n.to_owned(), t)).collect();
        inputs(&signature(Some(vec![None, Some(2)])), &ports, given)
    }

    #[test]
    fn inputs_come_in_the_order_of_the_graph() {
        let all = check(vec![("b", tensor(&[])), ("a", tensor(&[3, 2]))]).unwrap();
        assert_eq!(all, [tensor(&[3, 2]), tensor(&[])]);
    }

    #[test]
    fn c46_what_breaks_the_contract_is_told_with_expected_and_found() {
        let (a, b) = (|| ("a", tensor(&[1, 2])), || ("b", tensor(&[])));
        let ints = Tensor::fixed(DType::Int64, vec![1, 2], vec![0; 16]).unwrap();
        for (given, message) in [
            (vec![a()], "the input `b` is missing; the model takes `a`, `b`"),
            (vec![], "the input `a`, `b` is missing; the model takes `a`, `b`"),
            (vec![a(), b(), a()], "the input `a` is given twice"),
            (vec![a(), ("c\n", tensor(&[]))], "there is no input `c\\n`; the model takes `a`, `b`"),
            (vec![("a", ints), b()], "the input `a`: expected FP32, found INT64"),
            (vec![("a", tensor(&[2])), b()], "the input `a`: expected the shape [-1, 2], found [2]"),
            (vec![("a", tensor(&[1, 3])), b()], "the input `a`: expected the shape [-1, 2], found [1, 3]"),
        ] {
            assert_eq!(check(given).unwrap_err(), message);
        }
    }
}
