//! The main job where nothing is allowed: another user, no capability, no new privileges, a
//! read-only root, no HOME, one folder to write to. `unshare` and `mount` must fail there, which is
//! shown first: else the test would show nothing.
//!
//! Bubblewrap makes the sandbox. When the tests run as root, they become nobody before that, so
//! that files belong to who they seem to belong to.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::debian::DebianRegistry;
use crate::support::models::{self, mode};
use crate::support::program::{Built, Floe, output, said, skopeo, succeeded};
use crate::support::{bases, walk};

/// Nobody and nogroup.
const NOBODY: u32 = 65534;

struct Sandbox {
    folder: tempfile::TempDir,
}

impl Sandbox {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let this = Self { folder };
        // Nobody has to get to what is inside.
        mode(this.folder.path(), 0o755);
        // Copied by another process: a file that this one has open for writing may be handed on to the child of
        // another test, and cannot be run while that lives (ETXTBSY).
        crate::support::program::run(
            "cp",
            &[env!("CARGO_BIN_EXE_floe"), this.path("floe").to_str().unwrap()],
        );
        fs::create_dir(this.path("work")).unwrap();
        if Self::is_root() {
            std::os::unix::fs::chown(this.path("work"), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        models::grouped(&this.path("model"));
        // The example's own mode lets nobody else read it, as a model of a careful author does.
        mode(&this.path("model/model.onnx"), 0o644);
        bases::plain(&this.path("base"));
        this
    }

    fn is_root() -> bool {
        rustix::process::geteuid().is_root()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command inside; only `work` can be written to.
    fn command(&self) -> Command {
        let work = self.path("work");
        let mut command;
        if Self::is_root() {
            command = Command::new("setpriv");
            command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--no-new-privs"]);
            command.args(["--bounding-set=-all", "--inh-caps=-all", "bwrap"]);
        } else {
            command = Command::new("bwrap");
        }
        command.args(["--unshare-user", "--unshare-pid", "--disable-userns", "--cap-drop", "ALL"]);
        command.args(["--uid", "65534", "--gid", "65534", "--die-with-parent", "--clearenv"]);
        command.args(["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--chdir", "/", "--bind"]);
        command.arg(&work).arg(&work).arg("--");
        command
    }

    /// A script inside, with `$0` as the folder that can be written to.
    fn script(&self, script: &str) -> Output {
        output(self.command().args(["/bin/sh", "-c", script]).arg(self.path("work")))
    }

    fn floe(&self, arguments: &[&str]) -> Output {
        output(self.command().arg(self.path("floe")).args(arguments))
    }
}

/// That nothing is allowed is shown by trying it.
fn nothing_is_allowed(sandbox: &Sandbox) {
    let status = sandbox.script("id -u; id -G; cat /proc/self/status; echo \"home=$HOME\"");
    let status = said(&status);
    let has = |line: &str| status.lines().any(|l| l == line);
    assert!(status.starts_with("65534\n65534\n"), "{status}");
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert!(has(&format!("{set}:\t0000000000000000")), "{status}");
    }
    assert!(has("NoNewPrivs:\t1") && has("home="), "{status}");
    for refused in [
        "unshare --user true",
        "unshare --mount true",
        "unshare --map-root-user --mount true",
        "mount -t tmpfs none $0",
        "mount --bind / $0",
        "touch /etc/floe-was-here",
        "touch /tmp/floe-was-here",
        "touch \"$(dirname $0)/floe-was-here\"",
    ] {
        let out = sandbox.script(refused);
        assert!(!out.status.success(), "`{refused}` was allowed in the sandbox");
    }
    // They fail because they may not, not because they are not there.
    for tool in ["unshare", "mount", "touch"] {
        succeeded(Command::new(tool).arg("--version"));
    }
    assert!(sandbox.script("touch $0/a && rm $0/a").status.success());
}

#[test]
fn c43_the_main_job_needs_no_privilege() {
    let sandbox = Sandbox::new();
    nothing_is_allowed(&sandbox);
    let registry = DebianRegistry::start();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let base = format!("oci:{}:base", text(&sandbox.path("base")));
    let model = text(&sandbox.path("model"));
    let at = |kind: &str, name: &str| format!("{kind}:{}", text(&sandbox.path("work").join(name)));
    let (to, layout) = (format!("docker://{}/team/m", registry.host()), at("oci", "layout"));
    let (archive, docker) = (at("oci-archive", "o.tar"), at("docker-archive", "d.tar"));
    let build = ["build", &model, "--json", "--name", "team/m", "--base", &base];
    let outputs = ["-o", &layout, "-o", &to, "-o", &archive, "-o", &docker];
    let inside = Built::of(&sandbox.floe(&[&build[..], &outputs].concat()));

    // The same as outside, as whoever runs the tests.
    let outside = Floe::new(sandbox.folder.path())
        .build(&sandbox.path("model"), &["--name", "team/m", "--base", &base, "--dry-run=full"]);
    assert_eq!(inside.digest(), outside.digest());
    let found = walk::layout(&sandbox.path("work/layout"));
    assert_eq!(found.names, [(inside.version().to_owned(), inside.digest().to_owned())]);
    let facts = inside.digest().replace(':', "-");
    let mut tags = registry.tags("team/m");
    tags.sort();
    // The list of what is attached, the facts and the publish record, and the version.
    assert_eq!(tags.len(), 4, "{tags:?}");
    assert!(tags[..3].iter().all(|t| t.starts_with(&facts)) && tags[3] == inside.version(), "{tags:?}");
    for reference in inside.references() {
        skopeo(&["inspect", "--tls-verify=false", reference]);
    }
    assert!(walk::temporary(&sandbox.path("work")).is_empty());

    // Again, from the registry's side this time: the base is there now, and the version too.
    let base = format!("{}/team/m:{}", registry.host(), inside.version());
    let again = ["build", &model, "--json", "--name", "team/n", "--base", &base, "-o", &at("oci", "n")];
    let again = Built::of(&sandbox.floe(&again));
    assert_eq!(again.json["base"][0], inside.digest());
    assert_eq!(walk::layout(&sandbox.path("work/n")).names.len(), 1);
}

/// Without a home there is no local store: that is told, and nothing is written anywhere.
#[test]
fn c12_without_a_home_the_store_has_to_be_named() {
    let sandbox = Sandbox::new();
    let model = sandbox.path("model").to_str().unwrap().to_owned();
    let build = ["build", &model, "--name", "m", "--base", "scratch", "--json"];
    let out = sandbox.floe(&build);
    assert_eq!(out.status.code(), Some(2), "{}", said(&out));
    assert!(said(&out).contains("FLOE_STORE"), "{}", said(&out));
    let store = sandbox.path("work/store").to_str().unwrap().to_owned();
    let built = Built::of(&sandbox.floe(&[&build[..], &["--store", &store]].concat()));
    let names = walk::layout(Path::new(&store)).names;
    assert_eq!(names[0], (format!("m:{}", built.version()), built.digest().to_owned()));
    assert_eq!(names[1].0, format!("m:{}", built.digest().replace(':', "-")));
    assert_eq!(names.len(), 2);
    // A folder that may not be written to is refused by name.
    let denied = sandbox.path("elsewhere").to_str().unwrap().to_owned();
    let out = sandbox.floe(&[&build[..], &["-o", &format!("oci:{denied}")]].concat());
    assert_eq!(out.status.code(), Some(1), "{}", said(&out));
    assert!(said(&out).contains(&denied), "{}", said(&out));
}
