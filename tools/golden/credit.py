#!/usr/bin/env python3
"""Advantages on random input by the authors' own functions.

usage: credit.py OUT_DIR --verl FOLDER --trl FOLDER --prime CHECKOUT --pure CHECKOUT --pure-verl CHECKOUT --fg CHECKOUT

FOLDER: the installed packages (tools/golden/README.md says which versions). Padded [B, T] tensors as trainers have them;
written out answer after answer, each up to the last token of its own.
"""
import argparse
import json
from types import SimpleNamespace

import torch

import published

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
G = torch.Generator().manual_seed(23)
N = 16  # generation limit: the width of every tensor
cases = []


def f32(x):
    """Exact in f32, as the library holds tokens."""
    return x.float().double()


def randn(*shape):
    return f32(torch.randn(shape, generator=G))


def mask_of(lengths, holes=()):
    m = (torch.arange(N)[None, :] < torch.tensor(lengths)[:, None]).double()
    for i, t in holes:
        m[i, t] = 0
    return m


def scene(groups, lengths, holes=(), rewards=None, ends=None):
    b = len(groups)
    mask = mask_of(lengths, holes)
    s = SimpleNamespace(group=groups, n=b, mask=mask, lengths=lengths)
    s.outcome = torch.tensor(rewards).double() if rewards is not None else (torch.rand(b, generator=G) > 0.5).double()
    s.last = torch.tensor([int(mask[i].nonzero()[-1]) for i in range(b)])
    s.token = randn(b, N) * mask  # dense process rewards
    s.value, s.old = randn(b, N) * mask, -randn(b, N).abs() * mask
    s.ref = f32(s.old + 0.3 * randn(b, N)) * mask
    s.baseline = randn(b)
    s.ends = ends or [[t for t in range(s.last[i] + 1) if mask[i, t] and (t == s.last[i] or (t * 7 + i * 3) % 4 == 1)]
                      for i in range(b)]
    s.steps = [[float(x) for x in (2 * torch.rand(len(e), generator=G) - 1)] for e in s.ends]
    return s


def at_last(s, x):
    r = torch.zeros(s.n, N)
    r[torch.arange(s.n), s.last] = x
    return r


def step_tensor(s, steps=None):
    r = torch.zeros(s.n, N)
    for i, e in enumerate(s.ends):
        for t, x in zip(e, (steps or s.steps)[i]):
            r[i, t] = x
    return r


def num(x):
    return float(f"{float(x):.15g}")


def flat(s, x):
    return [num(v) for i in range(s.n) for v in x[i, :s.lengths[i]]]


def put(name, opts, s, a, returns=None, use=(), source=""):
    assert torch.isfinite(a[s.mask > 0]).all(), name
    d = {"lengths": s.lengths, "mask": [int(v) for v in flat(s, s.mask)], "group": s.group}
    if "outcome" in use:
        d["outcome"] = [num(x) for x in s.outcome]
    if "steps" in use:
        d["end"], d["step"] = s.ends, [[num(x) for x in q] for q in s.steps]
    for key in ("token", "value", "old", "ref"):
        if key in use:
            d[key] = flat(s, getattr(s, key))
    if "baseline" in use:
        d["baseline"] = [num(x) for x in s.baseline]
    c = {"row": name, "source": source, "opts": opts, "data": d, "advantage": flat(s, a * s.mask)}
    if returns is not None:
        c["returns"] = flat(s, returns * s.mask)
    cases.append(c)


def scenes():
    """Irregular groups with holes; pairs; answers of one token; all rewards equal; a group all masked but its last tokens."""
    return {
        "mixed": scene([0, 1, 0, 2, 1, 2, 2, 1, 0, 2], [16, 3, 7, 1, 12, 5, 9, 2, 16, 4], holes=[(0, 3), (0, 4), (4, 7), (8, 0)]),
        "pairs": scene([0, 0, 1, 1], [4, 9, 16, 2], rewards=[1, 0, 0.25, 0.75]),
        "one token": scene([0, 0, 0, 1, 1], [1, 1, 1, 1, 1], rewards=[1, 0, 1, 0.5, 0]),
        "all equal": scene([0, 0, 0, 1, 1], [3, 5, 16, 2, 8], rewards=[1, 1, 1, 0, 0]),
    }


def of_verl(v, all_scenes):
    cfg = published.Config(gamma=1.0)
    for label, s in all_scenes.items():
        dense = at_last(s, s.outcome) + s.token
        idx = s.group
        for rewards, use in ((at_last(s, s.outcome), ("outcome",)), (dense, ("outcome", "token"))):
            src = "verl, " + label
            put("grpo", {}, s, v.compute_grpo_outcome_advantage(rewards.clone(), s.mask, idx)[0], use=use, source=src)
            put("grpo_nostd", {}, s, v.compute_grpo_outcome_advantage(
                rewards.clone(), s.mask, idx, norm_adv_by_std_in_grpo=False)[0], use=use, source=src)
            put("rloo", {}, s, v.compute_rloo_outcome_advantage(rewards.clone(), s.mask, idx)[0], use=use, source=src)
            put("rloo", {}, s, v.compute_rloo_vectorized_outcome_advantage(rewards.clone(), s.mask, idx)[0], use=use,
                source=src + ", vectorised")
            put("opo", {}, s, v.compute_opo_outcome_advantage(rewards.clone(), s.mask, idx)[0], use=use, source=src)
            put("gpg", {}, s, v.compute_gpg_outcome_advantage(rewards.clone(), s.mask, idx)[0], use=use, source=src)
            put("pass_at_k", {}, s, v.compute_grpo_passk_outcome_advantage(
                rewards.clone(), s.mask, idx, config=published.Config(norm_adv_by_std_in_grpo=True))[0], use=use, source=src)
            put("pass_at_k", {"plain_std": True}, s, v.compute_grpo_passk_outcome_advantage(
                rewards.clone(), s.mask, idx, config=published.Config(norm_adv_by_std_in_grpo=False))[0], use=use, source=src)
            if label != "all equal":  # a constant, up to rounding, over 1e-4
                put("reinforce_pp_baseline", {}, s, v.compute_reinforce_plus_plus_baseline_outcome_advantage(
                    rewards.clone(), s.mask, idx)[0], use=use, source=src)
            for gamma in (1.0, 0.9):
                a, r = v.compute_reinforce_plus_plus_outcome_advantage(rewards.clone(), s.mask,
                                                                       config=published.Config(gamma=gamma))
                put("reinforce_pp", {"gamma": gamma}, s, a, r, use=use, source=src)
            put("remax", {}, s, v.compute_remax_outcome_advantage(rewards.clone(), s.baseline, s.mask)[0],
                use=use + ("baseline",), source=src)
            for gamma, lam in ((1.0, 1.0), (0.97, 0.9)):
                a, r = v.compute_gae_advantage_return(rewards.clone(), s.value, s.mask, gamma, lam)
                put("gae", {"gamma": gamma, "lambda": lam}, s, a, r, use=use + ("value",), source=src)
            for kind in ("kl", "abs", "mse", "low_var_kl"):
                kl = v.kl_penalty_forward(s.old, s.ref, kind)
                a, r = v.compute_gae_advantage_return(rewards - 0.2 * kl * s.mask, s.value, s.mask, 1.0, 0.95)
                put("gae", {"lambda": 0.95, "kl_coef": 0.2, "kl": kind}, s, a, r, use=use + ("value", "old", "ref"), source=src)


def of_trl(t, all_scenes):
    for label, s in all_scenes.items():
        r = s.outcome
        mean = torch.stack([r[[k for k in range(s.n) if s.group[k] == s.group[i]]].mean() for i in range(s.n)])
        sd = t.nanstd(r)
        put("grpo_batch_std", {"eps": 1e-4}, s, ((r - mean) / (sd + 1e-4))[:, None] * s.mask, use=("outcome",),
            source="trl's nanstd, scale_rewards=batch, " + label)


def of_prime(p):
    for k, groups in ((4, 3), (2, 3)):
        lengths = [16, 3, 7, 1, 12, 5, 9, 2, 16, 4, 6, 11][:k * groups]
        s = scene([g for g in range(groups) for _ in range(k)], lengths)
        for gammas in ((1.0, 1.0), (0.9, 1.0)):
            data = SimpleNamespace(batch={
                "responses": torch.zeros(s.n, N), "rm_scores": s.token.clone(), "gt_scores": at_last(s, s.outcome),
                "prompts": torch.zeros(s.n, 2), "attention_mask": torch.cat((torch.ones(s.n, 2), s.mask), 1).long()})
            config = SimpleNamespace(algorithm=SimpleNamespace(adv_params=SimpleNamespace(
                reward_model_gamma=gammas[0], verifier_gamma=gammas[1])))
            a, r = p.compute_rloo_returns(data, s.mask, k, config)
            put("prime", {"gamma": gammas[0], "prime_code": True, "prime_unscaled": True}, s, a, r, use=("outcome", "token"),
                source="PRIME, K = %d" % k)
            top = s.token.flip(1).cumsum(1).flip(1).abs().max() + 1e-6  # its dp_prime's batch_norm
            data.batch["rm_scores"] = s.token / top
            a, r = p.compute_rloo_returns(data, s.mask, k, config)
            put("prime", {"gamma": gammas[0], "prime_code": True}, s, a, r, use=("outcome", "token"),
                source="PRIME, K = %d, batch_norm" % k)


def of_pure(code_a, code_b, all_scenes):
    for label in ("mixed", "pairs", "one token"):
        s = all_scenes[label]
        r = step_tensor(s)
        at_end = step_tensor(s, [[1.0] * len(e) for e in s.ends]) > 0
        p = (1 + r) / 2
        logits = torch.stack((torch.log(1 - p + 0.0), torch.log(p)), -1)
        for temperature in (0.1, 1.0):
            soft = code_a.turn_process_reward_logits_to_reward(logits, at_end, temperature=temperature)
            for credit, rewards, how in (("soft", soft, "sum"), ("sum", r, "sum"), ("tokens", r, "min")):
                if temperature != 0.1 and credit != "soft":
                    continue
                a, ret = code_b.compute_rloo_outcome_advantage(at_last(s, s.outcome) * 0.7 + rewards, s.mask, s.group,
                                                               adv_norm=True, return_aggregate_method=how)
                put("min_form", {"min_variant": "code_verl", "min_credit": credit, "temperature": temperature,
                                 "outcome_coef": 0.7, "length_max": N}, s, a, use=("outcome", "steps"), source="PURE verl, " + label)
    for k in (4, 2):
        s = scene([g for g in range(3) for _ in range(k)], [16, 3, 7, 1, 12, 5, 9, 2, 16, 4, 6, 11][:3 * k])
        for baseline in ("token", "step"):
            at_end = step_tensor(s, [[1.0] * len(e) for e in s.ends]) > 0
            p = (1 + step_tensor(s)) / 2
            logits = torch.stack((torch.log(1 - p), torch.log(p)), -1)
            soft = code_a.turn_process_reward_logits_to_reward(logits, at_end, temperature=0.1)
            most = max(len(e) for e in s.ends)
            span = torch.zeros(s.n, most)
            here = torch.zeros(s.n, most, dtype=torch.bool)
            for i, e in enumerate(s.ends):
                for h, t in enumerate(e):
                    span[i, h] = t - (e[h - 1] + 1 if h else 0)  # tokens of the step, its separator not counted
                    here[i, h] = True
            x = SimpleNamespace(info={
                "process_reward": soft, "have_answers": torch.ones(s.n, dtype=torch.bool), "solved": s.outcome,
                "process_reward_mask": at_end, "num_steps": here.double().sum(-1), "response_length": s.mask.sum(-1),
                "num_tokens_per_step": span, "score_mask": here}, action_mask=s.mask.bool())
            args = SimpleNamespace(advantage_estimator="rloo", n_samples_per_prompt=k, reward_baseline=baseline,
                                   reward_mode="PRM+VR", verifiable_reward_coef=0.7, micro_rollout_batch_size=s.n)
            _, rewards = code_a.process_experiences(SimpleNamespace(strategy=SimpleNamespace(args=args)), [x])
            returns = rewards[0].fliplr().cumsum(dim=1).fliplr()
            for keep in (False, True):
                a = returns if keep else returns.masked_fill(at_end, 0)
                put("min_form", {"min_variant": "code_" + baseline, "outcome_coef": 0.7, "keep_step_ends": keep}, s, a,
                    use=("outcome", "steps"), source="PURE OpenRLHF, K = %d" % k)


def of_fine_grained(fg):
    s = scene([0, 0, 1, 1, 1], [16] * 5)  # equal lengths: its padding is whitened too, and runs into the sums
    penalized = step_tensor(s) + at_last(s, s.outcome) - 0.3 * (s.old - s.ref)
    results = {"generated_value": s.value, "rewards/penalized": penalized, "generated_attention_mask": s.mask.long()}
    me = SimpleNamespace(args={"ppo": {"whiten_rewards": True, "gamma": 1.0, "lam": 0.95}}, accelerator=None)
    fg.compute_advantages(me, results, 1)
    put("fg", {"kl_coef": 0.3, "fg_code": True}, s, results["whitened_advantages"], results["returns"],
        use=("outcome", "steps", "value", "old", "ref"), source="FineGrainedRLHF")


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("out")
    for name in ("verl", "trl", "prime", "pure", "pure-verl", "fg"):
        p.add_argument("--" + name, required=True)
    o = p.parse_args()
    t = published.trl(o.trl)
    every = scenes()
    of_verl(published.verl(o.verl), every)
    of_trl(t, every)
    of_prime(published.prime(o.prime))
    of_pure(published.pure_openrlhf(o.pure), published.pure_verl(o.pure_verl), every)
    of_fine_grained(published.fine_grained(o.fg))
    long = t._SoftOverlongPunishment(20, 5)
    overlong = [[n, num(long([[0] * n])[0])] for n in range(0, 23)]
    path = f"{o.out}/credit.json"
    with open(path, "w") as f:
        f.write(json.dumps({"about": "tools/golden/credit.py", "torch": torch.__version__.split("+")[0],
                            "overlong": {"length_max": 20, "cache": 5, "rows": overlong}})[:-1])
        f.write(',"cases":[\n' + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]}\n")
    print(path, len(cases), "cases")


if __name__ == "__main__":
    main()
