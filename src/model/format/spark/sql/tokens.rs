//! The words and signs of a statement.
//!
//! Comments are left out; a hint, a text with escapes or a quote inside of a quoted name is not
//! understood, and then nothing is.

/// The longest statement in bytes.
const MAX_STATEMENT: usize = 1 << 20;

/// A word, a number, a text or a sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A name or a keyword.
    Word(String),
    /// A name in backquotes.
    Quoted(String),
    /// A text in quotes.
    Text,
    /// A number that is an `int`.
    Whole,
    /// Any other number.
    Other(String),
    /// Anything else, one character at a time.
    Sign(char),
}

impl Token {
    /// Whether it is a word, in letters of either case.
    pub(super) fn is(&self, word: &str) -> bool {
        matches!(self, Self::Word(w) if w.eq_ignore_ascii_case(word))
    }
}

/// The tokens of a statement; `None` where one is not certain.
pub(super) fn tokens(statement: &str) -> Option<Vec<Token>> {
    if statement.len() > MAX_STATEMENT {
        return None;
    }
    let mut all = Vec::new();
    let mut rest = statement.trim_start();
    while let Some(c) = rest.chars().next() {
        let mut end;
        match c {
            '`' => {
                end = 1 + rest[1..].find('`')?;
                all.push(Token::Quoted(rest[1..end].to_owned()));
                end += 1;
                // A doubled quote is one in the name.
                if rest[end..].starts_with('`') {
                    return None;
                }
            }
            '\'' | '"' => {
                end = 1 + rest[1..].find(c)?;
                if rest[1..end].contains('\\') {
                    return None;
                }
                all.push(Token::Text);
                end += 1;
            }
            c if c.is_alphabetic() || c == '_' => {
                end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
                all.push(Token::Word(rest[..end].to_owned()));
            }
            c if c.is_ascii_digit() => {
                end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '.')).unwrap_or(rest.len());
                let number = &rest[..end];
                let whole = number.len() < 10 && number.bytes().all(|b| b.is_ascii_digit());
                all.push(if whole { Token::Whole } else { Token::Other(number.to_owned()) });
            }
            '-' if rest.starts_with("--") => end = rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => {
                end = 2 + rest[2..].find("*/")?;
                // A hint may change what happens, and comments in comments depend on the version.
                if rest[2..].starts_with('+') || rest[2..end].contains("/*") {
                    return None;
                }
                end += 2;
            }
            c => {
                end = c.len_utf8();
                all.push(Token::Sign(c));
            }
        }
        rest = rest[end..].trim_start();
    }
    Some(all)
}
