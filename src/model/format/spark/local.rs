//! A stage's data as Spark 4.2 and later write them without a cluster (`saveToLocal`): one plain file of
//! Java's binary numbers and texts, whose parts have no names.
//!
//! What lies where follows from the class alone (mllib, `serializeData` of each model, and
//! `ReadWriteUtils`). Sizes and short texts are kept, numbers of vectors and matrices are stepped over.
//! Tables that Spark saves as Arrow files are not read.
//!
//! Invariant: a count is believed only as far as bytes follow.

use std::collections::BTreeMap;

use crate::error::{Error, Kind, Result};
use crate::model::format::cursor::Cursor;
use crate::model::pb::Source;

/// The most bytes of text that are kept of one file.
const MAX_TEXT: u64 = 4 << 20;
/// The most texts or numbers that are kept of one list.
const MAX_KEPT: u64 = 100_000;

/// What lies at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// Four bytes that are kept.
    Int,
    /// Eight bytes.
    Double,
    /// A text.
    Text,
    /// A list of four-byte numbers.
    Ints,
    /// A list of eight-byte numbers.
    Doubles,
    /// A list of texts.
    Texts,
    /// A list of lists of texts.
    Lists,
    /// How many things follow, of which the first is looked at.
    Several,
    /// A vector, of which the size is kept.
    Vector,
    /// A matrix, of which the sizes are kept.
    Matrix,
}

use Field::{Double, Doubles, Int, Ints, Lists, Matrix, Several, Text, Texts, Vector};

/// The parts of a class's data in their order, up to the last that is asked for; names are those that
/// the same data have in a table.
pub(super) fn layout(class: &str) -> Option<&'static [(&'static str, Field)]> {
    Some(match class {
        "FMClassificationModel" | "FMRegressionModel" => {
            &[("", Double), ("linear", Vector), ("factors", Matrix)]
        }
        "LinearSVCModel" | "AFTSurvivalRegressionModel" => &[("coefficients", Vector)],
        "LinearRegressionModel" | "GeneralizedLinearRegressionModel" => {
            &[("", Double), ("coefficients", Vector)]
        }
        "LogisticRegressionModel" => &[("numClasses", Int), ("numFeatures", Int)],
        "NaiveBayesModel" => &[("pi", Vector), ("theta", Matrix)],
        "KMeansModel" => &[("", Several), ("", Int), ("clusterCenter", Vector)],
        "GaussianMixtureModel" => &[("weights", Doubles), ("", Several), ("mus", Vector)],
        "LocalLDAModel" => &[("vocabSize", Int)],
        "BucketedRandomProjectionLSHModel" => &[("randUnitVectors", Matrix)],
        "ChiSqSelectorModel" | "UnivariateFeatureSelectorModel" | "VarianceThresholdSelectorModel" => {
            &[("selectedFeatures", Ints)]
        }
        "ColumnPruner" => &[("columnsToPrune", Texts)],
        "CountVectorizerModel" => &[("vocabulary", Texts)],
        "IDFModel" => &[("idf", Vector)],
        "MaxAbsScalerModel" => &[("maxAbs", Vector)],
        "MinMaxScalerModel" => &[("originalMin", Vector)],
        "OneHotEncoderModel" => &[("categorySizes", Ints)],
        "PCAModel" => &[("pc", Matrix)],
        "RFormulaModel" => &[("label", Text)],
        "RobustScalerModel" => &[("range", Vector)],
        "StandardScalerModel" => &[("std", Vector)],
        "StringIndexerModel" => &[("labelsArray", Lists)],
        "VectorIndexerModel" => &[("numFeatures", Int)],
        _ => return None,
    })
}

/// What was read.
#[derive(Clone, Debug, Default)]
pub(super) struct Local {
    ints: BTreeMap<String, Vec<i64>>,
    texts: BTreeMap<String, Vec<String>>,
    lengths: BTreeMap<String, u64>,
    lists: BTreeMap<String, Vec<u64>>,
}

impl Local {
    /// Reads the parts of a file.
    pub(super) fn read(
        source: &dyn Source,
        layout: &[(&str, Field)],
        budget: &std::cell::Cell<u64>,
    ) -> Result<Self> {
        let mut c = Cursor::new(source, budget.get());
        c.set_big_endian();
        let mut local = Self::default();
        let done = layout.iter().try_for_each(|(name, field)| local.field(&mut c, name, *field));
        budget.set(c.left());
        done.map(|()| local)
    }

    fn field(&mut self, c: &mut Cursor<'_>, name: &str, field: Field) -> Result<()> {
        let mut keep = |part: &str, n: u64| {
            self.ints.insert(format!("{name}{part}"), vec![n.cast_signed()]);
        };
        match field {
            Int => keep("", number(c)?),
            Double => c.skip(8)?,
            Text => {
                let (text, _) = utf(c, true)?;
                self.texts.insert(name.to_owned(), text.into_iter().collect());
            }
            Ints => {
                let n = count(c, 4)?;
                let kept = n.min(MAX_KEPT);
                let ints = (0..kept).map(|_| c.i32().map(i64::from)).collect::<Result<_>>()?;
                c.skip((n - kept) * 4)?;
                self.ints.insert(name.to_owned(), ints);
                self.lengths.insert(name.to_owned(), n);
            }
            Doubles => {
                let n = count(c, 8)?;
                c.skip(n * 8)?;
                self.lengths.insert(name.to_owned(), n);
            }
            Texts => {
                let (n, texts) = texts(c)?;
                self.lengths.insert(name.to_owned(), n);
                self.texts.insert(name.to_owned(), texts);
            }
            Lists => {
                let mut lists = Vec::new();
                let mut all = Vec::new();
                for _ in 0..count(c, 4)? {
                    let (n, texts) = texts(c)?;
                    lists.push(n);
                    all.extend(texts);
                }
                self.lists.insert(name.to_owned(), lists);
                self.texts.insert(name.to_owned(), all);
            }
            Several => {
                if count(c, 1)? == 0 {
                    return Err(Error::new(Kind::Model, "a list of the data is empty"));
                }
            }
            Vector => {
                let sparse = c.u8()? != 0;
                if sparse {
                    keep(".size", number(c)?);
                    let n = count(c, 4)?;
                    c.skip(n * 4)?;
                }
                keep(".type", u64::from(!sparse));
                let n = count(c, 8)?;
                c.skip(n * 8)?;
                self.lengths.insert(format!("{name}.values"), n);
            }
            Matrix => {
                let sparse = c.u8()? != 0;
                keep(".numRows", number(c)?);
                keep(".numCols", number(c)?);
                c.skip(1)?;
                for _ in 0..if sparse { 2 } else { 0 } {
                    let n = count(c, 4)?;
                    c.skip(n * 4)?;
                }
                let n = count(c, 8)?;
                c.skip(n * 8)?;
            }
        }
        Ok(())
    }

    /// As [`crate::model::parquet::Table::ints`].
    pub(super) fn ints(&self, path: &str) -> Option<Vec<i64>> {
        self.ints.get(path).cloned()
    }

    /// As [`crate::model::parquet::Table::texts`].
    pub(super) fn texts(&self, path: &str) -> Option<Vec<String>> {
        self.texts.get(path).cloned()
    }

    /// As [`crate::model::parquet::Table::length`].
    pub(super) fn length(&self, path: &str) -> Option<u64> {
        self.lengths.get(path).copied()
    }

    /// As [`crate::model::parquet::Table::lists`].
    pub(super) fn lists(&self, path: &str) -> Option<Vec<u64>> {
        self.lists.get(path).cloned()
    }
}

fn number(c: &mut Cursor<'_>) -> Result<u64> {
    u64::try_from(c.i32()?).map_err(|_| Error::new(Kind::Model, "a size of the data is negative"))
}

/// How many things follow of which each has at least so many bytes.
fn count(c: &mut Cursor<'_>, size: u64) -> Result<u64> {
    let n = number(c)?;
    if n > c.rest() / size {
        return Err(Error::new(
            Kind::Model,
            format!("a list of the data is said to have {n} items, for which the file is too small"),
        ));
    }
    Ok(n)
}

/// How many texts there are, and they themselves where they are not too many or too long.
fn texts(c: &mut Cursor<'_>) -> Result<(u64, Vec<String>)> {
    let n = count(c, 2)?;
    let (mut kept, mut left) = (Vec::new(), if n <= MAX_KEPT { MAX_TEXT } else { 0 });
    for _ in 0..n {
        let (text, bytes) = utf(c, left > 0)?;
        left = left.saturating_sub(bytes);
        match text {
            Some(text) if left > 0 => kept.push(text),
            _ => kept.clear(),
        }
    }
    if kept.len() as u64 != n {
        kept.clear();
    }
    Ok((n, kept))
}

/// A text of `DataOutputStream.writeUTF`, and how many bytes it has.
fn utf(c: &mut Cursor<'_>, keep: bool) -> Result<(Option<String>, u64)> {
    let n = u64::from(c.u16()?);
    if !keep {
        c.skip(n)?;
        return Ok((None, n));
    }
    let bytes = c.bytes(n)?;
    // Java writes the halves of characters that have two, and zero in two bytes.
    let mut units: Vec<u16> = Vec::with_capacity(bytes.len());
    let mut rest = bytes.as_slice();
    let broken = || Error::new(Kind::Model, "a text of the data is not in Java's UTF-8");
    while let [first, after @ ..] = rest {
        let low = |i: usize| after.get(i).map(|b| u16::from(b & 0x3f)).ok_or_else(broken);
        let first = u16::from(*first);
        let (unit, more) = match first {
            0..0x80 => (first, 0),
            0xc0..0xe0 => ((first & 0x1f) << 6 | low(0)?, 1),
            0xe0..0xf0 => ((first & 0x0f) << 12 | low(0)? << 6 | low(1)?, 2),
            _ => return Err(broken()),
        };
        units.push(unit);
        rest = &after[more..];
    }
    Ok((Some(String::from_utf16_lossy(&units)), n))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn read(bytes: &[u8], layout: &[(&str, Field)]) -> Result<Local> {
        Local::read(&bytes, layout, &Cell::new(1 << 20))
    }

    #[test]
    fn parts_are_read_in_their_order() {
        // As Spark 4.3 wrote a StringIndexerModel of two columns.
        let indexer = b"\0\0\0\x02\0\0\0\x03\0\x04Lima\0\x04Oslo\0\x04Rome\0\0\0\x02\0\x02g0\0\x02g1";
        let local = read(indexer, layout("StringIndexerModel").unwrap()).unwrap();
        assert_eq!(local.lists("labelsArray"), Some(vec![3, 2]));
        assert_eq!(local.texts("labelsArray").unwrap(), ["Lima", "Oslo", "Rome", "g0", "g1"]);
        // A sparse vector of five, then a matrix of one row and three columns.
        let mut bytes = b"\x01\0\0\0\x05\0\0\0\x01\0\0\0\x03\0\0\0\x01".to_vec();
        bytes.extend([0; 8]);
        bytes.extend(b"\0\0\0\0\x01\0\0\0\x03\x01\0\0\0\x03");
        bytes.extend([0; 24]);
        let local = read(&bytes, &[("v", Vector), ("m", Matrix)]).unwrap();
        assert_eq!((local.ints("v.type"), local.ints("v.size")), (Some(vec![0]), Some(vec![5])));
        assert_eq!((local.ints("m.numRows"), local.ints("m.numCols")), (Some(vec![1]), Some(vec![3])));
        assert_eq!(local.length("v.values"), Some(1));
    }

    #[test]
    fn texts_are_javas() {
        let text = |bytes: &[u8]| read(bytes, &[("t", Text)]).map(|l| l.texts("t").unwrap().remove(0));
        assert_eq!(text(b"\0\x05a\xc3\xa9\xc0\x80").unwrap(), "aé\0");
        assert_eq!(text(b"\0\x06\xed\xa0\xbd\xed\xb8\x80").unwrap(), "😀");
        for bad in [&b"\0\x05a"[..], b"\0\x01\xe0", b"\0\x01\xff", b"\0"] {
            text(bad).unwrap_err();
        }
    }

    #[test]
    fn counts_that_lie_are_refused() {
        for field in [Ints, Doubles, Texts, Lists, Several] {
            for count in [b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff"] {
                assert!(read(count, &[("x", field)]).is_err(), "{field:?}");
            }
        }
        // Cut short anywhere.
        let whole = b"\0\0\0\x02\0\0\0\x01\0\x01a\0\0\0\0";
        read(whole, &[("x", Lists)]).unwrap();
        for at in 0..whole.len() {
            assert!(read(&whole[..at], &[("x", Lists)]).is_err(), "{at}");
        }
    }
}
