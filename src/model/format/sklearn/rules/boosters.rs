//! XGBoost's, LightGBM's and CatBoost's wrappers for scikit-learn, as parts of scikit-learn's models.
//!
//! Alone they are models of those formats, whose readers are asked here too: the wrapper holds the
//! whole model, which knows more than its attributes. Where it cannot be asked, as in a skops
//! archive, little more than shapes is known.

use crate::model::contract::{Contract, DType, Tensor};
use crate::model::format::sklearn::answer::{Answer, Dim, Given, Method, Model, Out, Type};
use crate::model::format::sklearn::rules::FLOAT;
use crate::model::format::sklearn::state::Part;

/// What a wrapper takes and gives; `None` where the class is none of them.
pub(super) fn model(part: Part<'_>) -> Option<Model> {
    let (module, name) = part.class()?;
    let package = module.split('.').next()?;
    let mut known = Model::of(Given::Unknown);
    match (package, name) {
        ("xgboost", "XGBClassifier" | "XGBRFClassifier") => {
            known.add(Method::Predict, Out::vague(Type::Unknown));
            // Two may be as many labels as there are targets.
            let n = part.count("n_classes_").filter(|n| *n >= 3);
            let shares = Out::wide(Type::Is(DType::Float32), n);
            known.add(Method::Proba, if n.is_some() { shares } else { Out::vague(shares.dtype) });
        }
        ("xgboost", "XGBRegressor" | "XGBRFRegressor" | "XGBRanker") => {
            known.add(Method::Predict, Out::vague(Type::Is(DType::Float32)));
        }
        ("lightgbm", "LGBMClassifier") => {
            known.add(Method::Predict, Out::column(part.dtype("_classes").into()));
            known.add(Method::Proba, Out::wide(FLOAT, part.count("_n_classes").filter(|n| *n >= 2)));
        }
        ("lightgbm", "LGBMRegressor" | "LGBMRanker") => known.add(Method::Predict, Out::column(FLOAT)),
        ("catboost", "CatBoostClassifier") => {
            known.add(Method::Predict, Out::vague(Type::Unknown));
            known.add(Method::Proba, Out::vague(FLOAT));
        }
        ("catboost", "CatBoostRegressor" | "CatBoostRanker") => {
            known.add(Method::Predict, Out::vague(FLOAT));
        }
        _ => return None,
    }
    if let Some(contract) = part.booster() {
        return Some(told(&contract));
    }
    let width = ["n_features_in_", "_n_features"].iter().find_map(|a| part.count(a));
    known.given = Given::Table(Dim::from(width));
    Some(known)
}

/// A contract as a model. Names of columns are left out: these libraries make up some of their own.
fn told(contract: &Contract) -> Model {
    let width =
        contract.signatures.iter().find_map(|s| s.inputs.first()?.shape.as_ref()?.get(1).copied().flatten());
    let mut model = Model::of(Given::Table(Dim::from(width)));
    for signature in &contract.signatures {
        let method = [Method::Predict, Method::Proba].into_iter().find(|m| m.name() == signature.name);
        if let (Some(method), [one]) = (method, signature.outputs.as_slice()) {
            model.add(method, Answer::One(out(one)));
        }
    }
    model
}

fn out(tensor: &Tensor) -> Out {
    let dtype = Type::from(tensor.dtype);
    match tensor.shape.as_deref() {
        Some([_, rest @ ..]) => Out::new(dtype, &rest.iter().map(|d| Dim::from(*d)).collect::<Vec<_>>()),
        _ => Out::vague(dtype),
    }
}
