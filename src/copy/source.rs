//! Sources: what was typed becomes images, with the names that they have where they are.
//!
//! A reference means what it means everywhere (`NAME` is the newest version, `NAME:7` version 7, an
//! alias, a digest), and for images that floe did not make what skopeo takes it for: the tag as it
//! stands, `latest` where there is none.

use std::collections::BTreeMap;

use super::Request;
use crate::error::{Error, Kind, Result};
use crate::event::{Observe, warn};
use crate::oci::reference::DEFAULT_REGISTRY;
use crate::oci::{Descriptor, Digest, Index, Manifest, Platform, Reference, annotation, media_type};
use crate::store::docker_archive::DockerArchive;
use crate::store::layout::Layout;
use crate::store::location::Location;
use crate::store::oci_archive::OciArchive;
use crate::store::open::Stores;
use crate::store::registry::Registry;
use crate::store::{Entry, Repository, Source};
use crate::versions::{self, Name, Selector};

/// A source that was opened.
pub(super) enum Opened {
    Registry(Registry),
    Layout(Layout),
    Archive(OciArchive),
    Docker(DockerArchive),
}

impl Opened {
    /// Opens the place of a location.
    pub(super) fn open(location: &Location, stores: &Stores) -> Result<Self> {
        Ok(match location {
            Location::Registry(reference) => Self::Registry(Registry::open(&stores.client, reference)),
            Location::Layout { dir, .. } => Self::Layout(Layout::open(dir, None, stores.options)?),
            Location::Store { name, .. } => Self::Layout(stores.collection(name)?),
            Location::OciArchive { file, .. } => Self::Archive(OciArchive::open(file)?),
            Location::DockerArchive { file, .. } => Self::Docker(DockerArchive::open(file)?),
            Location::Rootfs(_) | Location::Scratch | Location::Floe => {
                return Err(Error::new(Kind::Usage, format!("`{location}` holds no image")));
            }
        })
    }

    pub(super) fn source(&self) -> &dyn Source {
        match self {
            Self::Registry(r) => r,
            Self::Layout(l) => l,
            Self::Archive(a) => a,
            Self::Docker(d) => d,
        }
    }

    pub(super) fn repository(&self) -> Option<&dyn Repository> {
        match self {
            Self::Registry(r) => Some(r),
            Self::Layout(l) => Some(l),
            Self::Archive(_) | Self::Docker(_) => None,
        }
    }

    /// The OCI archive that it is.
    pub(super) fn archive(&self) -> Option<&OciArchive> {
        if let Self::Archive(archive) = self { Some(archive) } else { None }
    }

    /// All names, those of attached artifacts too.
    pub(super) fn names(&self) -> Result<Vec<String>> {
        match self {
            Self::Archive(a) => Ok(a.entries().into_iter().filter_map(|e| e.name).collect()),
            Self::Docker(_) => Ok(Vec::new()),
            _ => self.repository().map_or(Ok(Vec::new()), Repository::names),
        }
    }

    /// The entries of an index file, where there is one.
    fn entries(&self) -> Result<Vec<Entry>> {
        match self {
            Self::Layout(l) => l.entries(),
            Self::Archive(a) => Ok(a.entries()),
            Self::Registry(_) | Self::Docker(_) => Ok(Vec::new()),
        }
    }
}

/// An image that shall be copied.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// Where it lies, for people.
    pub(super) text: String,
    /// Its manifest or index, with the annotations of its entry.
    pub(super) top: Descriptor,
    /// Name of the model, or of the repository.
    pub(super) model: Option<String>,
    /// Version tags that it has there.
    pub(super) versions: Vec<String>,
    /// Another name that it was found by.
    pub(super) tag: Option<String>,
    /// Other names that shall come along.
    pub(super) aliases: Vec<String>,
    /// Whether it is one platform of what was named.
    pub(super) picked: bool,
}

/// Finds the images that a text names. `names` says whether their versions are needed.
pub(super) fn find(
    text: &str,
    request: &Request,
    names: bool,
    stores: &Stores,
    see: &dyn Observe,
) -> Result<(Opened, Vec<Item>)> {
    let location = Location::reference(text)?;
    let opened = Opened::open(&location, stores)?;
    let mut items = match &opened {
        Opened::Archive(archive) => {
            archive.check_parts()?;
            in_archive(archive, &location, request)?
        }
        Opened::Docker(archive) => in_docker_archive(archive, &location, see)?,
        Opened::Registry(r) => in_collection(r, &location, request, names)?,
        Opened::Layout(l) => in_collection(l, &location, request, names)?,
    };
    let entries = opened.entries()?;
    for item in &mut items {
        annotate(item, &entries);
        if let Some(platform) = &request.platform {
            pick(item, platform, opened.source())?;
        }
        if item.model.is_none() {
            item.model = model_of(opened.source(), &item.top)?;
        }
    }
    Ok((opened, items))
}

/// Images of a registry, a layout or a collection of the local store.
fn in_collection(
    repository: &dyn Repository,
    location: &Location,
    request: &Request,
    names: bool,
) -> Result<Vec<Item>> {
    let model = match location {
        Location::Registry(r) => Some(name_of(r)),
        Location::Store { name, .. } => Some(name.clone()),
        _ => None,
    };
    let item = |top: Descriptor| Item {
        text: String::new(),
        top,
        model: model.clone(),
        versions: Vec::new(),
        tag: None,
        aliases: Vec::new(),
        picked: false,
    };
    let wanted = match location {
        Location::Registry(r) => (r.digest.map(|d| d.to_string()), r.tag.clone()),
        Location::Store { tag, digest, .. } => (digest.map(|d| d.to_string()), tag.clone()),
        other => (None, other.tag().map(str::to_owned)),
    };
    if request.all_tags {
        if wanted.0.is_some() || wanted.1.is_some() {
            return Err(Error::new(
                Kind::Usage,
                format!("`{location}` names one image, and `--all-tags` means all"),
            )
            .hint("leave the tag away, or leave `--all-tags` away"));
        }
        return every(repository, location, &item);
    }
    let (top, found) = one(repository, location, wanted.0.as_deref().or(wanted.1.as_deref()))?;
    let mut item = item(top);
    // With a digest the tag says nothing of where it is found, but how it shall be called.
    let found = found.or(wanted.1.filter(|_| wanted.0.is_some()));
    item.text = at(location, found.as_deref(), &item.top.digest);
    if let Some(found) = found {
        // A layout may hold several models: its names are `MODEL:TAG` then.
        let (model, tag) = match location {
            Location::Layout { .. } => split(&found),
            _ => (None, found.as_str()),
        };
        if item.model.is_none() {
            item.model = model;
        }
        match Name::parse(tag) {
            Name::Version { .. } => item.versions.push(tag.to_owned()),
            _ => item.tag = Some(tag.to_owned()),
        }
    }
    if names && item.versions.is_empty() {
        // Who may read an image need not be allowed to list the others.
        let listed = repository.names().or_else(|e| match item.tag {
            Some(_) if e.kind() == Kind::Denied => Ok(Vec::new()),
            _ => Err(e),
        })?;
        item.versions = versions_of(repository, &listed, &item.top.digest)?;
    }
    Ok(vec![item])
}

/// The one image that a name, a number, a digest or nothing means.
fn one(
    repository: &dyn Repository,
    location: &Location,
    wanted: Option<&str>,
) -> Result<(Descriptor, Option<String>)> {
    let selector = Selector::parse(wanted)?;
    let collection = match location.clone() {
        Location::Registry(r) => format!("docker://{}", r.name()),
        Location::Store { name, .. } => name,
        Location::Layout { dir, .. } => Location::Layout { dir, name: None }.to_string(),
        other => other.to_string(),
    };
    let selected = versions::select(repository, &collection, &selector);
    let e = match (selected, &selector) {
        (Ok(found), _) => return Ok(found),
        (Err(e), Selector::Number(_) | Selector::Newest) if e.kind() != Kind::Conflict => e,
        (Err(e), _) => return Err(e),
    };
    // No version; perhaps an image that floe did not make.
    let exact = match (wanted, location) {
        (Some(tag), _) => Some(tag),
        (None, Location::Registry(_)) => Some("latest"),
        (None, _) => None,
    };
    match exact {
        Some(name) => match repository.resolve(name)? {
            Some(found) => Ok((found, Some(name.to_owned()))),
            None => Err(e),
        },
        None => match repository.only()? {
            Some(found) => {
                let mut names = repository.names()?.into_iter();
                let name = names.find_map(|n| match repository.resolve(&n) {
                    Ok(Some(d)) if d.digest == found.digest => Some(n),
                    _ => None,
                });
                Ok((found, name))
            }
            None => Err(e),
        },
    }
}

/// Every image of a collection, each once, with all its names.
fn every(
    repository: &dyn Repository,
    location: &Location,
    item: &dyn Fn(Descriptor) -> Item,
) -> Result<Vec<Item>> {
    let mut all: BTreeMap<(String, Digest), Item> = BTreeMap::new();
    for name in repository.names()? {
        let (model, tag) = match location {
            Location::Layout { .. } => split(&name),
            _ => (None, name.as_str()),
        };
        let kind = Name::parse(tag);
        if matches!(kind, Name::Referrers(_) | Name::Tombstone { .. }) {
            continue;
        }
        let Some(found) = repository.resolve(&name)? else { continue };
        let key = (model.clone().unwrap_or_default(), found.digest);
        let entry = all.entry(key).or_insert_with(|| Item {
            text: at(location, Some(&name), &found.digest),
            ..item(found.clone())
        });
        if entry.model.is_none() {
            entry.model = model;
        }
        match kind {
            Name::Version { digits, .. } if digits == found.digest.short() => {
                entry.versions.push(tag.to_owned());
            }
            Name::Version { .. } => {}
            _ if entry.tag.is_none() => entry.tag = Some(tag.to_owned()),
            _ => entry.aliases.push(tag.to_owned()),
        }
    }
    let mut all: Vec<Item> = all.into_values().collect();
    for item in &mut all {
        // With a version, its other names are aliases all of them.
        if !item.versions.is_empty() {
            item.aliases.extend(item.tag.take());
        }
    }
    // In the order of their numbers, so that a copy that is stopped holds the older ones.
    let first = |i: &Item| i.versions.iter().filter_map(|v| number(v)).min();
    all.sort_by_key(|i| (i.model.clone(), first(i).unwrap_or(u64::MAX)));
    if all.is_empty() {
        return Err(Error::new(Kind::Usage, format!("there is no image in `{location}`"))
            .hint("check the name; `floe models` lists what the local store holds"));
    }
    Ok(all)
}

fn number(tag: &str) -> Option<u64> {
    if let Name::Version { number, .. } = Name::parse(tag) { Some(number) } else { None }
}

/// The version tags of exactly this content among some names.
fn versions_of(repository: &dyn Repository, names: &[String], digest: &Digest) -> Result<Vec<String>> {
    let mut all: Vec<(u64, String)> = Vec::new();
    for name in names {
        if let Name::Version { number, digits } = Name::parse(name)
            && digits == digest.short()
            && repository.resolve(name)?.is_some_and(|d| d.digest == *digest)
        {
            all.push((number, name.clone()));
        }
    }
    all.sort();
    Ok(all.into_iter().map(|(_, name)| name).collect())
}

/// Images of an OCI archive: the one that is named, or all of them.
fn in_archive(archive: &OciArchive, location: &Location, request: &Request) -> Result<Vec<Item>> {
    let entries = archive.entries();
    let wanted = location.tag();
    let only = match wanted {
        None => None,
        Some(name) => Some(archive.resolve(name)?.ok_or_else(|| nothing(location))?),
    };
    let mut all: Vec<Item> = Vec::new();
    for entry in &entries {
        if entry.name.as_deref().is_some_and(|n| matches!(Name::parse(n), Name::Referrers(_))) {
            continue;
        }
        if only.as_ref().is_some_and(|d| d.digest != entry.descriptor.digest) {
            continue;
        }
        let (model, tag) = entry.name.as_deref().map_or((None, None), |n| {
            let (model, tag) = split(n);
            (model, Some(tag.to_owned()))
        });
        let shown = entry.image.as_deref().and_then(|i| i.parse::<Reference>().ok());
        let model = model.or(shown.as_ref().map(name_of));
        let same = |i: &&mut Item| i.top.digest == entry.descriptor.digest && i.model == model;
        let item = match all.iter_mut().find(same) {
            Some(item) => item,
            None => {
                let name = entry.name.as_deref();
                all.push(Item {
                    text: at(location, name, &entry.descriptor.digest),
                    top: entry.descriptor.clone(),
                    model,
                    versions: Vec::new(),
                    tag: None,
                    aliases: Vec::new(),
                    picked: false,
                });
                all.last_mut().expect("one was pushed")
            }
        };
        let fits = |t: &&String| number(t).is_some() && t.ends_with(&entry.descriptor.digest.short());
        for version in entry.version.iter().chain(&tag).filter(fits) {
            if !item.versions.contains(version) {
                item.versions.push(version.clone());
            }
        }
        if let Some(tag) = tag.filter(|t| number(t).is_none()) {
            if item.tag.is_none() {
                item.tag = Some(tag);
            } else {
                item.aliases.push(tag);
            }
        }
    }
    for item in &mut all {
        if !item.versions.is_empty() {
            item.aliases.extend(item.tag.take());
        }
        if !request.all_tags {
            item.aliases.clear();
        }
    }
    match (all.is_empty(), only) {
        (false, _) => Ok(all),
        // By its digest an image is found that has no entry of its own.
        (true, Some(top)) => Ok(vec![Item {
            text: at(location, None, &top.digest),
            top,
            model: None,
            versions: Vec::new(),
            tag: None,
            aliases: Vec::new(),
            picked: false,
        }]),
        (true, None) => Err(nothing(location)),
    }
}

fn in_docker_archive(archive: &DockerArchive, location: &Location, see: &dyn Observe) -> Result<Vec<Item>> {
    let found = match location.tag() {
        Some(name) => archive.resolve(name)?,
        None => archive.only()?,
    };
    let top = found.ok_or_else(|| nothing(location))?;
    if archive.has_made(&top.digest) {
        warn(
            see,
            format!("`{location}` has no manifest; the image gets one that follows from its content"),
            Some("its configuration and layers keep their digests; the image has the same digest each time"),
        );
    }
    let place = (0..archive.names().len())
        .find(|n| matches!(archive.resolve(&format!("@{n}")), Ok(Some(d)) if d.digest == top.digest));
    let shown: Vec<Reference> = place
        .and_then(|p| archive.names().get(p).cloned())
        .unwrap_or_default()
        .iter()
        .filter_map(|n| n.parse().ok())
        .collect();
    let tags: Vec<String> = shown.iter().filter_map(|r| r.tag.clone()).collect();
    let versions: Vec<String> =
        tags.iter().filter(|t| number(t).is_some() && t.ends_with(&top.digest.short())).cloned().collect();
    let tag = if versions.is_empty() { tags.first().cloned() } else { None };
    Ok(vec![Item {
        text: location.to_string(),
        top,
        model: shown.first().map(name_of),
        versions,
        tag,
        aliases: Vec::new(),
        picked: false,
    }])
}

fn nothing(location: &Location) -> Error {
    Error::new(Kind::Usage, format!("there is no such image in `{location}`"))
        .hint("name one that it holds, or none; `skopeo list-tags` and `tar -xOf FILE index.json` show them")
}

/// The name of a repository, as collections are called: without Docker's default folder.
fn name_of(reference: &Reference) -> String {
    let short = reference.repository.strip_prefix("library/");
    match short {
        Some(short) if reference.registry == DEFAULT_REGISTRY => short.to_owned(),
        _ => reference.repository.clone(),
    }
}

/// `MODEL:TAG`, as entries of the local store and of archives with several images are called.
fn split(name: &str) -> (Option<String>, &str) {
    match name.rsplit_once(':') {
        Some((model, tag)) => match model.parse::<Reference>() {
            Ok(reference) => (Some(name_of(&reference)), tag),
            Err(_) => (None, tag),
        },
        None => (None, name),
    }
}

/// Where one image lies, as it is read again.
fn at(location: &Location, name: Option<&str>, digest: &Digest) -> String {
    match location.clone() {
        Location::Registry(r) => match name {
            Some(tag) => format!("docker://{}", r.with_tag(tag)),
            None => format!("docker://{}", r.with_digest(*digest)),
        },
        Location::Store { name: model, .. } => {
            let digest = name.is_none().then_some(*digest);
            Location::Store { name: model, tag: name.map(str::to_owned), digest }.to_string()
        }
        Location::Layout { dir, .. } => {
            let name = name.map_or_else(|| digest.to_string(), str::to_owned);
            Location::Layout { dir, name: Some(name) }.to_string()
        }
        Location::OciArchive { file, .. } => {
            let name = name.map_or_else(|| digest.to_string(), str::to_owned);
            Location::OciArchive { file, name: Some(name) }.to_string()
        }
        other => other.to_string(),
    }
}

/// Takes over what the image's entry is annotated with.
fn annotate(item: &mut Item, entries: &[Entry]) {
    let named = |e: &&Entry| {
        let tag = e.name.as_deref().map(|n| split(n).1);
        tag.is_some() && (tag == item.tag.as_deref() || item.versions.iter().any(|v| Some(v.as_str()) == tag))
    };
    let same: Vec<&Entry> = entries.iter().filter(|e| e.descriptor.digest == item.top.digest).collect();
    let Some(entry) = same.iter().copied().find(named).or(same.first().copied()) else { return };
    item.top.annotations = entry.annotations.clone();
    if let Some(version) = &entry.version
        && version.ends_with(&item.top.digest.short())
        && item.versions.is_empty()
    {
        item.versions.push(version.clone());
    }
}

/// Takes one platform of an index.
fn pick(item: &mut Item, wanted: &Platform, source: &dyn Source) -> Result<()> {
    let document = source.document(&item.top)?;
    if !media_type::is_index(&item.top.media_type) {
        // One platform is all that there is; whether it is the right one its configuration says.
        let manifest = Manifest::parse(document.bytes, Some(&item.top.media_type))?;
        let config = crate::store::read_small(source, &manifest.config, crate::oci::document::MAX_CONFIG)?;
        let config = crate::oci::Config::parse(&config)?;
        return if config.platform.satisfies(wanted) {
            Ok(())
        } else {
            Err(no_platform(item, wanted, &[config.platform.to_string()]))
        };
    }
    let index = Index::parse(document.bytes, Some(&item.top.media_type))?;
    let images = index.entries.iter().filter(|e| !e.is_attestation());
    let fits = images.clone().find(|e| e.platform.as_ref().is_some_and(|p| p.satisfies(wanted)));
    let Some(entry) = fits else {
        let there: Vec<String> =
            images.filter_map(|e| e.platform.as_ref()).map(Platform::to_string).collect();
        return Err(no_platform(item, wanted, &there));
    };
    item.top = entry.descriptor.clone();
    item.top.annotations.clear();
    item.picked = true;
    Ok(())
}

fn no_platform(item: &Item, wanted: &Platform, there: &[String]) -> Error {
    Error::new(Kind::Usage, format!("`{}` has no image for {wanted}", item.text))
        .hint(format!("it has {}; without `--platform` all of it is copied", there.join(", ")))
}

/// The model that an image says it is of.
fn model_of(source: &dyn Source, top: &Descriptor) -> Result<Option<String>> {
    let document = source.document(top)?;
    let value: serde_json::Value = serde_json::from_slice(&document.bytes).unwrap_or_default();
    let name = value["annotations"][annotation::MODEL].as_str();
    // What an image says of itself becomes part of a name only if it can be one.
    Ok(name.filter(|n| crate::oci::reference::is_repository(n)).map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_entries_are_taken_apart() {
        for (name, model, tag) in [
            ("team/m:v1-0123456789abcdef", Some("team/m"), "v1-0123456789abcdef"),
            ("m:latest", Some("m"), "latest"),
            ("latest", None, "latest"),
            ("docker.io/library/m:1", Some("m"), "1"),
            ("host:5000/m:1", Some("m"), "1"),
            ("UP:1", None, "1"),
        ] {
            assert_eq!(split(name), (model.map(str::to_owned), tag), "{name}");
        }
    }

    #[test]
    fn what_is_printed_is_read_again() {
        let digest = Digest::of(b"");
        for text in ["docker://h.example/a/b", "m", "oci:dir", "oci-archive:f.tar"] {
            let location = Location::reference(text).unwrap();
            for name in [Some("v1"), None] {
                let shown = at(&location, name, &digest);
                assert_eq!(Location::reference(&shown).unwrap().to_string(), shown);
            }
        }
    }
}
