//! Shapes of everything in a graph, from those of the weights, in both directions.
//!
//! MXNet infers shapes from inputs to outputs and back until nothing changes
//! (src/imperative/infer_graph_attr_pass.cc); so does this, with rules for the operators that models
//! are made of. An operator without a rule leaves what is around it unknown.
//!
//! Invariant: a dimension is set only where every run of the graph has it. Two rules that disagree
//! mean that the graph or a rule is not understood, and nothing at all is claimed then.

use std::collections::BTreeSet;

use crate::model::contract;
use crate::model::format::mxnet::rules;
use crate::model::format::mxnet::symbol::{Entry, Node, Symbol};

/// A shape; `None` where the rank is unknown.
pub(super) type Shape = Option<contract::Shape>;

/// How often the graph is walked at most; deep networks settle after two or three walks.
const MAX_WALKS: usize = 12;
/// A graph with more edges than networks have is walked once.
const MANY: usize = 100_000;
/// One with so many is not walked: each walk copies a shape for each edge.
const TOO_MANY: usize = 1_000_000;

/// Two rules disagree.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Clash;

/// The result of a rule.
pub(super) type Result<T> = std::result::Result<T, Clash>;

/// What is known of every value in a graph.
#[derive(Clone)]
pub(super) struct Values<T> {
    /// Which outputs of each node are used.
    used: Vec<Vec<usize>>,
    /// Where the first output of each node lies in `all`.
    base: Vec<usize>,
    all: Vec<T>,
}

impl<T: Clone + Default> Values<T> {
    /// Nothing is known of the values of a graph.
    pub(super) fn new(symbol: &Symbol) -> Self {
        let mut used: Vec<BTreeSet<usize>> = vec![BTreeSet::from([0]); symbol.nodes.len()];
        for (node, output) in symbol.nodes.iter().flat_map(|n| &n.inputs).chain(&symbol.heads) {
            used[*node].insert(*output);
        }
        let mut base = Vec::with_capacity(used.len());
        let mut total = 0;
        for outputs in &used {
            base.push(total);
            total += outputs.len();
        }
        let used = used.into_iter().map(|u| u.into_iter().collect()).collect();
        Self { used, base, all: vec![T::default(); total] }
    }

    fn slot(&self, (node, output): Entry) -> usize {
        self.base[node] + self.used[node].binary_search(&output).unwrap_or(0)
    }

    /// What is known of a value.
    pub(super) fn get(&self, entry: Entry) -> &T {
        &self.all[self.slot(entry)]
    }

    /// The place of what is known of a value.
    pub(super) fn get_mut(&mut self, entry: Entry) -> &mut T {
        let slot = self.slot(entry);
        &mut self.all[slot]
    }

    /// The outputs of a node that are used.
    pub(super) fn outputs(&self, node: usize) -> &[usize] {
        &self.used[node]
    }
}

/// Walks the graph both ways until nothing changes.
pub(super) fn settle(symbol: &Symbol, shapes: &mut Values<Shape>) -> Result<()> {
    let edges: usize = symbol.nodes.iter().map(|n| n.inputs.len()).sum();
    let walks = match edges {
        TOO_MANY.. => 0,
        MANY.. => 1,
        _ => MAX_WALKS,
    };
    for _ in 0..walks {
        let mut changed = false;
        for i in (0..symbol.nodes.len()).chain((0..symbol.nodes.len()).rev()) {
            let node = &symbol.nodes[i];
            if node.is_variable() {
                continue;
            }
            let mut step = Step {
                node,
                ins: node.inputs.iter().map(|e| shapes.get(*e).clone()).collect(),
                outs: shapes.outputs(i).iter().map(|o| (*o, shapes.get((i, *o)).clone())).collect(),
                changed: false,
            };
            rules::apply(&mut step)?;
            if !step.changed {
                continue;
            }
            changed = true;
            let Step { ins, outs, .. } = step;
            for (entry, shape) in node.inputs.iter().zip(ins) {
                unify(shapes.get_mut(*entry), &shape)?;
            }
            for (output, shape) in outs {
                unify(shapes.get_mut((i, output)), &shape)?;
            }
        }
        if !changed {
            break;
        }
    }
    Ok(())
}

/// Adds what is known of one shape to another; whether that was anything new.
pub(super) fn unify(into: &mut Shape, from: &Shape) -> Result<bool> {
    let Some(from) = from else { return Ok(false) };
    let Some(dims) = into else {
        *into = Some(from.clone());
        return Ok(true);
    };
    if dims.len() != from.len() {
        return Err(Clash);
    }
    let mut changed = false;
    for (a, b) in dims.iter_mut().zip(from) {
        match (&*a, b) {
            (Some(a), Some(b)) if a != b => return Err(Clash),
            (None, Some(_)) => {
                *a = *b;
                changed = true;
            }
            _ => {}
        }
    }
    Ok(changed)
}

/// One operator with the shapes around it.
pub(super) struct Step<'n> {
    /// The operator.
    pub node: &'n Node,
    ins: Vec<Shape>,
    outs: Vec<(usize, Shape)>,
    changed: bool,
}

impl Step<'_> {
    /// How many inputs there are.
    pub(super) fn inputs(&self) -> usize {
        self.ins.len()
    }

    /// An input's dimensions, where their number is known.
    pub(super) fn input(&self, i: usize) -> Shape {
        self.ins.get(i).cloned().flatten()
    }

    /// An output's dimensions, where their number is known.
    pub(super) fn output(&self, k: usize) -> Shape {
        let at = self.outs.binary_search_by_key(&k, |(o, _)| *o).ok()?;
        self.outs[at].1.clone()
    }

    /// Adds what is known of an input; one that is not there is none.
    pub(super) fn set_input(&mut self, i: usize, shape: contract::Shape) -> Result<()> {
        if let Some(known) = self.ins.get_mut(i) {
            self.changed |= unify(known, &Some(shape))?;
        }
        Ok(())
    }

    /// Adds what is known of an output; one that nobody uses is none.
    pub(super) fn set_output(&mut self, k: usize, shape: contract::Shape) -> Result<()> {
        if let Ok(at) = self.outs.binary_search_by_key(&k, |(o, _)| *o) {
            self.changed |= unify(&mut self.outs[at].1, &Some(shape))?;
        }
        Ok(())
    }

    /// The outputs that somebody uses.
    pub(super) fn used(&self) -> Vec<usize> {
        self.outs.iter().map(|(o, _)| *o).collect()
    }

    /// An input and an output are alike.
    pub(super) fn same(&mut self, i: usize, k: usize) -> Result<()> {
        if let Some(shape) = self.input(i) {
            self.set_output(k, shape)?;
        }
        if let Some(shape) = self.output(k) {
            self.set_input(i, shape)?;
        }
        Ok(())
    }
}

/// The product of dimensions, where all are known.
pub(super) fn product(dims: &[Option<u64>]) -> Option<u64> {
    dims.iter().try_fold(1u64, |n, d| n.checked_mul((*d)?))
}

/// An axis counted from either end.
pub(super) fn axis(axis: i64, rank: usize) -> Option<usize> {
    let rank = i64::try_from(rank).ok()?;
    let at = if axis < 0 { axis + rank } else { axis };
    (0..rank).contains(&at).then_some(usize::try_from(at).ok()?)
}

/// Fills in the one dimension that is missing to a product.
pub(super) fn solve(dims: &mut [Option<u64>], total: u64) -> Result<()> {
    let mut unknown = dims.iter().enumerate().filter(|(_, d)| d.is_none()).map(|(i, _)| i);
    let missing = (unknown.next(), unknown.next());
    let known = dims.iter().flatten().try_fold(1u64, |n, d| n.checked_mul(*d)).ok_or(Clash)?;
    match missing {
        (None, _) if known != total => Err(Clash),
        (Some(at), None) if known > 0 => {
            if !total.is_multiple_of(known) {
                return Err(Clash);
            }
            dims[at] = Some(total / known);
            Ok(())
        }
        _ => Ok(()),
    }
}
