//! Classifiers that stand for themselves; those that wrap others are in `meta.rs`.

use crate::model::contract::DType;
use crate::model::format::sklearn::answer::{Answer, Given, Method, Model, Out, Type};
use crate::model::format::sklearn::rules::{
    FLOAT, INT64, Labels, Rules, before, layer, linear, precision, since,
};
use crate::model::format::sklearn::state::Part;

/// What a classifier gives; `None` where the class is none that is known.
pub(super) fn model(rules: &Rules, part: Part<'_>) -> Option<Model> {
    let name = part.name();
    let labels = Labels::of(part);
    let (shares, scores) = match name {
        "BernoulliNB"
        | "MultinomialNB"
        | "ComplementNB"
        | "GaussianNB"
        | "CategoricalNB"
        | "CalibratedClassifierCV"
        | "DecisionTreeClassifier"
        | "ExtraTreeClassifier"
        | "RandomForestClassifier"
        | "ExtraTreesClassifier"
        | "DummyClassifier"
        | "KNeighborsClassifier"
        | "RadiusNeighborsClassifier"
        | "LabelPropagation"
        | "LabelSpreading"
        | "MLPClassifier" => (true, false),
        // Only `one_vs_rest` has shares for more than two classes.
        "GaussianProcessClassifier" => {
            (part.text("multi_class") != Some("one_vs_one") || labels.count() == Some(2), false)
        }
        "AdaBoostClassifier"
        | "GradientBoostingClassifier"
        | "HistGradientBoostingClassifier"
        | "LinearDiscriminantAnalysis"
        | "LDA"
        | "QuadraticDiscriminantAnalysis"
        | "QDA"
        | "LogisticRegression"
        | "LogisticRegressionCV" => (true, true),
        "BaggingClassifier" => {
            let inner = part.list("estimators_").into_iter().next();
            (true, inner.is_some_and(|e| rules.has(e, Method::Decision)))
        }
        "LinearSVC"
        | "PassiveAggressiveClassifier"
        | "Perceptron"
        | "RidgeClassifier"
        | "RidgeClassifierCV" => (false, true),
        "SVC" | "NuSVC" => (part.flag("probability") == Some(true), true),
        "SGDClassifier" => (matches!(part.text("loss"), Some("log" | "log_loss" | "modified_huber")), true),
        "NearestCentroid" => return Some(nearest_centroid(part, &labels)),
        _ => return None,
    };
    let mut model = Model::of(Given::Unknown).with(Method::Predict, labels.predicted());
    // They learned to tell several labels later than to take them: until then, the best one is given.
    let learned = match name {
        "RidgeClassifier" => Some((0, 18)),
        "RidgeClassifierCV" => Some((1, 0)),
        _ => None,
    };
    if let (Some(learned), Labels::Indicator(_)) = (learned, &labels)
        && !since(part, learned)
    {
        let known = before(part, learned);
        model.add(Method::Predict, if known { Out::column(INT64) } else { Out::vague(Type::Unknown) });
    }
    // Until 0.21 trees gave labels of several targets as float64, and failed where they are texts.
    if let Labels::Many(all) = &labels
        && (name.contains("Tree") || name.contains("Forest"))
        && !since(part, (0, 21))
    {
        let number = |(dtype, _): &(Type, _)| matches!(dtype, Type::Is(d) if *d != DType::String && *d != DType::Object);
        if before(part, (0, 21)) && all.iter().all(number) {
            model.add(Method::Predict, Out::wide(FLOAT, all.len() as u64));
        } else {
            model.methods.clear();
        }
    }
    // Until 1.6 its numbers came of the shares of its parts, in their type.
    let weak = name == "AdaBoostClassifier"
        && part.text("algorithm") != Some("SAMME")
        && !since(part, (1, 6))
        && part.list("estimators_").iter().any(|e| {
            rules.model(*e).answer(Method::Proba).and_then(Answer::one).map(|out| out.dtype) != Some(FLOAT)
        });
    if shares && (name != "RadiusNeighborsClassifier" || since(part, (0, 22))) {
        model.add(Method::Proba, labels.shares_as(if weak { Type::Unknown } else { share_type(part) }));
    }
    if scores {
        let answer = match name {
            "SVC" | "NuSVC" => pairs(part, &labels).into(),
            _ => labels.scores_as(if weak { Type::Unknown } else { score_type(part) }),
        };
        model.add(Method::Decision, answer);
    }
    Some(model)
}

/// The type of shares: float64, but for those that keep float32.
fn share_type(part: Part<'_>) -> Type {
    match part.name() {
        "LogisticRegression" | "LogisticRegressionCV" => linear(part),
        "GaussianNB" => precision(part, "theta_"),
        // Draws that were not turned into shares until 0.21.
        "DummyClassifier" if part.text("strategy") == Some("stratified") && !since(part, (0, 21)) => INT64,
        "MLPClassifier" => layer(part, "coefs_"),
        _ => FLOAT,
    }
}

fn score_type(part: Part<'_>) -> Type {
    match part.name() {
        "LogisticRegression"
        | "LogisticRegressionCV"
        | "RidgeClassifier"
        | "RidgeClassifierCV"
        | "LinearSVC"
        | "SGDClassifier"
        | "Perceptron"
        | "PassiveAggressiveClassifier" => linear(part),
        _ => FLOAT,
    }
}

/// Support vector machines compare each pair of classes; `ovr` adds the votes up.
fn pairs(part: Part<'_>, labels: &Labels) -> Out {
    match (labels.count(), part.text("decision_function_shape")) {
        (Some(2), _) => Out::column(FLOAT),
        (Some(n), Some("ovr")) => Out::wide(FLOAT, n),
        (Some(n), Some("ovo")) => Out::wide(FLOAT, n.checked_mul(n.saturating_sub(1)).map(|n| n / 2)),
        // What was not said stood for that until 0.19.
        (Some(n), None) if before(part, (0, 19)) => {
            Out::wide(FLOAT, n.checked_mul(n.saturating_sub(1)).map(|n| n / 2))
        }
        _ => Out::vague(FLOAT),
    }
}

/// It has shares and scores since 1.6, for the Euclidean metric.
fn nearest_centroid(part: Part<'_>, labels: &Labels) -> Model {
    let mut model = Model::of(Given::Unknown).with(Method::Predict, labels.predicted());
    if part.has("class_prior_") && part.text("metric") == Some("euclidean") {
        model.add(Method::Proba, labels.shares());
        model.add(Method::Decision, labels.scores_as(Type::Is(DType::Float64)));
    }
    model
}
