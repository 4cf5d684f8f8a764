//! Scikit-learn's wrappers of XGBoost and LightGBM, as steps of pipelines.
//!
//! Alone they are models of those formats. What they compute in is not in the state of the wrapper,
//! so that little more than shapes is known.

use crate::model::contract::DType;
use crate::model::format::sklearn::answer::{Dim, Given, Method, Model, Out, Type};
use crate::model::format::sklearn::rules::FLOAT;
use crate::model::format::sklearn::state::Part;

/// What a wrapper takes and gives; `None` where the class is none of them.
pub(super) fn model(part: Part<'_>) -> Option<Model> {
    let (module, name) = part.class()?;
    let package = module.split('.').next()?;
    let mut model = Model::of(Given::Unknown);
    match (package, name) {
        ("xgboost", "XGBClassifier" | "XGBRFClassifier") => {
            model.add(Method::Predict, Out::vague(Type::Unknown));
            let n = part.count("n_classes_").filter(|n| *n >= 2);
            let shares = Out::wide(Type::Is(DType::Float32), n);
            model.add(Method::Proba, if n.is_some() { shares } else { Out::vague(shares.dtype) });
        }
        ("xgboost", "XGBRegressor" | "XGBRFRegressor" | "XGBRanker") => {
            model.add(Method::Predict, Out::vague(Type::Is(DType::Float32)));
        }
        ("lightgbm", "LGBMClassifier") => {
            let dtype = part.dtype("_classes").into();
            model.add(Method::Predict, Out::column(dtype));
            model.add(Method::Proba, Out::wide(FLOAT, part.count("_n_classes").filter(|n| *n >= 2)));
        }
        ("lightgbm", "LGBMRegressor" | "LGBMRanker") => model.add(Method::Predict, Out::column(FLOAT)),
        ("catboost", "CatBoostClassifier") => {
            model.add(Method::Predict, Out::vague(Type::Unknown));
            model.add(Method::Proba, Out::vague(FLOAT));
        }
        ("catboost", "CatBoostRegressor") => model.add(Method::Predict, Out::vague(FLOAT)),
        _ => return None,
    }
    let width = ["n_features_in_", "_n_features"].iter().find_map(|a| part.count(a));
    model.given = Given::Table(Dim::from(width));
    Some(model)
}
