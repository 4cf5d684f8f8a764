"""Makes models of `pyspark.ml.connect` and asks them what they take and give, on Java 17.

    V/bin/pip install pyspark==3.5.7 torch==1.12.1 scikit-learn pandas pyarrow 'numpy<2' grpcio grpcio-status googleapis-common-protos setuptools
    V/bin/python spark_connect.py OUT             # Python 3.10; pyspark 4.0.1 too

Each case is a folder OUT/<id>/ with the saved model in `model/` and a `truth.json`. The truth is what the model that
was loaded again makes of a frame of Spark: types from its schema, sizes from its first row.
"""
import json
import os
import shutil
import sys

import numpy as np
import pandas as pd
import torch

import pyspark
from pyspark.ml.connect import classification as C
from pyspark.ml.connect import feature as F
from pyspark.ml.connect import pipeline as P
from pyspark.sql import SparkSession

OUT = sys.argv[1]
TAG = "".join(pyspark.__version__.split(".")[:2])
FRAME = pd.DataFrame({"features": list(np.random.RandomState(0).rand(9, 4)), "label": [0, 1, 2] * 3,
                      "a": list(np.random.RandomState(1).rand(9, 3)), "b": np.arange(9.0)})


def logistic(n=4, k=3, **params):
    model = C.LogisticRegressionModel(torch.nn.Linear(n, k), num_features=n, num_classes=k)
    model._set(**params)
    return model


def scaler(kind, **params):
    return kind(**{"inputCol": "features", "outputCol": "scaled", **params}).fit(FRAME)


def pipeline(*stages):
    return P.PipelineModel(list(stages))


CASES = {
    "logistic": lambda: logistic(), "logistic_names": lambda: logistic(featuresCol="a", predictionCol="p", probabilityCol="q", n=3, k=5),
    "logistic_no_probability": lambda: logistic(probabilityCol=""),
    "standard": lambda: scaler(F.StandardScaler), "maxabs": lambda: scaler(F.MaxAbsScaler, inputCol="a", outputCol="c"),
    "pipe": lambda: pipeline(scaler(F.StandardScaler), logistic(featuresCol="scaled")),
    "pipe_two": lambda: pipeline(scaler(F.StandardScaler), scaler(F.MaxAbsScaler, inputCol="a", outputCol="c"), logistic(featuresCol="c", n=3)),
    "nested": lambda: pipeline(pipeline(scaler(F.MaxAbsScaler)), logistic(featuresCol="scaled", k=2)),
}
if hasattr(F, "ArrayAssembler"):
    def assembler(**more):
        return F.ArrayAssembler(inputCols=["a", "b"], outputCol="features2", featureSizes=[3, 1], **more)
    CASES["assembler"] = assembler
    CASES["assembled"] = lambda: pipeline(assembler(handleInvalid="keep"), logistic(featuresCol="features2"))


os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
spark.sparkContext.setLogLevel("ERROR")
ROWS = spark.createDataFrame([(list(map(float, f)), int(l), list(map(float, a)), float(b))
                              for f, l, a, b in FRAME.head(5).itertuples(index=False)], "features array<double>, label bigint, a array<double>, b double")
NAMES = {"bigint": "int64", "double": "float64", "float": "float32", "int": "int32"}


def kind(name, frame, first):
    spelled = dict(frame.dtypes)[name]
    if spelled.startswith("array<"):
        return NAMES[spelled[6:-1]], [None, len(first[name])]
    return NAMES[spelled], [None]


for name, make in CASES.items():
    ident = f"spc{TAG}_{name}"
    folder = os.path.join(OUT, ident)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    model = make()
    model.saveToLocal(os.path.join(folder, "model"))
    again = type(model).loadFromLocal(os.path.join(folder, "model"))
    frame = FRAME.head(5)

    def fails(columns):
        try:
            again.transform(frame[columns])
            return False
        except Exception:
            return True

    needed = [c for c in frame.columns if fails([x for x in frame.columns if x != c])]
    result = again.transform(ROWS.select(needed))
    first = result.head()
    side = lambda names: [dict(zip(("dtype", "shape"), kind(n, result, first)), name=n) for n in names]
    inputs = side(needed)
    outputs = side([c for c in result.columns if c not in needed])
    levels = {f"{s}.{f}": "derived" for s in ("inputs", "outputs") for f in ("name", "dtype", "shape")}
    levels["inputs.dtype"] = "no"  # any number will do
    # A column of which one number is taken may hold that or an array of it.
    overrides = {f"/signatures/0/inputs/{i}/shape": "no" for i, x in enumerate(inputs) if x["name"] == "b"}
    told = {"id": ident, "format": "spark", "framework": "spark-ml", "path": f"{ident}/model", "expect": "ok",
            "framework_version": pyspark.__version__,
            "signatures": [{"name": "transform", "inputs": inputs, "outputs": outputs}],
            "determinable": {**levels, "overrides": overrides}, "findings": []}
    with open(os.path.join(folder, "truth.json"), "w") as f:
        json.dump(told, f, indent=1)
    print("ok", ident)
spark.stop()
