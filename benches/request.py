#!/usr/bin/env python3
"""Writes the body of an infer request for a model, with made-up values, for the serving benchmarks.

usage: request.py MODEL.onnx [BATCH] > REQUEST.json
"""
import json
import sys

import numpy as np
import onnxruntime as ort

options = ort.SessionOptions()
options.log_severity_level = 4
session = ort.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
batch = int(sys.argv[2]) if len(sys.argv) > 2 else 1
words = {"tensor(float)": "FP32", "tensor(double)": "FP64", "tensor(int64)": "INT64", "tensor(int32)": "INT32", "tensor(string)": "BYTES", "tensor(bool)": "BOOL"}  # fmt: skip
random = np.random.default_rng(5)
inputs = []
for i in session.get_inputs():
    shape = [d if isinstance(d, int) and d > 0 else batch for d in i.shape]
    word, n = words[i.type], int(np.prod(shape))
    if word == "BYTES":
        data = ["a"] * n
    elif word == "BOOL":
        data = [True] * n
    elif word.startswith("INT"):
        data = random.integers(0, 3, n).tolist()
    else:
        data = [round(float(x), 4) for x in random.random(n)]
    inputs.append({"name": i.name, "shape": shape, "datatype": word, "data": data})
json.dump({"inputs": inputs}, sys.stdout)
