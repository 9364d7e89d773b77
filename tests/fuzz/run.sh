#!/usr/bin/env bash
# Builds and runs the libFuzzer targets of the verifiers under ASan + UBSan (clang).
#   tests/fuzz/run.sh [SECONDS each, 20] [TARGET...]   exit 1: a finding (kept beside its log); 77: no clang
# New inputs go to a scratch folder, not into the kept corpora; say -merge by hand when they are worth it.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
seconds=${1:-20}
shift || true

# A target: its file, its dictionary, the longest input. To add one: a line here, corpus_NAME/ beside it.
target() {
    case $1 in
    extract | parse | equal | calculator) file=fuzz_math.c dict=math.dict longest=400 ;;
    rows) file=fuzz_rows.c dict=rows.dict longest=2000 ;;
    format) file=fuzz_format.c dict=format.dict longest=3000 ;;
    serve) file=fuzz_serve.c dict=serve.dict longest=3000 ;;
    http) file=fuzz_serve.c dict=http.dict longest=2000 ;;
    claims | steps | proofs) file=fuzz_step.c dict=step.dict longest=800 ;;
    sql | sqltext) file=fuzz_sql.c dict=sql.dict longest=600 ;;
    *) echo "fuzz: no target $1" >&2; exit 2 ;;
    esac
}
[ $# -gt 0 ] || set -- extract parse equal calculator claims steps proofs rows format sql sqltext serve http

command -v clang >/dev/null || { echo "fuzz: no clang; hint: tools/deps.sh --ci" >&2; exit 77; }
deps=${RUNG_DEPS_DIR:-$("$root/tools/deps.sh" --print-dir)}
out=${RUNG_FUZZ_DIR:-$(mktemp -d)}
mkdir -p "$out/obj"
flags=(-std=c11 -O1 -g -D_GNU_SOURCE -DRUNG_DEBUG_BUILD=1 -DRUNG_NO_WEB=1 '-DRUNG_VERSION="fuzz"' -fno-sanitize-recover=undefined
    -I"$root/include" -I"$root/src" -isystem "$deps/include")
libs=(-lflint -lgmp -lxxhash -lseccomp -lsqlite3 -lz3 -lmicrohttpd -lm -lpthread)
[ -e /usr/include/flint/acb.h ] || libs=(-lflint-arb "${libs[@]}")
if [ -e "$deps/lib/libyyjson.a" ]; then libs=("$deps/lib/libyyjson.a" "${libs[@]}"); else libs+=(-lyyjson); fi
# the names that verify and serve take from elsewhere: the store's, the texts of the servers beside it, the tables of methods
cat >"$out/elsewhere.c" <<'EOF'
#include "verify/code/box.h"
#include "rung/search.h"
bool rung_search_at(rung_search_info *out, size_t i) {
    *out = (rung_search_info){.name = "beam", .help = ""};
    return i == 0;
}
bool rung_search_find(rung_search_info *out, const char *name) { return rung_search_at(out, name[0] != 'b'); }
const rung_method *rung_method_find(const char *name) { (void)name; return NULL; }
bool rung_search_scorer_find(rung_search_scorer *out, const char *name) { *out = 0; return name[0] == 'r'; }
bool rung_aggregate_find(rung_aggregate_id *out, const char *name) { *out = 0; return name[0] == 'm'; }
rung_status rung_sampling_check(const rung_sampling *s, rung_error *err) { (void)s, (void)err; return RUNG_OK; }
const char *rung_verdict_name(rung_verdict v) { return v == 1 ? "correct" : v == 2 ? "wrong" : "unknown"; }
rung_status rung_cache_put(rung_store *s, const char *key, const char *reply, size_t n, rung_error *err) {
    (void)s, (void)key, (void)reply, (void)n, (void)err;
    return RUNG_OK;
}
rung_status rung_cache_get(rung_buf *reply, bool *found, rung_store *s, const char *key, rung_error *err) {
    (void)reply, (void)s, (void)key, (void)err;
    *found = false;
    return RUNG_OK;
}
extern const unsigned char rung_sql_worker_exe[];
extern const size_t rung_sql_worker_exe_n;
const unsigned char rung_box_py[1], rung_sql_worker_exe[1];
const size_t rung_box_py_n = 0, rung_sql_worker_exe_n = 0;
EOF
# a header that changed since the last build: all of it again
if [ ! -e "$out/built" ] || [ -n "$(find "$root/include" "$root/src" -name '*.h' -newer "$out/built" -print -quit)" ]; then
    rm -f "$out"/obj/*.o
fi
objects=()
compile=()
for source in "$root"/src/{verify,verify/*,format,base}/*.c "$root"/src/serve/serve*.c "$out/elsewhere.c"; do
    [ "$(basename "$source")" != yaml.c ] || continue
    object=${source#"$root"/}
    object=$out/obj/$(printf %s "${object%.c}" | tr / _).o
    objects+=("$object")
    [ "$object" -nt "$source" ] ||
        compile+=("clang ${flags[*]@Q} -fsanitize=fuzzer-no-link,address,undefined -c ${source@Q} -o ${object@Q}")
done
[ ${#compile[@]} -eq 0 ] || printf '%s\0' "${compile[@]}" | xargs -0 -P "$(nproc)" -n 1 bash -c
touch -r "$out/elsewhere.c" "$out/built" # what changed while it was built is newer
bad=0
for t in "$@"; do
    target "$t"
    clang "${flags[@]}" "-DFUZZ_${t^^}" -fsanitize=fuzzer,address,undefined "$root/tests/fuzz/$file" "${objects[@]}" \
        -o "$out/fuzz_$t" "${libs[@]}"
    mkdir -p "$out/new_$t"
    echo "fuzz: $t for $seconds s"
    patience=10 # seconds for one input: far beyond any honest one, and a shared machine may stand still for two
    [ "$t" != http ] || patience=60 # it asks a live server, and waits 20 s before it says that it is dead
    (cd "$out" && "./fuzz_$t" -max_total_time="$seconds" -timeout="$patience" -max_len="$longest" -dict="$root/tests/fuzz/$dict" \
        -print_final_stats=1 "new_$t" "$root/tests/fuzz/corpus_$t" >"$t.log" 2>&1) || bad=1
    grep -E 'stat::number_of_executed|stat::peak_rss|SUMMARY|ERROR|ALARM' "$out/$t.log" || true
done
echo "fuzz: logs and findings in $out"
exit $bad
