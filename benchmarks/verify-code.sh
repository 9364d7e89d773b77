#!/usr/bin/env bash
# Programs against tests: HumanEval's own solutions in rung's sandbox against a plain python3 each, outside any sandbox.
#   benchmarks/verify-code.sh [--quick] [--help]   last line: a JSON object; exit 1: not all pass; exit 3: no data
exec python3 "$(dirname "${BASH_SOURCE[0]}")/lib/verify_code.py" "$@"
