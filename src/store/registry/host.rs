//! One registry: under which URL it is reached, and what was learnt about it in this run.
//!
//! HTTPS is spoken to every registry, except where nobody else can listen (this machine) or where
//! the user said so. For those it is found out once: this machine is asked by plain HTTP first,
//! an insecure host by HTTPS without a check of the certificate first; the other way follows.
//!
//! Invariant: what [`Host::owns`] is the only place that gets this registry's credentials.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::header::{HeaderMap, HeaderValue, LOCATION};
use reqwest::{Method, StatusCode, Url};

use super::auth::{Auth, Scope};
use super::call::{Body, Reply, transmit};
use super::credentials::Secret;
use super::error::{Again, Failure, MAX_ERROR_BODY, place};
use super::habits::Habits;
use super::transport::{Client, Trust, is_loopback, locked};
use crate::error::{Error, Kind, show_bytes};
use crate::oci::reference::DEFAULT_REGISTRY;

/// Where Docker Hub's API is: `docker.io` itself is a web site.
const HUB_API: &str = "registry-1.docker.io";
/// What servers say that got plain HTTP where they speak TLS: Go's and nginx's.
const TLS_WANTED: &[&str] = &["HTTP request to an HTTPS server", "plain HTTP request was sent to HTTPS port"];

/// A registry.
pub(super) struct Host {
    /// Host and port as the user writes them.
    pub(super) name: String,
    base: Mutex<Option<Url>>,
    auth: Mutex<Auth>,
    /// How it takes blobs.
    pub(super) habits: Mutex<Habits>,
    /// It answered once in this run.
    pub(super) reached: AtomicBool,
    /// The prefix by which `registries.conf` blocks it.
    blocked: Option<String>,
}

impl Host {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            base: Mutex::new(None),
            auth: Mutex::new(Auth::new()),
            habits: Mutex::default(),
            reached: AtomicBool::new(false),
            blocked: None,
        }
    }

    /// A registry that must not be asked.
    pub(super) fn blocked(name: &str, prefix: &str) -> Self {
        Self { blocked: Some(prefix.to_owned()), ..Self::new(name) }
    }

    fn url(&self, scheme: &str) -> Result<Url, Error> {
        let host = if self.name == DEFAULT_REGISTRY { HUB_API } else { &self.name };
        Url::parse(&format!("{scheme}://{host}/"))
            .map_err(|e| Error::new(Kind::Usage, format!("`{}` is not a host", self.name)).because(e))
    }

    /// Whether the registry is on this machine.
    pub(super) fn is_loopback(&self) -> bool {
        self.url("https").is_ok_and(|u| is_loopback(&u))
    }

    /// The URL that all paths of the API hang on.
    pub(super) fn base(&self, client: &Client) -> Result<Url, Failure> {
        if let Some(prefix) = &self.blocked {
            let e = Error::new(
                Kind::Denied,
                format!(
                    "`{}` is not asked: registries.conf blocks `{}`",
                    self.name,
                    show_bytes(prefix.as_bytes())
                ),
            );
            return Err(Failure::never(e.hint("use a name that is not blocked, or ask who wrote that file")));
        }
        let mut slot = locked(&self.base);
        if let Some(url) = slot.as_ref() {
            return Ok(url.clone());
        }
        let (http, https) = (self.url("http")?, self.url("https")?);
        let candidates = if client.is_insecure(&https) || client.is_insecure(&http) {
            vec![https, http]
        } else if is_loopback(&https) {
            vec![http, https]
        } else {
            return Ok(slot.insert(https).clone());
        };
        let mut first = None;
        for url in candidates {
            match self.answers(client, &url) {
                Ok(()) => return Ok(slot.insert(url).clone()),
                Err(f) => first = first.or(Some(f)),
            }
        }
        Err(first.unwrap_or_else(|| Failure::never(Error::new(Kind::Bug, "there is no way to a registry"))))
    }

    /// Whether somebody speaks this scheme there. Any status will do; a challenge is learnt.
    fn answers(&self, client: &Client, url: &Url) -> Result<(), Failure> {
        let what = place("reach the registry", &self.name, "");
        let ping = url.join("v2/").map_err(|_| Error::new(Kind::Bug, "a fixed path is no URL"))?;
        let limit = client.settings().timeouts.stall;
        let response = transmit(client, Method::GET, ping, HeaderMap::new(), Body::None, limit, &what)?;
        let reply = Reply::read(client, response, MAX_ERROR_BODY, &what)?;
        if reply.status == StatusCode::BAD_REQUEST && url.scheme() == "http" {
            let text = String::from_utf8_lossy(&reply.body);
            if TLS_WANTED.iter().any(|w| text.contains(w)) {
                let error = Error::new(Kind::Network, format!("cannot {what}: it speaks HTTPS only"));
                return Err(Failure { error, again: Again::Never });
            }
        }
        if reply.status == StatusCode::UNAUTHORIZED {
            locked(&self.auth).learn(client, self, &reply.headers, None)?;
        }
        Ok(())
    }

    /// Whether a URL is this registry's: same scheme, host and port.
    pub(super) fn owns(&self, url: &Url) -> bool {
        let base = locked(&self.base);
        base.as_ref().is_some_and(|b| b.origin() == url.origin())
    }

    /// How the server behind a URL proves itself.
    pub(super) fn trust(client: &Client, url: &Url) -> Trust {
        match url.scheme() {
            "http" => Trust::Plain,
            // As Docker has it: nobody else can listen on this machine's own addresses.
            _ if client.may_be_plain(url) => Trust::Blind,
            _ => Trust::Verified,
        }
    }

    /// The `Authorization` for a request to a URL; nothing for a URL that is not this registry's.
    pub(super) fn authorization(
        &self,
        client: &Client,
        url: &Url,
        repository: &str,
        scope: &Scope,
        precious: bool,
    ) -> Result<Option<HeaderValue>, Failure> {
        if !self.owns(url) {
            return Ok(None);
        }
        locked(&self.auth).header(client, self, repository, scope, precious)
    }

    /// Learns from a 401; false where asking again is of no use.
    pub(super) fn challenged(
        &self,
        client: &Client,
        url: &Url,
        answer: &HeaderMap,
        sent: Option<&HeaderValue>,
    ) -> Result<bool, Failure> {
        if !self.owns(url) {
            return Ok(false);
        }
        locked(&self.auth).learn(client, self, answer, sent)
    }

    /// What no message may show.
    pub(super) fn secrets(&self, client: &Client, repository: &str) -> Vec<Secret> {
        let mut all = locked(&self.auth).secrets();
        all.extend(client.settings().credentials.secrets(&self.name, repository));
        all.extend(client.settings().proxies.secrets());
        all
    }

    /// Where an answer sends us: relative to the request, never less protected than it, and never
    /// from outside to this machine.
    pub(super) fn follow(
        &self,
        client: &Client,
        asked: &Url,
        headers: &HeaderMap,
    ) -> Result<Option<Url>, Error> {
        let Some(text) = headers.get(LOCATION) else { return Ok(None) };
        let refuse = |why: &str| {
            Error::new(Kind::Denied, format!("`{}` sends us to another place, {why}", self.name))
                .hint("nothing was sent there; ask who runs the registry")
        };
        let text = text.to_str().map_err(|_| refuse("whose name is not text"))?;
        let mut url = asked.join(text).map_err(|_| refuse("which is not a URL"))?;
        // A registry behind a proxy that ends TLS may not know that it is spoken to by HTTPS.
        if asked.scheme() == "https"
            && url.scheme() == "http"
            && url.host_str() == asked.host_str()
            && (url.port().is_none() || url.port() == asked.port())
        {
            let _ = url.set_scheme("https");
        }
        match url.scheme() {
            "https" => {}
            "http" if client.may_be_plain(&url) => {}
            "http" => return Err(refuse("which is plain HTTP")),
            _ => return Err(refuse("which is neither HTTP nor HTTPS")),
        }
        if is_loopback(&url) && !self.is_loopback() && !client.is_insecure(&url) {
            return Err(refuse("which is this machine itself"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse("a URL with credentials in it"));
        }
        Ok(Some(url))
    }

    /// Notes that it answered.
    pub(super) fn was_reached(&self) {
        self.reached.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::*;

    fn follow(host: &str, asked: &str, to: &str) -> Option<String> {
        let client = Client::new(Settings::default());
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, HeaderValue::from_str(to).unwrap());
        let url = client.host(host).follow(&client, &Url::parse(asked).unwrap(), &headers);
        url.ok().flatten().map(String::from)
    }

    #[test]
    fn locations_are_followed_with_care() {
        let at = "https://r.example/v2/m/blobs/uploads/";
        let f = |to: &str| follow("r.example", at, to);
        assert_eq!(f("/v2/x?_state=a").as_deref(), Some("https://r.example/v2/x?_state=a"));
        assert_eq!(f("u1").as_deref(), Some("https://r.example/v2/m/blobs/uploads/u1"));
        assert_eq!(f("https://s3.example/b").as_deref(), Some("https://s3.example/b"));
        assert_eq!(f("http://r.example/u").as_deref(), Some("https://r.example/u"));
        for bad in [
            "http://s3.example/b",
            "ftp://x/",
            "https://127.0.0.1/x",
            "https://localhost:1/x",
            "https://u:p@x/",
            "https://",
        ] {
            assert_eq!(f(bad), None, "{bad}");
        }
        let local = "http://127.0.0.1:5000/v2/";
        assert_eq!(
            follow("127.0.0.1:5000", local, "http://127.0.0.2:1/x").as_deref(),
            Some("http://127.0.0.2:1/x")
        );
    }

    #[test]
    fn c22_docker_io_is_asked_at_its_api() {
        let client = Client::new(Settings::default());
        assert_eq!(client.host("docker.io").base(&client).unwrap().as_str(), "https://registry-1.docker.io/");
        assert_eq!(client.host("ghcr.io").base(&client).unwrap().as_str(), "https://ghcr.io/");
    }

    #[test]
    fn only_its_own_origin_is_owned() {
        let client = Client::new(Settings::default());
        let host = client.host("r.example");
        host.base(&client).unwrap();
        assert!(host.owns(&Url::parse("https://r.example:443/v2/").unwrap()));
        for other in
            ["http://r.example/", "https://r.example:444/", "https://x.r.example/", "https://r.example.x/"]
        {
            assert!(!host.owns(&Url::parse(other).unwrap()), "{other}");
        }
    }
}
