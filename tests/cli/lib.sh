# Shared by the shell tests of the command: a scratch folder, checks that count, a tiny model.
#   expect CODE TEXT -- COMMAND...   runs it; its exit code must be CODE, and TEXT (an extended regular expression, "" any)
#                                    must be in its output. stdout is left in $T/out, stderr in $T/err.
# Exit: 0 all checks passed, 1 not, 77 skipped.
set -u
RUNG=${RUNG_BIN:?RUNG_BIN: path of the rung to test}
SRC=${RUNG_SOURCE_DIR:?}
BUILD=${RUNG_BUILD_DIR:-/tmp}
T=$(mktemp -d "${TMPDIR:-/tmp}/rung-cli.XXXXXX")
trap 'rm -rf "$T"' EXIT
export OMP_NUM_THREADS=1 NO_COLOR=1 # one thread: same batches, and no fight over the cores
for v in $(env | sed -n 's/^\(RUNG_[A-Z0-9_]*\)=.*/\1/p'); do
  case $v in RUNG_BIN | RUNG_SOURCE_DIR | RUNG_BUILD_DIR | RUNG_DEPS_DIR | RUNG_DATA) ;; *) unset "$v" ;; esac
done
cd "$T" || exit 1
n_checks=0
n_failed=0

fail() {
  n_failed=$((n_failed + 1))
  echo "FAILED: $*" >&2
}

check() { # check WHAT COMMAND...: the command succeeds
  local what=$1
  shift
  n_checks=$((n_checks + 1))
  "$@" || fail "$what"
}

expect() {
  local code=$1 text=$2 got
  shift 2
  [ "$1" = -- ] && shift
  n_checks=$((n_checks + 1))
  "$@" >"$T/out" 2>"$T/err" </dev/null
  got=$?
  if [ "$got" -ne "$code" ]; then
    fail "exit $got, not $code: $*"
    tail -n 5 "$T/err" >&2
  elif [ -n "$text" ] && ! cat "$T/out" "$T/err" | grep -Eq -- "$text"; then
    fail "no \"$text\" in the output of: $*"
    head -c 600 "$T/out" >&2
    tail -n 5 "$T/err" >&2
  fi
}

finish() {
  echo "$(basename "$0"): $n_checks checks, $n_failed failed"
  [ "$n_failed" -eq 0 ]
  exit
}

# The tiny policy of the repository; without it a smaller one, made in seconds, once per build.
need_model() {
  MODEL=$SRC/models/tiny.gguf
  [ -f "$MODEL" ] && return
  MODEL=$BUILD/tests-tiny.gguf
  (
    flock 9
    [ -f "$MODEL" ] || "$RUNG" model train --quiet --out "$MODEL" --embd 64 --layers 2 --heads 1 --ff 128 --rows 8 \
      --steps 120 --lr 0.01 --warmup 10 --held 0
  ) 9>"$MODEL.lock" || { echo "could not make a model" >&2; exit 1; }
}
