#!/usr/bin/env bash
# Bytes of a step beside weights, gradients and moments, against the formula in the docs.
#   benchmarks/train/memory.sh [--quick] [--reps N] [--threads N]   last line: a JSON object; exit 3: no peer
exec python3 "$(dirname "${BASH_SOURCE[0]}")/../lib/train.py" memory "$@"
