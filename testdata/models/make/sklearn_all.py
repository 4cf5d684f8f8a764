"""Fits every estimator of the installed scikit-learn, saves it and asks it for its contract.

usage: python sklearn_all.py FOLDER [NAME-FILTER]

Writes into FOLDER one model per file (pickle protocols 0 to the highest, joblib with its compressors,
skops where it is installed) and `index.json`: a list with one entry of the form of a `truth.json` for
each of them. The truth is what the loaded model answers when its methods are called; nothing in it
comes from floe. Runs under scikit-learn 0.17 (Python 2.7) to 1.9.

What a reader could not know is `null` in the truth, found by trial and not by opinion:
- a width, where a model fitted on more columns is the same byte for byte;
- a dtype, where models fitted on float32 and float64 answer differently and yet hold the same types;
- a dtype, where it changes with that of the input alone.
"""
from __future__ import division, print_function

import io
import json
import os
import pickle
import sys
import warnings

# Scripts beside this one are named after the packages that they use.
sys.path = [p for p in sys.path if os.path.abspath(p or ".") != os.path.dirname(os.path.abspath(__file__))]
warnings.filterwarnings("ignore")
os.environ["PYTHONWARNINGS"] = "ignore"

import numpy as np
import scipy.sparse as sp
import sklearn

try:
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
except ImportError:
    pass
try:
    from sklearn.experimental import enable_halving_search_cv  # noqa: F401
except ImportError:
    pass
try:
    from sklearn.experimental import enable_hist_gradient_boosting  # noqa: F401
except ImportError:
    pass
try:
    from sklearn.utils import all_estimators
except ImportError:
    from sklearn.utils.testing import all_estimators
try:
    import joblib
except ImportError:
    from sklearn.externals import joblib
try:
    import pandas as pd
except ImportError:
    pd = None
try:
    import skops.io as skops_io
except ImportError:
    skops_io = None

VERSION = sklearn.__version__
RELEASE = tuple(int(p) for p in VERSION.split(".")[:2])
METHODS = ["predict", "predict_proba", "decision_function", "transform", "score_samples"]
N = 48

rng = np.random.RandomState(7)


def table(columns):
    """Numbers over zero, so that every estimator takes them, with some structure for the targets."""
    gen = np.random.RandomState(3)
    x = gen.rand(N, columns) * 3
    x[: N // 3] += 2
    x[N // 3 : 2 * N // 3, 0] += 4
    return x


GROUPS = np.repeat([0, 1, 2], N // 3)
NAMES = ["length", "width", "height", "weight", "price", "age", "rooms", "tax"]


def targets():
    three = GROUPS
    two = (GROUPS > 0).astype(int)
    words = np.array(["ash", "birch", "cedar"])
    x = table(5)
    real = x.dot(np.arange(1, 6)) + GROUPS
    classes = {
        "multi": three,
        "binary": two,
        "words": words[three],
        "objects": np.array([str(w) for w in words[three]], dtype=object),
        "truth": two.astype(bool),
        "bytes8": three.astype(np.int8),
        "pair": np.array(["no", "yes"])[two],
        "labels": np.column_stack([two, 1 - two, (np.arange(N) % 2)]),
        "outputs": np.column_stack([three, two]),
        "floats": three.astype(float),
    }
    numbers = {
        "real": real,
        "column": real.reshape(-1, 1),
        "reals": np.column_stack([real, -real, real * 2]),
        "real32": real.astype(np.float32),
        "counts": GROUPS + 1,
    }
    return classes, numbers


CLASSES, NUMBERS = targets()
TEXTS = ["the quick brown fox", "jumps over the lazy dog", "the dog sleeps", "a fox runs"] * (N // 4)
RECORDS = [{"a": 1.0, "b": 2.0}, {"a": 3.0, "c": 1.0}] * (N // 2)


def imp(*names):
    """The first of some dotted names that this version has."""
    for dotted in names:
        module, name = dotted.rsplit(".", 1)
        try:
            return getattr(__import__(module, fromlist=[name]), name)
        except (ImportError, AttributeError):
            continue
    return None


LogisticRegression = imp("sklearn.linear_model.LogisticRegression")
Ridge = imp("sklearn.linear_model.Ridge")
SVC = imp("sklearn.svm.SVC")
GaussianNB = imp("sklearn.naive_bayes.GaussianNB")
DecisionTreeClassifier = imp("sklearn.tree.DecisionTreeClassifier")
DecisionTreeRegressor = imp("sklearn.tree.DecisionTreeRegressor")
RandomForestClassifier = imp("sklearn.ensemble.RandomForestClassifier")
StandardScaler = imp("sklearn.preprocessing.StandardScaler")
MinMaxScaler = imp("sklearn.preprocessing.MinMaxScaler")
PCA = imp("sklearn.decomposition.PCA")
Pipeline = imp("sklearn.pipeline.Pipeline")
FeatureUnion = imp("sklearn.pipeline.FeatureUnion")
GridSearchCV = imp("sklearn.model_selection.GridSearchCV", "sklearn.grid_search.GridSearchCV")
OneHotEncoder = imp("sklearn.preprocessing.OneHotEncoder")
ColumnTransformer = imp("sklearn.compose.ColumnTransformer")
TfidfVectorizer = imp("sklearn.feature_extraction.text.TfidfVectorizer")
CountVectorizer = imp("sklearn.feature_extraction.text.CountVectorizer")
KMeans = imp("sklearn.cluster.KMeans")
SimpleImputer = imp("sklearn.impute.SimpleImputer", "sklearn.preprocessing.Imputer")
RandomForestRegressor = imp("sklearn.ensemble.RandomForestRegressor")
LinearRegression = imp("sklearn.linear_model.LinearRegression")
LinearSVC = imp("sklearn.svm.LinearSVC")
SGDClassifier = imp("sklearn.linear_model.SGDClassifier")
GradientBoostingClassifier = imp("sklearn.ensemble.GradientBoostingClassifier")
PolynomialFeatures = imp("sklearn.preprocessing.PolynomialFeatures")
SelectKBest = imp("sklearn.feature_selection.SelectKBest")


def logistic(**kw):
    return LogisticRegression(**kw)


def two_models(regression):
    if regression:
        return [("ridge", Ridge()), ("tree", DecisionTreeRegressor(max_depth=2))]
    return [("logistic", logistic()), ("tree", DecisionTreeClassifier(max_depth=2))]


# How to make those whose constructors want something, or whose defaults are slow or do not fit the data.
MAKE = {
    "ClassifierChain": lambda c: c(logistic()),
    "RegressorChain": lambda c: c(Ridge()),
    "MultiOutputClassifier": lambda c: c(logistic()),
    "MultiOutputRegressor": lambda c: c(Ridge()),
    "OneVsRestClassifier": lambda c: c(logistic()),
    "OneVsOneClassifier": lambda c: c(logistic()),
    "OutputCodeClassifier": lambda c: c(logistic(), random_state=0),
    "GridSearchCV": lambda c: c(logistic(), {"C": [1.0, 2.0]}, cv=2),
    "RandomizedSearchCV": lambda c: c(logistic(), {"C": [1.0, 2.0]}, n_iter=2, cv=2, random_state=0),
    "HalvingGridSearchCV": lambda c: c(logistic(), {"C": [1.0, 2.0]}, cv=2, min_resources=24),
    "HalvingRandomSearchCV": lambda c: c(logistic(), {"C": [1.0, 2.0]}, cv=2, n_candidates=2, min_resources=24, random_state=0),
    "RFE": lambda c: c(logistic(), n_features_to_select=3),
    "RFECV": lambda c: c(logistic(), cv=2),
    "SelectFromModel": lambda c: c(DecisionTreeClassifier(max_depth=3, random_state=0)),
    "SequentialFeatureSelector": lambda c: c(GaussianNB(), n_features_to_select=2, cv=2),
    "SelfTrainingClassifier": lambda c: c(logistic()),
    "StackingClassifier": lambda c: c(two_models(False), cv=2),
    "StackingRegressor": lambda c: c(two_models(True), cv=2),
    "VotingClassifier": lambda c: c(two_models(False)),
    "VotingRegressor": lambda c: c(two_models(True)),
    "ColumnTransformer": lambda c: c([("scale", StandardScaler(), [0, 1]), ("keep", "passthrough", [2])]),
    "FeatureUnion": lambda c: c([("scale", StandardScaler()), ("pca", PCA(n_components=2))]),
    "Pipeline": lambda c: c([("scale", StandardScaler()), ("model", logistic())]),
    "SparseCoder": lambda c: c(np.eye(5)[:3]),
    "FixedThresholdClassifier": lambda c: c(logistic()),
    "TunedThresholdClassifierCV": lambda c: c(logistic(), cv=2),
    "FrozenEstimator": lambda c: c(logistic()),
    "GaussianRandomProjection": lambda c: c(n_components=3, random_state=0),
    "SparseRandomProjection": lambda c: c(n_components=3, random_state=0),
    "SelectKBest": lambda c: c(k=2),
    "SelectFdr": lambda c: c(alpha=0.9),
    "SelectFpr": lambda c: c(alpha=0.9),
    "SelectFwe": lambda c: c(alpha=0.9),
    "SelectPercentile": lambda c: c(percentile=40),
    "CCA": lambda c: c(n_components=1),
    "PLSCanonical": lambda c: c(n_components=1),
    "PLSSVD": lambda c: c(n_components=1),
    "LocalOutlierFactor": lambda c: c(n_neighbors=5, novelty=True) if RELEASE >= (0, 20) else c(n_neighbors=5),
    "AffinityPropagation": lambda c: c(),
    "RandomTreesEmbedding": lambda c: c(n_estimators=3, max_depth=2, random_state=0),
    "BernoulliRBM": lambda c: c(n_components=4, n_iter=2, random_state=0),
    "TSNE": lambda c: c(perplexity=5.0) if RELEASE >= (1, 0) else c(n_iter=250),
    "HDBSCAN": lambda c: c(min_cluster_size=4),
    "GaussianProcessClassifier": lambda c: c(max_iter_predict=5),
    "LogisticRegressionCV": lambda c: c(Cs=2, cv=2),
    "MLPClassifier": lambda c: c(hidden_layer_sizes=(4,), max_iter=20, random_state=0),
    "MLPRegressor": lambda c: c(hidden_layer_sizes=(4,), max_iter=20, random_state=0),
    "CategoricalNB": lambda c: c(min_categories=8),
    "HashingVectorizer": lambda c: c(n_features=64),
    "FeatureHasher": lambda c: c(n_features=32),
    "TransformedTargetRegressor": lambda c: c(Ridge()),
    "AdditiveChi2Sampler": lambda c: c(),
    "SpectralBiclustering": lambda c: c(n_clusters=2, random_state=0),
    "SpectralCoclustering": lambda c: c(n_clusters=2, random_state=0),
    "RadiusNeighborsClassifier": lambda c: c(radius=100.0),
    "RadiusNeighborsRegressor": lambda c: c(radius=100.0),
    "OrthogonalMatchingPursuitCV": lambda c: c(cv=2),
}


# Those that fit many models each time.
SLOW = {"SequentialFeatureSelector", "RFECV", "HalvingGridSearchCV", "HalvingRandomSearchCV", "RandomizedSearchCV", "TunedThresholdClassifierCV", "StackingClassifier", "LogisticRegressionCV", "GaussianProcessClassifier", "NeighborhoodComponentsAnalysis", "SelfTrainingClassifier", "RFE", "SelectFromModel", "OutputCodeClassifier"}


# What `SKLEARN_ALL=quick` leaves out.
QUICK = {"bytes8", "objects", "truth", "counts", "real32", "float32s", "framesup", "integers", "floats"}


def make(name, cls):
    if name in MAKE:
        return MAKE[name](cls)
    estimator = cls()
    params = estimator.get_params() if hasattr(estimator, "get_params") else {}
    small = {"n_estimators": 3, "max_depth": 3, "random_state": 0, "max_iter": 30 if "HistGradient" not in name else 3, "n_init": 2}
    if "n_components" in params and params["n_components"] is not None and name not in ("GaussianMixture", "BayesianGaussianMixture", "GMM", "VBGMM", "DPGMM"):
        small["n_components"] = 2
    if "n_clusters" in params and isinstance(params["n_clusters"], int):
        small["n_clusters"] = 3
    if name in ("IsotonicRegression",):
        small = {}
    estimator.set_params(**{k: v for k, v in small.items() if k in params and (k != "max_depth" or "Forest" in name or "Tree" in name or "Boosting" in name)})
    return estimator


def frame(x, names=None):
    return pd.DataFrame(x, columns=names or NAMES[: x.shape[1]])


class Case(object):
    """One estimator to fit on one set of data."""

    def __init__(self, name, tag, build, x, y=None, wider=None, narrow=None):
        self.name, self.tag, self.build, self.x, self.y = name, tag, build, x, y
        # The same data with more columns.
        self.wider = wider
        # The same data as floats, which the model may be called with; as other types, from which
        # it may be that nobody can tell the model.
        self.floats, self.others = [] if narrow is None else [narrow], []
        numbers = not sp.issparse(x) and hasattr(x, "shape") and (x.dtype.kind in "fi" if hasattr(x, "dtype") else all(d.kind in "fi" for d in x.dtypes))
        if numbers:
            kind = x.dtype if hasattr(x, "dtype") else x.dtypes.iloc[0]
            self.others = [x.astype(t) for t in (np.float32, np.float64) if kind != t]
            self.floats = self.others if hasattr(x, "dtype") else self.others + [o.values for o in [x] + self.others]

        elif pd is not None and isinstance(x, pd.DataFrame):
            # Of columns of several types, those of floats.
            self.others = [x.astype({c: np.float32 for c in x.columns if x[c].dtype == np.float64})]
            self.floats = self.others

    def fit(self, x):
        np.random.seed(5)
        estimator = self.build()
        # Some of the oldest give nothing back.
        return (estimator.fit(x) if self.y is None else estimator.fit(x, self.y)) or estimator


def cases_of(name, cls):
    """Every set of data that an estimator might take; those that it does not are left out later."""
    build = lambda: make(name, cls)
    x, wide = table(5), table(6)
    kw = {"wider": wide, "narrow": x.astype(np.float32)}
    kind = getattr(cls, "_estimator_type", None)
    try:
        from sklearn.base import is_classifier, is_regressor

        made = build()
        if is_classifier(made):
            kind = "classifier"
        elif is_regressor(made):
            kind = "regressor"
    except Exception:
        pass
    if name in ("CountVectorizer", "TfidfVectorizer", "HashingVectorizer"):
        yield Case(name, "text", build, TEXTS)
        return
    if name in ("DictVectorizer", "FeatureHasher"):
        yield Case(name, "records", build, RECORDS)
        return
    if name in ("LabelEncoder", "LabelBinarizer"):
        for tag in ("multi", "binary", "words", "objects", "truth"):
            yield Case(name, tag, build, CLASSES[tag])
        return
    if name == "MultiLabelBinarizer":
        yield Case(name, "sets", build, [["a", "b"], ["c"]] * (N // 2))
        return
    if name == "IsotonicRegression":
        yield Case(name, "line", build, x[:, 0], NUMBERS["real"])
        if RELEASE >= (0, 24):
            yield Case(name, "real", build, x[:, :1], NUMBERS["real"])
        return
    if name == "SparseCoder":
        yield Case(name, "plain", build, x)
        return
    if name == "KernelCenterer":
        yield Case(name, "kernel", build, x.dot(x.T))
        return
    if name == "CategoricalNB":
        for tag in ("multi", "binary", "words"):
            yield Case(name, tag, build, np.floor(x).astype(int), CLASSES[tag], wider=np.floor(wide).astype(int))
        return
    if name == "FrozenEstimator":
        yield Case(name, "multi", lambda: cls(logistic().fit(x, CLASSES["multi"])), x, CLASSES["multi"])
        return
    if kind == "classifier" or name in ("SelectFromModel", "RFE", "RFECV", "SequentialFeatureSelector", "LinearDiscriminantAnalysis", "LDA", "QDA", "NeighborhoodComponentsAnalysis", "GridSearchCV", "RandomizedSearchCV", "HalvingGridSearchCV", "HalvingRandomSearchCV", "Pipeline", "ClassifierChain", "MultiOutputClassifier"):
        for tag, y in sorted(CLASSES.items()):
            if name not in SLOW or tag in ("multi", "pair", "labels"):
                yield Case(name, tag, build, x, y, **kw)
        yield Case(name, "float32", build, kw["narrow"], CLASSES["multi"])
        if pd is not None:
            yield Case(name, "frame", build, frame(x), CLASSES["multi"], wider=frame(wide))
        return
    if kind == "regressor" or name in ("CCA", "PLSCanonical", "PLSRegression", "PLSSVD", "RegressorChain", "MultiOutputRegressor"):
        for tag, y in sorted(NUMBERS.items()):
            yield Case(name, tag, build, x, y, **kw)
        yield Case(name, "float32", build, kw["narrow"], NUMBERS["real"])
        yield Case(name, "float32s", build, kw["narrow"], NUMBERS["real32"])
        yield Case(name, "float32t", build, kw["narrow"], NUMBERS["reals"].astype(np.float32))
        if pd is not None:
            yield Case(name, "frame", build, frame(x), NUMBERS["real"], wider=frame(wide))
        return
    # Transformers, clusterers, densities: with and without a target.
    yield Case(name, "plain", build, x, None, **kw)
    yield Case(name, "float32", build, kw["narrow"], None, wider=wide.astype(np.float32))
    yield Case(name, "integers", build, np.floor(x).astype(int), None, wider=np.floor(wide).astype(int))
    yield Case(name, "supervised", build, x, CLASSES["multi"], **kw)
    if name == "TargetEncoder":
        yield Case(name, "real", build, x, NUMBERS["real"], **kw)
        yield Case(name, "binary", build, x, CLASSES["binary"], **kw)
        yield Case(name, "words", build, x, CLASSES["words"], **kw)
    if pd is not None:
        yield Case(name, "frame", build, frame(x), None, wider=frame(wide))
        yield Case(name, "framesup", build, frame(x), CLASSES["multi"], wider=frame(wide))


def extras():
    """Parameters and combinations that change a contract."""
    x, wide = table(5), table(6)
    kw = {"wider": wide, "narrow": x.astype(np.float32)}
    multi, binary, words = CLASSES["multi"], CLASSES["binary"], CLASSES["words"]
    real, reals = NUMBERS["real"], NUMBERS["reals"]
    out = []

    def add(name, tag, build, x, y=None, **kw):
        out.append(Case(name, "x_" + tag, build, x, y, **kw))

    add("SVC", "ovo", lambda: SVC(decision_function_shape="ovo"), x, multi, **kw)
    add("SVC", "ovr", lambda: SVC(decision_function_shape="ovr"), x, multi, **kw)
    add("SVC", "ovo_binary", lambda: SVC(decision_function_shape="ovo"), x, binary, **kw)
    add("SVC", "linear", lambda: SVC(kernel="linear"), x, multi, **kw)
    add("SVC", "probability", lambda: SVC(probability=True, random_state=0), x, words, **kw)
    add("SVC", "precomputed", lambda: SVC(kernel="precomputed"), x.dot(x.T), multi)
    for loss in ("hinge", "log", "log_loss", "modified_huber", "perceptron", "squared_error"):
        add("SGDClassifier", loss, lambda loss=loss: SGDClassifier(loss=loss), x, multi, **kw)
        add("SGDClassifier", loss + "_binary", lambda loss=loss: SGDClassifier(loss=loss), x, binary, **kw)
    for solver, choice in (("lbfgs", "multinomial"), ("liblinear", "ovr")):
        try:
            LogisticRegression(solver=solver, multi_class=choice)
        except TypeError:
            continue
        add("LogisticRegression", choice, lambda s=solver, c=choice: LogisticRegression(solver=s, multi_class=c), x, multi, **kw)
        add("LogisticRegression", choice + "2", lambda s=solver, c=choice: LogisticRegression(solver=s, multi_class=c), x, binary, **kw)
    if sp:
        add("LinearRegression", "positive", lambda: LinearRegression(), x, reals, **kw)
        add("LinearRegression", "no_intercept", lambda: LinearRegression(fit_intercept=False), x, NUMBERS["column"], **kw)
        add("LogisticRegression", "sparse", lambda: logistic(), sp.csr_matrix(x), multi)
        add("SVC", "sparse", lambda: SVC(), sp.csr_matrix(x), multi)
    add("PolynomialFeatures", "degree3", lambda: PolynomialFeatures(degree=3), x, **kw)
    add("PolynomialFeatures", "interaction", lambda: PolynomialFeatures(interaction_only=True), x, **kw)
    add("PolynomialFeatures", "no_bias", lambda: PolynomialFeatures(include_bias=False), x, **kw)
    add("KMeans", "four", lambda: KMeans(n_clusters=4, random_state=0, n_init=2), x, **kw)
    add("PCA", "three", lambda: PCA(n_components=3), x, **kw)
    add("PCA", "share", lambda: PCA(n_components=0.8, svd_solver="full"), x, **kw)
    add("PCA", "all", lambda: PCA(), x, **kw)
    add("SelectKBest", "all", lambda: SelectKBest(k="all"), x, multi, **kw)
    gaps = x.copy()
    gaps[::5, 1] = np.nan
    gaps[::7, 3] = np.nan
    add("SimpleImputer", "gaps", lambda: SimpleImputer(), gaps)
    empty = gaps.copy()
    empty[:, 4] = np.nan
    add("SimpleImputer", "empty", lambda: SimpleImputer(), empty)
    if RELEASE >= (0, 21):
        add("SimpleImputer", "indicator", lambda: SimpleImputer(add_indicator=True), gaps)
        add("SimpleImputer", "constant", lambda: SimpleImputer(strategy="constant", fill_value=1.0), empty)
        add("KNNImputer", "indicator", lambda: imp("sklearn.impute.KNNImputer")(add_indicator=True), gaps)
        add("KNNImputer", "empty", lambda: imp("sklearn.impute.KNNImputer")(), empty)
        add("IterativeImputer", "gaps", lambda: imp("sklearn.impute.IterativeImputer")(max_iter=2), gaps)
        add("IterativeImputer", "empty", lambda: imp("sklearn.impute.IterativeImputer")(max_iter=2), empty)
        add("IterativeImputer", "indicator", lambda: imp("sklearn.impute.IterativeImputer")(max_iter=2, add_indicator=True), gaps)
        add("MissingIndicator", "gaps", lambda: imp("sklearn.impute.MissingIndicator")(), gaps)
        add("MissingIndicator", "all", lambda: imp("sklearn.impute.MissingIndicator")(features="all"), gaps)
    if RELEASE >= (1, 2):
        add("SimpleImputer", "keep_empty", lambda: SimpleImputer(keep_empty_features=True), empty)
    words3 = np.array([["a", "x", "1"], ["b", "y", "2"], ["c", "x", "1"]] * (N // 3), dtype=object)
    few = np.floor(x[:, :3]).astype(int)
    add("OneHotEncoder", "integers", lambda: OneHotEncoder(), few)
    if RELEASE >= (0, 20):
        add("OneHotEncoder", "words", lambda: OneHotEncoder(), words3, wider=words3[:, :2])
        add("OrdinalEncoder", "words", lambda: imp("sklearn.preprocessing.OrdinalEncoder")(), words3, wider=words3[:, :2])
        add("OrdinalEncoder", "float32", lambda: imp("sklearn.preprocessing.OrdinalEncoder")(dtype=np.float32), words3)
        KBins = imp("sklearn.preprocessing.KBinsDiscretizer")
        for encode in ("onehot", "onehot-dense", "ordinal"):
            add("KBinsDiscretizer", encode, lambda e=encode: KBins(n_bins=3, encode=e, strategy="uniform"), x, **kw)
        add("CountVectorizer", "binary32", lambda: CountVectorizer(binary=True, dtype=np.float32), TEXTS)
        add("TfidfVectorizer", "float32", lambda: TfidfVectorizer(dtype=np.float32), TEXTS)
    if RELEASE >= (0, 21):
        add("OneHotEncoder", "drop", lambda: OneHotEncoder(drop="first"), words3)
    if RELEASE >= (0, 23):
        add("OneHotEncoder", "drop_binary", lambda: OneHotEncoder(drop="if_binary"), words3)
    if RELEASE >= (1, 2):
        add("OneHotEncoder", "rare", lambda: OneHotEncoder(max_categories=2), words3)
        add("OneHotEncoder", "rare_drop", lambda: OneHotEncoder(min_frequency=20, drop="first"), words3)
        add("OneHotEncoder", "dense", lambda: OneHotEncoder(sparse_output=False, dtype=np.float32), words3)
        add("StandardScaler", "pandas", lambda: StandardScaler().set_output(transform="pandas"), frame(x) if pd is not None else x)
        Spline = imp("sklearn.preprocessing.SplineTransformer")
        add("SplineTransformer", "no_bias", lambda: Spline(include_bias=False, n_knots=4), x, **kw)
        add("SplineTransformer", "linear", lambda: Spline(degree=1, extrapolation="linear"), x, **kw)
        add("SplineTransformer", "periodic", lambda: Spline(extrapolation="periodic"), x, **kw)
        if RELEASE >= (1, 5):
            add("KBinsDiscretizer", "float32", lambda: imp("sklearn.preprocessing.KBinsDiscretizer")(n_bins=3, encode="ordinal", dtype=np.float32), x, **kw)
    add("MinMaxScaler", "clip", lambda: MinMaxScaler(feature_range=(0, 2)), x, **kw)
    add("Pipeline", "text", lambda: Pipeline([("words", TfidfVectorizer()), ("model", logistic())]), TEXTS, [0, 1, 1, 0] * (N // 4))
    add("Pipeline", "text_words", lambda: Pipeline([("words", CountVectorizer()), ("model", imp("sklearn.naive_bayes.MultinomialNB")())]), TEXTS, ["x", "y", "z", "x"] * (N // 4))
    add("Pipeline", "forest", lambda: Pipeline([("fill", SimpleImputer()), ("scale", StandardScaler()), ("model", RandomForestClassifier(n_estimators=3, random_state=0))]), gaps, words)
    add("Pipeline", "none", lambda: Pipeline([("scale", None if RELEASE < (0, 21) else "passthrough"), ("model", Ridge())]), x, real, **kw)
    add("Pipeline", "transformer", lambda: Pipeline([("scale", StandardScaler()), ("pca", PCA(n_components=2))]), x, **kw)
    add("Pipeline", "search", lambda: Pipeline([("scale", StandardScaler()), ("search", GridSearchCV(SVC(), {"C": [1.0, 2.0]}, cv=2))]), x, multi, **kw)
    add("GridSearchCV", "pipeline", lambda: GridSearchCV(Pipeline([("scale", StandardScaler()), ("svc", SVC())]), {"svc__C": [1.0, 2.0]}, cv=2), x, multi, **kw)
    add("GridSearchCV", "ridge", lambda: GridSearchCV(Ridge(), {"alpha": [1.0, 2.0]}, cv=2), x, reals, **kw)
    add("GridSearchCV", "kmeans", lambda: GridSearchCV(KMeans(n_clusters=2, n_init=1), {"n_clusters": [2, 3]}, cv=2), x, **kw)
    add("GridSearchCV", "text", lambda: GridSearchCV(Pipeline([("words", CountVectorizer()), ("model", logistic())]), {"model__C": [1.0, 2.0]}, cv=2), TEXTS, [0, 1, 1, 0] * (N // 4))
    add("FeatureUnion", "drop", lambda: FeatureUnion([("scale", StandardScaler()), ("poly", PolynomialFeatures(2)), ("best", SelectKBest(k=1))]), x, multi, **kw)
    add("Pipeline", "union", lambda: Pipeline([("u", FeatureUnion([("scale", StandardScaler()), ("pca", PCA(n_components=2))])), ("m", LinearSVC())]), x, multi, **kw)
    OneVsRest, OneVsOne = imp("sklearn.multiclass.OneVsRestClassifier"), imp("sklearn.multiclass.OneVsOneClassifier")
    add("OneVsRestClassifier", "svc", lambda: OneVsRest(SVC()), x, multi, **kw)
    add("OneVsRestClassifier", "svc_labels", lambda: OneVsRest(LinearSVC()), x, CLASSES["labels"], **kw)
    add("OneVsRestClassifier", "nb", lambda: OneVsRest(GaussianNB()), x, words, **kw)
    add("OneVsOneClassifier", "svc", lambda: OneVsOne(LinearSVC()), x, words, **kw)
    Bagging, BaggingR = imp("sklearn.ensemble.BaggingClassifier"), imp("sklearn.ensemble.BaggingRegressor")
    Ada = imp("sklearn.ensemble.AdaBoostClassifier")
    add("BaggingClassifier", "svc", lambda: Bagging(SVC(), n_estimators=2, random_state=0), x, multi, **kw)
    add("BaggingClassifier", "logistic", lambda: Bagging(logistic(), n_estimators=2, random_state=0), x, words, **kw)
    add("BaggingClassifier", "half", lambda: Bagging(n_estimators=2, max_features=0.5, random_state=0), x, words, **kw)
    add("BaggingRegressor", "svr", lambda: BaggingR(imp("sklearn.svm.SVR")(), n_estimators=2, random_state=0), x, real, **kw)
    if RELEASE < (1, 5):
        add("AdaBoostClassifier", "samme", lambda: Ada(algorithm="SAMME", n_estimators=3), x, multi, **kw)
    add("GradientBoostingClassifier", "init", lambda: GradientBoostingClassifier(n_estimators=2), x, words, **kw)
    Voting = imp("sklearn.ensemble.VotingClassifier")
    add("VotingClassifier", "soft", lambda: Voting(two_models(False), voting="soft"), x, words, **kw)
    add("VotingClassifier", "soft_flat", lambda: Voting(two_models(False), voting="soft"), x, binary, **kw)
    if RELEASE >= (0, 20):
        add("VotingClassifier", "no_flat", lambda: Voting(two_models(False), voting="soft", flatten_transform=False), x, binary, **kw)
    Calibrated = imp("sklearn.calibration.CalibratedClassifierCV")
    add("CalibratedClassifierCV", "svc", lambda: Calibrated(LinearSVC(), cv=2), x, words, **kw)
    if RELEASE >= (0, 22):
        Stack, StackR = imp("sklearn.ensemble.StackingClassifier"), imp("sklearn.ensemble.StackingRegressor")
        add("StackingClassifier", "svc", lambda: Stack(two_models(False), final_estimator=SVC(), cv=2), x, words, **kw)
        add("StackingClassifier", "pass", lambda: Stack(two_models(False), passthrough=True, cv=2), x, multi, **kw)
        add("StackingRegressor", "pass", lambda: StackR(two_models(True), passthrough=True, cv=2), x, real, **kw)
    if RELEASE >= (0, 20):
        Target = imp("sklearn.compose.TransformedTargetRegressor")
        add("TransformedTargetRegressor", "log", lambda: Target(Ridge(), func=np.log1p, inverse_func=np.expm1), x, np.abs(real), **kw)
        add("TransformedTargetRegressor", "scaler", lambda: Target(Ridge(), transformer=StandardScaler()), x, real, **kw)
        add("ColumnTransformer", "remainder", lambda: ColumnTransformer([("scale", StandardScaler(), [0, 1]), ("pca", PCA(n_components=1), [2, 3])], remainder="passthrough"), x)
        add("ColumnTransformer", "slice", lambda: ColumnTransformer([("scale", StandardScaler(), slice(0, 3)), ("gone", "drop", [4])]), x)
    Function = imp("sklearn.preprocessing.FunctionTransformer")
    add("FunctionTransformer", "log", lambda: Function(np.log1p), x)
    add("Pipeline", "function", lambda: Pipeline([("f", Function(np.log1p)), ("m", Ridge())]), x, real, **kw)
    Random = imp("sklearn.ensemble.RandomTreesEmbedding")
    Neighbors = imp("sklearn.neighbors.KNeighborsClassifier")
    add("KNeighborsClassifier", "words_brute", lambda: Neighbors(3, algorithm="brute"), x, words, **kw)
    add("KNeighborsClassifier", "tree", lambda: Neighbors(3, algorithm="kd_tree"), x, words, **kw)
    add("RandomForestRegressor", "reals", lambda: RandomForestRegressor(n_estimators=2), x, reals, **kw)
    Dummy, DummyR = imp("sklearn.dummy.DummyClassifier"), imp("sklearn.dummy.DummyRegressor")
    add("DummyClassifier", "frequent", lambda: Dummy(strategy="most_frequent"), x, words, **kw)
    Ridge2 = imp("sklearn.linear_model.RidgeClassifier")
    add("RidgeClassifier", "pair", lambda: Ridge2(), x, CLASSES["pair"], **kw)
    Gmm = imp("sklearn.mixture.GaussianMixture")
    if Gmm:
        for kind in ("full", "tied", "diag", "spherical"):
            add("GaussianMixture", kind, lambda k=kind: Gmm(n_components=2, covariance_type=k), x, **kw)
    if pd is not None and RELEASE >= (0, 20):
        mixed = frame(x)
        mixed["city"] = ["Oslo", "Rome", "Bonn"] * (N // 3)
        mixed["plan"] = ["s", "m", "l", "m"] * (N // 4)

        def columns(**kw):
            return ColumnTransformer([("numbers", StandardScaler(), ["length", "price"]), ("words", OneHotEncoder(handle_unknown="ignore"), ["city", "plan"])], **kw)

        add("ColumnTransformer", "frame", lambda: columns(), mixed)
        add("ColumnTransformer", "frame_rest", lambda: columns(remainder=SimpleImputer()), mixed)
        add("Pipeline", "frame", lambda: Pipeline([("columns", columns()), ("model", logistic())]), mixed, words)
        add("GridSearchCV", "frame", lambda: GridSearchCV(Pipeline([("columns", columns()), ("model", RandomForestClassifier(n_estimators=3))]), {"model__max_depth": [2, 3]}, cv=2), mixed, words)
        add("Pipeline", "frame_text", lambda: Pipeline([("columns", ColumnTransformer([("t", TfidfVectorizer(), "city"), ("n", StandardScaler(), ["age"] if "age" in mixed else ["price"])])), ("model", Ridge())]), mixed, real)
        nested = lambda: ColumnTransformer([("numbers", Pipeline([("fill", SimpleImputer()), ("scale", StandardScaler())]), ["length", "price"]), ("words", Pipeline([("fill", SimpleImputer(strategy="constant", fill_value="?")), ("hot", OneHotEncoder())]), ["city"])])
        add("Pipeline", "frame_nested", lambda: Pipeline([("columns", nested()), ("model", RandomForestRegressor(n_estimators=2))]), mixed, real)
        if RELEASE >= (1, 2):
            add("ColumnTransformer", "pandas", lambda: columns(sparse_threshold=0).set_output(transform="pandas") if False else ColumnTransformer([("n", StandardScaler(), ["length", "price"])], remainder="passthrough").set_output(transform="pandas"), mixed)
            add("Pipeline", "selector", lambda: Pipeline([("c", imp("sklearn.compose.make_column_transformer")((StandardScaler(), imp("sklearn.compose.make_column_selector")(dtype_include=np.number)))), ("m", Ridge())]), mixed, real)
    return out


def kind_of(dtype, values=None):
    """The name of a dtype; arrays of objects that are all texts count as texts."""
    if dtype.kind in "US":
        return "string"
    if dtype.kind == "O":
        flat = list(values.ravel()[:200]) if values is not None else []
        if flat and all(isinstance(v, ("".__class__, u"".__class__, bytes)) for v in flat):
            return "string"
        return "object"
    return dtype.name


def describe(value, rows):
    """Type and shape of one answer, with `None` where a dimension is the batch."""
    columns = None
    if pd is not None and isinstance(value, pd.DataFrame):
        columns = [str(c) for c in value.columns]
        value = value.values
    if pd is not None and isinstance(value, pd.Series):
        value = value.values
    if type(value).__module__.startswith("polars"):
        columns = list(value.columns)
        value = value.to_numpy()
    sparse = sp.issparse(value)
    dtype = kind_of(value.dtype, None if sparse else value)
    return {"dtype": dtype, "shape": list(value.shape), "sparse": sparse, "columns": columns}


def take(x, n):
    if isinstance(x, list):
        return x[:n]
    if pd is not None and isinstance(x, (pd.DataFrame, pd.Series)):
        return x.iloc[:n]
    return x[:n]


def ask(estimator, method, x):
    """What a method gives: for each array its type and shape, the batch as `None`; `None` where it cannot be called."""
    found = []
    for rows in (N - 1, N - 6):
        part = take(x, rows)
        try:
            value = getattr(estimator, method)(part)
        except Exception:
            return None
        values = value if isinstance(value, (list, tuple)) else [value]
        if not values or not all(hasattr(v, "shape") and (hasattr(v, "dtype") or hasattr(v, "dtypes")) for v in values):
            return None
        found.append([describe(v, rows) for v in values])
    first, second = found
    if len(first) != len(second):
        return None
    for a, b in zip(first, second):
        if len(a["shape"]) != len(b["shape"]):
            return None
        a["shape"] = [p if p == q else None for p, q in zip(a["shape"], b["shape"])]
        if not a["shape"] or a["shape"][0] is not None:
            return None
    many = isinstance(value, (list, tuple))
    for k, a in enumerate(first):
        a["name"] = "%s_%d" % (method, k) if many else method
    return first


def selects(estimator):
    """Until 0.18 predictors had a `transform` to select features, which was deprecated."""
    if RELEASE >= (0, 19):
        return False
    while hasattr(estimator, "steps") or hasattr(estimator, "best_estimator_"):
        estimator = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator.best_estimator_
    return any(c.__name__ == "_LearntSelectorMixin" for c in type(estimator).__mro__) and type(estimator).__name__ not in ("SelectFromModel", "RandomTreesEmbedding")


def answers(estimator, x):
    out = {}
    for method in METHODS:
        if method == "transform" and selects(estimator):
            continue
        if hasattr(estimator, method):
            got = ask(estimator, method, x)
            if got is not None:
                out[method] = got
    return out


def skeleton(value, depth=0, seen=None):
    """The types in an object's state, without its numbers: what tells float32 from float64."""
    seen = seen if seen is not None else set()
    if id(value) in seen or depth > 8:
        return "."
    if isinstance(value, np.ndarray):
        return "a" + value.dtype.str + str(value.ndim)
    if isinstance(value, np.generic):
        return "s" + value.dtype.str
    if sp.issparse(value):
        return "m" + value.dtype.str
    if isinstance(value, dict):
        return "{" + ",".join("%s:%s" % (k, skeleton(v, depth + 1, seen)) for k, v in sorted(value.items(), key=lambda kv: str(kv[0]))[:100]) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(skeleton(v, depth + 1, seen) for v in value[:20]) + "]"
    if hasattr(value, "__dict__") and not isinstance(value, type):
        seen = seen | {id(value)}
        return type(value).__name__ + skeleton(dict(vars(value)), depth + 1, seen)
    return type(value).__name__


def same_bytes(a, b):
    try:
        return pickle.dumps(a, 2) == pickle.dumps(b, 2)
    except Exception:
        return False


def width(x):
    """The shape of an input without the batch, and its type where it is text."""
    if isinstance(x, list):
        return ([None], "string" if isinstance(x[0], "".__class__) else "object")
    shape = [None] + list(x.shape[1:])
    if pd is not None and isinstance(x, pd.DataFrame):
        return shape, None
    return shape, kind_of(x.dtype, x if not sp.issparse(x) else None) if x.dtype.kind in "OUS" else None


def truth_of(case, estimator):
    got = answers(estimator, case.x)
    shape, dtype = width(case.x)
    # A width that leaves no trace in the model is not known.
    if getattr(estimator, "n_features_in_", None) is not None:
        pass
    elif case.wider is not None:
        try:
            other = case.fit(case.wider)
            if same_bytes(estimator, other):
                shape = [None, None]
                wide = answers(other, case.wider)
                for method, outputs in got.items():
                    for a, b in zip(outputs, wide.get(method) or []):
                        a["shape"] = [p if p == q else None for p, q in zip(a["shape"], b["shape"])]
        except Exception:
            pass
    elif case.name != "SparseCoder" and len(shape) == 2 and same_bytes(estimator, case.build()):
        shape = [None, None]
        for outputs in got.values():
            for a in outputs:
                a["shape"] = [None] * len(a["shape"]) if case.name in ("FunctionTransformer",) else a["shape"]
    # A dtype that follows the input's alone is not known.
    replies = []
    for another in case.floats:
        replies.append(answers(estimator, another))
    for another in case.others:
        try:
            other = case.fit(another)
        except Exception:
            continue
        if skeleton(other) == skeleton(estimator):
            replies.append(answers(other, another))
    for method, outputs in got.items():
        for k, a in enumerate(outputs):
            for reply in replies:
                b = (reply.get(method) or [])[k : k + 1]
                if b and b[0]["dtype"] != a["dtype"]:
                    a["dtype"] = None
    columns = None
    if pd is not None and isinstance(case.x, pd.DataFrame) and hasattr(estimator, "feature_names_in_"):
        columns = [{"name": str(c), "dtype": None} for c in estimator.feature_names_in_]
    signatures = []
    for method in METHODS:
        if method not in got:
            continue
        one = {"name": "X", "dtype": dtype, "shape": shape}
        if columns:
            one["columns"] = columns
        outputs = []
        for a in got[method]:
            o = {"name": a["name"], "dtype": a["dtype"], "shape": a["shape"]}
            if a["sparse"]:
                o["encoding"] = "sparse"
            if a["columns"]:
                o["columns"] = [{"name": c, "dtype": None} for c in a["columns"]]
            outputs.append(o)
        signatures.append({"name": method, "inputs": [one], "outputs": outputs})
    return signatures


def qualified(estimator):
    return "%s.%s" % (type(estimator).__module__, type(estimator).__name__)


def save(estimator, folder, stem, number=0, form=None):
    """Saves in a form, or in all forms by turns, so that they meet all kinds of estimators."""
    forms = ["pickle%d" % p for p in range(pickle.HIGHEST_PROTOCOL + 1)]
    # Before 0.10 joblib wrote arrays into files beside the model.
    if RELEASE < (0, 18):
        forms += ["joblib", "joblib:old"]
    else:
        forms += ["joblib", "joblib:zlib", "joblib:gzip", "joblib:bz2"]
    if sys.version_info[0] > 2 and RELEASE >= (0, 18):
        forms += ["joblib:lzma", "joblib:xz"]
    if RELEASE >= (0, 24):
        try:
            import lz4.frame  # noqa: F401

            forms.append("joblib:lz4")
        except ImportError:
            pass
    if skops_io is not None:
        forms += ["skops", "skops:deflate"]
    form = form or forms[number % len(forms)]
    if form.startswith("pickle"):
        path = stem + ".pkl"
        with open(os.path.join(folder, path), "wb") as f:
            pickle.dump(estimator, f, int(form[6:]))
    elif RELEASE < (0, 18):
        path = stem
        os.makedirs(os.path.join(folder, path))
        joblib.dump(estimator, os.path.join(folder, path, "model.pkl"), compress=3 if ":" in form else 0)
    elif form.startswith("joblib"):
        path = stem + ".joblib"
        method = form.partition(":")[2]
        joblib.dump(estimator, os.path.join(folder, path), compress=(method, 3) if method else 0)
    else:
        import zipfile

        path = stem + ".skops"
        try:
            kw = {"compression": zipfile.ZIP_DEFLATED} if form.endswith("deflate") else {}
            skops_io.dump(estimator, os.path.join(folder, path), **kw)
        except Exception:
            return save(estimator, folder, stem, 2)
    return path, form


def plain(value):
    """A number of numpy's for JSON."""
    return value.item() if hasattr(value, "item") else str(value)


def entry(case, estimator, name, path, form):
    """The truth of one model."""
    facts = {"estimator": qualified(estimator)}
    classes = getattr(estimator, "classes_", None)
    if isinstance(classes, np.ndarray) and classes.ndim == 1:
        facts["classes"] = classes.tolist()
    return {
        "id": name,
        "format": "sklearn",
        "framework": "scikit-learn",
        # Models hold it since 0.18.
        "framework_version": VERSION if RELEASE >= (0, 18) else "unknown",
        "path": path,
        "expect": "ok",
        "signatures": truth_of(case, estimator),
        "determinable": {
            "format": "stored",
            "signatures": "derived",
            "inputs.name": "no",
            "inputs.dtype": "partial",
            "inputs.shape": "derived",
            "outputs.name": "no",
            "outputs.dtype": "derived",
            "outputs.shape": "derived",
            "tensors": "n/a",
        },
        "serialization": form,
        "facts": facts,
    }


def main():
    want = sys.argv[2] if len(sys.argv) > 2 else ""
    cases, unfit = [], []
    try:
        found = all_estimators(include_meta_estimators=True, include_other=True)
    except TypeError:
        found = all_estimators()
    for name, cls in sorted(found, key=lambda f: f[0]):
        # The oldest list their private classes too, and the next ones two of a name.
        if want and want not in name or name.startswith("_") or RELEASE >= (0, 18) and cls.__module__ == "sklearn.grid_search":
            continue
        try:
            cases += list(cases_of(name, cls))
        except Exception as e:
            unfit.append((name, "-", repr(e)[:100]))
    cases += [c for c in extras() if not want or want in c.name]
    write(sys.argv[1], cases, unfit)


def write(folder, cases, unfit):
    """Fits the cases, saves the models, and writes the list of them."""
    if not os.path.isdir(folder):
        os.makedirs(folder)
    index = []
    if os.environ.get("SKLEARN_ALL") == "quick":
        cases = [c for c in cases if c.tag not in QUICK]
    # `1/3`: every third case, from the second on.
    first, _, step = os.environ.get("SKLEARN_PART", "0/1").partition("/")
    cases = cases[int(first) :: int(step)]
    fitted = set()
    for number, case in enumerate(cases):
        try:
            estimator = case.fit(case.x)
        except Exception as e:
            unfit.append((case.name, case.tag, repr(e)[:100]))
            continue
        stem = "%s__%s" % (case.name, case.tag)
        try:
            path, form = save(estimator, folder, stem, number)
        except Exception as e:
            unfit.append((case.name, case.tag, "save " + repr(e)[:100]))
            continue
        fitted.add(case.name)
        index.append(entry(case, estimator, stem, path, form))
    with io.open(os.path.join(folder, "index.json"), "w", encoding="utf-8") as f:
        f.write(u"%s" % json.dumps(index, indent=1, default=plain))
    never = sorted(set(n for n, _, _ in unfit) - fitted)
    print("scikit-learn %s: %d models of %d estimators; never fitted: %s" % (VERSION, len(index), len(fitted), ", ".join(never)))
    if os.environ.get("SK_WHY"):
        for line in unfit:
            if line[0] in never:
                print("  ", line)


if __name__ == "__main__":
    main()
