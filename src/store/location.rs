//! Where an image lies, as people write it.
//!
//! The grammar is that of containers-transports(5), so that a line can be handed from floe to
//! skopeo, podman or buildah and back; three forms are floe's own: a bare name without a host (the
//! local store), `oci:DIR@DIGEST`, and the base `floe`. A location is text that was understood: nothing is looked up,
//! neither on disk nor in a registry.
//!
//! Invariant: what a location prints is read back, in the same role, as the same place.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result, show, show_bytes};
use crate::oci::reference::is_tag;
use crate::oci::{Digest, Reference};

/// Where an image lies.
///
/// ```
/// use floe::store::location::Location;
///
/// let to = Location::destination("docker://registry.example/team/", "churn")?;
/// assert_eq!(to.to_string(), "docker://registry.example/team/churn");
/// let base = Location::base("debian:12")?;
/// assert_eq!(base.to_string(), "docker://docker.io/library/debian:12");
/// # Ok::<(), floe::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A repository in a registry, perhaps with a tag or a digest.
    Registry(Reference),
    /// An OCI layout in a folder.
    Layout {
        /// The folder.
        dir: PathBuf,
        /// Name of the entry, or a digest in text form.
        name: Option<String>,
    },
    /// A tar file with an OCI layout in it.
    OciArchive {
        /// The file.
        file: PathBuf,
        /// Name of the entry, a digest in text form, or `@N` for the N-th entry from zero.
        name: Option<String>,
    },
    /// A tar file as `docker save` writes it.
    DockerArchive {
        /// The file.
        file: PathBuf,
        /// The image's name, perhaps with a tag, or `@N` for the N-th image from zero.
        name: Option<String>,
    },
    /// A root file system in a folder or a tar; a base only.
    Rootfs(PathBuf),
    /// Nothing to start from; a base only.
    Scratch,
    /// floe's own program over nothing; a base only.
    Floe,
    /// A collection in the local store, whose folder the caller knows.
    Store {
        /// The collection.
        name: String,
        /// A version, a number, an alias: what follows the colon.
        tag: Option<String>,
        /// A digest, which counts over the tag.
        digest: Option<Digest>,
    },
}

/// What a location is wanted for; the same text can mean different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Destination,
    Base,
    Reference,
}

/// The transports that floe reads, as they are written.
const TRANSPORTS: &[&str] = &["docker://", "oci:", "oci-archive:", "docker-archive:", "rootfs:", "scratch"];

/// Transports of other tools, and what to do instead.
const FOREIGN: &[(&str, &str)] = &[
    ("atomic", "push to its registry with `docker://HOST/NAME`"),
    (
        "containers-storage",
        "use `oci:DIR`, then `skopeo copy --preserve-digests oci:DIR:TAG containers-storage:NAME`",
    ),
    ("dir", "use `oci:DIR`; skopeo copies between both"),
    (
        "docker-daemon",
        "use `docker-archive:FILE`; `docker load -i FILE` and `docker save -o FILE` do the rest",
    ),
    ("ostree", "use `oci:DIR`"),
    ("sif", "use `oci-archive:FILE`, which apptainer reads"),
    ("tarball", "use `rootfs:FILE` for a root file system"),
];

impl Location {
    /// Reads where an image shall go. A text that ends in `/` gets the model's name appended.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`] for what cannot be a destination.
    pub fn destination(text: &str, model: &str) -> Result<Self> {
        if text.ends_with('/') && text != "docker://" {
            let part = |p: &str| {
                !matches!(p, "" | "." | "..") && !p.contains(':') && !p.chars().any(char::is_control)
            };
            if !model.split('/').all(part) {
                let what = show_bytes(model.as_bytes());
                return Err(wrong(text, format!("the model's name `{what}` cannot be appended to it")));
            }
            return parse(&format!("{text}{model}"), Role::Destination);
        }
        parse(text, Role::Destination)
    }

    /// Reads where a base image lies. Bare names are Docker's: `ubuntu` is `docker.io/library/ubuntu`.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`] for what is no image.
    pub fn base(text: &str) -> Result<Self> {
        parse(text, Role::Base)
    }

    /// Reads which published image or collection is meant. Bare names are the local store's.
    ///
    /// # Errors
    ///
    /// [`Kind::Usage`] for what is no image.
    pub fn reference(text: &str) -> Result<Self> {
        parse(text, Role::Reference)
    }

    /// The layout entry that a name of the local store stands for, given the store's folder; other
    /// locations come back as they are. What it prints, skopeo reads.
    #[must_use]
    pub fn in_store(self, folder: &Path) -> Self {
        let Self::Store { name, tag, digest } = self else { return self };
        let name = match (digest, tag) {
            (Some(digest), _) => Some(digest.to_string()),
            (None, Some(tag)) => Some(format!("{name}:{tag}")),
            (None, None) => None,
        };
        Self::Layout { dir: folder.to_owned(), name }
    }

    /// What stands for the tag: an alias in a destination, a version or an alias in a reference.
    pub fn tag(&self) -> Option<&str> {
        match self {
            Self::Registry(r) => r.tag.as_deref(),
            Self::Layout { name, .. } | Self::OciArchive { name, .. } | Self::DockerArchive { name, .. } => {
                name.as_deref()
            }
            Self::Store { tag, .. } => tag.as_deref(),
            Self::Rootfs(_) | Self::Scratch | Self::Floe => None,
        }
    }
}

impl fmt::Display for Location {
    /// What floe reads, and skopeo too wherever it knows the transport.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = |f: &mut fmt::Formatter<'_>, transport: &str, path: &Path, name: &Option<String>| {
            write!(f, "{transport}:{}", show(path))?;
            match name {
                Some(n) if transport == "oci" && n.parse::<Digest>().is_ok() => write!(f, "@{n}"),
                Some(n) => write!(f, ":{n}"),
                None => Ok(()),
            }
        };
        match self {
            Self::Registry(r) => write!(f, "docker://{r}"),
            Self::Layout { dir, name } => file(f, "oci", dir, name),
            Self::OciArchive { file: path, name } => file(f, "oci-archive", path, name),
            Self::DockerArchive { file: path, name } => file(f, "docker-archive", path, name),
            Self::Rootfs(path) => write!(f, "rootfs:{}", show(path)),
            Self::Scratch => f.write_str("scratch"),
            Self::Floe => f.write_str("floe"),
            Self::Store { name, tag, digest } => match (digest, tag) {
                (Some(d), _) => write!(f, "{name}@{d}"),
                (None, Some(t)) => write!(f, "{name}:{t}"),
                (None, None) => f.write_str(name),
            },
        }
    }
}

/// Whether an entry of a layout may have this name
/// (image-spec, `annotations.md`, "org.opencontainers.image.ref.name").
pub fn is_entry_name(s: &str) -> bool {
    let component = |c: &str| {
        let alnum = |b: u8| b.is_ascii_alphanumeric();
        let separator = |s: &[u8]| matches!(s, [b'-' | b'.' | b'_' | b':' | b'@' | b'+'] | b"--");
        let b = c.as_bytes();
        b.first().is_some_and(|b| alnum(*b))
            && b.last().is_some_and(|b| alnum(*b))
            && b.chunk_by(|x, y| alnum(*x) == alnum(*y)).all(|run| alnum(run[0]) || separator(run))
    };
    s.len() <= 512 && s.split('/').all(component)
}

fn wrong(text: &str, why: impl fmt::Display) -> Error {
    Error::new(Kind::Usage, format!("`{}` is no place for an image: {why}", show_bytes(text.as_bytes())))
}

fn parse(text: &str, role: Role) -> Result<Location> {
    if text.is_empty() {
        return Err(wrong(text, "it is empty"));
    }
    if text.chars().any(char::is_control) {
        return Err(wrong(text, "it has a control character"));
    }
    if text == "scratch" {
        return match role {
            Role::Base => Ok(Location::Scratch),
            _ => Err(wrong(text, "`scratch` is the empty base").hint("give another name")),
        };
    }
    // An image of this name in Docker's registry is written with its tag, or as `library/floe`.
    if text == "floe" && role == Role::Base {
        return Ok(Location::Floe);
    }
    if let Some(rest) = text.strip_prefix("docker://") {
        return registry(text, rest, role);
    }
    if let Some((transport, rest)) = text.split_once(':') {
        match transport {
            "oci" => return layout(text, rest, role),
            "oci-archive" => {
                let (file, name) = archive(text, rest, role)?;
                return Ok(Location::OciArchive { file, name: name.map(str::to_owned) });
            }
            "docker-archive" => return docker_archive(text, rest, role),
            "rootfs" => return rootfs(text, rest, role),
            _ => no_transport(text, transport, rest)?,
        }
    }
    if looks_like_a_path(text) {
        let by_what = match role {
            Role::Base => "`oci:DIR`, `oci-archive:FILE`, `docker-archive:FILE` or `rootfs:PATH`",
            _ => "`oci:DIR`, `oci-archive:FILE` or `docker-archive:FILE`",
        };
        let mut e = wrong(text, "it looks like a path, and a path needs a transport in front of it")
            .hint(format!("write {by_what}"));
        if let Some((transport, rest)) = text.split_once(':')
            && let Some(near) = nearest(transport)
        {
            e = e.hint(format!("did you mean `{near}{rest}`?"));
        }
        return Err(e);
    }
    if role == Role::Base || Reference::names_a_host(text) {
        return registry(text, text, role);
    }
    local(text, role)
}

/// Refuses what is meant as a transport and is none of ours; a name with a tag passes, and so does
/// a host with a port.
fn no_transport(text: &str, transport: &str, rest: &str) -> Result<()> {
    if let Some((_, instead)) = FOREIGN.iter().find(|(t, _)| *t == transport) {
        return Err(wrong(text, format!("floe does not use the transport `{transport}:`")).hint(*instead));
    }
    if transport == "sha256" {
        let digest = show_bytes(text.as_bytes());
        return Err(wrong(text, "a digest needs a name in front of it").hint(format!(
            "write `NAME@{digest}`; `floe which {digest}` finds the name in the local store"
        )));
    }
    if transport == "docker" {
        return Err(wrong(text, "the transport of registries is `docker://`")
            .hint(format!("write `docker://{}`", show_bytes(rest.trim_start_matches('/').as_bytes()))));
    }
    if matches!(transport, "http" | "https") && rest.starts_with("//") {
        return Err(wrong(text, "an image is no web address")
            .hint(format!("write `docker://{}`", show_bytes(rest.trim_start_matches('/').as_bytes()))));
    }
    let Some((port, _)) = rest.split_once('/') else { return Ok(()) };
    let name = !transport.contains(['/', '[', '.']);
    if rest.starts_with("//") || name && port.parse::<u16>().is_err() {
        let e = wrong(text, format!("there is no transport `{}:`", show_bytes(transport.as_bytes())));
        return Err(match nearest(transport) {
            Some(near) => e.hint(format!("did you mean `{near}`?")),
            None => e.hint(format!("the transports are {}", TRANSPORTS.join(", "))),
        });
    }
    Ok(())
}

/// The transport that was probably meant.
fn nearest(transport: &str) -> Option<&'static str> {
    TRANSPORTS
        .iter()
        .map(|t| (strsim::damerau_levenshtein(transport, t.trim_end_matches([':', '/'])), *t))
        .filter(|(distance, _)| *distance <= 3 && *distance < transport.len())
        .min()
        .map(|(_, t)| t)
}

fn looks_like_a_path(text: &str) -> bool {
    let begins = ["/", "./", "../", "~"].iter().any(|p| text.starts_with(p));
    let ends = [".tar", ".tar.gz", ".tgz", ".tar.zst"].iter().any(|e| text.ends_with(e));
    begins || matches!(text, "." | "..") || ends && !Reference::names_a_host(text)
}

fn registry(text: &str, rest: &str, role: Role) -> Result<Location> {
    if rest.is_empty() {
        return Err(wrong(text, "the name is missing"));
    }
    let reference: Reference = rest.parse().map_err(|e| short_digest(rest, e))?;
    if role == Role::Destination && reference.digest.is_some() {
        return Err(digest_in_destination(text));
    }
    Ok(Location::Registry(reference))
}

/// A name of the local store: the grammar of references, without a host.
fn local(text: &str, role: Role) -> Result<Location> {
    let r: Reference = text.parse().map_err(|e| short_digest(text, e))?;
    if role == Role::Destination && r.digest.is_some() {
        return Err(digest_in_destination(text));
    }
    // `Reference` has put Docker's default folder in front of a name without a slash.
    let own = text.split(['@', ':']).next().unwrap_or(text);
    let name = if own.contains('/') { r.repository.as_str() } else { own };
    Ok(Location::Store { name: name.to_owned(), tag: r.tag, digest: r.digest })
}

/// Whoever writes the beginning of a digest after `@` means it as a prefix, which goes elsewhere.
fn short_digest(text: &str, e: Error) -> Error {
    let Some((name, digest)) = text.split_once("@") else { return e };
    let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
    if hex.len() < 64 && !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return e.hint(format!("write the beginning of a digest as `{}:{hex}`", show_bytes(name.as_bytes())));
    }
    e
}

fn digest_in_destination(text: &str) -> Error {
    wrong(text, "a destination cannot have a digest, which follows from the content")
        .hint("leave out what begins with `@`")
}

/// Splits off a digest at the end of a text.
fn split_digest(rest: &str) -> (&str, Option<Digest>) {
    match rest.rsplit_once('@') {
        Some((before, digest)) => match digest.parse() {
            Ok(digest) => (before, Some(digest)),
            Err(_) => (rest, None),
        },
        None => (rest, None),
    }
}

/// `PATH[:NAME]`: the first colon ends the path.
fn split_path<'a>(text: &str, rest: &'a str) -> Result<(PathBuf, Option<&'a str>)> {
    let (path, name) = match rest.split_once(':') {
        Some((path, name)) => (path, Some(name)),
        None => (rest, None),
    };
    if path.is_empty() {
        return Err(wrong(text, "the path is missing"));
    }
    if name == Some("") {
        return Err(wrong(text, "nothing follows the last colon")
            .hint("leave the colon out, or write a tag after it"));
    }
    Ok((PathBuf::from(path), name))
}

fn layout(text: &str, rest: &str, role: Role) -> Result<Location> {
    let (rest, digest) = split_digest(rest);
    let (dir, name) = split_path(text, rest)?;
    if role == Role::Destination && digest.is_some() {
        return Err(digest_in_destination(text));
    }
    if let Some(name) = name {
        entry_name(text, name, role)?;
    }
    let name = digest.map(|d| d.to_string()).or(name.map(str::to_owned));
    Ok(Location::Layout { dir, name })
}

/// `FILE[:NAME]` or `FILE:@N`.
fn archive<'a>(text: &str, rest: &'a str, role: Role) -> Result<(PathBuf, Option<&'a str>)> {
    let (file, name) = split_path(text, rest)?;
    if file.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(wrong(text, "the path of an archive is a file, not a folder"));
    }
    if let Some(name) = name {
        if name.parse::<Digest>().is_ok() {
            if role == Role::Destination {
                return Err(digest_in_destination(text));
            }
        } else {
            entry_name(text, name, role)?;
        }
    }
    Ok((file, name))
}

fn docker_archive(text: &str, rest: &str, role: Role) -> Result<Location> {
    let (file, name) = split_path(text, rest)?;
    if file.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(wrong(text, "the path of an archive is a file, not a folder"));
    }
    if let Some(name) = name {
        if name.starts_with('@') {
            entry_name(text, name, role)?;
        } else {
            let r: Reference =
                name.parse().map_err(|e: Error| e.context(wrong(text, "its last part").message()))?;
            if r.digest.is_some() {
                return Err(wrong(text, "a name in a docker-archive cannot have a digest")
                    .hint("name the tag, or the place in the archive as `@0`"));
            }
        }
    }
    Ok(Location::DockerArchive { file, name: name.map(str::to_owned) })
}

/// A name by the specification's grammar, or `@N` where something is read.
fn entry_name(text: &str, name: &str, role: Role) -> Result<()> {
    if let Some(n) = name.strip_prefix('@') {
        if n.parse::<u32>().is_err() {
            return Err(wrong(text, "after `:@` stands the place of an image, counted from 0"));
        }
        if role == Role::Destination {
            return Err(wrong(text, "a place in an archive can be read, not written"));
        }
        return Ok(());
    }
    if !is_entry_name(name) {
        let e = wrong(text, format!("`{}` is no name for an entry", show_bytes(name.as_bytes())));
        return Err(if is_tag(name) {
            e.hint("in layouts and archives a name begins and ends with a letter or a digit")
        } else {
            e.hint("a tag has letters, digits, `_`, `.` and `-`; a colon cannot be part of the path")
        });
    }
    Ok(())
}

fn rootfs(text: &str, rest: &str, role: Role) -> Result<Location> {
    if role != Role::Base {
        return Err(wrong(text, "a root file system is a base and nothing else")
            .hint("write `oci:DIR` or `oci-archive:FILE`"));
    }
    if rest.is_empty() {
        return Err(wrong(text, "the path is missing"));
    }
    Ok(Location::Rootfs(PathBuf::from(rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn hint(e: &Error) -> &str {
        assert_eq!(e.kind(), Kind::Usage, "{e}");
        e.hint_text().unwrap_or("")
    }

    #[test]
    fn c21_transports_have_the_grammar_that_skopeo_reads() {
        for (text, printed) in [
            ("docker://alpine", "docker://docker.io/library/alpine"),
            ("docker://localhost:5000/a/b:1", "docker://localhost:5000/a/b:1"),
            ("oci:dir", "oci:dir"),
            ("oci:/a/b:latest", "oci:/a/b:latest"),
            ("oci:a:team/x:v1", "oci:a:team/x:v1"),
            ("oci-archive:a.tar", "oci-archive:a.tar"),
            ("oci-archive:a.tar:v1", "oci-archive:a.tar:v1"),
            ("oci-archive:a.tar:@0", "oci-archive:a.tar:@0"),
            ("docker-archive:a.tar", "docker-archive:a.tar"),
            ("docker-archive:a.tar:team/x:v1", "docker-archive:a.tar:team/x:v1"),
            ("docker-archive:a.tar:localhost:5000/x:1", "docker-archive:a.tar:localhost:5000/x:1"),
            ("docker-archive:a.tar:@2", "docker-archive:a.tar:@2"),
        ] {
            for role in [Location::base, Location::reference] {
                let l = role(text).unwrap();
                assert_eq!(l.to_string(), printed);
                assert_eq!(role(printed).unwrap(), l, "{text}");
            }
        }
        assert_eq!(Location::base("rootfs:/a:b").unwrap(), Location::Rootfs("/a:b".into()));
        assert_eq!(Location::base("scratch").unwrap(), Location::Scratch);
        assert_eq!(Location::base(&Location::Floe.to_string()).unwrap(), Location::Floe);
    }

    #[test]
    fn c22_bare_names_belong_to_docker_for_a_base_and_to_the_local_store_else() {
        assert_eq!(
            Location::base("ubuntu:22.04").unwrap().to_string(),
            "docker://docker.io/library/ubuntu:22.04"
        );
        assert_eq!(
            Location::base("floe:latest").unwrap().to_string(),
            "docker://docker.io/library/floe:latest"
        );
        let store = |name: &str, tag: Option<&str>| Location::Store {
            name: name.into(),
            tag: tag.map(str::to_owned),
            digest: None,
        };
        assert_eq!(Location::reference("fraud").unwrap(), store("fraud", None));
        assert_eq!(Location::reference("floe").unwrap(), store("floe", None));
        assert_eq!(Location::reference("team/fraud:7").unwrap(), store("team/fraud", Some("7")));
        assert_eq!(Location::destination("library/x", "m").unwrap(), store("library/x", None));
        for host in ["localhost/x", "localhost:5000/x:1", "[::1]:5000/x", "ghcr.io/a/b:c", "h:80/x"] {
            assert_eq!(Location::reference(host).unwrap().to_string(), format!("docker://{host}"));
        }
    }

    #[test]
    fn c23_a_digest_counts_over_a_tag() {
        let with_both = format!("x:7@{D}");
        assert_eq!(Location::reference(&with_both).unwrap().to_string(), format!("x@{D}"));
        for text in [format!("oci:dir@{D}"), format!("oci:dir:7@{D}")] {
            let l = Location::reference(&text).unwrap();
            assert_eq!(l, Location::Layout { dir: "dir".into(), name: Some(D.into()) });
            assert_eq!(l.to_string(), format!("oci:dir@{D}"));
            assert_eq!(Location::reference(&l.to_string()).unwrap(), l);
        }
        for text in [with_both, format!("oci:dir@{D}"), format!("h:80/x@{D}"), format!("oci-archive:f:{D}")] {
            assert!(
                Location::destination(&text, "m").unwrap_err().to_string().contains("a digest"),
                "{text}"
            );
        }
        assert!(hint(&Location::reference("x@sha256:abc").unwrap_err()).contains("`x:abc`"));
    }

    #[test]
    fn a_destination_that_ends_in_a_slash_gets_the_name() {
        for (text, printed) in [
            ("docker://h:80/team/", "docker://h:80/team/m"),
            ("h.io/", "docker://h.io/m"),
            ("oci:out/", "oci:out/m"),
            ("oci:/", "oci:/m"),
            ("oci-archive:out/", "oci-archive:out/m"),
            ("team/", "team/m"),
        ] {
            assert_eq!(Location::destination(text, "m").unwrap().to_string(), printed);
        }
        for model in ["", "..", "a/../b", "a:b", "a\n"] {
            assert!(Location::destination("oci:out/", model).is_err(), "{model:?}");
        }
        assert!(hint(&Location::destination("h:80/", "LightGBM").unwrap_err()).contains("`lightgbm`"));
    }

    #[test]
    fn c03_a_mistyped_transport_names_the_nearest() {
        for (text, near) in [
            ("oci-archve:/tmp/x.tar", "`oci-archive:`"),
            ("oci-archve:x.tar", "`oci-archive:x.tar`"),
            ("oic:./out", "`oci:`"),
            ("dokcer://h/x", "`docker://`"),
            ("docker:h/x", "`docker://h/x`"),
            ("https://ghcr.io/x", "`docker://ghcr.io/x`"),
            ("rootf:/", "`rootfs:`"),
            ("something-else:/x", "docker-archive:"),
        ] {
            let e = Location::base(text).unwrap_err();
            assert!(hint(&e).contains(near), "{text}: {e:?}");
        }
        for (foreign, _) in FOREIGN {
            assert!(!hint(&Location::reference(&format!("{foreign}:x")).unwrap_err()).is_empty());
        }
    }

    #[test]
    fn a_path_without_a_transport_gets_help() {
        for text in ["./x", "/x", "../x", ".", "..", "~/x", "x.tar", "out/x.tar.gz", "./"] {
            let e = Location::destination(text, "m").unwrap_err();
            assert!(e.to_string().contains("looks like a path"), "{text}: {e}");
            assert!(hint(&e).contains("oci:DIR"));
        }
    }

    #[test]
    fn what_is_no_location_is_a_usage_error() {
        for text in [
            "",
            "oci:",
            "oci::x",
            "oci:x:",
            "oci-archive:",
            "oci-archive:x:",
            "oci-archive::",
            "docker://",
            "docker-archive:",
            "docker-archive:x:",
            "docker-archive:x:UPPER",
            "oci:x:-a",
            "oci:x:a b",
            "oci:x:a//b",
            "oci:x\ny",
            "oci:x:\u{1b}[31m",
            "a\0b",
            "oci-archive:d/:x",
            "oci-archive:f:@x",
            "name:-tag",
            "a//b",
            "docker://h:80/UPPER",
            "oci:x:../y",
            "oci:x:@",
            "docker-archive:x:@-1",
            "模型",
        ] {
            for role in [Location::base, Location::reference] {
                assert_eq!(role(text).unwrap_err().kind(), Kind::Usage, "{text:?}");
            }
            assert_eq!(Location::destination(text, "m").unwrap_err().kind(), Kind::Usage, "{text:?}");
        }
        for text in ["rootfs:/x", "scratch"] {
            assert!(Location::reference(text).is_err());
            assert!(Location::destination(text, "m").is_err());
        }
        assert!(Location::destination("oci-archive:f:@0", "m").is_err());
        let long = format!("docker-archive:f:x@{D}");
        assert_eq!(Location::reference(&long).unwrap_err().kind(), Kind::Usage);
    }

    #[test]
    fn entry_names_have_the_grammar_of_the_image_specification() {
        for good in [
            "latest",
            "v1-0123456789abcdef",
            "a/b:c",
            "docker.io/library/x:1",
            "A_b--c+d@e",
            "localhost:5000/x",
        ] {
            assert!(is_entry_name(good), "{good}");
        }
        for bad in ["", "-a", "a-", "a..b", "a---b", "/a", "a/", "a b", "é", "a._b"] {
            assert!(!is_entry_name(bad), "{bad}");
        }
        assert!(!is_entry_name(&"a".repeat(513)));
    }

    #[test]
    fn a_name_of_the_local_store_is_an_entry_that_skopeo_reads() {
        let at = |text: &str| Location::reference(text).unwrap().in_store(Path::new("/s")).to_string();
        assert_eq!(at("team/x:7"), "oci:/s:team/x:7");
        assert_eq!(at(&format!("x@{D}")), format!("oci:/s@{D}"));
        assert_eq!(at("h:80/x"), "docker://h:80/x");
    }
}
