//! No program of ours says a secret that its environment or its files of logins hold.
//!
//! Every run of the suite is looked at, whatever it is a test of. The names of users are no secrets
//! here; what is shorter than four characters would be found everywhere.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// Variables that hold a secret. The last one is for tests: what a helper tells.
const VARIABLES: &[&str] = &["FLOE_PASSWORD", "CI_REGISTRY_PASSWORD", "CI_JOB_TOKEN", "SECRETS_OF_THE_TEST"];
/// Variables that hold a URL with a secret.
const PROXIES: &[&str] =
    &["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// All secrets that a program is given.
pub(crate) fn of(command: &Command) -> Vec<String> {
    let env: BTreeMap<String, String> = command
        .get_envs()
        .filter_map(|(k, v)| Some((k.to_string_lossy().into_owned(), v?.to_string_lossy().into_owned())))
        .collect();
    let var = |name: &str| env.get(name).cloned();
    let mut all: Vec<String> = VARIABLES.iter().filter_map(|n| var(n)).collect();
    for url in PROXIES.iter().filter_map(|n| var(n)) {
        let userinfo = url.split("://").nth(1).and_then(|u| u.rsplit_once('@')).map(|(userinfo, _)| userinfo);
        if let Some((user, password)) = userinfo.and_then(|u| u.split_once(':')) {
            all.extend([password.to_owned(), STANDARD.encode(format!("{user}:{password}"))]);
        }
    }
    let folder = |name: &str, file: &str| var(name).map(|d| Path::new(&d).join(file));
    let mut files: Vec<PathBuf> = [
        folder("HOME", ".docker/config.json"),
        folder("HOME", ".config/containers/auth.json"),
        folder("XDG_RUNTIME_DIR", "containers/auth.json"),
        folder("XDG_CONFIG_HOME", "containers/auth.json"),
        folder("DOCKER_CONFIG", "config.json"),
        var("REGISTRY_AUTH_FILE").map(PathBuf::from),
        var("FLOE_AUTHFILE").map(PathBuf::from),
    ]
    .into_iter()
    .flatten()
    .collect();
    let mut args = command.get_args();
    while let Some(arg) = args.next() {
        if arg == "--authfile" {
            files.extend(args.next().map(PathBuf::from));
        }
    }
    let here = command.get_current_dir().unwrap_or(Path::new("."));
    for file in files {
        let Ok(bytes) = std::fs::read(here.join(file)) else { continue };
        let Ok(value) = serde_json::from_slice::<Value>(&bytes) else { continue };
        for entry in value["auths"].as_object().into_iter().flat_map(|a| a.values()) {
            let keys = ["auth", "password", "identitytoken", "registrytoken"];
            all.extend(keys.iter().filter_map(|k| entry[*k].as_str()).map(str::to_owned));
            let plain = entry["auth"].as_str().and_then(|a| STANDARD.decode(a).ok());
            let plain = plain.and_then(|p| String::from_utf8(p).ok());
            all.extend(plain.and_then(|p| Some(p.split_once(':')?.1.to_owned())));
        }
    }
    all.retain(|s| s.len() >= 4);
    all
}

/// Panics where a program of ours said one. Its arguments are no secret of ours: who lists processes sees them.
#[track_caller]
pub(crate) fn check(command: &Command, secrets: &[String], streams: &[&[u8]]) {
    if command.get_program() != env!("CARGO_BIN_EXE_floe") {
        return;
    }
    let text: Vec<String> = streams.iter().map(|s| String::from_utf8_lossy(s).into_owned()).collect();
    for secret in secrets {
        let shown = text.iter().find(|t| t.contains(secret.as_str()));
        assert!(shown.is_none(), "{command:?} says the secret `{secret}`: {}", shown.unwrap());
    }
}

#[test]
#[should_panic(expected = "says the secret `hunter22`")]
fn a_secret_in_the_output_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let auths = format!(r#"{{"auths":{{"h":{{"auth":"{}"}}}}}}"#, STANDARD.encode("ann:hunter22"));
    std::fs::write(dir.path().join("a.json"), auths).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_floe"));
    command.current_dir(dir.path()).args(["versions", "--authfile", "a.json"]);
    let secrets = of(&command);
    assert_eq!(secrets.len(), 2);
    check(&command, &secrets, &[b"nothing here", b"error: hunter22 is wrong"]);
}
