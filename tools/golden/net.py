#!/usr/bin/env python3
"""Decoders of llama and qwen2 shape in plain PyTorch: logits, loss, the gradient of every tensor and 20 steps of AdamW.

usage: net.py OUT_DIR

Written from the formulas of the architectures as GGUF has them, not from any trainer's code: y = x W^T with W [out][in],
RMSNorm, RoPE over consecutive pairs (llama) or over halves (qwen2), grouped queries, documents that do not see each other,
SwiGLU; qwen2 adds biases to q, k and v.  f64 throughout.
"""
import json
import math
import sys

import torch
import torch.nn.functional as F

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)

SHAPES = {
    "llama": dict(n_vocab=11, n_embd=12, n_layer=2, n_head=3, n_head_kv=1, n_ff=17, n_ctx=16, rope_base=10000.0,
                  rms_eps=1e-5, tied=False),
    "qwen2": dict(n_vocab=13, n_embd=16, n_layer=2, n_head=4, n_head_kv=2, n_ff=19, n_ctx=16, rope_base=1000000.0,
                  rms_eps=1e-6, tied=True),
}
for shape in SHAPES.values():  # stored as f32, in GGUF too
    shape["rms_eps"] = torch.tensor(shape["rms_eps"], dtype=torch.float32).double().item()
# documents 0, 1, 2 of a row; -1 is padding
DOCS = [[0, 0, 0, 0, 0, 1, 1, 1, -1], [0, 1, 1, 1, 1, 1, 1, 2, 2]]
ADAMW = dict(lr=0.01, beta1=0.9, beta2=0.95, eps=1e-8, weight_decay=0.1, clip=1.0)
STEPS, WARMUP, LR_MIN = 20, 4, 0.001


def tensors(arch, s):
    """Names and shapes in GGUF's order of a layer; norms and biases are vectors."""
    d, f, hd = s["n_embd"], s["n_ff"], s["n_embd"] // s["n_head"]
    kv = s["n_head_kv"] * hd
    out = {"token_embd.weight": (s["n_vocab"], d)}
    for i in range(s["n_layer"]):
        b = f"blk.{i}."
        out[b + "attn_norm.weight"] = (d,)
        for name, rows in (("attn_q", d), ("attn_k", kv), ("attn_v", kv)):
            out[b + name + ".weight"] = (rows, d)
            if arch == "qwen2":
                out[b + name + ".bias"] = (rows,)
        out[b + "attn_output.weight"] = (d, d)
        out[b + "ffn_norm.weight"] = (d,)
        out[b + "ffn_gate.weight"] = (f, d)
        out[b + "ffn_up.weight"] = (f, d)
        out[b + "ffn_down.weight"] = (d, f)
    out["output_norm.weight"] = (d,)
    if not s["tied"]:
        out["output.weight"] = (s["n_vocab"], d)
    return out


def rms_norm(x, w, eps):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * w


def rope(x, pos, base, pairs):
    """x [n, heads, hd]; pairs: (0,1), (2,3), ... for llama, (0, hd/2), (1, hd/2 + 1), ... for qwen2."""
    hd = x.shape[-1]
    angle = pos[:, None] * base ** (-torch.arange(0, hd, 2) / hd)  # [n, hd/2]
    c, s = torch.cos(angle)[:, None, :], torch.sin(angle)[:, None, :]
    if pairs == "consecutive":
        a, b = x[..., 0::2], x[..., 1::2]
        return torch.stack((a * c - b * s, a * s + b * c), -1).flatten(-2)
    a, b = x[..., : hd // 2], x[..., hd // 2:]
    return torch.cat((a * c - b * s, a * s + b * c), -1)


def forward(arch, s, w, tok, doc):
    """Logits [n, V] of one row; rows of padding come out as they may."""
    n, hd, group = len(tok), s["n_embd"] // s["n_head"], s["n_head"] // s["n_head_kv"]
    pos = torch.zeros(n)
    for t in range(1, n):
        pos[t] = pos[t - 1] + 1 if doc[t] == doc[t - 1] else 0
    t = torch.arange(n)
    same = torch.tensor([[doc[i] >= 0 and doc[i] == doc[j] for j in range(n)] for i in range(n)])
    see = same & (t[None, :] <= t[:, None])
    pairs = "consecutive" if arch == "llama" else "halves"
    x = w["token_embd.weight"][tok]
    for i in range(s["n_layer"]):
        b = f"blk.{i}."
        h = rms_norm(x, w[b + "attn_norm.weight"], s["rms_eps"])
        q, k, v = (F.linear(h, w[b + p + ".weight"], w.get(b + p + ".bias")) for p in ("attn_q", "attn_k", "attn_v"))
        q = rope(q.view(n, -1, hd), pos, s["rope_base"], pairs)
        k = rope(k.view(n, -1, hd), pos, s["rope_base"], pairs).repeat_interleave(group, 1)
        v = v.view(n, -1, hd).repeat_interleave(group, 1)
        score = torch.einsum("ihd,jhd->hij", q, k) / math.sqrt(hd)
        score = score.masked_fill(~see, -math.inf)
        # a row of padding sees nothing: its attention output is 0
        p = torch.where(see.any(-1)[None, :, None], score, torch.zeros(())).softmax(-1) * see
        a = torch.einsum("hij,jhd->ihd", p, v).reshape(n, -1)
        x = x + F.linear(a, w[b + "attn_output.weight"])
        h = rms_norm(x, w[b + "ffn_norm.weight"], s["rms_eps"])
        h = F.silu(F.linear(h, w[b + "ffn_gate.weight"])) * F.linear(h, w[b + "ffn_up.weight"])
        x = x + F.linear(h, w[b + "ffn_down.weight"])
    x = rms_norm(x, w["output_norm.weight"], s["rms_eps"])
    return F.linear(x, w["token_embd.weight" if s["tied"] else "output.weight"])


def loss_of(arch, s, w, tok, target, weight):
    logits = torch.cat([forward(arch, s, w, tok[r], DOCS[r]) for r in range(len(DOCS))])
    each = F.cross_entropy(logits, target.flatten(), reduction="none")
    return (each * weight.flatten()).sum() / weight.sum(), logits


def rate(step):
    if step < WARMUP:
        return ADAMW["lr"] * (step + 1) / WARMUP
    done = (step - WARMUP) / (STEPS - WARMUP)
    return LR_MIN + (ADAMW["lr"] - LR_MIN) * 0.5 * (1 + math.cos(math.pi * done))


def curve_of(arch, s, w, tok, target, weight):
    """Losses before each step, and after the last; norms of the gradients before clipping."""
    w = {k: v.detach().clone().requires_grad_(True) for k, v in w.items()}
    matrices = [v for v in w.values() if v.dim() > 1]
    vectors = [v for v in w.values() if v.dim() == 1]
    opt = torch.optim.AdamW([{"params": matrices, "weight_decay": ADAMW["weight_decay"]},
                             {"params": vectors, "weight_decay": 0.0}], lr=ADAMW["lr"],
                            betas=(ADAMW["beta1"], ADAMW["beta2"]), eps=ADAMW["eps"])
    curve, norms = [], []
    for step in range(STEPS):
        loss, _ = loss_of(arch, s, w, tok, target, weight)
        opt.zero_grad()
        loss.backward()
        norm = math.sqrt(sum(float(v.grad.pow(2).sum()) for v in w.values()))
        for v in w.values():  # by the norm itself; torch's clip_grad_norm_ adds 1e-6 to it
            v.grad *= min(1.0, ADAMW["clip"] / norm)
        for g in opt.param_groups:
            g["lr"] = rate(step)
        opt.step()
        curve.append(float(loss.detach()))
        norms.append(norm)
    with torch.no_grad():
        curve.append(float(loss_of(arch, s, w, tok, target, weight)[0]))
    return curve, norms


def f32(x):
    return x.float().double()


def numbers(x):
    return [float(f"{v:.12g}") for v in x.detach().flatten().tolist()]


def golden(arch):
    s = SHAPES[arch]
    g = torch.Generator().manual_seed(7 if arch == "llama" else 8)
    w = {}
    for name, shape in tensors(arch, s).items():
        v = torch.randn(shape, generator=g) * 0.3
        w[name] = f32(v + 1 if "norm" in name else v).requires_grad_(True)
    n = (len(DOCS), len(DOCS[0]))
    tok = torch.randint(0, s["n_vocab"], n, generator=g)
    target = torch.randint(0, s["n_vocab"], n, generator=g)
    weight = f32(torch.rand(n, generator=g)) * (torch.rand(n, generator=g) < 0.7)
    weight[torch.tensor(DOCS) < 0] = 0
    loss, logits = loss_of(arch, s, w, tok, target, weight)
    loss.backward()
    curve, norms = curve_of(arch, s, w, tok, target, weight)
    return {
        "about": f"tools/golden/net.py: {arch}, f64", "torch": torch.__version__.split("+")[0], "arch": arch,
        "shape": {**s, "tied": int(s["tied"])}, "n_rows": n[0], "n_tok": n[1],
        "tok": tok.flatten().tolist(), "doc": sum(DOCS, []), "target": target.flatten().tolist(),
        "weight": [float(f"{v:.9g}") for v in weight.flatten().tolist()],
        "tensors": {k: [float(f"{x:.9g}") for x in v.detach().flatten().tolist()] for k, v in w.items()},
        "loss": float(loss.detach()), "logits": numbers(logits),
        "grad": {k: numbers(v.grad) for k, v in w.items()},
        "adamw": ADAMW, "schedule": {"kind": "cosine", "warmup": WARMUP, "steps": STEPS, "lr_min": LR_MIN},
        "curve": curve, "grad_norm": norms,
    }


def main():
    out = sys.argv[1] if len(sys.argv) == 2 else sys.exit(__doc__)
    for arch in SHAPES:
        path = f"{out}/{arch}.json"
        with open(path, "w") as f:
            json.dump(golden(arch), f, separators=(",", ":"))
            f.write("\n")
        print(path)


if __name__ == "__main__":
    main()
