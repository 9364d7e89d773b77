"""What every benchmark shares: options, machine, running rung, raw records, the last line. Standard library only."""
import argparse
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NO_PEER = 3  # exit code: a peer, model or data set that cannot be had


class NoPeer(Exception):
    """Something to compare with cannot be had; the message says what and how to get it."""


def say(text):
    print(text, file=sys.stderr, flush=True)


def cache_dir():
    return os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "rung")


# ---- the machine

def cpuinfo():
    name, flags = platform.machine(), set()
    try:
        with open("/proc/cpuinfo") as f:
            for line in f:
                key, _, value = line.partition(":")
                if key.strip() == "model name":
                    name = value.strip()
                elif key.strip() == "flags" and not flags:
                    flags = set(value.split())
    except OSError:
        pass
    return name, flags


def simd():
    flags = cpuinfo()[1]
    for flag, word in (("avx512_bf16", "avx512_bf16"), ("avx512f", "avx512"), ("avx2", "avx2")):
        if flag in flags:
            return word
    return "none"


def machine():
    """load: the one-minute average when the benchmark began; above 0.5 others were at work and figures are noisy."""
    kib = 0
    with open("/proc/meminfo") as f:
        for line in f:
            if line.startswith("MemTotal:"):
                kib = int(line.split()[1])
    return {"cpu": cpuinfo()[0], "cores": len(os.sched_getaffinity(0)), "simd": simd(),
            "memory_gib": round(kib / 2**20, 1), "load": round(os.getloadavg()[0], 2)}


def commit():
    """The commit, with -dirty when the sources differ from it."""
    git = ["git", "-C", ROOT]
    try:
        head = subprocess.run(git + ["rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
        dirty = subprocess.run(git + ["status", "--porcelain", "-uno"], capture_output=True, text=True).stdout
        return head.stdout.strip() + ("-dirty" if dirty.strip() else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


# ---- one benchmark

def last_object(text):
    for line in reversed(text.splitlines()):
        if line.startswith("{"):
            return json.loads(line)
    raise ValueError("no JSON object in the output")


class Bench:
    """Options, a scratch folder, the raw records of one benchmark, its last line."""

    def __init__(self, name, argv, about, rows=None):
        p = argparse.ArgumentParser(prog="benchmarks/%s.sh" % name, description=about)
        p.add_argument("--quick", action="store_true", help="a small size, to see that it works; says so in the result")
        p.add_argument("--reps", type=int, default=0, help="repeat both sides, in turns; 0 = as the benchmark says")
        if rows is not None:
            p.add_argument("--rows", type=int, default=0, help="rows of the data set, 0 = %d" % rows)
        p.add_argument("--weights", default="auto", help="rung's --weights; the peers read the file as it is")
        p.add_argument("--threads", type=int, default=0, help="of both sides; 0 = every core")
        self.args = p.parse_args(argv)
        self.name, self.quick = name, self.args.quick
        self.machine, self.commit = machine(), commit()
        self.threads = self.args.threads or self.machine["cores"]
        self.raw, self.model_name = [], None
        self.tmp = tempfile.mkdtemp(prefix="rung-bench.")
        self.rung_bin = self.find_rung()

    def find_rung(self):
        path = os.environ.get("RUNG_BIN") or os.path.join(ROOT, "build", "bin", "rung")
        if not os.path.exists(path):
            subprocess.run(["make", "-C", ROOT, "rung"], stdout=sys.stderr, check=True)
        return path

    def size(self, full, quick):
        return quick if self.quick else full

    def reps(self, full):
        return self.args.reps or self.size(full, 1)

    def rows(self, full, quick):
        return getattr(self.args, "rows", 0) or self.size(full, quick)

    def rung(self, *args, weights=True):
        """The last object that this command prints with --json."""
        cmd = [self.rung_bin] + [str(a) for a in args] + ["--json", "--quiet"]
        if self.args.threads:
            cmd += ["--threads", str(self.args.threads)]
        if weights and self.args.weights and "--policy" in cmd:
            cmd += ["--weights", self.args.weights]
        r = subprocess.run(cmd, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        if r.returncode:
            raise RuntimeError("exit %d: %s" % (r.returncode, " ".join(cmd)))
        return last_object(r.stdout)

    def note(self, case, side, value, unit, wall_s=None, tokens=None, **detail):
        """One measured run. Every one of them goes into the CSV of benchmarks/all.sh."""
        rep = sum(1 for r in self.raw if r["case"] == case and r["side"] == side)
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        r = {"bench": self.name, "case": case, "side": side, "rep": rep, "quick": self.quick, "value": value,
             "unit": unit, "wall_s": wall_s, "tokens": tokens, "time": now, "load": round(os.getloadavg()[0], 2),
             "detail": detail, "model": self.model_name, "machine": self.machine, "commit": self.commit}
        self.raw.append(r)
        if os.environ.get("RUNG_BENCH_RAW"):             # at once: a run that is stopped keeps what it measured
            with open(os.environ["RUNG_BENCH_RAW"], "a") as f:
                f.write(json.dumps(r) + "\n")
        say("%s %s %s: %.5g %s" % (self.name, case, side, value, unit))

    def earlier(self, bench, side, **same):
        """The last run of `side` that another benchmark of this very go (benchmarks/all.sh) has made at this size."""
        path, found = os.environ.get("RUNG_BENCH_RAW"), None
        if path and os.path.exists(path):
            with open(path) as f:
                for line in f:
                    r = json.loads(line)
                    if r["bench"] == bench and r["side"] == side and r["commit"] == self.commit \
                            and r["model"] == self.model_name and all(r["detail"].get(k) == v for k, v in same.items()):
                        found = r
        return found

    def median(self, case, side):
        values = [r["value"] for r in self.raw if r["case"] == case and r["side"] == side]
        return statistics.median(values) if values else None

    def rate(self, case, side):
        """Rows a second over all runs of unlike sizes, which a median would weigh alike."""
        runs = [r for r in self.raw if r["case"] == case and r["side"] == side]
        return sum(r["detail"]["rows"] for r in runs) / sum(r["wall_s"] for r in runs)

    def spread(self, case, side):
        values = [r["value"] for r in self.raw if r["case"] == case and r["side"] == side]
        return [min(values), max(values)] if values else None

    def result(self, ours, peer, unit, peer_name, **more):
        """The last line. ratio: ours / peer, above 1 = faster, unless `more` says otherwise."""
        out = {"v": 1, "bench": self.name, "ours": ours, "peer": peer,
               "ratio": ours / peer if ours is not None and peer else None, "unit": unit, "peer_name": peer_name,
               "machine": self.machine, "model": self.model_name, "commit": self.commit, "quick": self.quick}
        out.update(more)
        print(json.dumps(out, separators=(",", ":")), flush=True)

    def close(self):
        shutil.rmtree(self.tmp, ignore_errors=True)


# ---- model and data

def model_file(bench):
    r = subprocess.run([os.path.join(ROOT, "tools", "bench_model.sh")], stdout=subprocess.PIPE, text=True,
                       stdin=subprocess.DEVNULL)
    if r.returncode:
        raise NoPeer("no model")
    path = r.stdout.strip().splitlines()[-1]
    bench.model_name = os.path.basename(path)
    return path


def tiny_model(bench):
    path = os.path.join(ROOT, "models", "tiny.gguf")
    bench.model_name = "tiny.gguf"
    return path


def processbench(bench):
    path = os.path.join(os.environ.get("RUNG_DATA", ""), "processbench", "gsm8k.json")
    if not os.path.exists(path):
        raise NoPeer("no data: set RUNG_DATA to a folder with processbench/gsm8k.json")
    return path


def traces(bench, model, n):
    """A store with n solutions: ProcessBench, or, where the model's context is too short for it, its own of a world."""
    store = os.path.join(bench.tmp, "bench.db")
    info = bench.rung("model", "info", model)
    if info["n_ctx_train"] >= 1024:
        bench.rung("trace", "import", "processbench", processbench(bench), "--set", "pb", "--store", store,
                   "--limit", n)
    else:
        bench.rung("problem", "generate", "word", "--set", "pb", "--splits", "test=%d" % n, "--store", store)
        bench.rung("trace", "sample", "--policy", model, "--store", store, "--max-tokens", 96, "--temperature", "0.8")
    return store


def main(name, about, fn, rows=None):
    bench = None
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))      # so that the peers end with us
    try:
        bench = Bench(name, sys.argv[1:], about, rows)
        fn(bench)
        return 0
    except NoPeer as e:
        say("benchmarks/%s.sh: %s" % (name, e))
        bench.result(None, None, None, None, why=str(e))
        return NO_PEER
    except (RuntimeError, OSError, ValueError, KeyError, subprocess.SubprocessError) as e:
        say("benchmarks/%s.sh: %s: %s" % (name, type(e).__name__, e))
        return 1
    finally:
        if bench:
            bench.close()
