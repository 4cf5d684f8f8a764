//! From every kind of store to every kind: the digest stays, and others read what came out.

use std::sync::Mutex;

use floe::Kind;
use floe::event::{Event, Observe, Quiet};
use floe::oci::Digest;
use floe::store::layout::{Layout, Options};

use super::{KINDS, World, request};
use crate::stores::material::{image, image_for, index};
use crate::support::models;
use crate::support::program::{Floe, skopeo};
use crate::support::registry::Switch;

#[test]
fn every_pair_of_stores_keeps_the_digest() {
    let world = World::new();
    let image = image(&["a", "b"]);
    let seed = world.seed("seed", &image, &["x"]);
    let from: Vec<String> = KINDS.iter().map(|k| world.at(k, &format!("from-{k}"), "x")).collect();
    for to in &from {
        world.copy(&format!("{seed}:x"), to).unwrap();
    }
    for (kind, from) in KINDS.iter().zip(&from) {
        for to in KINDS {
            let at = world.at(to, &format!("{kind}-{to}"), "y");
            let copied = world.copy(from, &at).unwrap();
            assert_eq!(copied.len(), 1);
            assert_eq!(copied[0].digest, image.manifest.descriptor.digest, "{from} to {at}");
            let shown = copied[0].reference.clone();
            let name = match to {
                "ours" | "docker-registry" => image.manifest.descriptor.digest.to_string(),
                "docker-archive" => format!("{kind}-{to}:y"),
                _ => "y".to_owned(),
            };
            image.is_in(&*world.source(&at), &name);
            // Once more: a collection has it all.
            let again = world.copy(from, &at).unwrap();
            if !to.ends_with("archive") {
                assert!(again[0].existed && again[0].blobs.written == 0, "{again:?}");
                assert_eq!(copied[0].blobs.written + copied[0].blobs.present + copied[0].blobs.mounted, 3);
            }
            // What is printed, skopeo reads.
            if matches!(to, "oci" | "oci-archive" | "store") {
                let raw = skopeo(&["inspect", "--raw", &shown]);
                assert_eq!(Digest::of(raw.as_bytes()), image.manifest.descriptor.digest, "{shown}");
            }
            if to == "docker-registry" {
                let raw = skopeo(&["inspect", "--tls-verify=false", "--raw", &shown]);
                assert_eq!(Digest::of(raw.as_bytes()), image.manifest.descriptor.digest, "{shown}");
            }
            if to == "docker-archive" {
                skopeo(&["inspect", &shown]);
            }
        }
    }
}

#[test]
fn an_index_is_copied_whole_and_one_platform_of_it_where_asked() {
    let world = World::new();
    let (one, two) = (image_for("amd64", &["a"]), image_for("arm64", &["a"]));
    world.seed("seed", &one, &[]);
    world.seed("seed", &two, &[]);
    let mut value: serde_json::Value = serde_json::from_slice(&index(&[&one, &two]).bytes).unwrap();
    for (i, arch) in ["amd64", "arm64"].iter().enumerate() {
        value["manifests"][i]["platform"] = serde_json::json!({"os": "linux", "architecture": arch});
    }
    let top = floe::store::Document::new(floe::oci::media_type::INDEX, floe::oci::json::canonical(&value));
    let seed = world.name("seed", &top, &["x"]);
    for kind in ["ours", "docker-registry", "oci", "oci-archive"] {
        let at = world.at(kind, &format!("whole-{kind}"), "x");
        let copied = world.copy(&format!("{seed}:x"), &at).unwrap();
        assert_eq!(copied[0].digest, top.descriptor.digest);
        let source = world.source(&at);
        for image in [&one, &two] {
            image.is_in(&*source, &image.manifest.descriptor.digest.to_string());
        }
        let part = world.at(kind, &format!("part-{kind}"), "x");
        let mut ask = request(&[&at], &part);
        ask.platform = Some("linux/arm64".parse().unwrap());
        assert_eq!(world.copy_with(&ask, &Quiet).unwrap()[0].digest, two.manifest.descriptor.digest);
        two.is_in(&*world.source(&part), &two.manifest.descriptor.digest.to_string());
        ask.platform = Some("linux/s390x".parse().unwrap());
        let e = world.copy_with(&ask, &Quiet).unwrap_err();
        assert_eq!(e.kind(), Kind::Usage);
        assert!(e.hint_text().unwrap().contains("linux/amd64, linux/arm64"), "{e:?}");
    }
    let e = world.copy(&format!("{seed}:x"), &world.at("docker-archive", "no", "x")).unwrap_err();
    assert_eq!(e.kind(), Kind::Usage);
}

#[test]
fn within_a_registry_blobs_are_linked_and_names_come_last() {
    let world = World::small();
    let image = image(&["a", "b"]);
    let seed = world.seed("seed", &image, &["x"]);
    world.copy(&format!("{seed}:x"), &world.at("ours", "one", "x")).unwrap();
    world.ours.forget();
    let copied = world.copy(&world.at("ours", "one", "x"), &world.at("ours", "two", "x")).unwrap();
    assert_eq!((copied[0].blobs.mounted, copied[0].blobs.written), (3, 0));
    let log = world.ours.log();
    assert!(log.iter().all(|e| e.method != "PATCH"), "no byte is sent");
    let puts: Vec<&str> =
        log.iter().filter(|e| e.method == "PUT").map(|e| e.path.rsplit_once('/').unwrap().1).collect();
    assert_eq!(puts, [image.manifest.descriptor.digest.to_string().as_str(), "x"]);
    let last_blob = log.iter().rposition(|e| e.path.contains("/blobs/")).unwrap();
    let first_put = log.iter().position(|e| e.method == "PUT").unwrap();
    assert!(last_blob < first_put, "manifests come after all blobs");

    // The tag says that all is there: nothing else is asked for at the destination.
    world.ours.forget();
    world.copy(&world.at("ours", "one", "x"), &world.at("ours", "two", "x")).unwrap();
    let asked = world.ours.log().iter().filter(|e| e.path.starts_with("/v2/two/")).count();
    assert_eq!(asked, 1, "{:?}", world.ours.steps());
}

#[test]
fn a_copy_that_fails_leaves_nothing_named() {
    let world = World::small();
    let image = image(&["a", "b"]);
    let seed = world.seed("seed", &image, &["x"]);
    let from = world.at("ours", "from", "x");
    world.copy(&format!("{seed}:x"), &from).unwrap();
    for (method, path) in [("POST", "/v2/to/blobs/uploads/"), ("PUT", "/v2/to/manifests/sha256")] {
        world.ours.set(Switch::Status { method, path, status: 403, retry_after: None, count: u32::MAX });
        let e = world.copy(&format!("{seed}:x"), &world.at("ours", "to", "x")).unwrap_err();
        assert_eq!(e.kind(), Kind::Denied);
        assert!(world.ours.tags("to").is_empty());
        world.ours.clear();
    }
    // A source that gives bad bytes for ever.
    world.ours.set(Switch::FlipDownload { count: u32::MAX });
    for kind in ["oci", "store", "oci-archive"] {
        let at = world.at(kind, "bad", "x");
        let e = world.copy(&from, &at).unwrap_err();
        assert_eq!(e.kind(), Kind::Integrity, "{kind}");
        assert!(!world.path("bad.tar").exists());
        if world.path("bad").exists() {
            assert!(
                Layout::open(world.path("bad"), None, Options::default())
                    .unwrap()
                    .entries()
                    .unwrap()
                    .is_empty()
            );
        }
    }
    // Once is forgiven.
    world.ours.clear();
    world.ours.set(Switch::FlipDownload { count: 1 });
    world.copy(&from, &world.at("oci", "good", "x")).unwrap();
    image.is_in(&*world.source(&world.bare("oci", "good")), "x");
}

#[test]
fn what_an_entry_is_annotated_with_comes_along() {
    use floe::store::Repository;
    let world = World::small();
    let image = image(&["a"]);
    let seed = world.seed("seed", &image, &["x"]);
    let layout = Layout::open(world.path("seed"), None, Options::default()).unwrap();
    let mut annotated = image.manifest.clone();
    annotated.descriptor.annotations.insert("org.example.approved".into(), "yes".into());
    layout.point("x", &annotated).unwrap();
    world.copy(&format!("{seed}:x"), &world.at("oci-archive", "a", "y")).unwrap();
    world.copy(&world.at("oci-archive", "a", "y"), &world.at("oci", "b", "z")).unwrap();
    let entries = Layout::open(world.path("b"), None, Options::default()).unwrap().entries().unwrap();
    assert_eq!(entries[0].annotations["org.example.approved"], "yes");
    assert_eq!(entries[0].name.as_deref(), Some("z"));
}

/// A Docker archive of somebody else has no manifest.
#[test]
fn a_foreign_docker_archive_gets_the_same_manifest_each_time_and_that_is_said() {
    #[derive(Default)]
    struct Warnings(Mutex<Vec<String>>);
    impl Observe for Warnings {
        fn on(&self, event: Event) {
            if let Event::Warning { message, .. } = event {
                self.0.lock().unwrap().push(message);
            }
        }
    }
    let world = World::small();
    let image = image(&["a", "b"]);
    let seed = world.seed("seed", &image, &["x"]);
    let file = world.path("theirs.tar");
    let theirs = format!("docker-archive:{}", file.display());
    skopeo(&["copy", &format!("{seed}:x"), &format!("{theirs}:m:1")]);
    let see = Warnings::default();
    let one = world.copy_with(&request(&[&theirs], &world.bare("ours", "m")), &see).unwrap();
    assert!(see.0.lock().unwrap().iter().any(|w| w.contains("has no manifest")));
    assert_eq!(one[0].tags, ["1"]);
    let two = world.copy(&theirs, &world.at("oci", "m2", "q")).unwrap();
    assert_eq!(one[0].digest, two[0].digest);
    // Configuration and layers are theirs, byte for byte.
    let all = world.source(&world.bare("oci", "m2"));
    let found = all.resolve("q").unwrap().unwrap();
    let manifest = floe::oci::Manifest::parse(all.document(&found).unwrap().bytes, None).unwrap();
    let layers: Vec<Digest> = manifest.layers.iter().map(|l| l.digest).collect();
    assert_eq!(layers, image.layers.iter().map(|l| Digest::of(l.as_slice())).collect::<Vec<_>>());
}

/// An archive is a function of the image and its name: whether a build or a copy wrote it.
#[test]
fn a_copied_archive_is_the_one_that_a_build_writes() {
    let dir = tempfile::tempdir().unwrap();
    let floe = Floe::new(dir.path());
    let at = |name: &str| dir.path().join(name).display().to_string();
    let model = models::example("onnx/on_dev_scaler");
    let outputs = [format!("oci:{}", at("l")), format!("oci-archive:{}", at("a.tar"))];
    floe.build(&model, &["--name", "team/m", "-o", &outputs[0], "-o", &outputs[1]]);
    for (from, to) in [(&outputs[0], "b.tar"), (&outputs[1], "c.tar")] {
        let to = at(to);
        let out = floe.command().args(["copy", from, &format!("oci-archive:{to}")]).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        assert_eq!(std::fs::read(&to).unwrap(), std::fs::read(at("a.tar")).unwrap(), "{to}");
    }
}
