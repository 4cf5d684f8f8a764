//! The files beside a model in which weights lie, checked before any engine opens one.
//!
//! Their names come from whoever made the model and have led outside of it before
//! (CVE-2022-25882, CVE-2024-27318, CVE-2024-5187): a name must be a relative path without `..`, and
//! what it leads to, through links too, a regular file inside the model's folder.
//!
//! Invariant: each piece that the model names lies within its file, so that nobody maps or allocates
//! what is not there.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::claims::Piece;
use crate::error::{At, Error, Kind, Result, show_bytes};
use crate::model::format::onnx::external::inside;

/// The files of a model that were checked, by the name that the model gives them.
pub(super) type Files = BTreeMap<String, PathBuf>;

/// Checks all pieces of a model's weights.
///
/// # Errors
///
/// [`Kind::Model`] where a name leads outside, to no file, or beyond a file's end.
pub(super) fn check(model: &Path, pieces: &[Piece]) -> Result<Files> {
    let mut files = Files::new();
    if pieces.is_empty() {
        return Ok(files);
    }
    let folder = folder(model)?;
    let mut sizes = BTreeMap::new();
    for piece in pieces {
        let shown = show_bytes(piece.location.as_bytes());
        if !files.contains_key(&piece.location) {
            let (path, size) = resolve(&folder, &piece.location)?;
            files.insert(piece.location.clone(), path);
            sizes.insert(piece.location.as_str(), size);
        }
        let have = sizes.get(piece.location.as_str()).copied().unwrap_or(0);
        if let Some(length) = piece.length
            && piece.size != 0
            && length != piece.size
        {
            return Err(Error::new(
                Kind::Model,
                format!("a weight of {} bytes is said to have {length} bytes in `{shown}`", piece.size),
            ));
        }
        let end = piece.offset.checked_add(piece.length.unwrap_or(0).max(piece.size));
        if end.is_none_or(|end| end > have) {
            let to = end.map_or("beyond any file".to_owned(), |end| format!("up to byte {end}"));
            return Err(Error::new(
                Kind::Model,
                format!("a weight lies in `{shown}` {to}, the file has {have} bytes"),
            ));
        }
    }
    Ok(files)
}

/// The folder of a model, with all links followed.
pub(super) fn folder(model: &Path) -> Result<PathBuf> {
    let parent = model.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    parent.canonicalize().at("look at", parent)
}

/// Follows a name to its file; returns that and its size.
fn resolve(folder: &Path, location: &str) -> Result<(PathBuf, u64)> {
    let shown = show_bytes(location.as_bytes());
    let outside = || {
        let text = format!("a weight is said to lie in `{shown}`, which is not a path inside the model");
        Error::new(Kind::Model, text)
            .hint("copy the file into the model's folder, without links that leave it")
    };
    let relative = inside(b"", location).ok_or_else(outside)?;
    let path = folder.join(OsStr::from_bytes(&relative));
    let missing = |e: std::io::Error| {
        let text = format!("a weight lies in `{shown}`, which is not beside the model");
        Error::new(Kind::Model, text).because(e)
    };
    let real = path.canonicalize().map_err(missing)?;
    if !real.starts_with(folder) {
        return Err(outside());
    }
    let meta = std::fs::metadata(&real).map_err(missing)?;
    if !meta.is_file() {
        return Err(Error::new(Kind::Model, format!("a weight lies in `{shown}`, which is not a file")));
    }
    Ok((real, meta.len()))
}
