#!/usr/bin/env bash
# Tokens computed for nested prefixes: rung against the distinct tokens of their trie.
#   benchmarks/prefill.sh [--quick] [--help]   last line: a JSON object; exit 3: no peer, model or data
exec python3 "$(dirname "${BASH_SOURCE[0]}")/lib/rows.py" prefill "$@"
