//! A SavedModel as text (`saved_model.pbtxt`), turned into the binary form.
//!
//! Only the fields that signatures need are kept; everything else, the graph above all, is skipped
//! as balanced brackets. It is not a general reader of protobuf's text format: it knows the messages
//! of the tables below and no extensions.
//!
//! Invariants: nesting is bounded by [`MAX_DEPTH`], and the text is read once from front to back.

use crate::error::{Error, Kind, Result, show_bytes};
use crate::model::contract::DType;
use crate::model::format::MAX_TEXT;
use crate::model::format::tensorflow::whole;
use crate::model::pb::{MAX_DEPTH, Writer};
use crate::model::tree::Content;

/// The largest text that is read.
pub(super) const MAX_SIZE: u64 = 32 << 20;

/// How deep brackets may nest in what is skipped.
const MAX_SKIPPED: usize = 1000;

/// What a field of a known message holds.
enum Holds {
    Text,
    Int,
    Bool,
    DType,
    /// A name of this list or a number.
    Enum(&'static [(&'static str, i64)]),
    Message(&'static Schema),
}

/// The fields of a message that are kept: name, number, content.
struct Schema(&'static [(&'static str, u32, Holds)]);

use Holds::{Bool, Int, Message, Text};

static SAVED_MODEL: Schema =
    Schema(&[("saved_model_schema_version", 1, Int), ("meta_graphs", 2, Message(&META_GRAPH))]);
static META_GRAPH: Schema = Schema(&[
    ("meta_info_def", 1, Message(&META_INFO)),
    ("saver_def", 3, Message(&SAVER)),
    ("collection_def", 4, Message(&EMPTY)),
    ("signature_def", 5, Message(&SIGNATURE_ENTRY)),
    ("asset_file_def", 6, Message(&ASSET)),
]);
static META_INFO: Schema = Schema(&[
    ("meta_graph_version", 1, Text),
    ("tags", 4, Text),
    ("tensorflow_version", 5, Text),
    ("tensorflow_git_version", 6, Text),
    ("stripped_default_attrs", 7, Bool),
]);
static SAVER: Schema = Schema(&[("filename_tensor_name", 1, Text)]);
static EMPTY: Schema = Schema(&[]);
static ASSET: Schema = Schema(&[("filename", 2, Text)]);
static SIGNATURE_ENTRY: Schema = Schema(&[("key", 1, Text), ("value", 2, Message(&SIGNATURE))]);
static SIGNATURE: Schema = Schema(&[
    ("inputs", 1, Message(&TENSOR_ENTRY)),
    ("outputs", 2, Message(&TENSOR_ENTRY)),
    ("method_name", 3, Text),
    ("defaults", 4, Message(&DEFAULT_ENTRY)),
]);
static DEFAULT_ENTRY: Schema = Schema(&[("key", 1, Text)]);
static TENSOR_ENTRY: Schema = Schema(&[("key", 1, Text), ("value", 2, Message(&TENSOR_INFO))]);
static TENSOR_INFO: Schema = Schema(&[
    ("name", 1, Text),
    ("dtype", 2, Holds::DType),
    ("tensor_shape", 3, Message(&SHAPE)),
    ("coo_sparse", 4, Message(&COO_SPARSE)),
    ("composite_tensor", 5, Message(&COMPOSITE)),
]);
static COO_SPARSE: Schema = Schema(&[
    ("values_tensor_name", 1, Text),
    ("indices_tensor_name", 2, Text),
    ("dense_shape_tensor_name", 3, Text),
]);
static COMPOSITE: Schema =
    Schema(&[("type_spec", 1, Message(&TYPE_SPEC)), ("components", 2, Message(&TENSOR_INFO))]);
static TYPE_SPEC: Schema = Schema(&[
    ("type_spec_class", 1, Holds::Enum(CLASSES)),
    ("type_state", 2, Message(&STATE)),
    ("type_spec_class_name", 3, Text),
]);
static STATE: Schema = Schema(&[
    ("tensor_shape_value", 31, Message(&SHAPE)),
    ("tensor_dtype_value", 32, Holds::DType),
    ("list_value", 51, Message(&VALUES)),
    ("tuple_value", 52, Message(&VALUES)),
]);
static VALUES: Schema = Schema(&[("values", 1, Message(&STATE))]);
static SHAPE: Schema = Schema(&[("dim", 2, Message(&DIM)), ("unknown_rank", 3, Bool)]);
static DIM: Schema = Schema(&[("size", 1, Int), ("name", 2, Text)]);

/// `TypeSpecProto.TypeSpecClass`.
const CLASSES: &[(&str, i64)] = &[
    ("UNKNOWN", 0),
    ("SPARSE_TENSOR_SPEC", 1),
    ("INDEXED_SLICES_SPEC", 2),
    ("RAGGED_TENSOR_SPEC", 3),
    ("TENSOR_ARRAY_SPEC", 4),
    ("DATA_DATASET_SPEC", 5),
    ("DATA_ITERATOR_SPEC", 6),
    ("OPTIONAL_SPEC", 7),
    ("PER_REPLICA_SPEC", 8),
    ("VARIABLE_SPEC", 9),
    ("ROW_PARTITION_SPEC", 10),
    ("REGISTERED_TYPE_SPEC", 12),
    ("EXTENSION_TYPE_SPEC", 13),
];

/// `DataType`'s names where they are not the numpy name in capitals.
const DTYPES: &[(&str, DType)] = &[
    ("FLOAT", DType::Float32),
    ("DOUBLE", DType::Float64),
    ("HALF", DType::Float16),
    ("FLOAT8_E4M3FN", DType::Float8E4M3FN),
    ("FLOAT8_E4M3FNUZ", DType::Float8E4M3FNUZ),
    ("FLOAT8_E5M2FNUZ", DType::Float8E5M2FNUZ),
];

/// Whether a text begins as a SavedModel does: with one of its two fields.
pub(super) fn looks_like(head: &[u8]) -> bool {
    let mut lexer = Lexer { text: head, at: 0 };
    let Ok(Token::Name(first)) = lexer.next() else { return false };
    match first {
        b"saved_model_schema_version" => matches!(lexer.next(), Ok(Token::Mark(b':'))),
        b"meta_graphs" => matches!(lexer.next(), Ok(Token::Mark(b'{' | b'<' | b':'))),
        _ => false,
    }
}

/// Reads a text and writes the same model in binary form, as far as signatures need it.
pub(super) fn to_binary(content: &Content, budget: u64) -> Result<Vec<u8>> {
    convert(&whole(content, budget)?)
}

fn convert(text: &[u8]) -> Result<Vec<u8>> {
    let mut lexer = Lexer { text, at: 0 };
    Ok(message(&mut lexer, &SAVED_MODEL, None, 0)?.finish())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'t> {
    /// A name or a number.
    Name(&'t [u8]),
    /// A quoted text, still escaped, without its quotes.
    Quoted(&'t [u8]),
    /// One of `{}<>[]:,;`.
    Mark(u8),
    End,
}

#[derive(Clone, Copy)]
struct Lexer<'t> {
    text: &'t [u8],
    at: usize,
}

impl<'t> Lexer<'t> {
    fn fault(&self, what: &str) -> Error {
        let before = &self.text[..self.at.min(self.text.len())];
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        Error::new(Kind::Model, format!("broken protobuf text in line {line}: {what}"))
    }

    fn next(&mut self) -> Result<Token<'t>> {
        loop {
            match self.text.get(self.at) {
                None => return Ok(Token::End),
                Some(b'#') => {
                    let rest = &self.text[self.at..];
                    self.at += rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
                }
                Some(b) if b.is_ascii_whitespace() => self.at += 1,
                Some(b @ (b'{' | b'}' | b'<' | b'>' | b'[' | b']' | b':' | b',' | b';')) => {
                    self.at += 1;
                    return Ok(Token::Mark(*b));
                }
                Some(quote @ (b'"' | b'\'')) => return self.quoted(*quote),
                Some(b) if is_name(*b) => {
                    let rest = &self.text[self.at..];
                    let n = rest.iter().position(|b| !is_name(*b)).unwrap_or(rest.len());
                    self.at += n;
                    return Ok(Token::Name(&rest[..n]));
                }
                Some(b) => return Err(self.fault(&format!("`{}` has no place here", show_bytes(&[*b])))),
            }
        }
    }

    fn quoted(&mut self, quote: u8) -> Result<Token<'t>> {
        let start = self.at + 1;
        let mut at = start;
        loop {
            match self.text.get(at) {
                None | Some(b'\n') => return Err(self.fault("a text is not closed")),
                Some(b'\\') => at += 2,
                Some(b) if *b == quote => {
                    self.at = at + 1;
                    return Ok(Token::Quoted(&self.text[start..at]));
                }
                Some(_) => at += 1,
            }
        }
    }

    fn peek(&self) -> Result<Token<'t>> {
        let mut ahead = *self;
        ahead.next()
    }
}

fn is_name(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'+' | b'/')
}

/// Reads fields up to the bracket that closes the message, or the end of the text.
fn message(lexer: &mut Lexer<'_>, schema: &Schema, close: Option<u8>, depth: u8) -> Result<Writer> {
    if depth > MAX_DEPTH {
        return Err(lexer.fault("messages are nested too deep"));
    }
    let mut out = Writer::new();
    loop {
        match lexer.next()? {
            Token::End if close.is_none() => return Ok(out),
            Token::Mark(b) if Some(b) == close => return Ok(out),
            Token::Mark(b',' | b';') => {}
            Token::Name(name) => {
                let known = schema.0.iter().find(|(n, ..)| n.as_bytes() == name);
                match known {
                    Some((_, number, holds)) => field(lexer, *number, holds, &mut out, depth)?,
                    None => skip_value(lexer)?,
                }
            }
            // The name of an extension.
            Token::Mark(b'[') => {
                skip_brackets(lexer, b'[')?;
                skip_value(lexer)?;
            }
            Token::End => return Err(lexer.fault("the text ends inside a message")),
            _ => return Err(lexer.fault("the name of a field was expected")),
        }
    }
}

fn field(lexer: &mut Lexer<'_>, number: u32, holds: &Holds, out: &mut Writer, depth: u8) -> Result<()> {
    if lexer.peek()? == Token::Mark(b':') {
        lexer.next()?;
    }
    if lexer.peek()? != Token::Mark(b'[') {
        return value(lexer, number, holds, out, depth);
    }
    lexer.next()?;
    loop {
        match lexer.peek()? {
            Token::Mark(b']') => {
                lexer.next()?;
                return Ok(());
            }
            Token::Mark(b',') => drop(lexer.next()?),
            _ => value(lexer, number, holds, out, depth)?,
        }
    }
}

fn value(lexer: &mut Lexer<'_>, number: u32, holds: &Holds, out: &mut Writer, depth: u8) -> Result<()> {
    let token = lexer.next()?;
    match (holds, token) {
        (Message(schema), Token::Mark(open @ (b'{' | b'<'))) => {
            let close = if open == b'{' { b'}' } else { b'>' };
            out.message(number, message(lexer, schema, Some(close), depth + 1)?);
        }
        (Text, Token::Quoted(first)) => {
            let mut bytes = Vec::new();
            unescape(lexer, first, &mut bytes)?;
            // Texts that follow one another are one.
            while let Token::Quoted(more) = lexer.peek()? {
                lexer.next()?;
                unescape(lexer, more, &mut bytes)?;
                if bytes.len() > MAX_TEXT {
                    return Err(lexer.fault("a text is too long"));
                }
            }
            out.bytes(number, &bytes);
        }
        (Int, Token::Name(n)) => out.int(number, int(lexer, n)?),
        (Bool, Token::Name(b"true" | b"True" | b"t" | b"1")) => out.varint(number, 1),
        (Bool, Token::Name(b"false" | b"False" | b"f" | b"0")) => out.varint(number, 0),
        (Holds::DType, Token::Name(n)) => out.int(number, dtype(lexer, n)?),
        (Holds::Enum(names), Token::Name(n)) => {
            let known = names.iter().find(|(name, _)| name.as_bytes() == n);
            out.int(number, known.map_or_else(|| int(lexer, n), |(_, number)| Ok(*number))?);
        }
        _ => return Err(lexer.fault("a field holds something else than its type")),
    }
    Ok(())
}

fn int(lexer: &Lexer<'_>, text: &[u8]) -> Result<i64> {
    let parsed = std::str::from_utf8(text).ok().and_then(|t| match t.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16).ok(),
        None => t.parse().ok(),
    });
    parsed.ok_or_else(|| lexer.fault(&format!("`{}` is not a number", show_bytes(text))))
}

fn dtype(lexer: &Lexer<'_>, text: &[u8]) -> Result<i64> {
    let Some(name) = text.strip_prefix(b"DT_") else { return int(lexer, text) };
    let (name, reference) = match name.strip_suffix(b"_REF") {
        Some(name) => (name, 100),
        None => (name, 0),
    };
    if name == b"INVALID" {
        return Ok(0);
    }
    let own = DTYPES.iter().find(|(n, _)| n.as_bytes() == name).map(|(_, d)| *d);
    let dtype =
        own.or_else(|| DType::ALL.iter().copied().find(|d| d.name().as_bytes().eq_ignore_ascii_case(name)));
    match dtype.and_then(DType::tensorflow) {
        Some(number) => Ok(i64::from(number) + reference),
        None => Err(lexer.fault(&format!("`{}` is not a dtype", show_bytes(text)))),
    }
}

fn unescape(lexer: &Lexer<'_>, text: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first != b'\\' {
            out.push(*first);
            continue;
        }
        let Some((escape, tail)) = rest.split_first() else {
            return Err(lexer.fault("a text ends in a backslash"));
        };
        rest = tail;
        match escape {
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'r' => out.push(b'\r'),
            b'\\' | b'"' | b'\'' | b'?' => out.push(*escape),
            b'0'..=b'7' => {
                let more = rest.iter().take(2).take_while(|b| (b'0'..=b'7').contains(*b)).count();
                let digits =
                    rest[..more].iter().fold(u32::from(escape - b'0'), |n, b| n * 8 + u32::from(b - b'0'));
                out.push(u8::try_from(digits).map_err(|_| lexer.fault("an octal escape is over 377"))?);
                rest = &rest[more..];
            }
            b'x' | b'X' => {
                let more = rest.iter().take(2).take_while(|b| b.is_ascii_hexdigit()).count();
                let digits =
                    std::str::from_utf8(&rest[..more]).ok().and_then(|d| u8::from_str_radix(d, 16).ok());
                out.push(digits.ok_or_else(|| lexer.fault("an escape `\\x` has no digits"))?);
                rest = &rest[more..];
            }
            _ => return Err(lexer.fault("an escape that is not known")),
        }
    }
    Ok(())
}

/// Skips what follows the name of a field that is not kept.
fn skip_value(lexer: &mut Lexer<'_>) -> Result<()> {
    if lexer.peek()? == Token::Mark(b':') {
        lexer.next()?;
    }
    match lexer.next()? {
        Token::Mark(open @ (b'{' | b'<' | b'[')) => skip_brackets(lexer, open),
        Token::Name(_) => Ok(()),
        Token::Quoted(_) => {
            while matches!(lexer.peek()?, Token::Quoted(_)) {
                lexer.next()?;
            }
            Ok(())
        }
        _ => Err(lexer.fault("a value was expected")),
    }
}

/// Skips to the bracket that closes this one.
fn skip_brackets(lexer: &mut Lexer<'_>, first: u8) -> Result<()> {
    let closing = |open: u8| match open {
        b'{' => b'}',
        b'<' => b'>',
        _ => b']',
    };
    let mut open = vec![closing(first)];
    while let Some(wanted) = open.last().copied() {
        match lexer.next()? {
            Token::Mark(b @ (b'{' | b'<' | b'[')) if open.len() < MAX_SKIPPED => open.push(closing(b)),
            Token::Mark(b) if b == wanted => drop(open.pop()),
            Token::Mark(b'{' | b'<' | b'[') => return Err(lexer.fault("brackets are nested too deep")),
            Token::Mark(b'}' | b'>' | b']') | Token::End => {
                return Err(lexer.fault("a bracket is not closed"));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
