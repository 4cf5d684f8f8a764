//! Arrays alone: `.npz` and `.npy` files, and pickles of lists of arrays, as the weights of networks
//! of Theano and Lasagne are saved (`np.savez(file, *lasagne.layers.get_all_param_values(net))`).
//!
//! They are a table of weights and no more: nothing in them tells what goes in and out, nor for which
//! framework they are. So they count only where there is no other model, and not where the names of
//! the arrays say that they are data.
//!
//! Invariants: of an array only the header is read; objects in one are a pickle, and are judged as
//! such.

use std::collections::BTreeSet;

use crate::error::{Error, Kind, Result, show_bytes};
use crate::model::format::{Candidate, File, Folder, MAX_ENTRIES, Reading, Severity, Weight, ends_in};
use crate::model::npy::{self, Header};
use crate::model::pb::Source;
use crate::model::pickle::{self, Allow, Id, Limits, Peek, Pickle};
use crate::model::tree::Tree;
use crate::model::zip::{self, Archive, Section};

/// The variants of candidates that are arrays alone.
pub(super) const VARIANTS: &[&str] = &["npz", "npy", "arrays"];
/// The longest pickle inside of an array that is judged.
const MAX_OBJECTS: u64 = 8 << 20;
/// Names of arrays, and of their files, that data has and weights have not; in lower case.
const DATA: &[&str] = &[
    "x",
    "y",
    "z",
    "data",
    "dataset",
    "target",
    "targets",
    "label",
    "labels",
    "image",
    "images",
    "feature",
    "features",
    "input",
    "inputs",
    "output",
    "outputs",
    "indices",
    "train",
    "test",
    "valid",
    "val",
    "samples",
    "mean",
    "std",
    "classes",
    "vocab",
    "predictions",
];
/// Parts of names that data has.
const DATA_PARTS: &[&str] = &[
    "x_", "y_", "train_", "test_", "val_", "valid_", "_train", "_test", "_val", "_valid", "_data", "_labels",
];

/// The arrays of a folder: each archive of them, else all the `.npy` together; or pickles of them.
pub(super) fn detect(folder: &Folder<'_>) -> Result<Vec<Candidate>> {
    let mut found = Vec::new();
    let mut single: Vec<&File<'_>> = Vec::new();
    for file in folder.files() {
        let head = file.head()?;
        if head.starts_with(npy::MAGIC) {
            single.push(file);
        } else if zip::begins(head) {
            let content = file.open()?;
            // One that was cut off is told by its first entry.
            let (whole, names) = match Archive::open(&content) {
                Ok(archive) => (true, archive.entries().iter().map(|e| e.name.clone()).collect::<Vec<_>>()),
                Err(_) => (false, first_entry(head).into_iter().collect()),
            };
            let arrays: Option<Vec<&str>> = names.iter().map(|n| n.strip_suffix(".npy")).collect();
            let Some(arrays) = arrays.filter(|a| !a.is_empty()) else { continue };
            if !arrays.iter().any(|name| is_data(name)) {
                let what = if whole { "is an archive of numpy arrays" } else { "begins with a numpy array" };
                found.push(Candidate::in_file("theano", "npz", file, what));
            }
        } else if let Some(peek) = file.pickle()?
            && may_be_arrays(peek)
            && let content = file.open()?
            && pickle::open(&content, &Limits::default()).is_ok_and(|s| !listed(s.pickle()).is_empty())
        {
            found.push(Candidate::in_file("theano", "arrays", file, "is a pickle of numpy arrays"));
        }
    }
    if found.is_empty() {
        found.extend(together(folder, &single));
    }
    for candidate in &mut found {
        candidate.warnings.push(
            "these are arrays and no more: nothing tells what goes in and out, nor which framework they are for"
                .to_owned(),
        );
    }
    Ok(found)
}

/// The `.npy` files of a folder, as one table.
fn together(folder: &Folder<'_>, files: &[&File<'_>]) -> Option<Candidate> {
    let (first, others) = files.split_first()?;
    if files.iter().any(|f| std::str::from_utf8(stem(f.name())).is_ok_and(is_data)) {
        return None;
    }
    let mut candidate = Candidate::in_file("theano", "npy", first, "is a numpy array");
    if !others.is_empty() {
        candidate.location = folder.path().to_vec();
        candidate.claims = files.iter().map(|f| f.path().to_vec()).collect();
    }
    Some(candidate)
}

fn stem(name: &[u8]) -> &[u8] {
    name.iter().rposition(|b| *b == b'.').map_or(name, |dot| &name[..dot])
}

/// The name in the local header at the beginning of a zip archive.
fn first_entry(head: &[u8]) -> Option<String> {
    let length = usize::from(u16::from_le_bytes([*head.get(26)?, *head.get(27)?]));
    String::from_utf8(head.get(30..30 + length)?.to_vec()).ok()
}

fn is_data(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    DATA.contains(&name.as_str()) || DATA_PARTS.iter().any(|p| name.starts_with(p) || name.ends_with(p))
}

/// Whether a pickle is a plain list, tuple or dict that looks up nothing but numpy's arrays.
fn may_be_arrays(peek: &Peek) -> bool {
    peek.plain.is_some()
        && peek.uses.iter().any(|u| u.module.starts_with("numpy"))
        && peek.uses.iter().all(|u| {
            u.module.starts_with("numpy") || matches!(u.module.as_str(), "_codecs" | "joblib.numpy_pickle")
        })
}

/// The arrays of a pickle in order, with their keys where it is a dict; none where something else is
/// among them.
fn listed(pickle: &Pickle) -> Vec<(&str, Id)> {
    let Some(root) = pickle.root() else { return Vec::new() };
    let all: Option<Vec<(&str, Id)>> = match (pickle.pairs(root), pickle.elements(root)) {
        (Some(pairs), _) => pairs.iter().map(|(k, v)| Some((pickle.str(*k)?, *v))).collect(),
        (None, Some(list)) => Some(list.iter().map(|v| ("", *v)).collect()),
        (None, None) => None,
    };
    let all = all.unwrap_or_default();
    let plain = |(name, id): &(&str, Id)| {
        !is_data(name) && pickle.array(*id).is_some_and(|a| !a.element.has_objects())
    };
    if all.len() <= MAX_ENTRIES && all.iter().all(plain) { all } else { Vec::new() }
}

/// Reads the table.
pub(super) fn read(tree: &Tree, candidate: &Candidate, budget: u64) -> Result<Reading> {
    let mut reading = Reading::default();
    let place = show_bytes(&candidate.file);
    reading.fact("serialization", if candidate.variant == "arrays" { "pickle" } else { candidate.variant });
    let mut weights = Vec::new();
    match candidate.variant {
        "npz" => {
            let content = tree.open(&candidate.file)?;
            let archive = Archive::open(&content)?;
            for (name, header) in npy::archive(&archive)? {
                let entry = archive.find(&format!("{name}.npy"));
                whole(&header, entry.map_or(0, |e| e.size), &format!("{place}: {name}"))?;
                if header.has_objects() {
                    let bytes = entry.and_then(|e| archive.read(e, MAX_OBJECTS).ok()).unwrap_or_default();
                    objects(&bytes, &header, &format!("{place}: {name}"), &mut reading);
                }
                weights.push(header.weight(name));
            }
            let numbered = weights.iter().enumerate().all(|(i, w)| w.name == format!("arr_{i}"));
            // Arrays without names are how Lasagne's parameters are saved; any other is anybody's.
            if !numbered {
                reading.framework = Some("numpy".to_owned());
            }
        }
        "npy" => {
            reading.framework = Some("numpy".to_owned());
            let files = if candidate.claims.is_empty() {
                vec![candidate.file.clone()]
            } else {
                candidate.claims.clone()
            };
            for file in files {
                let content = tree.open(&file)?;
                let header =
                    npy::read(&content).map_err(|e| e.context(format!("reading `{}`", show_bytes(&file))))?;
                whole(&header, content.size(), &show_bytes(&file))?;
                if header.has_objects() {
                    objects(&content, &header, &show_bytes(&file), &mut reading);
                }
                weights.push(header.weight(show_bytes(stem(crate::model::format::file_name(&file)))));
                if file != candidate.file {
                    reading.required.push(file);
                }
            }
        }
        _ => {
            let content = tree.open(&candidate.file)?;
            let stored = pickle::open(&content, &Limits { bytes: budget, ..Limits::default() })?;
            reading.fact("pickle_protocol", stored.read.protocol);
            stored.verdict(&Allow::DATA, &place, &mut reading);
            let tree = stored.pickle();
            for (name, id) in listed(tree) {
                let Some(array) = tree.array(id) else { continue };
                weights.push(Weight {
                    name: name.to_owned(),
                    dtype: array.element.dtype().map(|d| d.name().to_owned()),
                    shape: Some(array.shape.iter().map(|n| Some(*n)).collect()),
                });
            }
        }
    }
    let names: BTreeSet<&str> = weights.iter().map(|w| w.name.as_str()).collect();
    reading.fact("theano.arrays", names.len());
    reading.list_weights(weights);
    Ok(reading)
}

/// How many bytes an array's file lacks; more than there can be where the shape has no size at all.
fn missing(header: &Header, size: u64) -> Option<u64> {
    let item = header.element.size()?;
    let count = header.shape.iter().try_fold(1u64, |n, d| n.checked_mul(*d));
    let end = count.and_then(|n| n.checked_mul(item)?.checked_add(header.data)).unwrap_or(u64::MAX);
    end.checked_sub(size).filter(|n| *n > 0)
}

/// Sees that the elements are there that a header tells of.
fn whole(header: &Header, size: u64, place: &str) -> Result<()> {
    match missing(header, size).filter(|_| !header.has_objects()) {
        Some(missing) => {
            Err(Error::new(Kind::Model, format!("`{place}` is {missing} bytes shorter than its header says")))
        }
        None => Ok(()),
    }
}

/// Judges an array of objects, which is a pickle behind a header.
fn objects(source: &dyn Source, header: &Header, place: &str, reading: &mut Reading) {
    reading.find(
        Severity::Warning,
        "pickled-array",
        place,
        "the elements are objects in a pickle, which numpy loads only with `allow_pickle`, and then runs",
    );
    let section = Section::new(source, header.data, source.size());
    if let Ok(stored) = pickle::open(&section, &Limits { bytes: MAX_OBJECTS, ..Limits::default() }) {
        stored.verdict(&Allow::DATA, place, reading);
    } else {
        pickle::dangers(&section, &Limits { bytes: MAX_OBJECTS, ..Limits::default() }, place, reading);
    }
}

/// Whether a file of this name holds arrays.
pub(super) fn is_named(path: &[u8]) -> bool {
    ends_in(path, &[".npz", ".npy"])
}
