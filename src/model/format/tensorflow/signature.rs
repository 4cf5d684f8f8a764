//! A `SignatureDef`: one way to call a SavedModel.
//!
//! Names are the keys of its maps, not the names of tensors in the graph; those are facts. Maps have
//! no order, so that tensors come sorted by name. Field numbers: tensorflow/core/protobuf/
//! {meta_graph,struct}.proto, tensorflow/core/framework/tensor_shape.proto.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Kind, Result, show_bytes};
use crate::model::contract::{DType, Encoding, Known, Shape, Signature, Tensor};
use crate::model::format::tensorflow::saved_model::entry;
use crate::model::format::{MAX_ENTRIES, MAX_NAME, MAX_RANK, MAX_TEXT, Reading, Severity};
use crate::model::pb::Message;

/// Numbers above this are references to a type: a variable's buffer, of the type less the number.
const REFERENCE: i64 = 100;
/// How deep structured values of a type's description are followed.
const MAX_STATE: usize = 8;

/// Reads the signature that a map holds under `name`.
pub(super) fn read(name: &str, mut message: Message<'_>, reading: &mut Reading) -> Result<Signature> {
    // It stands in a fact of each of its tensors, thousands of times over.
    if name.len() > MAX_NAME {
        return Err(Error::new(
            Kind::Model,
            format!("a signature has a name of {} bytes, at most {MAX_NAME} are read", name.len()),
        ));
    }
    let mut inputs = BTreeMap::new();
    let mut outputs = BTreeMap::new();
    let mut defaults = BTreeSet::new();
    while let Some(field) = message.next_field()? {
        match field.number {
            1 | 2 => {
                let (key, value) = entry(field.message()?)?;
                let side = if field.number == 1 { &mut inputs } else { &mut outputs };
                if side.len() >= MAX_ENTRIES {
                    return Err(Error::new(
                        Kind::Model,
                        format!("a signature has more than {MAX_ENTRIES} tensors"),
                    ));
                }
                side.insert(key, value);
            }
            3 => reading.fact(format!("tensorflow.signature[{name}].method"), field.text(MAX_TEXT)?),
            4 if defaults.len() < MAX_ENTRIES => {
                defaults.insert(entry(field.message()?)?.0);
            }
            _ => {}
        }
    }
    let mut signature =
        Signature { name: name.to_owned(), known: Known::Stored, inputs: Vec::new(), outputs: Vec::new() };
    for (side, from, to) in
        [("inputs", inputs, &mut signature.inputs), ("outputs", outputs, &mut signature.outputs)]
    {
        for (key, value) in from {
            let place = format!("tensorflow.signature[{name}].{side}[{key}]");
            let mut t = match value {
                Some(message) => tensor(&key, message, &place, reading)?,
                None => Tensor::new(key, None, None, Known::Stored),
            };
            t.optional = side == "inputs" && defaults.contains(&t.name);
            settle(&mut t);
            to.push(t);
        }
    }
    Ok(signature)
}

/// What is not known is marked so.
fn settle(t: &mut Tensor) {
    if t.dtype.is_none() {
        t.known.dtype = Known::Unknown;
    }
    // A rank that the file says is unknown is a recorded fact; one that it does not mention is not.
    if t.shape.is_none() {
        t.known.shape = Known::Unknown;
    }
}

fn tensor(name: &str, mut message: Message<'_>, place: &str, reading: &mut Reading) -> Result<Tensor> {
    let mut t = Tensor::new(name, None, None, Known::Stored);
    let mut number = 0;
    let mut has_shape = false;
    let mut composite = None;
    while let Some(field) = message.next_field()? {
        match field.number {
            1 => reading.fact(format!("{place}.tensor"), field.text(MAX_TEXT)?),
            2 => number = field.int()?,
            3 => {
                has_shape = true;
                t.shape = shape(field.message()?, &mut t.dim_names, place, reading)?;
            }
            4 => {
                t.encoding = Encoding::Sparse;
                coo_sparse(field.message()?, place, reading)?;
            }
            5 => composite = Some(field.message()?),
            _ => {}
        }
    }
    dtype(&mut t, number, place, reading);
    if let Some(message) = composite {
        composite_tensor(&mut t, message, place, reading)?;
    } else if !has_shape && number != 0 {
        // TensorFlow itself reads a shape that is left out as a scalar's.
        t.shape = Some(Vec::new());
        t.known.shape = Known::Derived;
    }
    Ok(t)
}

fn dtype(t: &mut Tensor, number: i64, place: &str, reading: &mut Reading) {
    if number == 0 {
        return;
    }
    t.dtype = i32::try_from(number).ok().filter(|n| *n > 0).and_then(DType::from_tensorflow);
    match t.dtype {
        Some(target) if number > REFERENCE => t.native_type = Some(format!("{target}_ref")),
        Some(_) => {}
        None => reading.find(
            Severity::Warning,
            "unknown-dtype",
            "",
            format!(
                "`{}` has the dtype {number}, which TensorFlow's types of today do not have",
                show_bytes(place.as_bytes())
            ),
        ),
    }
}

/// Reads a `TensorShapeProto`; `None` where it says that the rank is unknown.
pub(super) fn shape(
    mut message: Message<'_>,
    names: &mut Vec<Option<String>>,
    place: &str,
    reading: &mut Reading,
) -> Result<Option<Shape>> {
    let mut dims: Shape = Vec::new();
    let mut unknown_rank = false;
    names.clear();
    while let Some(field) = message.next_field()? {
        match field.number {
            2 if dims.len() >= MAX_RANK => {
                return Err(Error::new(Kind::Model, format!("a shape has more than {MAX_RANK} dimensions")));
            }
            2 => {
                let (size, name) = dim(field.message()?)?;
                if size < -1 {
                    reading.find(
                        Severity::Warning,
                        "bad-dimension",
                        "",
                        format!(
                            "`{}` has a dimension of {size}; it is taken as unknown",
                            show_bytes(place.as_bytes())
                        ),
                    );
                }
                dims.push(u64::try_from(size).ok());
                names.push(name);
            }
            3 => unknown_rank = field.varint()? != 0,
            _ => {}
        }
    }
    if unknown_rank || names.iter().all(Option::is_none) {
        names.clear();
    }
    Ok((!unknown_rank).then_some(dims))
}

fn dim(mut message: Message<'_>) -> Result<(i64, Option<String>)> {
    let (mut size, mut name) = (0, None);
    while let Some(field) = message.next_field()? {
        match field.number {
            1 => size = field.int()?,
            2 => name = Some(field.text(MAX_TEXT)?).filter(|n| !n.is_empty()),
            _ => {}
        }
    }
    Ok((size, name))
}

/// The three tensors of the graph that a sparse one is made of.
fn coo_sparse(mut message: Message<'_>, place: &str, reading: &mut Reading) -> Result<()> {
    while let Some(field) = message.next_field()? {
        let part = match field.number {
            1 => "values",
            2 => "indices",
            3 => "dense_shape",
            _ => continue,
        };
        reading.fact(format!("{place}.{part}"), field.text(MAX_TEXT)?);
    }
    Ok(())
}

/// What a `TypeSpecProto` tells.
#[derive(Default)]
struct TypeSpec {
    class: u64,
    class_name: Option<String>,
    dtype: Option<i64>,
    /// Absent, or a shape of unknown rank, or a shape.
    shape: Option<Option<Shape>>,
}

fn composite_tensor(
    t: &mut Tensor,
    mut message: Message<'_>,
    place: &str,
    reading: &mut Reading,
) -> Result<()> {
    let mut spec = TypeSpec::default();
    let mut components = 0;
    while let Some(field) = message.next_field()? {
        match field.number {
            1 => type_spec(field.message()?, &mut spec, reading, place)?,
            2 => {
                let mut component = field.message()?;
                while let Some(part) = component.next_field()? {
                    if part.number == 1 {
                        reading.fact(format!("{place}.components[{components}]"), part.text(MAX_TEXT)?);
                    }
                }
                components += 1;
            }
            _ => {}
        }
    }
    t.encoding = match spec.class {
        1 => Encoding::Sparse,
        3 => Encoding::Ragged,
        _ => Encoding::Composite,
    };
    t.native_type = spec.class_name.or(t.native_type.take());
    if t.dtype.is_none() {
        dtype(t, spec.dtype.unwrap_or(0), place, reading);
    }
    if t.shape.is_none()
        && let Some(shape) = spec.shape
    {
        t.shape = shape;
    }
    Ok(())
}

fn type_spec(
    mut message: Message<'_>,
    spec: &mut TypeSpec,
    reading: &mut Reading,
    place: &str,
) -> Result<()> {
    while let Some(field) = message.next_field()? {
        match field.number {
            1 => spec.class = field.varint()?,
            2 => state(field.message()?, spec, reading, place, 0)?,
            3 => spec.class_name = Some(field.text(MAX_TEXT)?),
            _ => {}
        }
    }
    Ok(())
}

/// The first shape and the first dtype of a type's state: of sparse and ragged ones, the tensor's.
fn state(
    mut message: Message<'_>,
    spec: &mut TypeSpec,
    reading: &mut Reading,
    place: &str,
    depth: usize,
) -> Result<()> {
    if depth > MAX_STATE {
        return Ok(());
    }
    while let Some(field) = message.next_field()? {
        match field.number {
            31 if spec.shape.is_none() => {
                spec.shape = Some(shape(field.message()?, &mut Vec::new(), place, reading)?);
            }
            32 if spec.dtype.is_none() => spec.dtype = Some(field.int()?),
            // A list or a tuple of further values.
            51 | 52 => {
                let mut values = field.message()?;
                while let Some(value) = values.next_field()? {
                    if value.number == 1 {
                        state(value.message()?, spec, reading, place, depth + 1)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}
