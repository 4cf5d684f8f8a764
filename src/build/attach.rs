//! What is said of an image beside it: what was found in its model, and who published it, when and from
//! where. Both are referrers, never a part of the digest.
//!
//! They go to registries and to the local store. A layout or an archive that travels as a file holds
//! the image alone: peers refuse one with two entries where no name is given.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::blob::{Blob, Bytes};
use crate::error::{Kind, Result};
use crate::event::{Observe, warn};
use crate::image::referrer::{FACTS, RECORD};
use crate::image::{ModelId, Referrer};
use crate::model::format::{Detection, document};
use crate::oci::annotation::CREATED;
use crate::oci::{Descriptor, Digest, json};
use crate::store::{Repository, referrers};

/// What the caller knows about the circumstances of a publication. The library looks at no clock and
/// no environment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Circumstances {
    /// When, in RFC 3339.
    pub time: String,
    /// What built it, as in `floe 0.1.0`.
    pub builder: String,
    /// Where the model's source is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The commit that was checked out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// What the CI system says of itself and of its run, by short names of ours.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ci: BTreeMap<String, String>,
}

/// What a publish record says.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Record<'a> {
    /// Version of the document.
    pub(super) floe: u32,
    /// Name of the model.
    pub(super) model: &'a str,
    /// What the model is, apart from its base.
    pub(super) model_id: ModelId,
    /// The version's tag.
    pub(super) version: &'a str,
    /// Its number.
    pub(super) number: u64,
    /// What it points to.
    pub(super) digest: Digest,
    /// Digest of the base of each platform.
    pub(super) base: &'a [Option<Digest>],
    #[serde(flatten)]
    pub(super) circumstances: &'a Circumstances,
}

/// The facts about a model as a referrer of its image; `None` where nothing was found.
pub(super) fn facts(detection: Option<&Detection>, image: &Descriptor) -> Option<Referrer> {
    let content = json::canonical(&document::found(detection?));
    Some(Referrer::new(FACTS, content, image))
}

/// A publish record as a referrer of its image.
pub(super) fn record(record: &Record<'_>, image: &Descriptor) -> Result<Referrer> {
    let content: Arc<dyn Blob> = Arc::new(Bytes::new(RECORD, json::to_canonical(record)?));
    let created = BTreeMap::from([(CREATED.to_owned(), record.circumstances.time.clone())]);
    Ok(Referrer::of(RECORD, vec![content], &created, image))
}

/// Attaches a referrer; `what` it is. The image is published by then, so that a store which takes no
/// referrers is told of and is no error.
pub(super) fn attach(
    repository: &dyn Repository,
    referrer: &Referrer,
    what: &str,
    see: &dyn Observe,
) -> Result<()> {
    match referrers::attach(repository, referrer, see) {
        Err(e) if e.kind() != Kind::Interrupted => {
            warn(see, format!("{what} was not attached to the image: {e}"), e.hint_text());
            Ok(())
        }
        done => done,
    }
}
