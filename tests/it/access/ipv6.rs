//! Registries whose host is an address of IPv6, from the command line to the socket.

use super::*;
use crate::support::debian::DebianRegistry;
use crate::support::program::Built;

/// Publishes to `[::1]`, reads it back in every way, and compares digests with those of IPv4.
fn there_and_back(p: &Place, host: &str) {
    let to = format!("docker://{host}/team/m");
    assert!(host.starts_with("[::1]:"), "{host}");
    let built = Built::of(&output(&mut p.command(&format!("build model --name m --json -o {to}:prod"))));
    assert_eq!(built.references(), [format!("{to}@{}", built.digest())]);
    let same = Built::of(&output(p.build().arg("--json")));
    assert_eq!(same.digest(), built.digest(), "the place is no part of an image");
    let shown = |line: &str| {
        let out = p.run(line);
        assert!(out.status.success(), "{line}: {}", said(&out));
        String::from_utf8(out.stdout).unwrap()
    };
    for name in ["", ":1", ":prod", &format!(":{}", built.version()), &format!("@{}", built.digest())] {
        assert!(shown(&format!("inspect {to}{name} --json")).contains(built.digest()), "{name}");
        // As skopeo writes it, and without the transport.
        assert!(shown(&format!("inspect {host}/team/m{name} --json")).contains(built.digest()), "{name}");
    }
    assert!(shown(&format!("versions {to}")).contains(built.version()));
    shown(&format!("verify {to}:1"));
    shown(&format!("copy {to}:1 oci:DIR/pulled"));
    shown(&format!("copy oci:DIR/pulled docker://{host}/team/again"));
    assert!(shown(&format!("inspect docker://{host}/team/again --json")).contains(built.digest()));
    // As a base, whose name has the host in it.
    let onto =
        format!("build model --name n -o oci:DIR/onto --base {host}/team/m:prod --platform linux/amd64");
    shown(&onto);
}

#[test]
fn c22_a_host_of_ipv6_is_pushed_to_and_pulled_from() {
    let p = Place::new();
    let six = TestRegistry::start_v6();
    there_and_back(&p, six.addr());
    assert!(six.log().iter().any(|e| e.headers.get("host").is_some_and(|h| h == six.addr())));
    let absolute = six.log().iter().filter(|e| e.method == "PATCH").count();
    assert!(absolute > 0, "absolute locations with such a host are followed");
}

#[test]
fn c22_a_real_registry_of_ipv6_is_pushed_to_and_pulled_from() {
    let (p, six) = (Place::new(), DebianRegistry::start_v6());
    there_and_back(&p, &six.host());
}

#[test]
fn c22_c25_logins_for_a_host_of_ipv6_are_for_that_host_and_port() {
    for switch in [basic(), bearer()] {
        let p = Place::new();
        let six = TestRegistry::start_v6().with(switch);
        let host = six.addr().to_owned();
        let port = host.rsplit(':').next().unwrap().to_owned();
        let build = |label: &str| {
            p.command(&format!(
                "build model --name m -o docker://{host}/team/m --label a={label} --authfile own.json"
            ))
        };
        for other in
            ["[::1]".to_owned(), "[::1]:1".to_owned(), format!("127.0.0.1:{port}"), format!("[::2]:{port}")]
        {
            p.write("own.json", auth(&other));
            let (code, said) = p.exit_code(&mut build("no"));
            assert_eq!(code, Some(8), "{other}: {said}");
        }
        assert!(six.log().iter().all(|e| e.authorization.as_ref().is_none_or(|a| !a.starts_with("Basic"))));
        for (i, key) in
            [host.clone(), format!("{host}/team"), format!("http://{host}/v2/")].iter().enumerate()
        {
            p.write("own.json", auth(key));
            p.publishes(&mut build(&format!("{i}")));
        }
        // By a login of floe's own, a helper, and variables.
        std::fs::remove_file(p.path("own.json")).unwrap();
        let mut login = p.command(&format!("login {host} -u ann --authfile own.json"));
        let out = output(login.env("FLOE_PASSWORD", PASSWORD));
        assert!(said(&out).starts_with("Login Succeeded! Kept in "), "{}", said(&out));
        assert!(std::fs::read_to_string(p.path("own.json")).unwrap().contains(&format!("\"{host}\"")));
        p.publishes(&mut build("login"));
        let out = p.run(&format!("logout {host} --authfile own.json"));
        assert!(said(&out).starts_with("forgot the login for "), "{}", said(&out));

        let answer = format!("{{\\\"Username\\\":\\\"{USER}\\\",\\\"Secret\\\":\\\"{PASSWORD}\\\"}}");
        p.program(
            "docker-credential-t",
            &format!("read host; test \"$host\" = '{host}' && echo \"{answer}\""),
        );
        p.write("own.json", r#"{"credsStore": "t"}"#);
        p.publishes(build("helper").env("SECRETS_OF_THE_TEST", PASSWORD));

        p.write("own.json", "{}");
        p.publishes(build("variables").env("FLOE_USERNAME", USER).env("FLOE_PASSWORD", PASSWORD));
        let job =
            [("CI_REGISTRY", host.as_str()), ("CI_REGISTRY_USER", USER), ("CI_REGISTRY_PASSWORD", PASSWORD)];
        p.publishes(build("job").envs(job));
    }
}

#[test]
fn c27_a_host_of_ipv6_is_moved_mirrored_and_blocked() {
    let p = Place::new();
    let six = TestRegistry::start_v6();
    p.write(
        "registries.conf",
        format!("[[registry]]\nprefix = \"models.example\"\nlocation = \"{}\"\n", six.addr()),
    );
    p.publishes(
        &mut p.command(
            "build model --name m -o docker://models.example/team/m --registries-conf registries.conf",
        ),
    );
    assert!(!six.tags("team/m").is_empty());
    p.write("registries.conf", format!("[[registry]]\nprefix = \"{}/team\"\nblocked = true\n", six.addr()));
    let (code, said) = p.exit_code(
        p.command(&format!("versions docker://{}/team/m", six.addr()))
            .args(["--registries-conf", "registries.conf"]),
    );
    assert_eq!(code, Some(8), "{said}");
}
