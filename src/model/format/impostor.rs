//! Files that stand where a model should be and are none: pointers, saved error pages, nothing.
//!
//! They are told for what they are, since "broken protobuf at byte 0" helps nobody. Only files whose
//! name says that a format expects a model there are looked at.

use crate::error::{Result, show_bytes};
use crate::model::format::{File, Finding, Folder, Format, Severity, ends_in};

/// How a Git LFS pointer begins (github.com/git-lfs/git-lfs, docs/spec.md).
const LFS: &[u8] = b"version https://git-lfs.github.com/spec/";
/// Pointers are smaller than this, says their specification.
pub(super) const MAX_POINTER: u64 = 1024;

/// What stands in a model's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Impostor {
    /// The name of the format that would have been expected.
    pub format: &'static str,
    /// Its path in the tree.
    pub path: Vec<u8>,
    /// What it is.
    pub finding: Finding,
}

/// What a file is instead of a model, where its beginning tells.
pub(super) fn known(path: &[u8], size: u64, head: &[u8]) -> Option<Finding> {
    let path = show_bytes(path);
    let find =
        |code, message| Some(Finding { severity: Severity::Error, code, place: path.clone(), message });
    if size == 0 {
        return find("empty-file", format!("`{path}` is empty"));
    }
    if head.starts_with(LFS) {
        return find(
            "lfs-pointer",
            format!("`{path}` is a Git LFS pointer and not the file itself; run `git lfs pull`"),
        );
    }
    let text = head.trim_ascii_start().to_ascii_lowercase();
    if [&b"<!doctype"[..], b"<html", b"<?xml"].iter().any(|p| text.starts_with(p)) {
        return find(
            "web-page",
            format!(
                "`{path}` is a web page, as a download saves it that failed or needs a login; download it again"
            ),
        );
    }
    None
}

/// The files of a folder that a format expects to be models, and that are none.
pub(super) fn all(folder: &Folder<'_>, formats: &[&dyn Format]) -> Result<Vec<Impostor>> {
    let mut found = Vec::new();
    for file in folder.files() {
        if let Some(format) = formats.iter().find(|f| f.expects(file.name())) {
            let finding = match known(file.path(), file.size(), file.head()?) {
                Some(finding) => finding,
                None => unrecognised(file, format.name())?,
            };
            found.push(Impostor { format: format.name(), path: file.path().to_vec(), finding });
            continue;
        }
        if let Some(format) = perhaps(file.name()) {
            if let Some(finding) = known(file.path(), file.size(), file.head()?) {
                found.push(Impostor { format, path: file.path().to_vec(), finding });
            }
            continue;
        }
        let Some(original) = file.name().strip_suffix(b".dvc") else { continue };
        let Some(format) = formats.iter().find(|f| f.expects(original)) else { continue };
        let lists = file.head()?.windows(5).any(|w| w == b"outs:");
        if lists && folder.file(original).is_none() {
            let finding = Finding {
                severity: Severity::Error,
                code: "dvc-pointer",
                place: show_bytes(file.path()),
                message: format!(
                    "`{}` is a DVC file, and what it stands for is not here; run `dvc pull`",
                    show_bytes(file.path())
                ),
            };
            found.push(Impostor { format: format.name(), path: file.path().to_vec(), finding });
        }
    }
    Ok(found)
}

/// The format of models that are often named so, as are other things: only what is a pointer, a page
/// or nothing at all is told.
fn perhaps(name: &[u8]) -> Option<&'static str> {
    PERHAPS.iter().find(|(ending, _)| ends_in(name, &[ending])).map(|(_, format)| *format)
}

const PERHAPS: &[(&str, &str)] = &[
    (".pkl", "sklearn"),
    (".pickle", "sklearn"),
    (".joblib", "sklearn"),
    (".pt", "pytorch"),
    (".pth", "pytorch"),
    (".bin", "pytorch"),
    (".ckpt", "pytorch"),
    (".h5", "keras"),
    (".bst", "xgboost"),
    (".params", "mxnet"),
];

fn unrecognised(file: &File<'_>, format: &str) -> Result<Finding> {
    let head = file.head()?;
    let what = MAGIC.iter().find(|(magic, _)| head.starts_with(magic)).map_or_else(
        || format!("begins with `{}`", show_bytes(&head[..head.len().min(16)])),
        |(_, n)| format!("is {n}"),
    );
    Ok(Finding {
        severity: Severity::Error,
        code: "not-a-model",
        place: show_bytes(file.path()),
        message: format!("`{}` is named like a model of {format}, but {what}", show_bytes(file.path())),
    })
}

/// How files begin that are often met under a wrong name.
const MAGIC: &[(&[u8], &str)] = &[
    (b"PK\x03\x04", "a zip archive"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\x1f\x8b", "compressed with gzip"),
    (b"BZh", "compressed with bzip2"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
    (b"\xfd7zXZ\0", "compressed with xz"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"GGUF", "a GGUF file"),
    (b"\x93NUMPY", "a numpy array"),
    (b"\x80\x02", "a pickle"),
    (b"\x80\x03", "a pickle"),
    (b"\x80\x04", "a pickle"),
    (b"\x80\x05", "a pickle"),
    (b"\x7fELF", "a program"),
    (b"%PDF", "a PDF document"),
    (b"{", "text that begins like JSON"),
];
