# rung serve asked by other people's clients: the openai package; lm-evaluation-harness, whose loglikelihoods and accuracy on a task of
# local files must be our own.
# Optional: they live in a virtual environment outside the tree (RUNG_CLIENTS, default ~/.cache/rung/clients):
#   python3 -m venv ~/.cache/rung/clients && ~/.cache/rung/clients/bin/pip install openai "lm_eval[api]"
. "$(dirname "$0")/lib.sh"
PY=${RUNG_CLIENTS:-${XDG_CACHE_HOME:-$HOME/.cache}/rung/clients}/bin/python
[ -x "$PY" ] || { echo "SKIPPED: no clients at $PY (see the head of this file)" >&2; exit 77; }
"$PY" -c 'import openai' 2>/dev/null || { echo "SKIPPED: $PY has no package openai" >&2; exit 77; }
need_model
export RUNG MODEL
check "the openai package" timeout 500 "$PY" "$SRC/tests/cli/serve_openai.py"
if "$PY" -c 'import lm_eval' 2>/dev/null; then
  check "lm-evaluation-harness" timeout 500 "$PY" "$SRC/tests/cli/serve_lm_eval.py"
else
  echo "SKIPPED in part: $PY has no package lm_eval" >&2
fi
finish
