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
    let (code, said) = b.place.exit_code(b.build().env("ALL_PROXY", "socks4://pat:s3cret@127.0.0.1:9"));
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("speaks `socks4`, which floe does not"), "{said}");
    assert!(said.contains("socks5h://HOST:PORT"), "{said}");
}

#[test]
fn c38_socks_proxies_get_names_or_addresses_and_their_own_login() {
    let with = |login: Option<&'static str>| {
        let place = Place::with(TestRegistry::start().with(Switch::RelativeLocation));
        let proxy = TestProxy::socks(place.registry.addr(), login);
        (place, proxy)
    };
    // A name that no resolver knows is looked up by the proxy.
    let (place, proxy) = with(None);
    let line = format!("build model --name m -o docker://{NAME}/team/m --insecure {NAME}");
    place.publishes(place.command(&line).env("ALL_PROXY", format!("socks5h://{}", proxy.addr())));
    let log = proxy.log();
    assert!(log.contains(&format!("SOCKS {NAME}:80")), "{log:?}");
    assert!(!place.registry.tags("team/m").is_empty());
    let (code, said) =
        place.exit_code(place.command(&line).env("ALL_PROXY", format!("socks5://{}", proxy.addr())));
    assert_eq!(code, Some(4), "here nobody knows that name: {said}");

    // With a login, which goes to the proxy alone; an address needs no resolver.
    let (place, proxy) = with(Some("pat:s3cret@proxy"));
    let line = "build model --name m -o docker://192.0.2.7:5000/team/m --insecure 192.0.2.7:5000";
    let url = |userinfo: &str| format!("socks5://{userinfo}{}", proxy.addr());
    place.publishes(place.command(line).env("all_proxy", url("pat:s3cret%40proxy@")));
    assert!(proxy.log().contains(&"SOCKS 192.0.2.7:5000".to_owned()), "{:?}", proxy.log());
    for entry in place.registry.log() {
        let sent = format!("{:?}", entry.headers);
        assert!(entry.authorization.is_none() && !sent.contains("s3cret"), "{entry:?}");
    }
    let before = place.registry.log().len();
    for userinfo in ["", "pat:wrong-secret@"] {
        let (code, said) = place.exit_code(place.command(line).arg("-vv").env("ALL_PROXY", url(userinfo)));
        assert_eq!(code, Some(4), "{said}");
        assert!(!said.contains("wrong-secret"), "{said}");
    }
    assert_eq!(place.registry.log().len(), before, "somebody came through");
    // NO_PROXY counts for these too, and this machine needs none.
    let asked = proxy.log().len();
    let (code, _) = place.exit_code(
        place
            .command(line)
            .args(["--stall", "1"])
            .env("ALL_PROXY", url("pat:s3cret%40proxy@"))
            .env("NO_PROXY", "192.0.2.0/24")
            .env("FLOE_RETRIES", "0"),
    );
    assert_eq!(code, Some(4));
    place.publishes(place.build().args(["--label", "a=b"]).env("ALL_PROXY", "socks5h://127.0.0.1:1"));
    assert_eq!(proxy.log().len(), asked);
}
