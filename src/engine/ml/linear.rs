//! Linear models: `LinearClassifier` and `LinearRegressor`.
//!
//! They are not matrix products of a network: they add intercepts, transform scores and name the
//! class that won. Invariant: coefficients lie model after model, as many for each.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::attributes::Attributes;
use super::kernel::Built;
use super::kernel::Kernel;
use super::kernel::operator;
use super::labels::Labels;
use super::labels::winner;
use super::post::Other;
use super::post::Post;
use super::rows;
use super::rows::Rows;

/// Several linear functions of one row.
#[derive(Debug)]
struct Linear {
    coefficients: Vec<f32>,
    /// One for each function.
    intercepts: Vec<f32>,
}

impl Linear {
    fn read(attributes: &Attributes, count: usize) -> TractResult<Self> {
        let coefficients = attributes.must("coefficients", attributes.floats("coefficients")?)?.to_vec();
        if count == 0 || coefficients.is_empty() || !coefficients.len().is_multiple_of(count) {
            let found = coefficients.len();
            return Err(attributes.wrong(
                "coefficients",
                format_args!("expected as many values for each of the {count} models, found {found}"),
            ));
        }
        let intercepts = match attributes.floats("intercepts")? {
            None | Some([]) => vec![0.0; count],
            Some(found) => {
                attributes.as_many("intercepts", found.len(), count, "the number of models")?;
                found.to_vec()
            }
        };
        Ok(Self { coefficients, intercepts })
    }

    fn features(&self) -> usize {
        self.coefficients.len() / self.intercepts.len()
    }

    /// The values of all functions for all rows, row after row.
    fn scores(&self, input: &Tensor) -> TractResult<(usize, Vec<f32>)> {
        let batch = Rows::<f32>::new(input)?;
        batch.expect_features(self.features())?;
        let mut scores = Vec::with_capacity(batch.count().saturating_mul(self.intercepts.len()));
        for row in batch.values()?.chunks_exact(self.features()) {
            for (model, intercept) in self.coefficients.chunks_exact(row.len()).zip(&self.intercepts) {
                scores.push(model.iter().zip(row).map(|(c, x)| c * x).sum::<f32>() + intercept);
            }
        }
        Ok((batch.count(), scores))
    }
}

#[derive(Debug)]
struct Classifier {
    linear: Linear,
    labels: Labels,
    post: Post,
}

pub(super) fn classifier(_: &ParsingContext, node: &NodeProto) -> Built {
    let attributes = Attributes::new(node);
    let labels = Labels::read(&attributes, "classlabels_ints", "classlabels_strings")?;
    let count = match attributes.floats("intercepts")? {
        None | Some([]) => labels.len(),
        Some(found) => found.len(),
    };
    // One model of two classes answers for the second.
    if count > labels.len() || (count == 1 && labels.len() > 2) {
        return Err(attributes.wrong(
            "intercepts",
            format_args!("expected one for each of the {} classes, found {count}", labels.len()),
        ));
    }
    let linear = Linear::read(&attributes, count)?;
    operator(node, Classifier { linear, labels, post: Post::read(&attributes)? })
}

impl Classifier {
    /// Whether one model decides between two classes.
    fn binary(&self) -> bool {
        self.linear.intercepts.len() == 1 && self.labels.len() == 2
    }

    fn columns(&self) -> usize {
        if self.binary() { 2 } else { self.linear.intercepts.len() }
    }
}

impl Kernel for Classifier {
    fn name(&self) -> &'static str {
        "LinearClassifier"
    }

    fn outputs(&self) -> usize {
        2
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let (count, features) = rows::dims(one(inputs)?)?;
        rows::expect_features(&features, self.linear.features())?;
        let scores = f32::fact([count.clone(), self.columns().to_dim()]);
        Ok(tvec!(self.labels.dtype().fact([count]), scores))
    }

    fn run(&self, inputs: &[&Tensor]) -> TractResult<TVec<Tensor>> {
        let (count, mut scores) = self.linear.scores(one(inputs)?)?;
        let models = self.linear.intercepts.len();
        let winners: Vec<usize> = if self.binary() {
            scores.iter().map(|score| usize::from(*score > 0.0)).collect()
        } else {
            scores.chunks_exact(models).map(winner).collect()
        };
        if self.binary() {
            scores = scores.iter().flat_map(|score| self.post.pair(*score, Other::Rest)).collect();
        } else {
            scores.chunks_exact_mut(models).for_each(|row| self.post.apply(row));
        }
        Ok(tvec!(self.labels.of(&winners)?, rows::tensor(&[count, self.columns()], scores)?))
    }
}

#[derive(Debug)]
struct Regressor {
    linear: Linear,
    post: Post,
}

pub(super) fn regressor(_: &ParsingContext, node: &NodeProto) -> Built {
    let attributes = Attributes::new(node);
    let targets = attributes.int("targets")?.unwrap_or(1);
    let targets = usize::try_from(targets)
        .map_err(|_| attributes.wrong("targets", format_args!("expected a count, found {targets}")))?;
    let linear = Linear::read(&attributes, targets)?;
    operator(node, Regressor { linear, post: Post::read(&attributes)? })
}

impl Kernel for Regressor {
    fn name(&self) -> &'static str {
        "LinearRegressor"
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let (count, features) = rows::dims(one(inputs)?)?;
        rows::expect_features(&features, self.linear.features())?;
        Ok(tvec!(f32::fact([count, self.linear.intercepts.len().to_dim()])))
    }

    fn run(&self, inputs: &[&Tensor]) -> TractResult<TVec<Tensor>> {
        let (count, mut scores) = self.linear.scores(one(inputs)?)?;
        let targets = self.linear.intercepts.len();
        scores.chunks_exact_mut(targets).for_each(|row| self.post.apply(row));
        Ok(tvec!(rows::tensor(&[count, targets], scores)?))
    }
}

/// The only input.
pub(super) fn one<T: Copy>(inputs: &[T]) -> TractResult<T> {
    match inputs {
        [input] => Ok(*input),
        more => bail!("expected 1 input, found {}", more.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ml::testing::Node;
    use crate::engine::ml::testing::close;
    use crate::engine::ml::testing::integers;
    use crate::engine::ml::testing::node;
    use crate::engine::ml::testing::words;

    fn classifier() -> Node {
        node("LinearClassifier", 2).floats("coefficients", &[1.0, -1.0]).floats("intercepts", &[0.5])
    }

    #[test]
    fn one_model_of_two_classes() {
        let node = classifier().ints("classlabels_ints", &[7, 9]);
        let x = tensor2(&[[2f32, 1.0], [0.0, 0.5], [0.0, 2.0]]);
        let y = node.run([x.clone()]).unwrap();
        assert_eq!(integers(&y[0]), [9, 7, 7]);
        close(&y[1], &[-0.5, 1.5, 1.0, 0.0, 2.5, -1.5]);
        let y = node.string("post_transform", "LOGISTIC").run([tensor2(&[[3f32.ln(), 0.5]])]).unwrap();
        close(&y[1], &[0.25, 0.75]);
    }

    #[test]
    fn a_model_for_each_class() {
        let node = node("LinearClassifier", 2)
            .floats("coefficients", &[1.0, 0.0, 0.0, 1.0, 0.0, 0.0])
            .floats("intercepts", &[0.0, 0.0, 2f32.ln()])
            .strings("classlabels_strings", &["a", "b", "c"])
            .string("post_transform", "SOFTMAX");
        let y = node.run([tensor2(&[[0f32, 5f32.ln()], [0.0, 0.0]])]).unwrap();
        assert_eq!(words(&y[0]), ["b", "c"]);
        close(&y[1], &[0.125, 0.625, 0.25, 0.25, 0.25, 0.5]);
        // Without intercepts there is a model for each class too; equals go to the first.
        let y = node.without("intercepts").run([tensor1(&[1i64, 1]).into_shape(&[1, 2]).unwrap()]).unwrap();
        assert_eq!(words(&y[0]), ["a"]);
    }

    #[test]
    fn only_the_label_or_only_the_scores_may_be_wanted() {
        let mut node = classifier().ints("classlabels_ints", &[7, 9]);
        node.0.output.pop();
        assert_eq!(integers(&node.run([tensor2(&[[2f32, 1.0]])]).unwrap()[0]), [9]);
        node.0.output = vec![String::new(), "scores".into()];
        close(&node.run([tensor2(&[[2f32, 1.0]])]).unwrap()[0], &[-0.5, 1.5]);
        node.0.output = vec!["a".into(), "b".into(), "c".into()];
        assert!(node.refused([tensor2(&[[2f32, 1.0]])]).contains("expected 1 to 2 outputs, found 3"));
    }

    #[test]
    fn regression_of_several_targets() {
        let node = node("LinearRegressor", 1)
            .int("targets", 2)
            .floats("coefficients", &[1.0, 2.0, 3.0, 4.0])
            .floats("intercepts", &[0.5, -0.5]);
        let y = node.run([tensor2(&[[1f32, 10.0], [f32::NAN, 0.0]])]).unwrap();
        assert_eq!(y[0].shape(), [2, 2]);
        close(&y[0], &[21.5, 42.5, f32::NAN, f32::NAN]);
        assert_eq!(node.run([Tensor::zero::<f32>(&[0, 2]).unwrap()]).unwrap()[0].shape(), [0, 2]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let x = || [tensor2(&[[2f32, 1.0]])];
        let said = |node: Node, expected: &str| {
            let said = node.refused(x());
            assert!(said.contains(expected), "{said}");
        };
        let labelled = || classifier().ints("classlabels_ints", &[7, 9]);
        said(
            classifier(),
            "expected one of the attributes `classlabels_ints`, `classlabels_strings`, found none",
        );
        said(
            labelled().strings("classlabels_strings", &["a"]),
            "found `classlabels_ints`, `classlabels_strings`",
        );
        said(
            labelled().ints("classlabels_ints", &[1, 2, 3]),
            "`intercepts`: expected one for each of the 3 classes",
        );
        said(labelled().floats("intercepts", &[0.0; 2]).floats("coefficients", &[0.0; 3]), "found 3");
        said(labelled().floats("coefficients", &[0.0; 3]), "expected 3 features, found 2");
        said(labelled().without("coefficients"), "`coefficients`: expected, found none");
        said(labelled().int("coefficients", 3), "`coefficients`: ");
        let regressor = node("LinearRegressor", 1).floats("coefficients", &[1.0, 2.0]);
        said(regressor.clone().int("targets", -1), "`targets`: expected a count, found -1");
        said(regressor.clone().int("targets", 0), "`coefficients`: expected as many values");
        let cube = Tensor::zero::<f32>(&[1, 1, 2]).unwrap();
        assert!(regressor.refused([cube]).contains("expected an input of the shape [N, F] or [F]"));
    }
}
