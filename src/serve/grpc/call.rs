//! One call with one message each way, as gRPC lays it on HTTP/2.
//!
//! A message has five bytes before it, a flag and its length, which is known before the message is
//! read: memory is set aside for it first. What the messages mean is [`super::service`]'s business.
//! Source: gRPC's `PROTOCOL-HTTP2.md`.
//!
//! Invariants: no more of a message is read than there is room for; an error's text is short enough
//! for a header, whatever names from outside it shows.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderValue};
use http_body_util::{BodyExt, Full};
use prost::Message;
use tonic::body::Body;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

use crate::serve::Refused;
use crate::serve::bodies::Bodies;

/// Flag and length before a message.
const PREFIX: usize = 5;
/// The longest text of an error, in bytes; clients take 8 KiB of headers, each byte may become three.
const TEXT: usize = 2000;

/// The status that tells a caller of a refusal.
pub(super) fn status(refused: Refused) -> Status {
    let (code, text) = match refused {
        Refused::Invalid(text) => (Code::InvalidArgument, text),
        Refused::Missing(text) => (Code::NotFound, text),
        Refused::TooLarge(text) => (Code::ResourceExhausted, text),
        Refused::Busy(text) | Refused::Stopping(text) => (Code::Unavailable, text),
        Refused::Late(text) => (Code::DeadlineExceeded, text),
        Refused::Failed(text) => (Code::Internal, text),
    };
    Status::new(code, shortened(text))
}

/// A status for what is wrong with the request.
pub(super) fn invalid(text: impl Into<String>) -> Status {
    status(Refused::Invalid(text.into()))
}

fn shortened(mut text: String) -> String {
    if text.len() > TEXT {
        text.truncate(text.floor_char_boundary(TEXT));
        text.push('…');
    }
    text
}

/// A code's name in gRPC's documents.
pub(super) fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// Whether a request's content type is gRPC's, with messages in protobuf.
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    let found = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let rest = found.strip_prefix(b"application/grpc");
    let rest = rest.map(|r| r.strip_prefix(b"+proto").unwrap_or(r));
    rest.is_some_and(|r| matches!(r.first(), None | Some(b';')))
}

/// How long the caller waits, from the header `grpc-timeout`; `None` where it does not say.
///
/// # Errors
///
/// When it is not up to eight digits and a unit.
pub(super) fn patience(headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    let Some(value) = headers.get("grpc-timeout") else { return Ok(None) };
    let bad = || invalid("`grpc-timeout`: expected up to eight digits and one of H, M, S, m, u, n");
    let (unit, digits) = value.as_bytes().split_last().ok_or_else(bad)?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(bad());
    }
    let n = digits.iter().fold(0u64, |n, d| n * 10 + u64::from(d - b'0'));
    Ok(Some(match unit {
        b'H' => Duration::from_secs(n * 3600),
        b'M' => Duration::from_secs(n * 60),
        b'S' => Duration::from_secs(n),
        b'm' => Duration::from_millis(n),
        b'u' => Duration::from_micros(n),
        b'n' => Duration::from_nanos(n),
        _ => return Err(bad()),
    }))
}

/// Reads the one message of a call, after taking room for it.
///
/// # Errors
///
/// When it is longer than `limit` bytes, is not alone, is compressed, or the caller went away.
pub(super) async fn receive<B>(mut body: B, limit: usize, bodies: &Bodies) -> Result<Bytes, Status>
where
    B: hyper::body::Body<Data = Bytes> + Unpin,
{
    let mut have = Bytes::new();
    while have.len() < PREFIX {
        let Some(more) = data(&mut body).await? else {
            return Err(invalid(match have.len() {
                0 => "expected a message, found none",
                _ => "the call ends inside the five bytes before its message",
            }));
        };
        have = if have.is_empty() { more } else { [have, more].concat().into() };
    }
    match have.get_u8() {
        0 => (),
        1 => {
            let why = "the message is compressed; this server takes messages as they are";
            let mut status = Status::unimplemented(why);
            status.metadata_mut().insert("grpc-accept-encoding", MetadataValue::from_static("identity"));
            return Err(status);
        }
        flag => return Err(invalid(format!("expected the flag 0 before the message, found {flag}"))),
    }
    let length = usize::try_from(have.get_u32()).unwrap_or(usize::MAX);
    if length > limit {
        return Err(status(Refused::TooLarge(format!(
            "the message has {length} bytes, at most {limit} are taken"
        ))));
    }
    let room = bodies.room(length).await;
    let second = || invalid("expected one message, found more behind it");
    // A small message comes in one piece, and is not copied.
    if have.len() < length {
        let mut all = BytesMut::with_capacity(length);
        all.extend_from_slice(&have);
        while all.len() < length {
            let Some(more) = data(&mut body).await? else {
                let found = all.len();
                return Err(invalid(format!("expected a message of {length} bytes, found {found}")));
            };
            if more.len() > length - all.len() {
                return Err(second());
            }
            all.extend_from_slice(&more);
        }
        have = all.freeze();
    }
    if have.len() > length || data(&mut body).await?.is_some() {
        return Err(second());
    }
    Ok(room.hold(have))
}

/// The next bytes of a body; `None` at its end.
async fn data<B>(body: &mut B) -> Result<Option<Bytes>, Status>
where
    B: hyper::body::Body<Data = Bytes> + Unpin,
{
    loop {
        let Some(frame) = body.frame().await else { return Ok(None) };
        let frame = frame.map_err(|_| Status::cancelled("the caller went away"))?;
        match frame.into_data() {
            Ok(data) if !data.is_empty() => return Ok(Some(data)),
            // Trailers, which requests do not have, mean nothing.
            _ => (),
        }
    }
}

/// Reads a message's fields.
///
/// # Errors
///
/// When it is none of that type.
pub(super) fn decode<M: Message + Default>(message: Bytes) -> Result<M, Status> {
    M::decode(message).map_err(|e| invalid(format!("the message is not what the method takes: {e}")))
}

/// Writes a message with its five bytes before it, and waits for room for that.
///
/// The message may share memory with the request; it is gone before the waiting begins, so that
/// nobody who holds room waits for more.
///
/// # Errors
///
/// When it is longer than gRPC can say.
pub(super) async fn encode<M: Message>(message: M, bodies: &Bodies) -> Result<Bytes, Status> {
    let length = message.encoded_len();
    let Ok(said) = u32::try_from(length) else {
        let most = u32::MAX;
        let why = format!("the answer has {length} bytes, at most {most} can be sent");
        return Err(status(Refused::Failed(why)));
    };
    let mut out = BytesMut::with_capacity(length.saturating_add(PREFIX));
    out.put_u8(0);
    out.put_u32(said);
    message.encode_raw(&mut out);
    drop(message);
    Ok(bodies.room(out.len()).await.hold(out.freeze()))
}

/// An answer with one message, which was given its five bytes, and the status OK.
pub(super) fn ok(message: Bytes) -> http::Response<Body> {
    let mut trailers = HeaderMap::new();
    trailers.insert(Status::GRPC_STATUS, HeaderValue::from_static("0"));
    let trailers = std::future::ready(Some(Ok(trailers)));
    let mut response = http::Response::new(Body::new(Full::new(message).with_trailers(trailers)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// Runs something to its end, or to its panic.
///
/// # Errors
///
/// When it panicked.
pub(super) async fn contained<F: Future>(future: F) -> Result<F::Output, Status> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| {
        let poll = AssertUnwindSafe(|| future.as_mut().poll(cx));
        match std::panic::catch_unwind(poll) {
            Ok(poll) => poll.map(Ok),
            Err(_) => Poll::Ready(Err(Status::internal("the server failed at this request"))),
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c46_refusals_have_the_codes_of_grpc() {
        let text = || "why".to_owned();
        for (refused, code) in [
            (Refused::Invalid(text()), "INVALID_ARGUMENT"),
            (Refused::Missing(text()), "NOT_FOUND"),
            (Refused::TooLarge(text()), "RESOURCE_EXHAUSTED"),
            (Refused::Busy(text()), "UNAVAILABLE"),
            (Refused::Stopping(text()), "UNAVAILABLE"),
            (Refused::Late(text()), "DEADLINE_EXCEEDED"),
            (Refused::Failed(text()), "INTERNAL"),
        ] {
            let status = status(refused);
            assert_eq!((name(status.code()), status.message()), (code, "why"));
        }
    }

    #[test]
    fn c46_a_callers_patience_has_six_units() {
        let patience = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", HeaderValue::from_static(value));
            patience(&headers).map_err(|e| e.code())
        };
        for (value, wanted) in [
            ("2H", Duration::from_secs(7200)),
            ("3M", Duration::from_secs(180)),
            ("99999999S", Duration::from_secs(99_999_999)),
            ("20m", Duration::from_millis(20)),
            ("5u", Duration::from_micros(5)),
            ("0n", Duration::ZERO),
        ] {
            assert_eq!(patience(value), Ok(Some(wanted)), "{value}");
        }
        for value in ["", "S", "100000000S", "1", "1s", "+1S"] {
            assert_eq!(patience(value), Err(Code::InvalidArgument), "{value}");
        }
    }

    #[test]
    fn c46_only_grpc_in_protobuf_is_grpc() {
        let is = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(value));
            is_grpc(&headers)
        };
        assert!(["application/grpc", "application/grpc+proto", "application/grpc; x=y"].into_iter().all(is));
        let others = [
            "",
            "application/json",
            "application/grpc+json",
            "application/grpc-web",
            "text/application/grpc",
        ];
        assert!(!others.into_iter().any(is));
    }

    #[tokio::test]
    async fn a_panic_is_the_one_calls() {
        let status = contained(async { panic!("a reason that stays inside") }).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Internal, "the server failed at this request"));
        assert_eq!(contained(async { 7 }).await.unwrap(), 7);
    }
}
