#!/usr/bin/env bash
# models/tiny.gguf, 256 sequences: what everything but llama_decode costs.
#   benchmarks/tiny.sh [--quick] [--help]   last line: a JSON object; exit 3: no peer, model or data
exec python3 "$(dirname "${BASH_SOURCE[0]}")/lib/rows.py" tiny "$@"
