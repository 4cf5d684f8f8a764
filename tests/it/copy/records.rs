//! The publish record: who published an image, when and from where; beside the image, never in it.

use serde_json::Value;

use crate::support::debian::DebianRegistry;
use crate::support::models;
use crate::support::program::{Built, Floe, output, said};
use crate::support::registry::{Switch, TestRegistry};
use crate::support::walk;

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

/// What a record says.
fn content(floe: &Floe, reference: &str, record: &Value) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let to = format!("oci:{}", dir.path().display());
    let out = output(floe.command().args(["copy", "--all", reference, &to]));
    assert!(out.status.success(), "{}", said(&out));
    let blob = |digest: &Value| -> Value {
        walk::json(&dir.path().join("blobs").join(digest.as_str().unwrap().replace(':', "/")))
    };
    blob(&blob(&record["digest"])["layers"][0]["digest"])
}

/// Registries with and without the list of referrers, a real one, and the local store.
fn everywhere(check: impl Fn(&Floe, &std::path::Path, &str)) {
    let real = DebianRegistry::start();
    let plain = TestRegistry::start();
    let api = TestRegistry::start().with(Switch::Referrers { page: 1 });
    for place in [real.host(), plain.addr().to_owned(), api.addr().to_owned(), String::new()] {
        let dir = tempfile::tempdir().unwrap();
        let model = dir.path().join("model");
        models::write(&model.join("weights.txt"), b"weights");
        let to = if place.is_empty() { "team/m".to_owned() } else { format!("docker://{place}/team/m") };
        check(&Floe::new(dir.path()), &model, &to);
    }
}

#[test]
fn a_record_that_is_missing_comes_with_the_next_publication() {
    everywhere(|floe, model, to| {
        // As if its publisher had been killed between the tag and the record.
        let first = floe.build(model, &["--name", "team/m", "--no-record", "-o", to]);
        assert!(records(floe, to).is_empty(), "{to}");
        let mut seen = Vec::new();
        for _ in 0..3 {
            let again = floe.build(model, &["--name", "team/m", "-o", to]);
            assert_eq!((again.digest(), again.version()), (first.digest(), first.version()), "{to}");
            assert_eq!(again.json["published"][0]["existed"], true);
            let all = records(floe, to);
            assert_eq!(all.len(), 1, "{to}: {all:?}");
            seen.push(all[0]["digest"].clone());
        }
        assert!(seen.iter().all(|s| *s == seen[0]), "{to}: it is attached once");
        let record = content(floe, to, &records(floe, to)[0]);
        assert_eq!(record["late"], true, "it does not say that it was there from the beginning: {record}");
        assert_eq!(
            (&record["version"], &record["digest"]),
            (&first.version().into(), &first.digest().into())
        );
        // One that was written at once says nothing of that.
        models::write(&model.join("weights.txt"), b"other weights");
        floe.build(model, &["--name", "team/m", "-o", to]);
        let record = content(floe, to, &records(floe, to)[0]);
        assert!(record.get("late").is_none(), "{record}");
    });
}

#[test]
fn many_that_find_the_record_missing_lose_nothing() {
    everywhere(|floe, model, to| {
        floe.build(model, &["--name", "team/m", "--no-record", "-o", to]);
        let start = || {
            let mut command = floe.command();
            command.args(["build", "-q", "--name", "team/m", "-o", to]).arg(model);
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
        };
        let crowd: Vec<_> = (0..6).map(|_| start()).collect();
        for child in crowd {
            let out = child.wait_with_output().unwrap();
            assert!(out.status.success(), "{to}: {}", said(&out));
            assert_eq!(said(&out).lines().count(), 1, "no warning: {}", said(&out));
        }
        // No registry keeps two from doing it at the same moment; each record is whole, and stays.
        let before = records(floe, to);
        assert!((1..=6).contains(&before.len()), "{to}: {before:?}");
        assert!(before.iter().all(|r| r["size"].as_u64().is_some_and(|s| s > 100)), "{before:?}");
        floe.build(model, &["--name", "team/m", "-o", to]);
        assert_eq!(records(floe, to), before, "{to}");
        let out = output(floe.command().args(["verify", to]));
        assert!(out.status.success(), "{to}: {}", said(&out));
    });
}

#[test]
fn a_publisher_that_is_killed_after_its_tag_gets_its_record_from_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let (floe, registry) = (Floe::new(dir.path()), TestRegistry::start());
    let model = models::example("onnx/on_dev_scaler");
    let to = format!("docker://{}/m", registry.addr());
    // The record and the facts are what is tagged beside the version: their manifests wait for ever.
    registry.set(Switch::Status {
        method: "PUT",
        path: "/manifests/sha256-",
        status: 429,
        retry_after: Some(60),
        count: u32::MAX,
    });
    let mut command = floe.command();
    command.args(["build", "-q", "--name", "m", "-o", &to]).arg(&model);
    let mut child = command.stdout(std::process::Stdio::null()).spawn().unwrap();
    let waiting = |e: &crate::support::registry::Entry| e.status == 429;
    while !registry.log().iter().any(waiting) {
        assert!(child.try_wait().unwrap().is_none(), "it did not wait");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    registry.clear();
    let tags = registry.tags("m");
    assert!(tags.keys().all(|t| t.starts_with("v1-")) && tags.len() == 1, "{tags:?}");
    assert!(records(&floe, &to).is_empty());
    let next = floe.build(&model, &["--name", "m", "-o", &to]);
    assert!(tags.contains_key(next.version()));
    assert_eq!(records(&floe, &to).len(), 1);
    // So are the facts, which nobody else would attach any more.
    let out = output(floe.command().args(["inspect", &to, "--json"]));
    let shown: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(shown["referrers"].as_array().unwrap().len(), 2, "{shown}");
}

/// Git, as nobody in particular, and what it says.
fn git(folder: &std::path::Path, arguments: &[&str]) -> String {
    let mut command = std::process::Command::new("git");
    command.current_dir(folder).args([
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@t",
        "-c",
        "protocol.file.allow=always",
    ]);
    command.env_remove("GIT_DIR").args(arguments);
    crate::support::program::succeeded(&mut command).trim().to_owned()
}

#[test]
fn the_commit_of_the_work_tree_is_recorded_and_moves_no_digest() {
    let dir = tempfile::tempdir().unwrap();
    let (floe, registry) = (Floe::new(dir.path()), TestRegistry::start());
    let at = |name: &str| dir.path().join(name);
    let build = |model: &std::path::Path, name: &str, variables: &[(&str, &str)]| {
        let to = format!("docker://{}/{name}", registry.addr());
        let mut command = floe.command();
        command
            .args(["build", "--json", "--name", "m", "-o", &to])
            .arg(model)
            .envs(variables.iter().copied());
        let built = Built::of(&output(&mut command));
        let record = content(&floe, &to, &records(&floe, &to)[0]);
        (built.digest().to_owned(), record["revision"].as_str().map(str::to_owned))
    };
    models::write(&at("plain/weights.txt"), b"weights");
    let (digest, none) = build(&at("plain"), "plain", &[]);
    assert_eq!(none, None);

    let repo = at("repo");
    models::write(&repo.join("models/m/weights.txt"), b"weights");
    let model = repo.join("models/m");
    git(dir.path(), &["init", "-q", "repo"]);
    assert_eq!(build(&model, "unborn", &[]), (digest.clone(), None));
    git(&repo, &["add", "."]);
    git(&repo, &["commit", "-q", "-m", "one"]);
    let commit = git(&repo, &["rev-parse", "HEAD"]);
    assert_eq!(build(&model, "branch", &[]), (digest.clone(), Some(commit.clone())));
    // A CI system says what it runs for; one that says nothing of it leaves it to the work tree.
    let ci = [("GITHUB_ACTIONS", "true"), ("GITHUB_SHA", "0123456789abcdef")];
    assert_eq!(build(&model, "ci", &ci).1.as_deref(), Some("0123456789abcdef"));
    assert_eq!(build(&model, "ci2", &ci[..1]).1, Some(commit.clone()));
    // Packed, detached, in a linked work tree, as a submodule.
    git(&repo, &["pack-refs", "--all", "--prune"]);
    assert_eq!(build(&model, "packed", &[]).1, Some(commit.clone()));
    git(&repo, &["worktree", "add", "-q", "-b", "side", "../linked"]);
    models::write(&at("linked/more.txt"), b"more");
    git(&at("linked"), &["add", "."]);
    git(&at("linked"), &["commit", "-q", "-m", "two"]);
    let side = git(&at("linked"), &["rev-parse", "HEAD"]);
    assert_ne!(side, commit);
    assert_eq!(build(&at("linked/models/m"), "linked", &[]), (digest.clone(), Some(side.clone())));
    git(&repo, &["checkout", "-q", "--detach", &side]);
    assert_eq!(build(&model, "detached", &[]).1, Some(side.clone()));
    git(dir.path(), &["init", "-q", "outer"]);
    let from = repo.display().to_string();
    git(&at("outer"), &["submodule", "--quiet", "add", &from, "inner"]);
    let inner = git(&at("outer/inner"), &["rev-parse", "HEAD"]);
    assert_eq!(build(&at("outer/inner/models/m"), "submodule", &[]), (digest, Some(inner)));
    // Who wants no record gets none, with a repository or without.
    let to = format!("docker://{}/without", registry.addr());
    floe.build(&model, &["--name", "m", "--no-record", "-o", &to]);
    assert!(records(&floe, &to).is_empty());
}
