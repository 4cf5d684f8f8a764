//! Authorities, clients' certificates, and hosts that are called insecure. The names that are asked for
//! lead through a proxy, as this machine's own certificates are not looked at.

use super::*;
use crate::support::proxy::TestProxy;
use crate::support::tls::{self, Authority};

const NAME: &str = "registry.test";

/// A registry that speaks TLS, an authority, and a proxy that leads there whatever is asked for.
struct Secure {
    place: Place,
    authority: Authority,
    proxy: TestProxy,
}

impl Secure {
    fn new(clients: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new(&folder.path().join("authority"));
        let registry = tls::registry(&authority.server(NAME, clients)).with(Switch::RelativeLocation);
        let proxy = TestProxy::start(registry.addr(), None);
        let place = Place::with(registry);
        // One folder is enough for the test, and this one goes last.
        let kept = place.path("authority");
        std::fs::rename(folder.path().join("authority"), &kept).unwrap();
        Self { place, authority: Authority::at(&kept), proxy }
    }

    fn build(&self, more: &str) -> Command {
        let line = format!("build model --name m -o docker://{NAME}/team/m {more}");
        let mut command = self.place.command(&line);
        command.env("HTTPS_PROXY", format!("http://{}", self.proxy.addr()));
        command
    }

    fn refused(&self, command: &mut Command) -> String {
        let (code, said) = self.place.exit_code(command);
        assert_eq!(code, Some(4), "{said}");
        said
    }
}

#[test]
fn c28_an_authority_is_believed_that_is_named() {
    let s = Secure::new(false);
    let said = s.refused(&mut s.build(""));
    assert!(
        said.contains("certificate is not believed (UnknownIssuer)") && said.contains("--ca-file FILE"),
        "{said}"
    );
    let ca = s.authority.certificate();
    s.place.publishes(s.build("").arg("--ca-file").arg(&ca));
    s.place.publishes(s.build("").env("SSL_CERT_FILE", &ca));
    let folder = s.place.path("roots");
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(&ca, folder.join("0a1b2c3d.0")).unwrap();
    s.place.publishes(s.build("").env("SSL_CERT_DIR", &folder));
    assert!(s.proxy.log().iter().all(|l| l == &format!("CONNECT {NAME}:443")), "{:?}", s.proxy.log());
    // What is not there is told, and not passed over.
    let (code, said) = s.place.exit_code(s.build("").args(["--ca-file", "none.pem"]));
    assert_eq!(code, Some(2), "{said}");
    let (code, said) = s.place.exit_code(s.build("").env("SSL_CERT_FILE", s.place.path("model/none.pem")));
    assert_eq!(code, Some(2), "{said}");
}

#[test]
fn c28_folders_of_certificates_are_found_by_host() {
    let s = Secure::new(false);
    let ca = std::fs::read(s.authority.certificate()).unwrap();
    // Another host's folder is not ours.
    s.place.write("home/.config/containers/certs.d/other.test/ca.crt", &ca);
    s.refused(&mut s.build(""));
    s.place.write(&format!("home/.config/containers/certs.d/{NAME}/ca.crt"), &ca);
    s.place.publishes(&mut s.build(""));
    std::fs::remove_dir_all(s.place.path("home/.config")).unwrap();
    // A folder that is named is one of these, or holds a folder for the host.
    s.place.write("flat/ca.crt", &ca);
    s.place.publishes(&mut s.build("--cert-dir flat"));
    s.place.write(&format!("deep/{NAME}:443/ca.crt"), &ca);
    s.place.publishes(&mut s.build("--cert-dir deep"));
}

#[test]
fn c28_a_client_shows_its_certificate() {
    let s = Secure::new(true);
    let (certificate, key) = s.authority.issue("client.test");
    let ca = s.authority.certificate();
    let said = s.refused(s.build("").arg("--ca-file").arg(&ca));
    assert!(said.contains("--cert FILE --key FILE"), "{said}");
    s.place.publishes(
        s.build("").arg("--ca-file").arg(&ca).arg("--cert").arg(&certificate).arg("--key").arg(&key),
    );
    let folder = format!("certs/{NAME}");
    for (name, file) in [("ca.crt", &ca), ("client.cert", &certificate), ("client.key", &key)] {
        s.place.write(&format!("{folder}/{name}"), std::fs::read(file).unwrap());
    }
    s.place.publishes(&mut s.build("--cert-dir certs"));
    // A certificate without its key is told.
    std::fs::remove_file(s.place.path(&folder).join("client.key")).unwrap();
    let (code, said) = s.place.exit_code(&mut s.build("--cert-dir certs"));
    assert!(code == Some(2) || code == Some(1), "{said}");
    assert!(said.contains("client.key"), "{said}");
    let (code, said) = s.place.exit_code(s.build("").arg("--cert").arg(&certificate));
    assert_eq!(code, Some(2), "{said}");
}

#[test]
fn c28_a_host_may_be_called_insecure() {
    let s = Secure::new(false);
    s.place.publishes(&mut s.build("--tls-verify=false"));
    s.place.publishes(&mut s.build(&format!("--insecure {NAME}")));
    s.place.publishes(s.build("").env("FLOE_TLS_VERIFY", "false"));
    for not in ["--tls-verify=true", "--insecure other.test", "--insecure registry.test:5000"] {
        s.refused(&mut s.build(not));
    }
}
