"""Advantages of 1,024 answers x 4,096 tokens in groups of 8: rung against the authors' own torch functions, one process a
side, in turns. The result is the worst of the five ratios."""
import os
import subprocess
import sys

import common
import train

VERL = "0.9.1"
CASES = ("gae", "grpo", "rloo", "prime", "min_form")
SOURCES = {"prime": ("RUNG_PRIME", "https://github.com/PRIME-RL/PRIME", "18ad596f08d487bb546d80d738d99ec697bd2e75"),
           "min_form": ("RUNG_PURE", "https://github.com/CJReinforce/PURE", "83f9869c1e4ba2e1fce5b8a0e15e060fd7e4578f")}


def verl_package():
    """verl's package folder, as its wheel has it: RUNG_VERL names it, else the cache folder."""
    home = os.environ.get("RUNG_VERL")
    if not home:
        at = os.path.join(common.cache_dir(), "verl-" + VERL)
        home = os.path.join(at, "verl")
        if not os.path.exists(home):
            subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", at, "verl==" + VERL],
                           stdout=sys.stderr)
    if not os.path.exists(os.path.join(home, "trainer", "ppo", "core_algos.py")):
        raise common.NoPeer("no verl %s: set RUNG_VERL to its package folder" % VERL)
    return home


def checkout(case):
    """A checkout of the repository that published the method; "" when it cannot be had."""
    variable, url, commit = SOURCES[case]
    home = os.environ.get(variable) or os.path.join(common.cache_dir(), case + "-" + commit[:7])
    if not os.path.exists(home):
        for cmd in (["git", "init", "-q", home], ["git", "-C", home, "fetch", "-q", "--depth", "1", url, commit],
                    ["git", "-C", home, "checkout", "-q", "FETCH_HEAD"]):
            if subprocess.run(cmd, stdout=sys.stderr, stdin=subprocess.DEVNULL).returncode:
                subprocess.run(["rm", "-rf", home])
                return ""
    return home


def ours(bench, n, t):
    path = os.path.join(common.ROOT, "build", "bin", "bench_credit")
    if not os.path.exists(path):
        build = os.path.join(common.ROOT, "build")
        subprocess.run(["cmake", "-S", common.ROOT, "-B", build, "-DRUNG_TESTS=ON"], stdout=sys.stderr, check=True)
        subprocess.run(["cmake", "--build", build, "--target", "bench_credit"], stdout=sys.stderr, check=True)
    return train.Side(bench, [path, n, t, bench.threads])


def run(bench):
    n, t = bench.size(1024, 64), bench.size(4096, 512)
    bench.model_name = "%d answers x %d tokens" % (n, t)
    python = train.peer_python()
    homes = {case: checkout(case) for case in SOURCES}
    us = ours(bench, n, t)
    them = train.Side(bench, [python, os.path.join(common.ROOT, "benchmarks", "lib", "credit_peer.py"), verl_package(), n, t,
                              bench.threads, homes["prime"], homes["min_form"]])
    cases, missing = {}, []
    for case in CASES:
        if case in homes and not homes[case]:
            missing.append(case)
            continue
        us.ask(case), them.ask(case)                       # once before: pages are there, threads too
        for _ in range(bench.reps(5)):
            for side, name in ((us, "rung"), (them, "torch")):
                r = side.ask(case)
                bench.note(case, name, 1e-6 * n * t / r["wall_s"], "Mtokens/s", wall_s=r["wall_s"], tokens=n * t)
        check = [side.ask("sum " + case)["sum"] for side in (us, them)]   # the same numbers, or it is no comparison
        if abs(check[0] - check[1]) > 1e-4 * max(1, abs(check[1])):
            raise RuntimeError("%s: rung's advantages add up to %.9g, theirs to %.9g" % (case, check[0], check[1]))
        a, b = bench.median(case, "rung"), bench.median(case, "torch")
        cases[case] = {"ours": a, "peer": b, "ratio": a / b, "spread": bench.spread(case, "rung"),
                       "peer_spread": bench.spread(case, "torch")}
    us.close()
    them.close()
    if missing:
        bench.result(None, None, None, None, cases=cases,
                     why="no published code of %s: set %s to a checkout" % (
                         ", ".join(missing), ", ".join(SOURCES[c][0] for c in missing)))
        sys.exit(common.NO_PEER)
    worst = min(cases, key=lambda c: cases[c]["ratio"])
    bench.result(cases[worst]["ours"], cases[worst]["peer"], "Mtokens/s",
                 "verl %s, PRIME, PURE on PyTorch %s" % (VERL, them.hello["torch"]), worst=worst, cases=cases,
                 threads=bench.threads, wanted={"ratio": 10})


if __name__ == "__main__":
    sys.exit(common.main("credit", __doc__, run))
