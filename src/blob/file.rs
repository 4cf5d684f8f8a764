//! A blob that is a file on this machine.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{Blob, CHUNK, Hashing, Verify};
use crate::error::{At, Result, show};
use crate::fs;
use crate::oci::Descriptor;

/// A file, hashed once; a file that changes after that is an error of whoever reads it.
#[derive(Clone, Debug)]
pub struct File {
    descriptor: Descriptor,
    path: PathBuf,
}

impl File {
    /// Hashes a file.
    ///
    /// # Errors
    ///
    /// [`crate::Kind::Io`] for what cannot be read, or is no regular file.
    pub fn hash(path: &Path, media_type: &str) -> Result<Self> {
        let mut reader = Hashing::new(fs::open_regular(path)?);
        let mut buffer = vec![0; CHUNK];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => break,
                Err(e) if e.kind() != io::ErrorKind::Interrupted => return Err(e).at("read", path),
                _ => {}
            }
        }
        let (digest, size, _) = reader.finish();
        Ok(Self { descriptor: Descriptor::new(media_type, digest, size), path: path.to_owned() })
    }

    /// The same, with an annotation of its descriptor.
    #[must_use]
    pub fn with_annotation(mut self, key: &str, value: impl Into<String>) -> Self {
        self.descriptor.annotations.insert(key.to_owned(), value.into());
        self
    }
}

impl Blob for File {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn open(&self) -> Result<Box<dyn Read + Send + '_>> {
        let file = fs::open_regular(&self.path)?;
        Ok(Box::new(Verify::new(file, &self.descriptor, format!("`{}`", show(&self.path)))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changes_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, "one").unwrap();
        let blob = File::hash(&path, "text/plain").unwrap().with_annotation("k", "v");
        assert_eq!(blob.descriptor().size, 3);
        let mut text = String::new();
        blob.open().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "one");
        std::fs::write(&path, "two").unwrap();
        assert!(blob.open().unwrap().read_to_string(&mut text).is_err());
        assert!(File::hash(dir.path(), "x").is_err());
    }
}
