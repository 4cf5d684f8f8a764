//! The base is opened: its platforms are chosen, its documents read, nothing of its layers yet.

use super::own::{self, Programs};
use super::prepare::Prepared;
use super::{Options, Platforms, Surroundings};
use crate::blob::{Blob, Packed, Recipe};
use crate::error::{Error, Kind, Result, counted};
use crate::event::warn;
use crate::image::Base;
use crate::oci::document::{IndexEntry, MAX_CONFIG};
use crate::oci::{Config, Descriptor, Index, Manifest, Platform, media_type};
use crate::pack::{Known, rootfs};
use crate::store::Source;
use crate::store::location::Location;
use crate::versions::{self, Selector};

/// The most bases that are opened for one model.
const MAX_PLATFORMS: usize = 64;

/// A base that was opened.
pub(super) struct Opened {
    /// One a platform.
    pub(super) bases: Vec<Base>,
    content: Content,
}

enum Content {
    Nothing,
    Store(Box<dyn Source>),
    Folder(rootfs::Folder, Packed),
    Tar(rootfs::Tar),
    Own(Programs),
}

impl Opened {
    /// A layer of a base, for sinks.
    pub(super) fn blob<'a>(&'a self, layer: &Descriptor) -> Result<Box<dyn Blob + 'a>> {
        match &self.content {
            Content::Nothing => Err(Error::new(Kind::Bug, "a layer of `scratch` was asked for")),
            Content::Store(source) => source.blob(layer),
            Content::Folder(folder, packed) => Ok(Box::new(Known::new(folder, packed.clone()))),
            Content::Tar(tar) => Ok(Box::new(Borrowed(tar))),
            Content::Own(programs) => Ok(Box::new(programs.layer(layer)?)),
        }
    }

    /// What a layer is, for people, where that is known.
    pub(super) fn title(&self) -> Option<String> {
        matches!(self.content, Content::Own(_)).then(|| "floe itself".to_owned())
    }
}

struct Borrowed<'a>(&'a rootfs::Tar);

impl Blob for Borrowed<'_> {
    fn descriptor(&self) -> &Descriptor {
        self.0.descriptor()
    }

    fn open(&self) -> Result<Box<dyn std::io::Read + Send + '_>> {
        self.0.open()
    }
}

/// Opens the base of a model. Programs of floe that were packed for one model serve the next.
pub(super) fn open(
    model: &Prepared,
    programs: &mut Programs,
    options: &Options,
    around: &Surroundings<'_>,
) -> Result<Opened> {
    let text = &model.foundation.runtime.base;
    let location = Location::base(text)?;
    match &location {
        Location::Scratch => return scratch(&options.platforms),
        Location::Floe => {
            let bases = own::open(programs, options, around.see)?;
            return Ok(Opened { bases, content: Content::Own(programs.clone()) });
        }
        Location::Rootfs(path) => return file_system(path, options, around),
        _ => {}
    }
    let source = around.stores.source(&location).map_err(|e| e.context(format!("the base `{text}`")))?;
    let reference = if let Location::Registry(reference) = &location { Some(reference) } else { None };
    let found = match (reference, location.tag()) {
        (Some(reference), _) => source.resolve(&reference.identifier()),
        (None, Some(name)) => source.resolve(name),
        (None, None) => source.only(),
    };
    let found = match found.map_err(|e| e.context(format!("the base `{text}`")))? {
        Some(found) => found,
        None => published(&location, text, around)?.ok_or_else(|| {
            let name = reference.map_or(String::new(), |r| format!(" (`{}` was looked for)", r.identifier()));
            let hint = if reference.is_some() {
                "check its name and tag; a base in a private registry needs a login"
            } else {
                "check the path and the name of the image in it; `skopeo inspect` shows what is there"
            };
            Error::new(Kind::Model, format!("the base `{text}` does not exist{name}")).hint(hint)
        })?,
    };
    from_store(source, &found, text, options, around)
}

/// A base may be a collection of versions, named as briefly as elsewhere: `NAME`, `NAME:7`, `NAME:v7`.
fn published(location: &Location, text: &str, around: &Surroundings<'_>) -> Result<Option<Descriptor>> {
    let named = match location {
        Location::Registry(r) if r.digest.is_none() => r.tag.clone(),
        Location::Layout { name, .. } => name.clone(),
        _ => return Ok(None),
    };
    let repository = around.stores.repository(location)?;
    if versions::collection(&*repository)?.versions.is_empty() {
        return Ok(None);
    }
    let selector = Selector::parse(named.as_deref())?;
    Ok(Some(versions::select(&*repository, text, &selector)?.0))
}

fn scratch(platforms: &Platforms) -> Result<Opened> {
    let wanted = match platforms {
        Platforms::Host => vec![Platform::host()],
        Platforms::These(list) => list.clone(),
        Platforms::All => {
            return Err(Error::new(
                Kind::Usage,
                "`scratch` has no platforms that `--platform all` could mean",
            )
            .hint("name them: `--platform linux/amd64,linux/arm64`"));
        }
    };
    Ok(Opened { bases: wanted.iter().map(Base::scratch).collect(), content: Content::Nothing })
}

fn file_system(path: &std::path::Path, options: &Options, around: &Surroundings<'_>) -> Result<Opened> {
    let platform = match &options.platforms {
        Platforms::Host => Platform::host(),
        Platforms::These(list) if list.len() == 1 => list[0].clone(),
        _ => {
            return Err(Error::new(Kind::Usage, "a file system has one platform")
                .hint("name it: `--platform linux/arm64`"));
        }
    };
    let mut base = Base::scratch(&platform);
    let is_dir = std::fs::metadata(path).map(|m| m.is_dir());
    let content = if crate::error::At::at(is_dir, "open the base", path)? {
        let folder = rootfs::Folder::scan(path, options.newest)?;
        let packed = crate::pack::hash(&folder as &dyn Recipe, around.see)?;
        base.layers.push(packed.descriptor.clone());
        base.config.diff_ids.push(packed.diff_id);
        Content::Folder(folder, packed)
    } else {
        let tar = rootfs::Tar::open(path)?;
        base.layers.push(tar.descriptor().clone());
        base.config.diff_ids.push(tar.diff_id());
        Content::Tar(tar)
    };
    Ok(Opened { bases: vec![base], content })
}

fn from_store(
    source: Box<dyn Source>,
    found: &Descriptor,
    text: &str,
    options: &Options,
    around: &Surroundings<'_>,
) -> Result<Opened> {
    let context = |e: Error| e.context(format!("the base `{text}`"));
    let mut manifests = Vec::new();
    let document = source.document(found).map_err(context)?;
    if media_type::is_index(&document.descriptor.media_type) {
        let index = Index::parse(document.bytes, Some(&found.media_type)).map_err(context)?;
        for (wanted, entry) in pick(&index, &options.platforms, text)? {
            let document = source.document(&entry.descriptor).map_err(context)?;
            let manifest =
                Manifest::parse(document.bytes, Some(&entry.descriptor.media_type)).map_err(context)?;
            manifests.push((wanted, manifest));
        }
    } else {
        let manifest = Manifest::parse(document.bytes, Some(&found.media_type)).map_err(context)?;
        let wanted = match &options.platforms {
            Platforms::Host | Platforms::All => None,
            Platforms::These(list) if list.len() == 1 => Some(list[0].clone()),
            Platforms::These(_) => {
                return Err(Error::new(Kind::Model, format!("the base `{text}` has one platform"))
                    .hint("name that one with `--platform`, or none"));
            }
        };
        manifests.push((wanted, manifest));
    }

    let mut bases = Vec::new();
    for (wanted, manifest) in manifests {
        check_image(&manifest, text)?;
        let config = Config::parse(&read(&*source, &manifest.config, text)?).map_err(context)?;
        check_config(&manifest, &config, wanted.as_ref(), text)?;
        if matches!(options.platforms, Platforms::Host) && config.platform.os == "linux" {
            let host = Platform::host();
            if !config.platform.satisfies(&host) {
                warn(
                    around.see,
                    format!("the base `{text}` is for {}, this machine is {host}", config.platform),
                    Some("name the platform with `--platform` to say that this is meant"),
                );
            }
        }
        bases.push(Base::new(&manifest, config));
    }
    Ok(Opened { bases, content: Content::Store(source) })
}

/// The entries of an index that are wanted, with the platform that each was wanted for.
fn pick<'a>(
    index: &'a Index,
    platforms: &Platforms,
    text: &str,
) -> Result<Vec<(Option<Platform>, &'a IndexEntry)>> {
    let images: Vec<&IndexEntry> =
        index.entries.iter().filter(|e| e.platform.is_some() && !e.is_attestation()).collect();
    let offered = || -> String {
        let names: Vec<String> =
            images.iter().filter_map(|e| e.platform.as_ref()).map(Platform::to_string).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    let one = |wanted: &Platform| -> Result<(Option<Platform>, &'a IndexEntry)> {
        images
            .iter()
            .copied()
            .find(|e| e.platform.as_ref() == Some(wanted))
            .or_else(|| {
                images.iter().copied().find(|e| e.platform.as_ref().is_some_and(|p| p.satisfies(wanted)))
            })
            .map(|e| (Some(wanted.clone()), e))
            .ok_or_else(|| {
                Error::new(Kind::Model, format!("the base `{text}` has no image for {wanted}"))
                    .hint(format!("it has {}", offered()))
            })
    };
    match platforms {
        // An index of a single entry is that image, whether it names a platform or not.
        Platforms::Host if index.entries.len() == 1 => Ok(vec![(None, &index.entries[0])]),
        Platforms::Host => Ok(vec![one(&Platform::host())?]),
        Platforms::These(list) => list.iter().map(one).collect(),
        Platforms::All if images.is_empty() => {
            Err(Error::new(Kind::Model, format!("the base `{text}` names no platform")))
        }
        Platforms::All if images.len() > MAX_PLATFORMS => Err(Error::new(
            Kind::Model,
            format!("the base `{text}` has {} platforms, at most {MAX_PLATFORMS} are built", images.len()),
        )),
        Platforms::All => Ok(images.into_iter().map(|e| (e.platform.clone(), e)).collect()),
    }
}

fn check_image(manifest: &Manifest, text: &str) -> Result<()> {
    if !manifest.is_image() {
        return Err(Error::new(
            Kind::Model,
            format!(
                "the base `{text}` is no image but an artifact of the type `{}`",
                manifest.config.media_type
            ),
        )
        .hint("give an image that a container can be started from, or `scratch`"));
    }
    if let Some(layer) = manifest.layers.iter().find(|l| !media_type::is_layer(&l.media_type)) {
        return Err(Error::new(
            Kind::Model,
            format!("the base `{text}` has a layer of the unknown type `{}`", layer.media_type),
        ));
    }
    if let Some(layer) = manifest.layers.iter().find(|l| media_type::is_foreign_layer(&l.media_type)) {
        return Err(Error::new(
            Kind::Model,
            format!("the base `{text}` has the layer {}, which may not be distributed", layer.digest),
        )
        .hint("such layers are Windows'; choose a Linux base"));
    }
    Ok(())
}

fn check_config(manifest: &Manifest, config: &Config, wanted: Option<&Platform>, text: &str) -> Result<()> {
    if config.diff_ids.len() != manifest.layers.len() {
        return Err(Error::new(
            Kind::Integrity,
            format!(
                "the base `{text}` has {}, but its configuration names {}",
                counted(manifest.layers.len(), "layer", "layers"),
                config.diff_ids.len()
            ),
        ));
    }
    match wanted {
        Some(wanted) if !config.platform.satisfies(wanted) => Err(Error::new(
            Kind::Model,
            format!("the base `{text}` is for {}, not for {wanted}", config.platform),
        )
        .hint("name its platform with `--platform`, or choose another base")),
        _ => Ok(()),
    }
}

/// The configuration blob, whole.
fn read(source: &dyn Source, descriptor: &Descriptor, text: &str) -> Result<Vec<u8>> {
    crate::store::read_small(source, descriptor, MAX_CONFIG)
        .map_err(|e| e.context(format!("the configuration of the base `{text}`")))
}
