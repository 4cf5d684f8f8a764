//! Certificates of an authority of the test's own, and servers that use them.

use std::io::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::http::{Handler, Server, Stream};
use super::program::run;
use super::registry::TestRegistry;

/// An authority, in a folder.
pub(crate) struct Authority {
    folder: PathBuf,
}

impl Authority {
    pub(crate) fn new(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let authority = Self { folder: folder.to_owned() };
        let (key, certificate) = (authority.file("ca.key"), authority.file("ca.crt"));
        let key_kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let rest =
            ["-keyout", &key, "-out", &certificate, "-days", "3", "-subj", "/CN=an authority of the test"];
        run("openssl", &[&["req", "-x509"][..], &key_kind, &rest].concat());
        authority
    }

    /// The same, after its folder was moved.
    pub(crate) fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    fn file(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_owned()
    }

    /// The file with its certificate.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    /// Issues `NAME.cert` and `NAME.key` for a server of that name, or for a client.
    pub(crate) fn issue(&self, name: &str) -> (PathBuf, PathBuf) {
        let (key, request) = (self.file(&format!("{name}.key")), self.file(&format!("{name}.csr")));
        let (certificate, extensions) =
            (self.file(&format!("{name}.cert")), self.file(&format!("{name}.ext")));
        std::fs::write(&extensions, format!("subjectAltName=DNS:{name}\nbasicConstraints=CA:FALSE\n"))
            .unwrap();
        let key_kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let subject = format!("/CN={name}");
        let rest = ["-keyout", &key, "-out", &request, "-subj", &subject];
        run("openssl", &[&["req"][..], &key_kind, &rest].concat());
        let (ca, ca_key) = (self.file("ca.crt"), self.file("ca.key"));
        let by = ["-CA", &ca, "-CAkey", &ca_key, "-CAcreateserial", "-days", "3"];
        let rest = ["-in", &request, "-out", &certificate, "-extfile", &extensions];
        run("openssl", &[&["x509", "-req"][..], &by, &rest].concat());
        (certificate.into(), key.into())
    }

    /// A server of this name; with `clients` it wants a certificate of this authority too.
    pub(crate) fn server(&self, name: &str, clients: bool) -> Arc<ServerConfig> {
        let (certificate, key) = self.issue(name);
        let read = |path: &Path| {
            CertificateDer::pem_file_iter(path).unwrap().map(Result::unwrap).collect::<Vec<_>>()
        };
        let chain = read(&certificate);
        let key = PrivateKeyDer::from_pem_file(key).unwrap();
        let provider = Arc::new(default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if clients {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(read(&self.certificate()));
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.unwrap())
        } else {
            builder.with_no_client_auth()
        };
        Arc::new(builder.with_single_cert(chain, key).unwrap())
    }
}

/// A server that speaks TLS.
pub(crate) fn serve(handler: Arc<dyn Handler>, config: Arc<ServerConfig>) -> Server {
    Server::start_with(handler, move |stream: TcpStream| {
        let connection = ServerConnection::new(Arc::clone(&config)).ok()?;
        let stream: Box<dyn Stream> = Box::new(StreamOwned::new(connection, stream));
        Some(stream)
    })
}

/// A registry that speaks TLS.
pub(crate) fn registry(config: &Arc<ServerConfig>) -> TestRegistry {
    TestRegistry::start_with(|handler| serve(handler, Arc::clone(config)))
}

impl Stream for StreamOwned<ServerConnection, TcpStream> {
    fn leave(&mut self) -> std::io::Result<()> {
        self.conn.send_close_notify();
        self.flush()?;
        self.sock.leave()
    }
}
