"""Copies the example models into fuzz/corpus, each where a target reads it, or the part that it reads.

How to fuzz, with the stable toolchain; what it makes is not committed:

    cargo install cargo-fuzz --locked
    python3 fuzz/seeds.py
    cargo fuzz run --sanitizer none TARGET -- -max_total_time=120 -timeout=2 -rss_limit_mb=512

`cargo fuzz list` names the targets. floe has no `unsafe`, so a sanitizer finds nothing more; overflow and
failed assertions end a run, and so does a claim to more memory than `fuzz_targets/shared` grants. A unit that is
only slow is judged by an ordinary build (`floe infer`): the fuzzer's own is many times slower.
"""

import hashlib
import pathlib
import re
import zipfile

MOST = 64 * 1024
# The files that a target reads whole: a pattern of their path below testdata/models.
WHOLE = {
    "catboost": r"catboost/.*\.(cbm|json)",
    "detect": r".*",
    "function": r"function/.*\.py",
    "gguf": r"gguf/.*\.gguf",
    "h2o": r"h2o/.*\.ini",
    "hdf5": r".*\.(h5|hdf5)",
    "huggingface": r"huggingface/.*config\.json",
    "keras_h5": r"keras/.*\.(h5|hdf5)",
    "keras_json": r"keras/.*\.json",
    "lightgbm": r"lightgbm/.*\.txt",
    "mlflow": r".*/MLmodel",
    "mxnet_params": r"mxnet/.*\.params",
    "mxnet_symbol": r"mxnet/.*\.json",
    "npy": r".*\.npy",
    "onnx": r"(onnx|mlflow)/.*\.onnx",
    "parquet": r".*\.parquet",
    "pickle": r".*\.(pkl|pickle|joblib|z|gz|bz2|xz|lzma|lz4)",
    "pickled": r".*\.(pkl|pickle|joblib|z|gz|bz2|xz|lzma|lz4)",
    "pull": r".*\.(json|ubj)",
    "python": r".*\.py",
    "safetensors": r".*\.safetensors",
    "saved_model": r"tensorflow/.*saved_model\.pb",
    "saved_model_text": r"tensorflow/.*\.pbtxt",
    "frozen_graph": r"tensorflow/.*\.pb",
    "spark": r"spark/.*metadata/part-[^/]*",
    "tflite": r".*\.tflite",
    "xgboost": r"xgboost/.*",
    "zip": r".*\.(keras|zip|skops|pt|pth|pt2|ptl|npz|pkl)",
}
# The entries of archives that a target reads: a pattern of their name.
ENTRIES = {
    "h2o": r"model\.ini",
    "keras_json": r"config\.json",
    "keras_h5": r"model\.weights\.h5",
    "hdf5": r".*\.h5",
    "npy": r".*\.npy",
    "pt2": r".*(models/model|serialized_exported_program)\.json",
    "skops": r"schema\.json",
    "torch": r".*data\.pkl",
    "torchscript": r".*/code/.*\.py",
}
# The lists of packages: the target's first byte says which one.
LISTS = ["requirements.txt", "pyproject.toml", "conda.yaml", "python_env.yaml"]

root = pathlib.Path(__file__).parent
testdata = root.parent / "testdata"


def seed(target: str, content: bytes) -> None:
    if 0 < len(content) <= MOST:
        folder = root / "corpus" / target
        folder.mkdir(parents=True, exist_ok=True)
        (folder / hashlib.sha256(content).hexdigest()[:16]).write_bytes(content)


for path in sorted((testdata / "models").rglob("*")):
    if not path.is_file() or path.name == "truth.json":
        continue
    name = path.relative_to(testdata / "models").as_posix()
    content = path.read_bytes()
    for target, pattern in WHOLE.items():
        if re.fullmatch(pattern, name):
            seed(target, content)
    if path.name in LISTS:
        seed("packages", bytes([LISTS.index(path.name)]) + content)
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                for target, pattern in ENTRIES.items():
                    if entry.file_size <= MOST and re.fullmatch(pattern, entry.filename):
                        seed(target, archive.read(entry))
    except zipfile.BadZipFile:
        pass

# No example is a text: they are as large as the model.
seed("saved_model_text", (root / "saved_model.pbtxt").read_bytes())
for path in sorted((testdata / "hostile").rglob("*")):
    if path.is_file():
        seed("detect", path.read_bytes())
for path in sorted((testdata / "definitions").iterdir()):
    seed("definition", path.read_bytes())
