//! Which model a tree holds, and everything that its files tell.
//!
//! The search looks at the top first, then one folder down, then two, and stops at the first level
//! where it finds anything. Two models on one level are an error that names both: which one is
//! meant is the author's to say.
//!
//! Invariant: a broken model is not the same as none. What was recognised but could not be read has
//! a [`Detection::failure`], so that a build with a declared contract can go on.

use std::collections::{BTreeMap, BTreeSet};

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::error::{Error, Kind, Result, show_bytes};
use crate::model::contract::Contract;
use crate::model::format::impostor::{self, Impostor};
use crate::model::format::{
    BUDGET, Candidate, FORMATS, Finding, Folder, Format, Reading, Role, Severity, Weight, bounds, document,
    folder, packages, together,
};
use crate::model::pickle::{self, Limits};
use crate::model::tree::{EntryKind, Tree, folder_of, join_lexically};
use crate::model::zip::{self, Archive};

/// The most entries of an archive that are named for one reason.
const MAX_NAMED: usize = 20;

/// What the user said about which model is meant.
#[derive(Clone, Copy, Debug, Default)]
pub struct Choice<'a> {
    /// Only models of this format.
    pub framework: Option<&'a str>,
    /// Only the model in this folder or file of the tree.
    pub path: Option<&'a [u8]>,
}

/// The model of a tree, and what is known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detection {
    /// The name of the format, or what the files are that are of none ([`Detection::known_format`]).
    pub format: &'static str,
    /// The model's root inside the tree: a folder, empty for the top, or a file.
    pub location: Vec<u8>,
    /// The file that was recognised.
    pub file: Vec<u8>,
    /// What it was recognised by.
    pub evidence: String,
    /// What wrote the model, in people's words: `scikit-learn`, `torchscript`.
    pub framework: String,
    /// The version of it, where the files record one.
    pub framework_version: Option<String>,
    /// The contract; `None` where the files hold none or could not be read.
    pub contract: Option<Contract>,
    /// The weights, where the files have a table of them.
    pub tensors: Vec<Weight>,
    /// What else the files tell.
    pub facts: BTreeMap<String, Value>,
    /// What the author should look at.
    pub findings: Vec<Finding>,
    /// What the user should know about the detection.
    pub warnings: Vec<String>,
    /// Paths of the tree without which the model does not work, besides `file`.
    pub required: Vec<Vec<u8>>,
    /// Why the model could not be read; `None` where it was.
    pub failure: Option<String>,
}

impl Detection {
    /// The format, unless the files are of none that floe knows, and only something about them is told.
    pub fn known_format(&self) -> Option<&'static str> {
        FORMATS.iter().map(|f| f.name()).find(|name| *name == self.format)
    }

    /// What a file of the tree is for.
    pub fn role(&self, path: &[u8]) -> Role {
        if self.required.iter().any(|r| r == path) {
            return Role::Weights;
        }
        // With its weights in files of their own, what remains is the graph.
        if path == self.file && !self.required.is_empty() {
            return Role::Graph;
        }
        let format = FORMATS.iter().find(|f| f.name() == self.format);
        format.and_then(|f| f.role(path)).unwrap_or_else(|| Role::by_name(path))
    }
}

impl Serialize for Detection {
    /// The fields of the document that `floe infer --json` prints. Paths are shown as to people:
    /// bytes that are not UTF-8 are escaped.
    fn serialize<S: Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        let mut out = s.serialize_map(None)?;
        out.serialize_entry("format", &self.known_format())?;
        out.serialize_entry("framework", &self.known_format().map(|_| &self.framework))?;
        out.serialize_entry("framework_version", &self.framework_version)?;
        out.serialize_entry("location", &show_bytes(&self.location))?;
        out.serialize_entry("file", &show_bytes(&self.file))?;
        out.serialize_entry("evidence", &self.evidence)?;
        let signatures: Vec<Value> =
            self.contract.iter().flat_map(|c| &c.signatures).map(document::signature).collect();
        out.serialize_entry("signatures", &signatures)?;
        if !self.tensors.is_empty() {
            out.serialize_entry("tensors", &self.tensors)?;
        }
        out.serialize_entry("facts", &self.facts)?;
        out.serialize_entry("findings", &self.findings)?;
        out.serialize_entry("warnings", &self.warnings)?;
        out.serialize_entry("required", &self.required.iter().map(|p| show_bytes(p)).collect::<Vec<_>>())?;
        if let Some(failure) = &self.failure {
            out.serialize_entry("failure", failure)?;
        }
        out.end()
    }
}

/// Finds the model of a tree and reads it; `None` where no format knows any of the files.
///
/// Fails where several models are found, where the choice names what is not there, and where the
/// file system fails. A model that is broken is no failure of the search.
pub fn detect(tree: &Tree, choice: &Choice<'_>) -> Result<Option<Detection>> {
    let Found { candidates, impostors, more } = search(tree, choice)?;
    match candidates.as_slice() {
        [] => {}
        [one] => {
            let mut found = read(tree, one, impostors)?;
            if more {
                found.warnings.push(format!(
                    "of each level of folders only the first {} files were searched for models",
                    folder::MAX_FILES
                ));
            }
            return Ok(Some(found));
        }
        several => return Err(ambiguous(several)),
    }
    if let Some(first) = impostors.first() {
        return Ok(Some(stand_in(first.clone(), impostors)));
    }
    match choice.framework {
        None => Ok(None),
        Some(name) => {
            Err(Error::new(Kind::Model, format!("no model of the format `{name}` is in the files")).hint(
                "leave `--framework` out to see what is found, or name the model's place with `--model PATH`",
            ))
        }
    }
}

/// The models among which a user would have to choose: those on the first level that has any.
pub fn candidates(tree: &Tree, choice: &Choice<'_>) -> Result<Vec<Candidate>> {
    Ok(search(tree, choice)?.candidates)
}

/// What the search came upon.
struct Found {
    /// The models on the first level that has any.
    candidates: Vec<Candidate>,
    /// What stands where models should be, down to that level.
    impostors: Vec<Impostor>,
    /// Whether there were more files than are looked at.
    more: bool,
}

fn search(tree: &Tree, choice: &Choice<'_>) -> Result<Found> {
    let formats = chosen_formats(choice.framework)?;
    let (base, only) = chosen_place(tree, choice.path)?;
    let (levels, more) = folder::levels(tree, &base, only.as_deref());
    let mut impostors = Vec::new();
    for level in &levels {
        let mut found = Vec::new();
        let mut here = Vec::new();
        for folder in level.iter().filter(|f| !together::is_blobs(tree, f.path())) {
            for format in formats.iter().filter(|f| !f.last_resort()) {
                found.extend(format.detect(folder)?);
            }
            here.extend(impostor::all(folder, &formats)?);
        }
        here.retain(|i| !found.iter().any(|c| c.file == i.path));
        impostors.extend(here);
        let mut candidates = together::settle(tree, without_parts(without_links(tree, found)))?;
        if candidates.len() > 1
            && let Some(mut code) = last_resort(&levels, &formats)?
        {
            code.warnings.push(format!(
                "there are several models, and it is taken for the code that loads them: {}",
                places(&candidates)
            ));
            candidates = vec![code];
        }
        if !candidates.is_empty() {
            return Ok(Found { candidates, impostors, more });
        }
    }
    let mut candidates: Vec<_> = last_resort(&levels, &formats)?.into_iter().collect();
    for folder in levels.iter().flatten() {
        if candidates.is_empty() && impostors.is_empty() {
            for format in &formats {
                candidates.extend(format.detect_alone(folder)?);
            }
        }
    }
    if candidates.is_empty() && impostors.is_empty() {
        for folder in levels.iter().flatten() {
            impostors.extend(impostor::alone(folder)?);
        }
    }
    Ok(Found { candidates, impostors, more })
}

/// A model and links to it are one model: the file itself counts, else the first of its names.
fn without_links(tree: &Tree, mut found: Vec<Candidate>) -> Vec<Candidate> {
    let real = |c: &Candidate| tree.get(&c.file).map_or_else(|| c.file.clone(), |e| e.path.clone());
    let named = |c: &Candidate| (c.format, c.variant, real(c));
    let mut seen: BTreeSet<_> = found.iter().filter(|c| real(c) == c.file).map(named).collect();
    found.retain(|c| real(c) == c.file || seen.insert(named(c)));
    found
}

/// What lies in a file or folder that belongs to another candidate is a part of that model.
fn without_parts(found: Vec<Candidate>) -> Vec<Candidate> {
    let within = |path: &[u8], claim: &[u8]| {
        path == claim || claim.is_empty() || path.strip_prefix(claim).is_some_and(|r| r.starts_with(b"/"))
    };
    let part = |c: &Candidate| {
        found.iter().any(|other| {
            (other.format, other.variant, &other.file) != (c.format, c.variant, &c.file)
                && other.claims.iter().any(|claim| within(&c.file, claim))
        })
    };
    let keep: Vec<bool> = found.iter().map(|c| !part(c)).collect();
    found.into_iter().zip(keep).filter(|(_, keep)| *keep).map(|(c, _)| c).collect()
}

fn chosen_formats(framework: Option<&str>) -> Result<Vec<&'static dyn Format>> {
    let Some(name) = framework else { return Ok(FORMATS.to_vec()) };
    let chosen: Vec<_> = FORMATS.iter().copied().filter(|f| f.name() == name).collect();
    if chosen.is_empty() {
        let known: Vec<&str> = FORMATS.iter().map(|f| f.name()).collect();
        return Err(Error::new(
            Kind::Usage,
            format!("`{}` is not a format that can be read", show_bytes(name.as_bytes())),
        )
        .hint(format!("the formats are: {}", known.join(", "))));
    }
    Ok(chosen)
}

/// The folder where the search starts, and the one file that it sees, if a file was chosen.
fn chosen_place(tree: &Tree, path: Option<&[u8]>) -> Result<(Vec<u8>, Option<Vec<u8>>)> {
    let Some(path) = path else { return Ok((Vec::new(), None)) };
    let missing = || {
        Error::new(Kind::Model, format!("there is no `{}` among the model's files", show_bytes(path))).hint(
            "`--model` takes a path relative to the model directory, of a file or folder that is packed",
        )
    };
    let path = join_lexically(b"", path).ok_or_else(missing)?;
    if let Some((folder, name)) = folder::as_file(tree, &path) {
        return Ok((folder.to_vec(), Some(name.to_vec())));
    }
    if folder::is_folder(tree, &path) { Ok((path, None)) } else { Err(missing()) }
}

/// The model of a format that counts only where no other is sure.
fn last_resort(levels: &[Vec<Folder<'_>>], formats: &[&dyn Format]) -> Result<Option<Candidate>> {
    for folder in levels.first().into_iter().flatten() {
        for format in formats.iter().filter(|f| f.last_resort()) {
            if let Some(first) = format.detect(folder)?.into_iter().next() {
                return Ok(Some(first));
            }
        }
    }
    Ok(None)
}

/// Where models were found, for people.
fn places(found: &[Candidate]) -> String {
    let place = |c: &Candidate| match c.location.as_slice() {
        b"" => "the top folder".to_owned(),
        path => format!("`{}`", show_bytes(path)),
    };
    let list: Vec<String> =
        found.iter().take(20).map(|c| format!("{} in {} ({})", c.format, place(c), c.evidence)).collect();
    format!("{}{}", list.join(", "), if found.len() > 20 { ", …" } else { "" })
}

fn ambiguous(found: &[Candidate]) -> Error {
    let same_format = found.iter().all(|c| c.format == found[0].format);
    let flags = if same_format { "`--model PATH`" } else { "`--framework NAME` or `--model PATH`" };
    Error::new(Kind::Model, format!("ambiguous: the files hold {} models: {}", found.len(), places(found)))
        .hint(format!("say which one is meant with {flags}, or select the files of one model as the payload"))
}

fn read(tree: &Tree, candidate: &Candidate, impostors: Vec<Impostor>) -> Result<Detection> {
    let format = FORMATS.iter().find(|f| f.name() == candidate.format);
    let reading = match format {
        Some(format) => format.read(tree, candidate, BUDGET),
        None => Ok(Reading::default()),
    };
    let (reading, failure) = match reading {
        Ok(mut reading) => {
            bounds::apply(&mut reading);
            (reading, None)
        }
        Err(e) if e.kind() == Kind::Model => {
            let e = e.context(format!("cannot read `{}`", show_bytes(&candidate.file)));
            (Reading::default(), Some(e.to_string()))
        }
        Err(e) => return Err(e),
    };
    let mut d = Detection {
        format: candidate.format,
        framework: reading
            .framework
            .or_else(|| format.map(|f| f.framework().to_owned()))
            .unwrap_or_else(|| candidate.format.to_owned()),
        framework_version: reading.framework_version,
        location: candidate.location.clone(),
        file: candidate.file.clone(),
        evidence: candidate.evidence.clone(),
        contract: reading.contract,
        tensors: reading.tensors,
        facts: reading.facts,
        findings: reading.findings,
        warnings: candidate.warnings.clone(),
        required: reading.required,
        failure,
    };
    d.warnings.extend(reading.warnings);
    if d.failure.is_some() {
        d.findings.extend(dangers(tree, &d.file)?);
    }
    entries_of_an_archive(tree, &mut d)?;
    for finding in d.findings.iter_mut().filter(|f| f.place.is_empty()) {
        finding.place = show_bytes(&candidate.file);
    }
    for impostor in impostors {
        // What is a part of the model was told with it.
        if !d.findings.contains(&impostor.finding) {
            d.findings.push(impostor.finding);
        }
    }
    if !d.facts.contains_key("packages") {
        let is_file = d.location == d.file;
        let beside = if is_file { folder_of(&d.location) } else { d.location.as_slice() };
        if let Some(packages) = packages::find(tree, &[beside, b""]).filter(|p| !p.is_empty()) {
            d.facts.insert("packages".to_owned(), packages.into());
        }
    }
    weights_that_are_pointers(tree, &mut d)?;
    Ok(d)
}

/// What of a pickle that could not be read a loader would run, before it came as far.
fn dangers(tree: &Tree, file: &[u8]) -> Result<Vec<Finding>> {
    let mut reading = Reading::default();
    let content = tree.open(file)?;
    let limits = Limits { bytes: BUDGET, ..Limits::default() };
    pickle::dangers(&content, &limits, &show_bytes(file), &mut reading);
    Ok(reading.findings)
}

/// Names in an archive that unpack to elsewhere, and names that stand for two things.
fn entries_of_an_archive(tree: &Tree, d: &mut Detection) -> Result<()> {
    let content = tree.open(&d.file)?;
    if !zip::begins(&content.head(4)?) {
        return Ok(());
    }
    let Ok(archive) = Archive::open(&content) else { return Ok(()) };
    let escaping = archive.entries().iter().filter(|e| e.escapes()).map(|e| {
        let message =
            "an entry of the archive whose name leads out of the folder that it is unpacked to".to_owned();
        ("zip-slip", show_bytes(e.name.as_bytes()), message)
    });
    let twice = archive.duplicates().iter().map(|name| {
        let message =
            "the archive holds this name twice; loaders differ in which of the two they take".to_owned();
        ("duplicate-entry", show_bytes(name.as_bytes()), message)
    });
    for (code, place, message) in escaping.take(MAX_NAMED).chain(twice.take(MAX_NAMED)) {
        if !d.findings.iter().any(|f| f.code == code && f.place == place) {
            d.findings.push(Finding { severity: Severity::Error, code, place, message });
        }
    }
    Ok(())
}

/// A model whose graph is there may still have pointers in the place of its weights.
fn weights_that_are_pointers(tree: &Tree, d: &mut Detection) -> Result<()> {
    let mut found = Vec::new();
    for (path, entry) in tree.files() {
        let EntryKind::File { stamp, .. } = &entry.kind else { continue };
        if stamp.size == 0
            || stamp.size >= impostor::MAX_POINTER
            || path == d.file
            || d.role(path) != Role::Weights
        {
            continue;
        }
        let head = tree.open(path)?.head(128)?;
        found.extend(impostor::known(path, stamp.size, &head).filter(|f| f.code == "lfs-pointer"));
    }
    found.retain(|f| !d.findings.contains(f));
    d.findings.extend(found);
    Ok(())
}

/// What is said where only something else stands in a model's place.
fn stand_in(first: Impostor, all: Vec<Impostor>) -> Detection {
    Detection {
        format: first.format,
        framework: FORMATS
            .iter()
            .find(|f| f.name() == first.format)
            .map_or(first.format, |f| f.framework())
            .to_owned(),
        framework_version: None,
        tensors: Vec::new(),
        location: first.path.clone(),
        file: first.path,
        evidence: match first.format {
            "unknown" => "nothing: no format is known by such a name".to_owned(),
            "pickle" => "its first bytes, which are a pickle's; no model that floe knows is in it".to_owned(),
            format => format!("its name only, which is one of {format}"),
        },
        contract: None,
        facts: BTreeMap::new(),
        // What is whole is not broken because floe does not read it, or because it is dangerous.
        failure: (!matches!(first.finding.code, "code-execution" | "unread-serialization"))
            .then_some(first.finding.message),
        findings: all.into_iter().map(|i| i.finding).collect(),
        warnings: Vec::new(),
        required: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tree::Selected;

    #[test]
    fn a_model_and_links_to_it_are_one_model() {
        let example = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("testdata/models/onnx/on_dev_scaler/model.onnx");
        let dir = tempfile::tempdir().unwrap();
        std::fs::copy(&example, dir.path().join("model.onnx")).unwrap();
        std::os::unix::fs::symlink("model.onnx", dir.path().join("latest.onnx")).unwrap();
        let find = || {
            let all = Selected { source: dir.path().to_owned(), dest: Vec::new() };
            let tree = Tree::scan(&[all], &|_, _| false, false).unwrap();
            detect(&tree, &Choice::default())
        };
        assert_eq!(find().unwrap().unwrap().file, b"model.onnx");
        std::fs::copy(&example, dir.path().join("other.onnx")).unwrap();
        assert!(find().unwrap_err().message().contains("2 models"));
    }
}
