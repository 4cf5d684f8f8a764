//! What is attached to an image: artifacts that refer to it, artifacts that refer to those, and what
//! cosign stores under tags of its own beside the image.

use std::collections::{BTreeMap, BTreeSet};

use super::graph::Content;
use super::source::Opened;
use crate::error::{Error, Kind, Result};
use crate::event::{Observe, checkpoint, warn};
use crate::oci::document::Document;
use crate::oci::{Descriptor, Digest};
use crate::store::Referring;
use crate::store::referrers::tag;

/// What follows the digest in cosign's tags: signatures, attestations, bills of materials
/// (cosign, `specs/SIGNATURE_SPEC.md`, "Storage").
const ENDINGS: [&str; 3] = ["sig", "att", "sbom"];
/// The most artifacts that one image may drag along.
const MAX_ATTACHED: usize = 10_000;

/// What is attached to the documents of an image.
#[derive(Debug, Default)]
pub(super) struct Attached {
    /// What it is made of.
    pub(super) content: Content,
    /// Artifacts with what they refer to.
    pub(super) referring: Vec<(Descriptor, Referring)>,
    /// Artifacts under tags.
    pub(super) tagged: BTreeMap<String, Document>,
}

impl Attached {
    /// How many artifacts there are.
    pub(super) fn len(&self) -> usize {
        self.referring.len() + self.tagged.len()
    }

    /// The artifacts by what they refer to.
    pub(super) fn by_subject(&self) -> BTreeMap<Digest, Vec<Referring>> {
        let mut all: BTreeMap<Digest, Vec<Referring>> = BTreeMap::new();
        for (subject, referring) in &self.referring {
            all.entry(subject.digest).or_default().push(referring.clone());
        }
        all
    }
}

/// Finds what is attached to the documents of an image.
pub(super) fn find(from: &Opened, image: &Content, see: &dyn Observe) -> Result<Attached> {
    let source = from.source();
    let names: BTreeSet<String> = from.names()?.into_iter().collect();
    let mut found = Attached::default();
    let mut queue: Vec<Descriptor> = image.documents.iter().map(|d| d.descriptor.clone()).rev().collect();
    let mut looked = BTreeSet::new();
    while let Some(subject) = queue.pop() {
        checkpoint(see)?;
        if !looked.insert(subject.digest) {
            continue;
        }
        if found.len() > MAX_ATTACHED {
            return Err(Error::new(
                Kind::Integrity,
                format!("more than {MAX_ATTACHED} artifacts are attached to one image"),
            ));
        }
        let mut more = Vec::new();
        for referring in source.referrers(&subject.digest)? {
            let digest = referring.descriptor.digest;
            if let Err(e) = found.content.add(source, &referring.descriptor) {
                if e.kind() != Kind::Integrity {
                    return Err(e);
                }
                let what = referring.artifact_type.as_deref().unwrap_or("artifact");
                let text = format!("the {what} {digest} of {} was not copied: {e}", subject.digest);
                warn(see, text, e.hint_text());
                continue;
            }
            more.push(digest);
            found.referring.push((subject.clone(), referring));
        }
        for ending in ENDINGS {
            let name = format!("{}.{ending}", tag(&subject.digest));
            if !names.contains(&name) {
                continue;
            }
            let Some(descriptor) = source.resolve(&name)? else { continue };
            found.content.add(source, &descriptor)?;
            more.push(descriptor.digest);
            if let Some(document) = found.content.document(&descriptor.digest) {
                found.tagged.insert(name, document.clone());
            }
        }
        // In the end these have referrers too.
        let next = more.iter().filter_map(|d| found.content.document(d)).map(|d| d.descriptor.clone());
        queue.extend(next.collect::<Vec<_>>());
    }
    Ok(found)
}
