//! A request to infer, from the bytes of its body.
//!
//! Only what the protocol says is looked at here; whether the inputs keep the contract is checked
//! by [`crate::serve::Model`]. Parameters that are not known are passed over, but for those that
//! would change what an answer means.
//!
//! Invariant: no key is said twice, no byte of the body is left over.

use bytes::Bytes;

use super::json::{Read, Reader, beginning};
use super::{binary, values};
use crate::engine::Tensor;
use crate::error::show_bytes;
use crate::serve::bodies::{Bodies, Room};
use crate::serve::datatype;
use crate::serve::model::Refused;

/// The most dimensions of one tensor, as contracts have it.
const MAX_RANK: usize = 64;
/// The most inputs of one request, and the most outputs that it asks for.
const MAX_TENSORS: usize = 10_000;

/// Memory for what is read from a body.
#[derive(Debug)]
pub(super) struct Memory<'a> {
    bodies: &'a Bodies,
    kept: Vec<Room>,
}

impl<'a> Memory<'a> {
    pub(super) fn new(bodies: &'a Bodies) -> Self {
        Self { bodies, kept: Vec::new() }
    }

    /// What was taken for as long as the request is worked on.
    pub(super) fn kept(self) -> Vec<Room> {
        self.kept
    }

    /// Room for what frees it by itself.
    pub(super) fn room(&self, bytes: usize) -> Result<Room, Refused> {
        self.bodies.room_now(bytes)
    }

    /// Takes room for as long as the request is worked on.
    pub(super) fn keep(&mut self, bytes: usize) -> Result<(), Refused> {
        self.kept.push(self.bodies.room_now(bytes)?);
        Ok(())
    }
}

/// An output that is wanted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) name: String,
    /// As bytes behind the JSON, where the request says so or says not.
    pub(super) binary: Option<bool>,
}

/// What a request says.
#[derive(Debug, PartialEq)]
pub(super) struct Request {
    pub(super) id: Option<String>,
    pub(super) inputs: Vec<(String, Tensor)>,
    pub(super) outputs: Vec<Wanted>,
    /// What holds for outputs that do not say it themselves.
    pub(super) binary: bool,
}

fn invalid(what: impl Into<String>) -> Refused {
    Refused::Invalid(what.into())
}

/// Reads a body, of which the first `json` bytes are JSON; all of it where that is not said.
///
/// # Errors
///
/// [`Refused::Invalid`] for what is no request; [`Refused::Busy`] or [`Refused::TooLarge`] where
/// there is no memory for its tensors.
pub(super) fn read(body: &Bytes, json: Option<usize>, memory: &mut Memory<'_>) -> Result<Request, Refused> {
    let json = json.unwrap_or(body.len());
    let Some(text) = body.get(..json) else {
        return Err(invalid(format!(
            "`Inference-Header-Content-Length` is {json}, the body has {} bytes",
            body.len()
        )));
    };
    let mut tail = Tail { body, at: json };
    let mut r = Reader::new(text).map_err(invalid)?;
    let request = object(&mut r, &mut tail, memory)?;
    r.end().map_err(invalid)?;
    match body.len() - tail.at {
        0 => Ok(request),
        more => Err(invalid(format!("{more} bytes of binary data belong to no input"))),
    }
}

/// The bytes behind the JSON, taken piece by piece.
struct Tail<'a> {
    body: &'a Bytes,
    at: usize,
}

impl Tail<'_> {
    fn take(&mut self, size: u64) -> Read<Bytes> {
        let left = self.body.len() - self.at;
        let size = usize::try_from(size).ok().filter(|s| *s <= left);
        let size = size.ok_or_else(|| {
            format!("expected as much binary data as `binary_data_size` says, found {left} bytes")
        })?;
        let begin = self.at;
        self.at += size;
        Ok(self.body.slice(begin..self.at))
    }
}

fn object(r: &mut Reader<'_>, tail: &mut Tail<'_>, memory: &mut Memory<'_>) -> Result<Request, Refused> {
    let mut id = None;
    let (mut inputs, mut outputs, mut binary) = (None, None, None);
    r.punctuation(b'{', "an object with `inputs`").map_err(invalid)?;
    let mut first = true;
    while let Some(key) = r.key(first).map_err(invalid)? {
        first = false;
        match &*key {
            "id" => {
                let said = r.string("the request's id as a string").map_err(invalid)?;
                once(&mut id, "id", said.into_owned())?;
            }
            "inputs" => {
                let all = list(r, "the inputs as an array", |r| input(r, tail, memory))?;
                once(&mut inputs, "inputs", all)?;
            }
            "outputs" => {
                let all = list(r, "the outputs as an array", |r| output(r).map_err(invalid))?;
                once(&mut outputs, "outputs", all)?;
            }
            "parameters" => {
                let mut said = None;
                parameters(r, |r, key| flag(r, key, "binary_data_output", &mut said)).map_err(invalid)?;
                once(&mut binary, "parameters", said.unwrap_or(false))?;
            }
            _ => r.skip().map_err(invalid)?,
        }
    }
    let inputs = inputs.ok_or_else(|| invalid("the request has no `inputs`"))?;
    Ok(Request { id, inputs, outputs: outputs.unwrap_or_default(), binary: binary.unwrap_or(false) })
}

/// Keeps what a key says, unless it was said before.
fn once<T>(place: &mut Option<T>, key: &str, value: T) -> Result<(), Refused> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(invalid(format!("the key `{key}` is given twice"))),
    }
}

fn list<T>(
    r: &mut Reader<'_>,
    expected: &str,
    mut one: impl FnMut(&mut Reader<'_>) -> Result<T, Refused>,
) -> Result<Vec<T>, Refused> {
    r.punctuation(b'[', expected).map_err(invalid)?;
    let mut all = Vec::new();
    while r.item(all.is_empty()).map_err(invalid)? {
        if all.len() >= MAX_TENSORS {
            return Err(invalid(format!("there are more than {MAX_TENSORS} tensors")));
        }
        all.push(one(r)?);
    }
    Ok(all)
}

/// Reads an object of parameters; `known` says whether it has read the value of one.
fn parameters<'a>(
    r: &mut Reader<'a>,
    mut known: impl FnMut(&mut Reader<'a>, &str) -> Read<bool>,
) -> Read<()> {
    r.punctuation(b'{', "parameters as an object")?;
    let mut first = true;
    while let Some(key) = r.key(first)? {
        first = false;
        // Whoever asks for these would take the answer for another.
        if ["classification", "shared_memory_region"].contains(&&*key) {
            return Err(format!("the parameter `{key}` is not among what this server can do"));
        }
        if !known(r, &key)? {
            r.skip()?;
        }
    }
    Ok(())
}

/// Reads a boolean, where the key is the one that is meant.
fn flag(r: &mut Reader<'_>, key: &str, meant: &str, place: &mut Option<bool>) -> Read<bool> {
    if key != meant {
        return Ok(false);
    }
    let value = r.boolean().map_err(|e| format!("the parameter `{meant}`: {e}"))?;
    if place.replace(value).is_some() {
        return Err(format!("the parameter `{meant}` is given twice"));
    }
    Ok(true)
}

fn output(r: &mut Reader<'_>) -> Read<Wanted> {
    let (mut name, mut binary, mut seen) = (None, None, false);
    r.punctuation(b'{', "an output as an object")?;
    let mut first = true;
    while let Some(key) = r.key(first)? {
        first = false;
        match &*key {
            "name" => {
                let said = r.string("the output's name as a string")?.into_owned();
                if name.replace(said).is_some() {
                    return Err("the name of an output is given twice".into());
                }
            }
            "parameters" if seen => return Err("the parameters of an output are given twice".into()),
            "parameters" => {
                seen = true;
                parameters(r, |r, key| flag(r, key, "binary_data", &mut binary))?;
            }
            _ => r.skip()?,
        }
    }
    Ok(Wanted { name: name.ok_or("an output has no `name`")?, binary })
}

fn input(
    r: &mut Reader<'_>,
    tail: &mut Tail<'_>,
    memory: &mut Memory<'_>,
) -> Result<(String, Tensor), Refused> {
    let mut name = None;
    let tensor = fields(r, tail, memory, &mut name).map_err(|e| in_context(name.as_deref(), e))?;
    Ok((name.unwrap_or_default(), tensor))
}

/// Says which input an error is about.
fn in_context(name: Option<&str>, e: Refused) -> Refused {
    match (name, e) {
        (Some(name), Refused::Invalid(what)) => {
            Refused::Invalid(format!("the input `{}`: {what}", show_bytes(name.as_bytes())))
        }
        (_, e) => e,
    }
}

fn fields(
    r: &mut Reader<'_>,
    tail: &mut Tail<'_>,
    memory: &mut Memory<'_>,
    name: &mut Option<String>,
) -> Result<Tensor, Refused> {
    let (mut shape, mut dtype, mut data, mut later, mut size) = (None, None, None, None, None);
    let mut seen = false;
    r.punctuation(b'{', "an input as an object").map_err(invalid)?;
    let mut first = true;
    while let Some(key) = r.key(first).map_err(invalid)? {
        first = false;
        match &*key {
            "name" => {
                let said = r.string("the input's name as a string").map_err(invalid)?;
                once(name, "name", said.into_owned())?;
            }
            "shape" => once(&mut shape, "shape", dimensions(r).map_err(invalid)?)?,
            "datatype" => {
                let word = r.string("a datatype as a string").map_err(invalid)?;
                let known = datatype::parse(&word).ok_or_else(|| {
                    let found = beginning(&word);
                    invalid(format!("expected a datatype of the protocol, as in `FP32`, found {found}"))
                })?;
                once(&mut dtype, "datatype", known)?;
            }
            "data" => {
                if data.is_some() || later.is_some() {
                    return Err(invalid("the key `data` is given twice"));
                }
                match (dtype, &shape) {
                    (Some(dtype), Some(shape)) => data = Some(values::read(r, dtype, shape, memory)?),
                    // What they are is said after them: they are read a second time then.
                    _ => {
                        later = Some(r.clone());
                        r.skip().map_err(invalid)?;
                    }
                }
            }
            "parameters" => {
                if std::mem::replace(&mut seen, true) {
                    return Err(invalid("the key `parameters` is given twice"));
                }
                parameters(r, |r, key| {
                    if key != "binary_data_size" {
                        return Ok(false);
                    }
                    let text = r.number()?;
                    let number = text.parse::<u64>();
                    let number = number.map_err(|_| {
                        format!("expected a number of bytes for `{key}`, found {}", beginning(text))
                    })?;
                    match size.replace(number) {
                        None => Ok(true),
                        Some(_) => Err(format!("the parameter `{key}` is given twice")),
                    }
                })
                .map_err(invalid)?;
            }
            _ => r.skip().map_err(invalid)?,
        }
    }
    if name.is_none() {
        return Err(invalid("an input has no `name`"));
    }
    let shape = shape.ok_or_else(|| invalid("it has no `shape`"))?;
    let dtype = dtype.ok_or_else(|| invalid("it has no `datatype`"))?;
    match (size, data, later) {
        (Some(_), Some(_), _) | (Some(_), _, Some(_)) => {
            Err(invalid("it has both `data` and `binary_data_size`"))
        }
        (Some(size), None, None) => binary::read(tail.take(size).map_err(invalid)?, dtype, &shape, memory),
        (None, Some(tensor), _) => Ok(tensor),
        (None, None, Some(mut r)) => values::read(&mut r, dtype, &shape, memory),
        (None, None, None) => Err(invalid("it has neither `data` nor `binary_data_size`")),
    }
}

fn dimensions(r: &mut Reader<'_>) -> Read<Vec<usize>> {
    r.punctuation(b'[', "the shape as an array")?;
    let mut shape = Vec::new();
    while r.item(shape.is_empty())? {
        if shape.len() >= MAX_RANK {
            return Err(format!("the shape has more than {MAX_RANK} dimensions"));
        }
        let text = r.number()?;
        shape.push(
            text.parse().map_err(|_| format!("expected a size in the shape, found {}", beginning(text)))?,
        );
    }
    Ok(shape)
}
