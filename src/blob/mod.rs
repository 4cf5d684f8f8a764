//! Bytes with a name, and bytes that are about to get one.
//!
//! A [`Blob`] has a digest and can be opened again and again; a [`Recipe`] makes its bytes when it
//! is opened, always the same, and learns their digest only at the end of a [`Pass`]. A one-shot
//! stream is neither: retrying an upload and writing to two stores both need a second reading.

mod beside;
pub mod codec;
pub mod file;
pub mod hash;
pub mod tee;

use std::io::{self, Read};

use crate::error::{At, Result};
use crate::oci::{Descriptor, DiffId};

pub use file::File;
pub use hash::{Hashing, Verify};

/// How many bytes are moved at a time. Larger writes are no faster, and where memory is short the kernel looks for
/// larger pages for them than it has.
pub const CHUNK: usize = 256 << 10;

/// Content that can be read again from the start, giving the same bytes.
pub trait Blob: Send + Sync {
    /// Media type, digest and size.
    fn descriptor(&self) -> &Descriptor;

    /// Opens the content at its beginning. Reading it to the end verifies it: bytes that are not
    /// what the descriptor says end in an error, never in a silent end of file.
    fn open(&self) -> Result<Box<dyn Read + Send + '_>>;

    /// Opens the content at an offset, to resume an upload. What was skipped is verified too.
    fn open_at(&self, offset: u64) -> Result<Box<dyn Read + Send + '_>> {
        let mut reader = self.open()?;
        let what = format!("skip {offset} bytes of {}", self.descriptor().digest);
        let skipped = io::copy(&mut (&mut reader).take(offset), &mut io::sink()).doing(&what)?;
        if skipped < offset {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof)).doing(&what);
        }
        Ok(reader)
    }

    /// Where else on the same registry this blob is known to lie, for a cross-repository mount.
    fn origin(&self) -> Option<Origin> {
        None
    }
}

/// A repository that holds a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Host and port.
    pub registry: String,
    /// Repository.
    pub repository: String,
}

/// What a pass over a recipe found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// The stored bytes.
    pub descriptor: Descriptor,
    /// The uncompressed tar inside.
    pub diff_id: DiffId,
}

/// Content that is made while it is read, with a digest that is not known before the end.
pub trait Recipe: Send + Sync {
    /// What it is, for people.
    fn title(&self) -> String;

    /// Exact number of bytes that a pass gives, where that is known beforehand.
    fn size(&self) -> Option<u64>;

    /// Number of bytes that a pass reads from the model, for progress.
    fn work(&self) -> u64;

    /// Starts making the content.
    fn open(&self) -> Result<Box<dyn Pass + '_>>;
}

/// One reading of a [`Recipe`].
pub trait Pass: Read + Send {
    /// After the last byte was read: what the bytes were.
    ///
    /// # Errors
    ///
    /// When the end was not reached.
    fn finish(self: Box<Self>) -> Result<Packed>;
}

/// A blob in memory.
#[derive(Clone, Debug)]
pub struct Bytes {
    descriptor: Descriptor,
    bytes: Vec<u8>,
}

impl Bytes {
    /// A blob of these bytes.
    pub fn new(media_type: &str, bytes: Vec<u8>) -> Self {
        Self { descriptor: Descriptor::of(media_type, &bytes), bytes }
    }

    /// The content.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }
}

impl Blob for Bytes {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn open(&self) -> Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(self.bytes.as_slice()))
    }
}

/// Copies everything from a reader to a writer in large pieces, telling how far it is.
///
/// `each` is called with the number of bytes of every piece and may stop the copy.
pub fn copy(
    from: &mut dyn Read,
    to: &mut dyn io::Write,
    mut each: impl FnMut(usize) -> io::Result<()>,
) -> io::Result<u64> {
    let mut buffer = vec![0; CHUNK];
    let mut total = 0;
    loop {
        let n = match from.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        to.write_all(&buffer[..n])?;
        each(n)?;
        total += n as u64;
    }
}
