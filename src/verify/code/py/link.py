# ---- part 2: values between tester and program

import collections
import decimal
import fractions


class Stop(BaseException):
    """The program's process is gone or no longer trusted; reason as rung names it."""

    def __init__(self, reason, detail=""):
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


class Remote:
    """An object that stays on the other side.  Attribute, item, call and iteration are asked
    there; comparison and truth never are, so an object that claims to equal everything does not."""
    __slots__ = ("_link", "_id", "_what")

    def __init__(self, link, ident, what):
        for name, value in zip(Remote.__slots__, (link, ident, what)):
            object.__setattr__(self, name, value)

    def _ask(self, op, *args):
        return self._link.ask({"op": op, "f": {"o": self._id}, "a": self._link.enc_all(args)})

    def __call__(self, *args, **kwargs):
        return self._link.call({"o": self._id}, args, kwargs)

    def __getattr__(self, name):
        return self._ask("attr", name)

    def __setattr__(self, name, value):
        self._ask("setattr", name, value)

    def __getitem__(self, key):
        return self._ask("item", key)

    def __setitem__(self, key, value):
        self._ask("setitem", key, value)

    def __len__(self):
        n = self._ask("len")
        if type(n) is not int or not 0 <= n < 1 << 62:
            raise TypeError("not a length")
        return n

    def __iter__(self):
        it = self._ask("iter")
        while True:
            more = self._link.ask({"op": "next", "f": {"o": it._id}, "a": []})
            if not more:
                return
            yield more[0]

    def __repr__(self):
        return f"<{self._what} of the program>"


EXACT = {type(None), bool, str, float}


class Link:
    """Both ends: encode, decode, keep the objects that went out as handles."""

    def __init__(self):
        self.out = {}

    def enc_all(self, values):
        return [self.enc(v) for v in values]

    def enc(self, v):
        t = type(v)
        if t in EXACT:
            return v
        if t is int:
            return v if -1 << 62 < v < 1 << 62 else {"i": hex(v)}
        if t is list:
            return [self.enc(x) for x in v]
        if t is Remote:
            return {"o": v._id}
        for base, tag, items in KINDS:
            if isinstance(v, base):
                return {tag: items(self, v)}
        for base, plain in PLAIN:
            if isinstance(v, base):
                return self.enc(plain(v))
        self.out[id(v)] = v
        return {"h": id(v), "w": type(v).__name__}

    def dec(self, j):
        t = type(j)
        if t is list:
            return [self.dec(x) for x in j]
        if t is not dict:
            return j
        if len(j) == 2 and "h" in j:
            return Remote(self, int(j["h"]), str(j["w"])[:80])
        (tag, x), = j.items()
        if tag == "o":
            return self.out[x]
        return READ[tag](self, x)


KINDS = [
    (tuple, "t", lambda k, v: [k.enc(x) for x in tuple.__iter__(v)]),
    (dict, "d", lambda k, v: [[k.enc(a), k.enc(b)] for a, b in dict.items(v)]),
    (frozenset, "z", lambda k, v: [k.enc(x) for x in frozenset.__iter__(v)]),
    (set, "s", lambda k, v: [k.enc(x) for x in set.__iter__(v)]),
    (bytes, "b", lambda k, v: bytes.hex(v)),
    (bytearray, "B", lambda k, v: bytearray.hex(v)),
    (complex, "c", lambda k, v: [v.real, v.imag]),
    (range, "r", lambda k, v: [k.enc(x) for x in (v.start, v.stop, v.step)]),
    (collections.deque, "q", lambda k, v: [k.enc(x) for x in collections.deque.__iter__(v)]),
    (decimal.Decimal, "D", lambda k, v: decimal.Decimal.__str__(v)),
    (fractions.Fraction, "F", lambda k, v: [k.enc(v.numerator), k.enc(v.denominator)]),
]
PLAIN = [                                        # subclasses cross as what they are underneath
    (int, lambda v: int.__add__(v, 0)), (str, lambda v: str.__str__(v)),
    (float, lambda v: float.__add__(v, 0.0)), (list, lambda v: list(list.__iter__(v))),
]
READ = {
    "i": lambda k, x: int(x, 16),
    "t": lambda k, x: tuple(map(k.dec, x)),
    "d": lambda k, x: {k.dec(a): k.dec(b) for a, b in x},
    "z": lambda k, x: frozenset(map(k.dec, x)),
    "s": lambda k, x: set(map(k.dec, x)),
    "b": lambda k, x: bytes.fromhex(x),
    "B": lambda k, x: bytearray.fromhex(x),
    "c": lambda k, x: complex(*x),
    "r": lambda k, x: range(*map(k.dec, x)),
    "q": lambda k, x: collections.deque(map(k.dec, x)),
    "D": lambda k, x: decimal.Decimal(x),
    "F": lambda k, x: fractions.Fraction(*map(k.dec, x)),
}
