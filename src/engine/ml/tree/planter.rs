//! The planter: makes a [`Forest`] of the nodes that a file lists.
//!
//! It does not read attributes; those who do tell it branches, leaves and roots under names of
//! their own. Invariant: whatever it is told, it ends, and what it gives is acyclic: nodes are laid
//! in the order in which they are reached from the roots, each once.

use std::ops::Range;

use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::tract_num_traits::Float;

use super::Aggregate;
use super::Branch;
use super::Forest;
use super::LEAF;
use super::Test;

/// Most branches, and most votes, of a forest: their places must fit beside the leaf bit.
const MAX_NODES: usize = 1 << 30;

/// Where a branch leads, as the file names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// To a branch, by its place among [`Planter::branches`].
    Branch(usize),
    /// To a leaf, by its place among [`Planter::leaves`].
    Leaf(usize),
}

/// A branch as the file tells it. One that tests for several values is a branch for each of them.
#[derive(Debug)]
pub(super) struct Seedling<F> {
    /// At least one.
    pub(super) values: TVec<F>,
    pub(super) feature: i64,
    pub(super) test: Test,
    pub(super) missing: bool,
    pub(super) yes: Way,
    pub(super) no: Way,
}

/// The parts of a forest before it is checked.
#[derive(Debug)]
pub(super) struct Planter<F> {
    pub(super) branches: Vec<Seedling<F>>,
    /// The votes of each leaf: target and weight.
    pub(super) leaves: Vec<Vec<(i64, F)>>,
    pub(super) roots: Vec<Way>,
    pub(super) targets: usize,
    pub(super) aggregate: Aggregate,
    pub(super) base: Vec<F>,
}

/// The branches that wait for the place of a way, and whether it is theirs when the test holds: those
/// of a chain share that one, the last alone has the other.
type Waiting = (Range<usize>, bool);

/// Where the votes of each leaf begin, and all votes.
type Votes<F> = (Vec<u32>, Vec<(u32, F)>);

impl<F: Float> Planter<F> {
    /// Checks everything and lays it flat.
    ///
    /// # Errors
    ///
    /// When a way leads nowhere, to a branch that was reached before, or a feature or target is
    /// none. The message is to be put behind the node's name.
    pub(super) fn plant(self) -> TractResult<Forest<F>> {
        let (leaves, votes) = self.lay_leaves()?;
        let mut branches: Vec<Branch<F>> = Vec::with_capacity(self.branches.len());
        let mut roots = Vec::with_capacity(self.roots.len());
        let mut reached = vec![false; self.branches.len()];
        let mut features = 0usize;
        let mut open: Vec<(Option<Waiting>, Way)> = self.roots.iter().rev().map(|way| (None, *way)).collect();
        while let Some((waiting, way)) = open.pop() {
            let place = match way {
                Way::Leaf(leaf) => {
                    ensure!(leaf < self.leaves.len(), "a branch leads to leaf {leaf}, which is not there");
                    leaf as u32 | LEAF
                }
                Way::Branch(at) => {
                    let Some(seedling) = self.branches.get(at) else {
                        bail!("a branch leads to node {at}, which is not there");
                    };
                    ensure!(
                        !std::mem::replace(&mut reached[at], true),
                        "node {at} is reached twice: trees share no nodes and do not run in circles"
                    );
                    let feature = u32::try_from(seedling.feature)
                        .ok()
                        .filter(|f| *f < LEAF)
                        .with_context(|| format!("node {at} tests feature {}", seedling.feature))?;
                    features = features.max(feature as usize + 1);
                    let first = branches.len();
                    for value in &seedling.values {
                        branches.push(Branch {
                            value: *value,
                            feature,
                            yes: 0,
                            no: branches.len() as u32 + 1,
                            test: seedling.test,
                            missing: seedling.missing,
                        });
                    }
                    let end = branches.len();
                    ensure!(end > first && end <= MAX_NODES, "node {at}: expected 1 to {MAX_NODES} tests");
                    open.push((Some((end - 1..end, false)), seedling.no));
                    open.push((Some((first..end, true)), seedling.yes));
                    first as u32
                }
            };
            match waiting {
                None => roots.push(place),
                Some((which, true)) => branches[which].iter_mut().for_each(|b| b.yes = place),
                Some((which, false)) => branches[which].iter_mut().for_each(|b| b.no = place),
            }
        }
        let common = common(&branches);
        Ok(Forest {
            roots,
            branches,
            leaves,
            votes,
            targets: self.targets,
            aggregate: self.aggregate,
            base: self.base,
            features,
            common,
        })
    }

    fn lay_leaves(&self) -> TractResult<Votes<F>> {
        let mut starts = Vec::with_capacity(self.leaves.len() + 1);
        let mut votes = Vec::new();
        ensure!(self.leaves.len() <= MAX_NODES, "more than {MAX_NODES} leaves");
        for leaf in &self.leaves {
            starts.push(votes.len() as u32);
            for (target, weight) in leaf {
                let known = usize::try_from(*target).is_ok_and(|t| t < self.targets);
                ensure!(known, "a leaf votes for {target}, expected 0 to {}", self.targets.saturating_sub(1));
                votes.push((*target as u32, *weight));
            }
            ensure!(votes.len() <= MAX_NODES, "more than {MAX_NODES} votes");
        }
        starts.push(votes.len() as u32);
        Ok((starts, votes))
    }
}

/// The test that all branches make, when none treats missing values apart.
fn common<F>(branches: &[Branch<F>]) -> Option<Test> {
    let test = branches.first()?.test;
    branches.iter().all(|b| b.test == test && !b.missing).then_some(test)
}
