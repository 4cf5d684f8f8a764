//! Values that are read one after the other, from text or binary JSON of any size.
//!
//! A [`Pull`] walks through a document once. What nobody asks for is skipped without being kept, so
//! that the trees of a boosted model cost time but no memory. It is not a document in memory: small
//! JSON is better parsed by `serde_json`.
//!
//! Invariants: no recursion, documents nest at most [`MAX_DEPTH`] deep, a text is kept up to
//! [`MAX_TEXT`] bytes, and no more bytes are read than the limit allows; [`Pull::stopped`] tells a
//! limit from a broken file.

mod json;
mod stream;
mod ubj;

use crate::error::{Error, Kind, Result};

pub use json::Json;
pub use stream::Stream;
pub use ubj::Ubj;

/// How deep a document may nest.
pub const MAX_DEPTH: usize = 512;
/// The longest text in bytes that is kept.
pub const MAX_TEXT: usize = 1 << 20;
/// The most bytes of the texts of one list together.
const MAX_TEXTS: usize = 16 << 20;

/// A value, or the beginning of one.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// An object begins: its keys come from [`Pull::key`].
    Object,
    /// A list begins: [`Pull::more`] tells whether an element follows.
    List,
    /// A text.
    Text(String),
    /// A text that is too long to be kept.
    Long,
    /// A number.
    Number(f64),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
}

/// A document that is walked through.
pub trait Pull {
    /// The next value.
    fn value(&mut self) -> Result<Value>;

    /// Inside an object: the next key, whose value has to be taken or skipped; `None` where it ends.
    fn key(&mut self) -> Result<Option<String>>;

    /// Inside a list: whether an element follows, which has to be taken or skipped.
    fn more(&mut self) -> Result<bool>;

    /// Skips the next value with all that is in it.
    fn skip(&mut self) -> Result<()>;

    /// Whether the reading came to the limit of bytes.
    fn stopped(&self) -> bool;

    /// The next value if it is an object; anything else is skipped.
    fn object(&mut self) -> Result<bool> {
        match self.value()? {
            Value::Object => Ok(true),
            Value::List => {
                while self.more()? {
                    self.skip()?;
                }
                Ok(false)
            }
            _ => Ok(false),
        }
    }

    /// The next value if it is a list; anything else is skipped.
    fn list(&mut self) -> Result<bool> {
        match self.value()? {
            Value::List => Ok(true),
            Value::Object => {
                while self.key()?.is_some() {
                    self.skip()?;
                }
                Ok(false)
            }
            _ => Ok(false),
        }
    }

    /// The next value as a text, a number or a truth value would be written; `None` for others.
    fn scalar(&mut self) -> Result<Option<String>> {
        Ok(match self.value()? {
            Value::Text(t) => Some(t),
            Value::Number(n) => Some(n.to_string()),
            Value::Bool(b) => Some(b.to_string()),
            Value::Null | Value::Long => None,
            Value::List => {
                while self.more()? {
                    self.skip()?;
                }
                None
            }
            Value::Object => {
                while self.key()?.is_some() {
                    self.skip()?;
                }
                None
            }
        })
    }

    /// The next value as a list of texts, at most `cap` and of `MAX_TEXTS` bytes together; `None` where
    /// it is none.
    fn texts(&mut self, cap: usize) -> Result<Option<Vec<String>>> {
        let (mut all, mut length) = (Vec::new(), 0);
        let mut good = self.list()?;
        if !good {
            return Ok(None);
        }
        while self.more()? {
            if !good || all.len() >= cap {
                good = false;
                self.skip()?;
            } else {
                match self.scalar()? {
                    Some(text) => {
                        length += text.len();
                        good = length <= MAX_TEXTS;
                        all.push(text);
                    }
                    None => good = false,
                }
            }
        }
        Ok(good.then_some(all))
    }

    /// The next value as a map of scalars, at most `cap`; what is no scalar is left out.
    fn scalars(&mut self, cap: usize) -> Result<Vec<(String, String)>> {
        let mut all = Vec::new();
        if !self.object()? {
            return Ok(all);
        }
        while let Some(key) = self.key()? {
            match self.scalar()? {
                Some(text) if all.len() < cap => all.push((key, text)),
                _ => {}
            }
        }
        Ok(all)
    }
}

fn fault(at: u64, what: impl std::fmt::Display) -> Error {
    Error::new(Kind::Model, format!("broken document at byte {at}: {what}"))
}

#[cfg(test)]
mod tests;
