"""The torch side of benchmarks/credit: the published functions on the same batch, f32, as their trainers call them.
credit_peer.py VERL ANSWERS TOKENS THREADS PRIME PURE: a case a line on stdin, a JSON line out (see credit.c)."""
import json
import os
import sys
import time
from types import SimpleNamespace

import numpy as np
import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools", "golden"))
import published  # noqa: E402

K = 8
verl_home, n, width, threads, prime_home, pure_home = sys.argv[1:7]
n, width = int(n), int(width)
torch.set_num_threads(int(threads))
verl = published.verl(verl_home)
prime = published.prime(prime_home) if prime_home else None
pure = published.pure_verl(pure_home) if pure_home else None

# The same numbers as in credit.c: h(i) spread over [-1, 1).
i = torch.arange(n * width, dtype=torch.int64)


def spread(salt):
    return ((((i * 2654435761 + salt * 40503) % 4294967296) // 256).double() / 8388608 - 1).float().view(n, width)


mask = torch.ones(n, width)
group = np.arange(n) // K
outcome = torch.tensor([(k * 7 + k // K * 3) % 5 < 2 for k in range(n)]).float()
last = torch.zeros(n, width)
last[:, -1] = outcome
value, token = spread(1), spread(2)
ends = torch.zeros(n, width, dtype=torch.bool)
ends[:, 63::64] = True  # a step each 64 tokens
steps = spread(3) * ends
ones = torch.ones(n, 2)
data = {"responses": torch.zeros(n, width), "rm_scores": token, "gt_scores": last, "prompts": ones,
        "attention_mask": torch.cat((ones, mask), 1).long()}
config = SimpleNamespace(algorithm=SimpleNamespace(adv_params=SimpleNamespace(reward_model_gamma=1.0, verifier_gamma=1.0)))


def gae():
    return verl.compute_gae_advantage_return(last, value, mask, 1.0, 0.95)


def grpo():
    return verl.compute_grpo_outcome_advantage(last, mask, group)


def rloo():
    return verl.compute_rloo_outcome_advantage(last, mask, group)


def prime_returns():
    scale = token.flip(1).cumsum(1).flip(1).abs().max() + 1e-6  # dp_prime's batch_norm
    data["rm_scores"] = token / scale
    return prime.compute_rloo_returns(SimpleNamespace(batch=data), mask, K, config)


def min_form():
    soft = steps * torch.softmax(-steps.masked_fill(~ends, float("inf")) / 0.1, dim=-1)  # fsdp_workers' reward
    return pure.compute_rloo_outcome_advantage(last + soft, mask, group, adv_norm=True, return_aggregate_method="sum")


fns = {"gae": gae, "grpo": grpo, "rloo": rloo, "prime": prime_returns, "min_form": min_form}
print(json.dumps({"torch": torch.__version__.split("+")[0]}), flush=True)
for line in sys.stdin:
    words = line.split()
    t = time.perf_counter()
    a = fns[words[-1]]()[0]
    wall = time.perf_counter() - t
    out = {"wall_s": wall}
    if words[0] == "sum":
        sign = 1 - 2 * (torch.arange(width) % 3 == 0).double()
        out["sum"] = float((a.double().abs() * sign).sum() / n)
    print(json.dumps(out), flush=True)
