//! Every dtype, exports of scikit-learn and a small network, asked by Triton's client.

use super::{Server, compare, models};
use crate::support::program::Floe;

fn served(name: &str) {
    let folder = tempfile::tempdir().unwrap();
    let model = models().join(format!("{name}.onnx"));
    let mut command = Floe::new(folder.path()).command();
    command.arg("serve").arg(&model).args(["--http-port", "0", "--grpc-port", "0"]);
    let mut server = Server::start(&mut command);
    let said = compare(&server, name, &model);
    assert!(said.contains("ok rest binary=True batch=1") && said.contains("ok grpc raw batch=1"), "{said}");
    let (status, metrics) = server.ask("GET", "/metrics", b"");
    assert_eq!(status, 200);
    assert!(metrics.contains(&format!("name=\"{name}\"")), "{metrics}");
    assert_eq!(server.stop().code(), Some(0));
}

macro_rules! models {
    ($($test:ident $name:literal)*) => {$(
        #[test]
        fn $test() {
            served($name);
        }
    )*};
}

models! {
    c46_every_dtype_goes_in_and_comes_out "dtypes"
    c46_half_precision_goes_in_binary "half"
    a_network_agrees_with_onnxruntime "network"
    scaled_logistic_regression_agrees "scaled-logistic-zipmap"
    a_forest_with_words_for_classes_agrees "forest-words-zipmap"
    gradient_boosting_agrees "gradient-boosting"
    a_support_vector_classifier_agrees "svc-rbf-words-zipmap"
    a_perceptron_agrees "mlp"
    support_vector_regression_agrees "svr"
    nearest_neighbours_agree "neighbours-regressor"
    an_isolation_forest_agrees "isolation-forest"
    an_imputer_agrees "imputer"
    text_features_agree "tfidf"
    one_hot_encoding_of_strings_agrees "one-hot"
    an_encoder_of_labels_agrees "labels"
    columns_of_several_types_agree "columns"
}
