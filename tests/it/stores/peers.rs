//! The tools that users have must read what floe writes, and give back the same digests.
//!
//! They are required: a tool that is missing fails the test, or else nobody would notice that
//! nothing was tested.

use std::path::Path;
use std::process::Command;

use floe::oci::Digest;
use floe::store::layout::{Layout, Options};
use floe::store::location::Location;
use floe::store::{Repository, Sink, Source, docker_archive, oci_archive};
use serde_json::Value;

use super::material::{Image, image};

fn run(program: &str, arguments: &[&str]) -> String {
    let out = Command::new(program).args(arguments).output();
    let out = out.unwrap_or_else(|e| panic!("`{program}` is needed for this test: {e}"));
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    assert!(out.status.success(), "{program} {arguments:?}: {}{}", text(&out.stdout), text(&out.stderr));
    text(&out.stdout)
}

fn skopeo(arguments: &[&str]) -> String {
    run("skopeo", &[&["--insecure-policy"], arguments].concat())
}

/// Skopeo must see the image at a location that floe printed.
fn is_seen(at: &str, image: &Image) {
    assert_eq!(Location::reference(at).unwrap().to_string(), at);
    let raw = skopeo(&["inspect", "--raw", at]);
    assert_eq!(Digest::of(raw.as_bytes()), image.manifest.descriptor.digest, "{at}");
    let seen: Value = serde_json::from_str(&skopeo(&["inspect", at])).unwrap();
    assert_eq!(seen["Labels"]["MODEL_NAME"], "m");
    assert_eq!(seen["Layers"].as_array().unwrap().len(), image.layers.len());
}

fn layout(dir: &Path, image: &Image) -> Layout {
    let layout = Layout::create(dir, None, Options::default()).unwrap();
    image.store(&layout);
    layout.claim(&image.version(1), &image.manifest).unwrap();
    layout.point("latest", &image.manifest).unwrap();
    layout
}

#[test]
fn c21_skopeo_reads_a_layout_and_writes_one_that_floe_reads() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("layout");
    let image = image(&["a", "b"]);
    layout(&path, &image);
    let at = |name: &str| format!("oci:{}:{name}", path.display());
    is_seen(&at(&image.version(1)), &image);
    is_seen(&at("latest"), &image);
    let copy = dir.path().join("copy");
    skopeo(&["copy", "--preserve-digests", &at("latest"), &format!("oci:{}:mine", copy.display())]);
    image.is_in(&Layout::open(&copy, None, Options::default()).unwrap(), "mine");
    // Into the layout that floe wrote, and floe once more after that.
    skopeo(&["copy", "--preserve-digests", &at("latest"), &at("theirs")]);
    let again = Layout::open(&path, None, Options::default()).unwrap();
    again.point("ours", &image.manifest).unwrap();
    for name in ["theirs", "ours", "latest", &image.version(1)] {
        image.is_in(&again, name);
        is_seen(&at(name), &image);
    }
}

#[test]
fn c21_skopeo_reads_the_local_store_where_floe_says_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let store = Layout::create(dir.path(), Some("team/m:".into()), Options::default()).unwrap();
    let image = image(&["a"]);
    image.store(&store);
    store.claim(&image.version(1), &image.manifest).unwrap();
    let at = Location::reference(&format!("team/m:{}", image.version(1))).unwrap().in_store(dir.path());
    is_seen(&at.to_string(), &image);
}

#[test]
fn c33_skopeo_reads_an_archive_either_way() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(&["a", "b"]);
    let version = image.version(1);
    for (tag, docker) in [(None, false), (Some("prod"), false), (None, true), (Some("prod"), true)] {
        let file = dir.path().join("m.tar");
        let archive = if docker {
            let reference = tag.map(|t| format!("m:{t}"));
            docker_archive::create(&file, reference.as_deref(), "m", Options::default()).unwrap()
        } else {
            oci_archive::create(&file, tag, "m", Options::default()).unwrap()
        };
        image.store(&archive);
        archive.commit(&image.manifest, &version).unwrap();
        let tag = tag.unwrap_or(&version);
        let file = file.display();
        is_seen(&format!("oci-archive:{file}:{tag}"), &image);
        is_seen(&format!("oci-archive:{file}"), &image);
        for at in [format!("docker-archive:{file}"), format!("docker-archive:{file}:m:{tag}")] {
            let seen: Value = serde_json::from_str(&skopeo(&["inspect", &at])).unwrap();
            assert_eq!(seen["Layers"].as_array().unwrap().len(), 2, "{at}");
        }
    }
}

/// A Docker archive has no manifest to keep; configuration and layers must be the same bytes.
#[test]
fn a_docker_archive_of_skopeo_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("layout");
    let image = image(&["a", "b"]);
    layout(&path, &image);
    let from = format!("oci:{}:latest", path.display());
    let docker = dir.path().join("d.tar");
    skopeo(&["copy", &from, &format!("docker-archive:{}:m:1", docker.display())]);
    let read = docker_archive::DockerArchive::open(&docker).unwrap();
    let found = read.resolve("m:1").unwrap().unwrap();
    let manifest = floe::oci::Manifest::parse(read.document(&found).unwrap().bytes, None).unwrap();
    assert_eq!(manifest.layers.len(), 2);
    for (theirs, ours) in manifest.layers.iter().zip(&image.layers) {
        assert_eq!(super::material::read(&read, theirs).unwrap(), ours.as_slice());
    }
    let archive = dir.path().join("o.tar");
    skopeo(&["copy", "--preserve-digests", &from, &format!("oci-archive:{}:m", archive.display())]);
    image.is_in(&oci_archive::OciArchive::open(&archive).unwrap(), "m");
}

#[test]
fn tar_lists_an_archive() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("m.tar");
    let image = image(&["a"]);
    let archive = oci_archive::create(&file, None, "m", Options::default()).unwrap();
    image.store(&archive);
    archive.commit(&image.manifest, &image.version(1)).unwrap();
    let list = run("tar", &["--utc", "--numeric-owner", "--full-time", "-tvf", file.to_str().unwrap()]);
    assert_eq!(list.lines().count(), 8);
    for line in list.lines() {
        let as_expected = line.starts_with("-rw-r--r-- 0/0 ") || line.starts_with("drwxr-xr-x 0/0 ");
        assert!(as_expected && line.contains(" 1970-01-01 00:00:01 "), "{line}");
    }
}

#[test]
fn umoci_unpacks_a_layout() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("layout");
    let image = image(&["a", "b"]);
    layout(&path, &image);
    let bundle = dir.path().join("bundle");
    let at = format!("{}:latest", path.display());
    run("umoci", &["unpack", "--rootless", "--image", &at, bundle.to_str().unwrap()]);
    for (name, content) in [("0.txt", "a"), ("1.txt", "b")] {
        let file = bundle.join("rootfs/model/files").join(name);
        assert_eq!(std::fs::read_to_string(file).unwrap(), content);
    }
}

#[test]
fn c33_podman_loads_an_archive_and_shows_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("m.tar");
    let image = image(&["a", "b"]);
    let archive = oci_archive::create(&file, None, "m", Options::default()).unwrap();
    image.store(&archive);
    archive.commit(&image.manifest, &image.version(1)).unwrap();
    let (root, state) = (dir.path().join("root"), dir.path().join("state"));
    let own =
        ["--root", root.to_str().unwrap(), "--runroot", state.to_str().unwrap(), "--storage-driver", "vfs"];
    let podman = |arguments: &[&str]| run("podman", &[&own, arguments].concat());
    podman(&["load", "-q", "-i", file.to_str().unwrap()]);
    let shown = podman(&["images", "--format", "{{.Repository}}:{{.Tag}}"]);
    assert_eq!(shown.trim(), format!("docker.io/library/m:{}", image.version(1)));
    let id = podman(&["images", "-q", "--no-trunc"]);
    assert_eq!(id.trim(), image_id(&image));
}

/// What Docker and podman call the id of an image: the digest of its configuration.
fn image_id(image: &Image) -> String {
    use floe::blob::Blob;
    image.config.descriptor().digest.to_string()
}
