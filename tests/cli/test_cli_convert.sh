#!/usr/bin/env bash
# rung convert, label import and export: as a user types them, with their exit codes and reports.
. "$(dirname "$0")/lib.sh"

cat > pb.jsonl <<'EOF'
{"id":"a","generator":"g","problem":"3*4?","steps":["3*4 = 14.","So 14."],"final_answer_correct":false,"label":0}
{"id":"b","generator":"g","problem":"2+2?","steps":["2+2 = 4."],"final_answer_correct":true,"label":-1}
EOF
is() { # is FILE TEXT: the file holds just that
  check "$1 is $2, not $(cat "$1")" [ "$(cat "$1")" = "$2" ]
}

expect 3 'after the first error, has no label: --after-error truncate' -- "$RUNG" convert processbench trl pb.jsonl o.jsonl
expect 3 '2 rows in, 1 rows out' -- "$RUNG" convert processbench trl pb.jsonl o.jsonl
expect 0 'not carried 2 x generator \(lines 1, 2\)' -- "$RUNG" convert processbench trl pb.jsonl o.jsonl --after-error wrong
is o.jsonl '{"prompt":"3*4?","completions":["3*4 = 14.","So 14."],"labels":[false,false]}
{"prompt":"2+2?","completions":["2+2 = 4."],"labels":[true]}'
expect 0 '"rows_out":2,.*"what":"id","n":2,"lines":\[1,2\]' -- \
  "$RUNG" convert processbench trl pb.jsonl o.jsonl --after-error truncate --json
expect 0 '2 rows out' -- "$RUNG" convert --from processbench --to jsonl --in pb.jsonl --out own.jsonl
expect 0 '2 rows out' -- "$RUNG" convert jsonl processbench own.jsonl back.jsonl
is back.jsonl "$(cat pb.jsonl)"
expect 0 '"label":-1' -- "$RUNG" convert processbench processbench pb.jsonl    # to standard output
expect 2 'tr?l' -- "$RUNG" convert processbench tlr pb.jsonl o.jsonl
expect 2 'from' -- "$RUNG" convert
expect 0 'prm800k' -- "$RUNG" convert --formats
expect 4 '' -- "$RUNG" convert processbench jsonl pb.jsonl /proc/no/out.jsonl
expect 3 'nothere' -- "$RUNG" convert processbench jsonl nothere.jsonl o.jsonl
cp own.jsonl kept.jsonl
printf '{"id":"c","gener' >> pb.jsonl
expect 3 'bad JSON' -- "$RUNG" convert processbench jsonl pb.jsonl own.jsonl
is own.jsonl "$(cat kept.jsonl)"

expect 3 '3 rows read: .* 2 new labels' -- "$RUNG" label import processbench pb.jsonl --set pb --name people
expect 3 '0 new traces, 0 new labels' -- "$RUNG" label import processbench pb.jsonl --set pb --name people
expect 0 '2 of 3 steps labelled by human: 1 right, 1 wrong' -- "$RUNG" label show --source human --set pb
expect 0 '2 rows out' -- "$RUNG" label export math_shepherd ms.jsonl --set pb --source human --after-error truncate
check 'labels of math_shepherd' grep -q '"label":"3\*4? Step 1: 3\*4 = 14. -"' ms.jsonl
expect 0 '2 rows out' -- "$RUNG" label export math_aps tree.jsonl --set pb --source human
check 'values of math_aps' grep -q '"mc_value":0},{"solution_prefix":"3\*4 = 14.\\n\\nSo 14.","mc_value":null}' tree.jsonl
cat > potato.jsonl <<'EOF'
{"instance_id":"a","annotator":"ann","steps":[{"index":0,"reward":-1},{"index":1,"reward":null}]}
{"instance_id":"zz","annotator":"ann","steps":[{"index":0,"reward":1}]}
EOF
expect 3 'has no solution 0 of 1 steps' -- "$RUNG" label import potato potato.jsonl --set pb --name ann
expect 0 '' -- "$RUNG" label export fover f.jsonl --set pb --source human --label-run ann
check 'labels of ann' grep -q '"error_labels":\[false,null\]' f.jsonl

# Bad rows, each named with its line and its reason; the good ones before, between and behind them are all there.
{
  printf '{"id":"ok1","generator":"g","problem":"1+1?","steps":["1+1 = 2.","So 2."],"final_answer_correct":true,"label":-1}\n'
  printf '{"id":"long","generator":"g","problem":"1+2?","steps":["1+2 = 3."],"final_answer_correct":false,"label":5}\n'
  printf '{"id":"nan","generator":"g","problem":"1+3?","steps":["4"],"final_answer_correct":true,"label":NaN}\n'
  printf '{"id":"ok1","generator":"g","problem":"1+4?","steps":["5"],"final_answer_correct":true,"label":-1}\n'
  printf '{"id":"huge","generator":"g","problem":"1+5?","steps":["'
  head -c 10000000 /dev/zero | tr '\0' x
  printf '"],"final_answer_correct":true,"label":-1}\n'
  printf '{"id":"utf8","generator":"g","problem":"1+6?","steps":["7\xff"],"final_answer_correct":true,"label":-1}\n'
  printf '{"id":"ok2","generator":"g","problem":"1+7?","steps":["1+7 = 8.","So <?> 9."],"final_answer_correct":false,"label":1}\n'
} > bad.jsonl
bad_rows() { # COMMAND...: the five lines, and what is left
  expect 3 'line 2  reason "label" is 5, but there are 1 steps' -- "$@"
  check 'line 3' grep -q 'line 3 .*bad JSON' err
  check 'line 4' grep -q 'line 4 .*duplicate id, first on line 1' err
  check 'line 5' grep -q 'line 5 .*longer than 4194304 bytes' err
  check 'line 6' grep -q 'line 6 .*invalid UTF-8' err
  check '5 of 7' grep -q '5 of 7 rows' err
}
bad_rows "$RUNG" convert processbench jsonl bad.jsonl good.jsonl
check 'two rows are left' [ "$(grep -c '"key":"ok[12]"' good.jsonl)" = 2 ]
bad_rows "$RUNG" label import processbench bad.jsonl --set bad
expect 0 '4 of 4 steps labelled by human: 3 right, 1 wrong' -- "$RUNG" label show --source human --set bad
cat > scan.jsonl <<'EOF'
{"question":"2*3?","steps":["2*3 = 6."],"scores":[0.9]}
{"question":"2*4?","steps":["2*4 = 8."],"scores":[NaN]}
{"question":"2*5?","steps":["2*5 = 10."],"scores":[0.1,0.2]}
{"question":"2*6?","steps":["2*6 = 13."],"scores":[0]}
EOF
expect 3 'line 2 .*bad JSON' -- "$RUNG" label import scan scan.jsonl --set scan
check 'scores beyond the steps' grep -q 'line 3 .*"scores" holds 2 labels for 1 steps' err
expect 0 '2 of 2 steps labelled by mc' -- "$RUNG" label show --source mc --set scan
cat > shepherd.jsonl <<'EOF'
{"input":"3*3? Step 1: 3*3 = 9. ки\nStep 2: So 9. ки","label":"3*3? Step 1: 3*3 = 9. +\nStep 2: So 9. +"}
{"input":"3*4? Step 1: 3*4 ки = 12. ки","label":"3*4? Step 1: 3*4 = 12. +"}
{"input":"3*5? Step 1: 3*5 = 16. ки","label":"3*5? Step 1: 3*5 = 16. -"}
EOF
expect 3 'line 2  reason "label" has no . or - at the tag of step 0' -- "$RUNG" label import math_shepherd shepherd.jsonl --set ms
expect 0 '3 of 3 steps labelled by mc: 2 right, 1 wrong' -- "$RUNG" label show --source mc --set ms

# A trace that the format cannot lay out (its step holds the tag) is named; the others are trained on.
need_model
printf 'tokens: text\ntag: "<?>"\nscore: head\n' > tagged.yaml
train() { "$RUNG" reward train --kind prm_head --base "$MODEL" --source human --format tagged.yaml --held-share 0.4 --epochs 2 --out "$T/p.gguf" --force "$@"; }
expect 0 'reward.skip .*step [0-9] holds the tag "<\?>"' -- train
check 'one of the four' grep -q 'reward.dropped .*traces 1 .*of 4' err
expect 0 '' -- "$RUNG" store check
finish
