#!/usr/bin/env bash
# Advantages of 1,024 answers x 4,096 tokens: rung against the authors' torch functions (verl, PRIME, PURE), Mtokens/s.
#   benchmarks/credit.sh [--quick] [--reps N] [--threads N]   last line: a JSON object; exit 3: no peer
exec python3 "$(dirname "${BASH_SOURCE[0]}")/lib/credit.py" "$@"
