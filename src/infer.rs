//! Which framework wrote a model and what goes in and out, from its bytes alone.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::error::{At, Error, Kind, Result, show};
use crate::model::Tree;
use crate::model::format::{self, Candidate, Choice, Detection};
use crate::model::ignore::Rules;
use crate::model::pickle::is_side_file;
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
    let name = path.file_name().map(OsStrExt::as_bytes).unwrap_or_default().to_vec();
    let mut all = side_files(path, &name)?;
    all.push(Selected { source: real, dest: name });
    Tree::scan(&all, &|_, _| false, follow_links)
}

/// The arrays that joblib before 0.10 wrote beside a model are parts of the one file that is named.
fn side_files(path: &Path, name: &[u8]) -> Result<Vec<Selected>> {
    let Some(folder) = path.parent() else { return Ok(Vec::new()) };
    let begins = |ending: &str| {
        let first = [name, b"_01.npy", ending.as_bytes()].concat();
        folder.join(OsStr::from_bytes(&first)).is_file()
    };
    if !begins("") && !begins(".z") {
        return Ok(Vec::new());
    }
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).at("list", folder)? {
        let entry = entry.at("list", folder)?;
        let beside = entry.file_name();
        if is_side_file(name, beside.as_bytes()) && entry.path().is_file() {
            found.push(Selected { source: entry.path(), dest: beside.as_bytes().to_vec() });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_in_several_files_is_named_by_the_first() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("testdata/models/sklearn/sk017_gaussiannb_words/model");
        let found = infer(&folder.join("model.pkl"), &Choice::default(), false).unwrap();
        assert_eq!(found.contract.unwrap().signatures[0].inputs[0].shape, Some(vec![None, Some(5)]));
        assert_eq!(found.required.len(), 5);
    }
}
