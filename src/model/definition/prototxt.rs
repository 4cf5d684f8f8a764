//! `contract.prototxt`: a contract in protobuf's text format, as Hydrosphere 0.0.x and later had it.
//!
//! Read are the messages `ModelContract` and `ModelSignature` of every generation, under the names
//! that their fields had over time. It is no general reader of the text format: extensions, `Any`
//! and floats are not known. `#` begins a comment that ends with its line.
//!
//! Invariants: depth, size and count are bounded; an unknown field is an error that names it.

use std::ops::Range;

use super::contract::DEFAULT_SIGNATURE;
use super::keys::nearest;
use super::reader::shown;
use super::source::Source;
use super::types::{self, Type};
use crate::error::{Error, Result};
use crate::model::contract::{Contract, Known, Provenance, Signature, Tensor};

/// The largest file, in bytes.
pub const MAX_BYTES: usize = 1 << 20;
/// The deepest nesting.
const MAX_DEPTH: usize = 32;
/// The most fields of all messages.
const MAX_FIELDS: usize = 20_000;
/// The highest rank: TensorFlow's.
const MAX_RANK: usize = 254;

/// Reads a contract from the text format; `file_name` is for messages.
pub fn parse(text: &str, file_name: &str) -> Result<Contract> {
    let source = Source::new(file_name, text);
    if text.len() > MAX_BYTES {
        return Err(
            source.whole(format_args!("has {} bytes, a contract has at most {MAX_BYTES}", text.len()))
        );
    }
    let mut p = Parser { source: &source, text, at: 0, fields: 0 };
    let root = p.message(None, 0)?;
    let r = Reading { source: &source };
    let signatures = if root.iter().any(|f| matches!(f.name, "signatures" | "predict" | "model_name")) {
        r.contract(&root)?
    } else {
        vec![r.signature(&root)?]
    };
    if signatures.is_empty() {
        return Err(source
            .whole("the contract has no signature")
            .hint("leave the contract out to have it inferred"));
    }
    Ok(Contract { signatures })
}

/// One `name: value` or `name { … }`.
struct Field<'a> {
    name: &'a str,
    span: Range<usize>,
    value: Value<'a>,
}

enum Value<'a> {
    /// A number or the name of an enumeration's value.
    Word(&'a str),
    Text(String),
    Message(Vec<Field<'a>>),
}

struct Parser<'a> {
    source: &'a Source<'a>,
    text: &'a str,
    at: usize,
    fields: usize,
}

impl<'a> Parser<'a> {
    fn error(&self, message: impl std::fmt::Display) -> Error {
        self.source.error(&(self.at..self.at + 1), message)
    }

    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(b) = bytes.get(self.at) {
            match b {
                b'#' => {
                    while bytes.get(self.at).is_some_and(|b| *b != b'\n') {
                        self.at += 1;
                    }
                }
                b if b.is_ascii_whitespace() => self.at += 1,
                b => return Some(*b),
            }
        }
        None
    }

    fn take(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    /// Letters, digits and what numbers are made of.
    fn word(&mut self) -> Result<(&'a str, Range<usize>)> {
        self.peek();
        let start = self.at;
        let ok = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'+' | b'.');
        while self.text.as_bytes().get(self.at).is_some_and(ok) {
            self.at += 1;
        }
        match self.text.get(start..self.at) {
            Some(word) if !word.is_empty() => Ok((word, start..self.at)),
            _ => Err(self.error("expected a name or a value")),
        }
    }

    /// Fields up to `close`, or to the end of the file.
    fn message(&mut self, close: Option<u8>, depth: usize) -> Result<Vec<Field<'a>>> {
        if depth > MAX_DEPTH {
            return Err(self.error(format_args!("messages are nested more than {MAX_DEPTH} deep")));
        }
        let mut fields = Vec::new();
        loop {
            match (self.peek(), close) {
                (None, None) => return Ok(fields),
                (None, Some(c)) => {
                    return Err(
                        self.error(format_args!("the message is not closed with `{}`", char::from(c)))
                    );
                }
                (Some(b), Some(c)) if b == c => {
                    self.at += 1;
                    return Ok(fields);
                }
                (Some(b',' | b';'), _) => self.at += 1,
                _ => self.field(&mut fields, depth)?,
            }
        }
    }

    fn field(&mut self, fields: &mut Vec<Field<'a>>, depth: usize) -> Result<()> {
        let (name, span) = self.word()?;
        let colon = self.take(b':');
        if self.take(b'[') {
            loop {
                if self.take(b']') {
                    return Ok(());
                }
                let value = self.value(depth)?;
                self.push(fields, name, &span, value)?;
                if !self.take(b',') && self.peek() != Some(b']') {
                    return Err(self.error("expected `,` or `]`"));
                }
            }
        }
        if !colon && !matches!(self.peek(), Some(b'{' | b'<')) {
            return Err(self.error(format_args!("expected `:` or `{{` behind `{}`", shown(name))));
        }
        let value = self.value(depth)?;
        self.push(fields, name, &span, value)
    }

    fn push(
        &mut self,
        out: &mut Vec<Field<'a>>,
        name: &'a str,
        span: &Range<usize>,
        value: Value<'a>,
    ) -> Result<()> {
        self.fields += 1;
        if self.fields > MAX_FIELDS {
            return Err(self.error(format_args!("the contract has more than {MAX_FIELDS} fields")));
        }
        out.push(Field { name, span: span.clone(), value });
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<Value<'a>> {
        match self.peek() {
            Some(b'{') => {
                self.at += 1;
                Ok(Value::Message(self.message(Some(b'}'), depth + 1)?))
            }
            Some(b'<') => {
                self.at += 1;
                Ok(Value::Message(self.message(Some(b'>'), depth + 1)?))
            }
            Some(b'"' | b'\'') => {
                let mut bytes = Vec::new();
                // Texts side by side are one.
                while let Some(quote @ (b'"' | b'\'')) = self.peek() {
                    self.quoted(quote, &mut bytes)?;
                }
                String::from_utf8(bytes).map(Value::Text).map_err(|_| self.error("a text is not UTF-8"))
            }
            _ => Ok(Value::Word(self.word()?.0)),
        }
    }

    fn quoted(&mut self, quote: u8, out: &mut Vec<u8>) -> Result<()> {
        self.at += 1;
        loop {
            let byte = self.text.as_bytes().get(self.at).copied();
            match byte {
                None | Some(b'\n') => return Err(self.error("a text is not closed in its line")),
                Some(b) if b == quote => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    self.at += 1;
                    out.push(self.escape()?);
                }
                Some(b) => {
                    out.push(b);
                    self.at += 1;
                }
            }
        }
    }

    /// The byte of an escape, whose backslash is behind us.
    fn escape(&mut self) -> Result<u8> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let digits = |from: usize, max: usize, radix: u32| {
            let digit = |b: &&u8| char::from(**b).is_digit(radix);
            let n = rest.get(from..).unwrap_or_default().iter().take(max).take_while(digit).count();
            let text = self.text.get(self.at + from..self.at + from + n).unwrap_or("");
            (n, u32::from_str_radix(text, radix).ok().and_then(|n| u8::try_from(n).ok()))
        };
        let (length, byte) = match rest.first() {
            Some(b'n') => (1, Some(b'\n')),
            Some(b't') => (1, Some(b'\t')),
            Some(b'r') => (1, Some(b'\r')),
            Some(b @ (b'\\' | b'\'' | b'"' | b'?')) => (1, Some(*b)),
            Some(b'0'..=b'7') => digits(0, 3, 8),
            Some(b'x' | b'X') => {
                let (n, byte) = digits(1, 2, 16);
                (n + 1, byte)
            }
            _ => (0, None),
        };
        let byte = byte.ok_or_else(|| self.error("an escape that is not known"))?;
        self.at += length;
        Ok(byte)
    }
}

/// Gives the parsed fields their meaning.
struct Reading<'a> {
    source: &'a Source<'a>,
}

impl Reading<'_> {
    fn error(&self, f: &Field<'_>, message: impl std::fmt::Display) -> Error {
        self.source.error(&f.span, message)
    }

    fn unknown(&self, f: &Field<'_>, inside: &str, known: &[&str]) -> Error {
        let e = self.error(f, format_args!("unknown field `{}` in {inside}", shown(f.name)));
        match nearest(f.name, known.iter().copied()) {
            Some(near) => e.hint(format!("did you mean `{near}`?")),
            None => e.hint(format!("its fields are {}", known.join(", "))),
        }
    }

    fn text(&self, f: &Field<'_>) -> Result<String> {
        match &f.value {
            Value::Text(t) => Ok(t.clone()),
            _ => Err(self.error(f, format_args!("`{}` is a text in quotes", f.name))),
        }
    }

    fn message<'f, 'a>(&self, f: &'f Field<'a>) -> Result<&'f [Field<'a>]> {
        match &f.value {
            Value::Message(m) => Ok(m),
            _ => Err(self.error(f, format_args!("`{}` is a message in `{{}}`", f.name))),
        }
    }

    fn contract(&self, fields: &[Field<'_>]) -> Result<Vec<Signature>> {
        let mut signatures: Vec<Signature> = Vec::new();
        for f in fields {
            match f.name {
                "model_name" => drop(self.text(f)?),
                "signatures" | "predict" => {
                    let signature = self.signature(self.message(f)?)?;
                    if signatures.iter().any(|s| s.name == signature.name) {
                        return Err(self.error(
                            f,
                            format_args!("two signatures are named `{}`", shown(&signature.name)),
                        ));
                    }
                    signatures.push(signature);
                }
                _ => return Err(self.unknown(f, "a contract", &["model_name", "signatures", "predict"])),
            }
        }
        Ok(signatures)
    }

    fn signature(&self, fields: &[Field<'_>]) -> Result<Signature> {
        let mut s = Signature {
            name: DEFAULT_SIGNATURE.to_owned(),
            known: Known::Convention,
            inputs: Vec::new(),
            outputs: Vec::new(),
        };
        for f in fields {
            let side = match f.name {
                "signature_name" => {
                    let name = self.text(f)?;
                    if !name.is_empty() {
                        (s.name, s.known) = (name, Known::Declared);
                    }
                    continue;
                }
                "inputs" => &mut s.inputs,
                "outputs" => &mut s.outputs,
                _ => return Err(self.unknown(f, "a signature", &["signature_name", "inputs", "outputs"])),
            };
            self.add(f, side, self.tensor(self.message(f)?, f)?)?;
        }
        Ok(s)
    }

    fn add(&self, f: &Field<'_>, side: &mut Vec<Tensor>, tensor: Tensor) -> Result<()> {
        if side.iter().any(|t| t.name == tensor.name) {
            return Err(self.error(f, format_args!("two fields are named `{}`", shown(&tensor.name))));
        }
        side.push(tensor);
        Ok(())
    }

    fn tensor(&self, fields: &[Field<'_>], at: &Field<'_>) -> Result<Tensor> {
        let mut t = Tensor::new("", None, None, Known::Unknown);
        t.known = Provenance { name: Known::Declared, dtype: Known::Unknown, shape: Known::Unknown };
        self.describe(fields, &mut t)?;
        if t.name.trim().is_empty() {
            return Err(self.error(at, "a field has no name"));
        }
        Ok(t)
    }

    /// Reads the description of a field, which 0.0.x had in a message `info` of its own.
    fn describe(&self, fields: &[Field<'_>], t: &mut Tensor) -> Result<()> {
        for f in fields {
            match f.name {
                "name" | "field_name" => t.name = self.text(f)?,
                "info" => self.describe(self.message(f)?, t)?,
                "dtype" => self.dtype(f, t)?,
                "shape" | "tensor_shape" => self.shape(f, t)?,
                "subfields" => self.subfields(f, t)?,
                "dict" => self.dict(f, t)?,
                "profile" => {
                    let Value::Word(word) = &f.value else {
                        return Err(self.error(f, "`profile` is a name"));
                    };
                    // The list of 0.2.3 had it misspelt.
                    let word = if *word == "ORIDNAL" { "ORDINAL" } else { word };
                    t.profile = types::profile(word)
                        .ok_or_else(|| self.error(f, format_args!("`{}` is not a profile", shown(word))))?;
                }
                _ => {
                    let known = [
                        "name",
                        "field_name",
                        "info",
                        "dtype",
                        "shape",
                        "tensor_shape",
                        "subfields",
                        "dict",
                        "profile",
                    ];
                    return Err(self.unknown(f, "a field", &known));
                }
            }
        }
        Ok(())
    }

    fn dtype(&self, f: &Field<'_>, t: &mut Tensor) -> Result<()> {
        let Value::Word(word) = &f.value else {
            return Err(self.error(f, "`dtype` is a name such as `DT_FLOAT`"));
        };
        let meaning = match word.parse::<i32>() {
            Ok(0) => Some(Type::Open),
            Ok(number) => crate::model::DType::from_tensorflow(number).map(Type::Is),
            Err(_) => types::read(word),
        };
        match meaning {
            Some(Type::Is(dtype)) => (t.dtype, t.known.dtype) = (Some(dtype), Known::Declared),
            Some(Type::Open) => {}
            None => {
                let e = self.error(f, format_args!("`{}` is not a type", shown(word)));
                return Err(e.hint(types::advice(word)));
            }
        }
        Ok(())
    }

    fn shape(&self, f: &Field<'_>, t: &mut Tensor) -> Result<()> {
        let mut dims = Vec::new();
        let mut unknown_rank = false;
        for part in self.message(f)? {
            match (part.name, &part.value) {
                ("unknown_rank", Value::Word(word)) => {
                    unknown_rank = matches!(*word, "true" | "True" | "t" | "1");
                }
                ("dims" | "dim", Value::Word(word)) => dims.push(self.size(part, word)?),
                ("dim", Value::Message(inner)) => {
                    // A size of 0 is not written.
                    let mut size = Some(0);
                    for g in inner {
                        match (g.name, &g.value) {
                            ("size", Value::Word(word)) => size = self.size(g, word)?,
                            ("name", Value::Text(_)) => {}
                            _ => return Err(self.unknown(g, "a dimension", &["size", "name"])),
                        }
                    }
                    dims.push(size);
                }
                _ => return Err(self.unknown(part, "a shape", &["dim", "dims", "unknown_rank"])),
            }
            if dims.len() > MAX_RANK {
                return Err(self.error(part, format_args!("a shape has more than {MAX_RANK} sizes")));
            }
        }
        if !unknown_rank {
            (t.shape, t.known.shape) = (Some(dims), Known::Declared);
        }
        Ok(())
    }

    fn size(&self, f: &Field<'_>, word: &str) -> Result<Option<u64>> {
        match word.parse::<i64>() {
            Ok(-1) => Ok(None),
            Ok(n) if n >= 0 => Ok(Some(n.unsigned_abs())),
            _ => Err(self.error(
                f,
                format_args!("a size is 0 or more, or -1 where it is unknown, found `{}`", shown(word)),
            )),
        }
    }

    fn subfields(&self, f: &Field<'_>, t: &mut Tensor) -> Result<()> {
        for part in self.message(f)? {
            if part.name != "data" {
                return Err(self.unknown(part, "`subfields`", &["data"]));
            }
            let inner = self.tensor(self.message(part)?, part)?;
            self.add(part, &mut t.fields, inner)?;
        }
        t.known.dtype = Known::Declared;
        Ok(())
    }

    /// `dict { data { key: "x" value { … } } }`, a map in protobuf's text format.
    fn dict(&self, f: &Field<'_>, t: &mut Tensor) -> Result<()> {
        for part in self.message(f)? {
            if part.name != "data" {
                return Err(self.unknown(part, "`dict`", &["data"]));
            }
            let mut inner = Tensor::new("", None, None, Known::Unknown);
            inner.known = Provenance { name: Known::Declared, dtype: Known::Unknown, shape: Known::Unknown };
            let mut key = String::new();
            for g in self.message(part)? {
                match g.name {
                    "key" => key = self.text(g)?,
                    "value" => self.describe(self.message(g)?, &mut inner)?,
                    _ => return Err(self.unknown(g, "an entry of `dict`", &["key", "value"])),
                }
            }
            if !key.is_empty() {
                inner.name = key;
            }
            if inner.name.is_empty() {
                return Err(self.error(part, "a field has no name"));
            }
            self.add(part, &mut t.fields, inner)?;
        }
        t.known.dtype = Known::Declared;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shapes(tensors: &[Tensor]) -> Vec<String> {
        tensors.iter().map(|t| format!("{}:{:?}:{:?}", t.name, t.dtype, t.shape)).collect()
    }

    fn fails(text: &str) -> String {
        let e = parse(text, "contract.prototxt").unwrap_err();
        format!("{} | {}", e, e.hint_text().unwrap_or("-"))
    }

    #[test]
    fn the_contract_of_0_0_has_infos_and_dims() {
        let c = parse(
            "model_name: \"demo\"\nsignatures {\n  signature_name: \"infer\"\n  inputs {\n    field_name: 'x' # the data\n    \
             info { dtype: DT_FLOAT tensor_shape { dim { size: -1 } dim { size: 24 name: \"t\" } } }\n  }\n  \
             outputs < field_name: \"y\" info: { dtype: DT_INT64 } >\n}\nsignatures { signature_name: \"other\" }\n",
            "f",
        )
        .unwrap();
        assert_eq!(c.signatures.len(), 2);
        assert_eq!((c.signatures[0].name.as_str(), c.signatures[0].known), ("infer", Known::Declared));
        assert_eq!(shapes(&c.signatures[0].inputs), ["x:Some(Float32):Some([None, Some(24)])"]);
        assert_eq!(shapes(&c.signatures[0].outputs), ["y:Some(Int64):None"]);
    }

    #[test]
    fn later_contracts_and_bare_signatures_are_read_too() {
        let field = "inputs { name: \"x\" shape { dims: [1, -1] } dtype: DT_DOUBLE profile: NUMERICAL }";
        let c = parse(&format!("predict {{ {field} outputs {{ name: 'y' dtype: 7 shape {{}} }} }}"), "f")
            .unwrap();
        let s = &c.signatures[0];
        assert_eq!((s.name.as_str(), s.known), (DEFAULT_SIGNATURE, Known::Convention));
        assert_eq!(shapes(&s.inputs), ["x:Some(Float64):Some([Some(1), None])"]);
        assert_eq!(shapes(&s.outputs), ["y:Some(String):Some([])"]);
        let c = parse(
            &format!(
                "signature_name: \"s\"; {field}, outputs {{ name: \"y\" shape {{ unknown_rank: true }} }}"
            ),
            "f",
        )
        .unwrap();
        assert_eq!(c.signatures[0].outputs[0].shape, None);
        let c = parse(
            "inputs { name: \"m\" dict { data { key: \"k\" value { info { dtype: DT_BOOL } } } } }",
            "f",
        )
        .unwrap();
        assert_eq!(shapes(&c.signatures[0].inputs[0].fields), ["k:Some(Bool):None"]);
        let c = parse(
            "inputs { name: \"m\" subfields { data { name: \"\\x61\\142\" 'c' dtype: DT_BOOL } } }",
            "f",
        )
        .unwrap();
        assert_eq!(shapes(&c.signatures[0].inputs[0].fields), ["abc:Some(Bool):None"]);
    }

    #[test]
    fn errors_name_the_place() {
        assert_eq!(
            fails("signatures {\n  input { }\n}"),
            "contract.prototxt:2:3: unknown field `input` in a signature | did you mean `inputs`?"
        );
        assert_eq!(
            fails("inputs { name: \"x\" dtype: DT_FLOT }"),
            "contract.prototxt:1:20: `DT_FLOT` is not a type | did you mean `DT_FLOAT`?"
        );
        assert!(fails("inputs { dtype: DT_FLOAT }").contains("a field has no name"));
        assert!(fails("inputs { name: \"x\" } inputs { name: \"x\" }").contains("two fields are named `x`"));
        assert!(fails("inputs { name: \"x\" shape { dim { size: -2 } } }").contains("found `-2`"));
        assert!(fails("model_name: \"x\"").contains("no signature"));
    }

    #[test]
    fn hostile_text_ends_in_an_error() {
        assert!(fails(&"inputs {".repeat(10_000)).contains("nested more than 32"));
        assert!(fails(&"x: 1 ".repeat(MAX_FIELDS + 1)).contains("more than 20000 fields"));
        assert!(fails(&" ".repeat(MAX_BYTES + 1)).contains("at most"));
        let dims = format!("inputs {{ name: 'x' shape {{ dims: [{}1] }} }}", "1,".repeat(MAX_RANK));
        assert!(fails(&dims).contains("more than 254 sizes"));
        for text in [
            "inputs",
            "inputs {",
            "inputs: [",
            "inputs: [1 2]",
            "a: \"",
            "a: '\\",
            "a: '\\q'",
            "a: '\\x'",
            "a: '\\777'",
            "a: '\\xff'",
            "}",
            ":",
            "é",
            "inputs é",
        ] {
            assert!(parse(text, "f").is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "([a-z]{1,3}|inputs|name|shape|dims|\"x\"|[{}<>\\[\\]:,;#'\"\\\\ \\n0-9é-]){0,40}") {
            let _ = parse(&text, "f");
        }
    }
}
