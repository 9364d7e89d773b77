#!/usr/bin/env bash
# Size norms: function 120 lines, file 1200, header 300, C line 100 columns, line of a script 120.  Exceptions, each
# with a reason, stand in tools/size_allow.txt; an exception that is no longer needed fails too.
#   tools/check_size.sh [ROOT]     exit 0 clean, 1 something is too long
# clang-format settles the layout: a function's signature starts in column 0, its closing brace stands there alone.
set -euo pipefail
root=${1:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)}
cd "$root"
allow=tools/size_allow.txt
[ -f $allow ] || allow=/dev/null
mapfile -t files < <(find include src tests web tools cmake benchmarks .ci \
    \( -name node_modules -o -name dist \) -prune -o -type f \
    \( -name '*.[ch]' -o -name '*.sh' -o -name '*.cmake' -o -name '*.js' -o -name '*.mjs' -o -path .ci/run \) \
    -print 2>/dev/null | LC_ALL=C sort)
LC_ALL=C awk -v allow=$allow '
function over(key, what, got, max) {
    if (key in limit) { used[key] = 1; if (got <= limit[key]) return }
    printf "%s: %s is %d, at most %d%s\n", key, what, got, key in limit ? limit[key] : max,
           key in limit ? " (by tools/size_allow.txt)" : ""
    n_bad++
}
function end_file() {
    if (prev == "") return
    if (n_line > (prev ~ /\.h$/ ? 300 : 1200)) over(prev, "lines of the file", n_line, prev ~ /\.h$/ ? 300 : 1200)
    if (fn_start) { printf "%s:%d: no closing brace in column 0 for this function\n", prev, fn_start; n_bad++ }
    if (n_wide) over(prev ":columns", "widest line (line " widest_at ")", widest, cols)
}
BEGIN {
    while ((getline line < allow) > 0) {
        if (line ~ /^[ \t]*(#|$)/) continue
        split(line, w, /[ \t]+/); limit[w[1]] = w[2] + 0
        if (w[3] == "") { printf "%s: %s has no reason\n", allow, w[1]; n_bad++ }
    }
}
FNR == 1 {
    end_file()
    prev = FILENAME; n_file++; fn_start = 0; head = ""; n_wide = widest = 0
    c = FILENAME ~ /\.[ch]$/; cols = c ? 100 : 120
    if (FILENAME ~ /js$/) cols = 400                         # prose in templates of the page
    if (FILENAME ~ /^tests\/.*sh$/) cols = 200               # lines of data
}
{
    n_line = FNR
    wide = $0; gsub(/[\200-\277]/, "", wide)                 # count characters, not bytes of UTF-8
    if (length(wide) > cols) { n_wide++; if (length(wide) > widest) { widest = length(wide); widest_at = FNR } }
    if (!c) next
    if (fn_start) {
        if ($0 ~ /^}/) {
            n_fn++
            len = FNR - fn_start + 1
            if (len > 120) over(FILENAME ":" fn_name, "lines of the function (line " fn_start ")", len, 120)
            fn_start = 0
        }
        next
    }
    if (head == "") {
        if ($0 !~ /^[A-Za-z_]/ || $0 ~ /;[ \t]*(\/[*\/].*)?$/) next
        head_at = FNR
    }
    if (FNR > head_at && $0 ~ /^(#|})/) { head = ""; next }
    head = head " " $0
    if ($0 ~ /\{[ \t]*(\/[*\/].*)?$/ || $0 ~ /\{.*\}[ \t]*$/) {
        if (head ~ /\)[^=;{]*\{/ && head !~ /^ *(typedef|struct [a-z_0-9]* *\{|enum|union)/ && head !~ /\] *= *\{/ &&
            $0 ~ /\{[ \t]*(\/[*\/].*)?$/) {
            fn_start = head_at; fn_name = head
            sub(/ *\(.*/, "", fn_name); sub(/.*[ *]/, "", fn_name)
        }
        head = ""
    } else if ($0 ~ /;[ \t]*(\/[*\/].*)?$/) head = ""
}
END {
    end_file()
    for (k in limit) if (!(k in used)) {
        printf "%s: the exception for %s is not needed any more; delete it\n", allow, k; n_bad++
    }
    if (n_bad) { printf "check_size: %d too long\n", n_bad; exit 1 }
    printf "check_size: %d files, %d functions, all within the norms\n", n_file, n_fn
}' "${files[@]}"
