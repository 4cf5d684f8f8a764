//! Which object of a file is the model: the root, or the one predictor in a dict or list.

use crate::error::{Error, Kind, Result, show_bytes};
use crate::model::format::MAX_NAME;
use crate::model::format::sklearn::answer::Method;
use crate::model::format::sklearn::rules::Rules;
use crate::model::format::sklearn::state::Part;
use crate::model::pickle::Node;

/// How deep dicts and lists are searched for models.
const MAX_DEPTH: usize = 3;
/// The most values that are looked at.
const MAX_LOOKED_AT: usize = 10_000;

/// What was found.
pub(super) struct Found<'p> {
    /// The model; `None` where there is none, or several of which none predicts.
    pub model: Option<Part<'p>>,
    /// Where it is in the root: empty where it is the root itself.
    pub path: String,
    /// Every estimator, by its place.
    pub all: Vec<(String, Part<'p>)>,
}

/// Searches the root.
///
/// Fails where several objects in a container predict: which one is meant is the author's to say.
pub(super) fn find<'p>(rules: &Rules, root: Part<'p>) -> Result<Found<'p>> {
    if root.class().is_some() && !is_container(root) {
        return Ok(Found { model: Some(root), path: String::new(), all: vec![(String::new(), root)] });
    }
    let mut all = Vec::new();
    let mut left = MAX_LOOKED_AT;
    search(root, "", 0, &mut left, &mut all);
    let predictors: Vec<&(String, Part<'p>)> =
        all.iter().filter(|(_, p)| rules.has(*p, Method::Predict)).collect();
    let chosen = match (predictors.as_slice(), all.as_slice()) {
        ([one], _) => Some(*one),
        ([], [one]) => Some(one),
        ([], _) => None,
        (several, _) => {
            let names: Vec<String> = several
                .iter()
                .take(20)
                .map(|(path, p)| format!("`{path}` ({})", show_bytes(p.name().as_bytes())))
                .collect();
            return Err(Error::new(
                Kind::Model,
                format!(
                    "ambiguous: the file holds {} models that predict: {}",
                    several.len(),
                    names.join(", ")
                ),
            )
            .hint("save each model to a file of its own, or declare the contract"));
        }
    };
    let (path, model) = match chosen {
        Some((path, part)) => (path.clone(), Some(*part)),
        None => (String::new(), None),
    };
    Ok(Found { model, path, all })
}

fn is_container(part: Part<'_>) -> bool {
    match part.class() {
        Some((module, name)) => {
            (module == "collections" && matches!(name, "OrderedDict" | "defaultdict"))
                || (module.starts_with("sklearn") && name == "Bunch")
        }
        None => true,
    }
}

fn search<'p>(part: Part<'p>, path: &str, depth: usize, left: &mut usize, all: &mut Vec<(String, Part<'p>)>) {
    if *left == 0 {
        return;
    }
    *left -= 1;
    let wraps = |p: Part<'_>| {
        p.class().is_some_and(|(m, _)| {
            matches!(m.split('.').next(), Some("xgboost" | "lightgbm" | "catboost" | "imblearn"))
        })
    };
    let estimator = part.class().is_some() && !is_container(part) && (part.is_ours() || wraps(part));
    if estimator {
        // Parameters and helpers of scikit-learn's are objects too: an estimator can be asked.
        if part.has("_sklearn_version") || part.has("_estimator_type") || part.has_attributes() {
            all.push((path.to_owned(), part));
        }
        return;
    }
    if depth >= MAX_DEPTH || !is_container(part) {
        return;
    }
    let pairs = part.pairs();
    if pairs.is_empty() && !matches!(part.node(), Node::Dict(_)) {
        for (k, inner) in part.elements().unwrap_or_default().into_iter().enumerate() {
            search(inner, &format!("{path}[{k}]"), depth + 1, left, all);
        }
        return;
    }
    for (key, inner) in pairs {
        let key = match (key.as_text(), key.node()) {
            (Some(text), _) if text.len() <= MAX_NAME => show_bytes(text.as_bytes()),
            (None, Node::Int(n)) => n.to_string(),
            _ => "?".to_owned(),
        };
        let path = if path.is_empty() { key } else { format!("{path}.{key}") };
        search(inner, &path, depth + 1, left, all);
    }
}
