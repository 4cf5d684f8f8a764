//! What is said of an image beside it: what was found in its model, and who published it, when and from
//! where. Both are referrers, never a part of the digest.
//!
//! They go to registries and to the local store. A layout or an archive that travels as a file holds
//! the image alone: peers refuse one with two entries where no name is given.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::blob::{Blob, Bytes};
use crate::error::{Kind, Result};
use crate::event::{Event, Observe, checkpoint, warn};
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
    /// The commit that was checked out, as the CI system says or the work tree that the model lies in. Whether
    /// files were changed since then is not known.
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
    /// Whether the version was there before, and had no record: who published it first is not known then.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) late: bool,
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

/// How often an artifact is looked for that somebody may be about to attach.
const LOOKS: u32 = 4;

/// Whether an image that was published before lacks an artifact of a type, as it does where its publisher was
/// killed before the end. `now` is whether one look is enough: else somebody who published the same content at
/// the same moment gets a while to attach theirs.
///
/// Two that look at the same time may still both attach: nothing is lost by that, and a registry has no
/// operation that would keep one of them out. A list that cannot be read lacks nothing.
pub(super) fn lacks(
    repository: &dyn Repository,
    image: &Digest,
    kind: &str,
    now: bool,
    see: &dyn Observe,
) -> Result<bool> {
    for look in 0..if now { 1 } else { LOOKS } {
        checkpoint(see)?;
        if look > 0 {
            std::thread::sleep(Duration::from_millis(200) * look + referrers::pause(5));
        }
        match repository.referrers(image) {
            Ok(all) if all.iter().any(|r| r.artifact_type.as_deref() == Some(kind)) => return Ok(false),
            Ok(_) => {}
            Err(e) if e.kind() == Kind::Interrupted => return Err(e),
            Err(e) => {
                see.on(Event::Detail { message: format!("what is attached to {image} was not read: {e}") });
                return Ok(false);
            }
        }
    }
    Ok(true)
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
