//! One file of logins: Docker's `config.json` or podman's `auth.json` (containers-auth.json(5)).
//!
//! A key is a host, a host with a namespace (`quay.io/team`), or a URL of which only the host
//! counts. Reading takes what is understood; writing changes one entry and keeps everything else.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::login::Login;
use crate::error::{At, Error, Kind, Result, show, show_bytes};
use crate::oci::reference::DEFAULT_REGISTRY;

/// The largest credentials file that is read.
const MAX_FILE: u64 = 4 << 20;
/// What Docker Hub is called in the files and by the helpers of Docker.
pub(super) const HUB_KEY: &str = "https://index.docker.io/v1/";

/// What one file says.
#[derive(Clone, Debug, Default)]
pub(super) struct File {
    pub(super) path: PathBuf,
    /// By key, in the form of [`normal_key`].
    pub(super) logins: Vec<(String, Login)>,
    /// The helper of a host.
    pub(super) helpers: Vec<(String, String)>,
    /// The helper for every host.
    pub(super) store: Option<String>,
}

impl File {
    /// Reads a file; nothing where there is none.
    ///
    /// # Errors
    ///
    /// When it cannot be read or is not in that form; the message never quotes it.
    pub(super) fn open(path: &Path) -> Result<Option<Self>> {
        document(path)?.map(|root| Self::parse(&root, path)).transpose()
    }

    pub(super) fn parse(root: &Map<String, Value>, path: &Path) -> Result<Self> {
        let mut file = Self { path: path.to_owned(), ..Self::default() };
        match root.get("auths") {
            None | Some(Value::Null) => {}
            Some(Value::Object(auths)) => {
                for (key, auth) in auths {
                    let login = login_of(auth).map_err(|why| {
                        wrong(path, &format!("the entry `{}` {why}", show_bytes(key.as_bytes())))
                    })?;
                    file.logins.extend(login.map(|l| (normal_key(key), l)));
                }
            }
            Some(_) => return Err(wrong(path, "`auths` is not an object")),
        }
        if let Some(helpers) = root.get("credHelpers").and_then(Value::as_object) {
            let named = helpers.iter().filter_map(|(k, v)| Some((normal_key(k), v.as_str()?.to_owned())));
            file.helpers = named.filter(|(_, name)| !name.is_empty()).collect();
        }
        let store = root.get("credsStore").and_then(Value::as_str).filter(|n| !n.is_empty());
        file.store = store.map(str::to_owned);
        Ok(file)
    }

    /// The helper that keeps the logins of a host.
    pub(super) fn helper(&self, registry: &str) -> Option<&str> {
        let own = self.helpers.iter().find(|(key, _)| key == registry).map(|(_, name)| name.as_str());
        own.or(self.store.as_deref())
    }

    /// The entry for a repository: that of the longest namespace, then that of the host.
    pub(super) fn login(&self, registry: &str, repository: &str) -> Option<&(String, Login)> {
        let full = format!("{registry}/{repository}");
        let fits = |key: &str| {
            full == key || full.strip_prefix(key).is_some_and(|rest| rest.starts_with('/') && !key.is_empty())
        };
        self.logins.iter().filter(|(key, _)| fits(key)).max_by_key(|(key, _)| key.len())
    }
}

/// The JSON object in a file; nothing where there is no file.
pub(super) fn document(path: &Path) -> Result<Option<Map<String, Value>>> {
    use std::io::ErrorKind;
    match std::fs::metadata(path) {
        Ok(_) => {}
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(e) => return Err(e).at("read the credentials in", path),
    }
    let bytes = crate::fs::read_capped(path, MAX_FILE).map_err(|e| e.with_kind(Kind::Usage))?;
    object(&bytes, path).map(Some)
}

pub(super) fn object(bytes: &[u8], path: &Path) -> Result<Map<String, Value>> {
    // What serde_json says could quote the file.
    let value: Value = serde_json::from_slice(bytes).map_err(|_| wrong(path, "it is not JSON"))?;
    let Value::Object(root) = value else { return Err(wrong(path, "it is not a JSON object")) };
    Ok(root)
}

pub(super) fn wrong(path: &Path, why: &str) -> Error {
    Error::new(Kind::Usage, format!("`{}` is not a file of registry credentials: {why}", show(path)))
        .hint("move it away, and write it anew with `floe login HOST`")
}

/// The entry of one host in `auths`; `None` where it is empty, as beside a credential store.
fn login_of(auth: &Value) -> std::result::Result<Option<Login>, &'static str> {
    let text = |key: &str| auth[key].as_str().filter(|t| !t.is_empty());
    if !auth.is_object() {
        return Err("is not an object");
    }
    if let Some(token) = text("registrytoken") {
        return Ok(Some(Login::bearer(token)));
    }
    let pair = match text("auth") {
        Some(encoded) => {
            let bytes = STANDARD.decode(encoded.trim()).map_err(|_| "has an `auth` that is not base64")?;
            let plain = String::from_utf8(bytes).map_err(|_| "has an `auth` that is not UTF-8")?;
            let (user, secret) = plain.split_once(':').ok_or("has an `auth` without a colon")?;
            // Old versions of Docker end the secret with NULs.
            Some((user.to_owned(), secret.trim_end_matches('\0').to_owned()))
        }
        None => text("username").map(str::to_owned).zip(text("password").map(str::to_owned)),
    };
    // Where both are given the token is the newer one, and the secret only a placeholder.
    if let Some(token) = text("identitytoken") {
        return Ok(Some(Login::identity(pair.map_or(String::new(), |(user, _)| user), token)));
    }
    Ok(pair.map(|(user, secret)| Login::new(user, secret)))
}

/// A key in one form: no scheme, no API version, Docker Hub under one name.
pub(super) fn normal_key(key: &str) -> String {
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

/// The key that Docker and podman both read: theirs for Docker Hub, the name itself for others.
pub(super) fn written_key(normal: &str) -> &str {
    if normal == DEFAULT_REGISTRY { HUB_KEY } else { normal }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<File> {
        let path = Path::new("/x/config.json");
        File::parse(&object(text.as_bytes(), path)?, path)
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
        let user = |r: &str, m: &str| file.login(r, m).map(|(_, l)| l.user().to_owned());
        let secret = |r: &str, m: &str| file.login(r, m).unwrap().1.secrets()[0].reveal().to_owned();
        assert_eq!(user("docker.io", "library/x").as_deref(), Some("a"));
        assert_eq!(secret("h:5000", "m"), "x:y");
        assert_eq!(user("h", "m"), None);
        assert_eq!(user("quay.io", "team/x/y").as_deref(), Some("d"));
        assert_eq!(secret("quay.io", "team/x"), "4");
        assert_eq!(user("quay.io", "team/xy").as_deref(), Some("c"));
        assert_eq!(user("old.example", "m").as_deref(), Some("a"));
        assert_eq!(user("plain.example", "m").as_deref(), Some("u"));
        assert_eq!(user("empty.example", "m"), None);
        assert_eq!(user("quay.io.evil.example", "m"), None);
    }

    #[test]
    fn c26_tokens_and_helpers_are_read() {
        let file = read(
            r#"{"auths": {"azure.example": {"auth": "MDA6", "identitytoken": "tttttttt"}, "r.example": {"registrytoken": "rrr"}},
                "credHelpers": {"ecr.example": "ecr-login", "https://index.docker.io/v1/": "hub"}, "credsStore": "desktop"}"#,
        )
        .unwrap();
        let (_, login) = file.login("azure.example", "m").unwrap();
        assert_eq!((login.user(), login.identity_token().unwrap().reveal()), ("00", "tttttttt"));
        assert_eq!(file.login("r.example", "m").unwrap().1.own_token().unwrap().reveal(), "rrr");
        assert_eq!(file.helper("ecr.example"), Some("ecr-login"));
        assert_eq!(file.helper("docker.io"), Some("hub"));
        assert_eq!(file.helper("elsewhere.example"), Some("desktop"));
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
        let odd = read(r#"{"credHelpers": 3, "credsStore": []}"#).unwrap();
        assert!(odd.helpers.is_empty() && odd.store.is_none());
    }

    #[test]
    fn a_broken_file_is_not_quoted() {
        let secret = b64("robot:hunter2");
        let text = format!(r#"{{"auths": {{"h:1": {{"auth": "{secret}"}}}}}}"#);
        let e = read(&text[..text.len() - 3]).unwrap_err();
        assert!(!format!("{e:?}").contains(&secret), "{e:?}");
    }
}
