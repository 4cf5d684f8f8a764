//! Modules that were pickled whole: the tree of `torch.nn.Module`s with their tensors and settings.
//!
//! A module's state has `_parameters`, `_buffers` and `_modules`, which are the dicts that
//! `state_dict()` walks (torch/nn/modules/module.py); that walk is done here over the inert tree.
//! What the modules compute is code, except for those that only pass values on (`sequence.rs`).
//!
//! Invariants: no recursion; a module that contains itself is walked once on each path, down to
//! [`MAX_DEPTH`]; at most [`MAX_ENTRIES`] tensors and as many modules are listed.

use std::collections::BTreeMap;

use crate::model::format::pytorch::legacy;
use crate::model::format::pytorch::tensors::{self, Info};
use crate::model::format::{MAX_ENTRIES, MAX_TEXT, Weight};
use crate::model::pickle::{Id, Node, Pickle};

/// How deep modules may nest.
const MAX_DEPTH: usize = 64;

/// What the walk over a tree of modules found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Walk {
    /// The entries of `state_dict()`, in its order.
    pub weights: Vec<Weight>,
    /// How many modules of each class there are.
    pub classes: BTreeMap<String, u64>,
    /// Whether something was left out at a limit.
    pub cut: bool,
}

/// Whether a node is a pickled module.
pub(crate) fn is_module(pickle: &Pickle, id: Id) -> bool {
    pickle.attr(id, "_modules").is_some() && pickle.attr(id, "_parameters").is_some()
}

/// The children of a module, in order, with their names.
pub(crate) fn children(pickle: &Pickle, id: Id) -> Vec<(String, Id)> {
    let children = pickle.attr(id, "_modules").and_then(|m| pickle.pairs(m)).unwrap_or(&[]);
    if pickle.look(children.len()).is_none() {
        return Vec::new();
    }
    children
        .iter()
        .take(MAX_ENTRIES)
        .filter(|(_, child)| pickle.object(*child).is_some())
        .filter_map(|(name, child)| Some((tensors::key(pickle, *name)?, *child)))
        .collect()
}

/// The class of a module: where it is defined, and its name.
///
/// Legacy files name it by a persistent id, together with its source (`_legacy_save`).
pub(crate) fn class(pickle: &Pickle, id: Id) -> Option<(&str, &str)> {
    if let Some(class) = pickle.class(id) {
        return Some(class);
    }
    legacy::module_class(pickle, pickle.object(id)?.class)
}

/// A parameter or buffer of a module.
pub(crate) fn own_tensor(pickle: &Pickle, module: Id, name: &str) -> Option<Info> {
    ["_parameters", "_buffers"]
        .iter()
        .find_map(|kind| pickle.get(pickle.attr(module, kind)?, name))
        .and_then(|t| tensors::tensor(pickle, t))
}

/// Walks all modules below one, as `state_dict()` does.
pub(crate) fn walk(pickle: &Pickle, root: Id) -> Walk {
    let mut walk = Walk::default();
    let mut names = 0usize;
    let mut count = 0usize;
    let mut todo = vec![(String::new(), root, 0usize)];
    while let Some((prefix, id, depth)) = todo.pop() {
        count += 1;
        names += prefix.len();
        if count > MAX_ENTRIES || depth > MAX_DEPTH || names > 16 * MAX_TEXT {
            walk.cut = true;
            break;
        }
        if let Some((module, name)) = class(pickle, id) {
            *walk.classes.entry(format!("{module}.{name}")).or_default() += 1;
        }
        let transient = pickle.attr(id, "_non_persistent_buffers_set");
        let transient = transient.and_then(|t| pickle.elements(t)).unwrap_or(&[]);
        for (kind, transient) in [("_parameters", &[][..]), ("_buffers", transient)] {
            let own = pickle.attr(id, kind).and_then(|p| pickle.pairs(p)).unwrap_or(&[]);
            for (name, value) in own {
                if pickle.look(1 + transient.len()).is_none() {
                    walk.cut = true;
                    return walk;
                }
                let Some(name) = tensors::key(pickle, *name) else { continue };
                if transient.iter().any(|t| pickle.str(*t) == Some(&name)) {
                    continue;
                }
                let Some(info) = tensors::tensor(pickle, *value) else { continue };
                names += prefix.len() + name.len();
                if walk.weights.len() == MAX_ENTRIES || names > 16 * MAX_TEXT {
                    walk.cut = true;
                    return walk;
                }
                walk.weights.push(info.weight(format!("{prefix}{name}")));
            }
        }
        let below = children(pickle, id);
        if todo.len() + below.len() > MAX_ENTRIES {
            walk.cut = true;
            break;
        }
        for (name, child) in below.into_iter().rev() {
            todo.push((format!("{prefix}{name}."), child, depth + 1));
        }
    }
    walk
}

/// Where a checkpoint keeps the weights, in the order in which one would look.
const NESTED: &[&str] = &["state_dict", "model_state_dict", "model", "module", "net", "ema"];

/// The tensors of a state dict, or of a checkpoint that holds one or several.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    /// The tensors by name.
    pub weights: Vec<Weight>,
    /// The key under which the checkpoint keeps them.
    pub key: Option<String>,
    /// How many tensors do not lie in one dense array, by layout.
    pub layouts: BTreeMap<&'static str, u64>,
    /// Whether something was left out at a limit.
    pub cut: bool,
}

/// Finds the tensors of an object that is no module; `None` where it holds none.
pub(crate) fn table(pickle: &Pickle, root: Id) -> Option<(Table, Option<Id>)> {
    if let Some(info) = tensors::tensor(pickle, root) {
        let mut table = Table::default();
        table.add("tensor".to_owned(), info);
        return Some((table, None));
    }
    let mut table = flat(pickle, root);
    if !table.weights.is_empty() {
        return Some((table, None));
    }
    for key in NESTED {
        let Some(inner) = pickle.get(root, key) else { continue };
        if is_module(pickle, inner) {
            let walk = walk(pickle, inner);
            let table = Table {
                weights: walk.weights,
                key: Some((*key).to_owned()),
                cut: walk.cut,
                ..Table::default()
            };
            return Some((table, Some(inner)));
        }
        table = flat(pickle, inner);
        if table.weights.is_empty() {
            table = deep(pickle, inner);
        }
        if !table.weights.is_empty() {
            table.key = Some((*key).to_owned());
            return Some((table, None));
        }
    }
    let table = deep(pickle, root);
    (!table.weights.is_empty()).then_some((table, None))
}

impl Table {
    fn add(&mut self, name: String, info: Info) -> bool {
        if self.weights.len() == MAX_ENTRIES {
            self.cut = true;
            return false;
        }
        if let Some(layout) = info.layout {
            *self.layouts.entry(layout).or_default() += 1;
        }
        self.weights.push(info.weight(name));
        true
    }
}

/// The tensors that are values of a dict, or elements of a list.
fn flat(pickle: &Pickle, id: Id) -> Table {
    let mut table = Table::default();
    each(pickle, id, |name, value| tensors::tensor(pickle, value).is_none_or(|info| table.add(name, info)));
    table
}

/// The tensors at any depth of dicts and lists, named by the path to them.
fn deep(pickle: &Pickle, root: Id) -> Table {
    let mut table = Table::default();
    let mut todo = vec![(String::new(), root, 0usize)];
    let (mut count, mut names) = (0usize, 0usize);
    while let Some((prefix, id, depth)) = todo.pop() {
        let mut below = Vec::new();
        each(pickle, id, |name, value| {
            count += 1;
            let name = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
            names += name.len();
            if count > MAX_ENTRIES || names > 16 * MAX_TEXT {
                table.cut = true;
                return false;
            }
            if let Some(info) = tensors::tensor(pickle, value) {
                return table.add(name, info);
            }
            if depth < 8 {
                below.push((name, value, depth + 1));
            }
            true
        });
        if table.cut {
            break;
        }
        todo.extend(below.into_iter().rev());
    }
    table
}

/// Calls `see` with each named value of a dict or list until it says that it is enough.
fn each(pickle: &Pickle, id: Id, mut see: impl FnMut(String, Id) -> bool) {
    let count = pickle.pairs(id).map_or_else(|| pickle.elements(id).map_or(0, <[Id]>::len), <[_]>::len);
    if pickle.look(count).is_none() {
        return;
    }
    match pickle.node(id) {
        Node::List(list) | Node::Tuple(list) => {
            for (i, value) in list.iter().enumerate() {
                if !see(i.to_string(), *value) {
                    return;
                }
            }
        }
        Node::Dict(_) | Node::Object(_) => {
            for (name, value) in pickle.pairs(id).unwrap_or(&[]) {
                let Some(name) = tensors::key(pickle, *name) else { continue };
                if !see(name, *value) {
                    return;
                }
            }
        }
        _ => {}
    }
}
