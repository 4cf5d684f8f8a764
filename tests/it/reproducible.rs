//! The same model gives the same digest: whoever built it, where, when, and how its files came to
//! lie on the disk. What may change the digest changes what it should and nothing else.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::debian::DebianRegistry;
use crate::support::models::{self, below, mode, noise, write};
use crate::support::program::{Built, Floe, output, run, skopeo, succeeded};
use crate::support::{bases, walk};

/// Everything is read and hashed, and nothing is stored.
const HASHED: &[&str] = &["--name", "m", "--base", "scratch", "--dry-run=full"];

fn hashed(model: &Path, arguments: &[&str]) -> String {
    let home = tempfile::tempdir().unwrap();
    Floe::new(home.path()).build(model, &[HASHED, arguments].concat()).digest().to_owned()
}

/// One file of a model that is made up: which folder, which name, what, and whether it is a program.
type Made = BTreeMap<Vec<u8>, (Vec<u8>, bool)>;

fn made() -> impl Strategy<Value = Made> {
    let folder = prop::sample::select(vec![
        &b""[..],
        b"a-folder/",
        b"a-folder/b-folder/",
        b"a.folder/",
        b"a-folder-and-more/",
        "größer/".as_bytes(),
    ]);
    let name = prop_oneof![
        "[a-z]{1,3}".prop_map(String::into_bytes),
        "[A-Za-z0-9 _+=,@~-]{1,12}".prop_map(String::into_bytes),
        "[a-z]{90,120}".prop_map(String::into_bytes),
        "[äßж模 ]{1,6}".prop_map(String::into_bytes),
        prop::collection::vec(0x80_u8..=0xff, 1..6),
    ];
    // The prefix keeps files apart from folders, and from names that are left out.
    let path = (folder, name).prop_map(|(folder, name)| [folder, b"f", &name].concat());
    let content = (any::<u64>(), 0_usize..3000).prop_map(|(seed, length)| noise(seed, length));
    prop::collection::btree_map(path, (content, any::<bool>()), 1..10)
}

/// Another way in which the same files may come to lie on a disk.
#[derive(Clone, Debug)]
struct Way {
    backwards: bool,
    minutes_ago: u64,
    /// Bits for group and others; the owner's bits say what counts.
    others: u32,
    jobs: u8,
    relative: bool,
    umask: &'static str,
}

fn way() -> impl Strategy<Value = Way> {
    let others = prop::sample::select(vec![0o00, 0o04, 0o44, 0o64, 0o66]);
    let umask = prop::sample::select(vec!["000", "022", "077"]);
    (any::<bool>(), 0_u64..1_000_000, others, 1_u8..5, any::<bool>(), umask).prop_map(
        |(backwards, minutes_ago, others, jobs, relative, umask)| Way {
            backwards,
            minutes_ago,
            others,
            jobs,
            relative,
            umask,
        },
    )
}

fn lay_out(folder: &Path, files: &Made, way: &Way) {
    fs::create_dir_all(folder).unwrap();
    let mut order: Vec<_> = files.iter().collect();
    if way.backwards {
        order.reverse();
    }
    let then = SystemTime::now() - Duration::from_secs(way.minutes_ago * 60);
    for (name, (content, program)) in order {
        let path = below(folder, name);
        write(&path, content);
        mode(
            &path,
            if *program { 0o700 | way.others | (way.others & 0o44) >> 2 } else { 0o600 | way.others },
        );
        fs::File::options().write(true).open(&path).unwrap().set_modified(then).unwrap();
    }
}

/// Builds from elsewhere, under another umask, with another number of threads.
fn built(folder: &Path, way: &Way) -> String {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    command.env_clear().env("HOME", home.path()).env("FLOE_STORE", home.path().join("store"));
    let (at, argument) = match way.relative {
        true => (folder.parent().unwrap(), folder.file_name().unwrap().into()),
        false => (Path::new("/"), folder.as_os_str().to_owned()),
    };
    command.current_dir(at).args(["-c", "umask $0; exec \"$@\"", way.umask, env!("CARGO_BIN_EXE_floe")]);
    command.arg("build").arg(argument).args(HASHED).args(["--json", "--jobs", &way.jobs.to_string()]);
    Built::of(&output(&mut command)).digest().to_owned()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_same_files_give_the_same_digest(files in made(), one in way(), two in way()) {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("another place").join("b"));
        lay_out(&a, &files, &one);
        lay_out(&b, &files, &two);
        prop_assert_eq!(built(&a, &one), built(&b, &two));
    }

    #[test]
    fn other_files_give_another_digest(files in made(), one in way(), at in any::<prop::sample::Index>(), kind in 0..4) {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        let mut other = files.clone();
        let name = files.keys().nth(at.index(files.len())).unwrap().clone();
        let entry = other.get_mut(&name).unwrap();
        match kind {
            0 => entry.1 = !entry.1,
            1 => entry.0.push(0),
            2 if !entry.0.is_empty() => entry.0[0] ^= 1,
            _ => {
                let entry = other.remove(&name).unwrap();
                other.insert([&name[..], b"-"].concat(), entry);
            }
        }
        lay_out(&a, &files, &one);
        lay_out(&b, &other, &one);
        prop_assert_ne!(built(&a, &one), built(&b, &one));
    }
}

#[test]
fn hard_links_are_files_and_holes_are_zeros() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for model in ["copies", "links"] {
        write(&at(model).join("a.bin"), &noise(1, 100_000));
        fs::File::create(at(model).join("zeros.bin")).unwrap().set_len(3 << 20).unwrap();
    }
    fs::copy(at("copies/a.bin"), at("copies/b.bin")).unwrap();
    fs::hard_link(at("links/a.bin"), at("links/b.bin")).unwrap();
    // Holes in one, written zeros in the other.
    fs::write(at("copies/zeros.bin"), vec![0; 3 << 20]).unwrap();
    assert!(
        fs::metadata(at("links/zeros.bin")).unwrap().blocks()
            < fs::metadata(at("copies/zeros.bin")).unwrap().blocks()
    );
    assert_eq!(hashed(&at("copies"), &[]), hashed(&at("links"), &[]));
}

#[test]
fn the_owner_on_disk_does_not_show() {
    let folder = tempfile::tempdir().unwrap();
    models::small(folder.path());
    let before = hashed(folder.path(), &[]);
    // Only root can give files away; who cannot has shown it with any other user's run.
    if std::os::unix::fs::chown(folder.path().join("model.onnx"), Some(12345), Some(54321)).is_ok() {
        symlink_owner(&folder.path().join("latest.onnx"));
        assert_eq!(fs::metadata(folder.path().join("model.onnx")).unwrap().uid(), 12345);
    }
    let setgid = folder.path().join("code");
    mode(&setgid, 0o2770);
    assert_eq!(hashed(folder.path(), &[]), before);
    assert_ne!(hashed(folder.path(), &["--owner", "1000:1000"]), before, "the owner in the image does");
}

fn symlink_owner(link: &Path) {
    std::os::unix::fs::lchown(link, Some(12345), Some(54321)).unwrap();
}

#[test]
fn the_number_of_threads_does_not_show() {
    let folder = tempfile::tempdir().unwrap();
    models::layered(folder.path());
    for compression in ["gzip", "zstd"] {
        let digests: Vec<String> = ["1", "2", "3", "4"]
            .iter()
            .map(|jobs| hashed(folder.path(), &["--compression", compression, "--jobs", jobs]))
            .collect();
        assert!(digests.iter().all(|d| *d == digests[0]), "{compression}: {digests:?}");
    }
}

/// However the bytes travel: hashed beforehand, stored while they are hashed, in order or not.
#[test]
fn the_destination_does_not_show() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    models::grouped(&model);
    let floe = Floe::new(folder.path());
    let hashed = hashed(&model, &[]);
    let at = |kind: &str, name: &str| format!("{kind}:{}", folder.path().join(name).display());
    for to in ["m".to_owned(), at("oci", "l"), at("oci-archive", "o.tar"), at("docker-archive", "d.tar")] {
        let arguments = ["--name", "m", "--base", "scratch", "-o", &to];
        assert_eq!(floe.build(&model, &arguments).digest(), hashed, "{to}");
        let again = floe.build(&model, &arguments);
        assert_eq!(again.digest(), hashed, "{to}, again");
        assert_eq!(again.version(), format!("v1-{}", &hashed["sha256:".len()..][..16]));
    }
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut git = Command::new("git");
    git.current_dir(folder).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
    git.args([
        "-c",
        "user.name=tests",
        "-c",
        "user.email=tests@example.org",
        "-c",
        "init.defaultBranch=main",
    ]);
    succeeded(git.args(arguments))
}

#[test]
fn two_commits_with_the_same_files_are_one_version() {
    let folder = tempfile::tempdir().unwrap();
    let origin = folder.path().join("origin");
    models::small(&origin.join("models/m"));
    git(folder.path(), &["init", "-q", "origin"]);
    git(&origin, &["add", "-A"]);
    git(&origin, &["commit", "-q", "-m", "one"]);
    write(&origin.join("unrelated.txt"), b"beside the model");
    git(&origin, &["add", "-A"]);
    git(&origin, &["commit", "-q", "-m", "two"]);
    let floe = Floe::new(folder.path());
    let mut published = Vec::new();
    for (clone, commit) in [("first", "HEAD~1"), ("second", "HEAD")] {
        git(folder.path(), &["clone", "-q", "origin", clone]);
        let clone = folder.path().join(clone);
        git(&clone, &["checkout", "-q", "--detach", commit]);
        published.push(floe.build(&clone.join("models/m"), &["--base", "scratch", "--name", "team/m"]));
        // And from the root of the checkout, where there is a `.git` beside the model.
        published
            .push(floe.build(&clone, &["--base", "scratch", "--name", "team/m", "--payload", "models/m"]));
    }
    assert_eq!(published[0].digest(), published[2].digest());
    assert_eq!(published[1].digest(), published[3].digest());
    let existed: Vec<&Value> = published.iter().map(|b| &b.json["published"][0]["existed"]).collect();
    assert_eq!(existed, [false, false, true, true]);
    assert_eq!(published[2].version(), published[0].version());
    assert_eq!(published[3].json["number"], published[1].json["number"]);
}

#[test]
fn two_local_mirrors_of_the_base_are_one_version() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::example("onnx/on_dev_scaler/model.onnx");
    let one = bases::plain(&folder.path().join("base"));
    let other = format!("oci:{}:another-name", folder.path().join("deep/er").display());
    let archive = format!("oci-archive:{}:third", folder.path().join("base.tar").display());
    fs::create_dir_all(folder.path().join("deep")).unwrap();
    for copy in [&other, &archive] {
        skopeo(&["copy", "-q", "--preserve-digests", &one, copy]);
    }
    let floe = Floe::new(folder.path());
    let build = |base: &str| floe.build(&model, &["--name", "m", "--base", base]);
    let (one, other, archive) = (build(&one), build(&other), build(&archive));
    assert_eq!(one.digest(), other.digest());
    assert_eq!(one.digest(), archive.digest());
    assert_eq!(archive.version(), one.version());
    assert_eq!(archive.json["published"][0]["existed"], true);
}

/// Where a base was fetched from is not part of the image; what it is called is, when it is declared.
#[test]
fn two_registries_with_the_base_are_one_version() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::example("onnx/on_dev_scaler/model.onnx");
    let base = bases::plain(&folder.path().join("base"));
    let floe = Floe::new(folder.path());
    let mut found = Vec::new();
    for registry in [DebianRegistry::start(), DebianRegistry::start()] {
        let name = format!("{}/base:1", registry.host());
        let copy = ["copy", "-q", "--preserve-digests", "--dest-tls-verify=false", &base];
        skopeo(&[&copy[..], &[&format!("docker://{name}")]].concat());
        let build = |base: &str, more: &[&str]| {
            floe.build(&model, &[&["--name", "m", "--base", base][..], more].concat())
        };
        let built = build(&name, &[]);
        let digest = built.json["base"][0].as_str().unwrap();
        assert_eq!(build(&format!("{name}@{digest}"), &[]).digest(), built.digest());
        let named = build(&name, &["--base-name", "debian:12"]);
        let manifest = walk::json(&walk::blob(&floe.store(), named.digest()));
        let name = &manifest["annotations"]["org.opencontainers.image.base.name"];
        assert_eq!(name, "docker.io/library/debian:12");
        found.push((built.digest().to_owned(), built.version().to_owned(), named.digest().to_owned()));
    }
    assert_eq!(found[0], found[1]);
}

#[test]
fn c31_the_date_changes_the_dates_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::example("onnx/on_dev_scaler/model.onnx");
    let base = bases::plain(&folder.path().join("base"));
    let floe = Floe::new(folder.path());
    let build = |epoch: Option<&str>| {
        let mut command = floe.command();
        if let Some(epoch) = epoch {
            command.env("SOURCE_DATE_EPOCH", epoch);
        }
        command.arg("build").arg(&model).args(["--name", "m", "--base", &base, "--json"]);
        Built::of(&output(&mut command))
    };
    let (without, empty, with) = (build(None), build(Some("")), build(Some("1700000000")));
    assert_eq!(without.digest(), empty.digest());
    assert_ne!(without.digest(), with.digest());
    assert_eq!(without.model_id(), with.model_id());
    assert_eq!(without.layers("digest"), with.layers("digest"));
    let documents = |b: &Built| {
        let manifest = walk::json(&walk::blob(&floe.store(), b.digest()));
        let config = walk::json(&walk::blob(&floe.store(), manifest["config"]["digest"].as_str().unwrap()));
        (manifest, config)
    };
    let ((mut manifest, mut config), (manifest_then, config_then)) = (documents(&without), documents(&with));
    manifest["config"] = manifest_then["config"].clone();
    assert_eq!(manifest, manifest_then, "only the configuration is another one");
    assert_eq!(config["created"], "1970-01-01T00:00:01Z");
    config["created"] = json!("2023-11-14T22:13:20Z");
    // The base has two entries of its own, whose dates are kept.
    for entry in &mut config["history"].as_array_mut().unwrap()[2..] {
        assert_eq!(entry["created"], "1970-01-01T00:00:01Z");
        entry["created"] = json!("2023-11-14T22:13:20Z");
    }
    assert_eq!(config, config_then);

    for wrong in ["yesterday", "-1", "1.5", "999999999999"] {
        let mut command = floe.command();
        let out = output(command.env("SOURCE_DATE_EPOCH", wrong).arg("build").arg(&model).args(HASHED));
        assert_eq!(out.status.code(), Some(2), "{wrong}");
    }
}

/// `rootfs:` keeps modes and owners; times that are newer than the date become the date.
#[test]
fn a_folder_as_base_does_not_depend_on_when_it_was_made() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::example("onnx/on_dev_scaler/model.onnx");
    let mut digests = Vec::new();
    for (name, hours) in [("a", 1), ("b", 1000)] {
        let root = folder.path().join(name);
        write(&root.join("bin/serve"), b"#!/bin/sh\n");
        mode(&root.join("bin/serve"), 0o755);
        symlink("serve", root.join("bin/other")).unwrap();
        let then = SystemTime::now() - Duration::from_secs(hours * 3600);
        fs::File::open(root.join("bin/serve")).unwrap().set_modified(then).unwrap();
        for dir in [root.clone(), root.join("bin")] {
            mode(&dir, 0o755);
        }
        digests.push(hashed_over(&model, &format!("rootfs:{}", root.display())));
    }
    assert_eq!(digests[0], digests[1]);
}

fn hashed_over(model: &Path, base: &str) -> String {
    let home = tempfile::tempdir().unwrap();
    Floe::new(home.path())
        .build(model, &["--name", "m", "--base", base, "--dry-run=full"])
        .digest()
        .to_owned()
}

/// Modes below a folder, but for the locks.
fn modes(folder: &Path) -> BTreeMap<PathBuf, u32> {
    let mut all = BTreeMap::new();
    for item in fs::read_dir(folder).unwrap() {
        let path = item.unwrap().path();
        let meta = path.symlink_metadata().unwrap();
        if meta.is_dir() {
            all.extend(modes(&path));
        }
        all.insert(path, meta.permissions().mode() & 0o7777);
    }
    all
}

#[test]
fn c39_what_is_written_has_the_modes_that_the_umask_gives() {
    let model = models::example("onnx/on_dev_scaler/model.onnx");
    for (umask, file, dir) in [("022", 0o644, 0o755), ("027", 0o640, 0o750), ("002", 0o664, 0o775)] {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        fs::create_dir(&out).unwrap();
        let at = |kind: &str, name: &str| format!("{kind}:{}", out.join(name).display());
        let digestfile = out.join("digest");
        let mut command = Command::new("sh");
        command.env_clear().env("FLOE_STORE", out.join("store"));
        command.args(["-c", "umask $0; exec \"$@\"", umask, env!("CARGO_BIN_EXE_floe"), "build"]).arg(&model);
        command.args(["--name", "m", "--base", "scratch", "-q", "-o", &at("oci", "l"), "-o", "m"]);
        command.args([
            "-o",
            &at("oci-archive", "o.tar"),
            "-o",
            &at("docker-archive", "d.tar"),
            "--digestfile",
        ]);
        succeeded(command.arg(&digestfile));
        let found = modes(&out);
        assert!(found.len() > 15, "{found:?}");
        for (path, mode) in found {
            let wanted = if path.is_dir() { dir } else { file };
            assert_eq!(mode, wanted, "{} is {mode:o} with umask {umask}", path.display());
        }
    }
}

#[test]
fn c39_a_folder_that_hands_down_its_group_does() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    fs::create_dir(&out).unwrap();
    // Root takes a group that it is not in; another user has only its own to hand down.
    let _mine = std::os::unix::fs::chown(&out, None, Some(12345));
    mode(&out, 0o2775);
    let group = fs::metadata(&out).unwrap().gid();
    let to = format!("oci:{}", out.join("layout").display());
    let archive = format!("oci-archive:{}", out.join("o.tar").display());
    let model = models::example("onnx/on_dev_scaler/model.onnx");
    let arguments = ["--name", "m", "--base", "scratch", "-o", &to, "-o", &archive];
    Floe::new(folder.path()).build(&model, &arguments);
    for (path, mode) in modes(&out) {
        let meta = path.symlink_metadata().unwrap();
        assert_eq!(meta.gid(), group, "{}", path.display());
        assert!(!meta.is_dir() || mode & 0o2000 != 0, "{} is {mode:o}", path.display());
    }
    run("tar", &["-tf", out.join("o.tar").to_str().unwrap()]);
}
