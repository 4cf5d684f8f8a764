//! Which certificates are believed.
//!
//! Trust comes from the system's bundle of authorities, found at the places where systems keep it,
//! else from Mozilla's list that is linked in: a container without any certificates works. The
//! cryptography is `ring`, passed by hand, so that no other part of a process can change it.
//! Not here: client certificates and `certs.d`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

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
/// The largest bundle that is read; the usual ones have 200 KiB.
const MAX_BUNDLE: u64 = 16 << 20;

/// The places where the system's authorities are looked for.
pub(super) fn system_bundles() -> Vec<PathBuf> {
    BUNDLES.iter().map(PathBuf::from).collect()
}

/// A configuration that verifies servers against the first of `bundles` that has any authority.
pub(super) fn verifying(bundles: &[PathBuf]) -> Result<ClientConfig> {
    let roots = bundles.iter().find_map(|b| read_bundle(b)).unwrap_or_else(|| {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
        store
    });
    Ok(finish(builder()?.with_root_certificates(roots).with_no_client_auth()))
}

/// A configuration that believes every server, for hosts that the user called insecure.
pub(super) fn trusting() -> Result<ClientConfig> {
    let verifier = Arc::new(Anyone(Arc::new(ring::default_provider())));
    Ok(finish(builder()?.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()))
}

/// A configuration for plain HTTP, which believes no server at all and costs nothing to make.
pub(super) fn none() -> Result<ClientConfig> {
    Ok(finish(builder()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth()))
}

fn builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::new(Kind::Bug, "the cryptography that is linked in cannot do TLS").because(e))
}

fn finish(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

/// The authorities in a file; `None` where it is not there or has none.
fn read_bundle(path: &Path) -> Option<RootCertStore> {
    let bytes = crate::fs::read_capped(path, MAX_BUNDLE).ok()?;
    let mut store = RootCertStore::empty();
    // Old and broken authorities are passed over, as every other client does.
    store.add_parsable_certificates(
        CertificateDer::pem_slice_iter(&bytes).filter_map(std::result::Result::ok),
    );
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

    #[test]
    fn a_system_without_certificates_works() {
        assert!(verifying(&[]).is_ok());
        assert!(read_bundle(Path::new("/no/such/bundle")).is_none());
        let dir = tempfile::tempdir().unwrap();
        let empty = dir.path().join("empty.pem");
        std::fs::write(&empty, b"-----BEGIN CERTIFICATE-----\nnonsense\n").unwrap();
        assert!(read_bundle(&empty).is_none());
        assert!(verifying(&[empty]).is_ok());
    }

    #[test]
    fn only_http_1_1_is_offered() {
        for config in [verifying(&[]).unwrap(), trusting().unwrap(), none().unwrap()] {
            assert_eq!(config.alpn_protocols, [b"http/1.1".to_vec()]);
        }
    }
}
