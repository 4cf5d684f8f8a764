//! The built program and the tools of others, run as a user runs them.
//!
//! floe gets a cleared environment, so that nothing of the developer's machine decides a test.
//! A tool that is missing fails the test: else nobody would notice that nothing was tested.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use super::{elf, secrets};

/// Runs a program, which has to be there.
pub(crate) fn output(command: &mut Command) -> Output {
    let name = command.get_program().to_string_lossy().into_owned();
    // Before it runs: a logout forgets what the check has to know.
    let kept = secrets::of(command);
    let out = command.output().unwrap_or_else(|e| panic!("`{name}` is needed for this test: {e}"));
    secrets::check(command, &kept, &[&out.stdout, &out.stderr]);
    out
}

/// Runs a program that has to succeed, and gives what it wrote to standard output.
pub(crate) fn succeeded(command: &mut Command) -> String {
    let out = output(command);
    assert!(out.status.success(), "{command:?}: {:?}\n{}", out.status, said(&out));
    String::from_utf8(out.stdout).unwrap()
}

/// Runs a program that has to refuse, and gives all that it said.
pub(crate) fn refused(command: &mut Command) -> String {
    let out = output(command);
    let said = said(&out);
    assert!(!out.status.success(), "{command:?} was expected to refuse\n{said}");
    said
}

/// Runs a program with arguments; it has to succeed.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    succeeded(Command::new(program).args(arguments))
}

/// Both streams of a program as text.
pub(crate) fn said(out: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

/// Skopeo, without the machine's policy for signatures.
pub(crate) fn skopeo(arguments: &[&str]) -> String {
    run("skopeo", &[&["--insecure-policy"], arguments].concat())
}

/// floe in surroundings of its own: a home and a local store below one folder.
pub(crate) struct Floe {
    home: PathBuf,
    /// A small program for this machine, as the variable has it.
    binary: String,
}

/// What `floe build --json` says.
pub(crate) struct Built {
    pub(crate) json: Value,
}

impl Floe {
    pub(crate) fn new(folder: &Path) -> Self {
        let home = folder.join("home");
        std::fs::create_dir_all(&home).unwrap();
        let (platform, machine) = elf::host();
        let program = home.join("program");
        std::fs::write(&program, elf::fixed(machine)).unwrap();
        Self { binary: format!("{platform}={}", program.display()), home }
    }

    /// Where the local store is.
    pub(crate) fn store(&self) -> PathBuf {
        self.home.join("store")
    }

    /// The program with its surroundings and no arguments yet.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_floe"));
        command.env_clear().env("HOME", &self.home).env("FLOE_STORE", self.store());
        // Most tests are of what is the same for all bases; and the program under test is large, so
        // that a small one stands for it where one is laid as a base.
        command.env("FLOE_RUNTIME", "data").env("FLOE_BINARY", &self.binary);
        command
    }

    /// Builds a model; it has to succeed.
    pub(crate) fn build<S: AsRef<OsStr>>(&self, model: &Path, arguments: &[S]) -> Built {
        let mut command = self.command();
        command.arg("build").arg(model).arg("--json").args(arguments);
        Built::of(&output(&mut command))
    }
}

impl Floe {
    /// Builds a model that has to be refused; the exit code, and what was said.
    pub(crate) fn build_refused(&self, model: &Path, arguments: &[&str]) -> (i32, String) {
        let out = output(self.command().arg("build").arg(model).args(arguments));
        assert!(!out.status.success(), "{arguments:?} was expected to be refused");
        (out.status.code().unwrap(), said(&out))
    }
}

impl Built {
    /// Reads what a build said that has to have succeeded.
    pub(crate) fn of(out: &Output) -> Self {
        assert!(out.status.success(), "floe: {:?}\n{}", out.status, said(out));
        Self { json: serde_json::from_slice(&out.stdout).unwrap() }
    }

    fn text(&self, key: &str) -> &str {
        self.json[key].as_str().unwrap_or_else(|| panic!("no `{key}` in {}", self.json))
    }

    pub(crate) fn digest(&self) -> &str {
        self.text("digest")
    }

    pub(crate) fn version(&self) -> &str {
        self.text("version")
    }

    pub(crate) fn model_id(&self) -> &str {
        self.text("model_id")
    }

    /// One key of every layer, lowest first.
    pub(crate) fn layers(&self, key: &str) -> Vec<&str> {
        self.json["layers"].as_array().unwrap().iter().map(|l| l[key].as_str().unwrap()).collect()
    }

    /// Where it was published, as floe prints it, in the order of `-o`.
    pub(crate) fn references(&self) -> Vec<&str> {
        self.json["published"].as_array().unwrap().iter().map(|p| p["ref"].as_str().unwrap()).collect()
    }
}
