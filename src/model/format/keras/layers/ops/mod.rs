//! Operations of Keras 3 that stand in a graph without being layers: `x + y`, `ops.reshape(x, …)`.
//!
//! Their arguments are those of the call; what the constructor was given is the configuration. The
//! rules are those of `compute_output_spec` (keras/src/ops), checked by ending a model in each
//! (`testdata/models/make/keras_ops.py`). Operations that are not named here tell nothing.

pub(super) mod arrays;
pub(super) mod elementwise;
mod operand;
pub(super) mod products;
mod signals;

pub(super) use operand::extent;

use crate::model::format::keras::config::Layer;
use crate::model::format::keras::layers::{Ctx, is_float};
use crate::model::format::keras::spec::{Args, Spec};

pub(super) fn apply(ctx: &Ctx, layer: &Layer<'_>, args: &Args<'_>) -> Option<Vec<Spec>> {
    match layer.class {
        "Where" => elementwise::chosen(ctx, args),
        "Moments" => Some(elementwise::moments(layer, &args.first())),
        "Quantile" | "Percentile" | "Nanquantile" | "Nanpercentile" => {
            elementwise::quantile(ctx, layer, args)
        }
        _ => elementwise::binary(ctx, layer, args)
            .or_else(|| arrays::apply(ctx, layer, args))
            .or_else(|| signals::apply(ctx, layer, args))
            .or_else(|| elementwise::unary(ctx, layer, args)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;
    use crate::model::contract::DType;
    use crate::model::format::keras::config;
    use crate::model::format::keras::spec::Arg;

    /// What an operation of a version gives, as `dtype[shape]`; tensors are `[shape, dtype]` in a list
    /// of their own.
    fn given(minor: u32, class: &str, config: &Value, args: &Value) -> String {
        let raw = json!({"class_name": class, "config": config});
        let ctx = Ctx::new(3, true, true, false, Some(DType::Float32), minor);
        let items = args.as_array().unwrap();
        let args = items.iter().map(|v| match v.get("tensor") {
            Some(t) => {
                let dtype = t[1].as_str().and_then(config::dtype);
                Arg::Tensor(Spec::new(config::shape(&t[0]), dtype))
            }
            None => Arg::Const(v),
        });
        let args = Args { args: args.collect(), kwargs: BTreeMap::new() };
        let out = apply(&ctx, &Layer::of(&raw).unwrap(), &args).unwrap_or_default();
        let show = |s: &Spec| {
            let dims = |s: &crate::model::contract::Shape| {
                s.iter().map(|d| d.map_or("?".to_owned(), |d| d.to_string())).collect::<Vec<_>>().join(",")
            };
            let shape = s.shape.as_ref().map_or("?".to_owned(), |s| format!("[{}]", dims(s)));
            format!("{}{shape}", s.dtype.map_or("?", DType::name))
        };
        out.iter().map(show).collect::<Vec<_>>().join(" ")
    }

    fn t(shape: &[i64], dtype: &str) -> Value {
        json!({"tensor": [shape, dtype]})
    }

    #[test]
    fn shapes_are_those_that_are_computed() {
        let f = |dims: &[i64]| t(dims, "float32");
        let of = |class: &str, config: Value, args: Value| given(0, class, &config, &args);
        let vector =
            json!({"class_name": "__tensor__", "config": {"value": [1.0, 2.0, 3.0], "dtype": "float32"}});
        assert_eq!(of("Inner", json!({}), json!([f(&[-1, 5, 4]), f(&[7, 4])])), "float32[?,5,7]");
        assert_eq!(of("Inner", json!({}), json!([f(&[-1, 5, 4]), 2])), "float32[?,5,4]");
        assert_eq!(of("Inner", json!({}), json!([f(&[-1, 5]), f(&[7, 4])])), "float32?");
        assert_eq!(of("Matmul", json!({}), json!([f(&[-1, 5, 3]), vector])), "float32[?,5]");
        assert_eq!(of("Tensordot", json!({"axes": 2}), json!([f(&[-1, 5, 4]), 2.5])), "float32[?]");
        let cross = json!({"axisa": -1, "axisb": -1, "axisc": -1, "axis": null});
        assert_eq!(of("Cross", cross.clone(), json!([f(&[-1, 5, 3]), f(&[-1, 5, 3])])), "float32[?,5,3]");
        assert_eq!(of("Cross", cross.clone(), json!([f(&[-1, 5, 2]), f(&[-1, 5, 2])])), "float32[?,5]");
        assert_eq!(of("Cross", cross, json!([f(&[-1, 5, -1]), f(&[-1, 5, 3])])), "float32?");
        let at = |axis: i64| json!({"axis": axis, "keepdims": true});
        assert_eq!(given(15, "Argmax", &at(1), &json!([f(&[-1, 5, 4])])), "int32[?,1,4]");
        assert_eq!(given(14, "Argmax", &at(1), &json!([f(&[-1, 5, 4])])), "int32?");
        assert_eq!(of("Glu", json!({"axis": -1}), json!([f(&[-1, 5, 4])])), "float32[?,5,2]");
        let quantile = json!({"axis": 1, "keepdims": false});
        let fractions = json!([f(&[-1, 5, 4]), [0.1, 0.5]]);
        assert_eq!(given(15, "Quantile", &quantile, &fractions), "float32[2,?,4]");
        assert_eq!(given(14, "Quantile", &quantile, &fractions), "float32?");
        assert_eq!(of("Kron", json!({}), json!([f(&[-1, 5]), f(&[2, 3])])), "float32[?,15]");
        // Told to be of two axes, computed to be of three.
        assert_eq!(of("Kron", json!({}), json!([f(&[-1, 5, 4]), f(&[2, 3])])), "float32?");
        // The first one's shape is told, also where the second one is longer.
        let i = |dims: &[i64]| t(dims, "int32");
        assert_eq!(of("BitwiseAnd", json!({}), json!([i(&[-1, -1]), i(&[-1, 5])])), "int32[?,?]");
        assert_eq!(of("BitwiseAnd", json!({}), json!([i(&[1, 5]), i(&[-1, 4, 5])])), "int32?");
        // A list of Python counts by its lengths.
        assert_eq!(of("Less", json!({}), json!([f(&[-1, 4]), [1.0, 2.0, 3.0, 4.0]])), "bool[?,4]");
        assert_eq!(of("Reshape", json!({"newshape": [null, 2, 2]}), json!([f(&[-1, 4])])), "float32[?,2,2]");
        let pool = json!({"output_size": [2, 3], "data_format": "channels_last"});
        assert_eq!(of("AdaptiveMaxPool", pool, json!([f(&[-1, 6, 6, 3])])), "float32[?,2,3,3]");
    }

    #[test]
    fn operations_with_several_outputs_and_dtypes_of_their_own() {
        let f = |dims: &[i64]| t(dims, "float32");
        let of = |class: &str, config: Value, args: Value| given(4, class, &config, &args);
        let n = json!([f(&[-1, 5, 4])]);
        assert_eq!(of("Nonzero", json!({}), n.clone()), "int32[?] int32[?] int32[?]");
        assert_eq!(given(3, "Nonzero", &json!({}), &n), "");
        assert_eq!(of("Slogdet", json!({}), json!([f(&[-1, 4, 4])])), "float32[?] float32[?]");
        assert_eq!(of("Slogdet", json!({}), json!([f(&[4])])), "float32? float32?");
        assert_eq!(of("Histogram", json!({"bins": 10}), n.clone()), "float32[10] float32[11]");
        assert_eq!(
            of("UnravelIndex", json!({"shape": [2, 2]}), json!([t(&[3], "int32")])),
            "int32[3] int32[3]"
        );
        assert_eq!(of("View", json!({"dtype": "int8"}), n.clone()), "int8[?,5,16]");
        assert_eq!(of("View", json!({"dtype": "nonsense"}), n.clone()), "");
        let sorted = json!({"class_name": "__numpy__", "config": {"value": [0.0, 1.0], "dtype": "float32"}});
        assert_eq!(of("SearchSorted", json!({"side": "left"}), json!([sorted, f(&[-1, 5])])), "int32[?,5]");
        assert_eq!(of("SearchSorted", json!({"side": "left"}), json!([f(&[-1]), f(&[-1, 5])])), "?[?,5]");
        let asked = json!({"return_index": true, "return_inverse": true, "return_counts": true, "axis": 1, "size": null});
        assert_eq!(of("Unique", asked, n.clone()), "float32[?,?,4] int32[?] int32[5] int32[?]");
        assert_eq!(of("Unique", json!({"axis": null, "size": 3}), n.clone()), "float32[3]");
        let greedy = json!({"strategy": "greedy", "top_paths": 1});
        assert_eq!(of("CTCDecode", greedy, n.clone()), "int32[1,?,5] float32[?,1]");
        let hot = json!({"num_classes": 7, "axis": -1, "dtype": "float32"});
        assert_eq!(of("MultiHot", hot.clone(), json!([t(&[-1, 5, 4], "int32")])), "?[?,4,7]");
        assert_eq!(of("MultiHot", hot, json!([t(&[5], "int32")])), "?[7]");
        let full = json!({"mode": "full"});
        assert_eq!(of("Correlate", full.clone(), json!([f(&[4]), f(&[3])])), "float32[6]");
        assert_eq!(of("Correlate", full, json!([t(&[4], "int32"), t(&[0], "int32")])), "float32[3]");
        assert_eq!(of("Trapezoid", json!({"axis": 1}), json!([t(&[-1, 5, 4], "int32")])), "float32[?,4]");
        assert_eq!(of("Vander", json!({"N": 3}), json!([f(&[4])])), "float32[4,3]");
        assert_eq!(of("ViewAsComplex", json!({}), json!([f(&[-1, 5, 2])])), "complex64[?,5]");
        // Until Keras 3.9 the shape was an argument of the call.
        assert_eq!(of("Slice", json!({}), json!([f(&[-1, 5, 4]), [0, 1, 0], [1, 2, -1]])), "float32[1,2,4]");
        assert_eq!(of("Scatter", json!({}), json!([t(&[2, 1], "int32"), f(&[2]), [6]])), "float32[6]");
    }

    #[test]
    fn what_frameworks_contradict_themselves_in_is_unknown() {
        let of = |class: &str, args: Value| given(0, class, &json!({}), &args);
        let a = |dtype: &str| t(&[-1, 4], dtype);
        // Told to stay whole, computed as floats.
        for class in ["Elu", "Softmax", "Gelu", "HardSigmoid"] {
            assert_eq!(of(class, json!([a("int32")])), "?[?,4]", "{class}");
            assert_eq!(of(class, json!([a("float16")])), "float16[?,4]", "{class}");
        }
        assert_eq!(of("Relu", json!([a("int32")])), "int32[?,4]");
        assert_eq!(of("Relu", json!([a("bool")])), "?[?,4]");
        assert_eq!(of("Absolute", json!([a("bool")])), "bool[?,4]");
        assert_eq!(of("Square", json!([a("bool")])), "int32[?,4]");
        assert_eq!(of("Mod", json!([a("bool"), a("bool")])), "int32[?,4]");
        assert_eq!(of("Power", json!([a("bool"), a("bool")])), "?[?,4]");
        assert_eq!(of("Hypot", json!([a("uint8"), a("int8")])), "float32[?,4]");
        assert_eq!(of("Hypot", json!([a("bool"), a("bool")])), "?[?,4]");
        // Whole numbers of Python become as wide as the backend likes.
        assert_eq!(of("Gcd", json!([a("uint8"), 2])), "?[?,4]");
        assert_eq!(of("Gcd", json!([a("uint8"), a("int8")])), "int16[?,4]");
        assert_eq!(of("Arctan2", json!([a("float16"), 2])), "?[?,4]");
        assert_eq!(of("Arctan2", json!([a("float32"), [1, 2, 3, 4]])), "float32[?,4]");
        assert_eq!(of("LogAddExp", json!([a("float16"), 2.5])), "");
        assert_eq!(of("Logaddexp", json!([a("float16"), 2.5])), "?[?,4]");
        // Numbers of 64 bits are halved where they meet others, by most backends.
        assert_eq!(of("Add", json!([a("float64"), a("float32")])), "?[?,4]");
        assert_eq!(of("Exp", json!([a("float64")])), "float64[?,4]");
        assert_eq!(of("Log", json!([a("float64")])), "?[?,4]");
        assert_eq!(of("Log", json!([a("int64")])), "float32[?,4]");
        assert_eq!(of("Cbrt", json!([a("int64")])), "float64[?,4]");
        assert_eq!(of("Mean", json!([a("int64")])), "float32[]");
        assert_eq!(of("Std", json!([a("float64")])), "float64[]");
        let w = json!({"class_name": "__numpy__", "config": {"value": [1.0, 1.0], "dtype": "float64"}});
        assert_eq!(of("Average", json!([a("int32"), null])), "float32[]");
        assert_eq!(of("Average", json!([a("int32"), w])), "?[]");
        // Versions differ, and the file may tell which one it is.
        assert_eq!(given(10, "RMSNorm", &json!({}), &json!([a("float16")])), "?[?,4]");
        assert_eq!(given(11, "RMSNorm", &json!({}), &json!([a("float16")])), "float16[?,4]");
        assert_eq!(given(0, "Matmul", &json!({}), &json!([a("int8"), t(&[4, 2], "int8")])), "?[?,2]");
        assert_eq!(given(1, "Matmul", &json!({}), &json!([a("int8"), t(&[4, 2], "int8")])), "int32[?,2]");
    }
}
