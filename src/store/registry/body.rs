//! The body of an upload: the content, or a chunk of it, on a thread of its own, into one request.
//!
//! What is sent can be opened again and again ([`Content`]), so a body that was refused or cut is
//! simply read anew; a [`Cursor`] keeps one reading for all chunks as long as they follow each other.
//! Invariant: a body ends cleanly only after its source said that it was whole and right; in every
//! other case the request is torn down, so that no registry takes half a blob for one. (A chunk has a
//! length, and so has ended for the registry when its last byte came; what a source says after that
//! is an error before the upload is completed.)

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use reqwest::header::{AUTHORIZATION, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use tokio::sync::mpsc::Sender;

use super::call::{Body, Reply, transmit};
use super::error::{Again, Failure, MAX_ERROR_BODY};
use super::pipe::{PIECE, Pipe, piece};
use super::upload::{Attempt, Job};
use crate::blob::{Blob, Packed, Pass, Recipe};
use crate::error::{At, Error, Kind, Result};
use crate::event::{Event, Observe, checkpoint};
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

    /// How many bytes it has, where that is known before it is read.
    pub(super) fn size(self) -> Option<u64> {
        match self {
            Self::Known(blob) => Some(blob.descriptor().size),
            Self::Made(recipe) => recipe.size(),
        }
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

/// A reading, and where it is.
pub(super) struct Cursor<'a> {
    content: Content<'a>,
    reading: Option<Reading<'a>>,
    at: u64,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(content: Content<'a>) -> Self {
        Self { content, reading: None, at: 0 }
    }

    /// Goes to a place: onwards where that is possible, else from the start again. What is skipped is
    /// made and verified like what is sent.
    fn seek(&mut self, to: u64, see: &dyn Observe) -> Result<()> {
        if self.at > to || self.reading.is_none() {
            // The old one ends first: two at once would be twice the memory.
            self.reading = None;
            (self.reading, self.at) = (Some(self.content.open()?), 0);
        }
        while self.at < to {
            checkpoint(see)?;
            let room = usize::try_from(to - self.at).unwrap_or(PIECE);
            let n = self.read(room).doing("read again what the registry has of a blob")?.len();
            if n == 0 {
                return Err(ended(self.at, to));
            }
        }
        Ok(())
    }

    /// The next piece, of so many bytes at most.
    fn read(&mut self, room: usize) -> io::Result<Vec<u8>> {
        let Some(reading) = &mut self.reading else { return Ok(Vec::new()) };
        let piece = piece(reading.reader(), room)?;
        self.at += piece.len() as u64;
        Ok(piece)
    }
}

/// Which part of the content a body is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Span {
    /// All of it, of a length that is announced where it is given.
    All(Option<u64>),
    /// A chunk.
    Chunk {
        /// Its first byte.
        start: u64,
        /// Its bytes.
        length: u64,
        /// Whether the content ends with it.
        last: bool,
    },
}

impl Span {
    fn start(self) -> u64 {
        if let Self::Chunk { start, .. } = self { start } else { 0 }
    }

    fn length(self) -> Option<u64> {
        match self {
            Self::All(length) => length,
            Self::Chunk { length, .. } => Some(length),
        }
    }

    /// Whether the content ends with it.
    fn is_last(self) -> bool {
        !matches!(self, Self::Chunk { last: false, .. })
    }
}

/// What came of sending a body.
pub(super) struct Sent {
    pub(super) reply: Reply,
    pub(super) bytes: u64,
    pub(super) packed: Option<Packed>,
}

/// Why the reading side ended, and how many bytes it gave.
enum Fed {
    Whole(u64, Option<Packed>),
    /// Nobody takes any more; the other side knows why.
    Cut(u64),
    Failed(Error),
}

impl<'a> Job<'a> {
    /// Tells how far the blob is; an attempt that failed goes back.
    pub(super) fn tell(&self, position: u64) {
        let before = self.told.swap(position, Ordering::Relaxed);
        let bytes = i64::try_from(i128::from(position) - i128::from(before)).unwrap_or(i64::MAX);
        if bytes != 0 {
            self.see.on(Event::Progress { id: self.id, bytes });
        }
    }

    /// Makes the content once without sending it, where the digest is needed before the bytes.
    pub(super) fn hash(&mut self) -> Attempt<(Digest, u64)> {
        let mut reading = self.content.open()?;
        loop {
            checkpoint(self.see)?;
            if piece(reading.reader(), PIECE).doing("make the content of a blob")?.is_empty() {
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

    /// Sends the content, or a part of it, as the body of a request; gets past a 401 with a new reading.
    pub(super) fn body(
        &mut self,
        method: &Method,
        url: &Url,
        span: Span,
        cursor: &mut Cursor<'a>,
    ) -> Attempt<Sent> {
        let (client, host) = (&self.registry.client, &self.registry.host);
        let mut challenges = 0;
        loop {
            checkpoint(self.see)?;
            self.tell(span.start());
            let authorization =
                host.authorization(client, url, &self.registry.repository, &self.scope, true)?;
            let body = self.stream(method.clone(), url, span, authorization.as_ref(), cursor);
            self.cut |= matches!(&body, Err(f) if f.is_transient());
            let body = body?;
            host.was_reached();
            if body.reply.status == StatusCode::UNAUTHORIZED
                && challenges < MAX_CHALLENGES
                && host.challenged(client, url, &body.reply.headers, authorization.as_ref())?
            {
                challenges += 1;
                continue;
            }
            return Ok(body);
        }
    }

    /// A part of a reading, on a thread of its own, into one request.
    fn stream(
        &self,
        method: Method,
        url: &Url,
        span: Span,
        authorization: Option<&HeaderValue>,
        cursor: &mut Cursor<'a>,
    ) -> Attempt<Sent> {
        let client = &self.registry.client;
        let what = format!("send the blob to `{}`", self.registry.place());
        cursor.seek(span.start(), self.see).map_err(broken_content)?;
        let (pipe, mouth) = Pipe::new();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        if let Some(value) = authorization {
            headers.insert(AUTHORIZATION, value.clone());
        }
        if let Span::Chunk { start, length, .. } = span {
            // Without a unit: that is how the distribution specification has it.
            let range = format!("{start}-{}", (start + length).saturating_sub(1));
            headers.insert(
                CONTENT_RANGE,
                HeaderValue::from_str(&range)
                    .map_err(|e| Error::new(Kind::Bug, "a range is no header").because(e))?,
            );
        }
        let (answer, fed) = std::thread::scope(|s| {
            let reader = s.spawn(|| self.feed(cursor, span, mouth));
            let limit = client.settings().timeouts.commit;
            let body = Body::Stream(Arc::clone(&pipe), span.length());
            let answer = transmit(client, method, url.clone(), headers, body, limit, &what)
                .and_then(|response| Reply::read(client, response, MAX_ERROR_BODY, &what));
            // Whatever came of it, nobody takes more of this body.
            pipe.close();
            (answer, reader.join())
        });
        let fed = fed.map_err(|_| Error::new(Kind::Bug, "the thread that reads a blob panicked"))?;
        let (bytes, packed, complete) = match fed {
            Fed::Whole(bytes, packed) => (bytes, packed, true),
            Fed::Cut(bytes) => (bytes, None, false),
            Fed::Failed(error) => return Err(broken_content(error)),
        };
        let reply = answer?;
        if !complete && reply.status.is_success() {
            return Err(Failure::after(Error::new(
                Kind::Network,
                format!(
                    "`{}` answered after {bytes} bytes, before it had all that was sent",
                    self.registry.place()
                ),
            )));
        }
        Ok(Sent { reply, bytes, packed })
    }

    /// Reads a part of the content piece by piece into a pipe.
    fn feed(&self, cursor: &mut Cursor<'_>, span: Span, mouth: Sender<io::Result<Vec<u8>>>) -> Fed {
        let fed = self.pour(cursor, span, &mouth).unwrap_or_else(|error| {
            // The body must not end as if it were whole, and this reading is of no use any more.
            let _ = mouth.blocking_send(Err(io::Error::from(io::ErrorKind::InvalidData)));
            cursor.reading = None;
            Fed::Failed(error)
        });
        // Only now the body may end.
        drop(mouth);
        fed
    }

    fn pour(&self, cursor: &mut Cursor<'_>, span: Span, mouth: &Sender<io::Result<Vec<u8>>>) -> Result<Fed> {
        let length = if let Span::Chunk { length, .. } = span { Some(length) } else { None };
        let mut bytes = 0;
        loop {
            checkpoint(self.see)?;
            let left = length.map(|l| l - bytes);
            if left == Some(0) && !span.is_last() {
                return Ok(Fed::Whole(bytes, None));
            }
            // After the last byte one more is asked for: the end is where a source says that all was right.
            let room = left.filter(|l| *l > 0).and_then(|l| usize::try_from(l).ok()).unwrap_or(PIECE);
            let piece = cursor.read(room).doing("read the content of a blob")?;
            if piece.is_empty() {
                break;
            }
            if left == Some(0) {
                return Err(Error::new(Kind::Model, "the content of a layer grew while it was published")
                    .hint(MEANWHILE));
            }
            let n = piece.len() as u64;
            if mouth.blocking_send(Ok(piece)).is_err() {
                return Ok(Fed::Cut(bytes));
            }
            bytes += n;
            self.tell(span.start() + bytes);
        }
        if let Some(length) = length.filter(|l| bytes < *l) {
            return Err(ended(span.start() + bytes, span.start() + length));
        }
        let packed = cursor.reading.take().map(Reading::finish).transpose()?.flatten();
        if let (Some(packed), Some((digest, _))) = (&packed, self.known)
            && packed.descriptor.digest != digest
        {
            return Err(changed(packed.descriptor.digest, digest));
        }
        Ok(Fed::Whole(bytes, packed))
    }
}

/// A failure of the content, not of the registry.
fn broken_content(error: Error) -> Failure {
    // Content from another registry that arrived damaged may arrive better next time.
    let again = if error.kind() == Kind::Integrity { Again::Damaged } else { Again::Never };
    Failure { error, again }
}

const MEANWHILE: &str = "nothing may write to the model's files meanwhile; publish again";

fn ended(found: u64, expected: u64) -> Error {
    Error::new(
        Kind::Model,
        format!(
            "the content of a layer changed while it was published: {expected} bytes before, {found} now"
        ),
    )
    .hint(MEANWHILE)
}

pub(super) fn changed(found: Digest, before: Digest) -> Error {
    Error::new(
        Kind::Model,
        format!("the content of a layer changed while it was published: {before} before, {found} now"),
    )
    .hint(MEANWHILE)
}
