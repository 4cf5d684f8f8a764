"""scikit-learn estimators, trained on its own small data sets and exported by skl2onnx.

Not a test: `corpus.py` turns each export into a case with the outputs of ONNX Runtime, and the
serving tests take a few of them.
"""
import warnings

import numpy as np
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn import cluster, decomposition, discriminant_analysis, ensemble, feature_selection, gaussian_process
from sklearn import impute, linear_model, naive_bayes, neighbors, neural_network, pipeline, preprocessing, svm, tree
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes, load_iris
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

warnings.filterwarnings("ignore")
OPSETS = {"": 18, "ai.onnx.ml": 3}


def classifiers():
    logistic = lambda: linear_model.LogisticRegression(max_iter=1000)
    svc = lambda **k: svm.SVC(probability=True, random_state=0, **k)
    return {
        "logistic": logistic(),
        "forest": ensemble.RandomForestClassifier(20, random_state=0),
        "extra-trees": ensemble.ExtraTreesClassifier(10, random_state=0),
        "gradient-boosting": ensemble.GradientBoostingClassifier(n_estimators=20, random_state=0),
        "hist-gradient-boosting": ensemble.HistGradientBoostingClassifier(max_iter=10, random_state=0),
        "tree": tree.DecisionTreeClassifier(random_state=0),
        "svc-rbf": svc(),
        "svc-linear": svc(kernel="linear"),
        "svc-poly": svc(kernel="poly"),
        "linear-svc": svm.LinearSVC(random_state=0),
        "neighbours": neighbors.KNeighborsClassifier(3),
        "perceptron": linear_model.Perceptron(random_state=0),
        "mlp": neural_network.MLPClassifier((20,), max_iter=300, random_state=0),
        "naive-bayes": naive_bayes.GaussianNB(),
        "lda": discriminant_analysis.LinearDiscriminantAnalysis(),
        "bagging": ensemble.BaggingClassifier(n_estimators=5, random_state=0),
        "adaboost": ensemble.AdaBoostClassifier(n_estimators=5, random_state=0),
        "sgd": linear_model.SGDClassifier(loss="log_loss", random_state=0),
        "scaled-logistic": pipeline.make_pipeline(preprocessing.StandardScaler(), logistic()),
        "pca-svc": pipeline.make_pipeline(preprocessing.MinMaxScaler(), decomposition.PCA(2), svc()),
    }


def others():
    return {
        "linear": linear_model.LinearRegression(),
        "ridge": linear_model.Ridge(),
        "lasso": linear_model.Lasso(),
        "forest-regressor": ensemble.RandomForestRegressor(20, random_state=0),
        "boosting-regressor": ensemble.GradientBoostingRegressor(n_estimators=30, random_state=0),
        "hist-boosting-regressor": ensemble.HistGradientBoostingRegressor(max_iter=20, random_state=0),
        "tree-regressor": tree.DecisionTreeRegressor(random_state=0),
        "svr": svm.SVR(),
        "neighbours-regressor": neighbors.KNeighborsRegressor(3),
        "mlp-regressor": neural_network.MLPRegressor(hidden_layer_sizes=(20,), max_iter=100, random_state=0),
        "gaussian-process": gaussian_process.GaussianProcessRegressor(),
        "standard-scaler": preprocessing.StandardScaler(),
        "minmax-scaler": preprocessing.MinMaxScaler(),
        "robust-scaler": preprocessing.RobustScaler(),
        "normalizer": preprocessing.Normalizer(),
        "binarizer": preprocessing.Binarizer(),
        "imputer": impute.SimpleImputer(),
        "polynomial": preprocessing.PolynomialFeatures(2),
        "bins": preprocessing.KBinsDiscretizer(4, encode="onehot-dense", quantile_method="averaged_inverted_cdf"),
        "power": preprocessing.PowerTransformer(),
        "kmeans": cluster.KMeans(3, n_init=2, random_state=0),
        "pca": decomposition.PCA(3),
        "svd": decomposition.TruncatedSVD(3, random_state=0),
        "isolation-forest": ensemble.IsolationForest(n_estimators=10, random_state=0),
        "select": feature_selection.SelectKBest(k=3),
    }


def strings(wanted):
    """Name, model, feeds of what takes text and categories."""
    docs = np.array([["the cat sat on the mat"], ["a dog ate the cat"], ["floes drift north"], ["mats and dogs"]], dtype=object)
    text = [("X", StringTensorType([None, 1]))]
    for name, vectorizer in {
        "tfidf": TfidfVectorizer(lowercase=False),
        "counts": CountVectorizer(lowercase=False, ngram_range=(1, 2)),
    }.items():
        if not wanted(name):
            continue
        model = pipeline.make_pipeline(vectorizer, linear_model.LogisticRegression()).fit(docs[:, 0], [0, 1, 0, 1])
        yield name, to_onnx(model, initial_types=text, target_opset=OPSETS), {"X": docs}
    pairs = np.array([["a", "x"], ["b", "y"], ["a", "y"], ["c", "x"]], dtype=object)
    two = [("X", StringTensorType([None, 2]))]
    one_hot = preprocessing.OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(pairs)
    yield "one-hot", to_onnx(one_hot, initial_types=two, target_opset=OPSETS), {"X": pairs}
    ordinal = preprocessing.OrdinalEncoder().fit(pairs)
    yield "ordinal", to_onnx(ordinal, initial_types=two, target_opset=OPSETS), {"X": pairs}
    labels = preprocessing.LabelEncoder().fit(["a", "b", "c"])
    names = np.array(["a", "c", "b"], dtype=object)
    yield "labels", to_onnx(labels, initial_types=[("X", StringTensorType([None]))], target_opset=OPSETS), {"X": names}
    numbers = np.array([[1.5], [2.5], [np.nan], [4.0]], dtype=np.float32)
    kinds = np.array([[0], [1], [0], [2]], dtype=np.int64)
    columns = ColumnTransformer(
        [
            ("n", pipeline.make_pipeline(impute.SimpleImputer(), preprocessing.StandardScaler()), [0]),
            ("k", preprocessing.OneHotEncoder(handle_unknown="ignore"), [1]),
            ("w", preprocessing.OneHotEncoder(handle_unknown="ignore"), [2, 3]),
        ]
    )
    model = pipeline.make_pipeline(columns, linear_model.LogisticRegression())
    table = np.concatenate([numbers.astype(object), kinds.astype(object), pairs], axis=1)
    model.fit(table, [0, 1, 0, 1])
    types = [("n", FloatTensorType([None, 1])), ("k", Int64TensorType([None, 1])), ("w", StringTensorType([None, 2]))]
    yield "columns", to_onnx(model, initial_types=types, target_opset=OPSETS), {"n": numbers, "k": kinds, "w": pairs}


def exports(wanted=lambda name: True):
    """Name, bytes of the model, feeds; only those whose name is wanted are trained."""
    X, y = load_iris(return_X_y=True)
    X, words = X.astype(np.float32), np.array(["setosa", "versicolor", "virginica"])[y]
    for name, estimator in classifiers().items():
        for labels, targets in {"": y, "-words": words, "-binary": (y > 0).astype(int)}.items():
            suffixes = {True: labels + "-zipmap", False: labels}
            if not any(wanted(name + suffix) for suffix in suffixes.values()):
                continue
            estimator.fit(X, targets)
            for zipmap, suffix in suffixes.items():
                if labels and not zipmap or not wanted(name + suffix):
                    continue
                try:
                    model = to_onnx(estimator, X[:1], options={id(estimator): {"zipmap": zipmap}}, target_opset=OPSETS)
                except NameError:
                    # A classifier without probabilities has no ZipMap to switch off.
                    if zipmap:
                        continue
                    model = to_onnx(estimator, X[:1], target_opset=OPSETS)
                yield name + suffix, model.SerializeToString(), {"X": X[::15]}
    D, t = load_diabetes(return_X_y=True)
    D, t = D.astype(np.float32), t.astype(np.float32)
    for name, estimator in others().items():
        if not wanted(name):
            continue
        estimator.fit(D, t)
        yield name, to_onnx(estimator, D[:1], target_opset=OPSETS).SerializeToString(), {"X": D[::40]}
    for name, model, feeds in strings(wanted):
        if wanted(name):
            yield name, model.SerializeToString(), feeds
