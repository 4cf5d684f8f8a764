//! `Cast` from strings and to them; between numbers it is tract's.
//!
//! Numbers are written as ONNX Runtime writes them: eight digits, an exponent where the number is
//! below 0.0001 or has more digits. Invariant: a text that is no number is an error of the run.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::attributes::Attributes;
use super::borrowed::original;
use super::kernel::Built;
use super::kernel::Kernel;
use super::kernel::Operator;
use super::kernel::operator;
use super::linear::one;
use super::rows::tensor;
use super::scale::numbers;

/// Significant digits of a float as text.
const DIGITS: i32 = 8;

pub(super) fn cast(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let attributes = Attributes::new(node);
    // TensorProto.DataType.
    let to = match attributes.must("to", attributes.int("to")?)? {
        8 => return operator(node, ToText),
        1 => f32::datum_type(),
        3 => i8::datum_type(),
        5 => i16::datum_type(),
        6 => i32::datum_type(),
        7 => i64::datum_type(),
        2 => u8::datum_type(),
        11 => f64::datum_type(),
        _ => return Ok((Box::new(original(ctx, node)?), Vec::new())),
    };
    Ok((expand(FromText { to, tract: original(ctx, node)? }), Vec::new()))
}

#[derive(Debug)]
struct ToText;

/// A float with at most eight digits and without zeros at the end.
fn text(x: f64) -> String {
    if !x.is_finite() {
        return if x.is_nan() {
            "NaN"
        } else if x > 0.0 {
            "INF"
        } else {
            "-INF"
        }
        .to_owned();
    }
    let trimmed = |number: &str| -> String {
        if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number }
            .to_owned()
    };
    let scientific = format!("{x:.*e}", DIGITS as usize - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..DIGITS).contains(&exponent) {
        return trimmed(&format!("{x:.*}", (DIGITS - 1 - exponent) as usize));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trimmed(mantissa), exponent.abs())
}

impl Kernel for ToText {
    fn name(&self) -> &'static str {
        "Cast"
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(String::fact(one(inputs)?.shape.clone())))
    }

    fn run(&self, inputs: &[&Tensor]) -> TractResult<TVec<Tensor>> {
        let input = one(inputs)?;
        let dtype = input.datum_type();
        let texts: Vec<String> = if dtype == String::datum_type() {
            input.try_as_plain_ram()?.as_slice::<String>()?.to_vec()
        } else if dtype.is_float() {
            numbers::<f64>(input)?.iter().map(|x| text(*x)).collect()
        } else if dtype == u64::datum_type() {
            numbers::<u64>(input)?.iter().map(u64::to_string).collect()
        } else {
            numbers::<i64>(input)?.iter().map(i64::to_string).collect()
        };
        Ok(tvec!(tensor(input.shape(), texts)?))
    }
}

#[derive(Clone, Debug)]
struct FromText {
    to: DatumType,
    tract: Box<dyn Expansion>,
}

impl Kernel for FromText {
    fn name(&self) -> &'static str {
        "Cast"
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(self.to.fact(one(inputs)?.shape.clone())))
    }

    fn run(&self, inputs: &[&Tensor]) -> TractResult<TVec<Tensor>> {
        fn parse<T: Datum + std::str::FromStr>(texts: &[String], shape: &[usize]) -> TractResult<Tensor> {
            let number = |text: &String| {
                text.trim().parse::<T>().ok().with_context(|| {
                    let found = crate::error::show_bytes(text.as_bytes());
                    format!("expected a text that is a number, found `{found}`")
                })
            };
            tensor(shape, texts.iter().map(number).collect::<TractResult<Vec<T>>>()?)
        }
        let input = one(inputs)?;
        let texts = input.try_as_plain_ram()?.as_slice::<String>()?;
        let parsed = if self.to.is_float() {
            parse::<f64>(texts, input.shape())?
        } else {
            parse::<i64>(texts, input.shape())?
        };
        Ok(tvec!(parsed.cast_to_dt(self.to)?.into_owned()))
    }
}

impl Expansion for FromText {
    fn name(&self) -> StaticName {
        "Cast".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        s.equals(&inputs[0].shape, &outputs[0].shape)?;
        s.given(&inputs[0].datum_type, move |s, from| {
            if from == String::datum_type() {
                s.equals(&outputs[0].datum_type, self.to)
            } else {
                self.tract.rules(s, inputs, outputs)
            }
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        if model.outlet_fact(one(inputs)?)?.datum_type == String::datum_type() {
            Operator::new(self.clone()).wire(prefix, model, inputs)
        } else {
            self.tract.wire(prefix, model, inputs)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ml::testing::close;
    use crate::engine::ml::testing::integers;
    use crate::engine::ml::testing::node;
    use crate::engine::ml::testing::strings;
    use crate::engine::ml::testing::words;

    #[test]
    fn numbers_become_texts() {
        let text = node("Cast", 1).int("to", 8);
        let floats = [1.5f32, f32::NAN, f32::INFINITY, 1e10, 1e-7, 123_456_789.0, 0.1, -0.8, 0.0, 100_000.0];
        assert_eq!(
            words(&text.run([tensor1(&floats)]).unwrap()[0]),
            ["1.5", "NaN", "INF", "1e+10", "1e-07", "1.2345679e+08", "0.1", "-0.80000001", "0", "100000"]
        );
        assert_eq!(words(&text.run([tensor1(&[-3i64, 300])]).unwrap()[0]), ["-3", "300"]);
        assert_eq!(words(&text.run([tensor1(&[true, false])]).unwrap()[0]), ["1", "0"]);
        assert_eq!(words(&text.run([tensor1(&[u64::MAX])]).unwrap()[0]), ["18446744073709551615"]);
        assert_eq!(words(&text.run([strings(&["a"])]).unwrap()[0]), ["a"]);
    }

    #[test]
    fn texts_become_numbers() {
        let to = |to| node("Cast", 1).int("to", to);
        let y = to(1).run([strings(&["1.5", "nan", "-INF", " 2 ", "1e3"])]).unwrap();
        close(&y[0], &[1.5, f32::NAN, f32::NEG_INFINITY, 2.0, 1000.0]);
        assert_eq!(
            integers(&to(7).run([strings(&["-12", "9007199254740993"])]).unwrap()[0]),
            [-12, 9007199254740993]
        );
        let said = to(7).refused([strings(&["1.5"])]);
        assert!(said.contains("expected a text that is a number, found `1.5`"), "{said}");
        assert!(to(1).refused([strings(&["\u{1b}"])]).contains(r"found `\u{1b}`"));
    }

    #[test]
    fn between_numbers_it_is_tracts() {
        let y = node("Cast", 1).int("to", 1).run([tensor1(&[3i64])]).unwrap();
        close(&y[0], &[3.0]);
        assert_eq!(
            node("Cast", 1).int("to", 9).run([tensor1(&[3i64, 0])]).unwrap()[0],
            tensor1(&[true, false])
        );
        assert!(node("Cast", 1).refused([tensor1(&[3i64])]).contains("`to`: expected, found none"));
    }
}
