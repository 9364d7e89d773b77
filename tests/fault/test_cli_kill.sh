# kill -9 at 26 random points of trace sample, label mc, search run and reward train, all in exact mode: running the same command again
# ends with the store that an unkilled run gives, to the last bit. Ctrl-C: exit 6, the command that goes on, and it does go on.
. "$(dirname "$0")/../cli/lib.sh"
command -v python3 >/dev/null || { echo "no python3: skipped" >&2; exit 77; }
need_model
SEED=${KILL_SEED:-$(date +%N | sed 's/^0*//')}
echo "kill points from KILL_SEED=$SEED" >&2
RANDOM=$((SEED % 32768))

cp "$MODEL" "$T/m.gguf"
mkdir "$T/base" && cd "$T/base" || exit 1
"$RUNG" problem generate total --splits train=24 --quiet || fail "generate"

# One stage in folder $1; paths are the same in every folder, as they are part of the configuration.
stage() {
  local dir=$1
  shift
  (cd "$dir" && exec "$RUNG" "$@" --quiet --threads 1)
}
sample=(trace sample --policy ../m.gguf --n 6 --max-tokens 60 --exact --name pool)
mc=(label mc --run pool --policy ../m.gguf --k 4 --traces-per-problem 2 --max-tokens 60 --exact --name mc)
beam=(search run --policy ../m.gguf --method beam --score confidence --n 4 --width 2 --max-tokens 60 --at-once 6 --exact --name beam)
train=(reward train --kind prm_head --base ../m.gguf --run pool --source mc --out prm.gguf --epochs 40 --hidden 16 --patience 40 --held-share 0.3 --exact --name prm)

# Kills `stage` once after a random part of the time it takes, then lets it finish.
killed() { # killed DIR SECONDS COMMAND...
  local dir=$1 whole=$2 pid
  shift 2
  (cd "$dir" && exec "$RUNG" "$@" --quiet --threads 1) 2>/dev/null &
  pid=$!
  sleep "$(awk -v r=$RANDOM -v w="$whole" 'BEGIN{print w * r / 32768}')"
  kill -9 $pid 2>/dev/null && n_kills=$((n_kills + 1))
  wait $pid 2>/dev/null
  check "the store is sound after kill -9 of $1 $2" "$RUNG" store check --store "$dir/rung.db" --json >/dev/null
  stage "$dir" "$@" || fail "$1 $2 does not go on after kill -9"
}

n_kills=0
round() { # round NAME TIMES COMMAND...: from $T/base, which becomes the unkilled result
  local name=$1 times=$2 t0 t1 whole i
  shift 2
  rm -rf "$T/before"
  cp -r "$T/base" "$T/before"
  t0=$(date +%s.%N)
  stage "$T/base" "$@" || fail "$name fails unkilled"
  t1=$(date +%s.%N)
  whole=$(awk -v a="$t0" -v b="$t1" 'BEGIN{print b - a}')
  "$RUNG" store export "$T/want.jsonl" --store "$T/base/rung.db" --quiet
  for i in $(seq "$times"); do
    rm -rf "$T/try"
    cp -r "$T/before" "$T/try"
    killed "$T/try" "$whole" "$@"
    "$RUNG" store export "$T/got.jsonl" --store "$T/try/rung.db" --quiet
    check "$name, kill $i: another store (KILL_SEED=$SEED)" python3 "$SRC/tests/fault/compare_exports.py" --exact "$T/want.jsonl" "$T/got.jsonl"
    if [ -f "$T/base/prm.gguf" ]; then
      check "$name, kill $i: another prm.gguf" cmp -s "$T/base/prm.gguf" "$T/try/prm.gguf"
    fi
  done
}
round "trace sample" 8 "${sample[@]}"
round "label mc" 7 "${mc[@]}"
# Exact also means: not in the way that it was run.
cp -r "$T/before" "$T/wide"
(cd "$T/wide" && "$RUNG" "${mc[@]}" --quiet --threads 2 --sequences 12) || fail "label mc on other places"
"$RUNG" store export "$T/got.jsonl" --store "$T/wide/rung.db" --quiet
check "label mc with 12 sequences and 2 threads: another store" python3 "$SRC/tests/fault/compare_exports.py" --exact "$T/want.jsonl" "$T/got.jsonl"
round "search run" 6 "${beam[@]}"
round "reward train" 5 "${train[@]}"
echo "$n_kills of 26 kills hit a running command" >&2
check "most kills hit" test "$n_kills" -ge 13

# In mid-batch: killed as soon as some traces are there and others are being written.
many=(trace sample --policy ../m.gguf --n 24 --max-tokens 60 --exact --name many)
traces() { "$RUNG" trace show --run many --store "$1" --json 2>/dev/null | wc -l; }
rm -rf "$T/try" "$T/whole"
cp -r "$T/before" "$T/whole"
cp -r "$T/before" "$T/try"
stage "$T/whole" "${many[@]}" || fail "trace sample of many fails"
(cd "$T/try" && exec "$RUNG" "${many[@]}" --quiet --threads 1) 2>/dev/null &
pid=$!
while kill -0 $pid 2>/dev/null; do
  [ "$(traces "$T/try/rung.db")" -gt 0 ] && kill -9 $pid 2>/dev/null
done
wait $pid 2>/dev/null
n=$(traces "$T/try/rung.db")
echo "killed with $n of $(traces "$T/whole/rung.db") traces written" >&2
[ "$n" -gt 0 ] && [ "$n" -lt 576 ] || echo "the kill came too late to be in mid-batch" >&2
stage "$T/try" "${many[@]}" || fail "trace sample does not go on after kill -9 in mid-batch"
"$RUNG" store export "$T/want.jsonl" --store "$T/whole/rung.db" --quiet
"$RUNG" store export "$T/got.jsonl" --store "$T/try/rung.db" --quiet
check "a kill in mid-batch: another store" python3 "$SRC/tests/fault/compare_exports.py" --exact "$T/want.jsonl" "$T/got.jsonl"

# Ctrl-C
rm -rf "$T/try"
mkdir "$T/try" && cd "$T/try" || exit 1
"$RUNG" problem generate total --splits train=400 --quiet
# not in the background of this shell, where SIGINT would be ignored
n_checks=$((n_checks + 1))
timeout --preserve-status --foreground -s INT 3 "$RUNG" "${sample[@]}" --threads 1 >"$T/out" 2>"$T/err"
code=$?
[ $code -eq 6 ] || fail "SIGINT: exit $code, not 6"
grep -q 'To go on' "$T/err" || fail "SIGINT: no command that goes on"
resume=$(tail -n 1 "$T/err")
"$RUNG" store check --store rung.db --json | grep -q '"ok":true' || fail "SIGINT: the store is damaged"
n1=$("$RUNG" trace show --run pool --json 2>/dev/null | wc -l)
n_checks=$((n_checks + 1))
# until it has shown that it goes on: a loaded machine may need long for that
timeout --preserve-status --foreground -s TERM 60 bash -c "exec ${resume#  }" >"$T/out" 2>"$T/err" &
pid=$!
for i in $(seq 120); do
  sleep 0.5
  kill -0 $pid 2>/dev/null || break
  [ "$("$RUNG" trace show --run pool --json 2>/dev/null | wc -l)" -gt "$n1" ] && break
done
kill -TERM $pid 2>/dev/null
wait $pid
code=$?
[ $code -eq 6 ] || [ $code -eq 0 ] || fail "the command printed after SIGINT: exit $code"
n2=$("$RUNG" trace show --run pool --json 2>/dev/null | wc -l)
[ "$n2" -gt "$n1" ] || fail "the command printed after SIGINT does not go on: $n1 traces, then $n2"
finish
