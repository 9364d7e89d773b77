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
inside = r["held_loss_lo"] <= r["held_loss"] <= r["held_loss_hi"] and r["held_loss_before_lo"] < r["held_loss_before"] < r["held_loss_before_hi"]
sys.exit(not (inside and r["held_loss"] < r["held_loss_before"] and r["n_held"] == 4 and r["n_trained"] < r["n_params"]))
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
expect 3 'line 1 has [0-9]* tokens, a row holds 8' -- "$RUNG" "${train[@]}" --out "$T/b.gguf" --tokens 8
expect 2 'cannot both' -- "$RUNG" "${train[@]}" --out "$T/b.gguf" --run pool

# traces of the store: the right ones, each text once, whole problems held out; killed and run again the same bytes
S="--store $T/s.db"
expect 0 '' -- "$RUNG" problem generate --world total --splits train=24 --seed 3 $S --quiet
expect 0 '' -- "$RUNG" trace sample --name pool --policy "$SRC/models/tiny.gguf" --n 3 --max-tokens 160 --seed 3 $S --quiet
expect 0 '' -- "$RUNG" label truth --run pool --name truth $S --quiet
sft=(model train --quiet --threads 1 --from "$SRC/models/tiny.gguf" --run pool $S --held 4 --rows 2 --tokens 200 --steps 6
  --warmup 2 --lr 0.002 --lora-rank 2 --checkpoint-every 2 --type keep)
mkdir "$T/ta" "$T/tk"
expect 0 'n_held' -- env -C "$T/ta" "$RUNG" "${sft[@]}" --out t.gguf --json
n_checks=$((n_checks + 1))
python3 - "$T/out" "$T/s.db" <<'P' || fail "other traces were trained on than the right ones, each text once"
import json, sqlite3, sys
r = json.loads(open(sys.argv[1]).read().splitlines()[-1])
db = sqlite3.connect(sys.argv[2])
n = db.execute("select count(*) from (select distinct problem, text from trace where verdict = 1)").fetchone()[0]
sys.exit(not (r["n_held"] == 4 and r["n_docs"] <= n - 4 and r["n_docs"] >= n - 6))
P
(cd "$T/tk" && exec "$RUNG" "${sft[@]}" --out t.gguf) &
pid=$!
sleep 1
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
expect 0 '' -- env -C "$T/tk" "$RUNG" "${sft[@]}" --out t.gguf
check "killed and run again: the same file" cmp -s "$T/ta/t.gguf" "$T/tk/t.gguf"
n_checks=$((n_checks + 1))
[ "$(ls "$T/tk")" = t.gguf ] || fail "left beside the file: $(ls "$T/tk" | tr '\n' ' ')"
expect 3 'trace [0-9]* has [0-9]* tokens, a row holds 40' -- "$RUNG" "${sft[@]}" --out "$T/b.gguf" --tokens 40
expect 0 'too.long' -- "$RUNG" "${sft[@]}" --out "$T/b.gguf" --tokens 70 --too-long drop --held 2 --steps 1
expect 0 '' -- "$RUNG" "${sft[@]}" --out "$T/u.gguf" --keep all --until truth --steps 1
expect 2 'too few' -- "$RUNG" "${sft[@]}" --out "$T/b.gguf" --documents 1000
finish
