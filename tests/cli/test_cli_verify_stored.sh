# rung verify over a store: new verdicts are kept with verifier, version, rule and time; planted proofs; programs by tests.
. "$(dirname "$0")/lib.sh"
cd "$T" || exit 1
rows() { "$RUNG" store export - --store s.db --quiet | jq -c "select(.table == \"$1\")"; }

# an import judges and keeps a row; --rounded has a version of its own
echo '{"set":"m","question":"One third?","answer":"0.33","steps":["I divide.","The answer is 1/3."]}' >m.jsonl
echo '{"set":"m","question":"Two?","answer":"2","steps":["So #### 2"]}' >>m.jsonl
expect 0 '"n_traces":2' -- "$RUNG" trace import jsonl m.jsonl --json --store s.db
[ "$(rows verdict | jq -r '[.verifier, .version, .verdict, .extracted_by, .rule] | join(" ")' | sort | tr '\n' ';')" = \
  'math math-3 1 gsm8k rational;math math-3 2 phrase rational;' ] || fail "rows of the import: $(rows verdict)"
expect 0 '"n_correct":2.*"n_changed":1' -- "$RUNG" verify math --rounded --stored --set m --json --store s.db
[ "$(rows verdict | wc -l)" = 2 ] || fail "a row was written without --write"
expect 0 '"n_changed":1.*"n_written":2' -- "$RUNG" verify math --rounded --stored --set m --write --json --store s.db
[ "$(rows verdict | wc -l)" = 4 ] || fail "no rows of the other version"
[ "$(rows trace | jq -r '[.verdict, .verifier] | join(" ")' | sort -u | tr '\n' ';')" = '1 math-3+rounded;' ] || fail "the traces say the old verdict"
expect 0 '"n_changed":1.*"n_written":2' -- "$RUNG" verify --stored --set m --write --json --store s.db
[ "$(rows verdict | wc -l)" = 4 ] || fail "the same version made a new row"
[ "$(rows verdict | jq 'select(.us == null or .at_ms < 1700000000000)' | wc -l)" = 0 ] || fail "a row without its time"
expect 0 '"ok":true' -- "$RUNG" store check --store s.db --json
expect 2 'keeps verdicts of stored traces' -- "$RUNG" verify math --write --gold 1 --answer 1
expect 0 'gold: key' -- "$RUNG" verify --verifier exact --gold Oslo --answer oslo --explain

# proofs with planted errors: Z3 says of every step what the truth says
expect 0 '"n_new":12' -- "$RUNG" problem generate logic --splits test=12 --seed 4 --json --store s.db
expect 0 '"n_traces":24' -- "$RUNG" trace plant --set logic --n 2 --slip 0.3 --name planted --json --store s.db
expect 0 '' -- "$RUNG" verify logic --stored --run planted --json --store s.db
tail -n 1 out | jq -e '.n_known == 24 and .n_same_first_error == 24 and .n_planted_steps > 60 and .n_planted_agree == .n_planted_decided
  and .n_planted_decided == .n_planted_steps and .n_queries_unknown == 0' >/dev/null || fail "Z3 against the truth: $(tail -n 1 out)"
[ "$(rows verdict | jq -c 'select(.verifier == "logic")' | wc -l)" = 0 ] || fail "rows of logic without --write"
expect 0 '"n_written":24' -- "$RUNG" verify logic --stored --run planted --write --json --store s.db
expect 0 '"n_written":24' -- "$RUNG" verify step --stored --run planted --write --strict --json --store s.db
rows verdict | jq -se '[.[] | select(.verifier == "logic")] | length == 24 and all(.version == "logic-1" and .us > 0 and .at_ms > 1700000000000 and .verdict != 0
  and (.answer_key | length) > 0) and ([.[] | select(.verdict == 2)] | length > 3 and all(.rule == "z3" or .rule == "label"))' >/dev/null || fail "rows of logic: $(rows verdict)"
[ "$(rows verdict | jq -r 'select(.verifier == "step") | .version' | sort -u)" = step-2+strict ] || fail "rows of step"
expect 0 '"ok":true' -- "$RUNG" store check --store s.db --json
expect 2 'keeps verdicts of stored traces' -- "$RUNG" verify step --write --step '1 + 1 = 2'
expect 2 'are the same: give one' -- "$RUNG" verify step --answer '1 + 1 = 2' --step '1 + 1 = 2'
expect 3 'no problem of a world that can plant' -- "$RUNG" trace plant --set m --store s.db

# problems whose answer is a program: import, traces judged by the tests, in the sandbox
if "$RUNG" verify code --quiet --gold '{"tests":[{"stdin":"","stdout":"1"}]}' --answer 'print(1)' >/dev/null 2>&1; then
  echo '{"task_id":7,"text":"square","code":"def f(x):\n    return x * x","test_list":["assert f(3) == 9"]}' >mbpp.jsonl
  expect 0 '"n_new":1' -- "$RUNG" problem import mbpp mbpp.jsonl --set code --json --store s.db
  meta='{"code":{"test_list":["assert f(3) == 9"]}}'
  for body in 'x * x' 'x + x'; do
    printf '{"set":"mbpp2","question":"square","answer":"def f(x): return x ** 2","verifier":"code","meta":%s,"steps":["So:\\n```python\\ndef f(x):\\n    return %s\\n```"]}\n' "$meta" "$body"
  done >c.jsonl
  expect 0 '"n_traces":2' -- "$RUNG" trace import jsonl c.jsonl --json --store s.db
  expect 0 '"n_correct":1,"n_wrong":1' -- "$RUNG" verify code --stored --set mbpp2 --write --json --store s.db
  [ "$(rows verdict | jq -r 'select(.verifier == "code") | [.version, .verdict, .rule] | join(" ")' | sort | tr '\n' ';')" = \
    'code-1 1 tests;code-1 2 tests;' ] || fail "rows of code: $(rows verdict)"
else
  echo "SKIPPED: no sandbox on this machine"
fi
finish
