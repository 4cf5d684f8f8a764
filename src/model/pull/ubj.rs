//! UBJSON (draft 12, ubjson.org) as a [`Pull`].
//!
//! Numbers are big endian. A list whose elements have one type (`[$d#`) is jumped over without being
//! read. What XGBoost writes besides is read too: texts without `S` as keys, with a length of any
//! integer type.

use crate::error::Result;
use crate::model::pull::{MAX_DEPTH, MAX_TEXT, Pull, Stream, Value, fault};

/// A UBJSON document.
pub struct Ubj<'s> {
    stream: Stream<'s>,
    open: Vec<Open>,
}

/// A container whose end is still to come.
#[derive(Clone, Copy)]
struct Open {
    object: bool,
    /// The type of all elements, where they do not say it themselves.
    kind: Option<u8>,
    /// How many elements are still to come; without it a bracket ends the container.
    left: Option<u64>,
}

impl<'s> Ubj<'s> {
    /// Reads the document that begins here.
    pub fn new(stream: Stream<'s>) -> Self {
        Self { stream, open: Vec::new() }
    }

    fn fault(&self, what: impl std::fmt::Display) -> crate::error::Error {
        fault(self.stream.at(), what)
    }

    fn byte(&mut self) -> Result<u8> {
        self.stream.byte()?.ok_or_else(|| self.fault("a value was expected, found the end"))
    }

    /// The type of the next value; `N` is nothing, by the specification.
    fn marker(&mut self) -> Result<u8> {
        if let Some(kind) = self.open.last().and_then(|o| o.kind) {
            return Ok(kind);
        }
        loop {
            match self.byte()? {
                b'N' => {}
                other => return Ok(other),
            }
        }
    }

    fn integer(&mut self, kind: u8) -> Result<i64> {
        Ok(match kind {
            b'i' => i64::from(i8::from_be_bytes(self.stream.fixed()?)),
            b'U' => i64::from(u8::from_be_bytes(self.stream.fixed()?)),
            b'I' => i64::from(i16::from_be_bytes(self.stream.fixed()?)),
            b'l' => i64::from(i32::from_be_bytes(self.stream.fixed()?)),
            b'L' => i64::from_be_bytes(self.stream.fixed()?),
            other => {
                return Err(
                    self.fault(format_args!("`{}` is not the type of an integer", other.escape_ascii()))
                );
            }
        })
    }

    /// A length with its type before it.
    fn length(&mut self) -> Result<u64> {
        let kind = self.byte()?;
        let length = self.integer(kind)?;
        u64::try_from(length).map_err(|_| self.fault("a negative length"))
    }

    /// A text after its marker; `None` where it is too long to be kept.
    fn text(&mut self) -> Result<Option<String>> {
        let length = self.length()?;
        match usize::try_from(length) {
            Ok(n) if n <= MAX_TEXT => {
                let bytes = self.stream.bytes(n)?;
                Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
            }
            _ => {
                self.stream.jump(length)?;
                Ok(None)
            }
        }
    }

    /// Opens a container, whose bracket is taken.
    fn start(&mut self, object: bool) -> Result<()> {
        if self.open.len() >= MAX_DEPTH {
            return Err(self.fault(format_args!("values nest more than {MAX_DEPTH} deep")));
        }
        let mut open = Open { object, kind: None, left: None };
        if self.stream.peek()? == Some(b'$') {
            self.stream.consume(1);
            open.kind = Some(self.byte()?);
            if self.stream.peek()? != Some(b'#') {
                return Err(self.fault("a type of all elements without their number"));
            }
        }
        if self.stream.peek()? == Some(b'#') {
            self.stream.consume(1);
            let length = self.length()?;
            // Each element has a byte at least, unless its type has no content at all.
            let empty = !object && matches!(open.kind, Some(b'Z' | b'T' | b'F' | b'N'));
            if length > self.stream.rest() || empty && length > 0 {
                return Err(self.fault(format_args!("{length} elements are claimed")));
            }
            open.left = Some(length);
        }
        self.open.push(open);
        Ok(())
    }

    /// Whether the innermost container goes on.
    fn item(&mut self, object: bool) -> Result<bool> {
        let Some(open) = self.open.last_mut().filter(|o| o.object == object) else {
            return Err(fault(self.stream.at(), "a container was expected"));
        };
        let more = match &mut open.left {
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
            None => {
                let close = if object { b'}' } else { b']' };
                while self.stream.peek()? == Some(b'N') {
                    self.stream.consume(1);
                }
                let more = self.stream.peek()? != Some(close);
                self.stream.consume(usize::from(!more));
                more
            }
        };
        if !more {
            self.open.pop();
        }
        Ok(more)
    }
}

/// The size of a value of a type whose values are all of one size.
fn width(kind: u8) -> Option<u64> {
    Some(match kind {
        b'i' | b'U' | b'C' => 1,
        b'I' => 2,
        b'l' | b'd' => 4,
        b'L' | b'D' => 8,
        _ => return None,
    })
}

impl Pull for Ubj<'_> {
    fn value(&mut self) -> Result<Value> {
        Ok(match self.marker()? {
            b'{' => {
                self.start(true)?;
                Value::Object
            }
            b'[' => {
                self.start(false)?;
                Value::List
            }
            b'S' | b'H' => self.text()?.map_or(Value::Long, Value::Text),
            b'C' => Value::Text(char::from(self.byte()?).to_string()),
            b'd' => Value::Number(f64::from(f32::from_be_bytes(self.stream.fixed()?))),
            b'D' => Value::Number(f64::from_be_bytes(self.stream.fixed()?)),
            b'T' => Value::Bool(true),
            b'F' => Value::Bool(false),
            b'Z' => Value::Null,
            kind => Value::Number(self.integer(kind)? as f64),
        })
    }

    fn key(&mut self) -> Result<Option<String>> {
        if !self.item(true)? {
            return Ok(None);
        }
        Ok(Some(self.text()?.unwrap_or_default()))
    }

    fn more(&mut self) -> Result<bool> {
        self.item(false)
    }

    fn skip(&mut self) -> Result<()> {
        let outside = self.open.len();
        self.pass()?;
        while self.open.len() > outside {
            let object = self.open.last().is_some_and(|o| o.object);
            if !self.item(object)? {
                continue;
            }
            if object {
                let length = self.length()?;
                self.stream.jump(length)?;
            }
            self.pass()?;
        }
        Ok(())
    }

    fn stopped(&self) -> bool {
        self.stream.stopped()
    }
}

impl Ubj<'_> {
    /// Passes over a value; a container is opened, or jumped over where its size is known.
    fn pass(&mut self) -> Result<()> {
        let kind = self.marker()?;
        if let Some(width) = width(kind) {
            return self.stream.jump(width);
        }
        match kind {
            b'S' | b'H' => {
                let length = self.length()?;
                self.stream.jump(length)
            }
            b'T' | b'F' | b'Z' => Ok(()),
            b'{' => self.start(true),
            b'[' => {
                self.start(false)?;
                let Some(Open { kind: Some(kind), left: Some(left), .. }) = self.open.last().copied() else {
                    return Ok(());
                };
                if let Some(width) = width(kind) {
                    let size = left.checked_mul(width).ok_or_else(|| self.fault("a list is too long"))?;
                    self.stream.jump(size)?;
                    self.open.pop();
                }
                Ok(())
            }
            other => Err(self.fault(format_args!("`{}` is not a type", other.escape_ascii()))),
        }
    }
}
