//! Publishing: what is sent, how often, and what happens when it breaks.

use super::*;

#[test]
fn what_is_published_reads_back_with_another_client() {
    let registry = TestRegistry::start();
    let to = repository(&registry, "models/iris");
    let (document, contents) = publish(&to, 1).unwrap();
    assert_eq!(to.claim(&tag(&document), &document).unwrap(), Claim::Created);
    let blob = ["HEAD blobs", "POST uploads", "PATCH uploads", "PUT uploads"];
    let steps = registry.steps();
    assert_eq!(steps[..3], blob[1..], "content with an unknown digest is not looked for");
    assert_eq!([&steps[3..7], &steps[7..11]], [blob, blob]);
    // Blobs, the manifest by digest, the tag: look, write, look.
    assert_eq!(steps[11..], ["PUT manifests", "HEAD manifests", "PUT manifests", "HEAD manifests"]);
    assert_eq!(uploaded(&registry.log()), total(&contents), "no byte is sent twice");
    let patches: Vec<_> = registry.log().into_iter().filter(|e| e.method == "PATCH").collect();
    assert!(patches.iter().all(|e| e.headers.get("transfer-encoding").is_some_and(|t| t == "chunked")));
    assert!(patches.iter().all(|e| !e.headers.contains_key("content-length")));
    read_back(registry.addr(), "models/iris", &tag(&document), &document, &contents);
}

#[test]
fn c34_floe_says_who_it_is() {
    let registry = TestRegistry::start();
    repository(&registry, "m").names().unwrap();
    let agent = format!("floe/{}", env!("CARGO_PKG_VERSION"));
    assert!(registry.log().iter().all(|e| e.headers.get("user-agent") == Some(&agent)));
}

#[test]
fn what_is_there_is_not_sent() {
    let registry = TestRegistry::start();
    let content = bytes(3, 5000);
    registry.add_blob("m", &content);
    let to = repository(&registry, "m");
    let blob = Bytes::new(media_type::LAYER, content);
    let see = Recorder::default();
    assert_eq!(to.put(&blob, &see).unwrap(), Outcome::Present);
    assert_eq!(see.sum(), (0, "already there".to_owned()));
    assert_eq!(registry.steps(), ["HEAD blobs"]);
    assert_eq!(to.presence(blob.descriptor()).unwrap(), Presence::Present);
    assert_eq!(to.presence(&Descriptor::of("x", b"no")).unwrap(), Presence::Absent);
    // A false header beside a blob changes nothing.
    registry.set(Switch::FalseDigestHeader(&["HEAD"]));
    assert_eq!(to.put(&blob, &Quiet).unwrap(), Outcome::Present);
}

#[test]
fn an_empty_blob_is_stored() {
    let registry = TestRegistry::start();
    let to = repository(&registry, "m");
    assert_eq!(to.put(&Bytes::new("x", Vec::new()), &Quiet).unwrap(), Outcome::Written);
    assert_eq!(to.ingest(&Weights::new(Vec::new()), &Quiet).unwrap().descriptor.size, 0);
    assert_eq!(registry.blob("m", &Digest::of(b"")).unwrap().len(), 0);
}

/// A blob that also lies in another repository.
pub(super) struct Elsewhere(pub(super) Bytes, pub(super) Origin);

impl Blob for Elsewhere {
    fn descriptor(&self) -> &Descriptor {
        self.0.descriptor()
    }
    fn open(&self) -> floe::Result<Box<dyn Read + Send + '_>> {
        self.0.open()
    }
    fn origin(&self) -> Option<Origin> {
        Some(self.1.clone())
    }
}

#[test]
fn a_base_layer_is_mounted() {
    for (bearer, refused) in [(false, false), (true, false), (false, true), (true, true)] {
        let registry = TestRegistry::start();
        let content = bytes(4, LARGE);
        registry.add_blob("library/base", &content);
        if bearer {
            registry.set(Switch::Bearer { requests: 1, login: None });
        }
        if refused {
            registry.set(Switch::Mount202);
        }
        let to = repository(&registry, "m");
        let origin = Origin { registry: registry.addr().to_owned(), repository: "library/base".to_owned() };
        let see = Recorder::default();
        let outcome = to.put(&Elsewhere(Bytes::new("x", content.clone()), origin), &see).unwrap();
        assert_eq!(outcome, if refused { Outcome::Written } else { Outcome::Mounted });
        assert_eq!(see.sum(), if refused { (LARGE as i64, "written".into()) } else { (0, "mounted".into()) });
        assert!(*registry.blob("m", &Digest::of(&content)).unwrap() == content);
        let log = registry.log();
        let posts: Vec<_> = log.iter().filter(|e| e.short() == "POST uploads" && e.status != 401).collect();
        // A 202 is an open session, and is used.
        assert_eq!(posts.len(), 1);
        assert_eq!(
            posts[0].query,
            [("mount".into(), Digest::of(&content).to_string()), ("from".into(), "library/base".into())]
        );
        if bearer {
            let scopes = |e: &Entry| {
                e.query.iter().filter(|q| q.0 == "scope").map(|q| q.1.clone()).collect::<Vec<_>>()
            };
            let both = ["repository:m:pull,push", "repository:library/base:pull"];
            assert!(log.iter().any(|e| scopes(e) == both), "both scopes, the one to write first");
        }
    }
}

#[test]
fn a_mount_is_not_asked_for_from_another_registry() {
    let registry = TestRegistry::start();
    let origin = Origin { registry: "other.example".to_owned(), repository: "base".to_owned() };
    repository(&registry, "m").put(&Elsewhere(Bytes::new("x", bytes(5, 10)), origin), &Quiet).unwrap();
    assert!(registry.log().iter().all(|e| e.query.iter().all(|q| q.0 != "mount")));
}

#[test]
fn progress_of_a_failed_attempt_is_given_back() {
    let registry = TestRegistry::start().with(Switch::CutUpload { after: 1_000_000, count: 2 });
    let to = repository(&registry, "m");
    let see = Recorder::default();
    let recipe = Weights::new(bytes(6, LARGE));
    let packed = to.ingest(&recipe, &see).unwrap();
    assert_eq!(packed.descriptor.digest, Digest::of(&recipe.bytes));
    assert_eq!(recipe.opened.load(Ordering::Relaxed), 3);
    assert_eq!(see.sum(), (LARGE as i64, "written".to_owned()));
    assert!(see.0.lock().unwrap().iter().any(|e| matches!(e, Event::Progress { bytes, .. } if *bytes < 0)));
    let Event::Begin { title, total, .. } = &see.0.lock().unwrap()[0] else { panic!("it does not begin") };
    assert_eq!((title.as_str(), *total), ("weights", Some(LARGE as u64)));
}

#[test]
fn a_registry_without_patch_is_remembered() {
    let registry = TestRegistry::start().with(Switch::NoPatch(405));
    let to = repository(&registry, "m");
    for seed in 0..3 {
        let recipe = Weights::new(bytes(seed, LARGE));
        to.ingest(&recipe, &Quiet).unwrap();
        assert!(*registry.blob("m", &Digest::of(&recipe.bytes)).unwrap() == recipe.bytes);
    }
    let log = registry.log();
    assert_eq!(log.iter().filter(|e| e.method == "PATCH").count(), 1);
    let puts: Vec<_> = log.iter().filter(|e| e.short() == "PUT uploads").collect();
    assert_eq!(puts.len(), 3);
    assert!(puts.iter().all(|e| e.headers["content-length"] == LARGE.to_string()));
    // Once its digest is known, content that is there is not sent at all.
    to.ingest(&Weights::new(bytes(0, LARGE)), &Quiet).unwrap();
    assert_eq!(registry.log().iter().filter(|e| e.short() == "PUT uploads").count(), 3);
}

#[test]
fn damaged_content_is_sent_once_more_and_then_is_an_error() {
    let registry = TestRegistry::start().with(Switch::FlipUpload { count: u32::MAX });
    let to = repository(&registry, "m");
    let blob = Bytes::new("x", bytes(8, LARGE));
    let e = to.put(&blob, &Quiet).unwrap_err();
    assert_eq!(e.kind(), Kind::Integrity, "{e}");
    assert_eq!(registry.log().iter().filter(|e| e.method == "PATCH").count(), 2);
    assert!(registry.blob("m", &blob.descriptor().digest).is_none());
}

/// A blob whose bytes are not what it says.
struct Liar(Descriptor, Vec<u8>);

impl Blob for Liar {
    fn descriptor(&self) -> &Descriptor {
        &self.0
    }
    fn open(&self) -> floe::Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(floe::blob::Verify::new(&self.1[..], &self.0, "the test's blob")))
    }
}

#[test]
fn content_that_is_not_what_it_says_never_becomes_a_blob() {
    for switch in [None, Some(Switch::NoPatch(405))] {
        let registry = TestRegistry::start();
        switch.into_iter().for_each(|s| registry.set(s));
        let to = repository(&registry, "m");
        for lie in [bytes(9, LARGE - 1), bytes(10, LARGE), bytes(9, LARGE + 1)] {
            let blob = Liar(Descriptor::of("x", &bytes(9, LARGE)), lie);
            let e = to.put(&blob, &Quiet).unwrap_err();
            assert_eq!(e.kind(), Kind::Integrity, "{e}");
            assert!(registry.log().iter().all(|e| e.short() != "PUT uploads" || e.status != 201));
        }
    }
}

struct Stopper(AtomicU32);

impl Observe for Stopper {
    fn on(&self, _: Event) {}
    fn stop(&self) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed) > 4
    }
}

#[test]
fn c07_a_wish_to_stop_is_heard_in_the_middle_of_a_blob() {
    let registry = TestRegistry::start();
    let e = repository(&registry, "m")
        .ingest(&Weights::new(bytes(1, LARGE)), &Stopper(AtomicU32::new(0)))
        .unwrap_err();
    assert_eq!(e.kind(), Kind::Interrupted);
    assert!(registry.log().iter().all(|e| e.short() != "PUT uploads"));
}

#[test]
fn a_refusal_stops_at_once_and_says_what_to_do() {
    for (status, kind) in [(403, Kind::Denied), (413, Kind::Denied), (404, Kind::Denied), (401, Kind::Denied)]
    {
        let registry = TestRegistry::start().with(Switch::Status {
            method: "POST",
            path: "",
            status,
            retry_after: None,
            count: 99,
        });
        let e = repository(&registry, "team/m").put(&Bytes::new("x", bytes(1, 99)), &Quiet).unwrap_err();
        assert_eq!(e.kind(), kind, "{e}");
        let text = e.to_string();
        assert!(
            text.contains(&format!("{}/team/m", registry.addr())) && text.contains(&status.to_string()),
            "{text}"
        );
        assert!(text.contains("begin the upload") && text.contains("as the switch says"), "{text}");
        assert!(e.hint_text().is_some(), "{status}");
        assert_eq!(registry.steps(), ["HEAD blobs", "POST uploads"], "{status}");
    }
}

#[test]
fn trouble_without_end_is_an_error_of_the_network() {
    let registry = TestRegistry::start().with(Switch::Status {
        method: "PATCH",
        path: "",
        status: 503,
        retry_after: None,
        count: u32::MAX,
    });
    let see = Recorder::default();
    let e = repository(&registry, "m").put(&Bytes::new("x", bytes(1, LARGE)), &see).unwrap_err();
    assert_eq!(e.kind(), Kind::Network);
    assert!(e.to_string().starts_with("after 6 attempts: "), "{e}");
    assert_eq!(registry.log().iter().filter(|e| e.method == "PATCH").count(), 6);
    assert!(registry.log().iter().all(|e| e.short() != "PUT uploads"));
}

#[test]
fn c37_a_registry_that_wants_a_pause_gets_it() {
    for (method, path) in [("POST", ""), ("PATCH", ""), ("PUT", "/manifests/"), ("GET", "/tags/")] {
        let registry = TestRegistry::start().with(Switch::Status {
            method,
            path,
            status: 429,
            retry_after: Some(1),
            count: 1,
        });
        let to = repository(&registry, "m");
        let start = Instant::now();
        publish(&to, 3).unwrap();
        to.names().unwrap();
        assert!(start.elapsed() >= Duration::from_secs(1), "{method} {path}");
    }
}

#[test]
fn nobody_there_is_told_soon() {
    let gone = {
        let registry = TestRegistry::start();
        registry.addr().to_owned()
    };
    let reference: Reference = format!("{gone}/m").parse().unwrap();
    let e = Registry::open(&client(), &reference).names().unwrap_err();
    assert_eq!(e.kind(), Kind::Network);
    assert!(e.to_string().contains(&gone) && e.hint_text().is_some(), "{e:?}");
}

#[test]
fn an_insecure_host_may_speak_plain_http() {
    let registry = TestRegistry::start();
    registry.add_tag("m", "v1", media_type::MANIFEST, b"{}");
    let client = Client::new(Settings { insecure: vec![registry.addr().to_owned()], ..settings() });
    assert_eq!(Registry::open(&client, &registry.reference("m")).names().unwrap(), ["v1"]);
}
