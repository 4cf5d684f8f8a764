//! Operators on whole arrays: making, sorting out, resizing, signals, texts, sums by letters.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::model::contract::DType;
use crate::model::format::onnx::infer::{Node, Val};
use crate::model::format::onnx::numbers::{MAX_VALUES, Number};
use crate::model::format::onnx::ops::shapes::dims;
use crate::model::format::onnx::ops::{axis, broadcast, neural, resize, val};
use crate::model::format::onnx::types::{self, Dim, Type};

/// The types of a node's outputs; `None` where the operator is none of these.
pub(super) fn apply(node: &Node<'_, '_>) -> Result<Option<Vec<Option<Val>>>> {
    let one = match node.op.as_str() {
        "Unique" => return unique(node).map(Some),
        "StringSplit" => {
            let shape = node.tensor(0).and_then(|t| t.1.cloned());
            let parts = shape.clone().map(|mut s| {
                s.push(Dim::Unknown);
                s
            });
            let texts = val(Some(DType::String), parts);
            return Ok(Some(vec![Some(texts), Some(val(Some(DType::Int64), shape))]));
        }
        "Resize" | "Upsample" => resize::resize(node)?,
        "GridSample" => neural::sampled(node)?,
        "RoiAlign" | "MaxRoiPool" if node.op == "RoiAlign" => neural::regions(node)?,
        "Col2Im" => neural::from_columns(node)?,
        "StringNormalizer" => match node.tensor(0) {
            Some((_, Some(s))) if s.len() == 1 => Some(val(Some(DType::String), Some(vec![Dim::Unknown]))),
            Some((_, Some(s))) if s.len() == 2 => {
                Some(val(Some(DType::String), Some(vec![Dim::Size(1), Dim::Unknown])))
            }
            _ => Some(val(Some(DType::String), None)),
        },
        "StringConcat" => match (node.tensor(0), node.tensor(1)) {
            (Some((_, Some(a))), Some((_, Some(b)))) => Some(val(Some(DType::String), broadcast(a, b))),
            _ => Some(val(Some(DType::String), None)),
        },
        "RegexFullMatch" => node.tensor(0).map(|(_, s)| val(Some(DType::Bool), s.cloned())),
        "ImageDecoder" => Some(val(Some(DType::UInt8), Some(vec![Dim::Unknown; 3]))),
        "Bernoulli" | "EyeLike" | "RandomUniformLike" | "RandomNormalLike" => {
            let given = node.int("dtype")?;
            node.tensor(0).map(|(elem, s)| val(given.map_or(elem, types::dtype), s.cloned()))
        }
        "RandomUniform" | "RandomNormal" => {
            let shape: Option<Vec<Option<i64>>> =
                node.ints("shape")?.map(|s| s.into_iter().map(Some).collect());
            let elem = node.int("dtype")?.map_or(Some(DType::Float32), types::dtype);
            Some(val(elem, shape.filter(|s| s.len() <= MAX_VALUES).map(|s| dims(&s))))
        }
        "Multinomial" => {
            let elem = node.int("dtype")?.map_or(Some(DType::Int32), types::dtype);
            let rows = node.tensor(0).and_then(|t| t.1).and_then(|s| s.first()).cloned();
            let n = u64::try_from(node.int("sample_size")?.unwrap_or(1)).ok();
            let shape = vec![rows.unwrap_or(Dim::Unknown), n.map_or(Dim::Unknown, Dim::Size)];
            Some(val(elem, Some(shape)))
        }
        "BitCast" => {
            let elem = node.int("to")?.and_then(types::dtype);
            node.tensor(0).map(|(_, s)| val(elem, s.cloned()))
        }
        "Einsum" => einsum(node)?,
        "TfIdfVectorizer" => {
            let last = node.ints("ngram_indexes")?.and_then(|l| l.into_iter().max());
            let n = last.and_then(|n| u64::try_from(n).ok()).and_then(|n| n.checked_add(1));
            let n = n.map_or(Dim::Unknown, Dim::Size);
            let shape = match node.tensor(0).and_then(|t| t.1).map(Vec::as_slice) {
                Some([_]) => Some(vec![n]),
                Some([rows, _]) => Some(vec![rows.clone(), n]),
                _ => None,
            };
            Some(val(Some(DType::Float32), shape))
        }
        "OneHot" => one_hot(node)?,
        "Compress" => compress(node)?,
        "NonZero" => {
            let rank = node.tensor(0).and_then(|t| t.1).map(|s| s.len() as u64);
            Some(val(Some(DType::Int64), Some(vec![rank.map_or(Dim::Unknown, Dim::Size), Dim::Unknown])))
        }
        "AffineGrid" => node.tensor(0).map(|(elem, _)| val(elem, affine(node))),
        "GatherND" => gather_nd(node)?,
        "Range" => range(node),
        "CenterCropPad" => crop(node)?,
        "SpaceToDepth" | "DepthToSpace" => blocks(node)?,
        "Det" => node
            .tensor(0)
            .map(|(elem, s)| val(elem, s.and_then(|s| s.len().checked_sub(2).map(|n| s[..n].to_vec())))),
        "Tile" => tile(node),
        "BlackmanWindow" | "HammingWindow" | "HannWindow" => {
            let elem = node.int("output_datatype")?.map_or(Some(DType::Float32), types::dtype);
            let n = node.input_ints(0).and_then(|v| v.first().copied()).and_then(|n| u64::try_from(n).ok());
            Some(val(elem, Some(vec![n.map_or(Dim::Unknown, Dim::Size)])))
        }
        "MelWeightMatrix" => {
            let elem = node.int("output_datatype")?.map_or(Some(DType::Float32), types::dtype);
            Some(val(elem, Some(vec![Dim::Unknown; 2])))
        }
        "DFT" => dft(node)?,
        "STFT" => node.tensor(0).map(|(elem, s)| {
            let rows = s.and_then(|s| s.first()).cloned().unwrap_or(Dim::Unknown);
            val(elem, Some(vec![rows, Dim::Unknown, Dim::Unknown, Dim::Size(2)]))
        }),
        "QuantizeLinear" | "DequantizeLinear" => {
            let elem = node.int("output_dtype")?.filter(|n| *n != 0).and_then(types::dtype);
            let other = match node.op.as_str() {
                "DequantizeLinear" => node.tensor(1).and_then(|t| t.0),
                _ if node.input(2).is_some() => node.tensor(2).and_then(|t| t.0),
                _ => Some(DType::UInt8),
            };
            node.tensor(0).map(|(_, s)| val(elem.or(other), s.cloned()))
        }
        "Expand" if node.input(1).is_some_and(|v| v.values.is_none()) => {
            let target = node.tensor(1).and_then(|t| length(t.1)).map(|n| vec![Dim::Unknown; n]);
            node.tensor(0).map(|(elem, s)| val(elem, s.zip(target).and_then(|(s, t)| broadcast(s, &t))))
        }
        _ => return Ok(None),
    };
    Ok(Some(vec![one]))
}

/// How many numbers a list of them has.
pub(super) fn length(shape: Option<&Vec<Dim>>) -> Option<usize> {
    match shape.map(Vec::as_slice) {
        Some([Dim::Size(n)]) => usize::try_from(*n).ok().filter(|n| *n <= MAX_VALUES),
        _ => None,
    }
}

fn number(d: &Dim) -> Option<u64> {
    if let Dim::Size(n) = d { Some(*n) } else { None }
}

fn unique(node: &Node<'_, '_>) -> Result<Vec<Option<Val>>> {
    let Some((elem, shape)) = node.tensor(0) else { return Ok(Vec::new()) };
    let first = match node.int("axis")? {
        None => Some(vec![Dim::Unknown]),
        Some(at) => shape.and_then(|s| {
            let mut out = s.clone();
            out[axis(at, s.len())?] = Dim::Unknown;
            Some(out)
        }),
    };
    let list = || Some(val(Some(DType::Int64), Some(vec![Dim::Unknown])));
    Ok(vec![Some(val(elem, first)), list(), list(), list()])
}

/// Letters stand for dimensions; three dots for those that are broadcast.
fn einsum(node: &Node<'_, '_>) -> Result<Option<Val>> {
    let elem = node.tensor(0).and_then(|t| t.0);
    let open = Ok(Some(val(elem, None)));
    let Some(equation) = node.text("equation")? else { return open };
    let equation: String = equation.chars().filter(|c| !c.is_whitespace()).collect();
    let (left, right) = match equation.split_once("->") {
        Some((left, right)) => (left, Some(right)),
        None => (&*equation, None),
    };
    let terms: Vec<&str> = left.split(',').collect();
    if terms.len() != node.inputs.len() || equation.len() > 1000 {
        return open;
    }
    let mut sizes: BTreeMap<char, (Dim, usize)> = BTreeMap::new();
    let mut dots: Option<Vec<Dim>> = None;
    for (at, term) in terms.iter().enumerate() {
        let Some((_, Some(shape))) = node.tensor(at) else { return open };
        let (before, after) = term.split_once("...").unwrap_or((term, ""));
        let letters = before.chars().count() + after.chars().count();
        let Some(rest) = shape.len().checked_sub(letters) else { return open };
        if !term.contains("...") && rest != 0 {
            return open;
        }
        let begin = before.chars().count();
        let named = before.chars().zip(&shape[..begin]).chain(after.chars().zip(&shape[begin + rest..]));
        for (letter, dim) in named {
            let entry = sizes.entry(letter).or_insert((Dim::Size(1), 0));
            entry.1 += 1;
            // A dimension of 1 is stretched.
            if matches!(entry.0, Dim::Size(1))
                || (number(&entry.0).is_none() && matches!(dim, Dim::Size(n) if *n != 1))
            {
                entry.0 = dim.clone();
            }
        }
        if term.contains("...") {
            let own = &shape[begin..begin + rest];
            dots = match dots {
                None => Some(own.to_vec()),
                Some(d) => match broadcast(&d, own) {
                    Some(d) => Some(d),
                    None => return open,
                },
            };
        }
    }
    let right = right.map_or_else(
        || {
            let once = sizes.iter().filter(|(_, (_, n))| *n == 1).map(|(c, _)| *c);
            format!("{}{}", if dots.is_some() { "..." } else { "" }, once.collect::<String>())
        },
        str::to_owned,
    );
    let mut out = Vec::new();
    let (before, after) = right.split_once("...").map_or((right.as_str(), None), |(b, a)| (b, Some(a)));
    let of = |letters: &str| {
        letters.chars().map(|c| sizes.get(&c).map(|(d, _)| d.clone())).collect::<Option<Vec<_>>>()
    };
    let Some(first) = of(before) else { return open };
    out.extend(first);
    if let Some(after) = after {
        out.extend(dots.unwrap_or_default());
        let Some(last) = of(after) else { return open };
        out.extend(last);
    }
    Ok(Some(val(elem, Some(out))))
}

fn one_hot(node: &Node<'_, '_>) -> Result<Option<Val>> {
    let elem = node.tensor(2).and_then(|t| t.0);
    let Some((_, Some(shape))) = node.tensor(0) else { return Ok(Some(val(elem, None))) };
    let Some(at) = axis(node.int("axis")?.unwrap_or(-1), shape.len() + 1) else { return Ok(None) };
    let depth = node.input_ints(1).and_then(|d| d.first().copied()).and_then(|n| u64::try_from(n).ok());
    let mut out = shape.clone();
    out.insert(at, depth.map_or(Dim::Unknown, Dim::Size));
    Ok(Some(val(elem, Some(out))))
}

fn compress(node: &Node<'_, '_>) -> Result<Option<Val>> {
    let Some((elem, shape)) = node.tensor(0) else { return Ok(None) };
    Ok(Some(match node.int("axis")? {
        None => val(elem, Some(vec![Dim::Unknown])),
        Some(at) => val(
            elem,
            shape.and_then(|s| {
                let mut out = s.clone();
                out[axis(at, s.len())?] = Dim::Unknown;
                Some(out)
            }),
        ),
    }))
}

/// The grid of an image of a size that is given as `[N, C, (D,) H, W]`.
fn affine(node: &Node<'_, '_>) -> Option<Vec<Dim>> {
    if let Some(size) = node.input_dims(1) {
        let (n, space) = (size.first()?.clone(), size.get(2..)?);
        let mut out = vec![n];
        out.extend_from_slice(space);
        out.push(Dim::Size(space.len() as u64));
        return Some(out);
    }
    let space = match node.tensor(0)?.1?.as_slice() {
        [_, Dim::Size(2), _] => 2,
        [_, Dim::Size(3), _] => 3,
        _ => return None,
    };
    let mut out = vec![Dim::Unknown; space + 1];
    out.push(Dim::Size(space as u64));
    Some(out)
}

fn gather_nd(node: &Node<'_, '_>) -> Result<Option<Val>> {
    let (Some((elem, data)), Some((_, indices))) = (node.tensor(0), node.tensor(1)) else { return Ok(None) };
    let (Some(data), Some(indices)) = (data, indices) else { return Ok(Some(val(elem, None))) };
    let batch = usize::try_from(node.int("batch_dims")?.unwrap_or(0)).unwrap_or(usize::MAX);
    let Some((Dim::Size(k), rest)) = indices.split_last() else { return Ok(Some(val(elem, None))) };
    let from = usize::try_from(*k).ok().and_then(|k| k.checked_add(batch)).filter(|n| *n <= data.len());
    Ok(Some(val(elem, from.map(|from| [rest, &data[from..]].concat()))))
}

/// Numbers from a start to a limit; how many there are is known where they are whole.
fn range(node: &Node<'_, '_>) -> Option<Val> {
    let elem = node.tensor(0)?.0;
    let one = |at: usize| node.input_ints(at).filter(|v| v.len() == 1).map(|v| v[0]);
    let whole = matches!(elem, Some(DType::Int64 | DType::Int32));
    let count = match (one(0), one(1), one(2)) {
        (Some(start), Some(limit), Some(step)) if whole && step != 0 => {
            limit.checked_sub(start).map(|span| {
                let up = (span > 0) == (step > 0) && span != 0;
                if up { span.unsigned_abs().div_ceil(step.unsigned_abs()) } else { 0 }
            })
        }
        _ => None,
    };
    let values = match (count, one(0), one(2)) {
        (Some(n), Some(start), Some(step)) if n <= MAX_VALUES as u64 => Some(
            (0..n.cast_signed())
                .map(|i| i.checked_mul(step)?.checked_add(start).map(Number::Whole))
                .collect(),
        ),
        _ => None,
    };
    Some(Val { values, ..val(elem, Some(vec![count.map_or(Dim::Unknown, Dim::Size)])) })
}

fn crop(node: &Node<'_, '_>) -> Result<Option<Val>> {
    let Some((elem, shape)) = node.tensor(0) else { return Ok(None) };
    let Some(shape) = shape else { return Ok(Some(val(elem, None))) };
    let axes = match node.ints("axes")? {
        Some(axes) => axes.iter().map(|a| axis(*a, shape.len())).collect::<Option<Vec<_>>>(),
        None => Some((0..shape.len()).collect()),
    };
    let Some(axes) = axes else { return Ok(None) };
    let target = node.input_dims(1).filter(|t| t.len() == axes.len());
    let mut out = shape.clone();
    for (i, at) in axes.into_iter().enumerate() {
        out[at] = target.as_ref().map_or(Dim::Unknown, |t| t[i].clone());
    }
    Ok(Some(val(elem, Some(out))))
}

fn blocks(node: &Node<'_, '_>) -> Result<Option<Val>> {
    let Some((elem, shape)) = node.tensor(0) else { return Ok(None) };
    let Some(shape) = shape else { return Ok(Some(val(elem, None))) };
    let [n, c, h, w] = shape.as_slice() else { return Ok(None) };
    let size = node.int("blocksize")?.and_then(|b| u64::try_from(b).ok()).filter(|b| *b > 0 && *b < 1 << 16);
    let Some(size) = size else { return Ok(Some(val(elem, Some(vec![Dim::Unknown; 4])))) };
    let times = |d: &Dim, by: u64| number(d).and_then(|n| n.checked_mul(by)).map_or(Dim::Unknown, Dim::Size);
    let over =
        |d: &Dim, by: u64| number(d).filter(|n| n % by == 0).map_or(Dim::Unknown, |n| Dim::Size(n / by));
    let out = if node.op == "SpaceToDepth" {
        vec![n.clone(), times(c, size * size), over(h, size), over(w, size)]
    } else {
        vec![n.clone(), over(c, size * size), times(h, size), times(w, size)]
    };
    Ok(Some(val(elem, Some(out))))
}

fn tile(node: &Node<'_, '_>) -> Option<Val> {
    let (elem, shape) = node.tensor(0)?;
    let repeats = node.input_dims(1);
    let Some(shape) = shape else {
        let rank = repeats.map(|r| r.len()).or_else(|| length(node.tensor(1).and_then(|t| t.1)));
        return Some(val(elem, rank.map(|n| vec![Dim::Unknown; n])));
    };
    // Opset 1 had a number of tiles and an axis.
    if node.inputs.len() != 2 {
        return Some(val(elem, Some(vec![Dim::Unknown; shape.len()])));
    }
    let times = |(at, d): (usize, &Dim)| {
        let by = repeats.as_ref().and_then(|r| r.get(at)).and_then(number);
        let n = by.zip(number(d)).and_then(|(a, b)| a.checked_mul(b));
        n.map_or(Dim::Unknown, Dim::Size)
    };
    Some(val(elem, Some(shape.iter().enumerate().map(times).collect())))
}

/// A transform along one axis, with real and imaginary part in the last dimension.
fn dft(node: &Node<'_, '_>) -> Result<Option<Val>> {
    let Some((elem, shape)) = node.tensor(0) else { return Ok(None) };
    let Some(shape) = shape else { return Ok(Some(val(elem, None))) };
    if shape.len() < 2 {
        return Ok(None);
    }
    let at = if node.opset >= 20 {
        match node.input(2) {
            Some(_) => node.input_ints(2).and_then(|a| a.first().copied()),
            None => Some(-2),
        }
    } else {
        Some(node.int("axis")?.unwrap_or(1))
    };
    let inverse = node.int("inverse")?.unwrap_or(0) != 0;
    let half = node.int("onesided")?.unwrap_or(0) != 0;
    let last = shape.len() - 1;
    if node.input(1).is_none() && !half {
        // As long as before, along whichever axis.
        let mut out = shape.clone();
        out[last] = Dim::Size(2);
        return Ok(Some(val(elem, Some(out))));
    }
    let Some(at) = at else {
        let mut out = vec![Dim::Unknown; shape.len()];
        out[last] = Dim::Size(if inverse && half { 1 } else { 2 });
        return Ok(Some(val(elem, Some(out))));
    };
    let Some(at) = axis(at, shape.len()).filter(|at| *at != last) else { return Ok(None) };
    let length = match node.input(1) {
        Some(_) => node.input_ints(1).and_then(|n| n.first().copied()).and_then(|n| u64::try_from(n).ok()),
        // Half of a spectrum is taken as that of an even length.
        None if half && inverse => number(&shape[at]).and_then(|n| n.checked_sub(1)?.checked_mul(2)),
        None => number(&shape[at]),
    };
    let mut out = shape.clone();
    let n = if half && !inverse { length.map(|n| n / 2 + 1) } else { length };
    out[at] = n.map_or(Dim::Unknown, Dim::Size);
    out[last] = Dim::Size(if inverse && half { 1 } else { 2 });
    Ok(Some(val(elem, Some(out))))
}

/// The tensors that a split into a list gives.
pub(super) fn split_to_list(node: &Node<'_, '_>) -> Result<Option<Val>> {
    let Some((elem, shape)) = node.tensor(0) else { return Ok(None) };
    let each = match shape {
        None => None,
        Some(shape) => match axis(node.int("axis")?.unwrap_or(0), shape.len()) {
            None => None,
            Some(at) => {
                let mut out = shape.clone();
                let single = node.input(1).is_none();
                out[at] = match node.input_ints(1) {
                    // A number of its own is the length of each; the last may be shorter.
                    Some(list) if list.len() == 1 => {
                        let n = u64::try_from(list[0]).ok().filter(|n| *n > 0);
                        let all = node.tensor(1).and_then(|t| t.1).is_some_and(Vec::is_empty);
                        match (n, number(&shape[at])) {
                            (Some(n), Some(whole)) if all && whole % n == 0 => Dim::Size(n),
                            (Some(n), _) if !all => Dim::Size(n),
                            _ => Dim::Unknown,
                        }
                    }
                    Some(list) if list.windows(2).all(|w| w[0] == w[1]) && !list.is_empty() => {
                        u64::try_from(list[0]).map_or(Dim::Unknown, Dim::Size)
                    }
                    None if single => Dim::Size(1),
                    _ => Dim::Unknown,
                };
                if single && node.int("keepdims")?.unwrap_or(1) == 0 {
                    out.remove(at);
                }
                Some(out)
            }
        },
    };
    Ok(Some(Val::new(Type::Sequence(Box::new(Type::tensor(elem, each))))))
}

/// The tensors of a list put together, along one axis or a new one.
pub(super) fn joined_list(node: &Node<'_, '_>) -> Result<Option<Val>> {
    let Some(Type::Sequence(inner)) = node.input(0).map(|v| &v.ty) else { return Ok(None) };
    let Type::Tensor { elem, shape, .. } = &**inner else { return Ok(None) };
    let Some(shape) = shape else { return Ok(Some(val(*elem, None))) };
    let fresh = node.int("new_axis")?.unwrap_or(0) != 0;
    let rank = shape.len() + usize::from(fresh);
    let Some(at) = node.int("axis")?.and_then(|a| axis(a, rank)) else { return Ok(Some(val(*elem, None))) };
    let mut out = shape.clone();
    if fresh {
        out.insert(at, Dim::Unknown);
    } else {
        out[at] = Dim::Unknown;
    }
    Ok(Some(val(*elem, Some(out))))
}
