//! Python source, as far as the definitions of a module are concerned.
//!
//! What a module defines at its top: functions with their parameters, classes, imports and other
//! names. Python 2 and 3 are read alike. Nothing is run, imported or compiled; what a name is bound
//! to by running code is not known, and [`Module::open`] says where that may be.
//!
//! Invariant: what is told stands in the source. A file that Python would refuse for its strings,
//! brackets or indentation is a [`Problem`] with its line.

mod module;
mod token;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

pub use module::parse;

/// The largest source that is read, in bytes.
pub const MAX_SOURCE: u64 = 8 << 20;

/// Why a source cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub message: &'static str,
}

/// What a module defines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Module {
    /// Functions at the top of the module, in order; one that is defined twice is there twice.
    pub functions: Vec<Function>,
    /// What is imported anywhere in the file, in order.
    pub imports: Vec<Import>,
    /// Every other name that a statement at the top of the module binds: classes, variables, imports.
    pub names: BTreeSet<String>,
    /// Whether there may be names that no statement shows: `from x import *`, `exec`, `globals()`.
    pub open: bool,
}

/// One function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Where it is defined, from 1.
    pub line: usize,
    /// Whether it is a coroutine.
    pub is_async: bool,
    /// Whether it stands inside an `if`, a `try` or the like.
    pub conditional: bool,
    /// Its decorators, as written; they may give it other parameters.
    pub decorators: Vec<String>,
    /// Its parameters, in order.
    pub parameters: Vec<Parameter>,
    /// The annotation of what it returns, as written.
    pub returns: Option<String>,
    /// The keys of the dictionaries that it returns, where every `return` is one that is written out.
    pub outputs: Option<Vec<String>>,
}

/// How an argument reaches a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterKind {
    /// By place alone.
    Positional,
    /// By place or by name.
    Either,
    /// `*args`.
    Args,
    /// By name alone.
    Keyword,
    /// `**kwargs`.
    Kwargs,
}

/// One parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name; empty for a tuple, which Python 2 has.
    pub name: String,
    /// How an argument reaches it.
    pub kind: ParameterKind,
    /// Its annotation, as written.
    pub annotation: Option<String>,
    /// Whether it may be left out.
    pub optional: bool,
}

/// One module that is imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// Its full name, without leading dots.
    pub module: String,
    /// How many packages up it is looked for; 0 for an absolute name.
    pub level: usize,
    /// Where, from 1.
    pub line: usize,
}

/// The text of a source file: UTF-8, or Latin-1 and its like where a comment at the top says so
/// (PEP 263). Of an encoding that is not known only the ASCII part is right, which the grammar is.
pub fn decode(bytes: &[u8]) -> Result<String, Problem> {
    let marked = bytes.strip_prefix(b"\xef\xbb\xbf");
    let bytes = marked.unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) if marked.is_none() && names_an_encoding(bytes) => {
            Ok(bytes.iter().map(|b| char::from(*b)).collect())
        }
        Err(e) => {
            let line = bytes[..e.valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
            Err(Problem { line, message: "not UTF-8, and no comment at the top names another encoding" })
        }
    }
}

fn names_an_encoding(bytes: &[u8]) -> bool {
    bytes.split(|b| *b == b'\n').take(2).any(|line| {
        let line = line.trim_ascii_start();
        let Some(at) = line.windows(6).position(|w| w == b"coding") else { return false };
        let Some(name) = line[at + 6..].strip_prefix(b":").or_else(|| line[at + 6..].strip_prefix(b"="))
        else {
            return false;
        };
        let name = name.trim_ascii_start().to_ascii_lowercase();
        line.starts_with(b"#") && !name.starts_with(b"utf") && !name.is_empty()
    })
}
