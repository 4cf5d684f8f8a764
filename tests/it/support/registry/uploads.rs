//! The uploads of the registry of the tests: sessions, and what bodies do to them.

use std::sync::Arc;

use floe::oci::Digest;
use sha2::{Digest as _, Sha256};

use super::super::http::{Answer, Request};
use super::Switch;
use super::state::{State, Stored, error, granted};

/// Bytes that are kept, or only hashed.
#[derive(Clone)]
pub(super) struct Content {
    kept: Option<Vec<u8>>,
    hash: Sha256,
    pub(super) size: u64,
}

impl Content {
    fn new(keep: bool) -> Self {
        Self { kept: keep.then(Vec::new), hash: Sha256::new(), size: 0 }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        match &mut self.kept {
            Some(kept) => kept.extend_from_slice(bytes),
            None => self.hash.update(bytes),
        }
    }

    fn digest(&self) -> Digest {
        match &self.kept {
            Some(kept) => Digest::of(kept),
            None => Digest::from_bytes(self.hash.clone().finalize().into()),
        }
    }

    fn truncate(&mut self, size: u64) {
        let kept = self.kept.as_mut().expect("bytes that are not kept cannot be taken away");
        kept.truncate(usize::try_from(size).unwrap());
        self.size = self.size.min(size);
    }
}

/// What a body brought: bytes to be appended, or, where none are kept, all of the content with them.
pub(super) struct Taken {
    bytes: Vec<u8>,
    all: Option<Content>,
    pub(super) size: u64,
}

impl Taken {
    pub(super) fn new(all: Option<Content>) -> Self {
        Self { bytes: Vec::new(), all, size: 0 }
    }

    pub(super) fn push(&mut self, piece: &[u8]) {
        self.size += piece.len() as u64;
        match &mut self.all {
            Some(all) => all.push(piece),
            None => self.bytes.extend_from_slice(piece),
        }
    }

    /// Damages the last byte.
    pub(super) fn flip(&mut self) {
        if let Some(byte) = self.bytes.last_mut() {
            *byte ^= 1;
        }
    }

    fn onto(self, content: &mut Content) {
        match self.all {
            Some(all) => *content = all,
            None => content.push(&self.bytes),
        }
    }
}

/// An upload that was begun.
pub(super) struct Session {
    repo: String,
    state: u32,
    content: Content,
    patched: bool,
    /// A chunk was shorter than allowed, and so has to be the last.
    short: bool,
}

/// What goes wrong with a body.
pub(super) struct Faults {
    pub(super) cut: Option<u64>,
    pub(super) stall: Option<u64>,
    pub(super) flip: bool,
    pub(super) too_large: Option<(u64, bool)>,
    /// What is there already, where bytes are only hashed.
    pub(super) content: Option<Content>,
}

impl State {
    pub(super) fn faults(&mut self, request: &Request, repo: &str, id: &str) -> Faults {
        let has_body = request.is_chunked() || request.length().unwrap_or(0) > 0;
        let mut fires = |pick: &dyn Fn(&Switch) -> Option<(u64, u32)>| {
            if has_body { self.fires(pick) } else { None }
        };
        let cut = fires(&|s| match s {
            Switch::CutUpload { after, count } => Some((*after, *count)),
            _ => None,
        });
        let stall = fires(&|s| match s {
            Switch::Stall { after, count } => Some((*after, *count)),
            _ => None,
        });
        let flip = fires(&|s| match s {
            Switch::FlipUpload { count } => Some((0, *count)),
            _ => None,
        });
        let too_large = self.any(|s| match s {
            Switch::TooLarge { over, early } if has_body => Some((*over, *early)),
            _ => None,
        });
        let session = id.parse::<u64>().ok().and_then(|id| self.sessions.get(&id));
        let content = match session {
            Some(s) if s.repo == repo && s.content.kept.is_none() => Some(s.content.clone()),
            _ => None,
        };
        Faults { cut, stall, flip: flip.is_some(), too_large, content }
    }

    /// A body ended in the middle.
    pub(super) fn cut(&mut self, id: &str, taken: Taken) {
        let Ok(id) = id.parse() else { return };
        if self.on(&Switch::SessionSurvives) {
            if let Some(session) = self.sessions.get_mut(&id) {
                taken.onto(&mut session.content);
            }
        } else {
            // As distribution 2.8: what was cut cannot be taken up again.
            self.sessions.remove(&id);
        }
    }

    pub(super) fn begin(&mut self, request: &Request, repo: &str, base: [&str; 2]) -> Answer {
        if self.on(&Switch::NoRepository) {
            return error(404, "NAME_UNKNOWN", "the repository does not exist");
        }
        if let Some(digest) = request.param("mount") {
            if let Some(status) = self.any(|s| match s {
                Switch::MountFails(status) => Some(*status),
                _ => None,
            }) {
                return error(status, "UNSUPPORTED", "no mount");
            }
            let from = request.param("from");
            if from.is_none() && self.on(&Switch::MountNeedsFrom) {
                return error(400, "NAME_INVALID", "where from");
            }
            let token = request.header("authorization").and_then(|a| a.strip_prefix("Bearer "));
            let granted = |from: &str| {
                token.and_then(|t| self.tokens.get(t)).is_none_or(|(_, s)| granted(s, from, "pull"))
            };
            if let Some(from) = from
                && granted(from)
                && !self.on(&Switch::Mount202)
                && self.has_blob(from, digest)
            {
                self.repos.entry(repo.to_owned()).or_default().blobs.insert(digest.to_owned());
                return Answer::new(201)
                    .with("Location", format!("http://{}/v2/{repo}/blobs/{digest}", base[0]))
                    .with("Docker-Content-Digest", digest);
            }
        }
        let id = self.serial();
        let content = Content::new(!self.on(&Switch::Discard));
        self.sessions
            .insert(id, Session { repo: repo.to_owned(), state: 0, content, patched: false, short: false });
        let no_location = self.fires(|s| match s {
            Switch::NoLocation { count } => Some(((), *count)),
            _ => None,
        });
        let mut answer = Answer::new(202).with("Range", "0-0");
        if let Some(least) = self.any(|s| match s {
            Switch::MinChunk(least) | Switch::ClaimsMinChunk(least) => Some(*least),
            _ => None,
        }) {
            answer = answer.with("OCI-Chunk-Min-Length", least.to_string());
        }
        if no_location.is_some() { answer } else { answer.with("Location", self.location(repo, id, 0, base)) }
    }

    fn location(&self, repo: &str, id: u64, state: u32, base: [&str; 2]) -> String {
        let path = format!("/v2/{repo}/blobs/uploads/{id}?_state={state}");
        if self.on(&Switch::RelativeLocation) {
            return path;
        }
        format!("http://{}{path}", base[usize::from(self.on(&Switch::ForeignLocation))])
    }

    /// The session of a request, where it is known and its state is the present one.
    fn session(&mut self, request: &Request, repo: &str, id: &str) -> Option<u64> {
        let lost = self.fires(|s| match s {
            Switch::LostSession { count } => Some(((), *count)),
            _ => None,
        });
        let id = id.parse().ok()?;
        if lost.is_some() {
            self.sessions.remove(&id);
        }
        let session = self.sessions.get(&id)?;
        // What survives a cut does not hang on a state that the client never saw.
        let present =
            self.on(&Switch::SessionSurvives) || request.param("_state") == Some(&session.state.to_string());
        (session.repo == repo && present).then_some(id)
    }

    pub(super) fn status(&mut self, request: &Request, repo: &str, id: &str, base: [&str; 2]) -> Answer {
        let unknown = || error(404, "BLOB_UPLOAD_UNKNOWN", "no such upload");
        if self.on(&Switch::NoStatus) {
            return unknown();
        }
        let Some(key) = self.session(request, repo, id) else { return unknown() };
        let session = &self.sessions[&key];
        let range = format!("0-{}", session.content.size.saturating_sub(1));
        Answer::new(204).with("Location", self.location(repo, key, session.state, base)).with("Range", range)
    }

    /// Why a PATCH is not taken at all.
    fn patch_refused(&self, request: &Request, size: u64) -> Option<Answer> {
        let ranged = request.header("content-range");
        let status = self.any(|s| match s {
            Switch::NoPatch(status) => Some(*status),
            Switch::NoChunks(status) if ranged.is_some() => Some(*status),
            _ => None,
        });
        if let Some(status) = status {
            return Some(error(status, "UNSUPPORTED", "no PATCH like that here"));
        }
        if self.on(&Switch::Ghcr416Over4MiB) && request.length().unwrap_or(0) > 4 << 20 {
            return Some(error(416, "BLOB_UPLOAD_INVALID", "too long"));
        }
        let (start, end) = ranged.and_then(|r| r.split_once('-')).unwrap_or(("", ""));
        let length = end.parse::<u64>().ok().zip(start.parse::<u64>().ok()).map(|(e, s)| e + 1 - s);
        (self.on(&Switch::StrictRange) && length != Some(size))
            .then(|| error(416, "RANGE_INVALID", "say which bytes these are"))
    }

    pub(super) fn patch(
        &mut self,
        request: &Request,
        repo: &str,
        id: &str,
        taken: Taken,
        base: [&str; 2],
    ) -> Answer {
        if let Some(refusal) = self.patch_refused(request, taken.size) {
            return refusal;
        }
        let unknown = || error(404, "BLOB_UPLOAD_UNKNOWN", "no such upload");
        let Some(key) = self.session(request, repo, id) else { return unknown() };
        let ecr = self.on(&Switch::Ecr201StaleRange);
        let drops = self.on(&Switch::DropsLaterChunks);
        let in_order = !drops && !self.on(&Switch::OutOfOrder);
        let of_chunk = self.on(&Switch::RangeOfChunk);
        let least = self.any(|s| match s {
            Switch::MinChunk(least) => Some(*least),
            _ => None,
        });
        let short = self.fires(|s| match s {
            Switch::ShortRange { count } => Some(((), *count)),
            _ => None,
        });
        let Some(session) = self.sessions.get_mut(&key) else { return unknown() };
        if let Some(range) = request.header("content-range").filter(|_| in_order) {
            let start = range.split('-').next().and_then(|s| s.parse::<u64>().ok());
            if start != Some(session.content.size) {
                let range = format!("0-{}", session.content.size.saturating_sub(1));
                return error(416, "RANGE_INVALID", "out of order").with("Range", range);
            }
        }
        if session.short {
            return error(
                416,
                "BLOB_UPLOAD_INVALID",
                "the chunk before was too short to have another after it",
            );
        }
        session.short = least.is_some_and(|least| taken.size < least);
        let size = taken.size;
        if !(drops && session.patched) {
            taken.onto(&mut session.content);
        }
        session.patched = true;
        session.state += 1;
        if short.is_some() {
            session.content.truncate(session.content.size.saturating_sub(1) / 2 + 1);
        }
        let have = if of_chunk { size } else { session.content.size };
        let (state, range) = (session.state, format!("0-{}", have.saturating_sub(1)));
        let location = self.location(repo, key, state, base);
        if self.on(&Switch::Patch204) {
            return Answer::new(204).with("Location", location);
        }
        let (status, range) = if ecr { (201, "0-0".to_owned()) } else { (202, range) };
        Answer::new(status).with("Location", location).with("Range", range)
    }

    pub(super) fn cancel(&mut self, id: &str) -> Answer {
        let known = id.parse().is_ok_and(|id| self.sessions.remove(&id).is_some());
        if known { Answer::new(204) } else { error(404, "BLOB_UPLOAD_UNKNOWN", "no such upload") }
    }

    pub(super) fn commit(&mut self, request: &Request, repo: &str, id: &str, taken: Taken) -> Answer {
        let Some(key) = self.session(request, repo, id) else {
            return error(404, "BLOB_UPLOAD_UNKNOWN", "no such upload");
        };
        let Some(mut session) = self.sessions.remove(&key) else {
            return error(404, "BLOB_UPLOAD_UNKNOWN", "no such upload");
        };
        if taken.size > 0 {
            taken.onto(&mut session.content);
        }
        let found = session.content.digest().to_string();
        if request.param("digest") != Some(&found) {
            return error(400, "DIGEST_INVALID", "provided digest did not match uploaded content");
        }
        let Content { kept, size, .. } = session.content;
        self.blobs.insert(found.clone(), Stored { size, bytes: kept.map(Arc::new) });
        self.repos.entry(repo.to_owned()).or_default().blobs.insert(found.clone());
        let beaten = self.fires(|s| match s {
            Switch::Concurrent400 { count } => Some(((), *count)),
            _ => None,
        });
        if beaten.is_some() {
            return error(400, "UNKNOWN", "the asset cannot be updated");
        }
        Answer::new(201)
            .with("Location", format!("/v2/{repo}/blobs/{found}"))
            .with("Docker-Content-Digest", found)
    }
}
