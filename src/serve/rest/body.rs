//! The body of a request, read into memory that was taken for it before.
//!
//! Invariant: no byte is read before there is room for all of them; reading ends at the deadline.

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::time::{Instant, timeout_at};

use super::answer::{self, Answer, last};
use crate::serve::bodies::Bodies;
use crate::serve::model::{Limits, Refused};

/// Reads a whole body.
///
/// # Errors
///
/// The answer to give: 413 when it is larger than the limit, 503 when there is no room for it, 408
/// when it does not come in time. The rest of it is not read then.
pub(super) async fn read<B>(
    mut body: B,
    bodies: &Bodies,
    limits: &Limits,
    deadline: Instant,
) -> Result<Bytes, Box<Answer>>
where
    B: Body<Data = Bytes> + Unpin,
{
    let declared = body.size_hint().exact();
    let too_large = || {
        let message =
            format!("the body is larger than {} bytes, which is all this server takes", limits.body);
        Box::new(last(answer::refused(&Refused::TooLarge(message))))
    };
    let declared = match declared.map(usize::try_from) {
        Some(Ok(bytes)) if bytes <= limits.body => Some(bytes),
        Some(_) => return Err(too_large()),
        None => None,
    };
    let room = timeout_at(deadline, bodies.room(declared.unwrap_or(limits.body))).await;
    let mut room = room.map_err(|_| {
        let message = "other requests hold all memory for bodies".to_owned();
        Box::new(last(answer::refused(&Refused::Busy(message))))
    })?;
    let late = |found: usize| {
        let of = declared.map_or(String::new(), |d| format!(" of {d}"));
        let ms = limits.deadline.as_millis();
        let message = format!("the body did not come within {ms} ms: found {found}{of} bytes");
        Box::new(last(answer::error(http::StatusCode::REQUEST_TIMEOUT, &message)))
    };
    let mut all = Vec::new();
    loop {
        let Some(frame) = timeout_at(deadline, body.frame()).await.map_err(|_| late(all.len()))? else {
            break;
        };
        let Ok(frame) = frame else {
            let message = format!("the body broke off after {} bytes", all.len());
            return Err(Box::new(last(answer::refused(&Refused::Invalid(message)))));
        };
        let Ok(piece) = frame.into_data() else { continue };
        if all.is_empty() && declared == Some(piece.len()) {
            return Ok(room.hold(piece));
        }
        if piece.len() > limits.body - all.len() {
            return Err(too_large());
        }
        if all.is_empty() {
            all.reserve_exact(declared.unwrap_or(piece.len()));
        }
        all.extend_from_slice(&piece);
    }
    room.shrink(all.len());
    Ok(room.hold(all))
}
