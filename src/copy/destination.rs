//! Destinations: where an image goes, and the names that it gets there.
//!
//! A version's name is claimed and never overwritten. Other names move, because whoever writes one asks
//! for it; at a registry with write-once tags they stay, which is told as a conflict.

use std::sync::{Mutex, PoisonError};

use super::source::Item;
use super::{Request, conflict};
use crate::error::{Error, Kind, Result};
use crate::oci::document::Document;
use crate::oci::{Digest, Reference};
use crate::store::archive::{Archive, Named};
use crate::store::layout::Layout;
use crate::store::location::Location;
use crate::store::open::Stores;
use crate::store::registry::Registry;
use crate::store::{Claim, Options, Repository, Sink, docker_archive, oci_archive};
use crate::versions::{self, Name, check_alias};

/// Where images go.
pub(super) struct Destination {
    pub(super) location: Location,
    pub(super) place: Place,
    /// Whether an archive is to hold several images, which are then called `MODEL:TAG`.
    several: bool,
}

pub(super) enum Place {
    Registry(Registry),
    Layout(Layout),
    Archive(Box<Archive>, Mutex<Vec<Named>>),
    /// An archive in a dry run: nothing is written.
    Rehearsed,
}

/// A name that an image gets in a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Claimed: it never pointed to anything else.
    Version(String),
    /// Moved.
    Name(String),
    /// The next number of the collection.
    Next,
}

/// Where one image goes.
pub(super) fn locate(request: &Request, item: &Item) -> Result<Location> {
    let text = request.destination.as_str();
    if !text.ends_with('/') || text == "docker://" {
        return Location::destination(text, "");
    }
    let model = item.model.as_deref().ok_or_else(|| {
        Error::new(Kind::Usage, format!("`{}` has no name that could be appended to `{text}`", item.text))
            .hint("write the whole destination")
    })?;
    // The local store, each model under its own name.
    if text == "/" {
        return Ok(Location::Store { name: model.to_owned(), tag: None, digest: None });
    }
    Location::destination(text, model)
}

/// Refuses destinations that several images cannot share.
pub(super) fn check(request: &Request, location: &Location, items: &[&Item]) -> Result<()> {
    let archive = matches!(location, Location::OciArchive { .. } | Location::DockerArchive { .. });
    if archive && !request.aliases.is_empty() {
        return Err(Error::new(
            Kind::Usage,
            "`--alias` has no place in an archive, which others could not read",
        )
        .hint(format!("write the name behind the file: `{location}:NAME`")));
    }
    if (request.part.is_some() || request.since.is_some()) && !matches!(location, Location::OciArchive { .. })
    {
        return Err(Error::new(
            Kind::Usage,
            format!("`--since` and `--split-size` need an OCI archive, and `{location}` is none"),
        )
        .hint("write to `oci-archive:FILE`"));
    }
    if items.len() < 2 {
        return Ok(());
    }
    if let Some(tag) = location.tag() {
        return Err(Error::new(Kind::Usage, format!("{} images cannot all be called `{tag}`", items.len()))
            .hint("leave the name away: each image keeps its own"));
    }
    if matches!(location, Location::DockerArchive { .. }) {
        return Err(Error::new(
            Kind::Usage,
            format!("{} images do not go into one Docker archive", items.len()),
        )
        .hint("write to `oci-archive:FILE`, which `docker load` reads too where each is of one platform"));
    }
    // Images of one layout that say nothing of a model are of one collection.
    let unknown = items[0].model.is_none() && request.sources.len() > 1;
    if !archive && (unknown || items.iter().any(|i| i.model != items[0].model)) {
        return Err(Error::new(Kind::Usage, format!("images of several models do not share `{location}`"))
            .hint("end the destination in `/`, so that each model gets a place of its own"));
    }
    Ok(())
}

impl Destination {
    /// Opens a place to be written to, for these images.
    pub(super) fn open(
        location: Location,
        request: &Request,
        items: &[&Item],
        stores: &Stores,
    ) -> Result<Self> {
        let options: Options = stores.options;
        let several = items.len() > 1;
        let model = items.first().and_then(|i| i.model.clone());
        // An image without a name of its own: that of the file.
        let model = |file: &std::path::Path| {
            model.clone().unwrap_or_else(|| {
                let stem = file.file_stem().map(|s| s.to_string_lossy().to_lowercase()).unwrap_or_default();
                if crate::oci::reference::is_repository(&stem) { stem } else { "image".to_owned() }
            })
        };
        let place = match &location {
            Location::Registry(r) => Place::Registry(Registry::open(&stores.client, r)),
            Location::Layout { dir, .. } => Place::Layout(Layout::create(dir, None, options)?),
            Location::Store { name, .. } => Place::Layout(stores.collection(name)?),
            Location::OciArchive { .. } | Location::DockerArchive { .. } if request.dry_run => {
                Place::Rehearsed
            }
            Location::OciArchive { file, name } => {
                let archive = oci_archive::create(file, name.as_deref(), &model(file), options)?;
                Place::Archive(Box::new(archive), Mutex::default())
            }
            Location::DockerArchive { file, name } => {
                let archive = docker_archive::create(file, name.as_deref(), &model(file), options)?;
                Place::Archive(Box::new(archive), Mutex::default())
            }
            Location::Rootfs(_) | Location::Scratch | Location::Floe => {
                return Err(Error::new(Kind::Usage, format!("`{location}` cannot be a destination")));
            }
        };
        Ok(Self { location, place, several })
    }

    /// Where blobs go; `None` in a dry run.
    pub(super) fn sink(&self) -> Option<&dyn Sink> {
        match &self.place {
            Place::Registry(r) => Some(r),
            Place::Layout(l) => Some(l),
            Place::Archive(a, _) => Some(&**a),
            Place::Rehearsed => None,
        }
    }

    /// The collection that it is.
    pub(super) fn repository(&self) -> Option<&dyn Repository> {
        match &self.place {
            Place::Registry(r) => Some(r),
            Place::Layout(l) => Some(l),
            Place::Archive(..) | Place::Rehearsed => None,
        }
    }

    /// The names that an image gets.
    pub(super) fn names(&self, item: &Item, request: &Request) -> Result<Vec<Wanted>> {
        let mut all = Vec::new();
        match self.location.tag() {
            Some(tag) => match Name::parse(tag) {
                Name::Version { digits, .. } if digits != item.top.digest.short() => {
                    return Err(Error::new(
                        Kind::Usage,
                        format!("`{tag}` cannot be the name of {}, whose digits are others", item.top.digest),
                    )
                    .hint("leave the name away: the image keeps its version"));
                }
                Name::Tombstone { .. } => {
                    return Err(Error::new(Kind::Usage, format!("`{tag}` is the name of a deleted version"))
                        .hint("leave the name away: the image keeps its version"));
                }
                Name::Version { .. } | Name::Referrers(_) => all.push(Wanted::Version(tag.to_owned())),
                Name::Alias(_) => all.push(Wanted::Name(tag.to_owned())),
            },
            None if item.picked => all.push(Wanted::Next),
            None => match (&item.versions[..], &item.tag) {
                ([], Some(tag)) => all.push(Wanted::Name(tag.clone())),
                ([], None) => {
                    return Err(Error::new(
                        Kind::Usage,
                        format!("`{}` has no name that it could keep in `{}`", item.text, self.location),
                    )
                    .hint("name a tag in the destination"));
                }
                (versions, _) => all.extend(versions.iter().cloned().map(Wanted::Version)),
            },
        }
        for alias in request.aliases.iter().chain(&item.aliases) {
            if !item.aliases.contains(alias) {
                check_alias(alias)?;
            }
            let alias = Wanted::Name(alias.clone());
            if !all.contains(&alias) {
                all.push(alias);
            }
        }
        Ok(all)
    }

    /// Notes down an image of an archive; its entry comes into being with the archive.
    pub(super) fn note(&self, document: &Document, item: &Item) -> Result<Option<String>> {
        let Place::Archive(archive, noted) = &self.place else { return Ok(None) };
        let first = item.versions.first().or(item.tag.as_ref()).cloned();
        let name = first.unwrap_or_else(|| Name::version(1, &item.top.digest).to_string());
        let mut document = document.clone();
        document.descriptor.annotations = item.top.annotations.clone();
        let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.several {
            let named = archive.named(&document, &name)?;
            let version = item.versions.first().cloned();
            let shown = named.entry.clone();
            noted.push(Named { version: version.or(named.version.clone()), ..named });
            return Ok(Some(shown));
        }
        let model = item.model.as_deref().ok_or_else(|| {
            Error::new(Kind::Usage, format!("`{}` says of no model that it is one's", item.text))
                .hint("copy it into an archive of its own")
        })?;
        let image: Reference = model.parse()?;
        let mut tags: Vec<&String> = item.versions.iter().chain(&item.tag).chain(&item.aliases).collect();
        if tags.is_empty() {
            tags.push(&name);
        }
        for tag in &tags {
            let version = matches!(Name::parse(tag), Name::Version { .. }).then(|| (*tag).clone());
            noted.push(Named {
                document: document.clone(),
                entry: format!("{model}:{tag}"),
                version: version.or_else(|| item.versions.first().cloned()),
                image: Some(image.with_tag(tag)),
            });
        }
        Ok(Some(format!("{model}:{}", tags[0])))
    }

    /// Gives a stored image a name; what the name then is.
    pub(super) fn give(&self, document: &Document, wanted: &Wanted) -> Result<String> {
        let Some(repository) = self.repository() else {
            return Err(Error::new(Kind::Bug, "an archive gives names when it is whole"));
        };
        match wanted {
            Wanted::Version(tag) => match repository.claim(tag, document)? {
                Claim::Created | Claim::Same => Ok(tag.clone()),
                Claim::Taken(other) => Err(conflict(tag, &self.location, &other)),
            },
            Wanted::Name(name) => {
                let ours = document.descriptor.digest;
                let there = repository.resolve(name)?.map(|d| d.digest);
                if there == Some(ours) {
                    return Ok(name.clone());
                }
                repository.point(name, document).map_err(|e| match there {
                    Some(other) if !matches!(e.kind(), Kind::Network | Kind::Io | Kind::Interrupted) => {
                        conflict(name, &self.location, &other).because(e)
                    }
                    _ => e,
                })?;
                Ok(name.clone())
            }
            Wanted::Next => Ok(versions::publish(repository, document)?.tag),
        }
    }

    /// Whether all names are the image's already; a name that must stay another's is an error.
    pub(super) fn settled(&self, digest: &Digest, names: &[Wanted]) -> Result<bool> {
        let Some(repository) = self.repository() else { return Ok(false) };
        let mut all = true;
        for wanted in names {
            all &= match wanted {
                Wanted::Next => false,
                Wanted::Name(name) => repository.resolve(name)?.is_some_and(|d| d.digest == *digest),
                Wanted::Version(tag) => match repository.resolve(tag)? {
                    Some(d) if d.digest == *digest => true,
                    Some(other) => return Err(conflict(tag, &self.location, &other.digest)),
                    None => false,
                },
            };
        }
        Ok(all)
    }

    /// The line that floe and skopeo both take.
    pub(super) fn shown(&self, name: Option<&str>, digest: &Digest, stores: &Stores) -> String {
        match self.location.clone() {
            Location::Registry(r) => format!("docker://{}", r.with_digest(*digest)),
            Location::Layout { dir, .. } => {
                Location::Layout { dir, name: name.map(str::to_owned) }.to_string()
            }
            Location::Store { name: model, .. } => {
                let folder = stores.local.as_deref().unwrap_or(std::path::Path::new(""));
                let tag = name.map(str::to_owned);
                Location::Store { name: model, tag, digest: None }.in_store(folder).to_string()
            }
            Location::OciArchive { file, .. } => {
                Location::OciArchive { file, name: name.map(str::to_owned) }.to_string()
            }
            other => other.to_string(),
        }
    }
}
