#!/usr/bin/env python3
"""Models of Keras 3 whose last layer is each layer class in turn, with what the framework says of them.

    pip install keras==3.15.1 tensorflow-cpu==2.21.0
    python keras_all.py OUT [tf_keras]

Writes OUT/<id>/model.keras (or model.h5, model.json) and OUT/<id>/truth.json. With `tf_keras` the same is done with Keras 2 (`pip install tf_keras==2.21.0`). Names, dtypes and shapes of inputs and
outputs are asked of the loaded model. Too big for the repository; `keras.py` makes the small selection.
"""
import json
import os
import shutil
import sys

sys.path.pop(0)  # Beside this file lies one that is called like the package.

import logging

logging.disable(logging.WARNING)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
LEGACY = "tf_keras" in sys.argv[2:]
if LEGACY:
    import tf_keras as keras
else:
    import keras
import numpy as np

L = keras.layers
OUT = sys.argv[1]
F, I, S, B = "float32", "int32", "string", "bool"
v1, v2, v3 = (5, 4), (8, 7, 3), (6, 5, 4, 2)   # rank 3, 4, 5 with the batch
cells = L


def specs():
    """(class, keyword arguments, [(shape without batch, dtype)...], call keyword arguments)"""
    def s(name, kw=None, ins=(((6,), F),), call=None, args="list"):
        yield_.append((name, kw or {}, list(ins), call or {}, args))
    yield_ = []
    one = lambda shape, d=F: [(shape, d)]
    # Core and activations
    for sh in ((6,), (5, 6), (None, 6), (4, 5, 6)):
        s("Dense", dict(units=3), one(sh))
    s("Dense", dict(units=3, dtype="mixed_float16"))
    s("Dense", dict(units=3, dtype="float64"))
    s("Dense", dict(units=3, dtype="mixed_bfloat16"))
    s("Dense", dict(units=2), one((4,), "float16"))
    for n, kw in (("Activation", dict(activation="relu")), ("ReLU", dict(max_value=6)), ("LeakyReLU", {}), ("ELU", {}), ("PReLU", dict(shared_axes=[1])), ("Softmax", {}),
                  ("ThresholdedReLU", {}), ("Dropout", dict(rate=.1)), ("AlphaDropout", dict(rate=.1)), ("GaussianDropout", dict(rate=.1)), ("GaussianNoise", dict(stddev=.1)),
                  ("ActivityRegularization", dict(l1=.1)), ("Masking", dict(mask_value=0.)), ("BatchNormalization", {}), ("LayerNormalization", {}), ("RMSNormalization", {}),
                  ("UnitNormalization", {}), ("GroupNormalization", dict(groups=2)), ("SpatialDropout1D", dict(rate=.1)), ("Rescaling", dict(scale=.5, offset=1.)), ("Identity", {})):
        s(n, kw, one((5, 4)))
        if n in ("ReLU", "Activation", "Dropout", "Identity", "Masking", "Rescaling"):
            s(n, kw, one((5, 4), I))
            s(n, kw, one((None,), "float16"))
    s("Identity", {}, one((3,), S)); s("Softmax", dict(axis=1), one((3, 4))); s("Activation", dict(activation="softmax", dtype="mixed_float16"))
    s("SpatialDropout2D", dict(rate=.1), one(v2)); s("SpatialDropout3D", dict(rate=.1), one(v3))
    s("Normalization", dict(axis=-1, mean=1., variance=2.), one((4,))); s("Normalization", dict(axis=None, mean=1., variance=2.), one((4, 2)))
    s("EinsumDense", dict(equation="abc,cd->abd", output_shape=(None, 7)), one((5, 4))); s("EinsumDense", dict(equation="...x,xy->...y", output_shape=7), one((5, 4)))
    s("EinsumDense", dict(equation="abc,cde->abde", output_shape=(None, 2, 3), bias_axes="de"), one((5, 4)))
    s("EinsumDense", dict(equation="ab,bc->ac", output_shape=64), one((32,))); s("EinsumDense", dict(equation="abc,cd->abd", output_shape=(None, 7)), one((None, 4)))
    s("Embedding", dict(input_dim=9, output_dim=4), one((5,), I)); s("Embedding", dict(input_dim=9, output_dim=4), one((None,), I)); s("Embedding", dict(input_dim=9, output_dim=4, mask_zero=True), one((3, 2), I))
    s("Embedding", dict(input_dim=9, output_dim=4), one((5,), F)); s("Embedding", dict(input_dim=9, output_dim=4, input_length=5), one((5,), I)); s("Embedding", dict(input_dim=9, output_dim=4, dtype="mixed_float16"), one((5,), I))
    s("ReversibleEmbedding", dict(input_dim=9, output_dim=4), one((5,), I))
    s("ReversibleEmbedding", dict(input_dim=9, output_dim=4), one((5, 4)), dict(reverse=True))
    s("Lambda", dict(function=lambda x: x * 2), one((4,))); s("Lambda", dict(function=lambda x: x[:, :2], output_shape=(2,)), one((4,)))
    # Reshaping
    for d in (F, I, "float16"):
        s("Flatten", {}, one((4, 3), d)); s("Reshape", dict(target_shape=(3, -1)), one((4, 3), d)); s("Permute", dict(dims=(2, 1)), one((4, 3), d)); s("RepeatVector", dict(n=3), one((4,), d))
    s("Flatten", {}, one((None, 3))); s("Flatten", dict(data_format="channels_first"), one((4, 3, 2))); s("Flatten", {}, one(())); s("Flatten", {}, one((4,)))
    s("Reshape", dict(target_shape=(2, 6)), one((4, 3))); s("Reshape", dict(target_shape=(-1, 3)), one((None, 3))); s("Reshape", dict(target_shape=()), one((1,))); s("Reshape", dict(target_shape=(-1,)), one((2, 3)))
    s("Reshape", dict(target_shape=(-1, 2)), one((None, 4, 3)))
    for df in ("channels_last", "channels_first"):
        s("ZeroPadding2D", dict(padding=((1, 2), (3, 4)), data_format=df), one(v2)); s("ZeroPadding2D", dict(padding=2, data_format=df), one((None, None, 3))); s("Cropping2D", dict(cropping=((1, 0), (2, 1)), data_format=df), one(v2))
        s("UpSampling2D", dict(size=(2, 3), data_format=df), one(v2)); s("ZeroPadding3D", dict(padding=(1, 2, 3), data_format=df), one(v3)); s("Cropping3D", dict(cropping=((1, 1), (1, 0), (1, 0)), data_format=df), one((6, 5, 4, 3)))
        s("UpSampling3D", dict(size=2, data_format=df), one(v3)); s("ZeroPadding1D", dict(padding=(1, 2), **({} if LEGACY else dict(data_format=df))), one((5, 4)))
    s("ZeroPadding2D", dict(padding=(1, 2)), one(v2)); s("Cropping1D", dict(cropping=(1, 2)), one((5, 4))); s("Cropping1D", dict(cropping=1), one((None, 4))); s("UpSampling1D", dict(size=3), one((5, 4))); s("UpSampling2D", dict(interpolation="bilinear"), one((None, 5, 2)))
    s("UpSampling2D", {}, one(v2, "uint8")); s("ZeroPadding2D", {}, one(v2, "uint8")); s("Cropping2D", {}, one(v2, I)); s("UpSampling1D", {}, one((5, 4), I))
    # Convolutions
    for pad in ("valid", "same"):
        for df in ("channels_last", "channels_first"):
            k = dict(padding=pad, data_format=df)
            s("Conv1D", dict(filters=3, kernel_size=3, strides=2, **k), one((11, 4)))
            s("Conv2D", dict(filters=3, kernel_size=(3, 2), strides=(2, 1), **k), one((9, 10, 4) if df[9] == "l" else (4, 9, 10)))
            s("Conv3D", dict(filters=2, kernel_size=2, strides=2, **k), one((5, 6, 7, 3)))
            s("Conv1DTranspose", dict(filters=3, kernel_size=3, strides=2, **k), one((5, 4)))
            s("Conv2DTranspose", dict(filters=3, kernel_size=(2, 4), strides=(3, 2), **k), one((5, 6, 4)))
            s("Conv2DTranspose", dict(filters=3, kernel_size=4, strides=3, output_padding=(1, 2), **k), one((5, 6, 4)))
            s("Conv3DTranspose", dict(filters=2, kernel_size=2, strides=2, **k), one((3, 4, 5, 3)))
            s("SeparableConv1D", dict(filters=3, kernel_size=3, **k), one((9, 4))); s("SeparableConv2D", dict(filters=3, kernel_size=3, strides=2, depth_multiplier=2, **k), one((9, 10, 4)))
            s("DepthwiseConv1D", dict(kernel_size=3, depth_multiplier=2, **k), one((9, 4))); s("DepthwiseConv2D", dict(kernel_size=3, strides=2, depth_multiplier=2, **k), one((9, 10, 4)))
            for p in ("Max", "Average"):
                s(p + "Pooling1D", dict(pool_size=3, strides=2, **k), one((10, 4))); s(p + "Pooling2D", dict(pool_size=(2, 3), **k), one((9, 10, 4))); s(p + "Pooling3D", dict(pool_size=2, strides=(1, 2, 1), **k), one((6, 5, 4, 3)))
    for df in ("channels_last", "channels_first"):
        for keep in (False, True):
            for n, sh in (("1D", (5, 4)), ("2D", v2), ("3D", v3)):
                for p in ("Max", "Average"):
                    s(f"Global{p}Pooling{n}", dict(keepdims=keep, data_format=df), one(sh))
        for p in ("Max", "Average"):
            s(f"Adaptive{p}Pooling1D", dict(output_size=2, data_format=df), one((6, 4))); s(f"Adaptive{p}Pooling2D", dict(output_size=(2, 3), data_format=df), one((6, 9, 6))); s(f"Adaptive{p}Pooling3D", dict(output_size=2, data_format=df), one((4, 4, 4, 4)))
    s("Conv1D", dict(filters=3, kernel_size=3, padding="causal", strides=2), one((11, 4))); s("Conv1D", dict(filters=3, kernel_size=3, dilation_rate=2), one((11, 4))); s("Conv2D", dict(filters=4, kernel_size=3, dilation_rate=(2, 3)), one((11, 12, 4)))
    s("Conv2D", dict(filters=4, kernel_size=3, groups=2, padding="same", dtype="mixed_float16"), one((None, None, 4))); s("Conv2D", dict(filters=4, kernel_size=3), one((None, 12, 4))); s("Conv2DTranspose", dict(filters=4, kernel_size=3, strides=2), one((None, 12, 4)))
    s("Conv2DTranspose", dict(filters=4, kernel_size=3, dilation_rate=2), one((7, 12, 4))); s("Conv1D", dict(filters=2, kernel_size=2), one((3, 5, 4))); s("Conv1DTranspose", dict(filters=2, kernel_size=3, strides=2, output_padding=1), one((7, 4)))
    s("SeparableConv1D", dict(filters=2, kernel_size=3, padding="causal"), one((7, 4))) if LEGACY else None
    s("MaxPooling2D", {}, one((None, None, 3))); s("AveragePooling1D", {}, one((7, 3))); s("MaxPooling2D", dict(padding="same"), one(v2)); s("GlobalAveragePooling2D", {}, one((None, None, 3))); s("GlobalMaxPooling1D", {}, one((None, 3)))
    s("LocallyConnected1D", dict(filters=3, kernel_size=3, strides=2), one((9, 4))); s("LocallyConnected2D", dict(filters=3, kernel_size=3), one((6, 6, 2)))
    # Recurrent
    for n in ("LSTM", "GRU", "SimpleRNN"):
        s(n, dict(units=3), one((5, 4))); s(n, dict(units=3, return_sequences=True), one((None, 4))); s(n, dict(units=3, return_state=True), one((5, 4))); s(n, dict(units=3, return_state=True, return_sequences=True), one((5, 4)))
    s("LSTM", dict(units=3, stateful=False, go_backwards=True, dtype="mixed_float16"), one((5, 4)))
    for m in ("concat", "sum", "mul", "ave", None):
        s("Bidirectional", dict(layer=lambda: L.LSTM(3), merge_mode=m), one((5, 4))); s("Bidirectional", dict(layer=lambda: L.GRU(3, return_sequences=True), merge_mode=m), one((None, 4)))
        s("Bidirectional", dict(layer=lambda: L.LSTM(3, return_state=True), merge_mode=m), one((5, 4)))
    s("Bidirectional", dict(layer=lambda: L.SimpleRNN(3, return_sequences=True, return_state=True)), one((5, 4)))
    s("TimeDistributed", dict(layer=lambda: L.Dense(3)), one((5, 4))); s("TimeDistributed", dict(layer=lambda: L.Conv2D(3, 3)), one((5, 8, 9, 2))); s("TimeDistributed", dict(layer=lambda: L.Flatten()), one((None, 3, 4)))
    s("TimeDistributed", dict(layer=lambda: L.LSTM(2)), one((5, 6, 4)))
    s("RNN", dict(cell=lambda: L.LSTMCell(3)), one((5, 4))); s("RNN", dict(cell=lambda: [L.GRUCell(3), L.GRUCell(2)], return_sequences=True), one((5, 4))); s("RNN", dict(cell=lambda: [L.LSTMCell(3), L.LSTMCell(2)], return_state=True), one((5, 4)))
    s("RNN", dict(cell=lambda: L.StackedRNNCells([L.GRUCell(3), L.SimpleRNNCell(2)])), one((5, 4)))
    for d, sh in (("1D", (5, 8, 3)), ("2D", (4, 8, 9, 3)), ("3D", (3, 5, 5, 5, 2))):
        s("ConvLSTM" + d, dict(filters=2, kernel_size=3), one(sh)); s("ConvLSTM" + d, dict(filters=2, kernel_size=3, padding="same", return_sequences=True, return_state=True), one(sh))
    s("ConvLSTM2D", dict(filters=2, kernel_size=3, data_format="channels_first", strides=2), one((4, 3, 9, 9)))
    # Merging
    two = lambda a, b, d=F: [(a, d), (b, d)]
    for n in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"):
        s(n, {}, two((4,), (4,))); s(n, {}, two((5, 4), (1, 4))); s(n, {}, two((5, 4), (4,))); s(n, {}, two((None, 4), (5, 4))); s(n, {}, two((4,), (4,), I))
    s("Add", {}, [((4,), F)] * 3); s("Add", dict(dtype="mixed_float16"), two((4,), (4,))); s("Concatenate", {}, two((4,), (5,))); s("Concatenate", dict(axis=1), two((3, 4), (5, 4))); s("Concatenate", {}, two((None, 4), (None, 5)))
    s("Concatenate", dict(axis=1), two((None, 4), (5, 4))); s("Concatenate", {}, two((4,), (5,), I)); s("Concatenate", dict(axis=-2), [((2, 4), F)] * 3)
    s("Dot", dict(axes=1), two((4,), (4,))); s("Dot", dict(axes=(2, 1)), two((5, 4), (4, 3))); s("Dot", dict(axes=-1, normalize=True), two((5, 4), (6, 4))); s("Dot", dict(axes=2), two((5, 4), (6, 4)))
    # Attention
    s("Attention", {}, [((5, 4), F), ((6, 4), F)]); s("Attention", {}, [((5, 4), F), ((6, 7), F), ((6, 4), F)]); s("AdditiveAttention", {}, [((5, 4), F), ((6, 4), F)]); s("Attention", {}, [((5, 4), F), ((6, 4), F)], dict(return_attention_scores=True))
    s("AdditiveAttention", {}, [((5, 4), F), ((6, 4), F)], dict(return_attention_scores=True))
    s("MultiHeadAttention", dict(num_heads=2, key_dim=3), [((5, 4), F), ((6, 7), F)], args="pos"); s("MultiHeadAttention", dict(num_heads=2, key_dim=3, output_shape=9), [((5, 4), F), ((6, 7), F)], args="pos")
    s("MultiHeadAttention", dict(num_heads=2, key_dim=3), [((5, 4), F), ((5, 4), F)], dict(return_attention_scores=True), args="pos"); s("MultiHeadAttention", dict(num_heads=2, key_dim=3), [((None, 4), F)] * 3, args="pos")
    s("MultiHeadAttention", dict(num_heads=2, key_dim=3), [((5, 4), F)] * 2, args=("query", "value")); s("GroupQueryAttention", dict(head_dim=3, num_query_heads=4, num_key_value_heads=2), [((5, 4), F), ((6, 4), F)], args="pos")
    s("GroupQueryAttention", dict(head_dim=3, num_query_heads=4, num_key_value_heads=2), [((5, 4), F), ((6, 4), F)], dict(return_attention_scores=True), args="pos")
    # Preprocessing
    for m in ("int", "one_hot", "multi_hot", "count"):
        s("StringLookup", dict(vocabulary=["a", "b", "c"], output_mode=m), one((1,), S)); s("StringLookup", dict(vocabulary=["a", "b", "c"], output_mode=m), one((4,), S)); s("IntegerLookup", dict(vocabulary=[1, 2], output_mode=m, num_oov_indices=2), one((4,), "int64"))
        s("Discretization", dict(bin_boundaries=[0., 1., 2.], output_mode=m), one((4,))); s("Discretization", dict(bin_boundaries=[0., 1.], output_mode=m), one((1,))); s("Hashing", dict(num_bins=5, output_mode=m), one((1,), S)); s("Hashing", dict(num_bins=5, output_mode=m), one((4,), S))
        s("TextVectorization", dict(vocabulary=["a", "b"], output_mode=m if m != "one_hot" else "tf_idf", **(dict(idf_weights=[.5, .6]) if m == "one_hot" else {})), one((1,), S))
        s("StringLookup", dict(vocabulary=["a", "b"], max_tokens=9, pad_to_max_tokens=True, output_mode=m), one((4,), S)) if m != "int" else None
        s("StringLookup", dict(vocabulary=["a", "b"], mask_token="", output_mode=m), one((4,), S))
        s("HashedCrossing", dict(num_bins=5, output_mode=m), two((1,), (1,), S)) if m in ("int", "one_hot") else None
        s("CategoryEncoding", dict(num_tokens=4, output_mode=m), one((1,), I)) if m != "int" else None
        s("CategoryEncoding", dict(num_tokens=4, output_mode=m), one((3,), I)) if m != "int" else None
        s("Discretization", dict(num_bins=4, bin_boundaries=None, output_mode=m), one((4,))) if False else None
    s("StringLookup", dict(vocabulary=["a", "b"], invert=True), one((4,), "int64")); s("TextVectorization", dict(vocabulary=["a", "b"], output_sequence_length=7), one((1,), S)); s("TextVectorization", dict(vocabulary=["a", "b"]), one((), S))
    s("TextVectorization", dict(max_tokens=20, output_mode="multi_hot", pad_to_max_tokens=True, vocabulary=["a", "b"]), one((1,), S)); s("TextVectorization", dict(vocabulary=["a", "b"], split=None), one((3,), S))
    s("Resizing", dict(height=4, width=5), one(v2)); s("Resizing", dict(height=4, width=5), one((None, None, 3))); s("Resizing", dict(height=4, width=5), one(v2, "uint8")); s("CenterCrop", dict(height=4, width=5), one(v2)); s("CenterCrop", dict(height=4, width=5), one((None, None, 3), "uint8"))
    s("Resizing", dict(height=4, width=5, data_format="channels_first"), one((3, 8, 9))) if not LEGACY else None
    s("RandomCrop", dict(height=4, width=5), one(v2)); s("Rescaling", dict(scale=1 / 255.), one(v2, "uint8"))
    for n, kw in (("RandomFlip", {}), ("RandomRotation", dict(factor=.1)), ("RandomZoom", dict(height_factor=.1)), ("RandomTranslation", dict(height_factor=.1, width_factor=.1)), ("RandomContrast", dict(factor=.1)), ("RandomBrightness", dict(factor=.1)),
                  ("RandomHeight", dict(factor=.1)), ("RandomWidth", dict(factor=.1)), ("RandomGrayscale", {}), ("RandomHue", dict(factor=.1)), ("RandomSaturation", dict(factor=.1)), ("RandomSharpness", dict(factor=.1)), ("RandomShear", dict(x_factor=.1)), ("RandomPosterization", dict(factor=4)),
                  ("RandomInvert", {}), ("RandomGaussianBlur", {}), ("RandomErasing", {}), ("RandomColorJitter", {}), ("RandomColorDegeneration", dict(factor=.1)), ("RandomPerspective", {}), ("RandomElasticTransform", {}), ("Solarization", dict(addition_factor=.1)), ("Equalization", {}),
                  ("AutoContrast", {}), ("AugMix", {}), ("CutMix", {}), ("MixUp", {}), ("RandAugment", {})):
        s(n, kw, one(v2)); s(n, kw, one((None, None, 3)))
        s(n, kw, one(v2, "uint8"))
    s("MaxNumBoundingBoxes", dict(max_number=3), one(v2))
    s("MelSpectrogram", {}, one((16000,))); s("MelSpectrogram", dict(num_mel_bins=40, fft_length=512, sequence_stride=128), one((8000,))); s("STFTSpectrogram", dict(mode="log", frame_length=64, frame_step=16, fft_length=128), one((500, 1))); s("STFTSpectrogram", dict(mode="real", frame_length=64, frame_step=16, fft_length=128, padding="same", expand_dims=True), one((500, 2)))
    s("STFTSpectrogram", dict(mode="angle", frame_length=64, frame_step=16, fft_length=128, periods=1) if False else dict(mode="angle", frame_length=64, frame_step=32), one((500, 1)))
    s("SpectralNormalization", dict(layer=lambda: L.Conv2D(3, 3)), one((8, 9, 2))); s("SpectralNormalization", dict(layer=lambda: L.Dense(3)), one((8,)))
    s("Pipeline", dict(layers=lambda: [L.Rescaling(.5), L.Dense(3)]), one((8,)))
    return yield_


def dtype(t):
    d = t.dtype
    return d.name if hasattr(d, "name") else str(d)


def flat(struct):
    """(key or None, tensor) of a list, a dictionary or one tensor."""
    if isinstance(struct, dict):
        return [(k, struct[k]) for k in sorted(struct)]
    if isinstance(struct, (list, tuple)):
        return [(None, t) for t in struct]
    return [(None, struct)]


def tensor(name, t):
    return dict(name=name, dtype=dtype(t), shape=[None if d is None else int(d) for d in t.shape])


def unique(names):
    out, count = [], {}
    for n in names:
        p = n
        while p in out:
            count[n] = count.get(n, 0) + 1
            p = f"{n}_{count[n]}"
        out.append(p)
    return out


def truth(case, file, model, notes=""):
    ins, outs = flat(model._inputs_struct if hasattr(model, "_inputs_struct") else getattr(model, "_nested_inputs", model.inputs)), flat(model._outputs_struct if hasattr(model, "_outputs_struct") else getattr(model, "_nested_outputs", model.outputs))
    if len(outs) != len(model.outputs):
        outs = [(None, t) for t in model.outputs]
    if len(ins) != len(model.inputs):
        ins = [(None, t) for t in model.inputs]
    onames = unique([k or n for (k, _), n in zip(outs, getattr(model, "output_names", None) or [model.layers[-1].name])])
    inames = [k or n for (k, _), n in zip(ins, model.input_names if hasattr(model, "input_names") else [t.name for t in model.inputs])]
    det = {"format": "stored", "signatures": "stored", "inputs.name": "stored", "inputs.dtype": "stored", "inputs.shape": "stored", "outputs.name": "stored", "outputs.dtype": "derived", "outputs.shape": "derived", "tensors": "n/a"}
    return dict(id=case, format="keras", framework="keras", framework_version=keras.__version__, path=f"keras/{case}/{file}", expect="ok",
                signatures=[dict(name=None, inputs=[tensor(n, t) for n, (_, t) in zip(inames, ins)], outputs=[tensor(n, t) for n, (_, t) in zip(onames, outs)])],
                determinable=det, notes=notes, source="generated")


def save(case, model, form="keras"):
    d = os.path.join(OUT, case)
    os.makedirs(d, exist_ok=True)
    file = {"keras": "model.keras", "h5": "model.h5", "json": "model.json"}[form]
    path = os.path.join(d, file)
    if form == "json":
        open(path, "w").write(model.to_json())
    else:
        model.save(path, **({"save_format": "h5"} if LEGACY and form == "h5" else {}))
    back = model
    try:
        if form == "json":
            back = keras.models.model_from_json(open(path).read())
        else:
            back = keras.models.load_model(path, compile=False, **({} if LEGACY or form == "h5" else {"safe_mode": False}))
            if not getattr(back, 'outputs', None):
                back = model
    except Exception as e:
        print("load", case, repr(e)[:200])
    t = truth(case, file, back)
    if back is not model:
        # What the framework says before and after must agree, else neither is the truth.
        u = truth(case, file, model)
        if t["signatures"] != u["signatures"]:
            print("differs", case, json.dumps(t["signatures"][0]["outputs"]), json.dumps(u["signatures"][0]["outputs"]))
            t["before"] = u["signatures"]
    json.dump(t, open(os.path.join(d, "truth.json"), "w"), indent=1)


def graphs():
    """(name, model) of what is special about connections: shared and nested models, dictionaries, operations."""
    In, M, S = keras.Input, keras.Model, keras.Sequential
    x = In((4,), name="x")
    d = L.Dense(4, name="shared")
    yield "shared", M(x, L.Dense(2, name="out")(d(d(x))))
    a, b = In((4,), name="a"), In((4,), name="b")
    yield "shared_two", M([a, b], [d(a), d(b)])
    yield "shared_end", M([a, b], L.Concatenate(name="cat")([d(a), d(b)]))
    yield "dict_in", M({"left": a, "right": b}, L.Add(name="sum")([a, b]))
    yield "dict_out", M([a, b], {"total": L.Add(name="sum")([a, b]), "first": L.Dense(3, name="f")(a)})
    yield "list_out", M(a, [L.Dense(3, name="f")(a), L.Dense(2, name="g")(a)])
    yield "input_out", M(a, [a, L.Dense(2, name="g")(a)])
    inner = M(x, L.Dense(3, name="id")(x), name="inner")
    y = In((4,), name="y")
    yield "nested", M(y, L.Dense(2, name="out")(inner(y)))
    yield "nested_end", M(y, inner(y))
    yield "nested_twice", M([a, b], [inner(a), inner(b)])
    chain = S([In((4,)), L.Dense(5), L.Dense(3, name="tail")], name="chain")
    yield "nested_chain", M(y, chain(y))
    yield "nested_chain_twice", M([a, b], L.Concatenate(name="cat")([chain(a), chain(b)]))
    yield "nested_chain_twice_end", M([a, b], [chain(a), chain(b)])
    yield "chain_of_models", S([In((4,)), inner, L.Dense(2, name="z")])
    yield "chain_of_chains", S([chain, L.Dense(2, name="z")])
    yield "chain_of_graph", S([inner, L.Dense(2, name="z")])
    wide = In((None, None, 3), name="img")
    conv = M(wide, L.GlobalAveragePooling2D()(L.Conv2D(4, 3)(wide)), name="backbone")
    full = In((None, None, 3), name="fully")
    fully = M(full, L.Conv2D(4, 3)(full), name="fcn")
    z = In((8, 9, 3), name="z")
    yield "backbone", M(z, L.Dense(2, name="out")(conv(z)))
    yield "nested_other_shape", M(z, fully(z))
    two = M([a, b], [L.Dense(3)(a), L.Dense(2)(b)], name="two")
    p, q = In((4,), name="p"), In((4,), name="q")
    r = two([p, q])
    yield "nested_many", M([p, q], [r[1], r[0]])
    yield "nested_many_one", M([p, q], L.Dense(7, name="k")(r[1]))
    t = In((5, 4), name="t")
    yield "time_model", M(t, L.TimeDistributed(inner, name="td")(t))
    yield "time_chain", M(t, L.TimeDistributed(chain, name="td")(t))
    e = L.LSTM(3, return_state=True, name="enc")(t)
    u = In((6, 4), name="u")
    yield "seq2seq", M([t, u], L.LSTM(3, return_sequences=True, name="dec")(u, initial_state=e[1:]))
    yield "states_out", M(t, e)
    yield "residual", M(z, L.Add(name="res")([L.Conv2D(3, 3, padding="same")(z), z]))
    yield "ops_plus", M([a, b], a + b)
    yield "ops_mul_number", M(a, a * 2.0)
    yield "ops_then_dense", M(a, L.Dense(2, name="o")(a / 3.0 - 1.0))
    yield "ops_slice", M(t, t[:, -1, :])
    yield "ops_slice_dense", M(t, L.Dense(2, name="o")(t[:, 0]))
    yield "sparse_in", M((s := In((9,), sparse=True, name="s")), L.Dense(2, name="o")(s))
    yield "batch", M((s := In(batch_shape=(7, 3), name="s")), L.Dense(2, name="o")(s))
    yield "int_in", M((s := In((3,), dtype="int32", name="s")), L.Flatten(name="o")(L.Embedding(5, 2)(s)))
    mha = L.MultiHeadAttention(2, 3, name="mha")
    yield "self_attention", M(t, L.LayerNormalization(name="n")(t + mha(t, t)))
    yield "merge_names", M([a, b], L.add([a, b], name="plus"))
    yield "half", M(a, L.Dense(2, name="o", dtype="mixed_float16")(L.Dense(3, dtype="mixed_float16")(a)))
    yield "half_then_softmax", M(a, L.Activation("softmax", dtype="float32", name="o")(L.Dense(3, dtype="mixed_float16")(a)))
    yield "double", M((s := In((3,), dtype="float64", name="s")), L.Dense(2, dtype="float64", name="o")(s))
    yield "many_attributes", S([In((4,))] + [L.Dense(3, name=f"a_layer_with_quite_a_long_name_{i}") for i in range(40)])
    if LEGACY:
        import tensorflow as tf
        yield "tf_op", M(a, tf.nn.relu(a))
        yield "tf_op_dense", M(a, L.Dense(2, name="o")(tf.concat([a, tf.square(a)], 1)))
        s = S([L.Dense(3, name="first"), L.Dense(2, name="second")]); s(np.zeros((2, 4), "float32")); yield "late", s
        s = S([L.Dense(3, input_shape=(4,), name="first"), L.Dense(2, name="second")]); yield "first_shape", s
        s = S([L.Embedding(9, 3, input_length=5), L.Flatten()]); yield "first_embedding", s
        yield "ragged_in", M((s := In((None,), ragged=True, name="s")), L.Lambda(lambda v: v.to_tensor(), name="o")(s))
        yield "attention_names", M([t, u], mha(t, value=u))
    else:
        K = keras.ops
        s = S([L.Dense(3, name="first"), L.Dense(2, name="second")]); s(np.zeros((2, 4), "float32")); yield "late", s
        for name, f in dict(relu=K.relu, sigmoid=K.sigmoid, softmax=K.softmax, square=K.square, mean=lambda v: K.mean(v, axis=1), sum_keep=lambda v: K.sum(v, axis=-1, keepdims=True), max_all=K.max, reshape=lambda v: K.reshape(v, (-1, 20)),
                            transpose=lambda v: K.transpose(v, (0, 2, 1)), expand=lambda v: K.expand_dims(v, -1), argmax=lambda v: K.argmax(v, -1), cast=lambda v: K.cast(v, "int32"), concat=lambda v: K.concatenate([v, v], 1), squeeze=lambda v: K.squeeze(v[:, :1], 1),
                            stack=lambda v: K.stack([v, v], 1), greater=lambda v: v > 0.5, where=lambda v: K.where(v > 0, v, 0.0), matmul=lambda v: v @ K.transpose(v, (0, 2, 1)), top_k=lambda v: K.top_k(v, 2), one_hot=lambda v: K.one_hot(K.argmax(v, -1), 4),
                            neg=lambda v: -v, abs=abs, power=lambda v: v ** 2, rsub=lambda v: 1 - v, clip=lambda v: K.clip(v, 0, 1), einsum=lambda v: K.einsum("btf,btf->bt", v, v), sqrt=K.sqrt, exp=K.exp, norm=lambda v: K.norm(v, axis=-1),
                            maxone=lambda v: K.maximum(v, 0.0), broadcast=lambda v: v + K.ones((4,)), pad=lambda v: K.pad(v, ((0, 0), (1, 1), (0, 0))), split=lambda v: K.split(v, 2, axis=-1), tanh=K.tanh, logical=lambda v: K.logical_and(v > 0, v < 1), mod=lambda v: v % 2, floordiv=lambda v: v // 2).items():
            yield "op_" + name, M(t, f(t))
        ti = In((5, 4), dtype="int32", name="ti")
        for name, f in dict(relu=K.relu, sigmoid=K.sigmoid, plus=lambda v: v + 1, plusf=lambda v: v + 1.5, div=lambda v: v / 2, mean=lambda v: K.mean(v, axis=1), sum=lambda v: K.sum(v, axis=1), argmax=lambda v: K.argmax(v, -1)).items():
            yield "op_int_" + name, M(ti, f(ti))
        yield "op_mixed", M([t, In((5, 4), dtype="float16", name="h")], t + In((5, 4), dtype="float16", name="h")) if False else M(t, t + 1)
        yield "optional_in", M([a, (o := In((4,), optional=True, name="o"))], L.Dense(2, name="k")(a)) if False else M(a, L.Dense(2, name="k")(a))
        yield "nested_dict", M({"x": a, "y": b}, {"deep": [L.Dense(2, name="k")(a), L.Dense(3, name="l")(b)]})
        keras.config.set_dtype_policy("mixed_bfloat16")
        yield "policy", M((s := In((3,), name="s")), L.Dense(2, name="o")(L.Dense(4)(s)))
        keras.config.set_dtype_policy("float32")


def special():
    gen = graphs()
    while True:
        try:
            keras.backend.clear_session() if False else None
            name, model = next(gen)
        except StopIteration:
            return
        except Exception as e:
            print("graphs end at", repr(e)[:300])
            return
        for form in ("keras", "h5", "json"):
            try:
                save(f"{'k2' if LEGACY else 'k3'}_g_{name}_{form}", model, form)
            except Exception as e:
                print("save", name, form, repr(e)[:200].replace("\n", " "))


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    os.makedirs(OUT)
    special()
    if "graphs" in sys.argv[2:]:
        return
    used, n = set(), {}
    for name, kw, ins, call, args in specs():
        if not hasattr(L, name):
            continue
        n[name] = n.get(name, 0) + 1
        case = f"{'k2' if LEGACY else 'k3'}_{name.lower()}_{n[name]}"
        try:
            make = lambda: getattr(L, name)(**{k: v() if callable(v) and k in ("layer", "cell", "layers") else v for k, v in kw.items()})
            keras.backend.clear_session()
            xs = [keras.Input(sh, dtype=d, name=f"in_{i}") for i, (sh, d) in enumerate(ins)]
            layer = make()
            if args == "pos":
                y = layer(*xs, **call)
            elif isinstance(args, tuple):
                y = layer(**dict(zip(args, xs)), **call)
            else:
                y = layer(xs if len(xs) > 1 else xs[0], **call)
            model = keras.Model(xs, y)
            used.add(name)
        except Exception as e:
            print("skip", case, repr(e)[:150].replace("\n", " "))
            continue
        for form in ("keras", "h5"):
            if form == "h5" and not LEGACY and n[name] > 1:
                continue
            try:
                save(case + "_" + form, model, form)
            except Exception as e:
                print("save", case, form, repr(e)[:200].replace("\n", " "))
        try:
            save(case + "_json", model, "json")
        except Exception as e:
            print("save", case, "json", repr(e)[:200].replace("\n", " "))
        if len(ins) == 1 and not call and n[name] == 1:
            try:
                keras.backend.clear_session()
                seq = keras.Sequential([keras.Input(ins[0][0], dtype=ins[0][1]), make()] + ([L.Flatten()] if name not in ("Flatten",) and ins[0][1] != S else []))
                save(case + "_seq", seq)
            except Exception as e:
                print("seq", case, repr(e)[:150].replace("\n", " "))
    print("not covered:", sorted(c for c in dir(L) if c[0].isupper() and c not in used))


main()
