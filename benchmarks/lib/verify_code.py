"""rung verify code against plain python3: HumanEval's 164 canonical solutions, as many at once as there are cores."""
import concurrent.futures
import gzip
import json
import os
import subprocess
import sys
import time

import common


def solutions():
    path = os.path.join(os.environ.get("RUNG_DATA", ""), "humaneval", "HumanEval.jsonl.gz")
    if not os.path.exists(path):
        raise common.NoPeer("no data: set RUNG_DATA to a folder with humaneval/HumanEval.jsonl.gz")
    with gzip.open(path, "rt") as f:
        return [json.loads(line) for line in f]


def ours(bench, rows, path):
    """Programs a second, the sandbox's start included."""
    cmd = [bench.rung_bin, "verify", "code", path, "--json", "--quiet", "--boxes", str(bench.threads)]
    r = subprocess.run(cmd, stdout=subprocess.PIPE, text=True, check=True)
    result = common.last_object(r.stdout)
    if result["n_correct"] != len(rows):
        wrong = [i for i, line in enumerate(r.stdout.splitlines()[:len(rows)])
                 if json.loads(line)["verdict"] != "correct"]
        raise RuntimeError("%d of %d correct; not: %s" % (result["n_correct"], len(rows), wrong[:10]))
    return len(rows) / result["wall_s"], result["wall_s"]


def theirs(bench, rows):
    """The peer: a new interpreter for each program, its tests in the same file, nothing checked but the exit status."""
    texts = [r["prompt"] + r["canonical_solution"] + "\n" + r["test"] + "\ncheck(%s)\n" % r["entry_point"] for r in rows]

    def one(text):
        return subprocess.run(["/usr/bin/python3", "-I", "-c", text], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL).returncode
    t = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(bench.threads) as pool:
        bad = sum(code != 0 for code in pool.map(one, texts))
    wall = time.perf_counter() - t
    if bad:
        raise RuntimeError("plain python3 fails %d of %d programs" % (bad, len(rows)))
    return len(rows) / wall, wall


def run(bench):
    rows = solutions()
    if bench.quick:
        rows = rows[:40]
    path = os.path.join(bench.tmp, "humaneval.jsonl")
    with open(path, "w") as f:
        f.write("".join(json.dumps(r) + "\n" for r in rows))
    ours(bench, rows, path)                              # once before: the files are in the page cache for both
    for _ in range(bench.reps(5)):
        for side, fn in (("rung", lambda: ours(bench, rows, path)), ("python3", lambda: theirs(bench, rows))):
            rate, wall = fn()
            bench.note("humaneval", side, rate, "programs/s", wall_s=wall, n=len(rows))
    us, peer = bench.median("humaneval", "rung"), bench.median("humaneval", "python3")
    bench.result(us, peer, "programs/s", "python3, one process a program, no sandbox", n=len(rows), n_correct=len(rows),
                 threads=bench.threads, spread=bench.spread("humaneval", "rung"),
                 peer_spread=bench.spread("humaneval", "python3"), wanted={"programs_per_s_on_2_cores": 60, "ratio": 1.0})


if __name__ == "__main__":
    sys.exit(common.main("verify-code", "HumanEval's own solutions in the sandbox against a plain python3 each", run))
