"""Are two exports of stores the same work? compare_exports.py [--exact] A.jsonl B.jsonl

Row numbers follow the order of completion, which a kill changes, so rows are compared by what they mean: a node by its
problem and path, a trace by run, problem and i, and so on. Left out: times, and whole rows of the cache.

Equal draws do not make equal logits when the batch has another shape (docs/design/model.md, Determinism): log probabilities
may differ by 1e-3, and once in a great many tokens a draw falls on the border between two tokens. Such a sample is a flip:
counted, at most one in a thousand samples (or one in all) is accepted, every key must be there all the same, and only the
problem it belongs to is not compared further. With --exact, for work that was done in exact mode, nothing is let through:
no flip, and not a bit of a number. Exit 0 the same, 1 not, the first differences printed.
"""
import base64
import json
import struct
import sys

EXACT = "--exact" in sys.argv
TOLERANCE = 0.0 if EXACT else 1e-3


def load(path):
    tables = {}
    with open(path, encoding="utf-8") as f:
        for line in f:
            row = json.loads(line)
            tables.setdefault(row.pop("table"), []).append(row)
    return tables


def floats(blob):
    data = base64.b64decode(blob)
    return list(struct.unpack("<%df" % (len(data) // 4), data))


def named(tables):
    """Every row as (key, values), with ids replaced by what they stand for."""
    get = lambda t: tables.get(t, [])
    run = {r["id"]: (r["kind"], r["config_hash"]) for r in get("run")}
    problem = {p["id"]: (p["set"], p["key"]) for p in get("problem")}
    node = {n["id"]: (problem[n["problem"]], n["path"]) for n in get("node")}
    model = {m["id"]: (m["hash"], m["kind"]) for m in get("model")}
    trace = {t["id"]: (run[t["run"]], problem[t["problem"]], t["i"]) for t in get("trace")}
    out = {}

    def put(table, key, row, drop):
        keep = {k: v for k, v in row.items() if k not in drop}
        full = (table,) + key
        if full in out:
            raise SystemExit("two rows with the key %r" % (full,))
        out[full] = keep

    times = {"id", "started_ms", "finished_ms", "wall_s"}
    if EXACT:
        times |= {"config", "machine"}  # the hash is compared; the text also notes sequences, the machine its threads
    for r in get("run"):
        put("run", run[r["id"]], dict(r, finished=r["finished_ms"] > 0), times)
    for p in get("problem"):
        put("problem", problem[p["id"]], p, {"id"})
    for n in get("node"):
        parent = node[n["parent"]] if n["parent"] else None
        put("node", (problem[n["problem"]], n["path"]), dict(n, parent=parent), {"id", "problem"})
    for t in get("trace"):
        put("trace", trace[t["id"]], dict(t, logprob=floats(t["logprob"])), {"id", "run", "problem"})
    for s in get("trace_step"):
        put("trace_step", (trace[s["trace"]], s["k"]), dict(s, node=node[s["node"]]), {"trace"})
    for r in get("rollout"):
        put("rollout", (run[r["run"]], node[r["node"]], r["i"]), r, {"id", "run", "node", "us", "at_ms"})
    for l in get("label"):
        put("label", (run[l["run"]], node[l["node"]], l["source"]), l, {"id", "run", "node"})
    for m in get("model"):
        put("model", model[m["id"]], m, {"id"})
    for s in get("score"):
        put("score", (node[s["node"]], model[s["model"]]), s, {"node", "model"})
    for m in get("metric"):
        put("metric", (run[m["run"]], m["name"], m["step"]), m, {"run"})
    for r in get("result"):
        values = {k: v for k, v in json.loads(r["json"]).items() if k not in ("wall_s", "run", "prompt_tokens_computed")}
        put("result", (run[r["run"]], r["kind"]), {"values": values}, set())
    for r in get("search"):  # what the cache held when it was asked is not the work
        ledger = {k: v for k, v in json.loads(r["ledger"]).items() if k not in ("wall_s", "prompt_new_tok")}
        put("search", (run[r["run"]], problem[r["problem"]]), dict(r, ledger=ledger), {"run", "problem"})
    for v in get("verdict"):
        put("verdict", (trace[v["trace"]], v["verifier"], v["version"]), v, {"trace", "us", "at_ms"})
    for e in get("search_event"):
        put("search_event", (run[e["run"]], problem[e["problem"]], e["seq"]), e, {"run", "problem"})
    return out


def same(a, b):
    if isinstance(a, float) or isinstance(b, float):
        if a is None or b is None:
            return a is b
        return abs(a - b) <= TOLERANCE * max(1.0, abs(a), abs(b))
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return a == b


def problem_of(key):
    """The problem a row belongs to, None for rows of no problem."""
    if key[0] == "problem":
        return key[1:]
    if key[0] in ("trace", "search", "search_event"):
        return key[2]
    if key[0] in ("trace_step", "verdict"):
        return key[1][1]
    if key[0] in ("node", "score"):
        return key[1][0] if key[0] == "score" else key[1]
    if key[0] in ("rollout", "label"):
        return key[2][0]
    return None


def main():
    a, b = (named(load(p)) for p in sys.argv[-2:])
    samples = [k for k in a if k[0] in ("trace", "rollout")]
    flips = [k for k in samples if k in b and a[k]["text"] != b[k]["text"]]
    flipped = {problem_of(k) for k in flips}
    allowed = 0 if EXACT else max(1, len(samples) // 1000)
    bad = []
    if len(flips) > allowed:
        bad.append("%d of %d samples are others, %d may be: %r" % (len(flips), len(samples), allowed, flips[:3]))
    for key in sorted(set(a) | set(b), key=repr):
        if problem_of(key) in flipped and key[0] != "problem":
            if key[0] == "trace" and (key not in a or key not in b):
                bad.append("only in %s: %r" % (sys.argv[-1 if key in b else -2], key))
        elif key not in a or key not in b:
            bad.append("only in %s: %r" % (sys.argv[-1 if key in b else -2], key))
        elif not same(a[key], b[key]):
            which = [k for k in a[key] if not same(a[key][k], b[key].get(k))]
            if flips and key[0] == "run" and which == ["tokens"]:
                continue
            bad.append("differs in %s: %r: %.200r / %.200r" % (which, key, [a[key][k] for k in which], [b[key].get(k) for k in which]))
    for line in bad[:10]:
        print(line)
    if bad:
        print("%d differences in %d rows" % (len(bad), len(a)))
    elif flips:
        print("%d of %d samples fell on a border" % (len(flips), len(samples)))
    sys.exit(1 if bad else 0)


main()
