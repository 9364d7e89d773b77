"""What a client of rung serve may rely on. Run by test_cli_serve.sh; exit 1: a broken promise."""
import concurrent.futures
import json
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import serve_lib
from serve_lib import ASK, MODEL, RUNG, Server, check, read_reply

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"


def user(text=ASK, **more):
    return {"model": "", "messages": [{"role": "user", "content": text}], **more}


def shapes(s):
    status, r = s.post(CHAT, user(temperature=0))
    check("chat: 200", status == 200, r)
    c = r["choices"][0]
    check("chat: shape", r["object"] == "chat.completion" and r["id"].startswith("chatcmpl-") and c["message"]["role"] == "assistant"
          and c["finish_reason"] in ("stop", "length") and c["index"] == 0, r)
    greedy = c["message"]["content"]
    u = r["usage"]
    check("chat: usage adds up", u["prompt_tokens"] > 0 and u["completion_tokens"] > 0
          and u["total_tokens"] == u["prompt_tokens"] + u["completion_tokens"], u)
    status, headers, events = s.stream(CHAT, user(temperature=0, stream_options={"include_usage": True}))
    check("stream: SSE", status == 200 and headers["content-type"].startswith("text/event-stream") and events[-1] == "[DONE]", events)
    check("stream: first says the role", events[0]["choices"][0]["delta"]["role"] == "assistant", events[0])
    text = "".join(e["choices"][0]["delta"].get("content", "") for e in events[:-1] if e["choices"])
    check("stream: the same text in pieces", text == greedy, (text, greedy))
    check("stream: more than one piece", sum(1 for e in events[:-1] if e["choices"]) > 3)
    check("stream: one finish, and usage", [e["choices"][0]["finish_reason"] for e in events[:-1] if e["choices"]].count(None)
          == sum(1 for e in events[:-1] if e["choices"]) - 1 and events[-2]["usage"] == u, events[-2])
    status, r = s.post(CHAT, user(n=3, seed=7))
    status2, r2 = s.post(CHAT, user(n=3, seed=7))
    texts = [c["message"]["content"] for c in r["choices"]]
    check("n: three choices, in order", [c["index"] for c in r["choices"]] == [0, 1, 2])
    check("seed: the same draws again", texts == [c["message"]["content"] for c in r2["choices"]])
    check("no seed: other draws", s.post(CHAT, user(n=3))[1]["rung"]["seed"] != s.post(CHAT, user(n=3))[1]["rung"]["seed"])
    stop = greedy.split("\n")[1][:3]
    status, r = s.post(CHAT, user(temperature=0, stop=[stop]))
    got = r["choices"][0]["message"]["content"]
    check("stop: the text ends before it", got == greedy[:greedy.index(stop)] and r["choices"][0]["finish_reason"] == "stop", got)
    _, _, events = s.stream(CHAT, user(temperature=0, stop=stop))
    text = "".join(e["choices"][0]["delta"].get("content", "") for e in events[:-1] if e["choices"])
    check("stop: streamed, too", text == got, text)
    status, r = s.post(CHAT, user(temperature=0, stop=["@1", "@2", "@3", "@4", "@5", stop]))
    check("stop: six of them", r["choices"][0]["message"]["content"] == got, r)
    status, r = s.post(CHAT, user(temperature=0, stop=[stop], include_stop_str_in_output=True))
    check("stop: kept when asked", r["choices"][0]["message"]["content"] == got + stop)
    status, r = s.post(CHAT, user(temperature=0, max_tokens=3))
    check("max_tokens", r["usage"]["completion_tokens"] == 3 and r["choices"][0]["finish_reason"] == "length", r)
    # the reply goes on where it was begun
    half = greedy.split("\n")[0] + "\n"
    status, r = s.post(CHAT, {"messages": [{"role": "user", "content": ASK}, {"role": "assistant", "content": half}],
                              "continue_final_message": True, "temperature": 0})
    check("continue_final_message", half + r["choices"][0]["message"]["content"] == greedy, r)
    status, r = s.post(CHAT, {"messages": [{"role": "user", "content": ASK}, {"role": "assistant", "content": half}]})
    check("a last assistant message without it is refused", status == 400 and "continue_final_message" in r["error"]["message"], r)
    status, r = s.post(CHAT, user([{"type": "text", "text": ASK}], temperature=0))
    check("content as parts", r["choices"][0]["message"]["content"] == greedy)
    return greedy


def logprobs(s, greedy):
    _, r = s.post(CHAT, user(temperature=0, logprobs=True, top_logprobs=3))
    items = r["choices"][0]["logprobs"]["content"]
    check("chat logprobs: tokens spell the text", "".join(i["token"] for i in items) == greedy)
    check("chat logprobs: bytes spell it, too", bytes(b for i in items for b in i["bytes"]).decode() == greedy)
    check("chat logprobs: three of each, likeliest first, greedy is the first", all(
        len(i["top_logprobs"]) == 3 and i["top_logprobs"][0]["token"] == i["token"] and i["top_logprobs"][0]["logprob"] == i["logprob"]
        and i["top_logprobs"][0]["logprob"] >= i["top_logprobs"][1]["logprob"] for i in items))
    _, _, events = s.stream(CHAT, user(temperature=0, logprobs=True, top_logprobs=3))
    streamed = [i for e in events[:-1] if e["choices"] and e["choices"][0]["logprobs"] for i in e["choices"][0]["logprobs"]["content"]]
    check("chat logprobs: the same in a stream", streamed == items)
    # echo: what lm-evaluation-harness asks
    prompt = ASK + greedy
    _, r = s.post(TEXT, {"prompt": prompt, "max_tokens": 1, "temperature": 0, "logprobs": 10, "echo": True})
    c = r["choices"][0]
    lp = c["logprobs"]
    n = len(lp["tokens"])  # the last one is drawn: clients drop it
    check("echo: the text begins with the prompt", c["text"].startswith(prompt), c["text"])
    check("echo: four lists of one length", n == len(lp["token_logprobs"]) == len(lp["top_logprobs"]) == len(lp["text_offset"]))
    check("echo: nothing comes before the first", lp["token_logprobs"][0] is None and lp["top_logprobs"][0] is None)
    check("echo: offsets are where the tokens stand", all(
        prompt[lp["text_offset"][i]:].startswith(lp["tokens"][i]) for i in range(n - 1)), lp["text_offset"])
    check("echo: each token is among its likeliest, with one number", all(
        lp["top_logprobs"][i][lp["tokens"][i]] == lp["token_logprobs"][i] for i in range(1, n)))
    at = next(i for i in range(n) if lp["text_offset"][i] >= len(ASK))
    echoed = lp["token_logprobs"][at:n - 1]
    drawn = [i["logprob"] for i in items]
    check("echo: reading gives what drawing gave", len(echoed) == len(drawn)
          and max(abs(a - b) for a, b in zip(echoed, drawn)) < 0.02, (len(echoed), len(drawn),
                                                                   [(a, b) for a, b in zip(echoed, drawn) if abs(a - b) > 0.01]))
    check("echo: greedy text is greedy", all(max(t.values()) == v for t, v in zip(lp["top_logprobs"][at:n - 1], echoed)))
    _, r = s.post(TEXT, {"prompt": prompt, "max_tokens": 0, "logprobs": 1, "echo": True})
    check("echo: alone, without a token", r["choices"][0]["text"] == prompt and r["usage"]["completion_tokens"] == 0
          and r["choices"][0]["logprobs"]["tokens"] == lp["tokens"][:-1] and max(
              abs(a - b) for a, b in zip(r["choices"][0]["logprobs"]["token_logprobs"][1:], lp["token_logprobs"][1:])) < 0.02, r)
    ours = subprocess.run([RUNG, "model", "perplexity", "--policy", MODEL, "--context", ASK, "--text", greedy, "--json", "--quiet",
                           "--threads", "1"], capture_output=True, text=True).stdout.strip().splitlines()
    told = json.loads(ours[-1]) if ours else {}
    total = told.get("logprob", told.get("sum_logprob"))
    check("echo: the sum is that of model perplexity", total is not None and abs(total - sum(echoed)) < 0.05, (told, sum(echoed)))
    _, r = s.post(TEXT, {"prompt": [ASK, ASK + greedy], "max_tokens": 2, "n": 2, "seed": 1})
    check("prompts times n", [c["index"] for c in r["choices"]] == [0, 1, 2, 3])


def searches(s):
    _, r = s.post(CHAT, user(seed=3, rung={"method": "beam", "n": 4, "width": 2, "tree": True}))
    x = r["rung"]["choices"][0]
    check("search: answered", r["choices"][0]["message"]["content"] and x["nodes"] > 4 and x["tree_id"], r)
    check("search: steps spell the answer", "".join(p["text"] for p in x["steps"]) == r["choices"][0]["message"]["content"], x)
    check("search: true tokens are counted", r["usage"]["completion_tokens"] > len(x["steps"])
          and r["usage"]["rung"]["generations"] > 4, r["usage"])
    status, t = s.post("/tree/" + x["tree_id"], {})
    check("tree: only GET", status == 405)
    status, _, text = s.get("/tree/" + x["tree_id"])
    t = json.loads(text)
    check("tree: stored as told", [n["text"] for n in t["nodes"]] == [n["text"] for n in x["tree"]] and t["question"] == ASK, t)
    check("tree: one chosen leaf", sum(n["chosen"] for n in t["nodes"]) == 1)
    check("tree: no such", s.get("/tree/9-9")[0] == 404 and s.get("/tree/../../etc/passwd")[0] == 404)
    _, r2 = s.post(CHAT, user(seed=3, rung={"method": "beam", "n": 4, "width": 2}))
    check("search: the same seed, the same answer", r2["choices"][0]["message"] == r["choices"][0]["message"])
    _, r = s.post(CHAT, {**user(), "model": "tiny:majority"})
    if r.get("error"):
        name = json.loads(s.get("/v1/models")[2])["data"][0]["id"]
        _, r = s.post(CHAT, {**user(), "model": name + ":majority"})
    check("search: the model's name asks for a method", r.get("rung", {}).get("method") == "majority"
          and r["rung"]["choices"][0]["traces"] >= 4, r)
    _, headers, events = s.stream(CHAT, user(seed=3, rung={"method": "mcts_uct", "n": 6, "events": True}))
    told = [e["rung"]["event"]["kind"] for e in events[:-1] if "event" in e.get("rung", {})]
    check("search: the tree is told as it grows", told.count("node") > 5 and told[-1] == "choose", told)
    check("search: the stream ends with what it cost", events[-2]["rung"]["choices"][0]["nodes"] > 5 and events[-1] == "[DONE]")
    status, r = s.post(CHAT, user(rung={"method": "nonsense"}))
    check("search: unknown method", status == 400 and "nonsense" in r["error"]["message"])
    status, r = s.post(CHAT, user(rung={"metod": "beam"}))
    check("search: unknown field", status == 400 and "metod" in r["error"]["message"])
    for m in json.loads(s.get("/v1/models")[2])["data"][2:]:
        status, r = s.post(CHAT, user(max_tokens=40, rung={"method": m["id"].split(":")[1], "n": 4, "width": 2, "depth": 6,
                                                           "step_tokens": 20, "score": "confidence"}))
        check("search: " + m["id"], status == 200 and r["usage"]["completion_tokens"] > 0, r)
    _, r = s.post(CHAT, {"messages": [{"role": "user", "content": ASK}, {"role": "assistant", "content": "28+2=30\n"}],
                         "continue_final_message": True, "rung": {"method": "beam", "n": 2, "width": 2, "score": "confidence"}})
    check("search: goes on with a reply", "choices" in r and not r["choices"][0]["message"]["content"].startswith("28+2"), r)


def tokens(s):
    """vLLM's /tokenize, /detokenize, /tokenizer_info"""
    _, r = s.post("/tokenize", {"prompt": ASK, "add_special_tokens": False, "return_token_strs": True})
    check("tokenize: shape", set(r) == {"count", "max_model_len", "tokens", "token_strs"} and r["count"] == len(r["tokens"]) > 10, r)
    check("tokenize: texts spell the prompt", "".join(r["token_strs"]) == ASK, r)
    _, back = s.post("/detokenize", {"tokens": r["tokens"]})
    check("detokenize: the prompt again", back == {"prompt": ASK}, back)
    _, r = s.post(TEXT, {"prompt": r["tokens"], "max_tokens": 0, "echo": True, "logprobs": 1})
    check("tokenize: what completions take", r["choices"][0]["text"] == ASK, r)
    long = ASK * 6000  # a frame that comes in many pieces, both ways
    _, r = s.post("/tokenize", {"prompt": long, "add_special_tokens": False, "return_token_strs": True})
    check("tokenize: 260 kB", r.get("count") == len(r.get("tokens", [])) > 10000 and "".join(r["token_strs"]) == long, str(r)[:200])
    _, r = s.post("/tokenize", user())
    _, told = s.post(CHAT, user(max_tokens=1))
    check("tokenize: a conversation as it is asked", r["count"] == told["usage"]["prompt_tokens"] and r["token_strs"] is None, (r, told))
    status, _, text = s.get("/tokenizer_info")
    info = json.loads(text)
    _, r = s.post("/tokenize", {"prompt": info["eos_token"], "add_special_tokens": False})
    check("tokenizer_info: the end is one token", status == 200 and r["count"] == 1 and "chat_template" in info, (info, r))
    for what, path, body in [("no prompt", "/tokenize", {}), ("a number", "/tokenize", {"prompt": 3}), ("no tokens", "/detokenize", {}),
                             ("beyond the vocabulary", "/detokenize", {"tokens": [10**8]}), ("text", "/detokenize", {"tokens": "28"})]:
        status, r = s.post(path, body)
        check(f"tokens: refused: {what}", status == 400 and r["error"]["message"], (status, r))


def together(s):
    """Requests of several clients share the engine's calls: sixteen need far fewer than sixteen times one."""
    def calls():
        time.sleep(0.8)
        s.post(CHAT, user(max_tokens=1))
        time.sleep(0.8)
        s.post(CHAT, user(max_tokens=1))
        return s.metric("engine_decode_calls_total")
    a = calls()
    for i in range(4):
        s.post(CHAT, user(seed=i))
    b = calls()
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        out = list(pool.map(lambda i: s.post(CHAT, user(seed=i)), range(16)))
    c = calls()
    check("together: all answered", all(status == 200 for status, _ in out))
    check("together: they share calls", c - b < 2.0 * (b - a), (a, b, c))
    again = s.post(CHAT, user(seed=5))[1]
    check("together: company changes no draw", again["choices"][0]["message"] == out[5][1]["choices"][0]["message"])


def refusals(s):
    for what, body, status in [("not JSON", b"{", 400), ("empty", b"", 400), ("a list", b"[]", 400), ("no messages", {"n": 1}, 400),
                               ("deep", b'{"a":' * 5000, 400), ("deep and whole", b"[" * 90 + b"]" * 90, 400),
                               ("NUL", user("a\0b"), 400), ("n", user(n=1000), 400), ("temperature", user(temperature=-1), 400),
                               ("max_tokens", user(max_tokens=10**9), 400), ("role", {"messages": [{"role": "x", "content": "a"}]}, 400),
                               ("tools", user(tools=[{"type": "function"}]), 400), ("model", {**user(), "model": "gpt-4"}, 404),
                               ("schema", user(response_format={"type": "json_schema"}), 400), ("huge", b" " * (5 << 20), 413),
                               ("prompt_logprobs", user(prompt_logprobs=1), 400), ("a number", user(n="many"), 400), ("bias", user(logit_bias={"x": 1}), 400),
                               ("bad UTF-8", b'{"messages":[{"role":"user","content":"\xff\xfe"}]}', 400)]:
        got, r = s.post(CHAT, body)
        check(f"refused: {what}", got == status and set(r) == {"error"} and set(r["error"]) == {"message", "type", "param", "code"}
              and r["error"]["message"] and r["error"]["code"], (got, r))
    check("refused: no such path", s.get("/nothing")[0] == 404)
    status, headers, _ = s.get(CHAT)
    check("refused: GET of a POST path", status == 405 and headers["allow"] == "POST")
    check("refused: another origin", s.request("POST", CHAT, user(), headers={"Origin": "http://evil.example"})[0] == 403)
    check("refused: a name that is not ours", s.get("/health", headers={"Host": "evil.example"})[0] == 403)
    check("refused: a path in a request", s.post("/v1/verify", {"gold": "1", "answer": "1", "verifier": "sql"})[0] == 400)
    check("a long header", s.get("/health", headers={"X": "y" * 70000})[0] in (0, 413, 431))
    check("alive", s.post(CHAT, user(max_tokens=2))[0] == 200)


def garbage(s):
    rng = random.Random(5)
    for i in range(60):
        c = s.connect(5)
        try:
            c.sendall(rng.choice([bytes(rng.randrange(256) for _ in range(rng.randrange(400))),
                                  b"GET / HTTP/9.9\r\n\r\n", b"POST /v1/completions HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
                                  b"POST /v1/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n",
                                  b"\r\n" * 50, b"GET /%00%ff HTTP/1.1\r\nHost: localhost\r\n\r\n", b"A" * 40000]))
        except OSError:
            pass
        c.close()
    check("garbage: alive", s.post(CHAT, user(max_tokens=2))[0] == 200)


def half_closed(s):
    """Who shuts down the sending side looks like one who has gone: what the server answers by itself still comes, work does not."""
    c = s.connect(20)
    c.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    c.shutdown(socket.SHUT_WR)
    check("half-closed: health is told", read_reply(c)[0] == 200)
    before = s.metric("clients_gone_total")
    body = json.dumps(user(rung={"method": "beam", "n": 32, "width": 8, "score": "confidence"})).encode()
    c = s.connect(20)
    c.sendall(f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    c.shutdown(socket.SHUT_WR)
    check("half-closed: its work is given up", read_reply(c)[0] == 0)
    check("half-closed: counted", s.metric("clients_gone_total") == before + 1)


def gone(s):
    """A client that goes away frees its work."""
    before = s.metric("clients_gone_total")
    long = json.dumps(user(seed=1, rung={"method": "beam", "n": 64, "width": 16, "score": "confidence"})).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(long)}\r\n\r\n".encode()
    clients = [s.connect() for _ in range(3)]
    for c in clients:
        c.sendall(head + long)
    time.sleep(0.3)
    for c in clients:
        c.close()
    end = time.time() + 20
    while time.time() < end:
        h = json.loads(s.get("/health")[2])
        if h["active"] == 0 and h["queue"] == 0:
            break
        time.sleep(0.05)
    check("gone: nothing is left of them", h["active"] == 0 and h["queue"] == 0, h)
    check("gone: counted", s.metric("clients_gone_total") - before >= 3, s.metric("clients_gone_total"))


def deadlines(s):
    t = time.time()
    status, r = s.post(CHAT, user(rung={"method": "beam", "n": 64, "width": 16, "score": "confidence", "deadline_s": 0.5}))
    took = time.time() - t
    check("deadline: what there is, in time", took < 4.0 and (status == 504 or r["rung"].get("stopped") == "deadline"), (took, status, r))
    status, r = s.post(CHAT, user(rung={"deadline_s": 1e9}))
    check("deadline: not above the server's", status == 400)
    status, r = s.post(CHAT, user(rung={"method": "sc", "n": 8, "budget_tokens": 10}))
    check("budget", status == 200, r)
    status, r = s.post(CHAT, user(rung={"budget_tokens": 10**12}))
    check("budget: not above the server's", status == 400, r)


def killed(s):
    """kill -9 of the worker in mid-stream: an answer with a reason, a new worker, nothing stored is lost."""
    kept = s.post(CHAT, user(seed=9, rung={"method": "sc", "n": 4}))[1]["rung"]["choices"][0]["tree_id"]
    body = json.dumps(user(stream=True, n=16, temperature=1.3)).encode()
    c = s.connect()
    c.sendall(f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    first = c.recv(1000)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        others = [pool.submit(s.post, CHAT, user(rung={"method": "beam", "n": 32, "width": 8, "score": "confidence"})) for _ in range(4)]
        time.sleep(0.1)
        os.kill(s.workers()["model"], signal.SIGKILL)
        _, _, rest = read_reply(c, first)
        out = [o.result() for o in others]
    check("killed: the stream had begun, and tells its end", b"200" in first and (b"worker_ended" in rest or b"[DONE]" in rest), rest)
    check("killed: the others hear why", all(status in (200, 503) for status, _ in out)
          and any(status == 503 and r["error"]["code"] == "worker_ended" for status, r in out), out)
    s.wait_ready(60)
    check("killed: answers again", s.post(CHAT, user(temperature=0))[0] == 200)
    check("killed: what was kept is there", s.get("/tree/" + kept)[0] == 200)
    os.kill(s.workers()["verify"], signal.SIGKILL)
    end = time.time() + 20
    while time.time() < end and s.post("/v1/verify", {"gold": "1", "answer": "1"})[0] != 200:
        time.sleep(0.1)
    check("killed: the verifier is back", s.post("/v1/verify", {"gold": "1/2", "answer": "0.5"})[1]["verdict"] == "correct")


def verdicts(s):
    _, r = s.post("/v1/verify", {"gold": "72", "text": "so 48 + 24 = 72 clips\n#### 72"})
    check("verify: a whole solution", r["verdict"] == "correct" and r["answer"] == "72", r)
    _, r = s.post("/v1/verify", {"items": [{"gold": "1/2", "answer": "0.5"}, {"gold": 3, "answer": "4"}]})
    check("verify: a list", [i["verdict"] for i in r["items"]] == ["correct", "wrong"], r)
    _, r = s.post("/compute_score", {"data_source": "openai/gsm8k", "solution_str": "#### 42", "ground_truth": "42", "extra_info": {"i": 1}})
    check("verl: a score", r["score"] == 1.0 and r["acc"] == 1.0, r)
    _, r = s.post("/compute_score", {"data_sources": ["a"] * 2, "solution_strs": ["#### 1", "no idea"], "ground_truths": ["1", "2"]})
    check("verl: a batch", r["scores"] == [1.0, 0.0] and len(r["results"]) == 2, r)


def limits():
    s = Server("--queue", "2", "--active", "1", "--connections", "20", "--idle", "1.0", "--body", "1.0")
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        out = list(pool.map(lambda i: s.request("POST", CHAT, user(rung={"method": "beam", "n": 32, "width": 8, "score": "confidence"})), range(12)))
    codes = [status for status, _, _ in out]
    check("queue: some refused, the others answered", codes.count(429) >= 6 and codes.count(200) >= 3 and set(codes) <= {200, 429}, codes)
    check("queue: told when to come back", all(1 <= int(h["retry-after"]) <= 60 for status, h, _ in out if status == 429))
    # slow-loris: a header that never ends, a body that never comes
    slow = [s.connect() for _ in range(6)]
    t = time.time()
    for c in slow:
        c.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n")
    slow[0].sendall(b"\r\n{")
    closed = 0
    while time.time() - t < 6 and closed < len(slow):
        closed = 0
        for c in slow:
            try:
                c.sendall(b"X")
                c.settimeout(0.02)
                closed += c.recv(10) == b""
            except (ConnectionResetError, BrokenPipeError):
                closed += 1
            except TimeoutError:
                pass
            except OSError:
                closed += 1
        time.sleep(0.3)
    check("slow-loris: all are closed", closed == len(slow), closed)
    # many idle connections: bounded, and an honest client is served beside them
    idle = []
    for _ in range(300):
        try:
            idle.append(s.connect(2))
        except OSError:
            break
    status, r = s.post(CHAT, user(max_tokens=2))
    check("idle: served beside 300 of them", status == 200, r)
    check("idle: bounded", s.metric("connections") <= 100, s.metric("connections"))
    fds = len(os.listdir(f"/proc/{s.p.pid}/fd"))
    check("idle: descriptors are bounded", fds < 120, fds)
    for c in idle:
        c.close()
    check("limits: ends well", s.stop() == 0, s.errors())


def ten_thousand():
    """10,000 idle connections: held when that many are allowed, bounded when not; a client is answered at once beside them."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    n = 10000 if hard == resource.RLIM_INFINITY else min(10000, hard - 500)
    resource.setrlimit(resource.RLIMIT_NOFILE, (n + 200, hard))
    for allowed in (n + 50, 500):
        s = Server("--connections", str(allowed), "--idle", "120")
        idle, t = [], time.time()
        for _ in range(n):
            idle.append(s.connect(20))
        took = time.time() - t
        want = min(n, allowed)
        check(f"{n} idle, {allowed} allowed: so many are held", want - 1 <= s.metric("connections") <= want + 64, s.metric("connections"))
        t = time.time()
        status, r = s.post(CHAT, user(max_tokens=2))
        check(f"{n} idle, {allowed} allowed: answered beside them", status == 200, r)
        print(f"{n} idle connections, {allowed} allowed: opened in {took:.1f} s, a reply beside them after {time.time() - t:.3f} s")
        fds = len(os.listdir(f"/proc/{s.p.pid}/fd"))
        check(f"{n} idle, {allowed} allowed: descriptors are bounded", fds < allowed + 100, fds)
        for c in idle:
            c.close()
        end = time.time() + 20
        while time.time() < end and s.metric("connections") > 10:
            time.sleep(0.1)
        check(f"{n} idle, {allowed} allowed: all gone when they close", s.metric("connections") <= 10, s.metric("connections"))
        check(f"{n} idle, {allowed} allowed: ends well", s.stop() == 0, s.errors())


def token():
    s = Server(env={"RUNG_SERVE_TOKEN": "s3cret"})
    check("token: the right one", s.post(CHAT, user(max_tokens=2))[0] == 200)
    for wrong in ("s3cre", "s3crets", "", "S3cret"):
        check(f"token: {wrong!r}", s.request("POST", CHAT, user(), headers={"Authorization": "Bearer " + wrong})[0] == 401)
    s.token = None
    status, headers, _ = s.request("POST", CHAT, user())
    check("token: none", status == 401 and "Bearer" in headers["www-authenticate"])
    check("token: metrics are asked for one", s.get("/metrics")[0] == 401)
    check("token: health is not", s.get("/health")[0] == 200)
    check("token: ends well", s.stop() == 0)


def drain():
    s = Server()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        out = [pool.submit(s.post, CHAT, user(rung={"method": "beam", "n": 16, "width": 4, "score": "confidence"})) for _ in range(4)]
        time.sleep(0.4)
        code = s.stop()
        replies = [o.result() for o in out]
    check("drain: what was there is answered", all(status == 200 for status, _ in replies), [r for r in replies if r[0] != 200])
    check("drain: exit 0", code == 0, s.errors())
    check("drain: no worker is left", not s.workers())


def main():
    s = Server()
    greedy = shapes(s)
    logprobs(s, greedy)
    searches(s)
    tokens(s)
    together(s)
    refusals(s)
    garbage(s)
    half_closed(s)
    verdicts(s)
    gone(s)
    deadlines(s)
    killed(s)
    check("the end: exit 0", s.stop() == 0, s.errors())
    limits()
    ten_thousand()
    token()
    drain()
    print(f"serve_check: {serve_lib.n_checks} checks, {serve_lib.failures} failed")
    sys.exit(serve_lib.failures > 0)


main()
