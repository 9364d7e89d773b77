#!/usr/bin/env bash
# Maths verdicts: rung verify math against math-verify 0.9, the same pairs, one process each, time per pair.
#   benchmarks/verify-math.sh [--quick] [--help]   last line: a JSON object; exit 3: no peer or data
exec python3 "$(dirname "${BASH_SOURCE[0]}")/lib/verify_math.py" "$@"
