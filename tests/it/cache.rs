//! The digest cache: what is unchanged is not read again, and nothing that it says is believed where it matters.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::support::models;
use crate::support::program::{Built, Floe, output, said};
use crate::support::registry::TestRegistry;

struct Case {
    dir: tempfile::TempDir,
    floe: Floe,
    model: PathBuf,
}

/// Lets all files be older than what the cache takes for fresh. The time of change can't be set, so the test
/// has to live through it.
fn age(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            age(&path);
        } else if path.is_file() {
            File::open(&path).unwrap().set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
        }
    }
}

impl Case {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let model = dir.path().join("model");
        models::layered(&model);
        age(&model);
        std::thread::sleep(Duration::from_millis(2100));
        Self { floe: Floe::new(dir.path()), dir, model }
    }

    fn build(&self, more: &[&str]) -> Built {
        let to = format!("oci:{}", self.dir.path().join("layout").display());
        self.floe.build(&self.model, &[&["--name", "m", "-o", &to], more].concat())
    }

    /// The files of the cache.
    fn remembered(&self) -> Vec<PathBuf> {
        let Ok(folders) = fs::read_dir(self.dir.path().join("home/.cache/floe/digests")) else {
            return Vec::new();
        };
        folders.flat_map(|f| fs::read_dir(f.unwrap().path()).unwrap()).map(|f| f.unwrap().path()).collect()
    }

    /// The digests that a rehearsal knows without reading anything.
    fn known(&self) -> Vec<Option<String>> {
        let built = self.floe.build(&self.model, &["--name", "m", "--dry-run"]);
        let layers = built.json["layers"].as_array().unwrap();
        layers.iter().map(|l| l["digest"].as_str().map(str::to_owned)).collect()
    }
}

#[test]
fn an_unchanged_model_is_known_and_a_changed_file_is_not() {
    let case = Case::new();
    assert!(case.known().iter().all(Option::is_none), "nothing was built yet");
    let built = case.build(&[]);
    let all: Vec<Option<String>> = built.layers("digest").iter().map(|d| Some((*d).to_owned())).collect();
    assert_eq!(all.len(), 4);
    assert_eq!(case.known(), all);
    let rehearsed = case.floe.build(&case.model, &["--name", "m", "--dry-run"]);
    assert_eq!(rehearsed.digest(), built.digest(), "the digest of the image too");
    assert_eq!(case.build(&[]).digest(), built.digest());

    // Another content under the same size and time of writing: the time of change tells.
    let file = case.model.join("medium-a.bin");
    let time = fs::metadata(&file).unwrap().modified().unwrap();
    let mut content = fs::read(&file).unwrap();
    content[5] ^= 1;
    fs::write(&file, content).unwrap();
    File::open(&file).unwrap().set_modified(time).unwrap();
    let known = case.known();
    assert_eq!(known.iter().filter(|d| d.is_none()).count(), 1, "{known:?}");
    let changed = case.build(&[]);
    assert_ne!(changed.digest(), built.digest());
    assert_eq!(case.build(&["--no-cache"]).digest(), changed.digest());
    // It was just written, so it is not remembered.
    assert_eq!(case.known().iter().filter(|d| d.is_none()).count(), 1);
}

#[test]
fn what_is_remembered_is_verified_where_it_is_sent() {
    let case = Case::new();
    let built = case.build(&[]);
    let files = case.remembered();
    assert!(files.len() >= 4, "{files:?}");
    // A memory that lies: each layer is said to be another one.
    for file in &files {
        let text = fs::read_to_string(file).unwrap();
        let at = text.find("\"digest\":\"sha256:").unwrap() + 17;
        let lie = format!("{}{}{}", &text[..at], "0".repeat(64), &text[at + 64..]);
        fs::write(file, lie).unwrap();
    }
    let registry = TestRegistry::start();
    let to = format!("docker://{}/m", registry.addr());
    let sent = case.floe.build(&case.model, &["--name", "m", "-o", &to]);
    assert_eq!(sent.digest(), built.digest(), "the lie was found out and forgotten");
    assert_eq!(case.build(&[]).digest(), built.digest());
}

#[test]
fn the_cache_can_go_at_any_time_and_can_be_turned_off() {
    let case = Case::new();
    let built = case.build(&["--no-cache"]);
    assert!(case.remembered().is_empty());
    case.build(&[]);
    assert!(!case.remembered().is_empty());
    fs::remove_dir_all(case.dir.path().join("home/.cache")).unwrap();
    assert_eq!(case.build(&[]).digest(), built.digest());
    // A folder that cannot be written is no reason to fail.
    fs::remove_dir_all(case.dir.path().join("home/.cache")).unwrap();
    fs::write(case.dir.path().join("home/.cache"), "in the way").unwrap();
    assert_eq!(case.build(&[]).digest(), built.digest());
    let elsewhere = case.dir.path().join("elsewhere");
    let out = output(
        case.floe.command().args(["build", "--cache"]).arg(&elsewhere).args(["--name", "m"]).arg(&case.model),
    );
    assert!(out.status.success(), "{}", said(&out));
    assert!(elsewhere.join("digests").is_dir());
}

#[test]
fn builds_at_once_share_it() {
    let case = Case::new();
    let digests: Vec<String> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..6)
            .map(|i| {
                let (floe, model) = (&case.floe, &case.model);
                scope
                    .spawn(move || floe.build(model, &["--name", &format!("m{}", i % 2)]).digest().to_owned())
            })
            .collect();
        all.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(digests.iter().collect::<std::collections::BTreeSet<_>>().len(), 2, "{digests:?}");
    assert!(case.known().iter().all(Option::is_some));
}
