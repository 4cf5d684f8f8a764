//! How the types of an operator's outputs follow from its inputs.
//!
//! The operators that models end with, and those on the way there. The rules are those of
//! onnx/docs/Operators.md and Operators-ml.md. `None` is "cannot be told", which is always allowed;
//! a wrong answer never is.

mod arrays;
mod attention;
mod contrib;
mod learned;
mod neural;
mod resize;
mod shapes;
#[cfg(test)]
mod tests;
mod windows;

use crate::error::Result;
use crate::model::contract::DType;
use crate::model::format::onnx::infer::{Node, Val};
use crate::model::format::onnx::numbers::{MAX_VALUES, Number};
use crate::model::format::onnx::types::{self, Dim, Type};

use shapes::{concat, expand, flatten, gather, product, reshape, shape_of, squeeze, transpose, unsqueeze};
use windows::{conv, global_pool, pool};

/// Operators whose first output is of the type of their first input.
const SAME_AS_FIRST: &[&str] = &[
    "Acos",
    "Acosh",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "BatchNormalization",
    "BitwiseNot",
    "Celu",
    "Clip",
    "Cos",
    "Cosh",
    "CumSum",
    "Dropout",
    "Elu",
    "Erf",
    "Exp",
    "Gelu",
    "GroupNormalization",
    "HardSigmoid",
    "HardSwish",
    "Hardmax",
    "InstanceNormalization",
    "LRN",
    "LayerNormalization",
    "LeakyRelu",
    "Log",
    "LogSoftmax",
    "LpNormalization",
    "MeanVarianceNormalization",
    "Mish",
    "PRelu",
    "Relu",
    "ReverseSequence",
    "Scatter",
    "ScatterElements",
    "ScatterND",
    "Selu",
    "Sigmoid",
    "Sign",
    "Sin",
    "Sinh",
    "Softmax",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Tan",
    "Tanh",
    "ThresholdedRelu",
    "Trilu",
];

/// The types of a node's outputs, as many as can be told.
pub(super) fn apply(node: &Node<'_, '_>) -> Result<Vec<Option<Val>>> {
    let result = match node.domain.as_str() {
        "ai.onnx" => {
            for family in [neural::apply, arrays::apply, several] {
                if let Some(all) = family(node)? {
                    return Ok(all);
                }
            }
            standard(node)?
        }
        "ai.onnx.ml" => return learned::apply(node),
        "ai.onnx.preview" => Some(node).filter(|n| n.op == "FlexAttention").and_then(attention::flexible),
        "com.microsoft" => return contrib::apply(node),
        "ai.onnx.preview.training" => return Ok(neural::training(node)),
        _ => None,
    };
    Ok(vec![result])
}

fn val(elem: Option<DType>, shape: Option<Vec<Dim>>) -> Val {
    Val::new(Type::tensor(elem, shape))
}

/// Operators of which more than the first output is told.
fn several(node: &Node<'_, '_>) -> Result<Option<Vec<Option<Val>>>> {
    Ok(Some(match node.op.as_str() {
        "Split" => shapes::split(node)?,
        "TopK" => {
            let values = shapes::top_k(node)?;
            let indices = values.as_ref().and_then(|v| match &v.ty {
                Type::Tensor { shape, .. } => Some(val(Some(DType::Int64), shape.clone())),
                _ => None,
            });
            vec![values, indices]
        }
        "MaxPool" => neural::pool_with_places(node)?,
        _ => return Ok(None),
    }))
}

fn standard(node: &Node<'_, '_>) -> Result<Option<Val>> {
    Ok(match node.op.as_str() {
        "Neg" | "Abs" | "Not" | "Floor" | "Ceil" | "Round" | "Reciprocal" => {
            same_as_first(node).map(|v| Val { values: computed(node), ..v })
        }
        op if SAME_AS_FIRST.contains(&op) => same_as_first(node),
        "Identity" => node.input(0).cloned(),
        "IsNaN" | "IsInf" => node.tensor(0).map(|(_, s)| val(Some(DType::Bool), s.cloned())),
        "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Mod" | "Min" | "Max" | "Sum" | "Mean" | "BitwiseAnd"
        | "BitwiseOr" | "BitwiseXor" | "BitShift" => elementwise(node, None, 0),
        "And" | "Or" | "Xor" | "Equal" | "Greater" | "Less" | "GreaterOrEqual" | "LessOrEqual" => {
            elementwise(node, Some(DType::Bool), 0)
        }
        "Where" => elementwise(node, None, 1).map(|v| Val { values: picked(node), ..v }),
        "Cast" => cast(node)?,
        "CastLike" => node.tensor(0).map(|(_, s)| val(node.tensor(1).and_then(|t| t.0), s.cloned())),
        "MatMul" => matrices(node, 0, 1, node.tensor(0).and_then(|t| t.0)),
        "Gemm" => gemm(node)?,
        "Conv" => conv(node)?,
        "AveragePool" | "LpPool" => pool(node)?,
        "GlobalAveragePool" | "GlobalMaxPool" | "GlobalLpPool" => global_pool(node),
        "Flatten" => flatten(node)?,
        "Reshape" => reshape(node)?,
        "Concat" => concat(node)?,
        "Transpose" => transpose(node)?,
        "Squeeze" => squeeze(node)?,
        "Unsqueeze" => unsqueeze(node)?,
        "ArgMax" | "ArgMin" => reduce(node, Some(DType::Int64), Some(vec![node.int("axis")?.unwrap_or(0)]))?,
        op if op.starts_with("Reduce") => {
            let axes = match node.ints("axes")? {
                Some(axes) => Some(axes),
                None if node.input(1).is_some() => match node.input_ints(1) {
                    Some(axes) => Some(axes),
                    // Axes are computed: only the dtype is known.
                    None => return Ok(node.tensor(0).map(|(e, _)| val(e, None))),
                },
                None => None,
            };
            let values = shapes::reduced(node, axes.as_deref());
            reduce(node, None, axes)?.map(|v| Val { values, ..v })
        }
        "Gather" => gather(node)?,
        "GatherElements" => match (node.tensor(0), node.tensor(1)) {
            (Some((elem, _)), Some((_, shape))) => Some(val(elem, shape.cloned())),
            _ => None,
        },
        "Slice" => shapes::slice(node)?,
        "Pad" => shapes::pad(node)?,
        "NonMaxSuppression" => Some(val(Some(DType::Int64), Some(vec![Dim::Unknown, Dim::Size(3)]))),
        "Shape" => shape_of(node)?,
        "Size" => {
            let n = match node.tensor(0).and_then(|t| t.1).map(|s| product(s)) {
                Some(Dim::Size(n)) => i64::try_from(n).ok(),
                _ => None,
            };
            let values = Some(vec![n.map(Number::Whole)]);
            Some(Val { values, ..val(Some(DType::Int64), Some(Vec::new())) })
        }
        "Constant" => constant(node)?,
        "ConstantOfShape" => shapes::filled(node)?,
        "Expand" => expand(node),
        "SequenceConstruct" => {
            let mut types =
                (0..node.inputs.len()).map(|at| node.input(at).map_or(Type::Other, |v| v.ty.clone()));
            let first = types.next();
            first.map(|first| Val::new(Type::Sequence(Box::new(types.fold(first, |a, b| either(&a, &b))))))
        }
        "SequenceEmpty" => {
            let elem = node.int("dtype")?.map_or(Some(DType::Float32), types::dtype);
            Some(Val::new(Type::Sequence(Box::new(Type::tensor(elem, None)))))
        }
        "SequenceInsert" => match (node.input(0).map(|v| &v.ty), node.input(1)) {
            (Some(Type::Sequence(inner)), Some(more)) => {
                Some(Val::new(Type::Sequence(Box::new(either(inner, &more.ty)))))
            }
            _ => None,
        },
        "SequenceErase" => node.input(0).cloned(),
        "SequenceAt" => match node.input(0).map(|v| &v.ty) {
            Some(Type::Sequence(inner)) => Some(Val::new((**inner).clone())),
            _ => None,
        },
        "SequenceLength" => Some(val(Some(DType::Int64), Some(Vec::new()))),
        "ConcatFromSequence" => arrays::joined_list(node)?,
        "SplitToSequence" => arrays::split_to_list(node)?,
        "Optional" => match (node.input(0), node.ty("type")?) {
            (Some(v), _) => Some(Val::new(Type::Optional(Box::new(v.ty.clone())))),
            (None, Some(ty)) => Some(Val::new(Type::Optional(Box::new(ty)))),
            (None, None) => None,
        },
        "OptionalGetElement" => node.input(0).map(|v| match &v.ty {
            Type::Optional(inner) => Val::new((**inner).clone()),
            other => Val::new(other.clone()),
        }),
        "OptionalHasElement" => Some(val(Some(DType::Bool), Some(Vec::new()))),
        _ => None,
    })
}

/// What is true of a value that is of one type or the other.
pub(super) fn either(a: &Type, b: &Type) -> Type {
    match (a, b) {
        (
            Type::Tensor { elem, shape: x, sparse: false },
            Type::Tensor { elem: other, shape: y, sparse: false },
        ) if elem == other => {
            let shape = match (x, y) {
                (Some(x), Some(y)) if x.len() == y.len() => {
                    let both = x.iter().zip(y);
                    Some(both.map(|(a, b)| if a == b { a.clone() } else { Dim::Unknown }).collect())
                }
                _ => None,
            };
            Type::tensor(*elem, shape)
        }
        (Type::Sequence(a), Type::Sequence(b)) => match either(a, b) {
            Type::Other => Type::Other,
            inner => Type::Sequence(Box::new(inner)),
        },
        (Type::Optional(a), Type::Optional(b)) => match either(a, b) {
            Type::Other => Type::Other,
            inner => Type::Optional(Box::new(inner)),
        },
        // One of them may be there or not.
        (Type::Optional(inner), other) | (other, Type::Optional(inner)) => match either(inner, other) {
            Type::Other => Type::Other,
            inner => Type::Optional(Box::new(inner)),
        },
        _ if a == b => a.clone(),
        _ => Type::Other,
    }
}

/// Dtype and shape of the first input; only the first output is told.
fn same_as_first(node: &Node<'_, '_>) -> Option<Val> {
    node.input(0).map(|v| Val::new(v.ty.clone()))
}

/// Shape by broadcasting all inputs; dtype as given, else that of one input.
fn elementwise(node: &Node<'_, '_>, elem: Option<DType>, dtype_of: usize) -> Option<Val> {
    let elem = elem.or_else(|| node.tensor(dtype_of).and_then(|t| t.0));
    // Before opset 7 the second input follows an attribute instead.
    if node.has_attr("broadcast") || node.has_attr("axis") {
        return node.tensor(0).map(|(_, s)| val(elem, s.cloned()));
    }
    let mut shape: Option<Vec<Dim>> = Some(Vec::new());
    for at in 0..node.inputs.len() {
        shape = match (shape, node.tensor(at).and_then(|t| t.1)) {
            (Some(a), Some(b)) => broadcast(&a, b),
            _ => None,
        };
    }
    Some(Val { values: computed(node), ..val(elem, shape) })
}

/// Shape by broadcasting two of the inputs.
fn pair(node: &Node<'_, '_>, left: usize, right: usize, elem: Option<DType>) -> Option<Val> {
    let (_, a) = node.tensor(left)?;
    let (_, b) = node.tensor(right)?;
    Some(val(elem, a.zip(b).and_then(|(a, b)| broadcast(a, b))))
}

/// What an operator makes of a few numbers, entry by entry.
fn computed(node: &Node<'_, '_>) -> Option<Vec<Option<Number>>> {
    let (elem, shape) = node.tensor(0)?;
    let a = node.input(0)?.values.as_ref()?;
    if node.inputs.len() == 1 {
        return Some(a.iter().map(|n| Number::one(&node.op, (*n)?, elem?)).collect());
    }
    let (other, second) = node.tensor(1)?;
    let b = node.input(1)?.values.as_ref()?;
    let n = match (a.len(), b.len()) {
        (m, n) if m == n => m,
        (m, 1) => m,
        (1, n) => n,
        _ => return None,
    };
    let one = |list: &[Option<Number>], at: usize| if list.len() == 1 { list[0] } else { list[at] };
    let ranked = shape?.len() <= 1 && second?.len() <= 1;
    let all = (0..n).map(|at| Number::two(&node.op, one(a, at)?, one(b, at)?, elem?)).collect();
    (node.inputs.len() == 2 && elem == other && ranked).then_some(all)
}

/// The entries that a condition picks from two short lists.
fn picked(node: &Node<'_, '_>) -> Option<Vec<Option<Number>>> {
    let list = |at: usize| {
        let ranked = node.tensor(at)?.1?.len() <= 1;
        node.input(at)?.values.as_ref().filter(|_| ranked)
    };
    let (c, a, b) = (list(0)?, list(1)?, list(2)?);
    let n = c.len().max(a.len()).max(b.len());
    let fits = [c, a, b].iter().all(|l| l.len() == n || l.len() == 1);
    let one = |list: &[Option<Number>], at: usize| if list.len() == 1 { list[0] } else { list[at] };
    let pick = |at: usize| match one(c, at)?.whole()? {
        0 => one(b, at),
        _ => one(a, at),
    };
    fits.then(|| (0..n).map(pick).collect())
}

/// The shape that two shapes broadcast to (onnx/docs/Broadcasting.md).
fn broadcast(a: &[Dim], b: &[Dim]) -> Option<Vec<Dim>> {
    let rank = a.len().max(b.len());
    let at = |s: &[Dim], i: usize| (i + s.len()).checked_sub(rank).and_then(|j| s.get(j)).cloned();
    let mut out = Vec::with_capacity(rank);
    for i in 0..rank {
        let x = at(a, i).unwrap_or(Dim::Size(1));
        let y = at(b, i).unwrap_or(Dim::Size(1));
        out.push(match (x, y) {
            (Dim::Size(1), d) | (d, Dim::Size(1)) => d,
            (Dim::Size(m), Dim::Size(n)) if m != n => return None,
            // What is not known is either this or 1.
            (Dim::Size(n), _) | (_, Dim::Size(n)) => Dim::Size(n),
            (x, y) if x == y => x,
            _ => Dim::Unknown,
        });
    }
    Some(out)
}

fn cast(node: &Node<'_, '_>) -> Result<Option<Val>> {
    // Before opset 6 the type was a text.
    let elem = match node.int("to")? {
        Some(0) | None => None,
        Some(n) => types::dtype(n),
    };
    Ok(node.input(0).and_then(|v| match &v.ty {
        Type::Tensor { shape, .. } => {
            let values = v.values.as_ref().map(|v| v.iter().map(|n| n.and_then(|n| n.cast(elem?))).collect());
            Some(Val { ty: Type::tensor(elem, shape.clone()), values })
        }
        _ => None,
    }))
}

/// The product of two inputs as matrices, or stacks of them.
fn matrices(node: &Node<'_, '_>, left: usize, right: usize, elem: Option<DType>) -> Option<Val> {
    let (_, a) = node.tensor(left)?;
    let (_, b) = node.tensor(right)?;
    Some(val(elem, a.zip(b).and_then(|(a, b)| product_of_matrices(a, b))))
}

/// The shape of a product of matrices, or of stacks of them; a vector is a row on the left, a column
/// on the right.
fn product_of_matrices(a: &[Dim], b: &[Dim]) -> Option<Vec<Dim>> {
    let (m, n) = (a.len(), b.len());
    if m == 0 || n == 0 {
        return None;
    }
    let mut out = broadcast(&a[..m.saturating_sub(2)], &b[..n.saturating_sub(2)])?;
    if m > 1 {
        out.push(a[m - 2].clone());
    }
    if n > 1 {
        out.push(b[n - 1].clone());
    }
    Some(out)
}

fn gemm(node: &Node<'_, '_>) -> Result<Option<Val>> {
    let (Some((elem, a)), Some((_, b))) = (node.tensor(0), node.tensor(1)) else { return Ok(None) };
    let (ta, tb) = (node.int("transA")?.unwrap_or(0) != 0, node.int("transB")?.unwrap_or(0) != 0);
    let pick =
        |s: Option<&Vec<Dim>>, at: usize| s.filter(|s| s.len() == 2).map_or(Dim::Unknown, |s| s[at].clone());
    let shape = vec![pick(a, usize::from(ta)), pick(b, usize::from(!tb))];
    Ok(Some(val(elem, Some(shape))))
}

/// Reduces along axes, along all where none are given.
fn reduce(node: &Node<'_, '_>, elem: Option<DType>, axes: Option<Vec<i64>>) -> Result<Option<Val>> {
    let Some((own, shape)) = node.tensor(0) else { return Ok(None) };
    let elem = elem.or(own);
    let Some(shape) = shape else { return Ok(Some(val(elem, None))) };
    let keep = node.int("keepdims")?.unwrap_or(1) != 0;
    let axes = axes.filter(|a| !a.is_empty());
    if axes.is_none() && node.int("noop_with_empty_axes")?.unwrap_or(0) != 0 {
        return Ok(Some(val(elem, Some(shape.clone()))));
    }
    let gone: Option<Vec<usize>> = match axes {
        Some(list) => list.iter().map(|a| axis(*a, shape.len())).collect(),
        None => Some((0..shape.len()).collect()),
    };
    let Some(gone) = gone else { return Ok(None) };
    let mut out = Vec::new();
    for (i, d) in shape.iter().enumerate() {
        match (gone.contains(&i), keep) {
            (false, _) => out.push(d.clone()),
            (true, true) => out.push(Dim::Size(1)),
            (true, false) => {}
        }
    }
    Ok(Some(val(elem, Some(out))))
}

fn constant(node: &Node<'_, '_>) -> Result<Option<Val>> {
    if let Some(value) = node.weight("value")? {
        return Ok(Some(value));
    }
    if let Some(n) = node.int("value_int")? {
        return Ok(Some(Val {
            ty: Type::tensor(Some(DType::Int64), Some(vec![])),
            values: Some(vec![Some(Number::Whole(n))]),
        }));
    }
    if let Some(list) = node.ints("value_ints")? {
        let ty = Type::tensor(Some(DType::Int64), Some(vec![Dim::Size(list.len() as u64)]));
        let values =
            (list.len() <= MAX_VALUES).then(|| list.into_iter().map(|n| Some(Number::Whole(n))).collect());
        return Ok(Some(Val { ty, values }));
    }
    for (name, scalar) in [("value_float", true), ("value_floats", false)] {
        if !node.has_attr(name) {
            continue;
        }
        // One that is 0 may be left out by who writes it.
        let list = node.reals(name)?.filter(|l| !scalar || l.len() == 1);
        let shape = match (&list, scalar) {
            (_, true) => Vec::new(),
            (Some(list), false) => vec![Dim::Size(list.len() as u64)],
            (None, false) => vec![Dim::Unknown],
        };
        let values = list.map(|l| l.into_iter().map(|n| Some(Number::Real(n))).collect());
        return Ok(Some(Val { ty: Type::tensor(Some(DType::Float32), Some(shape)), values }));
    }
    if node.has_attr("value_strings") {
        let n = node.count("value_strings")?;
        return Ok(Some(val(Some(DType::String), Some(vec![Dim::Size(n)]))));
    }
    if node.has_attr("value_string") {
        return Ok(Some(val(Some(DType::String), Some(vec![]))));
    }
    Ok(None)
}

/// An axis counted from the front.
pub(super) fn axis(at: i64, rank: usize) -> Option<usize> {
    let rank = i64::try_from(rank).ok()?;
    let at = if at < 0 { at.checked_add(rank)? } else { at };
    usize::try_from(at).ok().filter(|_| at < rank)
}
