//! One GGUF file: keys with values, the table of tensors, and where the weights must lie.
//!
//! The layout is that of github.com/ggml-org/ggml `docs/gguf.md`, versions 1 to 3 of both byte orders.
//! Arrays (tokens, merges, scores) are stepped over; of them only the length is told.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::error::{Error, Kind, Result, show_bytes};
use crate::model::format::cursor::Cursor;
use crate::model::format::gguf::types;
use crate::model::format::{MAX_ENTRIES, MAX_FACTS, MAX_TEXT, Weight};
use crate::model::pb::Source;

/// Where the weights begin, and each of them, unless `general.alignment` says otherwise.
const ALIGNMENT: u64 = 32;
/// ggml's tensors have at most this many dimensions (`GGML_MAX_DIMS`).
const MAX_DIMS: u32 = 4;
/// The longest text that becomes a fact; chat templates have tens of kilobytes.
const MAX_VALUE: u64 = 64 << 10;
/// The most bytes of the names of settings and tensors together; each is kept more than once.
const MAX_NAMES: u64 = 16 << 20;
/// The longest name of a setting, as the format allows it.
const MAX_KEY: usize = u16::MAX as usize;
/// How deep arrays may nest; no writer nests them at all.
const MAX_NESTING: u8 = 4;

/// What one file tells.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// Settings by key.
    pub facts: BTreeMap<String, Value>,
    /// The table of tensors.
    pub tensors: Vec<Weight>,
    /// Limits that were met, and types that are not known.
    pub warnings: Vec<String>,
    /// Of how many files the model consists.
    pub parts: u64,
    /// How many bytes were read.
    pub spent: u64,
}

/// Reads the part of a file before the weights.
pub(super) fn read(source: &dyn Source, budget: u64) -> Result<Read> {
    let mut cursor = Cursor::new(source, budget);
    let mut read = Read { parts: 1, ..Read::default() };
    let result = Reader { cursor: &mut cursor, read: &mut read, wide: true, names: 0 }.all();
    if result.is_err() && cursor.ran_out() {
        let warning = format!("only the first {budget} bytes of metadata were read, which is the limit");
        read.warnings.push(warning);
    } else {
        result?;
    }
    read.spent = budget - cursor.left();
    Ok(read)
}

fn broken(message: impl Into<String>) -> Error {
    Error::new(Kind::Model, message)
}

struct Reader<'r, 's> {
    cursor: &'r mut Cursor<'s>,
    read: &'r mut Read,
    /// Whether counts and lengths have eight bytes, as from version 2 on.
    wide: bool,
    /// How many bytes the names had so far.
    names: u64,
}

impl Reader<'_, '_> {
    fn all(&mut self) -> Result<()> {
        self.cursor.skip(4)?;
        let mut version = self.cursor.u32()?;
        // The numbers of versions are small: one that is not was read in the wrong order.
        if version & 0xffff == 0 {
            self.cursor.set_big_endian();
            version = version.swap_bytes();
            self.fact("byte_order", "big");
        }
        if !(1..=3).contains(&version) {
            return Err(broken(format!("the file is GGUF of version {version}, known are 1 to 3")));
        }
        self.wide = version > 1;
        self.fact("version", version);
        let tensors = self.count()?;
        let pairs = self.count()?;
        // A tensor has at least a name's length, a rank, a type and an offset; a pair a key's length,
        // a type and a byte.
        let least = tensors.checked_mul(20).and_then(|t| t.checked_add(pairs.checked_mul(9)?));
        if least.is_none_or(|n| n > self.cursor.rest()) || pairs > MAX_ENTRIES as u64 {
            return Err(broken(format!(
                "the file is said to hold {tensors} tensors and {pairs} settings, for which it is too small"
            )));
        }
        let mut keys = BTreeSet::new();
        let mut alignment = ALIGNMENT;
        for _ in 0..pairs {
            let key = self.text()?;
            if key.len() > MAX_KEY {
                return Err(broken(format!(
                    "a setting has a name of {} bytes, at most {MAX_KEY} are allowed",
                    key.len()
                )));
            }
            let value = self.pair(&key)?;
            match (key.as_str(), &value) {
                ("general.alignment", Some(Value::Number(n))) => {
                    alignment = n.as_u64().filter(|n| n.is_power_of_two()).ok_or_else(|| {
                        broken(format!(
                            "weights are said to be aligned to {n} bytes, which is no power of two"
                        ))
                    })?;
                }
                ("split.count", Some(Value::Number(n))) => self.read.parts = n.as_u64().unwrap_or(1),
                ("general.file_type", Some(Value::Number(n))) => {
                    // Files of which the type was guessed from the tensors have this bit too.
                    if let Some(name) = n.as_u64().and_then(|n| types::file_type(n & !1024)) {
                        self.fact("quantization", name);
                    }
                }
                _ => {}
            }
            if let Some(value) = value {
                self.fact(&key, value);
            }
            if !keys.insert(key.clone()) {
                return Err(broken(format!("the setting `{}` is there twice", show_bytes(key.as_bytes()))));
            }
        }
        self.tensors(tensors, alignment)
    }

    fn fact(&mut self, key: &str, value: impl Into<Value>) {
        if self.read.facts.len() < MAX_FACTS {
            self.read.facts.insert(format!("gguf.{key}"), value.into());
        }
    }

    fn count(&mut self) -> Result<u64> {
        if self.wide { self.cursor.u64() } else { Ok(self.cursor.u32()?.into()) }
    }

    fn text(&mut self) -> Result<String> {
        let (at, length) = (self.cursor.at(), self.count()?);
        if length > MAX_TEXT as u64 {
            return Err(broken(format!("the name at byte {at} is said to have {length} bytes")));
        }
        self.names += length;
        if self.names > MAX_NAMES {
            return Err(broken(format!("the names in it have more than {MAX_NAMES} bytes together")));
        }
        self.cursor.text(length)
    }

    /// The value of a setting, where it is one that is told whole.
    fn pair(&mut self, key: &str) -> Result<Option<Value>> {
        let at = self.cursor.at();
        match self.cursor.u32()? {
            8 => {
                let length = self.count()?;
                if length > MAX_VALUE {
                    self.cursor.skip(length)?;
                    self.fact(&format!("{key}.length"), length);
                    return Ok(None);
                }
                // Vocabularies hold pieces of characters, and templates quote them.
                let text = self.cursor.bytes(length)?;
                Ok(Some(String::from_utf8_lossy(&text).into_owned().into()))
            }
            9 => {
                let length = self.array(0)?;
                self.fact(&format!("{key}.length"), length);
                Ok(None)
            }
            kind => self.number(kind, at).map(Some),
        }
    }

    fn number(&mut self, kind: u32, at: u64) -> Result<Value> {
        let c = &mut *self.cursor;
        Ok(match kind {
            0 => c.u8()?.into(),
            1 => c.i8()?.into(),
            2 => c.u16()?.into(),
            3 => c.i16()?.into(),
            4 => c.u32()?.into(),
            5 => c.i32()?.into(),
            // The shortest decimal that is the same number: 0.00001, not 0.000009999999747378752.
            6 => c.f32()?.to_string().parse::<f64>().map_or(Value::Null, Value::from),
            7 => (c.u8()? != 0).into(),
            10 => c.u64()?.into(),
            11 => c.i64()?.into(),
            12 => c.f64()?.into(),
            other => {
                return Err(broken(format!(
                    "the value at byte {at} has the type {other}, known are 0 to 12"
                )));
            }
        })
    }

    /// Steps over an array and returns its length.
    fn array(&mut self, depth: u8) -> Result<u64> {
        let at = self.cursor.at();
        if depth == MAX_NESTING {
            return Err(broken(format!("the array at byte {at} is nested too deep")));
        }
        let kind = self.cursor.u32()?;
        let length = self.count()?;
        let size = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            10..=12 => 8,
            8 => {
                if self.wide {
                    8
                } else {
                    4
                }
            }
            9 => 8,
            other => return Err(broken(format!("the array at byte {at} has elements of the type {other}"))),
        };
        let bytes = length.checked_mul(size).filter(|n| *n <= self.cursor.rest());
        let bytes = bytes.ok_or_else(|| {
            broken(format!(
                "the array at byte {at} is said to have {length} elements, for which the file is too small"
            ))
        })?;
        match kind {
            8 => {
                for _ in 0..length {
                    let n = self.count()?;
                    self.cursor.skip(n)?;
                }
            }
            9 => {
                for _ in 0..length {
                    self.array(depth + 1)?;
                }
            }
            _ => self.cursor.skip(bytes)?,
        }
        Ok(length)
    }

    fn tensors(&mut self, count: u64, alignment: u64) -> Result<()> {
        let mut extents = Vec::new();
        let mut names = BTreeSet::new();
        for _ in 0..count {
            if self.read.tensors.len() == MAX_ENTRIES {
                self.read
                    .warnings
                    .push(format!("only the first {MAX_ENTRIES} of {count} tensors are listed"));
                return Ok(());
            }
            let name = self.text()?;
            let shown = show_bytes(name.as_bytes());
            let rank = self.cursor.u32()?;
            if rank > MAX_DIMS {
                return Err(broken(format!(
                    "`{shown}` is said to have {rank} dimensions, ggml's have at most {MAX_DIMS}"
                )));
            }
            let mut dims = (0..rank).map(|_| self.count()).collect::<Result<Vec<u64>>>()?;
            let number = self.cursor.u32()?;
            let offset = self.cursor.u64()?;
            let kind = types::by_number(number);
            if kind.is_none() && self.read.warnings.is_empty() {
                self.read.warnings.push(format!("`{shown}` has the type {number}, which floe does not know"));
            }
            if offset % alignment != 0 {
                return Err(broken(format!(
                    "`{shown}` lies at byte {offset} of the weights, which is not aligned"
                )));
            }
            let bytes = match kind {
                Some(kind) => size(&dims, kind).ok_or_else(|| {
                    broken(format!("`{shown}` has the shape {dims:?}, which {} cannot have", kind.name))
                })?,
                None => 0,
            };
            let end = offset.checked_add(bytes);
            extents.push((offset, end.ok_or_else(|| broken(format!("`{shown}` lies beyond all files")))?));
            // The first is the fastest.
            dims.reverse();
            self.read.tensors.push(Weight {
                name: name.clone(),
                dtype: kind.map(|k| k.name.to_owned()),
                shape: Some(dims.into_iter().map(Some).collect()),
            });
            if !names.insert(name) {
                return Err(broken(format!("the tensor `{shown}` is there twice")));
            }
        }
        self.check_extents(extents, alignment)
    }

    fn check_extents(&self, mut extents: Vec<(u64, u64)>, alignment: u64) -> Result<()> {
        let at = self.cursor.at();
        let begin = at.checked_next_multiple_of(alignment);
        let available = begin.and_then(|b| (at + self.cursor.rest()).checked_sub(b)).unwrap_or(0);
        extents.sort_unstable();
        let mut end = 0;
        for (from, to) in extents {
            if from < end {
                return Err(broken(format!("two tensors share the bytes from {from} of the weights on")));
            }
            end = to;
        }
        if end > available {
            return Err(broken(format!(
                "the tensors need {end} bytes, only {available} are there: the file was cut off"
            )));
        }
        Ok(())
    }
}

/// How many bytes a tensor takes; `None` where its rows are no whole blocks, or beyond all numbers.
fn size(dims: &[u64], kind: &types::Type) -> Option<u64> {
    let elements = dims.iter().try_fold(1u64, |product, dim| product.checked_mul(*dim))?;
    if dims.first().copied().unwrap_or(1) % kind.block != 0 {
        return None;
    }
    (elements / kind.block).checked_mul(kind.bytes)
}
