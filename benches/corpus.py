#!/usr/bin/env python3
"""Lays out models with inputs and expected outputs, for `cargo bench --bench engines`.

usage: corpus.py FOLDER [GROUP ...]

  node, simple, pytorch-converted, pytorch-operator, light
               the backend tests of the `onnx` wheel, with the outputs that ONNX expects
  skl2onnx     exports of scikit-learn's estimators, with the outputs of ONNX Runtime
  networks     networks that other packages carry (magika, rapidocr-onnxruntime, silero-vad), with
               the outputs of ONNX Runtime; nothing of them is kept in this project

Wants `requirements.txt` of this folder, and for `networks` those packages (installed without what
they depend on). A case is a folder with `model.onnx` and `sets.json`; a tensor there is
{"name", "dtype", "shape", "data": base64 of little-endian bytes} or {…, "strings": […]}, and
{"name", "other": WHY} where the Open Inference Protocol has no such tensor.
"""
import base64
import glob
import importlib.util
import json
import os
import sys
import time
import warnings

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper

warnings.filterwarnings("ignore")
ort.set_default_logger_severity(4)
CARRIED = {
    "float32", "float64", "float16", "int8", "int16", "int32", "int64",
    "uint8", "uint16", "uint32", "uint64", "bool",
}  # fmt: skip
TIMED = {"skl2onnx", "networks", "light"}


def tensor(name, value):
    if isinstance(value, onnx.TensorProto):
        value = numpy_helper.to_array(value)
    if value is None or isinstance(value, (list, dict, tuple)):
        return {"name": name, "other": "not a tensor"}
    a = np.asarray(value)
    if a.dtype.kind in "OUST":
        flat = [x.decode(errors="replace") if isinstance(x, bytes) else str(x) for x in a.ravel().tolist()]
        return {"name": name, "dtype": "string", "shape": list(a.shape), "strings": flat}
    if a.dtype.name not in CARRIED:
        return {"name": name, "other": a.dtype.name}
    raw = np.ascontiguousarray(a).astype(a.dtype.newbyteorder("<"), copy=False).tobytes()
    return {"name": name, "dtype": a.dtype.name, "shape": list(a.shape), "data": base64.b64encode(raw).decode()}


def session(data):
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def timing(data, feeds):
    """Milliseconds to load and the median of a run, with one thread in this process."""
    start = time.perf_counter()
    s = session(data)
    load = time.perf_counter() - start
    s.run(None, feeds)
    runs, until = [], time.perf_counter() + 0.5
    while len(runs) < 5 or (time.perf_counter() < until and len(runs) < 2000):
        start = time.perf_counter()
        s.run(None, feeds)
        runs.append(time.perf_counter() - start)
    return {"load_ms": load * 1e3, "p50_ms": sorted(runs)[len(runs) // 2] * 1e3}


def put(folder, group, name, data, sets):
    d = os.path.join(folder, group, name)
    os.makedirs(d, exist_ok=True)
    with open(f"{d}/model.onnx", "wb") as f:
        f.write(data)
    out = []
    for inputs, outputs in sets:
        out.append({"inputs": [tensor(n, v) for n, v in inputs], "outputs": [tensor(n, v) for n, v in outputs]})
    case = {"sets": out}
    if group in TIMED and out:
        try:
            case["onnxruntime"] = timing(data, dict(sets[0][0]))
        except Exception as e:  # an operator that ONNX Runtime lacks is not a reason to leave the case out
            print(f"{group}/{name}: onnxruntime: {str(e).splitlines()[0][:120]}", file=sys.stderr)
    with open(f"{d}/sets.json", "w") as f:
        json.dump(case, f)


def named(model, inputs, outputs):
    """Values beside the names of the graph, weights among the inputs left out."""
    weights = {i.name for i in model.graph.initializer}
    names = [i.name for i in model.graph.input]
    if len(names) > len(inputs):
        names = [n for n in names if n not in weights]
    return list(zip(names, inputs)), list(zip([o.name for o in model.graph.output], outputs))


def node(folder):
    from onnx.backend.test.case import node as cases

    for c in cases.collect_testcases():
        put(folder, "node", c.name, c.model.SerializeToString(), [named(c.model, *s) for s in c.data_sets])


def simple(folder):
    from onnx.backend.test.case import model as cases

    for c in cases.collect_testcases():
        if c.model is not None:
            put(folder, "simple", c.name, c.model.SerializeToString(), [named(c.model, *s) for s in c.data_sets])


def data_folder():
    return os.path.join(os.path.dirname(onnx.__file__), "backend", "test", "data")


def stored(group):
    def make(folder):
        for d in sorted(glob.glob(f"{data_folder()}/{group}/*/")):
            data = open(f"{d}/model.onnx", "rb").read()
            model, sets = onnx.load_model_from_string(data), []
            for s in sorted(glob.glob(f"{d}/test_data_set_*/")):
                read = lambda kind: [
                    onnx.load_tensor(f"{s}/{kind}_{i}.pb") for i in range(len(glob.glob(f"{s}/{kind}_*.pb")))
                ]
                sets.append(named(model, read("input"), read("output")))
            put(folder, group, os.path.basename(d.rstrip("/")), data, sets_as_arrays(sets))

    return make


def sets_as_arrays(sets):
    array = lambda v: numpy_helper.to_array(v) if isinstance(v, onnx.TensorProto) else v
    return [([(n, array(v)) for n, v in i], [(n, array(v)) for n, v in o]) for i, o in sets]


def light(folder):
    for f in sorted(glob.glob(f"{data_folder()}/light/*.onnx")):
        data = open(f, "rb").read()
        model = onnx.load_model_from_string(data)
        weights = {i.name for i in model.graph.initializer}
        inputs = []
        for i in model.graph.input:
            if i.name not in weights:
                shape = [d.dim_value for d in i.type.tensor_type.shape.dim]
                n = int(np.prod(shape))
                # What the wheel's own runner feeds when it is not told to use random numbers.
                inputs.append((np.arange(n) / n).reshape(shape).astype(np.float32))
        expected = [numpy_helper.to_array(onnx.load_tensor(f"{f[:-5]}_output_0.pb"))]
        put(folder, "light", os.path.basename(f)[:-5], data, [named(model, inputs, expected)])


def oracle(folder, group, name, data, feeds):
    """A case whose expected outputs are ONNX Runtime's."""
    s = session(data)
    outputs = []
    for o, v in zip(s.get_outputs(), s.run(None, feeds)):
        if isinstance(v, list) and v and isinstance(v[0], dict):
            # The maps of ZipMap: the protocol has none, floe answers with the scores, in the order of the classes.
            v = np.array([list(row.values()) for row in v], dtype=np.float32)
        outputs.append((o.name, v))
    put(folder, group, name, data, [(list(feeds.items()), outputs)])


def skl2onnx(folder):
    import estimators

    for name, data, feeds in estimators.exports():
        oracle(folder, "skl2onnx", name, data, feeds)


def networks(folder):
    r = np.random.default_rng(7)
    image = lambda h, w: {"x": r.random((1, 3, h, w), dtype=np.float32)}
    state = lambda: np.zeros((2, 1, 128), np.float32)
    sound = lambda: r.random((1, 576), dtype=np.float32)
    rate = np.array(16000, np.int64)
    known = {
        "magika": {"model": {"bytes": r.integers(0, 256, (2, 2048)).astype(np.int32)}},
        "rapidocr_onnxruntime": {
            "ch_PP-OCRv4_det_infer": image(160, 160),
            "ch_PP-OCRv4_rec_infer": image(48, 320),
            "ch_ppocr_mobile_v2.0_cls_infer": image(48, 192),
        },
        "silero_vad": {
            "silero_vad": {"input": sound(), "state": state(), "sr": rate},
            "silero_vad_16k_op15": {"input": sound(), "state": state(), "sr": rate},
            "silero_vad_16k_sequence": {
                "input": r.random((4, 576), dtype=np.float32),
                "h": np.zeros((1, 1, 128), np.float32),
                "c": np.zeros((1, 1, 128), np.float32),
            },
            "silero_vad_half": {"input": sound(), "state": state()},
            "silero_vad_op18_ifless": {"input": sound(), "sr": rate, "state": state()},
            "silero_vad_openvino_16k": {"input": sound(), "state": state()},
        },
    }
    for package, files in known.items():
        spec = importlib.util.find_spec(package)
        if spec is None:
            sys.exit(f"the package {package} is not installed (pip install --no-deps {package.replace('_', '-')})")
        for f in sorted(glob.glob(f"{os.path.dirname(spec.origin)}/**/*.onnx", recursive=True)):
            name = os.path.basename(f)[:-5]
            if name in files:
                oracle(folder, "networks", f"{package}-{name}", open(f, "rb").read(), files[name])


GROUPS = {
    "node": node,
    "simple": simple,
    "pytorch-converted": stored("pytorch-converted"),
    "pytorch-operator": stored("pytorch-operator"),
    "light": light,
    "skl2onnx": skl2onnx,
    "networks": networks,
}

if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    for group in sys.argv[2:] or GROUPS:
        GROUPS[group](sys.argv[1])
        print(f"{group}: {len(os.listdir(os.path.join(sys.argv[1], group)))} cases")
