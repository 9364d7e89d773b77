"""The PyTorch side of benchmarks/train: the same commands on stdin, the same JSON lines out (see trainer.c).
peer.py full|full-compile|full-bf16 THREADS | lora THREADS ROWS TOKENS | head THREADS ROWS"""
import json
import resource
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn


class Norm(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d))

    def forward(self, x):
        return F.rms_norm(x, self.weight.shape, self.weight, 1e-5)


class Layer(nn.Module):
    def __init__(self, d, heads, ff):
        super().__init__()
        self.heads = heads
        self.n1, self.n2 = Norm(d), Norm(d)
        self.qkv, self.out = nn.Linear(d, 3 * d, bias=False), nn.Linear(d, d, bias=False)
        self.gu, self.down = nn.Linear(d, 2 * ff, bias=False), nn.Linear(ff, d, bias=False)

    def forward(self, x, cos, sin):
        b, t, d = x.shape
        q, k, v = (a.view(b, t, self.heads, -1).transpose(1, 2) for a in self.qkv(self.n1(x)).chunk(3, -1))
        q, k = rope(q, cos, sin), rope(k, cos, sin)
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(a.transpose(1, 2).reshape(b, t, d))
        g, u = self.gu(self.n2(x)).chunk(2, -1)
        return x + self.down(F.silu(g) * u)


def rope(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), -1)


class Llama(nn.Module):
    """D 256, L 6, H 8, FF 704, V 512, untied: 5.08M parameters, with everything fused that eager PyTorch offers."""

    def __init__(self, v=512, d=256, layers=6, heads=8, ff=704, ctx=128):
        super().__init__()
        self.embed = nn.Embedding(v, d)
        self.layers = nn.ModuleList(Layer(d, heads, ff) for _ in range(layers))
        self.norm, self.head = Norm(d), nn.Linear(d, v, bias=False)
        half = d // heads // 2
        angle = torch.outer(torch.arange(ctx).float(), 10000.0 ** (-torch.arange(half).float() / half))
        self.register_buffer("cos", angle.cos())
        self.register_buffer("sin", angle.sin())
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.normal_(p, std=0.02)

    def forward(self, tok):
        x = self.embed(tok)
        for layer in self.layers:
            x = layer(x, self.cos, self.sin)
        return self.head(self.norm(x))


def batch(rows, n_tok, v):
    i = torch.arange(rows * n_tok)
    return ((i * 37 + i // 5) % v).view(rows, n_tok), ((i * 11 + 5) % v).view(rows, n_tok)


def full(kind):
    torch.manual_seed(1)
    net = Llama()
    run = torch.compile(net) if kind == "full-compile" else net
    decay = [p for p in net.parameters() if p.dim() > 1]
    rest = [p for p in net.parameters() if p.dim() == 1]
    opt = torch.optim.AdamW([{"params": decay, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}], lr=1e-3,
                            betas=(0.9, 0.95), fused=True)
    tok, target = batch(16, 128, 512)

    def step():
        with torch.autocast("cpu", torch.bfloat16, enabled=kind == "full-bf16"):
            loss = F.cross_entropy(run(tok).float().view(-1, 512), target.view(-1))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        opt.step()
        opt.zero_grad(set_to_none=True)
        return loss.item()
    return step, tok.numel()


def lora(rows, n_tok):
    """SmolLM2-135M's shape with random weights (speed and memory do not depend on them), PEFT rank 8 on q and v."""
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM
    config = LlamaConfig(vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30,
                         num_attention_heads=9, num_key_value_heads=3, tie_word_embeddings=True, rms_norm_eps=1e-5,
                         max_position_embeddings=2048, use_cache=False)
    net = get_peft_model(LlamaForCausalLM(config), LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"]))
    opt = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=1e-3, fused=True)
    tok, target = batch(rows, n_tok, 49152)

    def step():
        loss = F.cross_entropy(net(input_ids=tok).logits.float().view(-1, 49152), target.view(-1))
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for p in net.parameters() if p.requires_grad], 1.0)
        opt.step()
        opt.zero_grad(set_to_none=True)
        return loss.item()
    return step, tok.numel()


def head(n, epochs):
    i = torch.arange(n * 896)
    x = (((i * 7919) % 2003).float() / 1000 - 1).view(n, 896)
    y = (torch.arange(n) % 3 == 0).float()
    net = nn.Sequential(nn.Linear(896, 256), nn.ReLU(), nn.Linear(256, 1))
    opt = torch.optim.AdamW(net.parameters(), lr=1e-3, fused=True)
    start = time.perf_counter()
    x = (x - x.mean(0)) / x.std(0).clamp(min=1e-6)
    for _ in range(epochs):
        order = torch.randperm(n)
        for at in range(0, n, 128):
            pick = order[at:at + 128]
            loss = F.binary_cross_entropy_with_logits(net(x[pick])[:, 0], y[pick])
            loss.backward()
            opt.step()
            opt.zero_grad(set_to_none=True)
    return time.perf_counter() - start


def main():
    kind = sys.argv[1]
    torch.set_num_threads(int(sys.argv[2]))
    if kind == "lora":
        step, tokens = lora(int(sys.argv[3]), int(sys.argv[4]))
    elif kind != "head":
        step, tokens = full(kind)
    print(json.dumps({"ready": True, "torch": torch.__version__}), flush=True)
    for line in sys.stdin:
        word, n = (line.split() + ["1"])[:2]
        if word == "step":
            start = time.perf_counter()
            for _ in range(int(n)):
                loss = step()
            out = {"wall_s": time.perf_counter() - start, "tokens": int(n) * tokens, "loss": loss}
        elif word == "head":
            out = {"wall_s": head(int(sys.argv[3]), int(n)), "rows": int(n) * int(sys.argv[3])}
        else:
            out = {"peak_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}
        print(json.dumps(out), flush=True)


main()
