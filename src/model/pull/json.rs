//! JSON (RFC 8259) as a [`Pull`].
//!
//! What Python's `json` writes besides is read too: `NaN` and `Infinity`.

use crate::error::Result;
use crate::model::pull::{MAX_DEPTH, MAX_TEXT, Pull, Stream, Value, fault};

/// A JSON document.
pub struct Json<'s> {
    stream: Stream<'s>,
    open: Vec<Open>,
}

/// A container whose end is still to come.
#[derive(Clone, Copy)]
struct Open {
    object: bool,
    first: bool,
}

impl<'s> Json<'s> {
    /// Reads the document that begins here.
    pub fn new(stream: Stream<'s>) -> Self {
        Self { stream, open: Vec::new() }
    }

    fn space(&mut self) -> Result<Option<u8>> {
        loop {
            let chunk = self.stream.chunk()?;
            if chunk.is_empty() {
                return Ok(None);
            }
            let blank = chunk.iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r')).count();
            let next = chunk.get(blank).copied();
            self.stream.consume(blank);
            if next.is_some() {
                return Ok(next);
            }
        }
    }

    fn expect(&mut self, wanted: u8) -> Result<()> {
        match self.space()? {
            Some(b) if b == wanted => {
                self.stream.consume(1);
                Ok(())
            }
            other => {
                let found = other.map_or("the end".to_owned(), |b| format!("`{}`", b.escape_ascii()));
                Err(fault(self.stream.at(), format_args!("`{}` was expected, found {found}", wanted as char)))
            }
        }
    }

    /// Before a key or an element: whether there is one, with the comma taken.
    fn item(&mut self, object: bool) -> Result<bool> {
        let Some(open) = self.open.last_mut().filter(|o| o.object == object) else {
            return Err(fault(self.stream.at(), "a container was expected"));
        };
        let first = std::mem::replace(&mut open.first, false);
        let close = if object { b'}' } else { b']' };
        match self.space()? {
            Some(b) if b == close => {
                self.stream.consume(1);
                self.open.pop();
                Ok(false)
            }
            Some(b',') if !first => {
                self.stream.consume(1);
                Ok(true)
            }
            Some(_) if first => Ok(true),
            _ => Err(fault(self.stream.at(), "a comma or the end of a container was expected")),
        }
    }

    fn start(&mut self, object: bool) -> Result<()> {
        if self.open.len() >= MAX_DEPTH {
            return Err(fault(self.stream.at(), format_args!("values nest more than {MAX_DEPTH} deep")));
        }
        self.open.push(Open { object, first: true });
        Ok(())
    }

    fn hex(&mut self) -> Result<u32> {
        let four: [u8; 4] = self.stream.fixed()?;
        let text = std::str::from_utf8(&four).ok().filter(|t| t.bytes().all(|b| b.is_ascii_hexdigit()));
        text.and_then(|t| u32::from_str_radix(t, 16).ok())
            .ok_or_else(|| fault(self.stream.at(), "a wrong `\\u` escape"))
    }

    fn escape(&mut self) -> Result<char> {
        let at = self.stream.at();
        Ok(match self.stream.byte()? {
            Some(b'n') => '\n',
            Some(b't') => '\t',
            Some(b'r') => '\r',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b @ (b'"' | b'\\' | b'/')) => char::from(b),
            Some(b'u') => {
                let unit = self.hex()?;
                if !(0xd800..0xdc00).contains(&unit) {
                    return Ok(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER));
                }
                if self.stream.fixed()? != *b"\\u" {
                    return Err(fault(at, "half of a surrogate pair"));
                }
                let low = self.hex()?;
                let code = 0x10000 + ((unit - 0xd800) << 10) + low.wrapping_sub(0xdc00) % 0x400;
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            _ => return Err(fault(at, "a wrong escape")),
        })
    }

    /// A text, whose opening quote is taken; `None` where it is too long to be kept.
    fn text(&mut self) -> Result<Option<String>> {
        let start = self.stream.at();
        let mut out = Vec::new();
        let mut long = false;
        loop {
            let chunk = self.stream.chunk()?;
            if chunk.is_empty() {
                return Err(fault(start, "a text does not end"));
            }
            let plain = chunk.iter().position(|b| matches!(b, b'"' | b'\\'));
            let n = plain.unwrap_or(chunk.len());
            let stop = plain.map(|p| chunk[p]);
            long |= out.len() + n > MAX_TEXT;
            if !long {
                out.extend_from_slice(&chunk[..n]);
            }
            self.stream.consume(n + usize::from(stop.is_some()));
            match stop {
                Some(b'"') => break,
                Some(_) => {
                    let c = self.escape()?;
                    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                    long |= out.len() > MAX_TEXT;
                    if long {
                        out.clear();
                    }
                }
                None => {}
            }
        }
        Ok((!long).then(|| String::from_utf8_lossy(&out).into_owned()))
    }

    fn word(&mut self) -> Result<Value> {
        let at = self.stream.at();
        let mut word = Vec::new();
        while let Some(b) = self.stream.peek()? {
            if !(b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.')) {
                break;
            }
            if word.len() >= 64 {
                return Err(fault(at, "a number of more than 64 characters"));
            }
            word.push(b);
            self.stream.consume(1);
        }
        let text = std::str::from_utf8(&word).unwrap_or_default();
        match text {
            "true" => return Ok(Value::Bool(true)),
            "false" => return Ok(Value::Bool(false)),
            "null" => return Ok(Value::Null),
            "NaN" => return Ok(Value::Number(f64::NAN)),
            "Infinity" | "inf" => return Ok(Value::Number(f64::INFINITY)),
            "-Infinity" | "-inf" => return Ok(Value::Number(f64::NEG_INFINITY)),
            _ => {}
        }
        let number = text.parse().ok().filter(|_| text.starts_with(|c: char| c.is_ascii_digit() || c == '-'));
        number.map(Value::Number).ok_or_else(|| fault(at, "a value was expected"))
    }
}

impl Pull for Json<'_> {
    fn value(&mut self) -> Result<Value> {
        match self.space()? {
            Some(b @ (b'{' | b'[')) => {
                self.stream.consume(1);
                self.start(b == b'{')?;
                Ok(if b == b'{' { Value::Object } else { Value::List })
            }
            Some(b'"') => {
                self.stream.consume(1);
                Ok(self.text()?.map_or(Value::Long, Value::Text))
            }
            Some(_) => self.word(),
            None => Err(fault(self.stream.at(), "a value was expected, found the end")),
        }
    }

    fn key(&mut self) -> Result<Option<String>> {
        if !self.item(true)? {
            return Ok(None);
        }
        self.expect(b'"')?;
        let key = self.text()?.unwrap_or_default();
        self.expect(b':')?;
        Ok(Some(key))
    }

    fn more(&mut self) -> Result<bool> {
        self.item(false)
    }

    /// Only texts and brackets are told apart here: this is where nearly all of a big file goes.
    fn skip(&mut self) -> Result<()> {
        match self.space()? {
            Some(b'{' | b'[') => {}
            _ => return self.value().map(drop),
        }
        let start = self.stream.at();
        let mut open: Vec<u8> = Vec::new();
        let mut text = false;
        // The character after a backslash, which may be in the next chunk.
        let mut escaped = false;
        loop {
            let chunk = self.stream.chunk()?;
            if chunk.is_empty() {
                return Err(fault(start, "a value does not end"));
            }
            let mut i = 0;
            let mut done = false;
            while i < chunk.len() && !done {
                if escaped {
                    escaped = false;
                    i += 1;
                    continue;
                }
                if text {
                    match chunk[i..].iter().position(|b| matches!(b, b'"' | b'\\')) {
                        Some(p) => {
                            i += p + 1;
                            escaped = chunk[i - 1] == b'\\';
                            text = escaped;
                        }
                        None => i = chunk.len(),
                    }
                    continue;
                }
                let Some(p) = stop(&chunk[i..]) else {
                    i = chunk.len();
                    continue;
                };
                i += p + 1;
                match chunk[i - 1] {
                    b'"' => text = true,
                    b @ (b'{' | b'[') => {
                        if open.len() >= MAX_DEPTH {
                            return Err(fault(start, format_args!("values nest more than {MAX_DEPTH} deep")));
                        }
                        open.push(b + 2);
                    }
                    b => {
                        if open.pop() != Some(b) {
                            return Err(fault(start, "a bracket closes another one"));
                        }
                        done = open.is_empty();
                    }
                }
            }
            self.stream.consume(i);
            if done {
                return Ok(());
            }
        }
    }

    fn stopped(&self) -> bool {
        self.stream.stopped()
    }
}

/// Whether skipping has something to do at a byte: a quote or a bracket, `[` and `{` being one bit
/// apart, as `]` and `}` are.
fn is_stop(b: u8) -> bool {
    (b == b'"') | (b | 0x20 == b'{') | (b | 0x20 == b'}')
}

/// The first byte at which skipping has something to do. Lists of numbers have none for long: whole
/// blocks are tested at once, which the compiler makes a few instructions of.
fn stop(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    for block in bytes.chunks_exact(32) {
        if block.iter().fold(false, |any, b| any | is_stop(*b)) {
            break;
        }
        at += block.len();
    }
    bytes[at..].iter().position(|b| is_stop(*b)).map(|p| at + p)
}
