"""Makes the PyTorch models of `testdata/models/pytorch`, each with a `truth.json` that PyTorch told.

    pip install torch==2.15.0 numpy      (Python 3.11)   python make/pytorch.py 215
    pip install torch==2.2.2 numpy<2     (Python 3.10)   python make/pytorch.py 222
    pip install torch==1.4.0 numpy<1.24  (Python 3.8)    python make/pytorch.py 140

Run it in `testdata/models`; the argument names the cases that this version makes. A truth comes from
the file as PyTorch loads it again: schemas of methods, graph signatures, `state_dict()`.
"""
import json, os, sys
from typing import Dict, List, NamedTuple, Optional, Tuple

import torch
import torch.nn as nn

TAG = sys.argv[1]
HERE = os.path.join(os.getcwd(), "pytorch")
ALL = {"215", "222", "140"}
CASES = []


def case(name, tags=ALL, file="model.pt"):
    def add(f):
        if TAG in tags:
            CASES.append((name, file, f))
        return f
    return add


def dt(t):
    return str(t).replace("torch.", "")


def dims(t, free=(0,)):
    return [None if i in free else int(n) for i, n in enumerate(t.shape)]


def table(state):
    return [{"name": k, "dtype": dt(v.dtype), "shape": [int(n) for n in v.shape]} for k, v in state.items()
            if isinstance(v, torch.Tensor)]


def write(name, file, framework, signatures, tensors, levels, facts=None, findings=None, why=""):
    folder = os.path.join(HERE, "pt%s_%s" % (TAG, name))
    os.makedirs(folder, exist_ok=True)
    base = {"format": "stored", "signatures": "stored", "inputs.name": "stored", "inputs.dtype": "no", "inputs.shape": "no",
            "outputs.name": "no", "outputs.dtype": "no", "outputs.shape": "no", "tensors": "stored", "why": why}
    base.update(levels)
    truth = {"id": "pt%s_%s" % (TAG, name), "format": "pytorch", "framework": framework, "framework_version": torch.__version__,
             "path": "pytorch/pt%s_%s/%s" % (TAG, name, file), "expect": "ok", "signatures": signatures, "tensors": tensors,
             "determinable": base, "notes": "", "source": "generated"}
    if facts:
        truth["facts"] = facts
    if findings is not None:
        truth["findings"] = findings
    with open(os.path.join(folder, "truth.json"), "w") as f:
        json.dump(truth, f, indent=1)
        f.write("\n")


def place(name, file):
    folder = os.path.join(HERE, "pt%s_%s" % (TAG, name))
    os.makedirs(folder, exist_ok=True)
    return os.path.join(folder, file)


def has_default(a):
    return a.has_default_value() if hasattr(a, "has_default_value") else a.default_value is not None


SCALARS = {"int": "int64", "float": "float64", "bool": "bool", "str": "string"}


def script(name, file, module, examples, outs=None, extra=None, lite=False, free=(0,), facts=None):
    """`examples`: per method the arguments of one call; `outs`: per method the names of its outputs."""
    path = place(name, file)
    if lite:
        module._save_for_lite_interpreter(path)
    else:
        torch.jit.save(module, path, _extra_files=extra or {}) if extra else torch.jit.save(module, path)
    loaded = torch.jit.load(path)
    signatures, overrides = [], {}
    methods = sorted((n for n in loaded._c._method_names() if not n.startswith("__")), key=lambda n: n != "forward")
    for i, method in enumerate(methods):
        schema = loaded._c._get_method(method).schema
        args = list(schema.arguments)[1:]
        values = examples.get(method, ())
        inputs = []
        for k, a in enumerate(args):
            kind = str(a.type)
            one = {"name": a.name, "dtype": None, "shape": None, "torch_type": kind}
            if kind in SCALARS:
                one["dtype"], one["shape"] = SCALARS[kind], []
                overrides["/signatures/%d/inputs/%d/dtype" % (i, k)] = "derived"
                overrides["/signatures/%d/inputs/%d/shape" % (i, k)] = "derived"
            elif k < len(values) and isinstance(values[k], torch.Tensor):
                one["dtype"], one["shape"] = dt(values[k].dtype), dims(values[k], free)
            if has_default(a):
                one["optional"] = True
            inputs.append(one)
        got = getattr(loaded, method)(*values) if values else None
        if isinstance(got, dict):
            keys = (outs or {}).get(method)
            outputs = [{"name": k, "dtype": dt(got[k].dtype), "shape": dims(got[k], free)} for k in keys] if keys else \
                [{"name": "output", "dtype": None, "shape": None}]
            if keys:
                for k in range(len(keys)):
                    overrides["/signatures/%d/outputs/%d/name" % (i, k)] = "stored"
        elif isinstance(got, tuple):
            names = (outs or {}).get(method) or ["output_%d" % k for k in range(len(got))]
            outputs = [{"name": n, "dtype": dt(v.dtype) if isinstance(v, torch.Tensor) else SCALARS.get(type(v).__name__),
                        "shape": dims(v, free) if isinstance(v, torch.Tensor) else []} for n, v in zip(names, got)]
        elif isinstance(got, torch.Tensor):
            outputs = [{"name": "output", "dtype": dt(got.dtype), "shape": dims(got, free)}]
        else:
            outputs = [{"name": "output", "dtype": None, "shape": None}]
        signatures.append({"name": method, "inputs": inputs, "outputs": outputs, "returns": [str(r.type) for r in schema.returns]})
    tensors = [] if lite else table(loaded.state_dict())
    if lite:
        tensors = table(module.state_dict())
    write(name, file, "torchscript", signatures, tensors, {"overrides": overrides}, facts, [],
          "heads of methods in code/: names, arity and TorchScript's types")


class Net(nn.Module):
    def __init__(self):
        super(Net, self).__init__()
        self.a = nn.Linear(4, 8)
        self.b = nn.Linear(8, 2)
        self.register_buffer("scale", torch.ones(2))

    def forward(self, x):
        return self.b(torch.relu(self.a(x))) * self.scale


class Many(nn.Module):
    def __init__(self):
        super(Many, self).__init__()
        self.a = nn.Linear(3, 2)

    def forward(self, x: torch.Tensor, mask: Optional[torch.Tensor] = None, scale: float = 1.0, steps: int = 2,
                mode: str = "a, b)", flags: Optional[List[int]] = None) -> Dict[str, torch.Tensor]:
        y = self.a(x) * scale
        if mask is not None:
            y = y * mask
        return {"logits": y, "probs": torch.softmax(y, 1)}

    @torch.jit.export
    def embed(self, x: torch.Tensor) -> torch.Tensor:
        return self.a(x)

    @torch.jit.export
    def count(self, xs: List[torch.Tensor], strict: bool = False) -> Tuple[torch.Tensor, int]:
        n = 0
        out = xs[0]
        for x in xs:
            n += 1
            out = out + x
        return out, n


class Branches(nn.Module):
    def forward(self, x: torch.Tensor, which: bool) -> Dict[str, torch.Tensor]:
        if which:
            return {"a": x}
        return {"b": x}


class Out(NamedTuple):
    logits: torch.Tensor
    hidden: torch.Tensor


class Named(nn.Module):
    def __init__(self):
        super(Named, self).__init__()
        self.a = nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> Out:
        h = self.a(x)
        return Out(torch.relu(h), h)


class Conv(nn.Module):
    def __init__(self):
        super(Conv, self).__init__()
        self.conv = nn.Conv2d(4, 6, 3, padding=1, groups=2)
        self.bn = nn.BatchNorm2d(6)
        self.head = nn.Linear(6, 5)

    def forward(self, image):
        return self.head(torch.relu(self.bn(self.conv(image))).mean((2, 3)))


class Tied(nn.Module):
    def __init__(self):
        super(Tied, self).__init__()
        self.e = nn.Embedding(7, 3)
        self.out = nn.Linear(3, 7, bias=False)
        self.out.weight = self.e.weight
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("cache", torch.zeros(2), **({"persistent": False} if TAG != "140" else {}))

    def forward(self, ids):
        return self.out(self.e(ids))


@case("ts_script", {"215", "140"})
def _(name, file):
    script(name, file, torch.jit.script(Net().eval()), {"forward": (torch.rand(2, 4),)})


@case("ts_many", {"215"})
def _(name, file):
    x = torch.rand(2, 3)
    script(name, file, torch.jit.script(Many().eval()), {"forward": (x,), "embed": (x,), "count": ([x, x],)},
           {"forward": ["logits", "probs"]})


@case("ts_branches", {"215"})
def _(name, file):
    script(name, file, torch.jit.script(Branches()), {"forward": (torch.rand(2, 3), True)})


@case("ts_named", {"215"})
def _(name, file):
    script(name, file, torch.jit.script(Named().eval()), {"forward": (torch.rand(2, 3),)}, {"forward": ["logits", "hidden"]})


@case("ts_conv", {"215"})
def _(name, file):
    x = torch.rand(2, 4, 8, 8)
    script(name, file, torch.jit.script(Conv().eval()), {"forward": (x,)}, free=(0, 2, 3))


@case("ts_traced", {"215"})
def _(name, file):
    x = torch.rand(2, 4, 8, 8)
    script(name, file, torch.jit.trace(Conv().eval(), x), {"forward": (x,)}, free=(0, 2, 3))


@case("ts_frozen", {"215"})
def _(name, file):
    script(name, file, torch.jit.freeze(torch.jit.script(Net().eval())), {"forward": (torch.rand(2, 4),)})


@case("ts_extra", {"215"})
def _(name, file):
    extra = {"config.json": json.dumps({"classes": ["a", "b"]}), "notes.txt": "hi"}
    script(name, file, torch.jit.script(nn.Sequential(nn.Linear(4, 2), nn.Softmax(1))), {"forward": (torch.rand(2, 4),)},
           extra=extra, facts={"torchscript.extra_files": ["config.json", "notes.txt"]})


@case("ts_lite", {"215"}, "model.ptl")
def _(name, file):
    script(name, file, torch.jit.script(Net().eval()), {"forward": (torch.rand(2, 4),)}, lite=True,
           facts={"torchscript.lite": True})


@case("ts_quantized", {"222"})
def _(name, file):
    q = torch.ao.quantization.quantize_dynamic(Net().eval(), {nn.Linear}, dtype=torch.qint8)
    script(name, file, torch.jit.script(q), {"forward": (torch.rand(2, 4),)})


def exported(name, file, module, args, kwargs=None, dynamic=None, findings=()):
    path = place(name, file)
    program = torch.export.export(module, args, kwargs, dynamic_shapes=dynamic)
    torch.export.save(program, path)
    loaded = torch.export.load(path)
    nodes = {n.name: n for n in loaded.graph.nodes}

    def describe(n):
        value = nodes[n].meta["val"] if n in nodes else None
        if isinstance(value, torch.Tensor):
            shape = [int(s) if isinstance(s, int) else None for s in value.shape]
            return {"name": n, "dtype": dt(value.dtype), "shape": shape}
        return {"name": n, "dtype": {"SymInt": "int64", "int": "int64", "float": "float64", "str": "string", "bool": "bool"}.get(
            type(value).__name__), "shape": []}

    sig = loaded.graph_signature
    inputs = []
    for spec in sig.input_specs:
        if spec.kind.name == "USER_INPUT":
            constant = getattr(spec.arg, "value", None)
            one = describe(spec.arg.name)
            if constant is not None:
                one["dtype"] = SCALARS[type(constant).__name__]
            inputs.append(one)
    outputs = [describe(s.arg.name) for s in sig.output_specs if s.kind.name == "USER_OUTPUT"]
    stored = {k: "stored" for k in ("inputs.dtype", "inputs.shape", "outputs.name", "outputs.dtype", "outputs.shape")}
    tensors = table(loaded.state_dict)
    write(name, file, "torch.export", [{"name": "forward", "inputs": inputs, "outputs": outputs}], tensors, stored,
          None, list(findings), "graph_module.signature and tensor_values")


class Pytree(nn.Module):
    def __init__(self):
        super(Pytree, self).__init__()
        self.a = nn.Linear(5, 2)

    def forward(self, batch, xs, scale=2, bias=None):
        y = self.a(batch["x"]) + batch["y"].to(torch.float32) + xs[0] + xs[1]
        if bias is not None:
            y = y + bias
        return {"y": y * scale, "n": y.sum(0)}


@case("pt2_dynamic", {"215", "222"}, "model.pt2")
def _(name, file):
    batch = torch.export.Dim("batch")
    exported(name, file, Net().eval(), (torch.rand(3, 4),), dynamic={"x": {0: batch}})


@case("pt2_pytree", {"215"}, "model.pt2")
def _(name, file):
    batch = {"x": torch.rand(3, 5), "y": torch.ones(3, 2, dtype=torch.int32)}
    exported(name, file, Pytree().eval(), (batch, [torch.rand(3, 2), torch.rand(3, 2)], 3), {"bias": torch.rand(2)})


@case("pt2_types", {"215"}, "model.pt2")
def _(name, file):
    class Types(nn.Module):
        def forward(self, a, b, c, d):
            return a.to(torch.bfloat16), b & True, c.to(torch.uint8), torch.complex(d, d)
    exported(name, file, Types(), (torch.rand(2, dtype=torch.float16), torch.tensor([True, False]), torch.ones(2, 3, dtype=torch.int16),
                                   torch.rand(2, dtype=torch.float64)))


def saved(name, file, obj, tensors, signatures=(), levels=None, facts=None, findings=(), **how):
    torch.save(obj, place(name, file), **how)
    none = {"signatures": "no", "inputs.name": "no"}
    none.update(levels or {})
    write(name, file, "pytorch", list(signatures), tensors, none, facts, list(findings), "the table of tensors is exact")


OLD = {} if TAG == "140" else {"_use_new_zipfile_serialization": False}


@case("sd_types", {"215", "140"})
def _(name, file):
    names = ["float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]
    if TAG != "140":
        names += ["complex64", "complex128"]
    if TAG == "215":
        names += ["float8_e4m3fn", "float8_e5m2", "uint16", "uint32", "uint64"]
    state = {n: torch.zeros(2, i % 3, 1).to(getattr(torch, n)) for i, n in enumerate(names)}
    state["scalar"] = torch.tensor(1.5)
    state["view"] = torch.zeros(4, 6).t()[1:]
    saved(name, file, state, table(state))


@case("sd_legacy", {"222"})
def _(name, file):
    m = Conv()
    saved(name, file, m.state_dict(), table(m.state_dict()), facts={"serialization": "legacy"}, **OLD)


@case("sd_protocol4", {"215"})
def _(name, file):
    m = Conv()
    saved(name, file, m.state_dict(), table(m.state_dict()), pickle_protocol=4, facts={"pickle_protocol": 4})


@case("sd_legacy4", {"215"})
def _(name, file):
    m = Conv()
    saved(name, file, m.state_dict(), table(m.state_dict()), pickle_protocol=4, **OLD)


@case("sd_special", {"215"})
def _(name, file):
    q = torch.quantize_per_tensor(torch.rand(2, 3), 0.1, 0, torch.quint8)
    qc = torch.quantize_per_channel(torch.rand(2, 3), torch.tensor([0.1, 0.2]), torch.tensor([0, 0]), 0, torch.qint8)
    state = {"coo": torch.eye(4, 5).to_sparse(), "csr": torch.eye(3, 2, dtype=torch.float64).to_sparse_csr(), "q": q, "qc": qc,
             "p": nn.Parameter(torch.rand(2)), "meta": torch.empty(5, 6, device="meta", dtype=torch.float16)}
    saved(name, file, state, table(state))


@case("checkpoint", {"140"}, "checkpoint.pth")
def _(name, file):
    m = Net()
    o = torch.optim.Adam(m.parameters())
    m(torch.rand(2, 4)).sum().backward()
    o.step()
    obj = {"epoch": 3, "model_state_dict": m.state_dict(), "optimizer_state_dict": o.state_dict(), "loss": 0.5}
    saved(name, file, obj, table(m.state_dict()), facts={"epoch": 3, "pytorch.state_dict_key": "model_state_dict"})


@case("lightning", {"215"}, "last.ckpt")
def _(name, file):
    m = Net()
    obj = {"epoch": 1, "global_step": 20, "pytorch-lightning_version": "2.4.0", "state_dict": m.state_dict(), "loops": {},
           "hparams_name": "kwargs", "hyper_parameters": {"lr": 0.1, "name": "net", "layers": [1, 2]}}
    saved(name, file, obj, table(m.state_dict()),
          facts={"lightning": "2.4.0", "global_step": 20, "hyper_parameters": {"lr": 0.1, "name": "net"}})


@case("gan", {"215"})
def _(name, file):
    a, b = nn.Linear(2, 3), nn.Linear(3, 1)
    obj = {"generator": a.state_dict(), "discriminator": b.state_dict(), "args": {"lr": 1}}
    tensors = [dict(t, name="generator." + t["name"]) for t in table(a.state_dict())]
    tensors += [dict(t, name="discriminator." + t["name"]) for t in table(b.state_dict())]
    saved(name, file, obj, tensors)


def whole(name, file, module, x, free=(0,), known=True, out_free=(0,), **how):
    y = module.eval()(x)
    signature = {"name": "forward", "inputs": [{"name": "input", "dtype": dt(x.dtype), "shape": dims(x, free)}],
                 "outputs": [{"name": "output", "dtype": dt(y.dtype), "shape": dims(y, out_free)}]}
    levels = {k: "derived" for k in ("signatures", "inputs.dtype", "inputs.shape", "outputs.dtype", "outputs.shape")}
    kind = type(module)
    saved(name, file, module, table(module.state_dict()), [signature] if known else [], levels if known else {},
          {"class": kind.__module__ + "." + kind.__name__}, [] if kind.__module__.startswith("torch.") else ["unverified-code"],
          **how)


@case("whole_mlp", {"215", "140"})
def _(name, file):
    whole(name, file, nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 3), nn.Softmax(1)),
          torch.rand(2, 4))


@case("whole_cnn", {"215"})
def _(name, file):
    m = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, stride=2), nn.ReLU(), nn.Sequential(nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(2)),
                      nn.Flatten(), nn.Linear(16, 5))
    whole(name, file, m, torch.rand(2, 3, 16, 16), free=(0, 2, 3))


@case("whole_legacy", {"222"})
def _(name, file):
    whole(name, file, nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)).double(), torch.rand(2, 4, dtype=torch.float64), **OLD)


@case("whole_custom", {"215"})
def _(name, file):
    whole(name, file, Tied(), torch.ones(2, 3, dtype=torch.int64), known=False)


for name, file, make in CASES:
    torch.manual_seed(0)
    try:
        make(name, file)
        print("ok", name)
    except Exception as e:
        print("FAILED", name, type(e).__name__, str(e)[:300])
        if "-v" in sys.argv:
            raise
