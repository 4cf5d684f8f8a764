//! What a registry demands before it answers: challenges, and the tokens that meet them.
//!
//! A registry says in `WWW-Authenticate` what it wants (RFC 9110, section 11; the token protocol is
//! distribution's `spec/auth/token.md`). Nothing is sent before it has asked. Tokens are kept per
//! set of scopes and renewed before they end; a registry whose tokens end before their time gets a
//! fresh one for every body that is too large to send twice. An identity token is traded for them by
//! OAuth2 (distribution's `spec/auth/oauth.md`).
//!
//! Invariant: a user's secret goes to the registry it belongs to and to the realm that this
//! registry names, over TLS unless both are this machine or called insecure.

mod challenge;
mod token;

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderValue};

use self::challenge::challenges;
use self::token::{Token, Wanted, fetch, header};
use super::credentials::{Login, Secret};
use super::error::Failure;
use super::host::Host;
use super::transport::{Client, is_loopback};
use crate::error::{Error, Kind, show_bytes};

/// How many tokens are kept for one registry.
const MAX_TOKENS: usize = 256;
/// How many tokens are remembered that are not used any more.
const MAX_SPENT: usize = 256;

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
    /// The registry's own token that a login gave, once it was sent.
    given: Option<Secret>,
}

impl Auth {
    pub(super) fn new() -> Self {
        Self {
            scheme: Scheme::Unasked,
            tokens: BTreeMap::new(),
            spent: VecDeque::new(),
            early: 0,
            given: None,
        }
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
        // Only now: a helper may ask its user for a password.
        let login = || client.settings().credentials.find(&host.name, repository);
        match &self.scheme {
            Scheme::Unasked => Ok(None),
            Scheme::Basic => login().and_then(|l| l.basic()).map(|b| header("Basic", &b)).transpose(),
            Scheme::Bearer { realm, service } => {
                let key = (repository.to_owned(), scope.clone());
                // Tokens that are used up by few requests are not shared: what one thread fetches, another
                // would use up before it.
                let shared = if precious { self.early == 0 } else { self.early < PRIVATE };
                let fresh = self.tokens.get(&key).filter(|t| Instant::now() < t.renew_at && shared);
                if let Some(token) = fresh {
                    return Ok(Some(header("Bearer", &token.value)?));
                }
                let login = login();
                if let Some(own) = login.as_ref().and_then(Login::own_token) {
                    self.given = Some(own.clone());
                    return Ok(Some(header("Bearer", own)?));
                }
                let wanted = Wanted { realm, service: service.as_deref(), scope };
                let token = fetch(client, host, repository, &wanted, login.as_ref())?;
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
            if self.given.as_ref().is_some_and(|g| g.reveal() == refused) {
                return Ok(false);
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_realm_in_the_open_gets_nothing() {
        let client = Client::new(crate::store::registry::Settings {
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
}
