# The whole flow on small sizes: problems, traces, labels, reward models, search, measurement, report; every --json line is
# one object with "v":1; running a stage again adds nothing.
. "$(dirname "$0")/lib.sh"
need_model
S="--store $T/a.db"
jsonl() { # every line of $T/out is one object with "v":1; the last one matches the jq expression $1
  n_checks=$((n_checks + 1))
  jq -es "length > 0 and all(.[]; .v == 1) and (last | $1)" "$T/out" >/dev/null 2>"$T/jqerr" || {
    fail "not the objects wanted: $1"
    tail -n 2 "$T/out" | cut -c1-400 >&2
  }
}
command -v jq >/dev/null || { echo "no jq: skipped" >&2; exit 77; }

expect 0 '' -- "$RUNG" problem generate total $S --splits train=8,test=6 --json
jsonl '.n_new == 14'
expect 0 '' -- "$RUNG" problem generate total $S --splits train=8,test=6 --json
jsonl '.n_new == 0'
expect 0 '' -- "$RUNG" problem generate word $S --splits train=8,test=6
expect 0 '' -- "$RUNG" problem show $S --split test --json
jsonl '.split == "test" and (.question | length) > 0'
expect 3 'no problem matches' -- "$RUNG" problem show $S --split nope

sample() { "$RUNG" trace sample $S --policy "$MODEL" --max-tokens 80 "$@"; }
expect 0 '' -- sample --split test --n 4 --name pool --json
jsonl '.n_traces == 48 and .name == "pool"'
expect 0 '' -- sample --split test --n 4 --name pool --json
jsonl '.n_traces == 48'
expect 0 '' -- sample --split test --temperature 0 --name greedy
expect 0 '' -- sample --split train --n 3 --name train
expect 2 'pool' -- sample --split test --n 5 --name pool # another configuration under a name that is taken
expect 0 '' -- "$RUNG" trace show $S --run pool --limit 1 --json
jsonl '(.steps | length) >= 0 and .verdict != null'
expect 3 'did you mean|no run' -- "$RUNG" trace show $S --run pol

expect 0 '' -- "$RUNG" label mc $S --run train --policy "$MODEL" --k 4 --max-tokens 80 --name mc --json
jsonl '.n_labels == .n_steps and .n_labels >= .n_hard_0 + .n_hard_1 and .n_known > 0'
mc=$(tail -n 1 "$T/out")
expect 0 '' -- "$RUNG" label truth $S --run pool --name truth --json
expect 0 'steps labelled' -- "$RUNG" label show $S --run train --source mc
expect 0 '' -- "$RUNG" label show $S --run train --source mc --steps --json
# row by row: 4 rollouts or, of a last step, 1 verdict; hard = 1[c > 0] and soft = c/n of the known ones; neither if none is known
n_checks=$((n_checks + 1))
jq -es --argjson mc "$mc" '.[:-1] as $row | length - 1 == $mc.n_steps
  and all($row[]; (.n + .n_unknown == 4 or .n + .n_unknown == 1) and .c <= .n
    and if .n == 0 then .hard == null and .soft == null and .n_unknown > 0
        else .hard == (if .c > 0 then 1 else 0 end) and (.soft - .c / .n | fabs) < 1e-6 end)
  and ([$row[] | select(.hard == 0)] | length) == $mc.n_hard_0 and ([$row[] | select(.hard == 1)] | length) == $mc.n_hard_1
  and ([$row[] | select(.n == 0)] | length) == $mc.n_labels - $mc.n_hard_0 - $mc.n_hard_1
  and ([$row[].n_unknown] | add) == $mc.n_unknown and ([$row[].n] | add) == $mc.n_known' "$T/out" >/dev/null ||
  fail "step labels are not what the rollouts say"
expect 0 '' -- "$RUNG" trace show $S --run train --source mc --limit 2

expect 0 '' -- "$RUNG" reward train $S --kind prm_head --base "$MODEL" --run train --out "$T/prm.gguf" --held-share 0.4 --name prm --json
jsonl '.n_train > 0 and .out != null'
expect 0 'this very training' -- "$RUNG" reward train $S --kind prm_head --base "$MODEL" --run train --out "$T/prm.gguf" --held-share 0.4 --name prm
expect 0 '' -- "$RUNG" reward train $S --kind orm_head --base "$MODEL" --run train --out "$T/orm.gguf" --held-share 0.4 --json
expect 0 'prm_head' -- "$RUNG" reward show "$T/prm.gguf"
expect 5 'not a reward model' -- "$RUNG" reward show "$MODEL"
expect 3 'no scores of a model' -- "$RUNG" bench answer $S --run pool --prm prm.gguf
expect 0 '' -- "$RUNG" reward score "$T/prm.gguf" $S --policy "$MODEL" --run pool --json
jsonl '.model > 0 and .kind == "prm_head"'
expect 0 '' -- "$RUNG" reward score "$T/orm.gguf" $S --policy "$MODEL" --run pool --json
"$RUNG" model train --quiet --out "$T/other.gguf" --embd 32 --layers 1 --heads 1 --ff 64 --rows 1 --steps 1 --held 0
expect 5 '' -- "$RUNG" reward score "$T/prm.gguf" $S --policy "$T/other.gguf" --run pool # another base

expect 2 'needs process scores' -- "$RUNG" search run $S --run pool --method vote_prm
expect 0 'problem' -- "$RUNG" search run $S --run pool --method vote_prm --prm "$T/prm.gguf"
expect 0 '' -- "$RUNG" search run $S --run pool --method majority --json
jsonl '.n_problems == 12 and .accuracy >= 0'
[ "$(wc -l <"$T/out")" -eq 13 ] || fail "search run --json: $(wc -l <"$T/out") lines, not 12 problems and the result"

expect 0 '' -- "$RUNG" bench answer $S --run pool --prm prm.gguf --orm orm.gguf --greedy greedy --boot 500 --json
jsonl '.metric == "answer" and .n_problems == 12 and ([.methods[].name] | index("vote_prm")) != null'
expect 0 'majority' -- "$RUNG" bench answer $S --run pool --prm prm.gguf --orm orm.gguf --greedy greedy --boot 500
expect 0 '' -- "$RUNG" bench steps $S --run pool --source truth --json
jsonl '.v == 1'
expect 0 '' -- "$RUNG" bench steps $S --run pool --source truth --prm prm.gguf
expect 0 '' -- "$RUNG" report $S --out "$T/report.html"
check "the report is HTML" grep -qi '<!doctype html' "$T/report.html"

expect 0 '' -- "$RUNG" store check $S --json
jsonl '.ok == true and .rows.trace == 108'

# the token model, and the baseline that needs no file
expect 0 '' -- "$RUNG" reward train $S --kind prm_token --base "$MODEL" --run train --tag '<?>' --epochs 1 --out "$T/tok.gguf" --held-share 0.4 --json
jsonl '.kind == "prm_token" and .n_train > 0'
expect 0 '' -- "$RUNG" reward score "$T/tok.gguf" $S --run pool --json
jsonl '.kind == "prm_token"'
# a critic by adapters: one file with its base, scored without a policy
expect 0 '' -- "$RUNG" reward train $S --kind prm_head --tune lora --lora-rank 2 --loss value --clip-value 0.3 --base "$MODEL" --run train --epochs 1 --out "$T/critic.gguf" --held-share 0.4 --json
jsonl '.kind == "prm_head" and .epochs == 1'
expect 0 'lora: rank 2' -- "$RUNG" reward show "$T/critic.gguf"
expect 0 '' -- "$RUNG" reward score "$T/critic.gguf" $S --run pool --json
jsonl '.kind == "prm_head" and .n_steps > 0'
# two classes by squared error; a log-ratio by pairs, scored against its base; what does not go together
expect 0 '' -- "$RUNG" reward train $S --kind prm_head --outputs 2 --hidden 4 --loss mse --base "$MODEL" --run train --epochs 2 --out "$T/two.gguf" --held-share 0.4
expect 0 '2 classes' -- "$RUNG" reward show "$T/two.gguf"
expect 0 '' -- "$RUNG" reward score "$T/two.gguf" $S --policy "$MODEL" --run pool --json
jsonl '.kind == "prm_head" and .n_steps > 0'
expect 0 '' -- "$RUNG" reward train $S --kind prm_implicit --loss dpo --mode single --squash none --aggregate sum --base "$MODEL" --run train --epochs 1 --out "$T/dpo.gguf" --held-share 0.4 --json
jsonl '.kind == "prm_implicit" and .epochs == 1'
expect 0 'mode: single' -- "$RUNG" reward show "$T/dpo.gguf"
expect 0 '' -- "$RUNG" reward score "$T/dpo.gguf" $S --reference "$MODEL" --run pool --limit 2 --json
jsonl '.n_steps > 0 and .aggregate == "sum"'
expect 2 'does not train by kto' -- "$RUNG" reward train $S --kind prm_token --loss kto --base "$MODEL" --run train --out "$T/no.gguf"
expect 2 'nothing to balance' -- "$RUNG" reward train $S --kind prm_implicit --loss dpo --balance dataset --base "$MODEL" --run train --out "$T/no.gguf"
expect 2 'says the aggregate' -- "$RUNG" reward train $S --format qwen-math-prm --aggregate last --base "$MODEL" --run train --out "$T/no.gguf"
expect 2 'no threshold of its own' -- "$RUNG" bench processbench $S --run pool --prm prm.gguf --tau -1
expect 2 'no head to train alone' -- "$RUNG" reward train $S --kind prm_token --tune head --base "$MODEL" --run train --out "$T/no.gguf"
expect 0 '' -- "$RUNG" reward score confidence $S --policy "$MODEL" --run pool --json
jsonl '.kind == "confidence"'
expect 2 'not to standard output' -- "$RUNG" reward train $S --base "$MODEL" --run train --out -

# what the scores mean: measured, calibrated, combined
expect 2 'no threshold of its own|out' -- "$RUNG" reward calibrate "$T/prm.gguf" $S --run pool --source truth # no --out
expect 0 '' -- "$RUNG" reward eval "$T/prm.gguf" $S --run pool --source truth --problems all --boot 200 --plot "$T/rel.svg" --json
jsonl '.metric == "steps" and .problems == "all" and .calibrated == false and (.brier_ci95 | length) == 2 and .first_error.n_traces > 0 and .first_error.threshold == 0.5'
check "the plot is SVG" grep -q '</svg>' "$T/rel.svg"
expect 0 'AUROC, steps' -- "$RUNG" reward eval "$T/prm.gguf" $S --run pool --source truth --problems all --boot 200
expect 0 'chosen on these very traces' -- "$RUNG" reward eval "$T/prm.gguf" $S --run pool --source truth --problems all --boot 200 --threshold test
expect 2 'neither a number' -- "$RUNG" reward eval "$T/prm.gguf" $S --run pool --threshold best
expect 0 '' -- "$RUNG" reward calibrate "$T/prm.gguf" $S --run pool --source truth --problems all --out "$T/prm-cal.gguf" --json
jsonl '.method == "platt" and .n_left_out == 0 and .trained_on_known == "yes" and .ece15_after >= 0'
expect 0 'calibration' -- "$RUNG" reward show "$T/prm-cal.gguf"
expect 3 'no scores of' -- "$RUNG" reward eval "$T/prm-cal.gguf" $S --run pool
expect 0 '' -- "$RUNG" reward score "$T/prm-cal.gguf" $S --policy "$MODEL" --run pool --json
jsonl '.scored_tokens == 0 and .n_steps > 0' # mapped, not read
expect 0 '' -- "$RUNG" reward eval "$T/prm-cal.gguf" $S --run pool --source truth --problems all --boot 200 --json
jsonl '.calibrated == true and .first_error.threshold_on_test == false'
expect 0 '' -- "$RUNG" reward ensemble --member prm-cal.gguf --member tok.gguf --combine min --out "$T/both.gguf" --json
jsonl '.n_members == 2 and .combine == "min"'
expect 0 '' -- "$RUNG" reward score "$T/both.gguf" $S --policy "$MODEL" --run pool --json
jsonl '.kind == "prm_ensemble" and .n_steps > 0 and .scored_tokens == 0' # its members' scores are there
expect 0 '' -- "$RUNG" search run $S --policy "$MODEL" --prm "$T/both.gguf" --method beam --n 2 --width 1 --limit 2 --name ensemble
expect 3 'no regular file|could not open|not found|No such' -- "$RUNG" reward ensemble --member nothing.gguf --out "$T/x.gguf"

# foreign traces with human labels
cat >"$T/pb.jsonl" <<'J'
{"id":"g-0","generator":"x","problem":"Start at 3. +4. Total?","steps":["3+4=8","#### 8"],"final_answer_correct":false,"label":0}
{"id":"g-1","generator":"x","problem":"Start at 5. +4. Total?","steps":["5+4=9","#### 9"],"final_answer_correct":true,"label":-1}
{"id":"g-2","generator":"y","problem":"Start at 6. +2. Total?","steps":["6+2=8","#### 9"],"final_answer_correct":false,"label":1}
J
expect 0 '' -- "$RUNG" trace import processbench "$T/pb.jsonl" $S --set pb --json
jsonl '.n_traces == 3 and .n_rejected == 0'
expect 0 '' -- "$RUNG" reward score prm.gguf $S --policy "$MODEL" --set pb
expect 0 '' -- "$RUNG" bench processbench $S --set pb --prm prm.gguf --boot 200 --json
jsonl '.metric == "processbench" and .n == 3 and .f1 >= 0 and (.ci95 | length) == 2'
expect 0 'f1' -- "$RUNG" bench processbench $S --set pb --prm prm.gguf --boot 200

# export, import, the same export
expect 0 '' -- "$RUNG" store export "$T/a.jsonl" $S
expect 0 '' -- "$RUNG" store import "$T/a.jsonl" --store "$T/b.db"
expect 0 '' -- "$RUNG" store export "$T/b.jsonl" --store "$T/b.db"
check "export, import, export: the same lines" cmp -s "$T/a.jsonl" "$T/b.jsonl"
n_checks=$((n_checks + 1))
"$RUNG" store export - $S 2>/dev/null | "$RUNG" store import - --store "$T/c.db" --quiet || fail "export | import"
"$RUNG" store export - --store "$T/c.db" 2>/dev/null | cmp -s - "$T/a.jsonl" || fail "export | import: other lines"

expect 0 '' -- "$RUNG" model info "$MODEL" --json
jsonl '.n_params > 0'
expect 0 '' -- "$RUNG" model chat --policy "$MODEL" --prompt 'Start at 3. +4. Total?
' --max-tokens 8 --json
jsonl '.turns == 1'
printf '{"gold":"1/2","answer":"0.5"}\n{"gold":"3","text":"so\\n#### 4"}\n' >"$T/pairs.jsonl"
expect 0 '' -- "$RUNG" verify "$T/pairs.jsonl" --json
jsonl '.n == 2 and .n_correct == 1 and .n_wrong == 1'

# a stop text ends a trace, and is its end
expect 0 '' -- "$RUNG" trace sample $S --policy "$MODEL" --split test --n 2 --max-tokens 40 --stop '=' --name stopped --json
expect 0 '' -- "$RUNG" store export "$T/stop.jsonl" $S
check "traces end at the stop text" jq -es 'map(select(.table == "trace" and .stop == "stop")) | length > 0' "$T/stop.jsonl"

# a recipe: stages, report, the closing object; a second time nothing is done again
expect 0 '' -- "$RUNG" run "$SRC/recipes/demo.yaml" --quick --set "policy=$MODEL" --set train=6 --set test=4 --set n=4 --set k=2 --set tag= \
  --out "$T/demo" --json
jsonl '.claim == "demo" and .verdict == "quick" and .n_problems == 8 and .wall_s > 0'
check "the recipe wrote its report" test -s "$T/demo/report.html"
"$RUNG" store export "$T/d1.jsonl" --store "$T/demo/rung.db" --quiet
expect 0 'this very training' -- "$RUNG" run "$SRC/recipes/demo.yaml" --quick --set "policy=$MODEL" --set train=6 --set test=4 --set n=4 --set k=2 --set tag= \
  --out "$T/demo"
"$RUNG" store export "$T/d2.jsonl" --store "$T/demo/rung.db" --quiet
for t in problem node trace rollout label score; do
  n_checks=$((n_checks + 1))
  cmp -s <(grep "\"table\":\"$t\"" "$T/d1.jsonl") <(grep "\"table\":\"$t\"" "$T/d2.jsonl") || fail "a second run of the recipe changed table $t"
done
finish
