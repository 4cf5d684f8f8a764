"""Exports models to ONNX with the exporters of the field, and writes what `onnx.shape_inference` tells of their outputs.

    V/bin/pip install torch==1.12.1 torchvision==0.13.1 'numpy<2' onnx==1.16.2      # Python 3.10
    V/bin/python onnx_exports.py OUT torch vision
    V/bin/pip install tensorflow-cpu==2.15.1 tf2onnx==1.16.1 'numpy<2' onnx==1.16.2
    V/bin/python onnx_exports.py OUT tf
    V/bin/pip install onnxmltools skl2onnx lightgbm xgboost-cpu catboost onnxconverter-common
    V/bin/python onnx_exports.py OUT boosters sklearn
    V/bin/pip install paddlepaddle==2.6.2 paddle2onnx==1.2.4 'numpy<2' onnx==1.16.2 setuptools
    V/bin/python onnx_exports.py OUT paddle
    V/bin/python onnx_exports.py OUT --check FLOE     # what `FLOE infer --json FILE` says; exit 1 if anything is wrong

Each model is written without the types of its outputs and inner values, and without the content of large weights, as
OUT/onnx/ID/model.onnx with a truth.json. The truth is what shape inference (strict, with data propagation) finds
again; what the exporter wrote is kept beside it as `declared`, for it is wrong at times: skl2onnx says float64 of
scores that its operators give as float32, CatBoost forgets a dimension.
"""
import glob
import json
import os
import subprocess
import sys
import tempfile
import warnings

import numpy as np

import onnx
from onnx import shape_inference

from onnx_backend import bare, describe, truth

# Scripts of this folder have the names of frameworks.
sys.path.remove(os.path.dirname(os.path.abspath(__file__)))
warnings.simplefilter("ignore")
OUT = sys.argv[1]


def write(name, model):
    if not model.graph.node:
        raise ValueError("the exporter wrote an empty file")
    stripped = bare(model)
    for weight in stripped.graph.initializer:
        if len(weight.raw_data) > 4096:
            weight.raw_data = b""
    try:
        known = [describe(v) for v in shape_inference.infer_shapes(stripped, strict_mode=True, data_prop=True).graph.output]
    except Exception as e:
        print("no inference", name, str(e)[:150].replace("\n", " "))
        known = [describe(v) for v in shape_inference.infer_shapes(stripped, data_prop=True).graph.output]
    told = truth(name, stripped, known, {})
    told["declared"] = [describe(v) for v in model.graph.output]
    for weight in model.graph.initializer:
        if len(weight.raw_data) > 4096:
            weight.raw_data = b""
    folder = os.path.join(OUT, "onnx", name)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "model.onnx"), "wb") as f:
        f.write(stripped.SerializeToString())
    with open(os.path.join(folder, "truth.json"), "w") as f:
        json.dump(told, f, indent=1, sort_keys=True)
    print("ok", name, flush=True)


def attempt(name, make):
    try:
        write(name, make())
    except Exception as e:
        print("not made", name, repr(e)[:200].replace("\n", " "), flush=True)


def torch_export(module, args, names=None, dynamic=(), opset=13, script=False):
    import torch

    with tempfile.NamedTemporaryFile(suffix=".onnx") as f:
        names = names or [f"x{i}" for i in range(len(args))]
        axes = {n: {a: f"{n}_{a}" for a in dynamic} for n in names} if dynamic else None
        module = module.eval()
        torch.onnx.export(torch.jit.script(module) if script else module, args, f.name, input_names=names,
                          dynamic_axes=axes, opset_version=opset)
        return onnx.load(f.name)


def vision():
    import torch
    import torchvision as tv

    export = torch_export
    image = torch.rand(1, 3, 64, 64)
    classifiers = ["resnet18", "mobilenet_v2", "mobilenet_v3_small", "squeezenet1_1", "shufflenet_v2_x0_5", "densenet121",
                   "mnasnet0_5", "googlenet", "efficientnet_b0", "regnet_y_400mf", "convnext_tiny", "swin_t", "vit_b_32", "inception_v3", "alexnet"]
    for name in classifiers:
        for opset, dynamic in ((9, ()), (13, (0,)), (16, (0, 2, 3))):
            def one():
                kw = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
                size = 224 if name in ("vit_b_32", "alexnet") else 96 if name == "inception_v3" else 64
                if name.startswith("vit") and 2 in dynamic:
                    raise ValueError("of one size")
                return export(getattr(tv.models, name)(weights=None, **kw), (torch.rand(1, 3, size, size),), None, dynamic, opset)
            attempt(f"tv_{name}_{opset}", one)
    for name in ["fcn_resnet50", "deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large"]:
        for opset, dynamic in ((11, ()), (13, (0,)), (16, (0, 2, 3))):
            attempt(f"tv_{name}_{opset}", lambda: export(getattr(tv.models.segmentation, name)(weights=None, weights_backbone=None),
                                                         (image,), None, dynamic, opset))
    for name in ["ssdlite320_mobilenet_v3_large", "fasterrcnn_mobilenet_v3_large_320_fpn"]:
        attempt(f"tv_{name}", lambda: export(getattr(tv.models.detection, name)(weights=None, weights_backbone=None),
                                             ([torch.rand(3, 96, 96)],), ["image"], (), 11))


def torch():
    import torch
    import torch.nn.functional as F
    from torch import nn

    export = torch_export

    class Fn(nn.Module):
        def __init__(self, f, **parts):
            super().__init__()
            self.f = f
            for k, v in parts.items():
                setattr(self, k, v)

        def forward(self, *a):
            return self.f(self, *a)

    x, t, s = torch.rand(2, 3, 8, 10), torch.rand(2, 5, 6), torch.rand(2, 7)
    ids = torch.randint(0, 9, (2, 5))
    layer = lambda **k: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, **k)
    cases = {
        "interp_scale": (lambda m, x: F.interpolate(x, scale_factor=2.0), (x,)),
        "interp_scale_odd": (lambda m, x: F.interpolate(x, scale_factor=1.7, mode="bilinear", align_corners=False), (x,)),
        "interp_scale_recompute": (lambda m, x: F.interpolate(x, scale_factor=1.3, mode="bilinear", recompute_scale_factor=True), (x,)),
        "interp_scale_pair": (lambda m, x: F.interpolate(x, scale_factor=(0.5, 3.0)), (x,)),
        "interp_size": (lambda m, x: F.interpolate(x, size=(11, 13), mode="bicubic"), (x,)),
        "interp_like": (lambda m, x, y: F.interpolate(x, size=y.shape[2:]), (x, torch.rand(2, 3, 4, 5))),
        "interp_half": (lambda m, x: F.interpolate(x, size=(x.shape[2] // 2, x.shape[3] * 2), mode="bilinear"), (x,)),
        "upsample_1d": (lambda m, x: F.interpolate(x, scale_factor=3, mode="linear"), (t,)),
        "view": (lambda m, x: x.view(x.size(0), -1), (x,)),
        "view_shape": (lambda m, x: x.view(x.shape[0], x.shape[1] * x.shape[2], x.shape[3]), (x,)),
        "flatten": (lambda m, x: x.flatten(2).transpose(1, 2), (x,)),
        "chunk": (lambda m, x: torch.chunk(x, 2, dim=3), (x,)),
        "split": (lambda m, x: torch.split(x, [3, 7], dim=3), (x,)),
        "unbind": (lambda m, x: x.unbind(1), (x,)),
        "stack": (lambda m, x: torch.stack([x, x * 2], 1), (x,)),
        "expand": (lambda m, s, t: s[:, None].expand(-1, t.shape[1], -1), (s, t)),
        "expand_as": (lambda m, s, x: s[:, :3, None, None].expand_as(x), (s, x)),
        "repeat": (lambda m, s: s.repeat(2, 3), (s,)),
        "tile": (lambda m, s: s.unsqueeze(0).repeat(4, 1, 1), (s,)),
        "arange": (lambda m, t: t + torch.arange(t.shape[1], device=t.device)[None, :, None], (t,)),
        "arange_out": (lambda m, t: torch.arange(t.shape[1] * 2), (t,)),
        "zeros": (lambda m, t: torch.zeros(t.shape[0], 4), (t,)),
        "ones_like": (lambda m, t: torch.ones_like(t), (t,)),
        "full": (lambda m, t: torch.full((t.shape[0], 3), 2, dtype=torch.int64), (t,)),
        "linspace": (lambda m, t: t.sum() + torch.linspace(0, 1, 5), (t,)),
        "where": (lambda m, t: torch.where(t > 0.5, t, torch.zeros_like(t)), (t,)),
        "masked": (lambda m, t: t.masked_fill(t > 0.5, float("-inf")).softmax(-1), (t,)),
        "tril": (lambda m, t: torch.tril(t), (t,)), "cumsum": (lambda m, t: t.cumsum(1), (t,)),
        "topk": (lambda m, t: t.topk(3, -1), (t,)), "sort": (lambda m, t: t.sort(-1), (t,)),
        "argmax": (lambda m, t: t.argmax(-1), (t,)), "max": (lambda m, t: t.max(1), (t,)),
        "std": (lambda m, t: (t.std(-1), t.var(1, keepdim=True), t.norm(dim=-1)), (t,)),
        "einsum": (lambda m, t: torch.einsum("bij,bkj->bik", t, t), (t,)),
        "matmul": (lambda m, t: t @ t.transpose(1, 2), (t,)), "bmm": (lambda m, t: torch.bmm(t, t.permute(0, 2, 1)), (t,)),
        "gather": (lambda m, t, i: t.gather(1, i[..., None].expand(-1, -1, 6) % 5), (t, ids)),
        "index": (lambda m, t: t[:, [0, 2]], (t,)), "index_two": (lambda m, t: t[[0, 1], [2, 3]], (t,)),
        "index_select": (lambda m, t: t.index_select(1, torch.tensor([0, 3])), (t,)),
        "slice": (lambda m, t: t[:, 1:-1, ::2], (t,)), "slice_half": (lambda m, t: t[:, : t.shape[1] // 2], (t,)),
        "index_put": (lambda m, t: t.index_put((torch.tensor([0]),), torch.tensor(1.0)), (t,)),
        "onehot": (lambda m, i: F.one_hot(i, 9), (ids,)), "nonzero": (lambda m, t: (t > 0.5).nonzero(), (t,)),
        "pad": (lambda m, x: F.pad(x, (1, 2, 3, 4)), (x,)), "pad_reflect": (lambda m, x: F.pad(x, (1, 2, 3, 4), mode="reflect"), (x,)),
        "roll": (lambda m, x: torch.roll(x, 2, 3), (x,)), "flip": (lambda m, x: x.flip(2), (x,)),
        "pixel_shuffle": (lambda m, x: F.pixel_shuffle(x.repeat(1, 4, 1, 1), 2), (x,)),
        "pixel_unshuffle": (lambda m, x: F.pixel_unshuffle(x, 2), (x,)),
        "unfold": (lambda m, x: F.unfold(x, 3), (x,)), "unfold_dim": (lambda m, t: t.unfold(2, 2, 1), (t,)),
        "adaptive": (lambda m, x: F.adaptive_avg_pool2d(x, (4, 5)), (x,)), "adaptive1": (lambda m, x: F.adaptive_max_pool2d(x, 1), (x,)),
        "pools": (lambda m, x: (F.max_pool2d(x, 3, 2, 1, ceil_mode=True), F.avg_pool2d(x, 2, ceil_mode=True), F.lp_pool2d(x, 2, 2)), (x,)),
        "maxpool_idx": (lambda m, x: F.max_pool2d(x, 2, return_indices=True), (x,)),
        "cat_shape": (lambda m, t: t.reshape(torch.cat([torch.tensor([t.shape[0]]), torch.tensor([-1])]).tolist()), (t,)),
        "pixelwise": (lambda m, x: x.permute(0, 2, 3, 1).reshape(-1, x.shape[1]), (x,)),
        "logic": (lambda m, t: ((t > 0.5) & (t < 0.9), t.any(-1), (t > 0).all()), (t,)),
        "cast": (lambda m, t: (t.int(), t.half(), t.double(), t.bool()), (t,)),
        "round": (lambda m, t: (t.round(), t.floor().long(), t.clamp(0, 1)), (t,)),
        "meshgrid": (lambda m, x: torch.meshgrid(torch.arange(x.shape[2]), torch.arange(x.shape[3])), (x,)),
        "grid_sample": (lambda m, x, g: F.grid_sample(x, g), (x, torch.rand(2, 4, 5, 2))),
        "conv_t": (lambda m, x: m.a(x), (x,), dict(a=nn.ConvTranspose2d(3, 4, 3, 2, 1, 1))),
        "conv3": (lambda m, x: m.a(x), (torch.rand(1, 2, 6, 7, 8),), dict(a=nn.Conv3d(2, 3, 3, 2, 1, 1))),
        "lstm": (lambda m, t: m.a(t), (t,), dict(a=nn.LSTM(6, 4, 2, batch_first=True, bidirectional=True))),
        "gru": (lambda m, t: m.a(t), (t,), dict(a=nn.GRU(6, 4))), "rnn": (lambda m, t: m.a(t)[1], (t,), dict(a=nn.RNN(6, 4))),
        "embed": (lambda m, i: m.a(i).mean(1), (ids,), dict(a=nn.Embedding(10, 4))),
        "bag": (lambda m, i: m.a(i), (ids,), dict(a=nn.EmbeddingBag(10, 4, mode="mean"))),
        "mha": (lambda m, t: m.a(t, t, t), (torch.rand(2, 5, 8),), dict(a=nn.MultiheadAttention(8, 2, batch_first=True))),
        "encoder": (lambda m, t: m.a(t), (torch.rand(2, 5, 8),), dict(a=layer())),
        "norms": (lambda m, x: (m.a(x), m.b(x), m.c(x)), (x,), dict(a=nn.GroupNorm(3, 3), b=nn.InstanceNorm2d(3), c=nn.LayerNorm(10))),
        "acts": (lambda m, x: (F.gelu(x), F.silu(x), F.hardswish(x), F.mish(x), F.prelu(x, torch.tensor([0.1])), F.glu(x, 3)), (x,)),
        "loss": (lambda m, s, i: F.cross_entropy(s, i), (s, torch.tensor([0, 1]))),
        "cosine": (lambda m, t: F.cosine_similarity(t, t * 2, dim=-1), (t,)), "cdist": (lambda m, t: torch.cdist(t, t), (t,)),
        "fold": (lambda m, x: F.fold(x, (4, 5), 2), (torch.rand(2, 12, 12),)),
        "bits": (lambda m, i: (i // 2, i % 3, -i, i.abs(), i.float().sqrt()), (ids,)),
        "scalar": (lambda m, t: (t.sum(), t.mean(), t.shape[1] * t.sum()), (t,)),
        "heads": (lambda m, t: m.a(t).view(t.size(0), t.size(1), 2, 4).transpose(1, 2), (torch.rand(2, 5, 8),), dict(a=nn.Linear(8, 8))),
        "window": (lambda m, x: x.view(x.shape[0], 3, x.shape[2] // 2, 2, x.shape[3] // 2, 2).permute(0, 2, 4, 3, 5, 1).reshape(-1, 4, 3), (x,)),
    }
    for name, (f, args, *parts) in cases.items():
        for opset, dynamic in ((9, ()), (11, (0,)), (13, ()), (13, (1,)), (16, (0, 1))):
            tag = "d" + "".join(map(str, dynamic)) if dynamic else ""
            attempt(f"t_{name}_{opset}{tag}", lambda: export(Fn(f, **(parts[0] if parts else {})), args, None, dynamic, opset))

    class Branch(nn.Module):
        def forward(self, x):
            if x.sum() > 0:
                return x * 2, x.shape[0]
            return -x, x.shape[0]

    class Turns(nn.Module):
        def forward(self, x, n: int):
            y = torch.zeros_like(x)
            for i in range(n):
                y = y + x * i
            return y

    class Grows(nn.Module):
        def forward(self, x):
            parts = []
            for i in range(x.size(0)):
                parts.append(x[i] * 2)
            return torch.stack(parts), torch.cat(parts)

    for opset in (11, 13, 16):
        attempt(f"s_branch_{opset}", lambda: export(Branch(), (t,), None, (), opset, True))
        attempt(f"s_turns_{opset}", lambda: export(Turns(), (t, torch.tensor(3)), ["x", "n"], (), opset, True))
        attempt(f"s_grows_{opset}", lambda: export(Grows(), (t,), None, (), opset, True))


def tf():
    import tensorflow as tf
    import tf2onnx

    K = tf.keras
    L = K.layers

    def keras(model, opset=13):
        spec = [tf.TensorSpec(i.shape, i.dtype, name=i.name) for i in model.inputs]
        return tf2onnx.convert.from_keras(model, input_signature=spec, opset=opset)[0]

    def function(f, *specs, opset=13):
        specs = [tf.TensorSpec(s, d, name=f"x{i}") for i, (s, d) in enumerate(specs)]
        return tf2onnx.convert.from_function(tf.function(f), input_signature=specs, opset=opset)[0]

    seq = {
        "dense": ((4,), [L.Dense(3, "softmax")]), "conv": ((16, 16, 3), [L.Conv2D(4, 3, padding="same"), L.MaxPool2D(), L.Flatten(), L.Dense(2)]),
        "up": ((8, 8, 3), [L.UpSampling2D(2), L.UpSampling2D((2, 3), interpolation="bilinear")]),
        "up_open": ((None, None, 3), [L.UpSampling2D(2, interpolation="bilinear")]), "up1": ((8, 3), [L.UpSampling1D(3)]),
        "ct": ((8, 8, 3), [L.Conv2DTranspose(4, 3, 2, padding="same")]), "ct_open": ((None, None, 3), [L.Conv2DTranspose(4, 3, 2, padding="same")]),
        "resize": ((8, 8, 3), [L.Resizing(5, 7)]), "crop": ((8, 8, 3), [L.CenterCrop(4, 5)]), "rescale": ((8, 8, 3), [L.Rescaling(1 / 255)]),
        "zero": ((8, 8, 3), [L.ZeroPadding2D(2), L.Cropping2D(1)]), "sep": ((8, 8, 3), [L.SeparableConv2D(4, 3), L.DepthwiseConv2D(3)]),
        "lstm": ((6, 3), [L.LSTM(4, return_sequences=True), L.LSTM(5)]), "bi": ((6, 3), [L.Bidirectional(L.GRU(4, return_sequences=True))]),
        "lstm_open": ((None, 3), [L.LSTM(4, return_sequences=True)]), "convlstm": ((4, 6, 6, 2), [L.ConvLSTM2D(3, 3)]),
        "emb": ((5,), [L.Embedding(10, 4), L.GlobalAveragePooling1D()]), "td": ((5, 8), [L.TimeDistributed(L.Dense(3))]),
        "norm": ((6, 8), [L.LayerNormalization(), L.BatchNormalization()]), "perm": ((6, 8), [L.Permute((2, 1)), L.Reshape((4, -1))]),
        "repeat": ((6,), [L.RepeatVector(3)]), "pool1": ((9, 2), [L.MaxPool1D(2, padding="same"), L.AveragePooling1D(2)]), "gmp": ((8, 8, 3), [L.GlobalMaxPooling2D(keepdims=True)]),
        "conv3": ((6, 6, 6, 1), [L.Conv3D(2, 3), L.MaxPool3D()]), "conv1": ((9, 2), [L.Conv1D(3, 3, padding="causal", dilation_rate=2)]),
    }
    for name, (shape, layers) in seq.items():
        for opset in (9, 11, 13, 17):
            attempt(f"k_{name}_{opset}", lambda: keras(K.Sequential([K.Input(shape), *[type(l).from_config(l.get_config()) for l in layers]]), opset))
    i = K.Input((5, 8))
    attempt("k_mha", lambda: keras(K.Model(i, L.MultiHeadAttention(2, 4)(i, i))))
    attempt("k_attention", lambda: keras(K.Model(i, L.Attention()([i, i]))))
    attempt("k_dot", lambda: keras(K.Model(i, [L.Dot((2, 2))([i, i]), L.Concatenate()([i, i])])))
    f, n = tf.float32, tf.int32
    ops = {
        "reshape": (lambda x: tf.reshape(x, [tf.shape(x)[0], -1]), ([None, 4, 5], f)), "expand": (lambda x: x[:, tf.newaxis], ([None, 4], f)),
        "concat": (lambda x: tf.concat([x, x], -1), ([None, 4], f)), "tile": (lambda x: tf.tile(x, [1, 3]), ([2, 4], f)),
        "tile_open": (lambda x: tf.tile(x, [tf.shape(x)[0], 1]), ([None, 4], f)), "pad": (lambda x: tf.pad(x, [[0, 0], [1, 2]]), ([None, 4], f)),
        "resize": (lambda x: tf.image.resize(x, [7, 9]), ([None, 4, 5, 3], f)), "resize_2": (lambda x: tf.image.resize(x, tf.shape(x)[1:3] * 2), ([1, 4, 5, 3], f)),
        "resize_nn": (lambda x: tf.image.resize(x, tf.shape(x)[1:3] * 2, method="nearest"), ([None, None, None, 3], f)),
        "crop_resize": (lambda x, b, i: tf.image.crop_and_resize(x, b, i, [4, 5]), ([1, 8, 8, 3], f), ([None, 4], f), ([None], n)),
        "nms": (lambda b, s: tf.image.non_max_suppression(b, s, 5), ([10, 4], f), ([10], f)),
        "topk": (lambda x: tf.math.top_k(x, 2), ([None, 4], f)), "argmax": (lambda x: tf.argmax(x, -1), ([None, 4], f)), "onehot": (lambda x: tf.one_hot(x, 5), ([None], n)),
        "gather": (lambda x, i: tf.gather(x, i), ([5, 4], f), ([None], n)), "gather_nd": (lambda x: tf.gather_nd(x, [[0, 1], [1, 1]]), ([3, 4], f)),
        "slice": (lambda x: x[:, 1:3, ::2], ([None, 4, 6], f)), "strided": (lambda x: x[..., -1], ([None, 4, 6], f)), "split": (lambda x: tf.split(x, 2, -1), ([None, 4], f)),
        "stack": (lambda x: tf.stack([x, x], 1), ([None, 4], f)), "unstack": (lambda x: tf.unstack(x, axis=1), ([None, 3], f)), "where": (lambda x: tf.where(x > 0, x, 0.0), ([None, 4], f)),
        "range": (lambda x: tf.range(tf.shape(x)[0]), ([7, 4], f)), "fill": (lambda x: tf.fill([tf.shape(x)[0], 3], 1.0), ([None, 4], f)), "zeros_like": (lambda x: tf.zeros_like(x), ([None, 4], f)),
        "cumsum": (lambda x: tf.cumsum(x, 1), ([None, 4], f)), "einsum": (lambda x: tf.einsum("bij,bkj->bik", x, x), ([None, 4, 5], f)), "matmul": (lambda x: tf.matmul(x, x, transpose_b=True), ([None, 4, 5], f)),
        "reduce": (lambda x: (tf.reduce_sum(x, -1), tf.reduce_mean(x), tf.math.reduce_std(x, 1, keepdims=True)), ([None, 4, 5], f)),
        "d2s": (lambda x: tf.nn.depth_to_space(x, 2), ([1, 4, 5, 8], f)), "s2b": (lambda x: tf.nn.space_to_batch(x, [2, 2], [[0, 0], [0, 0]]), ([1, 4, 6, 8], f)),
        "shape": (lambda x: tf.shape(x), ([None, 4], f)), "size": (lambda x: tf.size(x), ([2, 4], f)), "cast": (lambda x: tf.cast(x, n), ([None, 4], f)), "while": (lambda x: tf.while_loop(lambda i, a: i < 3, lambda i, a: (i + 1, a * 2), (0, x)), ([2, 4], f)),
        "cond": (lambda x: tf.cond(tf.reduce_sum(x) > 0, lambda: x, lambda: -x), ([2, 4], f)), "unique": (lambda x: tf.unique(x), ([None], n)), "reverse": (lambda x: tf.reverse(x, [1]), ([None, 4], f)),
        "broadcast": (lambda x: tf.broadcast_to(x, [3, 4]), ([1, 4], f)), "boolean": (lambda x: tf.boolean_mask(x, x > 0), ([None, 4], f)), "space": (lambda x: tf.transpose(x, [1, 0, 2]), ([None, 4, 5], f)), "meshgrid": (lambda x: tf.meshgrid(tf.range(3), tf.range(4)), ([1], f)),
        "squeeze": (lambda x: tf.squeeze(x), ([1, 4, 1], f)), "l2": (lambda x: tf.nn.l2_normalize(x, -1), ([None, 4], f)), "segment": (lambda x: tf.math.unsorted_segment_sum(x, [0, 1, 0], 2), ([3, 4], f)), "scatter": (lambda x: tf.tensor_scatter_nd_update(x, [[0]], [[1.0, 2.0]]), ([3, 2], f)),
    }
    for name, (g, *specs) in ops.items():
        for opset in (11, 13, 17):
            attempt(f"f_{name}_{opset}", lambda: function(g, *specs, opset=opset))


    apps = ["MobileNetV2", "EfficientNetB0", "DenseNet121", "ResNet50V2", "NASNetMobile", "MobileNetV3Small", "InceptionV3"]
    for name in apps:
        size = 224 if "NAS" in name else 96
        for opset in (9, 15):
            attempt(f"ka_{name}_{opset}", lambda: keras(getattr(K.applications, name)(weights=None, input_shape=(size, size, 3)), opset))
        attempt(f"ka_{name}_open", lambda: keras(getattr(K.applications, name)(weights=None, input_shape=(None, None, 3), include_top=False), 13))


def data():
    r = np.random.RandomState(0)
    x = r.rand(60, 4).astype(np.float32)
    y = np.arange(60) % 3
    return x, y, (np.arange(60) % 2), x.sum(1)


def boosters():
    import lightgbm
    import onnxmltools
    import xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    x, three, two, real = data()
    kind = [("input", FloatTensorType([None, 4]))]
    for opset in (9, 13, 15):
        for name, y in (("three", three), ("two", two)):
            attempt(f"b_lgbm_{name}_{opset}", lambda: onnxmltools.convert_lightgbm(lightgbm.LGBMClassifier(n_estimators=3, min_child_samples=2, verbose=-1).fit(x, y), initial_types=kind, target_opset=opset))
            attempt(f"b_lgbm_{name}_nozip_{opset}", lambda: onnxmltools.convert_lightgbm(lightgbm.LGBMClassifier(n_estimators=3, min_child_samples=2, verbose=-1).fit(x, y), initial_types=kind, target_opset=opset, zipmap=False))
            attempt(f"b_xgb_{name}_{opset}", lambda: onnxmltools.convert_xgboost(xgboost.XGBClassifier(n_estimators=3).fit(x, y), initial_types=kind, target_opset=opset))
        attempt(f"b_lgbm_reg_{opset}", lambda: onnxmltools.convert_lightgbm(lightgbm.LGBMRegressor(n_estimators=3, min_child_samples=2, verbose=-1).fit(x, real), initial_types=kind, target_opset=opset))
        attempt(f"b_xgb_reg_{opset}", lambda: onnxmltools.convert_xgboost(xgboost.XGBRegressor(n_estimators=3).fit(x, real), initial_types=kind, target_opset=opset))
        attempt(f"b_xgb_rank_{opset}", lambda: onnxmltools.convert_xgboost(xgboost.XGBRFRegressor(n_estimators=3).fit(x, real), initial_types=kind, target_opset=opset))
    import catboost

    def cat(model, y):
        model.fit(x, y, verbose=False)
        with tempfile.NamedTemporaryFile(suffix=".onnx") as f:
            model.save_model(f.name, format="onnx")
            return onnx.load(f.name)

    attempt("b_cat_three", lambda: cat(catboost.CatBoostClassifier(iterations=3, loss_function="MultiClass"), three))
    attempt("b_cat_two", lambda: cat(catboost.CatBoostClassifier(iterations=3), two))
    attempt("b_cat_reg", lambda: cat(catboost.CatBoostRegressor(iterations=3), real))


def sklearn():
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType
    from sklearn.utils import all_estimators

    x, three, _, _ = data()
    for name, kind in all_estimators():
        for tag, of in (("", FloatTensorType), ("_f64", DoubleTensorType), ("_i64", Int64TensorType)):
            def one():
                model = kind()
                model.fit(x if "i64" not in tag else (x * 9).astype(np.int64), three)
                return to_onnx(model, initial_types=[("X", of([None, 4]))], target_opset=17)
            attempt(f"sk_{name}{tag}", one)


def paddle():
    import paddle
    import paddle2onnx
    from paddle import nn
    from paddle.static import InputSpec
    from paddle.vision import models as V

    def export(layer, *specs, opset=11):
        layer.eval()
        with tempfile.TemporaryDirectory() as d:
            paddle.jit.save(layer, d + "/m", input_spec=[InputSpec(*s) for s in specs])
            paddle2onnx.export(d + "/m.pdmodel", d + "/m.pdiparams", d + "/m.onnx", opset_version=opset)
            return onnx.load(d + "/m.onnx")

    for name in ["resnet18", "mobilenet_v2", "mobilenet_v3_small", "squeezenet1_1", "shufflenet_v2_x0_25", "densenet121", "googlenet"]:
        for tag, shape in (("", [1, 3, 64, 64]), ("_n", [None, 3, 64, 64]), ("_open", [None, 3, None, None])):
            attempt(f"p_{name}{tag}", lambda: export(getattr(V, name)(), (shape, "float32")))

    class Fn(nn.Layer):
        def __init__(self, f, **parts):
            super().__init__()
            self.f = f
            for k, v in parts.items():
                setattr(self, k, v)

        def forward(self, x):
            return self.f(self, x)

    F = nn.functional
    cases = {
        "up": lambda m, x: F.interpolate(x, scale_factor=2, mode="nearest"), "up_b": lambda m, x: F.interpolate(x, scale_factor=1.5, mode="bilinear"),
        "size": lambda m, x: F.interpolate(x, size=[7, 9], mode="bilinear"), "flat": lambda m, x: x.flatten(1), "reshape": lambda m, x: x.reshape([x.shape[0], -1]),
        "shape": lambda m, x: paddle.shape(x), "slice": lambda m, x: x[:, 1:, ::2], "softmax": lambda m, x: F.softmax(x), "pad": lambda m, x: F.pad(x, [1, 1, 2, 2]),
        "pool": lambda m, x: F.adaptive_avg_pool2d(x, 2), "concat": lambda m, x: paddle.concat([x, x], 1), "split": lambda m, x: paddle.split(x, 3, 1), "tile": lambda m, x: paddle.tile(x, [1, 2, 1, 1]),
        "topk": lambda m, x: paddle.topk(x, 2), "argmax": lambda m, x: paddle.argmax(x, -1), "stack": lambda m, x: paddle.stack([x, x], 1), "mean": lambda m, x: (x.mean(), x.sum(1)),
        "transpose": lambda m, x: paddle.transpose(x, [0, 2, 3, 1]), "unsqueeze": lambda m, x: x.unsqueeze(1), "cast": lambda m, x: x.astype("int64"), "expand": lambda m, x: x[:, :, :1].expand([-1, -1, 5, -1]),
        "prior": lambda m, x: F.pixel_shuffle(paddle.tile(x, [1, 4, 1, 1]), 2), "matmul": lambda m, x: paddle.matmul(x, x, transpose_y=True), "where": lambda m, x: paddle.where(x > 0, x, x * 2),
    }
    for name, f in cases.items():
        for tag, shape in (("", [1, 3, 8, 10]), ("_n", [None, 3, 8, 10]), ("_open", [None, 3, None, None])):
            for opset in (11, 13):
                attempt(f"p_f_{name}{tag}_{opset}", lambda: export(Fn(f), (shape, "float32"), opset=opset))


def check(floe):
    """Facts that shape inference finds and floe tells, and those that it tells otherwise."""
    facts = right = wrong = other = 0
    paths = sorted(glob.glob(os.path.join(OUT, "onnx", "*", "truth.json")))
    for path in paths:
        told = json.load(open(path))
        ran = subprocess.run([floe, "infer", "--json", path.replace("truth.json", "model.onnx")], capture_output=True, text=True, check=False)
        said = json.loads(ran.stdout)
        if "error" in said:
            print("WRONG", told["id"], said["error"]["message"])
            wrong += 1
            continue
        for want, declared, got in zip(told["signatures"][0]["outputs"], told["declared"], said["signatures"][0]["outputs"]):
            for field in ("dtype", "shape"):
                a, b, c = got[field], want[field], declared[field]
                bad, differs = (a is not None and v is not None and (a != v if field == "dtype" else len(a) != len(v) or any(
                    p is not None and q is not None and p != q for p, q in zip(a, v))) for v in (b, c))
                enough = b is None or (a is not None and (a == b or field == "shape" and len(a) == len(b) and all(q is None or p == q for p, q in zip(a, b))))
                facts += b is not None
                right += b is not None and enough and not bad
                wrong += bad
                other += differs
                if bad or differs or not enough:
                    print("WRONG" if bad else "missing" if not enough else "declared otherwise", told["id"], want["name"], field, "got", a, "inferred", b, "declared", c)
    print(f"{len(paths)} models, {right} of {facts} facts, {wrong} wrong, {other} declared otherwise")
    return 1 if wrong else 0


if __name__ == "__main__":
    if sys.argv[2] == "--check":
        sys.exit(check(sys.argv[3]))
    for part in sys.argv[2:]:
        globals()[part]()
