//! Programs that keep logins: `docker-credential-NAME`.
//!
//! The protocol is that of docker-credential-helpers ("Development" in its README): an argument says
//! what is wanted (`get`, `store`, `erase`), the host goes to standard input, the answer is JSON on
//! standard output, and a refusal is words there and a non-zero exit code.
//!
//! Invariant: what a helper writes is never shown, except its one line about a refusal.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::file::HUB_KEY;
use super::login::{Login, Secret};
use crate::error::{Error, Kind, Result, show_bytes};
use crate::oci::reference::DEFAULT_REGISTRY;

/// How long a helper may take: somebody may have to type a password into it.
const LIMIT: Duration = Duration::from_secs(60);
/// The longest answer that is read.
const MAX_ANSWER: u64 = 256 << 10;
/// How much of a helper's refusal is shown.
const MAX_WORDS: usize = 200;
/// What helpers say that know nothing of a host (docker-credential-helpers, `credentials/error.go`).
const NOT_FOUND: &str = "credentials not found in native keychain";
/// How often a program is started that somebody is just writing.
const BUSY: u32 = 5;

/// What a helper answered: a login, that it has none, or why it could not say.
pub(super) type Answer = std::result::Result<Option<Login>, String>;

/// The helpers of a run. Each is asked once about a host, when that is first needed.
#[derive(Clone, Debug, Default)]
pub(super) struct Helpers {
    /// Where their programs are looked for; without any, none is run.
    pub(super) folders: Vec<PathBuf>,
    asked: Arc<Mutex<BTreeMap<(String, String), Answer>>>,
}

impl Helpers {
    /// Helpers that are looked for in these folders.
    pub(super) fn new(folders: Vec<PathBuf>) -> Self {
        Self { folders, ..Self::default() }
    }

    /// What a helper knows of a host. Others wait meanwhile, so that nobody asks twice.
    pub(super) fn get(&self, name: &str, registry: &str) -> Answer {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (name.to_owned(), registry.to_owned());
        asked.entry(key).or_insert_with(|| self.ask(name, registry)).clone()
    }

    /// What a helper said, where it was asked already.
    pub(super) fn known(&self, name: &str, registry: &str) -> Option<Answer> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.get(&(name.to_owned(), registry.to_owned())).cloned()
    }

    /// What all of them told.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.values().filter_map(|a| a.as_ref().ok()?.as_ref()).flat_map(Login::secrets).collect()
    }

    fn ask(&self, name: &str, registry: &str) -> Answer {
        let said = match self.run(name, "get", server(registry).as_bytes(), LIMIT)? {
            Said::Yes(bytes) => bytes,
            Said::Nothing => return Ok(None),
        };
        // What serde_json says could quote the answer.
        let value: Value = serde_json::from_slice(&said).map_err(|_| "its answer is not JSON".to_owned())?;
        let text = |key: &str| value[key].as_str();
        let (Some(user), Some(secret)) = (text("Username"), text("Secret")) else {
            return Err("its answer has no `Username` and `Secret`".to_owned());
        };
        Ok(Login::of_helper(user, secret))
    }

    /// Has a helper keep a login.
    pub(super) fn store(&self, name: &str, registry: &str, login: &Login) -> Result<()> {
        let (user, secret) = login.for_helper().ok_or_else(|| {
            Error::new(Kind::Usage, "a credential helper cannot keep a registry's own token")
        })?;
        let entry = serde_json::json!({"ServerURL": server(registry), "Username": user, "Secret": secret});
        self.run(name, "store", entry.to_string().as_bytes(), LIMIT)
            .map_err(|why| failed(name, "keep the login for", registry, &why))?;
        Ok(())
    }

    /// Has a helper forget a login; one that it does not have is no error.
    pub(super) fn erase(&self, name: &str, registry: &str) -> Result<()> {
        self.run(name, "erase", server(registry).as_bytes(), LIMIT)
            .map_err(|why| failed(name, "forget the login for", registry, &why))?;
        Ok(())
    }

    fn run(
        &self,
        name: &str,
        verb: &str,
        input: &[u8],
        limit: Duration,
    ) -> std::result::Result<Said, String> {
        let mut child = self.start(name, verb)?;
        let end = Instant::now() + limit;
        let (tell, told) = mpsc::channel();
        if let (Some(mut stdin), Some(mut stdout)) = (child.stdin.take(), child.stdout.take()) {
            let input = input.to_owned();
            // Two threads: a helper may answer before it has read, and may never read. They end with it.
            std::thread::spawn(move || {
                // A helper that does not want its input says so by its exit code.
                let _unread = stdin.write_all(&input);
            });
            std::thread::spawn(move || {
                let mut bytes = Vec::new();
                let read = stdout.by_ref().take(MAX_ANSWER + 1).read_to_end(&mut bytes);
                let _late = tell.send(read.map(|_| bytes));
            });
        }
        let answer = told.recv_timeout(limit);
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if answer.is_ok() && Instant::now() < end => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                _ => {
                    stop(&mut child);
                    return Err(format!("it did not answer within {} seconds", limit.as_secs()));
                }
            }
        };
        let bytes = match answer {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(e)) => return Err(format!("its answer cannot be read: {e}")),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Vec::new(),
        };
        if bytes.len() as u64 > MAX_ANSWER {
            return Err("its answer is too long".to_owned());
        }
        if status.success() {
            return Ok(Said::Yes(bytes));
        }
        let words = String::from_utf8_lossy(&bytes);
        if words.trim() == NOT_FOUND {
            return Ok(Said::Nothing);
        }
        Err(refusal(&words, status))
    }

    fn start(&self, name: &str, verb: &str) -> std::result::Result<Child, String> {
        // A name with a slash would be a path, and a file of logins must not choose any program.
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
            return Err("that is no name of a helper".to_owned());
        }
        let file = format!("docker-credential-{name}");
        let found = self.folders.iter().map(|f| f.join(&file)).find(|p| p.is_file());
        let program = found.ok_or_else(|| "there is no such program in PATH".to_owned())?;
        for tried in 0.. {
            let started = Command::new(&program)
                .arg(verb)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn();
            match started {
                Ok(child) => return Ok(child),
                Err(e) if e.kind() == ErrorKind::ExecutableFileBusy && tried < BUSY => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(e) => return Err(format!("it cannot be run: {e}")),
            }
        }
        Err("it cannot be run".to_owned())
    }
}

/// What a helper said.
enum Said {
    Yes(Vec<u8>),
    /// It does not know the host.
    Nothing,
}

fn stop(child: &mut Child) {
    // It may have ended meanwhile.
    let _gone = child.kill();
    let _status = child.wait();
}

/// The first line of a refusal, unless it looks like an answer after all.
fn refusal(words: &str, status: std::process::ExitStatus) -> String {
    let line = words.trim().lines().next().unwrap_or("");
    if line.is_empty() || line.contains(['{', '"']) {
        return format!("it ended with {status}");
    }
    let line: String = line.chars().take(MAX_WORDS).collect();
    format!("it said: {}", show_bytes(line.as_bytes()))
}

fn failed(name: &str, verb: &str, registry: &str, why: &str) -> Error {
    let name = show_bytes(name.as_bytes());
    Error::new(Kind::Denied, format!("`docker-credential-{name}` cannot {verb} `{registry}`: {why}"))
        .hint("repair the helper, or keep logins in another file: `--authfile FILE`")
}

/// What helpers call a host: Docker stores its own registry under a URL.
fn server(registry: &str) -> &str {
    if registry == DEFAULT_REGISTRY { HUB_KEY } else { registry }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn with(script: &str) -> (tempfile::TempDir, Helpers) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("docker-credential-t");
        std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
        let helpers = Helpers::new(vec![dir.path().to_owned()]);
        (dir, helpers)
    }

    #[test]
    fn c26_a_helper_is_asked_once_about_a_host() {
        let (dir, helpers) = with(
            r#"read host; echo "$1 $host" >>"$(dirname "$0")/log"
               echo "{\"ServerURL\":\"$host\",\"Username\":\"ann\",\"Secret\":\"s3cret\"}""#,
        );
        for registry in ["h:1", "docker.io", "h:1"] {
            assert_eq!(helpers.get("t", registry).unwrap().unwrap().user(), "ann");
        }
        let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
        assert_eq!(log, "get h:1\nget https://index.docker.io/v1/\n");
        assert!(!format!("{helpers:?}").contains("s3cret"));
        assert!(helpers.known("t", "h:1").is_some() && helpers.known("t", "h:2").is_none());
    }

    #[test]
    fn c26_a_helper_that_knows_nothing_is_no_error() {
        let (_dir, helpers) = with("echo 'credentials not found in native keychain'; exit 1");
        assert!(helpers.get("t", "h").unwrap().is_none());
        helpers.erase("t", "h").unwrap();
    }

    #[test]
    fn c26_what_a_helper_writes_is_not_shown() {
        for (script, why) in [
            ("echo 's3cret' >&2; exit 3", "it ended with exit status: 3"),
            ("echo '{\"Secret\":\"s3cret\"}'; exit 1", "it ended with exit status: 1"),
            ("echo s3cret", "its answer is not JSON"),
            ("echo '{\"Secret\":\"s3cret\"}'", "its answer has no `Username` and `Secret`"),
            ("echo 'the agent is locked'; exit 1", "it said: the agent is locked"),
            ("head -c 300000 /dev/zero", "its answer is too long"),
        ] {
            let (_dir, helpers) = with(script);
            assert_eq!(helpers.get("t", "h").unwrap_err(), why, "{script}");
        }
    }

    #[test]
    fn c26_a_helper_has_a_limit_of_time() {
        let (_dir, helpers) = with("exec sleep 30");
        let began = Instant::now();
        let e = helpers.run("t", "get", b"h", Duration::from_millis(200)).err().unwrap();
        assert!(e.starts_with("it did not answer within"), "{e}");
        assert!(began.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_file_of_logins_chooses_no_program() {
        let (dir, helpers) = with("echo '{}'");
        std::fs::create_dir(dir.path().join("docker-credential-x")).unwrap();
        for name in ["", "../t", "a/b", "x", "none", "a b"] {
            assert!(helpers.get(name, "h").is_err(), "{name}");
        }
        let nowhere = Helpers::default();
        assert_eq!(nowhere.get("t", "h").unwrap_err(), "there is no such program in PATH");
    }
}
