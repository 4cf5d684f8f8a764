//! The files of a running container, packed again.
//!
//! The layers of a model are a pure function of its files, so that the files which a container sees can be
//! held against the image they came from, with nothing but the files at hand: split as a build splits them,
//! written as tars, hashed. Not here: which files a layer lacks; a diff id only tells that the layer is not
//! the one that was published.
//!
//! Invariant: nothing is written.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use serde::Serialize;

use crate::error::{At, Error, Kind, Result, show};
use crate::event::Observe;
use crate::fs::{open_regular, read_capped};
use crate::image::ModelId;
use crate::model::Tree;
use crate::model::contract::json::MAX_SIZE;
use crate::model::tree::Selected;
use crate::oci::{Config, Descriptor, DiffId, Manifest, annotation};
use crate::pack;
use crate::plan::split::{self, Material};
use crate::plan::{Compression, ImagePath, Owner};

/// The files that a build writes beside the model's.
const CONTRACTS: [&str; 2] = ["contract.json", "contract.protobin"];

/// Where the files are, and how they were packed.
#[derive(Clone, Debug)]
pub struct Running<'a> {
    /// The folder that is `/model` in the image.
    pub root: &'a Path,
    /// The owner that the files have in the image.
    pub owner: Owner,
    /// How many layers the base has.
    pub base_layers: usize,
    /// Threads for hashing.
    pub jobs: usize,
}

/// A layer that was packed again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Packed {
    /// What is in it, for people.
    pub title: String,
    /// Digest of its tar.
    pub diff_id: DiffId,
}

/// Packs the files again; the layers of the model, lowest first.
///
/// # Errors
///
/// When the files cannot be read, or change meanwhile.
pub fn pack(running: &Running<'_>, see: &dyn Observe) -> Result<Vec<Packed>> {
    let files = running.root.join("files");
    if !files.is_dir() {
        return Err(Error::new(Kind::Model, format!("there is no folder `{}`", show(&files)))
            .hint("name the folder that is `/model` in the image; it has `files` and `contract.json`"));
    }
    let tree = Tree::scan(&[Selected { source: files, dest: Vec::new() }], &|_, _| false, false)?;
    let mut contract = Vec::new();
    for name in CONTRACTS {
        let path = running.root.join(name);
        match std::fs::symlink_metadata(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e).at("look at", &path),
            Ok(_) => drop(open_regular(&path)?),
        }
        let bytes = read_capped(&path, MAX_SIZE as u64)?;
        contract.push((
            ImagePath::new([b"model/", path.file_name().unwrap_or_default().as_bytes()].concat())?,
            bytes,
        ));
    }
    let layers = split::layers(&Material {
        tree: &tree,
        role: &|_| "files",
        folder: ImagePath::new("model/files")?,
        contract,
        compression: Compression::None,
        base_layers: running.base_layers,
    })?;
    let mut packed = Vec::new();
    for plan in &layers {
        let recipe = pack::Layer::new(plan, &tree, running.owner, running.jobs)?;
        packed.push(Packed { title: plan.shown(), diff_id: pack::hash(&recipe, see)?.diff_id });
    }
    Ok(packed)
}

/// The id of a model with these layers.
pub fn model_id(model: &str, layers: &[Packed]) -> ModelId {
    ModelId::new(model, &layers.iter().map(|l| l.diff_id).collect::<Vec<_>>())
}

/// The layers of the model in an image, and how many are below them.
pub fn expected(manifest: &Manifest, config: &Config) -> (Vec<DiffId>, usize) {
    let is_own = |l: &Descriptor| l.annotations.contains_key(annotation::LAYER_ROLE);
    let own: Vec<DiffId> =
        manifest.layers.iter().zip(&config.diff_ids).filter(|(l, _)| is_own(l)).map(|(_, d)| *d).collect();
    let base = manifest.layers.iter().filter(|l| !is_own(l)).count();
    (own, base)
}

/// The layers that are not those expected, by title; what is expected and not there is named by its diff id.
pub fn differences(packed: &[Packed], expected: &[DiffId]) -> Vec<String> {
    let mut out: Vec<String> = packed
        .iter()
        .filter(|p| !expected.contains(&p.diff_id))
        .map(|p| format!("{} is not a layer of the image: its diff id is {}", p.title, p.diff_id))
        .collect();
    out.extend(
        expected
            .iter()
            .filter(|d| packed.iter().all(|p| p.diff_id != **d))
            .map(|d| format!("no files make the layer with the diff id {d}")),
    );
    out
}
