"""Models to measure with: made of a seed, the same bytes each time, and as large as real ones.

    python3 benches/workloads.py FOLDER [NAME ...]

  weights    2 GiB that look like float32, in four files, and ten Python files
  one        the same in one file
  shrinks    1 GiB that gzip brings to a third, in two files
  small      20,000 files of 1 to 8 KB in nested folders
  base       a base image in an OCI layout: 60 MB in one gzip layer
  huge       10 GiB in one file
  gib-N      N GiB, a file each
  files-N    N files of 1 to 8 KB

`speed.py` makes what it needs of them by itself. FLOE_BENCH_SCALE makes all of them smaller.
"""

import gzip
import hashlib
import io
import json
import os
import random
import shutil
import sys
import tarfile

SCALE = float(os.environ.get("FLOE_BENCH_SCALE", "1"))
MIB = 1 << 20
CHUNK = 16 * MIB
# Sign and exponent of numbers around zero with a deviation of 0.02, by how often they come in 256.
EXPONENTS = {0x3C: 70, 0x3B: 29, 0x3D: 20, 0x3A: 7, 0x39: 2}
TABLE = bytes(top | sign for top, often in EXPONENTS.items() for sign in (0, 0x80) for _ in range(often))
WORDS = "import def return self model predict batch tensor shape request config load weights numpy array for in if".split()


def scaled(size):
    return max(4096, int(size * SCALE) // 4096 * 4096)


def floats(rng, size):
    """Three random bytes, then sign and exponent of a small number: gzip gains seven percent."""
    data = bytearray(rng.randbytes(size))
    data[3::4] = bytes(data[3::4]).translate(TABLE)
    return bytes(data)


def shrinking(rng, size):
    """Floats that were widened from four bits: gzip brings them to a third."""
    codes = bytes(i & 0xF0 for i in range(256))
    data = bytearray(size)
    data[2::4] = rng.randbytes(size // 4).translate(codes)
    data[3::4] = rng.randbytes(size // 4).translate(TABLE)
    return bytes(data)


def write(path, size, rng, make):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        while size:
            n = min(size, CHUNK)
            f.write(make(rng, n))
            size -= n


def text(rng, size):
    words = (rng.choice(WORDS) for _ in iter(int, 1))
    out = io.StringIO()
    while out.tell() < size:
        out.write("# " + " ".join(next(words) for _ in range(rng.randrange(3, 12))) + "\n")
    return out.getvalue().encode()[: size - 1] + b"\n"


def code(folder, rng):
    for i in range(10):
        write(f"{folder}/code/{'handler' if i == 0 else f'module_{i:02}'}.py", 20_000, rng, text)


def weights(folder, rng):
    for i in range(4):
        write(f"{folder}/weights/model-{i + 1:05}-of-00004.bin", scaled(512 * MIB), rng, floats)
    code(folder, rng)


def one(folder, rng):
    write(f"{folder}/weights/model.bin", scaled(2048 * MIB), rng, floats)
    code(folder, rng)


def shrinks(folder, rng):
    for i in range(2):
        write(f"{folder}/weights/part-{i}.bin", scaled(512 * MIB), rng, shrinking)
    code(folder, rng)


def small(folder, rng, count=None):
    pool = floats(rng, MIB) + text(rng, MIB)
    for i in range(count or max(10, int(20_000 * SCALE))):
        size = rng.randrange(1024, 8192)
        at = rng.randrange(len(pool) - size)
        write(f"{folder}/weights/{i // 2000:02}/{i // 100 % 20:02}/f{i:05}.bin", size, rng, lambda _, n: pool[at : at + n])
    code(folder, rng)


def base(folder, rng):
    """An image of one layer, half of it text, as the files of a system are."""
    blobs = f"{folder}/blobs/sha256"
    os.makedirs(blobs)

    def put(data):
        digest = hashlib.sha256(data).hexdigest()
        with open(f"{blobs}/{digest}", "wb") as f:
            f.write(data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for i in range(40):
            data = rng.randbytes(scaled(MIB)) + text(rng, scaled(2 * MIB))
            info = tarfile.TarInfo(f"usr/lib/part-{i:02}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    layer = put(gzip.compress(raw.getvalue(), 1, mtime=0))
    diff = hashlib.sha256(raw.getvalue()).hexdigest()
    rootfs = {"type": "layers", "diff_ids": [f"sha256:{diff}"]}
    config = put(json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}).encode())
    kind = "application/vnd.oci.image."
    manifest = {
        "schemaVersion": 2,
        "mediaType": kind + "manifest.v1+json",
        "config": {"mediaType": kind + "config.v1+json", **config},
        "layers": [{"mediaType": kind + "layer.v1.tar+gzip", **layer}],
    }
    name = {"annotations": {"org.opencontainers.image.ref.name": "latest"}}
    entry = {"mediaType": manifest["mediaType"], **put(json.dumps(manifest).encode()), **name}
    with open(f"{folder}/index.json", "w") as f:
        json.dump({"schemaVersion": 2, "manifests": [entry]}, f)
    with open(f"{folder}/oci-layout", "w") as f:
        f.write('{"imageLayoutVersion":"1.0.0"}')


def huge(folder, rng):
    write(f"{folder}/weights/model.bin", scaled(10240 * MIB), rng, floats)


def numbered(name):
    """A series of which the number says how much."""
    kind, count = name.split("-")
    if kind == "files":
        return lambda folder, rng: small(folder, rng, int(count))

    def gib(folder, _):
        for i in range(int(count)):
            write(f"{folder}/weights/{i}.bin", scaled(1024 * MIB), random.Random(i), floats)

    return gib


MAKERS = {"weights": weights, "one": one, "shrinks": shrinks, "small": small, "base": base, "huge": huge}


def make(work, name):
    """The folder of a workload, made if it is not there; with a time of change that lies back."""
    folder = os.path.join(work, name)
    if not os.path.exists(folder):
        half = folder + ".part"
        shutil.rmtree(half, ignore_errors=True)
        os.makedirs(half)
        (MAKERS.get(name) or numbered(name))(half, random.Random(f"floe {name}"))
        for at, folders, files in os.walk(half):
            for item in files + folders:
                os.utime(os.path.join(at, item), (1_700_000_000, 1_700_000_000))
        os.rename(half, folder)
    return folder


if __name__ == "__main__":
    for each in sys.argv[2:] or list(MAKERS)[:5]:
        print(make(sys.argv[1], each))
