"""Writes the MLflow models `mlflow/ml3_*` and `mlflow/ml1_*` and their truth, which MLflow itself tells.

Run in testdata/models, once with each:

    mlflow-skinny==3.17.2 scikit-learn pandas onnx==1.23.2 onnxruntime     (Python 3.12)
    mlflow-skinny==1.30.1 scikit-learn pandas                  (Python 3.8)

The truth is what `mlflow.models.Model.load` gives for the saved folder; for a model without a signature it is what
the `onnx` package says of the file inside.
"""

import json
import os
import shutil
import sys
import tempfile

import mlflow
import numpy as np
from mlflow.models import Model
from mlflow.models.signature import ModelSignature
from mlflow.types import schema as S
from mlflow.types.schema import ColSpec, Schema, TensorSpec
from sklearn.linear_model import LinearRegression

MAJOR = int(mlflow.__version__.split(".")[0])
SCALARS = {"boolean": "bool", "integer": "int32", "long": "int64", "float": "float32", "double": "float64",
           "string": "string", "binary": "string"}


def scalar(t):
    """The innermost element type; a moment has none that people would send."""
    if isinstance(t, S.DataType):
        return SCALARS.get(t.name)
    if hasattr(S, "SparkMLVector") and isinstance(t, S.SparkMLVector):
        return "float64"
    if hasattr(S, "Array") and isinstance(t, S.Array):
        return scalar(t.dtype)
    if hasattr(S, "Map") and isinstance(t, S.Map):
        return scalar(t.value_type)
    return None


def optional(spec):
    return not getattr(spec, "required", True) or bool(getattr(spec, "optional", False))


def describe(spec):
    if isinstance(spec, TensorSpec):
        kind = np.dtype(spec.type)
        dtype = "string" if kind.kind in "US" else kind.name
        return {"name": spec.name, "dtype": dtype, "shape": [None if n < 0 else n for n in spec.shape],
                "optional": optional(spec)}
    # A column is one value per row; of lists and maps in it no shape is told.
    rows = isinstance(spec.type, S.DataType) or type(spec.type).__name__ in ("Object", "AnyType")
    return {"name": spec.name, "dtype": scalar(spec.type), "shape": [None] if rows else None,
            "optional": optional(spec)}


def write(case, save, findings=(), facts=None, inner=None):
    name = f"ml{MAJOR}_{case}"
    folder = os.path.join("mlflow", name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    path = os.path.join(folder, "model")
    save(path)
    for root, folders, files in os.walk(path):
        for f in files:
            if f.endswith(".pyc"):
                os.remove(os.path.join(root, f))
    model = Model.load(path)
    signature = model.signature
    if inner:
        signatures = inner
    elif signature is None:
        signatures = []
    else:
        side = lambda s: [describe(x) for x in (s.inputs if s else [])]
        signatures = [{"name": "predict", "inputs": side(signature.inputs), "outputs": side(signature.outputs)}]
    pyfunc = model.flavors["python_function"]
    with open(os.path.join(path, "requirements.txt")) as f:
        packages = f.read().splitlines()
    truth = {
        "id": name, "format": "mlflow", "framework": "mlflow", "framework_version": getattr(model, "mlflow_version", None),
        "path": f"mlflow/{name}/model", "expect": "ok", "signatures": signatures,
        "determinable": {"format": "stored", "signatures": "stored", "inputs.name": "stored", "inputs.dtype": "stored",
                         "inputs.shape": "stored", "outputs.name": "stored", "outputs.dtype": "stored",
                         "outputs.shape": "stored", "tensors": "n/a"},
        "findings": list(findings),
        "facts": dict(facts or {}, **{"mlflow.flavors": sorted(model.flavors), "python": pyfunc["python_version"],
                                      "mlflow.loader_module": pyfunc["loader_module"],
                                      "mlflow.model_uuid": model.model_uuid,
                                      "packages": packages}),
        "source": "generated",
    }
    with open(os.path.join(folder, "truth.json"), "w") as f:
        json.dump(truth, f, indent=1, sort_keys=True)
        f.write("\n")


estimator = LinearRegression().fit(np.eye(3), np.arange(3.0))


def sklearn(signature, **more):
    def save(path):
        mlflow.sklearn.save_model(estimator, path, signature=signature, pip_requirements=["scikit-learn>=1", "numpy"],
                                  serialization_format="cloudpickle", **more)
    return save


names = ["a", "b", "ü c"]
table = Schema([ColSpec("double", n) for n in names])
if MAJOR == 1:
    write("columns", sklearn(ModelSignature(table, Schema([ColSpec("double")]))))
    write("tensors", sklearn(ModelSignature(
        Schema([TensorSpec(np.dtype("float32"), (-1, 3), "x"), TensorSpec(np.dtype("uint8"), (-1, 2, 2), "y")]),
        Schema([TensorSpec(np.dtype("int64"), (-1,))]))))
    write("scalars", sklearn(ModelSignature(Schema(
        [ColSpec(t, t) for t in ("boolean", "integer", "long", "float", "double", "string", "binary", "datetime")]))))
    sys.exit()

from mlflow.types.schema import AnyType, Array, Map, Object, ParamSchema, ParamSpec, Property, SparkMLVector

write("tensors", sklearn(ModelSignature(
    Schema([TensorSpec(np.dtype("float32"), (-1, 28, 28), "image"), TensorSpec(np.dtype("bool"), (-1,), "mask"),
            TensorSpec(np.dtype("str"), (2,), "text"), TensorSpec(np.dtype("object"), (-1,), "any")]),
    Schema([TensorSpec(np.dtype("float16"), ()), ]))))
write("types", sklearn(ModelSignature(
    Schema([ColSpec(t, t) for t in ("boolean", "integer", "long", "float", "double", "string", "binary", "datetime")]
           + [ColSpec("long", "perhaps", required=False), ColSpec(Array(S.DataType.string), "list"),
              ColSpec(Array(Array(S.DataType.float)), "lists"), ColSpec(Map(S.DataType.long), "map"),
              ColSpec(Object([Property("x", S.DataType.double), Property("y", Array(S.DataType.string), required=False)]),
                      "record"), ColSpec(AnyType(), "any"), ColSpec(SparkMLVector(), "vector")]),
    Schema([ColSpec("double", "score"), ColSpec(Array(S.DataType.double), "all")]),
    ParamSchema([ParamSpec("temperature", S.DataType.float, 0.5), ParamSpec("stop", S.DataType.string, ["a"], (-1,))]))))
write("unnamed", sklearn(ModelSignature(Schema([ColSpec("string")]), Schema([ColSpec("long")]))))

import onnx
from onnx import TensorProto, helper

graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "made",
                          [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
                          [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])])
proto = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)])
value = lambda n: {"name": n, "dtype": "float32", "shape": [None, 4], "optional": False}
write("onnx_no_signature", lambda path: mlflow.onnx.save_model(proto, path, pip_requirements=["onnx"]),
      inner=[{"name": "predict", "inputs": [value("x")], "outputs": [value("y")]}],
      facts={"mlflow.inner_format": "onnx", "mlflow.signature": "flavor"})


class Doubler(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input


write("python_model", lambda path: mlflow.pyfunc.save_model(path, python_model=Doubler(), pip_requirements=["numpy"],
                                                            signature=ModelSignature(table, None)),
      findings=["pickled-code"])
with tempfile.TemporaryDirectory() as folder:
    os.makedirs(os.path.join(folder, "helper"))
    for f in ("helper/__init__.py",):
        with open(os.path.join(folder, f), "w") as out:
            out.write("def _load_pyfunc(path):\n    return None\n")
    sys.path.insert(0, folder)
    write("own_loader", lambda path: mlflow.pyfunc.save_model(
        path, loader_module="helper", code_paths=[os.path.join(folder, "helper")], pip_requirements=["numpy"],
        signature=ModelSignature(table, table)), findings=["custom-loader", "bundled-code"])
