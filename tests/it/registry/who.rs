//! Credentials: where they go, and where they never go.

use std::fmt::Write as _;

use super::*;

const PASSWORD: &str = "correct-horse-battery";

#[test]
fn credentials_open_the_door() {
    for switch in [
        Switch::Basic { user: "ann", password: PASSWORD },
        Switch::Bearer { requests: 1, login: Some(("ann", PASSWORD)) },
        Switch::Bearer { requests: 100, login: Some(("ann", PASSWORD)) },
    ] {
        let registry = TestRegistry::start().with(switch.clone());
        let to = as_user(&registry, "m", "ann", PASSWORD);
        let (document, _) = publish(&to, 5).unwrap_or_else(|e| panic!("{switch:?}: {e:?}"));
        to.claim("v1", &document).unwrap();
        assert_eq!(to.names().unwrap(), ["v1"]);
        to.remove("v1").unwrap();
        // The password itself goes to the token server alone.
        if matches!(switch, Switch::Bearer { .. }) {
            let basic = |e: &Entry| e.authorization.as_ref().is_some_and(|a| a.starts_with("Basic"));
            assert!(registry.log().iter().all(|e| basic(e) == (e.path == "/token")));
        }
    }
}

#[test]
fn tokens_are_shared_and_few() {
    let registry = TestRegistry::start().with(Switch::Bearer { requests: 1000, login: None });
    let to = repository(&registry, "m");
    let (document, _) = publish(&to, 5).unwrap();
    to.claim("v1", &document).unwrap();
    assert_eq!(
        registry.log().iter().filter(|e| e.path == "/token").count(),
        1,
        "one set of scopes, one token"
    );
}

#[test]
fn short_lived_tokens_cost_a_body_only_once() {
    let registry = TestRegistry::start().with(Switch::Bearer { requests: 1, login: None });
    let to = repository(&registry, "m");
    for seed in 0..4 {
        to.ingest(&Weights::new(bytes(seed, LARGE)), &Quiet).unwrap();
    }
    let refused = registry.log().iter().filter(|e| e.method == "PATCH" && e.status == 401).count();
    assert!(refused <= 1, "{refused} bodies were sent in vain");
}

#[test]
fn tokens_that_end_early_or_soon_are_renewed_in_the_middle_of_an_upload() {
    // They say a second and keep it; they say minutes and end after a moment; they end at once.
    for (says, millis) in [(1, 1000), (300, 300), (0, 1000)] {
        let registry = TestRegistry::start()
            .with(Switch::Bearer { requests: 1000, login: None })
            .with(Switch::TokenLife { says, millis });
        let to = repository(&registry, "m");
        for seed in 0..3 {
            to.ingest(&Weights::new(bytes(seed, LARGE)), &Quiet)
                .unwrap_or_else(|e| panic!("{says} s, {millis} ms: {e:?}"));
            std::thread::sleep(Duration::from_millis(350));
        }
        let log = registry.log();
        let vain: u64 =
            log.iter().filter(|e| e.method == "PATCH" && e.status == 401).map(|e| e.received).sum();
        assert!(vain <= LARGE as u64, "{says} s, {millis} ms: {vain} bytes were sent in vain");
        assert!(log.iter().filter(|e| e.path == "/token").count() >= if says == 300 { 2 } else { 1 });
    }
}

#[test]
fn a_wrong_password_is_told_with_what_to_do() {
    for switch in [
        Switch::Basic { user: "ann", password: PASSWORD },
        Switch::Bearer { requests: 9, login: Some(("ann", PASSWORD)) },
    ] {
        let registry = TestRegistry::start().with(switch);
        let e = as_user(&registry, "m", "ann", "wrong").names().unwrap_err();
        assert_eq!(e.kind(), Kind::Denied);
        assert!(e.hint_text().unwrap().contains("do not suffice"), "{e:?}");
        let e = repository(&registry, "m").names().unwrap_err();
        assert_eq!(e.kind(), Kind::Denied);
        assert!(e.hint_text().unwrap().contains("no credentials"), "{e:?}");
    }
}

#[test]
fn a_realm_in_the_open_gets_no_password() {
    let registry = TestRegistry::start()
        .with(Switch::Bearer { requests: 9, login: None })
        .with(Switch::Realm("http://auth.example/token".into()));
    let e = as_user(&registry, "m", "ann", PASSWORD).names().unwrap_err();
    assert_eq!(e.kind(), Kind::Denied);
    assert!(e.to_string().contains("plain HTTP"), "{e}");
}

#[test]
fn secrets_are_in_no_message() {
    let encoded = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(format!("ann:{PASSWORD}"))
    };
    let mut said = String::new();
    for auth in [
        Switch::Basic { user: "ann", password: PASSWORD },
        Switch::Bearer { requests: 2, login: Some(("ann", PASSWORD)) },
    ] {
        for (method, status) in [("POST", 403), ("PATCH", 413), ("HEAD", 403), ("PUT", 400), ("GET", 500)] {
            let registry = TestRegistry::start().with(auth.clone()).with(Switch::Echo);
            let to = as_user(&registry, "m", "ann", PASSWORD);
            to.names().unwrap();
            registry.set(Switch::Status {
                method,
                path: "/v2/m/",
                status,
                retry_after: None,
                count: u32::MAX,
            });
            let blob = Bytes::new("x", bytes(1, 100_000));
            for e in [
                to.put(&blob, &Quiet).err(),
                to.ingest(&Weights::new(bytes(2, 1000)), &Quiet).err(),
                to.put_document(&small(1)).err(),
                to.claim("v1", &small(1)).err(),
                to.names().err(),
                read(&to, blob.descriptor()).err(),
            ]
            .into_iter()
            .flatten()
            {
                writeln!(said, "{e}\n{e:?}\n{:#?}", e.hint_text()).unwrap();
            }
            let client = Client::new(Settings {
                credentials: Credentials::none().with_login(registry.addr(), Login::new("ann", PASSWORD)),
                ..settings()
            });
            writeln!(said, "{to:?} {client:?}").unwrap();
        }
    }
    assert!(said.contains("you sent"), "the registry echoed nothing: {said}");
    for secret in [PASSWORD, &encoded, "token-number-"] {
        assert!(!said.contains(secret), "{said}");
    }
    let registry = TestRegistry::start().with(Switch::Redirect);
    let content = bytes(1, 100);
    registry.add_blob("m", &content);
    registry.set(Switch::CutDownload { after: 5, count: u32::MAX });
    let e = read(&repository(&registry, "m"), &Descriptor::of("x", &content)).unwrap_err();
    assert!(!format!("{e:?}").contains("s3cr3t"), "signatures of storage services are secrets too: {e:?}");
}

#[test]
fn many_threads_share_a_client() {
    let registry = TestRegistry::start().with(Switch::Bearer { requests: 3, login: None });
    let to = repository(&registry, "m");
    std::thread::scope(|s| {
        for seed in 0..6 {
            let to = &to;
            s.spawn(move || to.ingest(&Weights::new(bytes(seed, 300_000)), &Quiet).unwrap());
        }
    });
    for seed in 0..6 {
        assert!(registry.blob("m", &Digest::of(&bytes(seed, 300_000))).is_some());
    }
}
