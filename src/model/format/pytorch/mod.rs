//! PyTorch: state dicts, checkpoints and whole modules of `torch.save`, TorchScript, and the programs
//! of `torch.export`.
//!
//! Only the last two say what goes in and out. A state dict is a table of tensors and no more; a
//! pickled module has its layers, and what a chain of PyTorch's own layers computes is known. A
//! Learner of fastai is a file of the same kind and belongs to that format. What is packed in another
//! way (ExecuTorch, `torch.package`, TorchServe) is named and not read.
//!
//! Invariants: pickles are read as inert trees; storages are never read.

mod code;
pub(crate) mod container;
mod export;
pub(crate) mod legacy;
pub(crate) mod modules;
mod save;
mod script;
pub(crate) mod sequence;
mod slim;
pub(crate) mod tensors;

#[cfg(test)]
mod tests;

use crate::error::{Error, Kind, Result, show_bytes};
use crate::model::format::{
    Candidate, File, Folder, Format, Reading, Role, Severity, Weight, ends_in, fastai,
};
use crate::model::pb::Source;
use crate::model::pickle::{self, Allow, Limits};
use crate::model::tree::Tree;
use crate::model::zip::{self, Archive};

pub(crate) use save::{data, limit, module};

/// The most bytes of JSON of an exported program.
const MAX_PROGRAM: u64 = 32 << 20;
/// The most pickles beside `data.pkl` that are looked into, and the longest.
const MAX_OTHERS: usize = 32;
const MAX_OTHER: u64 = 1 << 20;
/// The most programs of one archive.
const MAX_PROGRAMS: usize = 64;

/// The format of PyTorch.
#[derive(Clone, Copy, Debug)]
pub struct PyTorch;

impl Format for PyTorch {
    fn name(&self) -> &'static str {
        "pytorch"
    }

    fn detect(&self, folder: &Folder<'_>) -> Result<Vec<Candidate>> {
        let mut found = Vec::new();
        for file in folder.files() {
            let Some((variant, what)) = recognise(file)? else { continue };
            found.push(Candidate::in_file("pytorch", variant, file, what));
        }
        Ok(found)
    }

    fn read(&self, tree: &Tree, candidate: &Candidate, budget: u64) -> Result<Reading> {
        let mut reading = Reading::default();
        let unread = UNREAD.iter().find(|(variant, ..)| *variant == candidate.variant);
        if let Some((variant, framework, what)) = unread {
            reading.framework = Some((*framework).to_owned());
            reading.fact("serialization", *variant);
            reading.find(
                Severity::Warning,
                "unread-serialization",
                "",
                format!(
                    "`{}` is {what}; declare its contract in the definition",
                    show_bytes(&candidate.file)
                ),
            );
            return Ok(reading);
        }
        let content = tree.open(&candidate.file)?;
        if matches!(candidate.variant, "legacy" | "pickle") {
            read_saved(&content, &show_bytes(&candidate.file), budget, &mut reading)?;
            return Ok(reading);
        }
        let archive = Archive::open(&content)?;
        let Some((kind, root)) = container::kind(&archive) else {
            return Err(Error::new(
                Kind::Model,
                "the zip archive has none of the entries that PyTorch writes",
            ));
        };
        match kind {
            container::Kind::Save => {
                read_saved(&content, &show_bytes(&candidate.file), budget, &mut reading)?;
                version(&archive, &root, &mut reading);
            }
            container::Kind::Script => {
                let source = data(&archive, &root, budget)?;
                let limits = Limits { bytes: budget, ..Limits::default() };
                let stored = pickle::open(source.as_ref(), &limits)?;
                // Without a `constants.pkl`, `torch.load` takes the archive for one of `torch.save`.
                stored.verdict(&Allow::TORCH, &show_bytes(&candidate.file), &mut reading);
                others(&archive, &root, &mut reading);
                save::limit(&stored.read, &mut reading);
                version(&archive, &root, &mut reading);
                stored.pickle().ask(&mut reading, |r| script::read(&archive, &root, stored.pickle(), r))?;
            }
            container::Kind::Export | container::Kind::OldExport => {
                exported(&archive, &root, budget, &mut reading)?;
            }
            container::Kind::OldScript | container::Kind::Package | container::Kind::Serve => {
                return Err(Error::new(Kind::Model, "the archive changed while it was read"));
            }
        }
        Ok(reading)
    }

    fn expects(&self, name: &[u8]) -> bool {
        ends_in(name, &[".pt", ".pth", ".pt2", ".ptl", ".pte"])
    }

    fn role(&self, path: &[u8]) -> Option<Role> {
        (self.expects(path) || ends_in(path, &[".mar"])).then_some(Role::Weights)
    }
}

/// What is recognised and not read: variant, framework, description.
const UNREAD: &[(&str, &str, &str)] = &[
    (
        "tar",
        "pytorch",
        "a tar of PyTorch before 0.1.10, which floe does not read; save it again with a current one",
    ),
    ("executorch", "executorch", "a program for ExecuTorch, which floe does not read"),
    ("mobile", "torchscript", "a TorchScript program as a flatbuffer, which floe does not read"),
    (
        "torchscript-json",
        "torchscript",
        "a TorchScript program of PyTorch 1.0 to 1.3, which floe does not read; save it again with a current one",
    ),
    (
        "torch-package",
        "torch.package",
        "a package of `torch.package`, whose code would have to run to know more",
    ),
    (
        "torchserve",
        "torchserve",
        "an archive of TorchServe with a model inside; unpack it and pack what is in it",
    ),
];

/// The weights that a file of `torch.save` lists, whatever else is in it: for formats whose folders
/// hold such files (`pytorch_model.bin`).
///
/// # Errors
///
/// When the file is none of PyTorch's, or is broken.
pub fn tensors_of(source: &dyn Source) -> Result<Vec<Weight>> {
    let mut reading = Reading::default();
    read_saved(source, "", super::BUDGET, &mut reading)?;
    Ok(reading.tensors)
}

/// Reads a file of `torch.save` of either container: weights, facts, and findings at `place`.
///
/// # Errors
///
/// When the file is none of PyTorch's, or is broken.
pub fn read_saved(source: &dyn Source, place: &str, budget: u64, reading: &mut Reading) -> Result<()> {
    let limits = Limits { bytes: budget, ..Limits::default() };
    let mut head = [0; 64];
    let n = source.read_at(0, &mut head)?;
    if legacy::begins(&head[..n]) {
        let read = legacy::object(source, &limits)?;
        pickle::verdict(&read, &Allow::TORCH, place, reading);
        legacy::verdict_around(source, read.end, place, reading);
        save::read(&read, "legacy", reading)?;
        if let Some(missing) = legacy::missing(source, &read) {
            let what = format!("the file is cut off: {missing} bytes of its storages are missing");
            return Err(Error::new(Kind::Model, what).hint("download or copy it again"));
        }
        return Ok(());
    }
    if head.first() == Some(&0x80) {
        let mut stored = pickle::open(source, &limits)?;
        save::forgive(&mut stored.read);
        stored.verdict(&Allow::TORCH, place, reading);
        return save::read(&stored.read, "pickle", reading);
    }
    let archive = Archive::open(source)?;
    let Some((container::Kind::Save | container::Kind::Script, root)) = container::kind(&archive) else {
        return Err(Error::new(Kind::Model, "the file is not one of `torch.save`"));
    };
    let data = data(&archive, &root, budget)?;
    let mut stored = pickle::open(data.as_ref(), &limits)?;
    save::forgive(&mut stored.read);
    stored.verdict(&Allow::TORCH, place, reading);
    others(&archive, &root, reading);
    save::read(&stored.read, "zip", reading)
}

/// Looks for dangers in the pickles of an archive besides its `data.pkl`: other tools load other
/// entries, and no clean archive has any that runs code.
pub(crate) fn others(archive: &Archive<'_>, root: &str, reading: &mut Reading) {
    let read = format!("{root}data.pkl");
    let named = |e: &&zip::Entry| {
        e.name != read && ends_in(e.name.as_bytes(), &[".pkl", ".pickle", ".joblib", ".dill"])
    };
    for entry in archive.entries().iter().filter(named).take(MAX_OTHERS) {
        let Ok(bytes) = archive.read(entry, MAX_OTHER) else { continue };
        let limits = Limits { steps: 1 << 20, nodes: 1 << 18, bytes: MAX_OTHER, ..Limits::default() };
        pickle::dangers(&bytes, &limits, &entry.name, reading);
    }
}

/// What a file is, as a variant and in words.
fn recognise(file: &File<'_>) -> Result<Option<(&'static str, &'static str)>> {
    let head = file.head()?;
    let named = |variant, what| Ok(Some((variant, what)));
    if legacy::begins(head) {
        return if fastai::is_legacy(head) {
            Ok(None)
        } else {
            named("legacy", "begins with the magic number of `torch.save` before 1.6")
        };
    }
    if legacy::is_tar(head) {
        return named("tar", "is a tar as `torch.save` wrote it before 0.1.10");
    }
    match head.get(4..8) {
        Some([b'E', b'T', a, b]) if a.is_ascii_digit() && b.is_ascii_digit() => {
            return named("executorch", "is a program for ExecuTorch (`ET` at byte 4)");
        }
        Some(b"PTMF") => return named("mobile", "is a TorchScript flatbuffer (`PTMF` at byte 4)"),
        _ => {}
    }
    if is_plain_pickle(head) {
        return named("pickle", "is a pickle of tensors or modules of PyTorch");
    }
    if !zip::begins(head) {
        return Ok(None);
    }
    let content = file.open()?;
    let Ok(archive) = Archive::open(&content) else {
        // One that was cut off still begins with an entry that only PyTorch names so.
        return if first_entry(head).is_some_and(is_torch_entry) {
            named("zip", "is a zip archive that begins with an entry of PyTorch's")
        } else {
            Ok(None)
        };
    };
    let Some((kind, root)) = container::kind(&archive) else { return Ok(None) };
    if kind == container::Kind::Save && fastai::is_learner(&archive, &root) {
        return Ok(None);
    }
    named(
        kind.name(),
        match kind {
            container::Kind::Save => "is a zip archive of `torch.save` (it has a `data.pkl`)",
            container::Kind::Script => "is a TorchScript archive (it has a `data.pkl` and a `constants.pkl`)",
            container::Kind::OldScript => {
                "is a TorchScript archive of PyTorch 1.0 to 1.3 (it has a `model.json`)"
            }
            container::Kind::Export => "is an archive of `torch.export` (it has an `archive_format`)",
            container::Kind::OldExport => {
                "is an archive of `torch.export` (it has a `serialized_exported_program.json`)"
            }
            container::Kind::Package => "is an archive of `torch.package`",
            container::Kind::Serve => "is an archive of TorchServe (it has a `MAR-INF`)",
        },
    )
}

/// Whether a plain pickle is a module, or a dict that soon has a tensor.
fn is_plain_pickle(head: &[u8]) -> bool {
    let tensors = || head.windows(12).any(|w| w == b"torch._utils");
    fastai::first_name(head).is_some_and(|module| {
        module.starts_with(b"torch.nn.modules.") || module == b"collections" && tensors()
    })
}

/// The name in the local header at the beginning of a zip archive.
fn first_entry(head: &[u8]) -> Option<&[u8]> {
    let length = usize::from(u16::from_le_bytes([*head.get(26)?, *head.get(27)?]));
    head.get(30..30 + length)
}

fn is_torch_entry(name: &[u8]) -> bool {
    let Some(slash) = name.iter().position(|b| *b == b'/') else {
        return name == b"serialized_exported_program.json";
    };
    let rest = &name[slash + 1..];
    rest == b"data.pkl"
        || rest == b"archive_format"
        || rest.starts_with(b"data/weights/")
        || rest.strip_prefix(b"data/").is_some_and(|n| !n.is_empty() && n.iter().all(u8::is_ascii_digit))
}

/// The version of the file that the archive names.
fn version(archive: &Archive<'_>, root: &str, reading: &mut Reading) {
    let text = |name: &str| {
        let bytes = archive.read(archive.find(&format!("{root}{name}"))?, 64).ok()?;
        String::from_utf8(bytes).ok().map(|s| s.trim().to_owned())
    };
    reading.fact("pytorch.file_version", text("version"));
    reading.fact("pytorch.byteorder", text("byteorder"));
}

/// Reads the programs of an archive of `torch.export`, and looks into the pickles beside them.
fn exported(archive: &Archive<'_>, root: &str, budget: u64, reading: &mut Reading) -> Result<()> {
    reading.framework = Some("torch.export".to_owned());
    reading.fact("serialization", "pt2");
    let models = format!("{root}models/");
    let mut programs: Vec<(&zip::Entry, &str)> = archive
        .entries()
        .iter()
        .filter_map(|e| Some((e, e.name.strip_prefix(&models)?.strip_suffix(".json")?)))
        .collect();
    programs.extend(archive.find("serialized_exported_program.json").map(|e| (e, "model")));
    for (entry, name) in programs.iter().take(MAX_PROGRAMS) {
        let json = archive.read(entry, budget.min(MAX_PROGRAM))?;
        export::read(json, name, reading).map_err(|e| e.context(format!("cannot read `{}`", entry.name)))?;
    }
    if programs.len() > MAX_PROGRAMS {
        reading.warnings.push(format!("only the first {MAX_PROGRAMS} programs of the archive were read"));
    }
    let native: Vec<&str> = archive
        .entries()
        .iter()
        .map(|e| e.name.as_str())
        .filter(|n| [".so", ".dll", ".dylib", ".cubin"].iter().any(|e| n.ends_with(e)))
        .take(20)
        .collect();
    if !native.is_empty() {
        reading.fact("torch.export.native", native.clone());
        reading.find(
            Severity::Warning,
            "native-code",
            "",
            format!("the archive holds native code, which loading it would run: {}", native.join(", ")),
        );
    }
    if programs.is_empty() && native.is_empty() {
        return Err(Error::new(Kind::Model, "the archive of `torch.export` holds no program"));
    }
    // The loader unpickles what `torch.save` wrote beside the program: sample inputs, constants.
    let pickled = archive.entries().iter().filter(|e| e.name.ends_with(".pt"));
    for entry in pickled.take(MAX_PROGRAMS) {
        let Some(section) = archive.stored(entry)? else { continue };
        let Ok(inner) = Archive::open(&section) else { continue };
        let Some((container::Kind::Save, root)) = container::kind(&inner) else { continue };
        let source = data(&inner, &root, budget)?;
        let limits = Limits { bytes: budget, ..Limits::default() };
        match pickle::open(source.as_ref(), &limits) {
            Ok(stored) => stored.verdict(&Allow::TORCH, &entry.name, reading),
            Err(e) => reading.warnings.push(format!("`{}` was not looked into: {e}", entry.name)),
        }
    }
    Ok(())
}
