//! What a pickle builds: nodes in an arena, and questions about them.

use std::fmt;

use crate::model::pickle::budget::Budget;
use crate::model::pickle::numpy::Array;

/// A node's place in the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub(super) u32);

impl Id {
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// A string or bytes: short ones whole, long ones as a place in the file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Text {
    /// The content; a string as UTF-8, in which a surrogate has three bytes, as in Python.
    Here(Vec<u8>),
    /// Where the content lies in the (decompressed) source; `Stored::text` reads it.
    There {
        /// Offset in bytes.
        offset: u64,
        /// Length in bytes.
        length: u64,
        /// How it is written there.
        form: Form,
    },
}

/// How the content of a string or of bytes is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// As it is.
    Raw,
    /// Bytes, each as a character in UTF-8: how protocol 2 of Python 3 writes `bytes`.
    Latin1,
    /// In quotes and with escapes: Python 2's `repr`.
    Quoted,
    /// With escapes, as `raw-unicode-escape`.
    RawUnicode,
    /// With those escapes, and then as `Latin1`.
    RawLatin1,
}

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer that fits.
    Int(i64),
    /// An integer that does not: two's complement, little endian.
    Long(Vec<u8>),
    /// A float.
    Float(f64),
    /// `bytes`, `bytearray`, and Python 2's `str`.
    Bytes(Text),
    /// Text, as UTF-8.
    Str(Text),
    /// A list.
    List(Vec<Id>),
    /// A tuple.
    Tuple(Vec<Id>),
    /// A dict, in the order in which the items were set.
    Dict(Vec<(Id, Id)>),
    /// A set or a frozenset.
    Set(Vec<Id>),
    /// A name of a module and of something in it; it was not looked up.
    Global {
        /// The module: `sklearn.svm._classes`.
        module: String,
        /// The name in it, perhaps with dots.
        name: String,
    },
    /// What calling something would give.
    Object(Box<Object>),
    /// A numpy array or scalar; its bytes are not read.
    Array(Box<Array>),
    /// A persistent id, for the loader to make sense of.
    Persistent(Id),
    /// Something that cannot be known without running it.
    Opaque(&'static str),
}

/// A call and what is done to its result.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// What is called: mostly a [`Node::Global`].
    pub class: Id,
    /// With which arguments: mostly a [`Node::Tuple`].
    pub args: Option<Id>,
    /// Named arguments of `NEWOBJ_EX`.
    pub kwargs: Option<Id>,
    /// What `BUILD` gives it; for most objects the dict of its attributes.
    pub state: Option<Id>,
    /// What is appended or added to it.
    pub list: Vec<Id>,
    /// What is set in it.
    pub items: Vec<(Id, Id)>,
}

/// A pickle's nodes and its result.
#[derive(Clone, Default)]
pub struct Pickle {
    pub(super) nodes: Vec<Node>,
    pub(super) root: Option<Id>,
    pub(super) budget: Budget,
}

impl fmt::Debug for Pickle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pickle({} nodes)", self.nodes.len())
    }
}

impl Pickle {
    /// The result; `None` where the pickle has none.
    pub fn root(&self) -> Option<Id> {
        self.root
    }

    /// The node of an id of this pickle.
    pub fn node(&self, id: Id) -> &Node {
        self.nodes.get(id.0 as usize).unwrap_or(&Node::None)
    }

    /// Every node, in the order in which they were built.
    pub fn nodes(&self) -> impl Iterator<Item = (Id, &Node)> {
        (0u32..).map(Id).zip(&self.nodes)
    }

    /// Adds a node: for formats that build the same tree from another serialization (skops).
    pub fn push(&mut self, node: Node) -> Option<Id> {
        let id = Id(u32::try_from(self.nodes.len()).ok()?);
        self.nodes.push(node);
        Some(id)
    }

    /// Sets a node that was added before.
    pub fn set(&mut self, id: Id, node: Node) {
        if let Some(slot) = self.nodes.get_mut(id.0 as usize) {
            *slot = node;
        }
    }

    /// Sets the result.
    pub fn set_root(&mut self, id: Id) {
        self.root = Some(id);
    }

    /// An integer: also a bool, and a numpy scalar of an integer type.
    pub fn int(&self, id: Id) -> Option<i64> {
        match self.node(id) {
            Node::Int(n) => Some(*n),
            Node::Bool(b) => Some(i64::from(*b)),
            Node::Array(a) => a.scalar_int(),
            _ => None,
        }
    }

    /// A bool, or a numpy scalar of one.
    pub fn bool(&self, id: Id) -> Option<bool> {
        match self.node(id) {
            Node::Bool(b) => Some(*b),
            Node::Array(a) if a.is_bool() => a.scalar_int().map(|n| n != 0),
            _ => None,
        }
    }

    /// A float or an integer as a float.
    pub fn float(&self, id: Id) -> Option<f64> {
        match self.node(id) {
            Node::Float(x) => Some(*x),
            Node::Int(n) => Some(*n as f64),
            Node::Bool(b) => Some(f64::from(u8::from(*b))),
            Node::Array(a) => a.scalar_float(),
            _ => None,
        }
    }

    /// A string; Python 2's `str` counts as one where it is UTF-8.
    pub fn str(&self, id: Id) -> Option<&str> {
        match self.node(id) {
            Node::Str(Text::Here(s)) | Node::Bytes(Text::Here(s)) => std::str::from_utf8(s).ok(),
            _ => None,
        }
    }

    /// Whether it is `None`.
    pub fn is_none(&self, id: Id) -> bool {
        matches!(self.node(id), Node::None)
    }

    /// The elements of a list, a tuple or a set, also of an object that is a subclass of one.
    pub fn elements(&self, id: Id) -> Option<&[Id]> {
        match self.node(id) {
            Node::List(v) | Node::Tuple(v) | Node::Set(v) => Some(v),
            Node::Object(o) if !o.list.is_empty() => Some(&o.list),
            _ => None,
        }
    }

    /// The pairs of a dict, also of an object that is a subclass of one (`OrderedDict`, `Bunch`).
    pub fn pairs(&self, id: Id) -> Option<&[(Id, Id)]> {
        match self.node(id) {
            Node::Dict(v) => Some(v),
            Node::Object(o) => Some(&o.items),
            _ => None,
        }
    }

    /// The value of a string key of a dict; the last one set counts.
    pub fn get(&self, dict: Id, key: &str) -> Option<Id> {
        let pairs = self.pairs(dict)?;
        self.look(pairs.len())?;
        let is_key = |id: Id| match self.node(id) {
            Node::Str(Text::Here(s)) | Node::Bytes(Text::Here(s)) => s == key.as_bytes(),
            _ => false,
        };
        pairs.iter().rev().find(|(k, _)| is_key(*k)).map(|(_, v)| *v)
    }

    /// The object at a node.
    pub fn object(&self, id: Id) -> Option<&Object> {
        match self.node(id) {
            Node::Object(o) => Some(o),
            _ => None,
        }
    }

    /// The module and the name of a global.
    pub fn global(&self, id: Id) -> Option<(&str, &str)> {
        match self.node(id) {
            Node::Global { module, name } => Some((module, name)),
            _ => None,
        }
    }

    /// The class of an object; what `copyreg._reconstructor` and `copyreg.__newobj__` make is an
    /// object of that class already.
    pub fn class(&self, id: Id) -> Option<(&str, &str)> {
        self.global(self.object(id)?.class)
    }

    /// An attribute of an object: in its state, which may be a dict or a tuple of dict and slots.
    pub fn attr(&self, id: Id, name: &str) -> Option<Id> {
        let state = self.object(id)?.state?;
        match self.node(state) {
            Node::Tuple(parts) => {
                self.look(parts.len())?;
                parts.iter().rev().find_map(|p| self.get(*p, name))
            }
            _ => self.get(state, name),
        }
    }

    /// The array at a node.
    pub fn array(&self, id: Id) -> Option<&Array> {
        match self.node(id) {
            Node::Array(a) => Some(a),
            _ => None,
        }
    }
}
