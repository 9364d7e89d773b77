"""lm-evaluation-harness against rung serve: a multiple-choice task of local files, by its local-completions client (whose tokenizer
is the server's: /tokenizer_info, /tokenize) and by its GGUF client. Loglikelihoods, accuracy and length-normalised accuracy must be
those of `rung model perplexity`. Run by test_cli_serve_clients.sh; exit 1: a broken promise."""
import concurrent.futures
import json
import os
import random
import subprocess
import sys
import tempfile

FOLDER = tempfile.mkdtemp(prefix="rung-lm-eval.")
os.environ.update(HF_HOME=FOLDER, HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TOKENIZERS_PARALLELISM="false")

import lm_eval
from lm_eval.tasks import TaskManager

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import serve_lib
from serve_lib import MODEL, RUNG, Server, check

TASK = """task: rung_total
dataset_path: json
dataset_kwargs:
  data_files:
    test: {file}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: choices
doc_to_target: gold
target_delimiter: ""
metric_list:
  - metric: acc
  - metric: acc_norm
metadata:
  version: 1
"""


def documents(n=16):
    """the next step of a running total, or (every other one) the total at once, which a small model does not know"""
    rng, docs = random.Random(4), []
    for i in range(n):
        total, ops, steps = rng.randrange(10, 60), [], []
        question = f"Start at {total}."
        for _ in range(5):
            x = rng.randrange(2, 10)
            op = rng.choice("+-") if total > x else "+"
            after = total + x if op == "+" else total - x
            ops.append(f"{op}{x}")
            steps.append(f"{total}{op}{x}={after}\n")
            total = after
        question += " " + " ".join(ops) + ". Total?\n"
        if i % 2:
            right, wrong = f"#### {total}\n", [f"#### {total + d}\n" for d in (-10, 1, 3)]
        else:
            k = rng.randrange(5)
            question += "".join(steps[:k])
            left, value = steps[k].rstrip().split("=")
            right, wrong = steps[k], [f"{left}={int(value) + d}\n" for d in (-1, 2, 10)]
        choices = wrong[:]
        gold = rng.randrange(4)
        choices.insert(gold, right)
        docs.append({"question": question, "choices": choices, "gold": gold})
    return docs


def perplexity(pair):
    run = subprocess.run([RUNG, "model", "perplexity", "--policy", MODEL, "--context", pair[0], "--text", pair[1], "--json", "--quiet",
                          "--threads", "1"], capture_output=True, text=True, check=True)
    o = json.loads(run.stdout.strip().splitlines()[-1])
    return o.get("logprob", o.get("sum_logprob"))


def ours(docs, split):
    """log-likelihoods of every choice; split: the context's last white space is read with the choice, as the harness has it"""
    pairs = []
    for d in docs:
        context = d["question"].rstrip() if split else d["question"]
        pairs += [(context, d["question"][len(context):] + c) for c in d["choices"]]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        lp = list(pool.map(perplexity, pairs))
    return [lp[4 * i:4 * i + 4] for i in range(len(docs))]


def accuracy(docs, lp, normal):
    right = 0
    for d, row in zip(docs, lp):
        score = [x / len(c) if normal else x for x, c in zip(row, d["choices"])]
        right += score.index(max(score)) == d["gold"]
    return right / len(docs)


def evaluate(name, args, docs, split):
    out = lm_eval.simple_evaluate(model=name, model_args=args, tasks=["rung_total"], bootstrap_iters=0, batch_size=1,
                                  task_manager=TaskManager(include_path=FOLDER, include_defaults=False), log_samples=True)
    got, want = out["results"]["rung_total"], ours(docs, split)
    samples = sorted(out["samples"]["rung_total"], key=lambda s: s["doc_id"])
    lp = [[float(r[0][0]) for r in s["resps"]] for s in samples]
    worst = max(abs(a - b) for x, y in zip(lp, want) for a, b in zip(x, y))
    check(f"{name}: every loglikelihood is ours", len(lp) == len(docs) and worst < 0.05, worst)
    for metric, normal in (("acc,none", False), ("acc_norm,none", True)):
        check(f"{name}: {metric} is ours", got[metric] == accuracy(docs, want, normal), (got[metric], accuracy(docs, want, normal)))
    print(f"{name}: acc {got['acc,none']:.4f}, acc_norm {got['acc_norm,none']:.4f}, worst difference of a loglikelihood {worst:.2g}")
    return got["acc,none"]


def main():
    docs = documents()
    with open(os.path.join(FOLDER, "total.jsonl"), "w") as f:
        f.writelines(json.dumps(d) + "\n" for d in docs)
    with open(os.path.join(FOLDER, "rung_total.yaml"), "w") as f:
        f.write(TASK.format(file=os.path.join(FOLDER, "total.jsonl")))
    s = Server()
    model = json.loads(s.get("/v1/models")[2])["data"][0]["id"]
    acc = evaluate("local-completions", f"model={model},base_url={s.url}/v1/completions,num_concurrent=4,max_retries=1", docs, True)
    check("the task tells right from wrong", 0.3 < acc < 1.0, acc)
    evaluate("gguf", f"base_url={s.url}", docs, False)
    check("ends well", s.stop() == 0, s.errors())
    print(f"serve_lm_eval: {serve_lib.n_checks} checks, {serve_lib.failures} failed")
    sys.exit(serve_lib.failures > 0)


main()
