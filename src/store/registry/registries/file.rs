//! A file in the form of `registries.conf`, version 2.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Registries;
use crate::error::{At, Error, Kind, Result, show, show_bytes};

/// The largest file that is read.
const MAX_FILE: u64 = 4 << 20;
/// How many files of a folder are read.
const MAX_FILES: usize = 1000;

/// What `short-name-mode` may be.
const MODES: [&str; 3] = ["enforcing", "permissive", "disabled"];

/// What a file says of a prefix.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) location: String,
    pub(super) insecure: bool,
    pub(super) blocked: bool,
    pub(super) digest_only: bool,
    pub(super) mirrors: Vec<Mirror>,
}

/// A place that is read first.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Mirror {
    pub(super) location: String,
    #[serde(default)]
    pub(super) insecure: bool,
    #[serde(default)]
    pub(super) pull_from_mirror: For,
}

/// For which references a mirror is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum For {
    #[default]
    All,
    DigestOnly,
    TagOnly,
}

/// A file, as it is written; what is not known is passed over.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Written {
    #[serde(default)]
    registry: Vec<WrittenRow>,
    #[serde(default)]
    aliases: BTreeMap<String, String>,
    unqualified_search_registries: Option<Vec<String>>,
    credential_helpers: Option<Vec<String>>,
    short_name_mode: Option<String>,
    /// Version 1.
    registries: Option<toml::Table>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct WrittenRow {
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    location: String,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    blocked: bool,
    #[serde(default)]
    mirror_by_digest_only: bool,
    #[serde(default)]
    mirror: Vec<Mirror>,
}

impl Registries {
    pub(super) fn read(&mut self, path: &Path) -> Result<()> {
        let bytes = crate::fs::read_capped(path, MAX_FILE).map_err(|e| e.with_kind(Kind::Usage))?;
        let text = String::from_utf8(bytes).map_err(|_| wrong(path, "it is not UTF-8"))?;
        self.add(&text, path)
    }

    pub(super) fn add(&mut self, text: &str, path: &Path) -> Result<()> {
        let written: Written = toml::from_str(text).map_err(|e| {
            let line = e.span().and_then(|s| text.get(..s.start)).map_or(1, |t| t.lines().count().max(1));
            wrong(path, &format!("line {line}: {}", show_bytes(e.message().as_bytes())))
        })?;
        if written.registries.is_some() {
            return Err(wrong(path, "it is in version 1 of that format").hint(
                "write `[[registry]]` tables and `unqualified-search-registries`, as containers-registries.conf(5) has them",
            ));
        }
        for row in written.registry {
            let (prefix, row) = row.checked(path)?;
            self.rows.insert(prefix, row);
        }
        // An empty value takes an alias back.
        for (name, full) in written.aliases {
            if full.is_empty() {
                self.aliases.remove(&name);
            } else {
                self.aliases.insert(name, full);
            }
        }
        if let Some(search) = written.unqualified_search_registries {
            self.search = search;
        }
        if let Some(helpers) = written.credential_helpers {
            self.helpers = helpers;
        }
        // One mode is all that floe has; what is none of the format's is a mistake here as elsewhere.
        if let Some(mode) = written.short_name_mode.filter(|m| !MODES.contains(&m.as_str())) {
            let mode = show_bytes(mode.as_bytes());
            return Err(wrong(path, &format!("`short-name-mode` cannot be `{mode}`"))
                .hint(format!("it is one of {}", MODES.join(", "))));
        }
        Ok(())
    }
}

impl WrittenRow {
    fn checked(self, path: &Path) -> Result<(String, Row)> {
        let clean = |text: &str| text.trim_end_matches('/').to_owned();
        let (location, mut prefix) = (clean(&self.location), clean(&self.prefix));
        if prefix.is_empty() {
            prefix.clone_from(&location);
        }
        let shown = show_bytes(prefix.as_bytes());
        if prefix.is_empty() {
            return Err(wrong(path, "a `[[registry]]` has neither `prefix` nor `location`"));
        }
        let wild = prefix.starts_with("*.");
        if prefix.contains('*') && (!wild || prefix[1..].contains(['*', '/'])) {
            return Err(wrong(path, &format!("the prefix `{shown}` has a star that is not `*.HOST`")));
        }
        if location.is_empty() && !wild && !self.blocked {
            return Err(wrong(path, &format!("the `[[registry]]` of `{shown}` has no `location`")));
        }
        for place in std::iter::once(&location).chain(self.mirror.iter().map(|m| &m.location)) {
            if place.contains("://") {
                let place = show_bytes(place.as_bytes());
                return Err(wrong(path, &format!("the location `{place}` is a URL"))
                    .hint("a location is HOST[:PORT][/NAMESPACE]; `insecure = true` allows plain HTTP"));
            }
        }
        if self.mirror.iter().any(|m| clean(&m.location).is_empty()) {
            return Err(wrong(path, &format!("a mirror of `{shown}` has no `location`")));
        }
        let mirrors = self.mirror.into_iter().map(|m| Mirror { location: clean(&m.location), ..m }).collect();
        let row = Row {
            location,
            insecure: self.insecure,
            blocked: self.blocked,
            digest_only: self.mirror_by_digest_only,
            mirrors,
        };
        Ok((prefix, row))
    }
}

fn wrong(path: &Path, why: &str) -> Error {
    Error::new(Kind::Usage, format!("`{}` cannot be used as a registries.conf: {why}", show(path)))
        .hint("correct it, or name another one: `--registries-conf FILE`")
}

/// The `*.conf` of a folder, in order.
pub(super) fn drop_ins(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for item in std::fs::read_dir(folder).at("read the folder", folder)?.take(MAX_FILES) {
        let path = item.at("read the folder", folder)?.path();
        if path.extension().is_some_and(|e| e == "conf") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_say_nothing_clear_are_refused() {
        for bad in [
            "x =",
            "[[registry]]",
            "[[registry]]\nprefix = \"a\"",
            "[[registry]]\nprefix = \"a*\"\nlocation = \"b\"",
            "[[registry]]\nprefix = \"*.a/b\"\nlocation = \"b\"",
            "[[registry]]\nlocation = \"https://a\"",
            "[[registry]]\nlocation = \"a\"\n[[registry.mirror]]\nlocation = \"\"",
            "[[registry]]\nlocation = \"a\"\n[[registry.mirror]]\ninsecure = true",
            "[[registry]]\nlocation = \"a\"\n[[registry.mirror]]\nlocation = \"b\"\npull-from-mirror = \"never\"",
            "[registries.search]\nregistries = [\"a\"]",
            "registry = 3",
            "short-name-mode = \"strict\"",
            "credential-helpers = \"pass\"",
        ] {
            let e = Registries::default().add(bad, Path::new("/x/r.conf")).unwrap_err();
            assert_eq!(e.kind(), Kind::Usage, "{bad}");
            assert!(e.to_string().starts_with("`/x/r.conf` cannot be used as a registries.conf: "), "{e}");
        }
        // Keys of other tools are theirs.
        Registries::default()
            .add(
                "additional-layer-store-auth-helper = \"x\"\nshort-name-mode = \"permissive\"\nnew-thing = {}",
                Path::new("/x"),
            )
            .unwrap();
    }
}
