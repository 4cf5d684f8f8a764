//! How TLS is spoken: whom it believes, and what it shows.
//!
//! Trust comes from the authorities that were named in place of the system's, else from the system's
//! bundle, found at the places where systems keep it, else from Mozilla's list that is linked in: a
//! container without any certificates works. The cryptography is `ring`, passed by hand, so that no
//! other part of a process can change it. Not here: `certificates`, which files there are.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use reqwest::Url;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::certificates::{self, Certificates, Identity};
use crate::error::{Error, Kind, Result};

/// Where Debian, Fedora, SUSE, Alpine, OpenSSL's own default and macOS keep the bundle.
const BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// The places where the system's authorities are looked for.
pub(super) fn system_bundles() -> Vec<PathBuf> {
    BUNDLES.iter().map(PathBuf::from).collect()
}

/// A configuration that verifies a server against what was named, else against the first of `bundles`
/// that has any authority.
pub(super) fn verifying(bundles: &[PathBuf], all: &Certificates, url: &Url) -> Result<ClientConfig> {
    let folder = all.folder(url);
    let mut roots = match all.own_roots()? {
        Some(own) => own,
        None => bundles.iter().find_map(|b| read_bundle(b)).unwrap_or_else(|| {
            let mut store = RootCertStore::empty();
            store.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
            store
        }),
    };
    all.add_to(&mut roots, folder.as_deref())?;
    let identity = all.identity(url, folder.as_deref())?;
    finish(builder()?.with_root_certificates(roots), identity)
}

/// A configuration that believes every server, for hosts that the user called insecure.
pub(super) fn trusting(all: &Certificates, url: &Url) -> Result<ClientConfig> {
    let verifier = Arc::new(Anyone(Arc::new(ring::default_provider())));
    let identity = all.identity(url, all.folder(url).as_deref())?;
    finish(builder()?.dangerous().with_custom_certificate_verifier(verifier), identity)
}

/// A configuration for plain HTTP, which believes no server at all and costs nothing to make.
pub(super) fn none() -> Result<ClientConfig> {
    finish(builder()?.with_root_certificates(RootCertStore::empty()), None)
}

fn builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::new(Kind::Bug, "the cryptography that is linked in cannot do TLS").because(e))
}

type Builder = rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>;

fn finish(builder: Builder, identity: Option<Identity>) -> Result<ClientConfig> {
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(|e| {
            Error::new(Kind::Usage, "the client's certificate and key cannot be used together")
                .because(e)
                .hint("check that the key is the one of the certificate")
        })?,
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The authorities in a file; `None` where it is not there or has none.
fn read_bundle(path: &Path) -> Option<RootCertStore> {
    let mut store = RootCertStore::empty();
    // Old and broken authorities are passed over, as every other client does.
    store.add_parsable_certificates(certificates::read(path).ok()?);
    (!store.is_empty()).then_some(store)
}

/// Believes every certificate. Signatures are checked still, so that the handshake is a real one.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> Url {
        Url::parse("https://r.example/").unwrap()
    }

    #[test]
    fn a_system_without_certificates_works() {
        let none = Certificates::default();
        assert!(verifying(&[], &none, &at()).is_ok());
        assert!(read_bundle(Path::new("/no/such/bundle")).is_none());
        let dir = tempfile::tempdir().unwrap();
        let empty = dir.path().join("empty.pem");
        std::fs::write(&empty, b"-----BEGIN CERTIFICATE-----\nnonsense\n").unwrap();
        assert!(read_bundle(&empty).is_none());
        assert!(verifying(&[empty], &none, &at()).is_ok());
    }

    #[test]
    fn only_http_1_1_is_offered() {
        let all = Certificates::default();
        for config in [verifying(&[], &all, &at()).unwrap(), trusting(&all, &at()).unwrap(), none().unwrap()]
        {
            assert_eq!(config.alpn_protocols, [b"http/1.1".to_vec()]);
        }
    }
}
