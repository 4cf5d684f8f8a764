//! What follows about outputs that a graph does not describe.
//!
//! The nodes are gone through once, in the order in which they stand, and each operator of
//! [`ops`](super::ops) tells the types of its outputs from those of its inputs. An operator that is
//! not known there tells nothing, and so does everything after it. Only what the file leaves open is
//! filled, and it is marked `derived`; a rank that the file records stays as it is.

use std::collections::BTreeMap;

use crate::error::{Error, Kind, Result};
use crate::model::contract::{DType, Encoding, Known, Tensor};
use crate::model::format::MAX_TEXT;
use crate::model::format::onnx::graph::{self, Model};
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Val {
    pub ty: Type,
    /// Its content, where it is a few whole numbers: shapes are computed from such. `None` inside
    /// is a number that is not known.
    pub values: Option<Vec<Option<i64>>>,
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
    pub inputs: Vec<Option<&'a Val>>,
    /// How many outputs it has.
    pub outputs: usize,
    attrs: BTreeMap<String, Message<'i>>,
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
    let mut known: BTreeMap<String, Val> = BTreeMap::new();
    for value in model.graph.inputs.iter().chain(&model.graph.values).chain(&model.graph.outputs) {
        if let Some(ty) = &value.ty {
            known.insert(value.name.clone(), Val::new(ty.clone()));
        }
    }
    for node in nodes {
        step(model, *node, &mut known)?;
    }
    for output in outputs.iter_mut().filter(|o| wants(o)) {
        if let Some(val) = known.get(&output.name) {
            types::describe(output, &val.ty, Known::Derived);
        }
    }
    Ok(())
}

fn step(model: &Model<'_>, mut message: Message<'_>, known: &mut BTreeMap<String, Val>) -> Result<()> {
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
                attrs.insert(attr_name(attr)?, attr);
            }
            7 => domain = field.text(MAX_TEXT)?,
            _ => {}
        }
    }
    for name in &inputs {
        if let Some(Some(weight)) = model.graph.initializers.get(name)
            && known.get(name).is_none_or(|v| v.values.is_none())
        {
            known.insert(name.clone(), constant(*weight)?);
        }
    }
    let node = Node {
        op,
        domain: graph::domain(&domain).to_owned(),
        inputs: inputs.iter().map(|n| known.get(n)).collect(),
        outputs: outputs.len(),
        attrs,
    };
    let results = ops::apply(&node)?;
    for (name, result) in outputs.into_iter().zip(results) {
        let Some(mut result) = result else { continue };
        let full = known.len() >= MAX_VALUES;
        match known.get_mut(&name) {
            // What the file says stays; its content may still be new.
            Some(told) if complete(&told.ty) => told.values = result.values,
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

fn attr_name(mut message: Message<'_>) -> Result<String> {
    // The name comes first; whoever writes it last has attributes that are not found.
    match message.next_field()? {
        Some(field) if field.number == 1 => field.text(MAX_TEXT),
        _ => Ok(String::new()),
    }
}

impl Node<'_, '_> {
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

    /// An input's content, where all of it is known.
    pub(super) fn input_ints(&self, at: usize) -> Option<Vec<i64>> {
        self.input(at)?.values.as_ref()?.iter().copied().collect()
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
