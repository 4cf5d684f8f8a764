//! Clusters, mixtures, densities and outliers.

use crate::model::format::sklearn::answer::{Answer, Given, Method, Model, Out, Type};
use crate::model::format::sklearn::rules::{FLOAT, INT32, INT64, before, precision, since};
use crate::model::format::sklearn::state::Part;

/// What an estimator without targets gives that predicts; `None` where the class is none of them.
pub(super) fn model(part: Part<'_>) -> Option<Model> {
    let model = Model::of(Given::Unknown);
    Some(match part.name() {
        "KMeans" | "MiniBatchKMeans" | "BisectingKMeans" => {
            let distances = Out::wide(precision(part, "cluster_centers_"), part.dim("cluster_centers_", 0));
            model.with(Method::Predict, Out::column(INT32)).with(Method::Transform, distances)
        }
        "AffinityPropagation" | "MeanShift" => model.with(Method::Predict, Out::column(INT64)),
        "Birch" => {
            let labels = Type::from(part.dtype("subcluster_labels_"));
            let distances =
                Out::wide(precision(part, "subcluster_centers_"), part.dim("subcluster_centers_", 0));
            model.with(Method::Predict, Out::column(labels)).with(Method::Transform, distances)
        }
        "GaussianMixture" | "BayesianGaussianMixture" => {
            let dtype = match precision(part, "means_") {
                FLOAT => FLOAT,
                single if part.name() == "GaussianMixture" => single,
                _ => Type::Unknown,
            };
            model
                .with(Method::Predict, Out::column(INT64))
                .with(Method::Proba, Out::wide(dtype, part.dim("means_", 0)))
                .with(Method::Score, Out::column(dtype))
        }
        // Until 0.19; their scores come with the shares.
        "GMM" | "VBGMM" | "DPGMM" => {
            let shares = Out::wide(FLOAT, part.dim("means_", 0));
            model
                .with(Method::Predict, Out::column(INT64))
                .with(Method::Proba, shares.clone())
                .with(Method::Score, Answer::Many(vec![Out::column(FLOAT), shares]))
        }
        "IsolationForest" | "OneClassSVM" | "EllipticEnvelope" | "SGDOneClassSVM" => outliers(part, model),
        "LocalOutlierFactor" => {
            if part.flag("novelty") != Some(true) {
                return Some(model);
            }
            let dtype = precision(part, "_distances_fit_X_");
            model
                .with(Method::Predict, Out::column(INT64))
                .with(Method::Decision, Out::column(dtype))
                .with(Method::Score, Out::column(dtype))
        }
        "KernelDensity" => model.with(Method::Score, Out::column(FLOAT)),
        _ => return None,
    })
}

/// 1 for what is usual and -1 for what is not; scores of the samples since 0.20.
fn outliers(part: Part<'_>, model: Model) -> Model {
    let svm = part.name() == "OneClassSVM";
    let labels = match part.name() {
        "SGDOneClassSVM" => INT32,
        // As the library gave them until 0.19.
        "OneClassSVM" if before(part, (0, 19)) => FLOAT,
        _ => INT64,
    };
    // One column until it was flattened in 0.20.
    let decision = if svm && !since(part, (0, 20)) { Out::wide(FLOAT, 1) } else { Out::column(FLOAT) };
    let model = model.with(Method::Predict, Out::column(labels)).with(Method::Decision, decision);
    if since(part, (0, 20)) { model.with(Method::Score, Out::column(FLOAT)) } else { model }
}
