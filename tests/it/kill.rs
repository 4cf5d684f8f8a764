//! floe is killed at any moment: the store is whole, nothing half-written is named, and the next
//! build succeeds with the same digest. Asked to stop, it stops and cleans up.
//!
//! The moments are pseudo-random with fixed seeds, over the time that a whole build takes, and many
//! of them near its end, where names are given.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use floe::oci::Digest;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::debian::DebianRegistry;
use crate::support::models::{noise, write};
use crate::support::program::{Built, Floe};
use crate::support::walk;

/// A model that takes a moment: two files with a layer of their own, several that share one, some
/// small ones. Nothing of it can be compressed.
fn model(folder: &Path) -> PathBuf {
    let model = folder.join("model");
    let block = noise(7, 1 << 20);
    for (name, mib) in [("a.bin", 33_u8), ("b.bin", 32), ("c.bin", 2), ("d.bin", 1)] {
        let mut content = Vec::with_capacity(usize::from(mib) << 20);
        for i in 0..mib {
            content.extend_from_slice(&[i, mib]);
            content.extend_from_slice(&block[2..]);
        }
        write(&model.join(name), &content);
    }
    for i in 0..20 {
        write(&model.join(format!("code/{i}.py")), &noise(i, 5000));
    }
    model
}

/// Delays within the time that a build takes; every other one is near its end.
struct Moments {
    state: u64,
    whole: Duration,
}

impl Moments {
    fn next(&mut self) -> Duration {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let part = (self.state >> 40) as f64 / f64::from(1 << 24);
        let near_the_end = self.state >> 39 & 1 == 1;
        self.whole.mul_f64(if near_the_end { 0.85 + 0.2 * part } else { part })
    }
}

struct Victim {
    folder: tempfile::TempDir,
    floe: Floe,
    model: PathBuf,
    /// What every build has to give.
    digest: String,
    moments: Moments,
}

impl Victim {
    /// Builds once into a first destination, to learn the digest and how long that takes.
    fn new(seed: u64, first: impl FnOnce(&Path) -> String) -> Self {
        Self::of(model, seed, first)
    }

    fn of(model: fn(&Path) -> PathBuf, seed: u64, first: impl FnOnce(&Path) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let floe = Floe::new(folder.path());
        let model = model(folder.path());
        let to = first(folder.path());
        let begun = Instant::now();
        let built = floe.build(&model, &["--name", "m", "--base", "scratch", "-o", &to]);
        let moments = Moments { state: seed, whole: begun.elapsed() };
        Self { digest: built.digest().to_owned(), folder, floe, model, moments }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn version(&self) -> String {
        format!("v1-{}", &self.digest["sha256:".len()..][..16])
    }

    fn command(&self, to: &str) -> Command {
        let mut command = self.floe.command();
        command.arg("build").arg(&self.model).args(["--name", "m", "--base", "scratch", "-o", to]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn spawn(&self, to: &str) -> Child {
        self.command(to).spawn().unwrap()
    }

    /// Starts a build and kills it at the next moment; whether it was killed before it ended. One
    /// that ends sooner tells how long a build takes now: other tests come and go beside this one.
    fn killed(&mut self, to: &str) -> bool {
        let delay = self.moments.next();
        let mut child = self.spawn(to);
        let begun = Instant::now();
        while begun.elapsed() < delay {
            if child.try_wait().unwrap().is_some() {
                self.moments.whole = begun.elapsed();
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        !child.wait().unwrap().success()
    }

    /// The build that comes after a killed one.
    fn builds(&self, to: &str) -> Built {
        let built = self.floe.build(&self.model, &["--name", "m", "--base", "scratch", "-o", to]);
        assert_eq!(built.digest(), self.digest);
        assert_eq!(built.version(), self.version());
        built
    }

    /// A layout after a kill: whole, and with no other name than that of the whole image.
    fn layout_is_whole(&self, layout: &Path) {
        if !layout.join("index.json").exists() {
            // It was not a layout yet, and holds nothing.
            assert!(
                !layout.join("blobs/sha256").exists()
                    || fs::read_dir(layout.join("blobs/sha256")).unwrap().next().is_none()
            );
            return;
        }
        let found = walk::layout(layout);
        assert!(
            found.names.is_empty() || found.names == [(self.version(), self.digest.clone())],
            "{found:?}"
        );
        walk::unnamed_are_whole(layout, &found);
    }
}

#[test]
fn a_layout_is_whole_whenever_floe_is_killed() {
    let mut victim = Victim::new(1, |folder| format!("oci:{}", folder.join("first").display()));
    let mut killed = 0;
    for round in 0..3 {
        let layout = victim.path(&format!("layout-{round}"));
        let to = format!("oci:{}", layout.display());
        // Each killed build finds what the one before has left.
        for _ in 0..3 {
            killed += usize::from(victim.killed(&to));
            victim.layout_is_whole(&layout);
        }
        victim.builds(&to);
        victim.layout_is_whole(&layout);
        if round > 0 {
            fs::remove_dir_all(&layout).unwrap();
            continue;
        }
        // What is left is harmless, and goes once it is certain that nobody writes to it.
        let left = layout.join("blobs/sha256").join(format!("{}left", floe::fs::TEMP_PREFIX));
        fs::write(&left, "half").unwrap();
        for path in walk::temporary(&layout) {
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(25 * 60 * 60)).unwrap();
        }
        let small = victim.path("model/code");
        let built = victim.floe.build(&small, &["--name", "m", "--base", "scratch", "-o", &to]);
        assert_eq!(built.json["number"], 2);
        assert_eq!(walk::temporary(&layout), Vec::<PathBuf>::new());
        assert_eq!(walk::layout(&layout).names.len(), 2);
    }
    assert!(killed >= 4, "only {killed} of 9 builds were killed before they ended");
}

#[test]
fn an_archive_is_the_old_one_or_the_new_one() {
    let mut victim = Victim::new(2, |folder| format!("oci-archive:{}", folder.join("first.tar").display()));
    let new = fs::read(victim.path("first.tar")).unwrap();
    let file = victim.path("image.tar");
    let to = format!("oci-archive:{}", file.display());
    for old in [None, Some(&b"what was there before"[..])] {
        for _ in 0..2 {
            match old {
                Some(old) => fs::write(&file, old).unwrap(),
                None => drop(fs::remove_file(&file)),
            }
            victim.killed(&to);
            let found = fs::read(&file).ok();
            assert!(found.as_deref() == old || found.as_ref() == Some(&new), "half an archive is there");
        }
    }
    let _gone = fs::remove_file(&file);
    victim.builds(&to);
    assert!(fs::read(&file).unwrap() == new);
}

/// The registry goes on with a request whose client has died: it lists a tag a moment before it
/// gives it out.
fn settled(registry: &DebianRegistry, repository: &str, tag: &str) {
    let path = format!("/v2/{repository}/manifests/{tag}");
    let begun = Instant::now();
    while registry.get(&path).unwrap().0 == 404 {
        assert!(begun.elapsed() < Duration::from_secs(10), "{path} is listed, but not there");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// All that a registry gives out under a tag, hashed.
fn registry_is_whole(registry: &DebianRegistry, repository: &str, tag: &str, digest: &str) {
    let get = |path: &str, wanted: &str| {
        let (status, body) = registry.get(&format!("/v2/{repository}/{path}")).unwrap();
        assert_eq!(status, 200, "{path}");
        assert_eq!(Digest::of(&body).to_string(), wanted, "{path}");
        body
    };
    let manifest: Value = serde_json::from_slice(&get(&format!("manifests/{tag}"), digest)).unwrap();
    let layers = manifest["layers"].as_array().unwrap();
    for blob in layers.iter().chain([&manifest["config"]]) {
        let digest = blob["digest"].as_str().unwrap();
        let body = get(&format!("blobs/{digest}"), digest);
        assert_eq!(blob["size"].as_u64(), Some(body.len() as u64));
    }
}

/// The tags but those of what is attached.
fn versions(registry: &DebianRegistry, repository: &str) -> Vec<String> {
    registry.tags(repository).into_iter().filter(|t| !t.starts_with("sha256-")).collect()
}

#[test]
fn a_registry_is_whole_whenever_floe_is_killed() {
    let registry = DebianRegistry::start();
    let mut victim = Victim::new(3, |_| format!("docker://{}/first", registry.host()));
    let mut killed = 0;
    for round in 0..3 {
        let repository = format!("team/m{round}");
        let to = format!("docker://{}/{repository}", registry.host());
        for _ in 0..2 {
            killed += usize::from(victim.killed(&to));
            match &versions(&registry, &repository)[..] {
                [] => {}
                [tag] => {
                    assert_eq!(*tag, victim.version());
                    settled(&registry, &repository, tag);
                    registry_is_whole(&registry, &repository, tag, &victim.digest);
                }
                tags => panic!("{tags:?}"),
            }
        }
        victim.builds(&to);
        assert_eq!(versions(&registry, &repository), [victim.version()]);
        registry_is_whole(&registry, &repository, &victim.version(), &victim.digest);
    }
    assert!(killed >= 2, "only {killed} of 6 builds were killed before they ended");
}

/// A model that takes next to no time: what remains is what happens to documents and names.
fn tiny(folder: &Path) -> PathBuf {
    let model = folder.join("model");
    write(&model.join("weights.bin"), &noise(9, 10_000));
    model
}

#[test]
fn names_are_whole_when_floe_is_killed_while_it_gives_them() {
    let registry = DebianRegistry::start();
    let host = registry.host();
    let mut victim = Victim::of(tiny, 5, |folder| format!("oci:{}", folder.join("first").display()));
    for round in 0..30 {
        let layout = victim.path(&format!("layout-{}", round / 2));
        victim.killed(&format!("oci:{}", layout.display()));
        victim.layout_is_whole(&layout);
        victim.builds(&format!("oci:{}", layout.display()));
        assert_eq!(walk::layout(&layout).names, [(victim.version(), victim.digest.clone())]);
    }
    let mut victim = Victim::of(tiny, 6, |_| format!("docker://{host}/first"));
    for round in 0..30 {
        let repository = format!("m{}", round / 2);
        let to = format!("docker://{host}/{repository}");
        victim.killed(&to);
        // At once: the registry may still be at work for the one that was killed.
        victim.builds(&to);
        assert_eq!(versions(&registry, &repository), [victim.version()]);
        registry_is_whole(&registry, &repository, &victim.version(), &victim.digest);
    }
}

/// Sends a signal when a build says that it begins with a layer; again where that was over too soon.
fn interrupted(victim: &Victim, to: &str, signal: Signal, times: usize) -> String {
    use std::io::{BufRead as _, BufReader, Read as _};
    for _ in 0..20 {
        if let Some(archive) = to.strip_prefix("oci-archive:") {
            let _from_a_build_that_ended = fs::remove_file(archive);
        }
        let mut child = victim.command(to).env("FLOE_LOG", "trace").spawn().unwrap();
        let pid = Pid::from_child(&child);
        let mut talk = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        while !said.contains(": begins, ") {
            assert!(talk.read_line(&mut said).unwrap() > 0, "it ended before it began: {said}");
        }
        for _ in 0..times {
            // It may have ended meanwhile.
            let _sent = kill_process(pid, signal);
        }
        talk.read_to_string(&mut said).unwrap();
        let out = child.wait_with_output().unwrap();
        if out.status.success() {
            continue;
        }
        assert_eq!(out.status.code(), Some(130), "{signal:?}: {:?} {said}", out.status);
        assert!(out.stdout.is_empty(), "an answer was printed for a build that was stopped");
        return said;
    }
    panic!("no signal came before the build had ended");
}

#[test]
fn c07_a_build_that_is_asked_to_stop_cleans_up_and_exits_130() {
    let victim = Victim::new(4, |folder| format!("oci:{}", folder.join("first").display()));
    let registry = DebianRegistry::start();
    let layout = victim.path("layout");
    let archive = victim.path("out/image.tar");
    fs::create_dir(archive.parent().unwrap()).unwrap();
    for to in [
        format!("oci:{}", layout.display()),
        format!("oci-archive:{}", archive.display()),
        format!("docker://{}/m", registry.host()),
    ] {
        for signal in [Signal::INT, Signal::TERM] {
            let said = interrupted(&victim, &to, signal, 1);
            assert!(said.contains("error: stopped by the user"), "{said}");
            assert!(!archive.exists());
            if layout.exists() {
                victim.layout_is_whole(&layout);
            }
            for folder in [&layout, archive.parent().unwrap()] {
                assert_eq!(walk::temporary(folder), Vec::<PathBuf>::new(), "{to}");
            }
            let tags = registry.tags("m");
            assert!(tags.is_empty() || tags == [victim.version()], "{tags:?}");
        }
        victim.builds(&to);
        let _done = fs::remove_file(&archive);
    }
    // A second signal stops at once, and what is there is still whole.
    fs::remove_dir_all(&layout).unwrap();
    interrupted(&victim, &format!("oci:{}", layout.display()), Signal::INT, 2);
    victim.layout_is_whole(&layout);
}
