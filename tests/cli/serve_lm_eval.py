"""lm-evaluation-harness's GGUF client against rung serve: its loglikelihoods are those of `rung model perplexity`, and what it calls
greedy is. Run by test_cli_serve_clients.sh; exit 1: a broken promise."""
import json
import os
import subprocess
import sys

from lm_eval.api.instance import Instance
from lm_eval.models.gguf import GGUFLM

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import serve_lib
from serve_lib import ASK, MODEL, RUNG, Server, check


def ours(context, text):
    run = subprocess.run([RUNG, "model", "perplexity", "--policy", MODEL, "--context", context, "--text", text, "--json", "--quiet",
                          "--threads", "1"], capture_output=True, text=True, check=True)
    o = json.loads(run.stdout.strip().splitlines()[-1])
    return o.get("logprob", o.get("sum_logprob"))


def main():
    s = Server()
    lm = GGUFLM(base_url=s.url)
    texts = ["28+2=30\n", "28+2=31\n", "28-2=26\n", "#### 5\n"]
    requests = [Instance(request_type="loglikelihood", doc={}, arguments=(ASK, t), idx=i) for i, t in enumerate(texts)]
    out = lm.loglikelihood(requests)
    for t, (lp, greedy) in zip(texts, out):
        want = ours(ASK, t)
        check(f"loglikelihood of {t!r}", abs(lp - want) < 0.05, (lp, want))
        check(f"greedy of {t!r}", bool(greedy) == (t == texts[0]), (lp, greedy))
    best = max(range(len(texts)), key=lambda i: out[i][0])
    check("the choice it makes is ours", best == max(range(len(texts)), key=lambda i: ours(ASK, texts[i])))
    check("ends well", s.stop() == 0, s.errors())
    print(f"serve_lm_eval: {serve_lib.n_checks} checks, {serve_lib.failures} failed")
    sys.exit(serve_lib.failures > 0)


main()
