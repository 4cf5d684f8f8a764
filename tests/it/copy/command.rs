//! `floe copy` and `floe inventory` as they are typed.

use serde_json::Value;

use crate::support::models;
use crate::support::program::{Floe, output, said};
use crate::support::registry::TestRegistry;

struct Case {
    dir: tempfile::TempDir,
    floe: Floe,
    registry: TestRegistry,
}

impl Case {
    /// Two models in the local store.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let case = Self { floe: Floe::new(dir.path()), dir, registry: TestRegistry::start() };
        let model = models::example("onnx/on_dev_scaler");
        case.floe.build(&model, &["--name", "one"]);
        case.floe.build(&model, &["--name", "team/two", "--alias", "prod"]);
        case
    }

    fn run(&self, arguments: &[&str]) -> std::process::Output {
        output(self.floe.command().args(arguments).current_dir(self.dir.path()))
    }

    fn answer(&self, arguments: &[&str]) -> String {
        let out = self.run(arguments);
        assert!(out.status.success(), "{arguments:?}: {}", said(&out));
        String::from_utf8(out.stdout).unwrap()
    }

    fn refused(&self, arguments: &[&str]) -> (i32, String) {
        let out = self.run(arguments);
        (out.status.code().unwrap(), said(&out))
    }
}

#[test]
fn one_line_is_printed_for_each_image_and_one_document_as_json() {
    let case = Case::new();
    let to = format!("docker://{}/", case.registry.addr());
    let lines = case.answer(&["copy", "one", "team/two:prod", &to]);
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[1].starts_with(&format!("{to}team/two@sha256:")), "{lines:?}");
    // What is printed is read again.
    let json: Value = serde_json::from_str(&case.answer(&["copy", "--json", lines[0], "oci:x:y"])).unwrap();
    assert_eq!((&json["floe"], &json["dry_run"]), (&1.into(), &false.into()));
    let copied = &json["copied"][0];
    assert_eq!(copied["ref"], "oci:x:y");
    assert!(copied["blobs"]["written"].as_u64() > Some(0), "{json}");
    assert!(lines[0].ends_with(copied["digest"].as_str().unwrap()));
}

#[test]
fn a_list_of_references_is_read_from_a_file_or_from_standard_input() {
    let case = Case::new();
    let to = format!("docker://{}/mirror/", case.registry.addr());
    std::fs::write(case.dir.path().join("list.txt"), "# models\none\n\n  team/two:prod  # the good one\n")
        .unwrap();
    assert_eq!(case.answer(&["copy", "-f", "list.txt", &to]).lines().count(), 2);
    let script = "\"$0\" copy --file - \"$1\" < list.txt";
    let mut command = std::process::Command::new("sh");
    let envs = case.floe.command();
    command.env_clear().envs(envs.get_envs().filter_map(|(k, v)| Some((k, v?))));
    command.args(["-c", script, env!("CARGO_BIN_EXE_floe"), &to]).current_dir(case.dir.path());
    let out = output(&mut command);
    assert!(out.status.success(), "{}", said(&out));
    assert!(said(&out).contains("was there before"), "{}", said(&out));
    std::fs::write(case.dir.path().join("empty.txt"), "# nothing\n").unwrap();
    assert_eq!(case.refused(&["copy", "-f", "empty.txt", &to]).0, 2);
}

#[test]
fn c17_a_dry_run_writes_nothing_and_says_what_would_be() {
    let case = Case::new();
    let to = format!("docker://{}/m", case.registry.addr());
    let json: Value =
        serde_json::from_str(&case.answer(&["copy", "--dry-run", "--json", "one", &to])).unwrap();
    assert_eq!(json["dry_run"], true);
    let copied = &json["copied"][0];
    assert!(
        copied["blobs"]["written"].as_u64() > Some(0)
            && copied["tags"][0].as_str().unwrap().starts_with("v1-")
    );
    assert!(case.registry.log().iter().all(|e| e.method == "GET" || e.method == "HEAD"));
    for to in ["oci:dir", "oci-archive:file.tar", "other"] {
        case.answer(&["copy", "--dry-run", "one", to]);
    }
    assert!(!case.dir.path().join("dir").exists() && !case.dir.path().join("file.tar").exists());
    assert!(case.refused(&["versions", "other"]).1.contains("has no versions"));
}

#[test]
fn an_inventory_goes_to_standard_output_or_to_a_file_and_makes_a_delta() {
    let case = Case::new();
    let all: Value = serde_json::from_str(&case.answer(&["inventory"])).unwrap();
    assert_eq!((&all["floe"], &all["type"]), (&1.into(), &"inventory".into()));
    assert_eq!(all["images"].as_array().unwrap().len(), 3, "two versions and an alias");
    let kinds: Vec<&str> =
        all["referrers"].as_array().unwrap().iter().map(|r| r["artifact_type"].as_str().unwrap()).collect();
    assert!(kinds.contains(&"application/vnd.floe.facts.v1+json"), "{kinds:?}");
    assert_eq!(case.answer(&["inventory", "one", "-o", "have.json"]), "");
    // The other model has the same layers.
    let json = case.answer(&["copy", "team/two", "oci-archive:d.tar", "--since", "have.json", "--json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert!(json["copied"][0]["left_out"].as_u64() > Some(0), "{json}");
    case.answer(&["copy", "team/two", "oci-archive:e.tar", "--since", "one", "--split-size", "1KiB"]);
    assert!(case.dir.path().join("e.tar.000").exists() && case.dir.path().join("e.tar.sha256").exists());
    let (code, text) = case.refused(&["copy", "oci-archive:e.tar", "oci:nowhere"]);
    assert_eq!(code, 5, "{text}");
    case.answer(&["copy", "oci-archive:e.tar", "team/two"]);
}

#[test]
fn what_cannot_be_is_a_usage_error_that_says_what_to_do() {
    let case = Case::new();
    for (arguments, said) in [
        (&["copy", "one"][..], "a source and a destination"),
        (&["copy", "one", "x.tar"], "needs a transport"),
        (&["copy", "nothing", "oci:x"], "nothing"),
        (&["copy", "one:9", "oci:x"], "version 9"),
        (&["copy", "one", "oci:x", "--since", "missing.json"], "missing.json"),
        (&["copy", "one", "oci:x", "--split-size", "1GiB"], "need an OCI archive"),
        (&["copy", "one", "oci-archive:x.tar", "--alias", "a"], "archive"),
        (&["copy", "one", "team/two", "oci:x:y"], "cannot all be called"),
        (&["copy", "one", "oci:x", "--alias", "v1"], "alias"),
        (&["copy", "one", "oci:x", "--platform", "linux/s390x"], "no image for linux/s390x"),
        (&["copy", "--all-tags", "one:1", "oci:x"], "--all-tags"),
        (&["copy", "one", "docker-archive:x.tar", "--since", "one"], "need an OCI archive"),
    ] {
        let (code, text) = case.refused(arguments);
        assert_eq!(code, 2, "{arguments:?}: {text}");
        assert!(text.contains(said), "{arguments:?}: {text}");
        assert!(text.contains("hint: "), "{text}");
        assert!(!case.dir.path().join("x").exists(), "{arguments:?}");
    }
    std::fs::write(case.dir.path().join("bad.json"), "{}").unwrap();
    assert_eq!(case.refused(&["copy", "one", "oci-archive:x.tar", "--since", "bad.json"]).0, 5);
}
