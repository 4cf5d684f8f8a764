//! Regressors that stand for themselves; those that wrap others are in `meta.rs`.

use crate::model::contract::DType;
use crate::model::format::sklearn::answer::{Answer, Given, Method, Model, Out, Type};
use crate::model::format::sklearn::rules::{FLOAT, before, layer, linear, precision};
use crate::model::format::sklearn::state::Part;

/// What a regressor gives; `None` where the class is none that is known.
pub(super) fn model(part: Part<'_>) -> Option<Model> {
    let predicted = match part.name() {
        "ARDRegression"
        | "BayesianRidge"
        | "ElasticNet"
        | "ElasticNetCV"
        | "GammaRegressor"
        | "HuberRegressor"
        | "Lars"
        | "LarsCV"
        | "Lasso"
        | "LassoCV"
        | "LassoLars"
        | "LassoLarsCV"
        | "LassoLarsIC"
        | "LinearRegression"
        | "LinearSVR"
        | "MultiTaskElasticNet"
        | "MultiTaskElasticNetCV"
        | "MultiTaskLasso"
        | "MultiTaskLassoCV"
        | "OrthogonalMatchingPursuit"
        | "OrthogonalMatchingPursuitCV"
        | "PassiveAggressiveRegressor"
        | "PoissonRegressor"
        | "QuantileRegressor"
        | "Ridge"
        | "RidgeCV"
        | "SGDRegressor"
        | "TheilSenRegressor"
        | "TweedieRegressor" => weighted(part),
        "SVR" | "NuSVR" | "GradientBoostingRegressor" | "HistGradientBoostingRegressor" => Out::column(FLOAT),
        "DecisionTreeRegressor" | "ExtraTreeRegressor" | "RandomForestRegressor" | "ExtraTreesRegressor" => {
            targets(FLOAT, part.count("n_outputs_"))
        }
        "MLPRegressor" => targets(layer(part, "coefs_"), part.count("n_outputs_")),
        "KNeighborsRegressor" | "RadiusNeighborsRegressor" => neighbors(part),
        "KernelRidge" => like(part, "dual_coef_", precision(part, "dual_coef_")),
        "GaussianProcessRegressor" | "GaussianProcess" => process(part),
        "DummyRegressor" => dummy(part),
        "IsotonicRegression" => {
            let dtype = [precision(part, "X_thresholds_"), precision(part, "_necessary_X_")];
            let known = dtype.into_iter().find(|t| *t != Type::Unknown).unwrap_or(Type::Unknown);
            let out = Out::column(known);
            return Some(
                Model::of(Given::Unknown).with(Method::Predict, out.clone()).with(Method::Transform, out),
            );
        }
        "PLSRegression" | "PLSCanonical" | "CCA" => return Some(least_squares(part)),
        _ => return None,
    };
    let model = Model::of(Given::Unknown).with(Method::Predict, Answer::from(predicted.clone()));
    Some(match decision(part, predicted) {
        Some(out) => model.with(Method::Decision, out),
        None => model,
    })
}

/// Until 0.19 linear regressors, support vectors and gradient boosting had a `decision_function` that
/// gives what `predict` gives.
fn decision(part: Part<'_>, predicted: Out) -> Option<Out> {
    if !before(part, (0, 19)) {
        return None;
    }
    match part.name() {
        "SVR" | "NuSVR" => Some(Out::wide(FLOAT, 1)),
        "GradientBoostingRegressor" => Some(predicted),
        _ => part.has("coef_").then_some(predicted),
    }
}

/// One number per row for one target, a row of them for several.
fn targets(dtype: Type, n: Option<u64>) -> Out {
    match n {
        Some(1) => Out::column(dtype),
        Some(n) => Out::wide(dtype, n),
        None => Out::vague(dtype),
    }
}

/// `coef_` has a row for each target, and none where the target had one dimension.
fn weighted(part: Part<'_>) -> Out {
    let dtype = linear(part);
    match part.dims("coef_").as_deref() {
        Some([_]) => Out::column(dtype),
        Some([n, _]) => Out::wide(dtype, *n),
        _ => Out::vague(dtype),
    }
}

/// As many dimensions as an attribute that has one row per sample of the training data.
fn like(part: Part<'_>, attr: &str, dtype: Type) -> Out {
    match part.dims(attr).as_deref() {
        Some([_]) => Out::column(dtype),
        Some([_, n]) => Out::wide(dtype, *n),
        _ => Out::vague(dtype),
    }
}

/// Means of targets: float32 stays as it is where they are not weighted.
fn neighbors(part: Part<'_>) -> Out {
    let plain = part.text("weights") == Some("uniform");
    let dtype = match part.dtype("_y") {
        Some(DType::Float32) if plain => Type::Is(DType::Float32),
        Some(DType::Float32) if part.name() == "RadiusNeighborsRegressor" => Type::Unknown,
        Some(DType::Float16 | DType::Object | DType::Complex64 | DType::Complex128) | None => Type::Unknown,
        Some(_) => FLOAT,
    };
    like(part, "_y", dtype)
}

/// A target of one column was a column of the answer until it was squeezed in 1.1.
fn process(part: Part<'_>) -> Out {
    // The class of 0.17, which was gone in 0.20.
    if part.name() == "GaussianProcess" {
        return match (part.count("y_ndim_"), part.dim("y", 1)) {
            (Some(1), _) => Out::column(FLOAT),
            (Some(2), n) => Out::wide(FLOAT, n),
            _ => Out::vague(FLOAT),
        };
    }
    match part.dims("y_train_").as_deref() {
        Some([_, 1]) => match part.release() {
            Some(v) if v >= (1, 2) => Out::column(FLOAT),
            Some(v) if v < (1, 1) => Out::wide(FLOAT, 1),
            _ => Out::vague(FLOAT),
        },
        _ => like(part, "y_train_", FLOAT),
    }
}

fn dummy(part: Part<'_>) -> Out {
    // Until 0.20 multiplied with ones.
    let dtype = if before(part, (0, 20)) { FLOAT } else { precision(part, "constant_") };
    let flat = ["output_2d_", "outputs_2d_"].iter().find_map(|a| part.flag(a)).map(|two| !two);
    let n = part.count("n_outputs_").or_else(|| part.dims("constant_")?.last().copied());
    match (flat, n) {
        (Some(false), Some(n)) => Out::wide(dtype, n),
        (_, n) => targets(dtype, n),
    }
}

/// Partial least squares give a column for each target, but for a target of one dimension since 1.3.
fn least_squares(part: Part<'_>) -> Model {
    let flat = part.flag("_predict_1d") == Some(true);
    let n = part.dim("_y_mean", 0).or_else(|| part.dim("y_mean_", 0));
    let predicted = if flat { Out::column(FLOAT) } else { Out::wide(FLOAT, n) };
    Model::of(Given::Unknown)
        .with(Method::Predict, predicted)
        .with(Method::Transform, Out::wide(FLOAT, part.dim("x_rotations_", 1)))
}
