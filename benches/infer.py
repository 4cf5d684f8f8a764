"""What `floe infer` takes for big and for hostile files: seconds and peak memory of each.

usage: python benches/infer.py FLOE     FLOE is the program, as target/x86_64-unknown-linux-gnu/release/floe

The 10 GB files are sparse: a header, a table, and a hole where the weights would be. The hostile ones are as large as
the limits let them be.
"""

import gzip
import json
import os
import struct
import subprocess
import sys
import tempfile
import time

BYTES = 10_000_000_000


def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def field(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


def number(at, value):
    return varint(at << 3) + varint(value)


def hole(path, before, after=b""):
    with open(path, "wb") as f:
        f.write(before)
        f.truncate(len(before) + BYTES)
        f.seek(0, 2)
        f.write(after)


def safetensors(path):
    header = json.dumps({"w": {"dtype": "F32", "shape": [BYTES // 4], "data_offsets": [0, BYTES]}}).encode()
    hole(path, struct.pack("<Q", len(header)) + header)


def gguf(path):
    def text(b):
        return struct.pack("<Q", len(b)) + b
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + text(b"general.architecture") + struct.pack("<I", 8) + text(b"llama")
    head += text(b"w") + struct.pack("<IQIQ", 1, BYTES // 4, 0, 0)
    hole(path, head + b"\0" * (-len(head) % 32))


def onnx(path):
    def value(name):
        return field(1, name) + field(2, field(1, number(1, 1) + field(2, field(1, number(1, 4)))))
    tensor = number(1, BYTES // 4) + number(2, 1) + field(8, b"w") + varint(9 << 3 | 2) + varint(BYTES)
    before = field(1, field(1, b"x") + field(2, b"y") + field(4, b"Identity")) + field(2, b"g")
    before += varint(5 << 3 | 2) + varint(len(tensor) + BYTES) + tensor
    after = field(11, value(b"x")) + field(12, value(b"y"))
    model = number(1, 8) + field(8, number(2, 17)) + varint(7 << 3 | 2) + varint(len(before) + BYTES + len(after))
    hole(path, model + before, after)


def write(path, content):
    with open(path, "wb") as f:
        f.write(content)


def pickle_of_lists(path):
    write(path, b"\x80\x02csklearn.svm\nSVC\n" + b"]" * 60_000_000 + b".")


def pickle_of_memos(path):
    write(path, b"\x80\x02csklearn.svm\nSVC\n" + b"".join(b"]r" + struct.pack("<I", n) for n in range(8_000_000)) + b".")


def pickle_bomb(path):
    write(path, gzip.compress(b"\x80\x02csklearn.svm\nSVC\n" + b"]" * 500_000_000 + b".", 9))


def deep_json(path):
    write(path, b'{"learner":{"attributes":' + b"[" * 60_000_000)


def wide_json(path):
    write(path, b'{"learner":{"attributes":{' + b",".join(b'"%d":0' % n for n in range(6_000_000)) + b"}}}")


def wide_safetensors(path):
    one = '"%d":{"dtype":"F32","shape":[],"data_offsets":[%d,%d]}'
    header = "{" + ",".join(one % (n, 4 * n, 4 * n + 4) for n in range(900_000)) + "}"
    write(path, struct.pack("<Q", len(header)) + header.encode() + b"\0" * 3_600_000)


def text_of_names(path):
    names = " ".join("f%d" % n for n in range(5_000_000))
    write(path, b"tree\nversion=v4\nnum_class=1\nmax_feature_idx=4999999\nfeature_names=" + names.encode() + b"\n")


FILES = {
    "10 GB safetensors": ("m.safetensors", safetensors),
    "10 GB GGUF": ("m.gguf", gguf),
    "10 GB ONNX": ("m.onnx", onnx),
    "pickle, 60 M lists": ("m.pkl", pickle_of_lists),
    "pickle, 8 M memos": ("m.pkl", pickle_of_memos),
    "pickle, 500 MB in gzip": ("m.pkl.gz", pickle_bomb),
    "JSON, 60 M deep": ("m.json", deep_json),
    "JSON, 6 M keys": ("m.json", wide_json),
    "safetensors, 900 k tensors": ("m.safetensors", wide_safetensors),
    "LightGBM, 5 M names": ("m.txt", text_of_names),
}

if sys.argv[1] == "--make":
    FILES[sys.argv[2]][1](sys.argv[3])
    sys.exit()

for title, (name, _) in FILES.items():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, name)
        # In a process of its own: what this one has held would count as its children's.
        subprocess.run([sys.executable, __file__, "--make", title, path], check=True)
        times, peaks = [], []
        for _ in range(3):
            begin = time.perf_counter()
            process = subprocess.Popen([sys.argv[1], "infer", "--json", path], stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
            _, status, usage = os.wait4(process.pid, 0)
            times.append(time.perf_counter() - begin)
            peaks.append(usage.ru_maxrss / 1024)
        code = os.waitstatus_to_exitcode(status)
        print(f"{title:28} {min(times) * 1000:7.0f} ms {min(peaks):6.1f} MiB  exit {code}", flush=True)
