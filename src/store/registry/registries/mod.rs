//! Where images of a name really lie: `registries.conf` (containers-registries.conf(5), version 2).
//!
//! A row is for all names that begin with its prefix: it may block them, move them to another place,
//! or name mirrors that are read first. Short names are names without a host. The digest of an image
//! is the same wherever it was read, and so is the name that its user wrote. Not here: asking the
//! mirrors (`mirror`), asking the credential helpers (`credentials`), and the variables that name other files.
//!
//! `short-name-mode` changes nothing: floe never asks several registries for a short name. `permissive`
//! and `disabled` take the first that answers, and who answers first would decide what is in an image;
//! `enforcing` asks on a terminal, and a build has none. Also not heeded, as there is nothing here that they could
//! change: `additional-layer-store-auth-helper`, and the file of short names that podman writes for itself.

mod file;

use std::collections::BTreeMap;
use std::path::PathBuf;

use self::file::{For, Mirror, Row, drop_ins};
use crate::error::{Error, Kind, Result, show_bytes};
use crate::oci::Reference;

/// What the files say.
#[derive(Clone, Debug, Default)]
pub struct Registries {
    /// By prefix.
    rows: BTreeMap<String, Row>,
    aliases: BTreeMap<String, String>,
    search: Vec<String>,
    /// `credential-helpers`, in their order; the files of logins among them.
    helpers: Vec<String>,
}

/// Where a reference leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    /// The prefix by which it is blocked.
    pub(super) blocked: Option<String>,
    /// Where it lies, for reading and writing.
    pub(super) at: Reference,
    /// Where it is read first.
    pub(super) mirrors: Vec<Reference>,
}

impl Registries {
    /// Reads files, and the `*.conf` of folders in the order of their names; what comes later counts
    /// over what comes first. What does not exist is passed over.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, is no TOML, or contradicts itself.
    pub fn load(paths: &[PathBuf]) -> Result<Self> {
        let mut all = Self::default();
        for path in paths {
            if path.is_dir() {
                for file in drop_ins(path)? {
                    all.read(&file)?;
                }
            } else if path.exists() {
                all.read(path)?;
            }
        }
        Ok(all)
    }

    /// The row for a name, and how much of the name its prefix takes.
    fn row(&self, name: &str) -> Option<(&str, &Row, usize)> {
        self.rows
            .iter()
            .filter_map(|(prefix, row)| Some((prefix.as_str(), row, matched(prefix, name)?)))
            .max_by_key(|(prefix, _, _)| prefix.len())
    }

    /// Where logins are kept, in the order in which they are asked: names of credential helpers, and
    /// `containers-auth.json` for the files. Empty where no file says so: then it is the files alone.
    pub fn credential_helpers(&self) -> &[String] {
        &self.helpers
    }

    /// Where a reference leads.
    pub(super) fn route(&self, reference: &Reference) -> Route {
        let stays = Route { blocked: None, at: reference.clone(), mirrors: Vec::new() };
        let name = full(reference);
        let Some((prefix, row, length)) = self.row(&name) else { return stays };
        if row.blocked {
            return Route { blocked: Some(prefix.to_owned()), ..stays };
        }
        let moved = |location: &str| moved(reference, location, &name[length..]);
        let by_digest = reference.digest.is_some();
        let asked = |m: &&Mirror| match m.pull_from_mirror {
            For::All => by_digest || !row.digest_only,
            For::DigestOnly => by_digest,
            For::TagOnly => !by_digest && !row.digest_only,
        };
        Route {
            blocked: None,
            at: if row.location.is_empty() { None } else { moved(&row.location) }
                .unwrap_or_else(|| reference.clone()),
            mirrors: row.mirrors.iter().filter(asked).filter_map(|m| moved(&m.location)).collect(),
        }
    }

    /// The place that a reference leads to, by moves alone; also where it is blocked.
    pub fn place(&self, reference: &Reference) -> Reference {
        self.route(reference).at
    }

    /// Hosts, with their ports, that are called insecure.
    pub(super) fn insecure(&self) -> impl Iterator<Item = &str> {
        let rows = self
            .rows
            .iter()
            .filter(|(_, r)| r.insecure)
            .map(|(prefix, r)| if r.location.is_empty() { prefix.as_str() } else { r.location.as_str() });
        let mirrors = self.rows.values().flat_map(|r| &r.mirrors).filter(|m| m.insecure);
        rows.chain(mirrors.map(|m| m.location.as_str())).map(|l| l.split('/').next().unwrap_or(l))
    }

    /// The full name for a name without a host; `None` where the files say nothing of it, and it is
    /// Docker's.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`] when several registries could be meant: which one answers first would decide
    /// what is in the image.
    pub fn full_name(&self, text: &str) -> Result<Option<String>> {
        if Reference::names_a_host(text) {
            return Ok(None);
        }
        let end = text.find(['@', ':']).unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        if let Some(full) = self.aliases.get(name) {
            return Ok(Some(format!("{full}{rest}")));
        }
        match &self.search[..] {
            [] => Ok(None),
            [one] => Ok(Some(format!("{one}/{text}"))),
            several => {
                let all: Vec<String> = several.iter().map(|r| format!("`{r}/{text}`")).collect();
                Err(Error::new(
                    Kind::Usage,
                    format!(
                        "`{}` is in several registries, by `unqualified-search-registries`",
                        show_bytes(text.as_bytes())
                    ),
                )
                .hint(format!("write which is meant, whatever `short-name-mode` says: {}", all.join(", "))))
            }
        }
    }
}

/// A reference with all its parts, against which prefixes are held.
fn full(reference: &Reference) -> String {
    let tag = reference.tag.as_ref().map_or(String::new(), |t| format!(":{t}"));
    let digest = reference.digest.as_ref().map_or(String::new(), |d| format!("@{d}"));
    format!("{}{tag}{digest}", reference.name())
}

/// How much of a name a prefix takes, where it fits.
fn matched(prefix: &str, name: &str) -> Option<usize> {
    let length = match prefix.strip_prefix('*') {
        Some(domain) => {
            let host = &name[..name.find('/').unwrap_or(name.len())];
            let at = host.rfind(domain).filter(|at| *at > 0)?;
            at + domain.len()
        }
        None => name.starts_with(prefix).then_some(prefix.len())?,
    };
    name[length..].chars().next().is_none_or(|c| "/:@".contains(c)).then_some(length)
}

/// The reference at another place: what follows the prefix hangs on the location.
fn moved(reference: &Reference, location: &str, rest: &str) -> Option<Reference> {
    let place: Reference = format!("{location}{rest}").parse().ok()?;
    Some(Reference { tag: reference.tag.clone(), digest: reference.digest, ..place })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn conf(text: &str) -> Registries {
        let mut all = Registries::default();
        all.add(text, Path::new("/x/registries.conf")).unwrap();
        all
    }

    const D: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn route(all: &Registries, text: &str) -> (String, Vec<String>) {
        let route = all.route(&text.parse().unwrap());
        assert_eq!(route.blocked, None);
        (route.at.to_string(), route.mirrors.iter().map(Reference::to_string).collect())
    }

    #[test]
    fn c27_a_prefix_is_moved_to_its_location() {
        let all = conf(
            r#"
            [[registry]]
            prefix = "example.com/foo"
            location = "internal:5000/bar"
            [[registry]]
            prefix = "example.com/foo/deeper"
            location = "deeper.example"
            [[registry]]
            prefix = "*.wild.example"
            location = "one.example/all"
            [[registry]]
            location = "plain.example"
            "#,
        );
        for (from, to) in [
            ("example.com/foo/x:1", "internal:5000/bar/x:1"),
            ("example.com/foo:1", "internal:5000/bar:1"),
            ("example.com/food/x", "example.com/food/x"),
            ("example.com/foo/deeper/x", "deeper.example/x"),
            ("a.wild.example/x", "one.example/all/x"),
            ("a.b.wild.example/x", "one.example/all/x"),
            ("wild.example/x", "wild.example/x"),
            ("a.wild.example.org/x", "a.wild.example.org/x"),
            ("plain.example/x", "plain.example/x"),
            ("other.example/a.wild.example/x", "other.example/a.wild.example/x"),
        ] {
            assert_eq!(route(&all, from).0, to, "{from}");
        }
        assert_eq!(route(&all, &format!("example.com/foo/x@{D}")).0, format!("internal:5000/bar/x@{D}"));
    }

    #[test]
    fn c27_mirrors_are_for_tags_for_digests_or_for_both() {
        let all = conf(
            r#"
            [[registry]]
            location = "docker.io"
            [[registry.mirror]]
            location = "m1.example/hub"
            [[registry.mirror]]
            location = "m2.example"
            pull-from-mirror = "digest-only"
            insecure = true
            [[registry.mirror]]
            location = "m3.example"
            pull-from-mirror = "tag-only"
            [[registry]]
            location = "quay.io"
            mirror-by-digest-only = true
            [[registry.mirror]]
            location = "q.example:5000/a"
            insecure = true
            "#,
        );
        assert_eq!(
            route(&all, "ubuntu:1"),
            (
                "docker.io/library/ubuntu:1".to_owned(),
                vec!["m1.example/hub/library/ubuntu:1".to_owned(), "m3.example/library/ubuntu:1".to_owned()]
            )
        );
        let (_, mirrors) = route(&all, &format!("ubuntu@{D}"));
        assert_eq!(mirrors.len(), 2);
        assert!(mirrors[1].starts_with("m2.example/"), "{mirrors:?}");
        assert!(route(&all, "quay.io/x:1").1.is_empty());
        assert_eq!(route(&all, &format!("quay.io/x@{D}")).1.len(), 1);
        assert_eq!(all.insecure().collect::<Vec<_>>(), ["m2.example", "q.example:5000"]);
    }

    #[test]
    fn c27_what_is_blocked_is_named() {
        let all = conf("[[registry]]\nprefix = \"docker.io/evil\"\nblocked = true");
        let route = all.route(&"docker.io/evil/x".parse().unwrap());
        assert_eq!(route.blocked.as_deref(), Some("docker.io/evil"));
        assert_eq!(all.route(&"docker.io/good/x".parse().unwrap()).blocked, None);
    }

    #[test]
    fn c27_short_names_have_aliases_and_one_registry() {
        let all =
            conf("[aliases]\n\"ubuntu\" = \"mirror.example/canonical/ubuntu\"\n\"a/b\" = \"c.example/b\"");
        for (text, full) in [
            ("ubuntu:22.04", Some("mirror.example/canonical/ubuntu:22.04")),
            ("a/b", Some("c.example/b")),
            ("debian", None),
            ("x.example/ubuntu", None),
        ] {
            assert_eq!(all.full_name(text).unwrap().as_deref(), full, "{text}");
        }
        let one = conf("unqualified-search-registries = [\"r.example:5000\"]");
        assert_eq!(one.full_name("x:1").unwrap().as_deref(), Some("r.example:5000/x:1"));
        let two = conf("unqualified-search-registries = [\"r.example\", \"docker.io\"]");
        let e = two.full_name("x:1").unwrap_err();
        assert_eq!(
            e.hint_text(),
            Some("write which is meant, whatever `short-name-mode` says: `r.example/x:1`, `docker.io/x:1`")
        );
    }

    #[test]
    fn c27_later_files_count_over_earlier_ones() {
        let dir = tempfile::tempdir().unwrap();
        let main = dir.path().join("registries.conf");
        let folder = dir.path().join("registries.conf.d");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(&main, "unqualified-search-registries = [\"a\"]\n[[registry]]\nprefix = \"p\"\nlocation = \"one\"\n[aliases]\nx = \"a/x\"")
            .unwrap();
        std::fs::write(folder.join("20.conf"), "[[registry]]\nprefix = \"p\"\nlocation = \"three.example\"")
            .unwrap();
        std::fs::write(
            folder.join("10.conf"),
            "[[registry]]\nprefix = \"p\"\nlocation = \"two\"\n[aliases]\nx = \"\"",
        )
        .unwrap();
        std::fs::write(folder.join("30.other"), "nonsense").unwrap();
        let all = Registries::load(&[main, dir.path().join("none"), folder]).unwrap();
        assert_eq!(all.rows["p"].location, "three.example");
        assert_eq!(all.full_name("x").unwrap().as_deref(), Some("a/x"), "the search registry, not the alias");
    }
}
