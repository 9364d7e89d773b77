# kill -9 in the middle of every way to train: rung model train whole and by adapters, rung reward train of a head, adapters, all.
# Each is killed soon after its first checkpoint is there, then three times more at random; the same command again ends in the same
# file, byte by byte, and in the same curves as a run that nobody killed.
. "$(dirname "$0")/../cli/lib.sh"
command -v python3 >/dev/null || { echo "no python3: skipped" >&2; exit 77; }
need_model
SEED=${KILL_SEED:-$(date +%N | sed 's/^0*//')}
echo "kill points from KILL_SEED=$SEED" >&2
RANDOM=$((SEED % 32768))
for i in $(seq 24); do
  printf '{"prompt":"Start at %d. +5 x2. Total?\\n","completion":"%d+5=%d\\n"}\n' "$i" "$i" $((i + 5))
done >"$T/pairs.jsonl"
cp "$MODEL" "$T/m.gguf"
mkdir "$T/base" && cd "$T/base" || exit 1
expect 0 '' -- "$RUNG" problem generate total --splits train=16 --quiet
expect 0 '' -- "$RUNG" trace sample --policy ../m.gguf --n 4 --max-tokens 60 --exact --name pool --quiet
expect 0 '' -- "$RUNG" label truth --run pool --name truth --quiet

# Curves of the run, but for those of the clock.
curves() {
  python3 - "$1" <<'P'
import sqlite3, sys
for row in sqlite3.connect(sys.argv[1]).execute("select name, step, value from metric where name not in ('train/step_time', 'perf/throughput') order by 1, 2"):
    print(*row)
P
}

n_killed=0
run() { (cd "$1" && shift && exec "$RUNG" "$@" --quiet --threads 1); }
kills() { # kills NAME FILE CHECKPOINT COMMAND...: the last is a pattern of the names that checkpoints have
  local name=$1 file=$2 ckpt=$3 t0 whole i pid
  shift 3
  rm -rf "$T/whole" "$T/part"
  cp -r "$T/base" "$T/whole"
  cp -r "$T/base" "$T/part"
  t0=$(date +%s%N)
  check "$name fails unkilled" run "$T/whole" "$@"
  whole=$((($(date +%s%N) - t0) / 1000000))
  for i in 1 2 3 4; do
    [ -f "$T/part/$file" ] && break # done before it was killed
    (cd "$T/part" && exec "$RUNG" "$@" --quiet --threads 1) 2>/dev/null &
    pid=$!
    if [ $i = 1 ]; then
      while kill -0 $pid 2>/dev/null && ! compgen -G "$T/part/$ckpt" >/dev/null; do sleep 0.01; done
    fi
    sleep "$(awk -v r=$RANDOM -v w=$whole 'BEGIN{print 0.4 * w / 1000 * r / 32768}')"
    kill -9 $pid 2>/dev/null && n_killed=$((n_killed + 1))
    wait $pid 2>/dev/null
  done
  check "$name does not go on after kill -9 (KILL_SEED=$SEED)" run "$T/part" "$@"
  check "$name: another file after kill -9 (KILL_SEED=$SEED)" cmp -s "$T/whole/$file" "$T/part/$file"
  curves "$T/whole/rung.db" >"$T/want"
  curves "$T/part/rung.db" >"$T/got"
  check "$name: no curves" test -s "$T/want"
  check "$name: other curves after kill -9 (KILL_SEED=$SEED)" cmp -s "$T/want" "$T/got"
  check "$name: a checkpoint is left" test -z "$(cd "$T/part" && compgen -G "$ckpt")"
}
sft=(model train --from ../m.gguf --data ../pairs.jsonl --held 4 --rows 2 --tokens 60 --warmup 2 --store rung.db --out t.gguf
  --checkpoint-every 4)
kills "model train, all weights" t.gguf '*.ckpt*' "${sft[@]}" --steps 40 --accumulate 2 --ema 0.9 --keep-last 3 --type f32
kills "model train, adapters" t.gguf '*.ckpt*' "${sft[@]}" --steps 60 --lora-rank 4 --lora-dropout 0.1 --type keep
reward=(reward train --run pool --source truth --out r.gguf --held-share 0.3 --patience 99)
kills "reward train, head" r.gguf '*.ckpt*' "${reward[@]}" --kind prm_head --base ../m.gguf --exact --tune head --hidden 16 --epochs 60
kills "reward train, adapters" r.gguf '*.ckpt*' "${reward[@]}" --kind prm_head --base ../m.gguf --tune lora --lora-rank 4 --lora-dropout 0.1 --epochs 8
kills "reward train, all weights" r.gguf '*.ckpt*' "${reward[@]}" --kind prm_token --base ../m.gguf --tune all --tag '<?>' --epochs 6
echo "$n_killed kills hit a running command" >&2
check "kills came too late" test "$n_killed" -ge 5
finish
