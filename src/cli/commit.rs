//! Build script: tells the binary from which commit and for which target it was made.
//!
//! It is named in `Cargo.toml` and is no module of the program.

#![allow(clippy::print_stdout, reason = "a build script talks to cargo in this way")]

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=.git/HEAD");
    println!("cargo:rerun-if-changed=.git/logs/HEAD");
    let git = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output();
    let commit = git
        .ok()
        .filter(|o| o.status.success())
        .and_then(|o| String::from_utf8(o.stdout).ok())
        .map_or_else(|| "no commit".to_owned(), |s| format!("commit {}", s.trim()));
    println!("cargo:rustc-env=FLOE_COMMIT={commit}");
    println!("cargo:rustc-env=FLOE_TARGET={}", std::env::var("TARGET").unwrap_or_default());
}
