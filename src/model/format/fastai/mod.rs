//! fastai: a Learner that was exported whole, with its data loaders and its model.
//!
//! `learn.export` is `torch.save` of the Learner, so that the file is one of PyTorch's; what makes it
//! fastai's is the class of its root. The data loaders tell what `predict` takes and gives: columns
//! and categories, the size of an image, the vocabulary; the model's layers tell the same for tensors.
//! A Learner of fastai 1 is recognised and its weights are listed, no more.
//!
//! Invariants: what a transform does is said only of fastai's own; a column that fastai adds itself is
//! no input.

mod learner;
mod tabular;

use crate::error::{Error, Kind, Result, show_bytes};
use crate::model::format::pytorch::{container, data, legacy, limit, modules, others};
use crate::model::format::{Candidate, Folder, Format, Reading};
use crate::model::pickle::{self, Allow, Id, Limits, Node, Note, Pickle, Read};
use crate::model::tree::Tree;
use crate::model::zip::{self, Archive};

/// How much of a pickle is looked at for the class of its root.
const SNIFF: u64 = 256;

/// The format of fastai.
#[derive(Clone, Copy, Debug)]
pub struct Fastai;

impl Format for Fastai {
    fn name(&self) -> &'static str {
        "fastai"
    }

    fn detect(&self, folder: &Folder<'_>) -> Result<Vec<Candidate>> {
        let mut found = Vec::new();
        for file in folder.files() {
            let head = file.head()?;
            let (variant, what) = if is_legacy(head) {
                ("v1", "is a Learner of fastai 1")
            } else if zip::begins(head) {
                let content = file.open()?;
                let Ok(archive) = Archive::open(&content) else { continue };
                match container::kind(&archive) {
                    Some((container::Kind::Save, root)) if is_learner(&archive, &root) => {
                        ("zip", "is a Learner, by the class in its `data.pkl`")
                    }
                    _ => continue,
                }
            } else {
                continue;
            };
            found.push(Candidate::in_file("fastai", variant, file, what));
        }
        Ok(found)
    }

    fn read(&self, tree: &Tree, candidate: &Candidate, budget: u64) -> Result<Reading> {
        let mut reading = Reading::default();
        let content = tree.open(&candidate.file)?;
        let place = show_bytes(&candidate.file);
        let limits = Limits { bytes: budget, ..Limits::default() };
        if candidate.variant == "v1" {
            let mut read = legacy::object(&content, &limits)?;
            forgive(&mut read);
            pickle::verdict(&read, &Allow::FASTAI, &place, &mut reading);
            legacy::verdict_around(&content, read.end, &place, &mut reading);
            limit(&read, &mut reading);
            read.pickle.ask(&mut reading, |reading| {
                learner::first_version(&read.pickle, reading);
                Ok(())
            })?;
            return Ok(reading);
        }
        let archive = Archive::open(&content)?;
        let Some((container::Kind::Save, root)) = container::kind(&archive) else {
            return Err(Error::new(Kind::Model, "the zip archive has no `data.pkl`"));
        };
        let data = data(&archive, &root, budget)?;
        let mut stored = pickle::open(data.as_ref(), &limits)?;
        forgive(&mut stored.read);
        stored.verdict(&Allow::FASTAI, &place, &mut reading);
        others(&archive, &root, &mut reading);
        limit(&stored.read, &mut reading);
        reading.fact("serialization", "zip");
        reading.fact("pickle_protocol", stored.read.protocol);
        let pickle = stored.pickle();
        if let Some(root) = pickle.root() {
            if modules::class(pickle, root).is_none() {
                return Err(Error::new(Kind::Model, "the pickle holds no Learner"));
            }
            pickle.ask(&mut reading, |reading| {
                learner::read(pickle, root, reading);
                Ok(())
            })?;
        }
        Ok(reading)
    }
}

/// Takes out of the uses what fastai's own exports have and is harmless in this form: `print` as the
/// Learner's logger, bound methods, which cloudpickle makes of a class's function, and unions of types,
/// which are reduced by `|`.
fn forgive(read: &mut Read) {
    let pickle = &read.pickle;
    let method = |id: Id| {
        let Some(object) = pickle.object(id) else { return false };
        let args = object.args.and_then(|a| pickle.elements(a)).unwrap_or(&[]);
        is_builtin_type(pickle.global(object.class))
            && matches!(args, [name] if pickle.str(*name) == Some("MethodType"))
    };
    let all_methods = pickle
        .nodes()
        .filter(|(_, node)| matches!(node, Node::Object(o) if is_builtin_type(pickle.global(o.class))))
        .all(|(id, _)| method(id));
    read.notes.retain(|note| !matches!(note, Note::ComputedCall(id) if method(*id)));
    let or = |id: Id| matches!(pickle.global(id), Some(("_operator" | "operator", "or_")));
    let unions = pickle
        .nodes()
        .filter_map(|(_, node)| match node {
            Node::Object(o) if is_reduce(pickle.global(o.class)) => o.args,
            _ => None,
        })
        .all(|args| pickle.elements(args).and_then(|a| a.first()).is_some_and(|f| or(*f)));
    let attributes = pickle
        .nodes()
        .filter_map(|(_, node)| match node {
            Node::Object(o) if is_getattr(pickle.global(o.class)) => Some(o.args),
            _ => None,
        })
        .all(|args| args.and_then(|a| pickle.elements(a)).is_some_and(|a| is_known_method(pickle, a)));
    read.uses.retain(|one| {
        let name = (one.module.as_str(), one.name.as_str());
        let named = match name {
            ("builtins" | "__builtin__", "print") | ("_operator" | "operator", "or_") | ("typing", _) => true,
            // A method of one of fastai's classes, as protocol 4 names it.
            (module, name) => module.starts_with("fastai.") && is_method(name),
        };
        let fine = (named && !one.called)
            || (is_builtin_type(Some(name)) && all_methods)
            || (is_reduce(Some(name)) && unions)
            || (is_getattr(Some(name)) && one.called && attributes);
        !fine
    });
}

/// Whether `getattr` looks up a method of fastai's and spaCy's classes or of a regular expression.
fn is_known_method(pickle: &Pickle, args: &[Id]) -> bool {
    let [of, name] = args else { return false };
    let Some(name) = pickle.str(*name) else { return false };
    match (pickle.global(*of), pickle.class(*of)) {
        (Some((module, class)), _) => {
            (module.starts_with("fastai.") || module.starts_with("spacy."))
                && is_method(&format!("{class}.{name}"))
        }
        (_, Some(("re", "_compile"))) => {
            matches!(name, "search" | "match" | "fullmatch" | "finditer" | "split")
        }
        _ => false,
    }
}

fn is_getattr(name: Option<(&str, &str)>) -> bool {
    matches!(name, Some(("builtins" | "__builtin__", "getattr")))
}

/// Whether a name is that of a method of a class, of one that Python does not give a meaning.
fn is_method(name: &str) -> bool {
    name.split_once('.').is_some_and(|(class, method)| {
        class.starts_with(|c: char| c.is_ascii_uppercase())
            && !method.contains('.')
            && !method.starts_with("__")
    })
}

/// `functools.reduce`, which protocol 2 calls by its name in Python 2.
fn is_reduce(name: Option<(&str, &str)>) -> bool {
    matches!(name, Some(("__builtin__", "reduce") | ("functools" | "_functools", "reduce")))
}

fn is_builtin_type(name: Option<(&str, &str)>) -> bool {
    matches!(name, Some(("cloudpickle.cloudpickle" | "cloudpickle.cloudpickle_fast", "_builtin_type")))
}

/// Whether an archive's pickle is a Learner: the first name in it is the class of its root.
pub(crate) fn is_learner(archive: &Archive<'_>, root: &str) -> bool {
    let Some(entry) = archive.find(&format!("{root}data.pkl")) else { return false };
    let Ok(head) = archive.head(entry, SNIFF) else { return false };
    first_name(&head).is_some_and(|module| module.starts_with(b"fastai."))
}

/// The module of the first name, where the pickle begins with an object of a class.
pub(crate) fn first_name(head: &[u8]) -> Option<&[u8]> {
    let [0x80, _, rest @ ..] = head else { return None };
    let rest = match rest {
        // The frame of protocol 4 on.
        [0x95, frame @ ..] => frame.get(8..)?,
        rest => rest,
    };
    match rest {
        [b'c', name @ ..] => name.split(|b| *b == b'\n').next(),
        [0x8c, length, text @ ..] => text.get(..usize::from(*length)),
        _ => None,
    }
}

/// Whether a legacy file is a Learner of fastai 1: a dict that begins with its optimizer
/// (fastai 1, basic_train.py, `Learner.export`).
pub(crate) fn is_legacy(head: &[u8]) -> bool {
    let has = |text: &[u8]| head.windows(text.len()).any(|w| w == text);
    legacy::begins(head) && has(b"opt_func") && has(b"loss_func")
}

#[cfg(test)]
mod tests;
