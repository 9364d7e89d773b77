# A recipe over several seeds: what depends on the seed is run once for each and only once, problems are shared, the claim's
# row averages seeds inside a problem.
. "$(dirname "$0")/lib.sh"
need_model
command -v jq >/dev/null || { echo "no jq: skipped" >&2; exit 77; }
cat >"$T/r.yaml" <<'Y'
recipe: small
claim: {text: a vote beats a sample, method: majority, over: single}
seed: 4
seeds: 2
vars: {policy: "", n: 4, twice: "${seed}"}
quick: {n: 3}
stages:
  - do: problem generate
    with: {world: total, splits: "test=6", seed: "${seed}"}
  - do: trace sample
    with: {name: same, policy: "${policy}", split: test, n: 1, temperature: 0, max-tokens: 48}
  - do: trace sample
    with: {name: pool, policy: "${policy}", split: test, n: "${n}", max-tokens: 48, seed: "${twice}"}
  - do: label truth
    with: {name: truth, run: pool}
  - do: bench answer
    with: {name: answers, run: pool, greedy: same, boot: 200, seed: "${seed}"}
Y
go() { "$RUNG" run "$T/r.yaml" --set "policy=$MODEL" --out "$T/o" --json --report=false "$@"; }
last() { # last JQ: the closing object
  n_checks=$((n_checks + 1))
  tail -n 1 "$T/out" | jq -e "$1" >/dev/null || { fail "closing object: not $1"; tail -n 1 "$T/out" >&2; }
}
runs() { "$RUNG" store export - --store "$T/o/rung.db" --quiet | jq -r 'select(.table == "run" and .kind != "run") | .name // .kind' | sort | tr '\n' ' '; }
traces() { "$RUNG" store export - --store "$T/o/rung.db" --quiet | jq -r 'select(.table == "trace") | "\(.run) \(.problem) \(.i) \(.text | @json)"'; }

# one seed first, then two of the recipe, then three: the first ones are not made again
expect 0 '' -- go --seeds 1
last '.n_seeds == 1 and .n_problems == 6 and (has("by_seed") | not)'
one=$(tail -n 1 "$T/out" | jq -c '[.diff, .ci95]')
n_checks=$((n_checks + 1))
[ "$(runs)" = "answers pool same truth " ] || fail "one seed: runs $(runs)"
traces >"$T/t1"
expect 0 '' -- go
last '.n_seeds == 2 and .n_problems == 6 and [.by_seed[].seed] == [4, 5] and (.ci95 | length) == 2 and .seed_sd >= 0 and .n_problems_left_out == 0'
last '(.diff - (.by_seed[0].diff + .by_seed[1].diff) / 2 | fabs) < 1e-6'
n_checks=$((n_checks + 1))
[ "$(tail -n 1 "$T/out" | jq '.by_seed[0].diff')" = "$(jq -n "$one | .[0]")" ] || fail "the first seed is another one than alone"
n_checks=$((n_checks + 1))
[ "$(runs)" = "answers answers@5 pool pool@5 same truth truth@5 " ] || fail "two seeds: runs $(runs)"
traces >"$T/t2"
check "the traces of the first seed stay" cmp -s "$T/t1" <(head -n "$(wc -l <"$T/t1")" "$T/t2")
n_checks=$((n_checks + 1))
[ "$(wc -l <"$T/t2")" -eq $((6 + 2 * 24)) ] || fail "two seeds: $(wc -l <"$T/t2") traces"
expect 0 '' -- go --seeds 4,9,5
last '.n_seeds == 3 and [.by_seed[].seed] == [4, 9, 5] and .n_problems == 6'
expect 0 '' -- go --seeds 4,9,5
traces >"$T/t3"
n_checks=$((n_checks + 1))
[ "$(wc -l <"$T/t3")" -eq $((6 + 3 * 24)) ] || fail "three seeds, twice: $(wc -l <"$T/t3") traces"
check "the seeds' traces differ" test "$(cut -d' ' -f2- "$T/t3" | sed 1,6d | sort -u | wc -l)" -gt 30
expect 0 'by seed 4: .*9: .*standard deviation between seeds' -- "$RUNG" run "$T/r.yaml" --set "policy=$MODEL" --out "$T/o" --report=false --seeds 4,9,5

# quick has one seed; wrong seeds are refused before anything runs
expect 0 '' -- "$RUNG" run "$T/r.yaml" --set "policy=$MODEL" --out "$T/q" --json --report=false --quick
last '.n_seeds == 1 and .verdict == "quick"'
expect 2 'there twice' -- go --seeds 1,2,1
expect 2 'no number from 1' -- go --seeds 0
expect 2 'not a seed' -- go --seeds 1,x
sed 's/^seeds: 2/seeds: [3, 3]/' "$T/r.yaml" >"$T/bad.yaml"
expect 3 'bad.yaml:4: seeds: 3 is there twice' -- "$RUNG" run "$T/bad.yaml" --out "$T/b" --check
finish
