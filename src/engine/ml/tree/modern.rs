//! `TreeEnsemble`, of version 5 of ai.onnx.ml: branches and leaves in tables of their own.
//!
//! Its output has its input's type. Invariant: as for the classic operators, every list is as long
//! as the one that names its table's size, or the node is refused.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::tract_num_traits::Float;

use super::super::attributes::Attributes;
use super::super::kernel::Built;
use super::super::kernel::Kernel;
use super::super::kernel::operator;
use super::super::linear::one;
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

/// Most targets of an ensemble.
const MAX_TARGETS: usize = 1 << 20;

/// The mode of a branch that tests for a set of values.
const MEMBER: u8 = 6;

#[derive(Debug)]
struct Modern {
    ensemble: Ensemble,
    post: Post,
}

/// A number of targets from a file.
pub(super) fn targets(attributes: &Attributes, found: i64) -> TractResult<usize> {
    usize::try_from(found).ok().filter(|n| (1..=MAX_TARGETS).contains(n)).ok_or_else(|| {
        attributes.wrong("n_targets", format_args!("expected 1 to {MAX_TARGETS}, found {found}"))
    })
}

pub(in super::super) fn ensemble(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let attributes = Attributes::new(node);
    let splits = attributes.must("nodes_splits", attributes.tensor(ctx, "nodes_splits")?)?;
    let ensemble = if splits.datum_type() == f64::datum_type() {
        Ensemble::Double(forest(ctx, &attributes, &splits)?)
    } else {
        Ensemble::Single(forest(ctx, &attributes, &splits)?)
    };
    operator(node, Modern { ensemble, post: Post::read_number(&attributes)? })
}

fn forest<F: Float + Datum>(
    ctx: &ParsingContext,
    attributes: &Attributes,
    splits: &Tensor,
) -> TractResult<Forest<F>> {
    let values = numbers::<F>(splits)?;
    let count = values.len();
    let list = |name: &str| {
        let found = attributes.must(name, attributes.ints(name)?)?;
        attributes.as_many(name, found.len(), count, "`nodes_splits`")?;
        TractResult::Ok(found)
    };
    let features = list("nodes_featureids")?;
    let (yes, yes_leaf) = (list("nodes_truenodeids")?, list("nodes_trueleafs")?);
    let (no, no_leaf) = (list("nodes_falsenodeids")?, list("nodes_falseleafs")?);
    let missing = match attributes.ints("nodes_missing_value_tracks_true")? {
        None | Some([]) => &[],
        Some(_) => list("nodes_missing_value_tracks_true")?,
    };
    let modes = attributes.must("nodes_modes", attributes.tensor(ctx, "nodes_modes")?)?;
    let modes = modes.cast_to::<u8>()?;
    let modes = modes.try_as_plain_ram()?.as_slice::<u8>()?;
    attributes.as_many("nodes_modes", modes.len(), count, "`nodes_splits`")?;
    let members = match attributes.tensor(ctx, "membership_values")? {
        Some(all) => numbers::<F>(&all)?,
        None => Vec::new(),
    };
    // The sets stand one after the other, each ended by what is not a number.
    let mut sets = members.split(|v| v.is_nan());
    let mut branches = Vec::with_capacity(count);
    for at in 0..count {
        let (test, values) = match modes[at] {
            MEMBER => {
                let set = sets.next().filter(|set| !set.is_empty());
                (Test::Eq, attributes.must("membership_values", set)?.into())
            }
            mode => (test(attributes, mode)?, tvec!(values[at])),
        };
        branches.push(Seedling {
            values,
            feature: features[at],
            test,
            missing: missing.get(at).is_some_and(|m| *m != 0),
            yes: way(attributes, "nodes_truenodeids", yes[at], yes_leaf[at])?,
            no: way(attributes, "nodes_falsenodeids", no[at], no_leaf[at])?,
        });
    }
    let ids = attributes.must("leaf_targetids", attributes.ints("leaf_targetids")?)?;
    let weights = attributes.must("leaf_weights", attributes.tensor(ctx, "leaf_weights")?)?;
    let weights = numbers::<F>(&weights)?;
    attributes.as_many("leaf_weights", weights.len(), ids.len(), "`leaf_targetids`")?;
    let leaves = ids.iter().zip(weights).map(|(target, weight)| vec![(*target, weight)]).collect();
    let roots = attributes.must("tree_roots", attributes.ints("tree_roots")?)?;
    let roots = roots
        .iter()
        .map(|root| way(attributes, "tree_roots", *root, 0))
        .collect::<TractResult<Vec<Way>>>()?;
    let targets = targets(attributes, attributes.int("n_targets")?.unwrap_or(1))?;
    let aggregate = match attributes.int("aggregate_function")?.unwrap_or(1) {
        0 => Aggregate::Average,
        1 => Aggregate::Sum,
        2 => Aggregate::Min,
        3 => Aggregate::Max,
        other => {
            return Err(
                attributes.wrong("aggregate_function", format_args!("expected 0 to 3, found {other}"))
            );
        }
    };
    Planter { branches, leaves, roots, targets, aggregate, base: Vec::new() }
        .plant()
        .map_err(|e| attributes.unfit(e))
}

fn numbers<F: Datum + Copy>(tensor: &Tensor) -> TractResult<Vec<F>> {
    Ok(tensor.cast_to::<F>()?.try_as_plain_ram()?.as_slice::<F>()?.to_vec())
}

fn test(attributes: &Attributes, mode: u8) -> TractResult<Test> {
    Ok(match mode {
        0 => Test::Leq,
        1 => Test::Lt,
        2 => Test::Gte,
        3 => Test::Gt,
        4 => Test::Eq,
        5 => Test::Neq,
        other => {
            return Err(attributes.wrong("nodes_modes", format_args!("expected 0 to 6, found {other}")));
        }
    })
}

fn way(attributes: &Attributes, name: &str, place: i64, leaf: i64) -> TractResult<Way> {
    let at = usize::try_from(place)
        .map_err(|_| attributes.wrong(name, format_args!("expected a place, found {place}")))?;
    Ok(if leaf == 0 { Way::Branch(at) } else { Way::Leaf(at) })
}

impl Ensemble {
    /// The scores of a batch in the precision of the trees or of the input, the finer of both.
    pub(super) fn regress(&self, input: &Tensor, post: Post) -> TractResult<Tensor> {
        fn regress<F: Float, C>(
            of: &Ensemble,
            forest: &Forest<F>,
            input: &Tensor,
            post: Post,
        ) -> TractResult<Tensor>
        where
            C: Holds<F> + Datum,
        {
            let batch = Rows::<C>::new(input)?;
            of.expect_features(batch.features())?;
            let mut scores = forest.scores(&batch)?;
            scores.chunks_exact_mut(forest.targets).for_each(|row| post.apply(row));
            rows::tensor(&[batch.count(), forest.targets], scores)
        }
        let double = input.datum_type() == f64::datum_type();
        match self {
            Self::Single(forest) if double => regress::<f32, f64>(self, forest, input, post),
            Self::Single(forest) => regress::<f32, f32>(self, forest, input, post),
            Self::Double(forest) => regress::<f64, f64>(self, forest, input, post),
        }
    }
}

impl Kernel for Modern {
    fn name(&self) -> &'static str {
        "TreeEnsemble"
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let input = one(inputs)?;
        let (count, features) = rows::dims(input)?;
        ensure!(input.datum_type.is_float(), "expected floats, found {:?}", input.datum_type);
        self.ensemble.check(&features)?;
        Ok(tvec!(input.datum_type.fact([count, self.ensemble.targets().to_dim()])))
    }

    fn run(&self, inputs: &[&Tensor]) -> TractResult<TVec<Tensor>> {
        let input = one(inputs)?;
        let scores = self.ensemble.regress(input, self.post)?;
        Ok(tvec!(scores.cast_to_dt(input.datum_type())?.into_owned()))
    }
}
