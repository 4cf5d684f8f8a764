//! The publish record: who published an image, when and from where; beside the image, never in it.

use serde_json::Value;

use crate::support::debian::DebianRegistry;
use crate::support::models;
use crate::support::program::{Built, Floe, output, said};
use crate::support::registry::{Switch, TestRegistry};

const RECORD: &str = "application/vnd.floe.record.v1+json";

/// The records of an image, by `inspect` and by what they hold.
fn records(floe: &Floe, reference: &str) -> Vec<Value> {
    let out = output(floe.command().args(["inspect", reference, "--json"]));
    assert!(out.status.success(), "{}", said(&out));
    let shown: Value = serde_json::from_slice(&out.stdout).unwrap();
    let all = shown["referrers"].as_array().unwrap().clone();
    all.into_iter().filter(|r| r["artifact_type"] == RECORD).collect()
}

#[test]
fn a_publication_is_recorded_beside_the_image() {
    let dir = tempfile::tempdir().unwrap();
    let (floe, registry) = (Floe::new(dir.path()), DebianRegistry::start());
    let model = models::example("onnx/on_dev_scaler");
    let to = format!("docker://{}/", registry.host());
    let build = |time: &str| {
        let mut command = floe.command();
        command.args(["build", model.to_str().unwrap(), "--name", "team/m", "-o", &to, "--json"]);
        command.envs([
            ("SOURCE_DATE_EPOCH", time),
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_SERVER_URL", "https://bot:s3cr3t@github.example"),
            ("GITHUB_REPOSITORY", "team/m"),
            ("GITHUB_SHA", "0123456789abcdef"),
            ("GITHUB_RUN_ID", "42"),
        ]);
        Built::of(&output(&mut command))
    };
    let built = build("1700000000");
    let reference = built.references()[0].to_owned();
    let all = records(&floe, &reference);
    assert_eq!(all.len(), 1);
    assert_eq!(all[0]["created"], "2023-11-14T22:13:20Z");
    let manifest =
        registry.get(&format!("/v2/team/m/manifests/{}", all[0]["digest"].as_str().unwrap())).unwrap().1;
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let layer = manifest["layers"][0]["digest"].as_str().unwrap();
    let record = registry.get(&format!("/v2/team/m/blobs/{layer}")).unwrap().1;
    assert!(!String::from_utf8_lossy(&record).contains("s3cr3t"));
    let record: Value = serde_json::from_slice(&record).unwrap();
    for (key, value) in [
        ("model", "team/m"),
        ("version", built.version()),
        ("digest", built.digest()),
        ("model_id", built.model_id()),
        ("time", "2023-11-14T22:13:20Z"),
        ("revision", "0123456789abcdef"),
        ("source", "https://github.example/team/m"),
    ] {
        assert_eq!(record[key], value, "{key} in {record}");
    }
    assert!(record["builder"].as_str().unwrap().starts_with("floe "), "{record}");
    assert_eq!(record["ci"]["run"], "42");
    // The same content again is no new publication.
    let again = build("1700000000");
    assert_eq!(again.digest(), built.digest());
    assert_eq!(records(&floe, &reference).len(), 1);
}

#[test]
fn a_registry_that_takes_no_record_fails_no_build() {
    let dir = tempfile::tempdir().unwrap();
    let (floe, registry) = (Floe::new(dir.path()), TestRegistry::start());
    let model = models::example("onnx/on_dev_scaler");
    registry.set(Switch::Status {
        method: "PUT",
        path: "/manifests/sha256-",
        status: 403,
        retry_after: None,
        count: u32::MAX,
    });
    let to = format!("docker://{}/", registry.addr());
    let out = output(floe.command().args(["build", model.to_str().unwrap(), "--name", "m", "-o", &to]));
    assert!(out.status.success(), "{}", said(&out));
    assert!(said(&out).contains("the publish record was not attached"), "{}", said(&out));
    registry.clear();
    // Who wants none gets none.
    let store = ["build", model.to_str().unwrap(), "--name", "m", "--no-record"];
    assert!(output(floe.command().args(store)).status.success());
    assert!(records(&floe, "m").is_empty());
}
