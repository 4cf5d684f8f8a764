//! An answer: status, headers and body, and the one place where what is refused gets its status.
//!
//! Invariants: every error is `{"error": "…"}` as `application/json`; a body knows its length, so
//! that a connection can be used again.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use hyper::body::{Frame, SizeHint};
use serde_json::{Value, json};

use crate::serve::model::Refused;

/// Where the JSON of a request or answer ends and binary data begins.
pub(super) const JSON_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");
/// Seconds after which it is worth to ask again.
const SOON: HeaderValue = HeaderValue::from_static("1");

/// A body that lies in memory in a few pieces.
#[derive(Debug, Default)]
pub struct Body {
    pieces: VecDeque<Bytes>,
}

impl Body {
    pub(super) fn new(pieces: impl IntoIterator<Item = Bytes>) -> Self {
        Self { pieces: pieces.into_iter().filter(|p| !p.is_empty()).collect() }
    }

    pub(super) fn len(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.pieces.pop_front().map(|p| Ok(Frame::data(p))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len() as u64)
    }
}

/// What is answered.
pub type Answer = Response<Body>;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

pub(super) fn with(status: StatusCode, kind: HeaderValue, body: Body) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

/// JSON, which is small.
pub(super) fn json(status: StatusCode, value: &Value) -> Answer {
    with(status, JSON, Body::new([Bytes::from(value.to_string())]))
}

/// JSON that was written already.
pub(super) fn written(body: Body) -> Answer {
    with(StatusCode::OK, JSON, body)
}

/// Plain text.
pub(super) fn text(kind: &'static str, text: String) -> Answer {
    with(StatusCode::OK, HeaderValue::from_static(kind), Body::new([Bytes::from(text)]))
}

/// An error.
pub(super) fn error(status: StatusCode, message: &str) -> Answer {
    json(status, &json!({"error": message}))
}

/// The path is known, the method is not.
pub(super) fn not_allowed(method: &str, allowed: &'static str) -> Answer {
    let message = format!("expected {allowed}, found {method}");
    let mut answer = error(StatusCode::METHOD_NOT_ALLOWED, &message);
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

/// An error after which the rest of the request is not read.
pub(super) fn last(mut answer: Answer) -> Answer {
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

/// Why there is no answer, with the status that belongs to it.
pub(super) fn refused(why: &Refused) -> Answer {
    let (status, message) = match why {
        Refused::Invalid(m) => (StatusCode::BAD_REQUEST, m),
        Refused::Missing(m) => (StatusCode::NOT_FOUND, m),
        Refused::TooLarge(m) => (StatusCode::PAYLOAD_TOO_LARGE, m),
        Refused::Busy(m) | Refused::Stopping(m) => (StatusCode::SERVICE_UNAVAILABLE, m),
        Refused::Late(m) => (StatusCode::GATEWAY_TIMEOUT, m),
        Refused::Failed(m) => (StatusCode::INTERNAL_SERVER_ERROR, m),
    };
    let mut answer = error(status, message);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        answer.headers_mut().insert(RETRY_AFTER, SOON);
    }
    answer
}

/// The code as metrics have it.
pub(super) fn code(status: StatusCode) -> &'static str {
    match status.as_u16() {
        200 => "200",
        400 => "400",
        404 => "404",
        405 => "405",
        408 => "408",
        413 => "413",
        415 => "415",
        500 => "500",
        503 => "503",
        504 => "504",
        _ => "other",
    }
}
