# rung model train: killed and run again it writes the same file, byte by byte; the same training is not done twice; the
# trainer's and the engine's logits agree.
. "$(dirname "$0")/../cli/lib.sh"
train=(model train --quiet --threads 1 --out tiny.gguf --embd 48 --layers 2 --heads 1 --ff 96 --ctx 160 --rows 4 --tokens 160
  --steps 60 --warmup 5 --lr 0.01 --held 8 --checkpoint-every 7 --type f32)
mkdir "$T/a" "$T/b"
t0=$(date +%s.%N)
expect 0 '' -- env -C "$T/a" "$RUNG" "${train[@]}" --store a.db
whole=$(awk -v a="$t0" -v b="$(date +%s.%N)" 'BEGIN{print b - a}')
for i in 1 2 3; do
  (cd "$T/b" && exec "$RUNG" "${train[@]}") &
  pid=$!
  sleep "$(awk -v w="$whole" 'BEGIN{print w / 3}')"
  kill -9 $pid 2>/dev/null
  wait $pid 2>/dev/null
done
expect 0 '' -- env -C "$T/b" "$RUNG" "${train[@]}"
check "the same file after three kills" cmp -s "$T/a/tiny.gguf" "$T/b/tiny.gguf"
n_checks=$((n_checks + 1))
[ "$(ls "$T/b")" = tiny.gguf ] || fail "left beside the file: $(ls "$T/b" | tr '\n' ' ')"
cp "$T/b/tiny.gguf" "$T/b/keep.gguf"
expect 0 'this very training' -- env -C "$T/b" "$RUNG" "${train[@]}" --no-quiet
expect 0 '' -- env -C "$T/b" "$RUNG" "${train[@]}" --seed 2
n_checks=$((n_checks + 1))
cmp -s "$T/b/tiny.gguf" "$T/b/keep.gguf" && fail "another seed gives the same file"
expect 0 'largest difference' -- "$RUNG" model compare-logits "$T/a/tiny.gguf" --text 'Start at 17. +5 x2 -9. Total?
17+5=22
' --tolerance 0.01
expect 1 'differ by' -- "$RUNG" model compare-logits "$T/a/tiny.gguf" --tolerance 0
expect 0 '' -- "$RUNG" store export - --store "$T/a/a.db"
check "the losses are in the store" grep -q '"table":"metric".*"train/loss"' "$T/out"
expect 4 'no/such' -- "$RUNG" "${train[@]}" --out "$T/no/such/t.gguf"
finish
