"""Writes weights as users of Lasagne and Theano save them, `theano/made_arrays*`, and their truth as
numpy reads them: `np.savez(file, *lasagne.layers.get_all_param_values(net))`, one `.npy` for each
parameter, and a pickled list.

Python 3.11, numpy 2:  python make/arrays.py   (in the folder above)
"""

import json
import os
import pickle

import numpy as np

rng = np.random.RandomState(0)
LAYERS = [(784 // 49, 12), (12, 3)]
VALUES = [v.astype("float32") for n, m in LAYERS for v in (rng.randn(n, m), rng.randn(m))]


def write(case, path, tensors, framework, serialization):
    truth = {
        "id": case, "format": "theano", "framework": framework, "framework_version": None,
        "path": f"theano/{case}/{path}", "expect": "ok", "signatures": [],
        "tensors": [{"name": n, "dtype": str(v.dtype), "shape": list(v.shape)} for n, v in tensors],
        "determinable": {"format": "no", "signatures": "no", "tensors": "stored"},
        "facts": {"serialization": serialization, "parameters": sum(v.size for _, v in tensors)}, "findings": [],
        "source": "generated", "extra": {"numpy": np.__version__},
    }
    with open(f"theano/{case}/truth.json", "w") as out:
        json.dump(truth, out, indent=1)
        out.write("\n")


for case in ("made_arrays_npz", "made_arrays_npy", "made_arrays_pickle"):
    os.makedirs(f"theano/{case}/model", exist_ok=True)
np.savez("theano/made_arrays_npz/model/model.npz", *VALUES)
with np.load("theano/made_arrays_npz/model/model.npz") as file:
    write("made_arrays_npz", "model", [(k, file[k]) for k in file.files], "theano", "npz")
named = list(zip(("W1", "b1", "W2", "b2"), VALUES))
for name, value in named:
    np.save(f"theano/made_arrays_npy/model/{name}.npy", value)
write("made_arrays_npy", "model", sorted(named), "numpy", "npy")
with open("theano/made_arrays_pickle/model/params.pkl", "wb") as out:
    pickle.dump(dict(named), out, protocol=2)
with open("theano/made_arrays_pickle/model/params.pkl", "rb") as file:
    write("made_arrays_pickle", "model", list(pickle.load(file).items()), "theano", "pickle")
