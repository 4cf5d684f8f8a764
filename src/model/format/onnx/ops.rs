//! How the types of an operator's outputs follow from its inputs.
//!
//! The operators that models end with, and those on the way there. The rules are those of
//! onnx/docs/Operators.md and Operators-ml.md. `None` is "cannot be told", which is always allowed;
//! a wrong answer never is.

use crate::error::Result;
use crate::model::contract::DType;
use crate::model::format::onnx::infer::{Node, Val};
use crate::model::format::onnx::types::{self, Dim, Type};

/// The most numbers of a value that shapes are computed from.
const MAX_VALUES: usize = 64;

/// The types of a node's outputs, as many as can be told.
pub(super) fn apply(node: &Node<'_, '_>) -> Result<Vec<Option<Val>>> {
    let result = match node.domain.as_str() {
        "ai.onnx" => standard(node)?,
        "ai.onnx.ml" => return learned(node),
        _ => None,
    };
    Ok(vec![result])
}

fn val(elem: Option<DType>, shape: Option<Vec<Dim>>) -> Val {
    Val::new(Type::tensor(elem, shape))
}

fn standard(node: &Node<'_, '_>) -> Result<Option<Val>> {
    Ok(match node.op.as_str() {
        "Relu"
        | "LeakyRelu"
        | "Elu"
        | "Selu"
        | "Celu"
        | "Gelu"
        | "Sigmoid"
        | "HardSigmoid"
        | "HardSwish"
        | "Mish"
        | "Tanh"
        | "Softplus"
        | "Softsign"
        | "ThresholdedRelu"
        | "PRelu"
        | "Softmax"
        | "LogSoftmax"
        | "Hardmax"
        | "Dropout"
        | "BatchNormalization"
        | "InstanceNormalization"
        | "LayerNormalization"
        | "GroupNormalization"
        | "LRN"
        | "LpNormalization"
        | "MeanVarianceNormalization"
        | "Abs"
        | "Neg"
        | "Exp"
        | "Log"
        | "Sqrt"
        | "Reciprocal"
        | "Floor"
        | "Ceil"
        | "Round"
        | "Sign"
        | "Erf"
        | "Sin"
        | "Cos"
        | "Tan"
        | "Asin"
        | "Acos"
        | "Atan"
        | "Sinh"
        | "Cosh"
        | "Asinh"
        | "Acosh"
        | "Atanh"
        | "Clip"
        | "Not"
        | "BitwiseNot"
        | "CumSum"
        | "ReverseSequence"
        | "Trilu"
        | "ScatterElements"
        | "ScatterND"
        | "Scatter" => same_as_first(node),
        "Identity" => node.input(0).cloned(),
        "IsNaN" | "IsInf" => node.tensor(0).map(|(_, s)| val(Some(DType::Bool), s.cloned())),
        "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Mod" | "Min" | "Max" | "Sum" | "Mean" | "BitwiseAnd"
        | "BitwiseOr" | "BitwiseXor" | "BitShift" => elementwise(node, None, 0),
        "And" | "Or" | "Xor" | "Equal" | "Greater" | "Less" | "GreaterOrEqual" | "LessOrEqual" => {
            elementwise(node, Some(DType::Bool), 0)
        }
        "Where" => elementwise(node, None, 1),
        "Cast" => cast(node)?,
        "CastLike" => node.tensor(0).map(|(_, s)| val(node.tensor(1).and_then(|t| t.0), s.cloned())),
        "MatMul" => matmul(node),
        "Gemm" => gemm(node)?,
        "Conv" => conv(node)?,
        "MaxPool" | "AveragePool" | "LpPool" => pool(node)?,
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
            reduce(node, None, axes)?
        }
        "Gather" => gather(node)?,
        "Shape" => shape_of(node)?,
        "Size" => Some(val(Some(DType::Int64), Some(Vec::new()))),
        "Constant" => constant(node)?,
        "ConstantOfShape" => {
            let elem = match node.weight("value")? {
                Some(Val { ty: Type::Tensor { elem, .. }, .. }) => elem,
                _ => Some(DType::Float32),
            };
            Some(val(elem, node.input(0).and_then(|v| v.values.as_deref()).map(dims)))
        }
        "Expand" => expand(node),
        "SequenceConstruct" => node.input(0).map(|v| Val::new(Type::Sequence(Box::new(v.ty.clone())))),
        "SequenceEmpty" => {
            let elem = node.int("dtype")?.map_or(Some(DType::Float32), types::dtype);
            Some(Val::new(Type::Sequence(Box::new(Type::tensor(elem, None)))))
        }
        "SequenceInsert" | "SequenceErase" => node.input(0).cloned(),
        "SequenceAt" => match node.input(0).map(|v| &v.ty) {
            // The elements may differ in shape.
            Some(Type::Sequence(inner)) => Some(Val::new(match &**inner {
                Type::Tensor { elem, .. } => Type::tensor(*elem, None),
                other => other.clone(),
            })),
            _ => None,
        },
        "SequenceLength" => Some(val(Some(DType::Int64), Some(Vec::new()))),
        "ConcatFromSequence" => match node.input(0).map(|v| &v.ty) {
            Some(Type::Sequence(inner)) => match &**inner {
                Type::Tensor { elem, .. } => Some(val(*elem, None)),
                _ => None,
            },
            _ => None,
        },
        "SplitToSequence" => {
            node.tensor(0).map(|(elem, _)| Val::new(Type::Sequence(Box::new(Type::tensor(elem, None)))))
        }
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
    Some(val(elem, shape))
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
            Some(Val { ty: Type::tensor(elem, shape.clone()), values: v.values.clone() })
        }
        _ => None,
    }))
}

fn matmul(node: &Node<'_, '_>) -> Option<Val> {
    let (elem, a) = node.tensor(0)?;
    let (_, b) = node.tensor(1)?;
    let shape = (|| {
        let (a, b) = (a?, b?);
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
    })();
    Some(val(elem, shape))
}

fn gemm(node: &Node<'_, '_>) -> Result<Option<Val>> {
    let (Some((elem, a)), Some((_, b))) = (node.tensor(0), node.tensor(1)) else { return Ok(None) };
    let (ta, tb) = (node.int("transA")?.unwrap_or(0) != 0, node.int("transB")?.unwrap_or(0) != 0);
    let pick =
        |s: Option<&Vec<Dim>>, at: usize| s.filter(|s| s.len() == 2).map_or(Dim::Unknown, |s| s[at].clone());
    let shape = vec![pick(a, usize::from(ta)), pick(b, usize::from(!tb))];
    Ok(Some(val(elem, Some(shape))))
}

/// How windows slide over the spatial dimensions.
struct Windows {
    kernel: Vec<i64>,
    strides: Vec<i64>,
    dilations: Vec<i64>,
    pads: Vec<i64>,
    auto: Option<String>,
    ceil: bool,
}

impl Windows {
    fn read(node: &Node<'_, '_>, kernel: Vec<i64>) -> Result<Option<Self>> {
        let n = kernel.len();
        let of = |list: Option<Vec<i64>>, len: usize, default: i64| match list {
            None => Some(vec![default; len]),
            Some(list) => (list.len() == len).then_some(list),
        };
        let strides = of(node.ints("strides")?, n, 1);
        let dilations = of(node.ints("dilations")?, n, 1);
        let pads = of(node.ints("pads")?, 2 * n, 0);
        let (Some(strides), Some(dilations), Some(pads)) = (strides, dilations, pads) else {
            return Ok(None);
        };
        let auto = node.text("auto_pad")?.filter(|a| a != "NOTSET");
        let ceil = node.int("ceil_mode")?.unwrap_or(0) != 0;
        Ok(Some(Self { kernel, strides, dilations, pads, auto, ceil }))
    }

    fn size(&self, axis: usize, dim: &Dim) -> Dim {
        let Dim::Size(n) = dim else { return Dim::Unknown };
        self.number(axis, *n).map_or(Dim::Unknown, Dim::Size)
    }

    fn number(&self, axis: usize, n: u64) -> Option<u64> {
        let n = i64::try_from(n).ok()?;
        let stride = Some(self.strides[axis]).filter(|s| *s > 0)?;
        let round_up = |a: i64| a.checked_add(stride - 1).map(|a| a / stride);
        let span = self.dilations[axis].checked_mul(self.kernel[axis].checked_sub(1)?)?.checked_add(1)?;
        let room = match self.auto.as_deref() {
            Some("SAME_UPPER" | "SAME_LOWER") => return u64::try_from(round_up(n)?).ok(),
            Some("VALID") => n.checked_sub(span)?,
            Some(_) => return None,
            None => {
                let pads = self.pads[axis].checked_add(*self.pads.get(axis + self.kernel.len())?)?;
                n.checked_add(pads)?.checked_sub(span)?
            }
        };
        if room < 0 {
            return None;
        }
        let steps = if self.ceil { round_up(room)? } else { room / stride };
        // A last window that would begin in the padding is left out.
        let steps = if self.ceil
            && self.auto.is_none()
            && steps.checked_mul(stride)? >= n.checked_add(self.pads[axis])?
        {
            steps - 1
        } else {
            steps
        };
        u64::try_from(steps).ok()?.checked_add(1)
    }
}

fn conv(node: &Node<'_, '_>) -> Result<Option<Val>> {
    let (Some((elem, Some(x))), Some((_, w))) = (node.tensor(0), node.tensor(1)) else { return Ok(None) };
    let Some(w) = w.filter(|w| w.len() == x.len() && x.len() > 2) else { return Ok(Some(val(elem, None))) };
    let kernel = match node.ints("kernel_shape")? {
        Some(kernel) => Some(kernel),
        None => {
            w[2..].iter().map(|d| if let Dim::Size(n) = d { i64::try_from(*n).ok() } else { None }).collect()
        }
    };
    let mut out = vec![x[0].clone(), w[0].clone()];
    spatial(node, kernel, x, &mut out)?;
    Ok(Some(val(elem, Some(out))))
}

fn pool(node: &Node<'_, '_>) -> Result<Option<Val>> {
    let Some((elem, Some(x))) = node.tensor(0) else { return Ok(None) };
    if x.len() < 3 {
        return Ok(None);
    }
    let mut out = x[..2].to_vec();
    spatial(node, node.ints("kernel_shape")?, x, &mut out)?;
    Ok(Some(val(elem, Some(out))))
}

fn spatial(node: &Node<'_, '_>, kernel: Option<Vec<i64>>, x: &[Dim], out: &mut Vec<Dim>) -> Result<()> {
    let windows = match kernel.filter(|k| k.len() == x.len() - 2) {
        Some(kernel) => Windows::read(node, kernel)?,
        None => None,
    };
    for (axis, dim) in x[2..].iter().enumerate() {
        out.push(windows.as_ref().map_or(Dim::Unknown, |w| w.size(axis, dim)));
    }
    Ok(())
}

fn global_pool(node: &Node<'_, '_>) -> Option<Val> {
    let (elem, shape) = node.tensor(0)?;
    let shape = shape.filter(|s| s.len() >= 2).map(|s| {
        let mut out = s[..2].to_vec();
        out.resize(s.len(), Dim::Size(1));
        out
    });
    Some(val(elem, shape))
}

/// The product of dimensions, where all are known; a single one keeps its name.
fn product(dims: &[Dim]) -> Dim {
    if let [one] = dims {
        return one.clone();
    }
    let mut n = 1u64;
    for d in dims {
        match d {
            Dim::Size(m) => match n.checked_mul(*m) {
                Some(p) => n = p,
                None => return Dim::Unknown,
            },
            _ => return Dim::Unknown,
        }
    }
    Dim::Size(n)
}

/// An axis counted from the front.
fn axis(at: i64, rank: usize) -> Option<usize> {
    let rank = i64::try_from(rank).ok()?;
    let at = if at < 0 { at.checked_add(rank)? } else { at };
    usize::try_from(at).ok().filter(|_| at < rank)
}

fn flatten(node: &Node<'_, '_>) -> Result<Option<Val>> {
    let Some((elem, Some(shape))) = node.tensor(0) else { return Ok(None) };
    let at = node.int("axis")?.unwrap_or(1);
    // The axis may be the rank itself.
    let at = if usize::try_from(at) == Ok(shape.len()) { Some(shape.len()) } else { axis(at, shape.len()) };
    Ok(at.map(|at| val(elem, Some(vec![product(&shape[..at]), product(&shape[at..])]))))
}

/// Known numbers as dimensions.
fn dims(values: &[Option<i64>]) -> Vec<Dim> {
    values.iter().map(|v| v.and_then(|n| u64::try_from(n).ok()).map_or(Dim::Unknown, Dim::Size)).collect()
}

fn reshape(node: &Node<'_, '_>) -> Result<Option<Val>> {
    let Some((elem, from)) = node.tensor(0) else { return Ok(None) };
    // Before opset 5 the shape is an attribute.
    let target = match node.ints("shape")? {
        Some(list) => Some(list.into_iter().map(Some).collect::<Vec<_>>()),
        None => node.input(1).and_then(|v| v.values.clone()),
    };
    let Some(target) = target else {
        let rank = node.tensor(1).and_then(|(_, s)| match s.map(Vec::as_slice) {
            Some([Dim::Size(n)]) => usize::try_from(*n).ok().filter(|n| *n <= MAX_VALUES),
            _ => None,
        });
        return Ok(Some(val(elem, rank.map(|n| vec![Dim::Unknown; n]))));
    };
    let zero_copies = node.int("allowzero")?.unwrap_or(0) == 0;
    let mut out = dims(&target);
    for (i, t) in target.iter().enumerate() {
        if *t == Some(0) && zero_copies {
            out[i] = from.and_then(|f| f.get(i)).cloned().unwrap_or(Dim::Unknown);
        }
    }
    if let (Some(open), Some(from)) = (target.iter().position(|t| *t == Some(-1)), from)
        && let Dim::Size(total) = product(from)
    {
        let rest: Vec<Dim> =
            out.iter().enumerate().filter(|(i, _)| *i != open).map(|(_, d)| d.clone()).collect();
        if let (Dim::Size(rest), false) =
            (if rest.is_empty() { Dim::Size(1) } else { product(&rest) }, total == 0)
            && rest > 0
            && total % rest == 0
        {
            out[open] = Dim::Size(total / rest);
        }
    }
    let values = node.input(0).and_then(|v| v.values.clone());
    Ok(Some(Val { ty: Type::tensor(elem, Some(out)), values }))
}

fn concat(node: &Node<'_, '_>) -> Result<Option<Val>> {
    let Some((elem, Some(first))) = node.tensor(0) else { return Ok(None) };
    let Some(along) = axis(node.int("axis")?.unwrap_or(1), first.len()) else { return Ok(None) };
    let mut out = first.clone();
    let mut values = Some(Vec::new());
    let mut sum = Some(0u64);
    for at in 0..node.inputs.len() {
        let Some((_, Some(shape))) = node.tensor(at) else { return Ok(Some(val(elem, None))) };
        if shape.len() != out.len() {
            return Ok(None);
        }
        for (i, d) in shape.iter().enumerate() {
            if i != along && matches!((&out[i], d), (Dim::Unknown | Dim::Named(_), Dim::Size(_))) {
                out[i] = d.clone();
            }
        }
        sum = match (&shape[along], sum) {
            (Dim::Size(n), Some(m)) => m.checked_add(*n),
            _ => None,
        };
        values = match (values, node.input(at).and_then(|v| v.values.as_ref())) {
            (Some(mut all), Some(more)) if all.len() + more.len() <= MAX_VALUES => {
                all.extend(more);
                Some(all)
            }
            _ => None,
        };
    }
    out[along] = sum.map_or(Dim::Unknown, Dim::Size);
    let values = values.filter(|_| out.len() == 1);
    Ok(Some(Val { ty: Type::tensor(elem, Some(out)), values }))
}

fn transpose(node: &Node<'_, '_>) -> Result<Option<Val>> {
    let Some((elem, Some(shape))) = node.tensor(0) else { return Ok(None) };
    let order = node.ints("perm")?.unwrap_or_else(|| (0..shape.len() as i64).rev().collect());
    if order.len() != shape.len() {
        return Ok(None);
    }
    let out: Option<Vec<Dim>> =
        order.iter().map(|at| axis(*at, shape.len()).map(|at| shape[at].clone())).collect();
    Ok(out.map(|out| val(elem, Some(out))))
}

/// The axes of an operator that has them as an attribute at first and as an input later.
fn axes(node: &Node<'_, '_>) -> Result<Option<Vec<i64>>> {
    Ok(match node.ints("axes")? {
        Some(axes) => Some(axes),
        None => node.input_ints(1),
    })
}

fn squeeze(node: &Node<'_, '_>) -> Result<Option<Val>> {
    let Some((elem, Some(shape))) = node.tensor(0) else { return Ok(None) };
    let values = node.input(0).and_then(|v| v.values.clone());
    let given = axes(node)?;
    let drop: Vec<usize> = match given {
        Some(list) => match list.iter().map(|a| axis(*a, shape.len())).collect() {
            Some(list) => list,
            None => return Ok(None),
        },
        None if node.inputs.len() > 1 => return Ok(Some(val(elem, None))),
        // All of size 1, which is only known where all sizes are.
        None if shape.iter().all(|d| matches!(d, Dim::Size(_))) => {
            shape.iter().enumerate().filter(|(_, d)| **d == Dim::Size(1)).map(|(i, _)| i).collect()
        }
        None => return Ok(Some(val(elem, None))),
    };
    let out = shape.iter().enumerate().filter(|(i, _)| !drop.contains(i)).map(|(_, d)| d.clone()).collect();
    Ok(Some(Val { ty: Type::tensor(elem, Some(out)), values }))
}

fn unsqueeze(node: &Node<'_, '_>) -> Result<Option<Val>> {
    let Some((elem, Some(shape))) = node.tensor(0) else { return Ok(None) };
    let Some(axes) = axes(node)? else { return Ok(Some(val(elem, None))) };
    let rank = shape.len() + axes.len();
    let Some(new) = axes.iter().map(|a| axis(*a, rank)).collect::<Option<Vec<usize>>>() else {
        return Ok(None);
    };
    let mut old = shape.iter();
    let out = (0..rank)
        .map(|i| if new.contains(&i) { Dim::Size(1) } else { old.next().cloned().unwrap_or(Dim::Unknown) })
        .collect();
    let values = node.input(0).and_then(|v| v.values.clone());
    Ok(Some(Val { ty: Type::tensor(elem, Some(out)), values }))
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

fn gather(node: &Node<'_, '_>) -> Result<Option<Val>> {
    let (Some((elem, data)), Some((_, indices))) = (node.tensor(0), node.tensor(1)) else { return Ok(None) };
    let (Some(data), Some(indices)) = (data, indices) else { return Ok(Some(val(elem, None))) };
    let Some(at) = axis(node.int("axis")?.unwrap_or(0), data.len()) else { return Ok(None) };
    let out = [&data[..at], indices, &data[at + 1..]].concat();
    let values = match (node.input(0).and_then(|v| v.values.as_ref()), node.input_ints(1)) {
        (Some(values), Some(wanted)) if data.len() == 1 => {
            Some(wanted.iter().map(|w| axis(*w, values.len()).and_then(|i| values[i])).collect())
        }
        _ => None,
    };
    Ok(Some(Val { ty: Type::tensor(elem, Some(out)), values }))
}

fn shape_of(node: &Node<'_, '_>) -> Result<Option<Val>> {
    let Some((_, Some(shape))) = node.tensor(0) else {
        return Ok(Some(val(Some(DType::Int64), Some(vec![Dim::Unknown]))));
    };
    let bound = |at: i64| {
        let rank = shape.len() as i64;
        let at = if at < 0 { at.saturating_add(rank) } else { at };
        usize::try_from(at.clamp(0, rank)).unwrap_or(0)
    };
    let start = bound(node.int("start")?.unwrap_or(0));
    let end = bound(node.int("end")?.unwrap_or(i64::MAX)).max(start);
    let part = &shape[start..end];
    let values =
        part.iter().map(|d| if let Dim::Size(n) = d { i64::try_from(*n).ok() } else { None }).collect();
    Ok(Some(Val {
        ty: Type::tensor(Some(DType::Int64), Some(vec![Dim::Size(part.len() as u64)])),
        values: Some(values),
    }))
}

fn constant(node: &Node<'_, '_>) -> Result<Option<Val>> {
    if let Some(value) = node.weight("value")? {
        return Ok(Some(value));
    }
    if let Some(n) = node.int("value_int")? {
        return Ok(Some(Val {
            ty: Type::tensor(Some(DType::Int64), Some(vec![])),
            values: Some(vec![Some(n)]),
        }));
    }
    if let Some(list) = node.ints("value_ints")? {
        let ty = Type::tensor(Some(DType::Int64), Some(vec![Dim::Size(list.len() as u64)]));
        let values = (list.len() <= MAX_VALUES).then(|| list.into_iter().map(Some).collect());
        return Ok(Some(Val { ty, values }));
    }
    if node.has_attr("value_float") {
        return Ok(Some(val(Some(DType::Float32), Some(vec![]))));
    }
    if node.has_attr("value_string") {
        return Ok(Some(val(Some(DType::String), Some(vec![]))));
    }
    Ok(None)
}

fn expand(node: &Node<'_, '_>) -> Option<Val> {
    let (elem, shape) = node.tensor(0)?;
    let target = node.input(1).and_then(|v| v.values.as_deref()).map(dims);
    let out = match (shape, target) {
        (Some(a), Some(b)) => broadcast(a, &b),
        _ => None,
    };
    Some(val(elem, out))
}

/// The operators of classical machine learning, of domain `ai.onnx.ml`.
fn learned(node: &Node<'_, '_>) -> Result<Vec<Option<Val>>> {
    let rows = match node.tensor(0) {
        Some((_, Some(s))) if s.len() == 2 => s[0].clone(),
        Some((_, Some(s))) if s.len() == 1 => Dim::Size(1),
        _ => Dim::Unknown,
    };
    let ranked = matches!(node.tensor(0), Some((_, Some(s))) if matches!(s.len(), 1 | 2));
    let rows_of = |elem| val(Some(elem), ranked.then(|| vec![rows.clone()]));
    Ok(match node.op.as_str() {
        "Scaler" | "Normalizer" => vec![node.tensor(0).map(|(_, s)| val(Some(DType::Float32), s.cloned()))],
        "Imputer" | "Binarizer" => vec![same_as_first(node)],
        "TreeEnsembleClassifier" | "LinearClassifier" | "SVMClassifier" => {
            let texts = ["classlabels_strings", "string_labels"];
            let mut named = 0;
            for attr in texts {
                named += node.count(attr)?;
            }
            let mut numbered = 0;
            for attr in ["classlabels_int64s", "classlabels_ints"] {
                numbered += node.count(attr)?;
            }
            let label = if named > 0 { DType::String } else { DType::Int64 };
            let classes = if named > 0 { named } else { numbered };
            let scores = (ranked && classes > 1).then(|| vec![rows.clone(), Dim::Size(classes)]);
            vec![Some(rows_of(label)), Some(val(Some(DType::Float32), scores))]
        }
        "TreeEnsembleRegressor" | "LinearRegressor" | "SVMRegressor" => {
            let attr = if node.op == "LinearRegressor" { "targets" } else { "n_targets" };
            let targets = match node.int(attr)? {
                Some(n) => u64::try_from(n).ok(),
                None => (node.op != "TreeEnsembleRegressor").then_some(1),
            };
            let last = targets.map_or(Dim::Unknown, Dim::Size);
            vec![Some(val(Some(DType::Float32), ranked.then(|| vec![rows.clone(), last])))]
        }
        "ZipMap" => {
            let key = if node.count("classlabels_strings")? > 0 { DType::String } else { DType::Int64 };
            let row = Type::Map(Some(key), Box::new(Type::tensor(Some(DType::Float32), None)));
            vec![Some(Val::new(Type::Sequence(Box::new(row))))]
        }
        "LabelEncoder" => {
            let elem = [
                ("values_strings", DType::String),
                ("values_int64s", DType::Int64),
                ("values_floats", DType::Float32),
            ]
            .into_iter()
            .find(|(attr, _)| node.has_attr(attr))
            .map(|(_, d)| d);
            vec![node.tensor(0).map(|(_, s)| val(elem, s.cloned()))]
        }
        "ArrayFeatureExtractor" => vec![node.tensor(0).map(|(e, _)| val(e, None))],
        _ => vec![None],
    })
}
