"""Writes MOJOs of H2O, `h2o/made_*`, and their truth: the columns that the model was given, and those of the
frame that `predict` gives, with their types.

Python 3.11 with Java 17: h2o==3.44.0.3 pandas. Run from this folder's parent, not from this folder, whose
name of this file would hide the library:

    cp make/h2o.py mojos.py && python mojos.py
"""

import json
import os
import shutil
import zipfile

import h2o
import numpy as np
import pandas as pd
from h2o.estimators import *

TYPES = {"enum": "string", "real": "float64", "int": "int64"}
GIVEN = {"Numeric": "float64", "Enum": "string", "String": "string", "Time": None}

h2o.init(nthreads=1, max_mem_size="2g", log_level="FATA")
h2o.no_progress()
np.random.seed(1)
N = 120
data = pd.DataFrame({
    "age": np.random.rand(N) * 50, "inc": np.random.rand(N), "color": np.random.choice(["red", "blue", "gr een"], N),
    "stop": np.random.randint(1, 100, N), "event": np.random.choice([0, 1], N),
    "digit": np.random.choice([0, 1], N), "word": np.random.choice(["a", "b", "c"], N),
    "day": pd.date_range("2020-01-01", periods=N),
})
data["number"] = data.age * 2 + data.inc
frame = h2o.H2OFrame(data)
for name in ["color", "digit", "word"]:
    frame[name] = frame[name].asfactor()


def go(case, model, features, response=None, rows=frame, given=None, unpack=False):
    model.train(x=features, y=response, training_frame=rows)
    folder = os.path.join("h2o", "made_" + case)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    model.download_mojo(path=folder + "/model.zip")
    file = "model.zip"
    if unpack:
        file = "model"
        zipfile.ZipFile(folder + "/model.zip").extractall(folder + "/model")
        os.remove(folder + "/model.zip")
        shutil.rmtree(folder + "/model/experimental")
    result = given(model) if given else model.predict(rows)
    output = model._model_json["output"]
    types = dict(zip(output["names"], output["column_types"]))
    truth = {
        "id": "made_" + case, "format": "h2o", "framework": "h2o-mojo", "framework_version": "3.44.0.3",
        "path": "h2o/made_%s/%s" % (case, file), "expect": "ok",
        "signatures": [{
            "name": "predict",
            "inputs": [{"name": n, "dtype": GIVEN[types[n]], "shape": [None]} for n in output["names"] if n in features],
            "outputs": [{"name": n, "dtype": TYPES[result.types[n]], "shape": [None]} for n in result.columns],
        }],
        "determinable": {
            "format": "stored", "signatures": "stored", "inputs.name": "stored", "inputs.dtype": "stored",
            "inputs.shape": "stored", "outputs.name": "derived", "outputs.dtype": "derived",
            "outputs.shape": "derived", "tensors": "n/a",
        },
        "facts": {"estimator": model.algo, "h2o.category": output["model_category"]}, "findings": [],
    }
    with open(folder + "/truth.json", "w") as f:
        json.dump(truth, f, indent=1, sort_keys=True)
        f.write("\n")


FEATURES = ["age", "inc", "color"]
small = dict(ntrees=2, max_depth=2, seed=1)
go("binomial", H2OGradientBoostingEstimator(**small), FEATURES, "digit")
go("multinomial", H2OGradientBoostingEstimator(**small), FEATURES + ["day"], "word")
go("calibrated", H2OGradientBoostingEstimator(calibrate_model=True, calibration_frame=frame, **small), FEATURES, "digit")
go("offset", H2OGradientBoostingEstimator(offset_column="inc", weights_column="stop", **small), ["age", "color"], "number")
go("clusters", H2OKMeansEstimator(k=3), FEATURES, unpack=True)
go("components", H2OPrincipalComponentAnalysisEstimator(k=2, impute_missing=True), FEATURES)
go("anomalies", H2OIsolationForestEstimator(ntrees=3, seed=1), FEATURES)
go("autoencoder", H2OAutoEncoderEstimator(hidden=[2], epochs=1), ["age", "inc"])
go("cox", H2OCoxProportionalHazardsEstimator(stop_column="stop"), ["age", "inc"], "event")
words = h2o.H2OFrame(pd.DataFrame({"w": ["aa", "bb", "cc", "aa", "bb"] * 20}), column_types=["string"])
go("words", H2OWord2vecEstimator(vec_size=3, min_word_freq=1, epochs=1), ["w"], rows=words,
   given=lambda m: m.transform(words, aggregate_method="NONE"))
h2o.cluster().shutdown()
