"""Tensors of a GGUF file (f32 and f16), with the standard library alone: {name: [numbers]}. For tests."""
import array
import struct

SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}


def read(path):
    data = open(path, "rb").read()
    at = 8

    def number(form):
        nonlocal at
        value = struct.unpack_from("<" + form, data, at)[0]
        at += struct.calcsize(form)
        return value

    def text():
        nonlocal at
        n = number("Q")
        at += n
        return data[at - n:at].decode()

    def skip(kind):
        nonlocal at
        if kind == 8:
            text()
        elif kind == 9:
            of, n = number("I"), number("Q")
            for _ in range(n):
                skip(of)
        else:
            value = number("I") if kind == 4 else None
            at += 0 if kind == 4 else SIZES[kind]
            return value

    assert data[:4] == b"GGUF"
    n_tensors, n_keys, align = number("Q"), number("Q"), 32
    for _ in range(n_keys):
        key = text()
        value = skip(number("I"))
        align = value if key == "general.alignment" else align
    heads = []
    for _ in range(n_tensors):
        name, n = text(), 1
        for _ in range(number("I")):
            n *= number("Q")
        heads.append((name, n, number("I"), number("Q")))
    start = (at + align - 1) // align * align
    out = {}
    for name, n, kind, offset in heads:
        if kind not in (0, 1):
            raise ValueError("%s: type %d" % (name, kind))
        size, form = (4, "f") if kind == 0 else (2, "e")
        out[name] = array.array("f", struct.unpack_from("<%d%s" % (n, form), data, start + offset))
    return out
