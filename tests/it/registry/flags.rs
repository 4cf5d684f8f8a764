//! The flags and variables that say how floe talks to registries.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::support::models::{noise, write};
use crate::support::program::{Floe, output, said};
use crate::support::registry::{Switch, TestRegistry};

/// Builds a small model into a registry.
fn build(folder: &Path, registry: &TestRegistry, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let model = folder.join("model");
    write(&model.join("weights.bin"), &noise(1, 200_000));
    let mut command = Floe::new(folder).command();
    command.arg("build").arg(&model).args(["--name", "m", "--base", "scratch"]).args(arguments);
    command.arg("-o").arg(format!("docker://{}/m", registry.addr())).envs(variables.iter().copied());
    output(&mut command)
}

fn home(folder: &Path) -> PathBuf {
    folder.join("home")
}

#[test]
fn c10_the_way_of_uploads_is_a_flag_and_a_variable() {
    for (arguments, variables, method, header) in [
        (&[][..], &[][..], "PATCH", "transfer-encoding"),
        (&["--upload", "whole"], &[], "PUT", "content-length"),
        (&[], &[("FLOE_UPLOAD", "whole")], "PUT", "content-length"),
        (&[], &[("FLOE_UPLOAD", "")], "PATCH", "transfer-encoding"),
        (&["--upload=stream"], &[("FLOE_UPLOAD", "whole")], "PATCH", "transfer-encoding"),
        (&["--upload", "chunked"], &[], "PATCH", "content-range"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let registry = TestRegistry::start();
        let out = build(folder.path(), &registry, arguments, variables);
        assert!(out.status.success(), "{}", said(&out));
        let bodies: Vec<_> = registry.log().into_iter().filter(|e| e.received > 0).collect();
        let layers: Vec<_> = bodies.iter().filter(|e| e.path.contains("/uploads/")).collect();
        assert!(!layers.is_empty());
        for e in layers {
            assert!(
                e.method == method && e.headers.contains_key(header),
                "{arguments:?} {variables:?}: {e:?}"
            );
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let out = build(folder.path(), &TestRegistry::start(), &["--upload", "pigeon"], &[]);
    assert_eq!(out.status.code(), Some(2));
    assert!(said(&out).contains("chunked"), "{}", said(&out));
}

#[test]
fn c10_retries_and_stalls_are_flags_and_variables() {
    let busy =
        || Switch::Status { method: "POST", path: "", status: 503, retry_after: Some(0), count: u32::MAX };
    for (arguments, variables, posts) in [
        (&["--retries", "0"][..], &[][..], 1),
        (&[], &[("FLOE_RETRIES", "2")], 3),
        (&["--retries", "1"], &[("FLOE_RETRIES", "2")], 2),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let registry = TestRegistry::start().with(busy());
        let out = build(folder.path(), &registry, arguments, variables);
        assert_eq!(out.status.code(), Some(4), "{}", said(&out));
        // The layers go side by side, and each asks for itself.
        let asked = registry.steps().iter().filter(|s| *s == "POST uploads").count();
        assert!(asked >= posts && asked % posts == 0, "{arguments:?} {variables:?}: {asked} of {posts}");
    }
    let folder = tempfile::tempdir().unwrap();
    let registry = TestRegistry::start().with(Switch::Stall { after: 1, count: 1 });
    let begun = std::time::Instant::now();
    let out = build(folder.path(), &registry, &["--stall", "0.5"], &[]);
    // What fits into the system's buffers is sent, and then the registry has its time to answer.
    assert!(begun.elapsed() < std::time::Duration::from_secs(30), "{}", said(&out));
    for bad in ["0", "-1", "soon"] {
        let out = build(folder.path(), &registry, &[&format!("--stall={bad}")], &[]);
        assert_eq!(out.status.code(), Some(2), "{bad}");
    }
}

#[test]
fn c11_the_journal_is_in_the_cache_folder_and_for_the_user_alone() {
    let found = |folder: &Path| -> Vec<PathBuf> {
        let Ok(list) = std::fs::read_dir(folder.join("uploads")) else { return Vec::new() };
        let repositories = list.map(|r| r.unwrap().path());
        repositories.flat_map(|r| std::fs::read_dir(r).unwrap().map(|f| f.unwrap().path())).collect()
    };
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = folder.path().join("elsewhere").to_string_lossy().into_owned();
    for (arguments, variables, cache) in [
        (vec![], vec![], Some(home(folder.path()).join(".cache/floe"))),
        (vec![], vec![("XDG_CACHE_HOME", elsewhere.as_str())], Some(folder.path().join("elsewhere/floe"))),
        (vec![], vec![("FLOE_CACHE", elsewhere.as_str())], Some(folder.path().join("elsewhere"))),
        (vec!["--no-cache"], vec![], None),
        (vec![], vec![("FLOE_NO_CACHE", "1")], None),
        (vec!["--no-cache"], vec![("FLOE_CACHE", elsewhere.as_str())], None),
    ] {
        let registry = TestRegistry::start();
        let out = build(folder.path(), &registry, &arguments, &variables);
        assert!(out.status.success(), "{}", said(&out));
        let all = [
            home(folder.path()).join(".cache/floe"),
            folder.path().join("elsewhere/floe"),
            folder.path().join("elsewhere"),
        ];
        for place in all {
            let files = found(&place);
            assert_eq!(
                !files.is_empty(),
                cache.as_ref() == Some(&place),
                "{arguments:?} {variables:?} {place:?}"
            );
            for file in files {
                assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
            }
            let _none = std::fs::remove_dir_all(place.join("uploads"));
        }
    }
}

#[test]
fn c07_ctrl_c_ends_a_pause() {
    use rustix::process::{Pid, Signal, kill_process};
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    write(&model.join("weights.bin"), &noise(1, 1000));
    let registry = TestRegistry::start();
    registry.set(Switch::Status {
        method: "",
        path: "",
        status: 429,
        retry_after: Some(100),
        count: u32::MAX,
    });
    let mut command = Floe::new(folder.path()).command();
    command.arg("build").arg(&model).args(["--name", "m", "--base", "scratch", "-o"]);
    command.arg(format!("docker://{}/m", registry.addr()));
    let mut child =
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    while registry.log().is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let begun = std::time::Instant::now();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(begun.elapsed() < std::time::Duration::from_secs(50));
}
