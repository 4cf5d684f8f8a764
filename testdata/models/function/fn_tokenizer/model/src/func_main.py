# -*- coding: utf-8 -*-
from __future__ import annotations

import json, re as pattern
from near import words  # beside this file


def tokenize(text: str, *, lower: bool = True) -> dict:
    """Text in,
    tokens out: {"not": "this"}"""
    def inner(x):
        return [x]
    tokens = inner(pattern.split(r"\s+", text))[0]
    return {"tokens": tokens,
            "count": len(tokens), "shown": f"{json.dumps({'n': len(tokens)})!s:>{10}}"}
