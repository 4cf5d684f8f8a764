//! From a location to the store that it names.

use std::path::{Path, PathBuf};

use super::docker_archive::DockerArchive;
use super::layout::Layout;
use super::location::Location;
use super::oci_archive::OciArchive;
use super::registry::{Client, Mirrored, Registry};
use super::{Options, Repository, Source};
use crate::error::{Error, Kind, Result};

/// What stores need to be opened.
#[derive(Clone)]
pub struct Stores {
    /// Reaches registries.
    pub client: Client,
    /// The folder of the local store, where there is one.
    pub local: Option<PathBuf>,
    /// How stores on disk are written.
    pub options: Options,
}

impl Stores {
    /// The same, with or without waiting for the disk.
    #[must_use]
    pub fn with_sync(mut self, sync: bool) -> Self {
        self.options.sync = sync;
        self
    }

    /// The folder of the local store.
    pub fn local(&self) -> Result<&Path> {
        self.local.as_deref().ok_or_else(|| {
            Error::new(Kind::Usage, "the local store has no folder")
                .hint("set FLOE_STORE, or name another place: `oci:DIR`, `docker://HOST/NAME`")
        })
    }

    /// The collection at a location, to be read. A collection of the local store that is not there
    /// is empty.
    pub fn repository(&self, location: &Location) -> Result<Box<dyn Repository>> {
        Ok(match location {
            Location::Registry(reference) => Box::new(Registry::open(&self.client, reference)),
            Location::Layout { dir, .. } => Box::new(Layout::open(dir, None, self.options)?),
            Location::Store { name, .. } => Box::new(self.collection(name)?),
            other => {
                return Err(Error::new(Kind::Usage, format!("`{other}` is no collection of versions"))
                    .hint("an archive holds one image: `floe inspect` shows it"));
            }
        })
    }

    /// A collection of the local store.
    pub fn collection(&self, name: &str) -> Result<Layout> {
        Layout::create(self.local()?, Some(format!("{name}:")), self.options)
    }

    /// Anything that images can be read from; of a registry its mirrors first.
    pub fn source(&self, location: &Location) -> Result<Box<dyn Source>> {
        Ok(match location {
            Location::Registry(reference) => Box::new(Mirrored::open(&self.client, reference)),
            Location::Layout { dir, .. } => Box::new(Layout::open(dir, None, self.options)?),
            Location::Store { name, .. } => Box::new(self.collection(name)?),
            Location::OciArchive { file, .. } => Box::new(OciArchive::open(file)?),
            Location::DockerArchive { file, .. } => Box::new(DockerArchive::open(file)?),
            Location::Rootfs(_) | Location::Scratch | Location::Floe => {
                return Err(Error::new(Kind::Usage, format!("`{location}` holds no image")));
            }
        })
    }
}
