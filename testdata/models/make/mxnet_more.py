"""More models of MXNet than testdata keeps, with truth: the networks of Gluon's zoo, recurrent ones, heads of
detectors, an operator at a time, arrays of every kind, graphs as old versions wrote them.

Python 3.8, mxnet 1.9.1, numpy < 1.24:  python mxnet_more.py OUT [NAME...]

`mxnet.py` says what is known; weights of large networks are files with holes, of which only headers are written.
"""

import json
import os
import struct
import sys
import types
from pathlib import Path

sys.path = [p for p in sys.path if Path(p or ".").resolve() != Path(__file__).resolve().parent]
import importlib.util

import mxnet as mx
import numpy as np
from mxnet.gluon import nn, rnn
from mxnet.gluon.model_zoo import vision

spec = importlib.util.spec_from_file_location("base", Path(__file__).resolve().parent / "mxnet.py")
base = importlib.util.module_from_spec(spec)
spec.loader.exec_module(base)
S, rows, dense = mx.sym, base.rows, base.dense
ONLY = sys.argv[2:]
base.ROOT = Path(sys.argv[1])
FLAGS = {np.dtype(n): i for i, n in enumerate(
    ["float32", "float64", "float16", "uint8", "int32", "int8", "int64", "bool", "int16", "uint16", "uint32", "uint64"])}


class Hole:
    """An array that has a shape and a type, and no values."""

    def __init__(self, shape, dtype="float32"):
        self.shape, self.dtype = tuple(shape), np.dtype(dtype)


def save(path, arrays):
    with open(path, "wb") as f:
        f.write(struct.pack("<QQQ", 0x112, 0, len(arrays)))
        for a in arrays.values():
            f.write(struct.pack("<Iii", 0xF993FAC9, 0, len(a.shape)) + struct.pack("<%dq" % len(a.shape), *a.shape))
            f.write(struct.pack("<iii", 1, 0, FLAGS[np.dtype(a.dtype)]))
            f.seek(int(np.prod(a.shape, dtype=np.int64)) * np.dtype(a.dtype).itemsize, 1)
        f.write(struct.pack("<Q", len(arrays)))
        for n in arrays:
            f.write(struct.pack("<Q", len(n)) + n.encode())


base.save = save


def write(case, symbol, shapes, labels=(), dtype="float32", types={}, **more):
    if ONLY and case not in ONLY:
        return
    try:
        names = symbol.list_arguments()
        a, _, x = symbol.infer_shape(**{k: s[1] for k, s in shapes.items()})
        values = {n: Hole(s, types.get(n, dtype)) for n, s in zip(names, a) if n not in shapes and n not in labels}
        aux = {n: Hole(s) for n, s in zip(symbol.list_auxiliary_states(), x)}
        base.write(case, symbol, shapes, labels, values=values, aux=aux, **more)
        print("ok", case, flush=True)
    except Exception as e:
        print("FAILED", case, str(e)[:200].replace("\n", " "), flush=True)


def net(case, make, *shape, name="data"):
    if ONLY and case not in ONLY:
        return
    block = make()
    block.hybridize()
    out = block(S.Variable(name))
    write(case, S.Group(list(out)) if isinstance(out, (list, tuple)) else out, {name: rows(*shape)})


IMAGE = (3, 224, 224)
for name in ["resnet18_v1", "resnet50_v1", "resnet18_v2", "resnet50_v2", "mobilenet0_25", "mobilenet_v2_0_25", "vgg11", "vgg11_bn",
             "squeezenet1_0", "squeezenet1_1", "densenet121", "alexnet"]:
    net("zoo_" + name, lambda: getattr(vision, name)(), *IMAGE)
net("zoo_inception_v3", lambda: vision.inception_v3(), 3, 299, 299)
net("zoo_classes", lambda: vision.resnet18_v1(classes=7), *IMAGE)
net("zoo_features", lambda: vision.resnet18_v2().features, *IMAGE)
net("zoo_thumb", lambda: vision.get_resnet(1, 18, thumbnail=True), 3, 32, 32)

d, img = S.Variable("data"), S.Variable("data")
Act = lambda x, **k: S.Activation(x, act_type="relu", **k)
Conv = lambda x, n, name, k=3, **m: S.Convolution(x, num_filter=n, kernel=(k, k), name=name, **m)


# MobileNet v3: hard swish and squeeze-and-excite.
def hswish(x):
    return x * (S.clip(x + 3, 0, 6) / 6)


def excite(x, c, name):
    s = S.contrib.AdaptiveAvgPooling2D(x, output_size=1)
    s = Act(Conv(s, c // 4, name + "_a", 1))
    return S.broadcast_mul(x, S.clip(Conv(s, c, name + "_b", 1) + 3, 0, 6) / 6)


x = hswish(S.BatchNorm(Conv(img, 8, "c0", stride=(2, 2), pad=(1, 1)), name="b0"))
x = excite(S.Convolution(x, num_filter=8, num_group=8, kernel=(3, 3), pad=(1, 1), name="dw"), 8, "se")
x = S.Pooling(x, global_pool=True, kernel=(1, 1), pool_type="avg")
write("mobilenet_v3", S.SoftmaxOutput(dense(S.Flatten(hswish(Conv(x, 16, "c1", 1))), 10, name="fc"), name="softmax"), {"data": rows(3, 32, 32)},
      ["softmax_label"])

# Symbols as the examples of 0.x made them.
x = Act(dense(S.Flatten(d), 16, name="fc1"))
write("mlp_flatten", S.SoftmaxOutput(dense(x, 10, name="fc2"), name="softmax"), {"data": rows(1, 28, 28)}, ["softmax_label"])
x = S.Pooling(S.Activation(Conv(img, 20, "c1", 5), act_type="tanh"), pool_type="max", kernel=(2, 2), stride=(2, 2))
x = S.Pooling(S.Activation(Conv(x, 50, "c2", 5), act_type="tanh"), pool_type="max", kernel=(2, 2), stride=(2, 2))
write("lenet", S.SoftmaxOutput(dense(S.Activation(dense(S.Flatten(x), 500, name="f1"), act_type="tanh"), 10, name="f2"), name="softmax"),
      {"data": rows(1, 28, 28)}, ["softmax_label"])
for kind in ["LinearRegressionOutput", "LogisticRegressionOutput", "MAERegressionOutput"]:
    write("loss_" + kind, getattr(S, kind)(dense(d, 1, name="fc"), S.Variable("target"), name="out"), {"data": rows(6)}, ["target"])
write("loss_svm", S.SVMOutput(dense(d, 4, name="fc"), name="svm"), {"data": rows(6)}, ["svm_label"])
write("loss_group", S.Group([S.SoftmaxOutput(dense(d, 3, name="a"), name="sa"), S.LinearRegressionOutput(dense(d, 1, name="b"), name="lb")]),
      {"data": rows(6)}, ["sa_label", "lb_label"])
write("softmax_multi", S.SoftmaxOutput(Conv(img, 5, "c"), name="softmax", multi_output=True), {"data": rows(3, 8, 8)}, ["softmax_label"])
write("block_grad", S.Group([S.BlockGrad(dense(d, 3, name="a")), S.MakeLoss(S.sum(S.square(dense(d, 2, name="b"))), name="l")]), {"data": rows(4)})
internals = S.SoftmaxOutput(dense(Act(dense(d, 8, name="a"), name="r"), 3, name="b"), name="softmax").get_internals()
write("internals", S.Group([internals["r_output"], internals["b_output"]]), {"data": rows(5)})

# Recurrent networks: fused, unrolled, Gluon's.
cell = mx.rnn.SequentialRNNCell()
cell.add(mx.rnn.LSTMCell(num_hidden=6, prefix="l0_"))
cell.add(mx.rnn.GRUCell(num_hidden=5, prefix="g0_"))
out, _ = cell.unroll(4, inputs=S.Embedding(d, input_dim=30, output_dim=7, name="embed"), merge_outputs=True)
write("rnn_unrolled", S.softmax(dense(S.Reshape(out, shape=(-1, 5)), 9, name="pred"), name="s"), {"data": rows(4)})
out, states = mx.rnn.RNNCell(num_hidden=3, prefix="r_").unroll(2, inputs=[S.Variable("t0"), S.Variable("t1")])
write("rnn_list", S.Group(out), {"t0": rows(4), "t1": rows(4)})
fused = mx.rnn.FusedRNNCell(8, num_layers=2, mode="lstm", bidirectional=True, prefix="f_")
out, _ = fused.unroll(5, inputs=d, merge_outputs=True, layout="NTC")
write("rnn_fused", dense(S.SequenceLast(S.transpose(out, axes=(1, 0, 2))), 4, name="fc"), {"data": rows(5, 6)})
for mode in ["lstm", "gru", "rnn_tanh"]:
    x = S.RNN(data=d, parameters=S.Variable("p"), state=S.Variable("s0", shape=(2, 0, 4)), mode=mode, state_size=4, num_layers=2, name="r",
              **({"state_cell": S.Variable("c0", shape=(2, 0, 4))} if mode == "lstm" else {}), state_outputs=True)
    more = {"c0": [(2, 2, 4), (2, 3, 4)]} if mode == "lstm" else {}
    write("rnn_op_" + mode, x, {"data": [(5, 2, 3), (5, 3, 3)], "s0": [(2, 2, 4), (2, 3, 4)], **more})
for layer in [rnn.LSTM, rnn.GRU, rnn.RNN]:
    for both in (False, True):
        block = layer(6, num_layers=2, bidirectional=both, layout="NTC", input_size=4)
        block.hybridize()
        x, begin = S.Variable("data"), block.begin_state(func=S.Variable, batch_size=0) if False else None
        write("gluon_%s_%d" % (layer.__name__.lower(), both), dense(block(x), 3, name="fc"), {"data": rows(5, 4)})
write("rnn_conv", S.Group(mx.rnn.ConvLSTMCell(input_shape=(1, 2, 8, 8), num_hidden=3, prefix="cl_").unroll(
    2, inputs=[S.Variable("t0"), S.Variable("t1")])[0]) if hasattr(mx.rnn, "ConvLSTMCell") else d, {"t0": rows(2, 8, 8), "t1": rows(2, 8, 8)})

# Detectors.
feature = Act(Conv(Act(Conv(img, 8, "c1", stride=(2, 2), pad=(1, 1))), 16, "c2", stride=(2, 2), pad=(1, 1)))
cls, loc, anchors = [], [], []
for i, f in enumerate([feature, Act(Conv(feature, 16, "c3", stride=(2, 2), pad=(1, 1)))]):
    anchors.append(S.Flatten(S.contrib.MultiBoxPrior(f, sizes=(0.2, 0.3), ratios=(1, 2, 0.5), name="prior%d" % i)))
    cls.append(S.Flatten(S.transpose(Conv(f, 4 * 3, "cls%d" % i, pad=(1, 1)), axes=(0, 2, 3, 1))))
    loc.append(S.Flatten(S.transpose(Conv(f, 4 * 4, "loc%d" % i, pad=(1, 1)), axes=(0, 2, 3, 1))))
probs = S.SoftmaxActivation(S.transpose(S.Reshape(S.Concat(*cls, dim=1), shape=(0, -1, 3)), axes=(0, 2, 1)), mode="channel", name="probs")
boxes = S.Reshape(S.Concat(*anchors, dim=1), shape=(0, -1, 4))
write("ssd", S.contrib.MultiBoxDetection(probs, S.Concat(*loc, dim=1), boxes, name="detection", nms_threshold=0.5), {"data": rows(3, 64, 64)})
write("ssd_parts", S.Group([probs, S.Concat(*loc, dim=1, name="locs"), boxes]), {"data": rows(3, 64, 64)})
x = Conv(img, 21, "yolo", 1)
write("yolo", S.Group([S.sigmoid(S.slice_axis(S.Reshape(S.transpose(x, axes=(0, 2, 3, 1)), shape=(0, -1, 3, 7)), axis=-1, begin=0, end=2)),
                       S.contrib.box_nms(S.Reshape(x, shape=(0, -1, 7)), name="nms")]), {"data": rows(3, 8, 8)})
up = S.UpSampling(Conv(img, 4, "a"), scale=2, sample_type="nearest", num_args=1)
write("fpn", S.Group([S.Concat(up, S.Deconvolution(Conv(img, 4, "b"), num_filter=4, kernel=(4, 4), stride=(2, 2), pad=(1, 1), name="d"), dim=1),
                      S.Crop(up, Conv(img, 4, "c"), num_args=2), S.contrib.BilinearResize2D(up, height=20, width=10)]), {"data": rows(3, 16, 16)})
write("unet", Conv(S.Concat(S.Deconvolution(S.Pooling(Act(Conv(img, 4, "e", pad=(1, 1))), kernel=(2, 2), stride=(2, 2), pool_type="max"), num_filter=4,
                                            kernel=(2, 2), stride=(2, 2), name="u"), Conv(img, 4, "k", pad=(1, 1)), dim=1), 2, "o", 1), {"data": rows(1, 16, 16)})
write("roi", S.Group([S.ROIPooling(Conv(img, 4, "c"), S.Variable("rois"), pooled_size=(3, 2), spatial_scale=0.5),
                      S.contrib.ROIAlign(Conv(img, 4, "e"), S.Variable("rois"), pooled_size=(2, 2), spatial_scale=0.5)]),
      {"data": rows(3, 16, 16), "rois": [(4, 5), (6, 5)]})

# Transformers.
def attention(x, width, heads, name):
    q, k, v = [S.transpose(S.Reshape(dense(x, width, name=name + n, flatten=False), shape=(0, 0, heads, -1)), axes=(0, 2, 1, 3)) for n in "qkv"]
    a = S.softmax(S.batch_dot(S.Reshape(q, shape=(-3, -2)), S.Reshape(k, shape=(-3, -2)), transpose_b=True) / 2, axis=-1)
    o = S.Reshape(S.batch_dot(a, S.Reshape(v, shape=(-3, -2))), shape=(-4, -1, heads, 0, 0))
    return dense(S.Reshape(S.transpose(o, axes=(0, 2, 1, 3)), shape=(0, 0, -3)), width, name=name + "o", flatten=False)


x = S.LayerNorm(S.Embedding(d, input_dim=50, output_dim=8, name="e"), name="n0")
x = S.LayerNorm(x + attention(x, 8, 2, "a"), name="n1")
x = S.LayerNorm(x + dense(S.LeakyReLU(dense(x, 16, name="i", flatten=False), act_type="gelu"), 8, name="j", flatten=False), name="n2")
write("bert", S.Group([x, S.tanh(dense(S.squeeze(S.slice_axis(x, axis=1, begin=0, end=1), axis=1), 8, name="pooler")),
                       S.broadcast_add(S.dot(x, S.Variable("e_weight"), transpose_b=True) if False else dense(x, 50, name="lm", flatten=False), S.Variable("lmb", shape=(1, 1, 50)))]),
      {"data": rows(6)})
qkv = S.contrib.interleaved_matmul_selfatt_qk(dense(d, 24, name="qkv", flatten=False), heads=2)
write("selfatt", S.Group([qkv, S.contrib.interleaved_matmul_selfatt_valatt(dense(d, 24, name="qkv2", flatten=False), S.softmax(qkv), heads=2)]), {"data": [(5, 2, 8), (5, 3, 8)]})

# Types.
for dtype in ["float16", "float64"]:
    x = S.Cast(d, dtype=dtype, name="cast")
    write("cast_" + dtype, S.Cast(dense(x, 3, name="fc"), dtype="float32", name="back"), {"data": rows(4)}, dtype=dtype)
    write("plain_" + dtype, dense(Act(S.BatchNorm(Conv(img, 4, "c"), name="b")) if False else Act(dense(d, 5, name="a")), 3, name="fc"), {"data": rows(4)}, dtype=dtype)
    write("conv_" + dtype, dense(Act(Conv(img, 4, "c")), 3, name="fc"), {"data": rows(3, 8, 8)}, dtype=dtype)
write("uint8_in", dense(S.Cast(S.Variable("data", dtype="uint8"), dtype="float32"), 3, name="fc"), {"data": rows(4)})
write("argmax_type", S.Group([S.argmax(dense(d, 3, name="a"), axis=1), S.topk(dense(d, 3, name="b"), k=2, ret_typ="both", dtype="int32"),
                              S.Cast(S.argsort(dense(d, 3, name="c")), dtype="int64"), S.one_hot(S.argmax(dense(d, 3, name="e"), axis=1), depth=3)]), {"data": rows(4)})

# One operator at a time over something of which channels are known.
C4 = lambda: Conv(img, 6, "c", pad=(1, 1))
F5 = lambda: dense(d, 6, name="fc")
OPS = {
    "swapaxes": lambda: S.SwapAxis(C4(), dim1=1, dim2=3), "flip": lambda: S.flip(C4(), axis=1), "expand": lambda: S.expand_dims(F5(), axis=-1),
    "squeeze": lambda: S.squeeze(S.Pooling(C4(), global_pool=True, kernel=(1, 1), pool_type="max"), axis=(2, 3)),
    "stack": lambda: S.stack(F5(), F5() * 2, axis=1), "tile": lambda: S.tile(F5(), reps=(1, 2)), "repeat": lambda: S.repeat(F5(), repeats=3, axis=1),
    "pad": lambda: S.Pad(C4(), mode="edge", pad_width=(0, 0, 0, 0, 1, 1, 2, 2)), "slice": lambda: S.slice(F5(), begin=(None, 1), end=(None, 4)),
    "slice_neg": lambda: S.slice(F5(), begin=(None, -1), end=(None, None), step=(None, -1)), "take": lambda: S.take(F5(), S.Variable("i"), axis=1),
    "pick": lambda: S.pick(F5(), S.argmax(F5(), axis=1)), "gather": lambda: S.gather_nd(F5(), S.Variable("i")), "batch_take": lambda: S.batch_take(F5(), S.argmax(F5(), axis=1)),
    "norm": lambda: S.norm(F5(), axis=1), "norm_all": lambda: S.norm(F5()), "l2": lambda: S.L2Normalization(F5()), "lrn": lambda: S.LRN(C4(), nsize=3),
    "instance": lambda: S.InstanceNorm(C4(), name="in"), "group": lambda: S.GroupNorm(C4(), num_groups=2, name="gn"), "layer": lambda: S.LayerNorm(F5(), name="ln"),
    "prelu": lambda: S.LeakyReLU(C4(), act_type="prelu", name="pr"), "rrelu": lambda: S.LeakyReLU(C4(), act_type="elu"), "dropout": lambda: S.Dropout(F5(), p=0.3),
    "split": lambda: S.split(F5(), num_outputs=2, axis=1), "split1": lambda: S.split(F5(), num_outputs=3, axis=1)[1], "splitv2": lambda: S.split_v2(F5(), (2, 4), axis=1),
    "depth": lambda: S.depth_to_space(Conv(img, 8, "c"), block_size=2), "space": lambda: S.space_to_depth(Conv(img, 8, "c", pad=(1, 1)), block_size=2),
    "where": lambda: S.where(F5() > 0, F5(), F5() * 0), "clip": lambda: S.clip(F5(), 0, 1), "mean": lambda: S.mean(C4(), axis=(2, 3), keepdims=True),
    "mean_ex": lambda: S.mean(C4(), axis=1, exclude=True), "sum": lambda: S.sum(F5(), axis=1), "max": lambda: S.max(C4(), axis=(2, 3)), "prod": lambda: S.prod(F5()),
    "logsum": lambda: S.log(S.sum(S.exp(F5()), axis=1, keepdims=True)), "reshape": lambda: S.Reshape(C4(), shape=(0, 2, 3, -1)), "reshape_rev": lambda: S.Reshape(C4(), shape=(-1, 0, 0), reverse=True),
    "reshape_split": lambda: S.Reshape(F5(), shape=(0, -4, 2, -1)), "reshape_like": lambda: S.reshape_like(F5() * 2, F5()), "slice_like": lambda: S.slice_like(S.tile(F5(), reps=(1, 2)), F5(), axes=(1,)),
    "bcast_to": lambda: S.broadcast_to(S.sum(F5(), axis=1, keepdims=True), shape=(0, 5)), "bcast_axis": lambda: S.broadcast_axis(S.sum(F5(), axis=1, keepdims=True), axis=1, size=5),
    "bcast_like": lambda: S.broadcast_like(S.sum(F5(), axis=1, keepdims=True), F5()), "dot": lambda: S.dot(F5(), S.Variable("w")), "dot_t": lambda: S.dot(F5(), S.Variable("w"), transpose_b=True),
    "khatri": lambda: S.khatri_rao(F5(), F5()), "add_n": lambda: S.add_n(F5(), F5(), F5()), "maximum": lambda: S.broadcast_maximum(F5(), S.sum(F5(), axis=1, keepdims=True)),
    "seqmask": lambda: S.SequenceMask(S.transpose(dense(d, 6, name="fc", flatten=False), axes=(1, 0, 2))), "seqrev": lambda: S.SequenceReverse(S.transpose(dense(d, 6, name="fc", flatten=False), axes=(1, 0, 2))),
    "seqlast": lambda: S.SequenceLast(S.transpose(dense(d, 6, name="fc", flatten=False), axes=(1, 0, 2))), "grid": lambda: S.BilinearSampler(C4(), S.GridGenerator(S.Variable("affine"), transform_type="affine", target_shape=(4, 5))),
    "stn": lambda: S.SpatialTransformer(C4(), dense(img, 6, name="loc"), target_shape=(7, 5), transform_type="affine", sampler_type="bilinear"), "corr": lambda: S.Correlation(C4(), C4(), kernel_size=1, max_displacement=2, pad_size=2),
    "softmax_act": lambda: S.SoftmaxActivation(F5()), "hardsig": lambda: S.hard_sigmoid(F5()), "smooth": lambda: S.smooth_l1(F5()), "gamma": lambda: S.gamma(F5()), "relu6": lambda: S.relu(F5()),
    "arange": lambda: S.broadcast_add(F5(), S.arange(0, 6)), "zeros": lambda: S.broadcast_add(F5(), S.zeros((1, 6))), "arange_like": lambda: S.contrib.arange_like(F5(), axis=1),
    "diag": lambda: S.diag(F5()), "linalg": lambda: S.linalg.gemm2(F5(), S.Variable("w")), "fft": lambda: S.contrib.fft(F5()) if False else F5(), "ravel": lambda: S.Flatten(C4()), "pool3": lambda: S.Pooling(C4(), kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="avg", count_include_pad=False),
    "pool_full": lambda: S.Pooling(C4(), kernel=(2, 2), stride=(2, 2), pooling_convention="full", pool_type="max"), "lp": lambda: S.Pooling(C4(), kernel=(2, 2), stride=(2, 2), pool_type="lp", p_value=2), "conv_d": lambda: Conv(img, 5, "c", dilate=(2, 2), stride=(2, 2)),
    "conv_nob": lambda: Conv(img, 5, "c", no_bias=True), "conv1": lambda: S.Convolution(d, num_filter=5, kernel=(3,), name="c"), "conv3": lambda: S.Convolution(d, num_filter=5, kernel=(1, 3, 3), name="c"), "deform": lambda: S.contrib.DeformableConvolution(img, Conv(img, 18, "o"), num_filter=5, kernel=(3, 3), name="c"),
    "deconv_target": lambda: S.Deconvolution(img, num_filter=5, kernel=(4, 4), stride=(2, 2), target_shape=(32, 30), name="c"), "deconv_g": lambda: S.Deconvolution(img, num_filter=6, num_group=3, kernel=(4, 4), stride=(2, 2), pad=(1, 1), adj=(1, 1), name="c"), "up_bi": lambda: S.UpSampling(img, S.Variable("w"), scale=2, sample_type="bilinear", num_filter=3, num_args=2),
    "embed_img": lambda: S.Embedding(d, input_dim=9, output_dim=4, name="e"), "sparse_embed": lambda: S.contrib.SparseEmbedding(d, input_dim=9, output_dim=4, name="e"), "crop": lambda: S.Crop(C4(), num_args=1, h_w=(5, 4), offset=(1, 1)), "resize_like": lambda: S.contrib.BilinearResize2D(C4(), S.Variable("ref"), mode="like"),
    "adaptive": lambda: S.contrib.AdaptiveAvgPooling2D(C4(), output_size=(3, 2)), "moments": lambda: S.moments(C4(), axes=(2, 3)), "shuffle": lambda: S.shuffle(F5()), "unravel": lambda: S.Cast(F5(), dtype="int32"), "image_norm": lambda: S.image.normalize(d, mean=(0, 0, 0), std=(1, 1, 1)), "to_tensor": lambda: S.image.to_tensor(d),
    "image_resize": lambda: S.image.resize(d, size=(8, 6)), "ident": lambda: S.identity(F5()), "scalar_cmp": lambda: F5() > 0.5, "logical": lambda: S.broadcast_logical_and(F5() > 0, F5() < 1), "index": lambda: S.contrib.index_copy(F5(), S.Variable("i"), S.Variable("n")), "boolean": lambda: S.contrib.boolean_mask(F5(), S.Variable("m")),
    "erf": lambda: S.erf(F5()), "svm_in": lambda: S.log_softmax(F5(), axis=-1), "kl": lambda: S.IdentityAttachKLSparseReg(S.sigmoid(F5()), name="kl"), "cumsum": lambda: S.np.cumsum(F5()) if False else F5(), "div_sqrt": lambda: S.contrib.div_sqrt_dim(F5()), "amp": lambda: S.amp_cast(F5(), dtype="float16"), "quad": lambda: S.contrib.quadratic(F5(), a=1, b=2, c=3),
    "getnnz": lambda: S.size_array(F5()), "shape": lambda: S.shape_array(F5()), "ctc": lambda: S.ctc_loss(S.transpose(dense(d, 6, name="fc", flatten=False), axes=(1, 0, 2)), S.Variable("label")), "topk": lambda: S.topk(F5(), k=2), "topkv": lambda: S.topk(F5(), k=2, ret_typ="value"), "sort": lambda: S.sort(F5()), "argmin": lambda: S.argmin(F5(), axis=1, keepdims=True),
    "proposal": lambda: S.contrib.Proposal(Conv(img, 18, "cls", 1), Conv(img, 36, "box", 1), S.Variable("im_info"), rpn_post_nms_top_n=20, rpn_pre_nms_top_n=50, scales=(8,), ratios=(0.5, 1, 2), feature_stride=16) if False else F5(), "psroi": lambda: S.contrib.PSROIPooling(Conv(img, 8, "c"), S.Variable("rois"), spatial_scale=1.0, output_dim=2, pooled_size=2) if False else F5(),
    "im2col": lambda: S.im2col(C4(), kernel=(3, 3), stride=(1, 1), pad=(1, 1)), "col2im": lambda: S.col2im(S.Reshape(Conv(img, 9, "c", pad=(1, 1)), shape=(0, 0, -1)), output_size=(16, 16), kernel=(3, 3), pad=(1, 1)), "hist": lambda: S.reciprocal(F5()),
    "sync": lambda: S.contrib.SyncBatchNorm(C4(), key="k", name="sb"), "box_iou": lambda: S.contrib.box_iou(S.slice_axis(F5(), axis=1, begin=0, end=4), S.slice_axis(F5(), axis=1, begin=0, end=4)), "rand": lambda: F5() + S.random.uniform_like(F5()), "allclose": lambda: S.contrib.allclose(F5(), F5()), "round_ste": lambda: S.contrib.round_ste(F5()), "hs": lambda: S.relu(F5()) * S.sigmoid(F5()),
}
IMAGES = {"data": rows(3, 16, 16)}
GIVEN = {"take": {"i": [(4,), (4,)]}, "gather": {"i": [(2, 4), (2, 4)]}, "dot": {"w": None}, "dot_t": {"w": None}, "linalg": {"w": None}, "grid": {"affine": [(2, 6), (3, 6)]}, "up_bi": {}, "resize_like": {"ref": rows(3, 9, 7)}, "index": {"i": [(2,), (2,)], "n": [(2, 6), (2, 6)]},
         "boolean": {"m": [(2,), (3,)]}}
SEQUENCES = {"seqmask", "seqrev", "seqlast", "ctc"}
for name, make in OPS.items():
    try:
        symbol = make()
    except Exception as e:
        print("FAILED", name, str(e)[:100])
        continue
    text = symbol.tojson()
    shapes = dict(IMAGES) if '"Convolution"' in text and name not in ("conv1", "conv3") or name in ("deconv_target", "deconv_g", "up_bi", "deform", "stn") else {"data": rows(5)}
    shapes = {"conv1": {"data": rows(4, 9)}, "conv3": {"data": rows(2, 4, 6, 6)}, "image_norm": {"data": rows(3, 8, 8)}, "to_tensor": {"data": rows(8, 8, 3)}, "image_resize": {"data": rows(9, 9, 3)}}.get(name, shapes)
    shapes = {"data": rows(4, 5)} if name in SEQUENCES else shapes
    shapes.update({k: v for k, v in GIVEN.get(name, {}).items() if v})
    if name == "dot" or name == "linalg":
        symbol = S.dot(F5(), S.Variable("w", shape=(6, 3)))
    if name == "dot_t":
        symbol = S.dot(F5(), S.Variable("w", shape=(3, 6)), transpose_b=True)
    write("op_" + name, symbol, shapes, ["label"] if name == "ctc" else ())


# Networks of the numpy interface.
mx.npx.set_np()


class Numpy(nn.HybridBlock):
    def __init__(self, rule, **layers):
        super().__init__()
        self.rule = rule
        for name, layer in layers.items():
            setattr(self, name, layer)

    def hybrid_forward(self, F, x):
        return self.rule(self, F, x)


def numpy_net(case, block, *shape):
    if ONLY and case not in ONLY:
        return
    x = mx.sym.var("data").as_np_ndarray()
    out = block(x)
    write(case, S.Group([o.as_nd_ndarray() if False else o for o in out]) if isinstance(out, (list, tuple)) else out, {"data": rows(*shape)})


NP = {
    "mlp": (lambda: Numpy(lambda s, F, x: F.npx.softmax(s.b(F.np.tanh(s.a(x)))), a=nn.Dense(8), b=nn.Dense(3)), (5,)),
    "arith": (lambda: Numpy(lambda s, F, x: (s.a(x) * 2 + 1 - s.b(x)) / (F.np.exp(s.a(x)) + 3), a=nn.Dense(4), b=nn.Dense(4)), (5,)),
    "compare": (lambda: Numpy(lambda s, F, x: s.a(x) > 0.5, a=nn.Dense(4)), (5,)),
    "compare2": (lambda: Numpy(lambda s, F, x: F.np.greater(s.a(x), s.b(x)), a=nn.Dense(4), b=nn.Dense(4)), (5,)),
    "reduce": (lambda: Numpy(lambda s, F, x: F.np.sum(s.a(x), axis=1), a=nn.Dense(4)), (5,)),
    "reduce_all": (lambda: Numpy(lambda s, F, x: F.np.mean(s.a(x)), a=nn.Dense(4)), (5,)),
    "reduce_keep": (lambda: Numpy(lambda s, F, x: F.np.max(s.a(x), axis=-1, keepdims=True), a=nn.Dense(4)), (5,)),
    "argmax": (lambda: Numpy(lambda s, F, x: F.np.argmax(s.a(x), axis=1), a=nn.Dense(4)), (5,)),
    "reshape": (lambda: Numpy(lambda s, F, x: F.np.reshape(s.a(x), (-1, 2, 2)), a=nn.Dense(4)), (5,)),
    "npx_reshape": (lambda: Numpy(lambda s, F, x: F.npx.reshape(s.a(x), (-2, 2, -1)), a=nn.Dense(4)), (5,)),
    "npx_merge": (lambda: Numpy(lambda s, F, x: F.npx.reshape(s.a(x), (-2, -5)), a=nn.Dense(4, flatten=False)), (5, 3)),
    "concat": (lambda: Numpy(lambda s, F, x: F.np.concatenate([s.a(x), s.b(x)], axis=1), a=nn.Dense(4), b=nn.Dense(2)), (5,)),
    "stack": (lambda: Numpy(lambda s, F, x: F.np.stack([s.a(x), s.b(x)], axis=1), a=nn.Dense(4), b=nn.Dense(4)), (5,)),
    "transpose": (lambda: Numpy(lambda s, F, x: F.np.transpose(s.a(x), (0, 2, 3, 1)), a=nn.Conv2D(4, 3)), (2, 8, 8)),
    "swap": (lambda: Numpy(lambda s, F, x: F.np.swapaxes(s.a(x), 1, 2), a=nn.Conv2D(4, 3)), (2, 8, 8)),
    "expand": (lambda: Numpy(lambda s, F, x: F.np.squeeze(F.np.expand_dims(s.a(x), 1), 1), a=nn.Dense(4)), (5,)),
    "where": (lambda: Numpy(lambda s, F, x: F.np.where(s.a(x) > 0, s.a(x), s.b(x)), a=nn.Dense(4), b=nn.Dense(4)), (5,)),
    "matmul": (lambda: Numpy(lambda s, F, x: F.np.matmul(s.a(x), s.w(x)), a=nn.Dense(4, flatten=False), w=nn.Dense(5, flatten=False)), (4, 5)),
    "clip": (lambda: Numpy(lambda s, F, x: F.np.clip(F.npx.relu(s.a(x)), 0, 6), a=nn.Dense(4)), (5,)),
    "cnn": (lambda: Numpy(lambda s, F, x: s.c(F.npx.relu(s.b(s.a(x)))), a=nn.Conv2D(4, 3), b=nn.BatchNorm(), c=nn.Dense(3)), (2, 8, 8)),
    "ln": (lambda: Numpy(lambda s, F, x: s.n(x + s.a(x)), a=nn.Dense(6, flatten=False), n=nn.LayerNorm()), (5, 6)),
    "std": (lambda: Numpy(lambda s, F, x: F.np.std(s.a(x), axis=1), a=nn.Dense(4)), (5,)),
    "split": (lambda: Numpy(lambda s, F, x: F.np.split(s.a(x), 2, axis=1)[1], a=nn.Dense(4)), (5,)),
    "tile": (lambda: Numpy(lambda s, F, x: F.np.tile(s.a(x), (1, 2)), a=nn.Dense(4)), (5,)),
    "bcast": (lambda: Numpy(lambda s, F, x: s.a(x) + F.np.ones((4,)), a=nn.Dense(4)), (5,)),
    "abs": (lambda: Numpy(lambda s, F, x: F.np.abs(s.a(x)) ** 2, a=nn.Dense(4)), (5,)),
    "embed": (lambda: Numpy(lambda s, F, x: F.np.mean(s.e(x), axis=1), e=nn.Embedding(9, 4)), (5,)),
}
for name, (make, shape) in NP.items():
    try:
        numpy_net("np_" + name, make(), *shape)
    except Exception as e:
        print("FAILED np", name, str(e)[:200])
mx.npx.reset_np()


# Graphs as older versions wrote them: attributes under other names, inputs of two numbers.
def age(case, source, key, pairs):
    folder, to = base.ROOT / source, base.ROOT / case
    if ONLY or not (folder / "truth.json").exists():
        return
    (to / "model").mkdir(parents=True, exist_ok=True)
    for f in (folder / "model").iterdir():
        if f.suffix == ".params":
            (to / "model" / f.name).unlink(missing_ok=True)
            os.link(f, to / "model" / f.name)
            continue
        graph = json.loads(f.read_text())
        for node in graph["nodes"]:
            attrs = node.pop("attrs", {})
            inner = {k: v for k, v in attrs.items() if not k.startswith("__")}
            outer = {k.strip("_") if key == "param" else k: v for k, v in attrs.items() if k.startswith("__")}
            if key == "param":
                node["param"], node["backward_source_id"] = inner, -1
                if outer:
                    node["attr"] = outer
            elif attrs:
                node[key] = attrs
            node["inputs"] = [i[:2] if pairs else i for i in node["inputs"]]
        graph["heads"] = [h[:2] if pairs else h for h in graph["heads"]]
        graph.pop("attrs", None)
        if pairs:
            graph.pop("node_row_ptr", None)
        (to / "model" / f.name).write_text(json.dumps(graph, indent=2))
    t = json.loads((folder / "truth.json").read_text())
    t.update(id=case, path="mxnet/%s/model" % case, framework_version=None)
    (to / "truth.json").write_text(json.dumps(t, indent=1))


for source in ["lenet", "zoo_resnet18_v1", "mobilenet_v3", "rnn_fused", "ssd", "bert"]:
    age("attr_" + source, source, "attr", False)
    age("param_" + source, source, "param", True)
