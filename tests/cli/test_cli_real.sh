#!/bin/bash
# A recipe on problems and a model of one's own: --policy, --problems, --cases, --options. The problems are a world's, written out
# as rows of question and answer, so that the tiny policy has a chance at them.
. "$(dirname "$0")/lib.sh"
need_model
command -v jq >/dev/null || { echo "no jq: skipped" >&2; exit 77; }
S="--store made.db"
expect 0 '' -- "$RUNG" problem generate total --splits train=20,test=8 $S
"$RUNG" problem show --split train --json $S | jq -c '{question, answer}' >own.jsonl
check "twenty rows" test "$(wc -l <own.jsonl)" = 20
expect 0 '' -- "$RUNG" trace sample --policy "$MODEL" --split test --n 3 --max-tokens 64 --name cases $S
expect 0 '' -- "$RUNG" label truth --run cases $S
expect 0 '' -- "$RUNG" label export processbench cases.jsonl --run cases --source truth $S
check "cases" test -s cases.jsonl
printf 'temperature: 1\nsuffix: ""\n' >options.yaml
R=$SRC/recipes
mkdir w
go() { (cd w && "$RUNG" run "$R/$1.yaml" --policy "$MODEL" --problems ../own.jsonl --options ../options.yaml --quick --json --report=false "${@:2}"); }
last() {
  n_checks=$((n_checks + 1))
  tail -n 1 "$T/out" | jq -e "$1" >/dev/null || { fail "closing object: not $1"; tail -n 1 "$T/out" >&2; }
}
# measured on the cases; the problems are the rows, the first for training; nothing comes from a world
expect 0 '' -- go processbench --cases ../cases.jsonl --set train=8 --set n_cases=24 --set max_tokens=64 --set small=6 --set large=12
last '.claim == "processbench" and .verdict == "quick" and .set == true and (.diff | type) == "number"'
last '.checks | length == 1' # the one against the policy's own logprobs is of the world only
check "in a folder of its own" test -f w/out/processbench-real-quick/rung.db
own="--store w/out/processbench-real-quick/rung.db"
expect 0 '' -- "$RUNG" problem show --set own --split train --json $own
check "eight of the rows" test "$(wc -l <"$T/out")" = 8
expect 3 'no problem matches' -- "$RUNG" problem show --set total $own
# methods of two bench answers; test problems follow the training ones
expect 0 '' -- go math_shepherd --cases ../cases.jsonl --set train=6 --set test=5 --set n_cases=24 --set max_tokens=64
last '.checks | length == 3 and (.[1].metric == "answer: mc_last/bon_prm over mc_prod/bon_prm")'
expect 0 '' -- "$RUNG" problem show --split test --json --store w/out/math_shepherd-real-quick/rung.db
check "test rows are the next ones" test "$(jq -r .question "$T/out" | head -n 1)" = "$(sed -n 7p own.jsonl | jq -r .question)"
# every recipe that says how reads well in both settings
for r in math_shepherd consensus omegaprm scan processbench implicit_prm; do
  expect 0 'all options known' -- "$RUNG" run "$R/$r.yaml" --check
  expect 0 'all options known' -- "$RUNG" run "$R/$r.yaml" --check --policy m.gguf --problems gsm8k:a.jsonl --cases b.json
done
# errors: no cases, cases alone, no real part, an option that no stage has, no such variable
expect 2 'processbench.yaml needs --cases' -- go processbench
expect 2 'cases goes with --problems' -- "$RUNG" run "$R/scan.yaml" --cases x --check
expect 2 'does not say how' -- "$RUNG" run "$R/demo.yaml" --problems x --check
echo 'temprature: 1' >bad.yaml
expect 3 'no stage of .* has an option "temprature"' -- "$RUNG" run "$R/scan.yaml" --problems x --cases y --options bad.yaml --check
printf 'recipe: x\nstages:\n  - do: problem generate\n    with: {world: total}\n' >no.yaml
expect 2 'no variable policy' -- "$RUNG" run no.yaml --policy x --check
finish
