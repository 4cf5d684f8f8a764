//! Programs of `torch.export` (`.pt2`): a graph as JSON, with every type, shape and name in it.
//!
//! The JSON is the same in both containers (torch/_export/serde/schema.py): at the top of the archive
//! as `serialized_exported_program.json` (torch 2.1 to 2.7), or as `models/<name>.json` below a root
//! folder with `archive_format` (torch 2.8 on). Numbers of dtypes are its own.
//!
//! Invariants: what the graph has as a symbol or an expression is an unknown dimension with that
//! name; an argument that is no tensor has the type of its constant and no dimensions.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::error::{Error, Kind, Result};
use crate::model::contract::{Contract, DType, Known, Provenance, Shape, Signature, Tensor};
use crate::model::format::pytorch::slim;
use crate::model::format::{MAX_ENTRIES, MAX_NAME, MAX_RANK, Reading, Severity, Weight, json};

/// Reads the program of a JSON document; `method` is what the archive calls it.
pub(super) fn read(mut json: Vec<u8>, method: &str, reading: &mut Reading) -> Result<()> {
    finite(&mut json);
    let slim = |names: Option<&BTreeSet<String>>| {
        slim::read(&json, names).map_err(|e| {
            Error::new(Kind::Model, format!("the exported program is not JSON at line {}: {e}", e.line()))
        })
    };
    let program = slim(None)?;
    let module = &program["graph_module"];
    let (Some(inputs), Some(outputs)) =
        (module["signature"]["input_specs"].as_array(), module["signature"]["output_specs"].as_array())
    else {
        return Err(Error::new(
            Kind::Model,
            "the exported program has no `graph_module.signature` with input and output specs",
        ));
    };
    if inputs.len() > MAX_ENTRIES || outputs.len() > MAX_ENTRIES {
        return Err(Error::new(
            Kind::Model,
            format!("the exported program has more than {MAX_ENTRIES} inputs or outputs"),
        ));
    }
    facts(&program, reading);
    let types = slim(Some(&named(inputs.iter().chain(outputs))))?;
    let graph = &types["graph_module"]["graph"];
    reading.list_weights(weights(inputs, graph));
    let spec = &module["module_call_graph"][0]["signature"];
    let mut signature = Signature {
        // The method of nn.Module that was exported; the file does not name it.
        name: "forward".to_owned(),
        known: Known::Stored,
        inputs: Vec::new(),
        outputs: Vec::new(),
    };
    let paths = input_paths(spec);
    let mut names = BTreeSet::new();
    let user: Vec<&Value> = inputs.iter().filter_map(user_input).collect();
    for (i, arg) in user.iter().enumerate() {
        let mut tensor = argument(arg, graph, i, "input", reading);
        let path = paths.get(i).filter(|_| paths.len() == user.len());
        if let Some(path) = path.filter(|p| p.as_str() != tensor.name) {
            reading.fact(format!("torch.export.argument.{}", tensor.name), path.as_str());
        }
        if let Some(named) = path.filter(|_| tensor.known.name == Known::Convention) {
            tensor.name.clone_from(named);
            tensor.known.name = Known::Stored;
        }
        push(&mut signature.inputs, &mut names, tensor);
    }
    names.clear();
    let outputs = outputs.iter().filter_map(|o| part(o, "user_output").or(part(o, "loss_output")));
    for (i, output) in outputs.enumerate() {
        let tensor = argument(&output["arg"], graph, i, "output", reading);
        push(&mut signature.outputs, &mut names, tensor);
    }
    let keys = output_keys(spec);
    if keys.len() == signature.outputs.len() {
        reading.fact("torch.export.output_keys", keys);
    }
    if method != "model" && !method.is_empty() {
        reading.fact("torch.export.model", method);
    }
    reading.contract.get_or_insert_with(Contract::default).signatures.push(signature);
    Ok(())
}

/// The tensors that specs of inputs and outputs name.
fn named<'v>(specs: impl Iterator<Item = &'v Value>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for kind in specs.filter_map(Value::as_object).flat_map(|spec| spec.values()) {
        let arg = &kind["arg"];
        for name in [&arg["name"], &arg["as_tensor"]["name"]] {
            found.extend(name.as_str().map(str::to_owned));
        }
    }
    found
}

/// Takes out `Infinity` and `NaN`, which Python's `json` writes and no other reads.
fn finite(json: &mut [u8]) {
    let (mut quoted, mut escaped, mut at) = (false, false, 0);
    while let Some(byte) = json.get(at) {
        if quoted {
            quoted = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
        } else if let Some(word) = FOREIGN.iter().find(|w| json[at..].starts_with(w)) {
            // `NaN` is one byte too short for that, and becomes a text without anything in it.
            let end = at + word.len();
            json[at..end].fill(b' ');
            if word.len() >= 4 {
                json[at..at + 4].copy_from_slice(b"null");
            } else {
                json[at..at + 2].fill(b'"');
            }
            at = end;
            continue;
        } else {
            quoted = *byte == b'"';
        }
        at += 1;
    }
}

/// Words for numbers that JSON does not have.
const FOREIGN: &[&[u8]] = &[b"-Infinity", b"Infinity", b"NaN"];

/// Adds a tensor; a name that was there before gets a number behind it.
fn push(list: &mut Vec<Tensor>, names: &mut BTreeSet<String>, mut tensor: Tensor) {
    if names.contains(&tensor.name) {
        tensor.name = format!("{}_{}", tensor.name, list.len());
        tensor.known.name = Known::Convention;
    }
    names.insert(tensor.name.clone());
    list.push(tensor);
}

fn facts(program: &Value, reading: &mut Reading) {
    reading.framework_version =
        program["torch_version"].as_str().filter(|s| s.len() <= MAX_NAME).map(str::to_owned);
    reading.fact("serialization", "pt2");
    if let (Some(major), Some(minor)) = (
        program["schema_version"]["major"].as_u64().or(program["schema_version"].as_u64()),
        program["schema_version"]["minor"].as_u64().or(Some(0)),
    ) {
        reading.fact("torch.export.schema", format!("{major}.{minor}"));
    }
    if let Some(aten) = program["opset_version"]["aten"].as_u64() {
        reading.fact("opset", aten);
    }
    let nodes = &program["graph_module"]["graph"]["nodes"];
    reading.fact("torch.export.nodes", nodes["count"].as_u64());
    if let Some(ranges) = program["range_constraints"].as_object() {
        let ranges: serde_json::Map<String, Value> = ranges
            .iter()
            .take(MAX_RANK)
            .filter(|(name, _)| name.len() <= MAX_NAME)
            .map(|(name, r)| {
                let bound = |key: &str| r[key].as_i64().or(r[key]["as_int"].as_i64());
                (name.clone(), serde_json::json!([bound("min_val"), bound("max_val")]))
            })
            .collect();
        reading.fact("torch.export.ranges", ranges);
    }
    if let Some(targets) = nodes["targets"].as_array() {
        let foreign: Vec<&str> = targets
            .iter()
            .filter_map(Value::as_str)
            .filter_map(|t| t.strip_prefix("torch.ops."))
            .filter_map(|t| t.split('.').next())
            .filter(|ns| !NAMESPACES.contains(ns) && ns.len() <= MAX_NAME)
            .collect();
        let mut foreign: Vec<&str> = foreign;
        foreign.sort_unstable();
        foreign.dedup();
        if !foreign.is_empty() {
            reading.find(
                Severity::Warning,
                "custom-operators",
                "",
                format!(
                    "the graph needs operators from outside of PyTorch, which a server must have loaded: {}",
                    foreign.join(", ")
                ),
            );
        }
    }
}

/// The namespaces of operators that come with PyTorch itself.
const NAMESPACES: &[&str] = &[
    "aten",
    "prim",
    "prims",
    "higher_order",
    "_c10d_functional",
    "c10d_functional",
    "quantized_decomposed",
    "quantized",
    "export",
    "profiler",
    "inductor",
    "mkldnn",
    "mkl",
    "onednn",
    "rngprims",
    "streams",
    "debugprims",
    "_quantized",
    "quantized_decomposed_affine",
];

/// The tensors that the program brings with it.
fn weights(inputs: &[Value], graph: &Value) -> Vec<Weight> {
    let mut all = Vec::new();
    for spec in inputs {
        for (kind, key) in [
            ("parameter", "parameter_name"),
            ("buffer", "buffer_name"),
            ("tensor_constant", "tensor_constant_name"),
        ] {
            let Some(spec) = part(spec, kind) else { continue };
            let (Some(name), Some(value)) = (spec[key].as_str(), spec["arg"]["name"].as_str()) else {
                continue;
            };
            let (dtype, shape, _) = tensor_value(&graph["tensor_values"][value]);
            all.push(Weight { name: name.to_owned(), dtype: dtype.map(|d| d.name().to_owned()), shape });
        }
    }
    all
}

/// A part of a record; up to torch 2.3 each alternative that is not taken is there as `null`.
fn part<'v>(record: &'v Value, key: &str) -> Option<&'v Value> {
    record.get(key).filter(|v| !v.is_null())
}

/// The argument of an input spec that the caller gives.
fn user_input(spec: &Value) -> Option<&Value> {
    match part(spec, "user_input") {
        Some(input) => Some(&input["arg"]),
        // A constant that the program was specialised on is still an argument of the call.
        None => part(spec, "constant_input"),
    }
}

fn argument(arg: &Value, graph: &Value, i: usize, side: &str, reading: &mut Reading) -> Tensor {
    let unnamed = || format!("{side}_{i}");
    if let Some(name) = arg["as_tensor"]["name"].as_str() {
        return with_value(name, &graph["tensor_values"][name]);
    }
    // A constant that the call was specialised on: `{name, value}` with a value of one kind.
    if let (Some(name), Some(value)) = (arg["name"].as_str(), part(arg, "value")) {
        reading.fact(format!("torch.export.constant.{name}"), simple(value));
        return scalar(name, kind_of(value), Known::Stored);
    }
    for (key, dtype) in
        [("as_sym_int", DType::Int64), ("as_sym_float", DType::Float64), ("as_sym_bool", DType::Bool)]
    {
        let Some(symbol) = part(arg, key) else { continue };
        return match symbol["as_name"].as_str() {
            Some(name) => scalar(name, Some(dtype), Known::Stored),
            None => scalar(&unnamed(), Some(dtype), Known::Convention),
        };
    }
    if let Some(name) = arg["as_custom_obj"]["name"].as_str() {
        let mut t = scalar(name, None, Known::Stored);
        t.shape = None;
        t.native_type = arg["as_custom_obj"]["class_fqn"].as_str().map(str::to_owned);
        return t;
    }
    if part(arg, "as_none").is_some() {
        let mut t = Tensor::new(unnamed(), None, None, Known::Convention);
        t.native_type = Some("None".to_owned());
        return t;
    }
    scalar(&unnamed(), kind_of(arg), Known::Convention)
}

fn scalar(name: &str, dtype: Option<DType>, known: Known) -> Tensor {
    let how = if dtype.is_some() { Known::Stored } else { Known::Unknown };
    let mut t = Tensor::new(name, dtype, dtype.map(|_| Vec::new()), known);
    t.known = Provenance { name: known, dtype: how, shape: how };
    t
}

/// The type of a constant argument.
fn kind_of(arg: &Value) -> Option<DType> {
    [
        ("as_int", DType::Int64),
        ("as_float", DType::Float64),
        ("as_bool", DType::Bool),
        ("as_string", DType::String),
    ]
    .iter()
    .find(|(key, _)| part(arg, key).is_some())
    .map(|(_, dtype)| *dtype)
}

fn simple(value: &Value) -> Value {
    let inner = value.as_object().and_then(|o| o.values().find(|v| !v.is_null()));
    match inner {
        Some(Value::String(s)) if s.len() > MAX_NAME => Value::Null,
        Some(v) if !v.is_object() && !v.is_array() => v.clone(),
        _ => Value::Null,
    }
}

fn with_value(name: &str, value: &Value) -> Tensor {
    let (dtype, shape, dims) = tensor_value(value);
    let mut t = Tensor::new(name, dtype, shape, Known::Stored);
    if dims.iter().any(Option::is_some) {
        t.dim_names = dims;
    }
    if t.dtype.is_none() {
        t.known.dtype = Known::Unknown;
    }
    if t.shape.is_none() {
        t.known.shape = Known::Unknown;
    }
    t
}

/// The type, the shape and the names of dimensions of an entry of `tensor_values`.
fn tensor_value(value: &Value) -> (Option<DType>, Option<Shape>, Vec<Option<String>>) {
    let dtype = value["dtype"].as_u64().and_then(dtype);
    let Some(sizes) = value["sizes"].as_array().filter(|s| s.len() <= MAX_RANK) else {
        return (dtype, None, Vec::new());
    };
    let shape = sizes.iter().map(|s| s["as_int"].as_u64()).collect();
    let names = sizes.iter().map(|s| s["as_expr"]["expr_str"].as_str().and_then(symbol)).collect();
    (dtype, Some(shape), names)
}

/// The name of a dimension: a bare symbol, or sympy's printed form of one.
fn symbol(expression: &str) -> Option<String> {
    let plain =
        |s: &str| !s.is_empty() && s.len() <= 64 && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if plain(expression) {
        return Some(expression.to_owned());
    }
    let inner = expression.strip_prefix("Symbol('")?;
    let (name, rest) = inner.split_once('\'')?;
    // One closing bracket: the symbol alone, and not the beginning of an expression.
    (plain(name) && rest.ends_with(')') && rest.matches(['(', ')']).count() == 1).then(|| name.to_owned())
}

/// `ScalarType` of torch/_export/serde/schema.py.
fn dtype(number: u64) -> Option<DType> {
    Some(match number {
        1 => DType::UInt8,
        2 => DType::Int8,
        3 => DType::Int16,
        4 => DType::Int32,
        5 => DType::Int64,
        6 => DType::Float16,
        7 => DType::Float32,
        8 => DType::Float64,
        10 => DType::Complex64,
        11 => DType::Complex128,
        12 => DType::Bool,
        13 => DType::BFloat16,
        28 => DType::UInt16,
        29 => DType::Float8E4M3FN,
        30 => DType::Float8E5M2,
        31 => DType::Float8E4M3FNUZ,
        32 => DType::Float8E5M2FNUZ,
        34 => DType::UInt32,
        35 => DType::UInt64,
        _ => return None,
    })
}

/// The caller's names of the flat inputs: `x`, `batch.image`, `xs[0]`.
fn input_paths(spec: &Value) -> Vec<String> {
    let names: Vec<&str> =
        spec["forward_arg_names"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let Some(tree) = tree(&spec["in_spec"]) else { return Vec::new() };
    // The root is a pair: positional arguments and named ones.
    let (Some(args), Some(kwargs)) = (tree["children_spec"].get(0), tree["children_spec"].get(1)) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (i, arg) in args["children_spec"].as_array().into_iter().flatten().enumerate() {
        let Some(name) = names.get(i) else { return Vec::new() };
        leaves(arg, (*name).to_owned(), &mut found, 0);
    }
    let keys = keys(kwargs);
    for (i, arg) in kwargs["children_spec"].as_array().into_iter().flatten().enumerate() {
        let Some(name) = keys.get(i) else { return Vec::new() };
        leaves(arg, name.clone(), &mut found, 0);
    }
    found
}

/// The keys of the outputs, where the program returns a dict of values.
fn output_keys(spec: &Value) -> Vec<String> {
    let Some(tree) = tree(&spec["out_spec"]) else { return Vec::new() };
    let mut found = Vec::new();
    if keys(&tree).is_empty() {
        return found;
    }
    leaves(&tree, String::new(), &mut found, 0);
    found
}

/// A tree that is stored as JSON inside of a JSON text, with its version before it.
fn tree(text: &Value) -> Option<Value> {
    let mut pair: Value = json::parse(text.as_str()?.as_bytes()).ok()?;
    pair.get_mut(1).map(Value::take)
}

fn keys(node: &Value) -> Vec<String> {
    // The context of a dict is the list of its keys, as JSON again; of a `defaultdict` it is a pair.
    let context: Option<Value> = node["context"].as_str().and_then(|c| json::parse(c.as_bytes()).ok());
    let dict = node["type"].as_str().is_some_and(|t| t.ends_with("dict") || t.ends_with("OrderedDict"));
    let Some(Value::Array(list)) = context.filter(|_| dict) else { return Vec::new() };
    list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Walks a tree down to its leaves; the depth is bounded by that of JSON.
fn leaves(node: &Value, path: String, found: &mut Vec<String>, depth: usize) {
    if found.len() >= MAX_ENTRIES || path.len() > MAX_NAME || depth > 64 {
        return;
    }
    let Some(children) = node["children_spec"].as_array() else { return };
    if node["type"].is_null() {
        found.push(path);
        return;
    }
    let keys = keys(node);
    for (i, child) in children.iter().enumerate() {
        let below = match keys.get(i) {
            Some(key) if path.is_empty() => key.clone(),
            Some(key) => format!("{path}.{key}"),
            None => format!("{path}[{i}]"),
        };
        leaves(child, below, found, depth + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_are_told_from_expressions() {
        for (text, name) in [
            ("s77", Some("s77")),
            ("Symbol('s77', positive=True, integer=True)", Some("s77")),
            ("Mul(Integer(2), Symbol('s77', positive=True, integer=True))", None),
            ("2*s0", None),
            ("Symbol('", None),
        ] {
            assert_eq!(symbol(text).as_deref(), name, "{text}");
        }
    }

    #[test]
    fn numbers_that_json_does_not_have_are_nothing() {
        let mut text = br#"{"a": -Infinity, "b": [NaN, Infinity], "Inf\"inity": "NaN\\"}"#.to_vec();
        let want = br#"{"a": null     , "b": ["" , null    ], "Inf\"inity": "NaN\\"}"#;
        finite(&mut text);
        assert_eq!(text, want);
    }

    #[test]
    fn a_program_without_a_signature_is_an_error() {
        for json in ["", "{}", "[]", "{\"graph_module\":{\"signature\":{\"input_specs\":1}}}"] {
            assert!(read(json.into(), "model", &mut Reading::default()).is_err(), "{json}");
        }
    }
}
