#!/usr/bin/env bash
# LoRA rank 8 on q, v of SmolLM2-135M (RUNG_SMOLLM2), 8 x 128 tokens, against PyTorch with PEFT: speed, memory.
#   benchmarks/train/lora.sh [--quick] [--reps N] [--threads N]   last line: a JSON object; exit 3: no peer
exec python3 "$(dirname "${BASH_SOURCE[0]}")/../lib/train.py" lora "$@"
