//! The definitions of a module from its logical lines.
//!
//! It knows statements only as far as they bind names. Expressions are skipped by their brackets.

use std::collections::BTreeSet;

use super::token::{self, Kind, Line, Token};
use super::{Function, Import, Module, Parameter, ParameterKind, Problem};

/// The longest annotation or decorator that is kept, in bytes.
const MAX_TEXT: usize = 400;
/// The most functions, imports and names that are kept.
const MAX_KEPT: usize = 20_000;
/// Words with which running code makes names, or may.
const MAKERS: &[&str] = &[
    "exec",
    "execfile",
    "globals",
    "locals",
    "vars",
    "setattr",
    "__dict__",
    "modules",
    "global",
    "__getattr__",
];

/// Reads what a module defines.
pub fn parse(text: &str) -> Result<Module, Problem> {
    let lines = token::lines(text)?;
    Parser { text, lines: &lines, module: Module::default() }.run()
}

struct Parser<'t> {
    text: &'t str,
    lines: &'t [Line],
    module: Module,
}

/// Brackets and lambdas around a token.
#[derive(Default)]
struct Nesting {
    /// Whether each is a lambda.
    open: Vec<bool>,
}

impl Nesting {
    /// Steps over a token, and says whether it is in none of them.
    fn step(&mut self, kind: Kind, word: &str) -> bool {
        let outside = self.open.is_empty();
        match (kind, word) {
            (Kind::Op, "(" | "[" | "{") => self.open.push(false),
            (Kind::Op, ")" | "]" | "}") => while self.open.pop() == Some(true) {},
            (Kind::Name, "lambda") => self.open.push(true),
            (Kind::Op, ":") if self.open.last() == Some(&true) => drop(self.open.pop()),
            _ => {}
        }
        outside
    }
}

impl<'t> Parser<'t> {
    fn run(mut self) -> Result<Module, Problem> {
        // The depth from which on lines belong to a function or class.
        let mut inside: Option<usize> = None;
        let mut decorators: Vec<String> = Vec::new();
        for (at, line) in self.lines.iter().enumerate() {
            for statement in self.statements(&line.tokens) {
                self.imports(statement, line.number, inside.is_none_or(|d| line.depth <= d));
            }
            self.module.open |=
                line.tokens.iter().any(|t| t.kind == Kind::Name && MAKERS.contains(&self.word(t)));
            match inside {
                Some(depth) if line.depth > depth => continue,
                _ => inside = None,
            }
            let tokens = &line.tokens[..];
            if self.is(tokens, 0, "@") {
                decorators.push(self.slice(&tokens[1..]).unwrap_or_default());
                continue;
            }
            let is_async = self.is(tokens, 0, "async") && self.is(tokens, 1, "def");
            let head = &tokens[usize::from(is_async)..];
            if self.is(head, 0, "def") {
                inside = Some(line.depth);
                let mut f = self.function(at, head, is_async)?;
                f.decorators = std::mem::take(&mut decorators);
                if self.module.functions.len() < MAX_KEPT {
                    self.module.functions.push(f);
                }
            } else if self.is(head, 0, "class") && head.get(1).is_some_and(|t| t.kind == Kind::Name) {
                inside = Some(line.depth);
                let name = self.word(&head[1]).to_owned();
                self.bind(&name);
            } else {
                self.bindings(tokens);
            }
            decorators.clear();
        }
        Ok(self.module)
    }

    fn word(&self, token: &Token) -> &'t str {
        &self.text[token.span.clone()]
    }

    fn is(&self, tokens: &[Token], at: usize, word: &str) -> bool {
        tokens.get(at).is_some_and(|t| matches!(t.kind, Kind::Name | Kind::Op) && self.word(t) == word)
    }

    /// The source of some tokens, without line breaks; `None` where it is too long.
    fn slice(&self, tokens: &[Token]) -> Option<String> {
        let (first, last) = (tokens.first()?, tokens.last()?);
        let text = &self.text[first.span.start..last.span.end];
        (text.len() <= MAX_TEXT).then(|| text.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    fn bind(&mut self, name: &str) {
        if self.module.names.len() < MAX_KEPT {
            self.module.names.insert(name.to_owned());
        }
    }

    /// The simple statements of a line: between semicolons, and after the colon of a header.
    fn statements(&self, tokens: &'t [Token]) -> Vec<&'t [Token]> {
        self.parts(tokens, &[";", ":"])
    }

    /// The parts between separators that are in no brackets and no lambda.
    fn parts<'a>(&self, tokens: &'a [Token], separators: &[&str]) -> Vec<&'a [Token]> {
        let mut out = Vec::new();
        let mut start = 0;
        let mut nesting = Nesting::default();
        for (i, t) in tokens.iter().enumerate() {
            let word = self.word(t);
            if nesting.step(t.kind, word) && t.kind == Kind::Op && separators.contains(&word) {
                out.push(&tokens[start..i]);
                start = i + 1;
            }
        }
        if start < tokens.len() {
            out.push(&tokens[start..]);
        }
        out
    }

    /// The index of the first token that is this operator, in no brackets and no lambda.
    fn find(&self, tokens: &[Token], operator: &str) -> Option<usize> {
        let mut nesting = Nesting::default();
        tokens.iter().position(|t| {
            let word = self.word(t);
            nesting.step(t.kind, word) && t.kind == Kind::Op && word == operator
        })
    }

    fn imports(&mut self, tokens: &[Token], line: usize, binds: bool) {
        let mut found = Vec::new();
        if self.is(tokens, 0, "import") {
            for part in self.split(&tokens[1..]) {
                let (module, rest) = self.dotted(part);
                if let Some(alias) = rest.get(1).filter(|_| self.is(rest, 0, "as")) {
                    let alias = self.word(alias).to_owned();
                    self.bind_if(binds, &alias);
                } else {
                    let first = module.split('.').next().unwrap_or_default().to_owned();
                    self.bind_if(binds, &first);
                }
                found.push(Import { module, level: 0, line });
            }
        } else if self.is(tokens, 0, "from") {
            let dots = tokens[1..].iter().take_while(|t| self.word(t) == ".").count();
            let (module, rest) = self.dotted(&tokens[1 + dots..]);
            if !self.is(rest, 0, "import") {
                return;
            }
            let mut names = &rest[1..];
            if self.is(names, 0, "(") {
                names = &names[1..names.len().max(2) - 1];
            }
            if self.is(names, 0, "*") {
                self.module.open = true;
            }
            for part in self.split(names) {
                if let Some(bound) = part.iter().rfind(|t| t.kind == Kind::Name) {
                    let bound = self.word(bound).to_owned();
                    self.bind_if(binds, &bound);
                }
            }
            found.push(Import { module, level: dots, line });
        }
        let room = MAX_KEPT.saturating_sub(self.module.imports.len());
        self.module
            .imports
            .extend(found.into_iter().filter(|i| !i.module.is_empty() || i.level > 0).take(room));
    }

    fn bind_if(&mut self, binds: bool, name: &str) {
        if binds && !name.is_empty() {
            self.bind(name);
        }
    }

    /// The parts between commas.
    fn split<'a>(&self, tokens: &'a [Token]) -> Vec<&'a [Token]> {
        self.parts(tokens, &[","])
    }

    /// A name with dots, and what follows it.
    fn dotted<'a>(&self, tokens: &'a [Token]) -> (String, &'a [Token]) {
        let mut name = String::new();
        for (i, t) in tokens.iter().enumerate() {
            let word = self.word(t);
            let fits = if i % 2 == 0 {
                t.kind == Kind::Name && !matches!(word, "import" | "as")
            } else {
                word == "."
            };
            if !fits || name.len() > MAX_TEXT {
                return (name, &tokens[i..]);
            }
            name.push_str(word);
        }
        (name, &[])
    }

    /// Names that a statement binds, apart from imports and definitions.
    fn bindings(&mut self, tokens: &[Token]) {
        for statement in self.statements_of(tokens) {
            let last = statement.iter().rposition(|t| t.kind == Kind::Op && self.word(t) == "=").unwrap_or(0);
            let mut bound = BTreeSet::new();
            let mut in_for = false;
            for (i, t) in statement.iter().enumerate() {
                let word = self.word(t);
                match (t.kind, word) {
                    (Kind::Name, "for") => in_for = true,
                    (Kind::Name, "in") => in_for = false,
                    (Kind::Name, _) => {
                        let named = i > 0 && self.is(statement, i - 1, "as");
                        if i < last || in_for || named || self.is(statement, i + 1, ":=") {
                            bound.insert(word.to_owned());
                        }
                    }
                    _ => {}
                }
            }
            for name in bound {
                self.bind(&name);
            }
        }
    }

    /// The statements of a line, where a header and its annotations stay together.
    fn statements_of<'a>(&self, tokens: &'a [Token]) -> Vec<&'a [Token]> {
        tokens.split(|t| t.kind == Kind::Op && self.word(t) == ";").collect()
    }

    /// A function from its header at `def`.
    fn function(&self, at: usize, head: &[Token], is_async: bool) -> Result<Function, Problem> {
        let line = &self.lines[at];
        let wrong = || Problem { line: line.number, message: "a `def` that Python would not take" };
        let name = head.get(1).filter(|t| t.kind == Kind::Name).ok_or_else(wrong)?;
        // Type parameters come before the others: `def f[T](x: T)`.
        let mut rest = &head[2..];
        if self.is(rest, 0, "[") {
            rest = &rest[self.closing(rest).ok_or_else(wrong)? + 1..];
        }
        if !self.is(rest, 0, "(") {
            return Err(wrong());
        }
        let end = self.closing(rest).ok_or_else(wrong)?;
        let parameters = self.parameters(&rest[1..end], line.number)?;
        let mut rest = &rest[end + 1..];
        let mut returns = None;
        if self.is(rest, 0, "->") {
            let colon = self.find(rest, ":").ok_or_else(wrong)?;
            returns = self.slice(&rest[1..colon]);
            rest = &rest[colon..];
        }
        if !self.is(rest, 0, ":") {
            return Err(wrong());
        }
        Ok(Function {
            name: self.word(name).to_owned(),
            line: line.number,
            is_async,
            // Bodies of functions and classes are skipped, so what is around it is an `if` or the like.
            conditional: line.depth > 0,
            decorators: Vec::new(),
            parameters,
            returns,
            outputs: self.outputs(at, &rest[1..]),
        })
    }

    /// The index of the bracket that closes the first token's.
    fn closing(&self, tokens: &[Token]) -> Option<usize> {
        let mut depth = 0usize;
        for (i, t) in tokens.iter().enumerate().filter(|(_, t)| t.kind == Kind::Op) {
            match self.word(t) {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return Some(i);
                    }
                }
                _ => {}
            }
        }
        None
    }

    fn parameters(&self, tokens: &[Token], line: usize) -> Result<Vec<Parameter>, Problem> {
        let wrong = Problem { line, message: "a parameter that Python would not take" };
        let mut out: Vec<Parameter> = Vec::new();
        let mut kind = ParameterKind::Either;
        let mut only_by_place = 0;
        for part in self.split(tokens) {
            let plain = |n: usize| part.len() == n;
            if self.is(part, 0, "/") && plain(1) {
                out[only_by_place..].iter_mut().for_each(|p| p.kind = ParameterKind::Positional);
                only_by_place = out.len();
                continue;
            }
            if self.is(part, 0, "*") && plain(1) {
                kind = ParameterKind::Keyword;
                continue;
            }
            let (this, rest) = if self.is(part, 0, "**") {
                (ParameterKind::Kwargs, &part[1..])
            } else if self.is(part, 0, "*") {
                kind = ParameterKind::Keyword;
                (ParameterKind::Args, &part[1..])
            } else {
                (kind, part)
            };
            let equals = self.find(rest, "=");
            let (left, default) = (&rest[..equals.unwrap_or(rest.len())], equals.is_some());
            let (name, annotation) = match left {
                [one] if one.kind == Kind::Name => (self.word(one).to_owned(), None),
                [one, colon, ..] if one.kind == Kind::Name && self.word(colon) == ":" => {
                    (self.word(one).to_owned(), self.slice(&left[2..]))
                }
                // Python 2 takes a tuple apart.
                [open, ..] if self.word(open) == "(" => (String::new(), None),
                _ => return Err(wrong),
            };
            let optional = default || matches!(this, ParameterKind::Args | ParameterKind::Kwargs);
            out.push(Parameter { name, kind: this, annotation, optional });
        }
        Ok(out)
    }

    /// The keys that every `return` of a function gives, where all are dictionaries with such keys.
    fn outputs(&self, at: usize, inline: &[Token]) -> Option<Vec<String>> {
        let depth = self.lines[at].depth;
        let mut keys: Option<Vec<String>> = None;
        let mut nested: Option<usize> = None;
        let body = self.lines[at + 1..].iter().take_while(|l| l.depth > depth);
        let lines = std::iter::once((depth, inline)).chain(body.map(|l| (l.depth, &l.tokens[..])));
        for (depth, tokens) in lines {
            match nested {
                Some(d) if depth > d => continue,
                _ => nested = None,
            }
            let skip = usize::from(self.is(tokens, 0, "async"));
            if self.is(&tokens[skip..], 0, "def") || self.is(&tokens[skip..], 0, "class") {
                nested = Some(depth);
                continue;
            }
            for (i, t) in tokens.iter().enumerate().filter(|(_, t)| t.kind == Kind::Name) {
                match self.word(t) {
                    // A generator is no dictionary.
                    "yield" => return None,
                    "return" => {
                        let found = self.dictionary(&tokens[i + 1..])?;
                        match &keys {
                            Some(known) if *known != found => return None,
                            _ => keys = Some(found),
                        }
                    }
                    _ => {}
                }
            }
        }
        keys
    }

    /// The keys of a dictionary that is written out and is all that stands there.
    fn dictionary(&self, tokens: &[Token]) -> Option<Vec<String>> {
        if !self.is(tokens, 0, "{") {
            return None;
        }
        let end = self.closing(tokens)?;
        if tokens.len() > end + 1 && !self.is(tokens, end + 1, ";") {
            return None;
        }
        let mut keys: Vec<String> = Vec::new();
        for entry in self.split(&tokens[1..end]) {
            let [key, colon, value @ ..] = entry else { return None };
            if self.word(colon) != ":" || key.kind != (Kind::Text { plain: true }) {
                return None;
            }
            // `{"a": b for …}` has as many entries as it likes.
            if value.iter().any(|t| t.kind == Kind::Name && self.word(t) == "for") {
                return None;
            }
            let text = self.word(key).trim_start_matches(|c: char| c.is_ascii_alphabetic());
            let quotes = if text.len() >= 6 && (text.starts_with("\"\"\"") || text.starts_with("'''")) {
                3
            } else {
                1
            };
            let text = text.get(quotes..text.len().checked_sub(quotes)?)?;
            if keys.iter().any(|k| k == text) || text.len() > MAX_TEXT {
                return None;
            }
            keys.push(text.to_owned());
        }
        Some(keys).filter(|k| !k.is_empty())
    }
}
