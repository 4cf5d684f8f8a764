//! Which certificates count besides the system's, and which show who floe is.
//!
//! Folders for single hosts are Docker's and podman's (containers-certs.d(5)): in `HOST[:PORT]` each
//! `*.crt` is an authority, and `NAME.cert` with `NAME.key` is a certificate to show. Nothing is read
//! before a server is reached by TLS.
//!
//! Invariant: a certificate is shown to the hosts that it is for, never to where they redirect.

use std::path::{Path, PathBuf};

use reqwest::Url;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::transport::names_host;
use crate::error::{At, Error, Kind, Result, show};

/// The largest file of certificates that is read; the usual bundles have 200 KiB.
const MAX_BUNDLE: u64 = 16 << 20;
/// How many files of a folder are read.
const MAX_FILES: usize = 4096;

/// Certificates beyond those of the system. The library looks at no environment: what comes from
/// there is put in here.
#[derive(Clone, Debug, Default)]
pub struct Certificates {
    /// Files, and folders of files, whose authorities count in place of the system's
    /// (`SSL_CERT_FILE`, `SSL_CERT_DIR`).
    pub instead: Vec<PathBuf>,
    /// Files with authorities that count besides.
    pub besides: Vec<PathBuf>,
    /// Folders that hold a folder for each host; the first that has one for a host counts.
    pub by_host: Vec<PathBuf>,
    /// A folder for some hosts, with or without a port, that have none there.
    pub for_named: Option<(PathBuf, Vec<String>)>,
    /// What to show to some hosts.
    pub shown: Option<Shown>,
}

/// A client's certificate, and whom it is for.
#[derive(Clone, Debug)]
pub struct Shown {
    /// File with the certificate and its chain, in PEM.
    pub certificate: PathBuf,
    /// File with its key, in PEM.
    pub key: PathBuf,
    /// Hosts, with or without a port.
    pub hosts: Vec<String>,
}

/// A client's certificate that was read.
pub(super) type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Certificates {
    /// The folder of a host, where there is one.
    pub(super) fn folder(&self, url: &Url) -> Option<PathBuf> {
        let host = url.host_str()?;
        let mut names = Vec::new();
        if let Some(port) = url.port_or_known_default() {
            names.push(format!("{host}:{port}"));
            if url.port().is_none() {
                names.push(host.to_owned());
            }
        }
        let own = self.by_host.iter().flat_map(|d| names.iter().map(move |n| d.join(n))).find(|p| p.is_dir());
        own.or_else(|| {
            let (folder, hosts) = self.for_named.as_ref()?;
            hosts.iter().any(|name| names_host(name, url)).then(|| folder.clone())
        })
    }

    /// Whether there is something for this host alone.
    pub(super) fn is_special(&self, url: &Url) -> bool {
        self.folder(url).is_some() || self.shown_to(url).is_some()
    }

    fn shown_to(&self, url: &Url) -> Option<&Shown> {
        self.shown.as_ref().filter(|s| s.hosts.iter().any(|name| names_host(name, url)))
    }

    /// The authorities that count in place of the system's, where any were named.
    pub(super) fn own_roots(&self) -> Result<Option<RootCertStore>> {
        if self.instead.is_empty() {
            return Ok(None);
        }
        let mut store = RootCertStore::empty();
        for path in &self.instead {
            if path.is_dir() {
                for file in files(path)? {
                    // Folders of certificates hold lists of revocations and links that lead nowhere.
                    if let Ok(found) = read(&file) {
                        store.add_parsable_certificates(found);
                    }
                }
            } else {
                store.add_parsable_certificates(read(path)?);
            }
        }
        if store.is_empty() {
            let all: Vec<String> = self.instead.iter().map(|p| format!("`{}`", show(p))).collect();
            return Err(Error::new(Kind::Usage, format!("there is no certificate in {}", all.join(", ")))
                .hint("correct SSL_CERT_FILE or SSL_CERT_DIR, or leave them out"));
        }
        Ok(Some(store))
    }

    /// Adds the authorities that count besides, those of a host's folder included.
    pub(super) fn add_to(&self, store: &mut RootCertStore, folder: Option<&Path>) -> Result<()> {
        let mut all = self.besides.clone();
        if let Some(folder) = folder {
            all.extend(with_ending(folder, "crt")?);
        }
        for path in all {
            let (added, _) = store.add_parsable_certificates(read(&path)?);
            if added == 0 {
                return Err(Error::new(Kind::Usage, format!("there is no certificate in `{}`", show(&path)))
                    .hint("it has to hold certificates of authorities, in PEM"));
            }
        }
        Ok(())
    }

    /// What to show to a host.
    pub(super) fn identity(&self, url: &Url, folder: Option<&Path>) -> Result<Option<Identity>> {
        if let Some(shown) = self.shown_to(url) {
            return identity(&shown.certificate, &shown.key).map(Some);
        }
        let Some(folder) = folder else { return Ok(None) };
        let Some(certificate) = with_ending(folder, "cert")?.into_iter().next() else { return Ok(None) };
        identity(&certificate, &certificate.with_extension("key")).map(Some)
    }
}

fn identity(certificate: &Path, key: &Path) -> Result<Identity> {
    let chain = read(certificate)?;
    if chain.is_empty() {
        return Err(Error::new(Kind::Usage, format!("there is no certificate in `{}`", show(certificate)))
            .hint("it has to be in PEM, as its authority gave it"));
    }
    let bytes = crate::fs::read_capped(key, MAX_BUNDLE).map_err(|e| e.with_kind(Kind::Usage))?;
    // What the parser says could quote the key.
    let key = PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| {
        Error::new(Kind::Usage, format!("there is no private key in `{}`", show(key)))
            .hint("it has to be in PEM and without a passphrase")
    })?;
    Ok((chain, key))
}

/// The certificates in a file; what is not one is passed over, as every other client does.
pub(super) fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let bytes = crate::fs::read_capped(path, MAX_BUNDLE).map_err(|e| e.with_kind(Kind::Usage))?;
    Ok(CertificateDer::pem_slice_iter(&bytes).filter_map(std::result::Result::ok).collect())
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for item in std::fs::read_dir(folder).at("read the folder", folder)?.take(MAX_FILES) {
        found.push(item.at("read the folder", folder)?.path());
    }
    found.sort();
    Ok(found)
}

fn with_ending(folder: &Path, ending: &str) -> Result<Vec<PathBuf>> {
    Ok(files(folder)?.into_iter().filter(|p| p.extension().is_some_and(|e| e == ending)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn c28_a_hosts_folder_is_found_by_host_and_port() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a/r.example", "b/r.example:5000", "b/[::1]:5000", "b/plain.example:443"] {
            std::fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        let all = Certificates {
            by_host: vec![dir.path().join("a"), dir.path().join("b"), dir.path().join("none")],
            ..Certificates::default()
        };
        for (at, folder) in [
            ("https://r.example/v2/", Some("a/r.example")),
            ("https://r.example:5000/", Some("b/r.example:5000")),
            ("https://[::1]:5000/", Some("b/[::1]:5000")),
            ("https://plain.example/", Some("b/plain.example:443")),
            ("https://r.example:5001/", None),
            ("https://x.r.example/", None),
        ] {
            assert_eq!(all.folder(&url(at)), folder.map(|f| dir.path().join(f)), "{at}");
        }
    }

    #[test]
    fn c28_a_certificate_needs_its_key() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("r.example");
        std::fs::create_dir(&folder).unwrap();
        let all = Certificates { by_host: vec![dir.path().to_owned()], ..Certificates::default() };
        let at = url("https://r.example/");
        assert!(all.identity(&at, all.folder(&at).as_deref()).unwrap().is_none());
        std::fs::write(folder.join("me.cert"), "nothing").unwrap();
        let e = all.identity(&at, all.folder(&at).as_deref()).unwrap_err();
        assert!(e.to_string().contains("there is no certificate in"), "{e}");
        std::fs::write(folder.join("ca.crt"), "nothing").unwrap();
        assert!(all.add_to(&mut RootCertStore::empty(), Some(&folder)).is_err());
    }

    #[test]
    fn named_authorities_that_are_not_there_are_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let empty = dir.path().join("empty.pem");
        std::fs::write(&empty, "").unwrap();
        for instead in [dir.path().join("none"), empty, dir.path().to_owned()] {
            let all = Certificates { instead: vec![instead.clone()], ..Certificates::default() };
            assert_eq!(all.own_roots().unwrap_err().kind(), Kind::Usage, "{}", instead.display());
        }
        assert!(Certificates::default().own_roots().unwrap().is_none());
    }
}
