//! Blobs, recipes and images to store, honest ones and liars.

use std::io::{self, Read};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use floe::Result;
use floe::blob::{Blob, Bytes, Hashing, Packed, Pass, Recipe};
use floe::event::{Event, Observe, Quiet};
use floe::oci::{Descriptor, DiffId, Digest, json, media_type};
use floe::store::{Document, Repository, Sink, Source};
use serde_json::{Value, json};

/// A blob that promises one thing and gives another.
pub(crate) struct Liar {
    pub(crate) promised: Descriptor,
    pub(crate) given: Vec<u8>,
    pub(crate) breaks: bool,
}

impl Liar {
    pub(crate) fn new(promised: &[u8], given: &[u8]) -> Self {
        Self { promised: Descriptor::of(media_type::LAYER, promised), given: given.to_vec(), breaks: false }
    }
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("the line went dead"))
    }
}

impl Blob for Liar {
    fn descriptor(&self) -> &Descriptor {
        &self.promised
    }

    fn open(&self) -> Result<Box<dyn Read + Send + '_>> {
        let given = self.given.as_slice();
        Ok(if self.breaks { Box::new(given.chain(Broken)) } else { Box::new(given) })
    }
}

/// A recipe that gives these bytes.
pub(crate) struct Made {
    pub(crate) bytes: Vec<u8>,
    pub(crate) size_known: bool,
    pub(crate) breaks: bool,
}

impl Made {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self { bytes: bytes.to_vec(), size_known: true, breaks: false }
    }
}

impl Recipe for Made {
    fn title(&self) -> String {
        "weights".to_owned()
    }

    fn size(&self) -> Option<u64> {
        self.size_known.then_some(self.bytes.len() as u64)
    }

    fn work(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn open(&self) -> Result<Box<dyn Pass + '_>> {
        let bytes = self.bytes.as_slice();
        let inner: Box<dyn Read + Send + '_> =
            if self.breaks { Box::new(bytes.chain(Broken)) } else { Box::new(bytes) };
        Ok(Box::new(Making(Hashing::new(inner))))
    }
}

struct Making<'a>(Hashing<Box<dyn Read + Send + 'a>>);

impl Read for Making<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Pass for Making<'_> {
    fn finish(self: Box<Self>) -> Result<Packed> {
        let (digest, size, _) = self.0.finish();
        Ok(Packed { descriptor: Descriptor::new(media_type::LAYER, digest, size), diff_id: DiffId(digest) })
    }
}

/// Remembers events, and stops the work when told to.
#[derive(Default)]
pub(crate) struct Recorder {
    pub(crate) events: Mutex<Vec<Event>>,
    pub(crate) stop: AtomicBool,
}

impl Observe for Recorder {
    fn on(&self, event: Event) {
        self.events.lock().unwrap().push(event);
    }

    fn stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

impl Recorder {
    pub(crate) fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.events.lock().unwrap())
    }
}

/// Bytes that do not repeat soon.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..length.div_ceil(8)).flat_map(|_| next()).take(length).collect()
}

/// A layer with one file in it, as a tar.
pub(crate) fn layer(name: &str, content: &[u8]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(1);
    tar.append_data(&mut header, name, content).unwrap();
    tar.into_inner().unwrap()
}

/// An image: what has to be stored, in order.
pub(crate) struct Image {
    pub(crate) layers: Vec<Bytes>,
    pub(crate) config: Bytes,
    pub(crate) manifest: Document,
}

/// An image of one file for each content.
pub(crate) fn image(contents: &[&str]) -> Image {
    image_for("amd64", contents)
}

pub(crate) fn image_for(architecture: &str, contents: &[&str]) -> Image {
    let layers: Vec<Bytes> = contents
        .iter()
        .enumerate()
        .map(|(i, c)| Bytes::new(media_type::LAYER, layer(&format!("model/files/{i}.txt"), c.as_bytes())))
        .collect();
    let diff_ids: Vec<String> = layers.iter().map(|l| l.descriptor().digest.to_string()).collect();
    let config = json!({
        "architecture": architecture, "os": "linux", "created": "1970-01-01T00:00:01Z",
        "config": {"Labels": {"MODEL_NAME": "m"}}, "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let config = Bytes::new(media_type::CONFIG, json::canonical(&config));
    let listed: Vec<Value> = layers.iter().map(|l| l.descriptor().to_value()).collect();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type::MANIFEST,
        "config": config.descriptor().to_value(), "layers": listed,
    });
    let manifest = Document::new(media_type::MANIFEST, json::canonical(&manifest));
    Image { layers, config, manifest }
}

/// An index over several images.
pub(crate) fn index(images: &[&Image]) -> Document {
    let listed: Vec<Value> = images.iter().map(|i| i.manifest.descriptor.to_value()).collect();
    let value = json!({"schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": listed});
    Document::new(media_type::INDEX, json::canonical(&value))
}

impl Image {
    /// Stores everything, the manifest last.
    pub(crate) fn store(&self, to: &dyn Sink) {
        for layer in &self.layers {
            to.put(layer, &Quiet).unwrap();
        }
        to.put(&self.config, &Quiet).unwrap();
        to.put_document(&self.manifest).unwrap();
    }

    /// The version tag that this image would have as number N.
    pub(crate) fn version(&self, n: u32) -> String {
        format!("v{n}-{}", self.manifest.descriptor.digest.short())
    }

    /// The image must come back from a source, whole.
    pub(crate) fn is_in(&self, from: &dyn Source, name: &str) {
        let found = from.resolve(name).unwrap().unwrap();
        assert_eq!(found, self.manifest.descriptor);
        assert_eq!(from.document(&found).unwrap(), self.manifest);
        for blob in self.layers.iter().chain([&self.config]) {
            assert_eq!(read(from, blob.descriptor()).unwrap(), blob.as_slice());
        }
    }
}

/// Reads a blob to its end.
pub(crate) fn read(from: &dyn Source, descriptor: &Descriptor) -> Result<Vec<u8>> {
    use floe::error::At;
    let mut out = Vec::new();
    let blob = from.blob(descriptor)?;
    assert_eq!(blob.descriptor(), descriptor);
    blob.open()?.read_to_end(&mut out).doing("read the blob")?;
    Ok(out)
}

/// A stored document for a name to point to; different for each text.
pub(crate) fn document(store: &dyn Repository, text: &str) -> Document {
    let image = image(&[text]);
    image.store(store);
    image.manifest
}

/// A digest of nothing that is stored.
pub(crate) fn nowhere() -> Descriptor {
    Descriptor::new(media_type::MANIFEST, Digest::of(b"nowhere"), 7)
}
