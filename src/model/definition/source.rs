//! The text of a file that somebody wrote by hand, and how an error points into it.
//!
//! It is not a parser. A position is a byte offset while reading and a [`Place`] (line and column,
//! as editors count) once it is shown or kept.
//!
//! Invariant: whatever the text holds, an excerpt is plain printable lines: no colours, no control
//! characters of the file's own.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::Serialize;

use crate::error::{Error, Kind, show_bytes};

/// Excerpts are no wider than this; longer lines are cut around the place.
const EXCERPT_WIDTH: usize = 100;
/// The most bytes of one line that are handed to the renderer.
const MAX_LINE: usize = 4096;

/// A line and a column in a file, both from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl Place {
    /// The place of what was given as a flag instead.
    pub const COMMAND_LINE: Self = Self { line: 0, column: 0 };
}

/// A value and where the author wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Placed<T> {
    /// The value.
    pub value: T,
    /// Where it stands in the definition.
    pub place: Place,
}

/// A text with its name.
pub(super) struct Source<'a> {
    name: &'a str,
    text: &'a str,
}

impl<'a> Source<'a> {
    pub(super) fn new(name: &'a str, text: &'a str) -> Self {
        Self { name, text }
    }

    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    /// The place of a byte offset; past the end it is the end.
    pub(super) fn place(&self, offset: usize) -> Place {
        let before = self.text.get(..self.floor(offset)).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Place {
            line: before.bytes().filter(|b| *b == b'\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    /// The byte offset of a line and a column, both from 1; past the end it is the end.
    pub(super) fn offset(&self, line: u64, column: u64) -> usize {
        let number = |n: u64| usize::try_from(n.saturating_sub(1)).unwrap_or(usize::MAX);
        let start = match number(line) {
            0 => 0,
            n => self.text.match_indices('\n').nth(n - 1).map_or(self.text.len(), |(at, _)| at + 1),
        };
        let rest = self.text[start..].split('\n').next().unwrap_or("");
        start + rest.char_indices().nth(number(column)).map_or(rest.len(), |(at, _)| at)
    }

    /// A value with the place of a byte offset.
    pub(super) fn placed<T>(&self, value: T, offset: usize) -> Placed<T> {
        Placed { value, place: self.place(offset) }
    }

    /// `NAME:LINE:COLUMN`, as compilers write it.
    pub(super) fn position(&self, offset: usize) -> String {
        let Place { line, column } = self.place(offset);
        format!("{}:{line}:{column}", show_bytes(self.name.as_bytes()))
    }

    /// An error of the definition at a span of bytes, with an excerpt.
    pub(super) fn error(&self, span: &Range<usize>, message: impl std::fmt::Display) -> Error {
        let e = Error::new(Kind::Model, format!("{}: {message}", self.position(span.start)));
        match self.excerpt(span) {
            Some(excerpt) => e.snippet(excerpt),
            None => e,
        }
    }

    /// An error of the definition as a whole.
    pub(super) fn whole(&self, message: impl std::fmt::Display) -> Error {
        Error::new(Kind::Model, format!("{}: {message}", show_bytes(self.name.as_bytes())))
    }

    /// The line of a span with the span marked; a span over several lines is marked on its first.
    fn excerpt(&self, span: &Range<usize>) -> Option<String> {
        let start = self.floor(span.start);
        let line_start = self.text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line = self.text[line_start..].lines().next()?;
        if line.trim().is_empty() || line.len() > MAX_LINE {
            return None;
        }
        let from = (start - line_start).min(line.len());
        // At least one character is marked, unless the line ends before it.
        let one = line[from..].chars().next().map_or(0, char::len_utf8);
        let to = self.floor(span.end).saturating_sub(line_start).min(line.trim_end().len()).max(from + one);
        let snippet = Snippet::source(line)
            .line_start(self.place(start).line)
            .annotation(AnnotationKind::Primary.span(from..to));
        let report = [Group::with_level(Level::ERROR).element(snippet)];
        let drawn = Renderer::plain().term_width(EXCERPT_WIDTH).render(&report);
        let lines: Vec<String> =
            drawn.lines().map(|l| show_bytes(l.trim_end().as_bytes())).filter(|l| l.trim() != "|").collect();
        Some(lines.join("\n"))
    }

    /// The nearest character boundary at or before an offset.
    fn floor(&self, offset: usize) -> usize {
        let mut at = offset.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_place_and_shows_the_line() {
        let s = Source::new("serving.yaml", "kind: Model\nnäme: x\n");
        let e = s.error(&(12..17), "unknown key");
        assert_eq!(e.message(), "serving.yaml:2:1: unknown key");
        assert_eq!(e.snippet_text(), Some("2 | näme: x\n  | ^^^^"));
        assert_eq!(s.place(19), Place { line: 2, column: 7 });
        assert_eq!((s.offset(2, 1), s.offset(2, 3), s.offset(9, 9)), (12, 15, 21));
        assert_eq!(s.place(9999), Place { line: 3, column: 1 });
    }

    #[test]
    fn c20_excerpts_hold_no_control_characters() {
        let s = Source::new("a\x1b[31mb", "name: \x1b[31mred\u{7}\u{202e}\n");
        let e = s.error(&(6..9), "odd");
        assert!(!e.message().contains('\x1b'), "{e}");
        assert!(!e.snippet_text().unwrap().chars().any(|c| c.is_control() && c != '\n'));
    }

    #[test]
    fn long_lines_and_odd_spans_do_no_harm() {
        let long = "x".repeat(3000);
        let s = Source::new("f", &long);
        assert!(
            s.error(&(1500..1503), "here").snippet_text().unwrap().lines().all(|l| l.chars().count() <= 110)
        );
        let s = Source::new("f", "é");
        for span in [0..0, 1..1, 1..2, Range { start: 2, end: 1 }, 5..9, 0..99] {
            assert!(s.error(&span, "x").message().starts_with("f:1:"), "{span:?}");
        }
        assert_eq!(Source::new("f", "").error(&(0..0), "x").snippet_text(), None);
    }
}
