//! A reader of JSON text, token by token (RFC 8259).
//!
//! It builds no tree: whoever asks says what should come next, so that a million numbers go
//! straight into a tensor. Numbers are handed out as their text, which is how 64-bit integers and
//! shortest decimals stay exact.
//!
//! Invariants: nothing but JSON is accepted, not even a lone half of a surrogate pair; nesting is
//! bounded; memory that is taken is bounded by the text's length.

use std::borrow::Cow;

use crate::error::show_bytes;

/// How deep values may lie in each other.
const MAX_DEPTH: usize = 128;
/// How much of the text a message shows.
const SHOWN: usize = 40;

/// What is wrong, for the caller.
pub(super) type Read<T> = Result<T, String>;

/// The beginning of a text from outside, for a message.
pub(super) fn beginning(text: &str) -> String {
    let short: String = text.chars().take(SHOWN).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("`{}{more}`", show_bytes(short.as_bytes()))
}

/// A place in a JSON text.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the beginning of what has to be UTF-8.
    pub(super) fn new(bytes: &'a [u8]) -> Read<Self> {
        let text = std::str::from_utf8(bytes).map_err(|e| {
            format!("the request is not JSON: the byte at {} does not belong to UTF-8", e.valid_up_to())
        })?;
        Ok(Self { text, at: 0 })
    }

    /// How many bytes are left.
    pub(super) fn left(&self) -> usize {
        self.text.len() - self.at
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The first byte of the next token, at which the reader stands afterwards.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.byte() {
            self.at += 1;
        }
        self.byte()
    }

    /// Says what was expected here, and what is here.
    pub(super) fn wrong(&self, expected: &str) -> String {
        let rest = &self.text[self.at..];
        let line = rest.lines().next().unwrap_or_default();
        let found = if rest.is_empty() { "the end".to_owned() } else { beginning(line) };
        format!("at byte {} of the JSON: expected {expected}, found {found}", self.at)
    }

    /// Reads one byte of punctuation.
    pub(super) fn punctuation(&mut self, byte: u8, expected: &str) -> Read<()> {
        if self.peek() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        Err(self.wrong(expected))
    }

    /// Reads the punctuation before the next value of an array whose `[` was read; false at its end.
    #[inline]
    pub(super) fn item(&mut self, first: bool) -> Read<bool> {
        match self.peek() {
            Some(b']') => {
                self.at += 1;
                Ok(false)
            }
            Some(_) if first => Ok(true),
            Some(b',') => {
                self.at += 1;
                if self.peek() == Some(b']') { Err(self.wrong("a value")) } else { Ok(true) }
            }
            _ => Err(self.wrong("`,` or `]`")),
        }
    }

    /// Reads the next key of an object whose `{` was read, and its `:`; `None` at its end.
    pub(super) fn key(&mut self, first: bool) -> Read<Option<Cow<'a, str>>> {
        match self.peek() {
            Some(b'}') => {
                self.at += 1;
                return Ok(None);
            }
            Some(b',') if !first => self.at += 1,
            _ if first => {}
            _ => return Err(self.wrong("`,` or `}`")),
        }
        let key = self.string("a key")?;
        self.punctuation(b':', "`:`")?;
        Ok(Some(key))
    }

    /// Reads a string.
    pub(super) fn string(&mut self, expected: &str) -> Read<Cow<'a, str>> {
        self.punctuation(b'"', expected)?;
        let begin = self.at;
        let plain = self.plain()?;
        if self.byte() == Some(b'"') {
            self.at += 1;
            return Ok(Cow::Borrowed(plain));
        }
        self.at = begin;
        let mut out = String::new();
        self.rest_of_string(&mut out)?;
        Ok(Cow::Owned(out))
    }

    /// Reads a string and appends its bytes.
    pub(super) fn string_into(&mut self, out: &mut String) -> Read<()> {
        self.punctuation(b'"', "a string")?;
        self.rest_of_string(out)
    }

    /// Characters up to the next quote or backslash.
    fn plain(&mut self) -> Read<&'a str> {
        let begin = self.at;
        loop {
            match self.byte() {
                Some(b'"' | b'\\') => return Ok(&self.text[begin..self.at]),
                Some(0..0x20) => return Err(self.wrong("an escaped control character")),
                Some(_) => self.at += 1,
                None => return Err(self.wrong("the end of the string")),
            }
        }
    }

    fn rest_of_string(&mut self, out: &mut String) -> Read<()> {
        loop {
            out.push_str(self.plain()?);
            if self.byte() == Some(b'"') {
                self.at += 1;
                return Ok(());
            }
            out.push(self.escape()?);
        }
    }

    /// Reads an escape, at whose backslash the reader stands.
    fn escape(&mut self) -> Read<char> {
        let begin = self.clone();
        self.at += 1;
        let byte = self.byte();
        self.at += 1;
        Ok(match byte {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let lone = || begin.wrong("a character, not half of a surrogate pair");
                let high = self.hex(&begin)?;
                let code = match high {
                    0xd800..0xdc00 => {
                        if !self.text.as_bytes()[self.at..].starts_with(b"\\u") {
                            return Err(lone());
                        }
                        self.at += 2;
                        let low = self.hex(&begin)?;
                        if !(0xdc00..0xe000).contains(&low) {
                            return Err(lone());
                        }
                        0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)
                    }
                    other => other,
                };
                char::from_u32(code).ok_or_else(lone)?
            }
            _ => return Err(begin.wrong("an escape that JSON has")),
        })
    }

    fn hex(&mut self, begin: &Self) -> Read<u32> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4);
        let digits = digits.filter(|d| d.iter().all(u8::is_ascii_hexdigit));
        let text = digits.and_then(|d| std::str::from_utf8(d).ok());
        let code = text.and_then(|t| u32::from_str_radix(t, 16).ok());
        self.at += 4;
        code.ok_or_else(|| begin.wrong("four hexadecimal digits after `\\u`"))
    }

    /// Reads a number and gives its text.
    #[inline]
    pub(super) fn number(&mut self) -> Read<&'a str> {
        self.peek();
        let bytes = self.text.as_bytes();
        let digits = |mut at: usize| {
            while bytes.get(at).is_some_and(u8::is_ascii_digit) {
                at += 1;
            }
            at
        };
        let mut at = self.at;
        if bytes.get(at) == Some(&b'-') {
            at += 1;
        }
        let whole = at;
        at = digits(at);
        if at == whole || (bytes[whole] == b'0' && at > whole + 1) {
            return Err(self.wrong("a number"));
        }
        if bytes.get(at) == Some(&b'.') {
            let fraction = at + 1;
            at = digits(fraction);
            if at == fraction {
                return Err(self.wrong("a number"));
            }
        }
        if let Some(b'e' | b'E') = bytes.get(at) {
            let mut exponent = at + 1;
            if let Some(b'+' | b'-') = bytes.get(exponent) {
                exponent += 1;
            }
            at = digits(exponent);
            if at == exponent {
                return Err(self.wrong("a number"));
            }
        }
        let text = &self.text[self.at..at];
        self.at = at;
        Ok(text)
    }

    /// Reads `true` or `false`.
    pub(super) fn boolean(&mut self) -> Read<bool> {
        self.peek();
        for (word, value) in [("true", true), ("false", false)] {
            if self.text[self.at..].starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.wrong("`true` or `false`"))
    }

    /// Reads whatever value comes, and forgets it.
    pub(super) fn skip(&mut self) -> Read<()> {
        // One bit for each open bracket would do; what is open is all that has to be known.
        let mut open = Vec::new();
        loop {
            match self.peek() {
                Some(bracket @ (b'[' | b'{')) => {
                    if open.len() >= MAX_DEPTH {
                        return Err(format!("the JSON nests deeper than {MAX_DEPTH} values"));
                    }
                    self.at += 1;
                    open.push(bracket);
                    let more = match bracket {
                        b'[' => self.item(true)?,
                        _ => self.key(true)?.is_some(),
                    };
                    if more {
                        continue;
                    }
                    open.pop();
                }
                Some(b'"') => {
                    self.string("a string")?;
                }
                Some(b't' | b'f') => {
                    self.boolean()?;
                }
                Some(b'n') if self.text[self.at..].starts_with("null") => self.at += 4,
                Some(b'-' | b'0'..=b'9') => {
                    self.number()?;
                }
                _ => return Err(self.wrong("a value")),
            }
            // The value is read: on to the next one of the innermost bracket that has one.
            loop {
                let more = match open.last() {
                    None => return Ok(()),
                    Some(b'[') => self.item(false)?,
                    Some(_) => self.key(false)?.is_some(),
                };
                if more {
                    break;
                }
                open.pop();
            }
        }
    }

    /// Checks that nothing follows.
    pub(super) fn end(&mut self) -> Read<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.wrong("the end")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn skips(text: &str) -> Read<()> {
        let mut r = Reader::new(text.as_bytes())?;
        r.skip()?;
        r.end()
    }

    #[test]
    fn what_json_has_is_accepted() {
        for text in [
            "null",
            " true ",
            "[]",
            "{}",
            "[[],{}]",
            "-0",
            "0.5e-3",
            "1E9",
            "\"\\u00e9\\ud83d\\ude00\\/\"",
            "{\"a\":[1,{\"b\":null}],\"a\":false}",
            "[\n1 ,\t2\r]",
        ] {
            assert_eq!(skips(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn c46_what_json_has_not_is_refused() {
        for text in [
            "",
            "[",
            "{",
            "]",
            "[1,]",
            "[,1]",
            "{\"a\"}",
            "{\"a\":}",
            "{a:1}",
            "{\"a\":1,}",
            "01",
            "1.",
            ".5",
            "-",
            "+1",
            "1e",
            "NaN",
            "Infinity",
            "-Infinity",
            "nul",
            "tru",
            "\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\ud800\"",
            "\"\\udc00\"",
            "\"\\ud800\\u0041\"",
            "\"\t\"",
            "[1 2]",
            "1 2",
            "'a'",
            "\u{feff}1",
            "[1}",
            "{\"a\":1]",
        ] {
            assert!(skips(text).is_err(), "{text}");
        }
        assert!(Reader::new(b"\"\xff\"").is_err());
        let deep = "[".repeat(100_000);
        assert_eq!(skips(&deep).unwrap_err(), "the JSON nests deeper than 128 values");
        let deep = format!("{}{}", "{\"a\":".repeat(100_000), "1");
        assert!(skips(&deep).unwrap_err().contains("nests deeper"));
    }

    #[test]
    fn strings_are_unescaped() {
        for (text, value) in [
            ("\"plain\"", "plain"),
            ("\"a\\n\\\"b\\\\\"", "a\n\"b\\"),
            ("\"\\ud83d\\ude00 \\u00e9é\"", "\u{1f600} éé"),
            ("\"\\u0000\"", "\0"),
        ] {
            assert_eq!(Reader::new(text.as_bytes()).unwrap().string("a string").unwrap(), value);
        }
    }

    #[test]
    fn a_message_says_where_and_what() {
        assert_eq!(skips("[1, oops]").unwrap_err(), "at byte 4 of the JSON: expected a value, found `oops]`");
        assert_eq!(skips("[1").unwrap_err(), "at byte 2 of the JSON: expected `,` or `]`, found the end");
    }

    proptest! {
        #[test]
        fn c46_it_accepts_what_serde_json_accepts(text in "[\\[\\]{},:\"a\\\\u0-9d.eE+ truefalsn-]{0,24}") {
            // Infinite numbers are valid JSON, which serde_json does not read.
            prop_assume!(!text.contains(['e', 'E']) || !text.contains(|c: char| c.is_ascii_digit()));
            let theirs = serde_json::from_str::<serde_json::Value>(&text).is_ok();
            prop_assert_eq!(skips(&text).is_ok(), theirs, "{}", text);
        }

        #[test]
        fn it_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(mut r) = Reader::new(&bytes) {
                let _either = r.skip();
            }
        }

        #[test]
        fn strings_come_back(text in any::<String>()) {
            let written = serde_json::to_string(&text).unwrap();
            let mut r = Reader::new(written.as_bytes()).unwrap();
            prop_assert_eq!(r.string("a string").unwrap(), text);
            prop_assert_eq!(r.end(), Ok(()));
        }
    }
}
