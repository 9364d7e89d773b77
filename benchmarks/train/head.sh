#!/usr/bin/env bash
# A two-layer head on 20,000 cached hidden states of 896, ten epochs, against PyTorch: rows/s.
#   benchmarks/train/head.sh [--quick] [--reps N] [--threads N]   last line: a JSON object; exit 3: no peer
exec python3 "$(dirname "${BASH_SOURCE[0]}")/../lib/train.py" head "$@"
