//! What was found in a model is attached to its image, and is no part of it.

use serde_json::Value;

use crate::support::debian::DebianRegistry;
use crate::support::models;
use crate::support::program::{Floe, skopeo};
use crate::support::walk;
use floe::store::layout::{Layout, Options};
use floe::store::{Repository, Source, read_small};

/// The facts that a list of referrers leads to.
fn facts(list: &Value, blob: impl Fn(&str) -> Vec<u8>) -> Value {
    let entries = list["manifests"].as_array().unwrap();
    assert_eq!(entries.len(), 2, "facts and publish record: {list}");
    let entry = entries.iter().find(|e| e["artifactType"] == "application/vnd.floe.facts.v1+json").unwrap();
    let manifest: Value = serde_json::from_slice(&blob(entry["digest"].as_str().unwrap())).unwrap();
    assert_eq!(manifest["artifactType"], entry["artifactType"]);
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.oci.empty.v1+json");
    serde_json::from_slice(&blob(manifest["layers"][0]["digest"].as_str().unwrap())).unwrap()
}

#[test]
fn a_registry_without_referrers_gets_the_tag_of_the_specification() {
    let dir = tempfile::tempdir().unwrap();
    let (floe, registry) = (Floe::new(dir.path()), DebianRegistry::start());
    let model = models::example("onnx/on_dev_scaler");
    let to = format!("docker://{}/", registry.host());
    let built = floe.build(&model, &["--name", "team/scaler", "-o", &to]);

    let tag = built.digest().replace(':', "-");
    let list = registry.get(&format!("/v2/team/scaler/manifests/{tag}")).unwrap();
    assert_eq!(list.0, 200);
    let list: Value = serde_json::from_slice(&list.1).unwrap();
    let blob = |digest: &str| {
        let kinds = ["manifests", "blobs"].map(|kind| format!("/v2/team/scaler/{kind}/{digest}"));
        kinds.iter().map(|path| registry.get(path).unwrap()).find(|(status, _)| *status == 200).unwrap().1
    };
    let facts = facts(&list, blob);
    assert_eq!((&facts["format"], &facts["floe"]), (&"onnx".into(), &1.into()));
    assert_eq!(facts["signatures"][0]["inputs"].as_array().unwrap().len(), 1);

    // The same content again attaches nothing, and the list is no version.
    floe.build(&model, &["--name", "team/scaler", "-o", &to]);
    let tags = registry.tags("team/scaler");
    assert_eq!(tags.iter().filter(|t| t.starts_with("sha256-")).count(), 3, "{tags:?}");
    assert_eq!(tags.len(), 4, "{tags:?}");
    // The image is the one that a layout gets, where nothing is attached.
    let layout = dir.path().join("layout");
    let same = floe.build(&model, &["--name", "team/scaler", "-o", &format!("oci:{}", layout.display())]);
    assert_eq!(same.digest(), built.digest());
    assert_eq!(walk::json(&layout.join("index.json"))["manifests"].as_array().unwrap().len(), 1);
    skopeo(&["inspect", "--raw", &format!("oci:{}", layout.display())]);
}

#[test]
fn the_local_store_keeps_the_facts_beside_the_version() {
    let dir = tempfile::tempdir().unwrap();
    let floe = Floe::new(dir.path());
    let built = floe.build(&models::example("onnx/on_dev_scaler"), &["--name", "scaler"]);
    let store = Layout::open(floe.store(), Some("scaler:".to_owned()), Options::default()).unwrap();
    let tag = built.digest().replace(':', "-");
    let found = store.resolve(&tag).unwrap().unwrap();
    let list: Value = serde_json::from_slice(&store.document(&found).unwrap().bytes).unwrap();
    let blob = |digest: &str| {
        let path = floe.store().join("blobs").join(digest.replace(':', "/"));
        std::fs::read(path).unwrap()
    };
    assert_eq!(facts(&list, blob)["framework"], "onnx");
    assert_eq!(store.names().unwrap().len(), 2);
    let versions = floe.command().args(["versions", "scaler", "--json"]).output().unwrap();
    let versions = String::from_utf8(versions.stdout).unwrap();
    assert!(!versions.contains("sha256-"), "{versions}");
    assert!(read_small(&store, &found, 1 << 20).is_ok());
}
