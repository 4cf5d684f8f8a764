//! Operators that slide a window over an image: convolutions and pools.

use crate::error::Result;
use crate::model::contract::DType;
use crate::model::format::onnx::infer::{Node, Val};
use crate::model::format::onnx::ops::val;
use crate::model::format::onnx::types::Dim;

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

pub(super) fn conv(node: &Node<'_, '_>) -> Result<Option<Val>> {
    convolution(node, 0, 1, node.tensor(0).and_then(|t| t.0))
}

/// A convolution of one input by another.
pub(super) fn convolution(
    node: &Node<'_, '_>,
    image: usize,
    weights: usize,
    elem: Option<DType>,
) -> Result<Option<Val>> {
    let (Some((_, Some(x))), Some((_, w))) = (node.tensor(image), node.tensor(weights)) else {
        return Ok(Some(val(elem, None)));
    };
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

pub(super) fn pool(node: &Node<'_, '_>) -> Result<Option<Val>> {
    let Some((elem, x)) = node.tensor(0) else { return Ok(None) };
    let Some(x) = x else { return Ok(Some(val(elem, None))) };
    if x.len() < 3 {
        return Ok(None);
    }
    let mut out = x[..2].to_vec();
    spatial(node, node.ints("kernel_shape")?, x, &mut out)?;
    Ok(Some(val(elem, Some(out))))
}

pub(super) fn spatial(
    node: &Node<'_, '_>,
    kernel: Option<Vec<i64>>,
    x: &[Dim],
    out: &mut Vec<Dim>,
) -> Result<()> {
    let windows = match kernel.filter(|k| k.len() == x.len() - 2) {
        Some(kernel) => Windows::read(node, kernel)?,
        None => None,
    };
    for (axis, dim) in x[2..].iter().enumerate() {
        out.push(windows.as_ref().map_or(Dim::Unknown, |w| w.size(axis, dim)));
    }
    Ok(())
}

pub(super) fn global_pool(node: &Node<'_, '_>) -> Option<Val> {
    let (elem, shape) = node.tensor(0)?;
    let shape = shape.filter(|s| s.len() >= 2).map(|s| {
        let mut out = s[..2].to_vec();
        out.resize(s.len(), Dim::Size(1));
        out
    });
    Some(val(elem, shape))
}
