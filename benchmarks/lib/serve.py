"""The server under load. Both sides do the same work with as many sequences at once: whole solutions of the same generated
problems, T = 1, one sample each. One side is the engine alone (`rung bench rollouts --from problems --sequences N`: nothing stored
or verified, opening it not timed), the other `rung serve` asked by N clients that each wait for their reply before they ask the
next question (build/bin/bench_serve_load: one thread, so that asking leaves the cores to the answers). Both tell tokens of answers
over wall seconds. Turns alternate, ratios are of a turn and the mean of the engine's turns around it; medians count."""
import argparse
import atexit
import http.client
import json
import os
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RUNG = os.environ.get("RUNG_BIN", os.path.join(root, "build", "bin", "rung"))
MODEL = os.environ.get("RUNG_MODEL", os.path.join(root, "models", "tiny.gguf"))
LOAD = os.environ.get("RUNG_SERVE_LOAD", os.path.join(os.path.dirname(RUNG), "bench_serve_load"))
SEQUENCES = 64


class Server:
    def __init__(self, folder, threads):
        self.log = open(os.path.join(folder, "serve.log"), "w")
        self.p = subprocess.Popen([RUNG, "serve", "--policy", MODEL, "--listen", "127.0.0.1:0", "--sequences", str(SEQUENCES), "--quiet",
                                   "--no-keep", "--max-tokens", "96", "--threads", str(threads), "--idle", "3600", "--body", "3600", "--deadline", "7200", "--store", os.path.join(folder, "none.db")],
                                  stdout=subprocess.PIPE, stderr=self.log, text=True)
        atexit.register(self.p.kill)
        self.port = int(self.p.stdout.readline().rsplit(":", 1)[1])
        while self.get("/health")[0] != 200:
            time.sleep(0.05)

    def get(self, path):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        c.request("GET", path)
        r = c.getresponse()
        return r.status, r.read()

    def processes(self):
        children = []
        for p in os.listdir("/proc"):
            if p.isdigit():
                try:
                    with open(f"/proc/{p}/stat") as f:
                        if int(f.read().rsplit(")", 1)[1].split()[1]) == self.p.pid:
                            children.append(int(p))
                except OSError:
                    pass
        return [self.p.pid, *children]

    def held(self):
        """resident KiB and open descriptors of server and workers"""
        kib = fds = 0
        for p in self.processes():
            with open(f"/proc/{p}/status") as f:
                kib += int(next(line for line in f if line.startswith("VmRSS")).split()[1])
            fds += len(os.listdir(f"/proc/{p}/fd"))
        return kib, fds

    def stop(self):
        self.p.send_signal(signal.SIGTERM)
        return self.p.wait(60)


def load(server, bodies, n, requests, seconds=None):
    run = subprocess.run([LOAD, str(server.port), str(n), str(requests), bodies, "/v1/chat/completions", *([str(seconds)] if seconds else [])],
                         stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(run.stdout)


def engine(store, n, problems):
    run = subprocess.run([RUNG, "bench", "rollouts", "--policy", MODEL, "--store", store, "--from", "problems", "--k", "1", "--limit",
                          str(problems), "--sequences", str(n), "--max-tokens", "96", "--quiet", "--json"],
                         capture_output=True, text=True, check=True)
    o = json.loads(run.stdout.strip().splitlines()[-1])
    return o["tokens_kept"] / o["wall_s"]


def compare(server, store, bodies, n, requests, rounds):
    """medians of the turns at n clients"""
    before, rows = engine(store, n, requests), []
    for _ in range(rounds):
        r = load(server, bodies, n, requests)
        after = engine(store, n, requests)
        r["engine"] = (before + after) / 2
        r["ratio"] = r["tok_per_s"] / r["engine"]
        before = after
        rows.append(r)
    mid = {k: statistics.median(r[k] for r in rows) for k in ("tok_per_s", "engine", "ratio", "p50_ms", "p99_ms")}
    return {"clients": n, "requests": requests, "rounds": rounds, **mid, "ratios": [round(r["ratio"], 3) for r in rows]}


def soak(server, bodies, n, seconds):
    """memory and descriptors every tenth of the time; nothing may grow after the first tenths"""
    load(server, bodies, n, 10**6, 3)
    held, replies = [server.held()], 0
    for _ in range(10):
        replies += load(server, bodies, n, 10**6, seconds / 10)["replies"]
        held.append(server.held())
    return {"seconds": seconds, "clients": n, "replies": replies, "kib": [h[0] for h in held], "descriptors": [h[1] for h in held]}


def main():
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument("--quick", action="store_true", help="a few seconds a side: shows that it runs, measures nothing")
    a.add_argument("--rounds", type=int, default=7, help="turns of each side at each number of clients")
    a.add_argument("--threads", type=int, default=0, help="of the server's engine (1 beside other jobs, where two wait for each other); 0 = all cores")
    a.add_argument("--soak", type=float, default=0, help="only this: 8 clients for so many seconds; memory and descriptors must stay")
    a = a.parse_args()
    if not all(os.path.exists(f) for f in (RUNG, MODEL, LOAD)):
        print("serve: no rung, no model or no bench_serve_load (built with the tests)", file=sys.stderr)
        sys.exit(3)
    with tempfile.TemporaryDirectory() as folder:
        store, bodies = os.path.join(folder, "s.db"), os.path.join(folder, "bodies.jsonl")
        subprocess.run([RUNG, "problem", "generate", "total", "--splits", "test=512", "--store", store, "--quiet"], check=True)
        with open(bodies, "w") as f:
            for q, in sqlite3.connect(store).execute("select question from problem order by id"):
                f.write(json.dumps({"messages": [{"role": "user", "content": q}]}) + "\n")
        server = Server(folder, a.threads)
        rows, held = [], None
        if a.soak:
            held = soak(server, bodies, 8, a.soak)
            print(json.dumps({"v": 1, "soak": held}), flush=True)
        else:
            for n, requests in ((1, 60), (8, 200), (64, 512)):
                rows.append(compare(server, store, bodies, n, requests // 4 if a.quick else requests, 1 if a.quick else a.rounds))
                print(json.dumps({"v": 1, **{k: round(v, 3) if isinstance(v, float) else v for k, v in rows[-1].items()}}), flush=True)
        code = server.stop()
        commit = subprocess.run(["git", "-C", root, "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
        cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
        worst = min(rows, key=lambda r: r["ratio"]) if rows else None
        print(json.dumps({"v": 1, "bench": "serve", "ours": worst and round(worst["tok_per_s"], 1), "peer": worst and round(worst["engine"], 1),
                          "ratio": worst and round(worst["ratio"], 3), "unit": "tokens/s", "peer_name": "rung bench rollouts: the engine's own batch",
                          "clients": worst and worst["clients"], "soak": held, "exit": code,
                          "machine": {"cpu": cpu, "cores": os.cpu_count()}, "model": os.path.basename(MODEL), "commit": commit}))


main()
