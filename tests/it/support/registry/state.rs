//! What the registry of the tests holds, and what it answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use floe::oci::Digest;
use serde_json::{Value, json};

use super::super::http::{Answer, Request, decode};
use super::uploads::Session;
use super::{Entry, Switch};

#[derive(Default)]
pub(super) struct Repo {
    pub(super) blobs: BTreeSet<String>,
    pub(super) manifests: BTreeMap<String, (String, Vec<u8>)>,
    /// In the order in which they were made.
    pub(super) tags: Vec<(String, String)>,
    /// Looks until a tag is seen.
    pub(super) hidden: BTreeMap<String, u32>,
}

/// A blob. Its bytes may have been hashed and not kept.
pub(super) struct Stored {
    pub(super) size: u64,
    pub(super) bytes: Option<Arc<Vec<u8>>>,
}

impl Stored {
    pub(super) fn keep(bytes: Vec<u8>) -> Self {
        Self { size: bytes.len() as u64, bytes: Some(Arc::new(bytes)) }
    }
}

#[derive(Default)]
pub(super) struct State {
    pub(super) switches: Vec<(Switch, u32)>,
    pub(super) blobs: BTreeMap<String, Stored>,
    pub(super) repos: BTreeMap<String, Repo>,
    pub(super) sessions: BTreeMap<u64, Session>,
    /// Requests left and scopes granted.
    pub(super) tokens: BTreeMap<String, (u32, Vec<String>)>,
    /// When tokens end, where that is counted in time.
    pub(super) ends: BTreeMap<String, Instant>,
    pub(super) serial: u64,
    /// Requests so far, for those of which every so manieth fails.
    pub(super) asked: u32,
    pub(super) log: Vec<Entry>,
}

impl Repo {
    pub(super) fn tag(&mut self, name: &str, digest: &str) {
        self.tags.retain(|(n, _)| n != name);
        self.tags.push((name.to_owned(), digest.to_owned()));
    }

    pub(super) fn tagged(&self, name: &str) -> Option<String> {
        self.tags.iter().find(|(n, _)| n == name).map(|(_, d)| d.clone())
    }
}

impl State {
    /// The first switch that fits and still may fire.
    pub(super) fn fires<T>(&mut self, pick: impl Fn(&Switch) -> Option<(T, u32)>) -> Option<T> {
        self.switches.iter_mut().find_map(|(switch, fired)| {
            let (value, count) = pick(switch)?;
            (*fired < count).then(|| {
                *fired += 1;
                value
            })
        })
    }

    pub(super) fn on(&self, switch: &Switch) -> bool {
        self.switches.iter().any(|(s, _)| s == switch)
    }

    pub(super) fn any<T>(&self, pick: impl Fn(&Switch) -> Option<T>) -> Option<T> {
        self.switches.iter().find_map(|(s, _)| pick(s))
    }

    pub(super) fn serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// The status of this request, where it is one of every so many.
    pub(super) fn nth(&mut self, request: &Request) -> Option<u16> {
        if request.path == "/token" || request.path == "/v2/" {
            return None;
        }
        self.asked += 1;
        let asked = self.asked;
        self.any(|s| match s {
            Switch::EveryNth { n, status } => asked.is_multiple_of(*n).then_some(*status),
            Switch::Sometimes { percent, seed } => {
                let mixed = (asked ^ seed.rotate_left(16)).wrapping_mul(0x9e37_79b1);
                ((mixed >> 16) % 100 < *percent).then_some(503)
            }
            _ => None,
        })
    }

    pub(super) fn has_blob(&self, repo: &str, digest: &str) -> bool {
        self.repos.get(repo).is_some_and(|r| r.blobs.contains(digest))
    }
}

pub(super) fn error(status: u16, code: &str, message: &str) -> Answer {
    let body = json!({"errors": [{"code": code, "message": message}]});
    Answer::new(status).with("Content-Type", "application/json").body(body.to_string())
}

pub(super) fn fits(request: &Request, method: &str, path: &str) -> bool {
    (method.is_empty() || method.split('|').any(|m| m == request.method)) && request.path.contains(path)
}

impl State {
    /// What concerns the headers of any answer.
    pub(super) fn decorate(&mut self, request: &Request, answer: &mut Answer) {
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
        for (switch, _) in &self.switches {
            if let Switch::Header(name, value) = switch {
                answer.headers.push(((*name).to_owned(), (*value).to_owned()));
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

impl State {
    pub(super) fn token(&mut self, request: &Request, form: &[u8]) -> Answer {
        let Some((requests, login)) = self.any(|s| match s {
            Switch::Bearer { requests, login } => Some((*requests, *login)),
            _ => None,
        }) else {
            return error(404, "UNSUPPORTED", "no tokens here");
        };
        let identity = self.any(|s| match s {
            Switch::Identity { token, post } => Some((*token, *post)),
            _ => None,
        });
        let form: Vec<(String, String)> = String::from_utf8_lossy(form)
            .split('&')
            .filter_map(|p| p.split_once('='))
            .map(|(k, v)| (decode(k), decode(v)))
            .collect();
        let field = |name: &str| form.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str());
        if let Some((token, post)) = identity {
            let fits = if post {
                request.method == "POST"
                    && field("grant_type") == Some("refresh_token")
                    && field("refresh_token") == Some(token)
            } else {
                if request.method == "POST" {
                    return error(404, "UNSUPPORTED", "no POST here");
                }
                let sent = request.header("authorization").and_then(|a| a.strip_prefix("Basic "));
                sent.and_then(|s| STANDARD.decode(s).ok())
                    .is_some_and(|b| b.ends_with(format!(":{token}").as_bytes()))
            };
            if !fits {
                return error(401, "UNAUTHORIZED", "who are you");
            }
        } else if let Some((user, password)) = login {
            let want = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
            if request.header("authorization") != Some(&want) {
                return error(401, "UNAUTHORIZED", "who are you");
            }
        }
        let token = format!("token-number-{}", self.serial());
        let scopes = match field("scope") {
            Some(all) => all.split(' ').map(str::to_owned).collect(),
            None => request.params("scope").map(str::to_owned).collect(),
        };
        self.tokens.insert(token.clone(), (requests, scopes));
        let life = self.any(|s| match s {
            Switch::TokenLife { says, millis } => Some((*says, *millis)),
            _ => None,
        });
        if let Some((_, millis)) = life {
            self.ends.insert(token.clone(), Instant::now() + Duration::from_millis(millis));
        }
        let says = life.map_or(300, |(says, _)| says);
        Answer::new(200).body(json!({"token": token, "expires_in": says}).to_string())
    }

    /// What stands in the way of a request, by its credentials.
    pub(super) fn challenge(&mut self, request: &Request, addr: &str) -> Option<Answer> {
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
        if self.any(|s| matches!(s, Switch::OwnToken(own) if *own == token).then_some(())).is_some() {
            return None;
        }
        if self.ends.get(token).is_some_and(|end| Instant::now() >= *end) {
            return Some(refuse);
        }
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

    pub(super) fn blob(
        &mut self,
        request: &Request,
        repo: &str,
        digest: &str,
        foreign: bool,
        other: &str,
    ) -> Answer {
        if !self.has_blob(repo, digest) {
            return error(404, "BLOB_UNKNOWN", "no such blob");
        }
        let size = self.blobs[digest].size;
        let kept = self.blobs[digest].bytes.clone();
        let base = |status| {
            Answer::new(status)
                .with("Docker-Content-Digest", digest)
                .with("Content-Type", "application/octet-stream")
        };
        match request.method.as_str() {
            "HEAD" => return Answer { length: Some(size), ..base(200) },
            "GET" if self.on(&Switch::Redirect) && !foreign => {
                return Answer::new(307)
                    .with("Location", format!("http://{other}{}?signature=s3cr3t", request.path));
            }
            "GET" => {}
            _ => return error(405, "UNSUPPORTED", "no such method"),
        }
        let Some(bytes) = kept else { return error(500, "UNKNOWN", "these bytes were not kept") };
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

    pub(super) fn manifest(&mut self, request: &Request, repo: &str, name: &str, body: &[u8]) -> Answer {
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

    pub(super) fn put_manifest(
        &mut self,
        request: &Request,
        repo_name: &str,
        name: &str,
        body: &[u8],
    ) -> Answer {
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
        if exists && self.on(&Switch::IfNoneMatch) && request.header("if-none-match") == Some("*") {
            return error(412, "PRECONDITION", "it is there");
        }
        if exists && self.on(&Switch::Immutable400) {
            return error(400, "TAG_INVALID", "the tag is immutable");
        }
        if let Some(status) = self.any(|s| match s {
            Switch::Immutable(status) if exists => Some(*status),
            _ => None,
        }) {
            return error(status, "DENIED", "the tag is immutable");
        }
        let allowed = self.any(|s| match s {
            Switch::MediaTypes(allowed) => Some(*allowed),
            _ => None,
        });
        let mut types =
            value["layers"].as_array().into_iter().flatten().filter_map(|l| l["mediaType"].as_str());
        if allowed.is_some_and(|allowed| types.any(|t| !allowed.contains(&t))) {
            return error(400, "MANIFEST_INVALID", "a layer has a media type that is not allowed");
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
        let knows = self.any(|s| matches!(s, Switch::Referrers { .. }).then_some(()));
        let repo = self.repos.entry(repo_name.to_owned()).or_default();
        let created = match value["subject"]["digest"].as_str().filter(|_| knows.is_some()) {
            Some(subject) => created.with("OCI-Subject", subject),
            None => created,
        };
        if is_tag {
            repo.tag(name, &digest);
            if let Some(looks) = hide {
                repo.hidden.insert(name.to_owned(), looks);
            }
        }
        created
    }

    /// What refers to a subject, one page of it.
    pub(super) fn referrers(&self, request: &Request, repo: &str, subject: &str) -> Answer {
        let page = self.any(|s| if let Switch::Referrers { page } = s { Some(*page) } else { None });
        let Some(page) = page else { return error(404, "UNSUPPORTED", "no such path") };
        let manifests = self.repos.get(repo).into_iter().flat_map(|r| &r.manifests);
        let all: Vec<Value> = manifests
            .filter_map(|(digest, (kind, bytes))| {
                let value: Value = serde_json::from_slice(bytes).ok()?;
                (value["subject"]["digest"] == subject).then(|| {
                    json!({
                        "mediaType": kind, "digest": digest, "size": bytes.len(),
                        "artifactType": value["artifactType"], "annotations": value["annotations"],
                    })
                })
            })
            .collect();
        let from: usize = request.param("from").and_then(|f| f.parse().ok()).unwrap_or(0).min(all.len());
        let to = (from + page).min(all.len());
        let body = json!({"schemaVersion": 2, "manifests": &all[from..to]});
        let answer = Answer::new(200).with("Content-Type", "application/vnd.oci.image.index.v1+json");
        let answer = match to < all.len() {
            true => answer.with("Link", format!("</v2/{repo}/referrers/{subject}?from={to}>; rel=\"next\"")),
            false => answer,
        };
        answer.body(body.to_string())
    }

    pub(super) fn delete_manifest(&mut self, repo: &str, name: &str) -> Answer {
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

    pub(super) fn list(&mut self, request: &Request, repo: &str) -> Answer {
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

pub(super) fn granted(scopes: &[String], repo: &str, action: &str) -> bool {
    scopes.iter().any(|s| {
        s.strip_prefix("repository:")
            .and_then(|s| s.rsplit_once(':'))
            .is_some_and(|(name, actions)| name == repo && actions.split(',').any(|a| a == action))
    })
}
