//! What a layout on disk promises beyond the suite: it survives kills, other tools and rot.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use floe::Kind;
use floe::blob::Blob;
use floe::event::Quiet;
use floe::store::layout::{Layout, Options};
use floe::store::{Claim, Outcome, Presence, Repository, Sink, Source};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::material::{Image, Liar, Made, document, image, image_for, index, nowhere, read};

fn create(dir: &Path) -> Layout {
    Layout::create(dir, None, Options::default()).unwrap()
}

/// A layout with one image under its version and an alias.
fn published() -> (TempDir, PathBuf, Image) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("layout");
    let image = image(&["a", "b"]);
    let layout = create(&path);
    image.store(&layout);
    layout.claim(&image.version(1), &image.manifest).unwrap();
    layout.point("latest", &image.manifest).unwrap();
    (dir, path, image)
}

fn index_of(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path.join("index.json")).unwrap()).unwrap()
}

fn blob_path(path: &Path, blob: &dyn Blob) -> PathBuf {
    path.join("blobs/sha256").join(blob.descriptor().digest.hex())
}

#[test]
fn c32_the_files_are_those_of_the_specification() {
    let (_dir, path, image) = published();
    assert_eq!(fs::read(path.join("oci-layout")).unwrap(), b"{\"imageLayoutVersion\":\"1.0.0\"}");
    let index = index_of(&path);
    assert_eq!(index["schemaVersion"], 2);
    let version = image.version(1);
    let entry = &index["manifests"][0];
    assert_eq!(entry["digest"], image.manifest.descriptor.digest.to_string());
    assert_eq!(entry["platform"], json!({"os": "linux", "architecture": "amd64"}));
    let notes = json!({"org.opencontainers.image.ref.name": version, "dev.floe.version": version});
    assert_eq!(entry["annotations"], notes);
    let alias = json!({"org.opencontainers.image.ref.name": "latest"});
    assert_eq!(index["manifests"][1]["annotations"], alias);
    assert_eq!(fs::read(blob_path(&path, &image.config)).unwrap(), image.config.as_slice());
    let left: Vec<_> = fs::read_dir(path.join("blobs/sha256")).unwrap().collect();
    assert_eq!(left.len(), 4, "no temporary file is left");
}

#[test]
fn c32_foreign_content_is_left_alone() {
    let (_dir, path, image) = published();
    let mut index = index_of(&path);
    let foreign =
        json!({"mediaType": "application/x", "digest": "sha512:ab", "size": 3, "own": {"k": [1, null]}});
    index["manifests"].as_array_mut().unwrap().insert(0, foreign.clone());
    index["x-tool"] = json!({"n": 1});
    fs::write(path.join("index.json"), serde_json::to_vec_pretty(&index).unwrap()).unwrap();
    fs::write(path.join("NOTES"), b"mine").unwrap();
    fs::create_dir_all(path.join("blobs/sha512")).unwrap();
    fs::write(path.join("blobs/sha512/ab"), b"abc").unwrap();

    let layout = Layout::open(&path, None, Options::default()).unwrap();
    layout.point("prod", &image.manifest).unwrap();
    layout.remove("latest").unwrap();
    let after = index_of(&path);
    assert_eq!((&after["manifests"][0], &after["x-tool"]), (&foreign, &json!({"n": 1})));
    assert_eq!(fs::read(path.join("NOTES")).unwrap(), b"mine");
    assert_eq!(fs::read(path.join("blobs/sha512/ab")).unwrap(), b"abc");
    let mut names = layout.names().unwrap();
    names.sort();
    assert_eq!(names, ["prod".to_owned(), image.version(1)]);
}

#[test]
fn an_unchanged_index_is_not_written_again() {
    let (_dir, path, image) = published();
    let before = fs::metadata(path.join("index.json")).unwrap().ino();
    let layout = create(&path);
    assert_eq!(layout.claim(&image.version(1), &image.manifest).unwrap(), Claim::Same);
    layout.point("latest", &image.manifest).unwrap();
    layout.remove("absent").unwrap();
    assert_eq!(fs::metadata(path.join("index.json")).unwrap().ino(), before);
}

#[test]
fn collections_of_one_store_do_not_see_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let open =
        |prefix: &str| Layout::create(dir.path(), Some(prefix.to_owned()), Options::default()).unwrap();
    let (a, ab) = (open("a:"), open("a/b:"));
    let doc = document(&a, "x");
    a.claim("latest", &doc).unwrap();
    assert!(ab.resolve("latest").unwrap().is_none());
    assert!(ab.names().unwrap().is_empty());
    assert_eq!(ab.claim("latest", &doc).unwrap(), Claim::Created);
    a.remove("latest").unwrap();
    assert_eq!(ab.names().unwrap(), ["latest"]);
    assert!(ab.only().unwrap().is_none(), "a collection is asked by name");
    let whole = create(dir.path());
    assert_eq!(whole.names().unwrap(), ["a/b:latest"]);
    assert_eq!(whole.only().unwrap().unwrap(), doc.descriptor);
    assert_eq!(whole.entries().unwrap()[0].name.as_deref(), Some("a/b:latest"));
    // A publisher of one collection does not wait for one of another.
    let _one = a.exclusive().unwrap().unwrap();
    let _other = ab.exclusive().unwrap().unwrap();
    a.point("latest", &doc).unwrap();
}

#[test]
fn a_publisher_waits_for_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (create(dir.path()), create(dir.path()));
    let guard = one.exclusive().unwrap().unwrap();
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::scope(|s| {
        s.spawn(|| {
            let _guard = two.exclusive().unwrap().unwrap();
            send.send(()).unwrap();
        });
        assert!(receive.recv_timeout(Duration::from_millis(100)).is_err(), "the lock did not hold");
        drop(guard);
        receive.recv_timeout(Duration::from_secs(20)).unwrap();
    });
}

#[test]
fn what_is_no_layout_is_refused_and_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let full = dir.path().join("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("thesis.tex"), b"x").unwrap();
    let e = Layout::create(&full, None, Options::default()).unwrap_err();
    assert_eq!(e.kind(), Kind::Usage);
    assert!(e.to_string().contains("thesis.tex"), "{e}");
    assert_eq!(fs::read_dir(&full).unwrap().count(), 1);

    let file = dir.path().join("file.tar");
    fs::write(&file, b"x").unwrap();
    let e = Layout::create(&file, None, Options::default()).unwrap_err();
    assert!(e.hint_text().unwrap().contains("oci-archive"), "{e}");

    let future = dir.path().join("future");
    fs::create_dir(&future).unwrap();
    fs::write(future.join("oci-layout"), b"{\"imageLayoutVersion\":\"2.0.0\"}").unwrap();
    assert!(Layout::open(&future, None, Options::default()).unwrap_err().to_string().contains("2.0.0"));

    for missing in ["nowhere", "empty"] {
        let path = dir.path().join(missing);
        if missing == "empty" {
            fs::create_dir(&path).unwrap();
        }
        let e = Layout::open(&path, None, Options::default()).unwrap_err();
        assert_eq!(e.kind(), Kind::Io, "{e}");
    }
}

#[test]
fn a_destination_is_made_by_the_first_write_and_not_before() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/b");
    let layout = create(&path);
    assert!(layout.names().unwrap().is_empty());
    assert!(layout.resolve("latest").unwrap().is_none());
    assert_eq!(layout.presence(&nowhere()).unwrap(), Presence::Absent);
    assert!(!path.exists(), "a dry run leaves no trace");
    document(&layout, "x");
    assert!(path.join("index.json").exists());
}

/// A run that is killed leaves any beginning of the list of steps; the next one goes on from there.
#[test]
fn what_a_killed_run_left_is_completed() {
    let steps: [&dyn Fn(&Path); 5] = [
        &|p| fs::write(p.join(".floe-tmp-mark"), b"{").unwrap(),
        &|p| fs::write(p.join("oci-layout"), b"{\"imageLayoutVersion\":\"1.0.0\"}").unwrap(),
        &|p| fs::create_dir_all(p.join("blobs/sha256")).unwrap(),
        &|p| fs::write(p.join(".floe-tmp-index"), b"{\"manifests\":[").unwrap(),
        &|p| fs::write(p.join("blobs/sha256/.floe-tmp-blob"), b"half").unwrap(),
    ];
    for done in 0..=steps.len() {
        let dir = tempfile::tempdir().unwrap();
        for step in &steps[..done] {
            step(dir.path());
        }
        let layout = create(dir.path());
        assert!(layout.names().unwrap().is_empty());
        let image = image(&["x"]);
        image.store(&layout);
        assert_eq!(layout.claim("a", &image.manifest).unwrap(), Claim::Created);
        image.is_in(&Layout::open(dir.path(), None, Options::default()).unwrap(), "a");
    }
}

#[test]
fn old_temporary_files_go_and_young_ones_stay() {
    let (_dir, path, _) = published();
    let blobs = path.join("blobs/sha256");
    let day = SystemTime::now() - Duration::from_secs(25 * 60 * 60);
    for folder in [&path, &blobs] {
        fs::File::create(folder.join(".floe-tmp-old")).unwrap().set_modified(day).unwrap();
        fs::write(folder.join(".floe-tmp-young"), b"at work").unwrap();
    }
    let layout = create(&path);
    assert!(blobs.join(".floe-tmp-old").exists(), "opening alone changes nothing");
    document(&layout, "new");
    for folder in [&path, &blobs] {
        assert!(!folder.join(".floe-tmp-old").exists());
        assert!(folder.join(".floe-tmp-young").exists());
    }
}

#[test]
fn rot_is_found_when_a_blob_is_read() {
    let (_dir, path, image) = published();
    let layer = &image.layers[0];
    let file = blob_path(&path, layer);
    let good = fs::read(&file).unwrap();
    let layout = Layout::open(&path, None, Options::default()).unwrap();
    let mut flipped = good.clone();
    flipped[700] ^= 1;
    let longer = [&good[..], b"x"].concat();
    for bad in [&flipped[..], &good[..good.len() - 1], b"", &longer] {
        fs::write(&file, bad).unwrap();
        let e = read(&layout, layer.descriptor()).unwrap_err();
        assert_eq!(e.kind(), Kind::Integrity, "{e}");
    }
    // A size that is wrong is seen at once, and mended by the next put.
    assert_eq!(layout.presence(layer.descriptor()).unwrap(), Presence::Absent);
    assert_eq!(layout.put(layer, &Quiet).unwrap(), Outcome::Written);
    assert_eq!(fs::read(&file).unwrap(), good);

    let manifest = path.join("blobs/sha256").join(image.manifest.descriptor.digest.hex());
    let mut bytes = fs::read(&manifest).unwrap();
    bytes[20] ^= 1;
    fs::write(&manifest, &bytes).unwrap();
    assert_eq!(layout.document(&image.manifest.descriptor).unwrap_err().kind(), Kind::Integrity);
}

#[test]
fn a_blob_that_is_no_file_does_not_block() {
    let (_dir, path, image) = published();
    let file = blob_path(&path, &image.layers[0]);
    fs::remove_file(&file).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&file).status().unwrap().success());
    let layout = Layout::open(&path, None, Options::default()).unwrap();
    assert!(read(&layout, image.layers[0].descriptor()).is_err());
    assert_eq!(layout.presence(image.layers[0].descriptor()).unwrap(), Presence::Absent);
}

#[test]
fn a_damaged_index_is_an_error_and_is_not_replaced() {
    let (_dir, path, image) = published();
    for bad in ["", "{", "[]", "{\"manifests\": 1}"] {
        fs::write(path.join("index.json"), bad).unwrap();
        let layout = Layout::open(&path, None, Options::default()).unwrap();
        assert_eq!(layout.names().unwrap_err().kind(), Kind::Integrity);
        assert_eq!(layout.point("a", &image.manifest).unwrap_err().kind(), Kind::Integrity);
        assert_eq!(fs::read_to_string(path.join("index.json")).unwrap(), bad);
    }
}

#[test]
fn the_only_image_needs_no_name() {
    let (_dir, path, first) = published();
    let layout = create(&path);
    assert_eq!(layout.only().unwrap().unwrap(), first.manifest.descriptor);
    assert_eq!(layout.resolve("@0").unwrap().unwrap(), first.manifest.descriptor);
    assert!(layout.resolve("@9").unwrap().is_none());
    let second = document(&layout, "second");
    layout.point("other", &second).unwrap();
    let e = layout.only().unwrap_err();
    assert!(e.hint_text().unwrap().contains("other"), "{e}");
}

#[test]
fn a_manifest_inside_an_index_is_found_by_its_digest() {
    let dir = tempfile::tempdir().unwrap();
    let layout = create(dir.path());
    let (amd, arm) = (image_for("amd64", &["x"]), image_for("arm64", &["x"]));
    amd.store(&layout);
    arm.store(&layout);
    let both = index(&[&amd, &arm]);
    layout.put_document(&both).unwrap();
    layout.claim("v1-0123456789abcdef", &both).unwrap();
    assert_eq!(layout.resolve("v1-0123456789abcdef").unwrap().unwrap(), both.descriptor);
    arm.is_in(&layout, &arm.manifest.descriptor.digest.to_string());
    // A layer has a digest too, but it is no document.
    assert!(layout.resolve(&arm.layers[0].descriptor().digest.to_string()).is_err());
}

#[test]
fn c39_modes_follow_the_umask_and_groups_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shared");
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o2775)).unwrap();
    // What this process makes on its own tells the umask.
    let probe = dir.path().join("probe");
    fs::write(&probe, b"").unwrap();
    let usual = fs::metadata(&probe).unwrap().mode() & 0o777;
    let image = image(&["x"]);
    let layout = create(&path);
    image.store(&layout);
    layout.point("a", &image.manifest).unwrap();
    for file in ["oci-layout".into(), "index.json".into(), blob_path(&path, &image.config)] {
        assert_eq!(fs::metadata(path.join(&file)).unwrap().mode() & 0o777, usual, "{file:?}");
    }
    for folder in ["blobs", "blobs/sha256"] {
        assert_eq!(fs::metadata(path.join(folder)).unwrap().mode() & 0o2000, 0o2000, "{folder}");
    }
}

#[test]
fn a_failed_write_leaves_no_file() {
    let (_dir, path, _) = published();
    let layout = create(&path);
    let files = || fs::read_dir(path.join("blobs/sha256")).unwrap().count();
    let before = files();
    layout.put(&Liar::new(b"promised", b"given"), &Quiet).unwrap_err();
    layout.ingest(&Made { breaks: true, ..Made::new(b"half") }, &Quiet).unwrap_err();
    assert_eq!(files(), before);
}

/// Where the child of the tests below writes: a folder, and what its names begin with.
const CHILD_DIR: &str = "FLOE_TEST_LAYOUT_DIR";
const CHILD_NAME: &str = "FLOE_TEST_LAYOUT_NAME";
/// How many images it writes.
const CHILD_IMAGES: usize = 25;

/// A test of its own, and what other processes do in the two tests that follow.
#[test]
fn a_writer_of_many_images_loses_none() {
    let own = tempfile::tempdir().unwrap();
    let dir = std::env::var_os(CHILD_DIR).map_or_else(|| own.path().join("l"), PathBuf::from);
    let prefix = std::env::var(CHILD_NAME).unwrap_or_else(|_| "own".to_owned());
    let layout = create(&dir);
    for i in 0..CHILD_IMAGES {
        let name = format!("{prefix}.{i}");
        let image = image(&[&name.repeat(5000)]);
        image.store(&layout);
        layout.point(&name, &image.manifest).unwrap();
    }
    let mine = layout.names().unwrap().into_iter().filter(|n| n.starts_with(&prefix)).count();
    assert_eq!(mine, CHILD_IMAGES);
}

fn child(dir: &Path, name: &str) -> std::process::Child {
    std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "stores::layout::a_writer_of_many_images_loses_none"])
        .env(CHILD_DIR, dir)
        .env(CHILD_NAME, name)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn processes_that_write_at_once_lose_no_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("layout");
    let mut children: Vec<_> = ["a", "b", "c"].map(|name| child(&path, name)).into();
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(create(&path).names().unwrap().len(), 3 * CHILD_IMAGES);
}

#[test]
fn a_killed_process_leaves_nothing_half_written_that_has_a_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("layout");
    let mut killed = 0;
    for round in 0..15_u64 {
        let mut writer = child(&path, &format!("r{round}"));
        std::thread::sleep(Duration::from_millis(3 + 7 * round));
        writer.kill().unwrap();
        killed += u32::from(!writer.wait().unwrap().success());
        let layout = create(&path);
        for name in layout.names().unwrap() {
            let found = layout.resolve(&name).unwrap().unwrap();
            let bytes = layout.document(&found).unwrap().bytes;
            let manifest = floe::oci::Manifest::parse(bytes, None).unwrap();
            for part in manifest.layers.iter().chain([&manifest.config]) {
                read(&layout, part).unwrap();
            }
        }
        let blobs = path.join("blobs/sha256");
        for file in fs::read_dir(&blobs).into_iter().flatten() {
            let file = file.unwrap();
            let name = file.file_name().into_string().unwrap();
            if !name.starts_with(".floe-tmp-") {
                assert_eq!(floe::oci::Digest::of(&fs::read(file.path()).unwrap()).hex(), name);
            }
        }
    }
    assert!(killed > 0, "every child was done before it was killed; nothing was tested");
}
