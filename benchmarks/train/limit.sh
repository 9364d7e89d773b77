#!/usr/bin/env bash
# How near a step comes to oneDNN's own product, by 6N flops a token.
#   benchmarks/train/limit.sh [--quick] [--reps N] [--threads N]   last line: a JSON object; exit 3: no peer
exec python3 "$(dirname "${BASH_SOURCE[0]}")/../lib/train.py" limit "$@"
