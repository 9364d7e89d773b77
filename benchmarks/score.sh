#!/usr/bin/env bash
# Reading ProcessBench solutions: rung against llama-bench's prefill, and against one evaluation a step.
#   benchmarks/score.sh [--quick] [--help]   last line: a JSON object; exit 3: no peer, model or data
exec python3 "$(dirname "${BASH_SOURCE[0]}")/lib/rows.py" score "$@"
