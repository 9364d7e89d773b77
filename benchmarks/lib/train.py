"""Training against PyTorch: one process a side that waits for commands, so that the sides take turns in one run."""
import json
import os
import statistics
import subprocess
import sys

import common

TORCH = "2.15.0"
HERE = os.path.join(common.ROOT, "benchmarks", "train")


def peer_python(extra=()):
    """A Python with PyTorch (and `extra`): RUNG_TORCH names it, else an environment of ours in the cache folder."""
    python = os.environ.get("RUNG_TORCH") or os.path.join(common.cache_dir(), "torch-" + TORCH, "bin", "python")
    probe = "; ".join("import " + m for m in ("torch",) + tuple(extra))
    if not os.path.exists(python) and not os.environ.get("RUNG_TORCH"):
        home = os.path.dirname(os.path.dirname(python))
        subprocess.run([sys.executable, "-m", "venv", home], stdout=sys.stderr)
    if subprocess.run([python, "-c", probe], stderr=subprocess.DEVNULL).returncode and not os.environ.get("RUNG_TORCH"):
        common.say("benchmarks/train: installing PyTorch %s into %s (minutes)" % (TORCH, os.path.dirname(python)))
        subprocess.run([python, "-m", "pip", "install", "-q", "torch==" + TORCH, "numpy"] + list(extra),
                       stdout=sys.stderr)
    if subprocess.run([python, "-c", probe], stderr=subprocess.DEVNULL).returncode:
        raise common.NoPeer("no PyTorch: set RUNG_TORCH to a Python that has torch " + " ".join(extra))
    return python


class Side:
    def __init__(self, bench, cmd):
        env = dict(os.environ, OMP_NUM_THREADS=str(bench.threads), MKL_NUM_THREADS=str(bench.threads),
                   TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1")
        env.setdefault("OMP_WAIT_POLICY", "passive")          # a waiting side must not spin on the other's cores
        self.proc = subprocess.Popen([str(c) for c in cmd], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                     env=env)
        self.hello = self.read()

    def read(self):
        for line in self.proc.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise RuntimeError("%s ended with exit %s" % (self.proc.args[:3], self.proc.wait()))

    def ask(self, *words):
        self.proc.stdin.write(" ".join(str(w) for w in words) + "\n")
        self.proc.stdin.flush()
        return self.read()

    def close(self):
        self.proc.stdin.close()
        self.proc.wait()


def trainer(bench, *args):
    path = os.path.join(common.ROOT, "build", "bin", "bench_train")
    if not os.path.exists(path):
        build = os.path.join(common.ROOT, "build")
        subprocess.run(["cmake", "-S", common.ROOT, "-B", build, "-DRUNG_TESTS=ON"], stdout=sys.stderr, check=True)
        subprocess.run(["cmake", "--build", build, "--target", "bench_train"], stdout=sys.stderr, check=True)
    return Side(bench, [path] + list(args))


def peer(bench, kind, *args, extra=()):
    return Side(bench, [peer_python(extra), os.path.join(HERE, "peer.py"), kind, bench.threads] + list(args))


def take_turns(bench, ours, theirs, word, n, case, unit, what):
    """Both sides in turns, ours before and after; a first turn of each is not counted."""
    for side in (ours, theirs):
        side.ask(word, 1)
    for _ in range(bench.reps(5)):
        for name, side in (("rung", ours), ("pytorch", theirs), ("rung", ours)):
            r = side.ask(word, n)
            bench.note(case, name, r[what] / r["wall_s"], unit, wall_s=r["wall_s"], tokens=r.get("tokens"))


def finish(bench, case, unit, theirs, **more):
    bench.result(bench.median(case, "rung"), bench.median(case, "pytorch"), unit,
                 "PyTorch " + theirs.hello["torch"], threads=bench.threads,
                 spread={s: bench.spread(case, s) for s in ("rung", "pytorch")}, **more)


def full(bench, kind):
    if kind == "full-bf16" and bench.machine["simd"] != "avx512_bf16":
        raise common.NoPeer("this CPU has no bf16 products (avx512_bf16)")
    bench.model_name = "llama 5.08M, random"
    ours, theirs = trainer(bench, "full-bf16" if kind == "full-bf16" else "full"), peer(bench, kind)
    take_turns(bench, ours, theirs, "step", bench.size(4, 1), kind, "tokens/s", "tokens")
    finish(bench, kind, "tokens/s", theirs)
    ours.close()
    theirs.close()


def limit(bench):
    """6N flops a token against oneDNN's own product, in turns in one process."""
    bench.model_name = "llama 5.08M, random"
    ours = trainer(bench, "full")
    n_trained = ours.ask("memory")["n_trained"]
    ours.ask("step", 1)
    for _ in range(bench.reps(5)):
        bench.note("limit", "onednn", ours.ask("product", bench.size(60, 10))["gflops"], "GFLOP/s")
        r = ours.ask("step", bench.size(3, 1))
        bench.note("limit", "rung", 6e-9 * n_trained * r["tokens"] / r["wall_s"], "GFLOP/s", wall_s=r["wall_s"])
        bench.note("limit", "onednn", ours.ask("product", bench.size(60, 10))["gflops"], "GFLOP/s")
    bench.result(bench.median("limit", "rung"), bench.median("limit", "onednn"), "GFLOP/s",
                 "oneDNN's product 2048 x 256 x 704", threads=bench.threads, flops="6N a token",
                 spread={s: bench.spread("limit", s) for s in ("rung", "onednn")})
    ours.close()


def memory(bench):
    """Bytes beside weights, gradients and moments: allocated against the formula of docs/design/training.md."""
    bench.model_name = "llama 5.08M, random"
    ours = trainer(bench, "full")
    ours.ask("step", 1)
    m = ours.ask("memory")
    bench.note("memory", "rung", m["activation_bytes"], "bytes")
    bench.result(m["activation_bytes"], m["formula_bytes"], "bytes", "formula of docs/design/training.md",
                 peak_kib=m["peak_kib"])
    ours.close()


def lora(bench):
    base = os.environ.get("RUNG_SMOLLM2")
    if not base or not os.path.exists(base):
        raise common.NoPeer("no base: set RUNG_SMOLLM2 to SmolLM2-135M as GGUF (any type)")
    bench.model_name = os.path.basename(base)
    rows, n_tok = bench.size(8, 2), 128
    ours, theirs = trainer(bench, "lora", base, rows, n_tok), peer(bench, "lora", rows, n_tok,
                                                                   extra=("transformers", "peft"))
    take_turns(bench, ours, theirs, "step", 1, "lora", "tokens/s", "tokens")
    peak = {"rung": ours.ask("memory")["peak_kib"], "pytorch": theirs.ask("memory")["peak_kib"]}
    finish(bench, "lora", "tokens/s", theirs, peak_kib=peak, peak_ratio=peak["rung"] / peak["pytorch"])
    ours.close()
    theirs.close()


def head(bench):
    n = bench.size(20000, 2000)
    bench.model_name = "head 896-256-1"
    ours, theirs = trainer(bench, "head", n), peer(bench, "head", n)
    take_turns(bench, ours, theirs, "head", bench.size(10, 2), "head", "rows/s", "rows")
    finish(bench, "head", "rows/s", theirs)
    ours.close()
    theirs.close()


KINDS = {"full": full, "full-compile": full, "full-bf16": full, "limit": limit, "memory": memory, "lora": lora,
         "head": head}

if __name__ == "__main__":
    kind = sys.argv.pop(1)
    fn = KINDS[kind]
    sys.exit(common.main("train/" + kind, fn.__doc__ or __doc__, (lambda b: fn(b, kind)) if fn is full else fn))
