//! The list of columns in `SELECT … FROM __THIS__ …`, as far as it is certain.
//!
//! It is not a parser of SQL: what is not one of a few plain forms has a name if it says one, and no
//! type. A statement with joins, unions or functions of functions is not understood at all.
//! Nested selections are a list of them, the innermost first.

mod tokens;
mod types;

use std::collections::BTreeSet;

use crate::model::contract::DType;
use tokens::{Token, tokens};

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

impl Item {
    /// Its name in the result, where it has one of its own.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::All => None,
            Self::Column { name, .. } => Some(name),
            Self::Computed { name, .. } => name.as_deref(),
        }
    }
}

/// A selection that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Select {
    /// The columns of the result.
    pub items: Vec<Item>,
    /// Columns that conditions, groups and orders read.
    pub conditions: Vec<String>,
}

/// How deep selections may nest.
const MAX_NESTING: usize = 16;
/// Words after which a statement is more than a list of columns of one table.
const BEYOND: &[&str] = &[
    "join",
    "union",
    "intersect",
    "except",
    "minus",
    "lateral",
    "window",
    "with",
    "select",
    "pivot",
    "unpivot",
    "tablesample",
    "qualify",
    "cluster",
    "distribute",
    "grouping",
    "cube",
    "rollup",
    "offset",
    "values",
];
/// Functions that give several columns or rows, or take names that are no columns.
const BEYOND_FUNCTIONS: &[&str] = &[
    "explode",
    "explode_outer",
    "exists",
    "extract",
    "inline",
    "inline_outer",
    "json_tuple",
    "posexplode",
    "posexplode_outer",
    "stack",
    "transform",
];
/// Functions that may have words of their own between what they take.
const WORDY_FUNCTIONS: &[&str] = &[
    "date_add",
    "date_diff",
    "dateadd",
    "datediff",
    "overlay",
    "position",
    "timestampadd",
    "timestampdiff",
    "trim",
];
/// Units of time that some functions take as if they were names.
const UNITS: &[&str] = &[
    "microsecond",
    "millisecond",
    "second",
    "minute",
    "hour",
    "day",
    "dayofyear",
    "week",
    "month",
    "quarter",
    "year",
];
/// Words of expressions that no column is called by, where they stand between its parts.
const BETWEEN: &[&str] =
    &["and", "or", "not", "is", "in", "between", "like", "rlike", "ilike", "case", "when", "then", "else"];
/// Words of expressions that are no columns.
const WORDS: &[&str] = &[
    "null",
    "end",
    "as",
    "true",
    "false",
    "cast",
    "try_cast",
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
/// Words in what stands behind `OVER`.
const FRAME: &[&str] = &[
    "partition",
    "order",
    "by",
    "rows",
    "range",
    "between",
    "unbounded",
    "preceding",
    "following",
    "current",
    "row",
    "sort",
    "distribute",
];

fn one_of(word: &str, list: &[&str]) -> bool {
    list.iter().any(|l| word.eq_ignore_ascii_case(l))
}

fn is_keyword(word: &str) -> bool {
    one_of(word, BETWEEN) || one_of(word, WORDS)
}

/// Reads a statement; `None` where it is not understood.
pub(super) fn parse(statement: &str) -> Option<Vec<Select>> {
    let mut tokens = tokens(statement)?;
    if tokens.last() == Some(&Token::Sign(';')) {
        tokens.pop();
    }
    let mut all = Vec::new();
    selection(&tokens, 0, &mut all)?;
    Some(all)
}

fn selection(tokens: &[Token], depth: usize, all: &mut Vec<Select>) -> Option<()> {
    let (first, rest) = tokens.split_first()?;
    if !first.is("select") || depth > MAX_NESTING {
        return None;
    }
    let from = from_clause(rest)?;
    let (list, rest) = (&rest[..from], &rest[from + 1..]);
    let list = match list.split_first()? {
        (distinct, list)
            if distinct.is("distinct") && !matches!(list.first(), None | Some(Token::Sign(','))) =>
        {
            list
        }
        _ => list,
    };
    let mut rest = match rest.split_first()? {
        (Token::Word(table), rest) if table.eq_ignore_ascii_case("__THIS__") => rest,
        (Token::Sign('('), inside) => {
            let end = closing(inside)?;
            selection(&inside[..end], depth + 1, all)?;
            &inside[end + 1..]
        }
        _ => return None,
    };
    const CLAUSES: &[&str] = &["where", "group", "having", "order", "sort", "limit"];
    let named =
        |t: &Token| matches!(t, Token::Word(w) if !one_of(w, CLAUSES) && !one_of(w, BEYOND) && !t.is("as"));
    let mut table = "__THIS__";
    match rest {
        [word, name @ Token::Word(t), after @ ..] if word.is("as") && named(name) => {
            (table, rest) = (t, after);
        }
        [name @ Token::Word(t), after @ ..] if named(name) => (table, rest) = (t, after),
        _ => {}
    }
    let list = without_table(list, table)?;
    let beyond = |t: &Token| matches!(t, Token::Word(w) if one_of(w, BEYOND));
    if rest.iter().any(beyond) || list.iter().any(|t| t.is("select")) {
        return None;
    }
    let mut items = Vec::new();
    for part in parts(&list)? {
        items.push(item(part)?);
    }
    let conditions = clauses(&without_table(rest, table)?, &items)?;
    all.push(Select { items, conditions });
    Some(())
}

/// The columns of what stands behind the table. Groups and orders may mean columns of the result.
fn clauses(rest: &[Token], items: &[Item]) -> Option<Vec<String>> {
    let of_result: BTreeSet<String> = items.iter().filter_map(Item::name).map(str::to_lowercase).collect();
    let mut conditions = Vec::new();
    let mut rest = rest;
    while let Some((clause, after)) = rest.split_first() {
        let begins =
            |t: &Token| ["where", "group", "having", "order", "sort", "limit"].iter().any(|c| t.is(c));
        let end = top(after, begins).unwrap_or(after.len());
        let mut inside = &after[..end];
        rest = &after[end..];
        match clause {
            c if c.is("where") || c.is("having") || c.is("limit") => {}
            c if c.is("group") || c.is("order") || c.is("sort") => {
                inside = inside.split_first().filter(|(by, _)| by.is("by"))?.1;
            }
            _ => return None,
        }
        if inside.is_empty() || clause.is("group") && items.contains(&Item::All) {
            return None;
        }
        for name in reads(inside)? {
            if clause.is("where") || !of_result.contains(&name.to_lowercase()) {
                conditions.push(name);
            }
        }
    }
    Some(conditions)
}

/// Where the `FROM` of a selection is; not the one of `IS DISTINCT FROM`.
fn from_clause(tokens: &[Token]) -> Option<usize> {
    let mut start = 0;
    loop {
        let at = start + top(&tokens[start..], |t| t.is("from"))?;
        let compared =
            at >= 2 && tokens[at - 1].is("distinct") && (tokens[at - 2].is("is") || tokens[at - 2].is("not"));
        if !compared {
            return Some(at);
        }
        start = at + 1;
    }
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

/// Where the parenthesis is closed that was opened before these.
fn closing(tokens: &[Token]) -> Option<usize> {
    let mut depth = 0usize;
    for (i, t) in tokens.iter().enumerate() {
        match t {
            Token::Sign('(') => depth += 1,
            Token::Sign(')') if depth == 0 => return Some(i),
            Token::Sign(')') => depth -= 1,
            _ => {}
        }
    }
    None
}

/// What stands between commas.
fn parts(list: &[Token]) -> Option<Vec<&[Token]>> {
    let mut all = Vec::new();
    let mut rest = list;
    loop {
        let end = top(rest, |t| *t == Token::Sign(',')).unwrap_or(rest.len());
        all.push(rest.get(..end).filter(|p| !p.is_empty())?);
        match rest.get(end + 1..) {
            Some(after) => rest = after,
            None => return Some(all),
        }
    }
}

/// `__THIS__.x` is `x`, and so with the table's other name. All of another table is not understood.
fn without_table(tokens: &[Token], table: &str) -> Option<Vec<Token>> {
    let mut out: Vec<Token> = Vec::new();
    let mut rest = tokens;
    while let Some((t, after)) = rest.split_first() {
        let inside = out.last() == Some(&Token::Sign('.'));
        rest = match (t, after) {
            (Token::Word(w), [Token::Sign('.'), more @ ..]) if !inside && w.eq_ignore_ascii_case(table) => {
                more
            }
            _ => {
                out.push(t.clone());
                after
            }
        };
    }
    let field_of_all = out.windows(2).any(|w| w == [Token::Sign('.'), Token::Sign('*')]);
    (!field_of_all).then_some(out)
}

fn item(tokens: &[Token]) -> Option<Item> {
    let column = |t: &[Token]| match t {
        [Token::Word(name)] if !is_keyword(name) => Some(name.clone()),
        [Token::Quoted(name)] => Some(name.clone()),
        _ => None,
    };
    if tokens == [Token::Sign('*')] {
        return Some(Item::All);
    }
    if let Some(name) = column(tokens) {
        return Some(Item::Column { from: name.clone(), name });
    }
    let (body, mut name) = alias(tokens);
    if let (Some(name), Some(from)) = (&name, column(body)) {
        return Some(Item::Column { from, name: name.clone() });
    }
    // A cast of a column keeps its name (Spark, `ResolveAliases`).
    if let ([cast, Token::Sign('('), inner, word, Token::Word(_), Token::Sign(')')], None) = (body, &name)
        && cast.is("cast")
        && word.is("as")
    {
        name = column(std::slice::from_ref(inner));
    }
    Some(Item::Computed { name, dtype: types::dtype(body), reads: reads(body)? })
}

/// The expression, and the name behind it.
fn alias(tokens: &[Token]) -> (&[Token], Option<String>) {
    match tokens {
        [body @ .., word, Token::Word(name) | Token::Quoted(name)] if word.is("as") && !body.is_empty() => {
            (body, Some(name.clone()))
        }
        [body @ .., Token::Quoted(name)] if ends_expression(body) => (body, Some(name.clone())),
        [body @ .., Token::Word(name)] if ends_expression(body) && !is_keyword(name) => {
            (body, Some(name.clone()))
        }
        all => (all, None),
    }
}

fn ends_expression(tokens: &[Token]) -> bool {
    match tokens.last() {
        Some(Token::Word(w)) => !one_of(w, BETWEEN) && !one_of(w, &["as", "div"]),
        Some(Token::Quoted(_) | Token::Text | Token::Whole | Token::Other(_) | Token::Sign(')' | ']')) => {
            true
        }
        _ => false,
    }
}

/// The columns in an expression; `None` where that is not certain.
fn reads(tokens: &[Token]) -> Option<Vec<String>> {
    let mut found: Vec<String> = Vec::new();
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut cast_types = false;
    // Up to where the parentheses behind `OVER` reach.
    let mut frame = 0;
    for (i, t) in tokens.iter().enumerate() {
        let next = tokens.get(i + 1);
        let before = i.checked_sub(1).and_then(|i| tokens.get(i));
        let opens = next == Some(&Token::Sign('('));
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
            Token::Word(_) if cast_types => continue,
            Token::Word(w) if w.eq_ignore_ascii_case("over") && before == Some(&Token::Sign(')')) => {
                frame = i + 2 + closing(tokens.get(i + 2..).filter(|_| opens)?)?;
                continue;
            }
            Token::Word(w) if i < frame && one_of(w, FRAME) => continue,
            Token::Word(w) if opens && one_of(w, BEYOND_FUNCTIONS) => return None,
            Token::Word(w) if opens && one_of(w, WORDY_FUNCTIONS) => {
                let inside = &tokens[i + 2..];
                let inside = &inside[..closing(inside)?];
                let unit = matches!(inside, [Token::Word(u), Token::Sign(','), ..] if one_of(u, UNITS));
                if unit || inside.iter().any(|t| t.is("from") || t.is("in") || t.is("both")) {
                    return None;
                }
                continue;
            }
            Token::Word(w) if opens || is_keyword(w) => continue,
            Token::Word(w)
                if w.eq_ignore_ascii_case("distinct")
                    && (before == Some(&Token::Sign('(')) || next.is_some_and(|t| t.is("from"))) =>
            {
                continue;
            }
            Token::Word(w) if w.eq_ignore_ascii_case("from") && before.is_some_and(|t| t.is("distinct")) => {
                continue;
            }
            Token::Word(w)
                if w.eq_ignore_ascii_case("where")
                    && before == Some(&Token::Sign('('))
                    && i.checked_sub(2).is_some_and(|i| tokens[i].is("filter")) =>
            {
                continue;
            }
            // A date or a span of time.
            Token::Word(w) if next == Some(&Token::Text) && one_of(w, &["date", "timestamp"]) => continue,
            Token::Word(w) if one_of(w, &["from", "within", "interval", "where", "order", "placing"]) => {
                return None;
            }
            Token::Word(_) if matches!(next, Some(Token::Text | Token::Whole | Token::Other(_))) => {
                return None;
            }
            Token::Word(w) | Token::Quoted(w) => w,
            Token::Sign('{' | '}' | '?' | ':' | '@' | '$' | '#' | '\\' | '~') => return None,
            // A function of a function: names of its parameters are no columns; nor is an argument's.
            Token::Sign('>') if before == Some(&Token::Sign('-')) => return None,
            Token::Sign('>')
                if before == Some(&Token::Sign('='))
                    && i.checked_sub(2).is_none_or(|i| tokens[i] != Token::Sign('<')) =>
            {
                return None;
            }
            _ => continue,
        };
        // A field of a structure is a part of the column before the dot.
        if before != Some(&Token::Sign('.')) && seen.insert(name) {
            found.push(name.clone());
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests;
