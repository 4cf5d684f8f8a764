"""Makes the fastai models of `testdata/models/fastai`, each with a `truth.json` that fastai told.

    pip install fastai==2.8.* torch==2.15.0     (Python 3.11)     python -P make/fastai_models.py

Run it in `testdata/models`. A truth comes from `load_learner` of the file: names, vocabularies and
`state_dict()` are asked of the Learner, shapes of outputs of a call.
"""
import json, os, random, sys
import numpy as np
import pandas as pd
import torch
from fastai.collab import CollabDataLoaders, collab_learner
from fastai.learner import Learner, load_learner
from fastai.tabular.all import (Categorify, CategoryBlock, FillMissing, Normalize, RegressionBlock, TabularDataLoaders,
                                tabular_learner, range_of)
from fastai.vision.all import (DataBlock, Flatten, ImageBlock, IntToFloatTensor, MultiCategoryBlock, PILImage, Resize, imagenet_stats,
                               nn, vision_learner)
from fastai.vision.all import Normalize as Normal
import fastai

HERE = os.path.join(os.getcwd(), "fastai")


def dt(t):
    return str(t).replace("torch.", "")


def table(model):
    return [{"name": k, "dtype": dt(v.dtype), "shape": [int(n) for n in v.shape]} for k, v in model.state_dict().items()]


def write(name, learner, signatures, facts=None, findings=(), levels=None):
    base = {"format": "stored", "signatures": "derived", "inputs.name": "stored", "inputs.dtype": "derived", "inputs.shape": "derived",
            "outputs.name": "no", "outputs.dtype": "derived", "outputs.shape": "derived", "tensors": "stored",
            "why": "the Learner's data loaders and its model are in the pickle"}
    base.update(levels or {})
    truth = {"id": name, "format": "fastai", "framework": "fastai", "framework_version": fastai.__version__,
             "path": "fastai/%s/export.pkl" % name, "expect": "ok", "signatures": signatures, "tensors": table(learner.model),
             "determinable": base, "notes": "", "source": "generated", "findings": list(findings)}
    if facts:
        truth["facts"] = facts
    with open(os.path.join(HERE, name, "truth.json"), "w") as f:
        json.dump(truth, f, indent=1)
        f.write("\n")


def export(name, learner, **how):
    folder = os.path.join(HERE, name)
    os.makedirs(folder, exist_ok=True)
    # A seed per worker is all that is needed of the state of the random numbers.
    for loader in learner.dls.loaders:
        loader.rng = random.Random(1)
    path = os.path.join(folder, "export.pkl")
    learner.export(path, **how)
    return load_learner(path)


def frame(n=40):
    r = np.random.RandomState(0)
    age = r.rand(n) * 50
    age[::5] = np.nan
    return pd.DataFrame({"age": age, "inc": r.rand(n), "city": r.choice(["ams", "ber"], n), "code": r.choice([3, 5, 9], n),
                         "y": r.choice(["no", "yes", "maybe"], n), "price": r.rand(n), "size": r.rand(n)})


def columns(to, kinds):
    found = []
    for c in to.cat_names:
        if not c.endswith("_na"):
            found.append({"name": c, "dtype": kinds[c], "shape": [None], "kind": "categorical"})
    for c in to.cont_names:
        found.append({"name": c, "dtype": "float64", "shape": [None], "kind": "continuous"})
    return found


def forward(learner, inputs, batch):
    learner.model.eval()
    with torch.no_grad():
        y = learner.model(*batch)
    return {"name": "model.forward", "inputs": inputs,
            "outputs": [{"name": "output", "dtype": dt(y.dtype), "shape": [None] + [int(n) for n in y.shape[1:]]}]}


def tabular(name, y_names, block, facts, **how):
    df = frame()
    dls = TabularDataLoaders.from_df(df, procs=[Categorify, FillMissing, Normalize], cat_names=["city", "code"],
                                     cont_names=["age", "inc"], y_names=y_names, y_block=block, bs=8, seed=1)
    learner = export(name, tabular_learner(dls, layers=[4]), **how)
    to = learner.dls.loaders[0].dataset
    cats, conts = len(to.cat_names), len(to.cont_names)
    batch = (torch.zeros(2, cats, dtype=torch.int64), torch.zeros(2, conts))
    inner = forward(learner, [{"name": "x_cat", "dtype": "int64", "shape": [None, cats]},
                              {"name": "x_cont", "dtype": "float32", "shape": [None, conts]}], batch)
    kinds = {"city": "string", "code": "int64"}
    probs, _ = learner.get_preds(dl=learner.dls.test_dl(df.iloc[:3]))
    outer = {"name": "predict", "inputs": columns(to, kinds),
             "outputs": [{"name": "probs" if hasattr(learner.dls, "vocab") else "predictions", "dtype": dt(probs.dtype),
                          "shape": [None] + [int(n) for n in probs.shape[1:]]}]}
    write(name, learner, [outer, inner], facts(learner))


def vocab(learner):
    return {"classes": [c if isinstance(c, str) else c.item() for c in learner.dls.vocab], "class": type(learner).__module__ + "." + type(learner).__name__}


torch.manual_seed(0)
tabular("fa_classes", "y", CategoryBlock(), vocab)
tabular("fa_classes_protocol4", "y", CategoryBlock(), vocab, pickle_protocol=4)
tabular("fa_regression", "price", RegressionBlock(), lambda l: {"fastai.targets": ["price"]})
tabular("fa_two_targets", ["price", "size"], RegressionBlock(n_out=2), lambda l: {"fastai.targets": ["price", "size"]})


def label(i):
    return "cat" if i % 2 else "dog"


def items(_):
    return list(range(8))


def image(i):
    return PILImage.create(np.full((12, 10, 3), i * 20, dtype=np.uint8))


def vision(name, findings, get_y):
    block = DataBlock(blocks=(ImageBlock, CategoryBlock), get_items=items, get_x=image, get_y=get_y, item_tfms=Resize((8, 6)),
                      batch_tfms=[Normal.from_stats(*imagenet_stats)])
    dls = block.dataloaders(0, bs=2, num_workers=0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, dls.c))
    learner = export(name, Learner(dls, model, loss_func=nn.CrossEntropyLoss()))
    inner = forward(learner, [{"name": "input", "dtype": "float32", "shape": [None, 3, 8, 6]}], (torch.zeros(2, 3, 8, 6),))
    write(name, learner, [inner], dict(vocab(learner), **{"fastai.image_size": [8, 6]}), findings)


# This script's own functions lie in the pickle as code.
vision("fa_vision", ["code-object"], label)


def collab():
    r = np.random.RandomState(0)
    df = pd.DataFrame({"user": r.randint(1, 5, 60), "title": r.choice(["a", "b", "c"], 60), "rating": r.randint(1, 6, 60)})
    for name, net in (("fa_collab", False), ("fa_collab_nn", True)):
        dls = CollabDataLoaders.from_df(df, item_name="title", bs=8, seed=1)
        learner = export(name, collab_learner(dls, n_factors=3, y_range=(0.5, 5.5), use_nn=net, **({"layers": [4]} if net else {})))
        ids = torch.zeros(2, 2, dtype=torch.int64)
        if net:
            inner = forward(learner, [{"name": "x_cat", "dtype": "int64", "shape": [None, 2]}, {"name": "x_cont", "dtype": None, "shape": None}],
                            (ids, torch.zeros(2, 0)))
        else:
            inner = forward(learner, [{"name": "x", "dtype": "int64", "shape": [None, 2]}], (ids,))
        outer = {"name": "predict", "inputs": [{"name": "user", "dtype": "int64", "shape": [None]}, {"name": "title", "dtype": "string", "shape": [None]}],
                 "outputs": [dict(inner["outputs"][0], name="predictions")]}
        write(name, learner, [outer, inner], {"fastai.targets": ["rating"]})


collab()
