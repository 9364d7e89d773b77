# Bad input and bad surroundings: a clear error with a hint, the right exit code, the store intact.
. "$(dirname "$0")/../cli/lib.sh"
need_model
S="--store $T/a.db"
sound() { check "the store is sound after: $1" "$RUNG" store check $S --json >/dev/null; }

# broken JSONL: line 3 cut
printf '%s\n' '{"question":"1+1?","answer":"so\n#### 2"}' '{"question":"1+2?","answer":"so\n#### 3"}' \
  '{"question":"1+3?","ans' '{"question":"1+4?","answer":"so\n#### 5"}' >"$T/cut.jsonl"
expect 3 'cut.jsonl:3' -- "$RUNG" problem import gsm8k "$T/cut.jsonl" $S
expect 0 '1\+4' -- "$RUNG" problem show $S --set gsm8k # the good lines are there
n_checks=$((n_checks + 1))
[ "$("$RUNG" problem show $S --json | wc -l)" -eq 3 ] || fail "not the three good rows"
sound "a cut line"
expect 3 'cut.jsonl' -- "$RUNG" problem import math500 "$T/cut.jsonl" $S
expect 3 '' -- "$RUNG" problem import gsm8k "$T/nowhere.jsonl" $S
expect 3 'pairs.jsonl:2' -- bash -c "printf '{\"gold\":\"1\",\"answer\":\"1\"}\n{\"gold\":\n' >pairs.jsonl; '$RUNG' verify pairs.jsonl"
head -c 4096 /dev/urandom >"$T/noise"
expect 3 '' -- "$RUNG" problem import jsonl "$T/noise" $S
expect 3 'noise|line' -- "$RUNG" store import "$T/noise" --store "$T/n.db"
sound "noise"

# models: truncated, not GGUF, absent
head -c 2000 "$MODEL" >"$T/short.gguf"
head -c $(($(stat -c %s "$MODEL") / 2)) "$MODEL" >"$T/half.gguf"
"$RUNG" problem generate total $S --splits test=4 --quiet
for m in short half noise; do
  f=$T/$m.gguf
  [ -f "$f" ] || cp "$T/$m" "$f"
  expect 5 "$m.gguf" -- "$RUNG" model info "$f"
  expect 5 'hint' -- "$RUNG" trace sample $S --policy "$f" --set total
  expect 5 "" -- "$RUNG" reward score "$f" $S --policy "$MODEL"
done
expect 3 'nowhere.gguf' -- "$RUNG" trace sample $S --policy "$T/nowhere.gguf" --set total
sound "bad models"

# a memory budget: refused before anything is taken, with both numbers; a larger one is enough
expect 3 'the budget leaves 1' -- "$RUNG" trace sample $S --policy "$MODEL" --set total --n 1 --memory 1
expect 3 'sequences of .* MiB, the budget leaves' -- "$RUNG" trace sample $S --policy "$MODEL" --set total --n 1 --memory 6 --sequences 64 --ctx 65536
expect 0 '' -- "$RUNG" trace sample $S --policy "$MODEL" --set total --n 1 --max-tokens 20 --memory 2000 --name budget
expect 3 'the budget leaves' -- "$RUNG" reward score "$MODEL" --format rung-token $S --memory 1
sound "a budget that is too small"

# not a store; a read-only store; an unwritable report
cp "$T/noise" "$T/noise.db"
expect 4 'noise.db' -- "$RUNG" problem show --store "$T/noise.db"
expect 0 '' -- "$RUNG" trace sample $S --policy "$MODEL" --set total --n 2 --max-tokens 40 --name pool
expect 0 '' -- "$RUNG" bench answer $S --run pool --boot 200
expect 4 'report' -- "$RUNG" report $S --out "$T/no/such/folder/report.html"
expect 4 '' -- "$RUNG" store export "$T/no/such/folder/x.jsonl" $S
mkdir "$T/ro"
cp "$T/a.db" "$T/ro/a.db"
chmod 444 "$T/ro/a.db"
chmod 555 "$T/ro"
as_user=()
if [ "$(id -u)" -eq 0 ]; then # root writes everywhere: be nobody, in a place that nobody can read
  command -v setpriv >/dev/null && as_user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
  chmod 755 "$T"
fi
if [ "$(id -u)" -ne 0 ] || [ ${#as_user[@]} -gt 0 ]; then
  if "${as_user[@]}" test -x "$RUNG"; then
    expect 4 'ro/a.db' -- "${as_user[@]}" "$RUNG" trace sample --store "$T/ro/a.db" --policy "$MODEL" --set total --n 3 --max-tokens 40
    expect 0 'problem' -- "${as_user[@]}" "$RUNG" problem show --store "$T/ro/a.db" --limit 1
    check "the read-only store is as it was" cmp -s "$T/a.db" "$T/ro/a.db"
  else
    echo "nobody cannot run $RUNG: the read-only store is not tested here" >&2
  fi
fi
chmod 755 "$T/ro"

# a full disk: a file size limit, and a small tmpfs where root may mount one
cp "$T/a.db" "$T/full.db"
before=$("$RUNG" store export - --store "$T/full.db" --quiet | wc -l)
size=$(($(stat -c %s "$T/full.db") / 1024 + 8))
expect 4 'full|limit|large' -- bash -c "ulimit -f $size; exec '$RUNG' problem generate word --store '$T/full.db' --splits train=3000"
expect 0 '"ok":true' -- "$RUNG" store check --store "$T/full.db" --json
n_checks=$((n_checks + 1))
[ "$("$RUNG" store export - --store "$T/full.db" --quiet | wc -l)" -ge "$before" ] || fail "a full disk lost rows"
expect 0 '' -- "$RUNG" problem generate word --store "$T/full.db" --splits train=3000 # and with room it goes on
expect 4 'full|limit|large' -- bash -c "ulimit -f 16; exec '$RUNG' store export '$T/x.jsonl' --store '$T/full.db'"
n_checks=$((n_checks + 1))
[ -e "$T/x.jsonl" ] || [ -e "$T/x.jsonl.part" ] && fail "a half-written export was left"
expect 4 'full|limit|large' -- bash -c "ulimit -f 16; exec '$RUNG' report $S --out '$T/r.html'"
n_checks=$((n_checks + 1))
[ -e "$T/r.html" ] && fail "a half-written report was left"
expect 4 'full|limit|large' -- bash -c "ulimit -f 16; exec '$RUNG' model train --quiet --out '$T/t.gguf' --embd 32 --layers 1 --heads 1 --ff 64 --rows 1 --steps 1 --held 0"
mkdir "$T/small"
if [ "$(id -u)" -eq 0 ] && mount -t tmpfs -o size=1m tmpfs "$T/small" 2>/dev/null; then
  expect 4 'full' -- "$RUNG" problem generate word --store "$T/small/a.db" --splits train=9000
  expect 0 '"ok":true' -- "$RUNG" store check --store "$T/small/a.db" --json
  umount "$T/small"
else
  echo "no tmpfs may be mounted here: a full file system is tested by the file size limit only" >&2
fi

# a dead endpoint: clear, quick, resumable
expect 5 '127.0.0.1' -- "$RUNG" trace sample $S --policy http://127.0.0.1:9 --remote-model x --set total --n 1 --retries 1 --timeout 2 --name remote
expect 5 '' -- "$RUNG" trace sample $S --policy http://127.0.0.1:9 --remote-model x --set total --n 1 --retries 1 --timeout 2 --name remote
sound "a dead endpoint"
finish
