//! Estimators that hold estimators: pipelines, searches, ensembles of different kinds.

use crate::model::contract::DType;
use crate::model::format::sklearn::answer::{Answer, Dim, Given, Layout, Method, Model, Out, Type};
use crate::model::format::sklearn::rules::{FLOAT, Labels, Rules, before, columns, labels, since};
use crate::model::format::sklearn::state::Part;
use crate::model::pickle::Node;

/// What it gives; `None` where the class is none of them.
pub(super) fn model(rules: &Rules, part: Part<'_>) -> Option<Model> {
    Some(match part.name() {
        "Pipeline" => pipeline(rules, part),
        "GridSearchCV" | "RandomizedSearchCV" | "HalvingGridSearchCV" | "HalvingRandomSearchCV" => {
            let mut model = forward(rules, part, &["best_estimator_"]);
            // Passed on since 0.24.
            model.methods.retain(|(m, _)| *m != Method::Score || since(part, (0, 24)));
            model
        }
        "RANSACRegressor" => forward(rules, part, &["estimator_"]),
        "FrozenEstimator" => forward(rules, part, &["estimator"]),
        "SelfTrainingClassifier" => without(forward(rules, part, &["estimator_", "base_estimator_"])),
        "FixedThresholdClassifier" | "TunedThresholdClassifierCV" => {
            without(forward(rules, part, &["estimator_"]))
        }
        "RFE" | "RFECV" => selector(rules, part),
        "MultiOutputClassifier" => many_classifiers(rules, part),
        "MultiOutputRegressor" => many_regressors(rules, part),
        "ClassifierChain" | "RegressorChain" => chain(rules, part),
        "OneVsRestClassifier" => one_vs_rest(rules, part),
        "OneVsOneClassifier" => {
            let labels = Labels::of(part);
            of_labels(&labels).with(Method::Decision, scores(part, &labels, FLOAT))
        }
        "OutputCodeClassifier" => of_labels(&Labels::of(part)),
        "VotingClassifier" => voting_classifier(rules, part),
        "VotingRegressor" => {
            let dtype = mixed(rules, &part.list("estimators_"), Method::Predict);
            let n = part.list("estimators_").len() as u64;
            Model::of(Given::Unknown)
                .with(Method::Predict, Out::column(dtype))
                .with(Method::Transform, Out::wide(dtype, n))
        }
        "StackingClassifier" | "StackingRegressor" => stacking(rules, part),
        "TransformedTargetRegressor" => transformed(rules, part),
        "AdaBoostRegressor" => {
            let dtype = mixed(rules, &part.list("estimators_"), Method::Predict);
            Model::of(Given::Unknown).with(Method::Predict, Out::column(dtype))
        }
        "BaggingRegressor" => {
            let estimators = part.list("estimators_");
            let dtype = mixed(rules, &estimators, Method::Predict);
            let inner =
                estimators.first().and_then(|e| rules.model(*e).answer(Method::Predict)?.one().cloned());
            let out = inner.map_or(Out::vague(dtype), |out| Out { dtype, ..out });
            Model::of(Given::Unknown).with(Method::Predict, out)
        }
        "LinearDiscriminantAnalysis" | "LDA" => discriminants(part),
        _ => return None,
    })
}

fn of_labels(labels: &Labels) -> Model {
    Model::of(Given::Unknown).with(Method::Predict, labels.predicted())
}

/// Scores of two classes had a second dimension until 0.19.
fn scores(part: Part<'_>, labels: &Labels, dtype: Type) -> Answer {
    if labels.count() == Some(2) && before(part, (0, 19)) {
        return Out::wide(dtype, if part.name() == "OneVsOneClassifier" { 2 } else { 1 }).into();
    }
    labels.scores_as(dtype)
}

/// All that an inner estimator does.
fn forward(rules: &Rules, part: Part<'_>, attrs: &[&str]) -> Model {
    let inner = attrs.iter().find_map(|a| part.attr(a));
    inner.map_or_else(|| Model::of(Given::Unknown), |inner| (*rules.model(inner)).clone())
}

/// A classifier has no `transform`, whatever it wraps.
fn without(mut model: Model) -> Model {
    model.methods.retain(|(m, _)| !matches!(m, Method::Transform | Method::Score));
    model
}

/// The types of several estimators' answers in one array.
fn mixed(rules: &Rules, all: &[Part<'_>], method: Method) -> Type {
    let out = |p: &Part<'_>| {
        let model = rules.model(*p);
        let known = model.answer(method).and_then(|a| a.one().cloned());
        known.unwrap_or_else(|| Out::vague(Type::Unknown))
    };
    let outs: Vec<Out> = all.iter().filter(|p| p.as_text() != Some("drop")).map(out).collect();
    columns::common(&outs)
}

fn pipeline(rules: &Rules, part: Part<'_>) -> Model {
    let steps: Vec<Part<'_>> =
        part.list("steps").into_iter().filter_map(|s| s.elements()?.get(1).copied()).collect();
    let Some((last, before)) = steps.split_last() else { return Model::of(Given::Unknown) };
    let passes =
        |p: &Part<'_>| matches!(p.node(), Node::None) || p.as_text() == Some("passthrough") || is_sampler(*p);
    // What is given to the next step, in terms of what is given to the first.
    let mut fed = Out::wide(Type::Same, Dim::Same).like_given();
    let mut given = Given::Unknown;
    let mut names = Vec::new();
    // Whether the next step is given as many columns as the first.
    let mut open = true;
    for step in before.iter().filter(|p| !passes(p)) {
        let model = rules.model(*step);
        settle(&mut given, &mut names, open, &model);
        let out = model.answer(Method::Transform).and_then(|a| a.one().cloned());
        let out = out.unwrap_or_else(|| Out::vague(Type::Unknown));
        open &= out.width() == Dim::Same;
        let out = match model.given {
            Given::Table(Dim::Is(n)) => out.after(&Out { dims: Some(vec![Dim::Is(n)]), ..fed.clone() }),
            _ => out.after(&fed),
        };
        fed = out;
    }
    let mut result = Model::of(given);
    if passes(last) {
        result.add(Method::Transform, fed);
    } else {
        let model = rules.model(*last);
        settle(&mut given, &mut names, open, &model);
        result.given = given;
        for (method, answer) in &model.methods {
            // Passed on since 0.22.
            if *method == Method::Score && !since(part, (0, 22)) {
                continue;
            }
            let answer = match model.given {
                Given::Table(Dim::Is(n)) => {
                    answer.after(&Out { dims: Some(vec![Dim::Is(n)]), ..fed.clone() })
                }
                _ => answer.after(&fed),
            };
            result.add(*method, answer);
        }
        result.out_names.clone_from(&model.out_names);
    }
    result.names = names;
    result
}

/// Takes over what a step is given, where the pipeline is given the same.
fn settle(given: &mut Given, names: &mut Vec<String>, open: bool, step: &Model) {
    if !open {
        return;
    }
    match *given {
        Given::Unknown => {
            *given = step.given;
            names.clone_from(&step.names);
        }
        Given::Table(Dim::Unknown | Dim::Same) if matches!(step.given, Given::Table(_)) => {
            *given = step.given;
        }
        _ => {}
    }
}

/// imbalanced-learn's samplers act on the training data alone.
fn is_sampler(part: Part<'_>) -> bool {
    let modules = ["imblearn.over_sampling", "imblearn.under_sampling", "imblearn.combine"];
    part.class().is_some_and(|(module, _)| modules.iter().any(|m| module.starts_with(m)))
}

/// Recursive elimination predicts with the columns that it leaves.
fn selector(rules: &Rules, part: Part<'_>) -> Model {
    let mut model = without(forward(rules, part, &["estimator_"]));
    model.given = Given::Unknown;
    model.names = Vec::new();
    let left = Out::wide(Type::Same, part.count("n_features_")).like_given();
    model.with(Method::Transform, left)
}

fn many_classifiers(rules: &Rules, part: Part<'_>) -> Model {
    let inner: Vec<_> = part.list("estimators_").into_iter().map(|e| rules.model(e)).collect();
    let all = |method| {
        inner
            .iter()
            .map(|m| m.answer(method)?.one().cloned())
            .collect::<Option<Vec<Out>>>()
            .filter(|a| !a.is_empty())
    };
    let mut model = Model::of(inner.first().map_or(Given::Unknown, |m| m.given));
    if let Some(predicted) = all(Method::Predict) {
        // CatBoost gives a column where others give one number per row.
        let flat = predicted.iter().all(|out| out.dims.as_deref() == Some(&[]));
        model.add(
            Method::Predict,
            if flat { labels::stacked(&predicted) } else { Out::vague(Type::Unknown).into() },
        );
    }
    if let Some(shares) = all(Method::Proba) {
        // Until 0.19 they lay behind each other, and failed where they were not alike.
        if since(part, (0, 19)) {
            model.add(Method::Proba, Answer::Many(shares));
        } else if before(part, (0, 19)) && shares.iter().all(|s| *s == shares[0]) {
            let width = shares[0].width();
            model.add(Method::Proba, Out::new(shares[0].dtype, &[width, Dim::Is(shares.len() as u64)]));
        }
    }
    model
}

fn many_regressors(rules: &Rules, part: Part<'_>) -> Model {
    let estimators = part.list("estimators_");
    let dtype = mixed(rules, &estimators, Method::Predict);
    let given = estimators.first().map_or(Given::Unknown, |e| rules.model(*e).given);
    Model::of(given).with(Method::Predict, Out::wide(dtype, estimators.len() as u64))
}

/// Each estimator is given the answers of those before it; what they give is float64.
fn chain(rules: &Rules, part: Part<'_>) -> Model {
    let estimators = part.list("estimators_");
    let out = Out::wide(FLOAT, estimators.len() as u64);
    let mut model = match estimators.first().map(|e| rules.model(*e).given) {
        Some(given) => Model::of(given),
        None => return Model::of(Given::Unknown),
    };
    model.add(Method::Predict, out.clone());
    // Shares are of the second class, scores of the second of two.
    let classes = |e: &Part<'_>| match Labels::of(*e) {
        Labels::One(_, n) => n,
        _ => None,
    };
    let two = estimators.iter().all(|e| classes(e) == Some(2));
    let more = estimators.iter().all(|e| classes(e).is_some_and(|n| n >= 2));
    if part.name() == "ClassifierChain" {
        for (method, fits) in [(Method::Proba, more), (Method::Decision, two)] {
            if fits && estimators.iter().all(|e| rules.has(*e, method)) {
                model.add(method, out.clone());
            }
        }
    }
    model
}

fn one_vs_rest(rules: &Rules, part: Part<'_>) -> Model {
    let labels = Labels::of(part);
    let estimators = part.list("estimators_");
    let constant = |e: &Part<'_>| e.name() == "_ConstantPredictor";
    let mut model = of_labels(&labels);
    let inner: Vec<Part<'_>> = estimators.iter().copied().filter(|e| !constant(e)).collect();
    for method in [Method::Proba, Method::Decision] {
        if inner.is_empty() || !inner.iter().all(|e| rules.has(*e, method)) {
            continue;
        }
        let mut dtype = mixed(rules, &inner, method);
        if inner.len() < estimators.len() && dtype != FLOAT {
            dtype = Type::Unknown;
        }
        let answer =
            if method == Method::Proba { labels.shares_as(dtype) } else { scores(part, &labels, dtype) };
        model.add(method, answer);
    }
    model
}

fn voting_classifier(rules: &Rules, part: Part<'_>) -> Model {
    let labels = Labels::of(part);
    let estimators = part.list("estimators_");
    let n = estimators.len() as u64;
    let mut model = of_labels(&labels);
    if part.text("voting") == Some("soft") {
        let dtype = mixed(rules, &estimators, Method::Proba);
        model.add(Method::Proba, labels.shares_as(dtype));
        let flat = part.flag("flatten_transform") == Some(true);
        let width = labels.count().and_then(|classes| classes.checked_mul(n));
        model.add(Method::Transform, if flat { Out::wide(dtype, width) } else { Out::vague(dtype) });
        return model;
    }
    // The classes as numbers.
    model.with(Method::Transform, Out::wide(Type::Is(DType::Int64), n))
}

fn stacking(rules: &Rules, part: Part<'_>) -> Model {
    let Some(last) = part.attr("final_estimator_") else { return Model::of(Given::Unknown) };
    let inner = rules.model(last);
    let mut model = Model::of(Given::Unknown);
    if part.name() == "StackingClassifier" {
        let labels = Labels::of(part);
        model.add(Method::Predict, labels.predicted());
        for method in [Method::Proba, Method::Decision] {
            match (&labels, inner.answer(method)) {
                (Labels::One(..), Some(answer)) => model.add(method, answer.clone()),
                // Of several labels, the share of each one's first class.
                (Labels::Many(_), Some(Answer::Many(shares))) if !shares.is_empty() => {
                    let n = shares.len() as u64;
                    model.add(method, Out::wide(columns::common(shares), n));
                }
                (_, Some(_)) => model.add(method, Out::vague(Type::Unknown)),
                (_, None) => {}
            }
        }
    } else if let Some(answer) = inner.answer(Method::Predict) {
        model.add(Method::Predict, answer.clone());
    }
    // What the last estimator is given; of that, an array with one column of float64 is all float64.
    let estimators = part.list("estimators_");
    let methods = part.list("stack_method_");
    let types: Vec<Type> = estimators
        .iter()
        .zip(methods.iter().map(|m| m.as_text()))
        .map(|(e, method)| {
            let method = match method {
                Some("predict_proba") => Method::Proba,
                Some("decision_function") => Method::Decision,
                _ => Method::Predict,
            };
            mixed(rules, &[*e], method)
        })
        .collect();
    let passes = part.flag("passthrough") == Some(true);
    let dtype = if types.contains(&FLOAT) && types.iter().all(|t| matches!(t, Type::Is(_))) {
        FLOAT
    } else {
        Type::Unknown
    };
    let width = match inner.given {
        Given::Table(width) => width,
        _ => Dim::Unknown,
    };
    let out = Out::wide(dtype, width);
    model.add(Method::Transform, if passes { Out { layout: Layout::Same, ..out } } else { out });
    model
}

/// The answer of the inner regressor through the inverse of a transformer.
fn transformed(rules: &Rules, part: Part<'_>) -> Model {
    let mut model = forward(rules, part, &["regressor_"]);
    let inner = model.answer(Method::Predict).and_then(|a| a.one().cloned());
    model.methods.clear();
    let Some(out) = inner else { return model };
    let width = match out.dims.as_deref() {
        Some([]) => Dim::Is(1),
        Some([one]) => *one,
        _ => Dim::Unknown,
    };
    let transformer = part.attr("transformer_");
    let own = transformer.is_some_and(|t| {
        t.is_ours()
            && (t.name() != "FunctionTransformer" || (!t.has_value("func") && !t.has_value("inverse_func")))
    });
    let numpy =
        transformer.is_some_and(|t| t.name() == "FunctionTransformer" && is_numpy(t.attr("inverse_func")));
    let dtype = match out.dtype {
        known if own && transformer.is_some_and(|t| t.name() == "FunctionTransformer") => known,
        FLOAT if own || numpy => FLOAT,
        _ => Type::Unknown,
    };
    let predicted = match (part.count("_training_dim"), width) {
        (Some(1), Dim::Is(1)) => Out::column(dtype),
        (Some(_), width @ Dim::Is(_)) if own || numpy => Out::wide(dtype, width),
        _ => Out::vague(dtype),
    };
    model.with(Method::Predict, predicted)
}

/// Whether it is one of numpy's functions of single numbers.
fn is_numpy(function: Option<Part<'_>>) -> bool {
    function.is_some_and(|f| match f.node() {
        Node::Global { module, .. } => module.split('.').next() == Some("numpy"),
        _ => f.name() == "_ufunc_reconstruct",
    })
}

/// Discriminants project onto at most one dimension less than there are classes.
fn discriminants(part: Part<'_>) -> Model {
    let labels = Labels::of(part);
    let single = |attr| part.dtype(attr) == Some(DType::Float32);
    let dtype = if single("coef_") { Type::Is(DType::Float32) } else { FLOAT };
    let mut model = of_labels(&labels)
        .with(Method::Proba, labels.shares_as(dtype))
        .with(Method::Decision, labels.scores_as(dtype));
    if part.text("solver") != Some("lsqr") && part.has("scalings_") {
        let all = part.dim("scalings_", 1);
        let most = part.count("_max_components").or_else(|| part.count("n_components"));
        let n = match (all, most) {
            (Some(all), Some(most)) => Some(all.min(most)),
            (all, None) => all,
            (None, _) => None,
        };
        model.add(Method::Transform, Out::wide(dtype, n));
    }
    model
}
