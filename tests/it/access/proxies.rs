//! Proxies of the environment.

use super::*;
use crate::support::proxy::TestProxy;

const NAME: &str = "registry.test";

struct Behind {
    place: Place,
    proxy: TestProxy,
}

impl Behind {
    fn new(login: Option<&str>) -> Self {
        let place = Place::with(TestRegistry::start().with(Switch::RelativeLocation));
        let proxy = TestProxy::start(place.registry.addr(), login);
        Self { place, proxy }
    }

    /// By plain HTTP, as the host is called insecure.
    fn build(&self) -> Command {
        self.place.command(&format!("build model --name m -o docker://{NAME}/team/m --insecure {NAME}"))
    }

    fn url(&self) -> String {
        format!("http://{}", self.proxy.addr())
    }
}

#[test]
fn c38_plain_http_goes_through_the_proxy() {
    for variable in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        let b = Behind::new(None);
        // HTTPS is tried first, and this proxy leads to a server that does not speak it.
        b.place.publishes(b.build().env(variable, b.url()).env("https_proxy", b.url()));
        let log = b.proxy.log();
        assert!(log.iter().any(|l| l.starts_with(&format!("GET http://{NAME}/v2/"))), "{variable}: {log:?}");
    }
}

#[test]
fn c38_small_letters_count_first_and_no_proxy_excepts() {
    let b = Behind::new(None);
    let nobody = "http://127.0.0.1:1";
    b.place.publishes(
        b.build()
            .env("http_proxy", b.url())
            .env("HTTP_PROXY", nobody)
            .env("ALL_PROXY", nobody)
            .env("https_proxy", b.url()),
    );
    let seen = b.proxy.log().len();
    // In a CGI program HTTP_PROXY is a header of somebody's request.
    let (code, _) = b.place.exit_code(b.build().env("HTTP_PROXY", b.url()).env("REQUEST_METHOD", "GET"));
    assert_eq!(code, Some(4));
    for except in ["*", "registry.test", ".test", "x, registry.test:443, registry.test:80"] {
        let (code, said) = b.place.exit_code(b.build().env("ALL_PROXY", b.url()).env("NO_PROXY", except));
        assert_eq!(code, Some(4), "{except}: {said}");
    }
    assert_eq!(b.proxy.log().len(), seen, "somebody asked the proxy");
    // This machine needs none.
    b.place.publishes(b.place.build().env("ALL_PROXY", nobody));
}

#[test]
fn c38_a_proxys_login_is_for_the_proxy_alone() {
    let b = Behind::new(Some("pat:s3cret@proxy"));
    let with = |userinfo: &str| format!("http://{userinfo}{}", b.proxy.addr());
    let mut build = b.build();
    b.place.publishes(build.env("ALL_PROXY", with("pat:s3cret%40proxy@")));
    for entry in b.place.registry.log() {
        let sent = format!("{:?}", entry.headers);
        assert!(entry.authorization.is_none(), "{entry:?}");
        // The proxy of the test hands on what it gets; real ones take their header out.
        assert!(!sent.contains("s3cret"), "{sent}");
    }
    for userinfo in ["", "pat:wrong-secret@"] {
        let (code, said) = b.place.exit_code(b.build().arg("-vv").env("ALL_PROXY", with(userinfo)));
        assert!(matches!(code, Some(4 | 8)), "{said}");
    }
    // A tunnel that is refused is told with what to do.
    let line = format!("versions docker://{NAME}/team/m");
    let (code, said) =
        b.place.exit_code(b.place.command(&line).env("HTTPS_PROXY", with("pat:wrong-secret@")));
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("hint: the proxy wants a login"), "{said}");
    let (code, said) = b.place.exit_code(b.build().env("ALL_PROXY", "socks5://pat:s3cret@127.0.0.1:9"));
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("speaks `socks5`, which floe does not"), "{said}");
}
