# 100,000 random byte strings and mutated answers through the maths verifier: no crash, no slow check.
set -u
RUNG_HOSTILE=100000 exec "$(dirname "${RUNG_BIN:?}")/test_math_pairs"
