//! What an estimator takes: how many columns, or texts, and under which names.
//!
//! `n_features_in_` says it since 0.24; before, the width is that of something which fitting left.
//! Only attributes of which every class that has them agrees on the meaning are used; the classes
//! that do not are told apart by name.

use std::collections::BTreeMap;

use crate::model::contract::DType;
use crate::model::format::sklearn::answer::{Dim, Given, Model, Type};
use crate::model::format::sklearn::rules::{Rules, transformers};
use crate::model::format::sklearn::state::Part;
use crate::model::pickle::Node;

/// The most columns whose types are told.
const MAX_COLUMNS: usize = 10_000;

/// Where in an attribute the number of columns is.
enum At {
    /// It is the number.
    Itself,
    /// The dimension of this index.
    Axis(usize),
    /// The last dimension.
    Last,
    /// How many elements a list has.
    Length,
    /// The element of this index.
    Element(usize),
    /// The same of the estimator that it is.
    Inner,
    /// The same of the first estimator in it.
    Inners,
}

use At::{Axis, Element, Inner, Inners, Itself, Last, Length};

const BY_ATTRIBUTE: &[(&str, At)] = &[
    ("n_features_in_", Itself),
    ("n_features_", Itself),
    ("coef_", Last),
    ("theta_", Last),
    ("feature_log_prob_", Last),
    ("_fit_X", Axis(1)),
    ("cluster_centers_", Axis(1)),
    ("subcluster_centers_", Axis(1)),
    ("means_", Axis(1)),
    ("components_", Axis(1)),
    ("centroids_", Axis(1)),
    ("mean_", Axis(0)),
    ("scale_", Axis(0)),
    ("center_", Axis(0)),
    ("statistics_", Axis(0)),
    ("n_input_features_", Itself),
    ("scores_", Axis(0)),
    ("variances_", Axis(0)),
    ("X_train_", Axis(1)),
    ("X_fit_", Axis(1)),
    ("X_", Axis(1)),
    ("categories_", Length),
    ("quantiles_", Axis(1)),
    ("lambdas_", Axis(0)),
    ("location_", Axis(0)),
    ("x_mean_", Axis(0)),
    ("_x_mean", Axis(0)),
    ("n_bins_", Axis(0)),
    ("random_weights_", Axis(0)),
    ("K_fit_rows_", Axis(0)),
    ("shape_fit_", Element(1)),
    ("initial_imputer_", Inner),
    ("nbrs_", Inner),
    ("base_estimator_", Inner),
    ("tree_", Inner),
    ("estimators_", Inners),
    ("estimator_", Inner),
    ("regressor_", Inner),
];

/// Attributes that mean something else in a class.
fn misleads(class: &str, attr: &str) -> bool {
    match class {
        // How many are left, and the model of these.
        "RFE" | "RFECV" => matches!(attr, "n_features_" | "estimator_" | "scores_"),
        "PLSRegression" | "PLSCanonical" | "CCA" | "PLSSVD" => attr == "coef_",
        // Estimators for part of the columns, or for another table.
        "BaggingClassifier" | "BaggingRegressor" | "IsolationForest" => {
            matches!(attr, "estimators_" | "base_estimator_" | "estimator_")
        }
        "ClassifierChain" | "RegressorChain" => false,
        "FeatureAgglomeration" => attr == "cluster_centers_",
        "LogisticRegressionCV" | "BayesianRidge" | "ARDRegression" | "LogisticRegression" => {
            attr == "scores_"
        }
        "KernelPCA" => attr == "lambdas_",
        "StackingClassifier" | "StackingRegressor" => attr == "final_estimator_",
        "GaussianProcessRegressor" => matches!(attr, "base_estimator_"),
        _ => false,
    }
}

/// What a class takes that is not a table.
fn by_class(part: Part<'_>) -> Option<Given> {
    Some(match part.name() {
        "CountVectorizer" | "TfidfVectorizer" | "HashingVectorizer" => {
            // Other inputs are files, and an analyzer of one's own may take anything.
            let texts = part.text("input") != Some("file") && part.text("analyzer").is_some();
            if texts { Given::Texts } else { Given::Unknown }
        }
        "DictVectorizer" | "FeatureHasher" | "MultiLabelBinarizer" => Given::Records,
        "LabelEncoder" | "LabelBinarizer" => {
            let texts = part.dtype("classes_") == Some(DType::String);
            let dtype = if texts { Some(DType::String) } else { None };
            Given::Labels(Type::from(dtype))
        }
        "IsotonicRegression" | "PatchExtractor" => Given::Unknown,
        "GaussianProcess" => Given::Table(part.dim("X", 1).into()),
        _ => return None,
    })
}

/// What an estimator takes, and the names of the columns.
pub(super) fn of(rules: &Rules, part: Part<'_>) -> (Given, Vec<String>) {
    let names = part.attr("feature_names_in_").and_then(Part::texts).unwrap_or_default();
    if let Some(given) = by_class(part) {
        return (given, names);
    }
    let class = part.name();
    // The legacy encoder of some of the columns tells nothing of the others.
    if class == "OneHotEncoder" && transformers::some_columns(part) {
        return (Given::Table(Dim::Unknown), names);
    }
    for (attr, at) in BY_ATTRIBUTE {
        if misleads(class, attr) {
            continue;
        }
        let Some(value) = part.attr(attr) else { continue };
        let found = match at {
            Itself => value.as_count(),
            Axis(axis) => value.as_dims().and_then(|d| d.get(*axis).copied()),
            Last => value.as_dims().and_then(|d| d.last().copied()),
            Length => value.elements().map(|e| e.len() as u64),
            Element(index) => value.elements().and_then(|e| e.get(*index)?.as_count()),
            Inner => width(rules, value),
            Inners => first(value).and_then(|e| width(rules, e)),
        };
        if let Some(n) = found {
            return (Given::Table(Dim::Is(n)), names);
        }
    }
    let found = match class {
        "RFE" | "RFECV" => part.dim("support_", 0),
        "FeatureAgglomeration" => part.dim("labels_", 0),
        "MLPClassifier" | "MLPRegressor" => {
            part.list("coefs_").first().and_then(|c| c.as_dims()?.first().copied())
        }
        // The legacy encoder: where each column begins, and the end; of all columns.
        "OneHotEncoder" => part.dim("feature_indices_", 0).and_then(|n| n.checked_sub(1)),
        "CalibratedClassifierCV" => part.list("calibrated_classifiers_").first().and_then(|c| {
            let inner = c.attr("estimator").or_else(|| c.attr("base_estimator"))?;
            width(rules, inner)
        }),
        "MissingIndicator" => part.count("_n_features"),
        "TfidfTransformer" => part.dim("_idf_diag", 0).or_else(|| part.dim("idf_", 0)),
        "ColumnTransformer" => part.count("_n_features"),
        "SparseCoder" => part.dim("dictionary", 1),
        _ => None,
    };
    (Given::Table(found.into()), names)
}

/// How many columns an estimator takes; also one of Cython's trees, by its arguments.
fn width(rules: &Rules, part: Part<'_>) -> Option<u64> {
    match part.name() {
        "Tree" if part.is_ours() => return part.args().first().and_then(|n| n.as_count()),
        // Of neighbors: its state begins with the data.
        "newObj" if part.is_ours() => {
            let class = match part.args().first()?.node() {
                Node::Global { name, .. } => name.as_str(),
                _ => return None,
            };
            if !["KDTree", "BallTree", "BinaryTree"].iter().any(|c| class.starts_with(c)) {
                return None;
            }
            return part.state()?.elements()?.first()?.as_dims()?.get(1).copied();
        }
        _ => {}
    }
    match rules.model(part).given {
        Given::Table(Dim::Is(n)) => Some(n),
        _ => None,
    }
}

/// The first estimator in a list of them, or in an array of one or two dimensions.
fn first(part: Part<'_>) -> Option<Part<'_>> {
    part.elements()?.into_iter().find(|e| e.class().is_some_and(|(_, name)| name != "_ConstantPredictor"))
}

/// The types of the columns that hold texts: those of encoders whose categories are texts, and of
/// text that is vectorized. Empty where no column is known.
pub(super) fn cells(rules: &Rules, part: Part<'_>, model: &Model) -> Vec<Option<DType>> {
    let Given::Table(Dim::Is(width)) = model.given else { return Vec::new() };
    let Some(width) = usize::try_from(width).ok().filter(|n| *n <= MAX_COLUMNS) else { return Vec::new() };
    let cells = match part.name() {
        "OneHotEncoder" | "OrdinalEncoder" | "TargetEncoder" => {
            let texts = |p: &Part<'_>| p.as_dtype().filter(|d| *d == DType::String);
            part.list("categories_").iter().map(texts).collect()
        }
        "Pipeline" => through(rules, part, !model.names.is_empty()),
        "ColumnTransformer" => return placed(rules, part, model, width),
        "GridSearchCV" | "RandomizedSearchCV" | "HalvingGridSearchCV" | "HalvingRandomSearchCV" => {
            part.attr("best_estimator_").map(|e| rules.model(e).cells.clone()).unwrap_or_default()
        }
        _ => Vec::new(),
    };
    if cells.len() == width && cells.iter().any(Option::is_some) { cells } else { Vec::new() }
}

/// The first step, behind those that fill in values: in columns with names, as a column of texts may
/// have gaps, and an array of texts may not.
fn through(rules: &Rules, part: Part<'_>, named: bool) -> Vec<Option<DType>> {
    for entry in part.list("steps") {
        let Some(step) = entry.elements().and_then(|e| e.get(1).copied()) else { break };
        if step.name() != "SimpleImputer" || step.attr("indicator_").is_some() || !named {
            return rules.model(step).cells.clone();
        }
    }
    Vec::new()
}

/// The columns of each transformer, in their places.
fn placed(rules: &Rules, part: Part<'_>, model: &Model, width: usize) -> Vec<Option<DType>> {
    let mut cells = vec![None; width];
    let names: BTreeMap<&str, usize> =
        model.names.iter().enumerate().rev().map(|(at, name)| (name.as_str(), at)).collect();
    for entry in part.list("transformers_") {
        let parts = entry.elements().unwrap_or_default();
        let [_, inner, columns, ..] = parts.as_slice() else { continue };
        let place = |column: Part<'_>| match column.as_text() {
            Some(name) => names.get(name).copied(),
            None => column.as_count().and_then(|n| usize::try_from(n).ok()),
        };
        let known = rules.model(*inner);
        if known.given == Given::Texts {
            if let Some(cell) = place(*columns).and_then(|at| cells.get_mut(at)) {
                *cell = Some(DType::String);
            }
            continue;
        }
        let chosen = columns.elements().unwrap_or_default();
        // A look for each, in a table of names.
        if part.pickle().look(chosen.len() * 16).is_none() {
            return Vec::new();
        }
        if chosen.len() != known.cells.len() || chosen.iter().any(|c| matches!(c.node(), Node::Bool(_))) {
            continue;
        }
        for (column, kind) in chosen.into_iter().zip(&known.cells) {
            if let (Some(cell), Some(_)) = (place(column).and_then(|at| cells.get_mut(at)), kind) {
                *cell = *kind;
            }
        }
    }
    if cells.iter().any(Option::is_some) { cells } else { Vec::new() }
}
