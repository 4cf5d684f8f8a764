//! Python source as logical lines of tokens.
//!
//! A logical line is what Python takes as one: it goes on inside brackets, inside strings of three
//! quotes and after a backslash (The Python Language Reference, chapter 2). Blank lines and comments
//! are none. This is not a parser: what the tokens mean is [`super::module`]'s business.
//!
//! Sources of Python 2 and 3 are read alike, so a token that only one of them has is one here.
//! Invariants: every token is a range of the text; nesting, tokens and lines are bounded.

use std::ops::Range;

use super::Problem;

/// The deepest nesting of brackets, and of fields inside strings; the interpreter's own bounds are
/// 200 and 150 (Parser/lexer/state.h).
const MAX_BRACKETS: usize = 200;
const MAX_FIELDS: usize = 32;
/// The deepest indentation (Parser/lexer/state.h).
const MAX_INDENTS: usize = 100;
/// The most tokens of one file.
const MAX_TOKENS: usize = 2_000_000;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An identifier or keyword.
    Name,
    Number,
    /// A string of any prefix; `plain` where its text is its value.
    Text {
        plain: bool,
    },
    /// One character of an operator, except `->`, `:=`, `**`, `//`, `==` and their like.
    Op,
}

/// One token.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub kind: Kind,
    pub span: Range<usize>,
}

/// One logical line.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// Where it begins, from 1.
    pub number: usize,
    /// How many blocks it lies in.
    pub depth: usize,
    pub tokens: Vec<Token>,
}

/// The logical lines of a source.
pub(super) fn lines(text: &str) -> Result<Vec<Line>, Problem> {
    Lexer { text, bytes: text.as_bytes(), at: 0, line: 1, tokens: 0 }.lines()
}

struct Lexer<'t> {
    text: &'t str,
    bytes: &'t [u8],
    at: usize,
    line: usize,
    tokens: usize,
}

impl Lexer<'_> {
    fn lines(mut self) -> Result<Vec<Line>, Problem> {
        let mut lines = Vec::new();
        let mut indents = vec![0usize];
        let mut opens_block = false;
        while self.at < self.bytes.len() {
            let indent = self.indent();
            if self.blank() {
                continue;
            }
            let number = self.line;
            let current = indents.last().copied().unwrap_or(0);
            if indent > current {
                if !opens_block {
                    return Err(self.wrong(number, "unexpected indent"));
                }
                if indents.len() >= MAX_INDENTS {
                    return Err(self.wrong(number, "too many levels of indentation"));
                }
                indents.push(indent);
            } else {
                if opens_block {
                    return Err(self.wrong(number, "expected an indented block"));
                }
                while indents.last().is_some_and(|top| *top > indent) {
                    indents.pop();
                }
                if indents.last() != Some(&indent) {
                    return Err(
                        self.wrong(number, "the indentation does not match any outer level of indentation")
                    );
                }
            }
            let tokens = self.logical()?;
            opens_block = tokens.last().is_some_and(|t| &self.text[t.span.clone()] == ":");
            if !tokens.is_empty() {
                lines.push(Line { number, depth: indents.len() - 1, tokens });
            }
        }
        if opens_block {
            return Err(self.wrong(self.line, "expected an indented block"));
        }
        Ok(lines)
    }

    fn wrong(&self, line: usize, message: &'static str) -> Problem {
        Problem { line, message }
    }

    fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    /// The column at which a line begins: a tab goes on to the next multiple of eight.
    fn indent(&mut self) -> usize {
        let mut column = 0;
        loop {
            match self.peek() {
                b' ' => column += 1,
                b'\t' => column = (column / 8 + 1) * 8,
                b'\x0c' => column = 0,
                _ => return column,
            }
            self.at += 1;
        }
    }

    /// Whether nothing but a comment is on the line, which then is behind us.
    fn blank(&mut self) -> bool {
        if self.peek() == b'#' {
            self.comment();
        }
        self.at >= self.bytes.len() || self.newline()
    }

    fn comment(&mut self) {
        while self.at < self.bytes.len() && !matches!(self.peek(), b'\n' | b'\r') {
            self.at += 1;
        }
    }

    /// Steps over the end of a line: `\n`, `\r\n` or `\r`.
    fn newline(&mut self) -> bool {
        let n = match (self.peek(), self.bytes.get(self.at + 1)) {
            (b'\r', Some(b'\n')) => 2,
            (b'\n' | b'\r', _) if self.at < self.bytes.len() => 1,
            _ => return false,
        };
        self.at += n;
        self.line += 1;
        true
    }

    fn logical(&mut self) -> Result<Vec<Token>, Problem> {
        let mut tokens = Vec::new();
        let mut brackets: Vec<(u8, usize)> = Vec::new();
        loop {
            if self.at >= self.bytes.len() {
                break;
            }
            if self.newline() {
                if brackets.is_empty() {
                    return Ok(tokens);
                }
                continue;
            }
            let start = self.at;
            let kind = match self.peek() {
                b' ' | b'\t' | b'\x0c' => {
                    self.at += 1;
                    continue;
                }
                b'#' => {
                    self.comment();
                    continue;
                }
                b'\\' => {
                    self.at += 1;
                    if !self.newline() {
                        return Err(self.wrong(self.line, "unexpected character after a backslash"));
                    }
                    continue;
                }
                b'"' | b'\'' => self.string("", 0)?,
                c if is_name_start(c) => {
                    self.name();
                    let word = &self.text[start..self.at];
                    if matches!(self.peek(), b'"' | b'\'') && is_prefix(word) {
                        let prefix = word.to_owned();
                        self.string(&prefix, 0)?
                    } else {
                        Kind::Name
                    }
                }
                c if c.is_ascii_digit()
                    || (c == b'.' && self.bytes.get(self.at + 1).is_some_and(u8::is_ascii_digit)) =>
                {
                    self.number();
                    Kind::Number
                }
                c => {
                    self.operator(c, &mut brackets)?;
                    Kind::Op
                }
            };
            self.tokens += 1;
            if self.tokens > MAX_TOKENS {
                return Err(self.wrong(self.line, "the file is too long to be looked at"));
            }
            tokens.push(Token { kind, span: start..self.at });
        }
        match brackets.first() {
            Some((b'(', line)) => Err(self.wrong(*line, "`(` was never closed")),
            Some((b'[', line)) => Err(self.wrong(*line, "`[` was never closed")),
            Some((_, line)) => Err(self.wrong(*line, "`{` was never closed")),
            None => Ok(tokens),
        }
    }

    fn name(&mut self) {
        while is_name_start(self.peek()) || self.peek().is_ascii_digit() {
            self.at += 1;
        }
    }

    fn number(&mut self) {
        while self.at < self.bytes.len() {
            let c = self.peek();
            let sign = matches!(c, b'+' | b'-')
                && matches!(self.bytes[self.at - 1], b'e' | b'E')
                && !self.hexadecimal();
            if !(c.is_ascii_alphanumeric() || c == b'_' || c == b'.' || sign) {
                return;
            }
            self.at += 1;
        }
    }

    /// Whether the number that ends here began with `0x`, so that its `e` is a digit.
    fn hexadecimal(&self) -> bool {
        let before = &self.bytes[..self.at];
        let start =
            before.iter().rposition(|c| !c.is_ascii_alphanumeric() && *c != b'_').map_or(0, |p| p + 1);
        before[start..].starts_with(b"0x") || before[start..].starts_with(b"0X")
    }

    fn operator(&mut self, c: u8, brackets: &mut Vec<(u8, usize)>) -> Result<(), Problem> {
        match c {
            b'(' | b'[' | b'{' => {
                if brackets.len() >= MAX_BRACKETS {
                    return Err(self.wrong(self.line, "too many nested brackets"));
                }
                brackets.push((c, self.line));
            }
            b')' | b']' | b'}' => {
                let want = match c {
                    b')' => b'(',
                    b']' => b'[',
                    _ => b'{',
                };
                match brackets.pop() {
                    Some((open, _)) if open == want => {}
                    Some(_) => {
                        return Err(self.wrong(self.line, "a closing bracket does not match the opening one"));
                    }
                    None => return Err(self.wrong(self.line, "a bracket is closed that was never opened")),
                }
            }
            0 => return Err(self.wrong(self.line, "the source has a null byte")),
            b'$' | b'?' => return Err(self.wrong(self.line, "a character that Python does not know")),
            _ => {}
        }
        let rest = &self.bytes[self.at..];
        const LONG: &[&[u8]] = &[
            b"**=", b"//=", b">>=", b"<<=", b"->", b":=", b"**", b"//", b"==", b"!=", b"<=", b">=", b"<>",
            b"+=", b"-=", b"*=", b"/=", b"%=", b"@=", b"&=", b"|=", b"^=", b"<<", b">>",
        ];
        self.at += LONG.iter().find(|op| rest.starts_with(op)).map_or(1, |op| op.len());
        Ok(())
    }

    /// Steps over a string, of which the prefix is behind us.
    fn string(&mut self, prefix: &str, fields: usize) -> Result<Kind, Problem> {
        let quote = self.peek();
        let begun = self.line;
        let triple = self.bytes[self.at..].starts_with(&[quote; 3]);
        self.at += if triple { 3 } else { 1 };
        let has = |c: char| prefix.chars().any(|p| p.eq_ignore_ascii_case(&c));
        let end = End { quote, triple, raw: has('r'), begun };
        if has('f') || has('t') {
            self.interpolated(&end, fields)?;
            return Ok(Kind::Text { plain: false });
        }
        let start = self.at;
        let mut plain = !has('b');
        while self.at < self.bytes.len() {
            if self.closes(&end) {
                return Ok(Kind::Text { plain: plain && start <= self.at });
            }
            match self.peek() {
                b'\\' => {
                    plain = false;
                    self.at += 1;
                    if !self.newline() {
                        self.at += 1;
                    }
                }
                b'\n' | b'\r' => {
                    if !triple {
                        break;
                    }
                    self.newline();
                }
                _ => self.at += 1,
            }
        }
        Err(self.unterminated(&end))
    }

    fn unterminated(&self, end: &End) -> Problem {
        self.wrong(end.begun, "a string is never closed")
    }

    fn closes(&mut self, end: &End) -> bool {
        let rest = &self.bytes[self.at..];
        let closed =
            if end.triple { rest.starts_with(&[end.quote; 3]) } else { rest.first() == Some(&end.quote) };
        if closed {
            self.at += if end.triple { 3 } else { 1 };
        }
        closed
    }

    /// A string with fields in braces, as Python 3.12 reads it, which takes what earlier ones took.
    fn interpolated(&mut self, end: &End, fields: usize) -> Result<(), Problem> {
        while self.at < self.bytes.len() {
            if self.closes(end) {
                return Ok(());
            }
            match self.peek() {
                b'\\' => {
                    let next = self.bytes.get(self.at + 1).copied().unwrap_or(0);
                    self.at += 1;
                    if next == b'N' && !end.raw && self.bytes.get(self.at + 1) == Some(&b'{') {
                        while self.at < self.bytes.len() && !matches!(self.peek(), b'}' | b'\n') {
                            self.at += 1;
                        }
                        if self.peek() == b'}' {
                            self.at += 1;
                        }
                    } else if !matches!(next, b'{' | b'}') && !self.newline() {
                        self.at += 1;
                    }
                }
                b'{' if self.bytes.get(self.at + 1) == Some(&b'{') => self.at += 2,
                b'{' => self.field(end, fields + 1)?,
                b'\n' | b'\r' => {
                    if !end.triple {
                        break;
                    }
                    self.newline();
                }
                _ => self.at += 1,
            }
        }
        Err(self.unterminated(end))
    }

    /// One field, from its `{` to its `}`. The recursion is bounded by [`MAX_FIELDS`].
    fn field(&mut self, end: &End, fields: usize) -> Result<(), Problem> {
        if fields > MAX_FIELDS {
            return Err(self.wrong(self.line, "too many fields inside each other in a string"));
        }
        self.at += 1;
        let mut brackets = Vec::new();
        while self.at < self.bytes.len() {
            if self.newline() {
                continue;
            }
            match self.peek() {
                b'}' if brackets.is_empty() => {
                    self.at += 1;
                    return Ok(());
                }
                b':' if brackets.is_empty() => return self.specification(end, fields),
                b'#' => self.comment(),
                b'"' | b'\'' => drop(self.string("", fields)?),
                b'\\' => {
                    self.at += 1;
                    self.newline();
                }
                c if is_name_start(c) => {
                    let start = self.at;
                    self.name();
                    let word = &self.text[start..self.at];
                    if matches!(self.peek(), b'"' | b'\'') && is_prefix(word) {
                        let prefix = word.to_owned();
                        self.string(&prefix, fields)?;
                    }
                }
                c @ (b'(' | b'[' | b'{' | b')' | b']' | b'}') => self.operator(c, &mut brackets)?,
                _ => self.at += 1,
            }
        }
        Err(self.unterminated(end))
    }

    /// What follows the colon of a field, up to its `}`.
    fn specification(&mut self, end: &End, fields: usize) -> Result<(), Problem> {
        self.at += 1;
        while self.at < self.bytes.len() {
            match self.peek() {
                b'}' => {
                    self.at += 1;
                    return Ok(());
                }
                b'{' => self.field(end, fields + 1)?,
                b'\n' | b'\r' if !end.triple => break,
                b'\n' | b'\r' => drop(self.newline()),
                _ => self.at += 1,
            }
        }
        Err(self.unterminated(end))
    }
}

/// How a string ends, and where it began.
struct End {
    quote: u8,
    triple: bool,
    raw: bool,
    begun: usize,
}

/// Letters beyond ASCII are taken as parts of names, whatever they are.
fn is_name_start(c: u8) -> bool {
    c.is_ascii_alphabetic() || c == b'_' || c >= 0x80
}

fn is_prefix(word: &str) -> bool {
    word.len() <= 2
        && word.bytes().all(|c| matches!(c.to_ascii_lowercase(), b'r' | b'b' | b'u' | b'f' | b't'))
}
