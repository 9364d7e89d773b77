#!/usr/bin/env bash
# The server under load, on loopback: 1, 8 and 64 clients against the engine's own batch; latencies; a soak.
#   benchmarks/serve.sh [--quick] [--rounds N] [--soak SECONDS] [--help]
# last line: a JSON object, the worst of the three; exit 3: no rung, model or bench_serve_load
exec python3 "$(dirname "${BASH_SOURCE[0]}")/lib/serve.py" "$@"
