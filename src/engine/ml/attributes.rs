//! The attributes of a node, read and checked: they come from a file that anyone may have written.
//!
//! It is not [`NodeProto`], which gives whatever is there. Invariant: every error names the node,
//! its operator and the attribute, and says what was expected and what was found.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::pb::TensorProto;
use tract_onnx::tract_hir::internal::*;

use crate::error::show_bytes;

/// The attributes of one node.
#[derive(Clone, Copy)]
pub(super) struct Attributes<'a> {
    node: &'a NodeProto,
}

/// Where an error is: the node and its operator.
pub(super) fn place(node: &NodeProto) -> String {
    // A node without a name is known by what it gives.
    let name = if node.name.is_empty() { node.output.first() } else { Some(&node.name) };
    let name = name.map_or("", String::as_str);
    format!("the node `{}` ({})", show_bytes(name.as_bytes()), show_bytes(node.op_type.as_bytes()))
}

impl<'a> Attributes<'a> {
    pub(super) fn new(node: &'a NodeProto) -> Self {
        Self { node }
    }

    /// An error about an attribute.
    pub(super) fn wrong(&self, attribute: &str, what: impl std::fmt::Display) -> TractError {
        format_err!("{}: the attribute `{attribute}`: {what}", place(self.node))
    }

    /// An error about the node as a whole.
    pub(super) fn unfit(&self, what: impl std::fmt::Display) -> TractError {
        format_err!("{}: {what}", place(self.node))
    }

    fn read<T>(&self, attribute: &str, read: TractResult<T>) -> TractResult<T> {
        read.map_err(|e| self.wrong(attribute, show_bytes(format!("{e:#}").as_bytes())))
    }

    /// Whether the attribute is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.node.attribute.iter().any(|a| a.name == name)
    }

    /// The only one of these attributes that is there and not empty.
    ///
    /// # Errors
    ///
    /// When there is none, or more than one.
    pub(super) fn one_of<'n>(&self, names: &[&'n str]) -> TractResult<&'n str> {
        let there = |name: &&&str| {
            self.node.attribute.iter().any(|a| {
                a.name == **name
                    && !(a.ints.is_empty() && a.floats.is_empty() && a.strings.is_empty() && a.t.is_none())
            })
        };
        let found: Vec<&'n str> = names.iter().filter(there).copied().collect();
        match found.as_slice() {
            [one] => Ok(one),
            [] => Err(self.unfit(format_args!("expected one of the attributes {}, found none", list(names)))),
            more => Err(self.unfit(format_args!(
                "expected one of the attributes {}, found {}",
                list(names),
                list(more)
            ))),
        }
    }

    pub(super) fn int(&self, name: &str) -> TractResult<Option<i64>> {
        self.read(name, self.node.get_attr_opt(name))
    }

    pub(super) fn float(&self, name: &str) -> TractResult<Option<f32>> {
        self.read(name, self.node.get_attr_opt(name))
    }

    pub(super) fn string(&self, name: &str) -> TractResult<Option<&'a str>> {
        self.read(name, self.node.get_attr_opt(name))
    }

    pub(super) fn ints(&self, name: &str) -> TractResult<Option<&'a [i64]>> {
        self.read(name, self.node.get_attr_opt_slice(name))
    }

    pub(super) fn floats(&self, name: &str) -> TractResult<Option<&'a [f32]>> {
        self.read(name, self.node.get_attr_opt_slice(name))
    }

    pub(super) fn strings(&self, name: &str) -> TractResult<Option<Vec<String>>> {
        self.read(name, self.node.get_attr_opt_vec(name))
    }

    /// Strings as they are in the file, of any bytes.
    pub(super) fn bytes(&self, name: &str) -> TractResult<Option<&'a [Vec<u8>]>> {
        self.read(name, self.node.get_attr_opt_slice(name))
    }

    pub(super) fn tensor(&self, ctx: &ParsingContext, name: &str) -> TractResult<Option<Tensor>> {
        let proto: Option<&TensorProto> = self.read(name, self.node.get_attr_opt(name))?;
        proto.map(|t| self.read(name, load(ctx, t))).transpose()
    }

    /// A value that must be there.
    pub(super) fn must<T>(&self, name: &str, value: Option<T>) -> TractResult<T> {
        value.ok_or_else(|| self.wrong(name, "expected, found none"))
    }

    /// Checks the number of values against what another attribute asks.
    pub(super) fn as_many(&self, name: &str, found: usize, expected: usize, by: &str) -> TractResult<()> {
        if found == expected {
            return Ok(());
        }
        Err(self.wrong(name, format_args!("expected {expected} values, as {by} asks, found {found}")))
    }

    /// A flag that is 0 or 1.
    pub(super) fn flag(&self, name: &str, default: bool) -> TractResult<bool> {
        match self.int(name)? {
            None => Ok(default),
            Some(0) => Ok(false),
            Some(1) => Ok(true),
            Some(other) => Err(self.wrong(name, format_args!("expected 0 or 1, found {other}"))),
        }
    }
}

/// Loads a tensor only when its data is as long as its shape says: the loader trusts both.
fn load(ctx: &ParsingContext, t: &TensorProto) -> TractResult<Tensor> {
    let count = t
        .dims
        .iter()
        .try_fold(1usize, |n, d| usize::try_from(*d).ok().and_then(|d| n.checked_mul(d)))
        .context("expected a shape, found one that is negative or too large")?;
    if !t.raw_data.is_empty() {
        let width = match t.data_type {
            2 | 3 | 9 => 1,
            4 | 5 | 10 | 16 => 2,
            1 | 6 | 12 => 4,
            7 | 11 | 13 => 8,
            other => bail!("expected numbers in the raw data, found the element type {other}"),
        };
        let found = t.raw_data.len();
        ensure!(count.checked_mul(width) == Some(found), "expected {count} elements, found {found} bytes");
    }
    ctx.load_tensor(t)
}

fn list(names: &[&str]) -> String {
    names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
}
