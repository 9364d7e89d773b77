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
expect 0 '' -- "$RUNG" store check
finish
