//! Keeping and forgetting logins, in the file that podman and Docker read too.
//!
//! Only the entry of the host changes; whatever else the file holds stays as it was. Where the file
//! names a helper for the host, that keeps the secret, and the file only notes that there is one.
//!
//! Invariant: the file is written whole or not at all, and only its owner can read it.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Keep;
use super::file::{File, document, normal_key, written_key, wrong};
use super::helper::Helpers;
use super::login::Login;
use crate::error::{At, Error, Kind, Result};

/// Where a login was kept, or was found to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// In the file itself.
    File,
    /// By `docker-credential-NAME`.
    Helper(String),
    /// Nowhere.
    Nowhere,
}

/// A file of logins that is written.
#[derive(Clone, Debug)]
pub struct Keeper {
    path: PathBuf,
    helpers: Helpers,
    /// Where logins are kept, in their order; empty means the file alone.
    keeps: Vec<Keep>,
}

impl Keeper {
    /// The keeper of a file, which need not exist. Helpers are looked for in `folders`.
    pub fn new(path: impl Into<PathBuf>, folders: Vec<PathBuf>) -> Self {
        Self { path: path.into(), helpers: Helpers::new(folders), keeps: Vec::new() }
    }

    /// Keeps logins at the first of these places, and forgets them at all: names of helpers, and
    /// `containers-auth.json` for the file. An empty list is the file alone.
    #[must_use]
    pub fn kept_by(mut self, names: &[String]) -> Self {
        self.keeps = Keep::all(names);
        self
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps a login for a host, perhaps with a namespace.
    ///
    /// # Errors
    ///
    /// When the file is not one of logins or cannot be written, or the helper refuses.
    pub fn keep(&self, key: &str, login: &Login) -> Result<Kept> {
        let key = normal_key(key);
        // Helpers know hosts alone: one namespace's login must not become that of all.
        if let Some(Keep::Helper(name)) = self.keeps.first().filter(|_| !key.contains('/')) {
            self.helpers.store(name, &key, login)?;
            return Ok(Kept::Helper(name.clone()));
        }
        let (_lock, mut root, file) = self.begin()?;
        let helper = (!key.contains('/')).then(|| file.helper(&key)).flatten();
        let entry = match helper {
            Some(name) => {
                self.helpers.store(name, &key, login)?;
                json!({})
            }
            None => entry(login)?,
        };
        let auths = self.auths(&mut root)?;
        auths.retain(|k, _| normal_key(k) != key);
        auths.insert(written_key(&key).to_owned(), entry);
        self.write(&root)?;
        Ok(helper.map_or(Kept::File, |name| Kept::Helper(name.to_owned())))
    }

    /// Whether the file itself has a login for a host, perhaps with a namespace. Asks no helper.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or is not one of logins.
    pub fn holds(&self, key: &str) -> Result<bool> {
        let key = normal_key(key);
        Ok(File::open(&self.path)?.is_some_and(|f| f.logins.iter().any(|(k, _)| *k == key)))
    }

    /// Forgets the login of a host, perhaps with a namespace; says where it was.
    ///
    /// # Errors
    ///
    /// As [`Keeper::keep`].
    pub fn forget(&self, key: &str) -> Result<Kept> {
        let key = normal_key(key);
        let mut was = Kept::Nowhere;
        for keep in self.keeps.iter().filter(|_| !key.contains('/')) {
            let Keep::Helper(name) = keep else { continue };
            if self.helpers.get(name, &key).is_ok_and(|l| l.is_some()) {
                self.helpers.erase(name, &key)?;
                was = Kept::Helper(name.clone());
            }
        }
        if document(&self.path)?.is_none() {
            return Ok(was);
        }
        let (_lock, mut root, file) = self.begin()?;
        let helper = (!key.contains('/')).then(|| file.helper(&key)).flatten();
        if let Some(name) = helper {
            if self.helpers.get(name, &key).is_ok_and(|l| l.is_some()) {
                was = Kept::Helper(name.to_owned());
            }
            self.helpers.erase(name, &key)?;
        }
        let auths = self.auths(&mut root)?;
        let before = auths.len();
        auths.retain(|k, _| normal_key(k) != key);
        if auths.len() < before {
            self.write(&root)?;
            if was == Kept::Nowhere && file.logins.iter().any(|(k, _)| *k == key) {
                was = Kept::File;
            }
        }
        Ok(was)
    }

    /// Forgets every login of the file; gives the keys that there were.
    ///
    /// # Errors
    ///
    /// As [`Keeper::keep`].
    pub fn forget_all(&self) -> Result<Vec<String>> {
        let Some(mut root) = document(&self.path)? else { return Ok(Vec::new()) };
        let file = File::parse(&root, &self.path)?;
        let mut keys: Vec<String> = self.auths(&mut root)?.keys().map(|k| normal_key(k)).collect();
        keys.extend(file.helpers.iter().map(|(key, _)| key.clone()));
        keys.sort();
        keys.dedup();
        for key in &keys {
            self.forget(key)?;
        }
        Ok(keys)
    }

    /// The file as it is now, locked against others of us; empty where there is none.
    fn begin(&self) -> Result<(Option<std::fs::File>, Map<String, Value>, File)> {
        let folder = crate::fs::parent(&self.path);
        if !folder.exists() {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)
                .at("create the folder", folder)?;
        }
        // The folder itself is the lock, so that no other file is left. Some file systems have none.
        let lock = std::fs::File::open(folder).ok().filter(|f| f.lock().is_ok());
        let root = document(&self.path)?.unwrap_or_default();
        let file = File::parse(&root, &self.path)?;
        Ok((lock, root, file))
    }

    fn auths<'a>(&self, root: &'a mut Map<String, Value>) -> Result<&'a mut Map<String, Value>> {
        let auths = root.entry("auths").or_insert_with(|| json!({}));
        if auths.is_null() {
            *auths = json!({});
        }
        auths.as_object_mut().ok_or_else(|| wrong(&self.path, "`auths` is not an object"))
    }

    fn write(&self, root: &Map<String, Value>) -> Result<()> {
        // As Docker writes it, whose users look at differences.
        let mut bytes = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
        root.serialize(&mut serializer)
            .map_err(|e| Error::new(Kind::Bug, "logins cannot be written as JSON").because(e))?;
        bytes.push(b'\n');
        // A link to the file stays one.
        let target = std::fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let mut temp = crate::fs::temp_beside(&target)?;
        temp.as_file()
            .set_permissions(std::fs::Permissions::from_mode(0o600))
            .at("change the mode of", &target)?;
        temp.write_all(&bytes).at("write", &target)?;
        temp.persist(&target).map_err(|e| e.error).at("rename into place", &target)?;
        Ok(())
    }
}

/// A login as a file has it.
fn entry(login: &Login) -> Result<Value> {
    if let Some(token) = login.own_token() {
        return Ok(json!({"registrytoken": token.reveal()}));
    }
    if let Some(token) = login.identity_token() {
        let user = login.for_helper().map_or("", |(user, _)| user);
        return Ok(json!({"auth": STANDARD.encode(format!("{user}:")), "identitytoken": token.reveal()}));
    }
    let (user, _) = login.for_helper().unwrap_or_default();
    if user.contains(':') {
        return Err(Error::new(Kind::Usage, "a user name cannot have a colon")
            .hint("the secret goes to standard input: `--password-stdin`"));
    }
    Ok(json!({"auth": login.basic().map(|b| b.reveal().to_owned())}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeper(dir: &tempfile::TempDir) -> Keeper {
        Keeper::new(dir.path().join("run/containers/auth.json"), vec![dir.path().to_owned()])
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn c25_a_login_is_kept_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let k = keeper(&dir);
        assert_eq!(k.keep("h:5000", &Login::new("ann", "x")).unwrap(), Kept::File);
        assert_eq!((mode(k.path()), mode(k.path().parent().unwrap())), (0o600, 0o700));
        let text = std::fs::read_to_string(k.path()).unwrap();
        assert_eq!(
            text,
            "{\n\t\"auths\": {\n\t\t\"h:5000\": {\n\t\t\t\"auth\": \"YW5uOng=\"\n\t\t}\n\t}\n}\n"
        );
        assert_eq!(k.forget("h:5000").unwrap(), Kept::File);
        assert_eq!(k.forget("h:5000").unwrap(), Kept::Nowhere);
        assert_eq!(std::fs::read_dir(k.path().parent().unwrap()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn c25_everything_else_in_the_file_stays() {
        let dir = tempfile::tempdir().unwrap();
        let k = keeper(&dir);
        std::fs::create_dir_all(k.path().parent().unwrap()).unwrap();
        let before = r#"{"HttpHeaders":{"X":"y"},"auths":{"https://index.docker.io/v1/":{"auth":"YTpi","email":"e"},"q/team":{"auth":"YTpi"}},"detachKeys":"ctrl-e","n":1.5}"#;
        std::fs::write(k.path(), before).unwrap();
        k.keep("docker.io", &Login::new("ann", "x")).unwrap();
        k.keep("q", &Login::identity("", "tok")).unwrap();
        let value: Value = serde_json::from_slice(&std::fs::read(k.path()).unwrap()).unwrap();
        assert_eq!(
            value,
            json!({"HttpHeaders": {"X": "y"}, "detachKeys": "ctrl-e", "n": 1.5, "auths": {
                "https://index.docker.io/v1/": {"auth": "YW5uOng="}, "q/team": {"auth": "YTpi"},
                "q": {"auth": STANDARD.encode("<token>:"), "identitytoken": "tok"}}})
        );
        assert_eq!(k.forget_all().unwrap(), ["docker.io", "q", "q/team"]);
        let value: Value = serde_json::from_slice(&std::fs::read(k.path()).unwrap()).unwrap();
        assert_eq!(value, json!({"HttpHeaders": {"X": "y"}, "detachKeys": "ctrl-e", "n": 1.5, "auths": {}}));
    }

    #[test]
    fn a_file_that_is_none_of_logins_is_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let k = Keeper::new(dir.path().join("x.json"), Vec::new());
        for bad in ["nonsense", r#"{"auths": []}"#, "[1]"] {
            std::fs::write(k.path(), bad).unwrap();
            assert_eq!(k.keep("h", &Login::new("ann", "x")).unwrap_err().kind(), Kind::Usage, "{bad}");
            assert_eq!(std::fs::read_to_string(k.path()).unwrap(), bad);
        }
    }

    #[test]
    fn a_link_stays_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().join("real.json");
        std::fs::write(&real, "{}").unwrap();
        let link = dir.path().join("link.json");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        Keeper::new(&link, Vec::new()).keep("h", &Login::new("ann", "x")).unwrap();
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert_eq!(mode(&real), 0o600);
    }

    #[test]
    fn c26_a_helper_keeps_and_forgets() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("docker-credential-t");
        std::fs::write(
            &program,
            "#!/bin/sh\nd=$(dirname \"$0\")\ncase $1 in store) cat >$d/kept;; erase) cat >$d/gone;;\n\
             get) test -e $d/gone && { echo 'credentials not found in native keychain'; exit 1; }; cat $d/kept;; esac\n",
        )
        .unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        let k = Keeper::new(dir.path().join("config.json"), vec![dir.path().to_owned()]);
        std::fs::write(k.path(), r#"{"credsStore": "t"}"#).unwrap();
        let kept = k.keep("docker.io", &Login::new("ann", "s3cret")).unwrap();
        assert_eq!(kept, Kept::Helper("t".to_owned()));
        let stored: Value = serde_json::from_slice(&std::fs::read(dir.path().join("kept")).unwrap()).unwrap();
        assert_eq!(
            stored,
            json!({"ServerURL": "https://index.docker.io/v1/", "Username": "ann", "Secret": "s3cret"})
        );
        let text = std::fs::read_to_string(k.path()).unwrap();
        assert!(!text.contains("s3cret") && text.contains("https://index.docker.io/v1/"), "{text}");
        assert_eq!(k.forget("docker.io").unwrap(), Kept::Helper("t".to_owned()));
        assert_eq!(std::fs::read(dir.path().join("gone")).unwrap(), b"https://index.docker.io/v1/");
        assert!(!std::fs::read_to_string(k.path()).unwrap().contains("index.docker.io"));
    }
}
