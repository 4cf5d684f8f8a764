//! The registry store against registries with bad habits, and against a real one.

use std::io::Read;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use floe::blob::{Blob, Bytes, Hashing, Origin, Packed, Pass, Recipe};
use floe::event::{Event, Observe, Quiet};
use floe::oci::{Descriptor, DiffId, Digest, Reference, media_type};
use floe::store::registry::{Client, Credentials, Login, Registry, Retry, Settings, Timeouts, Uploads, Way};
use floe::store::{Claim, Document, Outcome, Presence, Repository, Sink, Source};
use floe::{Error, Kind};
use serde_json::json;

use crate::support::registry::{Entry, Switch, TestRegistry};

mod chunks;
mod conformance;
mod flags;
mod journal;
mod killed;
mod names;
mod patience;
mod publish;
mod reading;
mod real;
mod switches;
mod who;

/// Over several pieces and over GHCR's limit, and not a multiple of anything.
const LARGE: usize = (4 << 20) + 12345;
/// A chunk, so small that a large blob has five.
const CHUNK: u64 = 1 << 20;

fn settings() -> Settings {
    Settings {
        retry: Retry {
            attempts: 5,
            pause: Duration::from_millis(2),
            patience: Duration::from_secs(3),
            ..Retry::default()
        },
        timeouts: Timeouts {
            connect: Duration::from_secs(2),
            stall: Duration::from_secs(2),
            commit: Duration::from_secs(5),
        },
        ..Settings::default()
    }
}

/// Settings with small chunks.
fn chunked(way: Option<Way>) -> Settings {
    Settings { uploads: Uploads { way, chunk: CHUNK, journal: None }, ..settings() }
}

fn client() -> Client {
    Client::new(settings())
}

fn repository(registry: &TestRegistry, name: &str) -> Registry {
    Registry::open(&client(), &registry.reference(name))
}

fn repository_with(registry: &TestRegistry, name: &str, settings: Settings) -> Registry {
    Registry::open(&Client::new(settings), &registry.reference(name))
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

/// Where the chunks of a log began, and how long they were.
fn chunks(log: &[Entry]) -> Vec<(u64, u64)> {
    let patches = log.iter().filter(|e| e.method == "PATCH");
    patches
        .map(|e| {
            let (start, end) = e.headers["content-range"].split_once('-').unwrap();
            let (start, end): (u64, u64) = (start.parse().unwrap(), end.parse().unwrap());
            assert_eq!(e.headers["content-length"], (end + 1 - start).to_string());
            (start, end + 1 - start)
        })
        .collect()
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

/// A manifest that names nothing.
fn small(seed: u64) -> Document {
    Document::new(
        media_type::MANIFEST,
        format!("{{\"schemaVersion\":2,\"layers\":[],\"seed\":{seed}}}").into_bytes(),
    )
}

/// A whole blob.
fn read(from: &Registry, wanted: &Descriptor) -> floe::Result<Vec<u8>> {
    use floe::error::At as _;
    let mut out = Vec::new();
    let blob = from.blob(wanted)?;
    blob.open()?.read_to_end(&mut out).doing("read a blob")?;
    Ok(out)
}
