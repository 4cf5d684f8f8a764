//! Sending blobs: look, mount, upload; and once more where something breaks.
//!
//! The usual body is one streaming PATCH with chunked encoding, as Docker sends it: nearly every
//! registry takes that, and the digest is needed only by the PUT that ends the upload, so that
//! content can be hashed while it is sent. A registry that refuses it gets a PUT of the whole or
//! chunks, by what its refusal says ([`super::habits`]); what worked is remembered for the run.
//!
//! After a failure the registry is asked what it has: the blob, since an answer can be lost after the
//! deed; or a part of it, from which the upload then goes on in chunks. Where it has nothing any
//! more, as most of them after a cut, that one blob starts anew.

use std::sync::atomic::{AtomicU64, Ordering};

use oci_client::errors::OciErrorCode;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, StatusCode, Url};

use super::Registry;
use super::auth::Scope;
use super::body::{Content, Cursor, Span, changed};
use super::call::{Reply, Target, next_pause, retrying};
use super::error::{Again, Failure, MAX_ERROR_BODY, has_code, is_transient};
use super::habits::{self, MAX_CHUNK, Way};
use super::journal::{self, Record, State};
use super::patience::{is_set, nap};
use super::session::{Mount, Session};
use super::transport::locked;
use crate::blob::{Blob, Packed, Recipe};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Observe, checkpoint};
use crate::oci::{Descriptor, Digest};
use crate::store::{Outcome, Presence};

/// How often damaged content is sent again.
const MAX_DAMAGED: u32 = 1;
/// How often the last PUT of an upload is repeated in its session.
const MAX_COMMITS: u32 = 2;
/// Cuts after which a blob goes in chunks: connections seem to be cut after a time or a size.
const MAX_CUTS: u32 = 2;
/// Content from this size on is hashed before it goes in chunks, where there is a journal: only under
/// its digest can a later run take the upload up, and reading is cheaper than sending.
const WORTH_A_READING: u64 = 64 << 20;
/// One more interruption is forgiven for so many bytes that arrived.
const FORGIVE: u64 = 1 << 20;
/// What is being done, in messages.
pub(super) const SEND: &str = "send the blob";

pub(super) type Attempt<T> = std::result::Result<T, Failure>;

/// Whether a blob is there.
pub(super) fn presence(registry: &Registry, descriptor: &Descriptor) -> Result<Presence> {
    let scope = Scope::push(&registry.repository);
    retrying(&registry.client, &registry.host, || {
        look(registry, descriptor.digest, Some(descriptor.size), &scope)
    })
    .map_err(|f| f.error)
}

fn look(registry: &Registry, digest: Digest, size: Option<u64>, scope: &Scope) -> Attempt<Presence> {
    let path = format!("v2/{}/blobs/{digest}", registry.repository);
    let doing = format!("look for the blob {digest}");
    let call = registry.call(Method::HEAD, &path, scope, &doing);
    let (reply, url) = call.once(MAX_ERROR_BODY)?;
    Ok(match reply.status {
        StatusCode::OK => {
            let told = reply.header("content-length").and_then(|l| l.parse::<u64>().ok());
            // Another length is another content, whatever the registry calls it.
            if told.is_some() && size.is_some() && told != size {
                Presence::Absent
            } else {
                Presence::Present
            }
        }
        StatusCode::NOT_FOUND => Presence::Absent,
        // A storage service behind the registry may not know HEAD.
        _ if !registry.host.owns(&url) => Presence::Unknown,
        StatusCode::BAD_REQUEST | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => {
            Presence::Unknown
        }
        _ => return Err(call.refused(&reply)),
    })
}

/// How a piece ends that could not be stored.
const FAILED: &str = "failed";

/// Stores a blob whose digest is known.
pub(super) fn put(registry: &Registry, blob: &dyn Blob, see: &dyn Observe) -> Result<Outcome> {
    let d = blob.descriptor();
    let mut job = Job::new(registry, Content::Known(blob), see);
    job.begin(crate::store::piece::title(d), Some(d.size));
    let outcome = job.put(blob);
    job.end(outcome.as_ref().map_or(FAILED, |o| o.words()));
    outcome
}

/// Stores what a recipe makes.
pub(super) fn ingest(registry: &Registry, recipe: &dyn Recipe, see: &dyn Observe) -> Result<Packed> {
    let mut job = Job::new(registry, Content::Made(recipe), see);
    job.begin(recipe.title(), recipe.size());
    let sent = job.send();
    job.end(if sent.is_ok() { Outcome::Written.words() } else { FAILED });
    sent?.ok_or_else(|| Error::new(Kind::Bug, "an upload forgot what it sent"))
}

/// One blob on its way.
pub(super) struct Job<'a> {
    pub(super) registry: &'a Registry,
    pub(super) content: Content<'a>,
    pub(super) see: &'a dyn Observe,
    pub(super) scope: Scope,
    pub(super) id: u64,
    /// Digest and size, once they are known.
    pub(super) known: Option<(Digest, u64)>,
    pub(super) packed: Option<Packed>,
    /// How it is sent.
    pub(super) way: Way,
    /// The ways that were refused.
    refused_ways: Vec<Way>,
    /// The session, while there is one.
    pub(super) open: Option<Session>,
    /// Bytes that the observer was told of.
    pub(super) told: AtomicU64,
    /// The journal's record of it.
    pub(super) record: Option<Record>,
    /// The longest chunk, after some were cut.
    pub(super) ceiling: Option<u64>,
    /// A body was cut since the last attempt began.
    pub(super) cut: bool,
    cuts: u32,
    /// The last chunk was answered with "not now".
    pub(super) busy: bool,
    /// The registry once said of bytes what could not be.
    pub(super) strange: bool,
    /// How often a status could not be told.
    pub(super) mute: u32,
    /// Some bytes were never confirmed, so that only the digest tells.
    pub(super) unsure: bool,
}

impl<'a> Job<'a> {
    fn new(registry: &'a Registry, content: Content<'a>, see: &'a dyn Observe) -> Self {
        let known = match content {
            Content::Known(blob) => Some((blob.descriptor().digest, blob.descriptor().size)),
            Content::Made(_) => None,
        };
        let fixed = registry.client.settings().uploads.way;
        let way = fixed.or(locked(&registry.host.habits).way).unwrap_or(Way::Stream);
        Self {
            registry,
            content,
            see,
            scope: Scope::push(&registry.repository),
            id: crate::event::next_id(),
            known,
            packed: None,
            way,
            refused_ways: Vec::new(),
            open: None,
            told: AtomicU64::new(0),
            record: None,
            ceiling: None,
            cut: false,
            cuts: 0,
            busy: false,
            strange: false,
            mute: 0,
            unsure: false,
        }
    }

    fn begin(&self, title: String, total: Option<u64>) {
        self.see.on(Event::Begin { id: self.id, title, total });
    }

    fn end(&self, outcome: &str) {
        if outcome == FAILED {
            self.tell(0);
        }
        self.see.on(Event::End { id: self.id, outcome: outcome.to_owned() });
    }

    /// The way that the caller wants, and no other.
    pub(super) fn fixed(&self) -> Option<Way> {
        self.registry.client.settings().uploads.way
    }

    /// Bytes of the content, where they can be known yet.
    pub(super) fn size(&self) -> Option<u64> {
        self.known.map(|k| k.1).or_else(|| self.content.size())
    }

    fn put(&mut self, blob: &dyn Blob) -> Result<Outcome> {
        let d = blob.descriptor();
        checkpoint(self.see)?;
        let there = retrying(&self.registry.client, &self.registry.host, || {
            look(self.registry, d.digest, Some(d.size), &self.scope)
        });
        if there.map_err(|f| f.error)? == Presence::Present {
            self.settle(State::Done, true);
            return Ok(Outcome::Present);
        }
        if let Some(origin) = blob.origin()
            && origin.registry == self.registry.host.name
            && origin.repository != self.registry.repository
        {
            match self.mount(d.digest, &origin.repository) {
                Some(Mount::Done) => {
                    self.settle(State::Mounted, false);
                    return Ok(Outcome::Mounted);
                }
                Some(Mount::Session(session)) => self.open = Some(session),
                None => {}
            }
        }
        self.send()?;
        Ok(Outcome::Written)
    }

    /// Notes in the journal how the blob ended; only where something is noted of it already, if so
    /// wanted.
    fn settle(&mut self, state: State, only_if_noted: bool) {
        let place = self.registry.place();
        let (Some(folder), Some((digest, _))) =
            (&self.registry.client.settings().uploads.journal, self.known)
        else {
            return;
        };
        if self.record.is_none() && (!only_if_noted || journal::knows(folder, &place, digest)) {
            self.record = Record::open(folder, &place, digest);
        }
        if let Some(record) = &mut self.record
            && record.state().as_ref() != Some(&state)
        {
            record.note(state);
        }
    }

    /// Sends the content until it is there, or until it is enough.
    fn send(&mut self) -> Result<Option<Packed>> {
        let (client, host) = (&self.registry.client, &self.registry.host);
        let (mut tried, mut damaged, mut mark) = (0, 0, 0);
        let (mut broken, mut too_much) = (false, None);
        loop {
            checkpoint(self.see)?;
            let ready = if broken { self.resume() } else { Ok(()) };
            let mut failure = match ready.and_then(|()| self.attempt()) {
                Ok(()) => {
                    self.learn();
                    self.settle(State::Done, false);
                    return Ok(self.packed.clone());
                }
                Err(failure) => failure,
            };
            broken = true;
            match failure.again {
                Again::Otherwise(status) if self.turn(status) => {
                    // Of several refusals this one says what can be done.
                    if status == StatusCode::PAYLOAD_TOO_LARGE {
                        too_much = Some(failure.error);
                    }
                    continue;
                }
                Again::Otherwise(_) if self.fixed().is_some() => {
                    let hint = "this registry may take it in another way: `--upload auto`";
                    failure.error = failure.error.hint(hint);
                }
                Again::Otherwise(_) => failure.error = too_much.take().unwrap_or(failure.error),
                Again::Smaller => continue,
                Again::Damaged => {
                    self.start_anew();
                    // What was never confirmed may never have been stored.
                    if self.unsure && self.way == Way::Chunked && self.turn(StatusCode::BAD_REQUEST) {
                        continue;
                    }
                    if damaged < MAX_DAMAGED {
                        damaged += 1;
                        continue;
                    }
                }
                // The answer may have been lost after the deed.
                Again::After(_) | Again::Unreached if self.is_there() => {
                    self.settle(State::Done, false);
                    return Ok(self.packed.clone());
                }
                _ => {}
            }
            // A blob that gets on is not one that fails again and again.
            let at = self.open.as_ref().map_or(0, |s| s.at);
            if at >= mark + FORGIVE {
                (tried, mark) = (0, at);
            }
            let pause = next_pause(client, host, failure, tried).map_err(|f| {
                if tried > 0 { f.error.context(format!("after {} attempts", tried + 1)) } else { f.error }
            })?;
            tried += 1;
            nap(pause, || self.see.stop() || is_set(&client.settings().stop))?;
        }
    }

    /// Whether the blob is there after all.
    fn is_there(&self) -> bool {
        self.known.is_some_and(|(digest, size)| {
            matches!(look(self.registry, digest, Some(size), &self.scope), Ok(Presence::Present))
        })
    }

    /// Forgets what is left of an upload.
    fn start_anew(&mut self) {
        self.open = None;
        self.tell(0);
        if let Some(record) = &self.record {
            record.clear();
        }
    }

    /// After something broke: goes on from where the registry is, if it still knows. A registry that
    /// cannot be asked has not forgotten.
    fn resume(&mut self) -> Attempt<()> {
        self.cuts += u32::from(std::mem::take(&mut self.cut));
        let Some(session) = self.open.clone() else {
            self.start_anew();
            return Ok(());
        };
        let sent = self.told.load(Ordering::Relaxed) > 0 || session.at > 0;
        let may = match self.fixed() {
            Some(way) => way == Way::Chunked,
            None => self.way != Way::Whole,
        };
        let found = if sent && may { self.status(&session)? } else { None };
        let busy = std::mem::take(&mut self.busy);
        match found {
            // It took nothing of a chunk that it had no time for, even where it cannot say so.
            None if busy && session.at > 0 => {
                self.tell(session.at);
                self.open = Some(session);
            }
            Some(session) if self.size().is_none_or(|size| session.at <= size) => {
                self.way = Way::Chunked;
                self.tell(session.at);
                self.open = Some(session);
            }
            _ => {
                self.start_anew();
                if self.fixed().is_none() && self.way == Way::Stream && self.cuts >= MAX_CUTS {
                    self.way = Way::Chunked;
                }
            }
        }
        Ok(())
    }

    /// Takes another way after this one was refused; false where there is none left.
    fn turn(&mut self, status: StatusCode) -> bool {
        if self.fixed().is_some() {
            return false;
        }
        self.refused_ways.push(self.way);
        let Some(next) = habits::next_way(self.way, status, &self.refused_ways) else { return false };
        let message = format!(
            "`{}` does not take a blob {} ({status}); it is sent {} now",
            self.registry.place(),
            self.way.words(),
            next.words()
        );
        self.see.on(Event::Note { message });
        self.way = next;
        self.start_anew();
        true
    }

    /// Keeps for the run what this upload learnt.
    fn learn(&self) {
        if !self.refused_ways.is_empty() {
            locked(&self.registry.host.habits).way = Some(self.way);
        }
    }

    /// One upload from its session to its end.
    fn attempt(&mut self) -> Attempt<()> {
        if self.is_hashed_first() && self.find_out()? {
            return Ok(());
        }
        if self.way != Way::Whole {
            self.take_up()?;
        }
        let session = match self.open.clone() {
            Some(session) => session,
            None => self.session()?,
        };
        self.open = Some(session.clone());
        if self.wants_chunks(&session) {
            self.way = Way::Chunked;
            if self.is_hashed_first() && self.find_out()? {
                return Ok(());
            }
            self.take_up()?;
        }
        let session = self.open.clone().unwrap_or(session);
        if self.known.is_some_and(|(_, size)| size == 0) {
            return self.commit(&session.url);
        }
        match self.way {
            Way::Stream => self.put_stream(&session),
            Way::Whole => self.put_whole(&session.url),
            Way::Chunked => self.put_chunks(session),
        }
    }

    /// Whether a registry that names a minimum for chunks gets them: it knows how to go on after a cut.
    fn wants_chunks(&self, session: &Session) -> bool {
        let chunk = self.registry.client.settings().uploads.chunk;
        self.way == Way::Stream
            && self.fixed().is_none()
            && !self.refused_ways.contains(&Way::Chunked)
            && session.least.is_some_and(|least| {
                least <= MAX_CHUNK && self.size().is_some_and(|size| size > chunk.max(least))
            })
    }

    fn is_hashed_first(&self) -> bool {
        let journal = self.registry.client.settings().uploads.journal.is_some();
        let begun = self.open.as_ref().is_some_and(|s| s.at > 0);
        self.known.is_none()
            && match self.way {
                Way::Stream => false,
                Way::Whole => true,
                Way::Chunked => {
                    self.content.size().is_none_or(|size| journal && !begun && size >= WORTH_A_READING)
                }
            }
    }

    /// Hashes the content; true where the blob is there already.
    fn find_out(&mut self) -> Attempt<bool> {
        let (digest, size) = self.hash()?;
        Ok(look(self.registry, digest, Some(size), &self.scope)? == Presence::Present)
    }

    /// One PATCH of unknown length.
    fn put_stream(&mut self, session: &Session) -> Attempt<()> {
        let mut cursor = Cursor::new(self.content);
        let body = self.body(&Method::PATCH, &session.url, Span::All(None), &mut cursor)?;
        let status = body.reply.status;
        if habits::is_unsupported(status) {
            let failure = self.refused(SEND, &body.reply);
            return Err(Failure { error: failure.error, again: Again::Otherwise(status) });
        }
        if status == StatusCode::NOT_FOUND {
            self.open = None;
            return Err(self.lost(SEND, &body.reply));
        }
        if !status.is_success() {
            return Err(self.refused(SEND, &body.reply));
        }
        if let Some(packed) = body.packed {
            self.known = Some((packed.descriptor.digest, packed.descriptor.size));
            self.packed = Some(packed);
        }
        let next = self.confirm(session, body.bytes, &body.reply)?;
        self.open = Some(next.clone());
        if next.at < body.bytes {
            return Err(self.loses(body.bytes));
        }
        self.commit(&next.url)
    }

    /// The whole blob in one PUT.
    fn put_whole(&mut self, session: &Url) -> Attempt<()> {
        let (digest, size) =
            self.known.ok_or_else(|| Error::new(Kind::Bug, "a PUT of the whole needs the digest"))?;
        let mut cursor = Cursor::new(self.content);
        let url = with_digest(session, digest);
        let body = self.body(&Method::PUT, &url, Span::All(Some(size)), &mut cursor)?;
        if let Some(packed) = &body.packed
            && packed.descriptor.digest != digest
        {
            return Err(changed(packed.descriptor.digest, digest).into());
        }
        let status = body.reply.status;
        if matches!(status.as_u16(), 405 | 411 | 413 | 501) {
            let failure = self.refused(SEND, &body.reply);
            return Err(Failure { error: failure.error, again: Again::Otherwise(status) });
        }
        self.concluded(&body.reply, digest, size)
    }

    /// Ends an upload whose bytes are all there.
    pub(super) fn commit(&mut self, session: &Url) -> Attempt<()> {
        let (digest, size) =
            self.known.ok_or_else(|| Error::new(Kind::Bug, "an upload ends without a digest"))?;
        let doing = format!("complete the blob {digest}");
        let mut call = self.registry.call(Method::PUT, "", &self.scope, &doing);
        call.target = Target::Url(with_digest(session, digest));
        call.body = Some(&[]);
        call.headers.push((CONTENT_TYPE, "application/octet-stream".to_owned()));
        let client = &self.registry.client;
        let mut tried = 0;
        loop {
            let failure = match call.once(MAX_ERROR_BODY) {
                Ok((reply, _)) if is_transient(reply.status) => call.refused(&reply),
                Ok((reply, _)) => return self.concluded(&reply, digest, size),
                Err(failure) => failure,
            };
            if failure.is_transient() && self.is_there() {
                return Ok(());
            }
            if !failure.is_transient() || tried >= MAX_COMMITS {
                return Err(failure);
            }
            let pause = next_pause(client, &self.registry.host, failure, tried)?;
            tried += 1;
            nap(pause, || self.see.stop() || is_set(&client.settings().stop))?;
        }
    }

    /// What the answer to the last PUT means.
    fn concluded(&mut self, reply: &Reply, digest: Digest, size: u64) -> Attempt<()> {
        let status = reply.status;
        let told = reply.digest();
        if status == StatusCode::CREATED && told.is_none_or(|d| d == digest) {
            return Ok(());
        }
        // Every other answer is a rumour, in either direction: two publishers of one blob get in each
        // other's way at some registries, and both are told that they failed.
        if matches!(look(self.registry, digest, Some(size), &self.scope), Ok(Presence::Present)) {
            return Ok(());
        }
        let failure = self.refused(&format!("complete the blob {digest}"), reply);
        Err(match status {
            s if s.is_success() => Failure::after(Error::new(
                Kind::Network,
                format!("`{}` accepted the blob {digest}, but does not have it", self.registry.place()),
            )),
            s if is_transient(s) => failure,
            StatusCode::NOT_FOUND => {
                self.open = None;
                Failure::after(failure.error.with_kind(Kind::Network))
            }
            StatusCode::BAD_REQUEST | StatusCode::RANGE_NOT_SATISFIABLE => {
                let mut error = failure.error;
                if has_code(reply, &OciErrorCode::DigestInvalid) {
                    error =
                        error.with_kind(Kind::Integrity).hint(if self.unsure && self.way == Way::Chunked {
                            "the registry never confirmed what it got; leave the way to it: `--upload auto`"
                        } else {
                            "the bytes were damaged on their way; try again"
                        });
                }
                Failure { error, again: Again::Damaged }
            }
            _ => failure,
        })
    }
}

/// The upload's URL with the digest that ends it.
fn with_digest(session: &Url, digest: Digest) -> Url {
    let mut url = session.clone();
    url.query_pairs_mut().append_pair("digest", &digest.to_string());
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_joins_what_the_session_has() {
        let digest = Digest::of(b"");
        let url = with_digest(&Url::parse("https://r.example/u?_state=a%3Db").unwrap(), digest);
        assert_eq!(url.query(), Some(format!("_state=a%3Db&digest=sha256%3A{}", digest.hex()).as_str()));
    }
}
