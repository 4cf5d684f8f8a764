//! What a registry demands before it answers: challenges, and the tokens that meet them.
//!
//! A registry says in `WWW-Authenticate` what it wants (RFC 9110, section 11; the token protocol is
//! distribution's `spec/auth/token.md`). Nothing is sent before it has asked. Tokens are kept per
//! set of scopes and renewed before they end; a registry whose tokens end before their time gets a
//! fresh one for every body that is too large to send twice.
//!
//! Invariant: a user's secret goes to the registry it belongs to and to the realm that this
//! registry names, over TLS unless both are this machine or called insecure.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Method, StatusCode, Url};

use super::call::{Body, Reply, retrying, transmit};
use super::credentials::{Login, Secret};
use super::error::{self, Asked, Failure, MAX_ERROR_BODY};
use super::host::Host;
use super::transport::{Client, is_loopback};
use crate::error::{Error, Kind, show_bytes};

/// How long a token lives whose answer does not say (distribution, `spec/auth/token.md`).
const DEFAULT_LIFE: Duration = Duration::from_secs(60);
/// The longest life that is believed.
const MAX_LIFE: Duration = Duration::from_secs(24 * 3600);
/// A token is renewed so long before its end, or at three quarters of a short life.
const MARGIN: Duration = Duration::from_secs(15);
/// How many challenges and parameters of a header are read.
const MAX_PARTS: usize = 64;
/// How many tokens are kept for one registry.
const MAX_TOKENS: usize = 256;

/// What a request wants to do, as the token protocol writes it; the main scope comes first.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Scope(Vec<String>);

impl Scope {
    /// Reading from a repository.
    pub(super) fn pull(repository: &str) -> Self {
        Self(vec![format!("repository:{repository}:pull")])
    }

    /// Reading from and writing to a repository.
    pub(super) fn push(repository: &str) -> Self {
        Self(vec![format!("repository:{repository}:pull,push")])
    }

    /// Removing from a repository.
    pub(super) fn delete(repository: &str) -> Self {
        Self(vec![format!("repository:{repository}:delete,pull,push")])
    }

    /// Reading from another repository of the same registry besides.
    #[must_use]
    pub(super) fn and_pull(mut self, repository: &str) -> Self {
        self.0.push(format!("repository:{repository}:pull"));
        self
    }
}

/// What a registry wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// It has not asked yet.
    Unasked,
    /// User name and secret with each request.
    Basic,
    /// A token from a realm.
    Bearer { realm: Url, service: Option<String> },
}

struct Token {
    value: Secret,
    renew_at: Instant,
}

/// How many tokens are remembered that are not used any more.
const MAX_SPENT: usize = 256;
/// So many tokens that were refused before their time, and each request gets one of its own.
const PRIVATE: u32 = 2;

/// What is known about authentication at one registry.
pub(super) struct Auth {
    pub(super) scheme: Scheme,
    tokens: BTreeMap<(String, Scope), Token>,
    /// Tokens that were used up or refused: an answer that is on its way may still repeat one.
    spent: VecDeque<Secret>,
    /// How many tokens were refused before their time.
    early: u32,
}

impl Auth {
    pub(super) fn new() -> Self {
        Self { scheme: Scheme::Unasked, tokens: BTreeMap::new(), spent: VecDeque::new(), early: 0 }
    }

    /// The value of the `Authorization` header for a request; `None` where nothing is to be sent.
    ///
    /// `precious` is true where the request has a body that should not be sent twice.
    pub(super) fn header(
        &mut self,
        client: &Client,
        host: &Host,
        repository: &str,
        scope: &Scope,
        precious: bool,
    ) -> Result<Option<HeaderValue>, Failure> {
        let login = client.settings().credentials.find(&host.name, repository);
        match &self.scheme {
            Scheme::Unasked => Ok(None),
            Scheme::Basic => login.map(|l| header("Basic", &l.basic())).transpose(),
            Scheme::Bearer { realm, service } => {
                let key = (repository.to_owned(), scope.clone());
                // Tokens that are used up by few requests are not shared: what one thread fetches, another
                // would use up before it.
                let shared = if precious { self.early == 0 } else { self.early < PRIVATE };
                let fresh = self.tokens.get(&key).filter(|t| Instant::now() < t.renew_at && shared);
                if let Some(token) = fresh {
                    return Ok(Some(header("Bearer", &token.value)?));
                }
                let token = fetch(client, host, repository, realm, service.as_deref(), scope, login)?;
                let value = header("Bearer", &token.value)?;
                if self.tokens.len() >= MAX_TOKENS {
                    self.spend(|_| true);
                }
                if let Some(old) = self.tokens.insert(key, token) {
                    self.remember(old.value);
                }
                Ok(Some(value))
            }
        }
    }

    /// Learns from a 401. False where another attempt would be the same as the last.
    pub(super) fn learn(
        &mut self,
        client: &Client,
        host: &Host,
        answer: &HeaderMap,
        sent: Option<&HeaderValue>,
    ) -> Result<bool, Failure> {
        let challenges = challenges(answer);
        let bearer = challenges.iter().find(|c| c.scheme.eq_ignore_ascii_case("bearer"));
        if let Some(challenge) = bearer {
            let Some(realm) = challenge.get("realm") else { return Ok(false) };
            let realm = check_realm(client, host, realm)?;
            let scheme = Scheme::Bearer { realm, service: challenge.get("service").map(str::to_owned) };
            if self.scheme != scheme {
                self.scheme = scheme;
                return Ok(true);
            }
            if challenge.get("error") == Some("insufficient_scope") {
                return Ok(false);
            }
            // Another thread may have renewed it meanwhile; only the refused token is thrown away.
            let refused =
                sent.and_then(|h| h.to_str().ok()).and_then(|h| h.strip_prefix("Bearer ")).unwrap_or("");
            if self.spend(|t| t.value.reveal() == refused) {
                self.early = self.early.saturating_add(1);
            }
            return Ok(true);
        }
        if challenges.iter().any(|c| c.scheme.eq_ignore_ascii_case("basic")) && self.scheme == Scheme::Unasked
        {
            self.scheme = Scheme::Basic;
            return Ok(true);
        }
        Ok(false)
    }

    /// Gives up tokens; whether there was one.
    fn spend(&mut self, which: impl Fn(&Token) -> bool) -> bool {
        let spent: Vec<Secret> =
            self.tokens.extract_if(.., |_, t| which(t)).map(|(_, token)| token.value).collect();
        let any = !spent.is_empty();
        spent.into_iter().for_each(|s| self.remember(s));
        any
    }

    fn remember(&mut self, spent: Secret) {
        if self.spent.len() >= MAX_SPENT {
            self.spent.pop_front();
        }
        self.spent.push_back(spent);
    }

    /// The tokens that were sent, so that no message shows one.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        self.tokens.values().map(|t| t.value.clone()).chain(self.spent.iter().cloned()).collect()
    }
}

fn header(scheme: &str, secret: &Secret) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_str(&format!("{scheme} {}", secret.reveal()))
        .map_err(|_| Error::new(Kind::Denied, "the registry gave a token that no header can carry"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The realm may be another host, as Docker Hub's is, but a secret never travels there in the open.
fn check_realm(client: &Client, host: &Host, realm: &str) -> Result<Url, Failure> {
    let shown = show_bytes(realm.as_bytes());
    let refuse = |why: &str| {
        Failure::never(
            Error::new(
                Kind::Denied,
                format!("`{}` wants tokens to be fetched from `{shown}`, {why}", host.name),
            )
            .hint("no credentials were sent there; ask who runs the registry"),
        )
    };
    let url = Url::parse(realm).map_err(|_| refuse("which is not a URL"))?;
    let here = host.is_loopback() && is_loopback(&url);
    match url.scheme() {
        _ if !url.username().is_empty() || url.password().is_some() => {
            Err(refuse("a URL with credentials in it"))
        }
        "https" => Ok(url),
        "http" if here || client.is_insecure(&url) => Ok(url),
        "http" => Err(refuse("which is plain HTTP")),
        _ => Err(refuse("which is neither HTTP nor HTTPS")),
    }
}

/// Gets a token from a realm.
fn fetch(
    client: &Client,
    host: &Host,
    repository: &str,
    realm: &Url,
    service: Option<&str>,
    scope: &Scope,
    login: Option<&Login>,
) -> Result<Token, Failure> {
    let mut url = realm.clone();
    {
        let mut query = url.query_pairs_mut();
        if let Some(service) = service {
            query.append_pair("service", service);
        }
        for scope in &scope.0 {
            query.append_pair("scope", scope);
        }
        query.append_pair("client_id", "floe");
    }
    let authorization = login.map(|l| header("Basic", &l.basic())).transpose()?;
    let at = realm.host_str().unwrap_or("?").to_owned();
    let doing = "get a token";
    let secrets: Vec<Secret> = login.iter().flat_map(|l| l.secrets()).collect();
    let advice = client.settings().credentials.advice(&host.name, repository);
    let asked = Asked { registry: &at, repository: "", doing, advice: &advice, secrets: &secrets };
    retrying(client, host, || {
        let asked_at = Instant::now();
        let headers: HeaderMap =
            authorization.iter().map(|v| (reqwest::header::AUTHORIZATION, v.clone())).collect();
        let limit = client.settings().timeouts.stall;
        let response = transmit(client, Method::GET, url.clone(), headers, Body::None, limit, &asked.what())?;
        let reply = Reply::read(client, response, MAX_TOKEN, &asked.what())?;
        if reply.status != StatusCode::OK {
            return Err(error::refused(&asked, &reply));
        }
        parse_token(&reply.body, asked_at).map_err(|why| {
            Failure::never(Error::new(Kind::Denied, format!("cannot {}: the answer {why}", asked.what())))
        })
    })
}

/// The largest answer with a token that is read.
const MAX_TOKEN: usize = 2 * MAX_ERROR_BODY;

fn parse_token(body: &[u8], asked_at: Instant) -> Result<Token, &'static str> {
    // What serde_json says could quote the token.
    let value: serde_json::Value = serde_json::from_slice(body).map_err(|_| "is not JSON")?;
    let text = |key: &str| value[key].as_str().filter(|t| !t.is_empty());
    let token = text("token").or_else(|| text("access_token")).ok_or("has no `token`")?;
    let life = value["expires_in"].as_u64().map_or(DEFAULT_LIFE, Duration::from_secs).min(MAX_LIFE);
    let margin = MARGIN.min(life / 4);
    Ok(Token { value: Secret::new(token), renew_at: asked_at + (life - margin) })
}

/// One challenge of a `WWW-Authenticate` header.
#[derive(Debug, PartialEq, Eq)]
struct Challenge {
    scheme: String,
    params: BTreeMap<String, String>,
}

impl Challenge {
    fn get(&self, key: &str) -> Option<&str> {
        self.params.get(key).map(String::as_str)
    }
}

/// All challenges of an answer. One header may carry several; what cannot be read is passed over.
fn challenges(headers: &HeaderMap) -> Vec<Challenge> {
    headers
        .get_all(WWW_AUTHENTICATE)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(parse_challenges)
        .collect()
}

/// `scheme token68-or-params, scheme param=value, …`. A word that is followed by `=` is a parameter
/// of the challenge before it, any other word begins a new one.
fn parse_challenges(text: &str) -> Vec<Challenge> {
    let mut out: Vec<Challenge> = Vec::new();
    let mut rest = text;
    for _ in 0..MAX_PARTS {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let end = rest.find(|c: char| !is_token(c)).unwrap_or(rest.len());
        if end == 0 {
            break;
        }
        let (word, after) = rest.split_at(end);
        let value = after.trim_start_matches([' ', '\t']).strip_prefix('=');
        match (value, out.last_mut()) {
            (Some(value), Some(challenge)) => {
                let (value, after) = parse_value(value.trim_start_matches([' ', '\t']));
                challenge.params.entry(word.to_ascii_lowercase()).or_insert(value);
                rest = after;
            }
            (Some(_), None) => break,
            (None, _) => {
                out.push(Challenge { scheme: word.to_owned(), params: BTreeMap::new() });
                rest = after;
            }
        }
    }
    out
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

/// A quoted string or a bare word, and what follows it.
fn parse_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(text: &str) -> Vec<(String, Vec<(String, String)>)> {
        parse_challenges(text).into_iter().map(|c| (c.scheme, c.params.into_iter().collect())).collect()
    }

    fn pair(a: &str, b: &str) -> (String, String) {
        (a.to_owned(), b.to_owned())
    }

    #[test]
    fn challenges_of_real_registries() {
        assert_eq!(
            params(
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#
            ),
            [(
                "Bearer".to_owned(),
                vec![
                    pair("realm", "https://auth.docker.io/token"),
                    pair("scope", "repository:a/b:pull,push"),
                    pair("service", "registry.docker.io"),
                ]
            )]
        );
        assert_eq!(
            params(r#"Basic realm="a \"b\"", Bearer REALM = https://x/t , service=s"#),
            [
                ("Basic".to_owned(), vec![pair("realm", "a \"b\"")]),
                ("Bearer".to_owned(), vec![pair("realm", "https://x/t"), pair("service", "s")]),
            ]
        );
        assert_eq!(params("Negotiate"), [("Negotiate".to_owned(), vec![])]);
    }

    #[test]
    fn hostile_challenges_end() {
        for bad in [
            "",
            ",,,",
            "=",
            "=x",
            "a=b",
            "Bearer realm=\"",
            "Bearer realm=\"\\",
            "Bearer realm",
            "é",
            "Bearer \"x\"",
        ] {
            assert!(parse_challenges(bad).iter().all(|c| c.params.len() <= 1), "{bad}");
        }
        assert!(parse_challenges(&"a ".repeat(100_000)).len() <= MAX_PARTS);
    }

    #[test]
    fn a_realm_in_the_open_gets_nothing() {
        let client = Client::new(super::super::Settings {
            insecure: vec!["lab.example".into()],
            ..Default::default()
        });
        let remote = client.host("registry.example");
        let local = client.host("localhost:5000");
        assert!(check_realm(&client, &remote, "https://auth.example/token").is_ok());
        assert!(check_realm(&client, &remote, "http://lab.example/token").is_ok());
        assert!(check_realm(&client, &local, "http://127.0.0.1:9/token").is_ok());
        for bad in [
            "http://auth.example/t",
            "http://127.0.0.1:9/t",
            "ftp://x/t",
            "/t",
            "https://u:p@x/t",
            "file:///etc/passwd",
        ] {
            let e = check_realm(&client, &remote, bad).unwrap_err().error;
            assert_eq!(e.kind(), Kind::Denied, "{bad}");
        }
        assert!(check_realm(&client, &local, "http://auth.example/t").is_err());
    }

    #[test]
    fn tokens_are_renewed_before_their_end() {
        let now = Instant::now();
        for (body, secs) in [
            (r#"{"token":"a"}"#, 45.0),
            (r#"{"access_token":"a","expires_in":300}"#, 285.0),
            (r#"{"token":"a","expires_in":4}"#, 3.0),
            (r#"{"token":"a","expires_in":0}"#, 0.0),
            (r#"{"token":"a","expires_in":18446744073709551615}"#, 86385.0),
            (r#"{"token":"a","expires_in":-5}"#, 45.0),
        ] {
            let token = parse_token(body.as_bytes(), now).ok().unwrap();
            assert_eq!((token.renew_at - now).as_secs_f64(), secs, "{body}");
        }
        for bad in ["", "{}", "[]", r#"{"token":""}"#, r#"{"token":7}"#] {
            assert!(parse_token(bad.as_bytes(), now).is_err(), "{bad}");
        }
    }
}
