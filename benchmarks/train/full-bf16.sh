#!/usr/bin/env bash
# The same step in bf16 (CPUs with avx512_bf16) against PyTorch's bf16 autocast.
#   benchmarks/train/full-bf16.sh [--quick] [--reps N] [--threads N]   last line: a JSON object; exit 3: no peer
exec python3 "$(dirname "${BASH_SOURCE[0]}")/../lib/train.py" full-bf16 "$@"
