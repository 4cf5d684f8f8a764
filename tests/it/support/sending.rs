//! floe as a process that sends one large layer to a registry that only hashes it: how much memory
//! it takes, and what is sent again after it was killed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::registry::{Switch, TestRegistry};

/// A model with one large file, and a registry for it.
pub struct Sending {
    folder: tempfile::TempDir,
    pub registry: TestRegistry,
    /// Bytes of the file.
    pub size: u64,
}

/// What a process did.
pub struct Ran {
    /// The most memory that it had at once, in KiB.
    pub peak: u64,
    pub took: Duration,
    /// Bytes that the registry got from it.
    pub arrived: u64,
}

impl Sending {
    /// The file takes nearly nothing on the disk, and no two MiB of it are the same.
    pub fn new(size: u64) -> Self {
        use std::os::unix::fs::FileExt;
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("model")).unwrap();
        let file = std::fs::File::create(folder.path().join("model/weights.bin")).unwrap();
        file.set_len(size).unwrap();
        for mib in 0..size >> 20 {
            file.write_all_at(&(mib + 1).to_le_bytes(), mib << 20).unwrap();
        }
        let registry = TestRegistry::start().with(Switch::Discard).with(Switch::SessionSurvives);
        Self { folder, registry, size }
    }

    fn model(&self) -> PathBuf {
        self.folder.path().join("model")
    }

    fn spawn(&self, repository: &str, arguments: &[&str]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_floe"));
        command.env_clear().env("HOME", self.folder.path()).env("FLOE_RUNTIME", "data");
        command.arg("build").arg(self.model()).args([
            "--name",
            "m",
            "--base",
            "scratch",
            "--compression",
            "none",
        ]);
        command.arg("-o").arg(format!("docker://{}/{repository}", self.registry.addr())).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Builds to the end, or until so many bytes have arrived: then it is killed.
    pub fn run(&self, repository: &str, arguments: &[&str], kill_after: Option<u64>) -> Ran {
        let (before, begun) = (self.registry.arrived(), Instant::now());
        let mut child = self.spawn(repository, arguments);
        let mut peak = 0;
        loop {
            peak = high_water(&child).unwrap_or(0).max(peak);
            let ended = child.try_wait().unwrap();
            if kill_after.is_some_and(|bytes| self.registry.arrived() - before >= bytes) {
                assert!(ended.is_none(), "it ended before it was killed");
                child.kill().unwrap();
                child.wait().unwrap();
                break;
            }
            if ended.is_some() {
                let out = child.wait_with_output().unwrap();
                assert!(out.status.success(), "{}", said(&out));
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ran { peak, took: begun.elapsed(), arrived: self.registry.arrived() - before }
    }

    /// Bytes of all blobs that were completed in a repository.
    pub fn stored(&self, repository: &str) -> u64 {
        let log = self.registry.log();
        let digests: std::collections::BTreeSet<&str> = log
            .iter()
            .filter(|e| e.short() == "PUT uploads" && e.status == 201)
            .filter_map(|e| Some(e.query.iter().find(|q| q.0 == "digest")?.1.as_str()))
            .collect();
        digests.iter().filter_map(|d| self.registry.blob_size(repository, d)).sum()
    }
}

fn said(out: &Output) -> String {
    format!("{:?}\n{}", out.status, String::from_utf8_lossy(&out.stderr))
}

/// The most memory that a living process has had, in KiB (proc(5), `VmHWM`).
fn high_water(child: &Child) -> Option<u64> {
    let status =
        std::fs::read_to_string(Path::new("/proc").join(child.id().to_string()).join("status")).ok()?;
    status.lines().find_map(|l| l.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok())
}
