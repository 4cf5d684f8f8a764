//! The header of one safetensors file: JSON of a known length, read as a stream.
//!
//! Rules and names of types are those of the reference implementation (github.com/huggingface/safetensors,
//! `safetensors/src/tensor.rs`). It is not the weights, which are never read.
//!
//! Invariants: memory does not grow with what the header claims, only with the tensors that are
//! listed, and of these there are at most [`MAX_ENTRIES`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufReader, Read};

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::error::{Error, Kind, Result, show_bytes};
use crate::model::format::cursor::Cursor;
use crate::model::format::{MAX_ENTRIES, MAX_RANK, Weight};
use crate::model::pb::Source;

/// The longest header that the format allows.
pub(super) const MAX_HEADER: u64 = 100_000_000;
/// The longest text in a header; some trainers write all their settings into one.
const MAX_STRING: usize = 4 << 20;
/// The longest value of metadata that is kept.
const MAX_VALUE: usize = 4096;
/// How many entries of metadata are kept.
const MAX_METADATA: usize = 256;
/// The key that is no tensor.
const METADATA: &str = "__metadata__";

/// What a header tells.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    /// The tensors, in the order of the header.
    pub tensors: Vec<Weight>,
    /// What the writer noted, without what is long.
    pub metadata: BTreeMap<String, String>,
    /// Limits that were met, and types that are not known.
    pub warnings: Vec<String>,
    /// How many bytes were read for it.
    pub spent: u64,
}

/// Reads the header of a source and checks that its tensors fill the rest of it exactly.
pub(crate) fn read(source: &dyn Source, budget: u64) -> Result<Header> {
    let mut cursor = Cursor::new(source, budget);
    let length = cursor.u64()?;
    if length > MAX_HEADER {
        return Err(broken(format!(
            "the header is said to have {length} bytes, at most {MAX_HEADER} are allowed"
        )));
    }
    if length > cursor.rest() {
        return Err(broken(format!(
            "the header is said to have {length} bytes, only {} follow: the file was cut off",
            cursor.rest()
        )));
    }
    if length > cursor.left() {
        let warning = format!(
            "the header has {length} bytes and was not read, since at most {budget} are read of one model"
        );
        return Ok(Header { warnings: vec![warning], ..Header::default() });
    }
    cursor.limit(length)?;
    let mut state = State {
        keys: BTreeSet::new(),
        hashers: [RandomState::new(), RandomState::new()],
        ..State::default()
    };
    let reader =
        BufReader::with_capacity(64 << 10, Strings { inner: cursor, length: 0, state: Lexer::Outside });
    let mut json = serde_json::Deserializer::from_reader(reader);
    let parsed = Tensors(&mut state).deserialize(&mut json).and_then(|()| json.end());
    parsed.map_err(|e| broken("the header is not the JSON that it should be").because(e))?;
    state.header.spent = 8 + length;
    state.finish(source.size() - 8 - length)
}

fn broken(message: impl Into<String>) -> Error {
    Error::new(Kind::Model, message)
}

/// Stops texts that are longer than any writer makes them, before the parser collects them.
struct Strings<'s> {
    inner: Cursor<'s>,
    length: usize,
    state: Lexer,
}

#[derive(Clone, Copy)]
enum Lexer {
    Outside,
    Inside,
    Escaped,
}

impl Read for Strings<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(out)?;
        for b in &out[..n] {
            self.state = match (self.state, b) {
                (Lexer::Outside, b'"') => {
                    self.length = 0;
                    Lexer::Inside
                }
                (Lexer::Outside, _) | (Lexer::Inside, b'"') => Lexer::Outside,
                (Lexer::Inside, b'\\') => Lexer::Escaped,
                (Lexer::Inside | Lexer::Escaped, _) => Lexer::Inside,
            };
            self.length += 1;
            if matches!(self.state, Lexer::Inside) && self.length > MAX_STRING {
                return Err(
                    broken(format!("a text in the header has more than {MAX_STRING} bytes")).into_io()
                );
            }
        }
        Ok(n)
    }
}

/// What is collected on the way through the header.
#[derive(Default)]
struct State {
    header: Header,
    /// Of each key two hashes with random seeds instead of the key itself, so that a second copy of
    /// each name is not kept; that two keys share both by chance does not happen.
    keys: BTreeSet<[u64; 2]>,
    hashers: [RandomState; 2],
    /// Where each tensor begins and ends.
    extents: Vec<(u64, u64)>,
    cut: bool,
}

impl State {
    /// Whether a key is met for the first time.
    fn is_new(&mut self, key: &str) -> bool {
        let hashes = [self.hashers[0].hash_one(key), self.hashers[1].hash_one(key)];
        self.keys.insert(hashes)
    }

    fn tensor(&mut self, name: String, entry: Entry) -> std::result::Result<(), String> {
        let Entry { dtype, shape: Dims(shape), data_offsets: Offsets(from, to) } = entry;
        let shown = show_bytes(name.as_bytes());
        if from > to {
            return Err(format!("`{shown}` begins at byte {from} and ends before, at byte {to}"));
        }
        let known = DTYPES.iter().find(|(theirs, ..)| *theirs == dtype);
        if let Some((_, _, bits)) = known {
            let bits = shape.iter().try_fold(*bits, |product, dim| product.checked_mul(*dim));
            let bytes = bits.filter(|b| b % 8 == 0).map(|b| b / 8);
            if bytes != Some(to - from) {
                return Err(format!(
                    "`{shown}` has the shape {shape:?} of {} and {} bytes, which do not agree",
                    show_bytes(dtype.as_bytes()),
                    to - from
                ));
            }
        } else if self.header.warnings.is_empty() {
            let dtype = show_bytes(dtype.as_bytes());
            self.header.warnings.push(format!("`{shown}` has the type `{dtype}`, which floe does not know"));
        }
        self.extents.push((from, to));
        self.header.tensors.push(Weight {
            name,
            dtype: known.map(|(_, ours, _)| (*ours).to_owned()),
            shape: Some(shape.into_iter().map(Some).collect()),
        });
        Ok(())
    }

    /// The tensors must lie one behind the other and fill the file, in whatever order.
    fn finish(mut self, data: u64) -> Result<Header> {
        if self.cut {
            self.header.warnings.push(format!("only the first {MAX_ENTRIES} tensors are listed"));
            return Ok(self.header);
        }
        self.extents.sort_unstable();
        let mut end = 0;
        for (from, to) in self.extents {
            match from.cmp(&end) {
                std::cmp::Ordering::Equal => end = to,
                std::cmp::Ordering::Less => {
                    return Err(broken(format!("two tensors share the bytes from {from} on")));
                }
                std::cmp::Ordering::Greater => {
                    return Err(broken(format!("bytes {end} to {from} of the weights belong to no tensor")));
                }
            }
        }
        if end > data {
            return Err(broken(format!(
                "the tensors need {end} bytes, only {data} follow the header: the file was cut off"
            )));
        }
        if end < data {
            return Err(broken(format!("{} bytes after the last tensor belong to nothing", data - end)));
        }
        Ok(self.header)
    }
}

/// The header's object.
struct Tensors<'a>(&'a mut State);

impl<'de> DeserializeSeed<'de> for Tensors<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> std::result::Result<(), D::Error> {
        d.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Tensors<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if self.0.cut {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            if !self.0.is_new(&key) {
                return Err(A::Error::custom(format!("`{}` is there twice", show_bytes(key.as_bytes()))));
            }
            if key == METADATA {
                self.0.header.metadata = map.next_value::<Metadata>()?.0;
            } else if self.0.extents.len() == MAX_ENTRIES {
                self.0.cut = true;
                map.next_value::<IgnoredAny>()?;
            } else {
                let entry = map.next_value()?;
                self.0.tensor(key, entry).map_err(A::Error::custom)?;
            }
        }
        Ok(())
    }
}

/// What the header says of one tensor.
#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Dims,
    data_offsets: Offsets,
}

/// A shape of a length that tensors have.
struct Dims(Vec<u64>);

impl<'de> Deserialize<'de> for Dims {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        struct Numbers;
        impl<'de> Visitor<'de> for Numbers {
            type Value = Dims;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a shape of at most {MAX_RANK} dimensions")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Dims, A::Error> {
                let mut dims = Vec::new();
                while let Some(dim) = seq.next_element()? {
                    if dims.len() == MAX_RANK {
                        return Err(A::Error::invalid_length(MAX_RANK + 1, &self));
                    }
                    dims.push(dim);
                }
                Ok(Dims(dims))
            }
        }
        d.deserialize_seq(Numbers)
    }
}

/// Where a tensor begins and ends, from the end of the header.
#[derive(Deserialize)]
struct Offsets(u64, u64);

/// The metadata that is kept: what people read, not the settings of a whole training.
struct Metadata(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = Metadata;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Metadata, A::Error> {
                let mut kept = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, String>()? {
                    if key.len() + value.len() <= MAX_VALUE && kept.len() < MAX_METADATA {
                        kept.insert(key, value);
                    }
                }
                Ok(Metadata(kept))
            }
        }
        d.deserialize_map(Texts)
    }
}

/// Types: the format's name, numpy's, size in bits.
const DTYPES: &[(&str, &str, u64)] = &[
    ("BOOL", "bool", 8),
    ("F4", "float4_e2m1fn", 4),
    ("F6_E2M3", "float6_e2m3fn", 6),
    ("F6_E3M2", "float6_e3m2fn", 6),
    ("U8", "uint8", 8),
    ("I8", "int8", 8),
    ("F8_E5M2", "float8_e5m2", 8),
    ("F8_E4M3", "float8_e4m3fn", 8),
    ("F8_E8M0", "float8_e8m0fnu", 8),
    ("F8_E4M3FNUZ", "float8_e4m3fnuz", 8),
    ("F8_E5M2FNUZ", "float8_e5m2fnuz", 8),
    ("I16", "int16", 16),
    ("U16", "uint16", 16),
    ("F16", "float16", 16),
    ("BF16", "bfloat16", 16),
    ("I32", "int32", 32),
    ("U32", "uint32", 32),
    ("F32", "float32", 32),
    ("C64", "complex64", 64),
    ("F64", "float64", 64),
    ("I64", "int64", 64),
    ("U64", "uint64", 64),
];
