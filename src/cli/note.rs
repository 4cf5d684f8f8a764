//! Files that say what was done: digests, documents, results of a job.
//!
//! Invariant: a file is opened before anything is done, so that nothing is done that cannot be noted down,
//! and has its name only once it is whole.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::output;
use floe::Result;
use floe::error::At as _;

/// A file that will say what was done.
pub(crate) struct Note {
    path: PathBuf,
    /// `None` for what cannot be replaced: a pipe, a device, standard output.
    temp: Option<tempfile::NamedTempFile>,
}

impl Note {
    pub(crate) fn new(path: &Path) -> Result<Self> {
        let special = path == Path::new("-") || path.metadata().is_ok_and(|m| !m.is_file() && !m.is_dir());
        let temp = if special { None } else { Some(floe::fs::temp_beside(path)?) };
        Ok(Self { path: path.to_owned(), temp })
    }

    pub(crate) fn write(self, bytes: &[u8]) -> Result<()> {
        match self.temp {
            Some(mut temp) => {
                temp.write_all(bytes).at("write", &self.path)?;
                temp.persist(&self.path).map_err(|e| e.error).at("rename into place", &self.path)?;
                Ok(())
            }
            None if self.path == Path::new("-") => output::answer(&String::from_utf8_lossy(bytes)),
            None => std::fs::write(&self.path, bytes).at("write", &self.path),
        }
    }
}
