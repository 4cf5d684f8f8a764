"""Asks a floe server with Triton's client, over REST and gRPC, and compares with ONNX Runtime.

usage: ask.py HTTP GRPC NAME MODEL.onnx
Prints one line per comparison and exits with 1 at the first that fails.
"""
import sys

import numpy as np
import onnxruntime as ort
import tritonclient.grpc as over_grpc
import tritonclient.http as over_http
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

http_at, grpc_at, name, path = sys.argv[1:5]
options = ort.SessionOptions()
options.log_severity_level = 4
session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
random = np.random.default_rng(11)
DTYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(int64)": np.int64,
          "tensor(int32)": np.int32, "tensor(bool)": np.bool_, "tensor(uint8)": np.uint8,
          "tensor(float16)": np.float16, "tensor(string)": np.object_}  # fmt: skip


def say(what):
    print(f"ok {what}", flush=True)


def check(condition, what):
    if not condition:
        print(f"FAILED {what}", flush=True)
        sys.exit(1)


def feed(info, batch):
    dtype = DTYPES[info.type]
    shape = [d if isinstance(d, int) and d > 0 else batch for d in info.shape]
    if dtype is np.object_:
        return random.choice(["a", "b", "c", "x", "y", "Zürich \u2603"], shape).astype(object)
    if dtype is np.bool_:
        return random.random(shape) < 0.5
    if np.issubdtype(dtype, np.integer):
        return random.integers(0, 3, shape).astype(dtype)
    return (random.random(shape) * 4).astype(dtype)


def expected(feeds):
    out = {}
    for o, v in zip(session.get_outputs(), session.run(None, feeds)):
        if isinstance(v, list):
            # ZipMap's maps are answered as the matrix of scores, in the order of the classes.
            v = np.array([list(row.values()) for row in v], dtype=np.float32)
        out[o.name] = v
    return out


def same(got, want, what):
    check(got is not None and tuple(got.shape) == tuple(want.shape), f"{what}: shape {None if got is None else got.shape}, not {want.shape}")
    if want.dtype.kind in "OU":
        words = [x.decode() if isinstance(x, bytes) else x for x in got.ravel().tolist()]
        check(words == want.ravel().tolist(), f"{what}: {words}, not {want.ravel().tolist()}")
    elif want.dtype.kind == "f":
        loose = want.dtype == np.float16
        check(np.allclose(got, want, rtol=1e-2 if loose else 1e-4, atol=1e-3 if loose else 1e-5, equal_nan=True), f"{what}: {got}, not {want}")
    else:
        check(got.dtype == want.dtype and (got == want).all(), f"{what}: {got}, not {want}")


web = over_http.InferenceServerClient(http_at, concurrency=2)
rpc = over_grpc.InferenceServerClient(grpc_at)
for client in (web, rpc):
    check(client.is_server_live() and client.is_server_ready() and client.is_model_ready(name), "live and ready")
meta = web.get_model_metadata(name)
rpc_meta = rpc.get_model_metadata(name, as_json=True)
check(meta["name"] == name and rpc_meta["name"] == name, "the name")
version = meta["versions"][0]
check(web.is_model_ready(name, version) and rpc.is_model_ready(name, version), "the version is ready")
for info in session.get_inputs():
    told = next((i for i in meta["inputs"] if i["name"] == info.name), None)
    check(told is not None and told["datatype"] == np_to_triton_dtype(np.dtype(DTYPES[info.type])), f"metadata of {info.name}: {told}")
    check(len(told["shape"]) == len(info.shape), f"rank of {info.name}")
check([i["name"] for i in rpc_meta["inputs"]] == [i["name"] for i in meta["inputs"]], "both protocols tell the same inputs")
say(f"metadata {name} {version} {meta.get('parameters', {}).get('model_id', '')}")


def tensors(module, feeds, **kind):
    made = []
    for n, a in feeds.items():
        t = module.InferInput(n, list(a.shape), np_to_triton_dtype(a.dtype))
        t.set_data_from_numpy(a, **kind)
        made.append(t)
    return made


def typed(feeds):
    """A gRPC request with typed contents, which Triton's client never sends."""
    request = service_pb2.ModelInferRequest(model_name=name, id="typed")
    for n, a in feeds.items():
        t = request.inputs.add(name=n, datatype=np_to_triton_dtype(a.dtype), shape=list(a.shape))
        flat = a.ravel().tolist()
        field = {"FP32": "fp32_contents", "FP64": "fp64_contents", "INT64": "int64_contents", "BOOL": "bool_contents", "BYTES": "bytes_contents", "UINT8": "uint_contents"}.get(t.datatype, "int_contents")
        getattr(t.contents, field).extend([x.encode() for x in flat] if t.datatype == "BYTES" else flat)
    return request


for batch in (1, 3):
    feeds = {i.name: feed(i, batch) for i in session.get_inputs()}
    try:
        wants = expected(feeds)
    except Exception as e:
        # A batch that the model itself does not take proves nothing about the server.
        check(batch != 1, f"onnxruntime: {e}")
        continue
    half = any(a.dtype == np.float16 for a in list(feeds.values()) + list(wants.values()))
    for binary in (True,) if half else (True, False):
        asked = [over_http.InferRequestedOutput(n, binary_data=binary) for n in wants]
        answer = web.infer(name, tensors(over_http, feeds, binary_data=binary), outputs=asked, request_id="r1")
        check(answer.get_response()["id"] == "r1", "the id comes back")
        for n, want in wants.items():
            same(answer.as_numpy(n), want, f"rest binary={binary} {n}")
        say(f"rest binary={binary} batch={batch}")
    answer = rpc.infer(name, tensors(over_grpc, feeds), model_version=version, request_id="r2")
    check(answer.get_response().id == "r2", "the id comes back")
    for n, want in wants.items():
        same(answer.as_numpy(n), want, f"grpc {n}")
    say(f"grpc raw batch={batch}")
    if not half:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(rpc._channel)
        answer = stub.ModelInfer(typed(feeds))
        check(not answer.raw_output_contents, "a typed request gets a typed answer")
        for output in answer.outputs:
            want = wants[output.name]
            flat = [list(v) for _, v in output.contents.ListFields()]
            if want.dtype.kind in "OU":
                got = np.array([x.decode() for x in flat[0]], dtype=object)
            else:
                got = np.array(flat[0], dtype=want.dtype)
            same(got.reshape(list(output.shape)), want, f"grpc typed {output.name}")
        check(len(answer.outputs) == len(wants), "all outputs")
        say(f"grpc typed batch={batch}")

first = session.get_inputs()[0]
good = {i.name: feed(i, 1) for i in session.get_inputs()}
wrong = {
    "name": {("no such input" if n == first.name else n): a for n, a in good.items()},
    "dtype": {n: (np.zeros(a.shape, np.int16) if n == first.name else a) for n, a in good.items()},
    "shape": {n: (a.reshape((1, 1, 1) + a.shape) if n == first.name else a) for n, a in good.items()},
}
for what, feeds in wrong.items():
    for module, client in ((over_http, web), (over_grpc, rpc)):
        try:
            client.infer(name, tensors(module, feeds))
            check(False, f"a wrong {what} was accepted")
        except InferenceServerException as e:
            text = str(e.message())
            check(what == "name" or ("expected" in text and "found" in text), f"wrong {what}: {text}")
            check(str(e.status()) in ("400", "StatusCode.INVALID_ARGUMENT"), f"wrong {what}: status {e.status()}")
    say(f"wrong {what} is refused")
for client in (web, rpc):
    try:
        client.get_model_metadata("another")
        check(False, "another model was found")
    except InferenceServerException as e:
        check(str(e.status()) in ("404", "StatusCode.NOT_FOUND"), f"another model: status {e.status()}")
say("another model is not found")
