//! XGBoost: a booster as JSON, as UBJSON, in the binary form of before version 3.1, or pickled.
//!
//! The file records how many features there are, how many outputs and by which objective; the shape
//! of the prediction follows from these (`contract.rs`). In JSON and UBJSON they come after all trees,
//! which are passed over (`model.rs`). Labels of classes are in the file only where the wrapper for
//! scikit-learn of version 1 or 2 wrote it.

mod contract;
mod legacy;
mod model;
pub(super) mod pickled;

use crate::error::Result;
use crate::model::format::pickled as pickles;
use crate::model::format::{Candidate, File, Folder, Format, Reading, Role, ends_in};
use crate::model::pb::Source;
use crate::model::pull::{Json, Pull, Stream, Ubj, Value};
use crate::model::tree::Tree;

use model::Model;

/// How many bytes of a document are passed over at most; a number of trees that no one serves.
const LIMIT: u64 = 512 << 20;

/// The format of XGBoost.
#[derive(Clone, Copy, Debug)]
pub struct XgBoost;

impl Format for XgBoost {
    fn name(&self) -> &'static str {
        "xgboost"
    }

    fn detect(&self, folder: &Folder<'_>) -> Result<Vec<Candidate>> {
        let mut found = pickles::candidates(folder, "xgboost", "xgboost", "XGBoost")?;
        for file in folder.files() {
            let Some((variant, what)) = recognise(file)? else { continue };
            found.push(Candidate::in_file("xgboost", variant, file, format_args!("holds {what}")));
        }
        Ok(found)
    }

    fn read(&self, tree: &Tree, candidate: &Candidate, budget: u64) -> Result<Reading> {
        let content = tree.open(&candidate.file)?;
        if candidate.variant == pickles::VARIANT {
            return pickles::read(&content, &candidate.file, budget, pickled::read);
        }
        let mut reading = Reading::default();
        reading.fact("serialization", candidate.variant);
        let model = read_booster(&content, &mut reading)?;
        reading.contract = Some(contract::booster(&model));
        Ok(reading)
    }

    fn expects(&self, name: &[u8]) -> bool {
        ends_in(name, &[".ubj", ".xgb"])
    }

    fn role(&self, path: &[u8]) -> Option<Role> {
        ends_in(path, &[".ubj", ".xgb", ".bst", ".model"]).then_some(Role::Weights)
    }
}

/// Reads a booster in any of its forms, and adds the facts that it tells.
fn read_booster(source: &dyn Source, reading: &mut Reading) -> Result<Model> {
    let mut head = vec![0; 4096];
    let n = source.read_at(0, &mut head)?;
    head.truncate(n);
    let model = match serialization(&head) {
        Some("json") => Model::pulled(&mut Json::new(Stream::new(source, 0, LIMIT)), reading)?,
        Some("ubj") => Model::pulled(&mut Ubj::new(Stream::new(source, 0, LIMIT)), reading)?,
        _ => legacy::read(source, LIMIT)?,
    };
    contract::facts(&model, reading);
    Ok(model)
}

/// The form of a booster that begins so; `None` where it is none.
fn serialization(head: &[u8]) -> Option<&'static str> {
    if legacy::looks_like(head) {
        return Some("binary");
    }
    // `{` and a first key; both kinds of document begin so.
    let rest = head.trim_ascii_start().strip_prefix(b"{")?;
    let has = |key: &str| head.windows(key.len()).any(|w| w == key.as_bytes());
    // What `save_config` writes has a learner too, but no features, no trees.
    let learner = has("gradient_booster") || has("feature_names") || has("learner_model_param");
    let rest = rest.trim_ascii_start();
    if rest.starts_with(b"\"") {
        let config = has("\"generic_param\"");
        let first = rest.strip_prefix(b"\"learner\"").is_some_and(|r| r.trim_ascii_start().starts_with(b":"));
        let model = first || learner && (has("\"learner\"") || has("\"Model\""));
        let pickled = rest.starts_with(b"\"Config\"") && has("\"learner\"");
        return (model && !config || pickled).then_some("json");
    }
    let mut document = Ubj::new(Stream::new(&head, 0, head.len() as u64));
    let first =
        document.value().ok().filter(|v| *v == Value::Object).and_then(|_| document.key().ok().flatten());
    match first.as_deref() {
        Some("Config" | "Model") if has("learner") => Some("ubj"),
        Some("learner" | "version") if learner => Some("ubj"),
        _ => None,
    }
}

fn recognise(file: &File<'_>) -> Result<Option<(&'static str, &'static str)>> {
    Ok(match serialization(file.head()?) {
        Some("json") => Some(("json", "a model of XGBoost as JSON (`learner`)")),
        Some("ubj") => Some(("ubj", "a model of XGBoost as UBJSON (`learner`)")),
        Some(_) => Some(("binary", "a model of XGBoost in its binary form (`LearnerModelParam`)")),
        None => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<(Model, Reading)> {
        let mut reading = Reading::default();
        read_booster(&bytes, &mut reading).map(|m| (m, reading))
    }

    #[test]
    fn only_models_are_recognised() {
        for (text, expected) in [
            (&br#"{"learner":{"attributes":{},"feature_names":[]"#[..], Some("json")),
            (br#"  {"version":[1,0,0],"learner":{"learner_model_param":{}}}"#, Some("json")),
            (br#"{"learner":{"generic_param":{},"gradient_booster":{}}}"#, None),
            (br#"{"nodes":[],"heads":[]}"#, None),
            (b"{L\0\0\0\0\0\0\0\x07learner{L\0\0\0\0\0\0\0\x0dfeature_names[]", Some("ubj")),
            (b"{i\x07learner{i\x0dfeature_names[]", Some("ubj")),
            (b"{i\x07leonard{i\x0dfeature_names[]", None),
            (b"binf", None),
            (b"", None),
            (b"{", None),
        ] {
            assert_eq!(serialization(text), expected, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn what_contradicts_itself_is_an_error() {
        let names = br#"{"learner":{"feature_names":["a"],"learner_model_param":{"num_feature":"2"}}}"#;
        assert!(read(names).err().unwrap().message().contains("2 features"));
        assert!(read(br#"{"learner":{"feature_names":["a"]}"#).is_err());
        assert!(read(br#"{"version":[1,2,3],"x":"learner_model_param \"learner\""}"#).is_err());
    }

    #[test]
    fn what_is_left_out_stays_unknown() {
        let (model, _) = read(br#"{"learner":{"learner_model_param":{},"objective":7}}"#).unwrap();
        let signature = &contract::booster(&model).signatures[0];
        assert_eq!(signature.inputs[0].shape, Some(vec![None, None]));
        assert_eq!(signature.outputs[0].shape, None);
    }

    /// A header of version 1.5 with 4 features, and what follows it.
    fn binary(trees: u32, rest: &[u8]) -> Vec<u8> {
        let mut b = b"binf".to_vec();
        b.extend(0.5f32.to_le_bytes());
        for n in [4u32, 0, 0, 0, 1, 5] {
            b.extend(n.to_le_bytes());
        }
        b.resize(4 + 136, 0);
        for name in [&b"reg:squarederror"[..], b"gbtree"] {
            b.extend((name.len() as u64).to_le_bytes());
            b.extend(name);
        }
        b.extend(trees.to_le_bytes());
        b.extend([0; 156]);
        b.extend(rest);
        b
    }

    #[test]
    fn the_binary_form_is_bounded_by_what_there_is() {
        let (model, _) = read(&binary(0, &[])).unwrap();
        assert_eq!((model.features, model.trees), (Some(4), Some(0)));
        assert!(read(&binary(u32::MAX, &[])).is_err());
        let mut tree = vec![0xff; 148];
        tree[20..24].fill(0);
        assert!(read(&binary(1, &tree)).is_err());
        let good = binary(0, &[]);
        for end in 0..good.len() {
            assert!(read(&good[..end]).is_err(), "{end}");
        }
    }
}
