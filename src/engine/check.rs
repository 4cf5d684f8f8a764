//! The check of a build: a model that will be served is loaded and run once, with values made up.
//!
//! Invariant: a model that passes has an engine for all of its operators. That it likes the values
//! which were made up is not asked: when it does not, that is a warning.

use std::path::Path;

use bytes::Bytes;

use super::load::{MADE_UP, is_lack, load, made_up};
use super::tensor::{elements, width};
use super::{Engine, Failure, Port, Tensor};
use crate::error::{Error, Kind, Result, show};
use crate::model::contract::DType;

/// The most elements of an input that is made up.
const MAX_ELEMENTS: usize = 1 << 26;

/// What the check of a model found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The engine that runs it.
    pub backend: &'static str,
    /// What its author should know.
    pub warnings: Vec<String>,
}

/// Loads a model as a server does, and runs it once with zeros and empty strings.
///
/// # Errors
///
/// Those of [`load`]; [`Kind::Model`] when the engine turns out to lack something while it runs.
pub fn check(file: &Path) -> Result<Checked> {
    let engine = load(file, 1)?;
    let mut checked = Checked { backend: engine.backend(), warnings: Vec::new() };
    match trial(&engine) {
        Ok(()) => {}
        Err(why) if is_lack(&why) => {
            return Err(Error::new(
                Kind::Model,
                format!("cannot run `{}` with {}: {why}", show(file), engine.backend()),
            )
            .hint("serve it with a runtime that has all of ONNX, such as ONNX Runtime in a Python base"));
        }
        Err(why) => checked.warnings.push(format!(
            "the model was loaded, and gave no answer to made-up values, which may be their fault: {why}"
        )),
    }
    Ok(checked)
}

/// Runs with sizes for what is not known, until one fits; otherwise says what the first one met.
fn trial(engine: &Engine) -> std::result::Result<(), String> {
    let mut why = None;
    for size in MADE_UP {
        let inputs: Option<Vec<Tensor>> = engine.inputs().iter().map(|p| blank(p, *size)).collect();
        let Some(inputs) = inputs else { break };
        match engine.run(inputs) {
            Ok(_) => return Ok(()),
            Err(Failure::Input(e) | Failure::Engine(e)) => {
                if is_lack(&e) {
                    return Err(e);
                }
                why = why.or(Some(e));
            }
        }
        let known = |p: &Port| p.shape.as_ref().is_some_and(|s| s.iter().all(Option::is_some));
        if engine.inputs().iter().all(known) {
            break;
        }
    }
    Err(why.unwrap_or_else(|| "its inputs are too large to be made up".into()))
}

/// Zeros or empty strings; `None` where that would be too many.
fn blank(port: &Port, size: usize) -> Option<Tensor> {
    let shape = made_up(port, size);
    let count = elements(&shape).filter(|n| *n <= MAX_ELEMENTS)?;
    if port.dtype == DType::String {
        return Tensor::strings(shape, vec![Bytes::new(); count]).ok();
    }
    let bytes = count.checked_mul(width(port.dtype)?)?;
    Tensor::fixed(port.dtype, shape, vec![0; bytes]).ok()
}
