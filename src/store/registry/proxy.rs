//! Through which proxy a server is reached.
//!
//! The rules are curl's where tools agree, Go's where they do not: a name without a dot in front
//! stands for its subdomains too, ports and networks count, this machine is never reached by a
//! proxy. Proxies speak HTTP, or SOCKS 5: with `socks5` names are looked up here, with `socks5h` by the
//! proxy, as curl has it. Not here: variables of the environment, which the caller reads.
//!
//! Invariant: a proxy's user and password are never shown, and go to the proxy alone.

use std::fmt;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;
use reqwest::Url;

use super::credentials::Secret;
use super::transport::is_loopback;
use crate::error::{Error, Kind, Result, show_bytes};

/// Where SOCKS is spoken unless somebody says (RFC 1928).
const SOCKS_PORT: u16 = 1080;

/// Which proxies there are, and for whom they are not.
#[derive(Clone, Default)]
pub struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    except: Vec<Exception>,
}

/// A proxy, or why it cannot be used: who reaches no server need not know.
#[derive(Clone)]
enum Proxy {
    Url(Url),
    Unusable(String),
}

/// For whom no proxy is used.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Exception {
    what: Except,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Except {
    Everybody,
    Network(IpNet),
    /// A name and, unless it alone is meant, everything below it.
    Domain {
        name: String,
        below_only: bool,
    },
}

impl Proxies {
    /// The proxies for servers that are reached by plain HTTP and by HTTPS, as URLs or `HOST:PORT`,
    /// and the list of `NO_PROXY`: names, addresses and networks between commas, perhaps with ports.
    pub fn new(http: Option<&str>, https: Option<&str>, except: &str) -> Self {
        let given = |text: Option<&str>| text.filter(|t| !t.trim().is_empty()).map(Proxy::parse);
        let entries = except.split([',', ' ', '\t', '\n']).filter(|e| !e.is_empty());
        Self {
            http: given(http),
            https: given(https),
            except: entries.filter_map(Exception::parse).collect(),
        }
    }

    /// Whether no server is reached by a proxy.
    pub(super) fn is_empty(&self) -> bool {
        self.http.is_none() && self.https.is_none()
    }

    /// The proxy on the way to a URL.
    pub(super) fn of(&self, url: &Url) -> Option<Url> {
        match self.choose(url) {
            Some(Proxy::Url(proxy)) => Some(proxy.clone()),
            _ => None,
        }
    }

    /// Refuses a way that would lead through a proxy that cannot be used: without it the request
    /// would leave by a way that its user closed.
    pub(super) fn check(&self, url: &Url) -> Result<()> {
        let Some(Proxy::Unusable(why)) = self.choose(url) else { return Ok(()) };
        let host = show_bytes(url.host_str().unwrap_or("?").as_bytes());
        Err(Error::new(Kind::Usage, format!("cannot reach `{host}`: the proxy for it {why}")).hint(
            "floe uses proxies of HTTP and of SOCKS 5: HTTPS_PROXY=http://HOST:PORT, or socks5h://HOST:PORT; NO_PROXY names \
             those that need none",
        ))
    }

    fn choose(&self, url: &Url) -> Option<&Proxy> {
        let proxy = match url.scheme() {
            "http" => self.http.as_ref(),
            _ => self.https.as_ref(),
        }?;
        let except = is_loopback(url) || self.except.iter().any(|e| e.fits(url));
        (!except).then_some(proxy)
    }

    /// What no message may show.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        let mut all = Vec::new();
        for proxy in self.http.iter().chain(&self.https) {
            let Proxy::Url(url) = proxy else { continue };
            let Some(password) = url.password() else { continue };
            let plain = |text: &str| percent_decoded(text);
            let (user, secret) = (plain(url.username()), plain(password));
            all.extend([
                Secret::new(STANDARD.encode(format!("{user}:{secret}"))),
                Secret::new(password),
                Secret::new(secret),
            ]);
        }
        all
    }
}

/// Who the proxies are, without their users and passwords.
impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |proxy: &Option<Proxy>| match proxy {
            Some(Proxy::Url(url)) => {
                let port = url.port_or_known_default().unwrap_or(SOCKS_PORT);
                Some(format!("{}://{}:{port}", url.scheme(), url.host_str().unwrap_or("?")))
            }
            Some(Proxy::Unusable(why)) => Some(why.clone()),
            None => None,
        };
        f.debug_struct("Proxies")
            .field("http", &shown(&self.http))
            .field("https", &shown(&self.https))
            .field("except", &self.except)
            .finish()
    }
}

impl Proxy {
    fn parse(text: &str) -> Self {
        let text = text.trim();
        let full = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        // No part of it is quoted: what is wrong with it may be the password's place.
        let Ok(url) = Url::parse(&full) else { return Self::Unusable("is not a URL".to_owned()) };
        match url.scheme() {
            "http" | "https" | "socks5" | "socks5h" if url.has_host() => Self::Url(url),
            scheme => {
                Self::Unusable(format!("speaks `{}`, which floe does not", show_bytes(scheme.as_bytes())))
            }
        }
    }
}

impl Exception {
    fn parse(entry: &str) -> Option<Self> {
        if entry == "*" {
            return Some(Self { what: Except::Everybody, port: None });
        }
        let bare = entry.trim_start_matches('[');
        if let Some(network) = network(bare.trim_end_matches(']')) {
            return Some(Self { what: Except::Network(network), port: None });
        }
        let (host, port) = match entry.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse::<u16>().ok()?)),
            None => (entry, None),
        };
        if let Some(network) = network(host.trim_matches(['[', ']'])) {
            return Some(Self { what: Except::Network(network), port });
        }
        // A star says what the dot alone does not: the name itself is not meant.
        let below_only = host.starts_with("*.");
        let name = host.trim_start_matches('*').trim_matches('.').to_ascii_lowercase();
        (!name.is_empty()).then_some(Self { what: Except::Domain { name, below_only }, port })
    }

    fn fits(&self, url: &Url) -> bool {
        if self.port.is_some() && self.port != url.port_or_known_default() {
            return false;
        }
        let host = url.host_str().unwrap_or("").trim_matches(['[', ']']);
        match &self.what {
            Except::Everybody => true,
            Except::Network(network) => host.parse::<IpAddr>().is_ok_and(|ip| network.contains(&ip)),
            Except::Domain { name, below_only } => {
                let host = host.trim_end_matches('.').to_ascii_lowercase();
                let below = host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'));
                below || (!below_only && host == *name)
            }
        }
    }
}

/// An address, or a network of addresses.
fn network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// The text behind percent encoding, as the proxy gets it.
fn percent_decoded(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).and_then(|h| std::str::from_utf8(h).ok());
        match hex.and_then(|h| u8::from_str_radix(h, 16).ok()).filter(|_| *first == b'%') {
            Some(byte) => {
                out.push(byte);
                rest = &tail[2..];
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(proxies: &Proxies, url: &str) -> Option<String> {
        proxies.of(&Url::parse(url).unwrap()).map(String::from)
    }

    #[test]
    fn c38_each_scheme_has_its_proxy() {
        let p = Proxies::new(Some("http://plain:3128"), Some("tls.example:8080"), "");
        assert_eq!(of(&p, "http://r.example/v2/").as_deref(), Some("http://plain:3128/"));
        assert_eq!(of(&p, "https://r.example/v2/").as_deref(), Some("http://tls.example:8080/"));
        let p = Proxies::new(None, Some("http://x:1"), "");
        assert_eq!(of(&p, "http://r.example/v2/"), None);
        assert!(Proxies::new(Some(""), None, "*").is_empty());
    }

    #[test]
    fn c38_socks_is_spoken_with_names_looked_up_here_or_there() {
        for url in ["socks5://ann:s3cret@x", "socks5h://ann:s3cret@x:1081"] {
            let p = Proxies::new(None, Some(url), "direct.example");
            assert_eq!(of(&p, "https://r.example/v2/").as_deref(), Some(url));
            assert_eq!(of(&p, "https://direct.example/"), None);
            assert!(p.secrets().iter().any(|s| s.reveal() == "s3cret"));
            let shown = format!("{p:?}");
            assert!(shown.contains("x:108") && !shown.contains("s3cret"), "{shown}");
        }
    }

    #[test]
    fn c38_this_machine_is_never_reached_by_a_proxy() {
        let p = Proxies::new(Some("http://x:1"), Some("http://x:1"), "");
        for url in ["http://127.0.0.1:5000/", "http://localhost:5000/", "https://[::1]:5000/"] {
            assert_eq!(of(&p, url), None, "{url}");
        }
    }

    #[test]
    fn c38_no_proxy_knows_names_networks_and_ports() {
        for (list, direct, proxied) in [
            ("*", "https://a.example/", None),
            ("a.example", "https://a.example/", Some("https://b.example/")),
            ("a.example", "https://x.a.example/", Some("https://xa.example/")),
            (".a.example", "https://x.a.example/", Some("https://a.example.b/")),
            (".a.example", "https://a.example/", None),
            ("*.a.example", "https://x.a.example/", Some("https://a.example/")),
            ("b, A.Example ,c", "https://a.EXAMPLE/", Some("https://d/")),
            ("a.example:5000", "https://a.example:5000/", Some("https://a.example/")),
            ("a.example:443", "https://a.example/", Some("http://a.example/")),
            ("10.0.0.0/8", "https://10.1.2.3:5000/", Some("https://11.1.2.3/")),
            ("10.1.2.3", "https://10.1.2.3/", Some("https://10.1.2.4/")),
            ("10.1.2.3:5000", "https://10.1.2.3:5000/", Some("https://10.1.2.3/")),
            ("fd00::/8", "https://[fd00::1]:5000/", Some("https://[fe00::1]/")),
            ("fd00::1", "https://[fd00::1]/", Some("https://[fd00::2]/")),
            ("[fd00::1]:5000", "https://[fd00::1]:5000/", Some("https://[fd00::1]/")),
        ] {
            let p = Proxies::new(Some("http://x:1"), Some("http://x:1"), list);
            assert_eq!(of(&p, direct), None, "{list}: {direct}");
            if let Some(url) = proxied {
                assert!(of(&p, url).is_some(), "{list}: {url}");
            }
        }
        // What says nothing excepts nobody.
        for list in ["", ",", ".", "a:b", "10.0.0.0/99", "*x"] {
            let p = Proxies::new(None, Some("http://x:1"), list);
            assert!(of(&p, "https://r.example/").is_some(), "{list}");
        }
    }

    #[test]
    fn c38_a_proxys_password_is_not_shown() {
        let p = Proxies::new(Some("http://ann:s3%40cret@x:1"), Some("socks4://ann:s3cret@x:1"), "");
        let shown = format!("{p:?}");
        assert!(shown.contains("http://x:1") && !shown.contains("ann") && !shown.contains("cret"), "{shown}");
        let secrets: Vec<String> = p.secrets().iter().map(|s| s.reveal().to_owned()).collect();
        assert_eq!(secrets, [STANDARD.encode("ann:s3@cret"), "s3%40cret".to_owned(), "s3@cret".to_owned()]);
        let e = p.check(&Url::parse("https://r.example/").unwrap()).unwrap_err();
        assert_eq!(
            e.to_string(),
            "cannot reach `r.example`: the proxy for it speaks `socks4`, which floe does not"
        );
        assert!(p.check(&Url::parse("http://r.example/").unwrap()).is_ok());
        assert!(p.check(&Url::parse("https://localhost/").unwrap()).is_ok());
        let odd = Proxies::new(None, Some("http://ann:s3cret@[/"), "");
        let e = odd.check(&Url::parse("https://r.example/").unwrap()).unwrap_err();
        assert!(!e.to_string().contains("cret"), "{e}");
    }
}
