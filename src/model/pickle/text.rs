//! Texts and numbers as the opcodes of protocols 0 and 1 write them.

use crate::model::pickle::node::{Node, Text};

/// The longest integer in decimal digits or bytes that is kept; a longer one is a thing of its own.
pub(super) const MAX_LONG: usize = 1024;

/// An integer in decimal; `None` where it is none.
pub(super) fn decimal(text: &[u8]) -> Option<Node> {
    let text = text.trim_ascii();
    if let Some(n) = std::str::from_utf8(text).ok().and_then(|s| s.parse::<i64>().ok()) {
        return Some(Node::Int(n));
    }
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    if digits.len() > MAX_LONG {
        return Some(Node::Opaque("an integer of many digits"));
    }
    let mut words: Vec<u32> = Vec::new();
    for chunk in digits.chunks(9) {
        let scale = 10u64.pow(chunk.len() as u32);
        let mut carry = chunk.iter().fold(0u64, |n, d| n * 10 + u64::from(d - b'0'));
        for word in &mut words {
            let wide = u64::from(*word) * scale + carry;
            *word = wide as u32;
            carry = wide >> 32;
        }
        if carry > 0 {
            words.push(carry as u32);
        }
    }
    let mut bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
    bytes.push(0);
    if negative {
        let mut carry = true;
        for byte in &mut bytes {
            let (value, over) = (!*byte).overflowing_add(u8::from(carry));
            *byte = value;
            carry = over;
        }
    }
    Some(long(&bytes))
}

/// An integer in two's complement, little endian.
pub(super) fn long(bytes: &[u8]) -> Node {
    let negative = bytes.last().is_some_and(|b| b & 0x80 != 0);
    let fill = if negative { 0xff } else { 0 };
    // Bytes that only repeat the sign are no part of it.
    let mut short = bytes;
    while let [rest @ .., last] = short
        && *last == fill
        && rest.last().map_or(!negative, |b| (b & 0x80 != 0) == negative)
    {
        short = rest;
    }
    if short.len() <= 8 {
        let mut wide = [fill; 8];
        wide[..short.len()].copy_from_slice(short);
        return Node::Int(i64::from_le_bytes(wide));
    }
    Node::Long(short.to_vec())
}

/// The bytes that Python 2's `repr` of a string stands for; `None` where it is not quoted.
pub(super) fn quoted(line: &[u8]) -> Option<Vec<u8>> {
    let line = line.trim_ascii_end();
    match line {
        [q @ (b'\'' | b'"'), inner @ .., end] if q == end => unescape(inner),
        _ => None,
    }
}

/// Python's escapes of bytes; `None` where one is broken.
pub(super) fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'\\' {
            out.push(*first);
            continue;
        }
        let [kind, tail @ ..] = rest else { return None };
        rest = tail;
        match kind {
            b'\n' => {}
            b'\\' | b'\'' | b'"' => out.push(*kind),
            b'a' => out.push(7),
            b'b' => out.push(8),
            b't' => out.push(b'\t'),
            b'n' => out.push(b'\n'),
            b'v' => out.push(11),
            b'f' => out.push(12),
            b'r' => out.push(b'\r'),
            b'x' => {
                let [a, b, tail @ ..] = rest else { return None };
                out.push((hex(*a)? << 4 | hex(*b)?) as u8);
                rest = tail;
            }
            b'0'..=b'7' => {
                let mut value = u32::from(kind - b'0');
                for _ in 0..2 {
                    let [d @ b'0'..=b'7', tail @ ..] = rest else { break };
                    value = value << 3 | u32::from(d - b'0');
                    rest = tail;
                }
                out.push(value as u8);
            }
            other => out.extend([b'\\', *other]),
        }
    }
    Some(out)
}

fn hex(digit: u8) -> Option<u32> {
    char::from(digit).to_digit(16)
}

/// Python's `raw-unicode-escape` as UTF-8; surrogates as three bytes each, as Python passes them on.
pub(super) fn raw_unicode(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        rest = tail;
        let digits = match (first, rest.first()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            (b'\\', Some(other)) => {
                out.push(b'\\');
                push_char(&mut out, u32::from(*other));
                rest = &rest[1..];
                continue;
            }
            _ => {
                push_char(&mut out, u32::from(*first));
                continue;
            }
        };
        let code = rest.get(1..=digits)?;
        let code = code.iter().try_fold(0u32, |n, d| Some(n.checked_mul(16)? | hex(*d)?))?;
        if code > 0x10_ffff {
            return None;
        }
        push_char(&mut out, code);
        rest = &rest[digits + 1..];
    }
    Some(out)
}

fn push_char(out: &mut Vec<u8>, code: u32) {
    match char::from_u32(code) {
        Some(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        // A surrogate.
        None => out.extend([
            0xe0 | (code >> 12) as u8,
            0x80 | (code >> 6 & 0x3f) as u8,
            0x80 | (code & 0x3f) as u8,
        ]),
    }
}

/// Whether bytes are UTF-8, surrogates allowed (Python's `surrogatepass`).
pub(super) fn is_text(bytes: &[u8]) -> bool {
    if std::str::from_utf8(bytes).is_ok() {
        return true;
    }
    let mut rest = bytes;
    loop {
        let Err(e) = std::str::from_utf8(rest) else { return true };
        let [0xed, 0xa0..=0xbf, 0x80..=0xbf, tail @ ..] = &rest[e.valid_up_to()..] else { return false };
        rest = tail;
    }
}

/// The bytes that a text stands for whose characters are bytes (`latin-1`).
pub(super) fn latin1(text: &[u8]) -> Option<Vec<u8>> {
    std::str::from_utf8(text).ok()?.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect()
}

impl Text {
    /// How many bytes it has, as it lies in the file.
    pub fn len(&self) -> u64 {
        match self {
            Self::Here(bytes) => bytes.len() as u64,
            Self::There { length, .. } => *length,
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_any_length_are_read() {
        assert_eq!(decimal(b"-7"), Some(Node::Int(-7)));
        assert_eq!(decimal(b"9223372036854775808"), Some(Node::Long([&[0u8; 7][..], &[0x80, 0]].concat())));
        assert_eq!(decimal(b"-9223372036854775808"), Some(Node::Int(i64::MIN)));
        assert_eq!(
            decimal(b"-9223372036854775809"),
            Some(Node::Long([&[0xff; 7][..], &[0x7f, 0xff]].concat()))
        );
        assert_eq!(decimal(b"12x"), None);
        assert_eq!(decimal(b""), None);
        assert_eq!(long(&[]), Node::Int(0));
        assert_eq!(long(&[0xff, 0xff]), Node::Int(-1));
        assert_eq!(long(&[0xff, 0]), Node::Int(255));
        assert_eq!(long(&[0; 20]), Node::Int(0));
        assert_eq!(long(&[0xff; 20]), Node::Int(-1));
    }

    #[test]
    fn escapes_are_pythons() {
        assert_eq!(quoted(br"'a\x00\'\n\101\q'"), Some(b"a\0'\nA\\q".to_vec()));
        assert_eq!(quoted(b"'a"), None);
        assert_eq!(quoted(b"'"), None);
        assert_eq!(quoted(br"'\x0'"), None);
        assert_eq!(raw_unicode(b"a\\u00e4\xe4\\U0001f600\\x").as_deref(), Some("aää😀\\x".as_bytes()));
        assert_eq!(raw_unicode(br"\ud800"), Some(vec![0xed, 0xa0, 0x80]));
        assert_eq!(raw_unicode(br"\u00"), None);
        assert!(is_text(&[b'a', 0xed, 0xa0, 0x80, b'b']) && !is_text(&[0xff]));
    }
}
