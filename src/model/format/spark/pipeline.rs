//! From stage to stage: pipelines, pipelines in pipelines, and what tuning found best.
//!
//! The order of stages is that of `stageUids`; folders are never listed to find them. A stage that is
//! not there, is not fitted or is code of its author's own is told as a finding.

use std::cell::{Cell, RefCell};

use serde_json::Value;

use crate::error::{Kind, Result, show_bytes};
use crate::model::format::spark::columns::{Columns, Kind as Holds};
use crate::model::format::spark::data::Note;
use crate::model::format::spark::{Stage, features, models};
use crate::model::format::{Reading, Severity, join};
use crate::model::tree::Tree;

/// How deep pipelines may nest.
const MAX_DEPTH: usize = 16;
/// The most stages of one model, those of nested pipelines included.
const MAX_STAGES: usize = 10_000;
/// Classes of Spark that learn, and have not learned yet; or measure what was learned.
const ESTIMATORS: &[&str] = &[
    "AFTSurvivalRegression",
    "ALS",
    "BinaryClassificationEvaluator",
    "BisectingKMeans",
    "BucketedRandomProjectionLSH",
    "ChiSqSelector",
    "ClusteringEvaluator",
    "CountVectorizer",
    "CrossValidator",
    "DecisionTreeClassifier",
    "DecisionTreeRegressor",
    "FMClassifier",
    "FMRegressor",
    "FPGrowth",
    "GBTClassifier",
    "GBTRegressor",
    "GaussianMixture",
    "GeneralizedLinearRegression",
    "IDF",
    "Imputer",
    "IsotonicRegression",
    "KMeans",
    "LDA",
    "LinearRegression",
    "LinearSVC",
    "LogisticRegression",
    "MaxAbsScaler",
    "MinHashLSH",
    "MinMaxScaler",
    "MulticlassClassificationEvaluator",
    "MultilabelClassificationEvaluator",
    "MultilayerPerceptronClassifier",
    "NaiveBayes",
    "OneHotEncoderEstimator",
    "OneVsRest",
    "PCA",
    "Pipeline",
    "PowerIterationClustering",
    "PrefixSpan",
    "QuantileDiscretizer",
    "RFormula",
    "RandomForestClassifier",
    "RandomForestRegressor",
    "RankingEvaluator",
    "RegressionEvaluator",
    "RobustScaler",
    "StandardScaler",
    "StringIndexer",
    "TargetEncoder",
    "TrainValidationSplit",
    "UnivariateFeatureSelector",
    "VarianceThresholdSelector",
    "VectorIndexer",
    "Word2Vec",
];

/// The way through all stages.
pub(super) struct Walk<'t, 'r> {
    tree: &'t Tree,
    budget: &'t Cell<u64>,
    notes: &'t RefCell<Vec<Note>>,
    reading: &'r mut Reading,
    columns: Columns,
    classes: Vec<Value>,
    seen: usize,
    /// Whether all stages have learned what they should.
    pub fitted: bool,
}

impl<'t, 'r> Walk<'t, 'r> {
    pub(super) fn new(
        tree: &'t Tree,
        budget: &'t Cell<u64>,
        notes: &'t RefCell<Vec<Note>>,
        reading: &'r mut Reading,
    ) -> Self {
        let columns = Columns::default();
        Self { tree, budget, notes, reading, columns, classes: Vec::new(), seen: 0, fitted: true }
    }

    /// The columns, with all that follows for their sizes.
    pub(super) fn finish(mut self) -> Columns {
        self.reading.fact("sparkml.stages", std::mem::take(&mut self.classes));
        self.columns.settle();
        self.columns
    }

    /// Goes through the stage in a folder, and those inside.
    pub(super) fn stage(&mut self, folder: &[u8], depth: usize) -> Result<()> {
        self.seen += 1;
        if depth > MAX_DEPTH || self.seen > MAX_STAGES {
            if self.seen <= MAX_STAGES + 1 {
                self.reading.warnings.push(format!(
                    "more than {MAX_STAGES} stages, or nested more than {MAX_DEPTH} deep: the rest is unknown"
                ));
            }
            self.columns.lose_track();
            return Ok(());
        }
        let stage = match Stage::open(self.tree, folder, self.budget, self.notes) {
            Ok(stage) => stage,
            Err(e) if e.kind() == Kind::Model && depth > 0 => {
                self.reading.find(Severity::Error, "missing-stage", show_bytes(folder), e.to_string());
                self.columns.lose_track();
                return Ok(());
            }
            Err(e) => return Err(e),
        };
        let m = &stage.meta;
        let name = m.short();
        let known_package = m.is_sparks();
        match name {
            "PipelineModel" if known_package => return self.pipeline(&stage, depth),
            "CrossValidatorModel" | "TrainValidationSplitModel" if known_package => {
                return self.stage(&join(folder, b"bestModel"), depth + 1);
            }
            _ => {}
        }
        self.classes.push(name.into());
        if known_package && (ESTIMATORS.contains(&name) || name == "OneHotEncoder" && m.since(3, 0)) {
            self.fitted = false;
            self.reading.find(
                Severity::Error,
                "not-fitted",
                show_bytes(folder),
                format!(
                    "`{}` has not learned anything yet and cannot be served: save what its `fit` returns",
                    show_bytes(m.class.as_bytes())
                ),
            );
            return Ok(());
        }
        if known_package {
            if name == "RFormulaModel" {
                return self.formula(&stage, depth);
            }
            if features::apply(&stage, &mut self.columns)? {
                if let Some(labels) =
                    Some(name).filter(|n| *n == "IndexToString").and_then(|_| features::labels(&stage))
                {
                    self.reading.fact("classes", labels);
                }
                return Ok(());
            }
            if let Some(sizes) = models::apply(&stage, &mut self.columns)? {
                self.model_facts(&stage, sizes);
                return Ok(());
            }
        }
        self.unknown(&stage);
        Ok(())
    }

    fn pipeline(&mut self, stage: &Stage<'t>, depth: usize) -> Result<()> {
        let place = show_bytes(&stage.folder);
        let Some(uids) = stage.meta.texts("stageUids") else {
            self.reading.find(
                Severity::Error,
                "missing-stage",
                place,
                "the pipeline does not list its stages",
            );
            self.columns.lose_track();
            return Ok(());
        };
        let digits = uids.len().to_string().len();
        for (i, uid) in uids.iter().enumerate() {
            if uid.is_empty() || uid.contains(['/', '\0']) || uid.contains("..") {
                self.reading.find(
                    Severity::Error,
                    "unsafe-path",
                    place.clone(),
                    format!(
                        "the stage `{}` has a name that would lead to another folder",
                        show_bytes(uid.as_bytes())
                    ),
                );
                self.columns.lose_track();
                continue;
            }
            let name = format!("stages/{i:0digits$}_{uid}");
            self.stage(&join(&stage.folder, name.as_bytes()), depth + 1)?;
            if self.seen > MAX_STAGES {
                break;
            }
        }
        Ok(())
    }

    /// A formula is a pipeline of its own that drops what it needed in between. It adds the label
    /// only where the column is there.
    fn formula(&mut self, stage: &Stage<'t>, depth: usize) -> Result<()> {
        let (m, data) = (&stage.meta, &stage.data);
        // From 2.4 on RFormula gives vectors a VectorSizeHint and encodes text; the rest are numbers.
        let before =
            std::mem::replace(&mut self.columns.assembles_numbers, m.since(2, 4) && m.version.is_some());
        let walked = self.stage(&join(&stage.folder, b"pipelineModel"), depth + 1);
        self.columns.assembles_numbers = before;
        walked?;
        let label = data.ask(|t| t.texts("label", 1))?.and_then(|l| l.into_iter().next());
        if let (Some(label), Some(output)) = (label.filter(|l| !l.is_empty()), m.text("labelCol"))
            && !self.columns.has(output)
            && label != output
        {
            let from = self.columns.read_if_there(&label);
            let to = self.columns.write(output, Holds::Scalar, None);
            self.columns.needs(to, from);
        }
        Ok(())
    }

    /// What a model says about itself counts for the pipeline, the last one for all.
    fn model_facts(&mut self, stage: &Stage<'_>, sizes: models::Sizes) {
        let m = &stage.meta;
        self.reading.fact("estimator", m.short());
        for task in ["classification", "regression", "clustering", "recommendation", "fpm"] {
            if m.class.contains(&format!(".{task}.")) {
                self.reading.fact("task", if task == "fpm" { "frequent-patterns" } else { task });
            }
        }
        let classes = sizes.classes.filter(|_| m.class.contains(".classification."));
        for (key, n) in
            [("numFeatures", sizes.features), ("numClasses", classes), ("numTrees", m.extra("numTrees"))]
        {
            if let Some(n) = n {
                self.reading.fact(format!("sparkml.{key}"), n);
            }
        }
    }

    /// A class that is not known: columns by the names that parameters usually have.
    fn unknown(&mut self, stage: &Stage<'_>) {
        let m = &stage.meta;
        let class = show_bytes(m.class.as_bytes());
        if m.is_sparks() {
            self.reading
                .warnings
                .push(format!("the stage `{class}` is not known; types after it are not either"));
        } else {
            self.reading.find(
                Severity::Warning,
                "unknown-stage",
                show_bytes(&stage.folder),
                format!("`{class}` is not a part of Spark: its code runs when the model is loaded, and must be there"),
            );
        }
        for input in m.columns("inputCol", "inputCols").into_iter().chain(m.text("featuresCol")) {
            self.columns.read(input);
        }
        let outputs =
            ["rawPredictionCol", "probabilityCol", "predictionCol"].iter().filter_map(|p| m.text(p));
        for output in m.columns("outputCol", "outputCols").into_iter().chain(outputs) {
            self.columns.write(output, Holds::Unknown, None);
        }
    }
}
