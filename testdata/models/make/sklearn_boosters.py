"""Fits pipelines, searches and ensembles of scikit-learn with XGBoost, LightGBM and CatBoost in them.

usage: python sklearn_boosters.py FOLDER [NAME-FILTER]

It writes what `sklearn_all.py` writes. It ran with XGBoost 0.90, LightGBM 2.3.1, CatBoost 0.24.4 and
scikit-learn 0.22.2 (Python 3.7); 1.6.2, 3.3.5, 1.1.1 and 1.1.3 (3.8); 2.0.3, 4.1.0, 1.2.2 and 1.3.2
(3.9); 3.3.0, 4.7.0, 1.2.10 and 1.6.1 (3.11).
"""
from __future__ import print_function

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path = [p for p in sys.path if os.path.abspath(p or ".") != HERE]
import catboost  # noqa: E402
import lightgbm  # noqa: E402
import numpy as np  # noqa: E402
import sklearn  # noqa: E402,F401
import xgboost  # noqa: E402

sys.path.append(HERE)
from sklearn_more import KW, REAL, REALS, X, pipe, scaled, sk  # noqa: E402
import sklearn_all as every  # noqa: E402
from sklearn_all import CLASSES, NUMBERS, Case, frame  # noqa: E402


def quiet(cls, **kw):
    return lambda **more: cls(n_estimators=3, **dict(kw, **more))


XGB = dict(max_depth=2, verbosity=0)
LGB = dict(num_leaves=3, min_child_samples=2, verbose=-1)
CAT = dict(depth=2, verbose=False, allow_writing_files=False)
CLASSIFIERS = {"xgb": quiet(xgboost.XGBClassifier, **XGB), "xgbrf": quiet(xgboost.XGBRFClassifier, **XGB), "lgbm": quiet(lightgbm.LGBMClassifier, **LGB), "cat": quiet(catboost.CatBoostClassifier, **CAT)}
REGRESSORS = {"xgb": quiet(xgboost.XGBRegressor, **XGB), "xgbrf": quiet(xgboost.XGBRFRegressor, **XGB), "lgbm": quiet(lightgbm.LGBMRegressor, **LGB), "cat": quiet(catboost.CatBoostRegressor, **CAT)}


def all_cases(want):
    out = []

    def add(name, tag, build, x, y=None, **kw):
        if want in name:
            out.append(Case(name, tag, build, x, y, **kw))

    for name, make in CLASSIFIERS.items():
        for tag in ("multi", "binary", "words", "pair", "truth", "floats", "bytes8", "objects", "labels", "outputs"):
            y = CLASSES[tag]
            add(name, "pipe_" + tag, lambda m=make: scaled(m()), X, y, **KW)
        for tag in ("multi", "binary", "words"):
            y = CLASSES[tag]
            add(name, "search_" + tag, lambda m=make: sk.GridSearchCV(m(), {"n_estimators": [2, 3]}, cv=2), X, y, **KW)
            add(name, "only_" + tag, lambda m=make: pipe(m()), X, y, **KW)
            add(name, "pca_" + tag, lambda m=make: pipe(sk.PCA(2), m()), X, y, **KW)
            add(name, "calibrated_" + tag, lambda m=make: sk.CalibratedClassifierCV(m(), cv=2), X, y, **KW)
            add(name, "voting_" + tag, lambda m=make: sk.VotingClassifier([("a", m()), ("b", sk.LogisticRegression())], voting="soft"), X, y, **KW)
            add(name, "stacked_" + tag, lambda m=make: sk.StackingClassifier([("a", m()), ("b", sk.LogisticRegression())], cv=2), X, y, **KW)
            add(name, "last_" + tag, lambda m=make: sk.StackingClassifier([("a", sk.LogisticRegression())], final_estimator=m(), cv=2), X, y, **KW)
            add(name, "ovr_" + tag, lambda m=make: sk.OneVsRestClassifier(m()), X, y, **KW)
            add(name, "bag_" + tag, lambda m=make: sk.BaggingClassifier(m(), n_estimators=2), X, y, **KW)
            add(name, "ada_" + tag, lambda m=make: sk.AdaBoostClassifier(m(), n_estimators=2), X, y, **KW)
        add(name, "outputs", lambda m=make: sk.MultiOutputClassifier(m()), X, CLASSES["labels"], **KW)
        add(name, "chain", lambda m=make: sk.ClassifierChain(m()), X, CLASSES["labels"], **KW)
        add(name, "frame", lambda m=make: pipe(m()), frame(X), CLASSES["multi"])
        add(name, "select", lambda m=make: pipe(sk.SelectKBest(k=2), m()), X, CLASSES["pair" if name == "cat" else "binary"], **KW)
        add(name, "float32", lambda m=make: pipe(m()), X.astype(np.float32), CLASSES["binary"])
        add(name, "text", lambda m=make: pipe(sk.TfidfVectorizer(), m()), every.TEXTS, [0, 1, 1, 0] * (every.N // 4))
        add(name, "columns", lambda m=make: pipe(sk.ColumnTransformer([("n", sk.StandardScaler(), [0, 1])]), m()), X, CLASSES["binary"], **KW)
    add("xgb", "prob", lambda: pipe(CLASSIFIERS["xgb"](objective="multi:softmax")), X, CLASSES["multi"], **KW)
    add("xgb", "hinge", lambda: pipe(CLASSIFIERS["xgb"](objective="binary:hinge")), X, CLASSES["binary"], **KW)
    add("cat", "all", lambda: pipe(CLASSIFIERS["cat"](loss_function="MultiClassOneVsAll")), X, CLASSES["multi"], **KW)
    add("cat", "entropy", lambda: pipe(CLASSIFIERS["cat"](loss_function="CrossEntropy")), X, CLASSES["binary"], **KW)
    for name, make in REGRESSORS.items():
        for tag, y in (("real", REAL), ("reals", REALS), ("column", NUMBERS["column"]), ("real32", NUMBERS["real32"])):
            add(name, "r_pipe_" + tag, lambda m=make: scaled(m()), X, y, **KW)
            add(name, "r_search_" + tag, lambda m=make: sk.GridSearchCV(m(), {"n_estimators": [2, 3]}, cv=2), X, y, **KW)
        for tag, make2 in (
            ("voting", lambda m: sk.VotingRegressor([("a", m()), ("b", sk.Ridge())])), ("stacked", lambda m: sk.StackingRegressor([("a", m()), ("b", sk.Ridge())], cv=2)), ("bag", lambda m: sk.BaggingRegressor(m(), n_estimators=2)),
            ("target", lambda m: sk.TransformedTargetRegressor(m(), func=np.log1p, inverse_func=np.expm1)), ("scaled", lambda m: sk.TransformedTargetRegressor(m(), transformer=sk.StandardScaler())), ("ada", lambda m: sk.AdaBoostRegressor(m(), n_estimators=2)),
            ("pca", lambda m: pipe(sk.PCA(2), m())), ("last", lambda m: sk.StackingRegressor([("a", sk.Ridge())], final_estimator=m(), cv=2)),
        ):
            add(name, "r_" + tag, lambda m=make, k=make2: k(m), X, np.abs(REAL), **KW)
        add(name, "r_outputs", lambda m=make: sk.MultiOutputRegressor(m()), X, REALS, **KW)
        add(name, "r_chain", lambda m=make: sk.RegressorChain(m()), X, REALS, **KW)
        add(name, "r_frame", lambda m=make: pipe(m()), frame(X), REAL)
    add("cat", "r_multi", lambda: pipe(REGRESSORS["cat"](loss_function="MultiRMSE")), X, REALS, **KW)
    add("cat", "r_poisson", lambda: pipe(REGRESSORS["cat"](loss_function="Poisson")), X, np.abs(REAL), **KW)
    add("xgb", "r_poisson", lambda: pipe(REGRESSORS["xgb"](objective="count:poisson")), X, np.abs(REAL), **KW)
    add("lgbm", "r_poisson", lambda: pipe(REGRESSORS["lgbm"](objective="poisson")), X, np.abs(REAL), **KW)
    return out


if __name__ == "__main__":
    every.write(sys.argv[1], all_cases(sys.argv[2] if len(sys.argv) > 2 else ""), [])
