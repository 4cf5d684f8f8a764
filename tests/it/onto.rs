//! A model is laid onto every kind of base, for one platform and for several.

use std::path::Path;
use std::process::Command;

use floe::oci::{Digest, Reference};
use floe::store::registry::{Client, Registry, Settings};
use floe::store::{Source, read_small};
use serde_json::Value;

use crate::support::debian::DebianRegistry;
use crate::support::program::{Built, Floe, run, skopeo};
use crate::support::{bases, models, walk};

struct Place {
    dir: tempfile::TempDir,
    floe: Floe,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        models::small(&dir.path().join("model"));
        Self { floe: Floe::new(dir.path()), dir }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn build(&self, base: &str, to: &str, more: &[&str]) -> Built {
        let out = format!("oci:{}", self.path(to).display());
        let all = [&["--base", base, "-o", &out, "--name", "m"], more].concat();
        self.floe.build(&self.path("model"), &all)
    }

    fn refused(&self, base: &str, more: &[&str]) -> (i32, String) {
        let out = format!("oci:{}", self.path("never").display());
        let all = [&["--base", base, "-o", &out, "--name", "m"], more].concat();
        let refused = self.floe.build_refused(&self.path("model"), &all);
        assert!(!self.path("never").exists(), "a refused build leaves nothing");
        refused
    }

    /// The document behind a digest in a layout that was written.
    fn document(&self, layout: &str, digest: &str) -> Value {
        walk::json(&walk::blob(&self.path(layout), digest))
    }

    /// The configuration of the image of a build for one platform.
    fn config(&self, layout: &str, built: &Built) -> Value {
        let manifest = self.document(layout, built.digest());
        self.document(layout, manifest["config"]["digest"].as_str().unwrap())
    }
}

#[test]
fn one_base_in_every_place_gives_one_digest() {
    let p = Place::new();
    let layout = bases::plain(&p.path("base"));
    let wanted = p.build(&layout, "from-layout", &[]);

    let archive = p.path("base.tar").display().to_string();
    skopeo(&["copy", "-q", "--preserve-digests", &layout, &format!("oci-archive:{archive}:base")]);
    let registry = DebianRegistry::start();
    let at = format!("{}/bases/b", registry.host());
    let to = format!("docker://{at}:1");
    skopeo(&["copy", "-q", "--preserve-digests", "--dest-tls-verify=false", &layout, &to]);
    let digest = wanted.json["base"][0].as_str().unwrap();

    let by_archive = format!("oci-archive:{archive}");
    let by_digest = format!("{at}@{digest}");
    for (i, base) in
        [&by_archive, &to, &format!("{at}:1"), &by_digest, &format!("{at}:1@{digest}")].iter().enumerate()
    {
        let built = p.build(base, &format!("from-{i}"), &[]);
        assert_eq!(built.digest(), wanted.digest(), "{base}");
        assert_eq!(built.version(), wanted.version(), "{base}");
    }
    // Declared, the name is part of the image; typed, it is where the base was fetched from.
    let named = p.build(&to, "named", &["--base-name", "docker.io/library/debian"]);
    let manifest = p.document("named", named.digest());
    assert_eq!(
        manifest["annotations"]["org.opencontainers.image.base.name"],
        "docker.io/library/debian:latest"
    );
    assert_eq!(manifest["annotations"]["org.opencontainers.image.base.digest"], digest);
}

#[test]
fn a_docker_archive_is_a_base() {
    let p = Place::new();
    let layout = bases::plain(&p.path("base"));
    let archive = p.path("base.tar").display().to_string();
    skopeo(&["copy", "-q", &layout, &format!("docker-archive:{archive}:b:1")]);
    let built = p.build(&format!("docker-archive:{archive}"), "out", &[]);
    let config = p.config("out", &built);
    assert_eq!(config["config"]["Entrypoint"][0], "/bin/serve");
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 1 + built.layers("digest").len());
    let again = p.build(&format!("docker-archive:{archive}:b:1"), "again", &[]);
    assert_eq!(again.digest(), built.digest());
    walk::layout(&p.path("out"));
}

#[test]
fn a_docker_schema_2_base_gives_an_oci_image_with_all_of_its_configuration() {
    let p = Place::new();
    let base = bases::docker(&p.path("base"));
    let built = p.build(&base, "out", &[]);
    let manifest = p.document("out", built.digest());
    assert_eq!(manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(manifest["layers"][0]["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip");
    let old = p.document("base", built.json["base"][0].as_str().unwrap());
    assert_eq!(manifest["layers"][0]["digest"], old["layers"][0]["digest"], "the bytes of the base stay");
    let old = p.document("base", old["config"]["digest"].as_str().unwrap());
    let new = p.config("out", &built);
    for key in [
        "Env",
        "Entrypoint",
        "Cmd",
        "User",
        "ExposedPorts",
        "Volumes",
        "Healthcheck",
        "StopSignal",
        "OnBuild",
        "Shell",
    ] {
        assert_eq!(new["config"][key], old["config"][key], "{key}");
    }
    assert_eq!(new["author"], old["author"]);
    assert_eq!(new["config"]["Labels"]["a"], "b");
}

#[test]
fn several_platforms_share_the_layers_of_the_model() {
    let p = Place::new();
    let base = bases::several(&p.path("base"));
    for (i, platforms) in ["all", "linux/amd64,linux/arm64"].iter().enumerate() {
        let to = format!("out-{i}");
        let built = p.build(&base, &to, &["--platform", platforms]);
        let index = p.document(&to, built.digest());
        let entries = index["manifests"].as_array().unwrap();
        let names: Vec<&str> =
            entries.iter().map(|e| e["platform"]["architecture"].as_str().unwrap()).collect();
        assert_eq!(names, ["amd64", "arm64"]);
        let ours: Vec<Value> = entries
            .iter()
            .map(|e| {
                let manifest = p.document(&to, e["digest"].as_str().unwrap());
                Value::from(manifest["layers"].as_array().unwrap()[1..].to_vec())
            })
            .collect();
        assert_eq!(ours[0], ours[1]);
        walk::layout(&p.path(&to));
    }
    let one = p.build(&base, "one", &["--platform", "linux/arm64"]);
    assert_eq!(p.config("one", &one)["architecture"], "arm64");
    let (code, said) = p.refused(&base, &["--platform", "linux/s390x"]);
    assert!(code == 3 && said.contains("linux/s390x") && said.contains("linux/amd64, linux/arm64"), "{said}");
}

#[test]
fn scratch_takes_the_platforms_that_it_is_told() {
    let p = Place::new();
    let built = p.build("scratch", "out", &["--platform", "linux/arm/v7"]);
    let config = p.config("out", &built);
    assert_eq!((&config["architecture"], &config["variant"]), (&Value::from("arm"), &Value::from("v7")));
    let (code, said) = p.refused("scratch", &["--platform", "all"]);
    assert!(code == 2 && said.contains("--platform linux/amd64"), "{said}");
}

#[test]
fn a_file_system_is_a_base_as_a_folder_and_as_a_tar() {
    let p = Place::new();
    let root = p.path("root");
    models::write(&root.join("bin/serve"), b"#!/bin/sh\n");
    models::mode(&root.join("bin/serve"), 0o755);
    models::write(&root.join("etc/x"), b"x");
    let folder = p.build(&format!("rootfs:{}", root.display()), "folder", &[]);
    // Times of another checkout do not show.
    let status = Command::new("touch").arg("-d").arg("2001-02-03").arg(root.join("etc/x")).status().unwrap();
    assert!(status.success());
    let again = p.build(&format!("rootfs:{}", root.display()), "again", &[]);
    assert_eq!(again.digest(), folder.digest());

    let tar = p.path("root.tar").display().to_string();
    run("tar", &["-C", root.to_str().unwrap(), "-cf", &tar, "."]);
    let built = p.build(&format!("rootfs:{tar}"), "tar", &[]);
    let manifest = p.document("tar", built.digest());
    assert_eq!(manifest["layers"][0]["digest"], Digest::of(&std::fs::read(&tar).unwrap()).to_string());
    assert_eq!(manifest["layers"][0]["mediaType"], "application/vnd.oci.image.layer.v1.tar");
    walk::layout(&p.path("tar"));

    let image = format!("{}:{}", p.path("folder").display(), folder.version());
    let bundle = p.path("bundle");
    run("umoci", &["unpack", "--rootless", "--image", &image, bundle.to_str().unwrap()]);
    let seen = models::listing(&bundle.join("rootfs/bin"));
    assert_eq!(seen.len(), 1);
    assert!(is_executable(&bundle.join("rootfs/bin/serve")));
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o111 != 0
}

/// What is published to a registry is read back with the library, for an index too.
#[test]
fn an_index_goes_to_a_registry_whole() {
    let p = Place::new();
    let base = bases::several(&p.path("base"));
    let registry = DebianRegistry::start();
    let to = format!("docker://{}/team/", registry.host());
    let built =
        p.floe.build(&p.path("model"), &["--base", &base, "--platform", "all", "-o", &to, "--name", "m"]);
    let reference: Reference = format!("{}/team/m", registry.host()).parse().unwrap();
    let source = Registry::open(&Client::new(Settings::default()), &reference);
    let found = source.resolve(built.version()).unwrap().unwrap();
    assert_eq!(found.digest.to_string(), built.digest());
    let index = floe::oci::Index::parse(source.document(&found).unwrap().bytes, None).unwrap();
    assert_eq!(index.entries.len(), 2);
    for entry in &index.entries {
        let manifest =
            floe::oci::Manifest::parse(source.document(&entry.descriptor).unwrap().bytes, None).unwrap();
        for layer in &manifest.layers {
            read_small(&source, layer, 1 << 20).unwrap();
        }
    }
}

#[test]
fn a_version_is_a_base_by_its_short_names() {
    let p = Place::new();
    let registry = DebianRegistry::start();
    let to = format!("docker://{}/team/b", registry.host());
    let first = p.floe.build(&p.path("model"), &["--name", "b", "-o", &to, "--base", "scratch"]);
    p.build("scratch", "lay", &[]);
    let wanted = p.build(&format!("{to}:{}", first.version()), "whole", &[]);
    for (i, short) in ["", ":1", ":v1"].iter().enumerate() {
        assert_eq!(p.build(&format!("{to}{short}"), &format!("short-{i}"), &[]).digest(), wanted.digest());
    }
    let layout = p.path("lay").display().to_string();
    let built = p.build(&format!("oci:{layout}:1"), "on-layout", &[]);
    // What the base's layers were for there is not what they are for here.
    let manifest = p.document("on-layout", built.digest());
    assert!(manifest["layers"][0]["annotations"].is_null());
    let (code, said) = p.refused(&format!("{to}:7"), &[]);
    assert!(code != 0 && said.contains("no version 7"), "{said}");
}
