//! Who floe is towards registries and how it reaches them: logins, helpers, certificates, proxies,
//! `registries.conf`. Each test runs the program, in an environment that it knows whole.

use std::path::PathBuf;
use std::process::{Command, Output};

use crate::support::models;
use crate::support::program::{Floe, output, said};
use crate::support::registry::{Switch, TestRegistry};

mod certificates;
mod helpers;
mod ipv6;
mod login;
mod proxies;
mod registries;
mod secrets;
mod variables;

const USER: &str = "ann";
const PASSWORD: &str = "correct-horse-battery";

/// A folder with a model, a home, and a registry.
struct Place {
    dir: tempfile::TempDir,
    floe: Floe,
    registry: TestRegistry,
}

impl Place {
    fn new() -> Self {
        Self::with(TestRegistry::start())
    }

    fn with(registry: TestRegistry) -> Self {
        let dir = tempfile::tempdir().unwrap();
        models::grouped(&dir.path().join("model"));
        Self { floe: Floe::new(dir.path()), dir, registry }
    }

    /// With a registry that wants Ann's password.
    fn closed() -> Self {
        let place = Self::new();
        place.registry.set(basic());
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        models::write(&path, text.as_ref());
        path
    }

    /// A program in the folder `bin`. Another process writes it: a file that is open for writing in
    /// this one could not be run.
    fn program(&self, name: &str, script: &str) {
        let source = self.write("script", format!("#!/bin/sh\n{script}\n"));
        let target = self.path("bin").join(name);
        crate::support::program::run(
            "install",
            &["-D", "-m", "755", source.to_str().unwrap(), target.to_str().unwrap()],
        );
    }

    /// The program with the words of a line; `HOST` is the registry, `DIR` the folder.
    fn command(&self, line: &str) -> Command {
        let mut command = self.floe.command();
        let system = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{system}", self.path("bin").display()));
        command.current_dir(self.dir.path());
        for word in line.split_whitespace() {
            let dir = self.dir.path().to_str().unwrap();
            command.arg(word.replace("HOST", self.registry.addr()).replace("DIR", dir));
        }
        command
    }

    fn run(&self, line: &str) -> Output {
        output(&mut self.command(line))
    }

    fn publishes(&self, command: &mut Command) {
        let out = output(command);
        assert!(out.status.success(), "{command:?}: {}", said(&out));
    }

    /// A build into the registry.
    fn build(&self) -> Command {
        self.command("build model --name m -o docker://HOST/team/m")
    }

    /// Whether somebody could write.
    fn exit_code(&self, command: &mut Command) -> (Option<i32>, String) {
        let out = output(command);
        (out.status.code(), said(&out))
    }
}

fn basic() -> Switch {
    Switch::Basic { user: USER, password: PASSWORD }
}

fn bearer() -> Switch {
    Switch::Bearer { requests: 5, login: Some((USER, PASSWORD)) }
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// A file of logins with one entry.
fn auths(host: &str, entry: &str) -> String {
    format!(r#"{{"auths":{{"{host}":{entry}}}}}"#)
}

fn auth(host: &str) -> String {
    auths(host, &format!(r#"{{"auth":"{}"}}"#, base64(&format!("{USER}:{PASSWORD}"))))
}
