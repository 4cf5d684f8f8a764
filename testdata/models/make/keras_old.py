#!/usr/bin/env python
"""Models of Keras 1 and 2 before TensorFlow's own, with what the framework says of them; runs under Python 2.7 and 3.

    Python 3.7: pip install keras==2.3.1 tensorflow==1.15.5 "h5py<3" "protobuf<3.21" "numpy<1.19"
    Python 3.6: pip install keras==2.2.4 (or 2.0.9, 1.2.2) theano "h5py<3" "numpy<1.17" "scipy<1.3";  KERAS_BACKEND=theano THEANO_FLAGS=cxx=
    python keras_old.py OUT PREFIX
"""
import json
import os
import sys

sys.path.pop(0)  # Beside this file lies one that is called like the package.
import warnings

warnings.filterwarnings("ignore")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras
from keras import layers as L
from keras import backend as K
from keras.models import Model, Sequential, load_model, model_from_json

OUT, PREFIX = sys.argv[1:3]
ONE = keras.__version__.startswith("1.")
Input = L.Input if hasattr(L, "Input") else keras.engine.Input


def specs():
    out = []
    s = lambda name, ins=((6,),), *a, **k: out.append((name, ins, a, k))
    i = lambda *sh: (sh,)
    for n, a, k in (("Activation", ("relu",), {}), ("Dropout", (.2,), {}), ("BatchNormalization", (), {}), ("LeakyReLU", (), {}), ("PReLU", (), {}), ("ELU", (), {}), ("ThresholdedReLU", (), {}), ("GaussianNoise", (.1,), {}), ("GaussianDropout", (.1,), {}),
                    ("Masking", (), {}), ("ActivityRegularization", (), {}), ("Softmax", (), {}), ("ReLU", (), {}), ("AlphaDropout", (.1,), {}), ("SpatialDropout1D", (.1,), {}), ("SReLU", (), {})):
        s(n, i(5, 4), *a, **k)
    s("Dense", i(6), 3); s("Dense", i(5, 6), 3); s("Flatten", i(4, 3)); s("Flatten", i(None, 3)); s("Reshape", i(4, 3), (3, -1)); s("Reshape", i(None, 3), (-1, 3)); s("Permute", i(4, 3), (2, 1)); s("RepeatVector", i(4), 3)
    s("Highway", i(6)); s("MaxoutDense", i(6), 3); s("Embedding", i(5), 9, 4); s("Embedding", i(None), 9, 4)
    for n in ("LSTM", "GRU", "SimpleRNN"):
        s(n, i(5, 4), 3); s(n, i(None, 4), 3, return_sequences=True); s(n, i(5, 4), 3, return_state=True)
    if ONE:
        for b in ("valid", "same"):
            for o in ("tf", "th"):
                k = dict(border_mode=b, dim_ordering=o)
                s("Convolution2D", i(8, 9, 4), 3, 3, 2, subsample=(2, 1), **k); s("MaxPooling2D", i(8, 9, 4), (2, 3), **k); s("AveragePooling2D", i(8, 9, 4), **k); s("SeparableConvolution2D", i(8, 9, 4), 3, 3, 3, **k); s("AtrousConvolution2D", i(8, 9, 7), 3, 2, 2, atrous_rate=(2, 2), **k)
                s("Convolution3D", i(5, 6, 5, 4), 3, 2, 2, 2, **k); s("MaxPooling3D", i(6, 5, 4, 4), **k)
            s("Convolution1D", i(9, 4), 3, 3, border_mode=b, subsample_length=2); s("MaxPooling1D", i(9, 4), 2, stride=2, border_mode=b); s("AtrousConvolution1D", i(9, 4), 3, 3, atrous_rate=2, border_mode=b)
        s("ZeroPadding2D", i(8, 9, 4), (1, 2), dim_ordering="tf"); s("Cropping2D", i(8, 9, 4), ((1, 2), (0, 1)), dim_ordering="tf"); s("UpSampling2D", i(8, 9, 4), (2, 3), dim_ordering="th"); s("UpSampling1D", i(8, 4), 2); s("ZeroPadding1D", i(8, 4), 2); s("Cropping1D", i(8, 4), (1, 2))
        s("ZeroPadding3D", i(5, 6, 5, 4), (1, 2, 3), dim_ordering="tf"); s("GlobalAveragePooling2D", i(8, 9, 4), dim_ordering="th"); s("GlobalMaxPooling1D", i(8, 4)); s("ZeroPadding1D", i(8, 4), (1, 2)); s("ZeroPadding2D", i(8, 9, 4), (1, 2, 3, 4), dim_ordering="tf"); s("UpSampling3D", i(3, 4, 5, 2), dim_ordering="tf")
        s("LocallyConnected1D", i(9, 4), 3, 3); s("ConvLSTM2D", i(4, 8, 9, 3), 2, 3, 3, dim_ordering="tf"); s("Deconvolution2D", i(5, 6, 4), 3, 3, 3, output_shape=(None, 7, 8, 3), dim_ordering="tf")
        for m in ("sum", "mul", "ave", "max", "concat"):
            s("Merge", ((4,), (4,)), mode=m)
        s("Merge", ((5, 4), (6, 4)), mode="dot", dot_axes=2); s("Merge", ((5, 4), (6, 4)), mode="concat", concat_axis=1); s("Merge", ((4,), (4,)), mode="dot"); s("Merge", ((4,), (4,)), mode="cos")
    else:
        for b in ("valid", "same"):
            for o in ("channels_last", "channels_first"):
                k = dict(padding=b, data_format=o)
                s("Conv2D", i(8, 9, 4), 3, (3, 2), strides=(2, 1), **k); s("MaxPooling2D", i(8, 9, 4), (2, 3), **k); s("AveragePooling2D", i(None, 9, 4), **k); s("SeparableConv2D", i(8, 9, 4), 3, 3, **k); s("Conv2DTranspose", i(8, 9, 4), 3, 3, strides=(2, 3), **k); s("Conv3D", i(5, 6, 5, 4), 3, 2, **k)
                s("DepthwiseConv2D", i(8, 9, 4), 3, **k); s("MaxPooling3D", i(6, 5, 4, 4), **k); s("Conv3DTranspose", i(3, 4, 5, 2), 3, 2, strides=2, **k)
                s("ConvLSTM2D", i(4, 8, 9, 3), 2, 3, return_sequences=True, **k)
            s("Conv1D", i(9, 4), 3, 3, padding=b, strides=2); s("MaxPooling1D", i(9, 4), 2, padding=b); s("SeparableConv1D", i(9, 4), 3, 3, padding=b)
        s("Conv1D", i(9, 4), 3, 3, padding="causal", dilation_rate=2); s("Conv2D", i(9, 9, 4), 3, 3, dilation_rate=2); s("Conv2D", i(None, None, 3), 3, 3)
        for o in ("channels_last", "channels_first"):
            s("ZeroPadding2D", i(8, 9, 4), ((1, 2), (3, 4)), data_format=o); s("Cropping2D", i(8, 9, 4), ((1, 2), (0, 1)), data_format=o); s("UpSampling2D", i(8, 9, 4), (2, 3), data_format=o); s("GlobalAveragePooling2D", i(8, 9, 4), data_format=o); s("ZeroPadding3D", i(5, 6, 5, 4), data_format=o); s("UpSampling3D", i(5, 6, 5, 4), data_format=o)
        s("UpSampling1D", i(8, 4), 2); s("ZeroPadding1D", i(8, 4), 2); s("Cropping1D", i(8, 4), (1, 2)); s("GlobalMaxPooling1D", i(None, 4)); s("LocallyConnected1D", i(9, 4), 3, 3); s("LocallyConnected2D", i(9, 9, 4), 3, 3); s("GlobalMaxPooling3D", i(5, 6, 5, 4))
        for n in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"):
            s(n, ((4,), (4,))); s(n, ((5, 4), (1, 4))); s(n, ((None, 4), (5, 4)))
        s("Concatenate", ((4,), (5,))); s("Concatenate", ((3, 4), (5, 4)), axis=1); s("Concatenate", ((None, 4), (5, 4)), axis=1); s("Dot", ((4,), (4,)), 1); s("Dot", ((5, 4), (6, 4)), 2); s("Dot", ((5, 4), (4, 3)), (2, 1))
        for m in ("concat", "sum", "mul", "ave", None):
            s("Bidirectional", i(5, 4), L.LSTM(3), merge_mode=m); s("Bidirectional", i(None, 4), L.GRU(3, return_sequences=True), merge_mode=m)
        s("Bidirectional", i(5, 4), L.LSTM(3, return_state=True)) if not keras.__version__.startswith("2.0") else None
        if hasattr(L, "LSTMCell"):
            s("RNN", i(5, 4), L.LSTMCell(3)); s("RNN", i(5, 4), [L.GRUCell(3), L.GRUCell(2)], return_sequences=True, return_state=True)
    s("TimeDistributed", i(5, 4), L.Dense(3)); s("TimeDistributed", i(None, 3, 4), L.Flatten()); s("Bidirectional", i(5, 4), L.LSTM(3)); s("Bidirectional", i(5, 4), L.GRU(3, return_sequences=True), merge_mode="sum")
    s("Lambda", i(4), lambda x: x * 2) if K.backend() == "tensorflow" else None
    s("Lambda", i(4), lambda x: x[:, :2], output_shape=(2,))
    return out


def graphs():
    x = Input((4,), name="x"); d = L.Dense(4, name="shared")
    yield "shared", Model(x, L.Dense(2, name="out")(d(d(x))))
    a, b = Input((4,), name="a"), Input((4,), name="b")
    yield "shared_two", Model([a, b], [d(a), d(b)])
    inner = Model(x, L.Dense(3, name="id")(x), name="inner")
    y = Input((4,), name="y")
    yield "nested", Model(y, L.Dense(2, name="out")(inner(y)))
    yield "nested_end", Model(y, inner(y))
    yield "nested_twice", Model([a, b], [inner(a), inner(b)])
    def new():
        chain = Sequential(name="chain"); chain.add(L.Dense(5, input_shape=(4,), name="head")); chain.add(L.Dense(3, name="tail"))
        return chain
    chain = new()
    yield "chain", new()
    yield "nested_chain", Model(y, chain(y))
    yield "nested_chain_twice", Model([a, b], [chain(a), chain(b)])
    s = Sequential(); s.add(new()); s.add(L.Dense(2, name="z")); yield "chain_of_chains", s
    x = Input((4,), name="x2"); inner2 = Model(x, L.Dense(3, name="id2")(x), name="inner2"); s = Sequential(); s.add(inner2); s.add(L.Dense(2, name="z")); yield "chain_of_graph", s
    s = Sequential(); s.add(L.Embedding(9, 3, input_length=5)); s.add(L.Flatten()); yield "embedding", s
    s = Sequential(); s.add(L.Embedding(9, 3)); s.add(L.LSTM(2)); yield "embedding_any", s
    s = Sequential(); s.add(L.LSTM(2, batch_input_shape=(3, 5, 4), stateful=True)); yield "stateful", s
    t, u = Input((5, 4), name="t"), Input((6, 4), name="u")
    yield "time_model", Model(t, L.TimeDistributed(inner, name="td")(t))
    if not ONE:
        e = L.LSTM(3, return_state=True, name="enc")(t)
        yield "seq2seq", Model([t, u], L.LSTM(3, return_sequences=True, name="dec")(u, initial_state=e[1:]))
        yield "states_out", Model(t, e)
        yield "sparse", Model(*(lambda s: (s, L.Dense(2, name="o")(s)))(Input((9,), sparse=True, name="s"))) if K.backend() == "tensorflow" else chain
    else:
        left = Sequential(); left.add(L.Dense(3, input_dim=4)); right = Sequential(); right.add(L.Dense(3, input_dim=5))
        s = Sequential(); s.add(L.Merge([left, right], mode="concat")); s.add(L.Dense(2, name="z")); yield "merge_first", s
    s = Input((3,), dtype="int32", name="s"); yield "int_in", Model(s, L.Flatten(name="o")(L.Embedding(5, 2)(s)))


def dtype(t):
    d = K.dtype(t)
    return str(d).replace("_ref", "")


def shape(t):
    s = getattr(t, "_keras_shape", None) or K.int_shape(t)
    return [None if v is None else int(v) for v in s]


def tensors(names, ts):
    return [dict(name=n, dtype=dtype(t), shape=shape(t)) for n, t in zip(names, ts)]


def unique(names):
    out, count = [], {}
    for n in names:
        p = n
        while p in out:
            count[n] = count.get(n, 0) + 1
            p = "%s_%d" % (n, count[n])
        out.append(p)
    return out


def save(case, model):
    def whole(m):
        if not hasattr(m, "input_names") and hasattr(m, "build"):
            m.build()
        return getattr(m, "model", None) or m
    m = model
    for form in ("h5", "json"):
        d = os.path.join(OUT, "%s_%s_%s" % (PREFIX, case, form))
        if not os.path.isdir(d):
            os.makedirs(d)
        path = os.path.join(d, "model." + form)
        if form == "h5":
            model.save(path)
        else:
            open(path, "w").write(model.to_json())
        def load():
            # Keras 1 names the inputs of a chain only when it is built.
            return whole(load_model(path, custom_objects={}) if form == "h5" else model_from_json(open(path).read()))
        loads = True
        try:
            back, again = load(), load()
        except Exception as e:
            print("load", case, repr(e)[:200]); back = again = whole(m); loads = False
        sig = dict(name=None, inputs=tensors(back.input_names, back.inputs), outputs=tensors(unique(back.output_names), back.outputs))
        det = {"format": "stored", "signatures": "stored", "inputs.name": "stored", "inputs.dtype": "stored", "inputs.shape": "stored", "outputs.name": "stored", "outputs.dtype": "derived", "outputs.shape": "derived", "tensors": "n/a"}
        # Keras 1 and early 2 count the names of inputs that they make themselves, and of chains in graphs, in each process:
        # the same file has other names when it is loaded once more (keras/engine/topology.py `create_input_layer`,
        # `K.get_uid`; keras/models.py `Sequential.from_config`, which forgets the name).
        for side in ("input", "output"):
            if getattr(back, side + "_names") != getattr(again, side + "_names"):
                det[side + "s.name"] = "no"
        code = "lambda" in case
        if code:
            det["outputs.dtype"] = "no"
            if not any(getattr(l, "_output_shape", None) for l in m.layers):
                det["outputs.shape"] = "no"
        if not loads:
            # What its own framework does not find in the file is not in it.
            det["outputs.dtype"] = det["outputs.shape"] = "no"
        json.dump(dict(id=os.path.basename(d), format="keras", framework="keras", framework_version=keras.__version__, path="keras/%s/model.%s" % (os.path.basename(d), form), expect="ok", signatures=[sig], determinable=det, findings=["lambda-code"] if code else [], notes="", source="generated"), open(os.path.join(d, "truth.json"), "w"), indent=1)


def main():
    n = {}
    for name, model in graphs():
        try:
            save("g_" + name, model)
        except Exception as e:
            print("save", name, repr(e)[:300])
    for name, ins, a, k in specs():
        if not hasattr(L, name):
            continue
        n[name] = n.get(name, 0) + 1
        try:
            K.clear_session() if hasattr(K, "clear_session") else None
            xs = [Input(sh, name="in_%d" % i) for i, sh in enumerate(ins)]
            y = getattr(L, name)(*a, **k)(xs if len(xs) > 1 else xs[0])
            model = Model(xs, y)
        except Exception as e:
            print("skip", name, repr(e)[:160]); continue
        try:
            save("%s_%d" % (name.lower(), n[name]), model)
        except Exception as e:
            print("save", name, repr(e)[:160])


main()
