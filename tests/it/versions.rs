//! Versions of several publishers at once, on every kind of store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use floe::oci::{Digest, json, media_type};
use floe::store::layout::{Layout, Options};
use floe::store::memory::Memory;
use floe::store::registry::{Client, Registry, Settings};
use floe::store::{Document, Repository, Source};
use floe::versions::{self, Selector};
use floe::{Kind, Result};

use crate::support::debian::DebianRegistry;
use crate::support::registry::{Switch, TestRegistry};

/// A document that a store takes: an index of nothing, told apart by an annotation.
fn document(repository: &dyn Repository, text: &str) -> Document {
    let value = serde_json::json!({
        "schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": [], "annotations": {"x": text},
    });
    let document = Document::new(media_type::INDEX, json::canonical(&value));
    repository.put_document(&document).unwrap();
    document
}

fn registry(addr: &str) -> Arc<dyn Repository> {
    let reference = format!("{addr}/team/m").parse().unwrap();
    Arc::new(Registry::open(&Client::new(Settings::default()), &reference))
}

/// Many publishers at once; what every store promises of the outcome.
fn race(stores: &[Arc<dyn Repository>], rounds: usize) -> Vec<versions::Published> {
    let mut all = Vec::new();
    let mut seen: BTreeMap<String, Digest> = BTreeMap::new();
    let mut highest = 0;
    for round in 0..rounds {
        // Two of them publish the same content.
        let texts: Vec<String> = (0..stores.len()).map(|i| format!("{round}/{}", i.max(1))).collect();
        let published: Vec<versions::Published> = std::thread::scope(|scope| {
            let threads: Vec<_> = stores
                .iter()
                .zip(&texts)
                .map(|(store, text)| {
                    scope.spawn(move || versions::publish(&**store, &document(&**store, text)).unwrap())
                })
                .collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        for p in &published {
            assert!(p.number > highest, "who starts after another returned gets a higher number");
            assert_eq!(
                *seen.entry(p.tag.clone()).or_insert(p.digest),
                p.digest,
                "a tag never changes its content"
            );
        }
        highest = published.iter().map(|p| p.number).max().unwrap();
        all.extend(published);
    }
    // Everything that was ever published is still there, under its tag.
    for (tag, digest) in &seen {
        assert_eq!(stores[0].resolve(tag).unwrap().unwrap().digest, *digest);
    }
    // The same content always comes back with the same version.
    for p in &all {
        let again = versions::publish(
            &*stores[0],
            &Document {
                descriptor: stores[0].resolve(&p.tag).unwrap().unwrap(),
                bytes: stores[0].document(&stores[0].resolve(&p.tag).unwrap().unwrap()).unwrap().bytes,
            },
        );
        let again = again.unwrap();
        assert!(again.existed && again.digest == p.digest && again.number <= p.number);
    }
    all
}

/// On disk and in memory: one number for one content.
fn is_exact(all: &[versions::Published]) {
    let tags: BTreeSet<(u64, Digest)> = all.iter().map(|p| (p.number, p.digest)).collect();
    let numbers: BTreeSet<u64> = tags.iter().map(|(n, _)| *n).collect();
    let contents: BTreeSet<Digest> = tags.iter().map(|(_, d)| *d).collect();
    assert_eq!((numbers.len(), contents.len()), (tags.len(), tags.len()));
    assert_eq!(numbers.last().copied(), Some(numbers.len() as u64), "no number is left out");
    assert!(all.iter().all(|p| !p.tie));
}

#[test]
fn publishers_race_in_a_layout() {
    let dir = tempfile::tempdir().unwrap();
    let open = || -> Arc<dyn Repository> {
        Arc::new(Layout::create(dir.path().join("l"), Some("m:".into()), Options::default()).unwrap())
    };
    is_exact(&race(&(0..6).map(|_| open()).collect::<Vec<_>>(), 4));
}

#[test]
fn publishers_race_in_memory() {
    let one: Arc<dyn Repository> = Arc::new(Memory::new());
    let all = race(&vec![one; 6], 4);
    let tags: BTreeSet<&str> = all.iter().map(|p| p.tag.as_str()).collect();
    assert!(tags.len() >= 4 * 5);
}

#[test]
fn publishers_race_in_a_real_registry() {
    let debian = DebianRegistry::start();
    race(&(0..6).map(|_| registry(&debian.host())).collect::<Vec<_>>(), 3);
}

#[test]
fn publishers_race_in_a_registry_with_write_once_tags() {
    let server = TestRegistry::start().with(Switch::Immutable400);
    race(&(0..4).map(|_| registry(server.addr())).collect::<Vec<_>>(), 3);
}

/// Many publishers that want bare numbers at once; gives the number of each content.
fn race_for_numbers(stores: &[Arc<dyn Repository>], rounds: usize) -> BTreeMap<Digest, u64> {
    let mut all = BTreeMap::new();
    let mut highest = 0;
    for round in 0..rounds {
        let texts: Vec<String> = (0..stores.len()).map(|i| format!("{round}/{}", i.max(1))).collect();
        let published: Vec<versions::Published> = std::thread::scope(|scope| {
            let threads: Vec<_> = stores
                .iter()
                .zip(&texts)
                .map(|(store, text)| {
                    scope.spawn(move || {
                        versions::publish_numbered(&**store, &document(&**store, text)).unwrap()
                    })
                })
                .collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        for p in &published {
            assert!(p.number > highest, "who starts after another returned gets a higher number");
        }
        highest = published.iter().map(|p| p.number).max().unwrap();
        all.extend(published.iter().map(|p| (p.digest, p.number)));
    }
    // Each number is a tag, of exactly the content that was told.
    for (digest, number) in &all {
        assert_eq!(stores[0].resolve(&number.to_string()).unwrap().unwrap().digest, *digest, "{number}");
    }
    let numbers: BTreeSet<u64> = all.values().copied().collect();
    assert_eq!(numbers.len(), all.len(), "a number is of one content");
    all
}

#[test]
fn numbers_are_exact_where_tags_are_written_once() {
    for habits in [
        vec![Switch::Immutable400],
        vec![Switch::Immutable400, Switch::Harbor201ButLost { count: 5 }],
        vec![Switch::Immutable400, Switch::SlowTags(2)],
        vec![Switch::Immutable400, Switch::LostReply { method: "PUT", path: "/manifests/", count: 3 }],
    ] {
        let server = TestRegistry::start();
        for habit in &habits {
            server.set(habit.clone());
        }
        let all = race_for_numbers(&(0..5).map(|_| registry(server.addr())).collect::<Vec<_>>(), 3);
        assert!(all.len() >= 4 * 3, "{habits:?}: {all:?}");
    }
}

#[test]
fn numbers_are_exact_on_disk_and_none_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let open = || -> Arc<dyn Repository> {
        Arc::new(Layout::create(dir.path().join("l"), Some("m:".into()), Options::default()).unwrap())
    };
    let all = race_for_numbers(&(0..5).map(|_| open()).collect::<Vec<_>>(), 3);
    assert_eq!(all.values().max().copied(), u64::try_from(all.len()).ok());
}

#[test]
fn a_number_that_a_dead_publisher_claimed_is_its_contents() {
    let store = Memory::new();
    let (a, b) = (document(&store, "a"), document(&store, "b"));
    // `a` died between its two tags.
    store.claim("1", &a).unwrap();
    assert_eq!(versions::publish_numbered(&store, &b).unwrap().number, 2);
    assert_eq!(
        versions::publish_numbered(&store, &a).unwrap().number,
        3,
        "a number below one that returned is gone"
    );
    let c = document(&store, "c");
    store.claim("4", &c).unwrap();
    assert_eq!(versions::publish_numbered(&store, &c).unwrap().number, 4);
    // A number that somebody tagged by hand is stepped over.
    store.claim("5", &a).unwrap();
    assert_eq!(versions::publish_numbered(&store, &document(&store, "d")).unwrap().number, 6);
    let e = document(&store, "e");
    store.claim("7", &a).unwrap();
    let published = versions::publish(&store, &e).unwrap();
    assert_eq!(published.number, 7);
    let error = versions::publish_numbered(&store, &e).unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert_eq!(store.resolve("7").unwrap().unwrap().digest, a.descriptor.digest, "nothing is overwritten");
}

#[test]
fn a_number_of_two_contents_is_a_tie_and_refused() {
    let store = Memory::new();
    let (a, b) = (document(&store, "a"), document(&store, "b"));
    for d in [&a, &b] {
        store.claim(&format!("v7-{}", d.descriptor.digest.short()), d).unwrap();
    }
    let select = |text: Option<&str>| -> Result<Digest> {
        Ok(versions::select(&store, "m", &Selector::parse(text)?)?.0.digest)
    };
    for text in [Some("7"), Some("v7"), None] {
        let e = select(text).unwrap_err();
        assert_eq!(e.kind(), Kind::Conflict);
        for d in [&a, &b] {
            assert!(e.to_string().contains(&format!("v7-{}", d.descriptor.digest.short())), "{e}");
        }
    }
    let digits = a.descriptor.digest.short();
    assert_eq!(select(Some(&format!("v7-{digits}"))).unwrap(), a.descriptor.digest);
    assert_eq!(select(Some(&format!("sha256:{}", &digits[..8]))).unwrap(), a.descriptor.digest);
    assert_eq!(select(Some(&a.descriptor.digest.to_string())).unwrap(), a.descriptor.digest);
    // The next one is free of it.
    let next = versions::publish(&store, &document(&store, "c")).unwrap();
    assert_eq!((next.number, next.tie), (8, false));
    assert_eq!(select(None).unwrap(), next.digest);
}

#[test]
fn a_tag_with_the_digits_of_another_content_does_not_count() {
    let store = Memory::new();
    let (a, b) = (document(&store, "a"), document(&store, "b"));
    let tag = format!("v1-{}", a.descriptor.digest.short());
    store.point(&tag, &b).unwrap();
    let e = versions::select(&store, "m", &Selector::parse(Some(&tag)).unwrap()).unwrap_err();
    assert_eq!(e.kind(), Kind::Integrity);
    // Publishing goes past it, and overwrites nothing.
    let published = versions::publish(&store, &a).unwrap();
    assert_eq!(published.number, 2);
    assert_eq!(store.resolve(&tag).unwrap().unwrap().digest, b.descriptor.digest);
}

#[test]
fn deleted_numbers_are_not_given_out_again() {
    let store = Memory::new();
    let old = document(&store, "old");
    store.claim(&format!("t41-{}", old.descriptor.digest.short()), &old).unwrap();
    assert_eq!(versions::publish(&store, &document(&store, "new")).unwrap().number, 42);
}

#[test]
fn an_alias_moves_only_when_asked() {
    let store = Memory::new();
    let (a, b) = (document(&store, "a"), document(&store, "b"));
    versions::alias(&store, "prod", &a).unwrap();
    versions::publish(&store, &b).unwrap();
    assert_eq!(store.resolve("prod").unwrap().unwrap().digest, a.descriptor.digest);
    versions::alias(&store, "prod", &b).unwrap();
    assert_eq!(store.resolve("prod").unwrap().unwrap().digest, b.descriptor.digest);
    for bad in ["v1-0123456789abcdef", "sha256-0", "7", "v7"] {
        assert_eq!(versions::alias(&store, bad, &a).unwrap_err().kind(), Kind::Usage);
    }
}
