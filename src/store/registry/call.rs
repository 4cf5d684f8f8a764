//! One question to a registry, with everything around it: authentication, redirects, another try.
//!
//! [`transmit`] is a single exchange below all policy. [`Call::once`] adds the answer to a 401 and
//! the redirects of reading requests; [`retrying`] adds patience. Bodies that are streams go
//! through `upload`, which knows how to make them again.
//!
//! Invariant: an `Authorization` header leaves only through [`Host::authorization`].

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode, Url};

use super::auth::Scope;
use super::error::{self, Again, Asked, Failure, MAX_ERROR_BODY, broken, place};
use super::host::Host;
use super::notice;
use super::patience::{is_set, retry_after, stopped};
use super::pipe::Pipe;
use super::transport::Client;
use crate::error::{Error, Kind};
use crate::oci::Digest;

/// How many redirects are followed.
const MAX_REDIRECTS: usize = 5;
/// How many 401s in a row are answered.
const MAX_CHALLENGES: usize = 3;
/// How often a request is looked at, whether it still moves, and whether it is wanted still.
const TICK: Duration = Duration::from_millis(250);

/// What a request carries.
pub(super) enum Body {
    /// Nothing at all.
    None,
    /// Bytes in memory; empty ones are announced with a length of 0.
    Bytes(Vec<u8>),
    /// A stream, of a length that is announced where it is known.
    Stream(Arc<Pipe>, Option<u64>),
}

/// Sends one request and waits for the head of the answer.
pub(super) fn transmit(
    client: &Client,
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Body,
    limit: Duration,
    what: &str,
) -> Result<Response, Failure> {
    let http = client.http(Host::trust(client, &url), &url)?;
    let (asked, sent) = (url.clone(), notice::authorization(&headers));
    let mut request = http.request(method, url).headers(headers);
    let mut pipe = None;
    match body {
        Body::None => {}
        Body::Bytes(bytes) => request = request.header(CONTENT_LENGTH, bytes.len()).body(bytes),
        Body::Stream(stream, length) => {
            if let Some(length) = length {
                request = request.header(CONTENT_LENGTH, length);
            }
            request = request.body(stream.body());
            pipe = Some(stream);
        }
    }
    let stall = client.settings().timeouts.stall;
    let silent = |waited: Duration| {
        Failure::after(
            Error::new(
                Kind::Network,
                format!("cannot {what}: nothing came or went for {} seconds", waited.as_secs()),
            )
            .hint("the network or the registry stalls; try again"),
        )
    };
    let response = client.wait(async move {
        let mut answer = pin!(request.send());
        let begun = Instant::now();
        loop {
            let left = limit.saturating_sub(begun.elapsed());
            let tick = if pipe.is_some() { TICK } else { TICK.min(left) };
            if let Ok(response) = tokio::time::timeout(tick, answer.as_mut()).await {
                return response.map_err(|e| broken(e, what));
            }
            if is_set(&client.settings().stop) {
                return Err(stopped().into());
            }
            let waited = match &pipe {
                Some(pipe) => pipe.stalled(stall, limit),
                None => left.is_zero().then_some(limit),
            };
            if let Some(waited) = waited {
                return Err(silent(waited));
            }
        }
    })??;
    notice::read(client, &asked, response.status(), response.headers(), sent.as_ref());
    Ok(response)
}

/// An answer with its body.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// The body, up to the cap that it was read with.
    pub(super) body: Vec<u8>,
}

impl Reply {
    /// Reads an answer to its end; one byte more than `cap` at most, so that too much can be told.
    pub(super) fn read(client: &Client, response: Response, cap: usize, what: &str) -> Result<Self, Failure> {
        let stall = client.settings().timeouts.stall;
        // The words of an error matter less than the error.
        let (ok, cap) = (
            response.status().is_success(),
            if response.status().is_success() { cap } else { MAX_ERROR_BODY },
        );
        client.wait(async move {
            let mut response = response;
            let (status, headers) = (response.status(), response.headers().clone());
            let mut body = Vec::new();
            while body.len() <= cap {
                match tokio::time::timeout(stall, response.chunk()).await {
                    Ok(Ok(Some(chunk))) => {
                        let room = cap + 1 - body.len();
                        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                    }
                    Ok(Ok(None)) => break,
                    Ok(Err(e)) if ok => return Err(broken(e, what)),
                    Err(_) if ok => {
                        let message = format!("cannot {what}: the answer stopped in the middle");
                        return Err(Failure::after(Error::new(Kind::Network, message)));
                    }
                    _ => break,
                }
            }
            Ok(Self { status, headers, body })
        })?
    }

    /// A header as text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The digest that the registry says the content has, where it says one that floe knows.
    pub(super) fn digest(&self) -> Option<Digest> {
        self.header("docker-content-digest").and_then(|d| d.parse().ok())
    }

    /// How long the registry wants us to wait.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        retry_after(self.headers.get(RETRY_AFTER)?.to_str().ok()?, SystemTime::now())
    }
}

/// A header as text.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// A request about a repository.
pub(super) struct Call<'a> {
    pub(super) client: &'a Client,
    pub(super) host: &'a Host,
    /// Repository whose credentials count.
    pub(super) repository: &'a str,
    pub(super) method: Method,
    /// URL, or a path below the registry's base such as `v2/x/tags/list`.
    pub(super) target: Target<'a>,
    pub(super) headers: Vec<(HeaderName, String)>,
    /// `None` for requests that have no body by nature.
    pub(super) body: Option<&'a [u8]>,
    pub(super) scope: &'a Scope,
    /// What is being done, as in `store the manifest`.
    pub(super) doing: &'a str,
}

/// Where a request goes.
#[derive(Clone)]
pub(super) enum Target<'a> {
    /// A path below the registry's base.
    Path(&'a str),
    /// Where the registry sent us.
    Url(Url),
}

impl Call<'_> {
    fn what(&self) -> String {
        place(self.doing, &self.host.name, self.repository)
    }

    fn limit(&self) -> Duration {
        let timeouts = self.client.settings().timeouts;
        if self.reads() { timeouts.stall } else { timeouts.commit }
    }

    fn reads(&self) -> bool {
        self.method == Method::GET || self.method == Method::HEAD
    }

    /// The URL of a target.
    pub(super) fn url(&self) -> Result<Url, Failure> {
        let base = self.host.base(self.client)?;
        match &self.target {
            Target::Url(url) => Ok(url.clone()),
            Target::Path(path) => base.join(path).map_err(|e| {
                Failure::never(
                    Error::new(Kind::Bug, format!("cannot {}: no URL can be made", self.what())).because(e),
                )
            }),
        }
    }

    /// Asks once; a 401 is answered and redirects of reading requests are followed. Any other status
    /// comes back as it is. Also gives the URL that answered.
    pub(super) fn open(&self) -> Result<(Response, Url), Failure> {
        let mut url = self.url()?;
        let (mut redirects, mut challenges) = (0, 0);
        loop {
            let mut headers = HeaderMap::new();
            for (name, value) in &self.headers {
                let value = HeaderValue::from_str(value).map_err(|_| {
                    Error::new(Kind::Usage, format!("cannot {}: a header cannot carry that", self.what()))
                })?;
                headers.append(name, value);
            }
            let sent = self.host.authorization(self.client, &url, self.repository, self.scope, false)?;
            if let Some(value) = &sent {
                headers.insert(AUTHORIZATION, value.clone());
            }
            let body = self.body.map_or(Body::None, |b| Body::Bytes(b.to_vec()));
            let response = transmit(
                self.client,
                self.method.clone(),
                url.clone(),
                headers,
                body,
                self.limit(),
                &self.what(),
            )?;
            self.host.was_reached();
            let status = response.status();
            if status == StatusCode::UNAUTHORIZED
                && challenges < MAX_CHALLENGES
                && self.host.challenged(self.client, &url, response.headers(), sent.as_ref())?
            {
                challenges += 1;
                // Reading the rest keeps the connection.
                Reply::read(self.client, response, MAX_ERROR_BODY, &self.what())?;
                continue;
            }
            if is_redirect(status)
                && self.reads()
                && redirects < MAX_REDIRECTS
                && let Some(next) = self.host.follow(self.client, &url, response.headers())?
            {
                redirects += 1;
                url = next;
                continue;
            }
            return Ok((response, url));
        }
    }

    /// As [`Call::open`], with the body of the answer.
    pub(super) fn once(&self, cap: usize) -> Result<(Reply, Url), Failure> {
        let (response, url) = self.open()?;
        Ok((Reply::read(self.client, response, cap, &self.what())?, url))
    }

    /// Asks until there is an answer that says something: any status but those that mean "not now".
    pub(super) fn ask(&self, cap: usize) -> Result<(Reply, Url), Failure> {
        retrying(self.client, self.host, || {
            let (reply, url) = self.once(cap)?;
            if error::is_transient(reply.status) { Err(self.refused(&reply)) } else { Ok((reply, url)) }
        })
    }

    /// The error for an answer that is not the one hoped for.
    pub(super) fn refused(&self, reply: &Reply) -> Failure {
        let advice = self.client.settings().credentials.advice(&self.host.name, self.repository);
        let secrets = self.host.secrets(self.client, self.repository);
        let asked = Asked {
            registry: &self.host.name,
            repository: self.repository,
            doing: self.doing,
            advice: &advice,
            secrets: &secrets,
        };
        error::refused(&asked, reply)
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Does something again while that may help, with growing pauses.
pub(super) fn retrying<T>(
    client: &Client,
    host: &Host,
    mut attempt: impl FnMut() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut tried = 0;
    loop {
        let failure = match attempt() {
            Ok(value) => return Ok(value),
            Err(failure) => failure,
        };
        client.nap(next_pause(client, host, failure, tried)?)?;
        tried += 1;
    }
}

/// How long to wait before the next attempt after `tried` retries; the failure itself when it is
/// enough, of this request or of this run.
pub(super) fn next_pause(
    client: &Client,
    host: &Host,
    failure: Failure,
    tried: u32,
) -> Result<Duration, Failure> {
    let retry = client.settings().retry;
    let (attempts, asked) = match failure.again {
        Again::Never | Again::Damaged | Again::Otherwise(_) | Again::Smaller => return Err(failure),
        Again::After(asked) => (retry.attempts, asked),
        // A name with a typing error should not take half a minute.
        Again::Unreached if !host.reached.load(Ordering::Relaxed) => (retry.attempts.min(1), None),
        Again::Unreached => (retry.attempts, None),
    };
    if tried >= attempts {
        return Err(failure);
    }
    let pause = client.pause(tried, asked);
    match client.spend(pause, failure.error) {
        Ok(()) => Ok(pause),
        Err(error) => Err(Failure::never(error)),
    }
}
