#!/bin/bash
# Claims: arms as stages over seeds, checks, budgets, quick, the page and its check.
. "$(dirname "$0")/lib.sh"
need_model
command -v jq >/dev/null || { echo "no jq: skipped" >&2; exit 77; }
mkdir recipes docs
cat >recipes/small.yaml <<'Y'
recipe: small
title: Two judges of different accuracy
paper: "none; ours"
claim:
  text: a judge that is right finds more first errors than one that guesses | with a bar
  reports: nothing
  metric: f1
  arm: f1_good
  over: f1_bad
  equal: {what: steps, key: n_labels, arm: good, over: bad}
  checks:
    - {text: it misses fewer, metric: acc_err, arm: f1_bad, over: f1_good, direction: lower}
    - {text: better than nothing, metric: f1, arm: f1_good, over: "0.2"}
    - {text: a vote is no worse, metric: answer, method: majority, over: single}
seed: 3
seeds: 3
vars: {policy: "", test: 8}
quick: {test: 4}
stages:
  - do: problem generate
    with: {world: total, splits: "test=${test}", seed: 1}
  - do: trace sample
    with: {name: cases, policy: "${policy}", split: test, n: 4, max-tokens: 64, seed: 1}
  - do: label truth
    with: {name: good, run: cases, judge: 1, seed: "${seed}"}
  - do: label truth
    with: {name: bad, run: cases, judge: 0.01, seed: "${seed}"}
  - do: bench processbench
    with: {name: f1_good, run: cases, labels: judge@good, boot: 100}
  - do: bench processbench
    with: {name: f1_bad, run: cases, labels: judge@bad, boot: 100}
  - do: bench answer
    with: {name: answers, run: cases, boot: 100, seed: 1}
Y
go() { "$RUNG" run recipes/small.yaml --set "policy=$MODEL" --report=false --out runs/small "$@"; }
claims() { "$RUNG" claims --stores runs "$@"; }
last() {
  n_checks=$((n_checks + 1))
  tail -n 1 "$T/out" | jq -e "$1" >/dev/null || { fail "closing object: not $1"; tail -n 1 "$T/out" >&2; }
}
expect 0 'quick: no verdict' -- go --quick --out runs/q
expect 0 '' -- go --quick --out runs/q --json
last '.verdict == "quick" and .n_seeds == 1 and .metric == "f1: f1_good over f1_bad"'
# nothing measured so far: quick is no measurement
expect 0 'small .*not measured yet' -- claims
check "the page says so" grep -q 'not measured yet' docs/claims.md
expect 0 '' -- claims --check
expect 0 '' -- go --json
last '.claim == "small" and .verdict == "holds" and .n_seeds == 3 and (.by_seed | length) == 3 and .arm == 1 and .over < .7'
last '.ci95[0] > 0 and .cost_arm == .cost_over and .cost_arm > 0 and .direction == "higher" and .equal == "steps"'
last '[.checks[].verdict] | .[0] == "holds" and .[1] == "holds" and (.[2] | length) > 0'
last '.checks[1].over == 0.2 and (.checks[1].diff - 0.8 | fabs) < 1e-6'
cp "$T/out" first
expect 0 '' -- go --json
n_checks=$((n_checks + 1))
[ "$(tail -n 1 first | jq -c '[.diff, .ci95, .checks[].ci95]')" = "$(tail -n 1 "$T/out" | jq -c '[.diff, .ci95, .checks[].ci95]')" ] || fail "again: another interval"
# the page: written, current, stale after a change of the recipe; --check knows kept results only
expect 0 '' -- claims --check
expect 0 'small +holds' -- claims
check "kept" jq -e '.claim == "small" and .verdict == "holds"' docs/claims.jsonl
check "the page has it" grep -q '^| `small` | .*guesses \\| with a bar | \*\*holds\*\*' docs/claims.md
cp docs/claims.md page
rm -r runs
expect 0 '"claim":"small","verdict":"holds"|"verdict":"holds"' -- claims --json
check "the same page without the store" cmp -s page docs/claims.md
expect 0 '' -- claims --check
# a comment and what only tells are no other recipe; another size is
{ echo '# told'; sed 's/^  reports: nothing/  reports: something/' recipes/small.yaml; } >told && mv told recipes/small.yaml
expect 0 '' -- claims
check "the same recipe" test "$(grep -c 'earlier text' docs/claims.md)" = 0
sed -i 's/^vars: {policy: "", test: 8}/vars: {policy: "", test: 9}/' recipes/small.yaml
expect 1 'is not what' -- claims --check
expect 0 '' -- claims
check "an earlier text is said" grep -q 'earlier text' docs/claims.md
# errors
bad() { sed "$1" recipes/small.yaml >bad.yaml; }
bad 's/metric: f1$/metric: auroc/'
expect 2 'has no figure "auroc"' -- "$RUNG" run bad.yaml --quick --set "policy=$MODEL" --out o --report=false
bad 's/over: f1_bad/over: f1_none/'
expect 2 'no stage is named "f1_none"' -- "$RUNG" run bad.yaml --quick --set "policy=$MODEL" --out o --report=false
bad 's/direction: lower/direction: down/'
expect 3 'direction: higher or lower' -- "$RUNG" run bad.yaml --check
expect 3 'could not read folder|not found' -- claims --recipes nowhere
finish
