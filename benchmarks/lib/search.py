"""Bookkeeping of a search: a policy and a scorer that cost nothing, so that what is left is selecting, expanding and backing up.
rung, treequest and llm-reasoners from their wheels, one process a side, in turns, one thread. Nodes are equal: four children an
expansion (MCTS), one (AB-MCTS). treequest keeps its state in place, which is its faster way. The result is the worst ratio."""
import os
import subprocess
import sys

import common
import train

WHEELS = ("treequest==0.3.3", "llm-reasoners==1.0.2", "numpy", "tqdm")


def peer_python():
    """An interpreter with the peers: RUNG_SEARCH_PEERS, else an environment of its own in the cache folder."""
    home = os.environ.get("RUNG_SEARCH_PEERS") or os.path.join(common.cache_dir(), "search-peers")
    python = os.path.join(home, "bin", "python")
    if not os.path.exists(python):
        for cmd in ([sys.executable, "-m", "venv", home], [python, "-m", "pip", "install", "-q", WHEELS[0], WHEELS[2], WHEELS[3]],
                    [python, "-m", "pip", "install", "-q", "--no-deps", WHEELS[1]]):
            if subprocess.run(cmd, stdout=sys.stderr).returncode:
                raise common.NoPeer("no %s: set RUNG_SEARCH_PEERS to an environment that has them" % ", ".join(WHEELS[:2]))
    return python


def ours(bench):
    path = os.path.join(common.ROOT, "build", "bin", "bench_search")
    if not os.path.exists(path):
        build = os.path.join(common.ROOT, "build")
        subprocess.run(["cmake", "-S", common.ROOT, "-B", build, "-DRUNG_TESTS=ON"], stdout=sys.stderr, check=True)
        subprocess.run(["cmake", "--build", build, "--target", "bench_search"], stdout=sys.stderr, check=True)
    return train.Side(bench, [path])


def run(bench):
    bench.threads = 1
    us = ours(bench)
    them = train.Side(bench, [peer_python(), os.path.join(common.ROOT, "benchmarks", "lib", "search_peer.py")])
    missing = [n for n in ("treequest", "reasoners") if not them.hello[n]]
    if missing:
        raise common.NoPeer("no %s: %s" % (" and no ".join(missing), them.hello["why"]))
    # what it is called here, there, nodes
    cases = {"mcts": ("mcts_uct", "treequest_mcts", bench.size(3000, 400)),
             "ab_mcts": ("ab_mcts", "treequest_ab_a", bench.size(300, 60)),
             "mcts_iterations": ("mcts_uct", "reasoners_mcts", bench.size(3000, 400))}
    bench.model_name = "a policy that costs nothing"
    out = {}
    for case, (here, there, n) in cases.items():
        us.ask(here, n)                                    # once before
        for _ in range(bench.reps(3)):
            for side, name, word in ((us, "rung", here), (them, there.split("_")[0], there)):
                r = side.ask(word, n)
                bench.note(case, name, r["wall_s"] / r["nodes"] * 1e6, "us/node", wall_s=r["wall_s"], nodes=r["nodes"])
        a, b = bench.median(case, "rung"), bench.median(case, there.split("_")[0])
        out[case] = {"ours_us_per_node": a, "peer_us_per_node": b, "ratio": b / a, "nodes": n, "peer": there}
    us.close()
    them.close()
    worst = min(out, key=lambda c: out[c]["ratio"])
    w = out[worst]
    bench.result(1e6 / w["ours_us_per_node"], 1e6 / w["peer_us_per_node"], "nodes/s",
                 "treequest %s, llm-reasoners %s" % (them.hello["treequest"], them.hello["reasoners"]), worst=worst, cases=out)


if __name__ == "__main__":
    sys.exit(common.main("search", __doc__, run))
