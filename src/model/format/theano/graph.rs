//! Theano's graph as a pickle has it: variables, the operations that make them, and their shapes.
//!
//! A variable's type has its dtype and rank; sizes follow from the arrays of shared variables
//! through the operations. Rules are in the operators' own `infer_shape` (theano/tensor/basic.py,
//! elemwise.py, blas.py, nnet/nnet.py, subtensor.py).
//!
//! Invariants: no recursion; a rule either holds for every run of the graph, or it is not here. Two
//! sizes that contradict each other make neither known.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::contract::{DType, Encoding, Shape};
use crate::model::format::MAX_RANK;
use crate::model::pickle::{Id, Pickle};

/// The most operations that are looked at.
const MAX_NODES: usize = 50_000;
/// How often the rules are gone through; few need what a later one tells.
const ROUNDS: usize = 3;

/// A pickled graph.
pub(super) struct Graph<'p> {
    pub(super) tree: &'p Pickle,
    dims: Dims,
    shapes: BTreeMap<Id, Option<Vec<usize>>>,
}

/// What a variable's type says.
pub(super) struct Type {
    pub(super) dtype: Option<DType>,
    pub(super) encoding: Encoding,
    shape: Option<Shape>,
}

/// Sizes, of which some are known to be one and the same.
#[derive(Default)]
struct Dims {
    parent: Vec<usize>,
    size: Vec<Option<u64>>,
    /// Where two sizes were claimed.
    torn: BTreeSet<usize>,
}

impl Dims {
    fn new_dim(&mut self, size: Option<u64>) -> usize {
        self.parent.push(self.parent.len());
        self.size.push(size);
        self.parent.len() - 1
    }

    fn root(&mut self, mut at: usize) -> usize {
        while self.parent[at] != at {
            self.parent[at] = self.parent[self.parent[at]];
            at = self.parent[at];
        }
        at
    }

    fn same(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        if a == b {
            return;
        }
        self.parent[b] = a;
        let torn = self.torn.contains(&b);
        match (self.size[a], self.size[b]) {
            (Some(x), Some(y)) if x != y => {
                self.torn.insert(a);
            }
            (None, known) => self.size[a] = known,
            _ => {}
        }
        if torn {
            self.torn.insert(a);
        }
    }

    fn is(&mut self, dim: usize, size: u64) {
        let known = self.new_dim(Some(size));
        self.same(dim, known);
    }

    fn get(&mut self, dim: usize) -> Option<u64> {
        let root = self.root(dim);
        self.size[root].filter(|_| !self.torn.contains(&root))
    }
}

/// Whether a module is Theano's or an heir's.
pub(super) fn is_theano(module: &str) -> bool {
    matches!(module.split('.').next(), Some("theano" | "aesara" | "pytensor"))
}

/// One operation: its name, itself, and what goes in and comes out.
struct Apply<'p> {
    name: &'p str,
    op: Id,
    inputs: &'p [Id],
    outputs: &'p [Id],
}

impl<'p> Graph<'p> {
    pub(super) fn new(tree: &'p Pickle) -> Self {
        Self { tree, dims: Dims::default(), shapes: BTreeMap::new() }
    }

    /// The name of an object's class, if the class is Theano's.
    pub(super) fn class(&self, id: Id) -> Option<&'p str> {
        self.tree.class(id).filter(|(module, _)| is_theano(module)).map(|(_, name)| name)
    }

    /// Whether a node is a variable of any kind.
    pub(super) fn is_variable(&self, id: Id) -> bool {
        self.class(id).is_some_and(|c| c.ends_with("Variable") || self.is_constant(id))
            && self.tree.attr(id, "type").is_some()
    }

    fn is_constant(&self, id: Id) -> bool {
        self.class(id).is_some_and(|c| c.ends_with("Constant"))
    }

    /// Whether a variable holds an array of its own: weights.
    pub(super) fn is_shared(&self, id: Id) -> bool {
        self.class(id).is_some_and(|c| c.ends_with("SharedVariable"))
    }

    /// The name that its author gave a variable.
    pub(super) fn name(&self, id: Id) -> Option<&'p str> {
        self.tree.attr(id, "name").and_then(|n| self.tree.str(n)).filter(|n| !n.is_empty())
    }

    fn owner(&self, id: Id) -> Option<Id> {
        self.tree.attr(id, "owner").filter(|o| !self.tree.is_none(*o))
    }

    fn apply(&self, id: Id) -> Option<Apply<'p>> {
        let op = self.tree.attr(id, "op")?;
        Some(Apply {
            name: self.class(op).or_else(|| self.tree.global(op).map(|g| g.1))?,
            op,
            inputs: self.tree.elements(self.tree.attr(id, "inputs")?)?,
            outputs: self.tree.elements(self.tree.attr(id, "outputs")?)?,
        })
    }

    /// The type of a variable.
    pub(super) fn variable_type(&self, id: Id) -> Option<Type> {
        let of = self.tree.attr(id, "type")?;
        let name = self.class(of)?;
        let dtype = || {
            let spec = self.tree.attr(of, "dtype").and_then(|d| self.tree.str(d))?;
            spec.parse().ok()
        };
        Some(match name {
            // `GpuArrayType`, `CudaNdarrayType` and others are kinds of tensors.
            _ if name.contains("Sparse") => {
                Type { dtype: dtype(), encoding: Encoding::Sparse, shape: Some(vec![None, None]) }
            }
            "Scalar" | "ScalarType" => {
                Type { dtype: dtype(), encoding: Encoding::Dense, shape: Some(Vec::new()) }
            }
            "CudaNdarrayType" => {
                Type { dtype: Some(DType::Float32), encoding: Encoding::Dense, shape: self.static_shape(of) }
            }
            "TensorType" | "GpuArrayType" => {
                Type { dtype: dtype(), encoding: Encoding::Dense, shape: self.static_shape(of) }
            }
            _ => Type { dtype: None, encoding: Encoding::Composite, shape: None },
        })
    }

    /// What a tensor's type says about its shape: the rank, and which sizes are one. Aesara and
    /// PyTensor say other sizes too.
    fn static_shape(&self, of: Id) -> Option<Shape> {
        let dims = |name| self.tree.attr(of, name).and_then(|s| self.tree.elements(s));
        if let Some(sizes) = dims("shape").filter(|s| s.len() <= MAX_RANK) {
            return Some(sizes.iter().map(|s| u64::try_from(self.tree.int(*s)?).ok()).collect());
        }
        let flags = dims("broadcastable").filter(|s| s.len() <= MAX_RANK)?;
        flags.iter().map(|f| self.tree.bool(*f).map(|one| one.then_some(1))).collect()
    }

    /// The shape of the array that a shared variable or a constant holds.
    pub(super) fn data_shape(&self, id: Id) -> Option<&'p [u64]> {
        let array = if self.is_constant(id) {
            self.tree.attr(id, "data")?
        } else {
            let container = self.tree.attr(id, "container")?;
            *self.tree.elements(self.tree.attr(container, "storage")?)?.first()?
        };
        self.tree.array(array).map(|a| a.shape.as_slice())
    }

    /// The sizes of a variable, `None` where its rank is not known.
    fn shape(&mut self, id: Id) -> Option<Vec<usize>> {
        if let Some(known) = self.shapes.get(&id) {
            return known.clone();
        }
        let mut shape = self.variable_type(id).and_then(|t| t.shape);
        if let Some(data) = self.data_shape(id)
            && shape.as_ref().is_none_or(|s| s.len() == data.len())
        {
            shape = Some(data.iter().map(|n| Some(*n)).collect());
        }
        let dims = shape.map(|s| s.into_iter().map(|n| self.dims.new_dim(n)).collect::<Vec<_>>());
        self.shapes.insert(id, dims.clone());
        dims
    }

    /// What is known about a variable's shape after [`Graph::propagate`].
    pub(super) fn known_shape(&mut self, id: Id) -> Option<Shape> {
        Some(self.shape(id)?.into_iter().map(|d| self.dims.get(d)).collect())
    }

    /// The variables from which others are made, in the order in which they are met: inputs and
    /// shared ones. Whether all were looked at comes second.
    pub(super) fn propagate(&mut self, outputs: &[Id]) -> (Vec<Id>, bool) {
        let mut roots = Vec::new();
        let mut applies = Vec::new();
        let mut seen = BTreeSet::new();
        let mut todo: Vec<Id> = outputs.iter().rev().copied().collect();
        let mut whole = true;
        while let Some(id) = todo.pop() {
            if !seen.insert(id) {
                continue;
            }
            let Some(owner) = self.owner(id) else {
                if self.is_variable(id) && !self.is_constant(id) {
                    roots.push(id);
                }
                continue;
            };
            if !seen.insert(owner) {
                continue;
            }
            if applies.len() >= MAX_NODES {
                whole = false;
                break;
            }
            if let Some(apply) = self.apply(owner) {
                if self.tree.copy(size_of_val(apply.inputs)).is_none() {
                    whole = false;
                    break;
                }
                todo.extend(apply.inputs.iter().rev());
                applies.push(apply);
            }
        }
        // What is made first comes last in the walk.
        for _ in 0..ROUNDS {
            for apply in applies.iter().rev() {
                self.rule(apply);
            }
        }
        (roots, whole)
    }

    /// Says that sizes are the same, position by position.
    fn equal(&mut self, a: &[usize], b: &[usize]) {
        if a.len() == b.len() {
            for (x, y) in a.iter().zip(b) {
                self.dims.same(*x, *y);
            }
        }
    }

    /// What one operation tells; `None` where nothing.
    fn rule(&mut self, apply: &Apply<'_>) -> Option<()> {
        // Many operations may have one list in common.
        self.tree.look(apply.outputs.len().saturating_mul(apply.inputs.len().max(4)))?;
        let first = *apply.outputs.first()?;
        let out = self.shape(first)?;
        let input = |graph: &mut Self, at: usize| graph.shape(*apply.inputs.get(at)?);
        match apply.name {
            "Elemwise" | "GpuElemwise" => {
                for output in apply.outputs {
                    let out = self.shape(*output)?;
                    for variable in apply.inputs {
                        let dims = self.shape(*variable)?;
                        if dims.len() != out.len() {
                            return None;
                        }
                        let flags = self.variable_type(*variable).and_then(|t| t.shape)?;
                        for ((dim, to), flag) in dims.iter().zip(&out).zip(flags) {
                            // A size of one may stretch, if the type says that it is one.
                            if flag != Some(1) {
                                self.dims.same(*to, *dim);
                            }
                        }
                    }
                }
            }
            "Softmax"
            | "LogSoftmax"
            | "Rebroadcast"
            | "DeepCopyOp"
            | "ViewOp"
            | "OutputGuard"
            | "Assert"
            | "CheckAndRaise"
            | "CumOp"
            | "CumsumOp"
            | "SortOp"
            | "IncSubtensor"
            | "AdvancedIncSubtensor1"
            | "Unbroadcast"
            | "GpuFromHost"
            | "HostFromGpu"
            | "SpecifyShape" => {
                let same = input(self, 0)?;
                self.equal(&out, &same);
            }
            "SoftmaxWithBias" => {
                let (x, b) = (input(self, 0)?, input(self, 1)?);
                self.equal(&out, &x);
                self.dims.same(*b.first()?, *x.get(1)?);
            }
            "Dot" | "Dot22" | "Dot22Scalar" => {
                let (a, b) = (input(self, 0)?, input(self, 1)?);
                self.product(&a, &b, &out);
            }
            "Gemm" | "GpuGemm" => {
                let (z, x, y) = (input(self, 0)?, input(self, 2)?, input(self, 3)?);
                self.equal(&out, &z);
                self.product(&x, &y, &out);
            }
            "Gemv" | "CGemv" | "GpuGemv" => {
                let (y, a, x) = (input(self, 0)?, input(self, 2)?, input(self, 3)?);
                self.equal(&out, &y);
                self.product(&a, &x, &out);
            }
            "BatchedDot" => {
                let (a, b) = (input(self, 0)?, input(self, 1)?);
                self.dims.same(*a.first()?, *b.first()?);
                self.dims.same(*a.first()?, *out.first()?);
                self.product(a.get(1..)?, b.get(1..)?, out.get(1..)?);
            }
            "DimShuffle" | "InplaceDimShuffle" | "GpuDimShuffle" => {
                let from = input(self, 0)?;
                let order = self.tree.elements(self.tree.attr(apply.op, "new_order")?)?;
                if order.len() != out.len() {
                    return None;
                }
                for (to, place) in out.iter().zip(order) {
                    if let Some(at) = self.tree.int(*place).and_then(|n| usize::try_from(n).ok()) {
                        self.dims.same(*to, *from.get(at)?);
                    }
                }
            }
            "Sum" | "Prod" | "Mean" | "CAReduce" | "CAReduceDtype" | "Max" | "Min" | "Argmax"
            | "MaxAndArgmax" | "All" | "Any" => self.reduce(apply)?,
            "AdvancedSubtensor1" => {
                let (from, index) = (input(self, 0)?, input(self, 1)?);
                self.dims.same(*out.first()?, *index.first()?);
                self.equal(out.get(1..)?, from.get(1..)?);
            }
            "Subtensor" => self.subtensor(apply, &out)?,
            "Join" => self.join(apply, &out)?,
            "Reshape" => {
                let sizes = *apply.inputs.get(1)?;
                self.reshape(sizes, &out)?;
            }
            "AbstractConv2d" | "ConvOp" => {
                let (x, kernels) = (input(self, 0)?, input(self, 1)?);
                self.dims.same(*out.first()?, *x.first()?);
                self.dims.same(*out.get(1)?, *kernels.first()?);
                let groups = self.tree.attr(apply.op, "num_groups").and_then(|n| self.tree.int(n));
                if groups.is_none_or(|n| n == 1) && kernels.len() == 4 {
                    self.dims.same(*x.get(1)?, *kernels.get(1)?);
                }
                // What the author declared, and the operation checks as it runs.
                if let Some(declared) = self.tree.attr(apply.op, "imshp").and_then(|s| self.tree.elements(s))
                    && declared.len() == x.len()
                {
                    for (dim, size) in x.iter().zip(declared) {
                        if let Some(size) = self.tree.int(*size).and_then(|n| u64::try_from(n).ok()) {
                            self.dims.is(*dim, size);
                        }
                    }
                }
            }
            "Pool" | "DownsampleFactorMax" => {
                let x = input(self, 0)?;
                let over = self.tree.attr(apply.op, "ndim").and_then(|n| self.tree.int(n)).unwrap_or(2);
                let keep = x.len().checked_sub(usize::try_from(over).ok()?)?;
                self.equal(out.get(..keep)?, x.get(..keep)?);
            }
            _ => {}
        }
        Some(())
    }

    /// A product of matrices or vectors.
    fn product(&mut self, a: &[usize], b: &[usize], out: &[usize]) {
        let [left @ .., inner] = a else { return };
        let (other, right) = match b {
            [k] => (*k, None),
            [k, n] => (*k, Some(*n)),
            _ => return,
        };
        if left.len() > 1 {
            return;
        }
        self.dims.same(*inner, other);
        let expected: Vec<usize> = left.iter().copied().chain(right).collect();
        self.equal(out, &expected);
    }

    /// An operation over some axes, which are gone afterwards.
    fn reduce(&mut self, apply: &Apply<'_>) -> Option<()> {
        let from = self.shape(*apply.inputs.first()?)?;
        let axis = self.tree.attr(apply.op, "axis")?;
        let rank = from.len() as i64;
        let gone: Vec<i64> = match (self.tree.int(axis), self.tree.elements(axis)) {
            (Some(one), _) => vec![one],
            (None, Some(several)) => several.iter().map(|a| self.tree.int(*a)).collect::<Option<_>>()?,
            (None, None) if self.tree.is_none(axis) => (0..rank).collect(),
            (None, None) => return None,
        };
        let gone: BTreeSet<i64> = gone.into_iter().map(|a| if a < 0 { a + rank } else { a }).collect();
        let kept: Vec<usize> =
            (0..rank).zip(&from).filter(|(at, _)| !gone.contains(at)).map(|(_, dim)| *dim).collect();
        for output in apply.outputs {
            let out = self.shape(*output)?;
            self.equal(&out, &kept);
        }
        Some(())
    }

    /// Indexing with numbers and slices.
    fn subtensor(&mut self, apply: &Apply<'_>, out: &[usize]) -> Option<()> {
        let from = self.shape(*apply.inputs.first()?)?;
        let index = self.tree.elements(self.tree.attr(apply.op, "idx_list")?)?;
        let mut kept = Vec::new();
        for (at, dim) in from.iter().enumerate() {
            match index.get(at).map(|i| (self.tree.class(*i), *i)) {
                None => kept.push(Some(*dim)),
                Some((Some(("builtins" | "__builtin__", "slice")), slice)) => {
                    let parts = self.tree.object(slice)?.args.and_then(|a| self.tree.elements(a))?;
                    kept.push(parts.iter().all(|p| self.tree.is_none(*p)).then_some(*dim));
                }
                Some(_) => {}
            }
        }
        if kept.len() != out.len() {
            return None;
        }
        for (to, from) in out.iter().zip(kept) {
            if let Some(from) = from {
                self.dims.same(*to, from);
            }
        }
        Some(())
    }

    /// Tensors side by side.
    fn join(&mut self, apply: &Apply<'_>, out: &[usize]) -> Option<()> {
        let [axis, parts @ ..] = apply.inputs else { return None };
        let axis = self.constant(*axis)?;
        let axis = usize::try_from(if axis < 0 { axis + out.len() as i64 } else { axis }).ok()?;
        let mut sum = Some(0u64);
        for part in parts {
            let dims = self.shape(*part)?;
            if dims.len() != out.len() {
                return None;
            }
            for (at, (dim, to)) in dims.iter().zip(out).enumerate() {
                if at == axis {
                    sum = sum.and_then(|s| s.checked_add(self.dims.get(*dim)?));
                } else {
                    self.dims.same(*to, *dim);
                }
            }
        }
        if let Some(sum) = sum {
            self.dims.is(*out.get(axis)?, sum);
        }
        Some(())
    }

    /// A new shape, as far as it is written as numbers or taken from another variable.
    fn reshape(&mut self, sizes: Id, out: &[usize]) -> Option<()> {
        if self.is_constant(sizes) {
            let sizes = self.tree.array(self.tree.attr(sizes, "data")?)?.ints()?;
            if sizes.len() == out.len() {
                for (dim, size) in out.iter().zip(sizes) {
                    if let Ok(size) = u64::try_from(size) {
                        self.dims.is(*dim, size);
                    }
                }
            }
            return Some(());
        }
        let apply = self.apply(self.owner(sizes)?)?;
        if apply.name != "MakeVector" || apply.inputs.len() != out.len() {
            return None;
        }
        for (dim, size) in out.iter().zip(apply.inputs) {
            if let Some(size) = self.constant(*size).and_then(|n| u64::try_from(n).ok()) {
                self.dims.is(*dim, size);
            } else if let Some(other) = self.dim_of(*size) {
                self.dims.same(*dim, other);
            }
        }
        Some(())
    }

    /// The integer that a scalar constant is.
    fn constant(&self, id: Id) -> Option<i64> {
        if !self.is_constant(id) {
            return None;
        }
        let data = self.tree.attr(id, "data")?;
        self.tree.int(data)
    }

    /// The size that a scalar is: `x.shape[i]`.
    fn dim_of(&mut self, id: Id) -> Option<usize> {
        let apply = self.apply(self.owner(id)?)?;
        match apply.name {
            "Shape_i" => {
                let at = self.tree.attr(apply.op, "i").and_then(|i| self.tree.int(i))?;
                self.shape(*apply.inputs.first()?)?.get(usize::try_from(at).ok()?).copied()
            }
            "Subtensor" => {
                let shape = self.apply(self.owner(*apply.inputs.first()?)?)?;
                let at = usize::try_from(self.constant(*apply.inputs.get(1)?)?).ok()?;
                if shape.name != "Shape" || apply.inputs.len() != 2 {
                    return None;
                }
                self.shape(*shape.inputs.first()?)?.get(at).copied()
            }
            _ => None,
        }
    }
}
