//! `contract.protobin`: the one signature that a Hydrosphere runtime is given.
//!
//! Two generations are written, and both are read, with the form of 0.1 and 0.2 too. They have the
//! same file name and nothing that tells them apart but their shape: generation 3 is one
//! `ModelSignature` (hydrosphere.serving.contract, protos 3.0), generation 2 a `ModelContract` with
//! the model's name around it (hydrosphere.contract, protos 2.0 to 2.4).
//!
//! Invariants: the bytes are those that protoc's generated code writes for the same values; a shape
//! whose rank is unknown is left out, a scalar's is there and empty. Nothing is weakened to make it
//! fit: a dtype that the generation lacks is an error.

use crate::error::{Error, Kind, Result, show_bytes};
use crate::model::contract::{DType, Encoding, Known, Profile, Shape, Signature, Tensor};
use crate::model::pb::{Field, Input, Message, Writer};

/// The largest file that is read.
pub const MAX_SIZE: usize = 16 << 20;
/// The longest name in bytes.
const MAX_NAME: usize = 1 << 16;
/// The most fields, over all levels.
const MAX_FIELDS: usize = 100_000;
/// The most dimensions of one tensor.
const MAX_RANK: usize = 64;
/// How deep fields may hold fields; the wire allows twice as many messages.
const MAX_NESTING: usize = 30;

/// Which of Hydrosphere's schemas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Generation {
    /// Protos 2.0 to 2.4.
    Two,
    /// Protos 3.0.
    Three,
}

/// What a `contract.protobin` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Its schema; the form of 0.1 and 0.2 counts as generation 2.
    pub generation: Generation,
    /// The model's name; generation 3 has none.
    pub model_name: Option<String>,
    /// The signatures: one, except in the form of 0.1 and 0.2.
    pub signatures: Vec<Signature>,
}

/// Writes a signature; `model_name` goes into generation 2 only.
///
/// Fails where a tensor has no dtype, or one that the generation lacks.
pub fn write(signature: &Signature, generation: Generation, model_name: &str) -> Result<Vec<u8>> {
    let mut inner = Writer::new();
    text(&mut inner, 1, &signature.name);
    for (number, tensors) in [(2, &signature.inputs), (3, &signature.outputs)] {
        for tensor in tensors {
            inner.message(number, field(tensor, generation, &tensor.name, 0)?);
        }
    }
    if generation == Generation::Three {
        return Ok(inner.finish());
    }
    let mut outer = Writer::new();
    text(&mut outer, 1, model_name);
    outer.message(2, inner);
    Ok(outer.finish())
}

/// An empty text is the default value, which proto3 leaves out.
fn text(w: &mut Writer, number: u32, value: &str) {
    if !value.is_empty() {
        w.bytes(number, value.as_bytes());
    }
}

fn field(tensor: &Tensor, generation: Generation, path: &str, depth: usize) -> Result<Writer> {
    if depth > MAX_NESTING {
        return Err(Error::new(
            Kind::Model,
            format!("the fields of `{path}` are nested too deep for `contract.protobin`"),
        ));
    }
    let mut w = Writer::new();
    text(&mut w, 1, &tensor.name);
    if let Some(shape) = &tensor.shape {
        w.message(2, self::shape(shape, generation, path)?);
    }
    if tensor.fields.is_empty() {
        // In a oneof: even a zero would be written.
        w.int(4, i64::from(number(tensor, generation, path)?));
    } else {
        let mut data = Writer::new();
        for f in &tensor.fields {
            data.message(1, field(f, generation, &format!("{path}.{}", f.name), depth + 1)?);
        }
        w.message(3, data);
    }
    if let Some(profile) = tensor.profile {
        let number = if generation == Generation::Three { 5 } else { 10 };
        w.varint(number, profile_number(profile));
    }
    Ok(w)
}

fn shape(shape: &Shape, generation: Generation, path: &str) -> Result<Writer> {
    let mut dims = Vec::with_capacity(shape.len());
    for dim in shape {
        dims.push(match dim {
            None => -1,
            Some(n) => i64::try_from(*n).map_err(|_| {
                Error::new(
                    Kind::Model,
                    format!("`{}` has a dimension of {n}, more than 2^63-1", show_bytes(path.as_bytes())),
                )
            })?,
        });
    }
    let mut w = Writer::new();
    if generation == Generation::Three {
        w.packed(1, &dims);
    } else {
        for dim in dims {
            let mut one = Writer::new();
            if dim != 0 {
                one.int(1, dim);
            }
            w.message(2, one);
        }
    }
    Ok(w)
}

/// TensorFlow's numbers, as far as the generation's enum has them.
fn has(generation: Generation, number: i32) -> bool {
    match generation {
        Generation::Two => (1..=23).contains(&number),
        Generation::Three => (1..=23).contains(&number) && !matches!(number, 14 | 20 | 21),
    }
}

fn number(tensor: &Tensor, generation: Generation, path: &str) -> Result<i32> {
    let path = show_bytes(path.as_bytes());
    let release = if generation == Generation::Three { "3" } else { "2" };
    let Some(dtype) = tensor.dtype else {
        return Err(Error::new(
            Kind::Model,
            format!("`{path}` has no dtype, which `contract.protobin` of generation {release} needs"),
        )
        .hint("declare the dtype in the definition's contract"));
    };
    dtype.tensorflow().filter(|n| has(generation, *n)).ok_or_else(|| {
        Error::new(
            Kind::Model,
            format!("`{path}` is of dtype `{dtype}`, which `contract.protobin` of generation {release} does not have"),
        )
        .hint("declare another dtype that the runtime can take, or choose a runtime that does not read this file")
    })
}

fn profile_number(profile: Profile) -> u64 {
    PROFILES.iter().find(|(p, _)| *p == profile).map_or(0, |(_, n)| *n)
}

/// `hydrosphere.contract.DataProfileType`; `NONE` is 0.
const PROFILES: &[(Profile, u64)] = &[
    (Profile::Categorical, 1),
    (Profile::Nominal, 11),
    (Profile::Ordinal, 12),
    (Profile::Numerical, 2),
    (Profile::Continuous, 21),
    (Profile::Interval, 22),
    (Profile::Ratio, 23),
    (Profile::Image, 3),
    (Profile::Video, 4),
    (Profile::Audio, 5),
    (Profile::Text, 6),
];

/// Reads a file of either generation.
///
/// Fails on anything that is not exactly of one of the two schemas: the older ones used the same
/// numbers for other things, and a guess would give a wrong contract.
pub fn read(bytes: &[u8]) -> Result<Decoded> {
    if bytes.len() > MAX_SIZE {
        return Err(Error::new(
            Kind::Model,
            format!("`contract.protobin` has {} bytes, at most {MAX_SIZE} are read", bytes.len()),
        ));
    }
    // Only a signature has a third field at the top, and Hydrosphere demands outputs of each.
    let three = has_outputs(bytes);
    let order =
        if three { [Generation::Three, Generation::Two] } else { [Generation::Two, Generation::Three] };
    let mut first = None;
    for generation in order {
        // Each reads every byte at most twice.
        let input = Input::new(&bytes, bytes.len() as u64 * 4);
        let mut reader = Reader { generation, fields: 0 };
        let decoded = match generation {
            Generation::Three => reader.signature(input.message()).map(|s| (None, vec![s])),
            Generation::Two => reader.contract(input.message()),
        };
        match decoded {
            Ok((model_name, signatures)) => return Ok(Decoded { generation, model_name, signatures }),
            Err(e) => first = first.or(Some(e)),
        }
    }
    let e = Error::new(Kind::Model, "`contract.protobin` is of neither generation 2 nor 3")
        .hint("write it anew from a definition; forms before 0.1 are not read");
    Err(match first {
        Some(cause) => e.because(cause),
        None => e,
    })
}

fn has_outputs(bytes: &[u8]) -> bool {
    let input = Input::new(&bytes, bytes.len() as u64 * 2);
    let mut message = input.message();
    while let Ok(Some(field)) = message.next_field() {
        if field.number == 3 {
            return true;
        }
    }
    false
}

struct Reader {
    generation: Generation,
    fields: usize,
}

impl Reader {
    fn contract(&mut self, mut message: Message<'_>) -> Result<(Option<String>, Vec<Signature>)> {
        let mut name = None;
        let mut signatures = Vec::new();
        while let Some(field) = message.next_field()? {
            match field.number {
                1 => name = Some(field.text(MAX_NAME)?),
                2 => signatures.push(self.signature(field.message()?)?),
                _ => return Err(unknown("ModelContract", &field)),
            }
        }
        if signatures.is_empty() {
            return Err(Error::new(Kind::Model, "no signature is in it"));
        }
        Ok((name, signatures))
    }

    fn signature(&mut self, mut message: Message<'_>) -> Result<Signature> {
        let mut s =
            Signature { name: String::new(), known: Known::Stored, inputs: Vec::new(), outputs: Vec::new() };
        while let Some(field) = message.next_field()? {
            match field.number {
                1 => s.name = field.text(MAX_NAME)?,
                2 => s.inputs.push(self.field(field.message()?, 0)?),
                3 => s.outputs.push(self.field(field.message()?, 0)?),
                _ => return Err(unknown("ModelSignature", &field)),
            }
        }
        if s.inputs.is_empty() && s.outputs.is_empty() {
            return Err(Error::new(Kind::Model, "a signature has neither inputs nor outputs"));
        }
        Ok(s)
    }

    fn field(&mut self, mut message: Message<'_>, depth: usize) -> Result<Tensor> {
        self.fields += 1;
        if self.fields > MAX_FIELDS || depth > MAX_NESTING {
            return Err(Error::new(Kind::Model, "too many fields, or fields nested too deep"));
        }
        let mut t = Tensor::new("", None, None, Known::Stored);
        let mut typed = false;
        while let Some(field) = message.next_field()? {
            match (field.number, self.generation) {
                (1, _) => t.name = field.text(MAX_NAME)?,
                (2, Generation::Three) => t.shape = Some(packed_shape(field.message()?)?),
                (2, Generation::Two) => t.shape = dims_shape(field.message()?, &mut t.dim_names)?,
                (3, _) => {
                    let mut data = field.message()?;
                    typed = true;
                    while let Some(sub) = data.next_field()? {
                        match sub.number {
                            1 => t.fields.push(self.field(sub.message()?, depth + 1)?),
                            _ => return Err(unknown("Subfield", &sub)),
                        }
                    }
                }
                (4, _) => {
                    typed = true;
                    self.dtype(&mut t, field.int()?)?;
                }
                (5, Generation::Three) | (10, Generation::Two) => t.profile = profile(field.varint()?)?,
                _ => return Err(unknown("ModelField", &field)),
            }
        }
        if t.name.is_empty() {
            return Err(Error::new(Kind::Model, "a field has no name"));
        }
        if !typed || (t.dtype.is_none() && t.native_type.is_none()) {
            t.known.dtype = Known::Unknown;
        }
        if t.shape.is_none() {
            t.known.shape = Known::Unknown;
        }
        Ok(t)
    }

    fn dtype(&self, t: &mut Tensor, number: i64) -> Result<()> {
        match (number, self.generation) {
            (0, _) => {}
            (24, Generation::Three) => t.native_type = Some("DT_ANY".to_owned()),
            (27, _) => {
                t.native_type = Some("DT_MAP".to_owned());
                t.encoding = Encoding::Map;
            }
            _ => {
                t.dtype = i32::try_from(number)
                    .ok()
                    .filter(|n| has(Generation::Two, *n))
                    .and_then(DType::from_tensorflow);
                if t.dtype.is_none() {
                    return Err(Error::new(Kind::Model, format!("{number} is not a dtype of Hydrosphere's")));
                }
            }
        }
        Ok(())
    }
}

fn unknown(message: &str, field: &Field<'_>) -> Error {
    Error::new(Kind::Model, format!("`{message}` has no field {}", field.number))
}

fn dim(size: i64) -> Result<Option<u64>> {
    match size {
        -1 => Ok(None),
        n => u64::try_from(n)
            .map(Some)
            .map_err(|_| Error::new(Kind::Model, format!("{n} is not the size of a dimension"))),
    }
}

fn packed_shape(mut message: Message<'_>) -> Result<Shape> {
    let mut dims = Vec::new();
    while let Some(field) = message.next_field()? {
        match field.number {
            1 => field.append_ints(&mut dims, MAX_RANK)?,
            _ => return Err(unknown("TensorShape", &field)),
        }
    }
    dims.into_iter().map(dim).collect()
}

fn dims_shape(mut message: Message<'_>, names: &mut Vec<Option<String>>) -> Result<Option<Shape>> {
    let mut shape = Vec::new();
    let mut unknown_rank = false;
    names.clear();
    while let Some(field) = message.next_field()? {
        match field.number {
            2 if shape.len() >= MAX_RANK => {
                return Err(Error::new(Kind::Model, format!("a shape has more than {MAX_RANK} dimensions")));
            }
            2 => {
                let (mut size, mut name) = (0, None);
                let mut inner = field.message()?;
                while let Some(part) = inner.next_field()? {
                    match part.number {
                        1 => size = part.int()?,
                        2 => name = Some(part.text(MAX_NAME)?).filter(|n| !n.is_empty()),
                        _ => return Err(unknown("Dim", &part)),
                    }
                }
                shape.push(dim(size)?);
                names.push(name);
            }
            3 => unknown_rank = field.varint()? != 0,
            _ => return Err(unknown("TensorShapeProto", &field)),
        }
    }
    if unknown_rank || names.iter().all(Option::is_none) {
        names.clear();
    }
    Ok((!unknown_rank).then_some(shape))
}

fn profile(number: u64) -> Result<Option<Profile>> {
    if number == 0 {
        return Ok(None);
    }
    match PROFILES.iter().find(|(_, n)| *n == number) {
        Some((p, _)) => Ok(Some(*p)),
        None => Err(Error::new(Kind::Model, format!("{number} is not a profile of Hydrosphere's"))),
    }
}

#[cfg(test)]
#[path = "protobin_tests.rs"]
mod tests;
