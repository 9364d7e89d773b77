# rung serve on the tiny policy: OpenAI's shapes whole and streamed, echo with logprobs, searches and their trees, limits,
# deadlines, hostile clients, a token, a worker that is killed, a drain that loses nothing.
. "$(dirname "$0")/lib.sh"
command -v python3 >/dev/null || { echo "no python3: skipped" >&2; exit 77; }
need_model
export RUNG MODEL
check "what python saw" timeout ${SERVE_CHECK_S:-500} python3 "$SRC/tests/cli/serve_check.py"
expect 2 'needs a token' -- "$RUNG" serve --policy "$MODEL" --listen 0.0.0.0:0
expect 2 'not HOST:PORT' -- "$RUNG" serve --policy "$MODEL" --listen nonsense
expect 2 'nothing to serve' -- "$RUNG" serve
expect 5 'GGUF|model' -- timeout 60 "$RUNG" serve --policy "$SRC/README.md" --listen 127.0.0.1:0 --quiet
finish
