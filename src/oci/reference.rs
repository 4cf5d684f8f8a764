//! References to images in registries, and the grammar of names and tags.
//!
//! The grammar is the distribution specification's ("Pulling manifests"), the defaults are
//! Docker's: `ubuntu` is `docker.io/library/ubuntu:latest`. The parser is ours because
//! `oci_client::Reference` refuses `[::1]:5000/x` and rewrites `docker.io`.
//!
//! Invariant: every part of a [`Reference`] is well formed, so that it can stand in a URL.

use std::fmt;
use std::str::FromStr;

use super::Digest;
use crate::error::{Error, Kind, Result, show_bytes};

/// The registry that a name without a host belongs to.
pub const DEFAULT_REGISTRY: &str = "docker.io";

/// Registry, repository and perhaps a tag and a digest. Where both are given the digest counts.
///
/// ```
/// let r: floe::oci::Reference = "ubuntu:24.04".parse()?;
/// assert_eq!(r.to_string(), "docker.io/library/ubuntu:24.04");
/// assert_eq!("[::1]:5000/x".parse::<floe::oci::Reference>()?.registry, "[::1]:5000");
/// # Ok::<(), floe::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// Host and perhaps port: `docker.io`, `localhost:5000`, `[::1]:5000`.
    pub registry: String,
    /// Path of the repository in the registry.
    pub repository: String,
    /// Tag.
    pub tag: Option<String>,
    /// Digest of a manifest.
    pub digest: Option<Digest>,
}

impl Reference {
    /// Whether the first part of a name is a host, by Docker's rule: it has a dot, a colon or a
    /// bracket, or is `localhost`, and something follows it.
    pub fn names_a_host(text: &str) -> bool {
        let Some((first, _)) = text.split_once('/') else { return false };
        first == "localhost"
            || first.contains(['.', ':', '['])
            || first.bytes().any(|b| b.is_ascii_uppercase())
    }

    /// Repository with host, as people write it: `docker.io/library/ubuntu`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The same repository, at another tag.
    pub fn with_tag(&self, tag: &str) -> Self {
        Self { tag: Some(tag.to_owned()), digest: None, ..self.clone() }
    }

    /// The same repository, at a digest and nothing else.
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }

    /// What a registry is asked for: the digest, else the tag, else `latest`.
    pub fn identifier(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(d), _) => d.to_string(),
            (None, Some(t)) => t.clone(),
            (None, None) => "latest".to_owned(),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        // skopeo 1.9 refuses `NAME:TAG@DIGEST`; the digest alone says it all.
        match (&self.digest, &self.tag) {
            (Some(d), _) => write!(f, "@{d}"),
            (None, Some(t)) => write!(f, ":{t}"),
            (None, None) => Ok(()),
        }
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |why: String| {
            Error::new(
                Kind::Usage,
                format!("`{}` is not an image reference: {why}", show_bytes(text.as_bytes())),
            )
        };
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                (rest, Some(digest.parse::<Digest>().map_err(|e| wrong(e.message().to_owned()))?))
            }
            None => (text, None),
        };
        let (registry, rest) = match rest.split_once('/') {
            Some((host, path)) if Self::names_a_host(rest) => (host, path),
            _ => (DEFAULT_REGISTRY, rest),
        };
        let (path, tag) = match rest.rsplit_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (rest, None),
        };
        if !is_host(registry) {
            return Err(wrong(format!("`{registry}` is not a host")));
        }
        if let Some(tag) = tag
            && !is_tag(tag)
        {
            return Err(wrong(format!("`{}` is not a tag", show_bytes(tag.as_bytes()))).hint(
                "a tag has up to 128 letters, digits, `_`, `.` and `-`, and begins with none of the last two",
            ));
        }
        // Other names of the same place, as Docker has them.
        let registry = match registry {
            "index.docker.io" | "registry-1.docker.io" => DEFAULT_REGISTRY,
            other => other,
        };
        let repository = if registry == DEFAULT_REGISTRY && !path.contains('/') {
            format!("library/{path}")
        } else {
            path.to_owned()
        };
        if !is_repository(&repository) {
            let mut e = wrong(format!("`{}` is not a repository name", show_bytes(path.as_bytes())));
            if let Some(better) = suggest_repository(path) {
                e = e.hint(format!("a repository name is in lower case, such as `{better}`"));
            }
            return Err(e);
        }
        Ok(Self { registry: registry.to_owned(), repository, tag: tag.map(str::to_owned), digest })
    }
}

/// Whether it is a host with an optional port.
fn is_host(s: &str) -> bool {
    let (host, port) = if let Some(rest) = s.strip_prefix('[') {
        let Some((inside, after)) = rest.split_once(']') else { return false };
        if inside.parse::<std::net::Ipv6Addr>().is_err() {
            return false;
        }
        match after.strip_prefix(':') {
            Some(port) => ("v6", Some(port)),
            None if after.is_empty() => ("v6", None),
            None => return false,
        }
    } else {
        match s.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (s, None),
        }
    };
    let label = |l: &str| {
        !l.is_empty()
            && l.len() <= 63
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    host.split('.').all(label) && port.is_none_or(|p| p.parse::<u16>().is_ok_and(|n| n > 0))
}

/// Whether it is a tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
pub fn is_tag(s: &str) -> bool {
    let ok = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    !s.is_empty()
        && s.len() <= 128
        && s.bytes().next().is_some_and(ok)
        && s.bytes().all(|b| ok(b) || b == b'.' || b == b'-')
}

/// Whether it is a repository name: components of
/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*` between slashes, up to 255 characters.
pub fn is_repository(s: &str) -> bool {
    s.len() <= 255 && s.split('/').all(is_component)
}

fn is_component(s: &str) -> bool {
    let alnum = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = s.as_bytes();
    let mut i = 0;
    loop {
        let start = i;
        while i < bytes.len() && alnum(bytes[i]) {
            i += 1;
        }
        if i == start {
            return false;
        }
        if i == bytes.len() {
            return true;
        }
        let separator = i;
        while i < bytes.len() && !alnum(bytes[i]) {
            i += 1;
        }
        let sep = &bytes[separator..i];
        if !(sep == b"." || sep == b"_" || sep == b"__" || sep.iter().all(|b| *b == b'-')) {
            return false;
        }
    }
}

/// The nearest repository name to one that is none, where something is left of it.
pub fn suggest_repository(s: &str) -> Option<String> {
    let mut out = String::new();
    for part in s.split('/') {
        let mut piece = String::new();
        for c in part.chars() {
            let c = c.to_ascii_lowercase();
            if c.is_ascii_lowercase() || c.is_ascii_digit() {
                piece.push(c);
            } else if !piece.is_empty() && !piece.ends_with(['-', '_', '.']) {
                piece.push(if matches!(c, '_' | '.') { c } else { '-' });
            }
        }
        let piece = piece.trim_end_matches(['-', '_', '.']);
        if !piece.is_empty() {
            if !out.is_empty() {
                out.push('/');
            }
            out.push_str(piece);
        }
    }
    (is_repository(&out) && !out.is_empty()).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn c22_short_names_and_hosts() {
        for (text, full) in [
            ("ubuntu", "docker.io/library/ubuntu"),
            ("ubuntu:22.04", "docker.io/library/ubuntu:22.04"),
            ("hydrosphere/x:1", "docker.io/hydrosphere/x:1"),
            ("index.docker.io/ubuntu", "docker.io/library/ubuntu"),
            ("localhost/x", "localhost/x"),
            ("localhost:5000/x:1", "localhost:5000/x:1"),
            ("h:80/a/b", "h:80/a/b"),
            ("[::1]:5000/x", "[::1]:5000/x"),
            ("ghcr.io/a/b-c__d.e:v1", "ghcr.io/a/b-c__d.e:v1"),
        ] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), full, "{text}");
        }
    }

    #[test]
    fn c23_a_digest_counts_over_a_tag() {
        let r: Reference = format!("h:80/a:1@{D}").parse().unwrap();
        assert_eq!((r.tag.as_deref(), r.identifier()), (Some("1"), D.to_owned()));
        assert_eq!(r.to_string(), format!("h:80/a@{D}"));
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        for bad in [
            "",
            "/",
            "a//b",
            "a/",
            "UPPER/x y",
            "a:",
            "a:-x",
            "a@",
            "a@sha256:1",
            "h:99999/a",
            "h:0/a",
            "[::1/a",
            "[zz]:1/a",
            "../a",
            "a/../b",
            "a b",
            "a?b",
            "a#b",
            "h:80/A",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "a%2f",
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_better_name_is_suggested() {
        assert_eq!(suggest_repository("LightGBM_Favorita").as_deref(), Some("lightgbm_favorita"));
        assert_eq!(suggest_repository("-a b--").as_deref(), Some("a-b"));
        assert_eq!(suggest_repository("x///y").as_deref(), Some("x/y"));
        assert_eq!(suggest_repository("模型"), None);
    }
}
