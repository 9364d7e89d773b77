"""The benchmarks, one function each; what each must reach is in docs/design/bench-engine.md."""
import json
import os
import statistics
import sys

import peers
from common import main, model_file, say, tiny_model, traces

DRAW = ("--temperature", "0.8", "--top-p", "0.95")


def read_prompts(path):
    with open(path) as f:
        return [json.loads(line)["tok"] for line in f]


def rollouts_run(b, model, store, rows, k, max_tokens, *more):
    return b.rung("bench", "rollouts", "--policy", model, "--store", store, "--set", "pb", "--limit", rows, "--k", k,
                  "--max-tokens", max_tokens, *DRAW, *more)


def rollouts_size(b):
    return {"rows": b.rows(6, 1), "k": b.size(8, 2), "max_tokens": b.size(64, 16)}


FIGURES = ("cpu_s", "prompts", "tokens_prompts", "tokens_generated", "tokens_prefilled", "tokens_union", "decode_s",
           "sample_s", "decode_calls", "evicted", "rss_peak_bytes", "weights_bytes", "kv_bytes", "storage", "weights")


def rollouts_once(b, model, size, why):
    """The figures of one rollouts run; taken over when the rollouts benchmark of this go has just made that run."""
    r = b.earlier("rollouts", "rung", asked=b.args.weights, threads=b.threads, **size)
    if r:
        say("%s: the figures are those of the rollouts benchmark of this go" % why)
        return dict(r["detail"], wall_s=r["wall_s"])
    return rollouts_run(b, model, traces(b, model, size["rows"]), *size.values())


def rollouts(b):
    model = model_file(b)
    size = rollouts_size(b)
    store = traces(b, model, size["rows"])
    prompts_file = os.path.join(b.tmp, "prompts.jsonl")
    sides = [("llama-server", model)]
    best, kind = peers.best_file(b, model)
    if best != model:
        sides.append(("llama-server " + kind, best))

    def ours():
        o = rollouts_run(b, model, store, *size.values(), "--prompts-out", prompts_file)
        b.note("rollouts", "rung", o["tokens_per_s"], "tokens/s", o["wall_s"], o["tokens_generated"],
               asked=b.args.weights, threads=b.threads, **size, **{k: o[k] for k in FIGURES})
        return o

    ours()
    for _ in range(b.reps(1)):
        for i, (side, file) in enumerate(sides):
            if i:
                ours()                  # before, between and after the peers: a drift of the machine shows
            o = peers.serve(b, file, read_prompts(prompts_file), size["k"], size["max_tokens"], 0.8, 0.95)
            b.note("rollouts", side, o["tokens_per_s"], "tokens/s", o["wall_s"], o["tokens_generated"],
                   prefilled=o["tokens_prefilled"], cpu_s=o["cpu_s"], rss_peak_bytes=o["rss_peak_bytes"], **size)
        last = ours()

    def per_cpu_s(side):        # a server's clock ticks are 10 ms
        return statistics.median(r["tokens"] / max(r["detail"]["cpu_s"], 0.01) for r in b.raw if r["side"] == side)

    mine = b.median("rollouts", "rung")
    peak = b.median("rollouts", sides[-1][0])
    b.result(mine, b.median("rollouts", "llama-server"), "generated tokens/s of wall",
             "llama-server, 16 slots, -kvu, cache_prompt, 16 clients", **size, prefilled=last["tokens_prefilled"],
             union=last["tokens_union"], storage=last["storage"], weights=last["weights"],
             spread=b.spread("rollouts", "rung"),
             cpu_ratio=per_cpu_s("rung") / per_cpu_s("llama-server"),
             best_file={"type": kind, "peer": peak, "ratio": mine / peak,
                        "cpu_ratio": per_cpu_s("rung") / per_cpu_s(sides[-1][0])})


def prefill(b):
    model = model_file(b)
    size, rows = rollouts_size(b), b.rows(40, 2)
    store = traces(b, model, rows)
    points = []
    for case, k, o in (("rollouts", size["k"], rollouts_once(b, model, size, "prefill")),
                       ("no generation, %d rows" % rows, 1, rollouts_run(b, model, store, rows, 1, 1))):
        b.note(case, "rung", o["tokens_prefilled"], "tokens", o["wall_s"], o["tokens_prefilled"], prompts=o["prompts"])
        b.note(case, "union of the trie", o["tokens_union"], "tokens", None, o["tokens_union"])
        points.append({"case": case, "ours": o["tokens_prefilled"], "peer": o["tokens_union"],
                       "ratio": o["tokens_prefilled"] / o["tokens_union"],
                       "a prompt a request": o["tokens_prompts"] * k})
    worst = max(points, key=lambda p: p["ratio"])
    b.result(worst["ours"], worst["peer"], "tokens prefilled (lower is better)",
             "distinct tokens of the trie of all prompts", points=points)


def decode(b):
    model = model_file(b)
    sizes, n_gen = b.size([1, 4, 16, 64], [1, 4]), b.size(64, 16)
    n_prompt = 256 if b.rung("model", "info", model)["n_ctx_train"] >= 1024 else 64
    for _ in range(b.reps(3)):
        for size in sizes:              # an engine each, opened for so many: the type of weights is chosen by that
            o = b.rung("bench", "decode", "--policy", model, "--sizes", size, "--max-tokens", n_gen,
                       "--prompt-tokens", n_prompt, *DRAW)
            p = o["points"][0]
            b.note("%d sequences" % p["n_seq"], "rung", p["tokens_per_s"], "tokens/s", p["wall_s"], p["tokens"],
                   sample_s=p["sample_s"], n_early=p["n_early"], storage=o["storage"], weights=o["weights"])
        for unified in (True, False):
            side = "llama-batched-bench " + ("-kvu" if unified else "-no-kvu")
            for size, p in peers.batched(b, model, sizes, n_prompt, n_gen, unified).items():
                b.note("%d sequences" % size, side, p["tokens_per_s"], "tokens/s", p["wall_s"], size * n_gen)
    points = []
    for size in sizes:
        case = "%d sequences" % size
        peer, name = max((b.median(case, s), s) for s in ("llama-batched-bench -kvu", "llama-batched-bench -no-kvu"))
        ours = b.median(case, "rung")
        points.append({"n_seq": size, "ours": ours, "peer": peer, "ratio": ours / peer, "peer_name": name})
    b.result(points[-1]["ours"], points[-1]["peer"], "decoded and sampled tokens/s",
             points[-1]["peer_name"] + " (the faster layout; it does not sample)", points=points)


def score(b):
    model = model_file(b)
    rows = b.rows(400, 2)
    spots, each = b.size(4, 1), max(1, min(5, rows // 4))   # a call per step is slow: rows from spots all over the set,
    store = traces(b, model, rows)                          # since what it costs grows with their number of steps
    n_prompt = 512 if b.rung("model", "info", model)["n_ctx_train"] >= 1024 else 128

    def run(n, *more):
        return b.rung("bench", "score", "--policy", model, "--store", store, "--set", "pb", "--limit", n, *more)

    for i in range(b.reps(1)):
        for _ in range(b.size(3, 1)):
            b.note("prefill", "llama-bench", peers.prefill(b, model, n_prompt), "tokens/s")
        o = run(rows)
        b.note("prefill", "rung", o["tokens_per_s"], "tokens/s", o["wall_s"], o["tokens"],
               computed=o["tokens_computed"], steps=o["steps"], storage=o["storage"], weights=o["weights"])
        for _ in range(b.size(3, 1)):
            b.note("prefill", "llama-bench", peers.prefill(b, model, n_prompt), "tokens/s")
        for spot in range(spots):
            here = (each, "--skip", rows * spot // spots)
            for side, more in (("rung", ()), ("a call per step", ("--per-step",)), ("rung", ())):
                o = run(*here, *more)
                b.note("rows", side, o["rows_per_s"], "rows/s", o["wall_s"], o["tokens"],
                       rows=o["rows"], spot=spot, computed=o["tokens_computed"])
    ours, steps = b.rate("rows", "rung"), b.rate("rows", "a call per step")
    b.result(b.median("prefill", "rung"), b.median("prefill", "llama-bench"), "scored tokens/s",
             "llama-bench, prefill of %d tokens of the same file" % n_prompt, rows=rows,
             per_step={"rows": spots * each, "ours": ours, "peer": steps, "ratio": ours / steps, "unit": "rows/s",
                       "peer_name": "one evaluation a step, nothing kept between them, same engine"})


def tiny(b):
    model = tiny_model(b)
    n, k = b.size(256, 32), b.size(8, 2)
    store = os.path.join(b.tmp, "word.db")
    b.rung("problem", "generate", "word", "--set", "pb", "--splits", "test=%d" % n, "--store", store)
    for _ in range(b.reps(3)):
        o = b.rung("bench", "rollouts", "--from", "problems", "--policy", model, "--store", store, "--set", "pb",
                   "--k", k, "--max-tokens", 128, "--sequences", b.size(256, 32), *DRAW)
        b.note("else", "rung", 1 - o["decode_s"] / o["wall_s"], "share of wall", o["wall_s"], o["tokens_generated"],
               sample_s=o["sample_s"], decode_s=o["decode_s"], decode_calls=o["decode_calls"])
        b.note("wall", "rung", o["wall_s"], "s", o["wall_s"], o["tokens_generated"])
        b.note("wall", "llama_decode", o["decode_s"], "s", o["decode_s"], o["tokens_generated"])
    b.result(b.median("wall", "rung"), b.median("wall", "llama_decode"), "s (lower is better)",
             "time inside llama_decode of the same run", else_share=b.median("else", "rung"), samples=n * k,
             tokens_per_s=o["tokens_per_s"])


def resident(b):
    model = model_file(b)
    o = rollouts_once(b, model, rollouts_size(b), "resident")
    mib = 2.0**20
    allowed = (o["weights_bytes"] + o["kv_bytes"]) / mib + 150
    b.note("peak", "rung", o["rss_peak_bytes"] / mib, "MiB", o["wall_s"], o["tokens_generated"],
           weights_bytes=o["weights_bytes"], kv_bytes=o["kv_bytes"])
    b.result(o["rss_peak_bytes"] / mib, allowed, "MiB resident at the peak (lower is better)",
             "weights as stored in memory + KV cells + 150 MiB", weights_mib=o["weights_bytes"] / mib,
             kv_mib=o["kv_bytes"] / mib, storage=o["storage"], weights=o["weights"])


ROWS = {  # name: (function, rows of the data set, what it measures)
    "rollouts": (rollouts, 6, "rollouts from every step prefix, against llama-server"),
    "prefill": (prefill, 40, "tokens computed for nested prefixes, against the trie's optimum"),
    "decode": (decode, None, "decoding and sampling many sequences, against llama-batched-bench"),
    "score": (score, 400, "reading whole traces, against llama-bench's prefill and against one call per step"),
    "tiny": (tiny, None, "everything but llama_decode, on the tiny policy with 256 sequences"),
    "resident": (resident, 6, "peak memory during rollouts"),
}

if __name__ == "__main__":
    name = sys.argv.pop(1)
    fn, n_rows, about = ROWS[name]
    sys.exit(main(name, about, fn, n_rows))
