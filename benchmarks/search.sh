#!/usr/bin/env bash
# Bookkeeping of a tree search whose policy costs nothing: rung against treequest and llm-reasoners, nodes/s.
#   benchmarks/search.sh [--quick] [--reps N]   last line: a JSON object; exit 3: no peer
exec python3 "$(dirname "${BASH_SOURCE[0]}")/lib/search.py" "$@"
