//! The definition: what the author of a model declares, in `serving.yaml`.
//!
//! It is not the model directory and not what floe finds out about it. Read are the files of
//! Hydrosphere Serving, in every shape they had: `kind: Model` of 3.x, 2.x and 0.1.x, and the
//! `model:` block of 0.0.x, with several documents in one file; and floe's own keys beside theirs.
//! Documents that are about running a model (`Application` and others) build nothing.
//!
//! Keys that floe adds to a `kind: Model` document:
//!
//! | key | meaning |
//! |---|---|
//! | `base` | image to build on, with a transport; wins over `runtime` |
//! | `labels`, `annotations`, `env` | maps of text that the image gets |
//! | `user`, `workdir` | of the image's configuration |
//! | `source`, `revision`, `licenses`, `description` | predefined annotations of the OCI image specification |
//!
//! Keys of several words may be written with `-` or with `_`, as Hydrosphere's client had it. A key
//! that once had a meaning and has none in a build is a [`Warning`]; any other unknown key is an
//! error that names the nearest. The name of a signature that has none is
//! [`DEFAULT_SIGNATURE`], for every generation.
//!
//! Invariant: a [`Definition`] holds only what the file says. Nothing is read from disk here but
//! the file itself, and paths in it have not been looked at yet: that is [`super::payload`]'s.

mod block;
mod contract;
mod keys;
mod model;
mod node;
pub mod prototxt;
mod reader;
mod schema;
mod source;
mod starter;
mod types;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

pub use contract::DEFAULT_SIGNATURE;
pub use reader::Warning;
pub use schema::schema;
pub use source::{Place, Placed};
pub use starter::starter;

use crate::error::{Error, Kind, Result, show, show_bytes};
use crate::model::Contract;
use crate::oci::reference::{is_repository, suggest_repository};
use node::Node;
use reader::{Reader, shown};
use source::Source;

/// The names of a definition in a model directory, the first that exists counts.
pub const FILE_NAMES: &[&str] = &["serving.yaml", "serving.yml"];

/// The shape of a definition's file, by the version of Hydrosphere that had it.
///
/// It says how the file is written, and decides nothing in a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Generation {
    /// The `model:` block.
    #[serde(rename = "0.0")]
    V0_0,
    /// `kind: Model` with a map of signatures, or with a `model-type` alone.
    #[serde(rename = "0.1")]
    V0_1,
    /// `kind: Model` with something that 3.x does not take: no contract, no shape, nested fields.
    #[serde(rename = "2")]
    V2,
    /// `kind: Model` that 3.x takes.
    #[serde(rename = "3")]
    V3,
}

/// One model, as its author declares it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Definition {
    /// Name of the model, as written; [`check_name`] says whether it can name a repository.
    pub name: String,
    /// The file that it stands in.
    pub file: String,
    /// Where the name stands.
    pub place: Place,
    /// How the file is written.
    pub generation: Generation,
    /// Image of the runtime, as Hydrosphere names it.
    pub runtime: Option<Placed<String>>,
    /// Image to build on, as floe names it; wins over `runtime`.
    pub base: Option<Placed<String>>,
    /// The framework and version of 0.x files: `python:3.6`.
    pub model_type: Option<String>,
    /// Paths relative to the definition's folder; `None` is the whole folder.
    pub payload: Option<Vec<Placed<String>>>,
    /// What the model takes and gives.
    pub contract: Option<Contract>,
    /// Path of a contract file of 0.0.x: text if it ends in `.prototxt`, else binary.
    pub contract_file: Option<Placed<String>>,
    /// A shell command that Hydrosphere ran in the image; no build does.
    pub install_command: Option<Placed<String>>,
    /// Where the training data is; never in the image.
    pub training_data: Option<String>,
    /// What the author wants to remember.
    pub metadata: BTreeMap<String, String>,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the manifest.
    pub annotations: BTreeMap<String, String>,
    /// Environment of the image.
    pub env: BTreeMap<String, String>,
    /// User that the image runs as.
    pub user: Option<String>,
    /// Working directory of the image, absolute.
    pub workdir: Option<String>,
    /// Where the source of the model is.
    pub source: Option<String>,
    /// Revision of that source.
    pub revision: Option<String>,
    /// Licences, as an SPDX expression.
    pub licenses: Option<String>,
    /// A sentence for people.
    pub description: Option<String>,
    /// The text of the file, for excerpts in errors.
    #[serde(skip)]
    text: Arc<str>,
}

impl Definition {
    fn empty(file: &str) -> Self {
        Self {
            name: String::new(),
            file: file.to_owned(),
            place: Place { line: 1, column: 1 },
            generation: Generation::V3,
            runtime: None,
            base: None,
            model_type: None,
            payload: None,
            contract: None,
            contract_file: None,
            install_command: None,
            training_data: None,
            metadata: BTreeMap::new(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            env: BTreeMap::new(),
            user: None,
            workdir: None,
            source: None,
            revision: None,
            licenses: None,
            description: None,
            text: Arc::from(""),
        }
    }

    /// The definition of a model that nobody wrote one for.
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::empty("") }
    }

    /// An error about a place in this definition, with an excerpt where there is a file.
    pub fn error(&self, place: Place, message: impl std::fmt::Display) -> Error {
        let bare = || Error::new(Kind::Model, format!("{}: {message}", self.position(place)));
        if place == Place::COMMAND_LINE || self.text.is_empty() {
            return bare();
        }
        let source = Source::new(&self.file, &self.text);
        let start = source.offset(place.line as u64, place.column as u64);
        let rest = self
            .text
            .get(start..)
            .and_then(|t| t.lines().next())
            .map_or(0, |l| l.trim_end_matches([' ', ',', ']', '}']).len());
        source.error(&(start..start + rest), message)
    }

    /// `FILE:LINE:COLUMN` of a place in this definition, for errors about it.
    pub fn position(&self, place: Place) -> String {
        if place == Place::COMMAND_LINE {
            return "command line".to_owned();
        }
        format!("{}:{}:{}", show_bytes(self.file.as_bytes()), place.line, place.column)
    }
}

/// What a file declares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Loaded {
    /// The models, in the order of the file.
    pub definitions: Vec<Definition>,
    /// Names of applications, which build nothing.
    pub applications: Vec<String>,
    /// What the author should know.
    pub warnings: Vec<Warning>,
}

/// Reads the text of a definition; `file_name` is for messages.
///
/// Errors are of [`Kind::Model`], name file, line and column, and carry an excerpt.
///
/// ```
/// let loaded = floe::model::definition::load("kind: Model\nname: churn\n", "serving.yaml")?;
/// assert_eq!(loaded.definitions[0].name, "churn");
/// let e = floe::model::definition::load("kind: Model\nname: churn\nnmae: x\n", "serving.yaml");
/// assert!(e.unwrap_err().to_string().starts_with("serving.yaml:3:1: "));
/// # Ok::<(), floe::Error>(())
/// ```
pub fn load(text: &str, file_name: &str) -> Result<Loaded> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let source = Source::new(file_name, text);
    let shared: Arc<str> = Arc::from(text);
    let documents = node::parse(&source)?;
    let mut r = Reader::new(&source);
    let (mut definitions, mut applications): (Vec<Definition>, _) = (Vec::new(), Vec::new());
    for document in &documents {
        match read(&mut r, file_name, document)? {
            Document::Model(d) => {
                if let Some(other) = definitions.iter().find(|x| x.name == d.name) {
                    let (one, two) = (other.place.line, d.place.line);
                    return Err(source
                        .whole(format_args!(
                            "two models are named `{}`, in lines {one} and {two}",
                            shown(&d.name)
                        ))
                        .hint("rename one of them, or remove it"));
                }
                definitions.push(Definition { text: Arc::clone(&shared), ..*d });
            }
            Document::Application(name) => applications.extend(name),
            Document::Other => {}
        }
    }
    if documents.is_empty() {
        return Err(source
            .whole("declares nothing")
            .hint("write `kind: Model` and `name: …`, or remove the file"));
    }
    Ok(Loaded { definitions, applications, warnings: r.warnings })
}

/// Reads a definition from a file.
pub fn load_file(path: &Path) -> Result<Loaded> {
    let bytes = crate::fs::read_capped(path, node::MAX_BYTES as u64)?;
    let text = std::str::from_utf8(&bytes).map_err(|e| {
        let line = bytes[..e.valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
        Error::new(Kind::Model, format!("{}:{line}: the text is not UTF-8", show(path)))
            .hint("save the file as UTF-8")
    })?;
    load(text, &path.to_string_lossy())
}

/// The definition in a model directory, where there is one.
///
/// `serving.yaml` and `serving.yml` beside each other are an error, since each tool would take
/// another one.
pub fn find(folder: &Path) -> Result<Option<PathBuf>> {
    let found: Vec<PathBuf> = FILE_NAMES.iter().map(|n| folder.join(n)).filter(|p| p.exists()).collect();
    match found.as_slice() {
        [one, other, ..] => {
            Err(Error::new(Kind::Model, format!("there are both `{}` and `{}`", show(one), show(other)))
                .hint("keep one of them"))
        }
        one => {
            let Some(file) = one.first() else { return Ok(None) };
            crate::fs::check_inside(file, folder)?;
            Ok(Some(file.clone()))
        }
    }
}

/// Makes sure that a model's name can name a repository.
///
/// The error suggests a name that can.
pub fn check_name(name: &str) -> Result<()> {
    if is_repository(name) {
        return Ok(());
    }
    let e = Error::new(Kind::Model, format!("the model's name `{}` cannot name a repository", shown(name)));
    Err(match suggest_repository(name) {
        Some(better) => e.hint(format!(
            "give one with `--name {better}`; the label MODEL_NAME keeps the original"
        )),
        None => e.hint("give one in lower-case letters and digits with `--name`; the label MODEL_NAME keeps the original"),
    })
}

enum Document {
    Model(Box<Definition>),
    Application(Option<String>),
    Other,
}

fn read(r: &mut Reader<'_>, file: &str, document: &Node) -> Result<Document> {
    let Some(entries) = document.map() else {
        return Err(r
            .error(&document.span, format_args!("a document is a map of keys, found {}", document.what()))
            .hint("begin with `kind: Model` and `name: …`"));
    };
    let has = |key: &str| document.member(key).is_some();
    let Some(kind) = document.member("kind") else {
        if has("model") {
            return Ok(Document::Model(Box::new(block::read(r, file, entries)?)));
        }
        if let Some(application) = document.member("application") {
            return Ok(Document::Application(name_of(application)));
        }
        let e = r.error(&document.span, "the document has no `kind`");
        return Err(e.hint("write `kind: Model` in front"));
    };
    match kind.scalar() {
        Some("Model") => Ok(Document::Model(Box::new(model::read(r, file, document, entries)?))),
        Some("Application") => Ok(Document::Application(name_of(document))),
        Some(word) => {
            if let Some((name, hint)) = keys::OTHER_KINDS.iter().find(|(name, _)| *name == word) {
                r.warn(&kind.span, format_args!("a document of kind `{name}` builds nothing"), *hint);
                return Ok(Document::Other);
            }
            let kinds = ["Model", "Application"].into_iter().chain(keys::OTHER_KINDS.iter().map(|(n, _)| *n));
            let e = r.error(&kind.span, format_args!("unknown kind `{}`", shown(word)));
            Err(e.hint(match keys::nearest(word, kinds) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "a model has `kind: Model`".to_owned(),
            }))
        }
        None => Err(r.wrong("kind", "text", kind).hint("write `kind: Model`")),
    }
}

fn name_of(node: &Node) -> Option<String> {
    node.member("name").and_then(Node::scalar).map(str::to_owned)
}

#[cfg(test)]
mod tests;
