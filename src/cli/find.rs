//! From a reference on the command line to the image that it means.

use super::usage;
use floe::inspect;
use floe::oci::Descriptor;
use floe::store::location::Location;
use floe::store::open::Stores;
use floe::store::{Repository, Source};
use floe::{Error, Result, versions};

/// What holds an image.
pub(crate) enum Holder {
    /// An archive, which has no versions.
    Archive(Box<dyn Source>),
    /// A collection of versions.
    Collection(Box<dyn Repository>),
}

impl Holder {
    /// To be read.
    pub(crate) fn source(&self) -> &dyn Source {
        match self {
            Self::Archive(source) => &**source,
            Self::Collection(repository) => &**repository,
        }
    }
}

/// An image that was found.
pub(crate) struct Found {
    /// What it is in.
    pub(crate) holder: Holder,
    /// Its manifest or index.
    pub(crate) descriptor: Descriptor,
    /// The tag that it was found by.
    pub(crate) tag: Option<String>,
}

/// Finds what a reference means.
pub(crate) fn image(reference: &str, stores: &Stores) -> Result<Found> {
    let location = Location::reference(reference)?;
    if matches!(location, Location::OciArchive { .. } | Location::DockerArchive { .. }) {
        let source = stores.source(&location)?;
        let found = match location.tag() {
            Some(name) => source.resolve(name)?,
            None => source.only()?,
        };
        let descriptor = found.ok_or_else(|| no_image(&location))?;
        let tag = location.tag().map(str::to_owned);
        return Ok(Found { holder: Holder::Archive(source), descriptor, tag });
    }
    let repository = stores.repository(&location)?;
    // A layout of another maker has no versions; what its only image is, is plain.
    if matches!(location, Location::Layout { name: None, .. })
        && versions::collection(&*repository)?.versions.is_empty()
        && let Some(descriptor) = repository.only()?
    {
        return Ok(Found { holder: Holder::Collection(repository), descriptor, tag: None });
    }
    let (descriptor, tag) =
        inspect::select(&*repository, &collection(&location), named(&location).as_deref())?;
    Ok(Found { holder: Holder::Collection(repository), descriptor, tag })
}

fn no_image(location: &Location) -> Error {
    usage(format!("`{location}` holds no such image"), "name one that it holds, or none")
}

/// The part of a reference that says which image of a collection is meant.
pub(crate) fn named(location: &Location) -> Option<String> {
    match location {
        Location::Registry(r) => r.digest.map(|d| d.to_string()).or_else(|| r.tag.clone()),
        Location::Store { tag, digest, .. } => digest.map(|d| d.to_string()).or_else(|| tag.clone()),
        other => other.tag().map(str::to_owned),
    }
}

/// The collection that a reference is about, without what stands for a version.
pub(crate) fn collection(location: &Location) -> String {
    match location {
        Location::Registry(r) => format!("docker://{}", r.name()),
        Location::Store { name, .. } => name.clone(),
        Location::Layout { dir, .. } => Location::Layout { dir: dir.clone(), name: None }.to_string(),
        other => other.to_string(),
    }
}
