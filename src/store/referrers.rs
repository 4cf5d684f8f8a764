//! What refers to an image: artifacts whose manifest has the image as its `subject`.
//!
//! Registries with the referrers API keep the list by themselves. Where there is none, the list is an
//! index under the tag `sha256-<hex of the subject>` (distribution-spec 1.1, "Referrers Tag Schema"),
//! which its writers read, change and write back, and no registry lets them do that in one step.
//! So that several writers at once lose nothing, each artifact first gets a tag of its own,
//! `sha256-<hex of the subject>.<16 digits of the artifact>`, and a writer is done only when, after its
//! last write, the list holds everything that has such a tag. Whoever writes last has then seen all that
//! was tagged before, and who tags later writes later.
//!
//! Invariants: entries of others are kept as they are; an entry is there once; what is not in the list,
//! because a writer was killed, is still found by its own tag.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::{Document, Repository, Source};
use crate::error::{Error, Kind, Result};
use crate::event::Observe;
use crate::image::Referrer;
use crate::oci::document::MAX_MANIFEST;
use crate::oci::{Descriptor, Digest, json as canon, media_type};

/// How often a list is written before its writer gives up; each turn that fails is one in which another
/// writer got on.
const TURNS: u32 = 100;

/// An artifact that refers to an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Referring {
    /// What the artifact is, by its own word.
    pub artifact_type: Option<String>,
    /// Its manifest, with the manifest's annotations.
    #[serde(skip)]
    pub descriptor: Descriptor,
}

impl Referring {
    /// Reads an entry of a list of referrers.
    pub(crate) fn from_value(value: &Value) -> Result<Self> {
        let descriptor = Descriptor::from_value(value, "an entry in the list of referrers")?;
        Ok(Self { artifact_type: value["artifactType"].as_str().map(str::to_owned), descriptor })
    }

    /// What a manifest says of itself.
    pub(crate) fn of(manifest: &Document) -> Self {
        let value: Value = serde_json::from_slice(&manifest.bytes).unwrap_or(Value::Null);
        let kind = value["artifactType"].as_str().or_else(|| value["config"]["mediaType"].as_str());
        let mut descriptor = manifest.descriptor.clone();
        let notes = value["annotations"].as_object().into_iter().flatten();
        descriptor.annotations =
            notes.filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect();
        Self { artifact_type: kind.map(str::to_owned), descriptor }
    }

    fn to_value(&self) -> Value {
        let mut value = self.descriptor.to_value();
        if let Some(kind) = &self.artifact_type {
            value["artifactType"] = json!(kind);
        }
        value
    }
}

/// The tag of the list of a subject's referrers.
pub fn tag(subject: &Digest) -> String {
    format!("sha256-{}", subject.hex())
}

/// The tag that an artifact has by itself.
fn own_tag(subject: &Digest, artifact: &Digest) -> String {
    format!("{}.{}", tag(subject), artifact.short())
}

/// The digits of an artifact in its own tag.
fn of_own_tag<'a>(name: &'a str, subject: &Digest) -> Option<&'a str> {
    let digits = name.strip_prefix(&tag(subject))?.strip_prefix('.')?;
    let hex = digits.len() == 16 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    hex.then_some(digits)
}

/// The list of a subject's referrers as a document, in the order of their digests.
pub(crate) fn index(all: &[Referring]) -> Document {
    let entries: BTreeMap<Digest, Value> = all.iter().map(|r| (r.descriptor.digest, r.to_value())).collect();
    let entries: Vec<Value> = entries.into_values().collect();
    let value = json!({"schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": entries});
    Document::new(media_type::INDEX, canon::canonical(&value))
}

/// The list under the tag, as JSON so that nothing of it is lost.
fn read<S: Source + ?Sized>(source: &S, subject: &Digest) -> Result<Value> {
    let tag = tag(subject);
    let list = match source.resolve(&tag)? {
        None => json!({"schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": []}),
        Some(there) => canon::parse(&source.document(&there)?.bytes, MAX_MANIFEST, "the list of referrers")?,
    };
    if list["manifests"].is_array() {
        return Ok(list);
    }
    Err(Error::new(Kind::Conflict, format!("the tag `{tag}` is not a list of referrers"))
        .hint("it belongs to the referrers of an image; remove what else is tagged so"))
}

/// What the list under the tag names.
pub(crate) fn listed<S: Source + ?Sized>(source: &S, subject: &Digest) -> Result<Vec<Referring>> {
    read(source, subject)?["manifests"].as_array().into_iter().flatten().map(Referring::from_value).collect()
}

/// What has a tag of its own and is not among those given.
pub(crate) fn unlisted<R: Repository + ?Sized>(
    repository: &R,
    subject: &Digest,
    all: &[Referring],
) -> Result<Vec<Referring>> {
    let mut more = Vec::new();
    for name in repository.names()? {
        let Some(digits) = of_own_tag(&name, subject) else { continue };
        if all.iter().any(|r| r.descriptor.digest.short() == digits) {
            continue;
        }
        let Some(found) = repository.resolve(&name)? else { continue };
        more.push(Referring::of(&repository.document(&found)?));
    }
    Ok(more)
}

/// Adds a stored manifest to the list of its subject while no other writer of the store is at it.
pub(super) fn add<R: Repository + ?Sized>(
    repository: &R,
    manifest: &Document,
    subject: &Digest,
) -> Result<()> {
    let list = read(repository, subject)?;
    match with(list, &[Referring::of(manifest)]) {
        Some(list) => {
            repository.put_document(&list)?;
            repository.point(&tag(subject), &list)
        }
        None => Ok(()),
    }
}

/// Adds a stored manifest to the list of its subject although others may be at it too. `overwrite`
/// makes a name point to a stored document, and need not look whether it then does.
///
/// # Errors
///
/// What the store says; the artifact keeps its own tag then, and is found by it.
pub(super) fn add_among_others<R: Repository + ?Sized>(
    repository: &R,
    manifest: &Document,
    subject: &Digest,
    overwrite: &dyn Fn(&str, &Document) -> Result<()>,
) -> Result<()> {
    let ours = Referring::of(manifest);
    overwrite(&own_tag(subject, &manifest.descriptor.digest), manifest)?;
    for turn in 0..TURNS {
        let list = read(repository, subject)?;
        let there: Vec<Referring> = list["manifests"]
            .as_array()
            .into_iter()
            .flatten()
            .map(Referring::from_value)
            .collect::<Result<_>>()?;
        let mut wanted = unlisted(repository, subject, &there)?;
        wanted.push(ours.clone());
        let Some(list) = with(list, &wanted) else { return Ok(()) };
        if turn > 0 {
            std::thread::sleep(pause(turn));
        }
        repository.put_document(&list)?;
        overwrite(&tag(subject), &list)?;
    }
    Err(Error::new(
        Kind::Conflict,
        format!("the list of what refers to {subject} was changed by others {TURNS} times in a row"),
    )
    .hint("run the command again; what is attached already is attached once"))
}

/// The list with these in it; `None` where all of them are.
fn with(mut list: Value, wanted: &[Referring]) -> Option<Document> {
    let entries = list.get_mut("manifests").and_then(Value::as_array_mut)?;
    let before = entries.len();
    for referring in wanted {
        let digest = json!(referring.descriptor.digest.to_string());
        if !entries.iter().any(|e| e["digest"] == digest) {
            entries.push(referring.to_value());
        }
    }
    (entries.len() > before).then(|| Document::new(media_type::INDEX, canon::canonical(&list)))
}

/// A pause that grows and differs between writers, of 640 ms at most.
pub(crate) fn pause(turn: u32) -> Duration {
    let most = 20_u64 << turn.min(5);
    Duration::from_millis(1 + RandomState::new().build_hasher().finish() % most)
}

/// Stores an artifact and adds it to the referrers of its subject.
///
/// # Errors
///
/// What the store says; the image itself is never touched.
pub fn attach(repository: &dyn Repository, referrer: &Referrer, see: &dyn Observe) -> Result<()> {
    for blob in &referrer.blobs {
        repository.put(&**blob, see)?;
    }
    repository.refer(&referrer.manifest, &referrer.subject)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Sink;
    use crate::store::memory::Memory;

    fn manifest(text: &str) -> Document {
        let value = json!({
            "schemaVersion": 2, "mediaType": media_type::MANIFEST, "artifactType": "x/y", "layers": [],
            "annotations": {"n": text},
        });
        Document::new(media_type::MANIFEST, canon::canonical(&value))
    }

    #[test]
    fn a_list_says_what_the_manifests_say() {
        let store = Memory::new();
        let subject = Descriptor::of(media_type::MANIFEST, b"image");
        let one = manifest("1");
        store.put_document(&one).unwrap();
        for _ in 0..2 {
            store.refer(&one, &subject).unwrap();
        }
        let all = store.referrers(&subject.digest).unwrap();
        assert_eq!(all, [Referring::of(&one)]);
        assert_eq!(all[0].artifact_type.as_deref(), Some("x/y"));
        assert_eq!(all[0].descriptor.annotations["n"], "1");
    }

    #[test]
    fn an_entry_that_was_lost_is_found_by_its_own_tag_and_put_back() {
        let store = Memory::new();
        let subject = Descriptor::of(media_type::MANIFEST, b"image");
        let (one, two) = (manifest("1"), manifest("2"));
        store.refer(&one, &subject).unwrap();
        // Somebody who knows nothing of the first writes the list anew.
        let list = index(&[]);
        store.put_document(&list).unwrap();
        store.point(&tag(&subject.digest), &list).unwrap();
        assert_eq!(unlisted(&store, &subject.digest, &[]).unwrap(), [Referring::of(&one)]);
        store.refer(&two, &subject).unwrap();
        assert_eq!(listed(&store, &subject.digest).unwrap().len(), 2);
    }

    #[test]
    fn what_is_no_list_is_not_overwritten() {
        let store = Memory::new();
        let subject = Descriptor::of(media_type::MANIFEST, b"image");
        let other = manifest("other");
        store.put_document(&other).unwrap();
        store.point(&tag(&subject.digest), &other).unwrap();
        assert_eq!(store.refer(&manifest("1"), &subject).unwrap_err().kind(), Kind::Conflict);
    }

    #[test]
    fn of_many_writers_at_once_none_loses_its_entry() {
        let store = Memory::new();
        let subject = Descriptor::of(media_type::MANIFEST, b"image");
        std::thread::scope(|s| {
            for i in 0..16 {
                let (store, subject) = (&store, &subject);
                s.spawn(move || store.refer(&manifest(&i.to_string()), subject).unwrap());
            }
        });
        assert_eq!(listed(&store, &subject.digest).unwrap().len(), 16);
    }
}
