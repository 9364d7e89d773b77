# rung rl train: what is refused before the first rollout; step rewards of reward models, heads on a base and whole models; alarms on
# our own log, on verl's and on TRL's.
. "$(dirname "$0")/lib.sh"
need_model
Q=(--threads 1 --quiet)
RL=("$RUNG" rl train --policy "$MODEL" --out "$T/out.gguf" --prompts 2 --group 4 --max-tokens 80 --rows 4 --row-tokens 192
  --steps 2 "${Q[@]}")
"$RUNG" problem generate total --splits train=24 --quiet || fail generate

# bad configurations: said, with a way out, before anything is sampled
expect 2 'grpo compares answers of one problem: group is 1' -- "${RL[@]}" --estimator grpo --group 1
expect 2 'KL both in the reward \(0.1\) and in the loss \(0.01\)' -- "${RL[@]}" --kl 0.01 --kl-reward 0.1
expect 2 'no estimator "gorp"' -- "${RL[@]}" --estimator gorp
expect 2 'one of reinforce rloo grpo' -- "${RL[@]}" --estimator gorp
expect 2 'no policy loss "ppoo"' -- "${RL[@]}" --loss ppoo
expect 2 'min_form needs step rewards' -- "${RL[@]}" --estimator min_form
expect 2 'which file' -- "${RL[@]}" --estimator min_form --steps-from reward
expect 2 'lora_out without lora_rank' -- "${RL[@]}" --lora-out a.gguf
expect 2 'type keep without lora_rank' -- "${RL[@]}" --type keep
[ "$(sqlite3 rung.db 'select count(*) from trace' 2>/dev/null || echo 0)" = 0 ] || fail "something was sampled"

# reward models: a head on the policy's base, a whole model; of another base it is refused
expect 0 '' -- "$RUNG" trace sample --policy "$MODEL" --n 4 --max-tokens 90 --name pool "${Q[@]}"
expect 0 '' -- "$RUNG" label truth --run pool --quiet
# what was sampled, as TRL and verl read it
expect 0 '' -- "$RUNG" label export trl trl_rows.jsonl --run pool --source truth --after-error wrong
check "trl's rows" grep -q '"prompt":.*"completions":\[.*"labels":\[' trl_rows.jsonl
expect 0 '' -- "$RUNG" label export verl verl_rows.jsonl --run pool --source truth --after-error wrong
check "verl's rows" grep -q '"prompt":\[{"role":"user".*"reward_model":{.*"ground_truth"' verl_rows.jsonl
for kind in prm_head prm_token; do
  expect 0 '' -- "$RUNG" reward train --kind $kind --base "$MODEL" --run pool --source truth --out $kind.gguf --epochs 1 \
    --held-share 0.3 "${Q[@]}"
  expect 0 '' -- "${RL[@]}" --name $kind --estimator min_form --steps-from reward --reward $kind.gguf --out $kind.out.gguf --json
  check "$kind: a policy was written" test -s $kind.out.gguf
done
cp prm_head.out.gguf other.gguf
expect 5 'trained on base' -- "${RL[@]}" --estimator min_form --steps-from reward --reward prm_head.gguf --reward-base other.gguf

echo '{"loss":1}' >prm_head.log.jsonl

# a log read again: what a calm run says, and a planted collapse in three dialects
plant() { # KEYS of reward, verifier, step; what stands around a row
  awk -v r="$1" -v v="$2" -v s="$3" 'BEGIN { srand(1)
    for (i = 1; i <= 60; i++) { up = i < 30 ? 0.5 : 0.5 + (i - 30) * 0.01; down = i < 30 ? 0.5 : 0.5 - (i - 30) * 0.01
      row = sprintf("\"%s\":%.4f,\"%s\":%.4f", r, up + rand() / 50, v, down + rand() / 50)
      if (s == "data") printf "{\"step\":%d,\"data\":{%s}}\n", i, row
      else printf "{\"%s\":%d,%s}\n", s, i, row } }'
}
plant critic/rewards/mean critic/score/mean step >ours.jsonl
plant critic/rewards/mean val-core/total/acc/mean@1 data >verl.jsonl # its file logger's rows
plant reward rewards/accuracy_reward/mean step >trl.jsonl
(printf '{"best_metric":null,"log_history":['; sed '$!s/$/,/' trl.jsonl; printf '],"max_steps":60}') >state.jsonl
tr -d '\n' <state.jsonl >trainer_state.json # as TRL's trainer leaves it
for f in ours.jsonl verl.jsonl trl.jsonl trainer_state.json; do
  expect 0 'step [0-9]+: reward_hacking: accuracy' -- "$RUNG" rl watch $f
  expect 0 '60 steps, 1 alarm' -- "$RUNG" rl watch $f
done
expect 2 'nothing to watch' -- "$RUNG" rl watch prm_head.log.jsonl
finish
