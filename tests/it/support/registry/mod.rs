//! A registry inside the test's process, with the bad habits of real ones as switches.
//!
//! Its semantics are those of the distribution specification, and of distribution 2.8 where that is
//! stricter: a session's state changes with every PATCH, an old one is not known any more, and a
//! body that was cut kills its session. Every request stands in the log with the size of its body.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, OnceLock};

use floe::oci::{Digest, Reference};

mod state;

use super::http::{Answer, Conn, Handler, Request, Server};
use state::{State, error, fits};

/// A bad habit. Those with a `count` fire so many times, the others always.
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
    /// `Location` without scheme and host.
    RelativeLocation,
    /// `Location` at another port.
    ForeignLocation,
    /// No `Location` after a POST.
    NoLocation { count: u32 },
    /// The session of an upload is lost.
    LostSession { count: u32 },
    /// ECR: 201 for a PATCH, and a range that is not up to date.
    Ecr201StaleRange,
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
    /// A new tag is not seen for so many looks.
    SlowTags(u32),
    /// Tags cannot be removed.
    NoTagDelete,
    /// HEAD is not known for manifests.
    NoHead,
    /// An error's body repeats the `Authorization` header.
    Echo,
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
        let core = Arc::new(Core { state: Mutex::default(), main: OnceLock::new(), other: OnceLock::new() });
        let servers =
            [false, true].map(|foreign| Server::start(Arc::new(Port { core: Arc::clone(&core), foreign })));
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
        self.state(|s| s.repos.get(repository)?.blobs.get(&digest).and_then(|d| s.blobs.get(d).cloned()))
    }

    /// Puts a blob into a repository.
    pub fn add_blob(&self, repository: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        self.state(|s| {
            s.blobs.insert(digest.to_string(), Arc::new(bytes.to_vec()));
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
            match fault {
                Some((status, after)) => {
                    let answer = error(status, "UNKNOWN", "as the switch says");
                    Some(match after {
                        Some(s) => answer.with("Retry-After", s.to_string()),
                        None => answer,
                    })
                }
                None if request.path == "/token" => Some(state.token(request)),
                None if foreign => None,
                None => state.challenge(request, self.main.get().unwrap()),
            }
        };
        if let Some(answer) = early {
            conn.body(request, |_| true)?;
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
        let (cut, flip) = {
            let mut s = self.state.lock().unwrap();
            let has_body = request.is_chunked() || request.length().unwrap_or(0) > 0;
            let cut = s.fires(|s| match s {
                Switch::CutUpload { after, count } if has_body => Some((*after, *count)),
                _ => None,
            });
            let flip = s.fires(|s| match s {
                Switch::FlipUpload { count } if has_body => Some(((), *count)),
                _ => None,
            });
            (cut, flip.is_some())
        };
        let mut body = Vec::new();
        let whole = conn.body(request, |piece| {
            body.extend_from_slice(piece);
            cut.is_none_or(|c| (body.len() as u64) < c)
        });
        if !matches!(whole, Ok(true)) {
            // As distribution 2.8: what was cut cannot be taken up again.
            if let Ok(id) = id.parse() {
                self.state.lock().unwrap().sessions.remove(&id);
            }
            whole?;
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if flip && let Some(byte) = body.last_mut() {
            *byte ^= 1;
        }
        let mut state = self.state.lock().unwrap();
        let base = [self.main.get().unwrap().as_str(), self.other.get().unwrap()];
        Ok(match request.method.as_str() {
            "POST" => state.begin(request, repo, base),
            "PATCH" => state.patch(request, repo, id, &body, base),
            "PUT" => state.commit(request, repo, id, &body),
            "DELETE" => Answer::new(204),
            _ => error(405, "UNSUPPORTED", "no such method"),
        })
    }
}
