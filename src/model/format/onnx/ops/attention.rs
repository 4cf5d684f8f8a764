//! Attention: of ONNX itself, and the family that ONNX Runtime adds.
//!
//! Rules: onnx/docs/Operators.md; onnxruntime/docs/ContribOperators.md.

use crate::error::Result;
use crate::model::format::onnx::infer::{Node, Val};
use crate::model::format::onnx::ops::neural::{number, size};
use crate::model::format::onnx::ops::val;
use crate::model::format::onnx::types::Dim;

/// A positive number of an attribute.
fn positive(node: &Node<'_, '_>, name: &str) -> Result<Option<u64>> {
    Ok(node.int(name)?.and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0))
}

fn times(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    a?.checked_mul(b?)
}

fn sum(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    a?.checked_add(b?)
}

/// A part of a dimension that holds several; `None` where it does not come out even.
fn part(of: &Dim, parts: Option<u64>) -> Option<u64> {
    let (n, parts) = (number(of)?, parts?);
    (n % parts == 0).then(|| n / parts)
}

/// An input's shape, where it has this rank.
fn ranked<'a>(node: &'a Node<'_, '_>, at: usize, rank: usize) -> Option<&'a Vec<Dim>> {
    node.tensor(at)?.1.filter(|s| s.len() == rank)
}

/// `Y`, the present keys and values, and the product of queries and keys.
pub(super) fn standard(node: &Node<'_, '_>) -> Result<Vec<Option<Val>>> {
    let (Some((elem, Some(q))), Some((_, Some(k))), Some((_, Some(v)))) =
        (node.tensor(0), node.tensor(1), node.tensor(2))
    else {
        return Ok(vec![node.tensor(0).map(|(elem, _)| val(elem, None))]);
    };
    // Rows, heads, positions and sizes of each, whatever the layout.
    let split = |t: &[Dim], heads: Option<u64>| match t {
        [b, h, s, d] => Some((b.clone(), h.clone(), s.clone(), d.clone())),
        [b, s, all] => {
            let each = number(all).zip(heads).and_then(|(n, h)| n.checked_div(h));
            Some((b.clone(), size(heads), s.clone(), size(each)))
        }
        _ => None,
    };
    let (q_heads, kv_heads) = (positive(node, "q_num_heads")?, positive(node, "kv_num_heads")?);
    let (Some(q4), Some(k4), Some(v4)) = (split(q, q_heads), split(k, kv_heads), split(v, kv_heads)) else {
        return Ok(vec![Some(val(elem, None))]);
    };
    let shape = if q.len() == 4 {
        vec![q4.0.clone(), q4.1.clone(), q4.2.clone(), v4.3.clone()]
    } else {
        let all = number(&q4.1).zip(number(&v4.3)).and_then(|(h, d)| h.checked_mul(d));
        vec![q4.0.clone(), q4.2.clone(), size(all)]
    };
    // What came before is in the present too.
    let total = match node.input(4) {
        Some(_) => match node.tensor(4).and_then(|t| t.1) {
            Some(past) if past.len() == 4 => {
                size(number(&past[2]).zip(number(&k4.2)).and_then(|(a, b)| a.checked_add(b)))
            }
            _ => Dim::Unknown,
        },
        None => k4.2.clone(),
    };
    let present = |of: &(Dim, Dim, Dim, Dim), at: usize| {
        let elem = node.tensor(at).and_then(|t| t.0);
        Some(val(elem, Some(vec![of.0.clone(), of.1.clone(), total.clone(), of.3.clone()])))
    };
    let product = val(elem, Some(vec![q4.0.clone(), q4.1.clone(), q4.2.clone(), total.clone()]));
    Ok(vec![Some(val(elem, Some(shape))), present(&k4, 1), present(&v4, 2), Some(product)])
}

/// `LinearAttention`: the output in the packed form of the queries, and the state.
pub(super) fn linear(node: &Node<'_, '_>) -> Result<Vec<Option<Val>>> {
    let elem = node.tensor(0).and_then(|t| t.0);
    let (Some(q), Some(k), Some(v)) = (ranked(node, 0, 3), ranked(node, 1, 3), ranked(node, 2, 3)) else {
        return Ok(vec![Some(val(elem, None))]);
    };
    let (q_heads, kv_heads) = (positive(node, "q_num_heads")?, positive(node, "kv_num_heads")?);
    let (each_k, each_v) = (part(&k[2], kv_heads), part(&v[2], kv_heads));
    let out = vec![q[0].clone(), q[1].clone(), size(times(q_heads, each_v))];
    let state = vec![q[0].clone(), size(kv_heads), size(each_k), size(each_v)];
    // A state that is given may be of another type than the values.
    let kept = match node.input(3) {
        Some(_) => node.tensor(3).and_then(|t| t.0),
        None => elem,
    };
    Ok(vec![Some(val(elem, Some(out))), Some(val(kept, Some(state)))])
}

/// `FlexAttention`: rows, heads and positions of the queries, the size of the values.
pub(super) fn flexible(node: &Node<'_, '_>) -> Option<Val> {
    let elem = node.tensor(0)?.0;
    let shape = ranked(node, 0, 4).zip(ranked(node, 2, 4));
    Some(val(elem, shape.map(|(q, v)| [&q[..3], &v[3..]].concat())))
}

/// `Attention` and `QAttention` of ONNX Runtime, which hold the projections: the output and the present
/// keys and values.
pub(super) fn projected(node: &Node<'_, '_>, dtype_of: usize, past: usize) -> Result<Vec<Option<Val>>> {
    let elem = node.tensor(dtype_of).and_then(|t| t.0);
    let Some(x) = ranked(node, 0, 3) else { return Ok(vec![Some(val(elem, None)), Some(val(elem, None))]) };
    // Queries, keys and values stand beside each other.
    let all = ranked(node, 1, 2).and_then(|w| number(&w[1])).or_else(|| number(ranked(node, 2, 1)?.first()?));
    let (hidden, of_keys) = match node.ints("qkv_hidden_sizes")? {
        Some(sizes) => match sizes.as_slice() {
            [q, _, v] => {
                (u64::try_from(*v).ok(), Some(*q).filter(|q| q == v).and_then(|q| u64::try_from(q).ok()))
            }
            _ => (None, None),
        },
        None => {
            let third = all.filter(|n| n % 3 == 0).map(|n| n / 3);
            (third, third)
        }
    };
    let out = val(elem, Some(vec![x[0].clone(), x[1].clone(), size(hidden)]));
    let heads = positive(node, "num_heads")?;
    let total = match node.input(past) {
        None => number(&x[1]),
        Some(_) if node.int("past_present_share_buffer")?.unwrap_or(0) != 0 => {
            ranked(node, past, 5).and_then(|p| number(&p[3]))
        }
        Some(_) => ranked(node, past, 5).and_then(|p| sum(number(&p[3]), number(&x[1]))),
    };
    let each = of_keys.zip(heads).filter(|(n, h)| n % h == 0).map(|(n, h)| n / h);
    let present = vec![Dim::Size(2), x[0].clone(), size(heads), size(total), size(each)];
    Ok(vec![Some(out), Some(val(elem, Some(present)))])
}

/// `MultiHeadAttention` of ONNX Runtime: keys and values may be packed with the queries or each other.
pub(super) fn multi_head(node: &Node<'_, '_>) -> Result<Vec<Option<Val>>> {
    let elem = node.tensor(0).and_then(|t| t.0);
    let open = vec![Some(val(elem, None))];
    let Some((_, Some(q))) = node.tensor(0) else { return Ok(open) };
    if let [b, s, heads, Dim::Size(3), each] = q.as_slice() {
        return Ok(vec![Some(val(
            elem,
            Some(vec![b.clone(), s.clone(), size(times(number(heads), number(each)))]),
        ))]);
    }
    let [b, s, hidden] = q.as_slice() else { return Ok(open) };
    let last = match node.tensor(2) {
        Some((_, Some(v))) => match v.as_slice() {
            [_, _, hidden] => hidden.clone(),
            [_, heads, _, each] => size(times(number(heads), number(each))),
            _ => return Ok(open),
        },
        Some((_, None)) => Dim::Unknown,
        // Packed keys and values are as wide as the queries.
        None if ranked(node, 1, 5).is_some() => hidden.clone(),
        None => return Ok(open),
    };
    Ok(vec![Some(val(elem, Some(vec![b.clone(), s.clone(), last])))])
}

/// `GroupQueryAttention` of ONNX Runtime and what is like it: as wide as the queries, with which keys
/// and values may be packed.
pub(super) fn grouped(node: &Node<'_, '_>) -> Result<Vec<Option<Val>>> {
    let elem = node.tensor(0).and_then(|t| t.0);
    let Some(q) = ranked(node, 0, 3) else { return Ok(vec![Some(val(elem, None))]) };
    let (heads, of_keys) = (positive(node, "num_heads")?, positive(node, "kv_num_heads")?);
    let packed = node.input(1).is_none();
    let every = if packed { sum(heads, times(of_keys, Some(2))) } else { heads };
    let each = part(&q[2], every);
    let last = if packed { size(times(heads, each)) } else { q[2].clone() };
    // How many positions there are after these is not told by the shapes alone.
    let kept = |past: usize| {
        let like = node.tensor(if node.input(past).is_some() { past } else { 0 }).and_then(|t| t.0);
        let each = ranked(node, past, 4).map_or_else(|| size(each), |p| p[3].clone());
        Some(val(like, Some(vec![q[0].clone(), size(of_keys), Dim::Unknown, each])))
    };
    Ok(vec![Some(val(elem, Some(vec![q[0].clone(), q[1].clone(), last]))), kept(3), kept(4)])
}

/// `EmbedLayerNormalization`: the embedded words, how long each row is, and the sum before it is
/// normalized.
pub(super) fn embedded(node: &Node<'_, '_>, words: usize, elem_of: usize) -> Vec<Option<Val>> {
    let elem = node.tensor(elem_of).and_then(|t| t.0);
    let shape = ranked(node, 0, 2).map(|ids| {
        let width = ranked(node, words, 2).map_or(Dim::Unknown, |w| w[1].clone());
        vec![ids[0].clone(), ids[1].clone(), width]
    });
    let rows = ranked(node, 0, 2).map(|ids| vec![ids[0].clone()]);
    let lengths = val(Some(crate::model::contract::DType::Int32), rows);
    vec![Some(val(elem, shape.clone())), Some(lengths), Some(val(elem, shape))]
}
