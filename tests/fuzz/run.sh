#!/usr/bin/env bash
# Builds and runs the libFuzzer targets of the maths verifier under ASan + UBSan (clang).
#   tests/fuzz/run.sh [SECONDS each, 20] [extract|parse|equal ...]   exit 1: a finding (kept beside its corpus)
# New inputs go to a scratch folder, not into the kept corpora; say -merge by hand when they are worth it.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
seconds=${1:-20}
shift || true
[ $# -gt 0 ] || set -- extract parse equal
command -v clang >/dev/null || { echo "fuzz: no clang; hint: tools/deps.sh --ci" >&2; exit 77; }
deps=${RUNG_DEPS_DIR:-$("$root/tools/deps.sh" --print-dir)}
out=${RUNG_FUZZ_DIR:-$(mktemp -d)}
mkdir -p "$out"
libs=(-lflint -lgmp -lxxhash -lm -lpthread)
[ -e /usr/include/flint/acb.h ] || libs=(-lflint-arb "${libs[@]}")
sources=("$root"/src/verify/*.c "$root"/src/base/{alloc,arena,buf,hash,status,sys,utf8,file}.c)
# the one name that verify takes from the store's folder
printf '#include "rung/store.h"\n%s\n' \
    'const char *rung_verdict_name(rung_verdict v) { return v == 1 ? "correct" : v == 2 ? "wrong" : "unknown"; }' >"$out/name.c"
bad=0
for t in "$@"; do
    clang -std=c11 -O1 -g -D_GNU_SOURCE -DRUNG_DEBUG_BUILD=1 "-DFUZZ_${t^^}" -fsanitize=fuzzer,address,undefined \
        -fno-sanitize-recover=undefined -I"$root/include" -I"$root/src" -I"$deps/include" \
        "$root/tests/fuzz/fuzz_math.c" "${sources[@]}" "$out/name.c" -o "$out/fuzz_$t" "${libs[@]}"
    mkdir -p "$out/new_$t"
    echo "fuzz: $t for $seconds s"
    (cd "$out" && "./fuzz_$t" -max_total_time="$seconds" -timeout=2 -max_len=400 -dict="$root/tests/fuzz/math.dict" \
        -print_final_stats=1 "new_$t" "$root/tests/fuzz/corpus_$t" >"$t.log" 2>&1) || bad=1
    grep -E 'stat::number_of_executed|stat::peak_rss|SUMMARY|ERROR|ALARM' "$out/$t.log" || true
done
echo "fuzz: logs and findings in $out"
exit $bad
