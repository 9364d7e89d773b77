# Random byte strings and mutated answers through `rung verify`; the long tier takes 100,000 and 10,000 of them.
set -u
python=$(command -v /usr/bin/python3 || command -v python3) || { echo "SKIPPED: no python3"; exit 77; }
here=${RUNG_SOURCE_DIR:?}/tests
exec "$python" "$here/cli/verify_hostile.py" "${RUNG_BIN:?}" "$here/data/math_pairs.jsonl" "${RUNG_RANDOM_ROWS:-3000}" "${RUNG_MUTATED_ROWS:-1000}"
