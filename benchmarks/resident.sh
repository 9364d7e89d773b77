#!/usr/bin/env bash
# Peak memory during rollouts against weights + KV cells + 150 MiB.
#   benchmarks/resident.sh [--quick] [--help]   last line: a JSON object; exit 3: no peer, model or data
exec python3 "$(dirname "${BASH_SOURCE[0]}")/lib/rows.py" resident "$@"
