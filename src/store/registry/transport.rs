//! The one way to the network: a client that all repositories of a run share.
//!
//! HTTP/1.1 only, since several connections carry more than one with streams. Redirects are never
//! followed by the HTTP library, so that credentials stay where they belong. Nothing exists before
//! the first request: no thread, no certificate, no socket. The rest of the crate is blocking;
//! asynchronous code lives in this folder alone.
//!
//! Not here: which requests are made, and whether they are made again.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::Url;
use tokio::runtime::{Handle, Runtime};

use super::certificates::Certificates;
use super::credentials::Credentials;
use super::habits::Way;
use super::host::Host;
use super::notice::Notices;
use super::patience::Spent;
use super::proxy::Proxies;
use super::registries::Registries;
use super::tls;
use crate::error::{At, Error, Kind, Result};
use crate::event::Watch;

/// Threads of the runtime; the copying is done on the callers' threads.
const THREADS: usize = 2;

/// How floe talks to registries. The library reads no environment: what comes from there is put in here.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What floe calls itself in every request.
    pub user_agent: String,
    /// Hosts, with or without a port, whose certificates are not checked and which may speak plain HTTP.
    pub insecure: Vec<String>,
    /// Who floe is.
    pub credentials: Credentials,
    /// Files with certificates of authorities; the first that has one counts, else the list linked in.
    pub ca_bundles: Vec<PathBuf>,
    /// Which certificates count besides, and which are shown.
    pub certificates: Certificates,
    /// Through which proxies servers are reached.
    pub proxies: Proxies,
    /// Where images of a name really lie.
    pub registries: Registries,
    /// Who is told what registries say beside their answers.
    pub see: Watch,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// How often to ask again.
    pub retry: Retry,
    /// How blobs are sent.
    pub uploads: Uploads,
    /// Once it is true, no pause is slept to its end and no answer is waited for.
    pub stop: Arc<AtomicBool>,
}

/// How blobs are sent.
#[derive(Clone, Debug)]
pub struct Uploads {
    /// The one way to use; `None` is the way that the registry takes, streams first.
    pub way: Option<Way>,
    /// Bytes of a chunk, where blobs are sent in chunks; a registry may make it less, or more.
    pub chunk: u64,
    /// The folder in which uploads are noted, so that a killed run goes on where it was; without one
    /// it begins anew. Several processes may share it, and it may be removed at any time.
    pub journal: Option<PathBuf>,
}

/// How long to wait for a registry.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For a connection, with the TLS handshake.
    pub connect: Duration,
    /// For the next byte, in either direction.
    pub stall: Duration,
    /// For the answer after everything was sent: a registry may copy or hash gigabytes then.
    pub commit: Duration,
}

/// How often and how soon a failed request is made again.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// Attempts after the first one.
    pub attempts: u32,
    /// The pause before the first of them; it doubles each time, and varies by half.
    pub pause: Duration,
    /// The longest pause that a registry may ask for.
    pub patience: Duration,
    /// Attempts after first ones, of all requests of the client together.
    pub run: u32,
    /// Pauses of all requests of the client together, those of parallel requests added up.
    pub run_pauses: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            user_agent: concat!("floe/", env!("CARGO_PKG_VERSION")).to_owned(),
            insecure: Vec::new(),
            credentials: Credentials::none(),
            ca_bundles: tls::system_bundles(),
            certificates: Certificates::default(),
            proxies: Proxies::default(),
            registries: Registries::default(),
            see: Watch::default(),
            timeouts: Timeouts::default(),
            retry: Retry::default(),
            uploads: Uploads::default(),
            stop: Arc::default(),
        }
    }
}

impl Default for Uploads {
    fn default() -> Self {
        // Large enough that the round trips do not count, and little to send again.
        Self { way: None, chunk: 32 << 20, journal: None }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            stall: Duration::from_secs(30),
            commit: Duration::from_secs(600),
        }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 5,
            pause: Duration::from_millis(500),
            patience: Duration::from_secs(120),
            run: 1000,
            run_pauses: Duration::from_secs(2 * 60 * 60),
        }
    }
}

/// The client that all repositories of a run share: connections, tokens, and what was learnt about
/// each registry. Cloning it gives the same client.
#[derive(Clone)]
pub struct Client(Arc<Shared>);

struct Shared {
    settings: Settings,
    runtime: Mutex<Option<Runtime>>,
    clients: Mutex<BTreeMap<(Trust, Option<String>), reqwest::Client>>,
    hosts: Mutex<BTreeMap<String, Arc<Host>>>,
    spent: Spent,
    notices: Notices,
}

/// How a server proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trust {
    /// Not at all: plain HTTP.
    Plain,
    /// By a certificate that nobody checks.
    Blind,
    /// By a certificate of an authority.
    Verified,
}

impl Client {
    /// A client with these settings. Makes no connection and starts no thread.
    pub fn new(settings: Settings) -> Self {
        Self(Arc::new(Shared {
            settings,
            runtime: Mutex::new(None),
            clients: Mutex::new(BTreeMap::new()),
            hosts: Mutex::new(BTreeMap::new()),
            spent: Spent::default(),
            notices: Notices::default(),
        }))
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// What was used of the budget for retries.
    pub(super) fn spent(&self) -> &Spent {
        &self.0.spent
    }

    /// What is known about a registry in this run.
    pub(super) fn host(&self, registry: &str) -> Arc<Host> {
        let mut hosts = locked(&self.0.hosts);
        Arc::clone(hosts.entry(registry.to_owned()).or_insert_with(|| Arc::new(Host::new(registry))))
    }

    /// What was said already.
    pub(super) fn notices(&self) -> &Notices {
        &self.0.notices
    }

    /// Runs asynchronous work to its end, from any thread.
    pub(super) fn wait<T: Send>(&self, work: impl Future<Output = T> + Send) -> Result<T> {
        let handle = self.runtime()?;
        if Handle::try_current().is_err() {
            return Ok(handle.block_on(work));
        }
        // The caller is itself inside a runtime, where blocking on another one is a panic.
        std::thread::scope(|s| s.spawn(|| handle.block_on(work)).join())
            .map_err(|_| Error::new(Kind::Bug, "the network thread panicked"))
    }

    fn runtime(&self) -> Result<Handle> {
        let mut slot = locked(&self.0.runtime);
        if let Some(runtime) = slot.as_ref() {
            return Ok(runtime.handle().clone());
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("floe-net")
            .enable_all()
            .build()
            .doing("start the network threads")?;
        let handle = runtime.handle().clone();
        *slot = Some(runtime);
        Ok(handle)
    }

    /// The HTTP client for a way of trusting the host of a URL; made when it is first needed.
    ///
    /// Hosts that have certificates of their own have a client of their own.
    pub(super) fn http(&self, trust: Trust, url: &Url) -> Result<reqwest::Client> {
        let settings = &self.0.settings;
        settings.proxies.check(url)?;
        let mut clients = locked(&self.0.clients);
        let name = match trust {
            Trust::Plain => None,
            _ => url.host_str().map(|h| format!("{h}:{}", url.port_or_known_default().unwrap_or(0))),
        };
        if let Some(client) = name.as_ref().and_then(|n| clients.get(&(trust, Some(n.clone())))) {
            return Ok(client.clone());
        }
        let special = name.is_some() && settings.certificates.is_special(url);
        let shared = clients.get(&(trust, None)).filter(|_| !special).cloned();
        let client = match shared {
            Some(client) => client,
            None => self.make(trust, url)?,
        };
        if !special {
            clients.entry((trust, None)).or_insert_with(|| client.clone());
        }
        if name.is_some() {
            // So that its folder is looked for once.
            clients.insert((trust, name), client.clone());
        }
        Ok(client)
    }

    fn make(&self, trust: Trust, url: &Url) -> Result<reqwest::Client> {
        let settings = &self.0.settings;
        let config = match trust {
            Trust::Plain => tls::none()?,
            Trust::Blind => tls::trusting(&settings.certificates, url)?,
            Trust::Verified => tls::verifying(&settings.ca_bundles, &settings.certificates, url)?,
        };
        let builder = reqwest::Client::builder()
            .http1_only()
            .tls_backend_preconfigured(config)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .connect_timeout(settings.timeouts.connect)
            .user_agent(&settings.user_agent);
        // Without this the HTTP library looks for proxies in the environment.
        let builder = if settings.proxies.is_empty() {
            builder.no_proxy()
        } else {
            let proxies = settings.proxies.clone();
            builder.proxy(reqwest::Proxy::custom(move |url| proxies.of(url)))
        };
        builder.build().map_err(|e| Error::new(Kind::Bug, "cannot make an HTTP client").because(e))
    }

    /// Whether plain HTTP is allowed towards the host of a URL: loopback, or called insecure.
    pub(super) fn may_be_plain(&self, url: &Url) -> bool {
        is_loopback(url) || self.is_insecure(url)
    }

    /// Whether the user called the host of a URL insecure.
    pub(super) fn is_insecure(&self, url: &Url) -> bool {
        let settings = &self.0.settings;
        let named = settings.insecure.iter().map(String::as_str).chain(settings.registries.insecure());
        named.into_iter().any(|name| names_host(name, url))
    }

    /// The pause before attempt `n` (from 0), unless the registry named one.
    pub(super) fn pause(&self, n: u32, asked: Option<Duration>) -> Duration {
        let retry = self.0.settings.retry;
        if let Some(asked) = asked {
            return asked.min(retry.patience);
        }
        let doubled = retry.pause.saturating_mul(1 << n.min(6));
        // Between half and one and a half, so that many clients do not come back at once.
        doubled / 2 + doubled.mul_f64(jitter())
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Dropping a runtime waits for its threads, which is a panic inside another runtime.
        if let Some(runtime) = locked(&self.runtime).take() {
            runtime.shutdown_background();
        }
    }
}

/// Locks; what a thread left behind when it panicked is still whole, as each change is one step.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a name, with or without a port, is the host of a URL.
pub(super) fn names_host(name: &str, url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let with_port = url.port_or_known_default().map(|p| format!("{host}:{p}"));
    name.eq_ignore_ascii_case(host) || with_port.is_some_and(|w| name.eq_ignore_ascii_case(&w))
}

/// Whether a URL's host is this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// A number from 0 to 1 that differs between processes and calls; nothing secret hangs on it.
fn jitter() -> f64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    let random = std::hash::RandomState::new().build_hasher().finish();
    f64::from(u32::try_from(random >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn plain_http_is_for_loopback_and_for_those_named() {
        let client = Client::new(Settings {
            insecure: vec!["lab.example".into(), "x:5000".into()],
            ..Settings::default()
        });
        for yes in [
            "http://127.0.0.1:5000/",
            "http://127.9.9.9/",
            "http://[::1]:5000/",
            "http://localhost/",
            "http://lab.example:80/",
            "http://x:5000/",
        ] {
            assert!(client.may_be_plain(&url(yes)), "{yes}");
        }
        for no in [
            "http://128.0.0.1/",
            "http://x/",
            "http://x:5001/",
            "http://localhost.example/",
            "http://127.0.0.1.example/",
            "http://[::2]/",
        ] {
            assert!(!client.may_be_plain(&url(no)), "{no}");
        }
    }

    #[test]
    fn a_client_is_made_without_threads_and_certificates() {
        let client = Client::new(Settings { ca_bundles: Vec::new(), ..Settings::default() });
        assert!(locked(&client.0.runtime).is_none());
        assert!(locked(&client.0.clients).is_empty());
        for trust in [Trust::Plain, Trust::Blind, Trust::Verified] {
            client.http(trust, &url("https://r.example/")).unwrap();
        }
    }

    #[test]
    fn c28_a_host_with_certificates_has_a_client_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("own.example")).unwrap();
        std::fs::write(dir.path().join("own.example/me.cert"), "nothing").unwrap();
        let certificates = Certificates { by_host: vec![dir.path().to_owned()], ..Certificates::default() };
        let client = Client::new(Settings { ca_bundles: Vec::new(), certificates, ..Settings::default() });
        client.http(Trust::Verified, &url("https://other.example/")).unwrap();
        assert!(client.http(Trust::Verified, &url("https://own.example/")).is_err(), "its folder was read");
        client.http(Trust::Plain, &url("http://own.example/")).unwrap();
    }

    #[test]
    fn pauses_grow_and_vary() {
        let client = Client::new(Settings::default());
        let first = client.pause(0, None);
        assert!(first >= Duration::from_millis(250) && first <= Duration::from_millis(750), "{first:?}");
        assert!(client.pause(3, None) >= Duration::from_secs(2));
        assert!(client.pause(40, None) <= Duration::from_secs(48));
        assert_eq!(client.pause(0, Some(Duration::from_secs(3))), Duration::from_secs(3));
        assert_eq!(client.pause(0, Some(Duration::from_secs(9999))), Duration::from_secs(120));
    }

    #[test]
    fn works_and_is_dropped_inside_of_another_runtime() {
        let outer = tokio::runtime::Builder::new_current_thread().build().unwrap();
        outer.block_on(async {
            let client = Client::new(Settings::default());
            assert_eq!(client.wait(async { 7 }).unwrap(), 7);
        });
    }
}
