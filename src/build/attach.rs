//! What was found in a model, attached to its image: a referrer, never a part of the digest.
//!
//! It goes to registries and to the local store. A layout or an archive that travels as a file holds
//! the image alone: peers refuse one with two entries where no name is given.

use crate::blob::Blob;
use crate::error::{Kind, Result};
use crate::event::{Observe, warn};
use crate::image::Referrer;
use crate::image::referrer::FACTS;
use crate::model::format::{Detection, document};
use crate::oci::{Descriptor, json};
use crate::store::Repository;

/// The facts about a model as a referrer of its image; `None` where nothing was found.
pub(super) fn facts(detection: Option<&Detection>, image: &Descriptor) -> Option<Referrer> {
    let content = json::canonical(&document::found(detection?));
    Some(Referrer::new(FACTS, content, image))
}

/// Attaches a referrer. The image is published by then, so that a store which takes no referrers
/// is told of and is no error.
pub(super) fn attach(repository: &dyn Repository, referrer: &Referrer, see: &dyn Observe) -> Result<()> {
    match store(repository, referrer, see) {
        Err(e) if e.kind() != Kind::Interrupted => {
            warn(
                see,
                format!("the facts about the model were not attached to its image: {e}"),
                e.hint_text(),
            );
            Ok(())
        }
        done => done,
    }
}

fn store(repository: &dyn Repository, referrer: &Referrer, see: &dyn Observe) -> Result<()> {
    for blob in &referrer.blobs {
        repository.put(blob as &dyn Blob, see)?;
    }
    repository.refer(&referrer.manifest, &referrer.subject, referrer.artifact_type)
}
