//! Whether an image is what it claims to be.
//!
//! [`verify`] walks from a name to every document and blob below it, and to what is attached to any of those;
//! it reads all of them again, and compares what is there with what is said of it: digests and sizes, media
//! types, diff ids, the paths in the layers, and what floe wrote about the model. It is not a judgement of what
//! the model does.
//! [`running`] compares files that were unpacked, as those of a running container, with the layers that they came
//! from.
//!
//! Invariants: whatever is wrong with the content is a [`Problem`] of the report, and the walk goes on, so
//! that every broken blob is named; an error is only what keeps from looking. Memory does not grow with
//! the size of a layer.

mod claims;
mod layer;
pub mod running;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Serialize;

use crate::blob::Blob;
use crate::error::{Error, Kind, Result, counted, show_bytes};
use crate::event::{Observe, checkpoint};
use crate::oci::document::{MAX_CONFIG, kind_of};
use crate::oci::{Config, Descriptor, DiffId, Digest, Index, Manifest, Platform, json, media_type};
use crate::store::{Referring, Source, read_small};

use layer::Seen;

/// How many documents one name may lead to.
const MAX_DOCUMENTS: usize = 10_000;
/// How deep an index may lie inside of others.
const MAX_DEPTH: usize = 4;
/// How many problems are told; a layer of nonsense could have millions.
const MAX_PROBLEMS: usize = 1000;

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// What it is about: a digest, or a name.
    pub subject: String,
    /// What kind it is: `digest`, `media-type`, `diff-id`, `path`, `document`, `contract`, `model-id`, `tag`,
    /// `platform`, `history` or `referrer`.
    pub code: &'static str,
    /// What was expected and what was found.
    pub message: String,
}

impl Problem {
    fn new(subject: &dyn fmt::Display, code: &'static str, message: impl Into<String>) -> Self {
        Self { subject: subject.to_string(), code, message: message.into() }
    }
}

/// What was looked at, and what is wrong with it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The digest that the walk began at.
    pub digest: Digest,
    /// Manifests and indexes that were read, those of attached artifacts included.
    pub documents: usize,
    /// How many of them are artifacts that refer to the image, or to such an artifact.
    pub referrers: usize,
    /// Other blobs that were read.
    pub blobs: usize,
    /// Stored bytes of all of them.
    pub bytes: u64,
    /// What was not read, and why: layers that stay with their owner, images of other makers without
    /// claims about a model.
    pub notes: Vec<String>,
    /// What is wrong, by subject.
    pub problems: Vec<Problem>,
}

/// Verifies everything that a descriptor of a source leads to. `tag` is the name by which it was found, where
/// there is one. At most `jobs` blobs are read at once.
///
/// # Errors
///
/// When the source cannot be asked. What the source has and is wrong is in the report.
pub fn verify(
    source: &dyn Source,
    found: &Descriptor,
    tag: Option<&str>,
    jobs: usize,
    see: &dyn Observe,
) -> Result<Report> {
    let mut walk = Walk {
        source,
        see,
        seen: BTreeSet::new(),
        subjects: BTreeMap::new(),
        images: Vec::new(),
        work: BTreeMap::new(),
        report: Report::new(found.digest),
    };
    if let Some(tag) = tag {
        walk.report.problems.extend(claims::tag(tag, &found.digest));
    }
    walk.document(found, None, 0)?;
    walk.referrers()?;
    walk.blobs(jobs)?;
    let Walk { mut report, .. } = walk;
    report.problems.sort();
    report.problems.dedup();
    report.problems.truncate(MAX_PROBLEMS);
    Ok(report)
}

impl Report {
    fn new(digest: Digest) -> Self {
        Self {
            digest,
            documents: 0,
            referrers: 0,
            blobs: 0,
            bytes: 0,
            notes: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// Whether all is as it should be.
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }
}

/// An image on the walk.
struct Image {
    manifest: Manifest,
    config: Config,
}

impl Image {
    /// Which layers are the model's own, by their annotation.
    fn is_own(layer: &Descriptor) -> bool {
        layer.annotations.contains_key(crate::oci::annotation::LAYER_ROLE)
    }
}

/// What is to be done with a blob; one digest may have several uses.
#[derive(Clone)]
struct Work {
    descriptor: Descriptor,
    /// The diff ids that images give it, and whether it is a layer of a model.
    layer: Option<(BTreeSet<DiffId>, bool)>,
}

struct Walk<'a> {
    source: &'a dyn Source,
    see: &'a dyn Observe,
    seen: BTreeSet<Digest>,
    /// What artifacts are listed for, by their digests.
    subjects: BTreeMap<Digest, Digest>,
    images: Vec<Image>,
    work: BTreeMap<Digest, Work>,
    report: Report,
}

impl Walk<'_> {
    fn problem(&mut self, subject: &dyn fmt::Display, code: &'static str, message: impl Into<String>) {
        self.report.problems.push(Problem::new(subject, code, message));
    }

    /// Notes what is wrong with the content; anything else ends the walk.
    fn take<T>(&mut self, subject: &Digest, code: &'static str, result: Result<T>) -> Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(e) if is_content(&e) => {
                self.problem(subject, code, e.to_string());
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    fn document(&mut self, d: &Descriptor, platform: Option<&Platform>, depth: usize) -> Result<()> {
        checkpoint(self.see)?;
        if !self.seen.insert(d.digest) {
            return Ok(());
        }
        if self.seen.len() > MAX_DOCUMENTS || depth > MAX_DEPTH {
            self.problem(
                &d.digest,
                "document",
                format!("more than {MAX_DOCUMENTS} documents, or an index that lies deeper than {MAX_DEPTH}"),
            );
            return Ok(());
        }
        let document = self.source.document(d);
        let Some(document) = self.take(&d.digest, "digest", document)? else { return Ok(()) };
        self.report.documents += 1;
        self.report.bytes += document.bytes.len() as u64;
        let value = json::parse(&document.bytes, document.bytes.len(), "the document");
        let Some(value) = self.take(&d.digest, "document", value)? else { return Ok(()) };
        if let Some(subject) = self.subjects.get(&d.digest).map(Digest::to_string)
            && value["subject"]["digest"] != subject.as_str()
        {
            let found = value["subject"]["digest"].as_str().unwrap_or("nothing");
            let message =
                format!("it is listed for {subject}, and refers to {}", show_bytes(found.as_bytes()));
            self.problem(&d.digest, "referrer", message);
        }
        let kind = kind_of(&value, Some(&d.media_type));
        let Some(kind) = self.take(&d.digest, "media-type", kind)? else { return Ok(()) };
        if kind != d.media_type {
            self.problem(
                &d.digest,
                "media-type",
                format!(
                    "expected `{}`, as it is named, found `{}`, as it says itself",
                    show_bytes(d.media_type.as_bytes()),
                    show_bytes(kind.as_bytes())
                ),
            );
        }
        if media_type::is_index(&kind) {
            let index = Index::parse(document.bytes, None);
            let Some(index) = self.take(&d.digest, "document", index)? else { return Ok(()) };
            for entry in &index.entries {
                self.document(&entry.descriptor, entry.platform.as_ref(), depth + 1)?;
            }
            return Ok(());
        }
        let manifest = Manifest::parse(document.bytes, None);
        let Some(manifest) = self.take(&d.digest, "document", manifest)? else { return Ok(()) };
        self.manifest(manifest, platform)
    }

    /// Walks what is attached to the documents so far, and what is attached to that, wherever the source keeps
    /// its lists.
    fn referrers(&mut self) -> Result<()> {
        let mut queue: Vec<Digest> = self.seen.iter().copied().collect();
        while let Some(subject) = queue.pop() {
            checkpoint(self.see)?;
            let listed = match self.source.referrers(&subject) {
                // Whoever may read an image need not be allowed to list; and the tag may be another's.
                Err(e) if matches!(e.kind(), Kind::Denied | Kind::Conflict) => {
                    self.report.notes.push(format!("what refers to {subject} was not read: {e}"));
                    continue;
                }
                listed => self.take(&subject, "referrer", listed)?.unwrap_or_default(),
            };
            for Referring { descriptor, .. } in listed {
                if self.seen.contains(&descriptor.digest) {
                    continue;
                }
                self.report.referrers += 1;
                self.subjects.insert(descriptor.digest, subject);
                self.document(&descriptor, None, 0)?;
                if self.seen.len() > MAX_DOCUMENTS {
                    return Ok(());
                }
                queue.push(descriptor.digest);
            }
        }
        Ok(())
    }

    fn manifest(&mut self, manifest: Manifest, platform: Option<&Platform>) -> Result<()> {
        if !manifest.is_image() {
            for blob in manifest.layers.iter().chain([&manifest.config]) {
                self.blob(blob, None);
            }
            return Ok(());
        }
        let of = manifest.descriptor.digest;
        let bytes = read_small(self.source, &manifest.config, MAX_CONFIG);
        let Some(bytes) = self.take(&manifest.config.digest, "digest", bytes)? else {
            for layer in &manifest.layers {
                self.blob(layer, Some((None, Image::is_own(layer))));
            }
            return Ok(());
        };
        self.report.blobs += 1;
        self.report.bytes += bytes.len() as u64;
        let config = Config::parse(&bytes);
        let config = self.take(&manifest.config.digest, "document", config)?;
        if let Some(config) = &config {
            let (layers, ids) = (manifest.layers.len(), config.diff_ids.len());
            if layers != ids {
                self.problem(
                    &of,
                    "diff-id",
                    format!(
                        "the manifest has {}, its configuration {}",
                        counted(layers, "layer", "layers"),
                        counted(ids, "diff id", "diff ids")
                    ),
                );
            }
            if let Some(told) = platform
                && !config.platform.satisfies(told)
            {
                self.problem(
                    &of,
                    "platform",
                    format!("the index says {told}, the configuration {}", config.platform),
                );
            }
            self.report.problems.extend(claims::history(&of, config));
        }
        for (i, layer) in manifest.layers.iter().enumerate() {
            if !media_type::is_layer(&layer.media_type) {
                self.problem(
                    &layer.digest,
                    "media-type",
                    format!("`{}` is no layer of an image", show_bytes(layer.media_type.as_bytes())),
                );
            }
            let diff_id = config.as_ref().and_then(|c| c.diff_ids.get(i)).copied();
            self.blob(layer, Some((diff_id, Image::is_own(layer))));
        }
        if let Some(config) = config {
            self.images.push(Image { manifest, config });
        }
        Ok(())
    }

    /// Notes a blob to be read.
    fn blob(&mut self, d: &Descriptor, layer: Option<(Option<DiffId>, bool)>) {
        if media_type::is_foreign_layer(&d.media_type) {
            self.report.notes.push(format!("the layer {} stays with its owner and was not read", d.digest));
            return;
        }
        let work = self.work.entry(d.digest).or_insert_with(|| Work { descriptor: d.clone(), layer: None });
        if work.descriptor.size != d.size {
            let message = format!("it has two sizes: {} and {} bytes", work.descriptor.size, d.size);
            self.report.problems.push(Problem::new(&d.digest, "digest", message));
            return;
        }
        if let Some((diff_id, own)) = layer {
            let (ids, owned) = work.layer.get_or_insert_with(Default::default);
            ids.extend(diff_id);
            *owned |= own;
            work.descriptor.media_type.clone_from(&d.media_type);
        }
    }

    /// Reads all blobs, the largest first, and then compares what images say with what was in them.
    fn blobs(&mut self, jobs: usize) -> Result<()> {
        let mut work: Vec<Work> = self.work.values().cloned().collect();
        work.sort_by_key(|w| std::cmp::Reverse(w.descriptor.size));
        let next = AtomicUsize::new(0);
        let done = Mutex::new(Vec::new());
        let failed = Mutex::new(None);
        std::thread::scope(|s| {
            for _ in 0..jobs.clamp(1, work.len().max(1)) {
                s.spawn(|| {
                    while let Some(w) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let result = checkpoint(self.see).and_then(|()| read(self.source, w, self.see));
                        match result {
                            Ok(seen) => locked(&done).push((w.descriptor.digest, seen)),
                            Err(e) => {
                                // The others need not begin another one.
                                next.store(work.len(), Ordering::Relaxed);
                                locked(&failed).get_or_insert(e);
                            }
                        }
                    }
                });
            }
        });
        if let Some(e) = failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
            return Err(e);
        }
        let mut contracts = BTreeMap::new();
        for (digest, seen) in done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
            self.report.blobs += 1;
            self.report.bytes += seen.bytes;
            self.report.problems.extend(seen.problems);
            contracts.insert(digest, seen.contract);
        }
        for image in &self.images {
            claims::image(&image.manifest, &image.config, &contracts, &mut self.report);
        }
        Ok(())
    }
}

/// Reads one blob to its end.
fn read(source: &dyn Source, work: &Work, see: &dyn Observe) -> Result<Seen> {
    let opened = source.blob(&work.descriptor);
    let result = opened.and_then(|blob| match &work.layer {
        Some((diff_ids, own)) => layer::read(&*blob, diff_ids, *own, see),
        None => plain(&*blob, see),
    });
    match result {
        Err(e) if is_content(&e) => {
            Ok(Seen::broken(Problem::new(&work.descriptor.digest, "digest", e.to_string())))
        }
        other => other,
    }
}

/// A blob that is no layer: its digest is all that is said of it.
fn plain(blob: &dyn Blob, see: &dyn Observe) -> Result<Seen> {
    let mut counted = layer::Counted::new(blob.open()?, blob.descriptor(), see);
    counted.drain()?;
    Ok(Seen { bytes: counted.end(), ..Seen::default() })
}

/// Whether an error is about what was read, and not about reaching it.
fn is_content(e: &Error) -> bool {
    matches!(e.kind(), Kind::Integrity | Kind::Model)
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
