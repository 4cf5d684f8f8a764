//! The answer to a request to infer: JSON, and binary data behind it where that was asked for.
//!
//! Invariant: what JSON cannot carry is refused before the engine runs where the dtype tells, and
//! after it where a value does; nothing is replaced by something else.

use bytes::Bytes;
use http::{HeaderValue, StatusCode};

use super::answer::{self, Answer, Body, JSON_LENGTH};
use super::request::Request;
use super::{binary, values};
use crate::engine::Tensor;
use crate::engine::tensor::elements;
use crate::serve::datatype;
use crate::serve::model::{Model, Refused};

/// Bytes of JSON that one number takes, about.
const NUMBER: usize = 10;

/// Whether each output goes as binary data, in the order in which outputs are given.
pub(super) fn forms(request: &Request, model: &Model) -> Result<Vec<bool>, Refused> {
    let ports = model.engine().outputs();
    let all: Vec<(&str, bool)> = if request.outputs.is_empty() {
        ports.iter().map(|p| (p.name.as_str(), request.binary)).collect()
    } else {
        request.outputs.iter().map(|o| (o.name.as_str(), o.binary.unwrap_or(request.binary))).collect()
    };
    for (name, binary) in &all {
        if let Some(port) = ports.iter().find(|p| p.name == *name)
            && !binary
            && !values::has_json(port.dtype)
        {
            return Err(Refused::Invalid(values::no_json(name, port.dtype)));
        }
    }
    Ok(all.into_iter().map(|(_, binary)| binary).collect())
}

/// An answer that was written, and how many of its bytes are JSON.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) json: Vec<u8>,
    pub(super) tail: Vec<Bytes>,
}

/// Writes the outputs.
///
/// # Errors
///
/// [`Refused::Invalid`] when an output cannot be said in the form that was asked for.
pub(super) fn write(
    model: &Model,
    id: Option<&str>,
    outputs: Vec<(String, Tensor)>,
    forms: &[bool],
) -> Result<Written, Refused> {
    let numbers = |(t, binary): (&Tensor, &bool)| if *binary { 0 } else { elements(t.shape()).unwrap_or(0) };
    let estimate = outputs.iter().map(|(_, t)| t).zip(forms).map(numbers).fold(0, usize::saturating_add);
    let mut json = Vec::with_capacity(estimate.saturating_mul(NUMBER).saturating_add(512));
    let mut tail = Vec::new();
    json.extend_from_slice(b"{\"model_name\":");
    string(model.name(), &mut json);
    json.extend_from_slice(b",\"model_version\":");
    string(model.version(), &mut json);
    if let Some(id) = id {
        json.extend_from_slice(b",\"id\":");
        string(id, &mut json);
    }
    json.extend_from_slice(b",\"outputs\":[");
    for (i, ((name, tensor), binary)) in outputs.into_iter().zip(forms).enumerate() {
        if i > 0 {
            json.push(b',');
        }
        json.extend_from_slice(b"{\"name\":");
        string(&name, &mut json);
        json.extend_from_slice(b",\"datatype\":");
        string(datatype::word(tensor.dtype()).unwrap_or(tensor.dtype().name()), &mut json);
        json.extend_from_slice(b",\"shape\":[");
        for (i, size) in tensor.shape().iter().enumerate() {
            if i > 0 {
                json.push(b',');
            }
            json.extend_from_slice(size.to_string().as_bytes());
        }
        if *binary {
            let bytes = binary::write(&name, tensor.into_data()).map_err(Refused::Invalid)?;
            json.extend_from_slice(b"],\"parameters\":{\"binary_data_size\":");
            json.extend_from_slice(bytes.len().to_string().as_bytes());
            json.extend_from_slice(b"}}");
            tail.push(bytes);
        } else {
            json.extend_from_slice(b"],\"data\":");
            values::write(&name, &tensor, &mut json).map_err(Refused::Invalid)?;
            json.push(b'}');
        }
    }
    json.extend_from_slice(b"]}");
    Ok(Written { json, tail })
}

fn string(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("a vector takes what is written");
}

impl Written {
    /// How many bytes there are.
    pub(super) fn len(&self) -> usize {
        self.tail.iter().map(Bytes::len).fold(self.json.len(), usize::saturating_add)
    }

    /// The answer; `hold` gives the last of its pieces the memory that they all take.
    pub(super) fn answer(self, hold: impl FnOnce(Bytes) -> Bytes) -> Answer {
        let length = self.json.len();
        let mut pieces = vec![Bytes::from(self.json)];
        let binary = !self.tail.is_empty();
        pieces.extend(self.tail.into_iter().filter(|p| !p.is_empty()));
        if let Some(last) = pieces.pop() {
            pieces.push(hold(last));
        }
        if !binary {
            return answer::written(Body::new(pieces));
        }
        let kind = HeaderValue::from_static("application/octet-stream");
        let mut answer = answer::with(StatusCode::OK, kind, Body::new(pieces));
        answer.headers_mut().insert(JSON_LENGTH, HeaderValue::from(length));
        answer
    }
}
