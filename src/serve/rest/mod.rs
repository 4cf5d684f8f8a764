//! REST: the Open Inference Protocol, version 2, over HTTP/1.1.
//!
//! Requests and answers are JSON; tensors may lie behind it as bytes (the protocol's extension
//! `binary_tensor_data`). What the protocol leaves open is decided like this:
//!
//! - `platform` is `onnx_` and the library that runs the model, as in `onnx_tract`.
//! - The shape of a tensor whose rank is not known is `[-1]`; a scalar's is `[]`.
//! - A JSON answer that would hold `NaN`, an infinity, a string that is not UTF-8 or a half-width
//!   float is a 400 that says to ask for binary data. JSON has no word for them, and clients differ
//!   in what they make of `null` or `NaN`.
//! - Parameters that are not known are passed over, but for `classification` and shared memory.
//!
//! It does not listen (see [`super::listen`]) and does not run models (see [`Model`]).

mod answer;
mod binary;
mod body;
mod describe;
mod json;
mod request;
mod respond;
mod route;
#[cfg(test)]
mod tests;
mod values;

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, HeaderValue};
use http::{Method, Request, StatusCode};
use serde_json::json;
use tokio::time::Instant;

use super::metrics::{self, Metrics};
use super::model::{Infer, Model, Refused};
use crate::engine::tensor::elements;
use crate::error::show_bytes;
use answer::JSON_LENGTH;
use request::Memory;
use route::{Named, Route};

pub use answer::{Answer, Body};

/// From how many bytes on JSON is read and written where that may take its time.
const LARGE: usize = 64 << 10;

/// What answers requests over HTTP; from before its model is loaded until after it retired.
#[derive(Debug)]
pub struct Rest {
    name: String,
    metrics: Arc<Metrics>,
    model: OnceLock<Arc<Model>>,
}

impl Rest {
    /// A server that is live and not ready: its model, of this name, is still to come.
    pub fn new(name: String, metrics: Arc<Metrics>) -> Self {
        Self { name, metrics, model: OnceLock::new() }
    }

    /// Gives it the model, which it serves from now on. A second one is not taken.
    pub fn serves(&self, model: Arc<Model>) {
        let _second = self.model.set(model);
    }

    /// Answers a request.
    pub async fn answer<B>(&self, request: Request<B>) -> Answer
    where
        B: hyper::body::Body<Data = Bytes> + Unpin,
    {
        let came = Instant::now();
        let answer = self.route(request, came).await.unwrap_or_else(|why| *why);
        self.metrics.answered("rest", answer::code(answer.status()), came.elapsed());
        answer
    }

    async fn route<B>(&self, request: Request<B>, came: Instant) -> Result<Answer, Box<Answer>>
    where
        B: hyper::body::Body<Data = Bytes> + Unpin,
    {
        let (head, body) = request.into_parts();
        let Some(route) = Route::of(head.uri.path()) else {
            let path: String = head.uri.path().chars().take(200).collect();
            let message =
                format!("there is nothing at `{}`; `GET /` names the paths", show_bytes(path.as_bytes()));
            return Err(Box::new(answer::error(StatusCode::NOT_FOUND, &message)));
        };
        let read = head.method == Method::GET || head.method == Method::HEAD;
        let allowed = route.methods();
        if if allowed == "POST" { head.method != Method::POST } else { !read } {
            let method: String = head.method.as_str().chars().take(20).collect();
            return Err(Box::new(answer::not_allowed(&method, allowed)));
        }
        let ok = StatusCode::OK;
        Ok(match route {
            Route::Index => answer::text("text/plain; charset=utf-8", describe::index(&self.name)),
            Route::Metrics => answer::text(metrics::CONTENT_TYPE, self.metrics.text()),
            Route::Server => answer::json(ok, &describe::server()),
            Route::Live => answer::json(ok, &json!({"live": true})),
            Route::Ready => self.ready(&json!({"ready": true})),
            Route::Model(named) => answer::json(ok, &describe::model(self.named(&named)?)),
            Route::ModelReady(named) => {
                self.named(&named)?;
                self.ready(&json!({"name": named.name, "ready": true}))
            }
            Route::Infer(named) => {
                let model = Arc::clone(self.named(&named)?);
                infer(model, &head.headers, body, came).await?
            }
        })
    }

    /// The model, if it is the one that is meant.
    fn named(&self, named: &Named<'_>) -> Result<&Arc<Model>, Box<Answer>> {
        let refused = |why| Box::new(answer::refused(&why));
        let Some(model) = self.model.get() else {
            if named.name != self.name {
                let (asked, here) = (show_bytes(named.name.as_bytes()), show_bytes(self.name.as_bytes()));
                return Err(refused(Refused::Missing(format!(
                    "there is no model `{asked}` here, only `{here}`"
                ))));
            }
            return Err(refused(Refused::Stopping("the model is being loaded".into())));
        };
        model.is(&named.name, named.version.as_deref()).map_err(refused)?;
        Ok(model)
    }

    fn ready(&self, yes: &serde_json::Value) -> Answer {
        let why = match self.model.get() {
            None => "the model is being loaded",
            Some(model) if !model.is_ready() => "the server is stopping",
            Some(_) => return answer::json(StatusCode::OK, yes),
        };
        answer::json(StatusCode::SERVICE_UNAVAILABLE, &json!({"ready": false, "error": why}))
    }
}

/// Reads the request, has it computed, and writes the answer.
async fn infer<B>(
    model: Arc<Model>,
    headers: &HeaderMap,
    body: B,
    came: Instant,
) -> Result<Answer, Box<Answer>>
where
    B: hyper::body::Body<Data = Bytes> + Unpin,
{
    let refused = |why: Refused| Box::new(answer::refused(&why));
    let deadline = came + model.limits().deadline;
    plain(headers)?;
    let json = json_length(headers).map_err(refused)?;
    let body = body::read(body, model.bodies(), model.limits(), deadline).await?;
    let reader = Arc::clone(&model);
    let (mut asked, kept, forms) = unhurried(json.unwrap_or(body.len()), move || {
        let mut memory = Memory::new(reader.bodies());
        let asked = request::read(&body, json, &mut memory)?;
        let forms = respond::forms(&asked, &reader)?;
        Ok((asked, memory.kept(), forms))
    })
    .await
    .map_err(refused)?;
    let infer = Infer {
        inputs: std::mem::take(&mut asked.inputs),
        outputs: asked.outputs.into_iter().map(|o| o.name).collect(),
    };
    let done = model.infer_until(infer, deadline).await.map_err(refused)?;
    // From here on nothing of the request is held while room for the answer is waited for.
    drop(kept);
    let writer = Arc::clone(&model);
    let sizes = done.outputs.iter().map(|(_, t)| elements(t.shape()).unwrap_or(0));
    let large = sizes.fold(0, usize::saturating_add);
    let id = asked.id;
    let written = unhurried(large, move || respond::write(&writer, id.as_deref(), done.outputs, &forms))
        .await
        .map_err(refused)?;
    let room = tokio::time::timeout_at(deadline, model.bodies().room(written.len())).await;
    let room =
        room.map_err(|_| refused(Refused::Busy("other requests hold all memory for bodies".into())))?;
    Ok(written.answer(|last| room.hold(last)))
}

/// Does what takes long for large bodies on a thread where that is no harm.
async fn unhurried<T: Send + 'static>(
    size: usize,
    work: impl FnOnce() -> Result<T, Refused> + Send + 'static,
) -> Result<T, Refused> {
    if size < LARGE {
        return work();
    }
    let ended = tokio::task::spawn_blocking(work).await;
    ended.unwrap_or_else(|_| Err(Refused::Failed("the thread of the request ended".into())))
}

/// Refuses bodies that are compressed.
fn plain(headers: &HeaderMap) -> Result<(), Box<Answer>> {
    let Some(odd) = headers.get_all(CONTENT_ENCODING).iter().find(|v| *v != "identity" && !v.is_empty())
    else {
        return Ok(());
    };
    let shown: String = show_bytes(odd.as_bytes()).chars().take(40).collect();
    let message = format!("expected a body that is not encoded, found the content encoding `{shown}`");
    let mut answer = answer::last(answer::error(StatusCode::UNSUPPORTED_MEDIA_TYPE, &message));
    answer.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    Err(Box::new(answer))
}

/// How many bytes of the body are JSON, where the request says so.
fn json_length(headers: &HeaderMap) -> Result<Option<usize>, Refused> {
    let mut all = headers.get_all(JSON_LENGTH).iter();
    let (Some(value), None) = (all.next(), all.next()) else {
        return match headers.contains_key(JSON_LENGTH) {
            true => Err(Refused::Invalid("`Inference-Header-Content-Length` is given twice".into())),
            false => Ok(None),
        };
    };
    let digits = value.to_str().ok().filter(|v| v.bytes().all(|b| b.is_ascii_digit()));
    let number = digits.and_then(|v| v.parse().ok());
    number.map(Some).ok_or_else(|| {
        let shown: String = show_bytes(value.as_bytes()).chars().take(40).collect();
        Refused::Invalid(format!("expected a number for `Inference-Header-Content-Length`, found `{shown}`"))
    })
}
