//! Sending blobs: look, mount, upload; and once more where something breaks.
//!
//! The body is one streaming PATCH with chunked encoding, as Docker sends it: every registry takes
//! that, and the digest is needed only by the PUT that ends the upload, so that content can be
//! hashed while it is sent. A registry that refuses it gets a PUT of the whole, which needs the
//! digest first; that is remembered for the run. A body that breaks starts again in a new session,
//! since most registries have lost the old one by then; a lost answer does not, because a HEAD
//! tells that the blob is there.
//!
//! Not here yet: PATCHes in pieces, which could resume.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use oci_client::errors::OciErrorCode;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, StatusCode, Url};

use super::Registry;
use super::auth::Scope;
use super::body::{Content, changed};
use super::call::{Call, Reply, Target, next_pause, retrying};
use super::error::{Again, Failure, MAX_ERROR_BODY, has_code, is_transient};
use crate::blob::{Blob, Packed, Recipe};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Observe, checkpoint};
use crate::oci::{Descriptor, Digest};
use crate::store::{Outcome, Presence};

/// How often damaged content is sent again.
const MAX_DAMAGED: u32 = 1;
/// How often the last PUT of an upload is repeated in its session.
const MAX_COMMITS: u32 = 2;
/// How long a pause is slept before looking whether the user wants to stop.
const NAP: Duration = Duration::from_millis(100);

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
    let sent = job.send(None);
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
    /// Sent in one PUT rather than in a PATCH.
    whole: bool,
}

impl<'a> Job<'a> {
    fn new(registry: &'a Registry, content: Content<'a>, see: &'a dyn Observe) -> Self {
        let known = match content {
            Content::Known(blob) => Some((blob.descriptor().digest, blob.descriptor().size)),
            Content::Made(_) => None,
        };
        Self {
            registry,
            content,
            see,
            scope: Scope::push(&registry.repository),
            id: crate::event::next_id(),
            known,
            packed: None,
            whole: registry.host.whole.load(Ordering::Relaxed),
        }
    }

    fn begin(&self, title: String, total: Option<u64>) {
        self.see.on(Event::Begin { id: self.id, title, total });
    }

    fn end(&self, outcome: &str) {
        self.see.on(Event::End { id: self.id, outcome: outcome.to_owned() });
    }

    fn put(&mut self, blob: &dyn Blob) -> Result<Outcome> {
        let d = blob.descriptor();
        checkpoint(self.see)?;
        let there = retrying(&self.registry.client, &self.registry.host, || {
            look(self.registry, d.digest, Some(d.size), &self.scope)
        });
        if there.map_err(|f| f.error)? == Presence::Present {
            return Ok(Outcome::Present);
        }
        let mut session = None;
        if let Some(origin) = blob.origin()
            && origin.registry == self.registry.host.name
            && origin.repository != self.registry.repository
        {
            match self.mount(d.digest, &origin.repository) {
                Some(Mount::Done) => return Ok(Outcome::Mounted),
                Some(Mount::Session(url)) => session = Some(url),
                None => {}
            }
        }
        self.send(session)?;
        Ok(Outcome::Written)
    }

    /// Asks the registry to link the blob from another of its repositories. Only a wish: whatever goes
    /// wrong here, the upload still can be done.
    fn mount(&self, digest: Digest, from: &str) -> Option<Mount> {
        let doing = format!("mount the blob {digest} from `{from}`");
        // The scope to write comes first: some token servers look at that one alone.
        let scope = self.scope.clone().and_pull(from);
        let path =
            format!("v2/{}/blobs/uploads/?mount={digest}&from={}", self.registry.repository, escape(from));
        let mut call = self.registry.call(Method::POST, &path, &scope, &doing);
        call.body = Some(&[]);
        let (reply, url) = call.once(MAX_ERROR_BODY).ok()?;
        match reply.status {
            StatusCode::CREATED if reply.digest().is_none_or(|d| d == digest) => Some(Mount::Done),
            StatusCode::ACCEPTED => self.location(&url, &reply).ok().flatten().map(Mount::Session),
            _ => None,
        }
    }

    /// Sends the content until it is there, or until it is enough.
    fn send(&mut self, mut session: Option<Url>) -> Result<Option<Packed>> {
        let (client, host) = (&self.registry.client, &self.registry.host);
        let (mut tried, mut damaged) = (0, 0);
        loop {
            checkpoint(self.see)?;
            let failure = match self.attempt(session.take()) {
                Ok(()) => return Ok(self.packed.clone()),
                Err(failure) => failure,
            };
            match failure.again {
                Again::Whole if !self.whole => {
                    self.whole = true;
                    continue;
                }
                Again::Damaged if damaged < MAX_DAMAGED => {
                    damaged += 1;
                    continue;
                }
                Again::After(_) | Again::Unreached => {
                    // The answer may have been lost after the deed.
                    if let Some((digest, size)) = self.known
                        && matches!(
                            look(self.registry, digest, Some(size), &self.scope),
                            Ok(Presence::Present)
                        )
                    {
                        return Ok(self.packed.clone());
                    }
                }
                _ => {}
            }
            let Some(pause) = next_pause(client, host, failure.again, tried) else {
                let error = if tried > 0 {
                    failure.error.context(format!("after {} attempts", tried + 1))
                } else {
                    failure.error
                };
                return Err(error);
            };
            tried += 1;
            self.nap(pause)?;
        }
    }

    /// Sleeps, but not through a wish to stop.
    fn nap(&self, pause: Duration) -> Result<()> {
        let end = Instant::now() + pause;
        loop {
            checkpoint(self.see)?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(NAP));
        }
    }

    /// One upload from its session to its end.
    fn attempt(&mut self, session: Option<Url>) -> Attempt<()> {
        if self.whole && self.known.is_none() {
            let (digest, size) = self.hash()?;
            if look(self.registry, digest, Some(size), &self.scope)? == Presence::Present {
                return Ok(());
            }
        }
        let session = match session {
            Some(url) => url,
            None => self.session()?,
        };
        let mut sent = 0;
        let result = self.transfer(session, &mut sent);
        if result.is_err() && sent > 0 {
            self.progress(-i64::try_from(sent).unwrap_or(i64::MAX));
        }
        result
    }

    fn transfer(&mut self, session: Url, sent: &mut u64) -> Attempt<()> {
        if self.known.is_some_and(|(_, size)| size == 0) {
            return self.commit(&session);
        }
        if self.whole {
            return self.put_whole(&session, sent);
        }
        let body = self.body(&Method::PATCH, &session, None, sent)?;
        let status = body.reply.status;
        if matches!(
            status,
            StatusCode::BAD_REQUEST | StatusCode::METHOD_NOT_ALLOWED | StatusCode::RANGE_NOT_SATISFIABLE
        ) {
            let failure = self.refused("send the blob", &body.reply);
            return Err(Failure { error: failure.error, again: Again::Whole });
        }
        if status == StatusCode::NOT_FOUND {
            // The session is gone, which happens to sessions; the repository was there a moment ago.
            return Err(Failure::after(
                self.refused("send the blob", &body.reply).error.with_kind(Kind::Network),
            ));
        }
        if !status.is_success() {
            return Err(self.refused("send the blob", &body.reply));
        }
        // ECR answers 201, with a range that is not up to date.
        let received = body.reply.header("range").and_then(end_of_range);
        if let Some(received) = received
            && received != body.bytes
            // There is no way to say "nothing" in this header, so many say `0-0`.
            && !(body.bytes == 0 && received == 1)
            && status != StatusCode::CREATED
        {
            return Err(Failure::after(
                Error::new(
                    Kind::Network,
                    format!(
                        "`{}` has {received} of {} bytes that were sent",
                        self.registry.place(),
                        body.bytes
                    ),
                )
                .hint("the registry, or a proxy before it, loses data; try again"),
            ));
        }
        if let Some(packed) = body.packed {
            self.known = Some((packed.descriptor.digest, packed.descriptor.size));
            self.packed = Some(packed);
        }
        let next = self.location(&session, &body.reply)?.unwrap_or(session);
        self.commit(&next)
    }

    /// Opens an upload session.
    fn session(&self) -> Attempt<Url> {
        let path = format!("v2/{}/blobs/uploads/", self.registry.repository);
        let mut call = self.registry.call(Method::POST, &path, &self.scope, "begin the upload of a blob");
        call.body = Some(&[]);
        let (reply, url) = call.ask(MAX_ERROR_BODY)?;
        if reply.status != StatusCode::ACCEPTED {
            return Err(call.refused(&reply));
        }
        self.location(&url, &reply)?.ok_or_else(|| {
            Failure::after(Error::new(
                Kind::Network,
                format!("`{}` began an upload, but did not say where", self.registry.place()),
            ))
        })
    }

    fn location(&self, asked: &Url, reply: &Reply) -> Attempt<Option<Url>> {
        Ok(self.registry.host.follow(&self.registry.client, asked, &reply.headers)?)
    }

    /// The whole blob in one PUT.
    fn put_whole(&mut self, session: &Url, sent: &mut u64) -> Attempt<()> {
        let (digest, size) =
            self.known.ok_or_else(|| Error::new(Kind::Bug, "a PUT of the whole needs the digest"))?;
        let body = self.body(&Method::PUT, &with_digest(session, digest), Some(size), sent)?;
        if let Some(packed) = &body.packed
            && packed.descriptor.digest != digest
        {
            return Err(changed(packed.descriptor.digest, digest).into());
        }
        self.concluded(&body.reply, digest, size)?;
        self.registry.host.whole.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Ends an upload whose bytes are all there.
    fn commit(&mut self, session: &Url) -> Attempt<()> {
        let (digest, size) =
            self.known.ok_or_else(|| Error::new(Kind::Bug, "an upload ends without a digest"))?;
        let doing = format!("complete the blob {digest}");
        let mut call = self.registry.call(Method::PUT, "", &self.scope, &doing);
        call.target = Target::Url(with_digest(session, digest));
        call.body = Some(&[]);
        call.headers.push((CONTENT_TYPE, "application/octet-stream".to_owned()));
        let mut tried = 0;
        loop {
            let failure = match call.once(MAX_ERROR_BODY) {
                Ok((reply, _)) if is_transient(reply.status) => call.refused(&reply),
                Ok((reply, _)) => return self.concluded(&reply, digest, size),
                Err(failure) => failure,
            };
            if failure.is_transient()
                && matches!(look(self.registry, digest, Some(size), &self.scope), Ok(Presence::Present))
            {
                return Ok(());
            }
            if !failure.is_transient() || tried >= MAX_COMMITS {
                return Err(failure);
            }
            let Some(pause) = next_pause(&self.registry.client, &self.registry.host, failure.again, tried)
            else {
                return Err(failure);
            };
            tried += 1;
            self.nap(pause)?;
        }
    }

    /// What the answer to the last PUT means.
    fn concluded(&self, reply: &Reply, digest: Digest, size: u64) -> Attempt<()> {
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
            StatusCode::NOT_FOUND => Failure::after(failure.error.with_kind(Kind::Network)),
            StatusCode::BAD_REQUEST | StatusCode::RANGE_NOT_SATISFIABLE => {
                let mut error = failure.error;
                if has_code(reply, &OciErrorCode::DigestInvalid) {
                    error = error
                        .with_kind(Kind::Integrity)
                        .hint("the bytes were damaged on their way; try again");
                }
                Failure { error, again: Again::Damaged }
            }
            _ => failure,
        })
    }

    fn refused(&self, doing: &str, reply: &Reply) -> Failure {
        let call: Call<'_> = self.registry.call(Method::PUT, "", &self.scope, doing);
        call.refused(reply)
    }
}

/// What came of the wish for a mount.
enum Mount {
    Done,
    /// The registry did not link it, and opened an upload instead.
    Session(Url),
}

/// The upload's URL with the digest that ends it.
fn with_digest(session: &Url, digest: Digest) -> Url {
    let mut url = session.clone();
    url.query_pairs_mut().append_pair("digest", &digest.to_string());
    url
}

/// A repository's name in a query: only the slash needs care.
fn escape(repository: &str) -> String {
    repository.replace('/', "%2F")
}

/// How many bytes the registry has by its `Range: 0-99` header.
fn end_of_range(text: &str) -> Option<u64> {
    let range = text.trim().strip_prefix("bytes").map_or(text, |r| r.trim_start_matches(['=', ' ']));
    let (start, end) = range.trim().split_once('-')?;
    if start.trim().parse::<u64>().ok()? != 0 {
        return None;
    }
    end.trim().parse::<u64>().ok()?.checked_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_in_all_their_forms() {
        for (text, bytes) in [
            ("0-99", Some(100)),
            ("bytes=0-99", Some(100)),
            ("bytes 0-99", Some(100)),
            (" 0 - 99 ", Some(100)),
            ("5-99", None),
            ("0-", None),
            ("", None),
            ("0-18446744073709551615", None),
            ("0--1", None),
        ] {
            assert_eq!(end_of_range(text), bytes, "{text}");
        }
    }

    #[test]
    fn the_digest_joins_what_the_session_has() {
        let digest = Digest::of(b"");
        let url = with_digest(&Url::parse("https://r.example/u?_state=a%3Db").unwrap(), digest);
        assert_eq!(url.query(), Some(format!("_state=a%3Db&digest=sha256%3A{}", digest.hex()).as_str()));
    }
}
