//! Operators on strings: `StringNormalizer`, `StringConcat`, `StringSplit`, `RegexFullMatch`, and
//! the `Tokenizer` of ONNX Runtime's own domain, with which exports of text pipelines begin.
//!
//! They know no language: words are what separators or a pattern leave. Invariant: strings are
//! valid UTF-8, and lengths are counted in characters.

use regex::Regex;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::attributes::Attributes;
use super::kernel::Built;
use super::kernel::Kernel;
use super::kernel::operator;
use super::kernel::symbol;
use super::linear::one;
use super::pattern;
use super::rows::tensor;
use super::scale::two;

/// The marks that a tokenizer puts around a text.
const MARKS: [&str; 2] = ["\u{2}", "\u{3}"];

fn texts(input: &Tensor) -> TractResult<&[String]> {
    input.try_as_plain_ram()?.as_slice::<String>()
}

fn expect_strings(input: &TypedFact) -> TractResult<()> {
    let dtype = input.datum_type;
    ensure!(dtype == String::datum_type(), "expected strings, found {dtype:?}");
    Ok(())
}

/// Lists of strings as one tensor: a last axis is added, and short lists are filled up.
fn padded(shape: &[usize], lists: &[Vec<&str>], filler: &str) -> TractResult<Tensor> {
    let width = lists.iter().map(Vec::len).max().unwrap_or(0);
    let fillers = std::iter::repeat(&filler);
    let all = lists.iter().flat_map(|list| list.iter().chain(fillers.clone()).take(width));
    let mut shape: TVec<usize> = shape.into();
    shape.push(width);
    tensor(&shape, all.map(|s| (*s).to_owned()).collect())
}

#[derive(Clone, Copy, Debug)]
enum Case {
    Keep,
    Lower,
    Upper,
}

impl Case {
    /// Changes characters one by one, as ONNX Runtime does: what has no single counterpart stays.
    fn of(self, text: &str) -> String {
        fn only(c: char, mut to: impl ExactSizeIterator<Item = char>) -> char {
            if to.len() == 1 { to.next().unwrap_or(c) } else { c }
        }
        match self {
            Self::Keep => text.to_owned(),
            Self::Lower => text.chars().map(|c| only(c, c.to_lowercase())).collect(),
            Self::Upper => text.chars().map(|c| only(c, c.to_uppercase())).collect(),
        }
    }
}

#[derive(Debug)]
struct Normalizer {
    case: Case,
    stopwords: std::collections::BTreeSet<String>,
    case_sensitive: bool,
    /// How many words are left, where some may be dropped.
    left: Vec<Symbol>,
}

pub(super) fn string_normalizer(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let attributes = Attributes::new(node);
    let case = match attributes.string("case_change_action")? {
        None | Some("NONE" | "") => Case::Keep,
        Some("LOWER") => Case::Lower,
        Some("UPPER") => Case::Upper,
        Some(other) => {
            let found = crate::error::show_bytes(other.as_bytes());
            return Err(attributes.wrong(
                "case_change_action",
                format_args!("expected LOWER, UPPER or NONE, found `{found}`"),
            ));
        }
    };
    let case_sensitive = attributes.flag("is_case_sensitive", false)?;
    let words = attributes.strings("stopwords")?.unwrap_or_default();
    let stopwords: std::collections::BTreeSet<String> =
        words.iter().map(|w| if case_sensitive { w.clone() } else { Case::Lower.of(w) }).collect();
    let left = if stopwords.is_empty() { Vec::new() } else { vec![symbol(ctx)] };
    operator(node, Normalizer { case, stopwords, case_sensitive, left })
}

impl Kernel for Normalizer {
    fn name(&self) -> &'static str {
        "StringNormalizer"
    }

    fn symbols(&self) -> &[Symbol] {
        &self.left
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let input = one(inputs)?;
        expect_strings(input)?;
        ensure!(matches!(input.rank(), 1 | 2), "expected the shape [C] or [1, C], found {:?}", input.shape);
        let mut shape: TVec<TDim> = input.shape.iter().cloned().collect();
        if let (Some(left), Some(last)) = (self.left.first(), shape.last_mut()) {
            *last = left.to_dim();
        }
        Ok(tvec!(String::fact(shape)))
    }

    fn run(&self, inputs: &[&Tensor]) -> TractResult<TVec<Tensor>> {
        let input = one(inputs)?;
        let mut shape: TVec<usize> = input.shape().into();
        ensure!(
            matches!(&*shape, [_] | [1, _]) || self.stopwords.is_empty(),
            "expected the shape [C] or [1, C], found {shape:?}"
        );
        let stop = |word: &&String| {
            if self.case_sensitive {
                self.stopwords.contains(*word)
            } else {
                !self.stopwords.is_empty() && self.stopwords.contains(&Case::Lower.of(word))
            }
        };
        let mut words: Vec<String> =
            texts(input)?.iter().filter(|w| !stop(w)).map(|w| self.case.of(w)).collect();
        if !self.stopwords.is_empty() {
            if words.is_empty() {
                words.push(String::new());
            }
            if let Some(last) = shape.last_mut() {
                *last = words.len();
            }
        }
        Ok(tvec!(tensor(&shape, words)?))
    }
}

/// How a text falls into tokens.
#[derive(Debug)]
enum Cut {
    Characters,
    /// Matches of any of these, one after the other, lie between tokens.
    Separators(Vec<Regex>),
    /// Matches of this are tokens.
    Tokens(Regex),
}

#[derive(Debug)]
struct Tokenizer {
    cut: Cut,
    mark: bool,
    /// Fewest characters of a token.
    least: usize,
    filler: String,
    /// The most tokens of a text.
    most: [Symbol; 1],
}

pub(super) fn tokenizer(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let attributes = Attributes::new(node);
    let separators = attributes.strings("separators")?.unwrap_or_default();
    let cut = match (separators.as_slice(), attributes.string("tokenexp")?) {
        ([only], _) if only.is_empty() => Cut::Characters,
        ([], Some(token)) if !token.is_empty() => {
            Cut::Tokens(pattern::compile(&attributes, "tokenexp", token, false)?)
        }
        ([], _) => return Err(attributes.unfit("expected `separators` or `tokenexp`, found neither")),
        (all, _) => {
            if all.iter().any(String::is_empty) {
                return Err(attributes.wrong("separators", "expected patterns, found an empty one"));
            }
            let compile = |s: &String| pattern::compile(&attributes, "separators", s, false);
            Cut::Separators(all.iter().map(compile).collect::<TractResult<_>>()?)
        }
    };
    let least = attributes.must("mincharnum", attributes.int("mincharnum")?)?;
    let least = usize::try_from(least).ok().filter(|n| *n > 0).ok_or_else(|| {
        attributes.wrong("mincharnum", format_args!("expected a count from 1 on, found {least}"))
    })?;
    let filler = attributes.must("pad_value", attributes.string("pad_value")?)?.to_owned();
    let mark = attributes.flag("mark", false)?;
    operator(node, Tokenizer { cut, mark, least, filler, most: [symbol(ctx)] })
}

impl Tokenizer {
    fn tokens<'t>(&self, text: &'t str) -> Vec<&'t str> {
        let mut tokens: Vec<&'t str> = match &self.cut {
            Cut::Characters => text.char_indices().map(|(at, c)| &text[at..at + c.len_utf8()]).collect(),
            Cut::Tokens(token) => token.find_iter(text).map(|m| m.as_str()).collect(),
            Cut::Separators(all) => {
                let mut pieces = vec![text];
                for separator in all {
                    pieces = pieces.into_iter().flat_map(|piece| separator.split(piece)).collect();
                }
                pieces
            }
        };
        tokens.retain(|t| t.chars().take(self.least).count() == self.least);
        if self.mark {
            tokens.insert(0, MARKS[0]);
            tokens.push(MARKS[1]);
        }
        tokens
    }
}

impl Kernel for Tokenizer {
    fn name(&self) -> &'static str {
        "Tokenizer"
    }

    fn symbols(&self) -> &[Symbol] {
        &self.most
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let input = one(inputs)?;
        expect_strings(input)?;
        let mut shape: TVec<TDim> = input.shape.iter().cloned().collect();
        shape.push(self.most[0].to_dim());
        Ok(tvec!(String::fact(shape)))
    }

    fn run(&self, inputs: &[&Tensor]) -> TractResult<TVec<Tensor>> {
        let input = one(inputs)?;
        let lists: Vec<Vec<&str>> = texts(input)?.iter().map(|text| self.tokens(text)).collect();
        Ok(tvec!(padded(input.shape(), &lists, &self.filler)?))
    }
}

#[derive(Debug)]
struct Split {
    /// Between pieces; runs of white space without one.
    delimiter: Option<String>,
    /// Most pieces.
    limit: Option<usize>,
    most: [Symbol; 1],
}

pub(super) fn string_split(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let attributes = Attributes::new(node);
    let delimiter = attributes.string("delimiter")?.filter(|d| !d.is_empty()).map(str::to_owned);
    // A negative number of cuts is no limit, as in Python.
    let limit = attributes.int("maxsplit")?.and_then(|n| usize::try_from(n).ok());
    let limit = limit.map(|n| n.saturating_add(1));
    operator(node, Split { delimiter, limit, most: [symbol(ctx)] })
}

impl Split {
    fn pieces<'t>(&self, text: &'t str) -> Vec<&'t str> {
        if text.is_empty() {
            return Vec::new();
        }
        let limit = self.limit.unwrap_or(usize::MAX);
        match &self.delimiter {
            Some(delimiter) => text.splitn(limit, delimiter.as_str()).collect(),
            None => {
                let mut pieces = Vec::new();
                let mut rest = text.trim();
                while !rest.is_empty() {
                    let end = rest.find(char::is_whitespace).filter(|_| pieces.len() + 1 < limit);
                    let (piece, behind) = rest.split_at(end.unwrap_or(rest.len()));
                    pieces.push(piece);
                    rest = behind.trim_start();
                }
                pieces
            }
        }
    }
}

impl Kernel for Split {
    fn name(&self) -> &'static str {
        "StringSplit"
    }

    fn outputs(&self) -> usize {
        2
    }

    fn symbols(&self) -> &[Symbol] {
        &self.most
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let input = one(inputs)?;
        expect_strings(input)?;
        let mut shape: TVec<TDim> = input.shape.iter().cloned().collect();
        shape.push(self.most[0].to_dim());
        Ok(tvec!(String::fact(shape), i64::fact(input.shape.clone())))
    }

    fn run(&self, inputs: &[&Tensor]) -> TractResult<TVec<Tensor>> {
        let input = one(inputs)?;
        let lists: Vec<Vec<&str>> = texts(input)?.iter().map(|text| self.pieces(text)).collect();
        let counts = lists.iter().map(|list| list.len() as i64).collect();
        Ok(tvec!(padded(input.shape(), &lists, "")?, tensor(input.shape(), counts)?))
    }
}

#[derive(Debug)]
struct Concat;

pub(super) fn string_concat(_: &ParsingContext, node: &NodeProto) -> Built {
    operator(node, Concat)
}

impl Kernel for Concat {
    fn name(&self) -> &'static str {
        "StringConcat"
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let (a, b) = two(inputs)?;
        expect_strings(a)?;
        expect_strings(b)?;
        let shape = tract_core::broadcast::multi_broadcast(&[&*a.shape, &*b.shape])?;
        Ok(tvec!(String::fact(shape)))
    }

    fn run(&self, inputs: &[&Tensor]) -> TractResult<TVec<Tensor>> {
        let (a, b) = two(inputs)?;
        let shape = tract_core::broadcast::multi_broadcast(&[a.shape(), b.shape()])?;
        let (a, b) = (a.to_plain_array_view::<String>()?, b.to_plain_array_view::<String>()?);
        let unfit = || format!("{:?} and {:?} do not fit each other", a.shape(), b.shape());
        let a = a.broadcast(&*shape).with_context(unfit)?;
        let b = b.broadcast(&*shape).with_context(unfit)?;
        let joined = a.iter().zip(b.iter()).map(|(a, b)| format!("{a}{b}")).collect();
        Ok(tvec!(tensor(&shape, joined)?))
    }
}

#[derive(Debug)]
struct FullMatch {
    pattern: Regex,
}

pub(super) fn regex_full_match(_: &ParsingContext, node: &NodeProto) -> Built {
    let attributes = Attributes::new(node);
    let pattern = attributes.must("pattern", attributes.string("pattern")?)?;
    operator(node, FullMatch { pattern: pattern::compile(&attributes, "pattern", pattern, true)? })
}

impl Kernel for FullMatch {
    fn name(&self) -> &'static str {
        "RegexFullMatch"
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let input = one(inputs)?;
        expect_strings(input)?;
        Ok(tvec!(bool::fact(input.shape.clone())))
    }

    fn run(&self, inputs: &[&Tensor]) -> TractResult<TVec<Tensor>> {
        let input = one(inputs)?;
        let matches = texts(input)?.iter().map(|text| self.pattern.is_match(text)).collect();
        Ok(tvec!(tensor(input.shape(), matches)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ml::testing::Node;
    use crate::engine::ml::testing::integers;
    use crate::engine::ml::testing::node;
    use crate::engine::ml::testing::strings;
    use crate::engine::ml::testing::words;

    fn run(node: &Node, texts: &[&str]) -> (Vec<usize>, Vec<String>) {
        let y = node.run([strings(texts)]).unwrap();
        (y[0].shape().to_vec(), words(&y[0]))
    }

    #[test]
    fn words_are_normalized() {
        let upper = node("StringNormalizer", 1).string("case_change_action", "UPPER");
        assert_eq!(run(&upper, &["a", "ü", "straße"]).1, ["A", "Ü", "STRAßE"]);
        let stop = upper.clone().strings("stopwords", &["The", ""]);
        assert_eq!(run(&stop, &["the", "cat", "", "THE"]), (vec![1], vec!["CAT".into()]));
        let exact = stop.clone().int("is_case_sensitive", 1);
        assert_eq!(run(&exact, &["the", "The"]).1, ["THE"]);
        // Nothing left is one empty word.
        assert_eq!(run(&stop, &["the"]), (vec![1], vec![String::new()]));
        let row = strings(&["the", "cat"]).into_shape(&[1, 2]).unwrap();
        assert_eq!(stop.run_fixed([row]).unwrap()[0].shape(), [1, 1]);
        let column = strings(&["the", "cat"]).into_shape(&[2, 1]).unwrap();
        assert!(stop.run_fixed([column]).is_err());
        let said = upper.string("case_change_action", "TITLE").refused([strings(&["a"])]);
        assert!(
            said.contains("`case_change_action`: expected LOWER, UPPER or NONE, found `TITLE`"),
            "{said}"
        );
    }

    fn tokenizer() -> Node {
        node("Tokenizer", 1).int("mark", 0).int("mincharnum", 1).string("pad_value", "#")
    }

    #[test]
    fn texts_fall_into_tokens() {
        let pattern = tokenizer().string("tokenexp", "[a-z]+");
        let (shape, found) = run(&pattern, &["a cat!", "", "b"]);
        assert_eq!((shape, found), (vec![3, 2], ["a", "cat", "#", "#", "b", "#"].map(String::from).to_vec()));
        let separated = tokenizer().strings("separators", &[" ", "-+"]);
        assert_eq!(run(&separated, &["a  b--c"]).1, ["a", "b", "c"]);
        let long = separated.clone().int("mincharnum", 2);
        assert_eq!(run(&long, &["a üb c"]).1, ["üb"]);
        let characters = tokenizer().strings("separators", &[""]).int("mark", 1);
        assert_eq!(run(&characters, &["aü"]).1, ["\u{2}", "a", "ü", "\u{3}"]);
        assert_eq!(run(&pattern, &[""]).0, [1, 0]);
        assert!(tokenizer().refused([strings(&["a"])]).contains("`separators` or `tokenexp`, found neither"));
        let said = pattern.clone().int("mincharnum", 0).refused([strings(&["a"])]);
        assert!(said.contains("`mincharnum`: expected a count from 1 on, found 0"), "{said}");
        let said = pattern.string("tokenexp", "(").refused([strings(&["a"])]);
        assert!(said.contains("`tokenexp`: expected a pattern"), "{said}");
    }

    #[test]
    fn texts_are_split() {
        let split = node("StringSplit", 2).string("delimiter", ".");
        let y = split.run([strings(&["a.b..c", "", "x"])]).unwrap();
        assert_eq!(y[0].shape(), [3, 4]);
        assert_eq!(words(&y[0]), ["a", "b", "", "c", "", "", "", "", "x", "", "", ""]);
        assert_eq!(integers(&y[1]), [4, 0, 1]);
        let once = split.int("maxsplit", 1).run([strings(&["a.b..c"])]).unwrap();
        assert_eq!(words(&once[0]), ["a", "b..c"]);
        let blank = node("StringSplit", 2);
        assert_eq!(words(&blank.run([strings(&["  a \t b c "])]).unwrap()[0]), ["a", "b", "c"]);
        assert_eq!(
            words(&blank.clone().int("maxsplit", 1).run([strings(&[" a  b c "])]).unwrap()[0]),
            ["a", "b c"]
        );
        assert_eq!(words(&blank.clone().int("maxsplit", 0).run([strings(&["a b"])]).unwrap()[0]), ["a b"]);
        assert_eq!(integers(&blank.run([strings(&[" "])]).unwrap()[1]), [0]);
    }

    #[test]
    fn texts_are_joined_and_matched() {
        let a = strings(&["a", "b"]).into_shape(&[2, 1]).unwrap();
        let y = node("StringConcat", 1).run([a, strings(&["x", "y"])]).unwrap();
        assert_eq!((y[0].shape(), words(&y[0]).join(" ")), (&[2, 2][..], "ax ay bx by".into()));
        let uneven = [strings(&["a", "b"]), strings(&["a", "b", "c"])];
        assert!(node("StringConcat", 1).run_fixed(uneven).is_err());
        let matched = node("RegexFullMatch", 1).string("pattern", "a|b+").run([strings(&["a", "bb", "ab"])]);
        assert_eq!(matched.unwrap()[0], tensor1(&[true, true, false]));
        assert!(
            node("RegexFullMatch", 1).refused([strings(&["a"])]).contains("`pattern`: expected, found none")
        );
    }
}
