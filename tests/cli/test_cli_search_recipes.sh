# The honest checks of test-time search in their quick setting: every stage runs, every comparison has its figure; deterministic ones hold.
. "$(dirname "$0")/lib.sh"
need_model
command -v jq >/dev/null || { echo "no jq: skipped" >&2; exit 77; }
go() { "$RUNG" run "$SRC/recipes/$1.yaml" --quick --set "policy=$MODEL" --threads 1 --out "$T/$1" --json --quiet "${@:2}"; }
last() { # last JQ: the closing object
  n_checks=$((n_checks + 1))
  tail -n 1 "$T/out" | jq -e "$1" >/dev/null || { fail "closing object: not $1"; tail -n 1 "$T/out" >&2; }
}
expect 0 '' -- go search_baselines
last '.claim == "search_baselines" and .verdict == "quick" and .n_problems == 6 and .cost_arm > 0 and .cost_over > 0'
last '(.checks | length) == 7 and all(.checks[]; .diff != null and (.ci95 | length) == 2)'
last '.checks[2].diff == 0 and .checks[2].direction == "same"' # the majority does not look at scores
last '.checks[0].diff <= 0'                                     # best-of-n is never above any of n
last '.checks[1].metric == "accuracy: bon_coin over pool (right)"'
check "the report has the searches" grep -q '"searches":\[{' "$T/search_baselines/report.html"
expect 0 '' -- go early_rejection --report=false
last '.claim == "early_rejection" and (.checks | length) == 7 and all(.checks[]; .diff != null)'
last '.cost_arm < .cost_over'                                   # fewer tokens
last '.checks[5].diff < 0 and .checks[6].diff < 0'              # the bound holds in the simulation
expect 0 'pearson +1' -- "$RUNG" bench partial all_10 --store "$T/early_rejection/rung.db"
expect 3 'has 0 steps with a partial' -- "$RUNG" bench partial train_pool --store "$T/early_rejection/rung.db"
expect 2 'not a rejection' -- "$RUNG" bench rejection --candidates 4 --keep 4 --store "$T/early_rejection/rung.db"
# scores from the policy's own distributions; kept traces do not tell them
S="$T/early_rejection/rung.db"
for s in entropy self_certainty; do
  expect 0 "\"score\":\"$s\"" -- "$RUNG" search run --policy "$MODEL" --split test --method beam --n 4 --width 2 --score $s --max-tokens 48 \
    --step-tokens 24 --threads 1 --store "$S" --name "beam_$s" --json
done
python3 - "$S" <<'P' || fail "scores of distributions"
import sqlite3, sys
c = sqlite3.connect(sys.argv[1])
for s in ("entropy", "self_certainty"):
    v = [x for (x,) in c.execute("SELECT value FROM search_event e JOIN run r ON r.id = e.run WHERE r.name = ? AND e.kind = 'score'", ("beam_" + s,))]
    assert len(v) > 8 and all(x is not None and 0 <= x <= 1 for x in v) and max(v) > min(v), (s, v[:8])
P
expect 2 'do not tell the distributions' -- "$RUNG" search run --policy "$MODEL" --split test --method bon --n 2 --score entropy --reuse train_pool \
  --threads 1 --store "$S"
finish
