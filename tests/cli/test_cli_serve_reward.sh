# rung serve with a reward model: the scores of vLLM's and OpenRLHF's shapes are those that `reward score` stores; searches are
# guided by it; many at once, on the engine that samples.
. "$(dirname "$0")/lib.sh"
command -v python3 >/dev/null || { echo "no python3: skipped" >&2; exit 77; }
need_model
export RUNG MODEL PRM=$T/prm.gguf STORE=$T/rung.db
Q=(--threads 1 --quiet)
"$RUNG" problem generate total --splits train=24 --quiet || fail generate
expect 0 '' -- "$RUNG" trace sample --policy "$MODEL" --n 4 --max-tokens 90 --name pool "${Q[@]}"
expect 0 '' -- "$RUNG" label truth --run pool --quiet
expect 0 '' -- "$RUNG" reward train --kind prm_head --base "$MODEL" --run pool --source truth --out "$PRM" --held-share 0.3 "${Q[@]}"
expect 0 '' -- "$RUNG" reward score "$PRM" --policy "$MODEL" --run pool "${Q[@]}"
check "what python saw" timeout "${SERVE_CHECK_S:-400}" python3 "$SRC/tests/cli/serve_reward.py"
finish
