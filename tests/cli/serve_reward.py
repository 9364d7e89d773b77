"""Scores over HTTP. Run by test_cli_serve_reward.sh; exit 1: a broken promise."""
import concurrent.futures
import os
import sqlite3
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
    last = {"min": min, "last": lambda x: x[-1]}
    _, r = s.post("/score", {"text_1": question, "text_2": [t for q, t, _ in traces if q == question]})
    want = scores
    got = r["data"][0]["score"]
    check("score: an aggregate of the steps", any(abs(got - f(want)) < 5e-3 for f in last.values()), (got, want))
    _, r = s.post("/get_reward", {"query": [q + t for q, t, _ in traces], "prompts": [q for q, _, _ in traces], "labels": [""] * len(traces)})
    check("get_reward: three keys, a number each", set(r) == {"rewards", "scores", "extra_logs"} and r["rewards"] == r["scores"]
          and len(r["rewards"]) == len(traces), r)
    check("get_reward: the same as score", abs(r["rewards"][0] - got) < 5e-3, (r["rewards"][0], got))
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
