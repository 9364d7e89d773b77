#!/usr/bin/env bash
# The same step against torch.compile.
#   benchmarks/train/full-compile.sh [--quick] [--reps N] [--threads N]   last line: a JSON object; exit 3: no peer
exec python3 "$(dirname "${BASH_SOURCE[0]}")/../lib/train.py" full-compile "$@"
