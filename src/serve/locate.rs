//! Where the model lies that is to be served, and what it promises.
//!
//! A folder as floe lays it into an image has `contract.json` beside `files/`; anything else is
//! looked at as `floe infer` does. Nothing is loaded here.
//!
//! Invariant: a contract that names other inputs or outputs than the graph is told at the start, not
//! at the first request.

use std::collections::BTreeSet;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::engine::{Engine, Port};
use crate::error::{At, Error, Kind, Result, show, show_bytes};
use crate::model::contract::{Contract, Known, Signature, Tensor, json};
use crate::model::format::{self, Choice};
use crate::model::ignore::Rules;
use crate::model::tree::{Selected, Tree};

/// What the signature is called where nobody gave it a name.
const SIGNATURE: &str = "predict";

/// A model that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// The ONNX file.
    pub file: PathBuf,
    /// What it is called where nobody says otherwise: the name of the folder or file.
    pub name: String,
    /// The contract that lies with it.
    pub contract: Option<Contract>,
}

/// Finds the model in a folder or file.
///
/// # Errors
///
/// When there is none, or one that is not ONNX.
pub fn locate(path: &Path) -> Result<Located> {
    let real = std::fs::canonicalize(path).at("open the model", path).map_err(|e| {
        e.with_kind(Kind::Model).hint("name a folder with an ONNX model in it, or the `.onnx` file")
    })?;
    let (frozen, files) = (real.join("contract.json"), real.join("files"));
    let (contract, root) = if frozen.is_file() && files.is_dir() {
        (Some(contract(&frozen)?), files)
    } else {
        (None, real.clone())
    };
    let tree = if root.is_dir() {
        let rules = if contract.is_some() { None } else { Some(Rules::load(&root)?) };
        let all = [Selected { source: root.clone(), dest: Vec::new() }];
        Tree::scan(&all, &|path, dir| rules.as_ref().is_some_and(|r| r.ignores(path, dir)), false)?
    } else {
        let name = root.file_name().map(OsStrExt::as_bytes).unwrap_or_default().to_vec();
        Tree::scan(&[Selected { source: root, dest: name }], &|_, _| false, false)?
    };
    let cannot = |why: String| {
        Error::new(Kind::Model, format!("cannot serve `{}`: {why}", show(path)))
            .hint("`floe serve` runs ONNX models: give a `.onnx` file, or a folder with one in it")
    };
    let found =
        format::detect(&tree, &Choice::default())?.ok_or_else(|| cannot("no model is in it".into()))?;
    if found.format != format::Format::name(&format::onnx::Onnx) {
        return Err(cannot(format!("expected an ONNX model, found one of {}", found.format)));
    }
    if let Some(why) = found.failure {
        return Err(cannot(why));
    }
    let file = tree.open(&found.file)?.source().to_owned();
    // The folder's name, or the file's without what comes after the dot.
    let name = if real.is_dir() { real.file_name() } else { real.file_stem() };
    let name = name.map_or_else(|| "model".to_owned(), |n| n.to_string_lossy().into_owned());
    Ok(Located { file, name, contract })
}

fn contract(path: &Path) -> Result<Contract> {
    let file = std::fs::File::open(path).at("open", path)?;
    let mut bytes = Vec::new();
    // One byte more than is accepted, so that what is too long is told as that.
    file.take(json::MAX_SIZE as u64 + 1).read_to_end(&mut bytes).at("read", path)?;
    json::read(&bytes).map_err(|e| e.context(format!("`{}`", show(path))).with_kind(Kind::Model))
}

/// The signature that is served: the contract's, else what the graph says.
///
/// # Errors
///
/// When contract and graph contradict each other.
pub fn signature(contract: Option<&Contract>, engine: &Engine) -> Result<Signature> {
    let Some(signature) = contract.and_then(Contract::default_signature) else {
        let side = |ports: &[Port]| -> Vec<Tensor> {
            ports
                .iter()
                .map(|p| Tensor::new(p.name.clone(), Some(p.dtype), p.shape.clone(), Known::Stored))
                .collect()
        };
        return Ok(Signature {
            name: SIGNATURE.to_owned(),
            known: Known::Convention,
            inputs: side(engine.inputs()),
            outputs: side(engine.outputs()),
        });
    };
    let mut signature = signature.clone();
    // Weights that a caller may override are inputs of the contract; the engine has folded them in.
    signature.inputs.retain(|t| !t.optional || engine.inputs().iter().any(|p| p.name == t.name));
    agree("input", &signature.inputs, engine.inputs())?;
    agree("output", &signature.outputs, engine.outputs())?;
    Ok(signature)
}

fn agree(what: &str, said: &[Tensor], ports: &[Port]) -> Result<()> {
    let differ = |message: String| {
        Err(Error::new(Kind::Model, format!("contract and model differ: {message}"))
            .hint("declare what the model has, and build the image again"))
    };
    let list = |names: &BTreeSet<&str>| {
        let all: Vec<String> = names.iter().map(|n| format!("`{}`", show_bytes(n.as_bytes()))).collect();
        if all.is_empty() { "none".to_owned() } else { all.join(", ") }
    };
    let declared: BTreeSet<&str> = said.iter().map(|t| t.name.as_str()).collect();
    let present: BTreeSet<&str> = ports.iter().map(|p| p.name.as_str()).collect();
    if declared != present {
        return differ(format!(
            "the contract has the {what}s {}, the model has {}",
            list(&declared),
            list(&present)
        ));
    }
    for (tensor, port) in said.iter().filter_map(|t| Some((t, ports.iter().find(|p| p.name == t.name)?))) {
        let name = show_bytes(port.name.as_bytes());
        if let Some(dtype) = tensor.dtype
            && dtype != port.dtype
        {
            let found = port.dtype;
            return differ(format!("the contract has the {what} `{name}` as {dtype}, the model as {found}"));
        }
        if let (Some(a), Some(b)) = (&tensor.shape, &port.shape) {
            let fits =
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.is_none() || b.is_none() || a == b);
            if !fits {
                let shown = super::check::show_shape;
                return differ(format!(
                    "the contract has the {what} `{name}` with the shape {}, the model with {}",
                    shown(a),
                    shown(b)
                ));
            }
        }
    }
    Ok(())
}
