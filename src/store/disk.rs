//! What stores on disk share: how they write, room for what comes, and the sweeping up after killed
//! runs.

use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::error::{At, Error, Kind, Result, show};
use crate::fs;

/// How a store on disk is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Waits until what was written has reached the disk, so that it survives a loss of power.
    /// Without it a store survives a killed process.
    pub sync: bool,
}

/// A temporary file that has not been written to for so long belongs to nobody any more.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);

/// Fails when the file system of a folder has not that many bytes left.
pub(crate) fn room(folder: &Path, size: u64) -> Result<()> {
    enough(fs::free_space(folder), size, folder)
}

fn enough(free: Option<u64>, size: u64, folder: &Path) -> Result<()> {
    match free {
        Some(free) if free < size => Err(Error::new(
            Kind::Io,
            format!("cannot write {} into `{}`: only {} are free", human(size), show(folder), human(free)),
        )
        .hint("free some space, or choose another folder for the output")),
        _ => Ok(()),
    }
}

/// A size for people, in powers of 1024.
fn human(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit),
        None => format!("{bytes} bytes"),
    }
}

/// Removes what killed runs left in a folder; what cannot be removed stays.
pub(crate) fn sweep(folder: &Path) {
    let Ok(items) = std::fs::read_dir(folder) else { return };
    for item in items.flatten() {
        let ours = item.file_name().as_encoded_bytes().starts_with(fs::TEMP_PREFIX.as_bytes());
        let Ok(meta) = item.path().symlink_metadata() else { continue };
        let age = meta.modified().ok().and_then(|t| SystemTime::now().duration_since(t).ok());
        if ours && meta.is_file() && age.is_some_and(|a| a > STALE) {
            // Another process may be sweeping too.
            let _ = std::fs::remove_file(item.path());
        }
    }
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    std::fs::File::open(folder).and_then(|f| f.sync_all()).at("sync", folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c15_too_little_room_is_told_with_sizes() {
        let e = enough(Some(3 << 19), 5 << 30, Path::new("/x")).unwrap_err();
        assert_eq!(e.kind(), Kind::Io);
        assert_eq!(e.message(), "cannot write 5.0 GiB into `/x`: only 1.5 MiB are free");
        assert!(enough(Some(5), 5, Path::new("/x")).is_ok());
        assert!(enough(None, u64::MAX, Path::new("/x")).is_ok());
        assert!(room(Path::new("/"), u64::MAX).is_err());
    }

    #[test]
    fn only_old_temporary_files_are_swept() {
        let dir = tempfile::tempdir().unwrap();
        let old = SystemTime::now() - STALE - Duration::from_secs(60);
        for (name, old_one) in [(".floe-tmp-a", true), (".floe-tmp-b", false), ("foreign", true)] {
            let f = std::fs::File::create(dir.path().join(name)).unwrap();
            if old_one {
                f.set_modified(old).unwrap();
            }
        }
        sweep(dir.path());
        let mut left: Vec<_> =
            std::fs::read_dir(dir.path()).unwrap().map(|i| i.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".floe-tmp-b", "foreign"]);
    }
}
