//! What registries are known not to take is told before the first byte is sent, by builds and by copies.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use floe::oci::{Digest, json};
use serde_json::{Value, json};

use crate::stores::material::{Recorder, image};
use crate::support::program::{Floe, output, said};
use crate::support::proxy::TestProxy;
use crate::support::registry::{Switch, TestRegistry};
use crate::support::{bases, models, walk};
use floe::copy::{self, Surroundings};
use floe::event::Event;
use floe::store::open::Stores;
use floe::store::registry::{Client, Settings};
use floe::store::{Options, Sink as _};

/// A registry that is reached under any name, by a proxy, as the services whose limits are known.
struct Service {
    dir: tempfile::TempDir,
    floe: Floe,
    registry: TestRegistry,
    proxy: TestProxy,
}

impl Service {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let registry = TestRegistry::start().with(Switch::RelativeLocation);
        let proxy = TestProxy::start(registry.addr(), None);
        models::write(&dir.path().join("model/code.py"), b"x = 1\n");
        Self { floe: Floe::new(dir.path()), dir, registry, proxy }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A file of so many bytes that takes no room.
    fn weights(&self, size: u64) {
        std::fs::File::create(self.path("model/weights.bin")).unwrap().set_len(size).unwrap();
    }

    fn command(&self, host: &str, words: &[&str]) -> Command {
        let mut command = self.floe.command();
        command.args(words).args(["--insecure", host]).current_dir(self.dir.path());
        command.env("ALL_PROXY", format!("http://{}", self.proxy.addr()));
        command
    }

    fn build(&self, host: &str) -> Output {
        let to = format!("docker://{host}/team/m");
        let words = ["build", "model", "--name", "m", "--compression", "none", "-o", &to];
        output(&mut self.command(host, &words))
    }

    /// Nothing was sent, and no upload begun but the one that asks whether that may be.
    fn untouched(&self) {
        let sent: u64 = self.registry.log().iter().map(|e| e.received).sum();
        assert_eq!(sent, 0, "{:?}", self.registry.steps());
        assert!(self.registry.steps().iter().all(|s| s != "PATCH uploads" && s != "PUT uploads"));
    }
}

/// The largest layers that services take, in bytes.
const SERVICES: [(&str, u64); 3] = [
    ("ghcr.io", 10_000_000_000),
    ("1.dkr.ecr.eu-west-1.amazonaws.com", 52_000 << 20),
    ("public.ecr.aws", 10_000 << 20),
];

#[test]
fn a_layer_that_a_service_does_not_take_is_told_before_a_byte_is_sent() {
    for (host, most) in SERVICES {
        let s = Service::new();
        s.weights(most);
        let out = s.build(host);
        assert_eq!(out.status.code(), Some(8), "{}", said(&out));
        let told = said(&out);
        assert!(told.contains("the layer `") && told.contains("weights.bin` has "), "{told}");
        assert!(told.contains(&format!("takes {most} at most")) && told.contains("max_shard_size"), "{told}");
        s.untouched();
    }
}

#[test]
fn a_copy_tells_of_such_a_layer_before_it_reads_it() {
    for (host, most) in SERVICES {
        let s = Service::new();
        let layout = s.path("layout");
        let base = image(&["small"]);
        base.store(&floe::store::layout::Layout::create(&layout, None, Options::default()).unwrap());
        // What it names is nowhere, and nobody asks for it.
        let mut manifest: Value = serde_json::from_slice(&base.manifest.bytes).unwrap();
        let mut large = manifest["layers"][0].clone();
        large["digest"] = json!(Digest::of(b"large").to_string());
        large["size"] = json!(most + 1);
        manifest["layers"].as_array_mut().unwrap().push(large);
        name(&layout, &manifest);
        let from = format!("oci:{}", layout.display());
        let to = format!("docker://{host}/team/m:big");
        let out = output(&mut s.command(host, &["copy", &from, &to]));
        assert_eq!(out.status.code(), Some(8), "{}", said(&out));
        let short = Digest::of(b"large").short();
        assert!(
            said(&out).contains(&format!("the layer `layer {short}` has {} bytes", most + 1)),
            "{}",
            said(&out)
        );
        s.untouched();
    }
}

/// Lets a manifest be what a layout holds.
fn name(layout: &Path, manifest: &Value) -> floe::store::Document {
    use floe::store::Repository as _;
    let store = floe::store::layout::Layout::create(layout, None, Options::default()).unwrap();
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let document = floe::store::Document::new(kind, json::canonical(manifest));
    store.put_document(&document).unwrap();
    store.point("base", &document).unwrap();
    document
}

#[test]
fn a_line_that_has_to_be_quick_is_told_of_and_the_right_to_push_is_asked_for_first() {
    let s = Service::new();
    s.weights(9_000_000_000);
    s.registry.set(Switch::Status {
        method: "POST",
        path: "",
        status: 403,
        retry_after: None,
        count: u32::MAX,
    });
    let out = s.build("ghcr.io");
    assert_eq!(out.status.code(), Some(8), "{}", said(&out));
    assert!(said(&out).contains("GitHub's registry ends an upload after 10 minutes"), "{}", said(&out));
    assert!(said(&out).contains("needs a line of 15 MB/s"), "{}", said(&out));
    assert!(said(&out).contains("ask for the right to push"), "{}", said(&out));
    s.untouched();
}

/// A base whose layer has an annotation of so many bytes.
fn annotated(folder: &Path, bytes: usize) -> String {
    let base = bases::plain(folder);
    let index = walk::json(&folder.join("index.json"));
    let digest = index["manifests"][0]["digest"].as_str().unwrap();
    let mut manifest = walk::json(&folder.join("blobs").join(digest.replace(':', "/")));
    manifest["layers"][0]["annotations"] = json!({"org.example.note": "n".repeat(bytes)});
    name(folder, &manifest);
    base
}

#[test]
fn a_manifest_over_four_mib_is_told_before_a_byte_is_sent() {
    let s = Service::new();
    let base = annotated(&s.path("base"), 3_900_000);
    let to = format!("docker://{}/team/m", s.registry.addr());
    let archive = format!("oci-archive:{}", s.path("m.tar").display());
    let build = |to: &[&str], notes: usize| {
        let mut command = s.floe.command();
        command.current_dir(s.dir.path()).env_remove("FLOE_RUNTIME");
        command.args(["build", "model", "--name", "m", "--base", &base]).args(to);
        for i in 0..notes {
            command.args(["--annotation", &format!("org.example.{i}={}", "m".repeat(100_000))]);
        }
        output(&mut command)
    };
    // The registry, a file, and a rehearsal that would hash everything.
    for to in [&["-o", &to][..], &["-o", &archive], &["--dry-run=full"]] {
        let out = build(to, 4);
        assert_eq!(out.status.code(), Some(3), "{}", said(&out));
        assert!(said(&out).contains("would have a manifest of 43"), "{}", said(&out));
        assert!(said(&out).contains("registries take 4194304 at most"), "{}", said(&out));
        assert!(said(&out).contains("hint: what is large in it are annotations"), "{}", said(&out));
    }
    s.untouched();
    assert!(!s.path("m.tar").exists());
    // With less it goes, and is read back.
    let out = build(&["-o", &to], 2);
    assert!(out.status.success(), "{}", said(&out));
    let out = output(s.floe.command().args(["verify", &to]));
    assert!(out.status.success(), "{}", said(&out));
}

#[test]
fn a_configuration_that_few_can_read_is_told_of() {
    let s = Service::new();
    let folder = s.path("base");
    let base = bases::plain(&folder);
    let index = walk::json(&folder.join("index.json"));
    let blob = |digest: &Value| folder.join("blobs").join(digest.as_str().unwrap().replace(':', "/"));
    let mut manifest = walk::json(&blob(&index["manifests"][0]["digest"]));
    let mut config = walk::json(&blob(&manifest["config"]["digest"]));
    for (mib, code) in [(5_usize, Some(0)), (9, Some(5))] {
        config["config"]["Labels"]["org.example.note"] = json!("n".repeat(mib << 20));
        let bytes = json::canonical(&config);
        let digest = Digest::of(&bytes).to_string();
        std::fs::write(blob(&json!(digest)), &bytes).unwrap();
        (manifest["config"]["digest"], manifest["config"]["size"]) = (json!(digest), json!(bytes.len()));
        name(&folder, &manifest);
        let to = format!("docker://{}/team/m", s.registry.addr());
        let mut command = s.floe.command();
        command.current_dir(s.dir.path()).env_remove("FLOE_RUNTIME");
        let out = output(command.args(["build", "model", "--name", "m", "--base", &base, "-o", &to]));
        assert_eq!(out.status.code(), code, "{}", said(&out));
        if code == Some(0) {
            assert!(said(&out).contains("skopeo, podman and CRI-O read 4194304 at most"), "{}", said(&out));
        }
    }
}

#[test]
fn more_layers_than_runtimes_stack_are_told_of_before_they_are_copied() {
    let s = Service::new();
    let contents: Vec<String> = (0..130).map(|i| i.to_string()).collect();
    let many = image(&contents.iter().map(String::as_str).collect::<Vec<_>>());
    let layout = s.path("many");
    many.store(&floe::store::layout::Layout::create(&layout, None, Options::default()).unwrap());
    name(&layout, &serde_json::from_slice(&many.manifest.bytes).unwrap());
    let to = format!("docker://{}/team/many:1", s.registry.addr());
    let request = crate::copy::request(&[&format!("oci:{}", layout.display())], &to);
    let stores =
        Stores { client: Client::new(Settings::default()), local: None, options: Options::default() };
    let see = Recorder::default();
    let copied = copy::copy(&request, &Surroundings { stores: &stores, see: &see }).unwrap();
    assert_eq!(copied[0].digest, many.manifest.descriptor.digest, "a copy keeps what it is given");
    let events = see.take();
    let told = events.iter().position(|e| matches!(e, Event::Warning { message, .. } if message.contains("has 130 layers, and container runtimes put 127")));
    let begun = events.iter().position(|e| matches!(e, Event::Begin { .. }));
    assert!(told.is_some() && told < begun, "{told:?} {begun:?}");
    // A base of so many leaves no room for a model: told before anything is opened for writing.
    let base = format!("oci:{}:base", layout.display());
    let to = format!("docker://{}/team/m", s.registry.addr());
    s.registry.forget();
    let mut command = s.floe.command();
    command.current_dir(s.dir.path()).env_remove("FLOE_RUNTIME");
    let out = output(command.args(["build", "model", "--name", "m", "--base", &base, "-o", &to]));
    assert_eq!(out.status.code(), Some(3), "{}", said(&out));
    assert!(
        said(&out).contains("the base has 130 layers, at most 116 leave room for a model"),
        "{}",
        said(&out)
    );
    assert!(s.registry.log().is_empty());
}
