//! Protobuf's wire format without a schema: what [`Input`] reads and [`Writer`] writes.
//!
//! Reading is lazy. A [`Message`] is a range of the file, and a field that nobody asks for is
//! skipped by its length, so that the weights inside a model are never read. It is not a parser of
//! `.proto` files and knows no message type; those who read a format know its field numbers.
//!
//! Invariants: no more than the budget is ever read and no more than `MAX_WORK` fields are gone over,
//! a length never reaches beyond the message that holds it, and messages nest at most [`MAX_DEPTH`] deep. Nothing is allocated for a length that
//! the file merely claims.

mod write;

use std::cell::{Cell, RefCell};

use crate::error::{Error, Kind, Result};
use crate::model::tree::Content;

pub use write::Writer;

/// How deep messages may nest; protobuf's own parsers stop at 100.
pub const MAX_DEPTH: u8 = 64;
/// How many fields are gone over in all; a message may be read as often as others refer to it.
const MAX_WORK: u64 = 40_000_000;
/// How many bytes that are copied cost as much as a field.
const COPIED: u64 = 16;
/// The longest varint in bytes.
const MAX_VARINT: usize = 10;
/// What is read first after a jump; neighbours of skipped weights are small.
const FIRST_READ: usize = 512;
/// What is read at once when the reading goes on without jumps.
const LONGEST_READ: usize = 64 * 1024;

/// Bytes that can be read at any offset.
pub trait Source {
    /// Size in bytes.
    fn size(&self) -> u64;
    /// Reads up to `buf.len()` bytes at an offset; fewer only at the end.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize>;
}

impl Source for Content {
    fn size(&self) -> u64 {
        Self::size(self)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        Self::read_at(self, offset, buf)
    }
}

impl Source for &[u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|o| self.get(o..)).unwrap_or(&[]);
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }
}

impl Source for Vec<u8> {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        self.as_slice().read_at(offset, buf)
    }
}

/// A source being read, with what may still be read of it.
pub struct Input<'s> {
    source: &'s dyn Source,
    window: RefCell<Window>,
    left: Cell<u64>,
    work: Cell<u64>,
    cut: bool,
}

/// The piece of the source that is in memory.
struct Window {
    at: u64,
    bytes: Vec<u8>,
    next_read: usize,
}

impl<'s> Input<'s> {
    /// Begins to read a source, of which at most `budget` bytes may be read.
    pub fn new(source: &'s dyn Source, budget: u64) -> Self {
        let window = Window { at: 0, bytes: Vec::new(), next_read: FIRST_READ };
        Self { source, window: RefCell::new(window), left: Cell::new(budget), work: Cell::new(0), cut: false }
    }

    /// As [`Input::new`], but a length that reaches beyond its message is cut at its end: for a look
    /// at what a file was before it was truncated.
    pub fn lenient(source: &'s dyn Source, budget: u64) -> Self {
        Self { cut: true, ..Self::new(source, budget) }
    }

    /// The whole source as one message.
    pub fn message(&self) -> Message<'_> {
        Message { input: self, at: 0, end: self.source.size(), depth: 0 }
    }

    /// How many bytes may still be read.
    pub fn left(&self) -> u64 {
        self.left.get()
    }

    /// Counts fields that are gone over, also those that are gone over again in memory.
    fn work(&self, fields: u64) -> Result<()> {
        self.work.set(self.work.get().saturating_add(fields));
        if self.work.get() <= MAX_WORK {
            return Ok(());
        }
        Err(Error::new(Kind::Model, format!("more than {MAX_WORK} fields, with those that are read again")))
    }

    fn spend(&self, n: usize) -> Result<()> {
        match self.left.get().checked_sub(n as u64) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => Err(Error::new(Kind::Model, "more metadata than may be read for one model")),
        }
    }

    /// Copies what the source has at an offset, through the window; returns how much that was.
    fn peek(&self, at: u64, buf: &mut [u8]) -> Result<usize> {
        let mut window = self.window.borrow_mut();
        let inside = |w: &Window| {
            at.checked_sub(w.at).and_then(|o| usize::try_from(o).ok()).filter(|o| *o < w.bytes.len())
        };
        let enough = inside(&window).is_some_and(|o| window.bytes.len() - o >= buf.len());
        let ends = window.at + window.bytes.len() as u64 >= self.source.size() && !window.bytes.is_empty();
        if !(enough || ends && inside(&window).is_some()) {
            // The window moves on from where it ended, or jumps.
            let sequential = inside(&window).is_some() || at == window.at + window.bytes.len() as u64;
            window.next_read = if sequential { (window.next_read * 2).min(LONGEST_READ) } else { FIRST_READ };
            let want = (window.next_read.max(buf.len()) as u64).min(self.source.size().saturating_sub(at));
            let want = usize::try_from(want).unwrap_or(0);
            self.spend(want)?;
            window.bytes.resize(want, 0);
            let got = self.source.read_at(at, &mut window.bytes)?;
            window.bytes.truncate(got);
            window.at = at;
        }
        let Some(offset) = inside(&window) else { return Ok(0) };
        let n = buf.len().min(window.bytes.len() - offset);
        buf[..n].copy_from_slice(&window.bytes[offset..offset + n]);
        Ok(n)
    }
}

/// A range of the source that holds fields.
#[derive(Clone, Copy)]
pub struct Message<'i> {
    input: &'i Input<'i>,
    at: u64,
    end: u64,
    depth: u8,
}

/// One field of a message.
#[derive(Clone, Copy)]
pub struct Field<'i> {
    /// Its number in the schema.
    pub number: u32,
    /// Its value.
    pub value: Value<'i>,
}

/// What a field holds, as far as the wire tells.
#[derive(Clone, Copy)]
pub enum Value<'i> {
    /// An integer, a bool or an enum.
    Varint(u64),
    /// Eight bytes.
    Fixed64(u64),
    /// Text, bytes, packed numbers or a message; not read yet.
    Bytes(Message<'i>),
    /// A group, which no format of today has; skipped.
    Group,
    /// Four bytes.
    Fixed32(u32),
}

impl<'i> Message<'i> {
    /// How many bytes it has.
    pub fn size(&self) -> u64 {
        self.end - self.at
    }

    /// Where it ends in the source.
    pub fn end(&self) -> u64 {
        self.end
    }

    fn fault(&self, at: u64, what: impl std::fmt::Display) -> Error {
        Error::new(Kind::Model, format!("broken protobuf at byte {at}: {what}"))
    }

    fn varint(&mut self) -> Result<u64> {
        let mut buf = [0; MAX_VARINT];
        let room = usize::try_from(self.size()).unwrap_or(usize::MAX).min(MAX_VARINT);
        let got = self.input.peek(self.at, &mut buf[..room])?;
        let mut value = 0u64;
        for (i, byte) in buf[..got].iter().enumerate() {
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit.
            if i == MAX_VARINT - 1 && *byte > 1 {
                return Err(self.fault(self.at, "a number has more than 64 bits"));
            }
            value |= bits << (7 * i);
            if byte & 0x80 == 0 {
                self.at += i as u64 + 1;
                return Ok(value);
            }
        }
        Err(self.fault(self.at, "the message ends inside a number"))
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut buf = [0; N];
        if self.size() < N as u64 || self.input.peek(self.at, &mut buf)? < N {
            return Err(self.fault(self.at, format_args!("the message ends inside a value of {N} bytes")));
        }
        self.at += N as u64;
        Ok(buf)
    }

    fn tag(&mut self) -> Result<(u32, u8)> {
        let start = self.at;
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|n| (1..1 << 29).contains(n));
        match number {
            Some(number) => Ok((number, (tag & 7) as u8)),
            None => Err(self.fault(start, format_args!("{} is not a field number", tag >> 3))),
        }
    }

    fn span(&mut self) -> Result<Self> {
        let start = self.at;
        let length = self.varint()?;
        let end = match self.at.checked_add(length).filter(|e| *e <= self.end) {
            None if self.input.cut => Some(self.end),
            end => end,
        };
        let Some(end) = end else {
            let left = self.size();
            return Err(self.fault(start, format_args!("a value claims {length} bytes, {left} are left")));
        };
        let span = Self { input: self.input, at: self.at, end, depth: self.depth };
        self.at = end;
        Ok(span)
    }

    /// The next field; `None` at the end. What it holds is skipped, unless it is asked for.
    pub fn next_field(&mut self) -> Result<Option<Field<'i>>> {
        if self.at >= self.end {
            return Ok(None);
        }
        let start = self.at;
        self.input.work(1)?;
        let (number, wire) = self.tag()?;
        let value = match wire {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.fixed()?)),
            2 => Value::Bytes(self.span()?),
            3 => self.skip_group(number)?,
            5 => Value::Fixed32(u32::from_le_bytes(self.fixed()?)),
            4 => return Err(self.fault(start, "a group ends that did not begin")),
            other => return Err(self.fault(start, format_args!("{other} is not a wire type"))),
        };
        Ok(Some(Field { number, value }))
    }

    fn skip_group(&mut self, number: u32) -> Result<Value<'i>> {
        let mut open = vec![number];
        while let Some(innermost) = open.last().copied() {
            let start = self.at;
            self.input.work(1)?;
            let (number, wire) = self.tag()?;
            match wire {
                0 => drop(self.varint()?),
                1 => drop(self.fixed::<8>()?),
                2 => drop(self.span()?),
                3 if open.len() < usize::from(MAX_DEPTH) => open.push(number),
                3 => return Err(self.fault(start, "groups are nested too deep")),
                4 if number == innermost => drop(open.pop()),
                5 => drop(self.fixed::<4>()?),
                _ => return Err(self.fault(start, "a group is not closed")),
            }
        }
        Ok(Value::Group)
    }

    /// All of it as bytes, where it has at most `cap`.
    pub fn bytes(&self, cap: usize) -> Result<Vec<u8>> {
        let size = usize::try_from(self.size()).ok().filter(|n| *n <= cap);
        let Some(size) = size else {
            let size = self.size();
            return Err(self.fault(self.at, format_args!("a value has {size} bytes, at most {cap} are read")));
        };
        let short = || self.fault(self.at, "the file is shorter than it was");
        self.input.work(size as u64 / COPIED)?;
        // A claimed size was checked against the file's: so much memory is backed by real bytes.
        let mut bytes = vec![0; size];
        if size <= LONGEST_READ {
            if self.input.peek(self.at, &mut bytes)? < size {
                return Err(short());
            }
        } else {
            self.input.spend(size)?;
            if self.input.source.read_at(self.at, &mut bytes)? < size {
                return Err(short());
            }
        }
        Ok(bytes)
    }

    /// All of it as varints, of which there may be at most `cap`.
    pub fn varints(&self, cap: usize) -> Result<Vec<u64>> {
        let mut rest = *self;
        let mut all = Vec::new();
        while rest.size() > 0 {
            if all.len() >= cap {
                return Err(self.fault(self.at, format_args!("a list has more than {cap} numbers")));
            }
            self.input.work(1)?;
            all.push(rest.varint()?);
        }
        Ok(all)
    }
}

impl<'i> Field<'i> {
    fn unexpected(&self, wanted: &str) -> Error {
        let found = match self.value {
            Value::Varint(_) => "a number",
            Value::Fixed64(_) => "eight bytes",
            Value::Bytes(_) => "a length and bytes",
            Value::Group => "a group",
            Value::Fixed32(_) => "four bytes",
        };
        Error::new(Kind::Model, format!("broken protobuf: field {} holds {found}, not {wanted}", self.number))
    }

    /// The number in it.
    pub fn varint(&self) -> Result<u64> {
        match self.value {
            Value::Varint(n) => Ok(n),
            _ => Err(self.unexpected("a number")),
        }
    }

    /// The number in it, as `int64` and `int32` are written: negative ones in two's complement.
    pub fn int(&self) -> Result<i64> {
        self.varint().map(u64::cast_signed)
    }

    /// The range of what it holds, without a look inside.
    pub fn span(&self) -> Result<Message<'i>> {
        match self.value {
            Value::Bytes(span) => Ok(span),
            _ => Err(self.unexpected("a length and bytes")),
        }
    }

    /// The message in it.
    pub fn message(&self) -> Result<Message<'i>> {
        let mut message = self.span()?;
        if message.depth >= MAX_DEPTH {
            return Err(
                message.fault(message.at, format_args!("messages are nested more than {MAX_DEPTH} deep"))
            );
        }
        message.depth += 1;
        Ok(message)
    }

    /// The text in it, of at most `cap` bytes.
    pub fn text(&self, cap: usize) -> Result<String> {
        let span = self.span()?;
        String::from_utf8(span.bytes(cap)?).map_err(|_| span.fault(span.at, "a text is not UTF-8"))
    }

    /// Adds the number or the packed numbers in it to a list of at most `cap`.
    pub fn append_ints(&self, list: &mut Vec<i64>, cap: usize) -> Result<()> {
        match self.value {
            Value::Bytes(span) => {
                list.extend(span.varints(cap.saturating_sub(list.len()))?.into_iter().map(u64::cast_signed));
            }
            _ if list.len() >= cap => {
                return Err(Error::new(
                    Kind::Model,
                    format!("broken protobuf: a list has more than {cap} numbers"),
                ));
            }
            _ => list.push(self.int()?),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Walks everything as if it were messages; counts fields.
    fn walk(message: Message<'_>) -> Result<usize> {
        let mut message = message;
        let mut n = 0;
        while let Some(field) = message.next_field()? {
            n += 1;
            if field.number == 1 && matches!(field.value, Value::Bytes(_)) {
                n += walk(field.message()?)?;
            }
        }
        Ok(n)
    }

    fn count(bytes: &[u8]) -> Result<usize> {
        walk(Input::new(&bytes, 1 << 20).message())
    }

    #[test]
    fn every_wire_type_is_read() {
        let bytes: &[u8] = &[
            0x08, 0x96, 0x01, 0x11, 1, 0, 0, 0, 0, 0, 0, 0, 0x1a, 2, b'h', b'i', 0x25, 2, 0, 0, 0, 0x2b,
            0x08, 1, 0x2c, 0x30, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1,
        ];
        let input = Input::new(&bytes, 100);
        let mut m = input.message();
        assert_eq!(m.next_field().unwrap().unwrap().varint().unwrap(), 150);
        assert!(matches!(m.next_field().unwrap().unwrap().value, Value::Fixed64(1)));
        assert_eq!(m.next_field().unwrap().unwrap().text(10).unwrap(), "hi");
        assert!(matches!(m.next_field().unwrap().unwrap().value, Value::Fixed32(2)));
        assert!(matches!(m.next_field().unwrap().unwrap().value, Value::Group));
        assert_eq!(m.next_field().unwrap().unwrap().int().unwrap(), -1);
        assert!(m.next_field().unwrap().is_none());
    }

    #[test]
    fn a_length_beyond_the_message_is_an_error() {
        for bytes in [
            &[0x0a, 5, 1][..],
            &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            &[0x08],
            &[0x08, 0x80],
            &[0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2],
            &[0x09, 1, 2],
            &[0x00, 0],
            &[0x0c],
            &[0x0b, 0x14],
            &[0x0f, 0],
        ] {
            assert!(count(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn nesting_is_bounded_without_recursion_into_the_stack() {
        let mut bytes = Vec::new();
        for _ in 0..200 {
            let mut w = Writer::new();
            w.bytes(1, &bytes);
            bytes = w.finish();
        }
        assert!(count(&bytes).unwrap_err().message().contains("nested more than 64"));
        assert!(count(&vec![0x0b; 100_000]).unwrap_err().message().contains("groups"));
    }

    #[test]
    fn the_budget_holds() {
        let mut bytes = Vec::new();
        for _ in 0..10_000 {
            bytes.extend([0x08, 1]);
        }
        let slice = bytes.as_slice();
        let input = Input::new(&slice, 4096);
        let e = walk(input.message()).unwrap_err();
        assert!(e.message().contains("more metadata"), "{e}");
        assert!(input.left() <= 4096);
    }

    #[test]
    fn what_is_skipped_is_not_read() {
        struct Huge(Cell<u64>);
        impl Source for Huge {
            fn size(&self) -> u64 {
                1 << 40
            }
            fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
                self.0.set(self.0.get() + buf.len() as u64);
                // A field of 1 TiB less its header.
                let head = [0x12, 0xf9, 0xff, 0xff, 0xff, 0xff, 0x1f];
                for (i, b) in buf.iter_mut().enumerate() {
                    *b = head.get(i + usize::try_from(offset).unwrap()).copied().unwrap_or(0);
                }
                Ok(buf.len())
            }
        }
        let huge = Huge(Cell::new(0));
        let input = Input::new(&huge, 1 << 20);
        let field = input.message().next_field().unwrap().unwrap();
        assert_eq!(field.span().unwrap().size(), (1 << 40) - 7);
        assert!(huge.0.get() <= 1024);
    }

    #[test]
    fn packed_and_unpacked_numbers_are_the_same_list() {
        let bytes: &[u8] = &[0x0a, 3, 1, 2, 3, 0x08, 4];
        let input = Input::new(&bytes, 100);
        let mut list = Vec::new();
        let mut m = input.message();
        while let Some(f) = m.next_field().unwrap() {
            f.append_ints(&mut list, 4).unwrap();
        }
        assert_eq!(list, [1, 2, 3, 4]);
        let f = input.message().next_field().unwrap().unwrap();
        assert!(f.append_ints(&mut list, 4).is_err());
    }

    #[test]
    fn what_is_read_again_in_memory_is_paid_for() {
        let mut message = Writer::new();
        message.bytes(1, &[b'x'; 500]);
        let bytes = message.finish();
        let input = Input::new(&bytes, 1 << 20);
        let again = || input.message().next_field()?.map(|f| f.text(1 << 20)).transpose();
        let times = (0..3_000_000).take_while(|_| again().is_ok()).count();
        assert!((1_000_000..2_000_000).contains(&times), "{times}");
    }
}
