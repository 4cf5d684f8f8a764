//! Who floe is towards a registry: logins from files, from the programs that keep them, and by hand.
//!
//! The files are Docker's and podman's (`containers-auth.json(5)`); which ones are read, and where
//! helpers are looked for, is the caller's choice, since the library looks at no environment. Logins
//! that were given by hand count first, then the files in their order, then those of the
//! surroundings. Within a file the helper of the host counts before the store of the file, and that
//! before its entries, of which the longest namespace wins. A registries.conf may name helpers that are asked
//! before the files, after them, or instead of them (`credential-helpers`).
//!
//! Invariant: nothing is asked for before a registry wants a login, and a [`Secret`] is never shown.

mod file;
mod helper;
mod keep;
mod login;

use std::path::PathBuf;

use self::file::{File, normal_key};
use self::helper::Helpers;
use crate::error::{Result, show, show_bytes};

pub use self::keep::{Keeper, Kept};
pub use self::login::{Login, Secret};

/// All logins that a run may use.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// By hand: before the files.
    given: File,
    files: Vec<File>,
    /// Of the surroundings, as a CI job has them: after the files.
    ambient: File,
    /// Where logins are kept, in their order; empty means the files alone.
    keeps: Vec<Keep>,
    /// Where was looked, whether there is a file or not.
    looked: Vec<PathBuf>,
    helpers: Helpers,
}

/// What registries.conf calls the files of logins among its helpers (containers-registries.conf(5),
/// "credential-helpers").
pub const AUTH_FILES: &str = "containers-auth.json";

/// A place where logins are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// The files.
    Files,
    /// `docker-credential-NAME`, for whole hosts.
    Helper(String),
}

impl Keep {
    /// The places that a list of `credential-helpers` names.
    pub(super) fn all(names: &[String]) -> Vec<Self> {
        let one = |name: &String| match name.as_str() {
            AUTH_FILES => Self::Files,
            name => Self::Helper(name.to_owned()),
        };
        names.iter().map(one).collect()
    }
}

/// A login, and where it is from.
struct Found {
    login: Login,
    key: String,
    from: String,
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
        let mut all = Self { looked: files.to_vec(), ..Self::default() };
        for file in files {
            all.files.extend(File::open(file)?);
        }
        Ok(all)
    }

    /// Adds a login that counts before all files. `key` is a host with an optional port, and
    /// perhaps a namespace: `ghcr.io`, `localhost:5000/team`.
    #[must_use]
    pub fn with_login(mut self, key: &str, login: Login) -> Self {
        self.given.logins.insert(0, (normal_key(key), login));
        self
    }

    /// Adds a login that counts after all files, as the surroundings of a CI job give it.
    #[must_use]
    pub fn with_ambient(mut self, key: &str, login: Login) -> Self {
        self.ambient.logins.push((normal_key(key), login));
        self
    }

    /// The folders where the programs `docker-credential-NAME` are looked for that files name. They
    /// run with the environment of this process. Without any folder none is run.
    #[must_use]
    pub fn with_helpers_in(mut self, folders: Vec<PathBuf>) -> Self {
        self.helpers.folders = folders;
        self
    }

    /// Asks these places in this order: names of helpers, and `containers-auth.json` for the files. An empty list
    /// is the files alone.
    #[must_use]
    pub fn kept_by(mut self, names: &[String]) -> Self {
        self.keeps = Keep::all(names);
        self
    }

    /// The login for a repository, where there is one. Asks helpers, each once.
    pub(super) fn find(&self, registry: &str, repository: &str) -> Option<Login> {
        self.search(registry, repository, |name| self.helpers.get(name, registry).ok().flatten())
            .map(|f| f.login)
    }

    /// The same as far as it is known: asks nobody.
    fn known(&self, registry: &str, repository: &str) -> Option<Found> {
        self.search(registry, repository, |name| self.helpers.known(name, registry)?.ok().flatten())
    }

    fn search(&self, registry: &str, repository: &str, ask: impl Fn(&str) -> Option<Login>) -> Option<Found> {
        let by_helper = |name: &str| {
            let from = format!("`docker-credential-{}`", show_bytes(name.as_bytes()));
            ask(name).map(|login| Found { login, key: registry.to_owned(), from })
        };
        let in_file = |file: &File| {
            let own = file.helpers.iter().find(|(key, _)| key == registry).map(|(_, name)| name);
            let mut helpers = own.into_iter().chain(&file.store);
            if let Some(found) = helpers.find_map(|name| by_helper(name)) {
                return Some(found);
            }
            let (key, login) = file.login(registry, repository)?;
            let at = if file.path.as_os_str().is_empty() { String::new() } else { show(&file.path) };
            let from = if at.is_empty() { at } else { format!("`{at}`") };
            Some(Found { login: login.clone(), key: key.clone(), from })
        };
        let in_files = || self.files.iter().find_map(in_file);
        let kept = || match &self.keeps[..] {
            [] => in_files(),
            keeps => keeps.iter().find_map(|keep| match keep {
                Keep::Files => in_files(),
                Keep::Helper(name) => by_helper(name),
            }),
        };
        in_file(&self.given).or_else(kept).or_else(|| in_file(&self.ambient))
    }

    /// What no message about this repository may show.
    pub(super) fn secrets(&self, registry: &str, repository: &str) -> Vec<Secret> {
        self.known(registry, repository).map_or_else(Vec::new, |f| f.login.secrets())
    }

    /// Every secret that is known so far.
    pub(super) fn all_secrets(&self) -> Vec<Secret> {
        let files = std::iter::once(&self.given).chain(&self.files).chain([&self.ambient]);
        let mut all: Vec<Secret> = files.flat_map(|f| &f.logins).flat_map(|(_, l)| l.secrets()).collect();
        all.extend(self.helpers.secrets());
        all
    }

    /// What to do when a registry refuses us: says which login was used, or where one was looked for.
    pub(super) fn advice(&self, registry: &str, repository: &str) -> String {
        if let Some(found) = self.known(registry, repository) {
            let from = if found.from.is_empty() { found.from } else { format!(" from {}", found.from) };
            return format!(
                "the credentials for `{}`{from} were sent and do not suffice; log in again, or ask for the right",
                show_bytes(found.key.as_bytes())
            );
        }
        let of_conf = self.keeps.iter().filter_map(|keep| match keep {
            Keep::Helper(name) => Some(("registries.conf".to_owned(), name)),
            Keep::Files => None,
        });
        let of_files = self.files.iter().flat_map(|file| {
            let own = file.helpers.iter().find(|(key, _)| key == registry).map(|(_, name)| name);
            own.into_iter().chain(&file.store).map(|name| (show(&file.path), name))
        });
        for (place, name) in of_conf.chain(of_files) {
            if let Some(Err(why)) = self.helpers.known(name, registry) {
                return format!(
                    "`{place}` leaves the credentials for `{registry}` to the helper `docker-credential-{}`, which \
                     failed: {why}; repair it, or log in with `floe login --authfile FILE {registry}`",
                    show_bytes(name.as_bytes())
                );
            }
        }
        let looked = match &self.looked[..] {
            [] => "no file with credentials was given".to_owned(),
            files => {
                let files: Vec<String> = files.iter().map(|f| format!("`{}`", show(f))).collect();
                format!("looked in {}", files.join(", "))
            }
        };
        format!("there are no credentials for `{registry}` ({looked}); log in with `floe login {registry}`")
    }
}

#[cfg(test)]
mod tests {
    use super::file::object;
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    fn read(texts: &[&str]) -> Credentials {
        let path = Path::new("/x/config.json");
        let parse = |t: &&str| File::parse(&object(t.as_bytes(), path).unwrap(), path).unwrap();
        Credentials {
            files: texts.iter().map(parse).collect(),
            looked: vec![path.to_owned()],
            ..Credentials::default()
        }
    }

    fn user(c: &Credentials, registry: &str, repository: &str) -> Option<String> {
        c.find(registry, repository).map(|l| l.user().to_owned())
    }

    const ANN: &str = r#"{"auths": {"h:1": {"auth": "YW5uOmh1bnRlcjI="}}}"#; // ann:hunter2
    const BOB: &str = r#"{"auths": {"h:1/team": {"auth": "Ym9iOmh1bnRlcjM="}}}"#; // bob:hunter3

    #[test]
    fn c25_given_logins_count_first_and_the_surroundings_last() {
        let c = read(&[ANN])
            .with_ambient("h:1", Login::new("job", "y"))
            .with_ambient("g", Login::new("job", "y"));
        assert_eq!(user(&c, "h:1", "m").as_deref(), Some("ann"));
        assert_eq!(user(&c, "g", "m").as_deref(), Some("job"));
        let c = c.with_login("h:1", Login::new("flag", "y"));
        assert_eq!(user(&c, "h:1", "m").as_deref(), Some("flag"));
    }

    #[test]
    fn c25_the_first_file_with_any_entry_counts() {
        assert_eq!(user(&read(&[ANN, BOB]), "h:1", "team/x").as_deref(), Some("ann"));
        assert_eq!(user(&read(&[BOB, ANN]), "h:1", "team/x").as_deref(), Some("bob"));
        assert_eq!(user(&read(&[BOB, ANN]), "h:1", "other").as_deref(), Some("ann"));
    }

    #[test]
    fn c26_the_hosts_helper_counts_before_the_store_and_that_before_entries() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["own", "all", "silent"] {
            let answer = match name {
                "silent" => "echo 'credentials not found in native keychain'; exit 1".to_owned(),
                name => format!("echo '{{\"Username\":\"{name}\",\"Secret\":\"s\"}}'"),
            };
            let file = dir.path().join(format!("docker-credential-{name}"));
            std::fs::write(&file, format!("#!/bin/sh\n{answer}\n")).unwrap();
            std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
        }
        let auths = r#""auths": {"a": {"auth": "YW5uOmh1bnRlcjI="}, "b": {"auth": "YW5uOmh1bnRlcjI="}}"#;
        let with = |rest: &str| {
            read(&[&format!("{{{auths}, {rest}}}")]).with_helpers_in(vec![dir.path().to_owned()])
        };
        let c = with(r#""credHelpers": {"a": "own"}, "credsStore": "all""#);
        assert_eq!(user(&c, "a", "m").as_deref(), Some("own"));
        assert_eq!(user(&c, "b", "m").as_deref(), Some("all"));
        // One that has nothing, or is not there, leaves it to the next.
        for (rest, who) in [
            (r#""credHelpers": {"a": "silent"}, "credsStore": "all""#, "all"),
            (r#""credHelpers": {"a": "silent"}"#, "ann"),
            (r#""credsStore": "missing""#, "ann"),
        ] {
            assert_eq!(user(&with(rest), "a", "m").as_deref(), Some(who), "{rest}");
        }
    }

    #[test]
    fn c26_c27_helpers_of_registries_conf_stand_before_behind_or_instead_of_the_files() {
        let dir = tempfile::tempdir().unwrap();
        for (name, answer) in [
            ("conf", "echo '{\"Username\":\"conf\",\"Secret\":\"s\"}'"),
            ("silent", "echo 'credentials not found in native keychain'; exit 1"),
            ("broken", "exit 3"),
        ] {
            let file = dir.path().join(format!("docker-credential-{name}"));
            std::fs::write(&file, format!("#!/bin/sh\n{answer}\n")).unwrap();
            std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
        }
        let by = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
            let all = read(&[ANN]).with_helpers_in(vec![dir.path().to_owned()]);
            all.with_ambient("h:1", Login::new("job", "y")).kept_by(&names)
        };
        for (names, who) in [
            (&[][..], "ann"),
            (&["conf"], "conf"),
            (&["conf", "containers-auth.json"], "conf"),
            (&["containers-auth.json", "conf"], "ann"),
            (&["silent", "containers-auth.json"], "ann"),
            (&["broken", "missing", "containers-auth.json"], "ann"),
            (&["silent"], "job"),
        ] {
            assert_eq!(user(&by(names), "h:1", "m").as_deref(), Some(who), "{names:?}");
        }
        // What is by hand counts before all of them.
        let c = by(&["conf"]).with_login("h:1", Login::new("flag", "y"));
        assert_eq!(user(&c, "h:1", "m").as_deref(), Some("flag"));
        let c = by(&["broken"]);
        assert_eq!(user(&c, "elsewhere", "m"), None);
        let advice = c.advice("elsewhere", "m");
        assert!(
            advice.contains("`registries.conf` leaves")
                && advice.contains("docker-credential-broken`, which failed"),
            "{advice}"
        );
    }

    #[test]
    fn c26_a_helper_that_fails_is_named_with_the_reason() {
        let c = read(&[r#"{"credsStore": "desktop"}"#]);
        assert!(c.advice("h", "m").contains("there are no credentials"), "nobody was asked yet");
        assert!(c.find("h", "m").is_none());
        let advice = c.advice("h", "m");
        assert!(
            advice.contains("`docker-credential-desktop`, which failed: there is no such program"),
            "{advice}"
        );
    }

    #[test]
    fn nothing_secret_is_shown() {
        let c = read(&[ANN]);
        let shown = format!("{c:?} {:?} {}", c.find("h:1", "m"), c.advice("h:1", "m"));
        for secret in ["hunter2", "ann", "YW5uOmh1bnRlcjI="] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let c = Credentials::load(&[dir.path().join("none.json")]).unwrap();
        assert!(c.advice("h", "m").contains("none.json"));
    }
}
