//! `TreeEnsembleClassifier` and `TreeEnsembleRegressor`: what every trainer's export carries.
//!
//! Nodes are named by tree and node number; leaves are nodes of the mode `LEAF` and their votes a
//! table of its own. Invariant: the lists of a table are of one length, or the node is refused.
//!
//! For two classes the operator's documentation leaves open what a single score means; then it is
//! what ONNX Runtime 1.32 answers: the score is the second class's, a probability where no weight is
//! negative (it wins above one half), else a margin (it wins above zero).

use std::collections::BTreeMap;

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::tract_num_traits::Float;

use super::super::attributes::Attributes;
use super::super::kernel::Built;
use super::super::kernel::Kernel;
use super::super::kernel::operator;
use super::super::labels::Labels;
use super::super::labels::winner;
use super::super::linear::one;
use super::super::post::Other;
use super::super::post::Post;
use super::super::rows;
use super::super::rows::Rows;
use super::Aggregate;
use super::Ensemble;
use super::Forest;
use super::Holds;
use super::Planter;
use super::Test;
use super::planter::Seedling;
use super::planter::Way;

/// A list of numbers in either precision.
#[derive(Clone, Debug)]
enum Numbers {
    Single(Vec<f32>),
    Double(Vec<f64>),
}

impl Numbers {
    /// Reads an attribute, or the one of the same name that ends in `_as_tensor`.
    fn read(ctx: &ParsingContext, attributes: &Attributes, name: &str) -> TractResult<Option<Self>> {
        let as_tensor = format!("{name}_as_tensor");
        if let Some(tensor) = attributes.tensor(ctx, &as_tensor)? {
            let doubles = tensor.datum_type() == f64::datum_type();
            return Ok(Some(if doubles {
                Self::Double(tensor.try_as_plain_ram()?.as_slice::<f64>()?.to_vec())
            } else {
                let single = tensor.cast_to::<f32>()?;
                Self::Single(single.try_as_plain_ram()?.as_slice::<f32>()?.to_vec())
            }));
        }
        Ok(attributes.floats(name)?.map(|all| Self::Single(all.to_vec())))
    }

    fn len(&self) -> usize {
        match self {
            Self::Single(all) => all.len(),
            Self::Double(all) => all.len(),
        }
    }

    fn into_vec<F: Float>(self) -> Vec<F> {
        // Only ever widens: a forest is single when all its lists are.
        fn all<T: Float, F: Float>(all: Vec<T>) -> Vec<F> {
            all.into_iter().map(|v| F::from(v).unwrap_or_else(F::nan)).collect()
        }
        match self {
            Self::Single(list) => all(list),
            Self::Double(list) => all(list),
        }
    }
}

/// The tables of an ensemble, each checked to be of one length.
struct Tables<'a> {
    attributes: Attributes<'a>,
    trees: &'a [i64],
    ids: &'a [i64],
    features: &'a [i64],
    yes: &'a [i64],
    no: &'a [i64],
    modes: Vec<Option<Test>>,
    missing: &'a [i64],
    values: Numbers,
    vote_trees: &'a [i64],
    vote_nodes: &'a [i64],
    vote_targets: &'a [i64],
    weights: Numbers,
    base: Option<Numbers>,
}

impl<'a> Tables<'a> {
    /// `prefix` is what the table of votes is called: `class` or `target`.
    fn read(ctx: &ParsingContext, node: &'a NodeProto, prefix: &str) -> TractResult<Self> {
        let attributes = Attributes::new(node);
        let list = |name: &str, count: Option<usize>, by: &str| {
            let found = attributes.must(name, attributes.ints(name)?)?;
            if let Some(count) = count {
                attributes.as_many(name, found.len(), count, by)?;
            }
            TractResult::Ok(found)
        };
        let trees = list("nodes_treeids", None, "")?;
        if trees.is_empty() {
            return Err(attributes.wrong("nodes_treeids", "expected at least one node, found none"));
        }
        let (count, by) = (Some(trees.len()), "`nodes_treeids`");
        let missing = match attributes.ints("nodes_missing_value_tracks_true")? {
            None | Some([]) => &[],
            Some(_) => list("nodes_missing_value_tracks_true", count, by)?,
        };
        let values = Numbers::read(ctx, &attributes, "nodes_values")?;
        let values = attributes.must("nodes_values", values)?;
        attributes.as_many("nodes_values", values.len(), trees.len(), by)?;
        let votes = |of: &str| format!("{prefix}_{of}");
        let vote_trees = list(&votes("treeids"), None, "")?;
        let (vote_count, vote_by) = (Some(vote_trees.len()), format!("`{prefix}_treeids`"));
        let weights = Numbers::read(ctx, &attributes, &votes("weights"))?;
        let weights = attributes.must(&votes("weights"), weights)?;
        attributes.as_many(&votes("weights"), weights.len(), vote_trees.len(), &vote_by)?;
        Ok(Self {
            trees,
            ids: list("nodes_nodeids", count, by)?,
            features: list("nodes_featureids", count, by)?,
            yes: list("nodes_truenodeids", count, by)?,
            no: list("nodes_falsenodeids", count, by)?,
            modes: modes(&attributes, trees.len())?,
            missing,
            values,
            vote_trees,
            vote_nodes: list(&votes("nodeids"), vote_count, &vote_by)?,
            vote_targets: list(&votes("ids"), vote_count, &vote_by)?,
            weights,
            base: Numbers::read(ctx, &attributes, "base_values")?.filter(|base| base.len() > 0),
            attributes,
        })
    }

    fn all_positive(&self) -> bool {
        match &self.weights {
            Numbers::Single(all) => all.iter().all(|w| *w >= 0.0),
            Numbers::Double(all) => all.iter().all(|w| *w >= 0.0),
        }
    }

    fn grow(self, targets: usize, aggregate: Aggregate) -> TractResult<Ensemble> {
        let double = [Some(&self.values), Some(&self.weights), self.base.as_ref()]
            .iter()
            .flatten()
            .any(|list| matches!(list, Numbers::Double(_)));
        Ok(if double {
            Ensemble::Double(self.forest(targets, aggregate)?)
        } else {
            Ensemble::Single(self.forest(targets, aggregate)?)
        })
    }

    fn forest<F: Float>(self, targets: usize, aggregate: Aggregate) -> TractResult<Forest<F>> {
        let attributes = self.attributes;
        let places = Places::new(self.trees, self.ids).map_err(|(tree, id)| {
            attributes.wrong(
                "nodes_nodeids",
                format_args!("expected each node of a tree once, found {id} of tree {tree} twice"),
            )
        })?;
        let order = places.roots(self.trees);
        // Branches and leaves get places of their own.
        let mut leaves: Vec<Vec<(i64, F)>> = Vec::new();
        let mut ways = Vec::with_capacity(self.modes.len());
        let mut branches = 0;
        for mode in &self.modes {
            if mode.is_some() {
                ways.push(Way::Branch(branches));
                branches += 1;
            } else {
                ways.push(Way::Leaf(leaves.len()));
                leaves.push(Vec::new());
            }
        }
        let way = |tree: i64, id: i64, name: &str| {
            places.find(tree, id).map(|at| ways[at]).ok_or_else(|| {
                attributes.wrong(name, format_args!("expected a node of tree {tree}, found {id}"))
            })
        };
        let values: Vec<F> = self.values.into_vec();
        let mut seedlings = Vec::with_capacity(branches);
        for (at, mode) in self.modes.iter().enumerate() {
            let Some(test) = mode else { continue };
            let tree = self.trees[at];
            seedlings.push(Seedling {
                values: tvec!(values[at]),
                feature: self.features[at],
                test: *test,
                missing: self.missing.get(at).is_some_and(|m| *m != 0),
                yes: way(tree, self.yes[at], "nodes_truenodeids")?,
                no: way(tree, self.no[at], "nodes_falsenodeids")?,
            });
        }
        let weights: Vec<F> = self.weights.into_vec();
        let votes = self.vote_trees.iter().zip(self.vote_nodes).zip(self.vote_targets).zip(weights);
        for (((tree, id), target), weight) in votes {
            // Some exporters list weights of inner nodes too, which never count.
            if let Way::Leaf(leaf) = way(*tree, *id, "the votes' nodeids")? {
                leaves[leaf].push((*target, weight));
            }
        }
        let roots = order.into_iter().map(|at| ways[at]).collect();
        let base = self.base.map(Numbers::into_vec).unwrap_or_default();
        Planter { branches: seedlings, leaves, roots, targets, aggregate, base }
            .plant()
            .map_err(|e| attributes.unfit(e))
    }
}

/// Where the nodes stand in their table, by tree and number.
struct Places {
    /// In the order of trees and numbers.
    nodes: Vec<((i64, i64), usize)>,
    /// Where each tree begins among them.
    trees: BTreeMap<i64, usize>,
}

impl Places {
    /// The error is a node that is there twice.
    fn new(trees: &[i64], ids: &[i64]) -> Result<Self, (i64, i64)> {
        let names = trees.iter().copied().zip(ids.iter().copied());
        let mut nodes: Vec<((i64, i64), usize)> = names.enumerate().map(|(at, name)| (name, at)).collect();
        // Most files are in this order already, which costs a look at each.
        nodes.sort();
        if let Some(twice) = nodes.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(twice[0].0);
        }
        let mut starts = BTreeMap::new();
        for (at, ((tree, _), _)) in nodes.iter().enumerate() {
            if at == 0 || nodes[at - 1].0.0 != *tree {
                starts.insert(*tree, at);
            }
        }
        Ok(Self { nodes, trees: starts })
    }

    fn find(&self, tree: i64, id: i64) -> Option<usize> {
        let start = *self.trees.get(&tree)?;
        // Where the numbers of a tree have no gaps, the place is known.
        let guess = usize::try_from(id.checked_sub(self.nodes[start].0.1)?).ok()?.checked_add(start)?;
        if let Some((name, at)) = self.nodes.get(guess)
            && *name == (tree, id)
        {
            return Some(*at);
        }
        let found = self.nodes.binary_search_by_key(&(tree, id), |(name, _)| *name);
        found.ok().map(|place| self.nodes[place].1)
    }

    /// The roots, in the order of the table: a tree begins with its own.
    fn roots(&self, trees: &[i64]) -> Vec<usize> {
        let mut open: BTreeMap<i64, usize> = self.trees.clone();
        trees.iter().enumerate().filter(|(_, tree)| open.remove(tree).is_some()).map(|(at, _)| at).collect()
    }
}

fn modes(attributes: &Attributes, count: usize) -> TractResult<Vec<Option<Test>>> {
    let name = "nodes_modes";
    let words = attributes.must(name, attributes.bytes(name)?)?;
    attributes.as_many(name, words.len(), count, "`nodes_treeids`")?;
    let mode = |word: &Vec<u8>| {
        Ok(Some(match word.as_slice() {
            b"BRANCH_LEQ" => Test::Leq,
            b"BRANCH_LT" => Test::Lt,
            b"BRANCH_GTE" => Test::Gte,
            b"BRANCH_GT" => Test::Gt,
            b"BRANCH_EQ" => Test::Eq,
            b"BRANCH_NEQ" => Test::Neq,
            b"LEAF" => return Ok(None),
            other => {
                let found = crate::error::show_bytes(other);
                return Err(attributes.wrong(name, format_args!("expected a mode, found `{found}`")));
            }
        }))
    };
    words.iter().map(mode).collect()
}

/// What a classifier does with the scores of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    /// The largest wins.
    Largest,
    /// Two classes, and all votes are for the one of this number: its score decides.
    Single { voted: usize, other: Other },
}

#[derive(Debug)]
struct Classifier {
    ensemble: Ensemble,
    labels: Labels,
    decision: Decision,
    post: Post,
}

pub(in super::super) fn classifier(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let mut tables = Tables::read(ctx, node, "class")?;
    let attributes = tables.attributes;
    let labels = Labels::read(&attributes, "classlabels_int64s", "classlabels_strings")?;
    let classes = labels.len();
    let bases = tables.base.as_ref().map_or(0, Numbers::len);
    let voted = tables.vote_targets.first().copied().unwrap_or(0);
    let single = classes == 2 && bases != 2 && tables.vote_targets.iter().all(|t| *t == voted);
    let decision = if single {
        let other = if tables.all_positive() { Other::Rest } else { Other::Opposite };
        // The one base belongs to the one score, wherever that stands.
        if let (Some(base), 1) = (&mut tables.base, voted) {
            match base {
                Numbers::Single(all) => all.insert(0, 0.0),
                Numbers::Double(all) => all.insert(0, 0.0),
            }
        }
        Decision::Single { voted: usize::from(voted == 1), other }
    } else {
        if bases != 0 {
            attributes.as_many("base_values", bases, classes, "the number of classes")?;
        }
        Decision::Largest
    };
    if single && bases > 1 {
        attributes.as_many("base_values", bases, classes, "the number of classes")?;
    }
    let ensemble = tables.grow(classes, Aggregate::Sum)?;
    operator(node, Classifier { ensemble, labels, decision, post: Post::read(&attributes)? })
}

impl Classifier {
    fn classify<F: Float, C>(&self, forest: &Forest<F>, input: &Tensor) -> TractResult<TVec<Tensor>>
    where
        C: Holds<F> + Datum,
    {
        let batch = Rows::<C>::new(input)?;
        self.ensemble.expect_features(batch.features())?;
        let mut scores = forest.scores(&batch)?;
        let mut winners = Vec::with_capacity(batch.count());
        for row in scores.chunks_exact_mut(self.labels.len()) {
            winners.push(match self.decision {
                Decision::Largest => winner(row),
                Decision::Single { voted, other } => {
                    let score = row[voted];
                    let half = C::hold(F::from(0.5).unwrap_or_else(F::zero));
                    let bound = if other == Other::Rest { half } else { C::zero() };
                    if voted == 0 {
                        row.copy_from_slice(&self.post.pair(score, other));
                    }
                    usize::from(score > bound)
                }
            });
            if !matches!(self.decision, Decision::Single { voted: 0, .. }) {
                self.post.apply(row);
            }
        }
        let shape = [batch.count(), self.labels.len()];
        let scores = rows::tensor(&shape, scores)?.cast_to::<f32>()?.into_owned();
        Ok(tvec!(self.labels.of(&winners)?, scores))
    }
}

impl Kernel for Classifier {
    fn name(&self) -> &'static str {
        "TreeEnsembleClassifier"
    }

    fn outputs(&self) -> usize {
        2
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let (count, features) = rows::dims(one(inputs)?)?;
        self.ensemble.check(&features)?;
        let scores = f32::fact([count.clone(), self.labels.len().to_dim()]);
        Ok(tvec!(self.labels.dtype().fact([count]), scores))
    }

    fn run(&self, inputs: &[&Tensor]) -> TractResult<TVec<Tensor>> {
        let input = one(inputs)?;
        let double = input.datum_type() == f64::datum_type();
        match &self.ensemble {
            Ensemble::Single(forest) if double => self.classify::<f32, f64>(forest, input),
            Ensemble::Single(forest) => self.classify::<f32, f32>(forest, input),
            Ensemble::Double(forest) => self.classify::<f64, f64>(forest, input),
        }
    }
}

#[derive(Debug)]
struct Regressor {
    ensemble: Ensemble,
    post: Post,
}

pub(in super::super) fn regressor(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let tables = Tables::read(ctx, node, "target")?;
    let attributes = tables.attributes;
    let targets = attributes.must("n_targets", attributes.int("n_targets")?)?;
    let targets = super::modern::targets(&attributes, targets)?;
    let aggregate = match attributes.string("aggregate_function")? {
        None | Some("SUM" | "") => Aggregate::Sum,
        Some("AVERAGE") => Aggregate::Average,
        Some("MIN") => Aggregate::Min,
        Some("MAX") => Aggregate::Max,
        Some(other) => {
            let found = crate::error::show_bytes(other.as_bytes());
            return Err(attributes.wrong(
                "aggregate_function",
                format_args!("expected SUM, AVERAGE, MIN or MAX, found `{found}`"),
            ));
        }
    };
    if let Some(base) = &tables.base {
        attributes.as_many("base_values", base.len(), targets, "`n_targets`")?;
    }
    let ensemble = tables.grow(targets, aggregate)?;
    operator(node, Regressor { ensemble, post: Post::read(&attributes)? })
}

impl Kernel for Regressor {
    fn name(&self) -> &'static str {
        "TreeEnsembleRegressor"
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let (count, features) = rows::dims(one(inputs)?)?;
        self.ensemble.check(&features)?;
        Ok(tvec!(f32::fact([count, self.ensemble.targets().to_dim()])))
    }

    fn run(&self, inputs: &[&Tensor]) -> TractResult<TVec<Tensor>> {
        let scores = self.ensemble.regress(one(inputs)?, self.post)?;
        Ok(tvec!(scores.cast_to::<f32>()?.into_owned()))
    }
}
