//! Reading values out of nodes, and collecting what the author should be told.
//!
//! It is not the meaning of any key. An error ends the reading; a [`Warning`] does not.
//!
//! Invariant: every error and every warning begins with file, line and column.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use serde::Serialize;

use super::keys::nearest;
use super::node::{Key, Node, Value};
use super::source::{Placed, Source};
use crate::error::{Error, Result, show_bytes};

/// The most that a text value may have, in bytes.
const MAX_TEXT: usize = 64 * 1024;
/// The most entries of a list of texts.
const MAX_LIST: usize = 4096;
/// The most warnings; nobody reads more, and each costs a search for its line.
const MAX_WARNINGS: usize = 200;

/// Something that the author should know, and that stops nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Warning {
    /// What it is, with the place in front: `serving.yaml:3:1: …`.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

pub(super) struct Reader<'a> {
    pub(super) source: &'a Source<'a>,
    pub(super) warnings: Vec<Warning>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a Source<'a>) -> Self {
        Self { source, warnings: Vec::new() }
    }

    pub(super) fn error(&self, span: &Range<usize>, message: impl fmt::Display) -> Error {
        self.source.error(span, message)
    }

    pub(super) fn warn(&mut self, span: &Range<usize>, message: impl fmt::Display, hint: impl Into<String>) {
        if self.warnings.len() >= MAX_WARNINGS {
            return;
        }
        let message = format!("{}: {message}", self.source.position(span.start));
        self.warnings.push(Warning { message, hint: Some(hint.into()) });
    }

    /// The error for a value of the wrong kind.
    pub(super) fn wrong(&self, key: &str, expected: &str, node: &Node) -> Error {
        self.error(&node.span, format_args!("`{}` is {expected}, found {}", shown(key), node.what()))
    }

    /// The error for a key that is none of those allowed.
    pub(super) fn unknown<'k>(
        &self,
        key: &Key,
        inside: &str,
        allowed: impl IntoIterator<Item = &'k str> + Clone,
    ) -> Error {
        let e = self.error(&key.span, format_args!("unknown key `{}` in {inside}", shown(&key.text)));
        match nearest(&key.text, allowed.clone()) {
            Some(near) => e.hint(format!("did you mean `{near}`?")),
            None => {
                let all: Vec<String> = allowed.into_iter().map(|k| format!("`{k}`")).collect();
                e.hint(format!("the keys of {inside} are {}", all.join(", ")))
            }
        }
    }

    /// A scalar that is not empty.
    pub(super) fn text(&self, key: &str, node: &Node) -> Result<String> {
        let text = node.scalar().ok_or_else(|| self.wrong(key, "text", node))?;
        if text.trim().is_empty() {
            return Err(self.error(&node.span, format_args!("`{}` is empty", shown(key))));
        }
        self.check_text(key, node, text)?;
        Ok(text.to_owned())
    }

    /// A scalar that may be missing: `key:` with nothing behind it is as good as no key.
    pub(super) fn optional_text(&self, key: &str, node: &Node) -> Result<Option<String>> {
        if node.is_null() { Ok(None) } else { self.text(key, node).map(Some) }
    }

    /// As [`Self::optional_text`], with its place.
    pub(super) fn optional_placed(&self, key: &str, node: &Node) -> Result<Option<Placed<String>>> {
        Ok(self.optional_text(key, node)?.map(|t| self.source.placed(t, node.span.start)))
    }

    /// The entries of a map; nothing is an empty map.
    pub(super) fn entries<'n>(&self, key: &str, node: &'n Node) -> Result<&'n [(Key, Node)]> {
        match &node.value {
            Value::Null => Ok(&[]),
            Value::Map(entries) => Ok(entries),
            _ => Err(self.wrong(key, "a map", node)),
        }
    }

    /// A list of texts, each with its place.
    pub(super) fn list(&self, key: &str, node: &Node) -> Result<Vec<Placed<String>>> {
        let Value::List(items) = &node.value else {
            let e = self.wrong(key, "a list", node);
            return Err(match node.scalar() {
                Some(one) => e.hint(format!("write it as a list of one: `- {}`", shown(one))),
                None => e,
            });
        };
        if items.len() > MAX_LIST {
            let message =
                format!("`{}` has {} entries, at most {MAX_LIST} are read", shown(key), items.len());
            return Err(self.error(&node.span, message));
        }
        let one = |i: &Node| Ok(self.source.placed(self.text(key, i)?, i.span.start));
        items.iter().map(one).collect()
    }

    /// A map of texts; numbers and truth values keep their spelling.
    pub(super) fn texts(&self, key: &str, node: &Node) -> Result<BTreeMap<String, String>> {
        let mut out = BTreeMap::new();
        for (name, value) in self.entries(key, node)? {
            let path = format!("{key}.{}", name.text);
            if name.text.is_empty() {
                return Err(self.error(&name.span, format_args!("a key of `{key}` is empty")));
            }
            self.check_text(key, value, &name.text)?;
            let text = value.scalar().ok_or_else(|| {
                let e = self.wrong(&path, "text", value);
                if value.is_null() { e.hint("write `\"\"` for an empty value") } else { e }
            })?;
            self.check_text(&path, value, text)?;
            out.insert(name.text.clone(), text.to_owned());
        }
        Ok(out)
    }

    fn check_text(&self, key: &str, node: &Node, text: &str) -> Result<()> {
        if text.len() > MAX_TEXT {
            return Err(
                self.error(&node.span, format_args!("`{}` has more than {MAX_TEXT} bytes", shown(key)))
            );
        }
        if text.contains('\0') {
            return Err(self.error(&node.span, format_args!("`{}` holds a NUL character", shown(key))));
        }
        Ok(())
    }
}

/// A name from the file as it may stand in a message.
pub(super) fn shown(text: &str) -> String {
    const MAX: usize = 80;
    let mut out = show_bytes(text.as_bytes());
    if let Some((at, _)) = out.char_indices().nth(MAX) {
        out.truncate(at);
        out.push('…');
    }
    out
}
