//! Sessions: where the bytes of one upload go, and how many of them the registry has.
//!
//! A session begins with a POST, or where a mount was refused. Every answer may move it to another
//! URL, and only the newest one is asked. How far it is the registry says in `Range`; that is compared
//! with what was sent, since registries lose bytes, and since several say something else than what
//! they have ([`Told`]). Where they disagree the status of the session is asked; where that is no
//! answer either, the digest decides at the end.

use reqwest::header::{HeaderMap, HeaderValue, LOCATION};
use reqwest::{Method, StatusCode, Url};

use super::auth::Scope;
use super::call::{Call, Reply, Target, next_pause};
use super::error::{Failure, MAX_ERROR_BODY, is_transient};
use super::upload::{Attempt, Job};
use crate::error::{Error, Kind};
use crate::oci::Digest;

/// How often a mount is asked for again: it saves the bytes, but is not needed.
const MAX_MOUNTS: u32 = 2;

/// How often the status of an upload may be an error before it is taken for one that cannot be asked.
const MAX_MUTE: u32 = 3;

/// An upload that is open at the registry.
#[derive(Clone)]
pub(super) struct Session {
    /// Where the next bytes go. It may carry a right to write, so it is never shown.
    pub(super) url: Url,
    /// Bytes that the registry has.
    pub(super) at: u64,
    /// The fewest bytes of a chunk that is not the last, by `OCI-Chunk-Min-Length`.
    pub(super) least: Option<u64>,
}

/// What came of the wish for a mount.
pub(super) enum Mount {
    Done,
    /// The registry did not link it, and opened an upload instead.
    Session(Session),
}

impl Job<'_> {
    /// Opens a session.
    pub(super) fn session(&self) -> Attempt<Session> {
        let path = format!("v2/{}/blobs/uploads/", self.registry.repository);
        let mut call = self.registry.call(Method::POST, &path, &self.scope, "begin the upload of a blob");
        call.body = Some(&[]);
        // Another try is the caller's: it knows how many there were.
        let (reply, url) = call.once(MAX_ERROR_BODY)?;
        if reply.status != StatusCode::ACCEPTED {
            return Err(call.refused(&reply));
        }
        self.opened(&url, &reply)?.ok_or_else(|| {
            Failure::after(Error::new(
                Kind::Network,
                format!("`{}` began an upload, but did not say where", self.registry.place()),
            ))
        })
    }

    /// Asks the registry to link the blob from another of its repositories. Only a wish: whatever goes
    /// wrong here, the upload still can be done.
    pub(super) fn mount(&self, digest: Digest, from: &str) -> Option<Mount> {
        let doing = format!("mount the blob {digest} from `{from}`");
        // The scope to write comes first: some token servers look at that one alone.
        let scope: Scope = self.scope.clone().and_pull(from);
        let path =
            format!("v2/{}/blobs/uploads/?mount={digest}&from={}", self.registry.repository, escape(from));
        let mut call = self.registry.call(Method::POST, &path, &scope, &doing);
        call.body = Some(&[]);
        let (client, host) = (&self.registry.client, &self.registry.host);
        let mut tried = 0;
        let (reply, url) = loop {
            let failure = match call.once(MAX_ERROR_BODY) {
                Ok((reply, _)) if is_transient(reply.status) => call.refused(&reply),
                Ok(answer) => break answer,
                Err(failure) => failure,
            };
            if tried >= MAX_MOUNTS {
                return None;
            }
            client.nap(next_pause(client, host, failure, tried).ok()?).ok()?;
            tried += 1;
        };
        match reply.status {
            StatusCode::CREATED if reply.digest().is_none_or(|d| d == digest) => Some(Mount::Done),
            StatusCode::ACCEPTED => self.opened(&url, &reply).ok().flatten().map(Mount::Session),
            _ => None,
        }
    }

    fn opened(&self, asked: &Url, reply: &Reply) -> Attempt<Option<Session>> {
        let least = reply.header("oci-chunk-min-length").and_then(|l| l.trim().parse().ok());
        Ok(self.location(asked, reply)?.map(|url| Session { url, at: 0, least }))
    }

    /// Where an answer says that the session goes on.
    pub(super) fn location(&self, asked: &Url, reply: &Reply) -> Attempt<Option<Url>> {
        Ok(self.registry.host.follow(&self.registry.client, asked, &reply.headers)?)
    }

    /// How far a session is by its status; `None` where the registry does not know it any more, or
    /// never can tell.
    pub(super) fn status(&mut self, session: &Session) -> Attempt<Option<Session>> {
        let scope = self.scope.clone();
        let mut call = self.registry.call(Method::GET, "", &scope, "ask how far an upload is");
        call.target = Target::Url(session.url.clone());
        let (reply, url) = call.once(MAX_ERROR_BODY)?;
        if is_transient(reply.status) && self.mute < MAX_MUTE {
            self.mute += 1;
            return Err(call.refused(&reply));
        }
        let have = reply.header("range").and_then(parse_range).filter(|(start, _)| *start == 0);
        // `0-0` is one byte, and how many say "nothing".
        let Some((_, end)) = have.filter(|r| reply.status.is_success() && r.1 > 1) else { return Ok(None) };
        let url = self.location(&url, &reply)?.unwrap_or_else(|| session.url.clone());
        Ok(Some(Session { url, at: end, least: session.least }))
    }

    /// A session by a URL that was written down, if it may be asked at all: it goes to this very
    /// registry, in the way that a `Location` is followed.
    pub(super) fn recorded(&self, url: &str, at: u64) -> Attempt<Option<Session>> {
        let (client, host) = (&self.registry.client, &self.registry.host);
        let base = host.base(client)?;
        let Ok(value) = HeaderValue::from_str(url) else { return Ok(None) };
        let headers = HeaderMap::from_iter([(LOCATION, value)]);
        let Ok(Some(url)) = host.follow(client, &base, &headers) else { return Ok(None) };
        Ok(host.owns(&url).then_some(Session { url, at, least: None }))
    }

    /// What the answer to bytes means for how far the session is: `sent` is how far it should be.
    pub(super) fn confirm(&mut self, session: &Session, sent: u64, reply: &Reply) -> Attempt<Session> {
        let url = self.location(&session.url, reply)?.unwrap_or_else(|| session.url.clone());
        let next = Session { url, at: sent, least: session.least };
        match Told::by(reply.header("range"), session.at, sent) {
            Told::All => return Ok(next),
            Told::Nothing => {
                self.unsure = true;
                return Ok(next);
            }
            // ECR answers 201, with a range that is not up to date (aws/containers-roadmap, issue 2831).
            Told::Other(_) if reply.status == StatusCode::CREATED => {
                self.unsure = true;
                return Ok(next);
            }
            Told::Other(_) => {}
        }
        // The status is the registry's second word, and counts more than the first: all that came, or less.
        match self.status(&next)? {
            Some(told) if told.at > session.at && told.at <= sent => return Ok(told),
            _ if self.strange => {}
            told => {
                self.strange = true;
                self.open = told.filter(|s| s.at <= sent);
                return Err(self.loses(sent));
            }
        }
        // The same again: a habit of this registry, not an accident. The digest will tell.
        self.unsure = true;
        Ok(next)
    }

    /// The failure where a registry has other bytes than those that were sent.
    pub(super) fn loses(&self, sent: u64) -> Failure {
        let message = format!("`{}` does not have the {sent} bytes that were sent", self.registry.place());
        let hint = "the registry, or a proxy before it, loses data; try again";
        Failure::after(Error::new(Kind::Network, message).hint(hint))
    }

    /// The error for an answer that is not the one hoped for.
    pub(super) fn refused(&self, doing: &str, reply: &Reply) -> Failure {
        let call: Call<'_> = self.registry.call(Method::PUT, "", &self.scope, doing);
        call.refused(reply)
    }

    /// As [`Job::refused`], where the session may be gone, which happens to sessions: the repository
    /// was there a moment ago.
    pub(super) fn lost(&self, doing: &str, reply: &Reply) -> Failure {
        let failure = self.refused(doing, reply);
        if is_transient(reply.status) {
            return failure;
        }
        Failure::after(failure.error.with_kind(Kind::Network))
    }
}

/// What a `Range` says about bytes that were just sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// Nothing that can be understood; some answer without the header.
    Nothing,
    /// All is there.
    All,
    /// Something else, which can also be the last chunk alone (zot, in regclient's issue 961).
    Other(u64),
}

impl Told {
    /// By the header, and from where to where the bytes went.
    fn by(range: Option<&str>, from: u64, to: u64) -> Self {
        let Some((start, end)) = range.and_then(parse_range) else { return Self::Nothing };
        match (start, end) {
            (0, end) if end == to => Self::All,
            (start, end) if start == from && end == to => Self::All,
            // There is no way to say "nothing" in this header, so many say `0-0`.
            (0, 1) if to == 0 => Self::All,
            (_, end) => Self::Other(end),
        }
    }
}

/// Start and end, which is not included, of a `Range: 0-99`.
fn parse_range(text: &str) -> Option<(u64, u64)> {
    let text = text.trim();
    let range = text.strip_prefix("bytes").map_or(text, |r| r.trim_start_matches(['=', ' ']));
    let (start, end) = range.trim().split_once('-')?;
    let (start, end) = (start.trim().parse::<u64>().ok()?, end.trim().parse::<u64>().ok()?);
    (start <= end).then_some((start, end.checked_add(1)?))
}

/// A repository's name in a query: only the slash needs care.
fn escape(repository: &str) -> String {
    repository.replace('/', "%2F")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_in_all_their_forms() {
        for (text, bytes) in [
            ("0-99", Some((0, 100))),
            ("bytes=0-99", Some((0, 100))),
            ("bytes 0-99", Some((0, 100))),
            (" 0 - 99 ", Some((0, 100))),
            ("5-99", Some((5, 100))),
            ("99-5", None),
            ("0-", None),
            ("", None),
            ("0-18446744073709551615", None),
            ("0--1", None),
        ] {
            assert_eq!(parse_range(text), bytes, "{text}");
        }
    }

    #[test]
    fn what_registries_say_about_bytes() {
        for (range, from, to, told) in [
            (Some("0-99"), 0, 100, Told::All),
            (Some("0-99"), 50, 100, Told::All),
            (Some("50-99"), 50, 100, Told::All),
            (Some("0-49"), 50, 100, Told::Other(50)),
            (Some("0-0"), 0, 0, Told::All),
            (Some("0-0"), 0, 100, Told::Other(1)),
            (Some("0-150"), 50, 100, Told::Other(151)),
            (Some("x"), 0, 100, Told::Nothing),
            (None, 0, 100, Told::Nothing),
        ] {
            assert_eq!(Told::by(range, from, to), told, "{range:?} {from} {to}");
        }
    }
}
