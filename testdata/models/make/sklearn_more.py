"""Fits what people build of scikit-learn's estimators: pipelines, column transformers, searches, ensembles.

usage: python sklearn_more.py FOLDER [NAME-FILTER]

It writes what `sklearn_all.py` writes, of combinations and parameters that are not in its list. A
case that a version does not know is left out. It ran under scikit-learn 0.17.1 and 0.18.2 (Python
2.7), 0.19.2 and 0.20.4 (3.6), 0.21.3 and 0.22.2 (3.7), 0.23.2 and 0.24.2 (3.8), 1.0.2, 1.1.3 and
1.2.2 (3.9), 1.3.2 and 1.4.2 (3.10), 1.5.2 and 1.6.1 (3.11), 1.7.2 and 1.9.1 (3.12), 1.8.0 (3.13).
"""
from __future__ import print_function

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path = [p for p in sys.path if os.path.abspath(p or ".") != HERE]
import numpy as np  # noqa: E402
import scipy.sparse as sp  # noqa: E402
import sklearn  # noqa: E402,F401

sys.path.append(HERE)
import sklearn_all as every  # noqa: E402
from sklearn_all import CLASSES, N, NUMBERS, RECORDS, RELEASE, TEXTS, Case, frame, imp, pd, table  # noqa: E402


class Place(object):
    """scikit-learn's classes by their short names; what this version lacks fails when it is made."""

    WHERE = [
        "linear_model", "svm", "naive_bayes", "tree", "ensemble", "preprocessing", "decomposition", "pipeline",
        "model_selection", "grid_search", "compose", "feature_extraction.text", "feature_extraction", "cluster",
        "impute", "feature_selection", "neighbors", "multiclass", "multioutput", "calibration", "mixture", "dummy",
        "discriminant_analysis", "neural_network", "gaussian_process", "kernel_approximation", "random_projection",
        "cross_decomposition", "isotonic", "semi_supervised", "covariance", "kernel_ridge", "manifold", "frozen",
    ]

    def __getattr__(self, name):
        found = imp(*["sklearn.%s.%s" % (where, name) for where in self.WHERE])
        if found is None:
            raise AttributeError(name)
        return found


sk = Place()
X, WIDE = table(5), table(6)
KW = {"wider": WIDE, "narrow": X.astype(np.float32)}
MULTI, BINARY, WORDS, PAIR = (CLASSES[k] for k in ("multi", "binary", "words", "pair"))
LABELS, OUTPUTS = CLASSES["labels"], CLASSES["outputs"]
WORDS2 = np.column_stack([WORDS, PAIR])
REAL, REALS, COLUMN = (NUMBERS[k] for k in ("real", "reals", "column"))
ANSWERS = ["x", "y", "z", "x"] * (N // 4)
THINGS = np.array([["a", "x", "1"], ["b", "y", "2"], ["c", "x", "1"], ["a", "y", "2"]] * (N // 4), dtype=object)


def forest(**kw):
    return sk.RandomForestClassifier(n_estimators=2, max_depth=3, random_state=0, **kw)


def forest_r(**kw):
    return sk.RandomForestRegressor(n_estimators=2, max_depth=3, random_state=0, **kw)


def pipe(*steps):
    return sk.Pipeline([("s%d" % k, step) for k, step in enumerate(steps)])


def scaled(last):
    return pipe(sk.StandardScaler(), last)


PASS = None if RELEASE < (0, 21) else "passthrough"


def table_cases(add):
    """Of numbers, with classes or targets."""
    for tag, y in (("multi", MULTI), ("words", WORDS), ("pair", PAIR), ("truth", CLASSES["truth"]), ("floats", CLASSES["floats"]), ("list", [str(w) for w in WORDS]), ("uint8", MULTI.astype(np.uint8))):
        for name, make in (
            ("LogisticRegression", lambda: sk.LogisticRegression()), ("SVC", lambda: sk.SVC()), ("RandomForestClassifier", forest),
            ("KNeighborsClassifier", lambda: sk.KNeighborsClassifier(3)), ("MLPClassifier", lambda: sk.MLPClassifier((3,), max_iter=5)),
            ("RidgeClassifier", lambda: sk.RidgeClassifier()), ("GradientBoostingClassifier", lambda: sk.GradientBoostingClassifier(n_estimators=2)),
            ("SGDClassifier", lambda: sk.SGDClassifier()), ("LinearSVC", lambda: sk.LinearSVC()),
        ):
            add("Pipeline", "%s_%s" % (name, tag), lambda m=make: scaled(m()), X, y, **KW)
    for tag, make in (
        ("isolation", lambda: sk.IsolationForest(n_estimators=2)), ("oneclass", lambda: sk.OneClassSVM()), ("elliptic", lambda: sk.EllipticEnvelope()),
        ("lof", lambda: sk.LocalOutlierFactor(5, novelty=True)), ("kmeans", lambda: sk.KMeans(2, n_init=1)), ("gmm", lambda: sk.GaussianMixture(2)),
        ("minibatch", lambda: sk.MiniBatchKMeans(2, n_init=1)), ("birch", lambda: sk.Birch(n_clusters=2)), ("dbscan", lambda: sk.DBSCAN()), ("agglomerative", lambda: sk.AgglomerativeClustering(2)),
        ("nmf", lambda: pipe(sk.MinMaxScaler(), sk.NMF(2))), ("lda_topics", lambda: pipe(sk.MinMaxScaler(), sk.LatentDirichletAllocation(2, max_iter=2))), ("svd", lambda: sk.TruncatedSVD(2)),
        ("fastica", lambda: sk.FastICA(2)), ("quantiles", lambda: sk.QuantileTransformer(n_quantiles=10)), ("power", lambda: sk.PowerTransformer()), ("density", lambda: sk.KernelDensity()),
        ("neighbors", lambda: sk.NearestNeighbors(n_neighbors=2)), ("tsne", lambda: sk.TSNE()), ("poly_scaler", lambda: pipe(sk.PolynomialFeatures(2), sk.StandardScaler())),
        ("bins", lambda: sk.KBinsDiscretizer(3, encode="onehot-dense")), ("nystroem", lambda: sk.Nystroem(n_components=4)), ("rbf", lambda: sk.RBFSampler(n_components=7)),
        ("kernel_pca", lambda: sk.KernelPCA(2, kernel="rbf")), ("normal", lambda: sk.Normalizer()), ("binary", lambda: sk.Binarizer()), ("isomap", lambda: sk.Isomap(n_components=2)), ("variance", lambda: sk.VarianceThreshold(0.01)),
    ):
        add("Pipeline", "t_" + tag, lambda m=make: scaled(m()), X, **KW)
        add("Bare", tag, make, X, **KW)
    for tag, make in (
        ("ridge", lambda: sk.Ridge()), ("lasso", lambda: sk.Lasso(0.1)), ("svr", lambda: sk.SVR()), ("forest", forest_r), ("knn", lambda: sk.KNeighborsRegressor(3)),
        ("mlp", lambda: sk.MLPRegressor((3,), max_iter=5)), ("gbr", lambda: sk.GradientBoostingRegressor(n_estimators=2)), ("gp", lambda: sk.GaussianProcessRegressor()), ("pls", lambda: sk.PLSRegression(1)),
        ("huber", lambda: sk.HuberRegressor()), ("ransac", lambda: sk.RANSACRegressor(random_state=0)), ("theil", lambda: sk.TheilSenRegressor(max_subpopulation=50)), ("krr", lambda: sk.KernelRidge()),
        ("dummy", lambda: sk.DummyRegressor()), ("median", lambda: sk.DummyRegressor(strategy="median")), ("ada", lambda: sk.AdaBoostRegressor(n_estimators=2)), ("bag", lambda: sk.BaggingRegressor(n_estimators=2)),
        ("ridgecv", lambda: sk.RidgeCV()), ("linear", lambda: sk.LinearRegression()), ("sgd", lambda: sk.SGDRegressor()), ("linear_svr", lambda: sk.LinearSVR()), ("tree", lambda: sk.DecisionTreeRegressor(max_depth=2)),
        ("elastic", lambda: sk.MultiTaskElasticNet()), ("hist", lambda: sk.HistGradientBoostingRegressor(max_iter=2)), ("tweedie", lambda: sk.TweedieRegressor()), ("quantile", lambda: sk.QuantileRegressor()),
    ):
        for kind, y in (("real", REAL), ("reals", REALS), ("column", COLUMN)):
            add("Pipeline", "r_%s_%s" % (tag, kind), lambda m=make: scaled(m()), X, y, **KW)
            if kind != "column":
                add("GridSearchCV", "r_%s_%s" % (tag, kind), lambda m=make: sk.GridSearchCV(scaled(m()), {"s0__with_mean": [True, False]}, cv=2), X, y, **KW)
                add("TransformedTargetRegressor", "r_%s_%s" % (tag, kind), lambda m=make: sk.TransformedTargetRegressor(m(), transformer=sk.StandardScaler()), X, y, **KW)
    searches(add)
    ensembles(add)
    selections(add)


def searches(add):
    logistic, grid = lambda: sk.LogisticRegression(), {"C": [1.0, 2.0]}
    add("GridSearchCV", "no_refit", lambda: sk.GridSearchCV(logistic(), grid, cv=2, refit=False), X, MULTI)
    add("GridSearchCV", "refit_named", lambda: sk.GridSearchCV(logistic(), grid, cv=2, scoring=["accuracy", "f1_macro"], refit="accuracy"), X, WORDS, **KW)
    add("GridSearchCV", "steps", lambda: sk.GridSearchCV(scaled(sk.SVC()), {"s0": [sk.MinMaxScaler(), PASS], "s1": [sk.SVC(), forest()]}, cv=2), X, WORDS, **KW)
    add("GridSearchCV", "forest", lambda: sk.GridSearchCV(forest(), {"max_depth": [1, 2]}, cv=2), X, OUTPUTS, **KW)
    add("GridSearchCV", "nested", lambda: sk.GridSearchCV(sk.GridSearchCV(logistic(), grid, cv=2), {"cv": [2, 3]}, cv=2), X, PAIR, **KW)
    add("RandomizedSearchCV", "pipeline", lambda: sk.RandomizedSearchCV(scaled(logistic()), {"s1__C": [1.0, 2.0]}, n_iter=2, cv=2), X, WORDS, **KW)
    add("RandomizedSearchCV", "no_refit", lambda: sk.RandomizedSearchCV(logistic(), grid, n_iter=2, cv=2, refit=False), X, MULTI)
    add("HalvingGridSearchCV", "pipeline", lambda: sk.HalvingGridSearchCV(scaled(logistic()), {"s1__C": [1.0, 2.0]}, cv=2, min_resources=24), X, WORDS, **KW)
    add("HalvingGridSearchCV", "ridge", lambda: sk.HalvingGridSearchCV(sk.Ridge(), {"alpha": [1.0, 2.0]}, cv=2, min_resources=24), X, REALS, **KW)
    add("RandomizedSearchCV", "pca", lambda: sk.RandomizedSearchCV(sk.PCA(), {"n_components": [1, 2]}, n_iter=2, cv=2, random_state=0), X, **KW)


def ensembles(add):
    logistic = lambda: sk.LogisticRegression()
    two = lambda: [("a", logistic()), ("b", forest())]
    for tag, y in (("multi", MULTI), ("words", WORDS), ("pair", PAIR), ("truth", CLASSES["truth"])):
        add("CalibratedClassifierCV", "isotonic_" + tag, lambda: sk.CalibratedClassifierCV(sk.LinearSVC(), method="isotonic", cv=2), X, y, **KW)
        add("CalibratedClassifierCV", "prefit_" + tag, lambda t=y: sk.CalibratedClassifierCV(forest().fit(X, t), cv="prefit"), X, y)
        add("CalibratedClassifierCV", "single_" + tag, lambda: sk.CalibratedClassifierCV(scaled(sk.SVC()), ensemble=False, cv=2), X, y, **KW)
        add("CalibratedClassifierCV", "pipe_" + tag, lambda: sk.CalibratedClassifierCV(scaled(sk.GaussianNB()), cv=2), X, y, **KW)
        add("VotingClassifier", "hard_" + tag, lambda: sk.VotingClassifier(two()), X, y, **KW)
        add("VotingClassifier", "soft_" + tag, lambda: sk.VotingClassifier([("a", scaled(logistic())), ("b", forest())], voting="soft"), X, y, **KW)
        add("StackingClassifier", "forest_" + tag, lambda: sk.StackingClassifier(two(), final_estimator=forest(), cv=2), X, y, **KW)
        add("StackingClassifier", "svc_" + tag, lambda: sk.StackingClassifier([("a", scaled(sk.SVC())), ("b", sk.GaussianNB())], cv=2), X, y, **KW)
        add("BaggingClassifier", "pipe_" + tag, lambda: sk.BaggingClassifier(scaled(logistic()), n_estimators=2), X, y, **KW)
        add("BaggingClassifier", "few_" + tag, lambda: sk.BaggingClassifier(sk.LinearSVC(), n_estimators=2, max_features=3), X, y, **KW)
        add("AdaBoostClassifier", "forest_" + tag, lambda: sk.AdaBoostClassifier(forest(), n_estimators=2), X, y, **KW)
        add("OneVsRestClassifier", "svc_" + tag, lambda: sk.OneVsRestClassifier(sk.SVC(probability=True)), X, y, **KW)
        add("OneVsRestClassifier", "pipe_" + tag, lambda: sk.OneVsRestClassifier(scaled(logistic())), X, y, **KW)
        add("OneVsOneClassifier", "nb_" + tag, lambda: sk.OneVsOneClassifier(sk.GaussianNB()), X, y, **KW)
        add("OutputCodeClassifier", "tree_" + tag, lambda: sk.OutputCodeClassifier(sk.DecisionTreeClassifier(max_depth=2)), X, y, **KW)
        add("SelfTrainingClassifier", "svc_" + tag, lambda: sk.SelfTrainingClassifier(sk.SVC(probability=True)), X, y, **KW)
        add("GradientBoostingClassifier", "given_" + tag, lambda: sk.GradientBoostingClassifier(n_estimators=2, init=logistic()), X, y, **KW)
        add("HistGradientBoostingClassifier", "few_" + tag, lambda: sk.HistGradientBoostingClassifier(max_iter=2, early_stopping=True), X, y, **KW)
        add("LinearDiscriminantAnalysis", "one_" + tag, lambda: sk.LinearDiscriminantAnalysis(n_components=1), X, y, **KW)
        for solver in ("lsqr", "eigen"):
            add("LinearDiscriminantAnalysis", solver + "_" + tag, lambda s=solver: sk.LinearDiscriminantAnalysis(solver=s, shrinkage="auto"), X, y, **KW)
        add("GaussianProcessClassifier", "ovo_" + tag, lambda: sk.GaussianProcessClassifier(multi_class="one_vs_one", max_iter_predict=2), X, y, **KW)
        add("LogisticRegressionCV", "few_" + tag, lambda: sk.LogisticRegressionCV(Cs=2, cv=2), X, y, **KW)
        add("NuSVC", "few_" + tag, lambda: sk.NuSVC(nu=0.1, decision_function_shape="ovo"), X, y, **KW)
        add("LabelSpreading", "few_" + tag, lambda: sk.LabelSpreading(), X, y, **KW)
        add("DummyClassifier", "few_" + tag, lambda: sk.DummyClassifier(strategy="stratified"), X, y, **KW)
        add("NearestCentroid", "manhattan_" + tag, lambda: sk.NearestCentroid(metric="manhattan"), X, y, **KW)
        add("RadiusNeighborsClassifier", "far_" + tag, lambda: sk.RadiusNeighborsClassifier(radius=100.0), X, y, **KW)
        add("BernoulliNB", "few_" + tag, lambda: sk.BernoulliNB(), X, y, **KW)
        add("ComplementNB", "few_" + tag, lambda: sk.ComplementNB(), X, y, **KW)
        add("TunedThresholdClassifierCV", "pipe_" + tag, lambda: sk.TunedThresholdClassifierCV(scaled(logistic()), cv=2), X, y, **KW)
    add("VotingClassifier", "dropped", lambda: sk.VotingClassifier([("a", logistic()), ("b", "drop" if RELEASE >= (0, 22) else None), ("c", forest())], voting="soft"), X, WORDS, **KW)
    add("VotingRegressor", "pipes", lambda: sk.VotingRegressor([("a", scaled(sk.Ridge())), ("b", forest_r())]), X, REAL, **KW)
    add("VotingRegressor", "float32", lambda: sk.VotingRegressor([("a", sk.Ridge()), ("b", sk.LinearRegression())]), X.astype(np.float32), NUMBERS["real32"])
    add("StackingClassifier", "labels", lambda: sk.StackingClassifier([("a", sk.KNeighborsClassifier()), ("b", forest())], final_estimator=forest(), cv=2), X, LABELS, **KW)
    add("StackingRegressor", "forest", lambda: sk.StackingRegressor([("a", scaled(sk.Ridge())), ("b", sk.SVR())], final_estimator=forest_r(), cv=2), X, REAL, **KW)
    add("StackingClassifier", "prefit", lambda: sk.StackingClassifier([("a", logistic().fit(X, WORDS)), ("b", forest().fit(X, WORDS))], cv="prefit"), X, WORDS)
    add("AdaBoostRegressor", "ridge", lambda: sk.AdaBoostRegressor(sk.Ridge(), n_estimators=2), X, REAL, **KW)
    for tag, y in (("labels", LABELS), ("outputs", OUTPUTS), ("words", WORDS2)):
        for name, make in (
            ("forest", forest), ("tree", lambda: sk.DecisionTreeClassifier(max_depth=2)), ("extra", lambda: sk.ExtraTreesClassifier(n_estimators=2)), ("knn", lambda: sk.KNeighborsClassifier(3)),
            ("mlp", lambda: sk.MLPClassifier((3,), max_iter=5)), ("ridge", lambda: sk.RidgeClassifier()), ("ridgecv", lambda: sk.RidgeClassifierCV()), ("ovr", lambda: sk.OneVsRestClassifier(logistic())),
            ("multi_forest", lambda: sk.MultiOutputClassifier(forest())), ("multi_svc", lambda: sk.MultiOutputClassifier(sk.SVC())), ("multi_logistic", lambda: sk.MultiOutputClassifier(logistic())),
            ("multi_pipe", lambda: sk.MultiOutputClassifier(scaled(sk.GaussianNB()))), ("chain", lambda: sk.ClassifierChain(logistic())), ("chain_svc", lambda: sk.ClassifierChain(sk.SVC())),
            ("chain_forest", lambda: sk.ClassifierChain(forest(), order=[1, 0] if y.shape[1] == 2 else [2, 0, 1])), ("bag", lambda: sk.BaggingClassifier(forest(), n_estimators=2)), ("dummy", lambda: sk.DummyClassifier(strategy="most_frequent")),
            ("radius", lambda: sk.RadiusNeighborsClassifier(radius=100.0)), ("nested", lambda: pipe(sk.PCA(2), sk.MultiOutputClassifier(sk.SGDClassifier()))),
        ):
            add("Targets", "%s_%s" % (name, tag), make, X, y, **KW)
    for name, make in (
        ("gbr", lambda: sk.MultiOutputRegressor(sk.GradientBoostingRegressor(n_estimators=2))), ("pipe", lambda: sk.MultiOutputRegressor(scaled(sk.SVR()))), ("chain", lambda: sk.RegressorChain(sk.SVR())),
        ("chain_forest", lambda: sk.RegressorChain(forest_r())), ("tree", lambda: sk.DecisionTreeRegressor(max_depth=2)), ("extra", lambda: sk.ExtraTreesRegressor(n_estimators=2)), ("lars", lambda: sk.Lars()),
        ("omp", lambda: sk.OrthogonalMatchingPursuit()), ("lasso", lambda: sk.Lasso()), ("radius", lambda: sk.RadiusNeighborsRegressor(radius=100.0)), ("cca", lambda: sk.CCA(1)), ("canonical", lambda: sk.PLSCanonical(1)),
        ("stack", lambda: sk.MultiOutputRegressor(sk.VotingRegressor([("a", sk.Ridge()), ("b", sk.SVR())]))), ("bag", lambda: sk.BaggingRegressor(forest_r(), n_estimators=2)), ("mean", lambda: sk.DummyRegressor()),
        ("quantile", lambda: sk.DummyRegressor(strategy="quantile", quantile=0.3)), ("constant", lambda: sk.DummyRegressor(strategy="constant", constant=[1.0, 2.0, 3.0])),
    ):
        add("Targets", "r_%s" % name, make, X, REALS, **KW)
        add("Targets", "r32_%s" % name, make, X.astype(np.float32), REALS.astype(np.float32), wider=WIDE.astype(np.float32))


def selections(add):
    two = lambda: sk.LogisticRegression()
    for tag, make in (
        ("k10", lambda: sk.SelectKBest(k=3)), ("regression", lambda: sk.SelectKBest(imp("sklearn.feature_selection.f_regression"), k=2)), ("chi2", lambda: sk.SelectKBest(imp("sklearn.feature_selection.chi2"), k=2)),
        ("percentile", lambda: sk.SelectPercentile(percentile=50)), ("fpr", lambda: sk.SelectFpr(alpha=0.05)), ("fwe", lambda: sk.SelectFwe(alpha=0.05)), ("fdr", lambda: sk.SelectFdr(alpha=0.05)),
        ("generic_k", lambda: sk.GenericUnivariateSelect(mode="k_best", param=2)), ("generic_p", lambda: sk.GenericUnivariateSelect(mode="percentile", param=50)),
        ("generic_fwe", lambda: sk.GenericUnivariateSelect(mode="fwe", param=0.05)), ("model_lasso", lambda: sk.SelectFromModel(sk.Lasso(0.5))), ("model_l1", lambda: sk.SelectFromModel(sk.LinearSVC(penalty="l1", dual=False, C=0.05))),
        ("model_forest", lambda: sk.SelectFromModel(forest())), ("model_logistic", lambda: sk.SelectFromModel(two())), ("model_median", lambda: sk.SelectFromModel(forest(), threshold="median")),
        ("model_scaled", lambda: sk.SelectFromModel(two(), threshold="1.25*mean")), ("model_number", lambda: sk.SelectFromModel(two(), threshold=0.3)), ("model_most", lambda: sk.SelectFromModel(forest(), max_features=2, threshold=-np.inf)),
        ("model_boosting", lambda: sk.SelectFromModel(sk.GradientBoostingClassifier(n_estimators=2))), ("model_tree", lambda: sk.SelectFromModel(sk.DecisionTreeClassifier(max_depth=2))), ("model_prefit", lambda: sk.SelectFromModel(sk.Ridge().fit(X, REAL), prefit=True)),
        ("rfe", lambda: sk.RFE(two(), n_features_to_select=2)), ("rfecv", lambda: sk.RFECV(sk.Ridge(), cv=2)), ("rfe_half", lambda: sk.RFE(forest(), n_features_to_select=0.5)), ("sfs", lambda: sk.SequentialFeatureSelector(two(), n_features_to_select=2, cv=2)),
        ("variance", lambda: sk.VarianceThreshold()), ("embedding", lambda: sk.RandomTreesEmbedding(n_estimators=2, max_depth=2)), ("lda", lambda: sk.LinearDiscriminantAnalysis(n_components=1)), ("nca", lambda: sk.NeighborhoodComponentsAnalysis(2, max_iter=2)),
    ):
        add("Select", tag, make, X, MULTI, **KW)
        add("Select", tag + "_pipe", lambda m=make: pipe(sk.StandardScaler() if "chi2" not in tag else sk.MinMaxScaler(), m(), sk.LogisticRegression()), X, WORDS, **KW)
        if pd is not None:
            add("Select", tag + "_frame", make, frame(X), MULTI)


def encoders(add):
    for tag, kw in (
        ("first", {"drop": "first"}), ("binary", {"drop": "if_binary"}), ("listed", {"drop": ["a", "x", "1"]}), ("ignore", {"handle_unknown": "ignore"}), ("ignore_drop", {"handle_unknown": "ignore", "drop": "first"}),
        ("rare_if", {"handle_unknown": "infrequent_if_exist", "min_frequency": 13}), ("rare_share", {"min_frequency": 0.3}), ("rare_none", {"min_frequency": 1}), ("most", {"max_categories": 2}), ("most_drop", {"max_categories": 2, "drop": "first"}),
        ("most_binary", {"max_categories": 2, "drop": "if_binary"}), ("rare_listed", {"min_frequency": 13, "drop": ["a", "x", "1"]}), ("both", {"min_frequency": 13, "max_categories": 3}), ("given", {"categories": [["a", "b", "c", "d"], ["x", "y", "z"], ["1", "2"]]}),
        ("dense", {"sparse": False}), ("dense_new", {"sparse_output": False}), ("int", {"dtype": np.int64}), ("float32", {"dtype": np.float32}), ("boolean", {"dtype": bool}), ("uint8", {"dtype": np.uint8}), ("warn", {"handle_unknown": "warn", "min_frequency": 13}),
    ):
        add("OneHotEncoder", tag, lambda k=kw: sk.OneHotEncoder(**k), THINGS)
        add("OneHotEncoder", tag + "_pipe", lambda k=kw: pipe(sk.OneHotEncoder(**k), forest()), THINGS, WORDS)
    few = np.floor(X[:, :3]).astype(int)
    for tag, kw in (("n_values", {"n_values": 12}), ("auto", {}), ("mask", {"categorical_features": [0, 2]}), ("categories", {"categories": "auto"}), ("dense", {"sparse": False}), ("floats", {"dtype": np.float32})):
        add("OneHotEncoder", "numbers_" + tag, lambda k=kw: sk.OneHotEncoder(**k), few)
    for tag, kw in (("unknown", {"handle_unknown": "use_encoded_value", "unknown_value": -1}), ("missing", {"encoded_missing_value": -1}), ("int", {"dtype": np.int32}), ("rare", {"min_frequency": 13}), ("most", {"max_categories": 2})):
        add("OrdinalEncoder", tag, lambda k=kw: sk.OrdinalEncoder(**k), THINGS)
    flat = X.copy()
    flat[:, 2] = 1.0
    for encode in ("onehot", "onehot-dense", "ordinal"):
        for strategy in ("uniform", "quantile", "kmeans"):
            add("KBinsDiscretizer", "%s_%s" % (encode, strategy), lambda e=encode, s=strategy: sk.KBinsDiscretizer([2, 3, 4, 5, 2], encode=e, strategy=s), X)
            add("KBinsDiscretizer", "%s_%s_flat" % (encode, strategy), lambda e=encode, s=strategy: sk.KBinsDiscretizer(3, encode=e, strategy=s), flat)
    for tag, kw in (("range", {"degree": (2, 3)}), ("fortran", {"order": "F"}), ("crosses", {"interaction_only": True, "include_bias": False}), ("one", {"degree": 1})):
        add("PolynomialFeatures", tag, lambda k=kw: sk.PolynomialFeatures(**k), X, **KW)
        add("PolynomialFeatures", tag + "_pipe", lambda k=kw: pipe(sk.PolynomialFeatures(**k), sk.Ridge()), X, REAL, **KW)
    for tag, data, kw in (("dict", RECORDS, {}), ("pair", [[("a", 1), ("b", 2)]] * N, {"input_type": "pair"}), ("string", [["a", "b"]] * N, {"input_type": "string"}), ("plain", RECORDS, {"alternate_sign": False, "dtype": np.float32})):
        add("FeatureHasher", tag, lambda k=kw: sk.FeatureHasher(n_features=16, **k), data)
    add("DictVectorizer", "dense", lambda: sk.DictVectorizer(sparse=False, dtype=np.float32), RECORDS)
    add("DictVectorizer", "unsorted", lambda: sk.DictVectorizer(sort=False), RECORDS)
    add("Pipeline", "records", lambda: pipe(sk.DictVectorizer(), sk.Ridge()), RECORDS, REAL)
    add("Pipeline", "records_hashed", lambda: pipe(sk.FeatureHasher(n_features=16), sk.SGDClassifier()), RECORDS, WORDS)
    gaps = X.copy()
    gaps[::5, 1] = np.nan
    words = THINGS.copy()
    words[::5, 0] = np.nan
    for strategy in ("mean", "median", "most_frequent", "constant"):
        add("SimpleImputer", strategy, lambda s=strategy: sk.SimpleImputer(strategy=s), gaps)
        add("SimpleImputer", strategy + "_marks", lambda s=strategy: sk.SimpleImputer(strategy=s, add_indicator=True), gaps)
        add("SimpleImputer", strategy + "_pipe", lambda s=strategy: pipe(sk.SimpleImputer(strategy=s, add_indicator=True), sk.StandardScaler(), sk.PCA(2), sk.SVC()), gaps, WORDS)
        add("SimpleImputer", strategy + "_words", lambda s=strategy: sk.SimpleImputer(strategy=s), words)
        add("SimpleImputer", strategy + "_words_hot", lambda s=strategy: pipe(sk.SimpleImputer(strategy=s), sk.OneHotEncoder(), sk.LogisticRegression()), words, PAIR)
        add("Imputer", strategy, lambda s=strategy: imp("sklearn.preprocessing.Imputer")(strategy=s), gaps)
        add("Imputer", strategy + "_pipe", lambda s=strategy: pipe(imp("sklearn.preprocessing.Imputer")(strategy=s), forest_r()), gaps, REALS)
    add("KNNImputer", "pipe", lambda: pipe(sk.KNNImputer(), sk.Ridge()), gaps, REAL)
    add("IterativeImputer", "forest", lambda: imp("sklearn.impute.IterativeImputer")(forest_r(), max_iter=2), gaps)
    for tag, y in (("real", REAL), ("binary", PAIR), ("multi", WORDS)):
        add("TargetEncoder", tag, lambda: sk.TargetEncoder(cv=2), THINGS, y)
        add("TargetEncoder", tag + "_pipe", lambda: pipe(sk.TargetEncoder(cv=2), sk.Ridge() if tag == "real" else forest()), THINGS, y)
    Function = imp("sklearn.preprocessing.FunctionTransformer")
    for tag, kw in (("none", {}), ("validate", {"validate": True}), ("log", {"func": np.log1p, "validate": True}), ("sqrt", {"func": np.sqrt}), ("abs", {"func": np.abs}), ("names", {"feature_names_out": "one-to-one"})):
        add("FunctionTransformer", tag, lambda k=kw: Function(**k), X, **KW)
        add("FunctionTransformer", tag + "_pipe", lambda k=kw: pipe(Function(**k), sk.Ridge()), X, REAL, **KW)
        add("FunctionTransformer", tag + "_pca", lambda k=kw: pipe(Function(**k), sk.PCA(2)), X, **KW)


def texts(add):
    for tag, make in (
        ("count", lambda: sk.CountVectorizer()), ("ngrams", lambda: sk.TfidfVectorizer(ngram_range=(1, 2), max_features=9)), ("stop", lambda: sk.TfidfVectorizer(stop_words="english")), ("chars", lambda: sk.TfidfVectorizer(analyzer="char", ngram_range=(2, 3))),
        ("given", lambda: sk.CountVectorizer(vocabulary=["the", "dog", "fox"])), ("given_set", lambda: sk.TfidfVectorizer(vocabulary={"the": 0, "dog": 1})), ("hashing", lambda: sk.HashingVectorizer(n_features=32)), ("hashing_float32", lambda: sk.HashingVectorizer(n_features=32, dtype=np.float32)),
        ("min_df", lambda: sk.TfidfVectorizer(min_df=2, sublinear_tf=True, norm="l1", use_idf=False)), ("weighted", lambda: pipe(sk.CountVectorizer(), sk.TfidfTransformer())), ("weighted_plain", lambda: pipe(sk.CountVectorizer(), sk.TfidfTransformer(use_idf=False))),
        ("binary", lambda: sk.CountVectorizer(binary=True)), ("union", lambda: sk.FeatureUnion([("w", sk.TfidfVectorizer()), ("c", sk.CountVectorizer(analyzer="char"))])), ("svd", lambda: pipe(sk.TfidfVectorizer(), sk.TruncatedSVD(3))),
        ("topics", lambda: pipe(sk.CountVectorizer(), sk.LatentDirichletAllocation(3, max_iter=2))), ("nmf", lambda: pipe(sk.TfidfVectorizer(), sk.NMF(2))), ("chi2", lambda: pipe(sk.CountVectorizer(), sk.SelectKBest(imp("sklearn.feature_selection.chi2"), k=4))),
        ("float32", lambda: pipe(sk.TfidfVectorizer(dtype=np.float32), sk.TruncatedSVD(2))), ("scaled", lambda: pipe(sk.CountVectorizer(), sk.MaxAbsScaler())), ("kmeans", lambda: pipe(sk.TfidfVectorizer(), sk.KMeans(2, n_init=1))),
    ):
        add("Text", tag, make, TEXTS)
        for name, last in (("nb", lambda: sk.MultinomialNB()), ("svc", lambda: sk.LinearSVC()), ("sgd", lambda: sk.SGDClassifier(loss="modified_huber")), ("forest", forest), ("ovr", lambda: sk.OneVsRestClassifier(sk.LogisticRegression())), ("calibrated", lambda: sk.CalibratedClassifierCV(sk.LinearSVC(), cv=2))):
            if name in ("svc", "nb") or tag in ("count", "ngrams"):
                add("Text", "%s_%s" % (tag, name), lambda m=make, k=last: pipe(m(), k()), TEXTS, ANSWERS)
    add("Text", "labels", lambda: pipe(sk.TfidfVectorizer(), sk.OneVsRestClassifier(sk.LinearSVC())), TEXTS, LABELS)
    add("Text", "search", lambda: sk.GridSearchCV(pipe(sk.TfidfVectorizer(), sk.LinearSVC()), {"s1__C": [1.0, 2.0]}, cv=2), TEXTS, ANSWERS)
    add("Text", "ridge", lambda: pipe(sk.TfidfVectorizer(), sk.Ridge()), TEXTS, REALS)
    add("Text", "voting", lambda: pipe(sk.TfidfVectorizer(), sk.VotingClassifier([("a", sk.MultinomialNB()), ("b", sk.LogisticRegression())], voting="soft")), TEXTS, ANSWERS)


def unions(add):
    Union = imp("sklearn.pipeline.FeatureUnion")
    gone = None if RELEASE < (0, 21) else "drop"
    for tag, make in (
        ("gone", lambda: Union([("a", sk.StandardScaler()), ("b", gone)])), ("pass", lambda: Union([("a", sk.PCA(2)), ("b", "passthrough")])), ("pipes", lambda: Union([("a", scaled(sk.PCA(2))), ("b", scaled(sk.SelectKBest(k=1)))])),
        ("nested", lambda: Union([("u", Union([("a", sk.PCA(1)), ("b", sk.StandardScaler())])), ("c", sk.KMeans(2, n_init=1))])), ("weights", lambda: Union([("a", sk.PCA(1)), ("b", sk.MinMaxScaler())], transformer_weights={"a": 2.0})),
        ("made", lambda: imp("sklearn.pipeline.make_union")(sk.PCA(2), sk.PolynomialFeatures(2))),
    ):
        add("FeatureUnion", tag, make, X, MULTI, **KW)
        add("FeatureUnion", tag + "_pipe", lambda m=make: pipe(m(), sk.SVC(probability=True)), X, WORDS, **KW)
    add("Pipeline", "made", lambda: imp("sklearn.pipeline.make_pipeline")(sk.MinMaxScaler(), sk.PCA(2), sk.KNeighborsClassifier(3)), X, WORDS, **KW)
    add("Pipeline", "nested", lambda: pipe(pipe(sk.StandardScaler(), sk.PCA(3)), pipe(sk.SelectKBest(k=2), sk.SVC())), X, MULTI, **KW)
    add("Pipeline", "last_pass", lambda: pipe(sk.StandardScaler(), sk.PCA(3), PASS), X, MULTI, **KW)
    add("Pipeline", "only_pass", lambda: pipe(PASS, sk.PCA(3)), X, **KW)
    add("Pipeline", "middle_pass", lambda: pipe(sk.PCA(2), PASS, forest()), X, WORDS, **KW)
    add("Pipeline", "boost", lambda: pipe(sk.StandardScaler(), sk.AdaBoostClassifier(n_estimators=2)), X, WORDS, **KW)
    add("Pipeline", "sparse", lambda: pipe(sk.MaxAbsScaler(), sk.TruncatedSVD(2), sk.LinearSVC()), sp.csr_matrix(X), WORDS)
    add("Pipeline", "float32", lambda: pipe(sk.StandardScaler(), sk.PCA(2), sk.LogisticRegression()), X.astype(np.float32), WORDS)


def frames(add):
    mixed = frame(X)
    mixed["city"] = ["Oslo", "Rome", "Bonn"] * (N // 3)
    mixed["plan"] = ["s", "m", "l", "m"] * (N // 4)
    mixed["old"] = [True, False, False] * (N // 3)
    mixed["count"] = np.arange(N) % 5
    numbers, words = ["length", "price"], ["city", "plan"]
    Columns, Made = imp("sklearn.compose.ColumnTransformer"), imp("sklearn.compose.make_column_transformer")
    Chosen = imp("sklearn.compose.make_column_selector")
    hot = lambda **kw: sk.OneHotEncoder(handle_unknown="ignore", **kw)
    parts = lambda: [("n", sk.StandardScaler(), numbers), ("w", hot(), words)]
    mask = np.array([True, False, True, False, False, False, False, False, False])
    cases = [
        ("drop", lambda: Columns(parts())), ("rest_number", lambda: Columns([("w", hot(), words), ("o", "drop", ["old"])], remainder="passthrough")), ("rest_words", lambda: Columns([("n", sk.StandardScaler(), numbers)], remainder="passthrough")),
        ("rest_scaler", lambda: Columns([("w", hot(), words), ("o", "drop", ["old"])], remainder=sk.MinMaxScaler())), ("pass_named", lambda: Columns([("n", "passthrough", numbers), ("w", hot(), words)])), ("dense", lambda: Columns(parts(), sparse_threshold=0)), ("sparse", lambda: Columns(parts(), sparse_threshold=1.0)),
        ("places", lambda: Columns([("n", sk.StandardScaler(), [0, 4]), ("w", hot(), [5, 6])])), ("mask", lambda: Columns([("n", sk.StandardScaler(), mask), ("w", hot(), words)])), ("slices", lambda: Columns([("n", sk.StandardScaler(), slice("length", "price")), ("w", hot(), slice(5, 7))])),
        ("negative", lambda: Columns([("n", sk.StandardScaler(), [-1]), ("w", hot(), [5])])), ("ordinal", lambda: Columns([("n", sk.StandardScaler(), numbers), ("w", sk.OrdinalEncoder(), words)])), ("text", lambda: Columns([("t", sk.TfidfVectorizer(), "city"), ("n", sk.StandardScaler(), numbers)])),
        ("selector", lambda: Columns([("n", sk.StandardScaler(), Chosen(dtype_include=np.number)), ("w", hot(), Chosen(dtype_include=[object, "str"] if RELEASE >= (1, 8) else object))])), ("pattern", lambda: Columns([("n", sk.PCA(1), Chosen(pattern="^(len|wid)"))])),
        ("made", lambda: Made((sk.StandardScaler(), numbers), (hot(), words)) if RELEASE >= (0, 22) else Made((numbers, sk.StandardScaler()), (words, hot()))), ("made_rest", lambda: Made((hot(), words), ("drop", ["old"]), remainder="passthrough")),
        ("short", lambda: Columns(parts(), verbose_feature_names_out=False)), ("pipes", lambda: Columns([("n", pipe(sk.SimpleImputer(), sk.StandardScaler(), sk.PolynomialFeatures(2)), numbers), ("w", pipe(sk.SimpleImputer(strategy="most_frequent"), hot()), words)])),
        ("marks", lambda: Columns([("n", sk.SimpleImputer(add_indicator=True), numbers), ("w", hot(), words)])), ("none", lambda: Columns([("n", sk.StandardScaler(), numbers), ("nothing", sk.StandardScaler(), []), ("w", hot(), words)])), ("twice", lambda: Columns([("a", sk.StandardScaler(), numbers), ("b", sk.MinMaxScaler(), numbers)])),
        ("bins", lambda: Columns([("b", sk.KBinsDiscretizer(3), numbers), ("w", hot(), words)])), ("function", lambda: Columns([("f", imp("sklearn.preprocessing.FunctionTransformer")(np.log1p, validate=False), numbers), ("w", hot(), ["plan"])])), ("union", lambda: Columns([("u", imp("sklearn.pipeline.FeatureUnion")([("a", sk.PCA(1)), ("b", sk.StandardScaler())]), numbers), ("w", hot(), words)])),
        ("truths", lambda: Columns([("o", "passthrough", ["old"]), ("c", "passthrough", ["count"])])), ("ints", lambda: Columns([("c", "passthrough", ["count"]), ("n", sk.StandardScaler(), numbers)])), ("target", lambda: Columns([("t", sk.TargetEncoder(cv=2), words), ("n", sk.StandardScaler(), numbers)])),
    ]
    for tag, make in cases:
        add("ColumnTransformer", tag, make, mixed, REAL)
        add("ColumnTransformer", tag + "_forest", lambda m=make: pipe(m(), forest()), mixed, WORDS)
        add("ColumnTransformer", tag + "_ridge", lambda m=make: pipe(m(), sk.Ridge()), mixed, REALS)
        add("ColumnTransformer", tag + "_search", lambda m=make: sk.GridSearchCV(pipe(m(), sk.LogisticRegression()), {"s1__C": [1.0, 2.0]}, cv=2), mixed, PAIR)
        add("ColumnTransformer", tag + "_pandas", lambda m=make: m().set_output(transform="pandas"), mixed, REAL)
    if RELEASE >= (0, 20):
        add("ColumnTransformer", "array", lambda: Columns([("n", sk.StandardScaler(), [0, 1]), ("p", sk.PCA(1), [2, 3, 4])], remainder="passthrough"), X, REAL)
        add("ColumnTransformer", "array_gone", lambda: Columns([("n", sk.StandardScaler(), [0, 1])]), X, REAL, **KW)
        add("ColumnTransformer", "array_pipe", lambda: pipe(Columns([("n", sk.StandardScaler(), [0, 1])], remainder="passthrough"), sk.SVR()), X, REAL)
        add("ColumnTransformer", "things", lambda: Columns([("w", sk.OneHotEncoder(), [0, 1])], remainder="passthrough"), THINGS)
    names = frame(X)
    for tag, make in (
        ("pca", lambda: sk.PCA(2)), ("scaler", lambda: sk.StandardScaler()), ("poly", lambda: sk.PolynomialFeatures(2)), ("kmeans", lambda: sk.KMeans(2, n_init=1)), ("best", lambda: sk.VarianceThreshold()), ("imputer", lambda: sk.SimpleImputer()), ("bins", lambda: sk.KBinsDiscretizer(3, encode="onehot-dense")),
        ("union", lambda: imp("sklearn.pipeline.FeatureUnion")([("a", sk.PCA(1)), ("b", sk.StandardScaler())])), ("pipe", lambda: scaled(sk.PCA(2))), ("pipe_scaler", lambda: pipe(sk.SimpleImputer(), sk.StandardScaler())), ("logistic", lambda: scaled(sk.Ridge())), ("spline", lambda: sk.SplineTransformer()),
    ):
        for kind in ("pandas", "polars"):
            add("Frames", "%s_%s" % (tag, kind), lambda m=make, k=kind: m().set_output(transform=k), names, REAL)
        add("Frames", tag, make, names, REAL)
    series = pd.Series(WORDS).astype("category")
    add("Frames", "category", lambda: sk.LogisticRegression(), names, series)
    add("Frames", "series", lambda: sk.RandomForestClassifier(n_estimators=2), names, pd.Series(WORDS))
    add("Frames", "integer_names", lambda: sk.Ridge(), pd.DataFrame(X), REAL)
    add("Frames", "targets", lambda: sk.Ridge(), names, pd.DataFrame(REALS, columns=["a", "b", "c"]))
    add("Frames", "search", lambda: sk.GridSearchCV(scaled(sk.SVC()), {"s1__C": [1.0, 2.0]}, cv=2), names, pd.Series(WORDS))


def all_cases(want):
    out = []

    def add(name, tag, build, x, y=None, **kw):
        if want in name:
            out.append(Case(name, tag, build, x, y, **kw))

    groups = [table_cases, encoders, texts, unions]
    if pd is not None and RELEASE >= (0, 17):
        groups.append(frames)
    for group in groups:
        group(add)
    return out


if __name__ == "__main__":
    every.write(sys.argv[1], all_cases(sys.argv[2] if len(sys.argv) > 2 else ""), [])
