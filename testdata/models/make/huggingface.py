"""Writes tiny models of transformers with random weights, and their truth by running them.

Python 3.11, transformers 5.23.0, torch 2.15.0, safetensors 0.8.0:  python huggingface.py   (in this folder)

A model runs twice, with different numbers of texts, words and pixels; what differs is not fixed.
"""

import json
import sys
from pathlib import Path

sys.path = [p for p in sys.path if Path(p or ".").resolve() != Path(__file__).resolve().parent]

import torch
import transformers as t
from safetensors import safe_open

ROOT = Path(__file__).resolve().parent.parent / "huggingface"
NAMES = {"F32": "float32", "I64": "int64", "BOOL": "bool"}
t.utils.logging.disable_progress_bar()


def write(case, cls, config, feed, task, shard="100MB", **facts):
    torch.manual_seed(0)
    model = getattr(t, cls)(config).eval()
    runs = []
    for batch, length in ((2, 7), (3, 9)):
        given = feed(batch, length)
        with torch.no_grad():
            got = {k: v for k, v in model(**given).items() if isinstance(v, torch.Tensor)}
        runs.append((given, got))

    def side(i):
        first, second = runs[0][i], runs[1][i]
        return [{"name": k, "dtype": str(v.dtype).split(".")[1],
                 "shape": [a if a == b else None for a, b in zip(v.shape, second[k].shape)]}
                for k, v in first.items()]

    folder = ROOT / case / "model"
    model.save_pretrained(folder, max_shard_size=shard)
    tensors = []
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as f:
            for key in f.keys():
                piece = f.get_slice(key)
                tensors.append({"name": key, "dtype": NAMES[piece.get_dtype()], "shape": piece.get_shape()})
    levels = {f"{s}.{f}": "derived" for s in ("inputs", "outputs") for f in ("name", "dtype", "shape")}
    (ROOT / case / "truth.json").write_text(json.dumps({
        "id": case, "format": "huggingface", "framework": "transformers", "framework_version": t.__version__,
        "path": f"huggingface/{case}/model", "expect": "ok",
        "signatures": [{"name": "forward", "inputs": side(0), "outputs": side(1)}], "tensors": tensors,
        "determinable": {"format": "stored", "signatures": "derived", **levels, "tensors": "stored"},
        "notes": "", "source": "generated",
        "facts": {"task": task, "huggingface.architectures": [cls], "huggingface.model_type": config.model_type, **facts},
    }, indent=1) + "\n")


def words(b, n):
    return torch.randint(3, 30, (b, n))


def text(types=False):
    def feed(b, n):
        given = {"input_ids": words(b, n), "attention_mask": torch.ones(b, n, dtype=torch.long)}
        if types:
            given["token_type_ids"] = torch.zeros(b, n, dtype=torch.long)
        return given
    return feed


SMALL = dict(vocab_size=40, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=12,
             max_position_embeddings=32, pad_token_id=0, bos_token_id=1, eos_token_id=2)
LABELS = {0: "cat", 1: "dog", 2: "bird"}
write("hf_bert_classes", "BertForSequenceClassification",
      t.BertConfig(**SMALL, id2label=LABELS, label2id={v: k for k, v in LABELS.items()}), text(True),
      "text-classification", classes=list(LABELS.values()))
write("hf_bert", "BertModel", t.BertConfig(**SMALL), text(True), "feature-extraction")
write("hf_roberta_words", "RobertaForMaskedLM", t.RobertaConfig(**SMALL), text(), "fill-mask")
write("hf_llama_parts", "LlamaForCausalLM", t.LlamaConfig(**SMALL, num_key_value_heads=2), text(),
      "text-generation", shard="2KB")
write("hf_t5", "T5ForConditionalGeneration",
      t.T5Config(vocab_size=40, d_model=8, d_kv=4, d_ff=12, num_layers=1, num_heads=2, decoder_start_token_id=0),
      lambda b, n: text()(b, n) | {"decoder_input_ids": words(b, n - 3)}, "text2text-generation")
write("hf_vit", "ViTForImageClassification",
      t.ViTConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=12,
                  image_size=[16, 24], patch_size=8, num_labels=4),
      lambda b, n: {"pixel_values": torch.randn(b, 3, 16, 24)}, "image-classification")
write("hf_resnet", "ResNetForImageClassification",
      t.ResNetConfig(embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic", num_labels=4),
      lambda b, n: {"pixel_values": torch.randn(b, 3, 8 * n, 8 * n + b)}, "image-classification")
write("hf_whisper", "WhisperForConditionalGeneration",
      t.WhisperConfig(vocab_size=40, d_model=8, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
                      decoder_attention_heads=2, encoder_ffn_dim=12, decoder_ffn_dim=12, max_source_positions=10,
                      max_target_positions=16, num_mel_bins=6, pad_token_id=0, bos_token_id=1, eos_token_id=2,
                      decoder_start_token_id=3, suppress_tokens=[], begin_suppress_tokens=[]),
      lambda b, n: {"input_features": torch.randn(b, 6, 20), "decoder_input_ids": words(b, n)},
      "automatic-speech-recognition")
