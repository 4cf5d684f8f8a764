//! The image that serves, in containers: as root and without, read-only, without capabilities, as
//! some user that nobody made, with no network but loopback.
//!
//! Sandboxes inside containers forbid much of what podman does by default: runc and lower limits on
//! files and processes are what runs there too.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Server, compare, models};
use crate::support::program::{Floe, output, said, succeeded};

/// The user without privileges and with subordinate ids, which `.ci/run packages` makes.
const USER: &str = "floe-ci";

/// A folder that podman may use, and who it runs as.
struct Podman {
    folder: tempfile::TempDir,
    user: Option<&'static str>,
}

impl Podman {
    fn new(user: Option<&'static str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("run")).unwrap();
        let this = Self { folder, user };
        this.give(this.folder.path());
        this
    }

    /// Makes everything below a path the user's.
    fn give(&self, path: &Path) {
        if let Some(user) = self.user {
            succeeded(Command::new("chown").arg("-R").arg(user).arg(path));
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = match self.user {
            Some(user) => {
                let mut c = Command::new("runuser");
                c.args(["-u", user, "--", "podman"]);
                c
            }
            None => Command::new("podman"),
        };
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        command.env("HOME", self.folder.path()).env("XDG_RUNTIME_DIR", self.path("run"));
        // A layout is named relative to here: podman takes no capitals in its path.
        command.current_dir(self.folder.path());
        command.arg("--root").arg(self.path("root")).arg("--runroot").arg(self.path("state"));
        command.args(["--storage-driver", "overlay", "--cgroup-manager", "cgroupfs", "--runtime", "runc"]);
        command.args(arguments);
        command
    }
}

fn root() -> bool {
    succeeded(Command::new("id").arg("-u")).trim() == "0"
}

/// Builds the default image of a model and runs it with everything taken away that can be.
fn container_answers(user: Option<&'static str>, uid: &str) {
    let podman = Podman::new(user);
    let floe = Floe::new(podman.folder.path());
    let model = models().join("network.onnx");
    let layout = format!("oci:{}", podman.path("layout").display());
    let mut build = floe.command();
    // The base is what this is about: floe itself.
    build
        .env_remove("FLOE_RUNTIME")
        .env_remove("FLOE_BINARY")
        .arg("build")
        .arg(&model)
        .args(["--name", "network", "--json", "-o"])
        .arg(format!("{layout}:it"));
    let out = output(&mut build);
    assert!(out.status.success(), "{}", said(&out));
    let built: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    podman.give(&podman.path("layout"));

    let image = "oci:layout:it";
    let limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"];
    let closed = [
        "--read-only",
        "--read-only-tmpfs=false",
        "--cap-drop",
        "all",
        "--security-opt",
        "no-new-privileges",
    ];
    let ports = ["--env", "FLOE_SERVE_HTTP_PORT=0", "--env", "FLOE_SERVE_GRPC_PORT=0"];
    let run = ["run", "--rm", "--name", "it", "--network=host", "--user", uid];
    let arguments = [&run[..], &limits, &closed, &ports, &[image]].concat();
    let mut server = Server::start(&mut podman.command(&arguments));
    let said = compare(&server, "network", &model);
    let id = built["model_id"].as_str().unwrap();
    assert!(said.contains(id.strip_prefix("sha256:").unwrap()), "{said}");
    succeeded(&mut podman.command(&["kill", "--signal", "TERM", "it"]));
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
}

#[test]
fn c43_the_image_answers_in_a_container_of_root() {
    if root() {
        container_answers(None, "12345:54321");
    } else {
        // Who is not root has only containers without root.
        container_answers(None, "123:321");
    }
}

#[test]
fn c43_the_image_answers_in_a_container_without_root() {
    if root() {
        container_answers(Some(USER), "65532");
    } else {
        container_answers(None, "65532");
    }
}
