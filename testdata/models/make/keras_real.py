#!/usr/bin/env python3
"""Realistic and odd models of Keras 2 and 3 in every form that they are saved in, with what the framework says of them.

    pip install keras==3.15.1 tensorflow-cpu==2.21.0 (or tensorflow-cpu==2.15.1, 2.8.4, tf_keras==2.21.0)
    python keras_real.py OUT PREFIX [tf_keras|tf.keras] [apps] [-v]

With `apps` the models of `keras.applications` without weights instead. Too big for the repository; `keras.py` makes the small selection.
"""
import json
import os
import shutil
import sys

sys.path.pop(0)  # Beside this file lies one that is called like the package.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3"); os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
import logging

logging.disable(logging.WARNING)
import numpy as np
OUT, PREFIX = sys.argv[1:3]
if "tf_keras" in sys.argv: import tf_keras as keras
elif "tf.keras" in sys.argv: from tensorflow import keras
else: import keras
L = keras.layers; In = keras.Input; M = keras.Model; S = keras.Sequential
VER = getattr(keras, "__version__", None) or keras.version()
THREE = VER.startswith("3")
K = keras.ops if THREE else None
try: reg = keras.saving.register_keras_serializable
except AttributeError: reg = keras.utils.register_keras_serializable

@reg(package="mine")
class Scale(L.Layer):
    def __init__(self, f=2.0, **kw): super().__init__(**kw); self.f = f
    def call(self, x): return x * self.f
    def get_config(self): return dict(super().get_config(), f=self.f)
@reg(package="mine")
class Proj(L.Layer):
    def __init__(self, n=3, **kw): super().__init__(**kw); self.n = n; self.d = L.Dense(n)
    def build(self, s): self.d.build(s); self.built = True
    def call(self, x): return self.d(x)
    def compute_output_shape(self, s): return tuple(s[:-1]) + (self.n,)
    def get_config(self): return dict(super().get_config(), n=self.n)
@reg(package="mine")
class MyModel(keras.Model):
    def __init__(self, n=3, **kw): super().__init__(**kw); self.n = n; self.d = L.Dense(n)
    def call(self, x): return self.d(x)
    def get_config(self): return {"n": self.n}
@reg(package="mine")
class MyFunc(keras.Model):
    pass
@reg(package="mine")
def myact(x): return x * 2
@reg(package="mine")
class MyDense(L.Dense): pass

def dtype(t):
    d = t.dtype
    return d.name if hasattr(d, "name") else str(d)
def flat(s):
    if isinstance(s, dict): return [(k, s[k]) for k in sorted(s)]
    if isinstance(s, (list, tuple)): return [(None, t) for t in s]
    return [(None, s)]
def shp(t):
    s = t.shape
    if getattr(s, "rank", 0) is None: return None
    return [None if d is None else int(d) for d in s]
def tensor(n, t): return dict(name=n, dtype=dtype(t), shape=shp(t))
def unique(names):
    out, count = [], {}
    for n in names:
        p = n
        while p in out: count[n] = count.get(n, 0) + 1; p = f"{n}_{count[n]}"
        out.append(p)
    return out
def sig(m):
    ins = flat(m._inputs_struct if hasattr(m, "_inputs_struct") else getattr(m, "_nested_inputs", m.inputs)); outs = flat(m._outputs_struct if hasattr(m, "_outputs_struct") else getattr(m, "_nested_outputs", m.outputs))
    if len(outs) != len(m.outputs) or any(not hasattr(t, "shape") for _, t in outs): outs = [(None, t) for t in m.outputs]
    if len(ins) != len(m.inputs) or any(not hasattr(t, "shape") for _, t in ins): ins = [(None, t) for t in m.inputs]
    on = unique([k or n for (k, _), n in zip(outs, getattr(m, "output_names", None) or [m.layers[-1].name])])
    inn = [k or n for (k, _), n in zip(ins, m.input_names if hasattr(m, "input_names") else [t.name.split(":")[0] for t in m.inputs])]
    return dict(name=None, inputs=[tensor(n, t) for n, (_, t) in zip(inn, ins)], outputs=[tensor(n, t) for n, (_, t) in zip(on, outs)])
DET = {"format": "stored", "signatures": "stored", "inputs.name": "stored", "inputs.dtype": "stored", "inputs.shape": "stored", "outputs.name": "stored", "outputs.dtype": "derived", "outputs.shape": "derived", "tensors": "n/a"}
def save(case, m, findings=(), unknown=(), custom=None):
    n = 0
    for form in ("keras", "h5", "json"):
        d = os.path.join(OUT, f"{PREFIX}_{case}_{form}"); shutil.rmtree(d, ignore_errors=True); os.makedirs(d)
        p = os.path.join(d, "model." + form)
        try:
            if form == "json": open(p, "w").write(m.to_json())
            elif form == "h5": m.save(p, **({} if THREE else {"save_format": "h5"}))
            else:
                m.save(p)
                if os.path.isdir(p): raise ValueError("a SavedModel")
            try:
                if form == "json": back = keras.models.model_from_json(open(p).read())
                elif form == "keras" and THREE: back = keras.models.load_model(p, compile=False, safe_mode=False)
                else: back = keras.models.load_model(p, compile=False)
                if not back.outputs: raise ValueError("no outputs")
            except Exception as e:
                if "-v" in sys.argv: print("load", case, form, repr(e)[:160].replace("\n", " "))
                back = m
            s = sig(back)
            det = dict(DET)
            if unknown: det["overrides"] = {f"/signatures/0/outputs/{i}/{f}": "no" for i, o in enumerate(s["outputs"]) for f in unknown}
            t = dict(id=f"{PREFIX}_{case}_{form}", format="keras", framework="keras", framework_version=VER, path=f"keras/{PREFIX}_{case}_{form}/model.{form}", expect="ok", signatures=[s], determinable=det, notes="", source="generated", findings=list(findings))
            s0 = sig(m)
            if s0["outputs"] != s["outputs"]: t["after"] = s0["outputs"]
            json.dump(t, open(os.path.join(d, "truth.json"), "w"), indent=1); n += 1
        except Exception as e:
            shutil.rmtree(d, ignore_errors=True)
            if "-v" in sys.argv: print("save", case, form, repr(e)[:200].replace("\n", " "))
    return n

def models():
    def cnn():
        x = i = In((32, 32, 3), name="image")
        for f in (8, 16): x = L.Conv2D(f, 3, padding="same", activation="relu")(x); x = L.BatchNormalization()(x); x = L.MaxPooling2D()(x)
        x = L.Flatten()(x); x = L.Dropout(.5)(x)
        return M(i, L.Dense(10, activation="softmax", name="probs")(x))
    yield "cnn", cnn
    def unet(size=64, ch=3, end="conv", df=None):
        k = dict(padding="same", activation="relu"); i = In((size, size, ch), name="img"); skips = []; x = i
        for f in (4, 8): x = L.Conv2D(f, 3, **k)(x); skips.append(x); x = L.MaxPooling2D(2)(x)
        x = L.Conv2D(16, 3, **k)(x)
        for f, s in zip((8, 4), skips[::-1]): x = L.Conv2DTranspose(f, 2, strides=2, padding="same")(x); x = L.concatenate([x, s]); x = L.Conv2D(f, 3, **k)(x)
        if end == "up": return M(i, L.UpSampling2D(2, name="up")(x))
        if end == "cat": return M(i, L.Concatenate(name="cat")([x, skips[0]]))
        if end == "add": return M(i, L.Add(name="add")([x, skips[0]]))
        if end == "t": return M(i, L.Conv2DTranspose(3, 4, strides=2, padding="same", name="t")(x))
        return M(i, L.Conv2D(1, 1, activation="sigmoid", name="mask")(x))
    yield "unet", unet; yield "unet_any", lambda: unet(None); yield "unet_up", lambda: unet(end="up"); yield "unet_cat", lambda: unet(end="cat"); yield "unet_cat_any", lambda: unet(None, end="cat"); yield "unet_add_any", lambda: unet(None, end="add"); yield "unet_t_any", lambda: unet(None, end="t"); yield "unet_up_any", lambda: unet(None, end="up")
    def transformer(end="pool", n=16, dt="int32"):
        i = In((n,), dtype=dt, name="tokens"); x = L.Embedding(100, 8)(i)
        a = L.MultiHeadAttention(2, 4)(x, x); x = L.LayerNormalization()(L.Add()([x, a])); f = L.Dense(8)(L.Dense(16, activation="gelu")(x)); x = L.LayerNormalization(name="ln")(L.Add()([x, f]))
        if end == "pool": return M(i, L.Dense(2, name="logits")(L.GlobalAveragePooling1D()(x)))
        if end == "mha": return M(i, L.MultiHeadAttention(2, 4, name="mha")(x, x, x))
        if end == "scores": return M(i, list(L.MultiHeadAttention(2, 4, name="mha")(x, x, return_attention_scores=True)))
        if end == "causal": return M(i, L.MultiHeadAttention(2, 4, name="mha")(query=x, value=x, key=x, use_causal_mask=True))
        return M(i, x)
    if hasattr(L, "MultiHeadAttention"):
        for e in ("pool", "mha", "scores", "causal", "ln"): yield "tr_" + e, lambda e=e: transformer(e); yield "tr_any_" + e, lambda e=e: transformer(e, None)
    def siamese(end="abs"):
        a, b = In((10,), name="left"), In((10,), name="right"); base = S([In((10,)), L.Dense(8, activation="relu"), L.Dense(4, name="emb")], name="tower"); x, y = base(a), base(b)
        if end == "dot": return M([a, b], L.Dot(axes=1, normalize=True, name="cos")([x, y]))
        if end == "sub": return M([a, b], L.Subtract(name="diff")([x, y]))
        if end == "both": return M([a, b], [x, y])
        if end == "cat": return M([a, b], L.Dense(1, name="score")(L.Concatenate()([x, y])))
        return M([a, b], L.Lambda(lambda t: t[0] - t[1], name="lam", **({"output_shape": (4,)} if THREE else {}))([x, y]))
    for e in ("dot", "sub", "both", "cat"): yield "siamese_" + e, lambda e=e: siamese(e)
    yield "lambda_siamese", lambda: siamese("lam")
    def lam(**k): i = In((5,), name="i"); return M(i, L.Lambda(lambda t: t[:, :2] * 1.5, name="lam", **k)(i))
    yield "lambda_no", lambda: lam(); yield "lambda_shape", lambda: lam(output_shape=(2,))
    def lam_mid():
        i = In((5,), name="i"); return M(i, L.Dense(3, name="o")(L.Lambda(lambda t: t * 2, name="lam", output_shape=(5,))(i)))
    yield "lambda_mid", lam_mid
    def mio(s="list"):
        a, b = In((4,), name="num"), In((6,), dtype="int32", name="cat"); x = L.Concatenate()([L.Dense(3)(a), L.Flatten()(L.Embedding(9, 2)(b))]); o1, o2 = L.Dense(1, name="price")(x), L.Dense(3, activation="softmax", name="kind")(x)
        if s == "dict": return M({"number": a, "category": b}, {"p": o1, "k": o2})
        if s == "mixed": return M([a, b], {"p": o1, "k": o2})
        if s == "samename": return M({"num": a, "cat": b}, {"price": o1, "kind": o2})
        if s == "same": return M([a, b], [o1, o1])
        if s == "nested": return M([a, [b]], [o1, [o2]])
        return M([a, b], [o1, o2])
    for s in ("list", "dict", "mixed", "same", "nested", "samename"): yield "mio_" + s, lambda s=s: mio(s)
    def rnn(end):
        i = In((12, 5), name="seq")
        if end == "stack": x = L.RNN([L.LSTMCell(4), L.GRUCell(3)], name="r")(i)
        if end == "stackseq": x = L.RNN([L.LSTMCell(4), L.LSTMCell(3)], return_sequences=True, return_state=True, name="r")(i)
        if end == "masked": x = L.LSTM(4, name="r")(L.Masking()(i))
        if end == "bi2": x = L.Bidirectional(L.LSTM(3), name="b")(L.Bidirectional(L.LSTM(4, return_sequences=True))(i))
        if end == "bistate": x = L.Bidirectional(L.LSTM(3, return_state=True), name="b")(i)
        if end == "biback": x = L.Bidirectional(L.LSTM(3, return_sequences=True), backward_layer=L.LSTM(3, return_sequences=True, go_backwards=True), name="b")(i)
        if end == "td": x = L.TimeDistributed(L.Dense(7), name="td")(L.GRU(3, return_sequences=True)(i))
        if end == "tdseq": x = L.TimeDistributed(S([In((5,)), L.Dense(3), L.Dense(2)]), name="td")(i)
        if end == "seq2seq":
            d = In((None, 5), name="dec"); _, h, c = L.LSTM(4, return_state=True)(i); y = L.LSTM(4, return_sequences=True, return_state=True)(d, initial_state=[h, c]); return M([i, d], L.Dense(5, name="o")(y[0]))
        if end == "att":
            q = L.LSTM(4, return_sequences=True)(i); x = L.Attention(name="att")([q, q])
        if end == "rv": x = L.TimeDistributed(L.Dense(5), name="td")(L.LSTM(4, return_sequences=True)(L.RepeatVector(12)(L.LSTM(4)(i))))
        if end == "gruaf": x = L.GRU(4, reset_after=False, return_sequences=True, go_backwards=True, name="g")(i)
        if end == "states": return M(i, L.GRU(4, return_state=True, name="g")(i))
        if end == "tdcnn":
            v = In((None, 16, 16, 3), name="video"); return M(v, L.LSTM(4, name="l")(L.TimeDistributed(L.GlobalAveragePooling2D())(L.TimeDistributed(L.Conv2D(4, 3))(v))))
        if end == "tdend":
            v = In((7, 16, 16, 3), name="video"); return M(v, L.TimeDistributed(L.MaxPooling2D(), name="td")(L.TimeDistributed(L.Conv2D(4, 3, strides=2))(v)))
        if end == "convlstm":
            v = In((None, 16, 16, 1), name="video"); return M(v, L.Conv3D(1, 3, padding="same", name="c")(L.ConvLSTM2D(4, 3, padding="same", return_sequences=True)(v)))
        if end == "convlstm1":
            v = In((5, 16, 16, 1), name="video"); return M(v, L.ConvLSTM2D(4, 5, name="c")(v))
        if end == "conv1d":
            x = i
            for d in (1, 2, 4): x = L.Conv1D(4, 2, padding="causal", dilation_rate=d)(x)
            x = L.Conv1D(2, 3, strides=2, name="c")(x)
        if end == "bimodel": x = L.Bidirectional(L.RNN(L.LSTMCell(3), return_sequences=True), merge_mode="ave", name="b")(i)
        if end == "stateful":
            v = In(batch_shape=(3, 5, 4), name="v"); return M(v, L.LSTM(3, stateful=True, name="l")(v))
        return M(i, x)
    for e in "stack stackseq masked bi2 bistate biback td tdseq seq2seq att rv gruaf states tdcnn tdend convlstm convlstm1 conv1d bimodel stateful".split(): yield "rnn_" + e, lambda e=e: rnn(e)
    def prep(e):
        if e == "str": i = In((1,), dtype="string", name="s"); return M(i, L.Dense(2, name="o")(L.Embedding(9, 3)(L.StringLookup(vocabulary=["a", "b"])(i))))
        if e == "strend": i = In((1,), dtype="string", name="s"); return M(i, L.StringLookup(vocabulary=["a", "b"], output_mode="multi_hot", name="o")(i))
        if e == "tv": i = In((1,), dtype="string", name="s"); return M(i, L.TextVectorization(vocabulary=["a", "b"], output_sequence_length=9, name="o")(i))
        if e == "tvnet": i = In((1,), dtype="string", name="s"); return M(i, L.Dense(2, name="o")(L.GlobalMaxPooling1D()(L.Embedding(9, 3)(L.TextVectorization(vocabulary=["a", "b"], output_sequence_length=9)(i)))))
        if e == "norm":
            n = L.Normalization(axis=-1, name="n"); n.adapt(np.random.rand(20, 4).astype("float32")); i = In((4,), name="x"); return M(i, n(i))
        if e == "img": i = In((None, None, 3), name="img", dtype="uint8"); return M(i, L.Conv2D(4, 3, name="o")(L.Rescaling(1 / 255.)(L.Resizing(32, 32)(i))))
        if e == "imgend": i = In((None, None, 3), name="img"); return M(i, L.RandomFlip(name="f")(L.CenterCrop(20, 20)(L.Resizing(32, 32)(i))))
        if e == "cat":
            a, b = In((1,), dtype="string", name="a"), In((1,), dtype="int64", name="b"); x = L.StringLookup(vocabulary=["x", "y"], output_mode="one_hot")(a); y = L.IntegerLookup(vocabulary=[1, 2], output_mode="one_hot")(b); return M({"a": a, "b": b}, L.Concatenate(name="c")([x, y]))
        if e == "hash": i = In((1,), dtype="string", name="s"); return M(i, L.Dense(2, name="o")(L.CategoryEncoding(num_tokens=8, output_mode="one_hot")(L.Hashing(8)(i))))
        if e == "disc": i = In((1,), name="s"); return M(i, L.Embedding(9, 3, name="o")(L.Discretization(bin_boundaries=[0., 1.])(i)))
        if e == "aug": return S([In((32, 32, 3)), L.RandomFlip("horizontal"), L.RandomRotation(.1), L.RandomZoom(.1), L.Rescaling(1 / 127.5, offset=-1), L.Conv2D(4, 3), L.GlobalAveragePooling2D(), L.Dense(2)])
        if e == "multi": i = In((3,), dtype="int32", name="s"); return M(i, L.CategoryEncoding(num_tokens=8, output_mode="count", name="o")(i))
    for e in "str strend tv tvnet norm img imgend cat hash disc aug multi".split(): yield "prep_" + e, lambda e=e: prep(e)
    def seq(e):
        if e == "plain": return S([In((4,)), L.Dense(3), L.Dense(1)])
        if e == "named": return S([In((4,), name="feats"), L.Dense(3, name="h"), L.Dense(1, name="y")], name="net")
        if e == "late": m = S([L.Dense(3), L.Dense(1)]); m.build((None, 4)); return m
        if e == "late3": m = S([L.Conv1D(3, 2), L.Flatten()]); m.build((None, 7, 4)); return m
        if e == "latebatch": m = S([L.Dense(3), L.Dense(1)]); m.build((5, 4)); return m
        if e == "latecall": m = S([L.Dense(3), L.Dense(1)]); m(np.zeros((6, 4), "float32")); return m
        if e == "lateint": m = S([L.Embedding(9, 3), L.GlobalAveragePooling1D(), L.Dense(2)]); m(np.zeros((6, 4), "int32")); return m
        if e == "fit": m = S([L.Dense(3), L.Dense(1)]); m.compile("adam", "mse"); m.fit(np.zeros((8, 4), "float32"), np.zeros((8, 1), "float32"), verbose=0); return m
        if e == "inshape": return S([L.Dense(3, input_shape=(4,)), L.Dense(1)])
        if e == "indim": return S([L.Dense(3, input_dim=4), L.Dense(1)])
        if e == "nested": return S([S([In((4,)), L.Dense(3)], name="a"), S([L.Dense(2)], name="b"), L.Activation("relu", name="z")])
        if e == "nested3": i = In((4,), name="i"); return M(i, S([S([S([In((4,)), L.Dense(3, name="deep")], name="c")], name="b")], name="a")(i))
        if e == "wrapfn": i = In((4,)); f = M(i, [L.Dense(2)(i), L.Dense(3)(i)], name="two"); j = In((4,), name="j"); r = f(j); return M(j, [r[1], r[0], r[1]])
        if e == "only": return S([In((4,))])
        if e == "flattenscalar": return S([In(()), L.Reshape((1,)), L.Dense(2)])
        if e == "channels": return S([In((3, 16, 16)), L.Conv2D(4, 3, data_format="channels_first"), L.MaxPooling2D(data_format="channels_first"), L.GlobalAveragePooling2D(data_format="channels_first")])
        if e == "dense_nd": return S([In((3, 5, 7)), L.Dense(2), L.Permute((3, 1, 2)), L.Reshape((-1, 3))])
        if e == "compiled": m = S([In((4,)), L.Dense(3, kernel_regularizer="l2", kernel_constraint="max_norm")]); m.compile(keras.optimizers.Adam(.01), loss=keras.losses.MeanSquaredError(), metrics=["mae", keras.metrics.RootMeanSquaredError()]); return m
        if e == "compiled_d": i = In((4,), name="i"); m = M(i, [L.Dense(1, name="a")(i), L.Dense(2, name="b")(i)]); m.compile("sgd", loss={"a": "mse", "b": "sparse_categorical_crossentropy"}, loss_weights={"a": 1., "b": .5}); return m
    for e in "plain named late late3 latebatch latecall lateint fit inshape indim nested nested3 wrapfn only flattenscalar channels dense_nd compiled compiled_d".split(): yield "seq_" + e, lambda e=e: seq(e)
    def dt(e):
        P = getattr(keras.mixed_precision, "Policy", None) if hasattr(keras, "mixed_precision") else None
        if e == "layer": i = In((4,), name="i"); return M(i, L.Dense(2, dtype="float32", name="o")(L.Dense(3, dtype="mixed_float16")(i)))
        if e == "half": i = In((4,), name="i"); return M(i, L.LayerNormalization(dtype="mixed_float16", name="o")(L.Dense(3, dtype="mixed_float16")(i)))
        if e == "f64": i = In((4,), name="i", dtype="float64"); return M(i, L.Dense(2, dtype="float64", name="o")(i))
        if e == "f16in": i = In((4,), name="i", dtype="float16"); return M(i, L.Dense(2, name="o")(i))
        if e == "u8": i = In((8, 8, 3), name="i", dtype="uint8"); return M(i, L.Conv2D(2, 3, name="o")(L.Rescaling(1 / 255.)(i)))
        if e == "u8flat": i = In((8, 8, 3), name="i", dtype="uint8"); return M(i, L.Flatten(name="o")(i))
        if e == "boolin": i = In((8,), name="i", dtype="bool"); return M(i, L.Reshape((2, 4), name="o")(i))
        if e == "intadd": i = In((8,), name="i", dtype="int32"); return M(i, L.Add(name="o")([i, i]))
        if e == "policy":
            set_ = keras.mixed_precision.set_global_policy if hasattr(keras, "mixed_precision") and hasattr(keras.mixed_precision, "set_global_policy") else keras.mixed_precision.set_dtype_policy
            set_("mixed_float16")
            try: i = In((8, 8, 3), name="i"); return M(i, L.Activation("softmax", dtype="float32", name="o")(L.Dense(3)(L.GlobalAveragePooling2D()(L.BatchNormalization()(L.Conv2D(2, 3)(i))))))
            finally: set_("float32")
        if e == "policyend":
            set_ = keras.mixed_precision.set_global_policy if hasattr(keras, "mixed_precision") and hasattr(keras.mixed_precision, "set_global_policy") else keras.mixed_precision.set_dtype_policy
            set_("mixed_float16")
            try: i = In((8, 8, 3), name="i"); return M(i, [L.Conv2D(2, 3, name="a")(i), L.MaxPooling2D(name="b")(i), L.Concatenate(name="c")([i, i]), L.LSTM(3, name="d")(L.Reshape((8, 24))(i)), L.UpSampling2D(name="e")(i), L.Flatten(name="f")(i)])
            finally: set_("float32")
        if e == "floatx":
            keras.backend.set_floatx("float64")
            try: i = In((4,), name="i"); return M(i, [L.Dense(2, name="a")(i), L.ReLU(name="b")(i)])
            finally: keras.backend.set_floatx("float32")
    for e in "layer half f64 f16in u8 u8flat boolin intadd policy policyend floatx".split(): yield "dt_" + e, lambda e=e: dt(e)
    def sp(e):
        if e == "sparse": i = In((9,), sparse=True, name="s"); return M(i, L.Dense(2, name="o")(i))
        if e == "sparse2": i = In((9,), sparse=True, name="s"); return M(i, L.Dense(3, name="o")(L.Dense(2)(i)))
        if e == "ragged": i = In((None,), ragged=True, dtype="int32", name="s"); return M(i, L.Dense(3, name="o")(L.GlobalAveragePooling1D()(L.Embedding(9, 2)(i))))
        if e == "raggedend": i = In((None,), ragged=True, dtype="int32", name="s"); return M(i, L.Embedding(9, 2, name="o")(i))
        if e == "ragglstm": i = In((None, 3), ragged=True, name="s"); return M(i, L.LSTM(2, name="o")(i))
        if e == "optional": a, b = In((4,), name="a"), In((4,), name="b", optional=True); return M([a, b], L.Dense(2, name="o")(a))
        if e == "batch": i = In(batch_shape=(8, 4), name="i"); return M(i, L.Dense(2, name="o")(i))
        if e == "batchflat": i = In(batch_shape=(8, 4, 3), name="i"); return M(i, L.Flatten(name="o")(i))
        if e == "allnone": i = In((None, None), name="i"); return M(i, L.ReLU(name="o")(i))
        if e == "dropin": i = In((4,), name="i"); return M(i, [i, L.Dense(2, name="o")(i)])
        if e == "unused": a, b = In((4,), name="a"), In((4,), name="b"); return M([a, b], L.Dense(2, name="o")(a))
        if e == "utf": i = In((4,), name="eingabe"); return M(i, L.Dense(2, name="ausgang_9")(i))
    for e in "sparse sparse2 ragged raggedend ragglstm optional batch batchflat allnone dropin unused utf".split(): yield "sp_" + e, lambda e=e: sp(e)
    def cus(e):
        i = In((4,), name="i")
        if e == "end": return M(i, Scale(name="o")(i))
        if e == "mid": return M(i, L.Dense(2, name="o")(Scale()(L.Dense(5)(i))))
        if e == "proj": return M(i, Proj(name="o")(i))
        if e == "act": return M(i, L.Dense(2, activation=myact, name="o")(i))
        if e == "dense": return M(i, MyDense(2, name="o")(i))
        if e == "func": return MyFunc(i, L.Dense(2, name="o")(i))
        if e == "inner": m = M(i, Scale()(i), name="inner"); j = In((4,), name="j"); return M(j, L.Dense(2, name="o")(m(j)))
        if e == "seq": return S([In((4,)), Scale(), L.Dense(3)])
        if e == "wrapped": j = In((5, 4), name="j"); return M(j, L.TimeDistributed(Proj(), name="o")(j))
    for e in "end mid proj act dense func inner seq wrapped".split(): yield "cus_" + e, lambda e=e: cus(e)
    def conv(e):
        i = In((28, 28, 3), name="i"); k = dict(name="o")
        return M(i, dict(same2=lambda: L.Conv2D(4, 3, strides=2, padding="same", **k), valid2=lambda: L.Conv2D(4, 5, strides=3, **k), dil=lambda: L.Conv2D(4, 3, dilation_rate=4, **k), sep=lambda: L.SeparableConv2D(4, (3, 5), strides=2, padding="same", **k), dw=lambda: L.DepthwiseConv2D(3, strides=2, depth_multiplier=4, **k), tr=lambda: L.Conv2DTranspose(4, 5, strides=3, **k), tro=lambda: L.Conv2DTranspose(4, 5, strides=3, padding="same", output_padding=1, **k), trs=lambda: L.Conv2DTranspose(4, 2, strides=3, **k), grp=lambda: L.Conv2D(6, 3, groups=3, **k), pool=lambda: L.AveragePooling2D(3, 2, padding="same", **k), pad=lambda: L.ZeroPadding2D(((1, 2), (3, 4)), **k), crop=lambda: L.Cropping2D(((1, 2), (3, 4)), **k), up=lambda: L.UpSampling2D((2, 3), interpolation="bilinear", **k), gap=lambda: L.GlobalMaxPooling2D(**k), perm=lambda: L.Permute((3, 2, 1), **k), resh=lambda: L.Reshape((7, -1), **k), bn=lambda: L.BatchNormalization(axis=1, **k), gn=lambda: L.GaussianNoise(.1, **k), ln=lambda: L.LayerNormalization(axis=[1, 2], **k), lc=lambda: L.LocallyConnected2D(3, 3, **k), prelu=lambda: L.PReLU(shared_axes=[1, 2], **k), sd=lambda: L.SpatialDropout2D(.2, **k))[e]()(i))
    for e in "same2 valid2 dil sep dw tr tro trs grp pool pad crop up gap perm resh bn gn ln lc prelu sd".split(): yield "conv_" + e, lambda e=e: conv(e)
    if not THREE:
        def tfop(e):
            import tensorflow as tf
            i = In((5, 4), name="i")
            return M(i, dict(relu=lambda: tf.nn.relu(i), plus=lambda: i + 1., mul=lambda: i * i, mean=lambda: tf.reduce_mean(i, axis=1), concat=lambda: tf.concat([i, i], -1), cast=lambda: tf.cast(i, tf.int32), reshape=lambda: tf.reshape(i, (-1, 20)), sl=lambda: i[:, -1], matmul=lambda: tf.matmul(i, i, transpose_b=True), stack=lambda: tf.stack([i, i], 1), tr=lambda: tf.transpose(i, (0, 2, 1)), exp=lambda: tf.expand_dims(i, -1), sq=lambda: tf.squeeze(i[:, :1], 1), am=lambda: tf.argmax(i, -1), l2=lambda: tf.math.l2_normalize(i, 1), res=lambda: tf.image.resize(i[..., None], (8, 8)), oneh=lambda: tf.one_hot(tf.cast(i[:, 0], tf.int32), 7), where=lambda: tf.where(i > 0, i, 0.), gt=lambda: i > 0, es=lambda: tf.einsum("bij,bkj->bik", i, i), pad=lambda: tf.pad(i, [[0, 0], [1, 1], [0, 0]]), shp=lambda: tf.shape(i), split=lambda: tf.split(i, 2, -1), tile=lambda: tf.tile(i, (1, 2, 1)), gather=lambda: tf.gather(i, [0, 1], axis=1), sm=lambda: tf.nn.softmax(i), sum=lambda: tf.reduce_sum(i, -1, keepdims=True), norm=lambda: tf.norm(i, axis=-1), topk=lambda: tf.math.top_k(i, 2)[0], unst=lambda: tf.unstack(i, axis=1)[0], neg=lambda: -i, div=lambda: i / 2., rsub=lambda: 1. - i, pw=lambda: i ** 2, mx=lambda: tf.maximum(i, 0.), clip=lambda: tf.clip_by_value(i, 0., 1.), log=lambda: tf.math.log(i), fl=lambda: i // 2., d2s=lambda: tf.nn.depth_to_space(i[:, None], 2), ident=lambda: tf.identity(i), zl=lambda: tf.zeros_like(i), argm=lambda: tf.argmin(i, 1, output_type=tf.int32), dense=lambda: L.Dense(3, name="o")(tf.reduce_max(i, 1)))[e]())
        for e in "relu plus mul mean concat cast reshape sl matmul stack tr exp sq am l2 res oneh where gt es pad shp split tile gather sm sum norm topk unst neg div rsub pw mx clip log fl d2s ident zl argm dense".split(): yield "tf_" + e, lambda e=e: tfop(e)

def apps():
    A = keras.applications
    import inspect
    for n in sorted(dir(A)):
        f = getattr(A, n)
        if not inspect.isfunction(f) or n in ("VGG16", "VGG19"): continue
        if not any(n.startswith(p) for p in ("MobileNet", "EfficientNetB0", "EfficientNetV2B0", "ResNet50", "DenseNet121", "NASNetMobile", "Xception", "InceptionV3", "ConvNeXtTiny", "RegNetX002", "ResNetRS50", "InceptionResNetV2")): continue
        for tag, k in (("top", {}), ("notop", dict(include_top=False, input_shape=(None, None, 3))), ("pool", dict(include_top=False, input_shape=(224, 224, 3), pooling="avg")), ("notopfix", dict(include_top=False, input_shape=(224, 224, 3)))):
            yield f"app_{n}_{tag}".lower(), (lambda f=f, k=k: f(weights=None, **k))

def main():
    os.makedirs(OUT, exist_ok=True); made = 0
    for name, make in (apps() if "apps" in sys.argv else models()):
        try:
            if not THREE or hasattr(keras.backend, "clear_session"): keras.backend.clear_session()
            m = make()
        except Exception as e:
            if "-v" in sys.argv: print("skip", name, repr(e)[:160].replace("\n", " "))
            continue
        f, u = [], []
        if name.startswith("lambda_"): f = ["lambda-code"]
        if name in ("lambda_siamese", "lambda_no"): u = ["dtype", "shape"]
        if name == "lambda_shape": u = ["dtype"] if not THREE else []
        if name.startswith("cus_"): f = ["foreign-module"]
        if name in ("cus_end", "cus_proj", "cus_dense", "cus_wrapped"): u = ["dtype", "shape"]
        if "apps" in sys.argv:
            d = os.path.join(OUT, f"{PREFIX}_{name}_json"); os.makedirs(d, exist_ok=True); open(d + "/model.json", "w").write(m.to_json())
            json.dump(dict(id=os.path.basename(d), format="keras", framework="keras", framework_version=VER, path=f"keras/{os.path.basename(d)}/model.json", expect="ok", signatures=[sig(m)], determinable=DET, notes="", source="generated", findings=[]), open(d + "/truth.json", "w")); made += 1
            continue
        made += save(name, m, f, u)
    print(VER, made, "models")
main()
