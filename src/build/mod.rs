//! The main job: a model directory becomes the next version of a model.
//!
//! [`build`] is the list of stages; each is a function with a value in and a value out:
//! definition → tree and detection → plan → layers → image → published. Everything that can be
//! refused is refused before the first byte is stored, for all models of one definition file.

mod attach;
mod base;
mod check;
mod contract;
mod own;
mod pack;
mod prepare;
mod source;
mod target;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use crate::blob::Packed;
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Observe, checkpoint};
use crate::image::{self, Image, ModelId};
use crate::model::format::Detection;
use crate::oci::document::Document;
use crate::oci::{Digest, Platform};
use crate::pack::cache::Cache;
use crate::plan::{Compression, Owner, Plan};
use crate::runtimes;
use crate::store::location::Location;
use crate::store::open::Stores;

/// The most threads that read or compress at once; each keeps a block or two in memory.
const MAX_THREADS: usize = 8;

pub use attach::Circumstances;
pub use source::Input;

/// What the command line or a caller decides.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the model is.
    pub input: Input,
    /// Name of the repository; the definition's name otherwise.
    pub name: Option<String>,
    /// What the model is laid on, where the definition shall not decide.
    pub foundation: Option<Foundation>,
    /// Registry reference that the image shall name as its base, where it was fetched from another
    /// place.
    pub base_name: Option<String>,
    /// Where the image goes, in the grammar of [`crate::store::location::Location`]; nothing means
    /// the local store.
    pub outputs: Vec<String>,
    /// For which platforms; nothing means this machine's, or the only one of the base.
    pub platforms: Platforms,
    /// How layers are compressed.
    pub compression: Compression,
    /// Labels of the image, over the definition's.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the manifest, over the definition's.
    pub annotations: BTreeMap<String, String>,
    /// Environment of the image, over the definition's.
    pub env: BTreeMap<String, String>,
    /// Metadata of the model, over the definition's.
    pub metadata: BTreeMap<String, String>,
    /// User of the image.
    pub user: Option<String>,
    /// Working folder of the image.
    pub workdir: Option<String>,
    /// Owner of the model's files.
    pub owner: Owner,
    /// Payload instead of the definition's.
    pub payload: Vec<String>,
    /// How payload paths become paths in the image.
    pub naming: crate::model::payload::Naming,
    /// Whether links that lead out of the model are followed.
    pub follow_links: bool,
    /// Files that may be packed although they hold a credential.
    pub allow_secrets: Vec<PathBuf>,
    /// Which of several models in the folder is meant.
    pub choice: Choice,
    /// Whether a declared contract stands against what the model says.
    pub trust_definition: bool,
    /// Whether a finding about the model is an error ([`Kind::Findings`]) instead of a warning.
    pub deny_findings: bool,
    /// Names that shall move to the new version.
    pub aliases: Vec<String>,
    /// Whether the bare number becomes an alias too.
    pub number_tag: bool,
    /// When the image was made, in RFC 3339.
    pub created: String,
    /// Seconds since 1970 that no time in a `rootfs:` base may exceed.
    pub newest: u64,
    /// What the publish record says of time and place; `None` writes no record.
    pub record: Option<Circumstances>,
    /// Threads for hashing and compressing.
    pub jobs: usize,
    /// What earlier builds found out about layers; `None` to read everything anew.
    pub cache: Option<Cache>,
    /// Static programs of floe that the base `floe` is made of, by platform.
    pub programs: BTreeMap<Platform, PathBuf>,
    /// The running program, where it is floe and runs on Linux: it serves this machine's platform.
    pub own_program: Option<PathBuf>,
    /// Files that the caller will write, and that are no part of the model.
    pub notes: Vec<PathBuf>,
    /// Whether anything is stored.
    pub mode: Mode,
}

/// Which of several models in a folder is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Name of the format.
    pub framework: Option<String>,
    /// Path of the model within the tree.
    pub path: Option<Vec<u8>>,
}

impl Choice {
    fn borrow(&self) -> crate::model::format::Choice<'_> {
        crate::model::format::Choice { framework: self.framework.as_deref(), path: self.path.as_deref() }
    }
}

/// What a model is laid on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Foundation {
    /// A runtime of the catalog.
    Runtime(String),
    /// A base given by hand.
    Base(String),
}

/// For which platforms an image is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Platforms {
    /// This machine's, or the only one that the base has.
    Host,
    /// All that the base has.
    All,
    /// These.
    These(Vec<Platform>),
}

/// How far a build goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// To the end.
    Publish,
    /// To the plan; no weight is read.
    Plan,
    /// To the digest; everything is read and nothing is stored.
    Hash,
}

/// What a build needs of its surroundings.
pub struct Surroundings<'a> {
    /// Opens stores.
    pub stores: &'a Stores,
    /// Is told what happens.
    pub see: &'a dyn Observe,
}

/// One place where an image was published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PublishedAt {
    /// As floe and skopeo read it.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The version tag there.
    pub tag: String,
    /// Its number.
    pub number: u64,
    /// Whether the same content had been published there before.
    pub existed: bool,
    /// Whether another content has the same number there.
    pub tie: bool,
    /// Aliases that were moved.
    pub aliases: Vec<String>,
}

/// A model that was built, or would be.
#[derive(Clone, Debug, Serialize)]
pub struct Built {
    /// Name of the model.
    pub model: String,
    /// Name of its repository.
    pub repository: String,
    /// Version tag at the first destination; `None` where nothing was published.
    pub version: Option<String>,
    /// Number at the first destination.
    pub number: Option<u64>,
    /// Digest of the manifest or index; `None` where nothing was hashed.
    pub digest: Option<Digest>,
    /// Media type of that document.
    pub media_type: Option<String>,
    /// Its size in bytes.
    pub size: Option<u64>,
    /// What the model is, apart from its base.
    pub model_id: Option<ModelId>,
    /// Where it was published.
    pub published: Vec<PublishedAt>,
    /// The platforms.
    pub platforms: Vec<String>,
    /// Digest of the base of each platform, in their order.
    pub base: Vec<Option<Digest>>,
    /// The layers of the model.
    pub layers: Vec<BuiltLayer>,
    /// What was recognised.
    pub detection: Option<Detection>,
    /// The plan, where nothing was published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
}

/// A layer of a model.
#[derive(Clone, Debug, Serialize)]
pub struct BuiltLayer {
    /// What it is for.
    pub role: String,
    /// Number of files.
    pub files: usize,
    /// Bytes of its files.
    pub bytes: u64,
    /// Stored form; `None` where nothing was hashed.
    pub digest: Option<Digest>,
    /// Bytes of the stored form.
    pub size: Option<u64>,
    /// The tar inside.
    pub diff_id: Option<Digest>,
    /// Media type of the stored form.
    pub media_type: Option<String>,
}

impl BuiltLayer {
    /// Tells what is known of the stored form.
    fn fill(&mut self, packed: Option<&Packed>) {
        let Some(Packed { descriptor, diff_id }) = packed else { return };
        self.digest = Some(descriptor.digest);
        self.size = Some(descriptor.size);
        self.media_type = Some(descriptor.media_type.clone());
        self.diff_id = Some(diff_id.0);
    }
}

/// Builds every model of the input.
///
/// # Errors
///
/// Whatever stands in the way, before anything is stored where it can be known by then. What was
/// published before an error stays published.
pub fn build(options: &Options, around: &Surroundings<'_>) -> Result<Vec<Built>> {
    let see = around.see;
    check(options)?;
    stage(see, "read the definition")?;
    let sources = source::load(options, see)?;

    stage(see, "look at the model")?;
    let mut prepared = Vec::new();
    for source in &sources {
        prepared.push(prepare::prepare(source, options, around)?);
    }

    stage(see, "open the base")?;
    let mut ready = Vec::new();
    let mut programs = own::Programs::default();
    for model in &prepared {
        let base = base::open(model, &mut programs, options, around)?;
        let plan = prepare::plan(model, &base, options)?;
        plan.check()?;
        let targets = target::parse(&options.outputs, &model.repository, base.bases.len(), around)?;
        ready.push((model, base, plan, targets));
    }
    target::check_shared(&ready.iter().map(|(_, _, _, targets)| &targets[..]).collect::<Vec<_>>())?;

    let mut built = Vec::new();
    for (model, base, plan, targets) in &ready {
        if options.mode != Mode::Publish {
            built.push(rehearse(model, base, plan, options, see)?);
            continue;
        }
        stage(see, &format!("publish {}", model.repository))?;
        let targets = target::open(targets, &model.repository, around)?;
        let recipes = pack::recipes(model, plan, &targets, options)?;
        pack::preflight(&pack::expected(base, plan, &recipes)?, &targets, see)?;
        let layers = pack::store(base, &recipes, &targets, options, see)?;
        let (images, top) = assemble(base, plan, &layers)?;
        target::store(&targets, &images, &top, see)?;
        let facts = attach::facts(model.detection.as_ref(), &top.descriptor);
        let bases: Vec<Option<Digest>> = base.bases.iter().map(|b| b.digest).collect();
        let told = target::Told { model: &plan.model, images: &images, bases: &bases, facts: facts.as_ref() };
        let published = target::publish(&targets, &top, &told, options, around)?;
        built.push(answer(model, base, plan, Some((&images, &top, &layers)), published, false));
    }
    Ok(built)
}

/// Refuses what is wrong with the options alone, before the model is looked at.
fn check(options: &Options) -> Result<()> {
    match &options.foundation {
        Some(Foundation::Runtime(name)) => runtimes::find(name).map(|_| ())?,
        Some(Foundation::Base(text)) => Location::base(text).map(|_| ())?,
        None => {}
    }
    target::check(&options.outputs)
}

/// All stages that store nothing.
fn rehearse(
    model: &prepare::Prepared,
    base: &base::Opened,
    plan: &Plan,
    options: &Options,
    see: &dyn Observe,
) -> Result<Built> {
    if options.mode == Mode::Plan {
        let known = pack::remembered(model, plan, options);
        let Some(layers) = known.iter().cloned().collect::<Option<Vec<_>>>() else {
            let mut built = answer(model, base, plan, None, Vec::new(), true);
            for (layer, known) in built.layers.iter_mut().zip(known) {
                layer.fill(known.as_ref().map(|k| &k.packed));
            }
            return Ok(built);
        };
        let (images, top) = assemble(base, plan, &layers)?;
        return Ok(answer(model, base, plan, Some((&images, &top, &layers)), Vec::new(), true));
    }
    let recipes = pack::recipes(model, plan, &[], options)?;
    pack::expected(base, plan, &recipes)?.check(see)?;
    let layers = pack::layers(&recipes, &[], see)?;
    let (images, top) = assemble(base, plan, &layers)?;
    Ok(answer(model, base, plan, Some((&images, &top, &layers)), Vec::new(), true))
}

/// One image a platform, and the document that stands for all of them.
fn assemble(base: &base::Opened, plan: &Plan, layers: &[image::Layer]) -> Result<(Vec<Image>, Document)> {
    let images = base.bases.iter().map(|b| image::assemble(b, plan, layers)).collect::<Result<Vec<_>>>()?;
    let top = match &images[..] {
        [] => return Err(Error::new(Kind::Bug, "an image for no platform")),
        [only] => only.manifest.clone(),
        several => image::index(several, plan)?,
    };
    Ok((images, top))
}

fn answer(
    model: &prepare::Prepared,
    base: &base::Opened,
    plan: &Plan,
    made: Option<(&[Image], &Document, &[image::Layer])>,
    published: Vec<PublishedAt>,
    with_plan: bool,
) -> Built {
    let packed = |i: usize| made.and_then(|(_, _, layers)| layers.get(i)).map(|l| &l.packed);
    let layers = plan
        .layers
        .iter()
        .enumerate()
        .map(|(i, l)| {
            let mut built = BuiltLayer {
                role: l.role.clone(),
                files: l.files(),
                bytes: l.size(),
                digest: None,
                size: None,
                diff_id: None,
                media_type: None,
            };
            built.fill(packed(i));
            built
        })
        .collect();
    Built {
        model: plan.model.clone(),
        repository: model.repository.clone(),
        version: published.first().map(|p| p.tag.clone()),
        number: published.first().map(|p| p.number),
        digest: made.map(|(_, top, _)| top.descriptor.digest),
        media_type: made.map(|(_, top, _)| top.descriptor.media_type.clone()),
        size: made.map(|(_, top, _)| top.descriptor.size),
        model_id: made.and_then(|(images, _, _)| images.first()).map(|i| i.model_id),
        published,
        platforms: base.bases.iter().map(|b| b.config.platform.to_string()).collect(),
        base: base.bases.iter().map(|b| b.digest).collect(),
        layers,
        detection: model.detection.clone(),
        plan: with_plan.then(|| plan.clone()),
    }
}

fn stage(see: &dyn Observe, name: &str) -> Result<()> {
    checkpoint(see)?;
    see.on(Event::Stage { name: name.to_owned() });
    Ok(())
}
