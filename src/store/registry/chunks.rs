//! A blob in chunks: PATCHes with `Content-Range`, one after the other, which can go on after a cut.
//!
//! A chunk is streamed like everything else: no more of it is in memory than of any other body. One
//! reading of the content serves all chunks; a chunk that has to be sent again is read again from
//! the start of the content, which is made and verified anew up to where the registry is, so that
//! the digest at the end is of one whole reading. After each chunk the journal is told.
//!
//! Not here: when chunks are used ([`super::habits`], `upload`), and what a session's `Range` means
//! (`session`).

use reqwest::{Method, StatusCode};

use super::body::{Cursor, Span};
use super::call::Reply;
use super::error::{Again, Failure, is_transient};
use super::habits::{self, MAX_CHUNK, SMALL, Unfit, Way};
use super::journal::{Record, State};
use super::session::Session;
use super::transport::locked;
use super::upload::{Attempt, Job, SEND};
use crate::error::{Error, Kind};
use crate::event::Event;

impl Job<'_> {
    /// Sends what the session does not have yet, and ends it.
    pub(super) fn put_chunks(&mut self, mut session: Session) -> Attempt<()> {
        let size = self.size().ok_or_else(|| {
            Error::new(Kind::Bug, "chunks of a blob whose size is not known were to be sent")
        })?;
        let mut cursor = Cursor::new(self.content);
        while session.at < size {
            let length = self.chunk(&session)?.min(size - session.at);
            let span = Span::Chunk { start: session.at, length, last: session.at + length == size };
            let sent = self.body(&Method::PATCH, &session.url, span, &mut cursor);
            if matches!(&sent, Err(f) if f.is_transient()) && length > SMALL {
                // Where a connection does not live long enough, less may get through.
                self.ceiling = habits::below(length);
            }
            let sent = sent?;
            session = self.took(&session, length, &sent.reply)?;
            if let Some(packed) = sent.packed {
                self.known = Some((packed.descriptor.digest, packed.descriptor.size));
                self.packed = Some(packed);
            }
            self.tell(session.at);
            self.note(&session);
            self.open = Some(session.clone());
        }
        if self.known.is_none() {
            // All bytes were there before this reading could come to their end.
            self.hash()?;
        }
        self.commit(&session.url)
    }

    /// Bytes of the next chunk.
    fn chunk(&self, session: &Session) -> Attempt<u64> {
        let wanted = self.registry.client.settings().uploads.chunk;
        let wanted = self.ceiling.map_or(wanted, |c| c.min(wanted));
        let largest = locked(&self.registry.host.habits).largest;
        habits::chunk(wanted, largest, session.least).map_err(|unfit| {
            let place = self.registry.place();
            let why = match unfit {
                Unfit::Demand(least) => format!(
                    "`{place}` wants chunks of {least} bytes at least, and floe sends {MAX_CHUNK} at most"
                ),
                Unfit::Contradiction(least, largest) => format!(
                    "`{place}` wants chunks of {least} bytes at least, but refused more than {largest}"
                ),
            };
            let error = Error::new(Kind::Denied, format!("cannot {SEND} in chunks: {why}"))
                .hint("ask who runs the registry to lower its minimum; `--upload whole` sends no chunks");
            Failure { error, again: Again::Otherwise(StatusCode::PAYLOAD_TOO_LARGE) }
        })
    }

    /// What the answer to a chunk means: where the session is now.
    fn took(&mut self, session: &Session, length: u64, reply: &Reply) -> Attempt<Session> {
        let status = reply.status;
        if status.is_success() {
            return self.confirm(session, session.at + length, reply);
        }
        let out_of_step = reply.header("range").is_some();
        match status {
            StatusCode::PAYLOAD_TOO_LARGE => {
                return Err(self.too_large(length, habits::below(length), reply));
            }
            StatusCode::RANGE_NOT_SATISFIABLE if length > SMALL && !out_of_step => {
                return Err(self.too_large(length, Some(SMALL), reply));
            }
            StatusCode::RANGE_NOT_SATISFIABLE if out_of_step => return Err(self.lost(SEND, reply)),
            s if session.at == 0 && habits::is_unsupported(s) => {
                let error = self.refused(SEND, reply).error;
                return Err(Failure { error, again: Again::Otherwise(s) });
            }
            StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND => self.open = None,
            StatusCode::RANGE_NOT_SATISFIABLE => {}
            s => {
                self.busy = is_transient(s);
                return Err(self.refused(SEND, reply));
            }
        }
        Err(self.lost(SEND, reply))
    }

    /// Remembers that so much is too much.
    fn too_large(&self, length: u64, next: Option<u64>, reply: &Reply) -> Failure {
        let error = self.refused(SEND, reply).error;
        let Some(next) = next else {
            let error = error.hint(format!(
                "it refuses even chunks of {length} bytes; ask who runs the registry, or the proxy before it, to \
                 raise the limit"
            ));
            return Failure { error, again: Again::Otherwise(reply.status) };
        };
        let mut habits = locked(&self.registry.host.habits);
        habits.largest = Some(habits.largest.map_or(next, |l| l.min(next)));
        Failure { error, again: Again::Smaller }
    }

    /// Looks for an upload that an earlier run began, and takes it up where the registry still has it.
    pub(super) fn take_up(&mut self) -> Attempt<()> {
        let uploads = &self.registry.client.settings().uploads;
        let (Some(folder), Some((digest, size))) = (&uploads.journal, self.known) else { return Ok(()) };
        if self.record.is_none() {
            self.record = Record::open(folder, &self.registry.place(), digest);
        }
        let Some(record) = &mut self.record else { return Ok(()) };
        let Some(State::Session { url, offset, chunk }) = record.state() else { return Ok(()) };
        if self.fixed().is_some_and(|way| way != Way::Chunked) || self.open.as_ref().is_some_and(|s| s.at > 0)
        {
            return Ok(());
        }
        let found = match self.recorded(&url, offset)? {
            Some(session) => {
                // Where it cannot be asked now, this is what is asked again.
                let before = self.open.replace(session.clone());
                let found = self.status(&session)?;
                self.open = before;
                found
            }
            None => None,
        };
        match found {
            // Less than what it had confirmed is another session than ours, or a broken one.
            Some(mut session) if session.at >= offset && session.at <= size => {
                // More than floe would send by itself is what the registry wants at least.
                session.least = Some(chunk).filter(|c| *c > uploads.chunk && *c <= MAX_CHUNK);
                let message = format!(
                    "{digest} goes on in `{}` after {} of {size} bytes, which an earlier run has sent",
                    self.registry.place(),
                    session.at
                );
                self.see.on(Event::Note { message });
                self.way = Way::Chunked;
                self.ceiling = Some(chunk.max(habits::MIN_CHUNK));
                self.tell(session.at);
                self.open = Some(session);
            }
            _ => {
                if let Some(record) = &self.record {
                    record.clear();
                }
            }
        }
        Ok(())
    }

    /// Tells the journal how far the session is.
    fn note(&mut self, session: &Session) {
        // A session elsewhere could not be asked again: its URL is not of this registry.
        if !self.registry.host.owns(&session.url) {
            return;
        }
        let Ok(chunk) = self.chunk(session) else { return };
        if let Some(record) = &mut self.record {
            record.note(State::Session { url: session.url.as_str().to_owned(), offset: session.at, chunk });
        }
    }
}
