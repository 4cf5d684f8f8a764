//! What a build asks of a registry: nothing twice, nothing in vain.

use std::collections::BTreeMap;

use crate::support::program::Floe;
use crate::support::registry::{Entry, Switch, TestRegistry};
use crate::support::{bases, models};
use floe::store::layout::{Layout, Options};
use floe::store::location::Location;
use floe::store::{Repository, Source};

struct Place {
    dir: tempfile::TempDir,
    floe: Floe,
    registry: TestRegistry,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        models::grouped(&dir.path().join("model"));
        Self { floe: Floe::new(dir.path()), dir, registry: TestRegistry::start() }
    }

    fn build(&self, more: &[&str]) -> crate::support::program::Built {
        self.floe.build(&self.dir.path().join("model"), &[&["--name", "m"], more].concat())
    }

    fn to(&self, repository: &str) -> String {
        format!("docker://{}/{repository}", self.registry.addr())
    }

    /// Puts the base of a layout into the registry, by hand.
    fn add_base(&self, repository: &str) -> String {
        let folder = self.dir.path().join("base");
        let base = bases::plain(&folder);
        let Location::Layout { dir, .. } = Location::base(&base).unwrap() else { panic!("{base}") };
        let layout = Layout::open(dir, None, Options::default()).unwrap();
        let found = layout.resolve(&layout.names().unwrap()[0]).unwrap().unwrap();
        let document = layout.document(&found).unwrap();
        let manifest = floe::oci::Manifest::parse(document.bytes.clone(), None).unwrap();
        for blob in manifest.layers.iter().chain([&manifest.config]) {
            self.registry.add_blob(repository, &floe::store::read_small(&layout, blob, 1 << 20).unwrap());
        }
        self.registry.add_tag(repository, "1", &found.media_type, &document.bytes);
        format!("{}/{repository}:1", self.registry.addr())
    }
}

/// Bytes received by method and kind.
fn received(log: &[Entry]) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for entry in log.iter().filter(|e| e.received > 0) {
        *sums.entry(entry.short()).or_default() += entry.received;
    }
    sums
}

#[test]
fn a_first_build_sends_each_byte_once_and_a_second_none() {
    let p = Place::new();
    let built = p.build(&["-o", &p.to("team/m")]);
    let sizes: u64 =
        built.json["layers"].as_array().unwrap().iter().map(|l| l["size"].as_u64().unwrap()).sum();
    let sent = received(&p.registry.log())["PATCH uploads"];
    // The layers, and the configuration, which is small.
    assert!(sent > sizes && sent < sizes + 4096, "{sent} bytes sent for layers of {sizes}");

    p.registry.forget();
    let again = p.build(&["-o", &p.to("team/m")]);
    assert_eq!(again.digest(), built.digest());
    assert_eq!(again.version(), built.version());
    let uploads: Vec<String> = p.registry.steps().into_iter().filter(|s| s.contains("uploads")).collect();
    assert!(uploads.is_empty(), "{uploads:?}");
}

#[test]
fn a_changed_line_of_code_sends_the_small_layer_alone() {
    let p = Place::new();
    let first = p.build(&["-o", &p.to("team/m")]);
    models::write(&p.dir.path().join("model/src/extra.py"), b"x = 1\n");
    p.registry.forget();
    let second = p.build(&["-o", &p.to("team/m")]);
    assert_eq!(second.json["number"], 2);
    let (old, new) = (first.layers("digest"), second.layers("digest"));
    let changed = new.iter().filter(|d| !old.contains(d)).count();
    assert_eq!(changed, 1, "{old:?} {new:?}");
    let sent = received(&p.registry.log())["PATCH uploads"];
    assert!(sent < 64 << 10, "{sent} bytes for a line of code");
}

#[test]
fn the_base_is_mounted_and_never_fetched_where_it_lies_on_the_same_registry() {
    let p = Place::new();
    let base = p.add_base("bases/b");
    p.build(&["--base", &base, "-o", &p.to("team/m")]);
    let log = p.registry.log();
    let mounted: Vec<&Entry> = log.iter().filter(|e| e.query.iter().any(|(k, _)| k == "mount")).collect();
    assert_eq!(mounted.len(), 1, "the base has one layer");
    assert_eq!(mounted[0].status, 201);
    assert!(mounted[0].query.iter().any(|(k, v)| k == "from" && v == "bases/b"));
    // The configuration is read, and no layer.
    let gets = log.iter().filter(|e| e.short() == "GET blobs").count();
    assert_eq!(gets, 1, "{:?}", p.registry.steps());

    p.registry.forget();
    models::write(&p.dir.path().join("model/src/extra.py"), b"x = 1\n");
    p.build(&["--base", &base, "-o", &p.to("team/m")]);
    let log = p.registry.log();
    assert!(!log.iter().any(|e| e.query.iter().any(|(k, _)| k == "mount")), "it is there by now");
}

#[test]
fn a_base_from_elsewhere_streams_through_to_every_destination() {
    let p = Place::new();
    let base = p.add_base("bases/b");
    let other = TestRegistry::start();
    let to = format!("docker://{}/team/m", other.addr());
    let file = format!("oci-archive:{}", p.dir.path().join("m.tar").display());
    let layout = format!("oci:{}", p.dir.path().join("out").display());
    let built = p.build(&["--base", &base, "-o", &to, "-o", &file, "-o", &layout]);
    assert_eq!(built.references().len(), 3);
    let tags = other.tags("team/m");
    let versions = tags.keys().filter(|t| !t.starts_with("sha256-")).count();
    assert_eq!(versions, 1);
    crate::support::walk::layout(&p.dir.path().join("out"));
}

/// A manifest goes up after all that it names, and the version after the manifest.
#[test]
fn the_order_of_a_push_is_blobs_then_manifest_then_version() {
    let p = Place::new();
    let built = p.build(&["-o", &p.to("team/m"), "--alias", "latest"]);
    let log = p.registry.log();
    let puts: Vec<String> = log
        .iter()
        .filter(|e| e.method == "PUT")
        .map(|e| e.path.rsplit('/').next().unwrap().to_owned())
        .collect();
    let manifests: Vec<&String> = puts.iter().skip_while(|p| *p != built.digest()).collect();
    assert_eq!(manifests[..3], [built.digest(), built.version(), "latest"]);
    // What was found in the model comes last, and the list of it at its end.
    assert_eq!(manifests.last().unwrap().as_str(), built.digest().replace(':', "-"));
}

const LOGIN: &str = "YW5uOmhlcnMgYW5kIG5vYm9keSBlbHNlJ3M="; // ann:hers and nobody else's
const OTHER: &str = "Ym9iOndyb25n"; // bob:wrong

/// Logins are found where other tools write them; a file that comes first counts over one that
/// comes later.
#[test]
fn c25_logins_come_from_the_files_of_podman_and_docker_in_their_order() {
    let switches = [
        Switch::Basic { user: "ann", password: "hers and nobody else's" },
        Switch::Bearer { requests: 3, login: Some(("ann", "hers and nobody else's")) },
    ];
    for switch in switches {
        let p = Place::new();
        p.registry.set(switch);
        let home = p.dir.path().join("home");
        let auths = |login: &str| format!(r#"{{"auths":{{"{}":{{"auth":"{login}"}}}}}}"#, p.registry.addr());
        let to = p.to("team/m");
        let build = |env: &[(&str, std::path::PathBuf)], more: &[&str]| {
            let mut command = p.floe.command();
            command.envs(env.iter().map(|(k, v)| (k, v)));
            command.arg("build").arg(p.dir.path().join("model")).args(["--name", "m", "-o", &to]).args(more);
            crate::support::program::output(&mut command)
        };
        let none = build(&[], &[]);
        assert_eq!(none.status.code(), Some(8), "{}", crate::support::program::said(&none));

        models::write(&home.join(".docker/config.json"), auths(LOGIN).as_bytes());
        let docker = build(&[], &[]);
        assert!(docker.status.success(), "{}", crate::support::program::said(&docker));
        for out in [&none, &docker] {
            let said = crate::support::program::said(out);
            assert!(!said.contains(LOGIN) && !said.contains("nobody else"), "a login is shown: {said}");
        }

        // Podman's file comes first, the runtime folder's before the one that stays.
        models::write(&home.join(".config/containers/auth.json"), auths(OTHER).as_bytes());
        assert_eq!(build(&[], &[]).status.code(), Some(8));
        let runtime = p.dir.path().join("run");
        models::write(&runtime.join("containers/auth.json"), auths(LOGIN).as_bytes());
        assert!(build(&[("XDG_RUNTIME_DIR", runtime.clone())], &[]).status.success());

        // What is named alone counts alone.
        let own = p.dir.path().join("own.json");
        models::write(&own, auths(OTHER).as_bytes());
        let named = [("XDG_RUNTIME_DIR", runtime), ("REGISTRY_AUTH_FILE", own.clone())];
        assert_eq!(build(&named, &[]).status.code(), Some(8));
        models::write(&own, auths(LOGIN).as_bytes());
        assert!(build(&[], &["--authfile", own.to_str().unwrap()]).status.success());
        let elsewhere = p.dir.path().join("docker");
        models::write(&elsewhere.join("config.json"), auths(LOGIN).as_bytes());
        std::fs::remove_file(home.join(".config/containers/auth.json")).unwrap();
        std::fs::remove_file(home.join(".docker/config.json")).unwrap();
        assert!(build(&[("DOCKER_CONFIG", elsewhere)], &[]).status.success());
    }
}

#[test]
fn the_right_to_push_is_asked_for_before_much_is_packed() {
    let p = Place::new();
    let big = std::fs::File::create(p.dir.path().join("model/big.bin")).unwrap();
    big.set_len(65 << 20).unwrap();
    p.registry.set(Switch::Status { method: "POST", path: "", status: 403, retry_after: None, count: 1 });
    let to = p.to("team/m");
    let (code, said) = p.floe.build_refused(&p.dir.path().join("model"), &["--name", "m", "-o", &to]);
    assert_eq!(code, 8, "{said}");
    assert!(said.contains("ask for the right to push"), "{said}");
    let sent: u64 = p.registry.log().iter().map(|e| e.received).sum();
    assert_eq!(sent, 0, "{:?}", p.registry.steps());

    // Who may push leaves no upload open, and asks once.
    p.registry.forget();
    p.build(&["-o", &to]);
    let steps = p.registry.steps();
    let first: Vec<&str> =
        steps.iter().map(String::as_str).filter(|s| s.contains("uploads")).take(2).collect();
    assert_eq!(first, ["POST uploads", "DELETE uploads"], "{steps:?}");
    assert_eq!(steps.iter().filter(|s| *s == "DELETE uploads").count(), 1);
}

/// Where no file may have a byte, nothing can be staged on the way to a registry.
#[test]
fn nothing_is_staged_on_the_way_to_a_registry() {
    let p = Place::new();
    let base = p.add_base("bases/b");
    let large = p.dir.path().join("model/large.bin");
    std::fs::File::create(large).unwrap().set_len(40 << 20).unwrap();
    for compression in ["none", "gzip", "zstd"] {
        let floe = p.floe.command();
        let mut command = std::process::Command::new("sh");
        command
            .env_clear()
            .envs(floe.get_envs().filter_map(|(k, v)| Some((k, v?))))
            .env_remove("FLOE_RUNTIME");
        command.args(["-c", "ulimit -f 0 && exec \"$@\"", "sh"]).arg(floe.get_program());
        command.arg("build").arg(p.dir.path().join("model")).args([
            "--name",
            "m",
            "--no-cache",
            "--base",
            &base,
        ]);
        command.args(["--compression", compression, "-o", &p.to(compression)]);
        let out = crate::support::program::output(&mut command);
        assert!(out.status.success(), "{:?} {}", out.status, crate::support::program::said(&out));
        assert_eq!(p.registry.tags(compression).keys().filter(|t| t.starts_with("v1-")).count(), 1);
    }
}
