#!/usr/bin/env python3
"""Policy losses and KL estimators on random input, by verl's own functions and autograd.

usage: policy.py OUT_DIR --verl FOLDER
"""
import argparse
import json

import torch

import losses as base
import published

B, T, X, MASK = base.B, base.T, base.X, base.MASK
cases = []


def put(loss, opts, x, value, data):
    base.cases = cases
    base.put(loss, opts, x, value, data)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("out")
    p.add_argument("--verl", required=True)
    o = p.parse_args()
    v = published.verl(o.verl)
    g = torch.Generator().manual_seed(5)
    a = X["advantage"]
    one = torch.randn(B, 1, generator=g).expand(B, T).contiguous()  # geo_mean: an advantage a sequence
    old = X["logprob"] + torch.randn(B, T, generator=g) * 0.3
    trust = torch.clamp(torch.exp(old - X["sampler"]), max=2.0)

    def config(**more):
        return published.Config(clip_ratio=0.2, clip_ratio_low=0.15, clip_ratio_high=0.28, clip_ratio_c=1.3, tau_pos=1.0,
                                tau_neg=1.05, global_batch_info={}, policy_loss=published.Config(
                                    clip_cov_ratio=0.9, clip_cov_lb=0.1, clip_cov_ub=2.0, kl_cov_ratio=0.2, ppo_kl_coef=0.7),
                                **more)

    clip = {"clip_low": 0.15, "clip_high": 0.28}
    rows = [("ppo", {**clip, "clip_dual": 1.3}, v.compute_policy_loss_vanilla, a),
            ("ppo", {**clip, "sequence_ratio": True, "sequence_token": True}, v.compute_policy_loss_gspo, a),
            ("cispo", clip, v.compute_policy_loss_cispo, a),
            ("clip_cov", {**clip, "cov_share": 0.9, "cov_low": 0.1, "cov_high": 2.0}, v.compute_policy_loss_clip_cov, a),
            ("kl_cov", {"cov_share": 0.2, "cov_coef": 0.7}, v.compute_policy_loss_kl_cov, a),
            ("reinforce", {}, v.compute_policy_loss_gpg, a)]
    for name, opts, fn, adv in rows:
        for how in base.AGGREGATIONS:
            if how == "seq-mean-token-sum-norm":
                continue  # theirs divides by the width of the batch
            for weights in (None, trust):
                x = base.leaf(X["logprob"])
                loss = fn(old, x, adv, MASK, how, config(), weights)[0]
                data = base.tokens(old=old, advantage=adv)
                if weights is not None:
                    data["sampler"] = X["sampler"]
                put(name, {**opts, "aggregation": how}, x, loss, data)
    for name, fn, adv in (("geo_mean", v.compute_policy_loss_geo_mean, one), ("sapo", v.compute_policy_loss_sapo, a)):
        for weights in (None, trust):
            x = base.leaf(X["logprob"])
            loss = fn(old, x, adv, MASK, "seq-mean-token-mean", config(), weights)[0]
            data = base.tokens(old=old, advantage=adv)
            if weights is not None:
                data["sampler"] = X["sampler"]
            put(name, {**(clip if name == "geo_mean" else {}), "aggregation": "seq-mean-token-mean"}, x, loss, data)
    kinds = {"kl": ("kl_k1", "kl_k1"), "abs": ("kl_abs", "kl_abs"), "mse": ("kl_k2", "kl_k2"),
             "low_var_kl": ("kl_k3", "kl_k3"), "k1+": ("kl_k1", "kl_k2"), "k3+": ("kl_k3", "kl_k2")}
    for kind, (value, gradient) in kinds.items():
        x = base.leaf(X["logprob"])
        kl = v.agg_loss(v.kl_penalty(x, X["ref"], kind), MASK, "token-mean")
        loss = v.compute_policy_loss_vanilla(old, x, a, MASK, "token-mean", config())[0] + 0.3 * kl
        put("ppo", {**clip, "clip_dual": 1.3, "kl_coef": 0.3, "kl": gradient, "kl_value": value, "aggregation": "token-mean"},
            x, loss, base.tokens(old=old, advantage=a, ref=X["ref"]))
    x = base.leaf(X["logprob"])
    put("kl_abs", {"aggregation": "token-mean"}, x, v.agg_loss(v.kl_penalty(x, X["ref"], "abs"), MASK, "token-mean"),
        base.tokens(ref=X["ref"]))
    path = f"{o.out}/policy.json"
    with open(path, "w") as f:
        f.write(json.dumps({"about": "tools/golden/policy.py", "torch": torch.__version__.split("+")[0]})[:-1])
        f.write(',"cases":[\n' + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]}\n")
    print(path, len(cases), "cases")


if __name__ == "__main__":
    main()
