# bench answer for scripts: conditions decide the exit status, lm-evaluation-harness's files are those that our own reader reads.
. "$(dirname "$0")/lib.sh"
need_model
command -v jq >/dev/null || { echo "no jq: skipped" >&2; exit 77; }
"$RUNG" problem generate total --splits test=6 --quiet || fail "generate"
"$RUNG" trace sample --policy "$MODEL" --split test --n 4 --max-tokens 64 --threads 1 --name pool --quiet || fail "sample"
bench() { "$RUNG" bench answer --run pool --boot 200 "$@"; }

expect 0 '"metric":"answer"' -- bench --json --require 'oracle-majority>=0' --require 'majority>=0%'
expect 1 'not met: single>1.5 \(it is 0' -- bench --json --require 'oracle>=0' --require 'single>1.5'
check "the object is there all the same" grep -q '"metric":"answer"' "$T/out"
expect 1 'at worst' -- bench --require 'ci oracle-single<-1'
check "so is the table" grep -q majority "$T/out"
expect 2 'is no condition' -- bench --require 'majority'
expect 2 'was not measured' -- bench --require 'bon_prm>0.1'

expect 0 '' -- bench --json --lm-eval lm --name kept
acc=$(tail -n 1 "$T/out" | jq '.methods[] | select(.name == "majority") | .points[-1].acc')
n_methods=$(tail -n 1 "$T/out" | jq '.methods | length')
results=$(ls lm/*/results_*.json) samples=$(ls lm/*/samples_total_*.jsonl)
check "the same accuracy" jq -e --argjson a "$acc" '.results.total["exact_match,majority"] - $a | fabs < 1e-9' "$results"
check "every member of a result file" jq -e 'has("results") and has("configs") and has("versions") and has("n-shot") and has("higher_is_better")
  and has("n-samples") and has("config") and has("git_hash") and has("date")' "$results"
check "a row per problem and method" test "$(wc -l <"$samples")" -eq $((6 * n_methods))
jq -c 'select(.filter == "majority")' "$samples" >majority.jsonl
expect 0 '' -- "$RUNG" convert lm_eval jsonl majority.jsonl back.jsonl
check "our reader finds the replies" test "$(wc -l <back.jsonl)" -ge 6
finish
