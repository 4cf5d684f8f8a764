//! What follows about outputs that a graph does not describe.
//!
//! The nodes are gone through once, in the order in which they stand, and each operator of
//! [`ops`](super::ops) tells the types of its outputs from those of its inputs. An operator that is
//! not known there tells nothing, and so does everything after it. Only what the file leaves open is
//! filled, and it is marked `derived`; a rank that the file records stays as it is.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Kind, Result};
use crate::model::contract::{DType, Encoding, Known, Tensor};
use crate::model::format::MAX_TEXT;
use crate::model::format::onnx::control;
use crate::model::format::onnx::graph::{self, Graph, Model};
use crate::model::format::onnx::numbers::{self, Number};
use crate::model::format::onnx::ops;
use crate::model::format::onnx::types::{self, Dim, Type};
use crate::model::pb::Message;

/// The most nodes that are gone through.
const MAX_NODES: usize = 100_000;
/// The most dimensions of a type that is derived; each node may copy it.
const MAX_DERIVED_RANK: usize = 16;
/// The most lists, maps and options around each other in a type that is derived.
const MAX_NESTED: usize = 4;
/// The most values whose types are kept.
const MAX_VALUES: usize = 50_000;
/// The most inputs and outputs of one node.
const MAX_SLOTS: usize = 10_000;
/// The most numbers or texts of an attribute that are looked at.
const MAX_LIST: usize = 1 << 20;

/// A value on its way through the graph.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Val {
    pub ty: Type,
    /// Its content, where it is a few numbers: shapes are computed from such. `None` inside
    /// is a number that is not known.
    pub values: Option<Vec<Option<Number>>>,
}

impl Val {
    pub(super) fn new(ty: Type) -> Self {
        Self { ty, values: None }
    }
}

/// A node with what its operator may look at.
pub(super) struct Node<'a, 'i> {
    pub op: String,
    pub domain: String,
    /// The version of the operators of its domain; 0 where the model does not say.
    pub opset: i64,
    pub inputs: Vec<Option<&'a Val>>,
    /// How many outputs it has.
    pub outputs: usize,
    pub attrs: BTreeMap<String, Message<'i>>,
}

/// Whether something about an output is open that could follow from the graph.
pub(super) fn wants(t: &Tensor) -> bool {
    t.dtype.is_none() || (t.shape.is_none() && t.encoding == Encoding::Dense)
}

/// Fills what the outputs leave open.
pub(super) fn outputs(model: &Model<'_>, outputs: &mut [Tensor]) -> Result<()> {
    let nodes = &model.graph.nodes;
    if nodes.len() > MAX_NODES {
        return Err(Error::new(
            Kind::Model,
            format!("the graph has {} nodes, at most {MAX_NODES} are looked at", nodes.len()),
        ));
    }
    let run = Run { functions: control::functions(model)?, steps: Cell::new(0) };
    let mut scope = Scope::new(&model.graph, None);
    for node in nodes {
        step(&run, *node, &mut scope, &Caller::top(&model.opsets))?;
    }
    for output in outputs.iter_mut().filter(|o| wants(o)) {
        if let Some(val) = scope.get(&output.name) {
            types::describe(output, &val.ty, Known::Derived);
        }
    }
    Ok(())
}

/// What all graphs of a model share on the way through them.
pub(super) struct Run<'i> {
    /// The model's own operators, by domain and name.
    pub functions: BTreeMap<(String, String), Message<'i>>,
    /// Nodes that were gone through, in all graphs and all calls.
    steps: Cell<usize>,
}

/// Around a node: the versions of operators, and in a function what its caller gave it.
pub(super) struct Caller<'a, 'i> {
    pub opsets: &'a BTreeMap<String, i64>,
    pub attrs: Option<&'a BTreeMap<String, Message<'i>>>,
    /// How many functions and inner graphs are around.
    pub depth: usize,
}

impl<'a> Caller<'a, '_> {
    fn top(opsets: &'a BTreeMap<String, i64>) -> Self {
        Self { opsets, attrs: None, depth: 0 }
    }
}

/// The values of one graph; an inner graph sees those around it too.
pub(super) struct Scope<'p, 'i> {
    known: BTreeMap<String, Val>,
    /// The names that were looked for among the weights.
    loaded: BTreeSet<String>,
    weights: Option<&'p BTreeMap<String, Option<Message<'i>>>>,
    outer: Option<&'p Self>,
}

impl<'p, 'i> Scope<'p, 'i> {
    /// The values that a graph describes.
    pub(super) fn new(graph: &'p Graph<'i>, outer: Option<&'p Self>) -> Self {
        let mut scope = Self {
            known: BTreeMap::new(),
            loaded: BTreeSet::new(),
            weights: Some(&graph.initializers),
            outer,
        };
        for value in graph.inputs.iter().chain(&graph.values).chain(&graph.outputs) {
            if let Some(ty) = &value.ty {
                scope.known.insert(value.name.clone(), Val::new(ty.clone()));
            }
        }
        scope
    }

    /// Nothing but what is set, as in a function.
    pub(super) fn empty() -> Self {
        Self { known: BTreeMap::new(), loaded: BTreeSet::new(), weights: None, outer: None }
    }

    /// Sets a value that comes from outside; what the graph says of its type stays.
    pub(super) fn set(&mut self, name: &str, val: Val) {
        match self.known.get_mut(name) {
            Some(told) if complete(&told.ty) => {
                refine(&mut told.ty, &val.ty);
                told.values = val.values;
            }
            _ => drop(self.known.insert(name.to_owned(), val)),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Val> {
        let mut scope = Some(self);
        while let Some(s) = scope {
            if let Some(val) = s.known.get(name) {
                return Some(val);
            }
            scope = s.outer;
        }
        None
    }

    /// Reads a weight when it is used for the first time.
    fn load(&mut self, name: &str) -> Result<()> {
        if self.get(name).is_some_and(|v| v.values.is_some()) || self.loaded.contains(name) {
            return Ok(());
        }
        self.loaded.insert(name.to_owned());
        let mut scope = Some(&*self);
        while let Some(s) = scope {
            if let Some(Some(weight)) = s.weights.and_then(|w| w.get(name)) {
                let val = constant(*weight)?;
                self.known.insert(name.to_owned(), val);
                return Ok(());
            }
            if s.known.contains_key(name) {
                return Ok(());
            }
            scope = s.outer;
        }
        Ok(())
    }
}

/// Goes through one node. The recursion through inner graphs is bounded by the depth of messages, and
/// that through functions by [`control::MAX_CALLS`].
pub(super) fn step<'i>(
    run: &Run<'i>,
    mut message: Message<'i>,
    scope: &mut Scope<'_, 'i>,
    caller: &Caller<'_, 'i>,
) -> Result<()> {
    run.steps.set(run.steps.get() + 1);
    if run.steps.get() > MAX_NODES {
        return Err(Error::new(
            Kind::Model,
            format!("with what it calls, the graph has more than {MAX_NODES} nodes"),
        ));
    }
    let (mut op, mut domain) = (String::new(), String::new());
    let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
    let mut attrs = BTreeMap::new();
    while let Some(field) = message.next_field()? {
        match field.number {
            1 if inputs.len() < MAX_SLOTS => inputs.push(field.text(MAX_TEXT)?),
            2 if outputs.len() < MAX_SLOTS => outputs.push(field.text(MAX_TEXT)?),
            4 => op = field.text(MAX_TEXT)?,
            5 if attrs.len() < MAX_SLOTS => {
                let attr = field.message()?;
                if let Some((name, attr)) = control::resolved(attr, caller)? {
                    attrs.insert(name, attr);
                }
            }
            7 => domain = field.text(MAX_TEXT)?,
            _ => {}
        }
    }
    for name in inputs.iter().filter(|n| !n.is_empty()) {
        scope.load(name)?;
    }
    let domain = graph::domain(&domain).to_owned();
    let opset = caller.opsets.get(&domain).copied().unwrap_or(0);
    let node = Node {
        op,
        domain,
        opset,
        inputs: inputs.iter().map(|n| if n.is_empty() { None } else { scope.get(n) }).collect(),
        outputs: outputs.len(),
        attrs,
    };
    let results = match control::apply(run, &node, scope, caller)? {
        Some(results) => results,
        None => ops::apply(&node)?,
    };
    let known = &mut scope.known;
    for (name, result) in outputs.into_iter().zip(results).filter(|(name, _)| !name.is_empty()) {
        let Some(mut result) = result else { continue };
        let full = known.len() >= MAX_VALUES;
        match known.get_mut(&name) {
            // What the file says stays; sizes that it leaves open and the content may still be new.
            Some(told) if complete(&told.ty) => {
                refine(&mut told.ty, &result.ty);
                told.values = result.values;
            }
            _ if rank(&result.ty) > MAX_DERIVED_RANK || nested(&result.ty) > MAX_NESTED => {}
            Some(told) => {
                if let (Type::Tensor { elem: Some(elem), .. }, Type::Tensor { elem: to, .. }) =
                    (&told.ty, &mut result.ty)
                {
                    *to = Some(*elem);
                }
                *told = result;
            }
            None if full => {}
            None => drop(known.insert(name, result)),
        }
    }
    Ok(())
}

/// How many lists, maps and options are around a tensor, as far as it matters.
fn nested(mut ty: &Type) -> usize {
    let mut depth = 0;
    while let Type::Sequence(inner) | Type::Map(_, inner) | Type::Optional(inner) = ty {
        depth += 1;
        if depth > MAX_NESTED {
            break;
        }
        ty = inner;
    }
    depth
}

/// Fills sizes that are not told with those that follow.
fn refine(told: &mut Type, found: &Type) {
    if let (Type::Tensor { shape: Some(told), .. }, Type::Tensor { shape: Some(found), .. }) = (told, found)
        && told.len() == found.len()
    {
        for (d, f) in told.iter_mut().zip(found) {
            if !matches!(d, Dim::Size(_)) && matches!(f, Dim::Size(_)) {
                *d = f.clone();
            }
        }
    }
}

fn rank(ty: &Type) -> usize {
    if let Type::Tensor { shape: Some(shape), .. } = ty { shape.len() } else { 0 }
}

fn complete(ty: &Type) -> bool {
    match ty {
        Type::Tensor { elem, shape, .. } => elem.is_some() && shape.is_some(),
        Type::Other => false,
        Type::Sequence(_) | Type::Map(..) | Type::Optional(_) => true,
    }
}

/// A weight as a value.
pub(super) fn constant(message: Message<'_>) -> Result<Val> {
    let w = graph::weight(message)?;
    let shape = w.dims.iter().map(|d| u64::try_from(*d).map_or(Dim::Unknown, Dim::Size)).collect();
    Ok(Val {
        ty: Type::tensor(types::dtype(w.dtype), Some(shape)),
        values: w.values.map(|v| v.into_iter().map(Some).collect()),
    })
}

impl<'i> Node<'_, 'i> {
    /// An inner graph.
    pub(super) fn graph(&self, name: &str) -> Result<Option<Message<'i>>> {
        let Some(mut message) = self.attrs.get(name).copied() else { return Ok(None) };
        while let Some(field) = message.next_field()? {
            if field.number == 6 {
                return field.message().map(Some);
            }
        }
        Ok(None)
    }

    /// An input's value.
    pub(super) fn input(&self, at: usize) -> Option<&Val> {
        self.inputs.get(at).copied().flatten()
    }

    /// An input's type, where it is a tensor: dtype and shape.
    pub(super) fn tensor(&self, at: usize) -> Option<(Option<DType>, Option<&Vec<Dim>>)> {
        match &self.input(at)?.ty {
            Type::Tensor { elem, shape, .. } => Some((*elem, shape.as_ref())),
            _ => None,
        }
    }

    /// An input's content, where all of it is whole numbers that are known.
    pub(super) fn input_ints(&self, at: usize) -> Option<Vec<i64>> {
        self.input(at)?.values.as_ref()?.iter().map(|n| n.and_then(Number::whole)).collect()
    }

    /// An input's real numbers, where they are told; those that are not known are left open.
    pub(super) fn input_reals(&self, at: usize) -> Option<Vec<Option<f64>>> {
        Some(self.input(at)?.values.as_ref()?.iter().map(|n| n.and_then(Number::real)).collect())
    }

    /// An input's numbers as sizes, where they are told; those that are not known are left open.
    pub(super) fn input_dims(&self, at: usize) -> Option<Vec<Dim>> {
        let size = |n: &Option<Number>| n.and_then(Number::whole).and_then(|n| u64::try_from(n).ok());
        Some(
            self.input(at)?
                .values
                .as_ref()?
                .iter()
                .map(|n| size(n).map_or(Dim::Unknown, Dim::Size))
                .collect(),
        )
    }

    pub(super) fn has_attr(&self, name: &str) -> bool {
        self.attrs.contains_key(name)
    }

    /// A whole number.
    pub(super) fn int(&self, name: &str) -> Result<Option<i64>> {
        let Some(mut message) = self.attrs.get(name).copied() else { return Ok(None) };
        while let Some(field) = message.next_field()? {
            if field.number == 3 {
                return field.int().map(Some);
            }
        }
        // A zero is a default value, and may be left out.
        Ok(Some(0))
    }

    /// A list of whole numbers.
    pub(super) fn ints(&self, name: &str) -> Result<Option<Vec<i64>>> {
        let Some(mut message) = self.attrs.get(name).copied() else { return Ok(None) };
        let mut list = Vec::new();
        while let Some(field) = message.next_field()? {
            if field.number == 8 {
                field.append_ints(&mut list, MAX_LIST)?;
            }
        }
        Ok(Some(list))
    }

    /// A list of real numbers, or one of them, where they are few.
    pub(super) fn reals(&self, name: &str) -> Result<Option<Vec<f64>>> {
        let Some(mut message) = self.attrs.get(name).copied() else { return Ok(None) };
        let mut list = Vec::new();
        while let Some(field) = message.next_field()? {
            if matches!(field.number, 2 | 7)
                && !numbers::append_reals(&field, &mut list, numbers::MAX_VALUES, false)?
            {
                return Ok(None);
            }
        }
        Ok(Some(list))
    }

    /// A text.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>> {
        let Some(mut message) = self.attrs.get(name).copied() else { return Ok(None) };
        while let Some(field) = message.next_field()? {
            if field.number == 4 {
                return field.text(MAX_TEXT).map(Some);
            }
        }
        Ok(None)
    }

    /// How many texts or whole numbers an attribute lists.
    pub(super) fn count(&self, name: &str) -> Result<u64> {
        let Some(mut message) = self.attrs.get(name).copied() else { return Ok(0) };
        let (mut n, mut ints) = (0, Vec::new());
        while let Some(field) = message.next_field()? {
            match field.number {
                9 => n += 1,
                8 => field.append_ints(&mut ints, MAX_LIST)?,
                _ => {}
            }
        }
        Ok(n + ints.len() as u64)
    }

    /// A tensor.
    pub(super) fn weight(&self, name: &str) -> Result<Option<Val>> {
        let Some(mut message) = self.attrs.get(name).copied() else { return Ok(None) };
        while let Some(field) = message.next_field()? {
            if field.number == 5 {
                return constant(field.message()?).map(Some);
            }
        }
        Ok(None)
    }

    /// A type.
    pub(super) fn ty(&self, name: &str) -> Result<Option<Type>> {
        let Some(mut message) = self.attrs.get(name).copied() else { return Ok(None) };
        while let Some(field) = message.next_field()? {
            if field.number == 14 {
                return types::ty(field.message()?, &mut Vec::new());
            }
        }
        Ok(None)
    }
}
