"""A server of rung for tests, and a client without any library: sockets and JSON."""
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

RUNG, MODEL = os.environ["RUNG"], os.environ["MODEL"]
ASK = "Start at 28. +2 -9 x2 +4 +7 +4 +8 -3. Total?\n"
failures = 0
n_checks = 0


def check(what, ok, more=""):
    global failures, n_checks
    n_checks += 1
    if not ok:
        failures += 1
        print(f"FAILED: {what} {more}"[:1500], file=sys.stderr)
    return ok


def die_with_us():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: no server outlives a test that broke off


class Server:
    def __init__(self, *options, env=None, wait=True):
        self.dir = tempfile.mkdtemp(prefix="rung-serve.")
        command = [RUNG, "serve", "--policy", MODEL, "--listen", "127.0.0.1:0", "--split-steps", "line", "--threads", "1",
                   "--max-tokens", "80", "--quiet", "--store", os.path.join(self.dir, "s.db"), *options]
        self.log = open(os.path.join(self.dir, "log"), "w+")
        self.p = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True, env={**os.environ, **(env or {})},
                                  preexec_fn=die_with_us)
        self.url = self.p.stdout.readline().strip()
        self.port = int(self.url.rsplit(":", 1)[1]) if self.url else 0
        self.token = (env or {}).get("RUNG_SERVE_TOKEN")
        if wait:
            self.wait_ready()

    def wait_ready(self, seconds=60):
        end = time.time() + seconds
        while time.time() < end:
            try:
                if self.get("/health")[0] == 200:
                    return True
            except OSError:
                pass
            time.sleep(0.05)
        raise RuntimeError("the server did not become ready: " + self.errors())

    def errors(self):
        self.log.seek(0)
        return self.log.read()

    def connect(self, timeout=60):
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout)

    def request(self, method, path, body=None, headers=None, timeout=120):
        """status, headers, body"""
        s = self.connect(timeout)
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        h = {"Host": f"127.0.0.1:{self.port}", "Connection": "close", "Content-Length": str(len(data))}
        if self.token:
            h["Authorization"] = "Bearer " + self.token
        h.update(headers or {})
        s.sendall((f"{method} {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in h.items()) + "\r\n").encode() + data)
        return read_reply(s)

    def get(self, path, **more):
        return self.request("GET", path, **more)

    def post(self, path, body, **more):
        status, _, text = self.request("POST", path, body, **more)
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text

    def stream(self, path, body):
        """events of a stream, as JSON; "[DONE]" as itself"""
        status, headers, text = self.request("POST", path, {**body, "stream": True})
        events = [e[6:] for e in text.decode().split("\n\n") if e.startswith("data: ")]
        return status, headers, [e if e == "[DONE]" else json.loads(e) for e in events]

    def metric(self, name):
        for line in self.get("/metrics")[2].decode().splitlines():
            if line.startswith("rung_" + name + " "):
                return float(line.split()[1])
        return None

    def workers(self):
        """process ids of the workers"""
        pids = []
        for p in os.listdir("/proc"):
            if not p.isdigit():
                continue
            try:
                with open(f"/proc/{p}/stat") as f:
                    parent = int(f.read().rsplit(")", 1)[1].split()[1])
                with open(f"/proc/{p}/environ", "rb") as f:
                    env = f.read()
            except OSError:
                continue
            if parent == self.p.pid:
                for role in ("model", "verify"):
                    if f"RUNG_SERVE_WORKER={role}:".encode() in env:
                        pids.append((role, int(p)))
        return dict(pids)

    def stop(self, seconds=60):
        """exit code after SIGTERM"""
        self.p.send_signal(signal.SIGTERM)
        try:
            return self.p.wait(seconds)
        except subprocess.TimeoutExpired:
            self.p.kill()
            return None


def read_reply(s, data=b""):
    with s:
        while True:
            try:
                more = s.recv(1 << 16)
            except ConnectionResetError:
                break
            if not more:
                break
            data += more
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    status = int(lines[0].split()[1]) if len(lines[0].split()) > 1 else 0
    headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines[1:])}
    if headers.get("transfer-encoding") == "chunked":
        out = b""
        while body:
            size, _, rest = body.partition(b"\r\n")
            n = int(size or b"0", 16)
            if n == 0:
                break
            out += rest[:n]
            body = rest[n + 2:]
        body = out
    return status, headers, body
