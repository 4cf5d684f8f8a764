//! The base that floe carries is opened: a program of floe for every platform that is wanted.
//!
//! The running program serves its own platform, unless another is given; for all others the caller
//! has to give one. Nothing is looked for: which file is meant is always said.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::{Options, Platforms};
use crate::blob::Blob;
use crate::error::{Error, Kind, Result};
use crate::event::Observe;
use crate::image::{Base, embedded};
use crate::oci::{Descriptor, Platform};
use crate::pack::program::Program;

/// Programs that were packed, by platform; each is packed once for all models of a build.
#[derive(Clone, Debug, Default)]
pub(super) struct Programs(BTreeMap<Platform, Arc<Program>>);

impl Programs {
    /// The program that is this layer.
    pub(super) fn layer(&self, layer: &Descriptor) -> Result<Layer> {
        let found = self.0.values().find(|p| p.descriptor().digest == layer.digest);
        found
            .map(|p| Layer(Arc::clone(p)))
            .ok_or_else(|| Error::new(Kind::Bug, "a layer was asked for that no program of floe is"))
    }
}

/// A packed program as a blob for sinks.
pub(super) struct Layer(Arc<Program>);

impl Blob for Layer {
    fn descriptor(&self) -> &Descriptor {
        self.0.descriptor()
    }

    fn open(&self) -> Result<Box<dyn std::io::Read + Send + '_>> {
        self.0.open()
    }
}

/// The bases for all platforms that are wanted.
pub(super) fn open(programs: &mut Programs, options: &Options, see: &dyn Observe) -> Result<Vec<Base>> {
    let host = Platform::host();
    let wanted = match &options.platforms {
        Platforms::Host => vec![host],
        Platforms::These(list) => list.clone(),
        Platforms::All => {
            let mut all: Vec<Platform> = options.programs.keys().cloned().collect();
            all.extend(options.own_program.is_some().then_some(host));
            all.sort();
            all.dedup();
            all
        }
    };
    if wanted.is_empty() {
        return Err(missing(&Platform::host()));
    }
    let files = wanted
        .iter()
        .map(|platform| file(platform, options).ok_or_else(|| missing(platform)))
        .collect::<Result<Vec<_>>>()?;
    let mut bases = Vec::new();
    for (platform, path) in wanted.iter().zip(files) {
        let program = match programs.0.get(platform) {
            Some(known) => Arc::clone(known),
            None => {
                let threads = options.jobs.clamp(1, super::MAX_THREADS);
                let packed = Arc::new(Program::pack(path, platform, threads, options.cache.as_ref(), see)?);
                programs.0.insert(platform.clone(), Arc::clone(&packed));
                packed
            }
        };
        bases.push(embedded::base(platform, &program.packed())?);
    }
    Ok(bases)
}

/// The program for a platform: the one that was given for exactly it, else for its architecture,
/// else the running one where it fits.
fn file<'a>(platform: &Platform, options: &'a Options) -> Option<&'a Path> {
    let given = options
        .programs
        .get(platform)
        .or_else(|| options.programs.iter().find(|(p, _)| platform.satisfies(p)).map(|(_, path)| path));
    let own = || options.own_program.as_ref().filter(|_| platform.satisfies(&Platform::host()));
    given.or_else(own).map(std::path::PathBuf::as_path)
}

fn missing(platform: &Platform) -> Error {
    let message = format!("there is no program of floe for {platform}, which the base `floe` consists of");
    Error::new(Kind::Usage, message).hint(format!(
        "give a floe that was built for it with `--floe-binary {platform}=PATH`, or pack the model \
         without a server with `--runtime data`"
    ))
}
