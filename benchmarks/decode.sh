#!/usr/bin/env bash
# 1, 4, 16, 64 sequences from one 256-token prompt: rung (sampling) against llama-batched-bench (which does not).
#   benchmarks/decode.sh [--quick] [--help]   last line: a JSON object; exit 3: no peer, model or data
exec python3 "$(dirname "${BASH_SOURCE[0]}")/lib/rows.py" decode "$@"
