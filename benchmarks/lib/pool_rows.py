"""Rows for `rung bench pool` from a clone of staged-benchmark-2026/StrictPRMBench (CC-BY-4.0): candidates joined with
cached step scores.   python3 pool_rows.py CLONE OUT_FOLDER"""
import json
import os
import sys

clone, out = sys.argv[1:3]
os.makedirs(out, exist_ok=True)
cache = os.path.join(clone, "scores/aggregation_sweep_cache/step_scores_cache")
for data, folder in (("gsm8k", "gsm8k_full_500"), ("math500", "math500_full_500")):
    answer = {}
    where = os.path.join(clone, "pools/bon_candidates", folder)
    for name in sorted(os.listdir(where)):
        if not name.endswith(".json"):
            continue
        with open(os.path.join(where, name)) as f:
            problem = json.load(f)
        for i, c in enumerate(problem["candidates"]):
            answer[problem["problem_id"], i] = c.get("extracted_answer")
    for name in sorted(os.listdir(cache)):
        path = os.path.join(cache, name)
        if not name.endswith("_%s.jsonl" % data) or os.path.getsize(path) == 0:
            continue
        with open(path) as f, open(os.path.join(out, name), "w") as g:
            for line in f:
                r = json.loads(line)
                row = {"problem_id": r["problem_id"], "candidate": r["candidate_index"],
                       "answer": answer[r["problem_id"], r["candidate_index"]],
                       "correct": r["is_correct"], "step_scores": r["step_scores"]}
                g.write(json.dumps(row) + "\n")
