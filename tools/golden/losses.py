#!/usr/bin/env python3
"""Values and gradients of the losses on random input, by PyTorch's own functions and autograd.

usage: losses.py OUT_DIR

Padded [B, T] tensors as trainers have them; written out flat, padding left in (mask 0), for the test to read.
"""
import json
import sys

import torch
import torch.nn.functional as F

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
B, T = 7, 6
G = torch.Generator().manual_seed(11)


def rand(*shape):
    return torch.rand(shape, generator=G)


def randn(*shape):
    return torch.randn(shape, generator=G)


LENGTHS = torch.tensor([6, 1, 3, 5, 2, 6, 4])
MASK = (torch.arange(T)[None, :] < LENGTHS[:, None]).double()
MASK[3, 1] = 0  # a hole: injected text
GROUP = [0, 0, 0, 1, 1, 1, 1]
PAIRS = [(0, 1), (0, 2), (3, 5), (4, 5), (4, 6)]
UP, DOWN = torch.tensor([p[0] for p in PAIRS]), torch.tensor([p[1] for p in PAIRS])
X = dict(logprob=-rand(B, T) * 3, ref=-rand(B, T) * 3, score=randn(B), target=rand(B), reward=randn(B),
         label=torch.tensor([1.0, 0, 0, 1, 1, 0, 0]), advantage=randn(B, T), weight=rand(B) + 0.5, pair_weight=rand(len(PAIRS)),
         pair_margin=rand(len(PAIRS)) * 0.3, step_score=randn(B, T), step_target=rand(B, T), old_value=randn(B, T),
         classes=randn(B, 4), which=torch.randint(0, 4, (B,), generator=G).double())
X["old"] = X["logprob"] + randn(B, T) * 0.3
X["sampler"] = X["old"] + randn(B, T) * 0.5

cases = []


def flat(v):
    return [float(f"{x:.15g}") for x in v.detach().double().flatten().tolist()]


def put(loss, opts, x, value, data):
    """One case: value.backward() gives the gradient by x."""
    value.backward()
    cases.append({"loss": loss, "opts": opts, "value": float(value.detach()), "x": flat(x), "dx": flat(x.grad),
                  "data": {k: flat(v) if torch.is_tensor(v) else v for k, v in data.items()}})


def leaf(v):
    return v.clone().requires_grad_(True)


def tokens(**more):
    return {"mask": MASK, "sample": [b for b in range(B) for _ in range(T)], **more}


def aggregate(loss, how, weight=None):
    w = torch.ones(B) if weight is None else weight
    if how == "token-mean":
        return (loss * MASK * w[:, None]).sum() / (MASK * w[:, None]).sum()
    if how == "seq-mean-token-sum":
        return ((loss * MASK).sum(-1) * w).sum() / w.sum()
    if how == "seq-mean-token-mean":
        return ((loss * MASK).sum(-1) / MASK.sum(-1) * w).sum() / w.sum()
    return ((loss * MASK).sum(-1) * w).sum() / w.sum() / 10  # seq-mean-token-sum-norm, length_max 10


AGGREGATIONS = ("token-mean", "seq-mean-token-mean", "seq-mean-token-sum", "seq-mean-token-sum-norm")


def scores():
    x = leaf(X["score"])
    put("bce", {}, x, F.binary_cross_entropy_with_logits(x, X["target"]), {"target": X["target"]})
    x = leaf(X["score"])
    put("bce", {}, x, F.binary_cross_entropy_with_logits(x, X["target"], weight=X["weight"], reduction="sum") / X["weight"].sum(),
        {"target": X["target"], "weight": X["weight"]})
    x = leaf(X["score"])
    put("mse", {}, x, F.mse_loss(torch.sigmoid(x), X["target"]), {"target": X["target"]})
    x = leaf(X["classes"])
    put("class_ce", {"n_class": 4}, x, F.cross_entropy(x, X["which"].long()), {"target": X["which"]})
    x = leaf(X["classes"][:, :2])
    soft = torch.stack((1 - X["target"], X["target"]), -1)
    put("class_ce", {}, x, F.cross_entropy(x, soft), {"target": X["target"]})
    x = leaf(X["score"])
    pairs = {"pair": [i for p in PAIRS for i in p]}
    put("bradley_terry", {}, x, -F.logsigmoid(x[UP] - x[DOWN]).mean(), pairs)
    x = leaf(X["score"])
    put("bradley_terry", {"smoothing": 0.1}, x, F.binary_cross_entropy_with_logits(
        x[UP] - x[DOWN] - X["pair_margin"], torch.full((len(PAIRS),), 0.9), weight=X["pair_weight"], reduction="sum")
        / X["pair_weight"].sum(), {**pairs, "pair_weight": X["pair_weight"], "pair_margin": X["pair_margin"]})
    x = leaf(X["score"])
    put("margin", {"margin": 0.7}, x, F.margin_ranking_loss(x[UP], x[DOWN], torch.ones(len(PAIRS)), margin=0.7), pairs)
    x = leaf(X["score"])
    mc = torch.tensor([0.5, 0.25, 0.5, 1.0, 0.0, 0.25, 0.25])
    each = [-(F.logsigmoid(x[i] - x[j]) if mc[i] > mc[j] else F.logsigmoid(x[j] - x[i]))
            for i in range(B) for j in range(i) if GROUP[i] == GROUP[j] and mc[i] != mc[j]]
    put("omega_pairwise", {}, x, torch.stack(each).mean(), {"group": GROUP, "reward": mc})


def steps():
    for how in AGGREGATIONS:
        x = leaf(X["step_score"])
        l = F.binary_cross_entropy_with_logits(x, X["step_target"], reduction="none")
        put("bce", {"aggregation": how, "length_max": 10}, x, aggregate(l, how), tokens(target=X["step_target"]))
        x = leaf(X["step_score"])
        cut = X["old_value"] + torch.clamp(x - X["old_value"], -0.2, 0.2)
        l = 0.5 * torch.maximum((x - X["step_target"]) ** 2, (cut - X["step_target"]) ** 2)
        put("value", {"aggregation": how, "length_max": 10, "clip_value": 0.2}, x, aggregate(l, how),
            tokens(target=X["step_target"], old=X["old_value"]))


def z_of(x, ref=None):
    return ((x - (X["ref"] if ref is None else ref)) * MASK).sum(-1)


def preferences():
    pairs = {"pair": [i for p in PAIRS for i in p]}
    for opts in ({}, {"beta": 0.5, "smoothing": 0.2}):
        x = leaf(X["logprob"])
        h = opts.get("beta", 0.1) * (z_of(x)[UP] - z_of(x)[DOWN])
        e = opts.get("smoothing", 0)
        put("dpo", opts, x, (-(1 - e) * F.logsigmoid(h) - e * F.logsigmoid(-h)).mean(), tokens(ref=X["ref"], **pairs))
    x = leaf(X["logprob"])
    put("ipo", {"beta": 0.2}, x, ((z_of(x)[UP] - z_of(x)[DOWN] - 1 / 0.4) ** 2).mean(), tokens(ref=X["ref"], **pairs))
    x = leaf(X["logprob"])
    mean = (x * MASK).sum(-1) / MASK.sum(-1)  # SimPO
    put("dpo", {"beta": 2.0, "margin": 0.5, "mean_tokens": True, "no_reference": True}, x,
        -F.logsigmoid(2.0 * (mean[UP] - mean[DOWN]) - 0.5).mean(), tokens(**pairs))
    x = leaf(X["logprob"])
    h = 0.3 * (z_of(x)[UP] - z_of(x)[DOWN])
    put("reward_regression", {"beta": 0.3}, x, F.mse_loss(h, X["reward"][UP] - X["reward"][DOWN]),
        tokens(ref=X["ref"], reward=X["reward"], **pairs))
    x = leaf(X["logprob"])
    put("implicit_ce", {}, x, F.binary_cross_entropy_with_logits(0.05 * z_of(x), X["label"]),
        tokens(ref=X["ref"], label=X["label"]))
    x = leaf(X["logprob"])
    put("implicit_ce", {"beta": 0.7}, x, F.binary_cross_entropy_with_logits(
        0.7 * z_of(x), X["target"], weight=X["weight"], reduction="sum") / X["weight"].sum(),
        tokens(ref=X["ref"], label=X["target"], weight=X["weight"]))
    x = leaf(X["logprob"])
    u = 0.1 * (z_of(x) - 0.8)
    l = torch.where(X["label"] > 0.5, 1 - torch.sigmoid(u), 1.2 * (1 - torch.sigmoid(-u)))
    put("kto", {"kto_zero": 0.8, "undesirable": 1.2}, x, l.mean(), tokens(ref=X["ref"], label=X["label"]))
    groups = [[i for i in range(B) if GROUP[i] == g] for g in (0, 1)]
    for name in ("nca", "info_nca"):
        x = leaf(X["logprob"])
        total = 0
        for who in groups:
            s, q = 0.4 * z_of(x)[who], torch.softmax(X["reward"][who] / 0.6, 0)
            total = total + (-(q * F.logsigmoid(s) + F.logsigmoid(-s) / len(who)).sum() if name == "nca"
                             else F.cross_entropy(s, q))
        put(name, {"beta": 0.4, "alpha": 0.6}, x, total / 2, tokens(ref=X["ref"], reward=X["reward"], group=GROUP))


def policy():
    for how in AGGREGATIONS:
        opts = {"aggregation": how, "length_max": 10}
        x = leaf(X["logprob"])
        put("ce", opts, x, aggregate(-x, how, X["weight"]), tokens(weight=X["weight"]))
        for kind in ("kl_k1", "kl_k2", "kl_k3"):
            x = leaf(X["logprob"])
            d = x - X["ref"]
            k = d if kind == "kl_k1" else d ** 2 / 2 if kind == "kl_k2" else torch.clamp(torch.exp(-d) - 1 + d, -10, 10)
            put(kind, opts, x, aggregate(k, how), tokens(ref=X["ref"]))
        x = leaf(X["logprob"])
        a, rho = X["advantage"], torch.exp(torch.clamp(x - X["old"], -20, 20))
        l = torch.maximum(-a * rho, -a * torch.clamp(rho, 0.8, 1.28))
        dual = torch.where(a < 0, torch.minimum(l, -a * 1.3), l)
        d = x - X["ref"]
        trust = torch.clamp(torch.exp(X["old"] - X["sampler"]), max=2.0)
        put("ppo", {**opts, "clip_high": 0.28, "clip_dual": 1.3, "kl_coef": 0.05, "kl": "kl_k3"}, x,
            aggregate(trust * dual + 0.05 * (torch.exp(-d) - 1 + d), how),
            tokens(old=X["old"], advantage=a, ref=X["ref"], sampler=X["sampler"]))
        x = leaf(X["logprob"])
        mean = ((x - X["old"]) * MASK).sum(-1, keepdim=True) / MASK.sum(-1, keepdim=True)
        rho = torch.exp(mean).expand(B, T)  # GSPO
        l = torch.maximum(-a * rho, -a * torch.clamp(rho, 0.95, 1.05))
        put("ppo", {**opts, "clip_low": 0.05, "clip_high": 0.05, "sequence_ratio": True}, x, aggregate(l, how),
            tokens(old=X["old"], advantage=a))


def main():
    out = sys.argv[1] if len(sys.argv) == 2 else sys.exit(__doc__)
    for part in (scores, steps, preferences, policy):
        part()
    path = f"{out}/losses.json"
    with open(path, "w") as f:
        f.write(json.dumps({"about": "tools/golden/losses.py", "torch": torch.__version__.split("+")[0]})[:-1])
        f.write(',"cases":[\n' + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]}\n")
    print(path, len(cases), "cases")


if __name__ == "__main__":
    main()
