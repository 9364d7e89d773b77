# rung model train --data: the tiny policy goes on from its file by adapters; killed and run again it writes the same files;
# what it cannot do is told.
. "$(dirname "$0")/lib.sh"
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
  printf '{"prompt":"start %d; +5\\n","completion":"%d+5=%d\\n"}\n' "$i" "$i" $((i + 5))
done >"$T/pairs.jsonl"
train=(model train --quiet --threads 1 --from "$SRC/models/tiny.gguf" --data "$T/pairs.jsonl" --held 4 --rows 2 --tokens 64
  --steps 12 --warmup 2 --lr 0.002 --lora-rank 4 --lora-dropout 0.1 --lora-targets all --checkpoint-every 3 --type keep)
mkdir "$T/a" "$T/k"
expect 0 'held_loss' -- env -C "$T/a" "$RUNG" "${train[@]}" --out t.gguf --lora-out l.gguf --json
n_checks=$((n_checks + 1))
python3 - "$T/out" <<'P' || fail "the loss on held-out replies did not fall"
import json, sys
r = json.loads(open(sys.argv[1]).read().splitlines()[-1])
sys.exit(not (r["held_loss"] < r["held_loss_before"] and r["n_held"] == 4 and r["n_trained"] < r["n_params"]))
P
check "the adapter file is there" test -s "$T/a/l.gguf"
(cd "$T/k" && exec "$RUNG" "${train[@]}" --out t.gguf --lora-out l.gguf) &
pid=$!
sleep 2
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
expect 0 '' -- env -C "$T/k" "$RUNG" "${train[@]}" --out t.gguf --lora-out l.gguf
check "killed and run again: the same adapters" cmp -s "$T/a/l.gguf" "$T/k/l.gguf"
n_checks=$((n_checks + 1))
[ -z "$(ls "$T/k" | grep ckpt)" ] || fail "checkpoints left: $(ls "$T/k" | tr '\n' ' ')"
expect 0 '' -- "$RUNG" model chat --policy "$T/a/t.gguf" --prompt 'start 3; +5' --max-tokens 8
expect 2 'needs --from' -- "$RUNG" model train --out "$T/b.gguf" --data "$T/pairs.jsonl"
expect 2 'needs --lora-rank' -- "$RUNG" model train --out "$T/b.gguf" --lora-out "$T/l.gguf"
printf '{"prompt":"x"}\n' >"$T/bad.jsonl"
expect 3 'line 1 has no prompt and reply' -- "$RUNG" "${train[@]}" --out "$T/b.gguf" --data "$T/bad.jsonl"
finish
