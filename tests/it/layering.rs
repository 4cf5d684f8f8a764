//! The order of dependencies is a test: a module uses lower rungs only.

use std::fs;
use std::path::{Path, PathBuf};

/// Lowest first. Modules on one rung do not know each other.
const LADDER: &[&[&str]] = &[
    &["error"],
    &["fs"],
    &["oci"],
    &["event", "blob", "tar", "model", "runtimes"],
    &["plan", "engine"],
    &["image"],
    &["pack", "store"],
    &["versions"],
    &["build", "infer", "inspect", "copy", "verify", "diff", "rebase", "serve"],
];

fn rung(module: &str) -> usize {
    LADDER
        .iter()
        .position(|r| r.contains(&module))
        .unwrap_or_else(|| panic!("module `{module}` stands on no rung; add it to LADDER and to DESIGN.md"))
}

fn sources(dir: &Path, out: &mut Vec<PathBuf>) {
    for item in fs::read_dir(dir).unwrap() {
        let path = item.unwrap().path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

/// Every `crate::NAME` in a line of code, comments left out.
fn names(line: &str) -> Vec<&str> {
    let code = line.split("//").next().unwrap_or(line);
    code.match_indices("crate::")
        .filter(|(at, _)| !code[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
        .map(|(at, m)| {
            let rest = &code[at + m.len()..];
            &rest[..rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())]
        })
        .collect()
}

#[test]
fn a_module_uses_lower_rungs_only() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let mut looked = 0;
    let mut wrong = Vec::new();
    for file in files {
        let relative = file.strip_prefix(&src).unwrap();
        let first = relative.iter().next().unwrap().to_str().unwrap();
        let own = first.trim_end_matches(".rs");
        if matches!(own, "lib" | "main" | "cli") {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        for (n, line) in text.lines().enumerate() {
            for name in names(line) {
                looked += 1;
                // The re-exports of the crate root are those of `error`.
                let name = if matches!(name, "Error" | "Kind" | "Result") { "error" } else { name };
                if name != own && rung(name) >= rung(own) {
                    wrong.push(format!("src/{}:{}: `{own}` uses `{name}`", relative.display(), n + 1));
                }
            }
        }
    }
    assert!(looked > 20, "the search for `crate::` found only {looked} uses; it is broken");
    assert!(wrong.is_empty(), "modules use rungs that are not below them:\n{}", wrong.join("\n"));
}

/// The binary is the library's first outside user: it sees the public interface and nothing else.
#[test]
fn the_library_does_not_know_the_command_line() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let text = fs::read_to_string(src.join("lib.rs")).unwrap();
    assert!(!text.contains("mod cli"));
    for group in [r"use crate::{", "pub use crate::{"] {
        let mut files = Vec::new();
        sources(&src, &mut files);
        for f in files {
            let text = fs::read_to_string(&f).unwrap();
            assert!(!text.contains(group), "{}: write `use crate::NAME::…`, one module a line", f.display());
        }
    }
}

/// Every request goes one way: whatever else spoke to a registry would know nothing of retries, logins and
/// proxies.
#[test]
fn one_transport_makes_every_request() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let (mut makers, mut users) = (Vec::new(), Vec::new());
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let code = || text.lines().map(|l| l.split("//").next().unwrap_or(l));
        let name = file.strip_prefix(&src).unwrap().display().to_string();
        if code().any(|l| l.contains("reqwest::") || l.contains("oci_client::")) {
            users.push(name.clone());
        }
        if code().any(|l| l.contains("Client::builder()") || l.contains("TcpStream::connect")) {
            makers.push(name);
        }
    }
    // The server's tests speak to the server, not to a registry.
    makers.retain(|m| !m.starts_with("serve/"));
    assert_eq!(makers, ["store/registry/transport.rs"]);
    assert!(users.len() > 10 && users.iter().all(|u| u.starts_with("store/registry/")), "{users:?}");
}
