//! A registry inside the test's process, with the bad habits of real ones as switches.
//!
//! Its semantics are those of the distribution specification, and of distribution 2.8 where that is
//! stricter: a session's state changes with every PATCH, an old one is not known any more, and a
//! body that was cut kills its session. Every request stands in the log with the size of its body.
//! What floe relies on is also asked of a real registry, in `registry/conformance.rs`.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use floe::oci::{Digest, Reference};

mod state;
mod uploads;

use super::http::{Answer, Conn, Handler, Request, Server};
use state::{State, Stored, error, fits};
use uploads::Taken;

/// A bad habit, or one that registries differ in. Those with a `count` fire so many times, the others
/// always.
#[derive(Clone, Debug, PartialEq)]
pub enum Switch {
    /// User name and password with each request.
    Basic { user: &'static str, password: &'static str },
    /// Tokens, each good for so many requests; `login` says who gets one, `None` is everybody.
    Bearer { requests: u32, login: Option<(&'static str, &'static str)> },
    /// Names a realm elsewhere in the challenge.
    Realm(String),
    /// A status instead of an answer, for requests whose method and path fit (`""` is all).
    Status { method: &'static str, path: &'static str, status: u16, retry_after: Option<u64>, count: u32 },
    /// Reset of the connection after so many bytes of an upload's body.
    CutUpload { after: u64, count: u32 },
    /// End of the connection after so many bytes of a blob.
    CutDownload { after: usize, count: u32 },
    /// A blob that is shorter than it should be, and an honest length.
    ShortDownload { bytes: usize, count: u32 },
    /// One wrong bit in a blob on its way out.
    FlipDownload { count: u32 },
    /// One wrong bit in a blob on its way in.
    FlipUpload { count: u32 },
    /// `Range` of a GET is not understood.
    NoRange,
    /// Blobs are at another place, to which a redirect leads.
    Redirect,
    /// A mount opens an upload instead.
    Mount202,
    /// A mount is an error and opens nothing (Artifactory, Harbor for who is not logged in).
    MountFails(u16),
    /// A mount that does not say where from is an error (Quay).
    MountNeedsFrom,
    /// `Location` without scheme and host.
    RelativeLocation,
    /// `Location` at another port.
    ForeignLocation,
    /// No `Location` after a POST.
    NoLocation { count: u32 },
    /// The session of an upload is lost.
    LostSession { count: u32 },
    /// distribution 3: a body that was cut stays as far as it came, and the status tells.
    SessionSurvives,
    /// The status of an upload cannot be asked.
    NoStatus,
    /// ECR: 201 for a PATCH, and a range that is not up to date.
    Ecr201StaleRange,
    /// What comes after the first PATCH is dropped, and nobody is told.
    DropsLaterChunks,
    /// distribution 2.8: `Content-Range` is not looked at, bytes are appended.
    OutOfOrder,
    /// A PATCH without `Content-Range` is 416, and so is one whose range is not its length.
    StrictRange,
    /// A PATCH with `Content-Range` is answered with this status (GAR).
    NoChunks(u16),
    /// Chunks before the last have so many bytes at least, as the session says.
    MinChunk(u64),
    /// Only says so.
    ClaimsMinChunk(u64),
    /// Bodies over so many bytes are 413; `early` is before all of it was read.
    TooLarge { over: u64, early: bool },
    /// Nothing is read any more after so many bytes of an upload's body, and nothing said.
    Stall { after: u64, count: u32 },
    /// Pulp: 204 for a PATCH, without a range.
    Patch204,
    /// zot: the range in an answer is that of the last chunk.
    RangeOfChunk,
    /// Nexus: another publisher of the same blob is first, and ours is 400.
    Concurrent400 { count: u32 },
    /// Bodies are hashed and not kept.
    Discard,
    /// A range in the answer to a PATCH that is less than what was sent.
    ShortRange { count: u32 },
    /// GHCR: 416 for a PATCH with a length over 4 MiB.
    Ghcr416Over4MiB,
    /// PATCH is answered with this status.
    NoPatch(u16),
    /// Tags in the order in which they were made, backwards.
    UnsortedTags,
    /// Pages of so many tags, whatever is asked for.
    Page(usize),
    /// An `n` over this is 400.
    MaxN(usize),
    /// No `Docker-Content-Digest`.
    NoDigestHeader,
    /// A false one, on these methods.
    FalseDigestHeader(&'static [&'static str]),
    /// All is done, but the connection ends without an answer.
    LostReply { method: &'static str, path: &'static str, count: u32 },
    /// Harbor: 201 for a tag that somebody else got.
    Harbor201ButLost { count: u32 },
    /// ECR: 400 for a tag that exists, even for the same digest.
    Immutable400,
    /// Another status for such a tag: Harbor 412, Quay 409, zot and GAR 403.
    Immutable(u16),
    /// Layers of other media types than these are 400 (Quay).
    MediaTypes(&'static [&'static str]),
    /// `If-None-Match: *` is heeded when a tag is written.
    IfNoneMatch,
    /// Repositories are there only after somebody made them (ECR).
    NoRepository,
    /// Every so manieth request is answered with this status.
    EveryNth { n: u32, status: u16 },
    /// So many of a hundred requests are answered with 503; which ones the seed says.
    Sometimes { percent: u32, seed: u32 },
    /// 429, and a date to come back at.
    RetryDate { method: &'static str, path: &'static str, seconds: u64, count: u32 },
    /// A new tag is not seen for so many looks.
    SlowTags(u32),
    /// Tags cannot be removed.
    NoTagDelete,
    /// HEAD is not known for manifests.
    NoHead,
    /// An error's body repeats the `Authorization` header.
    Echo,
    /// Tokens say that they live so many seconds, and live so many milliseconds.
    TokenLife { says: u64, millis: u64 },
    /// The realm trades this identity token: by POST, or by GET as a password where it knows no POST.
    Identity { token: &'static str, post: bool },
    /// This token is taken without a realm.
    OwnToken(&'static str),
    /// A header in every answer.
    Header(&'static str, &'static str),
    /// The referrers API, in pages of so many.
    Referrers { page: usize },
}

/// One request and what came of it.
#[derive(Clone, Debug)]
pub struct Entry {
    pub method: String,
    pub path: String,
    pub query: Vec<(String, String)>,
    /// Status of the answer; 0 where the connection was closed instead.
    pub status: u16,
    /// Bytes of the request's body.
    pub received: u64,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// Other headers of the request.
    pub headers: BTreeMap<String, String>,
    /// Came to the other port.
    pub foreign: bool,
}

impl Entry {
    /// Method and what it is about: `PUT manifests`, `POST uploads`, `PATCH uploads`, `HEAD blobs`.
    pub fn short(&self) -> String {
        let kind = ["uploads", "blobs", "manifests", "tags", "token"]
            .into_iter()
            .find(|k| self.path.contains(&format!("/{k}")))
            .unwrap_or("v2");
        format!("{} {kind}", self.method)
    }
}

struct Core {
    state: Mutex<State>,
    arrived: AtomicU64,
    /// Nobody waits for a stalled request any more.
    ended: AtomicBool,
    main: OnceLock<String>,
    other: OnceLock<String>,
}

/// One of the two ports.
struct Port {
    core: Arc<Core>,
    foreign: bool,
}

/// The registry; it ends when it is dropped.
pub struct TestRegistry {
    core: Arc<Core>,
    _servers: [Server; 2],
}

impl TestRegistry {
    pub fn start() -> Self {
        Self::start_with(Server::start)
    }

    /// A registry on the loopback address of IPv6.
    pub fn start_v6() -> Self {
        Self::start_with(Server::start_v6)
    }

    /// A registry whose two servers are started otherwise, as with TLS.
    pub fn start_with(serve: impl Fn(Arc<dyn Handler>) -> Server) -> Self {
        let core = Arc::new(Core {
            state: Mutex::default(),
            arrived: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            main: OnceLock::new(),
            other: OnceLock::new(),
        });
        let servers = [false, true].map(|foreign| serve(Arc::new(Port { core: Arc::clone(&core), foreign })));
        core.main.set(servers[0].addr().to_string()).unwrap();
        core.other.set(servers[1].addr().to_string()).unwrap();
        Self { core, _servers: servers }
    }

    /// Turns a switch on.
    #[must_use]
    pub fn with(self, switch: Switch) -> Self {
        self.set(switch);
        self
    }

    /// Turns a switch on while it runs.
    pub fn set(&self, switch: Switch) {
        self.state(|s| s.switches.push((switch, 0)));
    }

    /// Turns all switches off.
    pub fn clear(&self) {
        self.state(|s| s.switches.clear());
    }

    /// Host and port.
    pub fn addr(&self) -> &str {
        self.core.main.get().unwrap()
    }

    /// Host and port of the other place, where redirects and foreign locations lead.
    pub fn other(&self) -> &str {
        self.core.other.get().unwrap()
    }

    pub fn reference(&self, repository: &str) -> Reference {
        format!("{}/{repository}", self.addr()).parse().unwrap()
    }

    /// All requests so far, the ping left out.
    pub fn log(&self) -> Vec<Entry> {
        self.state(|s| s.log.iter().filter(|e| e.path != "/v2/").cloned().collect())
    }

    /// The requests so far in short.
    pub fn steps(&self) -> Vec<String> {
        self.log().iter().map(Entry::short).collect()
    }

    /// Forgets the requests so far.
    pub fn forget(&self) {
        self.state(|s| s.log.clear());
    }

    pub fn tags(&self, repository: &str) -> BTreeMap<String, String> {
        self.state(|s| s.repos.get(repository).map(|r| r.tags.iter().cloned().collect()).unwrap_or_default())
    }

    pub fn blob(&self, repository: &str, digest: &Digest) -> Option<Arc<Vec<u8>>> {
        let digest = digest.to_string();
        self.state(|s| {
            let stored = s.repos.get(repository)?.blobs.get(&digest).and_then(|d| s.blobs.get(d))?;
            stored.bytes.clone()
        })
    }

    /// The size of a blob, which may not have been kept.
    pub fn blob_size(&self, repository: &str, digest: &str) -> Option<u64> {
        self.state(|s| s.has_blob(repository, digest).then(|| s.blobs.get(digest).map(|b| b.size))?)
    }

    /// Bytes of upload bodies so far, those of the requests that still run included.
    pub fn arrived(&self) -> u64 {
        self.core.arrived.load(Ordering::Relaxed)
    }

    /// Takes a blob out of a repository.
    pub fn lose_blob(&self, repository: &str, digest: &Digest) {
        self.state(|s| s.repos.get_mut(repository).map(|r| r.blobs.remove(&digest.to_string())));
    }

    /// The bytes of a manifest.
    pub fn manifest(&self, repository: &str, digest: &str) -> Option<Vec<u8>> {
        self.state(|s| Some(s.repos.get(repository)?.manifests.get(digest)?.1.clone()))
    }

    /// Flips a bit of what is stored under a digest: of a blob, or else of a manifest.
    pub fn damage(&self, repository: &str, digest: &str) {
        self.state(|s| {
            if let Some(blob) = s.blobs.get_mut(digest) {
                let mut bytes = blob.bytes.as_ref().unwrap().as_ref().clone();
                *bytes.last_mut().unwrap() ^= 4;
                *blob = Stored::keep(bytes);
            } else {
                // In the size at its end, so that it can still be read and listed.
                let (_, bytes) = s.repos.get_mut(repository).unwrap().manifests.get_mut(digest).unwrap();
                let at = bytes.iter().rposition(u8::is_ascii_digit).unwrap();
                bytes[at] ^= 1;
            }
        });
    }

    /// Puts a blob into a repository.
    pub fn add_blob(&self, repository: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        self.state(|s| {
            s.blobs.insert(digest.to_string(), Stored::keep(bytes.to_vec()));
            s.repos.entry(repository.to_owned()).or_default().blobs.insert(digest.to_string());
        });
        digest
    }

    /// Puts a manifest and a tag into a repository, without looking at what it names.
    pub fn add_tag(&self, repository: &str, tag: &str, media_type: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        self.state(|s| {
            let repo = s.repos.entry(repository.to_owned()).or_default();
            repo.manifests.insert(digest.to_string(), (media_type.to_owned(), bytes.to_vec()));
            repo.tag(tag, &digest.to_string());
        });
        digest
    }

    fn state<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.core.state.lock().unwrap())
    }
}

impl Handler for Port {
    fn answer(&self, conn: &mut Conn, request: &Request) -> io::Result<Answer> {
        let result = self.core.answer(conn, request, self.foreign);
        let mut state = self.core.state.lock().unwrap();
        let mut result = result.map(|mut answer| {
            state.decorate(request, &mut answer);
            answer
        });
        if let Ok(answer) = &mut result {
            let lost = state.fires(|s| match s {
                Switch::LostReply { method, path, count } if fits(request, method, path) => {
                    Some(((), *count))
                }
                _ => None,
            });
            answer.lost |= lost.is_some();
        }
        state.log.push(Entry {
            method: request.method.clone(),
            path: request.path.clone(),
            query: request.query.clone(),
            status: result.as_ref().map_or(0, |a| if a.lost { 0 } else { a.status }),
            received: conn.received,
            authorization: request.header("authorization").map(str::to_owned),
            headers: request.headers.clone(),
            foreign: self.foreign,
        });
        result
    }
}

impl Core {
    fn answer(&self, conn: &mut Conn, request: &Request, foreign: bool) -> io::Result<Answer> {
        let mut form = Vec::new();
        if request.path == "/token" {
            conn.body(request, |b| {
                form.extend_from_slice(b);
                true
            })?;
        }
        let early = {
            let mut state = self.state.lock().unwrap();
            let fault = state.fires(|s| match s {
                Switch::Status { method, path, status, retry_after, count }
                    if fits(request, method, path) =>
                {
                    Some(((*status, *retry_after), *count))
                }
                _ => None,
            });
            let dated = state.fires(|s| match s {
                Switch::RetryDate { method, path, seconds, count } if fits(request, method, path) => {
                    Some((*seconds, *count))
                }
                _ => None,
            });
            let fault = fault.or_else(|| state.nth(request).map(|status| (status, None)));
            match fault {
                _ if dated.is_some() => {
                    let date = SystemTime::now() + Duration::from_secs(dated.unwrap_or(0));
                    let date = httpdate::fmt_http_date(date);
                    Some(error(429, "TOOMANYREQUESTS", "as the switch says").with("Retry-After", date))
                }
                Some((status, after)) => {
                    let answer = error(status, "UNKNOWN", "as the switch says");
                    Some(match after {
                        Some(s) => answer.with("Retry-After", s.to_string()),
                        None => answer,
                    })
                }
                None if request.path == "/token" => Some(state.token(request, &form)),
                None if foreign => None,
                None => state.challenge(request, self.main.get().unwrap()),
            }
        };
        if let Some(answer) = early {
            if request.path != "/token" {
                conn.body(request, |_| true)?;
            }
            return Ok(answer);
        }
        let Some(rest) = request.path.strip_prefix("/v2/") else {
            conn.body(request, |_| true)?;
            return Ok(error(404, "UNSUPPORTED", "no such path"));
        };
        if rest.is_empty() {
            return Ok(Answer::new(200).body("{}"));
        }
        if let Some((repo, id)) = rest.split_once("/blobs/uploads/") {
            return self.upload(conn, request, repo, id);
        }
        let mut body = Vec::new();
        conn.body(request, |b| {
            body.extend_from_slice(b);
            true
        })?;
        let mut state = self.state.lock().unwrap();
        if let Some((repo, digest)) = rest.split_once("/blobs/") {
            return Ok(state.blob(request, repo, digest, foreign, self.other.get().unwrap()));
        }
        if let Some((repo, name)) = rest.split_once("/manifests/") {
            return Ok(state.manifest(request, repo, name, &body));
        }
        if let Some((repo, subject)) = rest.split_once("/referrers/") {
            return Ok(state.referrers(request, repo, subject));
        }
        if let Some(repo) = rest.strip_suffix("/tags/list") {
            return Ok(state.list(request, repo));
        }
        Ok(error(404, "UNSUPPORTED", "no such path"))
    }

    fn upload(&self, conn: &mut Conn, request: &Request, repo: &str, id: &str) -> io::Result<Answer> {
        let faults = self.state.lock().unwrap().faults(request, repo, id);
        let limit = faults.too_large.map_or(u64::MAX, |(over, _)| over);
        let early = faults.too_large.is_some_and(|(_, early)| early);
        if early && request.length().is_some_and(|l| l > limit) {
            return Ok(Answer { linger: true, ..error(413, "SIZE_INVALID", "too large") });
        }
        let mut taken = Taken::new(faults.content);
        let mut bytes = 0;
        let mut stalled = false;
        let whole = conn.body(request, |piece| {
            bytes += piece.len() as u64;
            self.arrived.fetch_add(piece.len() as u64, Ordering::Relaxed);
            taken.push(piece);
            stalled = faults.stall.is_some_and(|after| bytes >= after);
            let enough = stalled || early && bytes > limit || faults.cut.is_some_and(|cut| bytes >= cut);
            !enough
        });
        if early && bytes > limit {
            return Ok(Answer { linger: true, ..error(413, "SIZE_INVALID", "too large") });
        }
        if !matches!(whole, Ok(true)) {
            self.state.lock().unwrap().cut(id, taken);
            let begun = Instant::now();
            while stalled && begun.elapsed() < Duration::from_secs(8) && !self.ended.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(20));
            }
            whole?;
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if bytes > limit {
            return Ok(error(413, "SIZE_INVALID", "too large"));
        }
        if faults.flip {
            taken.flip();
        }
        let mut state = self.state.lock().unwrap();
        let base = [self.main.get().unwrap().as_str(), self.other.get().unwrap()];
        Ok(match request.method.as_str() {
            "POST" => state.begin(request, repo, base),
            "GET" => state.status(request, repo, id, base),
            "PATCH" => state.patch(request, repo, id, taken, base),
            "PUT" => state.commit(request, repo, id, taken),
            "DELETE" => state.cancel(id),
            _ => error(405, "UNSUPPORTED", "no such method"),
        })
    }
}

impl Drop for TestRegistry {
    fn drop(&mut self) {
        self.core.ended.store(true, Ordering::Relaxed);
    }
}
