#!/usr/bin/env python3
"""Models of Keras 3 that end in each operation of `keras.ops`, with what the framework says of them.

    pip install keras==3.15.1 jax==0.4.34 (Keras 3.0 to 3.15 do);  KERAS_BACKEND=jax python keras_ops.py OUT [-v]

Writes OUT/<id>/model.json (with `--keras` OUT/<id>/model.keras, which tells the version) and OUT/<id>/truth.json, as
`keras_all.py` does for layers. Too big for the repository.

    python keras_ops.py --compare OUT...

goes through sets that several versions and backends made of the same cases. Where the same file is told or computed differently
by them, the file does not determine the fact, and the truth of each of the sets says so.
"""
import json
import os
import shutil
import sys
import zipfile


def content(folder):
    """What a file of a model says, without the numbers that the process counted for names."""
    path = os.path.join(folder, "model.json")
    if os.path.exists(path):
        text, version = open(path).read(), ""
    else:
        with zipfile.ZipFile(os.path.join(folder, "model.keras")) as z:
            text, version = z.read("config.json").decode(), json.loads(z.read("metadata.json"))["keras_version"]
    value = json.loads(text)
    value["config"].pop("name", None)
    text = json.dumps(value, sort_keys=True)
    for i, layer in enumerate(value["config"]["layers"]):
        text = text.replace(f'"name": "{layer["name"]}"', f'"name": "{i}"').replace(f'["{layer["name"]}", ', f'["{i}", ')
    return version + text


def compare(sets):
    marked = 0
    for case in sorted({c for s in sets for c in os.listdir(s)}):
        alike = {}
        for s in sets:
            folder = os.path.join(s, case)
            path = os.path.join(folder, "truth.json")
            if os.path.exists(path):
                alike.setdefault(content(folder), []).append((path, json.load(open(path))))
        for group in alike.values():
            told = {}
            for _, t in group:
                for outputs in (t["signatures"][0]["outputs"], t.get("after") or []):
                    for k, o in enumerate(outputs):
                        for fact in ("dtype", "shape"):
                            told.setdefault((k, fact), set()).add(json.dumps(o[fact]))
            differ = {f"/signatures/0/outputs/{k}/{fact}": "no" for (k, fact), v in told.items() if len(v) > 1}
            for path, t in group:
                if differ != (t["determinable"].get("overrides") or {}):
                    t["determinable"]["overrides"] = differ
                    json.dump(t, open(path, "w"), indent=1)
                marked += len(differ)
    print(marked, "facts that the files do not determine")


if "--compare" in sys.argv:
    compare(sys.argv[sys.argv.index("--compare") + 1:])
    sys.exit()
sys.path.pop(0)  # Beside this file lies one that is called like the package.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import logging

logging.disable(logging.WARNING)
import numpy as np
import keras
from keras import ops as K

OUT = sys.argv[1]
In = keras.Input
F = "float32"


def cases():
    """(name, function, [(shape, dtype)...])"""
    out = []

    def c(name, f, *ins):
        out.append((name, f, [i if isinstance(i[0], tuple) else (i, F) for i in ins] or [((5, 4), F)]))
    unary = """abs absolute arccos arccosh arcsin arcsinh arctan arctanh ceil conj conjugate copy cos cosh exp exp2 expm1 floor imag real isfinite isinf isnan isneginf isposinf isreal log log10 log1p log2 logical_not negative
        reciprocal round sign signbit sin sinh sqrt square tan tanh nan_to_num angle cbrt deg2rad rad2deg trunc sinc i0 fabs positive fix ones_like zeros_like empty_like relu relu6 sigmoid sparse_sigmoid softplus softsign sparse_plus silu swish log_sigmoid hard_sigmoid
        hard_silu hard_swish selu elu celu gelu leaky_relu tanh_shrink hard_tanh soft_shrink hard_shrink squareplus softmax log_softmax sparsemax normalize rms_normalization layer_normalization erf erfinv erfc rsqrt stop_gradient ravel size ndim transpose flip fliplr flipud
        bitwise_not bitwise_invert sort argsort argmax argmin max min sum prod mean var std median all any average count_nonzero cumsum cumprod diff squeeze nonzero amax amin ptp nansum nanmean nanmax nanmin nanvar nanstd nanprod nanmedian nanargmax nanargmin nancumsum nancumprod logsumexp norm""".split()
    for u in unary:
        if not hasattr(K, u):
            continue
        f = getattr(K, u)
        c(u, f)
        c(u + "_h", f, ((3, 2), "float16"))
        c(u + "_none", f, ((None, 4), F))
        c(u + "_i", f, ((5, 4), "int32"))
        c(u + "_l", f, ((5, 4), "int64"))
        c(u + "_u", f, ((5, 4), "uint8"))
        c(u + "_b", f, ((5, 4), "bool"))
        c(u + "_bf", f, ((5,), "bfloat16"))
        c(u + "_d", f, ((5,), "float64"))
    for r in "max min sum prod mean var std median all any argmax argmin count_nonzero amax amin ptp nansum nanmean nanmax nanmin nanvar nanstd nanprod nanmedian nanargmax nanargmin logsumexp norm average cumsum cumprod sort argsort flip roll softmax log_softmax normalize argpartition nancumsum nancumprod".split():
        if not hasattr(K, r):
            continue
        f = getattr(K, r)
        if r == "roll":
            c("roll", lambda v: K.roll(v, 2)); c("roll_1", lambda v: K.roll(v, 2, axis=1)); continue
        if r == "argpartition":
            c(r, lambda v: K.argpartition(v, 2)); continue
        for ax in (0, 1, -1):
            c(f"{r}_ax{ax}", lambda v, ax=ax: f(v, axis=ax)) if False else c(f"{r}_ax{ax}", (lambda f, ax: lambda v: f(v, axis=ax))(f, ax))
        c(f"{r}_ax12", (lambda f: lambda v: f(v, axis=(1, 2)))(f))
        c(f"{r}_keep", (lambda f: lambda v: f(v, axis=1, keepdims=True))(f)); c(f"{r}_keepall", (lambda f: lambda v: f(v, keepdims=True))(f))
    for b in """add subtract multiply divide true_divide divide_no_nan power mod fmod floor_divide maximum minimum fmax fmin arctan2 hypot heaviside logaddexp logaddexp2 equal not_equal greater greater_equal less less_equal logical_and logical_or logical_xor isclose cross
        bitwise_and bitwise_or bitwise_xor left_shift right_shift bitwise_left_shift bitwise_right_shift gcd lcm kron ldexp nextafter outer inner vdot dot matmul tensordot""".split():
        if not hasattr(K, b):
            continue
        f = getattr(K, b)
        c(b, f, (4,), (4,)); c(b + "_33", f, (5, 3), (5, 3)); c(b + "_br", f, (5, 4), (1, 4)); c(b + "_rank", f, (5, 4), (4,)); c(b + "_none", f, (None, 4), (5, 4)); c(b + "_none1", f, (None, 4), (1, 4))
        for d, e in (("int32", "int32"), ("int32", F), ("float16", F), ("float16", "bfloat16"), ("int64", "float16"), ("int8", "uint8"), ("bool", "bool"), ("bool", "int32"), ("int64", "int32"), ("uint32", "int32"), ("float64", F), ("int8", "int32"), ("uint8", "uint8")):
            c(f"{b}_{d}_{e}", f, ((4,), d), ((4,), e))
        for tag, k in (("i", 2), ("f", 2.5), ("np", np.ones((4,), F)), ("npi", np.ones((1, 4), "int32")), ("list", [1.0, 2.0, 3.0, 4.0])):
            for d in (F, "int32", "float16", "bool", "int64", "uint8"):
                c(f"{b}_k{tag}_{d}", (lambda f, k: lambda v: f(v, k))(f, k), ((5, 4), d)); c(f"{b}_r{tag}_{d}", (lambda f, k: lambda v: f(k, v))(f, k), ((5, 4), d))
    for tag, f in dict(plus=lambda v: v + 1, plusf=lambda v: v + 1.5, rsub=lambda v: 1 - v, div=lambda v: v / 2, rdiv=lambda v: 2 / v, pw=lambda v: v ** 2, pwf=lambda v: v ** .5, mod=lambda v: v % 3, fd=lambda v: v // 2, neg=lambda v: -v, ab=abs, gt=lambda v: v > 1, eq=lambda v: v != 1, inv=lambda v: ~v,
                       conv=lambda v: v + K.ones((4,)), np0=lambda v: v * np.float32(2), npd=lambda v: v * np.float64(2), npi=lambda v: v * np.int64(2), where=lambda v: K.where(v > 0, v, 0.0), wherei=lambda v: K.where(v > 0, v, 0), where1=lambda v: K.where(v > 0, 1, 0), where1f=lambda v: K.where(v > 0, 1.0, 0.0), wherex=lambda v: K.where(v > 0, v, -v), clip=lambda v: K.clip(v, 0, 1),
                       cast=lambda v: K.cast(v, "int32"), casth=lambda v: K.cast(v, "float16"), onehot=lambda v: K.one_hot(K.cast(v, "int32"), 7), onehot_ax=lambda v: K.one_hot(K.cast(v, "int32"), 7, axis=1), onehot_d=lambda v: K.one_hot(K.cast(v, "int32"), 7, dtype="int32"), multihot=lambda v: K.multi_hot(K.cast(v, "int32"), 7), satcast=lambda v: K.saturate_cast(v, "uint8"),
                       view=lambda v: K.view(v, "int8"), conv2t=lambda v: K.convert_to_tensor(v, "float16"), full_like=lambda v: K.full_like(v, 3), full_like_d=lambda v: K.full_like(v, 3, dtype="int32"), zl=lambda v: K.zeros_like(v, dtype="int32"), digit=lambda v: K.digitize(v, np.array([0., 1.])), bincount=lambda v: K.bincount(K.cast(v, "int32"), minlength=4)).items():
        for d in (F, "int32", "float16", "bool", "int64", "uint8", "bfloat16", "float64"):
            c(f"py_{tag}_{d}", f, ((5, 4), d))
    # Shapes
    for tag, f in dict(reshape=lambda v: K.reshape(v, (-1, 20)), reshape_n=lambda v: K.reshape(v, (-1, 2, 10)), reshape_fix=lambda v: K.reshape(v, (6, 20)), reshape_one=lambda v: K.reshape(v, -1), transpose=lambda v: K.transpose(v, (0, 2, 1)), transpose_b=lambda v: K.transpose(v, (2, 0, 1)), expand=lambda v: K.expand_dims(v, -1), expand1=lambda v: K.expand_dims(v, 1), expand2=lambda v: K.expand_dims(v, (1, 3)), squeeze=lambda v: K.squeeze(v[:, :1], 1),
                       squeeze_all=lambda v: K.squeeze(v[:, :1]), squeeze2=lambda v: K.squeeze(v[:, :1, :1], (1, 2)), stack=lambda v: K.stack([v, v], 1), stackl=lambda v: K.stack([v, v, v], -1), stack0=lambda v: K.stack([v, v]), concat=lambda v: K.concatenate([v, v], 1), concat0=lambda v: K.concatenate([v, v], 0), concat_m=lambda v: K.concatenate([v, K.cast(v, "float16")], -1), concat_i=lambda v: K.concatenate([v, K.cast(v, "int32")], -1),
                       hstack=lambda v: K.hstack([v, v]), vstack=lambda v: K.vstack([v, v]), dstack=lambda v: K.dstack([v, v]), append=lambda v: K.append(v, v), append1=lambda v: K.append(v, v, axis=1), tile=lambda v: K.tile(v, (1, 2, 3)), tile_s=lambda v: K.tile(v, 2), tile_l=lambda v: K.tile(v, (2, 1, 1, 3)), repeat=lambda v: K.repeat(v, 2, axis=1), repeat_n=lambda v: K.repeat(v, 2), repeat_0=lambda v: K.repeat(v, 3, axis=0), repeat_l=lambda v: K.repeat(v, [1, 2, 3, 4, 5], axis=1), swap=lambda v: K.swapaxes(v, 1, 2), swap0=lambda v: K.swapaxes(v, 0, -1), move=lambda v: K.moveaxis(v, 1, -1), move2=lambda v: K.moveaxis(v, (0, 1), (1, 0)), rot90=lambda v: K.rot90(v, axes=(1, 2)), rot90_2=lambda v: K.rot90(v, k=2, axes=(1, 2)), roll=lambda v: K.roll(v, 1, 1),
                       flip=lambda v: K.flip(v, 1), pad=lambda v: K.pad(v, ((0, 0), (1, 2), (0, 0))), pad_i=lambda v: K.pad(v, 1), pad_1=lambda v: K.pad(v, ((1, 2),)), pad_p=lambda v: K.pad(v, (1, 2)), pad_r=lambda v: K.pad(v, ((0, 0), (1, 1), (0, 0)), mode="reflect"), pad_c=lambda v: K.pad(v, ((0, 0), (1, 1), (0, 0)), constant_values=3), diag=lambda v: K.diag(v[0]), diag1=lambda v: K.diag(v[0, 0], k=1), diagonal=lambda v: K.diagonal(v, axis1=1, axis2=2), diagonal0=lambda v: K.diagonal(v), diagonal_o=lambda v: K.diagonal(v, offset=1, axis1=1, axis2=2), diagonal_n=lambda v: K.diagonal(v, offset=-2, axis1=-1, axis2=-2),
                       diagflat=lambda v: K.diagflat(v[0, 0]), trace=lambda v: K.trace(v, axis1=1, axis2=2), trace0=lambda v: K.trace(v), tril=K.tril, triu=lambda v: K.triu(v, 1), take=lambda v: K.take(v, [0, 2], axis=1), take_n=lambda v: K.take(v, [[0, 2], [1, 1]], axis=-1), take_flat=lambda v: K.take(v, [0, 2]), take_i=lambda v: K.take(v, 1, axis=1), take_np=lambda v: K.take(v, np.array([0, 1, 2]), axis=1), take_along=lambda v: K.take_along_axis(v, K.argsort(v, axis=1), axis=1), take_along_n=lambda v: K.take_along_axis(v, K.argmax(v, axis=1, keepdims=True), axis=1), split=lambda v: K.split(v, 2, axis=-1), split_ix=lambda v: K.split(v, [1, 3], axis=1), split0=lambda v: K.split(v, 2)[1],
                       unstack=lambda v: K.unstack(v, axis=1), unstack_n=lambda v: K.unstack(v, num=4, axis=-1), top_k=lambda v: K.top_k(v, 2), top_k_v=lambda v: K.top_k(v, 2)[0], in_top_k=lambda v: K.in_top_k(K.argmax(v[:, 0], -1), v[:, 0], 2), argsort=lambda v: K.argsort(v, axis=-1), sort=lambda v: K.sort(v, 1), searchsorted=lambda v: K.searchsorted(np.array([0., 1., 2.], F), v), einsum=lambda v: K.einsum("btf,btf->bt", v, v), einsum_e=lambda v: K.einsum("...tf,...tf->...t", v, v), einsum_n=lambda v: K.einsum("bij->bji", v), einsum_imp=lambda v: K.einsum("bij,bjk", v, K.transpose(v, (0, 2, 1))), einsum_att=lambda v: K.einsum("btd,bsd->bts", v, v), einsum_w=lambda v: K.einsum("btd,de->bte", v, K.ones((4, 7))), einsum_tr=lambda v: K.einsum("bii->bi", v[:, :4]), einsum_sum=lambda v: K.einsum("bij->", v),
                       einsum_int=lambda v: K.einsum("bij,bkj->bik", K.cast(v, "int32"), K.cast(v, "int32")), einsum_i8=lambda v: K.einsum("bij,bkj->bik", K.cast(v, "int8"), K.cast(v, "int8")), einsum_3=lambda v: K.einsum("bij,bjk,bkl->bil", v, K.transpose(v, (0, 2, 1)), v), matmul=lambda v: v @ K.transpose(v, (0, 2, 1)), matmul_w=lambda v: K.matmul(v, K.ones((4, 7))), matmul_v=lambda v: K.matmul(v, K.ones((4,))), matmul_w3=lambda v: K.matmul(v, K.ones((1, 4, 7))), rmatmul=lambda v: K.matmul(K.ones((2, 5)), v), dot=lambda v: K.dot(v, K.ones((4, 7))), dot1=lambda v: K.dot(v, K.ones((4,))), tensordot=lambda v: K.tensordot(v, K.ones((4, 3)), 1), tensordot2=lambda v: K.tensordot(v, K.ones((5, 4, 3)), 2), tensordota=lambda v: K.tensordot(v, v, axes=((1, 2), (1, 2))), tensordotb=lambda v: K.tensordot(v, K.ones((3, 4)), axes=[[2], [1]]), outer=lambda v: K.outer(v, K.ones((3,))), inner=lambda v: K.inner(v, K.ones((7, 4))), vdot=lambda v: K.vdot(v, v), cross=lambda v: K.cross(v[..., :3], v[..., :3]), cross2=lambda v: K.cross(v[..., :2], v[..., :2]),
                       meshgrid=lambda v: K.meshgrid(v[0, 0], v[0, :, 0]), linspace=lambda v: K.linspace(v, v + 1, 6), linspace1=lambda v: K.linspace(v, v + 1, 6, axis=-1), logspace=lambda v: K.logspace(v, v + 1, 6), broadcast=lambda v: K.broadcast_to(v[:1], (3, 5, 4)), quantile=lambda v: K.quantile(v, .5, axis=1), quantile2=lambda v: K.quantile(v, [.1, .5], axis=1), quantile_k=lambda v: K.quantile(v, .5, axis=(1, 2), keepdims=True), median_k=lambda v: K.median(v, axis=1, keepdims=True), average_w=lambda v: K.average(v, axis=1, weights=np.ones(5, F)), cumsum=lambda v: K.cumsum(v, 1), cumsum_d=lambda v: K.cumsum(v, 1, dtype="int32"), diff=lambda v: K.diff(v, axis=1), diff2=lambda v: K.diff(v, n=2), count=lambda v: K.count_nonzero(v, axis=1), prod_d=lambda v: K.prod(v, axis=1, dtype="float16"), max_init=lambda v: K.max(v, axis=1, initial=0), select=lambda v: K.select([v > 0, v < 0], [v, -v], 0), vectorize=lambda v: K.vectorized_map(lambda t: t * 2, v), map=lambda v: K.map(lambda t: t * 2, v), scan=lambda v: K.scan(lambda c, t: (c, t), v[0], v), cond=lambda v: K.cond(K.sum(v) > 0, lambda: v, lambda: -v),
                       slc=lambda v: K.slice(v, (0, 1, 0), (2, 3, -1)), slc2=lambda v: K.slice(v, (0, 1, 0), (1, 2, 3)), slice_upd=lambda v: K.slice_update(v, (0, 0, 0), K.ones((1, 1, 1))), scatter_upd=lambda v: K.scatter_update(v, np.array([[0, 0, 0]]), np.array([1.], F)), scatter=lambda v: K.scatter(np.array([[0], [2]]), v[:2, 0, 0], (6,)), nonzero=lambda v: K.nonzero(v), unique=lambda v: K.unique(v), histogram=lambda v: K.histogram(v), array_split=lambda v: K.array_split(v, 2, axis=1), vander=lambda v: K.vander(v[0, 0]), corrcoef=K.corrcoef if hasattr(K, "corrcoef") else None, correlate=lambda v: K.correlate(v[0, 0], v[0, 0], "full"), vsplit=lambda v: K.vsplit(v, 2)[0], hsplit=lambda v: K.hsplit(v, 5)[0], dsplit=lambda v: K.dsplit(v, 2)[0], trapezoid=lambda v: K.trapezoid(v, axis=1), isin=lambda v: K.isin(v, [1., 2.]), percentile=lambda v: K.percentile(v, 50, axis=1), nanquantile=lambda v: K.nanquantile(v, .5, axis=1), unravel=lambda v: K.unravel_index(K.argmax(v[0, 0]), (2, 2)), geomspace=lambda v: K.geomspace(v + 1, v + 2, 5), allclose=lambda v: K.allclose(v, v),
                       getitem=lambda v: v[:, 1:4:2, ::-1], getitem_n=lambda v: v[:, None, -1], getitem_e=lambda v: v[..., 0], getitem_neg=lambda v: v[:, -3:-1], getitem_b=lambda v: v[0], getitem_bs=lambda v: v[:3], shape0=lambda v: K.shape(v)[1] * v, rearrange=lambda v: K.rearrange(v, "b t f -> b (t f)"), rearrange2=lambda v: K.rearrange(v, "b t (f g) -> b f t g", g=2), clone=lambda v: K.copy(v), fori=lambda v: K.fori_loop(0, 3, lambda i, a: a + 1, v), whilel=lambda v: K.while_loop(lambda a: K.sum(a) < 3, lambda a: a + 1, v)).items():
        if f is not None:
            c("sh_" + tag, f); c("sh_" + tag + "_none", f, (None, 4)); c("sh_" + tag + "_h", f, ((5, 4), "float16"))
            c("sh_" + tag + "_i", f, ((5, 4), "int32"))
    c("rows", lambda v: K.reshape(v, (-1, 3)), (None, 3)); c("rows4", lambda v: K.reshape(v, (-1, 4)), (6,)); c("rows_i", lambda v: K.reshape(v, (K.shape(v)[0], 2, 2)), (4,))
    # Neural networks
    for df in ("channels_last", "channels_first", None):
        for p in ("valid", "same"):
            k = dict(padding=p, data_format=df)
            t = f"{df}_{p}"
            c("max_pool_" + t, (lambda k: lambda v: K.max_pool(v, 2, strides=2, **k))(k), (9, 8, 4)); c("avg_pool_" + t, (lambda k: lambda v: K.average_pool(v, (2, 3), **k))(k), (9, 8, 6)); c("max_pool1_" + t, (lambda k: lambda v: K.max_pool(v, 2, **k))(k), (9, 8))
            c("conv_" + t, (lambda k: lambda v: K.conv(v, K.ones((3, 2, 4, 7)), 2, **k))(k), (9, 8, 4) if df != "channels_first" else (4, 9, 8)); c("conv_none_" + t, (lambda k: lambda v: K.conv(v, np.ones((3, 2, 4, 7), F), 2, **k))(k), (None, 8, 4) if df != "channels_first" else (4, None, 8))
            c("conv1_" + t, (lambda k: lambda v: K.conv(v, K.ones((3, 4, 7)), 1, dilation_rate=2, **k))(k), (9, 4) if df != "channels_first" else (4, 9)); c("dconv_" + t, (lambda k: lambda v: K.depthwise_conv(v, K.ones((3, 3, 4, 2)), 1, **k))(k), (9, 8, 4) if df != "channels_first" else (4, 9, 8))
            c("sconv_" + t, (lambda k: lambda v: K.separable_conv(v, K.ones((3, 3, 4, 2)), K.ones((1, 1, 8, 5)), 1, **k))(k), (9, 8, 4) if df != "channels_first" else (4, 9, 8)); c("tconv_" + t, (lambda k: lambda v: K.conv_transpose(v, K.ones((3, 3, 5, 4)), 2, **k))(k), (9, 8, 4) if df != "channels_first" else (4, 9, 8))
    c("bce", K.binary_crossentropy, (4,), (4,)); c("cce", K.categorical_crossentropy, (5, 4), (5, 4)); c("scce", K.sparse_categorical_crossentropy, ((5,), "int32"), (5, 4)); c("scce1", K.sparse_categorical_crossentropy, ((1,), "int32"), (4,)); c("moments", lambda v: K.moments(v, axes=[1])); c("moments_k", lambda v: K.moments(v, axes=(1, 2), keepdims=True)); c("batch_norm", lambda v: K.batch_normalization(v, np.zeros(4, F), np.ones(4, F), -1))
    c("glu", lambda v: K.glu(v)); c("glu1", lambda v: K.glu(v, axis=1), (6, 4)); c("thr", lambda v: K.threshold(v, 1, 0)); c("dpa", lambda q, k, v: K.dot_product_attention(q, k, v), (5, 2, 4), (6, 2, 4), (6, 2, 4)); c("psnr", lambda a, b: K.psnr(a, b, 1), (4,), (4,)); c("ctc", lambda v: K.ctc_decode(v, K.ones((1,), "int32")) if False else K.ctc_decode(v, K.full((3,), 5)), (5, 4)); c("unfold", lambda v: K.unfold(v, 2), (3, 8, 8)); c("fold", lambda v: K.fold(v, (8, 8), 2, stride=2), (12, 16)); c("d2s", lambda v: K.depth_to_space(v, 2), (4, 5, 8)); c("s2d", lambda v: K.space_to_depth(v, 2), (4, 6, 3)); c("d2s_f", lambda v: K.depth_to_space(v, 2, data_format="channels_first"), (8, 4, 5)); c("polar", lambda a, b: K.polar(a, b), (4,), (4,))
    c("adaptive_max", lambda v: K.adaptive_max_pool(v, (2, 2)), (6, 6, 3)); c("adaptive_avg1", lambda v: K.adaptive_average_pool(v, 3), (6, 3)); c("logdet", lambda v: K.logdet(v), (3, 3)); c("cdist", lambda a, b: K.cdist(a, b), (5, 4), (6, 4)); c("view_complex", lambda v: K.view_as_complex(v), (5, 2))
    # Math
    c("seg", lambda v: K.segment_sum(v, np.array([0, 0, 1]), 4), (5, 4)); c("seg_none", lambda v: K.segment_max(v, np.array([0, 0, 1])), (5, 4)); c("extract", lambda v: K.extract_sequences(v, 4, 2), (3, 16)); c("fft", lambda v: K.fft((v, v)), (16,)); c("fft2", lambda v: K.fft2((v, v)), (8, 8)); c("ifft2", lambda v: K.ifft2((v, v)), (8, 8)); c("rfft", K.rfft, (16,)); c("rfft_n", lambda v: K.rfft(v, 20), (16,)); c("rfft_none", K.rfft, (None,)); c("irfft", lambda v: K.irfft((v, v)), (9,)); c("irfft_n", lambda v: K.irfft((v, v), 12), (9,)); c("stft", lambda v: K.stft(v, 8, 4, 16), (64,)); c("stft_nc", lambda v: K.stft(v, 8, 4, 16, center=False), (2, 64)); c("istft", lambda v: K.istft((v, v), 8, 4, 16), (17, 9)); c("istft_l", lambda v: K.istft((v, v), 8, 4, 16, length=40), (17, 9))
    c("logsumexp_h", lambda v: K.logsumexp(v, axis=-1), ((5, 4), "float16")); c("in_top_k2", lambda t, p: K.in_top_k(t, p, 2), ((), "int32"), (4,))
    # Linear algebra
    sq = (4, 4)
    for n in "cholesky cholesky_inverse det inv eigh eig lu_factor slogdet matrix_rank pinv".split():
        if hasattr(K, n):
            c("la_" + n, getattr(K, n), sq); c("la_" + n + "_h", getattr(K, n), ((2, 4, 4), "float64"))
    c("la_qr", K.qr, (5, 3)); c("la_qr_c", lambda v: K.qr(v, mode="complete"), (5, 3)); c("la_svd", K.svd, (5, 3)); c("la_svd_n", lambda v: K.svd(v, full_matrices=False), (5, 3)); c("la_svd_s", lambda v: K.svd(v, compute_uv=False), (5, 3)); c("la_solve", K.solve, sq, (4, 2)); c("la_solve1", K.solve, sq, (4,)); c("la_solvet", K.solve_triangular, sq, (4, 2)); c("la_norm", lambda v: K.norm(v, ord="fro", axis=(1, 2))); c("la_norm1", lambda v: K.norm(v, ord=1, axis=-1, keepdims=True)); c("la_norm_i", lambda v: K.norm(v, axis=1), ((5, 4), "int32")); c("la_pinv", lambda v: K.pinv(v), (5, 3))
    # Images
    img = (8, 9, 3)
    I = K.image
    for tag, f in dict(resize=lambda v: I.resize(v, (4, 5)), resize_crop=lambda v: I.resize(v, (4, 5), crop_to_aspect_ratio=True), resize_pad=lambda v: I.resize(v, (4, 5), pad_to_aspect_ratio=True), gray=lambda v: I.rgb_to_grayscale(v), hsv=lambda v: I.rgb_to_hsv(v), rgb=lambda v: I.hsv_to_rgb(v), affine=lambda v: I.affine_transform(v, np.ones((8,), F)), patches=lambda v: I.extract_patches(v, 3), patches_s=lambda v: I.extract_patches(v, (2, 3), strides=2, padding="same"), patches_d=lambda v: I.extract_patches(v, 2, dilation_rate=2), pad=lambda v: I.pad_images(v, 1, 2, 3, 4), pad_t=lambda v: I.pad_images(v, 1, 2, target_height=12, target_width=14), crop=lambda v: I.crop_images(v, 1, 2, 3, 4), crop_t=lambda v: I.crop_images(v, 1, 2, target_height=4, target_width=5), persp=lambda v: I.perspective_transform(v, np.ones((4, 2), F), np.ones((4, 2), F)), blur=lambda v: I.gaussian_blur(v), elastic=lambda v: I.elastic_transform(v), sobel=lambda v: I.sobel_edges(v), ssim=lambda v: I.ssim(v, v), map_c=lambda v: I.map_coordinates(v[0], K.ones((3, 7)), 1),
                       scale=lambda v: I.scale_and_translate(v[0], (4, 5, 3), K.ones((2,)), K.ones((2,)), (0, 1), "linear")).items():
        c("im_" + tag, f, img); c("im_" + tag + "_none", f, (None, None, 3)); c("im_" + tag + "_u8", f, (img, "uint8"))
        c("im_" + tag + "_one", lambda v, f=f: f(v), (8, 3)) if False else None
    for tag, f in dict(resize=lambda v: I.resize(v, (4, 5), data_format="channels_first"), gray=lambda v: I.rgb_to_grayscale(v, data_format="channels_first"), patches=lambda v: I.extract_patches(v, 3, data_format="channels_first"), pad=lambda v: I.pad_images(v, 1, 2, 3, 4, data_format="channels_first"), crop=lambda v: I.crop_images(v, 1, 2, 3, 4, data_format="channels_first")).items():
        c("im_" + tag + "_first", f, (3, 8, 9))
    return out


def dt(t):
    return t.dtype if isinstance(t.dtype, str) else t.dtype.name


def tensor(name, t):
    return dict(name=name, dtype=dt(t), shape=[None if d is None else int(d) for d in t.shape])


def computed(model, outputs):
    """What the model really gives where that is not what the framework says of it; `None` where it cannot be run.

    Before Keras 3.12 numbers of 64 bits are told to stay so, of which JAX makes 32; no file tells the backend."""
    sizes = lambda t: [d or (2 if i == 0 else 6) for i, d in enumerate(t.shape)]
    try:
        ys = model([K.cast(np.ones(sizes(t), "float32"), dt(t)) for t in model.inputs])
        ys = [y for y in (keras.tree.flatten(ys) if hasattr(keras, "tree") else (ys if isinstance(ys, (list, tuple)) else [ys]))]
        names = [keras.backend.standardize_dtype(y.dtype) if hasattr(y, "dtype") else {int: "int32", float: "float32", bool: "bool"}.get(type(y)) for y in ys]
    except Exception:
        return None
    # Some operations give a plain number of Python.
    if len(ys) != len(outputs):
        return None
    out = []
    for y, name, told in zip(ys, names, outputs):
        shape = [int(d) for d in getattr(y, "shape", ())]
        fits = len(shape) == len(told["shape"]) and all(b in (a, None) for a, b in zip(shape, told["shape"]))
        out.append(dict(told, shape=told["shape"] if fits else shape, dtype=name or told["dtype"]))
    return out


def unique(names):
    out, count = [], {}
    for n in names:
        p = n
        while p in out:
            count[n] = count.get(n, 0) + 1
            p = f"{n}_{count[n]}"
        out.append(p)
    return out


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    skipped, n = {}, 0
    for name, f, ins in cases():
        try:
            xs = [In(s, dtype=d, name=f"in_{i}") for i, (s, d) in enumerate(ins)]
            y = f(*xs)
            y = [t for t in keras.tree.flatten(y) if hasattr(t, "_keras_history")] if hasattr(keras, "tree") else ([t for t in y] if isinstance(y, (list, tuple)) else [y])
            model = keras.Model(xs, y if len(y) > 1 else y[0])
            text = model.to_json()
        except Exception as e:
            skipped[name] = repr(e)[:100]
            continue
        back = model
        try:
            back = keras.models.model_from_json(text)
        except Exception as e:
            skipped["load " + name] = repr(e)[:100]
        d = os.path.join(OUT, name)
        os.makedirs(d, exist_ok=True)
        form = "keras" if "--keras" in sys.argv else "json"
        if form == "keras":
            model.save(os.path.join(d, "model.keras"))
        else:
            open(os.path.join(d, "model.json"), "w").write(text)
        ins_ = [tensor(t.name, t) for t in model.inputs]

        def outs(m):
            ts = m.outputs
            return [tensor(a, t) for a, t in zip(unique(m.output_names), ts)]
        det = {"format": "stored", "signatures": "stored", "inputs.name": "stored", "inputs.dtype": "stored", "inputs.shape": "stored", "outputs.name": "stored", "outputs.dtype": "derived", "outputs.shape": "derived", "tensors": "n/a"}
        a, b = outs(model), outs(back)
        t = dict(id=name, format="keras", framework="keras", framework_version=keras.__version__, path=f"keras/{name}/model.{form}", expect="ok", signatures=[dict(name=None, inputs=ins_, outputs=a)], determinable=det, findings=["lambda-code"] if "__lambda__" in text else [], notes="", source="generated")
        if "__lambda__" in text:
            # What it makes of each part only its code knows.
            det["outputs.dtype"] = det["outputs.shape"] = "no"
        really = computed(model, a)
        # Neither is the truth where the framework contradicts itself.
        if [dict(o, name="") for o in a] != [dict(o, name="") for o in b]:
            t["after"] = b
        elif really and really != a:
            t["after"] = really
        json.dump(t, open(os.path.join(d, "truth.json"), "w"), indent=1)
        n += 1
    print(keras.__version__, n, "models;", len(skipped), "not made")
    if "-v" in sys.argv:
        for k, v in skipped.items():
            print("  ", k, v)


main()
