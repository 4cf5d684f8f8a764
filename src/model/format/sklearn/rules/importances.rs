//! How much each column counts for a model, as `SelectFromModel` asks it, and which columns are left.
//!
//! It is arithmetic over few numbers: coefficients, or the impurities that trees keep at their nodes
//! (sklearn/feature_selection/_from_model.py; sklearn/tree/_tree.pyx, `compute_feature_importances`).
//!
//! Invariant: where a column lies so near to the limit that rounding would decide, nothing is known.

use crate::model::format::sklearn::rules::since;
use crate::model::format::sklearn::state::Part;
use crate::model::pickle::{ArrayData, Text};

/// The most trees that are added up.
const MAX_TREES: usize = 5000;
/// How near to the limit rounding might decide, as a share of it.
const NEAR: f64 = 1e-9;

/// How many columns a `SelectFromModel` leaves.
pub(super) fn left(part: Part<'_>) -> Option<u64> {
    let model = if part.flag("prefit") == Some(true) {
        part.attr("estimator_").or_else(|| part.attr("estimator"))?
    } else {
        part.attr("estimator_")?
    };
    // What is asked for otherwise is the author's own.
    if !model.is_ours() || part.text("importance_getter").is_some_and(|g| g != "auto") {
        return None;
    }
    let scores = scores(model, part)?;
    let (least, exact) = limit(part, model, &scores)?;
    if scores.iter().any(|s| !s.is_finite()) || least.is_nan() {
        return None;
    }
    // Zeros are exact; a limit of zero lets all pass, as no score is below it.
    let near = |s: &f64| *s != least && (s - least).abs() <= NEAR * least.abs();
    let tied = |s: &f64| *s == least && least != 0.0 && !exact;
    if least.is_finite() && scores.iter().any(|s| near(s) || tied(s)) {
        return None;
    }
    most(part, scores.iter().filter(|s| **s >= least).count() as u64)
}

/// No more than `max_features`, which keeps the best of them.
fn most(part: Part<'_>, count: u64) -> Option<u64> {
    let Some(most) = part.attr("max_features_").or_else(|| part.attr("max_features")) else {
        return Some(count);
    };
    most.as_count().map(|n| n.min(count))
}

/// The limit: a number, a multiple of the mean or of the median, or what the model's kind asks for; and
/// whether it is one of the scores themselves.
fn limit(part: Part<'_>, model: Part<'_>, scores: &[f64]) -> Option<(f64, bool)> {
    let Some(given) = part.attr("threshold") else {
        let name = model.name();
        let sparse = name.contains("Lasso") || model.text("penalty") == Some("l1");
        // An elastic net may be a lasso, by a parameter.
        if name.contains("ElasticNet") || model.text("penalty") == Some("elasticnet") {
            return None;
        }
        return if sparse { Some((1e-5, false)) } else { Some((mean(scores)?, false)) };
    };
    let Some(text) = given.as_text() else { return Some((given.as_float()?, false)) };
    let (factor, of) = match text.split_once('*') {
        Some((factor, of)) => (factor.trim().parse().ok()?, of.trim()),
        None => (1.0, text.trim()),
    };
    let value = match of {
        "mean" => mean(scores)?,
        "median" => median(scores)?,
        _ => return None,
    };
    Some((factor * value, of == "median" && factor == 1.0 && scores.len() % 2 == 1))
}

fn mean(all: &[f64]) -> Option<f64> {
    (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64)
}

/// Of an odd number it is one of them, exactly.
fn median(all: &[f64]) -> Option<f64> {
    let mut sorted = all.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len().checked_sub(1)? / 2;
    Some(if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        f64::midpoint(sorted[middle], sorted[middle + 1])
    })
}

fn scores(model: Part<'_>, part: Part<'_>) -> Option<Vec<f64>> {
    match model.name() {
        "DecisionTreeClassifier" | "DecisionTreeRegressor" | "ExtraTreeClassifier" | "ExtraTreeRegressor" => {
            tree(model, true)
        }
        "RandomForestClassifier"
        | "RandomForestRegressor"
        | "ExtraTreesClassifier"
        | "ExtraTreesRegressor" => added(&model.list("estimators_"), true),
        // Each tree counted alike until 0.22.
        "GradientBoostingClassifier" | "GradientBoostingRegressor" => {
            added(&model.list("estimators_"), !since(model, (0, 22)))
        }
        _ if model.has("coef_") => coefficients(model, part),
        _ => None,
    }
}

/// The sum of the sizes of each column's coefficients.
fn coefficients(model: Part<'_>, part: Part<'_>) -> Option<Vec<f64>> {
    if part.attr("norm_order").is_some_and(|n| n.as_float() != Some(1.0)) {
        return None;
    }
    let array = model.attr("coef_")?.values()?;
    let values = array.floats()?;
    let (rows, columns) = match *array.shape.as_slice() {
        [n] => (1, usize::try_from(n).ok()?),
        [rows, n] => (usize::try_from(rows).ok()?, usize::try_from(n).ok()?),
        _ => return None,
    };
    if columns == 0 || rows.checked_mul(columns)? != values.len() {
        return None;
    }
    let at = |row: usize, column: usize| {
        values[if array.fortran { column * rows + row } else { row * columns + column }].abs()
    };
    Some((0..columns).map(|c| (0..rows).map(|r| at(r, c)).sum()).collect())
}

/// The sum of what trees say, as shares that add up to one.
fn added(trees: &[Part<'_>], each_alike: bool) -> Option<Vec<f64>> {
    if trees.is_empty() || trees.len() > MAX_TREES {
        return None;
    }
    let mut all: Vec<f64> = Vec::new();
    for one in trees {
        let scores = tree(*one, each_alike)?;
        if all.is_empty() {
            all = vec![0.0; scores.len()];
        }
        if all.len() != scores.len() {
            return None;
        }
        for (sum, score) in all.iter_mut().zip(scores) {
            *sum += score;
        }
    }
    Some(shares(all))
}

fn shares(all: Vec<f64>) -> Vec<f64> {
    let sum: f64 = all.iter().sum();
    if sum > 0.0 { all.into_iter().map(|s| s / sum).collect() } else { all }
}

/// The bytes of one node: two children, the column, the limit, the impurity, and how much came there.
const NODE: &[&str] = &[
    "left_child",
    "right_child",
    "feature",
    "threshold",
    "impurity",
    "n_node_samples",
    "weighted_n_node_samples",
];

/// How much each column lessened the impurity in one tree.
fn tree(model: Part<'_>, whole: bool) -> Option<Vec<f64>> {
    let tree = model.attr("tree_").filter(|t| t.name() == "Tree" && t.is_ours())?;
    let columns = usize::try_from(tree.args().first()?.as_count()?).ok().filter(|n| *n <= 100_000)?;
    let array = tree.attr("nodes")?.values()?;
    let size = usize::try_from(array.element.size()?).ok()?;
    if !matches!(size, 56 | 64)
        || !array.element.fields.iter().map(String::as_str).take(NODE.len()).eq(NODE.iter().copied())
    {
        return None;
    }
    let ArrayData::Bytes(Text::Here(bytes)) = &array.data else { return None };
    let big = array.element.big_endian;
    let word = |node: usize, field: usize| {
        let from = node.checked_mul(size)?.checked_add(field * 8)?;
        let bytes: [u8; 8] = bytes.get(from..from.checked_add(8)?)?.try_into().ok()?;
        Some(if big { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) })
    };
    let weighted = |node: usize| Some(f64::from_bits(word(node, 6)?) * f64::from_bits(word(node, 4)?));
    let child = |node: usize, field: usize| usize::try_from(word(node, field)? as i64).ok();
    let mut found = vec![0.0; columns];
    for node in 0..bytes.len() / size {
        let (Some(left), Some(right)) = (child(node, 0), child(node, 1)) else { continue };
        let column = child(node, 2)?;
        *found.get_mut(column)? += weighted(node)? - weighted(left)? - weighted(right)?;
    }
    let all = f64::from_bits(word(0, 6)?);
    for score in &mut found {
        *score /= all;
    }
    Some(if whole { shares(found) } else { found })
}
