"""Writes models of GGUF with ggml's own package, and their truth as it reads them.

Python 3.11, gguf 0.19.0, numpy 2:  python gguf.py   (in this folder)
"""

import json
import sys
from pathlib import Path

sys.path = [p for p in sys.path if Path(p or ".").resolve() != Path(__file__).resolve().parent]

import gguf
import numpy as np

ROOT = Path(__file__).resolve().parent.parent / "gguf"


def truth(case, path, files, facts):
    tensors = []
    for file in files:
        for t in gguf.GGUFReader(file).tensors:
            shape = [int(d) for d in reversed(t.shape)]
            tensors.append({"name": t.name, "dtype": t.tensor_type.name.lower(), "shape": shape})
    (ROOT / case / "truth.json").write_text(json.dumps({
        "id": case, "format": "gguf", "framework": "gguf", "framework_version": "gguf 0.19.0",
        "path": f"gguf/{case}/{path}", "expect": "ok", "signatures": [], "tensors": tensors,
        "determinable": {"format": "stored", "signatures": "no", "inputs.name": "no", "inputs.dtype": "no",
                         "inputs.shape": "no", "outputs.name": "no", "outputs.dtype": "no",
                         "outputs.shape": "no", "tensors": "stored"},
        "notes": "", "source": "generated", "facts": facts,
    }, indent=1) + "\n")


def write(file, big=False, split=None, kinds=None, names="abc"):
    file.parent.mkdir(parents=True, exist_ok=True)
    endian = gguf.GGUFEndian.BIG if big else gguf.GGUFEndian.LITTLE
    w = gguf.GGUFWriter(file, "qwen2", endianess=endian)
    w.add_name("tiny")
    w.add_context_length(128)
    w.add_embedding_length(256)
    w.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_K_M)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_causal_attention(True)
    w.add_token_list([f"<{i}>" for i in range(7)])
    w.add_token_scores([0.5] * 7)
    w.add_chat_template("{% for m in messages %}{{ m.content }}{% endfor %}")
    w.add_custom_alignment(64)
    w.add_uint64("tiny.u64", 1 << 60)
    w.add_int8("tiny.i8", -3)
    w.add_float64("tiny.f64", 0.25)
    if split:
        w.add_uint16("split.no", split[0])
        w.add_uint16("split.count", split[1])
    for i, kind in enumerate(kinds or ["F32"]):
        kind = gguf.GGMLQuantizationType[kind]
        block, size = gguf.GGML_QUANT_SIZES[kind]
        name = f"{names[i % 3]}.{i}.{kind.name.lower()}"
        w.add_tensor(name, np.zeros((3, size), np.uint8), raw_dtype=kind) if block > 1 else w.add_tensor(
            name, np.zeros((3, 4), {"F32": "f4", "F16": "f2", "I8": "i1", "F64": "f8"}[kind.name]))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    return file


QUANTS = ["F32", "F16", "I8", "F64", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K",
          "Q6_K", "IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S", "IQ4_NL", "IQ3_S", "IQ2_S", "IQ4_XS", "IQ1_M",
          "BF16", "TQ1_0", "TQ2_0", "MXFP4"]
FACTS = {
    "gguf.version": 3, "gguf.general.architecture": "qwen2", "gguf.general.name": "tiny",
    "gguf.qwen2.context_length": 128, "gguf.quantization": "Q4_K_M", "gguf.general.alignment": 64,
    "gguf.qwen2.attention.layer_norm_rms_epsilon": 1e-5, "gguf.qwen2.attention.causal": True,
    "gguf.tokenizer.ggml.tokens.length": 7, "gguf.tokenizer.ggml.scores.length": 7,
    "gguf.tiny.u64": 1 << 60, "gguf.tiny.i8": -3, "gguf.tiny.f64": 0.25,
}
QUANTS.remove("BF16")  # gguf packs it from numpy's integers only
file = write(ROOT / "gg_all_types" / "tiny.gguf", kinds=QUANTS)
truth("gg_all_types", "tiny.gguf", [file], FACTS)
file = write(ROOT / "gg_big_endian" / "tiny.gguf", big=True)
truth("gg_big_endian", "tiny.gguf", [file], FACTS | {"gguf.byte_order": "big"})
files = [write(ROOT / "gg_split" / "model" / f"tiny-{i + 1:05}-of-00002.gguf", split=(i, 2), names="pq"[i] * 3)
         for i in (0, 1)]
truth("gg_split", "model", files, FACTS | {"gguf.split.count": 2, "weight_dtypes": {"f32": 2}})
