//! Which framework wrote a model and what goes in and out, from its bytes alone.

use std::path::Path;

use crate::error::{At, Error, Kind, Result, show};
use crate::model::Tree;
use crate::model::format::{self, Candidate, Choice, Detection};
use crate::model::ignore::Rules;
use crate::model::tree::Selected;

/// Looks at a model directory or a single file.
///
/// # Errors
///
/// When nothing is recognised, or several models are and none was chosen.
pub fn infer(path: &Path, choice: &Choice<'_>, follow_links: bool) -> Result<Detection> {
    let tree = tree(path, follow_links)?;
    format::detect(&tree, choice)?.ok_or_else(|| {
        let names: Vec<&str> = format::FORMATS.iter().map(|f| f.name()).collect();
        Error::new(Kind::Model, format!("no model was recognised in `{}`", show(path))).hint(format!(
            "floe reads {}; for others declare the contract in a serving.yaml",
            names.join(", ")
        ))
    })
}

/// The models among which a choice has to be made, where [`infer`] finds several.
///
/// # Errors
///
/// When the files cannot be read.
pub fn candidates(path: &Path, choice: &Choice<'_>, follow_links: bool) -> Result<Vec<Candidate>> {
    format::candidates(&tree(path, follow_links)?, choice)
}

fn tree(path: &Path, follow_links: bool) -> Result<Tree> {
    let meta = std::fs::metadata(path).at("open the model", path).map_err(|e| e.with_kind(Kind::Model))?;
    if meta.is_dir() {
        let rules = Rules::load(path)?;
        let all = [Selected { source: path.to_owned(), dest: Vec::new() }];
        return Tree::scan(&all, &|path, is_dir| rules.ignores(path, is_dir), follow_links);
    }
    let real = std::fs::canonicalize(path).at("resolve", path)?;
    let name = path.file_name().map(std::os::unix::ffi::OsStrExt::as_bytes).unwrap_or_default().to_vec();
    Tree::scan(&[Selected { source: real, dest: name }], &|_, _| false, follow_links)
}
