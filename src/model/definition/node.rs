//! YAML as a tree of nodes that know their place.
//!
//! A [`Node`] is the spanned wire form that the readers of every generation share: the file is
//! parsed once, before anybody knows which generation it is. It is not a value with a type:
//! `3.10` keeps its two characters after the dot, because what the author meant is known only to
//! the reader of the key.
//!
//! Invariants: no map has a key twice; the depth and the number of nodes are bounded, aliases
//! expanded.

use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::DuplicateKeyPolicy;
use serde_saphyr::{Error as YamlError, Location, Spanned};

use super::source::Source;
use crate::error::{Error, Result, show_bytes};

/// The largest definition, in bytes; the largest known has 8 KiB.
pub(super) const MAX_BYTES: usize = 1 << 20;
/// The most documents in one file.
const MAX_DOCUMENTS: usize = 256;
/// The deepest nesting.
const MAX_DEPTH: usize = 48;
/// The most nodes in all documents, and the most that aliases may add to them.
const MAX_NODES: usize = 100_000;

/// A value and its span in bytes.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) span: Range<usize>,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Null,
    Text(String),
    /// A number, as written.
    Number(String),
    /// A truth value, as written.
    Bool(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A key of a map, and its span in bytes.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) text: String,
    pub(super) span: Range<usize>,
}

impl Node {
    /// What it is, for "expected … , found …".
    pub(super) fn what(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Text(_) => "text",
            Value::Number(_) => "a number",
            Value::Bool(_) => "a truth value",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// A scalar as the author wrote it.
    pub(super) fn scalar(&self) -> Option<&str> {
        match &self.value {
            Value::Text(s) | Value::Number(s) | Value::Bool(s) => Some(s),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }

    pub(super) fn map(&self) -> Option<&[(Key, Self)]> {
        if let Value::Map(m) = &self.value { Some(m) } else { None }
    }

    /// The value of a key, where it is a map that has it.
    pub(super) fn member(&self, key: &str) -> Option<&Self> {
        self.map()?.iter().find(|(k, _)| k.text == key).map(|(_, v)| v)
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }
}

/// Reads every document of a file; documents with nothing in them are left out.
pub(super) fn parse(source: &Source<'_>) -> Result<Vec<Node>> {
    let text = source.text();
    if text.len() > MAX_BYTES {
        return Err(
            source.whole(format_args!("has {} bytes, a definition has at most {MAX_BYTES}", text.len()))
        );
    }
    let mut options = serde_saphyr::Options::default();
    options.duplicate_keys = DuplicateKeyPolicy::Error;
    options.strict_booleans = true;
    options.with_snippet = false;
    options.non_finite_float_policy = serde_saphyr::NonFiniteFloatPolicy::PassThrough;
    options.alias_limits.max_total_replayed_events = MAX_NODES;
    if let Some(budget) = &mut options.budget {
        budget.max_documents = MAX_DOCUMENTS;
        budget.max_depth = MAX_DEPTH;
        budget.max_nodes = MAX_NODES;
        budget.max_total_scalar_bytes = 4 * MAX_BYTES;
    }
    let documents: Vec<Spanned<Raw>> =
        serde_saphyr::from_multiple_with_options(text, options).map_err(|e| explain(source, &e))?;
    documents.into_iter().map(|d| settle(d, source)).collect()
}

/// A node before the text of its numbers is taken from the file.
enum Raw {
    Null,
    Text(String),
    Number(String),
    Bool(bool),
    List(Vec<Spanned<Self>>),
    Map(Vec<(Spanned<Self>, Spanned<Self>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        d.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> std::result::Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, b: bool) -> std::result::Result<Raw, E> {
        Ok(Raw::Bool(b))
    }

    fn visit_i64<E>(self, n: i64) -> std::result::Result<Raw, E> {
        Ok(Raw::Number(n.to_string()))
    }

    fn visit_u64<E>(self, n: u64) -> std::result::Result<Raw, E> {
        Ok(Raw::Number(n.to_string()))
    }

    fn visit_i128<E>(self, n: i128) -> std::result::Result<Raw, E> {
        Ok(Raw::Number(n.to_string()))
    }

    fn visit_u128<E>(self, n: u128) -> std::result::Result<Raw, E> {
        Ok(Raw::Number(n.to_string()))
    }

    fn visit_f64<E>(self, n: f64) -> std::result::Result<Raw, E> {
        Ok(Raw::Number(n.to_string()))
    }

    fn visit_str<E>(self, s: &str) -> std::result::Result<Raw, E> {
        Ok(Raw::Text(s.to_owned()))
    }

    fn visit_string<E>(self, s: String) -> std::result::Result<Raw, E> {
        Ok(Raw::Text(s))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = seq.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}

/// Depth is bounded by the parser's budget, so recursion is.
fn settle(raw: Spanned<Raw>, source: &Source<'_>) -> Result<Node> {
    let span = span_of(&raw.defined);
    // Numbers keep their spelling: `1.10` is not `1.1` to whoever wrote a version.
    let spelled = |fallback: String| {
        let slice = source.text().get(span.clone()).map(str::trim).filter(|s| !s.is_empty());
        slice.map_or(fallback, str::to_owned)
    };
    let value = match raw.value {
        Raw::Null => Value::Null,
        Raw::Text(s) => Value::Text(s),
        Raw::Number(n) => Value::Number(spelled(n)),
        Raw::Bool(b) => Value::Bool(spelled(b.to_string())),
        Raw::List(items) => Value::List(items.into_iter().map(|i| settle(i, source)).collect::<Result<_>>()?),
        Raw::Map(entries) => {
            let mut map = Vec::with_capacity(entries.len());
            for (key, value) in entries {
                let key = settle(key, source)?;
                let Some(text) = key.scalar() else {
                    return Err(source.error(&key.span, format_args!("a key is text, found {}", key.what())));
                };
                map.push((Key { text: text.to_owned(), span: key.span.clone() }, settle(value, source)?));
            }
            Value::Map(map)
        }
    };
    Ok(Node { value, span })
}

fn span_of(location: &Location) -> Range<usize> {
    let span = location.span();
    let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let start = span.byte_offset().map_or(0, number);
    start..start.saturating_add(span.byte_len().map_or(0, number))
}

/// Says what is wrong with the YAML in our words, where we have some.
fn explain(source: &Source<'_>, e: &YamlError) -> Error {
    let e = e.without_snippet();
    // Where the scanner gives up it knows line and column only.
    let span = e.location().map_or(0..0, |l| match l.span().byte_offset() {
        Some(_) => span_of(&l),
        None => {
            let at = source.offset(l.line(), l.column());
            at..at
        }
    });
    let at = |message: &str| source.error(&span, message);
    match e {
        YamlError::AliasError { error, .. } => explain(source, error),
        YamlError::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().map_or_else(String::new, |k| format!(" `{}`", show_bytes(k.as_bytes())));
            at(&format!("the key{key} stands twice in one map")).hint("remove one of the two")
        }
        YamlError::UnknownAnchor { .. } => at("an alias (`*name`) to an anchor (`&name`) that there is not")
            .hint("put text that begins with `*` in quotes"),
        YamlError::AliasReplayLimitExceeded { .. }
        | YamlError::AliasExpansionLimitExceeded { .. }
        | YamlError::AliasReplayStackDepthExceeded { .. } => {
            at(&format!("aliases (`*name`) expand to more than {MAX_NODES} values"))
                .hint("write the values out")
        }
        YamlError::RecursiveReferencesRequireWeakTypes { .. } => {
            at("an anchor (`&name`) that holds an alias (`*name`) of itself").hint("write the values out")
        }
        YamlError::Budget { .. } => at(&format!(
            "the definition is too large: at most {MAX_NODES} values, {MAX_DEPTH} levels and {MAX_DOCUMENTS} documents are read"
        )),
        other => {
            let tab = source.text().get(..span.start).is_some_and(|before| {
                let line = before.rsplit('\n').next().unwrap_or(before);
                let after = source.text().get(span.start..).unwrap_or("");
                let rest = after.split('\n').next().unwrap_or("");
                let indent = line.len() - line.trim_start().len();
                line[..indent].contains('\t') || line.trim().is_empty() && rest.starts_with('\t')
            });
            let error = at(&format!("malformed YAML: {}", words(other)));
            if tab {
                error.hint("YAML is indented with spaces, never with tabs")
            } else {
                error.hint("check the indentation, the quotes and the brackets here and on the line before")
            }
        }
    }
}

/// The parser's own message, without the position that we show ourselves.
fn words(e: &YamlError) -> String {
    let text = match e {
        YamlError::Message { msg, .. } | YamlError::ExternalMessage { msg, .. } => msg.clone(),
        YamlError::Eof { .. } => "the file ends too early".to_owned(),
        other => other.to_string(),
    };
    show_bytes(text.lines().next().unwrap_or_default().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Node {
        parse(&Source::new("f", text)).unwrap().remove(0)
    }

    fn fails(text: &str) -> (String, String) {
        let e = parse(&Source::new("f", text)).unwrap_err();
        (e.to_string(), e.snippet_text().unwrap_or("-").to_owned())
    }

    #[test]
    fn scalars_keep_their_spelling_and_their_place() {
        let n = one("a: 3.10\nb: 'x y'\nc: 0x10\nd: no\ne: True\nf: ~\ng: 1497440372794\nh: .nan\n1: x\n");
        let all: Vec<String> = n
            .map()
            .unwrap()
            .iter()
            .map(|(k, v)| format!("{} {}={}@{}", v.what(), k.text, v.scalar().unwrap_or("-"), v.span.start))
            .collect();
        assert_eq!(
            all,
            [
                "a number a=3.10@3",
                "text b=x y@11",
                "a number c=0x10@20",
                "text d=no@28",
                "a truth value e=True@34",
                "nothing f=-@42",
                "a number g=1497440372794@47",
                "a number h=.nan@64",
                "text 1=x@72",
            ]
        );
    }

    #[test]
    fn documents_anchors_and_merges_are_read() {
        let text = "---\na: &x {k: 1}\n---\n---\nb: 2\n...\n";
        assert_eq!(parse(&Source::new("f", text)).unwrap().len(), 2);
        let n = one("a: &x {k: 1}\nb: *x\nc:\n  <<: *x\n  l: 2\n");
        assert_eq!(n.member("b").unwrap().member("k").unwrap().scalar(), Some("1"));
        assert_eq!(n.member("c").unwrap().map().unwrap().len(), 2);
        assert!(parse(&Source::new("f", "# nothing\n")).unwrap().is_empty());
    }

    #[test]
    fn malformed_yaml_is_shown_where_it_is() {
        for (text, message, excerpt) in [
            ("a: 1\na: 2\n", "f:2:1: the key `a` stands twice in one map", "2 | a: 2\n  | ^"),
            ("x:\n  a: 1\n  a: 2\n", "f:3:3: the key `a` stands twice in one map", "3 |   a: 2\n  |   ^"),
            ("a: [1\n", "f:1:4: malformed YAML: unclosed bracket '['", "1 | a: [1\n  |    ^"),
            (
                "a: b: c\n",
                "f:1:5: malformed YAML: mapping values are not allowed in this context",
                "1 | a: b: c\n  |     ^",
            ),
            ("? [a]\n: 1\n", "f:1:3: a key is text, found a list", "1 | ? [a]\n  |   ^"),
            (
                "a: *x\n",
                "f:1:4: an alias (`*name`) to an anchor (`&name`) that there is not",
                "1 | a: *x\n  |    ^",
            ),
        ] {
            assert_eq!(fails(text), (message.to_owned(), excerpt.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn tabs_are_told_for_what_they_are() {
        let e = parse(&Source::new("f", "a:\n\tb: 1\n")).unwrap_err();
        assert!(e.message().starts_with("f:2:"), "{e}");
        assert_eq!(e.hint_text(), Some("YAML is indented with spaces, never with tabs"));
    }

    #[test]
    fn bombs_end_early() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..12 {
            let before = vec![format!("*a{}", n - 1); 10].join(", ");
            bomb += &["a", &n.to_string(), ": &a", &n.to_string(), " [", &before, "]\n"].concat();
        }
        assert!(fails(&bomb).0.contains("100000 values"), "{:?}", fails(&bomb));
        assert!(parse(&Source::new("f", &"[".repeat(5000))).is_err());
        assert!(fails(&format!("{}1{}", "[".repeat(60), "]".repeat(60))).0.contains("too large"));
        assert!(fails(&"- a\n".repeat(MAX_NODES + 1)).0.contains("too large"));
        assert!(fails(&"a: 1\n---\n".repeat(MAX_DOCUMENTS + 2)).0.contains("too large"));
        assert!(fails(&" ".repeat(MAX_BYTES + 1)).0.contains("at most"));
        assert!(fails("a: &a [*a]\n").0.contains("of itself"));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[-a-z0-9:\\[\\]{}&*!|>'\"%@#,?~\\t\\n \u{e9}\u{1b}]{0,80}") {
            let _ = parse(&Source::new("f", &text));
        }
    }
}
