"""Compares what floe tells of models with what their frameworks said when the scripts beside this one made them.

usage: python score.py FLOE FOLDER [FOLDER ...] [--missing] [--wrong]

A FOLDER has an `index.json` with truths, or a `truth.json` for each model. A fact is a dtype or a shape of a tensor that
the files hold (`stored` or `derived` in the truth); telling less is no wrong fact, telling something else is. Where a framework says one
thing and computes another (`after` in the truth), the fact is not counted, and only what is neither is wrong. The tests hold the
examples of the repository to the same rules (`tests/it/formats/score.rs`).
"""
from __future__ import print_function

import collections
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor


def truths(folder):
    index = os.path.join(folder, "index.json")
    if os.path.exists(index):
        with open(index) as f:
            for truth in json.load(f):
                yield truth, os.path.join(folder, truth["path"])
        return
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name, "truth.json")
        if os.path.exists(path):
            with open(path) as f:
                truth = json.load(f)
            below = truth["path"].split("/", 2)
            yield truth, os.path.join(folder, name, *below[2:])


def told(floe, path):
    answer = subprocess.run([floe, "infer", "--json", path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return json.loads(answer.stdout)


def compare(field, found, truth):
    if found is None:
        return "right" if truth is None and field == "shape" else "missing"
    if field == "dtype":
        return "right" if found == truth else "wrong"
    if truth is None:
        return "right"
    if len(found) != len(truth):
        return "wrong"
    pairs = [(a, b) for a, b in zip(found, truth) if a != b]
    return "wrong" if any(a is not None for a, _ in pairs) else "missing" if pairs else "right"


def facts(truth, answer):
    """What was compared: a name for it, whether the files hold it, and how it came out."""
    levels = truth["determinable"]
    overrides = levels.get("overrides") or {}
    by_name = {s.get("name"): s for s in answer.get("signatures") or []}
    after = {t["name"]: t for t in truth.get("after") or []}
    for number, wanted in enumerate(truth["signatures"]):
        found = by_name.get(wanted["name"])
        if found is None and len(by_name) == 1 and len(truth["signatures"]) == 1:
            found = answer["signatures"][0]
        for side in ("inputs", "outputs"):
            tensors = (found or {}).get(side) or []
            names = {t.get("name"): t for t in tensors}
            for at, tensor in enumerate(wanted[side]):
                own = names.get(tensor["name"]) or (tensors[at] if at < len(tensors) else {})
                for field in ("dtype", "shape"):
                    if tensor[field] is None and field == "dtype":
                        continue
                    spot = "/signatures/%d/%s/%d/%s" % (number, side, at, field)
                    level = overrides.get(spot, levels.get("%s.%s" % (side, field)))
                    how = compare(field, own.get(field), tensor[field])
                    held = level in ("stored", "derived")
                    other = after.get(tensor["name"], tensor)[field] if side == "outputs" else tensor[field]
                    if other != tensor[field]:
                        held = False
                        if how == "wrong":
                            how = compare(field, own.get(field), other)
                    yield "%s %s %s" % (wanted["name"], side, tensor["name"]), held, how, own.get(field), tensor[field]


def main():
    floe, more = sys.argv[1], [a for a in sys.argv[2:] if a.startswith("--")]
    print("| models | how many | inputs right | outputs right | wrong |\n|---|---|---|---|---|")
    for folder in (a for a in sys.argv[2:] if not a.startswith("--")):
        cases = list(truths(folder))
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            answers = list(pool.map(lambda case: told(floe, case[1]), cases))
        count, lines = collections.Counter(), []
        for (truth, _), answer in zip(cases, answers):
            for what, held, how, found, wanted in facts(truth, answer):
                side = "inputs" if " inputs " in what else "outputs"
                if held:
                    count[side] += 1
                    count[side, how] += 1
                count["wrong"] += how == "wrong"
                if "--" + how in more and (held or how == "wrong"):
                    lines.append("  %s: %s: told %s, is %s" % (truth["id"], what, found, wanted))
        right = lambda side: "%d of %d" % (count[side, "right"], count[side])
        print("| %s | %d | %s | %s | %d |" % (os.path.basename(folder.rstrip("/")), len(cases), right("inputs"), right("outputs"), count["wrong"]))
        print("\n".join(lines), end="\n" if lines else "")


if __name__ == "__main__":
    main()
