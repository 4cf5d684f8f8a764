//! Where the model is, and what its author declares about it.

use std::path::{Path, PathBuf};

use super::Options;
use crate::error::{At, Error, Kind, Result, show};
use crate::event::{Observe, warn};
use crate::model::definition::{self, Definition, Loaded};

/// Where the model is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// A folder, a file, or the definition itself.
    pub path: PathBuf,
    /// Name and text of a definition that is not `serving.yaml` in the folder.
    pub definition: Option<(PathBuf, String)>,
}

/// One model of the input.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// What the author declares; of a folder without a definition only its name.
    pub(super) definition: Definition,
    /// Whether there is a definition.
    pub(super) declared: bool,
    /// The folder that payload paths are relative to.
    pub(super) root: PathBuf,
    /// The file that the input is, where it is a single one.
    pub(super) single: Option<PathBuf>,
    /// The definition's file, which is not part of the model.
    pub(super) definition_file: Option<PathBuf>,
}

/// Finds and reads the definition.
pub(super) fn load(options: &Options, see: &dyn Observe) -> Result<Vec<Source>> {
    let path = &options.input.path;
    let meta = std::fs::metadata(path).at("open the model", path).map_err(|e| {
        e.with_kind(Kind::Model).hint("name the folder of the model, or the file if it is a single one")
    })?;
    let (root, mut single) = if meta.is_dir() {
        (path.clone(), None)
    } else {
        (crate::fs::parent(path).to_owned(), Some(path.clone()))
    };
    let text = options.input.definition.clone();
    if text.is_none() {
        let file = match &single {
            // A definition instead of a folder means the folder that it stands in.
            Some(file) if file.extension().is_some_and(|e| e == "yaml" || e == "yml") => single.take(),
            Some(_) => None,
            None => definition::find(&root)?,
        };
        if let Some(file) = file {
            let loaded = definition::load_file(&file)?;
            return sources(loaded, &root, single.as_deref(), &file, options, see);
        }
    }
    let Some((file, content)) = text else {
        let definition = Definition::named(&name_of(single.as_deref().unwrap_or(&root), options)?);
        return Ok(vec![Source { definition, declared: false, root, single, definition_file: None }]);
    };
    let loaded = definition::load(&content, &file.to_string_lossy())?;
    sources(loaded, &root, single.as_deref(), &file, options, see)
}

fn sources(
    loaded: Loaded,
    root: &Path,
    single: Option<&Path>,
    file: &Path,
    options: &Options,
    see: &dyn Observe,
) -> Result<Vec<Source>> {
    for w in &loaded.warnings {
        warn(see, w.message.clone(), w.hint.as_deref());
    }
    let count = loaded.definitions.len();
    if count == 0 {
        return Err(Error::new(Kind::Model, format!("`{}` declares no model", show(file)))
            .hint("a model is a document with `kind: Model`, a `name` and a `payload`"));
    }
    if count > 1 && options.name.is_some() {
        return Err(Error::new(
            Kind::Usage,
            format!("`--name` is one name, but `{}` declares {count} models", show(file)),
        )
        .hint("rename the models in the file"));
    }
    let source = |definition| Source {
        definition,
        declared: true,
        root: root.to_owned(),
        single: single.map(Path::to_owned),
        definition_file: Some(file.to_owned()),
    };
    Ok(loaded.definitions.into_iter().map(source).collect())
}

/// The name of a model that nobody named: that of its folder, or of its file without the ending.
fn name_of(path: &Path, options: &Options) -> Result<String> {
    if let Some(name) = &options.name {
        return Ok(name.clone());
    }
    // As it was typed: a link of a cache leads to a name that says nothing. `.` and `..` say nothing
    // either, and are looked up.
    let real = if path.file_name().is_some() {
        path.to_owned()
    } else {
        std::fs::canonicalize(path).at("resolve", path)?
    };
    let name = if path.is_dir() { real.file_name() } else { real.file_stem() };
    let name = name.and_then(|n| n.to_str()).ok_or_else(|| {
        Error::new(Kind::Usage, format!("`{}` gives no name for the model", show(path)))
            .hint("give one with `--name`")
    })?;
    // Nobody wrote this name down, so it may be put into shape; a declared one may not.
    crate::oci::reference::suggest_repository(name).ok_or_else(|| {
        Error::new(Kind::Usage, format!("the name `{}` cannot be put into a repository name", show(path)))
            .hint("give one with `--name`")
    })
}
