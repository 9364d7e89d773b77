"""The peers, built from the same pinned source with the same switches (tools/deps.sh --bench): llama-server under
concurrent clients, llama-batched-bench, llama-bench, llama-quantize."""
import hashlib
import http.client
import json
import os
import queue
import socket
import subprocess
import sys
import threading
import time

from common import ROOT, NoPeer, cache_dir, say, simd


def tool(name):
    deps = os.path.join(ROOT, "tools", "deps.sh")
    prefix = subprocess.run([deps, "--print-dir"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    path = os.path.join(prefix, "bin", name)
    if not os.access(path, os.X_OK):
        r = subprocess.run([deps, "--bench"], stdin=subprocess.DEVNULL, stdout=sys.stderr)
        if r.returncode or not os.access(path, os.X_OK):
            raise NoPeer("%s could not be built (tools/deps.sh --bench)" % name)
    return path


def peer_env(bench):
    """On a busy machine threads that spin at barriers stall each other, so there the peers sleep at them, as rung does;
    on a quiet one they run as they come."""
    env = dict(os.environ)
    if bench.machine["load"] > 0.5 * bench.machine["cores"]:
        env.setdefault("OMP_WAIT_POLICY", "passive")
    return env


def run(bench, cmd):
    return subprocess.run(cmd, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=peer_env(bench))


# ---- llama-server

def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """llama-server with `slots` slots over one unified cache; started before anything is timed."""

    def __init__(self, bench, model, slots, ctx):
        self.port = free_port()
        self.log = open(os.path.join(bench.tmp, "server.log"), "w")
        cmd = [tool("llama-server"), "-m", model, "--host", "127.0.0.1", "--port", str(self.port), "-np", str(slots),
               "-kvu", "-c", str(ctx), "-t", str(bench.threads), "--cache-prompt", "--no-webui", "--offline"]
        self.proc = subprocess.Popen(cmd, stdout=self.log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                     env=peer_env(bench))
        self.wait()

    def wait(self):
        end = time.monotonic() + 180
        while time.monotonic() < end:
            if self.proc.poll() is not None:
                break
            try:
                c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                c.request("GET", "/health")
                if c.getresponse().status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.2)
        self.close()
        with open(self.log.name) as f:
            raise RuntimeError("llama-server did not start: %s" % " | ".join(f.read().splitlines()[-4:]))

    def rss_peak_bytes(self):
        with open("/proc/%d/status" % self.proc.pid) as f:
            for line in f:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        return None

    def cpu_s(self):
        """Computing time of all its threads so far."""
        with open("/proc/%d/stat" % self.proc.pid) as f:
            fields = f.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self):
        if self.proc.poll() is None:
            self.proc.terminate()
            try:
                self.proc.wait(20)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()
        self.log.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def client(server, jobs, body, totals, lock, errors):
    """One client: a connection that is kept, a request at a time, until no job is left."""
    conn = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
    while not errors:
        try:
            tok, seed = jobs.get_nowait()
        except queue.Empty:
            break
        try:
            conn.request("POST", "/completion", json.dumps(dict(body, prompt=tok, seed=seed)),
                         {"Content-Type": "application/json"})
            r = conn.getresponse()
            reply = json.loads(r.read())
            if r.status != 200:
                raise RuntimeError("status %d: %s" % (r.status, reply))
            t = reply["timings"]
            with lock:
                totals["tokens_generated"] += t["predicted_n"]
                totals["tokens_prefilled"] += t["prompt_n"]
                totals["samples"] += 1
        except (OSError, ValueError, KeyError, RuntimeError, http.client.HTTPException) as e:
            errors.append(e)
    conn.close()


def serve(bench, model, prompts, k, max_tokens, temperature, top_p, slots=16, clients=16):
    """k completions of each prompt (lists of tokens) by `clients` concurrent clients. The wall time is from the first
    request to the last reply; tokens are counted from the replies. top_k and min_p are off, as on our side."""
    longest = max(len(t) for t in prompts) + max_tokens
    ctx = max(4096, (slots * longest + 1023) // 1024 * 1024)
    body = {"n_predict": max_tokens, "temperature": temperature, "top_p": top_p, "top_k": 0, "min_p": 0.0,
            "repeat_penalty": 1.0, "samplers": ["top_p", "temperature"], "cache_prompt": True, "stream": False}
    jobs, lock, errors = queue.Queue(), threading.Lock(), []
    for i, tok in enumerate(prompts):
        for j in range(k):
            jobs.put((tok, 1000 * i + j))
    totals = {"tokens_generated": 0, "tokens_prefilled": 0, "samples": 0}
    with Server(bench, model, slots, ctx) as server:
        args = (server, jobs, body, totals, lock, errors)
        threads = [threading.Thread(target=client, args=args) for _ in range(clients)]
        t0, cpu0 = time.monotonic(), server.cpu_s()
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        totals["wall_s"] = time.monotonic() - t0
        totals["cpu_s"] = server.cpu_s() - cpu0
        totals["rss_peak_bytes"] = server.rss_peak_bytes()
    if errors:
        raise RuntimeError("llama-server: %s" % errors[0])
    totals["tokens_per_s"] = totals["tokens_generated"] / totals["wall_s"]
    return totals


# ---- llama-batched-bench, llama-bench

def batched(bench, model, sizes, n_prompt, n_gen, unified):
    """{size: figures} of decoding `size` sequences from one shared prompt; it does not sample. Its logger can lose the
    last line at exit: a cheap size more is asked for, and a run that lost more is made again."""
    most = max(sizes)
    each = (n_prompt + n_gen + 256) // 256 * 256            # a stream's cells come in units of 256
    ctx = n_prompt + most * n_gen + 256 if unified else most * each
    cmd = [tool("llama-batched-bench"), "-m", model, "-c", str(ctx), "-npp", str(n_prompt), "-ntg", str(n_gen),
           "-npl", ",".join(map(str, sizes + [1])), "-pps", "-kvu" if unified else "-no-kvu",
           "-t", str(bench.threads), "-fa", "on", "--output-format", "jsonl"]
    for _ in range(3):
        out = {}
        r = run(bench, cmd)
        for line in r.stdout.splitlines():
            if line.startswith("{"):
                o = json.loads(line)
                out.setdefault(o["pl"], {"tokens_per_s": o["speed_tg"], "wall_s": o["t_tg"]})
        if r.returncode == 0 and set(out) >= set(sizes):
            return {n: out[n] for n in sizes}
    raise RuntimeError("llama-batched-bench: exit %d: %s" % (r.returncode, r.stderr[-300:]))


def prefill(bench, model, n_prompt):
    """tokens/s of reading n_prompt tokens."""
    cmd = [tool("llama-bench"), "-m", model, "-p", str(n_prompt), "-n", "0", "-r", "1", "-t", str(bench.threads),
           "-o", "json"]
    r = run(bench, cmd)
    if r.returncode:
        raise RuntimeError("llama-bench: exit %d: %s" % (r.returncode, r.stderr[-300:]))
    return json.loads(r.stdout)[0]["avg_ts"]


# ---- the server's own best file

def requantized(model, kind):
    """The same weights in another storage type, made once by llama-quantize into the cache folder."""
    st = os.stat(model)
    key = hashlib.sha256(("%s %d %d" % (os.path.realpath(model), st.st_size, st.st_mtime_ns)).encode()).hexdigest()[:12]
    folder = os.path.join(cache_dir(), "bench")
    path = os.path.join(folder, "%s-%s-%s.gguf" % (os.path.splitext(os.path.basename(model))[0], key, kind))
    if os.path.exists(path):
        return path
    os.makedirs(folder, exist_ok=True)
    r = subprocess.run([tool("llama-quantize"), "--allow-requantize", model, path + ".tmp", kind.upper()],
                       capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if r.returncode:
        raise RuntimeError("llama-quantize: %s" % r.stderr[-300:])
    os.rename(path + ".tmp", path)
    return path


def best_file(bench, model):
    """(path, type) of the file that decodes 16 sequences fastest here: the model's own, Q8_0, F32, Q4_0 (repacked
    kernels; it changes the model), and BF16 where the CPU multiplies it."""
    kinds = ["as-is", "q8_0", "q4_0", "f32"] + (["bf16"] if simd() == "avx512_bf16" else [])
    n = bench.size(32, 8)
    speed = {}
    for kind in kinds:
        path = model if kind == "as-is" else requantized(model, kind)
        speed[kind] = (batched(bench, path, [16], 64, n, True)[16]["tokens_per_s"], path)
        say("server's file %s: %.4g tokens/s at 16 sequences" % (kind, speed[kind][0]))
    kind = max(speed, key=lambda k: speed[k][0])
    return speed[kind][1], kind
