"""What labelling runs of one store cost and how often they hit the first error: label_arms.py STORE RUN SOURCE [RUN SOURCE ...]

Runs come in pairs: a fixed K, then the same with stopping. The tokens of a run are those of the rollouts that its labels
rest on (numbers 0 .. n + n_unknown - 1 of each prefix), whoever made them. Intervals: bootstrap over problems, 2,000 draws,
seed 1. A line of Markdown per pair.
"""
import random
import sqlite3
import sys


def first_errors(db, run, source):
    """{trace: (problem, truth, predicted)} of the sampling run's traces that the labels say something of."""
    label = dict(db.execute("SELECT node, hard FROM label WHERE run=? AND source=?", (run, source)))
    out = {}
    rows = db.execute(
        "SELECT t.id, t.problem, t.first_error, s.node FROM trace t JOIN trace_step s ON s.trace=t.id "
        "WHERE t.first_error<>-2 AND t.run=(SELECT min(run) FROM trace) ORDER BY t.id, s.k")
    steps = {}
    for trace, problem, truth, node in rows:
        steps.setdefault((trace, problem, truth), []).append(node)
    for (trace, problem, truth), nodes in steps.items():
        hard = [label.get(n) for n in nodes]
        zero = next((k for k, h in enumerate(hard) if h == 0), None)
        if any(h is None for h in hard[:zero]):  # nothing is claimed of this trace
            continue
        out[trace] = (problem, truth, -1 if zero is None else zero)
    return out


def tokens(db, run, source):
    return dict(db.execute(
        "SELECT n.problem, sum(r.n_tok) FROM label l JOIN node n ON n.id=l.node JOIN rollout r ON r.node=l.node "
        "AND r.i < l.n + l.n_unknown WHERE l.run=? AND l.source=? GROUP BY n.problem", (run, source)))


def interval(values):
    values = sorted(values)
    return values[int(0.025 * len(values))], values[int(0.975 * len(values)) - 1]


def main():
    db = sqlite3.connect(sys.argv[1])
    run = dict(db.execute("SELECT name, id FROM run WHERE name IS NOT NULL"))
    args = sys.argv[2:]
    for i in range(0, len(args), 4):
        fixed, source, stopped, other = args[i : i + 4]
        a, b = first_errors(db, run[fixed], source), first_errors(db, run[stopped], other)
        ta, tb = tokens(db, run[fixed], source), tokens(db, run[stopped], other)
        both = sorted(set(a) & set(b))
        problems = sorted({a[t][0] for t in both})
        by = {p: [t for t in both if a[t][0] == p] for p in problems}
        hit = lambda x, t: x[t][1] == x[t][2]

        def stats(sample):
            n = sum(len(by[p]) for p in sample)
            x = sum(hit(a, t) for p in sample for t in by[p]) / n
            y = sum(hit(b, t) for p in sample for t in by[p]) / n
            return x, y - x, sum(tb.get(p, 0) for p in sample) / max(1, sum(ta.get(p, 0) for p in sample))

        random.seed(1)
        draws = [stats(random.choices(problems, k=len(problems))) for _ in range(2000)]
        x, d, r = stats(problems)
        lo = [interval([v[k] for v in draws]) for k in range(3)]
        print("| %s, %s | %d | %.1f [%.1f, %.1f] | %d | %d | %+.1f [%+.1f, %+.1f] | %.2f [%.2f, %.2f] |" % (
            fixed, stopped, len(both), 100 * x, 100 * lo[0][0], 100 * lo[0][1], sum(ta.get(p, 0) for p in problems),
            sum(tb.get(p, 0) for p in problems), 100 * d, 100 * lo[1][0], 100 * lo[1][1], r, lo[2][0], lo[2][1]))


if __name__ == "__main__":
    main()
