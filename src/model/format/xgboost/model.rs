//! What a booster's document tells, read past its trees.
//!
//! Keys: `learner` with `attributes`, `feature_names`, `feature_types`, `gradient_booster`,
//! `learner_model_param`, `objective`; `version` (xgboost: doc/model.schema). A pickled booster has
//! all that under `Model`, beside `Config`.

use crate::error::{Error, Kind, Result, show_bytes};
use crate::model::format::{MAX_ENTRIES, Reading};
use crate::model::pull::Pull;

/// What is known about a booster; `None` and empty where it is not.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub version: Option<String>,
    pub features: Option<u64>,
    pub feature_names: Vec<String>,
    pub feature_types: Vec<String>,
    /// Classes of a multi-class objective; 0 without.
    pub classes: Option<u64>,
    /// Columns of the label, or quantiles.
    pub targets: Option<u64>,
    pub base_score: Option<String>,
    pub objective: Option<String>,
    pub booster: Option<String>,
    pub trees: Option<u64>,
    pub attributes: Vec<(String, String)>,
}

impl Model {
    /// Reads a document. At the limit of bytes the rest stays unknown, which is a warning.
    pub(super) fn pulled(p: &mut dyn Pull, reading: &mut Reading) -> Result<Self> {
        let mut model = Self::default();
        let mut learner = false;
        match model.document(p, &mut learner, true) {
            Ok(()) if !learner => Err(Error::new(Kind::Model, "the document has no `learner`")),
            Ok(()) => {
                model.check()?;
                Ok(model)
            }
            Err(_) if p.stopped() => {
                reading.warnings.push(format!(
                    "of a model of XGBoost at most {} MiB are read, and what comes later is unknown: the \
                     number of features, the objective",
                    super::LIMIT >> 20
                ));
                Ok(model)
            }
            Err(e) => Err(e),
        }
    }

    /// What the loader would refuse.
    fn check(&self) -> Result<()> {
        let (Some(features), names) = (self.features, self.feature_names.len() as u64) else { return Ok(()) };
        if names > 0 && features > 0 && names != features && features <= MAX_ENTRIES as u64 {
            return Err(Error::new(
                Kind::Model,
                format!("the model has {features} features, but {names} names of features"),
            ));
        }
        Ok(())
    }

    fn document(&mut self, p: &mut dyn Pull, learner: &mut bool, outer: bool) -> Result<()> {
        if !p.object()? {
            return Ok(());
        }
        while let Some(key) = p.key()? {
            match key.as_str() {
                "learner" => {
                    *learner = true;
                    self.learner(p)?;
                }
                "version" => {
                    let parts = p.texts(8)?.unwrap_or_default();
                    if parts.len() == 3 && parts.iter().all(|n| n.parse::<u32>().is_ok()) {
                        self.version = Some(parts.join("."));
                    }
                }
                "Model" if outer => self.document(p, learner, false)?,
                _ => p.skip()?,
            }
        }
        Ok(())
    }

    fn learner(&mut self, p: &mut dyn Pull) -> Result<()> {
        if !p.object()? {
            return Ok(());
        }
        while let Some(key) = p.key()? {
            match key.as_str() {
                "attributes" => self.attributes = p.scalars(1000)?,
                "feature_names" => self.feature_names = p.texts(MAX_ENTRIES)?.unwrap_or_default(),
                "feature_types" => self.feature_types = p.texts(MAX_ENTRIES)?.unwrap_or_default(),
                "gradient_booster" => self.gradient_booster(p, true)?,
                "learner_model_param" => {
                    for (key, value) in p.scalars(100)? {
                        let number = || {
                            value.parse::<u32>().map(|n| Some(n.into())).map_err(|_| {
                                Error::new(
                                    Kind::Model,
                                    format!(
                                        "`{key}` is no number of XGBoost's: `{}`",
                                        show_bytes(value.as_bytes())
                                    ),
                                )
                            })
                        };
                        match key.as_str() {
                            "num_feature" => self.features = number()?,
                            "num_class" => self.classes = number()?,
                            "num_target" => self.targets = number()?,
                            "base_score" => self.base_score = Some(value),
                            _ => {}
                        }
                    }
                    // Files of before version 1.6 do not record it: there was no other number.
                    self.targets = self.targets.or(Some(1));
                }
                "objective" => {
                    if !p.object()? {
                        continue;
                    }
                    while let Some(key) = p.key()? {
                        if key == "name" { self.objective = p.scalar()? } else { p.skip()? }
                    }
                }
                _ => p.skip()?,
            }
        }
        Ok(())
    }

    /// `gbtree` and `gblinear` themselves; `dart` has a `gbtree` inside.
    fn gradient_booster(&mut self, p: &mut dyn Pull, outer: bool) -> Result<()> {
        if !p.object()? {
            return Ok(());
        }
        while let Some(key) = p.key()? {
            match key.as_str() {
                "name" if outer => self.booster = p.scalar()?,
                "gbtree" if outer => self.gradient_booster(p, false)?,
                "model" => {
                    if !p.object()? {
                        continue;
                    }
                    while let Some(key) = p.key()? {
                        if key == "gbtree_model_param" {
                            let all = p.scalars(100)?;
                            let trees = all.iter().find(|(k, _)| k == "num_trees");
                            self.trees = trees.and_then(|(_, n)| n.parse().ok());
                        } else {
                            p.skip()?;
                        }
                    }
                }
                _ => p.skip()?,
            }
        }
        Ok(())
    }

    /// An attribute that the caller of the library set, or one of its wrappers.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
    }
}
