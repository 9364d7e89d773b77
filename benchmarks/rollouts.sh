#!/usr/bin/env bash
# Rollouts from every step prefix but the last: rung against llama-server with 16 slots and 16 clients.
#   benchmarks/rollouts.sh [--quick] [--help]   last line: a JSON object; exit 3: no peer, model or data
exec python3 "$(dirname "${BASH_SOURCE[0]}")/lib/rows.py" rollouts "$@"
