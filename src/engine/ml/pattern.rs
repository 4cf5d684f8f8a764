//! Patterns: regular expressions of operators, which ONNX writes in the syntax of RE2.
//!
//! It is the `regex` crate, whose syntax is RE2's but for two things that are rewritten here:
//! RE2's classes `\d`, `\s`, `\w` and the boundary `\b` know ASCII alone, and in its brackets `[`
//! and `&` are ordinary characters. Invariant: a search takes time linear in the text, and a pattern
//! whose program is large is refused.

use regex::Regex;
use regex::RegexBuilder;
use tract_onnx::tract_hir::internal::*;

use super::attributes::Attributes;

/// Largest compiled program, in bytes.
const MAX_PROGRAM: usize = 4 << 20;

/// Compiles the pattern of an attribute, `whole` where it must match a text from end to end.
///
/// # Errors
///
/// When it is no pattern, or too large a one.
pub(super) fn compile(attributes: &Attributes, name: &str, re2: &str, whole: bool) -> TractResult<Regex> {
    let pattern = rewrite(re2);
    let pattern = if whole { format!("\\A(?:{pattern})\\z") } else { pattern };
    RegexBuilder::new(&pattern).size_limit(MAX_PROGRAM).build().map_err(|_| {
        let found = crate::error::show_bytes(re2.as_bytes());
        attributes.wrong(name, format_args!("expected a pattern in the syntax of RE2, found `{found}`"))
    })
}

fn rewrite(re2: &str) -> String {
    let mut out = String::with_capacity(re2.len());
    let mut in_class = false;
    let mut rest = re2.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' => match rest.next() {
                Some('d') => out.push_str("[0-9]"),
                Some('D') => out.push_str("[^0-9]"),
                Some('s') => out.push_str("[\\t\\n\\f\\r ]"),
                Some('S') => out.push_str("[^\\t\\n\\f\\r ]"),
                Some('w') => out.push_str("[0-9A-Za-z_]"),
                Some('W') => out.push_str("[^0-9A-Za-z_]"),
                Some('b') if !in_class => out.push_str("(?-u:\\b)"),
                Some('B') if !in_class => out.push_str("(?-u:\\B)"),
                other => {
                    out.push('\\');
                    out.extend(other);
                }
            },
            '[' if !in_class => {
                in_class = true;
                out.push('[');
                if rest.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                // A bracket that closes right away is one of the characters.
                if rest.next_if_eq(&']').is_some() {
                    out.push_str("\\]");
                }
            }
            // `[:alpha:]` stays as it is.
            '[' if rest.peek() == Some(&':') => {
                out.push('[');
                for c in rest.by_ref() {
                    out.push(c);
                    if c == ']' {
                        break;
                    }
                }
            }
            '[' | '&' | '~' if in_class => {
                out.push('\\');
                out.push(c);
            }
            ']' => {
                in_class = false;
                out.push(']');
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ml::testing::node;

    fn compiled(pattern: &str, whole: bool) -> TractResult<Regex> {
        let node = node("RegexFullMatch", 1);
        compile(&Attributes::new(&node.0), "pattern", pattern, whole)
    }

    #[test]
    fn classes_know_ascii_alone() {
        let word = compiled(r"\w+", true).unwrap();
        assert!(word.is_match("a_9") && !word.is_match("ü") && !word.is_match("a b"));
        assert!(compiled(r"[^\d]+", true).unwrap().is_match("ü٣"));
        let found: Vec<_> =
            compiled(r"\bc\w*", false).unwrap().find_iter("cat üc c").map(|m| m.start()).collect();
        assert_eq!(found, [0, 6, 8]);
    }

    #[test]
    fn brackets_are_those_of_re2() {
        let all = compiled(r"[[&~]+", true).unwrap();
        assert!(all.is_match("[&~") && !all.is_match("]"));
        assert!(compiled(r"[]a]+", true).unwrap().is_match("]a"));
        assert!(compiled(r"[[:alpha:]-]+", true).unwrap().is_match("a-b"));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        let found = compiled("(a", false).unwrap_err().to_string();
        assert!(
            found.contains("attribute `pattern`: expected a pattern") && found.contains("`(a`"),
            "{found}"
        );
        assert!(compiled(r"((a{100}){100}){100}", false).is_err());
        assert!(compiled("\\", false).is_err());
        assert!(compiled("[", false).is_err());
    }
}
