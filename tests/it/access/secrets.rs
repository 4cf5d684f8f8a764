//! Credentials are in nothing that floe writes: every command, every kind of credential, the most
//! talkative level, answers that repeat what was sent. `support::secrets` looks at each run; this test
//! makes many of them, and looks at what is left on disk.

use std::path::Path;

use super::*;
use crate::support::secrets;

/// One way to have a credential: the switches of the registry, and the files and variables of the user.
struct Kind {
    name: &'static str,
    switches: Vec<Switch>,
    secret: &'static str,
    entry: Option<String>,
    env: Vec<(&'static str, String)>,
}

fn kinds() -> Vec<Kind> {
    let kind = |name, switches, secret, entry, env| Kind { name, switches, secret, entry, env };
    let entry = |key: &str, value: &str| Some(format!(r#"{{"{key}":"{value}"}}"#));
    let login = base64(&format!("{USER}:{PASSWORD}"));
    let var = |name: &'static str, value: &str| (name, value.to_owned());
    vec![
        kind("a password", vec![basic()], PASSWORD, entry("auth", &login), vec![]),
        kind("a password for tokens", vec![bearer()], PASSWORD, entry("auth", &login), vec![]),
        kind(
            "a wrong password",
            vec![basic()],
            "wrong-horse",
            entry("auth", &base64("ann:wrong-horse")),
            vec![],
        ),
        kind(
            "an identity token",
            vec![bearer(), Switch::Identity { token: "the-identity-token", post: true }],
            "the-identity-token",
            entry("identitytoken", "the-identity-token"),
            vec![],
        ),
        kind(
            "an identity token as a password",
            vec![bearer(), Switch::Identity { token: "the-identity-token", post: false }],
            "the-identity-token",
            entry("identitytoken", "the-identity-token"),
            vec![],
        ),
        kind(
            "a token of its own",
            vec![bearer(), Switch::OwnToken("the-registry-token")],
            "the-registry-token",
            entry("registrytoken", "the-registry-token"),
            vec![],
        ),
        kind("a helper", vec![basic()], PASSWORD, None, vec![var("SECRETS_OF_THE_TEST", PASSWORD)]),
        kind(
            "variables",
            vec![bearer()],
            PASSWORD,
            None,
            vec![var("FLOE_USERNAME", USER), var("FLOE_PASSWORD", PASSWORD)],
        ),
        kind(
            "a job of GitLab",
            vec![basic()],
            PASSWORD,
            None,
            vec![
                var("CI_REGISTRY", "HOST"),
                var("CI_REGISTRY_USER", USER),
                var("CI_REGISTRY_PASSWORD", PASSWORD),
            ],
        ),
    ]
}

const LINES: &[&str] = &[
    "build model --name m -o docker://HOST/team/m -vv",
    "build model --name m -o docker://HOST/team/m --progress json -vv --json --metadata-file meta.json",
    "build model --name m -o docker://HOST/team/other --base HOST/none -vv",
    "build model --name m -o docker://HOST/team/m --dry-run=full -vv",
    "versions docker://HOST/team/m -vv --json",
    "inspect docker://HOST/team/m -vv --json",
    "which sha256:0000 docker://HOST/team/m -vv",
    "models -vv",
    "login HOST -u ann --password-stdin -vv",
    "logout HOST -vv",
];

#[test]
fn no_credential_is_in_anything_that_floe_writes() {
    let mut echoed = false;
    for kind in kinds() {
        // In good order, with every request refused, and with a quota: the answers repeat what they got.
        for refusal in
            [None, Some(("GET|HEAD", 403)), Some(("POST", 429)), Some(("PATCH", 400)), Some(("PUT", 507))]
        {
            let p = Place::new();
            for switch in &kind.switches {
                p.registry.set(switch.clone());
            }
            p.registry.set(Switch::Echo);
            if let Some((method, status)) = refusal {
                p.registry.set(Switch::Status {
                    method,
                    path: "/v2/team/",
                    status,
                    retry_after: Some(0),
                    count: u32::MAX,
                });
            }
            let host = p.registry.addr().to_owned();
            match &kind.entry {
                Some(entry) => p.write("home/.docker/config.json", auths(&host, entry)),
                None if kind.name == "a helper" => {
                    let answer = format!("{{\"Username\":\"{USER}\",\"Secret\":\"{PASSWORD}\"}}");
                    p.program(
                        "docker-credential-t",
                        &format!("cat >/dev/null; echo '{answer}'; echo '{PASSWORD}' >&2"),
                    );
                    p.write("home/.docker/config.json", r#"{"credsStore":"t"}"#)
                }
                None => p.write("home/nothing", ""),
            };
            let lines = if refusal.is_none() { LINES } else { &LINES[..2] };
            for line in lines {
                let mut command = p.command(line);
                command.envs(kind.env.iter().map(|(k, v)| (*k, v.replace("HOST", &host))));
                command.env("XDG_RUNTIME_DIR", p.path("run"));
                let out = output(&mut command);
                let said = said(&out);
                echoed |= said.contains("you sent");
                let known = secrets::of(&command);
                assert!(
                    kind.name == "a helper"
                        || known.iter().any(|s| s.contains(kind.secret))
                        || known.len() > 1,
                    "{}",
                    kind.name
                );
                // Tokens that the registry gave are secrets too, and panics tell more than is good.
                for bad in [kind.secret, "token-number-", "panicked", "Basic YW5u"] {
                    assert!(!said.contains(bad), "{}: `{line}` says `{bad}`: {said}", kind.name);
                }
                assert!(out.status.code().is_some_and(|c| c != 70), "{}: `{line}`: {said}", kind.name);
            }
            look(p.dir.path(), p.dir.path(), kind.secret);
        }
    }
    assert!(echoed, "no answer repeated what was sent");
}

/// Whatever the credential is and wherever it is from: another port of the same machine gets none.
#[test]
fn no_credential_follows_a_redirect_or_a_foreign_location() {
    for kind in kinds().into_iter().filter(|k| k.secret != "wrong-horse") {
        let p = Place::new();
        for switch in kind.switches.iter().cloned().chain([Switch::ForeignLocation, Switch::Redirect]) {
            p.registry.set(switch);
        }
        let command = |line: &str| {
            let mut command = p.command(line);
            let host = p.registry.addr();
            command.envs(kind.env.iter().map(|(k, v)| (*k, v.replace("HOST", host))));
            command
        };
        match &kind.entry {
            Some(entry) => p.write("home/.docker/config.json", auths(p.registry.addr(), entry)),
            None if kind.name == "a helper" => {
                let answer = format!("{{\"Username\":\"{USER}\",\"Secret\":\"{PASSWORD}\"}}");
                p.program("docker-credential-t", &format!("cat >/dev/null; echo '{answer}'"));
                p.write("home/.docker/config.json", r#"{"credsStore":"t"}"#)
            }
            None => p.write("home/nothing", ""),
        };
        // The upload leads there, and so does reading the configuration.
        p.publishes(&mut command("build model --name m -o docker://HOST/team/m"));
        p.publishes(&mut command("inspect docker://HOST/team/m"));
        let log = p.registry.log();
        let foreign: Vec<_> = log.iter().filter(|e| e.foreign).collect();
        assert!(
            foreign.iter().any(|e| e.method == "GET") && foreign.iter().any(|e| e.method != "GET"),
            "{}",
            kind.name
        );
        for entry in foreign {
            assert!(entry.authorization.is_none(), "{}: {entry:?}", kind.name);
            assert!(!format!("{entry:?}").contains(kind.secret), "{}: {entry:?}", kind.name);
        }
        assert!(log.iter().any(|e| e.authorization.is_some()), "{}: nobody was asked for a login", kind.name);
    }
}

/// Looks for a secret in all that is left on disk, apart from where the test or a login put it.
fn look(folder: &Path, top: &Path, secret: &str) {
    for item in std::fs::read_dir(folder).unwrap() {
        let path = item.unwrap().path();
        let name = path.strip_prefix(top).unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            look(&path, top, secret);
        } else if !["bin/", "script", "home/.docker/", "run/"].iter().any(|own| name.starts_with(own)) {
            let bytes = std::fs::read(&path).unwrap_or_default();
            let found = bytes.windows(secret.len()).any(|w| w == secret.as_bytes());
            assert!(!found, "`{name}` holds `{secret}`");
        }
    }
}

#[test]
fn a_warning_of_a_registry_repeats_no_credential_and_is_shown_once() {
    let p = Place::closed();
    p.registry
        .set(Switch::Header("Warning", "299 - \"this registry moves; you sent correct-horse-battery\""));
    p.registry.set(Switch::Header("RateLimit-Limit", "100;w=21600"));
    p.registry.set(Switch::Header("RateLimit-Remaining", "76;w=21600"));
    p.write("home/.docker/config.json", auth(p.registry.addr()));
    let out = output(p.build().arg("-v"));
    let said = said(&out);
    assert!(out.status.success(), "{said}");
    let warning = format!("warning: `{}` says: this registry moves; you sent …\n", p.registry.addr());
    assert_eq!(said.matches(&warning).count(), 1, "{said}");
    let limit = format!("`{}` limits requests: 76 of 100 left, in 21600 s\n", p.registry.addr());
    assert_eq!(said.matches(&limit).count(), 1, "{said}");
    // How many are left is for who asks for more.
    let out = output(p.build().args(["--label", "a=b"]));
    assert!(!crate::support::program::said(&out).contains("limits requests"));
}

#[test]
fn c37_who_asked_too_often_is_told_the_limit() {
    let p = Place::new();
    p.registry.set(Switch::Header("RateLimit-Limit", "100;w=21600"));
    p.registry.set(Switch::Header("RateLimit-Remaining", "0;w=21600"));
    p.registry.set(Switch::Status {
        method: "GET",
        path: "/tags/",
        status: 429,
        retry_after: Some(0),
        count: u32::MAX,
    });
    let (code, said) = p.exit_code(&mut p.command("versions docker://HOST/m"));
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("limits how often it may be asked (0 of 100 left, in 21600 s)"), "{said}");
}
