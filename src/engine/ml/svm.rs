//! Support vector machines: `SVMClassifier` and `SVMRegressor`.
//!
//! A classifier of k classes is k·(k-1)/2 machines, one for each pair of classes, over common
//! support vectors; the classes vote, or probabilities are fitted to the pairs (Platt) and coupled
//! (Wu, Lin, Weng 2004, the second of their methods, as LIBSVM does). Invariant: every table was
//! checked against the number of classes, vectors and features when the node was read.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::attributes::Attributes;
use super::kernel::Built;
use super::kernel::Kernel as Computation;
use super::kernel::operator;
use super::labels::Labels;
use super::labels::winner;
use super::linear::one;
use super::post::Other;
use super::post::Post;
use super::post::logistic;
use super::rows;
use super::rows::Rows;

/// Most classes of a classifier: the tables grow with the square.
const MAX_CLASSES: usize = 4096;

/// Probabilities of a pair stay this far from 0 and 1.
const MARGIN: f64 = 1e-7;

#[derive(Clone, Copy, Debug)]
enum Shape {
    Linear,
    Poly,
    Rbf,
    Sigmoid,
}

/// The kernel function of two vectors.
#[derive(Clone, Copy, Debug)]
struct Similarity {
    shape: Shape,
    gamma: f32,
    offset: f32,
    degree: f32,
}

impl Similarity {
    fn read(attributes: &Attributes) -> TractResult<Self> {
        let shape = match attributes.string("kernel_type")?.unwrap_or("LINEAR") {
            "LINEAR" => Shape::Linear,
            "POLY" => Shape::Poly,
            "RBF" => Shape::Rbf,
            "SIGMOID" => Shape::Sigmoid,
            other => {
                let found = crate::error::show_bytes(other.as_bytes());
                return Err(attributes.wrong(
                    "kernel_type",
                    format_args!("expected LINEAR, POLY, RBF or SIGMOID, found `{found}`"),
                ));
            }
        };
        let [gamma, offset, degree] = match (attributes.floats("kernel_params")?, shape) {
            (Some(&[gamma, offset, degree]), _) => [gamma, offset, degree],
            (None | Some([]), Shape::Linear) => [0.0; 3],
            (found, _) => {
                let found = found.map_or(0, <[f32]>::len);
                return Err(attributes.wrong(
                    "kernel_params",
                    format_args!("expected 3 values (gamma, coef0, degree), found {found}"),
                ));
            }
        };
        Ok(Self { shape, gamma, offset, degree })
    }

    fn of(self, a: &[f32], b: &[f32]) -> f32 {
        let dot = || a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        match self.shape {
            Shape::Linear => dot(),
            Shape::Poly => {
                let base = self.gamma * dot() + self.offset;
                // Whole degrees, which are all that trainers write, are exact and fast.
                let whole = self.degree as i32;
                if whole as f32 == self.degree { base.powi(whole) } else { base.powf(self.degree) }
            }
            Shape::Sigmoid => (self.gamma * dot() + self.offset).tanh(),
            Shape::Rbf => {
                let distance: f32 = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum();
                (-self.gamma * distance).exp()
            }
        }
    }
}

/// A sum of products. Hundreds of parts of both signs cancel: it is kept in doubles, as trainers do.
fn weighted(weights: &[f32], values: impl Iterator<Item = f32>) -> f64 {
    weights.iter().zip(values).map(|(w, v)| f64::from(*w) * f64::from(v)).sum()
}

/// The number of features of `count` vectors that lie one after the other.
fn features(attributes: &Attributes, name: &str, values: usize, count: usize) -> TractResult<usize> {
    if count == 0 || values == 0 || !values.is_multiple_of(count) {
        return Err(attributes.wrong(
            name,
            format_args!("expected as many values for each of {count} vectors, found {values}"),
        ));
    }
    Ok(values / count)
}

/// How a classifier comes to its scores.
#[derive(Debug)]
enum Machine {
    /// One linear function for each class.
    Linear { rho: f32 },
    /// A machine for each pair of classes.
    Pairs {
        /// Of all classes, one after the other.
        vectors: Vec<f32>,
        /// Where the vectors of each class begin, and where the last ends.
        starts: Vec<usize>,
        rho: Vec<f32>,
        /// Platt's two parameters for each pair.
        platt: Option<Vec<(f32, f32)>>,
    },
}

#[derive(Debug)]
struct Classifier {
    labels: Labels,
    similarity: Similarity,
    /// Linear: of class after class. Pairs: row r holds, for every vector, its part in the machine
    /// of its own class and the r-th of the other classes.
    coefficients: Vec<f32>,
    machine: Machine,
    features: usize,
    post: Post,
}

pub(super) fn classifier(_: &ParsingContext, node: &NodeProto) -> Built {
    let attributes = Attributes::new(node);
    let labels = Labels::read(&attributes, "classlabels_ints", "classlabels_strings")?;
    let classes = labels.len();
    if !(2..=MAX_CLASSES).contains(&classes) {
        return Err(attributes.unfit(format_args!("expected 2 to {MAX_CLASSES} classes, found {classes}")));
    }
    let coefficients = attributes.must("coefficients", attributes.floats("coefficients")?)?.to_vec();
    let rho = attributes.must("rho", attributes.floats("rho")?)?;
    let per_class = attributes.ints("vectors_per_class")?.unwrap_or_default();
    let similarity = Similarity::read(&attributes)?;
    let (features, machine) = if per_class.is_empty() {
        let features = features(&attributes, "coefficients", coefficients.len(), classes)?;
        let rho = rho.first().copied();
        (features, Machine::Linear { rho: attributes.must("rho", rho)? })
    } else {
        attributes.as_many("vectors_per_class", per_class.len(), classes, "the number of classes")?;
        let mut starts = vec![0usize];
        let mut end = 0usize;
        for count in per_class {
            let next = usize::try_from(*count).ok().and_then(|count| end.checked_add(count));
            end = next.ok_or_else(|| {
                attributes.wrong("vectors_per_class", format_args!("expected counts, found {count}"))
            })?;
            starts.push(end);
        }
        let vectors = attributes.must("support_vectors", attributes.floats("support_vectors")?)?.to_vec();
        let features = features(&attributes, "support_vectors", vectors.len(), end)?;
        let wanted = end.saturating_mul(classes - 1);
        attributes.as_many(
            "coefficients",
            coefficients.len(),
            wanted,
            "the number of vectors and classes",
        )?;
        let pairs = classes * (classes - 1) / 2;
        attributes.as_many("rho", rho.len(), pairs, "the number of pairs of classes")?;
        let a = attributes.floats("prob_a")?.unwrap_or_default();
        let b = attributes.floats("prob_b")?.unwrap_or_default();
        let platt = if a.is_empty() && b.is_empty() {
            None
        } else {
            attributes.as_many("prob_a", a.len(), pairs, "the number of pairs of classes")?;
            attributes.as_many("prob_b", b.len(), pairs, "the number of pairs of classes")?;
            Some(a.iter().copied().zip(b.iter().copied()).collect())
        };
        (features, Machine::Pairs { vectors, starts, rho: rho.to_vec(), platt })
    };
    let post = Post::read(&attributes)?;
    operator(node, Classifier { labels, similarity, coefficients, machine, features, post })
}

impl Classifier {
    fn columns(&self) -> usize {
        match &self.machine {
            Machine::Linear { .. } | Machine::Pairs { platt: Some(_), .. } => self.labels.len(),
            // Two classes: the one decision and its opposite.
            Machine::Pairs { rho, .. } => rho.len().max(2),
        }
    }

    /// The winner of one row; its scores are appended.
    fn classify(&self, row: &[f32], scratch: &mut Scratch, scores: &mut Vec<f32>) -> usize {
        let start = scores.len();
        match &self.machine {
            Machine::Linear { rho } => {
                let models = self.coefficients.chunks_exact(self.features);
                scores.extend(models.map(|model| self.similarity.of(row, model) + rho));
                let best = winner(&scores[start..]);
                self.post.apply(&mut scores[start..]);
                best
            }
            Machine::Pairs { vectors, starts, rho, platt } => {
                scratch.similar.clear();
                let all = vectors.chunks_exact(self.features);
                scratch.similar.extend(all.map(|vector| self.similarity.of(row, vector)));
                self.decide(starts, rho, scratch);
                if let Some(platt) = platt {
                    couple(platt, self.labels.len(), scratch);
                    scores.extend(scratch.estimates.iter().map(|p| *p as f32));
                    self.post.apply(&mut scores[start..]);
                } else if let [decision] = *scratch.decisions {
                    let other = if self.post == Post::None { Other::Opposite } else { Other::Rest };
                    scores.extend(self.post.pair(decision, other));
                } else {
                    scores.extend_from_slice(&scratch.decisions);
                    self.post.apply(&mut scores[start..]);
                }
                // The votes decide, as in LIBSVM; the probabilities may see it otherwise.
                winner(&scratch.votes)
            }
        }
    }

    /// The decisions of all pairs and the votes of all classes.
    fn decide(&self, starts: &[usize], rho: &[f32], scratch: &mut Scratch) {
        let vectors = scratch.similar.len();
        scratch.decisions.clear();
        scratch.votes.clear();
        scratch.votes.resize(self.labels.len(), 0);
        let mut rho = rho.iter();
        for first in 0..self.labels.len() {
            for second in first + 1..self.labels.len() {
                let part = |class: usize, row: usize| {
                    let range = starts[class]..starts[class + 1];
                    let weights = &self.coefficients[row * vectors..][range.clone()];
                    weighted(weights, scratch.similar[range].iter().copied())
                };
                let rho = f64::from(rho.next().copied().unwrap_or(0.0));
                let decision = (part(first, second - 1) + part(second, first) + rho) as f32;
                scratch.decisions.push(decision);
                scratch.votes[if decision > 0.0 { first } else { second }] += 1;
            }
        }
    }
}

/// What one row needs in between, kept from row to row.
#[derive(Default)]
struct Scratch {
    similar: Vec<f32>,
    decisions: Vec<f32>,
    votes: Vec<u32>,
    estimates: Vec<f64>,
    pairwise: Vec<f64>,
    table: Vec<f64>,
    product: Vec<f64>,
}

/// Probabilities of the classes from those of the pairs.
///
/// Minimises the sum over pairs of `(r_ji p_i - r_ij p_j)²` with the probabilities summing to 1, by
/// the fixed-point iteration of the paper; the tolerance and the number of rounds are LIBSVM's.
fn couple(platt: &[(f32, f32)], classes: usize, scratch: &mut Scratch) {
    let Scratch { decisions, estimates: p, pairwise: r, table: q, product, .. } = scratch;
    r.clear();
    r.resize(classes * classes, 0.0);
    let mut pairs = decisions.iter().zip(platt);
    for i in 0..classes {
        for j in i + 1..classes {
            let Some((decision, (a, b))) = pairs.next() else { continue };
            let first = f64::from(1.0 - logistic(decision * a + b)).clamp(MARGIN, 1.0 - MARGIN);
            r[i * classes + j] = first;
            r[j * classes + i] = 1.0 - first;
        }
    }
    q.clear();
    q.resize(classes * classes, 0.0);
    for t in 0..classes {
        for j in (0..classes).filter(|j| *j != t) {
            let against = r[j * classes + t];
            q[t * classes + t] += against * against;
            q[t * classes + j] = -against * r[t * classes + j];
        }
    }
    p.clear();
    p.resize(classes, 1.0 / classes as f64);
    product.clear();
    product.resize(classes, 0.0);
    let tolerance = 0.005 / classes as f64;
    for _ in 0..classes.max(100) {
        let mut total = 0.0;
        for t in 0..classes {
            product[t] = q[t * classes..][..classes].iter().zip(p.iter()).map(|(q, p)| q * p).sum();
            total += p[t] * product[t];
        }
        if product.iter().all(|one| (one - total).abs() < tolerance) {
            break;
        }
        for t in 0..classes {
            let own = q[t * classes + t];
            let step = (total - product[t]) / own;
            let scale = 1.0 + step;
            p[t] += step;
            total = (total + step * (step * own + 2.0 * product[t])) / (scale * scale);
            for j in 0..classes {
                product[j] = (product[j] + step * q[t * classes + j]) / scale;
                p[j] /= scale;
            }
        }
    }
}

impl Computation for Classifier {
    fn name(&self) -> &'static str {
        "SVMClassifier"
    }

    fn outputs(&self) -> usize {
        2
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let (count, features) = rows::dims(one(inputs)?)?;
        rows::expect_features(&features, self.features)?;
        let scores = f32::fact([count.clone(), self.columns().to_dim()]);
        Ok(tvec!(self.labels.dtype().fact([count]), scores))
    }

    fn run(&self, inputs: &[&Tensor]) -> TractResult<TVec<Tensor>> {
        let batch = Rows::<f32>::new(one(inputs)?)?;
        batch.expect_features(self.features)?;
        let mut scratch = Scratch::default();
        let mut scores = Vec::new();
        let winners: Vec<usize> = batch
            .values()?
            .chunks_exact(self.features)
            .map(|row| self.classify(row, &mut scratch, &mut scores))
            .collect();
        let shape = [batch.count(), self.columns()];
        Ok(tvec!(self.labels.of(&winners)?, rows::tensor(&shape, scores)?))
    }
}

#[derive(Debug)]
struct Regressor {
    similarity: Similarity,
    /// One for each support vector; without any, one for each feature.
    coefficients: Vec<f32>,
    vectors: Vec<f32>,
    features: usize,
    rho: f32,
    one_class: bool,
}

pub(super) fn regressor(_: &ParsingContext, node: &NodeProto) -> Built {
    let attributes = Attributes::new(node);
    let coefficients = attributes.must("coefficients", attributes.floats("coefficients")?)?.to_vec();
    let rho = attributes.must("rho", attributes.floats("rho")?)?;
    attributes.as_many("rho", rho.len(), 1, "a single machine")?;
    let supports = attributes.int("n_supports")?.unwrap_or(0);
    let supports = usize::try_from(supports)
        .map_err(|_| attributes.wrong("n_supports", format_args!("expected a count, found {supports}")))?;
    let (features, vectors) = if supports == 0 {
        (features(&attributes, "coefficients", coefficients.len(), 1)?, Vec::new())
    } else {
        attributes.as_many("coefficients", coefficients.len(), supports, "`n_supports`")?;
        let vectors = attributes.must("support_vectors", attributes.floats("support_vectors")?)?.to_vec();
        (features(&attributes, "support_vectors", vectors.len(), supports)?, vectors)
    };
    // ONNX Runtime computes no post transform here, and exports rely on none.
    Post::read(&attributes)?;
    let similarity = Similarity::read(&attributes)?;
    let one_class = attributes.flag("one_class", false)?;
    operator(node, Regressor { similarity, coefficients, vectors, features, rho: rho[0], one_class })
}

impl Computation for Regressor {
    fn name(&self) -> &'static str {
        "SVMRegressor"
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let (count, features) = rows::dims(one(inputs)?)?;
        rows::expect_features(&features, self.features)?;
        Ok(tvec!(f32::fact([count, 1.to_dim()])))
    }

    fn run(&self, inputs: &[&Tensor]) -> TractResult<TVec<Tensor>> {
        let batch = Rows::<f32>::new(one(inputs)?)?;
        batch.expect_features(self.features)?;
        let value = |row: &[f32]| {
            let sum = if self.vectors.is_empty() {
                f64::from(self.similarity.of(row, &self.coefficients))
            } else {
                let vectors = self.vectors.chunks_exact(self.features);
                weighted(&self.coefficients, vectors.map(|v| self.similarity.of(row, v)))
            };
            let value = (sum + f64::from(self.rho)) as f32;
            match self.one_class {
                true if value > 0.0 => 1.0,
                true => -1.0,
                false => value,
            }
        };
        let values: Vec<f32> = batch.values()?.chunks_exact(self.features).map(value).collect();
        Ok(tvec!(rows::tensor(&[batch.count(), 1], values)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ml::testing::Node;
    use crate::engine::ml::testing::close;
    use crate::engine::ml::testing::floats;
    use crate::engine::ml::testing::integers;
    use crate::engine::ml::testing::node;
    use crate::engine::ml::testing::words;

    /// Its decision is `x0 - x1 + 0.25`.
    fn pair() -> Node {
        node("SVMClassifier", 2)
            .ints("classlabels_ints", &[7, 9])
            .floats("support_vectors", &[1.0, 0.0, 0.0, 1.0])
            .ints("vectors_per_class", &[1, 1])
            .floats("coefficients", &[1.0, -1.0])
            .floats("rho", &[0.25])
    }

    fn rows() -> Tensor {
        tensor2(&[[2f32, 1.0], [1.0, 2.0]])
    }

    #[test]
    fn two_classes() {
        let y = pair().run([rows()]).unwrap();
        assert_eq!(integers(&y[0]), [7, 9]);
        close(&y[1], &[-1.25, 1.25, 0.75, -0.75]);
        let y = pair().string("post_transform", "SOFTMAX").run([rows()]).unwrap();
        close(&y[1], &[-0.25, 1.25, 1.75, -0.75]);
    }

    #[test]
    fn probabilities_of_two_classes() {
        // The decision is ln 3, of which the logistic function is three quarters.
        let node = pair().floats("rho", &[0.0]).floats("prob_a", &[-1.0]).floats("prob_b", &[0.0]);
        let y = node.run([tensor2(&[[3f32.ln(), 0.0]])]).unwrap();
        let found = floats(&y[1]);
        assert!((found[0] - 0.75).abs() < 3e-3 && (found[0] + found[1] - 1.0).abs() < 1e-6, "{found:?}");
        assert_eq!(integers(&y[0]), [7]);
    }

    /// One vector of one feature for each of three classes.
    fn three() -> Node {
        node("SVMClassifier", 2)
            .strings("classlabels_strings", &["a", "b", "c"])
            .floats("support_vectors", &[1.0; 3])
            .ints("vectors_per_class", &[1; 3])
            .floats("coefficients", &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
            .floats("rho", &[0.0; 3])
    }

    #[test]
    fn pairs_of_classes_vote() {
        let y = three().run([tensor2(&[[1f32], [-1.0]])]).unwrap();
        assert_eq!(words(&y[0]), ["a", "c"]);
        // Of a and b: 1 + 2; of a and c: 8 + 4; of b and c: 16 + 32.
        close(&y[1], &[3.0, 12.0, 48.0, -3.0, -12.0, -48.0]);
        let fitted = three().floats("prob_a", &[-1.0; 3]).floats("prob_b", &[0.0; 3]);
        let y = fitted.run([tensor2(&[[0f32], [1.0]])]).unwrap();
        let found = floats(&y[1]);
        close(&tensor1(&found[..3]), &[1.0 / 3.0; 3]);
        assert!(found[3] > found[4] && found[4] > found[5], "{found:?}");
        assert!((found[3..].iter().sum::<f32>() - 1.0).abs() < 1e-5, "{found:?}");
    }

    #[test]
    fn a_linear_function_for_each_class() {
        let node = node("SVMClassifier", 2)
            .ints("classlabels_ints", &[1, 2, 3])
            .floats("coefficients", &[1.0, 0.0, 0.0, 1.0, 0.5, 0.5])
            .floats("rho", &[0.5]);
        let y = node.run([tensor2(&[[4f32, 2.0], [0.0, 0.0]])]).unwrap();
        assert_eq!(integers(&y[0]), [1, 1]);
        close(&y[1], &[4.5, 2.5, 3.5, 0.5, 0.5, 0.5]);
    }

    #[test]
    fn kernels() {
        let value = |kernel: &str, degree: f32| {
            let node = node("SVMRegressor", 1)
                .string("kernel_type", kernel)
                .floats("kernel_params", &[0.5, 1.0, degree])
                .floats("support_vectors", &[1.0, 1.0])
                .int("n_supports", 1)
                .floats("coefficients", &[2.0])
                .floats("rho", &[10.0]);
            floats(&node.run([tensor2(&[[1f32, -1.0], [1.0, 1.0]])]).unwrap()[0])
        };
        // The products are 0 and 2, the squared distances 4 and 0.
        assert_eq!(value("LINEAR", 0.0), [10.0, 14.0]);
        assert_eq!(value("POLY", 3.0), [12.0, 26.0]);
        close(&tensor1(&value("POLY", 0.5)), &[12.0, 10.0 + 2.0 * 2f32.sqrt()]);
        close(&tensor1(&value("RBF", 0.0)), &[10.0 + 2.0 * (-2f32).exp(), 12.0]);
        close(&tensor1(&value("SIGMOID", 0.0)), &[10.0 + 2.0 * 1f32.tanh(), 10.0 + 2.0 * 2f32.tanh()]);
    }

    #[test]
    fn one_class_tells_the_sign() {
        let node = node("SVMRegressor", 1).floats("coefficients", &[1.0, 1.0]).floats("rho", &[-1.0]);
        let x = tensor2(&[[2f32, 0.0], [0.0, 1.0], [f32::NAN, 0.0]]);
        close(&node.run([x.clone()]).unwrap()[0], &[1.0, 0.0, f32::NAN]);
        close(&node.int("one_class", 1).run([x]).unwrap()[0], &[1.0, -1.0, -1.0]);
    }

    #[test]
    fn tables_must_fit_each_other() {
        let said = |node: Node, expected: &str| {
            let said = node.refused([rows()]);
            assert!(said.contains(expected), "{said}");
        };
        said(pair().ints("classlabels_ints", &[1]), "expected 2 to 4096 classes, found 1");
        said(pair().ints("vectors_per_class", &[1]), "`vectors_per_class`: expected 2 values");
        said(pair().ints("vectors_per_class", &[-1, 3]), "`vectors_per_class`: expected counts, found -1");
        said(pair().ints("vectors_per_class", &[i64::MAX, i64::MAX]), "`support_vectors`: expected");
        said(
            pair().ints("vectors_per_class", &[2, 1]),
            "`support_vectors`: expected as many values for each of 3",
        );
        said(pair().floats("coefficients", &[1.0; 3]), "`coefficients`: expected 2 values");
        said(pair().floats("rho", &[1.0; 2]), "`rho`: expected 1 values");
        said(pair().floats("prob_a", &[1.0]), "`prob_b`: expected 1 values");
        said(pair().string("kernel_type", "COSINE"), "`kernel_type`: expected LINEAR, POLY, RBF or SIGMOID");
        said(pair().string("kernel_type", "RBF"), "`kernel_params`: expected 3 values");
        let regressor = || node("SVMRegressor", 1).floats("coefficients", &[1.0, 1.0]).floats("rho", &[0.0]);
        said(regressor().int("n_supports", -2), "`n_supports`: expected a count, found -2");
        said(regressor().int("n_supports", 3), "`coefficients`: expected 3 values");
        said(regressor().int("n_supports", 2), "`support_vectors`: expected, found none");
        said(regressor().floats("rho", &[]), "`rho`: expected 1 values");
        assert!(pair().refused([tensor2(&[[1f32, 2.0, 3.0]])]).contains("expected 2 features, found 3"));
    }
}
