//! Files that stand where a model should be and are none: pointers, saved error pages, nothing.
//!
//! They are told for what they are, since "broken protobuf at byte 0" helps nobody. Only files whose
//! name says that a format expects a model there are looked at, and pickles that would run code,
//! whatever their name: who finds no model in one may still load it.

use crate::error::{Result, show_bytes};
use crate::model::format::{BUDGET, File, Finding, Folder, Format, Reading, Severity, ends_in};
use crate::model::pickle::{self, Limits};
use crate::model::zip::{self, Archive};

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
            found.extend(dangers(file)?);
            continue;
        }
        if let Some(format) = perhaps(file.name())
            && let Some(finding) = known(file.path(), file.size(), file.head()?)
        {
            found.push(Impostor { format, path: file.path().to_vec(), finding });
            continue;
        }
        let dangers = dangers(file)?;
        if !dangers.is_empty() {
            found.extend(dangers);
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

/// Where nothing is found: files that only stand for others, whatever their names, and the one file
/// that there is, if it is a page or nothing.
pub(super) fn alone(folder: &Folder<'_>) -> Result<Vec<Impostor>> {
    let only = folder.path().is_empty() && folder.files().len() == 1 && folder.folders().next().is_none();
    let mut found = Vec::new();
    for file in folder.files() {
        if let Some(what) = unread(folder, file)? {
            let path = show_bytes(file.path());
            let finding = Finding {
                severity: Severity::Error,
                code: "unread-serialization",
                place: path.clone(),
                message: format!("`{path}` is {what}; declare its contract in the definition"),
            };
            found.push(Impostor { format: "unknown", path: file.path().to_vec(), finding });
        }
        let Some(finding) = known(file.path(), file.size(), file.head()?) else { continue };
        // An empty file of any other name may be meant so.
        let told = finding.code != "empty-file" || file.name().starts_with(b"model");
        if only && told || finding.code == "lfs-pointer" {
            found.push(Impostor { format: "unknown", path: file.path().to_vec(), finding });
        }
    }
    Ok(found)
}

/// Models that are recognised and not read, of no format of [`super::FORMATS`].
fn unread(folder: &Folder<'_>, file: &File<'_>) -> Result<Option<&'static str>> {
    let head = file.head()?;
    if file.name() == b"bundle.json" && folder.folders().any(|f| f == b"root") {
        return Ok(Some("the description of an MLeap bundle, which floe does not read"));
    }
    if zip::begins(head) {
        let content = file.open()?;
        let bundle = Archive::open(&content).is_ok_and(|a| {
            a.find("bundle.json").is_some() && a.entries().iter().any(|e| e.name.starts_with("root/"))
        });
        return Ok(bundle.then_some("an MLeap bundle, which floe does not read"));
    }
    // joblib/numpy_pickle_compat.py: the prefix, and the length as text in hex.
    if head.starts_with(b"ZF0x") {
        return Ok(Some(
            "a file of joblib before 0.10, which floe does not read; save it again with a current one",
        ));
    }
    // llama.cpp before August 2023 (`ggml`, `ggmf`, `ggjt` as little-endian numbers).
    let old = [&b"lmgg"[..], b"fmgg", b"tjgg"].iter().any(|m| head.starts_with(m));
    Ok(old.then_some("a model of GGML in a format from before GGUF, which floe does not read; convert it"))
}

/// What a pickle would run, of any file that is one.
fn dangers(file: &File<'_>) -> Result<Vec<Impostor>> {
    if !file.pickle()?.is_some_and(pickle::Peek::is_dangerous) {
        return Ok(Vec::new());
    }
    let mut reading = Reading::default();
    let limits = Limits { bytes: BUDGET, ..Limits::default() };
    pickle::dangers(&file.open()?, &limits, &show_bytes(file.path()), &mut reading);
    let path = file.path();
    Ok(reading
        .findings
        .into_iter()
        .map(|finding| Impostor { format: "pickle", path: path.to_vec(), finding })
        .collect())
}

/// The format of models that are often named so, as are other things: only what is a pointer, a page
/// or nothing at all is told.
fn perhaps(name: &[u8]) -> Option<&'static str> {
    PERHAPS.iter().find(|(ending, _)| ends_in(name, &[ending])).map(|(_, format)| *format)
}

const PERHAPS: &[(&str, &str)] = &[
    ("config.json", "huggingface"),
    ("model_index.json", "huggingface"),
    ("model.safetensors.index.json", "huggingface"),
    ("pytorch_model.bin.index.json", "huggingface"),
    ("tokenizer.json", "huggingface"),
    ("tokenizer.model", "huggingface"),
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
