//! Transformers that stand for themselves.
//!
//! The width of an answer is that of a parameter, or what a count over stored values gives. Most
//! keep float32 and turn other numbers into float64; some keep whatever comes.

use crate::model::contract::DType;
use crate::model::format::sklearn::answer::{Dim, Given, Method, Model, Out, Type};
use crate::model::format::sklearn::rules::{FLOAT, INT64, Rules, before, precision, selection, since};
use crate::model::format::sklearn::state::Part;
use crate::model::pickle::Node;

/// Whether a class gives one column for each that it takes, under the same name.
pub(super) fn keeps_names(class: &str) -> bool {
    matches!(
        class,
        "StandardScaler"
            | "MinMaxScaler"
            | "MaxAbsScaler"
            | "RobustScaler"
            | "Normalizer"
            | "PowerTransformer"
            | "QuantileTransformer"
            | "Binarizer"
            | "OrdinalEncoder"
    )
}

/// Whether an estimator may work without having been fitted.
pub(super) fn is_plain(part: Part<'_>) -> bool {
    if part.name() == "TfidfTransformer" {
        return part.flag("use_idf") == Some(false);
    }
    matches!(
        part.name(),
        "Normalizer"
            | "Binarizer"
            | "FunctionTransformer"
            | "HashingVectorizer"
            | "FeatureHasher"
            | "AdditiveChi2Sampler"
            | "SparseCoder"
            | "FeatureUnion"
            | "TfidfVectorizer"
            | "CountVectorizer"
            | "DictVectorizer"
    )
}

/// What a transformer gives; `None` where the class is none that is known.
pub(super) fn model(rules: &Rules, part: Part<'_>) -> Option<Model> {
    if let Some(out) = text(part).or_else(|| encoder(part)) {
        return Some(Model::of(Given::Unknown).with(Method::Transform, out));
    }
    // The shape of what was fitted: `rows` of a parameter, or its columns.
    let rows = |attr: &str| Out::wide(precision(part, attr), part.dim(attr, 0));
    let mut score = None;
    let out = match part.name() {
        "StandardScaler"
        | "MinMaxScaler"
        | "MaxAbsScaler"
        | "RobustScaler"
        | "Normalizer"
        | "PowerTransformer"
        | "QuantileTransformer" => Out::wide(Type::Floating, Dim::Same).like_given(),
        "Binarizer" => Out::wide(Type::Same, Dim::Same).like_given(),
        "KernelCenterer" => Out::wide(Type::Unknown, Dim::Same),
        "PCA" => {
            score = Some(Out::column(precision(part, "components_")));
            rows("components_")
        }
        "FactorAnalysis" => {
            score = Some(Out::column(FLOAT));
            Out::wide(FLOAT, part.dim("components_", 0))
        }
        "BernoulliRBM" => {
            // Scores of float32 became float32 later than the rest.
            let double = precision(part, "components_") == FLOAT;
            score = Some(Out::column(if double { FLOAT } else { Type::Unknown }));
            rows("components_")
        }
        "FastICA"
        | "TruncatedSVD"
        | "NMF"
        | "ProjectedGradientNMF"
        | "SparsePCA"
        | "MiniBatchSparsePCA"
        | "LatentDirichletAllocation"
        | "GaussianRandomProjection"
        | "SparseRandomProjection" => rows("components_"),
        "RandomizedPCA" => rows("components_"),
        "Nystroem" => Out::wide(precision(part, "normalization_"), part.dim("components_", 0)),
        "IncrementalPCA" | "NeighborhoodComponentsAnalysis" => {
            let double = precision(part, "components_") == FLOAT;
            Out::wide(if double { FLOAT } else { Type::Unknown }, part.dim("components_", 0))
        }
        "MiniBatchNMF" => Out::wide(Type::Floating, part.dim("components_", 0)),
        "DictionaryLearning" | "MiniBatchDictionaryLearning" | "SparseCoder" => coder(part),
        "KernelPCA" => {
            let attr = ["eigenvectors_", "alphas_"].into_iter().find(|a| part.has(a))?;
            Out::wide(precision(part, attr), part.dim(attr, 1))
        }
        "Isomap" => Out::wide(precision(part, "embedding_"), part.dim("embedding_", 1)),
        "LocallyLinearEmbedding" => Out::wide(FLOAT, part.dim("embedding_", 1)),
        "RBFSampler" | "SkewedChi2Sampler" => {
            Out::wide(precision(part, "random_weights_"), part.dim("random_weights_", 1))
        }
        "PolynomialCountSketch" => Out::wide(FLOAT, part.count("n_components")),
        "AdditiveChi2Sampler" => {
            let each = part.count("sample_steps").and_then(|n| n.checked_mul(2)?.checked_sub(1));
            let n = part.count("n_features_in_").zip(each).and_then(|(n, each)| n.checked_mul(each));
            Out::wide(Type::Unknown, n)
        }
        "PolynomialFeatures" => {
            let n = part.count("n_output_features_").or_else(|| part.count("_n_out_full"));
            Out::wide(Type::Floating, n).like_given()
        }
        "SplineTransformer" => Out::wide(Type::Floating, part.count("n_features_out_")),
        "FeatureAgglomeration" => agglomeration(part),
        "PLSSVD" => {
            let weights = ["x_weights_", "x_rotations_"].into_iter().find(|a| part.has(a))?;
            Out::wide(FLOAT, part.dim(weights, 1))
        }
        "LinearDiscriminantAnalysis" | "LDA" => return None,
        "SimpleImputer" | "Imputer" | "IterativeImputer" | "KNNImputer" => imputer(part),
        "MissingIndicator" => match part.text("features") {
            // Where nothing was missing, all were marked until 0.21.
            Some("missing-only") if !since(part, (0, 21)) && part.dim("features_", 0) == Some(0) => {
                Out::wide(Type::Is(DType::Bool), Dim::Same)
            }
            Some("missing-only") => Out::wide(Type::Is(DType::Bool), part.dim("features_", 0)),
            _ => Out::wide(Type::Is(DType::Bool), Dim::Same),
        },
        "FunctionTransformer" => function(part),
        "RandomTreesEmbedding" => {
            let encoder = part.attr("one_hot_encoder_").or_else(|| part.attr("one_hot_encoder"))?;
            let mut out = rules.model(encoder).answer(Method::Transform)?.one()?.clone();
            if part.flag("sparse_output") == Some(true) {
                out = out.sparse();
            }
            out.dtype = FLOAT;
            out
        }
        "KNeighborsTransformer" | "RadiusNeighborsTransformer" => {
            Out::wide(FLOAT, part.count("n_samples_fit_").or_else(|| part.dim("_fit_X", 0))).sparse()
        }
        _ => Out::wide(Type::Same, selection::width(part)?).like_given(),
    };
    let mut model = Model::of(Given::Unknown).with(Method::Transform, out);
    if let Some(score) = score {
        model.add(Method::Score, score);
    }
    Some(model)
}

/// Texts and records into numbers.
fn text(part: Part<'_>) -> Option<Out> {
    let hashed = |out: Out| if part.flag("sparse") == Some(false) { out } else { out.sparse() };
    Some(match part.name() {
        "CountVectorizer" => {
            Out::wide(part.dtype("dtype").into(), part.attr("vocabulary_").and_then(Part::size_of_dict))
                .sparse()
        }
        "TfidfVectorizer" => {
            // Weighting turns counts into float64.
            let dtype = match part.dtype("dtype") {
                Some(DType::Float32) => Type::Is(DType::Float32),
                Some(DType::Float64 | DType::Int64) => FLOAT,
                _ => Type::Unknown,
            };
            Out::wide(dtype, part.attr("vocabulary_").and_then(Part::size_of_dict)).sparse()
        }
        "HashingVectorizer" => Out::wide(part.dtype("dtype").into(), part.count("n_features")).sparse(),
        "FeatureHasher" => Out::wide(part.dtype("dtype").into(), part.count("n_features")).sparse(),
        "DictVectorizer" => {
            let n = part.attr("vocabulary_").and_then(Part::size_of_dict);
            hashed(Out::wide(part.dtype("dtype").into(), n))
        }
        "TfidfTransformer" => {
            // The weights made float64 of everything until 1.4.
            let double = before(part, (1, 4)) && part.flag("use_idf") != Some(false);
            Out::wide(if double { FLOAT } else { Type::Floating }, Dim::Same).sparse()
        }
        _ => return None,
    })
}

/// Categories into numbers.
fn encoder(part: Part<'_>) -> Option<Out> {
    Some(match part.name() {
        "LabelEncoder" => Out::column(INT64),
        "LabelBinarizer" => {
            let n = part.dim("classes_", 0);
            let n = if n == Some(2) { Some(1) } else { n };
            let out = Out::wide(INT64, n);
            if part.flag("sparse_output") == Some(true) { out.sparse() } else { out }
        }
        "MultiLabelBinarizer" => {
            let out = Out::wide(INT64, part.dim("classes_", 0));
            if part.flag("sparse_output") == Some(true) { out.sparse() } else { out }
        }
        "OrdinalEncoder" => Out::wide(part.dtype("dtype").into(), Dim::Same),
        "OneHotEncoder" => {
            let sparse = part.flag("sparse_output").or_else(|| part.flag("sparse"));
            let out = Out::wide(part.dtype("dtype").into(), one_hot(part));
            if sparse == Some(true) { out.sparse() } else { out }
        }
        "KBinsDiscretizer" => bins(part),
        "TargetEncoder" => match part.text("target_type_") {
            Some("multiclass") => {
                let n = part.count("n_features_in_").zip(part.dim("classes_", 0));
                Out::wide(FLOAT, n.and_then(|(n, classes)| n.checked_mul(classes)))
            }
            _ => Out::wide(FLOAT, Dim::Same),
        },
        _ => return None,
    })
}

/// Whether a legacy encoder was told which columns to encode.
pub(super) fn some_columns(part: Part<'_>) -> bool {
    part.attr("categorical_features").is_some_and(|f| f.as_text() != Some("all"))
}

/// One column for each category that is not dropped; rare ones share a column.
fn one_hot(part: Part<'_>) -> Option<u64> {
    let sum = |all: Vec<i64>| all.into_iter().try_fold(0u64, |s, n| s.checked_add(u64::try_from(n).ok()?));
    if let Some(stored) = part.attr("_n_features_outs") {
        return sum(stored.ints()?);
    }
    // Before 0.20, and after where it was asked for: columns of integers.
    if let Some(ends) = part.attr("feature_indices_").or_else(|| part.attr("_feature_indices_")) {
        if some_columns(part) {
            return None;
        }
        let auto = part.attr("_n_values").or_else(|| part.attr("n_values"));
        if auto.is_some_and(|n| n.as_text() == Some("auto"))
            && let Some(active) = part.attr("active_features_").or_else(|| part.attr("_active_features_"))
        {
            return active.as_dims()?.first().copied();
        }
        return u64::try_from(*ends.ints()?.last()?).ok();
    }
    if part.has("_infrequent_enabled") && part.flag("_infrequent_enabled") != Some(false) {
        return None;
    }
    let categories = part.list("categories_");
    let all = categories.iter().try_fold(0u64, |s, c| s.checked_add(*c.as_dims()?.first()?))?;
    let dropped = match part.attr("drop_idx_") {
        None => 0,
        Some(index) => match index.elements() {
            Some(each) => each.iter().filter(|e| !matches!(e.node(), Node::None)).count() as u64,
            None => index.as_dims()?.first().copied()?,
        },
    };
    if categories.is_empty() { None } else { all.checked_sub(dropped) }
}

fn bins(part: Part<'_>) -> Out {
    // `dtype` came in 0.24; until then, and where it is not given for whole numbers, float64.
    let dtype = if part.has("dtype") { part.dtype("dtype").map_or(Type::Floating, Type::Is) } else { FLOAT };
    let bins = part.attr("n_bins_").and_then(Part::ints);
    let sum =
        bins.and_then(|all| all.into_iter().try_fold(0u64, |sum, n| sum.checked_add(u64::try_from(n).ok()?)));
    match part.text("encode") {
        Some("onehot") => Out::wide(dtype, sum).sparse(),
        Some("onehot-dense") => Out::wide(dtype, sum),
        Some("ordinal") => Out::wide(dtype, Dim::Same),
        _ => Out::wide(dtype, Dim::Unknown),
    }
}

/// Sparse codes; positive and negative parts are told apart where it was asked for.
fn coder(part: Part<'_>) -> Out {
    let n = part.dim("components_", 0).or_else(|| part.dim("dictionary", 0));
    let n = match part.flag("split_sign") {
        Some(true) => n.and_then(|n| n.checked_mul(2)),
        _ => n,
    };
    Out::wide(if before(part, (1, 1)) { FLOAT } else { Type::Floating }, n)
}

fn agglomeration(part: Part<'_>) -> Out {
    let mean = part.attr("pooling_func").is_none_or(|f| {
        matches!(f.node(), Node::Global { module, name } if module.starts_with("numpy") && name == "mean")
    });
    let n = part.count("n_clusters_").or_else(|| part.count("n_clusters"));
    Out::wide(if mean { FLOAT } else { Type::Unknown }, n)
}

/// Imputers leave out columns without any value, and may add marks of what was missing.
fn imputer(part: Part<'_>) -> Out {
    let object = match part.dtype("_fit_dtype") {
        Some(DType::Object | DType::String) => true,
        Some(_) => false,
        // Words can be filled in too, and then nothing tells.
        None => matches!(part.text("strategy"), Some("most_frequent" | "constant")) && !part.has("axis"),
    };
    // What is filled in tells what the columns hold.
    let texts = part.name() == "SimpleImputer" && part.dtype("statistics_") == Some(DType::String);
    let dtype = if texts {
        Type::Is(DType::String)
    } else if part.dtype("_fit_dtype") == Some(DType::Object) {
        Type::Is(DType::Object)
    } else if object {
        Type::Unknown
    } else {
        Type::Floating
    };
    let kept = match part.name() {
        "KNNImputer" => match part.attr("_valid_mask") {
            _ if part.flag("keep_empty_features") == Some(true) => part.count("n_features_in_"),
            Some(mask) => mask.count_true(),
            None => part.attr("_mask_fit_X").and_then(met),
        },
        "IterativeImputer" => part.attr("initial_imputer_").and_then(filled),
        _ => filled(part),
    };
    let marks = match part.attr("indicator_") {
        None => Some(0),
        Some(indicator) => indicator.dim("features_", 0),
    };
    let n = kept.zip(marks).and_then(|(kept, marks)| kept.checked_add(marks));
    Out::wide(dtype, n).like_given()
}

/// How many columns of a mask of missing values are not missing throughout.
fn met(mask: Part<'_>) -> Option<u64> {
    let array = mask.values()?;
    let [rows, columns] = array.shape.as_slice() else { return None };
    let (rows, columns) = (usize::try_from(*rows).ok()?, usize::try_from(*columns).ok()?);
    let cells = array.ints()?;
    let missing = |row: usize, column: usize| {
        let at =
            if array.fortran { column.checked_mul(rows)? + row } else { row.checked_mul(columns)? + column };
        cells.get(at).map(|n| *n != 0)
    };
    let mut found = 0;
    for column in 0..columns {
        let mut all = true;
        for row in 0..rows {
            all &= missing(row, column)?;
        }
        found += u64::from(!all);
    }
    Some(found)
}

/// How many columns have something to fill in.
fn filled(part: Part<'_>) -> Option<u64> {
    if part.count("axis") == Some(1) {
        return None;
    }
    let statistics = part.attr("statistics_")?;
    if part.flag("keep_empty_features") == Some(true) {
        return statistics.as_dims()?.first().copied();
    }
    if let Some(values) = statistics.as_array().and_then(|a| a.objects()) {
        let all = statistics.elements()?;
        let empty =
            all.iter().filter(|e| e.as_float().is_some_and(f64::is_nan) || matches!(e.node(), Node::None));
        return Some(values.len() as u64 - empty.count() as u64);
    }
    match statistics.floats() {
        Some(all) => Some(all.iter().filter(|x| !x.is_nan()).count() as u64),
        None => {
            statistics.as_dims()?.first().copied().filter(|_| statistics.as_dtype() == Some(DType::String))
        }
    }
}

/// A function of numpy's that maps each number for itself; any other is code.
fn function(part: Part<'_>) -> Out {
    let Some(function) = part.attr("func") else {
        return Out::wide(Type::Same, Dim::Same).like_given();
    };
    let name = match function.node() {
        Node::Global { module, name } if module.split('.').next() == Some("numpy") => Some(name.as_str()),
        // numpy._core._ufunc_reconstruct("numpy", "log1p").
        Node::Object(_) if function.name() == "_ufunc_reconstruct" => {
            function.args().get(1).and_then(|name| name.as_text())
        }
        _ => None,
    };
    let plain = part.attr("kw_args").is_none_or(|kw| kw.size_of_dict() == Some(0));
    match name {
        Some(
            "log" | "log1p" | "log2" | "log10" | "exp" | "expm1" | "sqrt" | "sin" | "cos" | "tan" | "tanh",
        ) if plain => Out::wide(Type::Floating, Dim::Same),
        Some("abs" | "absolute" | "square" | "negative") if plain => Out::wide(Type::Same, Dim::Same),
        _ => Out::vague(Type::Unknown),
    }
}
