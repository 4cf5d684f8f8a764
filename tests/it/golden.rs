//! Frozen is frozen: a stored plan gives the same bytes in every release of a layout version.
//!
//! The plans in `testdata/golden` are frozen through the library, with each compression, over
//! nothing and over a base of Docker's kind, and all digests are compared with the stored ones.
//! A difference means that users' digests change: that takes a new layout version, not a new file.

use std::fs;
use std::path::{Path, PathBuf};

use floe::blob::Blob;
use floe::blob::codec::Codec;
use floe::event::Quiet;
use floe::image::{self, Base};
use floe::model::Tree;
use floe::model::tree::Selected;
use floe::oci::{Config, Manifest, Platform};
use floe::pack::Layer;
use floe::plan::{Compression, Plan};
use floe::store::memory::Memory;
use floe::store::{Sink, Source};
use serde_json::{Map, Value, json};

use crate::support::models::{below, noise, write};
use crate::support::walk;

fn stored(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/golden").join(name)
}

fn plan(case: &str) -> Plan {
    let plan: Plan = serde_json::from_value(walk::json(&stored(case).join("plan.json"))).unwrap();
    plan.check().unwrap();
    plan
}

fn tree(folder: &Path) -> Tree {
    let all = Selected { source: folder.to_owned(), dest: Vec::new() };
    Tree::scan(&[all], &|_, _| false, false).unwrap()
}

/// What a repository of sources cannot hold: large files, and a name that is not UTF-8.
fn made(folder: &Path) {
    let mut big = vec![0; (32 << 20) + 3];
    big[17 << 20..][..300_000].copy_from_slice(&noise(1, 300_000));
    write(&folder.join("big.bin"), &big);
    write(&folder.join("medium-noise.bin"), &noise(2, (1 << 20) + 3));
    let text: Vec<u8> = (0..)
        .flat_map(|i: u32| format!("line {i} of a text\n").into_bytes())
        .take((1 << 20) + 500_000)
        .collect();
    write(&folder.join("medium-text.txt"), &text);
    write(&below(folder, b"small/caf\xe9"), b"not UTF-8");
    write(&folder.join("small/code.py"), &text[..40_000]);
    write(&folder.join("small/noise"), &noise(3, 70_000));
}

/// A base of Docker's kind, with keys that no specification knows.
fn docker_base() -> Base {
    let manifest = Manifest::parse(fs::read(stored("base/manifest.json")).unwrap(), None).unwrap();
    let config = fs::read(stored("base/config.json")).unwrap();
    assert_eq!(floe::oci::Digest::of(&config), manifest.config.digest);
    Base::new(&manifest, Config::parse(&config).unwrap())
}

/// Freezes a plan into a store and gives every digest of it.
fn frozen(plan: &Plan, tree: &Tree, threads: usize) -> Value {
    let store = Memory::new();
    let layers: Vec<image::Layer> = plan
        .layers
        .iter()
        .map(|l| {
            let recipe = Layer::new(l, tree, plan.owner, threads).unwrap();
            let packed = store.ingest(&recipe, &Quiet).unwrap();
            image::Layer { packed, role: l.role.clone(), title: l.title() }
        })
        .collect();
    let mut out = Map::new();
    let shown = |l: &image::Layer| {
        let d = &l.packed.descriptor;
        json!({"digest": d.digest.to_string(), "size": d.size, "diff_id": l.packed.diff_id.to_string(), "media_type": d.media_type})
    };
    out.insert("layers".to_owned(), layers.iter().map(shown).collect());
    for (name, base) in [
        ("over scratch", Base::scratch(&Platform::new("linux", "amd64", None))),
        ("over base", docker_base()),
    ] {
        let image = image::assemble(&base, plan, &layers).unwrap();
        store.put(&image.config, &Quiet).unwrap();
        store.put_document(&image.manifest).unwrap();
        assert_eq!(store.document(&image.manifest.descriptor).unwrap(), image.manifest);
        let config = image.config.descriptor().digest.to_string();
        out.insert(
            name.to_owned(),
            json!({"config": config, "manifest": image.manifest.descriptor.digest.to_string()}),
        );
        out.insert("model_id".to_owned(), json!(image.model_id.to_string()));
    }
    Value::Object(out)
}

const COMPRESSIONS: [(&str, Compression); 4] = [
    ("none", Compression::None),
    ("gzip", Compression::Gzip),
    ("zstd", Compression::Zstd),
    ("auto", Compression::Auto),
];

fn gives_the_stored_digests(case: &str, tree: &Tree) {
    let mut found = Map::new();
    for (name, compression) in COMPRESSIONS {
        let mut plan = plan(case);
        for layer in &mut plan.layers {
            layer.compression = compression;
        }
        let one = frozen(&plan, tree, 1);
        if matches!(compression.fixed(), Some(Codec::Gzip | Codec::Zstd)) {
            assert_eq!(frozen(&plan, tree, 3), one, "{name}: the number of threads shows");
        }
        found.insert(name.to_owned(), one);
    }
    let found = Value::Object(found);
    let wanted = walk::json(&stored(case).join("digests.json"));
    assert!(
        found == wanted,
        "the plan `{case}` gives other bytes than before. If that is meant, `plan::LAYOUT` has to be raised; \
         what it gives now:\n{found:#}"
    );
    // The model id is the same whatever the compression, and so is every diff id.
    for (name, _) in COMPRESSIONS {
        assert_eq!(found[name]["model_id"], found["none"]["model_id"]);
        for (a, b) in
            found[name]["layers"].as_array().unwrap().iter().zip(found["none"]["layers"].as_array().unwrap())
        {
            assert_eq!(a["diff_id"], b["diff_id"]);
        }
    }
}

#[test]
fn a_small_tree_gives_the_stored_digests() {
    gives_the_stored_digests("small", &tree(&stored("small/tree")));
}

#[test]
fn a_tree_with_every_rule_of_the_split_gives_the_stored_digests() {
    let folder = tempfile::tempdir().unwrap();
    made(folder.path());
    gives_the_stored_digests("made", &tree(folder.path()));
}

#[test]
fn a_plan_comes_back_from_json_as_it_was() {
    for case in ["small", "made"] {
        let value = walk::json(&stored(case).join("plan.json"));
        assert_eq!(serde_json::to_value(plan(case)).unwrap(), value);
    }
}

/// A plan is read from outside: it may not say what floe would not.
#[test]
fn a_plan_that_breaks_the_rules_is_refused() {
    let good = walk::json(&stored("small/plan.json"));
    let entry = "/layers/0/entries/3";
    for (at, value) in [
        ("/layout", json!(2)),
        ("/layers/0/entries/0/path", json!("model/../../etc")),
        ("/layers/0/entries/0/path", json!("/etc")),
        ("/layers/0/entries/0/path", json!("zzz")),
        ("/layers/0/entries/3/path", json!("model/files/config/.wh.größe.json")),
        ("/layers/0/entries/3/path", json!("model/files/other/größe.json")),
        ("/layers/0/entries/3/path", json!({"hex": "2f00"})),
        ("/layers/0/entries/3/path", json!({"hex": "6"})),
        ("/layers/1/entries/1/kind", json!({"inline": {"base64": "?"}})),
        (entry, json!({"path": "model/files/config", "kind": "dir"})),
        (entry, json!({"path": "model/files/config/a", "kind": "device"})),
        (entry, json!({"path": "model/files/config/a", "kind": "dir", "mode": 7})),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(at).unwrap() = value.clone();
        let plan: Result<Plan, _> = serde_json::from_value(bad);
        assert!(plan.is_err() || plan.unwrap().check().is_err(), "{at} = {value} is taken");
    }
}
