#!/usr/bin/env python3
"""An OpenAI-compatible endpoint that misbehaves on purpose (Python 3, standard library only).

Prints its port on the first line of stdout and serves until stdin closes.  The first part of the path
says how it behaves: /clean/v1/... answers; every other mode spoils the first try of each request body
(or as said below) and then answers as /clean does:
  500 broken cut empty slow close 429 busy    one kind of failure; 429 asks for Retry-After: 1
  mixed                                       a kind drawn from the body's hash, up to two tries each
  fewer                                       one choice less than asked for, when more than one
  more                                        two choices more
  shuffled                                    choices in reverse order, numbered
  only1                                       400 when n > 1
  auth                                        401 without "Authorization: Bearer open sesame"
  dead                                        always 500
  dies                                        500 after ten answers
  silent                                      says nothing of stop strings, logprobs or usage
The text of choice c depends on the prompt and on seed + c alone.
"""
import hashlib
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KINDS = ["500", "broken", "cut", "empty", "close", "429", "busy"]
tries = {}
answers = {}
lock = threading.Lock()


def text_of(prompt, seed):
    h = hashlib.sha256(f"{prompt}|{seed}".encode()).hexdigest()
    words = [f"w{h[i:i + 2]}" for i in range(0, 12, 2)]
    return f"Step 1: {words[0]} {words[1]}\n\nStep 2: {' '.join(words[2:])} é\n\n#### {int(h[:4], 16)}"


def choice_of(req, chat, c):
    prompt = json.dumps(req["messages"]) if chat else req["prompt"]
    text, reason = text_of(prompt, req.get("seed", 0) + c), None
    for stop in req.get("stop", []):
        if stop in text:
            text, reason = text[: text.index(stop)], stop
    n = len(text.split())
    lp = [-0.25 * (k + 1) for k in range(n)]
    out = {"index": c, "finish_reason": "stop", "stop_reason": reason}
    if req["max_tokens"] < n:
        out["finish_reason"], out["stop_reason"] = "length", None
        text = " ".join(text.split(" ")[: req["max_tokens"]])
    if chat:
        out["message"] = {"role": "assistant", "content": text}
        out["logprobs"] = {"content": [{"token": "x", "logprob": x} for x in lp]}
    else:
        out["text"] = text
        out["logprobs"] = {"tokens": ["x"] * n, "token_logprobs": lp}
    return out


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def reply(self, code, body, headers=(), length=None):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data) if length is None else length))
        for k, v in headers:
            self.send_header(k, v)
        self.end_headers()
        self.wfile.write(data)
        if length is not None:
            self.close_connection = True

    def spoil(self, kind, answer):
        data = json.dumps(answer).encode()
        if kind == "500":
            self.reply(500, {"error": {"message": "deliberate failure"}})
        elif kind == "busy":
            self.reply(503, b"<html>busy</html>")
        elif kind == "429":
            self.reply(429, {"error": {"message": "too many"}}, [("Retry-After", "1")])
        elif kind == "broken":
            self.reply(200, data[: len(data) // 2])
        elif kind == "cut":
            self.reply(200, data[: len(data) // 2], length=len(data))
        elif kind == "empty":
            self.reply(200, {"choices": []})
        elif kind == "slow":
            time.sleep(1.5)
            self.reply(200, answer)
        elif kind == "close":
            self.close_connection = True

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = self.path.strip("/").split("/")
        mode, chat = parts[0], self.path.endswith("/chat/completions")
        if "/v1/" not in self.path:
            return self.reply(404, {"message": "no such path"})
        try:
            req = json.loads(body)
        except ValueError:
            return self.reply(400, {"error": "request is not JSON"})
        with lock:
            t = tries[(self.path, body)] = tries.get((self.path, body), 0) + 1
        n = req.get("n", 1)
        if mode == "auth" and self.headers.get("Authorization") != "Bearer open sesame":
            return self.reply(401, {"error": {"message": "no key"}})
        if mode == "only1" and n > 1:
            return self.reply(400, {"error": {"message": "n must be 1"}})
        if mode == "dead":
            return self.reply(500, {"error": {"message": "always"}})
        if mode == "dies":
            with lock:
                answers[mode] = answers.get(mode, 0) + 1
                if answers[mode] > 10:
                    return self.reply(500, {"error": {"message": "it died"}})
        m = n - 1 if mode == "fewer" and n > 1 else n + 2 if mode == "more" else n
        choices = [choice_of(req, chat, c) for c in range(m)]
        if mode == "shuffled":
            choices.reverse()
        answer = {"object": "x", "choices": choices, "usage": {"completion_tokens": 7 * m}}
        if mode == "silent":
            del answer["usage"]
            for c in choices:
                del c["logprobs"], c["stop_reason"]
        h = hashlib.sha256(body).digest()
        if mode == "mixed" and t <= h[0] % 3:
            return self.spoil(KINDS[h[t] % len(KINDS)], answer)
        if mode in KINDS + ["slow"] and t == 1:
            return self.spoil(mode, answer)
        self.reply(200, answer)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        pass  # a client that gave up waiting


def main():
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
