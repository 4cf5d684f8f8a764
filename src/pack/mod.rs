//! Plan and tree become bytes: the single pass.
//!
//! A [`Layer`] is a recipe: every opening reads the files again, writes their headers, compresses
//! and hashes on the way, and keeps nothing. It is not a file on disk; nothing is staged.
//!
//! Invariants: the bytes follow from plan and content alone; a file that is not the one of the
//! snapshot, before or after it was read, ends the pass with an error that names it.

pub mod cache;
pub mod choose;
mod elf;
pub mod program;
pub mod rootfs;
mod stream;

use std::io::{self, Read};
use std::sync::Arc;

use crate::blob::codec::{Codec, Encoder, Pool};
use crate::blob::{Blob, Hashing, Packed, Pass, Recipe};
use crate::error::{At, Error, Kind, Result};
use crate::event::Observe;
use crate::model::Tree;
use crate::oci::{Descriptor, DiffId};
use crate::plan::{LayerPlan, Owner};

use stream::TarStream;

/// A layer that is made whenever it is opened.
pub struct Layer<'a> {
    plan: &'a LayerPlan,
    tree: &'a Tree,
    owner: Owner,
    codec: Codec,
    threads: usize,
    pool: Arc<Pool>,
}

impl<'a> Layer<'a> {
    /// The recipe for a layer of the plan. Samples its content where the plan leaves the codec open.
    pub fn new(plan: &'a LayerPlan, tree: &'a Tree, owner: Owner, threads: usize) -> Result<Self> {
        let codec = match plan.compression.fixed() {
            Some(codec) => codec,
            None => choose::codec(plan, tree)?,
        };
        Ok(Self::with_codec(plan, tree, owner, threads, codec))
    }

    /// The recipe for a layer whose codec was found out before.
    pub fn with_codec(
        plan: &'a LayerPlan,
        tree: &'a Tree,
        owner: Owner,
        threads: usize,
        codec: Codec,
    ) -> Self {
        Self { plan, tree, owner, codec, threads, pool: Pool::new(threads) }
    }

    /// Compresses on threads that others use too.
    #[must_use]
    pub fn sharing(mut self, pool: &Arc<Pool>) -> Self {
        self.pool = Arc::clone(pool);
        self
    }

    /// How the layer is stored.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// What the layer is called in the image's history.
    pub fn recorded(&self) -> String {
        self.plan.title()
    }

    /// What the layer is for.
    pub fn role(&self) -> &str {
        &self.plan.role
    }
}

impl Recipe for Layer<'_> {
    fn title(&self) -> String {
        self.plan.shown()
    }

    fn size(&self) -> Option<u64> {
        (self.codec == Codec::None).then(|| stream::tar_size(self.plan, self.owner))
    }

    fn work(&self) -> u64 {
        self.plan.size()
    }

    fn open(&self) -> Result<Box<dyn Pass + '_>> {
        let tar = TarStream::new(self.plan, self.tree, self.owner);
        Ok(match self.codec {
            // One hash: the stored bytes are the tar.
            Codec::None if self.threads > 1 => Box::new(Plain(Hashing::beside(tar))),
            Codec::None => Box::new(Plain(Hashing::new(tar))),
            codec => {
                // Two threads have enough to do with compressing.
                let tar = if self.threads > 2 { Hashing::beside(tar) } else { Hashing::new(tar) };
                let stored = Hashing::new(codec.encode(tar, self.threads, &self.pool)?);
                Box::new(Compressed { codec, stored })
            }
        })
    }
}

struct Plain<'a>(Hashing<TarStream<'a>>);

impl Read for Plain<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Pass for Plain<'_> {
    fn finish(self: Box<Self>) -> Result<Packed> {
        let (digest, size, tar) = self.0.finish();
        tar.check_ended()?;
        let descriptor = Descriptor::new(Codec::None.media_type(), digest, size);
        Ok(Packed { descriptor, diff_id: DiffId(digest) })
    }
}

struct Compressed<'a> {
    codec: Codec,
    stored: Hashing<Encoder<Hashing<TarStream<'a>>>>,
}

impl Read for Compressed<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.stored.read(buf)
    }
}

impl Pass for Compressed<'_> {
    fn finish(self: Box<Self>) -> Result<Packed> {
        let (digest, size, encoder) = self.stored.finish();
        let (diff_id, _, tar) = encoder.into_inner().finish();
        tar.check_ended()?;
        let descriptor = Descriptor::new(self.codec.media_type(), digest, size);
        Ok(Packed { descriptor, diff_id: DiffId(diff_id) })
    }
}

/// Reads a recipe once to learn its digests, and keeps no byte.
pub fn hash(recipe: &dyn Recipe, see: &dyn Observe) -> Result<Packed> {
    let mut pass = recipe.open()?;
    let what = format!("read {}", recipe.title());
    crate::blob::copy(&mut pass, &mut io::sink(), |_| crate::event::checkpoint(see).map_err(Error::into_io))
        .doing(what)?;
    pass.finish()
}

/// A recipe whose digest is known: the same bytes, verified while they are made.
pub struct Known<'a> {
    recipe: &'a dyn Recipe,
    packed: Packed,
}

impl<'a> Known<'a> {
    /// A recipe and what an earlier pass found out about it.
    pub fn new(recipe: &'a dyn Recipe, packed: Packed) -> Self {
        Self { recipe, packed }
    }
}

impl Blob for Known<'_> {
    fn descriptor(&self) -> &Descriptor {
        &self.packed.descriptor
    }

    /// The pass hashes what it makes, and its word is taken: the bytes are hashed once.
    fn open(&self) -> Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(Again { pass: Some(self.recipe.open()?), known: self, bytes: 0, right: false }))
    }
}

/// A pass that has to give what an earlier one gave. It never hands out more than that, and reports the
/// end of the content only after the digests were compared.
struct Again<'a> {
    /// None after the end.
    pass: Option<Box<dyn Pass + 'a>>,
    known: &'a Known<'a>,
    bytes: u64,
    /// Whether the digests were compared and are the same.
    right: bool,
}

impl Again<'_> {
    fn fail(&self, found: &str) -> io::Error {
        let Descriptor { digest, size, .. } = self.known.descriptor();
        let title = self.known.recipe.title();
        Error::new(
            Kind::Integrity,
            format!(
                "{title} changed since it was hashed: expected {digest} with {size} bytes, found {found}"
            ),
        )
        .hint("build again when nothing writes to the model directory")
        .into_io()
    }
}

impl Read for Again<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let Some(mut pass) = self.pass.take() else {
            return if self.right { Ok(0) } else { Err(self.fail("something else")) };
        };
        let left = self.known.packed.descriptor.size - self.bytes;
        if left == 0 {
            match pass.read(&mut [0]) {
                Ok(0) => {}
                Ok(_) => return Err(self.fail("more bytes than that")),
                // Tried again by the caller, where it was an interruption.
                Err(e) => {
                    self.pass = Some(pass);
                    return Err(e);
                }
            }
            let packed = pass.finish().map_err(Error::into_io)?;
            self.right = packed == self.known.packed;
            return if self.right { Ok(0) } else { Err(self.fail(&packed.descriptor.digest.to_string())) };
        }
        let room = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        let n = pass.read(&mut buf[..room]);
        if matches!(n, Ok(0)) {
            return Err(self.fail(&format!("only {} bytes", self.bytes)));
        }
        self.pass = Some(pass);
        let n = n?;
        self.bytes += n as u64;
        Ok(n)
    }
}

/// The error of a pass that was finished too early.
fn early() -> Error {
    Error::new(Kind::Bug, "a layer was finished before its last byte was read")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tree::Selected;
    use crate::plan::split::{self, Material};
    use crate::plan::{Compression, ImagePath};
    use std::path::Path;

    fn planned(dir: &Path, compression: Compression) -> (Tree, Vec<LayerPlan>) {
        let all = [Selected { source: dir.to_owned(), dest: Vec::new() }];
        let tree = Tree::scan(&all, &|_, _| false, false).unwrap();
        let folder = ImagePath::new("model/files").unwrap();
        let material = Material {
            tree: &tree,
            role: &|_| "weights",
            folder,
            contract: Vec::new(),
            compression,
            base_layers: 0,
        };
        let layers = split::layers(&material).unwrap();
        (tree, layers)
    }

    fn read(recipe: &dyn Recipe) -> Vec<u8> {
        let mut out = Vec::new();
        let mut pass = recipe.open().unwrap();
        pass.read_to_end(&mut out).unwrap();
        let packed = pass.finish().unwrap();
        assert_eq!(packed.descriptor, Descriptor::of(packed.descriptor.media_type.as_str(), &out));
        assert!(recipe.size().is_none_or(|s| s == out.len() as u64));
        out
    }

    /// Nine gibibytes of hole: nothing but the beginning is read.
    #[test]
    fn a_file_over_eight_gibibytes_has_its_true_size_in_the_tar() {
        const SIZE: u64 = 9 << 30;
        let dir = tempfile::tempdir().unwrap();
        std::fs::File::create(dir.path().join("huge.bin")).unwrap().set_len(SIZE).unwrap();
        let (tree, layers) = planned(dir.path(), Compression::None);
        let layer = Layer::new(&layers[0], &tree, Owner::default(), 1).unwrap();
        // Two folders, a PAX header with its record, the header, the content, the end.
        assert_eq!(layer.size(), Some(512 * (2 + 2 + 1) + SIZE + 1024));
        let mut head = vec![0; 8192];
        layer.open().unwrap().read_exact(&mut head).unwrap();
        let mut archive = ::tar::Archive::new(&head[..]);
        let last = archive.entries().unwrap().take(3).last().unwrap().unwrap();
        assert_eq!((last.path_bytes().as_ref(), last.size()), (&b"model/files/huge.bin"[..], SIZE));
    }

    #[test]
    fn a_hole_is_as_many_zeros() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::File::create(one.path().join("x")).unwrap().set_len(100_000).unwrap();
        std::fs::write(two.path().join("x"), vec![0; 100_000]).unwrap();
        let bytes = [&one, &two].map(|d| {
            let (tree, layers) = planned(d.path(), Compression::None);
            read(&Layer::new(&layers[0], &tree, Owner::default(), 1).unwrap())
        });
        assert!(bytes[0] == bytes[1]);
    }

    #[test]
    fn a_file_that_changes_while_it_is_packed_is_named() {
        for codec in [Compression::None, Compression::Gzip, Compression::Zstd] {
            for shrink in [true, false] {
                let dir = tempfile::tempdir().unwrap();
                let file = dir.path().join("w.bin");
                // More than any codec reads ahead.
                std::fs::write(&file, vec![1; 48 << 20]).unwrap();
                let (tree, layers) = planned(dir.path(), codec);
                let layer = Layer::new(&layers[0], &tree, Owner::default(), 1).unwrap();
                let mut pass = layer.open().unwrap();
                pass.read_exact(&mut [0; 4]).unwrap();
                if shrink {
                    std::fs::File::options().write(true).open(&file).unwrap().set_len(100).unwrap();
                } else {
                    std::fs::write(&file, vec![2; 48 << 20]).unwrap();
                }
                let e = pass.read_to_end(&mut Vec::new()).doing("read").unwrap_err();
                assert!(e.to_string().contains("w.bin` changed while it was being packed"), "{codec:?}: {e}");
                assert!(pass.finish().is_err());
            }
        }
    }

    #[test]
    fn a_layer_that_is_known_is_verified_while_it_is_made() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), "a").unwrap();
        let (tree, layers) = planned(dir.path(), Compression::None);
        let layer = Layer::new(&layers[0], &tree, Owner::default(), 1).unwrap();
        let mut packed = hash(&layer, &crate::event::Quiet).unwrap();
        io::copy(&mut Known::new(&layer, packed.clone()).open().unwrap(), &mut io::sink()).unwrap();
        let right = packed.clone();
        packed.descriptor.digest = crate::oci::Digest::of(b"other");
        let shorter = Packed {
            descriptor: Descriptor { size: right.descriptor.size - 1, ..right.descriptor.clone() },
            ..right
        };
        let longer = Packed {
            descriptor: Descriptor { size: right.descriptor.size + 1, ..right.descriptor.clone() },
            ..right
        };
        for wrong in [packed, shorter, longer] {
            let known = Known::new(&layer, wrong);
            let mut reader = known.open().unwrap();
            for _ in 0..2 {
                let e = io::copy(&mut reader, &mut io::sink()).doing("read").unwrap_err();
                assert_eq!(e.kind(), Kind::Integrity, "an error is repeated");
            }
        }
    }
}
