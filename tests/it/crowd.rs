//! Many publishers at once, as processes, some of them killed: what DESIGN promises of versions holds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::debian::DebianRegistry;
use crate::support::models;
use crate::support::program::{Floe, output, said};

const PUBLISHERS: usize = 32;
const ROUNDS: usize = 20;
/// How many contents there are in a round: some publishers have the same.
const CONTENTS: usize = 20;

/// Numbers that look random and are the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

fn start(floe: &Floe, model: &Path, to: &str) -> Child {
    let mut command = floe.command();
    command.args(["build", "--json", "-q", "--name", "m", "-o", to]).arg(model);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// What a publisher was told.
struct Told {
    content: usize,
    number: u64,
    tag: String,
    digest: String,
}

fn told(content: usize, child: Child) -> Told {
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "a publisher failed: {}", said(&out));
    let json: Value = serde_json::from_slice(&out.stdout).unwrap();
    Told {
        content,
        number: json["number"].as_u64().unwrap(),
        tag: json["version"].as_str().unwrap().to_owned(),
        digest: json["digest"].as_str().unwrap().to_owned(),
    }
}

/// The digest that a tag points to, and whether all that it names is there.
fn whole(registry: &DebianRegistry, tag: &str) -> String {
    let (status, manifest) = registry.get(&format!("/v2/crowd/m/manifests/{tag}")).unwrap();
    assert_eq!(status, 200, "{tag}");
    let value: Value = serde_json::from_slice(&manifest).unwrap();
    for blob in value["layers"].as_array().unwrap().iter().chain([&value["config"]]) {
        let path = format!("/v2/crowd/m/blobs/{}", blob["digest"].as_str().unwrap());
        let (status, content) = registry.get(&path).unwrap();
        assert_eq!((status, content.len() as u64), (200, blob["size"].as_u64().unwrap()), "{tag}");
    }
    floe::oci::Digest::of(&manifest).to_string()
}

#[test]
fn a_crowd_of_publishers_of_which_some_are_killed_loses_nothing() {
    let (dir, registry) = (tempfile::tempdir().unwrap(), DebianRegistry::start());
    let floe = Floe::new(dir.path());
    let to = format!("docker://{}/crowd/m", registry.host());
    let mut dice = Dice(0x5eed);
    let (mut highest, mut killed) = (0, 0);
    let mut tags: BTreeMap<String, String> = BTreeMap::new();
    let mut digests: BTreeMap<(usize, usize), String> = BTreeMap::new();
    let mut usual = Duration::from_millis(500);
    for round in 0..ROUNDS {
        let model = |content: usize| -> PathBuf {
            let folder = dir.path().join(format!("{round}-{content}"));
            models::write(&folder.join("m.txt"), format!("{round} {content}").as_bytes());
            folder
        };
        let contents: Vec<usize> =
            (0..PUBLISHERS).map(|_| usize::try_from(dice.below(CONTENTS as u64)).unwrap()).collect();
        let folders: Vec<PathBuf> = contents.iter().map(|c| model(*c)).collect();
        let begun = Instant::now();
        let crowd: Vec<(usize, Option<Duration>, Child)> = contents
            .iter()
            .zip(&folders)
            .map(|(content, folder)| {
                let micros = u64::try_from(usual.as_micros()).unwrap();
                let dies = (dice.below(3) == 0).then(|| Duration::from_micros(dice.below(micros)));
                (*content, dies, start(&floe, folder, &to))
            })
            .collect();
        let (mut doomed, mut survivors): (Vec<_>, Vec<_>) =
            crowd.into_iter().partition(|(_, dies, _)| dies.is_some());
        doomed.sort_by_key(|(_, dies, _)| *dies);
        for (_, dies, child) in &mut doomed {
            std::thread::sleep(dies.unwrap().saturating_sub(begun.elapsed()));
            child.kill().unwrap();
        }
        let published: Vec<Told> =
            survivors.drain(..).map(|(content, _, child)| told(content, child)).collect();
        usual = begun.elapsed();
        for (_, _, child) in doomed {
            killed += usize::from(!child.wait_with_output().unwrap().status.success());
        }
        for p in &published {
            assert!(p.number > highest, "{} follows a publish that had returned with {highest}", p.tag);
            let before = tags.entry(p.tag.clone()).or_insert_with(|| p.digest.clone());
            assert_eq!(*before, p.digest, "{} changed its content", p.tag);
            let same = digests.entry((round, p.content)).or_insert_with(|| p.digest.clone());
            assert_eq!(*same, p.digest, "one content has two digests");
        }
        highest = published.iter().map(|p| p.number).max().unwrap_or(highest);
    }
    assert!(killed > PUBLISHERS * ROUNDS / 10, "only {killed} were killed in time");
    for (tag, digest) in &tags {
        assert_eq!(whole(&registry, tag), *digest, "{tag} was overwritten");
    }
    // What the killed ones left is whole too, and each content has one row.
    let out = output(floe.command().args(["versions", &to, "--json"]));
    let versions: Value =
        serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {}", said(&out)));
    let rows = versions["versions"].as_array().unwrap();
    let row_tags: Vec<&str> = rows.iter().map(|r| r["tag"].as_str().unwrap()).collect();
    let of_rows: BTreeSet<String> = row_tags.iter().map(|tag| whole(&registry, tag)).collect();
    assert_eq!(of_rows.len(), rows.len(), "a content has two rows");
    assert!(digests.values().all(|d| of_rows.contains(d)), "a version is not listed");
}
