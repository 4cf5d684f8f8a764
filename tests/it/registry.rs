//! The registry store against registries with bad habits, and against a real one.

use std::io::Read;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use floe::blob::{Blob, Bytes, Hashing, Origin, Packed, Pass, Recipe};
use floe::event::{Event, Observe, Quiet};
use floe::oci::{Descriptor, DiffId, Digest, Reference, media_type};
use floe::store::registry::{Client, Credentials, Login, Registry, Retry, Settings, Timeouts};
use floe::store::{Claim, Document, Outcome, Presence, Repository, Sink, Source};
use floe::{Error, Kind};
use serde_json::json;

use crate::support::registry::{Entry, Switch, TestRegistry};

/// Over several pieces and over GHCR's limit, and not a multiple of anything.
const LARGE: usize = (4 << 20) + 12345;

fn settings() -> Settings {
    Settings {
        retry: Retry { attempts: 5, pause: Duration::from_millis(2), patience: Duration::from_secs(3) },
        timeouts: Timeouts {
            connect: Duration::from_secs(2),
            stall: Duration::from_secs(2),
            commit: Duration::from_secs(5),
        },
        ..Settings::default()
    }
}

fn client() -> Client {
    Client::new(settings())
}

fn repository(registry: &TestRegistry, name: &str) -> Registry {
    Registry::open(&client(), &registry.reference(name))
}

/// A repository with a login for it.
fn as_user(registry: &TestRegistry, name: &str, user: &str, password: &str) -> Registry {
    let credentials = Credentials::none().with_login(registry.addr(), Login::new(user, password));
    Registry::open(&Client::new(Settings { credentials, ..settings() }), &registry.reference(name))
}

/// Bytes that do not repeat, the same each time.
fn bytes(seed: u64, n: usize) -> Vec<u8> {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(n + 8);
    while out.len() < n {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        out.extend_from_slice(&x.to_le_bytes());
    }
    out.truncate(n);
    out
}

/// A layer whose digest is not known beforehand.
struct Weights {
    bytes: Vec<u8>,
    opened: AtomicU32,
}

impl Weights {
    fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, opened: AtomicU32::new(0) }
    }
}

struct Reading<'a>(Hashing<&'a [u8]>);

impl Recipe for Weights {
    fn title(&self) -> String {
        "weights".to_owned()
    }
    fn size(&self) -> Option<u64> {
        Some(self.bytes.len() as u64)
    }
    fn work(&self) -> u64 {
        self.bytes.len() as u64
    }
    fn open(&self) -> floe::Result<Box<dyn Pass + '_>> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(Reading(Hashing::new(&self.bytes[..]))))
    }
}

impl Read for Reading<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buf)
    }
}

impl Pass for Reading<'_> {
    fn finish(self: Box<Self>) -> floe::Result<Packed> {
        let (digest, size, rest) = self.0.finish();
        if !rest.is_empty() {
            return Err(Error::new(Kind::Bug, "the end was not reached"));
        }
        Ok(Packed { descriptor: Descriptor::new(media_type::LAYER, digest, size), diff_id: DiffId(digest) })
    }
}

/// Remembers what it was told.
#[derive(Default)]
struct Recorder(Mutex<Vec<Event>>);

impl Observe for Recorder {
    fn on(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

impl Recorder {
    /// The sum of all progress, and how the one piece ended.
    fn sum(&self) -> (i64, String) {
        let events = self.0.lock().unwrap();
        let ids: std::collections::BTreeSet<u64> = events
            .iter()
            .filter_map(|e| match e {
                Event::Begin { id, .. } | Event::Progress { id, .. } | Event::End { id, .. } => Some(*id),
                _ => None,
            })
            .collect();
        assert_eq!(ids.len(), 1, "{events:?}");
        let sum = events.iter().map(|e| if let Event::Progress { bytes, .. } = e { *bytes } else { 0 }).sum();
        let Some(Event::End { outcome, .. }) = events.last() else { panic!("no end: {events:?}") };
        (sum, outcome.clone())
    }
}

/// A small image: config, one layer made while it is sent, one that is known; and its manifest.
fn publish(to: &Registry, seed: u64) -> floe::Result<(Document, [Vec<u8>; 3])> {
    let contents = [b"{\"os\":\"linux\"}".to_vec(), bytes(seed, LARGE), bytes(seed + 1, 1000)];
    let config = Bytes::new(media_type::CONFIG, contents[0].clone());
    let weights = to.ingest(&Weights::new(contents[1].clone()), &Quiet)?.descriptor;
    let code = Bytes::new(media_type::LAYER, contents[2].clone());
    to.put(&code, &Quiet)?;
    to.put(&config, &Quiet)?;
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type::MANIFEST, "config": config.descriptor().to_value(),
        "layers": [weights.to_value(), code.descriptor().to_value()],
    });
    let document = Document::new(media_type::MANIFEST, serde_json::to_vec(&manifest).unwrap());
    to.put_document(&document)?;
    Ok((document, contents))
}

fn tag(document: &Document) -> String {
    format!("v1-{}", document.descriptor.digest.short())
}

/// Bytes of bodies that went into uploads.
fn uploaded(log: &[Entry]) -> u64 {
    log.iter().filter(|e| e.path.contains("/uploads/")).map(|e| e.received).sum()
}

fn total(contents: &[Vec<u8>]) -> u64 {
    contents.iter().map(|c| c.len() as u64).sum()
}

/// Reads everything back with a client that is not ours.
fn read_back(registry: &str, repository: &str, tag: &str, document: &Document, contents: &[Vec<u8>; 3]) {
    use oci_client::client::{ClientConfig, ClientProtocol};
    let config = ClientConfig { protocol: ClientProtocol::Http, ..ClientConfig::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = oci_client::Client::try_from(config).unwrap();
        let at: oci_client::Reference = format!("{registry}/{repository}:{tag}").parse().unwrap();
        let anonymous = oci_client::secrets::RegistryAuth::Anonymous;
        let (raw, digest) = client.pull_manifest_raw(&at, &anonymous, &[media_type::MANIFEST]).await.unwrap();
        assert_eq!(raw.as_ref(), document.bytes);
        assert_eq!(digest, document.descriptor.digest.to_string());
        let (manifest, _) = client.pull_image_manifest(&at, &anonymous).await.unwrap();
        let [config, weights, code] = contents;
        for (layer, content) in
            [(&manifest.config, config), (&manifest.layers[0], weights), (&manifest.layers[1], code)]
        {
            let mut got = Vec::new();
            client.pull_blob(&at, layer, &mut got).await.unwrap();
            assert!(got == *content);
        }
    });
}

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

/// Every habit that a publish must get over, and how much of the content goes over the wire again.
#[test]
fn a_publish_gets_over_every_habit() {
    const ALL: u32 = u32::MAX;
    let status =
        |method, path, status, count| Switch::Status { method, path, status, retry_after: None, count };
    let once: &[(&str, Vec<Switch>)] = &[
        ("none", vec![]),
        ("relative location", vec![Switch::RelativeLocation]),
        ("foreign location", vec![Switch::ForeignLocation]),
        ("ECR", vec![Switch::Ecr201StaleRange]),
        ("GHCR", vec![Switch::Ghcr416Over4MiB]),
        ("no digest header", vec![Switch::NoDigestHeader]),
        ("false digest on PUT", vec![Switch::FalseDigestHeader(&["PUT"])]),
        ("no HEAD of manifests", vec![Switch::NoHead]),
        ("slow tags", vec![Switch::SlowTags(3)]),
        ("503 on POST", vec![status("POST", "", 503, 2)]),
        ("503 on HEAD", vec![status("HEAD", "", 503, 2)]),
        ("502 on the last PUT", vec![status("PUT", "/uploads/", 502, 1)]),
        ("500 on manifests", vec![status("PUT", "/manifests/", 500, 2)]),
        ("lost reply of a blob", vec![Switch::LostReply { method: "PUT", path: "/uploads/", count: 1 }]),
        (
            "lost reply of a manifest",
            vec![Switch::LostReply { method: "PUT", path: "/manifests/", count: 1 }],
        ),
        ("lost reply of a POST", vec![Switch::LostReply { method: "POST", path: "", count: 1 }]),
        ("no location once", vec![Switch::NoLocation { count: 1 }]),
        ("tokens for 20", vec![Switch::Bearer { requests: 20, login: None }]),
        ("tokens for all", vec![Switch::Bearer { requests: ALL, login: None }]),
    ];
    for (name, switches) in once {
        let (log, contents) = publish_under(name, switches);
        assert_eq!(uploaded(&log), total(&contents), "{name}: bytes sent in vain");
    }
    let again: &[(&str, Vec<Switch>)] = &[
        ("503 on PATCH", vec![status("PATCH", "", 503, 3)]),
        ("408 on PATCH", vec![status("PATCH", "", 408, 1)]),
        ("cut", vec![Switch::CutUpload { after: 1_000_000, count: 1 }]),
        ("cut three times", vec![Switch::CutUpload { after: 300_000, count: 3 }]),
        ("lost reply of a PATCH", vec![Switch::LostReply { method: "PATCH", path: "", count: 1 }]),
        ("lost session", vec![Switch::LostSession { count: 1 }]),
        ("short range", vec![Switch::ShortRange { count: 1 }]),
        ("a flipped bit", vec![Switch::FlipUpload { count: 1 }]),
        ("spurious 416", vec![status("PATCH", "", 416, 1)]),
        ("no PATCH, 405", vec![Switch::NoPatch(405)]),
        ("no PATCH, 400", vec![Switch::NoPatch(400)]),
        ("tokens for 1", vec![Switch::Bearer { requests: 1, login: None }]),
        ("tokens for 3", vec![Switch::Bearer { requests: 3, login: None }]),
        (
            "much at once",
            vec![
                Switch::Bearer { requests: 2, login: None },
                status("PATCH", "", 503, 1),
                Switch::CutUpload { after: 500_000, count: 1 },
                Switch::RelativeLocation,
                Switch::NoDigestHeader,
            ],
        ),
    ];
    for (name, switches) in again {
        let (log, contents) = publish_under(name, switches);
        // Only the blob that was hit goes again: the small ones are never more than once too much.
        let most = total(&contents) + 3 * LARGE as u64 + 2000;
        assert!(uploaded(&log) <= most, "{name}: {} of {}", uploaded(&log), total(&contents));
    }
}

fn publish_under(name: &str, switches: &[Switch]) -> (Vec<Entry>, [Vec<u8>; 3]) {
    let registry = TestRegistry::start();
    for switch in switches {
        registry.set(switch.clone());
    }
    let to = repository(&registry, "models/m");
    let (document, contents) =
        publish(&to, 7).unwrap_or_else(|e| panic!("{name}: {e:?}\n{:?}", registry.steps()));
    let claim = to.claim(&tag(&document), &document).unwrap_or_else(|e| panic!("{name}: {e:?}"));
    assert_eq!(claim, Claim::Created, "{name}");
    for content in &contents {
        let kept =
            registry.blob("models/m", &Digest::of(content)).unwrap_or_else(|| panic!("{name}: no blob"));
        assert!(*kept == *content, "{name}");
    }
    assert_eq!(registry.tags("models/m")[&tag(&document)], document.descriptor.digest.to_string(), "{name}");
    let log = registry.log();
    // What is not this registry gets no credentials, whatever stands in its answers.
    assert!(log.iter().all(|e| !e.foreign || e.authorization.is_none()), "{name}");
    // Nothing that names something is written before that is there.
    let first_manifest = log.iter().position(|e| e.short() == "PUT manifests").unwrap();
    let last_blob = log.iter().rposition(|e| e.short() == "PUT uploads").unwrap();
    assert!(last_blob < first_manifest, "{name}");
    (log, contents)
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
struct Elsewhere(Bytes, Origin);

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

// ---- names

fn small(seed: u64) -> Document {
    Document::new(
        media_type::MANIFEST,
        format!("{{\"schemaVersion\":2,\"layers\":[],\"seed\":{seed}}}").into_bytes(),
    )
}

#[test]
fn a_name_is_claimed_once() {
    for switch in [None, Some(Switch::Immutable400), Some(Switch::NoDigestHeader), Some(Switch::NoHead)] {
        let registry = TestRegistry::start();
        switch.into_iter().for_each(|s| registry.set(s));
        let to = repository(&registry, "m");
        let (one, two) = (small(1), small(2));
        assert_eq!(to.resolve("v1").unwrap(), None);
        assert_eq!(to.claim("v1", &one).unwrap(), Claim::Created);
        assert_eq!(to.claim("v1", &one).unwrap(), Claim::Same);
        assert_eq!(to.claim("v1", &two).unwrap(), Claim::Taken(one.descriptor.digest));
        assert_eq!(to.resolve("v1").unwrap(), Some(one.descriptor.clone()));
        assert_eq!(to.resolve(&one.descriptor.digest.to_string()).unwrap(), Some(one.descriptor.clone()));
        assert_eq!(to.resolve("not a tag").unwrap(), None);
    }
}

#[test]
fn a_201_is_not_believed() {
    let registry = TestRegistry::start().with(Switch::Harbor201ButLost { count: 1 });
    let Claim::Taken(winner) = repository(&registry, "m").claim("v1", &small(1)).unwrap() else {
        panic!("believed")
    };
    assert_eq!(registry.tags("m")["v1"], winner.to_string());
    registry.set(Switch::Harbor201ButLost { count: 1 });
    let e = repository(&registry, "m").point("latest", &small(1)).unwrap_err();
    assert_eq!(e.kind(), Kind::Conflict, "{e}");
}

#[test]
fn an_alias_moves_unless_tags_are_immutable() {
    let registry = TestRegistry::start();
    let to = repository(&registry, "m");
    to.point("latest", &small(1)).unwrap();
    to.point("latest", &small(2)).unwrap();
    assert_eq!(to.resolve("latest").unwrap(), Some(small(2).descriptor));
    registry.set(Switch::Immutable400);
    to.point("latest", &small(2)).unwrap();
    let e = to.point("latest", &small(3)).unwrap_err();
    assert_eq!(e.kind(), Kind::Denied);
    assert!(e.hint_text().unwrap().contains("points to"), "{e:?}");
    assert!(to.point("../x", &small(3)).is_err());
}

#[test]
fn a_lost_reply_does_not_lose_a_name() {
    for path in ["/manifests/sha256", "/manifests/v1"] {
        let registry = TestRegistry::start().with(Switch::LostReply { method: "PUT", path, count: 2 });
        let to = repository(&registry, "m");
        to.put_document(&small(1)).unwrap();
        assert_eq!(to.claim("v1", &small(1)).unwrap(), Claim::Created);
        let writes = registry.log().iter().filter(|e| e.method == "PUT").count();
        assert_eq!(writes, 2, "looking is enough");
    }
}

#[test]
fn a_tag_that_never_shows_is_an_error() {
    let registry = TestRegistry::start().with(Switch::SlowTags(99));
    let e = repository(&registry, "m").claim("v1", &small(1)).unwrap_err();
    assert_eq!(e.kind(), Kind::Network);
    assert!(e.to_string().contains("does not show it"), "{e}");
}

#[test]
fn c36_names_come_from_all_pages() {
    let wanted: Vec<String> = (0..25).map(|i| format!("v{i}-0123456789abcdef")).collect();
    for switches in
        [vec![], vec![Switch::Page(4)], vec![Switch::Page(7), Switch::UnsortedTags], vec![Switch::MaxN(100)]]
    {
        let registry = TestRegistry::start();
        let to = repository(&registry, "m");
        assert!(to.names().unwrap().is_empty(), "a repository that is not there has no names");
        for name in &wanted {
            registry.add_tag("m", name, media_type::MANIFEST, b"{}");
        }
        switches.iter().for_each(|s| registry.set(s.clone()));
        let mut names = to.names().unwrap();
        names.sort();
        let mut wanted = wanted.clone();
        wanted.sort();
        assert_eq!(names, wanted, "{switches:?}");
    }
}

#[test]
fn a_name_is_removed_and_its_document_stays() {
    let registry = TestRegistry::start();
    let to = repository(&registry, "m");
    to.claim("v1", &small(1)).unwrap();
    to.claim("t1", &small(1)).unwrap();
    to.remove("v1").unwrap();
    to.remove("v1").unwrap();
    assert_eq!(to.names().unwrap(), ["t1"]);
    assert!(to.resolve(&small(1).descriptor.digest.to_string()).unwrap().is_some());
    registry.set(Switch::NoTagDelete);
    let e = to.remove("t1").unwrap_err();
    assert_eq!(e.kind(), Kind::Denied);
    assert!(e.hint_text().unwrap().contains("cannot remove a tag"), "{e:?}");
    assert_eq!(to.names().unwrap(), ["t1"]);
    assert!(
        registry.log().iter().all(|e| e.method != "DELETE" || !e.path.contains("sha256:")),
        "never by digest"
    );
}

// ---- reading

fn read(from: &Registry, wanted: &Descriptor) -> floe::Result<Vec<u8>> {
    use floe::error::At as _;
    let mut out = Vec::new();
    let blob = from.blob(wanted)?;
    blob.open()?.read_to_end(&mut out).doing("read a blob")?;
    Ok(out)
}

#[test]
fn a_blob_arrives_whole_across_cuts() {
    let content = bytes(11, LARGE);
    let wanted = Descriptor::of("x", &content);
    for switches in [
        vec![],
        vec![Switch::CutDownload { after: 1_000_000, count: 3 }],
        vec![Switch::CutDownload { after: 1_000_000, count: 3 }, Switch::NoRange],
        vec![Switch::CutDownload { after: 0, count: 2 }],
        vec![Switch::ShortDownload { bytes: 1000, count: 2 }],
        vec![Switch::Status { method: "GET", path: "/blobs/", status: 503, retry_after: None, count: 3 }],
        vec![Switch::Status { method: "GET", path: "/blobs/", status: 429, retry_after: Some(0), count: 3 }],
        vec![Switch::Redirect],
        vec![Switch::Redirect, Switch::CutDownload { after: 70_000, count: 1 }],
        vec![Switch::Bearer { requests: 1, login: None }, Switch::CutDownload { after: 70_000, count: 2 }],
        vec![Switch::Bearer { requests: 1, login: None }, Switch::Redirect],
    ] {
        let registry = TestRegistry::start();
        registry.add_blob("m", &content);
        switches.iter().for_each(|s| registry.set(s.clone()));
        let got =
            read(&repository(&registry, "m"), &wanted).unwrap_or_else(|e| panic!("{switches:?}: {e:?}"));
        assert!(got == content, "{switches:?}");
        assert!(registry.log().iter().all(|e| !e.foreign || e.authorization.is_none()), "{switches:?}");
    }
}

#[test]
fn c36_the_rest_is_asked_for_by_range() {
    let registry = TestRegistry::start().with(Switch::CutDownload { after: 1_000_000, count: 1 });
    let content = bytes(11, LARGE);
    registry.add_blob("m", &content);
    read(&repository(&registry, "m"), &Descriptor::of("x", &content)).unwrap();
    let gets: Vec<_> = registry.log().into_iter().filter(|e| e.method == "GET").collect();
    assert_eq!(gets.len(), 2);
    assert_eq!(gets[1].headers["range"], "bytes=1000000-");
}

#[test]
fn a_blob_that_is_damaged_or_without_end_is_refused() {
    let content = bytes(12, LARGE);
    let wanted = Descriptor::of("x", &content);
    for (switch, kind) in [
        (Switch::FlipDownload { count: u32::MAX }, Kind::Integrity),
        (Switch::ShortDownload { bytes: 300, count: u32::MAX }, Kind::Network),
        (Switch::CutDownload { after: 300, count: u32::MAX }, Kind::Network),
    ] {
        let registry = TestRegistry::start().with(switch);
        registry.add_blob("m", &content);
        assert_eq!(read(&repository(&registry, "m"), &wanted).unwrap_err().kind(), kind);
    }
    let registry = TestRegistry::start();
    registry.add_blob("m", &content);
    let less = Descriptor::new("x", wanted.digest, wanted.size - 1);
    assert_eq!(read(&repository(&registry, "m"), &less).unwrap_err().kind(), Kind::Integrity);
    let e = read(&repository(&registry, "m"), &Descriptor::of("x", b"not there")).unwrap_err();
    assert_eq!(e.kind(), Kind::Integrity);
    assert!(e.to_string().contains("404"), "{e}");
}

#[test]
fn a_manifest_must_be_what_its_name_says() {
    let registry = TestRegistry::start();
    let d = small(1);
    registry.add_tag("m", "v1", media_type::MANIFEST, &d.bytes);
    let from = repository(&registry, "m");
    assert_eq!(from.document(&d.descriptor).unwrap(), d);
    let wrong_size = Descriptor::new(media_type::MANIFEST, d.descriptor.digest, 7);
    assert_eq!(from.document(&wrong_size).unwrap_err().kind(), Kind::Integrity);
    let missing = from.document(&small(2).descriptor).unwrap_err();
    assert!(missing.kind() == Kind::Integrity && missing.to_string().contains("404"), "{missing}");
    // The header is checked by digest, and by tag where there is a body to check it with.
    registry.set(Switch::FalseDigestHeader(&["GET"]));
    assert_eq!(from.document(&d.descriptor).unwrap_err().kind(), Kind::Integrity);
    registry.set(Switch::NoHead);
    assert_eq!(from.resolve("v1").unwrap_err().kind(), Kind::Integrity);
    registry.clear();
    registry.set(Switch::FalseDigestHeader(&["HEAD"]));
    assert_eq!(from.resolve(&d.descriptor.digest.to_string()).unwrap_err().kind(), Kind::Integrity);
}

#[test]
fn a_manifest_has_a_limit() {
    let registry = TestRegistry::start().with(Switch::NoHead);
    let huge = format!("{{\"schemaVersion\":2,\"layers\":[],\"x\":\"{}\"}}", "x".repeat(5 << 20));
    registry.add_tag("m", "v1", media_type::MANIFEST, huge.as_bytes());
    let from = repository(&registry, "m");
    assert!(from.resolve("v1").unwrap_err().to_string().contains("more than 4194304 bytes"));
    let e = from.document(&Descriptor::of(media_type::MANIFEST, huge.as_bytes())).unwrap_err();
    assert!(e.to_string().contains("more than 4194304 bytes"));
}

// ---- who we are

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
                said.push_str(&format!("{e}\n{e:?}\n{:#?}\n", e.hint_text()));
            }
            let client = Client::new(Settings {
                credentials: Credentials::none().with_login(registry.addr(), Login::new("ann", PASSWORD)),
                ..settings()
            });
            said.push_str(&format!("{to:?} {client:?}"));
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

// ---- a real registry

/// Debian's `docker-registry` on a free port, with its storage in a temporary folder.
struct Debian {
    process: std::process::Child,
    addr: String,
    _dir: tempfile::TempDir,
}

impl Debian {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let addr = format!("127.0.0.1:{port}");
        let config = dir.path().join("registry.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: true}}\n\
             http: {{addr: '{addr}'}}\n",
            dir.path().join("data").display()
        );
        std::fs::write(&config, text).unwrap();
        let null = std::process::Stdio::null;
        let process = std::process::Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdin(null())
            .stdout(null())
            .stderr(null())
            .spawn()
            .expect("`docker-registry` (Debian's package of that name) is part of this test");
        let this = Self { process, addr, _dir: dir };
        for _ in 0..200 {
            if std::net::TcpStream::connect(&this.addr).is_ok() {
                return this;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("docker-registry does not answer on {}", this.addr);
    }
}

impl Drop for Debian {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_real_registry_takes_and_gives_it_all() {
    let debian = Debian::start();
    let client = client();
    let to = Registry::open(&client, &format!("{}/models/iris", debian.addr).parse().unwrap());
    assert!(to.names().unwrap().is_empty());
    assert_eq!(to.resolve("v1").unwrap(), None);
    let (document, contents) = publish(&to, 21).unwrap();
    let name = tag(&document);
    assert_eq!(to.claim(&name, &document).unwrap(), Claim::Created);
    assert_eq!(to.claim(&name, &document).unwrap(), Claim::Same);
    read_back(&debian.addr, "models/iris", &name, &document, &contents);

    // Again: nothing is written.
    let known = Bytes::new(media_type::LAYER, contents[1].clone());
    assert_eq!(to.put(&known, &Quiet).unwrap(), Outcome::Present);
    assert_eq!(read(&to, known.descriptor()).unwrap(), contents[1]);
    assert_eq!(to.document(&to.resolve(&name).unwrap().unwrap()).unwrap(), document);

    // From one repository to another: a mount.
    let other = Registry::open(&client, &format!("{}/models/other", debian.addr).parse().unwrap());
    let source = to.blob(known.descriptor()).unwrap();
    assert_eq!(other.put(&*source, &Quiet).unwrap(), Outcome::Mounted);
    assert_eq!(other.put(&*source, &Quiet).unwrap(), Outcome::Present);
    assert_eq!(other.put(&Bytes::new("x", Vec::new()), &Quiet).unwrap(), Outcome::Written);

    let (second, _) = publish(&to, 22).unwrap();
    assert_eq!(to.claim(&name, &second).unwrap(), Claim::Taken(document.descriptor.digest));
    to.point("latest", &document).unwrap();
    to.point("latest", &second).unwrap();
    assert_eq!(to.resolve("latest").unwrap(), Some(second.descriptor.clone()));
    let mut names = to.names().unwrap();
    names.sort();
    assert_eq!(names, ["latest".to_owned(), name.clone()]);

    // 2.8 cannot remove a tag; what matters is that nothing else is removed instead.
    to.remove("never-there").unwrap();
    let e = to.remove("latest").unwrap_err();
    assert_eq!(e.kind(), Kind::Denied, "{e}");
    assert!(to.resolve("latest").unwrap().is_some());

    // A manifest whose blobs are not there is refused, and not tried for ever.
    let lacking = Document::new(
        media_type::MANIFEST,
        serde_json::to_vec(&json!({
            "schemaVersion": 2, "mediaType": media_type::MANIFEST,
            "config": Descriptor::of(media_type::CONFIG, b"nowhere").to_value(), "layers": [],
        }))
        .unwrap(),
    );
    let e = to.put_document(&lacking).unwrap_err();
    assert!(e.kind() == Kind::Denied && e.to_string().contains("MANIFEST_BLOB_UNKNOWN"), "{e}");
}
