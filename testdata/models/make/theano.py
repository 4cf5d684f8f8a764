"""Writes the Theano models `theano/made_*` and their truth.

Needs Python 3.7 and `pip install theano==1.0.5 'numpy<1.22' 'scipy<1.8'`; run in this folder.
The names and dtypes of the truth come from the loaded function; a size is in it if every call with
another one fails (inputs), or if calls with inputs of different sizes give the same (outputs).
"""

import itertools
import json
import os
import pickle
import shutil
import sys

os.environ["THEANO_FLAGS"] = "floatX=float32,cxx=,optimizer=fast_compile"

sys.path.pop(0)  # This file is named like the package.

import numpy as np
import theano
import theano.tensor as T

sys.setrecursionlimit(100000)
rng = np.random.RandomState(0)


def weights(name, *shape):
    return theano.shared(rng.rand(*shape).astype("float32"), name=name)


def mlp():
    x = T.matrix("x")
    h = T.nnet.relu(T.dot(x, weights("W1", 4, 5)) + weights("b1", 5))
    y = T.nnet.softmax(T.dot(h, weights("W2", 5, 3)) + weights("b2", 3))
    y.name = "probs"
    return [x], [y, T.argmax(y, axis=1)], [(None, 4)]


def embedding():
    ids = T.lvector("ids")
    e = weights("E", 20, 6)[ids]
    return [ids], [T.dot(e, weights("W", 6)), e.sum(axis=0)], [(None,)]


def scalars():
    a, b = T.dscalar("a"), T.iscalar("b")
    return [a, theano.In(b, value=2, name="b")], [a * b], [(), ()]


def broadcast():
    r, c = T.row("r", dtype="float64"), T.col("c", dtype="float64")
    return [r, c], [r + c], [(1, None), (None, 1)]


def named_outputs():
    x = T.matrix("x")
    y = T.dot(x, weights("W", 3, 2))
    return [x], {"score": y, "total": T.sum(y, axis=1, keepdims=True)}, [(None, 3)]


def nameless():
    x, y = T.matrix(), T.imatrix()
    both = T.concatenate([x, y.astype("float32")], axis=1)
    return [x, y], [both, x.dimshuffle(1, 0, "x")], [(None, None), (None, None)]


def elementwise():
    x = T.vector("x")
    return [x], [T.sqr(x) * weights("w", 5), T.dot(x, weights("v", 5)) > 0], [(5,)]


CASES = [("mlp", mlp, "None", 2), ("embedding", embedding, "None", 4), ("scalars", scalars, "fast_compile", 0),
         ("broadcast", broadcast, "fast_run", 2), ("named", named_outputs, "fast_run", 4),
         ("nameless", nameless, "None", 3), ("elementwise", elementwise, "fast_compile", 1)]


def call(f, shapes):
    values = [np.ones(s, dtype=i.type.dtype) for s, i in zip(shapes, inputs_of(f))]
    out = f(*values)
    return list(out.values()) if isinstance(out, dict) else out


def inputs_of(f):
    return [i.variable for i in f.maker.inputs if not i.shared]


def fill(shapes, free):
    return [tuple(free if d is None else d for d in s) for s in shapes]


def check(f, shapes):
    """That the sizes of `shapes` are the only ones that work, and what comes out."""
    small, large = call(f, fill(shapes, 2)), call(f, fill(shapes, 4))
    for at, axis in itertools.chain.from_iterable(
            [(at, axis) for axis, d in enumerate(s) if d is not None] for at, s in enumerate(shapes)):
        other = [list(s) for s in fill(shapes, 2)]
        other[at][axis] += 1
        try:
            call(f, other)
        except Exception:
            continue
        raise AssertionError("size %d of input %d is free" % (axis, at))
    return [[m if m == n else None for m, n in zip(np.shape(a), np.shape(b))] for a, b in zip(small, large)]


for name, make, optimizer, protocol in CASES:
    inputs, outputs, shapes = make()
    f = theano.function(inputs, outputs, mode=theano.Mode(linker="py", optimizer=None if optimizer == "None" else optimizer))
    folder = "../theano/made_" + name
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    with open(folder + "/model.pkl", "wb") as out:
        pickle.dump(f, out, protocol=protocol)
    with open(folder + "/model.pkl", "rb") as file:
        f = pickle.load(file)
    given = check(f, shapes)
    results = f.maker.outputs
    keys = f.maker.output_keys or [o.variable.name or "output_%d" % i for i, o in enumerate(results)]
    ins = [i for i in f.maker.inputs if not i.shared]
    truth = {
        "id": "made_" + name, "format": "theano", "framework": "theano", "framework_version": theano.__version__,
        "path": "model.pkl", "expect": "ok",
        "signatures": [{
            "name": "function",
            "inputs": [{"name": i.name or i.variable.name or "input_%d" % n, "dtype": i.variable.type.dtype,
                        "shape": list(s), **({"optional": True} if i.value is not None else {})}
                       for n, (i, s) in enumerate(zip(ins, shapes))],
            "outputs": [{"name": key, "dtype": o.variable.type.dtype, "shape": s}
                        for key, o, s in zip(keys, results, given)],
        }],
        "tensors": [{"name": i.variable.name, "dtype": i.variable.type.dtype, "shape": list(i.variable.container.storage[0].shape)}
                    for i in f.maker.inputs if i.shared],
        "determinable": {"format": "stored", "signatures": "derived", "inputs.name": "stored", "inputs.dtype": "stored",
                         "inputs.shape": "derived", "outputs.name": "partial", "outputs.dtype": "stored",
                         "outputs.shape": "derived", "tensors": "stored"},
        "facts": {"pickle_protocol": protocol, "theano.kind": "function"}, "findings": [],
        "source": "generated", "extra": {"protocol": protocol, "optimizer": optimizer},
    }
    with open(folder + "/truth.json", "w") as out:
        json.dump(truth, out, indent=1)
        out.write("\n")
    print(name, os.path.getsize(folder + "/model.pkl"))
