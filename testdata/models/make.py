"""Writes the ONNX models `onnx/made_*` and their truth. Needs the `onnx` package; run in this folder.

The truth of what a file leaves out comes from `onnx.shape_inference`.
"""

import json
import os
import shutil

import onnx
from onnx import TensorProto, helper, shape_inference
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor, make_tensor_value_info

F = TensorProto.FLOAT
I = TensorProto.INT64
NUMPY = {"FLOAT": "float32", "DOUBLE": "float64", "FLOAT16": "float16", "BFLOAT16": "bfloat16",
         "COMPLEX64": "complex64", "COMPLEX128": "complex128"}


def dtype(number):
    name = TensorProto.DataType.Name(number)
    return NUMPY.get(name, name.lower())


def describe(value):
    t, shape = value.type, None
    while not t.HasField("tensor_type"):
        kind = t.WhichOneof("value")
        if kind == "optional_type":
            t = t.optional_type.elem_type
        elif kind == "sequence_type":
            t = t.sequence_type.elem_type
        elif kind == "map_type":
            t = t.map_type.value_type
        else:
            return {"name": value.name, "dtype": None, "shape": None}
    direct = value.type.HasField("tensor_type") or value.type.HasField("optional_type")
    if direct and t.tensor_type.HasField("shape"):
        shape = [d.dim_value if d.HasField("dim_value") and d.dim_value >= 0 else None
                 for d in t.tensor_type.shape.dim]
    return {"name": value.name, "dtype": dtype(t.tensor_type.elem_type), "shape": shape}


def write(case, model, files=None, findings=(), facts=None, exact=None):
    folder = os.path.join("onnx", "made_" + case)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(os.path.join(folder, "model"))
    with open(os.path.join(folder, "model", "model.onnx"), "wb") as f:
        f.write(model.SerializeToString(deterministic=True))
    for name, content in (files or {}).items():
        with open(os.path.join(folder, "model", name), "wb") as f:
            f.write(content)
    full = shape_inference.infer_shapes(model).graph
    weights = {w.name for w in full.initializer} | {w.values.name for w in full.sparse_initializer}
    inputs = [describe(v) | {"optional": v.name in weights} for v in full.input
              if v.name not in weights or model.ir_version >= 4]
    outputs = [describe(v) for v in full.output]
    # What is true and shape inference does not tell: two branches or turns that agree.
    for output in outputs:
        output["shape"] = (exact or {}).get(output["name"], output["shape"])
    truth = {
        "id": "made_" + case, "format": "onnx", "path": f"onnx/made_{case}/model",
        "signatures": [{"name": None, "inputs": inputs, "outputs": outputs}],
        "findings": list(findings), "facts": facts or {},
    }
    with open(os.path.join(folder, "truth.json"), "w") as f:
        json.dump(truth, f, indent=1, sort_keys=True)
        f.write("\n")


def model(nodes, inputs, outputs, weights=(), ir=10, opsets=(("", 17),), functions=(), **more):
    graph = make_graph(nodes, "made", inputs, outputs, initializer=list(weights), **more)
    return make_model(graph, functions=list(functions), ir_version=ir, opset_imports=[make_opsetid(d, v) for d, v in opsets],
                      producer_name="floe-make", producer_version="1")


def untyped(name):
    value = onnx.ValueInfoProto()
    value.name = name
    return value


def tensor(name, elem, shape):
    return make_tensor_value_info(name, elem, shape)


W = make_tensor("w", F, [4, 2], [0.5] * 8)

write("names", model(
    [make_node("Identity", ["x"], ["y"]), make_node("Identity", ["s"], ["t"]), make_node("Identity", ["u"], ["v"])],
    [tensor("x", F, ["batch", "seq", 3]), tensor("s", TensorProto.STRING, []), tensor("u", TensorProto.BFLOAT16, None)],
    [tensor("y", F, ["batch", "seq", 3]), tensor("t", TensorProto.STRING, []), tensor("v", TensorProto.BFLOAT16, None)]),
    facts={"onnx.opset.ai.onnx": "17", "onnx.producerName": "floe-make", "onnx.irVersion": "10"})
write("overridable", model([make_node("MatMul", ["x", "w"], ["y"])],
                           [tensor("w", F, [4, 2]), tensor("x", F, [None, 4])], [tensor("y", F, [None, 2])], [W]))
write("weights_are_inputs", model([make_node("MatMul", ["x", "w"], ["y"])],
                                  [tensor("w", F, [4, 2]), tensor("x", F, [None, 4])], [tensor("y", F, [None, 2])],
                                  [W], ir=3, opsets=(("", 8),)))
write("untyped_output", model(
    [make_node("Conv", ["x", "k"], ["c"], strides=[2, 2], pads=[1, 1, 1, 1]),
     make_node("Relu", ["c"], ["r"]),
     make_node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
     make_node("Shape", ["p"], ["shape"]), make_node("Gather", ["shape", "zero"], ["n"], axis=0),
     make_node("Concat", ["n", "minus"], ["target"], axis=0),
     make_node("Reshape", ["p", "target"], ["flat"]),
     make_node("Gemm", ["flat", "w"], ["scores"], transB=1),
     make_node("ArgMax", ["scores"], ["best"], axis=1, keepdims=0),
     make_node("Cast", ["scores"], ["half"], to=TensorProto.FLOAT16)],
    [tensor("x", F, ["N", 3, 17, 17])], [untyped("scores"), untyped("best"), untyped("half")],
    [make_tensor("k", F, [8, 3, 3, 3], [0.0] * 216), make_tensor("zero", I, [1], [0]),
     make_tensor("minus", I, [1], [-1]), make_tensor("w", F, [5, 128], [0.0] * 640)]))
write("slices", model(
    [make_node("Slice", ["x", "from", "to", "axes", "steps"], ["s"]), make_node("Split", ["x"], ["a", "b"], axis=1),
     make_node("Pad", ["a", "pads"], ["p"]), make_node("TopK", ["x", "two"], ["t", "i"]),
     make_node("Transpose", ["x"], ["q"], perm=[1, 0, 2]), make_node("ReduceMean", ["q"], ["r"], axes=[-1], keepdims=0),
     make_node("Unsqueeze", ["r", "axes"], ["u"])],
    [tensor("x", F, ["N", 6, 5])], [untyped(n) for n in "sbptiru"],
    [make_tensor("from", I, [2], [1, -1]), make_tensor("to", I, [2], [5, -100]), make_tensor("axes", I, [2], [1, 2]),
     make_tensor("steps", I, [2], [2, -1]), make_tensor("pads", I, [6], [0, 1, 0, 0, 0, 2]),
     make_tensor("two", I, [1], [2])]))
write("sequences", model(
    [make_node("SplitToSequence", ["x"], ["s"], axis=0), make_node("SequenceLength", ["s"], ["n"]),
     make_node("SequenceConstruct", ["x", "x"], ["c"]), make_node("SequenceAt", ["c", "n"], ["e"])],
    [tensor("x", F, ["N", 4])], [untyped("s"), untyped("c"), untyped("n"), untyped("e")]))
write("zipmap", model(
    [make_node("LinearClassifier", ["x"], ["label", "p"], domain="ai.onnx.ml", coefficients=[0.1] * 12,
               intercepts=[0.0] * 3, classlabels_strings=["a", "b", "c"], post_transform="SOFTMAX"),
     make_node("ZipMap", ["p"], ["probabilities"], domain="ai.onnx.ml", classlabels_strings=["a", "b", "c"])],
    [tensor("x", F, [None, 4])],
    [tensor("label", TensorProto.STRING, [None]), helper.make_value_info(
        "probabilities", helper.make_sequence_type_proto(helper.make_map_type_proto(
            TensorProto.STRING, helper.make_tensor_type_proto(F, []))))],
    opsets=(("", 17), ("ai.onnx.ml", 3))))
write("custom", model(
    [make_node("Fancy", ["x"], ["f"], domain="com.example"), make_node("Gelu", ["f"], ["g"], domain="com.microsoft"),
     make_node("Own", ["g"], ["y"], domain="local")],
    [tensor("x", F, [2])], [tensor("y", F, [2])],
    opsets=(("", 17), ("com.example", 1), ("com.microsoft", 1), ("local", 1))),
    findings=["custom-operators"],
    facts={"onnx.customDomains": "com.example,com.microsoft,local"})

outside = {"w": ("data.bin", b"\0" * 32), "v": ("../../etc/passwd", None), "u": ("missing.bin", None)}
weights = []
for name, (location, _) in outside.items():
    w = TensorProto(name=name, data_type=F, dims=[4, 2], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, "offset": "0", "length": "32"}.items():
        entry = w.external_data.add()
        entry.key, entry.value = key, value
    weights.append(w)
write("external", model([make_node("MatMul", ["x", n], ["y" + n]) for n in outside], [tensor("x", F, [None, 4])],
                        [tensor("y" + n, F, [None, 2]) for n in outside], weights),
      files={"data.bin": b"\0" * 32}, findings=["external-data-outside", "external-data-missing"])


def inner(name, nodes, inputs, outputs):
    return make_graph(nodes, name, inputs, outputs)


def node_with_reference():
    node = make_node("Cast", ["a"], ["b"])
    attribute = node.attribute.add()
    attribute.name, attribute.ref_attr_name, attribute.type = "to", "to", onnx.AttributeProto.INT
    return node


B = TensorProto.BOOL
write("inner_graphs", model(
    [make_node("ReduceMax", ["x"], ["m"], keepdims=0), make_node("Greater", ["m", "limit"], ["c"]),
     make_node("If", ["c"], ["i"],
               then_branch=inner("then", [make_node("MatMul", ["x", "w"], ["t"])], [], [untyped("t")]),
               else_branch=inner("else", [make_node("Slice", ["x", "from", "to", "axes"], ["e"])], [], [untyped("e")])),
     make_node("Loop", ["turns", "", "sum"], ["l", "each"], body=inner(
         "body", [make_node("Add", ["s", "s"], ["s2"]), make_node("Identity", ["go"], ["go2"]),
                  make_node("Cast", ["s2"], ["h"], to=TensorProto.FLOAT16)],
         [tensor("at", I, []), tensor("go", B, []), tensor("s", F, [2])],
         [tensor("go2", B, []), tensor("s2", F, [2]), untyped("h")])),
     make_node("Scan", ["sum", "rows"], ["last", "all"], num_scan_inputs=1, body=inner(
         "step", [make_node("Add", ["a", "r"], ["b"]), make_node("Neg", ["b"], ["n"])],
         [tensor("a", F, [2]), tensor("r", F, [2])], [tensor("b", F, [2]), untyped("n")]))],
    [tensor("x", F, ["N", 4]), tensor("rows", F, [7, 2])], [untyped(n) for n in ("i", "l", "each", "last", "all")],
    [W, make_tensor("limit", F, [], [0.0]), make_tensor("from", I, [1], [0]), make_tensor("to", I, [1], [2]),
     make_tensor("axes", I, [1], [1]), make_tensor("turns", I, [], [3]), make_tensor("sum", F, [2], [0.0, 0.0])]),
    exact={"i": [None, 2], "l": [2]})
write("functions", model(
    [make_node("Half", ["x"], ["y"], domain="local", to=TensorProto.FLOAT16),
     make_node("Twice", ["x"], ["z"], domain="local")],
    [tensor("x", F, ["N", 4])], [untyped("y"), untyped("z")], [], ir=10,
    opsets=(("", 17), ("local", 1)), functions=[
        helper.make_function("local", "Twice", ["a"], ["b"], [
            make_node("Half", ["a"], ["h"], domain="local", to=TensorProto.DOUBLE),
            make_node("Concat", ["h", "h"], ["b"], axis=1)], [make_opsetid("", 17), make_opsetid("local", 1)]),
        helper.make_function("local", "Half", ["a"], ["b"], [
            node_with_reference()], [make_opsetid("", 17)], ["to"]),
    ]))
write("recurrent", model(
    [make_node("LSTM", ["x", "k", "r"], ["a", "h", "c"], hidden_size=3, direction="bidirectional"),
     make_node("Einsum", ["x", "x"], ["e"], equation="sbi,sbj->bij"),
     make_node("NonZero", ["x"], ["nz"]), make_node("OneHot", ["i", "five", "on"], ["o"]),
     make_node("Resize", ["x", "", "", "sizes"], ["z"]), make_node("Dropout", ["x"], ["d", "mask"])],
    [tensor("x", F, [6, "N", 2]), tensor("i", I, ["N"])],
    [untyped(n) for n in ("a", "h", "c", "e", "nz", "o", "z", "d", "mask")],
    [make_tensor("k", F, [2, 12, 2], [0.1] * 48), make_tensor("r", F, [2, 12, 3], [0.1] * 72),
     make_tensor("five", I, [], [5]), make_tensor("on", F, [2], [0.0, 1.0]), make_tensor("sizes", I, [3], [6, 4, 4])]))
