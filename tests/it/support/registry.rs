//! A registry inside the test's process, with the bad habits of real ones as switches.
//!
//! Its semantics are those of the distribution specification, and of distribution 2.8 where that is
//! stricter: a session's state changes with every PATCH, an old one is not known any more, and a
//! body that was cut kills its session. Every request stands in the log with the size of its body.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use floe::oci::{Digest, Reference};
use serde_json::{Value, json};

use super::http::{Answer, Conn, Handler, Request, Server};

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

#[derive(Default)]
struct Repo {
    blobs: BTreeSet<String>,
    manifests: BTreeMap<String, (String, Vec<u8>)>,
    /// In the order in which they were made.
    tags: Vec<(String, String)>,
    /// Looks until a tag is seen.
    hidden: BTreeMap<String, u32>,
}

struct Session {
    repo: String,
    state: u32,
    bytes: Vec<u8>,
    patched: bool,
}

#[derive(Default)]
struct State {
    switches: Vec<(Switch, u32)>,
    blobs: BTreeMap<String, Arc<Vec<u8>>>,
    repos: BTreeMap<String, Repo>,
    sessions: BTreeMap<u64, Session>,
    /// Requests left and scopes granted.
    tokens: BTreeMap<String, (u32, Vec<String>)>,
    serial: u64,
    log: Vec<Entry>,
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

impl Repo {
    fn tag(&mut self, name: &str, digest: &str) {
        self.tags.retain(|(n, _)| n != name);
        self.tags.push((name.to_owned(), digest.to_owned()));
    }

    fn tagged(&self, name: &str) -> Option<String> {
        self.tags.iter().find(|(n, _)| n == name).map(|(_, d)| d.clone())
    }
}

impl State {
    /// The first switch that fits and still may fire.
    fn fires<T>(&mut self, pick: impl Fn(&Switch) -> Option<(T, u32)>) -> Option<T> {
        self.switches.iter_mut().find_map(|(switch, fired)| {
            let (value, count) = pick(switch)?;
            (*fired < count).then(|| {
                *fired += 1;
                value
            })
        })
    }

    fn on(&self, switch: &Switch) -> bool {
        self.switches.iter().any(|(s, _)| s == switch)
    }

    fn any<T>(&self, pick: impl Fn(&Switch) -> Option<T>) -> Option<T> {
        self.switches.iter().find_map(|(s, _)| pick(s))
    }

    fn serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    fn has_blob(&self, repo: &str, digest: &str) -> bool {
        self.repos.get(repo).is_some_and(|r| r.blobs.contains(digest))
    }
}

fn error(status: u16, code: &str, message: &str) -> Answer {
    let body = json!({"errors": [{"code": code, "message": message}]});
    Answer::new(status).with("Content-Type", "application/json").body(body.to_string())
}

fn fits(request: &Request, method: &str, path: &str) -> bool {
    (method.is_empty() || method.split('|').any(|m| m == request.method)) && request.path.contains(path)
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

impl State {
    /// What concerns the headers of any answer.
    fn decorate(&mut self, request: &Request, answer: &mut Answer) {
        let is_digest = |name: &str| name == "Docker-Content-Digest";
        if self.on(&Switch::NoDigestHeader) {
            answer.headers.retain(|(n, _)| !is_digest(n));
        }
        let methods = self.any(|s| match s {
            Switch::FalseDigestHeader(methods) => Some(*methods),
            _ => None,
        });
        if methods.is_some_and(|m| m.contains(&request.method.as_str())) {
            for (name, value) in &mut answer.headers {
                if is_digest(name) {
                    *value = Digest::of(b"another content").to_string();
                }
            }
        }
        if answer.status >= 400 && self.on(&Switch::Echo) {
            let sent = request.header("authorization").unwrap_or("nothing");
            let secret = sent.split(' ').next_back().unwrap_or("");
            let plain =
                STANDARD.decode(secret).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default();
            answer.body = error(answer.status, "DENIED", &format!("you sent {sent}, which is {plain}")).body;
        }
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

impl State {
    fn token(&mut self, request: &Request) -> Answer {
        let Some((requests, login)) = self.any(|s| match s {
            Switch::Bearer { requests, login } => Some((*requests, *login)),
            _ => None,
        }) else {
            return error(404, "UNSUPPORTED", "no tokens here");
        };
        if let Some((user, password)) = login {
            let want = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
            if request.header("authorization") != Some(&want) {
                return error(401, "UNAUTHORIZED", "who are you");
            }
        }
        let token = format!("token-number-{}", self.serial());
        let scopes = request.params("scope").map(str::to_owned).collect();
        self.tokens.insert(token.clone(), (requests, scopes));
        Answer::new(200).body(json!({"token": token, "expires_in": 300}).to_string())
    }

    /// What stands in the way of a request, by its credentials.
    fn challenge(&mut self, request: &Request, addr: &str) -> Option<Answer> {
        let sent = request.header("authorization");
        if let Some((user, password)) = self.any(|s| match s {
            Switch::Basic { user, password } => Some((*user, *password)),
            _ => None,
        }) {
            let want = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
            return (sent != Some(&want)).then(|| {
                error(401, "UNAUTHORIZED", "log in").with("WWW-Authenticate", "Basic realm=\"test\"")
            });
        }
        self.any(|s| matches!(s, Switch::Bearer { .. }).then_some(()))?;
        let realm = self
            .any(|s| match s {
                Switch::Realm(realm) => Some(realm.clone()),
                _ => None,
            })
            .unwrap_or_else(|| format!("http://{addr}/token"));
        let refuse = Answer::new(401)
            .with("WWW-Authenticate", format!("Bearer realm=\"{realm}\",service=\"test\""))
            .body(error(401, "UNAUTHORIZED", "a token please").body);
        let Some(token) = sent.and_then(|s| s.strip_prefix("Bearer ")) else { return Some(refuse) };
        let Some((left, scopes)) = self.tokens.get_mut(token) else { return Some(refuse) };
        if *left == 0 {
            return Some(refuse);
        }
        *left -= 1;
        let action = match request.method.as_str() {
            "GET" | "HEAD" => "pull",
            "DELETE" => "delete",
            _ => "push",
        };
        let repo = request.path.strip_prefix("/v2/").unwrap_or("");
        let repo =
            ["/blobs/", "/manifests/", "/tags/"].iter().find_map(|m| repo.split_once(m)).map_or("", |r| r.0);
        let allowed = repo.is_empty() || granted(scopes, repo, action);
        (!allowed).then_some(refuse)
    }

    fn begin(&mut self, request: &Request, repo: &str, base: [&str; 2]) -> Answer {
        if let (Some(digest), Some(from)) = (request.param("mount"), request.param("from")) {
            let token = request.header("authorization").and_then(|a| a.strip_prefix("Bearer "));
            let readable =
                token.and_then(|t| self.tokens.get(t)).is_none_or(|(_, s)| granted(s, from, "pull"));
            if !self.on(&Switch::Mount202) && readable && self.has_blob(from, digest) {
                self.repos.entry(repo.to_owned()).or_default().blobs.insert(digest.to_owned());
                return Answer::new(201)
                    .with("Location", format!("http://{}/v2/{repo}/blobs/{digest}", base[0]))
                    .with("Docker-Content-Digest", digest);
            }
        }
        let id = self.serial();
        self.sessions
            .insert(id, Session { repo: repo.to_owned(), state: 0, bytes: Vec::new(), patched: false });
        let no_location = self.fires(|s| match s {
            Switch::NoLocation { count } => Some(((), *count)),
            _ => None,
        });
        let answer = Answer::new(202).with("Range", "0-0");
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
        (session.repo == repo && request.param("_state") == Some(&session.state.to_string())).then_some(id)
    }

    fn patch(&mut self, request: &Request, repo: &str, id: &str, body: &[u8], base: [&str; 2]) -> Answer {
        if let Some(status) = self.any(|s| match s {
            Switch::NoPatch(status) => Some(*status),
            _ => None,
        }) {
            return error(status, "UNSUPPORTED", "no PATCH here");
        }
        if self.on(&Switch::Ghcr416Over4MiB) && request.length().unwrap_or(0) > 4 << 20 {
            return error(416, "BLOB_UPLOAD_INVALID", "too long");
        }
        let unknown = || error(404, "BLOB_UPLOAD_UNKNOWN", "no such upload");
        let Some(key) = self.session(request, repo, id) else { return unknown() };
        let ecr = self.on(&Switch::Ecr201StaleRange);
        let short = self.fires(|s| match s {
            Switch::ShortRange { count } => Some(((), *count)),
            _ => None,
        });
        let Some(session) = self.sessions.get_mut(&key) else { return unknown() };
        if let Some(range) = request.header("content-range") {
            let start = range.split('-').next().and_then(|s| s.parse::<usize>().ok());
            if start != Some(session.bytes.len()) {
                let range = format!("0-{}", session.bytes.len().saturating_sub(1));
                return error(416, "RANGE_INVALID", "out of order").with("Range", range);
            }
        }
        // ECR forgets every PATCH but the first.
        if !(ecr && session.patched) {
            session.bytes.extend_from_slice(body);
        }
        session.patched = true;
        session.state += 1;
        let (state, mut have) = (session.state, session.bytes.len().saturating_sub(1));
        if short.is_some() {
            have /= 2;
            session.bytes.truncate(have + 1);
        }
        let location = self.location(repo, key, state, base);
        let (status, range) = if ecr { (201, "0-0".to_owned()) } else { (202, format!("0-{have}")) };
        Answer::new(status).with("Location", location).with("Range", range)
    }

    fn commit(&mut self, request: &Request, repo: &str, id: &str, body: &[u8]) -> Answer {
        let Some(key) = self.session(request, repo, id) else {
            return error(404, "BLOB_UPLOAD_UNKNOWN", "no such upload");
        };
        let Some(mut session) = self.sessions.remove(&key) else {
            return error(404, "BLOB_UPLOAD_UNKNOWN", "no such upload");
        };
        session.bytes.extend_from_slice(body);
        let found = Digest::of(&session.bytes).to_string();
        if request.param("digest") != Some(&found) {
            return error(400, "DIGEST_INVALID", "provided digest did not match uploaded content");
        }
        self.blobs.insert(found.clone(), Arc::new(session.bytes));
        self.repos.entry(repo.to_owned()).or_default().blobs.insert(found.clone());
        Answer::new(201)
            .with("Location", format!("/v2/{repo}/blobs/{found}"))
            .with("Docker-Content-Digest", found)
    }

    fn blob(&mut self, request: &Request, repo: &str, digest: &str, foreign: bool, other: &str) -> Answer {
        if !self.has_blob(repo, digest) {
            return error(404, "BLOB_UNKNOWN", "no such blob");
        }
        let bytes = Arc::clone(&self.blobs[digest]);
        let base = |status| {
            Answer::new(status)
                .with("Docker-Content-Digest", digest)
                .with("Content-Type", "application/octet-stream")
        };
        match request.method.as_str() {
            "HEAD" => return Answer { length: Some(bytes.len() as u64), ..base(200) },
            "GET" if self.on(&Switch::Redirect) && !foreign => {
                return Answer::new(307)
                    .with("Location", format!("http://{other}{}?signature=s3cr3t", request.path));
            }
            "GET" => {}
            _ => return error(405, "UNSUPPORTED", "no such method"),
        }
        let start = request.header("range").filter(|_| !self.on(&Switch::NoRange));
        let start = start.and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
        let mut answer = match start {
            Some(start) if start < bytes.len() => base(206)
                .with("Content-Range", format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len()))
                .body(&bytes[start..]),
            Some(_) => return error(416, "RANGE_INVALID", "beyond the end"),
            None => base(200).body(&bytes[..]),
        };
        answer.cut = self.fires(|s| match s {
            Switch::CutDownload { after, count } => Some((*after, *count)),
            _ => None,
        });
        if let Some(short) = self.fires(|s| match s {
            Switch::ShortDownload { bytes, count } => Some((*bytes, *count)),
            _ => None,
        }) {
            answer.body.truncate(short);
        }
        let flip = self.fires(|s| match s {
            Switch::FlipDownload { count } => Some(((), *count)),
            _ => None,
        });
        if flip.is_some()
            && let Some(byte) = answer.body.first_mut()
        {
            *byte ^= 1;
        }
        answer
    }

    fn manifest(&mut self, request: &Request, repo: &str, name: &str, body: &[u8]) -> Answer {
        match request.method.as_str() {
            "PUT" => self.put_manifest(request, repo, name, body),
            "DELETE" => self.delete_manifest(repo, name),
            "HEAD" if self.on(&Switch::NoHead) => Answer::new(405),
            "GET" | "HEAD" => {
                let unknown = || error(404, "MANIFEST_UNKNOWN", "no such manifest");
                let Some(repo) = self.repos.get_mut(repo) else {
                    return error(404, "NAME_UNKNOWN", "no such name");
                };
                if let Some(left) = repo.hidden.get_mut(name).filter(|l| **l > 0) {
                    *left -= 1;
                    return unknown();
                }
                let digest = if name.contains(':') { Some(name.to_owned()) } else { repo.tagged(name) };
                let found = digest.and_then(|d| repo.manifests.get(&d).map(|m| (d, m)));
                let Some((digest, (media_type, bytes))) = found else { return unknown() };
                Answer::new(200)
                    .with("Content-Type", media_type)
                    .with("Docker-Content-Digest", digest)
                    .body(&bytes[..])
            }
            _ => error(405, "UNSUPPORTED", "no such method"),
        }
    }

    fn put_manifest(&mut self, request: &Request, repo_name: &str, name: &str, body: &[u8]) -> Answer {
        let digest = Digest::of(body).to_string();
        if name.contains(':') && name != digest {
            return error(400, "DIGEST_INVALID", "provided digest did not match uploaded content");
        }
        let Ok(value) = serde_json::from_slice::<Value>(body) else {
            return error(400, "MANIFEST_INVALID", "not JSON");
        };
        let repo = self.repos.entry(repo_name.to_owned()).or_default();
        let blobs = value["layers"].as_array().into_iter().flatten().chain(value.get("config"));
        let missing = blobs.filter_map(|d| d["digest"].as_str()).any(|d| !repo.blobs.contains(d));
        let manifests = value["manifests"].as_array().into_iter().flatten();
        let lacking = manifests.filter_map(|d| d["digest"].as_str()).any(|d| !repo.manifests.contains_key(d));
        if missing || lacking {
            return error(400, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry");
        }
        let media_type = request.header("content-type").unwrap_or("").to_owned();
        let created = Answer::new(201)
            .with("Location", format!("/v2/{repo_name}/manifests/{digest}"))
            .with("Docker-Content-Digest", digest.clone());
        let is_tag = !name.contains(':');
        let exists = is_tag && repo.tagged(name).is_some();
        if exists && self.on(&Switch::Immutable400) {
            return error(400, "TAG_INVALID", "the tag is immutable");
        }
        let lost = self.fires(|s| match s {
            Switch::Harbor201ButLost { count } if is_tag => Some(((), *count)),
            _ => None,
        });
        let hide = self.any(|s| match s {
            Switch::SlowTags(looks) if is_tag && !exists => Some(*looks),
            _ => None,
        });
        let repo = self.repos.entry(repo_name.to_owned()).or_default();
        if lost.is_some() {
            let winner = b"{\"schemaVersion\":2,\"of\":\"somebody else\"}";
            let other = Digest::of(winner).to_string();
            repo.manifests.insert(other.clone(), (media_type, winner.to_vec()));
            repo.tag(name, &other);
            return created;
        }
        repo.manifests.insert(digest.clone(), (media_type, body.to_vec()));
        if is_tag {
            repo.tag(name, &digest);
            if let Some(looks) = hide {
                repo.hidden.insert(name.to_owned(), looks);
            }
        }
        created
    }

    fn delete_manifest(&mut self, repo: &str, name: &str) -> Answer {
        let no_tags = self.on(&Switch::NoTagDelete);
        let Some(repo) = self.repos.get_mut(repo) else { return error(404, "NAME_UNKNOWN", "no such name") };
        if name.contains(':') {
            repo.tags.retain(|(_, d)| d != name);
            return Answer::new(if repo.manifests.remove(name).is_some() { 202 } else { 404 });
        }
        if no_tags {
            return error(405, "UNSUPPORTED", "tags stay");
        }
        let before = repo.tags.len();
        repo.tags.retain(|(n, _)| n != name);
        Answer::new(if repo.tags.len() < before { 202 } else { 404 })
    }

    fn list(&mut self, request: &Request, repo: &str) -> Answer {
        let Some(found) = self.repos.get(repo) else { return error(404, "NAME_UNKNOWN", "no such name") };
        let n = request.param("n").and_then(|n| n.parse::<usize>().ok());
        let max = self.any(|s| match s {
            Switch::MaxN(max) => Some(*max),
            _ => None,
        });
        if n.zip(max).is_some_and(|(n, max)| n > max) {
            return error(400, "PAGINATION_NUMBER_INVALID", "n is too large");
        }
        let page = self.any(|s| match s {
            Switch::Page(page) => Some(*page),
            _ => None,
        });
        let page = page.or(n).unwrap_or(usize::MAX);
        let mut names: Vec<String> = found
            .tags
            .iter()
            .map(|(n, _)| n.clone())
            .filter(|n| found.hidden.get(n).is_none_or(|l| *l == 0))
            .collect();
        if self.on(&Switch::UnsortedTags) {
            names.reverse();
        } else {
            names.sort();
        }
        let from = request.param("last").and_then(|l| names.iter().position(|n| n == l)).map_or(0, |i| i + 1);
        let to = from.saturating_add(page).min(names.len());
        let mut answer = Answer::new(200);
        if to < names.len() && to > from {
            answer = answer.with(
                "Link",
                format!("</v2/{repo}/tags/list?last={}&n={page}>; rel=\"next\"", names[to - 1]),
            );
        }
        let body = json!({"name": repo, "tags": &names[from..to]});
        answer.with("Content-Type", "application/json").body(body.to_string())
    }
}

fn granted(scopes: &[String], repo: &str, action: &str) -> bool {
    scopes.iter().any(|s| {
        s.strip_prefix("repository:")
            .and_then(|s| s.rsplit_once(':'))
            .is_some_and(|(name, actions)| name == repo && actions.split(',').any(|a| a == action))
    })
}
