//! Encoders: operators that look values up, `LabelEncoder`, `CategoryMapper` and `OneHotEncoder`.
//!
//! They are not hashes: a value is in their list or it is not. Invariant: keys and values are as
//! many, and what is not found gets the default.

use std::collections::BTreeMap;

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::attributes::Attributes;
use super::kernel::Built;
use super::kernel::Kernel;
use super::kernel::operator;
use super::linear::one;
use super::rows;
use super::scale::numbers;

/// Most categories of a one-hot encoder.
const MAX_CATEGORIES: usize = 1 << 24;

/// A table from keys of one kind to places in a list of values.
#[derive(Debug)]
enum Keys {
    Strings(BTreeMap<String, usize>),
    /// Integers of any width.
    Ints(BTreeMap<i64, usize>),
    /// Floats, by their bits as doubles; all that are not numbers are one, and so are both zeros.
    Floats(BTreeMap<u64, usize>),
}

fn bits(float: f64) -> u64 {
    if float.is_nan() {
        f64::NAN.to_bits()
    } else if float == 0.0 {
        0
    } else {
        float.to_bits()
    }
}

impl Keys {
    fn new(keys: &Tensor) -> TractResult<Self> {
        // The last of equal keys wins.
        Ok(if keys.datum_type() == String::datum_type() {
            let all = keys.try_as_plain_ram()?.as_slice::<String>()?;
            Self::Strings(all.iter().cloned().enumerate().map(|(at, key)| (key, at)).collect())
        } else if keys.datum_type().is_float() {
            Self::Floats(numbers::<f64>(keys)?.iter().enumerate().map(|(at, key)| (bits(*key), at)).collect())
        } else {
            Self::Ints(numbers::<i64>(keys)?.iter().enumerate().map(|(at, key)| (*key, at)).collect())
        })
    }

    /// Whether a tensor of this type can be looked up.
    fn fit(&self, dtype: DatumType) -> bool {
        match self {
            Self::Strings(_) => dtype == String::datum_type(),
            Self::Ints(_) => dtype.is_integer() || dtype == bool::datum_type(),
            Self::Floats(_) => dtype.is_float(),
        }
    }

    fn places(&self, input: &Tensor) -> TractResult<Vec<Option<usize>>> {
        ensure!(self.fit(input.datum_type()), "expected keys' type, found {:?}", input.datum_type());
        Ok(match self {
            Self::Strings(keys) => {
                let all = input.try_as_plain_ram()?.as_slice::<String>()?;
                all.iter().map(|s| keys.get(s).copied()).collect()
            }
            Self::Ints(keys) => numbers::<i64>(input)?.iter().map(|i| keys.get(i).copied()).collect(),
            Self::Floats(keys) => {
                numbers::<f64>(input)?.iter().map(|f| keys.get(&bits(*f)).copied()).collect()
            }
        })
    }
}

/// Puts values in the place of keys.
#[derive(Debug)]
struct Lookup {
    name: &'static str,
    keys: Keys,
    values: Tensor,
    default: Tensor,
}

impl Kernel for Lookup {
    fn name(&self) -> &'static str {
        self.name
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let input = one(inputs)?;
        let dtype = input.datum_type;
        ensure!(self.keys.fit(dtype), "expected elements of the keys' type, found {dtype:?}");
        Ok(tvec!(self.values.datum_type().fact(input.shape.clone())))
    }

    fn run(&self, inputs: &[&Tensor]) -> TractResult<TVec<Tensor>> {
        let input = one(inputs)?;
        let places = self.keys.places(input)?;
        fn pick<T: Datum>(op: &Lookup, places: &[Option<usize>], shape: &[usize]) -> TractResult<Tensor> {
            let values = op.values.try_as_plain_ram()?.as_slice::<T>()?;
            let default = op.default.try_as_plain_ram()?.as_slice::<T>()?;
            let default = default.first().context("expected a default, found none")?;
            let found = places.iter().map(|at| at.and_then(|at| values.get(at)).unwrap_or(default).clone());
            rows::tensor(shape, found.collect())
        }
        let shape = input.shape();
        Ok(tvec!(dispatch_datum!(pick(self.values.datum_type())(self, &places, shape))?))
    }
}

/// A list of keys or values from the one attribute that has it.
fn list(ctx: &ParsingContext, attributes: &Attributes, prefix: &str) -> TractResult<Tensor> {
    let of = |kind: &str| format!("{prefix}_{kind}");
    let names = [of("strings"), of("int64s"), of("floats"), of("tensor")];
    let name = attributes.one_of(&names.each_ref().map(String::as_str))?.to_owned();
    Ok(match names.iter().position(|n| *n == name) {
        Some(0) => tensor1(&attributes.must(&name, attributes.strings(&name)?)?),
        Some(1) => tensor1(attributes.must(&name, attributes.ints(&name)?)?),
        Some(2) => tensor1(attributes.must(&name, attributes.floats(&name)?)?),
        _ => {
            let tensor = attributes.must(&name, attributes.tensor(ctx, &name)?)?;
            if tensor.rank() != 1 {
                let rank = tensor.rank();
                return Err(attributes.wrong(&name, format_args!("expected a vector, found the rank {rank}")));
            }
            tensor
        }
    })
}

pub(super) fn label_encoder(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let attributes = Attributes::new(node);
    // Version 1 had a list of strings whose places were the integers.
    if attributes.has("classes_strings") {
        return first_label_encoder(node, &attributes);
    }
    let keys = list(ctx, &attributes, "keys")?;
    let values = list(ctx, &attributes, "values")?;
    if values.len() != keys.len() {
        return Err(attributes.unfit(format_args!(
            "expected a value for each of {} keys, found {}",
            keys.len(),
            values.len()
        )));
    }
    let dtype = values.datum_type();
    let default = if let Some(default) = attributes.tensor(ctx, "default_tensor")? {
        if default.len() != 1 || default.datum_type() != dtype {
            return Err(attributes.wrong(
                "default_tensor",
                format_args!("expected one {dtype:?}, found {} of {:?}", default.len(), default.datum_type()),
            ));
        }
        default
    } else if dtype == String::datum_type() {
        tensor0(attributes.string("default_string")?.unwrap_or("_Unused").to_owned())
    } else if dtype.is_float() {
        tensor0(attributes.float("default_float")?.unwrap_or(-0.0)).cast_to_dt(dtype)?.into_owned()
    } else {
        tensor0(attributes.int("default_int64")?.unwrap_or(-1)).cast_to_dt(dtype)?.into_owned()
    };
    let keys = Keys::new(&keys).map_err(|e| attributes.unfit(format_args!("{e:#}")))?;
    operator(node, Lookup { name: "LabelEncoder", keys, values, default })
}

fn first_label_encoder(node: &NodeProto, attributes: &Attributes) -> Built {
    let name = "classes_strings";
    let strings = attributes.must(name, attributes.strings(name)?)?;
    let places: Vec<i64> = (0..strings.len() as i64).collect();
    operator(node, Both::new("LabelEncoder", attributes, &strings, &places)?)
}

pub(super) fn category_mapper(_: &ParsingContext, node: &NodeProto) -> Built {
    let attributes = Attributes::new(node);
    let strings = attributes.must("cats_strings", attributes.strings("cats_strings")?)?;
    let ints = attributes.must("cats_int64s", attributes.ints("cats_int64s")?)?;
    attributes.as_many("cats_int64s", ints.len(), strings.len(), "`cats_strings`")?;
    operator(node, Both::new("CategoryMapper", &attributes, &strings, ints)?)
}

/// A lookup that goes from strings to integers or back, as its input asks.
#[derive(Debug)]
struct Both {
    from_strings: Lookup,
    from_ints: Lookup,
}

impl Both {
    fn new(name: &'static str, of: &Attributes, strings: &[String], ints: &[i64]) -> TractResult<Self> {
        let default_int = of.int("default_int64")?.unwrap_or(-1);
        let default_string = of.string("default_string")?.unwrap_or("_Unused").to_owned();
        let (strings, ints) = (tensor1(strings), tensor1(ints));
        Ok(Self {
            from_strings: Lookup {
                name,
                keys: Keys::new(&strings)?,
                values: ints.clone(),
                default: tensor0(default_int),
            },
            from_ints: Lookup {
                name,
                keys: Keys::new(&ints)?,
                values: strings,
                default: tensor0(default_string),
            },
        })
    }

    fn way(&self, dtype: DatumType) -> &Lookup {
        if dtype == String::datum_type() { &self.from_strings } else { &self.from_ints }
    }
}

impl Kernel for Both {
    fn name(&self) -> &'static str {
        self.from_ints.name
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        self.way(one(inputs)?.datum_type).facts(inputs)
    }

    fn run(&self, inputs: &[&Tensor]) -> TractResult<TVec<Tensor>> {
        self.way(one(inputs)?.datum_type()).run(inputs)
    }
}

/// A vector for each element, 1 at the place of its category.
#[derive(Debug)]
struct OneHot {
    keys: Keys,
    count: usize,
    /// Whether an unknown category is a vector of zeros, or an error.
    zeros: bool,
}

pub(super) fn one_hot_encoder(_: &ParsingContext, node: &NodeProto) -> Built {
    let attributes = Attributes::new(node);
    let (ints, strings) = ("cats_int64s", "cats_strings");
    let categories = if attributes.one_of(&[ints, strings])? == ints {
        tensor1(attributes.must(ints, attributes.ints(ints)?)?)
    } else {
        tensor1(&attributes.must(strings, attributes.strings(strings)?)?)
    };
    let count = categories.len();
    if count > MAX_CATEGORIES {
        return Err(
            attributes.unfit(format_args!("expected at most {MAX_CATEGORIES} categories, found {count}"))
        );
    }
    let zeros = attributes.int("zeros")?.unwrap_or(1) != 0;
    operator(node, OneHot { keys: Keys::new(&categories)?, count, zeros })
}

impl Kernel for OneHot {
    fn name(&self) -> &'static str {
        "OneHotEncoder"
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let input = one(inputs)?;
        let dtype = input.datum_type;
        let fits = self.keys.fit(dtype) || (dtype.is_float() && matches!(self.keys, Keys::Ints(_)));
        ensure!(fits, "expected elements of the categories' type, found {dtype:?}");
        let mut shape: TVec<TDim> = input.shape.iter().cloned().collect();
        shape.push(self.count.to_dim());
        Ok(tvec!(f32::fact(shape)))
    }

    fn run(&self, inputs: &[&Tensor]) -> TractResult<TVec<Tensor>> {
        let input = one(inputs)?;
        let places = match &self.keys {
            Keys::Ints(keys) if input.datum_type().is_float() => {
                // Floats lose their fraction; what is not finite is no category.
                let whole = |x: &f64| x.is_finite().then_some(*x as i64);
                let find = |x: &f64| whole(x).and_then(|x| keys.get(&x).copied());
                numbers::<f64>(input)?.iter().map(find).collect()
            }
            keys => keys.places(input)?,
        };
        let size = places.len().checked_mul(self.count).context("the output is too large")?;
        let mut values = vec![0f32; size];
        for (place, row) in places.iter().zip(values.chunks_exact_mut(self.count.max(1))) {
            match place {
                Some(place) => row[*place] = 1.0,
                None => ensure!(self.zeros, "expected known categories, found another (`zeros` is 0)"),
            }
        }
        let mut shape: TVec<usize> = input.shape().into();
        shape.push(self.count);
        Ok(tvec!(rows::tensor(&shape, values)?))
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
    use tract_onnx::pb;

    #[test]
    fn labels_of_every_kind() {
        // The example of the operator's documentation.
        let names = node("LabelEncoder", 1)
            .strings("keys_strings", &["Amy", "Sally"])
            .ints("values_int64s", &[5, 6])
            .int("default_int64", -1);
        let y = names.run([strings(&["Dori", "Amy", "Amy", "Sally", "Sally"])]).unwrap();
        assert_eq!(integers(&y[0]), [-1, 5, 5, 6, 6]);
        let floats = node("LabelEncoder", 1)
            .floats("keys_floats", &[1.5, f32::NAN, 0.0])
            .strings("values_strings", &["a", "nan", "zero"]);
        let y = floats.run([tensor2(&[[1.5f32, f32::NAN], [-0.0, 2.0]])]).unwrap();
        assert_eq!(words(&y[0]), ["a", "nan", "zero", "_Unused"]);
        assert_eq!(y[0].shape(), [2, 2]);
        let numbers =
            node("LabelEncoder", 1).ints("keys_int64s", &[1, 2, 1]).floats("values_floats", &[0.5, 1.5, 2.5]);
        // Of equal keys the last counts; the default is a negative zero.
        close(&numbers.run([tensor1(&[1i64, 2, 3])]).unwrap()[0], &[2.5, 1.5, 0.0]);
        assert!(numbers.refused([strings(&["a"])]).contains("expected elements of the keys' type"));
    }

    fn proto(values: &[i32]) -> pb::TensorProto {
        pb::TensorProto {
            dims: vec![values.len() as i64],
            data_type: 6,
            int32_data: values.to_vec(),
            ..Default::default()
        }
    }

    #[test]
    fn labels_in_tensors() {
        let coded = node("LabelEncoder", 1)
            .strings("keys_strings", &["a", "b"])
            .tensor("values_tensor", proto(&[3, 4]))
            .tensor("default_tensor", proto(&[42]));
        let y = coded.run([strings(&["b", "?", "a"])]).unwrap();
        assert_eq!(y[0], tensor1(&[4i32, 42, 3]));
        let said = coded.clone().tensor("default_tensor", proto(&[1, 2])).refused([strings(&["a"])]);
        assert!(said.contains("`default_tensor`: expected one I32, found 2"), "{said}");
        let raw = pb::TensorProto { raw_data: vec![0; 5], int32_data: vec![], ..proto(&[1, 2]) };
        let said = coded.tensor("values_tensor", raw).refused([strings(&["a"])]);
        assert!(said.contains("`values_tensor`: expected 2 elements, found 5 bytes"), "{said}");
    }

    #[test]
    fn labels_that_do_not_fit() {
        let x = || [strings(&["a"])];
        let keys = || node("LabelEncoder", 1).strings("keys_strings", &["a", "b"]);
        assert!(
            keys()
                .refused(x())
                .contains("`values_strings`, `values_int64s`, `values_floats`, `values_tensor`, found none")
        );
        let said = keys().ints("values_int64s", &[1]).refused(x());
        assert!(said.contains("expected a value for each of 2 keys, found 1"), "{said}");
        let said = keys().ints("keys_int64s", &[1]).ints("values_int64s", &[1]).refused(x());
        assert!(said.contains("found `keys_strings`, `keys_int64s`"), "{said}");
    }

    #[test]
    fn the_first_encoder_and_the_mapper_go_both_ways() {
        let first = node("LabelEncoder", 1)
            .strings("classes_strings", &["a", "b"])
            .int("default_int64", 9)
            .string("default_string", "?");
        assert_eq!(integers(&first.run([strings(&["b", "c"])]).unwrap()[0]), [1, 9]);
        assert_eq!(words(&first.run([tensor1(&[0i64, 7])]).unwrap()[0]), ["a", "?"]);
        let mapper =
            node("CategoryMapper", 1).strings("cats_strings", &["a", "b"]).ints("cats_int64s", &[30, 40]);
        assert_eq!(integers(&mapper.run([strings(&["b", "c"])]).unwrap()[0]), [40, -1]);
        assert_eq!(words(&mapper.run([tensor1(&[30i64, 7])]).unwrap()[0]), ["a", "_Unused"]);
        let said = mapper.ints("cats_int64s", &[1]).refused([strings(&["a"])]);
        assert!(said.contains("`cats_int64s`: expected 2 values"), "{said}");
    }

    #[test]
    fn one_of_the_categories() {
        let ints = node("OneHotEncoder", 1).ints("cats_int64s", &[3, -1]);
        let y = ints.run([tensor2(&[[3i64, -1], [5, 3]])]).unwrap();
        assert_eq!(y[0].shape(), [2, 2, 2]);
        close(&y[0], &[1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0]);
        let y = ints.run([tensor1(&[3.9f32, f32::NAN, f32::INFINITY, 1e30])]).unwrap();
        close(&y[0], &[1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        let words = node("OneHotEncoder", 1).strings("cats_strings", &["a", "b"]).int("zeros", 0);
        close(&words.run([strings(&["b"])]).unwrap()[0], &[0.0, 1.0]);
        assert!(words.refused([strings(&["c"])]).contains("expected known categories"));
        assert!(words.refused([tensor1(&[1i64])]).contains("expected elements of the categories' type"));
    }
}
