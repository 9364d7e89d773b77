#!/usr/bin/env python3
"""Which search wins at which budget with which reward model: tiny world, a checker whose verdicts are flipped.

    benchmarks/search_table.py OUT [--problems 50] [--budgets 4,16] [--flips 0,.05,.1,.2,.35,.5] [--seeds 1]
                                   [--methods bon,vote,beam,dvts,particle]

The step scores are the world's truth of the prefix, each turned around with chance e (the same draw for the same prefix). All
methods have N samples, beams or particles, so about the same tokens, which are in the table. Best-of-N, votes and majority share
one pool (--reuse). Writes OUT/rung.db (resumable: runs that are there are not repeated), OUT/table.jsonl, OUT/table.md and
OUT/table.svg; ends with one JSON line. RUNG: the binary, default build/bin/rung.
"""
import argparse
import json
import os
import subprocess
import sys

RUNG = os.environ.get("RUNG", "build/bin/rung")
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def rung(out, *args):
    cmd = [RUNG, *[str(a) for a in args], "--store", os.path.join(out, "rung.db"), "--json", "--quiet"]
    p = subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if p.returncode != 0:
        sys.exit("%s\n%s" % (" ".join(cmd), p.stderr))
    lines = p.stdout.strip().splitlines()
    return json.loads(lines[-1]) if lines else {}


def live(out, o, name, method, n, *more):
    return rung(out, "search", "run", "--policy", o.policy, "--set", "total", "--split", "test", "--method", method, "--n", n,
                "--width", 4, "--max-tokens", 160, "--step-tokens", 40, "--threads", o.threads, "--seed", o.seed, "--name", name,
                *more)


def run_all(out, o):
    rung(out, "problem", "generate", "total", "--splits", "test=%d" % o.problems, "--seed", 1)
    pool = "pool_%d" % o.seed
    rung(out, "trace", "sample", "--policy", o.policy, "--set", "total", "--split", "test", "--n", max(o.budgets), "--max-tokens",
         160, "--threads", o.threads, "--seed", o.seed, "--name", pool)
    rows = []
    for n in o.budgets:
        sc = "sc_%d_%d" % (n, o.seed)
        live(out, o, sc, "majority", n, "--reuse", pool)
        for e in o.flips:
            names = [sc]
            for m in o.methods:
                name = "%s_%d_%g_%d" % (m, n, e, o.seed)
                more = ["--score", "truth", "--flip", e] + (["--reuse", pool] if m in ("bon", "vote") else [])
                live(out, o, name, m, n, *more)
                names.append(name)
                print(".", end="", file=sys.stderr, flush=True)
            r = rung(out, "bench", "search", ",".join(names), "--baseline", sc, "--boot", 5000)
            for arm, m in zip(r["arms"], ["majority"] + o.methods):
                rows.append(dict(arm, method=m, n=n, flip=e, seed=o.seed, n_problems=r["n_problems"]))
    print(file=sys.stderr)
    return rows


def markdown(rows, o):
    text = []
    for n in o.budgets:
        text.append("\nN = %d\n" % n)
        text.append("| method | %s | tokens |" % " | ".join("e = %g" % e for e in o.flips))
        text.append("|---|%s---|" % ("---|" * len(o.flips)))
        for m in ["majority"] + o.methods:
            cells = []
            for e in o.flips:
                r = next(r for r in rows if r["n"] == n and r["flip"] == e and r["method"] == m)
                lo, hi = r["diff_ci95"] or (float("nan"), float("nan"))
                mark = "" if m == "majority" else " +" if lo > 0 and r["p_holm"] <= .05 else " -" if hi < 0 and r["p_holm"] <= .05 else ""
                cells.append("%.0f [%.0f, %.0f]%s" % (100 * r["accuracy"], 100 * r["ci95"][0], 100 * r["ci95"][1], mark))
            text.append("| %s | %s | %d |" % (m, " | ".join(cells), r["tokens"]))
    return "\n".join(text) + "\n"


COLOURS = {"majority": "#555555", "bon": "#c0392b", "vote": "#e08e0b", "beam": "#1f77b4", "dvts": "#2ca02c", "particle": "#8e44ad",
           "mcts_puct": "#17a2a2", "best_first": "#7f5539"}


def svg(rows, o):
    """Accuracy against e, a panel per budget, 95% intervals as bars; plain SVG so that it needs no library."""
    w, h, left, top = 380, 300, 46, 30
    out = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">' %
           (w * len(o.budgets) + 110, h + 50), '<rect width="100%" height="100%" fill="white"/>']
    methods = ["majority"] + o.methods
    for p, n in enumerate(o.budgets):
        x0, y0, pw, ph = p * w + left, top, w - left - 16, h - top - 30
        pos = lambda e: x0 + pw * (o.flips.index(e) + .5) / len(o.flips)
        val = lambda a: y0 + ph * (1 - a)
        out.append('<text x="%d" y="18" font-weight="bold">N = %d</text>' % (x0, n))
        for g in range(0, 101, 20):
            y = val(g / 100)
            out.append('<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#ddd"/>' % (x0, x0 + pw, y, y))
            out.append('<text x="%d" y="%.1f" text-anchor="end">%d</text>' % (x0 - 6, y + 4, g))
        for e in o.flips:
            out.append('<text x="%.1f" y="%d" text-anchor="middle">%g</text>' % (pos(e), y0 + ph + 18, e))
        out.append('<text x="%.1f" y="%d" text-anchor="middle">chance e that a step verdict is flipped</text>' % (x0 + pw / 2, y0 + ph + 36))
        for k, m in enumerate(methods):
            c = COLOURS.get(m, "black")
            points = []
            for e in o.flips:
                r = next(r for r in rows if r["n"] == n and r["flip"] == e and r["method"] == m)
                x = pos(e) + (k - len(methods) / 2) * 4
                points.append("%.1f,%.1f" % (x, val(r["accuracy"])))
                out.append('<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="%s" stroke-opacity=".55"/>' %
                           (x, x, val(r["ci95"][0]), val(r["ci95"][1]), c))
                out.append('<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>' % (x, val(r["accuracy"]), c))
            out.append('<polyline points="%s" fill="none" stroke="%s" stroke-width="1.5"/>' % (" ".join(points), c))
    for k, m in enumerate(methods):
        x, y = w * len(o.budgets) + 6, 40 + 20 * k
        out.append('<rect x="%d" y="%d" width="12" height="12" fill="%s"/><text x="%d" y="%d">%s</text>' %
                   (x, y - 10, COLOURS.get(m, "black"), x + 18, y, m))
    out.append("</svg>")
    return "\n".join(out) + "\n"


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("out")
    a.add_argument("--problems", type=int, default=50)
    a.add_argument("--budgets", default="4,16")
    a.add_argument("--flips", default="0,.05,.1,.2,.35,.5")
    a.add_argument("--methods", default="bon,vote,beam,dvts,particle")
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--threads", type=int, default=1)
    a.add_argument("--policy", default=os.path.join(ROOT, "models/tiny.gguf"))
    o = a.parse_args()
    o.budgets = [int(x) for x in o.budgets.split(",")]
    o.flips = [float(x) for x in o.flips.split(",")]
    o.methods = o.methods.split(",")
    os.makedirs(o.out, exist_ok=True)
    rows = run_all(o.out, o)
    with open(os.path.join(o.out, "table.jsonl"), "w") as f:
        for r in rows:
            f.write(json.dumps(r) + "\n")
    with open(os.path.join(o.out, "table.md"), "w") as f:
        f.write(markdown(rows, o))
    with open(os.path.join(o.out, "table.svg"), "w") as f:
        f.write(svg(rows, o))
    best = {}
    for r in rows:
        key = "N=%d,e=%g" % (r["n"], r["flip"])
        if key not in best or r["accuracy"] > best[key][1]:
            best[key] = (r["method"], r["accuracy"])
    print(json.dumps({"v": 1, "bench": "search_table", "n_problems": rows[0]["n_problems"], "best": best}))


main()
