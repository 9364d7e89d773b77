# rung bench rollouts | decode | score on the tiny policy: what is counted is checked against an independent count, what
# is timed only for being there. And the scripts under benchmarks/ that need no peer.
. "$(dirname "$0")/lib.sh"
need_model
command -v python3 >/dev/null || { echo "SKIPPED: no python3" >&2; exit 77; }

get() { python3 -c 'import json,sys
o = json.loads(open(sys.argv[1]).read().strip().splitlines()[-1])
for k in sys.argv[2:]: o = o[int(k) if isinstance(o, list) else k]
print(o)' "$T/out" "$@"; }
equal() { # equal WHAT GOT WANT
  n_checks=$((n_checks + 1))
  [ "$2" = "$3" ] || fail "$1 is $2, not $3"
}

"$RUNG" problem generate word --set w --splits test=6 --store a.db --quiet || fail "no problems"
"$RUNG" trace sample --policy "$MODEL" --store a.db --n 2 --max-tokens 64 --quiet || fail "no traces"
before=$(cksum <a.db)

expect 0 '"bench":"rollouts"' -- "$RUNG" bench rollouts --policy "$MODEL" --store a.db --k 3 --max-tokens 5 --json \
  --prompts-out p.jsonl
equal "prompts in the file" "$(wc -l <p.jsonl)" "$(get prompts)"
equal "samples" "$(get samples)" $(($(get prompts) * 3))
equal "tokens of the trie" "$(get tokens_union)" "$(python3 -c 'import json
print(len({tuple(t[:n]) for t in (json.loads(l)["tok"] for l in open("p.jsonl")) for n in range(1, len(t) + 1)}))')"
equal "tokens of all prompts" "$(get tokens_prompts)" "$(python3 -c 'import json
print(sum(len(json.loads(l)["tok"]) for l in open("p.jsonl")))')"
steps=$("$RUNG" trace show --store a.db --json 2>/dev/null | python3 -c 'import json,sys
print(sum(len(o["steps"]) - 1 for o in map(json.loads, sys.stdin) if o.get("steps")))')
equal "a prompt for every step but the last" "$(get prompts)" "$steps"
equal "stops" "$(($(get n_eos) + $(get n_length)))" "$(get samples)"
check "no more than 5 tokens each" test "$(get tokens_kept)" -le $(($(get samples) * 5))
# the token that ends a sample is drawn, too, but not kept
equal "tokens drawn" "$(get tokens_generated)" $(($(get tokens_kept) + $(get n_eos)))
check "prefilled no less than the trie less what earlier samples left in the cache" test "$(get tokens_prefilled)" -gt 0
check "some computing time, no more than cores x wall and a tick" test "$(python3 -c 'import json,os
o = json.loads(open("out").read().strip().splitlines()[-1])
print(0 < o["cpu_s"] <= os.cpu_count() * o["wall_s"] + 0.05)')" = True
kept=$(get tokens_kept)
expect 0 '"bench":"rollouts"' -- "$RUNG" bench rollouts --policy "$MODEL" --store a.db --k 3 --max-tokens 5 --json
equal "the same draws again" "$(get tokens_kept)" "$kept"

expect 0 '"prompts":6,' -- "$RUNG" bench rollouts --from problems --policy "$MODEL" --store a.db --set w --json
expect 0 'tokens_per_s' -- "$RUNG" bench rollouts --policy "$MODEL" --store a.db --max-tokens 2
expect 3 'no step prefixes match' -- "$RUNG" bench rollouts --policy "$MODEL" --store a.db --set other
expect 3 'no store' -- "$RUNG" bench rollouts --policy "$MODEL" --store none.db
expect 2 'policy' -- "$RUNG" bench rollouts --store a.db
expect 2 'not known' -- "$RUNG" bench rollouts --policy http://127.0.0.1:9/v1 --store a.db
expect 3 'could not write' -- "$RUNG" bench rollouts --policy "$MODEL" --store a.db --prompts-out no/such/folder

expect 0 '"bench":"decode"' -- "$RUNG" bench decode --policy "$MODEL" --sizes 1,3 --prompt-tokens 32 --max-tokens 4 --json
equal "points" "$(get points 1 n_seq)" 3
equal "the prompt is there already" "$(get points 1 tokens_prefilled)" 1
equal "4 decoded tokens each: none may end" "$(get points 1 tokens)" 12
equal "ended early" "$(get points 1 n_early)" 0
equal "decoded = drawn less the first of each" "$(get points 1 tokens)" $(($(get points 1 tokens_generated) - 3))
expect 0 'tokens/s' -- "$RUNG" bench decode --policy "$MODEL" --sizes 2 --prompt-tokens 16 --max-tokens 2
for bad in 1,x 0 1,,2 5000 -3; do
  expect 2 'is not a list' -- "$RUNG" bench decode --policy "$MODEL" --sizes=$bad
done
expect 3 'too small|exactly' -- "$RUNG" bench decode --policy "$MODEL" --sizes 1 --prompt-tokens 100000 --max-tokens 2

expect 0 '"how":"one pass"' -- "$RUNG" bench score --policy "$MODEL" --store a.db --json
rows=$(get rows) steps=$(get steps) tokens=$(get tokens) computed=$(get tokens_computed)
equal "rows" "$rows" 12
check "a shared question is read once" test "$computed" -lt "$tokens"
expect 0 'a call per step' -- "$RUNG" bench score --policy "$MODEL" --store a.db --per-step --json
equal "the same steps" "$(get steps)" "$steps"
check "a call per step computes more" test "$(get tokens_computed)" -gt "$tokens"
expect 0 'one pass' -- "$RUNG" bench score --policy "$MODEL" --store a.db --read logits --limit 2
expect 3 'no traces match' -- "$RUNG" bench score --policy "$MODEL" --store a.db --set other
equal "the store" "$(cksum <a.db)" "$before"

# threads sleep at barriers here, too, unless told otherwise: spinning ones made this a hundred times slower
expect 0 'OMP_WAIT_POLICY=passive' -- env -u OMP_WAIT_POLICY -u GOMP_SPINCOUNT bash -c '
  "$0" bench decode --policy "$1" --sizes 16,32,64 --prompt-tokens 64 --max-tokens 100 --quiet >/dev/null & p=$!
  for i in $(seq 1000); do tr "\\0" "\\n" 2>/dev/null </proc/$p/environ | grep OMP_WAIT_POLICY && break; sleep 0.005; done
  wait $p' "$RUNG" "$MODEL"

# the scripts: one object as last line; without model or data "peer":null and exit 3
bench() { RUNG_BIN=$RUNG RUNG_BENCH_MODEL=$MODEL RUNG_BENCH_RAW=$T/raw.jsonl "$SRC/benchmarks/$1.sh" --quick; }
for b in prefill tiny resident; do
  expect 0 "\"v\":1,\"bench\":\"$b\"" -- bench $b
  check "$b: ratio is ours / peer" test "$(python3 -c 'import json
o = json.loads(open("out").read().strip().splitlines()[-1])
print(abs(o["ours"] / o["peer"] - o["ratio"]) < 1e-9 and o["quick"] and o["machine"]["cores"] > 0)')" = True
done
check "raw runs as CSV" python3 "$SRC/benchmarks/lib/raw_csv.py" raw.jsonl raw.csv
check "a row a run, and a head" test "$(wc -l <raw.csv)" -eq $(($(wc -l <raw.jsonl) + 1))
check "commit and machine are in it" grep -q '^time,commit,cpu,simd,cores,load,model,bench,case,side,rep,' raw.csv
MODEL=$T/none.gguf
expect 3 '"peer":null' -- bench rollouts
expect 2 'no such benchmark' -- "$SRC/benchmarks/all.sh" nonsense
finish
