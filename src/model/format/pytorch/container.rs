//! PyTorch's zip archives: which of its kinds one is, by the names of the entries.
//!
//! All of them keep everything below one root folder of any name (`caffe2/serialize/inline_container`),
//! except for the first containers of `torch.export` and TorchServe's.
//!
//! Invariant: the kind follows from the directory of the archive alone.

use crate::model::zip::Archive;

/// What an archive holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `torch.save`: a pickle and its storages.
    Save,
    /// `torch.jit.save`: a program and its state.
    Script,
    /// `torch.jit.save` of torch 1.0 to 1.3: a program, and its state as JSON.
    OldScript,
    /// `torch.export.save` of torch 2.8 on.
    Export,
    /// `torch.export.save` of torch 2.1 to 2.7.
    OldExport,
    /// `torch.package`: a pickle with the code that it needs.
    Package,
    /// TorchServe's and MMS's archive: a model in an archive of its own.
    Serve,
}

impl Kind {
    /// Its name as a variant of a candidate.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Save => "zip",
            Self::Script => "torchscript",
            Self::OldScript => "torchscript-json",
            Self::Export => "pt2",
            Self::OldExport => "pt2-old",
            Self::Package => "torch-package",
            Self::Serve => "torchserve",
        }
    }
}

/// The kind of an archive, and the folder in it with everything, with its slash; `None` where it is
/// none of PyTorch's.
pub(crate) fn kind(archive: &Archive<'_>) -> Option<(Kind, String)> {
    if archive.find("MAR-INF/MANIFEST.json").is_some() {
        return Some((Kind::Serve, String::new()));
    }
    if archive.find("serialized_exported_program.json").is_some() {
        return Some((Kind::OldExport, String::new()));
    }
    let entries = archive.entries();
    // PyTorch's reader takes the folder of the first entry, whatever others there are
    // (`PyTorchStreamReader::init`).
    let first = entries.first().and_then(|e| e.name.split_once('/')).map(|(root, _)| format!("{root}/"));
    let below = |tail: &str| {
        let roots = || {
            entries.iter().filter_map(|e| {
                let root = e.name.strip_suffix(tail)?;
                let whole = root.strip_suffix('/')?;
                (!whole.is_empty() && !whole.contains('/')).then_some(root)
            })
        };
        roots().find(|r| Some(*r) == first.as_deref()).or_else(|| roots().next()).map(str::to_owned)
    };
    if let Some(root) = below("archive_format") {
        let models = format!("{root}models/");
        if entries.iter().any(|e| e.name.starts_with(&models)) {
            return Some((Kind::Export, root));
        }
        // AOTInductor's packages hold no graph, only what was compiled from one.
        let compiled = format!("{root}data/aotinductor/");
        return entries.iter().any(|e| e.name.starts_with(&compiled)).then_some((Kind::Export, root));
    }
    if let Some(root) = below("data.pkl") {
        let script = archive.find(&format!("{root}constants.pkl")).is_some()
            || archive.find(&format!("{root}bytecode.pkl")).is_some();
        let version = archive.find(&format!("{root}version")).is_some();
        let storages = format!("{root}data/");
        if script {
            return Some((Kind::Script, root));
        }
        return (version || entries.iter().any(|e| e.name.starts_with(&storages)))
            .then_some((Kind::Save, root));
    }
    if let Some(root) = below(".data/extern_modules").or_else(|| below(".data/version")) {
        return Some((Kind::Package, root));
    }
    let root = below("model.json")?;
    let code = format!("{root}code/");
    entries.iter().any(|e| e.name.starts_with(&code)).then_some((Kind::OldScript, root))
}
