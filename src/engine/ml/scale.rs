//! Operators that change features one by one: `Scaler`, `Imputer`, `Binarizer`, `Normalizer`; and
//! those that put features together: `ArrayFeatureExtractor`, `FeatureVectorizer`, `ZipMap`.
//!
//! They have learned numbers at most for each feature, none for pairs of them. Invariant: a list of
//! such numbers has one for all features or one for each, or the input is refused.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::attributes::Attributes;
use super::kernel::Built;
use super::kernel::Kernel;
use super::kernel::operator;
use super::labels::Labels;
use super::linear::one;
use super::rows;

/// The elements of a tensor as numbers of one type.
pub(super) fn numbers<T: Datum>(tensor: &Tensor) -> TractResult<Cow<'_, [T]>> {
    Ok(match tensor.cast_to::<T>()? {
        Cow::Borrowed(same) => Cow::Borrowed(same.try_as_plain_ram()?.as_slice::<T>()?),
        Cow::Owned(cast) => Cow::Owned(cast.try_as_plain_ram()?.as_slice::<T>()?.to_vec()),
    })
}

/// The last dimension, over which features lie.
fn last(shape: &[usize]) -> usize {
    shape.last().copied().unwrap_or(1)
}

/// Checks a list of numbers, one for all features or one for each, against the features.
fn expect(count: usize, features: usize) -> TractResult<()> {
    ensure!(count == 1 || count == features, "expected {count} features, found {features}");
    Ok(())
}

fn check(count: usize, input: &TypedFact) -> TractResult<()> {
    match input.shape.last().map_or(Ok(1), TDim::to_i64) {
        Ok(features) => expect(count, features as usize),
        Err(_) => Ok(()),
    }
}

/// `(x - offset) · scale`.
#[derive(Debug)]
struct Scaler {
    offset: Vec<f32>,
    scale: Vec<f32>,
}

pub(super) fn scaler(_: &ParsingContext, node: &NodeProto) -> Built {
    let attributes = Attributes::new(node);
    let offset = attributes.must("offset", attributes.floats("offset")?)?.to_vec();
    let scale = attributes.must("scale", attributes.floats("scale")?)?.to_vec();
    attributes.as_many("scale", scale.len(), offset.len().max(1), "`offset`")?;
    operator(node, Scaler { offset, scale })
}

impl Kernel for Scaler {
    fn name(&self) -> &'static str {
        "Scaler"
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let input = one(inputs)?;
        check(self.scale.len(), input)?;
        Ok(tvec!(f32::fact(input.shape.clone())))
    }

    fn run(&self, inputs: &[&Tensor]) -> TractResult<TVec<Tensor>> {
        let input = one(inputs)?;
        expect(self.scale.len(), last(input.shape()))?;
        let all = self.offset.iter().zip(&self.scale).cycle();
        let scaled = numbers::<f32>(input)?.iter().zip(all).map(|(x, (o, s))| (x - o) * s).collect();
        Ok(tvec!(rows::tensor(input.shape(), scaled)?))
    }
}

/// Replaces one value by others.
#[derive(Debug)]
enum Imputer {
    Floats { replaced: f32, by: Vec<f32> },
    Ints { replaced: i64, by: Vec<i64> },
}

pub(super) fn imputer(_: &ParsingContext, node: &NodeProto) -> Built {
    let attributes = Attributes::new(node);
    let (floats, ints) = ("imputed_value_floats", "imputed_value_int64s");
    let imputer = if attributes.one_of(&[floats, ints])? == floats {
        Imputer::Floats {
            replaced: attributes.float("replaced_value_float")?.unwrap_or(0.0),
            by: attributes.must(floats, attributes.floats(floats)?)?.to_vec(),
        }
    } else {
        Imputer::Ints {
            replaced: attributes.int("replaced_value_int64")?.unwrap_or(0),
            by: attributes.must(ints, attributes.ints(ints)?)?.to_vec(),
        }
    };
    operator(node, imputer)
}

fn impute<T: Datum + Copy>(input: &Tensor, by: &[T], missing: impl Fn(T) -> bool) -> TractResult<Tensor> {
    expect(by.len(), last(input.shape()))?;
    let values = numbers::<T>(input)?;
    let filled = values.iter().zip(by.iter().cycle()).map(|(x, by)| if missing(*x) { *by } else { *x });
    Ok(rows::tensor(input.shape(), filled.collect())?.cast_to_dt(input.datum_type())?.into_owned())
}

impl Kernel for Imputer {
    fn name(&self) -> &'static str {
        "Imputer"
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let input = one(inputs)?;
        let (count, fits) = match self {
            Self::Floats { by, .. } => (by.len(), input.datum_type.is_float()),
            Self::Ints { by, .. } => (by.len(), input.datum_type.is_integer()),
        };
        ensure!(fits, "expected numbers of the kind of the imputed ones, found {:?}", input.datum_type);
        check(count, input)?;
        Ok(tvec!(input.datum_type.fact(input.shape.clone())))
    }

    fn run(&self, inputs: &[&Tensor]) -> TractResult<TVec<Tensor>> {
        let input = one(inputs)?;
        Ok(tvec!(match self {
            Self::Floats { replaced, by } if input.datum_type() == f64::datum_type() => {
                let (replaced, by): (_, Vec<f64>) =
                    (f64::from(*replaced), by.iter().map(|b| f64::from(*b)).collect());
                impute(input, &by, |x| x == replaced || (x.is_nan() && replaced.is_nan()))?
            }
            Self::Floats { replaced, by } => {
                impute(input, by, |x: f32| x == *replaced || (x.is_nan() && replaced.is_nan()))?
            }
            Self::Ints { replaced, by } => impute(input, by, |x| x == *replaced)?,
        }))
    }
}

/// 1 above the threshold, else 0.
#[derive(Debug)]
struct Binarizer {
    threshold: f32,
}

pub(super) fn binarizer(_: &ParsingContext, node: &NodeProto) -> Built {
    let threshold = Attributes::new(node).float("threshold")?.unwrap_or(0.0);
    operator(node, Binarizer { threshold })
}

impl Kernel for Binarizer {
    fn name(&self) -> &'static str {
        "Binarizer"
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let input = one(inputs)?;
        Ok(tvec!(input.datum_type.fact(input.shape.clone())))
    }

    fn run(&self, inputs: &[&Tensor]) -> TractResult<TVec<Tensor>> {
        let input = one(inputs)?;
        let threshold = f64::from(self.threshold);
        let above = numbers::<f64>(input)?.iter().map(|x| u8::from(*x > threshold)).collect();
        Ok(tvec!(rows::tensor(input.shape(), above)?.cast_to_dt(input.datum_type())?.into_owned()))
    }
}

/// By what a row is divided.
#[derive(Clone, Copy, Debug)]
enum Norm {
    /// The largest value, whatever its sign: that is what ONNX says and ONNX Runtime does.
    Max,
    L1,
    L2,
}

#[derive(Debug)]
struct Normalizer {
    norm: Norm,
}

pub(super) fn normalizer(_: &ParsingContext, node: &NodeProto) -> Built {
    let attributes = Attributes::new(node);
    let norm = match attributes.string("norm")? {
        None | Some("MAX") => Norm::Max,
        Some("L1") => Norm::L1,
        Some("L2") => Norm::L2,
        Some(other) => {
            let found = crate::error::show_bytes(other.as_bytes());
            return Err(attributes.wrong("norm", format_args!("expected MAX, L1 or L2, found `{found}`")));
        }
    };
    operator(node, Normalizer { norm })
}

impl Kernel for Normalizer {
    fn name(&self) -> &'static str {
        "Normalizer"
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let input = one(inputs)?;
        rows::dims(input)?;
        Ok(tvec!(f32::fact(input.shape.clone())))
    }

    fn run(&self, inputs: &[&Tensor]) -> TractResult<TVec<Tensor>> {
        let input = one(inputs)?;
        let mut values = numbers::<f32>(input)?.into_owned();
        for row in values.chunks_exact_mut(last(input.shape()).max(1)) {
            let divisor = match self.norm {
                Norm::Max => row.iter().copied().fold(f32::NEG_INFINITY, f32::max),
                Norm::L1 => row.iter().map(|x| x.abs()).sum(),
                Norm::L2 => row.iter().map(|x| x * x).sum::<f32>().sqrt(),
            };
            if divisor != 0.0 {
                row.iter_mut().for_each(|x| *x /= divisor);
            }
        }
        Ok(tvec!(rows::tensor(input.shape(), values)?))
    }
}

/// Elements of the last axis, by their places.
#[derive(Debug)]
struct ArrayFeatureExtractor;

pub(super) fn array_feature_extractor(_: &ParsingContext, node: &NodeProto) -> Built {
    operator(node, ArrayFeatureExtractor)
}

pub(super) fn two<T: Copy>(inputs: &[T]) -> TractResult<(T, T)> {
    match inputs {
        [a, b] => Ok((*a, *b)),
        more => bail!("expected 2 inputs, found {}", more.len()),
    }
}

impl Kernel for ArrayFeatureExtractor {
    fn name(&self) -> &'static str {
        "ArrayFeatureExtractor"
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let (input, places) = two(inputs)?;
        let Some((_, outer)) = input.shape.split_last() else { bail!("expected an array, found a scalar") };
        ensure!(places.datum_type.is_integer(), "expected places, found {:?}", places.datum_type);
        // A vector is one row.
        let mut shape: TVec<TDim> = if outer.is_empty() { tvec!(1.to_dim()) } else { outer.into() };
        shape.push(places.shape.volume());
        Ok(tvec!(input.datum_type.fact(shape)))
    }

    fn run(&self, inputs: &[&Tensor]) -> TractResult<TVec<Tensor>> {
        let (input, places) = two(inputs)?;
        let places = numbers::<i64>(places)?;
        let features = last(input.shape());
        let places: Vec<usize> = places
            .iter()
            .map(|at| usize::try_from(*at).ok().filter(|at| *at < features))
            .collect::<Option<_>>()
            .with_context(|| format!("expected places from 0 below {features}, found {places:?}"))?;
        fn pick<T: Datum>(input: &Tensor, places: &[usize], features: usize) -> TractResult<Tensor> {
            let values = input.try_as_plain_ram()?.as_slice::<T>()?;
            let rows = values.chunks_exact(features.max(1));
            let picked = rows.flat_map(|row| places.iter().map(|at| row[*at].clone())).collect();
            let mut shape: TVec<usize> = match input.shape() {
                [_] => tvec!(1),
                [outer @ .., _] => outer.into(),
                [] => bail!("expected an array, found a scalar"),
            };
            shape.push(places.len());
            rows::tensor(&shape, picked)
        }
        Ok(tvec!(dispatch_datum!(pick(input.datum_type())(input, &places, features))?))
    }
}

/// All inputs side by side, as floats.
#[derive(Debug)]
struct FeatureVectorizer {
    /// How many features each input gives: what is missing is 0, what is too much is dropped.
    widths: Vec<usize>,
}

/// Most features that one input is widened to.
const MAX_WIDTH: i64 = 1 << 24;

pub(super) fn feature_vectorizer(_: &ParsingContext, node: &NodeProto) -> Built {
    let attributes = Attributes::new(node);
    let name = "inputdimensions";
    let widths = attributes.ints(name)?.unwrap_or_default();
    if let Some(wrong) = widths.iter().find(|w| !(0..=MAX_WIDTH).contains(*w)) {
        return Err(attributes.wrong(name, format_args!("expected 0 to {MAX_WIDTH}, found {wrong}")));
    }
    let widths: Vec<usize> = widths.iter().map(|w| *w as usize).collect();
    if !widths.is_empty() {
        attributes.as_many(name, widths.len(), node.input.len(), "the number of inputs")?;
    }
    operator(node, FeatureVectorizer { widths })
}

impl Kernel for FeatureVectorizer {
    fn name(&self) -> &'static str {
        "FeatureVectorizer"
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let mut sum = 0.to_dim();
        let mut count = None;
        for (at, input) in inputs.iter().enumerate() {
            let (rows, features) = rows::dims(input)?;
            sum += self.widths.get(at).map_or(features, |w| w.to_dim());
            count.get_or_insert(rows);
        }
        let count = count.context("expected an input, found none")?;
        Ok(tvec!(f32::fact([count, sum])))
    }

    fn run(&self, inputs: &[&Tensor]) -> TractResult<TVec<Tensor>> {
        let batches =
            inputs.iter().map(|input| rows::Rows::<f32>::new(input)).collect::<TractResult<Vec<_>>>()?;
        let count = batches.first().context("expected an input, found none")?.count();
        let mut values = Vec::new();
        let mut width = 0;
        for (at, batch) in batches.iter().enumerate() {
            ensure!(batch.count() == count, "expected {count} rows, found {}", batch.count());
            width += self.widths.get(at).copied().unwrap_or(batch.features());
        }
        for row in 0..count {
            for (at, batch) in batches.iter().enumerate() {
                let found = batch.features();
                let wanted = self.widths.get(at).copied().unwrap_or(found);
                let features = &batch.values()?[row * found..][..found.min(wanted)];
                values.extend_from_slice(features);
                values.resize(values.len() + wanted - features.len(), 0.0);
            }
        }
        Ok(tvec!(rows::tensor(&[count, width], values)?))
    }
}

/// Scores with the names of their columns, as a sequence of maps in ONNX; here the scores alone.
#[derive(Debug)]
struct ZipMap {
    keys: usize,
}

pub(super) fn zip_map(_: &ParsingContext, node: &NodeProto) -> Built {
    let keys = Labels::read(&Attributes::new(node), "classlabels_int64s", "classlabels_strings")?.len();
    operator(node, ZipMap { keys })
}

impl Kernel for ZipMap {
    fn name(&self) -> &'static str {
        "ZipMap"
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let (count, columns) = rows::dims(one(inputs)?)?;
        rows::expect_features(&columns, self.keys)?;
        Ok(tvec!(f32::fact([count, self.keys.to_dim()])))
    }

    fn run(&self, inputs: &[&Tensor]) -> TractResult<TVec<Tensor>> {
        let batch = rows::Rows::<f32>::new(one(inputs)?)?;
        batch.expect_features(self.keys)?;
        Ok(tvec!(rows::tensor(&[batch.count(), self.keys], batch.values()?.to_vec())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ml::testing::close;
    use crate::engine::ml::testing::integers;
    use crate::engine::ml::testing::node;
    use crate::engine::ml::testing::strings;
    use crate::engine::ml::testing::words;

    #[test]
    fn scaler_offsets_first() {
        let each = node("Scaler", 1).floats("offset", &[1.0, 2.0]).floats("scale", &[10.0, 100.0]);
        let x = tensor2(&[[1f32, 3.0], [2.0, 2.0]]);
        close(&each.run([x.clone()]).unwrap()[0], &[0.0, 100.0, 10.0, 0.0]);
        close(&each.run([tensor2(&[[1i64, 3]])]).unwrap()[0], &[0.0, 100.0]);
        let all = node("Scaler", 1).floats("offset", &[1.0]).floats("scale", &[2.0]);
        close(&all.run([x.clone()]).unwrap()[0], &[0.0, 4.0, 2.0, 2.0]);
        let said = all.clone().floats("scale", &[1.0, 2.0]).refused([x]);
        assert!(said.contains("`scale`: expected 1 values, as `offset` asks, found 2"), "{said}");
        let said = each.refused([tensor2(&[[1f32, 2.0, 3.0]])]);
        assert!(said.contains("expected 2 features, found 3"), "{said}");
        assert!(
            node("Scaler", 1)
                .floats("offset", &[])
                .floats("scale", &[])
                .refused([tensor1(&[1f32])])
                .contains("`scale`")
        );
    }

    #[test]
    fn imputer_replaces_what_is_missing() {
        let floats = node("Imputer", 1)
            .floats("imputed_value_floats", &[7.0, 8.0])
            .float("replaced_value_float", f32::NAN);
        let x = tensor2(&[[f32::NAN, 1.0], [2.0, f32::NAN]]);
        close(&floats.run([x.clone()]).unwrap()[0], &[7.0, 1.0, 2.0, 8.0]);
        let doubles = x.cast_to::<f64>().unwrap().into_owned();
        let y = floats.run([doubles]).unwrap();
        assert_eq!(y[0], tensor2(&[[7f64, 1.0], [2.0, 8.0]]));
        let ints = node("Imputer", 1).ints("imputed_value_int64s", &[9]).int("replaced_value_int64", -1);
        let y = ints.run([tensor2(&[[-1i64, 3]])]).unwrap();
        assert_eq!(integers(&y[0]), [9, 3]);
        assert!(ints.refused([x.clone()]).contains("expected numbers of the kind of the imputed ones"));
        assert!(node("Imputer", 1).refused([x]).contains("expected one of the attributes"));
    }

    #[test]
    fn binarizer_is_above() {
        let node = node("Binarizer", 1).float("threshold", 1.5);
        close(&node.run([tensor1(&[1f32, 1.5, 2.0, f32::NAN])]).unwrap()[0], &[0.0, 0.0, 1.0, 0.0]);
        assert_eq!(integers(&node.run([tensor1(&[1i64, 2])]).unwrap()[0]), [0, 1]);
    }

    #[test]
    fn normalizer_divides_rows() {
        let x = tensor2(&[[3f32, -4.0], [0.0, 0.0], [-2.0, -1.0]]);
        let run = |norm| node("Normalizer", 1).string("norm", norm).run([x.clone()]).unwrap().remove(0);
        close(&run("L2"), &[0.6, -0.8, 0.0, 0.0, -2.0 / 5f32.sqrt(), -1.0 / 5f32.sqrt()]);
        close(&run("L1"), &[3.0 / 7.0, -4.0 / 7.0, 0.0, 0.0, -2.0 / 3.0, -1.0 / 3.0]);
        // The largest, not the farthest from zero.
        close(&run("MAX"), &[1.0, -4.0 / 3.0, 0.0, 0.0, 2.0, 1.0]);
        let said = node("Normalizer", 1).string("norm", "L3").refused([x]);
        assert!(said.contains("`norm`: expected MAX, L1 or L2, found `L3`"), "{said}");
        assert_eq!(
            node("Normalizer", 1).run([Tensor::zero::<f32>(&[2, 0]).unwrap()]).unwrap()[0].shape(),
            [2, 0]
        );
    }

    #[test]
    fn extractor_picks_from_the_last_axis() {
        let extractor = node("ArrayFeatureExtractor", 1);
        let places = tensor1(&[2i64, 0]);
        let y = extractor.run([tensor2(&[[1f32, 2.0, 3.0], [4.0, 5.0, 6.0]]), places.clone()]).unwrap();
        assert_eq!(y[0], tensor2(&[[3f32, 1.0], [6.0, 4.0]]));
        let y = extractor.run_fixed([strings(&["a", "b", "c"]), places.clone()]).unwrap();
        assert_eq!((y[0].shape(), words(&y[0])), (&[1, 2][..], vec!["c".to_owned(), "a".into()]));
        for wrong in [3, -1, i64::MIN] {
            let said = extractor.refused([tensor2(&[[1f32, 2.0, 3.0]]), tensor1(&[wrong])]);
            assert!(said.contains("expected places from 0 below 3, found"), "{said}");
        }
        assert!(extractor.refused([tensor0(1f32), places]).contains("found a scalar"));
    }

    #[test]
    fn vectorizer_puts_features_side_by_side() {
        let node = node("FeatureVectorizer", 1).ints("inputdimensions", &[2, 1]);
        let y = node.run([tensor2(&[[1f32], [2.0]]), tensor2(&[[3f32, 4.0], [5.0, 6.0]])]).unwrap();
        assert_eq!(y[0], tensor2(&[[1f32, 0.0, 3.0], [2.0, 0.0, 5.0]]));
        let said = node.refused([tensor2(&[[1f32]])]);
        assert!(said.contains("`inputdimensions`: expected 1 values") && said.contains("found 2"), "{said}");
        let said = node.clone().ints("inputdimensions", &[i64::MAX, 1]).refused([tensor2(&[[1f32]])]);
        assert!(said.contains("expected 0 to 16777216"), "{said}");
        let uneven = [tensor2(&[[1f32], [2.0]]), tensor2(&[[3f32]])];
        assert!(
            node.run_fixed(uneven).unwrap_err().root_cause().to_string().contains("expected 2 rows, found 1")
        );
    }

    #[test]
    fn zip_map_is_its_scores() {
        let node = node("ZipMap", 1).strings("classlabels_strings", &["a", "b"]);
        let x = tensor2(&[[0.25f32, 0.75]]);
        assert_eq!(node.run([x.clone()]).unwrap()[0], x);
        assert!(node.refused([tensor2(&[[1f32, 2.0, 3.0]])]).contains("expected 2 features, found 3"));
        let ints = node.without("classlabels_strings");
        assert!(ints.refused([x.clone()]).contains("found none"));
        assert_eq!(ints.ints("classlabels_int64s", &[0, 1]).run([x.clone()]).unwrap()[0], x);
    }
}
