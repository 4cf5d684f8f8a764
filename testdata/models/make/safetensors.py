"""Writes models of safetensors with the reference implementation, and their truth as it reads them.

Python 3.11, safetensors 0.8.0, numpy 2, ml_dtypes:  python safetensors.py   (in this folder)
"""

import json
import sys
from pathlib import Path

sys.path = [p for p in sys.path if Path(p or ".").resolve() != Path(__file__).resolve().parent]

import ml_dtypes
import numpy as np
import safetensors
from safetensors import safe_open
from safetensors.numpy import save_file

ROOT = Path(__file__).resolve().parent.parent / "safetensors"
NAMES = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "I16": "int16", "U16": "uint16", "I32": "int32",
    "U32": "uint32", "I64": "int64", "U64": "uint64", "F16": "float16", "BF16": "bfloat16",
    "F32": "float32", "F64": "float64", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2",
    "C64": "complex64",
}


def truth(case, path, files, facts):
    tensors = []
    for file in files:
        with safe_open(file, "np") as f:
            for key in f.keys():
                piece = f.get_slice(key)
                tensors.append({"name": key, "dtype": NAMES[piece.get_dtype()], "shape": piece.get_shape()})
    (ROOT / case / "truth.json").write_text(json.dumps({
        "id": case, "format": "safetensors", "framework": "safetensors",
        "framework_version": safetensors.__version__, "path": f"safetensors/{case}/{path}", "expect": "ok",
        "signatures": [], "tensors": tensors,
        "determinable": {"format": "stored", "signatures": "no", "inputs.name": "no", "inputs.dtype": "no",
                         "inputs.shape": "no", "outputs.name": "no", "outputs.dtype": "no",
                         "outputs.shape": "no", "tensors": "stored"},
        "notes": "", "source": "generated", "facts": facts,
    }, indent=1) + "\n")


def folder(case):
    (ROOT / case).mkdir(parents=True, exist_ok=True)
    return ROOT / case


kinds = ["bool", "uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16",
         "float32", "float64"]
tensors = {f"layer.{k}": np.zeros((2, i), k) for i, k in enumerate(kinds)}
tensors["scalar"] = np.zeros((), np.float32)
for k in ("bfloat16", "float8_e4m3fn", "float8_e5m2"):
    tensors[f"small.{k}"] = np.zeros((1, 3), getattr(ml_dtypes, k))
file = folder("st_all_dtypes") / "weights.safetensors"
save_file(tensors, file, metadata={"format": "np", "note": "made for a test"})
truth("st_all_dtypes", file.name, [file], {
    "safetensors.format": "np", "safetensors.metadata.note": "made for a test",
    "parameters": sum(int(np.prod(t.shape)) for t in tensors.values()),
})

parts = folder("st_parts") / "model"
parts.mkdir(exist_ok=True)
files = []
for i in (1, 2, 3):
    files.append(parts / f"model-{i:05}-of-00003.safetensors")
    save_file({f"block.{i}.w": np.zeros((i, 4), np.float16)}, files[-1], metadata={"format": "pt"})
index = {"metadata": {}, "weight_map": {f"block.{i}.w": files[i - 1].name for i in (1, 2, 3)}}
(parts / "model.safetensors.index.json").write_text(json.dumps(index))
truth("st_parts", "model", files, {"parameters": 24, "weight_dtypes": {"float16": 3}})
