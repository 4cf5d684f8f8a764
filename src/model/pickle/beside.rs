//! Arrays in files beside a pickle: joblib before 0.10 wrote each array to a file of its own,
//! `model.pkl_01.npy` beside `model.pkl`, and left its name in the pickle (joblib 0.9,
//! numpy_pickle.py: `NDArrayWrapper`, `ZNDArrayWrapper`).
//!
//! [`Stored::beside`] puts them where the pickle has their names: type and shape by the header, and
//! the elements of small ones. An array of objects is a pickle in its file; it is read into the same
//! tree, and judged with it.
//!
//! Invariants: only files directly beside the pickle are asked for; what all of them take together
//! is bounded as that of the pickle is.

use crate::error::{Kind, Result};
use crate::model::npy;
use crate::model::pb::Source;
use crate::model::pickle::INLINE;
use crate::model::pickle::fold::array;
use crate::model::pickle::machine::resume;
use crate::model::pickle::node::{Id, Node, Pickle, Text};
use crate::model::pickle::numpy::{Array, ArrayData};
use crate::model::pickle::stored::Stored;
use crate::model::pickle::told::{Note, Read};

/// The most files that are read; a forest has some hundreds.
const MAX_FILES: usize = 10_000;
/// The most bytes of elements that are kept of all files together.
const MAX_KEPT: usize = 4 << 20;

/// Opens a file that lies beside the pickle; `None` where there is none of the name.
pub type Open<'o> = dyn Fn(&str) -> Result<Option<Box<dyn Source>>> + 'o;

/// What became of the files that a pickle names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// Those that are parts of the model.
    pub read: Vec<String>,
    /// Those that are not there, or not what they should be, with the reason.
    pub missing: Vec<(String, String)>,
}

/// Whether a class of this name stands for an array in another file.
pub(super) fn is_wrapper(module: &str, name: &str) -> bool {
    matches!(
        module,
        "joblib.numpy_pickle"
            | "joblib.numpy_pickle_compat"
            | "sklearn.externals.joblib.numpy_pickle"
            | "sklearn.externals.joblib.numpy_pickle_compat"
    ) && matches!(name, "NDArrayWrapper" | "ZNDArrayWrapper")
}

/// Whether a file's name is one that joblib before 0.10 gave to an array of the model in the file
/// `model`: `model.pkl_01.npy`, and with `.z` where it is compressed.
pub fn is_side_file(model: &[u8], name: &[u8]) -> bool {
    let Some(rest) = name.strip_prefix(model).and_then(|r| r.strip_prefix(b"_")) else { return false };
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    digits >= 2 && matches!(&rest[digits..], b".npy" | b".npy.z")
}

impl Stored<'_> {
    /// Puts in the arrays that lie in files beside the pickle. `open` is asked for a file of a name
    /// without any folder; it answers `None` where there is none.
    ///
    /// Fails where the file system does. What is broken is told as missing.
    pub fn beside(&mut self, open: &Open<'_>) -> Result<Beside> {
        let mut told = Beside::default();
        let wrappers = wrappers(&self.read.pickle);
        let mut kept = 0;
        for (id, name, inner) in wrappers.into_iter().take(MAX_FILES) {
            // What the pickle itself tells of a compressed one is enough: it has a hundred MiB.
            if let Some(inner) = inner {
                self.read.pickle.set(id, Node::Array(Box::new(inner)));
            }
            match self.put(id, &name, open, &mut kept) {
                Ok(None) => told.read.push(name),
                Ok(Some(reason)) => told.missing.push((name, reason)),
                Err(e) if e.kind() == Kind::Model => told.missing.push((name, e.to_string())),
                Err(e) => return Err(e),
            }
        }
        self.read.notes.retain(|n| !matches!(n, Note::SideFile(name) if told.read.contains(name)));
        Ok(told)
    }

    /// Puts one array in; the reason where it cannot be.
    fn put(&mut self, id: Id, name: &str, open: &Open<'_>, kept: &mut usize) -> Result<Option<String>> {
        if name.is_empty() || matches!(name, "." | "..") || name.contains(['/', '\\', '\0']) {
            return Ok(Some("it lies outside of the model's folder".to_owned()));
        }
        let Some(source) = open(name)? else { return Ok(Some("it is not there".to_owned())) };
        if self.read.pickle.array(id).is_some() {
            return Ok(None);
        }
        let header = npy::read(&*source)?;
        if header.has_objects() {
            return self.nested(id, &*source, header.data);
        }
        let mut found = Array {
            element: header.element,
            shape: header.shape,
            fortran: header.fortran,
            data: ArrayData::Unknown,
        };
        let length = found.byte_length().and_then(|n| usize::try_from(n).ok());
        if let Some(length) = length.filter(|n| *n <= INLINE && *kept + n <= MAX_KEPT) {
            let mut bytes = vec![0; length];
            if source.read_at(header.data, &mut bytes)? < length {
                return Ok(Some("it ends inside of its elements".to_owned()));
            }
            *kept += length;
            found.data = ArrayData::Bytes(Text::Here(bytes));
        }
        self.read.pickle.set(id, Node::Array(Box::new(found)));
        Ok(None)
    }

    /// Reads the pickle in a file of objects into the tree.
    fn nested(&mut self, id: Id, source: &dyn Source, at: u64) -> Result<Option<String>> {
        let before = std::mem::take(&mut self.read);
        let (nodes, notes) = (before.pickle.nodes.len(), before.notes.len());
        let (root, protocol, end) = (before.pickle.root, before.protocol, before.end);
        let (stopped, unfinished) = (before.stopped.clone(), before.unfinished);
        let (mut read, failure) = resume(before, source, at, &self.limits, None);
        let limit = std::mem::replace(&mut read.stopped, stopped);
        let found = if limit.is_none() && failure.is_none() { read.pickle.root } else { None };
        (read.pickle.root, read.protocol, read.end, read.unfinished) = (root, protocol, end, unfinished);
        forget(&mut read, nodes, notes);
        if let Some(found) = found {
            let node = read.pickle.node(found).clone();
            read.pickle.set(id, node);
        }
        self.read = read;
        match (failure, limit) {
            (Some(failure), _) => Err(failure),
            (None, Some(limit)) => Ok(Some(limit)),
            (None, None) => Ok(None),
        }
    }
}

/// The objects that stand for arrays: their names, and what a compressed one tells of its array.
fn wrappers(tree: &Pickle) -> Vec<(Id, String, Option<Array>)> {
    let mut found = Vec::new();
    for (id, node) in tree.nodes() {
        let Node::Object(_) = node else { continue };
        if !tree.class(id).is_some_and(|(module, name)| is_wrapper(module, name)) {
            continue;
        }
        let name = tree.attr(id, "filename").and_then(|f| tree.str(f)).unwrap_or_default().to_owned();
        let inner = tree.attr(id, "state").and_then(|s| array(tree, s));
        found.push((id, name, inner.map(|a| Array { data: ArrayData::Unknown, ..a })));
    }
    found
}

/// What was left in the file of another pickle cannot be read again from the file of this one.
fn forget(read: &mut Read, nodes: usize, notes: usize) {
    let there = |text: &Text| matches!(text, Text::There { .. });
    for node in read.pickle.nodes.iter_mut().skip(nodes) {
        match node {
            Node::Str(text) | Node::Bytes(text) if there(text) => *node = Node::Opaque("a long text"),
            Node::Array(array) => match &array.data {
                ArrayData::Bytes(text) if there(text) => array.data = ArrayData::Unknown,
                ArrayData::Stream { .. } => array.data = ArrayData::Unknown,
                _ => {}
            },
            _ => {}
        }
    }
    let root = read.pickle.root;
    for note in read.notes.iter_mut().skip(notes) {
        if let (Note::Nested { text, .. }, Some(root)) = (&*note, root)
            && there(text)
        {
            *note = Note::ComputedCall(root);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Beside, is_side_file};
    use crate::error::Result;
    use crate::model::pb::Source;
    use crate::model::pickle::{Limits, Note, Stored, open};

    const WRAPPER: &str = "csklearn.externals.joblib.numpy_pickle\nNDArrayWrapper\n";

    fn pickle(file: &str) -> String {
        format!(
            "(dS'a'\nccopy_reg\n_reconstructor\n({WRAPPER}c__builtin__\nobject\nNtR(dS'filename'\nS'{file}'\nsbs."
        )
    }

    fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let mut header = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}");
        while (10 + header.len() + 1) % 16 != 0 {
            header.push(' ');
        }
        header.push('\n');
        let length = (header.len() as u16).to_le_bytes();
        [b"\x93NUMPY\x01\0".as_slice(), &length, header.as_bytes(), data].concat()
    }

    fn put<'s>(source: &'s &[u8], files: &BTreeMap<&str, Vec<u8>>) -> (Stored<'s>, Beside) {
        let mut stored = open(source, &Limits::default()).unwrap();
        let open = |name: &str| -> Result<Option<Box<dyn Source>>> {
            Ok(files.get(name).map(|f| Box::new(f.clone()) as Box<dyn Source>))
        };
        let told = stored.beside(&open).unwrap();
        (stored, told)
    }

    #[test]
    fn an_array_is_read_from_its_file() {
        let main = pickle("m_01.npy");
        let main = main.as_bytes();
        let files = BTreeMap::from([(
            "m_01.npy",
            npy("'<i8'", "(2,)", &[7, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0]),
        )]);
        let (stored, told) = put(&main, &files);
        assert_eq!(told.read, ["m_01.npy"]);
        assert!(stored.read.notes.is_empty());
        let tree = stored.pickle();
        let found = tree.array(tree.get(tree.root().unwrap(), "a").unwrap()).unwrap();
        assert_eq!(
            (found.shape.as_slice(), found.ints().unwrap().as_slice()),
            ([2].as_slice(), [7, 9].as_slice())
        );
    }

    #[test]
    fn what_is_not_there_or_broken_is_told() {
        let main = pickle("m_01.npy");
        let main = main.as_bytes();
        let broken =
            [npy("'<i8'", "(2,)", &[1]), npy("'|O'", "(2,)", b"\x80\x02]"), b"no".to_vec(), Vec::new()];
        for file in broken.into_iter().map(Some).chain([None]) {
            let files = file.into_iter().map(|f| ("m_01.npy", f)).collect();
            let (stored, told) = put(&main, &files);
            assert!(told.read.is_empty() && told.missing.len() == 1, "{told:?}");
            assert!(matches!(&stored.read.notes[..], [Note::SideFile(name)] if name == "m_01.npy"));
            assert!(stored.pickle().root().is_some());
        }
    }

    #[test]
    fn no_file_of_another_folder_is_asked_for() {
        for name in ["../m_01.npy", "/etc/passwd", "..", "a\\\\b.npy", ""] {
            let main = pickle(name);
            let main = main.as_bytes();
            let mut stored = open(&main, &Limits::default()).unwrap();
            let told = stored.beside(&|name| panic!("`{name}` was asked for")).unwrap();
            assert_eq!((told.read.len(), told.missing.len()), (0, 1));
        }
    }

    #[test]
    fn objects_in_a_file_are_judged_with_the_rest() {
        let main = pickle("m_01.npy");
        let main = main.as_bytes();
        let inner = b"cos\nsystem\n(S'true'\ntR.".as_slice();
        let files = BTreeMap::from([("m_01.npy", npy("'|O'", "(1,)", inner))]);
        let (stored, told) = put(&main, &files);
        assert_eq!(told.read.len(), 1);
        assert!(stored.read.uses.iter().any(|u| u.module == "os" && u.name == "system"));
    }

    #[test]
    fn names_of_side_files() {
        for name in ["m.pkl_01.npy", "m.pkl_100.npy", "m.pkl_02.npy.z"] {
            assert!(is_side_file(b"m.pkl", name.as_bytes()), "{name}");
        }
        for name in ["m.pkl", "m.pkl_1.npy", "m.pkl_01.npz", "other_01.npy", "m.pkl_01.npy.bak"] {
            assert!(!is_side_file(b"m.pkl", name.as_bytes()), "{name}");
        }
    }
}
