//! Destinations: parsed before anything is done, opened before anything is read.

use super::{Options, PublishedAt, Surroundings, attach};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Observe, warn};
use crate::image::referrer::{FACTS, RECORD};
use crate::image::{Image, Referrer};
use crate::oci::document::Document;
use crate::oci::{Digest, Reference};
use crate::store::archive::Archive;
use crate::store::layout::Layout;
use crate::store::location::Location;
use crate::store::registry::Registry;
use crate::store::{Repository, Sink, docker_archive, oci_archive};
use crate::versions::{self, Name, check_alias};

/// A destination that was understood.
pub(super) struct Parsed {
    location: Location,
    /// The tag in it: an alias, or the name of an archive's entry.
    alias: Option<String>,
    /// Name of the model's repository.
    repository: String,
}

/// A destination that can be written.
pub(super) struct Target<'a> {
    parsed: &'a Parsed,
    place: Place,
    /// Whether the collection holds a version already, so that layers may be there.
    pub(super) known: bool,
    /// Whether it is one of several, so that events have to say which one they are about.
    several: bool,
}

/// Tells an observer of the pieces that go to one of several destinations, by the names that they
/// have here.
pub(super) struct Toward<'a> {
    see: &'a dyn Observe,
    title: Option<String>,
    place: Option<String>,
}

impl Toward<'_> {
    /// With the name of the only piece that will be told of.
    pub(super) fn of(mut self, title: String) -> Self {
        self.title = Some(title);
        self
    }
}

impl Observe for Toward<'_> {
    fn on(&self, event: Event) {
        self.see.on(match event {
            Event::Begin { id, title, total } => {
                let title = self.title.clone().unwrap_or(title);
                let place = self.place.as_ref().map_or(String::new(), |p| format!(" to {p}"));
                Event::Begin { id, title: format!("{title}{place}"), total }
            }
            event => event,
        });
    }

    fn stop(&self) -> bool {
        self.see.stop()
    }
}

enum Place {
    Registry(Registry),
    Layout(Layout),
    Archive(Archive),
}

impl Target<'_> {
    /// Whether facts about the model are attached to its image here.
    fn keeps_facts(&self) -> bool {
        matches!(self.parsed.location, Location::Registry(_) | Location::Store { .. })
    }

    /// Where blobs go.
    pub(super) fn sink(&self) -> &dyn Sink {
        match &self.place {
            Place::Registry(r) => r,
            Place::Layout(l) => l,
            Place::Archive(a) => a,
        }
    }

    /// The observer of what goes there.
    pub(super) fn toward<'s>(&self, see: &'s dyn Observe) -> Toward<'s> {
        Toward { see, title: None, place: self.several.then(|| self.parsed.location.to_string()) }
    }

    fn repository(&self) -> Option<&dyn Repository> {
        match &self.place {
            Place::Registry(r) => Some(r),
            Place::Layout(l) => Some(l),
            Place::Archive(_) => None,
        }
    }
}

/// Refuses what can be no destination whatever the model turns out to be.
pub(super) fn check(outputs: &[String]) -> Result<()> {
    outputs.iter().try_for_each(|text| Location::destination(text, "model").map(|_| ()))
}

/// Understands all destinations of a model.
pub(super) fn parse(
    outputs: &[String],
    repository: &str,
    platforms: usize,
    around: &Surroundings<'_>,
) -> Result<Vec<Parsed>> {
    let mut wanted = Vec::new();
    for text in outputs {
        wanted.push((text.clone(), Location::destination(text, repository)?));
    }
    if wanted.is_empty() {
        // A model's name may look like a host; where its files go is not for the model to say.
        let store = Location::Store { name: repository.to_owned(), tag: None, digest: None };
        wanted.push((repository.to_owned(), store));
    }
    let mut all: Vec<Parsed> = Vec::new();
    for (text, location) in wanted {
        let alias = location.tag().map(str::to_owned);
        if let Location::Registry(Reference { digest: Some(_), .. })
        | Location::Store { digest: Some(_), .. } = &location
        {
            return Err(Error::new(Kind::Usage, format!("`{text}` names a digest, which a build finds out"))
                .hint("leave the digest away"));
        }
        match &location {
            Location::DockerArchive { .. } if platforms > 1 => {
                return Err(Error::new(
                    Kind::Usage,
                    format!("`{text}` can hold one platform, not {platforms}"),
                )
                .hint("use `oci-archive:`, or build one platform with `--platform`"));
            }
            Location::OciArchive { .. } | Location::DockerArchive { .. } => {}
            Location::Store { .. } if around.stores.local.is_none() => {
                return Err(Error::new(
                    Kind::Usage,
                    format!("`{text}` is a name in the local store, which has no folder"),
                )
                .hint("set FLOE_STORE, or name a destination with `-o oci:DIR`"));
            }
            _ => {
                if let Some(alias) = &alias {
                    check_alias(alias)?;
                }
            }
        }
        if all.iter().any(|p| p.place() == place(&location)) {
            return Err(Error::new(Kind::Usage, format!("the destination `{text}` is given twice"))
                .hint("give it once; a second alias is given with `--alias`"));
        }
        all.push(Parsed { location, alias, repository: repository.to_owned() });
    }
    Ok(all)
}

impl Parsed {
    fn place(&self) -> String {
        place(&self.location)
    }
}

/// What two spellings of one place have in common: the file, or the collection.
fn place(location: &Location) -> String {
    let real = |path: &std::path::Path| {
        let folder = std::fs::canonicalize(crate::fs::parent(path));
        let whole = match (std::fs::canonicalize(path), folder, path.file_name()) {
            (Ok(real), _, _) => real,
            (Err(_), Ok(folder), Some(name)) => folder.join(name),
            _ => path.components().collect(),
        };
        whole.display().to_string()
    };
    match location {
        Location::Registry(r) => r.name(),
        Location::Layout { dir, .. } => format!("layout {}", real(dir)),
        Location::OciArchive { file, .. } | Location::DockerArchive { file, .. } => {
            format!("file {}", real(file))
        }
        Location::Store { name, .. } => format!("store {name}"),
        other => other.to_string(),
    }
}

/// Refuses destinations that two models of one definition would share: an archive would keep the
/// last of them only, and a collection is of one model.
pub(super) fn check_shared(models: &[&[Parsed]]) -> Result<()> {
    let mut seen = std::collections::BTreeSet::new();
    for parsed in models.iter().flat_map(|m| m.iter()) {
        if !seen.insert(parsed.place()) {
            let shown = parsed.location.to_string();
            return Err(Error::new(Kind::Usage, format!("several models would be published to `{shown}`"))
                .hint("end the destination in `/`, so that each model gets a place of its own"));
        }
    }
    Ok(())
}

/// Files and folders that the destinations will write, where they are on this machine.
pub(super) fn written(outputs: &[String], repository: &str) -> Vec<std::path::PathBuf> {
    let path = |text: &String| match Location::destination(text, repository) {
        Ok(Location::Layout { dir, .. }) => Some(dir),
        Ok(Location::OciArchive { file, .. } | Location::DockerArchive { file, .. }) => Some(file),
        _ => None,
    };
    outputs.iter().filter_map(path).collect()
}

/// Opens all destinations for writing.
pub(super) fn open<'a>(
    parsed: &'a [Parsed],
    repository: &str,
    around: &Surroundings<'_>,
) -> Result<Vec<Target<'a>>> {
    parsed
        .iter()
        .map(|p| {
            let options = around.stores.options;
            let name = p.alias.as_deref();
            let place = match &p.location {
                Location::Registry(r) => Place::Registry(Registry::open(&around.stores.client, r)),
                Location::Layout { dir, .. } => Place::Layout(Layout::create(dir, None, options)?),
                Location::Store { name, .. } => Place::Layout(around.stores.collection(name)?),
                Location::OciArchive { file, .. } => {
                    Place::Archive(oci_archive::create(file, name, repository, options)?)
                }
                Location::DockerArchive { file, .. } => {
                    Place::Archive(docker_archive::create(file, name, repository, options)?)
                }
                Location::Rootfs(_) | Location::Scratch | Location::Floe => {
                    return Err(Error::new(Kind::Usage, format!("`{}` cannot be a destination", p.location)));
                }
            };
            let mut target = Target { parsed: p, place, known: false, several: parsed.len() > 1 };
            // Asking early also finds out early whether the registry is there and lets us in.
            if let Some(repository) = target.repository() {
                target.known = !versions::collection(repository)?.versions.is_empty();
            }
            Ok(target)
        })
        .collect()
}

/// Stores what lies over the layers: configurations, manifests, the index.
pub(super) fn store(
    targets: &[Target<'_>],
    images: &[Image],
    top: &Document,
    see: &dyn Observe,
) -> Result<()> {
    for target in targets {
        let sink = target.sink();
        for image in images {
            sink.put(&image.config, &target.toward(see))?;
        }
        for image in images {
            sink.put_document(&image.manifest)?;
        }
        if images.len() > 1 {
            sink.put_document(top)?;
        }
    }
    Ok(())
}

/// What is said of an image beside it.
pub(super) struct Told<'a> {
    /// Name of the model.
    pub(super) model: &'a str,
    /// The image of each platform.
    pub(super) images: &'a [Image],
    /// Digest of the base of each platform.
    pub(super) bases: &'a [Option<Digest>],
    /// What was found in the model.
    pub(super) facts: Option<&'a Referrer>,
}

impl Told<'_> {
    /// Attaches it all to a version that was published just now, and what is lacking to one that was there.
    fn attach(
        &self,
        target: &Target<'_>,
        done: &versions::Published,
        top: &Document,
        options: &Options,
        see: &dyn Observe,
    ) -> Result<()> {
        let Some(repository) = target.repository().filter(|_| target.keeps_facts()) else { return Ok(()) };
        let image = &top.descriptor;
        // The record first: others may wait for it.
        if let (Some(circumstances), Some(first)) = (&options.record, self.images.first())
            && (!done.existed || attach::lacks(repository, &image.digest, RECORD, false, see)?)
        {
            let record = attach::Record {
                floe: 1,
                model: self.model,
                model_id: first.model_id,
                version: &done.tag,
                number: done.number,
                digest: done.digest,
                base: self.bases,
                late: done.existed,
                circumstances,
            };
            let record = attach::record(&record, image)?;
            let see = target.toward(see).of("publish record".to_owned());
            attach::attach(repository, &record, "the publish record", &see)?;
        }
        if let Some(facts) = self.facts
            && (!done.existed || attach::lacks(repository, &image.digest, FACTS, true, see)?)
        {
            let see = target.toward(see).of("facts".to_owned());
            attach::attach(repository, facts, "what was found in the model", &see)?;
        }
        Ok(())
    }
}

/// Gives the image its version at every destination.
pub(super) fn publish(
    targets: &[Target<'_>],
    top: &Document,
    told: &Told<'_>,
    options: &Options,
    around: &Surroundings<'_>,
) -> Result<Vec<PublishedAt>> {
    let (digest, see) = (top.descriptor.digest, around.see);
    let mut all = vec![None; targets.len()];
    // An archive has no history of its own: it takes the number of the first store that has.
    let mut number = None;
    for (target, slot) in targets.iter().zip(&mut all) {
        let Some(repository) = target.repository() else { continue };
        let done = if options.number_tag {
            versions::publish_numbered(repository, top)?
        } else {
            versions::publish(repository, top)?
        };
        number.get_or_insert(done.number);
        if done.tie {
            warn(
                see,
                format!(
                    "{} shares its number with another content, which was published at the same time",
                    done.tag
                ),
                Some("both are valid; name them by their whole tags"),
            );
        }
        let mut aliases: Vec<String> = options.aliases.clone();
        aliases.extend(target.parsed.alias.clone());
        aliases.sort();
        aliases.dedup();
        for alias in &aliases {
            versions::alias(repository, alias, top)?;
        }
        if options.number_tag {
            aliases.push(done.number.to_string());
        }
        told.attach(target, &done, top, options, see)?;
        let reference = shown(&target.parsed.location, &done.tag, digest, around);
        *slot = Some(PublishedAt {
            reference,
            tag: done.tag,
            number: done.number,
            existed: done.existed,
            tie: done.tie,
            aliases,
        });
    }
    let number = number.unwrap_or(1);
    let tag = Name::version(number, &digest).to_string();
    for (target, slot) in targets.iter().zip(&mut all) {
        let Place::Archive(archive) = &target.place else { continue };
        archive.commit(top, &tag)?;
        let reference = archived(target.parsed, &tag)?.to_string();
        *slot = Some(PublishedAt {
            reference,
            tag: tag.clone(),
            number,
            existed: false,
            tie: false,
            aliases: Vec::new(),
        });
    }
    let all: Vec<PublishedAt> = all.into_iter().flatten().collect();
    for p in &all {
        see.on(Event::Published {
            reference: p.reference.clone(),
            digest: digest.to_string(),
            version: p.tag.clone(),
            existed: p.existed,
        });
    }
    Ok(all)
}

/// The entry of an archive: the name that was given, completed by the version tag.
fn archived(parsed: &Parsed, tag: &str) -> Result<Location> {
    Ok(match &parsed.location {
        Location::OciArchive { file, name: None } => {
            Location::OciArchive { file: file.clone(), name: Some(tag.to_owned()) }
        }
        Location::DockerArchive { file, name } => {
            let given = name.as_deref().unwrap_or(&parsed.repository);
            let tagged = given.parse::<Reference>()?.tag.is_some();
            let name = if tagged { given.to_owned() } else { format!("{given}:{tag}") };
            Location::DockerArchive { file: file.clone(), name: Some(name) }
        }
        other => other.clone(),
    })
}

/// The line that floe and skopeo both take.
fn shown(location: &Location, tag: &str, digest: Digest, around: &Surroundings<'_>) -> String {
    match location {
        Location::Registry(r) => format!("docker://{}", r.with_digest(digest)),
        Location::Layout { dir, .. } => {
            Location::Layout { dir: dir.clone(), name: Some(tag.to_owned()) }.to_string()
        }
        // As an entry of the layout that the local store is: skopeo knows no local store.
        Location::Store { name, .. } => {
            let folder = around.stores.local.as_deref().unwrap_or(std::path::Path::new(""));
            let version = Location::Store { name: name.clone(), tag: Some(tag.to_owned()), digest: None };
            version.in_store(folder).to_string()
        }
        other => other.to_string(),
    }
}
