//! The contract as definitions write it: one signature, or a map of them.
//!
//! Gen 2 and gen 3 of Hydrosphere have one signature (`{name, inputs, outputs}`), 0.1.x had a map of
//! names to signatures (`{infer: {inputs, outputs}}`). Which of the two it is follows from the
//! keys: `inputs`, `outputs`, or a `name` that is text make it one signature.
//!
//! A signature without a name is called `predict`, whatever the generation. The 2.x client said
//! `Predict`, but nothing in a file tells 2.x from 3.x, and the Python runtimes look the function
//! up by that name: who serves with 2.x writes the name down.
//!
//! Invariants: what is read here is [`Known::Declared`], the default name [`Known::Convention`], and
//! what the author left out [`Known::Unknown`]; fields stay in the order in which they are written.

use super::keys::{CONTRACT, FIELD, SIGNATURE, nearest};
use super::node::{Key, Node, Value};
use super::reader::{Reader, shown};
use super::types::{self, Type};
use crate::error::Result;
use crate::model::contract::{Contract, Known, Provenance, Shape, Signature, Tensor};

/// The name of a signature that has none.
pub const DEFAULT_SIGNATURE: &str = "predict";
/// The highest rank: TensorFlow's.
const MAX_RANK: usize = 254;

/// How a contract was written, which tells the generation of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Style {
    /// A map of signatures, as 0.1.x had it.
    pub(super) map: bool,
    /// Something that only 2.x took: nested fields, no shape, no profile.
    pub(super) loose: bool,
}

/// Reads a contract.
pub(super) fn read(r: &mut Reader<'_>, key: &str, node: &Node) -> Result<(Contract, Style)> {
    let Some(entries) = node.map() else {
        return Err(r.wrong(key, "a map with `inputs` and `outputs`", node));
    };
    let mut style = Style { map: false, loose: false };
    if is_one(entries) {
        let signature = one(r, entries, node, &mut style)?;
        return Ok((Contract { signatures: vec![signature] }, style));
    }
    style.map = true;
    let mut signatures = Vec::new();
    for (name, body) in entries {
        // Neither a signature nor a key of one: most likely a slip in `inputs` or `outputs`.
        let looks = body
            .map()
            .is_some_and(|b| b.iter().any(|(k, _)| nearest(&k.text, SIGNATURE.iter().copied()).is_some()));
        if !looks {
            return Err(r.unknown(name, "a contract", CONTRACT.iter().copied()));
        }
        check_name(r, "a signature", name)?;
        let (inputs, outputs) = sides(r, &name.text, body.map().unwrap_or_default(), body, &mut style)?;
        signatures.push(Signature { name: name.text.clone(), known: Known::Declared, inputs, outputs });
    }
    if signatures.is_empty() {
        return Err(r
            .error(&node.span, format_args!("`{key}` has no signature"))
            .hint("write `inputs` and `outputs`, or leave the contract out to have it inferred"));
    }
    Ok((Contract { signatures }, style))
}

fn is_one(entries: &[(Key, Node)]) -> bool {
    entries.iter().any(|(k, v)| match k.text.as_str() {
        "inputs" | "outputs" => true,
        "name" => v.scalar().is_some() || v.is_null(),
        _ => false,
    })
}

fn one(r: &mut Reader<'_>, entries: &[(Key, Node)], node: &Node, style: &mut Style) -> Result<Signature> {
    let mut name = None;
    for (key, value) in entries {
        match key.text.as_str() {
            "name" => name = r.optional_text("name", value)?,
            "inputs" | "outputs" => {}
            "metadata" => r.warn(
                &key.span,
                "`metadata` has no effect inside a contract",
                "move it to the top of the document, beside `contract`",
            ),
            _ => return Err(r.unknown(key, "a contract", CONTRACT.iter().copied())),
        }
    }
    let rest: Vec<_> =
        entries.iter().filter(|(k, _)| SIGNATURE.contains(&k.text.as_str())).cloned().collect();
    let shown_name = name.clone().unwrap_or_else(|| DEFAULT_SIGNATURE.to_owned());
    let (inputs, outputs) = sides(r, &shown_name, &rest, node, style)?;
    let known = if name.is_some() { Known::Declared } else { Known::Convention };
    Ok(Signature { name: shown_name, known, inputs, outputs })
}

fn sides(
    r: &mut Reader<'_>,
    name: &str,
    entries: &[(Key, Node)],
    node: &Node,
    style: &mut Style,
) -> Result<(Vec<Tensor>, Vec<Tensor>)> {
    let (mut inputs, mut outputs) = (None, None);
    for (key, value) in entries {
        let side = match key.text.as_str() {
            "inputs" => &mut inputs,
            "outputs" => &mut outputs,
            _ => return Err(r.unknown(key, "a signature", SIGNATURE.iter().copied())),
        };
        *side = Some(fields(r, &key.text, value, style)?);
    }
    let missing = |side: &str| {
        r.error(&node.span, format_args!("the signature `{}` has no `{side}`", shown(name)))
            .hint(format!("write `{side}: {{}}` where there are none"))
    };
    let inputs = inputs.ok_or_else(|| missing("inputs"))?;
    let outputs = outputs.ok_or_else(|| missing("outputs"))?;
    Ok((inputs, outputs))
}

fn fields(r: &mut Reader<'_>, side: &str, node: &Node, style: &mut Style) -> Result<Vec<Tensor>> {
    let mut out = Vec::new();
    for (name, body) in r.entries(side, node)? {
        check_name(r, "a field", name)?;
        out.push(field(r, name, body, style)?);
    }
    Ok(out)
}

fn field(r: &mut Reader<'_>, name: &Key, node: &Node, style: &mut Style) -> Result<Tensor> {
    let Some(entries) = node.map() else {
        return Err(r
            .wrong(&name.text, "a map with `type` and `shape`", node)
            .hint(format!("write `{}: {{type: float32, shape: [-1]}}`", shown(&name.text))));
    };
    let mut tensor = Tensor::new(&name.text, None, None, Known::Unknown);
    tensor.known = Provenance { name: Known::Declared, dtype: Known::Unknown, shape: Known::Unknown };
    let (mut typed, mut nested, mut profiled) = (None, None, false);
    for (key, value) in entries {
        match key.text.as_str() {
            "type" => {
                typed = Some(&key.span);
                if let Type::Is(dtype) = element_type(r, value)? {
                    tensor.dtype = Some(dtype);
                    tensor.known.dtype = Known::Declared;
                }
            }
            "shape" => {
                if let Some(shape) = shape(r, value)? {
                    tensor.shape = Some(shape);
                    tensor.known.shape = Known::Declared;
                }
            }
            "fields" => {
                nested = Some(&key.span);
                tensor.fields = fields(r, "fields", value, style)?;
                if tensor.fields.is_empty() {
                    return Err(r.error(&key.span, "`fields` holds no field"));
                }
                tensor.known.dtype = Known::Declared;
            }
            "profile" => {
                profiled = true;
                tensor.profile = profile(r, value)?;
            }
            _ => return Err(r.unknown(key, "a field", FIELD.iter().copied())),
        }
    }
    style.loose |= nested.is_some() || tensor.shape.is_none() || !profiled;
    match (typed, nested) {
        (Some(_), Some(at)) => Err(r
            .error(at, format_args!("the field `{}` has both a `type` and `fields`", shown(&name.text)))
            .hint("a structured value has `fields`, each with a type of its own; remove one of the two")),
        (None, None) => Err(r
            .error(&name.span, format_args!("the field `{}` has no `type`", shown(&name.text)))
            .hint("write `type: float32`, or `fields` for a structured value")),
        _ => Ok(tensor),
    }
}

fn element_type(r: &mut Reader<'_>, node: &Node) -> Result<Type> {
    let word = r.text("type", node)?;
    let Some(meaning) = types::read(&word) else {
        return Err(r
            .error(&node.span, format_args!("`{}` is not a type", shown(&word)))
            .hint(types::advice(&word)));
    };
    match (word.as_str(), meaning) {
        ("float", _) => {
            r.warn(
                &node.span,
                "`float` is read as `float64`, as in Hydrosphere's SDK",
                "write `float32` or `float64`",
            );
        }
        (_, Type::Open) => r.warn(
            &node.span,
            format_args!("`{word}` says nothing about the type, which stays unknown"),
            "write the type that the model takes",
        ),
        _ => {}
    }
    Ok(meaning)
}

/// `None` where any rank is allowed.
fn shape(r: &Reader<'_>, node: &Node) -> Result<Option<Shape>> {
    match &node.value {
        Value::Null => Ok(None),
        Value::List(dims) => dimensions(r, node, dims).map(Some),
        Value::Text(word) if word == "scalar" => Ok(Some(Shape::new())),
        // As the SDK and the upload's JSON have it.
        Value::Map(entries) => match entries.as_slice() {
            [(key, Node { value: Value::List(dims), .. })] if key.text == "dims" => {
                dimensions(r, node, dims).map(Some)
            }
            _ => Err(r.wrong("shape", "`scalar` or a list of sizes", node)),
        },
        Value::Text(word) => {
            let e = r.error(&node.span, format_args!("`{}` is not a shape", shown(word)));
            Err(match word.to_lowercase().as_str() {
                "any" | "dynamic" | "unknown" | "none" | "*" | "" => e.hint(
                    "leave `shape` out where every rank is allowed, or write `[-1]` for one unknown size",
                ),
                _ => e.hint("write `scalar`, or a list of sizes such as `[-1, 28, 28]`"),
            })
        }
        Value::Number(n) => Err(r
            .error(
                &node.span,
                format_args!("`shape` is `scalar` or a list of sizes, found the number {}", shown(n)),
            )
            .hint(format!("write `[{}]`", shown(n)))),
        Value::Bool(_) => Err(r.wrong("shape", "`scalar` or a list of sizes", node)),
    }
}

fn dimensions(r: &Reader<'_>, node: &Node, dims: &[Node]) -> Result<Shape> {
    if dims.len() > MAX_RANK {
        return Err(r.error(
            &node.span,
            format_args!("a shape has {} sizes, at most {MAX_RANK} are read", dims.len()),
        ));
    }
    let one = |d: &Node| {
        let size = if let Value::Number(n) = &d.value { n.parse::<i64>().ok() } else { None };
        match size {
            Some(-1) => Ok(None),
            Some(n) => u64::try_from(n).map(Some).map_err(|_| {
                r.error(&d.span, format_args!("a size is 0 or more, or -1 where it is unknown, found {n}"))
            }),
            None => Err(r
                .error(
                    &d.span,
                    format_args!(
                        "a size is a whole number, found `{}`",
                        shown(d.scalar().unwrap_or(d.what()))
                    ),
                )
                .hint("write -1 for a size that is not fixed")),
        }
    };
    dims.iter().map(one).collect()
}

fn profile(r: &mut Reader<'_>, node: &Node) -> Result<Option<crate::model::contract::Profile>> {
    let Some(word) = r.optional_text("profile", node)? else { return Ok(None) };
    if let Some(profile) = types::profile(&word) {
        return Ok(profile);
    }
    let hint = match nearest(&word, types::PROFILES.iter().map(|(w, _)| *w)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "profiles are `numerical`, `categorical`, `text`, `image` and the others of Hydrosphere"
            .to_owned(),
    };
    r.warn(&node.span, format_args!("`{}` is not a profile, the field gets none", shown(&word)), hint);
    Ok(None)
}

fn check_name(r: &Reader<'_>, what: &str, key: &Key) -> Result<()> {
    if key.text.trim().is_empty() {
        return Err(r.error(&key.span, format_args!("the name of {what} is empty")));
    }
    if key.text.chars().any(char::is_control) {
        return Err(r.error(&key.span, format_args!("`{}` holds control characters", shown(&key.text))));
    }
    Ok(())
}
