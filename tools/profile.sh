#!/usr/bin/env bash
# Where a rollouts run spends its time: perf's samples by symbol, summed into kinds of work, as a table for
# docs/design/bench-engine.md; and how far the run is from the bound that the model's own prefill speed sets.
#   tools/profile.sh [--rows N] [--k N] [--max-tokens N] [--symbols N] [-- more options of rung bench rollouts]
# The model and the data are those of benchmarks/ (RUNG_BENCH_MODEL, RUNG_DATA).  Needs perf (package linux-perf).
#   exits   0 table printed   2 usage   3 no perf, model or data
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
rows=6 k=8 max_tokens=64 symbols=12
while [ $# -gt 0 ]; do
    case $1 in
    --rows) rows=$2; shift ;;
    --k) k=$2; shift ;;
    --max-tokens) max_tokens=$2; shift ;;
    --symbols) symbols=$2; shift ;;
    --) shift; break ;;
    *) sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
    shift
done
command -v perf >/dev/null || { echo "profile: no perf; hint: apt-get install linux-perf" >&2; exit 3; }
rung=${RUNG_BIN:-$root/build/bin/rung}
model=$("$root/tools/bench_model.sh")
bin=$("$root/tools/deps.sh" --print-dir)/bin
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT

field() {
    python3 -c 'import json, sys
o = json.load(sys.stdin)
print((o[0] if isinstance(o, list) else o)[sys.argv[1]])' "$1"
}
if [ "$("$rung" model info "$model" --json | field n_ctx_train)" -ge 1024 ]; then
    data=${RUNG_DATA:-}/processbench/gsm8k.json
    [ -f "$data" ] || { echo "profile: set RUNG_DATA to a folder with processbench/gsm8k.json" >&2; exit 3; }
    "$rung" trace import processbench "$data" --set pb --limit "$rows" --store "$t/s.db" --quiet
    n_prompt=512
else
    "$rung" problem generate word --set pb --splits "test=$rows" --store "$t/s.db" --quiet
    "$rung" trace sample --policy "$model" --store "$t/s.db" --max-tokens 96 --quiet
    n_prompt=128
fi
perf record -q -e cpu-clock -F 499 -o "$t/perf" -- "$rung" bench rollouts --policy "$model" --store "$t/s.db" --set pb \
    --k "$k" --max-tokens "$max_tokens" --temperature 0.8 --top-p 0.95 --json --quiet "$@" >"$t/run"
perf report -q -i "$t/perf" --stdio --no-children -F overhead,symbol 2>/dev/null >"$t/symbols"
prefill=null
if [ -x "$bin/llama-bench" ]; then
    prefill=$("$bin/llama-bench" -m "$model" -p "$n_prompt" -n 0 -r 1 -o json 2>/dev/null | field avg_ts)
fi
python3 - "$t/symbols" "$t/run" "$prefill" "$symbols" <<'P'
import json, re, sys
KINDS = [  # first match wins
    ("waiting at barriers", r"gomp_|GOMP_|omp_|ggml_barrier|futex|do_idle"),
    ("sampling", r"rung_sample|sampler|rung_logprob|lanes_"),
    ("attention", r"flash_attn|soft_max|softmax|vec_dot_f16|kq_mask"),
    ("exponentials, sines", r"__expf|expf|__sincosf|silu|swiglu|gelu"),
    ("matrix products", r"gemm|gemv|tinyBLAS|vec_dot|mul_mat|repack|quantize_mat|quantize_row|sgemm"),
    ("memory: copy, set, cells", r"mem(set|move|cpy)|kv_cache|kv_cells|set_rows|get_rows|forward_(cpy|dup|cont)"),
    ("norms, rope, other tensor operations", r"ggml_"),
    ("graph and batch in libllama", r"llm_|llama_|graph"),
    ("kernel", r"^\[k\]"),
]
kinds, rows = {}, []
for line in open(sys.argv[1]):
    m = re.match(r"\s*([\d.]+)%\s+(\[[.k]\]\s+.*)", line)
    if not m: continue
    share, symbol = float(m.group(1)), m.group(2).strip()
    rows.append((share, symbol))
    kind = next((k for k, p in KINDS if re.search(p, symbol)), "other")
    kinds[kind] = kinds.get(kind, 0) + share
print("| share of CPU time | in |\n|---|---|")
for kind, share in sorted(kinds.items(), key=lambda x: -x[1]): print("| %.1f%% | %s |" % (share, kind))
print("\n| share | symbol |\n|---|---|")
for share, symbol in rows[:int(sys.argv[4])]:
    print("| %.1f%% | `%s` |" % (share, symbol.replace("(anonymous namespace)::", "")[4:90].strip()))
o = json.loads(open(sys.argv[2]).read().strip().splitlines()[-1])
print("\n%s, %s: %d tokens generated, %d prefilled, %.2f s of wall, %.2f s in llama_decode "
      "(%d calls), %.2f s sampling" % tuple(
    o[k] for k in "model storage tokens_generated tokens_prefilled wall_s decode_s decode_calls sample_s".split()))
rate = json.loads(sys.argv[3])
if rate:
    bound = (o["tokens_generated"] + o["tokens_prefilled"]) / rate
    print("all tokens at the model's prefill speed (%.1f tokens/s; the vocabulary head hardly counts there): %.2f s, "
          "%.0f%% of the wall" % (rate, bound, 100 * bound / o["wall_s"]))
P
