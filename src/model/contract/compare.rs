//! What a definition declares, held against what the files record.
//!
//! The declared contract wins. A contradiction is a declared part that cannot be true if the file's
//! record is; being less precise is none, and neither is being more precise where the file says
//! nothing. Only what is `stored` can be contradicted: derived parts and conventions are floe's own.

use std::fmt;

use serde::Serialize;

use crate::error::show_bytes;
use crate::model::contract::{Contract, Known, Shape, Signature, Tensor};

/// A declared part that the files say otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Contradiction {
    /// Of what: `dtype of the input "x" of the signature "predict"`.
    pub what: String,
    /// What the definition says.
    pub declared: String,
    /// What the file says.
    pub stored: String,
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: declared {}, stored {}", self.what, self.declared, self.stored)
    }
}

/// What a comparison gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The contract to go on with: the declared one.
    pub contract: Contract,
    /// Where the files say otherwise; empty where all is well.
    pub contradictions: Vec<Contradiction>,
    /// Declared signatures that have no counterpart in the files, so that nothing was compared.
    pub unmatched: Vec<String>,
}

/// Holds a declared contract against an inferred one.
pub fn compare(declared: &Contract, inferred: &Contract) -> Comparison {
    let mut contradictions = Vec::new();
    let mut unmatched = Vec::new();
    for d in &declared.signatures {
        match counterpart(d, inferred) {
            Some(i) => signature(d, i, &mut contradictions),
            None => unmatched.push(d.name.clone()),
        }
    }
    Comparison { contract: declared.clone(), contradictions, unmatched }
}

/// The signature of the same name; else the one with which it has most tensor names in common.
fn counterpart<'a>(declared: &Signature, inferred: &'a Contract) -> Option<&'a Signature> {
    if let Some(same) = inferred.signatures.iter().find(|s| s.name == declared.name) {
        return Some(same);
    }
    let shared = |s: &Signature| common(&declared.inputs, &s.inputs) + common(&declared.outputs, &s.outputs);
    let mut best: Option<(usize, &Signature)> = None;
    for s in &inferred.signatures {
        let n = shared(s);
        if n > best.map_or(0, |(m, _)| m) {
            best = Some((n, s));
        }
    }
    best.map(|(_, s)| s)
}

fn common(a: &[Tensor], b: &[Tensor]) -> usize {
    a.iter().filter(|x| b.iter().any(|y| y.name == x.name)).count()
}

fn signature(declared: &Signature, inferred: &Signature, out: &mut Vec<Contradiction>) {
    for (side, d, i) in
        [("input", &declared.inputs, &inferred.inputs), ("output", &declared.outputs, &inferred.outputs)]
    {
        names(side, declared, d, i, out);
        for a in d {
            if let Some(b) = i.iter().find(|b| b.name == a.name) {
                tensor(
                    &format!("the {side} `{}` of `{}`", quoted(&a.name), quoted(&declared.name)),
                    a,
                    b,
                    out,
                );
            }
        }
    }
}

fn quoted(name: &str) -> String {
    show_bytes(name.as_bytes())
}

fn list(tensors: &[&Tensor]) -> String {
    if tensors.is_empty() {
        return "none".to_owned();
    }
    tensors.iter().map(|t| format!("`{}`", quoted(&t.name))).collect::<Vec<_>>().join(", ")
}

/// Names contradict only where the file has them; an input that may be left out may be left out.
fn names(side: &str, s: &Signature, declared: &[Tensor], inferred: &[Tensor], out: &mut Vec<Contradiction>) {
    if inferred.iter().any(|t| t.known.name != Known::Stored) {
        return;
    }
    let unknown: Vec<&Tensor> =
        declared.iter().filter(|d| !inferred.iter().any(|i| i.name == d.name)).collect();
    let missing: Vec<&Tensor> =
        inferred.iter().filter(|i| !i.optional && !declared.iter().any(|d| d.name == i.name)).collect();
    if unknown.is_empty() && missing.is_empty() {
        return;
    }
    // Where one side has nothing of its own, all of its names say what there is.
    let or_all = |own: Vec<&Tensor>, all: &[Tensor]| {
        if own.is_empty() { list(&all.iter().collect::<Vec<_>>()) } else { list(&own) }
    };
    out.push(Contradiction {
        what: format!("names of the {side}s of `{}`", quoted(&s.name)),
        declared: or_all(unknown, declared),
        stored: or_all(missing, inferred),
    });
}

fn tensor(what: &str, declared: &Tensor, inferred: &Tensor, out: &mut Vec<Contradiction>) {
    if inferred.known.dtype == Known::Stored
        && let Some(stored) = inferred.dtype
    {
        let says = match declared.dtype {
            Some(d) if d != stored => Some(format!("`{d}`")),
            None if !declared.fields.is_empty() => Some("fields".to_owned()),
            _ => None,
        };
        if let Some(declared) = says {
            out.push(Contradiction {
                what: format!("dtype of {what}"),
                declared,
                stored: format!("`{stored}`"),
            });
        }
    }
    if inferred.known.shape == Known::Stored
        && let (Some(d), Some(i)) = (&declared.shape, &inferred.shape)
    {
        let differs = d.len() != i.len()
            || d.iter().zip(i).any(|(a, b)| matches!((a, b), (Some(a), Some(b)) if a != b));
        if differs {
            out.push(Contradiction {
                what: format!("shape of {what}"),
                declared: show_shape(d),
                stored: show_shape(i),
            });
        }
    }
}

/// A shape as definitions write it, with `-1` for what is not fixed.
fn show_shape(shape: &Shape) -> String {
    if shape.is_empty() {
        return "scalar".to_owned();
    }
    let dims: Vec<String> = shape.iter().map(|d| d.map_or("-1".to_owned(), |n| n.to_string())).collect();
    format!("[{}]", dims.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::contract::{DType, Profile};

    fn tensor(name: &str, dtype: DType, shape: Option<&[i64]>, known: Known) -> Tensor {
        Tensor::new(
            name,
            Some(dtype),
            shape.map(|s| s.iter().map(|d| u64::try_from(*d).ok()).collect()),
            known,
        )
    }

    fn contract(name: &str, inputs: Vec<Tensor>, outputs: Vec<Tensor>) -> Contract {
        Contract {
            signatures: vec![Signature { name: name.to_owned(), known: Known::Stored, inputs, outputs }],
        }
    }

    fn stored() -> Contract {
        contract(
            "serving_default",
            vec![tensor("x", DType::Float32, Some(&[-1, 4]), Known::Stored)],
            vec![tensor("y", DType::Int64, None, Known::Stored)],
        )
    }

    fn against(declared: &Contract) -> Vec<String> {
        compare(declared, &stored()).contradictions.iter().map(ToString::to_string).collect()
    }

    fn x(dtype: DType, shape: Option<&[i64]>) -> Contract {
        contract(
            "serving_default",
            vec![tensor("x", dtype, shape, Known::Declared)],
            vec![tensor("y", DType::Int64, Some(&[7]), Known::Declared)],
        )
    }

    #[test]
    fn weaker_and_stronger_where_nothing_is_said_are_fine() {
        for shape in [None, Some(&[-1, -1][..]), Some(&[8, 4])] {
            let mut declared = x(DType::Float32, shape);
            declared.signatures[0].inputs[0].profile = Some(Profile::Image);
            let c = compare(&declared, &stored());
            assert_eq!(c.contradictions, []);
            assert_eq!(c.contract, declared);
        }
    }

    #[test]
    fn dtype_rank_and_size_contradict() {
        assert_eq!(
            against(&x(DType::Float64, None)),
            ["dtype of the input `x` of `serving_default`: declared `float64`, stored `float32`"]
        );
        assert_eq!(
            against(&x(DType::Float32, Some(&[4]))),
            ["shape of the input `x` of `serving_default`: declared [4], stored [-1, 4]"]
        );
        assert_eq!(
            against(&x(DType::Float32, Some(&[-1, 5]))),
            ["shape of the input `x` of `serving_default`: declared [-1, 5], stored [-1, 4]"]
        );
        assert_eq!(against(&x(DType::Float32, Some(&[]))).len(), 1);
    }

    #[test]
    fn names_contradict_in_both_directions() {
        let declared = contract(
            "serving_default",
            vec![tensor("z", DType::Float32, None, Known::Declared)],
            vec![tensor("y", DType::Int64, None, Known::Declared)],
        );
        assert_eq!(
            against(&declared),
            ["names of the inputs of `serving_default`: declared `z`, stored `x`"]
        );
        let mut optional = stored();
        optional.signatures[0].inputs.push(tensor("w", DType::Float32, None, Known::Stored));
        assert_eq!(compare(&x(DType::Float32, None), &optional).contradictions.len(), 1);
        optional.signatures[0].inputs[1].optional = true;
        assert_eq!(compare(&x(DType::Float32, None), &optional).contradictions, []);
    }

    #[test]
    fn another_signature_name_is_matched_by_tensors() {
        let mut declared = x(DType::Float64, None);
        declared.signatures[0].name = "infer".to_owned();
        assert_eq!(against(&declared).len(), 1);
        let other = contract("infer", vec![tensor("q", DType::Int8, None, Known::Declared)], vec![]);
        let c = compare(&other, &stored());
        assert_eq!((c.contradictions, c.unmatched), (vec![], vec!["infer".to_owned()]));
    }

    #[test]
    fn what_is_not_stored_cannot_be_contradicted() {
        let mut inferred = stored();
        for t in &mut inferred.signatures[0].inputs {
            t.known = crate::model::contract::Provenance::all(Known::Derived);
        }
        let mut declared = x(DType::String, Some(&[1, 2, 3]));
        declared.signatures[0].inputs[0].name = "x".to_owned();
        assert_eq!(compare(&declared, &inferred).contradictions, []);
    }
}
