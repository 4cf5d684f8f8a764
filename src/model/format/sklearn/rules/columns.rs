//! Columns side by side: `FeatureUnion` and `ColumnTransformer`.

use crate::model::contract::DType;
use crate::model::format::sklearn::answer::{Dim, Given, Layout, Method, Model, Out, Type};
use crate::model::format::sklearn::rules::{FLOAT, Rules};
use crate::model::format::sklearn::state::Part;
use crate::model::pickle::Node;

/// What they give; `None` where the class is none of them.
pub(super) fn model(rules: &Rules, part: Part<'_>) -> Option<Model> {
    match part.name() {
        "FeatureUnion" => Some(union(rules, part)),
        "ColumnTransformer" => Some(transformer(rules, part)),
        _ => None,
    }
}

/// What stands in the place of an estimator.
enum Step<'p> {
    Gone,
    Passes,
    Is(Part<'p>),
}

fn step(part: Part<'_>) -> Step<'_> {
    match (part.node(), part.as_text()) {
        (Node::None, _) | (_, Some("drop")) => Step::Gone,
        (_, Some("passthrough")) => Step::Passes,
        _ => Step::Is(part),
    }
}

fn union(rules: &Rules, part: Part<'_>) -> Model {
    let mut outs = Vec::new();
    let mut given = Given::Unknown;
    let mut names = Vec::new();
    for entry in part.list("transformer_list") {
        let Some(inner) = entry.elements().and_then(|e| e.get(1).copied()) else {
            outs.push(Out::vague(Type::Unknown));
            continue;
        };
        match step(inner) {
            Step::Gone => {}
            Step::Passes => outs.push(Out::wide(Type::Same, Dim::Same).like_given()),
            Step::Is(inner) => {
                let model = rules.model(inner);
                if matches!(given, Given::Unknown | Given::Table(Dim::Unknown | Dim::Same)) {
                    given = model.given;
                    names.clone_from(&model.names);
                }
                let out = model.answer(Method::Transform).and_then(|a| a.one().cloned());
                outs.push(out.unwrap_or_else(|| Out::vague(Type::Unknown)));
            }
        }
    }
    let width = match given {
        Given::Table(width) => width,
        _ => Dim::Unknown,
    };
    let mut model = Model::of(given).with(Method::Transform, beside(&outs, width));
    model.names = names;
    model
}

/// Arrays beside each other, of an input of a width.
fn beside(outs: &[Out], given: Dim) -> Out {
    let total = outs.iter().try_fold(0u64, |sum, out| match (out.width(), given) {
        (Dim::Is(n), _) | (Dim::Same, Dim::Is(n)) => sum.checked_add(n),
        _ => None,
    });
    let layout = if outs.iter().any(|o| o.layout == Layout::Sparse) {
        Layout::Sparse
    } else if outs.iter().any(|o| o.layout == Layout::Same) {
        Layout::Same
    } else {
        Layout::Dense
    };
    Out { dtype: common(outs), dims: Some(vec![total.into()]), layout }
}

/// The type of numbers of several types in one array (numpy.result_type).
pub(super) fn common(outs: &[Out]) -> Type {
    let types: Vec<Type> = outs.iter().map(|o| o.dtype).collect();
    let Some(first) = types.first() else { return Type::Unknown };
    if types.iter().all(|t| t == first) {
        return *first;
    }
    let number = |t: &Type| match t {
        Type::Is(d) => !matches!(d, DType::Object | DType::String | DType::Complex64 | DType::Complex128),
        Type::Floating => true,
        Type::Same | Type::Unknown => false,
    };
    if types.contains(&FLOAT) && types.iter().all(number) {
        return FLOAT;
    }
    if types.iter().all(|t| matches!(t, Type::Same | Type::Floating)) {
        return Type::Floating;
    }
    Type::Unknown
}

fn transformer(rules: &Rules, part: Part<'_>) -> Model {
    let mut outs = Vec::new();
    for entry in part.list("transformers_") {
        let parts = entry.elements().unwrap_or_default();
        let [_, inner, columns, ..] = parts.as_slice() else {
            outs.push(Out::vague(Type::Unknown));
            continue;
        };
        let chosen = selected(*columns);
        if chosen == Some(0) {
            continue;
        }
        match step(*inner) {
            Step::Gone => {}
            // The columns that pass may hold anything.
            Step::Passes => outs.push(Out::wide(Type::Same, chosen)),
            Step::Is(inner) => {
                let before = Out::wide(Type::Same, chosen);
                let model = rules.model(inner);
                let out = model.answer(Method::Transform).and_then(|a| a.one()).map(|o| o.after(&before));
                outs.push(out.unwrap_or_else(|| Out::vague(Type::Unknown)));
            }
        }
    }
    let mut out = beside(&outs, Dim::Unknown);
    // A FunctionTransformer stands for "passthrough" since 1.4; it may be text all the same.
    if let Some(width) = width(part) {
        out.dims = Some(vec![Dim::Is(width)]);
    }
    out.layout = if part.flag("sparse_output_") == Some(true) { Layout::Sparse } else { Layout::Dense };
    Model::of(Given::Unknown).with(Method::Transform, out)
}

/// `output_indices_` maps each transformer to the slice of its columns, since 1.0.
fn width(part: Part<'_>) -> Option<u64> {
    let slices = part.attr("output_indices_")?.pairs();
    let ends = slices.iter().map(|(_, slice)| slice.args().get(1).and_then(|end| end.as_count()));
    ends.collect::<Option<Vec<u64>>>()?.into_iter().max()
}

/// How many columns a choice of columns is.
fn selected(part: Part<'_>) -> Option<u64> {
    if let Some(mask) = part.count_true() {
        return Some(mask);
    }
    match part.node() {
        Node::Str(_) | Node::Bytes(_) | Node::Int(_) => Some(1),
        Node::List(all) | Node::Tuple(all) => {
            let mask: Option<Vec<bool>> = part
                .elements()?
                .iter()
                .map(|e| if let Node::Bool(b) = e.node() { Some(*b) } else { None })
                .collect();
            match mask {
                Some(mask) if !mask.is_empty() => Some(mask.iter().filter(|b| **b).count() as u64),
                _ => Some(all.len() as u64),
            }
        }
        Node::Array(a) => a.shape.first().copied().filter(|_| a.shape.len() == 1),
        Node::Object(_) if part.name() == "slice" => {
            let args = part.args();
            let plain = args.get(2).is_none_or(|step| matches!(step.node(), Node::None));
            let start = match args.first()?.node() {
                Node::None => 0,
                _ => args.first()?.as_count()?,
            };
            if plain { args.get(1)?.as_count()?.checked_sub(start) } else { None }
        }
        _ => part.texts().map(|names| names.len() as u64),
    }
}
