"""rung verify math against math-verify: MATH-500's references against their solutions, and random pairs of references."""
import json
import os
import random
import statistics
import subprocess
import sys

import common

PEER = r"""
import json, sys, time
from math_verify import parse, verify
for line in sys.stdin:
    r = json.loads(line)
    t = time.perf_counter()
    gold = parse("$" + r["gold"] + "$")
    got = parse(r["text"]) if "text" in r else parse("$" + r["answer"] + "$")
    try:
        ok = verify(gold, got)
    except Exception:
        ok = None
    print(json.dumps({"us": (time.perf_counter() - t) * 1e6, "ok": ok}), flush=True)
"""


def peer_python():
    """A Python with math-verify 0.9: RUNG_MATH_VERIFY names it, else an environment of ours in the cache folder."""
    python = os.environ.get("RUNG_MATH_VERIFY") or os.path.join(common.cache_dir(), "math-verify-0.9", "bin", "python")
    if not os.path.exists(python):
        home = os.path.dirname(os.path.dirname(python))
        try:
            subprocess.run([sys.executable, "-m", "venv", home], stdout=sys.stderr, check=True)
            subprocess.run([python, "-m", "pip", "install", "-q", "math-verify==0.9.0", "antlr4-python3-runtime==4.13.2"],
                           stdout=sys.stderr, check=True)
        except (OSError, subprocess.CalledProcessError):
            raise common.NoPeer("no math-verify 0.9: set RUNG_MATH_VERIFY to a Python that has it")
    return python


def pairs(n_random):
    path = os.path.join(os.environ.get("RUNG_DATA", ""), "math500", "test.jsonl")
    if not os.path.exists(path):
        raise common.NoPeer("no data: set RUNG_DATA to a folder with math500/test.jsonl")
    with open(path) as f:
        rows = [json.loads(line) for line in f]
    own = [{"gold": r["answer"], "text": r["solution"]} for r in rows]
    rng = random.Random(1)
    mixed = []
    while len(mixed) < n_random:
        a, b = rng.sample(rows, 2)
        mixed.append({"gold": a["answer"], "answer": b["answer"]})
    return {"own": own, "random": mixed}


def lines(rows):
    return "".join(json.dumps(r) + "\n" for r in rows)


def ours(bench, rows):
    path = os.path.join(bench.tmp, "pairs.jsonl")
    with open(path, "w") as f:
        f.write(lines(rows))
    r = subprocess.run([bench.rung_bin, "verify", "math", "--in", path, "--json", "--quiet"], stdout=subprocess.PIPE,
                       text=True, check=True)
    return [o["us"] for o in map(json.loads, r.stdout.splitlines()) if "us" in o]


def theirs(python, rows):
    r = subprocess.run([python, "-c", PEER], input=lines(rows), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                       text=True, check=True)
    return [json.loads(line)["us"] for line in r.stdout.splitlines()]


def run(bench):
    python = peer_python()
    sets = pairs(bench.size(500, 60))
    if bench.quick:
        sets["own"] = sets["own"][:60]
    all_ours, mean = [], {}
    for _ in range(bench.reps(3)):
        for case, rows in sets.items():
            us = ours(bench, rows)
            all_ours += us
            bench.note(case, "rung", statistics.mean(us), "us", p99=sorted(us)[int(0.99 * len(us))], worst=max(us))
            bench.note(case, "math-verify", statistics.mean(theirs(python, rows)), "us")
    for case in sets:
        a, b = bench.median(case, "rung"), bench.median(case, "math-verify")
        mean[case] = {"ours_us": a, "peer_us": b, "times_faster": b / a}
    all_ours.sort()
    a = statistics.mean(m["ours_us"] for m in mean.values())
    b = statistics.mean(m["peer_us"] for m in mean.values())
    bench.result(1e6 / a, 1e6 / b, "pairs/s", "math-verify 0.9.0", cases=mean, n=len(all_ours),
                 p99_us=all_ours[int(0.99 * len(all_ours))], worst_us=all_ours[-1])


if __name__ == "__main__":
    sys.exit(common.main("verify-math", __doc__, run))
