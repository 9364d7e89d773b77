"""Scores over HTTP. Run by test_cli_serve_reward.sh; exit 1: a broken promise."""
import concurrent.futures
import math
import os
import sqlite3
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import serve_lib
from serve_lib import ASK, Server, check

CHAT = "/v1/chat/completions"


def stored():
    """question, text, step scores of some traces"""
    db = sqlite3.connect(os.environ["STORE"])
    out = []
    for trace, problem, text in db.execute("select id, problem, text from trace order by id limit 12").fetchall():
        question = db.execute("select question from problem where id = ?", (problem,)).fetchone()[0]
        scores = [r[0] for r in db.execute("select score.value from trace_step join score on score.node = trace_step.node "
                                           "where trace = ? order by k", (trace,))]
        if scores:
            out.append((question, text, scores))
    return out


def near(a, b):
    return len(a) == len(b) and all(abs(x - y) < 5e-3 for x, y in zip(a, b))


def talk(question, text):
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": text}]}


def softmin(r, t=0.1):
    w = [math.exp(-(x - min(r)) / t) for x in r]
    return [x * k / sum(w) for x, k in zip(r, w)]


def client(s, traces):
    """the client that trainers import, and what it gets"""
    sys.path.insert(0, os.path.join(os.environ["RUNG_SOURCE_DIR"], "clients", "python"))
    import rung_reward
    trl = rung_reward.RungReward(url=s.url, steps=True, credit="min_form")
    prompts = [[{"role": "user", "content": q}] for q, _, _ in traces] + ["What is 2+2?"]
    answers = [[{"role": "assistant", "content": t}] for _, t, _ in traces] + [""]
    rewards = trl(prompts=prompts, completions=answers, answer=["1"] * len(prompts), trainer_state=None)
    check("client: a number each, None for nothing to score", len(rewards) == len(prompts) and rewards[-1] is None
          and all(isinstance(x, float) for x in rewards[:-1]) and trl.n_unscored == 1, rewards)
    check("client: counted", trl.last["extra_logs"]["unscored"] == [0] * len(traces) + [1], trl.last["extra_logs"])
    for i, (_, text, scores) in enumerate(traces):
        check("client: steps as stored", near(trl.last["step_scores"][i], scores), trl.last["step_scores"][i])
        spans = trl.last["step_spans"][i]
        check("client: spans cover the reply", spans[0][0] == 0 and spans[-1][1] == len(text)
              and all(a[1] == b[0] for a, b in zip(spans, spans[1:])), spans)
        want = softmin([2 * p - 1 for p in trl.last["step_scores"][i]])
        check("client: min_form by hand", all(abs(a - b) < 1e-5 for a, b in zip(trl.last["step_credit"][i], want)),
              (trl.last["step_credit"][i], want))
    for how in ("sum", "min", "progress", "none"):
        _, r = s.post("/get_reward", {"query": [traces[0][1]], "prompts": [traces[0][0]], "credit": how})
        p = traces[0][2]
        want = {"sum": [2 * x - 1 for x in p], "none": [2 * x - 1 for x in p], "min": [2 * min(p[k:]) - 1 for k in range(len(p))],
                "progress": [0] + [b - a for a, b in zip(p, p[1:])]}[how]
        check("credit: " + how, near([x / 2 for x in r["step_credit"][0]], [x / 2 for x in want]), (r["step_credit"], want))
    status, r = s.post("/get_reward", {"query": ["a"], "prompts": ["b"], "credit": "best"})
    check("credit: an unknown shape is said", status == 400 and "min_form" in r["error"].get("hint", "") + str(r), r)
    db = sqlite3.connect(os.environ["STORE"])
    row = db.execute("select text, tok from trace where id = (select min(id) from trace)").fetchone() if has_tokens(db) else None
    if row:
        ids = list(struct.unpack("<%di" % (len(row[1]) // 4), row[1]))
        _, r = s.post("/get_reward", {"query": [row[0]], "prompts": [traces[0][0]], "steps": True, "completion_ids": [ids]})
        t = r["step_tokens"][0]
        check("tokens: spans of the trainer's own", t and t[0][0] == 0 and t[-1][1] == len(ids)
              and all(a[1] == b[0] for a, b in zip(t, t[1:])), (t, len(ids)))
    _, r = s.post("/get_reward", {"query": ["1+1=2\n"], "prompts": ["1+1?"], "steps": True, "completion_ids": [[1]]})
    check("tokens: null where they do not spell the reply", r["step_tokens"] == [None], r)
    gone = rung_reward.RungReward(url="http://127.0.0.1:9", timeout=1.0)
    check("client: no server is None and counted", gone(["a", "b"], ["c", "d"]) == [None, None] and gone.n_unscored == 2)
    _, r = s.post("/get_reward", {"query": ["1+1=2\n"], "prompts": ["1+1?"], "timeout_s": 0.001})
    check("time over: null and counted, or in time", r["rewards"] == [None] and r["extra_logs"]["unscored"] == [1]
          or isinstance(r["rewards"][0], float), r)
    os.environ["RUNG_URL"] = s.url
    check("client: verl's function", rung_reward.compute_score("gsm8k", "so it is \\boxed{12}", "12") == 1.0)
    check("client: verl's function, wrong", rung_reward.compute_score("gsm8k", "so it is \\boxed{13}", "12") == 0.0)


def has_tokens(db):
    return "tok" in [c[1] for c in db.execute("pragma table_info(trace)")]


def main():
    traces = stored()
    check("traces with stored scores", len(traces) >= 4, len(traces))
    s = Server("--reward", os.environ["PRM"])
    for question, text, scores in traces:
        status, r = s.post("/pooling", talk(question, text))
        check("pooling: 200", status == 200, r)
        rows = r["data"][0]["data"]
        check("pooling: a row a step, two classes", all(len(x) == 2 and abs(sum(x) - 1) < 1e-6 for x in rows), rows)
        check("pooling: the scores are those of reward score", near([x[1] for x in rows], scores), (rows, scores))
    question, text, scores = traces[0]
    for path, body, row in [("/pooling", talk(question, text), {"index", "object", "data"}), ("/score", {"text_1": question, "text_2": text},
                            {"index", "object", "score"}), ("/classify", talk(question, text), {"index", "label", "probs", "num_classes"})]:
        for prefix in ("", "/v1"):
            _, r = s.post(prefix + path, body)
            check(f"{prefix}{path}: vLLM's keys", set(r) == {"id", "object", "created", "model", "data", "usage"} and r["object"] == "list"
                  and set(r["data"][0]) == row and set(r["usage"]) >= {"prompt_tokens", "total_tokens"}, r)
    last = {"min": min, "last": lambda x: x[-1]}
    _, r = s.post("/score", {"text_1": question, "text_2": [t for q, t, _ in traces if q == question]})
    want = scores
    got = r["data"][0]["score"]
    check("score: an aggregate of the steps", any(abs(got - f(want)) < 5e-3 for f in last.values()), (got, want))
    _, r = s.post("/get_reward", {"query": [q + t for q, t, _ in traces], "prompts": [q for q, _, _ in traces], "labels": [""] * len(traces)})
    check("get_reward: three keys, a number each", set(r) == {"rewards", "scores", "extra_logs"} and r["rewards"] == r["scores"]
          and len(r["rewards"]) == len(traces), r)
    check("get_reward: the same as score", abs(r["rewards"][0] - got) < 5e-3, (r["rewards"][0], got))
    client(s, traces)
    _, r = s.post("/classify", {**talk(question, text)})
    row = r["data"][0]
    check("classify: the last probability is the good one", abs(row["probs"][-1] - got) < 5e-3 and row["num_classes"] == 2, r)
    _, r = s.post("/classify", {**talk(question, text), "activation": False})
    check("classify: without activation a logit", r["data"][0]["probs"][0] == 0.0, r)
    status, r = s.post("/pooling", {"input": question + text})
    check("pooling: text as it is", status == 200 and len(r["data"][0]["data"]) == 1 and r["usage"]["prompt_tokens"] > 10, r)
    status, r = s.post("/pooling", talk(question, ""))
    check("pooling: nothing to score is said", status == 400, r)
    # scores and searches and samples at once, on one engine
    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        jobs = []
        for i in range(8):
            jobs.append(pool.submit(s.post, CHAT, {"messages": [{"role": "user", "content": ASK}], "seed": i,
                                                   "rung": {"method": "beam", "n": 4, "width": 2}}))
            jobs.append(pool.submit(s.post, CHAT, {"messages": [{"role": "user", "content": ASK}], "seed": i}))
            jobs.append(pool.submit(s.post, "/pooling", talk(*traces[i % len(traces)][:2])))
        out = [j.result() for j in jobs]
    check("together: all answered", all(status == 200 for status, _ in out), [r for status, r in out if status != 200])
    check("together: searches are scored by the reward model", all(
        r["usage"]["rung"]["scored_tokens"] > 0 and all(0 <= x["score"] <= 1 for x in r["rung"]["choices"][0]["steps"])
        for _, r in out[0::3]), out[0])
    check("together: scores are what they were", all(
        near([x[1] for x in r["data"][0]["data"]], traces[i % len(traces)][2]) for i, (_, r) in enumerate(out[2::3])))
    check("ends well", s.stop() == 0, s.errors())
    s = Server()
    status, r = s.post("/pooling", talk(question, text))
    check("no reward model: said", status == 400 and "reward" in r["error"]["message"], r)
    check("ends well", s.stop() == 0)
    print(f"serve_reward: {serve_lib.n_checks} checks, {serve_lib.failures} failed")
    sys.exit(serve_lib.failures > 0)


main()
