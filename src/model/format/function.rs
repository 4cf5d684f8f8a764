//! A processing function: Python code without weights, as Hydrosphere Serving's Python runtimes run
//! it.
//!
//! The runtimes import `src/func_main.py` and call the function that has the name of the contract's
//! signature, with the inputs as arguments by name. It is not a format of weights: where any other
//! model is in the files, that is the model, and this code only serves it. What the function takes
//! and gives follows from its definition as far as that is written out; [`check`] holds a contract
//! against it, so that a runtime that would stop at its start is found when the image is made.

use std::collections::BTreeSet;

use crate::error::{Error, Kind, Result, show_bytes};
use crate::model::contract::{Contract, DType, Known, Signature, Tensor};
use crate::model::format::{Candidate, Folder, Format, Reading, Role};
use crate::model::python::{self, Function, Module, Parameter, ParameterKind};
use crate::model::tree::Tree;

/// Where the runtimes look for the code.
const FILE: &[u8] = b"src/func_main.py";
/// The most functions that are told.
const MAX_TOLD: usize = 200;
/// What Python brings along, of versions 2.7 to 3.13 (`sys.stdlib_module_names` and its like).
const STANDARD: &str = include_str!("standard.txt");

/// The format of processing functions.
#[derive(Clone, Copy, Debug)]
pub struct PythonFunction;

impl Format for PythonFunction {
    fn name(&self) -> &'static str {
        "function"
    }

    fn framework(&self) -> &'static str {
        "python"
    }

    fn last_resort(&self) -> bool {
        true
    }

    fn detect(&self, folder: &Folder<'_>) -> Result<Vec<Candidate>> {
        let Some(file) = folder.below(FILE) else { return Ok(Vec::new()) };
        Ok(vec![Candidate {
            format: "function",
            variant: "hydrosphere",
            location: folder.path().to_vec(),
            file: file.path().to_vec(),
            evidence: format!("`{}` is what Hydrosphere's Python runtimes import", show_bytes(file.path())),
            warnings: Vec::new(),
            claims: Vec::new(),
        }])
    }

    fn read(&self, tree: &Tree, candidate: &Candidate, budget: u64) -> Result<Reading> {
        let mut reading = Reading::default();
        let module = module(tree, &candidate.file, budget)?;
        let told: Vec<String> = module.functions.iter().take(MAX_TOLD).map(shown).collect();
        reading.fact("functions", told);
        let own = own_modules(tree, &candidate.location);
        let imported: BTreeSet<&str> = module
            .imports
            .iter()
            .filter(|i| i.level == 0)
            .filter_map(|i| i.module.split('.').next())
            .filter(|name| !own.contains(name.as_bytes()))
            .collect();
        let standard: BTreeSet<&str> = STANDARD.split_whitespace().collect();
        let foreign: Vec<&str> =
            imported.iter().copied().filter(|n| !standard.contains(n) && !n.starts_with('_')).collect();
        reading.fact("imports", imported.iter().copied().collect::<Vec<_>>());
        reading.fact("third_party_imports", foreign);
        let numpy = imported.contains("numpy");
        let mut signatures: Vec<Signature> =
            module.functions.iter().filter_map(|f| signature(&module, f, numpy)).take(MAX_TOLD).collect();
        // What a contract without a name means.
        signatures.sort_by_key(|s| s.name != "predict");
        reading.contract = (!signatures.is_empty()).then_some(Contract { signatures });
        Ok(reading)
    }

    fn expects(&self, _name: &[u8]) -> bool {
        false
    }

    fn role(&self, path: &[u8]) -> Option<Role> {
        path.ends_with(b".py").then_some(Role::Code)
    }
}

fn module(tree: &Tree, file: &[u8], budget: u64) -> Result<Module> {
    let shown = show_bytes(file);
    let bytes = tree.open(file)?.read_all(budget.min(python::MAX_SOURCE))?;
    let parsed = python::decode(&bytes).and_then(|text| python::parse(&text));
    parsed.map_err(|p| Error::new(Kind::Model, format!("{shown}:{}: {}", p.line, p.message)))
}

/// Modules that come with the code: files and folders where the runtimes look for imports.
fn own_modules(tree: &Tree, top: &[u8]) -> BTreeSet<Vec<u8>> {
    let mut own = BTreeSet::new();
    for (path, _) in tree.files() {
        let path = if top.is_empty() {
            Some(path)
        } else {
            path.strip_prefix(top).and_then(|p| p.strip_prefix(b"/"))
        };
        let Some(path) = path.and_then(|p| p.strip_prefix(b"src/")) else { continue };
        let path = path.strip_prefix(b"lib/").unwrap_or(path);
        if let Some(name) = path.split(|c| matches!(c, b'/' | b'.')).next() {
            own.insert(name.to_vec());
        }
    }
    own
}

/// A function as its author would write its head.
fn shown(f: &Function) -> String {
    let mut parts = Vec::new();
    let mut keyword = false;
    for (i, p) in f.parameters.iter().enumerate() {
        if p.kind == ParameterKind::Keyword && !keyword {
            parts.push("*".to_owned());
        }
        keyword |= matches!(p.kind, ParameterKind::Keyword | ParameterKind::Args);
        let stars = match p.kind {
            ParameterKind::Args => "*",
            ParameterKind::Kwargs => "**",
            _ => "",
        };
        let name = if p.name.is_empty() { "(…)" } else { &p.name };
        let annotation = p.annotation.as_ref().map(|a| format!(": {a}")).unwrap_or_default();
        let default = if p.optional && stars.is_empty() { "=…" } else { "" };
        parts.push(format!("{stars}{name}{annotation}{default}"));
        let next = f.parameters.get(i + 1);
        if p.kind == ParameterKind::Positional && next.is_none_or(|n| n.kind != ParameterKind::Positional) {
            parts.push("/".to_owned());
        }
    }
    let returns = f.returns.as_ref().map(|r| format!(" -> {r}")).unwrap_or_default();
    format!("{}{}({}){returns}", if f.is_async { "async " } else { "" }, f.name, parts.join(", "))
}

/// What a function takes and gives, where both are written out.
fn signature(module: &Module, f: &Function, numpy: bool) -> Option<Signature> {
    if f.name.starts_with('_') || certain(module, &f.name)? != f || f.is_async {
        return None;
    }
    let outputs = f.outputs.as_ref()?;
    let mut inputs = Vec::new();
    for p in &f.parameters {
        match p.kind {
            ParameterKind::Either | ParameterKind::Keyword => {}
            // No argument comes by place.
            ParameterKind::Args => continue,
            ParameterKind::Positional if p.optional => continue,
            ParameterKind::Positional | ParameterKind::Kwargs => return None,
        }
        if p.name.is_empty() {
            return None;
        }
        let mut tensor = Tensor::new(&p.name, None, None, Known::Unknown);
        tensor.known.name = Known::Derived;
        tensor.optional = p.optional;
        if let Some(dtype) = p.annotation.as_deref().and_then(|a| hinted(a, numpy)) {
            tensor.dtype = Some(dtype);
            tensor.known.dtype = Known::Derived;
        }
        inputs.push(tensor);
    }
    let outputs = outputs
        .iter()
        .map(|name| {
            let mut tensor = Tensor::new(name, None, None, Known::Unknown);
            tensor.known.name = Known::Derived;
            tensor
        })
        .collect();
    Some(Signature { name: f.name.clone(), known: Known::Stored, inputs, outputs })
}

/// The element type that an annotation leaves no doubt about: one of numpy's types, by its name.
fn hinted(annotation: &str, numpy: bool) -> Option<DType> {
    let text = annotation.trim().trim_matches(['"', '\'']);
    let text = text.split_once("NDArray[").and_then(|(_, r)| r.strip_suffix(']')).unwrap_or(text);
    let name = text.strip_prefix("np.").or_else(|| text.strip_prefix("numpy."))?;
    match name {
        "bool_" | "bool" => Some(DType::Bool),
        "str_" => Some(DType::String),
        "float16" | "float32" | "float64" | "int8" | "int16" | "int32" | "int64" | "uint8" | "uint16"
        | "uint32" | "uint64" | "complex64" | "complex128" => name.parse().ok(),
        _ => None,
    }
    .filter(|_| numpy)
}

/// The definition that a name has for certain once the module is imported.
fn certain<'m>(module: &'m Module, name: &str) -> Option<&'m Function> {
    let all = || module.functions.iter().filter(|f| f.name == name);
    let last = all().next_back()?;
    let sure = !module.names.contains(name) && last.decorators.is_empty() && all().all(|f| !f.conditional);
    sure.then_some(last)
}

/// Whether a function of the author's is what a Python runtime would call, whatever lies beside it.
pub fn lies_in(tree: &Tree) -> bool {
    tree.get(FILE).is_some()
}

/// Holds a contract against the code that is to keep it.
///
/// Hydrosphere's Python runtimes call the function that has the name of the default signature, with
/// every input as an argument by name. `Ok(false)` where there is no `src/func_main.py`.
///
/// # Errors
///
/// When the file cannot be read as Python, has no such function, or that function would refuse the
/// arguments. What only running the code could tell is let through.
pub fn check(tree: &Tree, contract: &Contract) -> Result<bool> {
    if tree.get(FILE).is_none() {
        return Ok(false);
    }
    let module = module(tree, FILE, python::MAX_SOURCE)?;
    let Some(signature) = contract.default_signature() else { return Ok(true) };
    let name = &signature.name;
    let quoted = show_bytes(name.as_bytes());
    let known = module.functions.iter().any(|f| f.name == *name) || module.names.contains(name);
    if !known && !module.open {
        let message = format!(
            "`{}` has no function `{quoted}`, which the runtime calls for the signature `{quoted}`",
            show_bytes(FILE)
        );
        let names: BTreeSet<String> =
            module.functions.iter().map(|f| format!("`{}`", show_bytes(f.name.as_bytes()))).collect();
        let names: Vec<String> = names.into_iter().take(10).collect();
        let hint = if names.is_empty() {
            format!("define `{quoted}` in it; its arguments are the inputs by name")
        } else {
            format!(
                "name the contract like one of its functions ({}), or define `{quoted}`",
                names.join(", ")
            )
        };
        return Err(Error::new(Kind::Model, message).hint(hint));
    }
    let Some(function) = certain(&module, name) else { return Ok(true) };
    let place = format!("{}:{}", show_bytes(FILE), function.line);
    if function.is_async {
        let message =
            format!("{place}: the function `{quoted}` is `async`, and the runtime does not wait for it");
        return Err(Error::new(Kind::Model, message).hint("define it with a plain `def`"));
    }
    arguments(signature, function, &place)?;
    Ok(true)
}

/// Whether a function takes the inputs as arguments by name, and asks for no others.
fn arguments(signature: &Signature, function: &Function, place: &str) -> Result<()> {
    let named = |p: &&Parameter| matches!(p.kind, ParameterKind::Either | ParameterKind::Keyword);
    let list = |names: &[&str]| {
        let shown: Vec<String> =
            names.iter().take(10).map(|n| format!("`{}`", show_bytes(n.as_bytes()))).collect();
        format!("{}{}", shown.join(", "), if names.len() > 10 { ", …" } else { "" })
    };
    let refuse = |why: String| {
        let message = format!("{place}: the function `{}` {why}", show_bytes(function.name.as_bytes()));
        let hint = format!(
            "it is defined as `{}`; the runtime gives it every input of the contract as an argument by name",
            shown(function)
        );
        Err(Error::new(Kind::Model, message).hint(hint))
    };
    let takes_any = function.parameters.iter().any(|p| p.kind == ParameterKind::Kwargs);
    let unknown: Vec<&str> = signature
        .inputs
        .iter()
        .map(|t| t.name.as_str())
        .filter(|name| !takes_any && !function.parameters.iter().filter(named).any(|p| p.name == *name))
        .collect();
    if !unknown.is_empty() {
        return refuse(format!("does not take {}, which the contract has as input", list(&unknown)));
    }
    let missing: Vec<&str> = function
        .parameters
        .iter()
        .filter(|p| !p.optional)
        .filter(|p| !(named(p) && signature.inputs.iter().any(|t| t.name == p.name)))
        .map(|p| if p.name.is_empty() { "(…)" } else { p.name.as_str() })
        .collect();
    if !missing.is_empty() {
        return refuse(format!("needs {}, which the contract does not have as input", list(&missing)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::format::{Choice, Detection, detect};
    use crate::model::tree::Selected;

    fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, Tree) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let all = [Selected { source: dir.path().to_owned(), dest: Vec::new() }];
        let tree = Tree::scan(&all, &|_, _| false, false).unwrap();
        (dir, tree)
    }

    fn found(files: &[(&str, &str)]) -> Option<Detection> {
        let (_dir, tree) = tree(files);
        detect(&tree, &Choice::default()).unwrap()
    }

    fn contract(name: &str, inputs: &[&str]) -> Contract {
        let inputs = inputs.iter().map(|n| Tensor::new(*n, None, None, Known::Declared)).collect();
        Contract {
            signatures: vec![Signature {
                name: name.to_owned(),
                known: Known::Declared,
                inputs,
                outputs: Vec::new(),
            }],
        }
    }

    fn checked(source: &str, name: &str, inputs: &[&str]) -> Result<bool> {
        let (_dir, tree) = tree(&[("src/func_main.py", source)]);
        check(&tree, &contract(name, inputs))
    }

    #[test]
    fn a_function_is_found_where_no_model_is() {
        let source = "import os, numpy as np, requests\nfrom near import x\nfrom sklearn.svm import SVC\n\ndef helper(a): return a\n\ndef predict(x: np.float32, y=1, *, z: 'npt.NDArray[np.int64]'):\n    return {'a': x, 'b': y}\n";
        let d = found(&[("src/func_main.py", source), ("src/near.py", ""), ("requirements.txt", "numpy\n")])
            .unwrap();
        assert_eq!((d.format, d.framework.as_str(), d.location.as_slice()), ("function", "python", &b""[..]));
        assert_eq!(
            d.facts["functions"],
            serde_json::json!(["helper(a)", "predict(x: np.float32, y=…, *, z: 'npt.NDArray[np.int64]')"])
        );
        assert_eq!(d.facts["imports"], serde_json::json!(["numpy", "os", "requests", "sklearn"]));
        assert_eq!(d.facts["third_party_imports"], serde_json::json!(["numpy", "requests", "sklearn"]));
        assert_eq!(d.facts["packages"], serde_json::json!(["numpy"]));
        let signatures = d.contract.unwrap().signatures;
        assert_eq!(signatures.len(), 1);
        let inputs: Vec<_> =
            signatures[0].inputs.iter().map(|t| (t.name.as_str(), t.dtype, t.optional)).collect();
        assert_eq!(
            inputs,
            [("x", Some(DType::Float32), false), ("y", None, true), ("z", Some(DType::Int64), false)]
        );
        assert_eq!(signatures[0].outputs.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert!(d.findings.is_empty() && d.failure.is_none());
    }

    #[test]
    fn weights_win_and_only_the_top_counts() {
        let model = std::fs::read(
            std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("testdata/models/onnx/on_dev_scaler/model.onnx"),
        )
        .unwrap();
        let (dir, _) = tree(&[("src/func_main.py", "def f(): pass\n")]);
        std::fs::create_dir(dir.path().join("deep")).unwrap();
        std::fs::write(dir.path().join("deep/a.onnx"), &model).unwrap();
        let all = [Selected { source: dir.path().to_owned(), dest: Vec::new() }];
        let find = |framework| {
            let tree = Tree::scan(&all, &|_, _| false, false).unwrap();
            detect(&tree, &Choice { framework, path: None }).unwrap().unwrap()
        };
        assert_eq!(find(None).format, "onnx");
        assert_eq!(find(Some("function")).format, "function");
        // Where nobody could say which of several is the model, the code that loads them is.
        std::fs::write(dir.path().join("deep/b.onnx"), &model).unwrap();
        let d = find(None);
        assert_eq!(d.format, "function");
        assert!(
            d.warnings[0].contains("deep/a.onnx") && d.warnings[0].contains("deep/b.onnx"),
            "{:?}",
            d.warnings
        );
        assert_eq!(found(&[("sub/src/func_main.py", "def f(): pass\n")]), None);
    }

    #[test]
    fn a_broken_source_is_no_model_and_says_where() {
        let d = found(&[("src/func_main.py", "def predict(x):\n    return (x\n")]).unwrap();
        assert_eq!(
            d.failure.unwrap(),
            "cannot read `src/func_main.py`: src/func_main.py:2: `(` was never closed"
        );
    }

    #[test]
    fn the_contract_must_name_a_function() {
        assert!(checked("def predict(x): pass\n", "predict", &["x"]).unwrap());
        let e = checked("def infer(x): pass\n", "predict", &["x"]).unwrap_err();
        assert!(e.message().contains("has no function `predict`"), "{e}");
        assert!(e.hint_text().unwrap().contains("`infer`"));
        for fine in [
            "from model import predict\n",
            "from model import *\n",
            "predict = make()\n",
            "class predict: pass\n",
            "exec(code)\n",
            "if True:\n    def predict(z): pass\nelse:\n    predict = None\n",
            "def predict(z): pass\npredict = wrap(predict)\n",
            "@wrap\ndef predict(z): pass\n",
            "def setup():\n    global predict\n    predict = 1\n",
        ] {
            assert!(checked(fine, "predict", &["x"]).unwrap(), "{fine}");
        }
        let (_dir, other) = tree(&[("src/main.py", "")]);
        assert!(!check(&other, &contract("predict", &[])).unwrap());
    }

    #[test]
    fn the_inputs_must_be_its_arguments() {
        for (source, inputs) in [
            ("def f(**kwargs): pass", &["a", "b"][..]),
            ("def f(a, **kwargs): pass", &["a", "b"]),
            ("def f(a, b=1, *args, c): pass", &["a", "c"]),
            ("def f(): pass", &[]),
            ("def f(a, b): pass\ndef f(c): pass", &["c"]),
        ] {
            checked(source, "f", inputs).unwrap();
        }
        for (source, inputs, why) in [
            ("def f(a): pass", &["a", "b"][..], "does not take `b`"),
            ("def f(a, b): pass", &["a"], "needs `b`"),
            ("def f(a, /): pass", &["a"], "does not take `a`"),
            ("def f(a, /, **k): pass", &["a"], "needs `a`"),
            ("def f(*args): pass", &["a"], "does not take `a`"),
            ("def f((a, b)): pass", &[], "needs `(…)`"),
            ("async def f(a): pass", &["a"], "is `async`"),
        ] {
            let e = checked(source, "f", inputs).unwrap_err();
            assert_eq!(e.kind(), Kind::Model);
            assert!(e.message().contains(why) && e.message().contains("src/func_main.py:1"), "{source}: {e}");
        }
    }
}
