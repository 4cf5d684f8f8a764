//! Opcodes with a value of their own: numbers, strings and bytes, names.

use crate::model::pickle::INLINE;
use crate::model::pickle::input::Step;
use crate::model::pickle::machine::{FALSE, MAX_NAME, Machine, TRUE};
use crate::model::pickle::node::{Form, Id, Node, Text};
use crate::model::pickle::text;

impl Machine<'_> {
    /// Pushes a number.
    pub(super) fn number(&mut self, opcode: u8) -> Step<()> {
        let node = match opcode {
            b'K' => Node::Int(i64::from(self.input.byte()?)),
            b'M' => Node::Int(i64::from(u16::from_le_bytes(self.input.array()?))),
            b'J' => Node::Int(i64::from(i32::from_le_bytes(self.input.array()?))),
            b'G' => Node::Float(f64::from_be_bytes(self.input.array()?)),
            0x8a | 0x8b => {
                let length = if opcode == 0x8a {
                    i64::from(self.input.byte()?)
                } else {
                    i64::from(i32::from_le_bytes(self.input.array()?))
                };
                let Ok(length) = usize::try_from(length) else {
                    return Err(self.fault("an integer has a negative length"));
                };
                if length > text::MAX_LONG {
                    self.input.skip(length as u64)?;
                    Node::Opaque("an integer of many digits")
                } else {
                    text::long(&self.input.bytes(length)?)
                }
            }
            _ => {
                let Ok(line) = self.input.line(INLINE)? else {
                    return self.push_node(Node::Opaque("an integer of many digits"));
                };
                match (opcode, line.as_slice()) {
                    (b'I', b"00") => return self.push_small(FALSE),
                    (b'I', b"01") => return self.push_small(TRUE),
                    (b'F', text) => {
                        let text = std::str::from_utf8(text.trim_ascii()).ok();
                        let value = text.and_then(|t| t.parse().ok());
                        Node::Float(value.ok_or_else(|| self.fault("a float is none"))?)
                    }
                    (_, text) => {
                        let digits =
                            if opcode == b'L' { text.strip_suffix(b"L").unwrap_or(text) } else { text };
                        // Work that grows with the square of the length is paid for as memory.
                        if digits.len() > 20 {
                            self.charge(digits.len() * 16)?;
                        }
                        text::decimal(digits).ok_or_else(|| self.fault("an integer is none"))?
                    }
                }
            }
        };
        self.push_number(node)
    }

    /// Pushes a string or bytes.
    pub(super) fn text(&mut self, opcode: u8) -> Step<()> {
        let most = self.longest();
        let is_str = matches!(opcode, b'V' | b'X' | 0x8c | 0x8d);
        let wrap = if is_str { Node::Str } else { Node::Bytes };
        let kept = if matches!(opcode, b'S' | b'V') {
            match self.input.line(most)? {
                Err((offset, length)) => {
                    let form = if is_str { Form::RawUnicode } else { Form::Quoted };
                    return self.push_node(wrap(Text::There { offset, length, form }));
                }
                Ok(line) if is_str => text::raw_unicode(&line),
                Ok(line) => text::quoted(&line),
            }
            .ok_or_else(|| self.fault("a string is not written as one"))?
        } else {
            let length = match opcode {
                b'U' | b'C' | 0x8c => u64::from(self.input.byte()?),
                b'X' | b'B' => u64::from(u32::from_le_bytes(self.input.array()?)),
                b'T' => u64::try_from(i32::from_le_bytes(self.input.array()?))
                    .map_err(|_| self.fault("a string has a negative length"))?,
                _ => u64::from_le_bytes(self.input.array()?),
            };
            match usize::try_from(length).ok().filter(|n| *n <= most) {
                Some(length) => self.input.bytes(length)?,
                None => {
                    let offset = self.input.at();
                    self.input.skip(length)?;
                    return self.push_node(wrap(Text::There { offset, length, form: Form::Raw }));
                }
            }
        };
        if is_str && !text::is_text(&kept) {
            return Err(self.fault("a string is not UTF-8"));
        }
        self.copied(kept.len() + 16)?;
        self.push_node(wrap(Text::Here(kept)))
    }

    /// A line that is a name or a number.
    pub(super) fn name(&mut self) -> Step<Vec<u8>> {
        self.input.line(MAX_NAME)?.map_err(|_| self.fault("a name is too long"))
    }

    /// Makes the node of a string.
    pub(super) fn string(&mut self, bytes: Vec<u8>) -> Step<Id> {
        self.charge(bytes.len() + 16)?;
        self.node(Node::Str(Text::Here(bytes)))
    }
}
