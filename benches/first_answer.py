#!/usr/bin/env python3
"""From a model file to the first answer of the running image, and what the image weighs.

usage: first_answer.py FLOE MODEL.onnx REQUEST.json [ROUNDS]

Each round builds the image into a new OCI layout, unpacks it with umoci, starts it with runc (as
root, host network, read-only) and asks until it answers; `ready` is from the start of the process to
the first 200 of /v2/health/ready, asked every millisecond. Prints medians as a Markdown table.
`REQUEST.json` is the body of an infer request; `benches/request.py` writes one for a model.
"""
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time

floe, model, request = (os.path.abspath(a) for a in sys.argv[1:4])
rounds = int(sys.argv[4]) if len(sys.argv) > 4 else 10
body = open(request, "rb").read()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def ask(port, method, path, data=None):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        c.request(method, path, data)
        return c.getresponse().status
    except (ConnectionError, http.client.HTTPException, OSError):
        return None
    finally:
        c.close()


def until(port, method, path, data=None):
    end = time.monotonic() + 30
    while ask(port, method, path, data) != 200:
        if time.monotonic() > end:
            sys.exit(f"no answer at {path}")
        time.sleep(0.001)


def run(*command, **kw):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **kw)


def bundle_config(path, port, grpc):
    with open(path) as f:
        config = json.load(f)
    config["process"]["terminal"] = False
    config["process"]["env"] += [f"FLOE_SERVE_HTTP_PORT={port}", f"FLOE_SERVE_GRPC_PORT={grpc}"]
    config["root"]["readonly"] = True
    config["linux"]["namespaces"] = [n for n in config["linux"]["namespaces"] if n["type"] not in ("network", "cgroup")]
    config["process"]["rlimits"] = []
    config["mounts"] = [m for m in config["mounts"] if m["type"] != "cgroup"]
    with open(path, "w") as f:
        json.dump(config, f)


rows = {"build": [], "unpack": [], "start to ready": [], "first answer after ready": [], "build + start + first answer": []}
size = rss = peak = 0
for n in range(rounds):
    with tempfile.TemporaryDirectory() as d:
        t0 = time.monotonic()
        run(floe, "build", model, "--name", "m", "-o", f"oci:{d}/layout:it")
        t1 = time.monotonic()
        run("umoci", "unpack", "--image", f"{d}/layout:it", f"{d}/bundle")
        port, grpc = free_port(), free_port()
        bundle_config(f"{d}/bundle/config.json", port, grpc)
        t2 = time.monotonic()
        server = subprocess.Popen(["runc", "run", "--bundle", f"{d}/bundle", f"floe-bench-{os.getpid()}-{n}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            until(port, "GET", "/v2/health/ready")
            t3 = time.monotonic()
            until(port, "POST", "/v2/models/m/infer", body)
            t4 = time.monotonic()
            found = subprocess.run(["pgrep", "-f", "^/floe serve"], capture_output=True, text=True).stdout.split()
            status = open(f"/proc/{found[-1]}/status").read() if found else ""
            for line in status.splitlines():
                if line.startswith("VmRSS:"):
                    rss = int(line.split()[1]) / 1024
                if line.startswith("VmHWM:"):
                    peak = int(line.split()[1]) / 1024
        finally:
            run("runc", "kill", f"floe-bench-{os.getpid()}-{n}", "TERM")
            server.wait()
        blobs = f"{d}/layout/blobs/sha256"
        size = sum(os.path.getsize(f"{blobs}/{b}") for b in os.listdir(blobs))
    for key, value in zip(rows, (t1 - t0, t2 - t1, t3 - t2, t4 - t3, (t1 - t0) + (t4 - t2))):
        rows[key].append(value)

weight = os.path.getsize(model) / 2**20
print("| what | median ms | least | most |\n|---|---|---|---|")
for key, values in rows.items():
    print(f"| {key} | {statistics.median(values) * 1e3:.0f} | {min(values) * 1e3:.0f} | {max(values) * 1e3:.0f} |")
print(f"\nmodel {weight:.1f} MiB, all blobs of the image {size / 2**20:.1f} MiB, server RSS {rss:.0f} MiB, its peak {peak:.0f} MiB")
