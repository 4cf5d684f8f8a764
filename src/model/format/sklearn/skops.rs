//! skops: a zip archive with a tree of objects as JSON (`schema.json`) and arrays beside it.
//!
//! The tree becomes the one that a pickle of the same objects would be, so that one set of rules
//! reads both (skops/io/_general.py, _numpy.py, _sklearn.py, _scipy.py). Of arrays only the small
//! ones are read, of others the header.
//!
//! Invariants: JSON nests at most 128 deep, which is `serde_json`'s own limit; what is read and
//! inflated is bounded by the archive and by [`MAX_ARRAYS`].

use std::collections::BTreeMap;

use serde_json::Value;

use crate::error::{Error, Kind, Result};
use crate::model::format::json;
use crate::model::npy;
use crate::model::pb::Source;
use crate::model::pickle::{Array, ArrayData, ElementType, Id, Node, Object, Pickle, Read, Text, Use};
use crate::model::zip::Archive;

/// The name of the tree.
pub(super) const SCHEMA: &str = "schema.json";
/// The longest tree in bytes.
const MAX_SCHEMA: u64 = 16 << 20;
/// The longest array in bytes whose values are read.
const MAX_VALUES: u64 = 64 << 10;
/// What is read of a longer one: its header.
const HEADER: u64 = 4 << 10;
/// The longest arrays together whose values are kept; several may be one entry of the archive.
const MAX_KEPT: u64 = 16 << 20;
/// The most arrays that are looked at.
const MAX_ARRAYS: usize = 20_000;
/// The most nodes.
const MAX_NODES: usize = 1_000_000;

/// What an archive holds.
pub(super) struct Skops {
    /// The tree, and the names that a loader would look up.
    pub read: Read,
    /// The version of skops.
    pub version: Option<String>,
    /// The version of its format.
    pub protocol: Option<u64>,
}

/// Reads the tree of an archive.
pub(super) fn read(source: &dyn Source) -> Result<Skops> {
    let archive = Archive::open(source)?;
    let broken = |what: String| Error::new(Kind::Model, what);
    let entry = archive.find(SCHEMA).ok_or_else(|| broken(format!("a skops archive without `{SCHEMA}`")))?;
    let text = archive.read(entry, MAX_SCHEMA)?;
    let schema = json::parse(&text).map_err(|e| e.context(format!("reading `{SCHEMA}` of skops")))?;
    drop(text);
    if schema.get("__loader__").is_none() {
        return Err(broken(format!("`{SCHEMA}` does not begin with an object of skops (no `__loader__`)")));
    }
    let mut builder = Builder {
        archive: &archive,
        pickle: Pickle::default(),
        known: BTreeMap::new(),
        globals: BTreeMap::new(),
        uses: BTreeMap::new(),
        nodes: 0,
        arrays: 0,
        kept: 0,
        stopped: None,
    };
    let root = builder.node(&schema);
    builder.pickle.set_root(root);
    let uses = builder
        .uses
        .into_iter()
        .map(|((module, name), how)| Use {
            module,
            name,
            called: how != How::Named,
            made: how == How::Made,
            offset: 0,
        })
        .collect();
    Ok(Skops {
        read: Read { pickle: builder.pickle, uses, stopped: builder.stopped, ..Read::default() },
        version: schema.get("_skops_version").and_then(Value::as_str).map(str::to_owned),
        protocol: schema.get("protocol").and_then(Value::as_u64),
    })
}

/// What is done with a name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum How {
    Named,
    Made,
    Called,
}

struct Builder<'a, 's> {
    archive: &'a Archive<'s>,
    pickle: Pickle,
    known: BTreeMap<u64, Id>,
    globals: BTreeMap<(String, String), Id>,
    uses: BTreeMap<(String, String), How>,
    nodes: usize,
    arrays: usize,
    kept: u64,
    stopped: Option<String>,
}

impl Builder<'_, '_> {
    fn push(&mut self, node: Node) -> Id {
        self.nodes += 1;
        // Ids run out far beyond the limit that `node` keeps.
        self.pickle.push(node).expect("fewer nodes than ids")
    }

    fn text(&mut self, text: &str) -> Id {
        self.push(Node::Str(Text::Here(text.as_bytes().to_vec())))
    }

    fn global(&mut self, module: &str, name: &str, how: How) -> Id {
        let key = (module.to_owned(), name.to_owned());
        let used = self.uses.entry(key.clone()).or_insert(how);
        *used = (*used).max(how);
        if let Some(id) = self.globals.get(&key) {
            return *id;
        }
        let id = self.push(Node::Global { module: module.to_owned(), name: name.to_owned() });
        self.globals.insert(key, id);
        id
    }

    /// The class of a node, looked up as its loader would.
    fn class(&mut self, value: &Value, how: How) -> Id {
        let part = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
        self.global(part("__module__"), part("__class__"), how)
    }

    fn object(&mut self, class: Id, args: Option<Id>, state: Option<Id>) -> Node {
        Node::Object(Box::new(Object {
            class,
            args,
            kwargs: None,
            state,
            list: Vec::new(),
            items: Vec::new(),
        }))
    }

    fn node(&mut self, value: &Value) -> Id {
        if self.nodes >= MAX_NODES {
            self.stopped.get_or_insert_with(|| format!("{MAX_NODES} objects"));
            return self.push(Node::Opaque("more objects than are read"));
        }
        let loader = value.get("__loader__").and_then(Value::as_str).unwrap_or_default();
        let id = value.get("__id__").and_then(Value::as_u64);
        if loader == "CachedNode" {
            let known = id.and_then(|id| self.known.get(&id).copied());
            return known.unwrap_or_else(|| self.push(Node::Opaque("an object that was not met before")));
        }
        let node = self.read(loader, value);
        let made = self.push(node);
        if let Some(id) = id {
            self.known.insert(id, made);
        }
        made
    }

    fn list(&mut self, value: &Value) -> Vec<Id> {
        let all = value.get("content").and_then(Value::as_array);
        all.into_iter().flatten().map(|v| self.node(v)).collect()
    }

    fn read(&mut self, loader: &str, value: &Value) -> Node {
        let content = value.get("content");
        match loader {
            "JsonNode" => of_json(content),
            "DictNode" | "_DictWithDeprecatedKeysNode" | "DefaultDictNode" => {
                let inner = if loader == "DictNode" { content } else { content.and_then(|c| c.get("main")) };
                match inner.filter(|i| i.get("__loader__").is_some()) {
                    Some(main) => self.read("DictNode", main),
                    None => self.dict(inner, value.get("key_types")),
                }
            }
            "ListNode" => Node::List(self.list(value)),
            "TupleNode" => Node::Tuple(self.list(value)),
            "SetNode" => Node::Set(self.list(value)),
            "TypeNode" | "FunctionNode" => {
                let id = self.class(value, How::Named);
                self.pickle.node(id).clone()
            }
            "NdArrayNode" => self.array(value),
            "MaskedArrayNode" => match content.and_then(|c| c.get("data")) {
                Some(data) => self.read("NdArrayNode", data),
                None => Node::Opaque("a masked array"),
            },
            "SparseMatrixNode" => self.matrix(value),
            "DTypeNode" => match content.map(|c| self.array(c)) {
                Some(Node::Array(array)) => {
                    // A dtype is an array of it; here it is its name again.
                    Node::Str(Text::Here(
                        array.element.dtype().map_or("", crate::model::contract::DType::name).into(),
                    ))
                }
                _ => Node::Opaque("a dtype"),
            },
            "SliceNode" => {
                let class = self.global("builtins", "slice", How::Called);
                let ends = ["start", "stop", "step"].map(|key| {
                    let end = content.and_then(|c| c.get(key));
                    match end.filter(|e| e.is_object()) {
                        Some(node) => self.node(node),
                        None => self.push(end.map_or(Node::None, plain)),
                    }
                });
                let args = self.push(Node::Tuple(ends.to_vec()));
                self.object(class, Some(args), None)
            }
            "PartialNode" => {
                let class = self.global("functools", "partial", How::Called);
                let inner =
                    ["func", "args"].map(|key| content.and_then(|c| c.get(key)).map(|v| self.node(v)));
                let args = self.push(Node::Tuple(inner.into_iter().flatten().collect()));
                self.object(class, Some(args), None)
            }
            "MethodNode" => {
                if let Some(of) = content.and_then(|c| c.get("obj")) {
                    let _ = self.node(of);
                }
                self.class(value, How::Named);
                Node::Opaque("a method")
            }
            "BytesNode" | "BytearrayNode" => Node::Opaque("bytes"),
            "RandomStateNode" | "RandomGeneratorNode" => Node::Opaque("a generator of random numbers"),
            "ConstructorFromReduceNode" | "OperatorFuncNode" => {
                let class = self.class(value, How::Called);
                let args =
                    content.or_else(|| value.get("attrs")).filter(|c| c.is_object()).map(|c| self.node(c));
                self.object(class, args, None)
            }
            // Cython's objects are made from arguments; a tree's nodes are weights.
            "TreeNode" => {
                let class = self.class(value, How::Made);
                let args = value.get("__reduce__").and_then(|r| r.get("args")).map(|a| self.node(a));
                self.object(class, args, None)
            }
            // Any other has a class and a state, as `ObjectNode`.
            _ => {
                let class = self.class(value, How::Made);
                let args = value.get("__reduce__").and_then(|r| r.get("args")).map(|a| self.node(a));
                let state = content.filter(|c| c.is_object()).map(|c| self.node(c));
                self.object(class, args, state)
            }
        }
    }

    /// A dict; its keys are texts in JSON, and integers where the list of their types says so.
    fn dict(&mut self, content: Option<&Value>, types: Option<&Value>) -> Node {
        let Some(Value::Object(map)) = content else { return Node::Dict(Vec::new()) };
        let types = types.and_then(|t| t.get("content")).and_then(Value::as_array);
        let mut pairs = Vec::with_capacity(map.len());
        for (key, value) in map {
            let key = self.text(key);
            let value = self.node(value);
            pairs.push((key, value));
        }
        for kind in types.into_iter().flatten() {
            self.class(kind, How::Named);
        }
        Node::Dict(pairs)
    }

    fn array(&mut self, value: &Value) -> Node {
        let unknown = Node::Opaque("an array");
        if value.get("type").and_then(Value::as_str) == Some("json") {
            let objects = self.list(value);
            let shape = match value.get("shape") {
                Some(shape) => {
                    let id = self.node(shape);
                    self.pickle.shape(id)
                }
                None => None,
            };
            let element = ElementType { code: "O8".to_owned(), big_endian: false, fields: Vec::new() };
            let Some(shape) = shape else { return unknown };
            let fits = shape.iter().try_fold(1u64, |n, d| n.checked_mul(*d)) == Some(objects.len() as u64);
            let data = if fits { ArrayData::Objects(objects) } else { ArrayData::Unknown };
            return Node::Array(Box::new(Array { element, shape, fortran: false, data }));
        }
        self.arrays += 1;
        if self.arrays > MAX_ARRAYS {
            self.stopped.get_or_insert_with(|| format!("{MAX_ARRAYS} arrays"));
            return unknown;
        }
        let entry = value.get("file").and_then(Value::as_str).and_then(|f| self.archive.find(f));
        let Some(entry) = entry else { return unknown };
        let whole = entry.size <= MAX_VALUES && self.kept + entry.size <= MAX_KEPT;
        if whole {
            self.kept += entry.size;
        }
        let bytes =
            if whole { self.archive.read(entry, MAX_VALUES) } else { self.archive.head(entry, HEADER) };
        match bytes.ok().and_then(|b| npy(&b, whole)) {
            Some(array) => Node::Array(Box::new(array)),
            None => unknown,
        }
    }

    /// A matrix of scipy's, as `save_npz` writes it: an archive of arrays in the archive.
    fn matrix(&mut self, value: &Value) -> Node {
        let class = self.class(value, How::Made);
        let entry = value.get("file").and_then(Value::as_str).and_then(|f| self.archive.find(f));
        let parts = entry.and_then(|e| {
            let bytes = self.archive.read(e, 1 << 20).ok()?;
            let inner = Archive::open(&bytes.as_slice()).map(|a| {
                let part = |name: &str| npy(&a.head(a.find(name)?, HEADER).ok()?, true);
                (part("shape.npy"), part("data.npy"))
            });
            inner.ok()
        });
        let Some((Some(shape), data)) = parts else { return Node::Opaque("a sparse matrix") };
        let dims: Vec<Id> =
            shape.ints().unwrap_or_default().into_iter().map(|n| self.push(Node::Int(n))).collect();
        let dims = self.push(Node::Tuple(dims));
        let name = self.text("_shape");
        let mut pairs = vec![(name, dims)];
        if let Some(data) = data {
            let key = self.text("data");
            let data = self.push(Node::Array(Box::new(Array { data: ArrayData::Unknown, ..data })));
            pairs.push((key, data));
        }
        let state = self.push(Node::Dict(pairs));
        self.object(class, None, Some(state))
    }
}

/// A plain value: JSON in a text.
fn of_json(content: Option<&Value>) -> Node {
    let parsed = content.and_then(Value::as_str).and_then(|text| json::parse(text.as_bytes()).ok());
    // NaN and the infinities, which Python's JSON has.
    parsed.as_ref().map_or_else(
        || match content.and_then(Value::as_str) {
            Some("NaN") => Node::Float(f64::NAN),
            Some("Infinity") => Node::Float(f64::INFINITY),
            Some("-Infinity") => Node::Float(f64::NEG_INFINITY),
            _ => Node::Opaque("a value"),
        },
        plain,
    )
}

fn plain(value: &Value) -> Node {
    match value {
        Value::Null => Node::None,
        Value::Bool(b) => Node::Bool(*b),
        Value::Number(n) => match (n.as_i64(), n.as_f64()) {
            (Some(n), _) => Node::Int(n),
            (None, Some(x)) => Node::Float(x),
            (None, None) => Node::Opaque("a number"),
        },
        Value::String(s) => Node::Str(Text::Here(s.as_bytes().to_vec())),
        Value::Array(_) | Value::Object(_) => Node::Opaque("a value"),
    }
}

/// An array in numpy's own format, and its bytes where all of them are at hand.
fn npy(bytes: &[u8], whole: bool) -> Option<Array> {
    let header = npy::read(&bytes).ok()?;
    let start = usize::try_from(header.data).ok()?;
    let data = match bytes.get(start..) {
        Some(data) if whole && !header.has_objects() => ArrayData::Bytes(Text::Here(data.to_vec())),
        _ => ArrayData::Unknown,
    };
    Some(Array { element: header.element, shape: header.shape, fortran: header.fortran, data })
}
