//! Estimators as the pickle holds them: a class by name, and attributes.
//!
//! It reads what was stored, shapes and small values, and nothing is computed from weights. What an
//! attribute means is for the rules to know.
//!
//! Invariant: what is not there, of another type, or too big is `None`, never a default.

use crate::model::contract::{Contract, DType};
use crate::model::pickle::{Array, ArrayData, Id, Node, Pickle, Text};

/// The most bytes of one array whose values are read: names, labels, masks.
const MAX_VALUES: u64 = 1 << 20;
/// The most elements of a list that are looked at.
const MAX_ELEMENTS: usize = 10_000;

/// A tree of objects, and how to get at arrays that lie outside of it.
pub(super) struct State<'p> {
    /// The tree.
    pub pickle: &'p Pickle,
    /// Reads the bytes of an array that lies elsewhere in the file, up to a number of bytes.
    pub fetch: &'p dyn Fn(&Array, u64) -> Option<Vec<u8>>,
    /// The contract of a model of XGBoost, LightGBM or CatBoost that is one of the nodes.
    pub booster: &'p dyn Fn(Id) -> Option<Contract>,
    /// The release of scikit-learn that some object in it was saved by.
    release: Option<(u32, u32)>,
}

/// One value of the tree, mostly an estimator.
#[derive(Clone, Copy)]
pub(super) struct Part<'p> {
    state: &'p State<'p>,
    /// Its node.
    pub id: Id,
}

impl<'p> State<'p> {
    /// A tree, and how to read what lies outside of it.
    pub(super) fn new(
        pickle: &'p Pickle,
        fetch: &'p dyn Fn(&Array, u64) -> Option<Vec<u8>>,
        booster: &'p dyn Fn(Id) -> Option<Contract>,
    ) -> Self {
        let stated = pickle.nodes().find_map(|(id, node)| match node {
            Node::Dict(_) => pickle.str(pickle.get(id, "_sklearn_version")?).and_then(release),
            _ => None,
        });
        Self { pickle, fetch, booster, release: stated }
    }

    /// A value of the tree.
    pub(super) fn part(&'p self, id: Id) -> Part<'p> {
        Part { state: self, id }
    }
}

impl<'p> Part<'p> {
    pub(super) fn pickle(self) -> &'p Pickle {
        self.state.pickle
    }

    /// The node itself.
    pub(super) fn node(self) -> &'p Node {
        self.pickle().node(self.id)
    }

    /// Module and name of its class.
    pub(super) fn class(self) -> Option<(&'p str, &'p str)> {
        self.pickle().class(self.id)
    }

    /// The name of its class.
    pub(super) fn name(self) -> &'p str {
        self.class().map_or("", |(_, name)| name)
    }

    /// The release of scikit-learn that it was saved by: `_sklearn_version`, since 0.18; of what has
    /// none, that of another object. Where no object has one, 0.17, as nothing older is read.
    ///
    /// `None` where it has none and yet its module has a name of a later release.
    pub(super) fn release(self) -> Option<(u32, u32)> {
        if let Some(own) = self.text("_sklearn_version") {
            return release(own);
        }
        let later = || {
            self.class()
                .is_none_or(|(module, _)| module.split('.').any(|m| m.starts_with('_') && m != "_tree"))
        };
        self.state.release.or_else(|| (!later()).then_some((0, 17)))
    }

    /// Whether its class is scikit-learn's own.
    pub(super) fn is_ours(self) -> bool {
        self.class().is_some_and(|(module, _)| is_ours(module))
    }

    /// An attribute that is there and is not `None`.
    pub(super) fn attr(self, name: &str) -> Option<Self> {
        let id = self.pickle().attr(self.id, name)?;
        (!self.pickle().is_none(id)).then_some(Self { state: self.state, id })
    }

    /// Whether an attribute is there, even if it is `None`.
    pub(super) fn has(self, name: &str) -> bool {
        self.pickle().attr(self.id, name).is_some()
    }

    /// Whether an attribute is there and is not `None`.
    pub(super) fn has_value(self, name: &str) -> bool {
        self.attr(name).is_some()
    }

    /// The names of its attributes.
    pub(super) fn attributes(self) -> Vec<&'p str> {
        let Some(state) = self.pickle().object(self.id).and_then(|o| o.state) else { return Vec::new() };
        let dicts = match self.node_of(state) {
            Node::Tuple(parts) => parts.as_slice(),
            _ => &[state],
        };
        let pairs = dicts.iter().take(MAX_ELEMENTS).flat_map(|d| self.pickle().pairs(*d).unwrap_or_default());
        let mut names = Vec::new();
        for (key, _) in pairs.take(MAX_ELEMENTS) {
            if self.pickle().look(1).is_none() {
                return Vec::new();
            }
            names.extend(self.pickle().str(*key));
        }
        names
    }

    /// Whether it has a state of attributes.
    pub(super) fn has_attributes(self) -> bool {
        !self.attributes().is_empty()
    }

    fn node_of(self, id: Id) -> &'p Node {
        self.pickle().node(id)
    }

    /// A text.
    pub(super) fn as_text(self) -> Option<&'p str> {
        self.pickle().str(self.id)
    }

    /// An attribute that is a text.
    pub(super) fn text(self, name: &str) -> Option<&'p str> {
        self.attr(name)?.as_text()
    }

    /// An attribute that is a truth value.
    pub(super) fn flag(self, name: &str) -> Option<bool> {
        let part = self.attr(name)?;
        self.pickle().bool(part.id).or_else(|| match part.node() {
            Node::Int(n) => Some(*n != 0),
            _ => None,
        })
    }

    /// A count.
    pub(super) fn as_count(self) -> Option<u64> {
        u64::try_from(self.pickle().int(self.id)?).ok()
    }

    /// An attribute that is a count.
    pub(super) fn count(self, name: &str) -> Option<u64> {
        self.attr(name)?.as_count()
    }

    /// The elements of a list or tuple, or of an array of objects.
    pub(super) fn elements(self) -> Option<Vec<Self>> {
        let ids = match self.node() {
            Node::Array(a) => a.objects()?,
            _ => self.pickle().elements(self.id)?,
        };
        if ids.len() > MAX_ELEMENTS {
            return None;
        }
        self.pickle().look(ids.len())?;
        Some(ids.iter().map(|id| Self { state: self.state, id: *id }).collect())
    }

    /// The elements of an attribute; none where it is not there.
    pub(super) fn list(self, name: &str) -> Vec<Self> {
        self.attr(name).and_then(Self::elements).unwrap_or_default()
    }

    /// The pairs of a dict.
    pub(super) fn pairs(self) -> Vec<(Self, Self)> {
        let pairs = self.pickle().pairs(self.id).unwrap_or_default();
        if self.pickle().look(pairs.len().min(MAX_ELEMENTS)).is_none() {
            return Vec::new();
        }
        let part = |id: &Id| Self { state: self.state, id: *id };
        pairs.iter().take(MAX_ELEMENTS).map(|(k, v)| (part(k), part(v))).collect()
    }

    /// How many pairs a dict has.
    pub(super) fn size_of_dict(self) -> Option<u64> {
        match self.node() {
            Node::Dict(pairs) => Some(pairs.len() as u64),
            Node::Object(o) => Some(o.items.len() as u64),
            _ => None,
        }
    }

    /// An array.
    pub(super) fn as_array(self) -> Option<&'p Array> {
        self.pickle().array(self.id)
    }

    /// What the reader of another library's format makes of it.
    pub(super) fn booster(self) -> Option<Contract> {
        (self.state.booster)(self.id)
    }

    /// The state that it is given.
    pub(super) fn state(self) -> Option<Self> {
        let id = self.pickle().object(self.id)?.state?;
        Some(Self { state: self.state, id })
    }

    /// The arguments that its class is called with.
    pub(super) fn args(self) -> Vec<Self> {
        let args = self.pickle().object(self.id).and_then(|o| o.args);
        let ids = args.and_then(|a| self.pickle().elements(a)).unwrap_or_default();
        if self.pickle().look(ids.len().min(MAX_ELEMENTS)).is_none() {
            return Vec::new();
        }
        ids.iter().take(MAX_ELEMENTS).map(|id| Self { state: self.state, id: *id }).collect()
    }

    /// The shape of an array, a sparse matrix or a number.
    pub(super) fn as_dims(self) -> Option<Vec<u64>> {
        match self.node() {
            Node::Array(a) => Some(a.shape.clone()),
            Node::Float(_) | Node::Int(_) => Some(Vec::new()),
            Node::Object(_) if self.is_matrix() => {
                let shape = self.attr("_shape").or_else(|| self.attr("shape"))?;
                self.pickle().shape(shape.id)
            }
            _ => None,
        }
    }

    /// Whether it is one of scipy's sparse matrices.
    pub(super) fn is_matrix(self) -> bool {
        self.class().is_some_and(|(module, _)| module.starts_with("scipy.sparse"))
    }

    /// The shape of an attribute.
    pub(super) fn dims(self, name: &str) -> Option<Vec<u64>> {
        self.attr(name)?.as_dims()
    }

    /// One dimension of an attribute, from the front.
    pub(super) fn dim(self, name: &str, axis: usize) -> Option<u64> {
        self.dims(name)?.get(axis).copied()
    }

    /// The type of an array's elements; of one of objects, texts where all of them are.
    pub(super) fn as_dtype(self) -> Option<DType> {
        match self.node() {
            Node::Array(a) => match a.element.dtype()? {
                DType::Object if a.objects().is_some_and(|o| !o.is_empty() && self.are_texts(o)) => {
                    Some(DType::String)
                }
                other => Some(other),
            },
            Node::Float(_) => Some(DType::Float64),
            Node::Object(_) if self.is_matrix() => self.attr("data")?.as_dtype(),
            // numpy.dtype and the types that stand for one, as parameters.
            Node::Global { module, name } => named_type(module, name),
            Node::Object(_) => self.pickle().element_type(self.id)?.dtype(),
            Node::Str(_) | Node::Bytes(_) => self.as_text()?.parse().ok(),
            _ => None,
        }
    }

    fn are_texts(self, ids: &[Id]) -> bool {
        self.pickle().look(ids.len()).is_some()
            && ids.iter().all(|id| matches!(self.pickle().node(*id), Node::Str(_) | Node::Bytes(_)))
    }

    /// The type of an attribute's elements.
    pub(super) fn dtype(self, name: &str) -> Option<DType> {
        self.attr(name)?.as_dtype()
    }

    /// The array with its values at hand, where it is small.
    pub(super) fn values(self) -> Option<Array> {
        let array = self.as_array()?;
        let size = match &array.data {
            ArrayData::Objects(values) => values.len(),
            ArrayData::Bytes(text) => usize::try_from(text.len() / 8).ok()?,
            ArrayData::Stream { length, .. } => usize::try_from((*length).min(MAX_VALUES) / 8).ok()?,
            ArrayData::Unknown => 0,
        };
        self.pickle().look(size)?;
        if !matches!(array.data, ArrayData::Stream { .. } | ArrayData::Bytes(Text::There { .. })) {
            return Some(array.clone());
        }
        let bytes = (self.state.fetch)(array, MAX_VALUES)?;
        Some(Array { data: ArrayData::Bytes(Text::Here(bytes)), ..array.clone() })
    }

    /// Texts: of an array, a list, or one of pandas' indexes.
    pub(super) fn texts(self) -> Option<Vec<String>> {
        match self.node() {
            Node::Array(_) => self.values()?.labels(self.pickle()),
            Node::List(_) | Node::Tuple(_) => {
                self.elements()?.into_iter().map(|e| self.pickle().copy_str(e.id)).collect()
            }
            // pandas.core.indexes.base._new_Index(cls, {"data": array, "name": …}).
            Node::Object(_) => {
                let args = self.args();
                let data = self.pickle().get(args.get(1)?.id, "data")?;
                Self { state: self.state, id: data }.values()?.labels(self.pickle())
            }
            _ => None,
        }
    }

    /// How many elements of a mask are true.
    pub(super) fn count_true(self) -> Option<u64> {
        let array = self.values()?;
        if !array.is_bool() {
            return None;
        }
        Some(array.ints()?.into_iter().filter(|n| *n != 0).count() as u64)
    }

    /// The numbers of an array or list of integers.
    pub(super) fn ints(self) -> Option<Vec<i64>> {
        match self.node() {
            Node::Array(a) if a.objects().is_none() => self.values()?.ints(),
            _ => self.elements()?.into_iter().map(|e| e.pickle().int(e.id)).collect(),
        }
    }

    /// The numbers of an array.
    pub(super) fn floats(self) -> Option<Vec<f64>> {
        match self.node() {
            Node::Array(a) if a.objects().is_none() => self.values()?.floats(),
            _ => self.elements()?.into_iter().map(|e| e.pickle().float(e.id)).collect(),
        }
    }

    /// A number.
    pub(super) fn as_float(self) -> Option<f64> {
        self.pickle().float(self.id)
    }
}

/// The first two numbers of a version.
fn release(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Whether a module is scikit-learn's, or follows its rules to the letter.
pub(super) fn is_ours(module: &str) -> bool {
    module == "sklearn" || module.starts_with("sklearn.") || module == "imblearn.pipeline"
}

/// The dtype that a class of numpy or Python stands for.
fn named_type(module: &str, name: &str) -> Option<DType> {
    match (module, name) {
        ("builtins" | "__builtin__", "float") => Some(DType::Float64),
        ("builtins" | "__builtin__", "bool") => Some(DType::Bool),
        ("numpy", "bool_") => Some(DType::Bool),
        ("numpy", "float_") => Some(DType::Float64),
        ("numpy", name) => name.parse().ok(),
        _ => None,
    }
}
