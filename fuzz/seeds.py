"""Copies the example models into fuzz/corpus, each where a target reads it. Run at the top: python fuzz/seeds.py"""

import hashlib
import pathlib

MOST = 64 * 1024
ENDINGS = {
    "zip": (".keras", ".zip", ".skops", ".pt", ".pt2", ".npz", ".pkl"),
    "pickle": (".pkl", ".pickle", ".joblib", ".z", ".gz", ".bz2", ".xz", ".lzma", ".lz4"),
    "hdf5": (".h5", ".hdf5", ".keras"),
    "python": (".py",),
    "npy": (".npy",),
    "parquet": (".parquet",),
    "pull": (".json", ".ubj"),
    "detect": ("",),
}

root = pathlib.Path(__file__).parent
for path in sorted((root.parent / "testdata" / "models").rglob("*")):
    if not path.is_file() or path.name == "truth.json" or path.stat().st_size > MOST:
        continue
    content = path.read_bytes()
    for target, endings in ENDINGS.items():
        if path.name.endswith(endings):
            folder = root / "corpus" / target
            folder.mkdir(parents=True, exist_ok=True)
            (folder / hashlib.sha256(content).hexdigest()[:16]).write_bytes(content)
