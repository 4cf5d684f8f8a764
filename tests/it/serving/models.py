"""Writes the models that the serving tests serve.

usage: models.py FOLDER
"""
import os
import sys

import numpy as np
from onnx import TensorProto, helper, numpy_helper

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "..", "benches"))
import estimators

folder = sys.argv[1]
BATCH = "batch"


def save(name, graph):
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with open(f"{folder}/{name}.onnx", "wb") as f:
        f.write(model.SerializeToString())


def info(name, dtype, shape):
    return helper.make_tensor_value_info(name, dtype, shape)


def dtypes():
    """Each element type goes in and comes out."""
    kinds = {
        "float": TensorProto.FLOAT, "double": TensorProto.DOUBLE, "int64": TensorProto.INT64,
        "int32": TensorProto.INT32, "uint8": TensorProto.UINT8, "bool": TensorProto.BOOL, "string": TensorProto.STRING,
    }  # fmt: skip
    nodes = [helper.make_node("Identity", [k], [f"{k}_out"]) for k in kinds]
    inputs = [info(k, t, [BATCH, 2]) for k, t in kinds.items()]
    outputs = [info(f"{k}_out", t, [BATCH, 2]) for k, t in kinds.items()]
    save("dtypes", helper.make_graph(nodes, "dtypes", inputs, outputs))
    half = [info("x", TensorProto.FLOAT16, [BATCH, 3])], [info("y", TensorProto.FLOAT16, [BATCH, 3])]
    save("half", helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "half", *half))


def network():
    """A convolution, a pooling and 5 MB of weights in a dense layer."""
    r = np.random.default_rng(3)
    weight = lambda name, *shape: numpy_helper.from_array((r.random(shape, dtype=np.float32) - 0.5) / 8, name)
    nodes = [
        helper.make_node("Conv", ["image", "k", "kb"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("AveragePool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "w", "wb"], ["g"]),
        helper.make_node("Softmax", ["g"], ["scores"], axis=1),
    ]
    weights = [weight("k", 16, 3, 3, 3), weight("kb", 16), weight("w", 1024, 1280), weight("wb", 1280)]
    graph = helper.make_graph(
        nodes, "network", [info("image", TensorProto.FLOAT, [BATCH, 3, 32, 32])],
        [info("scores", TensorProto.FLOAT, [BATCH, 1280])], weights,
    )  # fmt: skip
    save("network", graph)


def exported():
    wanted = {
        "scaled-logistic-zipmap", "forest-words-zipmap", "gradient-boosting", "svc-rbf-words-zipmap", "mlp", "svr",
        "neighbours-regressor", "isolation-forest", "imputer", "tfidf", "one-hot", "labels", "columns",
    }  # fmt: skip
    for name, data, _ in estimators.exports(wanted.copy().__contains__):
        wanted.remove(name)
        with open(f"{folder}/{name}.onnx", "wb") as f:
            f.write(data)
    if wanted:
        sys.exit(f"not exported: {', '.join(sorted(wanted))}")


dtypes()
network()
exported()
