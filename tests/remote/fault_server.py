#!/usr/bin/env python3
"""An OpenAI-compatible endpoint that misbehaves on purpose (Python 3, standard library only).

Prints its port on the first line of stdout and serves until stdin closes.  The first part of the path
says how it behaves: /clean/v1/... answers; every other mode spoils the first try of each request body
(or as said below) and then answers as /clean does:
  500 broken cut empty close busy 429 slow    one kind of failure; 429 asks for Retry-After: 1; the last two, which
                                              cost time, spoil a quarter of the bodies
  mixed                                       a kind drawn from the body's hash, up to two tries each
  chaos-P                                     P% of all requests, every kind in turn, fewer and more choices too
  fewer                                       one choice less than asked for, when more than one
  more                                        two choices more
  lone                                        one choice, whatever was asked for
  shuffled                                    choices in reverse order, numbered
  only1                                       400 when n > 1
  auth                                        401 without "Authorization: Bearer open sesame"
  dead                                        always 500
  dies                                        500 after ten answers
  silent                                      says nothing of stop strings, logprobs or usage
  slots-S-MS                                  S slots; each choice holds one for MS milliseconds; more wait
  limit-L-MS                                  429 when more than L requests are there at once; each takes MS milliseconds
Further parts before /v1 say what it is, and keep apart what it counts:
  model=NAME owner=NAME size=N slots=N        what GET /v1/models and /props tell; several model= parts, several models
  quiz                                        answers are 0, 1 or 2
  anything else                               a name for a test of its own
GET /stats/PREFIX      {"requests", "good", "injected": {kind: n}, "at_once"} of the endpoint /PREFIX/v1
GET /mortal/N          another port; after N answers it accepts no connection and answers nobody any more
The text of choice c depends on the prompt and on seed + c alone.
"""
import hashlib
import json
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KINDS = ["500", "broken", "cut", "empty", "close", "429", "busy"]
CHAOS = KINDS + ["slow", "fewer", "more"]
tries = {}
answers = {}
counts = {}
slots = {}
lock = threading.Lock()


def count_of(prefix):
    return counts.setdefault(prefix, {"requests": 0, "good": 0, "injected": {}, "at_once": 0, "now": 0})


def text_of(prompt, seed, quiz):
    h = hashlib.sha256(f"{prompt}|{seed}".encode()).hexdigest()
    words = [f"w{h[i:i + 2]}" for i in range(0, 12, 2)]
    number = int(h[:4], 16) % (3 if quiz else 1 << 16)
    return f"Step 1: {words[0]} {words[1]}\n\nStep 2: {' '.join(words[2:])} é\n\n#### {number}"


def choice_of(req, chat, c, quiz):
    prompt = json.dumps(req["messages"]) if chat else req["prompt"]
    text, reason = text_of(prompt, req.get("seed", 0) + c, quiz), None
    for stop in req.get("stop", []):
        if stop in text:
            text, reason = text[: text.index(stop)], stop
    if reason and req.get("include_stop_str_in_output"):
        text += reason
    n = len(text.split())
    lp = [-0.25 * (k + 1) for k in range(n)]
    out = {"index": c, "finish_reason": "stop", "stop_reason": reason}
    if req.get("max_tokens", 1 << 20) < n:
        out["finish_reason"], out["stop_reason"] = "length", None
        text = " ".join(text.split(" ")[: req["max_tokens"]])
    if chat:
        out["message"] = {"role": "assistant", "content": text}
        out["logprobs"] = {"content": [{"token": "x", "logprob": x} for x in lp]}
    else:
        out["text"] = text
        out["logprobs"] = {"tokens": ["x"] * n, "token_logprobs": lp}
    return out


def wait_for_slots(prefix, n_slots, ms, n):
    """Each choice takes the slot that is free first; returns when the last one is done."""
    now = time.monotonic()
    with lock:
        free = slots.setdefault(prefix, [0.0] * n_slots)
        end = now
        for _ in range(n):
            k = free.index(min(free))
            free[k] = max(now, free[k]) + ms / 1000
            end = max(end, free[k])
    time.sleep(end - now)


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
            time.sleep(2.5)
            self.reply(200, answer)
        elif kind == "close":
            self.close_connection = True

    def split(self):
        """mode, tags, prefix, the path after the prefix"""
        prefix, _, rest = self.path.strip("/").partition("/v1/")
        if not rest and prefix.endswith("/props"):
            prefix, rest = prefix[: -len("/props")], "props"
        parts = prefix.split("/")
        return parts[0], parts[1:], prefix, rest

    def do_GET(self):
        if self.server.is_dead():
            return
        mode, tags, prefix, rest = self.split()
        if mode == "stats":
            with lock:
                return self.reply(200, count_of(prefix.partition("/")[2]))
        if mode == "mortal":
            return self.reply(200, {"port": serve(int(tags[0]))})
        told = [t.partition("=") for t in tags]
        value = {k: v for k, _, v in told}
        names = [urllib.parse.unquote(v) for k, _, v in told if k == "model"]
        if rest == "models" and names:
            models = [{"id": m, "object": "model", "owned_by": value.get("owner", "")} for m in names]
            for m in models:
                m["meta"] = {"size": int(value.get("size", 0))}
            return self.reply(200, {"object": "list", "data": models})
        if rest == "props" and "slots" in value:
            return self.reply(200, {"total_slots": int(value["slots"])})
        self.reply(404, {"error": {"message": "not here"}})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.server.is_dead():
            return
        mode, tags, prefix, rest = self.split()
        with lock:
            c = count_of(prefix)
            c["requests"] += 1
            c["now"] += 1
            c["at_once"] = max(c["at_once"], c["now"])
        try:
            self.answer(body, mode, tags, prefix, rest)
        finally:
            with lock:
                c["now"] -= 1

    def inject(self, prefix, kind):
        with lock:
            n = count_of(prefix)["injected"]
            n[kind] = n.get(kind, 0) + 1

    def answer(self, body, mode, tags, prefix, rest):
        chat = rest == "chat/completions"
        if rest not in ("chat/completions", "completions"):
            return self.reply(404, {"message": "no such path"})
        try:
            req = json.loads(body)
        except ValueError:
            return self.reply(400, {"error": "request is not JSON"})
        with lock:
            t = tries[(self.path, body)] = tries.get((self.path, body), 0) + 1
            at_once = count_of(prefix)["now"]
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
        if mode.startswith("limit-"):
            limit, ms = map(int, mode.split("-")[1:])
            if at_once > limit:
                self.inject(prefix, "429")
                return self.reply(429, {"error": {"message": "too many at once"}})
            time.sleep(ms / 1000)
        if mode.startswith("slots-"):
            n_slots, ms = map(int, mode.split("-")[1:])
            wait_for_slots(prefix, n_slots, ms, n)
        h = hashlib.sha256(body + bytes([t & 255])).digest()
        kind = None
        if mode.startswith("chaos-") and h[0] < 2.56 * int(mode[6:]):
            with lock:
                k = answers[prefix] = answers.get(prefix, -1) + 1
            kind = CHAOS[k % len(CHAOS)]
            if kind == "fewer" and n == 1:
                kind = "500"
            self.inject(prefix, kind)
        m = n
        if "fewer" in (mode, kind) and n > 1:
            m = n - 1
        elif "more" in (mode, kind):
            m = n + 2
        elif mode == "lone":
            m = 1
        choices = [choice_of(req, chat, c, "quiz" in tags) for c in range(m)]
        if mode == "shuffled":
            choices.reverse()
        usage = {"prompt_tokens": 100, "completion_tokens": 7 * m, "prompt_tokens_details": {"cached_tokens": 40}}
        answer = {"object": "x", "choices": choices, "usage": usage}
        if mode == "silent":
            del answer["usage"]
            for c in choices:
                del c["logprobs"], c["stop_reason"]
        h = hashlib.sha256(body).digest()
        if kind and kind not in ("fewer", "more"):
            return self.spoil(kind, answer)
        if mode == "mixed" and t <= h[0] % 3:
            return self.spoil(KINDS[h[t] % len(KINDS)], answer)
        if mode in KINDS + ["slow"] and t == 1 and (mode not in ("429", "slow") or h[0] < 64):
            return self.spoil(mode, answer)
        if not self.server.lives_on():
            return
        with lock:
            count_of(prefix)["good"] += 1
        self.reply(200, answer)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    answers_left = None

    def handle_error(self, request, client_address):
        pass  # a client that gave up waiting

    def lives_on(self):
        """One answer more; false when it was the one too many: then nobody hears anything again."""
        if self.answers_left is None:
            return True
        with lock:
            self.answers_left -= 1
            left = self.answers_left
        if left == -1:
            threading.Thread(target=lambda: (self.shutdown(), self.server_close()), daemon=True).start()
        return left >= 0 or not self.is_dead()

    def is_dead(self):
        if self.answers_left is None or self.answers_left >= 0:
            return False
        time.sleep(30)
        return True


def serve(answers_left=None):
    server = Server(("127.0.0.1", 0), Handler)
    server.answers_left = answers_left
    port = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return port


def main():
    print(serve(), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
