# 100,000 random byte strings and 10,000 mutated answers through `rung verify`: no crash, no check over 100 ms, memory flat.
RUNG_RANDOM_ROWS=100000 RUNG_MUTATED_ROWS=10000 exec bash "${RUNG_SOURCE_DIR:?}/tests/cli/test_verify_hostile.sh"
