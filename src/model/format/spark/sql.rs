//! The list of columns in `SELECT … FROM __THIS__ …`, as far as it is certain.
//!
//! It is not a parser of SQL: what is not one of a few plain forms has a name if it says one, and no
//! type. A statement with joins, groups, unions or a second `SELECT` is not understood at all.

use crate::model::contract::DType;

/// One column of the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// All columns that there are.
    All,
    /// A column, perhaps under another name.
    Column {
        /// The column that is read.
        from: String,
        /// Its name in the result.
        name: String,
    },
    /// Something computed.
    Computed {
        /// Its name; `None` where Spark makes one up.
        name: Option<String>,
        /// Its type, where the statement says it.
        dtype: Option<DType>,
        /// The columns that are read.
        reads: Vec<String>,
    },
}

/// A statement that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Select {
    /// The columns of the result.
    pub items: Vec<Item>,
    /// Columns that conditions read.
    pub conditions: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    /// In backquotes.
    Quoted(String),
    Text,
    Whole,
    Other(String),
    Sign(char),
}

impl Token {
    fn is(&self, word: &str) -> bool {
        matches!(self, Self::Word(w) if w.eq_ignore_ascii_case(word))
    }
}

/// The longest statement in bytes.
const MAX_STATEMENT: usize = 1 << 20;

/// Words after which a statement is more than a list of columns of one table.
const BEYOND: &[&str] = &[
    "join",
    "union",
    "intersect",
    "except",
    "minus",
    "group",
    "having",
    "lateral",
    "over",
    "window",
    "with",
    "distinct",
    "explode",
    "posexplode",
    "inline",
    "stack",
    "exists",
    "pivot",
    "unpivot",
    "tablesample",
    "values",
    "qualify",
    "transform",
    "interval",
    "cluster",
    "distribute",
];
/// Words of expressions that are no columns.
const WORDS: &[&str] = &[
    "and",
    "or",
    "not",
    "is",
    "null",
    "in",
    "between",
    "like",
    "rlike",
    "ilike",
    "case",
    "when",
    "then",
    "else",
    "end",
    "as",
    "true",
    "false",
    "cast",
    "div",
    "asc",
    "desc",
    "nulls",
    "first",
    "last",
    "by",
    "escape",
    "current_date",
    "current_timestamp",
    "any",
    "all",
    "some",
];

/// Reads a statement; `None` where it is not understood.
pub(super) fn parse(statement: &str) -> Option<Select> {
    let tokens = tokens(statement)?;
    let (first, rest) = tokens.split_first()?;
    if !first.is("select") {
        return None;
    }
    let from = top(rest, |t| t.is("from"))?;
    let (list, rest) = (&rest[..from], &rest[from + 1..]);
    let mut rest = match rest.split_first()? {
        (Token::Word(table), rest) if table == "__THIS__" => rest,
        _ => return None,
    };
    let beyond = |t: &Token| matches!(t, Token::Word(w) if w.eq_ignore_ascii_case("select") || BEYOND.iter().any(|b| w.eq_ignore_ascii_case(b)));
    if list.iter().chain(rest).any(beyond) {
        return None;
    }
    let conditions = match rest.split_first() {
        None => Vec::new(),
        Some((Token::Sign(';'), [])) => Vec::new(),
        Some((word, after)) if word.is("where") => {
            rest = after;
            if rest.iter().any(|t| ["order", "sort", "limit"].iter().any(|w| t.is(w))) {
                return None;
            }
            reads(rest)?
        }
        Some(_) => return None,
    };
    let mut items = Vec::new();
    let mut rest = list;
    while !rest.is_empty() {
        let end = top(rest, |t| *t == Token::Sign(',')).unwrap_or(rest.len());
        items.push(item(&rest[..end])?);
        rest = rest.get(end + 1..).unwrap_or(&[]);
    }
    (!items.is_empty()).then_some(Select { items, conditions })
}

/// Where the first such token outside of parentheses is.
fn top(tokens: &[Token], wanted: impl Fn(&Token) -> bool) -> Option<usize> {
    let mut depth = 0usize;
    for (i, t) in tokens.iter().enumerate() {
        match t {
            Token::Sign('(' | '[') => depth += 1,
            Token::Sign(')' | ']') => depth = depth.checked_sub(1)?,
            t if depth == 0 && wanted(t) => return Some(i),
            _ => {}
        }
    }
    None
}

fn item(tokens: &[Token]) -> Option<Item> {
    match without_table(tokens) {
        [] => return None,
        [Token::Sign('*')] => return Some(Item::All),
        [Token::Word(name)] if !WORDS.iter().any(|w| name.eq_ignore_ascii_case(w)) => {
            return Some(Item::Column { from: name.clone(), name: name.clone() });
        }
        [Token::Quoted(name)] => return Some(Item::Column { from: name.clone(), name: name.clone() }),
        _ => {}
    }
    let (body, name) = alias(tokens);
    if let (Some(name), [Token::Word(from) | Token::Quoted(from)]) = (&name, without_table(body))
        && !WORDS.iter().any(|w| from.eq_ignore_ascii_case(w))
    {
        return Some(Item::Column { from: from.clone(), name: name.clone() });
    }
    if body.contains(&Token::Sign('*')) && body.contains(&Token::Sign('.')) {
        return None;
    }
    Some(Item::Computed { name, dtype: dtype(body), reads: reads(body)? })
}

/// `__THIS__.x` is `x`.
fn without_table(tokens: &[Token]) -> &[Token] {
    match tokens {
        [Token::Word(table), Token::Sign('.'), rest @ ..] if table == "__THIS__" => rest,
        all => all,
    }
}

/// The expression, and the name behind it.
fn alias(tokens: &[Token]) -> (&[Token], Option<String>) {
    match tokens {
        [body @ .., word, Token::Word(name) | Token::Quoted(name)] if word.is("as") && !body.is_empty() => {
            (body, Some(name.clone()))
        }
        [body @ .., Token::Quoted(name)] if ends_expression(body) => (body, Some(name.clone())),
        [body @ .., Token::Word(name)]
            if ends_expression(body) && !WORDS.iter().any(|w| name.eq_ignore_ascii_case(w)) =>
        {
            (body, Some(name.clone()))
        }
        all => (all, None),
    }
}

fn ends_expression(tokens: &[Token]) -> bool {
    match tokens.last() {
        Some(Token::Word(w)) => !WORDS[..13].iter().any(|k| w.eq_ignore_ascii_case(k)),
        Some(Token::Quoted(_) | Token::Text | Token::Whole | Token::Other(_) | Token::Sign(')' | ']')) => {
            true
        }
        _ => false,
    }
}

/// The columns in an expression; `None` where that is not certain.
fn reads(tokens: &[Token]) -> Option<Vec<String>> {
    let mut found = Vec::new();
    let mut cast_types = false;
    for (i, t) in tokens.iter().enumerate() {
        let next = tokens.get(i + 1);
        let before = i.checked_sub(1).and_then(|i| tokens.get(i));
        let name = match t {
            // What follows `AS` inside is a type.
            Token::Word(w) if w.eq_ignore_ascii_case("as") => {
                cast_types = true;
                continue;
            }
            Token::Sign(')' | ',') => {
                cast_types = false;
                continue;
            }
            Token::Word(w) if w == "__THIS__" && next == Some(&Token::Sign('.')) => continue,
            Token::Word(w)
                if cast_types
                    || next == Some(&Token::Sign('('))
                    || WORDS.iter().any(|k| w.eq_ignore_ascii_case(k)) =>
            {
                continue;
            }
            Token::Word(w) | Token::Quoted(w) => w,
            Token::Sign('{' | '}' | '?' | ':' | '@' | '$' | '#' | '\\' | '~' | '>')
                if *t != Token::Sign('>') =>
            {
                return None;
            }
            // A function of a function: names of its parameters are no columns.
            Token::Sign('>') if before == Some(&Token::Sign('-')) => return None,
            _ => continue,
        };
        // A field of a structure is a part of the column before the dot.
        let part = before == Some(&Token::Sign('.'))
            && !matches!(i.checked_sub(2).and_then(|i| tokens.get(i)), Some(Token::Word(w)) if w == "__THIS__");
        if !part && !found.contains(name) {
            found.push(name.clone());
        }
    }
    Some(found)
}

/// The type of an expression, where it says so itself.
fn dtype(body: &[Token]) -> Option<DType> {
    match body {
        [Token::Text] => Some(DType::String),
        [Token::Whole] | [Token::Sign('-'), Token::Whole] => Some(DType::Int32),
        [Token::Other(n)] | [Token::Sign('-'), Token::Other(n)] => match n.as_bytes().last()? {
            b'd' | b'D' => Some(DType::Float64),
            b'l' | b'L' => Some(DType::Int64),
            _ => None,
        },
        [Token::Word(w)] if w.eq_ignore_ascii_case("true") || w.eq_ignore_ascii_case("false") => {
            Some(DType::Bool)
        }
        [cast, Token::Sign('('), inner @ .., word, Token::Word(to), Token::Sign(')')]
            if cast.is("cast") && word.is("as") && balanced(inner) =>
        {
            Some(match to.to_ascii_lowercase().as_str() {
                "double" => DType::Float64,
                "float" | "real" => DType::Float32,
                "int" | "integer" => DType::Int32,
                "bigint" | "long" => DType::Int64,
                "smallint" | "short" => DType::Int16,
                "tinyint" | "byte" => DType::Int8,
                "boolean" => DType::Bool,
                "string" => DType::String,
                _ => return None,
            })
        }
        _ => None,
    }
}

/// Whether no parenthesis is closed that was opened before.
fn balanced(tokens: &[Token]) -> bool {
    let mut depth = 0i64;
    tokens.iter().all(|t| {
        depth += i64::from(*t == Token::Sign('(')) - i64::from(*t == Token::Sign(')'));
        depth >= 0
    }) && depth == 0
}

fn tokens(statement: &str) -> Option<Vec<Token>> {
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
            '-' if rest.starts_with("--") => return None,
            '/' if rest.starts_with("/*") => return None,
            c => {
                end = c.len_utf8();
                all.push(Token::Sign(c));
            }
        }
        rest = rest[end..].trim_start();
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(from: &str, name: &str) -> Item {
        Item::Column { from: from.to_owned(), name: name.to_owned() }
    }

    fn computed(name: Option<&str>, dtype: Option<DType>, reads: &[&str]) -> Item {
        let reads = reads.iter().map(|s| (*s).to_owned()).collect();
        Item::Computed { name: name.map(str::to_owned), dtype, reads }
    }

    #[test]
    fn plain_lists_are_understood() {
        let s = parse("SELECT *, (v1 + v2) AS v3, `a b`, x.y z FROM __THIS__").unwrap();
        assert_eq!(
            s.items,
            [
                Item::All,
                computed(Some("v3"), None, &["v1", "v2"]),
                column("a b", "a b"),
                computed(Some("z"), None, &["x"])
            ]
        );
        let s = parse("select __THIS__.a b, cast(n as double) d, upper(c), 'x, from' s, 3 AS i, -1L l from __THIS__ where q > 1 and w is not null")
            .unwrap();
        assert_eq!(
            s.items,
            [
                column("a", "b"),
                computed(Some("d"), Some(DType::Float64), &["n"]),
                computed(None, None, &["c"]),
                computed(Some("s"), Some(DType::String), &[]),
                computed(Some("i"), Some(DType::Int32), &[]),
                computed(Some("l"), Some(DType::Int64), &[]),
            ]
        );
        assert_eq!(s.conditions, ["q", "w"]);
        let s = parse("SELECT CASE WHEN a > 0 THEN b ELSE c END AS k FROM __THIS__;").unwrap();
        assert_eq!(s.items, [computed(Some("k"), None, &["a", "b", "c"])]);
    }

    #[test]
    fn what_is_more_is_not_guessed() {
        for s in [
            "",
            "SELECT",
            "SELECT FROM __THIS__",
            "SELECT a FROM other",
            "SELECT a, count(*) FROM __THIS__ GROUP BY a",
            "SELECT a FROM __THIS__ JOIN b ON 1 = 1",
            "SELECT (SELECT 1) FROM __THIS__",
            "SELECT DISTINCT a FROM __THIS__",
            "SELECT a FROM __THIS__ -- b",
            "SELECT transform(a, x -> x + 1) t FROM __THIS__",
            "SELECT `a FROM __THIS__",
            "SELECT a) FROM __THIS__",
            "SELECT filter(a, x -> x) t FROM __THIS__",
        ] {
            assert_eq!(parse(s), None, "{s}");
        }
    }
}
