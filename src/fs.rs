//! What floe asks of the file system, with errors that name the path.
//!
//! Everything that depends on the platform lives here. A file is either written whole or not at
//! all: temporary files stand beside their target, carry [`TEMP_PREFIX`], and are renamed.

use std::ffi::OsStr;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::{At, Error, Kind, Result};
pub use crate::error::{show, show_bytes};

/// How the names of temporary files begin; a killed run may leave them, nothing refers to them.
pub const TEMP_PREFIX: &str = ".floe-tmp-";

/// A path from raw bytes, as file names are on Unix.
pub fn path_from_bytes(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Device number.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// Size in bytes.
    pub size: u64,
    /// Modification time in nanoseconds.
    pub mtime: i128,
    /// Change time in nanoseconds.
    pub ctime: i128,
}

impl Stamp {
    /// The stamp of a file's metadata.
    pub fn of(m: &std::fs::Metadata) -> Self {
        let nanos = |s: i64, n: i64| i128::from(s) * 1_000_000_000 + i128::from(n);
        Self {
            dev: m.dev(),
            ino: m.ino(),
            size: m.len(),
            mtime: nanos(m.mtime(), m.mtime_nsec()),
            ctime: nanos(m.ctime(), m.ctime_nsec()),
        }
    }
}

/// Opens a regular file for reading; a FIFO or device that has taken its place does not block.
pub fn open_regular(path: &Path) -> Result<File> {
    open_with_metadata(path).map(|(file, _)| file)
}

/// The same, with what the file was when it was opened.
pub fn open_with_metadata(path: &Path) -> Result<(File, Metadata)> {
    let flags = rustix::fs::OFlags::NONBLOCK.bits();
    let flags = i32::try_from(flags).unwrap_or(0);
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).at("open", path)?;
    let metadata = file.metadata().at("stat", path)?;
    if !metadata.is_file() {
        return Err(Error::new(Kind::Io, format!("`{}` is not a regular file", show(path))));
    }
    Ok((file, metadata))
}

/// Refuses a file that is a link out of `folder`: a model from elsewhere must not make us read, and
/// quote in a message, what lies beside it.
pub fn check_inside(file: &Path, folder: &Path) -> Result<()> {
    let real = std::fs::canonicalize(file).at("open", file)?;
    let top = std::fs::canonicalize(folder).at("open", folder)?;
    if real.starts_with(&top) {
        return Ok(());
    }
    Err(Error::new(Kind::Model, format!("`{}` is a link that leads out of `{}`", show(file), show(folder)))
        .hint("put the file itself there"))
}

/// Reads a whole file that should be small; more than `cap` bytes is an error.
pub fn read_capped(path: &Path, cap: u64) -> Result<Vec<u8>> {
    let file = open_regular(path)?;
    let mut bytes = Vec::new();
    file.take(cap + 1).read_to_end(&mut bytes).at("read", path)?;
    if bytes.len() as u64 > cap {
        return Err(Error::new(Kind::Model, format!("`{}` is larger than {cap} bytes", show(path))));
    }
    Ok(bytes)
}

/// A temporary file in the folder where its final name will be, with the mode that the umask gives.
pub fn temp_beside(target: &Path) -> Result<NamedTempFile> {
    let folder = parent(target);
    temp_in(folder)
}

/// A temporary file in a folder.
pub fn temp_in(folder: &Path) -> Result<NamedTempFile> {
    use std::os::unix::fs::PermissionsExt;
    // `tempfile` makes 0600 by default; what we leave behind is for others to read as the umask says.
    let mode = std::fs::Permissions::from_mode(0o666);
    tempfile::Builder::new()
        .prefix(TEMP_PREFIX)
        .permissions(mode)
        .tempfile_in(folder)
        .map_err(bare)
        .at("create a temporary file in", folder)
}

/// The error without the random name that `tempfile` adds to it.
fn bare(e: std::io::Error) -> std::io::Error {
    // Kinds that have no name yet would lose what went wrong.
    let named =
        !matches!(std::io::Error::from(e.kind()).to_string().as_str(), "other error" | "uncategorized error");
    if e.get_ref().is_some() && named { std::io::Error::from(e.kind()) } else { e }
}

/// Writes a small file whole: beside the target, then renamed over it.
pub fn write_atomic(path: &Path, bytes: &[u8], sync: bool) -> Result<()> {
    let mut temp = temp_beside(path)?;
    temp.write_all(bytes).at("write", path)?;
    if sync {
        temp.as_file().sync_all().at("sync", path)?;
    }
    temp.persist(path).map_err(|e| e.error).at("rename into place", path)?;
    Ok(())
}

/// Creates a folder and its parents.
pub fn create_dirs(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).at("create the folder", path)
}

/// Creates a folder and its parents; those that are new are for this user alone.
pub fn create_private_dirs(path: &Path) -> Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).at("create the folder", path)
}

/// Opens a file for reading and appending, creating it for this user alone where it is missing, and
/// locks it until it is closed; `None` while somebody else has it. A link is not followed.
pub fn open_own(path: &Path) -> Result<Option<File>> {
    let flags =
        i32::try_from((rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits()).unwrap_or(0);
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(flags)
        .open(path)
        .at("open", path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(std::fs::TryLockError::WouldBlock) => Ok(None),
        Err(std::fs::TryLockError::Error(e)) => Err(e).at("lock", path),
    }
}

/// The folder that holds a path, `.` for a bare name.
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    }
}

/// An exclusive lock on a file, freed when dropped or when the process dies.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held for its lock")] File);

impl Lock {
    /// Waits for the lock on `path`, creating the file where it is missing.
    pub fn exclusive(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path).at("open", path)?;
        file.lock().at("lock", path)?;
        Ok(Self(file))
    }
}

/// Whether a folder lies on a network file system, or on one that a program makes up (FUSE): there, times
/// and inode numbers need not tell whether a file changed. The numbers are those of `statfs(2)`.
pub fn is_remote(folder: &Path) -> bool {
    #[cfg(target_os = "linux")]
    {
        /// NFS, SMB, SMB2, CIFS, FUSE, Ceph, 9p, AFS, Coda, NCP, Lustre, GPFS, OCFS2, GFS2.
        const REMOTE: [u32; 14] = [
            0x6969,
            0x517b,
            0xfe53_4d42,
            0xff53_4d42,
            0x6573_5546,
            0x00c3_6400,
            0x0102_1997,
            0x5346_414f,
            0x7375_7245,
            0x564c,
            0x0bd0_0bd0,
            0x4750_4653,
            0x7461_636f,
            0x0116_1970,
        ];
        // Only the low half of the number is defined on every machine.
        let kind = rustix::fs::statfs(folder).map(|s| s.f_type as u32);
        !matches!(kind, Ok(kind) if !REMOTE.contains(&kind))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = folder;
        false
    }
}

/// Bytes that this user may still write to the file system of `path`, where it can be known.
pub fn free_space(path: &Path) -> Option<u64> {
    let s = rustix::fs::statvfs(path).ok()?;
    s.f_bavail.checked_mul(s.f_frsize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_atomic_write_leaves_no_temporary_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        write_atomic(&path, b"one", false).unwrap();
        write_atomic(&path, b"two", true).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_fifo_is_refused_and_does_not_block() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert!(open_regular(&path).unwrap_err().to_string().contains("not a regular file"));
    }
}
