//! Credential helpers, identity tokens, and tokens of a registry's own.

use super::*;

/// Answers with Ann's password, and notes that it was asked.
fn helper(secret: &str, user: &str) -> String {
    format!(
        "read host\necho \"$1 $host\" >>\"$(dirname \"$0\")/log\"\n\
         echo \"{{\\\"ServerURL\\\":\\\"$host\\\",\\\"Username\\\":\\\"{user}\\\",\\\"Secret\\\":\\\"{secret}\\\"}}\""
    )
}

#[test]
fn c26_helpers_are_asked_once_and_only_when_a_login_is_wanted() {
    for (config, switch) in [
        (r#"{"credHelpers": {"HOST": "t"}}"#, basic()),
        (r#"{"credHelpers": {"HOST": "t"}, "credsStore": "missing"}"#, bearer()),
        (r#"{"credsStore": "t", "auths": {"HOST": {}}}"#, bearer()),
    ] {
        let p = Place::new();
        p.program("docker-credential-t", &helper(PASSWORD, USER));
        p.write("home/.docker/config.json", config.replace("HOST", p.registry.addr()));
        let build = || {
            let mut command = p.build();
            command.env("SECRETS_OF_THE_TEST", PASSWORD);
            command
        };
        p.publishes(&mut build());
        assert!(!p.path("bin/log").exists(), "a registry that is open to all was not asked for");
        p.registry.set(switch);
        p.publishes(build().args(["--label", "a=b"]));
        let log = std::fs::read_to_string(p.path("bin/log")).unwrap();
        assert_eq!(log, format!("get {}\n", p.registry.addr()), "{config}");
    }
}

#[test]
fn c26_identity_tokens_are_traded_by_oauth2_or_else_as_a_password() {
    const TOKEN: &str = "an-identity-token-of-azure";
    for post in [true, false] {
        let p = Place::new();
        p.registry.set(bearer());
        p.registry.set(Switch::Identity { token: TOKEN, post });
        // In a file, and from a helper that says so by the name of the user.
        let user = base64("00000000:");
        let entry = format!(r#"{{"auth":"{user}","identitytoken":"{TOKEN}"}}"#);
        let file = p.write("own.json", auths(p.registry.addr(), &entry));
        p.publishes(p.build().arg("--authfile").arg(file));
        p.program("docker-credential-t", &helper(TOKEN, "<token>"));
        p.write("home/.docker/config.json", r#"{"credsStore": "t"}"#);
        p.publishes(p.build().args(["--label", "a=b"]).env("SECRETS_OF_THE_TEST", TOKEN));
        // It goes to the realm in a body and nowhere else.
        for entry in p.registry.log() {
            let sent = entry.authorization.unwrap_or_default();
            assert!(!sent.contains(TOKEN) && !format!("{:?}", entry.query).contains(TOKEN));
            assert!(sent.is_empty() || entry.path == "/token" || sent.starts_with("Bearer token-number-"));
            assert!(entry.path != "/token" || sent.is_empty() == (entry.method == "POST"));
        }
    }
}

#[test]
fn c26_a_registrys_own_token_is_sent_as_it_is() {
    const TOKEN: &str = "a-token-of-its-own";
    let p = Place::new();
    p.registry.set(bearer());
    p.registry.set(Switch::OwnToken(TOKEN));
    let file = p.write("own.json", auths(p.registry.addr(), &format!(r#"{{"registrytoken":"{TOKEN}"}}"#)));
    p.publishes(p.build().arg("--authfile").arg(file));
    assert!(!p.registry.log().iter().any(|e| e.path == "/token"), "there is nothing to trade");
    // One that is refused is not sent over and over.
    let file = p.write("old.json", auths(p.registry.addr(), r#"{"registrytoken":"an-old-token"}"#));
    p.registry.forget();
    let (code, _) = p.exit_code(p.build().arg("--authfile").arg(file));
    assert_eq!(code, Some(8));
    let sent = p.registry.log().iter().filter(|e| e.authorization.is_some()).count();
    assert_eq!(sent, 1, "{:?}", p.registry.steps());
}

#[test]
fn c26_a_helper_that_fails_leaves_the_registry_to_everybody() {
    let p = Place::new();
    p.program("docker-credential-t", "echo 'the keychain is locked'; echo a-secret-trace >&2; exit 1");
    p.write("home/.docker/config.json", r#"{"credsStore": "t"}"#);
    p.registry.set(Switch::Bearer { requests: 100, login: None });
    p.publishes(&mut p.build());
    p.registry.clear();
    p.registry.set(basic());
    let (code, said) = p.exit_code(&mut p.build());
    assert_eq!(code, Some(8), "{said}");
    assert!(
        said.contains("the helper `docker-credential-t`, which failed: it said: the keychain is locked"),
        "{said}"
    );
    assert!(!said.contains("a-secret-trace"), "{said}");
}
