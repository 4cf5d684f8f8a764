//! Tree ensembles: a forest of decision trees, flat in memory, and the walk through it.
//!
//! The operators that carry one are in [`classic`] (`TreeEnsembleClassifier`,
//! `TreeEnsembleRegressor`) and [`modern`] (`TreeEnsemble`). Invariant: a walk ends. Every child of
//! a branch lies behind it in the table or is a leaf; the one way to make a forest, [`Planter`],
//! lays the nodes in that order and refuses circles and shared branches.

mod classic;
mod modern;
mod planter;

#[cfg(test)]
mod tests;

use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::tract_num_traits::Float;

use super::rows::Rows;

pub(super) use classic::classifier;
pub(super) use classic::regressor;
pub(super) use modern::ensemble;
use planter::Planter;

/// Rows that walk through one tree before the next is looked at: the tree stays in the cache.
const BLOCK: usize = 64;

/// The bit of a place that says leaf rather than branch.
const LEAF: u32 = 1 << 31;

/// The comparison of a branch: the feature against its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Test {
    Leq,
    Lt,
    Gte,
    Gt,
    Eq,
    Neq,
}

impl Test {
    #[inline]
    fn holds<T: Float>(self, feature: T, value: T) -> bool {
        match self {
            Self::Leq => feature <= value,
            Self::Lt => feature < value,
            Self::Gte => feature >= value,
            Self::Gt => feature > value,
            Self::Eq => feature == value,
            Self::Neq => feature != value,
        }
    }
}

/// A branch of a tree.
#[derive(Clone, Copy, Debug)]
struct Branch<F> {
    value: F,
    feature: u32,
    /// Where to go when the test holds, and when not: a branch, or with [`LEAF`] a leaf.
    yes: u32,
    no: u32,
    test: Test,
    /// Whether a feature that is not a number passes the test.
    missing: bool,
}

/// A type that holds every number of another.
trait Holds<F>: Float {
    fn hold(value: F) -> Self;
}

impl Holds<Self> for f32 {
    fn hold(value: Self) -> Self {
        value
    }
}

impl Holds<f32> for f64 {
    fn hold(value: f32) -> Self {
        Self::from(value)
    }
}

impl Holds<Self> for f64 {
    fn hold(value: Self) -> Self {
        value
    }
}

/// How the votes of all trees for one target become its score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aggregate {
    Average,
    Sum,
    Min,
    Max,
}

/// A forest whose values and weights are of one type.
#[derive(Debug)]
struct Forest<F> {
    roots: Vec<u32>,
    branches: Vec<Branch<F>>,
    /// For each leaf where its votes begin; one more at the end.
    leaves: Vec<u32>,
    /// Target and weight.
    votes: Vec<(u32, F)>,
    targets: usize,
    aggregate: Aggregate,
    /// Added to the scores; for each target, or empty.
    base: Vec<F>,
    /// The largest feature that is looked at, and one.
    features: usize,
    /// The test of all branches, where it is the same and no branch treats missing values apart.
    common: Option<Test>,
}

/// The two precisions that attributes come in.
#[derive(Debug)]
enum Ensemble {
    Single(Forest<f32>),
    Double(Forest<f64>),
}

impl Ensemble {
    fn targets(&self) -> usize {
        match self {
            Self::Single(f) => f.targets,
            Self::Double(f) => f.targets,
        }
    }

    fn features(&self) -> usize {
        match self {
            Self::Single(f) => f.features,
            Self::Double(f) => f.features,
        }
    }

    /// Checks the number of features where the shape tells it.
    fn check(&self, features: &TDim) -> TractResult<()> {
        match features.to_i64() {
            Ok(found) => self.expect_features(found as usize),
            Err(_) => Ok(()),
        }
    }

    fn expect_features(&self, found: usize) -> TractResult<()> {
        let wanted = self.features();
        ensure!(found >= wanted, "expected at least {wanted} features, as the trees ask, found {found}");
        Ok(())
    }
}

impl<F: Float> Forest<F> {
    /// The leaf in which a row ends.
    #[inline]
    fn leaf<C: Holds<F>>(&self, root: u32, row: &[C]) -> usize {
        let mut at = root;
        if let Some(test) = self.common {
            // The usual case of the loop below, with the comparison outside it.
            macro_rules! walk {
                ($op:tt) => {
                    while at & LEAF == 0 {
                        let branch = &self.branches[at as usize];
                        let holds = row[branch.feature as usize] $op C::hold(branch.value);
                        at = if holds { branch.yes } else { branch.no };
                    }
                };
            }
            match test {
                Test::Leq => walk!(<=),
                Test::Lt => walk!(<),
                Test::Gte => walk!(>=),
                Test::Gt => walk!(>),
                Test::Eq => walk!(==),
                Test::Neq => walk!(!=),
            }
        }
        while at & LEAF == 0 {
            let branch = &self.branches[at as usize];
            let feature = row[branch.feature as usize];
            let holds =
                branch.test.holds(feature, C::hold(branch.value)) || (branch.missing && feature.is_nan());
            at = if holds { branch.yes } else { branch.no };
        }
        (at & !LEAF) as usize
    }

    /// The scores of all rows for all targets, row after row.
    fn scores<C: Holds<F> + Datum>(&self, batch: &Rows<C>) -> TractResult<Vec<C>> {
        let targets = self.targets;
        let empty = match self.aggregate {
            Aggregate::Average | Aggregate::Sum => C::zero(),
            Aggregate::Min => C::infinity(),
            Aggregate::Max => C::neg_infinity(),
        };
        let wanted = batch.count().checked_mul(targets).context("the scores are too many")?;
        let mut scores = vec![empty; wanted];
        if wanted == 0 {
            return Ok(scores);
        }
        let features = batch.features();
        let values = batch.values()?;
        for (at, block) in scores.chunks_mut(BLOCK * targets).enumerate() {
            let rows = &values[at * BLOCK * features..];
            for root in &self.roots {
                for (n, score) in block.chunks_exact_mut(targets).enumerate() {
                    let row = &rows[n * features..][..features];
                    self.vote(self.leaf(*root, row), score);
                }
            }
            self.finish(block, empty);
        }
        Ok(scores)
    }

    #[inline]
    fn vote<C: Holds<F>>(&self, leaf: usize, scores: &mut [C]) {
        let votes = &self.votes[self.leaves[leaf] as usize..self.leaves[leaf + 1] as usize];
        for (target, weight) in votes {
            let score = &mut scores[*target as usize];
            let weight = C::hold(*weight);
            *score = match self.aggregate {
                Aggregate::Average | Aggregate::Sum => *score + weight,
                Aggregate::Min => score.min(weight),
                Aggregate::Max => score.max(weight),
            };
        }
    }

    fn finish<C: Holds<F>>(&self, scores: &mut [C], empty: C) {
        for score in scores.iter_mut() {
            match self.aggregate {
                Aggregate::Average => {
                    *score = *score / C::hold(F::from(self.roots.len()).unwrap_or_else(F::one));
                }
                // A target that no tree votes for.
                Aggregate::Min | Aggregate::Max if *score == empty => *score = C::zero(),
                _ => {}
            }
        }
        if !self.base.is_empty() {
            for row in scores.chunks_exact_mut(self.targets) {
                for (score, base) in row.iter_mut().zip(&self.base) {
                    *score = *score + C::hold(*base);
                }
            }
        }
    }
}
