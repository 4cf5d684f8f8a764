//! `TfIdfVectorizer`: counts the n-grams of a sequence that a pool lists.
//!
//! It does not cut text: its input are words, or the numbers of words. Invariant: the pool's n-grams
//! are a tree of words, so that a place in the sequence costs at most as many steps as the longest
//! n-gram has words.

use std::collections::BTreeMap;

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::attributes::Attributes;
use super::kernel::Built;
use super::kernel::Kernel;
use super::kernel::operator;
use super::linear::one;
use super::rows::tensor;
use super::scale::numbers;

/// Most columns of the output.
const MAX_COLUMNS: i64 = 1 << 24;

/// The words of the pool, numbered.
#[derive(Debug)]
enum Words {
    Strings(BTreeMap<String, u32>),
    Ints(BTreeMap<i64, u32>),
}

impl Words {
    /// Numbers the words of a pool in the order in which they come.
    fn number<T: Ord>(pool: impl Iterator<Item = T>) -> (BTreeMap<T, u32>, Vec<u32>) {
        let mut words = BTreeMap::new();
        let mut sequence = Vec::new();
        for word in pool {
            let next = words.len() as u32;
            sequence.push(*words.entry(word).or_insert(next));
        }
        (words, sequence)
    }

    fn fit(&self, dtype: DatumType) -> bool {
        match self {
            Self::Strings(_) => dtype == String::datum_type(),
            Self::Ints(_) => dtype.is_integer(),
        }
    }

    fn sequence(&self, input: &Tensor) -> TractResult<Vec<Option<u32>>> {
        Ok(match self {
            Self::Strings(words) => {
                let all = input.try_as_plain_ram()?.as_slice::<String>()?;
                all.iter().map(|w| words.get(w).copied()).collect()
            }
            Self::Ints(words) => numbers::<i64>(input)?.iter().map(|w| words.get(w).copied()).collect(),
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Tf,
    Idf,
    TfIdf,
}

#[derive(Debug)]
struct TfIdf {
    words: Words,
    /// From a node of the tree, over a word, to the next; the root is 0.
    steps: BTreeMap<(u32, u32), u32>,
    /// For each node of the tree the column that counts it.
    columns: Vec<Option<usize>>,
    width: usize,
    mode: Mode,
    /// For each column.
    weights: Vec<f32>,
    lengths: std::ops::RangeInclusive<usize>,
    /// Most words between two words of an n-gram.
    skips: usize,
}

pub(super) fn tf_idf_vectorizer(_: &ParsingContext, node: &NodeProto) -> Built {
    let attributes = Attributes::new(node);
    let mode = match attributes.must("mode", attributes.string("mode")?)? {
        "TF" => Mode::Tf,
        "IDF" => Mode::Idf,
        "TFIDF" => Mode::TfIdf,
        other => {
            let found = crate::error::show_bytes(other.as_bytes());
            return Err(attributes.wrong("mode", format_args!("expected TF, IDF or TFIDF, found `{found}`")));
        }
    };
    let count = |name: &str| {
        let found = attributes.must(name, attributes.int(name)?)?;
        usize::try_from(found)
            .map_err(|_| attributes.wrong(name, format_args!("expected a count, found {found}")))
    };
    let (least, most) = (count("min_gram_length")?, count("max_gram_length")?);
    let (ints, strings) = ("pool_int64s", "pool_strings");
    let (words, pool) = if attributes.one_of(&[ints, strings])? == ints {
        let pool = attributes.must(ints, attributes.ints(ints)?)?;
        let (words, pool) = Words::number(pool.iter().copied());
        (Words::Ints(words), pool)
    } else {
        let pool = attributes.must(strings, attributes.strings(strings)?)?;
        let (words, pool) = Words::number(pool.into_iter());
        (Words::Strings(words), pool)
    };
    let starts = attributes.must("ngram_counts", attributes.ints("ngram_counts")?)?;
    if least == 0 || least > most || most > starts.len() {
        return Err(attributes.unfit(format_args!(
            "expected n-grams of 1 to {} words, as `ngram_counts` lists, found {least} to {most}",
            starts.len()
        )));
    }
    let indexes = attributes.must("ngram_indexes", attributes.ints("ngram_indexes")?)?;
    if let Some(wrong) = indexes.iter().find(|at| !(0..MAX_COLUMNS).contains(*at)) {
        let expected = format_args!("expected columns from 0 below {MAX_COLUMNS}, found {wrong}");
        return Err(attributes.wrong("ngram_indexes", expected));
    }
    let width = indexes.iter().max().map_or(0, |most| *most as usize + 1);
    let mut vectorizer = TfIdf {
        words,
        steps: BTreeMap::new(),
        columns: vec![None],
        width,
        mode,
        weights: vec![1.0; width],
        lengths: least..=most,
        skips: count("max_skip_count")?,
    };
    vectorizer.grow(&attributes, &pool, starts, indexes)?;
    if let Some(weights) = attributes.floats("weights")?.filter(|w| !w.is_empty()) {
        attributes.as_many("weights", weights.len(), indexes.len(), "`ngram_indexes`")?;
        for (at, weight) in indexes.iter().zip(weights) {
            vectorizer.weights[*at as usize] = *weight;
        }
    }
    operator(node, vectorizer)
}

impl TfIdf {
    /// Puts the n-grams of the pool into the tree.
    fn grow(&mut self, of: &Attributes, pool: &[u32], starts: &[i64], indexes: &[i64]) -> TractResult<()> {
        let mut columns = indexes.iter();
        let mut begin = 0;
        for (at, start) in starts.iter().enumerate() {
            let length = at + 1;
            let end = match starts.get(at + 1) {
                Some(next) => usize::try_from(*next).ok(),
                None => Some(pool.len()),
            };
            let fits = usize::try_from(*start).is_ok_and(|start| start == begin);
            let grams = end.filter(|end| fits && *end >= begin && (*end - begin).is_multiple_of(length));
            let grams = grams.and_then(|end| pool.get(begin..end)).ok_or_else(|| {
                of.wrong(
                    "ngram_counts",
                    format_args!(
                        "expected where the {length}-grams of {} words begin, found {starts:?}",
                        pool.len()
                    ),
                )
            })?;
            begin += grams.len();
            for gram in grams.chunks_exact(length) {
                let Some(column) = columns.next() else {
                    return Err(
                        of.wrong("ngram_indexes", "expected one for each n-gram of the pool, found fewer")
                    );
                };
                if !self.lengths.contains(&length) {
                    continue;
                }
                let mut node = 0;
                for word in gram {
                    let next = self.columns.len() as u32;
                    node = *self.steps.entry((node, *word)).or_insert(next);
                    if node == next {
                        self.columns.push(None);
                    }
                }
                self.columns[node as usize] = Some(*column as usize);
            }
        }
        if columns.next().is_some() {
            return Err(of.wrong("ngram_indexes", "expected one for each n-gram of the pool, found more"));
        }
        Ok(())
    }

    /// Counts one sequence into a row of the output.
    fn count(&self, words: &[Option<u32>], row: &mut [f32]) {
        let longest = *self.lengths.end();
        // One word has nothing to skip; beyond the sequence's length there is nothing to find.
        let skips = if longest == 1 { 0 } else { self.skips.min(words.len()) };
        for skip in 0..=skips {
            for start in 0..words.len() {
                let mut node = 0;
                let gram = words[start..].iter().step_by(skip + 1).take(longest);
                for (at, word) in gram.enumerate() {
                    let next = word.and_then(|word| self.steps.get(&(node, word)));
                    let Some(next) = next else { break };
                    node = *next;
                    if at == 0 && skip > 0 {
                        continue;
                    }
                    if let Some(column) = self.columns[node as usize] {
                        row[column] += 1.0;
                    }
                }
            }
        }
        for (count, weight) in row.iter_mut().zip(&self.weights) {
            match self.mode {
                Mode::Tf => {}
                Mode::Idf if *count > 0.0 => *count = *weight,
                Mode::Idf => {}
                Mode::TfIdf => *count *= weight,
            }
        }
    }
}

impl Kernel for TfIdf {
    fn name(&self) -> &'static str {
        "TfIdfVectorizer"
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let input = one(inputs)?;
        let dtype = input.datum_type;
        ensure!(self.words.fit(dtype), "expected elements of the pool's type, found {dtype:?}");
        Ok(tvec!(match &*input.shape {
            [_] => f32::fact([self.width.to_dim()]),
            [rows, _] => f32::fact([rows.clone(), self.width.to_dim()]),
            other => bail!("expected the shape [C] or [N, C], found the rank {}", other.len()),
        }))
    }

    fn run(&self, inputs: &[&Tensor]) -> TractResult<TVec<Tensor>> {
        let input = one(inputs)?;
        let words = self.words.sequence(input)?;
        let (shape, length): (TVec<usize>, usize) = match *input.shape() {
            [length] => (tvec!(self.width), length),
            [rows, length] => (tvec!(rows, self.width), length),
            _ => bail!("expected the shape [C] or [N, C], found {:?}", input.shape()),
        };
        let size = shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
        let mut values = vec![0f32; size.context("the output is too large")?];
        let rows = values.chunks_exact_mut(self.width.max(1));
        for (row, words) in rows.zip(words.chunks_exact(length.max(1))) {
            self.count(words, row);
        }
        Ok(tvec!(tensor(&shape, values)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ml::testing::Node;
    use crate::engine::ml::testing::close;
    use crate::engine::ml::testing::node;
    use crate::engine::ml::testing::strings;

    /// Counts 1 in column 2, 2 in column 0, and 1 2 in column 1.
    fn pool() -> Node {
        node("TfIdfVectorizer", 1)
            .string("mode", "TF")
            .int("min_gram_length", 1)
            .int("max_gram_length", 2)
            .int("max_skip_count", 0)
            .ints("pool_int64s", &[1, 2, 1, 2])
            .ints("ngram_counts", &[0, 2])
            .ints("ngram_indexes", &[2, 0, 1])
            .floats("weights", &[10.0, 20.0, 30.0])
    }

    #[test]
    fn counts_and_weighs() {
        let x = tensor2(&[[1i64, 2, 1, 2], [2, 9, 1, 9]]);
        close(&pool().run([x.clone()]).unwrap()[0], &[2.0, 2.0, 2.0, 1.0, 0.0, 1.0]);
        let y = pool().string("mode", "TFIDF").run([x.clone()]).unwrap();
        close(&y[0], &[40.0, 60.0, 20.0, 20.0, 0.0, 10.0]);
        let y = pool().string("mode", "IDF").run([x.clone()]).unwrap();
        close(&y[0], &[20.0, 30.0, 10.0, 20.0, 0.0, 10.0]);
        let y = pool().int("min_gram_length", 2).run([x.clone()]).unwrap();
        close(&y[0], &[0.0, 2.0, 0.0, 0.0, 0.0, 0.0]);
        // With up to two words between, 1 2 is there twice more often: 1 _ _ 2.
        let y = pool().int("max_skip_count", 2).run_fixed([tensor1(&[1i64, 2, 1, 2])]).unwrap();
        close(&y[0], &[2.0, 3.0, 2.0]);
        let y = pool().int("max_skip_count", i64::MAX).run([x]).unwrap();
        close(&y[0], &[2.0, 3.0, 2.0, 1.0, 0.0, 1.0]);
    }

    #[test]
    fn counts_words() {
        let words = pool().without("pool_int64s").strings("pool_strings", &["a", "b", "a", "b"]);
        close(&words.run_fixed([strings(&["b", "a", "b", "c"])]).unwrap()[0], &[2.0, 1.0, 1.0]);
        assert!(words.refused([tensor1(&[1i64])]).contains("expected elements of the pool's type"));
        assert_eq!(words.run_fixed([strings(&[])]).unwrap()[0].shape(), [3]);
    }

    #[test]
    fn lists_must_fit_each_other() {
        let said = |node: Node, expected: &str| {
            let said = node.refused([tensor2(&[[1i64, 2]])]);
            assert!(said.contains(expected), "{said}");
        };
        said(
            pool().ints("ngram_indexes", &[0, 1]),
            "`ngram_indexes`: expected one for each n-gram of the pool, found fewer",
        );
        said(
            pool().ints("ngram_indexes", &[0, 1, 2, 3]),
            "expected one for each n-gram of the pool, found more",
        );
        said(pool().ints("ngram_indexes", &[0, 1, -2]), "`ngram_indexes`: expected columns from 0");
        said(pool().ints("ngram_indexes", &[0, 1, i64::MAX]), "`ngram_indexes`: expected columns from 0");
        said(
            pool().ints("ngram_counts", &[0, 3]),
            "`ngram_counts`: expected where the 2-grams of 4 words begin",
        );
        said(pool().ints("ngram_counts", &[0, 9]), "`ngram_counts`: expected where the 1-grams");
        said(pool().ints("ngram_counts", &[2, 0]), "`ngram_counts`: expected where the 1-grams");
        said(pool().floats("weights", &[1.0]), "`weights`: expected 3 values");
        said(pool().int("max_gram_length", 3), "expected n-grams of 1 to 2 words");
        said(pool().int("min_gram_length", 0), "found 0 to 2");
        said(pool().int("max_skip_count", -1), "`max_skip_count`: expected a count, found -1");
        said(pool().string("mode", "BM25"), "`mode`: expected TF, IDF or TFIDF, found `BM25`");
    }
}
