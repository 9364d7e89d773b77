#!/bin/bash
# The published pools of 500 problems x 32 candidates with the step scores of seven PRMs: rung bench pool must print these
# figures to the third digit. RUNG_POOL_DATA: what benchmarks/lib/pool_rows.py wrote; skipped, aloud, without it.
set -u
if [ -z "${RUNG_POOL_DATA:-}" ]; then
  echo "skipped: RUNG_POOL_DATA is not set (benchmarks/lib/pool_rows.py makes the rows)"
  exit 77
fi
failed=0
check() { # file names figures
  "$RUNG_BIN" bench pool "$RUNG_POOL_DATA/$1" --boot 100 --json --quiet | python3 -c '
import json, sys
m = {x["name"]: x["acc"] for x in json.loads(sys.stdin.readlines()[-1])["methods"]}
bad = [(k, v, m[k]) for k, v in zip(sys.argv[2].split(), sys.argv[3].split()) if abs(m[k] - float(v)) > 0.00051]
print(sys.argv[1], "wrong: %s" % bad if bad else "ok")
sys.exit(bool(bad))' "$1" "$2" "$3" || failed=1
}
head="mean pass majority"
bon="bon_last bon_min bon_prod bon_mean"
vote="vote_last vote_min vote_prod vote_mean"
check qwen_prm_gsm8k.jsonl "$head $bon $vote" ".8419 .962 .856 .904 .888 .894 .894 .864 .868 .870 .856"
check skywork_prm_gsm8k.jsonl "$bon $vote" ".918 .870 .870 .888 .870 .866 .876 .858"
check skywork_prm_1_5b_gsm8k.jsonl "$bon" ".876 .850 .852 .876"
check math_shepherd_gsm8k.jsonl "$bon" ".838 .852 .850 .850"
check rlhflow_prm_gsm8k.jsonl "$bon" ".842 .852 .852 .858"
check internlm2_7b_reward_gsm8k.jsonl "$bon" ".884 .842 .828 .840"
check internlm2_1_8b_reward_gsm8k.jsonl "$bon" ".844 .812 .828 .840"
check qwen_prm_math500.jsonl "$head $bon $vote" ".6545 .850 .708 .710 .738 .744 .736 .714 .720 .726 .712"
exit $failed
