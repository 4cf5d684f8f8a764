//! The body of an upload: one reading of the content, on a thread of its own, into one request.
//!
//! What is sent can be opened again and again ([`Content`]), so a body that was refused or cut is
//! simply read anew. Invariant: a body ends cleanly only after its source said that it was whole and
//! right; in every other case the request is torn down, so that no registry takes half a blob for one.

use std::io::{self, Read};
use std::sync::Arc;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use tokio::sync::mpsc::Sender;

use super::call::{Body, Reply, transmit};
use super::error::{Again, Failure, MAX_ERROR_BODY};
use super::pipe::{Pipe, piece};
use super::upload::{Attempt, Job};
use crate::blob::{Blob, Packed, Pass, Recipe};
use crate::error::{At, Error, Kind, Result};
use crate::event::{Event, checkpoint};
use crate::oci::Digest;

/// How many 401s one body gets past.
const MAX_CHALLENGES: u32 = 3;

/// What is sent; it can be opened again and again.
#[derive(Clone, Copy)]
pub(super) enum Content<'a> {
    Known(&'a dyn Blob),
    Made(&'a dyn Recipe),
}

/// One reading of it.
pub(super) enum Reading<'a> {
    Blob(Box<dyn Read + Send + 'a>),
    Pass(Box<dyn Pass + 'a>),
}

impl<'a> Content<'a> {
    fn open(self) -> Result<Reading<'a>> {
        Ok(match self {
            Self::Known(blob) => Reading::Blob(blob.open()?),
            Self::Made(recipe) => Reading::Pass(recipe.open()?),
        })
    }
}

impl Reading<'_> {
    fn reader(&mut self) -> &mut dyn Read {
        match self {
            Self::Blob(b) => b,
            Self::Pass(p) => p,
        }
    }

    fn finish(self) -> Result<Option<Packed>> {
        match self {
            Self::Blob(_) => Ok(None),
            Self::Pass(p) => p.finish().map(Some),
        }
    }
}

/// What came of sending a body.
pub(super) struct Sent {
    pub(super) reply: Reply,
    pub(super) bytes: u64,
    pub(super) packed: Option<Packed>,
}

/// Why the reading side ended, and how far it came.
enum Fed {
    Whole(u64, Option<Packed>),
    /// Nobody takes any more; the other side knows why.
    Cut(u64),
    Failed(u64, Error),
}

impl Job<'_> {
    /// Tells how many bytes more, or less, were read.
    pub(super) fn progress(&self, bytes: i64) {
        self.see.on(Event::Progress { id: self.id, bytes });
    }

    /// Makes the content once without sending it: a PUT of the whole has the digest in its URL.
    pub(super) fn hash(&mut self) -> Attempt<(Digest, u64)> {
        let mut reading = self.content.open()?;
        loop {
            checkpoint(self.see)?;
            if piece(reading.reader()).doing("make the content of a blob")?.is_empty() {
                break;
            }
        }
        let packed =
            reading.finish()?.ok_or_else(|| Error::new(Kind::Bug, "a pass ended without a digest"))?;
        let known = (packed.descriptor.digest, packed.descriptor.size);
        self.known = Some(known);
        self.packed = Some(packed);
        Ok(known)
    }

    /// Sends the content as the body of a request; gets past a 401 with a new reading.
    pub(super) fn body(
        &self,
        method: &Method,
        url: &Url,
        length: Option<u64>,
        sent: &mut u64,
    ) -> Attempt<Sent> {
        let (client, host) = (&self.registry.client, &self.registry.host);
        let mut challenges = 0;
        loop {
            checkpoint(self.see)?;
            let authorization =
                host.authorization(client, url, &self.registry.repository, &self.scope, true)?;
            let body = self.stream(method.clone(), url, length, authorization.as_ref(), sent)?;
            host.was_reached();
            if body.reply.status == StatusCode::UNAUTHORIZED
                && challenges < MAX_CHALLENGES
                && host.challenged(client, url, &body.reply.headers, authorization.as_ref())?
            {
                challenges += 1;
                self.progress(-i64::try_from(*sent).unwrap_or(i64::MAX));
                *sent = 0;
                continue;
            }
            if body.reply.status.is_success()
                && body.packed.is_none()
                && matches!(self.content, Content::Made(_))
            {
                return Err(Failure::after(Error::new(
                    Kind::Network,
                    format!("`{}` answered before it had the whole blob", self.registry.place()),
                )));
            }
            return Ok(body);
        }
    }

    /// One reading, on a thread of its own, into one request.
    fn stream(
        &self,
        method: Method,
        url: &Url,
        length: Option<u64>,
        authorization: Option<&HeaderValue>,
        sent: &mut u64,
    ) -> Attempt<Sent> {
        let client = &self.registry.client;
        let what = format!("send the blob to `{}`", self.registry.place());
        let reading = self.content.open()?;
        let (pipe, mouth) = Pipe::new();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        if let Some(value) = authorization {
            headers.insert(AUTHORIZATION, value.clone());
        }
        let (answer, fed) = std::thread::scope(|s| {
            let reader = s.spawn(|| self.feed(reading, mouth));
            let limit = client.settings().timeouts.commit;
            let answer = transmit(
                client,
                method,
                url.clone(),
                headers,
                Body::Stream(Arc::clone(&pipe), length),
                limit,
                &what,
            )
            .and_then(|response| Reply::read(client, response, MAX_ERROR_BODY, &what));
            // Whatever came of it, nobody takes more of this body.
            pipe.close();
            (answer, reader.join())
        });
        let fed = fed.map_err(|_| Error::new(Kind::Bug, "the thread that reads a blob panicked"))?;
        let (bytes, packed, complete) = match fed {
            Fed::Whole(bytes, packed) => (bytes, packed, true),
            Fed::Cut(bytes) => (bytes, None, false),
            Fed::Failed(bytes, error) => {
                *sent = bytes;
                // Content from another registry that arrived damaged may arrive better next time.
                let again = if error.kind() == Kind::Integrity { Again::Damaged } else { Again::Never };
                return Err(Failure { error, again });
            }
        };
        *sent = bytes;
        let reply = answer?;
        if !complete && reply.status.is_success() {
            return Err(Failure::after(Error::new(
                Kind::Network,
                format!(
                    "`{}` answered after {bytes} bytes, before it had the whole blob",
                    self.registry.place()
                ),
            )));
        }
        Ok(Sent { reply, bytes, packed })
    }

    /// Reads the content piece by piece into a pipe.
    fn feed(&self, mut reading: Reading<'_>, mouth: Sender<io::Result<Vec<u8>>>) -> Fed {
        let mut bytes = 0;
        let fail = |bytes, error: Error| {
            // The body must not end as if it were whole.
            let _ = mouth.blocking_send(Err(io::Error::from(io::ErrorKind::InvalidData)));
            Fed::Failed(bytes, error)
        };
        loop {
            if let Err(stop) = checkpoint(self.see) {
                return fail(bytes, stop);
            }
            match piece(reading.reader()).doing("read the content of a blob") {
                Ok(piece) if piece.is_empty() => break,
                Ok(piece) => {
                    let n = piece.len();
                    if mouth.blocking_send(Ok(piece)).is_err() {
                        return Fed::Cut(bytes);
                    }
                    bytes += n as u64;
                    self.progress(i64::try_from(n).unwrap_or(i64::MAX));
                }
                Err(error) => return fail(bytes, error),
            }
        }
        match reading.finish() {
            Ok(packed) => {
                if let (Some(packed), Some((digest, _))) = (&packed, self.known)
                    && packed.descriptor.digest != digest
                {
                    return fail(bytes, changed(packed.descriptor.digest, digest));
                }
                // Only now the body may end as if it were whole.
                drop(mouth);
                Fed::Whole(bytes, packed)
            }
            Err(error) => fail(bytes, error),
        }
    }
}

pub(super) fn changed(found: Digest, before: Digest) -> Error {
    Error::new(
        Kind::Model,
        format!("the content of a layer changed while it was published: {before} before, {found} now"),
    )
    .hint("nothing may write to the model's files meanwhile; publish again")
}
