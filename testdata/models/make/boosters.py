"""Writes models of XGBoost, LightGBM and CatBoost, `<format>/made_*`, and their truth, which is what
`predict` and `predict_proba` of the same library give.

Run once per environment, from this folder's parent:

    Python 3.11: xgboost==3.2.0 lightgbm==4.7.0 catboost==1.2.10 scikit-learn pandas joblib
    Python 3.8:  xgboost==1.5.2 lightgbm==3.3.5 scikit-learn pandas==1.5.3
    Python 3.7:  xgboost==0.90 lightgbm==2.3.1 catboost==0.26 scikit-learn pandas

    python make/boosters.py
"""

import json
import os
import pickle
import shutil

import joblib
import numpy as np
import pandas as pd

np.random.seed(0)
N = 60
X = np.random.rand(N, 3).round(3)
Y = np.random.rand(N) + 0.1
TWO = (Y > 0.6).astype(int)
THREE = np.minimum((Y * 3).astype(int), 2)
WORDS = np.array(["lo", "mid", "hi"])[THREE]
FRAME = pd.DataFrame(X, columns=["a", "b b", "c"])


def spec(name, values):
    values = np.asarray(values)
    dtype = "string" if values.dtype.kind in "OUS" else str(values.dtype)
    return {"name": name, "dtype": dtype, "shape": [None] + list(values.shape[1:])}


def write(fmt, case, file, save, outputs, names=None, width=3, dtype="float32", facts=None):
    case = "made_" + case
    folder = os.path.join(fmt, case)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    save(os.path.join(folder, file))
    given = {"name": "X", "dtype": dtype, "shape": [None, width]}
    if names:
        given["columns"] = [{"name": n} for n in names]
    truth = {
        "id": case, "format": fmt, "framework": fmt, "path": "/".join([fmt, case, file]), "expect": "ok",
        "signatures": [{"name": m, "inputs": [given], "outputs": [spec(m, v)]} for m, v in outputs],
        "determinable": {
            "format": "stored", "signatures": "derived", "inputs.name": "no",
            "inputs.dtype": "no" if fmt == "lightgbm" else "derived", "inputs.shape": "stored",
            "outputs.name": "no", "outputs.dtype": "derived", "outputs.shape": "derived", "tensors": "n/a",
        },
        "facts": facts or {}, "findings": [],
    }
    with open(os.path.join(folder, "truth.json"), "w") as f:
        json.dump(truth, f, indent=1, sort_keys=True)
        f.write("\n")


def dump(model, protocol=4):
    return lambda path: pickle.dump(model, open(path, "wb"), protocol)


def methods(model, rows):
    found = [("predict", model.predict(rows))]
    if hasattr(model, "predict_proba"):
        found.append(("predict_proba", model.predict_proba(rows)))
    return found


def labels(model):
    return {"estimator": type(model).__name__, "classes": np.asarray(model.classes_).tolist()}


def xgboost():
    import xgboost as xgb

    version = tuple(int(n) for n in xgb.__version__.split(".")[:2])
    short = "xgb%d%d_" % version

    def go(case, params, label, files, rows=X, names=None, **more):
        booster = xgb.train(dict(params), xgb.DMatrix(rows, label, feature_names=names, **more), 2)
        given = booster.predict(xgb.DMatrix(rows, feature_names=names, **more))
        facts = {"objective": params["objective"]}
        if params.get("booster") != "gblinear":
            facts["xgboost.trees"] = len(booster.get_dump())
        for file in files:
            save = dump(booster) if file.endswith("pkl") else booster.save_model
            kept = names if file.endswith(("json", "ubj", "pkl")) else None
            write("xgboost", short + case + "_" + file.rsplit(".", 1)[1], file, save, [("predict", given)], kept,
                  width=rows.shape[1], facts=facts)

    multi = {"num_class": 3, "max_depth": 2}
    if version >= (3, 0):
        go("softprob", dict(multi, objective="multi:softprob"), THREE, ["m.json", "m.ubj", "m.pkl"])
        go("softmax_dart", dict(multi, objective="multi:softmax", booster="dart"), THREE, ["m.json"])
        go("linear", {"objective": "reg:squarederror", "booster": "gblinear"}, Y, ["m.ubj"], names=["a b", "c", "d"])
        go("quantiles", {"objective": "reg:quantileerror", "quantile_alpha": [0.1, 0.5, 0.9], "max_depth": 2}, Y, ["m.ubj"])
        go("vector_leaves", {"objective": "reg:squarederror", "multi_strategy": "multi_output_tree", "max_depth": 2},
           np.stack([Y, Y], 1), ["m.json"])
        go("categories", {"objective": "reg:squarederror", "max_depth": 2}, Y, ["m.json"],
           rows=np.c_[X[:, :2], THREE], names=["a", "b", "k"], feature_types=["float", "float", "c"],
           enable_categorical=True)
    elif version >= (1, 0):
        go("softprob", dict(multi, objective="multi:softprob"), THREE, ["m.json", "m.bin", "m.pkl"])
        go("dart", dict(multi, objective="count:poisson", booster="dart", num_class=0), Y, ["m.bin"])
    else:
        go("softmax", dict(multi, objective="multi:softmax"), THREE, ["m.bin", "m.pkl"])
        go("linear", {"objective": "reg:squarederror", "booster": "gblinear"}, Y, ["m.bin"])
    small = dict(n_estimators=2, max_depth=2)
    model = xgb.XGBClassifier(**small).fit(X, WORDS if version < (1, 0) else THREE)
    write("xgboost", short + "classifier", "m.pkl", dump(model, 2), methods(model, X), facts=labels(model))
    if version >= (1, 0):
        model = xgb.XGBRegressor(**small).fit(FRAME, Y)
        write("xgboost", short + "regressor", "m.pkl", dump(model), methods(model, FRAME), list(FRAME.columns))


def lightgbm():
    import lightgbm as lgb

    version = lgb.__version__.split(".")
    short = "lgb%s%s_" % tuple(version[:2])
    small = dict(num_leaves=3, min_data_in_leaf=2, verbose=-1)

    def go(case, params, label, rows=X, **more):
        booster = lgb.train(dict(small, **params), lgb.Dataset(rows, label, **more), 2)
        write("lightgbm", short + case, "m.txt", booster.save_model, [("predict", booster.predict(rows))],
              booster.feature_name(), rows.shape[1], "float64", {"lightgbm.trees": booster.num_trees()})

    go("multiclass", {"objective": "multiclass", "num_class": 3}, THREE)
    if int(version[0]) >= 4:
        go("one_for_all", {"objective": "multiclassova", "num_class": 3}, THREE)
        go("forest", {"objective": "binary", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}, TWO)
        go("pandas", {}, Y, rows=FRAME.assign(k=pd.Categorical(WORDS)))
        go("linear_tree", {"linear_tree": True}, Y)
        custom = {"num_class": 3, "objective": lambda p, d: (np.asarray(p) * 0.1, np.ones(np.asarray(p).shape))}
        go("custom", custom, THREE)
        go("ranking", {"objective": "lambdarank"}, TWO, group=[30, 30])
    sk = dict(n_estimators=2, num_leaves=3, min_child_samples=2)
    model = lgb.LGBMClassifier(**sk).fit(X, WORDS)
    for file, save in [("m.pkl", dump(model, 2)), ("m.joblib", lambda p: joblib.dump(model, p, compress=3))]:
        write("lightgbm", short + "classifier_" + file[2:], file, save, methods(model, X), dtype="float64",
              facts=labels(model))
    model = lgb.LGBMRegressor(**sk).fit(X, Y)
    write("lightgbm", short + "regressor", "m.pkl", dump(model), methods(model, X), dtype="float64")


def catboost():
    import catboost as cb

    short = "cb%s%s_" % tuple(cb.__version__.split(".")[:2])
    small = dict(iterations=2, depth=2, verbose=0, allow_writing_files=False)

    def go(case, model, label, files, rows=X, dtype="float32", **more):
        model.fit(rows, label, **more)
        facts = {"catboost.trees": model.tree_count_}
        if hasattr(model, "predict_proba"):
            facts["classes"] = np.asarray(model.classes_).tolist()
        for file in files:
            kind = file.rsplit(".", 1)[1]
            save = dump(model) if kind == "pkl" else lambda p, kind=kind: model.save_model(p, format=kind)
            write("catboost", short + case + "_" + kind, file, save, methods(model, rows), model.feature_names_,
                  rows.shape[1], dtype, facts)

    mixed = pd.DataFrame({"a": X[:, 0], "c d": WORDS, "unused": 1.0})
    go("words", cb.CatBoostClassifier(**small), WORDS, ["m.cbm", "m.pkl"])
    go("numbers", cb.CatBoostRegressor(loss_function="MultiRMSE", **small), np.stack([Y, Y], 1), ["m.json"])
    if cb.__version__ >= "1":
        go("bool", cb.CatBoostClassifier(**small), TWO.astype(bool), ["m.cbm"])
        go("mixed", cb.CatBoostClassifier(**small), TWO, ["m.cbm", "m.json"], mixed, "object", cat_features=["c d"])
        go("labels", cb.CatBoostClassifier(loss_function="MultiLogloss", **small), np.stack([TWO, 1 - TWO, TWO], 1), ["m.json"])
        go("uncertain", cb.CatBoostRegressor(loss_function="RMSEWithUncertainty", **small), Y, ["m.cbm"])
        go("leafwise", cb.CatBoostClassifier(grow_policy="Lossguide", **small), THREE, ["m.json"])


for library in (xgboost, lightgbm, catboost):
    try:
        library()
    except ImportError:
        pass
