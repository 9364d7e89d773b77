#!/usr/bin/env bash
# Every public header compiles alone, twice in a row (its guard), as C11 and as C++17, without a warning.
#   tools/check_headers.sh [ROOT]     CC, CXX: the compilers     exit 0 clean, 1 a header fails
set -euo pipefail
root=${1:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)}
cd "$root"
n=0 bad=0
strict=(-Wall -Wextra -Werror -Wpedantic -Wshadow -fsyntax-only -Iinclude)
for h in include/rung/*.h; do
    [ -e "$h" ] || { echo "check_headers: no headers under $root/include/rung" >&2; exit 1; }
    n=$((n + 1))
    text=$(printf '#include "%s"\n#include "%s"\nint rung_header_alone;\n' "${h#include/}" "${h#include/}")
    ${CC:-cc} -std=c11 "${strict[@]}" -Wstrict-prototypes -x c - <<<"$text" || { echo "$h: not clean as C11"; bad=1; }
    ${CXX:-c++} -std=c++17 "${strict[@]}" -x c++ - <<<"$text" || { echo "$h: not clean as C++17"; bad=1; }
done
[ $bad = 0 ] || exit 1
echo "check_headers: $n headers, each alone as C11 and C++17"
