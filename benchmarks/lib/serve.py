"""The server under load. Both sides do the same work on the same model with as many sequences: whole solutions of the same
generated problems, T = 1, sampled by `rung trace sample` (the engine's own batch) and asked of `rung serve` by 1, 8 and 64 clients
that each wait for their reply before they ask again. Rounds are interleaved; the median of each counts."""
import argparse
import concurrent.futures
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
SEQUENCES = 64


class Server:
    def __init__(self, folder):
        self.log = open(os.path.join(folder, "serve.log"), "w")
        self.p = subprocess.Popen([RUNG, "serve", "--policy", MODEL, "--listen", "127.0.0.1:0", "--sequences", str(SEQUENCES), "--quiet",
                                   "--no-keep", "--max-tokens", "96", "--store", os.path.join(folder, "none.db")],
                                  stdout=subprocess.PIPE, stderr=self.log, text=True)
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


def client(port, questions, until):
    """asks until the time is over; (seconds, tokens) of each reply"""
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    out = []
    i = 0
    while time.time() < until:
        body = json.dumps({"messages": [{"role": "user", "content": questions[i % len(questions)]}]})
        t = time.time()
        c.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
        r = c.getresponse()
        reply = json.loads(r.read())
        if r.status != 200:
            raise RuntimeError(f"{r.status}: {reply}")
        out.append((time.time() - t, reply["usage"]["completion_tokens"]))
        i += 1
    return out


def load(server, questions, n, seconds):
    begin = time.time()
    with concurrent.futures.ThreadPoolExecutor(n) as pool:
        lists = list(pool.map(lambda k: client(server.port, questions[k:] + questions[:k], begin + seconds), range(n)))
    wall = time.time() - begin
    replies = [r for one in lists for r in one]
    took = sorted(s for s, _ in replies)
    return {"clients": n, "replies": len(replies), "tok_per_s": sum(t for _, t in replies) / wall,
            "p50_ms": 1000 * took[len(took) // 2], "p99_ms": 1000 * took[min(len(took) - 1, len(took) * 99 // 100)]}


def engine(folder, store, k, seed):
    run = subprocess.run([RUNG, "trace", "sample", "--policy", MODEL, "--store", store, "--n", str(k), "--max-tokens", "96",
                          "--sequences", str(SEQUENCES), "--seed", str(seed), "--name", f"s{seed}", "--quiet", "--json"],
                         capture_output=True, text=True, check=True)
    o = json.loads(run.stdout.strip().splitlines()[-1])
    return o["tokens"] / o["wall_s"]


def main():
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument("--quick", action="store_true", help="a few seconds a side: shows that it runs, measures nothing")
    a.add_argument("--soak", type=float, default=0, help="afterwards 8 clients for so many seconds: memory and descriptors stay")
    a = a.parse_args()
    seconds, rounds = (2, 1) if a.quick else (8, 3)
    if not os.path.exists(RUNG) or not os.path.exists(MODEL):
        print("serve: no rung or no model", file=sys.stderr)
        sys.exit(3)
    with tempfile.TemporaryDirectory() as folder:
        store = os.path.join(folder, "s.db")
        subprocess.run([RUNG, "problem", "generate", "total", "--splits", "test=64", "--store", store, "--quiet"], check=True)
        questions = [r[0] for r in sqlite3.connect(store).execute("select question from problem order by id")]
        server = Server(folder)
        rows = {1: [], 8: [], 64: []}
        own = []
        for i in range(rounds):
            own.append(engine(folder, store, 8 if a.quick else 24, i + 1))
            for n in rows:
                rows[n].append(load(server, questions, n, seconds))
        base = statistics.median(own)
        for n, list_ in rows.items():
            mid = sorted(list_, key=lambda r: r["tok_per_s"])[len(list_) // 2]
            print(json.dumps({"v": 1, **{k: round(v, 2) for k, v in mid.items()}, "of_engine": round(mid["tok_per_s"] / base, 3)}), flush=True)
        ours = statistics.median(r["tok_per_s"] for r in rows[64])
        soak = None
        if a.soak:
            load(server, questions, 8, 3)
            before = server.held()
            r = load(server, questions, 8, a.soak)
            time.sleep(1)
            after = server.held()
            soak = {"seconds": a.soak, "replies": r["replies"], "kib_before": before[0], "kib_after": after[0],
                    "descriptors_before": before[1], "descriptors_after": after[1]}
            print(json.dumps({"v": 1, "soak": soak}), flush=True)
        code = server.stop()
        commit = subprocess.run(["git", "-C", root, "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
        cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
        print(json.dumps({"v": 1, "bench": "serve", "ours": round(ours, 1), "peer": round(base, 1), "ratio": round(ours / base, 3),
                          "unit": "tokens/s", "peer_name": "rung trace sample: the engine's own batch", "clients": 64,
                          "p50_ms": round(statistics.median(r["p50_ms"] for r in rows[64]), 1),
                          "p99_ms": round(statistics.median(r["p99_ms"] for r in rows[64]), 1), "soak": soak, "exit": code,
                          "machine": {"cpu": cpu, "cores": os.cpu_count()}, "model": os.path.basename(MODEL), "commit": commit}))


main()
