"""Writes the processing functions `function/fn_*` and their truth. Any Python from 3.8 on, nothing else; run in testdata/models.

The truth comes from Python: the functions are imported and called, `inspect` tells their parameters, the call the keys
of what they give.
"""

import importlib.util
import inspect
import json
import os
import shutil
import sys

CASES = {
    "calculator": ('''import os


def add(a, b):
    """Adds."""
    return {"sum": a + b}


def divide(a, b=1):
    if not b:
        return {'quotient': None, 'rest': a}
    return {'quotient': a // b, 'rest': a % b}


def _hidden(a):
    return {"x": a}


def unclear(**kwargs):
    return dict(kwargs)
''', {"add": (1, 2), "divide": (3, 2)}, {"imports": ["os"]}),
    "tokenizer": ('''# -*- coding: utf-8 -*-
from __future__ import annotations

import json, re as pattern
from near import words  # beside this file


def tokenize(text: str, *, lower: bool = True) -> dict:
    """Text in,
    tokens out: {"not": "this"}"""
    def inner(x):
        return [x]
    tokens = inner(pattern.split(r"\\s+", text))[0]
    return {"tokens": tokens,
            "count": len(tokens), "shown": f"{json.dumps({'n': len(tokens)})!s:>{10}}"}
''', {"tokenize": ("a b",)}, {"imports": ["__future__", "json", "re"]}),
}

sys.dont_write_bytecode = True
for case, (source, calls, facts) in CASES.items():
    name = "fn_" + case
    folder = os.path.join("function", name)
    shutil.rmtree(folder, ignore_errors=True)
    code = os.path.join(folder, "model", "src")
    os.makedirs(code)
    with open(os.path.join(code, "func_main.py"), "w", encoding="utf-8") as f:
        f.write(source)
    with open(os.path.join(code, "near.py"), "w") as f:
        f.write("words = []\n")
    sys.path.insert(0, code)
    spec = importlib.util.spec_from_file_location("func_main", os.path.join(code, "func_main.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    signatures = []
    for function, arguments in calls.items():
        f = getattr(module, function)
        inputs = [{"name": p.name, "dtype": None, "shape": None, "optional": p.default is not p.empty}
                  for p in inspect.signature(f).parameters.values()]
        outputs = [{"name": key, "dtype": None, "shape": None} for key in f(*arguments)]
        signatures.append({"name": function, "inputs": inputs, "outputs": outputs})
    truth = {"id": name, "format": "function", "framework": "python", "path": f"function/{name}/model", "expect": "ok",
             "signatures": signatures, "facts": facts, "findings": [], "source": "generated",
             "determinable": {"format": "stored", "signatures": "stored", "inputs.name": "derived",
                              "inputs.dtype": "no", "inputs.shape": "no", "outputs.name": "derived",
                              "outputs.dtype": "no", "outputs.shape": "no", "tensors": "n/a"}}
    with open(os.path.join(folder, "truth.json"), "w") as f:
        json.dump(truth, f, indent=1, sort_keys=True)
        f.write("\n")
    sys.path.pop(0)
