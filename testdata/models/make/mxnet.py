"""Writes models of MXNet, and their truth as MXNet infers it.

Python 3.8, mxnet 1.9.1, numpy < 1.24:  python mxnet.py [NAME...]   (in this folder)

Shapes are those of two runs with different numbers of rows; what differs between the runs is not
fixed. What MXNet infers from the shapes of the weights alone counts as derived, the rest as partial.
"""

import json
import sys
from pathlib import Path

sys.path = [p for p in sys.path if Path(p or ".").resolve() != Path(__file__).resolve().parent]

import mxnet as mx
import numpy as np
from mxnet.gluon import nn, rnn

ROOT = Path(__file__).resolve().parent.parent / "mxnet"
S = mx.sym


def save(path, arrays):
    """As a list of arrays or, as MXNet 2 does, as an archive of numpy's."""
    if "npz" in path:
        with open(path, "wb") as f:
            np.savez(f, **{k: v.asnumpy() for k, v in arrays.items()})
    elif any(isinstance(v, mx.np.ndarray) for v in arrays.values()):
        mx.npx.save(path, arrays)
    else:
        mx.nd.save(path, arrays)


def any_type(symbol, name):
    """Whether all operators that take an input take it in any type."""
    nodes = json.loads(symbol.tojson())["nodes"]
    free = {"Cast": (0,), "amp_cast": (0,), "Embedding": (0,), "_contrib_SparseEmbedding": (0,), "take": (1,), "gather_nd": (1,),
            "_contrib_index_copy": (1,), "_image_to_tensor": (0,), "_image_resize": (0,),
            "_image_normalize": (0,)}
    uses = [(n["op"], slot) for n in nodes for slot, e in enumerate(n["inputs"]) if nodes[e[0]]["name"] == name]
    return all(slot in free.get(op, ()) for op, slot in uses)


def write(case, symbol, shapes, labels=(), dtype="float32", values=None, aux=None, epoch=0):
    if __name__ == "__main__" and sys.argv[1:] and case not in sys.argv[1:]:
        return
    model = ROOT / case / "model"
    model.mkdir(parents=True, exist_ok=True)
    names, outs = symbol.list_arguments(), symbol.list_outputs()
    runs = []
    for i in (0, 1):
        a, o, x = symbol.infer_shape(**{k: s[i] for k, s in shapes.items()})
        runs.append((dict(zip(names, a)), o))
    if values is None:
        values = {n: mx.nd.zeros(s, dtype=dtype) for n, s in zip(names, a) if n not in shapes and n not in labels}
        aux = {n: mx.nd.zeros(s) for n, s in zip(symbol.list_auxiliary_states(), x)}
    symbol.save(str(model / "net-symbol.json"))
    arrays = {f"arg:{k}": v for k, v in values.items()}
    arrays.update({f"aux:{k}": v for k, v in aux.items()})
    save(str(model / f"net-{epoch:04}.params"), arrays)
    try:
        known, part, _ = symbol.infer_shape_partial(**{k: v.shape for k, v in values.items()})
    except mx.MXNetError:  # some operators insist on knowing what goes in
        known, part = [None] * len(names), None
    known = dict(zip(names, known))
    try:
        types, out_types, _ = symbol.infer_type(**{k: v.dtype for k, v in values.items()})
    except mx.MXNetError:
        types = None
    if types is None:
        # MXNet does not always go back from weights to data; then the type of data has to be given.
        known_types = {**{k: v.dtype for k, v in values.items()}, **{k: np.float32 for k in shapes}}
        types, out_types, _ = symbol.infer_type(**known_types)
    types = dict(zip(names, types))
    overrides = {f"/signatures/0/inputs/{i}/dtype": "partial"
                 for i, n in enumerate(k for k in names if k not in values and k not in labels) if any_type(symbol, n)}

    def tensor(side, i, name, pair, partial, kind):
        a, b = pair
        shape = [p if p == q else None for p, q in zip(a, b)]
        fixed = [d for d, s in zip(partial or (), shape) if s is not None]
        if partial is not None and len(partial) == len(shape) and all(fixed):
            overrides[f"/signatures/0/{side}/{i}/shape"] = "derived"
        return {"name": name, "dtype": np.dtype(kind).name, "shape": shape}

    inputs = [n for n in names if n not in values and n not in labels]
    inputs = [tensor("inputs", i, n, (runs[0][0][n], runs[1][0][n]), known[n], types[n]) for i, n in enumerate(inputs)]
    outputs = [tensor("outputs", i, n, (runs[0][1][i], runs[1][1][i]), part[i] if part else None, out_types[i])
               for i, n in enumerate(outs)]
    facts = {"mxnet.epoch": epoch}
    if labels:
        facts["mxnet.labels"] = list(labels)
    (ROOT / case / "truth.json").write_text(json.dumps({
        "id": case, "format": "mxnet", "framework": "mxnet", "framework_version": mx.__version__,
        "path": f"mxnet/{case}/model", "expect": "ok",
        "signatures": [{"name": "forward", "inputs": inputs, "outputs": outputs}],
        "tensors": [{"name": k, "dtype": np.dtype(v.dtype).name, "shape": list(v.shape)}
                    for k, v in list(values.items()) + list(aux.items())],
        "determinable": {"format": "stored", "signatures": "derived", "inputs.name": "stored",
                         "inputs.dtype": "derived", "inputs.shape": "partial", "outputs.name": "stored",
                         "outputs.dtype": "derived", "outputs.shape": "partial", "tensors": "stored",
                         "overrides": overrides},
        "notes": "", "source": "generated", "extra": {"label_inputs": list(labels)}, "facts": facts,
    }, indent=1) + "\n")


def gluon(case, net, shape, epoch=0):
    net.initialize()
    net.hybridize()
    net(mx.nd.ones(shape))
    symbol = net(S.Variable("data"))
    states = set(symbol.list_auxiliary_states())
    values = {k: v.data() for k, v in net.collect_params().items()}
    write(case, symbol, {"data": rows(*shape[1:])}, values={k: v for k, v in values.items() if k not in states},
          aux={k: v for k, v in values.items() if k in states}, epoch=epoch)


def rows(*shape):
    return [(2, *shape), (3, *shape)]


def sequence(*layers):
    net = nn.HybridSequential()
    for layer in layers:
        net.add(layer)
    return net


def dense(x, n, **options):
    return S.FullyConnected(x, num_hidden=n, **options)


def main():
    d = S.Variable("data")
    mlp = dense(S.Activation(dense(d, 8, name="a"), act_type="relu", name="r"), 3, name="b")
    write("mx_softmax", S.SoftmaxOutput(mlp, name="softmax"), {"data": rows(5)}, ["softmax_label"], epoch=12)
    write("mx_two_heads", S.Group([dense(d, 3, name="a"), S.softmax(dense(d, 2, name="b"), name="s")]), {"data": rows(6)})
    write("mx_float16", S.softmax(dense(d, 3, name="a"), name="s"), {"data": rows(4)}, dtype="float16")
    two = dense(S.Concat(dense(S.Variable("x"), 3, name="a"), dense(S.Variable("y"), 2, name="b"), name="c"), 5, name="d")
    write("mx_two_inputs", two, {"x": rows(4), "y": rows(7)})
    image = S.Variable("data", shape=(0, 3, 8, 6))
    img = S.broadcast_mul(image, S.Variable("scale", shape=(1, 3, 1, 1)), name="scaled")
    parts = S.split(S.transpose(img, axes=(0, 2, 3, 1)), num_outputs=3, axis=3, squeeze_axis=True, name="split")
    write("mx_arrays", S.Group([
        parts[1],
        S.Reshape(img, shape=(0, -3, -4, 2, -1), name="folded"),
        S.slice_axis(S.Pad(img, mode="constant", pad_width=(0, 0, 0, 0, 1, 2, 3, 4)), axis=-1, begin=2, end=None, name="cut"),
        S.argmax(S.mean(img, axis=(2, 3)), axis=1, name="best"),
        S.BatchNorm(img, name="norm"),
    ]), {"data": rows(3, 8, 6)})
    conv = S.Convolution(image, kernel=(3, 3), pad=(1, 1), num_filter=4, name="conv")
    pool = S.Pooling(conv, kernel=(3, 3), stride=(2, 2), pool_type="max", pooling_convention="full", name="pool")
    up = S.Deconvolution(pool, kernel=(4, 4), stride=(2, 2), pad=(1, 1), num_filter=2, name="up")
    write("mx_windows", S.Group([up, dense(S.Flatten(pool), 3, name="fc")]), {"data": rows(3, 8, 6)})
    gluon("mx_gluon_cnn", sequence(
        nn.Conv2D(4, 3, padding=1, activation="relu"), nn.MaxPool2D(), nn.Conv2D(6, 3), nn.BatchNorm(), nn.PReLU(),
        nn.GlobalAvgPool2D(), nn.Flatten(), nn.Dropout(0.1), nn.Dense(5)), (2, 3, 12, 12))
    gluon("mx_gluon_mlp", sequence(nn.Dense(8), nn.BatchNorm(), nn.LeakyReLU(0.1), nn.Dense(3)), (2, 5), epoch=7)
    seen = S.Convolution(image, kernel=(3, 3), pad=(1, 1), num_filter=2, name="seen")
    write("mx_sampling", S.Group([
        S.Crop(seen, num_args=1, h_w=(4, 3), offset=(1, 1), name="crop"),
        S.Correlation(seen, seen, kernel_size=1, max_displacement=2, pad_size=2, name="corr"),
        S.SpatialTransformer(seen, dense(seen, 6, name="loc"), target_shape=(7, 5), transform_type="affine",
                             sampler_type="bilinear", name="stn"),
        S.contrib.DeformableConvolution(seen, S.Convolution(seen, kernel=(3, 3), num_filter=18, name="off"), num_filter=3,
                                        kernel=(3, 3), name="deform"),
        S.moments(seen, axes=(2, 3), name="mom")[0],
    ]), {"data": rows(3, 8, 6)})
    parts3 = S.LayerNorm(dense(d, 12, name="qkv", flatten=False), name="ln")
    scores = S.contrib.interleaved_matmul_selfatt_qk(parts3, heads=2, name="scores")
    write("mx_attention", S.contrib.interleaved_matmul_selfatt_valatt(parts3, S.softmax(scores), heads=2, name="mixed"),
          {"data": [(5, 2, 8), (5, 3, 8)]})
    mx.npx.set_np()

    class Net(nn.HybridBlock):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Dense(4), nn.Dense(4)

        def hybrid_forward(self, F, x):
            both = F.np.concatenate([F.np.tanh(self.a(x)) * 2, self.b(x)], axis=1)
            return F.npx.reshape(both, (-2, 2, -1)), F.np.max(both, axis=1) > 0.5, F.np.std(both)

    net = Net()
    net.initialize()
    out = net(S.var("data").as_np_ndarray())
    net(mx.np.ones((2, 5)))
    for case in "mx_numpy", "mx_npz":
        write(case, S.Group(list(out)), {"data": rows(5)}, values={k: v.data() for k, v in net.collect_params().items()}, aux={})


if __name__ == "__main__":
    main()
