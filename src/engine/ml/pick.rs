//! `Compress` and `OneHot`, whose shapes may depend on values.
//!
//! Invariant: a place outside the axis is an error of the run for `Compress`, and no place at all
//! for `OneHot`, as ONNX has it.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::attributes::Attributes;
use super::kernel::Built;
use super::kernel::Kernel;
use super::kernel::operator;
use super::kernel::symbol;
use super::rows::tensor;
use super::scale::numbers;
use super::scale::two;

/// Most elements of an output.
const MAX_ELEMENTS: usize = 1 << 30;

/// A place among the axes, counted from the end where it is negative.
fn axis(axis: i64, rank: usize) -> TractResult<usize> {
    let from_start = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
    usize::try_from(from_start)
        .ok()
        .filter(|at| *at < rank)
        .with_context(|| format!("expected an axis of {rank}, found {axis}"))
}

/// The parts of a tensor along an axis at which a condition is true.
#[derive(Debug)]
struct Compress {
    axis: Option<i64>,
    left: [Symbol; 1],
}

pub(super) fn compress(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let axis = Attributes::new(node).int("axis")?;
    operator(node, Compress { axis, left: [symbol(ctx)] })
}

impl Kernel for Compress {
    fn name(&self) -> &'static str {
        "Compress"
    }

    fn symbols(&self) -> &[Symbol] {
        &self.left
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let (input, condition) = two(inputs)?;
        let found = condition.datum_type;
        ensure!(found == bool::datum_type() && condition.rank() == 1, "expected a list of booleans");
        let left = self.left[0].to_dim();
        let Some(at) = self.axis else { return Ok(tvec!(input.datum_type.fact([left]))) };
        let mut shape: TVec<TDim> = input.shape.iter().cloned().collect();
        shape[axis(at, input.rank())?] = left;
        Ok(tvec!(input.datum_type.fact(shape)))
    }

    fn run(&self, inputs: &[&Tensor]) -> TractResult<TVec<Tensor>> {
        fn select<T: Datum>(input: &Tensor, at: Option<usize>, places: &[usize]) -> TractResult<Tensor> {
            let view = input.to_plain_array_view::<T>()?;
            let Some(at) = at else {
                let all = input.try_as_plain_ram()?.as_slice::<T>()?;
                return tensor(&[places.len()], places.iter().map(|p| all[*p].clone()).collect());
            };
            let parts = view.select(tract_ndarray::Axis(at), places);
            Ok(parts.as_standard_layout().into_owned().into_tensor())
        }
        let (input, condition) = two(inputs)?;
        let condition = condition.try_as_plain_ram()?.as_slice::<bool>()?;
        let places: Vec<usize> =
            condition.iter().enumerate().filter(|(_, on)| **on).map(|(at, _)| at).collect();
        let at = self.axis.map(|at| axis(at, input.rank())).transpose()?;
        let length = at.map_or(input.len(), |at| input.shape()[at]);
        if let Some(beyond) = places.last().filter(|place| **place >= length) {
            bail!("expected conditions for {length} elements, found one for element {beyond}");
        }
        Ok(tvec!(dispatch_datum!(select(input.datum_type())(input, at, &places))?))
    }
}

/// An axis with one value at the place that an element tells, another elsewhere.
#[derive(Debug)]
struct OneHot {
    axis: i64,
    depth: [Symbol; 1],
}

pub(super) fn one_hot(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let axis = Attributes::new(node).int("axis")?.unwrap_or(-1);
    operator(node, OneHot { axis, depth: [symbol(ctx)] })
}

fn three<T: Copy>(inputs: &[T]) -> TractResult<(T, T, T)> {
    match inputs {
        [a, b, c] => Ok((*a, *b, *c)),
        more => bail!("expected 3 inputs, found {}", more.len()),
    }
}

fn depth(of: &Tensor) -> TractResult<usize> {
    let depth = numbers::<i64>(of)?;
    let [depth] = *depth else { bail!("expected one depth, found {}", depth.len()) };
    usize::try_from(depth).ok().with_context(|| format!("expected a depth, found {depth}"))
}

impl Kernel for OneHot {
    fn name(&self) -> &'static str {
        "OneHot"
    }

    fn symbols(&self) -> &[Symbol] {
        &self.depth
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let (places, count, values) = three(inputs)?;
        let count = match &count.konst {
            Some(known) => depth(known)?.to_dim(),
            None => self.depth[0].to_dim(),
        };
        let mut shape: TVec<TDim> = places.shape.iter().cloned().collect();
        shape.insert(axis(self.axis, shape.len() + 1)?, count);
        Ok(tvec!(values.datum_type.fact(shape)))
    }

    fn run(&self, inputs: &[&Tensor]) -> TractResult<TVec<Tensor>> {
        fn fill<T: Datum>(values: &Tensor, places: &[Option<usize>], of: [usize; 2]) -> TractResult<Vec<T>> {
            let values = values.try_as_plain_ram()?.as_slice::<T>()?;
            let [off, on] = values else { bail!("expected two values, found {}", values.len()) };
            let [count, inner] = of;
            let mut all = vec![off.clone(); places.len() * count];
            for (n, place) in places.iter().enumerate() {
                if let Some(place) = place {
                    let (outer, inside) = (n / inner, n % inner);
                    all[(outer * count + place) * inner + inside] = on.clone();
                }
            }
            Ok(all)
        }
        fn hot<T: Datum>(
            values: &Tensor,
            places: &[Option<usize>],
            of: [usize; 2],
            shape: &[usize],
        ) -> TractResult<Tensor> {
            tensor(shape, fill::<T>(values, places, of)?)
        }
        let (input, count, values) = three(inputs)?;
        let count = depth(count)?;
        let size = input.len().checked_mul(count).filter(|n| *n <= MAX_ELEMENTS);
        size.context("the output is too large")?;
        let place = |at: &i64| {
            let at = if *at < 0 { at.checked_add(count as i64)? } else { *at };
            usize::try_from(at).ok().filter(|at| *at < count)
        };
        let places: Vec<Option<usize>> = numbers::<i64>(input)?.iter().map(place).collect();
        let mut shape: TVec<usize> = input.shape().into();
        let at = axis(self.axis, shape.len() + 1)?;
        let inner = shape[at..].iter().product::<usize>().max(1);
        shape.insert(at, count);
        Ok(tvec!(dispatch_datum!(hot(values.datum_type())(values, &places, [count, inner], &shape))?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ml::testing::close;
    use crate::engine::ml::testing::node;
    use crate::engine::ml::testing::strings;
    use crate::engine::ml::testing::words;

    #[test]
    fn compress_keeps_what_is_true() {
        let x = || tensor2(&[[1f32, 2.0], [3.0, 4.0], [5.0, 6.0]]);
        let rows = node("Compress", 1).int("axis", 0);
        assert_eq!(
            rows.run([x(), tensor1(&[false, true, true])]).unwrap()[0],
            tensor2(&[[3f32, 4.0], [5.0, 6.0]])
        );
        let columns = node("Compress", 1).int("axis", -1).run([x(), tensor1(&[false, true])]).unwrap();
        assert_eq!(columns[0], tensor2(&[[2f32], [4.0], [6.0]]));
        let flat = node("Compress", 1);
        close(&flat.run([x(), tensor1(&[true, false, false, true])]).unwrap()[0], &[1.0, 4.0]);
        let y = flat.run([strings(&["a", "b"]), tensor1(&[false, true])]).unwrap();
        assert_eq!(words(&y[0]), ["b"]);
        let none = rows.run([x(), tensor1(&[false])]).unwrap();
        assert_eq!(none[0].shape(), [0, 2]);
        let said = rows.refused([x(), tensor1(&[false, false, false, true])]);
        assert!(said.contains("expected conditions for 3 elements, found one for element 3"), "{said}");
        let said = node("Compress", 1).int("axis", 2).refused([x(), tensor1(&[true])]);
        assert!(said.contains("expected an axis of 2, found 2"), "{said}");
    }

    #[test]
    fn one_hot_of_any_depth() {
        let hot = node("OneHot", 1);
        let y = hot.run([tensor1(&[1i64, -1, 7]), tensor0(3i64), tensor1(&[0f32, 5.0])]).unwrap();
        assert_eq!(y[0], tensor2(&[[0f32, 5.0, 0.0], [0.0, 0.0, 5.0], [0.0, 0.0, 0.0]]));
        let first = hot.clone().int("axis", 0);
        let y = first.run([tensor1(&[1i64, 0]), tensor1(&[2i64]), tensor1(&[0i64, 1])]).unwrap();
        assert_eq!(y[0], tensor2(&[[0i64, 1], [1, 0]]));
        let said = hot.refused([tensor1(&[1i64]), tensor0(-3i64), tensor1(&[0f32, 5.0])]);
        assert!(said.contains("expected a depth, found -3"), "{said}");
        let said = hot.refused([tensor1(&[1i64]), tensor0(i64::MAX), tensor1(&[0f32, 5.0])]);
        assert!(said.contains("too large"), "{said}");
        let said = hot.refused([tensor1(&[1i64]), tensor0(3i64), tensor1(&[0f32])]);
        assert!(said.contains("expected two values, found 1"), "{said}");
    }
}
