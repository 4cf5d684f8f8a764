//! Real tools on real results: every kind of destination with every compression.
//!
//! One build writes to all destinations at once. From each of them skopeo must read the very
//! digest that floe printed and copy it without a change, umoci must unpack the tree that went in,
//! and podman must load it and show its name. What a tool refuses is asserted as a refusal: the README lists it, and
//! a tool that learns it shall fail here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use floe::oci::Digest;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::debian::DebianRegistry;
use crate::support::models::{self, Found, listing};
use crate::support::program::{Built, Floe, refused, run, skopeo, succeeded};
use crate::support::{bases, walk};

/// One build into every kind of destination.
struct Everywhere {
    folder: TempDir,
    registry: DebianRegistry,
    built: Built,
    /// What lies in the image below `/model/files`.
    wanted: BTreeMap<Vec<u8>, Found>,
}

/// A destination as other tools name it.
struct Place {
    /// For skopeo, with the bytes that floe wrote.
    reference: String,
    /// How podman takes it in, and the name that it then shows.
    podman: Vec<String>,
    shows: String,
}

impl Everywhere {
    fn new(compression: &str, model_of: fn(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("model");
        model_of(&model);
        let base = bases::plain(&folder.path().join("base"));
        let registry = DebianRegistry::start();
        let at = |kind: &str, name: &str| format!("{kind}:{}", folder.path().join(name).display());
        let floe = Floe::new(folder.path());
        let built = floe.build(
            &model,
            &[
                ["--name", "team/m", "--base", &base],
                ["--compression", compression, "-o", &format!("docker://{}/team/m", registry.host())],
                ["-o", &at("oci", "layout"), "-o", &at("oci-archive", "oci.tar")],
                ["-o", &at("docker-archive", "docker.tar"), "-o", "team/m"],
            ]
            .concat(),
        );
        let wanted = listing(&model);
        Self { folder, registry, built, wanted }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn at(&self, kind: &str, name: &str) -> String {
        format!("{kind}:{}", self.path(name).display())
    }

    fn places(&self) -> BTreeMap<&'static str, Place> {
        let version = self.built.version();
        let digest = self.built.digest();
        let host = self.registry.host();
        let load = |file: &str| vec!["load".into(), "-i".into(), self.path(file).display().to_string()];
        let pull = |reference: &str| vec!["pull".into(), "--tls-verify=false".into(), reference.into()];
        let layout = format!("{}:{version}", self.at("oci", "layout"));
        let store = format!("{}:team/m:{version}", self.at("oci", "home/store"));
        // Podman names what it pulls from a layout after the folder as it is given, which is here
        // relative to the working folder.
        let relative = |at: &str| at.replace(&format!("{}/", self.folder.path().display()), "");
        let folder = |name: &str| format!("localhost/{name}:latest");
        let named = format!("docker.io/team/m:{version}");
        [
            (
                "registry",
                Place {
                    reference: format!("docker://{host}/team/m@{digest}"),
                    podman: pull(&format!("docker://{host}/team/m:{version}")),
                    shows: format!("{host}/team/m:{version}"),
                },
            ),
            ("oci", Place { podman: pull(&relative(&layout)), reference: layout, shows: folder("layout") }),
            (
                "store",
                Place { podman: pull(&relative(&store)), reference: store, shows: folder("home/store") },
            ),
            (
                "oci-archive",
                Place {
                    reference: self.at("oci-archive", "oci.tar"),
                    podman: load("oci.tar"),
                    shows: named.clone(),
                },
            ),
            // The file is both kinds of archive; the manifest that floe made is in its OCI half.
            (
                "docker-archive",
                Place {
                    reference: self.at("oci-archive", "docker.tar"),
                    podman: load("docker.tar"),
                    shows: named,
                },
            ),
        ]
        .into()
    }

    /// What floe prints is what the other tools are given here.
    fn printed_as_expected(&self) {
        let places = self.places();
        let printed = self.built.references();
        assert_eq!(printed.len(), 5);
        for (printed, kind) in
            printed.iter().zip(["registry", "oci", "oci-archive", "docker-archive", "store"])
        {
            let wanted = match kind {
                "docker-archive" => self.at("docker-archive", "docker.tar"),
                _ => places[kind].reference.clone(),
            };
            // An archive is printed with the name of its entry, which follows from the digest.
            if kind.ends_with("archive") {
                assert!(printed.starts_with(&format!("{wanted}:")), "{printed}");
            } else {
                assert_eq!(*printed, wanted);
            }
        }
    }

    /// Skopeo reads the digest and sees the image.
    fn inspected(&self, place: &Place) {
        let at = &place.reference;
        let tls = if at.starts_with("docker:") { "--tls-verify=false" } else { "--no-tags=false" };
        let raw = skopeo(&["inspect", tls, "--raw", at]);
        assert_eq!(Digest::of(raw.as_bytes()).to_string(), self.built.digest(), "{at}");
        let seen: Value = serde_json::from_str(&skopeo(&["inspect", tls, at])).unwrap();
        assert_eq!(seen["Digest"], self.built.digest(), "{at}");
        assert_eq!(seen["Labels"]["MODEL_NAME"], "team/m", "{at}");
        let id = self.built.model_id().strip_prefix("sha256:").unwrap();
        assert_eq!(seen["Labels"]["MODEL_VERSION"], id[..16], "{at}");
        assert_eq!(seen["Labels"]["a"], "b", "the base's label");
        let layers: Vec<&str> =
            seen["Layers"].as_array().unwrap().iter().map(|l| l.as_str().unwrap()).collect();
        assert_eq!(layers[1..], self.built.layers("digest"), "{at}: the base has one layer");
    }

    /// Skopeo copies it as it is, and the copy is whole. Gives the layout that was written.
    fn copied(&self, kind: &str, place: &Place) -> PathBuf {
        let copy = self.path(&format!("copy-of-{kind}"));
        let to = format!("oci:{}:it", copy.display());
        skopeo(&["copy", "-q", "--preserve-digests", "--src-tls-verify=false", &place.reference, &to]);
        let found = walk::layout(&copy);
        assert_eq!(found.names, [("it".to_owned(), self.built.digest().to_owned())], "{kind}");
        copy
    }

    /// The tree in the image is the tree that went in.
    fn unpacked_is_the_model(&self, layout: &Path, name: &str) {
        let bundle = self.path(&format!("bundle-{}", layout.file_name().unwrap().to_string_lossy()));
        let image = format!("{}:{name}", layout.display());
        run("umoci", &["unpack", "--rootless", "--image", &image, bundle.to_str().unwrap()]);
        let root = bundle.join("rootfs");
        assert_eq!(listing(&root.join("model/files")), self.wanted, "{image}");
        let contract = listing(&root.join("model"));
        assert!(
            contract.contains_key(&b"contract.json"[..]) && contract.contains_key(&b"contract.protobin"[..])
        );
        assert_eq!(std::fs::read_to_string(root.join("etc/base")).unwrap(), "amd64");
        std::fs::remove_dir_all(&bundle).unwrap();
    }

    /// Umoci 0.4.7 knows gzip and no compression.
    fn umoci_refuses_zstd(&self, layout: &Path, name: &str) {
        let mut unpack = Command::new("umoci");
        unpack.args(["unpack", "--rootless", "--image"]).arg(format!("{}:{name}", layout.display()));
        let said = refused(unpack.arg(self.path("bundle")));
        assert!(said.contains("blob is not correct mediatype"), "{said}");
        std::fs::remove_dir_all(self.path("bundle")).unwrap();
    }

    /// Podman with a storage of its own, in the folder of this build.
    fn podman(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("podman");
        command.current_dir(self.folder.path());
        command.arg("--root").arg(self.path("podman-root")).arg("--runroot").arg(self.path("podman-state"));
        command.args(["--storage-driver", "vfs"]).args(arguments);
        command
    }

    /// Podman takes it in, in a storage of its own, and shows the name.
    fn loaded(&self, kind: &str, place: &Place) {
        let root = self.path("podman-root");
        let podman = |arguments: &[&str]| succeeded(&mut self.podman(arguments));
        podman(&place.podman.iter().map(String::as_str).collect::<Vec<_>>());
        let shown = podman(&["images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"]);
        // Docker's and podman's id of an image is the digest of its configuration.
        let layout = walk::layout(&self.path("layout"));
        let config = layout.documents.iter().find_map(|(_, d)| d["config"]["digest"].as_str()).unwrap();
        assert_eq!(shown.trim(), format!("{} {config}", place.shows), "{kind}");
        // Every layer was unpacked: the driver keeps a whole tree for each, and that of the last one,
        // which has the contract, has all files. Mounting it would take root.
        let trees = std::fs::read_dir(root.join("vfs/dir")).unwrap().map(|t| t.unwrap().path());
        let last: Vec<PathBuf> = trees.filter(|t| t.join("model/contract.json").exists()).collect();
        assert_eq!(last.len(), 1, "{kind}");
        assert_eq!(listing(&last[0].join("model/files")), self.wanted, "{kind}");
        podman(&["rmi", "-f", config]);
        std::fs::remove_dir_all(&root).unwrap();
    }

    /// The Docker half of an archive: other tools read it without the OCI half.
    fn docker_half(&self, file: &str) {
        let at = self.at("docker-archive", file);
        for at in [at.clone(), format!("{at}:docker.io/team/m:{}", self.built.version())] {
            let seen: Value = serde_json::from_str(&skopeo(&["inspect", &at])).unwrap();
            assert_eq!(seen["Labels"]["MODEL_NAME"], "team/m", "{at}");
            assert_eq!(seen["Layers"].as_array().unwrap().len(), 1 + self.built.layers("digest").len());
        }
        // There is no manifest in it to keep, but configuration and diff ids are the same bytes.
        let copy = self.path("docker-half");
        skopeo(&["copy", "-q", &at, &format!("dir:{}", copy.display())]);
        let manifest = walk::json(&copy.join("manifest.json"));
        let layout = walk::layout(&self.path("layout"));
        let config = layout.documents.iter().find_map(|(_, d)| d["config"]["digest"].as_str()).unwrap();
        assert_eq!(manifest["config"]["digest"], config);
        std::fs::remove_dir_all(&copy).unwrap();
    }
}

/// The order of the roles shows that every rule of the split was at work.
fn has_all_kinds_of_layers(built: &Built) {
    let layers = built.json["layers"].as_array().unwrap();
    let files: Vec<u64> = layers.iter().map(|l| l["files"].as_u64().unwrap()).collect();
    assert_eq!(files[..2], [1, 2], "a big file alone, two of middle size together");
    assert_eq!(files.len(), 4, "then the small ones and the contract");
    assert_eq!(layers[3]["role"], "contract");
}

fn everything_is_read(compression: &str, media_types: [&str; 4]) {
    let all = Everywhere::new(compression, models::layered);
    has_all_kinds_of_layers(&all.built);
    let types: Vec<String> =
        media_types.iter().map(|t| format!("application/vnd.oci.image.layer.v1.{t}")).collect();
    assert_eq!(all.built.layers("media_type"), types);
    all.printed_as_expected();
    for layout in ["layout", "home/store"] {
        walk::layout(&all.path(layout));
        assert_eq!(walk::temporary(&all.path(layout)), Vec::<PathBuf>::new());
    }
    for (kind, place) in all.places() {
        all.inspected(&place);
        all.copied(kind, &place);
    }
    // Umoci reads layouts only: floe's own, and a copy of what went to a registry.
    for (layout, name) in [("layout", all.built.version()), ("copy-of-registry", "it")] {
        if compression == "zstd" {
            all.umoci_refuses_zstd(&all.path(layout), name);
        } else {
            all.unpacked_is_the_model(&all.path(layout), name);
        }
    }
    // Podman without an overlay copies each layer: the model without its largest file will do.
    let light = Everywhere::new(compression, models::grouped);
    for (kind, place) in light.places() {
        light.loaded(kind, &place);
    }
    for file in ["oci.tar", "docker.tar"] {
        light.docker_half(file);
    }
}

#[test]
fn c33_peers_read_every_destination_uncompressed() {
    everything_is_read("none", ["tar"; 4]);
}

#[test]
fn c33_peers_read_every_destination_with_gzip() {
    everything_is_read("gzip", ["tar+gzip"; 4]);
}

#[test]
fn c33_peers_read_every_destination_with_zstd_but_umoci() {
    everything_is_read("zstd", ["tar+zstd"; 4]);
}

#[test]
fn c33_peers_read_every_destination_as_floe_chooses() {
    everything_is_read("auto", ["tar+gzip", "tar", "tar+gzip", "tar+gzip"]);
}

/// Podman 4.3 makes a name of the folder of a layout, and names have no capitals: the README says so.
#[test]
fn podman_refuses_a_layout_in_a_folder_with_capitals() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::example("onnx/on_dev_scaler/model.onnx");
    let at = format!("oci:{}", folder.path().join("Layout").display());
    let built = Floe::new(folder.path()).build(&model, &["--base", "scratch", "--name", "m", "-o", &at]);
    let mut podman = Command::new("podman");
    podman.current_dir(folder.path()).args([
        "--root",
        "root",
        "--runroot",
        "state",
        "--storage-driver",
        "vfs",
    ]);
    let said = refused(podman.args(["pull", &format!("oci:Layout:{}", built.version())]));
    assert!(said.contains("repository name must be lowercase"), "{said}");
}

/// A registry reference that floe prints is read by skopeo; one with a tag and a digest, which
/// skopeo 1.9 does not read, is read by floe, and the digest counts.
#[test]
fn c23_a_tag_beside_a_digest_is_read_and_the_digest_counts() {
    let folder = tempfile::tempdir().unwrap();
    let registry = DebianRegistry::start();
    let floe = Floe::new(folder.path());
    let to = format!("docker://{}/team/m", registry.host());
    let mut built = Vec::new();
    for name in ["one", "two"] {
        let model = folder.path().join(name);
        models::write(&model.join("weights.bin"), name.as_bytes());
        built.push(floe.build(&model, &["--name", "m", "--base", "scratch", "-o", &to, "--alias", "latest"]));
    }
    let (one, two) = (&built[0], &built[1]);
    assert_eq!(one.references(), [format!("{to}@{}", one.digest())]);
    assert!(two.version().starts_with("v2-"));
    let both = format!("{to}:latest@{}", one.digest());
    let said = refused(Command::new("skopeo").args(["inspect", "--tls-verify=false", &both]));
    assert!(said.contains("both a tag and digest"), "{said}");
    for read in [format!("{to}:latest"), format!("{to}:{}", two.version()), two.references()[0].to_owned()] {
        let seen: Value = serde_json::from_str(&skopeo(&["inspect", "--tls-verify=false", &read])).unwrap();
        assert_eq!(seen["Digest"], two.digest());
    }
    let shown = succeeded(floe.command().args(["inspect", "--json", &both]));
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["digest"], one.digest());
    // As a base as well.
    let on = floe.build(&folder.path().join("two"), &["--name", "n", "--base", &both]);
    assert_eq!(on.json["base"][0], one.digest());
}

/// What Kubernetes mounts as a volume, and KServe as a modelcar: files at a known place, in an image
/// that any engine unpacks, with nothing to run.
#[test]
fn c45_images_of_data_alone_have_the_files_where_they_are_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    models::small(&model);
    for (runtime, place) in [("modelcar", "models"), ("data", "model/files")] {
        let layout = folder.path().join(runtime);
        let to = format!("oci:{}", layout.display());
        let built = Floe::new(folder.path()).build(&model, &["--name", "m", "--runtime", runtime, "-o", &to]);
        let found = walk::layout(&layout);
        let config = &found.documents.iter().find(|(kind, _)| kind.ends_with("config.v1+json")).unwrap().1;
        for key in ["Entrypoint", "Cmd", "WorkingDir"] {
            assert!(config["config"][key].is_null(), "{config}");
        }
        let bundle = folder.path().join(format!("bundle-{runtime}"));
        let image = format!("{}:{}", layout.display(), built.version());
        run("umoci", &["unpack", "--rootless", "--image", &image, bundle.to_str().unwrap()]);
        assert_eq!(listing(&bundle.join("rootfs").join(place)), listing(&model), "{runtime}");
    }
}
