"""More MLflow models than testdata keeps: every flavour at hand with and without a signature, with their truth.

mlflow-skinny 1.30 to 3.x, and of these what is there: scikit-learn lightgbm xgboost-cpu catboost onnx skl2onnx pandas

    V/bin/python mlflow_more.py OUT

With a signature the truth is what MLflow loads; without one it is the number of columns that the model itself tells.
"""
import json
import os
import shutil
import sys

sys.path = [p for p in sys.path if os.path.abspath(p or ".") != os.path.dirname(os.path.abspath(__file__))]
import mlflow
import numpy as np
import pandas as pd
from mlflow.models import Model, infer_signature
from mlflow.models.signature import ModelSignature
from mlflow.types.schema import ColSpec, Schema, TensorSpec

OUT, VERSION = sys.argv[1], mlflow.__version__
MAJOR = int(VERSION.split(".")[0])
SCALARS = {"boolean": "bool", "integer": "int32", "long": "int64", "float": "float32", "double": "float64", "string": "string",
           "binary": "string"}
N = 40
X = pd.DataFrame({"a": np.arange(N, dtype=float), "b": np.arange(N, dtype=float) % 5, "c": np.arange(N, dtype=float) % 3})
y = (np.arange(N) % 2).astype(int)


def scalar(t):
    for field in ("dtype", "value_type"):
        if hasattr(t, field) and not isinstance(t, type(t).__mro__[0]) or hasattr(t, field) and type(t).__name__ in ("Array", "Map"):
            return scalar(getattr(t, field))
    return SCALARS.get(getattr(t, "name", None))


def describe(spec):
    optional = not getattr(spec, "required", True) or bool(getattr(spec, "optional", False))
    if isinstance(spec, TensorSpec):
        kind = np.dtype(spec.type)
        return {"name": spec.name, "dtype": "string" if kind.kind in "US" else None if kind.kind == "O" else kind.name,
                "shape": [None if n < 0 else n for n in spec.shape], "optional": optional}
    plain = type(spec.type).__name__ in ("DataType", "Object", "AnyType")
    return {"name": spec.name, "dtype": scalar(spec.type), "shape": [None] if plain else None, "optional": optional}


def write(case, save, inner=None, findings=()):
    name = "ml%s_%s" % ("".join(VERSION.split(".")[:2]), case)
    folder = os.path.join(OUT, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    path = os.path.join(folder, "model")
    try:
        save(path)
    except Exception as e:
        print("FAILED", name, type(e).__name__, str(e)[:150])
        shutil.rmtree(folder)
        return
    signature = Model.load(path).signature
    side = lambda s: [describe(x) for x in (s.inputs if s else [])]
    signatures = [{"name": "predict", "inputs": side(signature.inputs), "outputs": side(signature.outputs)}] if signature else inner or []
    level = "stored" if signature else "derived"
    with open(os.path.join(folder, "truth.json"), "w") as f:
        json.dump({"id": name, "format": "mlflow", "framework": "mlflow", "framework_version": VERSION, "path": "mlflow/%s/model" % name,
                   "expect": "ok", "signatures": signatures, "findings": list(findings),
                   "determinable": {"format": "stored", "signatures": level, "inputs.name": level, "inputs.dtype": level, "inputs.shape": level,
                                    "outputs.name": level, "outputs.dtype": level, "outputs.shape": level, "tensors": "n/a"}}, f, indent=1)
    print("ok", name)


def rows(name, dtype, shape):
    return {"name": name, "dtype": dtype, "shape": shape}


REQ = dict(pip_requirements=["numpy"])
both = {"": {}, "_sig": {"signature": infer_signature(X, y)}, "_example": {"input_example": X.head(2)}}
try:
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    for tail, more in both.items():
        for kind in ["pickle", "cloudpickle"] + (["skops"] if MAJOR >= 3 else []):
            write("sk_%s%s" % (kind, tail), lambda p, more=more, kind=kind: mlflow.sklearn.save_model(
                make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y), p, serialization_format=kind, **more, **REQ))
    write("sk_array", lambda p: mlflow.sklearn.save_model(LinearRegression().fit(X.values, y), p, signature=infer_signature(X.values, y.astype("float32")), **REQ))
except ImportError:
    pass
try:
    import lightgbm
    for tail, more in both.items():
        write("lgb_booster" + tail, lambda p, more=more: mlflow.lightgbm.save_model(lightgbm.train(
            {"verbose": -1, "objective": "binary"}, lightgbm.Dataset(X, y), 2), p, **more, **REQ))
        write("lgb_sklearn" + tail, lambda p, more=more: mlflow.lightgbm.save_model(lightgbm.LGBMClassifier(n_estimators=2, verbose=-1).fit(X, y), p, **more, **REQ))
except ImportError:
    pass
try:
    import xgboost
    for tail, more in both.items():
        for form in (["json", "ubj", "xgb"] if MAJOR > 1 else [None]):
            fmt = {"model_format": form} if form else {}
            write("xgb_%s%s" % (form, tail), lambda p, more=more, fmt=fmt: mlflow.xgboost.save_model(
                xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(X, y), 2), p, **fmt, **more, **REQ))
        write("xgb_sklearn" + tail, lambda p, more=more: mlflow.xgboost.save_model(xgboost.XGBClassifier(n_estimators=2).fit(X, y), p, **more, **REQ))
except ImportError:
    pass
try:
    import catboost
    for tail, more in both.items():
        for form in ["cbm", "json"]:
            write("cat_%s%s" % (form, tail), lambda p, more=more, form=form: mlflow.catboost.save_model(
                catboost.CatBoostClassifier(iterations=2, verbose=0, allow_writing_files=False).fit(X, y), p, format=form, **more, **REQ))
except ImportError:
    pass
try:
    from skl2onnx import to_onnx
    proto = to_onnx(LinearRegression().fit(X.values.astype("float32"), y), X.values[:1].astype("float32"), target_opset=15)
    for tail, more in both.items():
        if not tail or "_sig" in tail:
            write("onnx" + tail, lambda p, more=more: mlflow.onnx.save_model(proto, p, **more, **REQ),
                  inner=[{"name": "predict", "inputs": [rows("X", "float32", [None, 3])], "outputs": [rows("variable", "float32", [None, 1])]}])
except (ImportError, NameError):
    pass


class Echo(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input


write("pyfunc", lambda p: mlflow.pyfunc.save_model(p, python_model=Echo(), **REQ), findings=["pickled-code"])
write("pyfunc_artifact", lambda p: mlflow.pyfunc.save_model(p, python_model=Echo(), artifacts={"f": __file__}, signature=infer_signature(X, X), **REQ),
      findings=["pickled-code"])
write("pyfunc_dict", lambda p: mlflow.pyfunc.save_model(p, python_model=Echo(), signature=infer_signature(
    {"x": np.zeros((2, 3)), "y": np.array(["a", "b"])}, np.zeros((2, 4), "float32")), **REQ), findings=["pickled-code"])
dates = pd.DataFrame({"d": pd.to_datetime(["2020-01-01"]), "s": ["x"], "i": np.array([1], "int32"), "f": np.array([1], "float32"), "t": [True], "b": [b"x"]})
write("types", lambda p: mlflow.pyfunc.save_model(p, python_model=Echo(), signature=infer_signature(dates, dates), **REQ), findings=["pickled-code"])
if MAJOR >= 2:
    nested = [{"role": "user", "n": [1, 2], "deep": {"k": ["a"]}}]
    write("nested", lambda p: mlflow.pyfunc.save_model(p, python_model=Echo(), signature=infer_signature(nested, "text", params={"t": 0.5, "stop": ["a"]}), **REQ),
          findings=["pickled-code"])
    write("text", lambda p: mlflow.pyfunc.save_model(p, python_model=Echo(), signature=infer_signature("question", ["a", "b"]), **REQ), findings=["pickled-code"])
    code = os.path.join(OUT, "code_model.py")
    os.makedirs(OUT, exist_ok=True)
    with open(code, "w") as f:
        f.write("import mlflow\n\n\nclass M(mlflow.pyfunc.PythonModel):\n    def predict(self, context, model_input):\n        return model_input\n\n\n"
                "mlflow.models.set_model(M())\n")
    write("from_code", lambda p: mlflow.pyfunc.save_model(p, python_model=code, signature=infer_signature(X, y), **REQ), findings=["bundled-code"])
