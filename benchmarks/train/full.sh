#!/usr/bin/env bash
# A training step of a 5.08M-parameter llama, f32: rung against PyTorch eager, tokens/s.
#   benchmarks/train/full.sh [--quick] [--reps N] [--threads N]   last line: a JSON object; exit 3: no peer
exec python3 "$(dirname "${BASH_SOURCE[0]}")/../lib/train.py" full "$@"
