//! Nodes that hold graphs, and operators that the model itself defines.
//!
//! An inner graph (`If`, `Loop`, `Scan`, `SequenceMap`) is gone through like the outer one, whose
//! values it sees. A function is gone through at each call, with what the call gives it. What may
//! differ from one turn of a loop to the next is not told.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::model::contract::DType;
use crate::model::format::onnx::graph::{self, Model};
use crate::model::format::onnx::infer::{Caller, Node, Run, Scope, Val, step};
use crate::model::format::onnx::ops::{axis, either};
use crate::model::format::onnx::types::{Dim, Type};
use crate::model::format::{MAX_ENTRIES, MAX_TEXT, Reading};
use crate::model::pb::Message;

/// How many functions and inner graphs may be in each other.
pub(super) const MAX_CALLS: usize = 16;
/// The most inputs, outputs and attributes of a function.
const MAX_SLOTS: usize = 10_000;

/// The functions of a model; one that is there twice is not gone through.
pub(super) fn functions<'i>(model: &Model<'i>) -> Result<BTreeMap<(String, String), Message<'i>>> {
    let mut all = BTreeMap::new();
    let mut twice = Vec::new();
    for function in model.functions.iter().take(MAX_ENTRIES) {
        let (mut name, mut domain) = (String::new(), String::new());
        let mut message = *function;
        while let Some(field) = message.next_field()? {
            match field.number {
                1 => name = field.text(MAX_TEXT)?,
                10 => domain = field.text(MAX_TEXT)?,
                _ => {}
            }
        }
        let key = (graph::domain(&domain).to_owned(), name);
        if all.insert(key.clone(), *function).is_some() {
            twice.push(key);
        }
    }
    // They differ by an `overload`, which a call names too.
    for key in twice {
        all.remove(&key);
    }
    Ok(all)
}

/// The name of an attribute and where its value stands: with the caller, if it only refers to one.
pub(super) fn resolved<'i>(
    attr: Message<'i>,
    caller: &Caller<'_, 'i>,
) -> Result<Option<(String, Message<'i>)>> {
    let (mut name, mut refers) = (String::new(), None);
    let mut message = attr;
    while let Some(field) = message.next_field()? {
        match field.number {
            1 => name = field.text(MAX_TEXT)?,
            21 => refers = Some(field.text(MAX_TEXT)?).filter(|r| !r.is_empty()),
            _ => {}
        }
    }
    Ok(match refers {
        None => Some((name, attr)),
        // One that the call does not give is as if it were not there.
        Some(other) => caller.attrs.and_then(|a| a.get(&other)).map(|a| (name, *a)),
    })
}

/// The types of a node's outputs; `None` where it holds no graph and calls no function.
pub(super) fn apply<'i>(
    run: &Run<'i>,
    node: &Node<'_, 'i>,
    scope: &Scope<'_, 'i>,
    caller: &Caller<'_, 'i>,
) -> Result<Option<Vec<Option<Val>>>> {
    let inner = Caller { opsets: caller.opsets, attrs: caller.attrs, depth: caller.depth + 1 };
    if inner.depth > MAX_CALLS {
        return Ok(Some(Vec::new()));
    }
    if let Some(function) = run.functions.get(&(node.domain.clone(), node.op.clone())) {
        return call(run, node, *function, inner.depth).map(Some);
    }
    if node.domain != "ai.onnx" {
        return Ok(None);
    }
    let body = |name: &str| node.graph(name);
    Ok(Some(match node.op.as_str() {
        "If" => {
            let (Some(yes), Some(no)) = (body("then_branch")?, body("else_branch")?) else {
                return Ok(Some(Vec::new()));
            };
            let yes = through(run, yes, scope, &inner, &[])?;
            let no = through(run, no, scope, &inner, &[])?;
            yes.into_iter().zip(no).map(|(a, b)| Some(Val::new(common(&a?.ty, &b?.ty)?))).collect()
        }
        "Loop" => looped(run, node, scope, &inner)?,
        "Scan" if node.opset >= 9 => scanned(run, node, scope, &inner)?,
        "Scan" if node.opset == 8 => scanned_in_rows(run, node, scope, &inner)?,
        "SequenceMap" => {
            let Some(body) = body("body")? else { return Ok(Some(Vec::new())) };
            let given: Vec<Option<Val>> = (0..node.inputs.len())
                .map(|at| {
                    node.input(at).map(|v| match &v.ty {
                        Type::Sequence(inner) => Val::new((**inner).clone()),
                        _ => v.clone(),
                    })
                })
                .collect();
            let results = through(run, body, scope, &inner, &given)?;
            results.into_iter().map(|r| r.map(|v| Val::new(Type::Sequence(Box::new(v.ty))))).collect()
        }
        _ => return Ok(None),
    }))
}

/// What is true of two values, where that is anything.
fn common(a: &Type, b: &Type) -> Option<Type> {
    Some(either(a, b)).filter(|t| *t != Type::Other)
}

/// Goes through an inner graph that is given these inputs.
fn through<'i>(
    run: &Run<'i>,
    message: Message<'i>,
    outer: &Scope<'_, 'i>,
    caller: &Caller<'_, 'i>,
    given: &[Option<Val>],
) -> Result<Vec<Option<Val>>> {
    let graph = graph::read_graph(message, &mut Reading::default())?;
    let mut scope = Scope::new(&graph, Some(outer));
    for (input, val) in graph.inputs.iter().zip(given) {
        if let Some(val) = val {
            scope.set(&input.name, val.clone());
        }
    }
    for node in &graph.nodes {
        step(run, *node, &mut scope, caller)?;
    }
    graph
        .outputs
        .iter()
        .map(|o| {
            // A weight may be an output without a node between.
            if scope.get(&o.name).is_none()
                && let Some(Some(weight)) = graph.initializers.get(&o.name)
            {
                return super::infer::constant(*weight).map(Some);
            }
            Ok(scope.get(&o.name).cloned())
        })
        .collect()
}

/// A type without the sizes that may change from turn to turn.
fn loose(ty: &Type) -> Type {
    match ty {
        Type::Tensor { elem, sparse, .. } => Type::Tensor { elem: *elem, shape: None, sparse: *sparse },
        Type::Sequence(inner) => Type::Sequence(Box::new(loose(inner))),
        Type::Optional(inner) => Type::Optional(Box::new(loose(inner))),
        other => other.clone(),
    }
}

/// Values that are carried along, and one entry per turn of what the body gives besides.
fn looped<'i>(
    run: &Run<'i>,
    node: &Node<'_, 'i>,
    scope: &Scope<'_, 'i>,
    caller: &Caller<'_, 'i>,
) -> Result<Vec<Option<Val>>> {
    let Some(body) = node.graph("body")? else { return Ok(Vec::new()) };
    let carried = node.inputs.len().saturating_sub(2);
    let scalar = |elem| Some(Val::new(Type::tensor(Some(elem), Some(Vec::new()))));
    let mut given = vec![scalar(DType::Int64), scalar(DType::Bool)];
    given.extend((0..carried).map(|at| node.input(2 + at).map(|v| Val::new(loose(&v.ty)))));
    let results = through(run, body, scope, caller, &given)?;
    // The first result is whether to go on.
    Ok(results
        .into_iter()
        .skip(1)
        .enumerate()
        .map(|(at, result)| {
            if at >= carried {
                return result.and_then(|v| stacked(&v.ty, 0, Dim::Unknown));
            }
            match (node.input(2 + at), result) {
                (Some(first), Some(last)) => common(&first.ty, &last.ty).map(Val::new),
                // It may be given by nobody before the first turn.
                (None, last) => last.map(|v| Val::new(loose(&v.ty))),
                _ => None,
            }
        })
        .collect())
}

/// A tensor with one more dimension.
fn stacked(ty: &Type, at: i64, size: Dim) -> Option<Val> {
    let Type::Tensor { elem, shape, sparse: false } = ty else { return None };
    let shape = match shape {
        None => None,
        Some(shape) => {
            let mut out = shape.clone();
            out.insert(axis(at, shape.len() + 1)?, size);
            Some(out)
        }
    };
    Some(Val::new(Type::tensor(*elem, shape)))
}

/// A loop over the entries of tensors.
fn scanned<'i>(
    run: &Run<'i>,
    node: &Node<'_, 'i>,
    scope: &Scope<'_, 'i>,
    caller: &Caller<'_, 'i>,
) -> Result<Vec<Option<Val>>> {
    let Some(body) = node.graph("body")? else { return Ok(Vec::new()) };
    let count = usize::try_from(node.int("num_scan_inputs")?.unwrap_or(0)).unwrap_or(usize::MAX);
    let Some(carried) = node.inputs.len().checked_sub(count) else { return Ok(Vec::new()) };
    let along = node.ints("scan_input_axes")?.unwrap_or_default();
    let mut length = Dim::Unknown;
    let mut given: Vec<Option<Val>> =
        (0..carried).map(|at| node.input(at).map(|v| Val::new(v.ty.clone()))).collect();
    for i in 0..count {
        let part = node.tensor(carried + i).map(|(elem, shape)| {
            let part = shape.and_then(|shape| {
                let at = axis(along.get(i).copied().unwrap_or(0), shape.len())?;
                let mut part = shape.clone();
                let size = part.remove(at);
                if matches!(size, Dim::Size(_)) || length == Dim::Unknown {
                    length = size;
                }
                Some(part)
            });
            Val::new(Type::tensor(elem, part))
        });
        given.push(part);
    }
    let results = through(run, body, scope, caller, &given)?;
    let places = node.ints("scan_output_axes")?.unwrap_or_default();
    Ok(results
        .into_iter()
        .enumerate()
        .map(|(at, result)| {
            let result = result?;
            let Some(i) = at.checked_sub(carried) else {
                return common(&node.input(at)?.ty, &result.ty).map(Val::new);
            };
            stacked(&result.ty, places.get(i).copied().unwrap_or(0), length.clone())
        })
        .collect())
}

/// A loop over the entries of tensors, for each row apart: the first version, whose first input is how
/// long each row is.
fn scanned_in_rows<'i>(
    run: &Run<'i>,
    node: &Node<'_, 'i>,
    scope: &Scope<'_, 'i>,
    caller: &Caller<'_, 'i>,
) -> Result<Vec<Option<Val>>> {
    let Some(body) = node.graph("body")? else { return Ok(Vec::new()) };
    let count = usize::try_from(node.int("num_scan_inputs")?.unwrap_or(0)).unwrap_or(usize::MAX);
    let Some(carried) = node.inputs.len().checked_sub(1).and_then(|n| n.checked_sub(count)) else {
        return Ok(Vec::new());
    };
    let (mut rows, mut length) = (Dim::Unknown, Dim::Unknown);
    let mut given = Vec::new();
    for at in 1..node.inputs.len() {
        // Rows, and for what is gone through the places, are not seen inside.
        let hidden = if at > carried { 2 } else { 1 };
        given.push(node.tensor(at).map(|(elem, shape)| {
            let shape = shape.filter(|s| s.len() >= hidden);
            if let Some(shape) = shape {
                rows = if matches!(shape[0], Dim::Unknown) { rows.clone() } else { shape[0].clone() };
                length = if hidden == 2 { shape[1].clone() } else { length.clone() };
            }
            Val::new(Type::tensor(elem, shape.map(|s| s[hidden..].to_vec())))
        }));
    }
    let results = through(run, body, scope, caller, &given)?;
    let around = |(at, result): (usize, Option<Val>)| {
        let inside =
            if at < carried { result } else { result.and_then(|v| stacked(&v.ty, 0, length.clone())) };
        inside.and_then(|v| stacked(&v.ty, 0, rows.clone()))
    };
    Ok(results.into_iter().enumerate().map(around).collect())
}

/// Goes through a function with what its call gives.
fn call<'i>(
    run: &Run<'i>,
    node: &Node<'_, 'i>,
    mut function: Message<'i>,
    depth: usize,
) -> Result<Vec<Option<Val>>> {
    let (mut inputs, mut outputs, mut nodes) = (Vec::new(), Vec::new(), Vec::new());
    let mut opsets = BTreeMap::new();
    let mut attrs = node.attrs.clone();
    while let Some(field) = function.next_field()? {
        match field.number {
            4 if inputs.len() < MAX_SLOTS => inputs.push(field.text(MAX_TEXT)?),
            5 if outputs.len() < MAX_SLOTS => outputs.push(field.text(MAX_TEXT)?),
            7 if nodes.len() < MAX_ENTRIES => nodes.push(field.message()?),
            9 if opsets.len() < MAX_SLOTS => {
                let (name, version) = graph::opset(field.message()?, MAX_TEXT)?;
                opsets.insert(graph::domain(&name).to_owned(), version);
            }
            // Attributes with a default.
            11 if attrs.len() < MAX_SLOTS => {
                let attr = field.message()?;
                let none = Caller { opsets: &opsets, attrs: None, depth };
                if let Some((name, attr)) = resolved(attr, &none)? {
                    attrs.entry(name).or_insert(attr);
                }
            }
            _ => {}
        }
    }
    let mut scope = Scope::empty();
    for (at, name) in inputs.iter().enumerate() {
        if let Some(val) = node.input(at) {
            scope.set(name, val.clone());
        }
    }
    let caller = Caller { opsets: &opsets, attrs: Some(&attrs), depth };
    for node in nodes {
        step(run, node, &mut scope, &caller)?;
    }
    Ok(outputs.iter().map(|name| scope.get(name).cloned()).collect())
}
