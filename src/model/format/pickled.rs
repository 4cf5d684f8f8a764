//! Models that are pickled objects of one library: which library, and what all of them tell.
//!
//! It is no format of its own: the library whose class the root is owns the file. A pipeline of
//! scikit-learn with such a model in it is scikit-learn's.

use crate::error::{Error, Kind, Result, show_bytes};
use crate::model::contract::DType;
use crate::model::format::{Candidate, Folder, MAX_ENTRIES, Reading};
use crate::model::pickle::{self, Allow, Id, Limits, Node, Pickle, Stored, Text};
use crate::model::tree::Content;

/// The longest model inside of a pickle that is read.
pub(super) const MAX_INNER: u64 = 64 << 20;
/// The variant of a candidate that is a pickle.
pub(super) const VARIANT: &str = "pickle";

/// The pickles of a folder that are objects of a library.
pub(super) fn candidates(
    folder: &Folder<'_>,
    format: &'static str,
    library: &str,
    what: &str,
) -> Result<Vec<Candidate>> {
    let mut found = Vec::new();
    for file in folder.files() {
        let Some(peek) = file.pickle()? else { continue };
        let Some((module, name)) = peek.root.as_ref().filter(|_| peek.root_in(library)) else { continue };
        found.push(Candidate::in_file(
            format,
            VARIANT,
            file,
            format_args!(
                "holds a pickled model of {what} (`{}.{}`)",
                show_bytes(module.as_bytes()),
                show_bytes(name.as_bytes())
            ),
        ));
    }
    Ok(found)
}

/// Opens a pickle, and adds the facts of all pickles.
fn open<'s>(content: &'s Content, file: &[u8], budget: u64, reading: &mut Reading) -> Result<Stored<'s>> {
    let stored = pickle::open(content, &Limits { bytes: budget, ..Limits::default() })?;
    stored.verdict(&Allow::SKLEARN, &show_bytes(file), reading);
    reading.fact("serialization", VARIANT);
    reading.fact("pickle_protocol", stored.read.protocol);
    reading.fact("compression", stored.compression);
    if let Some(limit) = &stored.read.stopped {
        reading.warnings.push(format!("the pickle was read up to {limit}; the rest is unknown"));
    }
    Ok(stored)
}

/// Reads a candidate that is a pickle by what its library makes of the root.
pub(super) fn read(
    content: &Content,
    file: &[u8],
    budget: u64,
    library: impl FnOnce(&Stored<'_>, Id, &mut Reading) -> Result<()>,
) -> Result<Reading> {
    let mut reading = Reading::default();
    let stored = open(content, file, budget, &mut reading)?;
    if let Some(root) = stored.pickle().root() {
        stored.pickle().ask(&mut reading, |reading| library(&stored, root, reading))?;
    }
    Ok(reading)
}

/// The class of an object of a library, by its name alone.
pub(super) fn class<'p>(pickle: &'p Pickle, id: Id, library: &str) -> Option<&'p str> {
    let (module, name) = pickle.class(id)?;
    (module.split('.').next() == Some(library)).then_some(name)
}

/// A model that lies inside of a pickle.
pub(super) enum Inner {
    /// Its bytes or its text.
    Here(Vec<u8>),
    /// It has more bytes than are read, which is a warning.
    TooLong,
    /// There is none.
    Absent,
}

/// The model in the first of these attributes that is there.
pub(super) fn inner(stored: &Stored<'_>, id: Id, names: &[&str], reading: &mut Reading) -> Result<Inner> {
    let tree = stored.pickle();
    let value = names.iter().find_map(|n| tree.attr(id, n).or_else(|| tree.get(id, n)));
    match value.map(|v| tree.node(v)) {
        Some(Node::Bytes(Text::There { length, .. }) | Node::Str(Text::There { length, .. }))
            if *length > MAX_INNER =>
        {
            reading.warnings.push(format!(
                "the model inside of the pickle has {length} bytes, of which at most {} MiB are read; its \
                 contract is unknown",
                MAX_INNER >> 20
            ));
            Ok(Inner::TooLong)
        }
        Some(Node::Bytes(text) | Node::Str(text)) => stored.text(text, MAX_INNER).map(Inner::Here),
        _ => Ok(Inner::Absent),
    }
}

/// The error for a pickle that holds no model where one should be.
pub(super) fn without_model(what: &str) -> Error {
    Error::new(Kind::Model, format!("{what} without a model in it: it was never fitted"))
}

/// The labels in an array of them, and their type as Python's users see it.
pub(super) fn labels(tree: &Pickle, id: Id) -> (Option<DType>, Option<serde_json::Value>) {
    let Some(array) = tree.array(id) else { return (None, None) };
    let dtype = match array.element.dtype() {
        // An array of objects holds texts where it is one of labels; anything else is not certain.
        Some(DType::Object) => match &array.data {
            pickle::ArrayData::Objects(all)
                if !all.is_empty() && all.iter().all(|v| matches!(tree.node(*v), Node::Str(_))) =>
            {
                Some(DType::String)
            }
            _ => None,
        },
        other => other,
    };
    let list = match &array.data {
        pickle::ArrayData::Objects(all) if all.len() <= MAX_ENTRIES => {
            let text = |v: &Id| {
                tree.copy_str(*v).map(serde_json::Value::from).or_else(|| tree.int(*v).map(Into::into))
            };
            all.iter().map(text).collect::<Option<Vec<_>>>()
        }
        _ if array.is_bool() => {
            array.ints().map(|all| all.into_iter().map(|n| serde_json::Value::from(n != 0)).collect())
        }
        _ => array
            .ints()
            .map(|all| all.into_iter().map(serde_json::Value::from).collect())
            .or_else(|| array.texts().map(|all| all.into_iter().map(serde_json::Value::from).collect()))
            .or_else(|| array.floats().map(|all| all.into_iter().map(serde_json::Value::from).collect())),
    };
    (dtype, list.map(serde_json::Value::Array))
}
