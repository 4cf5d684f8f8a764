"""Writes every model of the `onnx` package's own backend tests with its truth, for a test that reads them all.

Needs onnx 1.23.2 and numpy (any version with `onnx.backend.test.case` will do):

    python onnx_backend.py OUT          writes OUT/onnx/ID/model.onnx, OUT/onnx/ID/truth.json and OUT/index.json
    python onnx_backend.py OUT FLOE     and compares what `FLOE infer --json FILE` says; exit 1 if anything is wrong

Each model is there twice: as it is, and (`ID-bare`) without the types of its outputs and inner values. The truth of
the first is what the file declares. That of the second is the same, and what `onnx.shape_inference` cannot tell is
marked as not determinable. Nothing comes from floe.
"""

import glob
import json
import os
import subprocess
import sys
import warnings

import onnx
from onnx import shape_inference
from onnx.backend.test.case import model as model_cases
from onnx.backend.test.case import node as node_cases

warnings.simplefilter("ignore")
T = onnx.TensorProto
NUMPY = {"FLOAT": "float32", "DOUBLE": "float64", "FLOAT8E4M3FN": "float8_e4m3fn", "FLOAT8E4M3FNUZ": "float8_e4m3fnuz",
         "FLOAT8E5M2": "float8_e5m2", "FLOAT8E5M2FNUZ": "float8_e5m2fnuz", "FLOAT8E8M0": "float8_e8m0fnu",
         "FLOAT4E2M1": "float4_e2m1fn", "FLOAT6E2M3": "float6_e2m3fn", "FLOAT6E3M2": "float6_e3m2fn"}


def element(t):
    kind = t.WhichOneof("value")
    if kind in ("tensor_type", "sparse_tensor_type"):
        number = getattr(t, kind).elem_type
        name = T.DataType.Name(number)
        return NUMPY.get(name, name.lower()) if number else None
    if kind in ("sequence_type", "optional_type"):
        return element(getattr(t, kind).elem_type)
    return element(t.map_type.value_type) if kind == "map_type" else None


def shape(t):
    kind = t.WhichOneof("value")
    if kind == "optional_type":
        return shape(t.optional_type.elem_type)
    if kind not in ("tensor_type", "sparse_tensor_type") or not getattr(t, kind).HasField("shape"):
        return None
    return [d.dim_value if d.HasField("dim_value") and d.dim_value >= 0 else None for d in getattr(t, kind).shape.dim]


def describe(value):
    return {"name": value.name, "dtype": element(value.type), "shape": shape(value.type)}


def bare(model):
    stripped = onnx.ModelProto()
    stripped.CopyFrom(model)
    del stripped.graph.value_info[:]
    for output in stripped.graph.output:
        output.ClearField("type")
    return stripped


def cases():
    for case in list(node_cases.collect_testcases(None)) + list(model_cases.collect_testcases()):
        if case.model is not None:
            yield case.name, case.model
    data = os.path.join(os.path.dirname(onnx.__file__), "backend", "test", "data")
    for path in sorted(glob.glob(os.path.join(data, "**", "*.onnx"), recursive=True)):
        yield os.path.relpath(path, data)[:-5].replace(os.sep, "--"), onnx.load(path, load_external_data=False)


def truth(name, model, outputs, overrides):
    weights = {w.name for w in model.graph.initializer} | {w.values.name for w in model.graph.sparse_initializer}
    inputs = [describe(v) | {"optional": v.name in weights} for v in model.graph.input
              if v.name not in weights or model.ir_version >= 4]
    # Inputs that may be left out come last.
    inputs.sort(key=lambda i: i["optional"])
    stored = "derived" if overrides is not None else "stored"
    levels = {"format": "stored", "signatures": "no", "inputs.name": "stored", "inputs.dtype": "stored",
              "inputs.shape": "stored", "outputs.name": "stored", "outputs.dtype": stored, "outputs.shape": stored,
              "tensors": "n/a", "overrides": overrides or {}}
    return {"id": name, "format": "onnx", "framework": "onnx", "path": f"onnx/{name}/model.onnx", "expect": "ok",
            "signatures": [{"name": None, "inputs": inputs, "outputs": outputs}], "determinable": levels,
            "findings": []}


def write(out, index, told, model):
    folder = os.path.join(out, "onnx", told["id"])
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "model.onnx"), "wb") as f:
        f.write(model.SerializeToString(deterministic=True))
    with open(os.path.join(folder, "truth.json"), "w") as f:
        json.dump(told, f, indent=1, sort_keys=True)
    index.append({"id": told["id"], "format": "onnx", "truth": f"onnx/{told['id']}/truth.json"})


def wrong(told, said):
    """What a document says otherwise than the truth; unknown is never wrong."""
    if "error" in said or said.get("failure"):
        return [said.get("failure") or said["error"]["message"]]
    bad = []
    for side in ("inputs", "outputs"):
        want, got = told["signatures"][0][side], said["signatures"][0][side]
        if [t["name"] for t in want] != [t["name"] for t in got]:
            bad.append(f"names of {side}")
            continue
        for w, g in zip(want, got):
            if g["dtype"] != w["dtype"] and g["dtype"] and w["dtype"]:
                bad.append(f"dtype of {w['name']}: {g['dtype']} for {w['dtype']}")
            a, b = g["shape"], w["shape"]
            if a is None or b is None:
                continue
            if len(a) != len(b) or any(x != y for x, y in zip(a, b) if x is not None and y is not None):
                bad.append(f"shape of {w['name']}: {a} for {b}")
    return bad + [f"finding {f['code']}" for f in said["findings"]]


def main(out, floe=None):
    index, pairs = [], []
    for name, model in cases():
        outputs = [describe(v) for v in model.graph.output]
        told = truth(name, model, outputs, None)
        write(out, index, told, model)
        pairs.append(told)
        stripped = bare(model)
        try:
            known = [describe(v) for v in shape_inference.infer_shapes(stripped, data_prop=True).graph.output]
        except Exception:  # what inference refuses has no truth
            continue
        overrides = {}
        for at, output in enumerate(known):
            for field in ("dtype", "shape"):
                # What inference knows in part only is no truth either.
                if output[field] != outputs[at][field]:
                    overrides[f"/signatures/0/outputs/{at}/{field}"] = "no"
        told = truth(name + "-bare", stripped, outputs, overrides)
        write(out, index, told, stripped)
        pairs.append(told)
    with open(os.path.join(out, "index.json"), "w") as f:
        json.dump({"cases": index}, f)
    print(len(pairs), "models")
    bad = 0
    for told in pairs if floe else []:
        path = os.path.join(out, told["path"])
        ran = subprocess.run([floe, "infer", "--json", path], capture_output=True, text=True, check=False)
        try:
            problems = wrong(told, json.loads(ran.stdout))
        except ValueError:
            problems = [ran.stderr[-300:]]
        bad += bool(problems)
        if problems:
            print(told["id"], problems)
    if floe:
        print(bad, "of them read wrong")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
