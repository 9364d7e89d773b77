# search run on the tiny policy: every method answers every problem, with a ledger that adds up; the draws of self-consistency
# are those of trace sample; a tree shown is the tree searched; a second run has nothing left to do; scores that a search took
# from the reward model as the text grew are those that reward score reads afterwards.
. "$(dirname "$0")/lib.sh"
command -v python3 >/dev/null || { echo "no python3: skipped" >&2; exit 77; }
need_model
S=rung.db
common=(--policy "$MODEL" --split test --max-tokens 70 --step-tokens 30 --threads 1 --quiet --json)
"$RUNG" problem generate total --splits train=8,test=4 --quiet || fail "generate"

field() { # field NAME: of the last line of $T/out
  tail -n 1 "$T/out" | python3 -c "import json,sys; print(json.load(sys.stdin)['$1'])"
}

for m in greedy sc sc_weighted sc_adaptive bon vote beam beam_sbs beam_cots dvts early_rejection best_first tot_dfs particle \
  particle_gibbs mcts_uct mcts_puct mcts_az mcts_pucb ab_mcts rstar; do
  expect 0 '"n_problems":4' -- "$RUNG" search run "${common[@]}" --method "$m" --n 6 --width 2 --score confidence --name "$m"
  check "$m: tokens were drawn" test "$(field tokens)" -gt 0
  check "$m: correct, unknown, no answer and wrong are not more than 4" test "$(field n_correct)" -le 4
  check "$m: the cache saves" python3 -c "import sys; sys.exit(not $(field flops_cached) <= $(field flops_naive))"
done
expect 0 '"n_problems":4' -- "$RUNG" search run "${common[@]}" --method tot_bfs --n 2 --width 2 --depth 2 --name tot
check "a judge was asked" test "$(field judge_tokens_out)" -gt 0
expect 0 '' -- "$RUNG" search run "${common[@]}" --method beam --n 4 --width 2 --lookahead 1 --score truth --name look
expect 0 '' -- "$RUNG" search run "${common[@]}" --method early_rejection --n 4 --width 2 --tau 3 --replicate --score truth --name er

# pool methods with a policy: sampled, then chosen; the same draws as trace sample
expect 0 '' -- "$RUNG" search run "${common[@]}" --method majority --n 6 --name maj
expect 0 '' -- "$RUNG" trace sample --policy "$MODEL" --split test --max-tokens 70 --n 6 --threads 1 --quiet --name pool
texts() { "$RUNG" trace show --run "$1" --json --quiet | python3 -c '
import json, sys
for l in sys.stdin:
    o = json.loads(l)
    if "text" in o: print(o["problem"], o["text"])' | sort; }
check "self-consistency draws what trace sample draws" test "$(texts sc)" = "$(texts pool)"

# whole traces of another run stand for the same draws: nothing is sampled, the answers are the same
expect 0 '' -- "$RUNG" search run "${common[@]}" --method bon --n 6 --score truth --reuse pool --name reused
grep -q 'engine:' "$T/err" && fail "reused traces were sampled again"
check "reused traces are the pool's" test "$(texts reused)" = "$(texts pool)"
check "reused traces are charged" test "$(field tokens)" -gt 0

# runs against each other
expect 0 '"baseline":"maj"' -- "$RUNG" bench search maj,beam,dvts --pilot pool --bins 2 --boot 200 --json
tail -n 1 "$T/out" | python3 -c '
import json, sys
o = json.load(sys.stdin)
assert o["n_problems"] == 4 and len(o["arms"]) == 3, o
assert o["arms"][0]["diff"] == 0 and o["arms"][0]["p"] == 1, o
assert all(a["p_holm"] >= a["p"] for a in o["arms"]), o
assert sum(b["n"] for b in o["compute_optimal"]["bins"]) == 4, o' || fail "bench search"
expect 2 'is none of the runs' -- "$RUNG" bench search maj,beam --baseline pool

# again: nothing left to do, the same answer
expect 0 '"n_problems":4' -- "$RUNG" search run "${common[@]}" --method beam --n 6 --width 2 --score confidence --name beam
first=$("$RUNG" search show --run beam --json --quiet | head -n 4)
check "four answers" test "$(echo "$first" | grep -c '"method":"beam"')" = 4
problem=$(echo "$first" | head -n 1 | python3 -c 'import json,sys; print(json.loads(sys.stdin.readline())["problem"])')
expect 0 '^\* chosen' -- "$RUNG" search show --run beam --problem "$problem"
expect 0 '"parent":0' -- "$RUNG" search show --run beam --problem "$problem" --json
expect 3 'no search of problem' -- "$RUNG" search show --run pool --problem "$problem"

# replay: every path from a finished node is the text of the trace it became
python3 - "$S" <<'PY' || fail "the trees are not the traces"
import sqlite3, sys
c = sqlite3.connect(sys.argv[1])
n = 0
for run, problem in c.execute("SELECT run, problem FROM search").fetchall():
    text, parent, done = {0: ""}, {}, []
    for kind, node, up, t in c.execute("SELECT kind, node, parent, text FROM search_event WHERE run=? AND problem=? ORDER BY seq", (run, problem)):
        if kind == "node":
            parent[node], text[node] = up, t
        elif kind == "extend":
            text[node] = t
        elif kind == "done":
            done.append(node)
    def path(v):
        return "" if v == 0 else path(parent[v]) + text[v]
    paths = sorted(path(v) for v in done)
    traces = sorted(t for (t,) in c.execute("SELECT text FROM trace WHERE run=? AND problem=?", (run, problem)))
    assert set(traces) <= set(paths), (run, problem, traces, paths)
    n += len(traces)
assert n > 100, n
PY

# a reward model: read as the text grows, or afterwards, the scores are the same
"$RUNG" trace sample --policy "$MODEL" --split train --n 4 --max-tokens 70 --threads 1 --quiet --name train || fail "sample"
"$RUNG" label truth --run train --quiet || fail "label truth"
expect 0 '' -- "$RUNG" reward train --kind prm_head --base "$MODEL" --run train --source truth --out prm.gguf --epochs 3 --hidden 8 --quiet
expect 0 '"score":"reward"' -- "$RUNG" search run "${common[@]}" --method dvts --n 4 --width 2 --prm prm.gguf --name dvts_prm --exact
check "scored tokens" test "$(field scored_tokens_read)" -gt 0
check "each token is read once" test "$(field scored_tokens)" -gt "$(field scored_tokens_read)"
python3 -c "
import sqlite3
c = sqlite3.connect('$S')
c.execute('CREATE TABLE was AS SELECT * FROM score'); c.execute('DELETE FROM score'); c.commit()"
expect 0 '' -- "$RUNG" reward score prm.gguf --policy "$MODEL" --run dvts_prm --quiet --exact
python3 - "$S" <<'PY' || fail "scores read live are not those read afterwards"
import sqlite3, sys
c = sqlite3.connect(sys.argv[1])
rows = c.execute("SELECT was.value, score.value FROM was JOIN score USING(node, model)").fetchall()
assert len(rows) > 20 and len(rows) == c.execute("SELECT count(*) FROM was").fetchone()[0], len(rows)
worst = max(abs(a - b) for a, b in rows)
print("%d scores, largest difference %.2g" % (len(rows), worst))
assert worst < 1e-6, worst
c.execute("DROP TABLE was"); c.commit()
PY
expect 2 'needs a reward model' -- "$RUNG" search run "${common[@]}" --method beam --score reward
expect 2 'needs a policy' -- "$RUNG" search run --method beam
expect 0 '"ok":true' -- "$RUNG" store check --json
finish
