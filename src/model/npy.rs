//! Numpy's array files: what the header of a `.npy` says, and which arrays an `.npz` has.
//!
//! A header is a dict written as Python (numpy/lib/format.py). It is parsed by a grammar of
//! literals, strings, numbers, tuples, lists and dicts, and nothing is evaluated. The elements are
//! not read here.
//!
//! Invariants: a header has at most `MAX_HEADER` bytes, its literals nest at most `MAX_DEPTH`
//! deep, and a shape has at most [`MAX_RANK`] dimensions.

use crate::error::{Error, Kind, Result, show_bytes};
use crate::model::format::{MAX_RANK, Weight};
use crate::model::pb::Source;
use crate::model::pickle::ElementType;
use crate::model::zip::Archive;

/// How an array file begins.
pub const MAGIC: &[u8] = b"\x93NUMPY";
/// The longest header; numpy itself refuses more than 10 000 characters.
const MAX_HEADER: usize = 64 << 10;
/// How deep lists and tuples nest; a structured type has three levels.
const MAX_DEPTH: usize = 16;

/// What the header of an array file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Type of the elements.
    pub element: ElementType,
    /// Shape.
    pub shape: Vec<u64>,
    /// Whether the elements lie column by column.
    pub fortran: bool,
    /// Where the elements begin, in bytes.
    pub data: u64,
}

impl Header {
    /// Whether the elements are a pickle, which only a loader that runs it can read.
    pub fn has_objects(&self) -> bool {
        self.element.has_objects()
    }

    /// The array as a weight of this name.
    pub fn weight(&self, name: impl Into<String>) -> Weight {
        Weight {
            name: name.into(),
            dtype: Some(match self.element.dtype() {
                Some(dtype) => dtype.name().to_owned(),
                None => self.element.code.clone(),
            }),
            shape: Some(self.shape.iter().map(|n| Some(*n)).collect()),
        }
    }
}

/// How many bytes from the beginning hold the whole header of most files.
pub const USUAL_HEADER: u64 = 4096;

/// Reads the header of an array file.
pub fn read(source: &dyn Source) -> Result<Header> {
    let mut start = [0; 12];
    let got = source.read_at(0, &mut start)?;
    let (length, at) = match &start[..got] {
        [0x93, b'N', b'U', b'M', b'P', b'Y', 1, _, a, b, ..] => {
            (usize::from(u16::from_le_bytes([*a, *b])), 10)
        }
        [0x93, b'N', b'U', b'M', b'P', b'Y', 2 | 3, _, a, b, c, d] => {
            (usize::try_from(u32::from_le_bytes([*a, *b, *c, *d])).unwrap_or(usize::MAX), 12)
        }
        [0x93, b'N', b'U', b'M', b'P', b'Y', version, ..] => {
            return Err(broken(format!("version {version} is not known, or the header is cut")));
        }
        other => return Err(broken(format!("it begins with `{}`", show_bytes(other)))),
    };
    if length > MAX_HEADER {
        return Err(broken(format!("its header has {length} bytes, more than {MAX_HEADER}")));
    }
    let mut text = vec![0; length];
    let got = source.read_at(at, &mut text)?;
    if got < length {
        return Err(broken("it ends inside of its header"));
    }
    let header = Literal::parse(&text).and_then(|l| described(&l));
    let (element, shape, fortran) = header
        .ok_or_else(|| broken(format!("its header is not as numpy writes it: `{}`", show_bytes(&text))))?;
    Ok(Header { element, shape, fortran, data: at + length as u64 })
}

fn broken(what: impl std::fmt::Display) -> Error {
    Error::new(Kind::Model, format!("broken numpy array: {what}"))
}

/// The arrays of an `.npz`, by name, without their elements. What is no array is left out.
pub fn archive(archive: &Archive<'_>) -> Result<Vec<(String, Header)>> {
    let mut found = Vec::new();
    for entry in archive.entries() {
        let Some(name) = entry.name.strip_suffix(".npy") else { continue };
        let mut head = archive.head(entry, USUAL_HEADER)?;
        // A structured type may have a longer one.
        if head.len() as u64 == USUAL_HEADER && read(&head).is_err() {
            head = archive.head(entry, MAX_HEADER as u64 + 12)?;
        }
        found.push((name.to_owned(), read(&head)?));
    }
    Ok(found)
}

/// A Python literal.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Literal {
    Text(Vec<u8>),
    Number(u64),
    Bool(bool),
    Sequence(Vec<Self>),
    Dict(Vec<(Self, Self)>),
}

/// The three things that a header says.
fn described(header: &Literal) -> Option<(ElementType, Vec<u64>, bool)> {
    let Literal::Dict(items) = header else { return None };
    let get = |key: &str| {
        let mut found = items.iter().rev();
        found.find(|(k, _)| matches!(k, Literal::Text(t) if t == key.as_bytes())).map(|(_, v)| v)
    };
    let Literal::Bool(fortran) = get("fortran_order")? else { return None };
    let Literal::Sequence(dims) = get("shape")? else { return None };
    if dims.len() > MAX_RANK {
        return None;
    }
    let dim = |l: &Literal| match l {
        Literal::Number(n) => Some(*n),
        _ => None,
    };
    let shape = dims.iter().map(dim).collect::<Option<_>>()?;
    Some((element(get("descr")?)?, shape, *fortran))
}

/// A type: a short form, or a list of fields `(name, type[, shape])`.
fn element(descr: &Literal) -> Option<ElementType> {
    match descr {
        Literal::Text(code) => ElementType::parse(std::str::from_utf8(code).ok()?),
        // A type with a shape of its own, or with metadata.
        Literal::Sequence(parts) if matches!(parts.first(), Some(Literal::Text(_))) => {
            let base = element(parts.first()?)?;
            let (size, _) = size_of_field(descr)?;
            let letter = if base.has_objects() { 'O' } else { 'V' };
            Some(ElementType { code: format!("{letter}{size}"), big_endian: false, fields: Vec::new() })
        }
        Literal::Sequence(fields) => {
            let mut names = Vec::new();
            let mut size = 0u64;
            let mut objects = false;
            for field in fields {
                let Literal::Sequence(parts) = field else { return None };
                // A title may stand before the name.
                let name = match parts.first()? {
                    Literal::Text(name) => name,
                    Literal::Sequence(pair) => match pair.last()? {
                        Literal::Text(name) => name,
                        _ => return None,
                    },
                    _ => return None,
                };
                let kind = parts.get(1)?;
                let (one, holds) = size_of_field(kind)?;
                let count = match parts.get(2) {
                    None => 1,
                    Some(Literal::Number(n)) => *n,
                    Some(Literal::Sequence(dims)) => dims.iter().try_fold(1u64, |n, d| match d {
                        Literal::Number(d) => n.checked_mul(*d),
                        _ => None,
                    })?,
                    Some(_) => return None,
                };
                size = size.checked_add(one.checked_mul(count)?)?;
                objects |= holds;
                if !name.is_empty() {
                    names.push(String::from_utf8_lossy(name).into_owned());
                }
            }
            let letter = if objects { 'O' } else { 'V' };
            Some(ElementType { code: format!("{letter}{size}"), big_endian: false, fields: names })
        }
        _ => None,
    }
}

/// How many bytes a type takes, and whether it has objects in it.
fn size_of_field(kind: &Literal) -> Option<(u64, bool)> {
    if let Literal::Sequence(parts) = kind
        && let [Literal::Text(_), Literal::Sequence(dims)] = parts.as_slice()
    {
        let (one, objects) = size_of_field(parts.first()?)?;
        let count = dims.iter().try_fold(1u64, |n, d| match d {
            Literal::Number(d) => n.checked_mul(*d),
            _ => None,
        })?;
        return Some((one.checked_mul(count)?, objects));
    }
    let element = element(kind)?;
    let objects = element.has_objects();
    Some((element.size().or(objects.then_some(8))?, objects))
}

impl Literal {
    /// Reads the one literal that a text holds, with spaces around.
    fn parse(text: &[u8]) -> Option<Self> {
        let mut rest = text;
        let value = Self::read(&mut rest, 0)?;
        rest.trim_ascii().is_empty().then_some(value)
    }

    fn read(rest: &mut &[u8], depth: usize) -> Option<Self> {
        if depth > MAX_DEPTH {
            return None;
        }
        *rest = rest.trim_ascii_start();
        let (first, tail) = rest.split_first()?;
        match first {
            b'\'' | b'"' => {
                *rest = tail;
                Self::text(rest, *first)
            }
            b'u' | b'b' if matches!(tail.first(), Some(b'\'' | b'"')) => {
                *rest = &tail[1..];
                Self::text(rest, tail[0])
            }
            b'0'..=b'9' => {
                let end = rest.iter().position(|b| !b.is_ascii_digit()).unwrap_or(rest.len());
                let (digits, tail) = rest.split_at(end);
                // Python 2 marks its long integers.
                *rest = tail.strip_prefix(b"L").unwrap_or(tail);
                Some(Self::Number(std::str::from_utf8(digits).ok()?.parse().ok()?))
            }
            b'(' | b'[' => {
                *rest = tail;
                let close = if *first == b'(' { b')' } else { b']' };
                let mut values = Vec::new();
                loop {
                    if Self::eat(rest, close) {
                        return Some(Self::Sequence(values));
                    }
                    values.push(Self::read(rest, depth + 1)?);
                    if !Self::eat(rest, b',') {
                        return Self::eat(rest, close).then_some(Self::Sequence(values));
                    }
                }
            }
            b'{' => {
                *rest = tail;
                let mut items = Vec::new();
                loop {
                    if Self::eat(rest, b'}') {
                        return Some(Self::Dict(items));
                    }
                    let key = Self::read(rest, depth + 1)?;
                    if !Self::eat(rest, b':') {
                        return None;
                    }
                    items.push((key, Self::read(rest, depth + 1)?));
                    if !Self::eat(rest, b',') {
                        return Self::eat(rest, b'}').then_some(Self::Dict(items));
                    }
                }
            }
            _ => [(&b"True"[..], true), (b"False", false)].into_iter().find_map(|(word, value)| {
                *rest = rest.strip_prefix(word)?;
                Some(Self::Bool(value))
            }),
        }
    }

    fn text(rest: &mut &[u8], quote: u8) -> Option<Self> {
        let end = rest.iter().position(|b| *b == quote)?;
        let (text, tail) = rest.split_at(end);
        *rest = &tail[1..];
        // No type or field that numpy writes needs an escape.
        (!text.contains(&b'\\')).then(|| Self::Text(text.to_vec()))
    }

    fn eat(rest: &mut &[u8], byte: u8) -> bool {
        *rest = rest.trim_ascii_start();
        match rest.strip_prefix(&[byte]) {
            Some(tail) => {
                *rest = tail;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::contract::DType;

    fn file(version: u8, header: &str) -> Vec<u8> {
        let mut bytes = [MAGIC, &[version, 0]].concat();
        let length = header.len() as u32;
        bytes.extend(if version == 1 {
            (length as u16).to_le_bytes().to_vec()
        } else {
            length.to_le_bytes().to_vec()
        });
        bytes.extend(header.as_bytes());
        bytes
    }

    #[test]
    fn headers_of_all_versions_are_read() {
        for version in 1..=3 {
            let bytes = file(version, "{'descr': '>f4', 'fortran_order': True, 'shape': (3, 2L), }      \n");
            let header = read(&bytes).unwrap();
            assert_eq!(header.element.dtype(), Some(DType::Float32));
            assert!(header.element.big_endian && header.fortran && !header.has_objects());
            assert_eq!((header.shape.as_slice(), header.data), (&[3, 2][..], bytes.len() as u64));
        }
        let read = |header: &str| read(&file(1, header)).unwrap();
        assert_eq!(read("{'descr': '|b1', 'fortran_order': False, 'shape': ()}").shape, [0u64; 0]);
        assert!(read("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}").has_objects());
        let fields = read(
            "{'descr': [('a', '<i4'), ('b', '<f8', (2, 2)), ('', '|V4')], 'fortran_order': False, 'shape': (5,)}",
        );
        assert_eq!(
            (fields.element.code.as_str(), fields.element.fields.as_slice()),
            ("V40", &["a".into(), "b".into()][..])
        );
    }

    #[test]
    fn what_is_no_literal_is_refused() {
        for header in [
            "",
            "{",
            "{'descr': '<f4', 'fortran_order': False}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3,)} or 1",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3*10**9,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
            "__import__('os').system('id')",
            "{'descr': 'evil', 'fortran_order': False, 'shape': (3,)}",
        ] {
            assert!(read(&file(1, header)).is_err(), "{header}");
        }
        let deep = format!("{}{}", "[".repeat(9000), "]".repeat(9000));
        assert!(read(&file(2, &deep)).is_err());
        let whole = file(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}");
        for n in 0..whole.len() {
            assert!(read(&&whole[..n]).is_err(), "{n}");
        }
        assert!(read(&[MAGIC, &[2, 0, 0xff, 0xff, 0xff, 0xff]].concat()).is_err());
    }
}
