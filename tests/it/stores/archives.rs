//! What archives promise: dual, deterministic, whole or not there; and what is read from strangers.

use std::fs;
use std::path::{Path, PathBuf};

use floe::Kind;
use floe::blob::{Blob, Bytes};
use floe::event::Quiet;
use floe::oci::{Descriptor, Digest, Manifest, json as canon, media_type};
use floe::store::archive::{Archive, Naming};
use floe::store::docker_archive::{self, DockerArchive};
use floe::store::layout::Options;
use floe::store::oci_archive::{self, OciArchive};
use floe::store::{Document, Outcome, Presence, Sink, Source};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::material::{Image, Liar, Made, image, image_for, index, layer, noise, nowhere, read};

fn folder() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("m.tar");
    (dir, file)
}

fn oci(file: &Path, name: Option<&str>) -> Archive {
    oci_archive::create(file, name, "m", Options::default()).unwrap()
}

fn write(archive: &Archive, image: &Image) {
    image.store(archive);
    archive.commit(&image.manifest, &image.version(1)).unwrap();
}

fn entries(file: &Path) -> Vec<(String, Vec<u8>)> {
    let mut tar = tar::Archive::new(fs::File::open(file).unwrap());
    tar.entries()
        .unwrap()
        .map(|e| {
            let mut e = e.unwrap();
            let mut content = Vec::new();
            std::io::Read::read_to_end(&mut e, &mut content).unwrap();
            (String::from_utf8(e.path_bytes().to_vec()).unwrap(), content)
        })
        .collect()
}

fn find(file: &Path, name: &str) -> Value {
    let all = entries(file);
    serde_json::from_slice(&all.iter().find(|(n, _)| n == name).unwrap().1).unwrap()
}

#[test]
fn c33_an_archive_is_a_layout_and_a_docker_archive_at_once() {
    let (_dir, file) = folder();
    let image = image(&["a", "b"]);
    write(&oci(&file, None), &image);
    let version = image.version(1);
    let blob = |d: &Descriptor| format!("blobs/sha256/{}", d.digest.hex());
    let [first, second] = &image.layers[..] else { panic!() };
    let names: Vec<String> = entries(&file).into_iter().map(|(n, _)| n).collect();
    assert_eq!(
        names,
        [
            "oci-layout".to_owned(),
            "blobs/".to_owned(),
            "blobs/sha256/".to_owned(),
            blob(first.descriptor()),
            blob(second.descriptor()),
            blob(image.config.descriptor()),
            blob(&image.manifest.descriptor),
            "index.json".to_owned(),
            "manifest.json".to_owned(),
        ]
    );
    let index = find(&file, "index.json");
    assert_eq!(index["manifests"].as_array().unwrap().len(), 1);
    assert_eq!(
        index["manifests"][0]["annotations"],
        json!({
            "org.opencontainers.image.ref.name": version,
            "dev.floe.version": version,
            "io.containerd.image.name": format!("docker.io/library/m:{version}"),
        })
    );
    assert_eq!(index["manifests"][0]["platform"], json!({"os": "linux", "architecture": "amd64"}));
    assert_eq!(
        find(&file, "manifest.json"),
        json!([{
            "Config": blob(image.config.descriptor()),
            "Layers": [blob(first.descriptor()), blob(second.descriptor())],
            "RepoTags": [format!("docker.io/library/m:{version}")],
        }])
    );
    let from = OciArchive::open(&file).unwrap();
    image.is_in(&from, &version);
    image.is_in(&from, &image.manifest.descriptor.digest.to_string());
    image.is_in(&from, "@0");
    assert_eq!(from.only().unwrap().unwrap(), image.manifest.descriptor);
    assert_eq!(from.entries()[0].version.as_deref(), Some(version.as_str()));
    // Read as a Docker archive it keeps its manifest.
    let from = DockerArchive::open(&file).unwrap();
    for name in ["m", "@0", &version, &format!("m:{version}"), &image.manifest.descriptor.digest.to_string()]
    {
        image.is_in(&from, name);
    }
    assert_eq!(from.only().unwrap().unwrap(), image.manifest.descriptor);
}

#[test]
fn the_same_image_and_name_give_the_same_bytes() {
    let image = image(&["a", "b"]);
    let (_a, first) = folder();
    write(&oci(&first, Some("prod")), &image);
    let (_b, second) = folder();
    // Failed attempts, repetitions and another transport leave no trace.
    let archive = docker_archive::create(&second, Some("m:prod"), "other", Options { sync: true }).unwrap();
    archive.put(&Liar::new(&noise(1, 9000), &noise(2, 9000)), &Quiet).unwrap_err();
    archive.ingest(&Made::new(image.layers[0].as_slice()), &Quiet).unwrap();
    archive.ingest(&Made::new(image.layers[0].as_slice()), &Quiet).unwrap();
    archive.ingest(&Made { breaks: true, ..Made::new(&noise(3, 5000)) }, &Quiet).unwrap_err();
    assert_eq!(archive.put(&image.layers[0], &Quiet).unwrap(), Outcome::Present);
    write(&archive, &image);
    assert!(fs::read(&first).unwrap() == fs::read(&second).unwrap());
    // A changed header, order or list would show here, and change users' archives.
    let digest = Digest::of(&fs::read(&first).unwrap()).to_string();
    assert_eq!(digest, GOLDEN);
}

const GOLDEN: &str = "sha256:0d9f9adc58c419072fb54ccc03b730009524daa53f064f6e0c1ab2774936d144";

#[test]
fn an_alias_names_the_entry_and_the_version_stays() {
    let image = image(&["a"]);
    for (make, entry, shown) in [
        (Naming::oci(Some("prod"), "team/m"), "prod", "docker.io/team/m:prod"),
        (Naming::oci(Some("x.io/y/z:1"), "m"), "x.io/y/z:1", "x.io/y/z:1"),
        (Naming::docker(Some("x.io/y/z:1"), "m"), "1", "x.io/y/z:1"),
        (
            Naming::docker(None, "m"),
            &*image.version(1),
            &*format!("docker.io/library/m:{}", image.version(1)),
        ),
        (Naming::oci(Some("a+b"), "m"), "a+b", &*format!("docker.io/library/m:{}", image.version(1))),
    ] {
        let (_dir, file) = folder();
        let archive =
            Archive::create(&file, floe::store::archive::Flavor::Oci, make.unwrap(), Options::default())
                .unwrap();
        write(&archive, &image);
        let from = OciArchive::open(&file).unwrap();
        let [only] = &from.entries()[..] else { panic!() };
        assert_eq!((only.name.as_deref(), only.image.as_deref()), (Some(entry), Some(shown)));
        assert_eq!(only.version.as_deref(), Some(image.version(1).as_str()));
        for name in [entry, shown, &image.version(1)] {
            image.is_in(&from, name);
        }
        assert_eq!(DockerArchive::open(&file).unwrap().names(), [[shown]]);
    }
    for (name, model) in [(Some("-a"), "m"), (None, "LightGBM"), (None, "m:1"), (None, "")] {
        assert_eq!(Naming::oci(name, model).unwrap_err().kind(), Kind::Usage, "{name:?} {model}");
    }
}

#[test]
fn several_platforms_are_no_docker_archive() {
    let (amd, arm) = (image_for("amd64", &["x"]), image_for("arm64", &["x"]));
    let both = index(&[&amd, &arm]);
    let (_dir, file) = folder();
    let archive = oci(&file, None);
    amd.store(&archive);
    arm.store(&archive);
    archive.commit(&both, "v1-0123456789abcdef").unwrap();
    assert!(entries(&file).iter().all(|(n, _)| n != "manifest.json"));
    let from = OciArchive::open(&file).unwrap();
    assert_eq!(from.only().unwrap().unwrap(), both.descriptor);
    arm.is_in(&from, &arm.manifest.descriptor.digest.to_string());
    let e = DockerArchive::open(&file).unwrap_err();
    assert!(e.hint_text().unwrap().contains("oci-archive"), "{e}");

    let (dir, file) = folder();
    let archive = docker_archive::create(&file, None, "m", Options::default()).unwrap();
    amd.store(&archive);
    arm.store(&archive);
    let e = archive.commit(&both, "v1-0123456789abcdef").unwrap_err();
    assert_eq!(e.kind(), Kind::Usage);
    assert!(e.hint_text().unwrap().contains("oci-archive"), "{e}");
    drop(archive);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn until_the_end_there_is_no_file_and_the_old_one_stays() {
    let (dir, file) = folder();
    fs::write(&file, b"the old one").unwrap();
    let image = image(&["a"]);
    let archive = oci(&file, None);
    image.store(&archive);
    assert_eq!(fs::read(&file).unwrap(), b"the old one");
    drop(archive);
    assert_eq!(fs::read(&file).unwrap(), b"the old one");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "the temporary file is gone");

    let archive = oci(&file, None);
    write(&archive, &image);
    image.is_in(&OciArchive::open(&file).unwrap(), "@0");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    assert_eq!(archive.put(&image.layers[0], &Quiet).unwrap(), Outcome::Present);
    assert_eq!(archive.put(&Bytes::new("x", b"late".to_vec()), &Quiet).unwrap_err().kind(), Kind::Bug);
    assert_eq!(archive.commit(&image.manifest, "again").unwrap_err().kind(), Kind::Bug);
}

#[test]
fn an_archive_with_a_gap_is_not_written() {
    let image = image(&["a", "b"]);
    let (dir, file) = folder();
    let archive = oci(&file, None);
    archive.put(&image.layers[0], &Quiet).unwrap();
    archive.put(&image.config, &Quiet).unwrap();
    let e = archive.commit(&image.manifest, &image.version(1)).unwrap_err();
    assert_eq!(e.kind(), Kind::Integrity);
    assert!(e.to_string().contains(&image.layers[1].descriptor().digest.to_string()), "{e}");
    // What was missing can still come.
    write(&archive, &image);
    image.is_in(&OciArchive::open(&file).unwrap(), "@0");
    drop(archive);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn blobs_arrive_in_any_way_and_failures_do_not_shift_them() {
    let (_dir, file) = folder();
    let archive = oci(&file, None);
    assert!(archive.ordered());
    let content = noise(1, (2 << 20) + 5);
    let unknown = Made { size_known: false, ..Made::new(&content) };
    archive.put(&Liar { breaks: true, ..Liar::new(&content, &content[..1 << 20]) }, &Quiet).unwrap_err();
    let packed = archive.ingest(&unknown, &Quiet).unwrap();
    assert_eq!(archive.presence(&packed.descriptor).unwrap(), Presence::Present);
    assert_eq!(archive.presence(&nowhere()).unwrap(), Presence::Absent);
    archive.put(&Liar::new(b"abc", b"abd"), &Quiet).unwrap_err();
    archive.put(&Bytes::new(media_type::LAYER, Vec::new()), &Quiet).unwrap();
    let image = image(&["a"]);
    write(&archive, &image);
    let from = OciArchive::open(&file).unwrap();
    assert!(read(&from, &packed.descriptor).unwrap() == content);
    assert_eq!(read(&from, &Descriptor::of(media_type::LAYER, b"")).unwrap(), b"");
    image.is_in(&from, "@0");
}

#[test]
fn a_target_that_is_no_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let e = oci_archive::create(dir.path(), None, "m", Options::default()).unwrap_err();
    assert_eq!(e.kind(), Kind::Usage);
    let inside = dir.path().join("new/folder/m.tar");
    write(&oci(&inside, None), &image(&["a"]));
    assert!(inside.is_file());
}

#[test]
fn an_archive_cut_anywhere_is_refused() {
    let (_dir, file) = folder();
    let image = image(&["a", "b"]);
    write(&oci(&file, None), &image);
    let whole = fs::read(&file).unwrap();
    let cuts = (0..whole.len()).step_by(97).chain([1, 511, 512, 513, whole.len() - 1024, whole.len() - 1025]);
    for at in cuts.filter(|at| *at < whole.len() - 512) {
        fs::write(&file, &whole[..at]).unwrap();
        for e in [OciArchive::open(&file).unwrap_err(), DockerArchive::open(&file).unwrap_err()] {
            assert_eq!(e.kind(), Kind::Integrity, "cut at {at}: {e}");
        }
    }
}

#[test]
fn damage_never_gives_another_image() {
    let (_dir, file) = folder();
    let image = image(&["a"]);
    write(&oci(&file, None), &image);
    let whole = fs::read(&file).unwrap();
    let check = || -> floe::Result<()> {
        let from = OciArchive::open(&file)?;
        let found = from.only()?.unwrap();
        let manifest = Manifest::parse(from.document(&found)?.bytes, None)?;
        for part in manifest.layers.iter().chain([&manifest.config]) {
            read(&from, part)?;
        }
        assert_eq!(manifest.descriptor.digest, image.manifest.descriptor.digest, "another image came out");
        Ok(())
    };
    check().unwrap();
    for at in (0..whole.len()).step_by(61) {
        let mut bad = whole.clone();
        bad[at] ^= 0x10;
        fs::write(&file, &bad).unwrap();
        // Padding and lists may be damaged without harm to the image; nothing may be read wrongly.
        let _ = check();
    }
    let blob = whole.windows(12).position(|w| w == b"MODEL_NAME\":").unwrap();
    let mut bad = whole.clone();
    bad[blob] ^= 1;
    fs::write(&file, &bad).unwrap();
    assert_eq!(check().unwrap_err().kind(), Kind::Integrity);
}

/// A tar with these files; a name with ` -> ` in it is a symbolic link.
fn tar_of(file: &Path, files: &[(&str, &[u8])]) {
    let mut tar = tar::Builder::new(fs::File::create(file).unwrap());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        if let Some((name, target)) = name.split_once(" -> ") {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            tar.append_link(&mut header, name, target).unwrap();
        } else {
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, name, *content).unwrap();
        }
    }
    tar.finish().unwrap();
}

/// What an old `docker save a:1 b` wrote: two images over one layer, linked the second time.
fn old_docker_save(file: &Path) -> [Vec<u8>; 3] {
    let (one, two) = (layer("one", b"1"), layer("two", b"2"));
    let config = |layers: &[&Vec<u8>]| {
        let ids: Vec<String> = layers.iter().map(|l| Digest::of(l).to_string()).collect();
        canon::canonical(
            &json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": ids}}),
        )
    };
    let (first, second) = (config(&[&one, &two]), config(&[&one]));
    let manifest = json!([
        {"Config": "aa.json", "RepoTags": ["a:1", "docker.io/library/a:2"], "Layers": ["x/layer.tar", "./y/layer.tar"]},
        {"Config": "bb.json", "RepoTags": null, "Layers": ["z/layer.tar"]},
    ]);
    tar_of(
        file,
        &[
            ("x/VERSION", b"1.0"),
            ("x/layer.tar", &one),
            ("y/layer.tar", &two),
            ("z/layer.tar -> ../x/layer.tar", b""),
            ("aa.json", &first),
            ("bb.json", &second),
            ("manifest.json", &canon::canonical(&manifest)),
            ("repositories", b"{}"),
        ],
    );
    [one, two, first]
}

#[test]
fn a_foreign_docker_archive_becomes_an_image_always_the_same() {
    let (_dir, file) = folder();
    let [one, two, config] = old_docker_save(&file);
    let from = DockerArchive::open(&file).unwrap();
    let found = from.resolve("a:1").unwrap().unwrap();
    for name in ["docker.io/library/a:1", "a:2", "library/a", "@0"] {
        assert_eq!(from.resolve(name).unwrap().as_ref(), Some(&found), "{name}");
    }
    let manifest = Manifest::parse(from.document(&found).unwrap().bytes, None).unwrap();
    assert_eq!(manifest.descriptor, found);
    assert_eq!(manifest.config, Descriptor::of(media_type::CONFIG, &config));
    let [first, second] = &manifest.layers[..] else { panic!() };
    assert_eq!(*first, Descriptor::of(media_type::LAYER, &one));
    assert_eq!((read(&from, first).unwrap(), read(&from, second).unwrap()), (one, two));
    assert_eq!(read(&from, &manifest.config).unwrap(), config);

    let linked = from.resolve("@1").unwrap().unwrap();
    let linked = Manifest::parse(from.document(&linked).unwrap().bytes, None).unwrap();
    assert_eq!(linked.layers, std::slice::from_ref(first));
    for absent in ["b", "a:3", "@2", "@x", &nowhere().digest.to_string()] {
        assert!(from.resolve(absent).unwrap().is_none(), "{absent}");
    }
    let e = from.only().unwrap_err();
    assert!(e.hint_text().unwrap().contains("a:1"), "{e}");
    assert_eq!(from.names()[0], ["a:1", "docker.io/library/a:2"]);

    // A handle that was never asked for a name finds what another told it.
    let fresh = DockerArchive::open(&file).unwrap();
    assert_eq!(fresh.document(&found).unwrap().bytes, manifest.bytes);
    assert!(DockerArchive::open(&file).unwrap().resolve(&found.digest.to_string()).unwrap().is_some());
    // Promised for ever: who mirrors an archive finds the same digest next year.
    assert_eq!(found.digest.to_string(), GOLDEN_FOREIGN);
}

const GOLDEN_FOREIGN: &str = "sha256:cc257a067f39e61a8389abccec0f7d50667d7ce10ed3ed23b0fa075562e22776";

#[test]
fn compressed_layers_are_recognised_by_their_first_bytes() {
    let config = |n: usize| {
        let ids: Vec<String> = (0..n).map(|i| Digest::of(&[i as u8]).to_string()).collect();
        canon::canonical(&json!({"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": ids}}))
    };
    let (_dir, file) = folder();
    let manifest = canon::canonical(&json!([{"Config": "c", "RepoTags": ["a:1"], "Layers": ["g", "z"]}]));
    let (gzip, zstd) = (&b"\x1f\x8b\x08rest"[..], &b"\x28\xb5\x2f\xfdrest"[..]);
    tar_of(&file, &[("manifest.json", &manifest), ("c", &config(2)), ("g", gzip), ("z", zstd)]);
    let from = DockerArchive::open(&file).unwrap();
    let found = from.only().unwrap().unwrap();
    let found = Manifest::parse(from.document(&found).unwrap().bytes, None).unwrap();
    let kinds: Vec<&str> = found.layers.iter().map(|l| l.media_type.as_str()).collect();
    assert_eq!(kinds, [media_type::LAYER_GZIP, media_type::LAYER_ZSTD]);

    tar_of(&file, &[("manifest.json", &manifest), ("c", &config(2)), ("g", b"BZh91AY"), ("z", zstd)]);
    assert!(DockerArchive::open(&file).unwrap().only().unwrap_err().hint_text().is_some());
    // An uncompressed layer must be the one that the configuration tells of.
    tar_of(&file, &[("manifest.json", &manifest), ("c", &config(2)), ("g", b"\0"), ("z", b"swapped")]);
    let e = DockerArchive::open(&file).unwrap().only().unwrap_err();
    assert!(e.to_string().contains("diff id"), "{e}");
    tar_of(&file, &[("manifest.json", &manifest), ("c", &config(3)), ("g", gzip), ("z", zstd)]);
    assert!(DockerArchive::open(&file).unwrap().only().unwrap_err().to_string().contains("3 layers"));
}

#[test]
fn hostile_docker_archives_are_errors() {
    let (_dir, file) = folder();
    for list in [
        "",
        "{}",
        "[]",
        "[1]",
        "[{}]",
        "[{\"Config\":1}]",
        "[{\"Config\":\"c\",\"Layers\":1}]",
        "[{\"Config\":\"c\",\"Layers\":[1]}]",
        "[{\"Config\":\"c\",\"RepoTags\":{}}]",
    ] {
        tar_of(&file, &[("manifest.json", list.as_bytes()), ("c", b"{}")]);
        assert_eq!(DockerArchive::open(&file).unwrap_err().kind(), Kind::Integrity, "{list}");
    }
    let good = canon::canonical(&json!({"rootfs": {"diff_ids": [Digest::of(b"l").to_string()]}}));
    for (list, config) in [
        (json!([{"Config": "../c", "Layers": []}]), &good[..]),
        (json!([{"Config": "/etc/passwd", "Layers": []}]), &good),
        (json!([{"Config": "c", "Layers": ["absent"]}]), &good),
        (json!([{"Config": "c", "Layers": ["folder"]}]), &good),
        (json!([{"Config": "c", "Layers": []}]), &good),
        (json!([{"Config": "c", "Layers": ["l"]}]), b"{}"),
        (json!([{"Config": "c", "Layers": ["l"]}]), b"not json"),
    ] {
        let list = canon::canonical(&list);
        tar_of(
            &file,
            &[("manifest.json", &list), ("c", config), ("l", b"l"), ("folder -> l2", b""), ("l2 -> l2", b"")],
        );
        let e = DockerArchive::open(&file).unwrap().only().unwrap_err();
        assert_eq!(e.kind(), Kind::Integrity, "{e}");
    }
    tar_of(&file, &[("repositories", b"{}")]);
    assert!(DockerArchive::open(&file).unwrap_err().hint_text().unwrap().contains("1.10"));
    tar_of(&file, &[("etc/passwd", b"x")]);
    for e in [DockerArchive::open(&file).unwrap_err(), OciArchive::open(&file).unwrap_err()] {
        assert!(e.hint_text().unwrap().contains("rootfs:"), "{e}");
    }
    old_docker_save(&file);
    assert!(OciArchive::open(&file).unwrap_err().hint_text().unwrap().contains("docker-archive"));
}

/// Docker 25 and later: a layout and a list. The image keeps the manifest of the layout.
#[test]
fn an_image_with_a_manifest_keeps_it() {
    let image = image(&["a"]);
    let blob = |d: &Descriptor| format!("blobs/sha256/{}", d.digest.hex());
    // Spaces, as Docker writes them, would not survive a manifest made anew.
    let value: Value = serde_json::from_slice(&image.manifest.bytes).unwrap();
    let manifest = Document::new(media_type::MANIFEST, serde_json::to_vec_pretty(&value).unwrap());
    let inner = json!({"schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": [
        nowhere().to_value(), manifest.descriptor.to_value(),
    ]});
    let inner = Document::new(media_type::INDEX, canon::canonical(&inner));
    let top = canon::canonical(&json!({"schemaVersion": 2, "manifests": [inner.descriptor.to_value()]}));
    let list = json!([{
        "Config": blob(image.config.descriptor()), "RepoTags": ["a:1"], "Layers": [blob(image.layers[0].descriptor())],
    }]);
    let (_dir, file) = folder();
    tar_of(
        &file,
        &[
            (&blob(image.config.descriptor()), image.config.as_slice()),
            (&blob(image.layers[0].descriptor()), image.layers[0].as_slice()),
            (&blob(&manifest.descriptor), &manifest.bytes),
            (&blob(&inner.descriptor), &inner.bytes),
            ("index.json", &top),
            ("manifest.json", &canon::canonical(&list)),
        ],
    );
    let from = DockerArchive::open(&file).unwrap();
    let found = from.resolve("a:1").unwrap().unwrap();
    assert_eq!(found, manifest.descriptor);
    assert_eq!(from.document(&found).unwrap(), manifest);
    let from = OciArchive::open(&file).unwrap();
    assert_eq!(from.only().unwrap().unwrap(), inner.descriptor);
}
