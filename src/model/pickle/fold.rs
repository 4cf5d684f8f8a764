//! Calls whose result is known without making them: plain containers, bytes, and numpy's arrays.
//!
//! Anything else stays a call. Where the arguments are not as the function expects them, the call
//! stays too: to refuse it is not our business.

use crate::model::pickle::beside;
use crate::model::pickle::input::Step;
use crate::model::pickle::machine::Machine;
use crate::model::pickle::node::{Form, Id, Node, Object, Pickle, Text};
use crate::model::pickle::numpy::{Array, ArrayData};
use crate::model::pickle::text;
use crate::model::pickle::told::Note;

/// The most dimensions of an array; numpy has 64.
const MAX_RANK: usize = 64;

/// Whether a module is one of numpy's own that this function lives in, in any version.
fn is_numpy(module: &str, part: &str) -> bool {
    module
        .strip_prefix("numpy.core.")
        .or_else(|| module.strip_prefix("numpy._core."))
        .is_some_and(|rest| rest == part)
}

fn is_builtins(module: &str) -> bool {
    matches!(module, "builtins" | "__builtin__")
}

impl Machine<'_> {
    /// What a call gives.
    pub(super) fn fold_call(&mut self, mut object: Object) -> Step<Node> {
        let tree = &self.read.pickle;
        let (Some((module, name)), Some(args)) =
            (tree.global(object.class), object.args.and_then(|a| tree.elements(a)))
        else {
            return Ok(Node::Object(Box::new(object)));
        };
        let args = if args.len() <= 8 { args.to_vec() } else { Vec::new() };
        let mut looked_at = 0;
        let folded = match (module, name) {
            ("copy_reg" | "copyreg", "_reconstructor") => match args.as_slice() {
                [class, _base, state] => return self.reconstructed(*class, *state),
                _ => None,
            },
            ("copy_reg" | "copyreg", "__newobj__") => match args.as_slice() {
                [class, rest @ ..] => {
                    let (class, rest) = (*class, rest.to_vec());
                    self.called(class, true)?;
                    object.class = class;
                    object.args = Some(self.node(Node::Tuple(rest))?);
                    None
                }
                [] => None,
            },
            ("copy_reg" | "copyreg", "__newobj_ex__") => match args.as_slice() {
                [class, args, kwargs] => {
                    self.called(*class, true)?;
                    object.class = *class;
                    object.args = Some(*args);
                    object.kwargs = Some(*kwargs);
                    None
                }
                _ => None,
            },
            ("_codecs", "encode") => match args.as_slice() {
                [text, coding] if is_latin1(tree.str(*coding)) => self.encoded(*text)?,
                _ => None,
            },
            (module, "bytearray" | "bytes") if is_builtins(module) => match args.as_slice() {
                [] => Some(Node::Bytes(Text::Here(Vec::new()))),
                [bytes] => match tree.node(*bytes) {
                    Node::Bytes(text) => Some(Node::Bytes(text.clone())),
                    _ => None,
                },
                [text, coding] if is_latin1(tree.str(*coding)) => self.encoded(*text)?,
                _ => None,
            },
            (module, "set" | "frozenset" | "list" | "tuple") if is_builtins(module) => {
                let values = match args.as_slice() {
                    [] => Some(Vec::new()),
                    [one] => match tree.node(*one) {
                        Node::List(v) | Node::Tuple(v) | Node::Set(v) => Some(v.clone()),
                        _ => None,
                    },
                    _ => None,
                };
                let wrap = match name {
                    "list" => Node::List,
                    "tuple" => Node::Tuple,
                    _ => Node::Set,
                };
                values.map(wrap)
            }
            (module, "dict") if is_builtins(module) && args.is_empty() => Some(Node::Dict(Vec::new())),
            ("collections", "OrderedDict" | "Counter" | "deque") => {
                match args.first().map(|first| tree.node(*first)) {
                    Some(Node::List(list)) if name == "deque" => object.list.clone_from(list),
                    Some(Node::List(list) | Node::Tuple(list)) => {
                        // Paid for before it is known whether they are pairs.
                        looked_at = list.len() * 8;
                        let pair = |id: &Id| match tree.elements(*id) {
                            Some([key, value]) => Some((*key, *value)),
                            _ => None,
                        };
                        object.items = list.iter().map(pair).collect::<Option<_>>().unwrap_or_default();
                    }
                    Some(Node::Dict(items)) => object.items.clone_from(items),
                    _ => {}
                }
                None
            }
            (module, "scalar") if is_numpy(module, "multiarray") => match args.as_slice() {
                [dtype, value] => tree.element_type(*dtype).map(|element| {
                    let data = data_of(tree.node(*value), *value);
                    Node::Array(Box::new(Array { element, shape: Vec::new(), fortran: false, data }))
                }),
                _ => None,
            },
            (module, "_frombuffer") if is_numpy(module, "numeric") => match args.as_slice() {
                [buffer, dtype, shape, order] => match (tree.element_type(*dtype), tree.shape(*shape)) {
                    (Some(element), Some(shape)) => {
                        let data = data_of(tree.node(*buffer), *buffer);
                        let fortran = tree.str(*order) == Some("F");
                        Some(Node::Array(Box::new(Array { element, shape, fortran, data }.checked())))
                    }
                    _ => None,
                },
                _ => None,
            },
            // Imports a module and takes a name from it.
            ("numpy.core" | "numpy._core", "_ufunc_reconstruct") => {
                if let [module, name] = args.as_slice()
                    && let (Some(module), Some(name)) = (tree.str(*module), tree.str(*name))
                {
                    let (module, name) = (module.as_bytes().to_vec(), name.as_bytes().to_vec());
                    self.look_up(&module, &name)?;
                }
                None
            }
            ("pickle" | "_pickle" | "cPickle", "loads") | ("torch.storage", "_load_from_bytes") => {
                let by = format!("{module}.{name}");
                if let Some(Node::Bytes(text) | Node::Str(text)) = args.first().map(|a| tree.node(*a)) {
                    let text = text.clone();
                    if let Text::Here(bytes) = &text {
                        self.charge(bytes.len())?;
                    }
                    self.note(Note::Nested { by, text })?;
                }
                None
            }
            _ => None,
        };
        if let Some(node) = folded {
            self.copied(node.weight())?;
            return Ok(node);
        }
        self.charge(looked_at.max((object.list.len() + object.items.len()) * 8))?;
        Ok(Node::Object(Box::new(object)))
    }

    /// What protocols 0 and 1 make of an object of a class: its value as the built-in type below it.
    fn reconstructed(&mut self, class: Id, state: Id) -> Step<Node> {
        self.called(class, true)?;
        let mut object =
            Object { class, args: None, kwargs: None, state: None, list: Vec::new(), items: Vec::new() };
        match self.read.pickle.node(state) {
            Node::Dict(items) => object.items.clone_from(items),
            Node::List(list) | Node::Set(list) => object.list.clone_from(list),
            // As protocol 2 has it: the elements are the arguments.
            Node::Tuple(_) => object.args = Some(state),
            Node::None => {}
            _ => object.args = Some(self.node(Node::Tuple(vec![state]))?),
        }
        let node = Node::Object(Box::new(object));
        self.charge(node.weight())?;
        Ok(node)
    }

    /// A string's characters as bytes.
    fn encoded(&self, id: Id) -> Step<Option<Node>> {
        let Node::Str(text) = self.read.pickle.node(id) else { return Ok(None) };
        Ok(Some(Node::Bytes(match text {
            Text::Here(text) => match text::latin1(text) {
                Some(bytes) => Text::Here(bytes),
                None => return Err(self.fault("a character is no byte")),
            },
            Text::There { offset, length, form } => {
                let form = match form {
                    Form::Raw => Form::Latin1,
                    Form::RawUnicode => Form::RawLatin1,
                    Form::Latin1 | Form::Quoted | Form::RawLatin1 => return Ok(None),
                };
                Text::There { offset: *offset, length: *length, form }
            }
        })))
    }

    /// Gives an object its state.
    pub(super) fn fold_state(&mut self, id: Id, state: Id) -> Step<()> {
        let tree = &self.read.pickle;
        let class = tree.class(id);
        match class {
            Some((module, "_reconstruct")) if is_numpy(module, "multiarray") => {
                if let Some(array) = array(tree, state) {
                    return self.replace(id, array);
                }
            }
            Some(("numpy.ma.core", "_mareconstruct")) => {
                if let Some(array) = array(tree, state) {
                    return self.replace(id, array);
                }
            }
            Some(("joblib.numpy_pickle" | "sklearn.externals.joblib.numpy_pickle", "NumpyArrayWrapper"))
                if !self.is_nested() =>
            {
                self.set_state(id, state)?;
                return self.wrapped(id);
            }
            Some((module, name)) if beside::is_wrapper(module, name) => {
                let name =
                    tree.get(state, "filename").and_then(|f| tree.str(f)).unwrap_or_default().to_owned();
                self.note(Note::SideFile(name))?;
            }
            _ => {}
        }
        self.set_state(id, state)
    }

    fn replace(&mut self, id: Id, array: Array) -> Step<()> {
        self.copied(array.weight())?;
        self.read.pickle.set(id, Node::Array(Box::new(array)));
        Ok(())
    }

    fn set_state(&mut self, id: Id, state: Id) -> Step<()> {
        let tree = &self.read.pickle;
        let mut all = state;
        // A second state adds to the first, as both update the object's dict.
        if let (Some(Node::Dict(first)), Node::Dict(second)) =
            (tree.object(id).and_then(|o| o.state).map(|s| tree.node(s)), tree.node(state))
        {
            let both = [first.as_slice(), second].concat();
            self.charge(both.len() * 8)?;
            all = self.node(Node::Dict(both))?;
        }
        if let Some(Node::Object(object)) = self.read.pickle.nodes.get_mut(id.index()) {
            object.state = Some(all);
        }
        Ok(())
    }

    /// An array of joblib: its elements follow at once, outside of the opcodes
    /// (joblib/numpy_pickle.py, `NumpyArrayWrapper.read_array`).
    fn wrapped(&mut self, id: Id) -> Step<()> {
        let tree = &self.read.pickle;
        let (Some(element), Some(shape)) = (
            tree.attr(id, "dtype").and_then(|d| tree.element_type(d)),
            tree.attr(id, "shape").and_then(|s| tree.shape(s)),
        ) else {
            return Err(self.fault("an array of joblib has no type or shape"));
        };
        let fortran = tree.attr(id, "order").and_then(|o| tree.str(o)) == Some("F");
        let aligned = tree.attr(id, "numpy_array_alignment_bytes").is_some_and(|a| !tree.is_none(a));
        let mut array = Array { element, shape, fortran, data: ArrayData::Unknown };
        if array.element.has_objects() {
            self.nest(id);
            return Ok(());
        }
        let Some(length) = array.byte_length() else {
            return Err(self.fault("an array of joblib has no size"));
        };
        if aligned {
            let padding = self.input.byte()?;
            self.input.skip(u64::from(padding))?;
        }
        let offset = self.input.at();
        array.data = match usize::try_from(length).ok().filter(|n| *n <= self.longest()) {
            Some(length) => ArrayData::Bytes(Text::Here(self.input.bytes(length)?)),
            None => {
                self.input.skip(length)?;
                ArrayData::Stream { offset, length }
            }
        };
        self.replace(id, array)
    }
}

fn is_latin1(coding: Option<&str>) -> bool {
    coding.is_some_and(|c| matches!(c, "latin1" | "latin-1" | "latin_1" | "iso-8859-1"))
}

/// The array that numpy's `ndarray.__setstate__` makes of `(1, shape, dtype, fortran, data)`.
pub(super) fn array(tree: &Pickle, state: Id) -> Option<Array> {
    // The oldest form has no version in front; masked arrays have a mask behind.
    let parts = match tree.elements(state)? {
        [shape, dtype, fortran, data] => [*shape, *dtype, *fortran, *data],
        [_, shape, dtype, fortran, data, ..] => [*shape, *dtype, *fortran, *data],
        _ => return None,
    };
    let [shape, dtype, fortran, data] = parts;
    let (element, shape) = (tree.element_type(dtype)?, tree.shape(shape)?);
    let fortran = tree.bool(fortran).or(tree.int(fortran).map(|n| n != 0)).unwrap_or(false);
    // The copy comes last: it is paid for where there is an array.
    let data = data_of(tree.node(data), data);
    Some(Array { element, shape, fortran, data }.checked())
}

/// Where a node has an array's elements.
fn data_of(node: &Node, id: Id) -> ArrayData {
    match node {
        Node::Bytes(text) => ArrayData::Bytes(text.clone()),
        Node::List(values) => ArrayData::Objects(values.clone()),
        Node::Int(_) | Node::Float(_) | Node::Str(_) | Node::None => ArrayData::Objects(vec![id]),
        _ => ArrayData::Unknown,
    }
}

impl Node {
    /// Bytes of memory that hang on it, about.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Bytes(Text::Here(text)) | Self::Str(Text::Here(text)) => text.len(),
            Self::List(v) | Self::Tuple(v) | Self::Set(v) => v.len() * 4,
            Self::Dict(items) => items.len() * 8,
            Self::Object(o) => size_of::<Object>() + o.list.len() * 4 + o.items.len() * 8,
            Self::Array(a) => a.weight(),
            _ => 0,
        }
    }
}

impl Pickle {
    /// The shape that a tuple of integers is.
    pub fn shape(&self, id: Id) -> Option<Vec<u64>> {
        if let Some(n) = self.int(id) {
            return Some(vec![u64::try_from(n).ok()?]);
        }
        let dims = self.elements(id)?;
        if dims.len() > MAX_RANK {
            return None;
        }
        dims.iter().map(|d| u64::try_from(self.int(*d)?).ok()).collect()
    }
}
