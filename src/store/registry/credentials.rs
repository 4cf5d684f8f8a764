//! Who floe is towards a registry: user names and secrets from `config.json` and `auth.json` files.
//!
//! The files are Docker's and podman's (`containers-auth.json(5)`); which ones are read is the
//! caller's choice, since the library looks at no environment. A key is a host, a host with a
//! namespace (`quay.io/team`), or a URL of which only the host counts; the longest namespace wins,
//! then the first file. Not here: running credential helpers and trading identity tokens. Where a
//! file has nothing else for a host, the error of a refused request names it.
//!
//! Invariant: a [`Secret`] is never shown, neither by `Debug` nor in an error.

use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::error::{At, Error, Kind, Result, show, show_bytes};
use crate::oci::reference::DEFAULT_REGISTRY;

/// The largest credentials file that is read.
const MAX_FILE: u64 = 4 << 20;

/// Text that must not be seen.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the one place that sends it.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A user name and a secret for one host or namespace.
#[derive(Clone, Debug)]
pub struct Login {
    /// User name. Hidden too: robots' names tell as much as some secrets.
    user: Secret,
    secret: Secret,
}

impl Login {
    /// A login of this user.
    pub fn new(user: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { user: Secret::new(user), secret: Secret::new(secret) }
    }

    /// The value of a `Basic` authorization, without the scheme.
    pub(super) fn basic(&self) -> Secret {
        Secret::new(STANDARD.encode(format!("{}:{}", self.user.reveal(), self.secret.reveal())))
    }

    /// What must not show up in a message.
    pub(super) fn secrets(&self) -> [Secret; 2] {
        [self.secret.clone(), self.basic()]
    }
}

/// What a file has for a key.
#[derive(Clone, Debug)]
enum Entry {
    Login(Login),
    /// A token that must be traded for others; not done yet.
    IdentityToken,
    /// A program that knows; not asked yet.
    Helper(String),
}

#[derive(Clone, Debug)]
struct Row {
    /// Host, perhaps with a namespace; empty where a helper stands for every host.
    key: String,
    entry: Entry,
    file: Option<PathBuf>,
}

/// All logins that a run may use.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    rows: Vec<Row>,
    files: Vec<PathBuf>,
}

impl Credentials {
    /// No logins: every registry is asked anonymously.
    pub fn none() -> Self {
        Self::default()
    }

    /// Reads files in the form of Docker's `config.json`, the first ones first in rank.
    ///
    /// A file that does not exist is passed over.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or is not in that form; the message never quotes it.
    pub fn load(files: &[PathBuf]) -> Result<Self> {
        let mut all = Self { rows: Vec::new(), files: files.to_vec() };
        for file in files {
            match std::fs::metadata(file) {
                Ok(_) => {}
                Err(e)
                    if matches!(
                        e.kind(),
                        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
                    ) =>
                {
                    continue;
                }
                Err(e) => return Err(e).at("read the credentials in", file),
            }
            let bytes = crate::fs::read_capped(file, MAX_FILE).map_err(|e| e.with_kind(Kind::Usage))?;
            all.read(&bytes, file)?;
        }
        Ok(all)
    }

    /// Adds a login that counts before all files. `key` is a host with an optional port, and
    /// perhaps a namespace: `ghcr.io`, `localhost:5000/team`.
    #[must_use]
    pub fn with_login(mut self, key: &str, login: Login) -> Self {
        self.rows.insert(0, Row { key: normal_key(key), entry: Entry::Login(login), file: None });
        self
    }

    fn read(&mut self, bytes: &[u8], file: &Path) -> Result<()> {
        let wrong = |why: &str| {
            Error::new(Kind::Usage, format!("`{}` is not a file of registry credentials: {why}", show(file)))
                .hint("write it with `docker login` or `podman login`")
        };
        // What serde_json says could quote the file.
        let value: Value = serde_json::from_slice(bytes).map_err(|_| wrong("it is not JSON"))?;
        let root = value.as_object().ok_or_else(|| wrong("it is not a JSON object"))?;
        let mut add = |key: String, entry| self.rows.push(Row { key, entry, file: Some(file.to_owned()) });
        match root.get("auths") {
            None | Some(Value::Null) => {}
            Some(Value::Object(auths)) => {
                for (key, auth) in auths {
                    let entry = login_of(auth)
                        .map_err(|why| wrong(&format!("the entry `{}` {why}", show_bytes(key.as_bytes()))))?;
                    if let Some(entry) = entry {
                        add(normal_key(key), entry);
                    }
                }
            }
            Some(_) => return Err(wrong("`auths` is not an object")),
        }
        if let Some(helpers) = root.get("credHelpers").and_then(Value::as_object) {
            for (key, helper) in helpers {
                if let Some(name) = helper.as_str().filter(|n| !n.is_empty()) {
                    add(normal_key(key), Entry::Helper(name.to_owned()));
                }
            }
        }
        if let Some(name) = root.get("credsStore").and_then(Value::as_str).filter(|n| !n.is_empty()) {
            add(String::new(), Entry::Helper(name.to_owned()));
        }
        Ok(())
    }

    /// The rows that fit, best first: longer namespaces before shorter, then in the order of files.
    fn matching(&self, registry: &str, repository: &str) -> Vec<&Row> {
        let full = format!("{registry}/{repository}");
        let mut rows: Vec<&Row> = self
            .rows
            .iter()
            .filter(|r| {
                full.strip_prefix(r.key.as_str())
                    .is_some_and(|rest| r.key.is_empty() || rest.starts_with('/'))
                    || r.key == full
            })
            .collect();
        rows.sort_by_key(|r| std::cmp::Reverse(r.key.len()));
        rows
    }

    /// The login for a repository, where there is one.
    pub(super) fn find(&self, registry: &str, repository: &str) -> Option<&Login> {
        self.matching(registry, repository).into_iter().find_map(|r| match &r.entry {
            Entry::Login(login) => Some(login),
            _ => None,
        })
    }

    /// What to do when a registry refuses us: says which login was used, or where one was looked for.
    pub(super) fn advice(&self, registry: &str, repository: &str) -> String {
        let rows = self.matching(registry, repository);
        let login = rows.iter().find(|r| matches!(r.entry, Entry::Login(_)));
        if let Some(row) = login {
            let from = row.file.as_ref().map_or_else(String::new, |f| format!(" from `{}`", show(f)));
            return format!(
                "the credentials for `{}`{from} were sent and do not suffice; log in again, or ask for the right",
                show_bytes(row.key.as_bytes())
            );
        }
        for row in rows {
            let file = row.file.as_ref().map_or_else(String::new, |f| show(f));
            match &row.entry {
                Entry::Helper(name) => {
                    return format!(
                        "`{file}` leaves the credentials for `{registry}` to the helper `docker-credential-{}`, which floe \
                         does not run yet; put an entry with `auth` for `{registry}` into a file of its own",
                        show_bytes(name.as_bytes())
                    );
                }
                Entry::IdentityToken => {
                    return format!(
                        "`{file}` has an identity token for `{registry}`, which floe does not trade yet; log in with a \
                         user name and a password or access token"
                    );
                }
                Entry::Login(_) => {}
            }
        }
        let looked = match &self.files[..] {
            [] => "no file with credentials was given".to_owned(),
            files => {
                let files: Vec<String> = files.iter().map(|f| format!("`{}`", show(f))).collect();
                format!("looked in {}", files.join(", "))
            }
        };
        format!("there are no credentials for `{registry}` ({looked}); log in with `docker login {registry}`")
    }
}

/// The entry of one host in `auths`; `None` where it is empty, as beside a credential store.
fn login_of(auth: &Value) -> std::result::Result<Option<Entry>, &'static str> {
    let text = |key: &str| auth[key].as_str().filter(|t| !t.is_empty());
    if !auth.is_object() {
        return Err("is not an object");
    }
    // Where both are given the token is the newer one, and `auth` only carries a placeholder.
    if text("identitytoken").is_some() {
        return Ok(Some(Entry::IdentityToken));
    }
    if let Some(encoded) = text("auth") {
        let bytes = STANDARD.decode(encoded.trim()).map_err(|_| "has an `auth` that is not base64")?;
        let plain = String::from_utf8(bytes).map_err(|_| "has an `auth` that is not UTF-8")?;
        let (user, secret) = plain.split_once(':').ok_or("has an `auth` without a colon")?;
        // Old versions of Docker end the secret with NULs.
        return Ok(Some(Entry::Login(Login::new(user, secret.trim_end_matches('\0')))));
    }
    Ok(match (text("username"), text("password")) {
        (Some(user), Some(secret)) => Some(Entry::Login(Login::new(user, secret))),
        _ => None,
    })
}

/// A key in one form: no scheme, no API version, Docker Hub under one name.
fn normal_key(key: &str) -> String {
    let without = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://"));
    let (host, path) = match without {
        // Docker's form is a URL, and only its host counts.
        Some(rest) => (rest.split('/').next().unwrap_or(rest), ""),
        None => key.split_once('/').unwrap_or((key, "")),
    };
    let host = match host {
        "index.docker.io" | "registry-1.docker.io" => DEFAULT_REGISTRY,
        other => other,
    };
    let path = path.trim_end_matches('/');
    if path.is_empty() || path == "v1" || path == "v2" { host.to_owned() } else { format!("{host}/{path}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Credentials> {
        let mut c = Credentials { rows: Vec::new(), files: vec!["/x/config.json".into()] };
        c.read(text.as_bytes(), Path::new("/x/config.json"))?;
        Ok(c)
    }

    fn user(c: &Credentials, registry: &str, repository: &str) -> Option<String> {
        c.find(registry, repository).map(|l| l.user.reveal().to_owned())
    }

    fn b64(text: &str) -> String {
        STANDARD.encode(text)
    }

    #[test]
    fn c25_keys_have_many_forms() {
        let (a, b, c, d) = (b64("a:1"), b64("b:x:y"), b64("c:3"), b64("d:4\0\0"));
        let file = read(&format!(
            r#"{{"auths": {{"https://index.docker.io/v1/": {{"auth": "{a}"}}, "h:5000": {{"auth": "{b}"}},
                "quay.io": {{"auth": "{c}"}}, "quay.io/team/x": {{"auth": "{d}"}}, "http://old.example/v2/": {{"auth": "{a}"}},
                "plain.example/v1/": {{"username": "u", "password": "p"}}, "empty.example": {{}} }} }}"#
        ))
        .unwrap();
        assert_eq!(user(&file, "docker.io", "library/x").as_deref(), Some("a"));
        assert_eq!(file.find("h:5000", "m").unwrap().secret.reveal(), "x:y");
        assert_eq!(user(&file, "h", "m"), None);
        assert_eq!(user(&file, "quay.io", "team/x/y").as_deref(), Some("d"));
        assert_eq!(file.find("quay.io", "team/x").unwrap().secret.reveal(), "4");
        assert_eq!(user(&file, "quay.io", "team/xy").as_deref(), Some("c"));
        assert_eq!(user(&file, "old.example", "m").as_deref(), Some("a"));
        assert_eq!(user(&file, "plain.example", "m").as_deref(), Some("u"));
        assert_eq!(user(&file, "empty.example", "m"), None);
        assert_eq!(user(&file, "quay.io.evil.example", "m"), None);
    }

    #[test]
    fn c26_helpers_and_identity_tokens_are_named() {
        let file = read(
            r#"{"auths": {"azure.example": {"auth": "MDA6", "identitytoken": "tttttttt"}},
                "credHelpers": {"ecr.example": "ecr-login"}, "credsStore": "desktop"}"#,
        )
        .unwrap();
        assert!(file.find("azure.example", "m").is_none());
        assert!(file.advice("azure.example", "m").contains("identity token"));
        assert!(file.advice("ecr.example", "m").contains("docker-credential-ecr-login"));
        assert!(file.advice("docker.io", "library/x").contains("docker-credential-desktop"));
        assert!(!file.advice("azure.example", "m").contains("tttttttt"));
    }

    #[test]
    fn an_explicit_login_counts_first() {
        let file = read(&format!(r#"{{"auths": {{"h:1": {{"auth": "{}"}}}}}}"#, b64("file:x"))).unwrap();
        let file = file.with_login("h:1", Login::new("flag", "y"));
        assert_eq!(user(&file, "h:1", "m").as_deref(), Some("flag"));
    }

    #[test]
    fn nothing_secret_is_shown() {
        let text = format!(r#"{{"auths": {{"h:1": {{"auth": "{}"}}}}}}"#, b64("robot:hunter2"));
        let file = read(&text).unwrap();
        let shown = format!("{file:?} {:?} {}", file.find("h:1", "m"), file.advice("h:1", "m"));
        for secret in ["hunter2", "robot", &b64("robot:hunter2")] {
            assert!(!shown.contains(secret), "{shown}");
        }
        let broken = read(&text[..text.len() - 3]).unwrap_err();
        assert!(!format!("{broken:?} {broken}").contains(&b64("robot:hunter2")));
    }

    #[test]
    fn hostile_files_are_errors() {
        for bad in [
            "",
            "[]",
            "{",
            r#"{"auths": 1}"#,
            r#"{"auths": {"h": 1}}"#,
            r#"{"auths": {"h": {"auth": "%%"}}}"#,
            r#"{"auths": {"h": {"auth": "YQ=="}}}"#,
            r#"{"auths": {"h": {"auth": "/////w=="}}}"#,
        ] {
            assert_eq!(read(bad).unwrap_err().kind(), Kind::Usage, "{bad}");
        }
        assert!(read(r#"{"credHelpers": 3, "credsStore": []}"#).unwrap().rows.is_empty());
    }

    #[test]
    fn a_file_that_is_not_there_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let c = Credentials::load(&[dir.path().join("none.json")]).unwrap();
        assert!(c.advice("h", "m").contains("none.json"));
    }
}
