"""Writes the hostile files of this folder, byte by byte; needs nothing but Python."""


def varint(n):
    out = b""
    n &= (1 << 64) - 1
    while n >= 0x80:
        out += bytes([n & 0x7F | 0x80])
        n >>= 7
    return out + bytes([n])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def nest(leaf, depth, *path):
    for _ in range(depth):
        for number in path:
            leaf = field(number, leaf)
    return leaf


def onnx(graph):
    return field(1, 8) + field(7, graph)


FLOAT = field(1, field(1, 1))
FILES = {
    # A graph that claims to be longer than any file.
    "length.onnx": field(1, 8) + varint(7 << 3 | 2) + varint(1 << 62) + field(11, field(1, b"x")),
    # A sequence of sequences of sequences.
    "types.onnx": onnx(field(11, field(1, b"x") + field(2, nest(FLOAT, 500, 1, 4)))),
    # Groups that open and never close, where a graph would be.
    "groups.onnx": field(1, 8) + field(7, field(2, b"g") + b"\x0b" * 5000),
    # Shapes that no tensor has.
    "rank.onnx": onnx(field(11, field(1, b"x") + field(2, field(1, field(1, 1) + field(2, field(1, b"") * 5000))))),
    # A name that is not UTF-8.
    "name.onnx": onnx(field(11, field(1, b"\xff\xfe") + field(2, FLOAT))),
    # A SavedModel whose last meta graph is cut off.
    "cut/saved_model.pb": (field(1, 1) + field(2, field(1, field(4, b"serve")) + field(2, b"\0" * 99)))[:60],
    # Text that never stops opening brackets.
    "deep/saved_model.pbtxt": b"saved_model_schema_version: 1\nmeta_graphs {" + b"a {" * 2000,
}

if __name__ == "__main__":
    import os

    for name, content in FILES.items():
        os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
        with open(name, "wb") as f:
            f.write(content)
