//! The operators that tract lacks: those of the domain `ai.onnx.ml`, which exports of scikit-learn,
//! XGBoost and LightGBM are made of, and those of ONNX itself that such exports need beside them.
//!
//! It is no backend: it fills tract's table of operators, and tract plans and runs. Where tract has
//! an operator of its own that answers otherwise than ONNX Runtime, or refuses what that answers,
//! ours takes its place. Sources: the operators' documentation in ONNX; where that is silent, what
//! ONNX Runtime answers.
//!
//! Invariant: nothing that a file says makes an operator run long without end, read outside its
//! tables or panic: attributes are checked against each other when a node is read.

mod attributes;
mod borrowed;
mod cast;
mod double;
mod encode;
mod flatten;
mod gemm;
mod kernel;
mod labels;
mod linear;
mod pattern;
mod pick;
mod post;
mod rows;
mod scale;
mod svm;
mod text;
mod tfidf;
mod tree;

#[cfg(test)]
mod testing;

use tract_onnx::model::OnnxOpRegister;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

type Builder = fn(&ParsingContext, &NodeProto) -> kernel::Built;

/// The domain of classical machine learning.
const ML: &str = "ai.onnx.ml";

/// ONNX's own domain.
const ONNX: &str = "";

/// The domain of ONNX Runtime's own operators.
const ORT: &str = "com.microsoft";

/// Domain, name and builder of each operator.
const TABLE: &[(&str, &str, Builder)] = &[
    (ML, "ArrayFeatureExtractor", scale::array_feature_extractor),
    (ML, "Binarizer", scale::binarizer),
    (ML, "CategoryMapper", encode::category_mapper),
    (ML, "FeatureVectorizer", scale::feature_vectorizer),
    (ML, "Imputer", scale::imputer),
    (ML, "LabelEncoder", encode::label_encoder),
    (ML, "LinearClassifier", linear::classifier),
    (ML, "LinearRegressor", linear::regressor),
    (ML, "Normalizer", scale::normalizer),
    (ML, "OneHotEncoder", encode::one_hot_encoder),
    (ML, "SVMClassifier", svm::classifier),
    (ML, "SVMRegressor", svm::regressor),
    (ML, "Scaler", scale::scaler),
    (ML, "TreeEnsemble", tree::ensemble),
    (ML, "TreeEnsembleClassifier", tree::classifier),
    (ML, "TreeEnsembleRegressor", tree::regressor),
    (ML, "ZipMap", scale::zip_map),
    (ONNX, "BatchNormalization", borrowed::batch_normalization),
    (ONNX, "Cast", cast::cast),
    (ONNX, "Compress", pick::compress),
    (ONNX, "Flatten", flatten::flatten),
    (ONNX, "GRU", borrowed::recurrent),
    (ONNX, "Gemm", gemm::gemm),
    (ONNX, "HardSwish", double::hard_swish),
    (ONNX, "IsInf", double::is_inf),
    (ONNX, "IsNaN", double::is_nan),
    (ONNX, "LSTM", borrowed::recurrent),
    (ONNX, "LeakyRelu", double::leaky_relu),
    (ONNX, "OneHot", pick::one_hot),
    (ONNX, "RNN", borrowed::recurrent),
    (ONNX, "RegexFullMatch", text::regex_full_match),
    (ONNX, "Round", double::round),
    (ONNX, "Sigmoid", double::sigmoid),
    (ONNX, "SpaceToDepth", borrowed::space_to_depth),
    (ONNX, "StringConcat", text::string_concat),
    (ONNX, "StringNormalizer", text::string_normalizer),
    (ONNX, "StringSplit", text::string_split),
    (ONNX, "Swish", double::swish),
    (ONNX, "TfIdfVectorizer", tfidf::tf_idf_vectorizer),
    (ORT, "Tokenizer", text::tokenizer),
];

/// Domain and name of each operator that [`register`] adds or replaces.
pub(super) const OPERATORS: &[(&str, &str)] = &{
    let mut names = [("", ""); TABLE.len()];
    let mut at = 0;
    while at < TABLE.len() {
        names[at] = (TABLE[at].0, TABLE[at].1);
        at += 1;
    }
    names
};

/// Adds the operators to tract's table, over its own where it has any.
pub(super) fn register(ops: &mut OnnxOpRegister) {
    borrowed::keep(ops);
    for (_, name, builder) in TABLE {
        ops.insert(name, *builder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operator_is_registered_once() {
        let mut ops = OnnxOpRegister::default();
        register(&mut ops);
        assert_eq!(ops.0.len(), TABLE.len());
        assert_eq!(OPERATORS.len(), TABLE.len());
        for (domain, name) in OPERATORS {
            assert!(ops.0.contains_key(*name), "{domain} {name}");
        }
        assert!(OPERATORS.contains(&("ai.onnx.ml", "ZipMap")));
    }
}
