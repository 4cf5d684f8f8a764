//! JSON that is read whole, as one value, in bounded memory.
//!
//! A value takes far more memory than its text: `{"":0}` has six bytes and its map six hundred. What
//! a text would take is counted before it is parsed. It is not the reader of models that are larger
//! than that, which are read token by token ([`crate::model::pull`]).

use serde_json::Value;

use crate::error::{Error, Kind, Result};

/// What one value may take in bytes.
const MAX_MEMORY: usize = 64 << 20;
/// What a map with something in it takes at least: one node of a B-tree, which has room for eleven.
const MAP: usize = 11 * (size_of::<String>() + size_of::<Value>()) + 16;
/// What an element takes: a list may have room for twice as many as it has.
const ELEMENT: usize = 2 * size_of::<Value>();

/// Parses a text.
///
/// Fails where it is none, or takes too much memory.
pub(super) fn parse(text: &[u8]) -> Result<Value> {
    check(text)?;
    serde_json::from_slice(text)
        .map_err(|e| Error::new(Kind::Model, format!("not JSON as it should be: {e}")))
}

fn check(text: &[u8]) -> Result<()> {
    let memory = memory(text);
    if memory <= MAX_MEMORY {
        return Ok(());
    }
    Err(Error::new(
        Kind::Model,
        format!(
            "JSON of {} bytes would take about {} MiB of memory, at most {} are used",
            text.len(),
            memory >> 20,
            MAX_MEMORY >> 20
        ),
    ))
}

/// What the value of a text takes in bytes, about, at worst.
fn memory(text: &[u8]) -> usize {
    let (mut at, mut memory) = (0, text.len());
    while let Some(byte) = text.get(at) {
        at += 1;
        match byte {
            b'"' => {
                while text.get(at).is_some_and(|b| *b != b'"') {
                    at += if text[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
                // A text has an allocation of its own.
                memory += 16;
            }
            b'{' => memory += if next(text, at) == Some(b'}') { 0 } else { MAP },
            // A first element makes room for four.
            b'[' => memory += if next(text, at) == Some(b']') { 0 } else { 4 * size_of::<Value>() },
            b',' => memory += ELEMENT,
            _ => {}
        }
    }
    memory
}

/// The next byte that is no space.
fn next(text: &[u8], at: usize) -> Option<u8> {
    text.get(at..)?.iter().copied().find(|b| !b.is_ascii_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_would_take_much_memory_is_refused_unparsed() {
        for (piece, count) in [("{\"\":{}},", 200_000), ("0,", 2_000_000), ("[0],", 1_000_000)] {
            let text = format!("[{}0]", piece.repeat(count));
            assert!(parse(text.as_bytes()).unwrap_err().message().contains("MiB of memory"), "{piece}");
        }
        // Marks inside of a text are text.
        let text = format!("[\"\\\"{}\"]", "{[,".repeat(1_000_000));
        assert!(parse(text.as_bytes()).is_ok());
    }

    #[test]
    fn spaces_are_gone_over_once() {
        let text = format!("[{}0]", "{   }, ".repeat(1000));
        assert_eq!(parse(text.as_bytes()).unwrap().as_array().unwrap().len(), 1001);
    }
}
